/* One product as its kernels run it: operands as they may lie, packed where the choice says so, tiles, sum. */
#ifndef CHECKCL_PRODUCT_H
#define CHECKCL_PRODUCT_H

#include "plan/gemm.h"
#include "support.h"

typedef struct side {
    char letter;
    bool transposed; /* stored the other way round */
    blo_gemm_operand facts;
    array stored, packed;
    blo_kernel *pack; /* NULL: read in place */
    blo_gemm_pack packing;
} side;

typedef struct product {
    blo_gemm_shape shape;
    blo_gemm_choice choice;
    side a, b;
    array partial, c;
    blo_kernel *multiply, *sum;
} product;

/* What a side is to be: 'p' wants packing, 'i' may be read in place, 'f' is fixed; 'b': bytes, scaled by 1/255. */
typedef struct side_options {
    bool transposed, in_place, bytes, fixed;
} side_options;

/* As a device with native vectors of WIDTH floats would compute it (0: as this one), and with TILE for wide results
 * (NULL: untuned). */
void open_product(product *p, const blo_gemm_shape *shape, side_options a, side_options b, int width,
                  const blo_tile *tile);
void close_product(product *p);
void run_pack(const product *p, const side *s);
void run_tiles(const product *p);
void run_sum(const product *p);

/* Element (row, column) of BATCH of the operand as the product sees it, from its host copy. */
double element(const product *p, const side *s, int64_t batch, int64_t row, int64_t column);

#endif
