/* The library's own matrix product for CPU devices: C[batch,M,N] = A[batch,M,K] B[batch,K,N]. Pure: it chooses tiles
 * and writes sources and sizes; product.c makes launches of them.
 *
 * Both operands are packed first, by kernels that evaluate the operand's expression element by element:
 *   A in panels of tile_m rows:     Ap[batch][i / tile_m][k][i % tile_m], rows beyond M zero
 *   B in panels of tile_n columns:  Bp[batch][j / tile_n][k][j % tile_n], columns beyond N zero
 * A work-item computes tiles tile_m x tile_n over a range of k, by fma, k rising; with split > 1 the ranges' results
 * are summed in order by a second kernel. So the order of every sum follows from the shape and the tile. */
#ifndef BLO_PLAN_GEMM_H
#define BLO_PLAN_GEMM_H

#include "device/device.h"

typedef struct blo_gemm_shape {
    blo_dtype dtype; /* float or double */
    int64_t batch, m, n, k;
} blo_gemm_shape;

typedef struct blo_gemm_choice {
    int tile_m;  /* rows of a tile */
    int vector;  /* elements of a vector: 16 floats, 8 doubles */
    int vectors; /* of a tile's row, 1 or 2 */
    int tile_n;  /* vector * vectors */
    int split;   /* ranges of k */
} blo_gemm_choice;

typedef struct blo_gemm_pack {
    char operand;    /* 'a' or 'b' */
    bool along_rows; /* the source lies contiguous along its row index i, not j */
} blo_gemm_pack;

enum { BLO_GEMM_VALUES = 8 }; /* most ulong values a kernel takes after its arrays */

void blo_gemm_choose(const blo_device_facts *facts, const blo_gemm_shape *shape, blo_gemm_choice *choice);

/* Elements of the packed operands. */
uint64_t blo_gemm_packed_a_count(const blo_gemm_shape *shape, const blo_gemm_choice *choice);
uint64_t blo_gemm_packed_b_count(const blo_gemm_shape *shape, const blo_gemm_choice *choice);

/* Sources, malloc'ed (NULL: no memory); equal NAME, equal text. Kernels take (array, ulong offset) pairs, then ulong
 * values. product: a, b, c (split > 1: the partial sums [split][batch][m][n])   sum: partial sums, c pack: the
 * PARAMETERS of FUNCTION, then the packed array, then batch, rows, columns. FUNCTION defines T NAME_load(PARAMETERS,
 * uint b, uint i, uint j); NAMES are its arguments. */
char *blo_gemm_source(const blo_gemm_choice *choice, blo_dtype dtype, char name[64]);
char *blo_gemm_sum_source(blo_dtype dtype, char name[64]);
char *blo_gemm_pack_source(const blo_gemm_choice *choice, blo_dtype dtype, const blo_gemm_pack *pack, const char *name,
                           const char *parameters, const char *names, const char *function);

/* Sizes of the launches; the first two fill VALUES and return how many. */
int blo_gemm_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                    uint64_t *values);
int blo_gemm_sum_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                        uint64_t *values);
void blo_gemm_pack_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, const blo_gemm_pack *pack,
                          size_t global[3], size_t local[3]);

#endif
