/* Sets of images from archives and folders: classes, splits, rotations, the cache. What may be wrong:
 * test_images_hostile.c. */
#include "data/sha256.h"
#include "image_sets.h"
#include "runner.h"

#include <png.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(every_form_of_archive_gives_the_same_classes) {
    blo_images *images = open_good(pack_drawings((archive_form)_i, THREE_CLASSES));
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
    blo_images *images = open_good(pack_drawings(FORM_TAR, (const char *[]){"a/1.png", "b/1.png", NULL}));
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
    blo_images *images = open_good(pack_drawings(FORM_ZIP, names));
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
    blo_images *images = open_good(pack_drawings(FORM_TAR_XZ, names));
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
    pack_drawings(FORM_TAR_GZ, list);
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
    blo_images *images = open_good(pack_drawings((archive_form)_i, names));
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
    const char *path = pack_drawings(FORM_TAR_XZ, THREE_CLASSES);
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
    kept = open_good(
        pack_drawings(FORM_TAR_XZ, (const char *[]){"a/1.png", NULL})); /* so is another archive of that name */
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
    const char *archive = pack_drawings(FORM_TAR, THREE_CLASSES);
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
    const char *archive = pack_drawings(FORM_ZIP, THREE_CLASSES);
    for (int i = 0; i < 2; i++) {
        blo_images *images = open_good(archive);
        ck_assert(!blo_images_from_cache(images));
        check_three_classes(images);
        blo_images_destroy(images);
    }
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
    tcase_add_checked_fixture(tests, image_sets_setup, image_sets_teardown);
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
    tcase_add_test(tests, digests_are_those_of_the_standard);
    const int status = run_case("images", tests);
    files_end();
    return status;
}
