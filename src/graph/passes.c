/* Passes over graphs: liveness, dependence, substitution and import. Operands have smaller ids, so every pass is one
 * loop. */
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
    if (!live)
        return true; /* the safe answer */
    blo_node *output = (blo_node *)(uintptr_t)node;
    blo_graph_mark_live(1, &output, live);
    for (int i = 0; i < m; i++)
        found = found || live[on[i]->id];
    free(live);
    return found;
}

/* Rebuilds what OUTPUTS depend on in TARGET, where COPIES[id] may hold replacements already. */
static blo_status rebuild(blo_graph *target, int n, blo_node *const *outputs, blo_node **copies, blo_node **result) {
    const blo_graph *graph = outputs[0]->graph;
    int n_nodes = blo_graph_nodes(graph); /* before anything is added to it */
    bool *live = calloc((size_t)n_nodes + 1, sizeof *live);
    if (!live) {
        blo_graph_fail(target, BLO_ERROR_MEMORY, "no host memory to copy %d nodes", n_nodes);
        return BLO_ERROR_MEMORY;
    }
    blo_graph_mark_live(n, outputs, live);
    for (int id = 0; id < n_nodes && blo_graph_status(target) == BLO_OK; id++) {
        const blo_node *node = blo_graph_node(graph, id);
        blo_node *in[3] = {NULL, NULL, NULL};
        if (!live[id] || copies[id])
            continue;
        if (node->op == BLO_OP_INPUT && target != graph) {
            blo_graph_fail(target, BLO_ERROR_ARGUMENT, "input %d is not mapped to the new graph", node->attr.input);
            break;
        }
        for (int i = 0; i < node->n_in; i++)
            in[i] = copies[node->in[i]->id];
        copies[id] = blo_node_make(target, node->op, node->dtype, node->rank, node->shape, node->n_in, in, &node->attr);
    }
    for (int i = 0; i < n; i++)
        result[i] = blo_graph_status(target) == BLO_OK ? copies[outputs[i]->id] : NULL;
    free(live);
    return blo_graph_status(target);
}

static blo_node **make_copies(blo_graph *target, int n_nodes) {
    blo_node **copies = calloc((size_t)n_nodes + 1, sizeof *copies);
    if (!copies)
        blo_graph_fail(target, BLO_ERROR_MEMORY, "no host memory to copy %d nodes", n_nodes);
    return copies;
}

blo_status blo_graph_substitute(int n, blo_node *const *outputs, int m, blo_node *const *from, blo_node *const *to,
                                blo_node **result) {
    if (n == 0)
        return BLO_OK;
    blo_graph *graph = outputs[0]->graph;
    blo_node **copies = make_copies(graph, blo_graph_nodes(graph));
    if (!copies)
        return BLO_ERROR_MEMORY;
    for (int i = 0; i < m; i++)
        copies[from[i]->id] = to[i];
    blo_status status = rebuild(graph, n, outputs, copies, result);
    free(copies);
    return status;
}

blo_status blo_graph_import(blo_graph *target, blo_node *const *input_map, int n, blo_node *const *outputs,
                            blo_node **result) {
    if (n == 0)
        return BLO_OK;
    blo_graph *graph = outputs[0]->graph;
    blo_node **copies = make_copies(target, blo_graph_nodes(graph));
    if (!copies)
        return BLO_ERROR_MEMORY;
    for (int i = 0; i < blo_graph_inputs(graph); i++)
        copies[blo_graph_input_at(graph, i)->id] = input_map[i];
    blo_status status = rebuild(target, n, outputs, copies, result);
    free(copies);
    return status;
}
