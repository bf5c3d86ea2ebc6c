/* Small problems: the lower loop, the pessimistic step and the sweep as one kernel of schedule/whole.h. What the kernel
 * does is that room's affair; here programs are bound to it, and it is decided which problems are small. */
#ifndef BLO_BILEVEL_SMALL_H
#define BLO_BILEVEL_SMALL_H

#include "optim/optimizer.h"
#include "schedule/whole.h"
#include "solver.h"

/* --- binding (small_bind.c) --- */

/* What a buffer of the kernel's table is. */
typedef enum blo_entry_kind {
    BLO_ENTRY_START,        /* y_0 of lower parameter INDEX: z, or the last y_T */
    BLO_ENTRY_WARM,         /* where y_T of lower parameter INDEX is kept */
    BLO_ENTRY_UPPER,        /* parameter INDEX of x */
    BLO_ENTRY_UPPER_BUFFER, /* buffer INDEX of the upper model */
    BLO_ENTRY_LOWER_BUFFER,
    BLO_ENTRY_TRAIN_DATA,
    BLO_ENTRY_TRAIN_TARGET,
    BLO_ENTRY_VALIDATE_DATA,
    BLO_ENTRY_VALIDATE_TARGET,
    BLO_ENTRY_NAMED,          /* named input INDEX */
    BLO_ENTRY_DIRECT,         /* the trajectory's direct gradient INDEX */
    BLO_ENTRY_UPPER_GRADIENT, /* of parameter INDEX */
    BLO_ENTRY_LOWER_GRADIENT,
    BLO_ENTRY_OPTIMIZER /* input INDEX of OPTIMIZER's step */
} blo_entry_kind;

typedef struct blo_entry {
    blo_entry_kind kind;
    int index;
    const blo_optimizer *optimizer; /* NULL where it is none's */
} blo_entry;

enum {
    BLO_SMALL_ENTRIES = 112, /* more than a kernel takes */
    BLO_SMALL_UPDATES = 8    /* optimizers */
};

/* A layout in the making, with all it points to. */
typedef struct blo_binder {
    const blo_trajectory *trajectory;
    blo_whole_layout layout;
    int n_routines;
    blo_routine *routines[4 + BLO_SMALL_UPDATES]; /* step, observe, seed, adjoint, then updates */
    blo_entry entries[BLO_SMALL_ENTRIES];
    int n_owned;
    void *owned[64];
    uint64_t spare_bytes[BLO_SMALL_ENTRIES];
    bool failed;    /* no memory, or more than there is room for */
    bool unfitting; /* a routine cannot be made: no small problem */
} blo_binder;

/* The stages of TRAJECTORY's programs. Errors: MEMORY; blo_binder_free() is called whatever the status. */
blo_status blo_binder_open(blo_binder *binder, const blo_trajectory *trajectory);
void blo_binder_free(blo_binder *binder);
/* What happens around them: TURNS 1: gradients wait to be added; else they are cleared and added in every turn. */
void blo_binder_turn(blo_binder *binder, int turns);
/* A step of OPTIMIZERS [N] at the end of every turn, of the solver's models. */
blo_status blo_binder_update(blo_binder *binder, int n, blo_optimizer *const *optimizers);
/* No memory, or more than a kernel takes, as a status. */
blo_status blo_binder_status(const blo_binder *binder);

/* The buffers of ENTRIES for a loop on TRAJECTORY; y_T is kept in WARM. */
void blo_entries_resolve(const blo_trajectory *trajectory, int n, const blo_entry *entries, blo_buffer *const *warm,
                         const blo_buffer **buffers);

/* --- the lower solver's kernels (small.c) --- */

/* A kernel of whole upper iterations, with steps of these optimizers. */
typedef struct blo_small_turns {
    blo_whole *whole; /* NULL: none yet */
    int n_optimizers;
    uint64_t serials[BLO_SMALL_UPDATES],
        forms[BLO_SMALL_UPDATES]; /* of their counts, which no other has; their steps' */
    int n_entries;
    blo_entry *entries;
    double seconds; /* of an iteration when it last ran; 0: not known */
} blo_small_turns;

/* A kernel for one pair of programs; or the knowledge that they are not small. */
typedef struct blo_small {
    struct blo_small *next;
    const blo_program *step, *observe;
    blo_whole *whole; /* NULL: not small */
    int n_entries;
    blo_entry *entries;
    const blo_buffer **buffers;
    blo_small_turns turns; /* the last that were solved */
} blo_small;

/* Whether what BINDER holds is small enough for one work-group. */
bool blo_small_fits(const blo_binder *binder);
/* The kernel for TRAJECTORY's programs and loop, made at first; NULL: to be queued. Errors: MEMORY, BUILD, DEVICE;
 * UNSUPPORTED where options.whole is on. */
blo_status blo_small_find(blo_trajectory *trajectory, blo_small **small);
void blo_small_free(blo_small *smalls);
void blo_small_drop_turns(blo_small_turns *turns);

/* Queues the loop and its sweep, and reads the losses: one launch and one wait. */
blo_status blo_small_run(blo_trajectory *trajectory, blo_buffer *const *warm);
/* Adds the gradients that wait: one launch. */
blo_status blo_small_add(blo_trajectory *trajectory);

/* Queues a NaN before the context's flag, as the sweep at STEP met one. */
blo_status blo_small_raise(blo_lower_solver *solver, int step);

/* --- whole upper iterations (small_solve.c) --- */

/* blo_iapttgm_solve() in few launches. *SOLVED is false, with BLO_OK and nothing done, where it must be call by call.
 */
blo_status blo_small_solve(blo_lower_solver *solver, int n, blo_optimizer *const *optimizers, const blo_loop_data *data,
                           int iterations, blo_progress progress, void *user, bool *solved);

#endif
