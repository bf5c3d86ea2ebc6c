/* Packs an operand of a product into panels of TILE (src/plan/gemm.h): one work-item writes BLOCK steps of k of one panel.
 *   out[batch][panel][k][t] = LOAD(batch, k, panel * TILE + t), 0 beyond the operand's edge
 * LOAD evaluates the operand's expression; LOAD_LANES W elements of it, from there along t (ALONG_PANEL) or along k, whichever lies
 * contiguous in the source. What is read along k is turned in registers (turn.cl), so that reads and writes run along memory.
 * IS_A: the panel runs along the rows. T: element. V: vector of W. REST: TILE % W; PUT_REST(x, p) stores so many lanes. With a rest
 * LOAD_LANES may start anywhere: vectors of the last panel reach back from the edge, and go down to their places in LINE, zeros behind
 * them. */
#if REST
#define FITS (count >= W)
#define FETCH(x) \
    const uint from = min(t_from + t, count - W), down = t_from + t - from; \
    V x = LOAD_LANES(item, k, from); \
    if (down) { \
        VSTORE(x, 0, line); \
        x = VLOAD(0, line + min(down, (uint)W)); \
    }
#else
#define FITS (t_from + TILE <= count)
#define FETCH(x) const V x = LOAD_LANES(item, k, t_from + t);
#endif
#define READ(l) V turn##l = LOAD_LANES(item, k, t_from + t + l);
#define READ_REST(l) V turn##l = l < REST ? LOAD_LANES(item, k, t_from + t + l) : (V)0;
#define WRITE(l) VSTORE(turn##l, 0, to + l * TILE + t);
#define WRITE_REST(l) PUT_REST(turn##l, to + l * TILE + t)
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(PARAMETERS, __global T *restrict out, const ulong out_offset,
                                                                  const ulong batch, const ulong rows, const ulong columns) {
    const uint panel = get_global_id(0), item = get_global_id(2), k_count = IS_A ? columns : rows, count = IS_A ? rows : columns;
    const uint k_from = get_global_id(1) * BLOCK, k_to = min(k_from + BLOCK, k_count), t_from = panel * TILE;
    const uint panels = (count + TILE - 1) / TILE, t_count = min((uint)TILE, count - t_from);
    __global T *restrict to = out + out_offset + ((ulong)(item * panels + panel) * k_count + k_from) * TILE;
    uint k = k_from;
#if ALONG_PANEL
#if REST
    T line[2 * W];
    VSTORE((V)0, 1, line);
#endif
    if (FITS) /* whole vectors can be read */
        for (; k < k_to; k++, to += TILE) {
            uint t = 0;
            for (; t + W <= TILE; t += W) {
                FETCH(x)
                VSTORE(x, 0, to + t);
            }
#if REST
            FETCH(x)
            PUT_REST(x, to + t)
#endif
        }
#else
    if (t_count == TILE)
        for (; k + W <= k_to; k += W, to += W * TILE) {
            uint t = 0;
            for (; t + W <= TILE; t += W) {
                FOR_LANES(READ)
                TURN
                FOR_LANES(WRITE)
            }
#if REST
            FOR_LANES(READ_REST)
            TURN
            FOR_LANES(WRITE_REST)
#endif
        }
#endif
    for (; k < k_to; k++, to += TILE)
        for (uint t = 0; t < TILE; t++)
            to[t] = t < t_count ? LOAD(item, k, t_from + min(t, t_count - 1)) : (T)0;
}
#undef FITS
#undef FETCH
#undef READ
#undef READ_REST
#undef WRITE
#undef WRITE_REST
