/* The emitter; see emit.h. One case per primitive; adding an elementwise primitive is adding a case to
 * elementwise_text(). */
#include "emit_cases.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void blo_emitter_init(blo_emitter *emitter, blo_lowering *lowering, int group, int width) {
    *emitter = (blo_emitter){.lowering = lowering, .group = group, .width = width, .indices.width = width};
    emitter->values = calloc((size_t)lowering->n_nodes + 1, sizeof *emitter->values);
    emitter->in_rows = calloc((size_t)lowering->n_nodes + 1, sizeof *emitter->in_rows);
    emitter->failed = !emitter->values || !emitter->in_rows;
    blo_scope_open(&emitter->indices, -1);
}

void blo_emitter_free(blo_emitter *emitter) {
    for (int id = 0; emitter->values && id < emitter->lowering->n_nodes; id++)
        while (emitter->values[id]) {
            blo_value *next = emitter->values[id]->next;
            free(emitter->values[id]);
            emitter->values[id] = next;
        }
    free(emitter->values);
    free(emitter->in_rows);
    blo_indices_free(&emitter->indices);
}

blo_text *blo_emit_text(blo_emitter *emitter, int scope) {
    return &emitter->indices.scopes[scope].text;
}

int blo_emit_open(blo_emitter *emitter, int parent) {
    return blo_scope_open(&emitter->indices, parent);
}

void blo_emit_close(blo_emitter *emitter, int scope, const char *header, const char *footer) {
    if (emitter->indices.failed) /* scopes may be others than they seem */
        return;
    blo_text inside = *blo_emit_text(emitter, scope);
    blo_text *text = blo_emit_text(emitter, emitter->indices.scopes[scope].parent);
    blo_text_add(text, "%s {\n", header);
    blo_text_append(text, &inside);
    blo_text_add(text, "%s}\n", footer);
}

void blo_emit_name(blo_emitter *emitter, const char *prefix, char name[24]) {
    snprintf(name, 24, "%s%d", prefix, emitter->indices.n_names++);
}

int blo_emit_array(blo_emitter *emitter, int array, bool written) {
    for (int i = 0; i < emitter->n_arrays; i++)
        if (emitter->arrays[i] == array) {
            emitter->written[i] = emitter->written[i] || written;
            return i;
        }
    if (array < 0 || emitter->n_arrays == BLO_MAX_ARGUMENTS - 4) { /* room for a kernel's own values */
        emitter->failed = true;
        return 0;
    }
    emitter->arrays[emitter->n_arrays] = array;
    emitter->written[emitter->n_arrays] = written;
    return emitter->n_arrays++;
}

void blo_emit_parameters(const blo_emitter *emitter, blo_text *text, bool declare) {
    for (int i = 0; i < emitter->n_arrays; i++) {
        const blo_plan_array *array = &emitter->lowering->arrays[emitter->arrays[i]];
        if (declare)
            blo_text_add(text, "%s__global %s%s *restrict p%d, const ulong o%d", i ? ", " : "",
                         emitter->written[i] ? "" : "const ", blo_type_name(array->dtype), i, i);
        else
            blo_text_add(text, "%sp%d, o%d", i ? ", " : "", i, i);
    }
}

void blo_emit_arguments(const blo_emitter *emitter, blo_plan_step *step) {
    step->n_arguments = emitter->n_arrays;
    for (int i = 0; i < emitter->n_arrays; i++)
        step->arguments[i] = (blo_plan_argument){.is_array = true, .array = emitter->arrays[i]};
}

/* --- values --- */

void blo_emit_literal(char *text, size_t size, blo_dtype dtype, double value) {
    const char *cast = dtype == BLO_FLOAT ? "(float)" : "(double)";
    if (dtype == BLO_INT32 || dtype == BLO_UINT8)
        snprintf(text, size, "%s%" PRId64 ")", dtype == BLO_INT32 ? "((int)" : "((uchar)", (int64_t)value);
    else if (isnan(value))
        snprintf(text, size, "(%sNAN)", cast);
    else if (isinf(value))
        snprintf(text, size, "(%s%sINFINITY)", cast, value < 0 ? "-" : "");
    else if (dtype == BLO_FLOAT)
        snprintf(text, size, "(%#.9gf)", value);
    else
        snprintf(text, size, "(%#.17g)", value);
}

const char *blo_emit_type(const blo_emitter *emitter, blo_dtype dtype, bool wide) {
    return blo_lanes_type(dtype, wide ? emitter->width : 1);
}

const char *blo_emit_widened(const blo_emitter *emitter, const blo_value *value, char text[64]) {
    if (emitter->width == 1 || value->wide)
        return value->name;
    snprintf(text, 64, "((%s)(%s))", blo_lanes_type(value->node->dtype, emitter->width), value->name);
    return text;
}

static blo_value *remember(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope) {
    blo_value *value = calloc(1, sizeof *value);
    if (!value) {
        emitter->failed = true;
        return NULL;
    }
    value->node = node;
    value->scope = scope;
    for (int i = 0; i < node->rank; i++)
        value->index[i] = index[i];
    value->next = emitter->values[node->id];
    emitter->values[node->id] = value;
    return value;
}

static const blo_value *recall(const blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    for (const blo_value *value = emitter->values[node->id]; value; value = value->next) {
        bool same = true;
        for (int i = 0; same && i < node->rank; i++)
            same = value->index[i] == index[i];
        if (same)
            return value;
    }
    return NULL;
}

/* A value named by a new variable of SCOPE, defined as EXPRESSION: a vector if WIDE. */
const blo_value *blo_emit_define(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                                 bool wide, const char *expression) {
    blo_value *value = remember(emitter, node, index, scope);
    if (!value)
        return NULL;
    value->wide = wide;
    snprintf(value->name, sizeof value->name, "v%d", emitter->n_values++);
    blo_text_add(blo_emit_text(emitter, scope), "const %s %s = %s;\n", blo_emit_type(emitter, node->dtype, wide),
                 value->name, expression);
    return value;
}

/* A value that is what another one is, or a literal. */
const blo_value *blo_emit_alias(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                                bool wide, const char *name) {
    blo_value *value = remember(emitter, node, index, scope);
    if (value) {
        value->wide = wide;
        snprintf(value->name, sizeof value->name, "%s", name);
    }
    return value;
}

const blo_value *blo_emit_constant(blo_emitter *emitter, const blo_node *node, const blo_index *const *index,
                                   double number) {
    char text[48];
    blo_emit_literal(text, sizeof text, node->dtype, number);
    return blo_emit_alias(emitter, node, index, 0, false, text);
}

/* Element LINEAR of parameter P, MORE elements further on. Lanes beyond "rest" take what follows while the array goes
 * on, since whole vectors are fast: no kernel reads what it writes. */
static void load_text(const blo_emitter *emitter, const blo_node *node, int p, const char *at, const char *more,
                      const blo_index *linear, blo_text *text) {
    const char *type = blo_emit_type(emitter, node->dtype, true);
    char left[48] = "~0u";
    if (!emitter->full)
        snprintf(left, sizeof left, "%" PRId64 "u - %s", node->count, at);
    if (!blo_index_is_wide(linear))
        blo_text_add(text, "p%d[o%d + %s%s]", p, p, at, more);
    else if (linear->stride == 1)
        blo_text_add(text, "blo_load_%s(p%d + o%d + %s%s, %s)", type, p, p, at, more, left);
    else
        blo_text_add(text, "blo_gather_%s(p%d + o%d%s, %s)", type, p, p, more, at);
}

/* An element of an array; of one that is there in parts, their sum in order. */
static const blo_value *load(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    blo_indices *indices = &emitter->indices;
    const blo_node_facts *facts = &emitter->lowering->facts[node->id];
    const blo_index *linear = blo_index_linear(indices, node->rank, node->shape, index);
    const int array = facts->parts > 1 ? facts->partial : blo_lower_node_array(emitter->lowering, node);
    const int p = blo_emit_array(emitter, array, false);
    const bool wide = blo_index_is_wide(linear);
    const char *at = wide && linear->stride != 1 ? blo_index_lanes(indices, linear) : blo_index_text(indices, linear);
    blo_text first = {0};
    emitter->uses.memory[node->dtype] = emitter->uses.memory[node->dtype] || wide;
    load_text(emitter, node, p, at, "", linear, &first);
    const blo_value *value =
        first.failed ? NULL : blo_emit_define(emitter, node, index, linear->scope, wide, first.data);
    emitter->failed = emitter->failed || first.failed;
    blo_text_free(&first);
    if (!value || facts->parts <= 1)
        return value;
    char sum[24], more[48];
    blo_text *text = blo_emit_text(emitter, linear->scope), update = {0};
    blo_emit_name(emitter, "t", sum);
    snprintf(more, sizeof more, " + c * %" PRId64 "u", node->count);
    load_text(emitter, node, p, at, more, linear, &update);
    blo_text_add(text, "%s %s = %s;\nBLO_SUM_IN_ORDER for (uint c = 1; c < %du; c++)\n%s += %s;\n",
                 blo_emit_type(emitter, node->dtype, wide), sum, value->name, facts->parts, sum,
                 update.failed ? "" : update.data);
    emitter->failed = emitter->failed || update.failed;
    blo_text_free(&update);
    snprintf(((blo_value *)(uintptr_t)value)->name, sizeof value->name, "%s",
             sum); /* the object blo_emit_define() just made */
    return value;
}

void blo_emit_store(blo_emitter *emitter, int parameter, const blo_index *linear, const blo_value *value, int scope) {
    char widened[64];
    blo_indices *indices = &emitter->indices;
    blo_text *text;
    const blo_dtype dtype = value->node->dtype;
    if (!blo_index_is_wide(linear)) {
        const char *at = blo_index_text(indices, linear);
        text = blo_emit_text(emitter, scope); /* where the index was written to may be this text */
        blo_text_add(text, "p%d[o%d + %s] = %s;\n", parameter, parameter, at, value->name);
        return;
    }
    const char *type = blo_emit_type(emitter, dtype, true), *vector = blo_emit_widened(emitter, value, widened);
    const bool near = linear->stride == 1;
    const char *at = near ? blo_index_text(indices, linear) : blo_index_lanes(indices, linear);
    const char *rest = emitter->full ? "~0u" : "rest";
    emitter->uses.memory[dtype] = true;
    text = blo_emit_text(emitter, scope);
    if (near)
        blo_text_add(text, "blo_store_%s(p%d + o%d + %s, %s, %s);\n", type, parameter, parameter, at, vector, rest);
    else
        blo_text_add(text, "blo_scatter_%s(p%d + o%d, %s, %s, %s);\n", type, parameter, parameter, at, vector, rest);
}

/* --- elementwise --- */

/* What the text of one elementwise operation is made of: its operands, widened where the result is a vector. */
typedef struct operands {
    const blo_node *node;
    const char *a, *b, *c;
    int width;      /* of the result */
    bool condition; /* SELECT: the condition is a vector */
} operands;

static void cast_text(blo_text *text, const operands *x) {
    blo_dtype from = x->node->in[0]->dtype, to = x->node->dtype;
    bool saturates = (from == BLO_FLOAT || from == BLO_DOUBLE) && (to == BLO_INT32 || to == BLO_UINT8);
    blo_text_add(text, "convert_%s%s(%s)", blo_lanes_type(to, x->width), saturates ? "_sat" : "", x->a);
}

static void call_text(blo_text *text, const operands *x, const char *function) {
    if (x->width > 1)
        blo_lanes_each(text, x->node->dtype, x->width, function, x->a, x->b[0] ? x->b : NULL);
    else
        blo_text_add(text, "%s(%s%s%s)", function, x->a, x->b[0] ? ", " : "", x->b);
}

static void divide_text(blo_text *text, const operands *x) {
    if (x->node->dtype == BLO_INT32 || x->node->dtype == BLO_UINT8)
        call_text(text, x, "blo_divide");
    else
        blo_text_add(text, "%s / %s", x->a, x->b);
}

static void extremum_text(blo_text *text, const operands *x, char compare) {
    if (x->node->dtype == BLO_FLOAT ||
        x->node->dtype == BLO_DOUBLE) /* a NaN wins; of integers, compilers warn that none is */
        blo_text_add(text, "(%s %c %s || %s != %s) ? %s : %s", x->a, compare, x->b, x->a, x->a, x->a, x->b);
    else
        blo_text_add(text, "%s %c %s ? %s : %s", x->a, compare, x->b, x->a, x->b);
}

/* A comparison as 0 or 1: in vectors true is -1. */
static void truth_text(blo_text *text, const operands *x, const char *operator) {
    if (x->width > 1)
        blo_text_add(text, "convert_uchar%d(-(%s %s %s))", x->width, x->a, operator, x->b);
    else
        blo_text_add(text, "(uchar)(%s %s %s)", x->a, operator, x->b);
}

static void select_text(blo_text *text, const operands *x) {
    if (x->condition)
        blo_text_add(text, "(convert_%s(%s) != (%s)0) ? %s : %s", blo_lanes_truth(x->node->dtype, x->width), x->a,
                     blo_lanes_truth(x->node->dtype, x->width), x->b, x->c);
    else
        blo_text_add(text, "%s ? %s : %s", x->a, x->b, x->c);
}

static void elementwise_text(blo_text *text, const operands *x) {
    const char *a = x->a, *b = x->b, *type = blo_lanes_type(x->node->dtype, x->width);
    switch (x->node->op) {
    case BLO_OP_CAST: cast_text(text, x); break;
    case BLO_OP_NEG: blo_text_add(text, "-%s", a); break;
    case BLO_OP_EXP: blo_text_add(text, "blo_exp_%s(%s)", type, a); break;
    case BLO_OP_LOG: blo_text_add(text, "blo_log_%s(%s)", type, a); break;
    case BLO_OP_TANH: blo_text_add(text, "blo_tanh_%s(%s)", type, a); break;
    case BLO_OP_SIN: blo_text_add(text, "blo_sin_%s(%s)", type, a); break;
    case BLO_OP_COS: blo_text_add(text, "blo_cos_%s(%s)", type, a); break;
    case BLO_OP_POW: call_text(text, x, "pow"); break;
    case BLO_OP_SQRT: blo_text_add(text, "sqrt(%s)", a); break;
    case BLO_OP_SIGMOID: blo_text_add(text, "blo_sigmoid_%s(%s)", type, a); break;
    case BLO_OP_STOP: blo_text_add(text, "%s", a); break;
    case BLO_OP_ADD: blo_text_add(text, "%s + %s", a, b); break;
    case BLO_OP_SUB: blo_text_add(text, "%s - %s", a, b); break;
    case BLO_OP_MUL: blo_text_add(text, "%s * %s", a, b); break;
    case BLO_OP_DIV: divide_text(text, x); break;
    case BLO_OP_MIN: extremum_text(text, x, '<'); break;
    case BLO_OP_MAX: extremum_text(text, x, '>'); break;
    case BLO_OP_LT: truth_text(text, x, "<"); break;
    case BLO_OP_LE: truth_text(text, x, "<="); break;
    case BLO_OP_EQ: truth_text(text, x, "=="); break;
    case BLO_OP_NE: truth_text(text, x, "!="); break;
    case BLO_OP_AND: truth_text(text, x, "&&"); break;
    case BLO_OP_OR: truth_text(text, x, "||"); break;
    case BLO_OP_SELECT: select_text(text, x); break;
    default: text->failed = true; break;
    }
}

/* Notes the helper functions that the operation calls. */
static void note_helpers(blo_emitter *emitter, const blo_node *node, bool wide) {
    switch (node->op) {
    case BLO_OP_EXP:
    case BLO_OP_LOG:
    case BLO_OP_TANH:
    case BLO_OP_SIGMOID: (wide ? emitter->uses.wide_math : emitter->uses.math)[node->dtype] = true; break;
    case BLO_OP_SIN:
    case BLO_OP_COS: (wide ? emitter->uses.wide_circular : emitter->uses.circular)[node->dtype] = true; break;
    case BLO_OP_DIV: emitter->uses.divide = emitter->uses.divide || node->dtype >= BLO_INT32; break;
    default: break;
    }
}

static const blo_value *elementwise(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_value *in[3] = {NULL, NULL, NULL};
    const char *names[3] = {"", "", ""};
    char widened[3][64];
    int scope = 0;
    bool wide = false;
    for (int i = 0; i < node->n_in; i++) {
        in[i] = blo_emit_value(emitter, node->in[i], index);
        if (!in[i])
            return NULL;
        scope = blo_scope_deeper(&emitter->indices, scope, in[i]->scope);
        wide = wide || in[i]->wide;
    }
    for (int i = 0; i < node->n_in; i++) {
        bool as_it_is = !wide || (node->op == BLO_OP_SELECT && i == 0);
        names[i] = as_it_is ? in[i]->name : blo_emit_widened(emitter, in[i], widened[i]);
    }
    const operands x = {.node = node,
                        .a = names[0],
                        .b = names[1],
                        .c = names[2],
                        .width = wide ? emitter->width : 1,
                        .condition = in[0]->wide};
    blo_text text = {0};
    elementwise_text(&text, &x);
    note_helpers(emitter, node, wide);
    const blo_value *value = text.failed ? NULL : blo_emit_define(emitter, node, index, scope, wide, text.data);
    emitter->failed = emitter->failed || text.failed;
    blo_text_free(&text);
    return value;
}

/* Does a product's kernel read the array NODE row by row, each lane its own? Then whole rows are turned at once, since
 * the elements of a column lie apart. */
static bool is_read_in_rows(const blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    if (!emitter->carried || node->rank < 2 || node->shape[0] != emitter->carried->shape[0] ||
        emitter->lowering->facts[node->id].parts > 1 || index[0]->kind != BLO_INDEX_NAME || index[0]->stride != 1)
        return false;
    for (int i = 1; i < node->rank; i++)
        if (blo_index_is_wide(index[i]))
            return false;
    const int64_t length = node->count / node->shape[0];
    return length >= BLO_TURNED_ROW && length <= BLO_LONGEST_ROW;
}

static void load_rows(blo_emitter *emitter, const blo_node *node) {
    const int p = blo_emit_array(emitter, blo_lower_node_array(emitter->lowering, node), false);
    const char *type = blo_emit_type(emitter, node->dtype, true);
    const int64_t length = node->count / node->shape[0];
    emitter->uses.rows[node->dtype] = true;
    emitter->in_rows[node->id] = true;
    blo_text_add(blo_emit_text(emitter, 0),
                 "%s row%d[%" PRId64 "];\nblo_load_rows_%s(p%d + o%d + g * %" PRId64 "u, row%d, %" PRId64 "u, rest);\n",
                 type, node->id, length, type, p, p, length, node->id, length);
}

/* An element of what the kernel holds of the lanes' own rows: the product's tile, or an earlier rider's root. */
static const blo_value *carried(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    char expression[64];
    const blo_index *rest = blo_index_linear(&emitter->indices, node->rank - 1, node->shape + 1, index + 1);
    if (index[0]->kind != BLO_INDEX_NAME || index[0]->stride != 1 || blo_index_is_wide(rest)) {
        emitter->failed = true; /* ride.c lets nothing aboard that reads other rows */
        return NULL;
    }
    const char *at = blo_index_text(&emitter->indices, rest);
    if (node == emitter->carried)
        snprintf(expression, sizeof expression, "tile[%s * VN + v]", at);
    else
        snprintf(expression, sizeof expression, "row%d[%s]", node->id, at);
    return blo_emit_define(emitter, node, index, blo_scope_deeper(&emitter->indices, index[0]->scope, rest->scope),
                           true, expression);
}

const blo_value *blo_emit_value(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    if (emitter->failed || emitter->indices.failed)
        return NULL;
    const blo_value *known = recall(emitter, node, index);
    if (known)
        return known;
    if (node->count == 0) /* never run: inside a loop of no turns */
        return blo_emit_constant(emitter, node, index, 0);
    if (node == emitter->carried || emitter->in_rows[node->id])
        return carried(emitter, node, index);
    const blo_node_facts *facts = &emitter->lowering->facts[node->id];
    if (node->op == BLO_OP_INPUT || (facts->root && (facts->group != emitter->group || emitter->group < 0))) {
        if (!is_read_in_rows(emitter, node, index))
            return load(emitter, node, index);
        load_rows(emitter, node);
        return carried(emitter, node, index);
    }
    switch (node->op) {
    case BLO_OP_CONST: return blo_emit_constant(emitter, node, index, node->attr.value);
    case BLO_OP_IOTA: return blo_emit_iota(emitter, node, index);
    case BLO_OP_RANDOM: return blo_emit_random(emitter, node, index);
    case BLO_OP_RESHAPE:
    case BLO_OP_BROADCAST:
    case BLO_OP_PERMUTE:
    case BLO_OP_SLICE: return blo_emit_moved(emitter, node, index);
    case BLO_OP_PAD: return blo_emit_padded(emitter, node, index);
    case BLO_OP_GATHER: return blo_emit_gathered(emitter, node, index);
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX: return blo_emit_reduced(emitter, node, index);
    case BLO_OP_MATMUL: return blo_emit_product(emitter, node, index);
    case BLO_OP_CONV:
    case BLO_OP_CONV_INPUT:
    case BLO_OP_CONV_WEIGHT:
    case BLO_OP_POOL_ARGMAX:
    case BLO_OP_POOL_TAKE:
    case BLO_OP_POOL_PUT: return blo_emit_image(emitter, node, index);
    default: return elementwise(emitter, node, index);
    }
}
