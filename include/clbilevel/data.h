/* Readers and writers of data on the host, and the built-in images. Files are taken as hostile: every length is checked
 * against the file's size before it is used. Nothing here needs a device. */
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

/* Elements, and bytes, of ARRAY; 0 when it is empty (all zero, as a failed call leaves it). A scalar has rank 0 and one
 * element. */
BLO_API int64_t blo_array_count(const blo_array *array);
BLO_API size_t blo_array_bytes(const blo_array *array);
/* Frees what the array or data set holds and empties it. NULL is allowed. */
BLO_API void blo_array_free(blo_array *array);
BLO_API void blo_dataset_free(blo_dataset *dataset);

/* Below: on failure the result is empty and MESSAGE (if not NULL, at most SIZE bytes) holds the sentence, which names
 * the file, what is wrong and what would be right. What the result held before the call is not freed. Errors: FILE,
 * ARGUMENT, MEMORY, and UNSUPPORTED for a gzip file in a build without zlib. */

/* Reads an IDX file of unsigned bytes or 32-bit integers with 1 to BLO_MAX_RANK axes, plain or gzip (found by its
 * content, whatever its name). A file that holds fewer or more bytes than its header says is refused. */
BLO_API blo_status blo_idx_read(const char *path, blo_array *array, char *message, size_t size);
/* Reads an IDX pair PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte ("train" or "t10k") from FOLDER, each with or
 * without ".gz", or with "-idx" spelled ".idx". Counts must agree, no extent may be 0, labels are below 2^20; classes
 * is the largest label and one. Not found is FILE with the names looked for. */
BLO_API blo_status blo_idx_read_pair(const char *folder, const char *prefix, blo_dataset *dataset, char *message,
                                     size_t size);
/* Whether both files of such a pair are there; they are not read. */
BLO_API bool blo_idx_pair_exists(const char *folder, const char *prefix);

/* NumPy's format 1.0 to 3.0, C order, little endian or one byte: f4, f8, i4, u1; reading also takes i8 whose values fit
 * int32, and b1 (as uint8, 0 or 1). The file must end with its last element. Not read: Fortran order, big endian,
 * structures, objects. */
BLO_API blo_status blo_npy_read(const char *path, blo_array *array, char *message, size_t size);
/* Writes version 1.0, to a temporary name in the same folder, which is then renamed: PATH is the whole new file, or on
 * failure what it was. DATA may be NULL when an extent is 0. Errors: FILE, ARGUMENT, MEMORY. */
BLO_API blo_status blo_npy_write(const char *path, blo_dtype dtype, int rank, const int64_t *shape, const void *data,
                                 char *message, size_t size);
/* Reads FOLDER/images.npy (uint8 [N,H,W] or [N,H,W,C], C 1 or 3) and FOLDER/labels.npy ([N], integers in 0 … 2^20-1);
 * classes is the largest label and one. */
BLO_API blo_status blo_npy_read_dataset(const char *folder, blo_dataset *dataset, char *message, size_t size);

/* COUNT built-in 28x28 images of ten classes: digits drawn with strokes, with random slant, thickness, shift and noise,
 * equal shares of the classes in random order; the same for the same SEED everywhere. A linear classifier trained on
 * 5000 reaches 80 to 95 % on others. 1 <= COUNT < 2^31; labels and their order depend on COUNT. Errors: ARGUMENT,
 * MEMORY. */
BLO_API blo_status blo_digits_generate(int64_t count, uint64_t seed, blo_dataset *dataset, char *message, size_t size);

/* A random permutation of 0 … COUNT-1 from SEED and STREAM (Philox 4x32-10, Fisher-Yates without modulo bias), into
 * ORDER[COUNT]. COUNT < 2^31. The streams of a seed, of this and of the next function, are independent. */
BLO_API void blo_random_permutation(int64_t count, uint64_t seed, uint64_t stream, int32_t *order);
/* COUNT integers in 0 … BOUND-1, uniform, into VALUES[COUNT]. 1 <= BOUND <= 2^31 (larger is taken as 2^31, 0 gives
 * zeros). */
BLO_API void blo_random_integers(int64_t count, uint32_t bound, uint64_t seed, uint64_t stream, int32_t *values);

#ifdef __cplusplus
}
#endif
#endif
