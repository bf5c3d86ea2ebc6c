/* Packs an operand of a convolution (src/plan/conv.h); LOAD evaluates the operand's expression. T: element.
 *
 *   WEIGHT   out[panel][tap][inner][TN] = LOAD(lane, inner, tap), 0 beyond the group's lanes; one work-item per panel and tap
 *   else     an image with zeros around and between its pixels: out[n][h][w][c] = LOAD(n, (h - low) / step, (w - low) / step, c)
 *            where that is a pixel, else 0; one work-item per row, W channels at once */
#if WEIGHT
__kernel void NAME(PARAMETERS, __global T *restrict out, const ulong out_offset, const ulong taps_r, const ulong taps_s,
                   const ulong inner, const ulong group_lanes, const ulong group_panels) {
    const uint tap = get_global_id(0), panel = get_global_id(1), group = panel / group_panels, count = (uint)inner;
    const uint lane = panel % group_panels * TN, lanes = min((uint)TN, (uint)group_lanes - lane);
    const uint r = tap / taps_s, s = tap % taps_s;
    __global T *restrict to = out + out_offset + ((ulong)panel * taps_r * taps_s + tap) * inner * TN;
    for (uint i = 0; i < count; i++, to += TN)
        for (uint t = 0; t < TN; t++)
#if FLIP /* towards the image: lanes are its channels, inner the output's, taps from the end */
            to[t] = t < lanes ? LOAD(group * count + i, lane + min(t, lanes - 1), (uint)taps_r - 1 - r, (uint)taps_s - 1 - s) : (T)0;
#else
            to[t] = t < lanes ? LOAD(group * (uint)group_lanes + lane + min(t, lanes - 1), i, r, s) : (T)0;
#endif
}
#else
__kernel void NAME(PARAMETERS, __global T *restrict out, const ulong out_offset, const ulong rows, const ulong columns,
                   const ulong channels, const ulong row_low, const ulong column_low, const ulong row_step, const ulong column_step,
                   const ulong height, const ulong width) {
    const uint row = get_global_id(0), n = get_global_id(1), count = (uint)channels;
    __global T *restrict to = out + out_offset + ((ulong)n * rows + row) * columns * channels;
    const uint h = row - (uint)row_low, from_h = h / (uint)row_step;
    const bool row_inside = row >= row_low && h % (uint)row_step == 0 && from_h < height;
    for (uint column = 0; column < columns; column++, to += channels) {
        const uint w = column - (uint)column_low, from_w = w / (uint)column_step;
        if (row_inside && column >= column_low && w % (uint)column_step == 0 && from_w < width)
            for (uint c = 0; c < count; c += W)
                KEEP(LOAD(n, from_h, from_w, c), to + c);
        else
            for (uint c = 0; c < count; c++)
                to[c] = 0;
    }
}
#endif
