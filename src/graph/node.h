/* Inside the graph room: making nodes, and the table of primitives. */
#ifndef BLO_GRAPH_NODE_H
#define BLO_GRAPH_NODE_H

#include "graph.h"

/* What a derivative rule sees: adds to IN[i] (the cotangents of NODE's operands) given G, that of NODE. WANTED[i]:
 * operand i needs it. */
typedef void (*blo_derivative)(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);

/* What a batching rule sees: NODE of one task, and its operands IN[i] for TASKS tasks: [TASKS, shape] where PER_TASK[i]
 * (at least one is), else as they are, shared by all. Returns [TASKS, shape]. */
typedef blo_node *(*blo_batching)(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);

/* One primitive: everything about it but how it is emitted. */
typedef struct blo_op_entry {
    const char *name;
    int arity;
    bool elementwise;
    blo_derivative derivative; /* NULL: none (no derivative flows) */
    blo_batching batching;     /* NULL: a leaf, which is shared */
} blo_op_entry;

const blo_op_entry *blo_op_entry_of(blo_op op);

/* The node of these parts: found if there is an equal one, folded if its value is known, else new. Operands are checked
 * already. */
blo_node *blo_node_make(blo_graph *graph, blo_op op, blo_dtype dtype, int rank, const int64_t *shape, int n_in,
                        blo_node *const *in, const blo_attr *attr);
/* What the node would fold to: an existing node or a constant; NULL: it must be made. */
blo_node *blo_node_fold(const blo_node *node);

/* Images: nodes of four axes are [N,C,H,W] to the caller and [N,H,W,C] to the primitives; layout.c. */
blo_node *blo_channels_last(blo_node *a);
blo_node *blo_channels_first(blo_node *a);
/* The node with channels-first views of its operands moved behind it; NULL: there are none to move. */
blo_node *blo_fold_layout(const blo_node *node);
/* What a POOL_TAKE is without taking from what is computed; NULL: it must be made. pooling.c. */
blo_node *blo_fold_pool_take(const blo_node *node);

/* Derivatives of the primitives that have a file of their own. */
void blo_d_conv(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);
void blo_d_conv_input(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);
void blo_d_conv_weight(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);
void blo_d_pool_take(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);
void blo_d_pool_put(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);

/* The graph of operands that belong together; NULL (error set where there is a graph) when one is missing or of another
 * graph. */
blo_graph *blo_operands(const char *call, int n, blo_node *const *in);

/* Batching rules. */
blo_node *blo_b_elementwise(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_reduction(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_reshape(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_broadcast(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_permute(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_window(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_random(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_gather(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_scatter_add(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_matmul(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_conv(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_conv_weight(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
blo_node *blo_b_pool(const blo_node *node, int64_t tasks, blo_node *const *in, const bool *per_task);
/* What the rules have in common: ALL = [TASKS, SHAPE]; A repeated for all tasks (an error where it has no axis left);
 * A with axis FROM in the place TO, the others in order. */
void blo_task_shape(int64_t tasks, int rank, const int64_t *shape, int64_t *all);
blo_node *blo_for_all_tasks(blo_node *a, int64_t tasks);
blo_node *blo_move_axis(blo_node *a, int from, int to);

/* What NODE merely moves: moving costs nothing, and broadcasting makes more of it. */
blo_node *blo_moved(blo_node *node);

bool blo_is_floating(blo_dtype dtype);
bool blo_same_shape(const blo_node *a, const blo_node *b);
bool blo_is_constant(const blo_node *node, double value);
/* "[3,4]" */
enum { BLO_SHAPE_TEXT = 200 };
const char *blo_shape_text(int rank, const int64_t *shape, char text[BLO_SHAPE_TEXT]);
/* Makes *A and *B of one shape as NumPy does. False: the graph's error is set. */
bool blo_broadcast_pair(const char *call, blo_node **a, blo_node **b);

#endif
