/* What nodes cost: arithmetic operations by kind and size. Estimates to compare with, not to measure by. */
#include <stdlib.h>

#include "node.h"

int64_t blo_op_cost(blo_op op) {
    switch (op) {
    case BLO_OP_EXP:
    case BLO_OP_LOG:
    case BLO_OP_SIN:
    case BLO_OP_COS:
    case BLO_OP_TANH:
    case BLO_OP_SIGMOID:
    case BLO_OP_POW: return 10;
    case BLO_OP_RANDOM: return 40;
    case BLO_OP_SQRT:
    case BLO_OP_DIV: return 4;
    case BLO_OP_GATHER: return 2;
    default: return 1;
    }
}

uint64_t blo_node_bytes(const blo_node *node) {
    return (uint64_t)node->count * blo_dtype_size(node->dtype);
}

bool blo_is_convolution(const blo_node *node) {
    return node->op == BLO_OP_CONV || node->op == BLO_OP_CONV_INPUT || node->op == BLO_OP_CONV_WEIGHT;
}

double blo_convolution_products(const blo_node *node) {
    const int64_t *w = node->op == BLO_OP_CONV_WEIGHT ? node->shape : node->in[1]->shape;
    const int64_t *results = node->op == BLO_OP_CONV ? node->shape : node->in[node->op == BLO_OP_CONV_WEIGHT]->shape;
    return (double)(results[0] * results[1] * results[2]) * (double)(w[0] * w[1] * w[2] * w[3]);
}

bool blo_node_computes(const blo_node *node) {
    return (blo_op_elementwise(node->op) && node->op != BLO_OP_CAST && node->op != BLO_OP_STOP) ||
           node->op == BLO_OP_SUM || node->op == BLO_OP_REDUCE_MAX || node->op == BLO_OP_SCATTER_ADD ||
           node->op == BLO_OP_RANDOM;
}

double blo_node_flops(const blo_node *node) {
    const blo_node *a = node->n_in > 0 ? node->in[0] : NULL;
    if (node->op == BLO_OP_MATMUL)
        return 2.0 * (double)node->count * (double)a->shape[a->rank - (node->attr.matmul.transpose_a ? 2 : 1)];
    if (blo_is_convolution(node))
        return 2.0 * blo_convolution_products(node);
    if (!blo_node_computes(node))
        return 0;
    bool walks_operand = node->op == BLO_OP_SUM || node->op == BLO_OP_REDUCE_MAX || node->op == BLO_OP_SCATTER_ADD;
    return (double)(walks_operand ? a->count : node->count) * (double)blo_op_cost(node->op);
}

double blo_graph_flops(int n, blo_node *const *outputs) {
    double total = 0;
    if (n == 0)
        return 0;
    blo_graph *graph = outputs[0]->graph;
    int n_nodes = blo_graph_nodes(graph);
    bool *live = calloc((size_t)n_nodes + 1, sizeof *live);
    if (!live) {
        blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory to count the operations of %d nodes", n_nodes);
        return 0;
    }
    blo_graph_mark_live(n, outputs, live);
    for (int id = 0; id < n_nodes; id++)
        if (live[id])
            total += blo_node_flops(blo_graph_node(graph, id));
    free(live);
    return total;
}
