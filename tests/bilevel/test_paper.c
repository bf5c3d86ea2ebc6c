/* The paper's numerical example, f = -sin(xy), F = x + xy, y in [-2,2], against its closed recurrence: every y_k and
 * every loss of every upper iteration, the pessimistic step, and both hypergradients. */
#include <math.h>

#include "../support.h"

enum { STEPS = 40, MOST_ITERATIONS = 20 };

static const double TOLERANCE =
    1e-11; /* forty steps of a map whose derivative stays below 2.1 in size at the rates used */

static blo_node *lower_objective(const blo_state *s, void *user) {
    (void)user;
    return blo_neg(
        blo_sin(blo_mul(blo_model_parameter(s->upper_model, "x"), blo_model_parameter(s->lower_model, "y"))));
}

static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *x = blo_model_parameter(s->upper_model, "x");
    return blo_add(x, blo_mul(x, blo_model_parameter(s->lower_model, "y")));
}

/* The recurrence and its derivative, written out. */
typedef struct reference {
    double y[STEPS + 1], loss[STEPS + 1], gain[STEPS]; /* gain: 1 inside the box, 0 where the projection held y */
    int k;
    double g_x, g_z;
} reference;

static void reference_loop(double x, double z, double rate, bool project, reference *r) {
    r->y[0] = z;
    r->k = 1;
    for (int k = 0; k < STEPS; k++) {
        double moved = r->y[k] + rate * x * cos(x * r->y[k]);
        bool inside = !project || (moved >= -2.0 && moved <= 2.0);
        r->gain[k] = inside ? 1.0 : 0.0;
        r->y[k + 1] = inside ? moved : moved < -2.0 ? -2.0 : 2.0;
        r->loss[k + 1] = x + x * r->y[k + 1];
        if (r->loss[k + 1] > r->loss[r->k])
            r->k = k + 1;
    }
    double lambda = x;
    r->g_x = 1.0 + r->y[r->k];
    for (int k = r->k - 1; k >= 0; k--) {
        double xy = x * r->y[k];
        r->g_x += lambda * r->gain[k] * rate * (cos(xy) - xy * sin(xy));
        lambda *= r->gain[k] * (1.0 - rate * x * x * sin(xy));
    }
    r->g_z = lambda;
}

static void compare_iteration(blo_context *context, blo_model *upper, blo_model *lower, blo_trajectory *trajectory,
                              int k, double loss, const reference *r) {
    double losses[STEPS], y, g;
    ck_assert_int_eq(k, r->k);
    ck_assert_double_eq_tol(loss, r->loss[r->k], TOLERANCE);
    MUST(context, blo_trajectory_losses(trajectory, losses, STEPS));
    for (int i = 0; i <= STEPS; i++) {
        MUST(context, blo_trajectory_get(trajectory, i, "y", &y, 1));
        ck_assert_double_eq_tol(y, r->y[i], TOLERANCE);
        if (i > 0)
            ck_assert_double_eq_tol(losses[i - 1], r->loss[i], TOLERANCE);
    }
    MUST(context, blo_model_get_gradient(upper, "x", &g, 1));
    ck_assert_double_eq_tol(g, r->g_x, TOLERANCE * fmax(1.0, fabs(r->g_x)));
    MUST(context, blo_model_get_gradient(lower, "y", &g, 1));
    ck_assert_double_eq_tol(g, r->g_z, TOLERANCE * fmax(1.0, fabs(r->g_z)));
}

typedef struct problem {
    double x, z, rate;
    bool project;
    int iterations;
} problem;

/* Upper iterations with plain descent of rate 0.1 on x and z, each clamped to its box; the reference is updated alike.
 */
static void solve(const problem *p) {
    blo_context *context = open_context(0);
    blo_model *upper = NULL, *lower = NULL;
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_optimizer *step_x = NULL, *step_z = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options;
    double x = p->x, z = p->z;
    MUST(context, blo_model_create(context, BLO_DOUBLE, &upper));
    MUST(context, blo_model_create(context, BLO_DOUBLE, &lower));
    MUST(context, blo_model_add(upper, "x", 0, NULL));
    MUST(context, blo_model_add(lower, "y", 0, NULL));
    MUST(context, blo_model_set(upper, "x", &x, 1));
    MUST(context, blo_model_set(lower, "y", &z, 1));
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = p->rate;
    options.projection = p->project ? BLO_PROJECT_BOX : BLO_PROJECT_NONE;
    options.box_lo = -2.0;
    options.box_hi = 2.0;
    MUST(context, blo_lower_solver_create(lower_objective, upper_objective, NULL, upper, lower, &options, &solver));
    MUST(context, blo_iapttgm_create(upper_objective, NULL, upper, lower, &method));
    MUST(context, blo_optimizer_create(upper, NULL, &step_x));
    MUST(context, blo_optimizer_create(lower, NULL, &step_z));
    for (int i = 0; i < p->iterations; i++) {
        reference r;
        int k = 0;
        double loss = 0.0;
        reference_loop(x, z, p->rate, p->project, &r);
        MUST(context, blo_model_zero_gradients(upper));
        MUST(context, blo_model_zero_gradients(lower));
        MUST(context, blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &trajectory, &k));
        MUST(context, blo_iapttgm_compute_gradients(method, NULL, NULL, trajectory, &k, &loss));
        compare_iteration(context, upper, lower, trajectory, k, loss, &r);
        MUST(context, blo_optimizer_step(step_x));
        MUST(context, blo_optimizer_step(step_z));
        MUST(context, blo_model_clamp(upper, 1.0, 10.0));
        MUST(context, blo_model_clamp(lower, -2.0, 2.0));
        MUST(context,
             blo_model_get(upper, "x", &x, 1)); /* one step's rounding must not become the next one's difference */
        MUST(context, blo_model_get(lower, "y", &z, 1));
    }
    blo_trajectory_destroy(trajectory);
    blo_optimizer_destroy(step_z);
    blo_optimizer_destroy(step_x);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    blo_model_destroy(lower);
    blo_model_destroy(upper);
    blo_context_destroy(context);
}

START_TEST(the_example_as_the_paper_has_it) {
    solve(&(problem){.x = 1.0, .z = 2.0, .rate = 0.0005, .project = true, .iterations = MOST_ITERATIONS});
}
END_TEST

START_TEST(the_example_without_projection) {
    solve(&(problem){.x = 1.0, .z = 2.0, .rate = 0.0005, .project = false, .iterations = 5});
}
END_TEST

START_TEST(steps_that_meet_the_box) {
    solve(&(problem){.x = 1.5, .z = -1.9, .rate = 0.1, .project = true, .iterations = 5});
    solve(&(problem){.x = 2.0, .z = -0.9, .rate = 0.2, .project = true, .iterations = 5});
}
END_TEST

int main(void) {
    Suite *suite = suite_create("the paper's numerical example");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_test(all, the_example_as_the_paper_has_it);
    tcase_add_test(all, the_example_without_projection);
    tcase_add_test(all, steps_that_meet_the_box);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
