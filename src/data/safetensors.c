/* Named arrays and metadata in memory: the public face of safetensors files. Must not know JSON. */
#include "safetensors.h"

#include "array.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text) {
    char *copy = malloc(strlen(text) + 1);
    return copy == NULL ? NULL : strcpy(copy, text);
}

/* ARRAY of ELEMENT bytes each with room for one more than COUNT, which doubles at each power of two; NULL: no memory.
 */
static void *grown(void *array, int count, size_t element) {
    const bool full = (count & (count - 1)) == 0;
    return full ? realloc(array, (size_t)(count == 0 ? 1 : 2 * count) * element) : array;
}

bool blo_safetensors_push(blo_safetensors *file, const char *name, const blo_array *array, uint64_t begin,
                          uint64_t end) {
    char *copy = copy_text(name);
    blo_named_array *arrays = copy == NULL ? NULL : grown(file->arrays, file->count, sizeof *arrays);
    if (arrays == NULL) {
        free(copy);
        return false;
    }
    file->arrays = arrays;
    file->arrays[file->count++] = (blo_named_array){.name = copy, .array = *array, .begin = begin, .end = end};
    return true;
}

bool blo_safetensors_push_metadata(blo_safetensors *file, const char *key, const char *value) {
    char *copy = copy_text(key), *copied_value = copy_text(value);
    blo_pair *pairs = copy == NULL || copied_value == NULL ? NULL : grown(file->metadata, file->pairs, sizeof *pairs);
    if (pairs == NULL) {
        free(copy);
        free(copied_value);
        return false;
    }
    file->metadata = pairs;
    file->metadata[file->pairs++] = (blo_pair){copy, copied_value};
    return true;
}

blo_status blo_safetensors_create(blo_safetensors **file, char *message, size_t size) {
    const blo_report report = {message, size};
    if (file == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_safetensors_create: file is NULL");
    }
    *file = NULL;
    const blo_status status = blo_safetensors_supported(&report);
    if (status != BLO_OK) {
        return status;
    }
    *file = calloc(1, sizeof **file);
    return *file == NULL ? blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_safetensors_create: no memory") : BLO_OK;
}

void blo_safetensors_destroy(blo_safetensors *file) {
    if (file != NULL) {
        for (int i = 0; i < file->count; i++) {
            free(file->arrays[i].name);
            blo_array_free(&file->arrays[i].array);
        }
        for (int i = 0; i < file->pairs; i++) {
            free(file->metadata[i].key);
            free(file->metadata[i].value);
        }
        free(file->arrays);
        free(file->metadata);
        free(file);
    }
}

blo_status blo_safetensors_read(const char *path, blo_safetensors **file, char *message, size_t size) {
    const blo_report report = {message, size};
    uint8_t *bytes = NULL;
    size_t count = 0;
    if (file == NULL || path == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_safetensors_read: %s is NULL",
                               file == NULL ? "file" : "path");
    }
    *file = NULL;
    blo_status status = blo_safetensors_supported(&report);
    if (status == BLO_OK) {
        status = blo_file_read(path, &bytes, &count, &report);
    }
    if (status == BLO_OK) {
        status = blo_safetensors_parse(path, bytes, count, file, &report);
    }
    free(bytes);
    return status;
}

/* What is wrong with adding NAME of that form to FILE. */
static blo_status check_added(const blo_safetensors *file, const char *name, blo_dtype dtype, int rank,
                              const int64_t *shape, const blo_report *report) {
    static const char call[] = "blo_safetensors_add";
    char shown[BLO_SHOWN_SIZE];
    if (file == NULL || name == NULL || (rank > 0 && shape == NULL)) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: file, name or shape is NULL", call);
    }
    blo_report_name(name, shown);
    if (*name == '\0' || strcmp(name, "__metadata__") == 0 || !blo_safetensors_is_text(name)) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: '%s' cannot be an array's name", call, shown);
    }
    if (blo_safetensors_find(file, name) != NULL) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: there is a '%s' already", call, shown);
    }
    if (file->count >= BLO_MOST_TENSORS) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: more than %d arrays", call, BLO_MOST_TENSORS);
    }
    if (blo_array_element(dtype) == 0) {
        return blo_report_fail(report, BLO_ERROR_DTYPE, "%s: '%s' has no type: %d", call, shown, (int)dtype);
    }
    if (rank < 0 || rank > BLO_MAX_RANK) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: '%s' has %d axes; 0 to %d can be", call, shown, rank,
                               BLO_MAX_RANK);
    }
    for (int axis = 0; axis < rank; axis++) {
        if (shape[axis] < 0) {
            return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: '%s' has extent %lld", call, shown,
                                   (long long)shape[axis]);
        }
    }
    return BLO_OK;
}

blo_status blo_safetensors_add(blo_safetensors *file, const char *name, blo_dtype dtype, int rank, const int64_t *shape,
                               const void *data, char *message, size_t size) {
    const blo_report report = {message, size};
    blo_array copy;
    const blo_status status = check_added(file, name, dtype, rank, shape, &report);
    if (status != BLO_OK) {
        return status;
    }
    if (!blo_array_make(dtype, rank, shape, &copy)) {
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_safetensors_add: no memory for '%s'", name);
    }
    const size_t bytes = blo_array_bytes(&copy);
    if (bytes != 0 && data == NULL) {
        blo_array_free(&copy);
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_safetensors_add: data of '%s' is NULL", name);
    }
    if (bytes != 0) {
        memcpy(copy.data, data, bytes);
    }
    if (!blo_safetensors_push(file, name, &copy, 0, 0)) {
        blo_array_free(&copy);
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_safetensors_add: no memory for '%s'", name);
    }
    return BLO_OK;
}

static int find_key(const blo_safetensors *file, const char *key) {
    for (int i = 0; file != NULL && key != NULL && i < file->pairs; i++) {
        if (strcmp(file->metadata[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

blo_status blo_safetensors_set_metadata(blo_safetensors *file, const char *key, const char *value, char *message,
                                        size_t size) {
    const blo_report report = {message, size};
    if (file == NULL || key == NULL || value == NULL || !blo_safetensors_is_text(key) ||
        !blo_safetensors_is_text(value)) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT,
                               "blo_safetensors_set_metadata: file, key or value is NULL or not UTF-8");
    }
    const int at = find_key(file, key);
    char *copy = at < 0 ? NULL : copy_text(value);
    if (at < 0 ? !blo_safetensors_push_metadata(file, key, value) : copy == NULL) {
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_safetensors_set_metadata: no memory for '%s'", key);
    }
    if (at >= 0) {
        free(file->metadata[at].value);
        file->metadata[at].value = copy;
    }
    return BLO_OK;
}

int blo_safetensors_count(const blo_safetensors *file) {
    return file == NULL ? 0 : file->count;
}

const char *blo_safetensors_name(const blo_safetensors *file, int index) {
    return file != NULL && index >= 0 && index < file->count ? file->arrays[index].name : NULL;
}

const blo_array *blo_safetensors_find(const blo_safetensors *file, const char *name) {
    for (int i = 0; file != NULL && name != NULL && i < file->count; i++) {
        if (strcmp(file->arrays[i].name, name) == 0) {
            return &file->arrays[i].array;
        }
    }
    return NULL;
}

int blo_safetensors_metadata_count(const blo_safetensors *file) {
    return file == NULL ? 0 : file->pairs;
}

const char *blo_safetensors_metadata_key(const blo_safetensors *file, int index) {
    return file != NULL && index >= 0 && index < file->pairs ? file->metadata[index].key : NULL;
}

const char *blo_safetensors_metadata(const blo_safetensors *file, const char *key) {
    const int at = find_key(file, key);
    return at < 0 ? NULL : file->metadata[at].value;
}
