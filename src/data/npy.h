/* NumPy's format, parsed from memory. Must not know folders. */
#ifndef BLO_DATA_NPY_H
#define BLO_DATA_NPY_H

#include <clbilevel/data.h>

#include "report.h"

typedef enum blo_npy_type { BLO_NPY_F4, BLO_NPY_F8, BLO_NPY_I4, BLO_NPY_U1, BLO_NPY_I8, BLO_NPY_B1 } blo_npy_type;

/* What the dictionary in a file's head says. */
typedef struct blo_npy_header {
    blo_npy_type type;
    bool fortran_order;
    int rank;
    int64_t shape[BLO_MAX_RANK];
} blo_npy_header;

/* HEADER from the dictionary TEXT[COUNT] (no final zero) of the file called NAME in sentences. */
blo_status blo_npy_parse_header(const char *name, const char *text, size_t count, blo_npy_header *header,
                                const blo_report *report);

/* ARRAY from the content BYTES[COUNT] of the file called NAME in sentences. Empty on failure. */
blo_status blo_npy_parse(const char *name, const uint8_t *bytes, size_t count, blo_array *array,
                         const blo_report *report);

#endif
