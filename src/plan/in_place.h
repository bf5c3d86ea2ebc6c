/* Changes of few elements in place: a routine whose outputs take the place of inputs, as one kernel of one work-group;
 * one launch, where a plan needs its own, writes and copies, to the same bits. Knows routines and memory only. */
#ifndef BLO_PLAN_IN_PLACE_H
#define BLO_PLAN_IN_PLACE_H

#include "routine.h"

typedef struct blo_in_place blo_in_place;

/* Whether one work-group is a match for ROUTINE, by the size of its outputs, and one kernel takes its arrays. */
bool blo_in_place_fits(const blo_routine *routine);

/* Output I of ROUTINE is computed from what there was, then replaces input REPLACES[I] (NULL: I itself), of its size.
 * Input COUNTER, an int32, grows by 1 afterwards (-1: there is none). WHAT: the launch's name in the profile, copied.
 * The kernel is built when it is first queued; ROUTINE is not kept. Errors: MEMORY, BUDGET. */
blo_status blo_in_place_create(blo_context *context, const blo_routine *routine, const int *replaces, int counter,
                               const char *what, blo_in_place **made);
void blo_in_place_destroy(blo_in_place *in_place); /* NULL is allowed */

/* Queues it on INPUTS [blo_routine_inputs]. Errors: BUILD, MEMORY, DEVICE. */
blo_status blo_in_place_run(blo_in_place *in_place, const blo_buffer *const *inputs);

#endif
