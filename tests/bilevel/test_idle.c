/* After the first upper iteration the host only queues: nothing is traced, built or allocated, neither on the device
 * nor in the library's host memory, arguments are bound no oftener than in the iteration before, and it waits once in a
 * lower loop. Allocations are counted where the library calls them: the linker wraps malloc, calloc and realloc. */
#include <malloc.h>

#include "../support.h"
#include "bilevel/solver.h"

enum { EXAMPLES = 150, FEATURES = 300, CLASSES = 10, STEPS = 12, BATCH = 60, ITERATIONS = 5, MOST_TASKS = 3 };

/* --- allocations --- */

static int counted, counting;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) {
    counted += counting;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    counted += counting;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size) { /* to a size that it has already: nothing is counted */
    counted += counting && (!old || malloc_usable_size(old) < size);
    return __real_realloc(old, size);
}

/* --- the problem: images of bytes, softmax regression, one weight per example --- */

typedef struct scene {
    int tasks; /* at once, each of as many examples less */
    blo_context *context;
    blo_model *upper, *lower;
    blo_tensor *train_data, *train_target, *validate_data, *validate_target, *batch;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_optimizer *step_x, *step_z;
    blo_trajectory *trajectory;
} scene;

static blo_node *forward(const blo_bound_model *model, blo_node *data, void *user) {
    (void)user;
    return blo_model_linear(model, "layer", blo_scale(blo_cast(data, BLO_FLOAT), 1 / 255.0));
}

static blo_node *weighted(const blo_state *s, blo_node *data, blo_node *target, blo_node *x) {
    blo_node *losses = blo_cross_entropy(blo_model_forward(s->lower_model, data), target, BLO_REDUCE_NONE);
    return blo_mean(blo_mul(blo_sigmoid(x), losses));
}

static blo_node *lower_loss(const blo_state *s, void *user) {
    (void)user;
    return weighted(s, s->data, s->target, blo_model_parameter(s->upper_model, "x"));
}

static blo_node *batch_loss(const blo_state *s, void *user) {
    (void)user;
    blo_node *rows = blo_state_input(s, "batch");
    return weighted(s, blo_gather(s->data, rows), blo_gather(s->target, rows),
                    blo_gather(blo_model_parameter(s->upper_model, "x"), rows));
}

static blo_node *upper_loss(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
}

static blo_node *accuracy(const blo_state *s, void *user) {
    (void)user;
    return blo_accuracy(blo_model_forward(s->lower_model, s->data), s->target);
}

static blo_statistics statistics_of(const blo_context *context) {
    blo_statistics statistics;
    blo_context_statistics(context, &statistics);
    return statistics;
}

static void make_data(scene *x, uint64_t seed, blo_tensor **data, blo_tensor **target) {
    static uint8_t bytes[EXAMPLES * FEATURES];
    int32_t classes[EXAMPLES];
    for (int i = 0; i < EXAMPLES * FEATURES; i++)
        bytes[i] = (uint8_t)((next_number(&seed) + 1.0) * 127.0);
    for (int i = 0; i < EXAMPLES; i++)
        classes[i] = i % CLASSES;
    const int one = x->tasks == 1;
    const int64_t shape[] = {x->tasks, EXAMPLES / x->tasks, FEATURES};
    MUST(x->context, blo_tensor_create(x->context, BLO_UINT8, 3 - one, shape + one, bytes, data));
    MUST(x->context, blo_tensor_create(x->context, BLO_INT32, 2 - one, shape + one, classes, target));
}

static void open_scene(scene *x, const blo_lower_options *options, bool batches, int tasks) {
    blo_optimizer_options adam, sgd;
    *x = (scene){.context = open_context(3), .tasks = tasks};
    blo_optimizer_options_default(&adam, BLO_ADAM);
    blo_optimizer_options_default(&sgd, BLO_SGD);
    MUST(x->context, blo_model_create(x->context, BLO_FLOAT, &x->upper));
    MUST(x->context, blo_model_create(x->context, BLO_FLOAT, &x->lower));
    MUST(x->context, blo_model_add(x->upper, "x", 1, (const int64_t[]){EXAMPLES / tasks}));
    MUST(x->context, blo_model_add_linear(x->lower, "layer", FEATURES, CLASSES));
    blo_model_set_forward(x->lower, forward, NULL);
    make_data(x, 1, &x->train_data, &x->train_target);
    make_data(x, 2, &x->validate_data, &x->validate_target);
    MUST(x->context, blo_lower_solver_create(batches ? batch_loss : lower_loss, upper_loss, NULL, x->upper, x->lower,
                                             options, &x->solver));
    MUST(x->context, blo_lower_solver_set_tasks(x->solver, tasks));
    MUST(x->context, blo_iapttgm_create(upper_loss, NULL, x->upper, x->lower, &x->method));
    MUST(x->context, blo_optimizer_create(x->upper, &adam, &x->step_x));
    MUST(x->context, blo_optimizer_create(x->lower, &sgd, &x->step_z));
    if (batches) {
        MUST(x->context, blo_tensor_create(x->context, BLO_INT32, 2, (const int64_t[]){STEPS, BATCH}, NULL, &x->batch));
        MUST(x->context, blo_lower_solver_set_input(x->solver, "batch", x->batch, true));
    }
}

static void close_scene(scene *x) {
    blo_trajectory_destroy(x->trajectory);
    blo_iapttgm_destroy(x->method);
    blo_lower_solver_destroy(x->solver);
    blo_optimizer_destroy(x->step_x);
    blo_optimizer_destroy(x->step_z);
    blo_tensor_destroy(x->train_data);
    blo_tensor_destroy(x->train_target);
    blo_tensor_destroy(x->validate_data);
    blo_tensor_destroy(x->validate_target);
    blo_tensor_destroy(x->batch);
    blo_model_destroy(x->upper);
    blo_model_destroy(x->lower);
    blo_context_destroy(x->context);
}

/* One upper iteration as a program would make it, with what it looks at. WAITS: of the lower loop. Asserts nothing,
 * since Check allocates. */
static blo_status iterate(scene *x, int iteration, uint64_t *waits) {
    int32_t rows[STEPS * BATCH];
    int max_loss_iter[MOST_TASKS] = {0};
    double loss[MOST_TASKS] = {0}, right[MOST_TASKS] = {0};
    for (int i = 0; i < STEPS * BATCH; i++)
        rows[i] = (i * 7 + iteration) % EXAMPLES;
    blo_status status = blo_model_zero_gradients(x->upper);
    if (status == BLO_OK)
        status = blo_model_zero_gradients(x->lower);
    if (status == BLO_OK && x->batch)
        status = blo_tensor_upload(x->batch, rows, sizeof rows);
    *waits = statistics_of(x->context).waits;
    if (status == BLO_OK)
        status = blo_lower_optimize(x->solver, x->train_data, x->train_target, x->validate_data, x->validate_target,
                                    &x->trajectory, max_loss_iter);
    *waits = statistics_of(x->context).waits - *waits;
    for (int task = 0; task < x->tasks; task++) /* a sweep of another length each time */
        max_loss_iter[task] = 1 + iteration * (1 + task) % STEPS;
    if (status == BLO_OK)
        status = blo_iapttgm_compute_gradients(x->method, x->validate_data, x->validate_target, x->trajectory,
                                               max_loss_iter, loss);
    if (status == BLO_OK)
        status =
            blo_trajectory_evaluate(x->trajectory, STEPS, accuracy, NULL, x->validate_data, x->validate_target, right);
    if (status == BLO_OK)
        status = blo_optimizer_step(x->step_x);
    return status == BLO_OK ? blo_optimizer_step(x->step_z) : status;
}

/* MOST: bindings per launch. TURNS: several tasks one after another, as where their arrays leave a CPU's cache. */
static void stays_idle(const blo_lower_options *options, bool batches, int tasks, bool turns, double most) {
    scene x;
    uint64_t waits;
    open_scene(&x, options, batches, tasks);
    if (turns)
        x.solver->cached = 0;
    MUST(x.context, iterate(&x, 0, &waits));
    for (int i = 1; i < ITERATIONS; i++) {
        blo_statistics before = statistics_of(x.context);
        counted = 0;
        counting = 1;
        blo_status status = iterate(&x, i, &waits);
        counting = 0;
        MUST(x.context, status);
        blo_statistics after = statistics_of(x.context);
        ck_assert_int_eq(counted, 0);
        ck_assert_uint_eq(after.allocations, before.allocations);
        ck_assert_uint_eq(after.traces, before.traces);
        ck_assert_uint_eq(after.kernels_built, before.kernels_built);
        ck_assert_uint_eq(waits, 1);
        double bound = (double)(after.bindings - before.bindings) / (double)(after.launches - before.launches);
        ck_assert_msg(bound <= most, "%g arguments bound per launch", bound);
    }
    close_scene(&x);
}

static blo_lower_options options_of(void) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    return options;
}

START_TEST(a_plain_loop) {
    blo_lower_options options = options_of();
    stays_idle(&options, false, 1, false, 3);
}
END_TEST

START_TEST(an_adam_loop_of_minibatches) {
    blo_lower_options options = options_of();
    blo_optimizer_options_default(&options.optimizer, BLO_ADAM);
    stays_idle(&options, true, 1, false, 3);
}
END_TEST

START_TEST(a_loop_within_a_budget_and_warm_started) {
    blo_lower_options options = options_of();
    options.initialization_auxiliary = false;
    options.warm_start = true;
    stays_idle(&options, false, 1, false, 3);
    options.memory_budget = 600000;
    stays_idle(&options, false, 1, false, 3);
}
END_TEST

START_TEST(several_tasks) {
    blo_lower_options options = options_of();
    options.memory_budget = _i % 2 ? 1200000 : 0;
    stays_idle(&options, false, MOST_TASKS, _i > 1, 3);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("idle");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, a_plain_loop);
    tcase_add_test(tests, an_adam_loop_of_minibatches);
    tcase_add_test(tests, a_loop_within_a_budget_and_warm_started);
    tcase_add_loop_test(tests, several_tasks, 0, 4);
    suite_add_tcase(suite, tests);
    return run_suite_here(suite);
}
