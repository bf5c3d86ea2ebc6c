/* C[batch,m,n] = A B, or its transpose stored, tile by tile (src/plan/gemm.h): a work-item computes the tiles of GROUP panels of the
 * row operand a with COLUMNS panels of the column operand b, over one range of k.
 *
 *            lanes: VN vectors of W (TN)      a: one element per row, broadcast     A(r): row r's at the present k
 *          +------------------------+         b: lies along the lanes               S: its stored type, CONVERT: to V
 *   TM     | acc{r}_{v}             |         c: [m,n], SWAPPED: [n,m]; split: [range] of such
 *   rows   +------------------------+
 *
 * ROW_WAY, COLUMN_WAY: PACKED as pack.cl does, or in place: ALONG_TILE (a line of the array holds the tile's rows or columns at one k)
 * or ALONG_K (a line holds all k of one row). EVALUATED: the column operand is no array but an expression. LOAD(batch, k, t): its
 * element, LOAD_LANES: W elements from there, along t or along k. What lies along k is turned, W steps of k at a
 * time. T: element. V: vector of W. FOR_ROWS(X): X(0) … X(TM-1). FOR_VECTORS(X, r): X(r, 0) …
 * All accumulators are named, so that they are registers. */
#define DECLARE1(r, v) V acc##r##_##v = 0;
#define DECLARE(r) FOR_VECTORS(DECLARE1, r)
#if COLUMN_WAY == ALONG_K /* one vector per row */
#define READ(l) V turn##l = LOAD_LANES(item, i, column + l);
#define USE(l) { const V y0 = turn##l; FOR_ROWS(STEP) ap += A_STEP; }
#elif EVALUATED
#define FETCH(r, v) const V y##v = LOAD_LANES(item, i, column + v * W);
#else
#define FETCH(r, v) const V y##v = CONVERT(VLOAD_S(v, bp));
#endif
#define STEP1(r, v) acc##r##_##v = fma(x, y##v, acc##r##_##v);
#define STEP(r) { const V x = (V)(A(r)); FOR_VECTORS(STEP1, r) }
#if ROW_WAY == ALONG_K
#define A(r) ap[place##r]
#define A_STEP 1
#define PLACE_ROW(r) const ulong place##r = min((ulong)r, rows - 1) * a_step;
#else
#define A(r) ap[r]
#define A_STEP (ROW_WAY == PACKED ? TM : a_step)
#endif
#define B_STEP (COLUMN_WAY == ALONG_TILE ? b_step : TN)
#define CLEAR(l) V turn##l = 0;
#define WHOLE (TM <= W ? TM : 0) /* rows of a tile that is turned in registers; others are not */
#if SWAPPED
#define LINE1(r, v) VSTORE(acc##r##_##v, v, line[r]);
#define LINE(r) FOR_VECTORS(LINE1, r)
#define TAKE(r, v) turn##r = acc##r##_##v;
#define GIVE(r, v) acc##r##_##v = turn##r;
#define IF_MINE(l, v) if (v * W + l >= lane_from && v * W + l < lane_to)
#define PUT_LANE(l, v) IF_MINE(l, v) { PUT_TILE(turn##l, c + (column + v * W + l) * m + row) }
#define GET_LANE(l, v) IF_MINE(l, v) { GET_TILE(turn##l, c + (column + v * W + l) * m + row) }
#define SAVE_TURNED(r, v) { FOR_LANES(CLEAR) FOR_ROWS_OF(TAKE, v) TURN FOR_LANES_OF(PUT_LANE, v) }
#define RESUME_TURNED(r, v) { FOR_LANES(CLEAR) FOR_LANES_OF(GET_LANE, v) TURN FOR_ROWS_OF(GIVE, v) }
#define RESUME1(r, v) acc##r##_##v = VLOAD(v, line[r]);
#define RESUME(r) FOR_VECTORS(RESUME1, r)
#else
#define KEEP1(r, v) VSTORE(acc##r##_##v, v, at);
#define LINE1(r, v) VSTORE(acc##r##_##v, v, line);
#define SAVE(r) \
    if (r < rows) { \
        __global T *at = c + (row + r) * n + column; \
        if (lane_to - lane_from == TN) { \
            FOR_VECTORS(KEEP1, r) \
        } else { \
            FOR_VECTORS(LINE1, r) \
            for (uint j = lane_from; j < lane_to; j++) \
                at[j] = line[j]; \
        } \
    }
#define TAKE1(r, v) acc##r##_##v = VLOAD(v, at);
#define RESUME1(r, v) acc##r##_##v = VLOAD(v, line);
#define RESUME(r) \
    if (r < rows) { \
        __global const T *at = c + (row + r) * n + column; \
        if (lane_to - lane_from == TN) { \
            FOR_VECTORS(TAKE1, r) \
        } else { \
            for (uint j = lane_from; j < lane_to; j++) \
                line[j] = at[j]; \
            FOR_VECTORS(RESUME1, r) \
        } \
    }
#endif
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(
    __global const T *restrict a, const ulong a_offset,
#if !EVALUATED
    __global const S *restrict b, const ulong b_offset,
#endif
#ifndef EPILOGUE
    __global T *restrict c, const ulong c_offset,
#endif
    const ulong m, const ulong n, const ulong k, const ulong batch, const ulong range, const ulong block, const ulong group,
    const ulong columns, const ulong a_batch, const ulong a_step, const ulong b_batch, const ulong b_step PARAMETERS) {
    const ulong panels_m = (m + TM - 1) / TM, panels_n = (n + TN - 1) / TN, z = get_global_id(2), item = z % batch;
    const ulong from = z / batch * range, to = min(from + range, k);
    const ulong first_panel = get_global_id(0) * group, last_panel = min(first_panel + group, panels_m);
    const ulong first = get_global_id(1) * columns, last = min(first + columns, panels_n);
#ifndef EPILOGUE
#if SWAPPED
    T line[TM][TN];
#else
    T line[TN];
#endif
    c += c_offset + z * m * n;
#endif
#if COLUMN_WAY == ALONG_K
    T one[W];
#endif
    ulong start = from;
    do {
        const ulong stop = min(start + block, to);
        for (ulong q = first; q < last; q++)
            for (ulong panel = first_panel; panel < last_panel; panel++) {
                const ulong row = panel * TM, rows = min((ulong)TM, m - row);
#if COLUMN_WAY == PACKED
                const ulong column = q * TN;
                const uint lane_from = 0, lane_to = (uint)min((ulong)TN, n - column);
                __global const S *restrict bp = b + b_offset + ((item * panels_n + q) * k + start) * TN;
#elif COLUMN_WAY == ALONG_K
                const ulong column = q * TN;
                const uint lane_from = 0, lane_to = (uint)min((ulong)TN, n - column);
#else /* the last panel reaches back, so that it reads nothing beyond the line */
                const ulong column = min(q * TN, n - TN);
                const uint lane_from = (uint)(q * TN - column), lane_to = TN;
#if !EVALUATED
                __global const S *restrict bp = b + b_offset + item * b_batch + start * b_step + column;
#endif
#endif
#if ROW_WAY == PACKED
                __global const T *restrict ap = a + a_offset + ((item * panels_m + panel) * k + start) * A_STEP;
#elif ROW_WAY == ALONG_TILE
                __global const T *restrict ap = a + a_offset + item * a_batch + start * a_step + row;
#else
                __global const T *restrict ap = a + a_offset + item * a_batch + row * a_step + start;
                FOR_ROWS(PLACE_ROW)
#endif
                FOR_ROWS(DECLARE)
#ifndef EPILOGUE
                if (start > from) {
#if SWAPPED
                    if (rows == WHOLE) {
                        FOR_VECTORS(RESUME_TURNED, 0)
                    } else {
                        for (uint j = lane_from; j < lane_to; j++)
                            for (uint r = 0; r < rows; r++)
                                line[r][j] = c[(column + j) * m + row + r];
                        FOR_ROWS(RESUME)
                    }
#else
                    FOR_ROWS(RESUME)
#endif
                }
#endif
#if COLUMN_WAY == ALONG_K
                ulong i = start;
                if (column + W <= n)
                    for (; i + W <= stop; i += W) {
                        FOR_LANES(READ)
                        TURN
                        FOR_LANES(USE)
                    }
                for (; i < stop; i++) {
                    for (uint l = 0; l < W; l++)
                        one[l] = LOAD(item, i, min(column + l, n - 1));
                    const V y0 = VLOAD(0, one);
                    FOR_ROWS(STEP)
                    ap += A_STEP;
                }
#else
                for (ulong i = start; i < stop; i++) {
                    FOR_VECTORS(FETCH, 0)
                    FOR_ROWS(STEP)
                    ap += A_STEP;
#if !EVALUATED
                    bp += B_STEP;
#endif
                }
#endif
#ifdef EPILOGUE
                EPILOGUE
#elif SWAPPED
                if (rows == WHOLE) {
                    FOR_VECTORS(SAVE_TURNED, 0)
                } else {
                    FOR_ROWS(LINE)
                    for (uint j = lane_from; j < lane_to; j++)
                        for (uint r = 0; r < rows; r++)
                            c[(column + j) * m + row + r] = line[r][j];
                }
#else
                FOR_ROWS(SAVE)
#endif
            }
        start += block;
    } while (start < to);
}
#undef DECLARE1
#undef DECLARE
#undef READ
#undef USE
#undef FETCH
#undef STEP1
#undef STEP
#undef A
#undef A_STEP
#undef PLACE_ROW
#undef B_STEP
#undef CLEAR
#undef WHOLE
#undef LINE1
#undef LINE
#undef TAKE
#undef GIVE
#undef IF_MINE
#undef PUT_LANE
#undef GET_LANE
#undef SAVE_TURNED
#undef RESUME_TURNED
#undef RESUME1
#undef RESUME
#undef KEEP1
#undef SAVE
#undef TAKE1
