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

/* --- taking from what is computed element by element ---
 *
 * What a window takes of f(x) is f of what it takes of x, to the last bit. Made so, the image f(x) need not exist, and
 * the derivatives of f, their sums per channel among them, are of the size of the windows instead of the image's. */

enum { MOST_STEPS = 48, MOST_TAKEN = 2 }; /* nodes of f; images x: each is an array of its own */

typedef struct expression {
    const blo_node *node; /* the POOL_TAKE */
    int n, n_taken;
    blo_node *steps[MOST_STEPS]; /* by rising id: operands first */
    blo_node *taken[MOST_STEPS]; /* what NODE takes of each */
} expression;

/* The same for every place of an image: a constant, or a broadcast along its rows and columns. */
static bool is_uniform(const blo_node *a) {
    if (a->op != BLO_OP_BROADCAST)
        return a->op == BLO_OP_CONST;
    for (int i = 0; i < a->in[0]->rank; i++)
        if ((a->attr.perm[i] == 1 || a->attr.perm[i] == 2) && a->in[0]->shape[i] != 1)
            return false;
    return true;
}

static int position_of(const expression *e, const blo_node *a) {
    int i = 0;
    while (i < e->n && e->steps[i] != a)
        i++;
    return i;
}

/* Adds A and what it is computed from; false: this is too much, or of another kind. */
static bool collect(expression *e, blo_node *a) {
    if (position_of(e, a) < e->n)
        return true;
    if (blo_op_elementwise(a->op)) {
        for (int i = 0; i < a->n_in; i++)
            if (!collect(e, a->in[i]))
                return false;
    } else if (!is_uniform(a) && (!blo_is_floating(a->dtype) || e->n_taken++ == MOST_TAKEN))
        return false;
    if (e->n == MOST_STEPS)
        return false;
    e->steps[e->n++] = a; /* after its operands */
    return true;
}

/* What E's node takes of step I, those before it taken already. */
static blo_node *taken(const expression *e, int i) {
    blo_node *a = e->steps[i], *in[3];
    const int64_t *shape = e->node->shape;
    if (a->op == BLO_OP_CONST)
        return blo_full(a->graph, a->dtype, a->attr.value, 4, shape);
    if (!blo_op_elementwise(a->op))
        return is_uniform(a) ? blo_node_broadcast(a->in[0], 4, shape, a->attr.perm)
                             : take(a, e->node->in[1], &e->node->attr);
    for (int j = 0; j < a->n_in; j++)
        in[j] = e->taken[position_of(e, a->in[j])];
    return blo_node_make(a->graph, a->op, a->dtype, 4, shape, a->n_in, in, &a->attr);
}

/* What is put where its windows, none over another, take it again. */
static bool takes_what_was_put(const blo_node *node) {
    const blo_node *put = node->in[0];
    return put->op == BLO_OP_POOL_PUT && put->in[1] == node->in[1] &&
           !memcmp(&put->attr, &node->attr, sizeof put->attr) &&
           node->attr.pool.stride[0] >= node->attr.pool.kernel[0] &&
           node->attr.pool.stride[1] >= node->attr.pool.kernel[1];
}

blo_node *blo_fold_pool_take(const blo_node *node) {
    if (takes_what_was_put(node))
        return node->in[0]->in[0];
    expression e = {.node = node};
    if ((!blo_op_elementwise(node->in[0]->op) && !is_uniform(node->in[0])) || !collect(&e, node->in[0]))
        return NULL;
    for (int i = 0; i < e.n; i++)
        if (!(e.taken[i] = taken(&e, i)))
            return NULL;
    return e.taken[e.n - 1];
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
