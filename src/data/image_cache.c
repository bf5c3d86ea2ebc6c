/* The file of decoded images: a head, one record for each class, their names, the pixels. It is of this machine alone
 * (its byte order), and is believed only when its key, its checksum and every size in it fit. Must not know archives.
 */
#include "image_cache.h"

#include "base/folder.h"
#include "file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[8] = "bloimg1";
enum { LANES = 4, SHORT_DIGEST = 8, NAME_SIZE = 80 };

typedef struct head {
    char magic[8];
    uint64_t checksum; /* of what follows it, up to the pixels */
    uint64_t pixel_checksum;
    uint8_t digest[BLO_SHA256_BYTES];
    uint32_t size, channels, invert, classes;
    uint64_t names, images; /* bytes of names; number of images */
} head;

typedef struct record {
    int64_t count;
    uint32_t split, name_length;
} record;

char *blo_image_cache_path(const char *folder, const blo_image_key *key) {
    char name[NAME_SIZE];
    int at = snprintf(name, sizeof name, "images-");
    for (int i = 0; i < SHORT_DIGEST; i++) {
        at += snprintf(name + at, sizeof name - (size_t)at, "%02x", key->digest[i]);
    }
    snprintf(name + at, sizeof name - (size_t)at, "-%dx%d-%d.bin", key->size, key->channels, (int)key->invert);
    return blo_file_join(folder, name);
}

/* Where the bytes begin that the head's checksum is of. */
#define SUMMED offsetof(head, pixel_checksum)

/* Any change of one byte changes it. */
static uint64_t checksum(const uint8_t *bytes, size_t count) {
    /* FNV-1a in four lanes of 8 bytes at once: each step can be undone, so that no single change gets lost. */
    const uint64_t basis = 14695981039346656037u, prime = 1099511628211u;
    uint64_t lanes[LANES] = {basis, basis + 1, basis + 2, basis + 3};
    size_t at = 0;
    for (; count - at >= sizeof lanes; at += sizeof lanes) {
        uint64_t words[LANES];
        memcpy(words, bytes + at, sizeof words);
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] = (lanes[lane] ^ words[lane]) * prime;
        }
    }
    uint64_t sum = (basis ^ (uint64_t)count) * prime;
    for (; at < count; at++) {
        sum = (sum ^ bytes[at]) * prime;
    }
    for (int lane = 0; lane < LANES; lane++) {
        sum = (sum ^ lanes[lane]) * prime;
    }
    return sum;
}

static head make_head(const blo_image_key *key) {
    head made = {.size = (uint32_t)key->size, .channels = (uint32_t)key->channels, .invert = (uint32_t)key->invert};
    memcpy(made.magic, MAGIC, sizeof made.magic);
    memcpy(made.digest, key->digest, sizeof made.digest);
    return made;
}

size_t blo_image_cache_front(const uint8_t *bytes, size_t count, const blo_image_key *key) {
    const head wanted = make_head(key);
    head found;
    if (count < sizeof found) {
        return 0;
    }
    memcpy(&found, bytes, sizeof found);
    const uint64_t image = (uint64_t)wanted.size * wanted.size * wanted.channels;
    const uint64_t records = (uint64_t)found.classes * sizeof(record), left = count - sizeof found;
    const bool fits = memcmp(found.magic, wanted.magic, sizeof found.magic) == 0 &&
                      memcmp(found.digest, wanted.digest, sizeof found.digest) == 0 && found.size == wanted.size &&
                      found.channels == wanted.channels && found.invert == wanted.invert &&
                      found.classes <= INT32_MAX && records <= left && found.names <= left - records &&
                      found.images <= left / image && found.images * image == left - records - found.names;
    return fits ? sizeof found + (size_t)records + (size_t)found.names : 0;
}

void blo_image_cache_seal(uint8_t *front, size_t count, const uint8_t *pixels, size_t pixel_count) {
    const uint64_t of_pixels = checksum(pixels, pixel_count);
    memcpy(front + offsetof(head, pixel_checksum), &of_pixels, sizeof of_pixels);
    const uint64_t of_front = checksum(front + SUMMED, count - SUMMED);
    memcpy(front + offsetof(head, checksum), &of_front, sizeof of_front);
}

static bool is_sealed(const uint8_t *bytes, size_t front, size_t count) {
    head found;
    memcpy(&found, bytes, sizeof found);
    return found.checksum == checksum(bytes + SUMMED, front - SUMMED) &&
           found.pixel_checksum == checksum(bytes + front, count - front);
}

/* Adds the classes that BYTES list; their counts and names must add up to what the head says, and all have a split
 * or none has. */
static bool take_classes(const uint8_t *bytes, blo_images *images) {
    head found;
    memcpy(&found, bytes, sizeof found);
    const uint8_t *at = bytes + sizeof found;
    const char *names = (const char *)at + (size_t)found.classes * sizeof(record);
    uint64_t names_left = found.names, images_left = found.images;
    for (uint32_t i = 0; i < found.classes; i++) {
        record each;
        memcpy(&each, at + i * sizeof each, sizeof each);
        if (each.count < 1 || (uint64_t)each.count > images_left || each.name_length > names_left ||
            each.split > BLO_NO_SPLIT || memchr(names, '\0', each.name_length) != NULL ||
            !blo_images_add_class(images, names, each.name_length, each.count, (int)each.split) ||
            (each.split == BLO_NO_SPLIT) != (images->classes[0].split == BLO_NO_SPLIT)) {
            return false;
        }
        names += each.name_length;
        names_left -= each.name_length;
        images_left -= (uint64_t)each.count;
    }
    return names_left == 0 && images_left == 0;
}

blo_images *blo_image_cache_parse(uint8_t *bytes, size_t count, const blo_image_key *key,
                                  const blo_images_options *options) {
    const size_t front = blo_image_cache_front(bytes, count, key);
    blo_images *made = front != 0 && is_sealed(bytes, front, count) ? blo_images_new(options) : NULL;
    if (made == NULL || !take_classes(bytes, made)) {
        blo_images_destroy(made);
        return NULL;
    }
    made->pixels = bytes + front;
    made->owned = bytes;
    made->from_cache = true;
    return made;
}

/* The head, the records and the names in one piece, of *COUNT bytes, not yet sealed; NULL: no memory. */
static uint8_t *lay_out(const blo_images *images, const blo_image_key *key, size_t *count) {
    head made = make_head(key);
    made.classes = (uint32_t)images->class_count;
    made.images = (uint64_t)images->count;
    for (int i = 0; i < images->class_count; i++) {
        made.names += strlen(images->classes[i].name);
    }
    const size_t names_at = sizeof made + (size_t)images->class_count * sizeof(record);
    *count = names_at + (size_t)made.names;
    uint8_t *bytes = malloc(*count);
    if (bytes == NULL) {
        return NULL;
    }
    memcpy(bytes, &made, sizeof made);
    size_t name_at = names_at;
    for (int i = 0; i < images->class_count; i++) {
        const blo_image_class *from = &images->classes[i];
        const record each = {from->count, (uint32_t)from->split, (uint32_t)strlen(from->name)};
        memcpy(bytes + sizeof made + (size_t)i * sizeof each, &each, sizeof each);
        memcpy(bytes + name_at, from->name, each.name_length);
        name_at += each.name_length;
    }
    return bytes;
}

bool blo_image_cache_write(const char *folder, const char *path, const blo_images *images, const blo_image_key *key) {
    const blo_report silent = {NULL, 0};
    const size_t pixels = (size_t)images->count * (size_t)key->size * (size_t)key->size * (size_t)key->channels;
    size_t count = 0;
    uint8_t *front = lay_out(images, key, &count);
    if (front == NULL) {
        return false;
    }
    blo_image_cache_seal(front, count, images->pixels, pixels);
    blo_make_folders(folder);
    const bool written = blo_file_write(path, front, count, images->pixels, pixels, &silent) == BLO_OK;
    free(front);
    return written;
}
