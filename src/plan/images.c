/* The emitter's cases for images: small convolutions as loops where they are used, and pooling. Channels last; see
 * graph.h for what each primitive means. Large convolutions have kernels of their own: convolution.c. */
#include "emit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { UNROLLED = 16 }; /* elements of a window up to which its places are written out one by one */

/* --- convolution: one loop over all products, those outside the image left out --- */

typedef struct walk {
    blo_emitter *emitter;
    int loop, inside; /* scopes: of every product; of those that exist */
    char variable[24], accumulator[24];
    blo_text condition;
} walk;

static const blo_index *start_walk(walk *w, blo_emitter *emitter, int64_t length, int scope) {
    *w = (walk){.emitter = emitter, .loop = blo_emit_open(emitter, scope)};
    w->inside = blo_emit_open(emitter, w->loop);
    blo_emit_name(emitter, "j", w->variable);
    blo_emit_name(emitter, "s", w->accumulator);
    return blo_index_name(&emitter->indices, w->variable, length, w->loop);
}

/* A name for the signed EXPRESSION, an index below EXTENT inside; elsewhere the product is left out. */
static const blo_index *bounded(walk *w, const char *expression, int64_t extent, const char *also, int64_t divisor) {
    char name[24], from[24];
    blo_text *text = blo_emit_text(w->emitter, w->loop);
    blo_emit_name(w->emitter, "x", name);
    blo_emit_name(w->emitter, "i", from);
    blo_text_add(text, "const int %s = %s;\n", from, expression);
    blo_text_add(text, "const uint %s = (uint)%s / %" PRId64 "u;\n", name, from, divisor);
    blo_text_add(&w->condition, "%s%s >= 0 && %s < %" PRId64, w->condition.length ? " && " : "", from, name, extent);
    if (also)
        blo_text_add(&w->condition, " && (uint)%s %% %s == 0", from, also);
    return blo_index_name(&w->emitter->indices, name, extent, w->inside);
}

/* Where tap R of window P lies in the image. */
static const blo_index *image_place(walk *w, const blo_node *node, int axis, const blo_index *p, const blo_index *r,
                                    int64_t extent) {
    /* Both may emit: in this order, whatever the order that a compiler gives to arguments. */
    const char *window = blo_index_text(&w->emitter->indices, p), *tap = blo_index_text(&w->emitter->indices, r);
    char expression[160];
    snprintf(expression, sizeof expression, "(int)(%s * %" PRId64 " + %s * %" PRId64 ") - %" PRId64, window,
             node->attr.conv.stride[axis], tap, node->attr.conv.dilation[axis], node->attr.conv.padding[axis]);
    return bounded(w, expression, extent, NULL, 1);
}

/* Which window has its tap R at place H of the image. */
static const blo_index *window_place(walk *w, const blo_node *node, int axis, const blo_index *h, const blo_index *r,
                                     int64_t extent) {
    const char *place = blo_index_text(&w->emitter->indices, h), *tap = blo_index_text(&w->emitter->indices, r);
    char expression[160], stride[24];
    snprintf(expression, sizeof expression, "(int)%s + %" PRId64 " - (int)(%s * %" PRId64 ")", place,
             node->attr.conv.padding[axis], tap, node->attr.conv.dilation[axis]);
    snprintf(stride, sizeof stride, "%" PRId64, node->attr.conv.stride[axis]);
    return bounded(w, expression, extent, node->attr.conv.stride[axis] > 1 ? stride : NULL,
                   node->attr.conv.stride[axis]);
}

static const blo_value *end_walk(walk *w, const blo_node *node, const blo_index *const *index, int scope,
                                 const blo_value *a, const blo_value *b, int64_t length) {
    blo_emitter *emitter = w->emitter;
    char header[96];
    blo_text guard = {0};
    if (a && b)
        blo_text_add(blo_emit_text(emitter, w->inside), "%s = fma(%s, %s, %s);\n", w->accumulator, a->name, b->name,
                     w->accumulator);
    blo_text_add(&guard, "if (%s)", w->condition.data ? w->condition.data : "1");
    emitter->failed = emitter->failed || guard.failed || w->condition.failed || !a || !b;
    if (!emitter->failed)
        blo_emit_close(emitter, w->inside, guard.data, "");
    blo_text_free(&guard);
    blo_text_free(&w->condition);
    blo_text_add(blo_emit_text(emitter, scope), "%s %s = 0;\n", blo_type_name(node->dtype), w->accumulator);
    snprintf(header, sizeof header, "for (uint %s = 0; %s < %" PRId64 "; %s++)", w->variable, w->variable, length,
             w->variable);
    blo_emit_close(emitter, w->loop, header, "");
    return emitter->failed ? NULL : blo_emit_alias(emitter, node, index, scope, false, w->accumulator);
}

static int scope_of(const blo_emitter *emitter, const blo_index *const *index) {
    int scope = 0;
    for (int i = 0; i < 4; i++)
        scope = blo_scope_deeper(&emitter->indices, scope, index[i]->scope);
    return scope;
}

static const blo_value *conv(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *x = node->in[0], *w = node->in[1];
    blo_indices *indices = &emitter->indices;
    const int64_t taps[3] = {w->shape[2], w->shape[3], w->shape[1]}, length = taps[0] * taps[1] * taps[2];
    int scope = scope_of(emitter, index);
    walk walked;
    const blo_index *k[3], *group = blo_index_div(indices, index[3], w->shape[0] / node->attr.conv.groups);
    blo_index_split(indices, start_walk(&walked, emitter, length, scope), 3, taps, k);
    const blo_index *at_x[4] = {index[0], image_place(&walked, node, 0, index[1], k[0], x->shape[1]),
                                image_place(&walked, node, 1, index[2], k[1], x->shape[2]),
                                blo_index_join(indices, group, taps[2], k[2])},
                    *at_w[4] = {index[3], k[2], k[0], k[1]};
    const blo_value *a = blo_emit_value(emitter, x, at_x), *b = a ? blo_emit_value(emitter, w, at_w) : NULL;
    return end_walk(&walked, node, index, scope, a, b, length);
}

static const blo_value *conv_input(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *g = node->in[0], *w = node->in[1];
    blo_indices *indices = &emitter->indices;
    const int64_t outs = w->shape[0] / node->attr.conv.groups, ins = w->shape[1],
                  taps[3] = {w->shape[2], w->shape[3], outs}, length = taps[0] * taps[1] * taps[2];
    int scope = scope_of(emitter, index);
    walk walked;
    const blo_index *k[3];
    blo_index_split(indices, start_walk(&walked, emitter, length, scope), 3, taps, k);
    const blo_index *o = blo_index_join(indices, blo_index_div(indices, index[3], ins), outs, k[2]);
    const blo_index *at_g[4] = {index[0], window_place(&walked, node, 0, index[1], k[0], g->shape[1]),
                                window_place(&walked, node, 1, index[2], k[1], g->shape[2]), o},
                    *at_w[4] = {o, blo_index_mod(indices, index[3], ins), k[0], k[1]};
    const blo_value *a = blo_emit_value(emitter, g, at_g), *b = a ? blo_emit_value(emitter, w, at_w) : NULL;
    return end_walk(&walked, node, index, scope, a, b, length);
}

static const blo_value *conv_weight(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *x = node->in[0], *g = node->in[1];
    blo_indices *indices = &emitter->indices;
    const int64_t length = g->shape[0] * g->shape[1] * g->shape[2];
    int scope = scope_of(emitter, index);
    if (length == 0)
        return blo_emit_constant(emitter, node, index, 0);
    walk walked;
    const blo_index *k[3], *group = blo_index_div(indices, index[0], node->shape[0] / node->attr.conv.groups);
    blo_index_split(indices, start_walk(&walked, emitter, length, scope), 3, g->shape, k);
    const blo_index *at_x[4] = {k[0], image_place(&walked, node, 0, k[1], index[2], x->shape[1]),
                                image_place(&walked, node, 1, k[2], index[3], x->shape[2]),
                                blo_index_join(indices, group, node->shape[1], index[1])},
                    *at_g[4] = {k[0], k[1], k[2], index[0]};
    const blo_value *a = blo_emit_value(emitter, x, at_x), *b = a ? blo_emit_value(emitter, g, at_g) : NULL;
    return end_walk(&walked, node, index, scope, a, b, length);
}

/* --- pooling: lanes, if any, run along the channels --- */

/* The operand's index at place (R, S) of the window that INDEX names. */
static void in_window(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int64_t r, int64_t s,
                      const blo_index **at) {
    const blo_node *x = node->in[0];
    at[0] = index[0];
    at[1] = blo_index_affine(&emitter->indices, index[1], node->attr.pool.stride[0], r, x->shape[1]);
    at[2] = blo_index_affine(&emitter->indices, index[2], node->attr.pool.stride[1], s, x->shape[2]);
    at[3] = index[3];
}

/* The same at the place that the number K = r * S + s, known to the device only, tells; no lanes. */
static void at_place(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, const char *k,
                     int scope, const blo_index **at) {
    blo_indices *indices = &emitter->indices;
    const char *part[2] = {"/", "%"};
    at[0] = index[0];
    at[3] = index[3];
    for (int axis = 0; axis < 2; axis++) {
        char name[24];
        const char *window = blo_index_text(indices, index[1 + axis]);
        blo_emit_name(emitter, "x", name);
        blo_text_add(blo_emit_text(emitter, scope), "const uint %s = %s * %" PRId64 " + (uint)%s %s %" PRId64 ";\n",
                     name, window, node->attr.pool.stride[axis], k, part[axis], node->attr.pool.kernel[1]);
        at[1 + axis] = blo_index_name(indices, name, node->in[0]->shape[1 + axis], scope);
    }
}

/* What the index of the maximum is found by: the best value and its place so far. */
typedef struct contest {
    bool wide;
    char best[64], where[64];
} contest;

/* Lets V at place K take part; the first is the best until now. */
static void contend(blo_emitter *emitter, const blo_node *node, contest *c, const blo_value *v, int64_t k, int scope) {
    const blo_dtype dtype = node->in[0]->dtype;
    const char *result = blo_emit_type(emitter, node->dtype, c->wide);
    char name[64], wins[24], best[24], where[24];
    const char *value = c->wide ? blo_emit_widened(emitter, v, name) : v->name;
    if (k == 0) {
        snprintf(c->best, sizeof c->best, "%s", value);
        snprintf(c->where, sizeof c->where, "((%s)0)", result);
        return;
    }
    const int width = c->wide ? emitter->width : 1;
    blo_text *body = blo_emit_text(emitter, scope);
    blo_emit_name(emitter, "w", wins);
    blo_emit_name(emitter, "s", best);
    blo_emit_name(emitter, "k", where);
    blo_text_add(body, "const %s %s = (%s > %s) | ((%s != %s) & (%s == %s));\n",
                 c->wide ? blo_lanes_truth(dtype, width) : "bool", wins, value, c->best, value, value, c->best,
                 c->best);
    blo_text_add(body, "const %s %s = %s ? %s : %s;\n", blo_emit_type(emitter, dtype, c->wide), best, wins, value,
                 c->best);
    if (c->wide)
        blo_text_add(body, "const %s %s = convert_%s(%s) ? (%s)%" PRId64 " : %s;\n", result, where,
                     blo_lanes_truth(node->dtype, width), wins, result, k, c->where);
    else
        blo_text_add(body, "const %s %s = %s ? (%s)%" PRId64 " : %s;\n", result, where, wins, result, k, c->where);
    snprintf(c->best, sizeof c->best, "%s", best);
    snprintf(c->where, sizeof c->where, "%s", where);
}

static const blo_value *argmax_in_loop(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *x = node->in[0];
    int scope = scope_of(emitter, index), loop = blo_emit_open(emitter, scope);
    char variable[24], best[24], where[24], header[128];
    const blo_index *at[4];
    blo_emit_name(emitter, "j", variable);
    blo_emit_name(emitter, "s", best);
    blo_emit_name(emitter, "k", where);
    at_place(emitter, node, index, variable, loop, at);
    const blo_value *v = blo_emit_value(emitter, x, at);
    if (!v)
        return NULL;
    blo_text_add(blo_emit_text(emitter, loop), "if (%s > %s || (%s != %s && %s == %s)) {\n%s = %s;\n%s = (%s)%s;\n}\n",
                 v->name, best, v->name, v->name, best, best, best, v->name, where, blo_type_name(node->dtype),
                 variable);
    blo_text_add(blo_emit_text(emitter, scope), "%s %s = -INFINITY;\n%s %s = 0;\n", blo_type_name(x->dtype), best,
                 blo_type_name(node->dtype), where);
    snprintf(header, sizeof header, "for (uint %s = 0; %s < %" PRId64 "; %s++)", variable, variable,
             node->attr.pool.kernel[0] * node->attr.pool.kernel[1], variable);
    blo_emit_close(emitter, loop, header, "");
    return blo_emit_alias(emitter, node, index, scope, false, where);
}

static const blo_value *argmax(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    int64_t columns = node->attr.pool.kernel[1], places = node->attr.pool.kernel[0] * columns;
    if (places > UNROLLED)
        return argmax_in_loop(emitter, node, index);
    contest c = {.wide = blo_index_is_wide(index[3])};
    int scope = scope_of(emitter, index);
    for (int64_t k = 0; k < places; k++) {
        const blo_index *at[4];
        in_window(emitter, node, index, k / columns, k % columns, at);
        const blo_value *v = blo_emit_value(emitter, node->in[0], at);
        if (!v)
            return NULL;
        scope = blo_scope_deeper(&emitter->indices, scope, v->scope);
        contend(emitter, node, &c, v, k, scope);
    }
    char where[48];
    snprintf(where, sizeof where, "%.47s", c.where);
    return blo_emit_alias(emitter, node, index, scope, c.wide, where);
}

/* Adds "K == PLACE" as a condition that chooses values of DTYPE. */
static void at_this_place(blo_emitter *emitter, blo_text *text, blo_dtype dtype, const blo_value *k, bool wide,
                          const char *place) {
    const char *truth = blo_lanes_truth(dtype, emitter->width);
    char widened[64];
    if (wide)
        blo_text_add(text, "convert_%s(%s) == (%s)(%s)", truth, blo_emit_widened(emitter, k, widened), truth, place);
    else
        blo_text_add(text, "(int)%s == %s", k->name, place);
}

static const blo_value *take(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    int64_t columns = node->attr.pool.kernel[1], places = node->attr.pool.kernel[0] * columns;
    const blo_value *k = blo_emit_value(emitter, node->in[1], index), *v = NULL;
    const blo_index *at[4];
    if (!k)
        return NULL;
    if (places > UNROLLED) {
        at_place(emitter, node, index, k->name, scope_of(emitter, index), at);
        v = blo_emit_value(emitter, node->in[0], at);
        return v ? blo_emit_alias(emitter, node, index, v->scope, v->wide, v->name) : NULL;
    }
    const bool wide = blo_index_is_wide(index[3]);
    blo_text text = {0};
    int scope = k->scope;
    for (int64_t place = 0; place < places; place++) { /* k is one of the places: the last needs no condition */
        char number[24], widened[64];
        in_window(emitter, node, index, place / columns, place % columns, at);
        v = blo_emit_value(emitter, node->in[0], at);
        if (!v)
            break;
        scope = blo_scope_deeper(&emitter->indices, scope, v->scope);
        snprintf(number, sizeof number, "%" PRId64, place);
        if (place < places - 1)
            at_this_place(emitter, &text, node->dtype, k, wide, number);
        blo_text_add(&text, "%s%s%s", place < places - 1 ? " ? " : "",
                     wide ? blo_emit_widened(emitter, v, widened) : v->name, place < places - 1 ? " : (" : "");
    }
    for (int64_t place = 1; place < places; place++)
        blo_text_add(&text, ")");
    const blo_value *value = v && !text.failed ? blo_emit_define(emitter, node, index, scope, wide, text.data) : NULL;
    blo_text_free(&text);
    return value;
}

/* The BACK-th window before the last that may hold the place H; its condition, if any, goes to CONDITION, the place
 * within it to INSIDE. */
static const blo_index *window_with(blo_emitter *emitter, const blo_node *node, int axis, const blo_index *h,
                                    int64_t back, blo_text *condition, char inside[64]) {
    blo_indices *indices = &emitter->indices;
    int64_t stride = node->attr.pool.stride[axis], kernel = node->attr.pool.kernel[axis],
            count = node->in[0]->shape[1 + axis];
    const blo_index *last = blo_index_div(indices, h, stride);
    char name[24], holds[24];
    snprintf(inside, 64, "(int)(%s + %" PRId64 ")", blo_index_text(indices, blo_index_mod(indices, h, stride)),
             back * stride);
    if (back == 0 && kernel >= stride && last->extent <= count)
        return last;
    blo_emit_name(emitter, "x", name);
    blo_emit_name(emitter, "in", holds);
    const char *from = blo_index_text(indices, last);
    blo_text *text = blo_emit_text(emitter, last->scope);
    blo_text_add(text, "const bool %s = %s >= %" PRId64 " && %s - %" PRId64 " < %" PRId64 " && %s < %" PRId64 ";\n",
                 holds, from, back, from, back, count, inside, kernel);
    blo_text_add(text, "const uint %s = %s ? %s - %" PRId64 " : 0;\n", name, holds, from, back);
    blo_text_add(condition, "%s%s", condition->length ? " && " : "", holds);
    return blo_index_name(indices, name, count, last->scope);
}

/* Adds to SUM what the window at AT puts at the place (ROW, COLUMN) within it, known in PLACE_SCOPE, if CONDITION. */
static void add_put(blo_emitter *emitter, const blo_node *node, const blo_index *const *at, const char *condition,
                    const char *row, const char *column, int place_scope, bool wide, blo_text *sum, int *scope) {
    const blo_value *k = blo_emit_value(emitter, node->in[1], at),
                    *a = k ? blo_emit_value(emitter, node->in[0], at) : NULL;
    char expected[24], widened[64];
    if (!a) {
        emitter->failed = emitter->failed || !emitter->scalar_only;
        return;
    }
    *scope = blo_scope_deeper(&emitter->indices, *scope, blo_scope_deeper(&emitter->indices, a->scope, k->scope));
    blo_emit_name(emitter, "e", expected);
    blo_text_add(blo_emit_text(emitter, place_scope), "const int %s = %s ? %s * %" PRId64 " + %s : -1;\n", expected,
                 condition ? condition : "true", row, node->attr.pool.kernel[1], column);
    blo_text_add(sum, "%s(", sum->length ? " + " : "");
    at_this_place(emitter, sum, node->dtype, k, wide, expected);
    blo_text_add(sum, " ? %s : (%s)0)", wide ? blo_emit_widened(emitter, a, widened) : a->name,
                 blo_emit_type(emitter, node->dtype, wide));
}

/* What the windows that hold this place put there: the last window of each axis first. */
static const blo_value *put(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const int64_t *kernel = node->attr.pool.kernel, *stride = node->attr.pool.stride;
    const bool wide = blo_index_is_wide(index[3]);
    blo_text sum = {0};
    int scope = scope_of(emitter, index);
    /* of the place, not of the window: where there is one window only, that is 0 everywhere */
    const int place_scope = blo_scope_deeper(&emitter->indices, index[1]->scope, index[2]->scope);
    for (int64_t i = 0; i * stride[0] < kernel[0]; i++)
        for (int64_t j = 0; j * stride[1] < kernel[1]; j++) {
            blo_text condition = {0};
            char row[64], column[64];
            const blo_index *at[4] = {index[0], window_with(emitter, node, 0, index[1], i, &condition, row),
                                      window_with(emitter, node, 1, index[2], j, &condition, column), index[3]};
            add_put(emitter, node, at, condition.data, row, column, place_scope, wide, &sum, &scope);
            emitter->failed = emitter->failed || condition.failed;
            blo_text_free(&condition);
        }
    const blo_value *value = emitter->failed || emitter->scalar_only || sum.failed
                                 ? NULL
                                 : blo_emit_define(emitter, node, index, scope, wide, sum.data);
    blo_text_free(&sum);
    return value;
}

const blo_value *blo_emit_image(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const bool pooling = !blo_is_convolution(node);
    bool lanes = emitter->width > 1 && (!pooling || node->attr.pool.kernel[0] * node->attr.pool.kernel[1] > UNROLLED);
    for (int i = 0; i < 3; i++)
        lanes = lanes || blo_index_is_wide(index[i]);
    if (lanes) { /* there is no form for them */
        emitter->scalar_only = true;
        return NULL;
    }
    switch (node->op) {
    case BLO_OP_CONV: return conv(emitter, node, index);
    case BLO_OP_CONV_INPUT: return conv_input(emitter, node, index);
    case BLO_OP_CONV_WEIGHT: return conv_weight(emitter, node, index);
    case BLO_OP_POOL_ARGMAX: return argmax(emitter, node, index);
    case BLO_OP_POOL_TAKE: return take(emitter, node, index);
    case BLO_OP_POOL_PUT: return put(emitter, node, index);
    default: emitter->failed = true; return NULL;
    }
}
