/* Which roots one kernel writes together, and the order kernels run in. Roots of one shape join when none of them waits
 * for a third kernel that waits for another of them; so do reductions that walk the same array, and the image they
 * walk. Knows the graph only. */
#include "moments.h"

#include <stdlib.h>
#include <string.h>

enum {
    GROUP_LEAVES = 24,   /* arrays a joined kernel may read */
    LEAST_CHANNELS = 32, /* and LEAST_PLACES: of images that are written by the items that sum them per channel */
    LEAST_PLACES = 1024,
    IMAGE_AXES = 4, /* [N,H,W,C], of which a sum per channel has the last; axes of several tasks go before */
    ALL_BUT_CHANNELS = 7
};

static blo_group_kind kind_of(const blo_node *node) {
    if (node->op == BLO_OP_MATMUL)
        return BLO_GROUP_PRODUCT;
    if (blo_is_convolution(node))
        return BLO_GROUP_CONVOLUTION;
    if (node->op == BLO_OP_SCATTER_ADD)
        return BLO_GROUP_SCATTER;
    if ((node->op == BLO_OP_SUM || node->op == BLO_OP_REDUCE_MAX) && !blo_reduction_is_short(node))
        return BLO_GROUP_REDUCE;
    return BLO_GROUP_ELEMENTWISE;
}

bool blo_group_reads(const blo_group *group, int root) {
    for (int i = 0; i < group->n_uses; i++)
        if (group->uses[i] == root)
            return true;
    return false;
}

bool blo_group_add_use(blo_group *group, int root) {
    if (blo_group_reads(group, root))
        return true;
    if (group->n_uses == group->uses_capacity) {
        int capacity = group->uses_capacity ? 2 * group->uses_capacity : 8;
        int *uses = realloc(group->uses, (size_t)capacity * sizeof *uses);
        if (!uses)
            return false;
        group->uses = uses;
        group->uses_capacity = capacity;
    }
    group->uses[group->n_uses++] = root;
    return true;
}

/* Adds to GROUP the roots that NODE's expression reads, and how many arrays that are with the inputs. SEEN[id] marks
 * what was visited; STACK has room for every node. */
static bool collect_uses(const blo_lowering *lowering, blo_group *group, const blo_node *node, bool *seen, int *stack) {
    int depth = 0;
    memset(seen, 0, (size_t)lowering->n_nodes);
    stack[depth++] = node->id;
    seen[node->id] = true;
    while (depth > 0) {
        const blo_node *top = blo_graph_node(lowering->graph, stack[--depth]);
        for (int i = 0; i < top->n_in; i++) {
            int id = top->in[i]->id;
            if (seen[id])
                continue;
            seen[id] = true;
            group->leaves += lowering->facts[id].root || top->in[i]->op == BLO_OP_INPUT;
            if (!lowering->facts[id].root)
                stack[depth++] = id;
            else if (top->in[i]->count > 0 && !blo_group_add_use(group, id)) /* nothing writes an empty array */
                return false;
        }
    }
    return true;
}

bool blo_group_depends(const blo_lowering *lowering, int from, int to, bool *visited) {
    if (from == to)
        return true;
    if (visited[from])
        return false;
    visited[from] = true;
    const blo_group *group = &lowering->groups[from];
    for (int i = 0; i < group->n_uses; i++) {
        int next = lowering->facts[group->uses[i]].group;
        if (next != from && blo_group_depends(lowering, next, to, visited))
            return true;
    }
    return false;
}

static bool same_shape(const blo_node *a, const blo_node *b) {
    return a->rank == b->rank && (a->rank == 0 || !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]));
}

/* Room for every node. */
typedef struct marks {
    bool *seen, *others;
    bool *squared; /* of sums: squares that have no group yet will follow */
    int *stack;
} marks;

/* Marks in SEEN what NODE's expression is made of, down to its arrays, as far as it is as large as what NODE walks. */
static void mark_walked(const blo_lowering *lowering, const blo_node *node, bool *seen, int *stack) {
    const int64_t count = kind_of(node) == BLO_GROUP_REDUCE ? node->in[0]->count : node->count;
    int depth = 0;
    memset(seen, 0, (size_t)lowering->n_nodes);
    stack[depth++] = node->id;
    while (depth > 0) {
        const blo_node *top = blo_graph_node(lowering->graph, stack[--depth]);
        for (int i = 0; i < top->n_in; i++) {
            const blo_node *a = top->in[i];
            if (seen[a->id] || a->count != count)
                continue;
            seen[a->id] = true;
            if (!lowering->facts[a->id].root)
                stack[depth++] = a->id;
        }
    }
}

/* Do A and B walk an array that both read, or that one is and the other reads? */
static bool walk_together(const blo_lowering *lowering, const blo_node *a, const blo_node *b, const marks *m) {
    mark_walked(lowering, a, m->seen, m->stack);
    mark_walked(lowering, b, m->others, m->stack);
    m->seen[a->id] = m->others[b->id] = true;
    for (int id = 0; id < lowering->n_nodes; id++)
        if (m->seen[id] && m->others[id] &&
            (lowering->facts[id].root || blo_graph_node(lowering->graph, id)->op == BLO_OP_INPUT))
            return true;
    return false;
}

/* Is it a sum per channel of images that are worth it? */
static bool sums_channels(const blo_node *sum) {
    const blo_node *a = sum->in[0];
    return sum->op == BLO_OP_SUM && a->rank >= IMAGE_AXES &&
           sum->attr.axes == (uint32_t)ALL_BUT_CHANNELS << (a->rank - IMAGE_AXES) &&
           a->shape[a->rank - 1] >= LEAST_CHANNELS && blo_reduction_length(sum) >= LEAST_PLACES &&
           blo_reduction_is_split(sum);
}

/* May one kernel walk the reduction SUM and NODE: another of its axes, or the image that it sums per channel? */
static bool fit_together(const blo_node *sum, const blo_node *node) {
    const blo_node *a = sum->in[0];
    if (kind_of(node) == BLO_GROUP_REDUCE)
        return sum->attr.axes == node->attr.axes && same_shape(a, node->in[0]);
    return sums_channels(sum) && same_shape(a, node);
}

/* The same for the group INDEX and a root that may not join it as one of its shape. */
static bool can_walk(const blo_lowering *lowering, int index, const blo_node *node, const blo_group *fresh,
                     const marks *m) {
    const blo_group *group = &lowering->groups[index];
    const blo_node *first = blo_graph_node(lowering->graph, group->roots[0]);
    if (!lowering->device->is_cpu) /* teams.c: one reduction a kernel */
        return false;
    if (group->kind == BLO_GROUP_REDUCE) {
        if ((fresh->kind != BLO_GROUP_REDUCE && (fresh->kind != BLO_GROUP_ELEMENTWISE || fresh->row >= 0)) ||
            !fit_together(first, node))
            return false;
    } else if (group->kind != BLO_GROUP_ELEMENTWISE || group->row >= 0 || fresh->kind != BLO_GROUP_REDUCE ||
               !fit_together(node, first))
        return false;
    for (int i = 0; i < group->n_roots; i++) {
        const blo_node *root = blo_graph_node(lowering->graph, group->roots[i]);
        if (kind_of(root) == BLO_GROUP_REDUCE && blo_group_reads(fresh, root->id)) /* it is not known yet */
            return false;
    }
    for (int i = 0; i < group->n_roots; i++)
        if (walk_together(lowering, blo_graph_node(lowering->graph, group->roots[i]), node, m))
            return true;
    return false;
}

/* May the root with the uses of FRESH be written by group INDEX? */
static bool can_join(const blo_lowering *lowering, int index, const blo_node *node, const blo_group *fresh,
                     const marks *m) {
    const blo_group *group = &lowering->groups[index];
    const bool alike = group->kind == BLO_GROUP_ELEMENTWISE && fresh->kind == BLO_GROUP_ELEMENTWISE &&
                       same_shape(node, blo_graph_node(lowering->graph, group->roots[0]));
    int places = m->squared[node->id] ? 2 : 1;
    for (int i = 0; i < group->n_roots; i++)
        places += m->squared[group->roots[i]] ? 2 : 1;
    if (places > BLO_GROUP_ROOTS || group->leaves + fresh->leaves > GROUP_LEAVES ||
        (!alike && !can_walk(lowering, index, node, fresh, m)))
        return false;
    memset(m->seen, 0, (size_t)lowering->n_groups);
    for (int i = 0; i < fresh->n_uses; i++) {
        int used = lowering->facts[fresh->uses[i]].group;
        if (used != index && blo_group_depends(lowering, used, index, m->seen))
            return false;
    }
    return true;
}

/* Adds NODE, FRESH by itself, to GROUP: of reductions and others, a reduction is first. */
static void join(blo_group *group, const blo_node *node, const blo_group *fresh) {
    group->roots[group->n_roots++] = node->id;
    group->leaves += fresh->leaves;
    if (fresh->row >= 0 && (group->row < 0 || fresh->row < group->row))
        group->row = fresh->row;
    if (fresh->kind == BLO_GROUP_REDUCE && group->kind == BLO_GROUP_ELEMENTWISE) {
        group->kind = BLO_GROUP_REDUCE;
        group->roots[group->n_roots - 1] = group->roots[0];
        group->roots[0] = node->id;
    }
}

/* The sum whose group can go on to the squares that NODE sums: what they need is what the sum needs. NULL: none. */
static const blo_node *sum_before(const blo_lowering *lowering, const blo_node *node) {
    double factor;
    const blo_node *sum = blo_sum_for_squares(node, &factor);
    return sum && sums_channels(sum) && !lowering->routine && lowering->device->is_cpu ? sum : NULL;
}

/* Marks in SQUARED the sums that squares will follow: their groups keep places for these, so that how squares are added
 * up never depends on what else a group has. */
static void find_squares(const blo_lowering *lowering, bool *squared) {
    for (int id = 0; id < lowering->n_nodes; id++) {
        const blo_node *node = blo_graph_node(lowering->graph, id);
        const blo_node *sum = lowering->facts[id].root && node->count > 0 ? sum_before(lowering, node) : NULL;
        if (sum)
            squared[sum->id] = true;
    }
}

static bool place_root(blo_lowering *lowering, blo_node *node, const marks *m) {
    blo_node_facts *facts = &lowering->facts[node->id];
    const blo_node *sum = sum_before(lowering, node);
    if (sum && m->squared[sum->id]) { /* the first of equal squares; others, of another shape of mean, stand alone */
        facts->group = lowering->facts[sum->id].group;
        blo_group *summing = &lowering->groups[facts->group];
        summing->roots[summing->n_roots++] = node->id;
        m->squared[sum->id] = false;
        return true;
    }
    blo_group fresh = {.kind = kind_of(node), .n_roots = 1, .roots = {node->id}, .row = facts->row, .carrier = -1};
    if (!collect_uses(lowering, &fresh, node, m->seen, m->stack)) {
        free(fresh.uses);
        return false;
    }
    for (int g = 0; g < lowering->n_groups; g++) {
        if (!can_join(lowering, g, node, &fresh, m))
            continue;
        blo_group *group = &lowering->groups[g];
        bool added = true;
        for (int i = 0; i < fresh.n_uses; i++)
            if (lowering->facts[fresh.uses[i]].group != g)
                added = added && blo_group_add_use(group, fresh.uses[i]);
        free(fresh.uses);
        join(group, node, &fresh);
        facts->group = g;
        return added;
    }
    facts->group = lowering->n_groups;
    lowering->groups[lowering->n_groups++] = fresh;
    return true;
}

/* Appends group INDEX to the order, after what it needs. */
static void order_group(blo_lowering *lowering, int index, int *n) {
    blo_group *group = &lowering->groups[index];
    if (group->placed)
        return;
    group->placed = true;
    for (int i = 0; i < group->n_uses; i++)
        order_group(lowering, lowering->facts[group->uses[i]].group, n);
    lowering->order[(*n)++] = index;
}

blo_status blo_lower_group(blo_lowering *lowering) {
    size_t n = (size_t)lowering->n_nodes;
    const marks m = {calloc(n + 1, sizeof *m.seen), calloc(n + 1, sizeof *m.others), calloc(n + 1, sizeof *m.squared),
                     calloc(n + 1, sizeof *m.stack)};
    lowering->groups = calloc(n + 1, sizeof *lowering->groups);
    bool fits = m.seen && m.others && m.squared && m.stack && lowering->groups;
    if (fits)
        find_squares(lowering, m.squared);
    for (int id = 0; fits && id < lowering->n_nodes; id++)
        if (lowering->facts[id].root && blo_graph_node(lowering->graph, id)->count > 0)
            fits = place_root(lowering, blo_graph_node(lowering->graph, id), &m);
    free(m.seen);
    free(m.others);
    free(m.squared);
    free(m.stack);
    return fits ? BLO_OK
                : blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan a graph of %zu nodes", n);
}

blo_status blo_lower_order(blo_lowering *lowering) {
    int placed = 0;
    lowering->order = calloc((size_t)lowering->n_groups + 1, sizeof *lowering->order);
    if (!lowering->order)
        return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan %d kernels", lowering->n_groups);
    for (int g = 0; g < lowering->n_groups; g++)
        if (lowering->groups[g].carrier < 0)
            order_group(lowering, g, &placed);
    lowering->n_ordered = placed;
    return BLO_OK;
}

bool blo_root_is_read_once(const blo_lowering *lowering, const blo_node *root) {
    const blo_group *reader = NULL;
    for (int i = 0; i < lowering->n_outputs; i++)
        if (lowering->outputs[i] == root)
            return false;
    for (int g = 0; g < lowering->n_groups; g++) {
        const blo_group *group = &lowering->groups[g];
        if (g == lowering->facts[root->id].group || !blo_group_reads(group, root->id))
            continue;
        if (reader || group->carrier >= 0 || group->kind != BLO_GROUP_ELEMENTWISE || group->row >= 0)
            return false;
        reader = group;
    }
    return reader && !lowering->routine && blo_graph_node(lowering->graph, reader->roots[0])->count == root->count;
}
