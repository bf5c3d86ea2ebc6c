/* PNG of every form becomes 8 bits of one size, as worked out by hand; damaged, cut and too large ones are refused. */
#include "data/area.h"
#include "data/png.h"

#include "drawings.h"
#include "runner.h"

#include <png.h>
#include <string.h>

static char message[300];
static const blo_report report = {message, sizeof message};
static drawing made;

static blo_status decode(int size, int channels, uint8_t *pixels) {
    uint64_t budget = 1 << 20;
    return blo_png_decode("drawing", made.bytes, made.count, size, channels, &budget, pixels, &report);
}

/* What is in MADE decodes to EXPECTED [size,size,channels]. */
static void check(int size, int channels, const uint8_t *expected) {
    uint8_t pixels[64];
    const size_t count = (size_t)size * (size_t)size * (size_t)channels;
    ck_assert_msg(decode(size, channels, pixels) == BLO_OK, "%s", message);
    ck_assert_mem_eq(pixels, expected, count);
}

START_TEST(grey_of_every_depth_becomes_8_bits) {
    static const struct {
        int depth;
        uint8_t rows[8]; /* two of two pixels */
        uint8_t expected[4];
    } cases[] = {{1, {0x40, 0x80}, {0, 255, 255, 0}},
                 {2, {0x10, 0xb0}, {0, 85, 170, 255}},
                 {4, {0x01, 0xe7}, {0, 17, 238, 119}},
                 {8, {0, 1, 254, 77}, {0, 1, 254, 77}},
                 {16, {0, 0, 1, 1, 254, 254, 128, 0}, {0, 1, 254, 128}}};
    drawing_make(2, 2, PNG_COLOR_TYPE_GRAY, cases[_i].depth, _i % 2 == 1, cases[_i].rows, &made);
    check(2, 1, cases[_i].expected);
    uint8_t thrice[12];
    for (int i = 0; i < 12; i++) {
        thrice[i] = cases[_i].expected[i / 3];
    }
    check(2, 3, thrice);
}
END_TEST

START_TEST(colours_become_luma_or_stay) {
    /* Red, green; blue, white: 255 times 0.299, 0.587 and 0.114 are 76.2, 149.7 and 29.1. */
    const uint8_t rows[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};
    drawing_make(2, 2, PNG_COLOR_TYPE_RGB, 8, false, rows, &made);
    check(2, 1, (const uint8_t[]){76, 150, 29, 255});
    check(2, 3, rows);
    uint8_t wide[24]; /* the same in 16 bits */
    for (int i = 0; i < 24; i++) {
        wide[i] = rows[i / 2];
    }
    drawing_make(2, 2, PNG_COLOR_TYPE_RGB, 16, true, wide, &made);
    check(2, 3, rows);
}
END_TEST

START_TEST(palettes_are_looked_up_and_transparent_is_white) {
    const uint8_t rows[] = {0x10, 0xb0}; /* entries 0, 1; 2, 3 */
    drawing_make(2, 2, PNG_COLOR_TYPE_PALETTE, 2, false, rows, &made);
    check(2, 3, (const uint8_t[]){0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 255, 255});
    check(2, 1, (const uint8_t[]){0, 76, 150, 255});
}
END_TEST

START_TEST(opacity_is_laid_over_white) {
    /* Black of opacity 0, 51, 255; grey 100 of opacity 128: 255 - 155 * 128 / 255 = 177.2. */
    const uint8_t rows[] = {0, 0, 0, 51, 0, 255, 100, 128};
    drawing_make(2, 2, PNG_COLOR_TYPE_GRAY_ALPHA, 8, false, rows, &made);
    check(2, 1, (const uint8_t[]){255, 204, 0, 177});
    const uint8_t colours[] = {1, 2, 3, 0, 1, 2, 3, 255, 255, 0, 0, 51, 0, 0, 0, 255};
    drawing_make(2, 2, PNG_COLOR_TYPE_RGB_ALPHA, 8, false, colours, &made);
    check(2, 3, (const uint8_t[]){255, 255, 255, 1, 2, 3, 255, 204, 204, 0, 0, 0});
}
END_TEST

START_TEST(other_sizes_are_means_over_areas) {
    const uint8_t square[] = {0, 30, 60, 90, 120, 150, 200, 220, 255};
    drawing_make(3, 3, PNG_COLOR_TYPE_GRAY, 8, false, square, &made);
    /* Each of 2x2 covers 1.5 x 1.5: the first is (0 + 30/2 + 90/2 + 120/4) / 2.25, the others are
     * 180, 385 and 470 over 2.25: 80, 171.1, 208.9. */
    check(2, 1, (const uint8_t[]){40, 80, 171, 209});
    check(1, 1, (const uint8_t[]){125}); /* 1125 / 9 */
    const uint8_t wide[] = {10, 20, 30, 40, 50, 60, 70, 80};
    drawing_make(4, 2, PNG_COLOR_TYPE_GRAY, 8, false, wide, &made);
    check(2, 1, (const uint8_t[]){15, 35, 55, 75});
    check(4, 1, (const uint8_t[]){10, 20, 30, 40, 10, 20, 30, 40, 50, 60, 70, 80, 50, 60, 70, 80});
}
END_TEST

/* A constant stays what it is, at any size: the weights add up. */
START_TEST(a_constant_keeps_its_value) {
    uint8_t in[30 * 17 * 3], out[64 * 64 * 3];
    memset(in, 201, sizeof in);
    for (int size = 1; size <= 64; size++) {
        blo_average_area(in, 17, 30, 3, size, out);
        for (int i = 0; i < size * size * 3; i++) {
            ck_assert_int_eq(out[i], 201);
        }
    }
}
END_TEST

START_TEST(cut_anywhere_is_refused) {
    uint8_t pixels[100];
    drawing_numbered(10, 1, &made);
    const size_t whole = made.count;
    ck_assert_int_eq(decode(10, 1, pixels), BLO_OK);
    for (made.count = 0; made.count < whole; made.count++) {
        ck_assert_int_eq(decode(10, 1, pixels), BLO_ERROR_FILE);
        ck_assert_msg(strstr(message, "drawing: cannot be read as PNG") == message, "%s", message);
    }
}
END_TEST

/* A checksum guards each chunk; what goes through is in parts that mean nothing. */
START_TEST(damaged_anywhere_is_refused_or_does_not_matter) {
    uint8_t pixels[100], good[100];
    int refused = 0;
    drawing_numbered(10, 1, &made);
    ck_assert_int_eq(decode(10, 1, good), BLO_OK);
    for (size_t i = 0; i < made.count; i++) {
        made.bytes[i] ^= 0x11;
        const blo_status status = decode(10, 1, pixels);
        ck_assert(status == BLO_ERROR_FILE || (status == BLO_OK && memcmp(pixels, good, sizeof good) == 0));
        refused += status != BLO_OK;
        made.bytes[i] ^= 0x11;
    }
    ck_assert_int_gt(refused, (int)made.count / 2);
}
END_TEST

START_TEST(more_than_is_sound_is_refused) {
    static uint8_t rows[5000];
    uint8_t pixels[4];
    drawing_make(5000, 1, PNG_COLOR_TYPE_GRAY, 8, false, rows, &made);
    ck_assert_int_eq(decode(2, 1, pixels), BLO_ERROR_FILE);
    drawing_make(4000, 1, PNG_COLOR_TYPE_GRAY, 8, false, rows, &made);
    ck_assert_int_eq(decode(2, 1, pixels), BLO_OK);
    uint64_t budget = 3999;
    ck_assert_int_eq(blo_png_decode("drawing", made.bytes, made.count, 2, 1, &budget, pixels, &report), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "more than is sound"));
    budget = 4100;
    ck_assert_int_eq(blo_png_decode("drawing", made.bytes, made.count, 2, 1, &budget, pixels, &report), BLO_OK);
    ck_assert_uint_eq(budget, 100);
}
END_TEST

START_TEST(something_else_is_refused) {
    uint8_t pixels[4];
    strcpy((char *)made.bytes, "GIF89a, it says of itself, and goes on");
    made.count = strlen((char *)made.bytes);
    ck_assert_int_eq(decode(2, 1, pixels), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "Not a PNG file"));
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("png");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, grey_of_every_depth_becomes_8_bits, 0, 5);
    tcase_add_test(tests, colours_become_luma_or_stay);
    tcase_add_test(tests, palettes_are_looked_up_and_transparent_is_white);
    tcase_add_test(tests, opacity_is_laid_over_white);
    tcase_add_test(tests, other_sizes_are_means_over_areas);
    tcase_add_test(tests, a_constant_keeps_its_value);
    tcase_add_test(tests, cut_anywhere_is_refused);
    tcase_add_test(tests, damaged_anywhere_is_refused_or_does_not_matter);
    tcase_add_test(tests, more_than_is_sound_is_refused);
    tcase_add_test(tests, something_else_is_refused);
    return run_case("png", tests);
}
