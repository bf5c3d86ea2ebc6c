/* What one computation can leave to another, so that the other need not compute it again. */
#include <stdlib.h>

#include "node.h"

/* An array as small as this is read sooner than the launch that computes it is queued. */
enum { SMALL = 4096 };

static bool is_leaf(const blo_node *node) {
    return node->op == BLO_OP_INPUT || node->op == BLO_OP_CONST || node->op == BLO_OP_IOTA;
}

/* Reading NODE is less than computing it from its operands: products, reductions, pooling; and whatever is small.
 * Elementwise operations on large arrays are computed where they are used. */
static bool is_worth_it(const blo_node *node) {
    switch (node->op) {
    case BLO_OP_MATMUL:
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX:
    case BLO_OP_SCATTER_ADD:
    case BLO_OP_POOL_ARGMAX:
    case BLO_OP_POOL_TAKE:
    case BLO_OP_POOL_PUT: return true;
    default: return blo_is_convolution(node) || (blo_node_computes(node) && node->count <= SMALL);
    }
}

/* Takes NODE, or of what it is computed from that which is worth it. SEEN[id]: it was looked at. */
static void take(blo_node *node, int most, bool *seen, blo_node **found, int *n) {
    node = blo_moved(node);
    if (seen[node->id] || is_leaf(node) || node->count == 0)
        return;
    seen[node->id] = true;
    if (*n < most && is_worth_it(node))
        found[(*n)++] = node;
    else
        for (int i = 0; i < node->n_in; i++)
            take(node->in[i], most, seen, found, n);
}

blo_status blo_graph_shared(int n, blo_node *const *first, int m, blo_node *const *second, int most, blo_node **found,
                            int *n_found) {
    *n_found = 0;
    if (n == 0 || m == 0)
        return BLO_OK;
    blo_graph *graph = first[0]->graph;
    const int n_nodes = blo_graph_nodes(graph);
    bool *before = calloc((size_t)n_nodes + 1, sizeof *before), *after = calloc((size_t)n_nodes + 1, sizeof *after),
         *seen = calloc((size_t)n_nodes + 1, sizeof *seen);
    if (before && after && seen) {
        blo_graph_mark_live(n, first, before);
        blo_graph_mark_live(m, second, after);
        for (int id = 0; id < n_nodes; id++) {
            const blo_node *node = blo_graph_node(graph, id);
            for (int i = 0; after[id] && !before[id] && i < node->n_in; i++)
                if (before[node->in[i]->id])
                    take(node->in[i], most, seen, found, n_found);
        }
    } else
        blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory to look through %d nodes", n_nodes);
    free(before);
    free(after);
    free(seen);
    return blo_graph_status(graph);
}
