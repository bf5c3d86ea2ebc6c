/* The profile: launches, times and bytes by rows, nothing without it, faults at every call; and the measured peak,
 * whose kernels are checked against plain C. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../support/context.h"
#include "../support/suite.h"

#define MUST(call) ck_assert_msg((call) == BLO_OK, "%s", blo_context_error(context))

static blo_context *context;

static blo_context *open_context(bool profile) {
    blo_context_options options;
    blo_context *opened = NULL;
    char message[1024];
    blo_context_options_default(&options);
    options.profile = profile;
    ck_assert_msg(blo_context_create(&options, &opened, message, sizeof message) == BLO_OK, "%s", message);
    return opened;
}

static const blo_kernel_source add_one = {
    "add_one",
    "__kernel void add_one(__global float *x, const ulong o) { const size_t i = get_global_id(0); x[o + i] += 1; }\n"};
enum { COUNT = 1 << 16, LAUNCHES = 5 };

/* Writes COUNT zeros, adds one LAUNCHES times, reads; as row ROW. */
static blo_status work(int row) {
    float *host = calloc(COUNT, sizeof *host);
    const size_t bytes = COUNT * sizeof *host, global = COUNT, local = 64;
    blo_buffer *buffer = NULL;
    blo_kernel *kernel = NULL;
    blo_status status = blo_kernels_get(context, 1, &add_one, &kernel);
    if (status == BLO_OK)
        status = blo_buffer_create(context, bytes, &buffer);
    if (status == BLO_OK)
        status = blo_buffer_write(context, buffer, 0, bytes, host);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(kernel, 0, buffer);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(kernel, 1, 0);
    if (kernel)
        blo_kernel_set_row(kernel, row);
    for (int i = 0; i < LAUNCHES && status == BLO_OK; i++)
        status = blo_kernel_launch(kernel, 1, &global, &local);
    if (status == BLO_OK)
        status = blo_buffer_read(context, buffer, 0, bytes, host);
    if (status == BLO_OK)
        ck_assert_float_eq(host[COUNT - 1], LAUNCHES);
    blo_kernel_release(kernel);
    blo_buffer_release(buffer);
    free(host);
    return status;
}

/* The row of WHAT; its launches are 0 if there is none. */
static blo_profile_row row_of(const char *what) {
    blo_profile_row row, none = {0};
    for (int i = 0; i < blo_context_profile_rows(context); i++) {
        MUST(blo_context_profile_row(context, i, &row));
        if (!strcmp(row.what, what))
            return row;
    }
    return none;
}

START_TEST(launches_and_transfers_are_timed_by_rows) {
    const double bytes = COUNT * sizeof(float);
    context = open_context(true);
    const int number = blo_profile_add(
        context, &(blo_work){"step", "add one to each", .dtype = BLO_FLOAT, .flops = COUNT, .bytes = 2 * bytes});
    ck_assert_int_gt(number, 0);
    MUST(work(number));
    MUST(work(0)); /* nobody said what it is: known by its name */
    blo_profile_row row = row_of("add one to each"), write = row_of("host to device");
    ck_assert_str_eq(row.part, "step");
    ck_assert_uint_eq(row.launches, LAUNCHES);
    ck_assert_double_eq(row.flops, (double)LAUNCHES * COUNT);
    ck_assert_double_eq(row.bytes, LAUNCHES * 2 * bytes);
    ck_assert(row.seconds > 0 && row.median_seconds > 0 && row.median_seconds < row.seconds && row.seconds < 10);
    ck_assert_uint_eq(write.launches, 2);
    ck_assert_double_eq(write.bytes, 2 * bytes);
    ck_assert_uint_eq(row_of("device to host").launches, 2);
    ck_assert_uint_eq(row_of("add_one").launches, LAUNCHES);
    ck_assert_str_eq(row_of("add_one").part, "other");
    ck_assert_int_eq(blo_context_profile_row(context, 99, &row), BLO_ERROR_ARGUMENT);
    blo_context_destroy(context);
}
END_TEST

START_TEST(nothing_is_kept_without_it) {
    blo_profile_row row;
    context = open_context(false);
    ck_assert_int_eq(blo_profile_add(context, &(blo_work){"step", "add one to each", .flops = 1}), 0);
    MUST(work(0));
    ck_assert_ptr_null(context->profile);
    ck_assert_int_eq(blo_context_profile_rows(context), 0);
    ck_assert_int_eq(blo_context_profile_row(context, 0, &row), BLO_ERROR_ARGUMENT);
    blo_context_destroy(context);
}
END_TEST

/* More launches than samples are kept: all are counted, and the median stays one of a launch. */
START_TEST(many_launches_keep_a_median) {
    enum { MANY = 40000 };
    context = open_context(true);
    blo_buffer *buffer = NULL;
    MUST(blo_buffer_create(context, 64, &buffer));
    for (int i = 0; i < MANY; i++) {
        MUST(blo_buffer_zero(context, buffer, 0, 64));
        if (i % 4096 == 0)
            MUST(blo_context_finish(context));
    }
    MUST(blo_context_finish(context));
    blo_profile_row row = row_of("zeros");
    ck_assert_uint_eq(row.launches, MANY);
    ck_assert_double_eq(row.bytes, 64.0 * MANY);
    ck_assert(row.median_seconds >= 0 && row.median_seconds * MANY < 2 * row.seconds + 1e-3);
    blo_buffer_release(buffer);
    blo_context_destroy(context);
}
END_TEST

static blo_status work_and_read_the_profile(void) {
    blo_profile_row row;
    blo_status status = work(BLO_PROFILE_CHECK);
    return status == BLO_OK ? blo_context_profile_row(context, BLO_PROFILE_CHECK - 1, &row) : status;
}

START_TEST(every_call_may_fail_once) {
    enum { MORE_THAN_THERE_ARE = 200 };
    int failures = 0;
    for (int call = 1; call < MORE_THAN_THERE_ARE; call++) {
        context = open_context(true);
        context->faults = call;
        bool is_over = ended_before_fault(context, work_and_read_the_profile());
        if (!is_over) {
            MUST(work_and_read_the_profile());
            failures++;
        }
        blo_context_destroy(context);
        if (is_over)
            break;
    }
    ck_assert_int_gt(failures, LAUNCHES + 6);
    ck_assert_int_lt(failures, MORE_THAN_THERE_ARE - 1);
}
END_TEST

/* --- the peak --- */

enum { ITEMS = 6, CHAINS = 12, ROUNDS = 9, VECTORS = 8 };

static float reference_fma(int item, float a, float b) {
    float sum = 0;
    for (int c = 0; c < CHAINS; c++) {
        float v = (float)(item + c);
        for (int i = 0; i < ROUNDS; i++)
            v = fmaf(v, a, b);
        sum += v;
    }
    return sum;
}

/* As the kernel: four sums in turn, then together. Element 0 of vectors of WIDTH, which lie STRIDE apart. */
static float reference_read(const float *from, int width, int stride) {
    float sums[4] = {0};
    for (int i = 0; i < VECTORS; i++)
        sums[i % 4] += from[i * stride * width];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

static void launch_and_read(blo_kernel *kernel, blo_buffer *in, blo_buffer *out, const uint64_t *values, int n,
                            float results[ITEMS]) {
    const size_t global = ITEMS, local = 1;
    MUST(blo_kernel_set_buffer(kernel, 0, in));
    MUST(blo_kernel_set_buffer(kernel, 1, out));
    for (int i = 0; i < n; i++)
        MUST(blo_kernel_set_ulong(kernel, 2 + i, values[i]));
    MUST(blo_kernel_launch(kernel, 1, &global, &local));
    MUST(blo_buffer_read(context, out, 0, ITEMS * sizeof *results, results));
}

static void check_peak_kernels(int width) {
    float host[ITEMS * VECTORS * 16], results[ITEMS];
    blo_kernel *kernels[2];
    blo_buffer *in = NULL, *out = NULL;
    for (int i = 0; i < (int)(sizeof host / sizeof *host); i++)
        host[i] = 0.75F + (float)(i * 37 % 101) / 64;
    MUST(blo_peak_kernels(context, BLO_FLOAT, width, kernels));
    MUST(blo_buffer_create(context, sizeof host, &in));
    MUST(blo_buffer_create(context, sizeof results, &out));
    MUST(blo_buffer_write(context, in, 0, sizeof host, host));
    launch_and_read(kernels[0], in, out, (const uint64_t[]){ROUNDS}, 1, results);
    for (int g = 0; g < ITEMS; g++)
        ck_assert_float_eq(results[g], reference_fma(g, host[0], host[1]));
    launch_and_read(kernels[1], in, out, (const uint64_t[]){VECTORS, VECTORS, 1}, 3, results); /* stretches */
    for (int g = 0; g < ITEMS; g++)
        ck_assert_float_eq(results[g], reference_read(host + g * VECTORS * width, width, 1));
    launch_and_read(kernels[1], in, out, (const uint64_t[]){VECTORS, 1, ITEMS}, 3, results); /* side by side */
    for (int g = 0; g < ITEMS; g++)
        ck_assert_float_eq(results[g], reference_read(host + g * width, width, ITEMS));
    blo_kernel_release(kernels[0]);
    blo_kernel_release(kernels[1]);
    blo_buffer_release(in);
    blo_buffer_release(out);
}

START_TEST(the_kernels_of_the_peak_compute_what_they_say) {
    context = open_context(false);
    check_peak_kernels(1);
    check_peak_kernels(8);
    check_peak_kernels(16);
    blo_context_destroy(context);
}
END_TEST

START_TEST(the_peak_is_measured_once) {
    context = open_context(false);
    double flops = 0, bytes = 0, again = 0;
    MUST(blo_context_measure_peak(context, BLO_FLOAT, &flops, &bytes));
    uint64_t launches = blo_context_counters(context)->launches;
    MUST(blo_context_measure_peak(context, BLO_FLOAT, &again, NULL));
    ck_assert_double_eq(flops, again);
    ck_assert_uint_eq(launches, blo_context_counters(context)->launches);
    ck_assert_msg(flops > 1e7 && flops < 1e16 && bytes > 1e6 && bytes < 1e14, "%g flops/s, %g bytes/s", flops, bytes);
    ck_assert_uint_eq(blo_context_counters(context)->current_device_bytes, 0);
    ck_assert_int_eq(blo_context_measure_peak(context, BLO_INT32, &flops, NULL), BLO_ERROR_DTYPE);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("profile");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, launches_and_transfers_are_timed_by_rows);
    tcase_add_test(tests, nothing_is_kept_without_it);
    tcase_add_test(tests, many_launches_keep_a_median);
    tcase_add_test(tests, every_call_may_fail_once);
    tcase_add_test(tests, the_kernels_of_the_peak_compute_what_they_say);
    TCase *speed = tcase_create("speed");
    tcase_set_timeout(speed, 300);
    tcase_set_tags(speed, "speed"); /* left out where the device is simulated (tests/oclgrind.sh) */
    tcase_add_test(speed, the_peak_is_measured_once);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, speed);
    return run_suite_here(suite);
}
