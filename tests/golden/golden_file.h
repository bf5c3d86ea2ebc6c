/* Reads a file of golden values: named arrays of doubles, as make_golden.py writes them. */
#ifndef BLO_TESTS_GOLDEN_FILE_H
#define BLO_TESTS_GOLDEN_FILE_H

#include <stdbool.h>
#include <stdint.h>

enum { GOLDEN_ARRAYS = 128, GOLDEN_RANK = 4 };

typedef struct golden_array {
    char name[24];
    int rank;
    int64_t shape[GOLDEN_RANK], count;
    double *values;
} golden_array;

typedef struct golden_file {
    int n;
    golden_array arrays[GOLDEN_ARRAYS];
} golden_file;

/* False: the file is not there or is not what it should be. */
bool golden_read(const char *path, golden_file *file);
void golden_free(golden_file *file);
/* NULL: there is none of that name. FORMAT and what follows make the name. */
const golden_array *golden_find(const golden_file *file, const char *format, ...);
/* A scalar that must be there. */
double golden_scalar(const golden_file *file, const char *name);

#endif
