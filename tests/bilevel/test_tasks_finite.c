/* Several tasks of which some are not finite: one that has left the sweep spoils nothing, one that is swept is told. */
#include "tasks.h"

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

static const double near[TASKS][2] = {{0.3, -0.4}, {0.1, 0.8}, {-0.5, 0.2}}, other[TASKS][2] = {{1, 2}, {3, 1}, {0, 1}};

typedef struct steep {
    blo_context *context;
    blo_model *upper, *lower;
    blo_iapttgm *method;
    /* of one loop */
    blo_lower_solver *solver;
    blo_trajectory *trajectory;
    blo_tensor *train, *steepness, *validate;
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
    MUST(s->context, blo_iapttgm_create(steep_upper, NULL, s->upper, s->lower, &s->method));
}

static void close_steep(steep *s) {
    blo_iapttgm_destroy(s->method);
    blo_model_destroy(s->upper);
    blo_model_destroy(s->lower);
    blo_context_destroy(s->context);
}

/* Runs a loop of TASKS tasks at once, or in turns, and queues its sweep. TRAIN, VALIDATE [TASKS][2], STEEPNESS, CHOSEN
 * [TASKS]. */
static void sweep_steep(steep *s, int tasks, bool turns, const double (*train)[2], const double *steepness,
                        const double (*validate)[2], const int *chosen) {
    const int more = tasks > 1;
    const int64_t shape[2] = {tasks, 2}, *vector = shape + !more;
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEEP;
    s->train = tensor_of(s->context, BLO_DOUBLE, 1 + more, vector, train);
    s->steepness = tensor_of(s->context, BLO_DOUBLE, more, shape, steepness);
    s->validate = tensor_of(s->context, BLO_DOUBLE, 1 + more, vector, validate);
    MUST(s->context, blo_lower_solver_create(steep_lower, steep_upper, NULL, s->upper, s->lower, &options, &s->solver));
    MUST(s->context, blo_lower_solver_set_tasks(s->solver, tasks));
    if (turns)
        s->solver->cached = 0;
    MUST(s->context, blo_lower_optimize(s->solver, s->train, s->steepness, s->validate, NULL, &s->trajectory, NULL));
    MUST(s->context, blo_iapttgm_compute_gradients(s->method, s->validate, NULL, s->trajectory, chosen, NULL));
}

static void end_loop(steep *s) {
    blo_trajectory_destroy(s->trajectory);
    blo_lower_solver_destroy(s->solver);
    blo_tensor_destroy(s->train);
    blo_tensor_destroy(s->steepness);
    blo_tensor_destroy(s->validate);
    s->trajectory = NULL;
    s->solver = NULL;
}

/* Tasks FIRST … FIRST + TASKS - 1 at once, added to the gradients. */
static void run_steep(steep *s, int first, int tasks, bool turns, const int *chosen) {
    static const double steepness[TASKS] = {1, 0, 0.7};
    double values[TASKS * 2];
    sweep_steep(s, tasks, turns, near + first, steepness + first, other + first, chosen);
    MUST(s->context, blo_context_finish(s->context));
    MUST(s->context, blo_trajectory_get(s->trajectory, STEEP, "b", values, tasks * 2));
    ck_assert(first == 1 || isnan(values[0]));
    end_loop(s);
}

static void read_steep(steep *s, double *gradients) {
    MUST(s->context, blo_model_get_gradient(s->upper, "x", gradients, 2));
    MUST(s->context, blo_model_get_gradient(s->lower, "a", gradients + 2, 2));
    MUST(s->context, blo_model_get_gradient(s->lower, "b", gradients + 4, 2));
    MUST(s->context, blo_model_zero_gradients(s->upper));
    MUST(s->context, blo_model_zero_gradients(s->lower));
}

static void check_no_gradient(steep *s) {
    double gradients[6];
    read_steep(s, gradients);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(gradients[i], 0);
}

START_TEST(a_task_that_left_spoils_nothing) {
    const int chosen[TASKS] = {2, STEEP, 3};
    double wanted[6], got[6];
    steep s;
    open_steep(&s);
    for (int task = 0; task < TASKS; task++)
        run_steep(&s, task, 1, false, chosen + task);
    read_steep(&s, wanted);
    run_steep(&s, 0, TASKS, _i != 0, chosen);
    read_steep(&s, got);
    for (int i = 0; i < 6; i++) {
        ck_assert(isfinite(wanted[i]));
        ck_assert_double_eq_tol(got[i], wanted[i], 1e-12);
    }
    ck_assert_double_gt(fabs(wanted[0]), 1e-3);
    close_steep(&s);
}
END_TEST

/* A sweep that meets a NaN in a task that is swept keeps the gradients and is told at the next wait; F that is none
 * names its task. */
START_TEST(what_is_not_finite_is_told) {
    const int beyond[TASKS] = {STEEP, 2, 2};
    double data[TASKS][2];
    steep s;
    open_steep(&s);
    sweep_steep(&s, TASKS, false, near, (const double[]){1, 0, 1}, near, beyond);
    ck_assert_int_eq(blo_context_finish(s.context), BLO_ERROR_NUMERIC);
    check_no_gradient(&s);
    memcpy(data, near, sizeof data);
    data[2][1] = INFINITY;
    MUST(s.context, blo_tensor_upload(s.validate, data, sizeof data));
    MUST_FAIL(s.context, BLO_ERROR_NUMERIC, "of task 2 (of 0 ... 2) is not finite at lower step 1",
              blo_lower_optimize(s.solver, s.train, s.steepness, s.validate, NULL, &s.trajectory, NULL));
    end_loop(&s);
    close_steep(&s);
}
END_TEST

/* --- which task, and at which step --- */

/* The sweep of TASKS tasks, of which those of a STEEPNESS go beyond all numbers, fails with WORDS; no gradient changes.
 */
static void expect_told(int tasks, bool turns, const double *steepness, const int *chosen, const char *words) {
    steep s;
    open_steep(&s);
    sweep_steep(&s, tasks, turns, near, steepness, near, chosen);
    MUST_FAIL(s.context, BLO_ERROR_NUMERIC, words, blo_context_finish(s.context));
    check_no_gradient(&s);
    end_loop(&s);
    close_steep(&s);
}

/* _i: at once, in turns. */
START_TEST(a_sweep_names_the_first_task_that_is_bad) {
    const bool turns = _i != 0;
    expect_told(TASKS, turns, (const double[]){0, 1, 1}, (const int[]){2, STEEP, STEEP},
                "backward sweep of task 1 (of 0 ... 2) at lower step 12;");
    expect_told(TASKS, turns, (const double[]){1, 0, 1}, (const int[]){STEEP, 2, STEEP},
                "backward sweep of task 0 (of 0 ... 2) at lower step 12;");
    /* task 0 joins later than task 2 does, which is told first */
    expect_told(TASKS, turns, (const double[]){1, 0, 1}, (const int[]){STEEP - 2, STEEP, STEEP - 1},
                "backward sweep of task 2 (of 0 ... 2) at lower step 11;");
}
END_TEST

START_TEST(one_task_alone_has_no_name) {
    expect_told(1, false, (const double[]){1}, (const int[]){STEEP}, "in the backward sweep at lower step 12;");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tasks that are not finite");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, a_task_that_left_spoils_nothing, 0, 2); /* at once, in turns */
    tcase_add_test(all, what_is_not_finite_is_told);
    tcase_add_loop_test(all, a_sweep_names_the_first_task_that_is_bad, 0, 2);
    tcase_add_test(all, one_task_alone_has_no_name);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
