/* Layers that own parameters, backbones and the operations on images: names, initial values, shapes, and what is
 * refused with which sentence. */
#include <math.h>

#include "../support.h"

#include "nn/model.h"

static blo_context *context;
static blo_model *model;
static blo_graph *graph;

static void setup(void) {
    context = open_context(11);
    MUST(context, blo_model_create(context, BLO_FLOAT, &model));
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
}

static void teardown(void) {
    blo_graph_destroy(graph);
    blo_model_destroy(model);
    blo_context_destroy(context);
}

static void expect_shape(const char *name, int rank, const int64_t *shape) {
    const blo_tensor *value = blo_model_value(model, name);
    ck_assert_msg(value != NULL, "there is no '%s'", name);
    ck_assert_int_eq(blo_tensor_rank(value), rank);
    for (int i = 0; i < rank; i++)
        ck_assert_int_eq(blo_tensor_shape(value)[i], shape[i]);
}

START_TEST(a_convolution_starts_as_torch_has_it) {
    double values[6 * 2 * 9], largest = 0, sum = 0;
    const double bound = 1 / sqrt(2 * 9);

    MUST(context, blo_model_add_conv2d(model, "c", 4, 6, 3, 2, true));

    expect_shape("c.weight", 4, (const int64_t[]){6, 2, 3, 3});
    expect_shape("c.bias", 1, (const int64_t[]){6});
    MUST(context, blo_model_get(model, "c.weight", values, 6 * 2 * 9));
    for (int i = 0; i < 6 * 2 * 9; i++) {
        largest = fmax(largest, fabs(values[i]));
        sum += values[i];
    }
    ck_assert_double_le(largest, bound);
    ck_assert_double_gt(largest, 0.9 * bound);
    ck_assert_double_lt(fabs(sum / (6 * 2 * 9)), 0.2 * bound);
}
END_TEST

START_TEST(a_norm_starts_as_the_identity) {
    double weight[3], bias[3];
    MUST(context, blo_model_add_norm(model, "n", 1, (const int64_t[]){3}));
    MUST(context, blo_model_get(model, "n.weight", weight, 3));
    MUST(context, blo_model_get(model, "n.bias", bias, 3));
    for (int i = 0; i < 3; i++) {
        ck_assert_double_eq(weight[i], 1);
        ck_assert_double_eq(bias[i], 0);
    }
}
END_TEST

START_TEST(backbones_have_the_names_of_pytorch) {
    MUST(context, blo_model_add_convnet(model, "net", 1, 5, 4));
    ck_assert_int_eq(blo_model_count(model), 16);
    ck_assert_str_eq(blo_model_name(model, 0), "net.layer1.conv.weight");
    ck_assert_str_eq(blo_model_name(model, 15), "net.layer4.norm.bias");
    expect_shape("net.layer2.conv.weight", 4, (const int64_t[]){5, 5, 3, 3});

    MUST(context, blo_model_add_resnet12(model, "", 3, 6));
    ck_assert_int_eq(blo_model_count(model), 16 + 4 * 12);
    expect_shape("layer1.0.conv1.weight", 4, (const int64_t[]){6, 3, 3, 3});
    expect_shape("layer2.0.bn3.bias", 1, (const int64_t[]){15});
    expect_shape("layer4.0.downsample.0.weight", 4, (const int64_t[]){60, 30, 1, 1});
    expect_shape("layer4.0.downsample.1.weight", 1, (const int64_t[]){60});
}
END_TEST

START_TEST(features_have_the_shapes_said) {
    blo_node *nodes[80];
    MUST(context, blo_model_add_convnet(model, "net", 3, 5, 4));
    MUST(context, blo_model_add_resnet12(model, "", 3, 6));
    for (int i = 0; i < blo_model_count(model); i++) {
        const blo_tensor *value = blo_model_value(model, blo_model_name(model, i));
        nodes[i] = blo_graph_input(graph, "p", BLO_FLOAT, blo_tensor_rank(value), blo_tensor_shape(value));
    }
    blo_bound_model *bound = blo_model_bind(model, nodes, NULL, NULL);
    blo_node *x = blo_graph_input(graph, "x", BLO_FLOAT, 4, (const int64_t[]){2, 3, 84, 84});

    blo_node *convnet = blo_model_convnet(bound, "net", x, 4, BLO_BLOCK_CONV_RELU_POOL_BN);
    blo_node *resnet = blo_model_resnet12(bound, "", x);

    ck_assert_msg(convnet && resnet, "%s", blo_graph_error(graph));
    ck_assert_int_eq(blo_node_rank(convnet), 2);
    ck_assert_int_eq(blo_node_shape(convnet)[1], 5 * 5 * 5);
    ck_assert_int_eq(blo_node_rank(resnet), 2);
    ck_assert_int_eq(blo_node_shape(resnet)[1], 60);
    blo_bound_model_free(bound);
}
END_TEST

START_TEST(layers_that_cannot_be_are_refused_and_add_nothing) {
    MUST_FAIL(context, BLO_ERROR_SHAPE, "groups", blo_model_add_conv2d(model, "c", 4, 6, 3, 3, true));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "name", blo_model_add_conv2d(model, "", 4, 6, 3, 1, true));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "ConvNet", blo_model_add_convnet(model, "n", 1, 4, 0));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "ResNet", blo_model_add_resnet12(model, "n", 1, 0));
    ck_assert_int_eq(blo_model_count(model), 0);
    MUST(context, blo_model_add_norm(model, "c", 1, (const int64_t[]){3}));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "already", blo_model_add_conv2d(model, "c", 4, 6, 3, 1, true));
    ck_assert_int_eq(blo_model_count(model), 2);
}
END_TEST

/* --- mistakes inside an objective: the graph says what was wrong --- */

typedef struct mistake {
    const char *part;                            /* of the sentence */
    blo_node *(*make)(blo_node *x, blo_node *w); /* x [2,4,5,5], w [6,4,3,3] */
} mistake;

static blo_node *wrong_channels(blo_node *x, blo_node *w) {
    return blo_conv2d(x, w, NULL, NULL, NULL, 2);
}

static blo_node *no_stride(blo_node *x, blo_node *w) {
    return blo_conv2d(x, w, (const int64_t[]){0, 1}, NULL, NULL, 1);
}

static blo_node *no_groups(blo_node *x, blo_node *w) {
    return blo_conv2d(x, w, NULL, NULL, NULL, 0);
}

static blo_node *too_large(blo_node *x, blo_node *w) {
    return blo_conv2d(x, w, NULL, NULL, (const int64_t[]){3, 3}, 1);
}

static blo_node *other_type(blo_node *x, blo_node *w) {
    return blo_conv2d(blo_cast(x, BLO_DOUBLE), w, NULL, NULL, NULL, 1);
}

static blo_node *other_size(blo_node *x, blo_node *w) { /* results of 5 by 5 come of images of 7 by 7 */
    blo_node *wide = blo_concat(2, (blo_node *[]){x, x}, 1);
    blo_node *g = blo_slice(wide, (const int64_t[]){0, 0, 0, 0}, (const int64_t[]){2, 6, 5, 5}, NULL);
    return blo_conv2d_input(g, w, (const int64_t[]){9, 9}, NULL, NULL, NULL, 1);
}

static blo_node *window_too_large(blo_node *x, blo_node *w) {
    (void)w;
    return blo_max_pool2d(x, (const int64_t[]){6, 2}, NULL, NULL);
}

static blo_node *padding_too_large(blo_node *x, blo_node *w) {
    (void)w;
    return blo_avg_pool2d(x, (const int64_t[]){3, 3}, NULL, (const int64_t[]){2, 2});
}

static blo_node *no_image(blo_node *x, blo_node *w) {
    (void)w;
    return blo_global_avg_pool2d(blo_sum(x));
}

static blo_node *wrong_weight(blo_node *x, blo_node *w) {
    return blo_batch_norm(x, blo_sum_axes(w, 3, (const int[]){1, 2, 3}, false), NULL, 1e-5);
}

static blo_node *wrong_groups(blo_node *x, blo_node *w) {
    (void)w;
    return blo_group_norm(x, 3, NULL, NULL, 1e-5);
}

static blo_node *too_many_axes(blo_node *x, blo_node *w) {
    (void)w;
    return blo_layer_norm(x, 5, NULL, NULL, 1e-5);
}

static const mistake mistakes[] = {
    {"2 groups", wrong_channels},
    {"stride 0,1", no_stride},
    {"groups 0", no_groups},
    {"do not belong together", too_large},
    {"double", other_type},
    {"do not belong together", other_size},
    {"windows of 6,2", window_too_large},
    {"padding 2,2", padding_too_large},
    {"[N,C,H,W]", no_image},
    {"the weight", wrong_weight},
    {"3 groups", wrong_groups},
    {"last 5 axes of 4", too_many_axes},
};

START_TEST(a_mistake_is_told) {
    blo_node *x = blo_graph_input(graph, "x", BLO_FLOAT, 4, (const int64_t[]){2, 4, 5, 5});
    blo_node *w = blo_graph_input(graph, "w", BLO_FLOAT, 4, (const int64_t[]){6, 4, 3, 3});
    ck_assert_ptr_null(mistakes[_i].make(x, w));
    ck_assert_int_ne(blo_graph_status(graph), BLO_OK);
    ck_assert_msg(strstr(blo_graph_error(graph), mistakes[_i].part) != NULL, "\"%s\" does not contain \"%s\"",
                  blo_graph_error(graph), mistakes[_i].part);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("layers");
    TCase *all = tcase_create("layers");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, a_convolution_starts_as_torch_has_it);
    tcase_add_test(all, a_norm_starts_as_the_identity);
    tcase_add_test(all, backbones_have_the_names_of_pytorch);
    tcase_add_test(all, features_have_the_shapes_said);
    tcase_add_test(all, layers_that_cannot_be_are_refused_and_add_nothing);
    tcase_add_loop_test(all, a_mistake_is_told, 0, sizeof mistakes / sizeof mistakes[0]);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
