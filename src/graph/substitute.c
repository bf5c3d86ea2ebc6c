/* Substitution: a computation once more with some of its values given. */
#include <stdlib.h>

#include "node.h"

/* NODE with the operands of MAP[id]; itself where none was replaced. */
static blo_node *remade(blo_node *node, blo_node *const *map) {
    blo_node *in[3] = {NULL, NULL, NULL};
    bool same = true;
    for (int i = 0; i < node->n_in; i++) {
        in[i] = map[node->in[i]->id];
        same = same && in[i] == node->in[i];
    }
    return same ? node
                : blo_node_make(node->graph, node->op, node->dtype, node->rank, node->shape, node->n_in, in,
                                &node->attr);
}

blo_status blo_graph_substitute(int m, blo_node *const *from, blo_node *const *to, int n, blo_node *const *outputs,
                                blo_node **results) {
    if (n == 0)
        return BLO_OK;
    blo_graph *graph = outputs[0]->graph;
    const int n_nodes = blo_graph_nodes(graph); /* what is remade comes after, and is no operand of these */
    bool *live = calloc((size_t)n_nodes + 1, sizeof *live);
    blo_node **map = calloc((size_t)n_nodes + 1, sizeof *map);
    if (live && map) {
        blo_graph_mark_live(n, outputs, live);
        for (int id = 0; id < n_nodes && blo_graph_status(graph) == BLO_OK; id++) {
            blo_node *node = blo_graph_node(graph, id);
            for (int i = 0; i < m; i++)
                if (from[i] == node)
                    map[id] = to[i];
            if (!map[id] && live[id])
                map[id] = remade(node, map);
        }
        for (int i = 0; i < n; i++)
            results[i] = map[outputs[i]->id];
    } else
        blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory to rewrite %d nodes", n_nodes);
    free(live);
    free(map);
    return blo_graph_status(graph);
}
