/* Models to and from safetensors: which parameter or buffer is which array. Knows nothing of the file's format. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENTENCE = 512, SHAPE_TEXT = 200 };

/* "PREFIX.NAME", or NAME where there is no prefix; malloc'ed. NULL: no memory. */
static char *full_name(const char *prefix, const char *name) {
    bool bare = !prefix || !*prefix;
    size_t size = (bare ? 0 : strlen(prefix) + 1) + strlen(name) + 1;
    char *full = malloc(size);
    if (full)
        snprintf(full, size, "%s%s%s", bare ? "" : prefix, bare ? "" : ".", name);
    return full;
}

static blo_status no_memory(const blo_model *model, const char *name) {
    return blo_fail(blo_model_context(model), BLO_ERROR_MEMORY, "no memory to copy the parameter '%s'", name);
}

/* --- storing --- */

static blo_status store_one(const blo_model *model, int index, const char *prefix, blo_safetensors *file) {
    char message[SENTENCE] = "";
    const blo_tensor *value = blo_model_entry(model, index);
    const char *name = blo_model_entry_name(model, index);
    size_t bytes = blo_tensor_bytes(value);
    char *full = full_name(prefix, name);
    void *host = malloc(bytes + 1);
    blo_status status = full && host ? BLO_OK : no_memory(model, name);
    if (status == BLO_OK)
        status = blo_tensor_download(value, host, bytes);
    if (status == BLO_OK) {
        status = blo_safetensors_add(file, full, blo_tensor_dtype(value), blo_tensor_rank(value),
                                     blo_tensor_shape(value), host, message, sizeof message);
        if (status != BLO_OK)
            blo_fail(blo_model_context(model), status, "%s", message);
    }
    free(host);
    free(full);
    return status;
}

blo_status blo_model_store(const blo_model *model, const char *prefix, blo_safetensors *file) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (!file)
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT, "blo_model_store: file is NULL");
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < blo_model_entries(model); i++)
        status = store_one(model, i, prefix, file);
    return status;
}

/* --- restoring --- */

static void describe_shape(int rank, const int64_t *shape, char text[SHAPE_TEXT]) {
    int at = snprintf(text, SHAPE_TEXT, "[");
    for (int axis = 0; axis < rank; axis++)
        at += snprintf(text + at, SHAPE_TEXT - (size_t)at, "%s%lld", axis ? "," : "", (long long)shape[axis]);
    snprintf(text + at, SHAPE_TEXT - (size_t)at, "]");
}

/* *ARRAY is the one in FILE for entry INDEX, if it fits. */
static blo_status match(const blo_model *model, int index, const char *prefix, const blo_safetensors *file,
                        const blo_array **array) {
    blo_context *context = blo_model_context(model);
    const blo_tensor *value = blo_model_entry(model, index);
    const char *name = blo_model_entry_name(model, index);
    char *full = full_name(prefix, name);
    if (!full)
        return no_memory(model, name);
    blo_status status = BLO_OK;
    *array = blo_safetensors_find(file, full);
    int rank = blo_tensor_rank(value);
    if (!*array) {
        status = blo_fail(context, BLO_ERROR_FILE, "the file lacks the model's parameter '%s'", full);
    } else if ((*array)->rank != rank ||
               (rank && memcmp((*array)->shape, blo_tensor_shape(value), (size_t)rank * sizeof(int64_t)) != 0)) {
        char has[SHAPE_TEXT], wants[SHAPE_TEXT];
        describe_shape((*array)->rank, (*array)->shape, has);
        describe_shape(rank, blo_tensor_shape(value), wants);
        status = blo_fail(context, BLO_ERROR_SHAPE, "parameter '%s' is %s in the file and %s in the model", full, has,
                          wants);
    } else if ((*array)->dtype != BLO_FLOAT && (*array)->dtype != BLO_DOUBLE) {
        status = blo_fail(context, BLO_ERROR_DTYPE, "parameter '%s' is %s in the file, not float or double", full,
                          blo_dtype_name((*array)->dtype));
    }
    free(full);
    return status;
}

/* Everything that the file has under PREFIX is a parameter or a buffer. */
static blo_status check_surplus(const blo_model *model, const char *prefix, const blo_safetensors *file) {
    size_t skipped = prefix && *prefix ? strlen(prefix) : 0;
    for (int i = 0; i < blo_safetensors_count(file); i++) {
        const char *name = blo_safetensors_name(file, i);
        if (skipped && (strncmp(name, prefix, skipped) != 0 || name[skipped] != '.'))
            continue;
        bool known = false;
        for (int at = 0; !known && at < blo_model_entries(model); at++)
            known = strcmp(name + (skipped ? skipped + 1 : 0), blo_model_entry_name(model, at)) == 0;
        if (!known)
            return blo_fail(blo_model_context(model), BLO_ERROR_FILE, "the file holds '%s', which the model lacks",
                            name);
    }
    return BLO_OK;
}

static blo_status check_all(const blo_model *model, const char *prefix, const blo_safetensors *file) {
    const blo_array *array = NULL;
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < blo_model_entries(model); i++)
        status = match(model, i, prefix, file, &array);
    return status == BLO_OK ? check_surplus(model, prefix, file) : status;
}

/* VALUES of the other floating-point type. */
static void convert(const blo_array *array, blo_dtype to, void *values) {
    int64_t count = blo_array_count(array);
    for (int64_t i = 0; i < count; i++) {
        if (to == BLO_FLOAT)
            ((float *)values)[i] = (float)((const double *)array->data)[i];
        else
            ((double *)values)[i] = (double)((const float *)array->data)[i];
    }
}

static blo_status restore_one(blo_model *model, int index, const char *prefix, const blo_safetensors *file) {
    const blo_array *array = NULL;
    blo_tensor *value = blo_model_entry(model, index);
    size_t bytes = blo_tensor_bytes(value);
    blo_status status = match(model, index, prefix, file, &array);
    if (status != BLO_OK || bytes == 0)
        return status;
    if (array->dtype == blo_model_dtype(model))
        return blo_tensor_upload(value, array->data, bytes);
    void *converted = malloc(bytes);
    if (!converted)
        return no_memory(model, blo_model_entry_name(model, index));
    convert(array, blo_model_dtype(model), converted);
    status = blo_tensor_upload(value, converted, bytes);
    free(converted);
    return status;
}

static blo_status set_all(blo_model *model, const char *prefix, const blo_safetensors *file) {
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < blo_model_entries(model); i++)
        status = restore_one(model, i, prefix, file);
    return status;
}

blo_status blo_model_restore(blo_model *model, const char *prefix, const blo_safetensors *file) {
    if (!model)
        return BLO_ERROR_ARGUMENT;
    if (!file)
        return blo_fail(blo_model_context(model), BLO_ERROR_ARGUMENT, "blo_model_restore: file is NULL");
    blo_status status = check_all(model, prefix, file);
    return status == BLO_OK ? set_all(model, prefix, file) : status;
}

/* --- both models --- */

static const char upper_prefix[] = "upper", lower_prefix[] = "lower";

blo_status blo_models_save(const char *path, const blo_model *upper, const blo_model *lower) {
    if (!path || (!upper && !lower))
        return BLO_ERROR_ARGUMENT;
    blo_context *context = blo_model_context(upper ? upper : lower);
    char message[SENTENCE] = "";
    blo_safetensors *file = NULL;
    blo_status status = blo_safetensors_create(&file, message, sizeof message);
    if (status != BLO_OK)
        return blo_fail(context, status, "%s", message);
    if (upper)
        status = blo_model_store(upper, upper_prefix, file);
    if (status == BLO_OK && lower)
        status = blo_model_store(lower, lower_prefix, file);
    if (status == BLO_OK) {
        status = blo_safetensors_write(file, path, message, sizeof message);
        if (status != BLO_OK)
            blo_fail(context, status, "%s", message);
    }
    blo_safetensors_destroy(file);
    return status;
}

blo_status blo_models_load(const char *path, blo_model *upper, blo_model *lower) {
    if (!path || (!upper && !lower))
        return BLO_ERROR_ARGUMENT;
    blo_context *context = blo_model_context(upper ? upper : lower);
    char message[SENTENCE] = "";
    blo_safetensors *file = NULL;
    blo_status status = blo_safetensors_read(path, &file, message, sizeof message);
    if (status != BLO_OK)
        return blo_fail(context, status, "%s", message);
    if (upper)
        status = check_all(upper, upper_prefix, file);
    if (status == BLO_OK && lower)
        status = check_all(lower, lower_prefix, file);
    if (status == BLO_OK && upper)
        status = set_all(upper, upper_prefix, file);
    if (status == BLO_OK && lower)
        status = set_all(lower, lower_prefix, file);
    blo_safetensors_destroy(file);
    return status;
}
