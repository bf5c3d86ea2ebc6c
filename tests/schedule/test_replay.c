/* Runs that are recorded and replayed: the states, observations and sweeps of a run that is queued, whatever the arrays
 * hold by then; and not where anything else differs. CLBILEVEL_REPLAY: contexts replay wherever they can. */
#include "../support/context.h"
#include "scene.h"

enum { LONG = 9000 };

/* From here on the scene has other rows and another s_0; the host's states follow. */
static void change_contents(scene *x, int seed) {
    for (int k = 0; k < STEPS; k++)
        x->row[k] = 1.0 + 1.0 / (k + 3 + seed);
    for (int i = 0; i < S; i++)
        x->states[0].s[i] = (i + 1.0 + seed) / 7;
    for (int k = 0; k < STEPS; k++) {
        for (int i = 0; i < S; i++)
            x->states[k + 1].s[i] = x->states[k].s[i] * x->row[k] + k;
        for (int i = 0; i < M; i++)
            x->states[k + 1].m[i] = x->states[k].m[i] * 0.5 + x->row[k] * k;
        x->observed[k] = x->states[k + 1].m[0] + x->row[k] * (k + 1);
    }
    MUST(x->context, blo_buffer_write(x->context, (blo_buffer *)(uintptr_t)x->step_sources[2].place.buffer, 0,
                                      sizeof x->row, x->row));
}

/* The scene's rows are read from BUFFER, of equal contents. */
static void read_rows_from(scene *x, blo_buffer *buffer) {
    x->step_sources[2].place.buffer = x->adjoint_sources[2].place.buffer = x->observe_sources[2].place.buffer = buffer;
    MUST(x->context, blo_buffer_write(x->context, buffer, 0, sizeof x->row, x->row));
}

/* Runs; whether it was replayed: nothing is bound then. */
static bool run_replays(const scene *x, blo_loop *loop, bool every) {
    const blo_statistics before = *blo_context_counters(x->context);
    blo_loop_report report;
    MUST(x->context, run(x, loop, every));
    const blo_statistics *after = blo_context_counters(x->context);
    const int step = blo_plan_launches(x->step), observe = blo_plan_launches(x->observe);
    blo_loop_describe(loop, &report);
    ck_assert_uint_eq(after->launches - before.launches, (uint64_t)(STEPS * step + (every ? STEPS : 1) * observe));
    ck_assert_uint_eq(report.run_launches, after->launches - before.launches);
    return after->bindings == before.bindings;
}

/* Observations, a sweep, all states. */
static void check_run(const scene *x, blo_loop *loop, bool every) {
    double values[STEPS];
    MUST(x->context, blo_loop_observed(loop, values));
    for (int k = every ? 0 : STEPS - 1; k < STEPS; k++)
        ck_assert_msg(values[k] == x->observed[k], "o_%d is %.17g, want %.17g", k + 1, values[k], x->observed[k]);
    MUST(x->context, sweep(x, loop, STEPS - 2));
    check_carry(x, loop, STEPS - 2);
    for (int k = STEPS; k >= 0; k--)
        check_state(x, loop, k);
}

START_TEST(what_the_arrays_hold_makes_no_difference) {
    for (int slots = 3; slots <= STEPS + 1; slots++) {
        scene x;
        blo_loop *loop = NULL;
        open_scene(&x);
        MUST(x.context, make_loop(&x, budget_for(&x, slots), &loop));
        for (int i = 0; i < 4; i++) {
            change_contents(&x, i);
            ck_assert(run_replays(&x, loop, true) == (i > 0));
            check_run(&x, loop, true);
        }
        blo_loop_destroy(loop);
        close_scene(&x);
    }
}
END_TEST

START_TEST(other_bindings_are_queued_and_then_recorded) {
    scene x;
    blo_loop *loop = NULL;
    blo_buffer *other = NULL;
    open_scene(&x);
    MUST(x.context, make_loop(&x, 0, &loop));
    MUST(x.context, blo_buffer_create(x.context, sizeof x.row, &other));
    static const struct {
        bool other, every, replays;
    } runs[] = {{false, true, false},  {false, true, true},  {true, true, false},  {false, true, false},
                {false, false, false}, {true, false, false}, {true, false, false}, {true, false, true},
                {true, true, false},   {true, true, false},  {true, true, true}};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        read_rows_from(&x, runs[i].other ? other : x.rows);
        change_contents(&x, (int)i);
        bool replayed = run_replays(&x, loop, runs[i].every);
        ck_assert_msg(replayed == runs[i].replays, "run %zu", i);
        check_run(&x, loop, runs[i].every);
    }
    blo_loop_destroy(loop);
    blo_buffer_release(other);
    close_scene(&x);
}
END_TEST

/* A recording is not queued twice at a time, nor after memory that it may use has gone. */
START_TEST(what_cannot_be_replayed_now_is_queued) {
    scene x;
    blo_loop *loop = NULL;
    open_scene(&x);
    MUST(x.context, make_loop(&x, 0, &loop));
    ck_assert(!run_replays(&x, loop, true));
    ck_assert(!run_replays(&x, loop, true)); /* nobody has waited */
    check_run(&x, loop, true);
    ck_assert(run_replays(&x, loop, true));
    check_run(&x, loop, true);
    blo_buffer *given_back = NULL;
    MUST(x.context, blo_buffer_create(x.context, 1 << 16, &given_back));
    blo_buffer_release(given_back);
    blo_pool_trim(x.context);
    ck_assert(!run_replays(&x, loop, true)); /* recorded again */
    check_run(&x, loop, true);
    ck_assert(run_replays(&x, loop, true));
    check_run(&x, loop, true);
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

START_TEST(a_replay_that_fails_is_no_run) {
    scene x;
    blo_loop *loop = NULL;
    open_scene(&x);
    MUST(x.context, make_loop(&x, 0, &loop));
    MUST(x.context, run(&x, loop, true));
    check_run(&x, loop, true);
    bool ended = false;
    for (int call = 1; !ended; call++) {
        x.context->faults = call;
        ended = ended_before_fault(x.context, run(&x, loop, true));
        ck_assert_int_eq(sweep(&x, loop, STEPS), ended ? BLO_OK : BLO_ERROR_STATE);
        MUST(x.context, blo_context_finish(x.context));
        change_contents(&x, call);
        ck_assert(run_replays(&x, loop, true));
        check_run(&x, loop, true);
    }
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

static blo_status count_visits(void *user, int k, const blo_place *state) {
    (void)k, (void)state;
    ++*(int *)user;
    return BLO_OK;
}

START_TEST(a_loop_that_is_visited_is_queued) {
    scene x;
    blo_loop *loop = NULL;
    int visits = 0;
    open_scene(&x);
    MUST(x.context, make_loop(&x, 0, &loop));
    for (int i = 0; i < 2; i++) {
        ck_assert(run_replays(&x, loop, true) == (i > 0));
        check_run(&x, loop, true);
    }
    blo_loop_on_state(loop, count_visits, &visits);
    for (int i = 0; i < 3; i++) {
        ck_assert(!run_replays(&x, loop, true));
        ck_assert_int_eq(visits, (i + 1) * (STEPS + 1));
        check_run(&x, loop, true);
    }
    blo_loop_on_state(loop, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert(run_replays(&x, loop, true) == (i > 0));
        check_run(&x, loop, true);
    }
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

/* s' = s + 1, so often that a recording would take too much. */
START_TEST(a_long_loop_is_queued) {
    scene x;
    blo_graph *graph;
    blo_loop *loop = NULL;
    blo_plan *step = NULL;
    double value = 0;
    open_scene(&x);
    MUST(x.context, blo_graph_create(&graph));
    blo_node *next = blo_shift(blo_graph_input(graph, "s", BLO_DOUBLE, 0, NULL), 1.0);
    MUST(x.context, blo_plan_create(x.context, 1, &next, NULL, &step));
    blo_graph_destroy(graph);
    const uint64_t bytes = sizeof(double);
    const blo_loop_layout layout = {.steps = LONG,
                                    .n_state = 1,
                                    .state_bytes = &bytes,
                                    .n_carry = 1,
                                    .carry_bytes = &bytes,
                                    .observed = BLO_DOUBLE,
                                    .scratch_bytes = SCRATCH};
    const blo_source state = {.kind = BLO_SOURCE_STATE};
    const blo_stage stage = {.plan = step, .sources = &state};
    MUST(x.context, blo_loop_create(x.context, &layout, &loop));
    for (int i = 0; i < 2; i++) {
        const uint64_t bindings = blo_context_counters(x.context)->bindings;
        blo_place place = blo_loop_begin(loop, 0);
        MUST(x.context, blo_buffer_zero(x.context, (blo_buffer *)(uintptr_t)place.buffer, place.offset, sizeof value));
        MUST(x.context, blo_loop_run(loop, &stage, NULL, false));
        ck_assert_uint_gt(blo_context_counters(x.context)->bindings, bindings);
        MUST(x.context, blo_loop_state(loop, &stage, LONG, &place));
        MUST(x.context, blo_buffer_read(x.context, place.buffer, place.offset, sizeof value, &value));
        ck_assert_double_eq(value, LONG);
    }
    blo_loop_destroy(loop);
    blo_plan_destroy(step);
    close_scene(&x);
}
END_TEST

/* Outside of any test: nothing is asserted. */
static bool can_replay(void) {
    blo_context *context = NULL;
    bool can = blo_context_create(NULL, &context, NULL, 0) != BLO_OK || blo_context_facts(context)->replays;
    blo_context_destroy(context);
    return can;
}

int main(void) {
    setenv("CLBILEVEL_REPLAY", "1", 1);
    if (!can_replay())
        return EXIT_SKIPPED;
    const TTest *const tests[] = {what_the_arrays_hold_makes_no_difference, other_bindings_are_queued_and_then_recorded,
                                  what_cannot_be_replayed_now_is_queued,    a_replay_that_fails_is_no_run,
                                  a_loop_that_is_visited_is_queued,         a_long_loop_is_queued};
    setenv("CK_FORK", "no", 1); /* a context was open in this process: its threads would not survive a fork */
    return run_tests("replayed loops", NULL, NULL, sizeof tests / sizeof *tests, tests);
}
