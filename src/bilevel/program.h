/* A program: an objective traced into a graph, and the plans made of it; kept by the lower solver and found again by
 * its key, so that nothing is traced or built twice. Knows models, graphs and plans; knows nothing of loops. */
#ifndef BLO_BILEVEL_PROGRAM_H
#define BLO_BILEVEL_PROGRAM_H

#include <clbilevel/bilevel.h>

#include "nn/model.h"
#include "plan/plan.h"

/* What an input of a program's graph is bound to. */
typedef enum blo_role_kind {
    BLO_ROLE_STATE,   /* array INDEX of the state: the lower parameters, then the optimizer's arrays of each */
    BLO_ROLE_UPPER,   /* parameter INDEX of x */
    BLO_ROLE_INITIAL, /* parameter INDEX of y_0 */
    BLO_ROLE_DATA,
    BLO_ROLE_TARGET,
    BLO_ROLE_STEP,
    BLO_ROLE_NAMED,     /* named input INDEX */
    BLO_ROLE_CARRY,     /* adjoint array INDEX */
    BLO_ROLE_KEPT,      /* array INDEX that the step kept (levels.h) */
    BLO_ROLE_HOISTED,   /* value INDEX of the prologue (hoist.h) */
    BLO_ROLE_COTANGENT, /* its adjoint, in the pullback */
    BLO_ROLE_SAVED,     /* value INDEX that the prologue saved for its pullback (saved.h) */
    /* of several tasks (batch.h) */
    BLO_ROLE_CHOSEN,  /* max_loss_iter of each task */
    BLO_ROLE_CARRIED, /* output INDEX of a scalar's adjoint, as it was before */
    BLO_ROLE_NONE,    /* no plan reads it */
    /* running statistics (track.h) */
    BLO_ROLE_UPPER_BUFFER, /* buffer INDEX of the upper model */
    BLO_ROLE_LOWER_BUFFER,
    BLO_ROLE_RUNNING, /* the buffer of track INDEX as the loop has updated it */
    BLO_ROLE_TRACKED  /* what track INDEX adds to it, computed once */
} blo_role_kind;

typedef struct blo_role {
    blo_role_kind kind;
    int index;
} blo_role;

/* A tensor as tracing sees it. */
typedef struct blo_form {
    bool present;
    blo_dtype dtype;
    int rank;
    int64_t shape[BLO_MAX_RANK];
    bool per_step;
    bool per_task; /* several tasks, each with its own: an axis of tasks, after that of steps */
} blo_form;

typedef enum blo_program_kind {
    BLO_PROGRAM_STEP,  /* state -> new state; adjoint: carries -> new carries */
    BLO_PROGRAM_SCALAR /* state -> an objective's value; adjoint: the value and its gradients */
} blo_program_kind;

enum { BLO_FEW_NAMED = 4 }; /* so many named inputs are looked up without an allocation */

/* What a program was traced for. */
typedef struct blo_key {
    blo_program_kind kind;
    blo_objective objective;
    void *user;
    int tasks; /* at once */
    blo_form data, target;
    int n_named;
    blo_form *named; /* [n_named]: FEW, or owned */
    blo_form few[BLO_FEW_NAMED];
    uint64_t upper_form, lower_form; /* of the models */
} blo_key;

typedef struct blo_program {
    struct blo_program *next;
    blo_key key;
    blo_graph *graph;
    int n_state, n_upper, n_lower, n_named; /* n_upper is 0 where x is y_0 */
    struct blo_batch *batch;                /* of several tasks at once; NULL: one at a time */
    int turns;                              /* it is of one task, and runs for so many, one after another; 1: once */
    int n_roles;
    blo_role *roles; /* [n_roles], one per input of the graph */
    /* nodes of the graph; of several tasks, those of all tasks */
    blo_node **state, **upper, **initial, **named, **upper_buffers, **lower_buffers;
    blo_node *data, *target, *step;
    blo_node **next_state; /* STEP: [n_state] */
    blo_node *value;       /* SCALAR: [], of several tasks [tasks] */
    /* STEP: the carry of each parameter that the step depends on, else -1. SCALAR: the output of ADJOINT with its
     * gradient, else -1. */
    int *upper_slot, *initial_slot;
    int n_carry;                /* STEP */
    int n_output;               /* SCALAR: outputs of ADJOINT: value, gradients of y, then those above */
    blo_plan *plan, *adjoint;   /* NULL until asked for; their kernels are built when they are first queued */
    struct blo_hoist *hoist;    /* what is computed once for a loop; NULL: nothing */
    struct blo_tracks *tracks;  /* buffers that the objective tracks; NULL: none */
    struct blo_levels *levels;  /* STEP: NULL until asked for */
    blo_node **adjoint_outputs; /* [n_carry] or [n_output] nodes, as ADJOINT computes them */
} blo_program;

struct blo_lower_solver;

/* Finds or traces the program of KEY (borrowed, copied if kept). WHAT names the objective in error sentences. */
blo_status blo_program_get(struct blo_lower_solver *solver, const blo_key *key, const char *what,
                           blo_program **program);
/* The parameters and hoisted values whose gradients the program gives, in the order of their slots, after the first N
 * of WRT. */
void blo_program_collect(const blo_program *program, int n, blo_node **wrt);
/* Makes the plan, or the adjoint plan, if it is not made yet. */
blo_status blo_program_plan(struct blo_lower_solver *solver, blo_program *program);
blo_status blo_program_adjoint(struct blo_lower_solver *solver, blo_program *program);
void blo_program_free(blo_program *program);
/* A plan of the program's graph, not built yet, whose data, targets and whole named inputs are fixed. ADJOINT: for the
 * profile. */
blo_status blo_program_lower(const struct blo_lower_solver *solver, const blo_program *program, int turns, int n,
                             blo_node *const *outputs, bool adjoint, blo_plan **plan);

/* --- tracing (trace.c) --- */

/* Declares the inputs and traces the key's objective: the new state, or the value. */
blo_status blo_program_trace(struct blo_lower_solver *solver, blo_program *program, const char *what);
/* Declares one more input. */
blo_node *blo_program_input(blo_program *program, blo_role_kind kind, int index, const char *name, blo_dtype dtype,
                            int rank, const int64_t *shape);
/* What varies while a loop runs; returns how many. NODES [n_state + 1 + n_named]. */
int blo_program_varying(const blo_program *program, blo_node **nodes);
/* One lower step: gradient of f, optimizer, projection (step.c of this room). */
void blo_trace_step(struct blo_lower_solver *solver, blo_program *program, const blo_state *state, blo_node *loss);

#endif
