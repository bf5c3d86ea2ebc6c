/* The table of primitives. Each derivative is written in the same primitives, so that derivatives have derivatives, to
 * any order. G is the cotangent of the node; IN[i] receives that of operand i, of its shape. */
#include "node.h"

#include <string.h>

static blo_node *mask(blo_node *condition,
                      blo_node *a) { /* a where the condition holds, else 0: selects, never multiplies */
    return a ? blo_select(condition, a, blo_zeros_like(a)) : NULL;
}

/* --- elementwise --- */

static void d_cast(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    if (wanted[0] && blo_is_floating(node->dtype))
        in[0] = blo_cast(g, node->in[0]->dtype);
}

static void d_neg(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)node, (void)wanted;
    in[0] = blo_neg(g);
}

static void d_exp(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    in[0] = blo_mul(g, node);
}

static void d_log(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    in[0] = blo_div(g, node->in[0]);
}

static void d_sin(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    in[0] = blo_mul(g, blo_cos(node->in[0]));
}

static void d_cos(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    in[0] = blo_neg(blo_mul(g, blo_sin(node->in[0])));
}

static void d_tanh(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) { /* 1 - t^2 */
    (void)wanted;
    in[0] = blo_mul(g, blo_sub(blo_full_like(node, 1), blo_mul(node, node)));
}

static void d_sigmoid(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) { /* s (1 - s) */
    (void)wanted;
    in[0] = blo_mul(g, blo_mul(node, blo_sub(blo_full_like(node, 1), node)));
}

static void d_sqrt(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) { /* 1 / (2 r) */
    (void)wanted;
    in[0] = blo_div(blo_scale(g, 0.5), node);
}

static void d_add(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)node, (void)wanted;
    in[0] = in[1] = g;
}

static void d_sub(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)node;
    in[0] = g;
    in[1] = wanted[1] ? blo_neg(g) : NULL;
}

static void d_mul(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    in[0] = wanted[0] ? blo_mul(g, node->in[1]) : NULL;
    in[1] = wanted[1] ? blo_mul(g, node->in[0]) : NULL;
}

static void d_div(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    in[0] = wanted[0] ? blo_div(g, node->in[1]) : NULL;
    in[1] = wanted[1] ? blo_neg(blo_div(blo_mul(g, node), node->in[1])) : NULL;
}

static void d_pow(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    blo_node *a = node->in[0], *b = node->in[1], *zero = blo_zeros_like(a), *one = blo_full_like(a, 1);
    if (wanted[0]) { /* b a^(b-1); 0 at b = 0, also where a is 0 */
        blo_node *slope = blo_mul(b, blo_pow(a, blo_sub(b, one)));
        in[0] = blo_mul(g, blo_select(blo_equal(b, zero), zero, slope));
    }
    if (wanted[1]) { /* log(a) a^b; 0 at a = 0, b >= 0 */
        blo_node *flat = blo_logical_and(blo_equal(a, zero), blo_greater_equal(b, zero));
        in[1] = blo_mul(g, blo_select(flat, zero, blo_mul(blo_log(blo_select(flat, one, a)), node)));
    }
}

/* Half to each at a tie. */
static void d_extremum(blo_node *g, const bool *wanted, blo_node **in, blo_node *a_wins, blo_node *tie) {
    blo_node *half = blo_scale(g, 0.5), *zero = blo_zeros_like(g);
    if (wanted[0])
        in[0] = blo_select(tie, half, blo_select(a_wins, g, zero));
    if (wanted[1])
        in[1] = blo_select(tie, half, blo_select(a_wins, zero, g));
}

static void d_min(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    d_extremum(g, wanted, in, blo_less(node->in[0], node->in[1]), blo_equal(node->in[0], node->in[1]));
}

static void d_max(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    d_extremum(g, wanted, in, blo_greater(node->in[0], node->in[1]), blo_equal(node->in[0], node->in[1]));
}

static void d_select(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    blo_node *zero = blo_zeros_like(g);
    in[1] = wanted[1] ? blo_select(node->in[0], g, zero) : NULL;
    in[2] = wanted[2] ? blo_select(node->in[0], zero, g) : NULL;
}

/* --- reductions --- */

/* G with the reduced axes back, each of the operand's extent. */
static blo_node *spread(const blo_node *node, blo_node *g) {
    const blo_node *a = node->in[0];
    int map[BLO_MAX_RANK], kept = 0;
    for (int i = 0; i < a->rank; i++)
        if (!(node->attr.axes >> i & 1))
            map[kept++] = i;
    return blo_node_broadcast(g, a->rank, a->shape, map);
}

static void d_sum(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    in[0] = spread(node, g);
}

static void d_reduce_max(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) { /* equal shares at ties */
    (void)wanted;
    blo_node *a = node->in[0], *is_max = blo_equal(a, spread(node, node));
    blo_node *count = blo_node_reduce(BLO_OP_SUM, blo_cast(is_max, a->dtype), node->attr.axes);
    in[0] = mask(is_max, spread(node, blo_div(g, count)));
}

/* --- movement --- */

static void d_reshape(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    in[0] = blo_reshape(g, node->in[0]->rank, node->in[0]->shape);
}

/* V, a broadcast that is the same along AXES, without them; NULL: it is none. */
static blo_node *without_axes(const blo_node *v, uint32_t axes) {
    int64_t shape[BLO_MAX_RANK];
    int map[BLO_MAX_RANK], place[BLO_MAX_RANK], rank = 0;
    if (v->op != BLO_OP_BROADCAST)
        return NULL;
    for (int i = 0; i < v->rank; i++) {
        place[i] = axes >> i & 1 ? -1 : rank;
        if (place[i] >= 0)
            shape[rank++] = v->shape[i];
    }
    for (int i = 0; i < v->in[0]->rank; i++)
        if ((map[i] = place[v->attr.perm[i]]) < 0)
            return NULL;
    return blo_node_broadcast(v->in[0], rank, shape, map);
}

/* The sum of G over AXES. What G is multiplied with and is the same along them waits for the sum: what is left is
 * cheaper to sum, and others may want that sum as well. */
static blo_node *sum_over(blo_node *g, uint32_t axes) {
    for (int i = 0; g && axes && g->op == BLO_OP_MUL && i < 2; i++) {
        blo_node *factor = without_axes(g->in[i], axes);
        if (factor)
            return blo_mul(sum_over(g->in[1 - i], axes), factor);
    }
    return g ? blo_node_reduce(BLO_OP_SUM, g, axes) : NULL;
}

static void d_broadcast(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    const blo_node *a = node->in[0];
    uint32_t axes = (1u << node->rank) - 1;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] == node->shape[node->attr.perm[i]])
            axes &= ~(1u << node->attr.perm[i]);
    blo_node *sum = sum_over(g, axes);
    in[0] = sum ? blo_reshape(sum, a->rank, a->shape) : NULL;
}

static void d_permute(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    int inverse[BLO_MAX_RANK];
    for (int i = 0; i < node->rank; i++)
        inverse[node->attr.perm[i]] = i;
    in[0] = blo_permute(g, inverse);
}

static void d_slice(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    const blo_node *a = node->in[0];
    int64_t low[BLO_MAX_RANK], high[BLO_MAX_RANK], interior[BLO_MAX_RANK];
    for (int i = 0; i < a->rank; i++) {
        int64_t step = node->attr.window.step[i], n = node->shape[i];
        interior[i] = step - 1;
        low[i] = n ? node->attr.window.start[i] : 0;
        high[i] = a->shape[i] - low[i] - (n ? (n - 1) * step + 1 : 0);
    }
    in[0] = blo_pad(g, low, high, interior);
}

static void d_pad(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    (void)wanted;
    const blo_node *a = node->in[0];
    int64_t stop[BLO_MAX_RANK];
    for (int i = 0; i < a->rank; i++) {
        int64_t start = node->attr.window.start[i];
        stop[i] = a->shape[i] ? start + (a->shape[i] - 1) * node->attr.window.step[i] + 1 : start;
    }
    in[0] = blo_slice(g, node->attr.window.start, stop, node->attr.window.step);
}

/* --- indices and products --- */

static void d_gather(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    in[0] = wanted[0] ? blo_scatter_add(g, node->in[1], node->in[0]->shape[0]) : NULL;
}

static void d_scatter_add(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    in[0] = wanted[0] ? blo_gather(g, node->in[1]) : NULL;
}

static void d_matmul(blo_node *node, blo_node *g, const bool *wanted,
                     blo_node **in) { /* C = A B: dA = G B^T, dB = A^T G */
    blo_node *a = node->in[0], *b = node->in[1];
    bool ta = node->attr.matmul.transpose_a, tb = node->attr.matmul.transpose_b;
    if (wanted[0])
        in[0] = ta ? blo_matmul(b, g, tb, true) : blo_matmul(g, b, false, !tb);
    if (wanted[1])
        in[1] = tb ? blo_matmul(g, a, true, ta) : blo_matmul(a, g, !ta, false);
}

static const blo_op_entry table[BLO_OP_COUNT] = {
    [BLO_OP_INPUT] = {"input", 0, false, NULL, NULL},
    [BLO_OP_CONST] = {"const", 0, false, NULL, NULL},
    [BLO_OP_IOTA] = {"iota", 0, false, NULL, NULL},
    [BLO_OP_RANDOM] = {"random", 1, false, NULL, blo_b_random},
    [BLO_OP_CAST] = {"cast", 1, true, d_cast, blo_b_elementwise},
    [BLO_OP_NEG] = {"neg", 1, true, d_neg, blo_b_elementwise},
    [BLO_OP_EXP] = {"exp", 1, true, d_exp, blo_b_elementwise},
    [BLO_OP_LOG] = {"log", 1, true, d_log, blo_b_elementwise},
    [BLO_OP_SIN] = {"sin", 1, true, d_sin, blo_b_elementwise},
    [BLO_OP_COS] = {"cos", 1, true, d_cos, blo_b_elementwise},
    [BLO_OP_TANH] = {"tanh", 1, true, d_tanh, blo_b_elementwise},
    [BLO_OP_SIGMOID] = {"sigmoid", 1, true, d_sigmoid, blo_b_elementwise},
    [BLO_OP_SQRT] = {"sqrt", 1, true, d_sqrt, blo_b_elementwise},
    [BLO_OP_STOP] = {"stop", 1, true, NULL, blo_b_elementwise},
    [BLO_OP_ADD] = {"add", 2, true, d_add, blo_b_elementwise},
    [BLO_OP_SUB] = {"sub", 2, true, d_sub, blo_b_elementwise},
    [BLO_OP_MUL] = {"mul", 2, true, d_mul, blo_b_elementwise},
    [BLO_OP_DIV] = {"div", 2, true, d_div, blo_b_elementwise},
    [BLO_OP_POW] = {"pow", 2, true, d_pow, blo_b_elementwise},
    [BLO_OP_MIN] = {"min", 2, true, d_min, blo_b_elementwise},
    [BLO_OP_MAX] = {"max", 2, true, d_max, blo_b_elementwise},
    [BLO_OP_LT] = {"less", 2, true, NULL, blo_b_elementwise},
    [BLO_OP_LE] = {"less_equal", 2, true, NULL, blo_b_elementwise},
    [BLO_OP_EQ] = {"equal", 2, true, NULL, blo_b_elementwise},
    [BLO_OP_NE] = {"not_equal", 2, true, NULL, blo_b_elementwise},
    [BLO_OP_AND] = {"and", 2, true, NULL, blo_b_elementwise},
    [BLO_OP_OR] = {"or", 2, true, NULL, blo_b_elementwise},
    [BLO_OP_SELECT] = {"select", 3, true, d_select, blo_b_elementwise},
    [BLO_OP_SUM] = {"sum", 1, false, d_sum, blo_b_reduction},
    [BLO_OP_REDUCE_MAX] = {"reduce_max", 1, false, d_reduce_max, blo_b_reduction},
    [BLO_OP_RESHAPE] = {"reshape", 1, false, d_reshape, blo_b_reshape},
    [BLO_OP_BROADCAST] = {"broadcast", 1, false, d_broadcast, blo_b_broadcast},
    [BLO_OP_PERMUTE] = {"permute", 1, false, d_permute, blo_b_permute},
    [BLO_OP_SLICE] = {"slice", 1, false, d_slice, blo_b_window},
    [BLO_OP_PAD] = {"pad", 1, false, d_pad, blo_b_window},
    [BLO_OP_GATHER] = {"gather", 2, false, d_gather, blo_b_gather},
    [BLO_OP_SCATTER_ADD] = {"scatter_add", 2, false, d_scatter_add, blo_b_scatter_add},
    [BLO_OP_MATMUL] = {"matmul", 2, false, d_matmul, blo_b_matmul},
    [BLO_OP_CONV] = {"conv", 2, false, blo_d_conv, blo_b_conv},
    [BLO_OP_CONV_INPUT] = {"conv_input", 2, false, blo_d_conv_input, blo_b_conv},
    [BLO_OP_CONV_WEIGHT] = {"conv_weight", 2, false, blo_d_conv_weight, blo_b_conv_weight},
    [BLO_OP_POOL_ARGMAX] = {"pool_argmax", 1, false, NULL, blo_b_pool},
    [BLO_OP_POOL_TAKE] = {"pool_take", 2, false, blo_d_pool_take, blo_b_pool},
    [BLO_OP_POOL_PUT] = {"pool_put", 2, false, blo_d_pool_put, blo_b_pool},
};

const blo_op_entry *blo_op_entry_of(blo_op op) {
    return &table[op];
}

const char *blo_op_name(blo_op op) {
    return table[op].name;
}

bool blo_op_elementwise(blo_op op) {
    return table[op].elementwise;
}
