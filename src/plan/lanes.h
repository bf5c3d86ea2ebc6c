/* The OpenCL C of values that a work-item holds for several elements at once, in the lanes of a vector: types,
 * conversions, loads and stores. With a width of 1 everything is scalar. Knows texts, not graphs. */
#ifndef BLO_PLAN_LANES_H
#define BLO_PLAN_LANES_H

#include <clbilevel/types.h>

#include "text.h"

/* "float", or "float16" of so many lanes. */
const char *blo_type_name(blo_dtype dtype);
const char *blo_lanes_type(blo_dtype dtype, int width);
/* The type of a comparison's result: signed integers of the operands' size. */
const char *blo_lanes_truth(blo_dtype dtype, int width);

/* "uint", or "uint16" of so many lanes: indices. */
const char *blo_lanes_index(int width);

/* FUNCTION(a) or FUNCTION(a, b) lane by lane, where no vector form gives the scalar's bits: "(float16)(f(a.s0), …)". B
 * may be NULL. */
void blo_lanes_each(blo_text *text, blo_dtype dtype, int width, const char *function, const char *a, const char *b);

/* What helpers a kernel's text calls: their definitions go before it. */
typedef struct blo_helpers {
    bool random, divide;
    bool math[2];      /* exp, log, tanh, sigmoid of float, double */
    bool wide_math[2]; /* of vectors */
    bool circular[2];  /* sin and cos of float, double */
    bool wide_circular[2];
    bool memory[4]; /* loads and stores of several lanes, by dtype */
    bool rows[4];   /* of whole rows of an array, one row a lane */
} blo_helpers;

/* Adds the helpers' definitions, each guarded so that a program may hold it several times. */
void blo_helpers_text(const blo_helpers *helpers, int width, blo_text *text);

#endif
