/* Layers and losses: functions over nodes; see clbilevel/nn.h. Knows no model. */
#include <clbilevel/nn.h>

#include <math.h>

#include "graph/graph.h"

blo_node *blo_linear(blo_node *x, blo_node *weight, blo_node *bias) {
    if (x && x->rank == 1) { /* one example: [IN] as [1,IN] */
        const int64_t row[2] = {1, x->shape[0]};
        blo_node *y = blo_linear(blo_reshape(x, 2, row), weight, bias);
        return y ? blo_reshape(y, 1, &y->shape[1]) : NULL;
    }
    blo_node *product = blo_matmul(x, weight, false, true);
    return bias ? blo_add(product, bias) : product;
}

blo_node *blo_dropout(blo_node *x, double p, blo_node *counter, uint64_t seed) {
    if (!x)
        return NULL;
    if (!(p >= 0 && p < 1))
        return blo_graph_fail(x->graph, BLO_ERROR_ARGUMENT, "blo_dropout: probability %g; want 0 <= p < 1", p);
    blo_node *u = blo_random_uniform(counter, seed, x->dtype, x->rank, x->shape);
    return blo_select(blo_less(u, blo_full_like(x, p)), blo_zeros_like(x), blo_scale(x, 1 / (1 - p)));
}

/* x minus its maximum along the last axis, which carries no derivative: the result does not depend on the shift. */
static blo_node *shifted(const char *call, blo_node *x) {
    const int last[1] = {-1};
    if (x && x->rank == 0)
        return blo_graph_fail(x->graph, BLO_ERROR_SHAPE, "%s: a scalar has no last axis", call);
    return blo_sub(x, blo_stop_gradient(blo_max_axes(x, 1, last, true)));
}

blo_node *blo_softmax(blo_node *x) {
    const int last[1] = {-1};
    blo_node *e = blo_exp(shifted("blo_softmax", x));
    return blo_div(e, blo_sum_axes(e, 1, last, true));
}

blo_node *blo_log_softmax(blo_node *x) {
    const int last[1] = {-1};
    blo_node *s = shifted("blo_log_softmax", x);
    return blo_sub(s, blo_log(blo_sum_axes(blo_exp(s), 1, last, true)));
}

static blo_node *reduced(const char *call, blo_node *losses, blo_reduction reduction) {
    switch (reduction) {
    case BLO_REDUCE_NONE: return losses;
    case BLO_REDUCE_MEAN: return blo_mean(losses);
    case BLO_REDUCE_SUM: return blo_sum(losses);
    }
    return losses ? blo_graph_fail(losses->graph, BLO_ERROR_ARGUMENT, "%s: %d is no reduction", call, (int)reduction)
                  : NULL;
}

/* logits [N...,C] and targets [N...]: the same N..., and integers. */
static bool targets_fit(const char *call, blo_node *logits, blo_node *target) {
    if (!logits || !target)
        return false;
    bool fits = logits->rank == target->rank + 1 && (target->dtype == BLO_INT32 || target->dtype == BLO_UINT8);
    for (int i = 0; fits && i < target->rank; i++)
        fits = logits->shape[i] == target->shape[i];
    if (!fits)
        blo_graph_fail(logits->graph, BLO_ERROR_SHAPE,
                       "%s: logits of %d axes (%lld values) and targets of %d axes (%lld values, %s); want [N...,C] "
                       "and int32 or uint8 [N...]",
                       call, logits->rank, (long long)logits->count, target->rank, (long long)target->count,
                       blo_dtype_name(target->dtype));
    return fits;
}

blo_node *blo_cross_entropy(blo_node *logits, blo_node *target, blo_reduction reduction) {
    const int last[1] = {-1};
    if (!targets_fit("blo_cross_entropy", logits, target))
        return NULL;
    int64_t classes = logits->shape[logits->rank - 1];
    blo_node *log_p = blo_log_softmax(logits), *index = blo_cast(target, BLO_INT32);
    blo_node *here = blo_one_hot(target, classes, BLO_UINT8);
    blo_node *picked = blo_sum_axes(blo_select(here, log_p, blo_zeros_like(log_p)), 1, last, false);
    blo_node *inside = blo_logical_and(blo_greater_equal(index, blo_zeros_like(index)),
                                       blo_less(index, blo_full_like(index, (double)classes)));
    return reduced("blo_cross_entropy", blo_select(inside, blo_neg(picked), blo_full_like(picked, (double)NAN)),
                   reduction);
}

blo_node *blo_mse(blo_node *prediction, blo_node *target, blo_reduction reduction) {
    return reduced("blo_mse", blo_square(blo_sub(prediction, target)), reduction);
}

blo_node *blo_accuracy(blo_node *logits, blo_node *target) {
    if (!targets_fit("blo_accuracy", logits, target))
        return NULL;
    return blo_mean(blo_cast(blo_equal(blo_argmax(logits), blo_cast(target, BLO_INT32)), logits->dtype));
}
