/* Times the products at the shapes of hyper-cleaning, beside the device's measured peak. A product is timed as plans
 * use it: several are queued, each with what it packs every time, and waited for once; and alone, with the wait that a
 * caller has who stops after each. The same arrays every time, as OpenBLAS and PyTorch have them
 * (tests/benchmark/peers). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "product.h"

enum { RUNS = 15, QUEUED = 8 };

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

/* What is timed of a product: all that each one runs; one alone; its tiles (and sums), its packs. */
typedef enum part { WHOLE, SINGLE, TILES, PACK_A, PACK_B, PARTS } part;

static void run_part(const product *p, part which, const work *w) {
    const bool whole = which == WHOLE || which == SINGLE;
    if (which == PACK_A || (whole && !w->a.fixed))
        run_pack(p, &p->a);
    if (which == PACK_B || (whole && !w->b.fixed))
        run_pack(p, &p->b);
    if (which == TILES || whole) {
        run_tiles(p);
        run_sum(p);
    }
}

/* Seconds of one of COUNT queued at once. */
static double time_part(const product *p, part which, const work *w, int count) {
    MUST(blo_context_finish(context));
    double start = blo_seconds();
    for (int i = 0; i < count; i++)
        run_part(p, which, w);
    MUST(blo_context_finish(context));
    return (blo_seconds() - start) / count;
}

static void print_json(const work *w, const product *p, const double seconds[PARTS]) {
    printf("\n  {\"name\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, \"bytes\": %s, \"seconds\": %.9g, "
           "\"single_seconds\": %.9g, \"product_seconds\": %.9g, \"pack_a_seconds\": %.9g, \"pack_b_seconds\": %.9g}",
           w->name, (long long)w->m, (long long)w->n, (long long)w->k, p->choice.bytes ? "true" : "false",
           seconds[WHOLE], seconds[SINGLE], seconds[TILES], seconds[PACK_A], seconds[PACK_B]);
}

static void print_line(const work *w, const product *p, const double seconds[PARTS], double peak) {
    const blo_gemm_choice *choice = &p->choice;
    const double flops = 2.0 * (double)w->m * (double)w->n * (double)w->k;
    printf("%-20s %4lld x %4lld x %4lld %2dx%-2d%s %c%c%s split %d block %4lld: %8.1f us %6.1f GFLOP/s (%.2f of peak), "
           "alone %8.1f us %6.1f GFLOP/s; tiles %8.1f us, pack of A%s %.1f us, of B%s %.1f us\n",
           w->name, (long long)w->m, (long long)w->k, (long long)w->n, choice->tile_m, choice->tile_n,
           choice->swapped ? "^" : " ", "ptk"[choice->row], "ptk"[choice->column], choice -> bytes ? "u8" : "  ",
           choice->split, (long long)choice->block, 1e6 * seconds[WHOLE], 1e-9 * flops / seconds[WHOLE],
           flops / seconds[WHOLE] / peak, 1e6 * seconds[SINGLE], 1e-9 * flops / seconds[SINGLE], 1e6 * seconds[TILES],
           w->a.fixed ? " (once)" : "", 1e6 * seconds[PACK_A], w->b.fixed ? " (once)" : "", 1e6 * seconds[PACK_B]);
}

static void bench(const work *w, double peak, bool json) {
    double all[PARTS][RUNS], seconds[PARTS];
    product p;
    open_product(&p, &(blo_gemm_shape){BLO_FLOAT, 1, w->m, w->n, w->k}, w->a, w->b, 0, NULL);
    for (int run = -1; run < RUNS; run++)
        for (int i = 0; i < PARTS; i++) {
            double taken = time_part(&p, (part)i, w, i == SINGLE ? 1 : QUEUED);
            if (run >= 0)
                all[i][run] = taken;
        }
    for (int i = 0; i < PARTS; i++)
        seconds[i] = median(all[i]);
    if (json)
        print_json(w, &p, seconds);
    else
        print_line(w, &p, seconds, peak);
    close_product(&p);
}

void run_benches(bool json, const char *name) {
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
        {"h W, five ways", 5000, 5, 300, plain, plain},
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
    int done = 0;
    timing = true;
    double peak, bytes_per_second;
    MUST(blo_context_measure_peak(context, BLO_FLOAT, &peak, &bytes_per_second));
    if (json)
        printf("{\"device\": \"%s\", \"peak_gflops\": %.6g, \"runs\": %d, \"queued\": %d, \"products\": [",
               blo_context_device_name(context), 1e-9 * peak, RUNS, QUEUED);
    else
        printf("%s, medians of %d, %d queued and waited for once (alone: one, and its wait), with the packing that "
               "each has; "
               "fma peak %.1f GFLOP/s\n",
               blo_context_device_name(context), RUNS, QUEUED, 1e-9 * peak);
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (!strstr(works[i].name, name))
            continue;
        printf("%s", json && done++ ? "," : "");
        bench(&works[i], peak, json);
    }
    if (json)
        printf("\n]}\n");
}
