/* Inside the graph room: making nodes, and the table of primitives. */
#ifndef BLO_GRAPH_NODE_H
#define BLO_GRAPH_NODE_H

#include "graph.h"

/* What a derivative rule sees: adds to IN[i] (the cotangents of NODE's operands) given G, that of NODE. WANTED[i]:
 * operand i needs it. */
typedef void (*blo_derivative)(blo_node *node, blo_node *g, const bool *wanted, blo_node **in);

/* One primitive: everything about it but how it is emitted. */
typedef struct blo_op_entry {
    const char *name;
    int arity;
    bool elementwise;
    blo_derivative derivative; /* NULL: none (no derivative flows) */
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

bool blo_is_floating(blo_dtype dtype);
bool blo_same_shape(const blo_node *a, const blo_node *b);
bool blo_is_constant(const blo_node *node, double value);
/* "[3,4]" */
enum { BLO_SHAPE_TEXT = 200 };
const char *blo_shape_text(int rank, const int64_t *shape, char text[BLO_SHAPE_TEXT]);
/* Makes *A and *B of one shape as NumPy does. False: the graph's error is set. */
bool blo_broadcast_pair(const char *call, blo_node **a, blo_node **b);

#endif
