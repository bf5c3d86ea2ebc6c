/* The graph as the rooms above see it: nodes, passes over them. Knows nothing of OpenCL. */
#ifndef BLO_GRAPH_GRAPH_H
#define BLO_GRAPH_GRAPH_H

#include <clbilevel/graph.h>

/* The primitives. Everything else is built of them; the table in ops.c gives each one's name, arity and derivative. */
typedef enum blo_op {
    BLO_OP_INPUT,  /* leaf; attr.input */
    BLO_OP_CONST,  /* leaf; every element attr.value (of any dtype) */
    BLO_OP_IOTA,   /* leaf; the index along attr.axis */
    BLO_OP_RANDOM, /* in: counter int32 []; uniform [0,1), Philox key attr.seed, counter (element lo, element hi,
                      counter, 0) */
    /* elementwise, operands of the result's shape (never broadcast: BROADCAST nodes stand before them) */
    BLO_OP_CAST,
    BLO_OP_NEG,
    BLO_OP_EXP,
    BLO_OP_LOG,
    BLO_OP_SIN,
    BLO_OP_COS,
    BLO_OP_TANH,
    BLO_OP_SIGMOID,
    BLO_OP_SQRT,
    BLO_OP_STOP, /* identity without derivative */
    BLO_OP_ADD,
    BLO_OP_SUB,
    BLO_OP_MUL,
    BLO_OP_DIV,
    BLO_OP_POW,
    BLO_OP_MIN,
    BLO_OP_MAX, /* min, max: NaN if either is */
    BLO_OP_LT,
    BLO_OP_LE,
    BLO_OP_EQ,
    BLO_OP_NE, /* -> uint8 */
    BLO_OP_AND,
    BLO_OP_OR,     /* uint8 -> uint8 */
    BLO_OP_SELECT, /* in: condition uint8, a, b */
    /* reductions: the axes in attr.axes (a bit mask) are removed */
    BLO_OP_SUM,
    BLO_OP_REDUCE_MAX, /* REDUCE_MAX: NaN if any is */
    /* movement */
    BLO_OP_RESHAPE,   /* same count, row-major order */
    BLO_OP_BROADCAST, /* axis i of the operand is axis attr.perm[i] of the result (increasing), its extent equal or 1 */
    BLO_OP_PERMUTE,   /* axis i of the result is axis attr.perm[i] of the operand */
    BLO_OP_SLICE,     /* result[i] = operand[attr.start[i] + i * attr.step[i]] per axis */
    BLO_OP_PAD, /* result[attr.start[i] + j * attr.step[i]] = operand[j] per axis, else 0 (start: low, step: interior +
                   1) */
    /* indices */
    BLO_OP_GATHER,      /* in: a [R,D...], index [I...] -> [I...,D...]; outside: NaN or 0 */
    BLO_OP_SCATTER_ADD, /* in: a [I...,D...], index [I...] -> [R,D...] */
    /* products */
    BLO_OP_MATMUL, /* in: a [B...,M,K], b [B...,K,N], equal batch axes; attr.transpose_a/b: stored as [B...,K,M],
                      [B...,N,K] */
    /* convolutions, channels last; attr.conv. With x [N,H,W,C], w [O,C/groups,R,S] and g [N,P,Q,O] they are the three
     * derivatives of sum over all of g[n,p,q,o] x[n, p*stride - padding + r*dilation, …, c] w[o,c,r,s] */
    BLO_OP_CONV,        /* in: x, w -> g's shape */
    BLO_OP_CONV_INPUT,  /* in: g, w -> x's shape */
    BLO_OP_CONV_WEIGHT, /* in: x, g -> w's shape */
    /* pooling, channels last; windows of attr.pool. k = r * S + s is a place in a window of R by S */
    BLO_OP_POOL_ARGMAX, /* in: x [N,H,W,C] -> [N,P,Q,C] the first k of the maximum (of a NaN, if there is one), uint8 or
                           int32 */
    BLO_OP_POOL_TAKE,   /* in: x [N,H,W,C], k [N,P,Q,C] -> [N,P,Q,C] the element of each window at its k */
    BLO_OP_POOL_PUT, /* in: a [N,P,Q,C], k [N,P,Q,C] -> [N,H,W,C] the adjoint: sums of what each window puts at its k */
    BLO_OP_COUNT
} blo_op;

typedef union blo_attr {
    int input; /* index in the graph's inputs */
    double value;
    int axis;
    uint64_t seed;
    uint32_t axes;
    int perm[BLO_MAX_RANK];
    struct {
        int64_t start[BLO_MAX_RANK], step[BLO_MAX_RANK];
    } window;
    struct {
        bool transpose_a, transpose_b;
    } matmul;
    struct {
        int64_t stride[2], padding[2], dilation[2], groups;
    } conv;
    struct {
        int64_t kernel[2], stride[2];
    } pool;
} blo_attr;

struct blo_node {
    blo_graph *graph;
    int id; /* creation order: operands have smaller ids */
    blo_op op;
    blo_dtype dtype;
    int rank;
    int64_t shape[BLO_MAX_RANK];
    int64_t count; /* product of shape */
    int n_in;
    blo_node *in[3];
    blo_attr attr;
};

/* --- table --- */
const char *blo_op_name(blo_op op);
bool blo_op_elementwise(blo_op op); /* CAST … SELECT */

/* --- building, with checks; equal nodes are made once, constants folded, identities removed ---
 * (one call per primitive family; composites in other files use these and the public ones) */
blo_node *blo_node_unary(blo_op op, blo_node *a);
blo_node *blo_node_binary(blo_op op, blo_node *a, blo_node *b); /* equal shapes */
blo_node *blo_node_reduce(blo_op op, blo_node *a, uint32_t axes);
blo_node *blo_node_broadcast(blo_node *a, int rank, const int64_t *shape, const int *map);
blo_node *blo_zeros_like(blo_node *a);
blo_node *blo_full_like(blo_node *a, double value);

/* Sets the graph's error (the first one sticks) and returns NULL. */
blo_node *blo_graph_fail(blo_graph *graph, blo_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* --- the graph's parts --- */
int blo_graph_inputs(const blo_graph *graph);
blo_node *blo_graph_input_at(const blo_graph *graph, int index);
const char *blo_graph_input_name(const blo_graph *graph, int index);
int blo_graph_nodes(const blo_graph *graph); /* ids are below this */
blo_node *blo_graph_node(const blo_graph *graph, int id);

/* --- passes --- */

/* Marks LIVE[id] (of size blo_graph_nodes) for everything the outputs depend on. */
void blo_graph_mark_live(int n, blo_node *const *outputs, bool *live);
/* RESULTS[n]: the N outputs with TO[i], of equal dtype and shape, in the place of FROM[i], for M nodes. Errors: those
 * of the graph. */
blo_status blo_graph_substitute(int m, blo_node *const *from, blo_node *const *to, int n, blo_node *const *outputs,
                                blo_node **results);

/* RESULTS[n]: the N outputs for TASKS tasks at once. TO[i], of FROM[i]'s dtype and of shape [TASKS, FROM[i]'s shape],
 * stands in the place of FROM[i], for M nodes; everything that depends on one gets a leading axis of TASKS, what
 * depends on none stays as it is and is shared, and a result that depends on none is broadcast to [TASKS, shape]. Task
 * b of a result is what the output would be with TO[i][b] in the place of each FROM[i]. Derivatives are taken of the
 * results: the adjoint of what is shared sums over the tasks. Errors: those of the graph; ARGUMENT: no task; SHAPE: a
 * TO that does not stand for its FROM, an axis too many; UNSUPPORTED: random numbers whose counter differs from task to
 * task. */
blo_status blo_graph_batch(int n, blo_node *const *outputs, int m, blo_node *const *from, blo_node *const *to,
                           int64_t tasks, blo_node **results);

/* FOUND[*n_found], at most MOST: the largest values that do not depend on the M nodes VARYING (NULLs are left out)
 * among what the N outputs compute from them and from these, each of at least LEAST operations. Errors: MEMORY (the
 * graph's). */
blo_status blo_graph_invariants(int n, blo_node *const *outputs, int m, blo_node *const *varying, double least,
                                int most, blo_node **found, int *n_found);

/* FOUND[*n_found], at most MOST: of what the N nodes FIRST compute, the values from which the M nodes SECOND can go on
 * and that are read sooner than computed again. Errors: MEMORY (the graph's). */
blo_status blo_graph_shared(int n, blo_node *const *first, int m, blo_node *const *second, int most, blo_node **found,
                            int *n_found);

/* Arithmetic operations: what one of an operation's elements counts, whether the node is arithmetic at all (not
 * movement, not a product), of a node, of all that the outputs depend on. */
bool blo_is_convolution(const blo_node *node);
uint64_t blo_node_bytes(const blo_node *node);         /* of its array */
double blo_convolution_products(const blo_node *node); /* multiplications, those with zeros around the image included */
int64_t blo_op_cost(blo_op op);
bool blo_node_computes(const blo_node *node);
double blo_node_flops(const blo_node *node);
double blo_graph_flops(int n, blo_node *const *outputs); /* no memory: the graph's error, and 0 */
/* True when NODE depends on any of the M nodes ON. No memory: the graph's error, and true. */
bool blo_graph_depends(const blo_node *node, int m, blo_node *const *on);

#endif
