/* Generated kernels: what their items run over, and what all of them are made with; see kernels.c. */
#ifndef BLO_PLAN_DOMAIN_H
#define BLO_PLAN_DOMAIN_H

#include "emit.h"

/* What the items of a kernel run over: OUTER x EXTENT elements, one an item, or with lanes WIDTH neighbours along
 * EXTENT. The text has their indices: "g" along EXTENT, "h" along OUTER. With VECTORS above 1 an item has so many
 * vectors of neighbours, and the text must define "g" itself, from "first" on. TEAM above 0: a work-group of so many
 * items for each element; "member" is an item's place in it, "t" a value of SHARED for each in local memory. */
typedef struct blo_domain {
    int64_t outer, extent;
    int vectors, team;
    blo_dtype shared;
} blo_domain;

/* Elements that an item should compute at once. Lanes pay on CPU devices, and from a few vectors on. */
int blo_domain_width(const blo_lowering *lowering, int64_t elements);
/* Elements of an item, with lanes of all its vectors. */
int64_t blo_domain_span(const blo_domain *over, int width);

/* An emitter for a kernel OVER its elements that writes the roots of GROUP (-1: none); blo_emitter_free() ends it. */
void blo_domain_start(blo_emitter *emitter, blo_lowering *lowering, int group, int width, const blo_domain *over);
/* Adds a step that runs the emitter's text (the body of a kernel OVER its elements) on the emitter's arrays. VALUES
 * follow n, by the VALUE_PARAMETERS, each after a comma. */
blo_status blo_domain_kernel(blo_emitter *emitter, const blo_domain *over, const char *value_parameters, int n_values,
                             const uint64_t *values);

/* Stores VALUE at LINEAR into NODE's array, which is the first output that it is, and into a few other outputs: into as
 * many as leave room for the kernel's other arrays. The rest is copied. */
void blo_emit_result(blo_emitter *emitter, const blo_node *node, const blo_value *value, const blo_index *linear,
                     int scope);

/* With as many results of a reduction there is work enough without sharing one out. */
enum { BLO_MANY_RESULTS = 4096 };

/* Items that take a reduction of NODE together; 0: each takes a range of its own. Where local memory is no more than
 * memory, as on CPU devices, an item is worth a team. */
int blo_team_of(const blo_lowering *lowering, const blo_node *node);
/* The steps of one reduction, the only root of group INDEX, by teams of so many items. */
blo_status blo_lower_team(blo_lowering *lowering, const blo_node *node, int index, int team);
/* The steps of a group of reductions (its number: INDEX), and of what it writes on the way. */
blo_status blo_lower_reductions(blo_lowering *lowering, const blo_group *group, int index);

#endif
