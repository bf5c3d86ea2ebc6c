/* Whole files in and out. Must not know what is in them. */
#ifndef BLO_DATA_FILE_H
#define BLO_DATA_FILE_H

#include "report.h"

/* Reads the regular file PATH: BYTES[COUNT], one byte at least allocated; the caller frees. */
blo_status blo_file_read(const char *path, uint8_t **bytes, size_t *count, const blo_report *report);

/* Bytes to write. */
typedef struct blo_piece {
    const void *bytes;
    size_t count;
} blo_piece;

/* PATH becomes the N pieces one after the other, or stays as it was: a temporary file beside it is flushed to the disk
 * and renamed. */
blo_status blo_file_write_pieces(const char *path, const blo_piece *pieces, int n, const blo_report *report);

/* The same for HEAD[HEAD_COUNT] and BODY[BODY_COUNT]. */
blo_status blo_file_write(const char *path, const void *head, size_t head_count, const void *body, size_t body_count,
                          const blo_report *report);

/* "FOLDER/NAME", which the caller frees; NULL: no memory. */
char *blo_file_join(const char *folder, const char *name);

#endif
