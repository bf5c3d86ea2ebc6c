/* libFuzzer on the cache of decoded images, past its checksums, which are set right before. */
#include "data/image_cache.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    enum { SIDE = 3 };
    blo_images_options options;
    blo_images_options_default(&options);
    options.image_size = SIDE;
    blo_image_key key = {.size = SIDE, .channels = 1, .invert = BLO_CHOICE_AUTO};
    uint8_t *file = malloc(count + 1);
    memcpy(file, bytes, count);
    const size_t front = blo_image_cache_front(file, count, &key);
    if (front != 0) {
        blo_image_cache_seal(file, front, file + front, count - front);
    }
    blo_images *images = blo_image_cache_parse(file, count, &key, &options);
    if (images == NULL) {
        free(file);
        return 0;
    }
    uint64_t sum = 0;
    for (int64_t i = 0; i < blo_images_count(images) * SIDE * SIDE; i++) {
        sum += blo_images_pixels(images)[i];
    }
    if (sum == 1 || !blo_images_give_splits(images, 1)) { /* the sum is there to be read */
        blo_images_destroy(images);
        return 0;
    }
    blo_images_destroy(images);
    return 0;
}
