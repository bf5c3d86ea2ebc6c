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
 * element, LOAD_LANES: W elements from there, along t or along k. What lies along k is turned, W steps of k at a time. LOCAL_K: 0, or
 * the steps of k of a packed column panel that are converted once, into local memory, for all its tiles. T: element. V: vector of W.
 * NEAR: V where only an element is aligned; compilers write it as one piece, where they may take vstoren apart.
 * FOR_ROWS(X): X(0) … X(TM-1). FOR_VECTORS(X, r): X(r, 0) …
 * All accumulators are named, so that they are registers. */
#define DECLARE1(r, v) V acc##r##_##v = 0;
#define DECLARE(r) FOR_VECTORS(DECLARE1, r)
#if COLUMN_WAY == ALONG_K /* one vector per row */
#define READ(l) V turn##l = LOAD_LANES(item, i, column + l);
#define USE(l) { const V y0 = turn##l; FOR_ROWS(STEP) ap += A_STEP; }
#elif EVALUATED
#define FETCH(r, v) const V y##v = LOAD_LANES(item, i, column + v * W);
#elif LOCAL_K
#define CONVERT_TO(r, v) ((__local V *)to)[v] = CONVERT(VLOAD_S(v, from_b));
#define FETCH(r, v) const V y##v = VLOAD(v, bp);
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
#if SWAPPED /* quads of rows, in one vector each: x, y, z and w of FOR_ROW_QUADS */
#define LINE1(r, v) VSTORE(acc##r##_##v, v, line[r]);
#define LINE(r) FOR_VECTORS(LINE1, r)
#define RESUME1(r, v) acc##r##_##v = VLOAD(v, line[r]);
#define RESUME(r) FOR_VECTORS(RESUME1, r)
#define PUT_QUAD(i, s, PUT) \
    PUT(x.s, to_c + (i + 0) * m) PUT(y.s, to_c + (i + 1) * m) PUT(z.s, to_c + (i + 2) * m) PUT(w.s, to_c + (i + 3) * m)
#define GET_QUAD(i, s, GET) \
    GET(x.s, to_c + (i + 0) * m) GET(y.s, to_c + (i + 1) * m) GET(z.s, to_c + (i + 2) * m) GET(w.s, to_c + (i + 3) * m)
#define PUT_FOUR(i, s) PUT_QUAD(i, s, PUT_4)
#define GET_FOUR(i, s) GET_QUAD(i, s, GET_4)
#define PUT_FEW(i, s) PUT_QUAD(i, s, PUT_REST)
#define GET_FEW(i, s) GET_QUAD(i, s, GET_REST)
#define SAVE_TURNED(r, v, a, b, c, d, SOME) { \
    V x = a, y = b, z = c, w = d; \
    __global T *to_c = at_c + v * W * m + r; \
    TURN_QUADS(x, y, z, w) FOR_QUADS(PUT_##SOME) }
#define RESUME_TURNED(r, v, a, b, c, d, SOME) { \
    V x = 0, y = 0, z = 0, w = 0; \
    __global const T *to_c = at_c + v * W * m + r; \
    FOR_QUADS(GET_##SOME) TURN_QUADS(x, y, z, w) a = x; b = y; c = z; d = w; }
#else
#define KEEP1(r, v) ((__global NEAR *)at)[v] = acc##r##_##v;
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
#if defined(__clang__) && (defined(__x86_64__) || defined(__aarch64__)) /* one flat memory: any pointer will do */
#define WANT1(r, v) __builtin_prefetch((__private const void *)(size_t)(at + v * W), 1);
#else
#define WANT1(r, v)
#endif
#define WANT(r) \
    if (r < rows) { \
        __global const T *at = c + (row + r) * n + column; \
        FOR_VECTORS(WANT1, r) \
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
    typedef V NEAR __attribute__((aligned(sizeof(T))));
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
#if LOCAL_K
    __local T converted[LOCAL_K * TN] __attribute__((aligned(64)));
#endif
    ulong start = from;
    do {
        const ulong stop = min(start + block, to);
        for (ulong q = first; q < last; q++) {
#if LOCAL_K
            __global const S *restrict from_b = b + b_offset + ((item * panels_n + q) * k + start) * TN;
            __local T *restrict to = converted;
            for (ulong i = start; i < stop; i++, from_b += TN, to += TN) {
                FOR_VECTORS(CONVERT_TO, 0)
            }
#endif
            for (ulong panel = first_panel; panel < last_panel; panel++) {
                const ulong row = panel * TM, rows = min((ulong)TM, m - row);
#if COLUMN_WAY == PACKED
                const ulong column = q * TN;
                const uint lane_from = 0, lane_to = (uint)min((ulong)TN, n - column);
#if LOCAL_K
                __local const T *restrict bp = converted;
#else
                __global const S *restrict bp = b + b_offset + ((item * panels_n + q) * k + start) * TN;
#endif
#elif COLUMN_WAY == ALONG_K
                const ulong column = q * TN;
                const uint lane_from = 0, lane_to = (uint)min((ulong)TN, n - column);
#else /* the last panel reaches back, so that it reads nothing beyond the line; what it shares with the one before is the
       * same bits, and stored again where no other item writes it and no sums are taken up */
                const ulong column = min(q * TN, n - TN);
                const bool own = q > first && stop - start == to - from;
                const uint lane_from = own ? 0 : (uint)(q * TN - column), lane_to = TN;
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
#if SWAPPED && !defined(EPILOGUE)
                const bool whole = rows == TM && lane_to - lane_from == TN;
                __global T *at_c = c + column * m + row;
                V none0 = 0, none1 = 0, none2 = 0;
#endif
#ifndef EPILOGUE
#if !SWAPPED
                if (lane_to - lane_from == TN) { /* the lines come while the sums are made */
                    FOR_ROWS(WANT)
                }
#endif
                if (start > from) {
#if SWAPPED
                    if (whole) {
                        FOR_ROW_QUADS(RESUME_TURNED)
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
                if (whole) {
                    FOR_ROW_QUADS(SAVE_TURNED)
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
        }
        start += block;
    } while (start < to);
}
#undef DECLARE1
#undef DECLARE
#undef READ
#undef USE
#undef CONVERT_TO
#undef FETCH
#undef STEP1
#undef STEP
#undef A
#undef A_STEP
#undef PLACE_ROW
#undef B_STEP
#undef LINE1
#undef LINE
#undef PUT_QUAD
#undef GET_QUAD
#undef PUT_FOUR
#undef GET_FOUR
#undef PUT_FEW
#undef GET_FEW
#undef SAVE_TURNED
#undef RESUME_TURNED
#undef RESUME1
#undef RESUME
#undef KEEP1
#undef SAVE
#undef TAKE1
#undef WANT1
#undef WANT
