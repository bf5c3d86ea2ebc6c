/* What tuning found, on disk: one JSON file in the cache folder for all devices. Knows which values are possible, not
 * what they are good for.
 *   {"version": 1, "devices": [{"device": …, "driver": …, "float": {"rows": …, "vectors": …, "vector": …, …}, …,
 *                               "launch": {"queued_seconds": …, "replayed_seconds": …}}]}
 * What an entry lacks was not measured; what else it holds is left as it is. */
#include "blo_config.h"
#include "opencl.h"

#include "base/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef BLO_HAVE_JANSSON
#include <jansson.h>

enum { VERSION = 1, MAX_PATH = 1024, MOST_ROWS = 16, MOST_VECTORS = 3 };

static bool path_of(const blo_context *context, const char *suffix, char path[MAX_PATH]) {
    return context->cache_folder &&
           snprintf(path, MAX_PATH, "%s/tuning.json%s", context->cache_folder, suffix) < MAX_PATH;
}

static void driver_of(const blo_context *context, char driver[256]) {
    driver[0] = '\0';
    clGetDeviceInfo(context->device, CL_DRIVER_VERSION, 256, driver, NULL);
}

/* The file's object, or a fresh one where there is none that can be used; NULL: no memory. */
static json_t *load(const blo_context *context) {
    char path[MAX_PATH];
    json_t *root = path_of(context, "", path) ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json_integer_value(json_object_get(root, "version")) == VERSION &&
        json_is_array(json_object_get(root, "devices")))
        return root;
    json_decref(root);
    return json_pack("{s:i, s:[]}", "version", VERSION, "devices");
}

/* The entry of this device and driver; NULL: none. Borrowed. */
static json_t *entry_of(const blo_context *context, const json_t *root) {
    char driver[256];
    size_t i;
    json_t *entry;
    driver_of(context, driver);
    json_array_foreach(json_object_get(root, "devices"), i, entry) {
        const char *device = json_string_value(json_object_get(entry, "device"));
        const char *of = json_string_value(json_object_get(entry, "driver"));
        if (device && of && !strcmp(device, context->facts.name) && !strcmp(of, driver))
            return entry;
    }
    return NULL;
}

static int number_of(const json_t *object, const char *key, int most) {
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value >= 1 && value <= most ? (int)value : 0;
}

/* A tile that the kernels can be built for, or none (0 rows). */
static blo_tile read_tile(const json_t *object, blo_dtype dtype) {
    const int whole = dtype == BLO_DOUBLE ? 8 : 16;
    blo_tile tile = {.rows = number_of(object, "rows", MOST_ROWS),
                     .vectors = number_of(object, "vectors", MOST_VECTORS),
                     .vector = number_of(object, "vector", whole),
                     .flops_per_second = json_number_value(json_object_get(object, "flops_per_second"))};
    bool possible = tile.rows && tile.vectors && (tile.vector == whole || tile.vector == whole / 2);
    return possible ? tile : (blo_tile){0};
}

/* Seconds that a launch can take; else 0: not measured. */
static double seconds_of(const json_t *object, const char *key) {
    double value = json_number_value(json_object_get(object, key));
    return value > 0 && value < 1 ? value : 0;
}

static void read_launch(const json_t *object, blo_device_facts *facts) {
    double queued = seconds_of(object, "queued_seconds"), replayed = seconds_of(object, "replayed_seconds");
    bool both = queued > 0 && replayed > 0;
    facts->queued_seconds = both ? queued : 0;
    facts->replayed_seconds = both ? replayed : 0;
}

void blo_tuning_read(blo_context *context) {
    json_t *root = load(context);
    const json_t *entry = entry_of(context, root);
    for (int dtype = BLO_FLOAT; dtype <= BLO_DOUBLE; dtype++)
        context->facts.tiles[dtype] =
            read_tile(json_object_get(entry, blo_dtype_name((blo_dtype)dtype)), (blo_dtype)dtype);
    read_launch(json_object_get(entry, "launch"), &context->facts);
    json_decref(root);
}

/* ROOT with OBJECT, which is taken, as KEY of this device; false: no memory. */
static bool add(const blo_context *context, json_t *root, const char *key, json_t *object) {
    char driver[256];
    json_t *entry = entry_of(context, root);
    driver_of(context, driver);
    if (!entry) {
        entry = json_pack("{s:s, s:s}", "device", context->facts.name, "driver", driver);
        if (json_array_append_new(json_object_get(root, "devices"), entry) != 0) {
            json_decref(object);
            return false;
        }
    }
    return json_object_set_new(entry, key, object) == 0;
}

static blo_status save(blo_context *context, const json_t *root) {
    char path[MAX_PATH], temporary[MAX_PATH], suffix[32];
    snprintf(suffix, sizeof suffix, ".%ld", (long)getpid());
    if (!path_of(context, "", path) || !path_of(context, suffix, temporary))
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "there is no cache folder to keep what tuning finds in");
    blo_make_folders(context->cache_folder);
    if (json_dump_file(root, temporary, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6)) == 0 &&
        rename(temporary, path) == 0)
        return BLO_OK;
    remove(temporary);
    return blo_fail(context, BLO_ERROR_FILE, "\"%s\" cannot be written", path);
}

/* OBJECT is taken; NULL: no memory. */
static blo_status keep(blo_context *context, const char *key, json_t *object) {
    json_t *root = load(context);
    blo_status status = add(context, root, key, object)
                            ? save(context, root)
                            : blo_fail(context, BLO_ERROR_MEMORY, "no host memory to keep what tuning found");
    json_decref(root);
    return status;
}

blo_status blo_tuning_keep(blo_context *context, blo_dtype dtype, const blo_tile *tile) {
    context->facts.tiles[dtype] = *tile;
    return keep(context, blo_dtype_name(dtype),
                json_pack("{s:i, s:i, s:i, s:f}", "rows", tile->rows, "vectors", tile->vectors, "vector", tile->vector,
                          "flops_per_second", tile->flops_per_second));
}

blo_status blo_tuning_keep_replay(blo_context *context, double queued_seconds, double replayed_seconds) {
    context->facts.queued_seconds = queued_seconds;
    context->facts.replayed_seconds = replayed_seconds;
    blo_recordings_decide(context);
    return keep(context, "launch",
                json_pack("{s:f, s:f}", "queued_seconds", queued_seconds, "replayed_seconds", replayed_seconds));
}

blo_status blo_tuning_possible(blo_context *context) {
    return context->cache_folder
               ? BLO_OK
               : blo_fail(context, BLO_ERROR_UNSUPPORTED, "there is no cache folder to keep what tuning finds in");
}
#else
void blo_tuning_read(blo_context *context) {
    (void)context;
}

blo_status blo_tuning_possible(blo_context *context) {
    return blo_fail(context, BLO_ERROR_UNSUPPORTED, "nothing can be tuned: this library is built without jansson");
}

blo_status blo_tuning_keep(blo_context *context, blo_dtype dtype, const blo_tile *tile) {
    (void)dtype, (void)tile;
    return blo_tuning_possible(context);
}

blo_status blo_tuning_keep_replay(blo_context *context, double queued_seconds, double replayed_seconds) {
    (void)queued_seconds, (void)replayed_seconds;
    return blo_tuning_possible(context);
}
#endif
