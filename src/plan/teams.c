/* Long reductions on devices that are no CPUs: by teams, each of whose members takes neighbours of the others'
 * elements, and adds in local memory, in an order that follows from the reduction's own shape. */
#include "domain.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    LEAST_WORK = 1 << 19, /* elements in all. Loops that run whole have less, and add up in ranges: so that whether they
                             do changes no bit */
    TEAM = 128,           /* items that sum one range together; a power of 2 */
    TEAM_RANGE = 8 * TEAM, /* elements of such a range, at least, if there are several */
    TEAMS = 512            /* ranges of all results, as far as that goes */
};

int blo_team_of(const blo_lowering *lowering, const blo_node *node) {
    const int64_t length = blo_reduction_length(node);
    const blo_device_facts *device = lowering->device;
    if (device->is_cpu || lowering->routine || length < TEAM || node->in[0]->count < LEAST_WORK ||
        node->count >= BLO_MANY_RESULTS)
        return 0;
    int team = TEAM;
    while ((size_t)team > device->max_work_group)
        team /= 2;
    return team;
}

/* The sums "s" of a team's members become that of the first: halves are added to halves, always in this order. */
static void add_team(blo_emitter *emitter, const blo_node *node, int team) {
    blo_text *text = blo_emit_text(emitter, 0);
    blo_text_add(text,
                 "t[member] = s;\nbarrier(CLK_LOCAL_MEM_FENCE);\nfor (uint w = %d; w > 0; w /= 2) {\n"
                 "if (member < w) {\nconst %s v = t[member + w];\n",
                 team / 2, blo_type_name(node->dtype));
    blo_reduction_update(text, node, "s", "v");
    blo_text_add(text, "t[member] = s;\n}\nbarrier(CLK_LOCAL_MEM_FENCE);\n}\n");
}

/* What a team reduces: CHUNK elements of one of CHUNKS ranges of the LENGTH reduced ones, into PARTIAL [chunks,count];
 * -1: there is one range. */
typedef struct team_share {
    int team, partial;
    int64_t length, chunks, chunk;
} team_share;

/* Stores the team's sum of NODE at G: into array PARTIAL, or where it is -1 as the result. */
static void store_team(blo_emitter *emitter, const blo_node *node, const blo_index *g, int partial) {
    const blo_value sum = {.node = node, .name = "s"};
    const int scope = blo_emit_open(emitter, 0);
    if (partial >= 0)
        blo_emit_store(emitter, blo_emit_array(emitter, partial, true), g, &sum, scope);
    else
        blo_emit_result(emitter, node, &sum, g, scope);
    blo_emit_close(emitter, scope, "if (member == 0)", "");
}

/* A team for each result and range. */
static blo_status team_ranges(blo_lowering *lowering, const blo_node *node, int index, const team_share *s) {
    const blo_domain over = {.outer = 1, .extent = s->chunks * node->count, .team = s->team, .shared = node->dtype};
    const blo_index *at[BLO_MAX_RANK], *operand[BLO_MAX_RANK];
    blo_emitter emitter;
    blo_domain_start(&emitter, lowering, index, 1, &over);
    blo_indices *indices = &emitter.indices;
    const int loop = blo_emit_open(&emitter, 0);
    const blo_index *g = blo_index_name(indices, "g", over.extent, 0),
                    *k = blo_index_name(indices, "k", s->chunk, loop);
    const blo_index *element = blo_index_join(indices, blo_index_div(indices, g, node->count), s->chunk, k);
    if (s->chunks * s->chunk != s->length) { /* nothing beyond the end is read */
        blo_text_add(blo_emit_text(&emitter, loop), "if (%s >= %" PRId64 "u)\nbreak;\nconst uint j = %s;\n",
                     blo_index_text(indices, element), s->length, blo_index_text(indices, element));
        element = blo_index_name(indices, "j", s->length, loop);
    }
    blo_index_split(indices, blo_index_mod(indices, g, node->count), node->rank, node->shape, at);
    blo_reduction_index(indices, node, at, element, operand);
    const blo_value *value = blo_emit_value(&emitter, node->in[0], operand);
    emitter.failed = emitter.failed || !value;
    if (value)
        blo_reduction_update(blo_emit_text(&emitter, loop), node, "s", value->name);
    blo_text_add(blo_emit_text(&emitter, 0), "%s s = %s;\n", blo_type_name(node->dtype), blo_reduction_start(node));
    char header[192];
    snprintf(header, sizeof header, "BLO_SUM_IN_ORDER for (uint k = member; k < %" PRId64 "u; k += %d)", s->chunk,
             s->team);
    blo_emit_close(&emitter, loop, header, "");
    add_team(&emitter, node, s->team);
    store_team(&emitter, node, g, s->partial);
    blo_status status = blo_domain_kernel(&emitter, &over, "", 0, NULL);
    blo_emitter_free(&emitter);
    return status;
}

/* A team for each result: its ranges' sums. */
static blo_status team_combine(blo_lowering *lowering, const blo_node *node, int index, const team_share *s) {
    const blo_domain over = {.outer = 1, .extent = node->count, .team = s->team, .shared = node->dtype};
    const char *type = blo_type_name(node->dtype);
    const uint64_t chunks = (uint64_t)s->chunks;
    blo_emitter emitter;
    blo_domain_start(&emitter, lowering, index, 1, &over);
    blo_text *text = blo_emit_text(&emitter, 0);
    const int from = blo_emit_array(&emitter, s->partial, false);
    blo_text_add(text,
                 "%s s = %s;\n"
                 "BLO_SUM_IN_ORDER for (ulong c = member; c < chunks; c += %d) {\nconst %s v = p%d[o%d + c * %" PRId64
                 " + g];\n",
                 type, blo_reduction_start(node), s->team, type, from, from, node->count);
    blo_reduction_update(text, node, "s", "v");
    blo_text_add(text, "}\n");
    add_team(&emitter, node, s->team);
    store_team(&emitter, node, blo_index_name(&emitter.indices, "g", node->count, 0), -1);
    blo_status status = blo_domain_kernel(&emitter, &over, ", const ulong chunks", 1, &chunks);
    blo_emitter_free(&emitter);
    return status;
}

blo_status blo_lower_team(blo_lowering *lowering, const blo_node *node, int index, int team) {
    team_share s = {.team = team, .partial = -1, .length = blo_reduction_length(node)};
    const int64_t ranges = (s.length + TEAM_RANGE - 1) / TEAM_RANGE, fit = TEAMS / node->count,
                  most = fit < 1 ? 1 : fit;
    s.chunks = ranges < most ? ranges : most;
    s.chunk = (s.length + s.chunks - 1) / s.chunks;
    s.chunks = (s.length + s.chunk - 1) / s.chunk; /* none is empty */
    if (s.chunks > 1)
        s.partial = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, node->dtype, s.chunks * node->count);
    blo_status status = team_ranges(lowering, node, index, &s);
    return status == BLO_OK && s.chunks > 1 ? team_combine(lowering, node, index, &s) : status;
}
