/* Numbers with their derivatives in x and z, for references written independently of the library (forward mode by
 * hand). */
#ifndef BLO_TESTS_DUAL_H
#define BLO_TESTS_DUAL_H

#include <math.h>

typedef struct dual {
    double v, dx, dz;
} dual;

static inline dual constant(double v) {
    return (dual){v, 0.0, 0.0};
}

static inline dual plus(dual a, dual b) {
    return (dual){a.v + b.v, a.dx + b.dx, a.dz + b.dz};
}

static inline dual times(dual a, dual b) {
    return (dual){a.v * b.v, a.dx * b.v + a.v * b.dx, a.dz * b.v + a.v * b.dz};
}

static inline dual scaled(dual a, double f) {
    return (dual){f * a.v, f * a.dx, f * a.dz};
}

static inline dual minus(dual a, dual b) {
    return plus(a, scaled(b, -1.0));
}

static inline dual over(dual a, dual b) {
    double q = a.v / b.v;
    return (dual){q, (a.dx - q * b.dx) / b.v, (a.dz - q * b.dz) / b.v};
}

static inline dual cosine(dual a) {
    return (dual){cos(a.v), -sin(a.v) * a.dx, -sin(a.v) * a.dz};
}

/* The root passes no derivative at 0. */
static inline dual root(dual a) {
    double r = sqrt(a.v), d = a.v == 0.0 ? 0.0 : 0.5 / r;
    return (dual){r, d * a.dx, d * a.dz};
}

/* Derivative 1 where lo <= a <= hi, else 0. */
static inline dual boxed(dual a, double lo, double hi) {
    return a.v < lo ? constant(lo) : a.v > hi ? constant(hi) : a;
}

#endif
