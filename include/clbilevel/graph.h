/* Graphs: what an objective builds. Every operation is differentiable to any order, in the same operations.
 *
 * Errors stick to the graph: the first mistake is kept (blo_graph_error), every later call returns NULL quietly, and a
 * NULL operand gives NULL; so building needs no checks in between. Nodes belong to their graph and die with it. Shapes
 * are written [N,D]; binary operations broadcast as NumPy does (right-aligned, extents equal or 1) and want equal
 * dtypes. Derivative conventions: relu'(0) = 0; abs'(0) = 0; minimum and maximum give half to each at a tie;
 * blo_max_axes gives equal shares at ties; clamp has derivative 1 where lo <= x <= hi, else 0; sqrt and log at 0 follow
 * IEEE; norm has derivative 0 at 0. */
#ifndef CLBILEVEL_GRAPH_H
#define CLBILEVEL_GRAPH_H

#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- graphs and leaves --- */

/* An empty graph. Objectives are handed nodes of a graph of the library's; own graphs are for blo_function_create().
 * Errors: ARGUMENT, MEMORY. Owner: the caller. */
BLO_API blo_status blo_graph_create(blo_graph **graph);
/* Its nodes go with it. NULL is allowed. */
BLO_API void blo_graph_destroy(blo_graph *graph);

/* The first mistake as a sentence, "" while there is none; its status. */
BLO_API const char *blo_graph_error(const blo_graph *graph);
BLO_API blo_status blo_graph_status(const blo_graph *graph);

/* Writes the nodes that the N outputs depend on as DOT to the file PATH ("-": standard output). Errors: ARGUMENT, FILE.
 */
BLO_API blo_status blo_graph_dump(int n, blo_node *const *outputs, const char *path);

/* An input [shape]; inputs are numbered in the order of these calls, and bound to tensors when the function is called.
 */
BLO_API blo_node *blo_graph_input(blo_graph *graph, const char *name, blo_dtype dtype, int rank, const int64_t *shape);

BLO_API blo_node *blo_constant(blo_graph *graph, blo_dtype dtype, double value); /* a scalar, [] */
BLO_API blo_node *blo_full(blo_graph *graph, blo_dtype dtype, double value, int rank, const int64_t *shape);
BLO_API blo_node *blo_iota(blo_graph *graph, blo_dtype dtype, int rank, const int64_t *shape,
                           int axis); /* the index along AXIS */

/* Uniform numbers in [0,1) of Philox 4x32-10 (Salmon et al., SC 2011): key SEED, counter (element index, COUNTER),
 * COUNTER an int32 scalar node (for instance the state's step). float: 24 bits, double: 53 bits, the same on every
 * device. */
BLO_API blo_node *blo_random_uniform(blo_node *counter, uint64_t seed, blo_dtype dtype, int rank, const int64_t *shape);
/* Standard normals by Box and Muller from two such uniforms. */
BLO_API blo_node *blo_random_normal(blo_node *counter, uint64_t seed, blo_dtype dtype, int rank, const int64_t *shape);

/* --- facts --- */
BLO_API blo_graph *blo_node_graph(const blo_node *node);
BLO_API blo_dtype blo_node_dtype(const blo_node *node);
BLO_API int blo_node_rank(const blo_node *node);
BLO_API const int64_t *blo_node_shape(const blo_node *node); /* [rank], owned by the node */

/* --- elementwise, one operand: result has the operand's shape --- */
BLO_API blo_node *blo_cast(blo_node *a, blo_dtype dtype); /* derivative passes between floating types only */
BLO_API blo_node *blo_neg(blo_node *a);
BLO_API blo_node *blo_exp(blo_node *a);
BLO_API blo_node *blo_log(blo_node *a);
BLO_API blo_node *blo_sin(blo_node *a);
BLO_API blo_node *blo_cos(blo_node *a);
BLO_API blo_node *blo_tanh(blo_node *a);
BLO_API blo_node *blo_sigmoid(blo_node *a); /* 1 / (1 + exp(-a)), without overflow */
BLO_API blo_node *blo_sqrt(blo_node *a);
BLO_API blo_node *blo_abs(blo_node *a);
BLO_API blo_node *blo_square(blo_node *a);
BLO_API blo_node *blo_relu(blo_node *a);
BLO_API blo_node *blo_leaky_relu(blo_node *a,
                                 double slope); /* a where a > 0, else slope * a, its derivative at 0 too */
BLO_API blo_node *blo_scale(blo_node *a, double factor);
BLO_API blo_node *blo_shift(blo_node *a, double term);
BLO_API blo_node *blo_clamp(blo_node *a, double lo, double hi);
BLO_API blo_node *blo_stop_gradient(blo_node *a); /* the same value, no derivative */
BLO_API blo_node *blo_logical_not(blo_node *a);   /* uint8 */

/* --- elementwise, two operands, broadcast --- */
BLO_API blo_node *blo_add(blo_node *a, blo_node *b);
BLO_API blo_node *blo_sub(blo_node *a, blo_node *b);
BLO_API blo_node *blo_mul(blo_node *a, blo_node *b);
BLO_API blo_node *blo_div(blo_node *a, blo_node *b);
BLO_API blo_node *blo_pow(blo_node *a, blo_node *b); /* d/da at b = 0 is 0; d/db at a = 0, b >= 0 is 0 (as PyTorch) */
BLO_API blo_node *blo_minimum(blo_node *a, blo_node *b);
BLO_API blo_node *blo_maximum(blo_node *a, blo_node *b);
BLO_API blo_node *blo_less(blo_node *a, blo_node *b); /* comparisons: uint8, 0 or 1, no derivative */
BLO_API blo_node *blo_less_equal(blo_node *a, blo_node *b);
BLO_API blo_node *blo_greater(blo_node *a, blo_node *b);
BLO_API blo_node *blo_greater_equal(blo_node *a, blo_node *b);
BLO_API blo_node *blo_equal(blo_node *a, blo_node *b);
BLO_API blo_node *blo_not_equal(blo_node *a, blo_node *b);
BLO_API blo_node *blo_logical_and(blo_node *a, blo_node *b); /* uint8 */
BLO_API blo_node *blo_logical_or(blo_node *a, blo_node *b);

/* CONDITION (uint8) ? A : B, broadcast; the derivative flows only to the side chosen (a mask selects, it never
 * multiplies). */
BLO_API blo_node *blo_select(blo_node *condition, blo_node *a, blo_node *b);

/* --- reductions --- */
/* Over all axes, giving a scalar []. The mean of nothing is NaN. */
BLO_API blo_node *blo_sum(blo_node *a);
BLO_API blo_node *blo_mean(blo_node *a);
/* Over N distinct AXES (negative: from the end); KEEP keeps them as extent 1. A maximum over nothing is an error. */
BLO_API blo_node *blo_sum_axes(blo_node *a, int n, const int *axes, bool keep);
BLO_API blo_node *blo_mean_axes(blo_node *a, int n, const int *axes, bool keep);
BLO_API blo_node *blo_max_axes(blo_node *a, int n, const int *axes, bool keep);
BLO_API blo_node *blo_min_axes(blo_node *a, int n, const int *axes, bool keep);
BLO_API blo_node *blo_norm(blo_node *a);             /* sqrt(sum(a*a)), [] ; derivative 0 where the norm is 0 */
BLO_API blo_node *blo_dot(blo_node *a, blo_node *b); /* sum(a*b), [] ; equal shapes */
BLO_API blo_node *blo_argmax(blo_node *a); /* over the last axis, int32, the first of equals: [...,C] -> [...] */

/* --- movement --- */
BLO_API blo_node *blo_reshape(blo_node *a, int rank, const int64_t *shape); /* one extent may be -1 */
BLO_API blo_node *blo_broadcast_to(blo_node *a, int rank, const int64_t *shape);
BLO_API blo_node *blo_permute(blo_node *a, const int *axes); /* axis i of the result is axis axes[i] of A; [rank] */
BLO_API blo_node *blo_transpose(blo_node *a);                /* the last two axes swapped */
/* Elements start[i], start[i]+step[i], … < stop[i] of each axis; STEP may be NULL (ones). 0 <= start <= stop <= extent,
 * step >= 1. */
BLO_API blo_node *blo_slice(blo_node *a, const int64_t *start, const int64_t *stop, const int64_t *step);
/* LOW zeros before, HIGH after, INTERIOR between neighbours, of each axis; INTERIOR may be NULL (none). */
BLO_API blo_node *blo_pad(blo_node *a, const int64_t *low, const int64_t *high, const int64_t *interior);
/* The N PARTS, whose extents and dtypes are equal but along AXIS (negative: from the end), one after another along it.
 */
BLO_API blo_node *blo_concat(int n, blo_node *const *parts, int axis);

/* --- indices --- */
/* Rows of A [R,...] at INDEX [I...] (int32 or uint8): [I...,...]. An index outside 0 … R-1 gives NaN (0 for integer A).
 */
BLO_API blo_node *blo_gather(blo_node *a, blo_node *index);
/* The adjoint of blo_gather: [ROWS,...], row r the sum of the rows of A [I...,...] whose INDEX [I...] is r. */
BLO_API blo_node *blo_scatter_add(blo_node *a, blo_node *index, int64_t rows);
/* INDEX [I...] -> [I...,CLASSES], 1 where the last index equals INDEX, else 0. */
BLO_API blo_node *blo_one_hot(blo_node *index, int64_t classes, blo_dtype dtype);

/* --- products --- */
/* Batched matrix product: A [B...,M,K] (or [B...,K,M] with TRANSPOSE_A) by B [B...,K,N] (or [B...,N,K]): [B...,M,N].
 * Batch axes are equal, or one operand has none. float or double. */
BLO_API blo_node *blo_matmul(blo_node *a, blo_node *b, bool transpose_a, bool transpose_b);

/* --- images: [N,C,H,W] of float or double, as PyTorch has them --- */
/* Pairs (STRIDE and the like) are [2], of height and width; NULL: 1, PADDING 0. */

/* The convolution (cross-correlation) of X [N,C,H,W] with WEIGHT [O,C/groups,R,S]: [N,O,P,Q], P = (H + 2 padding -
 * dilation (R - 1) - 1) / stride + 1. C and O are multiples of GROUPS. As torch.nn.functional.conv2d. */
BLO_API blo_node *blo_conv2d(blo_node *x, blo_node *weight, const int64_t *stride, const int64_t *padding,
                             const int64_t *dilation, int64_t groups);
/* Its adjoint towards the image (a transposed convolution): G [N,O,P,Q], SIZE {H,W} -> [N,C,H,W]. */
BLO_API blo_node *blo_conv2d_input(blo_node *g, blo_node *weight, const int64_t *size, const int64_t *stride,
                                   const int64_t *padding, const int64_t *dilation, int64_t groups);
/* Its adjoint towards the weight: X [N,C,H,W], G [N,O,P,Q], KERNEL {R,S} -> [O,C/groups,R,S]. */
BLO_API blo_node *blo_conv2d_weight(blo_node *x, blo_node *g, const int64_t *kernel, const int64_t *stride,
                                    const int64_t *padding, const int64_t *dilation, int64_t groups);

/* The maximum (its first place at ties, which the derivative follows; NaN if there is one) and the mean of windows of
 * KERNEL, which overlap if STRIDE (NULL: KERNEL) is smaller; what is left at the far edges is dropped. PADDING (NULL:
 * 0) is at most half of KERNEL: never the maximum, and zeros that count in the mean. As torch.nn.functional.max_pool2d,
 * avg_pool2d. */
BLO_API blo_node *blo_max_pool2d(blo_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding);
BLO_API blo_node *blo_avg_pool2d(blo_node *x, const int64_t *kernel, const int64_t *stride, const int64_t *padding);
BLO_API blo_node *blo_global_avg_pool2d(blo_node *x); /* [N,C] */
BLO_API blo_node *blo_global_max_pool2d(blo_node *x); /* [N,C] */
/* Each element FACTOR {height, width} times: X [N,C,H,W] -> [N,C,H*height,W*width]; the adjoint of summing windows. */
BLO_API blo_node *blo_upsample_nearest2d(blo_node *x, const int64_t *factor);

/* --- differentiation --- */
/* Reverse mode: GRADIENTS[i] = d LOSS / d WRT[i], nodes of the same graph and of WRT[i]'s shape (zeros where LOSS does
 * not depend on it). LOSS is a scalar, WRT[N] any nodes. On a mistake the graph's error is set and every gradient is
 * NULL. */
BLO_API blo_status blo_gradient(blo_node *loss, int n, blo_node *const *wrt, blo_node **gradients);
/* Vector-Jacobian product: sum over j of (d OUTPUTS[j] / d WRT[i])^T COTANGENTS[j]; a NULL cotangent is zero. */
BLO_API blo_status blo_vjp(int n_outputs, blo_node *const *outputs, blo_node *const *cotangents, int n,
                           blo_node *const *wrt, blo_node **gradients);

/* --- running a graph by itself --- */
/* Compiles the N OUTPUTS of one graph for CONTEXT. The graph may be destroyed afterwards.
 * Errors: those of the graph, DTYPE, MEMORY, BUDGET, BUILD, DEVICE. Owner: the caller. */
BLO_API blo_status blo_function_create(blo_context *context, int n, blo_node *const *outputs, blo_function **function);
/* NULL is allowed. */
BLO_API void blo_function_destroy(blo_function *function);
/* Queues one evaluation: INPUTS[N_INPUTS] in the order of blo_graph_input() (those the outputs do not need may be
 * NULL), OUTPUTS of the outputs' shapes and dtypes, none of them an input. Does not wait. Errors: ARGUMENT, SHAPE,
 * DTYPE, DEVICE. */
BLO_API blo_status blo_function_call(blo_function *function, int n_inputs, blo_tensor *const *inputs, int n_outputs,
                                     blo_tensor *const *outputs);

#ifdef __cplusplus
}
#endif
#endif
