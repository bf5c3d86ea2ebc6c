/* A solver of several tasks over its life: its number of tasks changes, loops start warm, running statistics, whole
 * iterations; after the first loop nothing is made again; shapes that do not fit are told. */
#include "tasks.h"

/* --- one solver for one task and for many --- */

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
    s.cached = _i == 0 ? -1 : 0;
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
    if (s->cached >= 0)
        solver->cached = s->cached;
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
    s.cached = _i == 0 ? -1 : 0;
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

/* A program that asks for other tasks while solve() runs. */
typedef struct meddler {
    blo_lower_solver *solver;
    int tasks, n;
} meddler;

static bool meddle(int iteration, double upper_loss, int max_loss_iter, void *user) {
    (void)iteration, (void)upper_loss, (void)max_loss_iter;
    meddler *m = user;
    m->n++;
    return blo_lower_solver_set_tasks(m->solver, m->tasks) == BLO_OK;
}

/* What solve() has room for is for the tasks it began with. */
START_TEST(other_tasks_while_solve_runs_are_refused) {
    scene s;
    open_scene(&s, &backbone);
    meddler m = {open_solver(&s, 1, 0), TASKS, 0};
    blo_tensor *const *one = s.one[0], *const *all = s.all;
    MUST_FAIL(s.context, BLO_ERROR_STATE, "the number of tasks was changed from 1 to 3",
              blo_iapttgm_solve(s.method, m.solver, 0, NULL, one[0], one[1], one[2], one[3], 2, meddle, &m));
    ck_assert_int_eq(m.n, 1);
    m.tasks = 1;
    MUST_FAIL(s.context, BLO_ERROR_STATE, "the number of tasks was changed from 3 to 1",
              blo_iapttgm_solve(s.method, m.solver, 0, NULL, all[0], all[1], all[2], all[3], 2, meddle, &m));
    ck_assert_int_eq(m.n, 2);
    MUST(s.context, blo_iapttgm_solve(s.method, m.solver, 0, NULL, one[0], one[1], one[2], one[3], 2, meddle, &m));
    ck_assert_int_eq(m.n, 4);
    blo_lower_solver_destroy(m.solver);
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
    Suite *suite = suite_create("a solver of several tasks");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_test(all, a_solver_changes_its_number_of_tasks);
    tcase_add_loop_test(all, every_task_starts_from_its_own_last_state, 0, 2);        /* at once, in turns */
    tcase_add_loop_test(all, running_statistics_follow_one_task_after_another, 0, 2); /* at once, in turns */
    tcase_add_test(all, a_batch_costs_the_launches_of_one_task);
    tcase_add_test(all, whole_iterations_tell_the_mean);
    tcase_add_test(all, other_tasks_while_solve_runs_are_refused);
    tcase_add_test(all, mistakes_are_told);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
