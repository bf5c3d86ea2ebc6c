/* sin and cos of a scalar or vector REAL, by fma and plain arithmetic, so that every width gives the same bits. Within 2 ulp. The
 * nearest multiple of pi / 2 is taken off in three parts, exactly enough up to MOST; beyond, and for NaN and infinities, each lane is
 * the built-in function's. Cut Taylor series about 0.
 * REAL: the type. INT: signed integers of its size and width. WIDE: elements are double. NAME_…: the functions' names. TO_INT:
 * conversion that keeps the bits. ANY(x): is one lane's comparison true. EACH_SIN(x), EACH_COS(x): of every lane, built in. */
#if WIDE
#define C(x) ((REAL)(x))
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it leaves the nearest integer in the low bits */
#define HALF_PI_HIGH 0x1.921fb54442d18p+0
#define HALF_PI_MIDDLE 0x1.1a62633145c07p-54
#define HALF_PI_LOW -0x1.f1976b7ed8fbcp-110
#define MOST 0x1p30
#else
#define C(x) ((REAL)(x##f))
#define MAGIC 12582912.0 /* 1.5 * 2^23 */
#define HALF_PI_HIGH 0x1.921fb6p+0
#define HALF_PI_MIDDLE -0x1.777a5cp-25
#define HALF_PI_LOW -0x1.ee59dap-50
#define MOST 0x1p15
#endif
#define CC(x) C(x)

/* sin(x + turns pi / 2), x within MOST. */
static inline REAL NAME_turned(const REAL x, const INT turns) {
    const REAL t = fma(x, CC(0.63661977236758134), CC(MAGIC)), whole = t - CC(MAGIC);
    REAL r = fma(-whole, CC(HALF_PI_HIGH), x);
    r = fma(-whole, CC(HALF_PI_MIDDLE), r);
    r = fma(-whole, CC(HALF_PI_LOW), r);
    const INT quarter = TO_INT(t) + turns; /* MAGIC's own bits are a multiple of 4 */
    const REAL z = r * r, half_z = CC(0.5) * z, less = CC(1.0) - half_z;
    const REAL zz = z * z; /* the series in pairs of terms, which need not wait for each other */
#if WIDE
    const REAL zzzz = zz * zz;
    const REAL s_high = fma(zz, fma(z, C(1.0 / 355687428096000), C(-1.0 / 1307674368000)), fma(z, C(1.0 / 6227020800), C(-1.0 / 39916800)));
    const REAL s_low = fma(zz, fma(z, C(1.0 / 362880), C(-1.0 / 5040)), fma(z, C(1.0 / 120), C(-1.0 / 6)));
    const REAL c_high = fma(zz, C(1.0 / 20922789888000), fma(z, C(-1.0 / 87178291200), C(1.0 / 479001600)));
    const REAL c_low = fma(zz, fma(z, C(-1.0 / 3628800), C(1.0 / 40320)), fma(z, C(-1.0 / 720), C(1.0 / 24)));
    const REAL s = fma(zzzz, s_high, s_low), c = fma(zzzz, c_high, c_low);
#else
    const REAL s = fma(zz, fma(z, C(2.7557319e-6), C(-1.9841270e-4)), fma(z, C(8.3333333e-3), C(-1.6666667e-1)));
    const REAL c = fma(zz, fma(z, C(-2.7557319e-7), C(2.4801587e-5)), fma(z, C(-1.3888889e-3), C(4.1666667e-2)));
#endif
    const REAL sine = fma(r * z, s, r), cosine = less + fma(zz, c, (CC(1.0) - less) - half_z);
    const REAL result = (quarter & (INT)1) != (INT)0 ? cosine : sine;
    return (quarter & (INT)2) != (INT)0 ? -result : result;
}

static inline REAL NAME_sin(const REAL x) {
    const REAL result = x == CC(0.0) ? x : NAME_turned(x, (INT)0); /* its sign */
    return ANY(!(fabs(x) <= CC(MOST))) ? (fabs(x) <= CC(MOST) ? result : EACH_SIN(x)) : result;
}

static inline REAL NAME_cos(const REAL x) {
    const REAL result = NAME_turned(x, (INT)1);
    return ANY(!(fabs(x) <= CC(MOST))) ? (fabs(x) <= CC(MOST) ? result : EACH_COS(x)) : result;
}
#undef C
#undef CC
#undef MAGIC
#undef HALF_PI_HIGH
#undef HALF_PI_MIDDLE
#undef HALF_PI_LOW
#undef MOST
