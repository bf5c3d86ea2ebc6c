/* Files for the tests of readers: written into one temporary folder per program, removed at its end. */
#ifndef BLO_TESTS_FILES_H
#define BLO_TESTS_FILES_H

#include <stddef.h>
#include <stdint.h>

/* Makes the folder; call first, once. */
void files_begin(void);
/* Removes it with all its files. */
void files_end(void);
/* The folder; "FOLDER/NAME" (valid until the next call). */
const char *files_folder(void);
const char *files_path(const char *name);
/* Writes a file and returns its path. */
const char *files_write(const char *name, const void *bytes, size_t count);
/* The same, compressed as gzip. */
const char *files_write_gzip(const char *name, const void *bytes, size_t count);
/* How many files the folder holds. */
int files_count(void);
void files_clear(void);
/* The data folder of the checkout or of CLBILEVEL_TEST_DATA; NULL if there is none. */
const char *files_test_data(void);

#endif
