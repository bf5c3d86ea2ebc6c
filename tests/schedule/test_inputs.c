/* Loops whose plans see the step's number and a per-step input, of two state arrays: the right row and number at every
 * step, recomputed or not; and what is queued is what the report says, and no more. */
#include <math.h>

#include "scene.h"

START_TEST(rows_and_numbers_are_those_of_the_step) {
    scene x;
    double observed[STEPS];
    open_scene(&x);
    for (int slots = 3; slots <= STEPS + 1; slots++) {
        blo_loop *loop = NULL;
        MUST(x.context, make_loop(&x, budget_for(&x, slots), &loop));
        MUST(x.context, run(&x, loop, true));
        MUST(x.context, blo_loop_observed(loop, observed));
        for (int k = 0; k < STEPS; k++)
            ck_assert_double_eq(observed[k], x.observed[k]);
        for (int k = 0; k <= STEPS; k++)
            check_state(&x, loop, k);
        for (int k = STEPS; k >= 1; k--) {
            MUST(x.context, sweep(&x, loop, k));
            check_carry(&x, loop, k);
        }
        blo_loop_destroy(loop);
    }
    close_scene(&x);
}
END_TEST

START_TEST(only_the_last_state_is_observed_if_asked) {
    scene x;
    blo_loop *loop = NULL;
    double observed[STEPS];
    open_scene(&x);
    MUST(x.context, make_loop(&x, 0, &loop));
    MUST(x.context, run(&x, loop, false));
    MUST(x.context, blo_loop_observed(loop, observed));
    for (int k = 0; k + 1 < STEPS; k++)
        ck_assert(isnan(observed[k]));
    ck_assert_double_eq(observed[STEPS - 1], x.observed[STEPS - 1]);
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

/* Launches: STEPS steps and observations in a run; in a sweep from K, K adjoints with a check of all carries, and what
 * the report says was recomputed. Neither waits. */
START_TEST(nothing_is_queued_that_is_not_reported) {
    scene x;
    blo_statistics before, after;
    blo_loop_report report;
    open_scene(&x);
    const uint64_t step = (uint64_t)blo_plan_launches(x.step), adjoint = (uint64_t)blo_plan_launches(x.adjoint),
                   observe = (uint64_t)blo_plan_launches(x.observe);
    for (int slots = 3; slots <= STEPS + 1; slots++)
        for (int k = 1; k <= STEPS; k++) {
            blo_loop *loop = NULL;
            MUST(x.context, make_loop(&x, budget_for(&x, slots), &loop));
            blo_context_statistics(x.context, &before);
            MUST(x.context, run(&x, loop, true));
            blo_context_statistics(x.context, &after);
            ck_assert_uint_eq(after.launches - before.launches, STEPS * (step + observe));
            MUST(x.context, sweep(&x, loop, k));
            blo_loop_describe(loop, &report);
            uint64_t launches = blo_context_counters(x.context)->launches - after.launches;
            ck_assert_uint_eq(launches, (uint64_t)k * (adjoint + 1) + report.recomputed_steps * step);
            ck_assert_uint_eq(report.sweep_launches, launches);
            ck_assert_uint_eq(report.run_launches, STEPS * (step + observe));
            ck_assert_int_eq(report.slots, slots);
            if (slots == STEPS + 1)
                ck_assert_uint_eq(report.recomputed_steps, 0);
            ck_assert_uint_eq(blo_context_counters(x.context)->waits, before.waits);
            blo_loop_destroy(loop);
        }
    close_scene(&x);
}
END_TEST

/* One check looks at all carries and what lies between them: memory that held NaNs before is no NaN in a carry, and a
 * NaN in the last element of a carry is found, with its step. */
START_TEST(only_carries_are_checked_for_nans) {
    scene x;
    blo_loop *loop = NULL;
    blo_buffer *old[2];
    double nans[64], nan = (double)NAN;
    open_scene(&x);
    for (int i = 0; i < 64; i++)
        nans[i] = (double)NAN;
    ck_assert_uint_eq(sizeof nans, aligned_bytes(&x, S * sizeof(double)) + aligned_bytes(&x, M * sizeof(double)));
    for (int i = 0; i < 2; i++) {
        MUST(x.context, blo_buffer_create(x.context, sizeof nans, &old[i]));
        MUST(x.context, blo_buffer_write(x.context, old[i], 0, sizeof nans, nans));
    }
    blo_buffer_release(old[0]);
    blo_buffer_release(old[1]);
    MUST(x.context, make_loop(&x, 0, &loop));
    MUST(x.context, run(&x, loop, true));
    MUST(x.context, sweep(&x, loop, STEPS));
    check_carry(&x, loop, STEPS);
    for (int i = 0; i < 2; i++) {
        const blo_stage step = {.plan = x.step, .sources = x.step_sources},
                        adjoint = {.plan = x.adjoint, .sources = x.adjoint_sources};
        blo_place place = blo_loop_carry(loop, i);
        MUST(x.context, blo_buffer_write(x.context, (blo_buffer *)(uintptr_t)place.buffer,
                                         place.offset + (i == 0 ? S - 1u : M - 1u) * sizeof nan, sizeof nan, &nan));
        MUST(x.context, blo_loop_sweep(loop, &step, &adjoint, 7, BLO_DOUBLE));
        place = blo_loop_carry(loop, 0);
        ck_assert_int_eq(blo_buffer_read(x.context, place.buffer, place.offset, sizeof nan, &nan), BLO_ERROR_NUMERIC);
        ck_assert_ptr_nonnull(strstr(blo_context_error(x.context), "step 7"));
        nan = (double)NAN;
        MUST(x.context, sweep(&x, loop, STEPS));
        check_carry(&x, loop, STEPS);
    }
    blo_loop_destroy(loop);
    close_scene(&x);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {rows_and_numbers_are_those_of_the_step, only_the_last_state_is_observed_if_asked,
                                  nothing_is_queued_that_is_not_reported, only_carries_are_checked_for_nans};
    return run_tests("inputs of loops", NULL, NULL, sizeof tests / sizeof *tests, tests);
}
