/* Inside the emitter: the cases that have files of their own. Each gives NODE's value at INDEX, as blo_emit_value(). */
#ifndef BLO_PLAN_EMIT_CASES_H
#define BLO_PLAN_EMIT_CASES_H

#include "emit.h"

/* Movement and indices (emit_movement.c): RESHAPE, BROADCAST, PERMUTE and SLICE; PAD; GATHER; IOTA; RANDOM. */
const blo_value *blo_emit_moved(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);
const blo_value *blo_emit_padded(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);
const blo_value *blo_emit_gathered(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);
const blo_value *blo_emit_iota(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);
const blo_value *blo_emit_random(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);

/* Loops (emit_loops.c): short SUM and REDUCE_MAX; small MATMUL. */
const blo_value *blo_emit_reduced(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);
const blo_value *blo_emit_product(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);

#endif
