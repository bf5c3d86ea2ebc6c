/* How tiles of the library's own product are shared out among the items of a launch: every tile to one item; of
 * products of short k, whole lines of the result to each. Needs no device. */
#include <check.h>

#include "../support/suite.h"
#include "plan/gemm.h"

enum { GROUP = 6, COLUMNS = 7 }; /* of a launch's values, as the kernel takes them */

static blo_device_facts device_of(int width, int cores) {
    return (blo_device_facts){
        .is_cpu = true, .float_vector_width = width, .compute_units = cores, .local_bytes = 1 << 18};
}

typedef struct sharing {
    blo_gemm_choice choice;
    size_t global[3];
    int64_t panels_m, panels_n, group, columns;
} sharing;

static sharing share_of(const blo_gemm_shape *shape, int width, int cores) {
    const blo_gemm_operand a = {.in_place = true, .along_k = true}, b = {.in_place = true};
    const blo_device_facts facts = device_of(width, cores);
    uint64_t values[BLO_GEMM_VALUES];
    size_t local[3];
    sharing s;
    blo_gemm_choose(&facts, shape, &a, &b, &s.choice);
    ck_assert_int_eq(blo_gemm_launch(shape, &s.choice, s.global, local, values), BLO_GEMM_VALUES);
    ck_assert_uint_eq(local[0] * local[1] * local[2], 1);
    s.panels_m = ((int64_t)values[0] + s.choice.tile_m - 1) / s.choice.tile_m;
    s.panels_n = ((int64_t)values[1] + s.choice.tile_n - 1) / s.choice.tile_n;
    s.group = (int64_t)values[GROUP];
    s.columns = (int64_t)values[COLUMNS];
    return s;
}

/* ITEMS of EACH panels take all PANELS, none twice, and no item takes none. */
static void check_shares(size_t items, int64_t each, int64_t panels) {
    ck_assert_int_gt(each, 0);
    ck_assert_msg((int64_t)items * each >= panels && ((int64_t)items - 1) * each < panels,
                  "%lld panels: %lld items of %lld", (long long)panels, (long long)items, (long long)each);
}

static const blo_dtype dtypes[] = {BLO_FLOAT, BLO_DOUBLE};
static const int widths[] = {8, 16}, all_cores[] = {1, 2, 64};

START_TEST(every_tile_has_one_item) {
    static const int64_t lengths[] = {1, 5, 10, 16, 17, 33, 100, 784}, ks[] = {1, 64, 65, 5000};
    for (int i = 0; i < 8 * 8 * 4 * 2 * 2 * 3; i++) {
        int rest = i;
        blo_gemm_shape shape = {.batch = 1 + i % 3 % 2};
        shape.m = lengths[rest % 8], rest /= 8;
        shape.n = lengths[rest % 8], rest /= 8;
        shape.k = ks[rest % 4], rest /= 4;
        shape.dtype = dtypes[rest % 2], rest /= 2;
        const int width = widths[rest % 2], cores = all_cores[rest / 2];
        const sharing s = share_of(&shape, width, cores);
        check_shares(s.global[0], s.group, s.panels_m);
        check_shares(s.global[1], s.columns, s.panels_n);
        ck_assert_int_eq((int64_t)s.global[2], shape.batch * s.choice.split);
    }
}
END_TEST

/* An item of a product of short k writes lines from end to end, while there are enough panels of rows for the cores;
 * where there are few, pieces of lines, so that all cores have work. */
START_TEST(items_of_a_short_k_write_whole_lines) {
    for (int i = 0; i < 8; i++) {
        const int width = widths[i / 2 % 2], cores = 2;
        blo_gemm_shape shape = {.dtype = dtypes[i % 2], .batch = 1, .m = 5000, .n = 784, .k = i / 4 ? 64 : 10};
        sharing s = share_of(&shape, width, cores);
        ck_assert(!s.choice.swapped);
        ck_assert_int_gt(s.panels_n, 1);
        ck_assert_int_eq(s.group, 1);
        ck_assert_int_eq(s.columns, s.panels_n);
        shape.m = 24;
        s = share_of(&shape, width, cores);
        ck_assert_int_eq(s.group, 1);
        ck_assert_int_lt(s.columns, s.panels_n);
        ck_assert_int_gt((int64_t)(s.global[0] * s.global[1]), cores);
    }
}
END_TEST

/* Columns that are turned beside the accumulators: vectors of one register each. */
START_TEST(what_is_turned_is_one_register_wide) {
    const blo_gemm_operand a = {.in_place = true, .along_k = true}, b = {.in_place = true};
    for (int i = 0; i < 4; i++) {
        const int width = widths[i / 2];
        const blo_device_facts facts = device_of(width, 2);
        const blo_gemm_shape shape = {.dtype = dtypes[i % 2], .batch = 1, .m = 5000, .n = 5, .k = 300};
        blo_gemm_choice choice;
        blo_gemm_choose(&facts, &shape, &a, &b, &choice);
        ck_assert_int_eq(choice.column, BLO_GEMM_ALONG_K);
        ck_assert_int_eq(choice.vector * (int)blo_dtype_size(shape.dtype), width * (int)sizeof(float));
        ck_assert_int_eq(choice.tile_n, choice.vector);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("launches of products");
    TCase *all = tcase_create("all");
    tcase_add_test(all, every_tile_has_one_item);
    tcase_add_test(all, items_of_a_short_k_write_whole_lines);
    tcase_add_test(all, what_is_turned_is_one_register_wide);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
