/* What the tests that open a device share: a context, a call that must succeed, a call that must fail with a sentence.
 */
#ifndef BLO_TESTS_SUPPORT_H
#define BLO_TESTS_SUPPORT_H

#include <check.h>
#include <clbilevel/clbilevel.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

#define MUST(context, call)                                                                                            \
    do {                                                                                                               \
        blo_status must_status = (call);                                                                               \
        ck_assert_msg(must_status == BLO_OK, "%s: %s: %s", #call, blo_status_string(must_status),                      \
                      blo_context_error(context));                                                                     \
    } while (0)

/* The call fails with STATUS, and its sentence contains PART. */
#define MUST_FAIL(context, wanted, part, call)                                                                         \
    do {                                                                                                               \
        blo_status fail_status = (call);                                                                               \
        ck_assert_msg(fail_status == (wanted), "%s: %s instead of %s: %s", #call, blo_status_string(fail_status),      \
                      blo_status_string(wanted), blo_context_error(context));                                          \
        ck_assert_msg(strstr(blo_context_error(context), part) != NULL, "'%s' does not contain '%s'",                  \
                      blo_context_error(context), part);                                                               \
    } while (0)

static inline blo_context *open_context_with(const blo_context_options *options) {
    char message[512] = "";
    blo_context *context = NULL;
    blo_status status = blo_context_create(options, &context, message, sizeof message);
    ck_assert_msg(status == BLO_OK, "no context: %s", message);
    return context;
}

static inline blo_context *open_context(uint64_t seed) {
    blo_context_options options;
    blo_context_options_default(&options);
    options.seed = seed;
    return open_context_with(&options);
}

/* The next of a row of numbers in [-1,1), the same for the same STATE everywhere (Knuth's linear congruence). */
static inline double next_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(*state >> 11) * 0x1p-52 - 1.0;
}

/* The size of the largest of N VALUES. */
static inline double largest_of(const double *values, int n) {
    double largest = 0;
    for (int i = 0; i < n; i++)
        largest = fmax(largest, fabs(values[i]));
    return largest;
}

/* A case NAME of the N TESTS, each between SETUP and TEARDOWN, which may take SECONDS. */
static inline TCase *case_of(const char *name, double seconds, SFun setup, SFun teardown, int n,
                             const TTest *const *tests) {
    TCase *made = tcase_create(name);
    tcase_set_timeout(made, seconds);
    tcase_add_checked_fixture(made, setup, teardown);
    for (int i = 0; i < n; i++)
        tcase_add_test(made, tests[i]);
    return made;
}

/* Runs the N TESTS as the suite NAME, each between SETUP and TEARDOWN; returns the exit status. */
static inline int run_tests(const char *name, SFun setup, SFun teardown, int n, const TTest *const *tests) {
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, case_of("all", 300, setup, teardown, n, tests));
    return run_suite(suite);
}

#endif
