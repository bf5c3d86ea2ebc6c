/* Several tasks whose hoisted arrays are too large to be computed at once: the prologue and its pullback run task by
 * task, and give what loops one after another give, whatever differs from task to task: data, a named input, the y_0 of
 * a warm start. */
#include <math.h>

#include "../support.h"
#include "bilevel/solver.h"

enum { TASKS = 3, EXAMPLES = 3000, FEATURES = 6, HIDDEN = 128, CLASSES = 3, STEPS = 4, LOOPS = 2 };
enum { WEIGHTS = HIDDEN * FEATURES, HEAD = CLASSES * HIDDEN, GRADIENTS = WEIGHTS + HEAD };

static blo_node *by(const blo_bound_model *model, const char *weight, blo_node *x) {
    return blo_linear(x, blo_model_parameter(model, weight), NULL);
}

static blo_node *loss(const blo_state *s, blo_node *features) {
    return blo_cross_entropy(by(s->lower_model, "head.weight", features), s->target, BLO_REDUCE_MEAN);
}

static blo_node *features(const blo_state *s) {
    return blo_tanh(by(s->upper_model, "backbone.weight", s->data));
}

static blo_node *plain(const blo_state *s, void *user) {
    (void)user;
    return loss(s, features(s));
}

static blo_node *scaled(const blo_state *s, void *user) { /* by an input of each task */
    (void)user;
    return loss(s, blo_sin(blo_mul(features(s), blo_state_input(s, "scale"))));
}

static blo_node *started(const blo_state *s, void *user) { /* by what y_0 gives each example */
    (void)user;
    blo_node *start = blo_tanh(by(s->initial_model, "head.weight", features(s)));
    return blo_add(plain(s, user), blo_mean(blo_mul(start, by(s->lower_model, "head.weight", features(s)))));
}

typedef struct scene {
    blo_context *context;
    blo_model *upper, *lower;
    blo_iapttgm *method;
    blo_tensor *all[4], *one[TASKS][4]; /* training data, targets; validation data, targets */
    blo_tensor *scales, *scale[TASKS];
} scene;

static void make_tensors(scene *s, uint64_t *seed) {
    static double data[TASKS * EXAMPLES * FEATURES], scales[TASKS];
    static int32_t classes[TASKS * EXAMPLES];
    const int64_t shape[3] = {TASKS, EXAMPLES, FEATURES}, tasks[1] = {TASKS};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < TASKS * EXAMPLES * FEATURES; j++)
            data[j] = (1 + j / (EXAMPLES * FEATURES)) * next_number(seed);
        for (int j = 0; j < TASKS * EXAMPLES; j++)
            classes[j] = (int32_t)((next_number(seed) + 1) * 0.499 * CLASSES);
        const blo_dtype dtype = i % 2 ? BLO_INT32 : BLO_DOUBLE;
        const int rank = i % 2 ? 2 : 3;
        MUST(s->context,
             blo_tensor_create(s->context, dtype, rank, shape, i % 2 ? (void *)classes : (void *)data, &s->all[i]));
        for (int task = 0; task < TASKS; task++)
            MUST(s->context, blo_tensor_create(s->context, dtype, rank - 1, shape + 1,
                                               i % 2 ? (void *)(classes + task * EXAMPLES)
                                                     : (void *)(data + task * EXAMPLES * FEATURES),
                                               &s->one[task][i]));
    }
    for (int task = 0; task < TASKS; task++) {
        scales[task] = 0.5 + 0.3 * task;
        MUST(s->context, blo_tensor_create(s->context, BLO_DOUBLE, 0, NULL, &scales[task], &s->scale[task]));
    }
    MUST(s->context, blo_tensor_create(s->context, BLO_DOUBLE, 1, tasks, scales, &s->scales));
}

static void open_scene(scene *s, blo_objective objective) {
    uint64_t seed = 5;
    *s = (scene){.context = open_context(1)};
    make_tensors(s, &seed);
    MUST(s->context, blo_model_create(s->context, BLO_DOUBLE, &s->upper));
    MUST(s->context, blo_model_create(s->context, BLO_DOUBLE, &s->lower));
    MUST(s->context, blo_model_add(s->upper, "backbone.weight", 2, (const int64_t[]){HIDDEN, FEATURES}));
    MUST(s->context, blo_model_add(s->lower, "head.weight", 2, (const int64_t[]){CLASSES, HIDDEN}));
    MUST(s->context, blo_init_uniform(s->upper, "backbone.weight", -0.5, 0.5));
    MUST(s->context, blo_init_uniform(s->lower, "head.weight", -0.1, 0.1));
    MUST(s->context, blo_iapttgm_create(objective, NULL, s->upper, s->lower, &s->method));
}

static void close_scene(scene *s) {
    blo_iapttgm_destroy(s->method);
    blo_model_destroy(s->lower);
    blo_model_destroy(s->upper);
    for (int i = 0; i < 4; i++) {
        blo_tensor_destroy(s->all[i]);
        for (int task = 0; task < TASKS; task++)
            blo_tensor_destroy(s->one[task][i]);
    }
    for (int task = 0; task < TASKS; task++)
        blo_tensor_destroy(s->scale[task]);
    blo_tensor_destroy(s->scales);
    blo_context_destroy(s->context);
}

typedef struct outcome {
    int chosen[TASKS];
    double losses[TASKS], gradients[GRADIENTS]; /* of the last of LOOPS */
} outcome;

static void read_gradients(const scene *s, outcome *out) {
    MUST(s->context, blo_model_get_gradient(s->upper, "backbone.weight", out->gradients, WEIGHTS));
    MUST(s->context, blo_model_get_gradient(s->lower, "head.weight", out->gradients + WEIGHTS, HEAD));
    MUST(s->context, blo_model_zero_gradients(s->upper));
    MUST(s->context, blo_model_zero_gradients(s->lower));
}

/* LOOPS loops with a solver of TASKS tasks, whose prologue SAVES for its gradient or does not, or of one, whose number
 * is TASK. What it adds is left in the models. */
static void run_solver(const scene *s, blo_objective objective, const blo_lower_options *options, int task, bool saves,
                       outcome *out) {
    const bool all = task < 0;
    blo_tensor *const *t = all ? s->all : s->one[task];
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    int *chosen = &out->chosen[all ? 0 : task];
    MUST(s->context, blo_lower_solver_create(objective, objective, NULL, s->upper, s->lower, options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, all ? TASKS : 1));
    MUST(s->context, all ? blo_lower_solver_set_task_input(solver, "scale", s->scales, false)
                         : blo_lower_solver_set_input(solver, "scale", s->scale[task], false));
    for (int loop = 0; loop < LOOPS; loop++)
        MUST(s->context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, chosen));
    const blo_hoist *hoist = trajectory->step->hoist;
    ck_assert_int_eq(hoist->turns, all ? TASKS : 1);
    ck_assert(!all || (hoist->saved != NULL) == saves);
    MUST(s->context,
         blo_iapttgm_compute_gradients(s->method, t[2], t[3], trajectory, chosen, &out->losses[all ? 0 : task]));
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
}

static void check(blo_objective objective, const blo_lower_options *options, bool saves) {
    static outcome wanted, got;
    scene s;
    open_scene(&s, objective);
    for (int task = 0; task < TASKS; task++)
        run_solver(&s, objective, options, task, saves, &wanted);
    read_gradients(&s, &wanted);
    run_solver(&s, objective, options, -1, saves, &got);
    read_gradients(&s, &got);
    for (int task = 0; task < TASKS; task++) {
        ck_assert_int_eq(got.chosen[task], wanted.chosen[task]);
        ck_assert_double_eq_tol(got.losses[task], wanted.losses[task], 1e-12);
    }
    for (int i = 0; i < GRADIENTS; i++)
        ck_assert_msg(fabs(got.gradients[i] - wanted.gradients[i]) <= 1e-12, "gradient %d: %.17g at once, %.17g", i,
                      got.gradients[i], wanted.gradients[i]);
    close_scene(&s);
}

static blo_lower_options options_of(uint64_t budget) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = 0.2;
    options.memory_budget = budget;
    return options;
}

START_TEST(a_backbone) {
    const blo_lower_options options = options_of(0);
    check(plain, &options, false); /* its gradient needs the features only, which are hoisted */
}
END_TEST

START_TEST(an_input_of_each_task_and_a_prologue_that_saves) {
    const blo_lower_options options = options_of(0);
    check(scaled, &options, true);
}
END_TEST

START_TEST(an_input_of_each_task_and_no_room_to_save) {
    const blo_lower_options options = options_of(90 << 20);
    check(scaled, &options, false);
}
END_TEST

START_TEST(a_shared_start) {
    const blo_lower_options options = options_of(0);
    check(started, &options, true);
}
END_TEST

START_TEST(the_start_of_each_task) {
    blo_lower_options options = options_of(0);
    options.warm_start = true;
    options.initialization_auxiliary = false;
    check(started, &options, true);
}
END_TEST

/* Statistics of what is hoisted, computed by the prologue, and of what is not. */
static blo_node *tracked(const blo_state *s, void *user) {
    const int rows = 0;
    blo_node *logits = by(s->lower_model, "head.weight", features(s));
    blo_model_track(s->upper_model, "mean", blo_sum_axes(features(s), 1, &rows, false), 0.1);
    if (*(const bool *)user)
        blo_model_track(s->upper_model, "logits", blo_sum_axes(logits, 1, &rows, false), 0.3);
    return blo_cross_entropy(logits, s->target, BLO_REDUCE_MEAN);
}

enum { STATISTICS = HIDDEN + CLASSES };

static void run_tracked(const scene *s, bool *moving, bool all, double buffers[STATISTICS]) {
    static const double zeros[HIDDEN];
    const blo_lower_options options = options_of(0);
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    MUST(s->context, blo_model_set(s->upper, "mean", zeros, HIDDEN));
    MUST(s->context, blo_model_set(s->upper, "logits", zeros, CLASSES));
    MUST(s->context, blo_lower_solver_create(tracked, tracked, moving, s->upper, s->lower, &options, &solver));
    MUST(s->context, blo_lower_solver_set_tasks(solver, all ? TASKS : 1));
    for (int task = 0; task < (all ? 1 : TASKS); task++) {
        blo_tensor *const *t = all ? s->all : s->one[task];
        MUST(s->context, blo_lower_optimize(solver, t[0], t[1], t[2], t[3], &trajectory, NULL));
    }
    ck_assert_int_eq(trajectory->step->hoist->turns, all ? TASKS : 1);
    MUST(s->context, blo_model_get(s->upper, "mean", buffers, HIDDEN));
    MUST(s->context, blo_model_get(s->upper, "logits", buffers + HIDDEN, CLASSES));
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
}

START_TEST(running_statistics) {
    double wanted[STATISTICS], got[STATISTICS];
    scene s;
    open_scene(&s, plain);
    MUST(s.context, blo_model_add_buffer(s.upper, "mean", 1, (const int64_t[]){HIDDEN}));
    MUST(s.context, blo_model_add_buffer(s.upper, "logits", 1, (const int64_t[]){CLASSES}));
    for (int i = 0; i < 2; i++) {
        bool moving = i != 0;
        run_tracked(&s, &moving, false, wanted);
        run_tracked(&s, &moving, true, got);
        for (int j = 0; j < STATISTICS; j++) /* sums of thousands */
            ck_assert_msg(fabs(got[j] - wanted[j]) <= 1e-12 * EXAMPLES, "statistic %d is %.17g, want %.17g", j, got[j],
                          wanted[j]);
        ck_assert_double_gt(fabs(wanted[0]), 1e-3);
        ck_assert(moving == (wanted[HIDDEN] != 0));
    }
    close_scene(&s);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("turns");
    TCase *turns = tcase_create("task by task");
    tcase_set_timeout(turns, 120);
    tcase_add_test(turns, a_backbone);
    tcase_add_test(turns, an_input_of_each_task_and_a_prologue_that_saves);
    tcase_add_test(turns, an_input_of_each_task_and_no_room_to_save);
    tcase_add_test(turns, a_shared_start);
    tcase_add_test(turns, the_start_of_each_task);
    tcase_add_test(turns, running_statistics);
    suite_add_tcase(suite, turns);
    return run_suite(suite);
}
