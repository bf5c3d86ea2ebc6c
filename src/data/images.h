/* A set of images in classes as the files of this room make it. */
#ifndef BLO_DATA_IMAGES_H
#define BLO_DATA_IMAGES_H

#include <clbilevel/images.h>

#include "image_names.h"
#include "report.h"

typedef struct blo_image_class {
    char *name; /* owned */
    int64_t first, count;
    int split; /* BLO_NO_SPLIT: not given yet */
} blo_image_class;

struct blo_images {
    int size, channels, rotations;
    bool from_cache;
    const char *origin;
    void *owned; /* what PIXELS lie in */
    uint8_t *pixels;
    int64_t count;
    blo_image_class *classes; /* in the order of their splits once these are given */
    int class_count;
    int start[BLO_SPLITS + 1]; /* where each split's classes begin */
};

/* What the options say, checked; NULL: the defaults. CALL is for the sentence. Errors: ARGUMENT. */
blo_status blo_images_check_options(const char *call, const blo_images_options *given, blo_images_options *options,
                                    const blo_report *report);

/* An empty set of OPTIONS' form; NULL: no memory. */
blo_images *blo_images_new(const blo_images_options *options);

/* Adds a class NAME[LENGTH] of the COUNT images after those of the classes before. False: no memory. */
bool blo_images_add_class(blo_images *images, const char *name, size_t length, int64_t count, int split);

/* Inverts the pixels if CHOICE says so. */
void blo_images_invert(blo_images *images, blo_choice choice);

/* Gives every class its split (from folders, Vinyals' list or SEED) and puts the classes in order. False: no memory. */
bool blo_images_give_splits(blo_images *images, uint64_t seed);

/* Image NUMBER of a class (in range) into PIXELS. */
void blo_images_copy(const blo_images *images, blo_split split, int index, int64_t number, uint8_t *pixels);

#endif
