/* One few-shot task on random drawings, timed: ConvNet-4 above, a linear head below; the lower loop with F at every
 * step, and the backward sweep from T. Writes its data as NPY to FOLDER, so that a peer can solve the same problem;
 * then does one round for each line on standard input and prints one JSON object for it. The hypergradients of the
 * first round go to FOLDER as well. usage: bench_few_shot WAYS SHOTS QUERY STEPS FILTERS WHO FOLDER */
#include <clbilevel/clbilevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 28, BLOCKS = 4, MOST_STEPS = 2000 };

typedef struct bench {
    blo_context *context;
    int64_t ways, images[2]; /* support, query */
    int steps, rounds;       /* rounds done */
    const char *who, *folder;
    blo_model *backbone, *head;
    blo_tensor *x[2], *t[2];
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static blo_node *loss(const blo_state *s, void *user) { /* f and F are the same, of other images */
    (void)user;
    blo_node *features = blo_model_convnet(s->upper_model, "", s->data, BLOCKS, BLO_BLOCK_CONV_BN_RELU_POOL);
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", features), s->target, BLO_REDUCE_MEAN);
}

static void require(const bench *b, bool done, const char *sentence) {
    if (done)
        return;
    fprintf(stderr, "bench_few_shot: %s\n", b->context ? blo_context_error(b->context) : sentence);
    exit(1);
}

static void save(const bench *b, const char *name, blo_dtype dtype, int rank, const int64_t *shape, const void *data) {
    char path[1024], message[512] = "the path is too long";
    bool fits = snprintf(path, sizeof path, "%s/%s.npy", b->folder, name) < (int)sizeof path;
    if (!fits || blo_npy_write(path, dtype, rank, shape, data, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "bench_few_shot: %s\n", message);
        exit(1);
    }
}

static void make_data(bench *b) {
    static const char *const names[2][2] = {{"support_x", "support_t"}, {"query_x", "query_t"}};
    for (int i = 0; i < 2; i++) {
        const int64_t n = b->images[i], count = n * SIDE * SIDE, shape[4] = {n, 1, SIDE, SIDE};
        int32_t *drawn = malloc((size_t)count * sizeof *drawn);
        float *data = malloc((size_t)count * sizeof *data);
        require(b, drawn && data, "no memory");
        blo_random_integers(count, 1 << 20, 0, (uint64_t)i, drawn);
        for (int64_t j = 0; j < count; j++)
            data[j] = (float)drawn[j] / (1 << 20);
        require(b, !blo_tensor_create(b->context, BLO_FLOAT, 4, shape, data, &b->x[i]), "");
        save(b, names[i][0], BLO_FLOAT, 4, shape, data);
        for (int64_t j = 0; j < n; j++)
            drawn[j] = (int32_t)(j / (n / b->ways));
        require(b, !blo_tensor_create(b->context, BLO_INT32, 1, &n, drawn, &b->t[i]), "");
        save(b, names[i][1], BLO_INT32, 1, &n, drawn);
        free(drawn);
        free(data);
    }
}

/* The values (float) or, at the end of the first round, the hypergradients (double) of MODEL. */
static void save_model(const bench *b, blo_model *model, bool gradients) {
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i), *end = strstr(name, ".conv.bias");
        blo_tensor *value = blo_model_value(model, name);
        int64_t count = blo_tensor_count(value);
        char file[96];
        double *values = malloc((size_t)count * sizeof *values);
        require(b, values, "no memory");
        if (gradients)
            snprintf(file, sizeof file, "%s_%d_%s", b->who, b->steps, name);
        else
            snprintf(file, sizeof file, "%s", name);
        if (!gradients) {
            require(b, !blo_tensor_download(value, values, blo_tensor_bytes(value)), "");
            save(b, file, BLO_FLOAT, blo_tensor_rank(value), blo_tensor_shape(value), values);
        } else if (!end) { /* a bias before batch norm changes nothing: its hypergradient is rounding alone */
            require(b, !blo_model_get_gradient(model, name, values, count), "");
            save(b, file, BLO_DOUBLE, blo_tensor_rank(value), blo_tensor_shape(value), values);
        }
        free(values);
    }
}

static void round_of(bench *b) {
    double losses[MOST_STEPS], start = now();
    require(b, !blo_lower_optimize(b->solver, b->x[0], b->t[0], b->x[1], b->t[1], &b->trajectory, NULL), "");
    printf("{\"times\": {\"loop\": %.6f, ", now() - start);
    require(b,
            !blo_model_zero_gradients(b->backbone) && !blo_model_zero_gradients(b->head) &&
                !blo_context_finish(b->context),
            "");
    start = now();
    require(b,
            !blo_iapttgm_compute_gradients(b->method, b->x[1], b->t[1], b->trajectory, &b->steps, NULL) &&
                !blo_context_finish(b->context),
            "");
    printf("\"backward at %d\": %.6f}, \"losses\": [", b->steps, now() - start);
    require(b, !blo_trajectory_losses(b->trajectory, losses, b->steps), "");
    for (int k = 0; k < b->steps; k++)
        printf("%s%.9g", k ? ", " : "", losses[k]);
    printf("]}\n");
    fflush(stdout);
    if (b->rounds++ == 0) {
        save_model(b, b->backbone, true);
        save_model(b, b->head, true);
    }
}

static void open_problem(bench *b, int64_t filters) {
    char message[512];
    blo_lower_options options;
    require(b, !blo_context_create(NULL, &b->context, message, sizeof message), "no device");
    blo_lower_options_default(&options);
    options.lower_loop = b->steps;
    require(b,
            !blo_model_create(b->context, BLO_FLOAT, &b->backbone) &&
                !blo_model_add_convnet(b->backbone, "", 1, filters, BLOCKS) &&
                !blo_model_create(b->context, BLO_FLOAT, &b->head) &&
                !blo_model_add_linear(b->head, "head", filters, b->ways),
            "");
    make_data(b);
    save_model(b, b->backbone, false);
    save_model(b, b->head, false);
    require(b,
            !blo_lower_solver_create(loss, loss, NULL, b->backbone, b->head, &options, &b->solver) &&
                !blo_iapttgm_create(loss, NULL, b->backbone, b->head, &b->method),
            "");
}

int main(int argc, char **argv) {
    bench b = {0};
    char line[64];
    int numbers[5] = {0};
    for (int i = 0; i < 5 && argc == 8; i++)
        numbers[i] = atoi(argv[1 + i]);
    if (numbers[0] < 1 || numbers[1] < 1 || numbers[2] < 1 || numbers[3] < 1 || numbers[3] > MOST_STEPS ||
        numbers[4] < 1) {
        fprintf(stderr, "usage: bench_few_shot WAYS SHOTS QUERY STEPS FILTERS WHO FOLDER\n");
        return 2;
    }
    b.ways = numbers[0];
    b.images[0] = numbers[0] * numbers[1];
    b.images[1] = numbers[0] * numbers[2];
    b.steps = numbers[3];
    b.who = argv[6];
    b.folder = argv[7];
    open_problem(&b, numbers[4]);
    while (fgets(line, sizeof line, stdin))
        round_of(&b);
    blo_trajectory_destroy(b.trajectory);
    blo_iapttgm_destroy(b.method);
    blo_lower_solver_destroy(b.solver);
    blo_model_destroy(b.head);
    blo_model_destroy(b.backbone);
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(b.x[i]);
        blo_tensor_destroy(b.t[i]);
    }
    blo_context_destroy(b.context);
    return 0;
}
