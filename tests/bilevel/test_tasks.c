/* Several tasks at once are the same as one after another: losses, each task's own max_loss_iter, states, hypergradients
 * from whatever steps, at every budget; a task that has left the sweep spoils nothing; after the first loop nothing is
 * made again; shapes that do not fit are told. */
#include "tasks.h"

/* --- at once and one after another --- */

static blo_lower_solver *open_solver(const scene *s, int tasks, uint64_t budget) {
    blo_lower_solver *solver = NULL;
    blo_lower_options options = s->options;
    options.memory_budget = budget;
    MUST(s->context,
         blo_lower_solver_create(s->kind->lower, s->kind->upper, NULL, s->upper, s->lower, &options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, tasks));
    return solver;
}

/* Loops of all tasks, ONE after another or at once. */
static void run_loops(const scene *s, blo_lower_solver *solver, bool one, blo_trajectory **trajectories, outcome *out) {
    blo_tensor *const *t = s->all;
    const int n_states = FEATURES * CLASSES;
    const int64_t count = one ? n_states : TASKS * n_states;
    for (int task = 0; task < (one ? TASKS : 1); task++) {
        double losses[STEPS * TASKS];
        if (one)
            t = s->one[task];
        give_inputs(s, solver, one ? task : -1);
        MUST(s->context,
             blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectories[task], &out->chosen[task]));
        MUST(s->context, blo_trajectory_losses(trajectories[task], losses, one ? STEPS : STEPS * TASKS));
        if (!one)
            memcpy(out->losses, losses, sizeof losses);
        for (int k = 0; one && k < STEPS; k++)
            out->losses[k][task] = losses[k];
        for (int i = 0; i < 2; i++)
            MUST(s->context, blo_trajectory_get(trajectories[task], i == 0 ? 2 : STEPS, "head.weight",
                                                out->states[i] + task * n_states, count));
    }
}

/* The sweeps from CHOSEN, at validation data or, where OTHER, at the training data, which the loop did not evaluate. */
static blo_status run_sweeps(const scene *s, bool one, bool other, blo_trajectory *const *trajectories,
                             const int *chosen, outcome *out) {
    clear_gradients(s);
    blo_status status = BLO_OK;
    for (int task = 0; task < (one ? TASKS : 1) && status == BLO_OK; task++) {
        blo_tensor *const *t = (one ? s->one[task] : s->all) + (other ? 0 : 2);
        status = blo_iapttgm_compute_gradients(s->method, t[0], t[1], trajectories[task], chosen + task,
                                               out->upper_loss + task);
    }
    if (status == BLO_OK)
        read_gradients(s, out);
    return status;
}

static const int forced[][TASKS] = {{1, STEPS, 3}, {STEPS, STEPS, STEPS}, {1, 1, 1}, {4, 2, 4}, {2, 5, 1}};
enum { FORCED = sizeof forced / sizeof forced[0] };

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

static void forget(blo_trajectory **trajectories) {
    for (int task = 0; task < TASKS; task++)
        blo_trajectory_destroy(trajectories[task]);
}

static void check_case(const task_case *kind) {
    static outcome got, wanted;
    blo_trajectory *at_once[TASKS] = {NULL}, *after[TASKS] = {NULL};
    scene s;
    open_scene(&s, kind);
    blo_lower_solver *one = open_solver(&s, 1, 0), *all = open_solver(&s, TASKS, 0);
    run_loops(&s, one, true, after, &wanted);
    run_loops(&s, all, false, at_once, &got);
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
    {.name = "one model, not hoisted", .lower = one_lower, .upper = one_lower, .sides = SIDES_ONE,
     .options = unhoisted},
    {.name = "unrolled", .lower = plain, .upper = plain, .options = unrolled},
    {.name = "z not learned", .lower = near_lower, .upper = near_upper, .options = without_start},
};

START_TEST(at_once_is_one_after_another) {
    check_case(&cases[_i]);
}
END_TEST

/* --- */

int main(void) {
    Suite *suite = suite_create("tasks");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, at_once_is_one_after_another, 0, sizeof cases / sizeof cases[0]);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
