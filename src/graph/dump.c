/* A graph as DOT: one box per node with its operation, element type and shape. */
#include <stdio.h>
#include <stdlib.h>

#include "node.h"

static void write_node(FILE *file, const blo_node *node) {
    char shape[BLO_SHAPE_TEXT];
    const char *style = node->op == BLO_OP_INPUT    ? ", style=filled, fillcolor=lightblue"
                        : node->op == BLO_OP_MATMUL ? ", style=filled, fillcolor=lightyellow"
                                                    : "";
    fprintf(file, "  n%d [label=\"%d %s", node->id, node->id, blo_op_name(node->op));
    if (node->op == BLO_OP_INPUT)
        for (const char *c = blo_graph_input_name(node->graph, node->attr.input); *c; c++)
            fprintf(file, "%s%c", c == blo_graph_input_name(node->graph, node->attr.input) ? " " : "",
                    *c == '"' || *c == '\\' ? '_' : *c);
    if (node->op == BLO_OP_CONST)
        fprintf(file, " %g", node->attr.value);
    if (node->op == BLO_OP_MATMUL)
        fprintf(file, "%s%s", node->attr.matmul.transpose_a ? " A^T" : "", node->attr.matmul.transpose_b ? " B^T" : "");
    fprintf(file, "\\n%s %s\"%s];\n", blo_dtype_name(node->dtype), blo_shape_text(node->rank, node->shape, shape),
            style);
    for (int i = 0; i < node->n_in; i++)
        fprintf(file, "  n%d -> n%d;\n", node->in[i]->id, node->id);
}

blo_status blo_graph_dump(int n, blo_node *const *outputs, const char *path) {
    if (n < 1 || !outputs || !path || !blo_operands("blo_graph_dump", n, outputs))
        return BLO_ERROR_ARGUMENT;
    const blo_graph *graph = outputs[0]->graph;
    int n_nodes = blo_graph_nodes(graph);
    bool *live = calloc((size_t)n_nodes + 1, sizeof *live), standard = path[0] == '-' && !path[1];
    FILE *file = standard ? stdout : fopen(path, "w");
    if (!live || !file) {
        free(live);
        if (file && !standard)
            fclose(file);
        return live ? BLO_ERROR_FILE : BLO_ERROR_MEMORY;
    }
    blo_graph_mark_live(n, outputs, live);
    fprintf(file, "digraph clbilevel {\n  node [shape=box, fontname=monospace];\n");
    for (int id = 0; id < n_nodes; id++)
        if (live[id])
            write_node(file, blo_graph_node(graph, id));
    for (int i = 0; i < n; i++)
        fprintf(file, "  o%d [label=\"output %d\", shape=ellipse];\n  n%d -> o%d;\n", i, i, outputs[i]->id, i);
    fprintf(file, "}\n");
    bool written = !ferror(file) && fflush(file) == 0;
    if (!standard)
        written = fclose(file) == 0 && written;
    free(live);
    return written ? BLO_OK : BLO_ERROR_FILE;
}
