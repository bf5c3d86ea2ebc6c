/* Every hand-written kernel of cl/ against plain C, over random shapes and offsets, with guard values around what it
 * writes; in the manner of dav1d's checkasm. With --bench it times the products at the shapes of hyper-cleaning instead
 * (median of several runs). */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cl_sources.h"
#include "device/device.h"
#include "plan/gemm.h"

enum { GUARD = 64, ROUNDS = 40 };
static const double guard_value = -77.25;
static blo_context *context;
static uint64_t random_state = 20260202;

static bool timing; /* no test is running then */

static void must(bool done) {
    if (timing && !done) {
        fprintf(stderr, "%s\n", blo_context_error(context));
        exit(1);
    }
    if (!timing)
        ck_assert_msg(done, "%s", blo_context_error(context));
}

#define MUST(call) must((call) == BLO_OK)

static uint32_t draw(uint32_t bound) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

/* --- arrays of float or double, with guards on both sides --- */

typedef struct array {
    blo_dtype dtype;
    uint64_t offset, count; /* elements; GUARD more on each side */
    double *host;
    blo_buffer *buffer;
} array;

static void upload(array *a) {
    uint64_t total = a->offset + a->count + GUARD;
    float *narrow = malloc(total * sizeof *narrow);
    for (uint64_t i = 0; i < total; i++)
        narrow[i] = (float)a->host[i];
    if (a->dtype == BLO_DOUBLE)
        MUST(blo_buffer_write(context, a->buffer, 0, total * sizeof(double), a->host));
    else
        MUST(blo_buffer_write(context, a->buffer, 0, total * sizeof(float), narrow));
    free(narrow);
}

static array make(blo_dtype dtype, uint64_t count, bool random) {
    array a = {.dtype = dtype, .count = count, .offset = GUARD + draw(40)};
    uint64_t total = a.offset + count + GUARD;
    a.host = malloc(total * sizeof *a.host);
    for (uint64_t i = 0; i < total; i++)
        a.host[i] = guard_value;
    for (uint64_t i = 0; i < count && random; i++)
        a.host[a.offset + i] = (double)(float)((double)draw(2001) / 1000 - 1);
    MUST(blo_buffer_create(context, total * blo_dtype_size(dtype), &a.buffer));
    upload(&a);
    return a;
}

/* Into host; fails if a guard was written over. */
static void download(array *a, const char *kernel) {
    uint64_t total = a->offset + a->count + GUARD;
    float *narrow = malloc(total * sizeof *narrow);
    if (a->dtype == BLO_DOUBLE)
        MUST(blo_buffer_read(context, a->buffer, 0, total * sizeof(double), a->host));
    else
        MUST(blo_buffer_read(context, a->buffer, 0, total * sizeof(float), narrow));
    for (uint64_t i = 0; i < total; i++) {
        if (a->dtype == BLO_FLOAT)
            a->host[i] = (double)narrow[i];
        bool guard = i < a->offset || i >= a->offset + a->count;
        ck_assert_msg(!guard || a->host[i] == guard_value, "%s wrote beyond its array at %" PRIu64 " of %" PRIu64,
                      kernel, i - a->offset, a->count);
    }
    free(narrow);
}

static void drop(array *a) {
    blo_buffer_release(a->buffer);
    free(a->host);
}

static blo_kernel *build(const char *name, char *text) {
    blo_kernel *kernel = NULL;
    const blo_kernel_source source = {name, text};
    must(text != NULL);
    MUST(blo_kernels_get(context, 1, &source, &kernel));
    free(text);
    return kernel;
}

static int bind_array(blo_kernel *kernel, int position, const array *a) {
    MUST(blo_kernel_set_buffer(kernel, position, a->buffer));
    MUST(blo_kernel_set_ulong(kernel, position + 1, a->offset));
    return position + 2;
}

static int bind_values(blo_kernel *kernel, int position, int n, const uint64_t *values) {
    for (int i = 0; i < n; i++)
        MUST(blo_kernel_set_ulong(kernel, position++, values[i]));
    return position;
}

/* --- products --- */

typedef struct product {
    blo_gemm_shape shape;
    blo_gemm_choice choice;
    array a, b, packed_a, packed_b, partial, c;
    blo_kernel *pack_a, *pack_b, *multiply, *sum;
    size_t global[4][3], local[4][3];
} product;

/* A pack kernel of a plain row-major operand; TRANSPOSED: it is stored the other way round. */
static blo_kernel *build_pack(const product *p, bool is_b, bool transposed) {
    char name[64], function[512];
    const char *type = blo_dtype_name(p->shape.dtype);
    const blo_gemm_pack pack = {is_b ? 'b' : 'a', transposed};
    snprintf(name, sizeof name, "pack_%c_%s_%d_%d", is_b ? 'b' : 'a', type, is_b ? p->choice.tile_n : p->choice.tile_m,
             transposed);
    snprintf(function, sizeof function,
             "static inline %s NAME_load(__global const %s *restrict p0, const ulong o0, const ulong R, const ulong C, "
             "uint b, uint i, uint j) "
             "{ return p0[o0 + ((ulong)b * R + (%s)) * C + (%s)]; }\n",
             type, type, transposed ? "j" : "i", transposed ? "i" : "j");
    char parameters[256];
    snprintf(parameters, sizeof parameters,
             "__global const %s *restrict p0, const ulong o0, const ulong R, const ulong C", type);
    return build(name,
                 blo_gemm_pack_source(&p->choice, p->shape.dtype, &pack, name, parameters, "p0, o0, R, C", function));
}

static void run_pack(const product *p, blo_kernel *kernel, bool is_b, bool transposed) {
    const blo_gemm_shape *s = &p->shape;
    const blo_gemm_pack pack = {is_b ? 'b' : 'a', transposed};
    uint64_t rows = (uint64_t)(is_b ? s->k : s->m), columns = (uint64_t)(is_b ? s->n : s->k);
    size_t global[3], local[3];
    int at = bind_array(kernel, 0, is_b ? &p->b : &p->a);
    at = bind_values(kernel, at, 2, (const uint64_t[]){transposed ? columns : rows, transposed ? rows : columns});
    at = bind_array(kernel, at, is_b ? &p->packed_b : &p->packed_a);
    bind_values(kernel, at, 3, (const uint64_t[]){(uint64_t)s->batch, rows, columns});
    blo_gemm_pack_launch(s, &p->choice, &pack, global, local);
    MUST(blo_kernel_launch(kernel, 3, global, local));
}

static product open_product(blo_dtype dtype, int64_t batch, int64_t m, int64_t n, int64_t k) {
    product p = {.shape = {dtype, batch, m, n, k}};
    blo_gemm_choose(blo_context_facts(context), &p.shape, &p.choice);
    p.a = make(dtype, (uint64_t)(batch * m * k), true);
    p.b = make(dtype, (uint64_t)(batch * k * n), true);
    p.packed_a = make(dtype, blo_gemm_packed_a_count(&p.shape, &p.choice), false);
    p.packed_b = make(dtype, blo_gemm_packed_b_count(&p.shape, &p.choice), false);
    p.c = make(dtype, (uint64_t)(batch * m * n), false);
    p.partial = make(dtype, (uint64_t)(p.choice.split * batch * m * n), false);
    char name[64];
    char *text = blo_gemm_source(&p.choice, dtype, name);
    p.multiply = build(name, text);
    text = blo_gemm_sum_source(dtype, name);
    p.sum = build(name, text);
    return p;
}

static void run_product(const product *p) {
    uint64_t values[BLO_GEMM_VALUES];
    size_t global[3], local[3];
    int n = blo_gemm_launch(&p->shape, &p->choice, global, local, values);
    int at = bind_array(p->multiply, bind_array(p->multiply, bind_array(p->multiply, 0, &p->packed_a), &p->packed_b),
                        p->choice.split > 1 ? &p->partial : &p->c);
    bind_values(p->multiply, at, n, values);
    MUST(blo_kernel_launch(p->multiply, 3, global, local));
    if (p->choice.split == 1)
        return;
    n = blo_gemm_sum_launch(&p->shape, &p->choice, global, local, values);
    bind_values(p->sum, bind_array(p->sum, bind_array(p->sum, 0, &p->partial), &p->c), n, values);
    MUST(blo_kernel_launch(p->sum, 3, global, local));
}

static void close_product(product *p) {
    array *arrays[] = {&p->a, &p->b, &p->packed_a, &p->packed_b, &p->partial, &p->c};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        drop(arrays[i]);
    blo_kernel_release(p->multiply);
    blo_kernel_release(p->sum);
    blo_kernel_release(p->pack_a);
    blo_kernel_release(p->pack_b);
}

static double element(const array *a, int64_t batch, int64_t rows, int64_t columns, int64_t i, int64_t j,
                      bool transposed) {
    return a->host[a->offset +
                   (uint64_t)(transposed ? (batch * columns + j) * rows + i : (batch * rows + i) * columns + j)];
}

static void compare_product(product *p, bool ta, bool tb) {
    const blo_gemm_shape *s = &p->shape;
    /* every element is a sum of k terms of at most 1, rounded k times */
    double limit = (s->dtype == BLO_DOUBLE ? 2.3e-16 : 1.2e-7) * (double)(s->k + 2) * (double)(s->k + 2);
    download(&p->packed_a, "pack of A");
    download(&p->packed_b, "pack of B");
    download(&p->c, "product");
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t i = 0; i < s->m; i++)
            for (int64_t j = 0; j < s->n; j++) {
                double sum = 0, got = p->c.host[p->c.offset + (uint64_t)((b * s->m + i) * s->n + j)];
                for (int64_t k = 0; k < s->k; k++)
                    sum += element(&p->a, b, s->m, s->k, i, k, ta) * element(&p->b, b, s->k, s->n, k, j, tb);
                ck_assert_msg(fabs(sum - got) <= limit,
                              "%s product %lldx%lldx%lld (batch %lld, split %d) at %lld,%lld: %.9g, want %.9g",
                              blo_dtype_name(s->dtype), (long long)s->m, (long long)s->k, (long long)s->n,
                              (long long)s->batch, p->choice.split, (long long)i, (long long)j, got, sum);
            }
}

START_TEST(products_match) {
    for (int round = 0; round < ROUNDS; round++) {
        int64_t batch = 1 + draw(3), m = 1 + draw(50), n = 1 + draw(70), k = 1 + draw(round % 4 == 0 ? 1200 : 80);
        bool ta = draw(2), tb = draw(2);
        product p = open_product(_i ? BLO_DOUBLE : BLO_FLOAT, batch, m, n, k);
        p.pack_a = build_pack(&p, false, ta);
        p.pack_b = build_pack(&p, true, tb);
        run_pack(&p, p.pack_a, false, ta);
        run_pack(&p, p.pack_b, true, tb);
        run_product(&p);
        compare_product(&p, ta, tb);
        close_product(&p);
    }
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

/* --- timing --- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench(const char *what, int64_t m, int64_t n, int64_t k, bool ta) {
    enum { RUNS = 15 };
    double seconds[3][RUNS];
    product p = open_product(BLO_FLOAT, 1, m, n, k);
    p.pack_a = build_pack(&p, false, ta);
    p.pack_b = build_pack(&p, true, false);
    for (int run = -2; run < RUNS; run++)
        for (int part = 0; part < 3; part++) {
            MUST(blo_context_finish(context));
            double start = now();
            if (part == 0)
                run_pack(&p, p.pack_a, false, ta);
            else if (part == 1)
                run_pack(&p, p.pack_b, true, false);
            else
                run_product(&p);
            MUST(blo_context_finish(context));
            if (run >= 0)
                seconds[part][run] = now() - start;
        }
    for (int part = 0; part < 3; part++)
        qsort(seconds[part], RUNS, sizeof(double), by_value);
    double flops = 2.0 * (double)m * (double)n * (double)k, a = seconds[0][RUNS / 2], b = seconds[1][RUNS / 2],
           c = seconds[2][RUNS / 2];
    printf("%-28s %5lld x %5lld x %5lld  product %7.3f ms, %6.1f GFLOP/s;  with both packed anew %6.1f GFLOP/s (A %.3f "
           "ms, B %.3f ms)\n",
           what, (long long)m, (long long)k, (long long)n, 1e3 * c, 1e-9 * flops / c, 1e-9 * flops / (a + b + c),
           1e3 * a, 1e3 * b);
    close_product(&p);
}

static void run_benches(void) {
    timing = true;
    printf("%s, medians of 15\n", blo_context_device_name(context));
    bench("logits", 5000, 10, 784, false);
    bench("gradient of the weights", 10, 784, 5000, true);
    bench("hidden layer", 5000, 300, 784, false);
    bench("logits of the hidden layer", 5000, 10, 300, false);
    bench("hidden weights' gradient", 300, 784, 5000, true);
    bench("square", 1024, 1024, 1024, false);
}

int main(int argc, char **argv) {
    char message[512];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    int failed = 0;
    if (argc > 1 && !strcmp(argv[1], "--bench"))
        run_benches();
    else {
        Suite *suite = suite_create("checkcl");
        TCase *kernels = tcase_create("kernels");
        printf("seed %" PRIu64 "\n", random_state);
        tcase_set_timeout(kernels, 300);
        tcase_add_loop_test(kernels, products_match, 0, 2);
        tcase_add_loop_test(kernels, checks_and_commits_match, 0, 2);
        suite_add_tcase(suite, kernels);
        SRunner *runner = srunner_create(suite);
        srunner_set_fork_status(runner,
                                CK_NOFORK); /* OpenCL implementations keep threads, which do not survive a fork */
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
    }
    blo_context_destroy(context);
    return failed != 0;
}
