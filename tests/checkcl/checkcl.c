/* Every hand-written kernel of cl/ against plain C, over random shapes and offsets, with guard values around what it
 * writes; in the manner of dav1d's checkasm. With --bench [--json] [PART OF A NAME] it times the products instead
 * (bench.c). */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/suite.h"
#include "product.h"

enum { ROUNDS = 24 };

/* --- products --- */

static void compare_product(product *p) {
    const blo_gemm_shape *s = &p->shape;
    /* every element is a sum of k terms of at most 1, rounded k times */
    double limit = (s->dtype == BLO_DOUBLE ? 2.3e-16 : 1.2e-7) * (double)(s->k + 2) * (double)(s->k + 2);
    if (p->a.pack)
        download(&p->a.packed, "pack of A");
    if (p->b.pack)
        download(&p->b.packed, "pack of B");
    download(&p->partial, "product (partial sums)");
    download(&p->c, "product");
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t i = 0; i < s->m; i++)
            for (int64_t j = 0; j < s->n; j++) {
                double sum = 0, got = p->c.host[p->c.offset + (uint64_t)((b * s->m + i) * s->n + j)];
                for (int64_t k = 0; k < s->k; k++)
                    sum += element(p, &p->a, b, i, k) * element(p, &p->b, b, k, j);
                ck_assert_msg(fabs(sum - got) <= limit,
                              "%s product %lldx%lldx%lld (batch %lld, split %d, tile %dx%d%s, ways %d %d%s) at "
                              "%lld,%lld: %.9g, want %.9g",
                              blo_dtype_name(s->dtype), (long long)s->m, (long long)s->k, (long long)s->n,
                              (long long)s->batch, p->choice.split, p->choice.tile_m, p->choice.tile_n,
                              p->choice.swapped ? " swapped" : "", p->choice.row, p->choice.column,
                              p->choice.bytes       ? ", bytes"
                              : p->choice.evaluated ? ", evaluated"
                                                    : "",
                              (long long)i, (long long)j, got, sum);
            }
}

static side_options draw_side(void) {
    return (side_options){.transposed = draw(2), .in_place = draw(2), .bytes = draw(3) == 0, .fixed = draw(2)};
}

/* Runs the tiles again with k in blocks of few: not one bit may differ. */
static void compare_blocks(product *p) {
    size_t bytes = p->c.count * sizeof(double);
    double *whole = memcpy(malloc(bytes), p->c.host + p->c.offset, bytes);
    p->choice.block = 1 + draw((uint32_t)p->choice.block);
    run_tiles(p);
    run_sum(p);
    download(&p->c, "product in blocks");
    ck_assert_msg(!memcmp(whole, p->c.host + p->c.offset, bytes),
                  "blocks of %lld of k change the result (tile %dx%d%s)", (long long)p->choice.block, p->choice.tile_m,
                  p->choice.tile_n, p->choice.swapped ? " swapped" : "");
    free(whole);
}

static void check_product(const blo_gemm_shape *shape) {
    static const blo_tile tiles[] = {{8, 3, 16, 0}, {16, 1, 16, 0}, {5, 2, 8, 0}, {4, 3, 8, 0}, {12, 1, 8, 0}};
    blo_tile tile = tiles[draw(5)];
    if (shape->dtype == BLO_DOUBLE)
        tile.vector /= 2;
    product p;
    open_product(&p, shape, draw_side(), draw_side(), draw(2) ? 16 : 8, draw(2) ? &tile : NULL);
    run_pack(&p, &p.a);
    run_pack(&p, &p.b);
    run_tiles(&p);
    run_sum(&p);
    compare_product(&p);
    compare_blocks(&p);
    close_product(&p);
}

START_TEST(products_match) {
    for (int round = 0; round < ROUNDS; round++)
        check_product(&(blo_gemm_shape){.dtype = _i ? BLO_DOUBLE : BLO_FLOAT,
                                        .batch = 1 + draw(3),
                                        .m = 1 + draw(50),
                                        .n = 1 + draw(70),
                                        .k = 1 + draw(round % 4 == 0 ? 1200 : 80)});
}
END_TEST

START_TEST(narrow_products_match) {
    for (int round = 0; round < ROUNDS; round++) {
        int64_t narrow = 1 + draw(17), wide = 1 + draw(300);
        bool columns = draw(2);
        check_product(&(blo_gemm_shape){.dtype = _i ? BLO_DOUBLE : BLO_FLOAT,
                                        .batch = 1 + draw(2),
                                        .m = columns ? narrow : wide,
                                        .n = columns ? wide : narrow,
                                        .k = 1 + draw(round % 4 == 0 ? 1200 : 80)});
    }
}
END_TEST

/* Tiles that are mostly stored, the last of a line over the one before. */
START_TEST(short_products_match) {
    for (int round = 0; round < ROUNDS; round++)
        check_product(&(blo_gemm_shape){.dtype = _i ? BLO_DOUBLE : BLO_FLOAT,
                                        .batch = 1 + draw(2),
                                        .m = 17 + draw(60),
                                        .n = 17 + draw(300),
                                        .k = 1 + draw(64)});
}
END_TEST

/* --- check and commit --- */

START_TEST(checks_and_commits_match) {
    blo_dtype dtype = _i ? BLO_DOUBLE : BLO_FLOAT;
    for (int round = 0; round < ROUNDS; round++) {
        array source = make(dtype, 1 + draw(5000), true), target = make(dtype, source.count, true), before = target;
        uint64_t bad = draw((uint32_t)source.count);
        bool finite = draw(2);
        before.host = memcpy(malloc((target.offset + target.count + GUARD) * sizeof(double)), target.host,
                             (target.offset + target.count + GUARD) * sizeof(double));
        if (!finite) {
            source.host[source.offset + bad] = draw(2) ? (double)NAN : (double)-INFINITY;
            upload(&source);
        }
        MUST(blo_flag_check(context, dtype, source.buffer, source.offset, source.count, 7));
        MUST(blo_flag_check(context, dtype, source.buffer, source.offset, source.count, 3));
        MUST(blo_flag_commit(context, dtype, source.buffer, source.offset, target.buffer, target.offset, target.count));
        blo_status status = blo_context_finish(context);
        ck_assert_int_eq(status, finite ? BLO_OK : BLO_ERROR_NUMERIC);
        if (!finite)
            ck_assert_msg(strstr(blo_context_error(context), "step 7") != NULL, "%s",
                          blo_context_error(context)); /* the first check stays */
        download(&target, "commit");
        for (uint64_t i = 0; i < target.count; i++) {
            double was = before.host[before.offset + i], sum = was + source.host[source.offset + i];
            double wanted = !finite ? was : dtype == BLO_FLOAT ? (double)(float)sum : sum;
            ck_assert_double_eq(target.host[target.offset + i], wanted);
        }
        free(before.host);
        drop(&source);
        drop(&target);
    }
}
END_TEST

int main(int argc, char **argv) {
    char message[512];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    int failed = 0;
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        const bool json = argc > 2 && !strcmp(argv[2], "--json");
        run_benches(json, argc > 2 + json ? argv[2 + json] : "");
    } else {
        Suite *suite = suite_create("checkcl");
        TCase *kernels = tcase_create("kernels");
        printf("seed %" PRIu64 "\n", random_state);
        tcase_set_timeout(kernels, 300);
        tcase_add_loop_test(kernels, products_match, 0, 2);
        tcase_add_loop_test(kernels, narrow_products_match, 0, 2);
        tcase_add_loop_test(kernels, short_products_match, 0, 2);
        tcase_add_loop_test(kernels, checks_and_commits_match, 0, 2);
        suite_add_tcase(suite, kernels);
        failed = run_suite_here(suite);
    }
    blo_context_destroy(context);
    return failed;
}
