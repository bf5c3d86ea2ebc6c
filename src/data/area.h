/* Images brought to another size and to another number of channels, in integers. Must not know files. */
#ifndef BLO_DATA_AREA_H
#define BLO_DATA_AREA_H

#include <stdint.h>

/* PIXELS [COUNT, FROM] to OUT [COUNT, TO]: FROM is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); TO is 1 or 3.
 * What is transparent is laid over white; grey of colours is the
 * luma of ITU-R 601, (19595 R + 38470 G + 7471 B) / 65536. OUT may be PIXELS where TO <= FROM. */
void blo_convert_channels(const uint8_t *pixels, int64_t count, int from, int to, uint8_t *out);

/* IN [HEIGHT,WIDTH,CHANNELS] to OUT [SIZE,SIZE,CHANNELS]: each value is the mean over the area it covers, rounded. All
 * extents at most 4096. */
void blo_average_area(const uint8_t *in, int height, int width, int channels, int size, uint8_t *out);

#endif
