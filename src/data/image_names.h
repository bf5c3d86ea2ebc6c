/* From the paths of images to their classes and splits. Must not know pixels or files. */
#ifndef BLO_DATA_IMAGE_NAMES_H
#define BLO_DATA_IMAGE_NAMES_H

#include "report.h"

enum { BLO_SPLITS = 3, BLO_NO_SPLIT = BLO_SPLITS, BLO_PATH_SIZE = 1024 };

/* An image by its path; the class is PATH[class_at … class_at + class_length - 1]. */
typedef struct blo_image_name {
    char *path;    /* tidy */
    int64_t index; /* of its pixels */
    int class_at, class_length;
    int split; /* that its folders say, or BLO_NO_SPLIT */
} blo_image_name;

/* PATH without empty and "." parts into TIDY. False: it is too long, or nothing is left. */
bool blo_tidy_path(const char *path, char tidy[BLO_PATH_SIZE]);

/* Is it to be read as an image: its name ends in .png, and does not begin with a dot. */
bool blo_is_image_path(const char *tidy);

/* Fills in classes and splits of NAMES[COUNT], COUNT >= 1, and sorts them by split, class and path. SOURCE is the
 * archive or folder, for sentences. Errors: FILE (an image outside of a class's folder, a name twice). */
blo_status blo_classify(const char *source, blo_image_name *names, int64_t count, const blo_report *report);

/* The split that Vinyals et al. (2016) have for the class ALPHABET/characterNN of Omniglot; BLO_NO_SPLIT: not a name of
 * that form. */
int blo_vinyals_split(const char *class_name);

#endif
