/* Walks a folder for images, a few levels deep. Hidden files and folders are passed over. Must not know pixels. */
#include "image_folder.h"

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_LEVELS = 8 };

static blo_status add_file(const char *path, const char *label, off_t bytes_said, blo_image_list *list,
                           const blo_report *report) {
    bool is_image = false;
    uint8_t *bytes = NULL;
    size_t count = 0;
    blo_status status = blo_image_list_note(list, label, &is_image, report);
    if (status != BLO_OK || !is_image) {
        return status;
    }
    if (bytes_said > BLO_MOST_IMAGE_FILE) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: is larger than %d MiB", path, BLO_MOST_IMAGE_FILE >> 20);
    }
    status = blo_file_read(path, &bytes, &count, report);
    if (status == BLO_OK) {
        status = blo_image_list_add(list, label, bytes, count, report);
    }
    free(bytes);
    return status;
}

static blo_status walk(const char *folder, const char *label, int level, blo_image_list *list,
                       const blo_report *report);

/* What lies at PATH, called LABEL from the top folder on. */
static blo_status visit(const char *path, const char *label, int level, blo_image_list *list,
                        const blo_report *report) {
    struct stat info;
    if (stat(path, &info) != 0) { /* a link that leads nowhere, or gone meanwhile */
        return BLO_OK;
    }
    if (S_ISDIR(info.st_mode)) {
        return level < MOST_LEVELS ? walk(path, label, level + 1, list, report) : BLO_OK;
    }
    return S_ISREG(info.st_mode) ? add_file(path, label, info.st_size, list, report) : BLO_OK;
}

static blo_status walk(const char *folder, const char *label, int level, blo_image_list *list,
                       const blo_report *report) {
    blo_status status = BLO_OK;
    DIR *listing = opendir(folder);
    if (listing == NULL) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: cannot be opened: %s", folder, strerror(errno));
    }
    for (struct dirent *entry; status == BLO_OK && (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char *path = blo_file_join(folder, entry->d_name);
        char *below = blo_file_join(label, entry->d_name);
        status = path == NULL || below == NULL
                     ? blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to read it", folder)
                     : visit(path, below, level, list, report);
        free(path);
        free(below);
    }
    closedir(listing);
    return status;
}

blo_status blo_image_folder_read(const char *path, blo_image_list *list, const blo_report *report) {
    return walk(path, ".", 0, list, report);
}
