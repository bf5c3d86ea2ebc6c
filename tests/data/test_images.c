/* Sets of images from archives and folders: classes, splits, rotations, the cache, and everything that may be wrong. */
#include <clbilevel/images.h>

#include "data/archive.h"
#include "data/sha256.h"
#include "drawings.h"
#include "files.h"
#include "runner.h"

#include <png.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 6, PIXELS = SIDE * SIDE };

static char message[600];
static blo_images_options options;
static char cache[200], tree[200];

static void setup(void) {
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

static void teardown(void) {
    tree_remove(cache);
    tree_remove(tree);
}

/* The files NAMES (to NULL), numbered drawings, as an archive; returns its path. */
static const char *pack(archive_form form, const char *const *names) {
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

static blo_images *open_good(const char *path) {
    blo_images *images = NULL;
    ck_assert_msg(blo_images_open(path, &options, &images, message, sizeof message) == BLO_OK, "%s", message);
    return images;
}

static void check_refused(const char *path, blo_status wanted, const char *part) {
    blo_images *images = (blo_images *)&options;
    const blo_status status = blo_images_open(path, &options, &images, message, sizeof message);
    ck_assert_msg(status == wanted, "%s: %s", blo_status_string(status), message);
    ck_assert_msg(strstr(message, part) != NULL, "'%s' lacks '%s'", message, part);
    ck_assert_ptr_null(images);
}

/* Image NUMBER of class INDEX of SPLIT is drawing WHICH. */
static void check_image(const blo_images *images, blo_split split, int index, int64_t number, int which) {
    uint8_t pixels[PIXELS];
    ck_assert_int_eq(blo_images_get(images, split, index, number, pixels), BLO_OK);
    for (int i = 0; i < PIXELS; i++) {
        ck_assert_int_eq(pixels[i], (uint8_t)(7 * i + 31 * which));
    }
}

static const char *const THREE_CLASSES[] = {"top/c/2.png",   "top/a/x.png", "top/c/1.png",
                                            "top/b.b/y.PNG", "top/a/w.png", NULL};

static void check_three_classes(const blo_images *images) {
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

START_TEST(every_form_of_archive_gives_the_same_classes) {
    blo_images *images = open_good(pack((archive_form)_i, THREE_CLASSES));
    check_three_classes(images);
    ck_assert(!blo_images_from_cache(images));
    blo_images_destroy(images);
}
END_TEST

START_TEST(a_folder_gives_the_same_classes) {
    static drawing made;
    for (int i = 0; THREE_CLASSES[i] != NULL; i++) {
        drawing_numbered(SIDE, i, &made);
        tree_add(tree, THREE_CLASSES[i], made.bytes, made.count);
    }
    tree_add(tree, "top/readme.txt", "hello", 5);
    tree_add(tree, "top/c/.hidden.png", "hello", 5);
    blo_images *images = open_good(tree);
    check_three_classes(images);
    blo_images_destroy(images);
}
END_TEST

START_TEST(rotations_are_further_classes) {
    blo_images *images = open_good(pack(FORM_TAR, (const char *[]){"a/1.png", "b/1.png", NULL}));
    uint8_t upright[PIXELS], turned[PIXELS];
    ck_assert_int_eq(blo_images_rotations(images), 4);
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TRAIN), 8);
    ck_assert_int_eq(blo_images_get(images, BLO_SPLIT_TRAIN, 1, 0, upright), BLO_OK);
    for (int quarter = 1; quarter < 4; quarter++) {
        const int index = 2 * quarter + 1;
        ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TRAIN, index), "b");
        ck_assert_int_eq(blo_images_class_rotation(images, BLO_SPLIT_TRAIN, index), 90 * quarter);
        ck_assert_int_eq(blo_images_get(images, BLO_SPLIT_TRAIN, index, 0, turned), BLO_OK);
        for (int y = 0; y < SIDE; y++) { /* what was at the right edge is at the top after a quarter */
            for (int x = 0; x < SIDE; x++) {
                int from_y = y, from_x = x;
                for (int turns = 0; turns < quarter; turns++) {
                    const int kept = from_y;
                    from_y = from_x;
                    from_x = SIDE - 1 - kept;
                }
                ck_assert_int_eq(turned[y * SIDE + x], upright[from_y * SIDE + from_x]);
            }
        }
    }
    ck_assert_ptr_null(blo_images_class_name(images, BLO_SPLIT_TRAIN, 8));
    ck_assert_ptr_null(blo_images_class_name(images, BLO_SPLIT_TEST, 0));
    ck_assert_int_eq(blo_images_get(images, BLO_SPLIT_TRAIN, 0, 1, turned), BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_images_class_first(images, BLO_SPLIT_TRAIN, -1), -1);
    blo_images_destroy(images);
    options.rotations = BLO_CHOICE_OFF;
    images = open_good(files_path("archive"));
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TRAIN), 2);
    blo_images_destroy(images);
}
END_TEST

START_TEST(colour_keeps_its_channels_and_does_not_turn_by_default) {
    static drawing made;
    const uint8_t rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 250, 251, 252};
    drawing_make(2, 2, PNG_COLOR_TYPE_RGB, 8, false, rows, &made);
    tree_add(tree, "train/n01/a.png", made.bytes, made.count);
    options.image_size = 2;
    options.channels = 3;
    options.invert = BLO_CHOICE_AUTO;
    blo_images *images = open_good(tree);
    ck_assert_int_eq(blo_images_channels(images), 3);
    ck_assert_int_eq(blo_images_rotations(images), 1);
    ck_assert_mem_eq(blo_images_pixels(images), rows, sizeof rows);
    blo_images_destroy(images);
    options.rotations = BLO_CHOICE_ON;
    images = open_good(tree);
    uint8_t turned[12];
    ck_assert_int_eq(blo_images_get(images, BLO_SPLIT_TRAIN, 1, 0, turned), BLO_OK);
    ck_assert_mem_eq(turned, ((uint8_t[]){4, 5, 6, 250, 251, 252, 1, 2, 3, 7, 8, 9}), 12);
    blo_images_destroy(images);
}
END_TEST

START_TEST(light_paper_is_inverted) {
    static drawing made;
    const uint8_t light[] = {255, 255, 0, 255}, dark[] = {0, 0, 255, 0};
    drawing_make(2, 2, PNG_COLOR_TYPE_GRAY, 8, false, _i % 2 == 0 ? light : dark, &made);
    tree_add(tree, "a/a.png", made.bytes, made.count);
    options.image_size = 2;
    options.invert = (blo_choice)(_i / 2); /* AUTO, ON, OFF */
    blo_images *images = open_good(tree);
    const bool inverted = options.invert == BLO_CHOICE_ON || (options.invert == BLO_CHOICE_AUTO && _i % 2 == 0);
    ck_assert_mem_eq(blo_images_pixels(images), inverted == (_i % 2 == 0) ? dark : light, 4);
    blo_images_destroy(images);
}
END_TEST

START_TEST(folders_of_splits_are_splits) {
    static const char *const names[] = {"mini/train/a/1.png", "mini/val/b/1.png", "mini/test/c/1.png",
                                        "mini/test/d/e/1.png", NULL};
    blo_images *images = open_good(pack(FORM_ZIP, names));
    ck_assert_str_eq(blo_images_origin(images), "folders");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TRAIN, 0), "a");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_VALIDATION, 0), "b");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TEST, 0), "c");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TEST, 1), "d/e");
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TEST), 8);
    check_image(images, BLO_SPLIT_TEST, 1, 0, 3);
    blo_images_destroy(images);
}
END_TEST

START_TEST(omniglots_names_have_their_split) {
    static const char *const names[] = {"x/Greek/character01/1.png",    "x/Hebrew/character22/1.png",
                                        "y/Gurmukhi/character41/1.png", "y/Gurmukhi/character42/1.png",
                                        "y/ULOG/character07/1.png",     NULL};
    blo_images *images = open_good(pack(FORM_TAR_XZ, names));
    ck_assert_str_eq(blo_images_origin(images), "vinyals");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TRAIN, 0), "Greek/character01");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TRAIN, 1), "Gurmukhi/character41");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_VALIDATION, 0), "Hebrew/character22");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TEST, 0), "Gurmukhi/character42");
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TEST, 1), "ULOG/character07");
    blo_images_destroy(images);
}
END_TEST

START_TEST(without_a_split_the_seed_makes_one) {
    static char names[50][20];
    const char *list[51] = {NULL};
    char first[3][2][20] = {{{0}}};
    for (int i = 0; i < 50; i++) {
        snprintf(names[i], sizeof names[i], "c%02d/1.png", i);
        list[i] = names[i];
    }
    pack(FORM_TAR_GZ, list);
    for (int run = 0; run < 3; run++) {
        options.seed = run == 2 ? 5 : 4;
        blo_images *images = open_good(files_path("archive"));
        ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TRAIN), 4 * 32);
        ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_VALIDATION), 4 * 8);
        ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TEST), 4 * 10);
        for (int i = 0; i < 2; i++) {
            strcpy(first[run][i], blo_images_class_name(images, i == 0 ? BLO_SPLIT_VALIDATION : BLO_SPLIT_TEST, 7));
        }
        blo_images_destroy(images);
    }
    ck_assert_mem_eq(first[0], first[1], sizeof first[0]);
    ck_assert(strcmp(first[0][0], first[2][0]) != 0 || strcmp(first[0][1], first[2][1]) != 0);
}
END_TEST

START_TEST(names_are_only_labels) {
    static const char *const names[] = {"../../../tmp/evil/1.png", "/etc/b/2.png", "./../c//3.png", NULL};
    blo_images *images = open_good(pack((archive_form)_i, names));
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TRAIN), 12);
    ck_assert_str_eq(blo_images_class_name(images, BLO_SPLIT_TRAIN, 0), "../../../tmp/evil");
    blo_images_destroy(images);
    ck_assert_int_eq(files_count(), 1); /* the archive */
}
END_TEST

/* --- the cache --- */

static int cached_files(void) {
    char command[300], answer[20] = "";
    snprintf(command, sizeof command, "ls %s 2>/dev/null | wc -l", cache);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(fgets(answer, sizeof answer, pipe));
    pclose(pipe);
    return atoi(answer);
}

START_TEST(an_archive_is_decoded_once) {
    options.cache_folder = cache;
    const char *path = pack(FORM_TAR_XZ, THREE_CLASSES);
    blo_images *decoded = open_good(path);
    ck_assert(!blo_images_from_cache(decoded));
    ck_assert_int_eq(cached_files(), 1);
    blo_images *kept = open_good(path);
    ck_assert(blo_images_from_cache(kept));
    check_three_classes(kept);
    ck_assert_mem_eq(blo_images_pixels(kept), blo_images_pixels(decoded), 5 * PIXELS);
    blo_images_destroy(decoded);
    blo_images_destroy(kept);
    options.image_size = 3; /* another form is another file */
    kept = open_good(path);
    ck_assert(!blo_images_from_cache(kept));
    ck_assert_int_eq(cached_files(), 2);
    blo_images_destroy(kept);
    options.image_size = SIDE;
    kept = open_good(pack(FORM_TAR_XZ, (const char *[]){"a/1.png", NULL})); /* so is another archive of that name */
    ck_assert(!blo_images_from_cache(kept));
    ck_assert_int_eq(blo_images_count(kept), 1);
    blo_images_destroy(kept);
}
END_TEST

/* The only file of the cache folder. */
static void cached_path(char path[300]) {
    char command[300];
    snprintf(command, sizeof command, "ls %s/*", cache);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(fgets(path, 300, pipe));
    path[strcspn(path, "\n")] = '\0';
    pclose(pipe);
}

START_TEST(a_damaged_cache_is_rebuilt) {
    static uint8_t bytes[2000];
    char path[300];
    options.cache_folder = cache;
    const char *archive = pack(FORM_TAR, THREE_CLASSES);
    blo_images_destroy(open_good(archive));
    cached_path(path);
    FILE *file = fopen(path, "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    ck_assert_uint_lt(count, sizeof bytes);
    for (size_t i = 0; i <= count; i++) { /* each byte in turn; then it is cut */
        const bool cut = i == count;
        bytes[i % count] ^= 0x40;
        file = fopen(path, "wb");
        fwrite(bytes, 1, cut ? count - 1 : count, file);
        fclose(file);
        bytes[i % count] ^= 0x40;
        blo_images *images = open_good(archive);
        ck_assert_msg(!blo_images_from_cache(images), "byte %zu is damaged", i);
        check_three_classes(images);
        blo_images_destroy(images);
    }
    blo_images *images = open_good(archive);
    ck_assert(blo_images_from_cache(images));
    blo_images_destroy(images);
}
END_TEST

START_TEST(without_a_cache_folder_all_works) {
    char path[300];
    snprintf(path, sizeof path, "%s/archive/cannot-be", files_folder()); /* below a file */
    options.cache_folder = path;
    const char *archive = pack(FORM_ZIP, THREE_CLASSES);
    for (int i = 0; i < 2; i++) {
        blo_images *images = open_good(archive);
        ck_assert(!blo_images_from_cache(images));
        check_three_classes(images);
        blo_images_destroy(images);
    }
}
END_TEST

/* --- what is wrong --- */

START_TEST(cut_archives_are_refused) {
    static uint8_t bytes[1 << 17];
    pack((archive_form)_i, THREE_CLASSES);
    FILE *file = fopen(files_path("archive"), "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    size_t whole = count; /* of a tar: to the end of the last entry; it may lack some of the zeros that follow */
    for (; _i == FORM_TAR && bytes[whole - 1] == 0; whole--) {
    }
    whole = _i == FORM_TAR ? (whole + 511) / 512 * 512 + 1 : whole;
    for (size_t cut = 0; cut < whole; cut += cut % 64 == 0 ? 1 : 63) {
        check_refused(files_write("cut", bytes, cut), BLO_ERROR_FILE, files_path("cut"));
    }
}
END_TEST

/* Checksums guard headers of a tar, and all of what is compressed; what goes through is in parts that mean nothing. */
START_TEST(damaged_archives_are_refused_or_it_does_not_matter) {
    static uint8_t bytes[1 << 17];
    blo_images *good = open_good(pack((archive_form)_i, THREE_CLASSES)), *images = NULL;
    int refused = 0, tried = 0;
    FILE *file = fopen(files_path("archive"), "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t at = 0; at < count && at < 6000; at += _i == FORM_TAR ? 7 : 1) {
        bytes[at] ^= 0x21;
        const blo_status status =
            blo_images_open(files_write("damaged", bytes, count), &options, &images, message, sizeof message);
        bytes[at] ^= 0x21;
        tried++;
        refused += status == BLO_ERROR_FILE;
        if (status != BLO_ERROR_FILE) {
            ck_assert_msg(status == BLO_OK && blo_images_count(images) == 5, "byte %zu: %s", at, message);
            check_three_classes(images);
            ck_assert_mem_eq(blo_images_pixels(images), blo_images_pixels(good), 5 * PIXELS);
            blo_images_destroy(images);
        }
    }
    ck_assert_int_gt(refused, tried / 4);
    blo_images_destroy(good);
}
END_TEST

/* Cut at a block of the tar, compressed after that: only the lack of the zeros at a tar's end tells. */
START_TEST(a_tar_without_an_end_is_refused) {
    static uint8_t bytes[1 << 17];
    pack(FORM_TAR, THREE_CLASSES);
    FILE *file = fopen(files_path("archive"), "rb");
    size_t whole = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (; bytes[whole - 1] == 0; whole--) {
    }
    whole = (whole + 511) / 512 * 512;
    for (size_t cut = 1024; cut <= whole; cut += 512) {
        check_refused(files_write_gzip("cut", bytes, cut), BLO_ERROR_FILE, "not a sound archive");
    }
    blo_images_destroy(open_good(files_write_gzip("cut", bytes, whole + 512)));
}
END_TEST

START_TEST(archives_of_other_things_are_refused) {
    size_t count = 0;
    packed *into = packed_begin(FORM_TAR_GZ);
    packed_add(into, "notes/read.me", "hello", 5);
    packed_add(into, "notes/photo.jpg", "hello", 5);
    uint8_t *bytes = packed_end(into, &count);
    check_refused(files_write("other", bytes, count), BLO_ERROR_FILE, "2 other files, the first 'notes/read.me'");
    free(bytes);
    check_refused(files_write("text", "just some text, no archive", 26), BLO_ERROR_FILE, "not a sound archive");
    bytes = packed_end(packed_begin(FORM_TAR), &count);
    check_refused(files_write("empty", bytes, count), BLO_ERROR_FILE, "holds no files");
    free(bytes);
    into = packed_begin(FORM_ZIP);
    packed_add(into, "a/fake.png", "hello", 5);
    bytes = packed_end(into, &count);
    check_refused(files_write("fake", bytes, count), BLO_ERROR_FILE, "'a/fake.png': cannot be read as PNG");
    free(bytes);
    into = packed_begin(FORM_TAR);
    packed_add(into, "a/note", "hello", 5);
    packed_link(into, "a/link", "a/note");
    packed_link(into, "a/1.png", "a/note");
    bytes = packed_end(into, &count);
    check_refused(files_write("link", bytes, count), BLO_ERROR_FILE, "'a/1.png' is a link or a device, not an image");
    free(bytes);
    check_refused(files_path("nowhere"), BLO_ERROR_FILE, "cannot be opened");
    mkdir(tree, 0777);
    check_refused(tree, BLO_ERROR_FILE, "holds no files");
}
END_TEST

START_TEST(images_in_wrong_places_are_refused) {
    check_refused(pack(FORM_TAR, (const char *[]){"a/1.png", "2.png", NULL}), BLO_ERROR_FILE,
                  "'2.png' lies in no folder of a class");
    check_refused(pack(FORM_TAR, (const char *[]){"a/1.png", "a/./1.png", NULL}), BLO_ERROR_FILE,
                  "holds 'a/1.png' twice");
    char name[1200];
    memset(name, 'n', sizeof name);
    memcpy(name, "a/", 2);
    memcpy(name + sizeof name - 5, ".png", 5);
    check_refused(pack(FORM_TAR, (const char *[]){name, NULL}), BLO_ERROR_FILE, "more than 1023 bytes");
}
END_TEST

START_TEST(bombs_are_refused) {
    enum { LARGE = 20 << 20 };
    uint8_t *zeros = calloc(1, LARGE);
    size_t count = 0;
    /* An image's file that says what it is. */
    packed *into = packed_begin(FORM_TAR_XZ);
    packed_add(into, "a/large.png", zeros, LARGE);
    uint8_t *bytes = packed_end(into, &count);
    check_refused(files_write("large", bytes, count), BLO_ERROR_FILE, "'a/large.png' is larger than 16 MiB");
    /* Anything that unpacks to more than the budget, declared (tar) or not found out but by unpacking. */
    const blo_report report = {message, sizeof message};
    blo_image_list list = {.source = "bomb", .options = &options, .budget = LARGE - 1};
    ck_assert_int_eq(blo_archive_read(bytes, count, &list, &report), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "bomb: unpacks to more than is sound"));
    free(bytes);
    into = packed_begin(FORM_TAR_GZ);
    packed_add(into, "a/note1", zeros, LARGE / 2);
    packed_add(into, "a/note2", zeros, LARGE / 2);
    bytes = packed_end(into, &count);
    list.budget = LARGE - 1;
    ck_assert_int_eq(blo_archive_read(bytes, count, &list, &report), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "at 'a/note2'"));
    free(bytes);
    /* A zip whose directory says 100 bytes. */
    into = packed_begin(FORM_ZIP);
    packed_add(into, "a/note", zeros, LARGE);
    bytes = packed_end(into, &count);
    size_t at = count - 4;
    for (; memcmp(bytes + at, "PK\1\2", 4) != 0; at--) {
    }
    memcpy(bytes + at + 24, "\144\0\0\0", 4);
    list.budget = LARGE / 2;
    ck_assert_int_eq(blo_archive_read(bytes, count, &list, &report), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "unpacks to more than is sound"));
    blo_image_list_free(&list);
    free(bytes);
    free(zeros);
    ck_assert_uint_eq(blo_archive_budget(1000), (256u << 20) + 200000);
    ck_assert_uint_eq(blo_archive_budget(SIZE_MAX), UINT64_MAX);
}
END_TEST

START_TEST(images_that_decode_to_too_much_are_refused) {
    static uint8_t rows[1000 * 1000];
    static drawing made;
    const blo_report report = {message, sizeof message};
    size_t count = 0;
    drawing_make(1000, 1000, PNG_COLOR_TYPE_GRAY, 8, false, rows, &made);
    packed *into = packed_begin(FORM_ZIP);
    packed_add(into, "a/1.png", made.bytes, made.count);
    packed_add(into, "a/2.png", made.bytes, made.count);
    uint8_t *bytes = packed_end(into, &count);
    blo_image_list list = {.source = "bomb", .options = &options, .budget = 1500000};
    ck_assert_int_eq(blo_archive_read(bytes, count, &list, &report), BLO_ERROR_FILE);
    ck_assert_msg(strstr(message, "bomb: 'a/2.png': cannot be read as PNG: it decodes to more") != NULL, "%s", message);
    ck_assert_int_eq(list.count, 1);
    blo_image_list_free(&list);
    free(bytes);
}
END_TEST

START_TEST(impossible_options_are_refused) {
    const char *path = pack(FORM_TAR, THREE_CLASSES);
    options.image_size = 0;
    check_refused(path, BLO_ERROR_ARGUMENT, "image_size is 0; it can be 1 to 1024");
    options.image_size = 1025;
    check_refused(path, BLO_ERROR_ARGUMENT, "1025");
    options.image_size = 28;
    options.channels = 2;
    check_refused(path, BLO_ERROR_ARGUMENT, "channels is 2; it can be 1 or 3");
    options.channels = 1;
    options.rotations = (blo_choice)3;
    check_refused(path, BLO_ERROR_ARGUMENT, "AUTO, ON or OFF");
    ck_assert_int_eq(blo_images_open(NULL, NULL, NULL, NULL, 0), BLO_ERROR_ARGUMENT);
}
END_TEST

/* The examples of FIPS 180. */
START_TEST(digests_are_those_of_the_standard) {
    static uint8_t million[1000000];
    memset(million, 'a', sizeof million);
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    const struct {
        const void *bytes;
        size_t count;
        uint8_t first[4];
    } cases[] = {{"", 0, {0xe3, 0xb0, 0xc4, 0x42}},
                 {"abc", 3, {0xba, 0x78, 0x16, 0xbf}},
                 {two_blocks, 56, {0x24, 0x8d, 0x6a, 0x61}},
                 {million, sizeof million, {0xcd, 0xc7, 0x6e, 0x5c}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t digest[BLO_SHA256_BYTES];
        blo_sha256(cases[i].bytes, cases[i].count, digest);
        ck_assert_mem_eq(digest, cases[i].first, 4);
    }
}
END_TEST

int main(void) {
    files_begin();
    TCase *tests = tcase_create("images");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, every_form_of_archive_gives_the_same_classes, 0, FORMS);
    tcase_add_test(tests, a_folder_gives_the_same_classes);
    tcase_add_test(tests, rotations_are_further_classes);
    tcase_add_test(tests, colour_keeps_its_channels_and_does_not_turn_by_default);
    tcase_add_loop_test(tests, light_paper_is_inverted, 0, 6);
    tcase_add_test(tests, folders_of_splits_are_splits);
    tcase_add_test(tests, omniglots_names_have_their_split);
    tcase_add_test(tests, without_a_split_the_seed_makes_one);
    tcase_add_loop_test(tests, names_are_only_labels, 0, FORMS);
    tcase_add_test(tests, an_archive_is_decoded_once);
    tcase_add_test(tests, a_damaged_cache_is_rebuilt);
    tcase_add_test(tests, without_a_cache_folder_all_works);
    tcase_add_loop_test(tests, cut_archives_are_refused, 0, FORMS);
    tcase_add_loop_test(tests, damaged_archives_are_refused_or_it_does_not_matter, FORM_TAR, FORM_ZIP);
    tcase_add_test(tests, a_tar_without_an_end_is_refused);
    tcase_add_test(tests, archives_of_other_things_are_refused);
    tcase_add_test(tests, images_in_wrong_places_are_refused);
    tcase_add_test(tests, bombs_are_refused);
    tcase_add_test(tests, images_that_decode_to_too_much_are_refused);
    tcase_add_test(tests, impossible_options_are_refused);
    tcase_add_test(tests, digests_are_those_of_the_standard);
    const int status = run_case("images", tests);
    files_end();
    return status;
}
