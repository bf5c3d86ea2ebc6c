/* The convolution kernels against plain C: all three forms over random geometries, with operands that are arrays and
 * operands that are expressions, large enough for the kernels. With --bench [IMAGES] it times ConvNet-4's convolutions
 * instead (median of several runs, packing included; images channels last, as they are between layers). Prints its
 * seed. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <clbilevel/clbilevel.h>

#include "../support/suite.h"
#include "device/device.h"

enum { ROUNDS = 7 };
static blo_context *context;
static uint64_t random_state = 20260303;

static int64_t draw(int64_t lo, int64_t hi) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((random_state >> 33) % (uint64_t)(hi - lo + 1));
}

typedef struct geometry {
    int64_t n, c, h, w, o, r, s, p, q;
    int64_t stride[2], padding[2], dilation[2], groups;
} geometry;

static int64_t windows(int64_t extent, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    return (extent + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
}

static geometry draw_geometry(void) {
    geometry g = {.groups = draw(0, 3) ? 1 : draw(2, 3)};
    g.n = draw(1, 6);
    g.c = g.groups * draw(1, draw(0, 1) ? 4 : 40);
    g.o = g.groups * draw(1, draw(0, 1) ? 20 : 70);
    g.r = draw(1, 4);
    g.s = draw(1, 4);
    for (int i = 0; i < 2; i++) {
        g.stride[i] = draw(0, 2) ? 1 : draw(2, 3);
        g.padding[i] = draw(0, 2);
        g.dilation[i] = draw(0, 2) ? 1 : 2;
    }
    g.h = (g.r - 1) * g.dilation[0] + draw(1, 14);
    g.w = (g.s - 1) * g.dilation[1] + draw(1, 30);
    g.p = windows(g.h, g.r, g.stride[0], g.padding[0], g.dilation[0]);
    g.q = windows(g.w, g.s, g.stride[1], g.padding[1], g.dilation[1]);
    return g;
}

/* --- the reference, channels first --- */

/* Every product of the trilinear form: adds it to Y, X or W, whichever is not NULL in SUM. */
static void reference(const geometry *g, double *y, const double *x, double *gx, const double *w, double *gw,
                      const double *gy) {
    int64_t cg = g->c / g->groups, og = g->o / g->groups;
    for (int64_t n = 0; n < g->n; n++)
        for (int64_t o = 0; o < g->o; o++)
            for (int64_t p = 0; p < g->p; p++)
                for (int64_t q = 0; q < g->q; q++)
                    for (int64_t c = 0; c < cg; c++)
                        for (int64_t r = 0; r < g->r; r++)
                            for (int64_t s = 0; s < g->s; s++) {
                                int64_t h = p * g->stride[0] - g->padding[0] + r * g->dilation[0],
                                        v = q * g->stride[1] - g->padding[1] + s * g->dilation[1];
                                if (h < 0 || h >= g->h || v < 0 || v >= g->w)
                                    continue;
                                int64_t iy = ((n * g->o + o) * g->p + p) * g->q + q,
                                        ix = ((n * g->c + o / og * cg + c) * g->h + h) * g->w + v,
                                        iw = ((o * cg + c) * g->r + r) * g->s + s;
                                y[iy] += x[ix] * w[iw];
                                gx[ix] += gy[iy] * w[iw];
                                gw[iw] += gy[iy] * x[ix];
                            }
}

/* --- on the device --- */

typedef struct problem {
    geometry g;
    blo_dtype dtype;
    bool expressions; /* operands are sin of arrays */
    bool last;        /* images are channels last outside as well, as between layers */
    blo_graph *graph;
    blo_function *function;
    blo_tensor *in[3], *out[3]; /* x, w, gy; y, gx, gw */
    double *host[3];
} problem;

static void must(blo_status status) {
    if (status != BLO_OK) {
        fprintf(stderr, "%s\n", blo_context_error(context));
        exit(1);
    }
}

static void *as_dtype(blo_dtype dtype, const double *values, int64_t count) {
    void *data = malloc((size_t)count * 8 + 8);
    for (int64_t i = 0; i < count; i++)
        if (dtype == BLO_DOUBLE)
            ((double *)data)[i] = values[i];
        else
            ((float *)data)[i] = (float)values[i];
    return data;
}

static const int to_first[4] = {0, 3, 1, 2}, to_last[4] = {0, 2, 3, 1};

static const int64_t *inside(const int64_t *shape, int64_t *turned) {
    for (int i = 0; i < 4; i++)
        turned[i] = shape[to_last[i]];
    return turned;
}

static void open_problem(problem *t, geometry g, blo_dtype dtype, bool expressions, bool last, unsigned forms) {
    const int64_t x[4] = {g.n, g.c, g.h, g.w}, w[4] = {g.o, g.c / g.groups, g.r, g.s}, y[4] = {g.n, g.o, g.p, g.q};
    const int64_t *shapes[3] = {x, w, y}, *results[3] = {y, x, w};
    int64_t turned[4];
    *t = (problem){.g = g, .dtype = dtype, .expressions = expressions, .last = last};
    must(blo_graph_create(&t->graph));
    blo_node *node[3], *out[3];
    for (int i = 0; i < 3; i++) {
        const int64_t *shape = last && i != 1 ? inside(shapes[i], turned) : shapes[i];
        node[i] = blo_graph_input(t->graph, "x", dtype, 4, shape);
        if (last && i != 1)
            node[i] = blo_permute(node[i], to_first);
        int64_t count = shapes[i][0] * shapes[i][1] * shapes[i][2] * shapes[i][3];
        t->host[i] = malloc((size_t)count * sizeof(double) + 8);
        for (int64_t j = 0; j < count; j++)
            t->host[i][j] = (double)draw(-1000, 1000) / 1024;
        void *data = as_dtype(dtype, t->host[i], count);
        must(blo_tensor_create(context, dtype, 4, shape, data, &t->in[i]));
        free(data);
        for (int64_t j = 0; j < count && expressions; j++)
            t->host[i][j] = sin(t->host[i][j]);
        if (expressions)
            node[i] = blo_sin(node[i]);
    }
    out[0] = blo_conv2d(node[0], node[1], g.stride, g.padding, g.dilation, g.groups);
    out[1] = blo_conv2d_input(node[2], node[1], &x[2], g.stride, g.padding, g.dilation, g.groups);
    out[2] = blo_conv2d_weight(node[0], node[2], &w[2], g.stride, g.padding, g.dilation, g.groups);
    blo_node *wanted[3];
    int n = 0;
    for (int i = 0; i < 3; i++)
        if (forms >> i & 1) {
            bool turn = last && i != 2;
            must(
                blo_tensor_create(context, dtype, 4, turn ? inside(results[i], turned) : results[i], NULL, &t->out[n]));
            wanted[n++] = turn ? blo_permute(out[i], to_last) : out[i];
        }
    if (blo_graph_status(t->graph) != BLO_OK)
        fprintf(stderr, "%s\n", blo_graph_error(t->graph));
    must(blo_function_create(context, n, wanted, &t->function));
}

static void run_problem(const problem *t, int n) {
    must(blo_function_call(t->function, 3, t->in, n, t->out));
}

static void close_problem(problem *t) {
    blo_function_destroy(t->function);
    blo_graph_destroy(t->graph);
    for (int i = 0; i < 3; i++) {
        blo_tensor_destroy(t->in[i]);
        blo_tensor_destroy(t->out[i]);
        free(t->host[i]);
    }
}

/* Where element I of [N,C,…], C CHANNELS of PIXELS each, lies with the channels last. */
static int64_t place_last(int64_t i, int64_t channels, int64_t pixels) {
    return (i / (channels * pixels) * pixels + i % pixels) * channels + i / pixels % channels;
}

/* The host's copy of operand WHICH, from channels last. */
static void channels_first(problem *t, int which) {
    const geometry *g = &t->g;
    const int64_t channels = which == 0 ? g->c : g->o, pixels = which == 0 ? g->h * g->w : g->p * g->q,
                  count = g->n * channels * pixels;
    if (which == 1) /* the weight lies as it always does */
        return;
    double *turned = malloc((size_t)count * sizeof *turned + 8);
    for (int64_t i = 0; i < count; i++)
        turned[i] = t->host[which][place_last(i, channels, pixels)];
    free(t->host[which]);
    t->host[which] = turned;
}

static void compare(const problem *t, int form, const double *wanted, int64_t count, double terms) {
    static const char *const names[3] = {"conv2d", "conv2d_input", "conv2d_weight"};
    const geometry *g = &t->g;
    void *got = malloc(blo_tensor_bytes(t->out[form]) + 8);
    must(blo_tensor_download(t->out[form], got, blo_tensor_bytes(t->out[form])));
    /* terms of at most 1, rounded as often */
    double limit = (t->dtype == BLO_DOUBLE ? 2.3e-16 : 1.2e-7) * (terms + 4) * (terms + 4);
    const int64_t channels = form == 0 ? g->o : g->c, pixels = form == 0 ? g->p * g->q : g->h * g->w;
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = t->last && form != 2 ? place_last(i, channels, pixels) : i;
        double value = t->dtype == BLO_DOUBLE ? ((double *)got)[at] : (double)((float *)got)[at];
        ck_assert_msg(fabs(value - wanted[i]) <= limit,
                      "%s %s of [%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "], weight [%" PRId64 ",,%" PRId64
                      ",%" PRId64 "], stride %" PRId64 ",%" PRId64 " padding %" PRId64 ",%" PRId64 " dilation %" PRId64
                      ",%" PRId64 " groups %" PRId64 ": element %" PRId64 " is %.9g, want %.9g",
                      blo_dtype_name(t->dtype), names[form], g->n, g->c, g->h, g->w, g->o, g->r, g->s, g->stride[0],
                      g->stride[1], g->padding[0], g->padding[1], g->dilation[0], g->dilation[1], g->groups, i, value,
                      wanted[i]);
    }
    free(got);
}

static void check_forms(geometry g, blo_dtype dtype, bool expressions, bool last) {
    problem t;
    open_problem(&t, g, dtype, expressions, last, 7);
    run_problem(&t, 3);
    int64_t counts[3] = {g.n * g.o * g.p * g.q, g.n * g.c * g.h * g.w, g.o * (g.c / g.groups) * g.r * g.s};
    double *sums[3];
    for (int i = 0; i < 3; i++)
        sums[i] = calloc((size_t)counts[i] + 1, sizeof(double));
    for (int i = 0; i < 3 && last; i++)
        channels_first(&t, i);
    reference(&g, sums[0], t.host[0], sums[1], t.host[1], sums[2], t.host[2]);
    double terms[3] = {(double)(g.c / g.groups * g.r * g.s), (double)(g.o / g.groups * g.r * g.s),
                       (double)(g.n * g.p * g.q)};
    for (int i = 0; i < 3; i++) {
        compare(&t, i, sums[i], counts[i], terms[i]);
        free(sums[i]);
    }
    close_problem(&t);
}

START_TEST(kernels_match) {
    for (int round = 0; round < ROUNDS; round++)
        check_forms(draw_geometry(), _i ? BLO_DOUBLE : BLO_FLOAT, round % 3 == 1, false);
}
END_TEST

/* What random geometries seldom are: layers of networks, of few input channels, of lines that one tile holds, of images
 * that one tile holds. */
static const geometry networks[] = {
    {.n = 2, .c = 1, .h = 17, .w = 17, .o = 32, .r = 3, .s = 3, .stride = {1, 1}, .padding = {1, 1}, .groups = 1},
    {.n = 2, .c = 4, .h = 9, .w = 11, .o = 64, .r = 3, .s = 2, .stride = {1, 2}, .padding = {1, 0}, .groups = 2},
    {.n = 3, .c = 32, .h = 14, .w = 14, .o = 32, .r = 3, .s = 3, .stride = {1, 1}, .padding = {1, 1}, .groups = 1},
    {.n = 3, .c = 32, .h = 3, .w = 3, .o = 48, .r = 3, .s = 3, .stride = {1, 1}, .padding = {1, 1}, .groups = 1},
    {.n = 3, .c = 32, .h = 7, .w = 5, .o = 32, .r = 3, .s = 5, .stride = {2, 1}, .padding = {1, 2}, .groups = 2},
    {.n = 2, .c = 16, .h = 2, .w = 2, .o = 32, .r = 5, .s = 5, .stride = {1, 1}, .padding = {2, 2}, .groups = 1},
};

START_TEST(layers_match) {
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        geometry g = networks[i];
        g.dilation[0] = g.dilation[1] = 1;
        g.p = windows(g.h, g.r, g.stride[0], g.padding[0], 1);
        g.q = windows(g.w, g.s, g.stride[1], g.padding[1], 1);
        check_forms(g, _i ? BLO_DOUBLE : BLO_FLOAT, false, true);
        check_forms(g, _i ? BLO_DOUBLE : BLO_FLOAT, true, false);
    }
}
END_TEST

/* --- timing --- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench(int64_t images, int64_t channels, int64_t size) {
    enum { RUNS = 15 };
    static const char *const names[3] = {"output", "to the image", "to the weight"};
    geometry g = {.n = images, .c = channels, .h = size, .w = size, .o = 64, .r = 3, .s = 3, .p = size, .q = size};
    g.groups = g.stride[0] = g.stride[1] = g.padding[0] = g.padding[1] = g.dilation[0] = g.dilation[1] = 1;
    double flops = 2.0 * (double)(images * size * size * 64 * channels * 9);
    for (int form = 0; form < 3; form++) {
        double seconds[RUNS], busy = 0;
        problem t;
        open_problem(&t, g, BLO_FLOAT, false, true, 1u << form);
        for (int run = -2; run < RUNS; run++) {
            double start = blo_seconds();
            clock_t used = clock();
            run_problem(&t, 1);
            must(blo_context_finish(context));
            if (run >= 0) {
                seconds[run] = blo_seconds() - start;
                busy += (double)(clock() - used) / CLOCKS_PER_SEC / RUNS;
            }
        }
        qsort(seconds, RUNS, sizeof(double), by_value);
        printf(
            "%4lld images %3lld x %2lld x %2lld -> 64, %-13s %8.3f ms %6.1f GFLOP/s; the best %8.3f ms %6.1f GFLOP/s; "
            "%6.1f GFLOP per second of a core\n",
            (long long)images, (long long)channels, (long long)size, (long long)size, names[form],
            1e3 * seconds[RUNS / 2], 1e-9 * flops / seconds[RUNS / 2], 1e3 * seconds[0], 1e-9 * flops / seconds[0],
            1e-9 * flops / busy);
        close_problem(&t);
    }
}

static int run_tests(void) {
    Suite *suite = suite_create("convolution");
    TCase *kernels = tcase_create("kernels");
    printf("seed %" PRIu64 "\n", random_state);
    tcase_set_timeout(kernels, 300);
    tcase_add_loop_test(kernels, kernels_match, 0, 2);
    tcase_add_loop_test(kernels, layers_match, 0, 2);
    suite_add_tcase(suite, kernels);
    return run_suite_here(suite);
}

int main(int argc, char **argv) {
    char message[512];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    int status = 0;
    if (argc > 1 && !strcmp(argv[1], "--bench")) {
        static const int64_t layers[4][2] = {{1, 28}, {64, 14}, {64, 7}, {64, 3}};
        for (int i = 0; i < 4; i++)
            bench(argc > 2 ? atoll(argv[2]) : 80, layers[i][0], layers[i][1]);
    } else
        status = run_tests();
    blo_context_destroy(context);
    return status;
}
