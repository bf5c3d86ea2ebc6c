/* Several tasks at once are the same as one after another: losses, each task's own max_loss_iter, states,
 * hypergradients from whatever steps, at every budget; a task that has left the sweep spoils nothing; after the first
 * loop nothing is made again; shapes that do not fit are told. */
#include "bilevel/solver.h"
#include "tasks.h"

/* --- at once and one after another --- */

/* Whether loops of several tasks run in turns: those of one solver as it decides itself, of another always, as where
 * arrays leave a CPU's cache. */
static blo_lower_solver *open_solver(const scene *s, int tasks, uint64_t budget) {
    blo_lower_solver *solver = NULL;
    blo_lower_options options = s->options;
    options.memory_budget = budget;
    MUST(s->context,
         blo_lower_solver_create(s->kind->lower, s->kind->upper, NULL, s->upper, s->lower, &options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, tasks));
    if (s->turns)
        solver->cached = 0;
    return solver;
}

/* Loops of all tasks, ONE after another or at once. */
static void run_loops(const scene *s, blo_lower_solver *solver, bool one, blo_trajectory **trajectories, outcome *out) {
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
static blo_status run_sweeps(const scene *s, bool one, bool other, blo_trajectory *const *trajectories,
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

static void check_sweeps(const scene *s, blo_trajectory *const *at_once, blo_trajectory *const *after, const int *from,
                         bool other) {
    static outcome got, wanted;
    char name[128];
    snprintf(name, sizeof name, "%s from %d %d %d%s", s->kind->name, from[0], from[1], from[2],
             other ? " at other data" : "");
    MUST(s->context, run_sweeps(s, true, other, after, from, &wanted));
    MUST(s->context, run_sweeps(s, false, other, at_once, from, &got));
    same_gradients(name, &got, &wanted);
    for (int task = 0; task < TASKS; task++)
        same_loss(name, got.upper_loss[task], wanted.upper_loss[task]);
}

static void forget(blo_trajectory **trajectories) {
    for (int task = 0; task < TASKS; task++)
        blo_trajectory_destroy(trajectories[task]);
}

static void check_case(const task_case *kind, bool turns) {
    static outcome got, wanted;
    blo_trajectory *at_once[TASKS] = {NULL}, *after[TASKS] = {NULL};
    scene s;
    open_scene(&s, kind);
    s.turns = turns;
    blo_lower_solver *one = open_solver(&s, 1, 0), *all = open_solver(&s, TASKS, 0);
    run_loops(&s, one, true, after, &wanted);
    run_loops(&s, all, false, at_once, &got);
    MUST(s.context, run_sweeps(&s, true, false, after, wanted.chosen, &wanted));
    MUST(s.context, run_sweeps(&s, false, false, at_once, got.chosen, &got));
    same_losses(kind->name, &got, &wanted);
    same_gradients(kind->name, &got, &wanted);
    for (int i = 0; i < FORCED; i++)
        check_sweeps(&s, at_once, after, forced[i], false);
    if (!kind->inputs) /* whose weights are of so many training images */
        check_sweeps(&s, at_once, after, forced[0], true);
    forget(at_once);
    forget(after);
    blo_lower_solver_destroy(one);
    blo_lower_solver_destroy(all);
    close_scene(&s);
}

/* --- the cases --- */

static void unhoisted(blo_lower_options *options) {
    options->hoisting = false;
}
static void momentum(blo_lower_options *options) {
    options->optimizer.momentum = 0.8;
    options->optimizer.nesterov = true;
}
static void adam(blo_lower_options *options) {
    blo_optimizer_options_default(&options->optimizer, BLO_ADAM);
    options->optimizer.learning_rate = 0.02;
}
static void box(blo_lower_options *options) {
    options->projection = BLO_PROJECT_BOX;
    options->box_lo = -0.06;
    options->box_hi = 0.05;
}
static void ball(blo_lower_options *options) {
    options->projection = BLO_PROJECT_BALL;
    options->ball_radius = 1.2;
}
static void with_learned_rate(blo_lower_options *options) {
    options->learning_rate = learned_rate;
}
static void unrolled(blo_lower_options *options) {
    options->truncation = options->acquire_max_loss = false;
}
static void without_start(blo_lower_options *options) {
    options->initialization_auxiliary = false;
}
static void calm(blo_lower_options *options) {
    options->optimizer.learning_rate = 0.05;
}

static const task_case cases[] = {
    {.name = "backbone", .lower = plain, .upper = plain},
    {.name = "batch norm", .lower = normalized, .upper = normalized, .options = calm},
    {.name = "y_0 in f and F", .lower = near_lower, .upper = near_upper},
    {.name = "x in every step", .lower = hyper_lower, .upper = hyper_upper, .options = with_learned_rate},
    {.name = "not hoisted", .lower = plain, .upper = plain, .options = unhoisted},
    {.name = "momentum", .lower = plain, .upper = plain, .options = momentum},
    {.name = "Adam", .lower = hyper_lower, .upper = plain, .options = adam},
    {.name = "box", .lower = plain, .upper = hyper_upper, .options = box},
    {.name = "ball", .lower = near_lower, .upper = plain, .options = ball},
    {.name = "inputs", .lower = inputs_lower, .upper = inputs_upper, .inputs = true},
    {.name = "minibatches", .lower = batches_lower, .upper = plain, .rows = true},
    {.name = "all lower", .lower = all_lower, .upper = all_lower, .sides = SIDES_LOWER, .options = calm},
    {.name = "one model", .lower = one_lower, .upper = all_lower, .sides = SIDES_ONE, .options = calm},
    {.name = "one model, not hoisted",
     .lower = one_lower,
     .upper = one_lower,
     .sides = SIDES_ONE,
     .options = unhoisted},
    {.name = "unrolled", .lower = plain, .upper = plain, .options = unrolled},
    {.name = "z not learned", .lower = near_lower, .upper = near_upper, .options = without_start},
};

START_TEST(at_once_is_one_after_another) {
    check_case(&cases[_i], false);
}
END_TEST

START_TEST(in_turns_too) {
    check_case(&cases[_i], true);
}
END_TEST

/* --- budgets --- */

/* A loop and two sweeps under BUDGET. */
static blo_status run_under(const scene *s, uint64_t budget, outcome out[2], blo_trajectory_report *report) {
    blo_lower_solver *solver = open_solver(s, TASKS, budget);
    blo_trajectory *trajectory = NULL;
    blo_tensor *const *t = s->all;
    blo_status status = blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, out[0].chosen);
    for (int i = 0; i < 2 && status == BLO_OK; i++)
        status = run_sweeps(s, false, false, &trajectory, forced[i == 0 ? 4 : 0], &out[i]);
    blo_trajectory_describe(trajectory, report);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    return status;
}

START_TEST(every_budget_gives_the_same_bits) {
    static outcome whole[2], some[2];
    static const task_case kind = {.lower = all_lower, .upper = all_lower, .sides = SIDES_LOWER, .options = calm};
    blo_trajectory_report report;
    scene s;
    int least = STEPS + 1, ran = 0;
    bool partly_kept = false;
    open_scene(&s, &kind);
    MUST(s.context, run_under(&s, 0, whole, &report));
    ck_assert_int_eq(report.snapshots, STEPS + 1);
    ck_assert_int_eq(report.kept_steps, STEPS);
    for (uint64_t budget = 200000; budget < 6000000; budget += budget / 16) {
        blo_status status = run_under(&s, budget, some, &report);
        if (status == BLO_ERROR_BUDGET)
            continue;
        MUST(s.context, status);
        for (int i = 0; i < 2; i++)
            ck_assert_mem_eq(some[i].gradients, whole[i].gradients, sizeof whole[i].gradients);
        least = report.snapshots < least ? report.snapshots : least;
        partly_kept = partly_kept || (report.kept_steps > 0 && report.kept_steps < STEPS);
        ran++;
    }
    ck_assert_int_le(least, 3);
    ck_assert_int_gt(ran, 5);
    ck_assert(partly_kept);
    close_scene(&s);
}
END_TEST

/* --- a task that has left the sweep --- */

/* Parameter b of task 0 and of task 2 is soon infinite, then no number; F does not contain it. */
static blo_node *steep_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *a = blo_model_parameter(s->lower_model, "a"), *b = blo_model_parameter(s->lower_model, "b");
    blo_node *x = blo_model_parameter(s->upper_model, "x");
    return blo_add(blo_sum(blo_square(blo_mul(x, blo_sub(a, s->data)))),
                   blo_mul(s->target, blo_sum(blo_mul(x, blo_square(blo_square(b))))));
}
static blo_node *steep_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_sum(blo_square(blo_sub(blo_model_parameter(s->lower_model, "a"), s->data)));
}

enum { STEEP = 12 };

typedef struct steep {
    blo_context *context;
    blo_model *upper, *lower;
    blo_lower_options options;
} steep;

static void open_steep(steep *s) {
    static const double far[2] = {5.0, 6.0}, some[2] = {0.7, 0.9};
    const int64_t shape[1] = {2};
    *s = (steep){.context = open_context(0)};
    MUST(s->context, blo_model_create(s->context, BLO_DOUBLE, &s->upper));
    MUST(s->context, blo_model_create(s->context, BLO_DOUBLE, &s->lower));
    MUST(s->context, blo_model_add(s->upper, "x", 1, shape));
    MUST(s->context, blo_model_add(s->lower, "a", 1, shape));
    MUST(s->context, blo_model_add(s->lower, "b", 1, shape));
    MUST(s->context, blo_model_set(s->upper, "x", some, 2));
    MUST(s->context, blo_model_set(s->lower, "b", far, 2));
    blo_lower_options_default(&s->options);
    s->options.lower_loop = STEEP;
}

/* Tasks FIRST … FIRST + TASKS - 1 at once, added to the gradients. */
static void run_steep(steep *s, int first, int tasks, const int *chosen) {
    static const double data[TASKS][2] = {{0.3, -0.4}, {0.1, 0.8}, {-0.5, 0.2}},
                        other[TASKS][2] = {{1, 2}, {3, 1}, {0, 1}}, steepness[TASKS] = {1, 0, 0.7};
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectory = NULL;
    double values[TASKS * 2];
    const int more = tasks > 1;
    const int64_t shape[2] = {tasks, 2}, *vector = shape + !more;
    blo_tensor *t[3] = {tensor_of(s->context, BLO_DOUBLE, 1 + more, vector, data[first]),
                        tensor_of(s->context, BLO_DOUBLE, more, shape, steepness + first),
                        tensor_of(s->context, BLO_DOUBLE, 1 + more, vector, other[first])};
    MUST(s->context, blo_lower_solver_create(steep_lower, steep_upper, NULL, s->upper, s->lower, &s->options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, tasks));
    MUST(s->context, blo_iapttgm_create(steep_upper, NULL, s->upper, s->lower, &method));
    MUST(s->context, blo_lower_optimize(solver, t[0], t[1], t[2], NULL, &trajectory, NULL));
    MUST(s->context, blo_trajectory_get(trajectory, STEEP, "b", values, tasks * 2));
    ck_assert(first == 1 || isnan(values[0]));
    MUST(s->context, blo_iapttgm_compute_gradients(method, t[2], NULL, trajectory, chosen, NULL));
    MUST(s->context, blo_context_finish(s->context));
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    for (int i = 0; i < 3; i++)
        blo_tensor_destroy(t[i]);
}

static void read_steep(steep *s, double *gradients) {
    MUST(s->context, blo_model_get_gradient(s->upper, "x", gradients, 2));
    MUST(s->context, blo_model_get_gradient(s->lower, "a", gradients + 2, 2));
    MUST(s->context, blo_model_get_gradient(s->lower, "b", gradients + 4, 2));
    MUST(s->context, blo_model_zero_gradients(s->upper));
    MUST(s->context, blo_model_zero_gradients(s->lower));
}

START_TEST(a_task_that_left_spoils_nothing) {
    const int chosen[TASKS] = {2, STEEP, 3};
    double wanted[6], got[6];
    steep s;
    open_steep(&s);
    for (int task = 0; task < TASKS; task++)
        run_steep(&s, task, 1, chosen + task);
    read_steep(&s, wanted);
    run_steep(&s, 0, TASKS, chosen);
    read_steep(&s, got);
    for (int i = 0; i < 6; i++) {
        ck_assert(isfinite(wanted[i]));
        ck_assert_double_eq_tol(got[i], wanted[i], 1e-12);
    }
    ck_assert_double_gt(fabs(wanted[0]), 1e-3);
    blo_model_destroy(s.upper);
    blo_model_destroy(s.lower);
    blo_context_destroy(s.context);
}
END_TEST

/* A sweep that meets a NaN in a task that is swept keeps the gradients and is told at the next wait; F that is none
 * names its task. */
START_TEST(what_is_not_finite_is_told) {
    const int beyond[TASKS] = {STEEP, 2, 2};
    double gradients[6];
    steep s;
    open_steep(&s);
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    blo_iapttgm *method = NULL;
    double data[TASKS][2] = {{0.3, -0.4}, {0.1, 0.8}, {-0.5, 0.2}};
    blo_tensor *t[2] = {tensor_of(s.context, BLO_DOUBLE, 2, (const int64_t[]){TASKS, 2}, data),
                        tensor_of(s.context, BLO_DOUBLE, 1, (const int64_t[]){TASKS}, (const double[]){1, 0, 1})};
    MUST(s.context, blo_lower_solver_create(steep_lower, steep_upper, NULL, s.upper, s.lower, &s.options, &solver));
    MUST(s.context, blo_lower_solver_set_tasks(solver, TASKS));
    MUST(s.context, blo_iapttgm_create(steep_upper, NULL, s.upper, s.lower, &method));
    MUST(s.context, blo_lower_optimize(solver, t[0], t[1], t[0], NULL, &trajectory, NULL));
    MUST(s.context, blo_iapttgm_compute_gradients(method, t[0], NULL, trajectory, beyond, NULL));
    ck_assert_int_eq(blo_context_finish(s.context), BLO_ERROR_NUMERIC);
    read_steep(&s, gradients);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(gradients[i], 0);
    data[2][1] = INFINITY;
    MUST(s.context, blo_tensor_upload(t[0], data, sizeof data));
    MUST_FAIL(s.context, BLO_ERROR_NUMERIC, "of task 2 (of 0 ... 2) is not finite at lower step 1",
              blo_lower_optimize(solver, t[0], t[1], t[0], NULL, &trajectory, NULL));
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    blo_tensor_destroy(t[0]);
    blo_tensor_destroy(t[1]);
    blo_model_destroy(s.upper);
    blo_model_destroy(s.lower);
    blo_context_destroy(s.context);
}
END_TEST

/* --- one solver for one task and for many --- */

static const task_case backbone = {.lower = plain, .upper = plain};

static blo_node *accuracy(const blo_state *s, void *user) {
    (void)user;
    return blo_accuracy(blo_model_linear(s->lower_model, "head", features_by(s->upper_model, s->data)), s->target);
}

/* The same trajectory holds what one task left, then what all did. */
START_TEST(a_solver_changes_its_number_of_tasks) {
    static outcome first, all, again;
    blo_trajectory *trajectories[TASKS] = {NULL}, *one = NULL;
    double value[TASKS], alone;
    scene s;
    open_scene(&s, &backbone);
    blo_lower_solver *solver = open_solver(&s, TASKS, 0);
    run_loops(&s, solver, false, trajectories, &first);
    MUST(s.context, blo_trajectory_evaluate(trajectories[0], 3, accuracy, NULL, s.all[2], s.all[3], value));
    MUST(s.context, run_sweeps(&s, false, false, trajectories, first.chosen, &first));
    MUST(s.context, blo_lower_solver_set_tasks(solver, 1));
    for (int task = 0; task < TASKS; task++) {
        blo_tensor *const *t = s.one[task];
        MUST(s.context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &one, NULL));
        MUST(s.context, blo_trajectory_evaluate(one, 3, accuracy, NULL, t[2], t[3], &alone));
        ck_assert_double_eq(alone, value[task]);
    }
    /* a trajectory keeps its number; one that is used again gets the solver's */
    MUST(s.context, run_sweeps(&s, false, false, trajectories, first.chosen, &all));
    ck_assert_mem_eq(all.gradients, first.gradients, sizeof all.gradients);
    MUST(s.context, blo_lower_solver_set_tasks(solver, TASKS));
    run_loops(&s, solver, false, &one, &again);
    MUST(s.context, run_sweeps(&s, false, false, &one, again.chosen, &again));
    ck_assert_mem_eq(again.gradients, first.gradients, sizeof again.gradients);
    ck_assert_mem_eq(again.losses, first.losses, sizeof again.losses);
    blo_trajectory_destroy(one);
    forget(trajectories);
    blo_lower_solver_destroy(solver);
    close_scene(&s);
}
END_TEST

/* --- warm starts --- */

static void warm(blo_lower_options *options) {
    options->initialization_auxiliary = false;
    options->warm_start = true;
}

START_TEST(every_task_starts_from_its_own_last_state) {
    static outcome got, wanted;
    static const task_case kind = {.lower = near_lower, .upper = near_upper, .options = warm};
    blo_trajectory *at_once[TASKS] = {NULL}, *after[TASKS] = {NULL};
    scene s;
    open_scene(&s, &kind);
    blo_lower_solver *all = open_solver(&s, TASKS, 0), *one[TASKS];
    for (int task = 0; task < TASKS; task++)
        one[task] = open_solver(&s, 1, 0);
    for (int round = 0; round < 3; round++) {
        clear_gradients(&s);
        for (int task = 0; task < TASKS; task++) {
            blo_tensor *const *t = s.one[task];
            MUST(s.context, blo_lower_optimize(one[task], t[0], t[1], t[2], t[3], &after[task], &wanted.chosen[task]));
            MUST(s.context, blo_iapttgm_compute_gradients(s.method, t[2], t[3], after[task], &wanted.chosen[task],
                                                          &wanted.upper_loss[task]));
        }
        read_gradients(&s, &wanted);
        run_loops(&s, all, false, at_once, &got);
        MUST(s.context, run_sweeps(&s, false, false, at_once, got.chosen, &got));
        same_gradients("warm start", &got, &wanted);
        for (int task = 0; task < TASKS; task++)
            same_loss("warm start", got.upper_loss[task], wanted.upper_loss[task]);
    }
    /* another number of tasks: from z again, as a new solver */
    double losses[STEPS], fresh[STEPS];
    blo_tensor *const *t = s.one[0];
    blo_lower_solver *made = open_solver(&s, 1, 0);
    MUST(s.context, blo_lower_solver_set_tasks(all, 1));
    MUST(s.context, blo_lower_optimize(all, t[0], t[1], t[2], t[3], &at_once[0], NULL));
    MUST(s.context, blo_trajectory_losses(at_once[0], losses, STEPS));
    MUST(s.context, blo_lower_optimize(made, t[0], t[1], t[2], t[3], &at_once[1], NULL));
    MUST(s.context, blo_trajectory_losses(at_once[1], fresh, STEPS));
    ck_assert_mem_eq(losses, fresh, sizeof losses);
    forget(at_once);
    forget(after);
    for (int task = 0; task < TASKS; task++)
        blo_lower_solver_destroy(one[task]);
    blo_lower_solver_destroy(made);
    blo_lower_solver_destroy(all);
    close_scene(&s);
}
END_TEST

/* --- running statistics --- */

enum { STATISTICS = FEATURES + CLASSES };

/* Of the features, which are the same for a whole loop, and, where USER is given, of the logits, which are not. */
static blo_node *tracked(const blo_state *s, const bool *moving, double momentum) {
    blo_node *features = features_by(s->upper_model, s->data),
             *logits = blo_model_linear(s->lower_model, "head", features);
    const int rows = 0;
    blo_model_track(s->upper_model, "features", blo_sum_axes(features, 1, &rows, false), momentum);
    if (*moving) {
        blo_model_track(s->lower_model, "logits", blo_sum_axes(logits, 1, &rows, false), momentum);
        blo_model_track(s->upper_model, "features", blo_square(blo_sum_axes(features, 1, &rows, false)), 0.2);
    }
    return blo_cross_entropy(logits, s->target, BLO_REDUCE_MEAN);
}
static blo_node *tracked_lower(const blo_state *s, void *user) {
    return tracked(s, user, 0.1);
}
static blo_node *tracked_upper(const blo_state *s, void *user) {
    return tracked(s, user, 0.3);
}

/* Two loops of TASKS tasks at once, or of each, from buffers of zeros. */
static void run_tracked(const scene *s, bool *moving, bool one, double buffers[STATISTICS]) {
    static const double zeros[FEATURES];
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    MUST(s->context, blo_model_set(s->upper, "features", zeros, FEATURES));
    MUST(s->context, blo_model_set(s->lower, "logits", zeros, CLASSES));
    MUST(s->context,
         blo_lower_solver_create(tracked_lower, tracked_upper, moving, s->upper, s->lower, &s->options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, one ? 1 : TASKS));
    for (int round = 0; round < 2; round++)
        for (int task = 0; task < (one ? TASKS : 1); task++) {
            blo_tensor *const *t = one ? s->one[task] : s->all;
            MUST(s->context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, NULL));
        }
    MUST(s->context, blo_model_get(s->upper, "features", buffers, FEATURES));
    MUST(s->context, blo_model_get(s->lower, "logits", buffers + FEATURES, CLASSES));
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
}

START_TEST(running_statistics_follow_one_task_after_another) {
    double wanted[STATISTICS], got[STATISTICS];
    scene s;
    open_scene(&s, &backbone);
    MUST(s.context, blo_model_add_buffer(s.upper, "features", 1, (const int64_t[]){FEATURES}));
    MUST(s.context, blo_model_add_buffer(s.lower, "logits", 1, (const int64_t[]){CLASSES}));
    for (int hoisting = 0; hoisting < 2; hoisting++)
        for (int i = 0; i < 2; i++) {
            bool moving = i != 0;
            double largest = 0;
            s.options.hoisting = hoisting;
            s.options.acquire_max_loss = !moving || hoisting;
            run_tracked(&s, &moving, true, wanted);
            run_tracked(&s, &moving, false, got);
            for (int j = 0; j < STATISTICS; j++)
                largest = fmax(largest, fabs(wanted[j]));
            for (int j = 0; j < STATISTICS; j++)
                ck_assert_msg(fabs(got[j] - wanted[j]) <= 1e-12 * largest, "statistic %d is %.17g, want %.17g", j,
                              got[j], wanted[j]);
            ck_assert_double_gt(fabs(wanted[FEATURES - 1]), 0);
            ck_assert(moving == (wanted[FEATURES] != 0));
        }
    close_scene(&s);
}
END_TEST

/* --- what it takes --- */

static blo_statistics statistics_of(const blo_context *context) {
    blo_statistics statistics;
    blo_context_statistics(context, &statistics);
    return statistics;
}

/* After the first loop nothing is traced, built or allocated, whatever the tasks choose; a loop waits once, a sweep
 * whose losses are known does not; the launches are nearer those of one task than those of all. */
START_TEST(a_batch_costs_the_launches_of_one_task) {
    static outcome out;
    blo_trajectory *at_once = NULL, *one = NULL;
    blo_trajectory_report all_report, one_report;
    scene s;
    const int chosen = STEPS;
    open_scene(&s, &backbone);
    blo_lower_solver *all = open_solver(&s, TASKS, 0), *single = open_solver(&s, 1, 0);
    blo_tensor *const *t = s.all, *const *u = s.one[0];
    for (int i = 0; i < FORCED; i++) {
        const blo_statistics before = statistics_of(s.context);
        MUST(s.context, blo_lower_optimize(all, t[0], t[1], t[2], t[3], &at_once, out.chosen));
        const blo_statistics between = statistics_of(s.context);
        MUST(s.context, blo_iapttgm_compute_gradients(s.method, t[2], t[3], at_once, forced[i], out.upper_loss));
        const blo_statistics after = statistics_of(s.context);
        ck_assert_uint_eq(between.waits - before.waits, 1);
        ck_assert_uint_eq(after.waits, between.waits);
        if (i == 0)
            continue;
        ck_assert_uint_eq(after.traces, before.traces);
        ck_assert_uint_eq(after.kernels_built, before.kernels_built);
        ck_assert_uint_eq(after.allocations, before.allocations);
    }
    MUST(s.context, blo_iapttgm_compute_gradients(s.method, t[2], t[3], at_once, forced[1], NULL));
    MUST(s.context, blo_lower_optimize(single, u[0], u[1], u[2], u[3], &one, NULL));
    MUST(s.context, blo_iapttgm_compute_gradients(s.method, u[2], u[3], one, &chosen, NULL));
    blo_trajectory_describe(at_once, &all_report);
    blo_trajectory_describe(one, &one_report);
    ck_assert_uint_lt(all_report.loop_launches, 2 * one_report.loop_launches);
    ck_assert_uint_lt(all_report.sweep_launches, 2 * one_report.sweep_launches);
    blo_trajectory_destroy(at_once);
    blo_trajectory_destroy(one);
    blo_lower_solver_destroy(all);
    blo_lower_solver_destroy(single);
    close_scene(&s);
}
END_TEST

/* --- whole iterations --- */

enum { ITERATIONS = 3 };

typedef struct told {
    int n, chosen[ITERATIONS];
    double losses[ITERATIONS];
} told;

static bool note(int iteration, double upper_loss, int max_loss_iter, void *user) {
    told *t = user;
    t->chosen[iteration] = max_loss_iter;
    t->losses[iteration] = upper_loss;
    t->n++;
    return true;
}

/* The optimizer has no state: the calls one by one, from the same x, are the same iterations. */
START_TEST(whole_iterations_tell_the_mean) {
    enum { COUNT = FILTERS * CHANNELS * 9 };
    double start[COUNT], solved[COUNT], stepped[COUNT], bias[FILTERS];
    told got = {0};
    blo_trajectory *trajectory = NULL;
    blo_optimizer *optimizer = NULL;
    scene s;
    open_scene(&s, &backbone);
    blo_lower_solver *solver = open_solver(&s, TASKS, 0);
    blo_tensor *const *t = s.all;
    MUST(s.context, blo_optimizer_create(s.upper, NULL, &optimizer));
    MUST(s.context, blo_model_get(s.upper, "conv.weight", start, COUNT));
    MUST(s.context, blo_model_get(s.upper, "conv.bias", bias, FILTERS));
    MUST(s.context, blo_iapttgm_solve(s.method, solver, 1, &optimizer, t[0], t[1], t[2], t[3], ITERATIONS, note, &got));
    ck_assert_int_eq(got.n, ITERATIONS);
    MUST(s.context, blo_model_get(s.upper, "conv.weight", solved, COUNT));
    ck_assert_mem_ne(solved, start, sizeof start);
    MUST(s.context, blo_model_set(s.upper, "conv.weight", start, COUNT));
    MUST(s.context, blo_model_set(s.upper, "conv.bias", bias, FILTERS));
    for (int i = 0; i < ITERATIONS; i++) {
        double loss[TASKS], sum = 0;
        int chosen[TASKS], latest = 0;
        clear_gradients(&s);
        MUST(s.context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, chosen));
        MUST(s.context, blo_iapttgm_compute_gradients(s.method, t[2], t[3], trajectory, chosen, loss));
        for (int task = 0; task < TASKS; task++) {
            sum += loss[task];
            latest = chosen[task] > latest ? chosen[task] : latest;
        }
        ck_assert_double_eq(got.losses[i], sum / TASKS);
        ck_assert_int_eq(got.chosen[i], latest);
        MUST(s.context, blo_optimizer_step(optimizer));
    }
    MUST(s.context, blo_model_get(s.upper, "conv.weight", stepped, COUNT));
    ck_assert_mem_eq(stepped, solved, sizeof solved);
    blo_trajectory_destroy(trajectory);
    blo_optimizer_destroy(optimizer);
    blo_lower_solver_destroy(solver);
    close_scene(&s);
}
END_TEST

/* --- mistakes --- */

START_TEST(mistakes_are_told) {
    static outcome out;
    blo_trajectory *trajectory = NULL, *other = NULL;
    const int bad[TASKS] = {1, STEPS + 1, 1};
    double value[TASKS];
    scene s;
    open_scene(&s, &backbone);
    blo_lower_solver *solver = open_solver(&s, TASKS, 0);
    blo_tensor *const *t = s.all, *const *u = s.one[0], *scalar = tensor_of(s.context, BLO_DOUBLE, 0, NULL, value),
                      *pair = tensor_of(s.context, BLO_DOUBLE, 2, (const int64_t[]){2, TRAIN}, s.own);
    MUST_FAIL(s.context, BLO_ERROR_ARGUMENT, "set tasks: 0 is not at least 1", blo_lower_solver_set_tasks(solver, 0));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "train_data has a first axis of 9, a first axis of 3 tasks is wanted",
              blo_lower_optimize(solver, u[0], t[1], t[2], t[3], &trajectory, NULL));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "validate_target has no axis of tasks",
              blo_lower_optimize(solver, t[0], t[1], t[2], scalar, &trajectory, NULL));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "input 'w' is per task, but has no axis of tasks",
              blo_lower_solver_set_task_input(solver, "w", scalar, false));
    ck_assert_ptr_null(trajectory);
    MUST(s.context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, out.chosen));
    MUST_FAIL(s.context, BLO_ERROR_ARGUMENT, "max_loss_iter 7 of task 1 is not in 1 ... 6",
              blo_iapttgm_compute_gradients(s.method, t[2], t[3], trajectory, bad, NULL));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "validate_data has a first axis of 7",
              blo_iapttgm_compute_gradients(s.method, u[2], t[3], trajectory, out.chosen, NULL));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "data has a first axis of 7",
              blo_trajectory_evaluate(trajectory, 1, accuracy, NULL, u[2], u[3], value));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "in all tasks",
              blo_trajectory_get(trajectory, 1, "head.bias", value, CLASSES));
    /* after all these the trajectory is as it was */
    MUST(s.context, blo_iapttgm_compute_gradients(s.method, t[2], t[3], trajectory, out.chosen, value));
    MUST(s.context, blo_lower_solver_set_task_input(solver, "w", pair, false));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "input 'w' is per task with 2 tasks, the call is for 3",
              blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &other, NULL));
    MUST_FAIL(s.context, BLO_ERROR_SHAPE, "input 'w' is per task with 2 tasks, the call is for 1",
              blo_lower_evaluate(solver, plain, NULL, u[2], u[3], value));
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    s.options.whole = BLO_WHOLE_ON;
    solver = open_solver(&s, TASKS, 0);
    MUST_FAIL(s.context, BLO_ERROR_UNSUPPORTED, "3 tasks at once are queued",
              blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &other, NULL));
    blo_lower_solver_destroy(solver);
    blo_tensor_destroy(scalar);
    blo_tensor_destroy(pair);
    close_scene(&s);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tasks");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, at_once_is_one_after_another, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(all, in_turns_too, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(all, every_budget_gives_the_same_bits);
    tcase_add_test(all, a_task_that_left_spoils_nothing);
    tcase_add_test(all, what_is_not_finite_is_told);
    tcase_add_test(all, a_solver_changes_its_number_of_tasks);
    tcase_add_test(all, every_task_starts_from_its_own_last_state);
    tcase_add_test(all, running_statistics_follow_one_task_after_another);
    tcase_add_test(all, a_batch_costs_the_launches_of_one_task);
    tcase_add_test(all, whole_iterations_tell_the_mean);
    tcase_add_test(all, mistakes_are_told);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
