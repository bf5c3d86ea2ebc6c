/* Files for the tests of readers. */
#include "files.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[64];
static char path[512];

void files_begin(void) {
    strcpy(folder, "/tmp/clbilevel-data-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        perror("mkdtemp");
        exit(EXIT_FAILURE);
    }
}

static int visit(int removing) {
    int count = 0;
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] != '.') {
            count++;
            if (removing) {
                remove(files_path(entry->d_name));
            }
        }
    }
    closedir(listing);
    return count;
}

void files_clear(void) {
    visit(1);
}

int files_count(void) {
    return visit(0);
}

void files_end(void) {
    files_clear();
    rmdir(folder);
}

const char *files_folder(void) {
    return folder;
}

const char *files_path(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

const char *files_write(const char *name, const void *bytes, size_t count) {
    FILE *file = fopen(files_path(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

const char *files_write_gzip(const char *name, const void *bytes, size_t count) {
    gzFile file = gzopen(files_path(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)count), (int)count);
    ck_assert_int_eq(gzclose(file), Z_OK);
    return path;
}

const char *files_test_data(void) {
    struct stat info;
    const char *given = getenv("CLBILEVEL_TEST_DATA");
    const char *tried = given != NULL ? given : BLO_SOURCE_ROOT "/../shared/data";
    return stat(tried, &info) == 0 && S_ISDIR(info.st_mode) ? tried : NULL;
}
