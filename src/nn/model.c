/* Models: named parameters and their gradients as tensors, and binding them to the nodes of a graph.
 * Knows nothing of optimizers, loops or bilevel problems. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"

typedef struct parameter {
    char *name;
    blo_tensor *value, *gradient;
    blo_buffer *clamped; /* where the clamp writes before it is copied back; NULL until the first clamp */
} parameter;

struct blo_model {
    blo_context *context;
    blo_dtype dtype;
    parameter *parameters;
    int count;
    blo_forward forward;
    void *forward_user;
    uint64_t form;
    blo_plan *clamp; /* values, lo, hi -> clamped values; made for the form CLAMP_FORM */
    uint64_t clamp_form;
    blo_buffer *clamp_scratch, *clamp_bounds; /* bounds: lo and hi, BOUND_STRIDE apart */
};

struct blo_bound_model {
    const blo_model *model;
    int count;
    blo_node *parameters[];
};

/* Apart far enough for any device's alignment of arrays within a buffer. */
enum { BOUND_STRIDE = 256 };

/* --- life --- */

blo_status blo_model_create(blo_context *context, blo_dtype dtype, blo_model **model) {
    if (!context || !model)
        return BLO_ERROR_ARGUMENT;
    *model = NULL;
    if (dtype != BLO_FLOAT && dtype != BLO_DOUBLE)
        return blo_fail(context, BLO_ERROR_DTYPE, "a model's dtype must be float or double, not %s",
                        blo_dtype_name(dtype));
    if (dtype == BLO_DOUBLE && !blo_context_facts(context)->has_double)
        return blo_fail(context, BLO_ERROR_DTYPE, "a model of double: the device '%s' has no double precision",
                        blo_context_facts(context)->name);
    blo_model *made = calloc(1, sizeof *made);
    if (!made)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for a model");
    made->context = context;
    made->dtype = dtype;
    *model = made;
    return BLO_OK;
}

static void drop_clamp(blo_model *model) {
    blo_plan_destroy(model->clamp);
    blo_buffer_release(model->clamp_scratch);
    blo_buffer_release(model->clamp_bounds);
    model->clamp = NULL;
    model->clamp_scratch = model->clamp_bounds = NULL;
    for (int i = 0; i < model->count; i++) {
        blo_buffer_release(model->parameters[i].clamped);
        model->parameters[i].clamped = NULL;
    }
}

void blo_model_destroy(blo_model *model) {
    if (!model)
        return;
    drop_clamp(model);
    for (int i = 0; i < model->count; i++) {
        blo_tensor_destroy(model->parameters[i].value);
        blo_tensor_destroy(model->parameters[i].gradient);
        free(model->parameters[i].name);
    }
    free(model->parameters);
    free(model);
}

static int find(const blo_model *model, const char *name) {
    for (int i = 0; model && name && i < model->count; i++)
        if (strcmp(model->parameters[i].name, name) == 0)
            return i;
    return -1;
}

blo_status blo_model_add(blo_model *model, const char *name, int rank, const int64_t *shape) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = model->context;
    if (!name || !*name)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "a parameter needs a name");
    if (find(model, name) >= 0)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the model has a parameter '%s' already", name);
    parameter *grown = realloc(model->parameters, ((size_t)model->count + 1) * sizeof *grown);
    if (!grown)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for the parameter '%s'", name);
    model->parameters = grown;
    parameter made = {.name = malloc(strlen(name) + 1)};
    blo_status status = BLO_OK;
    if (!made.name) {
        status = blo_fail(context, BLO_ERROR_MEMORY, "no memory for the parameter '%s'", name);
        goto fail;
    }
    memcpy(made.name, name, strlen(name) + 1);
    status = blo_tensor_create(context, model->dtype, rank, shape, NULL, &made.value);
    if (status == BLO_OK)
        status = blo_tensor_create(context, model->dtype, rank, shape, NULL, &made.gradient);
    if (status != BLO_OK)
        goto fail;
    model->parameters[model->count++] = made;
    model->form++;
    return BLO_OK;
fail:
    blo_tensor_destroy(made.gradient);
    blo_tensor_destroy(made.value);
    free(made.name);
    return status;
}

void blo_model_set_forward(blo_model *model, blo_forward forward, void *user) {
    if (!model || (model->forward == forward && model->forward_user == user))
        return;
    model->forward = forward;
    model->forward_user = user;
    model->form++;
}

/* --- facts --- */

blo_context *blo_model_context(const blo_model *model) {
    return model->context;
}

blo_dtype blo_model_dtype(const blo_model *model) {
    return model->dtype;
}

uint64_t blo_model_form(const blo_model *model) {
    return model->form;
}

int blo_model_count(const blo_model *model) {
    return model ? model->count : 0;
}

const char *blo_model_name(const blo_model *model, int index) {
    return model && index >= 0 && index < model->count ? model->parameters[index].name : NULL;
}

blo_tensor *blo_model_value_at(const blo_model *model, int index) {
    return model->parameters[index].value;
}

blo_tensor *blo_model_gradient_at(const blo_model *model, int index) {
    return model->parameters[index].gradient;
}

blo_tensor *blo_model_value(blo_model *model, const char *name) {
    int index = find(model, name);
    return index < 0 ? NULL : model->parameters[index].value;
}

blo_tensor *blo_model_gradient(blo_model *model, const char *name) {
    int index = find(model, name);
    return index < 0 ? NULL : model->parameters[index].gradient;
}

/* --- host values in and out --- */

/* Checks a copy of COUNT values of parameter NAME; *INDEX is the parameter's. */
static blo_status check_copy(blo_model *model, const char *name, const void *values, int64_t count, int *index) {
    *index = find(model, name);
    if (*index < 0)
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "the model has no parameter '%s'", name ? name : "(null)");
    if (!values)
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "parameter '%s': values is NULL", name);
    int64_t size = blo_tensor_count(model->parameters[*index].value);
    if (count != size)
        return blo_fail(model->context, BLO_ERROR_SHAPE, "parameter '%s' has %lld elements, not %lld", name,
                        (long long)size, (long long)count);
    return BLO_OK;
}

blo_status blo_model_set(blo_model *model, const char *name, const double *values, int64_t count) {
    int index;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_copy(model, name, values, count, &index);
    if (status != BLO_OK)
        return status;
    blo_tensor *tensor = model->parameters[index].value;
    if (model->dtype == BLO_DOUBLE)
        return blo_tensor_upload(tensor, values, blo_tensor_bytes(tensor));
    float *narrowed = malloc((size_t)count * sizeof *narrowed + 1);
    if (!narrowed)
        return blo_fail(model->context, BLO_ERROR_MEMORY, "no memory to set the parameter '%s'", name);
    for (int64_t i = 0; i < count; i++)
        narrowed[i] = (float)values[i];
    status = blo_tensor_upload(tensor, narrowed, blo_tensor_bytes(tensor));
    free(narrowed);
    return status;
}

static blo_status download(blo_model *model, const blo_tensor *tensor, double *values, int64_t count) {
    if (model->dtype == BLO_DOUBLE)
        return blo_tensor_download(tensor, values, blo_tensor_bytes(tensor));
    float *narrow = malloc((size_t)count * sizeof *narrow + 1);
    if (!narrow)
        return blo_fail(model->context, BLO_ERROR_MEMORY, "no memory to read a parameter");
    blo_status status = blo_tensor_download(tensor, narrow, blo_tensor_bytes(tensor));
    for (int64_t i = 0; status == BLO_OK && i < count; i++)
        values[i] = (double)narrow[i];
    free(narrow);
    return status;
}

blo_status blo_model_get(blo_model *model, const char *name, double *values, int64_t count) {
    int index;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_copy(model, name, values, count, &index);
    return status == BLO_OK ? download(model, model->parameters[index].value, values, count) : status;
}

blo_status blo_model_get_gradient(blo_model *model, const char *name, double *values, int64_t count) {
    int index;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_copy(model, name, values, count, &index);
    return status == BLO_OK ? download(model, model->parameters[index].gradient, values, count) : status;
}

/* --- queued changes --- */

blo_status blo_model_zero_gradients(blo_model *model) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    for (int i = 0; i < model->count; i++) {
        blo_tensor *gradient = model->parameters[i].gradient;
        blo_status status = blo_buffer_zero(model->context, blo_tensor_buffer(gradient), 0, blo_tensor_bytes(gradient));
        if (status != BLO_OK)
            return status;
        blo_tensor_touch(gradient);
    }
    return BLO_OK;
}

/* The clamp of all parameters with its bounds as inputs, so that other bounds rebuild nothing. */
static blo_status plan_clamp(blo_model *model) {
    blo_graph *graph = NULL;
    blo_node **clamped = calloc((size_t)model->count, sizeof *clamped);
    blo_status status = clamped ? blo_graph_create(&graph) : BLO_ERROR_MEMORY;
    if (status != BLO_OK) {
        blo_fail(model->context, status, "no memory for the clamp of a model");
        goto fail;
    }
    for (int i = 0; i < model->count; i++) {
        const blo_tensor *value = model->parameters[i].value;
        clamped[i] = blo_graph_input(graph, model->parameters[i].name, model->dtype, blo_tensor_rank(value),
                                     blo_tensor_shape(value));
    }
    blo_node *lo = blo_graph_input(graph, "lo", model->dtype, 0, NULL);
    blo_node *hi = blo_graph_input(graph, "hi", model->dtype, 0, NULL);
    for (int i = 0; i < model->count; i++)
        clamped[i] = blo_minimum(blo_maximum(clamped[i], lo), hi);
    status = blo_plan_create(model->context, model->count, clamped, NULL, &model->clamp);
    if (status == BLO_OK)
        status = blo_buffer_create(model->context, (size_t)blo_plan_scratch_bytes(model->clamp), &model->clamp_scratch);
    if (status == BLO_OK)
        status = blo_buffer_create(model->context, 2 * BOUND_STRIDE, &model->clamp_bounds);
    for (int i = 0; status == BLO_OK && i < model->count; i++)
        status = blo_buffer_create(model->context, blo_tensor_bytes(model->parameters[i].value),
                                   &model->parameters[i].clamped);
    model->clamp_form = model->form;
fail:
    if (status != BLO_OK)
        drop_clamp(model);
    blo_graph_destroy(graph);
    free(clamped);
    return status;
}

static blo_status write_bound(blo_model *model, size_t offset, double bound) {
    float narrow = (float)bound;
    const void *source = model->dtype == BLO_DOUBLE ? (const void *)&bound : (const void *)&narrow;
    return blo_buffer_write(model->context, model->clamp_bounds, offset, blo_dtype_size(model->dtype), source);
}

/* A plan never writes over its inputs: clamped into buffers of their own, then copied back. */
static blo_status run_clamp(blo_model *model, blo_place *inputs, blo_place *outputs) {
    for (int i = 0; i < model->count; i++) {
        inputs[i] = (blo_place){blo_tensor_buffer(model->parameters[i].value), 0};
        outputs[i] = (blo_place){model->parameters[i].clamped, 0};
    }
    inputs[model->count] = (blo_place){model->clamp_bounds, 0};
    inputs[model->count + 1] = (blo_place){model->clamp_bounds, BOUND_STRIDE};
    blo_status status = blo_plan_enqueue(model->clamp, inputs, outputs, model->clamp_scratch);
    for (int i = 0; status == BLO_OK && i < model->count; i++) {
        const parameter *p = &model->parameters[i];
        status =
            blo_buffer_copy(model->context, p->clamped, 0, blo_tensor_buffer(p->value), 0, blo_tensor_bytes(p->value));
        blo_tensor_touch(p->value);
    }
    return status;
}

blo_status blo_model_clamp(blo_model *model, double lo, double hi) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (!(lo <= hi))
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "clamp: lo %g is not at most hi %g", lo, hi);
    if (model->count == 0)
        return BLO_OK;
    if (model->clamp && model->clamp_form != model->form)
        drop_clamp(model);
    blo_status status = model->clamp ? BLO_OK : plan_clamp(model);
    if (status == BLO_OK)
        status = write_bound(model, 0, lo);
    if (status == BLO_OK)
        status = write_bound(model, BOUND_STRIDE, hi);
    if (status != BLO_OK)
        return status;
    blo_place *places = calloc(2 * (size_t)model->count + 2, sizeof *places);
    if (!places)
        return blo_fail(model->context, BLO_ERROR_MEMORY, "no memory for the clamp of a model");
    status = run_clamp(model, places, places + model->count + 2);
    free(places);
    return status;
}

/* --- inside an objective --- */

blo_bound_model *blo_model_bind(const blo_model *model, blo_node *const *parameters) {
    blo_bound_model *bound = malloc(sizeof *bound + (size_t)model->count * sizeof(blo_node *));
    if (!bound)
        return NULL;
    bound->model = model;
    bound->count = model->count;
    for (int i = 0; i < model->count; i++)
        bound->parameters[i] = parameters[i];
    return bound;
}

void blo_bound_model_free(blo_bound_model *bound) {
    free(bound);
}

/* The graph to blame for a mistake; NULL if nothing tells it. */
static blo_graph *graph_of(const blo_bound_model *bound, const blo_node *data) {
    if (data)
        return data->graph;
    return bound->count > 0 && bound->parameters[0] ? bound->parameters[0]->graph : NULL;
}

bool blo_bound_model_has(const blo_bound_model *bound, const char *name) {
    return bound && find(bound->model, name) >= 0;
}

blo_node *blo_model_parameter(const blo_bound_model *model, const char *name) {
    if (!model)
        return NULL;
    int index = find(model->model, name);
    if (index >= 0 && index < model->count)
        return model->parameters[index];
    blo_graph *graph = graph_of(model, NULL);
    return graph ? blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the model has no parameter '%s'", name ? name : "(null)")
                 : NULL;
}

blo_node *blo_model_forward(const blo_bound_model *model, blo_node *data) {
    if (!model)
        return NULL;
    if (model->model->forward)
        return model->model->forward(model, data, model->model->forward_user);
    blo_graph *graph = graph_of(model, data);
    return graph ? blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "the model has no forward function") : NULL;
}
