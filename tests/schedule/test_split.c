/* How a budget is divided between states and kept arrays: against trying every division, and at the sizes of a real
 * problem. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/suite.h"
#include "schedule/split.h"

static double least_of_all(const blo_split_request *request, int *slots, int *rooms) {
    uint64_t room_bytes = 0;
    double best = 1e300, cost;
    for (int level = 0; level <= request->n_levels; level++) {
        room_bytes += level > 0 ? request->keep_bytes[level - 1] : 0;
        for (int n = blo_split_least(request); n <= request->steps; n++)
            for (int m = level > 0; m <= (level > 0 ? request->steps : 0); m++) {
                if ((uint64_t)n * request->state_bytes + (uint64_t)m * room_bytes > request->available)
                    break;
                ck_assert(blo_split_cost(request, n, level, m, &cost));
                if (cost < best) {
                    best = cost;
                    *slots = n;
                    *rooms = m;
                }
            }
    }
    return best;
}

/* Bytes that SPLIT takes of the request's. */
static uint64_t taken(const blo_split_request *request, const blo_split *split) {
    uint64_t bytes = (uint64_t)split->slots * request->state_bytes;
    for (int i = 0; i < request->n_levels; i++)
        bytes += request->keep_bytes[i] * (uint64_t)(split->thinned            ? (i < split->level ? split->rooms : 0)
                                                     : i < split->full_levels  ? request->steps
                                                     : i == split->full_levels ? split->more_steps
                                                                               : 0);
    return bytes;
}

START_TEST(a_thinned_loop_is_divided_as_well_as_possible) {
    static const uint64_t keep_bytes[2] = {25, 13};
    static const double costs[][4] = {{2, 3, 2, 1.5}, {1, 5, 4.5, 4.4}, {4, 9, 6, 6}}; /* of a step; of adjoints */
    for (int steps = 6; steps <= 30; steps += 8)
        for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
            for (uint64_t available = 30; available < 10 * (uint64_t)steps; available += 17 + (uint64_t)steps) {
                const blo_split_request request = {steps, steps % 4 == 2, available,   10,
                                                   2,     keep_bytes,     costs[i][0], &costs[i][1]};
                blo_split split;
                int slots = 0, rooms = 0;
                ck_assert(blo_split_budget(&request, &split));
                if (available < 10 * (uint64_t)blo_split_least(&request)) {
                    ck_assert_int_eq(split.slots, 0);
                    continue;
                }
                ck_assert(split.thinned);
                ck_assert_uint_le(taken(&request, &split), available);
                double best = least_of_all(&request, &slots, &rooms);
                ck_assert_msg(split.cost <= best + 1e-9, "T %d, %llu bytes: %g with %d slots, %d rooms; %g with %d, %d",
                              steps, (unsigned long long)available, split.cost, split.slots, split.rooms, best, slots,
                              rooms);
            }
}
END_TEST

START_TEST(where_all_states_fit_the_rest_is_kept_best_array_first) {
    static const uint64_t keep_bytes[2] = {40, 7};
    static const double adjoint_cost[3] = {5, 3, 2};
    blo_split_request request = {10, true, 0, 9, 2, keep_bytes, 2, adjoint_cost};
    blo_split split;
    for (request.available = 99; request.available < 700; request.available++) {
        uint64_t rest = request.available - 99;
        int first = rest / 40 < 10 ? (int)(rest / 40) : 10;
        int second = first < 10 ? 0 : (rest - 400) / 7 < 10 ? (int)((rest - 400) / 7) : 10;
        ck_assert(blo_split_budget(&request, &split));
        ck_assert(!split.thinned);
        ck_assert_int_eq(split.slots, 11);
        ck_assert_int_eq(split.full_levels, first < 10 ? 0 : second < 10 ? 1 : 2);
        ck_assert_int_eq(split.more_steps, first < 10 ? first : second < 10 ? second : 0);
        ck_assert_double_eq_tol(split.cost, 50 - 2 * first - second, 1e-9);
        ck_assert_uint_le(taken(&request, &split), request.available);
    }
    static const double only_first_saves[3] = {5, 3, 3};
    request.adjoint_cost = only_first_saves;
    ck_assert(blo_split_budget(&request, &split));
    ck_assert_int_eq(split.full_levels, 1);
    ck_assert_int_eq(split.more_steps, 0);
    request.available = 98; /* one state is missing */
    ck_assert(blo_split_budget(&request, &split));
    ck_assert(split.thinned);
}
END_TEST

/* A network of 784, 300 and 10 units on 5000 images, T = 1000, in products of the large kind: a step is 2, its adjoint
 * 3, or 2 with the hidden layer kept, and F is 1 more for each step of the run. */
START_TEST(a_long_loop_in_a_quarter_of_its_memory_stays_near_the_cost_of_keeping_all) {
    static const uint64_t keep_bytes[1] = {6000000};
    static const double adjoint_cost[2] = {3, 2};
    const double steps = 1000, everything = steps * (2 + 1 + 2);
    blo_split_request request = {(int)steps, true, 200000000, 950000, 1, keep_bytes, 2, adjoint_cost};
    blo_split split;
    ck_assert(blo_split_budget(&request, &split));
    ck_assert_uint_le(taken(&request, &split), request.available);
    ck_assert_int_gt(split.rooms, 0);
    ck_assert_double_le((steps * (2 + 1) + split.cost) / everything, 1.4);
    request.n_levels = 0; /* with nothing kept but states */
    ck_assert(blo_split_budget(&request, &split));
    ck_assert_int_eq(split.slots, 210);
    ck_assert_int_eq(split.rooms, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("split");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, a_thinned_loop_is_divided_as_well_as_possible);
    tcase_add_test(tests, where_all_states_fit_the_rest_is_kept_best_array_first);
    tcase_add_test(tests, a_long_loop_in_a_quarter_of_its_memory_stays_near_the_cost_of_keeping_all);
    suite_add_tcase(suite, tests);
    return run_suite_here(suite);
}
