/* One lower step as nodes: the gradient of f, the optimizer's step with its learning rate, and the projection.
 * Knows nothing of loops: where the state comes from and goes to is others' affair. */
#include <stdlib.h>

#include "solver.h"

/* VALUE scaled back to the ball; inside it the identity, whose derivative never meets the norm's. */
static blo_node *project_ball(blo_node *value, double radius) {
    blo_node *norm = blo_norm(value);
    if (!norm)
        return NULL;
    blo_node *bound = blo_full_like(norm, radius), *one = blo_full_like(norm, 1.0);
    blo_node *outside = blo_greater(norm, bound);
    blo_node *scaled = blo_mul(value, blo_div(bound, blo_select(outside, norm, one)));
    return blo_select(outside, scaled, value);
}

/* The caller's projection of parameter NAME; it must keep the shape and the dtype. */
static blo_node *project_function(const blo_lower_solver *solver, const blo_state *state, const char *name,
                                  blo_node *value) {
    blo_graph *graph = state->graph;
    blo_context_counters(solver->context)->traces++;
    blo_node *projected = solver->options.project(state, name, value, solver->options.project_user);
    if (blo_graph_status(graph) != BLO_OK)
        return NULL;
    if (!projected)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the projection of '%s' returned NULL", name);
    if (projected->graph != graph)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the projection of '%s' returned a node of another graph",
                              name);
    if (projected->dtype != value->dtype)
        return blo_graph_fail(graph, BLO_ERROR_DTYPE,
                              "the projection of '%s' returned a value of %s, the parameter is of %s", name,
                              blo_dtype_name(projected->dtype), blo_dtype_name(value->dtype));
    bool same = projected->rank == value->rank;
    for (int i = 0; same && i < value->rank; i++)
        same = projected->shape[i] == value->shape[i];
    if (!same)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE,
                              "the projection of '%s' returned another shape than the parameter's", name);
    return projected;
}

static blo_node *project(const blo_lower_solver *solver, const blo_state *state, const char *name, blo_node *value) {
    const blo_lower_options *options = &solver->options;
    if (!value)
        return NULL;
    switch (options->projection) {
    case BLO_PROJECT_BOX: return blo_clamp(value, options->box_lo, options->box_hi);
    case BLO_PROJECT_BALL: return project_ball(value, options->ball_radius);
    case BLO_PROJECT_FUNCTION: return project_function(solver, state, name, value);
    case BLO_PROJECT_NONE: break;
    }
    return value;
}

/* The learning rate, [] of the models' dtype. */
static blo_node *learning_rate(const blo_lower_solver *solver, const blo_state *state) {
    const blo_lower_options *options = &solver->options;
    blo_graph *graph = state->graph;
    blo_dtype dtype = blo_model_dtype(solver->lower);
    if (!options->learning_rate)
        return blo_constant(graph, dtype, options->optimizer.learning_rate);
    blo_context_counters(solver->context)->traces++;
    blo_node *rate = options->learning_rate(state, options->learning_rate_user);
    if (blo_graph_status(graph) != BLO_OK)
        return NULL;
    if (!rate)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "learning_rate returned NULL");
    if (rate->graph != graph)
        return blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "learning_rate returned a node of another graph");
    if (rate->rank != 0)
        return blo_graph_fail(graph, BLO_ERROR_SHAPE, "learning_rate returned a node of rank %d, a scalar is wanted",
                              rate->rank);
    if (rate->dtype != dtype)
        return blo_graph_fail(graph, BLO_ERROR_DTYPE, "learning_rate returned a value of %s, the models are of %s",
                              blo_dtype_name(rate->dtype), blo_dtype_name(dtype));
    return rate;
}

void blo_trace_step(blo_lower_solver *solver, blo_program *program, const blo_state *state, blo_node *loss) {
    const int n = program->n_lower, states = solver->states;
    blo_node **gradients = calloc((size_t)n, sizeof *gradients);
    if (!gradients) {
        blo_graph_fail(program->graph, BLO_ERROR_MEMORY, "no memory for its gradients");
        return;
    }
    blo_node *rate = learning_rate(solver, state);
    if (rate && blo_gradient(loss, n, program->state, gradients) == BLO_OK)
        for (int i = 0; i < n; i++) {
            blo_node **moments = program->next_state + n + i * states;
            blo_node *moved = blo_step_trace(&solver->options.optimizer, program->state[i], gradients[i],
                                             program->state + n + i * states, rate, program->step, moments);
            program->next_state[i] = project(solver, state, blo_model_name(solver->lower, i), moved);
        }
    free(gradients);
}
