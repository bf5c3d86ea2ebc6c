/* Named arrays in a safetensors file: what Python's package of that name, and models saved by anybody, read and write.
 * Files are taken as hostile. Nothing here needs a device; models are put in and out by blo_model_store() and
 * blo_model_restore() of <clbilevel/nn.h>. Every call that can fail leaves one sentence in MESSAGE (if not NULL, at
 * most SIZE bytes with the final zero), and UNSUPPORTED in a build without jansson. */
#ifndef CLBILEVEL_SAFETENSORS_H
#define CLBILEVEL_SAFETENSORS_H

#include <clbilevel/data.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct blo_safetensors blo_safetensors; /* named arrays and a map of strings, in memory */

/* An empty one. Owner: the caller. Errors: ARGUMENT, MEMORY. */
BLO_API blo_status blo_safetensors_create(blo_safetensors **file, char *message, size_t size);

/* Reads PATH whole. Types F32, F64, I32 and U8; at most BLO_MAX_RANK axes; at most 65,536 arrays. Refused: a header
 * longer than the file or than 16 MiB, names twice, arrays that overlap, leave holes or end elsewhere than the file
 * does, sizes that do not follow from type and shape. Owner of *FILE: the caller. Errors: FILE, ARGUMENT, MEMORY. */
BLO_API blo_status blo_safetensors_read(const char *path, blo_safetensors **file, char *message, size_t size);

/* NULL is allowed. */
BLO_API void blo_safetensors_destroy(blo_safetensors *file);

/* Adds a copy of DATA, RANK axes SHAPE[RANK], as NAME (UTF-8, not empty, not "__metadata__", not there yet). DATA may
 * be NULL when an extent is 0. Errors: ARGUMENT, DTYPE, MEMORY. */
BLO_API blo_status blo_safetensors_add(blo_safetensors *file, const char *name, blo_dtype dtype, int rank,
                                       const int64_t *shape, const void *data, char *message, size_t size);

/* Sets (or replaces) a string of the metadata, both UTF-8. Errors: ARGUMENT, MEMORY. */
BLO_API blo_status blo_safetensors_set_metadata(blo_safetensors *file, const char *key, const char *value,
                                                char *message, size_t size);

/* Writes PATH: to a temporary name in the same folder, flushed to the disk, then renamed, so that PATH is the whole new
 * file, or on failure what it was. Errors: FILE, ARGUMENT, MEMORY. */
BLO_API blo_status blo_safetensors_write(const blo_safetensors *file, const char *path, char *message, size_t size);

BLO_API int blo_safetensors_count(const blo_safetensors *file);
/* Array INDEX, in the order of the file: its name, NULL out of range; and the array called NAME, NULL if there is none.
 * Both owned by FILE. */
BLO_API const char *blo_safetensors_name(const blo_safetensors *file, int index);
BLO_API const blo_array *blo_safetensors_find(const blo_safetensors *file, const char *name);
/* The metadata's entries: their number, key INDEX (NULL out of range), and the value of KEY (NULL if there is none).
 * Owned by FILE until its metadata change. */
BLO_API int blo_safetensors_metadata_count(const blo_safetensors *file);
BLO_API const char *blo_safetensors_metadata_key(const blo_safetensors *file, int index);
BLO_API const char *blo_safetensors_metadata(const blo_safetensors *file, const char *key);

#ifdef __cplusplus
}
#endif
#endif
