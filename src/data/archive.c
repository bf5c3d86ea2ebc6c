/* Archives through libarchive, from memory: nothing is written to the disk, names are labels. What entries declare is
 * not believed: what really comes out of them is counted against a budget. Must not know pixels. */
#include "archive.h"

#include "blo_config.h"

uint64_t blo_archive_budget(size_t count) {
    /* Drawings compress well (all of Omniglot in a tar.xz: 1 to 15 packed, 1 to 10 decoded), but not without end. */
    const uint64_t base = (uint64_t)256 << 20, ratio = 200;
    return (uint64_t)count > (UINT64_MAX - base) / ratio ? UINT64_MAX : base + ratio * (uint64_t)count;
}

#ifdef BLO_HAVE_LIBARCHIVE
#include <archive.h>
#include <archive_entry.h>
#include <inttypes.h>
#include <stdlib.h>

enum { PIECE = 1 << 16, TAR_BLOCK = 512 };

typedef struct reader {
    struct archive *archive;
    blo_image_list *list;
    uint8_t *content; /* of the entry being read */
    size_t room;
    const blo_report *report;
} reader;

static blo_status damaged(const reader *by) {
    const char *what = archive_error_string(by->archive);
    char shown[BLO_SHOWN_SIZE];
    return blo_report_fail(by->report, BLO_ERROR_FILE, "%s: not a sound archive (tar, tar.gz, tar.xz or zip): %s",
                           by->list->source, what == NULL ? "it is damaged" : blo_report_name(what, shown));
}

static blo_status too_large(const reader *by, const char *path) {
    char shown[BLO_SHOWN_SIZE];
    return blo_report_fail(by->report, BLO_ERROR_FILE,
                           "%s: unpacks to more than is sound for an archive of its size, at '%s'", by->list->source,
                           blo_report_name(path, shown));
}

/* Room for PIECE more bytes after COUNT. */
static blo_status grow(reader *by, const char *path, size_t count) {
    char shown[BLO_SHOWN_SIZE];
    if (count > BLO_MOST_IMAGE_FILE) {
        return blo_report_fail(by->report, BLO_ERROR_FILE, "%s: '%s' is larger than %d MiB", by->list->source,
                               blo_report_name(path, shown), BLO_MOST_IMAGE_FILE >> 20);
    }
    if (by->room - count >= PIECE) {
        return BLO_OK;
    }
    const size_t room = by->room == 0 ? 4 * PIECE : 2 * by->room;
    uint8_t *grown = realloc(by->content, room);
    if (grown == NULL) {
        return blo_report_fail(by->report, BLO_ERROR_MEMORY, "%s: no memory to unpack it", by->list->source);
    }
    by->content = grown;
    by->room = room;
    return BLO_OK;
}

/* The entry PATH's bytes: kept where it IS_IMAGE, else passed over, but counted. */
static blo_status read_content(reader *by, const char *path, bool is_image, size_t *count) {
    *count = 0;
    for (;;) {
        const blo_status status = grow(by, path, *count);
        if (status != BLO_OK) {
            return status;
        }
        const la_ssize_t got = archive_read_data(by->archive, by->content + *count, PIECE);
        if (got == 0) {
            return BLO_OK;
        }
        if (got < 0) { /* a warning too: that sizes are not what was declared */
            return damaged(by);
        }
        if ((uint64_t)got > by->list->budget) {
            return too_large(by, path);
        }
        by->list->budget -= (uint64_t)got;
        *count += is_image ? (size_t)got : 0;
    }
}

/* A folder or a link, which has no bytes of its own. A link in an image's place is no image, and would be missed. */
static blo_status pass_over(const reader *by, struct archive_entry *entry, const char *path) {
    char tidy[BLO_PATH_SIZE], shown[BLO_SHOWN_SIZE];
    if (archive_entry_filetype(entry) == AE_IFDIR || !blo_tidy_path(path, tidy) || !blo_is_image_path(tidy)) {
        return archive_read_data_skip(by->archive) < ARCHIVE_WARN ? damaged(by) : BLO_OK;
    }
    return blo_report_fail(by->report, BLO_ERROR_FILE, "%s: '%s' is a link or a device, not an image", by->list->source,
                           blo_report_name(path, shown));
}

static blo_status read_entry(reader *by, struct archive_entry *entry) {
    const char *path = archive_entry_pathname(entry);
    bool is_image = false;
    size_t count = 0;
    path = path == NULL ? archive_entry_pathname_utf8(entry) : path;
    path = path == NULL ? "" : path;
    /* Said to be too large: no need to find out. (What it is said to be less than is found out.) */
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > 0 &&
        (uint64_t)archive_entry_size(entry) > by->list->budget) {
        return too_large(by, path);
    }
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != NULL) {
        return pass_over(by, entry, path);
    }
    blo_status status = blo_image_list_note(by->list, path, &is_image, by->report);
    if (status == BLO_OK) {
        status = read_content(by, path, is_image, &count);
    }
    return status == BLO_OK && is_image ? blo_image_list_add(by->list, path, by->content, count, by->report) : status;
}

/* A tar ends with blocks of zeros, of which one at least has to follow what was read up to byte READ of it: libarchive
 * takes a tar that was cut between two entries for complete. */
static bool has_end_mark(const reader *by, int64_t read) {
    const bool is_tar = (archive_format(by->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
    return !is_tar || archive_filter_bytes(by->archive, 0) - read >= TAR_BLOCK;
}

static blo_status read_entries(reader *by) {
    int64_t read = 0;
    struct archive_entry *entry = NULL;
    static const int64_t most_entries = 4000000; /* folders and links too */
    for (int64_t entries = 0;; entries++) {
        const int result = archive_read_next_header(by->archive, &entry);
        if (result == ARCHIVE_EOF) {
            break;
        }
        if (result < ARCHIVE_WARN) { /* a warning is a name that this locale cannot say; to go on after more would be to
                                        lose images quietly */
            return damaged(by);
        }
        if (entries >= most_entries) {
            return blo_report_fail(by->report, BLO_ERROR_FILE, "%s: holds more than %" PRId64 " entries",
                                   by->list->source, most_entries);
        }
        const blo_status status = read_entry(by, entry);
        if (status != BLO_OK) {
            return status;
        }
        read = archive_filter_bytes(by->archive, 0);
    }
    return has_end_mark(by, read)
               ? BLO_OK
               : blo_report_fail(by->report, BLO_ERROR_FILE,
                                 "%s: not a sound archive: it lacks a tar's end, so it was cut", by->list->source);
}

blo_status blo_archive_read(const uint8_t *bytes, size_t count, blo_image_list *list, const blo_report *report) {
    reader by = {.archive = archive_read_new(), .list = list, .report = report};
    blo_status status = BLO_OK;
    if (by.archive == NULL) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to unpack it", list->source);
    }
    archive_read_support_filter_gzip(by.archive);
    archive_read_support_filter_xz(by.archive);
    archive_read_support_format_tar(by.archive);
    archive_read_support_format_zip_seekable(by.archive); /* by its directory, at the end: not one that was cut */
    if (archive_read_open_memory(by.archive, bytes, count) != ARCHIVE_OK) {
        status = damaged(&by);
    } else {
        status = read_entries(&by);
    }
    archive_read_free(by.archive);
    free(by.content);
    return status;
}

#else

blo_status blo_archive_read(const uint8_t *bytes, size_t count, blo_image_list *list, const blo_report *report) {
    (void)bytes, (void)count;
    return blo_report_fail(
        report, BLO_ERROR_UNSUPPORTED,
        "%s: archives cannot be read: this library is built without libarchive; unpack it into a folder", list->source);
}

#endif
