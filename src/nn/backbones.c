/* The backbones of few-shot learning: ConvNet-4 (or of any depth) and ResNet-12. Each is a pair: what adds the
 * parameters to a model, and what builds the features from an image. */
#include "layers.h"

#include <math.h>
#include <stdio.h>

static const double EPS = 1e-5; /* torch.nn.BatchNorm2d's */
enum { RESNET_BLOCKS = 4, RESNET_CONVOLUTIONS = 3 };

static blo_status add_batch_norm(blo_model *model, const char *name, int64_t channels) {
    return blo_model_add_norm(model, name, 1, &channels);
}

/* "PREFIX.layerN.PART" */
static const char *part_of(char name[BLO_LAYER_NAME], const char *prefix, int layer, const char *part) {
    char end[64];
    snprintf(end, sizeof end, "layer%d.%s", layer, part);
    return blo_member(name, prefix ? prefix : "", end);
}

/* [N,C,H,W] -> [N,CHW] */
static blo_node *flatten(blo_node *x) {
    if (!x)
        return NULL;
    const int64_t shape[2] = {x->shape[0], x->shape[1] * x->shape[2] * x->shape[3]};
    return blo_reshape(x, 2, shape);
}

static blo_node *halved(blo_node *x) {
    static const int64_t two[2] = {2, 2};
    return blo_max_pool2d(x, two, NULL, NULL);
}

/* --- ConvNet --- */

blo_status blo_model_add_convnet(blo_model *model, const char *prefix, int64_t channels, int64_t filters, int blocks) {
    char name[BLO_LAYER_NAME];
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (blocks < 1)
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT, "a ConvNet of %d blocks; want at least 1",
                        blocks);
    blo_status status = BLO_OK;
    for (int i = 1; i <= blocks && status == BLO_OK; i++) {
        status = blo_model_add_conv2d(model, part_of(name, prefix, i, "conv"), i == 1 ? channels : filters, filters, 3,
                                      1, true);
        if (status == BLO_OK)
            status = add_batch_norm(model, part_of(name, prefix, i, "norm"), filters);
    }
    return status;
}

blo_node *blo_model_convnet(const blo_bound_model *model, const char *prefix, blo_node *x, int blocks,
                            blo_block block) {
    char conv[BLO_LAYER_NAME], norm[BLO_LAYER_NAME];
    for (int i = 1; i <= blocks; i++) {
        if (!part_of(conv, prefix, i, "conv") || !part_of(norm, prefix, i, "norm"))
            return NULL;
        x = blo_model_conv2d(model, conv, x, 1, 1, 1);
        if (block == BLO_BLOCK_CONV_RELU_POOL_BN)
            x = blo_model_batch_norm(model, norm, halved(blo_relu(x)), EPS);
        else
            x = halved(blo_relu(blo_model_batch_norm(model, norm, x, EPS)));
    }
    return flatten(x);
}

/* --- ResNet-12 --- */

static int64_t resnet_width(int64_t filters, int block) {
    static const int tenths[RESNET_BLOCKS] = {10, 25, 50, 100};
    return filters * tenths[block - 1] / 10;
}

/* Without bias; normal of torch.nn.init.kaiming_normal_(mode='fan_out', nonlinearity='leaky_relu'). */
static blo_status add_bare_conv(blo_model *model, const char *name, int64_t in, int64_t out, int64_t kernel) {
    char weight[BLO_LAYER_NAME];
    blo_status status = blo_model_add_conv2d(model, name, in, out, kernel, 1, false);
    double deviation = sqrt(2 / (1 + 0.01 * 0.01)) / sqrt((double)(out * kernel * kernel));
    return status == BLO_OK ? blo_init_normal(model, blo_member(weight, name, "weight"), 0, deviation) : status;
}

static blo_status add_resnet_block(blo_model *model, const char *prefix, int block, int64_t in, int64_t out) {
    char name[BLO_LAYER_NAME], part[32];
    blo_status status = BLO_OK;
    for (int i = 1; i <= RESNET_CONVOLUTIONS && status == BLO_OK; i++) {
        snprintf(part, sizeof part, "0.conv%d", i);
        status = add_bare_conv(model, part_of(name, prefix, block, part), i == 1 ? in : out, out, 3);
        snprintf(part, sizeof part, "0.bn%d", i);
        if (status == BLO_OK)
            status = add_batch_norm(model, part_of(name, prefix, block, part), out);
    }
    if (status == BLO_OK)
        status = add_bare_conv(model, part_of(name, prefix, block, "0.downsample.0"), in, out, 1);
    return status == BLO_OK ? add_batch_norm(model, part_of(name, prefix, block, "0.downsample.1"), out) : status;
}

blo_status blo_model_add_resnet12(blo_model *model, const char *prefix, int64_t channels, int64_t filters) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (filters < 1)
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT, "a ResNet-12 of %lld filters; want at least 1",
                        (long long)filters);
    blo_status status = BLO_OK;
    for (int block = 1; block <= RESNET_BLOCKS && status == BLO_OK; block++)
        status = add_resnet_block(model, prefix, block, block == 1 ? channels : resnet_width(filters, block - 1),
                                  resnet_width(filters, block));
    return status;
}

static blo_node *resnet_block(const blo_bound_model *model, const char *prefix, int block, blo_node *x) {
    char conv[BLO_LAYER_NAME], norm[BLO_LAYER_NAME], part[32];
    const double slope = 0.1;
    blo_node *y = x;
    for (int i = 1; i <= RESNET_CONVOLUTIONS; i++) {
        snprintf(part, sizeof part, "0.conv%d", i);
        bool fits = part_of(conv, prefix, block, part) != NULL;
        snprintf(part, sizeof part, "0.bn%d", i);
        if (!fits || !part_of(norm, prefix, block, part))
            return NULL;
        y = blo_model_batch_norm(model, norm, blo_model_conv2d(model, conv, y, 1, 1, 1), EPS);
        y = i < RESNET_CONVOLUTIONS ? blo_leaky_relu(y, slope) : y;
    }
    if (!part_of(conv, prefix, block, "0.downsample.0") || !part_of(norm, prefix, block, "0.downsample.1"))
        return NULL;
    blo_node *shortcut = blo_model_batch_norm(model, norm, blo_model_conv2d(model, conv, x, 1, 0, 1), EPS);
    return halved(blo_leaky_relu(blo_add(y, shortcut), slope));
}

blo_node *blo_model_resnet12(const blo_bound_model *model, const char *prefix, blo_node *x) {
    for (int block = 1; block <= RESNET_BLOCKS; block++)
        x = resnet_block(model, prefix, block, x);
    return blo_global_avg_pool2d(x);
}
