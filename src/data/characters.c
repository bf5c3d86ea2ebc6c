/* The built-in characters: alphabets with a manner of their own, characters of a few random strokes, drawings by a hand
 * that shakes. All of it in integers, so that a seed gives the same bytes everywhere. Must not know files. */
#include "images.h"
#include "pen.h"
#include "random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALPHABETS = 10,
    CHARACTERS = 20, /* of an alphabet */
    DRAWINGS = 20,   /* of a character */
    CLASSES = ALPHABETS * CHARACTERS,
    MOST_STROKES = 5,
    POINTS = 3,   /* of a stroke: its ends, and what it bends towards */
    PIECES = 6,   /* straight ones that a bent stroke is drawn in */
    CHANCE = 256, /* certainty */
    GRID = 5,     /* places for points, each way */
    GRID_STEP = 42,
    NEAR = 2,   /* a stroke is longer than this many steps of the grid, both ways added */
    JITTER = 13 /* units by which a point misses its place, either way */
};

static const blo_spread SPREAD = {.scale_lo = 2900,
                                  .scale_hi = 3900,
                                  .slant = 1100,
                                  .turn = 9,
                                  .bend = 350,
                                  .shift = 3 * BLO_PEN_PIXEL,
                                  .radius_lo = 170,
                                  .radius_hi = 240,
                                  .ink_lo = 255};

/* An alphabet's manner. */
typedef struct manner {
    int fewest, most; /* strokes */
    int curved;       /* of CHANCE: a stroke is bent */
    int joined;       /* of CHANCE: a stroke begins where the one before ended */
} manner;

typedef struct character {
    int strokes;
    int at[MOST_STROKES][POINTS][2]; /* in steps of the grid, from its middle */
} character;

static manner draw_manner(uint64_t seed, int alphabet) {
    blo_stream draws;
    blo_stream_start(&draws, seed, (uint64_t)alphabet, BLO_USE_ALPHABETS);
    manner made = {.fewest = blo_stream_between(&draws, 3, 4)};
    made.most = made.fewest + blo_stream_between(&draws, 0, MOST_STROKES - made.fewest);
    made.curved = blo_stream_between(&draws, CHANCE / 8, CHANCE);
    made.joined = blo_stream_between(&draws, CHANCE / 4, CHANCE);
    return made;
}

static void draw_point(blo_stream *draws, int point[2]) {
    point[0] = blo_stream_between(draws, -(GRID / 2), GRID / 2);
    point[1] = blo_stream_between(draws, -(GRID / 2), GRID / 2);
}

static bool near(const int a[2], const int b[2]) {
    return abs(a[0] - b[0]) + abs(a[1] - b[1]) < NEAR;
}

static bool same(const int a[2], const int b[2]) {
    return a[0] == b[0] && a[1] == b[1];
}

/* Does stroke LAST go where one before it went, to or fro. */
static bool retraces(int (*const strokes)[POINTS][2], int last) {
    int(*const at)[2] = strokes[last];
    for (int i = 0; i < last; i++) {
        if ((same(at[0], strokes[i][0]) && same(at[2], strokes[i][2])) ||
            (same(at[0], strokes[i][2]) && same(at[2], strokes[i][0]))) {
            return true;
        }
    }
    return false;
}

static character draw_character(uint64_t seed, int class, const manner *as) {
    blo_stream draws;
    blo_stream_start(&draws, seed, (uint64_t) class, BLO_USE_CHARACTERS);
    character made = {.strokes = blo_stream_between(&draws, as->fewest, as->most)};
    for (int i = 0; i < made.strokes; i++) {
        int(*at)[2] = made.at[i];
        draw_point(&draws, at[0]);
        if (i > 0 && (int)blo_stream_below(&draws, CHANCE) < as->joined) {
            memcpy(at[0], made.at[i - 1][2], sizeof at[0]);
        }
        do {
            draw_point(&draws, at[2]);
        } while (near(at[0], at[2]) || retraces(made.at, i));
        draw_point(&draws, at[1]);
        if ((int)blo_stream_below(&draws, CHANCE) >= as->curved) {
            memcpy(at[1], at[0], sizeof at[1]); /* bent towards its own end: straight */
        }
    }
    return made;
}

/* PIECE of PIECES along the quadratic curve of AT, in 256ths of a unit. */
static blo_place on_curve(const blo_hand *by, int64_t (*at)[2], int piece) {
    const int64_t t = piece, left = PIECES - piece, whole = PIECES * PIECES;
    int64_t sum[2];
    for (int axis = 0; axis < 2; axis++) {
        sum[axis] = (at[0][axis] * left * left + 2 * at[1][axis] * left * t + at[2][axis] * t * t) / whole;
    }
    return blo_hand_put(by, sum[0], sum[1]);
}

static void draw_drawing(const character *of, blo_stream *draws, int side, uint8_t *ink) {
    const blo_hand by = blo_hand_draw(&SPREAD, side, draws);
    for (int i = 0; i < of->strokes; i++) {
        int64_t at[POINTS][2];
        for (int point = 0; point < POINTS; point++) {
            for (int axis = 0; axis < 2; axis++) {
                const int miss = blo_stream_between(draws, -JITTER * BLO_PEN_PIXEL, JITTER * BLO_PEN_PIXEL);
                at[point][axis] = (int64_t)of->at[i][point][axis] * GRID_STEP * BLO_PEN_PIXEL + miss;
            }
        }
        for (int piece = 0; piece < PIECES; piece++) {
            blo_hand_segment(&by, on_curve(&by, at, piece), on_curve(&by, at, piece + 1), ink);
        }
    }
}

/* Grey [COUNT] at the front of PIXELS to [COUNT, CHANNELS], from the back. */
static void repeat_channels(uint8_t *pixels, size_t count, int channels) {
    for (size_t i = count; channels > 1 && i-- > 0;) {
        memset(pixels + i * (size_t)channels, pixels[i], (size_t)channels);
    }
}

static bool draw_classes(uint64_t seed, blo_images *images) {
    const size_t plane = (size_t)images->size * (size_t)images->size, bytes = plane * (size_t)images->channels;
    char name[40];
    for (int class = 0; class < CLASSES; class ++) {
        const manner as = draw_manner(seed, class / CHARACTERS);
        const character drawn = draw_character(seed, class, &as);
        for (int i = 0; i < DRAWINGS; i++) {
            const uint64_t number = (uint64_t) class * DRAWINGS + (uint64_t)i;
            uint8_t *pixels = images->pixels + number * bytes;
            blo_stream draws;
            blo_stream_start(&draws, seed, number, BLO_USE_DRAWINGS);
            draw_drawing(&drawn, &draws, images->size, pixels);
            repeat_channels(pixels, plane, images->channels);
        }
        snprintf(name, sizeof name, "alphabet%02d/character%02d", class / CHARACTERS + 1, class % CHARACTERS + 1);
        if (!blo_images_add_class(images, name, strlen(name), DRAWINGS, BLO_NO_SPLIT)) {
            return false;
        }
    }
    return true;
}

blo_status blo_images_generate(const blo_images_options *given, blo_images **images, char *message, size_t size) {
    const blo_report report = {message, size};
    blo_images_options options;
    if (images == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_images_generate: images is NULL");
    }
    *images = NULL;
    const blo_status status = blo_images_check_options("blo_images_generate", given, &options, &report);
    if (status != BLO_OK) {
        return status;
    }
    blo_images *made = blo_images_new(&options);
    const size_t plane = (size_t)options.image_size * (size_t)options.image_size;
    if (made != NULL) {
        made->owned = made->pixels = calloc((size_t)CLASSES * DRAWINGS, plane * (size_t)options.channels);
    }
    if (made == NULL || made->owned == NULL || !draw_classes(options.seed, made) ||
        !blo_images_give_splits(made, options.seed)) {
        blo_images_destroy(made);
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_images_generate: no memory for %d images of %dx%d",
                               CLASSES * DRAWINGS, options.image_size, options.image_size);
    }
    *images = made;
    return BLO_OK;
}
