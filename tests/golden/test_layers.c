/* Layers and backbones against PyTorch's values, first and second derivatives (the folder layers, by make_layers.py),
 * in double, through compiled plans. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <clbilevel/clbilevel.h>

#include "../support/suite.h"
#include "golden_file.h"
#include "nn/model.h"

enum { MOST_OPERANDS = 64, DIGEST = 7 };
static const double tolerance = 1e-9;
static blo_context *context;

/* --- what is differentiated --- */

typedef struct layer {
    const char *name;
    blo_node *(*build)(blo_node **x);
    blo_status (*add)(blo_model *model); /* a backbone instead */
    blo_node *(*features)(const blo_bound_model *m, blo_node *x);
    int64_t image[4]; /* digest: the operands are patterns */
} layer;

static const int64_t one[2] = {1, 1}, two[2] = {2, 2}, three[2] = {3, 3};

static blo_node *conv2d(blo_node **x) {
    return blo_conv2d(x[0], x[1], NULL, one, NULL, 1);
}

static blo_node *conv2d_stride(blo_node **x) {
    return blo_conv2d(x[0], x[1], two, one, NULL, 1);
}

static blo_node *conv2d_dilation(blo_node **x) {
    return blo_conv2d(x[0], x[1], NULL, (const int64_t[]){2, 1}, two, 1);
}

static blo_node *conv2d_groups(blo_node **x) {
    return blo_conv2d(x[0], x[1], NULL, one, NULL, 2);
}

static blo_node *max_pool2d(blo_node **x) {
    return blo_square(blo_max_pool2d(x[0], two, NULL, NULL));
}

static blo_node *max_pool2d_overlapping(blo_node **x) {
    return blo_square(blo_max_pool2d(x[0], three, two, one));
}

static blo_node *max_pool2d_ties(blo_node **x) {
    return blo_square(blo_max_pool2d(x[0], three, one, NULL));
}

static blo_node *avg_pool2d(blo_node **x) {
    return blo_square(blo_avg_pool2d(x[0], two, NULL, NULL));
}

static blo_node *avg_pool2d_overlapping(blo_node **x) {
    return blo_square(blo_avg_pool2d(x[0], three, two, one));
}

static blo_node *leaky_relu(blo_node **x) {
    return blo_square(blo_leaky_relu(x[0], 0.1));
}

static blo_node *batch_norm(blo_node **x) {
    return blo_batch_norm(x[0], x[1], x[2], 1e-5);
}

static blo_node *normalize(blo_node **x) {
    static const double means[3] = {0.5, -1.0, 2.0}, variances[3] = {0.3, 1.0, 4.0};
    const int64_t three_channels[1] = {3};
    blo_node *index = blo_iota(blo_node_graph(x[0]), BLO_DOUBLE, 1, three_channels, 0), *mean = NULL, *variance = NULL;
    for (int c = 0; c < 3; c++) {
        blo_node *here = blo_cast(blo_equal(index, blo_constant(blo_node_graph(x[0]), BLO_DOUBLE, c)), BLO_DOUBLE);
        mean = c ? blo_add(mean, blo_scale(here, means[c])) : blo_scale(here, means[c]);
        variance = c ? blo_add(variance, blo_scale(here, variances[c])) : blo_scale(here, variances[c]);
    }
    return blo_square(blo_normalize(x[0], mean, variance, x[1], x[2], 1e-5));
}

static blo_node *layer_norm(blo_node **x) {
    return blo_layer_norm(x[0], 2, x[1], x[2], 1e-5);
}

static blo_node *group_norm(blo_node **x) {
    return blo_group_norm(x[0], 2, x[1], x[2], 1e-5);
}

static blo_status add_convnet(blo_model *model) {
    return blo_model_add_convnet(model, "", 2, 3, 2);
}

static blo_node *convnet(const blo_bound_model *model, blo_node *x) {
    return blo_model_convnet(model, "", x, 2, BLO_BLOCK_CONV_BN_RELU_POOL);
}

static blo_node *convnet_pool_first(const blo_bound_model *model, blo_node *x) {
    return blo_model_convnet(model, "", x, 2, BLO_BLOCK_CONV_RELU_POOL_BN);
}

static blo_status add_resnet12(blo_model *model) {
    return blo_model_add_resnet12(model, NULL, 1, 4);
}

static blo_node *resnet12(const blo_bound_model *model, blo_node *x) {
    return blo_model_resnet12(model, NULL, x);
}

static const layer layers[] = {
    {.name = "conv2d", .build = conv2d},
    {.name = "conv2d_stride", .build = conv2d_stride},
    {.name = "conv2d_dilation", .build = conv2d_dilation},
    {.name = "conv2d_groups", .build = conv2d_groups},
    {.name = "conv2d_large", .build = conv2d},
    {.name = "max_pool2d", .build = max_pool2d},
    {.name = "max_pool2d_overlapping", .build = max_pool2d_overlapping},
    {.name = "max_pool2d_ties", .build = max_pool2d_ties},
    {.name = "avg_pool2d", .build = avg_pool2d},
    {.name = "avg_pool2d_overlapping", .build = avg_pool2d_overlapping},
    {.name = "leaky_relu", .build = leaky_relu},
    {.name = "batch_norm", .build = batch_norm},
    {.name = "batch_norm_flat", .build = batch_norm},
    {.name = "normalize", .build = normalize},
    {.name = "layer_norm", .build = layer_norm},
    {.name = "group_norm", .build = group_norm},
    {.name = "convnet", .add = add_convnet, .features = convnet},
    {.name = "convnet_pool_first", .add = add_convnet, .features = convnet_pool_first},
    {.name = "resnet12", .add = add_resnet12, .features = resnet12, .image = {3, 1, 16, 16}},
};

/* --- one case --- */

typedef struct scene {
    const layer *layer;
    golden_file golden;
    blo_graph *graph;
    blo_model *model;
    int n; /* operands */
    blo_node *x[MOST_OPERANDS], *v[MOST_OPERANDS], *w;
    blo_tensor *tensors[2 * MOST_OPERANDS + 1]; /* of x, v, w */
} scene;

static void must(blo_status status) {
    ck_assert_msg(status == BLO_OK, "%s", blo_context_error(context));
}

/* make_layers.py's pattern(). */
static double pattern(int k, int64_t i) {
    return sin(0.7 + 1.3 * k + 0.61 * (double)i) * 1.2;
}

/* An input [shape] with the values of golden array FORMAT NUMBER, or without it a pattern. */
static blo_node *operand(scene *s, const char *format, int number, int rank, const int64_t *shape, int at) {
    const golden_array *golden = golden_find(&s->golden, format, number);
    blo_node *node =
        blo_graph_input(s->graph, "operand", BLO_DOUBLE, golden ? golden->rank : rank, golden ? golden->shape : shape);
    ck_assert_msg(node != NULL, "%s: %s", s->layer->name, blo_graph_error(s->graph));
    double *values = malloc((size_t)(node->count + 1) * sizeof *values);
    for (int64_t i = 0; i < node->count; i++)
        values[i] = golden ? golden->values[i] : pattern(format[0] == 'v' ? 100 + number : number, i);
    must(blo_tensor_create(context, BLO_DOUBLE, node->rank, node->shape, values, &s->tensors[at]));
    free(values);
    return node;
}

static void open_operands(scene *s) {
    int parameters = 0;
    if (s->layer->add) {
        must(blo_model_create(context, BLO_DOUBLE, &s->model));
        must(s->layer->add(s->model));
        parameters = blo_model_count(s->model);
        s->n = 1 + parameters;
    } else
        while (golden_find(&s->golden, "x%d", s->n))
            s->n++;
    ck_assert_int_le(s->n, MOST_OPERANDS);
    for (int kind = 0; kind < 2; kind++) /* all x, then all v */
        for (int i = 0; i < s->n; i++) {
            const blo_tensor *p = i > 0 && s->model ? blo_model_value_at(s->model, i - 1) : NULL;
            *(kind ? &s->v[i] : &s->x[i]) = operand(s, kind ? "v%d" : "x%d", i, p ? blo_tensor_rank(p) : 4,
                                                    p ? blo_tensor_shape(p) : s->layer->image, kind * s->n + i);
        }
    s->w = operand(s, "w", 0, 0, NULL, 2 * s->n);
}

/* y, g_i, h_i */
static void build(scene *s, blo_node **out) {
    blo_bound_model *bound = s->model ? blo_model_bind(s->model, s->x + 1, NULL, NULL) : NULL;
    out[0] = bound ? s->layer->features(bound, s->x[0]) : s->layer->build(s->x);
    blo_bound_model_free(bound);
    blo_node *loss = blo_sum(blo_mul(s->w, out[0])), *second = NULL;
    ck_assert_msg(blo_gradient(loss, s->n, s->x, out + 1) == BLO_OK, "%s: %s", s->layer->name,
                  blo_graph_error(s->graph));
    for (int i = 0; i < s->n; i++) {
        blo_node *part = blo_sum(blo_mul(s->v[i], out[1 + i]));
        second = i ? blo_add(second, part) : part;
    }
    ck_assert_msg(blo_gradient(second, s->n, s->x, out + 1 + s->n) == BLO_OK, "%s: %s", s->layer->name,
                  blo_graph_error(s->graph));
}

static void compare(const scene *s, const char *what, int number, const blo_node *node, const double *got) {
    const golden_array *wanted =
        number < 0 ? golden_find(&s->golden, "%s", what) : golden_find(&s->golden, what, number);
    double digest[DIGEST] = {0}, largest = 0;
    ck_assert_msg(wanted != NULL, "%s: the file has no such array", s->layer->name);
    const bool shortened = s->layer->image[0] > 0 && number >= 0;
    for (int64_t i = 0; shortened && i < node->count; i++) {
        digest[0] += got[i] * pattern(number, i);
        if (i < DIGEST - 1)
            digest[1 + i] = got[i];
    }
    if (!shortened)
        ck_assert_int_eq(wanted->count, node->count);
    for (int64_t i = 0; i < wanted->count; i++)
        largest = fmax(largest, fabs(wanted->values[i]));
    for (int64_t i = 0; i < wanted->count; i++) {
        double value = shortened ? digest[i] : got[i];
        ck_assert_msg(fabs(value - wanted->values[i]) <= tolerance * fmax(1, largest),
                      "%s: %c%d element %" PRId64 " is %.17g, PyTorch has %.17g", s->layer->name, what[0], number, i,
                      value, wanted->values[i]);
    }
}

START_TEST(layers_match_pytorch) {
    scene s = {.layer = &layers[_i]};
    char path[1024];
    const char *folder = getenv("GOLDEN_FOLDER");
    blo_node *out[1 + 2 * MOST_OPERANDS];
    blo_tensor *results[1 + 2 * MOST_OPERANDS];
    blo_function *function = NULL;
    snprintf(path, sizeof path, "%s/layers/%s.txt", folder ? folder : "tests/golden", s.layer->name);
    ck_assert_msg(golden_read(path, &s.golden), "%s cannot be read", path);
    ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
    open_operands(&s);
    build(&s, out);
    const int n = 1 + 2 * s.n;
    must(blo_function_create(context, n, out, &function));
    for (int i = 0; i < n; i++)
        must(blo_tensor_create(context, BLO_DOUBLE, out[i]->rank, out[i]->shape, NULL, &results[i]));
    must(blo_function_call(function, 2 * s.n + 1, s.tensors, n, results));
    for (int i = 0; i < n; i++) {
        double *got = malloc((size_t)(out[i]->count + 1) * sizeof *got);
        must(blo_tensor_download(results[i], got, blo_tensor_bytes(results[i])));
        if (i == 0)
            compare(&s, "y", -1, out[i], got);
        else
            compare(&s, i <= s.n ? "g%d" : "h%d", (i - 1) % s.n, out[i], got);
        free(got);
        blo_tensor_destroy(results[i]);
    }
    for (int i = 0; i < 2 * s.n + 1; i++)
        blo_tensor_destroy(s.tensors[i]);
    blo_function_destroy(function);
    blo_model_destroy(s.model);
    blo_graph_destroy(s.graph);
    golden_free(&s.golden);
}
END_TEST

int main(void) {
    char message[512];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    Suite *suite = suite_create("layers");
    TCase *all = tcase_create("layers");
    tcase_set_timeout(all, 600);
    if (blo_context_has_double(context))
        tcase_add_loop_test(all, layers_match_pytorch, 0, sizeof layers / sizeof layers[0]);
    suite_add_tcase(suite, all);
    int failed = run_suite_here(suite);
    blo_context_destroy(context);
    return failed;
}
