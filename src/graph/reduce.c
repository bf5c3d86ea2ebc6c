/* Reductions over sets of axes, and what is made of them. */
#include <math.h>
#include <string.h>

#include "node.h"

blo_node *blo_node_reduce(blo_op op, blo_node *a, uint32_t axes) {
    blo_graph *graph = blo_operands(blo_op_name(op), 1, &a);
    if (!graph)
        return NULL;
    int64_t shape[BLO_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < a->rank; i++) {
        if (!(axes >> i & 1))
            shape[rank++] = a->shape[i];
        else if (op == BLO_OP_REDUCE_MAX && a->shape[i] == 0)
            return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_max_axes: axis %d has extent 0: a maximum over nothing",
                                  i);
    }
    blo_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.axes = axes;
    return blo_node_make(graph, op, a->dtype, rank, shape, 1, &a, &attr);
}

/* The bit mask of N axes of A; false: the graph's error is set. */
static bool axes_of(const char *call, blo_node *a, int n, const int *axes, uint32_t *mask) {
    blo_graph *graph = blo_operands(call, 1, &a);
    if (!graph)
        return false;
    *mask = 0;
    for (int i = 0; i < n; i++) {
        int axis = axes[i] < 0 ? axes[i] + a->rank : axes[i];
        if (axis < 0 || axis >= a->rank || *mask >> axis & 1) {
            blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "%s: axis %d of %d axes is %s", call, axes[i], a->rank,
                           axis < 0 || axis >= a->rank ? "out of range" : "named twice");
            return false;
        }
        *mask |= 1u << axis;
    }
    return true;
}

static int64_t length_of(const blo_node *a, uint32_t mask) {
    int64_t length = 1;
    for (int i = 0; i < a->rank; i++)
        if (mask >> i & 1)
            length *= a->shape[i];
    return length;
}

/* RESULT with the reduced axes of A back as extent 1. */
static blo_node *keep_axes(const blo_node *a, blo_node *result, uint32_t mask) {
    int64_t shape[BLO_MAX_RANK];
    for (int i = 0; i < a->rank; i++)
        shape[i] = mask >> i & 1 ? 1 : a->shape[i];
    return result ? blo_reshape(result, a->rank, shape) : NULL;
}

static blo_node *reduce(const char *call, blo_op op, blo_node *a, int n, const int *axes, bool keep) {
    uint32_t mask;
    if (!axes_of(call, a, n, axes, &mask))
        return NULL;
    blo_node *result = blo_node_reduce(op, a, mask);
    return keep ? keep_axes(a, result, mask) : result;
}

blo_node *blo_sum_axes(blo_node *a, int n, const int *axes, bool keep) {
    return reduce("blo_sum_axes", BLO_OP_SUM, a, n, axes, keep);
}

blo_node *blo_max_axes(blo_node *a, int n, const int *axes, bool keep) {
    return reduce("blo_max_axes", BLO_OP_REDUCE_MAX, a, n, axes, keep);
}

/* What is greater the smaller A is, and gives A again: for integers the complement, which unlike the negative exists
 * for all. */
static blo_node *mirrored(blo_node *a) {
    if (!a || a->dtype == BLO_FLOAT || a->dtype == BLO_DOUBLE)
        return blo_neg(a);
    return blo_sub(blo_full_like(a, a->dtype == BLO_UINT8 ? 255.0 : -1.0), a);
}

blo_node *blo_min_axes(blo_node *a, int n, const int *axes, bool keep) {
    return mirrored(reduce("blo_min_axes", BLO_OP_REDUCE_MAX, mirrored(a), n, axes, keep));
}

blo_node *blo_mean_axes(blo_node *a, int n, const int *axes, bool keep) {
    uint32_t mask;
    if (!axes_of("blo_mean_axes", a, n, axes, &mask))
        return NULL;
    if (!blo_is_floating(a->dtype))
        return blo_graph_fail(a->graph, BLO_ERROR_DTYPE, "blo_mean_axes: %s; float or double is wanted",
                              blo_dtype_name(a->dtype));
    return blo_scale(blo_sum_axes(a, n, axes, keep), 1 / (double)length_of(a, mask));
}

blo_node *blo_sum(blo_node *a) {
    return a ? blo_node_reduce(BLO_OP_SUM, a, (1u << a->rank) - 1) : NULL;
}

blo_node *blo_mean(blo_node *a) {
    int axes[BLO_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    if (a && a->count == 0)
        return blo_constant(a->graph, a->dtype, (double)NAN);
    return a ? blo_mean_axes(a, a->rank, axes, false) : NULL;
}

blo_node *blo_dot(blo_node *a, blo_node *b) {
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    blo_node *in[2] = {a, b};
    blo_graph *graph = blo_operands("blo_dot", 2, in);
    if (graph && !blo_same_shape(a, b))
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_dot: shapes %s and %s are not equal",
                              blo_shape_text(a->rank, a->shape, left), blo_shape_text(b->rank, b->shape, right));
    return blo_sum(blo_mul(a, b));
}

blo_node *
blo_norm(blo_node *a) { /* the root sees 1 where the sum is 0, so that no derivative of any order is infinite there */
    blo_node *sum = blo_sum(blo_mul(a, a)), *zero = blo_zeros_like(sum), *one = blo_full_like(sum, 1);
    blo_node *is_zero = blo_equal(sum, zero);
    return blo_select(is_zero, zero, blo_sqrt(blo_select(is_zero, one, sum)));
}

blo_node *blo_argmax(blo_node *a) { /* the least index among those that equal the maximum */
    const int last[1] = {-1};
    blo_graph *graph = blo_operands("blo_argmax", 1, &a);
    if (!graph)
        return NULL;
    if (a->rank == 0)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_argmax: a scalar has no last axis");
    int64_t extent = a->shape[a->rank - 1];
    blo_node *index = blo_iota(graph, BLO_INT32, a->rank, a->shape, a->rank - 1);
    blo_node *is_max = blo_equal(a, blo_max_axes(a, 1, last, true));
    return blo_min_axes(blo_select(is_max, index, blo_full_like(index, (double)extent)), 1, last, false);
}
