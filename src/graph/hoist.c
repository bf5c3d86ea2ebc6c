/* What need not be computed again and again: values of a computation that does not depend on what varies. */
#include <stdlib.h>

#include "node.h"

/* An element takes at least this many operations: less is read no faster than it is computed. */
enum { LEAST_PER_ELEMENT = 8 };

blo_node *blo_moved(blo_node *node) {
    while (node->op == BLO_OP_RESHAPE || node->op == BLO_OP_BROADCAST || node->op == BLO_OP_PERMUTE)
        node = node->in[0];
    return node;
}

static bool is_worth_it(blo_node *node, double least) {
    if (node->op == BLO_OP_INPUT || node->op == BLO_OP_CONST || node->op == BLO_OP_IOTA || node->count == 0)
        return false;
    const double flops = blo_graph_flops(1, &node);
    return flops >= least && flops >= LEAST_PER_ELEMENT * (double)node->count;
}

/* VARIES[id]: node id is one of the M nodes VARYING or depends on one. */
static void mark_varying(const blo_graph *graph, int n_nodes, int m, blo_node *const *varying, bool *varies) {
    for (int i = 0; i < m; i++)
        if (varying[i])
            varies[varying[i]->id] = true;
    for (int id = 0; id < n_nodes; id++) {
        const blo_node *node = blo_graph_node(graph, id);
        for (int i = 0; i < node->n_in; i++)
            varies[id] = varies[id] || varies[node->in[i]->id];
    }
}

/* Takes NODE, or of what it is computed from that which is worth it. SEEN[id]: it was looked at. */
static void take(blo_node *node, double least, int most, bool *seen, blo_node **found, int *n) {
    node = blo_moved(node);
    if (seen[node->id])
        return;
    seen[node->id] = true;
    if (*n < most && is_worth_it(node, least))
        found[(*n)++] = node;
    else
        for (int i = 0; i < node->n_in; i++)
            take(node->in[i], least, most, seen, found, n);
}

blo_status blo_graph_invariants(int n, blo_node *const *outputs, int m, blo_node *const *varying, double least,
                                int most, blo_node **found, int *n_found) {
    *n_found = 0;
    if (n == 0)
        return BLO_OK;
    blo_graph *graph = outputs[0]->graph;
    const int n_nodes = blo_graph_nodes(graph);
    bool *live = calloc((size_t)n_nodes + 1, sizeof *live), *varies = calloc((size_t)n_nodes + 1, sizeof *varies),
         *seen = calloc((size_t)n_nodes + 1, sizeof *seen);
    if (live && varies && seen) {
        blo_graph_mark_live(n, outputs, live);
        mark_varying(graph, n_nodes, m, varying, varies);
        for (int id = 0; id < n_nodes; id++) {
            const blo_node *node = blo_graph_node(graph, id);
            for (int i = 0; live[id] && varies[id] && i < node->n_in; i++)
                if (!varies[node->in[i]->id])
                    take(node->in[i], least, most, seen, found, n_found);
        }
    } else
        blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory to look through %d nodes", n_nodes);
    free(live);
    free(varies);
    free(seen);
    return blo_graph_status(graph);
}
