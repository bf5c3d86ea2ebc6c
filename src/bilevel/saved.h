/* What a prologue saves for its own pullback (the outputs of a backbone's convolutions, the statistics of its norms),
 * so that the pullback need not compute it again: as much as the budget leaves room for, most operations per byte
 * first. */
#ifndef BLO_BILEVEL_SAVED_H
#define BLO_BILEVEL_SAVED_H

#include "hoist.h"

enum { BLO_MOST_SAVED = 256 };

typedef struct blo_saved {
    int n;
    blo_node **values, **inputs; /* [n] of the graph: as the prologue computes them, and as the pullback reads them */
    blo_buffer **arrays;         /* [n] */
    blo_plan *prologue,          /* the prologue's outputs, then those saved */
        *pullback;               /* from those saved */
} blo_saved;

/* Decides, the first time, how much is saved of what the loop has left of the budget, lowers the plans and makes the
 * arrays. A program without a hoist, or without a pullback, in a pool without room to spare, or whose plans would then
 * need more than SCRATCH_BYTES: nothing. PROGRAM was prepared backward. */
blo_status blo_saved_make(struct blo_lower_solver *solver, blo_program *program, uint64_t scratch_bytes);
/* Gives up what the prologues of all programs save; it is decided anew with the loop to come. False: there was nothing.
 */
bool blo_saved_give_up(struct blo_lower_solver *solver);
void blo_saved_free(blo_saved *saved); /* NULL is allowed */

#endif
