/* Symbolic indices inside one kernel: small expressions over loop variables, kept simple so that equal indices are the
 * same object and a row-major walk needs no division. Each lives in the scope (loop nest) of its deepest variable.
 *
 * Where a work-item computes several elements at once (WIDTH lanes), an index is the same in every lane, or rises by a
 * STRIDE from lane to lane, or is none of both (SCATTERED). */
#ifndef BLO_PLAN_INDEX_H
#define BLO_PLAN_INDEX_H

#include "text.h"

typedef struct blo_index blo_index;
enum { BLO_INDEX_LANES_NAME = 24 };
typedef enum blo_index_kind {
    BLO_INDEX_CONST,
    BLO_INDEX_NAME,
    BLO_INDEX_DIV,
    BLO_INDEX_MOD,
    BLO_INDEX_JOIN,
    BLO_INDEX_AFFINE
} blo_index_kind;

struct blo_index {
    blo_index_kind kind;
    const blo_index *a, *b; /* JOIN: a * c + b, b < c. AFFINE: a * c + d. DIV, MOD: by c */
    int64_t c, d;
    int64_t extent; /* the value is below this */
    int scope;
    int64_t stride;                   /* from lane to lane; 0: the same in all */
    bool scattered;                   /* no stride: it has a name in LANES only */
    bool aligned;                     /* in lane 0 a multiple of the width, with stride 1 */
    char name[24];                    /* how the text calls it, in lane 0; "" until it is needed */
    char lanes[BLO_INDEX_LANES_NAME]; /* the vector of all lanes; "" until it is needed */
    blo_index *next;
};

/* Scopes: 0 is the kernel's body, others are loops and conditions inside their parent. */
typedef struct blo_scope {
    int parent, depth;
    blo_text text;
} blo_scope;

typedef struct blo_indices {
    blo_index *all;
    int n_scopes, scopes_capacity;
    blo_scope *scopes;
    blo_scope spare; /* the first scope where there is no memory for any: there is always one to write to */
    int n_names;
    int width;      /* lanes; 0 and 1: one element at a time */
    bool unaligned; /* lane 0 need not hold a multiple of the width */
    bool failed;
} blo_indices;

void blo_indices_free(blo_indices *indices);
int blo_scope_open(blo_indices *indices, int parent);
/* The deeper of two scopes of one nest. */
int blo_scope_deeper(const blo_indices *indices, int a, int b);

const blo_index *blo_index_const(blo_indices *indices, int64_t value);
/* A variable or computed name of the text, 0 <= name < EXTENT. */
const blo_index *blo_index_name(blo_indices *indices, const char *name, int64_t extent, int scope);
/* A variable that rises by 1 from lane to lane, from a multiple of the width in lane 0. The text has a vector "lane" of
 * what to add, which stays within EXTENT. */
const blo_index *blo_index_lane(blo_indices *indices, const char *name, int64_t extent, int scope);
/* A vector of the text, one index for each lane. */
const blo_index *blo_index_scattered(blo_indices *indices, const char *name, int64_t extent, int scope);
const blo_index *blo_index_div(blo_indices *indices, const blo_index *a, int64_t c);
const blo_index *blo_index_mod(blo_indices *indices, const blo_index *a, int64_t c);
const blo_index *blo_index_join(blo_indices *indices, const blo_index *a, int64_t c, const blo_index *b);
const blo_index *blo_index_affine(blo_indices *indices, const blo_index *a, int64_t c, int64_t d, int64_t extent);

/* Row-major: one index to RANK indices, and back. */
void blo_index_split(blo_indices *indices, const blo_index *linear, int rank, const int64_t *shape,
                     const blo_index **result);
const blo_index *blo_index_linear(blo_indices *indices, int rank, const int64_t *shape, const blo_index *const *index);

/* True if the lanes differ. */
bool blo_index_is_wide(const blo_index *index);
/* Its name in the text, writing what defines it into its scope when first asked. Of a wide index that of lane 0; a
 * scattered one has none. */
const char *blo_index_text(blo_indices *indices, const blo_index *index);
/* The name of the vector of all lanes, of a wide index. */
const char *blo_index_lanes(blo_indices *indices, const blo_index *index);

#endif
