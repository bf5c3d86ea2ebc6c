/* Gradients that are cleared late: what is seen of them is zero from the call on, by every way to see it, also where
 * calls fail in between; and what adds to them next costs nothing more. */
#include "../support/context.h"
#include "small.h"

/* The paper's example, with the gradient of x as an input. */
static blo_node *seeing_lower(const blo_state *s, void *user) {
    return blo_add(sine_lower(s, user), blo_mul(blo_state_input(s, "gradient"), blo_square(y_of(s))));
}

static const small_case sine = {
    .name = "sine", .dtype = BLO_DOUBLE, .lower = sine_lower, .upper = sine_upper, .x = "x"};
static const small_case one = {.name = "one model", .dtype = BLO_DOUBLE, .lower = one_lower, .upper = one_upper};
static const small_case seeing = {
    .name = "seeing", .dtype = BLO_DOUBLE, .lower = seeing_lower, .upper = sine_upper, .x = "x"};

static scene s;
static blo_trajectory *trajectory;
static int k;

static void open_with(const small_case *kind, blo_whole_mode whole) {
    scene_open(&s, kind, whole);
    trajectory = NULL;
}

static void open_sine(void) {
    open_with(&sine, BLO_WHOLE_AUTO);
}

static void close_scene(void) {
    blo_trajectory_destroy(trajectory);
    scene_close(&s);
}

static blo_status loop_and_sweep(void) {
    blo_status status = scene_loop(&s, &trajectory, &k);
    return status == BLO_OK ? scene_sweep(&s, trajectory, k, NULL) : status;
}

/* Gradients that are not zero. */
static void fill_gradients(void) {
    const double full = 7.0;
    MUST(s.context, blo_tensor_upload(blo_model_gradient(s.lower, "y"), &full, sizeof full));
    if (s.upper != s.lower)
        MUST(s.context, blo_tensor_upload(blo_model_gradient(s.upper, "x"), &full, sizeof full));
}

/* The same as blo_model_zero_gradients(), at once. */
static void clear_at_once(void) {
    const double zero = 0.0;
    MUST(s.context, blo_tensor_upload(blo_model_gradient(s.lower, "y"), &zero, sizeof zero));
    if (s.upper != s.lower)
        MUST(s.context, blo_tensor_upload(blo_model_gradient(s.upper, "x"), &zero, sizeof zero));
}

static double gradient_of(blo_model *model, const char *name) {
    double value;
    MUST(s.context, blo_model_get_gradient(model, name, &value, 1));
    return value;
}

START_TEST(it_reads_zero_at_once_and_after_a_loop) {
    blo_tensor *held = blo_model_gradient(s.upper, "x");
    double got;
    fill_gradients();
    scene_clear(&s);
    MUST(s.context, blo_tensor_download(held, &got, sizeof got));
    ck_assert_double_eq(got, 0.0);
    fill_gradients();
    scene_clear(&s);
    MUST(s.context, scene_loop(&s, &trajectory, &k));
    MUST(s.context, blo_tensor_download(held, &got, sizeof got));
    ck_assert_double_eq(got, 0.0);
    ck_assert_double_eq(gradient_of(s.lower, "y"), 0.0);
}
END_TEST

START_TEST(what_is_written_after_it_stays) {
    fill_gradients();
    scene_clear(&s);
    fill_gradients();
    ck_assert_double_eq(gradient_of(s.upper, "x"), 7.0);
    MUST(s.context, loop_and_sweep());
    const double added = gradient_of(s.upper, "x") - 7.0;
    scene_clear(&s);
    MUST(s.context, loop_and_sweep());
    ck_assert_double_eq_tol(gradient_of(s.upper, "x"), added, 1e-14);
    ck_assert_double_ne(added, 0.0);
}
END_TEST

/* Two sweeps, a step on cleared gradients, and what the next steps remember of it. */
static void record_all(const small_case *kind, blo_whole_mode whole, void (*clear)(void), record *r) {
    r->n = 0;
    open_with(kind, whole);
    for (int i = 0; i < 3; i++) {
        fill_gradients();
        clear();
        MUST(s.context, loop_and_sweep());
        note_models(&s, r, true);
        MUST(s.context, scene_sweep(&s, trajectory, k, NULL)); /* adds up */
        note_models(&s, r, true);
        scene_step(&s);
        clear();
        scene_step(&s);
        note_models(&s, r, false);
    }
    close_scene();
}

static void clear_late(void) {
    scene_clear(&s);
}

START_TEST(it_is_as_clearing_at_once) {
    static record late, at_once;
    const small_case *const kinds[] = {&sine, &one};
    close_scene();
    for (int mode = BLO_WHOLE_ON; mode <= BLO_WHOLE_OFF; mode++) {
        record_all(kinds[_i], (blo_whole_mode)mode, clear_late, &late);
        record_all(kinds[_i], (blo_whole_mode)mode, clear_at_once, &at_once);
        same_records(kinds[_i]->name, &late, &at_once);
    }
    open_sine();
}
END_TEST

START_TEST(a_loop_that_reads_a_gradient_reads_zero) {
    double wanted = 0;
    close_scene();
    for (int late = 0; late < 2; late++) {
        open_with(&seeing, BLO_WHOLE_ON);
        MUST(s.context, blo_lower_solver_set_input(s.solver, "gradient", blo_model_gradient(s.upper, "x"), false));
        fill_gradients();
        if (late)
            scene_clear(&s);
        else
            clear_at_once();
        MUST(s.context, scene_loop(&s, &trajectory, &k));
        double y;
        MUST(s.context, blo_trajectory_get(trajectory, STEPS, "y", &y, 1));
        if (late)
            ck_assert_double_eq(y, wanted);
        wanted = y;
        close_scene();
    }
    open_sine();
}
END_TEST

START_TEST(two_solvers_add_to_what_was_cleared_once) {
    blo_lower_options options;
    blo_lower_solver *other = NULL;
    blo_trajectory *second = NULL;
    double loss;
    int last;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS / 2;
    options.optimizer.learning_rate = 0.1;
    MUST(s.context, blo_lower_solver_create(sine_lower, sine_upper, NULL, s.upper, s.lower, &options, &other));
    double parts[2], both;
    for (int turn = 0; turn < 3; turn++) { /* the first alone, the second alone, both */
        fill_gradients();
        scene_clear(&s);
        if (turn != 1)
            MUST(s.context, loop_and_sweep());
        if (turn != 0) {
            MUST(s.context, blo_lower_optimize(other, NULL, NULL, NULL, NULL, &second, &last));
            MUST(s.context, blo_iapttgm_compute_gradients(s.method, NULL, NULL, second, &last, &loss));
        }
        both = gradient_of(s.lower, "y");
        if (turn < 2)
            parts[turn] = both;
    }
    ck_assert_double_eq(both, parts[0] + parts[1]);
    ck_assert_double_ne(parts[0], 0.0);
    ck_assert_double_ne(parts[1], 0.0);
    blo_trajectory_destroy(second);
    blo_lower_solver_destroy(other);
}
END_TEST

/* One of two gradients was read in between: it is zero already, the other not yet. */
START_TEST(one_may_be_cleared_already) {
    fill_gradients();
    scene_clear(&s);
    MUST(s.context, loop_and_sweep());
    const double x = gradient_of(s.upper, "x"), y = gradient_of(s.lower, "y");
    fill_gradients();
    scene_clear(&s);
    ck_assert_double_eq(gradient_of(s.upper, "x"), 0.0);
    MUST(s.context, loop_and_sweep());
    ck_assert_double_eq(gradient_of(s.upper, "x"), x);
    ck_assert_double_eq(gradient_of(s.lower, "y"), y);
}
END_TEST

START_TEST(any_call_may_fail_in_between) {
    enum { MORE_CALLS_THAN_THERE_ARE = 500 };
    fill_gradients();
    scene_clear(&s);
    MUST(s.context, loop_and_sweep());
    const double x = gradient_of(s.upper, "x"), y = gradient_of(s.lower, "y");
    int failures = 0;
    for (int call = 1; call < MORE_CALLS_THAN_THERE_ARE; call++) {
        fill_gradients();
        scene_clear(&s);
        s.context->faults = call;
        const bool ended = ended_before_fault(s.context, loop_and_sweep());
        ck_assert_double_eq(gradient_of(s.upper, "x"), ended ? x : 0.0); /* a sweep that fails adds nothing */
        ck_assert_double_eq(gradient_of(s.lower, "y"), ended ? y : 0.0);
        if (ended)
            break;
        failures++;
    }
    ck_assert_int_ge(failures, 3);
}
END_TEST

START_TEST(a_model_that_was_cleared_may_go) {
    const double full[2] = {3.0, 4.0};
    blo_model *gone = NULL, *next = NULL;
    double got[2];
    MUST(s.context, blo_model_create(s.context, BLO_DOUBLE, &gone));
    MUST(s.context, blo_model_add(gone, "w", 1, (const int64_t[]){2}));
    MUST(s.context, blo_model_zero_gradients(gone));
    blo_model_destroy(gone);
    MUST(s.context, blo_model_create(s.context, BLO_DOUBLE, &next));
    MUST(s.context, blo_model_add(next, "w", 1, (const int64_t[]){2}));
    MUST(s.context, blo_model_set(next, "w", full, 2));
    MUST(s.context, blo_tensor_upload(blo_model_gradient(next, "w"), full, sizeof full));
    MUST(s.context, loop_and_sweep());
    MUST(s.context, blo_model_get(next, "w", got, 2));
    ck_assert_double_eq(got[1], 4.0);
    MUST(s.context, blo_model_get_gradient(next, "w", got, 2));
    ck_assert_double_eq(got[1], 4.0);
    blo_model_destroy(next);
}
END_TEST

START_TEST(a_sweep_clears_what_it_adds_to) {
    fill_gradients();
    scene_clear(&s);
    MUST(s.context, loop_and_sweep());
    scene_clear(&s);
    ck_assert_ptr_nonnull(s.context->due);
    MUST(s.context, scene_loop(&s, &trajectory, &k));
    ck_assert_ptr_nonnull(s.context->due); /* the loop does not touch them */
    MUST(s.context, scene_sweep(&s, trajectory, k, NULL));
    ck_assert_ptr_null(s.context->due);
}
END_TEST

START_TEST(a_lost_device_says_so) {
    s.context->lost = true;
    MUST_FAIL(s.context, BLO_ERROR_DEVICE, "lost", blo_model_zero_gradients(s.upper));
    s.context->lost = false;
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gradients cleared late");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 240);
    tcase_add_checked_fixture(all, open_sine, close_scene);
    tcase_add_test(all, it_reads_zero_at_once_and_after_a_loop);
    tcase_add_test(all, what_is_written_after_it_stays);
    tcase_add_loop_test(all, it_is_as_clearing_at_once, 0, 2);
    tcase_add_test(all, a_loop_that_reads_a_gradient_reads_zero);
    tcase_add_test(all, two_solvers_add_to_what_was_cleared_once);
    tcase_add_test(all, one_may_be_cleared_already);
    tcase_add_test(all, any_call_may_fail_in_between);
    tcase_add_test(all, a_model_that_was_cleared_may_go);
    tcase_add_test(all, a_sweep_clears_what_it_adds_to);
    tcase_add_test(all, a_lost_device_says_so);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
