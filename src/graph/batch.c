/* Batches of tasks: a computation written for one task, for many at once. What differs from task to task gets a leading
 * axis of tasks, what does not is computed once and shared. Each primitive has a rule (the table in ops.c names it);
 * the aim of every rule is one operation of the same kind for all tasks, as large as it can be. Convolutions and
 * pooling: batch_images.c. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

/* --- shapes --- */

void blo_task_shape(int64_t tasks, int rank, const int64_t *shape, int64_t *all) {
    all[0] = tasks;
    memcpy(all + 1, shape, (size_t)rank * sizeof *all);
}

blo_node *blo_for_all_tasks(blo_node *a, int64_t tasks) {
    int64_t shape[BLO_MAX_RANK];
    int map[BLO_MAX_RANK];
    if (!a)
        return NULL;
    if (a->rank == BLO_MAX_RANK)
        return blo_graph_fail(a->graph, BLO_ERROR_SHAPE, "a batch of tasks: %s already has %d axes; want at most %d",
                              blo_op_name(a->op), a->rank, BLO_MAX_RANK - 1);
    blo_task_shape(tasks, a->rank, a->shape, shape);
    for (int i = 0; i < a->rank; i++)
        map[i] = i + 1;
    return blo_node_broadcast(a, a->rank + 1, shape, map);
}

blo_node *blo_move_axis(blo_node *a, int from, int to) {
    int axes[BLO_MAX_RANK];
    int64_t shape[BLO_MAX_RANK], passed = 1;
    if (!a)
        return NULL;
    for (int i = 0, next = 0; i < a->rank; i++) {
        next += next == from;
        axes[i] = i == to ? from : next++;
        shape[i] = a->shape[axes[i]];
    }
    for (int i = from; i != to; i += from < to ? 1 : -1)
        passed *= a->shape[from < to ? i + 1 : i - 1];
    return a->shape[from] == 1 || passed == 1 ? blo_reshape(a, a->rank, shape) : blo_permute(a, axes);
}

/* --- elementwise, reductions, movement: one axis further --- */

blo_node *blo_b_elementwise(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    blo_node *all[3] = {NULL, NULL, NULL};
    int64_t shape[BLO_MAX_RANK];
    for (int i = 0; i < node->n_in; i++)
        if (!(all[i] = per_task[i] ? in[i] : blo_for_all_tasks(in[i], tasks)))
            return NULL;
    blo_task_shape(tasks, node->rank, node->shape, shape);
    return blo_node_make(node->graph, node->op, node->dtype, node->rank + 1, shape, node->n_in, all, &node->attr);
}

blo_node *blo_b_reduction(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    (void)tasks, (void)per_task;
    return blo_node_reduce(node->op, in[0], node->attr.axes << 1);
}

blo_node *blo_b_reshape(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    int64_t shape[BLO_MAX_RANK];
    (void)per_task;
    blo_task_shape(tasks, node->rank, node->shape, shape);
    return blo_reshape(in[0], node->rank + 1, shape);
}

blo_node *blo_b_broadcast(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    int64_t shape[BLO_MAX_RANK];
    int map[BLO_MAX_RANK] = {0};
    (void)per_task;
    blo_task_shape(tasks, node->rank, node->shape, shape);
    for (int i = 0; i < node->in[0]->rank; i++)
        map[i + 1] = node->attr.perm[i] + 1;
    return blo_node_broadcast(in[0], node->rank + 1, shape, map);
}

blo_node *blo_b_permute(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    int axes[BLO_MAX_RANK] = {0};
    (void)tasks, (void)per_task;
    for (int i = 0; i < node->rank; i++)
        axes[i + 1] = node->attr.perm[i] + 1;
    return blo_permute(in[0], axes);
}

blo_node *blo_b_window(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    blo_attr attr;
    int64_t shape[BLO_MAX_RANK];
    (void)per_task;
    memset(&attr, 0, sizeof attr);
    blo_task_shape(0, node->rank, node->attr.window.start, attr.window.start);
    blo_task_shape(1, node->rank, node->attr.window.step, attr.window.step);
    blo_task_shape(tasks, node->rank, node->shape, shape);
    return blo_node_make(node->graph, node->op, node->dtype, node->rank + 1, shape, 1, in, &attr);
}

/* --- indices --- */

blo_node *blo_b_random(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    (void)tasks, (void)in, (void)per_task;
    return blo_graph_fail(node->graph, BLO_ERROR_UNSUPPORTED,
                          "a batch of tasks: the counter of random numbers differs from task to task; want one counter "
                          "for all tasks");
}

/* INDEX [TASKS, I...] into the ROWS of its own task, as one into those of all tasks, [TASKS * ROWS]; -1 where it is out
 * of its task's. */
static blo_node *offset_index(blo_node *index, int64_t tasks, int64_t rows) {
    if (rows > INT32_MAX / tasks)
        return blo_graph_fail(index->graph, BLO_ERROR_SHAPE,
                              "a batch of tasks: an index into %lld rows of each of %lld tasks; want at most %d in all",
                              (long long)rows, (long long)tasks, (int)INT32_MAX);
    blo_node *own = blo_cast(index, BLO_INT32), *task = blo_iota(index->graph, BLO_INT32, own->rank, own->shape, 0);
    blo_node *inside =
        blo_logical_and(blo_greater_equal(own, blo_zeros_like(own)), blo_less(own, blo_full_like(own, (double)rows)));
    return blo_select(inside, blo_add(own, blo_scale(task, (double)rows)), blo_full_like(own, -1));
}

/* A [TASKS,R,D...] as the rows of all tasks, [TASKS * R,D...]. */
static blo_node *merged_rows(blo_node *a) {
    int64_t shape[BLO_MAX_RANK];
    memcpy(shape, a->shape + 1, sizeof shape - sizeof *shape);
    shape[0] *= a->shape[0];
    return blo_reshape(a, a->rank - 1, shape);
}

blo_node *blo_b_gather(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    if (!per_task[0])
        return blo_gather(in[0], in[1]);
    if (per_task[1]) {
        blo_node *index = offset_index(in[1], tasks, node->in[0]->shape[0]);
        return index ? blo_gather(merged_rows(in[0]), index) : NULL;
    }
    return blo_move_axis(blo_gather(blo_move_axis(in[0], 0, 1), in[1]), node->in[1]->rank, 0); /* rows of all tasks */
}

blo_node *blo_b_scatter_add(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    const int64_t rows = node->shape[0];
    const int index_axes = node->in[1]->rank;
    if (!per_task[1])
        return blo_move_axis(blo_scatter_add(blo_move_axis(in[0], 0, index_axes), in[1], rows), 1, 0);
    blo_node *a = per_task[0] ? in[0] : blo_for_all_tasks(in[0], tasks);
    blo_node *index = offset_index(in[1], tasks, rows), *all = index ? blo_scatter_add(a, index, tasks * rows) : NULL;
    int64_t shape[BLO_MAX_RANK];
    blo_task_shape(tasks, node->rank, node->shape, shape);
    return all ? blo_reshape(all, node->rank + 1, shape) : NULL;
}

/* --- products --- */

/* One matrix is shared: the rows of the other's matrices, of all tasks, are those of one product, where they lie so. */
static blo_node *merged_product(const blo_node *node, blo_node *const *in, const bool *per_task) {
    const bool ta = node->attr.matmul.transpose_a, tb = node->attr.matmul.transpose_b;
    if (node->rank != 2)
        return NULL;
    if (!per_task[1] && !ta)
        return blo_matmul(in[0], in[1], false, tb);
    if (!per_task[0] && tb) /* (A B^T)^T = B A^T */
        return blo_transpose(blo_matmul(in[1], in[0], false, !ta));
    return NULL;
}

blo_node *blo_b_matmul(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    blo_node *merged = per_task[0] && per_task[1] ? NULL : merged_product(node, in, per_task);
    if (merged || blo_graph_status(node->graph) != BLO_OK)
        return merged;
    return blo_matmul(per_task[0] ? in[0] : blo_for_all_tasks(in[0], tasks),
                      per_task[1] ? in[1] : blo_for_all_tasks(in[1], tasks), node->attr.matmul.transpose_a,
                      node->attr.matmul.transpose_b);
}

/* --- the pass --- */

/* MAP[id]: what stands in the place of node id; PER_TASK[id]: it has an axis of tasks. */
typedef struct batching {
    int64_t tasks;
    blo_node **map;
    bool *per_task;
} batching;

static void batch_node(const batching *batch, blo_node *node) {
    blo_node *in[3] = {NULL, NULL, NULL};
    bool per_task[3] = {false, false, false}, any = false;
    for (int i = 0; i < node->n_in; i++) {
        in[i] = batch->map[node->in[i]->id];
        per_task[i] = batch->per_task[node->in[i]->id];
        any = any || per_task[i];
    }
    batch->per_task[node->id] = any;
    if (!any)
        batch->map[node->id] = node;
    else if (node->rank == BLO_MAX_RANK)
        blo_for_all_tasks(node, batch->tasks); /* says so */
    else
        batch->map[node->id] = blo_op_entry_of(node->op)->batching(node, batch->tasks, in, per_task);
}

/* Does TO have the type and, after the tasks, the shape of FROM? */
static bool stands_for(const blo_node *from, const blo_node *to, int64_t tasks) {
    char wanted[BLO_SHAPE_TEXT], given[BLO_SHAPE_TEXT];
    if (from->dtype == to->dtype && to->rank == from->rank + 1 && to->shape[0] == tasks &&
        !memcmp(to->shape + 1, from->shape, (size_t)from->rank * sizeof *from->shape))
        return true;
    blo_graph_fail(from->graph, BLO_ERROR_SHAPE,
                   "a batch of %lld tasks: %s %s in the place of %s %s; the same after a first axis of %lld is wanted",
                   (long long)tasks, blo_dtype_name(to->dtype), blo_shape_text(to->rank, to->shape, given),
                   blo_dtype_name(from->dtype), blo_shape_text(from->rank, from->shape, wanted), (long long)tasks);
    return false;
}

/* Maps the nodes FROM to TO, then all that is LIVE, operands first. */
static void run(const batching *batch, blo_graph *graph, int n_nodes, const bool *live, int m, blo_node *const *from,
                blo_node *const *to) {
    for (int i = 0; i < m && stands_for(from[i], to[i], batch->tasks); i++) {
        batch->map[from[i]->id] = to[i];
        batch->per_task[from[i]->id] = true;
    }
    for (int id = 0; id < n_nodes && blo_graph_status(graph) == BLO_OK; id++)
        if (live[id] && !batch->map[id])
            batch_node(batch, blo_graph_node(graph, id));
}

blo_status blo_graph_batch(int n, blo_node *const *outputs, int m, blo_node *const *from, blo_node *const *to,
                           int64_t tasks, blo_node **results) {
    if (n == 0)
        return BLO_OK;
    blo_graph *graph = outputs[0]->graph;
    if (tasks < 1) {
        blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "a batch of %lld tasks; want at least 1", (long long)tasks);
        return blo_graph_status(graph);
    }
    const int n_nodes = blo_graph_nodes(graph); /* what is made comes after, and is no operand of these */
    bool *live = calloc((size_t)n_nodes + 1, sizeof *live);
    batching batch = {tasks, calloc((size_t)n_nodes + 1, sizeof(blo_node *)),
                      calloc((size_t)n_nodes + 1, sizeof(bool))};
    if (live && batch.map && batch.per_task) {
        blo_graph_mark_live(n, outputs, live);
        run(&batch, graph, n_nodes, live, m, from, to);
        for (int i = 0; i < n && blo_graph_status(graph) == BLO_OK; i++) {
            blo_node *result = batch.map[outputs[i]->id];
            results[i] = batch.per_task[outputs[i]->id] ? result : blo_for_all_tasks(result, tasks);
        }
    } else
        blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory to batch %d nodes", n_nodes);
    free(live);
    free(batch.map);
    free(batch.per_task);
    return blo_graph_status(graph);
}
