/* Packs an operand of a product into panels of TILE (src/plan/gemm.h): one work-item writes BLOCK steps of k of one panel.
 *   out[batch][panel][k][t] = LOAD(batch, k, panel * TILE + t), 0 beyond the operand's edge
 * LOAD evaluates the operand's expression. ALONG_PANEL: the source lies contiguous along t, else along k: then values go through a
 * small block, so that both the reads and the writes run along memory. IS_A: the panel runs along the rows. T: element. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(PARAMETERS, __global T *restrict out, const ulong out_offset,
                                                                  const ulong batch, const ulong rows, const ulong columns) {
    const uint panel = get_global_id(0), item = get_global_id(2), k_count = IS_A ? columns : rows, count = IS_A ? rows : columns;
    const uint k_from = get_global_id(1) * BLOCK, k_to = min(k_from + BLOCK, k_count), t_from = panel * TILE;
    const uint panels = (count + TILE - 1) / TILE, t_count = min((uint)TILE, count - t_from);
    __global T *restrict to = out + out_offset + ((ulong)(item * panels + panel) * k_count + k_from) * TILE;
#if ALONG_PANEL
    if (t_count == TILE)
        for (uint k = k_from; k < k_to; k++, to += TILE)
            for (uint t = 0; t < TILE; t++)
                to[t] = LOAD(item, k, t_from + t);
    else
        for (uint k = k_from; k < k_to; k++, to += TILE)
            for (uint t = 0; t < TILE; t++)
                to[t] = t < t_count ? LOAD(item, k, t_from + min(t, t_count - 1)) : (T)0;
#else
    T block[TILE][16];
    for (uint k = k_from; k < k_to; k += 16) {
        const uint n = min(16u, k_to - k);
        for (uint t = 0; t < TILE; t++) {
            const uint from = t_from + min(t, t_count - 1);
            if (n == 16)
                for (uint j = 0; j < 16; j++)
                    block[t][j] = LOAD(item, k + j, from);
            else
                for (uint j = 0; j < n; j++)
                    block[t][j] = LOAD(item, k + j, from);
        }
        for (uint j = 0; j < n; j++, to += TILE)
            for (uint t = 0; t < TILE; t++)
                to[t] = t < t_count ? block[t][j] : (T)0;
    }
#endif
}
