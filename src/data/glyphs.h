/* The ten digits as strokes. Must not know pixels. */
#ifndef BLO_DATA_GLYPHS_H
#define BLO_DATA_GLYPHS_H

#include <stdbool.h>

/* Units: the origin in the digit's middle, y downward, 96 from the middle to the top. */
enum { BLO_GLYPH_CLASSES = 10, BLO_GLYPH_STROKES = 4, BLO_GLYPH_POINTS = 4, BLO_GLYPH_HALF_HEIGHT = 96 };

typedef enum blo_stroke_kind { BLO_STROKE_NONE = 0, BLO_STROKE_LINE, BLO_STROKE_ARC } blo_stroke_kind;

typedef struct blo_stroke {
    blo_stroke_kind kind;
    bool optional;               /* drawn in half of the images */
    int points;                  /* LINE: how many of AT */
    int at[BLO_GLYPH_POINTS][2]; /* LINE: x, y of its corners; ARC: centre, radii, then first and last angle in 64ths of
                                    a turn from the right, clockwise as y goes down */
} blo_stroke;

extern const blo_stroke blo_glyphs[BLO_GLYPH_CLASSES][BLO_GLYPH_STROKES];

#endif
