/* The emitter's cases of movement and indices: what moves is an index, what is padded, gathered, counted or drawn is a
 * value. */
#include "emit_cases.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

const blo_value *blo_emit_moved(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    blo_indices *indices = &emitter->indices;
    const blo_node *a = node->in[0];
    const blo_index *inner[BLO_MAX_RANK];
    switch (node->op) {
    case BLO_OP_RESHAPE:
        blo_index_split(indices, blo_index_linear(indices, node->rank, node->shape, index), a->rank, a->shape, inner);
        break;
    case BLO_OP_BROADCAST:
        for (int i = 0; i < a->rank; i++)
            inner[i] = a->shape[i] == 1 ? blo_index_const(indices, 0) : index[node->attr.perm[i]];
        break;
    case BLO_OP_PERMUTE:
        for (int i = 0; i < a->rank; i++)
            inner[node->attr.perm[i]] = index[i];
        break;
    default: /* SLICE */
        for (int i = 0; i < a->rank; i++)
            inner[i] =
                blo_index_affine(indices, index[i], node->attr.window.step[i], node->attr.window.start[i], a->shape[i]);
        break;
    }
    const blo_value *value = blo_emit_value(emitter, a, inner);
    return value ? blo_emit_alias(emitter, node, index, value->scope, value->wide, value->name) : NULL;
}

/* Adds the name of a condition to the conjunction ALL, which is a vector (of -1 and 0) where WIDE. */
static void add_condition(const blo_emitter *emitter, blo_text *all, const char *condition, bool is_wide, bool wide) {
    const char *between = all->length ? " && " : "";
    if (wide && !is_wide)
        blo_text_add(all, "%s(%s)(%s ? -1 : 0)", between, blo_lanes_truth(BLO_INT32, emitter->width), condition);
    else
        blo_text_add(all, "%s%s", between, condition);
}

/* CONDITION ? VALUE : OTHER (a literal), where CONDITION is a vector of int if CHOOSES. */
static const blo_value *choose(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                               bool chooses, const char *condition, const blo_value *value, const char *other) {
    char widened[64];
    blo_text text = {0};
    const bool wide = chooses || value->wide;
    const char *type = blo_emit_type(emitter, node->dtype, wide), *truth = blo_lanes_truth(node->dtype, emitter->width);
    if (chooses)
        blo_text_add(&text, "convert_%s(%s) != (%s)0 ? %s : (%s)(%s)", truth, condition, truth,
                     blo_emit_widened(emitter, value, widened), type, other);
    else
        blo_text_add(&text, "%s ? %s : (%s)(%s)", condition, value->name, type, other);
    const blo_value *chosen = text.failed ? NULL : blo_emit_define(emitter, node, index, scope, wide, text.data);
    blo_text_free(&text);
    return chosen;
}

/* The operand's index along AXIS of a padding, and in CONDITION the name of what says that there is one (else it is 0);
 * "": always. */
static const blo_index *unpad(blo_emitter *emitter, const blo_node *node, int axis, const blo_index *index,
                              char condition[24]) {
    blo_indices *indices = &emitter->indices;
    int64_t start = node->attr.window.start[axis], step = node->attr.window.step[axis],
            extent = node->in[0]->shape[axis];
    condition[0] = '\0';
    if (start == 0 && step == 1 && extent == node->shape[axis])
        return index;
    char name[24];
    const bool wide = blo_index_is_wide(index);
    const int width = wide ? emitter->width : 1;
    const char *i = wide ? blo_index_lanes(indices, index) : blo_index_text(indices, index);
    blo_emit_name(emitter, "x", name);
    blo_emit_name(emitter, "in", condition);
    blo_text *text = blo_emit_text(emitter, index->scope);
    blo_text_add(text, "const %s %s_at = %s - (uint)%" PRId64 ";\n", blo_lanes_index(width), name, i, start);
    blo_text_add(text,
                 "const %s %s = %s >= (uint)%" PRId64 " && %s_at %% %" PRId64 "u == 0u && %s_at / %" PRId64
                 "u < %" PRId64 "u;\n",
                 wide ? blo_lanes_truth(BLO_INT32, width) : "bool", condition, i, start, name, step, name, step,
                 extent);
    blo_text_add(text, "const %s %s = %s ? %s_at / %" PRId64 "u : (%s)0;\n", blo_lanes_index(width), name, condition,
                 name, step, blo_lanes_index(width));
    return wide ? blo_index_scattered(indices, name, extent, index->scope)
                : blo_index_name(indices, name, extent, index->scope);
}

const blo_value *blo_emit_padded(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *a = node->in[0];
    const blo_index *inner[BLO_MAX_RANK];
    char conditions[BLO_MAX_RANK][24];
    blo_text all = {0};
    if (a->count == 0)
        return blo_emit_constant(emitter, node, index, 0);
    int scope = 0;
    bool chooses = false;
    for (int i = 0; i < a->rank; i++) {
        inner[i] = unpad(emitter, node, i, index[i], conditions[i]);
        scope = blo_scope_deeper(&emitter->indices, scope, index[i]->scope);
        chooses = chooses || (conditions[i][0] && blo_index_is_wide(index[i]));
    }
    for (int i = 0; i < a->rank; i++)
        if (conditions[i][0])
            add_condition(emitter, &all, conditions[i], blo_index_is_wide(index[i]), chooses);
    const blo_value *value = blo_emit_value(emitter, a, inner);
    if (value && all.length)
        value = choose(emitter, node, index, blo_scope_deeper(&emitter->indices, scope, value->scope), chooses,
                       all.failed ? "0" : all.data, value, "0");
    else if (value)
        value = blo_emit_alias(emitter, node, index, value->scope, value->wide, value->name);
    emitter->failed = emitter->failed || all.failed;
    blo_text_free(&all);
    return value;
}

const blo_value *blo_emit_gathered(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *a = node->in[0], *which = node->in[1];
    blo_indices *indices = &emitter->indices;
    const blo_value *row = blo_emit_value(emitter, which, index);
    if (!row || a->count == 0)
        return row ? blo_emit_constant(emitter, node, index, node->dtype <= BLO_DOUBLE ? (double)NAN : 0) : NULL;
    char name[24], condition[24], outside[48];
    const int width = row->wide ? emitter->width : 1;
    const char *integer = blo_lanes_type(BLO_INT32, width), *unsigned_type = blo_lanes_index(width);
    blo_emit_name(emitter, "x", name);
    blo_emit_name(emitter, "in", condition);
    blo_text *text = blo_emit_text(emitter, row->scope);
    blo_text_add(text, "const %s %s = convert_%s(%s) >= 0 && convert_%s(%s) < %" PRId64 ";\n",
                 row->wide ? integer : "bool", condition, integer, row->name, integer, row->name, a->shape[0]);
    blo_text_add(text, "const %s %s = %s ? convert_%s(%s) : (%s)0;\n", unsigned_type, name, condition, unsigned_type,
                 row->name, unsigned_type);
    const blo_index *inner[BLO_MAX_RANK];
    inner[0] = row->wide ? blo_index_scattered(indices, name, a->shape[0], row->scope)
                         : blo_index_name(indices, name, a->shape[0], row->scope);
    for (int i = 1; i < a->rank; i++)
        inner[i] = index[which->rank + i - 1];
    const blo_value *value = blo_emit_value(emitter, a, inner);
    if (!value)
        return NULL;
    blo_emit_literal(outside, sizeof outside, node->dtype, node->dtype <= BLO_DOUBLE ? (double)NAN : 0);
    return choose(emitter, node, index, blo_scope_deeper(indices, value->scope, row->scope), row->wide, condition,
                  value, outside);
}

const blo_value *blo_emit_iota(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    char expression[64];
    const blo_index *i = index[node->attr.axis];
    const bool wide = blo_index_is_wide(i);
    snprintf(expression, sizeof expression, "convert_%s(%s)", blo_emit_type(emitter, node->dtype, wide),
             wide ? blo_index_lanes(&emitter->indices, i) : blo_index_text(&emitter->indices, i));
    return blo_emit_define(emitter, node, index, i->scope, wide, expression);
}

const blo_value *blo_emit_random(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_index *none[1] = {NULL};
    if (emitter->width > 1) {
        emitter->scalar_only = true;
        return NULL;
    }
    const blo_value *counter = blo_emit_value(emitter, node->in[0], none);
    if (!counter)
        return NULL;
    emitter->uses.random = true;
    const blo_index *linear = blo_index_linear(&emitter->indices, node->rank, node->shape, index);
    int scope = blo_scope_deeper(&emitter->indices, linear->scope, counter->scope);
    char bits[24], expression[128];
    const char *element = blo_index_text(&emitter->indices, linear);
    blo_emit_name(emitter, "r", bits);
    blo_text_add(blo_emit_text(emitter, scope),
                 "const uint4 %s = blo_philox((uint4)(%s, 0u, (uint)%s, 0u), (uint2)(%uu, %uu));\n", bits, element,
                 counter->name, (unsigned)(node->attr.seed & 0xffffffffu), (unsigned)(node->attr.seed >> 32));
    if (node->dtype == BLO_FLOAT)
        snprintf(expression, sizeof expression, "(float)(%s.x >> 8) * 0x1p-24f", bits);
    else
        snprintf(expression, sizeof expression, "((double)(%s.x >> 5) * 0x1p26 + (double)(%s.y >> 6)) * 0x1p-53", bits,
                 bits);
    return blo_emit_define(emitter, node, index, scope, false, expression);
}
