/* Permutations and integers: what they promise, whatever the generator. */
#include <clbilevel/data.h>

#include "runner.h"

#include <stdint.h>
#include <string.h>

enum { COUNT = 1000, DRAWS = 60000, SEED = 20260101 };

START_TEST(a_permutation_has_each_number_once) {
    const int count = _i;
    int32_t order[COUNT] = {0};
    int seen[COUNT] = {0};
    blo_random_permutation(count, SEED, 3, order);
    for (int i = 0; i < count; i++) {
        ck_assert_int_ge(order[i], 0);
        ck_assert_int_lt(order[i], count);
        ck_assert_int_eq(seen[order[i]]++, 0);
    }
}
END_TEST

START_TEST(seed_and_stream_make_the_permutation) {
    int32_t first[COUNT], again[COUNT], other_seed[COUNT], other_stream[COUNT], high_stream[COUNT];
    blo_random_permutation(COUNT, SEED, 0, first);
    blo_random_permutation(COUNT, SEED, 0, again);
    blo_random_permutation(COUNT, SEED + 1, 0, other_seed);
    blo_random_permutation(COUNT, SEED, 1, other_stream);
    blo_random_permutation(COUNT, SEED, (uint64_t)1 << 32, high_stream);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_mem_ne(first, other_seed, sizeof first);
    ck_assert_mem_ne(first, other_stream, sizeof first);
    ck_assert_mem_ne(other_stream, high_stream, sizeof first);
}
END_TEST

/* Chi-square of COUNTS[CELLS] against equal shares of TOTAL. */
static double chi_square(const int *counts, int cells, double total) {
    double sum = 0;
    for (int i = 0; i < cells; i++) {
        const double off = counts[i] - total / cells;
        sum += off * off / (total / cells);
    }
    return sum;
}

START_TEST(all_orders_of_four_are_equally_likely) {
    int counts[256] = {0}, orders[24], used = 0;
    for (uint64_t stream = 0; stream < DRAWS; stream++) {
        int32_t order[4];
        blo_random_permutation(4, SEED, stream, order);
        counts[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (counts[i] != 0) {
            ck_assert_int_lt(used, 24);
            orders[used++] = counts[i];
        }
    }
    ck_assert_int_eq(used, 24);
    ck_assert_double_lt(chi_square(orders, 24, DRAWS), 49.7); /* 23 degrees of freedom: 0.1 % are above */
}
END_TEST

START_TEST(integers_are_uniform_below_their_bound) {
    static int32_t values[DRAWS];
    int counts[10] = {0};
    blo_random_integers(DRAWS, 10, SEED, 0, values);
    for (int i = 0; i < DRAWS; i++) {
        ck_assert_int_ge(values[i], 0);
        ck_assert_int_lt(values[i], 10);
        counts[values[i]]++;
    }
    ck_assert_double_lt(chi_square(counts, 10, DRAWS), 27.9); /* 9 degrees of freedom: 0.1 % are above */
}
END_TEST

/* With 3 * 2^29 the remainder of 32 bits would give each of the first two thirds half as much again as the last. */
START_TEST(a_large_bound_has_no_modulo_bias) {
    static int32_t values[DRAWS];
    const uint32_t bound = 3u << 29;
    int thirds[3] = {0};
    blo_random_integers(DRAWS, bound, SEED, 0, values);
    for (int i = 0; i < DRAWS; i++) {
        ck_assert_uint_lt((uint32_t)values[i], bound);
        thirds[(uint32_t)values[i] / (1u << 29)]++;
    }
    ck_assert_double_lt(chi_square(thirds, 3, DRAWS), 13.8); /* 2 degrees of freedom: 0.1 % are above */
}
END_TEST

START_TEST(bounds_at_the_edge_are_kept) {
    int32_t values[COUNT];
    memset(values, 0xff, sizeof values);
    blo_random_integers(COUNT, 1, SEED, 0, values);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(values[i], 0);
    }
    blo_random_integers(COUNT, UINT32_MAX, SEED, 0, values);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_ge(values[i], 0);
    }
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("random");
    printf("seed %d\n", SEED);
    tcase_add_loop_test(tests, a_permutation_has_each_number_once, 0, 20);
    tcase_add_loop_test(tests, a_permutation_has_each_number_once, COUNT, COUNT + 1);
    tcase_add_test(tests, seed_and_stream_make_the_permutation);
    tcase_add_test(tests, all_orders_of_four_are_equally_likely);
    tcase_add_test(tests, integers_are_uniform_below_their_bound);
    tcase_add_test(tests, a_large_bound_has_no_modulo_bias);
    tcase_add_test(tests, bounds_at_the_edge_are_kept);
    return run_case("random", tests);
}
