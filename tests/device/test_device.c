/* The device room: choosing a device, tensors, the pool's books, the kernel library, the flag, faults at every OpenCL
 * call, and two contexts in two threads. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/suite.h"
#include "device/opencl.h"

static char message[1024];

static blo_context *open_context(const blo_context_options *options) {
    blo_context *context = NULL;
    ck_assert_msg(blo_context_create(options, &context, message, sizeof message) == BLO_OK, "%s", message);
    return context;
}

static void refuses(const char *device, const char *word) {
    blo_context_options options;
    blo_context *context = NULL;
    blo_context_options_default(&options);
    options.device = device;
    ck_assert_int_eq(blo_context_create(&options, &context, message, sizeof message), BLO_ERROR_NO_DEVICE);
    ck_assert_ptr_null(context);
    ck_assert_msg(strstr(message, word) != NULL, "%s", message);
}

START_TEST(devices_are_chosen_by_index_name_and_type) {
    blo_context_options options;
    char name[256];
    blo_context_options_default(&options);
    ck_assert_int_gt(blo_device_count(), 0);
    ck_assert_int_eq(blo_device_describe(0, "name", name, sizeof name), BLO_OK);
    options.device = "0";
    blo_context *context = open_context(&options);
    ck_assert_str_eq(blo_context_device_name(context), name);
    blo_context_destroy(context);
    options.device = name;
    context = open_context(&options);
    ck_assert_str_eq(blo_context_device_name(context), name);
    blo_context_destroy(context);
    refuses("99", "99");
    refuses("-1", "-1");
    refuses("no such chip", "no such chip");
    setenv("CLBILEVEL_DEVICE", "elsewhere", 1);
    refuses(NULL, "elsewhere");
    unsetenv("CLBILEVEL_DEVICE");
    ck_assert_int_eq(blo_device_describe(0, "colour", name, sizeof name), BLO_ERROR_ARGUMENT);
    ck_assert_int_eq(blo_device_describe(99, "name", name, sizeof name), BLO_ERROR_NO_DEVICE);
}
END_TEST

START_TEST(tensors_come_back_as_they_were) {
    blo_context *context = open_context(NULL);
    const int64_t shape[2] = {3, 5}, none[2] = {4, 0}, negative[1] = {-1};
    float data[15], back[15];
    blo_tensor *tensor = NULL, *empty = NULL, *wrong = NULL;
    for (int i = 0; i < 15; i++)
        data[i] = (float)i / 7;
    ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2, shape, data, &tensor), BLO_OK);
    ck_assert_int_eq(blo_tensor_download(tensor, back, sizeof back), BLO_OK);
    ck_assert_mem_eq(data, back, sizeof data);
    ck_assert_int_eq(blo_tensor_upload(tensor, data, sizeof data - 1), BLO_ERROR_SHAPE);
    ck_assert_msg(strstr(blo_context_error(context), "59") && strstr(blo_context_error(context), "60"), "%s",
                  blo_context_error(context));
    ck_assert_int_eq(blo_tensor_download(tensor, back, sizeof back), BLO_OK); /* still usable */
    ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2, none, NULL, &empty), BLO_OK);
    ck_assert_int_eq(blo_tensor_download(empty, NULL, 0), BLO_OK);
    ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 1, negative, NULL, &wrong), BLO_ERROR_SHAPE);
    ck_assert_int_eq(blo_tensor_create(context, (blo_dtype)9, 1, shape, NULL, &wrong), BLO_ERROR_DTYPE);
    ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 99, shape, NULL, &wrong), BLO_ERROR_SHAPE);
    ck_assert_ptr_null(wrong);
    blo_tensor_destroy(tensor);
    blo_tensor_destroy(empty);
    blo_context_destroy(context);
}
END_TEST

START_TEST(the_pool_counts_reuses_and_keeps_its_limit) {
    blo_context *context = open_context(NULL);
    blo_buffer *a = NULL, *b = NULL, *c = NULL;
    blo_statistics books;
    context->exact = false; /* what is tested here is the slack that a checker's environment takes away */
    blo_pool_limit(context, 1 << 20);
    ck_assert_int_eq(blo_buffer_create(context, 600 << 10, &a), BLO_OK);
    ck_assert_int_eq(blo_buffer_create(context, 600 << 10, &b), BLO_ERROR_BUDGET);
    ck_assert_msg(strstr(blo_context_error(context), "1048576") != NULL, "%s", blo_context_error(context));
    ck_assert_uint_eq(blo_pool_available(context, 1 << 20), 424 << 10);
    uint64_t serial = blo_buffer_serial(a);
    blo_buffer_release(a);
    blo_context_statistics(context, &books);
    uint64_t allocations = books.allocations;
    ck_assert_int_eq(blo_buffer_create(context, 590 << 10, &b), BLO_OK); /* from what was given back */
    blo_context_statistics(context, &books);
    ck_assert_uint_eq(books.allocations, allocations);
    ck_assert_uint_ne(blo_buffer_serial(b), serial);
    blo_buffer_release(b);
    ck_assert_int_eq(blo_buffer_create(context, 900 << 10, &c), BLO_OK); /* what is cached makes room */
    blo_context_statistics(context, &books);
    ck_assert_uint_le(books.peak_device_bytes, 1 << 20);
    blo_buffer_release(c);
    blo_context_destroy(context);
}
END_TEST

static const blo_kernel_source twice = {
    "twice",
    "__kernel void twice(__global int *x, const ulong o) { const size_t i = get_global_id(0); x[o + i] *= 2; }\n"};
static const blo_kernel_source thrice = {
    "thrice",
    "__kernel void thrice(__global int *x, const ulong o) { const size_t i = get_global_id(0); x[o + i] *= 3; }\n"};
static const blo_kernel_source broken = {"broken", "__kernel void broken(__global int *x) { x[0] = no_such_name; }\n"};

START_TEST(kernels_are_built_once_and_a_failure_leaves_the_context_usable) {
    blo_context *context = open_context(NULL);
    blo_kernel *kernels[2] = {NULL, NULL}, *bad = NULL;
    const blo_kernel_source both[2] = {twice, twice};
    const size_t global = 4, local = 1;
    int32_t data[4] = {1, 2, 3, 4};
    blo_buffer *buffer = NULL;
    ck_assert_int_eq(blo_kernels_get(context, 1, &broken, &bad), BLO_ERROR_BUILD);
    ck_assert_ptr_null(bad);
    ck_assert_msg(strstr(blo_context_error(context), "no_such_name") != NULL, "%s", blo_context_error(context));
    ck_assert_int_eq(blo_kernels_get(context, 2, both, kernels), BLO_OK);
    ck_assert_uint_eq(blo_context_counters(context)->kernels_built, 1);
    ck_assert_int_eq(blo_buffer_create(context, sizeof data, &buffer), BLO_OK);
    ck_assert_int_eq(blo_buffer_write(context, buffer, 0, sizeof data, data), BLO_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(blo_kernel_set_buffer(kernels[i], 0, buffer), BLO_OK);
        ck_assert_int_eq(blo_kernel_set_ulong(kernels[i], 1, 0), BLO_OK);
        ck_assert_int_eq(blo_kernel_launch(kernels[i], 1, &global, &local), BLO_OK);
        blo_kernel_release(kernels[i]);
    }
    ck_assert_int_eq(blo_buffer_read(context, buffer, 0, sizeof data, data), BLO_OK);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(data[i], 4 * (i + 1));
    blo_buffer_release(buffer);
    blo_context_destroy(context);
}
END_TEST

/* A log longer than any buffer one would think of: its beginning, where the first mistake is, is told. */
START_TEST(a_long_build_log_is_told_from_its_beginning) {
    enum { MISTAKES = 15, LINE = 512 };
    blo_context *context = open_context(NULL);
    blo_kernel *bad = NULL;
    char *text = calloc(MISTAKES + 2, LINE);
    ck_assert_ptr_nonnull(text);
    size_t used = (size_t)sprintf(text, "__kernel void wordy(__global int *x) {\n");
    for (int i = 0; i < MISTAKES; i++)
        used += (size_t)sprintf(text + used, "x[%d] = no_such_name_%d_%0300d;\n", i, i, 0);
    strcpy(text + used, "}\n");
    const blo_kernel_source wordy = {"wordy", text};
    ck_assert_int_eq(blo_kernels_get(context, 1, &wordy, &bad), BLO_ERROR_BUILD);
    ck_assert_msg(strstr(blo_context_error(context), "no_such_name_0_") != NULL, "%s", blo_context_error(context));
    free(text);
    blo_context_destroy(context);
}
END_TEST

START_TEST(what_is_wanted_is_built_with_what_is_asked_for) {
    blo_context *context = open_context(NULL);
    blo_kernel *kernel = NULL;
    const blo_kernel_source repeated[3] = {thrice, thrice, thrice};
    ck_assert_int_eq(blo_kernels_want(context, 3, repeated), BLO_OK);
    ck_assert_uint_eq(blo_context_counters(context)->kernels_built, 0);
    ck_assert_int_eq(blo_kernels_get(context, 1, &twice, &kernel), BLO_OK);
    blo_kernel_release(kernel);
    ck_assert_uint_eq(blo_context_counters(context)->kernels_built, 2);
    context->faults = 2; /* clCreateKernel, and then nothing: the program is there */
    ck_assert_int_eq(blo_kernels_get(context, 1, &thrice, &kernel), BLO_OK);
    ck_assert_int_eq(context->faults, 1);
    context->faults = 0;
    blo_kernel_release(kernel);
    ck_assert_int_eq(blo_kernels_want(context, 1, &twice), BLO_OK); /* there already */
    ck_assert_ptr_null(context->wanted);
    blo_context_destroy(context);
}
END_TEST

START_TEST(what_is_wanted_and_does_not_build_is_in_nobodys_way) {
    blo_context *context = open_context(NULL);
    blo_kernel *kernel = NULL;
    ck_assert_int_eq(blo_kernels_want(context, 1, &broken), BLO_OK);
    ck_assert_msg(blo_kernels_get(context, 1, &twice, &kernel) == BLO_OK, "%s", blo_context_error(context));
    blo_kernel_release(kernel);
    ck_assert_int_eq(blo_kernels_get(context, 1, &broken, &kernel), BLO_ERROR_BUILD);
    ck_assert_ptr_null(kernel);
    ck_assert_msg(blo_kernels_get(context, 1, &thrice, &kernel) == BLO_OK, "%s", blo_context_error(context));
    blo_kernel_release(kernel);
    ck_assert_int_eq(blo_kernels_want(context, 1, &broken), BLO_OK); /* nobody asks for it */
    blo_context_destroy(context);
}
END_TEST

/* Large writes are staged, as far as the host's memory for it goes; what the caller does with the source afterwards
 * does not matter. */
START_TEST(writes_do_not_wait) {
    enum { BYTES = 24 << 20, WRITES = 4 }; /* the third is more than may be staged: it waits, and there is room again */
    blo_context *context = open_context(NULL);
    blo_buffer *buffers[WRITES];
    unsigned char *host = malloc(BYTES), *back = malloc(BYTES);
    ck_assert(host && back);
    for (int i = 0; i < WRITES; i++) {
        memset(host, 'a' + i, BYTES);
        ck_assert_int_eq(blo_buffer_create(context, BYTES, &buffers[i]), BLO_OK);
        ck_assert_int_eq(blo_buffer_write(context, buffers[i], 0, BYTES, host), BLO_OK);
        ck_assert_uint_eq(blo_context_counters(context)->waits, i < 2 ? 0 : 1);
        memset(host, 0, BYTES);
    }
    for (int i = 0; i < WRITES; i++) {
        ck_assert_int_eq(blo_buffer_read(context, buffers[i], 0, BYTES, back), BLO_OK);
        ck_assert(back[0] == 'a' + i && memcmp(back, back + 1, BYTES - 1) == 0);
        blo_buffer_release(buffers[i]);
    }
    ck_assert_ptr_null(context->staged);
    ck_assert_uint_eq(context->spare_bytes, 0); /* nobody will need so much again */
    free(host);
    free(back);
    blo_context_destroy(context);
}
END_TEST

/* The device is out of memory while the pool keeps some that nobody uses. */
START_TEST(what_the_pool_keeps_is_given_back_when_the_device_has_no_more) {
    blo_context *context = open_context(NULL);
    blo_buffer *kept = NULL, *larger = NULL;
    ck_assert_int_eq(blo_buffer_create(context, 1 << 20, &kept), BLO_OK);
    blo_buffer_release(kept);
    context->faults = 1;
    ck_assert_msg(blo_buffer_create(context, 4 << 20, &larger) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_uint_eq(blo_context_counters(context)->current_device_bytes, 4 << 20);
    context->faults = 1; /* nothing is kept now */
    ck_assert_int_eq(blo_buffer_create(context, 4 << 20, &kept), BLO_ERROR_DEVICE);
    ck_assert_uint_eq(blo_context_counters(context)->current_device_bytes, 4 << 20);
    blo_buffer_release(larger);
    blo_context_destroy(context);
}
END_TEST

/* A little of everything; the first failure ends it. */
static blo_status scenario(blo_context *context) {
    const int64_t n = 2000;
    float *host = calloc(2000, sizeof *host);
    blo_tensor *a = NULL, *b = NULL;
    blo_kernel *kernel = NULL;
    const size_t global = 8, local = 1;
    blo_status status = blo_tensor_create(context, BLO_FLOAT, 1, &n, host, &a);
    if (status == BLO_OK)
        status = blo_tensor_create(context, BLO_FLOAT, 1, &n, NULL, &b);
    if (status == BLO_OK)
        status = blo_kernels_get(context, 1, &twice, &kernel);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(kernel, 0, blo_tensor_buffer(a));
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(kernel, 1, 0);
    if (status == BLO_OK)
        status = blo_kernel_launch(kernel, 1, &global, &local);
    if (status == BLO_OK)
        status = blo_buffer_copy(context, blo_tensor_buffer(a), 0, blo_tensor_buffer(b), 0, 400);
    if (status == BLO_OK)
        status = blo_flag_check(context, BLO_FLOAT, blo_tensor_buffer(a), 0, 2000, 1);
    if (status == BLO_OK)
        status = blo_flag_commit(context, BLO_FLOAT, blo_tensor_buffer(a), 0, blo_tensor_buffer(b), 0, 2000);
    if (status == BLO_OK)
        status = blo_tensor_download(b, host, 2000 * sizeof *host);
    if (status == BLO_OK)
        status = blo_context_finish(context);
    blo_kernel_release(kernel);
    blo_tensor_destroy(a);
    blo_tensor_destroy(b);
    free(host);
    return status;
}

START_TEST(every_call_may_fail_once) {
    enum { MORE_THAN_THERE_ARE = 500 };
    int failures = 0;
    for (int call = 1; call < MORE_THAN_THERE_ARE; call++) {
        char number[16];
        blo_context *context = NULL;
        snprintf(number, sizeof number, "%d", call);
        setenv("CLBILEVEL_FAULT", number, 1);
        blo_status status = blo_context_create(NULL, &context, message, sizeof message);
        unsetenv("CLBILEVEL_FAULT");
        if (status == BLO_OK)
            status = scenario(context);
        if (status == BLO_OK) { /* none was left to fail */
            blo_context_destroy(context);
            break;
        }
        failures++;
        const char *sentence = context ? blo_context_error(context) : message;
        ck_assert_msg(status == BLO_ERROR_DEVICE && strstr(sentence, "out of resources"), "call %d: %s", call,
                      sentence);
        if (context)
            ck_assert_msg(scenario(context) == BLO_OK, "after call %d failed: %s", call,
                          blo_context_error(context)); /* still usable */
        blo_context_destroy(context);
    }
    ck_assert_int_gt(failures, 20);
    ck_assert_int_lt(failures, MORE_THAN_THERE_ARE - 1);
}
END_TEST

static void *use_a_context(void *result) {
    blo_context *context = NULL;
    char text[512];
    bool good = blo_context_create(NULL, &context, text, sizeof text) == BLO_OK;
    for (int i = 0; i < 20 && good; i++)
        good = scenario(context) == BLO_OK;
    blo_context_destroy(context);
    *(bool *)result = good;
    return NULL;
}

START_TEST(two_contexts_in_two_threads) {
    pthread_t threads[2];
    bool good[2] = {false, false};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, use_a_context, &good[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert(good[0] && good[1]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("device");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, devices_are_chosen_by_index_name_and_type);
    tcase_add_test(tests, tensors_come_back_as_they_were);
    tcase_add_test(tests, the_pool_counts_reuses_and_keeps_its_limit);
    tcase_add_test(tests, kernels_are_built_once_and_a_failure_leaves_the_context_usable);
    tcase_add_test(tests, writes_do_not_wait);
    tcase_add_test(tests, what_is_wanted_is_built_with_what_is_asked_for);
    tcase_add_test(tests, what_is_wanted_and_does_not_build_is_in_nobodys_way);
    tcase_add_test(tests, a_long_build_log_is_told_from_its_beginning);
    tcase_add_test(tests, what_the_pool_keeps_is_given_back_when_the_device_has_no_more);
    tcase_add_test(tests, every_call_may_fail_once);
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 300);
    tcase_set_tags(threads, "threads"); /* left out where an implementation is not safe in them (tests/oclgrind.sh) */
    tcase_add_test(threads, two_contexts_in_two_threads);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, threads);
    return run_suite_here(suite);
}
