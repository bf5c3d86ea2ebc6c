/* The logistic map s' = r s (1 - s) on a vector, on the device and on the host in the same order of operations; and the
 * context of the tests of this folder whose loop it is. */
#ifndef BLO_TESTS_SCHEDULE_LOGISTIC_H
#define BLO_TESTS_SCHEDULE_LOGISTIC_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/suite.h"
#include "schedule/schedule.h"

enum { N = 48 }; /* elements: their bytes are a multiple of every alignment */
static const double rate = 3.7;
static const uint64_t array_bytes = N * sizeof(double);
static blo_context *context;

#define MUST(call) ck_assert_msg((call) == BLO_OK, "%s", blo_context_error(context))

static inline blo_node *vector_input(blo_graph *graph, const char *name) {
    const int64_t shape[1] = {N};
    return blo_graph_input(graph, name, BLO_DOUBLE, 1, shape);
}

static inline blo_node *next_node(blo_node *s) {
    return blo_scale(blo_mul(s, blo_sub(blo_full_like(s, 1), s)), rate);
}

/* 1 - 2 s: the map's derivative, but for r */
static inline blo_node *slope_node(blo_node *s) {
    return blo_sub(blo_full_like(s, 1), blo_scale(s, 2));
}

/* STATES [steps + 1][N] */
static inline void iterate(int steps, double states[][N]) {
    for (int i = 0; i < N; i++)
        states[0][i] = (i + 1.0) / (N + 2);
    for (int k = 0; k < steps; k++)
        for (int i = 0; i < N; i++)
            states[k + 1][i] = states[k][i] * (1 - states[k][i]) * rate;
}

static inline void first_carry(double a[N]) {
    for (int i = 0; i < N; i++)
        a[i] = 1 + i;
}

static inline blo_status write_place(blo_place place, const double values[N]) {
    return blo_buffer_write(context, (blo_buffer *)(uintptr_t)place.buffer, place.offset, array_bytes, values);
}

static inline void check_place(blo_place place, const double wanted[N], const char *what, int k) {
    double got[N];
    MUST(blo_buffer_read(context, place.buffer, place.offset, sizeof got, got));
    for (int i = 0; i < N; i++)
        ck_assert_msg(got[i] == wanted[i], "%s %d element %d is %.17g, want %.17g", what, k, i, got[i], wanted[i]);
}

/* The budget of a loop of STEPS beside what the pool's users hold: what a loop takes beside its slots, and BYTES. */
static inline uint64_t budget_for(int steps, uint64_t scratch_bytes, uint64_t bytes) {
    const uint64_t all = 1u << 30, alignment = blo_context_facts(context)->base_alignment;
    ck_assert_uint_eq(array_bytes % alignment, 0);
    return all - blo_pool_available(context, all) + 2 * array_bytes + scratch_bytes + (uint64_t)steps * 12 +
           8 * alignment + bytes;
}

/* Runs the N_TESTS in this process: OpenCL implementations keep threads, which do not survive a fork. The exit status.
 */
static inline int run_tests(const char *name, int n_tests, const TTest *const *tests) {
    char message[512];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    Suite *suite = suite_create(name);
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    for (int i = 0; i < n_tests; i++)
        tcase_add_test(all, tests[i]);
    suite_add_tcase(suite, all);
    int failed = run_suite_here(suite);
    blo_context_destroy(context);
    return failed;
}

#endif
