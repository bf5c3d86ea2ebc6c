/* The set of images in memory: its classes, splits and rotations. Must not know where images come from. */
#include "images.h"

#include "random.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SIZE = 1024, DEFAULT_SIZE = 28, QUARTERS = 4, DEGREES = 90, VALIDATION_PERCENT = 16, TEST_PERCENT = 20 };

void blo_images_options_default(blo_images_options *options) {
    if (options != NULL) {
        *options = (blo_images_options){.image_size = DEFAULT_SIZE, .channels = 1};
    }
}

static bool is_choice(blo_choice choice) {
    return choice == BLO_CHOICE_AUTO || choice == BLO_CHOICE_ON || choice == BLO_CHOICE_OFF;
}

blo_status blo_images_check_options(const char *call, const blo_images_options *given, blo_images_options *options,
                                    const blo_report *report) {
    blo_images_options_default(options);
    if (given != NULL) {
        *options = *given;
    }
    if (options->image_size < 1 || options->image_size > MOST_SIZE) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: image_size is %d; it can be 1 to %d", call,
                               options->image_size, MOST_SIZE);
    }
    if (options->channels != 1 && options->channels != 3) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: channels is %d; it can be 1 or 3", call,
                               options->channels);
    }
    if (!is_choice(options->rotations) || !is_choice(options->invert)) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%s: rotations and invert are AUTO, ON or OFF", call);
    }
    return BLO_OK;
}

blo_images *blo_images_new(const blo_images_options *options) {
    blo_images *made = calloc(1, sizeof *made);
    if (made != NULL) {
        const blo_choice turn = options->rotations;
        made->size = options->image_size;
        made->channels = options->channels;
        made->rotations = turn == BLO_CHOICE_ON || (turn == BLO_CHOICE_AUTO && made->channels == 1) ? QUARTERS : 1;
        made->origin = "folders";
    }
    return made;
}

void blo_images_destroy(blo_images *images) {
    if (images != NULL) {
        for (int i = 0; i < images->class_count; i++) {
            free(images->classes[i].name);
        }
        free(images->classes);
        free(images->owned);
        free(images);
    }
}

bool blo_images_add_class(blo_images *images, const char *name, size_t length, int64_t count, int split) {
    const int at = images->class_count;
    if ((at & (at - 1)) == 0) { /* full at each power of two */
        blo_image_class *grown = realloc(images->classes, (size_t)(at == 0 ? 1 : 2 * at) * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        images->classes = grown;
    }
    char *copy = malloc(length + 1);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    images->classes[at] = (blo_image_class){.name = copy, .first = images->count, .count = count, .split = split};
    images->class_count++;
    images->count += count;
    return true;
}

static size_t image_bytes(const blo_images *images) {
    return (size_t)images->size * (size_t)images->size * (size_t)images->channels;
}

void blo_images_invert(blo_images *images, blo_choice choice) {
    enum { WHITE = 255 };
    const size_t count = (size_t)images->count * image_bytes(images);
    bool invert = choice == BLO_CHOICE_ON;
    if (choice == BLO_CHOICE_AUTO && images->channels == 1) {
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += images->pixels[i];
        }
        invert = 2 * sum > (uint64_t)count * WHITE;
    }
    for (size_t i = 0; invert && i < count; i++) {
        images->pixels[i] = (uint8_t)(WHITE - images->pixels[i]);
    }
}

/* --- splits --- */

/* Vinyals' split, where every class has a name of Omniglot's form and one at least is held out. */
static bool give_vinyals(blo_images *images) {
    bool held_out = false;
    for (int i = 0; i < images->class_count; i++) {
        const int split = blo_vinyals_split(images->classes[i].name);
        images->classes[i].split = split;
        if (split == BLO_NO_SPLIT) {
            return false;
        }
        held_out = held_out || split != BLO_SPLIT_TRAIN;
    }
    images->origin = "vinyals";
    return held_out;
}

static bool give_random(blo_images *images, uint64_t seed) {
    const int count = images->class_count;
    const int validation = (int)((int64_t)count * VALIDATION_PERCENT / 100);
    const int test = (int)((int64_t)count * TEST_PERCENT / 100);
    int32_t *order = malloc((size_t)count * sizeof *order + 1);
    if (order == NULL) {
        return false;
    }
    blo_random_permutation(count, seed, BLO_USE_SPLIT, order);
    for (int i = 0; i < count; i++) {
        images->classes[order[i]].split = i < validation          ? BLO_SPLIT_VALIDATION
                                          : i < validation + test ? BLO_SPLIT_TEST
                                                                  : BLO_SPLIT_TRAIN;
    }
    free(order);
    images->origin = "seed";
    return true;
}

/* Classes by their split, else in the order they have. False: no memory. */
static bool order_classes(blo_images *images) {
    blo_image_class *ordered = malloc((size_t)images->class_count * sizeof *ordered + 1);
    int at = 0;
    if (ordered == NULL) {
        return false;
    }
    for (int split = 0; split < BLO_SPLITS; split++) {
        images->start[split] = at;
        for (int i = 0; i < images->class_count; i++) {
            if (images->classes[i].split == split) {
                ordered[at++] = images->classes[i];
            }
        }
    }
    images->start[BLO_SPLITS] = at;
    free(images->classes);
    images->classes = ordered;
    return true;
}

bool blo_images_give_splits(blo_images *images, uint64_t seed) {
    const bool given = images->class_count > 0 && images->classes[0].split != BLO_NO_SPLIT;
    return (given || give_vinyals(images) || give_random(images, seed)) && order_classes(images);
}

/* --- what it holds --- */

int blo_images_size(const blo_images *images) {
    return images == NULL ? 0 : images->size;
}

int blo_images_channels(const blo_images *images) {
    return images == NULL ? 0 : images->channels;
}

int64_t blo_images_count(const blo_images *images) {
    return images == NULL ? 0 : images->count;
}

int blo_images_rotations(const blo_images *images) {
    return images == NULL ? 0 : images->rotations;
}

bool blo_images_from_cache(const blo_images *images) {
    return images != NULL && images->from_cache;
}

const char *blo_images_origin(const blo_images *images) {
    return images == NULL ? NULL : images->origin;
}

const uint8_t *blo_images_pixels(const blo_images *images) {
    return images == NULL ? NULL : images->pixels;
}

static int classes_unturned(const blo_images *images, blo_split split) {
    return images != NULL && (int)split >= 0 && (int)split < BLO_SPLITS
               ? images->start[split + 1] - images->start[split]
               : 0;
}

int blo_images_classes(const blo_images *images, blo_split split) {
    return images == NULL ? 0 : classes_unturned(images, split) * images->rotations;
}

/* The class that class INDEX of SPLIT is, or is a rotation of; NULL out of range. */
static const blo_image_class *class_at(const blo_images *images, blo_split split, int index) {
    if (index < 0 || index >= blo_images_classes(images, split)) {
        return NULL;
    }
    return &images->classes[images->start[split] + index % classes_unturned(images, split)];
}

const char *blo_images_class_name(const blo_images *images, blo_split split, int index) {
    const blo_image_class *found = class_at(images, split, index);
    return found == NULL ? NULL : found->name;
}

int blo_images_class_rotation(const blo_images *images, blo_split split, int index) {
    return class_at(images, split, index) == NULL ? 0 : index / classes_unturned(images, split) * DEGREES;
}

int64_t blo_images_class_count(const blo_images *images, blo_split split, int index) {
    const blo_image_class *found = class_at(images, split, index);
    return found == NULL ? 0 : found->count;
}

int64_t blo_images_class_first(const blo_images *images, blo_split split, int index) {
    const blo_image_class *found = class_at(images, split, index);
    return found == NULL ? -1 : found->first;
}

/* IN turned by a quarter QUARTERS_TURNED times, counter-clockwise: row i of the first turn is column SIZE - 1 - i. */
static void turn(const uint8_t *in, int size, int channels, int quarters_turned, uint8_t *out) {
    const int last = size - 1;
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            const int from_y = quarters_turned == 1 ? x : quarters_turned == 2 ? last - y : last - x;
            const int from_x = quarters_turned == 1 ? last - y : quarters_turned == 2 ? last - x : y;
            const uint8_t *from = in + ((size_t)from_y * (size_t)size + (size_t)from_x) * (size_t)channels;
            for (int c = 0; c < channels; c++) {
                *out++ = from[c];
            }
        }
    }
}

void blo_images_copy(const blo_images *images, blo_split split, int index, int64_t number, uint8_t *pixels) {
    const blo_image_class *from = class_at(images, split, index);
    const uint8_t *in = images->pixels + (size_t)(from->first + number) * image_bytes(images);
    const int quarters = index / classes_unturned(images, split);
    if (quarters == 0) {
        memcpy(pixels, in, image_bytes(images));
    } else {
        turn(in, images->size, images->channels, quarters, pixels);
    }
}

blo_status blo_images_get(const blo_images *images, blo_split split, int index, int64_t number, uint8_t *pixels) {
    if (pixels == NULL || number < 0 || number >= blo_images_class_count(images, split, index)) {
        return BLO_ERROR_ARGUMENT;
    }
    blo_images_copy(images, split, index, number, pixels);
    return BLO_OK;
}
