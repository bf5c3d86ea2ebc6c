/* The IDX format: 0, 0, a type, the number of axes, each extent as a big-endian 32-bit number, then the elements,
 * big-endian. Must not know folders or what the numbers mean. */
#include "idx.h"

#include "array.h"
#include "file.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

enum { IDX_MAGIC_BYTES = 4, IDX_EXTENT_BYTES = 4, IDX_UINT8 = 0x08, IDX_INT32 = 0x0C };

static uint32_t big_endian(const uint8_t bytes[4]) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* SHORT of what WANT bytes of WHAT should be: the sentence says whether the file ends or is damaged. */
static blo_status fail_short(const char *name, const blo_source *source, const char *what, size_t got, size_t want,
                             const blo_report *report) {
    const char *damage = blo_source_damage(source);
    if (damage != NULL) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: %s (in the IDX %s, after %zu of its %zu bytes)", name,
                               damage, what, got, want);
    }
    return blo_report_fail(report, BLO_ERROR_FILE, "%s: the IDX %s ends after %zu bytes, it should have %zu", name,
                           what, got, want);
}

static blo_status read_magic(const char *name, blo_source *source, blo_dtype *dtype, int *rank,
                             const blo_report *report) {
    uint8_t magic[IDX_MAGIC_BYTES];
    const size_t got = blo_source_read(source, magic, sizeof magic);
    if (got != sizeof magic) {
        return fail_short(name, source, "header", got, sizeof magic, report);
    }
    if (magic[0] != 0 || magic[1] != 0) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: starts with the bytes %02x %02x; an IDX file starts with 00 00", name, magic[0],
                               magic[1]);
    }
    if (magic[2] != IDX_UINT8 && magic[2] != IDX_INT32) {
        return blo_report_fail(
            report, BLO_ERROR_FILE,
            "%s: IDX element type 0x%02x; only 0x08 (unsigned bytes) and 0x0c (32-bit integers) are read", name,
            magic[2]);
    }
    if (magic[3] < 1 || magic[3] > BLO_MAX_RANK) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: the IDX header says %d axes; 1 to %d are read", name,
                               magic[3], BLO_MAX_RANK);
    }
    *dtype = magic[2] == IDX_UINT8 ? BLO_UINT8 : BLO_INT32;
    *rank = magic[3];
    return BLO_OK;
}

/* SHAPE[RANK] from the header, believed only if the file can hold that much; *BYTES is then what the elements take. */
static blo_status read_shape(const char *name, blo_source *source, int rank, size_t element, int64_t *shape,
                             size_t *bytes, const blo_report *report) {
    uint8_t extents[BLO_MAX_RANK * IDX_EXTENT_BYTES];
    const size_t want = (size_t)rank * IDX_EXTENT_BYTES;
    const size_t got = blo_source_read(source, extents, want);
    if (got != want) {
        return fail_short(name, source, "list of extents", got, want, report);
    }
    for (int axis = 0; axis < rank; axis++) {
        shape[axis] = big_endian(extents + axis * IDX_EXTENT_BYTES);
    }
    if (!blo_shape_bytes(rank, shape, element, bytes)) {
        return blo_report_fail(
            report, BLO_ERROR_FILE,
            "%s: the IDX header's %d extents (first %lld) multiply to more bytes than a file can have", name, rank,
            (long long)shape[0]);
    }
    if (*bytes > blo_source_limit(source)) {
        return blo_report_fail(
            report, BLO_ERROR_FILE,
            "%s: the IDX header promises %zu bytes of elements (first extent %lld), the file can hold "
            "at most %llu",
            name, *bytes, (long long)shape[0], (unsigned long long)blo_source_limit(source));
    }
    return BLO_OK;
}

/* Fills ARRAY, which must use up the source to its last byte. */
static blo_status read_elements(const char *name, blo_source *source, blo_array *array, size_t bytes,
                                const blo_report *report) {
    uint8_t beyond;
    const size_t got = bytes == 0 ? 0 : blo_source_read(source, array->data, bytes);
    if (got != bytes) {
        return fail_short(name, source, "data", got, bytes, report);
    }
    if (blo_source_read(source, &beyond, 1) != 0) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: bytes follow the %zu that its IDX header promises", name,
                               bytes);
    }
    if (blo_source_damage(source) != NULL) { /* a checksum, or an end of compression, that comes after the last byte */
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: %s (after the last of its %zu bytes)", name,
                               blo_source_damage(source), bytes);
    }
    if (array->dtype == BLO_INT32) {
        int32_t *values = array->data;
        for (size_t i = 0; i < bytes / sizeof *values; i++) {
            uint8_t raw[sizeof *values];
            memcpy(raw, values + i, sizeof raw);
            values[i] = (int32_t)big_endian(raw);
        }
    }
    return BLO_OK;
}

blo_status blo_idx_parse(const char *name, const uint8_t *bytes, size_t count, blo_array *array,
                         const blo_report *report) {
    blo_source *source = NULL;
    blo_dtype dtype = BLO_UINT8;
    int rank = 0;
    int64_t shape[BLO_MAX_RANK];
    size_t data_bytes = 0;
    memset(array, 0, sizeof *array);
    blo_status status = blo_source_open(bytes, count, &source);
    if (status != BLO_OK) {
        return blo_report_fail(report, status, "%s: %s", name,
                               status == BLO_ERROR_UNSUPPORTED ? "is gzip, and this build has no zlib" : "no memory");
    }
    status = read_magic(name, source, &dtype, &rank, report);
    if (status != BLO_OK) {
        goto done;
    }
    status = read_shape(name, source, rank, blo_array_element(dtype), shape, &data_bytes, report);
    if (status != BLO_OK) {
        goto done;
    }
    if (!blo_array_make(dtype, rank, shape, array)) {
        status = blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its %zu bytes", name, data_bytes);
        goto done;
    }
    status = read_elements(name, source, array, data_bytes, report);
    if (status != BLO_OK) {
        blo_array_free(array);
    }
done:
    blo_source_close(source);
    return status;
}

blo_status blo_idx_read(const char *path, blo_array *array, char *message, size_t size) {
    const blo_report report = {message, size};
    uint8_t *bytes = NULL;
    size_t count = 0;
    if (array == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_idx_read: array is NULL");
    }
    memset(array, 0, sizeof *array);
    if (path == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_idx_read: path is NULL");
    }
    blo_status status = blo_file_read(path, &bytes, &count, &report);
    if (status == BLO_OK) {
        status = blo_idx_parse(path, bytes, count, array, &report);
    }
    free(bytes);
    return status;
}
