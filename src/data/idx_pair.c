/* Finds and reads the two IDX files of a data set, under the names they go by. Must not know the format. */
#include <clbilevel/data.h>

#include "file.h"
#include "labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SPELLINGS = 4 };
static const char *const IMAGES[SPELLINGS] = {"-images-idx3-ubyte", "-images-idx3-ubyte.gz", "-images.idx3-ubyte",
                                              "-images.idx3-ubyte.gz"};
static const char *const LABELS[SPELLINGS] = {"-labels-idx1-ubyte", "-labels-idx1-ubyte.gz", "-labels.idx1-ubyte",
                                              "-labels.idx1-ubyte.gz"};

static char *spell(const char *folder, const char *prefix, const char *ending) {
    const size_t size = strlen(folder) + strlen(prefix) + strlen(ending) + 2;
    char *path = malloc(size);
    if (path != NULL) {
        snprintf(path, size, "%s/%s%s", folder, prefix, ending);
    }
    return path;
}

/* *PATH: the first spelling that exists, which the caller frees, or NULL. False: no memory. */
static bool find(const char *folder, const char *prefix, const char *const endings[SPELLINGS], char **path) {
    *path = NULL;
    for (int i = 0; i < SPELLINGS; i++) {
        struct stat info;
        char *tried = spell(folder, prefix, endings[i]);
        if (tried == NULL) {
            return false;
        }
        if (stat(tried, &info) == 0) {
            *path = tried;
            return true;
        }
        free(tried);
    }
    return true;
}

bool blo_idx_pair_exists(const char *folder, const char *prefix) {
    char *images = NULL, *labels = NULL;
    if (folder == NULL || prefix == NULL) {
        return false;
    }
    const bool exists = find(folder, prefix, IMAGES, &images) && images != NULL &&
                        find(folder, prefix, LABELS, &labels) && labels != NULL;
    free(images);
    free(labels);
    return exists;
}

static blo_status find_or_fail(const char *folder, const char *prefix, const char *const endings[SPELLINGS],
                               char **path, const blo_report *report) {
    if (!find(folder, prefix, endings, path)) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to look for %s%s", folder, prefix, endings[0]);
    }
    if (*path == NULL) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: holds none of %s%s, %s%s, %s%s, %s%s", folder, prefix,
                               endings[0], prefix, endings[1], prefix, endings[2], prefix, endings[3]);
    }
    return BLO_OK;
}

blo_status blo_idx_read_pair(const char *folder, const char *prefix, blo_dataset *dataset, char *message, size_t size) {
    const blo_report report = {message, size};
    char *images = NULL, *labels = NULL;
    if (dataset == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_idx_read_pair: dataset is NULL");
    }
    memset(dataset, 0, sizeof *dataset);
    if (folder == NULL || prefix == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_idx_read_pair: folder or prefix is NULL");
    }
    blo_status status = find_or_fail(folder, prefix, IMAGES, &images, &report);
    if (status == BLO_OK) {
        status = find_or_fail(folder, prefix, LABELS, &labels, &report);
    }
    if (status == BLO_OK) {
        status = blo_dataset_read(blo_idx_read, images, labels, dataset, &report);
    }
    free(images);
    free(labels);
    return status;
}
