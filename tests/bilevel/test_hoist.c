/* Hoisting: a backbone that is the upper model, a head that is the lower one. Computed once or in every step, the
 * losses and the hypergradients are the same but for the rounding of sums in another order; what depends on the step is
 * not hoisted; loops on several data sets, and other validation data, get what belongs to them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support.h"

enum { EXAMPLES = 90, FEATURES = 40, HIDDEN = 80, CLASSES = 4, STEPS = 5, SETS = 3 };
enum { GRADIENTS = FEATURES * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES };

static blo_node *features(const blo_state *s) {
    return blo_tanh(blo_model_linear(s->upper_model, "backbone", s->data));
}

static blo_node *loss_of(const blo_state *s, blo_node *hidden) {
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", hidden), s->target, BLO_REDUCE_MEAN);
}

static blo_node *plain(const blo_state *s, void *user) {
    (void)user;
    return loss_of(s, features(s));
}

/* The distance to y_0, whose norm need not be computed again: z gets a gradient through it too. */
static blo_node *with_start(const blo_state *s, void *user) {
    blo_node *start = blo_model_parameter(s->initial_model, "head.weight");
    blo_node *moved = blo_sub(blo_model_parameter(s->lower_model, "head.weight"), blo_tanh(blo_exp(start)));
    return blo_add(plain(s, user), blo_scale(blo_sum(blo_square(moved)), 0.01));
}

/* Another mask in every step. */
static blo_node *with_dropout(const blo_state *s, void *user) {
    (void)user;
    return loss_of(s, blo_dropout(features(s), 0.3, s->step, 5));
}

typedef struct problem {
    blo_context *context;
    blo_model *upper, *lower;
    blo_tensor *data[SETS], *target[SETS];
} problem;

static void make(problem *p, blo_context *context) {
    uint64_t seed = 3;
    *p = (problem){.context = context};
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->upper));
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->lower));
    MUST(context, blo_model_add_linear(p->upper, "backbone", FEATURES, HIDDEN));
    MUST(context, blo_model_add_linear(p->lower, "head", HIDDEN, CLASSES));
    for (int set = 0; set < SETS; set++) {
        double values[EXAMPLES * FEATURES];
        int32_t classes[EXAMPLES];
        for (int i = 0; i < EXAMPLES * FEATURES; i++)
            values[i] = next_number(&seed);
        for (int i = 0; i < EXAMPLES; i++)
            classes[i] = (int32_t)((next_number(&seed) + 1.0) * 0.499 * CLASSES);
        MUST(context,
             blo_tensor_create(context, BLO_DOUBLE, 2, (const int64_t[]){EXAMPLES, FEATURES}, values, &p->data[set]));
        MUST(context, blo_tensor_create(context, BLO_INT32, 1, (const int64_t[]){EXAMPLES}, classes, &p->target[set]));
    }
}

static void destroy(problem *p) {
    for (int set = 0; set < SETS; set++) {
        blo_tensor_destroy(p->data[set]);
        blo_tensor_destroy(p->target[set]);
    }
    blo_model_destroy(p->lower);
    blo_model_destroy(p->upper);
}

typedef struct outcome {
    double losses[STEPS], gradients[GRADIENTS];
    blo_trajectory_report report;
} outcome;

static void read_gradients(const problem *p, double *to) {
    MUST(p->context, blo_model_get_gradient(p->upper, "backbone.weight", to, FEATURES * HIDDEN));
    MUST(p->context, blo_model_get_gradient(p->upper, "backbone.bias", to += FEATURES * HIDDEN, HIDDEN));
    MUST(p->context, blo_model_get_gradient(p->lower, "head.weight", to += HIDDEN, HIDDEN * CLASSES));
    MUST(p->context, blo_model_get_gradient(p->lower, "head.bias", to + HIDDEN * CLASSES, CLASSES));
}

/* Two loops, on set 0 and on set 1, then both sweeps, at the validation data of the first loop and at other ones. */
static void run(problem *p, blo_objective lower, bool hoisting, outcome *out) {
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectory[2] = {NULL, NULL};
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.hoisting = hoisting;
    const int k = STEPS - 1;
    MUST(p->context, blo_model_zero_gradients(p->upper));
    MUST(p->context, blo_model_zero_gradients(p->lower));
    MUST(p->context, blo_lower_solver_create(lower, plain, NULL, p->upper, p->lower, &options, &solver));
    MUST(p->context, blo_iapttgm_create(plain, NULL, p->upper, p->lower, &method));
    for (int i = 0; i < 2; i++)
        MUST(p->context,
             blo_lower_optimize(solver, p->data[i], p->target[i], p->data[2], p->target[2], &trajectory[i], NULL));
    MUST(p->context, blo_iapttgm_compute_gradients(method, p->data[2], p->target[2], trajectory[0], &k, NULL));
    MUST(p->context, blo_iapttgm_compute_gradients(method, p->data[0], p->target[0], trajectory[1], &k, NULL));
    MUST(p->context, blo_trajectory_losses(trajectory[0], out->losses, STEPS));
    blo_trajectory_describe(trajectory[0], &out->report);
    read_gradients(p, out->gradients);
    for (int i = 0; i < 2; i++)
        blo_trajectory_destroy(trajectory[i]);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
}

static void check(const outcome *once, const outcome *always) {
    const double size = largest_of(always->gradients, GRADIENTS);
    ck_assert_double_gt(largest_of(always->gradients, FEATURES * HIDDEN), 1e-6);
    for (int k = 0; k < STEPS; k++)
        ck_assert_double_eq_tol(once->losses[k], always->losses[k], 1e-12);
    for (int i = 0; i < GRADIENTS; i++)
        ck_assert_double_eq_tol(once->gradients[i], always->gradients[i], 1e-12 * size);
}

static void compare(blo_objective lower, outcome *once, outcome *always) {
    blo_context *context = open_context(0);
    problem p;
    make(&p, context);
    run(&p, lower, true, once);
    run(&p, lower, false, always);
    check(once, always);
    destroy(&p);
    blo_context_destroy(context);
}

START_TEST(a_backbone_is_computed_once) {
    outcome once, always;
    compare(plain, &once, &always);
    ck_assert_int_lt(once.report.launches_per_step, always.report.launches_per_step);
    ck_assert_uint_lt(once.report.loop_launches, always.report.loop_launches);
}
END_TEST

START_TEST(what_comes_from_the_start_is_pulled_back_to_it) {
    outcome once, always;
    compare(with_start, &once, &always);
}
END_TEST

START_TEST(what_depends_on_the_step_stays_in_it) {
    outcome once, always;
    compare(with_dropout, &once, &always);
}
END_TEST

/* --- corners --- */

typedef struct corner {
    bool one_model, warm; /* x is z; or each loop goes on from the last */
    bool thinned;         /* what is hoisted, in the least memory that will do */
    int k;
} corner;

static blo_node *own_backbone(const blo_state *s, void *user) {
    (void)user;
    blo_node *hidden = blo_tanh(blo_model_linear(s->initial_model, "backbone", s->data));
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", hidden), s->target, BLO_REDUCE_MEAN);
}

static void read_all(const problem *p, const corner *c, double *to) {
    MUST(p->context, blo_model_get_gradient(p->upper, "backbone.weight", to, FEATURES * HIDDEN));
    if (!c->warm)
        MUST(p->context, blo_model_get_gradient(c->one_model ? p->upper : p->lower, "head.weight",
                                                to + FEATURES * HIDDEN, HIDDEN * CLASSES));
}

/* The least budget of plain loops, as the refusal of a smaller one tells. */
static uint64_t least_budget(problem *p, const blo_lower_options *options) {
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options small = *options;
    small.memory_budget = 1;
    MUST(p->context, blo_lower_solver_create(plain, plain, NULL, p->upper, p->lower, &small, &solver));
    ck_assert_int_eq(blo_lower_optimize(solver, p->data[0], p->target[0], p->data[2], p->target[2], &trajectory, NULL),
                     BLO_ERROR_BUDGET);
    const char *number = strstr(blo_context_error(p->context), "at least ");
    ck_assert_ptr_nonnull(number);
    blo_lower_solver_destroy(solver);
    return strtoull(number + strlen("at least "), NULL, 10);
}

/* Three loops on one trajectory, the data replaced in place before the last; a sweep after each, of which the gradients
 * add up; the data's first values are put back. */
static void run_corner(problem *p, const corner *c, bool hoisting, outcome *out) {
    blo_objective objective = c->one_model ? own_backbone : plain;
    blo_model *lower = c->one_model ? p->upper : p->lower;
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options;
    double kept[EXAMPLES * FEATURES], other[EXAMPLES * FEATURES], state[HIDDEN * CLASSES];
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.hoisting = hoisting;
    options.warm_start = c->warm;
    options.initialization_auxiliary = !c->warm;
    if (c->thinned && hoisting)
        options.memory_budget = least_budget(p, &options);
    MUST(p->context, blo_tensor_download(p->data[0], kept, sizeof kept));
    MUST(p->context, blo_tensor_download(p->data[1], other, sizeof other));
    MUST(p->context, blo_model_zero_gradients(p->upper));
    MUST(p->context, blo_model_zero_gradients(p->lower));
    MUST(p->context, blo_lower_solver_create(objective, objective, NULL, p->upper, lower, &options, &solver));
    MUST(p->context, blo_iapttgm_create(objective, NULL, p->upper, lower, &method));
    for (int loop = 0; loop < 3; loop++) {
        if (loop == 2)
            MUST(p->context, blo_tensor_upload(p->data[0], other, sizeof other));
        MUST(p->context,
             blo_lower_optimize(solver, p->data[0], p->target[0], p->data[2], p->target[2], &trajectory, NULL));
        MUST(p->context, blo_iapttgm_compute_gradients(method, p->data[2], p->target[2], trajectory, &c->k, NULL));
        MUST(p->context, blo_trajectory_get(trajectory, 2, "head.weight", state, HIDDEN * CLASSES));
    }
    MUST(p->context, blo_trajectory_losses(trajectory, out->losses, STEPS));
    blo_trajectory_describe(trajectory, &out->report);
    memset(out->gradients, 0, sizeof out->gradients);
    read_all(p, c, out->gradients);
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    MUST(p->context, blo_tensor_upload(p->data[0], kept, sizeof kept));
}

static void compare_corner(const corner *c) {
    blo_context *context = open_context(0);
    problem p;
    outcome once, always;
    make(&p, context);
    if (c->one_model)
        MUST(context, blo_model_add_linear(p.upper, "head", HIDDEN, CLASSES));
    run_corner(&p, c, true, &once);
    run_corner(&p, c, false, &always);
    check(&once, &always);
    if (c->thinned)
        ck_assert_int_lt(once.report.snapshots, always.report.snapshots);
    destroy(&p);
    blo_context_destroy(context);
}

START_TEST(x_may_be_z) {
    compare_corner(&(corner){.one_model = true, .k = 3});
}
END_TEST

START_TEST(loops_may_start_warm) {
    compare_corner(&(corner){.warm = true, .k = STEPS});
    compare_corner(&(corner){.warm = true, .k = 1});
}
END_TEST

START_TEST(snapshots_may_be_thinned) {
    compare_corner(&(corner){.thinned = true, .k = 4});
}
END_TEST

/* --- another objective --- */

/* F that no loop has seen: it hoists more than the loop's own, and wants arrays of its own. */
static blo_node *wide(const blo_state *s, void *user) {
    blo_node *hidden = features(s);
    return blo_add(plain(s, user), blo_scale(loss_of(s, blo_sin(blo_scale(hidden, 3.0))), 0.5));
}

static blo_status sweep_by(problem *p, blo_objective objective, blo_trajectory *trajectory, double *gradients) {
    const int k = 3;
    blo_iapttgm *method = NULL;
    MUST(p->context, blo_iapttgm_create(objective, NULL, p->upper, p->lower, &method));
    MUST(p->context, blo_model_zero_gradients(p->upper));
    MUST(p->context, blo_model_zero_gradients(p->lower));
    blo_status status = blo_iapttgm_compute_gradients(method, p->data[2], p->target[2], trajectory, &k, NULL);
    read_gradients(p, gradients);
    blo_iapttgm_destroy(method);
    return status;
}

START_TEST(another_objective_after_a_loop_that_took_the_whole_budget_is_refused_with_the_numbers) {
    static double wanted[GRADIENTS], got[GRADIENTS], none[GRADIENTS];
    problem p;
    blo_lower_options options;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    make(&p, open_context(0));
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.memory_budget = least_budget(&p, &options);
    MUST(p.context, blo_lower_solver_create(plain, plain, NULL, p.upper, p.lower, &options, &solver));
    MUST(p.context, blo_lower_optimize(solver, p.data[0], p.target[0], p.data[2], p.target[2], &trajectory, NULL));
    MUST(p.context, sweep_by(&p, plain, trajectory, wanted));
    MUST_FAIL(p.context, BLO_ERROR_BUDGET, "at least ", sweep_by(&p, wide, trajectory, got));
    ck_assert_mem_eq(got, none, sizeof got); /* nothing was added */
    MUST(p.context, sweep_by(&p, plain, trajectory, got));
    ck_assert_mem_eq(got, wanted, sizeof got);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    destroy(&p);
    blo_context_destroy(p.context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("hoisting");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_test(all, a_backbone_is_computed_once);
    tcase_add_test(all, what_comes_from_the_start_is_pulled_back_to_it);
    tcase_add_test(all, what_depends_on_the_step_stays_in_it);
    tcase_add_test(all, x_may_be_z);
    tcase_add_test(all, loops_may_start_warm);
    tcase_add_test(all, snapshots_may_be_thinned);
    tcase_add_test(all, another_objective_after_a_loop_that_took_the_whole_budget_is_refused_with_the_numbers);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
