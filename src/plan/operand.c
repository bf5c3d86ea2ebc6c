/* Operands of products. An operand's expression (a cast of bytes, a scale, a transpose) is evaluated while it is
 * packed; an operand packed for one product serves the others of the plan. */
#include "operand.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"

enum { LIGHT_LEAVES = 6 }; /* arrays that a product's kernel may read for one operand */

typedef struct blo_packed {
    const blo_node *node;
    bool along_rows; /* the panels run along the node's last axis but one, else along the last */
    int tile, array;
    blo_dtype dtype;
} blo_packed;

bool blo_reads_only_fixed(const blo_lowering *lowering, const blo_node *node) {
    if (node->op == BLO_OP_INPUT)
        return lowering->fixed && lowering->fixed[node->attr.input];
    bool fixed = !lowering->facts[node->id].root && node->op != BLO_OP_CONST && node->op != BLO_OP_IOTA;
    for (int i = 0; i < node->n_in && fixed; i++)
        fixed = node->in[i]->op == BLO_OP_CONST || node->in[i]->op == BLO_OP_IOTA ||
                blo_reads_only_fixed(lowering, node->in[i]);
    return fixed;
}

static bool constant_of(const blo_node *node, double *value) {
    while (node->op == BLO_OP_BROADCAST || node->op == BLO_OP_RESHAPE)
        node = node->in[0];
    *value = node->attr.value;
    return node->op == BLO_OP_CONST && isfinite(*value);
}

/* The array of bytes that NODE is a function of, one element of one, if it is a cast of it and arithmetic with
 * constants; adds that function of the vector x to TEXT. Else NULL. */
static const blo_node *bytes_of(const blo_lowering *lowering, const blo_node *node, blo_text *text) {
    static const char signs[] = {[BLO_OP_ADD] = '+', [BLO_OP_SUB] = '-', [BLO_OP_MUL] = '*', [BLO_OP_DIV] = '/'};
    if (lowering->facts[node->id].root || (node->dtype != BLO_FLOAT && node->dtype != BLO_DOUBLE))
        return NULL;
    if (node->op == BLO_OP_CAST && node->in[0]->dtype == BLO_UINT8) {
        blo_text_add(text, "TO_V(x)");
        return node->in[0];
    }
    if (node->op != BLO_OP_ADD && node->op != BLO_OP_SUB && node->op != BLO_OP_MUL && node->op != BLO_OP_DIV)
        return NULL;
    double value;
    bool second = constant_of(node->in[1], &value);
    if (!second && !constant_of(node->in[0], &value))
        return NULL;
    char number[48];
    blo_emit_literal(number, sizeof number, node->dtype, value);
    blo_text_add(text, "(");
    if (!second)
        blo_text_add(text, "%s %c ", number, signs[node->op]);
    const blo_node *bytes = bytes_of(lowering, node->in[second ? 0 : 1], text);
    if (second)
        blo_text_add(text, " %c %s", signs[node->op], number);
    blo_text_add(text, ")");
    return bytes;
}

/* The array that holds NODE as it is, or NULL: reshaping moves nothing. */
static const blo_node *array_of(const blo_lowering *lowering, const blo_node *node) {
    while (node->op == BLO_OP_RESHAPE && !lowering->facts[node->id].root)
        node = node->in[0];
    return node->op == BLO_OP_INPUT || lowering->facts[node->id].root ? node : NULL;
}

/* Which way the operand lies in memory, as far as one can tell: along its last axis unless a transpose shows. */
static bool lies_along_rows(const blo_node *operand) {
    bool along_rows = false;
    while (operand->n_in > 0 && operand->op != BLO_OP_MATMUL && operand->op != BLO_OP_GATHER &&
           operand->op != BLO_OP_SUM) {
        if (operand->op == BLO_OP_PERMUTE)
            along_rows = along_rows != (operand->attr.perm[operand->rank - 1] != operand->rank - 1);
        operand = operand->in[0];
    }
    return along_rows;
}

blo_operand blo_operand_describe(const blo_lowering *lowering, const blo_node *product, char letter) {
    bool is_a = letter == 'a';
    blo_operand result = {.letter = letter,
                          .node = product->in[is_a ? 0 : 1],
                          .transposed = is_a ? product->attr.matmul.transpose_a : product->attr.matmul.transpose_b};
    result.bytes = bytes_of(lowering, result.node, &result.convert);
    result.facts.fixed = blo_reads_only_fixed(lowering, result.node);
    result.facts.bytes = result.bytes != NULL;
    if (!result.bytes)
        result.bytes = result.node;
    result.facts.in_place = array_of(lowering, result.bytes) != NULL;
    result.facts.light = lowering->facts[result.node->id].leaves <= LIGHT_LEAVES;
    bool k_is_last = is_a != result.transposed;
    result.facts.along_k = k_is_last != lies_along_rows(result.bytes);
    return result;
}

/* --- its expression --- */

/* What the panels hold: the operand, or bytes still to be converted. */
static const blo_node *packed_node(const blo_operand *operand, const blo_gemm_pack *pack) {
    return pack->dtype == BLO_UINT8 ? operand->bytes : operand->node;
}

/* The value of element (i, j) of batch b of NODE, stored as the operand is. LANES: 'i' or 'j', which index rises from
 * lane to lane, from a multiple of the width where ALIGNED; 0: one element. */
static const blo_value *emit_load(blo_emitter *emitter, const blo_operand *operand, const blo_node *node, char lanes,
                                  bool aligned) {
    blo_indices *indices = &emitter->indices;
    const blo_index *at[BLO_MAX_RANK];
    int rank = node->rank, row = operand->transposed ? rank - 1 : rank - 2,
        column = operand->transposed ? rank - 2 : rank - 1;
    int64_t batch = 1;
    for (int i = 0; i < rank - 2; i++)
        batch *= node->shape[i];
    blo_index_split(indices, blo_index_name(indices, "b", batch, 0), rank - 2, node->shape, at);
    indices->unaligned = !aligned;
    at[row] = (lanes == 'i' ? blo_index_lane : blo_index_name)(indices, "i", node->shape[row], 0);
    at[column] = (lanes == 'j' ? blo_index_lane : blo_index_name)(indices, "j", node->shape[column], 0);
    return blo_emit_value(emitter, node, at);
}

static void add_function(blo_operand_loads *l, const blo_emitter *emitter, const char *type, const char *name,
                         const char *head, const char *value) {
    blo_text_add(&l->functions, "static inline %s %s(%s, const uint b, const uint i, const uint j) {\n%s", type, name,
                 l->parameters.data, head);
    blo_text_append(&l->functions, &emitter->indices.scopes[0].text);
    blo_text_add(&l->functions, "return %s;\n}\n", value);
}

/* The function of several elements; false where there is none. */
static bool add_lanes(blo_operand_loads *l, const blo_emitter *one, const blo_operand *operand,
                      const blo_gemm_pack *pack, bool aligned) {
    const int width = pack->width;
    const bool along_i = (pack->operand == 'a') != pack->along_k;
    blo_emitter emitter;
    blo_text head = {0};
    char widened[64];
    blo_emitter_init(&emitter, one->lowering, -1, width);
    emitter.full = true;
    const blo_value *value = emit_load(&emitter, operand, packed_node(operand, pack), along_i ? 'i' : 'j', aligned);
    bool done = value && !emitter.scalar_only && !emitter.failed && !emitter.indices.failed &&
                emitter.n_arrays == one->n_arrays &&
                !memcmp(emitter.arrays, one->arrays, (size_t)emitter.n_arrays * sizeof emitter.arrays[0]);
    if (done) {
        blo_text_add(&head, "const %s lane = (%s)(0", blo_lanes_index(width), blo_lanes_index(width));
        for (int i = 1; i < width; i++)
            blo_text_add(&head, ", %d", i);
        blo_text_add(&head, ");\n");
        blo_helpers_text(&emitter.uses, width, &l->functions);
        add_function(l, &emitter, blo_lanes_type(pack->dtype, width), "NAME_elements", head.data ? head.data : "",
                     blo_emit_widened(&emitter, value, widened));
    }
    l->functions.failed = l->functions.failed || head.failed;
    blo_text_free(&head);
    blo_emitter_free(&emitter);
    return done;
}

/* What a kernel that has other parameters too calls the arrays. */
static void name_for_kernel(blo_operand_loads *l, const blo_lowering *lowering) {
    for (int i = 0; i < l->n_arrays; i++) {
        blo_text_add(&l->kernel_parameters, ", __global const %s *restrict column%d, const ulong column_at%d",
                     blo_type_name(lowering->arrays[l->arrays[i]].dtype), i, i);
        blo_text_add(&l->kernel_names, "%scolumn%d, column_at%d", i ? ", " : "", i, i);
    }
}

/* The functions for a pack like PACK; with ALIGNED only from multiples of its width. */
static bool emit_loads(blo_operand_loads *l, blo_lowering *lowering, const blo_operand *operand,
                       const blo_gemm_pack *pack, bool aligned) {
    blo_emitter emitter;
    *l = (blo_operand_loads){0};
    blo_emitter_init(&emitter, lowering, -1, 1);
    const blo_value *value = emit_load(&emitter, operand, packed_node(operand, pack), 0, false);
    if (value) {
        blo_emit_parameters(&emitter, &l->parameters, true);
        blo_emit_parameters(&emitter, &l->names, false);
        blo_helpers_text(&emitter.uses, 1, &l->functions);
        add_function(l, &emitter, blo_type_name(pack->dtype), "NAME_element", "", value->name);
        l->lanes = add_lanes(l, &emitter, operand, pack, aligned);
        l->n_arrays = emitter.n_arrays;
        memcpy(l->arrays, emitter.arrays, sizeof l->arrays);
        name_for_kernel(l, lowering);
    }
    bool done = value && !(emitter.failed || emitter.indices.failed || l->functions.failed || l->names.failed ||
                           l->parameters.failed || l->kernel_names.failed || l->kernel_parameters.failed);
    blo_emitter_free(&emitter);
    return done;
}

void blo_operand_loads_free(blo_operand_loads *loads) {
    blo_text_free(&loads->parameters);
    blo_text_free(&loads->names);
    blo_text_free(&loads->kernel_parameters);
    blo_text_free(&loads->kernel_names);
    blo_text_free(&loads->functions);
}

bool blo_operand_evaluate(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                          const blo_operand *operand, blo_operand_loads *loads) {
    blo_gemm_pack pack = blo_gemm_packing(shape, choice, operand->letter, &operand->facts);
    pack.width = choice->vector;
    bool done = emit_loads(loads, lowering, operand, &pack, false);
    loads->gemm = (blo_gemm_loads){.functions = loads->functions.data,
                                   .parameters = loads->kernel_parameters.data,
                                   .names = loads->kernel_names.data,
                                   .lanes = loads->lanes};
    return done;
}

/* --- packing --- */

static blo_status add_pack(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_operand *operand,
                           const blo_gemm_pack *pack, int array) {
    blo_operand_loads l;
    blo_text key = {0};
    blo_status status = BLO_ERROR_MEMORY; /* which the product tells */
    char name[64], *text = NULL;
    if (!emit_loads(&l, lowering, operand, pack, pack->along_k || pack->tile % pack->width == 0))
        goto done;
    blo_text_add(&key, "%s %c %d %d", l.functions.data, pack->operand, pack->along_k, pack->tile);
    if (key.failed)
        goto done;
    snprintf(name, sizeof name, "blo_pack_%016" PRIx64, blo_text_hash(key.data));
    const blo_gemm_loads loads = {l.functions.data, l.parameters.data, l.names.data, l.lanes};
    text = blo_gemm_pack_source(pack, &loads, name);
    blo_plan_step *step = text ? blo_lower_step(lowering) : NULL;
    if (!step || !(step->name = strdup(name)))
        goto done;
    step->text = text;
    text = NULL;
    step->fixed = lowering->arrays[array].kept = operand->facts.fixed;
    for (int i = 0; i < l.n_arrays; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.is_array = true, .array = l.arrays[i]};
    step->arguments[step->n_arguments++] = (blo_plan_argument){.is_array = true, .array = array};
    bool is_b = pack->operand == 'b';
    uint64_t values[3] = {(uint64_t)shape->batch, (uint64_t)(is_b ? shape->k : shape->m),
                          (uint64_t)(is_b ? shape->n : shape->k)};
    for (int i = 0; i < 3; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.value = values[i]};
    blo_gemm_pack_launch(shape, pack, step->global, step->local);
    status = BLO_OK;
done:
    free(text);
    blo_text_free(&key);
    blo_operand_loads_free(&l);
    return status;
}

static bool remember_packed(blo_lowering *lowering, const blo_packed *packed) {
    if (lowering->n_packed == lowering->packed_capacity) {
        int capacity = lowering->packed_capacity ? 2 * lowering->packed_capacity : 8;
        blo_packed *grown = realloc(lowering->packed, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        lowering->packed = grown;
        lowering->packed_capacity = capacity;
    }
    lowering->packed[lowering->n_packed++] = *packed;
    return true;
}

/* The array of the packed operand, packing it if no product before did; -1: no memory. */
static int packed_operand(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                          const blo_operand *operand) {
    blo_gemm_pack pack = blo_gemm_packing(shape, choice, operand->letter, &operand->facts);
    blo_packed packed = {.node = packed_node(operand, &pack),
                         .along_rows = (operand->letter == 'a') != operand->transposed,
                         .tile = pack.tile,
                         .dtype = pack.dtype};
    for (int i = 0; i < lowering->n_packed; i++) {
        const blo_packed *p = &lowering->packed[i];
        if (p->node == packed.node && p->along_rows == packed.along_rows && p->tile == packed.tile &&
            p->dtype == packed.dtype)
            return p->array;
    }
    int64_t count = (int64_t)blo_gemm_packed_count(shape, &pack);
    packed.array = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, pack.dtype, count);
    bool done = packed.array >= 0 && add_pack(lowering, shape, operand, &pack, packed.array) == BLO_OK &&
                remember_packed(lowering, &packed);
    return done ? packed.array : -1;
}

int blo_operand_array(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                      const blo_operand *operand) {
    bool is_column = (operand->letter == 'a') == choice->swapped;
    if ((is_column ? choice->column : choice->row) == BLO_GEMM_PACKED)
        return packed_operand(lowering, shape, choice, operand);
    return blo_lower_node_array(lowering, array_of(lowering, operand->bytes));
}

void blo_operand_free(blo_operand *operand) {
    blo_text_free(&operand->convert);
}
