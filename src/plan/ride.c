/* Row work that rides with the product before it. The tile of a narrow product has whole rows of the result in
 * registers (gemm.h): elementwise groups and short reductions that look at one row at a time (a bias, an activation, a
 * softmax with its loss and its derivative) go on from there, without a launch and without the result's way through
 * memory; and others on from these. Knows the graph only; which products can carry is product.c's to say. */
#include "lower.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ARRAYS = 38 }; /* that the product's kernel may read and write for its riders */

static bool same_but_for_ones(const blo_node *a, const blo_node *b) {
    int i = 0, j = 0;
    for (;;) {
        while (i < a->rank && a->shape[i] == 1)
            i++;
        while (j < b->rank && b->shape[j] == 1)
            j++;
        if (i == a->rank || j == b->rank)
            return i == a->rank && j == b->rank;
        if (a->shape[i++] != b->shape[j++])
            return false;
    }
}

/* Does element (i, …) of NODE read elements (i, …) of its operand only? ROWS: the extent of that first axis, above 1.
 */
static bool keeps_row(const blo_node *node, const blo_node *operand, int64_t rows) {
    if (node->rank < 1 || operand->rank < 1 || node->shape[0] != rows || operand->shape[0] != rows)
        return false;
    switch (node->op) {
    case BLO_OP_RESHAPE: return same_but_for_ones(node, operand);
    case BLO_OP_BROADCAST:
    case BLO_OP_PERMUTE: return node->attr.perm[0] == 0;
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX: return blo_reduction_is_short(node);
    default: return blo_op_elementwise(node->op);
    }
}

/* What may board: GROUP onto PRODUCT, whose result has ROWS rows. */
typedef struct boarding {
    const blo_lowering *lowering;
    int product, group;
    int64_t rows;
    unsigned char *known; /* [nodes] or [groups]: answers so far */
} boarding;

static bool is_array(const blo_lowering *lowering, const blo_node *node) {
    return node->op == BLO_OP_INPUT || lowering->facts[node->id].root;
}

/* Does the kernel have it in its rows: the product, what rides already, and the group's own roots? */
static bool is_aboard(const boarding *b, const blo_node *node) {
    const blo_node_facts *facts = &b->lowering->facts[node->id];
    return facts->root && (facts->group == b->product || facts->group == b->group);
}

enum { UNKNOWN, NOT, BY_ROWS, OTHERWISE }; /* how an expression reads what is aboard */

/* May the emitter compute it for the rows of all lanes at once? */
static bool has_lanes(const blo_node *node) {
    switch (node->op) {
    case BLO_OP_RANDOM:
    case BLO_OP_POOL_ARGMAX:
    case BLO_OP_POOL_TAKE:
    case BLO_OP_POOL_PUT: return false;
    default: return !blo_is_convolution(node);
    }
}

/* How NODE's expression reads what is aboard: the worst over all paths. OTHERWISE also where it has no form with lanes.
 */
static int reads(const boarding *b, const blo_node *node) {
    if (b->known[node->id] != UNKNOWN)
        return b->known[node->id];
    int result = has_lanes(node) ? NOT : OTHERWISE;
    for (int i = 0; i < node->n_in; i++) {
        const blo_node *operand = node->in[i];
        bool aboard = is_aboard(b, operand);
        if (!aboard && is_array(b->lowering, operand))
            continue;
        int below = aboard ? BY_ROWS : reads(b, operand);
        if (below > NOT && !keeps_row(node, operand, b->rows))
            below = OTHERWISE;
        result = below > result ? below : result;
    }
    b->known[node->id] = (unsigned char)result;
    return result;
}

/* Arrays that NODE's expression reads and that were not counted yet. */
static int count_reads(const boarding *b, const blo_node *node) {
    int n = 0;
    for (int i = 0; i < node->n_in; i++) {
        const blo_node *operand = node->in[i];
        if (b->known[operand->id] || is_aboard(b, operand))
            continue;
        b->known[operand->id] = 1;
        n += is_array(b->lowering, operand) ? 1 : count_reads(b, operand);
    }
    return n;
}

static int count_arrays(const boarding *b, const blo_group *group) {
    int n = 0;
    for (int i = 0; i < group->n_roots; i++)
        n += count_reads(b, blo_graph_node(b->lowering->graph, group->roots[i])) + 1;
    return n;
}

/* Arrays of the product's kernel with the group on it, roots that need not be stored included. */
static bool arrays_fit(const boarding *b) {
    const blo_group *carrying = &b->lowering->groups[b->product];
    memset(b->known, 0, (size_t)b->lowering->n_nodes);
    int n = 1 + count_arrays(b, &b->lowering->groups[b->group]);
    for (int i = 0; i < carrying->n_riders; i++)
        n += count_arrays(b, &b->lowering->groups[carrying->riders[i]]);
    return n <= MOST_ARRAYS;
}

/* Do all roots look at one row of what is aboard at a time? */
static bool roots_fit(const boarding *b) {
    const blo_group *group = &b->lowering->groups[b->group];
    memset(b->known, 0, (size_t)b->lowering->n_nodes);
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *root = blo_graph_node(b->lowering->graph, group->roots[i]);
        if (root->rank < 1 || root->shape[0] != b->rows || root->count / b->rows > BLO_LONGEST_ROW ||
            reads(b, root) == OTHERWISE)
            return false;
    }
    return true;
}

static bool reads_product(const boarding *b) {
    const blo_group *group = &b->lowering->groups[b->group];
    for (int i = 0; i < group->n_uses; i++)
        if (b->lowering->facts[group->uses[i]].group == b->product)
            return true;
    return false;
}

/* Would the product's kernel have to wait for something that waits for it? */
static bool is_late(const boarding *b) {
    const blo_group *group = &b->lowering->groups[b->group];
    for (int i = 0; i < group->n_uses; i++) {
        int used = b->lowering->facts[group->uses[i]].group;
        memset(b->known, 0, (size_t)b->lowering->n_groups);
        if (used != b->product && used != b->group &&
            blo_group_depends(b->lowering, used, b->product, (bool *)b->known))
            return true;
    }
    return false;
}

static bool is_row_work(const boarding *b) {
    const blo_group *group = &b->lowering->groups[b->group];
    return group->kind == BLO_GROUP_ELEMENTWISE && group->carrier < 0 && (group->row < 0 || group->row == 1) &&
           b->lowering->groups[b->product].n_riders < BLO_GROUP_RIDERS;
}

static bool may_ride(const boarding *b) {
    return is_row_work(b) && roots_fit(b) && reads_product(b) && !is_late(b) && arrays_fit(b);
}

/* Row work that reads nothing aboard, but that only riders read, and these by rows. */
static bool may_feed(const boarding *b) {
    const blo_lowering *lowering = b->lowering;
    const blo_group *group = &lowering->groups[b->group], *carrying = &lowering->groups[b->product];
    if (carrying->n_riders == 0 || !is_row_work(b) || !roots_fit(b))
        return false;
    for (int i = 0; i < group->n_roots; i++)
        if (blo_root_is_wanted(lowering, group->roots[i], b->product))
            return false;
    memset(b->known, 0, (size_t)lowering->n_nodes);
    for (int i = 0; i < carrying->n_riders; i++) {
        const blo_group *rider = &lowering->groups[carrying->riders[i]];
        for (int j = 0; j < rider->n_roots; j++)
            if (reads(b, blo_graph_node(lowering->graph, rider->roots[j])) == OTHERWISE)
                return false;
    }
    return arrays_fit(b);
}

/* The rider's roots become the product's own; what it reads is there before it. */
static bool board(blo_lowering *lowering, int index, int product, bool feeds) {
    blo_group *group = &lowering->groups[index], *carrying = &lowering->groups[product];
    group->carrier = product;
    const int at = feeds ? 0 : carrying->n_riders;
    memmove(carrying->riders + at + 1, carrying->riders + at, (size_t)(carrying->n_riders++ - at) * sizeof(int));
    carrying->riders[at] = index;
    for (int i = 0; i < group->n_roots; i++)
        lowering->facts[group->roots[i]].group = product;
    for (int i = 0; i < group->n_uses; i++)
        if (lowering->facts[group->uses[i]].group != product && !blo_group_add_use(carrying, group->uses[i]))
            return false;
    return true;
}

/* Boards whoever may, those that go on from the result first; one rider may let another aboard. */
static bool fill(blo_lowering *lowering, int product, int64_t rows, unsigned char *scratch) {
    for (bool more = true; more;) {
        more = false;
        for (int g = 0; g < lowering->n_groups; g++) {
            const boarding b = {lowering, product, g, rows, scratch};
            if (!may_ride(&b))
                continue;
            if (!board(lowering, g, product, false))
                return false;
            more = true;
        }
        for (int g = lowering->n_groups - 1; !more && g >= 0; g--) {
            const boarding b = {lowering, product, g, rows, scratch};
            if (!may_feed(&b))
                continue;
            if (!board(lowering, g, product, true))
                return false;
            more = true;
        }
    }
    return true;
}

bool blo_root_is_wanted(const blo_lowering *lowering, int root, int product) {
    for (int i = 0; i < lowering->n_outputs; i++)
        if (lowering->outputs[i]->id == root)
            return true;
    for (int g = 0; g < lowering->n_groups; g++)
        if (g != product && lowering->groups[g].carrier != product && blo_group_reads(&lowering->groups[g], root))
            return true;
    return false;
}

blo_status blo_lower_ride(blo_lowering *lowering) {
    size_t n = (size_t)(lowering->n_nodes > lowering->n_groups ? lowering->n_nodes : lowering->n_groups) + 1;
    unsigned char *scratch = calloc(n, 1);
    bool fits = scratch != NULL;
    for (int p = 0; fits && p < lowering->n_groups; p++) {
        const blo_node *carrier = blo_graph_node(lowering->graph, lowering->groups[p].roots[0]);
        if (lowering->groups[p].kind == BLO_GROUP_PRODUCT && blo_product_carries(lowering, carrier))
            fits = fill(lowering, p, carrier->shape[0], scratch);
    }
    free(scratch);
    return fits ? BLO_OK
                : blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan a graph of %d nodes",
                           lowering->n_nodes);
}
