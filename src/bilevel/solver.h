/* The lower solver and the trajectory as the files of this room share them. */
#ifndef BLO_BILEVEL_SOLVER_H
#define BLO_BILEVEL_SOLVER_H

#include "hoist.h"
#include "levels.h"
#include "optim/step.h"
#include "program.h"
#include "schedule/schedule.h"

typedef struct blo_named_input {
    char *name;
    blo_tensor *tensor;
    bool per_step, per_task;
} blo_named_input;

/* Host memory that calls use for the places of arrays while they run. */
typedef enum blo_room {
    BLO_ROOM_STATE,   /* states, and outputs, of one run */
    BLO_ROOM_INPUTS,  /* of a plan, while it is prepared and queued */
    BLO_ROOM_TRACKED, /* outputs of a prologue, or of what updates running statistics */
    BLO_ROOMS
} blo_room;

struct blo_lower_solver {
    int references; /* the caller's, and one of each trajectory */
    blo_context *context;
    blo_objective lower_objective, upper_objective;
    void *user;
    blo_model *upper, *lower;
    bool one_model; /* x is z */
    blo_lower_options options;
    int tasks;            /* of loops to come */
    double cached;        /* bytes of an array that is still in a CPU's cache when it is read again */
    int n_upper, n_lower; /* parameters of the models when the solver was made; they must stay as many */
    int states;           /* optimizer arrays per lower parameter */
    blo_named_input *named;
    int n_named;
    blo_program *programs;
    blo_store store;              /* what their plans share */
    struct blo_small *smalls;     /* kernels that run small loops whole (small.h) */
    struct blo_tracker *trackers; /* running statistics (track.h) */
    blo_trajectory *latest;       /* whose loop ran last, borrowed; its scratch serves evaluations between loops */
    blo_buffer **warm;            /* warm start: the last y_T, one per lower parameter; NULL before the first loop */
    blo_buffer *number, *value;   /* a step number and a scalar of each task, for what runs outside loops */
    blo_buffer *scratch;          /* for what does not fit the loop's */
    struct {
        blo_place *places;
        int capacity;
    } rooms[BLO_ROOMS];
};

/* A tensor that a loop read, and its contents' version then. */
typedef struct blo_watched {
    blo_tensor *tensor; /* retained; NULL: none */
    uint64_t version;
    bool per_step, per_task; /* of named inputs */
} blo_watched;

typedef enum blo_trajectory_state {
    BLO_TRAJECTORY_EMPTY, /* no loop yet */
    BLO_TRAJECTORY_RAN,
    BLO_TRAJECTORY_FAILED /* its last loop failed part of the way */
} blo_trajectory_state;

struct blo_trajectory {
    blo_lower_solver *solver; /* holds a reference */
    blo_trajectory_state state;
    blo_loop *loop;
    int tasks;          /* of the loop */
    blo_buffer *chosen; /* of several tasks: max_loss_iter of each, int32 */
    /* what LOOP was made for */
    int n_state, n_carry;
    uint64_t *array_bytes; /* [n_state + n_carry] */
    bool *in_parts;        /* [n_carry] each task has its own part */
    uint64_t scratch_bytes;
    int n_levels;
    uint64_t keep_bytes[BLO_MOST_LEVELS];
    blo_program *step, *observe;
    blo_source *step_sources[BLO_MOST_LEVELS + 1], *adjoint_sources[BLO_MOST_LEVELS + 1]; /* by level; NULL: not used */
    blo_source *observe_sources;
    blo_place *initial; /* [n_lower]: y_0 in the loop's first slot, which stays where it is */
    blo_watched train_data, train_target, validate_data, validate_target;
    blo_watched *upper, *named, *buffers; /* of the models' buffers those that the loop reads */
    int n_upper, n_named, n_buffers;
    double *losses;              /* [T][tasks] */
    struct blo_tracker *tracker; /* borrowed from the solver; NULL: the loop tracks nothing */
    struct blo_small *small;     /* borrowed from the solver: the loop runs whole; NULL: it is queued */
    int swept;                   /* the step from which its kernel swept as well, and whose gradients wait; 0: none */
    int sweep_failed;            /* 0, or where that sweep was not finite first */
    uint64_t loop_launches, sweep_launches;
    /* [n_upper + n_lower], NULL until needed: gradients of F in parameters that the step does not depend on, which need
     * no carry */
    blo_buffer **direct;
    int n_direct;
};

/* What a loop reads; each may be NULL. */
typedef struct blo_loop_data {
    blo_tensor *train_data, *train_target, *validate_data, *validate_target;
} blo_loop_data;

/* What a single run of a scalar program is bound to. */
typedef struct blo_binding {
    const blo_place *state;   /* [n_state] or, where the optimizer's arrays are not read, [n_lower] */
    const blo_place *initial; /* [n_lower] */
    blo_tensor *data, *target;
    const blo_watched *named; /* [n_named] */
    int32_t steps;            /* done; per-step inputs give that row to f, the row before it, the first for 0, to F */
    const blo_place *cotangents; /* of what is hoisted; for a pullback only */
    int turn;                    /* of a prologue and its pullback, which see one task at a time */
    /* of several tasks, for the adjoint only */
    const blo_buffer *chosen;
    const blo_place *carried; /* [n_output] */
} blo_binding;

void blo_solver_release(blo_lower_solver *solver);

/* Fills KEY for the solver's present named inputs (NAMED NULL) or those of a trajectory. blo_key_free() releases it. */
blo_status blo_key_make(blo_lower_solver *solver, blo_program_kind kind, blo_objective objective, void *user, int tasks,
                        const blo_tensor *data, const blo_tensor *target, const blo_watched *named, int n_named,
                        blo_key *key);
void blo_key_free(blo_key *key);

/* Limits the pool to the solver's budget until blo_solver_leave(); returns what to give back to it. */
uint64_t blo_solver_enter(blo_lower_solver *solver);
void blo_solver_leave(blo_lower_solver *solver, uint64_t limit);

/* Fails unless the models still have their parameters and every given tensor is of the solver's context and, where
 * TASKS is above 1, has a first axis of tasks. */
blo_status blo_solver_check(blo_lower_solver *solver, int tasks, int n, blo_tensor *const *tensors,
                            const char *const *names);
/* Fails unless every named input that is per task has TASKS. */
blo_status blo_solver_check_inputs(blo_lower_solver *solver, int tasks);

/* ROOM for N places, all empty, until it is asked for again; kept for the calls to come. NULL: no memory, which is
 * told.
 */
blo_place *blo_solver_room(blo_lower_solver *solver, blo_room room, int n);

/* Queues PLAN of PROGRAM once, outside a loop (evaluate.c). The latest loop lends its scratch if it is large enough. */
blo_status blo_program_run(blo_lower_solver *solver, const blo_program *program, blo_plan *plan,
                           const blo_binding *binding, const blo_place *outputs);
/* The same for all turns of PROGRAM; OUTPUTS [blo_plan_outputs] end behind the last one's parts. */
blo_status blo_program_run_turns(blo_lower_solver *solver, const blo_program *program, blo_plan *plan,
                                 const blo_binding *binding, blo_place *outputs);
/* Bytes from the part of one turn to that of the next in input I of PROGRAM, where it runs in turns or its prologue
 * does; 0: all turns read the same. */
uint64_t blo_turn_bytes(const blo_lower_solver *solver, const blo_program *program, int i);
/* Reads the scalars [tasks] that a run left in the solver's value buffer: one wait. */
blo_status blo_solver_read_values(blo_lower_solver *solver, int tasks, double *values);
/* The buffers of a step number and of a scalar of each task, made at first use. */
blo_status blo_solver_prepare(blo_lower_solver *solver, int tasks);
/* Scratch of BYTES for what is queued outside a loop. */
blo_status blo_solver_scratch(blo_lower_solver *solver, uint64_t bytes, const blo_buffer **scratch);
/* The model's buffer that ROLE reads; NULL for every other role. */
blo_tensor *blo_solver_buffer(const blo_lower_solver *solver, blo_role role);

/* Whether METHOD's upper objective and models are SOLVER's (iapttgm.c). */
bool blo_iapttgm_is_of(const blo_iapttgm *method, const blo_lower_solver *solver);

/* --- trajectories (trajectory.c) --- */
blo_status blo_trajectory_new(blo_lower_solver *solver, blo_trajectory **trajectory);
void blo_watch(blo_watched *watched, blo_tensor *tensor);
bool blo_watched_same(const blo_watched *watched, const blo_tensor *tensor); /* that tensor, unchanged */
/* STATE, with the sentence, unless a loop ran and nothing it read has changed. */
blo_status blo_trajectory_ready(const blo_trajectory *trajectory);
/* Makes the direct gradients that the adjoint of OBJECTIVE needs beside the carries of STEP. */
blo_status blo_trajectory_reserve(blo_trajectory *trajectory, const blo_program *step, const blo_program *objective);
/* Whether what OBJECTIVE gives parameter I, of x, then of y_0, has an array of its own beside the carries of STEP. */
bool blo_is_direct(const blo_program *step, const blo_program *objective, int i);
/* What tells the contents of fixed inputs apart: versions are never used twice in a context. */
uint64_t blo_stamp(const blo_tensor *data, const blo_tensor *target, const blo_watched *named, int n_named);
/* Lets PLAN compute once what depends on DATA, TARGET and whole named inputs only. */
blo_status blo_trajectory_prepare(const blo_trajectory *trajectory, blo_plan *plan, const blo_source *sources,
                                  const blo_watched *data, const blo_watched *target);
/* The same of the loop's steps, or of their adjoints, before any is queued: another trajectory's may have been prepared
 * since. */
blo_status blo_trajectory_prepare_levels(const blo_trajectory *trajectory, bool adjoints);
/* The loop's stages by level, [BLO_MOST_LEVELS + 1] each; either may be NULL. */
void blo_trajectory_stages(const blo_trajectory *trajectory, blo_stage *steps, blo_stage *adjoints);
/* Queues the prologues of the loop's step, and of F at its validation data, where their results are not there. */
blo_status blo_trajectory_hoist(blo_trajectory *trajectory, bool observe);
/* Places of the state after K steps, [n_state]. */
blo_status blo_trajectory_places(blo_trajectory *trajectory, int k, blo_place *places);
/* Reads COUNT elements of DTYPE, the models', at PLACE as doubles: one wait. */
blo_status blo_read_doubles(blo_context *context, blo_dtype dtype, blo_place place, int64_t count, double *values);
/* A place as something to write to. */
blo_buffer *blo_place_target(blo_place place);

#endif
