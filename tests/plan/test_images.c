/* Passes over images, channels last, against plain C and against themselves one by one: max pooling of what is computed
 * element by element, ties and negative values among it, sums per channel that are found while an image is written, and
 * the statistics of a batch. Prints its seed. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clbilevel/clbilevel.h>

#include "../support/suite.h"
#include "device/opencl.h"
#include "graph/graph.h"
#include "plan/plan.h"

enum { ROUNDS = 12, MOST = 10 };
static blo_context *context;
static uint64_t random_state = 20260404;

static int64_t draw(int64_t lo, int64_t hi) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return lo + (int64_t)((random_state >> 33) % (uint64_t)(hi - lo + 1));
}

/* --- graphs with inputs of random values --- */

typedef struct scene {
    blo_graph *graph;
    int n;
    blo_node *nodes[MOST];
    float *values[MOST]; /* of double inputs too: what the numbers are */
} scene;

static blo_node *add_input(scene *s, blo_dtype dtype, int rank, const int64_t *shape, double unit) {
    blo_node *node = blo_graph_input(s->graph, "x", dtype, rank, shape);
    float *values = malloc((size_t)node->count * sizeof *values);
    for (int64_t i = 0; i < node->count; i++)
        values[i] = (float)(unit * (double)draw(-1000, 1000) / 1000);
    s->values[s->n] = values;
    return s->nodes[s->n++] = node;
}

static void open_scene(scene *s) {
    *s = (scene){0};
    ck_assert_int_eq(blo_graph_create(&s->graph), BLO_OK);
}

static void close_scene(scene *s) {
    for (int i = 0; i < s->n; i++)
        free(s->values[i]);
    blo_graph_destroy(s->graph);
}

static blo_tensor *upload(const scene *s, int i) {
    const blo_node *node = s->nodes[i];
    blo_tensor *tensor = NULL;
    void *data = malloc((size_t)node->count * sizeof(double));
    for (int64_t j = 0; j < node->count; j++)
        if (node->dtype == BLO_FLOAT)
            ((float *)data)[j] = s->values[i][j];
        else
            ((double *)data)[j] = (double)s->values[i][j];
    ck_assert_int_eq(blo_tensor_create(context, node->dtype, node->rank, node->shape, data, &tensor), BLO_OK);
    free(data);
    return tensor;
}

/* The N outputs by one plan: malloc'ed arrays RESULTS[n]. */
static void run(const scene *s, int n, blo_node *const *outputs, void **results) {
    blo_tensor *in[MOST], *out[MOST];
    blo_function *function = NULL;
    for (int i = 0; i < s->n; i++)
        in[i] = upload(s, i);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(
            blo_tensor_create(context, outputs[i]->dtype, outputs[i]->rank, outputs[i]->shape, NULL, &out[i]), BLO_OK);
    ck_assert_msg(blo_function_create(context, n, outputs, &function) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_msg(blo_function_call(function, s->n, in, n, out) == BLO_OK, "%s", blo_context_error(context));
    for (int i = 0; i < n; i++) {
        results[i] = malloc(blo_tensor_bytes(out[i]) + 1);
        ck_assert_int_eq(blo_tensor_download(out[i], results[i], blo_tensor_bytes(out[i])), BLO_OK);
        blo_tensor_destroy(out[i]);
    }
    blo_function_destroy(function);
    for (int i = 0; i < s->n; i++)
        blo_tensor_destroy(in[i]);
}

static int launches(int n, blo_node *const *outputs) {
    blo_plan *plan = NULL;
    ck_assert_msg(blo_plan_create(context, n, outputs, NULL, &plan) == BLO_OK, "%s", blo_context_error(context));
    int count = blo_plan_launches(plan);
    blo_plan_destroy(plan);
    return count;
}

/* --- max pooling of relu(x * scale + shift) --- */

static const int to_first[4] = {0, 3, 1, 2}, to_last[4] = {0, 2, 3, 1};

/* V [C] for every place of X [N,C,H,W]. */
static blo_node *per_channel(blo_node *v, blo_node *x) {
    static const int channel[1] = {1};
    return blo_node_broadcast(v, 4, x->shape, channel);
}

typedef struct pooling {
    int64_t kernel, stride, n, h, w, c, p, q;
} pooling;

/* The first place of the maximum of a window of Z [N,H,W,C]. */
static int64_t first_maximum(const pooling *o, const float *z, int64_t n, int64_t p, int64_t q, int64_t c) {
    int64_t best = -1;
    for (int64_t r = 0; r < o->kernel; r++)
        for (int64_t s = 0; s < o->kernel; s++) {
            int64_t at = ((n * o->h + p * o->stride + r) * o->w + q * o->stride + s) * o->c + c;
            if (best < 0 || z[at] > z[best])
                best = at;
        }
    return best;
}

static void check_pooled(const pooling *o, const scene *s, void *const *results) {
    const float *z = results[0], *pooled = results[1], *gx = results[2], *gscale = results[3];
    const float *x = s->values[0], *scale = s->values[1], *g = s->values[3];
    double *wanted = calloc((size_t)(o->n * o->h * o->w * o->c), sizeof *wanted);
    double *sums = calloc((size_t)o->c, sizeof *sums);
    for (int64_t i = 0; i < o->n * o->p * o->q * o->c; i++) {
        const int64_t c = i % o->c, q = i / o->c % o->q, p = i / o->c / o->q % o->p, n = i / o->c / o->q / o->p;
        const int64_t at = first_maximum(o, z, n, p, q, c);
        ck_assert_msg(pooled[i] == z[at], "pooled element %" PRId64 " is %.9g, the maximum is %.9g", i,
                      (double)pooled[i], (double)z[at]);
        if (z[at] > 0) {
            wanted[at] += (double)g[i] * (double)scale[c];
            sums[c] += (double)g[i] * (double)x[at];
        }
    }
    for (int64_t i = 0; i < o->n * o->h * o->w * o->c; i++)
        ck_assert_msg(fabs((double)gx[i] - wanted[i]) <= 1e-5, "gradient %" PRId64 " is %.9g, not %.9g", i,
                      (double)gx[i], wanted[i]);
    for (int64_t c = 0; c < o->c; c++)
        ck_assert_msg(fabs((double)gscale[c] - sums[c]) <= 1e-4 * fmax(1, fabs(sums[c])),
                      "gradient of scale %" PRId64 " is %.9g, not %.9g", c, (double)gscale[c], sums[c]);
    free(wanted);
    free(sums);
}

static void pool_round(int64_t kernel, int64_t stride) {
    scene s;
    open_scene(&s);
    pooling o = {.kernel = kernel, .stride = stride, .n = draw(1, 4), .h = draw(4, 9), .w = draw(4, 9)};
    o.c = draw(0, 1) ? draw(1, 20) : 16 * draw(1, 4);
    o.p = (o.h - kernel) / stride + 1;
    o.q = (o.w - kernel) / stride + 1;
    const int64_t image[4] = {o.n, o.h, o.w, o.c}, small[4] = {o.n, o.p, o.q, o.c};
    blo_node *in = add_input(&s, BLO_FLOAT, 4, image, 1);
    blo_node *scale = add_input(&s, BLO_FLOAT, 1, &o.c, 2), *shift = add_input(&s, BLO_FLOAT, 1, &o.c, 0.5);
    blo_node *g = add_input(&s, BLO_FLOAT, 4, small, 1);
    for (int64_t i = 0; i < in->count; i++) /* few different values: ties */
        s.values[0][i] = floorf(s.values[0][i] * 3) / 4;
    blo_node *x = blo_permute(in, to_first);
    blo_node *z = blo_relu(blo_add(blo_mul(x, per_channel(scale, x)), per_channel(shift, x)));
    const int64_t kernels[2] = {kernel, kernel}, strides[2] = {stride, stride};
    blo_node *pooled = blo_permute(blo_max_pool2d(z, kernels, strides, NULL), to_last);
    blo_node *wrt[2] = {in, scale}, *gradients[2], *loss = blo_sum(blo_mul(pooled, g));
    ck_assert_int_eq(blo_gradient(loss, 2, wrt, gradients), BLO_OK);
    void *results[MOST];
    run(&s, 4, (blo_node *[]){blo_permute(z, to_last), pooled, gradients[0], gradients[1]}, results);
    check_pooled(&o, &s, results);
    for (int i = 0; i < 4; i++)
        free(results[i]);
    close_scene(&s);
}

START_TEST(a_window_takes_the_first_maximum_of_what_is_computed) {
    for (int round = 0; round < ROUNDS; round++) {
        pool_round(2, 2);
        pool_round(3, 2);
        pool_round(2, 3);
    }
}
END_TEST

/* f(x) is made of what is taken of x: nothing is summed, or computed, for all of the image. */
START_TEST(what_is_computed_for_pooling_is_computed_for_windows) {
    scene s;
    open_scene(&s);
    const int64_t shape[4] = {2, 8, 8, 16}, c = 16, two[2] = {2, 2};
    blo_node *in = add_input(&s, BLO_FLOAT, 4, shape, 1), *scale = add_input(&s, BLO_FLOAT, 1, &c, 1), *gradient;
    blo_node *x = blo_permute(in, to_first), *z = blo_relu(blo_mul(x, per_channel(scale, x)));
    blo_node *pooled = blo_max_pool2d(z, two, NULL, NULL), *loss = blo_sum(blo_square(pooled));
    ck_assert_int_eq(blo_gradient(loss, 1, &scale, &gradient), BLO_OK);
    bool *live = calloc((size_t)blo_graph_nodes(s.graph), sizeof *live);
    blo_graph_mark_live(1, &gradient, live);
    for (int id = 0; id < blo_graph_nodes(s.graph); id++) {
        const blo_node *node = blo_graph_node(s.graph, id);
        ck_assert(!live[id] || node->op != BLO_OP_POOL_TAKE || node->in[0] == in);
        ck_assert(!live[id] || node->op != BLO_OP_SUM || node->in[0]->count <= in->count / 4);
        ck_assert(!live[id] || node->op != BLO_OP_POOL_PUT);
    }
    free(live);
    close_scene(&s);
}
END_TEST

/* --- sums per channel of an image that is written --- */

/* Of images [TASKS,N,H,W,C]: d = y - mean(y); d * scale + g, and sums of it, of d g and of g. */
static int build_sums(scene *s, blo_dtype dtype, const int64_t *shape, blo_node **outputs) {
    static const int axes[3] = {1, 2, 3}, ends[2] = {0, 4};
    const int64_t results[2] = {shape[0], shape[4]};
    blo_node *y = add_input(s, dtype, 5, shape, 1), *g = add_input(s, dtype, 5, shape, 1);
    blo_node *scale = add_input(s, dtype, 2, results, 1);
    blo_node *mean = blo_mean_axes(y, 3, axes, false);
    blo_node *d = blo_sub(y, blo_node_broadcast(mean, 5, shape, ends));
    outputs[0] = blo_add(blo_mul(d, blo_node_broadcast(scale, 5, shape, ends)), g);
    outputs[1] = blo_sum_axes(outputs[0], 3, axes, false);
    outputs[2] = blo_sum_axes(blo_mul(d, g), 3, axes, false);
    outputs[3] = blo_sum_axes(g, 3, axes, false);
    return 4;
}

static double at(const void *data, blo_dtype dtype, int64_t i) {
    return dtype == BLO_FLOAT ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

static void check_sums(const scene *s, blo_dtype dtype, const int64_t *shape, void *const *results) {
    const int64_t channels = shape[4], places = shape[1] * shape[2] * shape[3];
    const double tolerance = dtype == BLO_FLOAT ? 1e-4 : 1e-11;
    for (int64_t result = 0; result < shape[0] * channels; result++) {
        const int64_t start = result / channels * places * channels + result % channels;
        double mean = 0, sums[3] = {0};
        for (int64_t i = 0; i < places; i++)
            mean += (double)s->values[0][start + i * channels] / (double)places;
        for (int64_t i = start; i < start + places * channels; i += channels) {
            const double d = (double)s->values[0][i] - mean, g = (double)s->values[1][i];
            const double image = d * (double)s->values[2][result] + g;
            ck_assert(fabs(at(results[0], dtype, i) - image) <= tolerance);
            sums[0] += image;
            sums[1] += d * g;
            sums[2] += g;
        }
        for (int i = 0; i < 3; i++)
            ck_assert_msg(fabs(at(results[1 + i], dtype, result) - sums[i]) <= tolerance * sqrt((double)places),
                          "sum %d, result %" PRId64 " is %.17g, not %.17g", i, result,
                          at(results[1 + i], dtype, result), sums[i]);
    }
}

static void sum_round(blo_dtype dtype, const int64_t *shape, bool joins) {
    scene s;
    open_scene(&s);
    blo_node *outputs[MOST];
    void *together[MOST], *alone[MOST];
    int n = build_sums(&s, dtype, shape, outputs), singly = 0;
    run(&s, n, outputs, together);
    check_sums(&s, dtype, shape, together);
    for (int i = 0; i < n; i++) {
        run(&s, 1, &outputs[i], &alone[i]);
        singly += launches(1, &outputs[i]);
        ck_assert_msg(!memcmp(together[i], alone[i], (size_t)outputs[i]->count * blo_dtype_size(dtype)),
                      "output %d of %" PRId64 " channels: not the bits of a plan of its own", i, shape[4]);
    }
    /* the mean is found three times singly, by two launches, and once together; three sums and an image by two launches
     */
    if (joins)
        ck_assert_int_le(launches(n, outputs), 4);
    ck_assert_int_lt(launches(n, outputs), singly);
    for (int i = 0; i < n; i++) {
        free(together[i]);
        free(alone[i]);
    }
    close_scene(&s);
}

START_TEST(sums_found_while_an_image_is_written) {
    const int64_t channels[] = {32, 33, 40, 64, 96, 130};
    bool has_double = blo_context_has_double(context);
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        const int64_t shape[5] = {draw(1, 3), draw(2, 4), draw(25, 30), draw(21, 25), channels[i]};
        sum_round(BLO_FLOAT, shape, true);
        if (has_double)
            sum_round(BLO_DOUBLE, shape, true);
    }
    sum_round(BLO_FLOAT, (const int64_t[]){1, 3, 20, 20, 5}, false);
    sum_round(BLO_FLOAT, (const int64_t[]){2, 1, 10, 10, 64}, false);
}
END_TEST

/* --- statistics of a batch --- */

static void statistics_round(blo_dtype dtype, const int64_t *shape, bool joins) {
    scene s;
    open_scene(&s);
    const int64_t channels = shape[3], places = shape[0] * shape[1] * shape[2];
    blo_node *in = add_input(&s, dtype, 4, shape, 1), *outputs[2];
    for (int64_t i = 0; i < in->count; i++) /* far from 0; the first channel is constant */
        s.values[0][i] = i % channels == 0 ? 12345.678f : s.values[0][i] + 100;
    ck_assert_int_eq(blo_batch_statistics(blo_permute(in, to_first), &outputs[0], &outputs[1]), BLO_OK);
    if (joins) /* sums and squares of ranges, what they are together, the variance */
        ck_assert_int_le(launches(1, &outputs[1]), 3);
    void *together[2], *alone;
    run(&s, 2, outputs, together);
    run(&s, 1, &outputs[1], &alone);
    ck_assert(!memcmp(alone, together[1], (size_t)channels * blo_dtype_size(dtype)));
    const double tolerance = dtype == BLO_FLOAT ? 2e-5 : 1e-12;
    for (int64_t c = 0; c < channels; c++) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < places; i++)
            mean += (double)s.values[0][i * channels + c] / (double)places;
        for (int64_t i = 0; i < places; i++)
            variance += pow((double)s.values[0][i * channels + c] - mean, 2) / (double)places;
        const double got = at(together[1], dtype, c);
        ck_assert(fabs(at(together[0], dtype, c) - mean) <= tolerance * mean);
        ck_assert_msg(got >= 0, "the variance of channel %" PRId64 " is %.17g", c, got);
        if (c > 0)
            ck_assert_msg(fabs(got - variance) <= tolerance * variance,
                          "the variance of channel %" PRId64 " is %.17g, not %.17g", c, got, variance);
        else /* what the mean's rounding leaves */
            ck_assert(got <= pow(tolerance * mean, 2));
    }
    for (int i = 0; i < 2; i++)
        free(together[i]);
    free(alone);
    close_scene(&s);
}

START_TEST(statistics_of_a_batch_by_one_pass) {
    const int64_t channels[] = {32, 40, 64, 130};
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++) {
        const int64_t shape[4] = {draw(2, 4), draw(25, 30), draw(21, 25), channels[i]};
        statistics_round(BLO_FLOAT, shape, true);
        if (blo_context_has_double(context))
            statistics_round(BLO_DOUBLE, shape, true);
    }
    statistics_round(BLO_FLOAT, (const int64_t[]){2, 21, 25, 4096}, false); /* items enough without ranges */
}
END_TEST

/* Devices that are no CPUs sum a batch and its squares by kernels of their own: here by teams. */
START_TEST(statistics_of_a_batch_on_other_devices) {
    context->facts.is_cpu = false;
    statistics_round(BLO_FLOAT, (const int64_t[]){16, 30, 25, 64}, false);
    context->facts.is_cpu = true;
}
END_TEST

/* However many other sums of the image stand before it, a variance has the bits that it has alone. */
START_TEST(companions_change_no_bit_of_a_variance) {
    enum { OTHERS = 7, CHANNELS = 32 };
    static const int all_but_channels[3] = {0, 1, 2};
    scene s;
    open_scene(&s);
    blo_node *in = add_input(&s, BLO_FLOAT, 4, (const int64_t[]){3, 25, 21, CHANNELS}, 1), *outputs[OTHERS + 2];
    for (int i = 0; i < OTHERS; i++)
        outputs[i] = blo_sum_axes(blo_exp(blo_scale(in, 0.1 * (i + 1))), 3, all_but_channels, false);
    ck_assert_int_eq(blo_batch_statistics(blo_permute(in, to_first), &outputs[OTHERS], &outputs[OTHERS + 1]), BLO_OK);
    void *together[OTHERS + 2], *alone;
    run(&s, OTHERS + 2, outputs, together);
    run(&s, 1, &outputs[OTHERS + 1], &alone);
    ck_assert(!memcmp(alone, together[OTHERS + 1], CHANNELS * sizeof(float)));
    for (int i = 0; i < OTHERS + 2; i++)
        free(together[i]);
    free(alone);
    close_scene(&s);
}
END_TEST

int main(void) {
    char message[512];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return EXIT_FAILURE;
    }
    printf("seed %" PRIu64 "\n", random_state);
    Suite *suite = suite_create("images");
    TCase *tcase = tcase_create("images");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, a_window_takes_the_first_maximum_of_what_is_computed);
    tcase_add_test(tcase, what_is_computed_for_pooling_is_computed_for_windows);
    tcase_add_test(tcase, sums_found_while_an_image_is_written);
    tcase_add_test(tcase, statistics_of_a_batch_by_one_pass);
    tcase_add_test(tcase, statistics_of_a_batch_on_other_devices);
    tcase_add_test(tcase, companions_change_no_bit_of_a_variance);
    suite_add_tcase(suite, tcase);
    int failed = run_suite_here(suite);
    blo_context_destroy(context);
    return failed;
}
