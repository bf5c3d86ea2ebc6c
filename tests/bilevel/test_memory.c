/* Host memory that runs out, once, anywhere in a first loop, its sweep, a sweep from another objective and an
 * evaluation of a third: the call says so, and the same calls then give the same bits as if nothing had happened: no
 * half-traced program, and no plan that was chosen for want of memory, stays. Allocations are made to fail where the
 * library calls them: the linker wraps malloc, calloc and realloc. CLBILEVEL_TEST_ALLOCATIONS: how many are tried,
 * spread evenly over all of them; all: every one. */
#include "../support.h"
#include "bilevel/solver.h"

enum { EXAMPLES = 120, FEATURES = 40, HIDDEN = 60, CLASSES = 4, STEPS = 3, MOST_TASKS = 3, DEFAULT_TRIED = 60 };
enum { GRADIENTS = 2 * HIDDEN + CLASSES * HIDDEN, RESULTS = GRADIENTS + MOST_TASKS };

/* --- allocations --- */

static long calls, failing; /* the call that fails, 0: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool fails(void) {
    return ++calls == failing;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return fails() ? NULL : __real_realloc(old, size);
}

/* --- the problem: a backbone that is hoisted, hidden layers that can be kept, running statistics --- */

typedef struct problem {
    int tasks;  /* at once, each of as many examples less */
    bool turns; /* or one after another, as where their arrays leave a CPU's cache */
    blo_context *context;
    blo_model *upper, *lower;
    blo_tensor *data, *target;
    blo_iapttgm *method, *other; /* by the loop's upper objective, and by one that no loop has seen */
} problem;

static blo_node *logits(const blo_state *s) {
    blo_node *features = blo_tanh(
        blo_model_batch_norm(s->upper_model, "norm", blo_model_linear(s->upper_model, "backbone", s->data), 1e-5));
    blo_node *hidden = blo_tanh(blo_model_linear(s->lower_model, "hidden", features));
    return blo_model_linear(s->lower_model, "head", hidden);
}

static blo_node *objective(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(logits(s), s->target, BLO_REDUCE_MEAN);
}

static blo_node *other(const blo_state *s, void *user) {
    return blo_add(objective(s, user), blo_mean(blo_square(logits(s))));
}

static blo_node *accuracy(const blo_state *s, void *user) {
    (void)user;
    return blo_accuracy(logits(s), s->target);
}

static void make(problem *p, int tasks) {
    static double values[EXAMPLES * FEATURES];
    int32_t classes[EXAMPLES];
    uint64_t seed = 8;
    const int64_t hidden = HIDDEN, shape[] = {tasks, EXAMPLES / tasks, FEATURES};
    const int one = tasks == 1;
    *p = (problem){.tasks = tasks, .context = open_context(0)};
    MUST(p->context, blo_model_create(p->context, BLO_DOUBLE, &p->upper));
    MUST(p->context, blo_model_create(p->context, BLO_DOUBLE, &p->lower));
    MUST(p->context, blo_model_add_linear(p->upper, "backbone", FEATURES, HIDDEN));
    MUST(p->context, blo_model_add_norm(p->upper, "norm", 1, &hidden));
    MUST(p->context, blo_model_add_running_statistics(p->upper, "norm", 0.1));
    MUST(p->context, blo_model_add_linear(p->lower, "hidden", HIDDEN, HIDDEN));
    MUST(p->context, blo_model_add_linear(p->lower, "head", HIDDEN, CLASSES));
    for (int i = 0; i < EXAMPLES * FEATURES; i++)
        values[i] = next_number(&seed);
    for (int i = 0; i < EXAMPLES; i++)
        classes[i] = i % CLASSES;
    MUST(p->context, blo_tensor_create(p->context, BLO_DOUBLE, 3 - one, shape + one, values, &p->data));
    MUST(p->context, blo_tensor_create(p->context, BLO_INT32, 2 - one, shape + one, classes, &p->target));
    MUST(p->context, blo_iapttgm_create(objective, NULL, p->upper, p->lower, &p->method));
    MUST(p->context, blo_iapttgm_create(other, NULL, p->upper, p->lower, &p->other));
}

static void destroy(problem *p) {
    blo_iapttgm_destroy(p->method);
    blo_iapttgm_destroy(p->other);
    blo_tensor_destroy(p->data);
    blo_tensor_destroy(p->target);
    blo_model_destroy(p->upper);
    blo_model_destroy(p->lower);
    blo_context_destroy(p->context);
}

static blo_lower_solver *make_solver(const problem *p) {
    blo_lower_solver *solver = NULL;
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    MUST(p->context, blo_lower_solver_create(objective, objective, NULL, p->upper, p->lower, &options, &solver));
    MUST(p->context, blo_lower_solver_set_tasks(solver, p->tasks));
    if (p->turns)
        solver->cached = 0;
    return solver;
}

/* Gradients of the norm and of the head, whose values tell whether all went well. */
static void read_gradients(const problem *p, double *gradients) {
    MUST(p->context, blo_model_get_gradient(p->upper, "norm.weight", gradients, HIDDEN));
    MUST(p->context, blo_model_get_gradient(p->upper, "norm.bias", gradients + HIDDEN, HIDDEN));
    MUST(p->context, blo_model_get_gradient(p->lower, "head.weight", gradients + 2 * HIDDEN, CLASSES * HIDDEN));
}

/* A loop, both sweeps, and the shares of right answers [tasks]; the first failure ends it. */
static blo_status iterate(const problem *p, blo_lower_solver *solver, blo_trajectory **trajectory, double *right) {
    int k[MOST_TASKS];
    blo_status status = blo_model_zero_gradients(p->upper);
    if (status == BLO_OK)
        status = blo_model_zero_gradients(p->lower);
    if (status == BLO_OK)
        status = blo_lower_optimize(solver, p->data, p->target, p->data, p->target, trajectory, k);
    if (status == BLO_OK)
        status = blo_iapttgm_compute_gradients(p->method, p->data, p->target, *trajectory, k, NULL);
    if (status == BLO_OK)
        status = blo_iapttgm_compute_gradients(p->other, p->data, p->target, *trajectory, k, NULL);
    if (status == BLO_OK)
        status = blo_trajectory_evaluate(*trajectory, 1, accuracy, NULL, p->data, p->target, right);
    return status;
}

/* Call FAIL of a first iteration fails, if there are as many; then an iteration without a failure. Returns the calls of
 * the first. */
static long fail_at(const problem *p, long fail, double *results) {
    blo_lower_solver *solver = make_solver(p);
    blo_trajectory *trajectory = NULL;
    calls = 0;
    failing = fail;
    blo_status status = iterate(p, solver, &trajectory, results + GRADIENTS);
    const long made = calls;
    failing = 0;
    ck_assert_msg(fail > 0 && made >= fail ? status == BLO_OK || status == BLO_ERROR_MEMORY : status == BLO_OK,
                  "allocation %ld: %s: %s", fail, blo_status_string(status), blo_context_error(p->context));
    status = iterate(p, solver, &trajectory, results + GRADIENTS);
    ck_assert_msg(status == BLO_OK, "after allocation %ld failed: %s", fail, blo_context_error(p->context));
    read_gradients(p, results);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    return made;
}

START_TEST(any_allocation_may_fail_once) {
    static double wanted[RESULTS], got[RESULTS];
    const char *variable = getenv("CLBILEVEL_TEST_ALLOCATIONS");
    problem p;
    make(&p, _i == 0 ? 1 : MOST_TASKS);
    p.turns = _i == 2;
    fail_at(&p, 0, wanted); /* its kernels are built now */
    const long made = fail_at(&p, 0, wanted);
    long tried = variable ? strcmp(variable, "all") == 0 ? made : atol(variable) : DEFAULT_TRIED;
    ck_assert_int_gt(made, tried - 1);
    printf("%d tasks: %ld of %ld allocations are made to fail\n", p.tasks, tried, made);
    for (long i = 0; i < tried; i++) {
        const long fail = 1 + i * made / tried;
        fail_at(&p, fail, got);
        ck_assert_msg(memcmp(wanted, got, sizeof wanted) == 0, "other results after allocation %ld failed", fail);
    }
    destroy(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("host memory");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 600);
    tcase_add_loop_test(all, any_allocation_may_fail_once, 0, 3); /* one task, several, in turns */
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
