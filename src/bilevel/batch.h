/* Several tasks of equal shape as one program. Where the arrays of all of them would leave a CPU's cache, that is still
 * the program of one task, which runs in turns. Else it is what was traced for one task, with an axis of tasks first in
 * everything that differs from task to task, and adjoints that reach each task's gradients only up to its own
 * max_loss_iter. x and y_0 = z stay shared, so what is computed from them alone is computed once for all tasks. Knows
 * graphs and the buffers that its adjoints need; knows nothing of loops. */
#ifndef BLO_BILEVEL_BATCH_H
#define BLO_BILEVEL_BATCH_H

#include "program.h"

struct blo_lower_solver;

typedef struct blo_batch {
    int n, m;
    blo_node **outputs;    /* [n] of one task: the new state, or the value */
    blo_node **from, **to; /* [m] the inputs that differ: of one task, of all */
    blo_node *chosen;      /* int32 [tasks]: max_loss_iter */
    bool *own;             /* of the adjoint's carries or outputs: it has an axis of tasks; NULL until there is one */
    blo_buffer **joined;   /* SCALAR: [n_output] what the adjoint writes, until it is carried on; NULL until made */
} blo_batch;

/* Turns PROGRAM, which was traced and split for one task, into one for its key's tasks: its nodes are then those of all
 * tasks; or says that it runs in turns. */
blo_status blo_batch_tasks(struct blo_lower_solver *solver, blo_program *program, const char *what);
void blo_batch_free(blo_batch *batch);

/* The adjoint of a program of several tasks, into the last third of NODES [3 * n_carry] or [3 * n_output]. STEP: the
 * carries of a task whose max_loss_iter is above the step are swept, those of others are carried on. SCALAR: the value
 * and the gradients of a task whose max_loss_iter is the step, for others what is given as CARRIED. What tasks share
 * gets the sum over those tasks. Errors: the graph's. */
blo_status blo_batch_adjoint(blo_program *program, blo_node **nodes);
/* The buffers of JOINED for a SCALAR program, whose adjoint is there. */
blo_status blo_batch_reserve(struct blo_lower_solver *solver, blo_program *program);

#endif
