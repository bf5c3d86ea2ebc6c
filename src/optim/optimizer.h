/* Optimizers as kernels that run whole upper iterations see them: their step as a routine, and their memory. */
#ifndef BLO_OPTIM_OPTIMIZER_H
#define BLO_OPTIM_OPTIMIZER_H

#include <clbilevel/optimizer.h>

#include "plan/routine.h"

blo_model *blo_optimizer_model(const blo_optimizer *optimizer);
/* Parameters of the model when the optimizer was made. */
int blo_optimizer_parameters(const blo_optimizer *optimizer);
/* State arrays of all parameters together; I-th of them, of the shape of parameter I / (states per parameter). */
int blo_optimizer_arrays(const blo_optimizer *optimizer);
const blo_buffer *blo_optimizer_array(const blo_optimizer *optimizer, int i);
const blo_buffer *blo_optimizer_rate(const blo_optimizer *optimizer);  /* [] of the model's dtype */
const blo_buffer *blo_optimizer_count(const blo_optimizer *optimizer); /* int32: steps done, as last written */
/* Number of forms the step has had: changes when it is another routine. */
uint64_t blo_optimizer_form(const blo_optimizer *optimizer);

/* One step. Inputs: values, gradients, state arrays, rate, steps done; outputs: values, state arrays. *ROUTINE is never
 * NULL on success. Errors: MEMORY. */
blo_status blo_optimizer_routine(const blo_optimizer *optimizer, const char *name, blo_routine **routine);

/* Queues the number of steps done into the buffer above. */
blo_status blo_optimizer_write_count(blo_optimizer *optimizer);
/* STEPS steps were done by a kernel, in place. */
void blo_optimizer_advance(blo_optimizer *optimizer, int steps);

#endif
