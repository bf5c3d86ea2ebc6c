/* Levels: what a lower step can keep beside its new state so that its adjoint need not compute it again (hidden layers,
 * logits), and the plans of step and adjoint that write and read it. Which level a step gets is the loop's to decide,
 * from these costs and its budget. */
#ifndef BLO_BILEVEL_LEVELS_H
#define BLO_BILEVEL_LEVELS_H

#include "program.h"

enum { BLO_MOST_LEVELS = 3 };

/* Of a STEP program. Level j keeps the first j arrays, those that save most operations per byte first. The plans of
 * level 0 are the program's own. */
typedef struct blo_levels {
    int n;
    uint64_t bytes[BLO_MOST_LEVELS];
    double step_cost, adjoint_cost[BLO_MOST_LEVELS + 1]; /* arithmetic operations */
    blo_plan *steps[BLO_MOST_LEVELS + 1], *adjoints[BLO_MOST_LEVELS + 1];
} blo_levels;

/* Finds the arrays and lowers the plans, if that is not done yet; the program's own plans are there. */
blo_status blo_levels_make(struct blo_lower_solver *solver, blo_program *program);
void blo_levels_free(blo_levels *levels);

#endif
