/* The arithmetic of snapshots: which states a run keeps, and in which order a sweep recomputes the others. No storage,
 * no device: moves are handed out, somebody else makes them.
 *
 * The model. States 0 … T, each in a slot of its own; a step reads state k and writes state k+1 into a free slot (never
 * its own), so going further than one step takes two free slots, to write in turn. A sweep from K needs states K-1, …,
 * 0 in this order. State 0 always stays. What a sweep may do: step from any state it has, leave states in slots on the
 * way, and give up any state at any time, also those of the run. Slots of states beyond K, and of states already
 * passed, are free. Three slots are the least: state 0, and two to write in turn (all T+1 where that is less).
 *
 * The run knows T and its slots, not K, and learns nothing on its way that would help: so it keeps a set of states that
 * is fixed before it begins. That is every state of a front, then states with equal gaps between them (the shorter by
 * one first), as many gaps as a gap is long; or equal gaps alone where the slots are fewer than the root of T. While
 * the run goes on two slots stay free to write to; the state before the last is kept in one of them. A long gap
 * near T is cheap, because when it is swept its states find room in slots of states passed or given up, and a dense
 * front makes every small K cheap. (With equal gaps alone the mean over K is up to twice as large, the
 * worst up to a tenth smaller. A search over sets of states, for T to 100, found means smaller by up to 6 %.)
 *
 * What not knowing K costs: steps recomputed, in the mean over K = 1 … T and for the worst K; beside them the least
 * that a run could reach that knew K. (Computed: a test compares.)
 *
 *        T  slots    mean   known   worst   known
 *       20      3    35.2    26.2      90      81
 *       20      6     8.3     5.2      17      14
 *       20     12     3.4     1.8       9       8
 *       60      4    98.0    81.8     243     221
 *       60     12    25.1    19.6      55      48
 *       60     30    10.6     7.8      33      30
 *      200     10   168.1   144.4     368     336
 *      200     40    74.0    64.4     170     160
 *     1000     10  1420.4  1308.9    3185    3066
 *     1000    100   431.4   405.4     928     900
 *     1000    300   263.4   245.3     724     700
 *
 * Within a gap this is binomial checkpointing (A. Griewank and A. Walther, Algorithm 799: Revolve, ACM TOMS 2000), with
 * the one difference that a step cannot overwrite its state: with M free slots, C(M-1+R, M-1) + C(M-2+R, M-1) states
 * can be swept with no step run more than R times. */
#ifndef BLO_SCHEDULE_CHECKPOINT_H
#define BLO_SCHEDULE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#define BLO_NEVER (INT64_MAX / 4) /* the cost of what cannot be done; sums of a few do not overflow */

/* Steps recomputed in a sweep over LENGTH >= 1 states, the first of them kept, with FREE slots for the others. */
int64_t blo_binomial_cost(int64_t length, int64_t free_slots);
/* How many steps ahead the next state to keep lies then: 1 … LENGTH-1. LENGTH >= 2; the cost is not BLO_NEVER. */
int64_t blo_binomial_distance(int64_t length, int64_t free_slots);

typedef struct blo_choice blo_choice;

/* What a run of STEPS steps keeps in SLOTS slots, and what sweeps do with it. */
typedef struct blo_checkpoints {
    int steps, slots;
    int n_kept, *kept; /* ascending, the first is 0; all below the state before the last, which is kept beside them */
    int window, most_dropped; /* sweeps look so many steps ahead of a kept state, and give up so many; 0: none */
    blo_choice *choices;      /* [n_kept - 1][most_dropped + 1][window] */
    int64_t *below;           /* as many: the cost of the best choice further down */
    int64_t *costs;           /* [rows][window + 1]: blo_binomial_cost() of short lengths */
    int64_t *alone;           /* [steps + 2]: of a sweep that has state 0 only */
    int rows;
} blo_checkpoints;

/* The least slots for STEPS steps. */
int blo_checkpoints_least(int steps);
/* Gaps are no longer than LONGEST where the slots allow (0: any length). SLOTS is at least the least. False: no host
 * memory. Sweeps are optimal while a table of all their choices is small (100 steps in 40 slots, 1000 in 7); beyond
 * that no gap grows further than to twice its length by what they give up, or they give up all of the run's states. */
bool blo_checkpoints_create(int steps, int slots, int longest, blo_checkpoints *checkpoints);
void blo_checkpoints_free(blo_checkpoints *checkpoints);
bool blo_checkpoints_keeps(const blo_checkpoints *checkpoints, int k);

/* --- a sweep --- */

typedef enum blo_move_kind {
    BLO_MOVE_STEP,    /* state k+1 from state k */
    BLO_MOVE_ADJOINT, /* state k is read, and then given up unless it is 0 */
    BLO_MOVE_DONE
} blo_move_kind;

typedef struct blo_move {
    blo_move_kind kind;
    int k;
    bool drop; /* STEP: state k is given up after it */
    bool keep; /* STEP: it is run for the last time, and there is room to keep what its adjoint can use; ADJOINT: what
                  step k kept is there, and its room is free then */
} blo_move;

typedef struct blo_sweep {
    const blo_checkpoints *checkpoints;
    bool *live;     /* [steps + 1], borrowed: states that are in slots */
    bool *kept;     /* [steps], borrowed: steps whose arrays are kept; NULL: none ever */
    int n_live;     /* of states below END */
    int n_free;     /* rooms for kept arrays */
    int end;        /* states from here on are passed */
    int at, target; /* a walk under way, if AT is below TARGET */
    bool drop;      /* its first state is given up */
    int n_retained; /* of the run's states, if the table of choices is followed; else 0 */
} blo_sweep;

/* A sweep that reads states END-1 … 0. LIVE: what is there; on return what the sweep will use (the rest is to be given
 * up). KEPT and KEEP_ROOMS: see blo_sweep. Returns the steps that will be recomputed. */
int64_t blo_sweep_begin(blo_sweep *sweep, const blo_checkpoints *checkpoints, bool *live, bool *kept, int keep_rooms,
                        int end);
blo_move blo_sweep_next(blo_sweep *sweep);

#endif
