/* The schedule: for every length, number of slots and end of the sweep, states and adjoints are those of direct
 * iteration to the bit, and nothing is recomputed where all states fit. The step is the logistic map on a vector, its
 * adjoint written by hand. */
#include "logistic.h"

enum { MOST_STEPS = 17, SCRATCH = 4096 };

typedef struct scene {
    blo_plan *step, *adjoint, *observe;
    blo_source step_sources[1], adjoint_sources[2], observe_sources[1];
} scene;

/* s' = r s (1 - s); a' = a r (1 - 2 s); o = sum s */
static void open_scene(scene *s) {
    blo_graph *forward, *backward;
    MUST(blo_graph_create(&forward));
    MUST(blo_graph_create(&backward));
    blo_node *x = vector_input(forward, "s"), *next = next_node(x), *sum = blo_sum(x);
    MUST(blo_plan_create(context, 1, &next, NULL, &s->step));
    MUST(blo_plan_create(context, 1, &sum, NULL, &s->observe));
    blo_node *y = vector_input(backward, "s"), *a = vector_input(backward, "a");
    blo_node *pulled = blo_scale(blo_mul(a, slope_node(y)), rate);
    MUST(blo_plan_create(context, 1, &pulled, NULL, &s->adjoint));
    blo_graph_destroy(forward);
    blo_graph_destroy(backward);
    s->step_sources[0] = s->observe_sources[0] = s->adjoint_sources[0] = (blo_source){.kind = BLO_SOURCE_STATE};
    s->adjoint_sources[1] = (blo_source){.kind = BLO_SOURCE_CARRY};
}

static void close_scene(scene *s) {
    blo_plan_destroy(s->step);
    blo_plan_destroy(s->adjoint);
    blo_plan_destroy(s->observe);
}

static void sweep_and_check(blo_loop *loop, const scene *s, double states[][N], int k) {
    const blo_stage step = {.plan = s->step, .sources = s->step_sources},
                    adjoint = {.plan = s->adjoint, .sources = s->adjoint_sources};
    double a[N];
    first_carry(a);
    MUST(write_place(blo_loop_carry(loop, 0), a));
    MUST(blo_loop_sweep(loop, &step, &adjoint, k, BLO_DOUBLE));
    for (int j = k - 1; j >= 0; j--)
        for (int i = 0; i < N; i++)
            a[i] = a[i] * (1 - states[j][i] * 2) * rate;
    check_place(blo_loop_carry(loop, 0), a, "adjoint after a sweep from", k);
}

/* A loop of STEPS with room for SLOTS states (0: all). */
static blo_loop *open_loop(const scene *s, int steps, int slots, blo_status wanted) {
    const blo_loop_layout layout = {
        .steps = steps,
        .n_state = 1,
        .state_bytes = &array_bytes,
        .n_carry = 1,
        .carry_bytes = &array_bytes,
        .observed = BLO_DOUBLE,
        .scratch_bytes = SCRATCH,
        .budget = budget_for(steps, SCRATCH, (uint64_t)(slots ? slots : steps + 1) * array_bytes)};
    blo_loop *loop = NULL;
    ck_assert_uint_le(blo_plan_scratch_bytes(s->step), SCRATCH);
    ck_assert_int_eq(blo_loop_create(context, &layout, &loop), wanted);
    return loop;
}

static void run_and_check(const scene *s, int steps, int slots, int k) {
    static double states[MOST_STEPS + 1][N];
    const blo_stage step = {.plan = s->step, .sources = s->step_sources},
                    observe = {.plan = s->observe, .sources = s->observe_sources};
    blo_loop_report report;
    double observed[MOST_STEPS];
    blo_loop *loop = open_loop(s, steps, slots, BLO_OK);
    iterate(steps, states);
    MUST(write_place(blo_loop_begin(loop, 0), states[0]));
    MUST(blo_loop_run(loop, &step, &observe, true));
    blo_loop_describe(loop, &report);
    ck_assert_int_eq(report.slots, slots && slots < steps + 1 ? slots : steps + 1);
    MUST(blo_loop_observed(loop, observed));
    for (int j = 1; j <= steps; j++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += states[j][i];
        ck_assert_double_eq_tol(observed[j - 1], sum, 1e-12);
    }
    blo_place place;
    for (int j = steps; j >= 0; j -= 3) {
        MUST(blo_loop_state(loop, &step, j, &place));
        check_place(place, states[j], "state", j);
    }
    sweep_and_check(loop, s, states, k);
    sweep_and_check(loop, s, states, steps); /* again, and further: what the first sweep gave up is recomputed */
    MUST(blo_loop_state(loop, &step, steps, &place));
    check_place(place, states[steps], "state", steps);
    blo_loop_describe(loop, &report);
    if (report.slots == steps + 1)
        ck_assert_uint_eq(report.recomputed_steps, 0);
    blo_loop_destroy(loop);
}

START_TEST(every_length_slots_and_end) {
    scene s;
    open_scene(&s);
    for (int steps = 1; steps <= MOST_STEPS; steps += steps < 7 ? 1 : 5)
        for (int slots = steps < 2 ? 2 : 3; slots <= steps + 1; slots++)
            for (int k = 1; k <= steps; k += 1 + steps / 5)
                run_and_check(&s, steps, slots, k);
    for (int steps = 1; steps <= MOST_STEPS; steps += 4)
        run_and_check(&s, steps, 0, steps);
    close_scene(&s);
}
END_TEST

/* --- in pieces --- */

/* A run, and the sweep from s_K: its state first, as where the sweep begins with something computed from it. In pieces
 * of STRIDE steps; 0: whole. Returns the steps recomputed. */
static uint64_t sweep_in_pieces(const scene *s, int steps, int slots, int k, int stride) {
    static double states[MOST_STEPS + 1][N];
    const blo_stage step = {.plan = s->step, .sources = s->step_sources},
                    adjoint = {.plan = s->adjoint, .sources = s->adjoint_sources};
    double a[N];
    blo_loop_report report;
    blo_place place;
    blo_loop *loop = open_loop(s, steps, slots, BLO_OK);
    iterate(steps, states);
    place = blo_loop_begin(loop, 0);
    MUST(blo_buffer_write(context, (blo_buffer *)(uintptr_t)place.buffer, place.offset, sizeof states[0], states[0]));
    MUST(blo_loop_run(loop, &step, NULL, false));
    for (int i = 0; i < N; i++)
        a[i] = 1 + i;
    place = blo_loop_carry(loop, 0);
    MUST(blo_buffer_write(context, (blo_buffer *)(uintptr_t)place.buffer, place.offset, sizeof a, a));
    while (k > 0) {
        const int until = stride && k > stride ? k - stride : 0;
        MUST(blo_loop_rewind(loop, &step, k, &place));
        check_place(place, states[k], "state before a piece from", k);
        MUST(blo_loop_sweep_until(loop, &step, &adjoint, k, until, BLO_DOUBLE));
        for (int j = k - 1; j >= until; j--)
            for (int i = 0; i < N; i++)
                a[i] = a[i] * (1 - states[j][i] * 2) * rate;
        check_place(blo_loop_carry(loop, 0), a, "adjoint after a piece until", until);
        k = until;
    }
    blo_loop_describe(loop, &report);
    blo_loop_destroy(loop);
    return report.recomputed_steps;
}

START_TEST(pieces_are_the_whole) {
    scene s;
    open_scene(&s);
    for (int steps = 1; steps <= MOST_STEPS; steps += 4)
        for (int slots = steps < 2 ? 2 : 3; slots <= steps + 1; slots += 2)
            for (int k = 1; k <= steps; k += 1 + steps / 5) {
                const uint64_t whole = sweep_in_pieces(&s, steps, slots, k, 0);
                for (int stride = 1; stride < k; stride += 2)
                    ck_assert_uint_eq(sweep_in_pieces(&s, steps, slots, k, stride), whole);
            }
    close_scene(&s);
}
END_TEST

/* --- several scalars of each state --- */

START_TEST(rows_are_observed) {
    enum { ROWS_STEPS = 5 };
    const int64_t shape[1] = {N};
    const uint64_t bytes = N * sizeof(double);
    double states[ROWS_STEPS + 1][N], observed[ROWS_STEPS][N];
    scene s;
    blo_graph *graph;
    blo_plan *opposite;
    blo_loop *loop = NULL;
    open_scene(&s);
    MUST(blo_graph_create(&graph));
    blo_node *all = blo_neg(blo_graph_input(graph, "s", BLO_DOUBLE, 1, shape));
    MUST(blo_plan_create(context, 1, &all, NULL, &opposite));
    blo_graph_destroy(graph);
    const blo_loop_layout layout = {.steps = ROWS_STEPS,
                                    .n_state = 1,
                                    .state_bytes = &bytes,
                                    .observed = BLO_DOUBLE,
                                    .n_observed = N,
                                    .scratch_bytes = 4096};
    const blo_stage step = {.plan = s.step, .sources = s.step_sources},
                    observe = {.plan = opposite, .sources = s.observe_sources};
    MUST(blo_loop_create(context, &layout, &loop));
    iterate(ROWS_STEPS, states);
    for (int every = 1; every >= 0; every--) {
        blo_place start = blo_loop_begin(loop, 0);
        MUST(blo_buffer_write(context, (blo_buffer *)(uintptr_t)start.buffer, start.offset, bytes, states[0]));
        MUST(blo_loop_run(loop, &step, &observe, every));
        MUST(blo_loop_observed(loop, &observed[0][0]));
        for (int k = 1; k <= ROWS_STEPS; k++)
            for (int i = 0; i < N; i++)
                ck_assert(every || k == ROWS_STEPS ? observed[k - 1][i] == -states[k][i] : isnan(observed[k - 1][i]));
    }
    blo_loop_destroy(loop);
    blo_plan_destroy(opposite);
    close_scene(&s);
}
END_TEST

START_TEST(too_small_a_budget_names_the_least) {
    scene s;
    open_scene(&s);
    ck_assert_ptr_null(open_loop(&s, 12, 2, BLO_ERROR_BUDGET));
    ck_assert_ptr_nonnull(strstr(blo_context_error(context), "at least"));
    blo_loop_destroy(open_loop(&s, 12, 3, BLO_OK));
    close_scene(&s);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {every_length_slots_and_end, pieces_are_the_whole, rows_are_observed,
                                  too_small_a_budget_names_the_least};
    return run_tests("schedule", sizeof tests / sizeof *tests, tests);
}
