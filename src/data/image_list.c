/* Collects decoded images, then sorts them into classes. Counts and sizes are bounded, since archives are hostile. Must
 * not know archives or folders. */
#include "image_list.h"

#include "png.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MOST_FILES = 2000000;
static const uint64_t MOST_PIXEL_BYTES = (uint64_t)1 << 34; /* of all images together */

static size_t image_bytes(const blo_image_list *list) {
    return (size_t)list->options->image_size * (size_t)list->options->image_size * (size_t)list->options->channels;
}

blo_status blo_image_list_note(blo_image_list *list, const char *path, bool *is_image, const blo_report *report) {
    char tidy[BLO_PATH_SIZE];
    *is_image = false;
    if (list->count + list->others >= MOST_FILES) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: holds more than %" PRId64 " files", list->source,
                               MOST_FILES);
    }
    if (!blo_tidy_path(path, tidy)) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: holds a file whose name has no or more than %d bytes",
                               list->source, BLO_PATH_SIZE - 1);
    }
    *is_image = blo_is_image_path(tidy);
    if (!*is_image && list->others++ == 0) {
        blo_report_name(tidy, list->first_other);
    }
    return BLO_OK;
}

/* Room for one more. False: no memory. */
static bool grow(blo_image_list *list) {
    if (list->count < list->room) {
        return true;
    }
    enum { FIRST_ROOM = 64 };
    const int64_t room = list->room == 0 ? FIRST_ROOM : 2 * list->room;
    blo_image_name *names = realloc(list->names, (size_t)room * sizeof *names);
    if (names == NULL) {
        return false;
    }
    list->names = names;
    uint8_t *pixels = realloc(list->pixels, (size_t)room * image_bytes(list));
    if (pixels == NULL) {
        return false;
    }
    list->pixels = pixels;
    list->room = room;
    return true;
}

blo_status blo_image_list_add(blo_image_list *list, const char *path, const uint8_t *bytes, size_t count,
                              const blo_report *report) {
    char tidy[BLO_PATH_SIZE], shown[BLO_SHOWN_SIZE];
    blo_tidy_path(path, tidy); /* as it was noted */
    if ((uint64_t)(list->count + 1) * image_bytes(list) > MOST_PIXEL_BYTES) {
        return blo_report_fail(
            report, BLO_ERROR_FILE, "%s: more than %" PRId64 " images of %dx%d do not fit into %d GiB", list->source,
            list->count, list->options->image_size, list->options->image_size, (int)(MOST_PIXEL_BYTES >> 30));
    }
    char *kept = malloc(strlen(tidy) + 1);
    if (kept == NULL || !grow(list)) {
        free(kept);
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its images", list->source);
    }
    strcpy(kept, tidy);
    const size_t called_size = strlen(list->source) + sizeof shown + sizeof ": ''";
    char *called = malloc(called_size);
    if (called == NULL) {
        free(kept);
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its images", list->source);
    }
    snprintf(called, called_size, "%s: '%s'", list->source, blo_report_name(tidy, shown));
    uint8_t *pixels = list->pixels + (size_t)list->count * image_bytes(list);
    const blo_status status = blo_png_decode(called, bytes, count, list->options->image_size, list->options->channels,
                                             &list->budget, pixels, report);
    free(called);
    if (status != BLO_OK) {
        free(kept);
        return status;
    }
    list->names[list->count] = (blo_image_name){.path = kept, .index = list->count};
    list->count++;
    return BLO_OK;
}

/* Puts image NAMES[i].index at place i, for all i, along the cycles of the permutation. False: no memory. */
static bool order_pixels(blo_image_list *list) {
    const size_t bytes = image_bytes(list);
    uint8_t *kept = malloc(bytes);
    if (kept == NULL) {
        return false;
    }
    for (int64_t start = 0; start < list->count; start++) {
        if (list->names[start].index == start) {
            continue;
        }
        memcpy(kept, list->pixels + (size_t)start * bytes, bytes);
        int64_t at = start;
        for (int64_t from = list->names[at].index; from != start; from = list->names[at].index) {
            memcpy(list->pixels + (size_t)at * bytes, list->pixels + (size_t)from * bytes, bytes);
            list->names[at].index = at;
            at = from;
        }
        memcpy(list->pixels + (size_t)at * bytes, kept, bytes);
        list->names[at].index = at;
    }
    free(kept);
    return true;
}

static bool same_class(const blo_image_name *a, const blo_image_name *b) {
    return a->split == b->split && a->class_length == b->class_length &&
           memcmp(a->path + a->class_at, b->path + b->class_at, (size_t)a->class_length) == 0;
}

static bool add_classes(const blo_image_list *list, blo_images *images) {
    for (int64_t first = 0, end; first < list->count; first = end) {
        const blo_image_name *name = &list->names[first];
        for (end = first + 1; end < list->count && same_class(name, &list->names[end]);) {
            end++;
        }
        if (!blo_images_add_class(images, name->path + name->class_at, (size_t)name->class_length, end - first,
                                  name->split)) {
            return false;
        }
    }
    return true;
}

blo_status blo_image_list_finish(blo_image_list *list, blo_images **images, const blo_report *report) {
    *images = NULL;
    if (list->count == 0 && list->others == 0) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: holds no files; wanted are images CLASS/image.png",
                               list->source);
    }
    if (list->count == 0) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: holds no PNG images CLASS/image.png; it holds %" PRId64
                               " other files, the first '%s'",
                               list->source, list->others, list->first_other);
    }
    const blo_status status = blo_classify(list->source, list->names, list->count, report);
    if (status != BLO_OK) {
        return status;
    }
    blo_images *made = blo_images_new(list->options);
    if (made == NULL || !order_pixels(list) || !add_classes(list, made)) {
        blo_images_destroy(made);
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its images", list->source);
    }
    made->owned = made->pixels = list->pixels;
    list->pixels = NULL;
    blo_images_invert(made, list->options->invert);
    *images = made;
    return BLO_OK;
}

void blo_image_list_free(blo_image_list *list) {
    for (int64_t i = 0; i < list->count; i++) {
        free(list->names[i].path);
    }
    free(list->names);
    free(list->pixels);
    list->names = NULL;
    list->pixels = NULL;
    list->count = 0;
}
