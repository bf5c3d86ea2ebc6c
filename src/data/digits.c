/* Draws the built-in digits: strokes bent, slanted, turned, scaled and shifted at random, inked with soft edges, then
 * noise. All of it in integers, so that a seed gives the same bytes everywhere. Must not know files. */
#include <clbilevel/data.h>

#include "array.h"
#include "glyphs.h"
#include "random.h"
#include "report.h"

#include <string.h>

enum {
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    PIXEL = 256,         /* one pixel in units of place */
    ONE = 4096,          /* 1 of factors */
    SINE_ONE = 16384,    /* 1 of sines */
    TURN = 256,          /* angles of a whole turn */
    ANGLES_PER_STEP = 4, /* the glyphs' angles are 64ths of a turn */
    ARC_STEP = 8,        /* angles between the corners of a drawn arc */
    WHITE = 255,

    /* The spread of the hand: wide enough that no linear classifier gets all, narrow enough that people do. */
    UNIT = 26,         /* places of a glyph's unit at scale 1: 96 units are 9.75 pixels */
    SCALE_LO = 2800,   /* of ONE, each direction on its own */
    SCALE_HI = 4300,   /**/
    SLANT = 1500,      /* of ONE: x per y, either way */
    TURN_MOST = 10,    /* of TURN, either way */
    BEND = 900,        /* of ONE: how far a parabola moves the digit's ends, in half heights */
    SHIFT = 2 * PIXEL, /* either way */
    STROKE_SHIFT = 7,  /* glyph units by which a stroke misses its place, either way */
    RADIUS_LO = 150,   /* half a stroke's thickness, in places */
    RADIUS_HI = 400,   /**/
    EDGE = PIXEL,      /* width of a stroke's soft edge */
    INK_LO = 150,      /* grey of the ink */
    NOISE = 14,        /* most noise of a pixel, as four bytes' sum says */
    SPECKS = 6         /* pixels that take any grey */
};

/* sin of 0 … 64 256ths of a turn, times SINE_ONE. */
static const int32_t QUARTER_SINE[TURN / 4 + 1] = {
    0,     402,   804,   1205,  1606,  2006,  2404,  2801,  3196,  3590,  3981,  4370,  4756,
    5139,  5520,  5897,  6270,  6639,  7005,  7366,  7723,  8076,  8423,  8765,  9102,  9434,
    9760,  10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665, 12916, 13160,
    13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557,
    15679, 15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384};

typedef struct place {
    int64_t x, y; /* in 256ths of a pixel */
} place;

/* How one image's hand differs from the glyph. */
typedef struct hand {
    int64_t scale_x, scale_y, slant, bend_x, bend_y; /* of ONE */
    int64_t sine, cosine;                            /* of SINE_ONE */
    place shift;
    int64_t radius;
    int ink;
} hand;

static int64_t sine(int angle) {
    const int at = ((angle % TURN) + TURN) % TURN;
    const int within = at % (TURN / 2);
    const int32_t size = QUARTER_SINE[within <= TURN / 4 ? within : TURN / 2 - within];
    return at < TURN / 2 ? size : -size;
}

static hand draw_hand(blo_stream *draws) {
    hand made;
    made.scale_x = blo_stream_between(draws, SCALE_LO, SCALE_HI);
    made.scale_y = blo_stream_between(draws, SCALE_LO, SCALE_HI);
    made.slant = blo_stream_between(draws, -SLANT, SLANT);
    made.bend_x = blo_stream_between(draws, -BEND, BEND);
    made.bend_y = blo_stream_between(draws, -BEND, BEND);
    const int angle = blo_stream_between(draws, -TURN_MOST, TURN_MOST);
    made.sine = sine(angle);
    made.cosine = sine(angle + TURN / 4);
    made.shift.x = blo_stream_between(draws, -SHIFT, SHIFT);
    made.shift.y = blo_stream_between(draws, -SHIFT, SHIFT);
    made.radius = blo_stream_between(draws, RADIUS_LO, RADIUS_HI);
    made.ink = blo_stream_between(draws, INK_LO, WHITE);
    return made;
}

/* Where HAND puts the glyph's (X,Y), given in 256ths of a unit. */
static place put(const hand *by, int64_t x, int64_t y) {
    const int64_t half = (int64_t)BLO_GLYPH_HALF_HEIGHT * PIXEL;
    const int64_t bent_x = x + by->bend_x * y / ONE * y / half;
    const int64_t bent_y = y + by->bend_y * x / ONE * x / half;
    const int64_t slanted = (bent_x - bent_y * by->slant / ONE) * by->scale_x / ONE;
    const int64_t tall = bent_y * by->scale_y / ONE;
    const int64_t right = (slanted * by->cosine - tall * by->sine) / SINE_ONE;
    const int64_t down = (slanted * by->sine + tall * by->cosine) / SINE_ONE;
    const int64_t middle = (int64_t)SIDE * PIXEL / 2;
    return (place){right * UNIT / PIXEL + middle + by->shift.x, down * UNIT / PIXEL + middle + by->shift.y};
}

static int64_t square_root(int64_t value) {
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 30; bit != 0; bit >>= 1) {
        if ((root + bit) * (root + bit) <= value) {
            root += bit;
        }
    }
    return root;
}

/* From AT to the nearest place of the segment A-B. */
static int64_t distance(place at, place a, place b) {
    const int64_t dx = b.x - a.x, dy = b.y - a.y;
    const int64_t length = dx * dx + dy * dy;
    const int64_t along = (at.x - a.x) * dx + (at.y - a.y) * dy;
    const int64_t part = length == 0 || along <= 0 ? 0 : along >= length ? ONE : along * ONE / length;
    const int64_t x = a.x + dx * part / ONE - at.x, y = a.y + dy * part / ONE - at.y;
    return square_root(x * x + y * y);
}

/* The pixels whose middles lie between LO and HI: *FIRST … *LAST within the image. */
static void pixel_range(int64_t lo, int64_t hi, int *first, int *last) {
    const int64_t from = lo < 0 ? 0 : lo / PIXEL, to = hi < 0 ? -1 : hi / PIXEL;
    *first = from > SIDE ? SIDE : (int)from;
    *last = to > SIDE - 1 ? SIDE - 1 : (int)to;
}

/* Inks INK[28,28] (0 … WHITE) around the segment A-B; where strokes meet the darker counts. */
static void draw_segment(const hand *by, place a, place b, uint8_t *ink) {
    const int64_t reach = by->radius + EDGE;
    int left, right, top, bottom;
    pixel_range((a.x < b.x ? a.x : b.x) - reach, (a.x < b.x ? b.x : a.x) + reach, &left, &right);
    pixel_range((a.y < b.y ? a.y : b.y) - reach, (a.y < b.y ? b.y : a.y) + reach, &top, &bottom);
    for (int row = top; row <= bottom; row++) {
        for (int column = left; column <= right; column++) {
            const place middle = {column * PIXEL + PIXEL / 2, row * PIXEL + PIXEL / 2};
            const int64_t inside = by->radius + EDGE / 2 - distance(middle, a, b);
            const int64_t grey = inside <= 0 ? 0 : inside >= EDGE ? WHITE : inside * WHITE / EDGE;
            if (grey > ink[row * SIDE + column]) {
                ink[row * SIDE + column] = (uint8_t)grey;
            }
        }
    }
}

static void draw_line(const hand *by, const blo_stroke *stroke, place miss, uint8_t *ink) {
    for (int i = 1; i < stroke->points; i++) {
        const int *from = stroke->at[i - 1], *to = stroke->at[i];
        draw_segment(by, put(by, from[0] * PIXEL + miss.x, from[1] * PIXEL + miss.y),
                     put(by, to[0] * PIXEL + miss.x, to[1] * PIXEL + miss.y), ink);
    }
}

static place on_arc(const hand *by, const blo_stroke *stroke, place miss, int angle) {
    const int64_t x = stroke->at[0][0] * PIXEL + stroke->at[1][0] * PIXEL * sine(angle + TURN / 4) / SINE_ONE;
    const int64_t y = stroke->at[0][1] * PIXEL + stroke->at[1][1] * PIXEL * sine(angle) / SINE_ONE;
    return put(by, x + miss.x, y + miss.y);
}

static void draw_arc(const hand *by, const blo_stroke *stroke, place miss, uint8_t *ink) {
    const int first = stroke->at[2][0] * ANGLES_PER_STEP, last = stroke->at[2][1] * ANGLES_PER_STEP;
    const int step = last > first ? ARC_STEP : -ARC_STEP;
    place before = on_arc(by, stroke, miss, first);
    for (int angle = first; angle != last;) {
        angle = (last - angle) / step == 0 ? last : angle + step; /* the last piece may be shorter */
        const place here = on_arc(by, stroke, miss, angle);
        draw_segment(by, before, here, ink);
        before = here;
    }
}

static void draw_digit(int class, blo_stream *draws, uint8_t *ink) {
    const hand by = draw_hand(draws);
    for (int i = 0; i < BLO_GLYPH_STROKES && blo_glyphs[class][i].kind != BLO_STROKE_NONE; i++) {
        const blo_stroke *stroke = &blo_glyphs[class][i];
        const place miss = {blo_stream_between(draws, -STROKE_SHIFT * PIXEL, STROKE_SHIFT * PIXEL),
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
