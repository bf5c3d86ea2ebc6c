/* What a prologue keeps for its pullback, so that nothing is computed twice: results of products and convolutions, of
 * poolings and of long sums, those that save most operations per byte first, as far as a share of the memory goes.
 * What is hoisted is there anyway. Knows graphs and plans; when prologues run, hoist.c says. */
#include <stdlib.h>
#include <string.h>

#include "hoist.h"
#include "solver.h"

enum {
    SHARE = 8,            /* of the memory that is left, one part in so many may be kept */
    LEAST_PER_ELEMENT = 8 /* operations of a sum that is worth keeping */
};

typedef struct candidate {
    blo_node *node, *given;
    double saves; /* operations per byte */
} candidate;

static uint64_t bytes_of(const blo_node *node) {
    return (uint64_t)node->count * blo_dtype_size(node->dtype);
}

/* Operations that NODE alone takes; 0: it is not worth keeping. */
static double cost_of(const blo_node *node) {
    switch (node->op) {
    case BLO_OP_MATMUL:
    case BLO_OP_CONV:
    case BLO_OP_CONV_INPUT:
    case BLO_OP_CONV_WEIGHT: return blo_node_flops(node);
    case BLO_OP_POOL_ARGMAX:
    case BLO_OP_POOL_TAKE: return (double)node->in[0]->count;
    case BLO_OP_SUM:
    case BLO_OP_REDUCE_MAX:
        return node->in[0]->count >= LEAST_PER_ELEMENT * node->count ? (double)node->in[0]->count : 0;
    default: return 0;
    }
}

static int more_first(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->saves != y->saves)
        return x->saves < y->saves ? 1 : -1;
    return x->node->id < y->node->id ? -1 : x->node->id > y->node->id;
}

static bool is_hoisted(const blo_hoist *hoist, const blo_node *node) {
    for (int i = 0; i < hoist->n; i++)
        if (hoist->values[i] == node)
            return true;
    return false;
}

/* FOUND [nodes of the graph]: what the prologue computes and RESULTS compute again, the best first, as many as LIMIT
 * bytes hold. */
static bool find(const blo_program *program, int n, blo_node *const *results, uint64_t limit, candidate *found,
                 int *n_found) {
    const blo_hoist *hoist = program->hoist;
    const int n_nodes = blo_graph_nodes(program->graph);
    bool *forward = calloc((size_t)n_nodes + 1, sizeof *forward),
         *backward = calloc((size_t)n_nodes + 1, sizeof *backward);
    *n_found = 0;
    if (forward && backward) {
        blo_graph_mark_live(hoist->n, hoist->values, forward);
        blo_graph_mark_live(n, results, backward);
        for (int id = 0; id < n_nodes; id++) {
            blo_node *node = blo_graph_node(program->graph, id);
            if (forward[id] && backward[id] && node->count > 0 && cost_of(node) > 0 && !is_hoisted(hoist, node))
                found[(*n_found)++] = (candidate){node, NULL, cost_of(node) / (double)bytes_of(node)};
        }
        qsort(found, (size_t)*n_found, sizeof *found, more_first);
        uint64_t bytes = 0;
        int taken = 0;
        for (int i = 0; i < *n_found; i++)
            if (bytes_of(found[i].node) <= limit - bytes) {
                bytes += bytes_of(found[i].node);
                found[taken++] = found[i];
            }
        *n_found = taken;
    }
    const bool done = forward && backward;
    free(forward);
    free(backward);
    return done;
}

/* RESULTS read what is hoisted, and the N_FOUND values, where they computed them. Leaves in FOUND those that are then
 * still read: what is before them is not. NODES [2 * (n_found + hoist's)] is room. */
static blo_status replace(blo_program *program, int n, blo_node **results, candidate *found, int *n_found,
                          blo_node **nodes) {
    const blo_hoist *hoist = program->hoist;
    const int all = *n_found + hoist->n;
    blo_node **from = nodes, **to = nodes + all;
    for (int i = 0; i < *n_found; i++) {
        const blo_node *value = found[i].node;
        from[i] = found[i].node;
        to[i] = found[i].given =
            blo_program_input(program, BLO_ROLE_PROLOGUE, i, "prologue.kept", value->dtype, value->rank, value->shape);
    }
    memcpy(from + *n_found, hoist->values, (size_t)hoist->n * sizeof *from);
    memcpy(to + *n_found, hoist->inputs, (size_t)hoist->n * sizeof *to);
    blo_status status = blo_graph_status(program->graph);
    if (status == BLO_OK)
        status = blo_graph_substitute(all, from, to, n, results, results);
    bool *live = status == BLO_OK ? calloc((size_t)blo_graph_nodes(program->graph) + 1, sizeof *live) : NULL;
    if (!live)
        return status == BLO_OK ? BLO_ERROR_MEMORY : status;
    blo_graph_mark_live(n, results, live);
    int kept = 0;
    for (int i = 0; i < *n_found; i++)
        if (live[found[i].given->id]) {
            program->roles[program->n_roles - *n_found + i].index = kept;
            found[kept++] = found[i];
        }
    *n_found = kept;
    free(live);
    return BLO_OK;
}

/* The prologue's plan with the kept values as further outputs, and arrays for these. */
static blo_status lower(blo_lower_solver *solver, blo_program *program, int n, const candidate *found) {
    blo_hoist *hoist = program->hoist;
    blo_node **outputs = calloc((size_t)(hoist->n + n), sizeof *outputs);
    blo_buffer **kept = calloc((size_t)n, sizeof *kept);
    blo_plan *plan = NULL;
    blo_status status = outputs && kept ? BLO_OK : BLO_ERROR_MEMORY;
    if (status != BLO_OK) {
        blo_fail(solver->context, status, "no memory to keep what a prologue computed");
        goto done;
    }
    memcpy(outputs, hoist->values, (size_t)hoist->n * sizeof *outputs);
    for (int i = 0; i < n; i++)
        outputs[hoist->n + i] = found[i].node;
    status = blo_program_lower(solver, program, hoist->n + n, outputs, false, &plan);
    for (int i = 0; i < n && status == BLO_OK; i++)
        status = blo_buffer_create(solver->context, (size_t)bytes_of(found[i].node), &kept[i]);
    if (status != BLO_OK)
        goto done;
    blo_plan_set_part(plan, "prologue");
    blo_hoist_free_kept(hoist);
    blo_plan_destroy(hoist->prologue);
    hoist->prologue = plan;
    hoist->kept = kept;
    hoist->n_kept = n;
    hoist->is_valid = false;
    plan = NULL;
    kept = NULL;
done:
    blo_plan_destroy(plan);
    for (int i = 0; kept && i < n; i++)
        blo_buffer_release(kept[i]);
    free(kept);
    free(outputs);
    return status;
}

blo_status blo_hoist_keep(blo_lower_solver *solver, blo_program *program, int n, blo_node **results) {
    const int n_nodes = blo_graph_nodes(program->graph);
    const uint64_t limit =
        program->hoist->spare ? 0 : blo_pool_available(solver->context, solver->options.memory_budget) / SHARE;
    candidate *found = calloc((size_t)n_nodes + 1, sizeof *found);
    blo_node **nodes = calloc(2 * ((size_t)n_nodes + BLO_MOST_HOISTED), sizeof *nodes);
    blo_status status = BLO_ERROR_MEMORY;
    int n_found;
    if (found && nodes && find(program, n, results, limit, found, &n_found))
        status = replace(program, n, results, found, &n_found, nodes);
    if (status != BLO_OK)
        blo_fail(solver->context, status, "no memory to find what a prologue should keep");
    else if (n_found > 0)
        status = lower(solver, program, n_found, found);
    free(found);
    free(nodes);
    return status;
}

void blo_hoist_free_kept(blo_hoist *hoist) {
    for (int i = 0; i < hoist->n_kept; i++)
        blo_buffer_release(hoist->kept[i]);
    free(hoist->kept);
    hoist->kept = NULL;
    hoist->n_kept = 0;
}

void blo_hoist_spare(blo_program *program, bool *freed) {
    blo_hoist *hoist = program->hoist;
    if (!hoist)
        return;
    *freed = *freed || hoist->n_kept > 0;
    hoist->spare = true;
    if (hoist->n_kept == 0)
        return;
    blo_hoist_free_kept(hoist);
    blo_plan_destroy(hoist->prologue);
    blo_plan_destroy(hoist->pullback);
    hoist->prologue = hoist->pullback = NULL;
    hoist->is_valid = false;
}
