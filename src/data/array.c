/* Host arrays and data sets: size, making, freeing. Must not know files or devices. */
#include "array.h"

#include <stdlib.h>
#include <string.h>

bool blo_shape_bytes(int rank, const int64_t *shape, size_t element, size_t *bytes) {
    const uint64_t most = SIZE_MAX < (uint64_t)INT64_MAX ? SIZE_MAX : (uint64_t)INT64_MAX;
    uint64_t total = element;
    for (int axis = 0; axis < rank; axis++) { /* an empty array is empty however large its other extents are */
        if (shape[axis] == 0) {
            total = 0;
        }
    }
    for (int axis = 0; axis < rank && total != 0; axis++) {
        if (total > most / (uint64_t)shape[axis]) {
            return false;
        }
        total *= (uint64_t)shape[axis];
    }
    *bytes = (size_t)total;
    return true;
}

size_t blo_array_element(blo_dtype dtype) {
    switch (dtype) {
    case BLO_FLOAT: return sizeof(float);
    case BLO_DOUBLE: return sizeof(double);
    case BLO_INT32: return sizeof(int32_t);
    case BLO_UINT8: return sizeof(uint8_t);
    }
    return 0;
}

bool blo_array_make(blo_dtype dtype, int rank, const int64_t *shape, blo_array *array) {
    memset(array, 0, sizeof *array);
    size_t bytes = 0;
    if (!blo_shape_bytes(rank, shape, blo_array_element(dtype), &bytes)) {
        return false;
    }
    void *data = bytes == 0 ? NULL : malloc(bytes);
    if (bytes != 0 && data == NULL) {
        return false;
    }
    array->dtype = dtype;
    array->rank = rank;
    for (int axis = 0; axis < rank; axis++) {
        array->shape[axis] = shape[axis];
    }
    array->data = data;
    return true;
}

int64_t blo_array_count(const blo_array *array) {
    const size_t element = array == NULL ? 0 : blo_array_element(array->dtype);
    return element == 0 ? 0 : (int64_t)(blo_array_bytes(array) / element);
}

size_t blo_array_bytes(const blo_array *array) {
    size_t bytes = 0;
    if (array == NULL || array->data == NULL ||
        !blo_shape_bytes(array->rank, array->shape, blo_array_element(array->dtype), &bytes)) {
        return 0;
    }
    return bytes;
}

void blo_array_free(blo_array *array) {
    if (array != NULL) {
        free(array->data);
        memset(array, 0, sizeof *array);
    }
}

void blo_dataset_free(blo_dataset *dataset) {
    if (dataset != NULL) {
        blo_array_free(&dataset->images);
        blo_array_free(&dataset->labels);
        dataset->classes = 0;
    }
}
