/* Runs one suite of a test program and prints Check's summary. */
#ifndef BLO_TESTS_DATA_RUNNER_H
#define BLO_TESTS_DATA_RUNNER_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static inline int run_case(const char *name, TCase *tests) {
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
