/* The bytes of a safetensors file: the header's length (8 bytes, little endian), the header, the arrays end to end.
 * Every place that the header names is checked before it is used. Must not know JSON. */
#include "safetensors.h"

#include "array.h"
#include "file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MOST_HEADER = 16 << 20, ALIGNMENT = 8 };

static int by_place(const void *left, const void *right) {
    const blo_named_array *a = left, *b = right;
    if (a->begin != b->begin) {
        return a->begin < b->begin ? -1 : 1;
    }
    return a->end < b->end ? -1 : a->end > b->end;
}

/* Sorts the arrays by their places, which must follow each other without a gap from 0 to COUNT. */
static blo_status check_places(const char *name, blo_safetensors *file, uint64_t count, const blo_report *report) {
    char shown[BLO_SHOWN_SIZE];
    uint64_t at = 0;
    if (file->count > 1) {
        qsort(file->arrays, (size_t)file->count, sizeof *file->arrays, by_place);
    }
    for (int i = 0; i < file->count; i++) {
        const blo_named_array *each = &file->arrays[i];
        if (each->begin != at) {
            return blo_report_fail(report, BLO_ERROR_FILE,
                                   "%s: '%s' begins at byte %" PRIu64
                                   " of the data, where those before it end at %" PRIu64 ": arrays %s",
                                   name, blo_report_name(each->name, shown), each->begin, at,
                                   each->begin < at ? "overlap" : "leave a hole");
        }
        at = each->end;
    }
    if (at != count) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: has %" PRIu64 " bytes of data where its header says %" PRIu64, name, count, at);
    }
    return BLO_OK;
}

static bool is_little_endian(void) {
    const uint16_t one = 1;
    uint8_t first = 0;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* Copies VALUES of ELEMENT bytes, turned round where this machine is big endian. */
static void copy_values(void *to, const void *from, size_t bytes, size_t element) {
    if (is_little_endian() || element == 1) {
        memcpy(to, from, bytes);
        return;
    }
    for (size_t at = 0; at < bytes; at++) {
        ((uint8_t *)to)[at] = ((const uint8_t *)from)[at - at % element + element - 1 - at % element];
    }
}

/* Gives each array its bytes of DATA. */
static blo_status take_data(const char *name, blo_safetensors *file, const uint8_t *data, const blo_report *report) {
    for (int i = 0; i < file->count; i++) {
        blo_named_array *each = &file->arrays[i];
        const blo_array form = each->array;
        const size_t bytes = (size_t)(each->end - each->begin);
        if (!blo_array_make(form.dtype, form.rank, form.shape, &each->array)) {
            return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its arrays", name);
        }
        if (bytes != 0) {
            copy_values(each->array.data, data + each->begin, bytes, blo_array_element(form.dtype));
        }
    }
    return BLO_OK;
}

blo_status blo_safetensors_parse(const char *name, const uint8_t *bytes, size_t count, blo_safetensors **file,
                                 const blo_report *report) {
    uint64_t length = 0;
    *file = NULL;
    for (int i = LENGTH_BYTES; i-- > 0 && count >= LENGTH_BYTES;) {
        length = length << 8 | bytes[i];
    }
    if (count < LENGTH_BYTES || length > count - LENGTH_BYTES) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: not a safetensors file: %zu bytes cannot hold a header of %" PRIu64, name, count,
                               length);
    }
    if (length > MOST_HEADER) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: its header of %" PRIu64 " bytes is longer than %d MiB",
                               name, length, MOST_HEADER >> 20);
    }
    blo_safetensors *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its arrays", name);
    }
    const uint64_t data = LENGTH_BYTES + length;
    blo_status status =
        blo_safetensors_parse_header(name, (const char *)bytes + LENGTH_BYTES, (size_t)length, made, report);
    if (status == BLO_OK) {
        status = check_places(name, made, count - data, report);
    }
    if (status == BLO_OK) {
        status = take_data(name, made, bytes + data, report);
    }
    if (status != BLO_OK) {
        blo_safetensors_destroy(made);
        return status;
    }
    *file = made;
    return BLO_OK;
}

/* --- writing --- */

/* Where array INDEX belongs: larger elements first, so that all are aligned; else as they were added. */
static void order_arrays(const blo_safetensors *file, int *order) {
    int at = 0;
    for (size_t element = ALIGNMENT; element > 0; element /= 2) {
        for (int i = 0; i < file->count; i++) {
            if (blo_array_element(file->arrays[i].array.dtype) == element) {
                order[at++] = i;
            }
        }
    }
}

/* LENGTH and TEXT, padded with spaces, in one piece. NULL: no memory. */
static uint8_t *frame_header(const char *text, size_t length, size_t *count) {
    const size_t padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    uint8_t *framed = malloc(LENGTH_BYTES + padded);
    if (framed != NULL) {
        memset(framed, ' ', LENGTH_BYTES + padded);
        memcpy(framed + LENGTH_BYTES, text, length);
        for (size_t i = 0; i < LENGTH_BYTES; i++) {
            framed[i] = (uint8_t)((uint64_t)padded >> 8 * i);
        }
    }
    *count = LENGTH_BYTES + padded;
    return framed;
}

/* PIECES [count] of arrays in the order ORDER; on a big endian machine of copies in KEPT, turned round. */
static bool data_pieces(const blo_safetensors *file, const int *order, blo_piece *pieces, void **kept) {
    for (int i = 0; i < file->count; i++) {
        const blo_array *each = &file->arrays[order[i]].array;
        const size_t bytes = blo_array_bytes(each);
        pieces[i] = (blo_piece){each->data, bytes};
        if (!is_little_endian() && bytes != 0) {
            kept[i] = malloc(bytes);
            if (kept[i] == NULL) {
                return false;
            }
            copy_values(kept[i], each->data, bytes, blo_array_element(each->dtype));
            pieces[i].bytes = kept[i];
        }
    }
    return true;
}

blo_status blo_safetensors_write(const blo_safetensors *file, const char *path, char *message, size_t size) {
    const blo_report report = {message, size};
    if (file == NULL || path == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_safetensors_write: %s is NULL",
                               file == NULL ? "file" : "path");
    }
    const size_t count = (size_t)file->count;
    char *text = NULL;
    uint8_t *framed = NULL;
    size_t length = 0;
    blo_status status = BLO_OK;
    int *order = malloc(count * sizeof *order + 1);
    void **kept = calloc(count + 1, sizeof *kept);
    blo_piece *pieces = calloc(count + 1, sizeof *pieces);
    if (order == NULL || kept == NULL || pieces == NULL) {
        status = blo_report_fail(&report, BLO_ERROR_MEMORY, "%s: no memory to write it", path);
        goto done;
    }
    order_arrays(file, order);
    status = blo_safetensors_make_header(file, order, &text, &length, &report);
    if (status != BLO_OK) {
        goto done;
    }
    if (length > MOST_HEADER - ALIGNMENT) {
        status = blo_report_fail(&report, BLO_ERROR_ARGUMENT, "%s: its header would be longer than %d MiB", path,
                                 MOST_HEADER >> 20);
        goto done;
    }
    framed = frame_header(text, length, &pieces[0].count);
    pieces[0].bytes = framed;
    if (framed == NULL || !data_pieces(file, order, pieces + 1, kept)) {
        status = blo_report_fail(&report, BLO_ERROR_MEMORY, "%s: no memory to write it", path);
        goto done;
    }
    status = blo_file_write_pieces(path, pieces, file->count + 1, &report);
done:
    for (size_t i = 0; kept != NULL && i < count; i++) {
        free(kept[i]);
    }
    free(kept);
    free(pieces);
    free(order);
    free(framed);
    free(text);
    return status;
}
