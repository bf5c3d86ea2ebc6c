/* Which nodes of a graph become arrays ("roots"). Everything else is evaluated inside the kernels that use it, so that
 * elementwise chains, movement and short reductions cost no traffic. Knows the graph only. */
#include "lower.h"

enum {
    MAX_LEAVES = 20,      /* arrays one expression may read */
    MAX_COST = 20000,     /* operations of one element: longer expressions are cut */
    HEAVY = 8,            /* operations from which an expression with several users is worth an array */
    FEW_RESULTS = 8,      /* fewer results of a long reduction, and its operand is better evaluated apart */
    IMAGE_AXES = 4,       /* images have as many, those of several tasks one more */
    FEW_TERMS = 16,       /* of a product that may be evaluated where it is packed */
    HEAVY_IMAGE = 24,     /* the same of images, whose arrays leave the cache before they are read again */
    PARALLEL_ROWS = 64,   /* fewer rows than this, and a large result wants the reduction as an array */
    SMALL_PRODUCT = 32768 /* m * n * k up to which packing costs more than it saves */
};

int64_t blo_reduction_length(const blo_node *node) {
    const blo_node *a = node->in[0];
    int64_t length = 1;
    for (int i = 0; i < a->rank; i++)
        if (node->attr.axes >> i & 1)
            length *= a->shape[i];
    return length;
}

static bool is_reduction(const blo_node *node) {
    return node->op == BLO_OP_SUM || node->op == BLO_OP_REDUCE_MAX;
}

bool blo_reduction_is_short(const blo_node *node) {
    uint32_t kept = (1u << node->rank) - 1, all = (1u << node->in[0]->rank) - 1;
    return is_reduction(node) && node->attr.axes == (all & ~kept) && blo_reduction_length(node) <= BLO_INLINE_REDUCTION;
}

bool blo_product_is_small(const blo_node *node) {
    const blo_node *a = node->in[0];
    int64_t k = a->shape[a->rank - (node->attr.matmul.transpose_a ? 2 : 1)];
    return node->count == 0 || k == 0 || node->count * k <= SMALL_PRODUCT;
}

static bool is_trivial(const blo_node *node) {
    return node->op == BLO_OP_INPUT || node->op == BLO_OP_CONST || node->op == BLO_OP_IOTA;
}

/* Makes NODE an array, or what it merely moves: moving an array costs nothing. */
static void materialise(blo_lowering *lowering, blo_node *node) {
    while (node->op == BLO_OP_RESHAPE || node->op == BLO_OP_BROADCAST)
        node = node->in[0];
    if (!is_trivial(node))
        lowering->facts[node->id].root = true;
}

/* The facts of operand I as its consumer sees them: a root is one load. */
static blo_node_facts seen(const blo_lowering *lowering, const blo_node *node, int i) {
    const blo_node *operand = node->in[i];
    blo_node_facts facts = lowering->facts[operand->id];
    if (facts.root || is_trivial(operand)) {
        facts.row = -1;
        facts.cost = 1;
        facts.leaves = operand->op == BLO_OP_CONST || operand->op == BLO_OP_IOTA ? 0 : 1;
    }
    return facts;
}

/* True when the first ROW axes of the operand are those of the result, so that what was reduced per row stays per row.
 */
static bool rows_survive(const blo_node *node, int row) {
    const blo_node *a = node->in[0];
    if (row > a->rank || row > node->rank)
        return false;
    for (int i = 0; i < row; i++) {
        if (node->shape[i] != a->shape[i])
            return false;
        if (node->op == BLO_OP_BROADCAST && node->attr.perm[i] != i)
            return false;
        if (node->op == BLO_OP_PERMUTE && node->attr.perm[i] != i)
            return false;
        if ((node->op == BLO_OP_SLICE || node->op == BLO_OP_PAD) &&
            (node->attr.window.start[i] != 0 || node->attr.window.step[i] != 1))
            return false;
    }
    return true;
}

static int64_t rows_of(const blo_node *node, int row) {
    int64_t rows = 1;
    for (int i = 0; i < row; i++)
        rows *= node->shape[i];
    return rows;
}

/* May operand 0, which holds a reduction per row, be evaluated inside NODE without doing that reduction again and
 * again? */
static bool keeps_rows(const blo_node *node, int row) {
    switch (node->op) {
    case BLO_OP_RESHAPE:
    case BLO_OP_SLICE:
    case BLO_OP_PAD:
    case BLO_OP_PERMUTE: return rows_survive(node, row);
    case BLO_OP_BROADCAST:
        return rows_survive(node, row) && (rows_of(node, row) >= PARALLEL_ROWS || node->count <= PARALLEL_ROWS);
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX: return blo_reduction_is_short(node) ? row == node->rank : row == node->in[0]->rank;
    case BLO_OP_GATHER:
    case BLO_OP_SCATTER_ADD:
    case BLO_OP_MATMUL:
    case BLO_OP_CONV:
    case BLO_OP_CONV_INPUT:
    case BLO_OP_CONV_WEIGHT:
    case BLO_OP_POOL_ARGMAX:
    case BLO_OP_POOL_TAKE:
    case BLO_OP_POOL_PUT:
    case BLO_OP_RANDOM: return false;
    default: return true; /* elementwise */
    }
}

/* Cuts the expression at its widest operands until it reads no more than MAX_LEAVES arrays. */
static void limit_leaves(blo_lowering *lowering, const blo_node *node) {
    for (int cut = 0; cut < node->n_in; cut++) {
        int total = 0, widest = 0, most = 0;
        for (int i = 0; i < node->n_in; i++) {
            int leaves = seen(lowering, node, i).leaves;
            total += leaves;
            if (leaves > most) {
                most = leaves;
                widest = i;
            }
        }
        if (total <= MAX_LEAVES || most <= 1)
            return;
        materialise(lowering, node->in[widest]);
    }
}

/* A library product wants whole arrays as they lie in memory, not expressions. */
static void materialise_operands(blo_lowering *lowering, const blo_node *node) {
    for (int i = 0; i < node->n_in; i++) {
        blo_node *operand = node->in[i];
        while (operand->op == BLO_OP_RESHAPE)
            operand = operand->in[0];
        if (operand->op != BLO_OP_INPUT)
            lowering->facts[operand->id].root = true;
    }
}

static void describe(blo_lowering *lowering, blo_node *node) {
    blo_node_facts *facts = &lowering->facts[node->id];
    facts->row = -1;
    facts->cost = blo_op_cost(node->op);
    for (int i = 0; i < node->n_in; i++) {
        blo_node_facts operand = seen(lowering, node, i);
        bool long_sum = is_reduction(node) && !blo_reduction_is_short(node); /* rows of their own ride with products */
        if ((operand.row >= 0 && (long_sum || !keeps_rows(node, operand.row))) || operand.cost > MAX_COST)
            materialise(lowering, node->in[i]);
    }
    if (lowering->routine && is_reduction(node) && node->count < FEW_RESULTS && !blo_reduction_is_short(node) &&
        seen(lowering, node, 0).cost >= HEAVY) /* few items, or lanes, would evaluate it all */
        materialise(lowering, node->in[0]);
    /* per channel of an image: once, or where it is cheap outside the loops, not for every pixel */
    const bool per_channel =
        node->op == BLO_OP_BROADCAST && node->rank >= IMAGE_AXES && node->rank - node->in[0]->rank == 3;
    if (per_channel && seen(lowering, node, 0).cost >= HEAVY)
        materialise(lowering, node->in[0]);
    if (node->op == BLO_OP_MATMUL && lowering->device->gemm == BLO_GEMM_CLBLAST && !blo_product_is_small(node))
        materialise_operands(lowering, node);
    if (node->op == BLO_OP_CONV_WEIGHT && !blo_convolution_is_small(node)) /* it reads a plain array of its gradient */
        materialise(lowering, node->in[1]);
    limit_leaves(lowering, node);
    for (int i = 0; i < node->n_in; i++) {
        blo_node_facts operand = seen(lowering, node, i);
        facts->leaves += operand.leaves;
        facts->cost += per_channel ? 0 : operand.cost;
        if (operand.row >= 0 && (facts->row < 0 || operand.row < facts->row))
            facts->row = operand.row;
    }
    if (is_reduction(node)) {
        int64_t length = blo_reduction_length(node);
        facts->cost *= length > 0 ? length : 1;
        facts->row = node->rank;
        facts->root = facts->root || !blo_reduction_is_short(node);
    }
    /* what is pooled is small beside what was evaluated for it, and its place is wanted again by the derivative */
    if (node->op == BLO_OP_POOL_ARGMAX || node->op == BLO_OP_POOL_TAKE)
        facts->root = true;
    if (node->op == BLO_OP_SCATTER_ADD || node->op == BLO_OP_MATMUL || blo_is_convolution(node))
        facts->root = true;
}

/* Notes that ROOT uses NODE inline or as an array. */
static void use(blo_lowering *lowering, const blo_node *node, int root) {
    blo_node_facts *facts = &lowering->facts[node->id];
    if (facts->owner >= 0 && facts->owner != root)
        facts->shared = true;
    facts->owner = root;
}

/* What counts as NODE for what it uses: a maximum and its place are found by one kernel. */
static int user_of(const blo_node *node) {
    bool finds =
        node->op == BLO_OP_POOL_TAKE && node->in[1]->op == BLO_OP_POOL_ARGMAX && node->in[1]->in[0] == node->in[0];
    return finds ? node->in[1]->id : node->id;
}

/* Is NODE used by OWNER only, element for element? */
static bool is_read_by_elements(const blo_lowering *lowering, const blo_node *node, int owner) {
    for (int id = node->id + 1; id < lowering->n_nodes; id++) {
        const blo_node *user = blo_graph_node(lowering->graph, id);
        bool uses = false;
        for (int i = 0; i < user->n_in && lowering->facts[id].live; i++)
            uses = uses || user->in[i] == node;
        if (uses && id != owner && !(blo_op_elementwise(user->op) && is_read_by_elements(lowering, user, owner)))
            return false;
    }
    return true;
}

/* An outer product of few terms, only read by a large product of our own: it is cheaper to evaluate while that product
 * packs its operand than to write and to read again. Lanes run along its columns. */
static bool is_evaluated_by_product(const blo_lowering *lowering, const blo_node *node) {
    const blo_node_facts *facts = &lowering->facts[node->id];
    if (node->op != BLO_OP_MATMUL || node->rank != 2 || node->attr.matmul.transpose_b || facts->owner < 0 ||
        facts->shared || blo_product_is_small(node) || lowering->routine || lowering->device->gemm == BLO_GEMM_CLBLAST)
        return false;
    const blo_node *owner = blo_graph_node(lowering->graph, facts->owner);
    for (int i = 0; i < lowering->n_outputs; i++)
        if (lowering->outputs[i] == node)
            return false;
    return node->in[1]->shape[0] <= FEW_TERMS && owner->op == BLO_OP_MATMUL && !blo_product_is_small(owner) &&
           is_read_by_elements(lowering, node, owner->id);
}

/* Heavy expressions with several users become arrays, consumers first so that what they use is counted once. */
static void materialise_shared(blo_lowering *lowering) {
    for (int id = lowering->n_nodes - 1; id >= 0; id--) {
        blo_node_facts *facts = &lowering->facts[id];
        blo_node *node = blo_graph_node(lowering->graph, id);
        if (!facts->live || is_trivial(node))
            continue;
        if (is_evaluated_by_product(lowering, node)) {
            facts->root = false;
            for (int i = 0; i < node->n_in; i++)
                materialise(lowering, node->in[i]); /* each element of theirs is read many times */
        }
        if (facts->shared && facts->cost >= (node->rank >= IMAGE_AXES ? HEAVY_IMAGE : HEAVY) && !facts->root)
            materialise(lowering, node);
        for (int i = 0; i < node->n_in; i++) {
            if (facts->root || facts->owner < 0)
                use(lowering, node->in[i], user_of(node));
            else if (facts->shared) { /* two users above: whatever lies below has two as well */
                lowering->facts[node->in[i]->id].shared = true;
                use(lowering, node->in[i], facts->owner);
            } else
                use(lowering, node->in[i], facts->owner);
        }
    }
}

blo_status blo_lower_analyse(blo_lowering *lowering) {
    for (int id = 0; id < lowering->n_nodes; id++) {
        blo_node_facts *facts = &lowering->facts[id];
        facts->owner = facts->group = facts->array = -1;
        if (!facts->live)
            continue;
        blo_node *node = blo_graph_node(lowering->graph, id);
        if (node->count > INT32_MAX)
            return blo_fail(lowering->context, BLO_ERROR_UNSUPPORTED,
                            "an array of %lld elements: at most 2147483647 are supported", (long long)node->count);
        if (node->dtype == BLO_DOUBLE && !lowering->device->has_double)
            return blo_fail(lowering->context, BLO_ERROR_DTYPE, "device \"%s\" has no double", lowering->device->name);
        lowering->has_double = lowering->has_double || node->dtype == BLO_DOUBLE;
        describe(lowering, node);
    }
    for (int i = 0; i < lowering->n_outputs; i++)
        lowering->facts[lowering->outputs[i]->id].root = true;
    materialise_shared(lowering);
    return BLO_OK;
}
