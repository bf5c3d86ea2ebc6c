/* Layers that own parameters: added to a model with torch.nn's names and initialisation, and applied inside an
 * objective. Knows no architecture. */
#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *blo_member(char name[BLO_LAYER_NAME], const char *layer, const char *member) {
    int length = snprintf(name, BLO_LAYER_NAME, "%s%s%s", layer, *layer && *member ? "." : "", member);
    return length < BLO_LAYER_NAME ? name : NULL;
}

/* --- adding --- */

/* Refuses a name that is missing, too long or taken: before anything is added. */
static blo_status check_layer(blo_model *model, const char *name) {
    char member[BLO_LAYER_NAME];
    blo_context *context = blo_model_context(model);
    if (!name || !*name || !blo_member(member, name, "weight"))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "a layer needs a name of less than %d characters",
                        BLO_LAYER_NAME - (int)sizeof "weight");
    if (blo_model_value(model, member) || blo_model_value(model, blo_member(member, name, "bias")))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the model has a layer '%s' already", name);
    return BLO_OK;
}

blo_status blo_model_add_conv2d(blo_model *model, const char *name, int64_t in, int64_t out, int64_t kernel,
                                int64_t groups, bool bias) {
    char member[BLO_LAYER_NAME];
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_layer(model, name);
    if (status != BLO_OK)
        return status;
    if (in < 1 || out < 1 || kernel < 1 || groups < 1 || in % groups || out % groups)
        return blo_fail(
            blo_model_context(model), BLO_ERROR_SHAPE,
            "convolution '%s': %lld inputs and %lld outputs in %lld groups, a kernel of %lld; want at least 1 "
            "of each, and groups that divide both",
            name, (long long)in, (long long)out, (long long)groups, (long long)kernel);
    const double bound = 1 / sqrt((double)(in / groups * kernel * kernel));
    const int64_t shape[4] = {out, in / groups, kernel, kernel};
    status = blo_model_add(model, blo_member(member, name, "weight"), 4, shape);
    if (status == BLO_OK)
        status = blo_init_uniform(model, member, -bound, bound);
    if (status == BLO_OK && bias)
        status = blo_model_add(model, blo_member(member, name, "bias"), 1, &out);
    if (status == BLO_OK && bias)
        status = blo_init_uniform(model, member, -bound, bound);
    return status;
}

blo_status blo_model_add_norm(blo_model *model, const char *name, int rank, const int64_t *shape) {
    char member[BLO_LAYER_NAME];
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_layer(model, name);
    if (status == BLO_OK)
        status = blo_model_add(model, blo_member(member, name, "weight"), rank, shape);
    if (status == BLO_OK)
        status = blo_init_uniform(model, member, 1, 1);
    if (status == BLO_OK)
        status = blo_model_add(model, blo_member(member, name, "bias"), rank, shape);
    return status;
}

/* --- inside an objective --- */

/* NAME.MEMBER of MODEL; without it NULL, an error only if it is WANTED. */
static blo_node *parameter(const blo_bound_model *model, const char *name, const char *member, bool wanted) {
    char full[BLO_LAYER_NAME];
    if (!name || !blo_member(full, name, member))
        return NULL;
    return wanted || blo_bound_model_has(model, full) ? blo_model_parameter(model, full) : NULL;
}

blo_node *blo_model_conv2d(const blo_bound_model *model, const char *name, blo_node *x, int64_t stride, int64_t padding,
                           int64_t groups) {
    if (!model || !x)
        return NULL;
    const int64_t strides[2] = {stride, stride}, paddings[2] = {padding, padding};
    blo_node *bias = parameter(model, name, "bias", false);
    blo_node *y = blo_conv2d(x, parameter(model, name, "weight", true), strides, paddings, NULL, groups);
    if (!y || !bias)
        return y;
    static const int channel[1] = {1};
    return blo_add(y, blo_node_broadcast(bias, 4, y->shape, channel));
}

blo_node *blo_model_batch_norm(const blo_bound_model *model, const char *name, blo_node *x, double eps) {
    return blo_batch_norm(x, parameter(model, name, "weight", true), parameter(model, name, "bias", true), eps);
}

blo_node *blo_model_layer_norm(const blo_bound_model *model, const char *name, blo_node *x, double eps) {
    blo_node *weight = parameter(model, name, "weight", true);
    return weight ? blo_layer_norm(x, weight->rank, weight, parameter(model, name, "bias", true), eps) : NULL;
}

blo_node *blo_model_group_norm(const blo_bound_model *model, const char *name, blo_node *x, int64_t groups,
                               double eps) {
    return blo_group_norm(x, groups, parameter(model, name, "weight", true), parameter(model, name, "bias", true), eps);
}
