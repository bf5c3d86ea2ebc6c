/* Groups -> kernels: elementwise kernels with the short reductions they need, long reductions in one or two kernels,
 * scatters. The order of every sum follows from the reduction's own shape, never from what else the kernel computes. */
#include "emit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERIAL_LENGTH = 256, /* a reduction up to this long is one loop */
    CHUNK = 128,         /* elements of one partial sum */
    MANY_OUTER = 4096,   /* with as many results there is work enough without partial sums */
    MAX_PARTIALS = 65536 /* partial results of one reduction */
};

/* Work-groups of few different sizes, since implementations compile a kernel anew for each. */
static size_t group_size(const blo_lowering *lowering, uint64_t items) {
    if (!lowering->device->is_cpu)
        return items > 64 ? 128 : 64;
    return items >= 16384 ? 256 : items >= 512 ? 64 : items >= 32 ? 8 : 1;
}

/* Adds a step that runs TEXT (the body of a kernel over g < n, with the emitter's arrays) on ITEMS items. VALUES follow
 * n. */
static blo_status add_kernel(blo_emitter *emitter, const char *value_parameters, uint64_t items, int n_values,
                             const uint64_t *values) {
    blo_lowering *lowering = emitter->lowering;
    blo_text text = {0}, full = {0};
    const blo_text *body = blo_emit_text(emitter, 0);
    blo_emit_parameters(emitter, &text, true);
    blo_text_add(&text, ", const ulong n%s) {\nconst uint g = get_global_id(0);\nif (g < n) {\n", value_parameters);
    blo_text_append(&text, body);
    blo_text_add(&text, "}\n}\n");
    char name[32];
    snprintf(name, sizeof name, "blo_%016" PRIx64, blo_text_hash(text.data ? text.data : ""));
    blo_text_add(&full, "%s__kernel void %s(", emitter->uses_random ? blo_philox_text : "", name);
    blo_text_append(&full, &text);
    blo_text_free(&text);
    blo_plan_step *step = full.failed || emitter->failed || emitter->indices.failed ? NULL : blo_lower_step(lowering);
    if (!step || !(step->name = strdup(name))) {
        blo_text_free(&full);
        return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no memory to emit a kernel");
    }
    step->text = full.data;
    blo_emit_arguments(emitter, step);
    step->arguments[step->n_arguments++] = (blo_plan_argument){.value = items};
    for (int i = 0; i < n_values; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.value = values[i]};
    step->local[0] = group_size(lowering, items);
    step->global[0] = (items + step->local[0] - 1) / step->local[0] * step->local[0];
    return BLO_OK;
}

/* Stores VALUE at LINEAR into every array of NODE: its own, and each output it is. */
static void store(blo_emitter *emitter, const blo_node *node, const char *value, const blo_index *linear, int scope) {
    blo_lowering *lowering = emitter->lowering;
    int own = node->op == BLO_OP_INPUT ? -1 : blo_lower_node_array(lowering, node);
    const char *at = blo_index_text(&emitter->indices, linear);
    for (int j = -1; j < lowering->n_outputs; j++) {
        int array = own;
        if (j >= 0) {
            if (lowering->outputs[j] != node ||
                (own >= 0 && lowering->arrays[own].kind == BLO_ARRAY_OUTPUT && lowering->arrays[own].index == j))
                continue;
            array = blo_lower_array(lowering, BLO_ARRAY_OUTPUT, j, node->dtype, node->count);
        }
        if (array < 0)
            continue;
        int parameter = blo_emit_array(emitter, array, true);
        blo_text_add(blo_emit_text(emitter, scope), "p%d[o%d + %s] = %s;\n", parameter, parameter, at, value);
    }
}

/* One item per row (the first ROW axes), which walks the elements of its row; or one per element. */
static blo_status elementwise_kernel(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *first = blo_graph_node(lowering->graph, group->roots[0]);
    int row = group->row < 0 ? first->rank : group->row, scope = 0;
    int64_t rows = 1, length = 1;
    for (int i = 0; i < first->rank; i++)
        *(i < row ? &rows : &length) *= first->shape[i];
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, index);
    blo_indices *indices = &emitter.indices;
    const blo_index *at[BLO_MAX_RANK], *linear = blo_index_name(indices, "g", rows, 0);
    blo_index_split(indices, linear, row, first->shape, at);
    if (row < first->rank) {
        scope = blo_emit_open(&emitter, 0);
        const blo_index *inner = blo_index_name(indices, "r", length, scope);
        blo_index_split(indices, inner, first->rank - row, first->shape + row, at + row);
        linear = blo_index_join(indices, linear, length, inner);
    }
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *root = blo_graph_node(lowering->graph, group->roots[i]);
        const blo_value *value = blo_emit_value(&emitter, root, at);
        if (value)
            store(&emitter, root, value->name, linear, scope);
        else
            emitter.failed = true;
    }
    if (scope) {
        char header[96];
        snprintf(header, sizeof header, "for (uint r = 0; r < %" PRId64 "; r++)", length);
        blo_emit_close(&emitter, scope, header, "");
    }
    blo_status status = add_kernel(&emitter, "", (uint64_t)rows, 0, NULL);
    blo_emitter_free(&emitter);
    return status;
}

/* The second half of a split reduction: partial [CHUNKS,outer] -> the result, in order. */
static blo_status combine_kernel(blo_lowering *lowering, const blo_node *node, int index, int partial,
                                 uint64_t chunks) {
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, index);
    blo_text *text = blo_emit_text(&emitter, 0);
    int from = blo_emit_array(&emitter, partial, false);
    blo_text_add(text, "%s s = %s;\nfor (ulong c = 0; c < chunks; c++) {\nconst %s v = p%d[o%d + c * n + g];\n",
                 blo_type_name(node->dtype), blo_reduction_start(node), blo_type_name(node->dtype), from, from);
    blo_reduction_update(text, node, "s", "v");
    blo_text_add(text, "}\n");
    store(&emitter, node, "s", blo_index_name(&emitter.indices, "g", node->count, 0), 0);
    blo_status status = add_kernel(&emitter, ", const ulong chunks", (uint64_t)node->count, 1, &chunks);
    blo_emitter_free(&emitter);
    return status;
}

static uint64_t chunks_of(const blo_node *node, int64_t length) {
    if (length <= SERIAL_LENGTH || node->count >= MANY_OUTER)
        return 1;
    int64_t chunks = (length + CHUNK - 1) / CHUNK, most = MAX_PARTIALS / node->count;
    return (uint64_t)(chunks < most ? chunks : most);
}

/* A reduction of any axes: one item per result, or per result and chunk of the reduced elements. */
static blo_status reduce_kernel(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]);
    int64_t length = blo_reduction_length(node);
    uint64_t chunks = chunks_of(node, length), chunk = ((uint64_t)length + chunks - 1) / chunks;
    int partial =
        chunks > 1 ? blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, node->dtype, (int64_t)chunks * node->count) : -1;
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, index);
    blo_indices *indices = &emitter.indices;
    int loop = blo_emit_open(&emitter, 0);
    const blo_index *g = blo_index_name(indices, "g", (int64_t)chunks * node->count, 0);
    const blo_index *result = blo_index_mod(indices, g, node->count), *part = blo_index_div(indices, g, node->count);
    const blo_index *at[BLO_MAX_RANK], *operand[BLO_MAX_RANK];
    blo_index_split(indices, result, node->rank, node->shape, at);
    blo_reduction_index(indices, node, at, blo_index_name(indices, "j", length, loop), operand);
    const blo_value *value = length > 0 ? blo_emit_value(&emitter, node->in[0], operand) : NULL;
    emitter.failed = emitter.failed || (length > 0 && !value);
    if (value)
        blo_reduction_update(blo_emit_text(&emitter, loop), node, "s", value->name);
    blo_text *text = blo_emit_text(&emitter, 0);
    blo_text_add(text, "%s s = %s;\n", blo_type_name(node->dtype), blo_reduction_start(node));
    if (chunks > 1) {
        const char *from = blo_index_text(indices, part);
        blo_text_add(blo_emit_text(&emitter, 0), "const uint to = min((uint)length, (uint)(%s * chunk + chunk));\n",
                     from);
        char header[96];
        snprintf(header, sizeof header, "for (uint j = %s * chunk; j < to; j++)", from);
        blo_emit_close(&emitter, loop, header, "");
        int parameter = blo_emit_array(&emitter, partial, true);
        blo_text_add(blo_emit_text(&emitter, 0), "p%d[o%d + g] = s;\n", parameter, parameter);
    } else {
        blo_emit_close(&emitter, loop, "for (uint j = 0; j < length; j++)", "");
        store(&emitter, node, "s", g, 0);
    }
    const uint64_t values[] = {(uint64_t)length, chunk};
    blo_status status =
        add_kernel(&emitter, ", const ulong length, const ulong chunk", chunks * (uint64_t)node->count, 2, values);
    blo_emitter_free(&emitter);
    if (status == BLO_OK && chunks > 1)
        status = combine_kernel(lowering, node, index, partial, chunks);
    return status;
}

/* Row r of the result is the sum of the rows whose index is r, in their order: one item per element of the result. */
static blo_status scatter_kernel(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]), *a = node->in[0], *which = node->in[1];
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, index);
    blo_indices *indices = &emitter.indices;
    int loop = blo_emit_open(&emitter, 0), match = blo_emit_open(&emitter, loop);
    const blo_index *g = blo_index_name(indices, "g", node->count, 0), *at[BLO_MAX_RANK], *from[BLO_MAX_RANK];
    blo_index_split(indices, g, node->rank, node->shape, at);
    blo_index_split(indices, blo_index_name(indices, "j", which->count, loop), which->rank, which->shape, from);
    const blo_value *row = which->count > 0 ? blo_emit_value(&emitter, which, from) : NULL;
    /* the same position by a name of the inner scope, so that the row's values are computed only where they are wanted
     */
    blo_index_split(indices, blo_index_name(indices, "m", which->count, match), which->rank, which->shape, from);
    for (int i = 1; i < node->rank; i++)
        from[which->rank + i - 1] = at[i];
    const blo_value *value = row ? blo_emit_value(&emitter, a, from) : NULL;
    if (value) {
        char header[128];
        blo_text_add(blo_emit_text(&emitter, match), "s += %s;\n", value->name);
        snprintf(header, sizeof header, "const uint m = j;\nif ((int)%s == (int)%s)", row->name,
                 blo_index_text(indices, at[0]));
        blo_emit_close(&emitter, match, header, "");
    }
    emitter.failed = emitter.failed || (which->count > 0 && !value);
    blo_text_add(blo_emit_text(&emitter, 0), "%s s = 0;\n", blo_type_name(node->dtype));
    blo_emit_close(&emitter, loop, "for (uint j = 0; j < length; j++)", "");
    store(&emitter, node, "s", g, 0);
    const uint64_t length = (uint64_t)which->count;
    blo_status status = add_kernel(&emitter, ", const ulong length", (uint64_t)node->count, 1, &length);
    blo_emitter_free(&emitter);
    return status;
}

/* A product that is several outputs: its kernel writes the first, this one copies it to the others. */
static blo_status copy_kernel(blo_lowering *lowering, const blo_node *node) {
    int times = 0;
    for (int j = 0; j < lowering->n_outputs; j++)
        times += lowering->outputs[j] == node;
    if (times < 2)
        return BLO_OK;
    blo_emitter emitter;
    blo_emitter_init(&emitter, lowering, -1);
    const blo_index *g = blo_index_name(&emitter.indices, "g", node->count, 0), *at[BLO_MAX_RANK];
    blo_index_split(&emitter.indices, g, node->rank, node->shape, at);
    const blo_value *value = blo_emit_value(&emitter, node, at);
    emitter.failed = emitter.failed || !value;
    for (int j = 0; value && j < lowering->n_outputs; j++) {
        const blo_plan_array *own = &lowering->arrays[blo_lower_node_array(lowering, node)];
        if (lowering->outputs[j] != node || own->index == j)
            continue;
        int parameter =
            blo_emit_array(&emitter, blo_lower_array(lowering, BLO_ARRAY_OUTPUT, j, node->dtype, node->count), true);
        blo_text_add(blo_emit_text(&emitter, 0), "p%d[o%d + g] = %s;\n", parameter, parameter, value->name);
    }
    blo_status status = add_kernel(&emitter, "", (uint64_t)node->count, 0, NULL);
    blo_emitter_free(&emitter);
    return status;
}

static blo_status product_kernels(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]);
    if (blo_product_is_small(node))
        return elementwise_kernel(lowering, group, index);
    blo_status status = blo_lower_product(lowering, node);
    return status == BLO_OK ? copy_kernel(lowering, node) : status;
}

blo_status blo_lower_kernels(blo_lowering *lowering) {
    blo_status status = BLO_OK;
    for (int i = 0; i < lowering->n_groups && status == BLO_OK; i++) {
        int index = lowering->order[i], first = lowering->n_steps;
        const blo_group *group = &lowering->groups[index];
        switch (group->kind) {
        case BLO_GROUP_ELEMENTWISE: status = elementwise_kernel(lowering, group, index); break;
        case BLO_GROUP_REDUCE: status = reduce_kernel(lowering, group, index); break;
        case BLO_GROUP_SCATTER: status = scatter_kernel(lowering, group, index); break;
        case BLO_GROUP_PRODUCT: status = product_kernels(lowering, group, index); break;
        }
        for (int s = first; s < lowering->n_steps; s++)
            lowering->steps[s].group = index;
    }
    return status;
}
