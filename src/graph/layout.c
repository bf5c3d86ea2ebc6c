/* The layout of images. Callers see [N,C,H,W]; the primitives of images are [N,H,W,C], channels last, so that what
 * lies side by side in memory is what vectors run along. A channels-first view is moved behind the operation that reads
 * it, so that a chain of layers stays channels last and only its ends are views. */
#include <string.h>

#include "node.h"

enum { AXES = 4 };
static const int to_first[AXES] = {0, 3, 1, 2}, to_last[AXES] = {0, 2, 3, 1};

/* A permutation that moves nothing but axes of extent 1 is a reshape: it costs nothing. */
static blo_node *reorder(blo_node *a, const int *axes, int64_t channels, int64_t pixels) {
    int64_t shape[AXES];
    if (channels != 1 && pixels != 1)
        return blo_permute(a, axes);
    for (int i = 0; i < AXES; i++)
        shape[i] = a->shape[axes[i]];
    return blo_reshape(a, AXES, shape);
}

blo_node *blo_channels_last(blo_node *a) {
    return a ? reorder(a, to_last, a->shape[1], a->shape[2] * a->shape[3]) : NULL;
}

blo_node *blo_channels_first(blo_node *a) {
    return a ? reorder(a, to_first, a->shape[3], a->shape[1] * a->shape[2]) : NULL;
}

static bool is_view(const blo_node *node) {
    return node->op == BLO_OP_PERMUTE && node->rank == AXES && !memcmp(node->attr.perm, to_first, sizeof to_first);
}

static blo_node *moved_elementwise(const blo_node *node) {
    blo_node *in[3];
    int64_t shape[AXES];
    bool any = false;
    for (int i = 0; i < node->n_in; i++)
        any = any || is_view(node->in[i]);
    if (!any)
        return NULL;
    for (int i = 0; i < node->n_in; i++)
        if (!(in[i] = blo_permute(node->in[i], to_last)))
            return NULL;
    for (int i = 0; i < AXES; i++)
        shape[i] = node->shape[to_last[i]];
    blo_node *made = blo_node_make(node->graph, node->op, node->dtype, AXES, shape, node->n_in, in, &node->attr);
    return made ? blo_permute(made, to_first) : NULL;
}

/* The axes that are left may come in another order. */
static blo_node *moved_reduction(const blo_node *node) {
    uint32_t axes = 0;
    int order[AXES], kept[AXES], n = 0;
    for (int i = 0; i < AXES; i++)
        if (node->attr.axes >> i & 1)
            axes |= 1u << to_first[i];
    for (int i = 0; i < AXES; i++) /* kept[axis of the operand]: which of the result's */
        if (!(axes >> i & 1))
            kept[i] = n++;
    n = 0;
    for (int i = 0; i < AXES; i++)
        if (!(node->attr.axes >> i & 1))
            order[n++] = kept[to_first[i]];
    blo_node *made = blo_node_reduce(node->op, node->in[0]->in[0], axes);
    return made ? blo_permute(made, order) : NULL;
}

static blo_node *moved_window(const blo_node *node) {
    blo_attr attr;
    int64_t shape[AXES];
    memset(&attr, 0, sizeof attr);
    for (int i = 0; i < AXES; i++) {
        attr.window.start[i] = node->attr.window.start[to_last[i]];
        attr.window.step[i] = node->attr.window.step[to_last[i]];
        shape[i] = node->shape[to_last[i]];
    }
    blo_node *in[1] = {node->in[0]->in[0]};
    blo_node *made = blo_node_make(node->graph, node->op, node->dtype, AXES, shape, 1, in, &attr);
    return made ? blo_permute(made, to_first) : NULL;
}

blo_node *blo_fold_layout(const blo_node *node) {
    if (blo_op_elementwise(node->op))
        return node->rank == AXES ? moved_elementwise(node) : NULL;
    if (node->n_in == 0 || !is_view(node->in[0]))
        return NULL;
    switch (node->op) {
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX: return moved_reduction(node);
    case BLO_OP_SLICE:
    case BLO_OP_PAD: return moved_window(node);
    default: return NULL;
    }
}
