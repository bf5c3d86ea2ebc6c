/* The flag of NaNs and infinities: the first failed check is reported at the next wait, once; what was to be committed
 * is not; and a wait that fails does not lose the flag. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/suite.h"
#include "device/opencl.h"

enum { COUNT = 3000 }; /* more than one chunk of a check, and no multiple of it */

#define MUST(call) ck_assert_msg((call) == BLO_OK, "%s", blo_context_error(context))

static blo_context *context;

static blo_context *open_context(void) {
    char message[512];
    blo_context *made = NULL;
    ck_assert_msg(blo_context_create(NULL, &made, message, sizeof message) == BLO_OK, "%s", message);
    return made;
}

/* COUNT ones, and VALUE at AT. */
static blo_buffer *make_values(blo_dtype dtype, double value, int at) {
    blo_buffer *buffer = NULL;
    char *values = malloc(COUNT * blo_dtype_size(dtype));
    for (int i = 0; i < COUNT; i++) {
        double wide = i == at ? value : 1;
        float narrow = (float)wide;
        memcpy(values + (size_t)i * blo_dtype_size(dtype), dtype == BLO_FLOAT ? (void *)&narrow : (void *)&wide,
               blo_dtype_size(dtype));
    }
    MUST(blo_buffer_create(context, COUNT * blo_dtype_size(dtype), &buffer));
    MUST(blo_buffer_write(context, buffer, 0, COUNT * blo_dtype_size(dtype), values));
    free(values);
    return buffer;
}

/* Element AT of BUFFER; the wait's status in *STATUS. */
static double value_at(blo_dtype dtype, const blo_buffer *buffer, int at, blo_status *status) {
    float narrow = 0;
    double wide = 0;
    size_t size = blo_dtype_size(dtype);
    *status =
        blo_buffer_read(context, buffer, (size_t)at * size, size, dtype == BLO_FLOAT ? (void *)&narrow : (void *)&wide);
    return dtype == BLO_FLOAT ? (double)narrow : wide;
}

static void flag_and_report(blo_dtype dtype) {
    blo_status status;
    blo_buffer *good = make_values(dtype, 1, 0), *nan = make_values(dtype, (double)NAN, COUNT - 1),
               *infinite = make_values(dtype, -(double)INFINITY, 0);
    MUST(blo_flag_check(context, dtype, good, 0, COUNT, 1));
    MUST(blo_flag_commit(context, dtype, good, 0, good, 0, COUNT));  /* 1 + 1: nothing is flagged yet */
    MUST(blo_flag_check(context, dtype, nan, 0, COUNT - 1, 2));      /* all but the NaN */
    MUST(blo_flag_check(context, dtype, infinite, 1, COUNT - 1, 3)); /* all but the infinity */
    MUST(blo_flag_check(context, dtype, nan, 0, COUNT, 71));
    MUST(blo_flag_check(context, dtype, infinite, 0, 1, 5));
    MUST(blo_flag_check(context, dtype, nan, 0, 0, 6)); /* nothing to check */
    MUST(blo_flag_commit(context, dtype, good, 0, good, 0, COUNT));
    value_at(dtype, good, 0, &status);
    ck_assert_int_eq(status, BLO_ERROR_NUMERIC);
    ck_assert_msg(strstr(blo_context_error(context), "step 71;") != NULL, "%s", blo_context_error(context));
    for (int i = 0; i < COUNT; i += COUNT - 1) { /* the first commit was done, the second was not; told once */
        ck_assert_double_eq(value_at(dtype, good, i, &status), 2);
        ck_assert_int_eq(status, BLO_OK);
    }
    MUST(blo_flag_check(context, dtype, infinite, 0, 1, 5)); /* an infinity alone */
    ck_assert_int_eq(blo_context_finish(context), BLO_ERROR_NUMERIC);
    MUST(blo_context_finish(context));
    blo_buffer_release(good);
    blo_buffer_release(nan);
    blo_buffer_release(infinite);
}

START_TEST(the_first_that_fails_is_told_once_and_nothing_is_committed) {
    context = open_context();
    flag_and_report(BLO_FLOAT);
    if (blo_context_has_double(context))
        flag_and_report(BLO_DOUBLE);
    blo_context_destroy(context);
}
END_TEST

static void expect_words(const char *words) {
    ck_assert_int_eq(blo_context_finish(context), BLO_ERROR_NUMERIC);
    ck_assert_msg(strstr(blo_context_error(context), words) != NULL, "\"%s\" lacks \"%s\"", blo_context_error(context),
                  words);
}

/* Two arrays of three parts of EACH elements, of which the later has the earlier bad part; what lies between them,
 * and what follows, is of no part. */
static void tell_parts(blo_dtype dtype) {
    enum { EACH = 300, PARTS = 3, SECOND = 1500 };
    const uint64_t size = blo_dtype_size(dtype), rows[] = {0, EACH * size, SECOND * size, EACH * size};
    blo_buffer *table = NULL, *values = make_values(dtype, (double)NAN, 2 * EACH + 7),
               *beyond = make_values(dtype, (double)NAN, COUNT - 1);
    MUST(blo_buffer_create(context, sizeof rows, &table));
    MUST(blo_buffer_write(context, table, 0, sizeof rows, rows));
    const blo_flag_parts from_table = {.name = "room", .n = PARTS, .table = table, .rows = 2},
                         counted = {.name = "room", .n = COUNT / EACH, .each = EACH},
                         one = {.name = "room", .n = 20, .first = 13, .each = EACH};
    MUST(blo_flag_check_parts(context, dtype, values, 0, COUNT, 4, &from_table));
    MUST(blo_flag_check_parts(context, dtype, values, 0, COUNT, 4, &counted)); /* of the same tag, but not the first */
    expect_words("sweep of room 2 (of 0 ... 2) at lower step 4;");
    MUST(blo_buffer_copy(context, beyond, (COUNT - 1) * size, values, (SECOND + EACH + 1) * size, size));
    MUST(blo_flag_check_parts(context, dtype, values, 0, COUNT, 5, &from_table));
    expect_words("sweep of room 1 (of 0 ... 2) at lower step 5;");
    MUST(blo_flag_check_parts(context, dtype, beyond, 0, COUNT, 6, &from_table));
    expect_words("sweep at lower step 6;");
    MUST(blo_flag_check_parts(context, dtype, values, 0, COUNT, 7, &counted));
    expect_words("sweep of room 2 (of 0 ... 9) at lower step 7;");
    MUST(blo_flag_check_parts(context, dtype, values, 2 * EACH, EACH, 8, &one));
    expect_words("sweep of room 13 (of 0 ... 19) at lower step 8;");
    MUST(blo_flag_check(context, dtype, values, 0, COUNT, 9));
    expect_words("sweep at lower step 9;");
    blo_buffer_release(table);
    blo_buffer_release(values);
    blo_buffer_release(beyond);
}

START_TEST(the_first_bad_part_of_the_first_check_is_told) {
    context = open_context();
    tell_parts(BLO_FLOAT);
    if (blo_context_has_double(context))
        tell_parts(BLO_DOUBLE);
    blo_context_destroy(context);
}
END_TEST

/* The calls of such a wait: the flag's read, the data's (or the finish), the flag's clearing. */
static void fail_a_wait(int call, bool finish) {
    blo_status status;
    blo_buffer *nan = make_values(BLO_FLOAT, (double)NAN, 5), *sum = make_values(BLO_FLOAT, 1, 0);
    MUST(blo_flag_check(context, BLO_FLOAT, nan, 0, COUNT, 4));
    MUST(blo_flag_commit(context, BLO_FLOAT, nan, 0, sum, 0, COUNT));
    context->faults = call;
    if (finish)
        status = blo_context_finish(context);
    else
        value_at(BLO_FLOAT, sum, 0, &status);
    ck_assert_msg(status == BLO_ERROR_DEVICE && context->faults == 0, "call %d of a wait: %s", call,
                  blo_context_error(context));
    value_at(BLO_FLOAT, sum, 0, &status);
    ck_assert_msg(status == BLO_ERROR_NUMERIC, "the wait after call %d failed returns %d", call, (int)status);
    MUST(blo_flag_commit(context, BLO_FLOAT, sum, 0, sum, 0, COUNT)); /* the flag is clear: commits are done again */
    ck_assert_double_eq(value_at(BLO_FLOAT, sum, 5, &status), 2);
    ck_assert_int_eq(status, BLO_OK);
    blo_buffer_release(nan);
    blo_buffer_release(sum);
}

START_TEST(a_wait_that_fails_does_not_lose_the_flag) {
    enum { CALLS_OF_A_WAIT = 3 };
    context = open_context();
    for (int call = 1; call <= CALLS_OF_A_WAIT; call++) {
        fail_a_wait(call, false);
        fail_a_wait(call, true);
    }
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("flag");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, the_first_that_fails_is_told_once_and_nothing_is_committed);
    tcase_add_test(tests, the_first_bad_part_of_the_first_check_is_told);
    tcase_add_test(tests, a_wait_that_fails_does_not_lose_the_flag);
    suite_add_tcase(suite, tests);
    return run_suite_here(suite);
}
