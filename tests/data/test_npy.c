/* NumPy files: there and back, versions written by hand, hostile headers, data sets. */
#include <clbilevel/data.h>

#include "files.h"
#include "runner.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char message[600];

/* A file of VERSION with header TEXT and the elements BYTES[COUNT]; returns its path. */
static const char *write_npy(const char *name, int version, const char *text, const void *bytes, size_t count) {
    uint8_t file[2000] = "\x93NUMPY";
    const size_t length = strlen(text), start = version == 1 ? 10 : 12;
    file[6] = (uint8_t)version;
    file[7] = 0;
    file[8] = (uint8_t)(length & 0xff);
    file[9] = (uint8_t)(length >> 8);
    memcpy(file + start, text, length);
    memcpy(file + start + length, bytes, count);
    return files_write(name, file, start + length + count);
}

static void check_refused(const char *path, const char *expected) {
    blo_array array;
    memset(&array, 0xff, sizeof array);
    ck_assert_int_eq(blo_npy_read(path, &array, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_msg(strstr(message, expected) != NULL, "'%s' lacks '%s'", message, expected);
    ck_assert_msg(strstr(message, path) != NULL, "'%s' does not name %s", message, path);
    ck_assert_ptr_null(array.data);
}

START_TEST(comes_back_as_it_was_written) {
    static const struct {
        int rank;
        int64_t shape[BLO_MAX_RANK];
        int64_t count;
    } shapes[] = {{0, {0}, 1}, {1, {6}, 6}, {2, {2, 3}, 6}, {8, {1, 2, 1, 1, 3, 1, 1, 1}, 6}, {2, {0, 3}, 0}};
    const uint8_t bytes[48] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 250, 251, 252, 253, 254, 255};
    for (int dtype = BLO_FLOAT; dtype <= BLO_UINT8; dtype++) {
        static const size_t element[] = {4, 8, 4, 1};
        blo_array array;
        const size_t count = (size_t)shapes[_i].count * element[dtype];
        ck_assert_int_eq(blo_npy_write(files_path("round.npy"), (blo_dtype)dtype, shapes[_i].rank, shapes[_i].shape,
                                       count == 0 ? NULL : bytes, message, sizeof message),
                         BLO_OK);
        ck_assert_int_eq(blo_npy_read(files_path("round.npy"), &array, message, sizeof message), BLO_OK);
        ck_assert_int_eq(array.dtype, dtype);
        ck_assert_int_eq(array.rank, shapes[_i].rank);
        ck_assert_mem_eq(array.shape, shapes[_i].shape, (size_t)array.rank * sizeof array.shape[0]);
        ck_assert_uint_eq(blo_array_bytes(&array), count);
        if (count != 0) {
            ck_assert_mem_eq(array.data, bytes, count);
        }
        blo_array_free(&array);
    }
}
END_TEST

START_TEST(writes_what_numpy_writes) {
    const char expected[] = "\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }";
    const int32_t values[] = {1, -1, 7};
    uint8_t file[200];
    const int64_t shape[] = {3};
    ck_assert_int_eq(blo_npy_write(files_path("three.npy"), BLO_INT32, 1, shape, values, message, sizeof message),
                     BLO_OK);
    FILE *opened = fopen(files_path("three.npy"), "rb");
    ck_assert_uint_eq(fread(file, 1, sizeof file, opened), 128 + sizeof values);
    fclose(opened);
    ck_assert_mem_eq(file, expected, sizeof expected - 1);
    ck_assert_int_eq(file[127], '\n');
    ck_assert_int_eq(file[126], ' ');
    ck_assert_mem_eq(file + 128, values, sizeof values);
}
END_TEST

START_TEST(reads_every_version) {
    const float values[] = {1.5f, -2.0f};
    blo_array array;
    const char *path =
        write_npy("version.npy", _i, "{\"shape\":(2,),'fortran_order': True, 'descr': '<f4'}  \n", values, 8);
    ck_assert_msg(blo_npy_read(path, &array, message, sizeof message) == BLO_OK, "%s", message);
    ck_assert_int_eq(array.dtype, BLO_FLOAT);
    ck_assert_mem_eq(array.data, values, sizeof values);
    blo_array_free(&array);
}
END_TEST

START_TEST(narrows_long_integers_and_booleans) {
    const int64_t longs[] = {INT32_MAX, INT32_MIN, 5}, too_long[] = {0, 0, 1ll << 31};
    const int32_t expected[] = {INT32_MAX, INT32_MIN, 5};
    const uint8_t truths[] = {0, 1, 2};
    blo_array array;
    const char *text = "{'descr': '<i8', 'fortran_order': False, 'shape': (3L,), }\n";
    ck_assert_int_eq(blo_npy_read(write_npy("long.npy", 1, text, longs, sizeof longs), &array, message, sizeof message),
                     BLO_OK);
    ck_assert_int_eq(array.dtype, BLO_INT32);
    ck_assert_mem_eq(array.data, expected, sizeof expected);
    blo_array_free(&array);
    check_refused(write_npy("long.npy", 1, text, too_long, sizeof too_long), "2147483648 at index 2");
    text = "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }\n";
    ck_assert_int_eq(blo_npy_read(write_npy("bool.npy", 1, text, truths, 3), &array, message, sizeof message), BLO_OK);
    ck_assert_int_eq(array.dtype, BLO_UINT8);
    ck_assert_mem_eq(array.data, "\0\1\1", 3);
    blo_array_free(&array);
}
END_TEST

#define ENTRIES(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"
#define SHAPED(shape) ENTRIES("'|u1'", "False", shape)

static const struct {
    const char *text, *expected;
} HOSTILE[] = {
    {"", "does not start with {"},
    {"{", "quoted keys"},
    {"{}", "lacks descr"},
    {"{'descr': '|u1', 'shape': (4,)}", "lacks fortran_order"},
    {"{'descr': '|u1', 'fortran_order': False}", "lacks shape"},
    {"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (4,)}", "second key 'descr'"},
    {"{'descr': '|u1', 'order': False, 'shape': (4,)}", "unknown key 'order'"},
    {"{'descr': '|u1' 'fortran_order': False, 'shape': (4,)}", "comma"},
    {"{'descr", "quoted keys"},
    {"{'descr': '|u1", "type ''"},
    {SHAPED("(4,)") "x", "after its }"},
    {SHAPED("(4)"), "tuple"},
    {SHAPED("(4"), "tuple"},
    {SHAPED("(,)"), "tuple"},
    {SHAPED("(-4,)"), "tuple"},
    {SHAPED("4,"), "tuple"},
    {SHAPED("(4 1)"), "tuple"},
    {SHAPED("(4.0,)"), "tuple"},
    {SHAPED("(1, 1, 1, 1, 1, 1, 1, 1, 4)"), "at most 8"},
    {SHAPED("(9223372036854775808,)"), "2^63"},
    {SHAPED("(9223372036854775807, 2)"), "multiplies"},
    {SHAPED("(4294967296, 4294967296, 4)"), "multiplies"},
    {SHAPED("(9223372036854775807,)"), "4 bytes follow"},
    {SHAPED("(3,)"), "4 bytes follow the NPY header, its shape and type make 3"},
    {SHAPED("(5,)"), "make 5"},
    {SHAPED("(0,)"), "make 0"},
    {ENTRIES("'>f4'", "False", "(1,)"), "'>f4'"},
    {ENTRIES("'|O'", "False", "(1,)"), "'|O'"},
    {ENTRIES("[('a', '<f4')]", "False", "(1,)"), "are read"},
    {ENTRIES("'|u1'", "True", "(2, 2)"), "Fortran"},
    {ENTRIES("'|u1'", "1", "(2, 2)"), "True or False"},
};

START_TEST(refuses_a_hostile_header) {
    check_refused(write_npy("hostile.npy", 1, HOSTILE[_i].text, "abcd", 4), HOSTILE[_i].expected);
}
END_TEST

START_TEST(refuses_a_file_cut_anywhere) {
    uint8_t bytes[300];
    const int64_t shape[] = {4};
    ck_assert_int_eq(blo_npy_write(files_path("whole.npy"), BLO_UINT8, 1, shape, "abcd", message, sizeof message),
                     BLO_OK);
    FILE *opened = fopen(files_path("whole.npy"), "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, opened);
    fclose(opened);
    for (size_t cut = 0; cut < count; cut++) {
        check_refused(files_write("cut.npy", bytes, cut), cut < 8     ? "as an NPY file does"
                                                          : cut < 10  ? "ends within"
                                                          : cut < 128 ? "says its NPY header has"
                                                                      : "bytes follow");
    }
}
END_TEST

START_TEST(refuses_other_magic_version_and_length) {
    check_refused(files_write("magic.npy", "NUMPY\x93\x01\x00\x00\x00", 10), "as an NPY file does");
    check_refused(files_write("version.npy", "\x93NUMPY\x04\x00\x00\x00\x00\x00", 12), "version 4.0");
    check_refused(files_write("version.npy", "\x93NUMPY\x00\x00\x00\x00\x00\x00", 12), "version 0.0");
    check_refused(files_write("version.npy", "\x93NUMPY\x01\x01\x00\x00\x00\x00", 12), "version 1.1");
    check_refused(files_write("length.npy", "\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13),
                  "4294967295 bytes, but only 1 follow");
    check_refused(files_path("missing.npy"), "cannot be opened");
}
END_TEST

START_TEST(a_failed_write_leaves_what_was_there) {
    const int64_t shape[] = {4}, negative[] = {-1}, huge[] = {INT64_MAX, 2};
    struct stat info;
    files_clear();
    ck_assert_int_eq(mkdir(files_path("taken.npy"), 0700), 0);
    ck_assert_int_eq(blo_npy_write(files_path("taken.npy"), BLO_UINT8, 1, shape, "abcd", message, sizeof message),
                     BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "taken.npy"));
    ck_assert_int_eq(files_count(), 1); /* no temporary file stays */
    ck_assert_int_eq(stat(files_path("taken.npy"), &info), 0);
    ck_assert(S_ISDIR(info.st_mode));
    ck_assert_int_eq(blo_npy_write(files_path("no/such.npy"), BLO_UINT8, 1, shape, "abcd", message, sizeof message),
                     BLO_ERROR_FILE);
    ck_assert_int_eq(blo_npy_write(files_path("a"), BLO_UINT8, 1, negative, "abcd", message, sizeof message),
                     BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_npy_write(files_path("a"), BLO_UINT8, 2, huge, "abcd", message, sizeof message),
                     BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_npy_write(files_path("a"), BLO_UINT8, 1, shape, NULL, message, sizeof message),
                     BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_npy_write(files_path("a"), BLO_UINT8, 9, shape, "abcd", message, sizeof message),
                     BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_npy_write(files_path("a"), (blo_dtype)9, 1, shape, "abcd", message, sizeof message),
                     BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(files_count(), 1);
}
END_TEST

START_TEST(replaces_a_file_whole) {
    const int64_t shape[] = {4};
    blo_array array;
    files_clear();
    files_write("old.npy", "old", 3);
    ck_assert_int_eq(blo_npy_write(files_path("old.npy"), BLO_UINT8, 1, shape, "abcd", message, sizeof message),
                     BLO_OK);
    ck_assert_int_eq(files_count(), 1);
    ck_assert_int_eq(blo_npy_read(files_path("old.npy"), &array, message, sizeof message), BLO_OK);
    ck_assert_mem_eq(array.data, "abcd", 4);
    blo_array_free(&array);
}
END_TEST

START_TEST(two_files_make_a_data_set) {
    const int64_t images[] = {2, 1, 1, 3}, four_channels[] = {1, 1, 1, 4}, labels[] = {2}, one[] = {1};
    const int32_t classes[] = {3, 0};
    blo_dataset read;
    files_clear();
    ck_assert_int_eq(blo_npy_read_dataset(files_folder(), &read, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "images.npy"));
    blo_npy_write(files_path("images.npy"), BLO_UINT8, 4, images, "abcdef", NULL, 0);
    blo_npy_write(files_path("labels.npy"), BLO_INT32, 1, labels, classes, NULL, 0);
    ck_assert_msg(blo_npy_read_dataset(files_folder(), &read, message, sizeof message) == BLO_OK, "%s", message);
    ck_assert_mem_eq(read.images.data, "abcdef", 6);
    ck_assert_mem_eq(read.labels.data, classes, sizeof classes);
    ck_assert_int_eq(read.classes, 4);
    blo_dataset_free(&read);
    blo_npy_write(files_path("labels.npy"), BLO_INT32, 1, one, classes, NULL, 0);
    ck_assert_int_eq(blo_npy_read_dataset(files_folder(), &read, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "1 labels, but"));
    blo_npy_write(files_path("images.npy"), BLO_UINT8, 4, four_channels, "abcd", NULL, 0);
    ck_assert_int_eq(blo_npy_read_dataset(files_folder(), &read, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "4 channels"));
    blo_npy_write(files_path("labels.npy"), BLO_FLOAT, 1, one, classes, NULL, 0);
    blo_npy_write(files_path("images.npy"), BLO_UINT8, 3, images, "abcdef", NULL, 0);
    ck_assert_int_eq(blo_npy_read_dataset(files_folder(), &read, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "labels of float"));
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("npy");
    files_begin();
    tcase_add_loop_test(tests, comes_back_as_it_was_written, 0, 5);
    tcase_add_test(tests, writes_what_numpy_writes);
    tcase_add_loop_test(tests, reads_every_version, 1, 4);
    tcase_add_test(tests, narrows_long_integers_and_booleans);
    tcase_add_loop_test(tests, refuses_a_hostile_header, 0, sizeof HOSTILE / sizeof HOSTILE[0]);
    tcase_add_test(tests, refuses_a_file_cut_anywhere);
    tcase_add_test(tests, refuses_other_magic_version_and_length);
    tcase_add_test(tests, a_failed_write_leaves_what_was_there);
    tcase_add_test(tests, replaces_a_file_whole);
    tcase_add_test(tests, two_files_make_a_data_set);
    const int result = run_case("npy", tests);
    files_end();
    return result;
}
