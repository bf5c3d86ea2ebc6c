/* Optimizers: SGD and Adam, on the caller's side over a model's gradients, and, traced, as the lower step. */
#ifndef CLBILEVEL_OPTIMIZER_H
#define CLBILEVEL_OPTIMIZER_H

#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum blo_optimizer_kind { BLO_SGD = 0, BLO_ADAM } blo_optimizer_kind;

/* Definitions are torch.optim's. SGD (without dampening): g += weight_decay * p; m = momentum * m + g, from m = 0;
 * Nesterov: g + momentum * m. Adam: Kingma and Ba, ICLR 2015, with bias correction and weight decay added to the
 * gradient; where the second moment is 0 its root passes no derivative. */
typedef struct blo_optimizer_options {
    blo_optimizer_kind kind; /* default BLO_SGD */
    double learning_rate;    /* default 0.1 for SGD, 0.001 for Adam */
    double momentum;         /* SGD; default 0 */
    bool nesterov;           /* SGD; default false; needs momentum > 0 */
    double weight_decay;     /* default 0 */
    double beta1, beta2;     /* Adam; default 0.9, 0.999 */
    double epsilon;          /* Adam, outside the root; default 1e-8 */
} blo_optimizer_options;

/* Fills OPTIONS with the defaults of KIND named above. */
BLO_API void blo_optimizer_options_default(blo_optimizer_options *options, blo_optimizer_kind kind);

/* An optimizer over all parameters of MODEL, its own state starting at zero. Errors: ARGUMENT (options out of range),
 * MEMORY, BUDGET, DEVICE. Owner: the caller; MODEL must outlive it. */
BLO_API blo_status blo_optimizer_create(blo_model *model, const blo_optimizer_options *options,
                                        blo_optimizer **optimizer);
/* NULL is allowed. */
BLO_API void blo_optimizer_destroy(blo_optimizer *optimizer);

/* Queues one step on the model's gradients. Never clears them. Errors: STATE (the model has been given parameters
 * since), BUILD, MEMORY, DEVICE. */
BLO_API blo_status blo_optimizer_step(blo_optimizer *optimizer);

/* Takes effect at the next step; nothing is rebuilt. Errors: ARGUMENT (negative, not finite), DEVICE. */
BLO_API blo_status blo_optimizer_set_learning_rate(blo_optimizer *optimizer, double learning_rate);

/* From the next step on, every element of every parameter is projected to [LO,HI] after it (as blo_model_clamp() does).
 * -INFINITY and INFINITY: no more. A projection of upper variables in this form is part of the step, so that
 * blo_iapttgm_solve() does it too. Errors: ARGUMENT (LO above HI, a NaN), MEMORY, BUDGET. */
BLO_API blo_status blo_optimizer_set_box(blo_optimizer *optimizer, double lo, double hi);

#ifdef __cplusplus
}
#endif
#endif
