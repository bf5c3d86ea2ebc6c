/* exp, log and tanh of a scalar or vector REAL, by fma and plain arithmetic only, so that every width and every device gives the
 * same bits (the built-in functions of a scalar and of a vector need not agree). Within 2 ulp; NaN, infinities, zeros and
 * denormals as IEEE wants. Cut Taylor series about 0 after a reduction by powers of 2.
 * REAL: the type. INT: signed integers of its size and width. WIDE: elements are double. NAME_…: the functions' names. TO_REAL,
 * TO_INT: conversions that keep the bits. */
#if WIDE
#define C(x) ((REAL)(x))
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it leaves the nearest integer in the low bits */
#define MAGIC_BITS 0x4338000000000000L
#define LN2_HI 0x1.62e42fefa39efp-1
#define LN2_LO 0x1.abc9e3b39803fp-56
#define LOG2_E 1.4426950408889634
#define MANTISSA 52
#define BIAS 1023
#define LEAST_EXP -746.0
#define MOST_EXP 710.0
#define ROOT_HALF_BITS 0x3fe6a09e667f3bcdL
#define NORMAL_LEAST 0x1p-1022
#define LIFT 54
#define LIFTED 0x1p54
#define REAL_MAX DBL_MAX
#else
#define C(x) ((REAL)(x##f))
#define MAGIC 12582912.0 /* 1.5 * 2^23 */
#define MAGIC_BITS 0x4b400000
#define LN2_HI 0x1.62e43p-1
#define LN2_LO -0x1.05c61p-29
#define LOG2_E 1.44269504
#define MANTISSA 23
#define BIAS 127
#define LEAST_EXP -104.0
#define MOST_EXP 89.0
#define ROOT_HALF_BITS 0x3f3504f3
#define NORMAL_LEAST 0x1p-126
#define LIFT 25
#define LIFTED 0x1p25
#define REAL_MAX FLT_MAX
#endif
#define CC(x) C(x)

/* x = n ln 2 + r, |r| <= ln 2 / 2: returns exp(r) - 1, and n as an integer in *N. */
static inline REAL NAME_reduced(const REAL x, INT *n) {
    const REAL t = fma(x, CC(LOG2_E), CC(MAGIC)), whole = t - CC(MAGIC);
    const REAL r = fma(whole, -CC(LN2_LO), fma(whole, -CC(LN2_HI), x));
    *n = TO_INT(t) - (INT)MAGIC_BITS;
#if WIDE
    REAL p = C(1.0 / 6227020800);
    p = fma(p, r, C(1.0 / 479001600));
    p = fma(p, r, C(1.0 / 39916800));
    p = fma(p, r, C(1.0 / 3628800));
    p = fma(p, r, C(1.0 / 362880));
    p = fma(p, r, C(1.0 / 40320));
    p = fma(p, r, C(1.0 / 5040));
#else
    REAL p = C(1.98412698e-4); /* 1/7! */
#endif
    p = fma(p, r, CC(1.3888888888888889e-3)); /* 1/6! */
    p = fma(p, r, CC(8.3333333333333333e-3));
    p = fma(p, r, CC(4.1666666666666667e-2));
    p = fma(p, r, CC(1.6666666666666667e-1));
    p = fma(p, r, CC(0.5));
    return fma(p * r, r, r);
}

static inline REAL NAME_exp(REAL x) {
    x = x < CC(LEAST_EXP) ? CC(LEAST_EXP) : x; /* a NaN passes */
    x = x > CC(MOST_EXP) ? CC(MOST_EXP) : x;
    INT n;
    const REAL p = NAME_reduced(x, &n) + CC(1.0);
    const INT first = ((n + 2048) >> 1) - 1024; /* in two factors: 2^n itself may be no normal number */
    return p * TO_REAL((first + BIAS) << MANTISSA) * TO_REAL((n - first + BIAS) << MANTISSA);
}

/* (e - 1) / (e + 1) with e = exp(2 |x|), of which e - 1 is computed without cancellation near 0. */
static inline REAL NAME_tanh(const REAL x) {
    REAL twice = fabs(x) * CC(2.0);
    twice = twice > CC(44.0) ? CC(44.0) : twice; /* 1 from there on */
    INT n;
    const REAL p = NAME_reduced(twice, &n), scale = TO_REAL((n + BIAS) << MANTISSA);
    const REAL less_one = fma(scale, p, scale - CC(1.0));
    return copysign(less_one / (less_one + CC(2.0)), x);
}

static inline REAL NAME_sigmoid(const REAL x) {
    const REAL e = NAME_exp(-fabs(x)); /* of a negative number only: no overflow */
    return (x >= CC(0.0) ? CC(1.0) : e) / (CC(1.0) + e);
}

/* x = 2^e m, m within a factor of sqrt(2) of 1, f = m - 1: log m = 2 atanh(f / (2 + f)). */
static inline REAL NAME_log(const REAL x) {
    const INT denormal = x < CC(NORMAL_LEAST);
    const INT bits = TO_INT(denormal ? x * CC(LIFTED) : x);
    const INT e = (bits - (INT)ROOT_HALF_BITS) >> MANTISSA;
    const REAL f = TO_REAL(bits - (e << MANTISSA)) - CC(1.0);
    const REAL k = TO_REAL(e - (denormal ? (INT)LIFT : (INT)0) + (INT)MAGIC_BITS) - CC(MAGIC);
    const REAL s = f / (CC(2.0) + f), z = s * s, half_square = CC(0.5) * f * f;
#if WIDE
    REAL p = C(2.0 / 25);
    p = fma(p, z, C(2.0 / 23));
    p = fma(p, z, C(2.0 / 21));
    p = fma(p, z, C(2.0 / 19));
    p = fma(p, z, C(2.0 / 17));
    p = fma(p, z, C(2.0 / 15));
    p = fma(p, z, C(2.0 / 13));
    p = fma(p, z, C(2.0 / 11));
    p = fma(p, z, C(2.0 / 9));
#else
    REAL p = C(0.22222222);
#endif
    p = fma(p, z, CC(0.28571428571428571));
    p = fma(p, z, CC(0.4));
    p = fma(p, z, CC(0.66666666666666667));
    const REAL r = p * z; /* log m = f - (f^2 / 2 - s (f^2 / 2 + r)) */
    REAL result = fma(k, CC(LN2_HI), f - (half_square - fma(s, half_square + r, k * CC(LN2_LO))));
    result = x > (REAL)REAL_MAX ? x : result;
    result = x == CC(0.0) ? -(REAL)INFINITY : result;
    return x < CC(0.0) || x != x ? (REAL)NAN : result;
}
#undef C
#undef CC
#undef MAGIC
#undef MAGIC_BITS
#undef LN2_HI
#undef LN2_LO
#undef LOG2_E
#undef MANTISSA
#undef BIAS
#undef LEAST_EXP
#undef MOST_EXP
#undef ROOT_HALF_BITS
#undef NORMAL_LEAST
#undef LIFT
#undef LIFTED
#undef REAL_MAX
