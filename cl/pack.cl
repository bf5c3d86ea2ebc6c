/* Packs an operand of a product into panels of TILE (src/plan/gemm.h): one work-item writes BLOCK steps of k of one panel.
 *   out[batch][panel][k][t] = LOAD(batch, k, panel * TILE + t), 0 beyond the operand's edge
 * LOAD evaluates the operand's expression; LOAD_LANES W elements of it, from there along t (ALONG_PANEL) or along k, whichever lies
 * contiguous in the source. What is read along k is turned in registers (turn.cl), so that reads and writes run along memory.
 * IS_A: the panel runs along the rows. T: element. V: vector of W. REST: TILE % W; PUT_REST(x, p) stores so many lanes. */
#define READ(l) V turn##l = LOAD_LANES(item, k, t_from + t + l);
#define READ_REST(l) V turn##l = l < REST ? LOAD_LANES(item, k, t_from + t + l) : (V)0;
#define WRITE(l) *(__global NEAR *)(to + l * TILE + t) = turn##l;
#define WRITE_REST(l) PUT_REST(turn##l, to + l * TILE + t)
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(PARAMETERS, __global T *restrict out, const ulong out_offset,
                                                                  const ulong batch, const ulong rows, const ulong columns) {
    typedef V NEAR __attribute__((aligned(sizeof(T)))); /* written as one piece, where compilers take vstoren apart */
    const uint panel = get_global_id(0), item = get_global_id(2), k_count = IS_A ? columns : rows, count = IS_A ? rows : columns;
    const uint k_from = get_global_id(1) * BLOCK, k_to = min(k_from + BLOCK, k_count), t_from = panel * TILE;
    const uint panels = (count + TILE - 1) / TILE, t_count = min((uint)TILE, count - t_from);
    __global T *restrict to = out + out_offset + ((ulong)(item * panels + panel) * k_count + k_from) * TILE;
    uint k = k_from;
#if ALONG_PANEL
    if (t_from + (TILE + W - 1) / W * W <= count) /* whole vectors can be read */
        for (; k < k_to; k++, to += TILE) {
            uint t = 0;
            for (; t + W <= TILE; t += W) {
                const V x = LOAD_LANES(item, k, t_from + t);
                *(__global NEAR *)(to + t) = x;
            }
#if REST
            const V x = LOAD_LANES(item, k, t_from + t);
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
#undef READ
#undef READ_REST
#undef WRITE
#undef WRITE_REST
