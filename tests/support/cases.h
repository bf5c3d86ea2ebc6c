/* Functions to differentiate: every differentiable primitive and composite, as builders over one to three inputs. */
#ifndef BLO_TESTS_CASES_H
#define BLO_TESTS_CASES_H

#include <clbilevel/clbilevel.h>

typedef struct blo_case {
    const char *name;
    int n;              /* inputs, double */
    const char *shapes; /* one variant per ';', inputs by '|', extents by ','; "" is a scalar */
    double lo, hi;      /* the inputs' range, chosen away from kinks */
    blo_node *(*build)(blo_node **x);
} blo_case;

extern const blo_case blo_cases[];
extern const int blo_n_cases;

/* Shape of input I in variant V of a case; the rank, -1: no such variant. */
int blo_case_shape(const blo_case *c, int v, int i, int64_t *shape);

#endif
