/* Models: named parameters with their gradients, and named buffers, as tensors.
 * Knows nothing of graphs but the forward function, nothing of optimizers, loops or bilevel problems. */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "clamp.h"

typedef struct parameter {
    char *name;
    blo_tensor *value, *gradient;
} parameter;

typedef struct buffer {
    char *name;
    blo_tensor *value;
    double momentum; /* of running statistics */
} buffer;

struct blo_model {
    blo_context *context;
    blo_dtype dtype;
    parameter *parameters;
    int count;
    buffer *buffers;
    int n_buffers;
    blo_forward forward;
    void *forward_user;
    uint64_t form;
    blo_clamping *clamp; /* NULL until the first; made for the form CLAMP_FORM */
    uint64_t clamp_form;
};

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

void blo_model_destroy(blo_model *model) {
    if (!model)
        return;
    blo_clamping_destroy(model->clamp);
    for (int i = 0; i < model->count; i++) {
        blo_tensor_destroy(model->parameters[i].value);
        blo_tensor_destroy(model->parameters[i].gradient);
        free(model->parameters[i].name);
    }
    for (int i = 0; i < model->n_buffers; i++) {
        blo_tensor_destroy(model->buffers[i].value);
        free(model->buffers[i].name);
    }
    free(model->buffers);
    free(model->parameters);
    free(model);
}

static int find(const blo_model *model, const char *name) {
    const int index = blo_model_find(model, name);
    return model && index < model->count ? index : -1;
}

/* Refuses a name that is missing or taken. WHAT: a parameter or a buffer. */
static blo_status check_name(const blo_model *model, const char *what, const char *name) {
    if (!name || !*name)
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "a %s needs a name", what);
    const int index = blo_model_find(model, name);
    if (index < 0)
        return BLO_OK;
    return blo_fail(model->context, BLO_ERROR_ARGUMENT, "the model has a %s '%s' already",
                    index < model->count ? "parameter" : "buffer", name);
}

static char *copy_of(const char *name) {
    char *copy = malloc(strlen(name) + 1);
    return copy ? strcpy(copy, name) : NULL;
}

blo_status blo_model_add(blo_model *model, const char *name, int rank, const int64_t *shape) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = model->context;
    blo_status status = check_name(model, "parameter", name);
    if (status != BLO_OK)
        return status;
    parameter *grown = realloc(model->parameters, ((size_t)model->count + 1) * sizeof *grown);
    if (!grown)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for the parameter '%s'", name);
    model->parameters = grown;
    parameter made = {.name = copy_of(name)};
    if (!made.name)
        status = blo_fail(context, BLO_ERROR_MEMORY, "no memory for the parameter '%s'", name);
    if (status == BLO_OK)
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

blo_status blo_model_add_buffer(blo_model *model, const char *name, int rank, const int64_t *shape) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = model->context;
    blo_status status = check_name(model, "buffer", name);
    if (status != BLO_OK)
        return status;
    buffer *grown = realloc(model->buffers, ((size_t)model->n_buffers + 1) * sizeof *grown);
    if (grown)
        model->buffers = grown;
    buffer made = {.name = copy_of(name)};
    if (!grown || !made.name)
        status = blo_fail(context, BLO_ERROR_MEMORY, "no memory for the buffer '%s'", name);
    if (status == BLO_OK)
        status = blo_tensor_create(context, model->dtype, rank, shape, NULL, &made.value);
    if (status != BLO_OK) {
        free(made.name);
        return status;
    }
    model->buffers[model->n_buffers++] = made;
    model->form++;
    return BLO_OK;
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

int blo_model_buffer_count(const blo_model *model) {
    return model ? model->n_buffers : 0;
}

const char *blo_model_buffer_name(const blo_model *model, int index) {
    return model && index >= 0 && index < model->n_buffers ? model->buffers[index].name : NULL;
}

double blo_model_momentum(const blo_model *model, int index) {
    return model->buffers[index].momentum;
}

void blo_model_set_momentum(blo_model *model, int index, double momentum) {
    model->buffers[index].momentum = momentum;
}

int blo_model_entries(const blo_model *model) {
    return model ? model->count + model->n_buffers : 0;
}

const char *blo_model_entry_name(const blo_model *model, int index) {
    return index < model->count ? model->parameters[index].name : model->buffers[index - model->count].name;
}

blo_tensor *blo_model_entry(const blo_model *model, int index) {
    return index < model->count ? model->parameters[index].value : model->buffers[index - model->count].value;
}

int blo_model_find(const blo_model *model, const char *name) {
    for (int i = 0; name && i < blo_model_entries(model); i++)
        if (strcmp(blo_model_entry_name(model, i), name) == 0)
            return i;
    return -1;
}

blo_forward blo_model_forward_of(const blo_model *model, void **user) {
    *user = model->forward_user;
    return model->forward;
}

blo_tensor *blo_model_value_at(const blo_model *model, int index) {
    return model->parameters[index].value;
}

blo_tensor *blo_model_gradient_at(const blo_model *model, int index) {
    return model->parameters[index].gradient;
}

blo_tensor *blo_model_value(blo_model *model, const char *name) {
    int index = blo_model_find(model, name);
    return index < 0 ? NULL : blo_model_entry(model, index);
}

blo_tensor *blo_model_gradient(blo_model *model, const char *name) {
    int index = find(model, name);
    return index < 0 ? NULL : model->parameters[index].gradient;
}

/* --- host values in and out --- */

/* Checks a copy of COUNT values of the parameter or buffer NAME; *INDEX is its entry. */
static blo_status check_copy(blo_model *model, const char *name, const void *values, int64_t count, int *index) {
    *index = blo_model_find(model, name);
    if (*index < 0)
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "the model has no parameter '%s'", name ? name : "(null)");
    const char *what = *index < model->count ? "parameter" : "buffer";
    if (!values)
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "%s '%s': values is NULL", what, name);
    int64_t size = blo_tensor_count(blo_model_entry(model, *index));
    if (count != size)
        return blo_fail(model->context, BLO_ERROR_SHAPE, "%s '%s' has %lld elements, not %lld", what, name,
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
    blo_tensor *tensor = blo_model_entry(model, index);
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
    return status == BLO_OK ? download(model, blo_model_entry(model, index), values, count) : status;
}

blo_status blo_model_get_gradient(blo_model *model, const char *name, double *values, int64_t count) {
    int index;
    if (!model)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_copy(model, name, values, count, &index);
    if (status == BLO_OK && index >= model->count)
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "the buffer '%s' has no gradient", name);
    return status == BLO_OK ? download(model, model->parameters[index].gradient, values, count) : status;
}

/* --- queued changes --- */

blo_status blo_model_zero_gradients(blo_model *model) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    for (int i = 0; i < model->count; i++) {
        blo_tensor *gradient = model->parameters[i].gradient;
        blo_status status = blo_buffer_zero_later(blo_tensor_buffer(gradient));
        if (status != BLO_OK)
            return status;
        blo_tensor_touch(gradient);
    }
    return BLO_OK;
}

blo_status blo_model_clamp(blo_model *model, double lo, double hi) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (!(lo <= hi))
        return blo_fail(model->context, BLO_ERROR_ARGUMENT, "clamp: lo %g is not at most hi %g", lo, hi);
    if (model->count == 0)
        return BLO_OK;
    if (model->clamp && model->clamp_form != model->form) {
        blo_clamping_destroy(model->clamp);
        model->clamp = NULL;
    }
    blo_status status = model->clamp ? BLO_OK : blo_clamping_create(model, &model->clamp);
    model->clamp_form = model->form;
    return status == BLO_OK ? blo_clamping_run(model->clamp, model, lo, hi) : status;
}
