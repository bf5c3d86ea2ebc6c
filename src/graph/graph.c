/* Graphs: nodes in an arena, each made once, the first mistake kept. See graph.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"

enum { BLOCK_NODES = 256, FIRST_TABLE = 512 };

typedef struct block {
    struct block *next;
    blo_node nodes[BLOCK_NODES];
} block;

struct blo_graph {
    block *blocks;
    int n_nodes, nodes_capacity, n_inputs, inputs_capacity;
    blo_node **nodes;  /* by id */
    blo_node **inputs; /* by index */
    char **names;      /* of the inputs */
    int table_size;    /* a power of two */
    blo_node **table;  /* by hash, linear probing */
    blo_status status;
    char error[1024];
};

/* --- life and errors --- */

blo_status blo_graph_create(blo_graph **graph) {
    if (!graph)
        return BLO_ERROR_ARGUMENT;
    *graph = calloc(1, sizeof **graph);
    return *graph ? BLO_OK : BLO_ERROR_MEMORY;
}

void blo_graph_destroy(blo_graph *graph) {
    if (!graph)
        return;
    while (graph->blocks) {
        block *next = graph->blocks->next;
        free(graph->blocks);
        graph->blocks = next;
    }
    for (int i = 0; i < graph->n_inputs; i++)
        free(graph->names[i]);
    free(graph->names);
    free(graph->inputs);
    free(graph->nodes);
    free(graph->table);
    free(graph);
}

blo_node *blo_graph_fail(blo_graph *graph, blo_status status, const char *format, ...) {
    if (!graph || graph->status != BLO_OK)
        return NULL;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(graph->error, sizeof graph->error, format, arguments);
    va_end(arguments);
    graph->status = status;
    return NULL;
}

const char *blo_graph_error(const blo_graph *graph) {
    return graph ? graph->error : "no graph";
}

blo_status blo_graph_status(const blo_graph *graph) {
    return graph ? graph->status : BLO_ERROR_ARGUMENT;
}

static blo_node *no_memory(blo_graph *graph) {
    return blo_graph_fail(graph, BLO_ERROR_MEMORY, "no host memory for a graph of %d nodes", graph->n_nodes);
}

/* --- nodes --- */

static uint64_t hash_of(const blo_node *node) {
    uint64_t hash = 14695981039346656037u;
    const uint64_t words[] = {(uint64_t)node->op, (uint64_t)node->dtype, (uint64_t)node->rank};
    for (int i = 0; i < 3; i++)
        hash = (hash ^ words[i]) * 1099511628211u;
    for (int i = 0; i < node->rank; i++)
        hash = (hash ^ (uint64_t)node->shape[i]) * 1099511628211u;
    for (int i = 0; i < node->n_in; i++)
        hash = (hash ^ (uint64_t)node->in[i]->id) * 1099511628211u;
    const unsigned char *bytes = (const unsigned char *)&node->attr;
    for (size_t i = 0; i < sizeof node->attr; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

static bool equal(const blo_node *a, const blo_node *b) {
    return a->op == b->op && a->dtype == b->dtype && a->rank == b->rank && a->n_in == b->n_in &&
           !memcmp(a->shape, b->shape, sizeof a->shape) && !memcmp(a->in, b->in, sizeof a->in) &&
           !memcmp(&a->attr, &b->attr, sizeof a->attr);
}

/* Where NODE is in the table, or the free place it would take. */
static blo_node **place(blo_graph *graph, const blo_node *node) {
    size_t mask = (size_t)graph->table_size - 1, at = (size_t)hash_of(node) & mask;
    while (graph->table[at] && !equal(graph->table[at], node))
        at = (at + 1) & mask;
    return &graph->table[at];
}

static bool reserve(blo_graph *graph) {
    if (graph->n_nodes == graph->nodes_capacity) {
        int capacity = graph->nodes_capacity ? 2 * graph->nodes_capacity : BLOCK_NODES;
        blo_node **nodes = realloc(graph->nodes, (size_t)capacity * sizeof *nodes);
        if (!nodes)
            return false;
        graph->nodes = nodes;
        graph->nodes_capacity = capacity;
    }
    if (graph->n_nodes % BLOCK_NODES == 0) {
        block *fresh = calloc(1, sizeof *fresh);
        if (!fresh)
            return false;
        fresh->next = graph->blocks;
        graph->blocks = fresh;
    }
    if (2 * (graph->n_nodes + 1) <= graph->table_size)
        return true;
    int size = graph->table_size ? 2 * graph->table_size : FIRST_TABLE;
    blo_node **table = calloc((size_t)size, sizeof *table);
    if (!table)
        return false;
    free(graph->table);
    graph->table = table;
    graph->table_size = size;
    for (int id = 0; id < graph->n_nodes; id++)
        *place(graph, graph->nodes[id]) = graph->nodes[id];
    return true;
}

/* The element count, or -1 where the shape is no shape. */
static int64_t count_of(int rank, const int64_t *shape) {
    int64_t count = 1;
    if (rank < 0 || rank > BLO_MAX_RANK)
        return -1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0 || (shape[i] > 0 && count > INT64_MAX / 8 / shape[i]))
            return -1;
        count *= shape[i];
    }
    return count;
}

blo_node *blo_node_make(blo_graph *graph, blo_op op, blo_dtype dtype, int rank, const int64_t *shape, int n_in,
                        blo_node *const *in, const blo_attr *attr) {
    char text[BLO_SHAPE_TEXT];
    if (graph->status != BLO_OK)
        return NULL;
    blo_node node;
    memset(&node, 0, sizeof node); /* also what no field covers: nodes are compared byte by byte */
    int64_t count = count_of(rank, shape);
    if (rank < 0 || rank > BLO_MAX_RANK)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "%s: %d axes; at most %d are supported", blo_op_name(op), rank,
                              BLO_MAX_RANK);
    if (count < 0)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "%s: %s is no shape", blo_op_name(op),
                              blo_shape_text(rank, shape, text));
    node.graph = graph;
    node.op = op;
    node.dtype = dtype;
    node.rank = rank;
    node.count = count;
    node.n_in = n_in;
    for (int i = 0; i < rank; i++)
        node.shape[i] = shape[i];
    for (int i = 0; i < n_in; i++)
        node.in[i] = in[i];
    if (attr)
        memcpy(&node.attr, attr, sizeof node.attr);
    blo_node *folded = blo_node_fold(&node);
    if (folded || graph->status != BLO_OK)
        return folded;
    if (!reserve(graph))
        return no_memory(graph);
    blo_node **at = place(graph, &node);
    if (*at)
        return *at;
    blo_node *made = &graph->blocks->nodes[graph->n_nodes % BLOCK_NODES];
    node.id = graph->n_nodes;
    memcpy(made, &node, sizeof node);
    *at = made;
    graph->nodes[graph->n_nodes++] = made;
    return made;
}

blo_node *blo_graph_input(blo_graph *graph, const char *name, blo_dtype dtype, int rank, const int64_t *shape) {
    if (!graph || graph->status != BLO_OK)
        return NULL;
    if (blo_dtype_size(dtype) == 0)
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "blo_graph_input: %d is no element type", (int)dtype);
    if (graph->n_inputs == graph->inputs_capacity) {
        int capacity = graph->inputs_capacity ? 2 * graph->inputs_capacity : 16;
        blo_node **inputs = realloc(graph->inputs, (size_t)capacity * sizeof *inputs);
        if (inputs)
            graph->inputs = inputs;
        char **names = realloc(graph->names, (size_t)capacity * sizeof *names);
        if (names)
            graph->names = names;
        if (!inputs || !names)
            return no_memory(graph);
        graph->inputs_capacity = capacity;
    }
    const char *from = name ? name : "";
    char *copy = malloc(strlen(from) + 1);
    if (!copy)
        return no_memory(graph);
    blo_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.input = graph->n_inputs;
    blo_node *node = blo_node_make(graph, BLO_OP_INPUT, dtype, rank, shape, 0, NULL, &attr);
    if (!node) {
        free(copy);
        return NULL;
    }
    graph->names[graph->n_inputs] = strcpy(copy, from);
    graph->inputs[graph->n_inputs++] = node;
    return node;
}

/* --- facts --- */

blo_graph *blo_node_graph(const blo_node *node) {
    return node ? node->graph : NULL;
}

blo_dtype blo_node_dtype(const blo_node *node) {
    return node->dtype;
}

int blo_node_rank(const blo_node *node) {
    return node->rank;
}

const int64_t *blo_node_shape(const blo_node *node) {
    return node->shape;
}

int blo_graph_inputs(const blo_graph *graph) {
    return graph->n_inputs;
}

blo_node *blo_graph_input_at(const blo_graph *graph, int index) {
    return graph->inputs[index];
}

const char *blo_graph_input_name(const blo_graph *graph, int index) {
    return graph->names[index];
}

int blo_graph_nodes(const blo_graph *graph) {
    return graph->n_nodes;
}

blo_node *blo_graph_node(const blo_graph *graph, int id) {
    return graph->nodes[id];
}

/* --- helpers of the builders --- */

bool blo_is_floating(blo_dtype dtype) {
    return dtype == BLO_FLOAT || dtype == BLO_DOUBLE;
}

bool blo_same_shape(const blo_node *a, const blo_node *b) {
    return a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape);
}

bool blo_is_constant(const blo_node *node, double value) {
    return node->op == BLO_OP_CONST && node->attr.value == value;
}

const char *blo_shape_text(int rank, const int64_t *shape, char text[BLO_SHAPE_TEXT]) {
    int used = snprintf(text, BLO_SHAPE_TEXT, "[");
    for (int i = 0; i < rank && i < BLO_MAX_RANK; i++)
        used += snprintf(text + used, (size_t)(BLO_SHAPE_TEXT - used), "%s%lld", i ? "," : "", (long long)shape[i]);
    snprintf(text + used, (size_t)(BLO_SHAPE_TEXT - used), "]");
    return text;
}

blo_graph *blo_operands(const char *call, int n, blo_node *const *in) {
    blo_graph *graph = NULL;
    bool missing = false;
    for (int i = 0; i < n; i++) {
        missing = missing || !in[i];
        if (in[i] && !graph)
            graph = in[i]->graph;
    }
    if (!graph || graph->status != BLO_OK)
        return NULL;
    if (missing)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "%s: an operand is NULL", call), NULL;
    for (int i = 0; i < n; i++)
        if (in[i]->graph != graph)
            return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "%s: operand %d belongs to another graph", call, i), NULL;
    return graph;
}
