/* Built programs on disk: what is written comes back; a file that is damaged anywhere, or of another key, is not there;
 * and contexts use them where the implementation has no cache of its own. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/suite.h"
#include "device/opencl.h"

static char folder[32], path[1024];

static void make_folder(void) {
    strcpy(folder, "/tmp/clbilevel-cache-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

/* Files in the folder; the path of one of them. */
static int find_file(void) {
    int found = 0;
    DIR *open = opendir(folder);
    ck_assert_ptr_nonnull(open);
    for (struct dirent *entry; (entry = readdir(open));)
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%.200s", folder, entry->d_name);
            found++;
        }
    closedir(open);
    return found;
}

START_TEST(binaries_are_kept_and_damage_is_noticed) {
    const unsigned char binary[] = "not really a program";
    unsigned char *back = NULL;
    size_t size = 0;
    make_folder();
    ck_assert(!blo_cache_read(folder, "key", &back, &size));
    blo_cache_write(folder, "key", binary, sizeof binary);
    ck_assert(blo_cache_read(folder, "key", &back, &size));
    ck_assert_uint_eq(size, sizeof binary);
    ck_assert_mem_eq(back, binary, sizeof binary);
    free(back);
    ck_assert(!blo_cache_read(folder, "another", &back, &size));
    ck_assert_int_eq(find_file(), 1);
    FILE *file = fopen(path, "rb");
    char whole[256];
    size_t length = fread(whole, 1, sizeof whole, file);
    fclose(file);
    for (size_t i = 0; i < length; i++) { /* each byte in turn, then each length */
        whole[i] = (char)(whole[i] ^ 1);
        file = fopen(path, "wb");
        fwrite(whole, 1, length, file);
        fclose(file);
        ck_assert_msg(!blo_cache_read(folder, "key", &back, &size), "byte %zu is damaged", i);
        whole[i] = (char)(whole[i] ^ 1);
        file = fopen(path, "wb");
        fwrite(whole, 1, i, file);
        fclose(file);
        ck_assert_msg(!blo_cache_read(folder, "key", &back, &size), "cut after %zu bytes", i);
    }
    remove(path);
    rmdir(folder);
}
END_TEST

/* A new context builds a kernel and runs it: 4 -> 16. WIDER: as if the device had that much wider vectors. */
static void build_and_run(const char *cache_folder, int wider) {
    static const blo_kernel_source square = {
        "square", "__kernel void square(__global int *x) { x[get_global_id(0)] *= x[get_global_id(0)]; }\n"};
    char message[512];
    blo_context_options options;
    blo_context *context = NULL;
    blo_kernel *kernel = NULL;
    blo_buffer *buffer = NULL;
    const size_t one = 1;
    int32_t value = 4;
    blo_context_options_default(&options);
    options.cache_folder = cache_folder;
    options.device = "0";
    ck_assert_msg(blo_context_create(&options, &context, message, sizeof message) == BLO_OK, "%s", message);
    context->facts.float_vector_width += wider;
    ck_assert_msg(blo_kernels_get(context, 1, &square, &kernel) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_int_eq(blo_buffer_create(context, sizeof value, &buffer), BLO_OK);
    ck_assert_int_eq(blo_buffer_write(context, buffer, 0, sizeof value, &value), BLO_OK);
    ck_assert_int_eq(blo_kernel_set_buffer(kernel, 0, buffer), BLO_OK);
    ck_assert_int_eq(blo_kernel_launch(kernel, 1, &one, &one), BLO_OK);
    ck_assert_int_eq(blo_buffer_read(context, buffer, 0, sizeof value, &value), BLO_OK);
    ck_assert_int_eq(value, 16);
    blo_buffer_release(buffer);
    blo_kernel_release(kernel);
    blo_context_destroy(context);
}

static long file_size(void) {
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    return size;
}

START_TEST(programs_are_kept_only_where_nobody_else_keeps_them) {
    char platform[256];
    ck_assert_int_eq(blo_device_describe(0, "platform", platform, sizeof platform), BLO_OK);
    bool others_do = strstr(platform, "Portable Computing Language") || strstr(platform, "NVIDIA");
    make_folder();
    build_and_run("", 0);
    ck_assert_int_eq(find_file(), 0);
    build_and_run(folder, 0);
    ck_assert_int_eq(find_file(), others_do ? 0 : 1);
    if (!others_do) {
        long size = file_size();
        build_and_run(folder, 0); /* from the file */
        ck_assert_int_eq(truncate(path, size / 2), 0);
        build_and_run(folder, 0);
        ck_assert_int_eq(file_size(), size); /* written anew */
        build_and_run(folder, 4);
        ck_assert_int_eq(find_file(), 2); /* a binary for one is none for the other */
        while (find_file() > 0)
            remove(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cache");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, binaries_are_kept_and_damage_is_noticed);
    tcase_add_test(tests, programs_are_kept_only_where_nobody_else_keeps_them);
    suite_add_tcase(suite, tests);
    return run_suite_here(suite);
}
