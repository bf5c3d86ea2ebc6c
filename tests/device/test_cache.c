/* Built programs on disk: what is written comes back; a file that is damaged anywhere, or of another key, is not there.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/opencl.h"

static char folder[] = "/tmp/clbilevel-cache-XXXXXX", path[1024];

static void find_file(void) {
    DIR *open = opendir(folder);
    ck_assert_ptr_nonnull(open);
    for (struct dirent *entry; (entry = readdir(open));)
        if (entry->d_name[0] != '.')
            snprintf(path, sizeof path, "%s/%.200s", folder, entry->d_name);
    closedir(open);
}

START_TEST(binaries_are_kept_and_damage_is_noticed) {
    const unsigned char binary[] = "not really a program";
    unsigned char *back = NULL;
    size_t size = 0;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert(!blo_cache_read(folder, "key", &back, &size));
    blo_cache_write(folder, "key", binary, sizeof binary);
    ck_assert(blo_cache_read(folder, "key", &back, &size));
    ck_assert_uint_eq(size, sizeof binary);
    ck_assert_mem_eq(back, binary, sizeof binary);
    free(back);
    ck_assert(!blo_cache_read(folder, "another", &back, &size));
    find_file();
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

int main(void) {
    Suite *suite = suite_create("cache");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, binaries_are_kept_and_damage_is_noticed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
