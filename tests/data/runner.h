/* Runs a test program's one case. */
#ifndef BLO_TESTS_DATA_RUNNER_H
#define BLO_TESTS_DATA_RUNNER_H

#include <stdio.h>

#include "../support/suite.h"

static inline int run_case(const char *name, TCase *tests) {
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

#endif
