/* What a node is without being computed, or with less: constants, identities, movement of movement, sums of products.
 * Only sums may be rounded otherwise; no other value changes, a NaN included (x * 0 is not 0), but for the sign of a
 * zero in x + 0. */
#include <math.h>
#include <string.h>

#include "node.h"

enum { MUCH_SHORTER = 4 };

static double rounded(blo_dtype dtype, double value) {
    switch (dtype) {
    case BLO_FLOAT: return (double)(float)value;
    case BLO_INT32:
        return isnan(value) ? 0 : value <= INT32_MIN ? INT32_MIN : value >= INT32_MAX ? INT32_MAX : trunc(value);
    case BLO_UINT8: return isnan(value) || value <= 0 ? 0 : value >= UINT8_MAX ? UINT8_MAX : trunc(value);
    default: return value;
    }
}

/* The operation on numbers; false where it is not for constants. Transcendental functions are left to the device, whose
 * value it is. */
static bool evaluate(const blo_node *node, double a, double b, double *result) {
    switch (node->op) {
    case BLO_OP_CAST:
    case BLO_OP_STOP: *result = a; return true;
    case BLO_OP_NEG: *result = -a; return true;
    case BLO_OP_SQRT: *result = sqrt(a); return true;
    case BLO_OP_ADD: *result = a + b; return true;
    case BLO_OP_SUB: *result = a - b; return true;
    case BLO_OP_MUL: *result = a * b; return true;
    case BLO_OP_DIV: *result = a / b; return blo_is_floating(node->dtype);
    case BLO_OP_MIN: *result = a < b || isnan(a) ? a : b; return true;
    case BLO_OP_MAX: *result = a > b || isnan(a) ? a : b; return true;
    case BLO_OP_LT: *result = a < b; return true;
    case BLO_OP_LE: *result = a <= b; return true;
    case BLO_OP_EQ: *result = a == b; return true;
    case BLO_OP_NE: *result = a != b; return true;
    case BLO_OP_AND: *result = a != 0 && b != 0; return true;
    case BLO_OP_OR: *result = a != 0 || b != 0; return true;
    default: return false;
    }
}

static blo_node *constant(const blo_node *node, double value) {
    return blo_full(node->graph, node->dtype, rounded(node->dtype, value), node->rank, node->shape);
}

static blo_node *fold_elementwise(const blo_node *node) {
    blo_node *a = node->in[0], *b = node->n_in > 1 ? node->in[1] : NULL;
    double value;
    if (node->op == BLO_OP_SELECT) {
        if (node->in[1] == node->in[2])
            return node->in[1];
        return a->op == BLO_OP_CONST ? node->in[a->attr.value != 0 ? 1 : 2] : NULL;
    }
    if (a->op == BLO_OP_CONST && (!b || b->op == BLO_OP_CONST) &&
        evaluate(node, a->attr.value, b ? b->attr.value : 0, &value))
        return constant(node, value);
    switch (node->op) {
    case BLO_OP_CAST: return a->dtype == node->dtype ? a : NULL;
    case BLO_OP_NEG: return a->op == BLO_OP_NEG ? a->in[0] : NULL;
    case BLO_OP_ADD: return blo_is_constant(b, 0) ? a : blo_is_constant(a, 0) ? b : NULL;
    case BLO_OP_SUB: return blo_is_constant(b, 0) ? a : NULL;
    case BLO_OP_MUL: return blo_is_constant(b, 1) ? a : blo_is_constant(a, 1) ? b : NULL;
    case BLO_OP_DIV: return blo_is_constant(b, 1) ? a : NULL;
    case BLO_OP_MIN:
    case BLO_OP_MAX:
    case BLO_OP_AND:
    case BLO_OP_OR: return a == b ? a : NULL;
    default: return NULL;
    }
}

static blo_node *permute_of_permute(const blo_node *node) {
    const blo_node *a = node->in[0];
    int axes[BLO_MAX_RANK];
    for (int i = 0; i < node->rank; i++)
        axes[i] = a->attr.perm[node->attr.perm[i]];
    return blo_permute(a->in[0], axes);
}

/* An iota or a broadcast, its axes in another order, is another iota or broadcast. */
static blo_node *permute_of_leaf(const blo_node *node) {
    const blo_node *a = node->in[0];
    int place[BLO_MAX_RANK], map[BLO_MAX_RANK];
    for (int i = 0; i < node->rank; i++)
        place[node->attr.perm[i]] = i;
    if (a->op == BLO_OP_IOTA)
        return blo_iota(node->graph, node->dtype, node->rank, node->shape, place[a->attr.axis]);
    if (a->op != BLO_OP_BROADCAST)
        return NULL;
    for (int i = 0; i < a->in[0]->rank; i++) {
        map[i] = place[a->attr.perm[i]];
        if (i > 0 && map[i] < map[i - 1])
            return NULL;
    }
    return blo_node_broadcast(a->in[0], node->rank, node->shape, map);
}

static blo_node *fold_permute(const blo_node *node) {
    bool identity = true;
    for (int i = 0; i < node->rank; i++)
        identity = identity && node->attr.perm[i] == i;
    if (identity)
        return node->in[0];
    return node->in[0]->op == BLO_OP_PERMUTE ? permute_of_permute(node) : permute_of_leaf(node);
}

static blo_node *fold_broadcast(const blo_node *node) {
    blo_node *a = node->in[0];
    if (blo_same_shape(node, a))
        return a;
    if (a->op != BLO_OP_BROADCAST)
        return NULL;
    int map[BLO_MAX_RANK];
    for (int i = 0; i < a->in[0]->rank; i++)
        map[i] = node->attr.perm[a->attr.perm[i]];
    return blo_node_broadcast(a->in[0], node->rank, node->shape, map);
}

static bool whole_window(const blo_node *node) {
    for (int i = 0; i < node->rank; i++)
        if (node->attr.window.start[i] != 0 || node->attr.window.step[i] != 1)
            return false;
    return blo_same_shape(node, node->in[0]);
}

/* A permutation that swaps the last two axes of an operand becomes a flag of the product. */
static bool swaps_last(const blo_node *node) {
    if (node->op != BLO_OP_PERMUTE)
        return false;
    for (int i = 0; i < node->rank - 2; i++)
        if (node->attr.perm[i] != i)
            return false;
    return node->attr.perm[node->rank - 1] == node->rank - 2;
}

static blo_node *fold_matmul(const blo_node *node) {
    blo_node *a = node->in[0], *b = node->in[1];
    bool swap_a = swaps_last(a), swap_b = swaps_last(b);
    if (!swap_a && !swap_b)
        return NULL;
    return blo_matmul(swap_a ? a->in[0] : a, swap_b ? b->in[0] : b, node->attr.matmul.transpose_a != swap_a,
                      node->attr.matmul.transpose_b != swap_b);
}

/* Along the rows or the columns of a product A B the sum is one of A or of B: 1 A B or A B 1, with far fewer operations
 * where what the factors share is short; and the product itself may not be needed then. NULL: it is not short. */
static blo_node *sum_of_product(blo_node *product, uint32_t axes) {
    if (product->op != BLO_OP_MATMUL || product->rank != 2 || (axes != 1 && axes != 2))
        return NULL;
    const bool rows = axes == 1, ta = product->attr.matmul.transpose_a, tb = product->attr.matmul.transpose_b;
    blo_node *a = product->in[0], *b = product->in[1];
    const int64_t k = a->shape[ta ? 0 : 1], kept = product->shape[rows ? 1 : 0];
    const int64_t row[2] = {1, k}, column[2] = {k, 1};
    if (MUCH_SHORTER * k > kept)
        return NULL;
    blo_node *sum = blo_node_reduce(BLO_OP_SUM, rows ? a : b, (rows ? ta : !tb) ? 2 : 1);
    sum = sum ? blo_reshape(sum, 2, rows ? row : column) : NULL;
    blo_node *result = rows ? blo_matmul(sum, b, false, tb) : blo_matmul(a, sum, ta, false);
    return result ? blo_reshape(result, 1, &kept) : NULL;
}

static blo_node *fold_sum(const blo_node *node) {
    blo_node *a = node->in[0];
    if (a->op != BLO_OP_ADD)
        return sum_of_product(a, node->attr.axes);
    blo_node *first = sum_of_product(a->in[0], node->attr.axes), *second = NULL;
    if (first)
        second = sum_of_product(a->in[1], node->attr.axes);
    return second ? blo_add(first, second) : NULL;
}

static blo_node *fold_value(const blo_node *node) {
    if (blo_op_elementwise(node->op))
        return fold_elementwise(node);
    blo_node *a = node->n_in > 0 ? node->in[0] : NULL;
    bool moves = node->op == BLO_OP_RESHAPE || node->op == BLO_OP_BROADCAST || node->op == BLO_OP_PERMUTE ||
                 node->op == BLO_OP_SLICE;
    if (moves && a->op == BLO_OP_CONST)
        return constant(node, a->attr.value);
    switch (node->op) {
    case BLO_OP_RESHAPE:
        if (blo_same_shape(node, a))
            return a;
        return a->op == BLO_OP_RESHAPE ? blo_reshape(a->in[0], node->rank, node->shape) : NULL;
    case BLO_OP_BROADCAST: return fold_broadcast(node);
    case BLO_OP_PERMUTE: return fold_permute(node);
    case BLO_OP_SLICE:
    case BLO_OP_PAD: return whole_window(node) ? a : NULL;
    case BLO_OP_SUM: return node->attr.axes == 0 ? a : fold_sum(node);
    case BLO_OP_REDUCE_MAX: return node->attr.axes == 0 ? a : NULL;
    case BLO_OP_MATMUL: return fold_matmul(node);
    case BLO_OP_POOL_TAKE: return blo_fold_pool_take(node);
    default: return NULL;
    }
}

blo_node *blo_node_fold(const blo_node *node) {
    blo_node *folded = fold_value(node);
    return folded || blo_graph_status(node->graph) != BLO_OK ? folded : blo_fold_layout(node);
}
