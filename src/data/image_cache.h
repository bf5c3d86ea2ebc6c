/* Decoded images kept in the user's cache folder. Must not know archives. */
#ifndef BLO_DATA_IMAGE_CACHE_H
#define BLO_DATA_IMAGE_CACHE_H

#include "images.h"
#include "sha256.h"

/* What a cache file is of. */
typedef struct blo_image_key {
    uint8_t digest[BLO_SHA256_BYTES]; /* of the archive */
    int size, channels;
    blo_choice invert; /* as asked for */
} blo_image_key;

/* The file for KEY; NULL: there is no cache folder, or no memory. The caller frees. */
char *blo_image_cache_path(const char *folder, const blo_image_key *key);

/* The set in the content BYTES[COUNT] of a cache file, which it takes over on success; splits are those of folders.
 * NULL: damaged in any way, of another key, or no memory. */
blo_images *blo_image_cache_parse(uint8_t *bytes, size_t count, const blo_image_key *key,
                                  const blo_images_options *options);

/* Writes IMAGES, before rotations and splits were given, to PATH, and makes its folder. False: it cannot be written,
 * which is no mistake. */
bool blo_image_cache_write(const char *folder, const char *path, const blo_images *images, const blo_image_key *key);

/* How many bytes lie before the pixels in the content BYTES[COUNT] of a cache file of KEY; 0: its sizes do not add up,
 * or it is not KEY's. */
size_t blo_image_cache_front(const uint8_t *bytes, size_t count, const blo_image_key *key);

/* Sets the checksums in FRONT[COUNT], which PIXELS[PIXEL_COUNT] follow in the file. */
void blo_image_cache_seal(uint8_t *front, size_t count, const uint8_t *pixels, size_t pixel_count);

#endif
