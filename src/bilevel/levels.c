/* Which intermediates of a lower step are worth keeping, and the plans that do; see levels.h. Knows graphs and plans;
 * knows nothing of loops and budgets. */
#include "levels.h"

#include <stdlib.h>
#include <string.h>

#include "solver.h"

/* An adjoint of fewer operations than this is not worth a second plan; a product is if it is this share of it. While a
 * byte comes from memory a CPU could do so many operations. */
static const double least_adjoint = 2e6, least_share = 0.01, operations_per_byte = 16;

typedef struct candidate {
    blo_node *node;
    double saves; /* work per byte */
} candidate;

/* What NODE costs, in operations: a narrow product waits for its operands' bytes longer than for its sums. */
static double work_of(const blo_node *node) {
    double bytes = (double)blo_node_bytes(node);
    for (int i = 0; i < node->n_in; i++)
        bytes += (double)blo_node_bytes(node->in[i]);
    return blo_node_flops(node) + operations_per_byte * bytes;
}

static double saves_per_byte(const blo_node *node) {
    return work_of(node) / (double)blo_node_bytes(node);
}

static bool is_product(const blo_node *node) {
    return node->op == BLO_OP_MATMUL || blo_is_convolution(node);
}

/* Puts NODE among the best so far, the better first. */
static void insert(candidate best[BLO_MOST_LEVELS], int *n, blo_node *node) {
    double saves = saves_per_byte(node);
    int at = *n;
    while (at > 0 && best[at - 1].saves < saves)
        at--;
    if (at == BLO_MOST_LEVELS)
        return;
    *n = *n < BLO_MOST_LEVELS ? *n + 1 : *n;
    for (int i = *n - 1; i > at; i--)
        best[i] = best[i - 1];
    best[at] = (candidate){node, saves};
}

/* Products that the step computes from its state and that the adjoint computes once more. False: no memory. */
static bool find(const blo_program *program, double adjoint_cost, candidate best[BLO_MOST_LEVELS], int *n) {
    const int n_nodes = blo_graph_nodes(program->graph);
    bool *forward = calloc((size_t)n_nodes + 1, sizeof *forward),
         *backward = calloc((size_t)n_nodes + 1, sizeof *backward),
         *moving = calloc((size_t)n_nodes + 1, sizeof *moving);
    *n = 0;
    if (forward && backward && moving) {
        blo_graph_mark_live(program->n_state, program->next_state, forward);
        blo_graph_mark_live(program->n_carry, program->adjoint_outputs, backward);
        for (int i = 0; i < program->n_state; i++)
            moving[program->state[i]->id] = true;
        for (int id = 0; id < n_nodes; id++) {
            blo_node *node = blo_graph_node(program->graph, id);
            for (int i = 0; i < node->n_in; i++)
                moving[id] = moving[id] || moving[node->in[i]->id];
            if (forward[id] && backward[id] && moving[id] && is_product(node) && node->count > 0 &&
                work_of(node) >= least_share * adjoint_cost)
                insert(best, n, node);
        }
    }
    bool found = forward && backward && moving;
    free(forward);
    free(backward);
    free(moving);
    return found;
}

static blo_status check_graph(const blo_lower_solver *solver, const blo_program *program) {
    blo_status status = blo_graph_status(program->graph);
    return status == BLO_OK ? BLO_OK
                            : blo_fail(solver->context, status, "the derivative of the lower step: %s",
                                       blo_graph_error(program->graph));
}

/* The plans of LEVEL: the step writes the first of KEPT beside its state, the adjoint reads them from GIVEN. */
static blo_status lower_level(blo_lower_solver *solver, blo_program *program, int level, blo_node *const *kept,
                              blo_node *const *given) {
    blo_levels *levels = program->levels;
    const int n_state = program->n_state, n_carry = program->n_carry;
    blo_node **nodes = calloc((size_t)(n_state + level + n_carry), sizeof *nodes);
    if (!nodes)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to plan an objective");
    memcpy(nodes, program->next_state, (size_t)n_state * sizeof *nodes);
    memcpy(nodes + n_state, kept, (size_t)level * sizeof *nodes);
    blo_node **adjoint = nodes + n_state + level;
    if (blo_graph_substitute(level, kept, given, n_carry, program->adjoint_outputs, adjoint) == BLO_OK)
        levels->adjoint_cost[level] = blo_graph_flops(n_carry, adjoint);
    blo_status status = check_graph(solver, program);
    if (status == BLO_OK)
        status =
            blo_program_lower(solver, program, program->turns, n_state + level, nodes, false, &levels->steps[level]);
    if (status == BLO_OK)
        status = blo_program_lower(solver, program, program->turns, n_carry, adjoint, true, &levels->adjoints[level]);
    free(nodes);
    return status;
}

static blo_status lower_levels(blo_lower_solver *solver, blo_program *program, const candidate *best, int n) {
    blo_node *kept[BLO_MOST_LEVELS], *given[BLO_MOST_LEVELS];
    blo_status status = BLO_OK;
    for (int i = 0; i < n && status == BLO_OK; i++) {
        kept[i] = best[i].node;
        given[i] = blo_program_input(program, BLO_ROLE_KEPT, i, "kept", kept[i]->dtype, kept[i]->rank, kept[i]->shape);
        program->levels->bytes[i] = (uint64_t)program->turns * blo_node_bytes(kept[i]);
        status = given[i] ? BLO_OK : blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to plan an objective");
    }
    for (int level = 1; level <= n && status == BLO_OK; level++)
        status = lower_level(solver, program, level, kept, given);
    if (status == BLO_OK)
        program->levels->n = n;
    return status;
}

blo_status blo_levels_make(blo_lower_solver *solver, blo_program *program) {
    if (program->levels)
        return BLO_OK;
    blo_levels *levels = program->levels = calloc(1, sizeof *levels);
    if (!levels)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to plan an objective");
    levels->steps[0] = program->plan;
    levels->adjoints[0] = program->adjoint;
    levels->step_cost = blo_graph_flops(program->n_state, program->next_state);
    levels->adjoint_cost[0] = blo_graph_flops(program->n_carry, program->adjoint_outputs);
    candidate best[BLO_MOST_LEVELS];
    int n = 0;
    blo_status status = check_graph(solver, program);
    if (status == BLO_OK && levels->adjoint_cost[0] * program->turns < least_adjoint)
        return BLO_OK;
    if (status == BLO_OK && !find(program, levels->adjoint_cost[0], best, &n))
        status = blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to plan an objective");
    if (status == BLO_OK)
        status = lower_levels(solver, program, best, n);
    if (status != BLO_OK) {
        blo_levels_free(levels);
        program->levels = NULL;
    }
    return status;
}

void blo_levels_free(blo_levels *levels) {
    if (!levels)
        return;
    for (int level = 1; level <= BLO_MOST_LEVELS; level++) {
        blo_plan_destroy(levels->steps[level]);
        blo_plan_destroy(levels->adjoints[level]);
    }
    free(levels);
}
