/* Values that are indices or are found by them: iota, one-hot, gather and its adjoint, and counter-based random
 * numbers. */
#include <string.h>

#include "node.h"

enum { STREAM_STEP = 1 }; /* the second uniform of a normal is drawn with the next key */

blo_node *blo_iota(blo_graph *graph, blo_dtype dtype, int rank, const int64_t *shape, int axis) {
    blo_attr attr;
    if (!graph)
        return NULL;
    int along = axis < 0 ? axis + rank : axis;
    if (along < 0 || along >= rank)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "blo_iota: axis %d of %d axes is out of range", axis, rank);
    if (blo_dtype_size(dtype) == 0)
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_iota: %d is no element type", (int)dtype);
    memset(&attr, 0, sizeof attr);
    attr.axis = along;
    return blo_node_make(graph, BLO_OP_IOTA, dtype, rank, shape, 0, NULL, &attr);
}

static bool is_index(const blo_node *node) {
    return node->dtype == BLO_INT32 || node->dtype == BLO_UINT8;
}

static blo_node *not_index(const char *call, const blo_node *index) {
    return blo_graph_fail(index->graph, BLO_ERROR_DTYPE, "%s: the index is %s; int32 or uint8 is wanted", call,
                          blo_dtype_name(index->dtype));
}

blo_node *blo_gather(blo_node *a, blo_node *index) {
    blo_node *in[2] = {a, index};
    blo_graph *graph = blo_operands("blo_gather", 2, in);
    if (!graph)
        return NULL;
    if (!is_index(index))
        return not_index("blo_gather", index);
    if (a->rank == 0 || a->rank - 1 + index->rank > BLO_MAX_RANK)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_gather: %d axes by an index of %d", a->rank, index->rank);
    int64_t shape[BLO_MAX_RANK];
    for (int i = 0; i < index->rank; i++)
        shape[i] = index->shape[i];
    for (int i = 1; i < a->rank; i++)
        shape[index->rank + i - 1] = a->shape[i];
    return blo_node_make(graph, BLO_OP_GATHER, a->dtype, index->rank + a->rank - 1, shape, 2, in, NULL);
}

blo_node *blo_scatter_add(blo_node *a, blo_node *index, int64_t rows) {
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    blo_node *in[2] = {a, index};
    blo_graph *graph = blo_operands("blo_scatter_add", 2, in);
    if (!graph)
        return NULL;
    if (!is_index(index))
        return not_index("blo_scatter_add", index);
    bool fits = a->rank >= index->rank && rows >= 0;
    for (int i = 0; i < index->rank && fits; i++)
        fits = a->shape[i] == index->shape[i];
    if (!fits)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_scatter_add: values %s by an index %s into %lld rows",
                              blo_shape_text(a->rank, a->shape, left), blo_shape_text(index->rank, index->shape, right),
                              (long long)rows);
    int64_t shape[BLO_MAX_RANK] = {rows};
    for (int i = index->rank; i < a->rank; i++)
        shape[1 + i - index->rank] = a->shape[i];
    return blo_node_make(graph, BLO_OP_SCATTER_ADD, a->dtype, 1 + a->rank - index->rank, shape, 2, in, NULL);
}

blo_node *blo_one_hot(blo_node *index, int64_t classes, blo_dtype dtype) {
    blo_graph *graph = blo_operands("blo_one_hot", 1, &index);
    if (!graph)
        return NULL;
    if (!is_index(index))
        return not_index("blo_one_hot", index);
    if (index->rank == BLO_MAX_RANK || classes < 0)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_one_hot: %lld classes of an index of %d axes",
                              (long long)classes, index->rank);
    int64_t shape[BLO_MAX_RANK];
    int map[BLO_MAX_RANK];
    for (int i = 0; i < index->rank; i++) {
        shape[i] = index->shape[i];
        map[i] = i;
    }
    shape[index->rank] = classes;
    blo_node *wide = blo_node_broadcast(blo_cast(index, BLO_INT32), index->rank + 1, shape, map);
    return blo_cast(blo_equal(wide, blo_iota(graph, BLO_INT32, index->rank + 1, shape, index->rank)), dtype);
}

/* --- random numbers --- */

blo_node *blo_random_uniform(blo_node *counter, uint64_t seed, blo_dtype dtype, int rank, const int64_t *shape) {
    blo_graph *graph = blo_operands("blo_random_uniform", 1, &counter);
    if (!graph)
        return NULL;
    if (counter->dtype != BLO_INT32 || counter->rank != 0 || !blo_is_floating(dtype))
        return blo_graph_fail(graph, BLO_ERROR_DTYPE,
                              "blo_random_uniform: the counter is %s of %d axes and the result %s; an int32 scalar and "
                              "float or double are wanted",
                              blo_dtype_name(counter->dtype), counter->rank, blo_dtype_name(dtype));
    blo_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.seed = seed;
    return blo_node_make(graph, BLO_OP_RANDOM, dtype, rank, shape, 1, &counter, &attr);
}

blo_node *blo_random_normal(blo_node *counter, uint64_t seed, blo_dtype dtype, int rank, const int64_t *shape) {
    const double two_pi = 6.283185307179586476925;
    blo_node *u = blo_random_uniform(counter, seed, dtype, rank, shape);
    blo_node *v = blo_random_uniform(counter, seed + STREAM_STEP, dtype, rank, shape);
    blo_node *radius =
        blo_sqrt(blo_scale(blo_log(blo_sub(blo_full_like(u, 1), u)), -2)); /* of 1 - u, which is never 0 */
    return blo_mul(radius, blo_cos(blo_scale(v, two_pi)));
}
