/* ConvNet-4's 3x3 convolutions, the three forms of each, timed by themselves: of 64 outputs, images channels last, as
 * they are between layers. Writes the images, weights and gradients as NPY to FOLDER (channels first); then does one
 * round for each line on standard input and prints the median seconds of each form as one JSON object. The results of
 * the first round go to FOLDER as well, under WHO: of each the first image and the sum over all, of the gradient to the
 * weight all of it. usage: bench_convolutions IMAGES,... WHO FOLDER      the last number of images is the largest */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { OUTPUTS = 64, TAPS = 3, LAYERS = 4, SIZES = 8, FORMS = 3, RUNS = 5 };
static const int64_t channels_of[LAYERS] = {1, 64, 64, 64}, side_of[LAYERS] = {28, 14, 7, 3};
static const char *const names[FORMS] = {"output", "to the image", "to the weight"};
static const int64_t ones[2] = {1, 1};
static const int to_first[4] = {0, 3, 1, 2}, to_last[4] = {0, 2, 3, 1};

/* One form of one layer for one number of images. */
typedef struct form {
    int kind;
    int64_t images, channels, side;
    blo_graph *graph;
    blo_function *function;
    blo_tensor *in[2], *out;
} form;

typedef struct bench {
    blo_context *context;
    int n_sizes, rounds;
    int64_t sizes[SIZES];
    bench_output output;
    float *data[LAYERS][FORMS]; /* x [N,C,S,S], w [O,C,3,3], g [N,O,S,S] */
    form forms[SIZES][LAYERS][FORMS];
} bench;

static int64_t elements(const int64_t *shape) {
    return shape[0] * shape[1] * shape[2] * shape[3];
}

/* Shapes, channels first, of the image, the weight and the output of a layer. */
static void shape_of(int layer, int64_t images, int which, int64_t shape[4]) {
    const int64_t c = channels_of[layer], s = side_of[layer];
    const int64_t all[FORMS][4] = {{images, c, s, s}, {OUTPUTS, c, TAPS, TAPS}, {images, OUTPUTS, s, s}};
    memcpy(shape, all[which], sizeof all[which]);
}

static void make_data(bench *b, int layer) {
    for (int which = 0; which < FORMS; which++) {
        int64_t shape[4];
        char name[32];
        shape_of(layer, b->sizes[b->n_sizes - 1], which, shape);
        const int64_t count = elements(shape);
        int32_t *drawn = bench_room(count, sizeof *drawn);
        float *data = b->data[layer][which] = bench_room(count, sizeof *data);
        blo_random_integers(count, 1 << 12, 0, (uint64_t)(layer * FORMS + which), drawn);
        for (int64_t i = 0; i < count; i++)
            data[i] = (float)drawn[i] / (1 << 11) - 1;
        snprintf(name, sizeof name, "%c%d", "xwg"[which], layer);
        bench_save(&b->output, name, BLO_FLOAT, 4, shape, data);
        free(drawn);
    }
}

/* DATA [SHAPE], channels first, as a tensor with the channels last. */
static blo_tensor *channels_last(bench *b, const int64_t shape[4], const float *data) {
    const int64_t n = shape[0], c = shape[1], pixels = shape[2] * shape[3],
                  turned[4] = {n, shape[2], shape[3], shape[1]};
    float *to = bench_room(elements(shape), sizeof *to);
    blo_tensor *tensor = NULL;
    for (int64_t i = 0; i < n * c; i++)
        for (int64_t p = 0; p < pixels; p++)
            to[(i / c * pixels + p) * c + i % c] = data[i * pixels + p];
    bench_require(b->context, !blo_tensor_create(b->context, BLO_FLOAT, 4, turned, to, &tensor), "");
    free(to);
    return tensor;
}

/* The operand WHICH of F: a tensor, and the node that reads it, channels first. */
static blo_node *operand(bench *b, form *f, int i, int layer, int which) {
    int64_t shape[4];
    shape_of(layer, f->images, which, shape);
    if (which == 1) {
        bench_require(b->context, !blo_tensor_create(b->context, BLO_FLOAT, 4, shape, b->data[layer][which], &f->in[i]),
                      "");
        return blo_graph_input(f->graph, "w", BLO_FLOAT, 4, shape);
    }
    f->in[i] = channels_last(b, shape, b->data[layer][which]);
    return blo_permute(blo_graph_input(f->graph, "x", BLO_FLOAT, 4, blo_tensor_shape(f->in[i])), to_first);
}

static void open_form(bench *b, form *f, int layer, int64_t images, int kind) {
    static const int operands[FORMS][2] = {{0, 1}, {2, 1}, {0, 2}}, results[FORMS] = {2, 0, 1};
    int64_t shape[4];
    *f = (form){.kind = kind, .images = images, .channels = channels_of[layer], .side = side_of[layer]};
    bench_require(b->context, !blo_graph_create(&f->graph), "");
    blo_node *x = operand(b, f, 0, layer, operands[kind][0]), *y = operand(b, f, 1, layer, operands[kind][1]);
    shape_of(layer, images, results[kind], shape);
    blo_node *node = kind == 0   ? blo_conv2d(x, y, ones, ones, ones, 1)
                     : kind == 1 ? blo_conv2d_input(x, y, &shape[2], ones, ones, ones, 1)
                                 : blo_conv2d_weight(x, y, &shape[2], ones, ones, ones, 1);
    if (kind != 2) {
        node = blo_permute(node, to_last);
        const int64_t turned[4] = {shape[0], shape[2], shape[3], shape[1]};
        memcpy(shape, turned, sizeof shape);
    }
    bench_require(b->context,
                  !blo_tensor_create(b->context, BLO_FLOAT, 4, shape, NULL, &f->out) &&
                      !blo_function_create(b->context, 1, &node, &f->function),
                  "");
}

static void close_form(form *f) {
    blo_function_destroy(f->function);
    blo_graph_destroy(f->graph);
    for (int i = 0; i < 2; i++)
        blo_tensor_destroy(f->in[i]);
    blo_tensor_destroy(f->out);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_seconds(bench *b, const form *f) {
    double seconds[RUNS];
    for (int run = -1; run < RUNS; run++) { /* the first warms up */
        double start = bench_now();
        bench_require(b->context,
                      !blo_function_call(f->function, 2, f->in, 1, (blo_tensor *const[]){f->out}) &&
                          !blo_context_finish(b->context),
                      "");
        if (run >= 0)
            seconds[run] = bench_now() - start;
    }
    qsort(seconds, RUNS, sizeof *seconds, by_value);
    return seconds[RUNS / 2];
}

/* Of images [N,S,S,C] the first, then the sum over all, channels last; a weight's gradient whole. */
static void save_result(const bench *b, const form *f, int layer) {
    const int64_t count = blo_tensor_count(f->out), images = f->kind == 2 ? 1 : f->images, part = count / images;
    const int64_t shape[2] = {f->kind == 2 ? 1 : 2, part};
    char name[96];
    float *got = bench_room(count, sizeof *got);
    double *kept = bench_room(shape[0] * part, sizeof *kept);
    bench_require(b->context, !blo_tensor_download(f->out, got, blo_tensor_bytes(f->out)), "");
    for (int64_t i = 0; i < part; i++)
        kept[i] = got[i];
    for (int64_t i = 0; i < count && f->kind != 2; i++)
        kept[part + i % part] += got[i];
    snprintf(name, sizeof name, "%s_%d_%d_%lld", b->output.who, layer, f->kind, (long long)f->images);
    bench_save(&b->output, name, BLO_DOUBLE, 2, shape, kept);
    free(kept);
    free(got);
}

static void one_round(bench *b) {
    const char *separator = "";
    printf("{\"times\": {");
    for (int i = 0; i < b->n_sizes; i++)
        for (int layer = 0; layer < LAYERS; layer++)
            for (int kind = 0; kind < FORMS; kind++) {
                const form *f = &b->forms[i][layer][kind];
                printf("%s\"%lld x %lld x %lldx%lld, %s\": %.7f", separator, (long long)f->images,
                       (long long)f->channels, (long long)f->side, (long long)f->side, names[kind],
                       median_seconds(b, f));
                separator = ", ";
                if (b->rounds == 0)
                    save_result(b, f, layer);
            }
    printf("}}\n");
    fflush(stdout);
    b->rounds++;
}

static bool read_sizes(bench *b, char *text) {
    for (char *one = strtok(text, ","); one && b->n_sizes < SIZES; one = strtok(NULL, ","))
        b->sizes[b->n_sizes++] = atoll(one);
    for (int i = 0; i < b->n_sizes; i++)
        if (b->sizes[i] < 1 || b->sizes[i] > b->sizes[b->n_sizes - 1])
            return false;
    return b->n_sizes > 0;
}

int main(int argc, char **argv) {
    bench b = {0};
    char line[64], message[512];
    if (argc != 4 || !read_sizes(&b, argv[1])) {
        fprintf(stderr, "usage: bench_convolutions IMAGES,... WHO FOLDER      the last number is the largest\n");
        return 2;
    }
    b.output = (bench_output){.who = argv[2], .folder = argv[3]};
    bench_require(NULL, !blo_context_create(NULL, &b.context, message, sizeof message), message);
    for (int layer = 0; layer < LAYERS; layer++) {
        make_data(&b, layer);
        for (int i = 0; i < b.n_sizes; i++)
            for (int kind = 0; kind < FORMS; kind++)
                open_form(&b, &b.forms[i][layer][kind], layer, b.sizes[i], kind);
    }
    while (fgets(line, sizeof line, stdin))
        one_round(&b);
    for (int layer = 0; layer < LAYERS; layer++)
        for (int which = 0; which < FORMS; which++) {
            free(b.data[layer][which]);
            for (int i = 0; i < b.n_sizes; i++)
                close_form(&b.forms[i][layer][which]);
        }
    blo_context_destroy(b.context);
    return 0;
}
