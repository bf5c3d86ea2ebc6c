/* Products for the checks and the timings; see product.h. */
#include "product.h"

#include <stdio.h>
#include <string.h>

static const float scale = 1 / 255.0f;

static int64_t rows_of(const product *p, const side *s) {
    return s->letter == 'a' ? p->shape.m : p->shape.k;
}

static int64_t columns_of(const product *p, const side *s) {
    return s->letter == 'a' ? p->shape.k : p->shape.n;
}

static const char *type_of(blo_dtype dtype) {
    return dtype == BLO_UINT8 ? "uchar" : blo_dtype_name(dtype);
}

/* The functions of a plain row-major operand; bytes that are wanted as elements of TYPE are converted. */
static void write_function(const side *s, blo_dtype dtype, char function[512], char parameters[256]) {
    bool convert = s->stored.dtype == BLO_UINT8 && dtype != BLO_UINT8;
    snprintf(parameters, 256, "__global const %s *restrict p0, const ulong o0, const ulong R, const ulong C",
             type_of(s->stored.dtype));
    snprintf(function, 512,
             "static inline %s NAME_element(%s, uint b, uint i, uint j) "
             "{ return (%s)p0[o0 + ((ulong)b * R + (%s)) * C + (%s)]%s; }\n",
             type_of(dtype), parameters, type_of(dtype), s->transposed ? "j" : "i", s->transposed ? "i" : "j",
             convert ? " * (1 / 255.0f)" : "");
}

static blo_kernel *build_pack(const side *s) {
    char name[96], function[512], parameters[256];
    snprintf(name, sizeof name, "pack_%c_%s_%s_%d_%d", s->letter, type_of(s->stored.dtype), type_of(s->packing.dtype),
             s->packing.tile, s->transposed);
    write_function(s, s->packing.dtype, function, parameters);
    const blo_gemm_loads loads = {function, parameters, "p0, o0, R, C", false};
    return build(name, blo_gemm_pack_source(&s->packing, &loads, name));
}

/* The kernel of the tiles; an evaluated operand is read by a function. */
static blo_kernel *build_tiles(const product *p) {
    const side *column = p->choice.swapped ? &p->a : &p->b;
    char name[64], function[512], parameters[256], after[260];
    write_function(column, p->shape.dtype, function, parameters);
    snprintf(after, sizeof after, ", %s", parameters);
    const blo_gemm_loads loads = {function, after, "p0, o0, R, C", false};
    char *text = blo_gemm_source(&p->choice, p->shape.dtype, "(TO_V(x) * (1 / 255.0f))",
                                 p->choice.evaluated ? &loads : NULL, NULL, name);
    return build(name, text);
}

static void open_side(product *p, side *s, char letter, side_options options) {
    *s = (side){.letter = letter, .transposed = options.transposed};
    s->facts = (blo_gemm_operand){.in_place = options.in_place,
                                  .along_k = (letter == 'a') != options.transposed,
                                  .bytes = options.bytes,
                                  .fixed = options.fixed,
                                  .light = true};
    uint64_t count = (uint64_t)(p->shape.batch * rows_of(p, s) * columns_of(p, s));
    s->stored = make(options.bytes ? BLO_UINT8 : p->shape.dtype, count, true);
}

static void pack_side(product *p, side *s) {
    bool is_column = (s->letter == 'a') == p->choice.swapped;
    if ((is_column ? p->choice.column : p->choice.row) != BLO_GEMM_PACKED)
        return;
    s->packing = blo_gemm_packing(&p->shape, &p->choice, s->letter, &s->facts);
    s->packed = make(s->packing.dtype, blo_gemm_packed_count(&p->shape, &s->packing), false);
    s->pack = build_pack(s);
}

void open_product(product *p, const blo_gemm_shape *shape, side_options a, side_options b, int width,
                  const blo_tile *tile) {
    blo_device_facts facts = *blo_context_facts(context);
    if (width > 0)
        facts.float_vector_width = width;
    if (tile)
        facts.tiles[shape->dtype] = *tile;
    *p = (product){.shape = *shape};
    open_side(p, &p->a, 'a', a);
    open_side(p, &p->b, 'b', b);
    blo_gemm_choose(&facts, &p->shape, &p->a.facts, &p->b.facts, &p->choice);
    pack_side(p, &p->a);
    pack_side(p, &p->b);
    uint64_t count = (uint64_t)(shape->batch * shape->m * shape->n);
    p->c = make(shape->dtype, count, false);
    p->partial = make(shape->dtype, (uint64_t)p->choice.split * count, false);
    p->multiply = build_tiles(p);
    char name[64];
    char *text = blo_gemm_sum_source(shape->dtype, name);
    p->sum = build(name, text);
}

static void close_side(side *s) {
    drop(&s->stored);
    if (s->pack)
        drop(&s->packed);
    blo_kernel_release(s->pack);
}

void close_product(product *p) {
    close_side(&p->a);
    close_side(&p->b);
    drop(&p->partial);
    drop(&p->c);
    blo_kernel_release(p->multiply);
    blo_kernel_release(p->sum);
}

/* The operand's array, and its sizes as stored. */
static int bind_stored(const product *p, const side *s, blo_kernel *kernel, int at) {
    uint64_t rows = (uint64_t)rows_of(p, s), columns = (uint64_t)columns_of(p, s);
    at = bind_array(kernel, at, &s->stored);
    return bind_values(kernel, at, 2,
                       (const uint64_t[]){s->transposed ? columns : rows, s->transposed ? rows : columns});
}

void run_pack(const product *p, const side *s) {
    if (!s->pack)
        return;
    size_t global[3], local[3];
    int at = bind_array(s->pack, bind_stored(p, s, s->pack, 0), &s->packed);
    bind_values(s->pack, at, 3,
                (const uint64_t[]){(uint64_t)p->shape.batch, (uint64_t)rows_of(p, s), (uint64_t)columns_of(p, s)});
    blo_gemm_pack_launch(&p->shape, &s->packing, global, local);
    MUST(blo_kernel_launch(s->pack, 3, global, local));
}

void run_tiles(const product *p) {
    uint64_t values[BLO_GEMM_VALUES];
    size_t global[3], local[3];
    int n = blo_gemm_launch(&p->shape, &p->choice, global, local, values);
    const side *row = p->choice.swapped ? &p->b : &p->a, *column = p->choice.swapped ? &p->a : &p->b;
    int at = bind_array(p->multiply, 0, row->pack ? &row->packed : &row->stored);
    if (!p->choice.evaluated)
        at = bind_array(p->multiply, at, column->pack ? &column->packed : &column->stored);
    at = bind_array(p->multiply, at, p->choice.split > 1 ? &p->partial : &p->c);
    at = bind_values(p->multiply, at, n, values);
    if (p->choice.evaluated)
        bind_stored(p, column, p->multiply, at);
    MUST(blo_kernel_launch(p->multiply, 3, global, local));
}

void run_sum(const product *p) {
    uint64_t values[BLO_GEMM_VALUES];
    size_t global[3], local[3];
    if (p->choice.split == 1)
        return;
    int n = blo_gemm_sum_launch(&p->shape, &p->choice, global, local, values);
    bind_values(p->sum, bind_array(p->sum, bind_array(p->sum, 0, &p->partial), &p->c), n, values);
    MUST(blo_kernel_launch(p->sum, 3, global, local));
}

double element(const product *p, const side *s, int64_t batch, int64_t row, int64_t column) {
    int64_t rows = rows_of(p, s), columns = columns_of(p, s);
    double value =
        s->stored.host[s->stored.offset + (uint64_t)(s->transposed ? (batch * columns + column) * rows + row
                                                                   : (batch * rows + row) * columns + column)];
    if (s->stored.dtype != BLO_UINT8)
        return value;
    return p->shape.dtype == BLO_FLOAT ? (double)((float)value * scale) : value * (double)scale;
}
