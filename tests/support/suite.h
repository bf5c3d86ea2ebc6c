/* What every test's main() ends with: a suite of Check is run, and its failures become the exit status. */
#ifndef BLO_TESTS_SUPPORT_SUITE_H
#define BLO_TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdlib.h>

enum { EXIT_SKIPPED = 77 }; /* meson's: what is tested is not there */

static inline int run_suite_as(Suite *suite, enum fork_status fork) {
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, fork);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Runs every test of SUITE, each in a process of its own. */
static inline int run_suite(Suite *suite) {
    return run_suite_as(suite, CK_FORK_GETENV);
}

/* The same in this process, for a main() that has opened a device and tests that share one: OpenCL implementations keep
 * threads, which do not survive a fork. */
static inline int run_suite_here(Suite *suite) {
    return run_suite_as(suite, CK_NOFORK);
}

#endif
