/* The bilevel problem and IAPTT-GM: min over x of F(x, y), y a solution of min over y of f(x, y).
 * R. Liu, Y. Liu, S. Zeng, J. Zhang, "Towards Gradient-based Bilevel Optimization with Non-convex Followers and
 * Beyond", NeurIPS 2021. x: the upper model; y: the lower model; z: the lower model's initialization, learned as well.
 */
#ifndef CLBILEVEL_BILEVEL_H
#define CLBILEVEL_BILEVEL_H

#include <clbilevel/optimizer.h>
#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an objective sees. An objective is traced, not run: it is called once and what it built is replayed. */
typedef struct blo_state {
    blo_graph *graph;
    blo_node *data;                       /* training data in f, validation data in F; NULL if none was given */
    blo_node *target;                     /* likewise */
    const blo_bound_model *upper_model;   /* x; NULL if the problem has none */
    const blo_bound_model *lower_model;   /* y_k */
    const blo_bound_model *initial_model; /* y_0, differentiable */
    blo_node *step;                       /* k, int32 []: 0 in the first lower step; in F the number of steps done */
    const void *inputs;                   /* for blo_state_input() */
} blo_state;

/* Returns the scalar loss, or any node where a function is wanted (a projection, a learning rate). NULL: a mistake. */
typedef blo_node *(*blo_objective)(const blo_state *state, void *user);

/* A named extra input: the whole tensor, or of a per-step input the row of this step. An unknown name is the graph's
 * error. */
BLO_API blo_node *blo_state_input(const blo_state *state, const char *name);

typedef enum blo_projection {
    BLO_PROJECT_NONE = 0,
    BLO_PROJECT_BOX,
    BLO_PROJECT_BALL,
    BLO_PROJECT_FUNCTION
} blo_projection;

/* A traced projection of one lower parameter: NAME's new VALUE -> the projected one, of the same shape. */
typedef blo_node *(*blo_project)(const blo_state *state, const char *name, blo_node *value, void *user);

/* Whether a small problem runs whole: the lower loop, F at every step, the choice of max_loss_iter and the sweep as one
 * kernel of one work-group, one launch and one read-back for a call of blo_lower_optimize(), to the same bits as when
 * every step is queued. The hypergradients then wait on the device for blo_iapttgm_compute_gradients(). */
typedef enum blo_whole_mode {
    BLO_WHOLE_AUTO = 0, /* where the state and its temporaries are a few kilobytes and a step is little work */
    BLO_WHOLE_ON,       /* else an error (UNSUPPORTED): for tests and measurements */
    BLO_WHOLE_OFF
} blo_whole_mode;

typedef struct blo_lower_options {
    int lower_loop;                  /* T >= 1 steps; default 100 */
    blo_optimizer_options optimizer; /* the lower step; default SGD, learning rate 0.1 */
    blo_objective learning_rate;     /* NULL: optimizer.learning_rate; else a traced [] (an upper variable, a per-step
                                        input …) */
    void *learning_rate_user;
    blo_projection projection; /* after every lower step; default none */
    double box_lo, box_hi;     /* BOX: every element to [lo,hi] */
    double ball_radius;        /* BALL: each parameter's 2-norm to at most this */
    blo_project project;       /* FUNCTION */
    void *project_user;
    bool acquire_max_loss;         /* evaluate F at every step; default true. False: only at T */
    bool truncation;               /* default true; false: max_loss_iter is T, ordinary reverse-mode unrolling */
    bool initialization_auxiliary; /* default true: z gets a gradient; false: z is no upper variable */
    bool warm_start; /* default false; true: a loop starts from the last y_T (needs initialization_auxiliary off) */
    bool hoisting;   /* default true: what a loop computes from x, y_0 and the data alone is computed once, and its
                        adjoint is summed over the sweep and pulled back once; false: in every step */
    uint64_t memory_budget; /* bytes for the whole pool; default 0: the context's */
    blo_whole_mode whole;   /* default AUTO */
} blo_lower_options;

/* Fills OPTIONS with the defaults named above. */
BLO_API void blo_lower_options_default(blo_lower_options *options);

/* --- the lower solver --- */

/* LOWER_OBJECTIVE f and UPPER_OBJECTIVE F are traced at the first loop (and again for new shapes) with USER.
 * UPPER_MODEL may be NULL (no x) or LOWER_MODEL itself (x and z are one set; each contribution is added once). OPTIONS
 * may be NULL. Nothing runs on the device. Errors: ARGUMENT (with the option's name), STATE (models of two contexts),
 * MEMORY. Owner: the caller. */
BLO_API blo_status blo_lower_solver_create(blo_objective lower_objective, blo_objective upper_objective, void *user,
                                           blo_model *upper_model, blo_model *lower_model,
                                           const blo_lower_options *options, blo_lower_solver **solver);
/* Gives up the caller's reference: trajectories keep what they need of their solver. NULL is allowed. */
BLO_API void blo_lower_solver_destroy(blo_lower_solver *solver);

/* A named input of the objectives. PER_STEP: TENSOR's first axis is T, and step k sees row k (F at y_k sees row k-1).
 * The tensor may be replaced by one of equal shape and dtype between loops without re-tracing. Errors: ARGUMENT, SHAPE,
 * MEMORY. */
BLO_API blo_status blo_lower_solver_set_input(blo_lower_solver *solver, const char *name, blo_tensor *tensor,
                                              bool per_step);

/* How many tasks of equal shape the loops to come run at once: each with a y of its own, from the one z, and a
 * max_loss_iter of its own; equal to loops run one after another, up to the rounding of sums over tasks. The objectives
 * stay written for one task. TASKS 1 (the default): a plain problem, whose tensors have no axis of tasks. Else data and
 * targets have a first axis of TASKS. A trajectory keeps the number it ran with. A sweep goes from the latest
 * max_loss_iter down. Every launch is for all tasks; on a CPU what needs arrays that would leave its caches (a whole
 * network in every step) is launched for one task after another instead. At once, F is differentiated once for each
 * different max_loss_iter, and an x that the lower step reads, not only what is computed from it alone, is copied for
 * each task. A problem of several tasks never runs whole. After another number a warm-started solver starts from z
 * again. Errors: ARGUMENT. */
BLO_API blo_status blo_lower_solver_set_tasks(blo_lower_solver *solver, int tasks);

/* A named input of which each task has its own: TENSOR's axes are T if PER_STEP, then the tasks (also where that is 1),
 * then what the objectives see. A named input set by blo_lower_solver_set_input() is shared by all tasks. Errors:
 * ARGUMENT, SHAPE (another number of tasks is told by the loop), MEMORY. */
BLO_API blo_status blo_lower_solver_set_task_input(blo_lower_solver *solver, const char *name, blo_tensor *tensor,
                                                   bool per_step);

/* Runs the loop: y_0 = z, T steps, F at every step; one wait. Any of the four tensors may be NULL if the objectives do
 * not use it. *TRAJECTORY: NULL on first use: created, the caller destroys it; else reused, and what it held is
 * overwritten. MAX_LOSS_ITER [tasks] (may be NULL): the pessimistic step of each task, 1 … T, smallest at a tie (T with
 * truncation off). Buffers that the objectives track (blo_model_track()) are updated, once, when all has succeeded;
 * nothing else of a model changes. Errors: the objectives' (ARGUMENT, SHAPE, DTYPE, STATE), BUDGET (with the least that
 * would do), NUMERIC (with the step, and with the task, from 0, where there are several), UNSUPPORTED (options.whole
 * on, several tasks; random numbers whose counter differs from task to task), MEMORY, BUILD, DEVICE. */
BLO_API blo_status blo_lower_optimize(blo_lower_solver *solver, blo_tensor *train_data, blo_tensor *train_target,
                                      blo_tensor *validate_data, blo_tensor *validate_target,
                                      blo_trajectory **trajectory, int *max_loss_iter);

/* --- the trajectory (the auxiliary model) --- */

/* NULL is allowed. */
BLO_API void blo_trajectory_destroy(blo_trajectory *trajectory);
BLO_API int blo_trajectory_steps(const blo_trajectory *trajectory); /* T */
/* F(x, y_k), k = 1 … T, into LOSSES [T][tasks] (NaN where acquire_max_loss was off), COUNT of them. No wait. Errors:
 * ARGUMENT, STATE. */
BLO_API blo_status blo_trajectory_losses(const blo_trajectory *trajectory, double *losses, int count);
/* Parameter NAME of y_k, 0 <= k <= T, into VALUES [COUNT], recomputed if its snapshot was thinned; of several tasks
 * [tasks, its shape]. Waits. Errors: ARGUMENT, SHAPE, STATE (no loop yet; what must be recomputed was changed since),
 * MEMORY, DEVICE, NUMERIC (flagged earlier). */
BLO_API blo_status blo_trajectory_get(blo_trajectory *trajectory, int k, const char *name, double *values,
                                      int64_t count);
/* The scalar OBJECTIVE(x, y_k) on DATA and TARGET, compiled once per objective, user and shapes, into VALUE [tasks]; of
 * several tasks DATA and TARGET have a first axis of tasks. Waits. Errors: the objective's (ARGUMENT, SHAPE, DTYPE),
 * STATE, BUDGET, MEMORY, BUILD, DEVICE, NUMERIC (flagged earlier). */
BLO_API blo_status blo_trajectory_evaluate(blo_trajectory *trajectory, int k, blo_objective objective, void *user,
                                           blo_tensor *data, blo_tensor *target, double *value);

typedef struct blo_trajectory_report {
    int snapshots;             /* states kept of the last loop, y_0 included */
    uint64_t snapshot_bytes;   /* of one state */
    uint64_t recomputed_steps; /* lower steps run again by sweeps since the loop, beyond the one each adjoint step
                                  contains */
    uint64_t loop_launches;    /* kernels enqueued by the last loop */
    uint64_t sweep_launches;   /* kernels enqueued by the last compute_gradients */
    int launches_per_step;     /* of one lower step, without F */
    int kept_steps;      /* steps beside whose snapshots the largest saving (a hidden layer, logits) can be kept, so
                            that the sweep need not compute it again */
    uint64_t kept_bytes; /* of all that is kept like this */
} blo_trajectory_report;
/* Of the last loop and what was swept of it; all 0 before the first. No wait. */
BLO_API void blo_trajectory_describe(const blo_trajectory *trajectory, blo_trajectory_report *report);

/* The scalar OBJECTIVE at the models' present parameters (the lower model both as y and as y_0), of one task whatever
 * was set: DATA and TARGET have no axis of tasks, and named inputs that are per task must have one. Waits. Errors: as
 * of blo_trajectory_evaluate(). */
BLO_API blo_status blo_lower_evaluate(blo_lower_solver *solver, blo_objective objective, void *user, blo_tensor *data,
                                      blo_tensor *target, double *value);

/* --- IAPTT-GM --- */

/* UPPER_OBJECTIVE F is traced with USER. Errors: ARGUMENT, STATE, MEMORY. Owner: the caller. */
BLO_API blo_status blo_iapttgm_create(blo_objective upper_objective, void *user, blo_model *upper_model,
                                      blo_model *lower_model, blo_iapttgm **method);
/* NULL is allowed. */
BLO_API void blo_iapttgm_destroy(blo_iapttgm *method);

/* Queues the truncated backward sweep and adds g_x into the upper model's gradients and g_z into the lower model's
 * (section 4.1 of the paper); changes no parameter. VALIDATE_DATA and VALIDATE_TARGET may differ from the loop's.
 * MAX_LOSS_ITER [tasks] of the trajectory, each 1 … T; of several tasks both tensors have a first axis of tasks, and
 * the gradients of all are added. UPPER_LOSS [tasks] (may be NULL): F at that step; waits only if the loop did not
 * compute it already. A NaN or an infinity in the sweep is flagged on the device, keeps the gradients as they
 * were, and is reported at the next wait. Errors: STATE (no loop yet, another solver's models, overwritten, x changed
 * since the loop), ARGUMENT, SHAPE, DTYPE, BUDGET, MEMORY, BUILD, DEVICE, NUMERIC (where it waits). */
BLO_API blo_status blo_iapttgm_compute_gradients(blo_iapttgm *method, blo_tensor *validate_data,
                                                 blo_tensor *validate_target, blo_trajectory *trajectory,
                                                 const int *max_loss_iter, double *upper_loss);

/* What blo_iapttgm_solve() tells after each upper iteration; returning false ends it there with BLO_OK. A small problem
 * runs many iterations in one launch and tells of them afterwards, in order: meanwhile models and optimizers are ahead
 * of what is told (by a batch of about 20 ms), and must not be read or changed from here; when solve returns they are
 * as after the last iteration that was told. */
typedef bool (*blo_progress)(int iteration, double upper_loss, int max_loss_iter, void *user);

/* ITERATIONS whole upper iterations: gradients cleared, loop, sweep, then a step of each of the N OPTIMIZERS. PROGRESS
 * may be NULL; of several tasks it is told the mean of F over them, each at its max_loss_iter, and the latest of these.
 * A small problem (options.whole) whose optimizers are of the two models runs many iterations in one launch, to the
 * same bits; the kernel is kept for calls that bring the same optimizers. Errors: those of the calls it stands for; the
 * models are then as after the last iteration that was told. */
BLO_API blo_status blo_iapttgm_solve(blo_iapttgm *method, blo_lower_solver *solver, int n,
                                     blo_optimizer *const *optimizers, blo_tensor *train_data, blo_tensor *train_target,
                                     blo_tensor *validate_data, blo_tensor *validate_target, int iterations,
                                     blo_progress progress, void *user);

#ifdef __cplusplus
}
#endif
#endif
