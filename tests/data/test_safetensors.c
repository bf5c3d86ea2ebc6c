/* safetensors files: there and back, the bytes as the format has them, and every way a header may lie. */
#include <clbilevel/safetensors.h>

#include "files.h"
#include "runner.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char message[600];

#define MUST(call) ck_assert_msg((call) == BLO_OK, "%s: %s", #call, message)

/* A file of header TEXT and DATA bytes counting up from 1; returns its path. */
static const char *write_file(const char *name, const char *text, size_t data) {
    uint8_t file[4000] = {0};
    const size_t length = strlen(text);
    file[0] = (uint8_t)(length & 0xff);
    file[1] = (uint8_t)(length >> 8);
    memcpy(file + 8, text, length);
    for (size_t i = 0; i < data; i++) {
        file[8 + length + i] = (uint8_t)(i + 1);
    }
    return files_write(name, file, 8 + length + data);
}

static blo_safetensors *read_good(const char *path) {
    blo_safetensors *file = NULL;
    MUST(blo_safetensors_read(path, &file, message, sizeof message));
    return file;
}

static void check_refused(const char *path, const char *part) {
    blo_safetensors *file = (blo_safetensors *)message;
    ck_assert_int_eq(blo_safetensors_read(path, &file, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_msg(strstr(message, part) != NULL, "'%s' lacks '%s'", message, part);
    ck_assert_msg(strstr(message, path) != NULL, "'%s' does not name %s", message, path);
    ck_assert_ptr_null(file);
}

static void check_array(const blo_safetensors *file, const char *name, blo_dtype dtype, int rank, const int64_t *shape,
                        const void *bytes) {
    const blo_array *array = blo_safetensors_find(file, name);
    ck_assert_msg(array != NULL, "no %s", name);
    ck_assert_int_eq(array->dtype, dtype);
    ck_assert_int_eq(array->rank, rank);
    for (int axis = 0; axis < rank; axis++) {
        ck_assert_int_eq(array->shape[axis], shape[axis]);
    }
    if (blo_array_bytes(array) != 0) {
        ck_assert_mem_eq(array->data, bytes, blo_array_bytes(array));
    }
}

START_TEST(come_back_as_they_were_written) {
    static const int64_t matrix[] = {2, 3}, none[] = {4, 0}, three[] = {3}, deep[] = {1, 1, 1, 2, 1, 1, 1, 1};
    const float floats[] = {1.5f, -2, 3, 4, 5, 6e30f};
    const double scalar = 0.1, two[] = {7, 8};
    const int32_t integers[] = {INT32_MIN, 0, INT32_MAX};
    const uint8_t bytes[] = {0, 128, 255};
    static const char odd[] = "odd \"name\" \\ \n \xc3\xa9";
    blo_safetensors *file = NULL;
    MUST(blo_safetensors_create(&file, message, sizeof message));
    MUST(blo_safetensors_add(file, "bytes", BLO_UINT8, 1, three, bytes, message, sizeof message));
    MUST(blo_safetensors_add(file, "upper.weight", BLO_FLOAT, 2, matrix, floats, message, sizeof message));
    MUST(blo_safetensors_add(file, "integers", BLO_INT32, 1, three, integers, message, sizeof message));
    MUST(blo_safetensors_add(file, "none", BLO_FLOAT, 2, none, NULL, message, sizeof message));
    MUST(blo_safetensors_add(file, "scalar", BLO_DOUBLE, 0, NULL, &scalar, message, sizeof message));
    MUST(blo_safetensors_add(file, odd, BLO_DOUBLE, 8, deep, two, message, sizeof message));
    MUST(blo_safetensors_set_metadata(file, "method", "first", message, sizeof message));
    MUST(blo_safetensors_set_metadata(file, "empty", "", message, sizeof message));
    MUST(blo_safetensors_set_metadata(file, "method", "IAPTT-GM", message, sizeof message));
    MUST(blo_safetensors_write(file, files_path("model"), message, sizeof message));
    blo_safetensors_destroy(file);
    ck_assert_int_eq(files_count(), 1); /* no temporary file stays */

    file = read_good(files_path("model"));
    ck_assert_int_eq(blo_safetensors_count(file), 6);
    ck_assert_str_eq(blo_safetensors_name(file, 0), "scalar"); /* larger elements first */
    ck_assert_ptr_null(blo_safetensors_name(file, 6));
    check_array(file, "bytes", BLO_UINT8, 1, three, bytes);
    check_array(file, "upper.weight", BLO_FLOAT, 2, matrix, floats);
    check_array(file, "integers", BLO_INT32, 1, three, integers);
    check_array(file, "none", BLO_FLOAT, 2, none, NULL);
    check_array(file, "scalar", BLO_DOUBLE, 0, NULL, &scalar);
    check_array(file, odd, BLO_DOUBLE, 8, deep, two);
    ck_assert_int_eq(blo_safetensors_metadata_count(file), 2);
    ck_assert_str_eq(blo_safetensors_metadata(file, "method"), "IAPTT-GM");
    ck_assert_str_eq(blo_safetensors_metadata(file, "empty"), "");
    ck_assert_ptr_null(blo_safetensors_metadata(file, "other"));
    ck_assert_ptr_null(blo_safetensors_find(file, "other"));
    blo_safetensors_destroy(file);
}
END_TEST

START_TEST(are_written_as_the_format_says) {
    static const char expected[] = "\x48\0\0\0\0\0\0\0{\"__metadata__\":{\"a\":\"b\"},"
                                   "\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    uint8_t bytes[200];
    blo_safetensors *file = NULL;
    MUST(blo_safetensors_create(&file, message, sizeof message));
    MUST(blo_safetensors_add(file, "x", BLO_UINT8, 1, (const int64_t[]){2}, "\7\x9", message, sizeof message));
    MUST(blo_safetensors_set_metadata(file, "a", "b", message, sizeof message));
    MUST(blo_safetensors_write(file, files_path("format"), message, sizeof message));
    blo_safetensors_destroy(file);
    FILE *opened = fopen(files_path("format"), "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, opened);
    fclose(opened);
    const size_t header = bytes[0];
    ck_assert_uint_eq(header % 8, 0);
    ck_assert_uint_eq(count, 8 + header + 2);
    ck_assert_mem_eq(bytes + 8, expected + 8, sizeof expected - 9);
    for (size_t i = 8 + sizeof expected - 9; i < 8 + header; i++) {
        ck_assert_int_eq(bytes[i], ' ');
    }
    ck_assert_mem_eq(bytes + 8 + header, "\7\x9", 2);
}
END_TEST

START_TEST(places_may_be_in_any_order) {
    blo_safetensors *file = read_good(write_file("order",
                                                 "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]},"
                                                 "\"a\":{\"shape\":[1],\"data_offsets\":[0,4],\"dtype\":\"I32\"},"
                                                 "\"e\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[4,4]}}    ",
                                                 6));
    ck_assert_str_eq(blo_safetensors_name(file, 0), "a");
    ck_assert_str_eq(blo_safetensors_name(file, 2), "b");
    check_array(file, "b", BLO_UINT8, 1, (const int64_t[]){2}, "\5\6");
    blo_safetensors_destroy(file);
    file = read_good(write_file("nothing", "{}", 0));
    ck_assert_int_eq(blo_safetensors_count(file), 0);
    blo_safetensors_destroy(file);
}
END_TEST

#define ENTRY(name, dtype, shape, begin, end)                                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static const struct {
    const char *text;
    size_t data;
    const char *part;
} HOSTILE[] = {
    {"", 0, "does not start with {"},
    {"[]", 0, "does not start with {"},
    {" {}", 0, "does not start with {"},
    {"{", 0, "is not JSON"},
    {"{}x", 0, "is not JSON"},
    {"{\"a\":1}", 0, "'a' is no array"},
    {"{\"a\":[]}", 0, "'a' is no array"},
    {"{\"a\":{}}", 0, "'a' is no array"},
    {"{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "'' is no array"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":1}}", 1, "'a' is no array"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"more\":[0,1]}}", 1, "no data_offsets"},
    {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "no dtype"},
    {"{" ENTRY("a", "BF16", "[1]", "0", "2") "}", 2, "type BF16; F32, F64, I32 and U8"},
    {"{" ENTRY("a", "I64", "[1]", "0", "8") "}", 8, "type I64"},
    {"{" ENTRY("a", "U8", "1", "0", "1") "}", 1, "has no shape"},
    {"{" ENTRY("a", "U8", "[-1]", "0", "1") "}", 1, "whole numbers"},
    {"{" ENTRY("a", "U8", "[1.0]", "0", "1") "}", 1, "whole numbers"},
    {"{" ENTRY("a", "U8", "[true]", "0", "1") "}", 1, "whole numbers"},
    {"{" ENTRY("a", "U8", "[1e400]", "0", "1") "}", 1, "is not JSON"},
    {"{" ENTRY("a", "U8", "[9223372036854775808]", "0", "1") "}", 1, "is not JSON"},
    {"{" ENTRY("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, "more than 8 axes"},
    {"{" ENTRY("a", "U8", "[4294967296,4294967296]", "0", "0") "}", 0, "larger than any memory"},
    {"{" ENTRY("a", "F64", "[9223372036854775807]", "0", "0") "}", 0, "larger than any memory"},
    {"{" ENTRY("a", "U8", "[9223372036854775807]", "0", "9223372036854775807") "}", 5, "5 bytes of data"},
    {"{" ENTRY("a", "F32", "[2]", "0", "4") "}", 4, "has 4 bytes where its type and shape make 8"},
    {"{" ENTRY("a", "U8", "[1]", "1", "0") "}", 1, "in order"},
    {"{" ENTRY("a", "U8", "[1]", "-1", "0") "}", 1, "in order"},
    {"{" ENTRY("a", "U8", "[1]", "0", "1,2") "}", 1, "in order"},
    {"{" ENTRY("a", "U8", "[1]", "1", "2") "}", 2, "leave a hole"},
    {"{" ENTRY("a", "U8", "[2]", "0", "2") "," ENTRY("b", "U8", "[2]", "1", "3") "}", 3, "'b' begins at byte 1"},
    {"{" ENTRY("a", "U8", "[2]", "0", "2") "," ENTRY("b", "U8", "[2]", "0", "2") "}", 2, "arrays overlap"},
    {"{" ENTRY("a", "U8", "[2]", "0", "2") "," ENTRY("b", "U8", "[1]", "3", "4") "}", 4, "leave a hole"},
    {"{" ENTRY("a", "U8", "[2]", "0", "2") "}", 3, "has 3 bytes of data where its header says 2"},
    {"{" ENTRY("a", "U8", "[2]", "0", "2") "}", 1, "has 1 bytes of data where its header says 2"},
    {"{}", 1, "has 1 bytes of data where its header says 0"},
    {"{" ENTRY("a", "U8", "[1]", "0", "1") "," ENTRY("a", "U8", "[1]", "1", "2") "}", 2, "duplicate"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "duplicate"},
    {"{" ENTRY("a", "U8", "[[[1]]]", "0", "1") "}", 1, "nests deeper than 3"},
    {"{\"a\\u0000b\":1}", 0, "is not JSON"},
    {"{\"\xff\":1}", 0, "is not JSON"},
    {"{\"__metadata__\":[]}", 0, "'__metadata__' is not a map of strings"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "'__metadata__' is not a map of strings"},
    {"{\"bell\\u0007\":1}", 0, "'bell?' is no array"},
};

START_TEST(hostile_headers_are_refused) {
    check_refused(write_file("hostile", HOSTILE[_i].text, HOSTILE[_i].data), HOSTILE[_i].part);
}
END_TEST

START_TEST(hostile_lengths_are_refused) {
    static uint8_t large[(16 << 20) + 20];
    check_refused(files_write("short", "\2\0\0\0\0\0\0", 7), "7 bytes cannot hold a header");
    check_refused(files_write("none", "", 0), "0 bytes cannot hold a header");
    check_refused(files_write("beyond", "\3\0\0\0\0\0\0\0{}", 10), "10 bytes cannot hold a header of 3");
    check_refused(files_write("huge", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "header of 18446744073709551615");
    memset(large, ' ', sizeof large);
    memcpy(large, "\1\0\0\1\0\0\0\0{}", 10);
    check_refused(files_write("long", large, sizeof large), "longer than 16 MiB");
    memset(large + 8, '[', sizeof large - 8);
    memcpy(large, "\0\0\0\1\0\0\0\0{", 9);
    check_refused(files_write("deep", large, 8 + (16 << 20)), "nests deeper than 3");
}
END_TEST

START_TEST(wrong_additions_are_refused) {
    blo_safetensors *file = NULL;
    const int64_t two = 2, minus = -1;
    MUST(blo_safetensors_create(&file, message, sizeof message));
    MUST(blo_safetensors_add(file, "a", BLO_UINT8, 1, &two, "xy", message, sizeof message));
    const struct {
        const char *name;
        blo_dtype dtype;
        int rank;
        const int64_t *shape;
        const void *data;
        blo_status wanted;
    } cases[] = {{"a", BLO_UINT8, 1, &two, "xy", BLO_ERROR_ARGUMENT},
                 {"", BLO_UINT8, 1, &two, "xy", BLO_ERROR_ARGUMENT},
                 {"__metadata__", BLO_UINT8, 1, &two, "xy", BLO_ERROR_ARGUMENT},
                 {"\xff", BLO_UINT8, 1, &two, "xy", BLO_ERROR_ARGUMENT},
                 {"b", (blo_dtype)9, 1, &two, "xy", BLO_ERROR_DTYPE},
                 {"b", BLO_UINT8, 9, &two, "xy", BLO_ERROR_ARGUMENT},
                 {"b", BLO_UINT8, 1, &minus, "xy", BLO_ERROR_ARGUMENT},
                 {"b", BLO_UINT8, 1, NULL, "xy", BLO_ERROR_ARGUMENT},
                 {"b", BLO_UINT8, 1, &two, NULL, BLO_ERROR_ARGUMENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_int_eq(blo_safetensors_add(file, cases[i].name, cases[i].dtype, cases[i].rank, cases[i].shape,
                                             cases[i].data, message, sizeof message),
                         cases[i].wanted);
    }
    ck_assert_int_eq(blo_safetensors_set_metadata(file, "k", "\xff", message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_safetensors_count(file), 1);
    blo_safetensors_destroy(file);
}
END_TEST

START_TEST(a_failed_write_leaves_what_was_there) {
    char folder[300], path[400];
    blo_safetensors *file = NULL;
    MUST(blo_safetensors_create(&file, message, sizeof message));
    snprintf(path, sizeof path, "%s", files_write("kept", "old", 3));
    snprintf(folder, sizeof folder, "%s/nowhere/model", files_folder());
    ck_assert_int_eq(blo_safetensors_write(file, folder, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "cannot be written"));
    ck_assert_int_eq(mkdir(files_path("folder"), 0777), 0); /* in the way of the rename */
    ck_assert_int_eq(blo_safetensors_write(file, files_path("folder"), message, sizeof message), BLO_ERROR_FILE);
    ck_assert_int_eq(rmdir(files_path("folder")), 0);
    ck_assert_int_eq(files_count(), 1);
    MUST(blo_safetensors_write(file, path, message, sizeof message));
    ck_assert_int_eq(files_count(), 1);
    blo_safetensors_destroy(file);
    blo_safetensors_destroy(read_good(path));
}
END_TEST

static void setup(void) {
    files_clear();
}

int main(void) {
    files_begin();
    TCase *tests = tcase_create("safetensors");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, files_clear);
    tcase_add_test(tests, come_back_as_they_were_written);
    tcase_add_test(tests, are_written_as_the_format_says);
    tcase_add_test(tests, places_may_be_in_any_order);
    tcase_add_loop_test(tests, hostile_headers_are_refused, 0, sizeof HOSTILE / sizeof *HOSTILE);
    tcase_add_test(tests, hostile_lengths_are_refused);
    tcase_add_test(tests, wrong_additions_are_refused);
    tcase_add_test(tests, a_failed_write_leaves_what_was_there);
    const int status = run_case("safetensors", tests);
    files_end();
    return status;
}
