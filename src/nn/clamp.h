/* The clamp of all parameters of a model: of few elements one launch, in place; of many a plan and copies. */
#ifndef BLO_NN_CLAMP_H
#define BLO_NN_CLAMP_H

#include "model.h"

typedef struct blo_clamping blo_clamping;

/* For MODEL as it is now, with at least one parameter; the bounds are inputs, so that others build nothing. Errors:
 * MEMORY, BUILD, DEVICE. Owner: the caller. */
blo_status blo_clamping_create(const blo_model *model, blo_clamping **clamping);
void blo_clamping_destroy(blo_clamping *clamping); /* NULL is allowed */

/* Queues it on MODEL, which still is as it was. Errors: BUILD, MEMORY, DEVICE. */
blo_status blo_clamping_run(blo_clamping *clamping, const blo_model *model, double lo, double hi);

#endif
