/* Models, layers, losses and initialisers. A model is named parameters with their gradients and a function that builds
 * nodes. */
#ifndef CLBILEVEL_NN_H
#define CLBILEVEL_NN_H

#include <clbilevel/safetensors.h>
#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Builds the model's output from its input. USER is what was given to blo_model_set_forward(). */
typedef blo_node *(*blo_forward)(const blo_bound_model *model, blo_node *data, void *user);

/* --- models --- */

/* A model without parameters. DTYPE (float or double) is that of all its parameters. Owner: the caller; everything that
 * uses a model wants it alive. Errors: ARGUMENT, DTYPE, MEMORY. */
BLO_API blo_status blo_model_create(blo_context *context, blo_dtype dtype, blo_model **model);
BLO_API void blo_model_destroy(blo_model *model);

/* Adds a parameter [shape] of zeros, and its gradient of zeros. Names are unique. Errors: ARGUMENT, SHAPE, MEMORY,
 * BUDGET, DEVICE. */
BLO_API blo_status blo_model_add(blo_model *model, const char *name, int rank, const int64_t *shape);

/* Adds NAME.weight [OUT,IN] and NAME.bias [OUT], both uniform in +-1/sqrt(IN): torch.nn.Linear's initialisation, drawn
 * from the context's seed. */
BLO_API blo_status blo_model_add_linear(blo_model *model, const char *name, int64_t in, int64_t out);

BLO_API void blo_model_set_forward(blo_model *model, blo_forward forward, void *user);

BLO_API int blo_model_count(const blo_model *model);                        /* parameters */
BLO_API const char *blo_model_name(const blo_model *model, int index);      /* NULL out of range */
BLO_API blo_tensor *blo_model_value(blo_model *model, const char *name);    /* borrowed; NULL if there is none */
BLO_API blo_tensor *blo_model_gradient(blo_model *model, const char *name); /* borrowed; NULL if there is none */

/* Copies COUNT host values (converted to the model's dtype) into or out of a parameter. Errors: ARGUMENT, SHAPE,
 * DEVICE. */
BLO_API blo_status blo_model_set(blo_model *model, const char *name, const double *values, int64_t count);
BLO_API blo_status blo_model_get(blo_model *model, const char *name, double *values, int64_t count);
BLO_API blo_status blo_model_get_gradient(blo_model *model, const char *name, double *values, int64_t count);

/* Sets every gradient to zero (queued). */
BLO_API blo_status blo_model_zero_gradients(blo_model *model);

/* Clamps every element of every parameter to [LO,HI] (queued); what a projected upper step needs. */
BLO_API blo_status blo_model_clamp(blo_model *model, double lo, double hi);

/* --- models in files (safetensors) --- */

/* Adds every parameter of MODEL to FILE, as PREFIX.NAME (PREFIX NULL or "": NAME), of the model's type. Waits for the
 * device. The sentence of an error is the context's. Errors: ARGUMENT, MEMORY, DEVICE, NUMERIC (flagged earlier). */
BLO_API blo_status blo_model_store(const blo_model *model, const char *prefix, blo_safetensors *file);

/* Sets every parameter of MODEL from FILE's array PREFIX.NAME, converted to the model's type. All are checked before
 * the first is set: each must be there, of its shape, F32 or F64, and nothing else may be called PREFIX.something.
 * Gradients stay. Errors: FILE (what is there or lacking), SHAPE (the sentence names the parameter and both shapes),
 * DTYPE, MEMORY, DEVICE. */
BLO_API blo_status blo_model_restore(blo_model *model, const char *prefix, const blo_safetensors *file);

/* Both models in one file: UPPER's parameters as upper.NAME, LOWER's (the initialization) as lower.NAME; either may be
 * NULL, not both. Saving replaces PATH whole or leaves it; loading sets both models or, where a file does not fit,
 * neither. Metadata of one's own: blo_model_store() and <clbilevel/safetensors.h>. Errors: as above, and FILE,
 * UNSUPPORTED (built without jansson). */
BLO_API blo_status blo_models_save(const char *path, const blo_model *upper, const blo_model *lower);
BLO_API blo_status blo_models_load(const char *path, blo_model *upper, blo_model *lower);

/* --- initialisers (torch.nn.init's names and definitions; drawn from the context's seed, a fresh stream each call) ---
 */
BLO_API blo_status blo_init_uniform(blo_model *model, const char *name, double lo, double hi);
BLO_API blo_status blo_init_normal(blo_model *model, const char *name, double mean, double standard_deviation);
BLO_API blo_status blo_init_kaiming_uniform(blo_model *model, const char *name,
                                            double a); /* fan_in, leaky_relu gain of slope A */
BLO_API blo_status blo_init_kaiming_normal(blo_model *model, const char *name, double a);
BLO_API blo_status blo_init_xavier_uniform(blo_model *model, const char *name, double gain);
BLO_API blo_status blo_init_xavier_normal(blo_model *model, const char *name, double gain);

/* --- inside an objective --- */
BLO_API blo_node *blo_model_parameter(const blo_bound_model *model,
                                      const char *name); /* its node; an unknown name is the graph's error */
BLO_API blo_node *blo_model_forward(const blo_bound_model *model, blo_node *data);

/* --- layers and losses: functions over nodes --- */
/* x [...,IN], weight [OUT,IN], bias [OUT] or NULL: x weight^T + bias, [...,OUT]. */
BLO_API blo_node *blo_linear(blo_node *x, blo_node *weight, blo_node *bias);
/* blo_linear with the parameters NAME.weight and NAME.bias of MODEL. */
BLO_API blo_node *blo_model_linear(const blo_bound_model *model, const char *name, blo_node *x);
/* Zeroes each element with probability P and scales the rest by 1/(1-P); the mask is Philox(SEED) at COUNTER (int32
 * scalar). 0 <= P < 1. */
BLO_API blo_node *blo_dropout(blo_node *x, double p, blo_node *counter, uint64_t seed);

/* Over the last axis, shifted by the maximum, so that no finite input overflows. [...,C] -> [...,C] */
BLO_API blo_node *blo_softmax(blo_node *x);
BLO_API blo_node *blo_log_softmax(blo_node *x);
/* logits [N...,C], target [N...] class indices (int32 or uint8): -log_softmax(logits)[target]; [N...] or []. A target
 * outside 0 … C-1 gives NaN. As torch.nn.functional.cross_entropy. */
BLO_API blo_node *blo_cross_entropy(blo_node *logits, blo_node *target, blo_reduction reduction);
/* (prediction - target)^2, equal shapes; as torch.nn.functional.mse_loss. */
BLO_API blo_node *blo_mse(blo_node *prediction, blo_node *target, blo_reduction reduction);
/* Share of rows whose largest logit (the first of equals) is at the target: logits [N,C], target [N] -> []. No
 * derivative. */
BLO_API blo_node *blo_accuracy(blo_node *logits, blo_node *target);

#ifdef __cplusplus
}
#endif
#endif
