/* Passes over graphs: liveness and dependence. Operands have smaller ids, so every pass is one loop. */
#include <stdlib.h>
#include <string.h>

#include "node.h"

void blo_graph_mark_live(int n, blo_node *const *outputs, bool *live) {
    if (n == 0)
        return;
    const blo_graph *graph = outputs[0]->graph;
    int n_nodes = blo_graph_nodes(graph);
    memset(live, 0, (size_t)n_nodes * sizeof *live);
    for (int i = 0; i < n; i++)
        live[outputs[i]->id] = true;
    for (int id = n_nodes - 1; id >= 0; id--) {
        const blo_node *node = blo_graph_node(graph, id);
        for (int i = 0; live[id] && i < node->n_in; i++)
            live[node->in[i]->id] = true;
    }
}

bool blo_graph_depends(const blo_node *node, int m, blo_node *const *on) {
    bool *live = calloc((size_t)blo_graph_nodes(node->graph) + 1, sizeof *live), found = false;
    if (!live) {
        blo_graph_fail(node->graph, BLO_ERROR_MEMORY, "no host memory to look through %d nodes",
                       blo_graph_nodes(node->graph));
        return true;
    }
    blo_node *output = (blo_node *)(uintptr_t)node;
    blo_graph_mark_live(1, &output, live);
    for (int i = 0; i < m; i++)
        found = found || live[on[i]->id];
    free(live);
    return found;
}
