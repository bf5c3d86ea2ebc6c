/* Rows of an array [.., n] in lanes: W rows at once as N vectors, rows[j * STEP] for column j (src/plan/lanes.h has W, T, V and what
 * REST is). Four columns at a time are turned in registers (turn.cl), so that memory is read and written in pieces of a row; the last
 * four reach back. n is at least 4. */
#define READ_4(i, s) \
    x.s = vload4(0, p + (i + 0) * n + j); \
    y.s = vload4(0, p + (i + 1) * n + j); \
    z.s = vload4(0, p + (i + 2) * n + j); \
    w.s = vload4(0, p + (i + 3) * n + j);
#define WRITE_4(i, s) \
    vstore4(x.s, 0, p + (i + 0) * n + j); \
    vstore4(y.s, 0, p + (i + 1) * n + j); \
    vstore4(z.s, 0, p + (i + 2) * n + j); \
    vstore4(w.s, 0, p + (i + 3) * n + j);

static inline void NAME_load_rows(__global const T *p, V *rows, const uint n, const uint rest) {
    if (rest < W) {
        for (uint j = 0; j < n; j++)
            for (uint l = 0; l < W; l++)
                ((T *)&rows[j])[l] = p[min(l, rest - 1) * n + j];
        return;
    }
    for (uint start = 0; start < n; start += 4) {
        const uint j = min(start, n - 4);
        V x, y, z, w;
        FOR_QUADS(READ_4)
        TURN_QUADS(x, y, z, w)
        rows[j] = x;
        rows[j + 1] = y;
        rows[j + 2] = z;
        rows[j + 3] = w;
    }
}

static inline void NAME_store_rows(__global T *p, const V *rows, const uint step, const uint n, const uint rest) {
    if (rest < W) {
        for (uint l = 0; l < rest; l++)
            for (uint j = 0; j < n; j++)
                p[l * n + j] = ((const T *)&rows[j * step])[l];
        return;
    }
    for (uint start = 0; start < n; start += 4) {
        const uint j = min(start, n - 4);
        V x = rows[j * step], y = rows[(j + 1) * step], z = rows[(j + 2) * step], w = rows[(j + 3) * step];
        TURN_QUADS(x, y, z, w)
        FOR_QUADS(WRITE_4)
    }
}
#undef READ_4
#undef WRITE_4
