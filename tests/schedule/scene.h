/* A loop of two state arrays whose step, adjoint and observation see the step's number and a per-step input; the same
 * on the host, in the same order of operations. For the tests of this folder. */
#ifndef BLO_TESTS_SCHEDULE_SCENE_H
#define BLO_TESTS_SCHEDULE_SCENE_H

#include "../support.h"
#include "schedule/schedule.h"

enum {
    S = 40,
    M = 3,
    STEPS = 13,
    SCRATCH = 4096
}; /* s [S], m [M]: of different sizes, neither a multiple of 128 bytes */

typedef struct host_state {
    double s[S], m[M];
} host_state;

typedef struct scene {
    blo_context *context;
    blo_plan *step, *adjoint, *observe;
    blo_buffer *rows;
    double row[STEPS];
    blo_source step_sources[4], adjoint_sources[6], observe_sources[4];
    host_state states[STEPS + 1]; /* by direct iteration */
    double observed[STEPS];
} scene;

/* s' = s row + k; m' = m / 2 + row k; o = m[0] + row k, seen at the state after the step. Inputs: s, m, row, k. */
static void trace_forward(blo_graph *graph, blo_node **next, blo_node **observed) {
    const int64_t long_shape[1] = {S}, short_shape[1] = {M}, first[1] = {0}, second[1] = {1};
    blo_node *s = blo_graph_input(graph, "s", BLO_DOUBLE, 1, long_shape),
             *m = blo_graph_input(graph, "m", BLO_DOUBLE, 1, short_shape),
             *row = blo_graph_input(graph, "row", BLO_DOUBLE, 0, NULL),
             *k = blo_cast(blo_graph_input(graph, "k", BLO_INT32, 0, NULL), BLO_DOUBLE), *both = blo_mul(row, k);
    next[0] = blo_add(blo_mul(s, row), k);
    next[1] = blo_add(blo_scale(m, 0.5), both);
    *observed = blo_add(blo_sum(blo_slice(m, first, second, NULL)), both);
}

/* a' = a row + s k; b' = b m / 4 + row. Inputs: s, m, row, k, a, b. */
static void trace_backward(blo_graph *graph, blo_node **next) {
    const int64_t long_shape[1] = {S}, short_shape[1] = {M};
    blo_node *s = blo_graph_input(graph, "s", BLO_DOUBLE, 1, long_shape),
             *m = blo_graph_input(graph, "m", BLO_DOUBLE, 1, short_shape),
             *row = blo_graph_input(graph, "row", BLO_DOUBLE, 0, NULL),
             *k = blo_cast(blo_graph_input(graph, "k", BLO_INT32, 0, NULL), BLO_DOUBLE),
             *a = blo_graph_input(graph, "a", BLO_DOUBLE, 1, long_shape),
             *b = blo_graph_input(graph, "b", BLO_DOUBLE, 1, short_shape);
    next[0] = blo_add(blo_mul(a, row), blo_mul(s, k));
    next[1] = blo_add(blo_scale(blo_mul(b, m), 0.25), row);
}

static void iterate(scene *x) {
    for (int k = 0; k < STEPS; k++)
        x->row[k] = 1.0 + 1.0 / (k + 3);
    for (int i = 0; i < S; i++)
        x->states[0].s[i] = (i + 1.0) / 7;
    for (int i = 0; i < M; i++)
        x->states[0].m[i] = (i + 1.0) / 9;
    for (int k = 0; k < STEPS; k++) {
        const host_state *from = &x->states[k];
        host_state *to = &x->states[k + 1];
        for (int i = 0; i < S; i++)
            to->s[i] = from->s[i] * x->row[k] + k;
        for (int i = 0; i < M; i++)
            to->m[i] = from->m[i] * 0.5 + x->row[k] * k;
        x->observed[k] = to->m[0] + x->row[k] * (k + 1);
    }
}

static void open_scene(scene *x) {
    blo_graph *forward, *backward;
    blo_node *next[2], *observed;
    memset(x, 0, sizeof *x);
    iterate(x);
    x->context = open_context(0);
    MUST(x->context, blo_graph_create(&forward));
    MUST(x->context, blo_graph_create(&backward));
    trace_forward(forward, next, &observed);
    MUST(x->context, blo_plan_create(x->context, 2, next, NULL, &x->step));
    MUST(x->context, blo_plan_create(x->context, 1, &observed, NULL, &x->observe));
    trace_backward(backward, next);
    MUST(x->context, blo_plan_create(x->context, 2, next, NULL, &x->adjoint));
    blo_graph_destroy(forward);
    blo_graph_destroy(backward);
    ck_assert_uint_le(blo_plan_scratch_bytes(x->step), SCRATCH);
    ck_assert_uint_le(blo_plan_scratch_bytes(x->adjoint), SCRATCH);
    ck_assert_uint_le(blo_plan_scratch_bytes(x->observe), SCRATCH);
    MUST(x->context, blo_buffer_create(x->context, sizeof x->row, &x->rows));
    MUST(x->context, blo_buffer_write(x->context, x->rows, 0, sizeof x->row, x->row));
    for (int i = 0; i < 2; i++) {
        x->step_sources[i] = (blo_source){.kind = BLO_SOURCE_STATE, .index = i};
        x->adjoint_sources[4 + i] = (blo_source){.kind = BLO_SOURCE_CARRY, .index = i};
    }
    x->step_sources[2] =
        (blo_source){.kind = BLO_SOURCE_PER_STEP, .place = {x->rows, 0}, .row_bytes = sizeof x->row[0]};
    x->step_sources[3] = (blo_source){.kind = BLO_SOURCE_STEP};
    memcpy(x->observe_sources, x->step_sources, sizeof x->step_sources);
    memcpy(x->adjoint_sources, x->step_sources, sizeof x->step_sources);
    x->observe_sources[0] = (blo_source){.kind = BLO_SOURCE_UNUSED};
}

static void close_scene(scene *x) {
    blo_buffer_release(x->rows);
    blo_plan_destroy(x->step);
    blo_plan_destroy(x->adjoint);
    blo_plan_destroy(x->observe);
    blo_context_destroy(x->context);
}

static uint64_t aligned_bytes(const scene *x, uint64_t bytes) {
    uint64_t alignment = blo_context_facts(x->context)->base_alignment;
    return (bytes + alignment - 1) / alignment * alignment;
}

/* The budget that leaves room for SLOTS states: what the pool's users hold, what a loop takes beside, and the slots. */
static uint64_t budget_for(const scene *x, int slots) {
    uint64_t used = UINT64_MAX - blo_pool_available(x->context, UINT64_MAX);
    uint64_t state = aligned_bytes(x, S * sizeof(double)) + aligned_bytes(x, M * sizeof(double));
    return used + 2 * state + SCRATCH + (uint64_t)STEPS * (sizeof(double) + sizeof(int32_t)) +
           8 * blo_context_facts(x->context)->base_alignment + (uint64_t)slots * state;
}

static blo_status make_loop(const scene *x, uint64_t budget, blo_loop **loop) {
    const uint64_t bytes[2] = {S * sizeof(double), M * sizeof(double)};
    const blo_loop_layout layout = {.steps = STEPS,
                                    .n_state = 2,
                                    .state_bytes = bytes,
                                    .n_carry = 2,
                                    .carry_bytes = bytes,
                                    .observed = BLO_DOUBLE,
                                    .scratch_bytes = SCRATCH,
                                    .budget = budget};
    return blo_loop_create(x->context, &layout, loop);
}

static blo_status write_pair(const scene *x, blo_place s_place, blo_place m_place, const host_state *values) {
    blo_status status = blo_buffer_write(x->context, (blo_buffer *)(uintptr_t)s_place.buffer, s_place.offset,
                                         sizeof values->s, values->s);
    if (status == BLO_OK)
        status = blo_buffer_write(x->context, (blo_buffer *)(uintptr_t)m_place.buffer, m_place.offset, sizeof values->m,
                                  values->m);
    return status;
}

static void check_pair(const scene *x, blo_place s_place, blo_place m_place, const host_state *wanted, const char *what,
                       int k) {
    host_state got;
    MUST(x->context, blo_buffer_read(x->context, s_place.buffer, s_place.offset, sizeof got.s, got.s));
    MUST(x->context, blo_buffer_read(x->context, m_place.buffer, m_place.offset, sizeof got.m, got.m));
    for (int i = 0; i < S; i++)
        ck_assert_msg(got.s[i] == wanted->s[i], "%s %d: s[%d] is %.17g, want %.17g", what, k, i, got.s[i],
                      wanted->s[i]);
    for (int i = 0; i < M; i++)
        ck_assert_msg(got.m[i] == wanted->m[i], "%s %d: m[%d] is %.17g, want %.17g", what, k, i, got.m[i],
                      wanted->m[i]);
}

static blo_status run(const scene *x, blo_loop *loop, bool every) {
    const blo_stage step = {.plan = x->step, .sources = x->step_sources},
                    observe = {.plan = x->observe, .sources = x->observe_sources};
    blo_status status = write_pair(x, blo_loop_begin(loop, 0), blo_loop_begin(loop, 1), &x->states[0]);
    return status == BLO_OK ? blo_loop_run(loop, &step, &observe, every) : status;
}

/* Carries start as ones. */
static blo_status sweep(const scene *x, blo_loop *loop, int k) {
    const blo_stage step = {.plan = x->step, .sources = x->step_sources},
                    adjoint = {.plan = x->adjoint, .sources = x->adjoint_sources};
    host_state ones;
    for (int i = 0; i < S; i++)
        ones.s[i] = 1;
    for (int i = 0; i < M; i++)
        ones.m[i] = 1;
    blo_status status = write_pair(x, blo_loop_carry(loop, 0), blo_loop_carry(loop, 1), &ones);
    return status == BLO_OK ? blo_loop_sweep(loop, &step, &adjoint, k, BLO_DOUBLE) : status;
}

static void check_state(const scene *x, blo_loop *loop, int k) {
    const blo_stage step = {.plan = x->step, .sources = x->step_sources};
    blo_place places[2];
    MUST(x->context, blo_loop_state(loop, &step, k, places));
    check_pair(x, places[0], places[1], &x->states[k], "state", k);
}

static void check_carry(const scene *x, blo_loop *loop, int k) {
    host_state carry;
    for (int i = 0; i < S; i++)
        carry.s[i] = 1;
    for (int i = 0; i < M; i++)
        carry.m[i] = 1;
    for (int j = k - 1; j >= 0; j--) {
        for (int i = 0; i < S; i++)
            carry.s[i] = carry.s[i] * x->row[j] + x->states[j].s[i] * j;
        for (int i = 0; i < M; i++)
            carry.m[i] = carry.m[i] * x->states[j].m[i] * 0.25 + x->row[j];
    }
    check_pair(x, blo_loop_carry(loop, 0), blo_loop_carry(loop, 1), &carry, "carry of a sweep from", k);
}

#endif
