/* Initialisers: torch.nn.init's definitions, drawn on the host with Philox 4x32-10 from the context's seed and
 * uploaded. Every call takes a fresh stream of the context. Also the linear layer as a pair of parameters. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/philox.h"
#include "model.h"

/* The last counter word keeps initialisers apart from the random numbers that graphs draw with the same seed. */
static const uint32_t INITIALISER_DOMAIN = 0x80000000u;

static const double PI = 3.14159265358979323846;

typedef enum distribution { UNIFORM, NORMAL } distribution;

/* 53 random bits in [0,1). */
static double unit(uint32_t high, uint32_t low) {
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
    return (double)bits * 0x1p-53;
}

/* One draw of element INDEX of STREAM: uniform in [a,b), or normal of mean a and standard deviation b (Box and Muller).
 */
static double draw(distribution kind, uint64_t seed, uint64_t stream, int64_t index, double a, double b) {
    const uint64_t element = (uint64_t)index;
    const uint32_t counter[4] = {(uint32_t)element, (uint32_t)(element >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32) ^ INITIALISER_DOMAIN};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t bits[4];
    blo_philox4x32(counter, key, bits);
    double first = unit(bits[0], bits[1]);
    if (kind == UNIFORM)
        return a + (b - a) * first;
    double second = unit(bits[2], bits[3]);
    return a + b * sqrt(-2.0 * log1p(-first)) * cos(2.0 * PI * second); /* 1 - first is in (0,1] */
}

static blo_status fill(blo_model *model, const char *name, distribution kind, double a, double b) {
    blo_context *context = blo_model_context(model);
    const blo_tensor *tensor = blo_model_value(model, name);
    if (!tensor)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the model has no parameter '%s'", name ? name : "(null)");
    if (!isfinite(a) || !isfinite(b))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "initialising '%s': %g and %g are not both finite", name, a, b);
    int64_t count = blo_tensor_count(tensor);
    double *values = malloc((size_t)count * sizeof *values + 1);
    if (!values)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory to initialise '%s'", name);
    uint64_t seed = blo_context_seed(context), stream = blo_context_next_stream(context);
    for (int64_t i = 0; i < count; i++)
        values[i] = draw(kind, seed, stream, i, a, b);
    blo_status status = blo_model_set(model, name, values, count);
    free(values);
    return status;
}

/* fan_in and fan_out of parameter NAME [OUT,IN,K...]: IN and OUT times the product of K. */
static blo_status fans(blo_model *model, const char *name, double *fan_in, double *fan_out) {
    blo_context *context = blo_model_context(model);
    const blo_tensor *tensor = blo_model_value(model, name);
    if (!tensor)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the model has no parameter '%s'", name ? name : "(null)");
    int rank = blo_tensor_rank(tensor);
    if (rank < 2)
        return blo_fail(context, BLO_ERROR_SHAPE, "initialising '%s': rank %d has no fan, at least 2 axes are needed",
                        name, rank);
    const int64_t *shape = blo_tensor_shape(tensor);
    double receptive = 1.0;
    for (int i = 2; i < rank; i++)
        receptive *= (double)shape[i];
    *fan_in = (double)shape[1] * receptive;
    *fan_out = (double)shape[0] * receptive;
    if (*fan_in == 0.0 || *fan_out == 0.0) /* no elements: any finite spread will do */
        *fan_in = *fan_out = 1.0;
    return BLO_OK;
}

blo_status blo_init_uniform(blo_model *model, const char *name, double lo, double hi) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (!(lo <= hi))
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT, "initialising '%s': lo %g is not at most hi %g",
                        name ? name : "(null)", lo, hi);
    return fill(model, name, UNIFORM, lo, hi);
}

blo_status blo_init_normal(blo_model *model, const char *name, double mean, double standard_deviation) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (!(standard_deviation >= 0.0))
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT,
                        "initialising '%s': the standard deviation %g is not at least 0", name ? name : "(null)",
                        standard_deviation);
    return fill(model, name, NORMAL, mean, standard_deviation);
}

blo_status blo_init_kaiming_uniform(blo_model *model, const char *name, double a) {
    double fan_in, fan_out;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = fans(model, name, &fan_in, &fan_out);
    double bound = sqrt(3.0) * sqrt(2.0 / (1.0 + a * a)) / sqrt(fan_in);
    return status == BLO_OK ? fill(model, name, UNIFORM, -bound, bound) : status;
}

blo_status blo_init_kaiming_normal(blo_model *model, const char *name, double a) {
    double fan_in, fan_out;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = fans(model, name, &fan_in, &fan_out);
    return status == BLO_OK ? fill(model, name, NORMAL, 0.0, sqrt(2.0 / (1.0 + a * a)) / sqrt(fan_in)) : status;
}

blo_status blo_init_xavier_uniform(blo_model *model, const char *name, double gain) {
    double fan_in, fan_out;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = fans(model, name, &fan_in, &fan_out);
    double bound = gain * sqrt(6.0 / (fan_in + fan_out));
    return status == BLO_OK ? fill(model, name, UNIFORM, -bound, bound) : status;
}

blo_status blo_init_xavier_normal(blo_model *model, const char *name, double gain) {
    double fan_in, fan_out;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = fans(model, name, &fan_in, &fan_out);
    return status == BLO_OK ? fill(model, name, NORMAL, 0.0, gain * sqrt(2.0 / (fan_in + fan_out))) : status;
}

/* --- the linear layer --- */

/* "NAME.SUFFIX" in new memory; NULL: none left. */
static char *member(const char *name, const char *suffix) {
    char *joined = malloc(strlen(name) + strlen(suffix) + 2);
    if (joined) {
        strcpy(joined, name);
        strcat(strcat(joined, "."), suffix);
    }
    return joined;
}

blo_status blo_model_add_linear(blo_model *model, const char *name, int64_t in, int64_t out) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = blo_model_context(model);
    if (!name || !*name)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "a linear layer needs a name");
    if (in < 1 || out < 1)
        return blo_fail(context, BLO_ERROR_SHAPE,
                        "linear layer '%s': %lld inputs and %lld outputs, at least 1 of each is needed", name,
                        (long long)in, (long long)out);
    char *weight = member(name, "weight"), *bias = member(name, "bias");
    const double bound = 1.0 / sqrt((double)in);
    blo_status status = BLO_OK;
    if (!weight || !bias)
        status = blo_fail(context, BLO_ERROR_MEMORY, "no memory for the linear layer '%s'", name);
    else if (blo_model_value(model, bias))
        status = blo_fail(context, BLO_ERROR_ARGUMENT, "the model has a parameter '%s' already", bias);
    if (status == BLO_OK)
        status = blo_model_add(model, weight, 2, (const int64_t[]){out, in});
    if (status == BLO_OK)
        status = blo_model_add(model, bias, 1, (const int64_t[]){out});
    if (status == BLO_OK)
        status = fill(model, weight, UNIFORM, -bound, bound);
    if (status == BLO_OK)
        status = fill(model, bias, UNIFORM, -bound, bound);
    free(weight);
    free(bias);
    return status;
}

blo_node *blo_model_linear(const blo_bound_model *model, const char *name, blo_node *x) {
    if (!model || !name)
        return NULL;
    char *weight = member(name, "weight"), *bias = member(name, "bias");
    blo_node *result = NULL;
    if (weight && bias)
        result = blo_linear(x, blo_model_parameter(model, weight), blo_model_parameter(model, bias));
    else if (x)
        result = blo_graph_fail(x->graph, BLO_ERROR_MEMORY, "no memory for the linear layer '%s'", name);
    free(weight);
    free(bias);
    return result;
}
