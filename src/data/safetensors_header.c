/* The JSON header of a safetensors file, through jansson. It is hostile when it is read: its depth is looked at before
 * it is parsed, its numbers before they are used. Must not know where the arrays' bytes are. */
#include "safetensors.h"

#include "array.h"
#include "blo_config.h"

#ifdef BLO_HAVE_JANSSON
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 3 }; /* the list of arrays, an array, its shape */
static const char METADATA[] = "__metadata__";

static const struct {
    const char *name;
    blo_dtype dtype;
} TYPES[] = {{"F32", BLO_FLOAT}, {"F64", BLO_DOUBLE}, {"I32", BLO_INT32}, {"U8", BLO_UINT8}};

blo_status blo_safetensors_supported(const blo_report *report) {
    (void)report;
    return BLO_OK;
}

bool blo_safetensors_is_text(const char *text) {
    json_t *made = json_string(text);
    json_decref(made);
    return made != NULL;
}

static const char *type_name(blo_dtype dtype) {
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        if (TYPES[i].dtype == dtype) {
            return TYPES[i].name;
        }
    }
    return NULL;
}

/* How deep brackets nest in TEXT, strings left out. */
static int depth_of(const char *text, size_t count) {
    int depth = 0, most = 0;
    bool inside = false;
    for (size_t i = 0; i < count; i++) {
        const char c = text[i];
        if (inside) {
            i += c == '\\';
            inside = c != '"';
        } else if (c == '"') {
            inside = true;
        } else if (c == '{' || c == '[') {
            depth++;
            most = depth > most ? depth : most;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return most;
}

/* --- reading --- */

/* Where the header is being read, and the array in it, for sentences. */
typedef struct place {
    const char *file;
    char array[BLO_SHOWN_SIZE];
    const blo_report *report;
} place;

static blo_status refuse(const place *in, const char *what) {
    return blo_report_fail(in->report, BLO_ERROR_FILE, "%s: '%s' %s", in->file, in->array, what);
}

static blo_status take_type(const json_t *entry, const place *in, blo_dtype *dtype) {
    const char *said = json_string_value(json_object_get(entry, "dtype"));
    char shown[BLO_SHOWN_SIZE];
    if (said == NULL) {
        return refuse(in, "has no dtype");
    }
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        if (strcmp(TYPES[i].name, said) == 0) {
            *dtype = TYPES[i].dtype;
            return BLO_OK;
        }
    }
    return blo_report_fail(in->report, BLO_ERROR_FILE, "%s: '%s' has type %s; F32, F64, I32 and U8 can be read",
                           in->file, in->array, blo_report_name(said, shown));
}

/* A number that is an integer and not negative; else -1. */
static int64_t natural(const json_t *number) {
    return json_is_integer(number) && json_integer_value(number) >= 0 ? (int64_t)json_integer_value(number) : -1;
}

static blo_status take_shape(const json_t *entry, const place *in, blo_array *array) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) {
        return refuse(in, "has no shape");
    }
    if (json_array_size(shape) > BLO_MAX_RANK) {
        return refuse(in, "has more than 8 axes");
    }
    array->rank = (int)json_array_size(shape);
    for (int axis = 0; axis < array->rank; axis++) {
        array->shape[axis] = natural(json_array_get(shape, (size_t)axis));
        if (array->shape[axis] < 0) {
            return refuse(in, "has a shape that is not of whole numbers from 0 to 2^63 - 1");
        }
    }
    return BLO_OK;
}

static blo_status take_array(const char *name, const json_t *entry, place *in, blo_safetensors *file) {
    blo_array array = {0};
    size_t bytes = 0;
    blo_report_name(name, in->array);
    if (*name == '\0' || !json_is_object(entry) || json_object_size(entry) != 3) {
        return refuse(in, "is no array with dtype, shape and data_offsets");
    }
    blo_status status = take_type(entry, in, &array.dtype);
    if (status == BLO_OK) {
        status = take_shape(entry, in, &array);
    }
    if (status != BLO_OK) {
        return status;
    }
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const int64_t begin = natural(json_array_get(offsets, 0)), end = natural(json_array_get(offsets, 1));
    if (json_array_size(offsets) != 2 || begin < 0 || end < begin) {
        return refuse(in, "has no data_offsets [begin, end] in order");
    }
    if (!blo_shape_bytes(array.rank, array.shape, blo_array_element(array.dtype), &bytes)) {
        return refuse(in, "has a shape larger than any memory");
    }
    if ((uint64_t)(end - begin) != (uint64_t)bytes) {
        return blo_report_fail(in->report, BLO_ERROR_FILE,
                               "%s: '%s' has %" PRId64 " bytes where its type and shape make %zu", in->file, in->array,
                               end - begin, bytes);
    }
    return blo_safetensors_push(file, name, &array, (uint64_t)begin, (uint64_t)end)
               ? BLO_OK
               : blo_report_fail(in->report, BLO_ERROR_MEMORY, "%s: no memory for its arrays", in->file);
}

static blo_status take_metadata(json_t *map, place *in, blo_safetensors *file) {
    const char *key = NULL;
    json_t *value = NULL;
    blo_report_name(METADATA, in->array);
    if (!json_is_object(map)) {
        return refuse(in, "is not a map of strings");
    }
    json_object_foreach(map, key, value) {
        if (!json_is_string(value)) {
            return refuse(in, "is not a map of strings");
        }
        if (!blo_safetensors_push_metadata(file, key, json_string_value(value))) {
            return blo_report_fail(in->report, BLO_ERROR_MEMORY, "%s: no memory for its metadata", in->file);
        }
    }
    return BLO_OK;
}

static blo_status take_all(json_t *root, place *in, blo_safetensors *file) {
    const char *name = NULL;
    json_t *entry = NULL;
    if (!json_is_object(root)) {
        return blo_report_fail(in->report, BLO_ERROR_FILE, "%s: its header is no JSON object", in->file);
    }
    if (json_object_size(root) > BLO_MOST_TENSORS) {
        return blo_report_fail(in->report, BLO_ERROR_FILE, "%s: holds more than %d arrays", in->file, BLO_MOST_TENSORS);
    }
    json_object_foreach(root, name, entry) {
        const blo_status status =
            strcmp(name, METADATA) == 0 ? take_metadata(entry, in, file) : take_array(name, entry, in, file);
        if (status != BLO_OK) {
            return status;
        }
    }
    return BLO_OK;
}

blo_status blo_safetensors_parse_header(const char *name, const char *text, size_t count, blo_safetensors *file,
                                        const blo_report *report) {
    json_error_t error;
    char shown[BLO_SHOWN_SIZE];
    if (count == 0 || text[0] != '{') {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: not a safetensors file: its header does not start with {",
                               name);
    }
    if (depth_of(text, count) > DEPTH) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: its header nests deeper than %d levels", name, DEPTH);
    }
    json_t *root = json_loadb(text, count, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: its header is not JSON, at byte %d: %s", name,
                               error.position, blo_report_name(error.text, shown));
    }
    place in = {.file = name, .report = report};
    const blo_status status = take_all(root, &in, file);
    json_decref(root);
    return status;
}

/* --- writing --- */

/* What the header says of EACH, whose bytes begin at *AT, which moves on; NULL: no memory. */
static json_t *describe(const blo_named_array *each, int64_t *at) {
    const blo_array *array = &each->array;
    const int64_t begin = *at;
    json_t *shape = json_array();
    for (int axis = 0; axis < array->rank; axis++) {
        if (json_array_append_new(shape, json_integer(array->shape[axis])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    *at += (int64_t)blo_array_bytes(array);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_name(array->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)*at);
}

/* The metadata as a map; NULL: no memory. */
static json_t *describe_metadata(const blo_safetensors *file) {
    json_t *map = json_object();
    for (int i = 0; i < file->pairs; i++) {
        if (json_object_set_new(map, file->metadata[i].key, json_string(file->metadata[i].value)) != 0) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

blo_status blo_safetensors_make_header(const blo_safetensors *file, const int *order, char **text, size_t *count,
                                       const blo_report *report) {
    json_t *root = json_object();
    int64_t at = 0;
    bool whole = root != NULL;
    *text = NULL;
    if (file->pairs != 0) {
        whole = whole && json_object_set_new(root, METADATA, describe_metadata(file)) == 0;
    }
    for (int i = 0; whole && i < file->count; i++) {
        const blo_named_array *each = &file->arrays[order[i]];
        whole = json_object_set_new(root, each->name, describe(each, &at)) == 0;
    }
    *text = whole ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(root);
    if (*text == NULL) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "safetensors: no memory for the header");
    }
    *count = strlen(*text);
    return BLO_OK;
}

#else

blo_status blo_safetensors_supported(const blo_report *report) {
    return blo_report_fail(report, BLO_ERROR_UNSUPPORTED,
                           "safetensors cannot be read or written: this library is built without jansson");
}

bool blo_safetensors_is_text(const char *text) {
    (void)text;
    return true;
}

blo_status blo_safetensors_parse_header(const char *name, const char *text, size_t count, blo_safetensors *file,
                                        const blo_report *report) {
    (void)name, (void)text, (void)count, (void)file;
    return blo_safetensors_supported(report);
}

blo_status blo_safetensors_make_header(const blo_safetensors *file, const int *order, char **text, size_t *count,
                                       const blo_report *report) {
    (void)file, (void)order, (void)text, (void)count;
    return blo_safetensors_supported(report);
}

#endif
