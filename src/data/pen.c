/* Draws strokes as a hand would: bent, slanted, turned, scaled and shifted, inked with soft edges. All of it in
 * integers, so that the same numbers give the same bytes everywhere. Must not know what is drawn. */
#include "pen.h"

#include "glyphs.h"

enum {
    DESIGN = 28, /* the side all lengths below are for; other sides are scaled */
    PIXEL = BLO_PEN_PIXEL,
    ONE = BLO_PEN_ONE,
    SINE_ONE = BLO_PEN_SINE_ONE,
    TURN = BLO_PEN_TURN,
    UNIT = 26,    /* places of a glyph's unit at scale 1: 96 units are 9.75 pixels */
    EDGE = PIXEL, /* width of a stroke's soft edge */
    WHITE = 255
};

/* sin of 0 … 64 256ths of a turn, times SINE_ONE. */
static const int32_t QUARTER_SINE[TURN / 4 + 1] = {
    0,     402,   804,   1205,  1606,  2006,  2404,  2801,  3196,  3590,  3981,  4370,  4756,
    5139,  5520,  5897,  6270,  6639,  7005,  7366,  7723,  8076,  8423,  8765,  9102,  9434,
    9760,  10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665, 12916, 13160,
    13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557,
    15679, 15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384};

int64_t blo_sine(int angle) {
    const int at = ((angle % TURN) + TURN) % TURN;
    const int within = at % (TURN / 2);
    const int32_t size = QUARTER_SINE[within <= TURN / 4 ? within : TURN / 2 - within];
    return at < TURN / 2 ? size : -size;
}

blo_hand blo_hand_draw(const blo_spread *spread, int side, blo_stream *draws) {
    blo_hand made;
    made.side = side;
    made.scale_x = blo_stream_between(draws, spread->scale_lo, spread->scale_hi);
    made.scale_y = blo_stream_between(draws, spread->scale_lo, spread->scale_hi);
    made.slant = blo_stream_between(draws, -spread->slant, spread->slant);
    made.bend_x = blo_stream_between(draws, -spread->bend, spread->bend);
    made.bend_y = blo_stream_between(draws, -spread->bend, spread->bend);
    const int angle = blo_stream_between(draws, -spread->turn, spread->turn);
    made.sine = blo_sine(angle);
    made.cosine = blo_sine(angle + TURN / 4);
    made.shift.x = blo_stream_between(draws, -spread->shift, spread->shift);
    made.shift.y = blo_stream_between(draws, -spread->shift, spread->shift);
    made.radius = (int64_t)blo_stream_between(draws, spread->radius_lo, spread->radius_hi) * side / DESIGN;
    made.ink = blo_stream_between(draws, spread->ink_lo, WHITE);
    return made;
}

blo_place blo_hand_put(const blo_hand *by, int64_t x, int64_t y) {
    const int64_t half = (int64_t)BLO_GLYPH_HALF_HEIGHT * PIXEL;
    const int64_t bent_x = x + by->bend_x * y / ONE * y / half;
    const int64_t bent_y = y + by->bend_y * x / ONE * x / half;
    const int64_t slanted = (bent_x - bent_y * by->slant / ONE) * by->scale_x / ONE;
    const int64_t tall = bent_y * by->scale_y / ONE;
    const int64_t right = (slanted * by->cosine - tall * by->sine) / SINE_ONE;
    const int64_t down = (slanted * by->sine + tall * by->cosine) / SINE_ONE;
    const int64_t middle = (int64_t)DESIGN * PIXEL / 2;
    const int64_t across = right * UNIT / PIXEL + middle + by->shift.x;
    const int64_t below = down * UNIT / PIXEL + middle + by->shift.y;
    return (blo_place){across * by->side / DESIGN, below * by->side / DESIGN};
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

/* The square of the way from AT to the nearest place of the segment A-B. */
static int64_t square_distance(blo_place at, blo_place a, blo_place b) {
    const int64_t dx = b.x - a.x, dy = b.y - a.y;
    const int64_t length = dx * dx + dy * dy;
    const int64_t along = (at.x - a.x) * dx + (at.y - a.y) * dy;
    const int64_t part = length == 0 || along <= 0 ? 0 : along >= length ? ONE : along * ONE / length;
    const int64_t x = a.x + dx * part / ONE - at.x, y = a.y + dy * part / ONE - at.y;
    return x * x + y * y;
}

/* The grey of a pixel whose middle is as far as the root of SQUARE from a stroke whose soft edge ends at REACH. Roots
 * are dear: one is taken within the edge only. */
static int64_t grey_at(int64_t square, int64_t reach) {
    if (square >= reach * reach) {
        return 0;
    }
    const int64_t inside = reach - EDGE + 1;
    if (inside > 0 && square < inside * inside) {
        return WHITE;
    }
    return (reach - square_root(square)) * WHITE / EDGE;
}

/* The pixels whose middles lie between LO and HI: *FIRST … *LAST within the image. */
static void pixel_range(int64_t lo, int64_t hi, int side, int *first, int *last) {
    const int64_t from = lo < 0 ? 0 : lo / PIXEL, to = hi < 0 ? -1 : hi / PIXEL;
    *first = from > side ? side : (int)from;
    *last = to > side - 1 ? side - 1 : (int)to;
}

void blo_hand_segment(const blo_hand *by, blo_place a, blo_place b, uint8_t *ink) {
    const int side = by->side;
    const int64_t reach = by->radius + EDGE;
    int left, right, top, bottom;
    pixel_range((a.x < b.x ? a.x : b.x) - reach, (a.x < b.x ? b.x : a.x) + reach, side, &left, &right);
    pixel_range((a.y < b.y ? a.y : b.y) - reach, (a.y < b.y ? b.y : a.y) + reach, side, &top, &bottom);
    for (int row = top; row <= bottom; row++) {
        for (int column = left; column <= right; column++) {
            const blo_place middle = {column * PIXEL + PIXEL / 2, row * PIXEL + PIXEL / 2};
            const int64_t grey = grey_at(square_distance(middle, a, b), by->radius + EDGE / 2);
            if (grey > ink[row * side + column]) {
                ink[row * side + column] = (uint8_t)grey;
            }
        }
    }
}
