/* Small problems whole: one kernel of one work-group that runs a loop, chooses the step to sweep from, sweeps back from
 * it, and so many turns with updates between them; what loop.c queues launch by launch, to the same bits. It knows
 * routines and memory, and nothing of what they compute. */
#ifndef BLO_SCHEDULE_WHOLE_H
#define BLO_SCHEDULE_WHOLE_H

#include "plan/routine.h"
#include "schedule.h"

/* The memory of a loop, as such a kernel sees it: s_k in slot k of one buffer, the carries' two sets.
 * False where not all states fit, or not in one
 * buffer, or steps keep arrays. */
typedef struct blo_loop_memory {
    const blo_buffer *states, *numbers; /* numbers: 0 … T as int32 */
    uint64_t slot_bytes;
    const uint64_t *offsets; /* of each array in a slot */
    const blo_buffer *carry[2];
    const uint64_t *carry_offsets;
} blo_loop_memory;
bool blo_loop_memory_of(const blo_loop *loop, blo_loop_memory *memory);

/* Memory as the kernel sees it. The table is the caller's: buffers given anew with each run. */
typedef enum blo_spot_kind {
    BLO_SPOT_NONE,  /* unused input; a scalar output that nobody reads; copies from it are zeros */
    BLO_SPOT_TABLE, /* buffer INDEX of the table */
    BLO_SPOT_ROW,   /* row k, of BYTES, of buffer INDEX of the table; rows as in blo_source_kind */
    BLO_SPOT_STATE, /* state array INDEX: as an input the one at hand, as an output the next one */
    BLO_SPOT_FIRST, /* array INDEX of s_0 */
    BLO_SPOT_LAST,  /* array INDEX of s_T */
    BLO_SPOT_CARRY, /* adjoint array INDEX: as an input the one at hand, as an output the next one */
    BLO_SPOT_STEP,  /* the step's number, int32, as in blo_source_kind */
    BLO_SPOT_SPARE  /* spare array INDEX, the kernel's own */
} blo_spot_kind;

typedef struct blo_spot {
    blo_spot_kind kind;
    int index;
    uint64_t bytes;
} blo_spot;

typedef struct blo_whole_stage {
    const blo_routine *routine;
    const blo_spot *inputs, *outputs;
} blo_whole_stage;

typedef struct blo_whole_copy {
    blo_spot to, from;
    uint64_t bytes;
} blo_whole_copy;

typedef struct blo_whole_sum {
    blo_spot to, from; /* to += from */
    uint64_t count;    /* elements */
} blo_whole_sum;

typedef struct blo_whole_update {
    blo_whole_stage stage;
    int n_copies;
    const blo_whole_copy *copies; /* after it */
    blo_spot counter;             /* an int32 that grows by 1 */
} blo_whole_update;

/* One turn: START, T steps with the observation of every new state (or of s_T only), the choice K among the observed
 * values (the largest, the first of equals; or T). If one of them is not finite the turns end there. Else END; the
 * carries ZERO, SEED at s_K (its first output is a scalar, the others start the carries), ADJOINT of steps K-1 … 0; if
 * all they computed is finite the SUMS; then the UPDATES. Turns end after one whose sweep was not finite. */
typedef struct blo_whole_layout {
    const blo_loop *loop; /* of the layout of those it will run on */
    int steps;
    blo_dtype dtype; /* of observed values, carries and sums */
    bool every;      /* observe every state, not s_T alone */
    bool largest;    /* sweep from the largest value, not from T */
    blo_whole_stage step, observe, seed, adjoint;
    int n_carry;
    const uint64_t *carry_bytes;
    int n_table, n_spare;
    const uint64_t *spare_bytes;
    int n_start, n_end, n_zero, n_sums, n_updates, n_saved;
    const blo_whole_copy *start, *end, *zero;
    const blo_whole_sum *sums;
    bool sums_apart; /* SUMS are not of the turn but of blo_whole_add() */
    const blo_whole_update *updates;
    const blo_whole_copy *saved; /* FROM is kept in TO when a run begins, and copied back by a run that starts over */
    int turns;                   /* the most of one run */
} blo_whole_layout;

typedef struct blo_whole blo_whole;

/* Composes the kernel; it is built when it is first queued (BUILD). The layout is not kept. Errors: UNSUPPORTED (more
 * buffers than a kernel takes, or a loop whose states are not all kept in one buffer), MEMORY, BUDGET, DEVICE. */
blo_status blo_whole_create(blo_context *context, const blo_whole_layout *layout, blo_whole **whole);
void blo_whole_destroy(blo_whole *whole);

/* Queues TURNS turns on LOOP and the N_TABLE buffers of TABLE; OVER: from what was saved when the last run began.
 * Afterwards the loop holds the states and carries of the last turn, as if it had been run and swept. Never waits. */
blo_status blo_whole_run(blo_whole *whole, blo_loop *loop, const blo_buffer *const *table, int turns, bool over);

typedef struct blo_whole_record {
    int chosen;   /* K */
    int wrong;    /* the step whose value is not finite, 0: none */
    int failed;   /* 0, or where the sweep was not finite first: K at its seed, k + 1 in the adjoint of step k */
    double value; /* observed at K */
} blo_whole_record;

/* What the last run of TURNS turns left: *DONE records [TURNS], and the values of the last turn [T] (NULL: not wanted;
 * NaN where not observed). One wait. */
blo_status blo_whole_read(blo_whole *whole, int turns, int *done, blo_whole_record *records, double *values);

/* Queues the sums that are apart, unless the context's flag is raised, and the zeros due where they go: one launch. */
blo_status blo_whole_add(blo_whole *whole, const blo_loop *loop, const blo_buffer *const *table);

#endif
