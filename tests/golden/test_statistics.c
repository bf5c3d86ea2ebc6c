/* Running statistics: after lower loops they are what PyTorch's nn.BatchNorm2d holds after as many single forward calls
 * (make_statistics.py), whether what is tracked is hoisted, computed in every step, thinned or run whole; tracking
 * changes no bit of a loss or a gradient; a loop that fails, a sweep and an evaluation leave the buffers alone. */
#include <math.h>

#include "../support.h"
#include "golden_file.h"

enum { STEPS = 5, TASKS = 3, CLASSES = 4, FILTERS = 8, FEATURES = 9 * FILTERS, SUPPORT = 10, QUERY = 12, IMAGE = 288 };
enum { BUFFERS = 4 };

static const double tolerance = 1e-12;
static const char *const norms[] = {"layer1.norm", "layer2.norm"};
static blo_context *context;

/* --- the problem of make_statistics.py --- */

static double pattern(int k, int64_t i) {
    return sin(0.7 + 1.3 * k + 0.61 * (double)i) * 1.2;
}

typedef struct problem {
    bool all; /* everything is lower, else the head */
    blo_model *upper, *lower;
    blo_tensor *data[TASKS], *target, *query[TASKS], *query_target;
    blo_iapttgm *method;
} problem;

static blo_node *logits(const blo_bound_model *backbone, const blo_bound_model *head, blo_node *images) {
    return blo_model_linear(head, "head", blo_model_convnet(backbone, "", images, 2, BLO_BLOCK_CONV_BN_RELU_POOL));
}

static blo_node *objective(const blo_state *s, void *user) {
    const problem *p = user;
    const blo_bound_model *backbone = p->all ? s->lower_model : s->upper_model;
    return blo_cross_entropy(logits(backbone, s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
}

static blo_node *evaluation(const blo_state *s, void *user) {
    const problem *p = user;
    const blo_bound_model *backbone = blo_model_in_evaluation(p->all ? s->lower_model : s->upper_model);
    return blo_cross_entropy(logits(backbone, s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
}

/* Parameters 0 … of make_statistics.py's network: those of the backbone, then the head's. */
static void fill(blo_model *model, int first) {
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i);
        const int64_t count = blo_tensor_count(blo_model_value(model, name));
        double *values = malloc((size_t)count * sizeof *values);
        for (int64_t j = 0; j < count; j++)
            values[j] = pattern(first + i, j) * 0.2 + (strstr(name, "norm.weight") ? 1.0 : 0.0);
        MUST(context, blo_model_set(model, name, values, count));
        free(values);
    }
}

static blo_tensor *images(int k, int64_t n, double factor, double shift) {
    blo_tensor *tensor = NULL;
    double values[QUERY * IMAGE];
    for (int64_t i = 0; i < n * IMAGE; i++)
        values[i] = pattern(k, i) * factor + shift;
    MUST(context, blo_tensor_create(context, BLO_DOUBLE, 4, (const int64_t[]){n, 2, 12, 12}, values, &tensor));
    return tensor;
}

static blo_tensor *classes(int64_t n) {
    blo_tensor *tensor = NULL;
    int32_t values[QUERY];
    for (int64_t i = 0; i < n; i++)
        values[i] = (int32_t)(i % CLASSES);
    MUST(context, blo_tensor_create(context, BLO_INT32, 1, &n, values, &tensor));
    return tensor;
}

static void make(problem *p, bool all, double momentum) {
    *p = (problem){.all = all, .target = classes(SUPPORT), .query_target = classes(QUERY)};
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->upper));
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->lower));
    blo_model *backbone = all ? p->lower : p->upper;
    MUST(context, blo_model_add_convnet(backbone, "", 2, FILTERS, 2));
    MUST(context, blo_model_add_linear(p->lower, "head", FEATURES, CLASSES));
    fill(p->upper, 0);
    fill(p->lower, blo_model_count(p->upper));
    if (momentum >= 0.0)
        MUST(context, blo_model_add_running_statistics(backbone, NULL, momentum));
    for (int i = 0; i < TASKS; i++) {
        p->data[i] = images(20 + i, SUPPORT, 1.0, 0.3 * i);
        p->query[i] = images(40 + i, QUERY, 1.0 + i, 0.0);
    }
    MUST(context, blo_iapttgm_create(objective, p, p->upper, p->lower, &p->method));
}

static void destroy(problem *p) {
    blo_iapttgm_destroy(p->method);
    for (int i = 0; i < TASKS; i++) {
        blo_tensor_destroy(p->data[i]);
        blo_tensor_destroy(p->query[i]);
    }
    blo_tensor_destroy(p->target);
    blo_tensor_destroy(p->query_target);
    blo_model_destroy(p->upper);
    blo_model_destroy(p->lower);
}

static blo_lower_options options_of(bool every) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.acquire_max_loss = every;
    return options;
}

static blo_status loop(problem *p, blo_lower_solver *solver, int task, blo_trajectory **trajectory, int *k) {
    return blo_lower_optimize(solver, p->data[task], p->target, p->query[task], p->query_target, trajectory, k);
}

static void read_buffer(const problem *p, int i, double values[FILTERS]) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", norms[i / 2], i % 2 ? "running_var" : "running_mean");
    MUST(context, blo_model_get(p->all ? p->lower : p->upper, name, values, FILTERS));
}

/* --- PyTorch's values --- */

static void check(const char *what, int task, double got, double wanted, double largest) {
    ck_assert_msg(fabs(got - wanted) <= tolerance * fmax(1.0, largest), "task %d: %s is %.17g, PyTorch has %.17g", task,
                  what, got, wanted);
}

static void check_task(problem *p, const golden_file *golden, int task, blo_trajectory *trajectory, bool every) {
    double losses[STEPS], values[FILTERS], loss;
    const golden_array *wanted = golden_find(golden, "L%d", task);
    MUST(context, blo_trajectory_losses(trajectory, losses, STEPS));
    for (int k = every ? 0 : STEPS - 1, i = 0; k < STEPS; k++, i++)
        check("a loss", task, losses[k], wanted->values[i], 1.0);
    for (int i = 0; i < BUFFERS; i++) {
        double largest = 0.0;
        wanted = golden_find(golden, "b%d_%d", task, i);
        read_buffer(p, i, values);
        for (int j = 0; j < FILTERS; j++)
            largest = fmax(largest, fabs(wanted->values[j]));
        for (int j = 0; j < FILTERS; j++)
            check(i % 2 ? "a variance" : "a mean", task, values[j], wanted->values[j], largest);
    }
    MUST(context, blo_trajectory_evaluate(trajectory, STEPS, evaluation, p, p->query[task], p->query_target, &loss));
    check("F in evaluation", task, loss, golden_find(golden, "E%d", task)->values[0], 1.0);
}

/* Returns the launches of the last loop. */
static uint64_t compare(const char *name, bool all, double momentum, blo_lower_options options) {
    char path[512];
    golden_file golden;
    problem p;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    snprintf(path, sizeof path, "%s/statistics/%s.txt", getenv("GOLDEN_FOLDER"), name);
    ck_assert_msg(golden_read(path, &golden), "%s cannot be read", path);
    make(&p, all, momentum);
    MUST(context, blo_lower_solver_create(objective, objective, &p, p.upper, p.lower, &options, &solver));
    for (int task = 0; task < TASKS; task++) {
        int k = 0;
        MUST(context, loop(&p, solver, task, &trajectory, &k));
        MUST(context, blo_iapttgm_compute_gradients(p.method, p.query[task], p.query_target, trajectory, &k, NULL));
        check_task(&p, &golden, task, trajectory, options.acquire_max_loss);
    }
    blo_trajectory_report report;
    blo_trajectory_describe(trajectory, &report);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    destroy(&p);
    golden_free(&golden);
    return report.loop_launches;
}

START_TEST(a_hoisted_backbone_is_updated_as_if_it_ran_in_every_step) {
    compare("head", false, 0.1, options_of(true));
    compare("head_last", false, 0.3, options_of(false));
}
END_TEST

START_TEST(nothing_hoisted_is_the_same) {
    blo_lower_options options = options_of(true);
    const uint64_t hoisted = compare("head", false, 0.1, options);
    options.hoisting = false;
    ck_assert_uint_lt(2 * hoisted, compare("head", false, 0.1, options));
}
END_TEST

START_TEST(what_changes_with_every_step_is_added_up) {
    compare("all", true, 0.1, options_of(true));
    compare("all_last", true, 0.3, options_of(false));
}
END_TEST

/* --- that nothing else notices --- */

enum { MOST_GRADIENTS = 2 * (FILTERS * 9 * (2 + FILTERS) + 6 * FILTERS) + FEATURES * CLASSES + CLASSES };

static int read_gradients(blo_model *model, double *to) {
    int n = 0;
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i);
        const int64_t count = blo_tensor_count(blo_model_value(model, name));
        MUST(context, blo_model_get_gradient(model, name, to + n, count));
        n += (int)count;
    }
    return n;
}

/* Losses and gradients of a loop and its sweep at K = 3. */
static void outcome_of(bool all, double momentum, double losses[STEPS], double gradients[MOST_GRADIENTS]) {
    problem p;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    const blo_lower_options options = options_of(true);
    const int k = 3;
    make(&p, all, momentum);
    MUST(context, blo_lower_solver_create(objective, objective, &p, p.upper, p.lower, &options, &solver));
    MUST(context, loop(&p, solver, 1, &trajectory, NULL));
    MUST(context, blo_iapttgm_compute_gradients(p.method, p.query[1], p.query_target, trajectory, &k, NULL));
    MUST(context, blo_trajectory_losses(trajectory, losses, STEPS));
    memset(gradients, 0, MOST_GRADIENTS * sizeof *gradients);
    const int n = read_gradients(p.upper, gradients);
    read_gradients(p.lower, gradients + n);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    destroy(&p);
}

START_TEST(tracking_changes_no_bit_of_losses_and_gradients) {
    static double losses[2][STEPS], gradients[2][MOST_GRADIENTS];
    for (int all = 0; all < 2; all++) {
        outcome_of(all, -1.0, losses[0], gradients[0]);
        outcome_of(all, 0.1, losses[1], gradients[1]);
        ck_assert_mem_eq(losses[0], losses[1], sizeof losses[0]);
        ck_assert_mem_eq(gradients[0], gradients[1], sizeof gradients[0]);
    }
}
END_TEST

static void read_all(const problem *p, double values[BUFFERS][FILTERS]) {
    for (int i = 0; i < BUFFERS; i++)
        read_buffer(p, i, values[i]);
}

START_TEST(only_loops_that_succeed_commit) {
    double before[BUFFERS][FILTERS], after[BUFFERS][FILTERS], loss;
    problem p;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options = options_of(true);
    const int k = STEPS;
    make(&p, true, 0.1);
    MUST(context, blo_lower_solver_create(objective, objective, &p, p.upper, p.lower, &options, &solver));
    MUST(context, loop(&p, solver, 0, &trajectory, NULL));
    read_all(&p, before);
    MUST(context, blo_iapttgm_compute_gradients(p.method, p.query[0], p.query_target, trajectory, &k, NULL));
    MUST(context, blo_iapttgm_compute_gradients(p.method, p.query[1], p.query_target, trajectory, &k, NULL));
    MUST(context, blo_lower_evaluate(solver, objective, &p, p.query[1], p.query_target, &loss));
    blo_tensor *wrong = images(50, QUERY, (double)NAN, 0.0);
    MUST_FAIL(context, BLO_ERROR_NUMERIC, "lower step 1",
              blo_lower_optimize(solver, p.data[0], p.target, wrong, p.query_target, &trajectory, NULL));
    read_all(&p, after);
    ck_assert_mem_eq(before, after, sizeof before);
    blo_tensor_destroy(wrong);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    destroy(&p);
}
END_TEST

START_TEST(a_loop_may_not_read_what_it_tracks) {
    problem p;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options = options_of(true);
    make(&p, false, 0.1);
    MUST(context, blo_lower_solver_create(objective, evaluation, &p, p.upper, p.lower, &options, &solver));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "the upper objective reads the buffer 'layer1.norm.running_mean'",
              loop(&p, solver, 0, &trajectory, NULL));
    ck_assert_ptr_null(trajectory);
    blo_lower_solver_destroy(solver);
    /* what no objective tracks may be read, but not changed before the sweep */
    const double ones[FILTERS] = {1, 1, 1, 1, 1, 1, 1, 1};
    const int k = 2;
    MUST(context, blo_lower_solver_create(evaluation, evaluation, &p, p.upper, p.lower, &options, &solver));
    MUST(context, loop(&p, solver, 0, &trajectory, NULL));
    MUST(context, blo_iapttgm_compute_gradients(p.method, p.query[0], p.query_target, trajectory, &k, NULL));
    MUST(context, blo_model_set(p.upper, "layer1.norm.running_mean", ones, FILTERS));
    MUST_FAIL(context, BLO_ERROR_STATE, "buffer",
              blo_iapttgm_compute_gradients(p.method, p.query[0], p.query_target, trajectory, &k, NULL));
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    destroy(&p);
}
END_TEST

static void setup(void) {
    context = open_context(0);
}

static void teardown(void) {
    blo_context_destroy(context);
}

int main(void) {
    const TTest *const tests[] = {a_hoisted_backbone_is_updated_as_if_it_ran_in_every_step,
                                  nothing_hoisted_is_the_same,
                                  what_changes_with_every_step_is_added_up,
                                  tracking_changes_no_bit_of_losses_and_gradients,
                                  only_loops_that_succeed_commit,
                                  a_loop_may_not_read_what_it_tracks};
    return run_tests("running statistics", setup, teardown, sizeof tests / sizeof *tests, tests);
}
