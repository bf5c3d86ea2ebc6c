/* Channels and sizes of images, in integers, so that every machine has the same pixels. Must not know files. */
#include "area.h"

#include <string.h>

enum { WHITE = 255, RED_SHARE = 19595, GREEN_SHARE = 38470, BLUE_SHARE = 7471, SHARES = 65536 };

/* VALUE with opacity ALPHA over white. */
static uint8_t over_white(int value, int alpha) {
    return (uint8_t)((value * alpha + WHITE * (WHITE - alpha) + WHITE / 2) / WHITE);
}

void blo_convert_channels(const uint8_t *pixels, int64_t count, int from, int to, uint8_t *out) {
    const int colours = from >= 3 ? 3 : 1;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *pixel = pixels + i * from;
        const int alpha = from > colours ? pixel[colours] : WHITE;
        uint8_t seen[3];
        for (int c = 0; c < 3; c++) {
            seen[c] = over_white(pixel[colours == 3 ? c : 0], alpha);
        }
        if (to == 3) {
            memcpy(out + 3 * i, seen, 3);
        } else if (colours == 1) {
            out[i] = seen[0];
        } else {
            const int luma = RED_SHARE * seen[0] + GREEN_SHARE * seen[1] + BLUE_SHARE * seen[2];
            out[i] = (uint8_t)((luma + SHARES / 2) / SHARES);
        }
    }
}

/* How much of input AT (of LENGTH) output I (of SIZE) covers, in units of 1 / (LENGTH * SIZE) of the whole. */
static int64_t overlap(int64_t at, int64_t length, int64_t i, int64_t size) {
    const int64_t from = at * size > i * length ? at * size : i * length;
    const int64_t to = (at + 1) * size < (i + 1) * length ? (at + 1) * size : (i + 1) * length;
    return to > from ? to - from : 0;
}

/* The inputs that output I covers: *FIRST … *LAST - 1. */
static void covered(int64_t length, int64_t i, int64_t size, int *first, int *last) {
    *first = (int)(i * length / size);
    *last = (int)(((i + 1) * length + size - 1) / size);
}

static uint8_t mean_of(const uint8_t *in, int height, int width, int channels, int size, int row, int column) {
    int top, bottom, left, right;
    covered(height, row, size, &top, &bottom);
    covered(width, column, size, &left, &right);
    int64_t sum = 0;
    for (int y = top; y < bottom; y++) {
        int64_t along = 0;
        for (int x = left; x < right; x++) {
            along += overlap(x, width, column, size) * in[((int64_t)y * width + x) * channels];
        }
        sum += overlap(y, height, row, size) * along;
    }
    const int64_t area = (int64_t)height * width; /* what the overlaps of one output add up to */
    return (uint8_t)((sum + area / 2) / area);
}

void blo_average_area(const uint8_t *in, int height, int width, int channels, int size, uint8_t *out) {
    if (height == size && width == size) {
        memcpy(out, in, (size_t)size * (size_t)size * (size_t)channels);
        return;
    }
    for (int row = 0; row < size; row++) {
        for (int column = 0; column < size; column++) {
            for (int c = 0; c < channels; c++) {
                *out++ = mean_of(in + c, height, width, channels, size, row, column);
            }
        }
    }
}
