/* The IDX format, parsed from memory. Must not know folders. */
#ifndef BLO_DATA_IDX_H
#define BLO_DATA_IDX_H

#include <clbilevel/data.h>

#include "report.h"

/* ARRAY from the content BYTES[COUNT] of the file called NAME in sentences; plain or gzip. Empty on failure. */
blo_status blo_idx_parse(const char *name, const uint8_t *bytes, size_t count, blo_array *array,
                         const blo_report *report);

#endif
