/* Lower loops that are recorded and replayed: upper iterations have the same bits as those that are queued, whatever
 * changes from one to the next. */
#include "../support.h"
#include "../support/context.h"
#include "bilevel/solver.h"

enum { ROWS = 60, WIDTH = 20, HIDDEN = 16, KINDS = 4, LOOP = 9, BATCH_ROWS = 10, ITERATIONS = 6, TASKS = 3 };
enum { SMALL_BUDGET = 88000 }; /* bytes; too few for all states of the model with a hidden layer */

typedef struct variant {
    const char *name;
    bool hidden, adam, batches, warm, last_only, thinned, other_data, new_contents, fails, two_solvers;
    int tasks;   /* 0: one */
    int replays; /* upper iterations whose loop is replayed, of ITERATIONS */
} variant;

/* A loop's first run is recorded, those that are bound to the same are replayed. */
static const variant variants[] = {
    {.name = "linear", .replays = 5},
    {.name = "hidden layer", .hidden = true, .replays = 5},
    {.name = "adam", .adam = true, .replays = 5},
    {.name = "minibatches", .batches = true, .adam = true, .replays = 5},
    {.name = "warm start", .warm = true, .replays = 5},
    {.name = "F at T only", .last_only = true, .replays = 5},
    {.name = "thinned", .hidden = true, .thinned = true, .replays = 5},
    {.name = "other data",
     .other_data = true,
     .replays = 3}, /* it changes once, and is recorded when it is met again */
    {.name = "new contents of the data", .new_contents = true, .replays = 5},
    {.name = "a call that fails", .fails = true, .hidden = true, .replays = 5},
    {.name = "two solvers", .two_solvers = true, .replays = 4},
    {.name = "tasks", .tasks = TASKS, .replays = 5},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

typedef struct outcome { /* of an upper iteration */
    double loss[TASKS], x[ROWS], weight[KINDS * HIDDEN];
    int k[TASKS];
} outcome;

typedef struct problem {
    const variant *v;
    int tasks;
    blo_context *context;
    blo_model *upper, *lower;
    blo_tensor *data[3], *target[3], *batch; /* two to train on, one to validate */
    blo_lower_solver *solvers[2];
    blo_trajectory *trajectories[2];
    blo_iapttgm *method;
    blo_optimizer *steps[2];
} problem;

/* --- the problem: a weight for each example, or for each of a task's --- */

static blo_node *logits(const problem *p, const blo_state *s, blo_node *data) {
    if (p->v->hidden)
        data = blo_tanh(blo_model_linear(s->lower_model, "hidden", data));
    return blo_model_linear(s->lower_model, "head", data);
}

static blo_node *lower_loss(const blo_state *s, void *user) {
    const problem *p = user;
    blo_node *x = blo_model_parameter(s->upper_model, "x"), *data = s->data, *target = s->target;
    if (p->batch) {
        blo_node *rows = blo_state_input(s, "batch");
        data = blo_gather(data, rows);
        target = blo_gather(target, rows);
        x = blo_gather(x, rows);
    }
    return blo_mean(blo_mul(blo_sigmoid(x), blo_cross_entropy(logits(p, s, data), target, BLO_REDUCE_NONE)));
}

static blo_node *upper_loss(const blo_state *s, void *user) {
    return blo_cross_entropy(logits(user, s, s->data), s->target, BLO_REDUCE_MEAN);
}

static void fill(problem *p, int which, uint64_t seed) {
    static double values[ROWS * WIDTH];
    int32_t classes[ROWS];
    const int one = p->tasks == 1;
    const int64_t shape[] = {p->tasks, ROWS / p->tasks, WIDTH};
    for (int i = 0; i < ROWS * WIDTH; i++)
        values[i] = next_number(&seed);
    for (int i = 0; i < ROWS; i++)
        classes[i] = (i + (int)seed) % KINDS;
    if (p->data[which]) {
        MUST(p->context, blo_tensor_upload(p->data[which], values, sizeof values));
        return;
    }
    MUST(p->context, blo_tensor_create(p->context, BLO_DOUBLE, 3 - one, shape + one, values, &p->data[which]));
    MUST(p->context, blo_tensor_create(p->context, BLO_INT32, 2 - one, shape + one, classes, &p->target[which]));
}

static void make_solver(problem *p, int which) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = LOOP + which;
    options.whole = BLO_WHOLE_OFF;
    options.acquire_max_loss = !p->v->last_only;
    if (p->v->adam)
        blo_optimizer_options_default(&options.optimizer, BLO_ADAM);
    if (p->v->warm) {
        options.warm_start = true;
        options.initialization_auxiliary = false;
    }
    if (p->v->thinned)
        options.memory_budget = blo_context_counters(p->context)->current_device_bytes + SMALL_BUDGET;
    MUST(p->context,
         blo_lower_solver_create(lower_loss, upper_loss, p, p->upper, p->lower, &options, &p->solvers[which]));
    MUST(p->context, blo_lower_solver_set_tasks(p->solvers[which], p->tasks));
    if (p->batch)
        MUST(p->context, blo_lower_solver_set_input(p->solvers[which], "batch", p->batch, true));
}

static void open_problem(problem *p, const variant *v, blo_replay replay) {
    blo_context_options options;
    blo_optimizer_options adam, sgd;
    blo_context_options_default(&options);
    options.replay = replay;
    *p = (problem){.v = v, .tasks = v->tasks ? v->tasks : 1, .context = open_context_with(&options)};
    MUST(p->context, blo_model_create(p->context, BLO_DOUBLE, &p->upper));
    MUST(p->context, blo_model_create(p->context, BLO_DOUBLE, &p->lower));
    MUST(p->context, blo_model_add(p->upper, "x", 1, (const int64_t[]){ROWS / p->tasks}));
    if (v->hidden)
        MUST(p->context, blo_model_add_linear(p->lower, "hidden", WIDTH, HIDDEN));
    MUST(p->context, blo_model_add_linear(p->lower, "head", v->hidden ? HIDDEN : WIDTH, KINDS));
    for (int i = 0; i < 3; i++)
        fill(p, i, (uint64_t)i + 1);
    if (v->batches)
        MUST(p->context,
             blo_tensor_create(p->context, BLO_INT32, 2, (const int64_t[]){LOOP, BATCH_ROWS}, NULL, &p->batch));
    make_solver(p, 0);
    if (v->two_solvers)
        make_solver(p, 1);
    MUST(p->context, blo_iapttgm_create(upper_loss, p, p->upper, p->lower, &p->method));
    blo_optimizer_options_default(&adam, BLO_ADAM);
    blo_optimizer_options_default(&sgd, BLO_SGD);
    MUST(p->context, blo_optimizer_create(p->upper, &adam, &p->steps[0]));
    MUST(p->context, blo_optimizer_create(p->lower, &sgd, &p->steps[1]));
}

static void close_problem(problem *p) {
    for (int i = 0; i < 2; i++) {
        blo_trajectory_destroy(p->trajectories[i]);
        blo_lower_solver_destroy(p->solvers[i]);
        blo_optimizer_destroy(p->steps[i]);
    }
    blo_iapttgm_destroy(p->method);
    for (int i = 0; i < 3; i++) {
        blo_tensor_destroy(p->data[i]);
        blo_tensor_destroy(p->target[i]);
    }
    blo_tensor_destroy(p->batch);
    blo_model_destroy(p->upper);
    blo_model_destroy(p->lower);
    blo_context_destroy(p->context);
}

/* What the variant changes before upper iteration I. */
static void change(problem *p, int i) {
    int32_t rows[LOOP * BATCH_ROWS];
    for (int j = 0; j < LOOP * BATCH_ROWS; j++)
        rows[j] = (j * 7 + i) % ROWS;
    if (p->batch)
        MUST(p->context, blo_tensor_upload(p->batch, rows, sizeof rows));
    if (p->v->new_contents)
        fill(p, 0, (uint64_t)i + 10);
}

/* Whether its loop was replayed: how many of ITERATIONS are told by *REPLAYED. */
static void iterate(problem *p, int i, outcome *o, int *replayed) {
    const int which = p->v->two_solvers ? i % 2 : 0, train = p->v->other_data && i >= ITERATIONS / 2;
    blo_trajectory **trajectory = &p->trajectories[which];
    change(p, i);
    MUST(p->context, blo_model_zero_gradients(p->upper));
    MUST(p->context, blo_model_zero_gradients(p->lower));
    if (p->v->fails && i == 2) {
        p->context->faults = 4;
        ck_assert_int_eq(blo_lower_optimize(p->solvers[which], p->data[train], p->target[train], p->data[2],
                                            p->target[2], trajectory, o->k),
                         BLO_ERROR_DEVICE);
    }
    const uint64_t bindings = blo_context_counters(p->context)->bindings;
    MUST(p->context, blo_lower_optimize(p->solvers[which], p->data[train], p->target[train], p->data[2], p->target[2],
                                        trajectory, o->k));
    blo_trajectory_report report;
    blo_trajectory_describe(*trajectory, &report);
    ck_assert(p->v->thinned == (report.snapshots < LOOP + which + 1));
    *replayed += blo_context_counters(p->context)->bindings - bindings < (uint64_t)LOOP;
    MUST(p->context, blo_iapttgm_compute_gradients(p->method, p->data[2], p->target[2], *trajectory, o->k, o->loss));
    MUST(p->context, blo_model_get_gradient(p->upper, "x", o->x, ROWS / p->tasks));
    MUST(p->context, blo_model_get_gradient(p->lower, "head.bias", o->weight, KINDS));
    for (int j = 0; j < 2; j++)
        MUST(p->context, blo_optimizer_step(p->steps[j]));
}

static void run_variant(const variant *v, blo_replay replay, outcome *outcomes) {
    problem p;
    int replayed = 0;
    open_problem(&p, v, replay);
    for (int i = 0; i < ITERATIONS; i++)
        iterate(&p, i, &outcomes[i], &replayed);
    ck_assert_msg(replayed == (replay == BLO_REPLAY_ON ? v->replays : 0), "%s: %d loops were replayed", v->name,
                  replayed);
    close_problem(&p);
}

START_TEST(replayed_loops_have_the_bits_of_queued_ones) {
    static outcome queued[ITERATIONS], replayed[ITERATIONS];
    const variant *v = &variants[_i];
    memset(queued, 0, sizeof queued);
    memset(replayed, 0, sizeof replayed);
    run_variant(v, BLO_REPLAY_OFF, queued);
    run_variant(v, BLO_REPLAY_ON, replayed);
    for (int i = 0; i < ITERATIONS; i++)
        ck_assert_msg(memcmp(&queued[i], &replayed[i], sizeof queued[i]) == 0, "%s: upper iteration %d differs",
                      v->name, i);
    if (!v->warm)
        ck_assert(queued[0].weight[0] != 0 && queued[0].x[0] != 0 && queued[0].x[0] != queued[ITERATIONS - 1].x[0]);
}
END_TEST

int main(void) {
    if (!can_record())
        return EXIT_SKIPPED;
    Suite *suite = suite_create("replayed lower loops");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_loop_test(all, replayed_loops_have_the_bits_of_queued_ones, 0, VARIANTS);
    suite_add_tcase(suite, all);
    return run_suite_here(suite);
}
