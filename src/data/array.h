/* Making host arrays, with sizes that cannot overflow. Must not know files. */
#ifndef BLO_DATA_ARRAY_H
#define BLO_DATA_ARRAY_H

#include <clbilevel/data.h>

/* Bytes of RANK axes SHAPE[RANK] of ELEMENT bytes each. False: more than a size_t or an int64_t holds. An extent of 0
 * makes 0. */
bool blo_shape_bytes(int rank, const int64_t *shape, size_t element, size_t *bytes);

/* Bytes of one element; 0 for a value that is no dtype. */
size_t blo_array_element(blo_dtype dtype);

/* ARRAY of DTYPE and SHAPE[RANK], contents undefined. False, and ARRAY empty: no memory, or too large. */
bool blo_array_make(blo_dtype dtype, int rank, const int64_t *shape, blo_array *array);

#endif
