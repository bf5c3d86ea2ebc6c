/* Pooling and up-sampling of images. Max pooling finds the place of each window's maximum, once and without derivative,
 * and takes the element there; taking and putting are each other's derivatives. The rest is made of movement and sums.
 * Knows shapes only; channels last inside, channels first to the caller. */
#include <math.h>
#include <string.h>

#include "node.h"

/* --- the primitives --- */

/* Windows along the axis of EXTENT. */
static int64_t windows(const blo_attr *attr, int axis, int64_t extent) {
    return (extent - attr->pool.kernel[axis]) / attr->pool.stride[axis] + 1;
}

static blo_node *take(blo_node *x, blo_node *k, const blo_attr *attr) {
    blo_node *in[2] = {x, k};
    return x && k ? blo_node_make(x->graph, BLO_OP_POOL_TAKE, x->dtype, 4, k->shape, 2, in, attr) : NULL;
}

static blo_node *put(blo_node *a, blo_node *k, const int64_t *shape, const blo_attr *attr) {
    blo_node *in[2] = {a, k};
    return a && k ? blo_node_make(a->graph, BLO_OP_POOL_PUT, a->dtype, 4, shape, 2, in, attr) : NULL;
}

void blo_d_pool_take(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    in[0] = wanted[0] ? put(g, node->in[1], node->in[0]->shape, &node->attr) : NULL;
}

void blo_d_pool_put(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    in[0] = wanted[0] ? take(g, node->in[1], &node->attr) : NULL;
}

/* --- max and average --- */

/* A floating image of four axes and windows that fit it, PADDING at most half a window. */
static blo_graph *check(const char *call, blo_node *x, const int64_t *kernel, const int64_t *stride,
                        const int64_t *padding, blo_attr *attr, int64_t *pad) {
    char text[BLO_SHAPE_TEXT];
    blo_graph *graph = blo_operands(call, 1, &x);
    if (!graph)
        return NULL;
    if (x->rank != 4 || !blo_is_floating(x->dtype))
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "%s: %s %s; [N,C,H,W] of float or double is wanted", call,
                              blo_dtype_name(x->dtype), blo_shape_text(x->rank, x->shape, text)),
               NULL;
    memset(attr, 0, sizeof *attr);
    bool fits = true;
    for (int i = 0; i < 2; i++) {
        attr->pool.kernel[i] = kernel[i];
        attr->pool.stride[i] = stride ? stride[i] : kernel[i];
        pad[i] = padding ? padding[i] : 0;
        fits = fits && kernel[i] >= 1 && kernel[i] <= INT16_MAX && attr->pool.stride[i] >= 1 &&
               attr->pool.stride[i] <= INT32_MAX && pad[i] >= 0 && 2 * pad[i] <= kernel[i] &&
               x->shape[2 + i] + 2 * pad[i] >= kernel[i];
    }
    if (!fits)
        return blo_graph_fail(
                   graph, BLO_ERROR_ARGUMENT,
                   "%s: windows of %lld,%lld, stride %lld,%lld, padding %lld,%lld of images %s; want windows "
                   "that fit, a stride of at least 1 and a padding of at most half a window",
                   call, (long long)kernel[0], (long long)kernel[1], (long long)attr->pool.stride[0],
                   (long long)attr->pool.stride[1], (long long)pad[0], (long long)pad[1],
                   blo_shape_text(4, x->shape, text)),
               NULL;
    return graph;
}

blo_node *blo_max_pool2d(blo_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding) {
    blo_attr attr;
    int64_t pad[2];
    blo_graph *graph = check("blo_max_pool2d", x, kernel, stride, padding, &attr, pad);
    if (!graph)
        return NULL;
    if (pad[0] || pad[1]) { /* what is outside never wins */
        const int64_t around[4] = {0, 0, pad[0], pad[1]};
        blo_node *inside = blo_pad(blo_full(graph, BLO_UINT8, 1, 4, x->shape), around, around, NULL);
        blo_node *padded = blo_pad(x, around, around, NULL);
        x = padded ? blo_select(inside, padded, blo_full_like(padded, -(double)INFINITY)) : NULL;
    }
    blo_node *last = blo_channels_last(x);
    if (!last)
        return NULL;
    const int64_t shape[4] = {last->shape[0], windows(&attr, 0, last->shape[1]), windows(&attr, 1, last->shape[2]),
                              last->shape[3]};
    blo_dtype dtype = attr.pool.kernel[0] * attr.pool.kernel[1] <= UINT8_MAX + 1 ? BLO_UINT8 : BLO_INT32;
    return blo_channels_first(
        take(last, blo_node_make(graph, BLO_OP_POOL_ARGMAX, dtype, 4, shape, 1, &last, &attr), &attr));
}

/* The sum of the KERNEL slices of AXIS that start at 0, 1 … and step by STRIDE. */
static blo_node *sum_windows(blo_node *x, int axis, int64_t kernel, int64_t stride) {
    blo_node *sum = NULL;
    int64_t start[4] = {0}, stop[4], step[4] = {1, 1, 1, 1};
    if (!x)
        return NULL;
    memcpy(stop, x->shape, sizeof stop);
    step[axis] = stride;
    int64_t last = (x->shape[axis] - kernel) / stride * stride; /* start of the last window */
    for (int64_t k = 0; k < kernel; k++) {
        start[axis] = k;
        stop[axis] = k + last + 1;
        blo_node *part = blo_slice(x, start, stop, step);
        sum = k ? blo_add(sum, part) : part;
    }
    return sum;
}

blo_node *blo_avg_pool2d(blo_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding) {
    blo_attr attr;
    int64_t pad[2];
    if (!check("blo_avg_pool2d", x, kernel, stride, padding, &attr, pad))
        return NULL;
    const int64_t around[4] = {0, 0, pad[0], pad[1]};
    blo_node *rows = sum_windows(blo_pad(x, around, around, NULL), 2, kernel[0], attr.pool.stride[0]);
    return blo_scale(sum_windows(rows, 3, kernel[1], attr.pool.stride[1]), 1 / (double)(kernel[0] * kernel[1]));
}

/* --- global pooling, up-sampling --- */

static bool is_image(const char *call, blo_node *x) {
    char text[BLO_SHAPE_TEXT];
    blo_graph *graph = blo_operands(call, 1, &x);
    if (graph && x->rank != 4)
        blo_graph_fail(graph, BLO_ERROR_SHAPE, "%s: %s; [N,C,H,W] is wanted", call,
                       blo_shape_text(x->rank, x->shape, text));
    return graph && x->rank == 4;
}

blo_node *blo_global_avg_pool2d(blo_node *x) {
    const int axes[2] = {2, 3};
    return is_image("blo_global_avg_pool2d", x) ? blo_mean_axes(x, 2, axes, false) : NULL;
}

blo_node *blo_global_max_pool2d(blo_node *x) { /* one window: the first of equals, as in blo_max_pool2d */
    if (!is_image("blo_global_max_pool2d", x))
        return NULL;
    const int64_t kernel[2] = {x->shape[2], x->shape[3]}, shape[2] = {x->shape[0], x->shape[1]};
    blo_node *pooled = blo_max_pool2d(x, kernel, NULL, NULL);
    return pooled ? blo_reshape(pooled, 2, shape) : NULL;
}

blo_node *blo_upsample_nearest2d(blo_node *x, const int64_t *factor) {
    if (!is_image("blo_upsample_nearest2d", x))
        return NULL;
    if (factor[0] < 1 || factor[1] < 1)
        return blo_graph_fail(x->graph, BLO_ERROR_ARGUMENT,
                              "blo_upsample_nearest2d: factors %lld,%lld; want at least 1", (long long)factor[0],
                              (long long)factor[1]);
    blo_node *last = blo_channels_last(x);
    if (!last)
        return NULL;
    static const int map[4] = {0, 1, 3, 5};
    const int64_t *s = last->shape;
    const int64_t wide[6] = {s[0], s[1], factor[0], s[2], factor[1], s[3]},
                  flat[4] = {s[0], s[1] * factor[0], s[2] * factor[1], s[3]};
    blo_node *repeated = blo_node_broadcast(last, 6, wide, map);
    return repeated ? blo_channels_first(blo_reshape(repeated, 4, flat)) : NULL;
}
