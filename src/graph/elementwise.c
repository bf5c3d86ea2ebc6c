/* Elementwise operations: checks, broadcasting, and the composites that are a line or two of primitives. */
#include <math.h>
#include <string.h>

#include "node.h"

/* --- constants --- */

blo_node *blo_full(blo_graph *graph, blo_dtype dtype, double value, int rank, const int64_t *shape) {
    blo_attr attr;
    if (!graph)
        return NULL;
    if (blo_dtype_size(dtype) == 0)
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_full: %d is no element type", (int)dtype);
    memset(&attr, 0, sizeof attr);
    attr.value = dtype == BLO_FLOAT ? (double)(float)value : value;
    return blo_node_make(graph, BLO_OP_CONST, dtype, rank, shape, 0, NULL, &attr);
}

blo_node *blo_constant(blo_graph *graph, blo_dtype dtype, double value) {
    return blo_full(graph, dtype, value, 0, NULL);
}

blo_node *blo_full_like(blo_node *a, double value) {
    return a ? blo_full(a->graph, a->dtype, value, a->rank, a->shape) : NULL;
}

blo_node *blo_zeros_like(blo_node *a) {
    return blo_full_like(a, 0);
}

/* --- primitives --- */

blo_node *blo_node_unary(blo_op op, blo_node *a) {
    blo_graph *graph = blo_operands(blo_op_name(op), 1, &a);
    if (!graph)
        return NULL;
    if (op != BLO_OP_STOP && op != BLO_OP_NEG && !blo_is_floating(a->dtype))
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_%s: %s; float or double is wanted", blo_op_name(op),
                              blo_dtype_name(a->dtype));
    return blo_node_make(graph, op, a->dtype, a->rank, a->shape, 1, &a, NULL);
}

blo_node *blo_node_binary(blo_op op, blo_node *a, blo_node *b) {
    blo_node *in[2] = {a, b};
    blo_graph *graph = blo_operands(blo_op_name(op), 2, in);
    if (!graph)
        return NULL;
    bool compares = op >= BLO_OP_LT && op <= BLO_OP_OR;
    return blo_node_make(graph, op, compares ? BLO_UINT8 : a->dtype, a->rank, a->shape, 2, in, NULL);
}

blo_node *blo_cast(blo_node *a, blo_dtype dtype) {
    blo_graph *graph = blo_operands("blo_cast", 1, &a);
    if (!graph)
        return NULL;
    if (blo_dtype_size(dtype) == 0)
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_cast: %d is no element type", (int)dtype);
    return blo_node_make(graph, BLO_OP_CAST, dtype, a->rank, a->shape, 1, &a, NULL);
}

blo_node *blo_neg(blo_node *a) {
    return blo_node_unary(BLO_OP_NEG, a);
}

blo_node *blo_exp(blo_node *a) {
    return blo_node_unary(BLO_OP_EXP, a);
}

blo_node *blo_log(blo_node *a) {
    return blo_node_unary(BLO_OP_LOG, a);
}

blo_node *blo_sin(blo_node *a) {
    return blo_node_unary(BLO_OP_SIN, a);
}

blo_node *blo_cos(blo_node *a) {
    return blo_node_unary(BLO_OP_COS, a);
}

blo_node *blo_tanh(blo_node *a) {
    return blo_node_unary(BLO_OP_TANH, a);
}

blo_node *blo_sigmoid(blo_node *a) {
    return blo_node_unary(BLO_OP_SIGMOID, a);
}

blo_node *blo_sqrt(blo_node *a) {
    return blo_node_unary(BLO_OP_SQRT, a);
}

blo_node *blo_stop_gradient(blo_node *a) {
    return blo_node_unary(BLO_OP_STOP, a);
}

/* --- two operands --- */

blo_node *blo_broadcast_to(blo_node *a, int rank, const int64_t *shape) {
    char from[BLO_SHAPE_TEXT], to[BLO_SHAPE_TEXT];
    blo_graph *graph = blo_operands("blo_broadcast_to", 1, &a);
    if (!graph)
        return NULL;
    if (rank < 0 || rank > BLO_MAX_RANK || (rank > 0 && !shape))
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_broadcast_to: %d axes; want 0 to %d, with a shape", rank,
                              BLO_MAX_RANK);
    int map[BLO_MAX_RANK], shift = rank - a->rank;
    bool fits = shift >= 0;
    for (int i = 0; i < a->rank && fits; i++) {
        map[i] = i + shift;
        fits = a->shape[i] == 1 || a->shape[i] == shape[i + shift];
    }
    if (!fits)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_broadcast_to: shape %s does not broadcast to %s",
                              blo_shape_text(a->rank, a->shape, from), blo_shape_text(rank, shape, to));
    return blo_node_broadcast(a, rank, shape, map);
}

bool blo_broadcast_pair(const char *call, blo_node **a, blo_node **b) {
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    blo_node *in[2] = {*a, *b};
    blo_graph *graph = blo_operands(call, 2, in);
    if (!graph)
        return false;
    int64_t shape[BLO_MAX_RANK];
    int rank = (*a)->rank > (*b)->rank ? (*a)->rank : (*b)->rank;
    for (int i = 0; i < rank; i++) {
        int ia = i - rank + (*a)->rank, ib = i - rank + (*b)->rank;
        int64_t ea = ia >= 0 ? (*a)->shape[ia] : 1, eb = ib >= 0 ? (*b)->shape[ib] : 1;
        if (ea != eb && ea != 1 && eb != 1) {
            blo_graph_fail(graph, BLO_ERROR_SHAPE, "%s: shapes %s and %s do not broadcast", call,
                           blo_shape_text((*a)->rank, (*a)->shape, left),
                           blo_shape_text((*b)->rank, (*b)->shape, right));
            return false;
        }
        shape[i] = ea == 1 ? eb : ea;
    }
    *a = blo_broadcast_to(*a, rank, shape);
    *b = blo_broadcast_to(*b, rank, shape);
    return *a && *b;
}

static blo_node *binary(const char *call, blo_op op, blo_node *a, blo_node *b) {
    if (!blo_broadcast_pair(call, &a, &b))
        return NULL;
    bool logical = op == BLO_OP_AND || op == BLO_OP_OR;
    if (a->dtype != b->dtype || (logical && a->dtype != BLO_UINT8))
        return blo_graph_fail(a->graph, BLO_ERROR_DTYPE, "%s: %s and %s; %s", call, blo_dtype_name(a->dtype),
                              blo_dtype_name(b->dtype), logical ? "uint8 is wanted" : "equal element types are wanted");
    if (op == BLO_OP_POW && !blo_is_floating(a->dtype))
        return blo_graph_fail(a->graph, BLO_ERROR_DTYPE, "%s: %s; float or double is wanted", call,
                              blo_dtype_name(a->dtype));
    return blo_node_binary(op, a, b);
}

blo_node *blo_add(blo_node *a, blo_node *b) {
    return binary("blo_add", BLO_OP_ADD, a, b);
}

blo_node *blo_sub(blo_node *a, blo_node *b) {
    return binary("blo_sub", BLO_OP_SUB, a, b);
}

blo_node *blo_mul(blo_node *a, blo_node *b) {
    return binary("blo_mul", BLO_OP_MUL, a, b);
}

blo_node *blo_div(blo_node *a, blo_node *b) {
    return binary("blo_div", BLO_OP_DIV, a, b);
}

blo_node *blo_pow(blo_node *a, blo_node *b) {
    return binary("blo_pow", BLO_OP_POW, a, b);
}

blo_node *blo_minimum(blo_node *a, blo_node *b) {
    return binary("blo_minimum", BLO_OP_MIN, a, b);
}

blo_node *blo_maximum(blo_node *a, blo_node *b) {
    return binary("blo_maximum", BLO_OP_MAX, a, b);
}

blo_node *blo_less(blo_node *a, blo_node *b) {
    return binary("blo_less", BLO_OP_LT, a, b);
}

blo_node *blo_less_equal(blo_node *a, blo_node *b) {
    return binary("blo_less_equal", BLO_OP_LE, a, b);
}

blo_node *blo_greater(blo_node *a, blo_node *b) {
    return binary("blo_greater", BLO_OP_LT, b, a);
}

blo_node *blo_greater_equal(blo_node *a, blo_node *b) {
    return binary("blo_greater_equal", BLO_OP_LE, b, a);
}

blo_node *blo_equal(blo_node *a, blo_node *b) {
    return binary("blo_equal", BLO_OP_EQ, a, b);
}

blo_node *blo_not_equal(blo_node *a, blo_node *b) {
    return binary("blo_not_equal", BLO_OP_NE, a, b);
}

blo_node *blo_logical_and(blo_node *a, blo_node *b) {
    return binary("blo_logical_and", BLO_OP_AND, a, b);
}

blo_node *blo_logical_or(blo_node *a, blo_node *b) {
    return binary("blo_logical_or", BLO_OP_OR, a, b);
}

blo_node *blo_select(blo_node *condition, blo_node *a, blo_node *b) {
    if (!blo_broadcast_pair("blo_select", &a, &b) || !blo_broadcast_pair("blo_select", &condition, &a) ||
        !blo_broadcast_pair("blo_select", &a, &b))
        return NULL;
    if (condition->dtype != BLO_UINT8 || a->dtype != b->dtype)
        return blo_graph_fail(a->graph, BLO_ERROR_DTYPE,
                              "blo_select: %s ? %s : %s; uint8 and equal element types are wanted",
                              blo_dtype_name(condition->dtype), blo_dtype_name(a->dtype), blo_dtype_name(b->dtype));
    blo_node *in[3] = {condition, a, b};
    return blo_node_make(a->graph, BLO_OP_SELECT, a->dtype, a->rank, a->shape, 3, in, NULL);
}

/* --- composites --- */

blo_node *blo_logical_not(blo_node *a) {
    return blo_equal(a, blo_zeros_like(a));
}

blo_node *blo_square(blo_node *a) {
    return blo_mul(a, a);
}

blo_node *blo_scale(blo_node *a, double factor) {
    return blo_mul(a, blo_full_like(a, factor));
}

blo_node *blo_shift(blo_node *a, double term) {
    return blo_add(a, blo_full_like(a, term));
}

blo_node *blo_relu(blo_node *a) { /* a NaN passes: it is not <= 0 */
    blo_node *zero = blo_zeros_like(a);
    return blo_select(blo_less_equal(a, zero), zero, a);
}

blo_node *blo_leaky_relu(blo_node *a, double slope) {
    return a ? blo_select(blo_less_equal(a, blo_zeros_like(a)), blo_scale(a, slope), a) : NULL;
}

blo_node *blo_abs(blo_node *a) { /* a * sign(a), the sign without derivative: 0 at 0 */
    blo_node *zero = blo_zeros_like(a), *one = blo_full_like(a, 1);
    return blo_mul(a, blo_select(blo_less(a, zero), blo_neg(one), blo_select(blo_less(zero, a), one, zero)));
}

blo_node *blo_clamp(blo_node *a, double lo, double hi) {
    blo_graph *graph = blo_operands("blo_clamp", 1, &a);
    if (graph && !(lo <= hi))
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "blo_clamp: from %g to %g is empty", lo, hi);
    blo_node *low = blo_full_like(a, lo), *high = blo_full_like(a, hi);
    return blo_select(blo_less(a, low), low, blo_select(blo_less(high, a), high, a));
}
