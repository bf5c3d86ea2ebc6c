/* The arithmetic of snapshots: which states a run keeps, and in which order a sweep recomputes the others. No storage,
 * no device: moves are handed out, somebody else makes them.
 *
 * The model. States 0 … T, each in a slot of its own; a step reads state k and writes state k+1 into a free slot (never
 * its own), so going further than one step takes two free slots, to write in turn. A sweep from K needs states K-1, …,
 * 0 in this order. State 0 always stays. What a sweep may do: step from any state it has, leave states in slots on the
 * way, and give up any state at any time, also those of the run. Slots of states beyond K, and of states already
 * passed, are free. Three slots are the least: state 0, and two to write in turn (all T+1 where that is less).
 *
 * The run knows T and the slots, not K. It keeps fixed states, so no better rule could be followed later: first every
 * state, then gaps of equal length (the shorter by one first), as many gaps as they are long; or gaps of equal length
 * only, where the slots are fewer than the root of T. While a run goes on two slots stay free to write to; the state
 * before the last is kept too. From few states in the long gaps the sweep loses nothing, because the slots of a gap's
 * inner states are those of the gaps already passed, or of states given up; from many in the front it wins wherever K
 * is small. (Equal gaps everywhere cost up to twice as much in the mean over K; a search over all sets of states found
 * none that is better by more than a twentieth.)
 *
 * What not knowing K costs: steps recomputed, the mean over K = 1 … T and the worst K, beside those of a run that knew
 * K and kept the best states for it (computed by test_checkpoint):
 *
 *       T  slots    mean  known    worst  known
 *    TABLE
 *
 * Within a gap this is binomial checkpointing (A. Griewank and A. Walther, Algorithm 799: Revolve, ACM TOMS 2000), with
 * the one difference that a step cannot overwrite its state: with M free slots, N(M,T) = C(M-1+T, M-1) + C(M-2+T, M-1)
 * states can be passed with no step run more than T times. */
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
