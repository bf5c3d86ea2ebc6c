/* A run's folder: configuration, metrics and results, each file written to a temporary name and renamed. */
#ifndef CLBILEVEL_TOOLS_RUN_FOLDER_H
#define CLBILEVEL_TOOLS_RUN_FOLDER_H

#include <clbilevel/clbilevel.h>
#include <jansson.h>

typedef struct run_folder {
    const char *path;
    int n_columns;
    const char *const *columns; /* of the metrics */
    char *csv, *lines;          /* all rows so far */
    size_t csv_size, lines_size;
} run_folder;

/* Makes the folder (an existing one is used) and writes config.json. Returns an exit status; complaints are printed. */
int run_folder_open(run_folder *folder, const char *path, const json_t *config, int n_columns,
                    const char *const *columns);
/* One row of metrics; written out by run_folder_flush(). */
int run_folder_row(run_folder *folder, const double *values);
int run_folder_flush(run_folder *folder);
int run_folder_json(const run_folder *folder, const char *name, const json_t *value);
int run_folder_array(const run_folder *folder, const char *name, blo_dtype dtype, int rank, const int64_t *shape,
                     const void *data);
void run_folder_close(run_folder *folder);

#endif
