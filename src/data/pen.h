/* Strokes drawn as by a hand, in integers. Must not know what is drawn. */
#ifndef BLO_DATA_PEN_H
#define BLO_DATA_PEN_H

#include <stdint.h>

#include "random.h"

enum {
    BLO_PEN_PIXEL = 256,      /* one pixel in units of place */
    BLO_PEN_ONE = 4096,       /* 1 of factors */
    BLO_PEN_SINE_ONE = 16384, /* 1 of sines */
    BLO_PEN_TURN = 256        /* angles of a whole turn */
};

typedef struct blo_place {
    int64_t x, y; /* in 256ths of a pixel */
} blo_place;

/* How widely hands differ; lengths are places of a 28x28 image, whatever the side. */
typedef struct blo_spread {
    int scale_lo, scale_hi;   /* of ONE, each direction on its own */
    int slant;                /* of ONE: x per y, either way */
    int turn;                 /* of TURN, either way */
    int bend;                 /* of ONE: how far a parabola moves the ends, in half heights */
    int shift;                /* either way */
    int radius_lo, radius_hi; /* half a stroke's thickness */
    int ink_lo;               /* grey of the ink; the most is 255 */
} blo_spread;

/* How one image's hand differs from the glyph. */
typedef struct blo_hand {
    int64_t scale_x, scale_y, slant, bend_x, bend_y; /* of ONE */
    int64_t sine, cosine;                            /* of SINE_ONE */
    blo_place shift;
    int64_t radius; /* in places of the image */
    int ink, side;
} blo_hand;

/* sin of ANGLE, times SINE_ONE. */
int64_t blo_sine(int angle);

/* A hand for an image [SIDE,SIDE]. */
blo_hand blo_hand_draw(const blo_spread *spread, int side, blo_stream *draws);

/* Where HAND puts the glyph's (X,Y), given in 256ths of a unit. */
blo_place blo_hand_put(const blo_hand *by, int64_t x, int64_t y);

/* Inks INK[side,side] (0 … 255) around the segment A-B; where strokes meet the darker counts. */
void blo_hand_segment(const blo_hand *by, blo_place a, blo_place b, uint8_t *ink);

#endif
