/* Matrix products: a library call, or the operands as the tiled kernel wants them (operand.c) and that kernel. */
#include "emit.h"
#include "operand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    blo_text_add(text,
                 "for (uint v = 0; v < VN && column + v * W < n; v++) {\nconst uint g = (uint)column + v * W, rest = "
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

static bool add_arrays(blo_plan_step *step, int n, const int *arrays) {
    if (step->n_arguments + n > BLO_MAX_ARGUMENTS)
        return false;
    for (int i = 0; i < n; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.is_array = true, .array = arrays[i]};
    return true;
}

/* The kernel of the tiles, from the operands into array TARGET, or into what rides with it (RIDING, NULL: nothing). */
static blo_status add_tiles(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                            const blo_operand *row, const blo_operand *column, int target, const ride *riding) {
    blo_operand_loads loads = {0};
    const bool evaluated = choice->evaluated;
    blo_status status = BLO_OK;
    int arrays[3], n = 0;
    arrays[n++] = blo_operand_array(lowering, shape, choice, row);
    if (!evaluated)
        arrays[n++] = blo_operand_array(lowering, shape, choice, column);
    if (!riding)
        arrays[n++] = target;
    bool done = !evaluated || blo_operand_evaluate(lowering, shape, choice, column, &loads);
    for (int i = 0; i < n; i++)
        done = done && arrays[i] >= 0;
    if (done) {
        char name[64];
        size_t global[3], local[3];
        uint64_t values[BLO_GEMM_VALUES];
        int n_values = blo_gemm_launch(shape, choice, global, local, values);
        char *text = blo_gemm_source(choice, shape->dtype, column->convert.data, evaluated ? &loads.gemm : NULL,
                                     riding ? &riding->epilogue : NULL, name);
        status = add_gemm_step(lowering, text, name, n, arrays, n_values, values, global, local);
    }
    if (!done)
        status = no_memory(lowering);
    else if (status == BLO_OK) {
        blo_plan_step *step = &lowering->steps[lowering->n_steps - 1];
        done = add_arrays(step, loads.n_arrays, loads.arrays) &&
               (!riding || add_arrays(step, riding->emitter.n_arrays, riding->emitter.arrays));
        if (!done)
            status =
                blo_fail(lowering->context, BLO_ERROR_UNSUPPORTED, "a product's kernel would take too many arrays");
    }
    blo_operand_loads_free(&loads);
    return status;
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
    blo_operand a, b;
} product;

static product choose(const blo_lowering *lowering, const blo_node *node) {
    sizes s = sizes_of(node);
    product p = {.shape = {.dtype = node->dtype, .batch = s.batch, .m = s.m, .n = s.n, .k = s.k},
                 .a = blo_operand_describe(lowering, node, 'a'),
                 .b = blo_operand_describe(lowering, node, 'b')};
    blo_gemm_choose(lowering->device, &p.shape, &p.a.facts, &p.b.facts, &p.choice);
    return p;
}

static void forget(product *p) {
    blo_operand_free(&p->a);
    blo_operand_free(&p->b);
}

bool blo_product_carries(const blo_lowering *lowering, const blo_node *node) {
    if (lowering->device->gemm == BLO_GEMM_CLBLAST || blo_product_is_small(node) || node->rank != 2 ||
        node->shape[0] == 1) /* an axis of 1 may be broadcast: its index is not the lanes' */
        return false;
    product p = choose(lowering, node);
    bool carries = p.choice.swapped && p.choice.split == 1 && p.choice.tile_m >= node->shape[1] &&
                   p.choice.column != BLO_GEMM_ALONG_TILE && p.choice.vector > 1;
    forget(&p);
    return carries;
}

static blo_status own_product(blo_lowering *lowering, int index, const blo_node *node) {
    product p = choose(lowering, node);
    const bool rides = lowering->groups[index].n_riders > 0,
               in_parts = p.choice.split > 1 && blo_root_is_read_once(lowering, node);
    const blo_operand *row = p.choice.swapped ? &p.b : &p.a, *column = p.choice.swapped ? &p.a : &p.b;
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
