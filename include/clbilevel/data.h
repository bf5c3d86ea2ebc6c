/* Readers and writers of data on the host, and the built-in images. Files are taken as hostile: every length is checked against the
 * file's size before it is used. Nothing here needs a device. */
#ifndef CLBILEVEL_DATA_H
#define CLBILEVEL_DATA_H

#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A dense row-major array on the host. */
typedef struct blo_array {
    blo_dtype dtype;
    int rank;
    int64_t shape[BLO_MAX_RANK];
    void *data; /* owned; NULL when empty */
} blo_array;

/* Images and their labels. images: uint8 [N,H,W] or [N,H,W,C] with C = 1 or 3; labels: int32 [N], 0 … classes-1. */
typedef struct blo_dataset {
    blo_array images, labels;
    int classes;
} blo_dataset;

/* Elements, and bytes, of ARRAY. */
BLO_API int64_t blo_array_count(const blo_array *array);
BLO_API size_t blo_array_bytes(const blo_array *array);
/* Frees what the array or data set holds and empties it. NULL is allowed. */
BLO_API void blo_array_free(blo_array *array);
BLO_API void blo_dataset_free(blo_dataset *dataset);

/* Below: on failure the result is empty and MESSAGE (if not NULL, at most SIZE bytes) holds the sentence. Errors: FILE, ARGUMENT, MEMORY. */

/* Reads an IDX file of unsigned bytes or 32-bit integers, plain or gzip (found by its content). */
BLO_API blo_status blo_idx_read(const char *path, blo_array *array, char *message, size_t size);
/* Reads an IDX pair PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte ("train" or "t10k") from FOLDER, each with or without
 * ".gz", or with "-idx" spelled ".idx". Counts must agree. Not found is FILE with the names looked for. */
BLO_API blo_status blo_idx_read_pair(const char *folder, const char *prefix, blo_dataset *dataset, char *message, size_t size);
BLO_API bool blo_idx_pair_exists(const char *folder, const char *prefix);

/* NumPy's format 1.0 to 3.0, C order, little endian or one byte: f4, f8, i4, u1; reading also takes i8 whose values fit int32, and b1. */
BLO_API blo_status blo_npy_read(const char *path, blo_array *array, char *message, size_t size);
/* Writes to a temporary name in the same folder, then renames. */
BLO_API blo_status blo_npy_write(const char *path, blo_dtype dtype, int rank, const int64_t *shape, const void *data, char *message,
                                 size_t size);
/* Reads FOLDER/images.npy (uint8 [N,H,W] or [N,H,W,C], C 1 or 3) and FOLDER/labels.npy ([N], integers >= 0). */
BLO_API blo_status blo_npy_read_dataset(const char *folder, blo_dataset *dataset, char *message, size_t size);

/* COUNT built-in 28x28 images of ten classes: digits drawn with strokes, with random slant, thickness, shift and noise, equal shares of
 * the classes in random order; the same for the same SEED everywhere. A linear classifier reaches 80 to 95 %. */
BLO_API blo_status blo_digits_generate(int64_t count, uint64_t seed, blo_dataset *dataset, char *message, size_t size);

/* A random permutation of 0 … COUNT-1 from SEED and STREAM (Philox 4x32-10, Fisher-Yates without modulo bias), into ORDER[COUNT]. */
BLO_API void blo_random_permutation(int64_t count, uint64_t seed, uint64_t stream, int32_t *order);
/* COUNT integers in 0 … BOUND-1, uniform. BOUND >= 1. */
BLO_API void blo_random_integers(int64_t count, uint32_t bound, uint64_t seed, uint64_t stream, int32_t *values);

#ifdef __cplusplus
}
#endif
#endif
