/* Recordings: launches are replayed in order, as they were bound when they were recorded; what the pool gives back ends
 * them; any call may fail. And when a context replays: by its options, and by what tuning measured. */
#include <stdlib.h>

#include "../support.h"
#include "../support/context.h"

enum { LAUNCHES = 40 };

static const blo_kernel_source append = {
    "append", "__kernel void append(__global uint *x, ulong at, int digit) { x[at] = 10 * x[at] + digit; }\n"};

static blo_context *context;
static blo_kernel *kernel;
static blo_buffer *numbers;

static blo_context *open_with(blo_replay replay, bool profile) {
    blo_context_options options;
    blo_context_options_default(&options);
    options.replay = replay;
    options.profile = profile;
    options.cache_folder = ""; /* what tuning found on this machine does not count */
    return open_context_with(&options);
}

static void open_all(void) {
    context = open_with(BLO_REPLAY_ON, false);
    MUST(context, blo_kernels_get(context, 1, &append, &kernel));
    MUST(context, blo_buffer_create(context, 2 * sizeof(cl_uint), &numbers));
    MUST(context, blo_buffer_zero(context, numbers, 0, 2 * sizeof(cl_uint)));
}

static void close_all(void) {
    blo_kernel_release(kernel);
    blo_buffer_release(numbers);
    blo_context_destroy(context);
}

static blo_status add_digit(uint64_t at, int digit) {
    const size_t one = 1;
    blo_status status = blo_kernel_set_buffer(kernel, 0, numbers);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(kernel, 1, at);
    if (status == BLO_OK)
        status = blo_kernel_set_int(kernel, 2, digit);
    return status == BLO_OK ? blo_kernel_launch(kernel, 1, &one, NULL) : status;
}

/* Digits 1, 2, 3 to the first number, 7 and 8 to the second. */
static blo_status record(blo_recording **recording) {
    static const int digits[][2] = {{0, 1}, {1, 7}, {0, 2}, {0, 3}, {1, 8}};
    blo_status status = blo_recording_begin(context, recording);
    if (status != BLO_OK)
        return status;
    for (int i = 0; i < 5 && status == BLO_OK; i++)
        status = add_digit((uint64_t)digits[i][0], digits[i][1]);
    if (status == BLO_OK)
        return blo_recording_end(*recording);
    blo_recording_abandon(*recording);
    return status;
}

static void check_numbers(cl_uint first, cl_uint second) {
    cl_uint got[2];
    MUST(context, blo_buffer_read(context, numbers, 0, sizeof got, got));
    ck_assert_uint_eq(got[0], first);
    ck_assert_uint_eq(got[1], second);
}

START_TEST(launches_are_replayed_as_they_were_bound) {
    blo_recording *recording = NULL;
    const blo_statistics *counters = blo_context_counters(context);
    const uint64_t launches = counters->launches;
    MUST(context, record(&recording));
    ck_assert(blo_recording_is_made(recording) && !blo_recording_is_pending(recording));
    ck_assert_uint_eq(counters->launches, launches); /* nothing was queued */
    check_numbers(0, 0);
    MUST(context, add_digit(1, 5));
    MUST(context, blo_recording_replay(recording));
    ck_assert_uint_eq(counters->launches, launches + 6);
    ck_assert(blo_recording_is_pending(recording));
    MUST(context, add_digit(0, 4));
    check_numbers(1234, 578);
    ck_assert(!blo_recording_is_pending(recording));
    MUST(context, blo_buffer_zero(context, numbers, 0, sizeof(cl_uint)));
    MUST(context, blo_recording_replay(recording));
    check_numbers(123, 57878);
    MUST(context, record(&recording)); /* anew */
    MUST(context, blo_recording_replay(recording));
    check_numbers(123123, 5787878);
    blo_recording_release(recording);
}
END_TEST

START_TEST(a_recording_ends_with_the_memory_that_it_may_use) {
    blo_recording *recording = NULL;
    blo_buffer *other = NULL;
    MUST(context, blo_buffer_create(context, 1 << 16, &other));
    MUST(context, record(&recording));
    blo_buffer_release(other); /* kept for reuse: nothing is gone */
    ck_assert(blo_recording_is_made(recording));
    blo_pool_trim(context);
    ck_assert(!blo_recording_is_made(recording) && !blo_recording_is_made(NULL));
    MUST(context, record(&recording));
    MUST(context, blo_recording_replay(recording));
    check_numbers(123, 78);
    blo_recording_release(recording);
}
END_TEST

START_TEST(any_call_may_fail) {
    int call = 1;
    for (bool ended = false; !ended; call++) {
        blo_recording *recording = NULL;
        MUST(context, blo_buffer_zero(context, numbers, 0, 2 * sizeof(cl_uint)));
        context->faults = call;
        blo_status status = record(&recording);
        if (status == BLO_OK)
            status = blo_recording_replay(recording);
        ended = ended_before_fault(context, status);
        if (!ended) { /* nothing was queued, and what is launched now is not recorded */
            check_numbers(0, 0);
            MUST(context, add_digit(0, 4));
            check_numbers(4, 0);
            MUST(context, record(&recording));
            MUST(context, blo_recording_replay(recording));
            check_numbers(4123, 78);
        } else
            check_numbers(123, 78);
        blo_recording_release(recording);
    }
    ck_assert_int_gt(call, 5 * 8);
}
END_TEST

START_TEST(many_launches_are_replayed_in_order) {
    blo_recording *recording = NULL;
    cl_uint wanted = 0;
    MUST(context, blo_recording_begin(context, &recording));
    for (int i = 0; i < LAUNCHES * LAUNCHES; i++)
        MUST(context, add_digit(0, i % 7));
    MUST(context, blo_recording_end(recording));
    for (int run = 0; run < 3; run++) {
        MUST(context, blo_recording_replay(recording));
        for (int i = 0; i < LAUNCHES * LAUNCHES; i++)
            wanted = 10 * wanted + (cl_uint)(i % 7);
        check_numbers(wanted, 0);
    }
    blo_recording_release(recording);
}
END_TEST

static bool replays(blo_replay replay, bool profile) {
    blo_context *made = open_with(replay, profile);
    bool answer = blo_context_facts(made)->replays;
    blo_context_destroy(made);
    return answer;
}

START_TEST(options_decide_whether_a_context_replays) {
    char message[512] = "";
    blo_context *made = NULL;
    blo_context_options options;
    ck_assert(replays(BLO_REPLAY_ON, false));
    ck_assert(!replays(BLO_REPLAY_OFF, false));
    ck_assert(!replays(BLO_REPLAY_ON, true)); /* launches are timed one by one */
    ck_assert(replays(BLO_REPLAY_AUTO, false) == !blo_context_facts(context)->is_cpu);
    blo_context_options_default(&options);
    ck_assert_int_eq(options.replay, BLO_REPLAY_AUTO);
    options.replay = (blo_replay)3;
    ck_assert_int_eq(blo_context_create(&options, &made, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_msg(strstr(message, "replay is 3") != NULL, "%s", message);
}
END_TEST

START_TEST(what_was_measured_decides_where_nobody_does) {
    blo_context *made = open_with(BLO_REPLAY_AUTO, false);
    blo_device_facts *facts = &made->facts;
    static const struct {
        double queued, replayed;
        bool replays;
    } cases[] = {{2e-6, 1e-6, true}, {1e-6, 2e-6, false}, {1e-6, 0.95e-6, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        facts->queued_seconds = cases[i].queued;
        facts->replayed_seconds = cases[i].replayed;
        blo_recordings_decide(made);
        ck_assert(facts->replays == cases[i].replays);
    }
    blo_context_destroy(made);
}
END_TEST

/* Where a device cannot, ON says so. */
static bool is_refused(void) {
    char message[512] = "";
    blo_context *made = NULL;
    blo_context_options options;
    blo_context_options_default(&options);
    options.replay = BLO_REPLAY_ON;
    return blo_context_create(&options, &made, message, sizeof message) == BLO_ERROR_UNSUPPORTED &&
           strstr(message, "cl_khr_command_buffer");
}

int main(void) {
    unsetenv("CLBILEVEL_REPLAY");
    if (!can_record())
        return is_refused() ? EXIT_SKIPPED : EXIT_FAILURE;
    Suite *suite = suite_create("recording");
    TCase *all = tcase_create("all");
    const TTest *const tests[] = {launches_are_replayed_as_they_were_bound,
                                  a_recording_ends_with_the_memory_that_it_may_use,
                                  any_call_may_fail,
                                  many_launches_are_replayed_in_order,
                                  options_decide_whether_a_context_replays,
                                  what_was_measured_decides_where_nobody_does};
    tcase_set_timeout(all, 300);
    tcase_add_checked_fixture(all, open_all, close_all);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    return run_suite_here(suite);
}
