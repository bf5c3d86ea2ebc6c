/* The library's own matrix product for CPU devices: C[batch,M,N] = A[batch,M,K] B[batch,K,N]. Pure: it chooses tiles
 * and writes sources and sizes; product.c makes launches of them.
 *
 * A tile of C has tile_m rows and tile_n lanes, held in registers. The operand on the side of the rows is broadcast
 * element by element, the one on the side of the lanes is read in vectors; both sides run over k together:
 *
 *                            column operand, at one k
 *                      lane 0 … W-1 | W … 2W-1      (VN = 2 vectors of W)
 *      row       row 0   acc0_0     |   acc0_1
 *      operand,  row 1   acc1_0     |   acc1_1
 *      at one k  …
 *
 * Vectors want the long dimension, so that few lanes are padding: where N is small the roles are swapped, rows run
 * along N and lanes along M, and the tile is stored transposed. Each operand is read in one of three ways:
 *   packed      by a kernel that evaluates its expression element by element into panels,
 *               [batch][i / tile][k][i % tile], zero beyond the edge; bytes stay bytes, and are converted panel by
 *               panel, in a core's cache, or as they are loaded into vectors
 *   along tile  in place: an array whose lines hold the tile's rows (or lanes) at one k
 *   along k     in place: an array whose lines hold all k of one row; a column operand's are turned in registers, a few
 *               k at a time
 * A column operand that only one panel of rows uses may also be evaluated, either way, by the product's kernel.
 * Each sum is one chain of fma, k rising; with split > 1 the ranges' results are summed in order by a second kernel.
 * The split follows from the shape alone: so does the order of every sum, however its operands are read. */
#ifndef BLO_PLAN_GEMM_H
#define BLO_PLAN_GEMM_H

#include "device/device.h"

typedef struct blo_gemm_shape {
    blo_dtype dtype; /* float or double */
    int64_t batch, m, n, k;
} blo_gemm_shape;

/* What is known of an operand. */
typedef struct blo_gemm_operand {
    bool in_place; /* it is an array, row-major, batches one after another */
    bool along_k;  /* its elements lie contiguous along k, else along the other index */
    bool bytes;    /* its expression is a function of one byte of an array: may be converted while it is loaded */
    bool fixed;    /* packed once for many runs */
    bool light;    /* else: its expression may be evaluated by the product's kernel */
} blo_gemm_operand;

typedef enum blo_gemm_way { BLO_GEMM_PACKED, BLO_GEMM_ALONG_TILE, BLO_GEMM_ALONG_K } blo_gemm_way;

typedef struct blo_gemm_choice {
    bool swapped; /* A is the column operand, B the row operand */
    int tile_m;   /* rows of a tile */
    int vector;   /* elements of a vector */
    int vectors;  /* of a tile's row: 1 to 4 */
    int tile_n;   /* vector * vectors */
    blo_gemm_way row, column;
    bool bytes;     /* the column operand is u8 */
    bool evaluated; /* the column operand is no array: the kernel evaluates it */
    int local_k;    /* steps of k of a panel of bytes that are converted at once for all its tiles; 0: in each tile */
    int split;      /* ranges of k */
    int cores;      /* that share the work */
    int64_t block; /* of k: one panel's tiles are taken this far before the next panel's; sums go on where they stood */
} blo_gemm_choice;

enum { BLO_GEMM_VALUES = 12 }; /* most ulong values a kernel takes after its arrays */

/* The choice for SHAPE on a device; A and B as they are. The same shape always gets the same split. */
void blo_gemm_choose(const blo_device_facts *facts, const blo_gemm_shape *shape, const blo_gemm_operand *a,
                     const blo_gemm_operand *b, blo_gemm_choice *choice);

/* What is written instead of the result's store: statements that use the finished accumulators. Only without a split.
 * They see, all of them ulong but for the lanes' bounds:
 *   acc{r}_{v}           V: row r < tile_m, lanes v * W … v * W + W - 1
 *   item                 the batch index
 *   row, rows            the tile's first row; how many of its rows are inside, the others are to be ignored
 *   column               what lane 0 is
 *   lane_from, lane_to   uint: the lanes that are this tile's to write; the others are padding, or another tile's
 *   m, n, k              the sizes by role: m rows in all, n lanes in all (swapped: m is N, n is M)
 * and the macros T, V (vector of W), W, TM, TN, VN, VLOAD, VSTORE. The kernel has no parameters c, c_offset then. */
typedef struct blo_gemm_epilogue {
    const char *functions;  /* before the kernel */
    const char *parameters; /* after the values: ", __global float *restrict p0, const ulong o0 …" */
    const char *text;
} blo_gemm_epilogue;

/* An operand's expression as functions: FUNCTIONS defines T NAME_element(parameters, uint b, uint i, uint j), element
 * (i, j) of batch b, and with LANES also V NAME_elements(…), a vector from there on, along k or along the other index;
 * never beyond the operand's edge. NAMES are the arguments that kernels pass for the parameters. */
typedef struct blo_gemm_loads {
    const char *functions, *parameters, *names;
    bool lanes;
} blo_gemm_loads;

/* Sources, malloc'ed (NULL: no memory); NAME tells the text. Kernels take (array, ulong offset) pairs, then ulong
 * values.
 *   product: row operand, column operand (not if evaluated), c (split > 1: the partial sums [split][batch][m][n]; not
 *            with an epilogue); after the values the parameters of LOADS (NULL: not evaluated; they begin with a comma)
 *            and of EPILOGUE. CONVERT (NULL: none) gives an element for a byte: OpenCL C for vectors, of the vector x
 *            of bytes; TO_V converts x exactly.
 *   sum:     partial sums, c
 *   pack:    the parameters of LOADS (without a comma before), then the packed array, then batch, rows, columns. */
char *blo_gemm_source(const blo_gemm_choice *choice, blo_dtype dtype, const char *convert, const blo_gemm_loads *loads,
                      const blo_gemm_epilogue *epilogue, char name[64]);
char *blo_gemm_sum_source(blo_dtype dtype, char name[64]);

typedef struct blo_gemm_pack {
    char operand; /* 'a' or 'b' */
    bool along_k; /* as in blo_gemm_operand */
    int tile, width;
    blo_dtype dtype; /* of what is packed */
} blo_gemm_pack;
blo_gemm_pack blo_gemm_packing(const blo_gemm_shape *shape, const blo_gemm_choice *choice, char operand,
                               const blo_gemm_operand *facts);
uint64_t blo_gemm_packed_count(const blo_gemm_shape *shape, const blo_gemm_pack *pack);
char *blo_gemm_pack_source(const blo_gemm_pack *pack, const blo_gemm_loads *loads, const char *name);

/* Sizes of the launches; the first two fill VALUES and return how many. */
int blo_gemm_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                    uint64_t *values);
int blo_gemm_sum_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                        uint64_t *values);
void blo_gemm_pack_launch(const blo_gemm_shape *shape, const blo_gemm_pack *pack, size_t global[3], size_t local[3]);

#endif
