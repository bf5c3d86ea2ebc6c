/* Tiles, sources and sizes of the library's own convolution; see conv.h. Knows no OpenCL calls. */
#include "conv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl_sources.h"
#include "text.h"

enum {
    VECTOR_BYTES = 64,    /* 16 floats, 8 doubles: one register of 512 bits or two of 256 */
    WIDE_FLOATS = 16,     /* native vectors this wide come with 32 registers, narrower with 16 */
    MOST_ROWS = 14,       /* of a tile */
    MOST_LINES = 4,       /* of pixels in a tile: each needs a pointer */
    MOST_TAPS = 25,       /* written out one by one, where the image is in place */
    FEW_OUTPUTS = 2,      /* of a group: less than an eighth of a vector's lanes would be used along them */
    CHANNEL_COLUMNS = 8,  /* of pixels in a tile whose vectors run along channels */
    COPY_COST = 16,       /* putting zeros around an image takes one part in so many of the product's time, or more */
    RANGES = 8,           /* of images, at most: each has partial sums */
    RANGE_WORK = 1 << 18, /* products per weight-tile's lane range below which a range is not worth its partial sums */
    SUM_CHANNELS = 4,     /* of which one item adds up the ranges */
    WEIGHT_ITEMS = 4,     /* that share the tiles of one range: each reads all its images */
    BLOCK_BYTES = 1 << 19 /* of images and gradients that stay in the cache while all tiles pass over them */
};

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* --- tiles --- */

/* Registers of one kind of vector; the accumulators, one row of the other operand and a broadcast must fit. */
static int registers(const blo_device_facts *facts) {
    return facts->float_vector_width >= WIDE_FLOATS ? 32 : 16;
}

static int vector_elements(const blo_device_facts *facts, blo_dtype dtype) {
    int bytes = facts->float_vector_width >= WIDE_FLOATS ? VECTOR_BYTES : VECTOR_BYTES / 2;
    return bytes / (int)blo_dtype_size(dtype);
}

/* What a step of a tile costs, in half cycles: fma's, or loads, or the time until an accumulator is ready again. */
static int64_t step_cost(int64_t rows, int64_t vectors) {
    int64_t fma = rows * vectors, loads = rows + vectors, latency = 8;
    return fma > loads ? (fma > latency ? fma : latency) : (loads > latency ? loads : latency);
}

/* What storing a tile costs, in half cycles: whole pixels follow one another in memory, parts of pixels do not. */
static int64_t store_cost(int64_t rows, int64_t vectors, bool whole_pixels) {
    return rows * vectors * (whole_pixels ? 2 : 8);
}

/* What a pixel costs all tiles of a gradient to the weight, in half cycles. The first tile of a panel has the pixel's
 * gradient from memory, where whole pixels follow one another and parts of pixels do not. */
static int64_t weight_cost(int64_t panels, int64_t tiles, int64_t rows, int64_t vectors) {
    return panels * (tiles * step_cost(rows, vectors) + vectors * (panels == 1 ? 2 : 8));
}

static void set_lanes(blo_conv_choice *choice, int vector, int vectors) {
    choice->vector = vector;
    choice->vectors = vectors;
    choice->lanes = vector * vectors;
}

/* In place a tile has whole lines, one or all: which of its pixels a tap leaves out is then known beforehand. */
static bool fits_in_place(const blo_conv_shape *shape, int lines, int columns) {
    return columns == shape->width && (lines == 1 || lines == shape->height);
}

/* The tile of least cost over all tiles; of equals the one with most rows. */
static int64_t choose_output(const blo_device_facts *facts, const blo_conv_shape *shape, bool in_place,
                             blo_conv_choice *choice) {
    int vector = vector_elements(facts, shape->dtype), room = registers(facts);
    int64_t least = INT64_MAX, depth = shape->taps[0] * shape->taps[1] * (shape->channels / shape->groups);
    *choice = (blo_conv_choice){.ranges = 1, .in_place = in_place};
    for (int vectors = 1; vectors <= 4; vectors++)
        for (int lines = 1; lines <= MOST_LINES; lines++)
            for (int columns = 1; columns <= MOST_ROWS && lines * columns <= MOST_ROWS; columns++) {
                if (lines * columns * vectors + vectors + 1 > room || lines > shape->height || columns > shape->width)
                    continue;
                if (in_place && !fits_in_place(shape, lines, columns))
                    continue;
                int64_t panels = shape->groups * ceil_div(ceil_div(shape->outputs, shape->groups), vector * vectors);
                int64_t tiles = panels * ceil_div(shape->height, lines) * ceil_div(shape->width, columns);
                bool whole = shape->outputs == vector * vectors;
                int64_t cost =
                    tiles * (depth * step_cost(lines * columns, vectors) + store_cost(lines * columns, vectors, whole));
                if (cost > least || (cost == least && lines * columns <= choice->tile_rows * choice->tile_columns))
                    continue;
                least = cost;
                choice->tile_rows = lines;
                choice->tile_columns = columns;
                set_lanes(choice, vector, vectors);
            }
    return least;
}

/* Lanes along the outputs would be padding, those along the channels are not. */
static bool runs_along_channels(const blo_conv_shape *shape, int vector) {
    return shape->outputs / shape->groups <= FEW_OUTPUTS && shape->channels / shape->groups % vector == 0;
}

void blo_conv_choose_output(const blo_device_facts *facts, const blo_conv_shape *shape, blo_conv_choice *choice) {
    blo_conv_choice here;
    const int vector = vector_elements(facts, shape->dtype);
    if (runs_along_channels(shape, vector)) {
        const int columns = (int)(shape->width < CHANNEL_COLUMNS ? shape->width : CHANNEL_COLUMNS);
        *choice = (blo_conv_choice){.vector = vector,
                                    .vectors = 1,
                                    .lanes = 1,
                                    .tile_rows = 1,
                                    .tile_columns = columns,
                                    .ranges = 1,
                                    .along_channels = true};
        return;
    }
    const int64_t cost = choose_output(facts, shape, false, choice);
    if (shape->spread || shape->width > MOST_ROWS || shape->taps[0] * shape->taps[1] > MOST_TAPS)
        return;
    if (choose_output(facts, shape, true, &here) <= cost + cost / COPY_COST)
        *choice = here;
}

static int64_t weight_rows(const blo_conv_shape *shape) {
    return shape->taps[0] * shape->taps[1] * (shape->channels / shape->groups);
}

static int64_t weight_tiles(const blo_conv_shape *shape, const blo_conv_choice *choice) {
    int64_t channels = shape->channels / shape->groups;
    return choice->within_tap ? shape->taps[0] * shape->taps[1] * ceil_div(channels, choice->tile_rows)
                              : ceil_div(weight_rows(shape), choice->tile_rows);
}

void blo_conv_choose_weight(const blo_device_facts *facts, const blo_conv_shape *shape, blo_conv_choice *choice) {
    int vector = vector_elements(facts, shape->dtype), room = registers(facts);
    int64_t least = INT64_MAX, outputs = ceil_div(shape->outputs, shape->groups);
    *choice = (blo_conv_choice){.tile_columns = 1, .within_tap = shape->channels / shape->groups >= 4};
    for (int vectors = 1; vectors <= 4; vectors++)
        for (int rows = 1; rows <= MOST_ROWS; rows++) {
            blo_conv_choice candidate = {.tile_rows = rows, .within_tap = choice->within_tap};
            if (rows * vectors + vectors + 1 > room || (vectors > 1 && vector * (vectors - 1) >= outputs))
                continue;
            int64_t cost =
                weight_cost(ceil_div(outputs, vector * vectors), weight_tiles(shape, &candidate), rows, vectors);
            if (cost > least || (cost == least && rows <= choice->tile_rows))
                continue;
            least = cost;
            choice->tile_rows = rows;
            set_lanes(choice, vector, vectors);
        }
    choice->in_place = choice->within_tap && !shape->spread && shape->channels / shape->groups % choice->tile_rows == 0;
    int64_t work = shape->height * shape->width * weight_rows(shape) * outputs, ranges = shape->images;
    if (work > 0 && ranges * work / RANGE_WORK < ranges)
        ranges = ranges * work / RANGE_WORK;
    choice->ranges = (int)(ranges < 1 ? 1 : ranges > RANGES ? RANGES : ranges);
}

int64_t blo_conv_image_rows(const blo_conv_shape *shape, const blo_conv_choice *choice) {
    int64_t results = ceil_div(shape->height, choice->tile_rows) * choice->tile_rows;
    return (results - 1) * shape->stride[0] + (shape->taps[0] - 1) * shape->dilation[0] + 1;
}

uint64_t blo_conv_image_slack(const blo_conv_shape *shape, const blo_conv_choice *choice) {
    return (uint64_t)((choice->tile_columns * shape->stride[1] + 1) * shape->channels + MOST_ROWS);
}

static int64_t group_panels(const blo_conv_shape *shape, const blo_conv_choice *choice) {
    return ceil_div(shape->outputs / shape->groups, choice->lanes);
}

uint64_t blo_conv_packed_count(const blo_conv_shape *shape, const blo_conv_choice *choice) {
    return (uint64_t)(shape->groups * group_panels(shape, choice) * weight_rows(shape) * choice->lanes);
}

uint64_t blo_conv_partial_count(const blo_conv_shape *shape, const blo_conv_choice *choice) {
    return (uint64_t)(choice->ranges * weight_rows(shape) * shape->outputs);
}

/* --- sources --- */

static void define_vector(blo_text *text, const blo_conv_choice *choice, blo_dtype dtype) {
    const char *type = blo_dtype_name(dtype);
    blo_text_add(text, "#define T %s\n#define W %d\n#define V %s%d\n#define VLOAD vload%d\n#define VSTORE vstore%d\n",
                 type, choice->vector, type, choice->vector, choice->vector, choice->vector);
}

static void define(blo_text *text, const blo_conv_choice *choice, blo_dtype dtype) {
    define_vector(text, choice, dtype);
    blo_text_add(text, "#define TM %d\n#define TP %d\n#define TQ %d\n#define TN %d\n#define FOR_ROWS(X)",
                 choice->tile_rows * choice->tile_columns, choice->tile_rows, choice->tile_columns, choice->lanes);
    for (int r = 0; r < choice->tile_rows * choice->tile_columns; r++)
        blo_text_add(text, " X(%d, %d, %d)", r, r / choice->tile_columns, r % choice->tile_columns);
    blo_text_add(text, "\n#define FOR_LINES(X)");
    for (int p = 0; p < choice->tile_rows; p++)
        blo_text_add(text, " X(%d)", p);
    blo_text_add(text, "\n#define FOR_VECTORS(X, r)");
    for (int v = 0; v < choice->vectors; v++)
        blo_text_add(text, " X(r, %d)", v);
    blo_text_add(text, "\n");
}

/* The text with what it defined undone, or NULL. */
static char *finish(blo_text *text) {
    static const char *const names[] = {"NAME",
                                        "T",
                                        "W",
                                        "V",
                                        "VLOAD",
                                        "VSTORE",
                                        "TM",
                                        "TP",
                                        "TQ",
                                        "TN",
                                        "FOR_ROWS",
                                        "FOR_VECTORS",
                                        "WEIGHT",
                                        "WITHIN_TAP",
                                        "LOAD",
                                        "PACK_load",
                                        "KEEP",
                                        "BLOCK",
                                        "FOR_LINES",
                                        "COLUMN",
                                        "FLIP",
                                        "PARAMETERS",
                                        "IN_PLACE",
                                        "ALONG_CHANNELS",
                                        "ROW",
                                        "IMAGE_ROWS",
                                        "IMAGE_ROW",
                                        "IMAGE_COLUMN",
                                        "TAPS_R",
                                        "TAPS_S",
                                        "STRIDE",
                                        "DILATION_R",
                                        "DILATION_S",
                                        "LOW_R",
                                        "LOW_S",
                                        "WHOLE",
                                        "CHANNELS",
                                        "FOR_TAPS",
                                        "TAP"};
    blo_text_add(text, "\n");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        blo_text_add(text, "#undef %s\n", names[i]);
    if (text->failed)
        blo_text_free(text);
    return text->data;
}

/* Is there a pixel of the image where tap T of window P along AXIS looks? */
static bool is_inside(const blo_conv_shape *shape, int axis, int64_t p, int64_t t) {
    int64_t place = p * shape->stride[axis] + t * shape->dilation[axis] - shape->low[axis];
    return place >= 0 && place < shape->size[axis];
}

/* FOR_TAPS(X): X(ROWS, r, s) for each tap, of one line of taps, r, if the tile is not the whole image; ROWS(X) lists
 * the tile's pixels for which the tap lies in the image. */
static void define_taps(blo_text *text, const blo_conv_shape *shape, const blo_conv_choice *choice, bool whole) {
    blo_text all = {0};
    for (int r = 0; r < (whole ? shape->taps[0] : 1); r++)
        for (int s = 0; s < shape->taps[1]; s++) {
            blo_text rows = {0};
            for (int i = 0; i < choice->tile_rows * choice->tile_columns; i++) {
                int p = i / choice->tile_columns, q = i % choice->tile_columns;
                if (is_inside(shape, 1, q, s) && (!whole || is_inside(shape, 0, p, r)))
                    blo_text_add(&rows, " X(%d, %d, %d)", i, p, q);
            }
            if (rows.length > 0) {
                blo_text_add(text, "#undef ROWS_%d_%d\n#define ROWS_%d_%d(X)%s\n", r, s, r, s, rows.data);
                if (whole)
                    blo_text_add(&all, " X(ROWS_%d_%d, %d, %d)", r, s, r, s);
                else
                    blo_text_add(&all, " X(ROWS_0_%d, r, %d)", s, s);
            }
            text->failed = text->failed || rows.failed;
            blo_text_free(&rows);
        }
    blo_text_add(text, "#define FOR_TAPS(X)%s\n", all.data ? all.data : "");
    text->failed = text->failed || all.failed;
    blo_text_free(&all);
}

/* What a kernel knows of the image that is in place. */
static void define_image(blo_text *text, const blo_conv_shape *shape, const blo_conv_choice *choice) {
    const bool whole = choice->tile_rows == shape->height;
    const struct {
        const char *name;
        int64_t value;
    } all[] = {{"IMAGE_ROWS", shape->size[0]},
               {"IMAGE_ROW", shape->size[1] * shape->channels},
               {"IMAGE_COLUMN", shape->channels},
               {"TAPS_R", shape->taps[0]},
               {"TAPS_S", shape->taps[1]},
               {"STRIDE", shape->stride[0]},
               {"DILATION_R", shape->dilation[0]},
               {"DILATION_S", shape->dilation[1]},
               {"LOW_R", shape->low[0]},
               {"LOW_S", shape->low[1]},
               {"ROW", shape->stride[0] * shape->size[1] * shape->channels},
               {"CHANNELS", shape->channels / shape->groups},
               {"WHOLE", whole}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        blo_text_add(text, "#define %s %lld\n", all[i].name, (long long)all[i].value);
    define_taps(text, shape, choice, whole);
}

char *blo_conv_output_source(const blo_conv_shape *shape, const blo_conv_choice *choice, char name[96]) {
    blo_text text = {0}, named = {0};
    blo_text_add(&text, "#define WEIGHT 0\n#define COLUMN %lld\n#define IN_PLACE %d\n#define ALONG_CHANNELS %d\n",
                 (long long)(shape->stride[1] * shape->channels), choice->in_place, choice->along_channels);
    if (choice->in_place)
        define_image(&text, shape, choice);
    define(&text, choice, shape->dtype);
    snprintf(name, 96, "blo_conv_%s_%dx%d_%dx%d_%016" PRIx64, blo_dtype_name(shape->dtype), choice->tile_rows,
             choice->tile_columns, choice->vector, choice->vectors, blo_text_hash(text.data ? text.data : ""));
    blo_text_add(&named, "#define NAME %s\n", name);
    blo_text_append(&named, &text);
    blo_text_add(&named, "%s", blo_cl_conv);
    named.failed = named.failed || text.failed;
    blo_text_free(&text);
    return finish(&named);
}

char *blo_conv_weight_source(const blo_conv_shape *shape, const blo_conv_choice *choice, char name[96]) {
    blo_text text = {0};
    snprintf(name, 96, "blo_conv_weight_%s_%d_%dx%d_%d_%d", blo_dtype_name(shape->dtype), choice->tile_rows,
             choice->vector, choice->vectors, choice->within_tap, choice->in_place);
    blo_text_add(&text, "#define NAME %s\n#define WEIGHT 1\n#define WITHIN_TAP %d\n#define IN_PLACE %d\n", name,
                 choice->within_tap, choice->in_place);
    define(&text, choice, shape->dtype);
    blo_text_add(&text, "%s", blo_cl_conv);
    return finish(&text);
}

char *blo_conv_sum_source(const blo_conv_shape *shape, const blo_conv_choice *choice, char name[96]) {
    blo_text text = {0};
    snprintf(name, 96, "blo_conv_sum_%s_%d", blo_dtype_name(shape->dtype), choice->vector);
    blo_text_add(&text, "#define NAME %s\n", name);
    define_vector(&text, choice, shape->dtype);
    blo_text_add(&text, "#define BLOCK %d\n%s", SUM_CHANNELS, blo_cl_conv_sum);
    return finish(&text);
}

char *blo_conv_pack_source(blo_dtype dtype, int lanes, bool flip, int width, const char *name, const char *parameters,
                           const char *names, const char *function) {
    blo_text text = {0};
    /* the function may bring helpers with it, which have their own T, W and the like */
    blo_text_add(&text, "#define PACK_load %s_load\n%s", name, function);
    blo_text_add(&text, "#define NAME %s\n#define T %s\n#define PARAMETERS %s\n", name, blo_dtype_name(dtype),
                 parameters);
    blo_text_add(&text, "#define LOAD(a, b, c, d) PACK_load(%s, a, b, c, d)\n", names);
    if (width > 1)
        blo_text_add(&text, "#define W %d\n#define KEEP(v, p) vstore%d(v, 0, p)\n", width, width);
    else
        blo_text_add(&text, "#define W 1\n#define KEEP(v, p) *(p) = (v)\n");
    blo_text_add(&text, "#define WEIGHT %d\n#define TN %d\n#define FLIP %d\n%s", lanes > 0, lanes, flip,
                 blo_cl_conv_pack);
    return finish(&text);
}

/* --- sizes --- */

static void one_item_groups(size_t local[3]) {
    local[0] = local[1] = local[2] = 1;
}

static int set_values(const int64_t *all, size_t n, uint64_t *values) {
    for (size_t i = 0; i < n; i++)
        values[i] = (uint64_t)all[i];
    return (int)n;
}

int blo_conv_output_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, size_t global[3],
                           size_t local[3], uint64_t *values) {
    const int64_t row = shape->columns * shape->channels, outputs = shape->outputs,
                  group_outputs = outputs / shape->groups, panels = group_panels(shape, choice);
    const int64_t in_place[] = {shape->height, outputs, group_outputs, panels};
    const int64_t padded[] = {shape->height,
                              shape->width,
                              shape->rows * row,
                              shape->stride[0] * row,
                              shape->taps[0],
                              shape->taps[1],
                              shape->dilation[0] * row,
                              shape->dilation[1] * shape->channels,
                              shape->channels / shape->groups,
                              outputs,
                              group_outputs,
                              panels};
    global[0] = (size_t)ceil_div(shape->height, choice->tile_rows);
    global[1] = (size_t)(shape->groups * panels);
    global[2] = (size_t)shape->images;
    one_item_groups(local);
    return choice->in_place ? set_values(in_place, sizeof in_place / sizeof in_place[0], values)
                            : set_values(padded, sizeof padded / sizeof padded[0], values);
}

int blo_conv_weight_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, const blo_conv_place *g,
                           size_t global[3], size_t local[3], uint64_t *values) {
    int64_t row = shape->columns * shape->channels, range = ceil_div(shape->images, choice->ranges),
            tiles = weight_tiles(shape, choice), panels = shape->groups * group_panels(shape, choice),
            item_tiles = panels * tiles < WEIGHT_ITEMS ? panels * tiles : ceil_div(panels * tiles, WEIGHT_ITEMS),
            g_row = g->columns * shape->outputs,
            bytes = (shape->rows * row + g->rows * g_row) * (int64_t)blo_dtype_size(shape->dtype),
            block = BLOCK_BYTES / (bytes > 0 ? bytes : 1);
    const int64_t all[] = {shape->images,
                           range,
                           block > 1 ? block : 1,
                           shape->height,
                           shape->width,
                           shape->rows * row,
                           shape->stride[0] * row,
                           shape->stride[1] * shape->channels,
                           g->rows * g_row,
                           g_row,
                           shape->outputs,
                           g->row * g_row + g->column * shape->outputs,
                           shape->taps[1],
                           shape->dilation[0] * row,
                           shape->dilation[1] * shape->channels,
                           weight_rows(shape),
                           shape->channels / shape->groups,
                           shape->outputs,
                           shape->outputs / shape->groups,
                           group_panels(shape, choice),
                           panels,
                           tiles,
                           item_tiles,
                           shape->size[0],
                           shape->size[1],
                           shape->stride[0],
                           shape->stride[1],
                           shape->dilation[0],
                           shape->dilation[1],
                           shape->low[0],
                           shape->low[1]};
    global[0] = (size_t)ceil_div(panels * tiles, item_tiles);
    global[1] = (size_t)choice->ranges;
    global[2] = 1;
    one_item_groups(local);
    return set_values(all, sizeof all / sizeof all[0], values);
}

int blo_conv_sum_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, size_t global[3], size_t local[3],
                        uint64_t *values) {
    values[0] = (uint64_t)shape->outputs;
    values[1] = (uint64_t)(shape->channels / shape->groups);
    values[2] = (uint64_t)(shape->taps[0] * shape->taps[1]);
    values[3] = (uint64_t)choice->ranges;
    one_item_groups(local);
    global[0] = (size_t)ceil_div(shape->channels / shape->groups, SUM_CHANNELS);
    global[1] = (size_t)ceil_div(shape->outputs, choice->vector);
    global[2] = 1;
    return 4;
}

int blo_conv_pack_weight_launch(const blo_conv_shape *shape, const blo_conv_choice *choice, size_t global[3],
                                size_t local[3], uint64_t *values) {
    values[0] = (uint64_t)shape->taps[0];
    values[1] = (uint64_t)shape->taps[1];
    values[2] = (uint64_t)(shape->channels / shape->groups);
    values[3] = (uint64_t)(shape->outputs / shape->groups);
    values[4] = (uint64_t)group_panels(shape, choice);
    global[0] = (size_t)(shape->taps[0] * shape->taps[1]);
    global[1] = (size_t)(shape->groups * group_panels(shape, choice));
    global[2] = 1;
    one_item_groups(local);
    return 5;
}

int blo_conv_pack_image_launch(const blo_conv_shape *shape, const int64_t *size, const int64_t *low,
                               const int64_t *step, size_t global[3], size_t local[3], uint64_t *values) {
    const int64_t all[] = {shape->rows, shape->columns, shape->channels, low[0], low[1],
                           step[0],     step[1],        size[0],         size[1]};
    global[0] = (size_t)shape->rows;
    global[1] = (size_t)shape->images;
    global[2] = 1;
    one_item_groups(local);
    return set_values(all, sizeof all / sizeof all[0], values);
}
