/* Convolution of images: three primitives, each the derivative of the others, since all three are derivatives of one
 * trilinear form (graph.h). Knows shapes only; channels last inside, channels first to the caller. */
#include <string.h>

#include "node.h"

/* --- geometry --- */

/* The pair at GIVEN, or both DEFAULT. */
static void pair(int64_t *to, const int64_t *given, int64_t otherwise) {
    to[0] = given ? given[0] : otherwise;
    to[1] = given ? given[1] : otherwise;
}

static bool attributes(const char *call, blo_graph *graph, const int64_t *stride, const int64_t *padding,
                       const int64_t *dilation, int64_t groups, blo_attr *attr) {
    memset(attr, 0, sizeof *attr);
    pair(attr->conv.stride, stride, 1);
    pair(attr->conv.padding, padding, 0);
    pair(attr->conv.dilation, dilation, 1);
    attr->conv.groups = groups;
    bool fits = groups >= 1;
    for (int i = 0; i < 2; i++)
        fits = fits && attr->conv.stride[i] >= 1 && attr->conv.padding[i] >= 0 && attr->conv.dilation[i] >= 1 &&
               attr->conv.stride[i] <= INT32_MAX && attr->conv.padding[i] <= INT32_MAX &&
               attr->conv.dilation[i] <= INT32_MAX;
    if (!fits)
        blo_graph_fail(graph, BLO_ERROR_ARGUMENT,
                       "%s: stride %lld,%lld, padding %lld,%lld, dilation %lld,%lld, groups %lld; want a stride, a "
                       "dilation and groups of at least 1, and no negative padding",
                       call, (long long)attr->conv.stride[0], (long long)attr->conv.stride[1],
                       (long long)attr->conv.padding[0], (long long)attr->conv.padding[1],
                       (long long)attr->conv.dilation[0], (long long)attr->conv.dilation[1], (long long)groups);
    return fits;
}

/* Windows of KERNEL along an axis of EXTENT; 0: none fits. */
static int64_t windows(const blo_attr *attr, int axis, int64_t extent, int64_t kernel) {
    int64_t span = (kernel - 1) * attr->conv.dilation[axis] + 1, room = extent + 2 * attr->conv.padding[axis];
    return kernel < 1 || room < span ? 0 : (room - span) / attr->conv.stride[axis] + 1;
}

/* Do an image x [N,H,W,C], a weight [O,C/groups,R,S] and a gradient [N,P,Q,O] belong together? */
static bool belong(const char *call, blo_graph *graph, const blo_attr *attr, const int64_t *x, const int64_t *w,
                   const int64_t *g) {
    bool fits = x[0] == g[0] && w[0] == g[3] && x[3] % attr->conv.groups == 0 && w[0] % attr->conv.groups == 0 &&
                x[3] / attr->conv.groups == w[1] && w[1] > 0 && w[0] > 0;
    for (int i = 0; i < 2; i++)
        fits = fits && windows(attr, i, x[1 + i], w[2 + i]) == g[1 + i] && g[1 + i] > 0;
    if (!fits)
        blo_graph_fail(graph, BLO_ERROR_SHAPE,
                       "%s: images [%lld,%lld,%lld,%lld], a weight [%lld,%lld,%lld,%lld] and results "
                       "[%lld,%lld,%lld,%lld] do not belong together with stride %lld,%lld, padding %lld,%lld, "
                       "dilation %lld,%lld and %lld groups",
                       call, (long long)x[0], (long long)x[3], (long long)x[1], (long long)x[2], (long long)w[0],
                       (long long)w[1], (long long)w[2], (long long)w[3], (long long)g[0], (long long)g[3],
                       (long long)g[1], (long long)g[2], (long long)attr->conv.stride[0],
                       (long long)attr->conv.stride[1], (long long)attr->conv.padding[0],
                       (long long)attr->conv.padding[1], (long long)attr->conv.dilation[0],
                       (long long)attr->conv.dilation[1], (long long)attr->conv.groups);
    return fits;
}

/* Both of four axes and of one floating type. */
static blo_graph *operands(const char *call, blo_node *a, blo_node *b) {
    blo_node *in[2] = {a, b};
    blo_graph *graph = blo_operands(call, 2, in);
    if (!graph)
        return NULL;
    if (a->rank == 4 && b->rank == 4 && a->dtype == b->dtype && blo_is_floating(a->dtype))
        return graph;
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    return blo_graph_fail(graph, BLO_ERROR_SHAPE,
                          "%s: operands %s %s and %s %s; four axes each are wanted, of one type, float or double", call,
                          blo_dtype_name(a->dtype), blo_shape_text(a->rank, a->shape, left), blo_dtype_name(b->dtype),
                          blo_shape_text(b->rank, b->shape, right)),
           NULL;
}

/* --- the primitives: channels last --- */

static blo_node *conv(blo_node *x, blo_node *w, const blo_attr *attr) {
    blo_node *in[2] = {x, w};
    if (!x || !w)
        return NULL;
    const int64_t shape[4] = {x->shape[0], windows(attr, 0, x->shape[1], w->shape[2]),
                              windows(attr, 1, x->shape[2], w->shape[3]), w->shape[0]};
    return belong("blo_conv2d", x->graph, attr, x->shape, w->shape, shape)
               ? blo_node_make(x->graph, BLO_OP_CONV, x->dtype, 4, shape, 2, in, attr)
               : NULL;
}

/* SHAPE: of the image [N,H,W,C]. */
static blo_node *conv_input(blo_node *g, blo_node *w, const int64_t *shape, const blo_attr *attr) {
    blo_node *in[2] = {g, w};
    return g && w && belong("blo_conv2d_input", g->graph, attr, shape, w->shape, g->shape)
               ? blo_node_make(g->graph, BLO_OP_CONV_INPUT, g->dtype, 4, shape, 2, in, attr)
               : NULL;
}

/* SHAPE: of the weight [O,C/groups,R,S]. */
static blo_node *conv_weight(blo_node *x, blo_node *g, const int64_t *shape, const blo_attr *attr) {
    blo_node *in[2] = {x, g};
    return x && g && belong("blo_conv2d_weight", x->graph, attr, x->shape, shape, g->shape)
               ? blo_node_make(x->graph, BLO_OP_CONV_WEIGHT, x->dtype, 4, shape, 2, in, attr)
               : NULL;
}

/* --- derivatives: the form without the operand that is wanted, the cotangent in the node's place --- */

void blo_d_conv(blo_node *node, blo_node *g, const bool *wanted, blo_node **in) {
    blo_node *x = node->in[0], *w = node->in[1];
    in[0] = wanted[0] ? conv_input(g, w, x->shape, &node->attr) : NULL;
    in[1] = wanted[1] ? conv_weight(x, g, w->shape, &node->attr) : NULL;
}

void blo_d_conv_input(blo_node *node, blo_node *x, const bool *wanted, blo_node **in) {
    blo_node *g = node->in[0], *w = node->in[1];
    in[0] = wanted[0] ? conv(x, w, &node->attr) : NULL;
    in[1] = wanted[1] ? conv_weight(x, g, w->shape, &node->attr) : NULL;
}

void blo_d_conv_weight(blo_node *node, blo_node *w, const bool *wanted, blo_node **in) {
    blo_node *x = node->in[0], *g = node->in[1];
    in[0] = wanted[0] ? conv_input(g, w, x->shape, &node->attr) : NULL;
    in[1] = wanted[1] ? conv(x, w, &node->attr) : NULL;
}

/* --- public: channels first --- */

blo_node *blo_conv2d(blo_node *x, blo_node *weight, const int64_t *stride, const int64_t *padding,
                     const int64_t *dilation, int64_t groups) {
    blo_attr attr;
    blo_graph *graph = operands("blo_conv2d", x, weight);
    if (!graph || !attributes("blo_conv2d", graph, stride, padding, dilation, groups, &attr))
        return NULL;
    return blo_channels_first(conv(blo_channels_last(x), weight, &attr));
}

blo_node *blo_conv2d_input(blo_node *g, blo_node *weight, const int64_t *size, const int64_t *stride,
                           const int64_t *padding, const int64_t *dilation, int64_t groups) {
    blo_attr attr;
    blo_graph *graph = operands("blo_conv2d_input", g, weight);
    if (!graph || !attributes("blo_conv2d_input", graph, stride, padding, dilation, groups, &attr))
        return NULL;
    const int64_t shape[4] = {g->shape[0], size[0], size[1], weight->shape[1] * groups};
    return blo_channels_first(conv_input(blo_channels_last(g), weight, shape, &attr));
}

blo_node *blo_conv2d_weight(blo_node *x, blo_node *g, const int64_t *kernel, const int64_t *stride,
                            const int64_t *padding, const int64_t *dilation, int64_t groups) {
    blo_attr attr;
    blo_graph *graph = operands("blo_conv2d_weight", x, g);
    if (!graph || !attributes("blo_conv2d_weight", graph, stride, padding, dilation, groups, &attr))
        return NULL;
    const int64_t shape[4] = {g->shape[1], x->shape[1] / groups, kernel[0], kernel[1]};
    return conv_weight(blo_channels_last(x), blo_channels_last(g), shape, &attr);
}
