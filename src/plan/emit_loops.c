/* The emitter's cases that are loops where they are used: short reductions and small products; and how any reduction
 * starts, goes on, and finds its operand. */
#include "emit_cases.h"

#include <inttypes.h>
#include <stdio.h>

const char *blo_reduction_start(const blo_node *node) {
    if (node->op == BLO_OP_SUM)
        return "0";
    return node->dtype == BLO_INT32 ? "INT_MIN" : node->dtype == BLO_UINT8 ? "0" : "-INFINITY";
}

void blo_reduction_update(blo_text *text, const blo_node *node, const char *accumulator, const char *value) {
    if (node->op == BLO_OP_SUM)
        blo_text_add(text, "%s += %s;\n", accumulator, value);
    else if (node->dtype == BLO_FLOAT || node->dtype == BLO_DOUBLE)
        blo_text_add(text, "%s = (%s > %s || %s != %s) ? %s : %s;\n", accumulator, value, accumulator, value, value,
                     value, accumulator);
    else
        blo_text_add(text, "%s = %s > %s ? %s : %s;\n", accumulator, value, accumulator, value, accumulator);
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

const blo_value *blo_emit_reduced(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
    const blo_index *operand[BLO_MAX_RANK];
    int64_t length = blo_reduction_length(node);
    int scope = scope_of(emitter, node->rank, index), loop = blo_emit_open(emitter, scope);
    char variable[24], accumulator[24], header[192];
    blo_emit_name(emitter, "j", variable);
    blo_emit_name(emitter, "s", accumulator);
    blo_reduction_index(&emitter->indices, node, index, blo_index_name(&emitter->indices, variable, length, loop),
                        operand);
    const blo_value *element = length > 0 ? blo_emit_value(emitter, node->in[0], operand) : NULL;
    if (length > 0 && !element)
        return NULL;
    if (element)
        blo_reduction_update(blo_emit_text(emitter, loop), node, accumulator, element->name);
    const bool wide = element && element->wide;
    blo_text_add(blo_emit_text(emitter, scope), "%s %s = %s;\n", blo_emit_type(emitter, node->dtype, wide), accumulator,
                 blo_reduction_start(node));
    snprintf(header, sizeof header, "BLO_SUM_IN_ORDER for (uint %s = 0; %s < %" PRId64 "; %s++)", variable, variable,
             length, variable);
    blo_emit_close(emitter, loop, header, "");
    return blo_emit_alias(emitter, node, index, scope, wide, accumulator);
}

const blo_value *blo_emit_product(blo_emitter *emitter, const blo_node *node, const blo_index *const *index) {
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
    const bool wide = vb && (va->wide || vb->wide);
    char wide_a[64], wide_b[64];
    if (vb)
        blo_text_add(blo_emit_text(emitter, loop), "%s = fma(%s, %s, %s);\n", accumulator,
                     wide ? blo_emit_widened(emitter, va, wide_a) : va->name,
                     wide ? blo_emit_widened(emitter, vb, wide_b) : vb->name, accumulator);
    blo_text_add(blo_emit_text(emitter, scope), "%s %s = 0;\n", blo_emit_type(emitter, node->dtype, wide), accumulator);
    const bool inlined = !emitter->lowering->facts[node->id].root; /* few terms: one factor's stay in registers */
    snprintf(header, sizeof header, "%sfor (uint %s = 0; %s < %" PRId64 "; %s++)", inlined ? "#pragma unroll\n" : "",
             variable, variable, length, variable);
    blo_emit_close(emitter, loop, header, "");
    return blo_emit_alias(emitter, node, index, scope, wide, accumulator);
}
