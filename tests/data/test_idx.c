/* IDX files: good ones, and every way one may be damaged. */
#include <clbilevel/data.h>

#include "files.h"
#include "runner.h"

#include <stdio.h>
#include <string.h>

/* Bytes of 2 images of 2x3. */
static const uint8_t GOOD[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
enum { GOOD_HEADER = 16 };

static char message[400];

static void check_good(const blo_array *array) {
    ck_assert_int_eq(array->dtype, BLO_UINT8);
    ck_assert_int_eq(array->rank, 3);
    ck_assert_int_eq(array->shape[0], 2);
    ck_assert_int_eq(array->shape[1], 2);
    ck_assert_int_eq(array->shape[2], 3);
    ck_assert_mem_eq(array->data, GOOD + GOOD_HEADER, sizeof GOOD - GOOD_HEADER);
}

/* Reading PATH fails as a file should: empty array, a sentence that names the file and has EXPECTED in it. */
static void check_refused(const char *path, const char *expected) {
    blo_array array;
    memset(&array, 0xff, sizeof array);
    ck_assert_int_eq(blo_idx_read(path, &array, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_msg(strstr(message, expected) != NULL, "'%s' lacks '%s'", message, expected);
    ck_assert_msg(strstr(message, path) != NULL, "'%s' does not name %s", message, path);
    ck_assert_ptr_null(array.data);
    ck_assert_int_eq(blo_array_count(&array), 0);
}

START_TEST(reads_plain_and_gzip_by_content) {
    blo_array array;
    const char *path =
        _i == 0 ? files_write("plain.gz", GOOD, sizeof GOOD) : files_write_gzip("packed", GOOD, sizeof GOOD);
    ck_assert_msg(blo_idx_read(path, &array, message, sizeof message) == BLO_OK, "%s", message);
    check_good(&array);
    blo_array_free(&array);
}
END_TEST

START_TEST(reads_integers_of_32_bits) {
    const uint8_t bytes[] = {0, 0, 12, 1, 0, 0, 0, 3, 0, 0, 1, 2, 0xff, 0xff, 0xff, 0xfe, 0x80, 0, 0, 0};
    const int32_t expected[] = {258, -2, INT32_MIN};
    blo_array array;
    ck_assert_int_eq(blo_idx_read(files_write("ints", bytes, sizeof bytes), &array, message, sizeof message), BLO_OK);
    ck_assert_int_eq(array.dtype, BLO_INT32);
    ck_assert_mem_eq(array.data, expected, sizeof expected);
    blo_array_free(&array);
}
END_TEST

START_TEST(reads_no_images_as_an_empty_array) {
    const uint8_t bytes[] = {0, 0, 8, 3, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    blo_array array;
    ck_assert_int_eq(blo_idx_read(files_write("none", bytes, sizeof bytes), &array, message, sizeof message), BLO_OK);
    ck_assert_int_eq(array.shape[0], 0);
    ck_assert_int_eq(blo_array_count(&array), 0);
    ck_assert_ptr_null(array.data);
}
END_TEST

START_TEST(joins_the_members_of_a_gzip_file) {
    uint8_t both[400];
    blo_array array;
    size_t count = 0;
    for (int part = 0; part < 2; part++) {
        const size_t half = 20, start = part == 0 ? 0 : half;
        FILE *file = fopen(files_write_gzip("part", GOOD + start, part == 0 ? half : sizeof GOOD - half), "rb");
        count += fread(both + count, 1, sizeof both - count, file);
        fclose(file);
    }
    ck_assert_int_eq(blo_idx_read(files_write("both", both, count), &array, message, sizeof message), BLO_OK);
    check_good(&array);
    blo_array_free(&array);
}
END_TEST

START_TEST(refuses_a_file_cut_anywhere) {
    check_refused(files_write("cut", GOOD, (size_t)_i), _i < 4             ? "header"
                                                        : _i < GOOD_HEADER ? "extents"
                                                                           : "promises 12 bytes");
}
END_TEST

START_TEST(refuses_bytes_that_follow) {
    uint8_t longer[sizeof GOOD + 1] = {0};
    memcpy(longer, GOOD, sizeof GOOD);
    check_refused(files_write("longer", longer, sizeof longer), "follow");
    check_refused(files_write_gzip("longer.gz", longer, sizeof longer), "follow");
}
END_TEST

START_TEST(refuses_a_wrong_header) {
    static const struct {
        int at;
        uint8_t value;
        const char *expected;
    } wrong[] = {{0, 1, "01 00"},        {1, 2, "00 02"},
                 {2, 0x0D, "0x0d"},      {2, 0, "0x00"},
                 {3, 0, "0 axes"},       {3, 9, "9 axes"},
                 {3, 255, "255 axes"},   {7, 3, "promises 18 bytes"},
                 {7, 1, "bytes follow"}, {4, 0x7f, "can hold at most 12"}};
    uint8_t bytes[sizeof GOOD];
    memcpy(bytes, GOOD, sizeof GOOD);
    bytes[wrong[_i].at] = wrong[_i].value;
    check_refused(files_write("wrong", bytes, sizeof bytes), wrong[_i].expected);
}
END_TEST

START_TEST(refuses_extents_that_overflow) {
    uint8_t bytes[GOOD_HEADER];
    memcpy(bytes, GOOD, 4);
    memset(bytes + 4, 0xff, sizeof bytes - 4);
    check_refused(files_write("overflow", bytes, sizeof bytes), "more bytes than a file can have");
    check_refused(files_write_gzip("overflow.gz", bytes, sizeof bytes), "more bytes than a file can have");
}
END_TEST

/* 2^32 - 1 bytes promised by a few: refused before they are allocated. */
START_TEST(refuses_gzip_that_promises_more_than_it_can_hold) {
    const uint8_t bytes[] = {0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3};
    check_refused(files_write_gzip("bomb", bytes, sizeof bytes), "can hold at most");
}
END_TEST

START_TEST(refuses_gzip_that_is_longer_or_shorter_than_declared) {
    static uint8_t bytes[100000] = {0, 0, 8, 1, 0, 0, 0, 100};
    check_refused(files_write_gzip("long", bytes, sizeof bytes), "bytes follow the 100");
    bytes[6] = 0xff; /* 65,380 of the 92,000 that are there */
    check_refused(files_write_gzip("long", bytes, sizeof bytes), "bytes follow the 65380");
    bytes[5] = 1; /* 130,916 */
    check_refused(files_write_gzip("short", bytes, sizeof bytes), "ends after 99992 bytes");
}
END_TEST

START_TEST(refuses_damaged_gzip) {
    uint8_t bytes[400];
    FILE *file = fopen(files_write_gzip("whole", GOOD, sizeof GOOD), "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t cut = 2; cut < count; cut++) {
        check_refused(files_write("cut", bytes, cut), "end too early");
    }
    bytes[count - 8] ^= 1; /* the checksum */
    check_refused(files_write("checksum", bytes, count), "damaged");
    bytes[count - 8] ^= 1;
    bytes[2] = 7; /* the method */
    check_refused(files_write("method", bytes, count), "damaged");
    bytes[2] = 8;
    bytes[count] = 'x';
    check_refused(files_write("tail", bytes, count + 1), "not gzip");
}
END_TEST

START_TEST(refuses_what_is_no_file) {
    blo_array array;
    check_refused(files_path("missing"), "cannot be opened");
    check_refused(files_folder(), "regular file");
    check_refused("/dev/zero", "regular file");
    ck_assert_int_eq(blo_idx_read(NULL, &array, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_idx_read("x", NULL, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_idx_read(files_path("missing"), &array, NULL, 0), BLO_ERROR_FILE);
}
END_TEST

START_TEST(cuts_its_sentence_to_the_buffer) {
    char small[8];
    blo_array array;
    memset(small, 'x', sizeof small);
    ck_assert_int_eq(blo_idx_read(files_path("missing"), &array, small, sizeof small - 1), BLO_ERROR_FILE);
    ck_assert_uint_eq(strlen(small), sizeof small - 2);
    ck_assert_int_eq(small[sizeof small - 1], 'x');
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("idx");
    files_begin();
    tcase_add_loop_test(tests, reads_plain_and_gzip_by_content, 0, 2);
    tcase_add_test(tests, reads_integers_of_32_bits);
    tcase_add_test(tests, reads_no_images_as_an_empty_array);
    tcase_add_test(tests, joins_the_members_of_a_gzip_file);
    tcase_add_loop_test(tests, refuses_a_file_cut_anywhere, 0, sizeof GOOD);
    tcase_add_test(tests, refuses_bytes_that_follow);
    tcase_add_loop_test(tests, refuses_a_wrong_header, 0, 10);
    tcase_add_test(tests, refuses_extents_that_overflow);
    tcase_add_test(tests, refuses_gzip_that_promises_more_than_it_can_hold);
    tcase_add_test(tests, refuses_gzip_that_is_longer_or_shorter_than_declared);
    tcase_add_test(tests, refuses_damaged_gzip);
    tcase_add_test(tests, refuses_what_is_no_file);
    tcase_add_test(tests, cuts_its_sentence_to_the_buffer);
    const int result = run_case("idx", tests);
    files_end();
    return result;
}
