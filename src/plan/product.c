/* Matrix products: a library call, or packing both operands and the register-tiled kernel. An operand's expression (a
 * cast of bytes, a scale, a transpose) is evaluated while it is packed; an operand packed for one product serves the
 * others of the plan. */
#include "emit.h"
#include "gemm.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct blo_packed {
    const blo_node *node;
    bool along_rows; /* the panels run along the node's last axis but one, else along the last */
    int tile, array;
    blo_dtype dtype;
} blo_packed;

typedef struct sizes {
    int64_t batch, m, n, k;
} sizes;

static sizes sizes_of(const blo_node *node) {
    const blo_node *a = node->in[0];
    sizes s = {.batch = 1, .m = node->shape[node->rank - 2], .n = node->shape[node->rank - 1]};
    s.k = a->shape[a->rank - (node->attr.matmul.transpose_a ? 2 : 1)];
    for (int i = 0; i < node->rank - 2; i++)
        s.batch *= node->shape[i];
    return s;
}

static blo_status no_memory(const blo_lowering *lowering) {
    return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan a matrix product");
}

/* --- the library --- */

static blo_status library_product(blo_lowering *lowering, const blo_node *node) {
    sizes s = sizes_of(node);
    int arrays[3];
    for (int i = 0; i < 2; i++) {
        const blo_node *operand = node->in[i];
        while (operand->op == BLO_OP_RESHAPE && !lowering->facts[operand->id].root)
            operand = operand->in[0];
        arrays[i] = blo_lower_node_array(lowering, operand);
    }
    arrays[2] = blo_lower_node_array(lowering, node);
    blo_plan_step *step = blo_lower_step(lowering);
    if (!step || arrays[0] < 0 || arrays[1] < 0 || arrays[2] < 0)
        return no_memory(lowering);
    step->n_arguments = 3;
    for (int i = 0; i < 3; i++)
        step->arguments[i] = (blo_plan_argument){.is_array = true, .array = arrays[i]};
    step->call = (blo_gemm_call){.dtype = node->dtype,
                                 .transpose_a = node->attr.matmul.transpose_a,
                                 .transpose_b = node->attr.matmul.transpose_b,
                                 .batch = s.batch,
                                 .m = s.m,
                                 .n = s.n,
                                 .k = s.k};
    return BLO_OK;
}

/* --- our own kernels --- */

/* Does the operand's expression read fixed inputs only? */
static bool is_fixed(const blo_lowering *lowering, const blo_node *node) {
    if (node->op == BLO_OP_INPUT)
        return lowering->fixed && lowering->fixed[node->attr.input];
    bool fixed = !lowering->facts[node->id].root && node->op != BLO_OP_CONST && node->op != BLO_OP_IOTA;
    for (int i = 0; i < node->n_in && fixed; i++)
        fixed = node->in[i]->op == BLO_OP_CONST || node->in[i]->op == BLO_OP_IOTA || is_fixed(lowering, node->in[i]);
    return fixed;
}

/* An operand as the product reads it. */
typedef struct side {
    char letter;          /* 'a' or 'b' */
    const blo_node *node;  /* the operand */
    const blo_node *bytes; /* the bytes it is a function of, or the operand again: what is packed, or read in place */
    bool transposed;
    blo_text convert; /* of bytes: gemm.h's CONVERT */
    blo_gemm_operand facts;
} side;

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

static side describe(const blo_lowering *lowering, const blo_node *product, char letter) {
    bool is_a = letter == 'a';
    side result = {.letter = letter,
                   .node = product->in[is_a ? 0 : 1],
                   .transposed = is_a ? product->attr.matmul.transpose_a : product->attr.matmul.transpose_b};
    result.bytes = bytes_of(lowering, result.node, &result.convert);
    result.facts.fixed = is_fixed(lowering, result.node);
    result.facts.bytes = result.bytes != NULL;
    if (!result.bytes)
        result.bytes = result.node;
    result.facts.in_place = array_of(lowering, result.bytes) != NULL;
    bool k_is_last = is_a != result.transposed;
    result.facts.along_k = k_is_last != lies_along_rows(result.bytes);
    return result;
}

/* Writes the function load(…, b, i, j): element (i, j) of batch b of NODE, transposed or not. */
static const blo_value *emit_load(blo_emitter *emitter, const blo_node *node, bool transposed) {
    blo_indices *indices = &emitter->indices;
    const blo_index *at[BLO_MAX_RANK];
    int rank = node->rank, row = transposed ? rank - 1 : rank - 2, column = transposed ? rank - 2 : rank - 1;
    int64_t batch = 1;
    for (int i = 0; i < rank - 2; i++)
        batch *= node->shape[i];
    blo_index_split(indices, blo_index_name(indices, "b", batch, 0), rank - 2, node->shape, at);
    at[row] = blo_index_name(indices, "i", node->shape[row], 0);
    at[column] = blo_index_name(indices, "j", node->shape[column], 0);
    return blo_emit_value(emitter, node, at);
}

/* What the panels hold: the operand, or bytes still to be converted. */
static const blo_node *packed_node(const side *operand, const blo_gemm_pack *pack) {
    return pack->dtype == BLO_UINT8 ? operand->bytes : operand->node;
}

static blo_status add_pack(blo_lowering *lowering, const blo_gemm_shape *shape, const side *operand,
                           const blo_gemm_pack *pack, int array) {
    blo_text parameters = {0}, names = {0}, function = {0}, key = {0};
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, -1, 1);
    const char *type = blo_type_name(pack->dtype);
    const blo_value *value = emit_load(&emitter, packed_node(operand, pack), operand->transposed);
    blo_status status = no_memory(lowering);
    char name[64], *text = NULL;
    if (!value)
        goto done;
    blo_emit_parameters(&emitter, &parameters, true);
    blo_emit_parameters(&emitter, &names, false);
    blo_helpers_text(&emitter.uses, 1, &function);
    blo_text_add(&function, "static inline %s NAME_load(%s, const uint b, const uint i, const uint j) {\n",
                 type, parameters.data);
    blo_text_append(&function, blo_emit_text(&emitter, 0));
    blo_text_add(&function, "return %s;\n}\n", value->name);
    blo_text_add(&key, "%s %c %d %d", function.data, pack->operand, pack->along_k, pack->tile);
    if (function.failed || key.failed || names.failed || parameters.failed)
        goto done;
    snprintf(name, sizeof name, "blo_pack_%016" PRIx64, blo_text_hash(key.data));
    text = blo_gemm_pack_source(pack, name, parameters.data, names.data, function.data);
    blo_plan_step *step = text ? blo_lower_step(lowering) : NULL;
    if (!step || !(step->name = strdup(name)))
        goto done;
    step->text = text;
    text = NULL;
    step->fixed = lowering->arrays[array].kept = operand->facts.fixed;
    emitter.arrays[emitter.n_arrays++] = array;
    blo_emit_arguments(&emitter, step);
    bool is_b = pack->operand == 'b';
    uint64_t values[3] = {(uint64_t)shape->batch, (uint64_t)(is_b ? shape->k : shape->m),
                          (uint64_t)(is_b ? shape->n : shape->k)};
    for (int i = 0; i < 3; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.value = values[i]};
    blo_gemm_pack_launch(shape, pack, step->global, step->local);
    status = BLO_OK;
done:
    free(text);
    blo_text_free(&parameters);
    blo_text_free(&names);
    blo_text_free(&function);
    blo_text_free(&key);
    blo_emitter_free(&emitter);
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
                          const side *operand) {
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

/* One launch of a kernel of gemm.h on ARRAYS[n], followed by its VALUES. */
static blo_status add_gemm_step(blo_lowering *lowering, char *text, const char *name, int n, const int *arrays,
                                int n_values, const uint64_t *values, const size_t *global, const size_t *local) {
    blo_plan_step *step = text ? blo_lower_step(lowering) : NULL;
    if (!step || !(step->name = strdup(name))) {
        free(text);
        return no_memory(lowering);
    }
    step->text = text;
    for (int i = 0; i < n; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.is_array = true, .array = arrays[i]};
    for (int i = 0; i < n_values; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.value = values[i]};
    memcpy(step->global, global, sizeof step->global);
    memcpy(step->local, local, sizeof step->local);
    return BLO_OK;
}

static int operand_array(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                         const side *operand, blo_gemm_way way) {
    if (way == BLO_GEMM_PACKED)
        return packed_operand(lowering, shape, choice, operand);
    return blo_lower_node_array(lowering, array_of(lowering, operand->bytes));
}

/* What rides: the text that goes on from the tile, and the arrays it reads and writes. */
typedef struct ride {
    blo_emitter emitter;
    blo_text functions, parameters, text;
    blo_gemm_epilogue epilogue;
} ride;

static void end_ride(ride *r) {
    blo_text_free(&r->functions);
    blo_text_free(&r->parameters);
    blo_text_free(&r->text);
    blo_emitter_free(&r->emitter);
}

/* One vector of lanes after the other: lanes are rows of the result, g the first. */
static void ride_text(ride *r, const blo_gemm_choice *choice) {
    blo_text *text = &r->text;
    const char *lanes = blo_lanes_index(choice->vector);
    blo_text_add(text, "V tile[TM * VN];\n");
    for (int row = 0; row < choice->tile_m; row++)
        for (int v = 0; v < choice->vectors; v++)
            blo_text_add(text, "tile[%d] = acc%d_%d;\n", row * choice->vectors + v, row, v);
    blo_text_add(text, "for (uint v = 0; v < VN && column + v * W < n; v++) {\nconst uint g = (uint)column + v * W, rest = "
                       "(uint)n - g;\nconst %s lane = min((%s)(0",
                 lanes, lanes);
    for (int l = 1; l < choice->vector; l++)
        blo_text_add(text, ", %d", l);
    blo_text_add(text, "), (%s)(rest - 1));\n", lanes);
    blo_text_append(text, blo_emit_text(&r->emitter, 0));
    blo_text_add(text, "}\n");
}

/* False: no memory, or too many arrays. */
static bool start_ride(ride *r, blo_lowering *lowering, int index, const blo_node *node,
                       const blo_gemm_choice *choice) {
    const blo_group *group = &lowering->groups[index];
    blo_emitter *emitter = &r->emitter;
    blo_emitter_init(emitter, lowering, index, choice->vector);
    emitter->carried = node;
    for (int i = 0; i < group->n_riders; i++)
        blo_emit_rider(emitter, &lowering->groups[group->riders[i]], index, node->shape[0]);
    if (blo_root_is_wanted(lowering, node->id, index))
        blo_emit_whole(emitter, node);
    ride_text(r, choice);
    blo_helpers_text(&emitter->uses, choice->vector, &r->functions);
    blo_text_add(&r->parameters, ", ");
    blo_emit_parameters(emitter, &r->parameters, true);
    r->epilogue = (blo_gemm_epilogue){r->functions.data ? r->functions.data : "", r->parameters.data, r->text.data};
    return !(emitter->failed || emitter->indices.failed || emitter->scalar_only || r->functions.failed ||
             r->parameters.failed || r->text.failed);
}

/* The kernel of the tiles, from the operands into array TARGET, or into what rides with it (RIDING, NULL: nothing). */
static blo_status add_tiles(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                            const side *row, const side *column, int target, const ride *riding) {
    int arrays[3] = {operand_array(lowering, shape, choice, row, choice->row),
                     operand_array(lowering, shape, choice, column, choice->column), target};
    if (arrays[0] < 0 || arrays[1] < 0 || (target < 0 && !riding))
        return no_memory(lowering);
    char name[64];
    size_t global[3], local[3];
    uint64_t values[BLO_GEMM_VALUES];
    int n_values = blo_gemm_launch(shape, choice, global, local, values);
    char *text = blo_gemm_source(choice, shape->dtype, column->convert.data, riding ? &riding->epilogue : NULL, name);
    blo_status status = add_gemm_step(lowering, text, name, riding ? 2 : 3, arrays, n_values, values, global, local);
    if (status != BLO_OK || !riding)
        return status;
    blo_plan_step *step = &lowering->steps[lowering->n_steps - 1];
    for (int i = 0; i < riding->emitter.n_arrays; i++)
        step->arguments[step->n_arguments++] =
            (blo_plan_argument){.is_array = true, .array = riding->emitter.arrays[i]};
    return BLO_OK;
}

static blo_status add_sum(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                          int partial, int result) {
    char name[64];
    size_t global[3], local[3];
    uint64_t values[BLO_GEMM_VALUES];
    int n_values = blo_gemm_sum_launch(shape, choice, global, local, values);
    char *text = blo_gemm_sum_source(shape->dtype, name);
    return add_gemm_step(lowering, text, name, 2, (const int[]){partial, result}, n_values, values, global, local);
}

/* A product as it will run. */
typedef struct product {
    blo_gemm_shape shape;
    blo_gemm_choice choice;
    side a, b;
} product;

static product choose(const blo_lowering *lowering, const blo_node *node) {
    sizes s = sizes_of(node);
    product p = {.shape = {.dtype = node->dtype, .batch = s.batch, .m = s.m, .n = s.n, .k = s.k},
                 .a = describe(lowering, node, 'a'),
                 .b = describe(lowering, node, 'b')};
    blo_gemm_choose(lowering->device, &p.shape, &p.a.facts, &p.b.facts, &p.choice);
    return p;
}

static void forget(product *p) {
    blo_text_free(&p->a.convert);
    blo_text_free(&p->b.convert);
}

bool blo_product_carries(const blo_lowering *lowering, const blo_node *node) {
    if (lowering->device->gemm == BLO_GEMM_CLBLAST || blo_product_is_small(node) || node->rank != 2)
        return false;
    product p = choose(lowering, node);
    bool carries = p.choice.swapped && p.choice.split == 1 && p.choice.tile_m >= node->shape[1] &&
                   p.choice.column == BLO_GEMM_PACKED && p.choice.vector > 1;
    forget(&p);
    return carries;
}

static blo_status own_product(blo_lowering *lowering, int index, const blo_node *node) {
    product p = choose(lowering, node);
    const bool rides = lowering->groups[index].n_riders > 0, in_parts = p.choice.split > 1 && blo_root_is_read_once(lowering, node);
    const side *row = p.choice.swapped ? &p.b : &p.a, *column = p.choice.swapped ? &p.a : &p.b;
    ride riding = {0};
    int result = rides || in_parts ? -1 : blo_lower_node_array(lowering, node), target = result;
    if (p.choice.split > 1)
        target = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, node->dtype, p.choice.split * node->count);
    blo_status status =
        p.a.convert.failed || p.b.convert.failed || (!rides && target < 0) ? no_memory(lowering) : BLO_OK;
    if (status == BLO_OK && rides && !start_ride(&riding, lowering, index, node, &p.choice))
        status = no_memory(lowering);
    if (status == BLO_OK)
        status = add_tiles(lowering, &p.shape, &p.choice, row, column, target, rides ? &riding : NULL);
    if (in_parts) {
        lowering->facts[node->id].parts = p.choice.split;
        lowering->facts[node->id].partial = target;
    } else if (status == BLO_OK && p.choice.split > 1)
        status = add_sum(lowering, &p.shape, &p.choice, target, result);
    if (rides)
        end_ride(&riding);
    forget(&p);
    return status;
}

blo_status blo_lower_product(blo_lowering *lowering, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, lowering->groups[index].roots[0]);
    return lowering->device->gemm == BLO_GEMM_CLBLAST ? library_product(lowering, node)
                                                      : own_product(lowering, index, node);
}

bool blo_reads_only_fixed(const blo_lowering *lowering, const blo_node *node) {
    return is_fixed(lowering, node);
}
