/* The ten digits as strokes: a table. Must not know pixels. */
#include "glyphs.h"

#define LINE(...)                                                                                                      \
    {                                                                                                                  \
        BLO_STROKE_LINE, false, sizeof((int[][2]){__VA_ARGS__}) / sizeof(int[2]), {                                    \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define MAYBE_LINE(...)                                                                                                \
    {                                                                                                                  \
        BLO_STROKE_LINE, true, sizeof((int[][2]){__VA_ARGS__}) / sizeof(int[2]), {                                     \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define ARC(x, y, rx, ry, first, last)                                                                                 \
    {                                                                                                                  \
        BLO_STROKE_ARC, false, 0, {                                                                                    \
            {x, y}, {rx, ry}, {                                                                                        \
                first, last                                                                                            \
            }                                                                                                          \
        }                                                                                                              \
    }

const blo_stroke blo_glyphs[BLO_GLYPH_CLASSES][BLO_GLYPH_STROKES] = {
    {ARC(0, 0, 54, 92, 0, 64)},
    {LINE({4, -92}, {4, 92}), MAYBE_LINE({-26, -62}, {4, -92})},
    {ARC(0, -44, 48, 48, 34, 72), LINE({34, -10}, {-50, 92}), LINE({-50, 92}, {54, 92})},
    {ARC(0, -46, 44, 46, 36, 80), ARC(0, 44, 50, 48, 48, 92)},
    {LINE({16, -92}, {-54, 28}, {58, 28}), LINE({24, -30}, {24, 92})},
    {LINE({46, -90}, {-34, -90}, {-38, -10}), ARC(-2, 33, 52, 59, 40, 91)},
    {ARC(40, 18, 92, 108, 48, 32), ARC(0, 42, 51, 50, 0, 64)},
    {LINE({-50, -88}, {52, -88}, {-12, 92}), MAYBE_LINE({-26, 4}, {42, 4})},
    {ARC(0, -47, 41, 45, 0, 64), ARC(0, 45, 51, 47, 0, 64)},
    {ARC(0, -42, 50, 50, 0, 64), LINE({50, -42}, {42, 30}, {16, 92})},
};
