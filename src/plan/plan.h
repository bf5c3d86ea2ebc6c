/* A plan: a graph compiled to a list of launches that can be queued again and again. Replaying allocates nothing.
 * Plans know the graph and the device; they know nothing of loops, and nothing of bilevel problems. */
#ifndef BLO_PLAN_PLAN_H
#define BLO_PLAN_PLAN_H

#include "device/device.h"
#include "graph/graph.h"
#include "store.h"

typedef struct blo_plan blo_plan;

/* An array in a buffer: where a plan reads an input or writes an output. OFFSET in bytes, a multiple of the element's
 * size. */
typedef struct blo_place {
    const blo_buffer *buffer;
    uint64_t offset;
} blo_place;

/* Compiles the N OUTPUTS (nodes of one graph; one node may stand twice) for CONTEXT. Inputs are those of the graph, by
 * index; the plan keeps no reference to the graph. Each output is written to its own array, also when it is an input or
 * a constant. FIXED (NULL: none; else one per input): inputs that stay the same over many runs, as blo_plan_prepare()
 * wants to know. Kernels are noted, not built yet. Errors: those of the graph; DTYPE, MEMORY. Owner: the caller. */
blo_status blo_plan_create(blo_context *context, int n, blo_node *const *outputs, const bool *fixed, blo_plan **plan);
void blo_plan_destroy(blo_plan *plan);

/* The part of the work, a literal, that the profile counts the plan's launches to. */
void blo_plan_set_part(blo_plan *plan, const char *part);

/* The same in two parts: a plan whose kernels may never be built, and the wish that the next program holds them. */
blo_status blo_plan_lower(blo_context *context, int n, blo_node *const *outputs, const bool *fixed, blo_plan **plan);
blo_status blo_plan_want(const blo_plan *plan);

/* Builds the plan's kernels, and with them those of every other plan that are not built yet, as one program. Running a
 * plan does it too; done before, a failure comes before anything has run. Errors: BUILD, MEMORY, DEVICE. */
blo_status blo_plan_build(blo_plan *plan);

int blo_plan_inputs(const blo_plan *plan);                 /* of the graph; some may be unused */
bool blo_plan_uses_input(const blo_plan *plan, int index); /* false: never read */
int blo_plan_outputs(const blo_plan *plan);
uint64_t blo_plan_output_bytes(const blo_plan *plan, int index);
int blo_plan_launches(const blo_plan *plan);
bool blo_plan_calls_library(const blo_plan *plan); /* some launch is not one of a kernel of the library's own */

/* Another number for every plan of a context, and a new one whenever blo_plan_prepare() has it read other arrays: with
 * the same number, inputs, outputs and scratch its launches are the same. */
uint64_t blo_plan_serial(const blo_plan *plan);

/* Bytes of scratch the plan needs while it runs; plans that run one after another may share one. */
uint64_t blo_plan_scratch_bytes(const blo_plan *plan);

/* Bytes of what depends on the fixed inputs only. */
uint64_t blo_plan_kept_bytes(const blo_plan *plan);
/* Computes what depends on the fixed inputs only (packed operands of products) once and keeps it in STORE, which
 * outlives the plan, for the runs that follow; where the pool has no room to spare within BUDGET (0: the context's)
 * each run computes it anew, to the same bits. STAMP tells the inputs' contents apart: with the stamp of the last time
 * nothing is done. Queues; errors: BUILD, DEVICE, MEMORY. */
blo_status blo_plan_prepare(blo_plan *plan, blo_store *store, const blo_place *inputs, uint64_t stamp, uint64_t budget);

/* Queues the plan. INPUTS[blo_plan_inputs] (unused ones ignored), OUTPUTS[blo_plan_outputs], SCRATCH of at least the
 * bytes above. Only arguments that differ from those bound before are bound. Outputs must not overlap inputs or each
 * other. */
blo_status blo_plan_enqueue(blo_plan *plan, const blo_place *inputs, const blo_place *outputs,
                            const blo_buffer *scratch);

#endif
