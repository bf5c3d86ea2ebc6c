/* Archives and folders that are cut, damaged, of other things, or larger than they say; options that cannot be. */
#include "data/archive.h"
#include "image_sets.h"
#include "runner.h"

#include <png.h>
#include <string.h>
#include <sys/stat.h>

START_TEST(cut_archives_are_refused) {
    static uint8_t bytes[1 << 17];
    pack_drawings((archive_form)_i, THREE_CLASSES);
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
    blo_images *good = open_good(pack_drawings((archive_form)_i, THREE_CLASSES)), *images = NULL;
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
    pack_drawings(FORM_TAR, THREE_CLASSES);
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
    check_refused(pack_drawings(FORM_TAR, (const char *[]){"a/1.png", "2.png", NULL}), BLO_ERROR_FILE,
                  "'2.png' lies in no folder of a class");
    check_refused(pack_drawings(FORM_TAR, (const char *[]){"a/1.png", "a/./1.png", NULL}), BLO_ERROR_FILE,
                  "holds 'a/1.png' twice");
    char name[1200];
    memset(name, 'n', sizeof name);
    memcpy(name, "a/", 2);
    memcpy(name + sizeof name - 5, ".png", 5);
    check_refused(pack_drawings(FORM_TAR, (const char *[]){name, NULL}), BLO_ERROR_FILE, "more than 1023 bytes");
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
    const char *path = pack_drawings(FORM_TAR, THREE_CLASSES);
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

int main(void) {
    files_begin();
    TCase *tests = tcase_create("images_hostile");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, image_sets_setup, image_sets_teardown);
    tcase_add_loop_test(tests, cut_archives_are_refused, 0, FORMS);
    tcase_add_loop_test(tests, damaged_archives_are_refused_or_it_does_not_matter, FORM_TAR, FORM_ZIP);
    tcase_add_test(tests, a_tar_without_an_end_is_refused);
    tcase_add_test(tests, archives_of_other_things_are_refused);
    tcase_add_test(tests, images_in_wrong_places_are_refused);
    tcase_add_test(tests, bombs_are_refused);
    tcase_add_test(tests, images_that_decode_to_too_much_are_refused);
    tcase_add_test(tests, impossible_options_are_refused);
    const int status = run_case("images_hostile", tests);
    files_end();
    return status;
}
