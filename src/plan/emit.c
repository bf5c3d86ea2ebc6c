/* The emitter; see emit.h. One case per primitive; adding an elementwise primitive is adding a case to
 * elementwise_text(). */
#include "emit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char blo_philox_text[] =
    "#ifndef BLO_PHILOX\n"
    "#define BLO_PHILOX\n"
    "static uint4 blo_philox(uint4 c, uint2 k) {\n"
    "    for (int round = 0; round < 10; round++) {\n"
    "        const ulong a = (ulong)c.x * 0xD2511F53u, b = (ulong)c.z * 0xCD9E8D57u;\n"
    "        c = (uint4)((uint)(b >> 32) ^ c.y ^ k.x, (uint)b, (uint)(a >> 32) ^ c.w ^ k.y, (uint)a);\n"
    "        k += (uint2)(0x9E3779B9u, 0xBB67AE85u);\n"
    "    }\n"
    "    return c;\n"
    "}\n"
    "#endif\n";

void blo_emitter_init(blo_emitter *emitter, blo_lowering *lowering, int group) {
    *emitter = (blo_emitter){.lowering = lowering, .group = group};
    emitter->values = calloc((size_t)lowering->n_nodes + 1, sizeof *emitter->values);
    emitter->failed = !emitter->values;
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
    blo_indices_free(&emitter->indices);
}

const char *blo_type_name(blo_dtype dtype) {
    static const char *const names[] = {"float", "double", "int", "uchar"};
    return names[dtype];
}

blo_text *blo_emit_text(blo_emitter *emitter, int scope) {
    return &emitter->indices.scopes[scope].text;
}

int blo_emit_open(blo_emitter *emitter, int parent) {
    return blo_scope_open(&emitter->indices, parent);
}

void blo_emit_close(blo_emitter *emitter, int scope, const char *header, const char *footer) {
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

/* A value named by a new variable of SCOPE, defined as EXPRESSION. */
static const blo_value *define(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                               const char *expression) {
    blo_value *value = remember(emitter, node, index, scope);
    if (!value)
        return NULL;
    snprintf(value->name, sizeof value->name, "v%d", emitter->n_values++);
    blo_text_add(blo_emit_text(emitter, scope), "const %s %s = %s;\n", blo_type_name(node->dtype), value->name,
                 expression);
    return value;
}

/* A value that is what another one is, or a literal. */
static const blo_value *alias(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                              const char *name) {
    blo_value *value = remember(emitter, node, index, scope);
    if (value)
        snprintf(value->name, sizeof value->name, "%s", name);
    return value;
}

static const blo_value *constant(blo_emitter *emitter, const blo_node *node, const blo_index *const *index,
                                 double number) {
    char text[48];
    blo_emit_literal(text, sizeof text, node->dtype, number);
    return alias(emitter, node, index, 0, text);
}

static const blo_value *load(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    char expression[96];
    const blo_index *linear = blo_index_linear(&emitter->indices, node->rank, node->shape, index);
    int parameter = blo_emit_array(emitter, blo_lower_node_array(emitter->lowering, node), false);
    snprintf(expression, sizeof expression, "p%d[o%d + %s]", parameter, parameter,
             blo_index_text(&emitter->indices, linear));
    return define(emitter, node, index, linear->scope, expression);
}

/* --- elementwise --- */

static void cast_text(blo_text *text, const blo_node *node, const char *a) {
    blo_dtype from = node->in[0]->dtype;
    bool floating = from == BLO_FLOAT || from == BLO_DOUBLE;
    if (floating && node->dtype == BLO_UINT8)
        blo_text_add(text, "convert_uchar_sat(%s)", a);
    else if (floating && node->dtype == BLO_INT32)
        blo_text_add(text, "convert_int_sat(%s)", a);
    else
        blo_text_add(text, "(%s)%s", blo_type_name(node->dtype), a);
}

/* Division of integers never traps: by 0 it gives 0. */
static void divide_text(blo_text *text, const blo_node *node, const char *a, const char *b) {
    if (node->dtype == BLO_INT32 || node->dtype == BLO_UINT8)
        blo_text_add(text, "%s == 0 ? 0 : %s == -1 ? -%s : %s / (%s == -1 ? 1 : %s)", b, b, a, a, b, b);
    else
        blo_text_add(text, "%s / %s", a, b);
}

static void extremum_text(blo_text *text, const char *a, const char *b, char compare) {
    blo_text_add(text, "(%s %c %s || %s != %s) ? %s : %s", a, compare, b, a, a, a, b);
}

static void elementwise_text(blo_text *text, const blo_node *node, const char *a, const char *b, const char *c) {
    const char *type = blo_type_name(node->dtype);
    switch (node->op) {
    case BLO_OP_CAST: cast_text(text, node, a); break;
    case BLO_OP_NEG: blo_text_add(text, "-%s", a); break;
    case BLO_OP_EXP: blo_text_add(text, "exp(%s)", a); break;
    case BLO_OP_LOG: blo_text_add(text, "log(%s)", a); break;
    case BLO_OP_SIN: blo_text_add(text, "sin(%s)", a); break;
    case BLO_OP_COS: blo_text_add(text, "cos(%s)", a); break;
    case BLO_OP_TANH: blo_text_add(text, "tanh(%s)", a); break;
    case BLO_OP_SQRT: blo_text_add(text, "sqrt(%s)", a); break;
    case BLO_OP_SIGMOID: /* exp of a negative number only: no overflow */
        blo_text_add(text, "(%s >= 0 ? (%s)1 : exp(-fabs(%s))) / ((%s)1 + exp(-fabs(%s)))", a, type, a, type, a);
        break;
    case BLO_OP_STOP: blo_text_add(text, "%s", a); break;
    case BLO_OP_ADD: blo_text_add(text, "%s + %s", a, b); break;
    case BLO_OP_SUB: blo_text_add(text, "%s - %s", a, b); break;
    case BLO_OP_MUL: blo_text_add(text, "%s * %s", a, b); break;
    case BLO_OP_DIV: divide_text(text, node, a, b); break;
    case BLO_OP_POW: blo_text_add(text, "pow(%s, %s)", a, b); break;
    case BLO_OP_MIN: extremum_text(text, a, b, '<'); break;
    case BLO_OP_MAX: extremum_text(text, a, b, '>'); break;
    case BLO_OP_LT: blo_text_add(text, "(uchar)(%s < %s)", a, b); break;
    case BLO_OP_LE: blo_text_add(text, "(uchar)(%s <= %s)", a, b); break;
    case BLO_OP_EQ: blo_text_add(text, "(uchar)(%s == %s)", a, b); break;
    case BLO_OP_NE: blo_text_add(text, "(uchar)(%s != %s)", a, b); break;
    case BLO_OP_AND: blo_text_add(text, "(uchar)(%s && %s)", a, b); break;
    case BLO_OP_OR: blo_text_add(text, "(uchar)(%s || %s)", a, b); break;
    case BLO_OP_SELECT: blo_text_add(text, "%s ? %s : %s", a, b, c); break;
    default: text->failed = true; break;
    }
}

static const blo_value *elementwise(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_value *in[3] = {NULL, NULL, NULL};
    int scope = 0;
    for (int i = 0; i < node->n_in; i++) {
        in[i] = blo_emit_value(emitter, node->in[i], index);
        if (!in[i])
            return NULL;
        scope = blo_scope_deeper(&emitter->indices, scope, in[i]->scope);
    }
    blo_text text = {0};
    elementwise_text(&text, node, in[0]->name, in[1] ? in[1]->name : "", in[2] ? in[2]->name : "");
    const blo_value *value = text.failed ? NULL : define(emitter, node, index, scope, text.data);
    emitter->failed = emitter->failed || text.failed;
    blo_text_free(&text);
    return value;
}

/* --- movement and indices --- */

static const blo_value *moved(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
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
    return value ? alias(emitter, node, index, value->scope, value->name) : NULL;
}

/* The index in the operand of a padded axis; where there is none it is 0 and *INSIDE gets the condition's name. */
static const blo_index *unpad(blo_emitter *emitter, const blo_node *node, int axis, const blo_index *index,
                              blo_text *inside) {
    int64_t start = node->attr.window.start[axis], step = node->attr.window.step[axis],
            extent = node->in[0]->shape[axis];
    if (start == 0 && step == 1 && extent == node->shape[axis])
        return index;
    char name[24], condition[24];
    const char *i = blo_index_text(&emitter->indices, index);
    blo_emit_name(emitter, "x", name);
    blo_emit_name(emitter, "in", condition);
    blo_text *text = blo_emit_text(emitter, index->scope);
    blo_text_add(text,
                 "const bool %s = %s >= %" PRId64 " && (%s - %" PRId64 ") %% %" PRId64 " == 0 && (%s - %" PRId64
                 ") / %" PRId64 " < %" PRId64 ";\n",
                 condition, i, start, i, start, step, i, start, step, extent);
    blo_text_add(text, "const uint %s = %s ? (%s - %" PRId64 ") / %" PRId64 " : 0;\n", name, condition, i, start, step);
    blo_text_add(inside, "%s%s", inside->length ? " && " : "", condition);
    return blo_index_name(&emitter->indices, name, extent, index->scope);
}

static const blo_value *padded(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *a = node->in[0];
    const blo_index *inner[BLO_MAX_RANK];
    blo_text text = {0};
    if (a->count == 0)
        return constant(emitter, node, index, 0);
    int scope = 0;
    for (int i = 0; i < a->rank; i++) {
        inner[i] = unpad(emitter, node, i, index[i], &text);
        scope = blo_scope_deeper(&emitter->indices, scope, index[i]->scope);
    }
    const blo_value *value = blo_emit_value(emitter, a, inner);
    if (value && text.length) {
        scope = blo_scope_deeper(&emitter->indices, scope, value->scope);
        blo_text_add(&text, " ? %s : 0", value->name);
        value = text.failed ? NULL : define(emitter, node, index, scope, text.data);
    } else if (value)
        value = alias(emitter, node, index, value->scope, value->name);
    blo_text_free(&text);
    return value;
}

static const blo_value *gathered(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *a = node->in[0], *which = node->in[1];
    const blo_value *row = blo_emit_value(emitter, which, index);
    if (!row || a->count == 0)
        return row ? constant(emitter, node, index, node->dtype <= BLO_DOUBLE ? (double)NAN : 0) : NULL;
    char name[24], condition[24], expression[128], outside[48];
    blo_emit_name(emitter, "x", name);
    blo_emit_name(emitter, "in", condition);
    blo_text *text = blo_emit_text(emitter, row->scope);
    blo_text_add(text, "const bool %s = (int)%s >= 0 && (int)%s < %" PRId64 ";\n", condition, row->name, row->name,
                 a->shape[0]);
    blo_text_add(text, "const uint %s = %s ? (uint)%s : 0u;\n", name, condition, row->name);
    const blo_index *inner[BLO_MAX_RANK];
    inner[0] = blo_index_name(&emitter->indices, name, a->shape[0], row->scope);
    for (int i = 1; i < a->rank; i++)
        inner[i] = index[which->rank + i - 1];
    const blo_value *value = blo_emit_value(emitter, a, inner);
    if (!value)
        return NULL;
    blo_emit_literal(outside, sizeof outside, node->dtype, node->dtype <= BLO_DOUBLE ? (double)NAN : 0);
    snprintf(expression, sizeof expression, "%s ? %s : %s", condition, value->name, outside);
    return define(emitter, node, index, blo_scope_deeper(&emitter->indices, value->scope, row->scope), expression);
}

static const blo_value *iota(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    char expression[64];
    const blo_index *i = index[node->attr.axis];
    snprintf(expression, sizeof expression, "(%s)%s", blo_type_name(node->dtype), blo_index_text(&emitter->indices, i));
    return define(emitter, node, index, i->scope, expression);
}

static const blo_value *random_value(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_index *none[1] = {NULL};
    const blo_value *counter = blo_emit_value(emitter, node->in[0], none);
    if (!counter)
        return NULL;
    emitter->uses_random = true;
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
    return define(emitter, node, index, scope, expression);
}

/* --- reductions and small products, as loops where they are used --- */

const char *blo_reduction_start(const blo_node *node) {
    if (node->op == BLO_OP_SUM)
        return "0";
    return node->dtype == BLO_INT32 ? "INT_MIN" : node->dtype == BLO_UINT8 ? "0" : "-INFINITY";
}

void blo_reduction_update(blo_text *text, const blo_node *node, const char *accumulator, const char *value) {
    if (node->op == BLO_OP_SUM)
        blo_text_add(text, "%s += %s;\n", accumulator, value);
    else
        blo_text_add(text, "%s = (%s > %s || %s != %s) ? %s : %s;\n", accumulator, value, accumulator, value, value,
                     value, accumulator);
}

void blo_reduction_index(blo_indices *indices, const blo_node *node, const blo_index *const *index,
                         const blo_index *inner, const blo_index **operand) {
    const blo_node *a = node->in[0];
    const blo_index *reduced[BLO_MAX_RANK];
    int64_t shape[BLO_MAX_RANK];
    int n = 0, kept = 0, next = 0;
    for (int i = 0; i < a->rank; i++)
        if (node->attr.axes >> i & 1)
            shape[n++] = a->shape[i];
    blo_index_split(indices, inner, n, shape, reduced);
    for (int i = 0; i < a->rank; i++)
        operand[i] = node->attr.axes >> i & 1 ? reduced[next++] : index[kept++];
}

static int scope_of(const blo_emitter *emitter, int rank, const blo_index *const *index) {
    int scope = 0;
    for (int i = 0; i < rank; i++)
        scope = blo_scope_deeper(&emitter->indices, scope, index[i]->scope);
    return scope;
}

static const blo_value *reduced(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_index *operand[BLO_MAX_RANK];
    int64_t length = blo_reduction_length(node);
    int scope = scope_of(emitter, node->rank, index), loop = blo_emit_open(emitter, scope);
    char variable[24], accumulator[24], header[128];
    blo_emit_name(emitter, "j", variable);
    blo_emit_name(emitter, "s", accumulator);
    blo_reduction_index(&emitter->indices, node, index, blo_index_name(&emitter->indices, variable, length, loop),
                        operand);
    const blo_value *element = length > 0 ? blo_emit_value(emitter, node->in[0], operand) : NULL;
    if (length > 0 && !element)
        return NULL;
    if (element)
        blo_reduction_update(blo_emit_text(emitter, loop), node, accumulator, element->name);
    blo_text_add(blo_emit_text(emitter, scope), "%s %s = %s;\n", blo_type_name(node->dtype), accumulator,
                 blo_reduction_start(node));
    snprintf(header, sizeof header, "for (uint %s = 0; %s < %" PRId64 "; %s++)", variable, variable, length, variable);
    blo_emit_close(emitter, loop, header, "");
    return alias(emitter, node, index, scope, accumulator);
}

static const blo_value *product(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_node *a = node->in[0], *b = node->in[1];
    bool ta = node->attr.matmul.transpose_a, tb = node->attr.matmul.transpose_b;
    int last = node->rank - 1, row = node->rank - 2;
    int64_t length = a->shape[ta ? row : last];
    const blo_index *ia[BLO_MAX_RANK], *ib[BLO_MAX_RANK];
    int scope = scope_of(emitter, node->rank, index), loop = blo_emit_open(emitter, scope);
    char variable[24], accumulator[24], header[128];
    blo_emit_name(emitter, "j", variable);
    blo_emit_name(emitter, "s", accumulator);
    const blo_index *k = blo_index_name(&emitter->indices, variable, length, loop);
    for (int i = 0; i < row; i++)
        ia[i] = ib[i] = index[i];
    ia[ta ? last : row] = index[row];
    ia[ta ? row : last] = k;
    ib[tb ? last : row] = k;
    ib[tb ? row : last] = index[last];
    const blo_value *va = length > 0 ? blo_emit_value(emitter, a, ia) : NULL,
                    *vb = va ? blo_emit_value(emitter, b, ib) : NULL;
    if (length > 0 && !vb)
        return NULL;
    if (vb)
        blo_text_add(blo_emit_text(emitter, loop), "%s = fma(%s, %s, %s);\n", accumulator, va->name, vb->name,
                     accumulator);
    blo_text_add(blo_emit_text(emitter, scope), "%s %s = 0;\n", blo_type_name(node->dtype), accumulator);
    snprintf(header, sizeof header, "for (uint %s = 0; %s < %" PRId64 "; %s++)", variable, variable, length, variable);
    blo_emit_close(emitter, loop, header, "");
    return alias(emitter, node, index, scope, accumulator);
}

const blo_value *blo_emit_value(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    if (emitter->failed || emitter->indices.failed)
        return NULL;
    const blo_value *known = recall(emitter, node, index);
    if (known)
        return known;
    if (node->count == 0) /* never run: inside a loop of no turns */
        return constant(emitter, node, index, 0);
    const blo_node_facts *facts = &emitter->lowering->facts[node->id];
    if (node->op == BLO_OP_INPUT || (facts->root && (facts->group != emitter->group || emitter->group < 0)))
        return load(emitter, node, index);
    switch (node->op) {
    case BLO_OP_CONST: return constant(emitter, node, index, node->attr.value);
    case BLO_OP_IOTA: return iota(emitter, node, index);
    case BLO_OP_RANDOM: return random_value(emitter, node, index);
    case BLO_OP_RESHAPE:
    case BLO_OP_BROADCAST:
    case BLO_OP_PERMUTE:
    case BLO_OP_SLICE: return moved(emitter, node, index);
    case BLO_OP_PAD: return padded(emitter, node, index);
    case BLO_OP_GATHER: return gathered(emitter, node, index);
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX: return reduced(emitter, node, index);
    case BLO_OP_MATMUL: return product(emitter, node, index);
    default: return elementwise(emitter, node, index);
    }
}
