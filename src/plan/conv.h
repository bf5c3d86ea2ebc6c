/* The library's own convolution: tiles, sources and sizes of the kernels of cl/conv*.cl. Pure; convolution.c makes
 * launches of them.
 *
 * All three forms are products that read one operand where it lies in an image, channels last; it has zeros around it,
 * or (IN_PLACE) it is as it is, and products with what would lie outside are left out:
 *   output        y[n,p,q,o] = sum over taps and channels of image[n, p*stride + r*dilation, …, c] w[o,c,r,s]
 *   to the image  the same, of the gradient with zeros around and, with a stride, between its pixels, and the weight
 *                 turned: lanes are the image's channels, taps run from the end
 *   to the weight w[o,c,r,s] = sum over n, p, q of image[…] g[n,p,q,o], in ranges of images that a second kernel adds
 * Each sum is a chain of fma in an order that follows from the shape alone: taps, then channels; or images of a range,
 * rows, columns. */
#ifndef BLO_PLAN_CONV_H
#define BLO_PLAN_CONV_H

#include "device/device.h"

/* A product over an image [N,H,W,C]: results [N,P,Q,O]. */
typedef struct blo_conv_shape {
    blo_dtype dtype;       /* float or double */
    int64_t images;        /* N */
    int64_t rows, columns; /* H, W of the image as it lies in memory, with its zeros or in place */
    int64_t size[2];       /* H, W without zeros */
    int64_t low[2];        /* zeros that would lie before */
    bool spread;           /* zeros lie between the pixels too: not in place */
    int64_t channels;      /* C */
    int64_t height, width; /* P, Q of the results */
    int64_t outputs;       /* O */
    int64_t taps[2];       /* R, S */
    int64_t stride[2], dilation[2];
    int64_t groups;
} blo_conv_shape;

typedef struct blo_conv_choice {
    int vector, vectors, lanes;  /* elements of a vector; vectors of a tile's row; their product */
    int tile_rows, tile_columns; /* of pixels (output); rows and 1 (to the weight) */
    bool within_tap;             /* to the weight: a tile's rows are neighbouring channels */
    bool in_place;               /* the image has no zeros around */
    bool along_channels;         /* output: a vector runs along the image's channels, and a tile has one output */
    int ranges;                  /* to the weight: of images */
} blo_conv_choice;

enum { BLO_CONV_VALUES = 32 }; /* most ulong values a kernel takes after its arrays */

void blo_conv_choose_output(const blo_device_facts *facts, const blo_conv_shape *shape, blo_conv_choice *choice);
void blo_conv_choose_weight(const blo_device_facts *facts, const blo_conv_shape *shape, blo_conv_choice *choice);

/* Rows an image must have in memory, so that tiles that reach beyond the last result read what is there; and elements
 * to spare at its array's end, for the same reason. */
int64_t blo_conv_image_rows(const blo_conv_shape *shape, const blo_conv_choice *choice);
uint64_t blo_conv_image_slack(const blo_conv_shape *shape, const blo_conv_choice *choice);
/* Elements of the packed weight, and of the partial sums. */
uint64_t blo_conv_packed_count(const blo_conv_shape *shape, const blo_conv_choice *choice);
uint64_t blo_conv_partial_count(const blo_conv_shape *shape, const blo_conv_choice *choice);

/* Sources, malloc'ed (NULL: no memory); equal NAME, equal text. Kernels take (array, ulong offset) pairs, then ulong
 * values. output: image, packed weight, result. weight: image, gradient, partial sums. sum: partial sums, result.
 * packs: the PARAMETERS of FUNCTION, then the packed array. FUNCTION defines T PACK_load(PARAMETERS, four uints), of
 * images for WIDTH neighbouring channels at once. */
char *blo_conv_output_source(const blo_conv_shape *shape, const blo_conv_choice *choice, char name[96]);
char *blo_conv_weight_source(const blo_conv_shape *shape, const blo_conv_choice *choice, char name[96]);
char *blo_conv_sum_source(const blo_conv_shape *shape, const blo_conv_choice *choice, char name[96]);
char *blo_conv_pack_source(blo_dtype dtype, int lanes, bool flip, int width, const char *name, const char *parameters,
                           const char *names, const char *function); /* LANES 0: an image */

/* Sizes of the launches; they fill VALUES and return how many. */
int blo_conv_output_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, size_t global[3],
                           size_t local[3], uint64_t *values);
/* The gradient lies with G_ROWS, G_COLUMNS of pixels in memory, its first one at G_ROW, G_COLUMN. */
typedef struct blo_conv_place {
    int64_t rows, columns, row, column;
} blo_conv_place;
int blo_conv_weight_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, const blo_conv_place *g,
                           size_t global[3], size_t local[3], uint64_t *values);
int blo_conv_sum_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, size_t global[3], size_t local[3],
                        uint64_t *values);
int blo_conv_pack_weight_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, size_t global[3],
                                size_t local[3], uint64_t *values);
/* An image [N,HEIGHT,WIDTH,C] with LOW zeros before and STEP - 1 between its pixels, to SHAPE's. */
int blo_conv_pack_image_launch(const blo_conv_shape *shape, const int64_t *size, const int64_t *low,
                               const int64_t *step, size_t global[3], size_t local[3], uint64_t *values);

#endif
