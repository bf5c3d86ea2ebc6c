/* Images in classes, and few-shot tasks drawn from them. A set comes from an archive (tar, plain, gzip or xz; zip),
 * from a folder, or is made from a seed. Files are taken as hostile: sizes, counts and names are bounded and checked.
 * Nothing here needs a device.
 *
 * Images are uint8 [SIZE,SIZE,CHANNELS]. Characters are ink on nothing: 255 is ink (1 once scaled by 1/255), 0 is
 * paper.
 *
 *     blo_images_options_default(&options);
 *     blo_images_open("omniglot.tar.xz", &options, &images, message, sizeof message);
 *     blo_tasks_options_default(&wanted);          five ways, one shot, 15 query images, of the training classes
 *     wanted.tasks = 4;
 *     blo_tasks_make(images, &wanted, &tasks, message, sizeof message);
 *     for (uint64_t i = 0; i < 10000; i++)
 *         blo_tasks_draw(images, 4 * i, &tasks, message, sizeof message);      tasks.support, tasks.query and labels
 *
 * Below: on failure the result is NULL or empty and MESSAGE (if not NULL, at most SIZE bytes with the final zero) holds
 * one sentence. */
#ifndef CLBILEVEL_IMAGES_H
#define CLBILEVEL_IMAGES_H

#include <clbilevel/data.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct blo_images blo_images; /* classes of images in three splits; never changes once made */

/* Models are fitted on TRAIN, chosen on VALIDATION and judged on TEST; no class is in two of them. */
typedef enum blo_split { BLO_SPLIT_TRAIN = 0, BLO_SPLIT_VALIDATION, BLO_SPLIT_TEST } blo_split;

/* AUTO: as the field that has it says. */
typedef enum blo_choice { BLO_CHOICE_AUTO = 0, BLO_CHOICE_ON, BLO_CHOICE_OFF } blo_choice;

typedef struct blo_images_options {
    int image_size;           /* pixels of a side, 1 … 1024; others are area-averaged to it, squeezed if they are no
                                 square; default 28 */
    int channels;             /* 1: grey (of colours: ITU-R 601 luma), 3: red, green, blue; default 1 */
    blo_choice rotations;     /* each class also turned by 90, 180 and 270 degrees, as three more classes of its split;
                                 AUTO: on where channels is 1 */
    blo_choice invert;        /* 255 - value; AUTO: on where channels is 1 and the mean of all pixels is above a half,
                                 so that dark ink on white paper becomes ink on nothing. Not for the built-in set */
    uint64_t seed;            /* of the built-in characters, and of the split of a set that has none; default 0 */
    const char *cache_folder; /* where the images of archives are kept, decoded; NULL: the user's cache folder
                                 ($XDG_CACHE_HOME/clbilevel or ~/.cache/clbilevel); "": nowhere */
} blo_images_options;

/* Fills OPTIONS with the defaults named above. */
BLO_API void blo_images_options_default(blo_images_options *options);

/* Reads the PNG images of PATH, an archive or a folder; other files in it are passed over. OPTIONS NULL: defaults.
 *
 * A class is a folder of images; folders above all of them do not count. The splits are, the first that fits:
 *   - folders train, val (or valid, validation) and test above the classes;
 *   - ALPHABET/characterNN, as Omniglot has it: the split of Vinyals et al. (2016), 1,028 / 172 / 423 characters;
 *   - else 16 % of the classes for validation and 20 % for test (rounded down), drawn from the seed.
 * Classes and their images are in the order of their names' bytes, whatever their order in the archive.
 *
 * PNG of 1 to 16 bits, grey, palette or colour are converted to 8; what is transparent is laid over white. Larger than
 * 4096x4096, or damaged, is refused. Names are labels only: nothing is ever written or opened by them.
 *
 * An archive is decoded once, into a file of the cache folder that is found by the archive's SHA-256 and rebuilt when
 * it is damaged; without a writable cache folder it is decoded each time, as a folder is. The file is read into memory
 * whole.
 *
 * Owner of *IMAGES: the caller. Errors: ARGUMENT, MEMORY, FILE (missing, damaged, truncated, no images, too large),
 * UNSUPPORTED (built without libarchive or libpng). */
BLO_API blo_status blo_images_open(const char *path, const blo_images_options *options, blo_images **images,
                                   char *message, size_t size);

/* The built-in set, from the seed alone: 10 alphabets of 20 characters, each of a few random strokes, drawn 20 times by
 * a shaking hand; 128 / 32 / 40 classes before rotations. The same bytes everywhere. Errors: ARGUMENT, MEMORY. */
BLO_API blo_status blo_images_generate(const blo_images_options *options, blo_images **images, char *message,
                                       size_t size);

/* NULL is allowed. */
BLO_API void blo_images_destroy(blo_images *images);

BLO_API int blo_images_size(const blo_images *images);           /* pixels of a side */
BLO_API int blo_images_channels(const blo_images *images);       /* 1 or 3 */
BLO_API int64_t blo_images_count(const blo_images *images);      /* of all splits, before rotations */
BLO_API int blo_images_rotations(const blo_images *images);      /* 4, or 1 where rotations are off */
BLO_API bool blo_images_from_cache(const blo_images *images);    /* nothing had to be decoded */
BLO_API const char *blo_images_origin(const blo_images *images); /* of the splits: "folders", "vinyals" or "seed" */

/* The images as they lie in memory, uint8 [count,SIZE,SIZE,CHANNELS], before rotations; the images of a class are
 * neighbours. Owned by IMAGES. */
BLO_API const uint8_t *blo_images_pixels(const blo_images *images);

/* Classes of SPLIT, rotations counted: class ROTATION * (number before rotations) + CLASS is CLASS turned by ROTATION
 * quarters, counter-clockwise. 0 for a value that is no split. */
BLO_API int blo_images_classes(const blo_images *images, blo_split split);

/* Of class INDEX of SPLIT: its name ("Armenian/character07", the same for its rotations; owned by IMAGES), by how many
 * degrees it is turned (0, 90, 180, 270), how many images it has, and where its first lies in blo_images_pixels(). Out
 * of range: NULL, 0, 0, -1. */
BLO_API const char *blo_images_class_name(const blo_images *images, blo_split split, int index);
BLO_API int blo_images_class_rotation(const blo_images *images, blo_split split, int index);
BLO_API int64_t blo_images_class_count(const blo_images *images, blo_split split, int index);
BLO_API int64_t blo_images_class_first(const blo_images *images, blo_split split, int index);

/* Image NUMBER of class INDEX of SPLIT, turned as its class is, into PIXELS[SIZE,SIZE,CHANNELS]. Errors: ARGUMENT. */
BLO_API blo_status blo_images_get(const blo_images *images, blo_split split, int index, int64_t number,
                                  uint8_t *pixels);

/* --- tasks --- */

typedef struct blo_tasks_options {
    blo_split split;    /* where the classes come from; default TRAIN */
    int tasks;          /* in a batch; default 1 */
    int ways;           /* classes of a task; default 5 */
    int shots;          /* images of each class to learn from (support); default 1 */
    int query;          /* images of each class to be judged on; default 15 */
    blo_choice shuffle; /* AUTO and ON: the rows of support, and of query, are in random order; OFF: class by class,
                           labels 0 … 0, 1 … 1, … */
    uint64_t seed;      /* default 0 */
} blo_tasks_options;

/* A batch of N tasks, S = ways * shots and Q = ways * query. Labels are 0 … ways-1: which class has which is drawn for
 * each task. Sources say which image a row is: its class in the split and its number in the class. */
typedef struct blo_tasks {
    blo_array support, query;               /* uint8 [N,S,SIZE,SIZE,CHANNELS], [N,Q,SIZE,SIZE,CHANNELS] */
    blo_array support_labels, query_labels; /* int32 [N,S], [N,Q] */
    blo_array support_source, query_source; /* int32 [N,S,2], [N,Q,2] */
    blo_tasks_options options;              /* what they are drawn with */
} blo_tasks;

/* Fills OPTIONS with the defaults named above. */
BLO_API void blo_tasks_options_default(blo_tasks_options *options);

/* Room for a batch from IMAGES, contents undefined: fill it with blo_tasks_draw(), as often as wanted. OPTIONS NULL:
 * defaults. The caller frees. Errors: ARGUMENT, also where the split has too few classes, or a class of it too few
 * images, with the numbers in the sentence; MEMORY. */
BLO_API blo_status blo_tasks_make(const blo_images *images, const blo_tasks_options *options, blo_tasks *tasks,
                                  char *message, size_t size);

/* Draws tasks FIRST … FIRST + tasks - 1 of the seed (Philox, counted by the task's number): without replacement within
 * a task. Task number i of a split is the same in whatever batch, order, thread or machine it is drawn. IMAGES must be
 * those TASKS were made for. Errors: ARGUMENT. */
BLO_API blo_status blo_tasks_draw(const blo_images *images, uint64_t first, blo_tasks *tasks, char *message,
                                  size_t size);

/* Frees what TASKS holds and empties it. NULL is allowed. */
BLO_API void blo_tasks_free(blo_tasks *tasks);

#ifdef __cplusplus
}
#endif
#endif
