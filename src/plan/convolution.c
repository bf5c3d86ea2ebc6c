/* Launches of large convolutions: operands are packed by kernels that evaluate their expressions (an image gets its
 * zeros around, a weight becomes panels), then the kernels of conv.h run. An image packed for one convolution serves
 * the others of the plan. */
#include "conv.h"
#include "emit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_CONVOLUTION = 32768 }; /* products up to which packing costs more than it saves */

/* A packed image (SIZE of the whole, with zeros) or weight. */
typedef struct blo_conv_packed {
    const blo_node *node;
    bool is_weight, flip;
    int lanes;               /* of a weight */
    int64_t low[2], step[2]; /* of an image */
    int64_t rows, columns;
    uint64_t count;
    int array;
} blo_conv_packed;

static blo_status no_memory(const blo_lowering *lowering) {
    return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan a convolution");
}

/* --- which kernels --- */

/* What does not fit the kernels, or is too small for them, is evaluated in loops (images.c). */
bool blo_convolution_is_small(const blo_node *node) {
    for (int i = 0; i < 2; i++)
        if (node->op == BLO_OP_CONV_INPUT &&
            node->attr.conv.padding[i] > (node->in[1]->shape[2 + i] - 1) * node->attr.conv.dilation[i])
            return true;
    return blo_convolution_products(node) <= SMALL_CONVOLUTION;
}

/* --- packing --- */

static const blo_conv_packed *find_packed(const blo_lowering *lowering, const blo_conv_packed *wanted) {
    for (int i = 0; i < lowering->n_conv_packed; i++) {
        const blo_conv_packed *p = &lowering->conv_packed[i];
        if (p->node == wanted->node && p->is_weight == wanted->is_weight && p->flip == wanted->flip &&
            p->lanes == wanted->lanes && !memcmp(p->low, wanted->low, sizeof p->low) &&
            !memcmp(p->step, wanted->step, sizeof p->step) && p->columns == wanted->columns &&
            p->rows >= wanted->rows && p->count >= wanted->count)
            return p;
    }
    return NULL;
}

static blo_conv_packed *new_packed(blo_lowering *lowering, const blo_conv_packed *wanted) {
    if (lowering->n_conv_packed == lowering->conv_packed_capacity) {
        int capacity = lowering->conv_packed_capacity ? 2 * lowering->conv_packed_capacity : 8;
        blo_conv_packed *packed = realloc(lowering->conv_packed, (size_t)capacity * sizeof *packed);
        if (!packed)
            return NULL;
        lowering->conv_packed = packed;
        lowering->conv_packed_capacity = capacity;
    }
    blo_conv_packed *made = &lowering->conv_packed[lowering->n_conv_packed++];
    *made = *wanted;
    made->array = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, wanted->node->dtype, (int64_t)wanted->count);
    return made->array < 0 ? NULL : made;
}

/* A step that runs TEXT on the emitter's arrays and VALUES; takes TEXT over. */
static blo_plan_step *add_step(blo_lowering *lowering, const char *name, char *text, int n_values,
                               const uint64_t *values, const size_t *global, const size_t *local) {
    blo_plan_step *step = text ? blo_lower_step(lowering) : NULL;
    if (!step || !(step->name = strdup(name))) {
        free(text);
        return NULL;
    }
    step->text = text;
    for (int i = 0; i < n_values; i++)
        step->arguments[i] = (blo_plan_argument){.value = values[i]};
    step->n_arguments = n_values;
    memcpy(step->global, global, sizeof step->global);
    memcpy(step->local, local, sizeof step->local);
    return step;
}

/* Puts N arrays before STEP's values. */
static void prepend_arrays(blo_plan_step *step, int n, const int *arrays) {
    memmove(step->arguments + n, step->arguments, (size_t)step->n_arguments * sizeof step->arguments[0]);
    step->n_arguments += n;
    for (int i = 0; i < n; i++)
        step->arguments[i] = (blo_plan_argument){.is_array = true, .array = arrays[i]};
}

/* Channels that a pack of an image moves at once. */
static int pack_width(const blo_lowering *lowering, const blo_conv_packed *packed) {
    const blo_device_facts *device = lowering->device;
    if (packed->is_weight || !device->is_cpu || device->float_vector_width < 4)
        return 1;
    int width = device->float_vector_width >= 16 ? 16 : 8;
    if (packed->node->dtype == BLO_DOUBLE || lowering->has_double)
        width /= 2;
    while (width >= 4 && packed->node->shape[3] % width != 0)
        width /= 2;
    return width >= 4 ? width : 1;
}

/* Writes the load function: the node's expression at four indices, of WIDTH neighbours along the last. */
static const blo_value *emit_load(blo_emitter *emitter, const blo_node *node, int width, blo_text *function) {
    static const char *const letters[4] = {"a", "b", "c", "d"};
    const blo_index *at[4];
    emitter->full = true;
    for (int i = 0; i < 4; i++)
        at[i] = i == 3 && width > 1 ? blo_index_lane(&emitter->indices, letters[i], node->shape[i], 0)
                                    : blo_index_name(&emitter->indices, letters[i], node->shape[i], 0);
    const blo_value *value = blo_emit_value(emitter, node, at);
    if (!value || emitter->failed || emitter->scalar_only)
        return NULL;
    blo_text parameters = {0};
    char widened[64];
    blo_emit_parameters(emitter, &parameters, true);
    blo_helpers_text(&emitter->uses, width, function);
    blo_text_add(function, "static inline %s PACK_load(%s, const uint a, const uint b, const uint c, const uint d) {\n",
                 blo_lanes_type(node->dtype, width), parameters.data ? parameters.data : "");
    if (width > 1)
        blo_text_add(function, "const %s lane = (%s)(0", blo_lanes_index(width), blo_lanes_index(width));
    for (int l = 1; l < width; l++)
        blo_text_add(function, ", %d", l);
    if (width > 1)
        blo_text_add(function, ");\n");
    blo_text_append(function, blo_emit_text(emitter, 0));
    blo_text_add(function, "return %s;\n}\n", blo_emit_widened(emitter, value, widened));
    emitter->failed = emitter->failed || parameters.failed || function->failed;
    blo_text_free(&parameters);
    return emitter->failed ? NULL : value;
}

/* The kernel that packs PACKED's node, with lanes if it can. */
static blo_status add_pack(blo_lowering *lowering, const blo_conv_packed *packed, int n_values, const uint64_t *values,
                           const size_t *global, const size_t *local) {
    const blo_node *node = packed->node;
    int width = pack_width(lowering, packed);
    blo_text parameters = {0}, names = {0}, function = {0}, key = {0};
    blo_emitter emitter;
    char name[64];
    blo_emitter_init(&emitter, lowering, -1, width);
    const blo_value *value = emit_load(&emitter, node, width, &function);
    if (!value && emitter.scalar_only) {
        blo_emitter_free(&emitter);
        width = 1;
        blo_emitter_init(&emitter, lowering, -1, width);
        value = emit_load(&emitter, node, width, &function);
    }
    if (emitter.n_arrays == 0) /* it reads nothing: a list of parameters must not be empty */
        blo_emit_array(&emitter, packed->array, false);
    blo_emit_parameters(&emitter, &parameters, true);
    blo_emit_parameters(&emitter, &names, false);
    blo_text_add(&key, "%s %d %d", function.data ? function.data : "", packed->lanes, packed->flip);
    blo_plan_step *step = NULL;
    if (value && !key.failed && !names.failed && !parameters.failed) {
        snprintf(name, sizeof name, "blo_conv_pack_%016" PRIx64, blo_text_hash(key.data));
        char *text = blo_conv_pack_source(node->dtype, packed->lanes, packed->flip, width, name, parameters.data,
                                          names.data, function.data);
        step = add_step(lowering, name, text, n_values, values, global, local);
    }
    if (step) {
        step->fixed = lowering->arrays[packed->array].kept = blo_reads_only_fixed(lowering, node);
        emitter.arrays[emitter.n_arrays++] = packed->array;
        prepend_arrays(step, emitter.n_arrays, emitter.arrays);
    }
    blo_text_free(&parameters);
    blo_text_free(&names);
    blo_text_free(&function);
    blo_text_free(&key);
    blo_emitter_free(&emitter);
    return step ? BLO_OK : no_memory(lowering);
}

/* The array of NODE as the image of SHAPE, with LOW zeros before and STEP - 1 between its pixels; -1: the context has
 * the reason. SHAPE's rows become those of the array. */
static int packed_image(blo_lowering *lowering, const blo_node *node, blo_conv_shape *shape, const int64_t *low,
                        const int64_t *step, uint64_t slack) {
    blo_conv_packed wanted = {.node = node,
                              .low = {low[0], low[1]},
                              .step = {step[0], step[1]},
                              .rows = shape->rows,
                              .columns = shape->columns};
    wanted.count = (uint64_t)(shape->images * shape->rows * shape->columns * shape->channels) + slack;
    const blo_conv_packed *packed = find_packed(lowering, &wanted);
    if (!packed) {
        size_t global[3], local[3];
        uint64_t values[BLO_CONV_VALUES];
        int n = blo_conv_pack_image_launch(shape, &node->shape[1], low, step, global, local, values);
        packed = new_packed(lowering, &wanted);
        if (!packed || add_pack(lowering, packed, n, values, global, local) != BLO_OK)
            return -1;
    }
    shape->rows = packed->rows;
    return packed->array;
}

static int packed_weight(blo_lowering *lowering, const blo_node *node, const blo_conv_shape *shape,
                         const blo_conv_choice *choice, bool flip) {
    blo_conv_packed wanted = {.node = node, .is_weight = true, .flip = flip, .lanes = choice->lanes};
    wanted.count = blo_conv_packed_count(shape, choice);
    const blo_conv_packed *packed = find_packed(lowering, &wanted);
    if (packed)
        return packed->array;
    size_t global[3], local[3];
    uint64_t values[BLO_CONV_VALUES];
    int n = blo_conv_pack_weight_launch(shape, choice, global, local, values);
    packed = new_packed(lowering, &wanted);
    return packed && add_pack(lowering, packed, n, values, global, local) == BLO_OK ? packed->array : -1;
}

/* --- the forms --- */

static blo_status add_product(blo_lowering *lowering, const char *name, char *text, int n, const int *arrays,
                              int n_values, const uint64_t *values, const size_t *global, const size_t *local) {
    bool missing = false;
    for (int i = 0; i < n; i++)
        missing = missing || arrays[i] < 0;
    if (missing) {
        free(text);
        return no_memory(lowering);
    }
    blo_plan_step *step = add_step(lowering, name, text, n_values, values, global, local);
    if (!step)
        return no_memory(lowering);
    prepend_arrays(step, n, arrays);
    return BLO_OK;
}

/* NODE as an array without zeros around and *ROWS rows: its own, or where it has none, or SLACK elements are wanted
 * beyond the end, a packed one. */
static int plain_image(blo_lowering *lowering, const blo_node *node, uint64_t slack, int64_t *rows) {
    static const int64_t none[2] = {0, 0}, one[2] = {1, 1};
    blo_conv_shape shape = {
        .images = node->shape[0], .rows = node->shape[1], .columns = node->shape[2], .channels = node->shape[3]};
    *rows = shape.rows;
    if (slack == 0 && (node->op == BLO_OP_INPUT || lowering->facts[node->id].root))
        return blo_lower_node_array(lowering, node);
    int array = packed_image(lowering, node, &shape, none, one, slack);
    *rows = shape.rows;
    return array;
}

/* The array of the image that the kernels of CHOICE read; SHAPE gets its rows and columns in memory. STEP: its pixels
 * lie so far apart, with zeros between. */
static int image_array(blo_lowering *lowering, const blo_node *node, blo_conv_shape *shape,
                       const blo_conv_choice *choice, const int64_t *step) {
    if (choice->in_place) {
        shape->columns = shape->size[1];
        return plain_image(lowering, node, 0, &shape->rows);
    }
    shape->rows = blo_conv_image_rows(shape, choice);
    shape->columns = (shape->width - 1) * shape->stride[1] + (shape->taps[1] - 1) * shape->dilation[1] + 1;
    return packed_image(lowering, node, shape, shape->low, step, blo_conv_image_slack(shape, choice));
}

/* The output, or the gradient to the image: the same of another image, with another weight. */
static blo_status output_form(blo_lowering *lowering, const blo_node *node) {
    const blo_node *image = node->in[0], *weight = node->in[1];
    bool flip = node->op == BLO_OP_CONV_INPUT;
    static const int64_t one[2] = {1, 1};
    const int64_t *step = flip ? node->attr.conv.stride : one;
    blo_conv_shape shape = {.dtype = node->dtype,
                            .images = node->shape[0],
                            .channels = image->shape[3],
                            .size = {image->shape[1], image->shape[2]},
                            .spread = step[0] > 1 || step[1] > 1,
                            .height = node->shape[1],
                            .width = node->shape[2],
                            .outputs = node->shape[3],
                            .groups = node->attr.conv.groups};
    for (int i = 0; i < 2; i++) {
        int64_t padding = node->attr.conv.padding[i], dilation = node->attr.conv.dilation[i];
        shape.taps[i] = weight->shape[2 + i];
        shape.dilation[i] = dilation;
        shape.stride[i] = flip ? 1 : node->attr.conv.stride[i];
        shape.low[i] = flip ? (shape.taps[i] - 1) * dilation - padding : padding;
    }
    blo_conv_choice choice;
    blo_conv_choose_output(lowering->device, &shape, &choice);
    int a = image_array(lowering, image, &shape, &choice, step);
    int w = packed_weight(lowering, weight, &shape, &choice, flip);
    char name[96];
    size_t global[3], local[3];
    uint64_t values[BLO_CONV_VALUES];
    int n = blo_conv_output_launch(&shape, &choice, global, local, values);
    char *text = blo_conv_output_source(&shape, &choice, name);
    return add_product(lowering, name, text, 3, (const int[]){a, w, blo_lower_node_array(lowering, node)}, n, values,
                       global, local);
}

static blo_status weight_form(blo_lowering *lowering, const blo_node *node) {
    const blo_node *image = node->in[0], *g = node->in[1];
    static const int64_t one[2] = {1, 1};
    blo_conv_shape shape = {.dtype = node->dtype,
                            .images = image->shape[0],
                            .channels = image->shape[3],
                            .size = {image->shape[1], image->shape[2]},
                            .height = g->shape[1],
                            .width = g->shape[2],
                            .outputs = g->shape[3],
                            .groups = node->attr.conv.groups};
    memcpy(shape.taps, &node->shape[2], sizeof shape.taps);
    memcpy(shape.low, node->attr.conv.padding, sizeof shape.low);
    memcpy(shape.stride, node->attr.conv.stride, sizeof shape.stride);
    memcpy(shape.dilation, node->attr.conv.dilation, sizeof shape.dilation);
    blo_conv_choice choice;
    blo_conv_choose_weight(lowering->device, &shape, &choice);
    blo_conv_place place = {.columns = g->shape[2]};
    int a = image_array(lowering, image, &shape, &choice, one);
    const bool beyond = shape.outputs / shape.groups % choice.lanes != 0; /* a tile would read there */
    int b = plain_image(lowering, g, beyond ? (uint64_t)choice.lanes : 0, &place.rows);
    int partial = blo_lower_array(lowering, BLO_ARRAY_TEMPORARY, 0, node->dtype,
                                  (int64_t)blo_conv_partial_count(&shape, &choice));
    char name[96];
    size_t global[3], local[3];
    uint64_t values[BLO_CONV_VALUES];
    int n = blo_conv_weight_launch(&shape, &choice, &place, global, local, values);
    char *text = blo_conv_weight_source(&shape, &choice, name);
    blo_status status = add_product(lowering, name, text, 3, (const int[]){a, b, partial}, n, values, global, local);
    if (status != BLO_OK)
        return status;
    n = blo_conv_sum_launch(&shape, &choice, global, local, values);
    text = blo_conv_sum_source(&shape, &choice, name);
    return add_product(lowering, name, text, 2, (const int[]){partial, blo_lower_node_array(lowering, node)}, n, values,
                       global, local);
}

blo_status blo_lower_convolution(blo_lowering *lowering, const blo_node *node) {
    return node->op == BLO_OP_CONV_WEIGHT ? weight_form(lowering, node) : output_form(lowering, node);
}
