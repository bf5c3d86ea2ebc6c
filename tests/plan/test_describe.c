/* What a plan says of its launches in the profile: words, multiplications and additions, bytes; counted by hand here.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <clbilevel/clbilevel.h>

#include "../support/suite.h"
#include "plan/plan.h"

#define MUST(call) ck_assert_msg((call) == BLO_OK, "%s", blo_context_error(context))

static blo_context *context;

static void open_dumping_context(blo_gemm gemm, const char *dump_folder) {
    blo_context_options options;
    char message[1024];
    blo_context_options_default(&options);
    options.profile = true;
    options.gemm = gemm;
    options.dump_folder = dump_folder;
    ck_assert_msg(blo_context_create(&options, &context, message, sizeof message) == BLO_OK, "%s", message);
}

static void open_context(blo_gemm gemm) {
    open_dumping_context(gemm, NULL);
}

static blo_buffer *buffer_of(uint64_t bytes) {
    blo_buffer *buffer = NULL;
    MUST(blo_buffer_create(context, (size_t)bytes, &buffer));
    MUST(blo_buffer_zero(context, buffer, 0, (size_t)bytes));
    return buffer;
}

/* Runs the plan of OUTPUT twice, as part PART, on inputs of zeros, INPUT_BYTES each. */
static void run_twice(blo_node *output, const char *part, int n_inputs, const uint64_t *input_bytes) {
    blo_plan *plan = NULL;
    blo_place inputs[4] = {{0}};
    MUST(blo_plan_create(context, 1, &output, NULL, &plan));
    blo_plan_set_part(plan, part);
    blo_buffer *buffers[6] = {buffer_of(blo_plan_output_bytes(plan, 0)), buffer_of(blo_plan_scratch_bytes(plan))};
    for (int i = 0; i < n_inputs; i++)
        inputs[i].buffer = buffers[2 + i] = buffer_of(input_bytes[i]);
    for (int run = 0; run < 2; run++)
        MUST(blo_plan_enqueue(plan, inputs, &(blo_place){buffers[0], 0}, buffers[1]));
    MUST(blo_context_finish(context));
    for (int i = 0; i < 6; i++)
        blo_buffer_release(buffers[i]);
    blo_plan_destroy(plan);
}

/* The one row of PART that is WHAT. */
static blo_profile_row row_with(const char *part, const char *what) {
    blo_profile_row row, found = {0};
    int times = 0;
    for (int i = 0; i < blo_context_profile_rows(context); i++) {
        MUST(blo_context_profile_row(context, i, &row));
        if (!strcmp(row.part, part) && !strcmp(row.what, what)) {
            found = row;
            times++;
        }
    }
    ck_assert_msg(times == 1, "%d rows of %s with \"%s\"", times, part, what);
    return found;
}

enum { M = 100, K = 90, N = 70 };

static void a_product(blo_gemm gemm, const char *what) {
    const int64_t left[2] = {M, K}, right[2] = {K, N};
    blo_graph *graph = NULL;
    open_context(gemm);
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *a = blo_graph_input(graph, "a", BLO_FLOAT, 2, left),
             *b = blo_graph_input(graph, "b", BLO_FLOAT, 2, right);
    run_twice(blo_matmul(a, b, false, false), "step", 2, (const uint64_t[]){M * K * 4, K * N * 4});
    ck_assert_str_eq(blo_context_error(context), ""); /* nothing failed: there is no sentence */
    blo_profile_row row = row_with("step", what);
    ck_assert_uint_eq(row.launches, 2);
    ck_assert_double_eq(row.flops, 2.0 * 2 * M * N * K);
    /* each operand and the result at least once; packed ones are padded to whole tiles */
    ck_assert(row.bytes >= 2.0 * 4 * (M * K + K * N + M * N) && row.bytes < 2.0 * 8 * (M * K + K * N + M * N));
    blo_graph_destroy(graph);
    blo_context_destroy(context);
}

START_TEST(a_product_is_two_m_n_k) {
    a_product(BLO_GEMM_OWN, "matmul 100x90x70");
}
END_TEST

START_TEST(a_product_of_the_library_too) {
    open_context(BLO_GEMM_AUTO);
    bool has = blo_context_facts(context)->has_clblast;
    blo_context_destroy(context);
    if (has)
        a_product(BLO_GEMM_CLBLAST, "matmul 100x90x70 (CLBlast)");
}
END_TEST

/* Whether the file at PATH holds all of WORDS [n], one after another. */
static bool holds(const char *path, int n, const char *const *words) {
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file);
    rewind(file);
    char *text = calloc((size_t)size + 1, 1), *at = text;
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    for (int i = 0; at && i < n; i++)
        at = strstr(at, words[i]);
    free(text);
    return at != NULL;
}

/* How many files of FOLDER hold WORDS; FOLDER is removed. */
static int count_and_remove(const char *folder, int n, const char *const *words) {
    char path[512];
    int found = 0;
    DIR *files = opendir(folder);
    ck_assert_ptr_nonnull(files);
    for (const struct dirent *file; (file = readdir(files)) != NULL;) {
        if (file->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, file->d_name);
        found += holds(path, n, words);
        unlink(path);
    }
    closedir(files);
    rmdir(folder);
    return found;
}

/* A narrow product's lanes run along its long side: what rides on it reads and writes rows, which are turned in
 * registers, not walked element by element. */
START_TEST(rows_of_a_narrow_product_are_turned) {
    enum { ROWS = 500, DEPTH = 80, COLUMNS = 10 };
    static const char *const words[] = {"TURN_QUADS(x, y, z, w)", "blo_load_rows_float", "blo_store_rows_float"};
    const int64_t left[2] = {ROWS, DEPTH}, right[2] = {DEPTH, COLUMNS}, result[2] = {ROWS, COLUMNS};
    char folder[] = "/tmp/clbilevel_rows_XXXXXX";
    blo_graph *graph = NULL;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    open_dumping_context(BLO_GEMM_OWN, folder);
    const bool cpu = blo_context_facts(context)->is_cpu;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *a = blo_graph_input(graph, "a", BLO_FLOAT, 2, left),
             *b = blo_graph_input(graph, "b", BLO_FLOAT, 2, right),
             *c = blo_graph_input(graph, "c", BLO_FLOAT, 2, result);
    run_twice(blo_tanh(blo_add(blo_matmul(a, b, false, false), c)), "step", 3,
              (const uint64_t[]){ROWS * DEPTH * 4, DEPTH * COLUMNS * 4, ROWS * COLUMNS * 4});
    blo_graph_destroy(graph);
    blo_context_destroy(context);
    const int found = count_and_remove(folder, 3, words);
    ck_assert_int_eq(found, cpu);
}
END_TEST

START_TEST(elementwise_and_reductions_count_each_element_once) {
    enum { ROWS = 5000, COLUMNS = 10 };
    const int64_t shape[2] = {ROWS, COLUMNS};
    blo_graph *graph = NULL;
    open_context(BLO_GEMM_AUTO);
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *a = blo_graph_input(graph, "a", BLO_FLOAT, 2, shape),
             *b = blo_graph_input(graph, "b", BLO_FLOAT, 2, shape);
    const uint64_t bytes[] = {ROWS * COLUMNS * 4, ROWS * COLUMNS * 4};
    run_twice(blo_add(blo_mul(a, b), a), "step", 2, bytes);
    blo_profile_row row = row_with("step", "add mul 5000x10");
    ck_assert_double_eq(row.flops, 2.0 * 2 * ROWS * COLUMNS);
    ck_assert_double_eq(row.bytes, 2.0 * 3 * 4 * ROWS * COLUMNS);
    run_twice(blo_sum(a), "F", 2, bytes); /* a first kernel of partial sums, a second to add these */
    row = row_with("F", "sum 5000x10");
    ck_assert_double_eq(row.flops, 2.0 * ROWS * COLUMNS);
    ck_assert_uint_eq(row_with("F", "partial results of sum scalar").launches, 2);
    blo_graph_destroy(graph);
    blo_context_destroy(context);
}
END_TEST

START_TEST(a_gather_reads_the_rows_it_gives) {
    enum { ROWS = 5000, COLUMNS = 40, TAKEN = 30 };
    const int64_t shape[2] = {ROWS, COLUMNS}, taken = TAKEN;
    blo_graph *graph = NULL;
    open_context(BLO_GEMM_AUTO);
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *a = blo_graph_input(graph, "a", BLO_FLOAT, 2, shape);
    blo_node *rows = blo_graph_input(graph, "rows", BLO_INT32, 1, &taken);
    run_twice(blo_neg(blo_gather(a, rows)), "step", 2, (const uint64_t[]){ROWS * COLUMNS * 4, TAKEN * 4});
    blo_profile_row row = row_with("step", "neg gather 30x40");
    ck_assert_double_eq(row.flops, 2.0 * TAKEN * COLUMNS);
    ck_assert_double_eq(row.bytes, 2.0 * 4 * (2 * TAKEN * COLUMNS + TAKEN));
    blo_graph_destroy(graph);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("describe");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, a_product_is_two_m_n_k);
    tcase_add_test(tests, a_product_of_the_library_too);
    tcase_add_test(tests, elementwise_and_reductions_count_each_element_once);
    tcase_add_test(tests, rows_of_a_narrow_product_are_turned);
    tcase_add_test(tests, a_gather_reads_the_rows_it_gives);
    suite_add_tcase(suite, tests);
    return run_suite_here(suite);
}
