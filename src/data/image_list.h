/* Images as they come out of an archive or a folder, one by one, and what becomes of them all. Must not know which. */
#ifndef BLO_DATA_IMAGE_LIST_H
#define BLO_DATA_IMAGE_LIST_H

#include "images.h"

enum { BLO_MOST_IMAGE_FILE = 16 << 20 }; /* bytes of one PNG file */

typedef struct blo_image_list {
    const char *source; /* for sentences */
    const blo_images_options *options;
    uint64_t budget; /* bytes that may still be decoded */
    blo_image_name *names;
    uint8_t *pixels;
    int64_t count, room, others;
    char first_other[BLO_SHOWN_SIZE];
} blo_image_list;

/* Notes the file PATH. *IS_IMAGE: its bytes are wanted, for blo_image_list_add(). Errors: FILE (too many, too long). */
blo_status blo_image_list_note(blo_image_list *list, const char *path, bool *is_image, const blo_report *report);

/* Decodes BYTES[COUNT], the file PATH. Errors: FILE, MEMORY, UNSUPPORTED. */
blo_status blo_image_list_add(blo_image_list *list, const char *path, const uint8_t *bytes, size_t count,
                              const blo_report *report);

/* The set of all that was added: sorted, in classes, inverted as the options say; splits as the folders say. Takes the
 * list's pixels. Errors: FILE (no images, or what blo_classify() refuses), MEMORY. */
blo_status blo_image_list_finish(blo_image_list *list, blo_images **images, const blo_report *report);

/* Frees what the list holds. */
void blo_image_list_free(blo_image_list *list);

#endif
