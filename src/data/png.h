/* PNG images from memory, brought to one size and number of channels. Must not know folders or archives. */
#ifndef BLO_DATA_PNG_H
#define BLO_DATA_PNG_H

#include "report.h"

/* The image BYTES[COUNT], called NAME in sentences, into PIXELS [SIZE,SIZE,CHANNELS] (CHANNELS 1 or 3). *BUDGET is how
 * many bytes decoding may take in all, and is lowered by what it took. Errors: FILE, MEMORY, UNSUPPORTED (built without
 * libpng). */
blo_status blo_png_decode(const char *name, const uint8_t *bytes, size_t count, int size, int channels,
                          uint64_t *budget, uint8_t *pixels, const blo_report *report);

#endif
