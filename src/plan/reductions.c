/* Long reductions, each group in one or two kernels: ranges of the reduced elements are reduced by items of their own,
 * then put together. The order of every sum follows from the reduction's own shape, never from what else the kernel
 * computes. */
#include "domain.h"
#include "moments.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    SERIAL_LENGTH = 256, /* a reduction up to this long is one loop */
    CHUNK = 128,         /* elements of one partial sum */
    MOST_VECTORS = 4, /* neighbours of a range that an item sums, so that it walks memory in pieces that lie together */
    MAX_PARTIALS = 65536 /* partial results of one reduction */
};

static uint64_t chunks_of(const blo_node *node, int64_t length) {
    if (length <= SERIAL_LENGTH || node->count >= BLO_MANY_RESULTS)
        return 1;
    int64_t chunks = (length + CHUNK - 1) / CHUNK, most = MAX_PARTIALS / node->count;
    return (uint64_t)(chunks < most ? chunks : most);
}

bool blo_reduction_is_split(const blo_node *node) {
    return chunks_of(node, blo_reduction_length(node)) > 1;
}

/* How the reductions of a group are shared out: CHUNKS ranges of CHUNK of the LENGTH reduced elements each, but for the
 * last. */
typedef struct shares {
    int64_t length, chunks, chunk;
    int partial[BLO_GROUP_ROOTS]; /* the ranges' results; -1: there is one range, or the root is no reduction */
    int about[BLO_GROUP_ROOTS];   /* -1, or: it sums squares about the mean that is FACTOR times this other root */
    double factor[BLO_GROUP_ROOTS];
} shares;

static bool is_reduction(const blo_node *node) {
    return node->op == BLO_OP_SUM || node->op == BLO_OP_REDUCE_MAX;
}

/* Root I's result so far: "s0", or "s0[b]" where an item has several vectors. */
static void name_result(const blo_domain *over, int i, char name[48]) {
    snprintf(name, 48, over->vectors > 1 ? "s%d[b]" : "s%d", i);
}

/* Takes VALUE into root I's result; where the lanes are in ranges of different ends (APART), in those that are inside.
 */
static void take_in(blo_emitter *emitter, const blo_node *node, int i, const blo_domain *over, const blo_value *value,
                    bool apart, int loop) {
    char widened[64], name[48];
    blo_text *text = blo_emit_text(emitter, loop);
    const char *truth = blo_lanes_truth(node->dtype, emitter->width);
    name_result(over, i, name);
    if (apart)
        blo_text_add(text, "const %s before%d = %s;\n", blo_emit_type(emitter, node->dtype, true), i, name);
    blo_reduction_update(text, node, name, apart ? blo_emit_widened(emitter, value, widened) : value->name);
    if (apart)
        blo_text_add(text, "%s = convert_%s(inside) != (%s)0 ? %s : before%d;\n", name, truth, truth, name, i);
}

/* A loop over a range, LOOP, and inside it one over the vectors of an item, INNER; its variables. */
typedef struct range {
    const char *k, *j, *g; /* of the range, of all reduced elements, of the results */
    int loop, inner;
    bool apart; /* the lanes are in ranges of different ends */
    const blo_index *part, *operand[BLO_MAX_RANK];
} range;

/* Its element; in the last range of a division that leaves a rest, what lies beyond is left out, and nothing beyond the
 * end is read. */
static const blo_index *element_of(blo_emitter *emitter, const shares *s, range *r) {
    blo_indices *indices = &emitter->indices;
    const blo_index *element =
        blo_index_join(indices, r->part, s->chunk, blo_index_name(indices, r->k, s->chunk, r->loop));
    if (s->chunks * s->chunk == s->length)
        return element;
    const bool wide = r->apart = blo_index_is_wide(element);
    const char *e = wide ? blo_index_lanes(indices, element) : blo_index_text(indices, element);
    const char *type = blo_lanes_index(wide ? emitter->width : 1);
    blo_text *text = blo_emit_text(emitter, r->loop);
    if (wide)
        blo_text_add(text, "const %s inside = %s < %" PRId64 "u;\nconst %s %s = min(%s, (%s)%" PRId64 "u);\n",
                     blo_lanes_truth(BLO_INT32, emitter->width), e, s->length, type, r->j, e, type, s->length - 1);
    else
        blo_text_add(text, "if (%s >= %" PRId64 "u)\nbreak;\nconst uint %s = %s;\n", e, s->length, r->j, e);
    return wide ? blo_index_scattered(indices, r->j, s->length, r->loop)
                : blo_index_name(indices, r->j, s->length, r->loop);
}

/* A loop over the vectors of an item inside PARENT, each from element NAME on; PARENT itself where there is one. */
static int open_vectors(blo_emitter *emitter, const blo_domain *over, int parent, const char *name) {
    if (over->vectors <= 1)
        return parent;
    const int scope = blo_emit_open(emitter, parent);
    blo_text_add(blo_emit_text(emitter, scope), "const uint %s = first + b * %du;\n", name, emitter->width);
    return scope;
}

/* "for" over the vectors of an item; unrolled, or what it indexes would not stay in registers. */
static void vectors_header(const blo_domain *over, char header[64]) {
    snprintf(header, 64, "#pragma unroll\nfor (uint b = 0; b < %du; b++)", over->vectors);
}

static void close_vectors(blo_emitter *emitter, const blo_domain *over, int scope) {
    char header[64];
    vectors_header(over, header);
    if (over->vectors > 1)
        blo_emit_close(emitter, scope, header, "");
}

/* The results of an item and range: one, or with lanes neighbours; of the vector of SCOPE that starts with NAME, where
 * there are several. */
static const blo_index *result_of(blo_indices *indices, const blo_domain *over, const char *name, int scope) {
    const bool several = over->vectors > 1;
    const blo_index *g = blo_index_lane(indices, several ? name : "g", over->extent, several ? scope : 0);
    return over->outer > 1 ? blo_index_join(indices, blo_index_name(indices, "h", over->outer, 0), over->extent, g) : g;
}

static void open_range(blo_emitter *emitter, const blo_group *group, const blo_domain *over, const shares *s,
                       range *r) {
    blo_indices *indices = &emitter->indices;
    const blo_node *first = blo_graph_node(emitter->lowering->graph, group->roots[0]);
    const blo_index *at[BLO_MAX_RANK];
    r->loop = blo_emit_open(emitter, 0);
    r->inner = open_vectors(emitter, over, r->loop, r->g);
    const blo_index *g = result_of(indices, over, r->g, r->inner);
    r->part = blo_index_div(indices, g, first->count);
    const blo_index *element = element_of(emitter, s, r);
    blo_index_split(indices, blo_index_mod(indices, g, first->count), first->rank, first->shape, at);
    blo_reduction_index(indices, first, at, element, r->operand);
}

static void close_range(blo_emitter *emitter, const blo_domain *over, const shares *s, const range *r) {
    char header[192];
    close_vectors(emitter, over, r->inner);
    snprintf(header, sizeof header, "BLO_SUM_IN_ORDER for (uint %s = 0; %s < %" PRId64 "u; %s++)", r->k, r->k, s->chunk,
             r->k);
    blo_emit_close(emitter, r->loop, header, "");
}

/* The loop over a range, but for squares about its mean. The group's roots that are no reductions are written where the
 * first one's operand lies. WIDE[root]: its result is a vector. */
static void emit_range(blo_emitter *emitter, const blo_group *group, const blo_domain *over, const shares *s,
                       bool *wide) {
    const blo_node *a = blo_graph_node(emitter->lowering->graph, group->roots[0])->in[0];
    range r = {.k = "k", .j = "j", .g = "g"};
    open_range(emitter, group, over, s, &r);
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *node = blo_graph_node(emitter->lowering->graph, group->roots[i]);
        const blo_node *summand = is_reduction(node) ? node->in[0] : node;
        if (s->about[i] >= 0)
            continue;
        const blo_value *value = s->length > 0 ? blo_emit_value(emitter, summand, r.operand) : NULL;
        if (emitter->scalar_only)
            return;
        emitter->failed = emitter->failed || (s->length > 0 && !value);
        wide[i] = value && (value->wide || r.apart); /* equal summands, but not as many of them in each lane */
        if (value && is_reduction(node))
            take_in(emitter, node, i, over, value, r.apart, r.inner);
        else if (value)
            blo_emit_result(emitter, node, value, blo_index_linear(&emitter->indices, a->rank, a->shape, r.operand),
                            r.inner);
    }
    close_range(emitter, over, s, &r);
}

/* Root I's squares about the mean of the range, whose sum the loop before has found: the range once more, while it is
 * in the cache. */
static void emit_squares(blo_emitter *emitter, const blo_group *group, const blo_domain *over, const shares *s, int i,
                         bool *wide) {
    const blo_node *sum = blo_graph_node(emitter->lowering->graph, group->roots[s->about[i]]);
    const bool several = over->vectors > 1;
    char k[24], j[24], g[24], mean[48], squares[48], total[48], header[64];
    blo_emit_name(emitter, "k", k);
    blo_emit_name(emitter, "j", j);
    blo_emit_name(emitter, "g", g);
    range r = {.k = k, .j = j, .g = g};
    wide[i] = wide[s->about[i]];
    open_range(emitter, group, over, s, &r);
    const char *type = blo_emit_type(emitter, sum->dtype, wide[i]), *part = blo_index_text(&emitter->indices, r.part);
    blo_text *text = blo_emit_text(emitter, 0);
    snprintf(mean, sizeof mean, several ? "mean%d[b]" : "mean%d", i);
    name_result(over, i, squares);
    name_result(over, s->about[i], total);
    vectors_header(over, header);
    if (several)
        blo_text_add(text, "%s mean%d[%d];\n%s\n%s", type, i, over->vectors, header, mean);
    else
        blo_text_add(text, "const %s %s", type, mean);
    blo_text_add(text, " = %s / (%s)min(%" PRId64 "u, %" PRId64 "u - %s * %" PRId64 "u);\n", total,
                 blo_type_name(sum->dtype), s->chunk, s->length, part, s->chunk);
    const blo_value *value = blo_emit_value(emitter, sum->in[0], r.operand);
    emitter->failed = emitter->failed || (!value && !emitter->scalar_only) || r.apart;
    if (value)
        blo_squares_text(blo_emit_text(emitter, r.inner), type, value->name, mean, squares);
    close_range(emitter, over, s, &r);
}

/* Defines root I's result before the loop. */
static void start_result(blo_emitter *emitter, const blo_node *node, int i, const blo_domain *over, bool wide,
                         blo_text *text) {
    const char *type = blo_emit_type(emitter, node->dtype, wide), *start = blo_reduction_start(node);
    char header[64];
    vectors_header(over, header);
    if (over->vectors > 1)
        blo_text_add(text, "%s s%d[%d];\n%s\ns%d[b] = %s;\n", type, i, over->vectors, header, i, start);
    else
        blo_text_add(text, "%s s%d = %s;\n", type, i, start);
}

/* One item per result and range of the reduced elements, or with lanes per a few vectors of results. */
static blo_status emit_reduce(blo_emitter *emitter, const blo_group *group, const blo_domain *over, const shares *s) {
    bool wide[BLO_GROUP_ROOTS] = {false};
    blo_text starts = {0};
    emit_range(emitter, group, over, s, wide);
    for (int i = 0; i < group->n_roots; i++)
        if (s->about[i] >= 0 && !emitter->scalar_only)
            emit_squares(emitter, group, over, s, i, wide);
    if (emitter->scalar_only)
        return BLO_OK;
    const int end = open_vectors(emitter, over, 0, "w");
    const blo_index *result = result_of(&emitter->indices, over, "w", end);
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *node = blo_graph_node(emitter->lowering->graph, group->roots[i]);
        blo_value sum = {.node = node, .wide = wide[i]};
        if (!is_reduction(node))
            continue;
        start_result(emitter, node, i, over, wide[i], &starts);
        name_result(over, i, sum.name);
        if (s->partial[i] >= 0)
            blo_emit_store(emitter, blo_emit_array(emitter, s->partial[i], true), result, &sum, end);
        else
            blo_emit_result(emitter, node, &sum, result, end);
    }
    close_vectors(emitter, over, end);
    blo_text_append(&starts, blo_emit_text(emitter, 0));
    blo_text_free(blo_emit_text(emitter, 0));
    *blo_emit_text(emitter, 0) = starts;
    return blo_domain_kernel(emitter, over, "", 0, NULL);
}

/* Shares the reductions of GROUP out, all of one shape and of operands of one shape; false: no memory. */
static bool share_out(blo_lowering *lowering, const blo_group *group, shares *s) {
    const blo_node *first = blo_graph_node(lowering->graph, group->roots[0]);
    s->length = blo_reduction_length(first);
    s->chunks = (int64_t)chunks_of(first, s->length);
    s->chunk = (s->length + s->chunks - 1) / s->chunks;
    s->chunks = s->chunk > 0 ? (s->length + s->chunk - 1) / s->chunk : 1; /* none is empty */
    bool fits = true;
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *node = blo_graph_node(lowering->graph, group->roots[i]);
        s->partial[i] = s->chunks > 1 && is_reduction(node)
                            ? blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, node->dtype, s->chunks * node->count)
                            : -1;
        fits = fits && (s->partial[i] >= 0 || s->chunks == 1 || !is_reduction(node));
        const blo_node *sum = blo_sum_for_squares(node, &s->factor[i]);
        s->about[i] = -1;
        for (int j = 0; sum && s->partial[i] >= 0 && j < group->n_roots; j++)
            if (group->roots[j] == sum->id)
                s->about[i] = j;
    }
    return fits;
}

/* Leaves to their readers what these can sum on the way; false: nothing is left to be combined. */
static bool leave_to_readers(blo_lowering *lowering, const blo_group *group, const shares *s) {
    bool left = false;
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *node = blo_graph_node(lowering->graph, group->roots[i]);
        if (s->partial[i] < 0)
            continue;
        if (node->op == BLO_OP_SUM && s->about[i] < 0 && blo_root_is_read_once(lowering, node)) {
            lowering->facts[node->id].parts = (int)s->chunks;
            lowering->facts[node->id].partial = s->partial[i];
        } else
            left = true;
    }
    return left;
}

/* Text that defines root I's result, "s" and its number, of the partial results of all ranges, in order. */
static void combine_text(blo_emitter *emitter, const blo_group *group, const shares *s, int i) {
    const blo_node *node = blo_graph_node(emitter->lowering->graph, group->roots[i]);
    blo_text *text = blo_emit_text(emitter, 0);
    const char *type = blo_type_name(node->dtype);
    char name[24];
    snprintf(name, sizeof name, "s%d", i);
    const int from = blo_emit_array(emitter, s->partial[i], false);
    if (s->about[i] >= 0) {
        const blo_squares_parts parts = {.dtype = node->dtype,
                                         .sums = blo_emit_array(emitter, s->partial[s->about[i]], false),
                                         .squares = from,
                                         .count = node->count,
                                         .chunk = s->chunk,
                                         .last = s->length - (s->chunks - 1) * s->chunk,
                                         .factor = s->factor[i],
                                         .result = name};
        blo_squares_combine_text(text, &parts);
        return;
    }
    blo_text_add(text,
                 "%s %s = p%d[o%d + g];\n"
                 "BLO_SUM_IN_ORDER for (ulong c = 1; c < chunks; c++) {\nconst %s v = p%d[o%d + c * %" PRId64
                 " + g];\n",
                 type, name, from, from, type, from, from, node->count);
    blo_reduction_update(text, node, name, "v");
    blo_text_add(text, "}\n");
}

/* The second half of split reductions: for each of the group's that is not left to its reader the result. */
static blo_status combine_kernel(blo_lowering *lowering, const blo_group *group, int index, const shares *s) {
    const int64_t count = blo_graph_node(lowering->graph, group->roots[0])->count;
    const blo_domain over = {.outer = 1, .extent = count};
    blo_emitter emitter;
    blo_domain_start(&emitter, lowering, index, 1, &over);
    const blo_index *g = blo_index_name(&emitter.indices, "g", count, 0);
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *node = blo_graph_node(lowering->graph, group->roots[i]);
        if (s->partial[i] < 0 || lowering->facts[node->id].parts > 1)
            continue;
        blo_value sum = {.node = node};
        snprintf(sum.name, sizeof sum.name, "s%d", i);
        combine_text(&emitter, group, s, i);
        blo_emit_result(&emitter, node, &sum, g, 0);
    }
    const uint64_t chunks = (uint64_t)s->chunks;
    blo_status status = blo_domain_kernel(&emitter, &over, ", const ulong chunks", 1, &chunks);
    blo_emitter_free(&emitter);
    return status;
}

/* What the items of the reductions like FIRST run over, LAST results of which are along the last axis. Lanes are of one
 * range where its results fill vectors, or half of one and lie together in the operand: whole vectors are loaded then,
 * and a range is the same in all lanes. Else they go on from range to range. */
static blo_domain domain_of(const blo_node *first, const shares *s, int width, int64_t last) {
    const blo_node *a = first->in[0];
    const bool together = last == first->count && a->rank > 0 && !(first->attr.axes >> (a->rank - 1) & 1);
    blo_domain over = {.outer = 1, .extent = s->chunks * first->count};
    if (width > 1 && s->chunks > 1 && (first->count >= 2 * width || (together && 2 * first->count > width)))
        over = (blo_domain){.outer = s->chunks, .extent = first->count, .vectors = MOST_VECTORS};
    while (over.vectors > 1 && last % blo_domain_span(&over, width) != 0)
        over.vectors /= 2;
    return over;
}

/* Reductions of any axes, and what is computed of the same elements. */
blo_status blo_lower_reductions(blo_lowering *lowering, const blo_group *group, int index) {
    const blo_node *first = blo_graph_node(lowering->graph, group->roots[0]);
    const int64_t count = first->count, last = first->rank > 0 ? first->shape[first->rank - 1] : 1;
    const int team = blo_team_of(lowering, first);
    assert(!team || group->n_roots == 1);
    if (team)
        return blo_lower_team(lowering, first, index, team);
    shares s;
    if (!share_out(lowering, group, &s))
        return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan a reduction");
    int width = blo_domain_width(lowering, s.chunks * count);
    blo_status status = BLO_OK;
    for (bool done = false; !done; width = 1) {
        const blo_domain over = domain_of(first, &s, width, last);
        blo_emitter emitter;
        blo_domain_start(&emitter, lowering, index, width, &over);
        status = emit_reduce(&emitter, group, &over, &s);
        done = !emitter.scalar_only;
        blo_emitter_free(&emitter);
    }
    if (status != BLO_OK || !leave_to_readers(lowering, group, &s))
        return status;
    return combine_kernel(lowering, group, index, &s);
}
