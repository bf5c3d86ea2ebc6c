/* A loop as the files of this room share it: its memory, and how one stage is queued. */
#ifndef BLO_SCHEDULE_LOOP_H
#define BLO_SCHEDULE_LOOP_H

#include "checkpoint.h"
#include "slots.h"
#include "split.h"

struct blo_loop {
    blo_context *context;
    int steps, n_state, n_carry, n_levels;
    blo_dtype observed;
    int n_observed;
    blo_split split;
    bool last_stays;
    blo_checkpoints checkpoints; /* if the split is thinned */
    blo_slots slots;             /* of states */
    blo_slots *keeps;            /* [n_levels] of kept arrays: there, step k is "state" k */
    int *kept_steps;             /* [n_levels] for the report */
    blo_buffer *carry[2];        /* the two sets, read and written in turn; padding between arrays is zero */
    uint64_t *carry_offsets, carry_bytes;
    blo_buffer *parts_table;                /* NULL: no parts are told */
    blo_flag_parts parts;                   /* of the carries */
    int now;                                /* the set that holds the carries */
    blo_buffer *values, *numbers, *scratch; /* o_1 … o_T, [n_observed] each; 0 … T as int32; scratch of the plans */
    bool begun, ran;                        /* s_0 may be written: only its slot is taken; a run was queued whole */
    bool every, any_observed;
    int recalled; /* a state that loop_state() recomputed into a slot, -1: none */
    blo_sweep sweep;
    bool *live, *live_steps; /* [steps + 1] each, of SWEEP */
    int rewound;             /* SWEEP has come down to this state, which still has its slot; -1: none */
    blo_loop_visit visit;    /* NULL: none */
    void *visitor;
    blo_recording *recording; /* of a run, NULL: none */
    bool records, replays;    /* the run under way goes into it; is replayed from it: nothing is queued else */
    bool *used;               /* [n_levels + 1] */
    uint64_t *bindings;       /* what tells the last run from others */
    int n_bindings, bindings_capacity;
    bool same; /* so far, the run under way has the bindings of the one before */
    int n_places;
    blo_place *inputs, *outputs;
    blo_loop_report report;
};

/* The level that step K keeps in a run. */
static inline int blo_loop_run_level(const blo_loop *loop, int k) {
    return loop->split.full_levels + (k < loop->split.more_steps);
}

/* --- replay.c --- */

/* Before a run and after it, whatever its STATUS was. In between it is queued as ever; where REPLAYS is set, only its
 * bookkeeping is done. */
blo_status blo_loop_replay_begin(blo_loop *loop, const blo_stage *steps, const blo_stage *observe, bool every);
blo_status blo_loop_replay_end(blo_loop *loop, blo_status status);

/* --- run.c --- */

/* Room for the places of the stages that the loop uses of STAGES (by level), or of the one that OBSERVE is. */
blo_status blo_loop_reserve(blo_loop *loop, const blo_stage *stages);
blo_status blo_loop_reserve_one(blo_loop *loop, const blo_stage *stage);
/* Queues STAGE with the state in SLOT, step number NUMBER and row ROW of per-step inputs; outputs are in
 * loop->outputs. */
blo_status blo_loop_queue(blo_loop *loop, const blo_stage *stage, int slot, int number, int row);
/* s_{k+1} from s_k, each in its slot, keeping LEVEL arrays. */
blo_status blo_loop_queue_step(blo_loop *loop, const blo_stage *steps, int k, int level);
/* What step K kept is given up. */
void blo_loop_drop_kept(blo_loop *loop, int k);
blo_status blo_loop_check_ran(const blo_loop *loop);

#endif
