/* Inside the plan room: a sum and the squares about its mean, by one pass; see moments.c. */
#ifndef BLO_PLAN_MOMENTS_H
#define BLO_PLAN_MOMENTS_H

#include "emit.h"

/* The sum S of x over the axes of NODE, where NODE is the sum of (x - S * FACTOR)^2; NULL: it is none. */
const blo_node *blo_sum_for_squares(const blo_node *node, double *factor);

/* Takes VALUE (TYPE) into the SQUARES about MEAN. */
void blo_squares_text(blo_text *text, const char *type, const char *value, const char *mean, const char *squares);

/* Of all ranges: parameters that hold their SUMS and SQUARES, each [chunks][COUNT]; CHUNK elements a range, the last
 * one LAST. */
typedef struct blo_squares_parts {
    blo_dtype dtype;
    int sums, squares;
    int64_t count, chunk, last;
    double factor;
    const char *result; /* the variable to be defined */
} blo_squares_parts;

/* Puts them together at result "g", of "chunks" ranges. */
void blo_squares_combine_text(blo_text *text, const blo_squares_parts *parts);

#endif
