/* Movement: the same elements in another shape or order. */
#include <string.h>

#include "node.h"

blo_node *blo_node_broadcast(blo_node *a, int rank, const int64_t *shape, const int *map) {
    blo_attr attr;
    if (!a)
        return NULL;
    memset(&attr, 0, sizeof attr);
    for (int i = 0; i < a->rank; i++)
        attr.perm[i] = map[i];
    return blo_node_make(a->graph, BLO_OP_BROADCAST, a->dtype, rank, shape, 1, &a, &attr);
}

blo_node *blo_reshape(blo_node *a, int rank, const int64_t *shape) {
    char from[BLO_SHAPE_TEXT], to[BLO_SHAPE_TEXT];
    blo_graph *graph = blo_operands("blo_reshape", 1, &a);
    if (!graph)
        return NULL;
    if (rank < 0 || rank > BLO_MAX_RANK || (rank > 0 && !shape))
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_reshape: %d axes; want 0 to %d, with a shape", rank,
                              BLO_MAX_RANK);
    int64_t wanted[BLO_MAX_RANK], count = 1;
    int open = -1;
    bool fits = true;
    for (int i = 0; i < rank; i++) {
        wanted[i] = shape[i];
        fits = fits && (shape[i] >= 0 || (shape[i] == -1 && open < 0));
        if (shape[i] == -1)
            open = i;
        else
            count *= shape[i];
    }
    if (open >= 0 && fits && count > 0)
        wanted[open] = a->count / count;
    if (open >= 0)
        count *= wanted[open];
    if (!fits || count != a->count || (open >= 0 && wanted[open] < 0))
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_reshape: shape %s does not reshape to %s",
                              blo_shape_text(a->rank, a->shape, from), blo_shape_text(rank, shape, to));
    return blo_node_make(graph, BLO_OP_RESHAPE, a->dtype, rank, wanted, 1, &a, NULL);
}

blo_node *blo_permute(blo_node *a, const int *axes) {
    blo_graph *graph = blo_operands("blo_permute", 1, &a);
    if (!graph)
        return NULL;
    blo_attr attr;
    int64_t shape[BLO_MAX_RANK];
    unsigned seen = 0;
    memset(&attr, 0, sizeof attr);
    for (int i = 0; i < a->rank; i++) {
        if (axes[i] < 0 || axes[i] >= a->rank || seen >> axes[i] & 1)
            return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "blo_permute: axis %d of %d axes is %s", axes[i], a->rank,
                                  axes[i] < 0 || axes[i] >= a->rank ? "out of range" : "named twice");
        seen |= 1u << axes[i];
        attr.perm[i] = axes[i];
        shape[i] = a->shape[axes[i]];
    }
    return blo_node_make(graph, BLO_OP_PERMUTE, a->dtype, a->rank, shape, 1, &a, &attr);
}

blo_node *blo_transpose(blo_node *a) {
    int axes[BLO_MAX_RANK];
    blo_graph *graph = blo_operands("blo_transpose", 1, &a);
    if (!graph)
        return NULL;
    if (a->rank < 2)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_transpose: %d axes; at least 2 are wanted", a->rank);
    for (int i = 0; i < a->rank; i++)
        axes[i] = i;
    axes[a->rank - 1] = a->rank - 2;
    axes[a->rank - 2] = a->rank - 1;
    return blo_permute(a, axes);
}

blo_node *blo_slice(blo_node *a, const int64_t *start, const int64_t *stop, const int64_t *step) {
    blo_graph *graph = blo_operands("blo_slice", 1, &a);
    if (!graph)
        return NULL;
    blo_attr attr;
    int64_t shape[BLO_MAX_RANK];
    memset(&attr, 0, sizeof attr);
    for (int i = 0; i < a->rank; i++) {
        int64_t by = step ? step[i] : 1;
        if (start[i] < 0 || stop[i] < start[i] || stop[i] > a->shape[i] || by < 1)
            return blo_graph_fail(graph, BLO_ERROR_ARGUMENT,
                                  "blo_slice: %lld to %lld by %lld of axis %d, whose extent is %lld",
                                  (long long)start[i], (long long)stop[i], (long long)by, i, (long long)a->shape[i]);
        attr.window.start[i] = start[i];
        attr.window.step[i] = by;
        shape[i] = (stop[i] - start[i] + by - 1) / by;
    }
    return blo_node_make(graph, BLO_OP_SLICE, a->dtype, a->rank, shape, 1, &a, &attr);
}

blo_node *blo_pad(blo_node *a, const int64_t *low, const int64_t *high, const int64_t *interior) {
    blo_graph *graph = blo_operands("blo_pad", 1, &a);
    if (!graph)
        return NULL;
    blo_attr attr;
    int64_t shape[BLO_MAX_RANK];
    memset(&attr, 0, sizeof attr);
    for (int i = 0; i < a->rank; i++) {
        int64_t between = interior ? interior[i] : 0;
        if (low[i] < 0 || high[i] < 0 || between < 0)
            return blo_graph_fail(graph, BLO_ERROR_ARGUMENT,
                                  "blo_pad: %lld before, %lld after, %lld between along axis %d; none may be negative",
                                  (long long)low[i], (long long)high[i], (long long)between, i);
        attr.window.start[i] = low[i];
        attr.window.step[i] = between + 1;
        shape[i] = low[i] + high[i] + a->shape[i] + (a->shape[i] > 0 ? (a->shape[i] - 1) * between : 0);
    }
    return blo_node_make(graph, BLO_OP_PAD, a->dtype, a->rank, shape, 1, &a, &attr);
}

/* Do PART and FIRST fit along AXIS? */
static bool joins(const blo_node *first, const blo_node *part, int axis) {
    if (part->rank != first->rank || part->dtype != first->dtype)
        return false;
    for (int i = 0; i < first->rank; i++)
        if (i != axis && part->shape[i] != first->shape[i])
            return false;
    return true;
}

blo_node *blo_concat(int n, blo_node *const *parts, int axis) { /* each part among zeros, added up */
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    blo_graph *graph = n > 0 ? blo_operands("blo_concat", n, parts) : NULL;
    if (!graph)
        return NULL;
    int rank = parts[0]->rank, along = axis < 0 ? axis + rank : axis;
    int64_t total = 0, before = 0;
    if (along < 0 || along >= rank)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "blo_concat: axis %d of %d axes is out of range", axis, rank);
    for (int p = 0; p < n; p++) {
        if (!joins(parts[0], parts[p], along))
            return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_concat: %s %s and %s %s do not join along axis %d",
                                  blo_dtype_name(parts[0]->dtype), blo_shape_text(rank, parts[0]->shape, left),
                                  blo_dtype_name(parts[p]->dtype),
                                  blo_shape_text(parts[p]->rank, parts[p]->shape, right), axis);
        total += parts[p]->shape[along];
    }
    blo_node *sum = NULL;
    for (int p = 0; p < n; p++) {
        int64_t low[BLO_MAX_RANK] = {0}, high[BLO_MAX_RANK] = {0};
        low[along] = before;
        high[along] = total - before - parts[p]->shape[along];
        before += parts[p]->shape[along];
        blo_node *placed = blo_pad(parts[p], low, high, NULL);
        sum = p ? blo_add(sum, placed) : placed;
    }
    return sum;
}
