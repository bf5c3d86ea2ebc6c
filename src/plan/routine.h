/* A routine: a graph compiled to one function of OpenCL C, which the items of one work-group call together; the same
 * launches as a plan has, one after another, to the same bits. For kernels that run whole loops of small problems.
 * Knows nothing of what its kernel does around it. */
#ifndef BLO_PLAN_ROUTINE_H
#define BLO_PLAN_ROUTINE_H

#include "plan.h"
#include "text.h"

typedef struct blo_routine blo_routine;

/* Compiles the N OUTPUTS as blo_plan_create() would; nothing is built. NAME is an identifier, unique in the kernel the
 * routine will be part of. *ROUTINE is NULL with BLO_OK where the graph holds a product that is packed, or the
 * like: then it is no small problem. Errors: those of the graph; DTYPE, MEMORY. Owner: the caller. */
blo_status blo_routine_create(blo_context *context, const char *name, int n, blo_node *const *outputs,
                              blo_routine **routine);
void blo_routine_destroy(blo_routine *routine);

int blo_routine_inputs(const blo_routine *routine); /* of the graph; some may be unused */
bool blo_routine_uses_input(const blo_routine *routine, int index);
int blo_routine_outputs(const blo_routine *routine);
uint64_t blo_routine_output_bytes(const blo_routine *routine, int index);
uint64_t blo_routine_scratch_bytes(const blo_routine *routine);
double blo_routine_work(const blo_routine *routine); /* operations of one call, an estimate */

enum { BLO_MOST_ARRAYS = 110 }; /* of one kernel: within 1,024 bytes of parameters, the least of OpenCL 1.2 */

/* Items of the work-group of a kernel of routines. */
size_t blo_group_lanes(const blo_device_facts *facts);
/* Defines BLO_GROUP, an attribute of that kernel, BLO_LANE and BLO_LANES (the item's number and their count) and
 * BLO_TOGETHER; (a barrier over global memory). */
void blo_group_define(const blo_device_facts *facts, blo_text *text);

/* Appends the functions, after those definitions. */
void blo_routine_define(const blo_routine *routine, blo_text *text);

/* Appends a call: INPUTS[blo_routine_inputs] (ignored where unused), OUTPUTS[blo_routine_outputs] and SCRATCH are
 * expressions of type __global uchar *. All lanes see what was written when it returns. */
void blo_routine_call(const blo_routine *routine, blo_text *text, const char *const *inputs, const char *const *outputs,
                      const char *scratch);

#endif
