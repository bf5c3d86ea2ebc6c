/* libFuzzer on the reader of archives: entries, names, classes, images. */
#include "data/archive.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    enum { SIDE = 5, BUDGET = 1 << 20 };
    char message[200];
    const blo_report report = {message, sizeof message};
    blo_images_options options;
    blo_images_options_default(&options);
    options.image_size = SIDE;
    blo_image_list list = {.source = "input", .options = &options, .budget = BUDGET};
    blo_images *images = NULL;
    if (blo_archive_read(bytes, count, &list, &report) == BLO_OK) {
        const blo_status status = blo_image_list_finish(&list, &images, &report);
        if ((status == BLO_OK) != (images != NULL) || (images != NULL && !blo_images_give_splits(images, 1))) {
            abort();
        }
    }
    for (int split = 0; split < BLO_SPLITS; split++) {
        for (int i = 0; i < blo_images_classes(images, (blo_split)split); i++) {
            uint8_t pixels[SIDE * SIDE];
            if (blo_images_get(images, (blo_split)split, i, 0, pixels) != BLO_OK) {
                abort(); /* a class has an image */
            }
        }
    }
    blo_images_destroy(images);
    blo_image_list_free(&list);
    return 0;
}
