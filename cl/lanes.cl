/* Lanes: W elements of type T at once as the vector V. REST is how many lanes are wanted; the others read what the last wanted one
 * reads (no lane leaves the array), and are not written. INDEX: uint vector of W. NAME_…: the functions' names. NEAR: V where only
 * an element is aligned: what compilers read and write as one piece, where they may take vloadn and vstoren apart. */
#if W == 16
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(a) X(b) X(c) X(d) X(e) X(f)
#elif W == 8
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
#define EACH(X) X(0) X(1) X(2) X(3)
#endif
#define GET(l) r.s##l = p[i.s##l];
#define PUT(l) if (0x##l < rest) p[i.s##l] = v.s##l;
#define PUT_ALL(l) p[i.s##l] = v.s##l;

typedef V NEAR __attribute__((aligned(sizeof(T))));

/* p[0 … W-1]. */
static inline V NAME_load(__global const T *p, const uint rest) {
    if (rest >= W)
        return *(__global const NEAR *)p;
    T r[W];
    for (uint l = 0; l < W; l++)
        r[l] = p[min(l, rest - 1)];
    return *(const NEAR *)r;
}

static inline void NAME_store(__global T *p, const V v, const uint rest) {
    if (rest >= W) {
        *(__global NEAR *)p = v;
        return;
    }
    T r[W];
    *(NEAR *)r = v;
    for (uint l = 0; l < rest; l++)
        p[l] = r[l];
}

/* p[i] in each lane. */
static inline V NAME_gather(__global const T *p, const INDEX i) {
    V r;
    EACH(GET)
    return r;
}

static inline void NAME_scatter(__global T *p, const INDEX i, const V v, const uint rest) {
    if (rest >= W) {
        EACH(PUT_ALL)
    } else {
        EACH(PUT)
    }
}
#undef EACH
#undef GET
#undef PUT
#undef PUT_ALL
