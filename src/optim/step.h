/* One optimizer step as nodes: the caller's optimizers and the lower loop's step are the same trace. */
#ifndef BLO_OPTIM_STEP_H
#define BLO_OPTIM_STEP_H

#include <clbilevel/optimizer.h>

#include "graph/graph.h"

/* Arrays of state per parameter (0: none; SGD with momentum: 1; Adam: 2), each of the parameter's shape, starting at
 * zero. Adam's step count is not among them: it is the int32 node STEP (steps done before this one). */
int blo_step_states(const blo_optimizer_options *options);

/* What is wrong with OPTIONS as a sentence, NULL if nothing. */
const char *blo_step_check(const blo_optimizer_options *options);

/* One step of parameter P with gradient G and states STATES[blo_step_states], learning rate RATE ([] of P's dtype).
 * Writes the new states to NEW_STATES and returns the new parameter. Every derivative that IEEE would make NaN is
 * guarded. */
blo_node *blo_step_trace(const blo_optimizer_options *options, blo_node *p, blo_node *g, blo_node *const *states,
                         blo_node *rate, blo_node *step, blo_node **new_states);

#endif
