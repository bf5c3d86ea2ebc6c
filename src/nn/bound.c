/* Models inside an objective: parameters and buffers as nodes, and what the objective asks to be tracked in buffers.
 * Knows nothing of when buffers are updated. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

struct blo_bound_model {
    const blo_model *model;
    const blo_bound_model *evaluation; /* the same model in evaluation; itself there */
    blo_tracking *tracking;            /* NULL: what is tracked is dropped */
    int n_parameters, n_buffers;
    blo_node *const *parameters, *const *buffers;
};

/* A bound model and its twin in evaluation, with the nodes of both. */
typedef struct pair {
    blo_bound_model training, evaluation;
    blo_node *nodes[];
} pair;

blo_bound_model *blo_model_bind(const blo_model *model, blo_node *const *parameters, blo_node *const *buffers,
                                blo_tracking *tracking) {
    const int n = blo_model_count(model), n_buffers = buffers ? blo_model_buffer_count(model) : 0;
    pair *made = malloc(sizeof *made + (size_t)(n + n_buffers) * sizeof(blo_node *));
    if (!made)
        return NULL;
    for (int i = 0; i < n; i++)
        made->nodes[i] = parameters[i];
    for (int i = 0; i < n_buffers; i++)
        made->nodes[n + i] = buffers[i];
    made->training = (blo_bound_model){model, &made->evaluation, tracking, n, n_buffers, made->nodes, made->nodes + n};
    made->evaluation = made->training;
    made->evaluation.tracking = NULL;
    return &made->training;
}

void blo_bound_model_free(blo_bound_model *bound) {
    free(bound); /* the first member of its pair */
}

const blo_bound_model *blo_model_in_evaluation(const blo_bound_model *model) {
    return model ? model->evaluation : NULL;
}

bool blo_bound_model_evaluates(const blo_bound_model *bound) {
    return bound->evaluation == bound;
}

/* The graph to blame for a mistake; NULL if nothing tells it. */
static blo_graph *graph_of(const blo_bound_model *bound, const blo_node *node) {
    if (node)
        return node->graph;
    return bound->n_parameters > 0 && bound->parameters[0] ? bound->parameters[0]->graph : NULL;
}

/* --- parameters and buffers --- */

bool blo_bound_model_has(const blo_bound_model *bound, const char *name) {
    return bound && blo_model_find(bound->model, name) >= 0;
}

blo_node *blo_model_parameter(const blo_bound_model *model, const char *name) {
    if (!model)
        return NULL;
    int index = blo_model_find(model->model, name);
    if (index >= 0 && index < model->n_parameters)
        return model->parameters[index];
    blo_graph *graph = graph_of(model, NULL);
    return graph ? blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the model has no parameter '%s'", name ? name : "(null)")
                 : NULL;
}

/* Index of buffer NAME; -1: there is none, which is the graph's error. */
static int find_buffer(const blo_bound_model *bound, const char *name, const blo_node *node) {
    const int index = blo_model_find(bound->model, name) - blo_model_count(bound->model);
    if (index >= 0 && index < bound->n_buffers)
        return index;
    blo_graph *graph = graph_of(bound, node);
    if (graph)
        blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the model has no buffer '%s'", name ? name : "(null)");
    return -1;
}

blo_node *blo_model_buffer(const blo_bound_model *model, const char *name) {
    const int index = model ? find_buffer(model, name, NULL) : -1;
    return index < 0 ? NULL : model->buffers[index];
}

double blo_bound_model_momentum(const blo_bound_model *bound, const char *name) {
    const int index = find_buffer(bound, name, NULL);
    return index < 0 ? 0.0 : blo_model_momentum(bound->model, index);
}

blo_node *blo_model_forward(const blo_bound_model *model, blo_node *data) {
    void *user = NULL;
    if (!model)
        return NULL;
    blo_forward forward = blo_model_forward_of(model->model, &user);
    if (forward)
        return forward(model, data, user);
    blo_graph *graph = graph_of(model, data);
    return graph ? blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the model has no forward function") : NULL;
}

/* --- tracking --- */

/* The entry of buffer INDEX, a new one that changes nothing if there is none yet. NULL: no memory. */
static blo_tracked *entry_of(blo_tracking *tracking, const blo_model *model, int index) {
    for (int i = 0; i < tracking->n; i++)
        if (tracking->all[i].model == model && tracking->all[i].buffer == index)
            return &tracking->all[i];
    blo_tracked *grown = realloc(tracking->all, ((size_t)tracking->n + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    tracking->all = grown;
    grown[tracking->n] = (blo_tracked){model, index, 1.0, NULL};
    return &grown[tracking->n++];
}

static blo_status check_value(const blo_bound_model *model, int index, const char *name, const blo_node *value,
                              double momentum) {
    const blo_node *buffer = model->buffers[index];
    if (value->graph != buffer->graph) {
        blo_graph_fail(buffer->graph, BLO_ERROR_ARGUMENT, "blo_model_track: '%s' and a value of another graph", name);
        return BLO_ERROR_ARGUMENT;
    }
    if (!(momentum >= 0.0 && momentum <= 1.0))
        blo_graph_fail(value->graph, BLO_ERROR_ARGUMENT, "blo_model_track: '%s' with momentum %g; want 0 to 1", name,
                       momentum);
    bool same = value->rank == buffer->rank && value->dtype == buffer->dtype;
    for (int i = 0; same && i < value->rank; i++)
        same = value->shape[i] == buffer->shape[i];
    if (!same)
        blo_graph_fail(value->graph, BLO_ERROR_SHAPE,
                       "blo_model_track: '%s' of %d axes (%lld values, %s) and a value of %d axes (%lld values, %s)",
                       name, buffer->rank, (long long)buffer->count, blo_dtype_name(buffer->dtype), value->rank,
                       (long long)value->count, blo_dtype_name(value->dtype));
    return blo_graph_status(value->graph);
}

blo_status blo_model_track(const blo_bound_model *model, const char *buffer, blo_node *value, double momentum) {
    if (!model || !value)
        return BLO_ERROR_ARGUMENT;
    const int index = find_buffer(model, buffer, value);
    if (index < 0)
        return blo_graph_status(value->graph);
    blo_status status = check_value(model, index, buffer, value, momentum);
    if (status != BLO_OK || !model->tracking)
        return status;
    blo_tracked *entry = entry_of(model->tracking, model->model, index);
    if (!entry) {
        blo_graph_fail(value->graph, BLO_ERROR_MEMORY, "no memory to track '%s'", buffer);
        return BLO_ERROR_MEMORY;
    }
    blo_node *added = blo_scale(value, momentum);
    entry->adds = entry->adds ? blo_add(blo_scale(entry->adds, 1.0 - momentum), added) : added;
    entry->keeps *= 1.0 - momentum;
    return blo_graph_status(value->graph);
}
