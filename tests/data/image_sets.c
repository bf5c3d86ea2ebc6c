/* What the tests of sets of images share. */
#include "image_sets.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char message[600];
blo_images_options options;
char cache[200], tree[200];

void image_sets_setup(void) {
    files_clear();
    snprintf(cache, sizeof cache, "%s/cache", files_folder());
    snprintf(tree, sizeof tree, "%s/tree", files_folder());
    tree_remove(cache);
    tree_remove(tree);
    blo_images_options_default(&options);
    options.image_size = SIDE;
    options.invert = BLO_CHOICE_OFF;
    options.cache_folder = "";
}

void image_sets_teardown(void) {
    tree_remove(cache);
    tree_remove(tree);
}

const char *pack_drawings(archive_form form, const char *const *names) {
    static drawing made;
    packed *into = packed_begin(form);
    size_t count = 0;
    for (int i = 0; names[i] != NULL; i++) {
        drawing_numbered(SIDE, i, &made);
        packed_add(into, names[i], made.bytes, made.count);
    }
    uint8_t *bytes = packed_end(into, &count);
    const char *path = files_write("archive", bytes, count);
    free(bytes);
    return path;
}

blo_images *open_good(const char *path) {
    blo_images *images = NULL;
    ck_assert_msg(blo_images_open(path, &options, &images, message, sizeof message) == BLO_OK, "%s", message);
    return images;
}

void check_refused(const char *path, blo_status wanted, const char *part) {
    blo_images *images = (blo_images *)&options;
    const blo_status status = blo_images_open(path, &options, &images, message, sizeof message);
    ck_assert_msg(status == wanted, "%s: %s", blo_status_string(status), message);
    ck_assert_msg(strstr(message, part) != NULL, "'%s' lacks '%s'", message, part);
    ck_assert_ptr_null(images);
}

void check_image(const blo_images *images, blo_split split, int index, int64_t number, int which) {
    uint8_t pixels[PIXELS];
    ck_assert_int_eq(blo_images_get(images, split, index, number, pixels), BLO_OK);
    for (int i = 0; i < PIXELS; i++) {
        ck_assert_int_eq(pixels[i], (uint8_t)(7 * i + 31 * which));
    }
}

const char *const THREE_CLASSES[] = {"top/c/2.png", "top/a/x.png", "top/c/1.png", "top/b.b/y.PNG", "top/a/w.png", NULL};

void check_three_classes(const blo_images *images) {
    int seen = 0;
    ck_assert_int_eq(blo_images_count(images), 5);
    ck_assert_str_eq(blo_images_origin(images), "seed");
    for (int i = 0; i < blo_images_classes(images, BLO_SPLIT_TRAIN); i++) {
        const char *name = blo_images_class_name(images, BLO_SPLIT_TRAIN, i);
        if (blo_images_class_rotation(images, BLO_SPLIT_TRAIN, i) != 0) {
            continue;
        }
        seen++;
        if (strcmp(name, "a") == 0) {
            ck_assert_int_eq(blo_images_class_count(images, BLO_SPLIT_TRAIN, i), 2);
            check_image(images, BLO_SPLIT_TRAIN, i, 0, 4);
            check_image(images, BLO_SPLIT_TRAIN, i, 1, 1);
        } else if (strcmp(name, "c") == 0) {
            check_image(images, BLO_SPLIT_TRAIN, i, 0, 2);
            check_image(images, BLO_SPLIT_TRAIN, i, 1, 0);
        } else {
            ck_assert_str_eq(name, "b.b");
            check_image(images, BLO_SPLIT_TRAIN, i, 0, 3);
        }
    }
    ck_assert_int_eq(seen, 3);
}
