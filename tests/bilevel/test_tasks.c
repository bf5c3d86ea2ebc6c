/* Several tasks at once are the same as one after another: losses, each task's own max_loss_iter, states,
 * hypergradients from whatever steps, at every budget. */
#include "tasks.h"

/* --- at once and one after another --- */

static void check_sweeps(const scene *s, blo_trajectory *const *at_once, blo_trajectory *const *after, const int *from,
                         bool other) {
    static outcome got, wanted;
    char name[128];
    snprintf(name, sizeof name, "%s from %d %d %d%s", s->kind->name, from[0], from[1], from[2],
             other ? " at other data" : "");
    MUST(s->context, run_sweeps(s, true, other, after, from, &wanted));
    MUST(s->context, run_sweeps(s, false, other, at_once, from, &got));
    same_gradients(name, &got, &wanted);
    for (int task = 0; task < TASKS; task++)
        same_loss(name, got.upper_loss[task], wanted.upper_loss[task]);
}

/* STEP_TURNS, F_TURNS: of the loop, on a CPU. */
static void check_case(const task_case *kind, double cached, int step_turns, int f_turns) {
    static outcome got, wanted;
    blo_trajectory *at_once[TASKS] = {NULL}, *after[TASKS] = {NULL};
    scene s;
    open_scene(&s, kind);
    s.cached = cached;
    blo_lower_solver *one = open_solver(&s, 1, 0), *all = open_solver(&s, TASKS, 0);
    run_loops(&s, one, true, after, &wanted);
    run_loops(&s, all, false, at_once, &got);
    if (blo_context_facts(s.context)->is_cpu) {
        ck_assert_int_eq(at_once[0]->step->turns, step_turns);
        ck_assert_int_eq(at_once[0]->observe->turns, f_turns);
    }
    MUST(s.context, run_sweeps(&s, true, false, after, wanted.chosen, &wanted));
    MUST(s.context, run_sweeps(&s, false, false, at_once, got.chosen, &got));
    same_losses(kind->name, &got, &wanted);
    same_gradients(kind->name, &got, &wanted);
    for (int i = 0; i < FORCED; i++)
        check_sweeps(&s, at_once, after, forced[i], false);
    if (!kind->inputs) /* whose weights are of so many training images */
        check_sweeps(&s, at_once, after, forced[0], true);
    forget(at_once);
    forget(after);
    blo_lower_solver_destroy(one);
    blo_lower_solver_destroy(all);
    close_scene(&s);
}

/* --- the cases --- */

static void unhoisted(blo_lower_options *options) {
    options->hoisting = false;
}
static void momentum(blo_lower_options *options) {
    options->optimizer.momentum = 0.8;
    options->optimizer.nesterov = true;
}
static void adam(blo_lower_options *options) {
    blo_optimizer_options_default(&options->optimizer, BLO_ADAM);
    options->optimizer.learning_rate = 0.02;
}
static void box(blo_lower_options *options) {
    options->projection = BLO_PROJECT_BOX;
    options->box_lo = -0.06;
    options->box_hi = 0.05;
}
static void ball(blo_lower_options *options) {
    options->projection = BLO_PROJECT_BALL;
    options->ball_radius = 1.2;
}
static void with_learned_rate(blo_lower_options *options) {
    options->learning_rate = learned_rate;
}
static void unrolled(blo_lower_options *options) {
    options->truncation = options->acquire_max_loss = false;
}
static void without_start(blo_lower_options *options) {
    options->initialization_auxiliary = false;
}
static void calm(blo_lower_options *options) {
    options->optimizer.learning_rate = 0.05;
}

static const task_case cases[] = {
    {.name = "backbone", .lower = plain, .upper = plain},
    {.name = "batch norm", .lower = normalized, .upper = normalized, .options = calm},
    {.name = "y_0 in f and F", .lower = near_lower, .upper = near_upper},
    {.name = "x in every step", .lower = hyper_lower, .upper = hyper_upper, .options = with_learned_rate},
    {.name = "not hoisted", .lower = plain, .upper = plain, .options = unhoisted},
    {.name = "momentum", .lower = plain, .upper = plain, .options = momentum},
    {.name = "Adam", .lower = hyper_lower, .upper = plain, .options = adam},
    {.name = "box", .lower = plain, .upper = hyper_upper, .options = box},
    {.name = "ball", .lower = near_lower, .upper = plain, .options = ball},
    {.name = "inputs", .lower = inputs_lower, .upper = inputs_upper, .inputs = true},
    {.name = "minibatches", .lower = batches_lower, .upper = plain, .rows = true},
    {.name = "all lower", .lower = all_lower, .upper = all_lower, .sides = SIDES_LOWER, .options = calm},
    {.name = "one model", .lower = one_lower, .upper = all_lower, .sides = SIDES_ONE, .options = calm},
    {.name = "one model, not hoisted",
     .lower = one_lower,
     .upper = one_lower,
     .sides = SIDES_ONE,
     .options = unhoisted},
    {.name = "unrolled", .lower = plain, .upper = plain, .options = unrolled},
    {.name = "z not learned", .lower = near_lower, .upper = near_upper, .options = without_start},
};

START_TEST(at_once_is_one_after_another) {
    check_case(&cases[_i], -1, 1, 1);
}
END_TEST

START_TEST(in_turns_too) {
    check_case(&cases[_i], 0, TASKS, TASKS);
}
END_TEST

START_TEST(one_of_the_two_in_turns) {
    static const task_case of_step = {.name = "f in turns",
                                      .lower = one_lower,
                                      .upper = one_lower,
                                      .sides = SIDES_ONE,
                                      .options = unhoisted},
                           of_f = {.name = "F in turns",
                                   .lower = hyper_lower,
                                   .upper = wide_upper,
                                   .options = with_learned_rate};
    check_case(&of_step, 220e3, TASKS, 1);
    check_case(&of_f, 150e3, 1, TASKS);
}
END_TEST

/* --- budgets --- */

/* A loop and two sweeps under BUDGET. */
static blo_status run_under(const scene *s, uint64_t budget, outcome out[2], blo_trajectory_report *report) {
    blo_lower_solver *solver = open_solver(s, TASKS, budget);
    blo_trajectory *trajectory = NULL;
    blo_tensor *const *t = s->all;
    blo_status status = blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, out[0].chosen);
    for (int i = 0; i < 2 && status == BLO_OK; i++)
        status = run_sweeps(s, false, false, &trajectory, forced[i == 0 ? 4 : 0], &out[i]);
    blo_trajectory_describe(trajectory, report);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    return status;
}

START_TEST(every_budget_gives_the_same_bits) {
    static outcome whole[2], some[2];
    static const task_case kind = {.lower = all_lower, .upper = all_lower, .sides = SIDES_LOWER, .options = calm};
    blo_trajectory_report report;
    scene s;
    int least = STEPS + 1, ran = 0;
    bool partly_kept = false;
    open_scene(&s, &kind);
    s.cached = _i == 0 ? -1 : 0;
    MUST(s.context, run_under(&s, 0, whole, &report));
    ck_assert_int_eq(report.snapshots, STEPS + 1);
    ck_assert_int_eq(report.kept_steps, STEPS);
    for (uint64_t budget = 200000; budget < 6000000; budget += budget / 40) {
        blo_status status = run_under(&s, budget, some, &report);
        if (status == BLO_ERROR_BUDGET)
            continue;
        MUST(s.context, status);
        for (int i = 0; i < 2; i++)
            ck_assert_mem_eq(some[i].gradients, whole[i].gradients, sizeof whole[i].gradients);
        least = report.snapshots < least ? report.snapshots : least;
        partly_kept = partly_kept || (report.kept_steps > 0 && report.kept_steps < STEPS);
        ran++;
    }
    ck_assert_int_le(least, 3);
    ck_assert_int_gt(ran, 5);
    ck_assert(partly_kept);
    close_scene(&s);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tasks");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, at_once_is_one_after_another, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(all, in_turns_too, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(all, one_of_the_two_in_turns);
    tcase_add_loop_test(all, every_budget_gives_the_same_bits, 0, 2); /* at once, in turns */
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
