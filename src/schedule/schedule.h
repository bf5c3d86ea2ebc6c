/* The schedule: queues a loop of T steps of any state, with snapshots, and the backward sweep over it. It knows plans
 * and arrays, and nothing of objectives, models or bilevel problems.
 *
 * A loop iterates a state s = (s[0] … s[n-1]), arrays of fixed size: s_{k+1} = step(s_k, …), and may observe each new
 * state: some scalars o_k = observe(s_k, …), k = 1 … T. A sweep carries a tuple of adjoint arrays a backwards: a' =
 * adjoint(a, s_k, …), k = K-1 … 0. */
#ifndef BLO_SCHEDULE_SCHEDULE_H
#define BLO_SCHEDULE_SCHEDULE_H

#include "plan/plan.h"

/* Where an input of a plan comes from. */
typedef enum blo_source_kind {
    BLO_SOURCE_UNUSED,
    BLO_SOURCE_FIXED, /* .place, the same at every step (prologue values are bound like this too) */
    BLO_SOURCE_STATE, /* .index: state array at k (step, adjoint: the state before the step; observe: the state after)
                       */
    BLO_SOURCE_CARRY, /* .index: adjoint array (sweeps only) */
    BLO_SOURCE_PER_STEP, /* .place, .row_bytes: row k; step and adjoint of step k see row k, observe of s_k sees row k-1
                          */
    BLO_SOURCE_STEP,     /* the step's number, int32: k in step and adjoint; in observe the number of steps done */
    BLO_SOURCE_KEPT      /* .index: array that the step kept (adjoints of a level above .index only) */
} blo_source_kind;

typedef struct blo_source {
    blo_source_kind kind;
    int index;
    blo_place place;
    uint64_t row_bytes;
    uint64_t turn_bytes; /* of a stage in turns: from one turn's part to the next; 0: all read the same */
} blo_source;

/* A plan with the sources of its inputs (blo_plan_inputs of them). A stage may be queued in turns, each on a part of
 * its inputs; the parts of an output lie one after another. All is borrowed. */
typedef struct blo_stage {
    blo_plan *plan;
    const blo_source *sources;
    int turns;       /* 0: one */
    const int *ends; /* [turns], of an adjoint: that of step k is queued for turns whose end is above k; NULL: all */
} blo_stage;

/* A step may keep arrays beside its new state (what its adjoint would else compute again). They stand in one order,
 * 0 … n_levels-1, the one that saves most seconds per byte first; a step of level j keeps the first j. Where stages are
 * passed, they are an array of n_levels + 1, by level: the step of level j has j outputs more, array 0 … j-1; the
 * adjoint of level j reads them as BLO_SOURCE_KEPT. All levels compute the same values. Levels that blo_loop_levels()
 * does not name are never looked at. */

typedef struct blo_loop blo_loop; /* state slots, observed values, scratch: device memory of a loop */

typedef struct blo_loop_layout {
    int steps; /* T >= 1 */
    int n_state;
    const uint64_t *state_bytes; /* [n_state] */
    int n_carry;
    const uint64_t *carry_bytes; /* [n_carry]; two sets are kept */
    blo_dtype observed;          /* dtype of o_k */
    int n_observed;              /* scalars in o_k; 0: one */
    uint64_t scratch_bytes;      /* largest of all plans that will run on the loop */
    uint64_t budget;             /* bytes for the whole pool, 0: the context's. What else is in the pool counts. */
    uint64_t spare_bytes;        /* of the budget, left to others if the least of states fits beside */
    int n_levels;                /* arrays that a step can keep; 0: none, and what follows is not read */
    const uint64_t *keep_bytes;  /* [n_levels] */
    double step_cost;            /* seconds of a step; only the ratio to what follows matters */
    const double *adjoint_cost;  /* [n_levels + 1]: seconds of the adjoint of each level */
    bool last_stays;             /* s_T outlives sweeps, in a slot of its own */
    int parts;                   /* that some carries consist of, of equal size, one after another: the first that is
                                    not finite is told by its number and ... */
    const char *part_name;       /* ... this literal; 0, 1: none is told, and these two are not read */
    const bool *in_parts;        /* [n_carry] */
} blo_loop_layout;

/* Allocates, once and for all: the carries, the observed values, the step numbers; as many state slots as the budget
 * allows, from 3 (of which s_0 takes one, and a step reads one and writes the other; one more if s_T stays; all T + 1
 * where those are fewer) to T + 1; and what is left beside, for what steps keep: see split.h. Errors: BUDGET with the
 * least budget that would do, MEMORY, DEVICE. Owner: the caller. */
blo_status blo_loop_create(blo_context *context, const blo_loop_layout *layout, blo_loop **loop);
void blo_loop_destroy(blo_loop *loop);
const blo_buffer *blo_loop_scratch(const blo_loop *loop);

/* Which levels the loop asks for, of steps and of adjoints alike, two at most: decided when it was made, from the
 * budget and the costs. USED: [n_levels + 1]. */
void blo_loop_levels(const blo_loop *loop, bool *used);

/* Where to write s_0 before a run (queue copies there), and array I of s_0. Forgets the run before. */
blo_place blo_loop_begin(blo_loop *loop, int i);

/* Queues T steps, and the observation of every new state (OBSERVE NULL: none; EVERY false: only of s_T). Outputs of
 * STEPS (by level) are the n_state new arrays, then what is kept; the one of OBSERVE is o_k [n_observed]. Never waits.
 * Where not all states fit, those that checkpoint.h names are kept. Where the context replays, a run that is bound to
 * the same as the one before, whatever the arrays hold, is queued with one call; not where it calls a library, is
 * visited, or has thousands of launches. */
blo_status blo_loop_run(blo_loop *loop, const blo_stage *steps, const blo_stage *observe, bool every);

/* While later runs are queued, VISIT(USER, k, places of s_k [n_state]) is called for k = 0 ... T, when s_k and its
 * observation are queued and the step after it is not: what it queues comes between. Its error ends the run. NULL:
 * none. */
typedef blo_status (*blo_loop_visit)(void *user, int k, const blo_place *state);
void blo_loop_on_state(blo_loop *loop, blo_loop_visit visit, void *user);

/* Reads all observed values (one wait): row k-1 of VALUES [T][n_observed] is o_k, NaN where not observed. */
blo_status blo_loop_observed(blo_loop *loop, double *values);

/* The place of array I of s_k; recomputed with the run's STEPS (that of level 0 only) from the nearest snapshot before
 * it if it was thinned (queued; valid until the next call on the loop that recomputes). What was kept stays so, but for
 * the last states where no two slots are free. Errors: STATE (no run was queued whole), MEMORY, DEVICE. */
blo_status blo_loop_state(blo_loop *loop, const blo_stage *steps, int k, blo_place *places);

/* The same, as the first part of a sweep from K: what it passes is kept for the sweep, what lies beyond is given up. So
 * a sweep that begins with something computed from s_K does not recompute the way to it twice. */
blo_status blo_loop_rewind(blo_loop *loop, const blo_stage *steps, int k, blo_place *places);

/* Where to write carry array I before a sweep, and where it lies after. */
blo_place blo_loop_carry(blo_loop *loop, int i);

/* Queues zeros for all carries, those that the next adjoint writes too: a turn that it skips leaves them so. */
blo_status blo_loop_clear_carries(blo_loop *loop);

/* Queues a check of all carries, each of DTYPE and written by the caller or a sweep before, for NaN and infinity: one
 * launch. */
blo_status blo_loop_check_carries(blo_loop *loop, blo_dtype dtype, uint32_t tag);

/* Queues the sweep from step K-1 down to 0 over the run before. The outputs of ADJOINTS (by level) are the n_carry new
 * arrays, all of DTYPE; each set of them is checked for NaN and infinity, in one launch, with tag k+1.
 * Errors: STATE (no run was queued whole), MEMORY, DEVICE: the carries are then lost, the states are not. */
blo_status blo_loop_sweep(blo_loop *loop, const blo_stage *steps, const blo_stage *adjoints, int k, blo_dtype dtype);

/* A piece of it, from step K-1 down to UNTIL, 0 <= UNTIL < K. s_UNTIL keeps its slot, for blo_loop_rewind(): what is
 * computed from it can be written into the carries before the next piece, from UNTIL on, is swept. The pieces together
 * recompute what the whole sweep does. */
blo_status blo_loop_sweep_until(blo_loop *loop, const blo_stage *steps, const blo_stage *adjoints, int k, int until,
                                blo_dtype dtype);

typedef struct blo_loop_report {
    int slots;                                /* states that fit */
    int snapshots;                            /* states kept of the last run */
    uint64_t state_bytes;                     /* of one state */
    uint64_t recomputed_steps;                /* steps run again since the last run */
    uint64_t run_launches, sweep_launches;    /* of the last run, of the last sweep or piece of one */
    int keep_slots;                           /* steps that can keep an array at once, the one kept of most */
    const int *kept_steps;                    /* [n_levels]: steps of the last run that kept array i; of the last sweep
                                                 where states are thinned. Borrowed from the loop */
    uint64_t all_state_bytes, all_keep_bytes; /* of all slots */
} blo_loop_report;
void blo_loop_describe(const blo_loop *loop, blo_loop_report *report);

#endif
