/* Tiles, sources and sizes of the library's own product; see gemm.h. Knows no OpenCL calls. */
#include "gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl_sources.h"
#include "text.h"

enum {
    VECTOR_BYTES = 64,  /* 16 floats, 8 doubles: one register of 512 bits or two of 256 */
    WIDE_FLOATS = 16,   /* native vectors this wide come with 32 registers, narrower with 16 */
    FEW_TILES = 16,     /* fewer tiles than this, and a long k is split */
    SPLIT_LENGTH = 256, /* least k of one range */
    MOST_SPLITS = 16,
    ITEMS_WANTED = 64, /* work-items from which a panel's columns stay in one item */
    MOST_PANELS = 8,   /* panels of A that one item takes through a panel of B while that is in the cache */
    LONG_K = 2048,     /* beyond this both panels leave the cache: ranges of LONG_RANGE */
    LONG_RANGE = 1024,
    MOST_PARTIALS = 1 << 22, /* elements of partial sums that this is worth */
    PACK_BLOCK = 256         /* elements along k that one item of a pack takes */
};

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Accumulators are tile_m x vectors registers (twice that on narrow vectors); the rest hold a row of B and the
 * broadcasts. */
void blo_gemm_choose(const blo_device_facts *facts, const blo_gemm_shape *shape, blo_gemm_choice *choice) {
    bool wide = facts->float_vector_width >= WIDE_FLOATS;
    choice->vector = (int)(VECTOR_BYTES / blo_dtype_size(shape->dtype));
    choice->vectors = wide && shape->n > choice->vector ? 2 : 1;
    int most_rows = !wide ? 6 : choice->vectors == 2 ? 12 : 16, usual = !wide ? 6 : choice->vectors == 2 ? 8 : 12;
    choice->tile_m = shape->m <= most_rows ? (int)shape->m : usual;
    if (!wide && shape->m > 6 && shape->m <= 10) /* two equal panels instead of a full and a nearly empty one */
        choice->tile_m = (int)ceil_div(shape->m, 2);
    choice->tile_n = choice->vector * choice->vectors;
    int64_t tiles = shape->batch * ceil_div(shape->m, choice->tile_m) * ceil_div(shape->n, choice->tile_n);
    int64_t split = 1;
    if (tiles < 2 * FEW_TILES) {
        split = ceil_div(4 * FEW_TILES, tiles > 0 ? tiles : 1);
        if (split > shape->k / SPLIT_LENGTH)
            split = shape->k / SPLIT_LENGTH;
    }
    if (split <= 1 && shape->k > LONG_K) {
        split = ceil_div(shape->k, LONG_RANGE);
        split = split * shape->batch * shape->m * shape->n <= MOST_PARTIALS ? split : 1;
    }
    choice->split = (int)(split < 1 ? 1 : split > MOST_SPLITS ? MOST_SPLITS : split);
}

uint64_t blo_gemm_packed_a_count(const blo_gemm_shape *shape, const blo_gemm_choice *choice) {
    return (uint64_t)(shape->batch * ceil_div(shape->m, choice->tile_m) * choice->tile_m * shape->k);
}

uint64_t blo_gemm_packed_b_count(const blo_gemm_shape *shape, const blo_gemm_choice *choice) {
    return (uint64_t)(shape->batch * ceil_div(shape->n, choice->tile_n) * choice->tile_n * shape->k);
}

/* --- sources --- */

char *blo_gemm_source(const blo_gemm_choice *choice, blo_dtype dtype, char name[64]) {
    blo_text text = {0};
    const char *type = blo_dtype_name(dtype);
    snprintf(name, 64, "blo_gemm_%s_%dx%d_%d", type, choice->tile_m, choice->vector, choice->vectors);
    blo_text_add(&text,
                 "#define NAME %s\n#define T %s\n#define V %s%d\n#define VLOAD vload%d\n#define VSTORE vstore%d\n",
                 name, type, type, choice->vector, choice->vector, choice->vector);
    blo_text_add(&text, "#define TM %d\n#define W %d\n#define VN %d\n#define TN %d\n#define FOR_ROWS(X)",
                 choice->tile_m, choice->vector, choice->vectors, choice->tile_n);
    for (int r = 0; r < choice->tile_m; r++)
        blo_text_add(&text, " X(%d)", r);
    blo_text_add(&text,
                 "\n%s\n#undef NAME\n#undef T\n#undef V\n#undef VLOAD\n#undef VSTORE\n#undef TM\n#undef W\n#undef "
                 "VN\n#undef TN\n#undef FOR_ROWS\n",
                 blo_cl_gemm);
    if (text.failed)
        blo_text_free(&text);
    return text.data;
}

char *blo_gemm_sum_source(blo_dtype dtype, char name[64]) {
    blo_text text = {0};
    snprintf(name, 64, "blo_gemm_sum_%s", blo_dtype_name(dtype));
    blo_text_add(&text, "#define NAME %s\n#define T %s\n%s\n#undef NAME\n#undef T\n", name, blo_dtype_name(dtype),
                 blo_cl_gemm_sum);
    if (text.failed)
        blo_text_free(&text);
    return text.data;
}

char *blo_gemm_pack_source(const blo_gemm_choice *choice, blo_dtype dtype, const blo_gemm_pack *pack, const char *name,
                           const char *parameters, const char *names, const char *function) {
    blo_text text = {0};
    bool is_a = pack->operand == 'a';
    blo_text_add(&text, "#define NAME %s\n#define NAME_load %s_load\n#define T %s\n#define PARAMETERS %s\n", name, name,
                 blo_dtype_name(dtype), parameters);
    blo_text_add(&text, "%s", function);
    /* the panel runs along i of A and j of B; "across" is the other index, k */
    blo_text_add(&text, "#define LOAD(b, k, t) NAME_load(%s, b, %s)\n", names, is_a ? "t, k" : "k, t");
    blo_text_add(&text, "#define TILE %d\n#define IS_A %d\n#define ALONG_PANEL %d\n#define BLOCK %d\n",
                 is_a ? choice->tile_m : choice->tile_n, is_a, pack->along_rows == is_a, PACK_BLOCK);
    blo_text_add(&text,
                 "%s\n#undef NAME\n#undef NAME_load\n#undef T\n#undef PARAMETERS\n#undef LOAD\n#undef TILE\n#undef "
                 "IS_A\n#undef ALONG_PANEL\n#undef BLOCK\n",
                 blo_cl_pack);
    if (text.failed)
        blo_text_free(&text);
    return text.data;
}

/* --- sizes --- */

int blo_gemm_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                    uint64_t *values) {
    int64_t panels_m = ceil_div(shape->m, choice->tile_m), panels_n = ceil_div(shape->n, choice->tile_n);
    int64_t rows = panels_m * shape->batch * choice->split, columns = panels_n;
    if (rows < ITEMS_WANTED) { /* too few items: share the columns out */
        int64_t groups = ceil_div(ITEMS_WANTED, rows);
        columns = ceil_div(panels_n, groups < panels_n ? groups : panels_n);
    }
    int64_t items = rows * ceil_div(panels_n, columns), group = items / ITEMS_WANTED;
    group = group < 1 ? 1 : group > MOST_PANELS ? MOST_PANELS : group;
    global[0] = (size_t)ceil_div(panels_m, group);
    global[1] = (size_t)ceil_div(panels_n, columns);
    global[2] = (size_t)(shape->batch * choice->split);
    local[0] = local[1] = local[2] = 1;
    const uint64_t all[] = {(uint64_t)shape->m,
                            (uint64_t)shape->n,
                            (uint64_t)shape->k,
                            (uint64_t)shape->batch,
                            (uint64_t)ceil_div(shape->k, choice->split),
                            (uint64_t)columns,
                            (uint64_t)group};
    memcpy(values, all, sizeof all);
    return (int)(sizeof all / sizeof all[0]);
}

int blo_gemm_sum_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                        uint64_t *values) {
    enum { GROUP = 64 };
    uint64_t count = (uint64_t)(shape->batch * shape->m * shape->n);
    global[0] = (size_t)((count + GROUP - 1) / GROUP * GROUP);
    local[0] = GROUP;
    global[1] = global[2] = local[1] = local[2] = 1;
    values[0] = count;
    values[1] = (uint64_t)choice->split;
    return 2;
}

void blo_gemm_pack_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, const blo_gemm_pack *pack,
                          size_t global[3], size_t local[3]) {
    bool is_a = pack->operand == 'a';
    global[0] = (size_t)ceil_div(is_a ? shape->m : shape->n, is_a ? choice->tile_m : choice->tile_n);
    global[1] = (size_t)ceil_div(shape->k, PACK_BLOCK);
    global[2] = (size_t)shape->batch;
    local[0] = local[1] = local[2] = 1;
}
