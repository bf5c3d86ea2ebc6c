/* Writes NumPy's format 1.0. Must not know how a file is replaced, nor what the elements mean. */
#include <clbilevel/data.h>

#include "array.h"
#include "file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The longest dictionary: eight extents of 19 digits and the words around them; NumPy pads the whole head to 64 bytes.
 */
enum { NPY_HEAD_MOST = 320, NPY_ALIGN = 64, NPY_BEFORE_TEXT = 10 };

static const char *descr_of(blo_dtype dtype) {
    switch (dtype) {
    case BLO_FLOAT: return "<f4";
    case BLO_DOUBLE: return "<f8";
    case BLO_INT32: return "<i4";
    case BLO_UINT8: return "|u1";
    }
    return NULL;
}

/* HEAD: magic, version, length and padded dictionary; returns its bytes. */
static size_t make_head(const char *descr, int rank, const int64_t *shape, char head[NPY_HEAD_MOST]) {
    char extents[NPY_HEAD_MOST / 2 + NPY_ALIGN];
    size_t used = 0;
    extents[0] = 0;
    for (int axis = 0; axis < rank; axis++) {
        used +=
            (size_t)snprintf(extents + used, sizeof extents - used, "%s%" PRId64, axis == 0 ? "" : ", ", shape[axis]);
    }
    size_t count = NPY_BEFORE_TEXT;
    memcpy(head, "\x93NUMPY\x01\x00", NPY_BEFORE_TEXT - 2);
    count += (size_t)snprintf(head + count, NPY_HEAD_MOST - count,
                              "{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }", descr, extents,
                              rank == 1 ? "," : "");
    while ((count + 1) % NPY_ALIGN != 0) {
        head[count++] = ' ';
    }
    head[count++] = '\n';
    head[NPY_BEFORE_TEXT - 2] = (char)((count - NPY_BEFORE_TEXT) & 0xff);
    head[NPY_BEFORE_TEXT - 1] = (char)((count - NPY_BEFORE_TEXT) >> 8);
    return count;
}

blo_status blo_npy_write(const char *path, blo_dtype dtype, int rank, const int64_t *shape, const void *data,
                         char *message, size_t size) {
    const blo_report report = {message, size};
    char head[NPY_HEAD_MOST];
    size_t bytes = 0;
    const char *descr = descr_of(dtype);
    if (path == NULL || descr == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_npy_write: %s",
                               path == NULL ? "path is NULL" : "dtype is none of float, double, int32 and uint8");
    }
    if (rank < 0 || rank > BLO_MAX_RANK || (rank > 0 && shape == NULL)) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "%s: rank %d with%s shape; 0 to %d axes are written", path,
                               rank, shape == NULL ? "out a" : " a", BLO_MAX_RANK);
    }
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] < 0) {
            return blo_report_fail(&report, BLO_ERROR_ARGUMENT,
                                   "%s: extent %" PRId64 " of axis %d; it should not be negative", path, shape[axis],
                                   axis);
        }
    }
    if (!blo_shape_bytes(rank, shape, blo_array_element(dtype), &bytes) || (bytes != 0 && data == NULL)) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "%s: %s", path,
                               data == NULL ? "data is NULL" : "the shape is larger than memory can be");
    }
    const size_t head_bytes = make_head(descr, rank, shape, head);
    return blo_file_write(path, head, head_bytes, data, bytes, &report);
}
