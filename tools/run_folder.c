/* The run's folder; see run_folder.h. */
#include "run_folder.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"

enum { PATH_LENGTH = 4096 };

static int path_of(const run_folder *folder, const char *name, const char *suffix, char path[PATH_LENGTH]) {
    if (snprintf(path, PATH_LENGTH, "%s/%s%s", folder->path, name, suffix) >= PATH_LENGTH)
        return complain(EXIT_FAILED, "--output %s: the path is too long", folder->path);
    return EXIT_DONE;
}

static int cannot_write(const char *path) {
    return complain(EXIT_FAILED, "%s cannot be written: %s", path, strerror(errno));
}

static int write_file(const run_folder *folder, const char *name, const char *text, size_t size) {
    char path[PATH_LENGTH], temporary[PATH_LENGTH];
    if (path_of(folder, name, "", path) || path_of(folder, name, ".tmp", temporary))
        return EXIT_FAILED;
    FILE *file = fopen(temporary, "wb");
    if (!file)
        return cannot_write(path);
    bool written = fwrite(text, 1, size, file) == size;
    written = fclose(file) == 0 && written;
    if (written && rename(temporary, path) == 0)
        return EXIT_DONE;
    int status = cannot_write(path);
    remove(temporary);
    return status;
}

static int append(char **text, size_t *size, const char *more) {
    size_t length = strlen(more);
    char *longer = realloc(*text, *size + length + 1);
    if (!longer)
        return complain(EXIT_FAILED, "no memory for the metrics");
    memcpy(longer + *size, more, length + 1);
    *text = longer;
    *size += length;
    return EXIT_DONE;
}

int run_folder_open(run_folder *folder, const char *path, const json_t *config, int n_columns,
                    const char *const *columns) {
    *folder = (run_folder){.path = path, .n_columns = n_columns, .columns = columns};
    struct stat information;
    if (mkdir(path, 0777) != 0 && (errno != EEXIST || stat(path, &information) != 0 || !S_ISDIR(information.st_mode)))
        return complain(EXIT_FAILED, "--output %s: the folder cannot be made: %s", path, strerror(errno));
    for (int i = 0; i < n_columns; i++) {
        char column[128];
        snprintf(column, sizeof column, "%s%s", columns[i], i + 1 < n_columns ? "," : "\n");
        if (append(&folder->csv, &folder->csv_size, column))
            return EXIT_FAILED;
    }
    return run_folder_json(folder, "config.json", config);
}

int run_folder_row(run_folder *folder, const double *values) {
    json_t *row = json_object();
    for (int i = 0; i < folder->n_columns; i++) {
        char cell[64];
        bool whole = values[i] == floor(values[i]) && fabs(values[i]) < 1e15;
        snprintf(cell, sizeof cell, "%.17g%s", values[i], i + 1 < folder->n_columns ? "," : "\n");
        if (append(&folder->csv, &folder->csv_size, cell))
            break;
        json_t *value = !isfinite(values[i]) ? json_null()
                        : whole              ? json_integer((json_int_t)values[i])
                                             : json_real(values[i]);
        json_object_set_new(row, folder->columns[i], value);
    }
    char *line = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    int status = line ? append(&folder->lines, &folder->lines_size, line) : EXIT_FAILED;
    if (status == EXIT_DONE)
        status = append(&folder->lines, &folder->lines_size, "\n");
    free(line);
    json_decref(row);
    return status;
}

int run_folder_flush(run_folder *folder) {
    int status = write_file(folder, "metrics.csv", folder->csv, folder->csv_size);
    return status == EXIT_DONE
               ? write_file(folder, "metrics.jsonl", folder->lines ? folder->lines : "", folder->lines_size)
               : status;
}

int run_folder_json(const run_folder *folder, const char *name, const json_t *value) {
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    int status = text ? write_file(folder, name, text, strlen(text))
                      : complain(EXIT_FAILED, "%s/%s: no memory", folder->path, name);
    free(text);
    return status;
}

int run_folder_array(const run_folder *folder, const char *name, blo_dtype dtype, int rank, const int64_t *shape,
                     const void *data) {
    char path[PATH_LENGTH], message[512];
    if (path_of(folder, name, "", path))
        return EXIT_FAILED;
    if (blo_npy_write(path, dtype, rank, shape, data, message, sizeof message) != BLO_OK)
        return complain(EXIT_FAILED, "%s", message);
    return EXIT_DONE;
}

void run_folder_close(run_folder *folder) {
    free(folder->csv);
    free(folder->lines);
    *folder = (run_folder){0};
}
