/* Draws the built-in digits: their strokes by a hand of its own for each, then noise. All of it in integers, so that a
 * seed gives the same bytes everywhere. Must not know files. */
#include <clbilevel/data.h>

#include "array.h"
#include "glyphs.h"
#include "pen.h"
#include "random.h"
#include "report.h"

#include <string.h>

enum {
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    PIXEL = BLO_PEN_PIXEL,
    SINE_ONE = BLO_PEN_SINE_ONE,
    TURN = BLO_PEN_TURN,
    ANGLES_PER_STEP = 4, /* the glyphs' angles are 64ths of a turn */
    ARC_STEP = 8,        /* angles between the corners of a drawn arc */
    WHITE = 255,

    /* The spread of the hand: wide enough that no linear classifier gets all, narrow enough that people do. */
    SCALE_LO = 2800,   /* of ONE, each direction on its own */
    SCALE_HI = 4300,   /**/
    SLANT = 1500,      /* of ONE: x per y, either way */
    TURN_MOST = 10,    /* of TURN, either way */
    BEND = 900,        /* of ONE: how far a parabola moves the digit's ends, in half heights */
    SHIFT = 2 * PIXEL, /* either way */
    STROKE_SHIFT = 7,  /* glyph units by which a stroke misses its place, either way */
    RADIUS_LO = 150,   /* half a stroke's thickness, in places */
    RADIUS_HI = 400,   /**/
    INK_LO = 150,      /* grey of the ink */
    NOISE = 14,        /* most noise of a pixel, as four bytes' sum says */
    SPECKS = 6         /* pixels that take any grey */
};

static const blo_spread SPREAD = {.scale_lo = SCALE_LO,
                                  .scale_hi = SCALE_HI,
                                  .slant = SLANT,
                                  .turn = TURN_MOST,
                                  .bend = BEND,
                                  .shift = SHIFT,
                                  .radius_lo = RADIUS_LO,
                                  .radius_hi = RADIUS_HI,
                                  .ink_lo = INK_LO};

static void draw_line(const blo_hand *by, const blo_stroke *stroke, blo_place miss, uint8_t *ink) {
    for (int i = 1; i < stroke->points; i++) {
        const int *from = stroke->at[i - 1], *to = stroke->at[i];
        blo_hand_segment(by, blo_hand_put(by, from[0] * PIXEL + miss.x, from[1] * PIXEL + miss.y),
                         blo_hand_put(by, to[0] * PIXEL + miss.x, to[1] * PIXEL + miss.y), ink);
    }
}

static blo_place on_arc(const blo_hand *by, const blo_stroke *stroke, blo_place miss, int angle) {
    const int64_t x = stroke->at[0][0] * PIXEL + stroke->at[1][0] * PIXEL * blo_sine(angle + TURN / 4) / SINE_ONE;
    const int64_t y = stroke->at[0][1] * PIXEL + stroke->at[1][1] * PIXEL * blo_sine(angle) / SINE_ONE;
    return blo_hand_put(by, x + miss.x, y + miss.y);
}

static void draw_arc(const blo_hand *by, const blo_stroke *stroke, blo_place miss, uint8_t *ink) {
    const int first = stroke->at[2][0] * ANGLES_PER_STEP, last = stroke->at[2][1] * ANGLES_PER_STEP;
    const int step = last > first ? ARC_STEP : -ARC_STEP;
    blo_place before = on_arc(by, stroke, miss, first);
    for (int angle = first; angle != last;) {
        angle = (last - angle) / step == 0 ? last : angle + step; /* the last piece may be shorter */
        const blo_place here = on_arc(by, stroke, miss, angle);
        blo_hand_segment(by, before, here, ink);
        before = here;
    }
}

static void draw_digit(int class, blo_stream *draws, uint8_t *ink) {
    const blo_hand by = blo_hand_draw(&SPREAD, SIDE, draws);
    for (int i = 0; i < BLO_GLYPH_STROKES && blo_glyphs[class][i].kind != BLO_STROKE_NONE; i++) {
        const blo_stroke *stroke = &blo_glyphs[class][i];
        const blo_place miss = {blo_stream_between(draws, -STROKE_SHIFT * PIXEL, STROKE_SHIFT * PIXEL),
                                blo_stream_between(draws, -STROKE_SHIFT * PIXEL, STROKE_SHIFT * PIXEL)};
        if (stroke->optional && blo_stream_below(draws, 2) == 0) {
            continue;
        }
        if (stroke->kind == BLO_STROKE_ARC) {
            draw_arc(&by, stroke, miss, ink);
        } else {
            draw_line(&by, stroke, miss, ink);
        }
    }
    for (int i = 0; i < PIXELS; i++) {
        ink[i] = (uint8_t)(ink[i] * by.ink / WHITE);
    }
}

static void add_noise(blo_stream *draws, uint8_t *ink) {
    for (int i = 0; i < PIXELS; i++) {
        const uint32_t word = blo_stream_next(draws);
        const int sum =
            (int)((word & 0xff) + (word >> 8 & 0xff) + (word >> 16 & 0xff) + (word >> 24)); /* nearly normal */
        const int grey = ink[i] + (sum - 2 * WHITE) * NOISE / (2 * WHITE);
        ink[i] = (uint8_t)(grey < 0 ? 0 : grey > WHITE ? WHITE : grey);
    }
    for (int i = 0; i < SPECKS; i++) {
        const uint32_t at = blo_stream_below(draws, PIXELS);
        ink[at] = (uint8_t)blo_stream_below(draws, WHITE + 1);
    }
}

blo_status blo_digits_generate(int64_t count, uint64_t seed, blo_dataset *dataset, char *message, size_t size) {
    const blo_report report = {message, size};
    if (dataset == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_digits_generate: dataset is NULL");
    }
    memset(dataset, 0, sizeof *dataset);
    if (count < 1 || count > INT32_MAX) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_digits_generate: %lld images; 1 to %d can be made",
                               (long long)count, (int)INT32_MAX);
    }
    if (!blo_array_make(BLO_UINT8, 3, (int64_t[]){count, SIDE, SIDE}, &dataset->images) ||
        !blo_array_make(BLO_INT32, 1, &count, &dataset->labels)) {
        blo_dataset_free(dataset);
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_digits_generate: no memory for %lld images",
                               (long long)count);
    }
    uint8_t *images = dataset->images.data;
    int32_t *labels = dataset->labels.data;
    memset(images, 0, blo_array_bytes(&dataset->images));
    blo_random_permutation(count, seed, BLO_USE_DIGITS, labels);
    for (int64_t i = 0; i < count; i++) {
        blo_stream draws; /* each image has its own: none depends on how many numbers those before it took */
        blo_stream_start(&draws, seed, (uint64_t)i, BLO_USE_DIGITS);
        labels[i] %= BLO_GLYPH_CLASSES;
        draw_digit(labels[i], &draws, images + i * PIXELS);
        add_noise(&draws, images + i * PIXELS);
    }
    dataset->classes = BLO_GLYPH_CLASSES;
    return BLO_OK;
}
