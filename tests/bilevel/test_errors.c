/* What is refused, in a sentence that names it: calls in a wrong order, objectives that build nonsense, options out of
 * range, losses that are not finite. After each, the objects still work. */
#include <math.h>

#include "cleaning.h"

enum { STEPS = 4 };

static blo_lower_options few_steps(void) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    return options;
}

static cleaning c;
static blo_trajectory *trajectory;

static void setup(void) {
    blo_lower_options options = few_steps();
    cleaning_make(&c, open_context(3), &options);
    trajectory = NULL;
}

static void teardown(void) {
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
}

static void still_works(void) {
    int k = 0;
    MUST(c.context, cleaning_loop(&c, &trajectory, &k));
    MUST(c.context, cleaning_sweep(&c, trajectory, k, NULL));
    MUST(c.context, blo_context_finish(c.context));
}

START_TEST(gradients_want_a_loop_of_the_same_models) {
    blo_iapttgm *stranger = NULL;
    blo_lower_solver *other = NULL;
    const int k = 1, none = 0, beyond = STEPS + 1;
    MUST_FAIL(c.context, BLO_ERROR_STATE, "no lower loop has run", cleaning_sweep(&c, NULL, 1, NULL));
    still_works();

    MUST(c.context, blo_iapttgm_create(cleaning_upper, NULL, NULL, c.lower, &stranger));
    MUST_FAIL(c.context, BLO_ERROR_STATE, "another upper model",
              blo_iapttgm_compute_gradients(stranger, c.validate_data, c.validate_target, trajectory, &k, NULL));
    blo_iapttgm_destroy(stranger);
    MUST(c.context, blo_iapttgm_create(cleaning_upper, NULL, c.upper, c.upper, &stranger));
    MUST_FAIL(c.context, BLO_ERROR_STATE, "another lower model",
              blo_iapttgm_compute_gradients(stranger, c.validate_data, c.validate_target, trajectory, &k, NULL));
    blo_iapttgm_destroy(stranger);
    MUST(c.context, blo_lower_solver_create(cleaning_lower, cleaning_upper, NULL, c.upper, c.lower, NULL, &other));
    MUST_FAIL(
        c.context, BLO_ERROR_STATE, "another lower solver",
        blo_lower_optimize(other, c.train_data, c.train_target, c.validate_data, c.validate_target, &trajectory, NULL));
    blo_lower_solver_destroy(other);

    MUST_FAIL(c.context, BLO_ERROR_ARGUMENT, "max_loss_iter 0", cleaning_sweep(&c, trajectory, none, NULL));
    MUST_FAIL(c.context, BLO_ERROR_ARGUMENT, "max_loss_iter 5", cleaning_sweep(&c, trajectory, beyond, NULL));
    MUST_FAIL(c.context, BLO_ERROR_ARGUMENT, "max_loss_iter is NULL",
              blo_iapttgm_compute_gradients(c.method, c.validate_data, c.validate_target, trajectory, NULL, NULL));
    still_works();
}
END_TEST

START_TEST(what_the_loop_read_must_not_change) {
    double ones[EXAMPLES];
    int32_t classes[EXAMPLES] = {0};
    for (int i = 0; i < EXAMPLES; i++)
        ones[i] = 1.0;
    still_works();
    MUST(c.context, blo_model_set(c.upper, "x", ones, EXAMPLES));
    MUST_FAIL(c.context, BLO_ERROR_STATE, "'x' has changed", cleaning_sweep(&c, trajectory, 1, NULL));
    still_works();
    MUST(c.context, blo_tensor_upload(c.train_target, classes, sizeof classes));
    MUST_FAIL(c.context, BLO_ERROR_STATE, "training data", cleaning_sweep(&c, trajectory, 1, NULL));
    still_works();
}
END_TEST

/* Objectives that are wrong in the way USER says. */
typedef enum mistake { RETURNS_NULL, NO_SCALAR, WRONG_DTYPE, OTHER_GRAPH, WRONG_SHAPE, NO_INPUT, NO_PARAMETER } mistake;

static blo_node *mistaken(const blo_state *s, void *user) {
    static blo_graph *other; /* of this test's process; freed with it */
    blo_node *weight = blo_model_parameter(s->lower_model, "layer.weight");
    switch (*(mistake *)user) {
    case RETURNS_NULL: return NULL;
    case NO_SCALAR: return weight;
    case WRONG_DTYPE: return blo_constant(s->graph, BLO_DOUBLE, 1.0);
    case OTHER_GRAPH: return !other && blo_graph_create(&other) != BLO_OK ? NULL : blo_constant(other, BLO_FLOAT, 1.0);
    case WRONG_SHAPE: return blo_sum(blo_matmul(weight, weight, false, false));
    case NO_INPUT: return blo_sum(blo_state_input(s, "beta"));
    case NO_PARAMETER: return blo_sum(blo_model_parameter(s->lower_model, "layer.wait"));
    }
    return NULL;
}

START_TEST(a_mistaken_objective_is_told_by_its_first_mistake) {
    const struct {
        mistake kind;
        blo_status status;
        const char *part;
    } cases[] = {{RETURNS_NULL, BLO_ERROR_ARGUMENT, "NULL"},      {NO_SCALAR, BLO_ERROR_SHAPE, "scalar"},
                 {WRONG_DTYPE, BLO_ERROR_DTYPE, "double"},        {OTHER_GRAPH, BLO_ERROR_ARGUMENT, "another graph"},
                 {WRONG_SHAPE, BLO_ERROR_SHAPE, "matmul"},        {NO_INPUT, BLO_ERROR_ARGUMENT, "'beta'"},
                 {NO_PARAMETER, BLO_ERROR_ARGUMENT, "layer.wait"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mistake kind = cases[i].kind;
        blo_lower_solver *solver = NULL;
        blo_trajectory *none = NULL;
        double value;
        MUST(c.context, blo_lower_solver_create(mistaken, cleaning_upper, &kind, c.upper, c.lower, NULL, &solver));
        MUST_FAIL(c.context, cases[i].status, cases[i].part,
                  blo_lower_optimize(solver, NULL, NULL, NULL, NULL, &none, NULL));
        ck_assert_ptr_nonnull(strstr(blo_context_error(c.context), "lower objective"));
        ck_assert_ptr_null(none);
        MUST_FAIL(c.context, cases[i].status, cases[i].part,
                  blo_lower_evaluate(solver, mistaken, &kind, NULL, NULL, &value));
        blo_lower_solver_destroy(solver);
    }
    still_works();
}
END_TEST

START_TEST(options_out_of_range_are_refused_by_name) {
    blo_lower_solver *solver = NULL;
    blo_lower_options options = few_steps();
#define REFUSED(part)                                                                                                  \
    MUST_FAIL(c.context, BLO_ERROR_ARGUMENT, part,                                                                     \
              blo_lower_solver_create(cleaning_lower, cleaning_upper, NULL, c.upper, c.lower, &options, &solver));     \
    options = few_steps()
    options.lower_loop = 0;
    REFUSED("lower_loop");
    options.optimizer.momentum = -1.0;
    REFUSED("momentum");
    options.projection = BLO_PROJECT_BOX;
    options.box_lo = 1.0;
    REFUSED("box_lo");
    options.projection = BLO_PROJECT_BALL;
    options.ball_radius = (double)NAN;
    REFUSED("ball_radius");
    options.projection = BLO_PROJECT_FUNCTION;
    REFUSED("project is NULL");
    options.warm_start = true;
    REFUSED("warm_start");
#undef REFUSED
    options.initialization_auxiliary = false;
    MUST_FAIL(c.context, BLO_ERROR_ARGUMENT, "initialization_auxiliary",
              blo_lower_solver_create(cleaning_lower, cleaning_upper, NULL, c.lower, c.lower, &options, &solver));
    ck_assert_ptr_null(solver);
}
END_TEST

START_TEST(inputs_that_do_not_fit_are_refused_by_name) {
    blo_tensor *rows = NULL;
    MUST(c.context, blo_tensor_create(c.context, BLO_FLOAT, 1, (const int64_t[]){STEPS + 1}, NULL, &rows));
    MUST_FAIL(c.context, BLO_ERROR_SHAPE, "'rate' is per step with 5 rows",
              blo_lower_solver_set_input(c.solver, "rate", rows, true));
    MUST_FAIL(c.context, BLO_ERROR_ARGUMENT, "'rate'", blo_lower_solver_set_input(c.solver, "rate", NULL, false));
    MUST(c.context, blo_lower_solver_set_input(c.solver, "rate", rows, false));
    blo_tensor_destroy(rows);
    still_works();
}
END_TEST

/* F = 1 / (RATE * steps - 2): not finite after step 2. */
static blo_node *diverging(const blo_state *s, void *user) {
    (void)user;
    blo_node *steps = blo_cast(s->step, BLO_FLOAT);
    return blo_div(blo_constant(s->graph, BLO_FLOAT, 1.0), blo_shift(steps, -2.0));
}

START_TEST(a_loss_that_is_not_finite_names_its_step) {
    blo_lower_solver *solver = NULL;
    blo_trajectory *none = NULL;
    int k = -1;
    blo_lower_options options = few_steps();
    MUST(c.context, blo_lower_solver_create(cleaning_lower, diverging, NULL, c.upper, c.lower, &options, &solver));
    MUST_FAIL(c.context, BLO_ERROR_NUMERIC, "not finite at lower step 2",
              blo_lower_optimize(solver, c.train_data, c.train_target, NULL, NULL, &none, &k));
    ck_assert_ptr_null(none);
    ck_assert_int_eq(k, -1);
    blo_lower_solver_destroy(solver);
    still_works();
}
END_TEST

/* F with a finite value and a derivative that is not: sqrt at 0. */
static blo_node *steep(const blo_state *s, void *user) {
    (void)user;
    blo_node *w = blo_model_parameter(s->lower_model, "layer.weight");
    return blo_sum(blo_sqrt(blo_sub(w, blo_stop_gradient(w))));
}

START_TEST(a_sweep_that_is_not_finite_leaves_the_gradients) {
    blo_iapttgm *method = NULL;
    hypergradient before, after;
    const int k = 3;
    still_works();
    cleaning_gradients(&c, &before);
    MUST(c.context, blo_iapttgm_create(steep, NULL, c.upper, c.lower, &method));
    MUST(c.context, blo_iapttgm_compute_gradients(method, c.validate_data, c.validate_target, trajectory, &k, NULL));
    MUST_FAIL(c.context, BLO_ERROR_NUMERIC, "3", blo_context_finish(c.context));
    cleaning_gradients(&c, &after);
    ck_assert_mem_eq(&before, &after, sizeof before);
    blo_iapttgm_destroy(method);
    still_works();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("errors of the lower solver and the method");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, gradients_want_a_loop_of_the_same_models);
    tcase_add_test(all, what_the_loop_read_must_not_change);
    tcase_add_test(all, a_mistaken_objective_is_told_by_its_first_mistake);
    tcase_add_test(all, options_out_of_range_are_refused_by_name);
    tcase_add_test(all, inputs_that_do_not_fit_are_refused_by_name);
    tcase_add_test(all, a_loss_that_is_not_finite_names_its_step);
    tcase_add_test(all, a_sweep_that_is_not_finite_leaves_the_gradients);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
