/* Gradient checks: first and second order of every case of support/cases.c in double, by central differences of the
 * interpreter; and the same values and derivatives through compiled plans on the device. And the conventions at the
 * kinks. */
#include <inttypes.h>

#include "../support.h"
#include "graph/graph.h"
#include "support/cases.h"
#include "support/interpret.h"

enum { MAX_INPUTS = 3, MAX_OUTPUTS = 2 + 2 * MAX_INPUTS };
static const double tolerance = 1e-6;

static uint64_t random_state = 20260101;

static double draw(double lo, double hi) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return lo + (hi - lo) * (double)(random_state >> 11) * 0x1p-53;
}

/* L = sum of w f(x), its gradients g_i, M = sum over i of sum w_i g_i, its gradients h_i. */
typedef struct scene {
    blo_graph *graph;
    int n;
    blo_node *x[MAX_INPUTS], *outputs[MAX_OUTPUTS]; /* L, M, g_0 …, h_0 … */
    double *data[MAX_INPUTS];
} scene;

static blo_node *weighted_sum(blo_node *a) { /* weights without pattern: sin(1 + 3 i + axis) of every axis */
    blo_node *w = blo_full_like(a, 0.7);
    for (int axis = 0; axis < a->rank; axis++)
        w = blo_mul(w, blo_shift(blo_sin(blo_shift(
                                     blo_scale(blo_iota(a->graph, BLO_DOUBLE, a->rank, a->shape, axis), 3), 1 + axis)),
                                 1.5));
    return blo_sum(blo_mul(a, w));
}

static bool open_scene(scene *s, const blo_case *c, int variant) {
    int64_t shape[BLO_MAX_RANK];
    *s = (scene){.n = c->n};
    if (blo_case_shape(c, variant, 0, shape) < 0)
        return false;
    ck_assert_int_eq(blo_graph_create(&s->graph), BLO_OK);
    for (int i = 0; i < c->n; i++) {
        int rank = blo_case_shape(c, variant, i, shape);
        s->x[i] = blo_graph_input(s->graph, "x", BLO_DOUBLE, rank, shape);
        s->data[i] = malloc((size_t)(s->x[i]->count + 1) * sizeof(double));
        for (int64_t j = 0; j < s->x[i]->count; j++)
            s->data[i][j] = draw(c->lo, c->hi);
    }
    blo_node **g = s->outputs + 2, **h = g + c->n;
    s->outputs[0] = weighted_sum(c->build(s->x));
    ck_assert_msg(blo_gradient(s->outputs[0], c->n, s->x, g) == BLO_OK, "%s variant %d: %s", c->name, variant,
                  blo_graph_error(s->graph));
    s->outputs[1] = weighted_sum(g[0]);
    for (int i = 1; i < c->n; i++)
        s->outputs[1] = blo_add(s->outputs[1], weighted_sum(g[i]));
    ck_assert_msg(blo_gradient(s->outputs[1], c->n, s->x, h) == BLO_OK, "%s variant %d: %s", c->name, variant,
                  blo_graph_error(s->graph));
    return true;
}

static void close_scene(scene *s) {
    for (int i = 0; i < s->n; i++)
        free(s->data[i]);
    blo_graph_destroy(s->graph);
}

/* Outputs FROM … FROM+N-1 by the interpreter. */
static void interpret(const scene *s, int from, int n, double **values) {
    const void *inputs[MAX_INPUTS];
    void *targets[MAX_OUTPUTS];
    for (int i = 0; i < s->n; i++)
        inputs[i] = s->data[i];
    for (int i = 0; i < n; i++)
        targets[i] = values[i];
    ck_assert_int_eq(blo_interpret(n, s->outputs + from, inputs, targets), 0);
}

static double scalar(const scene *s, int output) {
    double value, *values[1] = {&value};
    interpret(s, output, 1, values);
    return value;
}

/* d OUTPUT / d element, by central differences with one step of Richardson's extrapolation. */
static double difference(const scene *s, int output, double *element) {
    const double h = 1e-3, at = *element;
    double slope[2];
    for (int i = 0; i < 2; i++) {
        double step = h / (1 + i);
        *element = at + step;
        double up = scalar(s, output);
        *element = at - step;
        slope[i] = (up - scalar(s, output)) / (2 * step);
    }
    *element = at;
    return (4 * slope[1] - slope[0]) / 3;
}

static bool near(double a, double b, double limit) {
    return fabs(a - b) <= limit * fmax(1, fmax(fabs(a), fabs(b)));
}

START_TEST(derivatives_match_differences) {
    const blo_case *c = &blo_cases[_i];
    enum { MOST_ELEMENTS = 6 }; /* of large inputs, some */
    scene s;
    for (int variant = 0; open_scene(&s, c, variant); variant++) {
        for (int order = 0; order < 2; order++)
            for (int i = 0; i < s.n; i++) {
                int64_t count = s.x[i]->count, stride = count > MOST_ELEMENTS ? count / MOST_ELEMENTS : 1;
                double *value = malloc((size_t)(count + 1) * sizeof *value);
                interpret(&s, 2 + order * s.n + i, 1, &value);
                for (int64_t j = 0; j < count; j += stride) {
                    double d = difference(&s, order, &s.data[i][j]);
                    ck_assert_msg(near(value[j], d, tolerance),
                                  "%s variant %d: order %d by input %d element %" PRId64
                                  " is %.12g, differences give %.12g",
                                  c->name, variant, order + 1, i, j, value[j], d);
                }
                free(value);
            }
        close_scene(&s);
    }
}
END_TEST

/* --- on the device --- */

static void check_on_device(blo_context *context, const scene *s, const char *name, int variant) {
    const double limit = 1e-11; /* a few hundred roundings of double */
    int n = 2 + 2 * s->n;
    blo_function *function = NULL;
    blo_tensor *in[MAX_INPUTS] = {NULL}, *out[MAX_OUTPUTS] = {NULL};
    double *wanted[MAX_OUTPUTS];
    ck_assert_msg(blo_function_create(context, n, s->outputs, &function) == BLO_OK, "%s: %s", name,
                  blo_context_error(context));
    for (int i = 0; i < s->n; i++)
        ck_assert_int_eq(blo_tensor_create(context, BLO_DOUBLE, s->x[i]->rank, s->x[i]->shape, s->data[i], &in[i]),
                         BLO_OK);
    for (int i = 0; i < n; i++) {
        wanted[i] = malloc((size_t)(s->outputs[i]->count + 1) * sizeof(double));
        ck_assert_int_eq(
            blo_tensor_create(context, BLO_DOUBLE, s->outputs[i]->rank, s->outputs[i]->shape, NULL, &out[i]), BLO_OK);
    }
    interpret(s, 0, n, wanted);
    ck_assert_msg(blo_function_call(function, s->n, in, n, out) == BLO_OK, "%s: %s", name, blo_context_error(context));
    for (int i = 0; i < n; i++) {
        double *got = malloc((size_t)(s->outputs[i]->count + 1) * sizeof *got);
        ck_assert_int_eq(blo_tensor_download(out[i], got, blo_tensor_bytes(out[i])), BLO_OK);
        for (int64_t j = 0; j < s->outputs[i]->count; j++)
            ck_assert_msg(near(got[j], wanted[i][j], limit),
                          "%s variant %d: output %d element %" PRId64 " is %.17g on the device, %.17g interpreted",
                          name, variant, i, j, got[j], wanted[i][j]);
        free(got);
        free(wanted[i]);
        blo_tensor_destroy(out[i]);
    }
    for (int i = 0; i < s->n; i++)
        blo_tensor_destroy(in[i]);
    blo_function_destroy(function);
}

START_TEST(the_device_computes_the_same) {
    blo_context *context = open_context(0);
    scene s;
    for (int c = 0; c < blo_n_cases; c++)
        for (int variant = c % 2; open_scene(&s, &blo_cases[c], variant);
             variant += 3) { /* every third shape: each is a program to build */
            check_on_device(context, &s, blo_cases[c].name, variant);
            close_scene(&s);
        }
    blo_context_destroy(context);
}
END_TEST

/* --- kinks --- */

/* d sum(f(x)) / dx at the values of X[n], all in one vector. */
static void slopes(blo_node *(*build)(blo_node **), int64_t n, const double *x, double *slope) {
    blo_graph *graph;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *input = blo_graph_input(graph, "x", BLO_DOUBLE, 1, &n), *gradient;
    ck_assert_int_eq(blo_gradient(blo_sum(build(&input)), 1, &input, &gradient), BLO_OK);
    const void *in[1] = {x};
    void *out[1] = {slope};
    ck_assert_int_eq(blo_interpret(1, &gradient, in, out), 0);
    blo_graph_destroy(graph);
}

static blo_node *k_relu(blo_node **x) {
    return blo_relu(x[0]);
}

static blo_node *k_abs(blo_node **x) {
    return blo_abs(x[0]);
}

static blo_node *k_clamp(blo_node **x) {
    return blo_clamp(x[0], 0, 1);
}

static blo_node *k_maximum(blo_node **x) {
    return blo_maximum(x[0], blo_zeros_like(x[0]));
}

static blo_node *k_minimum(blo_node **x) {
    return blo_minimum(x[0], blo_zeros_like(x[0]));
}

static blo_node *k_max_axes(blo_node **x) {
    const int axis[1] = {0};
    return blo_max_axes(x[0], 1, axis, false);
}

static blo_node *k_norm(blo_node **x) {
    return blo_norm(x[0]);
}

START_TEST(conventions_at_the_kinks) {
    static const struct {
        const char *name;
        blo_node *(*build)(blo_node **);
        double x[4], slope[4];
    } kinks[] = {
        {"relu", k_relu, {0, -1, 1, 0}, {0, 0, 1, 0}},
        {"abs", k_abs, {0, -1, 1, 0}, {0, -1, 1, 0}},
        {"clamp", k_clamp, {0, 1, -1, 2}, {1, 1, 0, 0}},
        {"maximum", k_maximum, {0, 1, -1, 0}, {0.5, 1, 0, 0.5}},
        {"minimum", k_minimum, {0, 1, -1, 0}, {0.5, 0, 1, 0.5}},
        {"max over an axis", k_max_axes, {2, 1, 2, 0}, {0.5, 0, 0.5, 0}},
        {"norm", k_norm, {0, 0, 0, 0}, {0, 0, 0, 0}},
    };
    for (size_t k = 0; k < sizeof kinks / sizeof kinks[0]; k++) {
        double slope[4];
        slopes(kinks[k].build, 4, kinks[k].x, slope);
        for (int i = 0; i < 4; i++)
            ck_assert_msg(slope[i] == kinks[k].slope[i], "%s at %g: %g", kinks[k].name, kinks[k].x[i], slope[i]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gradient");
    TCase *graph = tcase_create("interpreter"), *device = tcase_create("device");
    printf("seed %" PRIu64 "\n", random_state);
    tcase_set_timeout(graph, 120);
    tcase_set_timeout(device, 600);
    tcase_add_loop_test(graph, derivatives_match_differences, 0, blo_n_cases);
    tcase_add_test(graph, conventions_at_the_kinks);
    tcase_add_test(device, the_device_computes_the_same);
    suite_add_tcase(suite, graph);
    suite_add_tcase(suite, device);
    return run_suite_here(suite);
}
