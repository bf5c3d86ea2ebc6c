/* The text of a kernel that runs loops whole, and the order of its arguments. Pure: nothing is built or queued here. */
#ifndef BLO_SCHEDULE_WHOLE_TEXT_H
#define BLO_SCHEDULE_WHOLE_TEXT_H

#include "whole.h"

enum {
    BLO_WHOLE_HEAD = 16 /* bytes before the records */
};

/* Where things lie in the kernel's own buffers. */
typedef struct blo_whole_places {
    uint64_t values, records, record_bytes, result_bytes; /* in the results: head, values, records */
    uint64_t *spares; /* [n_spare], and of the scalar that nobody reads; in the work memory after the scratch */
    uint64_t work_bytes;
} blo_whole_places;

/* SPARES has room for n_spare + 1. */
void blo_whole_lay_out(const blo_device_facts *facts, const blo_whole_layout *layout, blo_whole_places *places);

/* The kernels' texts, to be built as one program: WHOLE (arguments: states, numbers, carry 0, carry 1, work, results,
 * the table, then turns and over as ulong) and ADD (the same buffers, then the flag, and whether to clear first as
 * ulong). Names are filled in. False: no memory. */
bool blo_whole_write(const blo_device_facts *facts, const blo_whole_layout *layout, const blo_loop_memory *memory,
                     const blo_whole_places *places, blo_text *whole, char whole_name[40], blo_text *add,
                     char add_name[40]);

#endif
