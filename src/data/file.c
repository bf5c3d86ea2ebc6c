/* Whole files in and out: a read is bounded by the size the file really has, a write is a temporary file renamed.
 * Must not know what is in them. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_NAMES = 100, TEMPORARY_SUFFIX = 48, FILE_MODE = 0666 };

static blo_status open_regular(const char *path, int *descriptor, size_t *count, const blo_report *report) {
    struct stat info;
    /* NONBLOCK: opening a pipe must not wait for its writer. */
    const int opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0 || fstat(opened, &info) != 0) {
        const int error = errno;
        if (opened >= 0) {
            close(opened);
        }
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(error));
    }
    if (!S_ISREG(info.st_mode)) {
        close(opened);
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: is not a regular file", path);
    }
    if ((uint64_t)info.st_size > (uint64_t)SSIZE_MAX) {
        close(opened);
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: %lld bytes do not fit in memory", path,
                               (long long)info.st_size);
    }
    *descriptor = opened;
    *count = (size_t)info.st_size;
    return BLO_OK;
}

static bool read_all(int descriptor, uint8_t *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        const ssize_t got = read(descriptor, bytes + done, count - done);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) { /* an end before COUNT: the file was cut while being read */
            return false;
        }
        done += (size_t)got;
    }
    return true;
}

blo_status blo_file_read(const char *path, uint8_t **bytes, size_t *count, const blo_report *report) {
    int descriptor = -1;
    size_t size = 0;
    uint8_t *read_bytes = NULL;
    blo_status status = open_regular(path, &descriptor, &size, report);
    if (status != BLO_OK) {
        return status;
    }
    read_bytes = malloc(size == 0 ? 1 : size);
    if (read_bytes == NULL) {
        status = blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for its %zu bytes", path, size);
        goto fail;
    }
    if (!read_all(descriptor, read_bytes, size)) {
        status = blo_report_fail(report, BLO_ERROR_FILE, "%s: could not be read to its end at byte %zu", path, size);
        goto fail;
    }
    close(descriptor);
    *bytes = read_bytes;
    *count = size;
    return BLO_OK;
fail:
    free(read_bytes);
    close(descriptor);
    return status;
}

static bool write_all(int descriptor, const void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        const ssize_t put = write(descriptor, (const uint8_t *)bytes + done, count - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return false;
        }
        done += (size_t)put;
    }
    return true;
}

/* A file that did not exist, beside PATH; its name into NAME[SIZE]. -1: none could be made (errno). Not mkstemp: that
 * one's files are the owner's alone, whatever the umask says. */
static int open_temporary(const char *path, char *name, size_t size) {
    for (int attempt = 0; attempt < TEMPORARY_NAMES; attempt++) {
        snprintf(name, size, "%s.%ld-%d.tmp", path, (long)getpid(), attempt);
        const int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
        if (descriptor >= 0 || errno != EEXIST) {
            return descriptor;
        }
    }
    return -1;
}

static bool write_pieces(int descriptor, const blo_piece *pieces, int n) {
    for (int i = 0; i < n; i++) {
        if (!write_all(descriptor, pieces[i].bytes, pieces[i].count)) {
            return false;
        }
    }
    return fsync(descriptor) == 0;
}

/* Makes a rename in PATH's folder last. Not every file system can; the file itself is on the disk by then. */
static void flush_folder(const char *path, char *scratch) {
    strcpy(scratch, path);
    char *slash = strrchr(scratch, '/');
    if (slash != NULL) {
        slash[1] = '\0';
    }
    const int descriptor = open(slash == NULL ? "." : scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
}

blo_status blo_file_write_pieces(const char *path, const blo_piece *pieces, int n, const blo_report *report) {
    int descriptor = -1;
    int error = 0;
    const size_t name_size = strlen(path) + TEMPORARY_SUFFIX;
    char *name = malloc(name_size);
    if (name == NULL) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to write it", path);
    }
    descriptor = open_temporary(path, name, name_size);
    if (descriptor < 0) {
        error = errno;
        goto fail;
    }
    if (!write_pieces(descriptor, pieces, n)) {
        error = errno;
        close(descriptor);
        goto fail_written;
    }
    if (close(descriptor) != 0 || rename(name, path) != 0) {
        error = errno;
        goto fail_written;
    }
    flush_folder(path, name);
    free(name);
    return BLO_OK;
fail_written:
    unlink(name);
fail:
    free(name);
    return blo_report_fail(report, BLO_ERROR_FILE, "%s: cannot be written: %s", path, strerror(error));
}

blo_status blo_file_write(const char *path, const void *head, size_t head_count, const void *body, size_t body_count,
                          const blo_report *report) {
    const blo_piece pieces[] = {{head, head_count}, {body, body_count}};
    return blo_file_write_pieces(path, pieces, 2, report);
}

char *blo_file_join(const char *folder, const char *name) {
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path != NULL) {
        snprintf(path, size, "%s/%s", folder, name);
    }
    return path;
}
