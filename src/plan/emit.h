/* The emitter: the OpenCL C that computes a node's value at a symbolic index, with everything that is not an array
 * evaluated inline. */
#ifndef BLO_PLAN_EMIT_H
#define BLO_PLAN_EMIT_H

#include "index.h"
#include "lanes.h"
#include "lower.h"

typedef struct blo_value blo_value;
struct blo_value {
    const blo_node *node;
    const blo_index *index[BLO_MAX_RANK];
    int scope;
    bool wide;     /* a vector: the lanes differ */
    char name[48]; /* a variable or a literal */
    blo_value *next;
};

typedef struct blo_emitter {
    blo_lowering *lowering;
    int group; /* its roots are evaluated, not loaded */
    blo_indices indices;
    bool *in_rows; /* [nodes] roots and inputs that "row{id}" holds, element after element of the lanes' rows */
    const blo_node
        *carried; /* a product [rows, n]: tile[j * VN + v] holds its column j in the lanes' rows; NULL: none */
    int n_values;
    blo_value **values; /* [nodes] chains */
    int n_arrays;
    int arrays[BLO_MAX_ARGUMENTS]; /* of the lowering, in the order of the parameters p0, p1 … */
    bool written[BLO_MAX_ARGUMENTS];
    int width;        /* elements that a work-item computes at once, 1: no lanes */
    bool full;        /* all lanes always hold an element; else the text has "rest", how many do */
    blo_helpers uses; /* what the text calls */
    bool scalar_only; /* met what has no form with lanes: emit once more with a width of 1 */
    bool failed;      /* out of memory or of arguments */
} blo_emitter;

/* Scope 0 (the body) is open afterwards. GROUP -1: none. WIDTH: lanes; then the text must define the index that was
 * made by blo_index_lane(), and "lane" and "rest" beside it. */
void blo_emitter_init(blo_emitter *emitter, blo_lowering *lowering, int group, int width);
void blo_emitter_free(blo_emitter *emitter);

/* NODE's value at INDEX[node->rank], defined in the scope it needs. */
const blo_value *blo_emit_value(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);

/* The same for the primitives of images (images.c). */
const blo_value *blo_emit_image(blo_emitter *emitter, const blo_node *node, const blo_index *const *index);
/* NODE's value at INDEX as a new variable of SCOPE, as another name, as a number. */
const blo_value *blo_emit_define(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                                 bool wide, const char *expression);
const blo_value *blo_emit_alias(blo_emitter *emitter, const blo_node *node, const blo_index *const *index, int scope,
                                bool wide, const char *name);
const blo_value *blo_emit_constant(blo_emitter *emitter, const blo_node *node, const blo_index *const *index,
                                   double number);

/* The parameter number of an array, made at first use. */
int blo_emit_array(blo_emitter *emitter, int array, bool written);

/* Rows shorter than this are not worth turning. */
enum { BLO_TURNED_ROW = 4 };
/* Into the body of a product's kernel, in rows "g", "lane": the roots of RIDER, kept in the item as "row{id}" for the
 * riders after it, and stored where they are wanted; or the product itself as an array. */
void blo_emit_rider(blo_emitter *emitter, const blo_group *rider, int product, int64_t rows);
void blo_emit_whole(blo_emitter *emitter, const blo_node *carrier);

/* A fresh loop or condition inside PARENT; HEADER is "for (…)" or "if (…)". Close puts it into its parent, FOOTER last
 * inside. */
int blo_emit_open(blo_emitter *emitter, int parent);
void blo_emit_close(blo_emitter *emitter, int scope, const char *header, const char *footer);
blo_text *blo_emit_text(blo_emitter *emitter, int scope);
/* A new variable name with PREFIX. */
void blo_emit_name(blo_emitter *emitter, const char *prefix, char name[24]);

/* VALUE as a vector of all lanes, or as it is without lanes: its name, or what is written to TEXT. */
const char *blo_emit_widened(const blo_emitter *emitter, const blo_value *value, char text[64]);
/* Writes VALUE to element LINEAR of parameter PARAMETER, in SCOPE. */
void blo_emit_store(blo_emitter *emitter, int parameter, const blo_index *linear, const blo_value *value, int scope);
/* A new variable TYPE, of the lanes' width where WIDE, for sums and maxima. */
const char *blo_emit_type(const blo_emitter *emitter, blo_dtype dtype, bool wide);

/* "__global const float *p0, ulong o0, …" or "p0, o0, …". */
void blo_emit_parameters(const blo_emitter *emitter, blo_text *text, bool declare);
/* Starts STEP's arguments with the emitter's arrays. */
void blo_emit_arguments(const blo_emitter *emitter, blo_plan_step *step);

/* VALUE as OpenCL C of type DTYPE. */
void blo_emit_literal(char *text, size_t size, blo_dtype dtype, double value);
/* How a sum or maximum starts, and how it takes in VALUE. */
const char *blo_reduction_start(const blo_node *node);
void blo_reduction_update(blo_text *text, const blo_node *node, const char *accumulator, const char *value);
/* The operand's index for the result's INDEX and the index along the reduced axes together. */
void blo_reduction_index(blo_indices *indices, const blo_node *node, const blo_index *const *index,
                         const blo_index *inner, const blo_index **operand);

#endif
