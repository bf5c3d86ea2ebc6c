/* Loops whose steps keep arrays for their adjoints: at every budget from the least to one that keeps everything, the
 * same bits, within the budget, with the plans only that the loop said it would use, and no more steps than the
 * arithmetic promises. */
#include "../support/context.h"
#include "logistic.h"
#include "schedule/checkpoint.h"

enum { LEVELS = 2, MOST_STEPS = 24, SCRATCH = 8192 };
static const double step_cost = 2, adjoint_cost[LEVELS + 1] = {4, 3, 2.5};

typedef struct scene {
    blo_plan *step[LEVELS + 1], *adjoint[LEVELS + 1];
    blo_source step_sources[1], adjoint_sources[3 + LEVELS];
    double states[MOST_STEPS + 1][N]; /* by direct iteration */
} scene;

/* s' = r s (1 - s); kept: 1 - 2 s, then s s. */
static void trace_step(scene *x, int level) {
    blo_graph *graph;
    MUST(blo_graph_create(&graph));
    blo_node *s = vector_input(graph, "s");
    blo_node *outputs[] = {next_node(s), slope_node(s), blo_mul(s, s)};
    MUST(blo_plan_create(context, 1 + level, outputs, NULL, &x->step[level]));
    blo_graph_destroy(graph);
}

/* a' = a r (1 - 2 s) + s s k. Inputs: s, a, k, and what is kept. */
static void trace_adjoint(scene *x, int level) {
    blo_graph *graph;
    MUST(blo_graph_create(&graph));
    blo_node *s = vector_input(graph, "s"), *a = vector_input(graph, "a"),
             *k = blo_cast(blo_graph_input(graph, "k", BLO_INT32, 0, NULL), BLO_DOUBLE), *slope = slope_node(s),
             *square = blo_mul(s, s);
    if (level > 0)
        slope = vector_input(graph, "slope");
    if (level > 1)
        square = vector_input(graph, "square");
    blo_node *next = blo_add(blo_scale(blo_mul(a, slope), rate), blo_mul(square, k));
    MUST(blo_plan_create(context, 1, &next, NULL, &x->adjoint[level]));
    blo_graph_destroy(graph);
}

static void open_scene(scene *x) {
    memset(x, 0, sizeof *x);
    for (int level = 0; level <= LEVELS; level++) {
        trace_step(x, level);
        trace_adjoint(x, level);
        ck_assert_uint_le(blo_plan_scratch_bytes(x->adjoint[level]), SCRATCH);
        ck_assert_uint_le(blo_plan_scratch_bytes(x->step[level]), SCRATCH);
    }
    ck_assert_ptr_nonnull(blo_flag_buffer(context));        /* the context's own, made once */
    ck_assert(!blo_plan_uses_input(x->adjoint[LEVELS], 0)); /* everything that needs the state is kept */
    x->step_sources[0] = x->adjoint_sources[0] = (blo_source){.kind = BLO_SOURCE_STATE};
    x->adjoint_sources[1] = (blo_source){.kind = BLO_SOURCE_CARRY};
    x->adjoint_sources[2] = (blo_source){.kind = BLO_SOURCE_STEP};
    for (int i = 0; i < LEVELS; i++)
        x->adjoint_sources[3 + i] = (blo_source){.kind = BLO_SOURCE_KEPT, .index = i};
    iterate(MOST_STEPS, x->states);
}

static void close_scene(scene *x) {
    for (int level = 0; level <= LEVELS; level++) {
        blo_plan_destroy(x->step[level]);
        blo_plan_destroy(x->adjoint[level]);
    }
}

/* One loop under test, with stages for the levels that it asks for. */
typedef struct trial {
    scene *x;
    blo_loop *loop;
    int steps;
    bool last_stays;
    uint64_t budget, spare_bytes;
    blo_stage step[LEVELS + 1], adjoint[LEVELS + 1];
    blo_loop_report report;
} trial;

static blo_status create(trial *t, uint64_t beside_fixed) {
    const uint64_t keep_bytes[LEVELS] = {array_bytes, array_bytes};
    t->budget = budget_for(t->steps, SCRATCH, beside_fixed);
    const blo_loop_layout layout = {.steps = t->steps,
                                    .n_state = 1,
                                    .state_bytes = &array_bytes,
                                    .n_carry = 1,
                                    .carry_bytes = &array_bytes,
                                    .observed = BLO_DOUBLE,
                                    .scratch_bytes = SCRATCH,
                                    .budget = t->budget,
                                    .n_levels = LEVELS,
                                    .keep_bytes = keep_bytes,
                                    .step_cost = step_cost,
                                    .adjoint_cost = adjoint_cost,
                                    .spare_bytes = t->spare_bytes,
                                    .last_stays = t->last_stays};
    return blo_loop_create(context, &layout, &t->loop);
}

static void make_stages(trial *t) {
    bool used[LEVELS + 1];
    blo_loop_levels(t->loop, used);
    memset(t->step, 0, sizeof t->step);
    memset(t->adjoint, 0, sizeof t->adjoint);
    for (int level = 0; level <= LEVELS; level++) { /* what is not named must not be looked at */
        if (!used[level])
            continue;
        t->step[level] = (blo_stage){.plan = t->x->step[level], .sources = t->x->step_sources};
        t->adjoint[level] = (blo_stage){.plan = t->x->adjoint[level], .sources = t->x->adjoint_sources};
    }
}

static void run(trial *t) {
    MUST(write_place(blo_loop_begin(t->loop, 0), t->x->states[0]));
    MUST(blo_loop_run(t->loop, t->step, NULL, false));
}

static void sweep(trial *t, int k, bool rewind) {
    double a[N];
    blo_place place;
    first_carry(a);
    if (rewind) {
        MUST(blo_loop_rewind(t->loop, t->step, k, &place));
        check_place(place, t->x->states[k], "state", k);
    }
    MUST(write_place(blo_loop_carry(t->loop, 0), a));
    MUST(blo_loop_sweep(t->loop, t->step, t->adjoint, k, BLO_DOUBLE));
    for (int j = k - 1; j >= 0; j--)
        for (int i = 0; i < N; i++)
            a[i] = a[i] * (1 - t->x->states[j][i] * 2) * rate + t->x->states[j][i] * t->x->states[j][i] * j;
    check_place(blo_loop_carry(t->loop, 0), a, "the adjoint after a sweep from", k);
    blo_loop_describe(t->loop, &t->report);
}

/* Steps that the arithmetic promises for states END-1 … 0 after a run. */
static uint64_t promised(const trial *t, int end) {
    blo_checkpoints c;
    blo_sweep s;
    bool live[MOST_STEPS + 1] = {false};
    if (t->report.slots > t->steps)
        return 0;
    ck_assert(blo_checkpoints_create(t->steps, t->report.slots - t->last_stays,
                                     t->report.keep_slots ? t->report.keep_slots + 1 : 0, &c));
    for (int k = 0; k < t->steps && k < end; k++)
        live[k] = blo_checkpoints_keeps(&c, k);
    int64_t cost = blo_sweep_begin(&s, &c, live, NULL, 0, end);
    blo_checkpoints_free(&c);
    return (uint64_t)cost;
}

static void try_all_ends(trial *t) {
    const blo_statistics *counters = blo_context_counters(context);
    blo_place place;
    run(t);
    uint64_t allocations = counters->allocations, waits = counters->waits;
    for (int k = 1; k <= t->steps; k += 1 + t->steps / 6) {
        run(t);
        ck_assert_uint_eq(counters->waits, waits);
        sweep(t, k, false);
        ck_assert_uint_eq(t->report.recomputed_steps, promised(t, k));
        sweep(t, t->steps - k / 2, true); /* again, from what the first has left */
        run(t);
        sweep(t, k, true);
        ck_assert_uint_eq(t->report.recomputed_steps, k < t->steps ? promised(t, k + 1) : promised(t, k));
        MUST(blo_loop_state(t->loop, t->step, t->steps, &place));
        check_place(place, t->x->states[t->steps], "state", t->steps);
        sweep(t, k, k % 2 == 0);
        MUST(blo_loop_state(t->loop, t->step, k / 2, &place));
        check_place(place, t->x->states[k / 2], "state", k / 2);
        ck_assert_uint_eq(counters->allocations, allocations);
        waits = counters->waits;
    }
    ck_assert_uint_le(counters->current_device_bytes, t->budget);
}

static void try_budgets(scene *x, int steps, bool last_stays) {
    int all = steps + 1, least = all < 3 + last_stays ? all : 3 + last_stays, slots = 0;
    bool thinned_and_kept = false;
    for (int arrays = least - 1; arrays <= all + LEVELS * steps; arrays++) {
        trial t = {.x = x, .steps = steps, .last_stays = last_stays};
        blo_pool_trim(context);
        blo_status status = create(&t, (uint64_t)arrays * array_bytes);
        ck_assert_int_eq(status, arrays < least ? BLO_ERROR_BUDGET : BLO_OK);
        if (status != BLO_OK)
            continue;
        make_stages(&t);
        try_all_ends(&t);
        slots = t.report.slots;
        ck_assert_uint_le(t.report.all_state_bytes + t.report.all_keep_bytes, (uint64_t)arrays * array_bytes);
        thinned_and_kept |= slots < all && t.report.kept_steps[0] > 0;
        if (arrays >= all) {
            int rest = arrays - all, first = rest < steps ? rest : steps;
            ck_assert_int_eq(slots, all);
            ck_assert_int_eq(t.report.kept_steps[0], first);
            ck_assert_int_eq(t.report.kept_steps[1], rest - first);
        }
        blo_loop_destroy(t.loop);
    }
    ck_assert(thinned_and_kept == (steps > 6));
}

START_TEST(every_budget_gives_the_same_bits) {
    static scene x;
    open_scene(&x);
    for (int last_stays = 0; last_stays < 2; last_stays++) {
        try_budgets(&x, 1, last_stays);
        try_budgets(&x, 2, last_stays);
        try_budgets(&x, 5, last_stays);
        try_budgets(&x, 13, last_stays);
    }
    try_budgets(&x, MOST_STEPS, true);
    close_scene(&x);
}
END_TEST

START_TEST(what_is_to_spare_is_left_to_others) {
    static scene x;
    open_scene(&x);
    for (int arrays = 3; arrays < 60; arrays++) {
        trial t = {.x = &x, .steps = 13, .spare_bytes = 5 * array_bytes};
        int usable = arrays < 8 ? 3 : arrays - 5;
        blo_pool_trim(context);
        MUST(create(&t, (uint64_t)arrays * array_bytes));
        make_stages(&t);
        try_all_ends(&t);
        ck_assert_uint_le(t.report.all_state_bytes + t.report.all_keep_bytes, (uint64_t)usable * array_bytes);
        if (usable >= 14 && usable <= 40)
            ck_assert_uint_eq(t.report.all_state_bytes + t.report.all_keep_bytes, (uint64_t)usable * array_bytes);
        blo_loop_destroy(t.loop);
    }
    close_scene(&x);
}
END_TEST

/* Runs, states, rewinds and sweeps in any order, from a fixed seed. */
static void any_order(trial *t, uint32_t *seed) {
    run(t);
    for (int i = 0; i < 40; i++) {
        blo_place place;
        *seed = *seed * 1664525u + 1013904223u;
        int what = (int)(*seed >> 28), k = (int)((*seed >> 8) % (uint32_t)(t->steps + 1));
        if (what == 0)
            run(t);
        else if (what < 6) {
            MUST(blo_loop_state(t->loop, t->step, k, &place));
            check_place(place, t->x->states[k], "state", k);
        } else if (what < 10) {
            MUST(blo_loop_rewind(t->loop, t->step, k, &place));
            check_place(place, t->x->states[k], "state", k);
        } else
            sweep(t, k, what < 13);
    }
}

START_TEST(calls_come_in_any_order) {
    static scene x;
    uint32_t seed = 20210712;
    open_scene(&x);
    for (int steps = 2; steps <= MOST_STEPS; steps += 5)
        for (int arrays = 4; arrays <= 3 * steps + 1; arrays += 1 + steps / 7) {
            trial t = {.x = &x, .steps = steps, .last_stays = arrays % 2};
            blo_pool_trim(context);
            MUST(create(&t, (uint64_t)arrays * array_bytes));
            make_stages(&t);
            any_order(&t, &seed);
            blo_loop_destroy(t.loop);
        }
    close_scene(&x);
}
END_TEST

/* A run, a rewind and a sweep; the first failure ends it. */
static blo_status use(trial *t, int k) {
    blo_place place;
    blo_status status = write_place(blo_loop_begin(t->loop, 0), t->x->states[0]);
    if (status == BLO_OK)
        status = blo_loop_run(t->loop, t->step, NULL, false);
    if (status == BLO_OK)
        status = blo_loop_rewind(t->loop, t->step, k, &place);
    return status == BLO_OK ? blo_loop_sweep(t->loop, t->step, t->adjoint, k, BLO_DOUBLE) : status;
}

/* Every OpenCL call fails in turn: what failed says so, and the same loop can be used again. */
static void fail_each_call(scene *x, int steps, int arrays, int k) {
    trial t = {.x = x, .steps = steps};
    blo_pool_trim(context);
    MUST(create(&t, (uint64_t)arrays * array_bytes));
    make_stages(&t);
    int failures = 0;
    for (bool ended = false; !ended; failures += !ended) {
        blo_place place;
        context->faults = failures + 1;
        ended = ended_before_fault(context, use(&t, k));
        blo_status status = blo_loop_state(t.loop, t.step, k, &place);
        if (status == BLO_OK) { /* the run was whole */
            check_place(place, x->states[k], "state", k);
            sweep(&t, k, true);
            sweep(&t, k, false);
        } else
            ck_assert_int_eq(status, BLO_ERROR_STATE);
        run(&t);
        sweep(&t, k, failures % 2 == 0);
    }
    ck_assert_int_gt(failures, steps + k);
    ck_assert_int_gt(t.report.kept_steps[0], 0);
    blo_loop_destroy(t.loop);
}

START_TEST(any_call_may_fail) {
    static scene x;
    open_scene(&x);
    fail_each_call(&x, 9, 10 + 9 + 4, 8);
    fail_each_call(&x, 9, 9, 8);
    close_scene(&x);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {every_budget_gives_the_same_bits, calls_come_in_any_order, any_call_may_fail,
                                  what_is_to_spare_is_left_to_others};
    return run_tests("kept arrays of loops", sizeof tests / sizeof *tests, tests);
}
