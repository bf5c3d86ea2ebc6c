/* Problems of several tasks, run at once and one after another: images of three tasks with a loop and a sweep of each
 * kind of objective that a lower solver knows. */
#ifndef BLO_TESTS_TASKS_H
#define BLO_TESTS_TASKS_H

#include <math.h>

#include "../support.h"
#include "bilevel/solver.h"

enum { TASKS = 3, STEPS = 6, TRAIN = 9, VALIDATE = 7, CHANNELS = 3, SIDE = 12, FILTERS = 8, CLASSES = 4 };
enum { IMAGE = CHANNELS * SIDE * SIDE, FEATURES = FILTERS * (SIDE / 2) * (SIDE / 2) };
enum { MOST_PARAMETERS = 8, MOST_VALUES = 8192 };

/* --- objectives, written for one task --- */

static inline blo_node *features_by(const blo_bound_model *model, blo_node *images) {
    blo_node *pooled =
        blo_max_pool2d(blo_model_conv2d(model, "conv", images, 1, 1, 1), (const int64_t[]){2, 2}, NULL, NULL);
    return blo_tanh(blo_reshape(pooled, 2, (const int64_t[]){-1, FEATURES}));
}

static inline blo_node *head_loss(const blo_state *s, blo_node *features, blo_reduction reduction) {
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", features), s->target, reduction);
}

static inline blo_node *plain(const blo_state *s, void *user) {
    (void)user;
    return head_loss(s, features_by(s->upper_model, s->data), BLO_REDUCE_MEAN);
}

/* Statistics are of one task's images. */
static inline blo_node *normalized(const blo_state *s, void *user) {
    (void)user;
    blo_node *features = features_by(s->upper_model, s->data);
    return head_loss(s, blo_batch_norm(features, NULL, NULL, 1e-5), BLO_REDUCE_MEAN);
}

static inline blo_node *far_from_start(const blo_state *s) {
    blo_node *y = blo_model_parameter(s->lower_model, "head.weight");
    return blo_sum(blo_square(blo_sub(y, blo_tanh(blo_model_parameter(s->initial_model, "head.weight")))));
}
static inline blo_node *near_lower(const blo_state *s, void *user) {
    return blo_add(plain(s, user), blo_scale(far_from_start(s), 0.05));
}
static inline blo_node *near_upper(const blo_state *s, void *user) {
    blo_node *start = blo_model_parameter(s->initial_model, "head.bias");
    return blo_add(plain(s, user), blo_scale(blo_sum(blo_mul(start, start)), 0.1));
}

/* x in every step, not only in what is computed from it alone; F contains x alone as well. */
static inline blo_node *hyper_lower(const blo_state *s, void *user) {
    blo_node *decay = blo_exp(blo_model_parameter(s->upper_model, "decay"));
    blo_node *squares = blo_square(blo_model_parameter(s->lower_model, "head.weight"));
    return blo_add(plain(s, user), blo_sum(blo_mul(decay, squares)));
}
static inline blo_node *hyper_upper(const blo_state *s, void *user) {
    blo_node *decay = blo_exp(blo_model_parameter(s->upper_model, "decay"));
    return blo_add(plain(s, user), blo_mul(blo_scale(far_from_start(s), 0.01), blo_mean(decay)));
}
/* F is what needs most memory. */
static inline blo_node *wide_upper(const blo_state *s, void *user) {
    blo_node *logits = blo_model_linear(s->lower_model, "head", features_by(s->upper_model, s->data));
    blo_node *decay = blo_exp(blo_model_parameter(s->upper_model, "decay"));
    blo_node *wide = blo_tanh(blo_mul(blo_reshape(logits, 3, (const int64_t[]){-1, CLASSES, 1}), decay));
    return blo_add(hyper_upper(s, user), blo_mean(wide));
}
static inline blo_node *learned_rate(const blo_state *s, void *user) {
    (void)user;
    return blo_exp(blo_model_parameter(s->upper_model, "rate"));
}

/* Inputs: shared or of each task, the same in all steps or not; dropout counts steps. */
static inline blo_node *inputs_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *features = blo_dropout(features_by(s->upper_model, s->data), 0.25, s->step, 7);
    blo_node *weight = blo_mul(blo_sigmoid(blo_state_input(s, "own")), blo_exp(blo_state_input(s, "own row")));
    blo_node *scale = blo_mul(blo_state_input(s, "all"), blo_state_input(s, "row"));
    return blo_mul(scale, blo_mean(blo_mul(weight, head_loss(s, features, BLO_REDUCE_NONE))));
}
static inline blo_node *inputs_upper(const blo_state *s, void *user) {
    return blo_mul(blo_state_input(s, "row"), blo_add(plain(s, user), blo_mean(blo_state_input(s, "own row"))));
}

/* A minibatch of each step and task. */
static inline blo_node *batches_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *rows = blo_state_input(s, "rows"), *features = features_by(s->upper_model, s->data);
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", blo_gather(features, rows)),
                             blo_gather(s->target, rows), BLO_REDUCE_MEAN);
}

/* The whole network is lower; x is nothing, or z itself. */
static inline blo_node *all_lower(const blo_state *s, void *user) {
    (void)user;
    return head_loss(s, features_by(s->lower_model, s->data), BLO_REDUCE_MEAN);
}
static inline blo_node *one_lower(const blo_state *s, void *user) {
    (void)user;
    return blo_add(head_loss(s, features_by(s->upper_model, s->data), BLO_REDUCE_MEAN),
                   blo_scale(all_lower(s, user), 0.5));
}

/* --- cases --- */

typedef enum sides { SIDES_BOTH, SIDES_LOWER, SIDES_ONE } sides;

typedef struct task_case {
    const char *name;
    blo_objective lower, upper;
    sides sides;
    void (*options)(blo_lower_options *options);
    bool inputs, rows;
} task_case;

static const task_case backbone = {.lower = plain, .upper = plain};

typedef struct scene {
    const task_case *kind;
    double cached; /* bytes of arrays from which on tasks run in turns; negative: as the solver has it */
    blo_context *context;
    blo_model *upper, *lower;
    double *images[2];   /* [TASKS][TRAIN or VALIDATE][CHANNELS][SIDE][SIDE] */
    int32_t *classes[2]; /* [TASKS][TRAIN or VALIDATE] */
    double own[TASKS][TRAIN], own_row[STEPS][TASKS][TRAIN], row[STEPS];
    int32_t rows[STEPS][TASKS][4];
    blo_tensor *all[4], *one[TASKS][4];
    blo_iapttgm *method;
    blo_lower_options options;
} scene;

static inline void fill(double *values, int n, uint64_t *seed) {
    for (int i = 0; i < n; i++)
        values[i] = next_number(seed);
}

/* Task by task the images are brighter: with one rate the losses of some fall, those of others rise. */
static inline void scene_data(scene *s) {
    uint64_t seed = 11;
    const int sizes[2] = {TRAIN, VALIDATE};
    for (int set = 0; set < 2; set++) {
        const int n = sizes[set];
        s->images[set] = malloc(sizeof(double) * (size_t)(TASKS * n * IMAGE));
        s->classes[set] = malloc(sizeof(int32_t) * (size_t)(TASKS * n));
        fill(s->images[set], TASKS * n * IMAGE, &seed);
        for (int i = 0; i < TASKS * n * IMAGE; i++)
            s->images[set][i] *= 0.25 + i / (n * IMAGE);
        for (int i = 0; i < TASKS * n; i++)
            s->classes[set][i] = (int32_t)((next_number(&seed) + 1.0) * 0.499 * CLASSES);
    }
    fill(&s->own[0][0], TASKS * TRAIN, &seed);
    fill(&s->own_row[0][0][0], STEPS * TASKS * TRAIN, &seed);
    for (int k = 0; k < STEPS; k++)
        s->row[k] = 1.0 + 0.3 * next_number(&seed);
    for (int i = 0; i < STEPS * TASKS * 4; i++)
        s->rows[i / (TASKS * 4)][i / 4 % TASKS][i % 4] = (int32_t)((next_number(&seed) + 1.0) * 0.499 * TRAIN);
}

static inline blo_tensor *tensor_of(blo_context *context, blo_dtype dtype, int rank, const int64_t *shape,
                                    const void *values) {
    blo_tensor *tensor = NULL;
    MUST(context, blo_tensor_create(context, dtype, rank, shape, values, &tensor));
    return tensor;
}

static inline void scene_tensors(scene *s) {
    const int sizes[2] = {TRAIN, VALIDATE};
    for (int i = 0; i < 4; i++) {
        const int64_t n = sizes[i / 2], images[] = {TASKS, n, CHANNELS, SIDE, SIDE}, classes[] = {TASKS, n};
        const bool target = i % 2 != 0;
        const int rank = target ? 2 : 5;
        const int64_t *shape = target ? classes : images;
        const blo_dtype dtype = target ? BLO_INT32 : BLO_DOUBLE;
        s->all[i] = tensor_of(s->context, dtype, rank, shape,
                              target ? (const void *)s->classes[i / 2] : (const void *)s->images[i / 2]);
        for (int task = 0; task < TASKS; task++)
            s->one[task][i] = tensor_of(s->context, dtype, rank - 1, shape + 1,
                                        target ? (const void *)(s->classes[i / 2] + task * n)
                                               : (const void *)(s->images[i / 2] + task * n * IMAGE));
    }
}

static inline void scene_models(scene *s) {
    MUST(s->context, blo_model_create(s->context, BLO_DOUBLE, &s->lower));
    MUST(s->context, blo_model_add_linear(s->lower, "head", FEATURES, CLASSES));
    blo_model *conv = s->lower;
    if (s->kind->sides == SIDES_BOTH) {
        MUST(s->context, blo_model_create(s->context, BLO_DOUBLE, &s->upper));
        MUST(s->context, blo_model_add(s->upper, "rate", 0, NULL));
        MUST(s->context, blo_model_add(s->upper, "decay", 1, (const int64_t[]){FEATURES}));
        MUST(s->context, blo_init_uniform(s->upper, "rate", -1.5, -1.5));
        MUST(s->context, blo_init_uniform(s->upper, "decay", -6, -3));
        conv = s->upper;
    } else if (s->kind->sides == SIDES_ONE)
        s->upper = s->lower;
    MUST(s->context, blo_model_add_conv2d(conv, "conv", CHANNELS, FILTERS, 3, 1, true));
}

static inline void open_scene(scene *s, const task_case *kind) {
    *s = (scene){.kind = kind, .cached = -1, .context = open_context(1)};
    scene_data(s);
    scene_tensors(s);
    scene_models(s);
    blo_lower_options_default(&s->options);
    s->options.lower_loop = STEPS;
    s->options.optimizer.learning_rate = 0.3;
    if (kind->options)
        kind->options(&s->options);
    MUST(s->context, blo_iapttgm_create(kind->upper, NULL, s->upper, s->lower, &s->method));
}

static inline void close_scene(scene *s) {
    blo_iapttgm_destroy(s->method);
    for (int i = 0; i < 4; i++) {
        blo_tensor_destroy(s->all[i]);
        for (int task = 0; task < TASKS; task++)
            blo_tensor_destroy(s->one[task][i]);
    }
    for (int set = 0; set < 2; set++) {
        free(s->images[set]);
        free(s->classes[set]);
    }
    if (s->upper != s->lower)
        blo_model_destroy(s->upper);
    blo_model_destroy(s->lower);
    blo_context_destroy(s->context);
}

/* --- inputs by name --- */

static inline void give(const scene *s, blo_lower_solver *solver, const char *name, bool per_step, bool per_task,
                        blo_tensor *tensor) {
    MUST(s->context, per_task ? blo_lower_solver_set_task_input(solver, name, tensor, per_step)
                              : blo_lower_solver_set_input(solver, name, tensor, per_step));
    blo_tensor_destroy(tensor);
}

/* Of all tasks (TASK < 0), or of one: there as shared inputs. */
static inline void give_inputs(const scene *s, blo_lower_solver *solver, int task) {
    const bool all = task < 0;
    const double half = 0.5;
    double own_row[STEPS][TRAIN];
    int32_t rows[STEPS][4];
    for (int k = 0; k < STEPS && !all; k++) {
        memcpy(own_row[k], s->own_row[k][task], sizeof own_row[k]);
        memcpy(rows[k], s->rows[k][task], sizeof rows[k]);
    }
    blo_context *c = s->context;
    if (s->kind->rows)
        give(s, solver, "rows", true, all,
             all ? tensor_of(c, BLO_INT32, 3, (const int64_t[]){STEPS, TASKS, 4}, s->rows)
                 : tensor_of(c, BLO_INT32, 2, (const int64_t[]){STEPS, 4}, rows));
    if (!s->kind->inputs)
        return;
    give(s, solver, "all", false, false, tensor_of(c, BLO_DOUBLE, 0, NULL, &half));
    give(s, solver, "row", true, false, tensor_of(c, BLO_DOUBLE, 1, (const int64_t[]){STEPS}, s->row));
    give(s, solver, "own", false, all,
         all ? tensor_of(c, BLO_DOUBLE, 2, (const int64_t[]){TASKS, TRAIN}, s->own)
             : tensor_of(c, BLO_DOUBLE, 1, (const int64_t[]){TRAIN}, s->own[task]));
    give(s, solver, "own row", true, all,
         all ? tensor_of(c, BLO_DOUBLE, 3, (const int64_t[]){STEPS, TASKS, TRAIN}, s->own_row)
             : tensor_of(c, BLO_DOUBLE, 2, (const int64_t[]){STEPS, TRAIN}, own_row));
}

/* --- what is compared --- */

typedef struct outcome {
    int chosen[TASKS];
    double losses[STEPS][TASKS], upper_loss[TASKS];
    double states[2][TASKS * FEATURES * CLASSES]; /* head.weight of y_2 and y_T */
    int n;
    double gradients[MOST_VALUES]; /* of all parameters, then */
    int ends[2 * MOST_PARAMETERS], n_ends;
} outcome;

static inline void clear_gradients(const scene *s) {
    MUST(s->context, blo_model_zero_gradients(s->lower));
    if (s->upper)
        MUST(s->context, blo_model_zero_gradients(s->upper));
}

static inline void read_gradients(const scene *s, outcome *out) {
    blo_model *models[] = {s->lower, s->upper == s->lower ? NULL : s->upper};
    out->n = out->n_ends = 0;
    for (int m = 0; m < 2; m++)
        for (int i = 0; models[m] && i < blo_model_count(models[m]); i++) {
            const char *name = blo_model_name(models[m], i);
            const int64_t count = blo_tensor_count(blo_model_value(models[m], name));
            ck_assert_int_le(out->n + count, MOST_VALUES);
            MUST(s->context, blo_model_get_gradient(models[m], name, out->gradients + out->n, count));
            out->n += (int)count;
            out->ends[out->n_ends++] = out->n;
        }
}

/* Each parameter's gradients to 1e-12 of the largest of them. */
static inline void same_gradients(const char *name, const outcome *got, const outcome *wanted) {
    ck_assert_int_eq(got->n, wanted->n);
    for (int i = 0, p = 0; p < wanted->n_ends; p++) {
        double largest = 0;
        for (int j = i; j < wanted->ends[p]; j++)
            largest = fmax(largest, fabs(wanted->gradients[j]));
        for (; i < wanted->ends[p]; i++)
            ck_assert_msg(fabs(got->gradients[i] - wanted->gradients[i]) <= 1e-12 * largest,
                          "%s: gradient %d of parameter %d is %.17g, want %.17g", name, i, p, got->gradients[i],
                          wanted->gradients[i]);
    }
}

/* A NaN stands for a loss that was not evaluated. */
static inline void same_loss(const char *name, double got, double wanted) {
    ck_assert_msg(isnan(wanted) ? isnan(got) : fabs(got - wanted) <= 1e-12 * fabs(wanted),
                  "%s: a loss of %.17g, want %.17g", name, got, wanted);
}

static inline void same_losses(const char *name, const outcome *got, const outcome *wanted) {
    for (int task = 0; task < TASKS; task++) {
        ck_assert_msg(got->chosen[task] == wanted->chosen[task], "%s: max_loss_iter of task %d is %d, want %d", name,
                      task, got->chosen[task], wanted->chosen[task]);
        for (int k = 0; k < STEPS; k++)
            same_loss(name, got->losses[k][task], wanted->losses[k][task]);
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < TASKS * FEATURES * CLASSES; j++)
            ck_assert_double_eq_tol(got->states[i][j], wanted->states[i][j], 1e-12);
}

/* --- loops and sweeps --- */

static inline blo_lower_solver *open_solver(const scene *s, int tasks, uint64_t budget) {
    blo_lower_solver *solver = NULL;
    blo_lower_options options = s->options;
    options.memory_budget = budget;
    MUST(s->context,
         blo_lower_solver_create(s->kind->lower, s->kind->upper, NULL, s->upper, s->lower, &options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, tasks));
    if (s->cached >= 0)
        solver->cached = s->cached;
    return solver;
}

/* Loops of all tasks, ONE after another or at once. */
static inline void run_loops(const scene *s, blo_lower_solver *solver, bool one, blo_trajectory **trajectories,
                             outcome *out) {
    blo_tensor *const *t = s->all;
    const int n_states = FEATURES * CLASSES;
    const int64_t count = one ? n_states : TASKS * n_states;
    for (int task = 0; task < (one ? TASKS : 1); task++) {
        double losses[STEPS * TASKS];
        if (one)
            t = s->one[task];
        give_inputs(s, solver, one ? task : -1);
        MUST(s->context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectories[task], &out->chosen[task]));
        MUST(s->context, blo_trajectory_losses(trajectories[task], losses, one ? STEPS : STEPS * TASKS));
        if (!one)
            memcpy(out->losses, losses, sizeof losses);
        for (int k = 0; one && k < STEPS; k++)
            out->losses[k][task] = losses[k];
        for (int i = 0; i < 2; i++)
            MUST(s->context, blo_trajectory_get(trajectories[task], i == 0 ? 2 : STEPS, "head.weight",
                                                out->states[i] + task * n_states, count));
    }
}

/* The sweeps from CHOSEN, at validation data or, where OTHER, at the training data, which the loop did not evaluate. */
static inline blo_status run_sweeps(const scene *s, bool one, bool other, blo_trajectory *const *trajectories,
                                    const int *chosen, outcome *out) {
    clear_gradients(s);
    blo_status status = BLO_OK;
    for (int task = 0; task < (one ? TASKS : 1) && status == BLO_OK; task++) {
        blo_tensor *const *t = (one ? s->one[task] : s->all) + (other ? 0 : 2);
        status = blo_iapttgm_compute_gradients(s->method, t[0], t[1], trajectories[task], chosen + task,
                                               out->upper_loss + task);
    }
    if (status == BLO_OK)
        read_gradients(s, out);
    return status;
}

static const int forced[][TASKS] = {{1, STEPS, 3}, {STEPS, STEPS, STEPS}, {1, 1, 1}, {4, 2, 4}, {2, 5, 1}};
enum { FORCED = sizeof forced / sizeof forced[0] };

static inline void forget(blo_trajectory **trajectories) {
    for (int task = 0; task < TASKS; task++)
        blo_trajectory_destroy(trajectories[task]);
}

#endif
