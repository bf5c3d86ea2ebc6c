/* Kept intermediates: whatever the budget lets a loop keep beside its snapshots (all hidden layers, those of the first
 * steps, none) and however many states it recomputes, the losses and the hypergradients are the same to the bit. */
#include <math.h>

#include "../support.h"
#include "bilevel/solver.h"

enum { EXAMPLES = 300, FEATURES = 50, HIDDEN = 24, CLASSES = 5, STEPS = 14, MOST_PARAMETERS = 5 };

static const char *const NAMES[MOST_PARAMETERS] = {"x", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
static const int64_t COUNTS[MOST_PARAMETERS] = {EXAMPLES, FEATURES *HIDDEN, HIDDEN, HIDDEN *CLASSES, CLASSES};

static blo_node *forward(const blo_bound_model *model, blo_node *data, void *user) {
    (void)user;
    return blo_model_linear(model, "fc2", blo_tanh(blo_model_linear(model, "fc1", data)));
}

static blo_node *lower_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *losses = blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_NONE);
    return blo_mean(blo_mul(blo_sigmoid(blo_model_parameter(s->upper_model, "x")), losses));
}

static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
}

typedef struct problem {
    blo_context *context;
    blo_model *upper, *lower;
    blo_tensor *data[2], *target[2];
} problem;

static void make_data(problem *p, blo_dtype dtype, int which) {
    uint64_t seed = 11 + (uint64_t)which;
    double *wide = malloc(EXAMPLES * FEATURES * sizeof *wide);
    float *narrow = malloc(EXAMPLES * FEATURES * sizeof *narrow);
    int32_t classes[EXAMPLES];
    for (int i = 0; i < EXAMPLES * FEATURES; i++)
        narrow[i] = (float)(wide[i] = next_number(&seed));
    for (int i = 0; i < EXAMPLES; i++)
        classes[i] = (int32_t)((next_number(&seed) + 1.0) * 0.499 * CLASSES);
    const void *values = dtype == BLO_DOUBLE ? (const void *)wide : (const void *)narrow;
    MUST(p->context,
         blo_tensor_create(p->context, dtype, 2, (const int64_t[]){EXAMPLES, FEATURES}, values, &p->data[which]));
    MUST(p->context,
         blo_tensor_create(p->context, BLO_INT32, 1, (const int64_t[]){EXAMPLES}, classes, &p->target[which]));
    free(narrow);
    free(wide);
}

static void make(problem *p, blo_context *context, blo_dtype dtype) {
    *p = (problem){.context = context};
    MUST(context, blo_model_create(context, dtype, &p->upper));
    MUST(context, blo_model_create(context, dtype, &p->lower));
    MUST(context, blo_model_add(p->upper, "x", 1, (const int64_t[]){EXAMPLES}));
    MUST(context, blo_model_add_linear(p->lower, "fc1", FEATURES, HIDDEN));
    MUST(context, blo_model_add_linear(p->lower, "fc2", HIDDEN, CLASSES));
    blo_model_set_forward(p->lower, forward, NULL);
    make_data(p, dtype, 0);
    make_data(p, dtype, 1);
}

static void destroy(problem *p) {
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(p->data[i]);
        blo_tensor_destroy(p->target[i]);
    }
    blo_model_destroy(p->lower);
    blo_model_destroy(p->upper);
}

typedef struct outcome {
    double losses[STEPS], gradients[EXAMPLES + FEATURES * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES];
    blo_trajectory_report report;
} outcome;

/* One loop and the sweep from step K under BUDGET. */
static blo_status run(problem *p, uint64_t budget, int k, outcome *out) {
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = 0.5;
    options.memory_budget = budget;
    MUST(p->context, blo_model_zero_gradients(p->upper));
    MUST(p->context, blo_model_zero_gradients(p->lower));
    MUST(p->context,
         blo_lower_solver_create(lower_objective, upper_objective, NULL, p->upper, p->lower, &options, &solver));
    MUST(p->context, blo_iapttgm_create(upper_objective, NULL, p->upper, p->lower, &method));
    blo_status status =
        blo_lower_optimize(solver, p->data[0], p->target[0], p->data[1], p->target[1], &trajectory, NULL);
    if (status == BLO_OK) {
        MUST(p->context, blo_iapttgm_compute_gradients(method, p->data[1], p->target[1], trajectory, &k, NULL));
        MUST(p->context, blo_trajectory_losses(trajectory, out->losses, STEPS));
        blo_trajectory_describe(trajectory, &out->report);
        double *to = out->gradients;
        for (int i = 0; i < MOST_PARAMETERS; to += COUNTS[i++])
            MUST(p->context, blo_model_get_gradient(i == 0 ? p->upper : p->lower, NAMES[i], to, COUNTS[i]));
    }
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    return status;
}

static void budgets_agree(blo_context *context, blo_dtype dtype, int k) {
    problem p;
    outcome all, some;
    make(&p, context, dtype);
    MUST(context, run(&p, 0, k, &all));
    ck_assert_int_eq(all.report.snapshots, STEPS + 1);
    ck_assert_int_eq(all.report.kept_steps, STEPS);
    bool nothing_kept = false, partly_kept = false, thinned = false;
    for (uint64_t budget = 100000; budget < 6000000; budget += budget / 32) {
        blo_status status = run(&p, budget, k, &some);
        if (status == BLO_ERROR_BUDGET)
            continue;
        MUST(context, status);
        ck_assert_mem_eq(some.losses, all.losses, sizeof all.losses);
        ck_assert_mem_eq(some.gradients, all.gradients, sizeof all.gradients);
        nothing_kept = nothing_kept || some.report.kept_steps == 0;
        partly_kept = partly_kept || (some.report.kept_steps > 0 && some.report.kept_steps < STEPS);
        thinned = thinned || some.report.snapshots < STEPS + 1;
    }
    ck_assert(nothing_kept && partly_kept && thinned);
    double largest = 0;
    for (int i = 0; i < EXAMPLES; i++)
        largest = fmax(largest, fabs(all.gradients[i]));
    ck_assert_double_gt(largest, 0);
    destroy(&p);
}

START_TEST(every_budget_gives_the_same_bits) {
    blo_context *context = open_context(0);
    for (int k = 1; k <= STEPS; k += STEPS - 1)
        budgets_agree(context, BLO_FLOAT, k);
    if (blo_context_has_double(context))
        budgets_agree(context, BLO_DOUBLE, STEPS / 2);
    blo_context_destroy(context);
}
END_TEST

/* --- two trajectories of one solver --- */

enum { READ = 11 }; /* a state that is computed again */
enum { BUDGET = 1200000, BALLAST = 700000 };

typedef struct two_loops {
    double state[FEATURES * HIDDEN], gradients[EXAMPLES];
} two_loops;

/* A loop on the first data and, OTHER, one on the second data after it, both thinned: BALLAST bytes of the budget are
 * taken while the first is laid out, and free again for the second. What the first is read, then swept, for. */
static void run_two(problem *p, uint64_t budget, uint64_t ballast, bool other, two_loops *out) {
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *first = NULL, *second = NULL;
    blo_trajectory_report report;
    blo_tensor *taken = NULL;
    const int k = STEPS;
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = 0.5;
    options.memory_budget = budget;
    MUST(p->context, blo_model_zero_gradients(p->upper));
    MUST(p->context,
         blo_lower_solver_create(lower_objective, upper_objective, NULL, p->upper, p->lower, &options, &solver));
    MUST(p->context, blo_iapttgm_create(upper_objective, NULL, p->upper, p->lower, &method));
    MUST(p->context, blo_tensor_create(p->context, BLO_UINT8, 1, (const int64_t[]){(int64_t)ballast}, NULL, &taken));
    MUST(p->context, blo_lower_optimize(solver, p->data[0], p->target[0], p->data[1], p->target[1], &first, NULL));
    blo_tensor_destroy(taken);
    blo_trajectory_describe(first, &report);
    ck_assert_int_lt(report.snapshots, STEPS + 1);
    ck_assert(blo_plan_kept_bytes(first->step->plan) > 0 || !blo_context_facts(p->context)->is_cpu);
    for (int again = 0; again < 2; again++) {
        if (other)
            MUST(p->context,
                 blo_lower_optimize(solver, p->data[1], p->target[1], p->data[1], p->target[1], &second, NULL));
        if (again)
            MUST(p->context, blo_iapttgm_compute_gradients(method, p->data[1], p->target[1], first, &k, NULL));
        else
            MUST(p->context, blo_trajectory_get(first, READ, "fc1.weight", out->state, FEATURES * HIDDEN));
    }
    MUST(p->context, blo_model_get_gradient(p->upper, "x", out->gradients, EXAMPLES));
    blo_trajectory_destroy(first);
    blo_trajectory_destroy(second);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
}

/* A state that is computed again is computed from what its own loop read, packed as that was, whatever ran since. */
START_TEST(a_loop_on_other_data_changes_nothing) {
    static two_loops alone, with_other;
    problem p;
    make(&p, open_context(0), BLO_FLOAT);
    run_two(&p, BUDGET, BALLAST, false, &alone);
    run_two(&p, BUDGET, BALLAST, true, &with_other);
    ck_assert_mem_eq(with_other.state, alone.state, sizeof alone.state);
    ck_assert_mem_eq(with_other.gradients, alone.gradients, sizeof alone.gradients);
    destroy(&p);
    blo_context_destroy(p.context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kept intermediates");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_test(all, every_budget_gives_the_same_bits);
    tcase_add_test(all, a_loop_on_other_data_changes_nothing);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
