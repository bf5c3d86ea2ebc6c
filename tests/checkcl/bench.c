/* Times the products at the shapes of hyper-cleaning, beside the device's measured peak. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "product.h"

enum { RUNS = 31 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *seconds) {
    qsort(seconds, RUNS, sizeof *seconds, by_value);
    return seconds[RUNS / 2];
}

/* --- products --- */

typedef struct work {
    const char *name;
    int64_t m, n, k;
    side_options a, b;
} work;

static void bench(const work *w, double peak, bool json) {
    double seconds[3][RUNS];
    product p;
    open_product(&p, &(blo_gemm_shape){BLO_FLOAT, 1, w->m, w->n, w->k}, w->a, w->b, 0, NULL);
    for (int run = -2; run < RUNS; run++)
        for (int part = 0; part < 3; part++) {
            MUST(blo_context_finish(context));
            double start = now();
            if (part == 0)
                run_pack(&p, &p.a);
            else if (part == 1)
                run_pack(&p, &p.b);
            else {
                run_tiles(&p);
                run_sum(&p);
            }
            MUST(blo_context_finish(context));
            if (run >= 0)
                seconds[part][run] = now() - start;
        }
    double flops = 2.0 * (double)w->m * (double)w->n * (double)w->k, a = median(seconds[0]), b = median(seconds[1]),
           c = median(seconds[2]), best = seconds[2][0];
    double whole = c + (w->a.fixed ? 0 : a) + (w->b.fixed ? 0 : b);
    if (json)
        printf(
            "\n  {\"name\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, \"bytes\": %s, \"product_seconds\": %.9g, "
            "\"pack_a_seconds\": %.9g, \"pack_b_seconds\": %.9g, \"gflops\": %.6g, \"best_gflops\": %.6g, "
            "\"gflops_with_packing\": %.6g}",
            w->name, (long long)w->m, (long long)w->n, (long long)w->k, p.choice.bytes ? "true" : "false", c, a, b,
            1e-9 * flops / c, 1e-9 * flops / best, 1e-9 * flops / whole);
    else
        printf("%-26s %5lld x %5lld x %5lld %2dx%-2d%s %c%c%s split %d block %lld: %7.3f ms %6.1f GFLOP/s (%.2f of "
               "peak, best %6.1f); "
               "with packing %6.1f (A %.3f ms, B %.3f ms)\n",
               w->name, (long long)w->m, (long long)w->k, (long long)w->n, p.choice.tile_m, p.choice.tile_n,
               p.choice.swapped ? "^" : " ", "ptk"[p.choice.row], "ptk"[p.choice.column], p.choice.bytes ? "u8" : "  ",
               p.choice.split, (long long)p.choice.block, 1e3 * c, 1e-9 * flops / c, flops / c / peak,
               1e-9 * flops / best, 1e-9 * flops / whole, 1e3 * a, 1e3 * b);
    close_product(&p);
}

void run_benches(bool json) {
    const side_options plain = {.in_place = true}, turned = {.in_place = true, .transposed = true},
                       images = {.in_place = true, .bytes = true, .fixed = true},
                       turned_images = {.in_place = true, .bytes = true, .fixed = true, .transposed = true},
                       fixed = {.in_place = true, .fixed = true},
                       turned_fixed = {.in_place = true, .fixed = true, .transposed = true};
    const work works[] = {
        {"X W, bytes", 5000, 10, 784, images, plain},
        {"X W", 5000, 10, 784, fixed, plain},
        {"D^T X, bytes", 10, 784, 5000, turned, images},
        {"D^T X", 10, 784, 5000, turned, fixed},
        {"X^T D, bytes", 784, 10, 5000, turned_images, plain},
        {"X^T D", 784, 10, 5000, turned_fixed, plain},
        {"D W", 5000, 784, 10, plain, plain},
        {"D W^T", 5000, 784, 10, plain, turned},
        {"h W", 5000, 10, 300, plain, plain},
        {"h^T D", 300, 10, 5000, turned, plain},
        {"D^T h", 10, 300, 5000, turned, plain},
        {"D W, hidden", 5000, 300, 10, plain, plain},
        {"D W^T, hidden", 5000, 300, 10, plain, turned},
        {"X W, hidden, bytes", 5000, 300, 784, images, plain},
        {"X W, hidden", 5000, 300, 784, fixed, plain},
        {"X^T D, hidden, bytes", 784, 300, 5000, turned_images, plain},
        {"X^T D, hidden", 784, 300, 5000, turned_fixed, plain},
        {"D^T X, hidden, bytes", 300, 784, 5000, turned, images},
        {"D^T X, hidden", 300, 784, 5000, turned, fixed},
        {"square", 1024, 1024, 1024, plain, plain},
    };
    timing = true;
    double peak, bytes_per_second;
    MUST(blo_context_measure_peak(context, BLO_FLOAT, &peak, &bytes_per_second));
    if (json)
        printf("{\"device\": \"%s\", \"peak_gflops\": %.6g, \"runs\": %d, \"products\": [",
               blo_context_device_name(context), 1e-9 * peak, RUNS);
    else
        printf("%s, medians of %d; fma peak %.1f GFLOP/s\n", blo_context_device_name(context), RUNS, 1e-9 * peak);
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (json && i > 0)
            printf(",");
        bench(&works[i], peak, json);
    }
    if (json)
        printf("\n]}\n");
}
