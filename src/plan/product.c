/* Matrix products: a library call, or packing both operands and the register-tiled kernel. An operand's expression (a
 * cast of bytes, a scale, a transpose) is evaluated while it is packed; an operand packed for one product serves the
 * others of the plan. */
#include "emit.h"
#include "gemm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct blo_packed {
    const blo_node *node;
    bool is_b, transposed;
    int tile, array;
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

/* Writes the function load(…, b, i, j): element (i, j) of batch b of the operand as the product sees it. */
static const blo_value *emit_load(blo_emitter *emitter, const blo_node *operand, bool transposed) {
    blo_indices *indices = &emitter->indices;
    const blo_index *at[BLO_MAX_RANK];
    int rank = operand->rank, row = transposed ? rank - 1 : rank - 2, column = transposed ? rank - 2 : rank - 1;
    int64_t batch = 1;
    for (int i = 0; i < rank - 2; i++)
        batch *= operand->shape[i];
    blo_index_split(indices, blo_index_name(indices, "b", batch, 0), rank - 2, operand->shape, at);
    at[row] = blo_index_name(indices, "i", operand->shape[row], 0);
    at[column] = blo_index_name(indices, "j", operand->shape[column], 0);
    return blo_emit_value(emitter, operand, at);
}

/* Which way the operand lies in memory, as far as one can tell: along j unless a transpose shows. */
static bool lies_along_rows(const blo_node *operand, bool transposed) {
    while (operand->n_in > 0 && operand->op != BLO_OP_MATMUL && operand->op != BLO_OP_GATHER &&
           operand->op != BLO_OP_SUM) {
        if (operand->op == BLO_OP_PERMUTE)
            transposed = transposed != (operand->attr.perm[operand->rank - 1] != operand->rank - 1);
        operand = operand->in[0];
    }
    return transposed;
}

static blo_status add_pack(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                           const blo_node *operand, bool is_b, bool transposed, int array) {
    blo_text parameters = {0}, names = {0}, function = {0}, key = {0};
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, -1, 1);
    const char *type = blo_type_name(operand->dtype);
    const blo_value *value = emit_load(&emitter, operand, transposed);
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
    blo_gemm_pack pack = {.operand = is_b ? 'b' : 'a', .along_rows = lies_along_rows(operand, transposed)};
    blo_text_add(&key, "%s %d %d %d %d", function.data, is_b, pack.along_rows, choice->tile_m, choice->tile_n);
    if (function.failed || key.failed || names.failed || parameters.failed)
        goto done;
    snprintf(name, sizeof name, "blo_pack_%016" PRIx64, blo_text_hash(key.data));
    text = blo_gemm_pack_source(choice, operand->dtype, &pack, name, parameters.data, names.data, function.data);
    blo_plan_step *step = text ? blo_lower_step(lowering) : NULL;
    if (!step || !(step->name = strdup(name)))
        goto done;
    step->text = text;
    text = NULL;
    step->fixed = lowering->arrays[array].kept = is_fixed(lowering, operand);
    emitter.arrays[emitter.n_arrays++] = array;
    blo_emit_arguments(&emitter, step);
    uint64_t values[3] = {(uint64_t)shape->batch, (uint64_t)(is_b ? shape->k : shape->m),
                          (uint64_t)(is_b ? shape->n : shape->k)};
    for (int i = 0; i < 3; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.value = values[i]};
    blo_gemm_pack_launch(shape, choice, &pack, step->global, step->local);
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

/* The array of the packed operand, packing it if no product before did; -1: no memory. */
static int packed_operand(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                          const blo_node *operand, bool is_b, bool transposed) {
    int tile = is_b ? choice->tile_n : choice->tile_m;
    for (int i = 0; i < lowering->n_packed; i++) {
        const blo_packed *p = &lowering->packed[i];
        if (p->node == operand && p->is_b == is_b && p->transposed == transposed && p->tile == tile)
            return p->array;
    }
    uint64_t count = is_b ? blo_gemm_packed_b_count(shape, choice) : blo_gemm_packed_a_count(shape, choice);
    int array = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, operand->dtype, (int64_t)count);
    if (lowering->n_packed == lowering->packed_capacity) {
        int capacity = lowering->packed_capacity ? 2 * lowering->packed_capacity : 8;
        blo_packed *packed = realloc(lowering->packed, (size_t)capacity * sizeof *packed);
        if (!packed)
            return -1;
        lowering->packed = packed;
        lowering->packed_capacity = capacity;
    }
    if (array < 0 || add_pack(lowering, shape, choice, operand, is_b, transposed, array) != BLO_OK)
        return -1;
    lowering->packed[lowering->n_packed++] =
        (blo_packed){.node = operand, .is_b = is_b, .transposed = transposed, .tile = tile, .array = array};
    return array;
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

static blo_status own_product(blo_lowering *lowering, const blo_node *node) {
    sizes s = sizes_of(node);
    blo_gemm_shape shape = {.dtype = node->dtype, .batch = s.batch, .m = s.m, .n = s.n, .k = s.k};
    blo_gemm_choice choice;
    blo_gemm_choose(lowering->device, &shape, &choice);
    int a = packed_operand(lowering, &shape, &choice, node->in[0], false, node->attr.matmul.transpose_a);
    int b = packed_operand(lowering, &shape, &choice, node->in[1], true, node->attr.matmul.transpose_b);
    int result = blo_lower_node_array(lowering, node), target = result;
    if (choice.split > 1)
        target = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, node->dtype, choice.split * s.batch * s.m * s.n);
    if (a < 0 || b < 0 || target < 0 || result < 0)
        return no_memory(lowering);
    char name[64];
    size_t global[3], local[3];
    uint64_t values[BLO_GEMM_VALUES];
    int n_values = blo_gemm_launch(&shape, &choice, global, local, values);
    char *text = blo_gemm_source(&choice, node->dtype, name);
    blo_status status =
        add_gemm_step(lowering, text, name, 3, (const int[]){a, b, target}, n_values, values, global, local);
    if (status != BLO_OK || choice.split == 1)
        return status;
    n_values = blo_gemm_sum_launch(&shape, &choice, global, local, values);
    text = blo_gemm_sum_source(node->dtype, name);
    return add_gemm_step(lowering, text, name, 2, (const int[]){target, result}, n_values, values, global, local);
}

blo_status blo_lower_product(blo_lowering *lowering, const blo_node *node) {
    return lowering->device->gemm == BLO_GEMM_CLBLAST ? library_product(lowering, node) : own_product(lowering, node);
}
