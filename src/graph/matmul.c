/* The batched matrix product: shapes, batch axes, and the collapse of a batch over a shared right operand. */
#include <string.h>

#include "node.h"

static blo_node *does_not_fit(blo_node *a, blo_node *b, bool ta, bool tb) {
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    return blo_graph_fail(a->graph, BLO_ERROR_SHAPE, "blo_matmul: %s%s by %s%s do not fit",
                          blo_shape_text(a->rank, a->shape, left), ta ? " transposed" : "",
                          blo_shape_text(b->rank, b->shape, right), tb ? " transposed" : "");
}

/* A matrix repeated over the batch axes of LIKE. */
static blo_node *repeat(blo_node *matrix, const blo_node *like) {
    int64_t shape[BLO_MAX_RANK];
    for (int i = 0; i < like->rank - 2; i++)
        shape[i] = like->shape[i];
    shape[like->rank - 2] = matrix->shape[0];
    shape[like->rank - 1] = matrix->shape[1];
    return blo_broadcast_to(matrix, like->rank, shape);
}

/* [B...,M,K] by one [K,N]: the batch is rows of one product. */
static blo_node *collapsed(blo_node *a, blo_node *b, bool tb) {
    int64_t flat[2] = {-1, a->shape[a->rank - 1]}, shape[BLO_MAX_RANK];
    int64_t rows = 1;
    for (int i = 0; i < a->rank - 1; i++)
        rows *= shape[i] = a->shape[i];
    flat[0] = rows;
    shape[a->rank - 1] = b->shape[tb ? 0 : 1];
    return blo_reshape(blo_matmul(blo_reshape(a, 2, flat), b, false, tb), a->rank, shape);
}

blo_node *blo_matmul(blo_node *a, blo_node *b, bool transpose_a, bool transpose_b) {
    blo_node *in[2] = {a, b};
    blo_graph *graph = blo_operands("blo_matmul", 2, in);
    if (!graph)
        return NULL;
    if (a->dtype != b->dtype || !blo_is_floating(a->dtype))
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_matmul: %s by %s; both float or both double are wanted",
                              blo_dtype_name(a->dtype), blo_dtype_name(b->dtype));
    if (a->rank < 2 || b->rank < 2 || (a->rank != b->rank && a->rank != 2 && b->rank != 2))
        return does_not_fit(a, b, transpose_a, transpose_b);
    int64_t k_a = a->shape[a->rank - (transpose_a ? 2 : 1)], k_b = b->shape[b->rank - (transpose_b ? 1 : 2)];
    if (k_a != k_b)
        return does_not_fit(a, b, transpose_a, transpose_b);
    if (b->rank == 2 && a->rank > 2 && !transpose_a)
        return collapsed(a, b, transpose_b);
    if (a->rank < b->rank)
        in[0] = repeat(a, b);
    else if (b->rank < a->rank)
        in[1] = repeat(b, a);
    if (!in[0] || !in[1])
        return NULL;
    int rank = in[0]->rank;
    int64_t shape[BLO_MAX_RANK];
    for (int i = 0; i < rank - 2; i++) {
        if (in[0]->shape[i] != in[1]->shape[i])
            return does_not_fit(a, b, transpose_a, transpose_b);
        shape[i] = in[0]->shape[i];
    }
    shape[rank - 2] = a->shape[a->rank - (transpose_a ? 1 : 2)];
    shape[rank - 1] = b->shape[b->rank - (transpose_b ? 2 : 1)];
    blo_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.matmul.transpose_a = transpose_a;
    attr.matmul.transpose_b = transpose_b;
    return blo_node_make(graph, BLO_OP_MATMUL, a->dtype, rank, shape, 2, in, &attr);
}
