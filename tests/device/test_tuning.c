/* What tuning found is kept for the same device and driver, beside what others keep; a file that is damaged, of another
 * version or holds what cannot be is as good as none. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/suite.h"
#include "device/device.h"

static char folder[] = "/tmp/clbilevel-tuning-XXXXXX", path[128];

static blo_context *open_context(void) {
    blo_context *context;
    blo_context_options options;
    char message[512] = "";
    blo_context_options_default(&options);
    options.cache_folder = folder;
    ck_assert_msg(blo_context_create(&options, &context, message, sizeof message) == BLO_OK, "%s", message);
    return context;
}

static blo_tile tile_of(blo_dtype dtype) {
    blo_context *context = open_context();
    blo_tile tile = blo_context_facts(context)->tiles[dtype];
    blo_context_destroy(context);
    return tile;
}

static char *read_file(void) {
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 16);
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, (1 << 16) - 1, file), 0);
    fclose(file);
    return text;
}

static void write_file(const char *text, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, size, file), size);
    fclose(file);
}

static void replace(char *text, const char *from, const char *to) {
    char *at = strstr(text, from);
    ck_assert_ptr_nonnull(at);
    ck_assert_uint_eq(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
}

static void keep(blo_dtype dtype, int rows) {
    blo_context *context = open_context();
    const blo_tile tile = {.rows = rows, .vectors = 2, .vector = 8, .flops_per_second = 1e9};
    ck_assert_msg(blo_tuning_keep(context, dtype, &tile) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_int_eq(blo_context_facts(context)->tiles[dtype].rows, rows);
    blo_context_destroy(context);
}

START_TEST(a_kept_tile_comes_back) {
    ck_assert_int_eq(tile_of(BLO_FLOAT).rows, 0);
    keep(BLO_FLOAT, 7);
    keep(BLO_DOUBLE, 5);
    keep(BLO_FLOAT, 9);
    blo_tile tile = tile_of(BLO_FLOAT);
    ck_assert(tile.rows == 9 && tile.vectors == 2 && tile.vector == 8);
    ck_assert_int_eq(tile_of(BLO_DOUBLE).rows, 5);
    remove(path);
}
END_TEST

/* A launch's seconds, queued and replayed. */
static void keep_launch(double queued, double replayed) {
    blo_context *context = open_context();
    ck_assert_msg(blo_tuning_keep_replay(context, queued, replayed) == BLO_OK, "%s", blo_context_error(context));
    blo_context_destroy(context);
}

static void check_launch(double queued, double replayed) {
    blo_context *context = open_context();
    const blo_device_facts *facts = blo_context_facts(context);
    ck_assert_double_eq_tol(facts->queued_seconds, queued, 1e-12 + 1e-5 * queued); /* six digits are kept */
    ck_assert_double_eq_tol(facts->replayed_seconds, replayed, 1e-12 + 1e-5 * replayed);
    blo_context_destroy(context);
}

START_TEST(kept_seconds_of_a_launch_come_back_beside_the_tiles) {
    keep(BLO_FLOAT, 7);
    check_launch(0, 0); /* as in a file from before there were any */
    keep_launch(2e-6, 1e-6);
    check_launch(2e-6, 1e-6);
    keep(BLO_FLOAT, 9);
    check_launch(2e-6, 1e-6);
    ck_assert_int_eq(tile_of(BLO_FLOAT).rows, 9);
    char *text = read_file();
    replace(text, "replayed_seconds", "reployed_seconds"); /* one alone is nothing */
    write_file(text, strlen(text));
    check_launch(0, 0);
    free(text);
    keep_launch(-1, 1e-6);
    check_launch(0, 0);
    remove(path);
}
END_TEST

START_TEST(what_a_launch_costs_is_measured_and_kept) {
    double queued = 0, replayed = 0;
    blo_context *context = open_context();
    blo_status status = blo_context_tune_replay(context, &queued, &replayed);
    if (status != BLO_ERROR_UNSUPPORTED) { /* the device may not record */
        ck_assert_msg(status == BLO_OK, "%s", blo_context_error(context));
        ck_assert_double_gt(queued, 0);
        ck_assert_double_gt(replayed, 0);
        ck_assert(blo_context_facts(context)->replays == (replayed < 0.9 * queued));
        check_launch(queued, replayed);
    }
    blo_context_destroy(context);
    remove(path);
}
END_TEST

START_TEST(other_devices_keep_theirs) {
    keep(BLO_FLOAT, 7);
    char *text = read_file();
    replace(text, "\"driver\"", "\"drover\"");
    write_file(text, strlen(text));
    ck_assert_int_eq(tile_of(BLO_FLOAT).rows, 0);
    keep(BLO_FLOAT, 8);
    free(text);
    text = read_file();
    ck_assert(strstr(text, "\"rows\": 7") && strstr(text, "\"rows\": 8") && tile_of(BLO_FLOAT).rows == 8);
    free(text);
    remove(path);
}
END_TEST

START_TEST(what_cannot_be_is_ignored) {
    static const char *const changes[][2] = {{"\"version\": 1", "\"version\": 2"}, {"\"rows\": 7", "\"rows\": 0"},
                                             {"\"rows\": 7", "\"rows\": x"},       {"\"vectors\": 2", "\"vectors\": 4"},
                                             {"\"vector\": 8", "\"vector\": 5"},   {"\"vector\": 8", "\"vektor\": 8"}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        remove(path);
        keep(BLO_FLOAT, 7);
        char *text = read_file();
        replace(text, changes[i][0], changes[i][1]);
        write_file(text, strlen(text));
        ck_assert_int_eq(tile_of(BLO_FLOAT).rows, 0);
        free(text);
    }
    remove(path);
}
END_TEST

START_TEST(a_cut_file_is_ignored_and_replaced) {
    keep(BLO_FLOAT, 7);
    char *text = read_file();
    for (size_t size = 0; size < strlen(text) - 1; size += 13) {
        write_file(text, size);
        ck_assert_int_eq(tile_of(BLO_FLOAT).rows, 0);
    }
    keep(BLO_FLOAT, 6);
    ck_assert_int_eq(tile_of(BLO_FLOAT).rows, 6);
    free(text);
    remove(path);
}
END_TEST

int main(void) {
    unsetenv("CLBILEVEL_REPLAY");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/tuning.json", folder);
    Suite *suite = suite_create("tuning");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 120);
    tcase_add_test(files, a_kept_tile_comes_back);
    tcase_add_test(files, kept_seconds_of_a_launch_come_back_beside_the_tiles);
    tcase_add_test(files, what_a_launch_costs_is_measured_and_kept);
    tcase_add_test(files, other_devices_keep_theirs);
    tcase_add_test(files, what_cannot_be_is_ignored);
    tcase_add_test(files, a_cut_file_is_ignored_and_replaced);
    suite_add_tcase(suite, files);
    int failed = run_suite_here(suite);
    rmdir(folder);
    return failed;
}
