/* Tiles, sources and sizes of the library's own product; see gemm.h. Knows no OpenCL calls. */
#include "gemm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl_sources.h"
#include "text.h"

enum {
    VECTOR_BYTES = 64,  /* 16 floats, 8 doubles: one register of 512 bits or two of 256 */
    WIDE_FLOATS = 16,   /* native vectors this wide come with 32 registers, narrower with 16 */
    NARROW = 16,        /* a side this short fits one tile */
    FEW_TILES = 16,     /* fewer tiles than this, and a long k is split */
    SPLIT_LENGTH = 256, /* least k of one range */
    MOST_SPLITS = 16,
    MOST_COLUMNS = 16,       /* panels of lanes that one item takes */
    LONG_K = 2048,           /* beyond this blocks of K_BLOCK; below, taking sums up again costs more than it saves */
    K_BLOCK = 1024,          /* elements of k */
    ROWS_BYTES = 640 << 10,  /* of the row operand that stay in a core's cache */
    CACHE_BYTES = 1 << 20,   /* that cache */
    LOCAL_BYTES = 128 << 10, /* of a converted panel, which stays there too */
    LOCAL_LEAST = 512,       /* steps of k, fewer than which are not worth taking sums up again */
    SHORT_K = 64,            /* packing for so few uses of each element costs as much as the product */
    LINE_ITEMS = 16,         /* at least, for each core */
    PACK_BLOCK = 256         /* elements along k that one item of a pack takes */
};

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* --- the choice --- */

/* Few tiles leave cores idle: k is shared out. By the shape alone, as though every tile were of a fixed size. */
static int split_of(const blo_gemm_shape *shape) {
    enum { TILE_SHORT = 16, TILE_LONG = 32 };
    int64_t few = shape->m < shape->n ? shape->m : shape->n, many = shape->m < shape->n ? shape->n : shape->m;
    int64_t tiles = shape->batch * ceil_div(few, TILE_SHORT) * ceil_div(many, TILE_LONG);
    if (tiles >= 2 * FEW_TILES)
        return 1;
    int64_t split = ceil_div(4 * FEW_TILES, tiles > 0 ? tiles : 1), most = shape->k / SPLIT_LENGTH;
    split = split < most ? split : most;
    return (int)(split < 1 ? 1 : split > MOST_SPLITS ? MOST_SPLITS : split);
}

/* Is A the operand along the lanes? That is the operand of bytes, which are converted as vectors, or else the longer,
 * but where k is so short that storing the tile counts most: its lines should be long. */
static bool is_swapped(const blo_gemm_shape *shape, const blo_gemm_operand *a, const blo_gemm_operand *b) {
    const bool a_longer = shape->m > shape->n;
    if (shape->m <= NARROW || shape->n <= NARROW)
        return a_longer;
    return a->bytes != b->bytes ? a->bytes : a_longer && shape->k > SHORT_K;
}

/* Is k so short that storing the tiles counts most? */
static bool mostly_stores(const blo_gemm_shape *shape, const blo_gemm_choice *choice) {
    return shape->k <= SHORT_K && !choice->swapped && shape->m > NARROW && shape->n > NARROW;
}

/* Accumulators are tile_m x vectors registers (twice that where a vector takes two); the rest hold a line of the column
 * operand and the broadcasts. Tiles that are mostly stored are long, for runs of whole lines of memory. */
static void choose_tile(const blo_device_facts *facts, const blo_gemm_shape *shape, int64_t m, int64_t n,
                        blo_gemm_choice *choice) {
    const blo_dtype dtype = shape->dtype;
    const bool wide = facts->float_vector_width >= WIDE_FLOATS;
    const blo_tile *tuned = &facts->tiles[dtype];
    choice->vector = (int)(VECTOR_BYTES / blo_dtype_size(dtype));
    choice->vectors = 1;
    if (wide && mostly_stores(shape, choice)) {
        choice->vectors = 4;
        choice->tile_m = 6;
    } else if (tuned->rows > 0 && m > NARROW && n > NARROW) {
        choice->vector = tuned->vector;
        choice->vectors = tuned->vectors;
        choice->tile_m = tuned->rows;
    } else if (wide) {
        choice->vectors = n > choice->vector && (m <= NARROW - 2 || m > NARROW) ? 2 : 1;
        int most = choice->vectors == 2 ? NARROW - 2 : NARROW;
        choice->tile_m = m <= most ? (int)m : 12;
    } else {
        choice->tile_m = m <= 6 ? (int)m : 6;
        if (m > 6 && m <= NARROW - 4) { /* all rows in one tile, of half vectors */
            choice->vector /= 2;
            choice->tile_m = (int)m;
        }
    }
    choice->tile_n = choice->vector * choice->vectors;
}

/* Packing a narrow result's operands would cost as much as the product, and so would packing rows for a short k; a
 * fixed operand is packed once, bytes lie densely enough. */
static blo_gemm_way way_of_row(const blo_gemm_shape *shape, const blo_gemm_operand *row, int64_t m,
                               const blo_gemm_choice *choice) {
    const bool narrow = shape->m <= NARROW || shape->n <= NARROW;
    if (!row->in_place || row->bytes || row->fixed)
        return BLO_GEMM_PACKED;
    if (row->along_k)
        return narrow || shape->k <= SHORT_K ? BLO_GEMM_ALONG_K : BLO_GEMM_PACKED;
    return narrow && m % choice->tile_m == 0 ? BLO_GEMM_ALONG_TILE : BLO_GEMM_PACKED;
}

/* One panel of rows uses each element once: then it may be evaluated, and turned, by the product's own kernel. For a
 * short k an array whose lines lie along the lanes stays in the nearest cache as it is. */
static blo_gemm_way way_of_column(const blo_gemm_shape *shape, const blo_gemm_operand *column, int64_t m, int64_t n,
                                  const blo_gemm_choice *choice) {
    if (shape->k <= SHORT_K && column->in_place && !column->along_k && !column->bytes && n >= choice->tile_n)
        return BLO_GEMM_ALONG_TILE;
    const bool once = m <= choice->tile_m && (column->in_place || column->light);
    if (!once || n < choice->tile_n || (column->fixed && !(column->bytes && column->in_place && !column->along_k)))
        return BLO_GEMM_PACKED;
    return column->along_k ? BLO_GEMM_ALONG_K : BLO_GEMM_ALONG_TILE;
}

/* Several panels of rows read each panel of bytes: then it is converted once for all of them. */
static int local_k_of(const blo_device_facts *facts, const blo_gemm_choice *choice, blo_dtype dtype, int64_t m) {
    const uint64_t room = facts->local_bytes / 2 < LOCAL_BYTES ? facts->local_bytes / 2 : LOCAL_BYTES,
                   steps = room / (blo_dtype_size(dtype) * (uint64_t)choice->tile_n);
    bool worth = choice->bytes && choice->column == BLO_GEMM_PACKED && m > choice->tile_m && steps >= LOCAL_LEAST;
    return worth ? (int)steps : 0;
}

/* Blocks of equal length, where both panels would otherwise leave the cache between two uses. */
static int64_t block_of(const blo_gemm_shape *shape, const blo_gemm_choice *choice, int64_t m, int64_t n) {
    int64_t k = ceil_div(shape->k, choice->split);
    if (choice->local_k)
        return ceil_div(k, ceil_div(k, choice->local_k));
    if (m <= choice->tile_m || n <= choice->tile_n || k <= LONG_K)
        return k;
    return ceil_div(k, ceil_div(k, K_BLOCK));
}

/* As many vectors as one has lanes are turned beside the accumulators: one per row, and of half as many registers where
 * there are but 16 of them. */
static void narrow_turned(const blo_device_facts *facts, blo_dtype dtype, blo_gemm_choice *choice) {
    const bool two_registers =
        facts->float_vector_width < WIDE_FLOATS && (size_t)choice->vector * blo_dtype_size(dtype) == VECTOR_BYTES;
    choice->vectors = 1;
    choice->vector /= two_registers ? 2 : 1;
    choice->tile_n = choice->vector;
}

void blo_gemm_choose(const blo_device_facts *facts, const blo_gemm_shape *shape, const blo_gemm_operand *a,
                     const blo_gemm_operand *b, blo_gemm_choice *choice) {
    const bool swapped = is_swapped(shape, a, b);
    int64_t m = swapped ? shape->n : shape->m, n = swapped ? shape->m : shape->n;
    const blo_gemm_operand *row = swapped ? b : a, *column = swapped ? a : b;
    *choice = (blo_gemm_choice){.swapped = swapped, .split = split_of(shape), .cores = facts->compute_units};
    choose_tile(facts, shape, m, n, choice);
    choice->column = way_of_column(shape, column, m, n, choice);
    if (choice->column == BLO_GEMM_ALONG_K)
        narrow_turned(facts, shape->dtype, choice);
    choice->evaluated = choice->column != BLO_GEMM_PACKED && !column->in_place;
    choice->bytes = column->bytes && !choice->evaluated;
    choice->local_k = local_k_of(facts, choice, shape->dtype, m);
    choice->row = way_of_row(shape, row, m, choice);
    choice->block = block_of(shape, choice, m, n);
}

/* --- sources --- */

static const char *type_name(blo_dtype dtype) {
    return dtype == BLO_DOUBLE ? "double" : dtype == BLO_FLOAT ? "float" : "uchar";
}

static void define_types(blo_text *text, const blo_gemm_choice *choice, blo_dtype dtype, const char *convert) {
    const char *type = type_name(dtype), *stored = choice->bytes ? "uchar" : type;
    blo_text_add(text, "#define T %s\n#define S %s\n#define W %d\n#define V %s%d\n", type, stored, choice->vector, type,
                 choice->vector);
    blo_text_add(text, "#define VLOAD vload%d\n#define VSTORE vstore%d\n", choice->vector, choice->vector);
    blo_text_add(text, "#define VLOAD_S(v, p) vload%d(v, p)\n#define TO_V convert_%s%d\n", choice->vector, type,
                 choice->vector);
    blo_text_add(text, "#define CONVERT(x) %s\n", choice->bytes ? convert : "(x)");
    blo_text_add(text, "#define EVALUATED %d\n#define LOCAL_K %d\n", choice->evaluated, choice->local_k);
    blo_text_add(text, "#define PACKED %d\n#define ALONG_TILE %d\n#define ALONG_K %d\n", BLO_GEMM_PACKED,
                 BLO_GEMM_ALONG_TILE, BLO_GEMM_ALONG_K);
}

/* The first COUNT of a vector's W lanes, in pieces: #define PUT(x, p) stores them at p, #define GET(x, p) loads them
 * into x, the others 0. COUNT < W. */
static void define_part(blo_text *text, const char *type, const char *name, int count, int w) {
    blo_text put = {0}, get = {0};
    for (int at = 0, piece = w / 2; piece > 0; piece /= 2) {
        if (!(count & piece)) /* no data of this size: padding, later */
            continue;
        if (piece == 1) {
            blo_text_add(&put, "(p)[%d] = x.s%x; ", at, (unsigned)at);
            blo_text_add(&get, "%s(p)[%d]", at ? ", " : "", at);
        } else {
            blo_text_add(&put, "vstore%d((%s%d)(", piece, type, piece);
            for (int i = 0; i < piece; i++)
                blo_text_add(&put, "%sx.s%x", i ? ", " : "", (unsigned)(at + i));
            blo_text_add(&put, "), 0, (p) + %d); ", at);
            blo_text_add(&get, "%svload%d(0, (p) + %d)", at ? ", " : "", piece, at);
        }
        at += piece;
    }
    for (int i = count; i < w; i++)
        blo_text_add(&get, ", (%s)0", type);
    blo_text_add(text, "#define PUT_%s(x, p) %s\n#define GET_%s(x, p) x = (%s%d)(%s);\n", name, put.data, name, type, w,
                 get.data);
    text->failed = text->failed || put.failed || get.failed;
    blo_text_free(&put);
    blo_text_free(&get);
}

static void define_lanes(blo_text *text, const char *type, const char *name, int count, int w) {
    if (count < w)
        define_part(text, type, name, count, w);
    else
        blo_text_add(text, "#define PUT_%s(x, p) vstore%d(x, 0, p);\n#define GET_%s(x, p) x = vload%d(0, p);\n", name,
                     w, name, w);
}

/* LOAD: one element. LOAD_LANES: as many as a vector has; of single elements where there is no function for several. */
static void define_loads(blo_text *text, char operand, const blo_gemm_loads *loads, bool along_k, int width) {
    /* the panel runs along i of A and j of B; "across" is the other index, k */
    const char *order = operand == 'a' ? "t, k" : "k, t";
    blo_text_add(text, "#define LOAD(b, k, t) NAME_element(%s, b, %s)\n", loads->names, order);
    if (loads->lanes) {
        blo_text_add(text, "#define LOAD_LANES(b, k, t) NAME_elements(%s, b, %s)\n", loads->names, order);
        return;
    }
    blo_text_add(text, "#define LOAD_LANES(b, k, t) (V)(");
    for (int l = 0; l < width; l++)
        blo_text_add(text, "%sLOAD(b, (k)%s%d, (t)%s%d)", l ? ", " : "", along_k ? " + " : " + 0 * ", l,
                     along_k ? " + 0 * " : " + ", l);
    blo_text_add(text, ")\n");
}

/* The same of the array b, whose lines run along k. CONVERT is for vectors: of one byte by TO_T. */
static void define_array_loads(blo_text *text, const char *type, const char *convert) {
    blo_text_add(text, "#define TO_T convert_%s\n#define CONVERT_ONE(x) ", type);
    for (const char *c = convert; *c; c++) {
        bool name = !strncmp(c, "TO_V", 4);
        blo_text_add(text, name ? "TO_T" : "%c", *c);
        c += name ? 3 : 0;
    }
    blo_text_add(text, "\n#define AT(x, k, t) b + b_offset + (x) * b_batch + (t) * b_step + (k)\n"
                       "#define LOAD(x, k, t) CONVERT_ONE((*(AT(x, k, t))))\n"
                       "#define LOAD_LANES(x, k, t) CONVERT(VLOAD_S(0, AT(x, k, t)))\n");
}

static void define_tile(blo_text *text, const blo_gemm_choice *choice) {
    blo_text_add(text, "#define TM %d\n#define VN %d\n#define TN %d\n#define SWAPPED %d\n", choice->tile_m,
                 choice->vectors, choice->tile_n, choice->swapped);
    blo_text_add(text, "#define ROW_WAY %d\n#define COLUMN_WAY %d\n#define FOR_ROWS(X)", choice->row, choice->column);
    for (int r = 0; r < choice->tile_m; r++)
        blo_text_add(text, " X(%d)", r);
    blo_text_add(text, "\n#define FOR_VECTORS(X, r)");
    for (int v = 0; v < choice->vectors; v++)
        blo_text_add(text, " X(r, %d)", v);
    blo_text_add(text, "\n");
}

/* The accumulators of four rows and one vector at a time: the first row, the vector, the four (none0 … where there are
 * no more rows), and how many of them count. */
static void define_quads(blo_text *text, const blo_gemm_choice *choice, const char *type) {
    const int rest = choice->tile_m % 4;
    blo_text_add(text, "#define FOR_ROW_QUADS(X)");
    for (int r = 0; r < choice->tile_m; r += 4)
        for (int v = 0; v < choice->vectors; v++) {
            blo_text_add(text, " X(%d, %d", r, v);
            for (int i = r; i < r + 4; i++)
                if (i < choice->tile_m)
                    blo_text_add(text, ", acc%d_%d", i, v);
                else
                    blo_text_add(text, ", none%d", i - choice->tile_m);
            blo_text_add(text, ", %s)", r + 4 <= choice->tile_m ? "FOUR" : "FEW");
        }
    blo_text_add(text, "\n");
    define_lanes(text, type, "4", 4, 4);
    define_lanes(text, type, "REST", rest ? rest : 4, 4);
}

static void undefine(blo_text *text) {
    static const char *const names[] = {"NAME_element",
                                        "NAME_elements",
                                        "LOAD",
                                        "LOAD_LANES",
                                        "TO_T",
                                        "CONVERT_ONE",
                                        "AT",
                                        "EVALUATED",
                                        "LOCAL_K",
                                        "NAME",
                                        "T",
                                        "S",
                                        "W",
                                        "V",
                                        "VLOAD",
                                        "VSTORE",
                                        "VLOAD_S",
                                        "TO_V",
                                        "CONVERT",
                                        "PACKED",
                                        "ALONG_K",
                                        "ALONG_TILE",
                                        "TM",
                                        "VN",
                                        "TN",
                                        "SWAPPED",
                                        "ROW_WAY",
                                        "COLUMN_WAY",
                                        "FOR_ROWS",
                                        "FOR_ROW_QUADS",
                                        "PUT_4",
                                        "GET_4",
                                        "PUT_REST",
                                        "GET_REST",
                                        "EPILOGUE",
                                        "FOR_VECTORS",
                                        "PARAMETERS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        blo_text_add(text, "#undef %s\n", names[i]);
}

/* Preprocessor lines must not end inside the epilogue. */
static void define_epilogue(blo_text *text, const char *statements) {
    blo_text_add(text, "#define EPILOGUE ");
    for (const char *c = statements; *c; c++)
        blo_text_add(text, *c == '\n' ? " \\\n" : "%c", *c);
    blo_text_add(text, "\n");
}

/* The texts go first: their helpers define macros of the same names for themselves. */
static void add_functions(blo_text *body, const blo_gemm_loads *loads, const blo_gemm_epilogue *epilogue) {
    blo_text_add(body, "%s\n%s\n", epilogue && epilogue->functions ? epilogue->functions : "",
                 loads ? loads->functions : "");
    blo_text_add(body, "#define PARAMETERS %s %s\n", loads ? loads->parameters : "",
                 epilogue ? epilogue->parameters : "");
}

static char *named(blo_text *body, const char *name) {
    blo_text text = {0};
    blo_text_add(&text, "#define NAME %s\n#define NAME_element %s_element\n#define NAME_elements %s_elements\n", name,
                 name, name);
    blo_text_append(&text, body);
    undefine(&text);
    text.failed = text.failed || body->failed;
    blo_text_free(body);
    if (text.failed)
        blo_text_free(&text);
    return text.data;
}

char *blo_gemm_source(const blo_gemm_choice *choice, blo_dtype dtype, const char *convert, const blo_gemm_loads *loads,
                      const blo_gemm_epilogue *epilogue, char name[64]) {
    blo_text body = {0};
    const bool along_k = choice->column == BLO_GEMM_ALONG_K;
    add_functions(&body, loads, epilogue);
    convert = convert && choice->bytes ? convert : choice->bytes ? "TO_V(x)" : "(x)";
    define_types(&body, choice, dtype, convert);
    define_tile(&body, choice);
    if (loads)
        define_loads(&body, choice->swapped ? 'a' : 'b', loads, along_k, choice->vector);
    else if (along_k)
        define_array_loads(&body, type_name(dtype), convert);
    if (choice->swapped || along_k)
        blo_text_add(&body, "%s", blo_cl_turn);
    if (choice->swapped)
        define_quads(&body, choice, type_name(dtype));
    if (epilogue)
        define_epilogue(&body, epilogue->text);
    blo_text_add(&body, "%s\n", blo_cl_gemm);
    snprintf(name, 64, "blo_gemm_%s_%dx%d_%016" PRIx64, type_name(dtype), choice->tile_m, choice->tile_n,
             blo_text_hash(body.data ? body.data : ""));
    return named(&body, name);
}

char *blo_gemm_sum_source(blo_dtype dtype, char name[64]) {
    blo_text text = {0};
    snprintf(name, 64, "blo_gemm_sum_%s", type_name(dtype));
    blo_text_add(&text, "#define NAME %s\n#define T %s\n%s\n#undef NAME\n#undef T\n", name, type_name(dtype),
                 blo_cl_gemm_sum);
    if (text.failed)
        blo_text_free(&text);
    return text.data;
}

/* --- packing --- */

blo_gemm_pack blo_gemm_packing(const blo_gemm_shape *shape, const blo_gemm_choice *choice, char operand,
                               const blo_gemm_operand *facts) {
    bool is_column = (operand == 'a') == choice->swapped;
    blo_gemm_pack pack = {.operand = operand,
                          .along_k = facts->along_k,
                          .tile = is_column ? choice->tile_n : choice->tile_m,
                          .dtype = is_column && choice->bytes ? BLO_UINT8 : shape->dtype};
    pack.width =
        (int)(pack.dtype == BLO_UINT8 ? VECTOR_BYTES / sizeof(float) : VECTOR_BYTES / blo_dtype_size(pack.dtype));
    return pack;
}

static int64_t pack_length(const blo_gemm_shape *shape, const blo_gemm_pack *pack) {
    return pack->operand == 'a' ? shape->m : shape->n;
}

uint64_t blo_gemm_packed_count(const blo_gemm_shape *shape, const blo_gemm_pack *pack) {
    return (uint64_t)(shape->batch * ceil_div(pack_length(shape, pack), pack->tile) * pack->tile * shape->k);
}

char *blo_gemm_pack_source(const blo_gemm_pack *pack, const blo_gemm_loads *loads, const char *name) {
    static const char *const defined[] = {"NAME", "NAME_element", "NAME_elements", "T",    "V",          "W",
                                          "TILE", "IS_A",         "ALONG_PANEL",   "LOAD", "LOAD_LANES", "PARAMETERS",
                                          "REST", "PUT_REST",     "GET_REST",      "BLOCK"};
    blo_text text = {0};
    const char *type = type_name(pack->dtype);
    const int w = pack->width;
    blo_text_add(&text, "#define NAME %s\n#define NAME_element %s_element\n#define NAME_elements %s_elements\n", name,
                 name, name);
    blo_text_add(&text, "#define PARAMETERS %s\n%s", loads->parameters,
                 loads->functions); /* whose helpers use T, V and W too */
    blo_text_add(&text, "#define T %s\n#define V %s%d\n#define W %d\n", type, type, w, w);
    define_loads(&text, pack->operand, loads, pack->along_k, w);
    blo_text_add(&text, "#define TILE %d\n#define REST %d\n#define IS_A %d\n#define ALONG_PANEL %d\n#define BLOCK %d\n",
                 pack->tile, pack->tile % w, pack->operand == 'a', !pack->along_k, PACK_BLOCK);
    if (pack->tile % w)
        define_lanes(&text, type, "REST", pack->tile % w, w);
    blo_text_add(&text, "%s\n%s\n", blo_cl_turn, blo_cl_pack);
    for (size_t i = 0; i < sizeof defined / sizeof defined[0]; i++)
        blo_text_add(&text, "#undef %s\n", defined[i]);
    if (text.failed)
        blo_text_free(&text);
    return text.data;
}

void blo_gemm_pack_launch(const blo_gemm_shape *shape, const blo_gemm_pack *pack, size_t global[3], size_t local[3]) {
    global[0] = (size_t)ceil_div(pack_length(shape, pack), pack->tile);
    global[1] = (size_t)ceil_div(shape->k, PACK_BLOCK);
    global[2] = (size_t)shape->batch;
    local[0] = local[1] = local[2] = 1;
}

/* --- sizes --- */

/* Cycles of one tile's step of k, by the way its panels are shared out: its sums; cores that wait for the last item; a
 * line of the row panel, from the next cache if the group stays there beside a column panel, once for all columns; one
 * of the column panel, from further away and perhaps to be converted, once for the group. Measured where vectors are
 * registers; elsewhere as good a guess. */
static double cycles_of(const blo_gemm_choice *choice, size_t size, int64_t group, int64_t columns, int64_t items) {
    enum { SUMS = 2, NEAR = 64, FAR = 12, CONVERSION = 6, WAITING = 2 }; /* a cycle: sums, bytes; cycles; items */
    const bool as_bytes = choice->bytes && !choice->local_k;
    const double sums = (double)choice->tile_m * choice->vectors / SUMS;
    const double waiting = WAITING * (double)choice->cores / (double)items;
    const int64_t held = (int64_t)size * choice->block * (group * choice->tile_m + choice->tile_n);
    const double row = (double)size * choice->tile_m / (held <= CACHE_BYTES ? NEAR : FAR),
                 conversion = choice->local_k ? CONVERSION : 0;
    const double column = (as_bytes ? 1 : (double)size) * choice->tile_n / FAR + conversion * choice->vectors;
    return sums * (1 + waiting) + row / (double)columns + column / (double)group;
}

/* Panels that one item takes: GROUP of rows, which stay in its cache while COLUMNS of lanes pass; all items about
 * equal. */
static void share(const blo_gemm_choice *choice, size_t size, int64_t panels_m, int64_t panels_n, int64_t others,
                  int64_t *group, int64_t *columns) {
    const int64_t most = ROWS_BYTES / ((int64_t)size * choice->tile_m * choice->block);
    double best = 0;
    for (int64_t groups = 1; groups <= panels_m; groups++) {
        const int64_t g = ceil_div(panels_m, groups);
        for (int64_t pieces = ceil_div(panels_n, MOST_COLUMNS); (g <= most || g == 1) && pieces <= panels_n; pieces++) {
            const int64_t c = ceil_div(panels_n, pieces);
            const double cycles = cycles_of(choice, size, g, c, ceil_div(panels_m, g) * ceil_div(panels_n, c) * others);
            if (best > 0 && cycles >= best)
                continue;
            best = cycles;
            *group = g;
            *columns = c;
        }
    }
}

/* The same where tiles are mostly stored: an item writes whole lines, all tiles of a panel of rows one after another,
 * while the column operand stays in its cache; pieces of lines only where there are few panels of rows. */
static void share_lines(const blo_gemm_choice *choice, int64_t panels_m, int64_t panels_n, int64_t others,
                        int64_t *group, int64_t *columns) {
    const int64_t panels = panels_m * others, pieces = ceil_div(LINE_ITEMS * choice->cores, panels > 0 ? panels : 1);
    *group = 1;
    *columns = ceil_div(panels_n, pieces < panels_n ? pieces : panels_n);
}

int blo_gemm_launch(const blo_gemm_shape *shape, const blo_gemm_choice *choice, size_t global[3], size_t local[3],
                    uint64_t *values) {
    int64_t m = choice->swapped ? shape->n : shape->m, n = choice->swapped ? shape->m : shape->n, k = shape->k;
    int64_t panels_m = ceil_div(m, choice->tile_m), panels_n = ceil_div(n, choice->tile_n), group = 1, columns = 1;
    if (mostly_stores(shape, choice))
        share_lines(choice, panels_m, panels_n, shape->batch, &group, &columns);
    else
        share(choice, blo_dtype_size(shape->dtype), panels_m, panels_n, shape->batch * choice->split, &group, &columns);
    global[0] = (size_t)ceil_div(panels_m, group);
    global[1] = (size_t)ceil_div(panels_n, columns);
    global[2] = (size_t)(shape->batch * choice->split);
    local[0] = local[1] = local[2] = 1;
    const int64_t all[] = {m,
                           n,
                           k,
                           shape->batch,
                           ceil_div(k, choice->split),
                           choice->block,
                           group,
                           columns,
                           m * k,
                           choice->row == BLO_GEMM_ALONG_K ? k : m,
                           n * k,
                           choice->column == BLO_GEMM_ALONG_K ? k : n};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        values[i] = (uint64_t)all[i];
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
