/* Convolution of images, channels last, as a product that reads its rows where they lie in the (padded) image (src/plan/conv.h). A
 * work-item holds tiles of TM rows by TN lanes in registers; lanes are output channels, VN vectors of V; each element of a row is
 * broadcast. Two forms of rows, the rest is shared:
 *
 *   output   rows: TP x TQ neighbouring pixels of one image; inner index: tap, channel. The weight is packed in panels of lanes:
 *            w[panel][tap][channel][TN]. Of the gradient to the image it is the same, with another weight.
 *   WEIGHT   rows: taps and channels; inner index: the pixels of a range of images. With WITHIN_TAP a tile's rows are neighbouring
 *            channels of one tap, else any; sums of each range go to out[range][row][o], added up by conv_sum.cl.
 *
 * T: element. W: elements of a vector. FOR_ROWS(X): X(0, p, q) … with the row's place in a tile of pixels; FOR_VECTORS(X, r): X(r, 0) … */
#define DECLARE1(r, v) V acc##r##_##v = 0;
#define DECLARE(r, p, q) FOR_VECTORS(DECLARE1, r)
#define FETCH(r, v) const V y##v = VLOAD(v, bp);
#define STEP1(r, v) acc##r##_##v = fma(x, y##v, acc##r##_##v);
#define STEP(r, p, q) { const V x = (V)(A(r, p, q)); FOR_VECTORS(STEP1, r) }
#define KEEP1(r, v) VSTORE(acc##r##_##v, v, at);
#define SAVE1(r, v) VSTORE(acc##r##_##v, v, line);
#define STORE(r) \
    if (lanes == TN) { \
        FOR_VECTORS(KEEP1, r) \
    } else { \
        FOR_VECTORS(SAVE1, r) \
        for (uint j = 0; j < lanes; j++) \
            at[j] = line[j]; \
    }

#if WEIGHT
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
    const ulong channels, const ulong outputs, const ulong group_outputs, const ulong group_panels, const ulong tiles,
    const ulong group_tiles) {
    const ulong z = get_global_id(2), panel = get_global_id(1), group = panel / group_panels;
    const ulong lane = group * group_outputs + panel % group_panels * TN;
    const uint lanes = (uint)min((ulong)TN, (group + 1) * group_outputs - lane);
    const ulong from = z * range, end = min(from + range, images), first_tile = get_global_id(0) * group_tiles;
    const ulong last_tile = min(first_tile + group_tiles, tiles);
    __global T *restrict to = out + out_offset + z * rows * outputs + lane;
    T line[TN];
    ulong start = from;
    do {
        const ulong stop = min(start + block, end);
        for (ulong tile = first_tile; tile < last_tile; tile++) {
#if WITHIN_TAP
            const ulong tap = tile / ((channels + TM - 1) / TM), channel = tile % ((channels + TM - 1) / TM) * TM;
            const ulong first = tap * channels + channel, count = min((ulong)TM, channels - channel);
            const ulong offset = tap / taps_s * tap_row + tap % taps_s * tap_column + channel;
#else
            const ulong first = tile * TM, count = min((ulong)TM, rows - first), offset = 0;
            FOR_ROWS(PLACE)
#endif
            FOR_ROWS(DECLARE)
            if (start > from) {
                FOR_ROWS(TAKE)
            }
            for (ulong n = start; n < stop; n++)
                for (ulong p = 0; p < height; p++) {
                    __global const T *restrict ap = image + image_offset + n * x_plane + p * x_row + group * channels + offset;
                    __global const T *restrict bp = g + g_offset + g_start + n * g_plane + p * g_row + lane;
                    for (ulong q = 0; q < width; q++) {
                        FOR_VECTORS(FETCH, 0)
                        FOR_ROWS(STEP)
                        ap += x_column;
                        bp += g_column;
                    }
                }
            FOR_ROWS(SAVE)
        }
        start += block;
    } while (start < end);
}
#undef PLACE
#undef SAVE
#undef TAKE
#undef TAKE1
#undef RESUME1
#else
#define A(r, p, q) ap##p[q * COLUMN]
#define POINT(p) __global const T *restrict ap##p = ap + p * image_row;
#define ADVANCE(p) ap##p++;
#define SAVE(r, p, q) \
    if (strip * TP + p < height && column + q < width) { \
        __global T *at = y + ((n * height + strip * TP + p) * width + column + q) * outputs + lane; \
        STORE(r) \
    }

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(
    __global const T *restrict image, const ulong image_offset, __global const T *restrict w, const ulong w_offset,
    __global T *restrict y, const ulong y_offset, const ulong height, const ulong width, const ulong plane, const ulong image_row,
    const ulong taps_r, const ulong taps_s, const ulong tap_row, const ulong tap_column, const ulong channels, const ulong outputs,
    const ulong group_outputs, const ulong group_panels) {
    const ulong strip = get_global_id(0), panel = get_global_id(1), n = get_global_id(2), group = panel / group_panels;
    const ulong lane = group * group_outputs + panel % group_panels * TN;
    const uint lanes = (uint)min((ulong)TN, (group + 1) * group_outputs - lane);
    T line[TN];
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
                for (ulong c = 0; c < channels; c++) {
                    FOR_VECTORS(FETCH, 0)
                    FOR_ROWS(STEP)
                    FOR_LINES(ADVANCE)
                    bp += TN;
                }
            }
        FOR_ROWS(SAVE)
    }
}
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
