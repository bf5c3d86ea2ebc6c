/* Batches of tasks: convolutions and pooling. Images of all tasks are one longer list of images where the weight is
 * shared; where each task has its own weight, tasks are groups of channels, or channels of each group. See batch.c. */
#include <string.h>

#include "node.h"

/* --- tasks among images and channels --- */

/* A [TASKS,N,H,W,C] as the images of all tasks, [TASKS * N,H,W,C]. */
static blo_node *merged_images(blo_node *a) {
    if (!a)
        return NULL;
    const int64_t shape[4] = {a->shape[0] * a->shape[1], a->shape[2], a->shape[3], a->shape[4]};
    return blo_reshape(a, 4, shape);
}

/* A [TASKS,N,H,W,GROUPS * C] with the tasks among the channels: [N,H,W,GROUPS * TASKS * C]. */
static blo_node *merged_channels(blo_node *a, int64_t groups) {
    if (!a)
        return NULL;
    const int64_t *s = a->shape, parts[6] = {s[0], s[1], s[2], s[3], groups, s[4] / groups},
                  merged[4] = {s[1], s[2], s[3], s[0] * s[4]};
    blo_node *moved = blo_move_axis(blo_reshape(a, 6, parts), 0, 4);
    return moved ? blo_reshape(moved, 4, merged) : NULL;
}

/* And back: A [N,H,W,GROUPS * TASKS * C] -> [TASKS,N,H,W,GROUPS * C]. */
static blo_node *split_channels(blo_node *a, int64_t tasks, int64_t groups) {
    if (!a)
        return NULL;
    const int64_t *s = a->shape, parts[6] = {s[0], s[1], s[2], groups, tasks, s[3] / groups / tasks},
                  split[5] = {tasks, s[0], s[1], s[2], s[3] / tasks};
    blo_node *moved = blo_move_axis(blo_reshape(a, 6, parts), 4, 0);
    return moved ? blo_reshape(moved, 5, split) : NULL;
}

/* W [TASKS,GROUPS * O,C,R,S] with the tasks among the outputs: [GROUPS * TASKS * O,C,R,S]. */
static blo_node *merged_outputs(blo_node *w, int64_t groups) {
    const int64_t *s = w->shape, parts[6] = {s[0], groups, s[1] / groups, s[2], s[3], s[4]},
                  merged[4] = {s[0] * s[1], s[2], s[3], s[4]};
    blo_node *moved = blo_move_axis(blo_reshape(w, 6, parts), 0, 1);
    return moved ? blo_reshape(moved, 4, merged) : NULL;
}

static blo_node *split_outputs(blo_node *w, int64_t tasks, int64_t groups) {
    if (!w)
        return NULL;
    const int64_t *s = w->shape, parts[6] = {groups, tasks, s[0] / groups / tasks, s[1], s[2], s[3]},
                  split[5] = {tasks, s[0] / tasks, s[1], s[2], s[3]};
    blo_node *moved = blo_move_axis(blo_reshape(w, 6, parts), 1, 0);
    return moved ? blo_reshape(moved, 5, split) : NULL;
}

/* W [TASKS,O,C,R,S] with the tasks among the inputs: [O,TASKS * C,R,S]. */
static blo_node *merged_inputs(blo_node *w) {
    const int64_t *s = w->shape, merged[4] = {s[1], s[0] * s[2], s[3], s[4]};
    blo_node *moved = blo_move_axis(w, 0, 1);
    return moved ? blo_reshape(moved, 4, merged) : NULL;
}

static blo_node *split_inputs(blo_node *w, int64_t tasks) {
    if (!w)
        return NULL;
    const int64_t *s = w->shape, parts[5] = {s[0], tasks, s[1] / tasks, s[2], s[3]};
    return blo_move_axis(blo_reshape(w, 5, parts), 1, 0);
}

/* --- convolutions --- */

/* How many times longer axes of the result are, and how many times more groups there are. */
typedef struct larger {
    int64_t first, second, last, groups;
} larger;

static blo_node *convolution(const blo_node *node, blo_node *a, blo_node *b, larger by) {
    blo_node *in[2] = {a, b};
    blo_attr attr;
    if (!a || !b)
        return NULL;
    const int64_t shape[4] = {node->shape[0] * by.first, node->shape[1] * by.second, node->shape[2],
                              node->shape[3] * by.last};
    memcpy(&attr, &node->attr, sizeof attr);
    attr.conv.groups *= by.groups;
    return blo_node_make(node->graph, node->op, node->dtype, 4, shape, 2, in, &attr);
}

static blo_node *split_images(const blo_node *node, blo_node *a, int64_t tasks) {
    int64_t shape[BLO_MAX_RANK];
    blo_task_shape(tasks, node->rank, node->shape, shape);
    return a ? blo_reshape(a, node->rank + 1, shape) : NULL;
}

/* CONV, of x and w, and CONV_INPUT, of g and w: images and a weight to images. What the tasks of a shared image lie
 * among are the channels of the result: the weight's outputs, or its inputs. */
blo_node *blo_b_conv(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    const int64_t groups = node->attr.conv.groups;
    if (!per_task[1])
        return split_images(node, convolution(node, merged_images(in[0]), in[1], (larger){tasks, 1, 1, 1}), tasks);
    if (per_task[0])
        return split_channels(
            convolution(node, merged_channels(in[0], 1), merged_outputs(in[1], 1), (larger){1, 1, tasks, tasks}), tasks,
            1);
    blo_node *w = node->op == BLO_OP_CONV ? merged_outputs(in[1], groups) : merged_inputs(in[1]);
    return split_channels(convolution(node, in[0], w, (larger){1, 1, tasks, 1}), tasks, groups);
}

/* Of x and g: two images to a weight. */
blo_node *blo_b_conv_weight(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    const int64_t groups = node->attr.conv.groups;
    if (per_task[0] && per_task[1])
        return split_outputs(
            convolution(node, merged_channels(in[0], 1), merged_channels(in[1], 1), (larger){tasks, 1, 1, tasks}),
            tasks, 1);
    if (per_task[0])
        return split_inputs(convolution(node, merged_channels(in[0], groups), in[1], (larger){1, tasks, 1, 1}), tasks);
    return split_outputs(convolution(node, in[0], merged_channels(in[1], groups), (larger){tasks, 1, 1, 1}), tasks,
                         groups);
}

/* --- pooling: of each image by itself --- */

blo_node *blo_b_pool(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task) {
    blo_node *merged[2] = {NULL, NULL};
    for (int i = 0; i < node->n_in; i++)
        if (!(merged[i] = merged_images(per_task[i] ? in[i] : blo_for_all_tasks(in[i], tasks))))
            return NULL;
    const int64_t shape[4] = {tasks * node->shape[0], node->shape[1], node->shape[2], node->shape[3]};
    return split_images(
        node, blo_node_make(node->graph, node->op, node->dtype, 4, shape, node->n_in, merged, &node->attr), tasks);
}
