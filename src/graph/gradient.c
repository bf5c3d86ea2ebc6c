/* Reverse-mode differentiation: from the outputs down by falling id, towards the nodes that depend on what is wanted
 * and nowhere else, so that no dead adjoint is ever built. */
#include <stdlib.h>

#include "node.h"

/* WANTED[id]: node id is one of WRT or depends on one, through operations that pass derivatives. */
static void mark_wanted(const blo_graph *graph, int n_nodes, int n, blo_node *const *wrt, bool *wanted) {
    for (int i = 0; i < n; i++)
        wanted[wrt[i]->id] = true;
    for (int id = 0; id < n_nodes; id++) {
        const blo_node *node = blo_graph_node(graph, id);
        if (!blo_op_entry_of(node->op)->derivative || !blo_is_floating(node->dtype))
            continue;
        for (int i = 0; i < node->n_in; i++)
            wanted[id] = wanted[id] || wanted[node->in[i]->id];
    }
}

static void accumulate(blo_node **sum, blo_node *term) {
    *sum = *sum && term ? blo_add(*sum, term) : term ? term : *sum;
}

/* Adds NODE's share to the cotangents of its operands. */
static void pull_back(blo_node *node, const bool *wanted, blo_node **cotangents) {
    blo_node *in[3] = {NULL, NULL, NULL};
    bool need[3] = {false, false, false}, any = false;
    for (int i = 0; i < node->n_in; i++) {
        need[i] = wanted[node->in[i]->id] && blo_is_floating(node->in[i]->dtype);
        any = any || need[i];
    }
    if (!any)
        return;
    blo_op_entry_of(node->op)->derivative(node, cotangents[node->id], need, in);
    for (int i = 0; i < node->n_in; i++)
        if (need[i])
            accumulate(&cotangents[node->in[i]->id], in[i]);
}

static bool check(blo_graph *graph, int n_outputs, blo_node *const *outputs, blo_node *const *cotangents) {
    char left[BLO_SHAPE_TEXT], right[BLO_SHAPE_TEXT];
    for (int i = 0; i < n_outputs; i++) {
        if (cotangents[i] && (cotangents[i]->graph != graph || cotangents[i]->dtype != outputs[i]->dtype ||
                              !blo_same_shape(cotangents[i], outputs[i]))) {
            blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_vjp: output %d is %s %s and its cotangent %s %s", i,
                           blo_dtype_name(outputs[i]->dtype), blo_shape_text(outputs[i]->rank, outputs[i]->shape, left),
                           blo_dtype_name(cotangents[i]->dtype),
                           blo_shape_text(cotangents[i]->rank, cotangents[i]->shape, right));
            return false;
        }
        if (cotangents[i] && !blo_is_floating(outputs[i]->dtype)) {
            blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_vjp: output %d is %s, which has no derivative", i,
                           blo_dtype_name(outputs[i]->dtype));
            return false;
        }
    }
    return true;
}

blo_status blo_vjp(int n_outputs, blo_node *const *outputs, blo_node *const *given, int n, blo_node *const *wrt,
                   blo_node **gradients) {
    for (int i = 0; i < n; i++)
        gradients[i] = NULL;
    blo_graph *graph = n_outputs > 0 ? blo_operands("blo_vjp", n_outputs, outputs) : NULL;
    if (!graph || (n > 0 && !blo_operands("blo_vjp", n, wrt)))
        return graph && blo_graph_status(graph) != BLO_OK ? blo_graph_status(graph) : BLO_ERROR_ARGUMENT;
    if (!check(graph, n_outputs, outputs, given))
        return blo_graph_status(graph);
    int n_nodes = blo_graph_nodes(graph);
    bool *wanted = calloc((size_t)n_nodes + 1, sizeof *wanted);
    blo_node **cotangents = calloc((size_t)n_nodes + 1, sizeof *cotangents);
    if (!wanted || !cotangents) {
        free(wanted);
        free(cotangents);
        blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory to differentiate %d nodes", n_nodes);
        return BLO_ERROR_MEMORY;
    }
    mark_wanted(graph, n_nodes, n, wrt, wanted);
    for (int i = 0; i < n_outputs; i++)
        if (wanted[outputs[i]->id])
            accumulate(&cotangents[outputs[i]->id], given[i]);
    for (int id = n_nodes - 1; id >= 0; id--)
        if (cotangents[id] && wanted[id])
            pull_back(blo_graph_node(graph, id), wanted, cotangents);
    for (int i = 0; i < n && blo_graph_status(graph) == BLO_OK; i++)
        gradients[i] = cotangents[wrt[i]->id] ? cotangents[wrt[i]->id] : blo_zeros_like(wrt[i]);
    free(wanted);
    free(cotangents);
    for (int i = 0; i < n && blo_graph_status(graph) != BLO_OK; i++)
        gradients[i] = NULL;
    return blo_graph_status(graph);
}

blo_status blo_gradient(blo_node *loss, int n, blo_node *const *wrt, blo_node **gradients) {
    char text[BLO_SHAPE_TEXT];
    for (int i = 0; i < n; i++)
        gradients[i] = NULL;
    blo_graph *graph = blo_operands("blo_gradient", 1, &loss);
    if (!graph)
        return loss ? blo_graph_status(loss->graph) : BLO_ERROR_ARGUMENT;
    if (loss->rank != 0 || !blo_is_floating(loss->dtype)) {
        blo_graph_fail(graph, BLO_ERROR_SHAPE, "blo_gradient: the loss is %s %s; a float or double scalar [] is wanted",
                       blo_dtype_name(loss->dtype), blo_shape_text(loss->rank, loss->shape, text));
        return blo_graph_status(graph);
    }
    blo_node *one = blo_full_like(loss, 1);
    return blo_vjp(1, &loss, &one, n, wrt, gradients);
}
