/* Convolution of images, channels last, as a product that reads its rows where they lie in the (padded) image (src/plan/conv.h). A
 * work-item holds tiles of TM rows by TN lanes in registers; lanes are output channels, VN vectors of V; each element of a row is
 * broadcast. Two forms of rows, the rest is shared:
 *
 *   output   rows: TP x TQ neighbouring pixels of one image; inner index: tap, channel. The weight is packed in panels of lanes:
 *            w[panel][tap][channel][TN]. Of the gradient to the image it is the same, with another weight.
 *   WEIGHT   rows: taps and channels; inner index: the pixels of a range of images. With WITHIN_TAP a tile's rows are neighbouring
 *            channels of one tap, else any; sums of each range go to out[range][row][o], added up by conv_sum.cl. A work-item takes some
 *            of all panels' tiles for one range, all of them for a block of images before the next.
 *
 * Around the image lie zeros, or with IN_PLACE nothing: then what a tap would find there is left out. A tile of pixels is then one line,
 * or the WHOLE image, and FOR_TAPS(X): X(ROWS, r, s) … tells for each tap which of its pixels take part.
 *
 * ALONG_CHANNELS (of an image with zeros around, for few outputs): the vectors of a tile of pixels, one line, run along the channels
 * instead; a tile has one output (TN is 1), for which the lanes are added up at the end.
 *
 * T: element. W: elements of a vector V. NEAR: V where only an element is aligned; compilers write it as one piece, where they may take
 * vstoren apart. FOR_ROWS(X): X(0, p, q) … with the row's place in a tile of pixels; FOR_VECTORS(X, r): X(r, 0) … */
#define DECLARE1(r, v) V acc##r##_##v = 0;
#define DECLARE(r, p, q) FOR_VECTORS(DECLARE1, r)
#define FETCH(r, v) const V y##v = VLOAD(v, bp);
#define STEP1(r, v) acc##r##_##v = fma(x, y##v, acc##r##_##v);
#define STEP(r, p, q) { const V x = (V)(A(r, p, q)); FOR_VECTORS(STEP1, r) }
#define KEEP1(r, v) ((__global NEAR *)at)[v] = acc##r##_##v;
#define SAVE1(r, v) ((NEAR *)line)[v] = acc##r##_##v;
#define STORE(r) \
    if (lanes == TN) { \
        FOR_VECTORS(KEEP1, r) \
    } else { \
        FOR_VECTORS(SAVE1, r) \
        for (uint j = 0; j < lanes; j++) \
            at[j] = line[j]; \
    }

#if WEIGHT
#if IN_PLACE /* windows p whose tap, at p * stride + at - low, lies inside */
#define FIRST_INSIDE(at, low, stride) ((low) > (at) ? ((low) - (at) + (stride) - 1) / (stride) : 0)
#define END_INSIDE(at, low, stride, size) ((size) + (low) > (at) ? ((size) + (low) - (at) - 1) / (stride) + 1 : 0)
#define P_FROM p_from
#define P_TO p_to
#define Q_FROM q_from
#define Q_TO q_to
#else
#define P_FROM 0
#define P_TO height
#define Q_FROM 0
#define Q_TO width
#endif
#if WITHIN_TAP
#define A(r, p, q) ap[r]
#else
#define A(r, p, q) ap[o##r]
#define PLACE(r, p, q) \
    const ulong m##r = min(tile * TM + r, rows - 1); \
    const ulong o##r = m##r / channels / taps_s * tap_row + m##r / channels % taps_s * tap_column + m##r % channels;
#endif
#define SAVE(r, p, q) \
    if (r < count) { \
        __global T *at = to + (first + r) * outputs; \
        STORE(r) \
    }
#define TAKE1(r, v) acc##r##_##v = VLOAD(v, at);
#define TAKE(r, p, q) \
    if (r < count && lanes == TN) { \
        __global const T *at = to + (first + r) * outputs; \
        FOR_VECTORS(TAKE1, r) \
    } else if (r < count) { \
        __global const T *at = to + (first + r) * outputs; \
        for (uint j = 0; j < lanes; j++) \
            line[j] = at[j]; \
        FOR_VECTORS(RESUME1, r) \
    }
#define RESUME1(r, v) acc##r##_##v = VLOAD(v, line);

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(
    __global const T *restrict image, const ulong image_offset, __global const T *restrict g, const ulong g_offset,
    __global T *restrict out, const ulong out_offset, const ulong images, const ulong range, const ulong block, const ulong height,
    const ulong width, const ulong x_plane, const ulong x_row, const ulong x_column, const ulong g_plane, const ulong g_row,
    const ulong g_column, const ulong g_start, const ulong taps_s, const ulong tap_row, const ulong tap_column, const ulong rows,
    const ulong channels, const ulong outputs, const ulong group_outputs, const ulong group_panels, const ulong panels,
    const ulong tiles, const ulong item_tiles, const ulong image_height, const ulong image_width, const ulong stride_r, const ulong stride_s,
    const ulong dilation_r, const ulong dilation_s, const ulong low_r, const ulong low_s) {
    typedef V NEAR __attribute__((aligned(sizeof(T))));
    const ulong z = get_global_id(1), from = z * range, end = min(from + range, images);
    const ulong first_tile = get_global_id(0) * item_tiles, last_tile = min(first_tile + item_tiles, panels * tiles);
    T line[TN];
    ulong start = from;
    do {
        const ulong stop = min(start + block, end);
        for (ulong i = first_tile; i < last_tile; i++) {
            const ulong panel = i / tiles, tile = i % tiles, group = panel / group_panels;
            const ulong lane = group * group_outputs + panel % group_panels * TN;
            const uint lanes = (uint)min((ulong)TN, (group + 1) * group_outputs - lane);
            __global T *restrict to = out + out_offset + z * rows * outputs + lane;
#if WITHIN_TAP
            const ulong tap = tile / ((channels + TM - 1) / TM), channel = tile % ((channels + TM - 1) / TM) * TM;
            const ulong first = tap * channels + channel, count = min((ulong)TM, channels - channel);
#if IN_PLACE
            const ulong at_r = tap / taps_s * dilation_r, at_s = tap % taps_s * dilation_s;
            const ulong p_from = FIRST_INSIDE(at_r, low_r, stride_r), q_from = FIRST_INSIDE(at_s, low_s, stride_s);
            const ulong p_to = min(height, END_INSIDE(at_r, low_r, stride_r, image_height));
            const ulong q_to = min(width, END_INSIDE(at_s, low_s, stride_s, image_width));
            /* may wrap below zero: p_from and q_from lead back into the image */
            const ulong offset = channel + (at_r - low_r) * (x_row / stride_r) + (at_s - low_s) * (x_column / stride_s);
#else
            const ulong offset = tap / taps_s * tap_row + tap % taps_s * tap_column + channel;
#endif
#else
            const ulong first = tile * TM, count = min((ulong)TM, rows - first), offset = 0;
            FOR_ROWS(PLACE)
#endif
            FOR_ROWS(DECLARE)
            if (start > from) {
                FOR_ROWS(TAKE)
            }
            const ulong columns = Q_TO - Q_FROM, steps = P_TO > P_FROM && Q_TO > Q_FROM ? (P_TO - P_FROM) * columns : 0;
            const ulong x_next = x_row - (columns - 1) * x_column, g_next = g_row - (columns - 1) * g_column;
            for (ulong n = start; n < stop; n++) {
                __global const T *restrict ap =
                    image + (image_offset + n * x_plane + P_FROM * x_row + Q_FROM * x_column + group * channels + offset);
                __global const T *restrict bp = g + g_offset + g_start + n * g_plane + P_FROM * g_row + Q_FROM * g_column + lane;
                ulong q = columns;
                for (ulong step = 0; step < steps; step++) { /* lines are short: the step to the next one is chosen, not branched to */
                    FOR_VECTORS(FETCH, 0)
                    FOR_ROWS(STEP)
                    const bool last = --q == 0;
                    ap += last ? x_next : x_column;
                    bp += last ? g_next : g_column;
                    q = last ? columns : q;
                }
            }
            FOR_ROWS(SAVE)
        }
        start += block;
    } while (start < end);
}
#undef FIRST_INSIDE
#undef END_INSIDE
#undef P_FROM
#undef P_TO
#undef Q_FROM
#undef Q_TO
#undef PLACE
#undef SAVE
#undef TAKE
#undef TAKE1
#undef RESUME1
#elif IN_PLACE
#define A(r, p, q) ap[p * ROW + q * COLUMN]
#define TAP(ROWS, r, s) { \
        __global const T *restrict ap = LINE(r) + (s * DILATION_S - LOW_S) * IMAGE_COLUMN; \
        __global const T *restrict bp = w + (r * TAPS_S + s) * CHANNELS * TN; \
        for (uint c = 0; c < CHANNELS; c++) { \
            FOR_VECTORS(FETCH, 0) \
            ROWS(STEP) \
            ap++; \
            bp += TN; \
        } \
    }
#define SAVE(r, p, q) { \
        __global T *at = y + ((n * height + strip * TP + p) * TQ + q) * outputs + lane; \
        STORE(r) \
    }

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(
    __global const T *restrict image, const ulong image_offset, __global const T *restrict w, const ulong w_offset,
    __global T *restrict y, const ulong y_offset, const ulong height, const ulong outputs, const ulong group_outputs,
    const ulong group_panels) {
    typedef V NEAR __attribute__((aligned(sizeof(T))));
    const ulong strip = get_global_id(0), panel = get_global_id(1), n = get_global_id(2), group = panel / group_panels;
    const ulong lane = group * group_outputs + panel % group_panels * TN;
    const uint lanes = (uint)min((ulong)TN, (group + 1) * group_outputs - lane);
    T line[TN];
    image += image_offset + n * IMAGE_ROWS * IMAGE_ROW + group * CHANNELS;
    w += w_offset + panel * TAPS_R * TAPS_S * CHANNELS * TN;
    y += y_offset;
    FOR_ROWS(DECLARE)
#if WHOLE
#define LINE(r) (image + (r * DILATION_R - LOW_R) * IMAGE_ROW)
    FOR_TAPS(TAP)
#else
#define LINE(r) (image + h * IMAGE_ROW)
    for (long r = 0; r < TAPS_R; r++) {
        const long h = (long)strip * STRIDE + r * DILATION_R - LOW_R;
        if (h >= 0 && h < IMAGE_ROWS) {
            FOR_TAPS(TAP)
        }
    }
#endif
    FOR_ROWS(SAVE)
}
#undef LINE
#undef SAVE
#else
#if ALONG_CHANNELS
#define STEP_CHANNELS(r, p, q) acc##r##_0 = fma(VLOAD(0, ap##p + q * COLUMN), y0, acc##r##_0);
#define CHANNEL_STEP W
#define INNER FOR_ROWS(STEP_CHANNELS)
#define ADVANCE(p) ap##p += W;
#define STORE_TILE(r) \
    *(NEAR *)line = acc##r##_0; \
    T sum = line[0]; \
    for (uint j = 1; j < W; j++) \
        sum += line[j]; \
    *at = sum;
#else
#define CHANNEL_STEP 1
#define INNER FOR_ROWS(STEP)
#define ADVANCE(p) ap##p++;
#define STORE_TILE(r) STORE(r)
#endif
#define A(r, p, q) ap##p[q * COLUMN]
#define POINT(p) __global const T *restrict ap##p = ap + p * image_row;
#define SAVE(r, p, q) \
    if (strip * TP + p < height && column + q < width) { \
        __global T *at = y + ((n * height + strip * TP + p) * width + column + q) * outputs + lane; \
        STORE_TILE(r) \
    }

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(
    __global const T *restrict image, const ulong image_offset, __global const T *restrict w, const ulong w_offset,
    __global T *restrict y, const ulong y_offset, const ulong height, const ulong width, const ulong plane, const ulong image_row,
    const ulong taps_r, const ulong taps_s, const ulong tap_row, const ulong tap_column, const ulong channels, const ulong outputs,
    const ulong group_outputs, const ulong group_panels) {
    typedef V NEAR __attribute__((aligned(sizeof(T))));
    const ulong strip = get_global_id(0), panel = get_global_id(1), n = get_global_id(2), group = panel / group_panels;
    const ulong lane = group * group_outputs + panel % group_panels * TN;
    const uint lanes = (uint)min((ulong)TN, (group + 1) * group_outputs - lane);
    T line[W > TN ? W : TN];
    image += image_offset + n * plane + strip * TP * image_row + group * channels;
    w += w_offset + panel * taps_r * taps_s * channels * TN;
    y += y_offset;
    for (ulong column = 0; column < width; column += TQ) {
        __global const T *restrict bp = w;
        FOR_ROWS(DECLARE)
        for (ulong r = 0; r < taps_r; r++)
            for (ulong s = 0; s < taps_s; s++) {
                __global const T *restrict ap = image + column * COLUMN + r * tap_row + s * tap_column;
                FOR_LINES(POINT)
                for (ulong c = 0; c < channels; c += CHANNEL_STEP) {
                    FOR_VECTORS(FETCH, 0)
                    INNER
                    FOR_LINES(ADVANCE)
                    bp += CHANNEL_STEP * TN;
                }
            }
        FOR_ROWS(SAVE)
    }
}
#undef STEP_CHANNELS
#undef CHANNEL_STEP
#undef INNER
#undef STORE_TILE
#undef POINT
#undef ADVANCE
#undef SAVE
#endif
#undef DECLARE1
#undef DECLARE
#undef FETCH
#undef STEP1
#undef STEP
#undef KEEP1
#undef SAVE1
#undef STORE
#undef A
