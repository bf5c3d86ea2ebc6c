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
/* NULL is allowed. */
BLO_API void blo_model_destroy(blo_model *model);

/* Adds a parameter [shape] of zeros, and its gradient of zeros. Names are unique. Errors, here and of the layers and
 * backbones below: ARGUMENT, SHAPE, MEMORY, BUDGET, DEVICE. */
BLO_API blo_status blo_model_add(blo_model *model, const char *name, int rank, const int64_t *shape);

/* Adds NAME.weight [OUT,IN] and NAME.bias [OUT], both uniform in +-1/sqrt(IN): torch.nn.Linear's initialisation, drawn
 * from the context's seed. */
BLO_API blo_status blo_model_add_linear(blo_model *model, const char *name, int64_t in, int64_t out);

/* Adds NAME.weight [OUT,IN/GROUPS,KERNEL,KERNEL] and, with BIAS, NAME.bias [OUT]: torch.nn.Conv2d's initialisation,
 * uniform in +-1/sqrt(IN/GROUPS * KERNEL^2). IN and OUT are multiples of GROUPS. */
BLO_API blo_status blo_model_add_conv2d(blo_model *model, const char *name, int64_t in, int64_t out, int64_t kernel,
                                        int64_t groups, bool bias);
/* Adds NAME.weight [shape] of ones and NAME.bias [shape] of zeros: of a batch or group norm (SHAPE: the channels), of a
 * layer norm (the axes it normalises). */
BLO_API blo_status blo_model_add_norm(blo_model *model, const char *name, int rank, const int64_t *shape);

/* Adds a buffer [shape] of zeros: an array that belongs to the model and its files but is no parameter: it has no
 * gradient, and no optimizer steps it. Names are unique among parameters and buffers. Errors as above. */
BLO_API blo_status blo_model_add_buffer(blo_model *model, const char *name, int rank, const int64_t *shape);

/* Running statistics, for the batch norms at or under PREFIX (NULL or "": all): every layer whose weight is a vector,
 * as a norm's is. Adds buffers LAYER.running_mean [C] of zeros and LAYER.running_var [C] of ones, as
 * torch.nn.BatchNorm2d has them; blo_model_batch_norm() then tracks its batch's mean and unbiased variance in them by
 * MOMENTUM (0 to 1; 0.1 there), and in evaluation (blo_model_in_evaluation()) normalises by them. Errors: ARGUMENT (no
 * such layer, a name that is taken), MEMORY, BUDGET, DEVICE. */
BLO_API blo_status blo_model_add_running_statistics(blo_model *model, const char *prefix, double momentum);

/* What blo_model_forward() calls from now on, with USER; objectives that were traced before are traced anew. */
BLO_API void blo_model_set_forward(blo_model *model, blo_forward forward, void *user);

BLO_API int blo_model_count(const blo_model *model);                   /* parameters */
BLO_API const char *blo_model_name(const blo_model *model, int index); /* NULL out of range */
BLO_API int blo_model_buffer_count(const blo_model *model);
BLO_API const char *blo_model_buffer_name(const blo_model *model, int index); /* NULL out of range */
/* Of a parameter or a buffer: borrowed; NULL if there is none. */
BLO_API blo_tensor *blo_model_value(blo_model *model, const char *name);
BLO_API blo_tensor *blo_model_gradient(blo_model *model, const char *name); /* borrowed; NULL if there is none */

/* Copies COUNT host values (converted to the model's dtype) into or out of a parameter or a buffer, or out of a
 * parameter's gradient. What copies out waits. Errors: ARGUMENT, SHAPE, MEMORY, DEVICE, NUMERIC (flagged earlier). */
BLO_API blo_status blo_model_set(blo_model *model, const char *name, const double *values, int64_t count);
BLO_API blo_status blo_model_get(blo_model *model, const char *name, double *values, int64_t count);
BLO_API blo_status blo_model_get_gradient(blo_model *model, const char *name, double *values, int64_t count);

/* Sets every gradient to zero (queued). Errors: ARGUMENT, DEVICE. */
BLO_API blo_status blo_model_zero_gradients(blo_model *model);

/* Clamps every element of every parameter to [LO,HI] (queued); what a projected upper step needs. Errors: ARGUMENT (LO
 * above HI, a NaN), MEMORY, BUDGET, BUILD, DEVICE. */
BLO_API blo_status blo_model_clamp(blo_model *model, double lo, double hi);

/* --- models in files (safetensors) --- */

/* Adds every parameter and buffer of MODEL to FILE, as PREFIX.NAME (PREFIX NULL or "": NAME), of the model's type.
 * Waits for the device. The sentence of an error is the context's. Errors: ARGUMENT, MEMORY, DEVICE, NUMERIC (flagged
 * earlier). */
BLO_API blo_status blo_model_store(const blo_model *model, const char *prefix, blo_safetensors *file);

/* Sets every parameter and buffer of MODEL from FILE's array PREFIX.NAME, converted to the model's type. All are
 * checked before the first is set: each must be there, of its shape, F32 or F64, and nothing else may be called
 * PREFIX.something. Gradients stay. Errors: FILE (what is there or lacking), SHAPE (the sentence names the parameter
 * and both shapes), DTYPE, MEMORY, DEVICE. */
BLO_API blo_status blo_model_restore(blo_model *model, const char *prefix, const blo_safetensors *file);

/* Both models in one file: UPPER's parameters as upper.NAME, LOWER's (the initialization) as lower.NAME; either may be
 * NULL, not both. Saving replaces PATH whole or leaves it; loading sets both models or, where a file does not fit,
 * neither. Metadata of one's own: blo_model_store() and <clbilevel/safetensors.h>. Errors: as above, and FILE,
 * UNSUPPORTED (built without jansson). */
BLO_API blo_status blo_models_save(const char *path, const blo_model *upper, const blo_model *lower);
BLO_API blo_status blo_models_load(const char *path, blo_model *upper, blo_model *lower);

/* --- initialisers (torch.nn.init's names and definitions; drawn from the context's seed, a fresh stream each call) ---
 *
 * Of parameter NAME [OUT,IN,K...] fan_in is IN, fan_out OUT times the product of K. Errors: ARGUMENT, SHAPE (a fan of
 * less than two axes), MEMORY, DEVICE. */
BLO_API blo_status blo_init_uniform(blo_model *model, const char *name, double lo, double hi);
BLO_API blo_status blo_init_normal(blo_model *model, const char *name, double mean, double standard_deviation);
/* He et al., ICCV 2015, for a leaky relu of slope A: uniform in +-sqrt(6 / ((1 + A^2) fan_in)); normal of deviation
 * sqrt(2 / ((1 + A^2) fan_in)). */
BLO_API blo_status blo_init_kaiming_uniform(blo_model *model, const char *name, double a);
BLO_API blo_status blo_init_kaiming_normal(blo_model *model, const char *name, double a);
/* Glorot and Bengio, AISTATS 2010: uniform in +-GAIN sqrt(6 / (fan_in + fan_out)); normal of deviation
 * GAIN sqrt(2 / (fan_in + fan_out)). */
BLO_API blo_status blo_init_xavier_uniform(blo_model *model, const char *name, double gain);
BLO_API blo_status blo_init_xavier_normal(blo_model *model, const char *name, double gain);

/* --- inside an objective --- */
/* Parameter NAME's node. An unknown name is the graph's error. */
BLO_API blo_node *blo_model_parameter(const blo_bound_model *model, const char *name);
/* What the model's forward function builds from DATA. That there is none is the graph's error. */
BLO_API blo_node *blo_model_forward(const blo_bound_model *model, blo_node *data);

/* Buffer NAME's node: its value, without a derivative. An unknown name is the graph's error. */
BLO_API blo_node *blo_model_buffer(const blo_bound_model *model, const char *name);
/* Tracks VALUE, of the buffer's shape and dtype, in BUFFER: buffer <- (1 - MOMENTUM) * buffer + MOMENTUM * VALUE at
 * every evaluation of f and of F in a lower loop (F: after every step, or, without acquire_max_loss, at T), in the
 * order of the calls within one evaluation. blo_lower_optimize() commits the result once, as these updates one after
 * another would leave it, when the loop has succeeded; a loop that fails, blo_iapttgm_compute_gradients() and
 * evaluations outside loops leave buffers as they were. Has no part in any derivative. An objective of a loop may not
 * read what the loop tracks. Several tasks at once leave what loops of one task after another would. MOMENTUM: 0 to 1.
 * Errors stick to the graph: ARGUMENT, SHAPE, MEMORY. */
BLO_API blo_status blo_model_track(const blo_bound_model *model, const char *buffer, blo_node *value, double momentum);
/* The same model in evaluation: batch norms with running statistics normalise by them, and nothing is tracked.
 * Borrowed; lives as long as MODEL. */
BLO_API const blo_bound_model *blo_model_in_evaluation(const blo_bound_model *model);

/* --- layers and losses: functions over nodes --- */
/* x [...,IN], weight [OUT,IN], bias [OUT] or NULL: x weight^T + bias, [...,OUT]. */
BLO_API blo_node *blo_linear(blo_node *x, blo_node *weight, blo_node *bias);
/* blo_linear with the parameters NAME.weight and NAME.bias of MODEL. */
BLO_API blo_node *blo_model_linear(const blo_bound_model *model, const char *name, blo_node *x);
/* blo_conv2d with NAME.weight of MODEL, plus NAME.bias if there is one. */
BLO_API blo_node *blo_model_conv2d(const blo_bound_model *model, const char *name, blo_node *x, int64_t stride,
                                   int64_t padding, int64_t groups);

/* Normalisation. EPS is added to the variance; WEIGHT and BIAS may be NULL. As torch.nn.functional has them.
 * x [N,C,...], weight, bias [C]: over all axes but C, by the statistics of this batch. */
BLO_API blo_node *blo_batch_norm(blo_node *x, blo_node *weight, blo_node *bias, double eps);
/* Those statistics, [C] each, the variance biased; and normalising by statistics from elsewhere (running ones). */
BLO_API blo_status blo_batch_statistics(blo_node *x, blo_node **mean, blo_node **variance);
BLO_API blo_node *blo_normalize(blo_node *x, blo_node *mean, blo_node *variance, blo_node *weight, blo_node *bias,
                                double eps);
/* Over the last N_AXES; weight, bias of their extents. */
BLO_API blo_node *blo_layer_norm(blo_node *x, int n_axes, blo_node *weight, blo_node *bias, double eps);
/* x [N,C,...], weight, bias [C]: over C / GROUPS neighbouring channels of one example. */
BLO_API blo_node *blo_group_norm(blo_node *x, int64_t groups, blo_node *weight, blo_node *bias, double eps);
/* The same with NAME.weight and NAME.bias of MODEL; batch norm with running statistics where the model has them. */
BLO_API blo_node *blo_model_batch_norm(const blo_bound_model *model, const char *name, blo_node *x, double eps);
BLO_API blo_node *blo_model_layer_norm(const blo_bound_model *model, const char *name, blo_node *x, double eps);
BLO_API blo_node *blo_model_group_norm(const blo_bound_model *model, const char *name, blo_node *x, int64_t groups,
                                       double eps);

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

/* --- backbones of few-shot learning --- */

/* Order of what follows a block's convolution. */
typedef enum blo_block { BLO_BLOCK_CONV_BN_RELU_POOL = 0, BLO_BLOCK_CONV_RELU_POOL_BN } blo_block;

/* A ConvNet of BLOCKS blocks (4: ConvNet-4) of a 3x3 convolution of FILTERS with padding 1, batch norm, relu and max
 * pooling by 2. Parameters: PREFIX.layer1.conv.weight, .conv.bias, .norm.weight, .norm.bias, PREFIX.layer2 … (PREFIX ""
 * or NULL: layer1.conv.weight …). Any model may hold it: of the upper or of the lower side, alone or beside other
 * layers. */
BLO_API blo_status blo_model_add_convnet(blo_model *model, const char *prefix, int64_t channels, int64_t filters,
                                         int blocks);
/* Its features of x [N,channels,H,W]: [N, filters * (H >> blocks) * (W >> blocks)], flattened as torch.nn.Flatten does.
 */
BLO_API blo_node *blo_model_convnet(const blo_bound_model *model, const char *prefix, blo_node *x, int blocks,
                                    blo_block block);

/* ResNet-12 as few-shot papers use it: four blocks of three 3x3 convolutions without bias, batch norm and leaky relu of
 * slope 0.1, a 1x1 convolution with batch norm beside them, max pooling by 2; widths 1, 2.5, 5, 10 times FILTERS (64:
 * 64, 160, 320, 640); the mean over the pixels at the end. Parameters: PREFIX.layer1.0.conv1.weight, .0.bn1.weight,
 * .0.bn1.bias, … .0.conv3, .0.bn3, .0.downsample.0.weight, .0.downsample.1.weight, .0.downsample.1.bias, PREFIX.layer2
 * …; convolutions start as torch.nn.init.kaiming_normal_(mode='fan_out', nonlinearity='leaky_relu') does. */
BLO_API blo_status blo_model_add_resnet12(blo_model *model, const char *prefix, int64_t channels, int64_t filters);
/* Its features of x [N,channels,H,W], 16 pixels at least each way: [N, 10 * filters]. */
BLO_API blo_node *blo_model_resnet12(const blo_bound_model *model, const char *prefix, blo_node *x);

#ifdef __cplusplus
}
#endif
#endif
