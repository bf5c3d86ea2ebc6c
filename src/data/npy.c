/* Reads NumPy's format: \x93NUMPY, version, length of the header, the header's dictionary, then the elements to the end
 * of the file. Must not know folders. */
#include "npy.h"

#include "array.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements are copied as they are: a little-endian host is assumed"
#endif

static const char NPY_MAGIC[] = "\x93NUMPY";
enum { NPY_MAGIC_BYTES = 6, NPY_FIXED_BYTES = 8 };

/* Where the dictionary is: *START and *LENGTH within BYTES[COUNT]. */
static blo_status locate_header(const char *name, const uint8_t *bytes, size_t count, size_t *start, size_t *length,
                                const blo_report *report) {
    if (count < NPY_FIXED_BYTES || memcmp(bytes, NPY_MAGIC, NPY_MAGIC_BYTES) != 0) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: does not start as an NPY file does (\\x93NUMPY and a version)", name);
    }
    const int major = bytes[NPY_MAGIC_BYTES], minor = bytes[NPY_MAGIC_BYTES + 1];
    if (major < 1 || major > 3 || minor != 0) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: NPY version %d.%d; 1.0, 2.0 and 3.0 are read", name, major,
                               minor);
    }
    const size_t length_bytes = major == 1 ? 2 : 4;
    *start = NPY_FIXED_BYTES + length_bytes;
    if (count < *start) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: ends within the length of its NPY header, at byte %zu",
                               name, count);
    }
    *length = 0;
    for (size_t i = 0; i < length_bytes; i++) {
        *length |= (size_t)bytes[NPY_FIXED_BYTES + i] << (8 * i);
    }
    if (*length > count - *start) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: says its NPY header has %zu bytes, but only %zu follow",
                               name, *length, count - *start);
    }
    return BLO_OK;
}

/* int32 OUT[COUNT] from the 64-bit integers BYTES[8 COUNT]. */
static blo_status narrow(const char *name, const uint8_t *bytes, int64_t count, int32_t *out,
                         const blo_report *report) {
    for (int64_t i = 0; i < count; i++) {
        int64_t value;
        memcpy(&value, bytes + (size_t)i * sizeof value, sizeof value);
        if (value < INT32_MIN || value > INT32_MAX) {
            return blo_report_fail(report, BLO_ERROR_FILE, "%s: %lld at index %lld; integers should fit 32 bits", name,
                                   (long long)value, (long long)i);
        }
        out[i] = (int32_t)value;
    }
    return BLO_OK;
}

/* HEADER's array from its elements BYTES[COUNT]. */
static blo_status read_elements(const char *name, const uint8_t *bytes, size_t count, const blo_npy_header *header,
                                blo_array *array, const blo_report *report) {
    static const struct {
        size_t bytes; /* in the file */
        blo_dtype dtype;
    } kinds[] = {[BLO_NPY_F4] = {4, BLO_FLOAT}, [BLO_NPY_F8] = {8, BLO_DOUBLE}, [BLO_NPY_I4] = {4, BLO_INT32},
                 [BLO_NPY_U1] = {1, BLO_UINT8}, [BLO_NPY_I8] = {8, BLO_INT32},  [BLO_NPY_B1] = {1, BLO_UINT8}};
    size_t want = 0;
    if (!blo_shape_bytes(header->rank, header->shape, kinds[header->type].bytes, &want)) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: the shape in the NPY header multiplies to more bytes than a file can have", name);
    }
    if (want != count) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: %zu bytes follow the NPY header, its shape and type make %zu", name, count, want);
    }
    if (!blo_array_make(kinds[header->type].dtype, header->rank, header->shape, array)) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its elements (%zu bytes)", name, want);
    }
    const int64_t elements = blo_array_count(array);
    if (header->type == BLO_NPY_I8) {
        return narrow(name, bytes, elements, array->data, report);
    }
    if (elements != 0) {
        memcpy(array->data, bytes, want);
    }
    if (header->type == BLO_NPY_B1) { /* NumPy takes any byte but 0 for true */
        uint8_t *values = array->data;
        for (int64_t i = 0; i < elements; i++) {
            values[i] = values[i] != 0;
        }
    }
    return BLO_OK;
}

blo_status blo_npy_parse(const char *name, const uint8_t *bytes, size_t count, blo_array *array,
                         const blo_report *report) {
    blo_npy_header header;
    size_t start = 0, length = 0;
    memset(array, 0, sizeof *array);
    blo_status status = locate_header(name, bytes, count, &start, &length, report);
    if (status != BLO_OK) {
        return status;
    }
    status = blo_npy_parse_header(name, (const char *)bytes + start, length, &header, report);
    if (status != BLO_OK) {
        return status;
    }
    if (header.fortran_order && header.rank > 1) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: in Fortran order; it should be in C order (numpy.ascontiguousarray before saving)",
                               name);
    }
    status = read_elements(name, bytes + start + length, count - start - length, &header, array, report);
    if (status != BLO_OK) {
        blo_array_free(array);
    }
    return status;
}

blo_status blo_npy_read(const char *path, blo_array *array, char *message, size_t size) {
    const blo_report report = {message, size};
    uint8_t *bytes = NULL;
    size_t count = 0;
    if (array == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_npy_read: array is NULL");
    }
    memset(array, 0, sizeof *array);
    if (path == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_npy_read: path is NULL");
    }
    blo_status status = blo_file_read(path, &bytes, &count, &report);
    if (status == BLO_OK) {
        status = blo_npy_parse(path, bytes, count, array, &report);
    }
    free(bytes);
    return status;
}
