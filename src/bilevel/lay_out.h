/* Lays a lower loop out on a trajectory, before anything is queued. Whatever may be refused (objectives that cannot be
 * traced, a budget that is too small) is refused here. */
#ifndef BLO_BILEVEL_LAY_OUT_H
#define BLO_BILEVEL_LAY_OUT_H

#include "solver.h"

/* Programs, memory and bindings for a loop on DATA, and the kernels that it asks for. *NEW_WARM: buffers for the first
 * warm start, ended by a NULL, or NULL; the caller's, whatever the status. */
blo_status blo_trajectory_lay_out(blo_trajectory *trajectory, const blo_loop_data *data, blo_buffer ***new_warm);
/* The last step of it, when the trajectory has its programs and its loop: watches and binds what they read of DATA, the
 * models and the named inputs (bind.c). Errors: MEMORY. */
blo_status blo_trajectory_bind(blo_trajectory *trajectory, const blo_loop_data *data);

void blo_warm_free(blo_buffer **warm); /* NULL is allowed */

#endif
