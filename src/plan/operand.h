/* The operands of a product: what is known of each before the choice, and the array that the tiled kernel reads then.
 */
#ifndef BLO_PLAN_OPERAND_H
#define BLO_PLAN_OPERAND_H

#include "gemm.h"
#include "lower.h"
#include "text.h"

typedef struct blo_operand {
    char letter;           /* 'a' or 'b' */
    const blo_node *node;  /* the operand */
    const blo_node *bytes; /* the bytes it is a function of, or the operand again: what is packed, or read in place */
    bool transposed;
    blo_text convert; /* of bytes: gemm.h's CONVERT; may have failed */
    blo_gemm_operand facts;
} blo_operand;

blo_operand blo_operand_describe(const blo_lowering *lowering, const blo_node *product, char letter);
void blo_operand_free(blo_operand *operand);

/* A column operand's expression as functions of the product's own kernel, and the arrays these read. Free it whatever
 * came of it. False: no memory. */
typedef struct blo_operand_loads {
    blo_text functions, parameters, names;    /* of a kernel that has no other arrays before */
    blo_text kernel_parameters, kernel_names; /* of one that has */
    int n_arrays, arrays[BLO_MAX_ARGUMENTS];
    bool lanes;
    blo_gemm_loads gemm; /* for blo_gemm_source() */
} blo_operand_loads;
bool blo_operand_evaluate(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                          const blo_operand *operand, blo_operand_loads *loads);
void blo_operand_loads_free(blo_operand_loads *loads);

/* The array to read: the operand's own, or one it is packed into, by a step that is added unless a product before did
 * so. -1: no memory. */
int blo_operand_array(blo_lowering *lowering, const blo_gemm_shape *shape, const blo_gemm_choice *choice,
                      const blo_operand *operand);

#endif
