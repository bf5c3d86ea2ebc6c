/* The table of functions to differentiate; see cases.h. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

#define UNARY(name, expression)                                                                                        \
    static blo_node *name(blo_node **x) {                                                                              \
        return expression;                                                                                             \
    }

UNARY(c_neg, blo_neg(x[0]))
UNARY(c_exp, blo_exp(x[0]))
UNARY(c_log, blo_log(x[0]))
UNARY(c_sin, blo_sin(x[0]))
UNARY(c_cos, blo_cos(x[0]))
UNARY(c_tanh, blo_tanh(x[0]))
UNARY(c_sigmoid, blo_sigmoid(x[0]))
UNARY(c_sqrt, blo_sqrt(x[0]))
UNARY(c_abs, blo_abs(blo_shift(x[0], -5)))
UNARY(c_square, blo_square(x[0]))
UNARY(c_relu, blo_mul(blo_relu(x[0]), x[0]))
UNARY(c_relu_off, blo_relu(blo_neg(x[0])))
UNARY(c_scale, blo_scale(blo_shift(x[0], 2), -1.5))
UNARY(c_clamp, blo_square(blo_clamp(x[0], -3, 3)))
UNARY(c_clamped, blo_clamp(x[0], 7, 8))
UNARY(c_stop, blo_mul(x[0], blo_stop_gradient(blo_constant(blo_node_graph(x[0]), BLO_DOUBLE, 2))))
UNARY(c_cast, blo_cast(blo_square(x[0]), BLO_DOUBLE))
UNARY(c_add, blo_mul(blo_add(x[0], x[1]), x[0]))
UNARY(c_sub, blo_square(blo_sub(x[0], x[1])))
UNARY(c_mul, blo_mul(x[0], x[1]))
UNARY(c_div, blo_div(x[0], x[1]))
UNARY(c_pow, blo_pow(x[0], x[1]))
UNARY(c_min, blo_square(blo_minimum(x[0], blo_shift(x[1], 5))))
UNARY(c_max, blo_square(blo_maximum(x[0], blo_shift(x[1], 5))))
UNARY(c_select, blo_select(blo_less(x[0], blo_shift(x[1], 5)), blo_square(x[0]), blo_sin(x[1])))
UNARY(c_sum, blo_square(blo_sum(x[0])))
UNARY(c_mean, blo_square(blo_mean(x[0])))
UNARY(c_norm, blo_norm(x[0]))
UNARY(c_dot, blo_dot(x[0], blo_sin(x[0])))
UNARY(c_transpose, blo_square(blo_transpose(x[0])))
UNARY(c_softmax, blo_softmax(x[0]))
UNARY(c_log_softmax, blo_log_softmax(x[0]))
UNARY(c_mse, blo_mse(x[0], x[1], BLO_REDUCE_SUM))
UNARY(c_matmul, blo_matmul(x[0], x[1], false, false))
UNARY(c_matmul_ta, blo_matmul(x[0], x[1], true, false))
UNARY(c_matmul_tb, blo_matmul(x[0], x[1], false, true))
UNARY(c_matmul_tt, blo_matmul(x[0], x[1], true, true))
UNARY(c_linear, blo_tanh(blo_linear(x[0], x[1], x[2])))

static blo_node *c_axes(blo_node **x, blo_node *(*reduce)(blo_node *, int, const int *, bool), bool keep, bool last) {
    const int axes[1] = {last ? -1 : 0};
    return blo_square(reduce(x[0], 1, axes, keep));
}

UNARY(c_sum_last, c_axes(x, blo_sum_axes, false, true))
UNARY(c_sum_first, c_axes(x, blo_sum_axes, true, false))
UNARY(c_mean_last, c_axes(x, blo_mean_axes, true, true))
UNARY(c_max_last, c_axes(x, blo_max_axes, false, true))
UNARY(c_min_first, c_axes(x, blo_min_axes, true, false))

static blo_node *c_reshape(blo_node **x) {
    const int64_t flat[1] = {-1};
    return blo_square(blo_reshape(x[0], 1, flat));
}

static blo_node *c_broadcast(blo_node **x) {
    int64_t shape[3] = {2, 3, 4};
    return blo_square(blo_broadcast_to(x[0], 3, shape));
}

static blo_node *c_permute(blo_node **x) {
    const int axes[3] = {2, 0, 1};
    return blo_sin(blo_permute(x[0], axes));
}

static blo_node *c_slice(blo_node **x) {
    const int64_t start[2] = {1, 0}, stop[2] = {5, 3}, step[2] = {2, 1};
    return blo_square(blo_slice(x[0], start, stop, step));
}

static blo_node *c_pad(blo_node **x) {
    const int64_t low[2] = {1, 0}, high[2] = {0, 2}, interior[2] = {1, 2};
    return blo_square(blo_pad(x[0], low, high, interior));
}

static blo_node *c_concat(blo_node **x) {
    return blo_square(blo_concat(2, x, -1));
}

static blo_node *index_of(blo_node *x, int64_t n) { /* 0 0 1 1 2 2 … */
    return blo_cast(blo_scale(blo_iota(blo_node_graph(x), BLO_DOUBLE, 1, &n, 0), 0.5), BLO_INT32);
}

static blo_node *c_gather(blo_node **x) {
    return blo_square(blo_gather(x[0], index_of(x[0], 6)));
}

static blo_node *c_scatter(blo_node **x) {
    return blo_square(blo_scatter_add(x[0], index_of(x[0], blo_node_shape(x[0])[0]), 4));
}

static blo_node *c_cross_entropy(blo_node **x) {
    return blo_cross_entropy(x[0], index_of(x[0], blo_node_shape(x[0])[0]), BLO_REDUCE_MEAN);
}

static blo_node *c_cross_entropy_each(blo_node **x) {
    return blo_square(blo_cross_entropy(x[0], index_of(x[0], blo_node_shape(x[0])[0]), BLO_REDUCE_NONE));
}

static blo_node *c_dropout(blo_node **x) {
    return blo_dropout(blo_square(x[0]), 0.3, blo_constant(blo_node_graph(x[0]), BLO_INT32, 3), 11);
}

static blo_node *c_normal(blo_node **x) {
    blo_node *noise = blo_random_normal(blo_constant(blo_node_graph(x[0]), BLO_INT32, 1), 5, BLO_DOUBLE,
                                        blo_node_rank(x[0]), blo_node_shape(x[0]));
    return blo_mul(blo_square(x[0]), noise);
}

/* --- images --- */

typedef struct geometry {
    int64_t stride[2], padding[2], dilation[2], groups;
} geometry;

static blo_node *conv(blo_node **x, geometry g) { /* a sum's square, so that every second derivative is there */
    return blo_square(blo_conv2d(x[0], x[1], g.stride, g.padding, g.dilation, g.groups));
}

static blo_node *conv_input(blo_node **x, geometry g, int64_t h, int64_t w) {
    return blo_square(blo_conv2d_input(x[0], x[1], (const int64_t[]){h, w}, g.stride, g.padding, g.dilation, g.groups));
}

static blo_node *conv_weight(blo_node **x, geometry g, int64_t r, int64_t s) {
    return blo_square(
        blo_conv2d_weight(x[0], x[1], (const int64_t[]){r, s}, g.stride, g.padding, g.dilation, g.groups));
}

static const geometry g_plain = {{1, 1}, {0, 0}, {1, 1}, 1}, g_padded = {{1, 1}, {1, 1}, {1, 1}, 1},
                      g_stride = {{2, 2}, {1, 1}, {1, 1}, 1}, g_dilated = {{1, 1}, {2, 1}, {2, 2}, 1},
                      g_groups = {{1, 2}, {1, 0}, {1, 1}, 2}, g_all = {{2, 1}, {2, 3}, {2, 1}, 2};

UNARY(c_conv, conv(x, g_plain))
UNARY(c_conv_padded, conv(x, g_padded))
UNARY(c_conv_stride, conv(x, g_stride))
UNARY(c_conv_dilated, conv(x, g_dilated))
UNARY(c_conv_groups, conv(x, g_groups))
UNARY(c_conv_all, conv(x, g_all))
UNARY(c_conv_input, conv_input(x, g_padded, 4, 3))
UNARY(c_conv_input_stride, conv_input(x, g_stride, 6, 5))
UNARY(c_conv_input_all, conv_input(x, g_all, 5, 4))
UNARY(c_conv_weight, conv_weight(x, g_padded, 3, 3))
UNARY(c_conv_weight_stride, conv_weight(x, g_stride, 3, 2))
UNARY(c_conv_weight_all, conv_weight(x, g_all, 3, 2))
UNARY(c_conv_of_conv, blo_tanh(blo_conv2d(blo_tanh(blo_conv2d(x[0], x[1], NULL, g_padded.padding, NULL, 1)), x[2], NULL,
                                          NULL, NULL, 1)))

static blo_node *pool(blo_node *(*pooled)(blo_node *, const int64_t *, const int64_t *, const int64_t *), blo_node *x,
                      int64_t kernel, int64_t stride, int64_t padding) {
    const int64_t k[2] = {kernel, kernel}, s[2] = {stride, stride}, p[2] = {padding, padding};
    return pooled(blo_square(x), k, s, p);
}

UNARY(c_max_pool, pool(blo_max_pool2d, x[0], 2, 2, 0))
UNARY(c_max_pool_overlapping, pool(blo_max_pool2d, x[0], 3, 2, 1))
UNARY(c_max_pool_gaps, pool(blo_max_pool2d, x[0], 2, 3, 0))
UNARY(c_max_pool_large, pool(blo_max_pool2d, x[0], 5, 1, 2))
UNARY(c_avg_pool, pool(blo_avg_pool2d, x[0], 2, 2, 0))
UNARY(c_avg_pool_overlapping, pool(blo_avg_pool2d, x[0], 3, 2, 1))
UNARY(c_global_avg_pool, blo_square(blo_global_avg_pool2d(x[0])))
UNARY(c_global_max_pool, blo_square(blo_global_max_pool2d(x[0])))
UNARY(c_upsample, blo_square(blo_upsample_nearest2d(x[0], (const int64_t[]){2, 3})))
UNARY(c_conv_pool, blo_max_pool2d(blo_relu(blo_conv2d(x[0], x[1], NULL, g_padded.padding, NULL, 1)),
                                  (const int64_t[]){2, 2}, NULL, NULL))

UNARY(c_leaky_relu, blo_square(blo_leaky_relu(x[0], 0.1)))
UNARY(c_leaky_relu_off, blo_square(blo_leaky_relu(blo_neg(x[0]), 0.1)))
UNARY(c_batch_norm, blo_tanh(blo_batch_norm(x[0], x[1], x[2], 1e-2)))
UNARY(c_layer_norm, blo_tanh(blo_layer_norm(x[0], blo_node_rank(x[1]), x[1], x[2], 1e-2)))
UNARY(c_group_norm, blo_tanh(blo_group_norm(x[0], 2, x[1], x[2], 1e-2)))
UNARY(c_normalize, blo_normalize(x[0], blo_sin(x[1]), blo_square(x[1]), x[2], NULL, 1e-1))

static blo_node *c_conv_norm(blo_node **x) {
    blo_node *y = blo_batch_norm(blo_conv2d(x[0], x[1], NULL, g_padded.padding, NULL, 1), NULL, NULL, 1e-2);
    return blo_max_pool2d(blo_tanh(y), (const int64_t[]){2, 2}, NULL, NULL);
}

#define ELEMENTWISE ";1;0;7;3,5;2,3,2"
#define BROADCASTS "|;3|;|3;3|3;2,3|3;3|2,3;2,1|1,3;1,3|2,3;2,3|2,1;4,1,2|3,1;0,2|1,2;1|1"
#define MATRICES "3,5;1,1;4,1;2,3,4"

const blo_case blo_cases[] = {
    {"neg", 1, ELEMENTWISE, -2, 2, c_neg},
    {"exp", 1, ELEMENTWISE, -2, 2, c_exp},
    {"log", 1, ELEMENTWISE, 0.5, 3, c_log},
    {"sin", 1, ELEMENTWISE, -2, 2, c_sin},
    {"cos", 1, ELEMENTWISE, -2, 2, c_cos},
    {"tanh", 1, ELEMENTWISE, -2, 2, c_tanh},
    {"sigmoid", 1, ELEMENTWISE, -3, 3, c_sigmoid},
    {"sqrt", 1, ELEMENTWISE, 0.5, 3, c_sqrt},
    {"abs", 1, ELEMENTWISE, 0.5, 3, c_abs},
    {"square", 1, ELEMENTWISE, -2, 2, c_square},
    {"relu", 1, ELEMENTWISE, 0.5, 2, c_relu},
    {"relu below 0", 1, ELEMENTWISE, 0.5, 2, c_relu_off},
    {"scale and shift", 1, ELEMENTWISE, -2, 2, c_scale},
    {"clamp inside", 1, ELEMENTWISE, -2, 2, c_clamp},
    {"clamp outside", 1, ELEMENTWISE, -2, 2, c_clamped},
    {"stop_gradient", 1, ELEMENTWISE, -2, 2, c_stop},
    {"cast", 1, ELEMENTWISE, -2, 2, c_cast},
    {"add", 2, BROADCASTS, -2, 2, c_add},
    {"sub", 2, BROADCASTS, -2, 2, c_sub},
    {"mul", 2, BROADCASTS, -2, 2, c_mul},
    {"div", 2, BROADCASTS, 0.5, 2, c_div},
    {"pow", 2, BROADCASTS, 0.5, 2, c_pow},
    {"minimum", 2, BROADCASTS, 0, 2, c_min},
    {"maximum", 2, BROADCASTS, 0, 2, c_max},
    {"select", 2, BROADCASTS, 0, 2, c_select},
    {"sum", 1, ELEMENTWISE, -2, 2, c_sum},
    {"mean", 1, ";1;7;3,5;2,3,2", -2, 2, c_mean},
    {"norm", 1, ";1;7;3,5", 0.5, 2, c_norm},
    {"dot", 1, ELEMENTWISE, -2, 2, c_dot},
    {"sum of the last axis", 1, "7;3,5;2,3,2;300;3,0", -2, 2, c_sum_last},
    {"sum of the first axis", 1, "7;3,5;2,3,2;300,2;0,3", -2, 2, c_sum_first},
    {"mean of the last axis", 1, "7;3,5;2,3,2", -2, 2, c_mean_last},
    {"max of the last axis", 1, "7;3,5;2,3,2", -2, 2, c_max_last},
    {"min of the first axis", 1, "7;3,5;2,3,2", -2, 2, c_min_first},
    {"reshape", 1, "3,5;1;2,3,2", -2, 2, c_reshape},
    {"broadcast_to", 1, ";1;4;3,1;1,3,4;2,1,1;2,3,4", -2, 2, c_broadcast},
    {"permute", 1, "2,3,4;1,1,5;0,2,3", -2, 2, c_permute},
    {"transpose", 1, MATRICES, -2, 2, c_transpose},
    {"slice", 1, "5,3;6,4", -2, 2, c_slice},
    {"pad", 1, "2,3;1,1;0,2", -2, 2, c_pad},
    {"concat", 2, "2,3|2,1;4|2;2,0|2,2", -2, 2, c_concat},
    {"gather", 1, "3;4,2;3,2,2", -2, 2, c_gather},
    {"scatter_add", 1, "7;6,2;0,3", -2, 2, c_scatter},
    {"matmul", 2, "3,4|4,2;1,1|1,1;2,3,4|2,4,2;2,3,4|4,2;3,4|2,4,2;3,0|0,2;0,3|3,2;40,30|30,34", -1, 1, c_matmul},
    {"matmul A^T", 2, "4,3|4,2;2,4,3|2,4,2;2,4,3|4,2;40,36|40,34", -1, 1, c_matmul_ta},
    {"matmul B^T", 2, "3,4|2,4;2,3,4|2,2,4;2,3,4|2,4;40,36|34,36", -1, 1, c_matmul_tb},
    {"matmul A^T B^T", 2, "4,3|2,4;2,4,3|2,2,4;40,36|34,40", -1, 1, c_matmul_tt},
    {"linear", 3, "3,4|2,4|2;4|2,4|2;2,3,4|5,4|5", -1, 1, c_linear},
    {"conv2d", 2, "2,3,5,4|2,3,3,2;1,1,1,1|1,1,1,1;2,1,4,5|4,1,1,1;0,2,4,4|3,2,3,3;1,2,3,3|2,2,3,3", -1, 1, c_conv},
    {"conv2d, padding 1", 2, "2,2,4,3|3,2,3,3;1,5,7,7|4,5,3,3;2,1,5,5|3,1,3,3;2,16,9,9|16,16,3,3", -1, 1,
     c_conv_padded},
    {"conv2d, stride 2", 2, "2,2,6,5|3,2,3,3;1,1,7,7|2,1,3,3;1,3,2,2|2,3,1,1", -1, 1, c_conv_stride},
    {"conv2d, dilation 2", 2, "2,2,5,6|3,2,2,3;1,1,7,7|2,1,3,3", -1, 1, c_conv_dilated},
    {"conv2d, 2 groups", 2, "2,4,4,5|6,2,3,2;1,2,3,3|2,1,1,3", -1, 1, c_conv_groups},
    {"conv2d, all of it", 2, "2,4,5,4|2,2,3,2", -1, 1, c_conv_all},
    {"conv2d_input", 2, "2,3,4,3|3,2,3,3;0,3,4,3|3,2,3,3", -1, 1, c_conv_input},
    {"conv2d_input, stride 2", 2, "2,3,3,3|3,2,3,3", -1, 1, c_conv_input_stride},
    {"conv2d_input, all of it", 2, "2,2,3,9|2,2,3,2", -1, 1, c_conv_input_all},
    {"conv2d_weight", 2, "2,2,4,3|2,3,4,3;0,2,4,3|0,3,4,3", -1, 1, c_conv_weight},
    {"conv2d_weight, stride 2", 2, "2,2,6,5|2,3,3,3", -1, 1, c_conv_weight_stride},
    {"conv2d_weight, all of it", 2, "2,4,5,4|2,2,3,9", -1, 1, c_conv_weight_all},
    {"conv2d of conv2d", 3, "2,2,5,4|3,2,3,3|2,3,2,2", -1, 1, c_conv_of_conv},
    {"max_pool2d", 1, "2,3,4,6;1,1,5,3;0,2,4,4", -2, 2, c_max_pool},
    {"max_pool2d, overlapping", 1, "2,3,5,6;1,2,3,4", -2, 2, c_max_pool_overlapping},
    {"max_pool2d, gaps", 1, "2,3,5,7", -2, 2, c_max_pool_gaps},
    {"max_pool2d, 5 by 5", 1, "1,2,6,5", -2, 2, c_max_pool_large},
    {"avg_pool2d", 1, "2,3,4,6;1,1,5,3;0,2,4,4", -2, 2, c_avg_pool},
    {"avg_pool2d, overlapping", 1, "2,3,5,6", -2, 2, c_avg_pool_overlapping},
    {"global_avg_pool2d", 1, "2,3,4,5;1,1,1,1", -2, 2, c_global_avg_pool},
    {"global_max_pool2d", 1, "2,3,4,5;1,1,1,1", -2, 2, c_global_max_pool},
    {"upsample_nearest2d", 1, "2,3,2,3;1,1,1,1", -2, 2, c_upsample},
    {"conv2d, relu, max_pool2d", 2, "2,2,4,6|3,2,3,3", -1, 1, c_conv_pool},
    {"leaky_relu", 1, ELEMENTWISE, 0.5, 2, c_leaky_relu},
    {"leaky_relu below 0", 1, ELEMENTWISE, 0.5, 2, c_leaky_relu_off},
    {"batch_norm", 3, "3,2,2,3|2|2;5,3|3|3;2,1,1,4|1|1;2,3,4|3|3", -1, 1, c_batch_norm},
    {"layer_norm", 3, "3,5|5|5;2,2,3|2,3|2,3;1,4|4|4", -1, 1, c_layer_norm},
    {"group_norm", 3, "2,4,3,2|4|4;3,2,5|2|2", -1, 1, c_group_norm},
    {"normalize", 3, "3,2,2,3|2|2", 0.5, 1, c_normalize},
    {"conv2d, batch_norm, max_pool2d", 2, "2,2,4,5|3,2,3,3", -1, 1, c_conv_norm},
    {"softmax", 1, "5;3,4;2,2,3;1,1", -2, 2, c_softmax},
    {"log_softmax", 1, "5;3,4;2,2,3", -2, 2, c_log_softmax},
    {"cross_entropy", 1, "6,4;1,2", -2, 2, c_cross_entropy},
    {"cross_entropy of each", 1, "6,4;3,5", -2, 2, c_cross_entropy_each},
    {"mse", 2, "6|6;2,3|2,3", -2, 2, c_mse},
    {"dropout", 1, "9;3,5", -2, 2, c_dropout},
    {"times a random normal", 1, "9;3,5", -2, 2, c_normal},
};
const int blo_n_cases = sizeof blo_cases / sizeof blo_cases[0];

int blo_case_shape(const blo_case *c, int v, int i, int64_t *shape) {
    const char *text = c->shapes;
    for (; v > 0; v--) {
        text = strchr(text, ';');
        if (!text)
            return -1;
        text++;
    }
    for (; i > 0; i--)
        text = strchr(text, '|') + 1;
    int rank = 0;
    while (*text >= '0' && *text <= '9') {
        char *end;
        shape[rank++] = strtoll(text, &end, 10);
        text = *end == ',' ? end + 1 : end;
    }
    return rank;
}
