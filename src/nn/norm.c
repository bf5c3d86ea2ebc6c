/* Normalisation: functions over nodes; see clbilevel/nn.h. Knows no model.
 *
 * The variance of x with mean m is written sum((x - s)^2) / M - (m - s)^2 with s = m that carries no derivative: the
 * same for every s, so all its derivatives are right, and none of them sums over the batch what is 0 anyway. */
#include <clbilevel/nn.h>

#include <string.h>

#include "graph/graph.h"

/* V over the axes AXES[N] that were reduced, of X's shape. */
static blo_node *spread(blo_node *v, const blo_node *x, uint32_t reduced) {
    int map[BLO_MAX_RANK], kept = 0;
    for (int i = 0; i < x->rank; i++)
        if (!(reduced >> i & 1))
            map[kept++] = i;
    return v ? blo_node_broadcast(v, x->rank, x->shape, map) : NULL;
}

/* Mean and biased variance of X over AXES[n], which are removed; REDUCED: their bits. */
static void moments(blo_node *x, int n, const int *axes, uint32_t *reduced, blo_node **mean, blo_node **variance) {
    *reduced = 0;
    for (int i = 0; i < n; i++)
        *reduced |= 1u << axes[i];
    *mean = blo_mean_axes(x, n, axes, false);
    blo_node *fixed = blo_stop_gradient(*mean);
    blo_node *square = blo_square(blo_sub(x, spread(fixed, x, *reduced)));
    *variance = blo_sub(blo_mean_axes(square, n, axes, false), blo_square(blo_sub(*mean, fixed)));
}

/* 1 / sqrt(variance + eps). */
static blo_node *inverse_deviation(blo_node *variance, double eps) {
    return variance ? blo_div(blo_full_like(variance, 1), blo_sqrt(blo_shift(variance, eps))) : NULL;
}

/* All axes of X but the second. */
static int batch_axes(const blo_node *x, int *axes) {
    int n = 0;
    for (int i = 0; i < x->rank; i++)
        if (i != 1)
            axes[n++] = i;
    return n;
}

static bool has_channels(const char *call, blo_node *x) {
    if (!x)
        return false;
    if (x->rank >= 2 && (x->dtype == BLO_FLOAT || x->dtype == BLO_DOUBLE))
        return true;
    blo_graph_fail(x->graph, BLO_ERROR_SHAPE, "%s: %s of %d axes; [N,C,...] of float or double is wanted", call,
                   blo_dtype_name(x->dtype), x->rank);
    return false;
}

/* Is PART, if any, a vector of X's channels and type? */
static bool per_channel(const char *call, const char *what, const blo_node *x, blo_node *part) {
    if (!part || (part->rank == 1 && part->shape[0] == x->shape[1] && part->dtype == x->dtype))
        return true;
    blo_graph_fail(x->graph, BLO_ERROR_SHAPE, "%s: %s of %d axes (%lld values, %s); [%lld] of %s is wanted", call, what,
                   part->rank, (long long)part->count, blo_dtype_name(part->dtype), (long long)x->shape[1],
                   blo_dtype_name(x->dtype));
    return false;
}

blo_status blo_batch_statistics(blo_node *x, blo_node **mean, blo_node **variance) {
    int axes[BLO_MAX_RANK];
    uint32_t reduced;
    *mean = *variance = NULL;
    if (!has_channels("blo_batch_statistics", x))
        return x ? blo_graph_status(x->graph) : BLO_ERROR_ARGUMENT;
    moments(x, batch_axes(x, axes), axes, &reduced, mean, variance);
    return blo_graph_status(x->graph);
}

blo_node *blo_normalize(blo_node *x, blo_node *mean, blo_node *variance, blo_node *weight, blo_node *bias, double eps) {
    static const char call[] = "blo_normalize";
    int axes[BLO_MAX_RANK];
    uint32_t reduced = 0;
    if (!has_channels(call, x) || !mean || !variance || !per_channel(call, "the mean", x, mean) ||
        !per_channel(call, "the variance", x, variance) || !per_channel(call, "the weight", x, weight) ||
        !per_channel(call, "the bias", x, bias))
        return NULL;
    for (int i = 0, n = batch_axes(x, axes); i < n; i++)
        reduced |= 1u << axes[i];
    /* x * scale + shift, scale and shift per channel: as PyTorch does it */
    blo_node *scale = inverse_deviation(variance, eps);
    scale = weight ? blo_mul(scale, weight) : scale;
    blo_node *shift = blo_neg(blo_mul(mean, scale));
    shift = bias ? blo_add(bias, shift) : shift;
    return blo_add(blo_mul(x, spread(scale, x, reduced)), spread(shift, x, reduced));
}

blo_node *blo_batch_norm(blo_node *x, blo_node *weight, blo_node *bias, double eps) {
    blo_node *mean, *variance;
    return blo_batch_statistics(x, &mean, &variance) == BLO_OK ? blo_normalize(x, mean, variance, weight, bias, eps)
                                                               : NULL;
}

/* (x - mean) / deviation over the axes from FIRST on. */
static blo_node *standardized(blo_node *x, int first, double eps) {
    int axes[BLO_MAX_RANK], n = 0;
    uint32_t reduced;
    blo_node *mean, *variance;
    for (int i = first; i < x->rank; i++)
        axes[n++] = i;
    moments(x, n, axes, &reduced, &mean, &variance);
    return blo_mul(blo_sub(x, spread(mean, x, reduced)), spread(inverse_deviation(variance, eps), x, reduced));
}

blo_node *blo_layer_norm(blo_node *x, int n_axes, blo_node *weight, blo_node *bias, double eps) {
    if (!x)
        return NULL;
    if (n_axes < 1 || n_axes > x->rank)
        return blo_graph_fail(x->graph, BLO_ERROR_ARGUMENT, "blo_layer_norm: the last %d axes of %d; want 1 to all",
                              n_axes, x->rank);
    blo_node *y = standardized(x, x->rank - n_axes, eps);
    y = weight ? blo_mul(y, weight) : y;
    return bias ? blo_add(y, bias) : y;
}

blo_node *blo_group_norm(blo_node *x, int64_t groups, blo_node *weight, blo_node *bias, double eps) {
    static const char call[] = "blo_group_norm";
    int axes[BLO_MAX_RANK];
    uint32_t others = 0;
    if (!has_channels(call, x) || !per_channel(call, "the weight", x, weight) ||
        !per_channel(call, "the bias", x, bias))
        return NULL;
    if (groups < 1 || x->shape[1] % groups != 0)
        return blo_graph_fail(x->graph, BLO_ERROR_ARGUMENT, "%s: %lld channels in %lld groups", call,
                              (long long)x->shape[1], (long long)groups);
    const int64_t grouped[3] = {x->shape[0], groups, x->shape[0] > 0 ? x->count / x->shape[0] / groups : 0};
    blo_node *y = blo_reshape(x, 3, grouped);
    y = y ? blo_reshape(standardized(y, 2, eps), x->rank, x->shape) : NULL;
    for (int i = 0, n = batch_axes(x, axes); i < n; i++)
        others |= 1u << axes[i];
    y = weight ? blo_mul(y, spread(weight, x, others)) : y;
    return bias ? blo_add(y, spread(bias, x, others)) : y;
}
