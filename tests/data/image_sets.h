/* What the tests of sets of images share: options, archives of numbered drawings, and opening them. */
#ifndef BLO_TESTS_IMAGE_SETS_H
#define BLO_TESTS_IMAGE_SETS_H

#include <clbilevel/images.h>

#include "drawings.h"
#include "files.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE };

extern char message[600];
extern blo_images_options options; /* of every opening: SIDE, nothing inverted, no cache, until a test changes them */
extern char cache[200], tree[200]; /* folders that each test may make */
extern const char *const THREE_CLASSES[];

/* Before and after each test. */
void image_sets_setup(void);
void image_sets_teardown(void);

/* The files NAMES (to NULL), numbered drawings, as an archive; returns its path. */
const char *pack_drawings(archive_form form, const char *const *names);
blo_images *open_good(const char *path);
void check_refused(const char *path, blo_status wanted, const char *part);
/* Image NUMBER of class INDEX of SPLIT is drawing WHICH. */
void check_image(const blo_images *images, blo_split split, int index, int64_t number, int which);
/* What pack_drawings() of THREE_CLASSES gives. */
void check_three_classes(const blo_images *images);

#endif
