/* Groups -> kernels: elementwise kernels with the short reductions they need, scatters, small products; and what all
 * generated kernels are made with (domain.h). Long reductions: reductions.c. */
#include "domain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STORED_OUTPUTS = 3, /* arrays of one root that its kernel writes: GROUP_ROOTS of them fit beside what is read */
    STORED_BY_PRODUCTS = 1,
    COPIED_OUTPUTS = 40 /* arrays that one kernel of copies writes */
};

/* Work-groups of few different sizes, since implementations compile a kernel anew for each. */
static size_t group_size(const blo_lowering *lowering, uint64_t items) {
    if (!lowering->device->is_cpu)
        return items > 64 ? 128 : 64;
    return items >= 512 ? 64 : 1;
}

/* Elements of an item. */
int64_t blo_domain_span(const blo_domain *over, int width) {
    return over->vectors > 1 ? (int64_t)over->vectors * width : width;
}

static uint64_t items_of(const blo_domain *over, int width) {
    const int64_t span = blo_domain_span(over, width);
    return (uint64_t)(over->outer * ((over->extent + span - 1) / span));
}

/* Elements that an item should compute at once. Lanes pay on CPU devices, and from a few vectors on. */
int blo_domain_width(const blo_lowering *lowering, int64_t elements) {
    const blo_device_facts *device = lowering->device;
    if (!device->is_cpu || device->float_vector_width < 4)
        return 1;
    int width = device->float_vector_width >= 16 ? 16 : 8;
    if (lowering->has_double)
        width /= 2;
    if (!lowering->routine)
        return elements >= 2 * width ? width : 1;
    while (width > 4 && elements < width)
        width /= 2;
    return elements >= width ? width : 1;
}

/* In a routine on a CPU device, which one item runs, the last vector moves back over the one before it, so that none is
 * partly empty: what both compute is the same. */
static bool overlaps(const blo_lowering *lowering, int width, const blo_domain *over) {
    return lowering->routine && width > 1 && over->extent >= width;
}

void blo_domain_start(blo_emitter *emitter, blo_lowering *lowering, int group, int width, const blo_domain *over) {
    blo_emitter_init(emitter, lowering, group, width);
    emitter->full = over->extent % width == 0 || overlaps(lowering, width, over);
    emitter->indices.unaligned = over->extent % width != 0;
}

/* Defines an item's indices. */
static void domain_text(const blo_emitter *emitter, const blo_domain *over, blo_text *text) {
    const int width = emitter->width;
    const char *item = width == 1 ? "g" : "item";
    if (over->team) {
        blo_text_add(text, "__local %s t[%d];\nconst uint g = get_group_id(0), member = get_local_id(0);\n{\n",
                     blo_type_name(over->shared), over->team);
        return;
    }
    if (emitter->lowering->routine)
        blo_text_add(text, "for (uint %s = BLO_LANE; %s < n; %s += BLO_LANES) {\n", item, item, item);
    else
        blo_text_add(text, "const uint %s = get_global_id(0);\nif (%s < n) {\n", item, item);
    if (width == 1)
        return;
    const char *type = blo_lanes_index(width);
    const int64_t span = blo_domain_span(over, width), blocks = (over->extent + span - 1) / span;
    char last[48] = "";
    if (emitter->full && over->extent % width != 0)
        snprintf(last, sizeof last, ", %" PRId64 "u)", over->extent - width);
    const char *least = *last ? "min(" : "", *g = over->vectors > 1 ? "first" : "g";
    if (over->outer > 1)
        blo_text_add(text, "const uint h = item / %" PRId64 "u, %s = %sitem %% %" PRId64 "u * %" PRId64 "u%s;\n",
                     blocks, g, least, blocks, span, last);
    else
        blo_text_add(text, "const uint g = %sitem * %du%s;\n", least, width, last);
    if (!emitter->full)
        blo_text_add(text, "const uint rest = %" PRId64 "u - g;\n", over->extent);
    blo_text_add(text, "const %s lane = %s(%s)(0", type, emitter->full ? "" : "min(", type);
    for (int l = 1; l < width; l++)
        blo_text_add(text, ", %d", l);
    blo_text_add(text, emitter->full ? ");\n" : "), (%s)(rest - 1));\n", type);
}

/* A routine's functions stay apart on CPU devices, whose compilers would else copy all of them into one: the first
 * start takes a fifth longer then, and the calls no less. */
static const char *qualifier(const blo_lowering *lowering) {
    if (!lowering->routine)
        return "__kernel";
    return lowering->device->is_cpu ? "static __attribute__((noinline))" : "static";
}

/* Adds a step that runs the emitter's text (the body of a kernel OVER its elements) on the emitter's arrays. VALUES
 * follow n. */
blo_status blo_domain_kernel(blo_emitter *emitter, const blo_domain *over, const char *value_parameters, int n_values,
                             const uint64_t *values) {
    blo_lowering *lowering = emitter->lowering;
    const uint64_t items = items_of(over, emitter->width);
    blo_text text = {0}, full = {0};
    const blo_text *body = blo_emit_text(emitter, 0);
    blo_emit_parameters(emitter, &text, true);
    blo_text_add(&text, ", const ulong n%s) {\n", value_parameters);
    domain_text(emitter, over, &text);
    blo_text_append(&text, body);
    blo_text_add(&text, "}\n}\n");
    char name[32];
    snprintf(name, sizeof name, "blo_%016" PRIx64, blo_text_hash(text.data ? text.data : ""));
    blo_helpers_text(&emitter->uses, emitter->width, &full);
    blo_text_add(&full, "%s void %s(", qualifier(lowering), name);
    blo_text_append(&full, &text);
    blo_text_free(&text);
    blo_plan_step *step = full.failed || emitter->failed || emitter->indices.failed ? NULL : blo_lower_step(lowering);
    if (!step || !(step->name = strdup(name))) {
        blo_text_free(&full);
        return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no memory to emit a kernel");
    }
    step->text = full.data;
    step->function = lowering->routine;
    blo_emit_arguments(emitter, step);
    step->arguments[step->n_arguments++] = (blo_plan_argument){.value = items};
    for (int i = 0; i < n_values; i++)
        step->arguments[step->n_arguments++] = (blo_plan_argument){.value = values[i]};
    step->local[0] = over->team ? (size_t)over->team : group_size(lowering, items);
    step->global[0] =
        over->team ? items * step->local[0] : (items + step->local[0] - 1) / step->local[0] * step->local[0];
    return BLO_OK;
}

/* Stores VALUE at LINEAR into NODE's array, which is the first output that it is, and into a few other outputs: into as
 * many as leave room for the kernel's other arrays. copy_outputs() writes the rest. */
void blo_emit_result(blo_emitter *emitter, const blo_node *node, const blo_value *value, const blo_index *linear,
                     int scope) {
    blo_lowering *lowering = emitter->lowering;
    const int own = node->op == BLO_OP_INPUT ? -1 : blo_lower_node_array(lowering, node);
    int left = emitter->carried ? STORED_BY_PRODUCTS : STORED_OUTPUTS;
    if (own >= 0) {
        blo_emit_store(emitter, blo_emit_array(emitter, own, true), linear, value, scope);
        left--;
    }
    for (int j = 0; j < lowering->n_outputs && left > 0; j++) {
        if (lowering->outputs[j] != node || (own >= 0 && lowering->arrays[own].index == j))
            continue;
        const int array = blo_lower_array(lowering, BLO_ARRAY_OUTPUT, j, node->dtype, node->count);
        if (array >= 0)
            blo_emit_store(emitter, blo_emit_array(emitter, array, true), linear, value, scope);
        left--;
    }
}

/* The loop in which an item (with lanes: each lane) walks the elements of its row; SCOPE 0: a row is one element. */
typedef struct row_loop {
    int scope;
    int64_t length;
    char name[24];
} row_loop;

static row_loop open_row(blo_emitter *emitter, int64_t length, bool walks) {
    row_loop loop = {.length = length, .name = "0"};
    if (walks) {
        loop.scope = blo_emit_open(emitter, 0);
        blo_emit_name(emitter, "r", loop.name);
    }
    return loop;
}

static void close_row(blo_emitter *emitter, const row_loop *loop) {
    char header[96];
    snprintf(header, sizeof header, "for (uint %s = 0; %s < %" PRId64 "; %s++)", loop->name, loop->name, loop->length,
             loop->name);
    if (loop->scope)
        blo_emit_close(emitter, loop->scope, header, "");
}

/* The indices of a group's elements, and their place in memory: AT[rank]; returns that place. Rows are the first ROW
 * axes. */
static const blo_index *element_index(blo_emitter *emitter, const blo_node *first, const blo_domain *over, int row,
                                      const row_loop *loop, const blo_index **at) {
    blo_indices *indices = &emitter->indices;
    const blo_index *linear = blo_index_lane(indices, "g", over->extent, 0);
    const int split = over->outer > 1 ? row - 1 : row;
    if (over->outer > 1) {
        const blo_index *outer = blo_index_name(indices, "h", over->outer, 0);
        blo_index_split(indices, outer, split, first->shape, at);
        at[split] = linear;
        linear = blo_index_join(indices, outer, over->extent, linear);
    } else
        blo_index_split(indices, linear, split, first->shape, at);
    if (loop->scope == 0)
        return linear;
    const blo_index *inner = blo_index_name(indices, loop->name, loop->length, loop->scope);
    blo_index_split(indices, inner, first->rank - row, first->shape + row, at + row);
    return blo_index_join(indices, linear, loop->length, inner);
}

/* Computes the group's roots, all of one shape, and writes those that others read. */
static void emit_roots(blo_emitter *emitter, const blo_group *group, const blo_domain *over, int row) {
    const blo_node *first = blo_graph_node(emitter->lowering->graph, group->roots[0]);
    const blo_index *at[BLO_MAX_RANK];
    const row_loop loop = open_row(emitter, first->count / (over->outer * over->extent), row < first->rank);
    const blo_index *linear = element_index(emitter, first, over, row, &loop, at);
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *root = blo_graph_node(emitter->lowering->graph, group->roots[i]);
        const blo_value *value = blo_emit_value(emitter, root, at);
        emitter->failed = emitter->failed || !value;
        if (value && blo_root_is_wanted(emitter->lowering, root->id, emitter->group))
            blo_emit_result(emitter, root, value, linear, loop.scope);
    }
    close_row(emitter, &loop);
}

/* The same for the lanes' own rows, of LENGTH elements each, which ROWS holds STEP apart. */
static void emit_rows_result(blo_emitter *emitter, const blo_node *node, const char *rows, const char *step,
                             int64_t length) {
    const int p = blo_emit_array(emitter, blo_lower_node_array(emitter->lowering, node), true);
    emitter->uses.rows[node->dtype] = true;
    blo_text_add(blo_emit_text(emitter, 0),
                 "blo_store_rows_%s(p%d + o%d + g * %" PRId64 "u, %s, %s, %" PRId64 "u, rest);\n",
                 blo_emit_type(emitter, node->dtype, true), p, p, length, rows, step, length);
}

void blo_emit_rider(blo_emitter *emitter, const blo_group *rider, int product, int64_t rows) {
    const blo_domain over = {.outer = 1, .extent = rows};
    const blo_graph *graph = emitter->lowering->graph;
    const blo_node *first = blo_graph_node(graph, rider->roots[0]);
    const blo_index *at[BLO_MAX_RANK];
    for (int i = 0; i < rider->n_roots; i++)
        blo_text_add(blo_emit_text(emitter, 0), "%s row%d[%" PRId64 "];\n",
                     blo_emit_type(emitter, blo_graph_node(graph, rider->roots[i])->dtype, true), rider->roots[i],
                     first->count / rows);
    const row_loop loop = open_row(emitter, first->count / rows, first->rank > 1);
    const blo_index *linear = element_index(emitter, first, &over, 1, &loop, at);
    const bool turned = loop.length >= BLO_TURNED_ROW;
    for (int i = 0; i < rider->n_roots; i++) {
        const blo_node *root = blo_graph_node(graph, rider->roots[i]);
        const blo_value *value = blo_emit_value(emitter, root, at);
        char widened[64];
        emitter->failed = emitter->failed || !value;
        if (value)
            blo_text_add(blo_emit_text(emitter, loop.scope), "row%d[%s] = %s;\n", root->id, loop.name,
                         blo_emit_widened(emitter, value, widened));
        if (value && !turned && blo_root_is_wanted(emitter->lowering, root->id, product))
            blo_emit_result(emitter, root, value, linear, loop.scope);
    }
    close_row(emitter, &loop);
    for (int i = 0; i < rider->n_roots; i++) {
        const blo_node *root = blo_graph_node(graph, rider->roots[i]);
        char name[24];
        snprintf(name, sizeof name, "row%d", root->id);
        if (turned && blo_root_is_wanted(emitter->lowering, root->id, product))
            emit_rows_result(emitter, root, name, "1", loop.length);
        emitter->in_rows[root->id] = true;
    }
}

void blo_emit_whole(blo_emitter *emitter, const blo_node *carrier) {
    if (carrier->shape[1] >= BLO_TURNED_ROW) {
        emit_rows_result(emitter, carrier, "tile + v", "VN", carrier->shape[1]);
        return;
    }
    blo_indices *indices = &emitter->indices;
    const row_loop loop = open_row(emitter, carrier->shape[1], true);
    const blo_index *row = blo_index_lane(indices, "g", carrier->shape[0], 0);
    const blo_index *at[2] = {row, blo_index_name(indices, loop.name, loop.length, loop.scope)};
    const blo_value *value = blo_emit_value(emitter, carrier, at);
    if (value)
        blo_emit_result(emitter, carrier, value, blo_index_join(indices, row, loop.length, at[1]), loop.scope);
    close_row(emitter, &loop);
}

static blo_status elementwise_kernel(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *first = blo_graph_node(lowering->graph, group->roots[0]);
    const int row = group->row < 0 ? first->rank : group->row;
    blo_domain over = {.outer = 1, .extent = 1};
    for (int i = 0; i < row; i++)
        over.extent *= first->shape[i];
    int width = blo_domain_width(lowering, over.extent);
    const int64_t last = row > 0 ? first->shape[row - 1] : 1;
    blo_status status = BLO_OK;
    for (bool done = false; !done; width = 1) {
        /* along the last axis, so that what is broadcast along the others needs no division and no gather */
        if (width > 1 && group->row < 0 && last >= 2 * width)
            over = (blo_domain){.outer = over.extent / last, .extent = last};
        else
            over = (blo_domain){.outer = 1, .extent = over.outer * over.extent};
        blo_emitter emitter;
        blo_domain_start(&emitter, lowering, index, width, &over);
        emit_roots(&emitter, group, &over, row);
        done = !emitter.scalar_only;
        if (done)
            status = blo_domain_kernel(&emitter, &over, "", 0, NULL);
        blo_emitter_free(&emitter);
    }
    return status;
}

/* Row r of the result is the sum of the rows whose index is r, in their order: one item per element of the result. */
static blo_status scatter_kernel(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]), *a = node->in[0], *which = node->in[1];
    const blo_domain over = {.outer = 1, .extent = node->count};
    blo_emitter emitter;
    blo_domain_start(&emitter, lowering, index, 1, &over);
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
    blo_emit_close(&emitter, loop, "BLO_SUM_IN_ORDER for (uint j = 0; j < length; j++)", "");
    const blo_value sum = {.node = node, .name = "s"};
    blo_emit_result(&emitter, node, &sum, g, 0);
    const uint64_t length = (uint64_t)which->count;
    blo_status status = blo_domain_kernel(&emitter, &over, ", const ulong length", 1, &length);
    blo_emitter_free(&emitter);
    return status;
}

/* Copies NODE's first output to others: number FROM of all that it is, and those after it. */
static blo_status copy_kernel(blo_lowering *lowering, const blo_node *node, int from) {
    const blo_domain over = {.outer = 1, .extent = node->count};
    blo_emitter emitter;
    blo_domain_start(&emitter, lowering, -1, blo_domain_width(lowering, node->count), &over);
    const blo_index *g = blo_index_lane(&emitter.indices, "g", node->count, 0), *at[BLO_MAX_RANK];
    blo_index_split(&emitter.indices, g, node->rank, node->shape, at);
    const blo_value *value = blo_emit_value(&emitter, node, at);
    emitter.failed = emitter.failed || !value;
    for (int j = 0, number = 0; value && j < lowering->n_outputs && number < from + COPIED_OUTPUTS; j++) {
        if (lowering->outputs[j] != node || number++ < from)
            continue;
        int parameter =
            blo_emit_array(&emitter, blo_lower_array(lowering, BLO_ARRAY_OUTPUT, j, node->dtype, node->count), true);
        blo_emit_store(&emitter, parameter, g, value, 0);
    }
    blo_status status = blo_domain_kernel(&emitter, &over, "", 0, NULL);
    if (status == BLO_OK)
        lowering->steps[lowering->n_steps - 1].copies = true;
    blo_emitter_free(&emitter);
    return status;
}

/* Writes the outputs that the kernel of NODE left: all that it is but the first STORED. */
static blo_status copy_outputs(blo_lowering *lowering, const blo_node *node, int stored) {
    int times = 0;
    for (int j = 0; j < lowering->n_outputs; j++)
        times += lowering->outputs[j] == node;
    blo_status status = BLO_OK;
    for (int done = stored; done < times && status == BLO_OK; done += COPIED_OUTPUTS)
        status = copy_kernel(lowering, node, done);
    return status;
}

static blo_status copy_roots(blo_lowering *lowering, const blo_group *group, int stored) {
    blo_status status = BLO_OK;
    for (int i = 0; i < group->n_roots && status == BLO_OK; i++)
        status = copy_outputs(lowering, blo_graph_node(lowering->graph, group->roots[i]), stored);
    return status;
}

/* What the kernels of GROUP, and of what rides with it, left to be copied. */
static blo_status copy_group(blo_lowering *lowering, const blo_group *group) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]);
    const bool by_product = (group->kind == BLO_GROUP_PRODUCT && !blo_product_is_small(node)) ||
                            (group->kind == BLO_GROUP_CONVOLUTION && !blo_convolution_is_small(node));
    blo_status status = copy_roots(lowering, group, by_product ? STORED_BY_PRODUCTS : STORED_OUTPUTS);
    for (int i = 0; i < group->n_riders && status == BLO_OK; i++)
        status = copy_roots(lowering, &lowering->groups[group->riders[i]], STORED_BY_PRODUCTS);
    return status;
}

enum { PRODUCT_ROWS = 8 }; /* most results of a lane at once */

/* The rows that a lane computes at once: they share what it reads of the other operand. */
static int64_t rows_at_once(int64_t rows) {
    int64_t most = PRODUCT_ROWS;
    while (rows % most != 0)
        most--;
    return most;
}

/* One item's block of a small product: lanes along its longer side ("g"), ROWS along the other ("h", with the batch); k
 * rises as in every product. */
static blo_status emit_product(blo_emitter *emitter, const blo_node *node, const blo_domain *over, bool down,
                               int64_t rows) {
    blo_indices *indices = &emitter->indices;
    const blo_node *const operands[2] = {node->in[0], node->in[1]};
    const bool transposed[2] = {node->attr.matmul.transpose_a, node->attr.matmul.transpose_b};
    const int row = node->rank - 2, column = node->rank - 1, side = down ? column : row;
    const int64_t length = operands[0]->shape[transposed[0] ? row : column], blocks = node->shape[side] / rows;
    const int loop = blo_emit_open(emitter, 0);
    const blo_index *h = blo_index_name(indices, over->outer > 1 ? "h" : "0", over->outer, 0), *at[BLO_MAX_RANK];
    const blo_index *k = blo_index_name(indices, "k", length, loop), *block = blo_index_mod(indices, h, blocks);
    blo_index_split(indices, blo_index_div(indices, h, blocks), row, node->shape, at);
    at[down ? row : column] = blo_index_lane(indices, "g", over->extent, 0);
    for (int64_t r = 0; r < rows; r++) {
        const blo_value *values[2];
        at[side] = blo_index_affine(indices, block, rows, r, node->shape[side]);
        for (int i = 0; i < 2; i++) { /* [batch, row, k] or [batch, k, column], or transposed */
            const blo_index *of[BLO_MAX_RANK];
            memcpy(of, at, sizeof of);
            of[transposed[i] ? column : row] = i == 0 ? at[row] : k;
            of[transposed[i] ? row : column] = i == 0 ? k : at[column];
            values[i] = blo_emit_value(emitter, operands[i], of);
        }
        if (emitter->scalar_only)
            return BLO_OK;
        if (!values[0] || !values[1]) {
            emitter->failed = true;
            break;
        }
        char a[64], b[64];
        blo_text_add(blo_emit_text(emitter, loop), "s%d = fma(%s, %s, s%d);\n", (int)r,
                     blo_emit_widened(emitter, values[0], a), blo_emit_widened(emitter, values[1], b), (int)r);
        blo_text_add(blo_emit_text(emitter, 0), "%s s%d = 0;\n", blo_emit_type(emitter, node->dtype, true), (int)r);
    }
    char header[96];
    snprintf(header, sizeof header, "for (uint k = 0; k < %" PRId64 "u; k++)", length);
    blo_emit_close(emitter, loop, header, "");
    for (int64_t r = 0; r < rows; r++) {
        blo_value sum = {.node = node, .wide = true};
        snprintf(sum.name, sizeof sum.name, "s%d", (int)r);
        at[side] = blo_index_affine(indices, block, rows, r, node->shape[side]);
        blo_emit_result(emitter, node, &sum, blo_index_linear(indices, node->rank, node->shape, at), 0);
    }
    return blo_domain_kernel(emitter, over, "", 0, NULL);
}

/* Small products: in blocks where lanes pay, else element by element. */
static blo_status small_product_kernel(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]);
    const int64_t m = node->shape[node->rank - 2], n = node->shape[node->rank - 1];
    const bool down = m > n;
    const int64_t rows = rows_at_once(down ? n : m);
    const blo_domain over = {.outer = node->count / (down ? m : n) / rows, .extent = down ? m : n};
    const int width = blo_domain_width(lowering, over.extent);
    if (width == 1)
        return elementwise_kernel(lowering, group, index);
    blo_emitter emitter;
    blo_domain_start(&emitter, lowering, index, width, &over);
    blo_status status = emit_product(&emitter, node, &over, down, rows);
    const bool scalar_only = emitter.scalar_only;
    blo_emitter_free(&emitter);
    return scalar_only ? elementwise_kernel(lowering, group, index) : status;
}

static blo_status product_kernels(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]);
    if (blo_product_is_small(node))
        return small_product_kernel(lowering, group, index);
    return blo_lower_product(lowering, index);
}

static blo_status convolution_kernels(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *node = blo_graph_node(lowering->graph, group->roots[0]);
    if (blo_convolution_is_small(node))
        return elementwise_kernel(lowering, group, index);
    return blo_lower_convolution(lowering, node);
}

blo_status blo_lower_kernels(blo_lowering *lowering) {
    blo_status status = BLO_OK;
    for (int i = 0; i < lowering->n_ordered && status == BLO_OK; i++) {
        int index = lowering->order[i], first = lowering->n_steps;
        const blo_group *group = &lowering->groups[index];
        switch (group->kind) {
        case BLO_GROUP_ELEMENTWISE: status = elementwise_kernel(lowering, group, index); break;
        case BLO_GROUP_REDUCE: status = blo_lower_reductions(lowering, group, index); break;
        case BLO_GROUP_SCATTER: status = scatter_kernel(lowering, group, index); break;
        case BLO_GROUP_PRODUCT: status = product_kernels(lowering, group, index); break;
        case BLO_GROUP_CONVOLUTION: status = convolution_kernels(lowering, group, index); break;
        }
        if (status == BLO_OK)
            status = copy_group(lowering, group);
        for (int s = first; s < lowering->n_steps; s++)
            lowering->steps[s].group = index;
    }
    return status;
}
