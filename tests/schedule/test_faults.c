/* A loop whose OpenCL calls fail, each in turn: what failed says so, nothing is read out of it as if it were there, and
 * the loop can be used again. And budgets that are just too small, or just enough beside what the pool keeps. */
#include "../support/context.h"
#include "scene.h"

enum { LEAST_SLOTS = 3, SLOT_BYTES = 512, MORE_CALLS_THAN_THERE_ARE = 2000 };

/* A run, an early state, a sweep; the first failure ends it. */
static blo_status use(const scene *x, blo_loop *loop, int k) {
    const blo_stage step = {.plan = x->step, .sources = x->step_sources};
    blo_place places[2];
    blo_status status = run(x, loop, true);
    if (status == BLO_OK)
        status = blo_loop_state(loop, &step, k / 2, places);
    return status == BLO_OK ? sweep(x, loop, k) : status;
}

/* Everything that can be had from a loop that has run is right. */
static void check_all(const scene *x, blo_loop *loop, int k) {
    MUST(x->context, sweep(x, loop, k));
    check_carry(x, loop, k);
    for (int j = STEPS; j >= 0; j--)
        check_state(x, loop, j);
    MUST(x->context, sweep(x, loop, STEPS));
    check_carry(x, loop, STEPS);
}

static void fail_each_call(int slots, int k) {
    scene x;
    open_scene(&x);
    int failures = 0;
    for (int call = 1; call < MORE_CALLS_THAN_THERE_ARE; call++) {
        blo_loop *loop = NULL;
        MUST(x.context, make_loop(&x, budget_for(&x, slots), &loop));
        x.context->faults = call;
        bool ended = ended_before_fault(x.context, use(&x, loop, k));
        /* at once, without another run: right, or refused because no run was completed */
        blo_status status = sweep(&x, loop, k);
        if (status == BLO_OK) {
            check_carry(&x, loop, k);
            check_all(&x, loop, k);
        } else
            ck_assert_msg(status == BLO_ERROR_STATE, "call %d: %s", call, blo_context_error(x.context));
        MUST(x.context, run(&x, loop, true));
        check_all(&x, loop, k);
        blo_loop_destroy(loop);
        if (ended)
            break;
        failures++;
    }
    ck_assert_int_gt(failures, 2 * STEPS);
    ck_assert_int_lt(failures, MORE_CALLS_THAN_THERE_ARE - 1);
    close_scene(&x);
}

START_TEST(any_call_may_fail_where_all_states_fit) {
    fail_each_call(STEPS + 1, STEPS - 2);
}
END_TEST

START_TEST(any_call_may_fail_where_few_states_fit) {
    fail_each_call(LEAST_SLOTS, STEPS - 5);
    fail_each_call(LEAST_SLOTS + 2, STEPS - 3);
}
END_TEST

START_TEST(a_loop_that_has_not_run_has_no_states) {
    scene x;
    blo_loop *loop = NULL;
    blo_place places[2];
    open_scene(&x);
    const blo_stage step = {.plan = x.step, .sources = x.step_sources};
    MUST(x.context, make_loop(&x, 0, &loop));
    ck_assert_int_eq(blo_loop_state(loop, &step, 3, places), BLO_ERROR_STATE);
    ck_assert_int_eq(sweep(&x, loop, 3), BLO_ERROR_STATE);
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

/* A buffer a little larger than what the loop asks for lies in the pool: taking it for the slots would break the
 * budget.
 */
START_TEST(what_the_pool_keeps_does_not_break_a_tight_budget) {
    scene x;
    open_scene(&x);
    for (int slots = LEAST_SLOTS; slots <= STEPS; slots++) {
        blo_loop *loop = NULL;
        blo_buffer *kept = NULL;
        blo_pool_trim(x.context);
        uint64_t budget = budget_for(&x, slots), before = blo_pool_limit(x.context, budget);
        MUST(x.context, blo_buffer_create(x.context, (size_t)slots * SLOT_BYTES + 2048, &kept));
        blo_buffer_release(kept);
        MUST(x.context, make_loop(&x, budget, &loop));
        ck_assert_uint_le(blo_context_counters(x.context)->current_device_bytes, budget);
        blo_loop_destroy(loop);
        blo_pool_limit(x.context, before);
    }
    close_scene(&x);
}
END_TEST

START_TEST(the_least_that_would_do_does_not_count_what_the_pool_could_give_back) {
    scene x;
    blo_loop *loop = NULL;
    blo_buffer *kept = NULL;
    char wanted[64];
    open_scene(&x);
    MUST(x.context, blo_buffer_create(x.context, 1 << 20, &kept));
    blo_buffer_release(kept);
    uint64_t least = budget_for(&x, LEAST_SLOTS);
    ck_assert_int_eq(make_loop(&x, least - 1, &loop), BLO_ERROR_BUDGET);
    ck_assert_ptr_null(loop);
    snprintf(wanted, sizeof wanted, "at least %llu bytes", (unsigned long long)least);
    ck_assert_msg(strstr(blo_context_error(x.context), wanted) != NULL, "want \"%s\" in: %s", wanted,
                  blo_context_error(x.context));
    MUST(x.context, make_loop(&x, least, &loop));
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {any_call_may_fail_where_all_states_fit, any_call_may_fail_where_few_states_fit,
                                  a_loop_that_has_not_run_has_no_states,
                                  what_the_pool_keeps_does_not_break_a_tight_budget,
                                  the_least_that_would_do_does_not_count_what_the_pool_could_give_back};
    return run_tests("faults of loops", NULL, NULL, sizeof tests / sizeof *tests, tests);
}
