/* Tensors: a shape and a pool buffer, by reference count; see clbilevel/tensor.h. */
#include "opencl.h"

#include <stdlib.h>
#include <string.h>

struct blo_tensor {
    blo_context *context;
    blo_dtype dtype;
    int rank;
    int64_t shape[BLO_MAX_RANK];
    int64_t count;
    blo_buffer *buffer;
    int references;
    uint64_t version;
};

static blo_status check_shape(blo_context *context, blo_dtype dtype, int rank, const int64_t *shape, int64_t *count) {
    if (blo_dtype_size(dtype) == 0)
        return blo_fail(context, BLO_ERROR_DTYPE, "%d is no element type", (int)dtype);
    if (dtype == BLO_DOUBLE && !context->facts.has_double)
        return blo_fail(context, BLO_ERROR_DTYPE, "device \"%s\" has no double", context->facts.name);
    if (rank < 0 || rank > BLO_MAX_RANK || (rank > 0 && !shape))
        return blo_fail(context, BLO_ERROR_SHAPE, "a tensor of %d axes: want 0 to %d, with a shape", rank,
                        BLO_MAX_RANK);
    *count = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return blo_fail(context, BLO_ERROR_SHAPE, "axis %d of a tensor has extent %lld", i, (long long)shape[i]);
        if (shape[i] > 0 && *count > INT64_MAX / 8 / shape[i])
            return blo_fail(context, BLO_ERROR_SHAPE, "a tensor whose extents overflow at axis %d (%lld)", i,
                            (long long)shape[i]);
        *count *= shape[i];
    }
    return BLO_OK;
}

blo_status blo_tensor_create(blo_context *context, blo_dtype dtype, int rank, const int64_t *shape, const void *data,
                             blo_tensor **result) {
    if (!context)
        return BLO_ERROR_ARGUMENT;
    if (!result)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "blo_tensor_create: tensor must not be NULL");
    *result = NULL;
    int64_t count = 0;
    blo_status status = check_shape(context, dtype, rank, shape, &count);
    if (status != BLO_OK)
        return status;
    blo_tensor *tensor = calloc(1, sizeof *tensor);
    if (!tensor)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a tensor");
    *tensor = (blo_tensor){.context = context, .dtype = dtype, .rank = rank, .count = count, .references = 1};
    if (rank > 0)
        memcpy(tensor->shape, shape, (size_t)rank * sizeof *shape);
    size_t bytes = blo_tensor_bytes(tensor);
    status = blo_buffer_create(context, bytes, &tensor->buffer);
    if (status == BLO_OK)
        status = data ? blo_buffer_write(context, tensor->buffer, 0, bytes, data)
                      : blo_buffer_zero(context, tensor->buffer, 0, bytes);
    if (status != BLO_OK) {
        blo_tensor_destroy(tensor);
        return status;
    }
    tensor->version = ++context->next_serial;
    *result = tensor;
    return BLO_OK;
}

void blo_tensor_retain(blo_tensor *tensor) {
    tensor->references++;
}

void blo_tensor_destroy(blo_tensor *tensor) {
    if (!tensor || --tensor->references > 0)
        return;
    blo_buffer_release(tensor->buffer);
    free(tensor);
}

static blo_status check_transfer(const blo_tensor *tensor, const char *call, const void *data, size_t bytes) {
    if (!data && bytes > 0)
        return blo_fail(tensor->context, BLO_ERROR_ARGUMENT, "%s: data must not be NULL", call);
    if (bytes != blo_tensor_bytes(tensor))
        return blo_fail(tensor->context, BLO_ERROR_SHAPE, "%s: %zu bytes given, the tensor has %zu", call, bytes,
                        blo_tensor_bytes(tensor));
    return BLO_OK;
}

blo_status blo_tensor_upload(blo_tensor *tensor, const void *data, size_t bytes) {
    if (!tensor)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_transfer(tensor, "blo_tensor_upload", data, bytes);
    if (status == BLO_OK)
        status = blo_buffer_write(tensor->context, tensor->buffer, 0, bytes, data);
    if (status == BLO_OK)
        blo_tensor_touch(tensor);
    return status;
}

blo_status blo_tensor_download(const blo_tensor *tensor, void *data, size_t bytes) {
    if (!tensor)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_transfer(tensor, "blo_tensor_download", data, bytes);
    return status == BLO_OK ? blo_buffer_read(tensor->context, tensor->buffer, 0, bytes, data) : status;
}

blo_dtype blo_tensor_dtype(const blo_tensor *tensor) {
    return tensor->dtype;
}

int blo_tensor_rank(const blo_tensor *tensor) {
    return tensor->rank;
}

const int64_t *blo_tensor_shape(const blo_tensor *tensor) {
    return tensor->shape;
}

int64_t blo_tensor_count(const blo_tensor *tensor) {
    return tensor->count;
}

size_t blo_tensor_bytes(const blo_tensor *tensor) {
    return (size_t)tensor->count * blo_dtype_size(tensor->dtype);
}

blo_context *blo_tensor_context(const blo_tensor *tensor) {
    return tensor->context;
}

blo_buffer *blo_tensor_buffer(const blo_tensor *tensor) {
    return tensor->buffer;
}

uint64_t blo_tensor_version(const blo_tensor *tensor) {
    return tensor->version;
}

void blo_tensor_touch(blo_tensor *tensor) {
    tensor->version = ++tensor->context->next_serial;
}
