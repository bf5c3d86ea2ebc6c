/* One model on both sides, as MAML has it: x and z are one set of variables, each contribution is added once. */
#include <math.h>

#include "../support.h"
#include "dual.h"

enum { STEPS = 10 };

static const double TOLERANCE = 1e-11, RATE = 0.07, START = 0.9;

/* f = -sin(x y), x being y_0 */
static blo_node *lower_objective(const blo_state *s, void *user) {
    (void)user;
    return blo_neg(
        blo_sin(blo_mul(blo_model_parameter(s->upper_model, "y"), blo_model_parameter(s->lower_model, "y"))));
}

/* F = x y^2 + y_0 */
static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *x = blo_model_parameter(s->upper_model, "y"), *y = blo_model_parameter(s->lower_model, "y");
    return blo_add(blo_mul(x, blo_square(y)), blo_model_parameter(s->initial_model, "y"));
}

START_TEST(each_contribution_is_added_once) {
    const double start = START;
    dual z = {START, 0.0, 1.0}, y = z;
    blo_context *context = open_context(0);
    blo_model *model = NULL;
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options;
    double losses[STEPS], g;
    MUST(context, blo_model_create(context, BLO_DOUBLE, &model));
    MUST(context, blo_model_add(model, "y", 0, NULL));
    MUST(context, blo_model_set(model, "y", &start, 1));
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = RATE;
    MUST(context, blo_lower_solver_create(lower_objective, upper_objective, NULL, model, model, &options, &solver));
    MUST(context, blo_iapttgm_create(upper_objective, NULL, model, model, &method));
    MUST(context, blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &trajectory, NULL));
    MUST(context, blo_trajectory_losses(trajectory, losses, STEPS));
    for (int k = 1; k <= STEPS; k++) {
        y = plus(y, scaled(times(z, cosine(times(z, y))), RATE));
        dual wanted = plus(times(z, times(y, y)), z);
        MUST(context, blo_model_zero_gradients(model));
        MUST(context, blo_iapttgm_compute_gradients(method, NULL, NULL, trajectory, &k, NULL));
        MUST(context, blo_model_get_gradient(model, "y", &g, 1));
        ck_assert_double_eq_tol(losses[k - 1], wanted.v, TOLERANCE);
        ck_assert_double_eq_tol(g, wanted.dz, TOLERANCE * fmax(1.0, fabs(wanted.dz)));
    }
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    blo_model_destroy(model);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("one model on both sides");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, each_contribution_is_added_once);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
