/* One optimizer step as nodes: SGD and Adam after torch.optim. The caller's optimizers and the lower loop's step are
 * this trace. Knows nothing of models, plans or loops. */
#include "step.h"

#include <math.h>

int blo_step_states(const blo_optimizer_options *options) {
    if (options->kind == BLO_ADAM)
        return 2;
    return options->momentum != 0.0 ? 1 : 0;
}

const char *blo_step_check(const blo_optimizer_options *options) {
    if (options->kind != BLO_SGD && options->kind != BLO_ADAM)
        return "kind must be BLO_SGD or BLO_ADAM";
    if (!(options->learning_rate >= 0.0) || !isfinite(options->learning_rate))
        return "learning_rate must be finite and at least 0";
    if (!(options->weight_decay >= 0.0) || !isfinite(options->weight_decay))
        return "weight_decay must be finite and at least 0";
    if (options->kind == BLO_SGD) {
        if (!(options->momentum >= 0.0) || !isfinite(options->momentum))
            return "momentum must be finite and at least 0";
        if (options->nesterov && options->momentum == 0.0)
            return "nesterov needs a momentum above 0";
        return NULL;
    }
    if (!(options->beta1 >= 0.0 && options->beta1 < 1.0))
        return "beta1 must be in [0, 1)";
    if (!(options->beta2 >= 0.0 && options->beta2 < 1.0))
        return "beta2 must be in [0, 1)";
    if (!(options->epsilon >= 0.0) || !isfinite(options->epsilon))
        return "epsilon must be finite and at least 0";
    return NULL;
}

static blo_node *sgd(const blo_optimizer_options *options, blo_node *p, blo_node *g, blo_node *const *states,
                     blo_node *rate, blo_node **new_states) {
    blo_node *direction = g;
    if (options->momentum != 0.0) {
        blo_node *m = blo_add(blo_scale(states[0], options->momentum), g);
        new_states[0] = m;
        direction = options->nesterov ? blo_add(g, blo_scale(m, options->momentum)) : m;
    }
    return blo_sub(p, blo_mul(rate, direction));
}

/* 1 - beta^t for T = steps done, []. With u = -log(beta) t it is 2 h / (1 + h), h = tanh(u / 2): no cancellation, so
 * that float keeps its digits where beta^t is near 1 (0.999 at the first step would lose four of its seven). */
static blo_node *bias_correction(double beta, blo_node *t) {
    if (beta == 0.0)
        return blo_full_like(t, 1.0);
    blo_node *h = blo_tanh(blo_scale(t, -0.5 * log(beta)));
    return blo_div(blo_scale(h, 2.0), blo_shift(h, 1.0));
}

/* sqrt(v), without a derivative where v = 0: the root is taken of 1 there, and not chosen. */
static blo_node *guarded_root(blo_node *v) {
    blo_node *zero = blo_zeros_like(v);
    blo_node *is_zero = blo_equal(v, zero);
    return blo_select(is_zero, zero, blo_sqrt(blo_select(is_zero, blo_full_like(v, 1.0), v)));
}

static blo_node *adam(const blo_optimizer_options *options, blo_node *p, blo_node *g, blo_node *const *states,
                      blo_node *rate, blo_node *step, blo_node **new_states) {
    blo_node *m = blo_add(blo_scale(states[0], options->beta1), blo_scale(g, 1.0 - options->beta1));
    blo_node *v = blo_add(blo_scale(states[1], options->beta2), blo_scale(blo_square(g), 1.0 - options->beta2));
    new_states[0] = m;
    new_states[1] = v;
    if (!p || !v)
        return NULL;
    blo_node *t = blo_shift(blo_cast(step, p->dtype), 1.0);
    if (!t)
        return NULL;
    blo_node *root_scale = blo_sqrt(bias_correction(options->beta2, t));
    blo_node *denominator = blo_shift(blo_div(guarded_root(v), root_scale), options->epsilon);
    blo_node *step_size = blo_div(rate, bias_correction(options->beta1, t));
    return blo_sub(p, blo_mul(step_size, blo_div(m, denominator)));
}

blo_node *blo_step_trace(const blo_optimizer_options *options, blo_node *p, blo_node *g, blo_node *const *states,
                         blo_node *rate, blo_node *step, blo_node **new_states) {
    if (options->weight_decay != 0.0)
        g = blo_add(g, blo_scale(p, options->weight_decay));
    if (options->kind == BLO_ADAM)
        return adam(options, p, g, states, rate, step, new_states);
    return sgd(options, p, g, states, rate, new_states);
}
