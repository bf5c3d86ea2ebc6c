/* Small problems run whole: the same bits as queued, one launch a loop, many upper iterations a launch, and the same
 * errors, stops and objects afterwards. */
#include "small.h"

enum { ITERATIONS = 4 };

static void momentum(blo_lower_options *o) {
    o->optimizer.momentum = 0.9;
}
static void nesterov(blo_lower_options *o) {
    o->optimizer.momentum = 0.8;
    o->optimizer.nesterov = true;
    o->optimizer.weight_decay = 0.01;
}
static void adam(blo_lower_options *o) {
    blo_optimizer_options_default(&o->optimizer, BLO_ADAM);
    o->optimizer.learning_rate = 0.05;
}
static void adam_ball(blo_lower_options *o) {
    adam(o);
    o->projection = BLO_PROJECT_BALL;
    o->ball_radius = 0.6;
}
static void box(blo_lower_options *o) {
    o->projection = BLO_PROJECT_BOX;
    o->box_lo = -0.25;
    o->box_hi = 0.62;
}
static void no_auxiliary(blo_lower_options *o) {
    o->initialization_auxiliary = false;
}
static void warm(blo_lower_options *o) {
    no_auxiliary(o);
    o->warm_start = true;
}
static void to_the_end(blo_lower_options *o) {
    o->truncation = false;
}
static void last_only(blo_lower_options *o) {
    o->acquire_max_loss = false;
    o->optimizer.momentum = 0.9;
}

/* Softmax regression with a weight per example, and with a penalty per feature. */
#define WEIGHTS .lower = weights_lower, .upper = softmax_upper, .data = DATA_CLASSES, .x = "weight", .x_count = ROWS
#define PENALTY .lower = penalty_lower, .upper = softmax_upper, .data = DATA_CLASSES, .x = "penalty", .x_count = COLUMNS

static const small_case cases[] = {
    {.name = "sine", .dtype = BLO_DOUBLE, .lower = sine_lower, .upper = sine_upper, .x = "x"},
    {.name = "sine in float", .dtype = BLO_FLOAT, .lower = sine_lower, .upper = sine_upper, .x = "x", .options = adam},
    {.name = "one model", .dtype = BLO_DOUBLE, .lower = one_lower, .upper = one_upper},
    {.name = "near y_0", .dtype = BLO_DOUBLE, .lower = near_lower, .upper = near_upper, .x = "x", .options = box},
    {.name = "weights", .dtype = BLO_FLOAT, WEIGHTS},
    {.name = "weights in double", .dtype = BLO_DOUBLE, WEIGHTS, .options = momentum},
    {.name = "nesterov", .dtype = BLO_FLOAT, WEIGHTS, .options = nesterov},
    {.name = "penalty", .dtype = BLO_FLOAT, PENALTY, .options = adam},
    {.name = "adam and ball", .dtype = BLO_DOUBLE, PENALTY, .options = adam_ball, .adams = true},
    {.name = "learned rate", .dtype = BLO_FLOAT, WEIGHTS, .rate = true},
    {.name = "inputs",
     .dtype = BLO_FLOAT,
     .lower = inputs_lower,
     .upper = inputs_upper,
     .data = DATA_CLASSES,
     .x = "weight",
     .x_count = ROWS,
     .inputs = true},
    {.name = "no auxiliary", .dtype = BLO_FLOAT, PENALTY, .options = no_auxiliary},
    {.name = "warm start", .dtype = BLO_FLOAT, PENALTY, .options = warm},
    {.name = "no truncation", .dtype = BLO_FLOAT, PENALTY, .options = to_the_end},
    {.name = "F at T only", .dtype = BLO_FLOAT, WEIGHTS, .options = last_only},
};
enum { CASES = sizeof cases / sizeof *cases };

/* --- the two calls --- */

/* Everything of ITERATIONS upper iterations, the sweep repeated from other steps and with other data in between. */
static void record_calls(const small_case *kind, blo_whole_mode whole, record *r) {
    scene s;
    blo_trajectory *trajectory = NULL;
    double losses[STEPS], loss;
    int k;
    r->n = 0;
    scene_open(&s, kind, whole);
    for (int i = 0; i < ITERATIONS; i++) {
        scene_clear(&s);
        MUST(s.context, scene_loop(&s, &trajectory, &k));
        MUST(s.context, blo_trajectory_losses(trajectory, losses, STEPS));
        note_all(r, losses, STEPS);
        note(r, k);
        for (int again = 0; again < 2; again++) { /* adds up */
            MUST(s.context, scene_sweep(&s, trajectory, k, &loss));
            note(r, loss);
            note_models(&s, r, true);
        }
        for (int at = 0; at <= STEPS; at += STEPS / 3)
            note_state(&s, r, trajectory, at);
        if (i == 1) { /* from another step, with other data, and the first again */
            MUST(s.context, scene_sweep(&s, trajectory, 1 + STEPS / 2, &loss));
            note(r, loss);
            int other = k;
            MUST(s.context, blo_iapttgm_compute_gradients(s.method, s.data[0], s.data[1], trajectory, &other, &loss));
            note(r, loss);
            MUST(s.context, scene_sweep(&s, trajectory, k, &loss));
            note_models(&s, r, true);
        }
        scene_step(&s);
        note_models(&s, r, false);
    }
    blo_trajectory_destroy(trajectory);
    scene_close(&s);
}

START_TEST(the_same_bits_as_queued) {
    static record whole, queued;
    record_calls(&cases[_i], BLO_WHOLE_ON, &whole);
    record_calls(&cases[_i], BLO_WHOLE_OFF, &queued);
    same_records(cases[_i].name, &whole, &queued);
    int moved = 0;
    for (int i = 0; i < whole.n; i++)
        moved += whole.values[i] != 0.0 && isfinite(whole.values[i]);
    ck_assert_int_gt(moved, whole.n / 4);
}
END_TEST

static blo_statistics statistics_of(const scene *s) {
    blo_statistics statistics;
    blo_context_statistics(s->context, &statistics);
    return statistics;
}

START_TEST(one_launch_and_one_wait_a_loop) {
    scene s;
    blo_trajectory *trajectory = NULL;
    blo_trajectory_report report;
    int k;
    scene_open(&s, &cases[_i], BLO_WHOLE_AUTO);
    for (int i = 0; i < 3; i++) {
        blo_statistics before = statistics_of(&s);
        MUST(s.context, scene_loop(&s, &trajectory, &k));
        blo_statistics after = statistics_of(&s);
        ck_assert_uint_eq(after.launches - before.launches, 1);
        ck_assert_uint_eq(after.waits - before.waits, 1);
        MUST(s.context, scene_sweep(&s, trajectory, k, NULL));
        ck_assert_uint_eq(statistics_of(&s).launches - after.launches, 1);
        ck_assert_uint_eq(statistics_of(&s).waits, after.waits);
        blo_trajectory_describe(trajectory, &report);
        ck_assert_uint_eq(report.loop_launches, 1);
        ck_assert_uint_eq(report.sweep_launches, 1);
        ck_assert_int_eq(report.snapshots, STEPS + 1);
        scene_step(&s);
    }
    blo_trajectory_destroy(trajectory);
    scene_close(&s);
}
END_TEST

/* --- solve --- */

typedef struct watcher {
    record *r;
    int stop; /* after this iteration */
} watcher;

static bool watch(int iteration, double loss, int k, void *user) {
    watcher *w = user;
    note(w->r, iteration);
    note(w->r, loss);
    note(w->r, k);
    return iteration != w->stop;
}

static blo_status solve(const scene *s, int iterations, watcher *w) {
    return blo_iapttgm_solve(s->method, s->solver, s->n_optimizers, s->optimizers, s->data[0], s->data[1], s->data[2],
                             s->data[3], iterations, w ? watch : NULL, w);
}

/* Solved in two parts, so that optimizers and warm starts go on from the first; then everything as it stands. */
static void record_solve(const small_case *kind, blo_whole_mode whole, int stop, record *r) {
    scene s;
    blo_trajectory *trajectory = NULL;
    int k;
    r->n = 0;
    watcher w = {r, stop};
    scene_open(&s, kind, whole);
    MUST(s.context, solve(&s, 23, &w));
    note_models(&s, r, false);
    note_models(&s, r, true);
    MUST(s.context, solve(&s, 5, NULL));
    scene_step(&s); /* what the optimizers remember shows in the next step */
    note_models(&s, r, false);
    MUST(s.context, scene_loop(&s, &trajectory, &k));
    note(r, k);
    note_state(&s, r, trajectory, STEPS);
    blo_trajectory_destroy(trajectory);
    scene_close(&s);
}

START_TEST(solve_is_the_calls) {
    static record whole, queued;
    const int stops[] = {-1, 0, 4, 22};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        if (i > 0 && _i % 4 != 0)
            break; /* stopping is not a matter of the problem */
        record_solve(&cases[_i], BLO_WHOLE_ON, stops[i], &whole);
        record_solve(&cases[_i], BLO_WHOLE_OFF, stops[i], &queued);
        same_records(cases[_i].name, &whole, &queued);
    }
}
END_TEST

START_TEST(many_upper_iterations_in_one_launch) {
    scene s;
    scene_open(&s, &cases[0], BLO_WHOLE_AUTO);
    blo_statistics before = statistics_of(&s);
    MUST(s.context, solve(&s, 400, NULL));
    blo_statistics after = statistics_of(&s);
    ck_assert_uint_ge(after.launches - before.launches, 1);
    ck_assert_uint_le(after.launches - before.launches, 400 / 8);
    scene_close(&s);
}
END_TEST

START_TEST(a_kernel_serves_as_long_as_the_optimizers_stay) {
    scene s;
    scene_open(&s, &cases[0], BLO_WHOLE_AUTO);
    const blo_statistics before = statistics_of(&s);
    MUST(s.context, solve(&s, 200, NULL));
    scene_step(&s);
    MUST(s.context, blo_optimizer_set_learning_rate(s.optimizers[1], 0.01));
    const blo_statistics between = statistics_of(&s);
    MUST(s.context, solve(&s, 200, NULL));
    const blo_statistics after = statistics_of(&s);
    ck_assert_uint_eq(after.kernels_built, between.kernels_built);
    /* How long iterations take is known, so that none are tried in small batches first. */
    ck_assert_uint_lt(after.launches - between.launches, between.launches - before.launches);
    scene_close(&s);
}
END_TEST

/* Solved again after each change of what an optimizer does. */
static void record_changes(const small_case *kind, blo_whole_mode whole, record *r) {
    scene s;
    blo_optimizer_options options;
    r->n = 0;
    scene_open(&s, kind, whole);
    for (int i = 0; i < 5; i++) {
        MUST(s.context, solve(&s, 4, NULL));
        note_models(&s, r, false);
        if (i == 0)
            MUST(s.context, blo_optimizer_set_learning_rate(s.optimizers[0], 0.4));
        if (i == 1)
            MUST(s.context, blo_optimizer_set_box(s.optimizers[0], -0.5, 0.25));
        if (i == 2) { /* another may be where it was */
            blo_optimizer_destroy(s.optimizers[0]);
            blo_optimizer_options_default(&options, BLO_SGD);
            MUST(s.context, blo_optimizer_create(s.lower, &options, &s.optimizers[0]));
        }
        if (i == 3) {
            blo_optimizer *first = s.optimizers[0];
            s.optimizers[0] = s.optimizers[s.n_optimizers - 1];
            s.optimizers[s.n_optimizers - 1] = first;
        }
    }
    scene_close(&s);
}

START_TEST(what_optimizers_become_is_what_solve_steps) {
    static record whole, queued;
    record_changes(&cases[_i], BLO_WHOLE_ON, &whole);
    record_changes(&cases[_i], BLO_WHOLE_OFF, &queued);
    same_records(cases[_i].name, &whole, &queued);
}
END_TEST

START_TEST(optimizers_of_other_models_are_called_one_by_one) {
    static record whole, queued;
    const blo_whole_mode modes[2] = {BLO_WHOLE_AUTO, BLO_WHOLE_OFF};
    record *const records[2] = {&whole, &queued};
    for (int m = 0; m < 2; m++) {
        scene s;
        blo_model *other = NULL;
        const double start = 2.0;
        records[m]->n = 0;
        scene_open(&s, &cases[0], modes[m]);
        MUST(s.context, blo_model_create(s.context, BLO_DOUBLE, &other));
        MUST(s.context, blo_model_add(other, "w", 0, NULL));
        MUST(s.context, blo_model_set(other, "w", &start, 1));
        blo_optimizer_options decay;
        blo_optimizer_options_default(&decay, BLO_SGD);
        decay.weight_decay = 0.5;
        blo_optimizer *optimizer = NULL;
        MUST(s.context, blo_optimizer_create(other, &decay, &optimizer));
        blo_optimizer *const all[3] = {s.optimizers[0], s.optimizers[1], optimizer};
        MUST(s.context, blo_iapttgm_solve(s.method, s.solver, 3, all, NULL, NULL, NULL, NULL, 3, NULL, NULL));
        note_models(&s, records[m], false);
        note_model(&s, records[m], other, false);
        blo_optimizer_destroy(optimizer);
        blo_model_destroy(other);
        scene_close(&s);
    }
    same_records("another model", &whole, &queued);
    ck_assert_double_lt(whole.values[whole.n - 1], 2.0);
}
END_TEST

/* --- errors --- */

static void steep(blo_lower_options *o) {
    o->optimizer.learning_rate = 6.0;
}

static const small_case diverging = {
    .name = "diverging", .dtype = BLO_FLOAT, .lower = steep_lower, .upper = steep_upper, .x = "x", .options = steep};
static const small_case edge = {.name = "edge", .dtype = BLO_FLOAT, .lower = sine_lower, .upper = edge_upper, .x = "x"};

/* The loop's own error, and what is left by it. */
static void record_divergence(blo_whole_mode whole, bool solved, record *r, char message[512]) {
    scene s;
    blo_trajectory *trajectory = NULL;
    int k;
    r->n = 0;
    watcher w = {r, -1};
    scene_open(&s, &diverging, whole);
    scene_clear(&s);
    MUST_FAIL(s.context, BLO_ERROR_NUMERIC, "not finite at lower step",
              solved ? solve(&s, 9, &w) : scene_loop(&s, &trajectory, &k));
    snprintf(message, 512, "%s", blo_context_error(s.context));
    ck_assert_ptr_null(trajectory);
    note_models(&s, r, false);
    note_models(&s, r, true);
    scene_close(&s);
}

START_TEST(a_loss_that_is_not_finite_names_the_step) {
    static record whole, queued;
    char a[512], b[512];
    record_divergence(BLO_WHOLE_ON, _i, &whole, a);
    record_divergence(BLO_WHOLE_OFF, _i, &queued, b);
    ck_assert_str_eq(a, b);
    same_records("diverging", &whole, &queued);
}
END_TEST

static void record_edge(blo_whole_mode whole, bool solved, record *r, char message[512]) {
    scene s;
    blo_trajectory *trajectory = NULL;
    blo_status status = BLO_OK;
    double loss;
    int k;
    r->n = 0;
    watcher w = {r, -1};
    scene_open(&s, &edge, whole);
    if (solved)
        status = solve(&s, 60, &w);
    for (int i = 0; !solved && status == BLO_OK && i < 60; i++) {
        scene_clear(&s);
        status = scene_loop(&s, &trajectory, &k);
        if (status == BLO_OK) {
            MUST(s.context, scene_sweep(&s, trajectory, k, &loss)); /* told at the next wait */
            note(r, loss);
            scene_step(&s);
        }
    }
    ck_assert_int_eq(status, BLO_ERROR_NUMERIC);
    snprintf(message, 512, "%s", blo_context_error(s.context));
    note_models(&s, r, false);
    note_models(&s, r, true);
    blo_trajectory_destroy(trajectory);
    scene_close(&s);
}

START_TEST(a_sweep_that_is_not_finite_is_told_at_the_next_wait) {
    static record whole, queued;
    char a[512], b[512];
    record_edge(BLO_WHOLE_ON, _i, &whole, a);
    record_edge(BLO_WHOLE_OFF, _i, &queued, b);
    ck_assert_str_eq(a, b);
    ck_assert_ptr_nonnull(strstr(a, "backward sweep at lower step"));
    same_records("edge", &whole, &queued);
    ck_assert_int_gt(whole.n, 6);
}
END_TEST

static blo_node *large_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *square = blo_matmul(s->data, blo_model_parameter(s->lower_model, "w"), false, false);
    return blo_mean(blo_square(square));
}

START_TEST(what_is_not_small_is_queued_or_refused) {
    enum { SIDE = 96 };
    for (int mode = BLO_WHOLE_AUTO; mode <= BLO_WHOLE_ON; mode++) {
        blo_context *context = open_context(0);
        blo_model *lower = NULL;
        blo_tensor *data = NULL;
        blo_lower_solver *solver = NULL;
        blo_trajectory *trajectory = NULL;
        blo_trajectory_report report;
        blo_lower_options options;
        const int64_t shape[2] = {SIDE, SIDE};
        static float values[SIDE * SIDE];
        blo_lower_options_default(&options);
        options.lower_loop = 3;
        options.whole = (blo_whole_mode)mode;
        MUST(context, blo_model_create(context, BLO_FLOAT, &lower));
        MUST(context, blo_model_add(lower, "w", 2, shape));
        MUST(context, blo_tensor_create(context, BLO_FLOAT, 2, shape, values, &data));
        MUST(context, blo_lower_solver_create(large_lower, large_lower, NULL, NULL, lower, &options, &solver));
        if (mode == BLO_WHOLE_ON)
            MUST_FAIL(context, BLO_ERROR_UNSUPPORTED, "whole is on",
                      blo_lower_optimize(solver, data, NULL, data, NULL, &trajectory, NULL));
        else {
            MUST(context, blo_lower_optimize(solver, data, NULL, data, NULL, &trajectory, NULL));
            blo_trajectory_describe(trajectory, &report);
            ck_assert_uint_gt(report.loop_launches, 3);
        }
        blo_trajectory_destroy(trajectory);
        blo_lower_solver_destroy(solver);
        blo_tensor_destroy(data);
        blo_model_destroy(lower);
        blo_context_destroy(context);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("small problems run whole");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 240);
    tcase_add_loop_test(all, the_same_bits_as_queued, 0, CASES);
    tcase_add_loop_test(all, one_launch_and_one_wait_a_loop, 0, CASES);
    tcase_add_loop_test(all, solve_is_the_calls, 0, CASES);
    tcase_add_loop_test(all, what_optimizers_become_is_what_solve_steps, 0, 2);
    tcase_add_test(all, many_upper_iterations_in_one_launch);
    tcase_add_test(all, a_kernel_serves_as_long_as_the_optimizers_stay);
    tcase_add_test(all, optimizers_of_other_models_are_called_one_by_one);
    tcase_add_loop_test(all, a_loss_that_is_not_finite_names_the_step, 0, 2);
    tcase_add_loop_test(all, a_sweep_that_is_not_finite_is_told_at_the_next_wait, 0, 2);
    tcase_add_test(all, what_is_not_small_is_queued_or_refused);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
