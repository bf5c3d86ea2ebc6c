/* Hoisting: what a program computes from x, y_0 and its data alone is computed once for a whole loop, by a prologue,
 * and its adjoint, summed over the sweep, is pulled back once. Few-shot learning hoists its backbone, hyper-cleaning
 * the weights of its examples. */
#ifndef BLO_BILEVEL_HOIST_H
#define BLO_BILEVEL_HOIST_H

#include "program.h"

enum { BLO_MOST_HOISTED = 16 };

struct blo_lower_solver;
struct blo_binding;

typedef struct blo_hoist {
    int n;
    blo_node *values[BLO_MOST_HOISTED],
        *inputs[BLO_MOST_HOISTED], /* of the graph: as traced, and as the program reads them */
        *own[BLO_MOST_HOISTED];    /* as one turn of the pullback reads them */
    int turns;                     /* the prologue runs for one task after the other, so many; 1: for all at once */
    bool flows[BLO_MOST_HOISTED];  /* it has an adjoint: it depends on x or on a z that is learned */
    int slot[BLO_MOST_HOISTED];    /* STEP: its carry; SCALAR: its output of the program's adjoint; -1: it has none */
    bool uses_initial;             /* y_0 changes from loop to loop, without a version */
    int *upper_output, *initial_output; /* [n_upper], [n_lower]: the parameter's output of PULLBACK, -1: none */
    int n_outputs;
    blo_plan *prologue, *pullback; /* NULL until asked for; no PULLBACK where nothing flows */
    blo_node **gradients;          /* [n_outputs] of the graph, as PULLBACK computes them */
    struct blo_saved *saved;       /* in their place, once that is decided; NULL: nothing is saved */
    bool saving_decided;
    /* of every turn, one after the other */
    blo_buffer *arrays[BLO_MOST_HOISTED];     /* what the prologue computed */
    blo_buffer *cotangents[BLO_MOST_HOISTED]; /* SCALAR: where the adjoint's outputs go; NULL where none */
    blo_buffer **pulled;                      /* [n_outputs] */
    bool is_valid;                            /* ARRAYS holds what STAMP tells */
    uint64_t stamp;
} blo_hoist;

/* Splits a program that was just traced, where that is worth it: its outputs read inputs in the place of what is
 * hoisted. PROGRAM->hoist stays NULL if nothing is. */
blo_status blo_hoist_split(struct blo_lower_solver *solver, blo_program *program);
void blo_hoist_free(blo_hoist *hoist);

/* Lowers the prologue, with BACKWARD its pullback too, and makes the arrays, if that is not done. A program without a
 * hoist: nothing. */
blo_status blo_hoist_prepare(struct blo_lower_solver *solver, blo_program *program, bool backward);
/* Bytes of VALUE of all turns. */
uint64_t blo_hoist_bytes(const blo_hoist *hoist, const blo_node *value);
/* The prologue's *N outputs: what is hoisted, then what running statistics add, with room for ROOM more. malloc'ed;
 * NULL: no memory. */
blo_node **blo_hoist_outputs(const blo_program *program, int room, int *n);
/* The plans that are run: those that save and read what is saved, if it is. *PULLBACK is NULL where nothing flows. */
void blo_hoist_plans(const blo_hoist *hoist, blo_plan **prologue, blo_plan **pullback);
/* Queues the prologue for BINDING, unless its results are there. */
blo_status blo_hoist_run(struct blo_lower_solver *solver, blo_program *program, const struct blo_binding *binding);
/* Queues the pullback of the adjoints at COTANGENTS[n] (unused where nothing flows) into PULLED, and its check, tagged
 * K. It was prepared backward. */
blo_status blo_hoist_pull(struct blo_lower_solver *solver, blo_program *program, const struct blo_binding *binding,
                          const blo_place *cotangents, int k);

#endif
