/* Symbolic indices; see index.h. */
#include "index.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const blo_index zero = {.kind = BLO_INDEX_CONST, .extent = 1, .name = "0"};

void blo_indices_free(blo_indices *indices) {
    while (indices->all) {
        blo_index *next = indices->all->next;
        free(indices->all);
        indices->all = next;
    }
    for (int i = 0; i < indices->n_scopes; i++)
        blo_text_free(&indices->scopes[i].text);
    if (indices->scopes != &indices->spare)
        free(indices->scopes);
    *indices = (blo_indices){0};
}

/* Room for one scope more. Where there is no memory for the first, the spare one is it, and all others. */
static bool reserve(blo_indices *indices) {
    if (indices->n_scopes < indices->scopes_capacity)
        return true;
    const bool spare = indices->scopes == &indices->spare;
    int capacity = indices->scopes_capacity ? 2 * indices->scopes_capacity : 8;
    blo_scope *scopes = spare ? NULL : realloc(indices->scopes, (size_t)capacity * sizeof *scopes);
    indices->failed = indices->failed || !scopes;
    if (!scopes && indices->n_scopes > 0)
        return false;
    indices->scopes = scopes ? scopes : &indices->spare;
    indices->scopes_capacity = scopes ? capacity : 1;
    return true;
}

int blo_scope_open(blo_indices *indices, int parent) {
    if (!reserve(indices))
        return parent >= 0 ? parent : 0;
    int depth = parent >= 0 ? indices->scopes[parent].depth + 1 : 0;
    indices->scopes[indices->n_scopes] = (blo_scope){.parent = parent, .depth = depth};
    return indices->n_scopes++;
}

int blo_scope_deeper(const blo_indices *indices, int a, int b) {
    return indices->scopes[a].depth >= indices->scopes[b].depth ? a : b;
}

/* The one object for this expression: made at first, found afterwards. */
static const blo_index *intern(blo_indices *indices, const blo_index *wanted) {
    for (blo_index *i = indices->all; i; i = i->next)
        if (i->kind == wanted->kind && i->a == wanted->a && i->b == wanted->b && i->c == wanted->c &&
            i->d == wanted->d && (i->kind != BLO_INDEX_NAME || !strcmp(i->name, wanted->name)))
            return i;
    blo_index *index = malloc(sizeof *index);
    if (!index) {
        indices->failed = true;
        return &zero;
    }
    *index = *wanted;
    index->next = indices->all;
    indices->all = index;
    return index;
}

const blo_index *blo_index_const(blo_indices *indices, int64_t value) {
    blo_index index = {.kind = BLO_INDEX_CONST, .c = value, .extent = value + 1};
    snprintf(index.name, sizeof index.name, "%" PRId64, value);
    return intern(indices, &index);
}

const blo_index *blo_index_name(blo_indices *indices, const char *name, int64_t extent, int scope) {
    blo_index index = {.kind = BLO_INDEX_NAME, .extent = extent, .scope = scope};
    snprintf(index.name, sizeof index.name, "%s", name);
    return intern(indices, &index);
}

const blo_index *blo_index_lane(blo_indices *indices, const char *name, int64_t extent, int scope) {
    if (indices->width <= 1)
        return blo_index_name(indices, name, extent, scope);
    blo_index index = {
        .kind = BLO_INDEX_NAME, .extent = extent, .scope = scope, .stride = 1, .aligned = !indices->unaligned};
    snprintf(index.name, sizeof index.name, "%s", name);
    return intern(indices, &index);
}

const blo_index *blo_index_scattered(blo_indices *indices, const char *name, int64_t extent, int scope) {
    blo_index index = {.kind = BLO_INDEX_NAME, .extent = extent, .scope = scope, .scattered = true};
    snprintf(index.name, sizeof index.name, "%s", name);
    snprintf(index.lanes, sizeof index.lanes, "%s", name);
    return intern(indices, &index);
}

/* Quotient and remainder of what rises by 1 from a multiple of the width, by a multiple of the width: within the lanes
 * the quotient is the same and the remainder rises by 1. */
static void divide_lanes(const blo_indices *indices, const blo_index *a, int64_t c, blo_index *index) {
    if (!blo_index_is_wide(a))
        return;
    bool whole = a->aligned && c % indices->width == 0;
    index->scattered = !whole;
    index->aligned = whole && index->kind == BLO_INDEX_MOD;
    index->stride = index->aligned ? 1 : 0;
}

const blo_index *blo_index_div(blo_indices *indices, const blo_index *a, int64_t c) {
    if (c == 1)
        return a;
    if (a->extent <= c)
        return blo_index_const(indices, 0);
    if (a->kind == BLO_INDEX_CONST)
        return blo_index_const(indices, a->c / c);
    if (a->kind == BLO_INDEX_JOIN && a->c == c)
        return a->a;
    if (a->kind == BLO_INDEX_JOIN && c % a->c == 0) /* (x * m + y) / (m * n) = x / n, as y < m */
        return blo_index_div(indices, a->a, c / a->c);
    blo_index index = {.kind = BLO_INDEX_DIV, .a = a, .c = c, .extent = (a->extent + c - 1) / c, .scope = a->scope};
    divide_lanes(indices, a, c, &index);
    return intern(indices, &index);
}

const blo_index *blo_index_mod(blo_indices *indices, const blo_index *a, int64_t c) {
    if (c == 1)
        return blo_index_const(indices, 0);
    if (a->extent <= c)
        return a;
    if (a->kind == BLO_INDEX_CONST)
        return blo_index_const(indices, a->c % c);
    if (a->kind == BLO_INDEX_JOIN && a->c == c)
        return a->b;
    if (a->kind == BLO_INDEX_JOIN && c % a->c == 0) /* (x * m + y) % (m * n) = (x % n) * m + y */
        return blo_index_join(indices, blo_index_mod(indices, a->a, c / a->c), a->c, a->b);
    blo_index index = {.kind = BLO_INDEX_MOD, .a = a, .c = c, .extent = c, .scope = a->scope};
    divide_lanes(indices, a, c, &index);
    return intern(indices, &index);
}

const blo_index *blo_index_join(blo_indices *indices, const blo_index *a, int64_t c, const blo_index *b) {
    if (c == 1)
        return a;
    if (a->kind == BLO_INDEX_CONST && a->c == 0)
        return b;
    if (a->kind == BLO_INDEX_CONST && b->kind == BLO_INDEX_CONST)
        return blo_index_const(indices, a->c * c + b->c);
    if (a->kind == BLO_INDEX_DIV && b->kind == BLO_INDEX_MOD && a->a == b->a && a->c == c && b->c == c)
        return a->a;
    int64_t extent = (a->extent - 1) * c + b->extent;
    blo_index index = {.kind = BLO_INDEX_JOIN, .a = a, .b = b, .c = c, .extent = extent};
    index.scope = blo_scope_deeper(indices, a->scope, b->scope);
    index.scattered = a->scattered || b->scattered;
    index.stride = index.scattered ? 0 : a->stride * c + b->stride;
    index.aligned = !blo_index_is_wide(a) && b->aligned && c % indices->width == 0;
    return intern(indices, &index);
}

const blo_index *blo_index_affine(blo_indices *indices, const blo_index *a, int64_t c, int64_t d, int64_t extent) {
    if (c == 1 && d == 0)
        return a;
    if (a->kind == BLO_INDEX_CONST)
        return blo_index_const(indices, a->c * c + d);
    blo_index index = {.kind = BLO_INDEX_AFFINE, .a = a, .c = c, .d = d, .extent = extent, .scope = a->scope};
    index.scattered = a->scattered;
    index.stride = a->stride * c;
    return intern(indices, &index);
}

void blo_index_split(blo_indices *indices, const blo_index *linear, int rank, const int64_t *shape,
                     const blo_index **result) {
    for (int i = rank - 1; i > 0; i--) {
        int64_t extent = shape[i] > 0 ? shape[i] : 1;
        result[i] = blo_index_mod(indices, linear, extent);
        linear = blo_index_div(indices, linear, extent);
    }
    if (rank > 0)
        result[0] = linear;
}

const blo_index *blo_index_linear(blo_indices *indices, int rank, const int64_t *shape, const blo_index *const *index) {
    const blo_index *linear = rank > 0 ? index[0] : blo_index_const(indices, 0);
    for (int i = 1; i < rank; i++)
        linear = blo_index_join(indices, linear, shape[i] > 0 ? shape[i] : 1, index[i]);
    return linear;
}

bool blo_index_is_wide(const blo_index *index) {
    return index->stride != 0 || index->scattered;
}

/* Writes the definition of INDEX as a variable TYPE NAME, from its parts A and B. */
static void define(blo_text *text, const blo_index *index, const char *type, const char *name, const char *a,
                   const char *b) {
    switch (index->kind) {
    case BLO_INDEX_DIV: blo_text_add(text, "const %s %s = %s / %" PRId64 "u;\n", type, name, a, index->c); break;
    case BLO_INDEX_MOD: blo_text_add(text, "const %s %s = %s %% %" PRId64 "u;\n", type, name, a, index->c); break;
    case BLO_INDEX_JOIN:
        blo_text_add(text, "const %s %s = %s * %" PRId64 "u + %s;\n", type, name, a, index->c, b);
        break;
    default:
        blo_text_add(text, "const %s %s = %s * (uint)%" PRId64 " + (uint)%" PRId64 ";\n", type, name, a, index->c,
                     index->d);
        break;
    }
}

/* The cache's own object: all indices but the constant zero were made by intern(). */
static blo_index *own(const blo_index *index) {
    return (blo_index *)(uintptr_t)index;
}

const char *blo_index_text(blo_indices *indices, const blo_index *index) {
    if (index->name[0])
        return index->name;
    const char *a = blo_index_text(indices, index->a);
    const char *b = index->b ? blo_index_text(indices, index->b) : "";
    snprintf(own(index)->name, sizeof index->name, "x%d", indices->n_names++);
    define(&indices->scopes[index->scope].text, index, "uint", index->name, a, b);
    return index->name;
}

/* Of a part of a scattered index: a vector, or a scalar where all lanes are the same. */
static const char *part(blo_indices *indices, const blo_index *index) {
    return blo_index_is_wide(index) ? blo_index_lanes(indices, index) : blo_index_text(indices, index);
}

const char *blo_index_lanes(blo_indices *indices, const blo_index *index) {
    if (index->lanes[0])
        return index->lanes;
    char type[16];
    snprintf(type, sizeof type, "uint%d", indices->width);
    const char *a = index->scattered ? part(indices, index->a) : blo_index_text(indices, index);
    const char *b = index->scattered && index->b ? part(indices, index->b) : "";
    snprintf(own(index)->lanes, sizeof index->lanes, "y%d", indices->n_names++);
    blo_text *text = &indices->scopes[index->scope].text;
    if (index->scattered)
        define(text, index, type, index->lanes, a, b);
    else
        blo_text_add(text, "const %s %s = %s + lane * (uint)%" PRId64 ";\n", type, index->lanes, a, index->stride);
    return index->lanes;
}
