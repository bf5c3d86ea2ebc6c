/* Layers that own parameters: added to a model with torch.nn's names and initialisation, and applied inside an
 * objective. Knows no architecture. */
#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Is parameter I of MODEL the weight of a norm at or under PREFIX? Its layer's name, of LENGTH, is all before
 * ".weight".
 */
static bool is_norm(const blo_model *model, int i, const char *prefix, size_t *length) {
    static const char weight[] = ".weight";
    const char *name = blo_model_name(model, i);
    const size_t skipped = prefix ? strlen(prefix) : 0;
    if (strlen(name) < sizeof weight || blo_tensor_rank(blo_model_value_at(model, i)) != 1)
        return false;
    *length = strlen(name) - (sizeof weight - 1);
    const bool under =
        skipped == 0 || (strncmp(name, prefix, skipped) == 0 && (name[skipped] == '.' && skipped <= *length));
    return under && strcmp(name + *length, weight) == 0;
}

/* LAYER.MEMBER [CHANNELS] of VALUE. */
static blo_status add_statistic(blo_model *model, const char *layer, const char *member, double value, int64_t channels,
                                double momentum) {
    char name[BLO_LAYER_NAME];
    if (!blo_member(name, layer, member))
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT, "the layer's name '%s' is too long", layer);
    double *values = calloc((size_t)channels + 1, sizeof *values);
    if (!values)
        return blo_fail(blo_model_context(model), BLO_ERROR_MEMORY, "no memory for the buffer '%s'", name);
    for (int64_t i = 0; i < channels; i++)
        values[i] = value;
    blo_status status = blo_model_add_buffer(model, name, 1, &channels);
    if (status == BLO_OK) {
        blo_model_set_momentum(model, blo_model_buffer_count(model) - 1, momentum);
        status = blo_model_set(model, name, values, channels);
    }
    free(values);
    return status;
}

blo_status blo_model_add_running_statistics(blo_model *model, const char *prefix, double momentum) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = blo_model_context(model);
    if (!(momentum >= 0.0 && momentum <= 1.0))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "running statistics with momentum %g; want 0 to 1", momentum);
    blo_status status = BLO_OK;
    bool found = false;
    size_t length;
    for (int i = 0; status == BLO_OK && i < blo_model_count(model); i++) {
        if (!is_norm(model, i, prefix, &length))
            continue;
        found = true;
        char layer[BLO_LAYER_NAME];
        snprintf(layer, sizeof layer, "%.*s", (int)length, blo_model_name(model, i));
        const int64_t channels = blo_tensor_count(blo_model_value_at(model, i));
        status = add_statistic(model, layer, "running_mean", 0.0, channels, momentum);
        if (status == BLO_OK)
            status = add_statistic(model, layer, "running_var", 1.0, channels, momentum);
    }
    if (!found)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the model has no batch norm at or under '%s'",
                        prefix ? prefix : "");
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

/* Tracks the statistics of X [N,C,...] in NAME.running_mean and NAME.running_var, as torch.nn.BatchNorm does. */
static void track(const blo_bound_model *model, const char *name, const blo_node *x, blo_node *mean,
                  blo_node *variance) {
    char full[BLO_LAYER_NAME];
    const int64_t each = x->shape[1] > 0 ? x->count / x->shape[1] : 0; /* values of a channel */
    if (each < 2) {
        blo_graph_fail(x->graph, BLO_ERROR_SHAPE,
                       "batch norm '%s': a running variance wants more than %lld values of each channel", name,
                       (long long)each);
        return;
    }
    const double momentum = blo_bound_model_momentum(model, blo_member(full, name, "running_mean"));
    blo_model_track(model, full, mean, momentum);
    blo_node *unbiased = blo_scale(variance, (double)each / (double)(each - 1));
    blo_model_track(model, blo_member(full, name, "running_var"), unbiased, momentum);
}

blo_node *blo_model_batch_norm(const blo_bound_model *model, const char *name, blo_node *x, double eps) {
    char full[BLO_LAYER_NAME];
    blo_node *weight = parameter(model, name, "weight", true), *bias = parameter(model, name, "bias", true);
    blo_node *mean, *variance;
    const bool running = name && blo_member(full, name, "running_mean") && blo_bound_model_has(model, full);
    if (running && blo_bound_model_evaluates(model)) {
        mean = blo_model_buffer(model, full);
        variance = blo_model_buffer(model, blo_member(full, name, "running_var"));
        return blo_normalize(x, mean, variance, weight, bias, eps);
    }
    if (blo_batch_statistics(x, &mean, &variance) != BLO_OK)
        return NULL;
    if (running)
        track(model, name, x, mean, variance);
    return blo_normalize(x, mean, variance, weight, bias, eps);
}

blo_node *blo_model_layer_norm(const blo_bound_model *model, const char *name, blo_node *x, double eps) {
    blo_node *weight = parameter(model, name, "weight", true);
    return weight ? blo_layer_norm(x, weight->rank, weight, parameter(model, name, "bias", true), eps) : NULL;
}

blo_node *blo_model_group_norm(const blo_bound_model *model, const char *name, blo_node *x, int64_t groups,
                               double eps) {
    return blo_group_norm(x, groups, parameter(model, name, "weight", true), parameter(model, name, "bias", true), eps);
}
