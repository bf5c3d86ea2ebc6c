/* libFuzzer on the PNG reader, in both numbers of channels, with the checksums of chunks set right before: else nothing
 * that is not the seed itself gets past them. */
#include "data/png.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

enum { SIDE = 9, BUDGET = 1 << 20, SIGNATURE = 8, LENGTH = 4, KIND = 4, SUM = 4 };

static void correct_sums(uint8_t *png, size_t count) {
    for (size_t at = SIGNATURE; count >= LENGTH + KIND + SUM && at <= count - (LENGTH + KIND + SUM);) {
        const size_t length =
            (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 | (size_t)png[at + 2] << 8 | png[at + 3];
        if (length > count - at - (LENGTH + KIND + SUM)) {
            return;
        }
        const uint32_t sum = (uint32_t)crc32(0, png + at + LENGTH, (uInt)(KIND + length));
        at += LENGTH + KIND + length;
        for (int i = 0; i < SUM; i++) {
            png[at++] = (uint8_t)(sum >> (24 - 8 * i));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[200];
    const blo_report report = {message, sizeof message};
    uint8_t *png = malloc(count + 1);
    memcpy(png, bytes, count);
    correct_sums(png, count);
    for (int channels = 1; channels <= 3; channels += 2) {
        uint8_t *pixels = malloc(SIDE * SIDE * (size_t)channels); /* as large as said, so that a byte more is noticed */
        uint64_t budget = BUDGET;
        blo_png_decode("input", png, count, SIDE, channels, &budget, pixels, &report);
        if (budget > BUDGET) {
            abort();
        }
        free(pixels);
    }
    free(png);
    return 0;
}
