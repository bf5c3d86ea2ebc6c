/* The lower solver's options on a vector: the ball and a traced projection, rows of a per-step input, no upper model at
 * all, losses that are not acquired, an initialization that is not learned. The reference differentiates the loop by
 * hand. */
#include <math.h>

#include "../support.h"

enum { N = 3, STEPS = 6 };

static const double RATE = 0.4, RADIUS = 1.1, TOLERANCE = 1e-12;
static const double WEIGHTS[N] = {1.0, -2.0, 0.5};

/* f = sum((y - c_k)^2) / 2, c_k being row k of the input "center" */
static blo_node *lower_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *y = blo_model_parameter(s->lower_model, "y");
    return blo_scale(blo_sum(blo_square(blo_sub(y, blo_state_input(s, "center")))), 0.5);
}

/* F = sum(w * y) */
static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    return blo_dot(blo_model_parameter(s->lower_model, "y"), blo_state_input(s, "weights"));
}

/* The number of steps done, from F's side: sum over the row before. */
static blo_node *row_sum(const blo_state *s, void *user) {
    (void)user;
    return blo_add(blo_sum(blo_state_input(s, "center")), blo_scale(blo_cast(s->step, BLO_DOUBLE), 100.0));
}

static blo_node *squash(const blo_state *s, const char *name, blo_node *value, void *user) {
    (void)s;
    (void)name;
    (void)user;
    return blo_tanh(value);
}

static double center(int k, int i) {
    return 1.5 * sin(1.0 + 2.0 * k + i); /* rows well outside the ball and inside */
}

typedef struct reference {
    double y[STEPS + 1][N], moved[STEPS][N]; /* moved: before the projection */
} reference;

static double norm(const double *v) {
    return sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
}

static void reference_loop(blo_projection projection, const double *start, reference *r) {
    memcpy(r->y[0], start, sizeof r->y[0]);
    for (int k = 0; k < STEPS; k++) {
        for (int i = 0; i < N; i++)
            r->moved[k][i] = r->y[k][i] - RATE * (r->y[k][i] - center(k, i));
        double length = norm(r->moved[k]), shrink = length > RADIUS ? RADIUS / length : 1.0;
        for (int i = 0; i < N; i++)
            r->y[k + 1][i] = projection == BLO_PROJECT_BALL ? shrink * r->moved[k][i] : tanh(r->moved[k][i]);
    }
}

/* LAMBDA through step K, backwards: the projection's transposed derivative, then 1 - RATE. */
static void reference_adjoint(blo_projection projection, const reference *r, int k, double *lambda) {
    const double *v = r->moved[k];
    double length = norm(v), along = (v[0] * lambda[0] + v[1] * lambda[1] + v[2] * lambda[2]) / (length * length);
    for (int i = 0; i < N; i++) {
        if (projection == BLO_PROJECT_FUNCTION)
            lambda[i] *= 1.0 - tanh(v[i]) * tanh(v[i]);
        else if (length > RADIUS)
            lambda[i] = RADIUS / length * (lambda[i] - along * v[i]);
        lambda[i] *= 1.0 - RATE;
    }
}

typedef struct world {
    blo_context *context;
    blo_model *lower;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
} world;

static const double START[N] = {0.3, -0.8, 1.4};

static void make(world *w, const blo_lower_options *options) {
    double rows[STEPS * N];
    blo_tensor *centers = NULL, *weights = NULL;
    for (int k = 0; k < STEPS; k++)
        for (int i = 0; i < N; i++)
            rows[k * N + i] = center(k, i);
    *w = (world){.context = open_context(0)};
    MUST(w->context, blo_model_create(w->context, BLO_DOUBLE, &w->lower));
    MUST(w->context, blo_model_add(w->lower, "y", 1, (const int64_t[]){N}));
    MUST(w->context, blo_model_set(w->lower, "y", START, N));
    MUST(w->context,
         blo_lower_solver_create(lower_objective, upper_objective, NULL, NULL, w->lower, options, &w->solver));
    MUST(w->context, blo_iapttgm_create(upper_objective, NULL, NULL, w->lower, &w->method));
    MUST(w->context, blo_tensor_create(w->context, BLO_DOUBLE, 2, (const int64_t[]){STEPS, N}, rows, &centers));
    MUST(w->context, blo_tensor_create(w->context, BLO_DOUBLE, 1, (const int64_t[]){N}, WEIGHTS, &weights));
    MUST(w->context, blo_lower_solver_set_input(w->solver, "center", centers, true));
    MUST(w->context, blo_lower_solver_set_input(w->solver, "weights", weights, false));
    blo_tensor_destroy(centers);
    blo_tensor_destroy(weights);
}

static void destroy(world *w) {
    blo_trajectory_destroy(w->trajectory);
    blo_iapttgm_destroy(w->method);
    blo_lower_solver_destroy(w->solver);
    blo_model_destroy(w->lower);
    blo_context_destroy(w->context);
}

static blo_lower_options options_of(blo_projection projection) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = RATE;
    options.projection = projection;
    options.ball_radius = RADIUS;
    options.project = squash;
    return options;
}

static void compare(blo_projection projection) {
    world w;
    reference r;
    double y[N], g[N];
    blo_lower_options options = options_of(projection);
    reference_loop(projection, START, &r);
    make(&w, &options);
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, NULL));
    for (int k = 1; k <= STEPS; k++) {
        double lambda[N];
        memcpy(lambda, WEIGHTS, sizeof lambda);
        for (int j = k - 1; j >= 0; j--)
            reference_adjoint(projection, &r, j, lambda);
        MUST(w.context, blo_model_zero_gradients(w.lower));
        MUST(w.context, blo_iapttgm_compute_gradients(w.method, NULL, NULL, w.trajectory, &k, NULL));
        MUST(w.context, blo_trajectory_get(w.trajectory, k, "y", y, N));
        MUST(w.context, blo_model_get_gradient(w.lower, "y", g, N));
        for (int i = 0; i < N; i++) {
            ck_assert_double_eq_tol(y[i], r.y[k][i], TOLERANCE);
            ck_assert_double_eq_tol(g[i], lambda[i], TOLERANCE);
        }
    }
    destroy(&w);
}

START_TEST(the_ball_and_its_derivative) {
    compare(BLO_PROJECT_BALL);
}
END_TEST

START_TEST(a_traced_projection) {
    compare(BLO_PROJECT_FUNCTION);
}
END_TEST

START_TEST(an_evaluation_sees_the_row_before_and_the_steps_done) {
    world w;
    double value;
    blo_lower_options options = options_of(BLO_PROJECT_NONE);
    make(&w, &options);
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, NULL));
    for (int k = 0; k <= STEPS; k++) {
        const int row = k > 0 ? k - 1 : 0;
        MUST(w.context, blo_trajectory_evaluate(w.trajectory, k, row_sum, NULL, NULL, NULL, &value));
        ck_assert_double_eq_tol(value, center(row, 0) + center(row, 1) + center(row, 2) + 100.0 * k, TOLERANCE);
    }
    MUST(w.context, blo_lower_evaluate(w.solver, upper_objective, NULL, NULL, NULL, &value));
    ck_assert_double_eq_tol(value, 1.0 * START[0] - 2.0 * START[1] + 0.5 * START[2], TOLERANCE);
    MUST_FAIL(w.context, BLO_ERROR_ARGUMENT, "k = 7",
              blo_trajectory_evaluate(w.trajectory, STEPS + 1, row_sum, NULL, NULL, NULL, &value));
    destroy(&w);
}
END_TEST

START_TEST(losses_that_are_not_acquired_are_nan) {
    world w;
    double losses[STEPS], first = NAN;
    int worst = 0;
    const int one = 1;
    reference r;
    blo_lower_options options = options_of(BLO_PROJECT_FUNCTION);
    options.acquire_max_loss = false;
    reference_loop(BLO_PROJECT_FUNCTION, START, &r);
    make(&w, &options);
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, &worst));
    MUST(w.context, blo_trajectory_losses(w.trajectory, losses, STEPS));
    ck_assert_int_eq(worst, STEPS);
    for (int k = 1; k < STEPS; k++)
        ck_assert_double_nan(losses[k - 1]);
    ck_assert_double_eq_tol(losses[STEPS - 1], r.y[STEPS][0] - 2.0 * r.y[STEPS][1] + 0.5 * r.y[STEPS][2], TOLERANCE);
    /* computed when asked for */
    MUST(w.context, blo_iapttgm_compute_gradients(w.method, NULL, NULL, w.trajectory, &one, &first));
    ck_assert_double_eq_tol(first, r.y[1][0] - 2.0 * r.y[1][1] + 0.5 * r.y[1][2], TOLERANCE);
    destroy(&w);
}
END_TEST

START_TEST(an_initialization_that_is_not_learned_gets_no_gradient) {
    world w;
    double g[N];
    int k = 0;
    blo_lower_options options = options_of(BLO_PROJECT_FUNCTION);
    options.initialization_auxiliary = false;
    make(&w, &options);
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, &k));
    MUST(w.context, blo_iapttgm_compute_gradients(w.method, NULL, NULL, w.trajectory, &k, NULL));
    MUST(w.context, blo_model_get_gradient(w.lower, "y", g, N));
    for (int i = 0; i < N; i++)
        ck_assert_double_eq(g[i], 0.0);
    destroy(&w);
}
END_TEST

START_TEST(an_input_may_be_replaced_without_tracing) {
    world w;
    blo_statistics before, after;
    blo_tensor *weights = NULL;
    double first[STEPS], second[STEPS], doubled[N];
    blo_lower_options options = options_of(BLO_PROJECT_NONE);
    for (int i = 0; i < N; i++)
        doubled[i] = 2.0 * WEIGHTS[i];
    make(&w, &options);
    MUST(w.context, blo_tensor_create(w.context, BLO_DOUBLE, 1, (const int64_t[]){N}, doubled, &weights));
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, NULL));
    MUST(w.context, blo_trajectory_losses(w.trajectory, first, STEPS));
    MUST(w.context, blo_lower_solver_set_input(w.solver, "weights", weights, false));
    blo_tensor_destroy(weights);
    blo_context_statistics(w.context, &before);
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, NULL));
    blo_context_statistics(w.context, &after);
    MUST(w.context, blo_trajectory_losses(w.trajectory, second, STEPS));
    for (int k = 0; k < STEPS; k++)
        ck_assert_double_eq(second[k], 2.0 * first[k]);
    ck_assert_uint_eq(after.traces, before.traces);
    ck_assert_uint_eq(after.kernels_built, before.kernels_built);
    destroy(&w);
}
END_TEST

/* Ends solve() after the third iteration. */
static bool three_only(int iteration, double upper_loss, int max_loss_iter, void *user) {
    ck_assert(isfinite(upper_loss));
    ck_assert_int_ge(max_loss_iter, 1);
    *(int *)user = iteration + 1;
    return iteration < 2;
}

START_TEST(solve_steps_the_optimizers_and_ends_when_told) {
    world w;
    blo_optimizer *step = NULL;
    double z[N];
    int seen = 0;
    blo_lower_options options = options_of(BLO_PROJECT_NONE);
    options.truncation = false;
    make(&w, &options);
    MUST(w.context, blo_optimizer_create(w.lower, NULL, &step)); /* SGD of rate 0.1 */
    MUST(w.context, blo_iapttgm_solve(w.method, w.solver, 1, &step, NULL, NULL, NULL, NULL, 10, three_only, &seen));
    MUST(w.context, blo_model_get(w.lower, "y", z, N));
    ck_assert_int_eq(seen, 3);
    for (int i = 0; i < N; i++) /* g_z = (1 - RATE)^T w, whatever z is */
        ck_assert_double_eq_tol(z[i], START[i] - 3 * 0.1 * pow(1.0 - RATE, STEPS) * WEIGHTS[i], TOLERANCE);
    MUST_FAIL(w.context, BLO_ERROR_ARGUMENT, "iterations -1",
              blo_iapttgm_solve(w.method, w.solver, 1, &step, NULL, NULL, NULL, NULL, -1, NULL, NULL));
    blo_optimizer_destroy(step);
    destroy(&w);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("options of the lower solver");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_test(all, the_ball_and_its_derivative);
    tcase_add_test(all, a_traced_projection);
    tcase_add_test(all, an_evaluation_sees_the_row_before_and_the_steps_done);
    tcase_add_test(all, losses_that_are_not_acquired_are_nan);
    tcase_add_test(all, an_initialization_that_is_not_learned_gets_no_gradient);
    tcase_add_test(all, an_input_may_be_replaced_without_tracing);
    tcase_add_test(all, solve_steps_the_optimizers_and_ends_when_told);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
