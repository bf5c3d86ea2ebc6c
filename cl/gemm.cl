/* C[batch,m,n] = A B from packed panels (src/plan/gemm.h): one work-item computes the tiles of GROUP panels of A with COLUMNS
 * panels of B, over one range of k.
 *
 *        TN = VN vectors of W           Ap: k rising, TM rows each        ap[k * TM + r]
 *      +----------------+               Bp: k rising, TN columns each     bp[k * TN + j]
 *   TM | acc r, v       |               c:  row-major [m,n]; split: [range][batch][m][n]
 *      +----------------+
 *
 * T: element. V: vector of W. FOR_ROWS(X): X(0) … X(TM-1). All accumulators are named, so that they are registers. */
#define START(r) V acc##r##_0 = 0;
#define STEP(r) { const V a = (V)(ap[r]); acc##r##_0 = fma(a, b0, acc##r##_0); }
#if VN == 2
#define START2(r) V acc##r##_1 = 0;
#define STEP2(r) { const V a = (V)(ap[r]); acc##r##_0 = fma(a, b0, acc##r##_0); acc##r##_1 = fma(a, b1, acc##r##_1); }
#define SAVE(r) VSTORE(acc##r##_0, 0, line); VSTORE(acc##r##_1, 1, line);
#define KEEP(r, at) VSTORE(acc##r##_0, 0, at); VSTORE(acc##r##_1, 1, at);
#else
#define START2(r)
#define STEP2(r) STEP(r)
#define SAVE(r) VSTORE(acc##r##_0, 0, line);
#define KEEP(r, at) VSTORE(acc##r##_0, 0, at);
#endif
#define STORE(r) \
    if (row + r < m) { \
        __global T *at = c + (row + r) * n + column; \
        if (full) { \
            KEEP(r, at) \
        } else { \
            SAVE(r) \
            for (uint j = 0; j < rest; j++) \
                at[j] = line[j]; \
        } \
    }

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(
    __global const T *restrict a, const ulong a_offset, __global const T *restrict b, const ulong b_offset, __global T *restrict c,
    const ulong c_offset, const ulong m, const ulong n, const ulong k, const ulong batch, const ulong range, const ulong columns,
    const ulong group) {
    const ulong panels_m = (m + TM - 1) / TM, panels_n = (n + TN - 1) / TN, z = get_global_id(2), item = z % batch;
    const ulong from = z / batch * range, to = min(from + range, k);
    const ulong first_panel = get_global_id(0) * group, last_panel = min(first_panel + group, panels_m);
    const ulong first = get_global_id(1) * columns, last = min(first + columns, panels_n);
    c += c_offset + z * m * n;
    for (ulong q = first; q < last; q++)
        for (ulong panel = first_panel; panel < last_panel; panel++) {
            __global const T *restrict ap = a + a_offset + ((item * panels_m + panel) * k + from) * TM;
            __global const T *restrict bp = b + b_offset + ((item * panels_n + q) * k + from) * TN;
            FOR_ROWS(START) FOR_ROWS(START2)
            for (ulong i = from; i < to; i++) {
                const V b0 = VLOAD(0, bp);
#if VN == 2
                const V b1 = VLOAD(1, bp);
#endif
                FOR_ROWS(STEP2)
                ap += TM;
                bp += TN;
            }
            const ulong row = panel * TM, column = q * TN;
            const bool full = column + TN <= n;
            const uint rest = (uint)(full ? TN : n - column);
            T line[TN];
            FOR_ROWS(STORE)
        }
}
#undef START
#undef START2
#undef STEP
#undef STEP2
#undef SAVE
#undef KEEP
#undef STORE
