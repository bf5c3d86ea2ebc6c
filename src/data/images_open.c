/* Opens a set of images wherever it lies: a folder, an archive, or what the cache folder has of that archive. Must not
 * know formats. */
#include "archive.h"
#include "base/folder.h"
#include "file.h"
#include "image_cache.h"
#include "image_folder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static blo_status open_folder(const char *path, const blo_images_options *options, blo_images **images,
                              const blo_report *report) {
    blo_image_list list = {.source = path, .options = options, .budget = UINT64_MAX};
    blo_status status = blo_image_folder_read(path, &list, report);
    if (status == BLO_OK) {
        status = blo_image_list_finish(&list, images, report);
    }
    blo_image_list_free(&list);
    return status;
}

static blo_images *look_up(const char *path, const blo_image_key *key, const blo_images_options *options) {
    const blo_report silent = {NULL, 0};
    uint8_t *bytes = NULL;
    size_t count = 0;
    if (path == NULL || blo_file_read(path, &bytes, &count, &silent) != BLO_OK) {
        return NULL;
    }
    blo_images *found = blo_image_cache_parse(bytes, count, key, options);
    if (found == NULL) {
        free(bytes);
    }
    return found;
}

static blo_status decode(const char *path, const uint8_t *bytes, size_t count, const blo_images_options *options,
                         blo_images **images, const blo_report *report) {
    blo_image_list list = {.source = path, .options = options, .budget = blo_archive_budget(count)};
    blo_status status = blo_archive_read(bytes, count, &list, report);
    if (status == BLO_OK) {
        status = blo_image_list_finish(&list, images, report);
    }
    blo_image_list_free(&list);
    return status;
}

static blo_status open_archive(const char *path, const blo_images_options *options, blo_images **images,
                               const blo_report *report) {
    uint8_t *bytes = NULL;
    size_t count = 0;
    blo_status status = blo_file_read(path, &bytes, &count, report);
    if (status != BLO_OK) {
        return status;
    }
    blo_image_key key = {.size = options->image_size, .channels = options->channels, .invert = options->invert};
    blo_sha256(bytes, count, key.digest);
    char *folder = blo_cache_folder(options->cache_folder);
    char *kept = folder == NULL ? NULL : blo_image_cache_path(folder, &key);
    *images = look_up(kept, &key, options);
    if (*images == NULL) {
        status = decode(path, bytes, count, options, images, report);
        if (status == BLO_OK && kept != NULL) {
            blo_image_cache_write(folder, kept, *images, &key);
        }
    }
    free(kept);
    free(folder);
    free(bytes);
    return status;
}

blo_status blo_images_open(const char *path, const blo_images_options *given, blo_images **images, char *message,
                           size_t size) {
    const blo_report report = {message, size};
    blo_images_options options;
    struct stat info;
    if (images == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_images_open: images is NULL");
    }
    *images = NULL;
    if (path == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_images_open: path is NULL");
    }
    blo_status status = blo_images_check_options("blo_images_open", given, &options, &report);
    if (status != BLO_OK) {
        return status;
    }
    const bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    status = is_folder ? open_folder(path, &options, images, &report) : open_archive(path, &options, images, &report);
    if (status == BLO_OK && !blo_images_give_splits(*images, options.seed)) {
        blo_images_destroy(*images);
        *images = NULL;
        status = blo_report_fail(&report, BLO_ERROR_MEMORY, "%s: no memory for its images", path);
    }
    return status;
}
