/* Inside the plan room: what the passes from graph to launches hand each other.
 *
 *   analyse.c   which nodes become arrays ("roots"); the rest is evaluated inside the kernels that use it
 *   group.c     which roots one kernel writes together, and in which order kernels run
 *   ride.c      which of these go on where a product's kernel has its result in registers
 *   emit.c      the OpenCL C of values at symbolic indices (index.c)
 *   kernels.c   groups -> kernels: elementwise, scatter; reductions.c, teams.c; product.c: matrix products; convolution.c
 *   moments.c   a sum and the squares about its mean, by one pass
 *   images.c    the emitter's cases for convolution and pooling
 *   memory.c    where temporaries lie in the scratch
 *   describe.c  what each launch computes and costs, in words and numbers, where a profile is wanted
 *   plan.c      the plan itself: building, binding, queueing
 *   routine.c   the same launches as one function of a work-group, for kernels that run whole loops */
#ifndef BLO_PLAN_LOWER_H
#define BLO_PLAN_LOWER_H

#include "plan.h"

/* Reductions over at most this many elements of the last axes may be evaluated where they are used, as a loop in the
 * consumer. */
enum { BLO_INLINE_REDUCTION = 64 };

/* --- arrays: everything a kernel reads or writes --- */
typedef enum blo_array_kind { BLO_ARRAY_INPUT, BLO_ARRAY_OUTPUT, BLO_ARRAY_TEMPORARY } blo_array_kind;

typedef struct blo_plan_array {
    blo_array_kind kind;
    int index; /* of the input or output */
    blo_dtype dtype;
    uint64_t bytes;
    uint64_t offset;    /* in the scratch, of temporaries */
    int first, last;    /* launches that use it */
    bool kept;          /* depends on fixed inputs only: may outlive a run */
    blo_stored *stored; /* where it does, NULL: computed by each run */
} blo_plan_array;

typedef struct blo_plan_argument {
    bool is_array; /* an array takes two kernel arguments: the buffer and the offset in elements */
    int array;
    uint64_t value; /* ulong */
} blo_plan_argument;

enum {
    BLO_MAX_ARGUMENTS = 56
}; /* arrays and values of one kernel: within 1,024 bytes of parameters, the least of OpenCL 1.2 */

typedef struct blo_binding {
    uint64_t serial, offset; /* of the buffer (0: none); in bytes */
} blo_binding;

enum { BLO_STEP_WHAT = 96 };

typedef struct blo_plan_step {
    char *name, *text; /* kernel source, owned; NULL for a library call */
    int n_arguments;
    blo_plan_argument arguments[BLO_MAX_ARGUMENTS];
    size_t global[3], local[3];
    blo_gemm_call call; /* library call: arrays a, b, c are arguments 0, 1, 2 */
    bool fixed;         /* computes kept arrays */
    bool function;      /* TEXT is a function of a routine, not a kernel */
    bool copies;        /* an output to others that are the same node */
    int group;          /* that it is a launch of */
    /* for the profile: */
    char what[BLO_STEP_WHAT];
    blo_dtype dtype;
    double flops, bytes;
    int row;
    blo_kernel *kernel;
    blo_binding bound[BLO_MAX_ARGUMENTS]; /* what the array arguments were last bound to */
} blo_plan_step;

/* --- what is known of each node while a plan is made --- */
typedef struct blo_node_facts {
    bool live;
    bool root;    /* gets an array of its own */
    bool shared;  /* used by more than one root */
    int owner;    /* the one root that uses it, -1: none yet */
    int row;      /* -1, or: holds inlined reductions whose result varies only along the first ROW axes */
    int leaves;   /* arrays its inlined expression reads, an upper bound */
    int64_t cost; /* operations to evaluate one element */
    int group;    /* of a root */
    int array;    /* of a root or input, -1: none yet */
    int parts; /* above 1: it is not summed, its reader sums the PARTS results that array PARTIAL [parts][count] has */
    int partial;
} blo_node_facts;

typedef struct blo_lowering {
    blo_context *context;
    const blo_device_facts *device;
    blo_graph *graph;
    int n_nodes;
    blo_node_facts *facts; /* [n_nodes] */
    int n_outputs;
    blo_node *const *outputs;
    const bool *fixed; /* per input of the graph; NULL: none */
    bool has_double;   /* a live node is double */
    bool routine;      /* kernels become functions that the items of one work-group call together (routine.c) */

    int n_groups;
    struct blo_group *groups;
    int *order; /* [n_ordered] groups in the order they run */
    int n_ordered;

    int n_arrays, arrays_capacity;
    blo_plan_array *arrays;
    bool failed; /* an array could not be made */
    int n_steps, steps_capacity;
    blo_plan_step *steps;
    int n_packed, packed_capacity;
    struct blo_packed *packed; /* operands packed already */
    int n_conv_packed, conv_packed_capacity;
    struct blo_conv_packed *conv_packed; /* the same, of convolutions */
    uint64_t scratch_bytes;
} blo_lowering;

/* Roots that one kernel writes together: all of one shape; or reductions of the same axes of operands of one shape, and
 * after them roots of that shape, which are written on the way. */
typedef enum blo_group_kind {
    BLO_GROUP_ELEMENTWISE,
    BLO_GROUP_REDUCE,
    BLO_GROUP_SCATTER,
    BLO_GROUP_PRODUCT,
    BLO_GROUP_CONVOLUTION
} blo_group_kind;
enum { BLO_GROUP_ROOTS = 8, BLO_GROUP_RIDERS = 8 };
/* Elements of a row that a product's kernel holds for its riders: what they write, and arrays that they read. */
enum { BLO_LONGEST_ROW = 64 };
typedef struct blo_group {
    blo_group_kind kind;
    int n_roots;
    int roots[BLO_GROUP_ROOTS]; /* node ids */
    int row;                    /* as in blo_node_facts, of the kernel */
    int leaves;
    int carrier;                            /* the product whose kernel writes these roots, -1: a kernel of its own */
    int n_riders, riders[BLO_GROUP_RIDERS]; /* of a product */
    int n_uses, uses_capacity;
    int *uses; /* root node ids of other groups that it reads */
    bool placed;
} blo_group;

/* Passes; each fails with a sentence in the context. */
blo_status blo_lower_analyse(blo_lowering *lowering);
blo_status blo_lower_group(blo_lowering *lowering);
blo_status blo_lower_ride(blo_lowering *lowering);
blo_status blo_lower_order(blo_lowering *lowering);
blo_status blo_lower_kernels(blo_lowering *lowering);
blo_status blo_lower_place(blo_lowering *lowering);
blo_status blo_lower_describe(blo_lowering *lowering);

/* All of them in their order, for LOWERING's context, graph, outputs, fixed and routine. blo_lower_free() releases what
 * it holds, whatever the status. */
blo_status blo_lower(blo_lowering *lowering);
void blo_lower_free(blo_lowering *lowering);
/* The graph's own mistake, if one of the N OUTPUTS is missing for it. */
blo_status blo_lower_check(blo_context *context, int n, blo_node *const *outputs);

/* Does group FROM need, directly or not, what group TO writes? VISITED[group], all false at first. */
bool blo_group_depends(const blo_lowering *lowering, int from, int to, bool *visited);
bool blo_group_reads(const blo_group *group, int root);
/* Notes that GROUP reads ROOT; false: no memory. */
bool blo_group_add_use(blo_group *group, int root);

/* Has ROOT one reader only, which looks at each element once or so, and could sum parts of it on the way? */
bool blo_root_is_read_once(const blo_lowering *lowering, const blo_node *root);

/* The steps of one large product (group INDEX), into the node's own array, and of what rides with it. */
blo_status blo_lower_product(blo_lowering *lowering, int index);
/* Is ROOT, which PRODUCT's kernel computes, read by other kernels or an output? */
bool blo_root_is_wanted(const blo_lowering *lowering, int root, int product);
/* Can its kernel carry riders? */
bool blo_product_carries(const blo_lowering *lowering, const blo_node *node);

/* The steps of one large convolution, into the node's own array. */
blo_status blo_lower_convolution(blo_lowering *lowering, const blo_node *node);
/* Does the expression read fixed inputs only? */
bool blo_reads_only_fixed(const blo_lowering *lowering, const blo_node *node);

/* True for a reduction that its consumers may evaluate as a loop: over the last axes, and short. */
bool blo_reduction_is_short(const blo_node *node);
/* Convolutions of little work, or of a form the kernels do not know, become one generated kernel. */
bool blo_convolution_is_small(const blo_node *node);
/* Products of at most this much work become one generated kernel without packing. */
bool blo_product_is_small(const blo_node *node);
int64_t blo_reduction_length(const blo_node *node);
/* True where ranges of what a long reduction reduces have items of their own. */
bool blo_reduction_is_split(const blo_node *node);

/* A new array, its id; -1: no memory, which the lowering notes and tells when all is emitted. The node's own array
 * (made at first use). */
int blo_lower_array(blo_lowering *lowering, blo_array_kind kind, int index, blo_dtype dtype, int64_t count);
int blo_lower_node_array(blo_lowering *lowering, const blo_node *node);
/* A new step at the end; NULL: no memory. Valid until the next one. */
blo_plan_step *blo_lower_step(blo_lowering *lowering);

#endif
