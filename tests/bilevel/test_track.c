/* What objectives track in buffers, against the updates done one after another by hand: values of y_k, of the step's
 * number, of a per-step input, of x alone, of two calls in one evaluation; with the loop queued, run whole, and with
 * snapshots thinned; and what blo_model_track() refuses. */
#include <math.h>

#include "../support.h"

enum { STEPS = 12, WIDTH = 40, BUFFERS = 3 };

static const double tolerance = 1e-12;
/* "both": values that change, tracked by f twice and by F. "mixed": f's changes, F's does not. "fixed": neither does.
 */
static const char *const names[BUFFERS] = {"both", "mixed", "fixed"};
static blo_context *context;

typedef struct problem {
    bool moving; /* track "both" and "mixed" too */
    blo_model *upper, *lower;
    blo_tensor *rows;
    double row[STEPS];
} problem;

static blo_node *height(const blo_state *s) {
    return blo_mean(blo_tanh(blo_model_parameter(s->lower_model, "y")));
}

static blo_node *scale_of(const blo_state *s) {
    return blo_mean(blo_exp(blo_model_parameter(s->upper_model, "x")));
}

static blo_node *row_value(const blo_state *s, void *user) {
    (void)user;
    return blo_mul(blo_state_input(s, "rows"), scale_of(s));
}

static blo_node *height_value(const blo_state *s, void *user) {
    (void)user;
    return height(s);
}

static blo_node *scale_value(const blo_state *s, void *user) {
    (void)user;
    return scale_of(s);
}

static blo_node *distance(const blo_state *s, const char *to) {
    return blo_sum(
        blo_square(blo_sub(blo_sin(blo_model_parameter(s->lower_model, "y")),
                           blo_mul(blo_model_parameter(s->upper_model, to), blo_model_parameter(s->upper_model, to)))));
}

static blo_node *f(const blo_state *s, void *user) {
    const problem *p = user;
    blo_model_track(s->upper_model, "fixed", scale_of(s), 0.2);
    if (p->moving) {
        blo_model_track(s->lower_model, "both", height(s), 0.1);
        blo_model_track(s->initial_model, "both", row_value(s, NULL), 0.3); /* the same buffer: of the lower model */
        blo_model_track(s->upper_model, "mixed", blo_cast(s->step, BLO_DOUBLE), 0.25);
    }
    return distance(s, "x");
}

static blo_node *F(const blo_state *s, void *user) {
    const problem *p = user;
    blo_model_track(s->upper_model, "fixed", blo_scale(scale_of(s), -2.0), 0.4);
    if (p->moving) {
        blo_model_track(s->lower_model, "both", row_value(s, NULL), 0.5);
        blo_model_track(s->upper_model, "mixed", scale_of(s), 0.15);
    }
    return distance(s, "x");
}

static void make(problem *p, bool moving) {
    double x[WIDTH], y[WIDTH];
    uint64_t seed = 5;
    *p = (problem){.moving = moving};
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->upper));
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->lower));
    MUST(context, blo_model_add(p->upper, "x", 1, (const int64_t[]){WIDTH}));
    MUST(context, blo_model_add(p->lower, "y", 1, (const int64_t[]){WIDTH}));
    MUST(context, blo_model_add_buffer(p->lower, "both", 0, NULL));
    MUST(context, blo_model_add_buffer(p->upper, "mixed", 0, NULL));
    MUST(context, blo_model_add_buffer(p->upper, "fixed", 0, NULL));
    for (int i = 0; i < WIDTH; i++) {
        x[i] = next_number(&seed);
        y[i] = next_number(&seed);
    }
    for (int k = 0; k < STEPS; k++)
        p->row[k] = next_number(&seed);
    MUST(context, blo_model_set(p->upper, "x", x, WIDTH));
    MUST(context, blo_model_set(p->lower, "y", y, WIDTH));
    MUST(context, blo_tensor_create(context, BLO_DOUBLE, 1, (const int64_t[]){STEPS}, p->row, &p->rows));
}

static void destroy(problem *p) {
    blo_tensor_destroy(p->rows);
    blo_model_destroy(p->upper);
    blo_model_destroy(p->lower);
}

static blo_model *holder(const problem *p, int buffer) {
    return buffer == 0 ? p->lower : p->upper;
}

static void read_buffers(const problem *p, double values[BUFFERS]) {
    for (int i = 0; i < BUFFERS; i++)
        MUST(context, blo_model_get(holder(p, i), names[i], &values[i], 1));
}

static double value_at(blo_trajectory *trajectory, int k, blo_objective objective) {
    double value = 0.0;
    MUST(context, blo_trajectory_evaluate(trajectory, k, objective, NULL, NULL, NULL, &value));
    return value;
}

static void update(double *buffer, double momentum, double value) {
    *buffer = (1.0 - momentum) * *buffer + momentum * value;
}

/* The loop's updates of VALUES, one after another. */
static void by_hand(const problem *p, blo_trajectory *trajectory, bool every, double values[BUFFERS]) {
    const double scale = value_at(trajectory, 0, scale_value);
    for (int k = 0; k < STEPS; k++) {
        update(&values[2], 0.2, scale);
        if (p->moving) {
            update(&values[0], 0.1, value_at(trajectory, k, height_value));
            update(&values[0], 0.3, p->row[k] * scale);
            update(&values[1], 0.25, k);
        }
        if (!every && k + 1 < STEPS)
            continue;
        update(&values[2], 0.4, -2.0 * scale);
        if (p->moving) {
            update(&values[0], 0.5, p->row[k] * scale); /* F at y_{k+1} sees the row before */
            update(&values[1], 0.15, scale);
        }
    }
}

/* Two loops in a row; returns the last loop's report. */
static blo_trajectory_report compare(bool moving, blo_lower_options options) {
    problem p;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    blo_trajectory_report report;
    double wanted[BUFFERS] = {0.7, -1.5, 2.0}, got[BUFFERS];
    options.lower_loop = STEPS;
    make(&p, moving);
    for (int i = 0; i < BUFFERS; i++)
        MUST(context, blo_model_set(holder(&p, i), names[i], &wanted[i], 1));
    MUST(context, blo_lower_solver_create(f, F, &p, p.upper, p.lower, &options, &solver));
    MUST(context, blo_lower_solver_set_input(solver, "rows", p.rows, true));
    MUST(context, blo_lower_solver_set_input(solver, "all rows", p.rows, false));
    for (int loop = 0; loop < 2; loop++) {
        MUST(context, blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &trajectory, NULL));
        by_hand(&p, trajectory, options.acquire_max_loss, wanted);
        read_buffers(&p, got);
        for (int i = 0; i < BUFFERS; i++)
            ck_assert_msg(fabs(got[i] - wanted[i]) <= tolerance, "%s is %.17g after loop %d, by hand %.17g", names[i],
                          got[i], loop, wanted[i]);
    }
    blo_trajectory_describe(trajectory, &report);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    destroy(&p);
    return report;
}

static blo_lower_options options_of(blo_whole_mode whole, bool every) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.optimizer.learning_rate = 0.2;
    options.whole = whole;
    options.acquire_max_loss = every;
    return options;
}

START_TEST(queued_loops_leave_what_single_updates_leave) {
    for (int every = 0; every < 2; every++) {
        compare(false, options_of(BLO_WHOLE_OFF, every));
        compare(true, options_of(BLO_WHOLE_OFF, every));
    }
}
END_TEST

START_TEST(loops_that_run_whole_do_too) {
    for (int every = 0; every < 2; every++) {
        compare(false, options_of(BLO_WHOLE_ON, every));
        compare(true, options_of(BLO_WHOLE_ON, every));
    }
}
END_TEST

START_TEST(thinned_loops_do_too) {
    blo_lower_options options = options_of(BLO_WHOLE_OFF, true);
    problem p;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    options.memory_budget = 1;
    options.lower_loop = STEPS;
    make(&p, true);
    MUST(context, blo_lower_solver_create(f, F, &p, p.upper, p.lower, &options, &solver));
    MUST(context, blo_lower_solver_set_input(solver, "rows", p.rows, true));
    MUST_FAIL(context, BLO_ERROR_BUDGET, "at least ",
              blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &trajectory, NULL));
    options.memory_budget = strtoull(strstr(blo_context_error(context), "at least ") + strlen("at least "), NULL, 10);
    blo_lower_solver_destroy(solver);
    destroy(&p);
    ck_assert_int_lt(compare(true, options).snapshots, STEPS + 1);
}
END_TEST

/* --- whole upper iterations --- */

START_TEST(solve_commits_in_every_iteration) {
    double wanted[BUFFERS] = {0}, got[BUFFERS];
    problem p;
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_lower_options options = options_of(BLO_WHOLE_AUTO, true);
    options.lower_loop = STEPS;
    make(&p, false);
    MUST(context, blo_lower_solver_create(f, F, &p, p.upper, p.lower, &options, &solver));
    MUST(context, blo_lower_solver_set_input(solver, "rows", p.rows, true));
    MUST(context, blo_iapttgm_create(F, &p, p.upper, p.lower, &method));
    MUST(context, blo_iapttgm_solve(method, solver, 0, NULL, NULL, NULL, NULL, NULL, 3, NULL, NULL));
    blo_trajectory *trajectory = NULL; /* a fourth loop, whose x is the same */
    MUST(context, blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &trajectory, NULL));
    for (int i = 0; i < 4; i++)
        by_hand(&p, trajectory, true, wanted);
    read_buffers(&p, got);
    ck_assert_double_eq_tol(got[2], wanted[2], tolerance);
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    destroy(&p);
}
END_TEST

/* --- refusals --- */

static blo_node *wrong_name(const blo_state *s, void *user) {
    (void)user;
    blo_model_track(s->lower_model, "nothing", height(s), 0.1);
    return height(s);
}

static blo_node *wrong_shape(const blo_state *s, void *user) {
    (void)user;
    blo_model_track(s->lower_model, "both", blo_model_parameter(s->lower_model, "y"), 0.1);
    return height(s);
}

static blo_node *wrong_momentum(const blo_state *s, void *user) {
    (void)user;
    blo_model_track(s->lower_model, "both", height(s), 1.5);
    return height(s);
}

static void refused(problem *p, blo_objective objective, blo_status status, const char *part) {
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    MUST(context, blo_lower_solver_create(objective, F, p, p->upper, p->lower, NULL, &solver));
    MUST(context, blo_lower_solver_set_input(solver, "rows", p->rows, false));
    MUST_FAIL(context, status, part, blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &trajectory, NULL));
    blo_lower_solver_destroy(solver);
}

START_TEST(mistakes_are_named) {
    problem p;
    double value;
    make(&p, false);
    refused(&p, wrong_name, BLO_ERROR_ARGUMENT, "no buffer 'nothing'");
    refused(&p, wrong_shape, BLO_ERROR_SHAPE, "'both' of 0 axes");
    refused(&p, wrong_momentum, BLO_ERROR_ARGUMENT, "momentum 1.5");
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "has a buffer 'both' already", blo_model_add(p.lower, "both", 0, NULL));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "has a parameter 'y' already", blo_model_add_buffer(p.lower, "y", 0, NULL));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "has no gradient", blo_model_get_gradient(p.lower, "both", &value, 1));
    ck_assert_ptr_null(blo_model_gradient(p.lower, "both"));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "no batch norm at or under 'head'",
              blo_model_add_running_statistics(p.lower, "head", 0.1));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "momentum 2", blo_model_add_running_statistics(p.lower, "y", 2.0));
    destroy(&p);
}
END_TEST

static void setup(void) {
    context = open_context(0);
}

static void teardown(void) {
    blo_context_destroy(context);
}

int main(void) {
    const TTest *const tests[] = {queued_loops_leave_what_single_updates_leave, loops_that_run_whole_do_too,
                                  thinned_loops_do_too, solve_commits_in_every_iteration, mistakes_are_named};
    return run_tests("tracking", setup, teardown, sizeof tests / sizeof *tests, tests);
}
