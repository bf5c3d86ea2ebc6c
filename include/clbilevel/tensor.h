/* Tensors: dense row-major arrays on the device, uploaded and downloaded explicitly. */
#ifndef CLBILEVEL_TENSOR_H
#define CLBILEVEL_TENSOR_H

#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Creates a tensor of RANK axes (0: a scalar) with SHAPE[RANK] (extents may be 0). DATA: row-major elements to upload,
 * copied before the call returns, or NULL for zeros. Owner: the caller; objects that use a tensor keep it alive
 * themselves. Errors: ARGUMENT, SHAPE, DTYPE (double on a device without it), MEMORY, BUDGET, DEVICE. */
BLO_API blo_status blo_tensor_create(blo_context *context, blo_dtype dtype, int rank, const int64_t *shape,
                                     const void *data, blo_tensor **tensor);

/* Gives up the caller's reference. NULL is allowed. */
BLO_API void blo_tensor_destroy(blo_tensor *tensor);

/* Replaces all elements. BYTES must be the tensor's size. The data are copied before the call returns.
 * Errors: ARGUMENT, SHAPE, DEVICE. */
BLO_API blo_status blo_tensor_upload(blo_tensor *tensor, const void *data, size_t bytes);

/* Waits, then copies all elements out. BYTES must be the tensor's size. Errors: ARGUMENT, SHAPE, DEVICE, NUMERIC
 * (flagged earlier). */
BLO_API blo_status blo_tensor_download(const blo_tensor *tensor, void *data, size_t bytes);

BLO_API blo_dtype blo_tensor_dtype(const blo_tensor *tensor);
BLO_API int blo_tensor_rank(const blo_tensor *tensor);
BLO_API const int64_t *blo_tensor_shape(const blo_tensor *tensor); /* [rank], owned by the tensor */
BLO_API int64_t blo_tensor_count(const blo_tensor *tensor);        /* elements */
BLO_API size_t blo_tensor_bytes(const blo_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
