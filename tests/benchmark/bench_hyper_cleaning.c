/* Hyper-cleaning at the field's usual size on random data, timed: the lower loop with F at every step, and the backward
 * sweep truncated at 1, T/2 and T. Writes its data as NPY to FOLDER, so that a peer can solve the same problem; then
 * does one round for each line on standard input and prints one JSON object for it. The hypergradients of the first
 * round go to FOLDER as well. usage: bench_hyper_cleaning lin|mlp EXAMPLES STEPS FOLDER */
#include <clbilevel/clbilevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIXELS = 784, CLASSES = 10, HIDDEN = 300, MOST_STEPS = 2000 };

typedef struct bench {
    blo_context *context;
    bool mlp;
    int64_t n;
    int steps, rounds; /* rounds done */
    const char *folder;
    blo_model *weights, *classifier;
    blo_tensor *x[2], *t[2]; /* train, validate */
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static blo_node *forward(const blo_bound_model *model, blo_node *data, void *user) {
    blo_node *h = blo_model_linear(model, "fc1", data);
    return ((const bench *)user)->mlp ? blo_model_linear(model, "fc2", h) : h;
}

static blo_node *lower_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *losses = blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_NONE);
    return blo_mean(blo_mul(blo_sigmoid(blo_model_parameter(s->upper_model, "weight")), losses));
}

static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
}

static void require(const bench *b, bool done, const char *sentence) {
    if (done)
        return;
    fprintf(stderr, "bench_hyper_cleaning: %s\n", b->context ? blo_context_error(b->context) : sentence);
    exit(1);
}

static void save(const bench *b, const char *name, blo_dtype dtype, int rank, const int64_t *shape, const void *data) {
    char path[1024], message[512] = "the path is too long";
    bool fits = snprintf(path, sizeof path, "%s/%s.npy", b->folder, name) < (int)sizeof path;
    if (!fits || blo_npy_write(path, dtype, rank, shape, data, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "bench_hyper_cleaning: %s\n", message);
        exit(1);
    }
}

static void make_data(bench *b) {
    static const char *const names[2][2] = {{"train_x", "train_t"}, {"validate_x", "validate_t"}};
    const int64_t shape[2] = {b->n, PIXELS};
    int32_t *drawn = malloc((size_t)(b->n * PIXELS) * sizeof *drawn);
    float *data = malloc((size_t)(b->n * PIXELS) * sizeof *data);
    require(b, drawn && data, "no memory");
    for (int i = 0; i < 2; i++) {
        blo_random_integers(b->n * PIXELS, 1 << 20, 0, (uint64_t)(2 * i), drawn);
        for (int64_t j = 0; j < b->n * PIXELS; j++)
            data[j] = (float)drawn[j] / (1 << 20);
        require(b, !blo_tensor_create(b->context, BLO_FLOAT, 2, shape, data, &b->x[i]), "");
        save(b, names[i][0], BLO_FLOAT, 2, shape, data);
        blo_random_integers(b->n, CLASSES, 0, (uint64_t)(2 * i + 1), drawn);
        require(b, !blo_tensor_create(b->context, BLO_INT32, 1, &b->n, drawn, &b->t[i]), "");
        save(b, names[i][1], BLO_INT32, 1, &b->n, drawn);
    }
    for (int i = 0; i < blo_model_count(b->classifier); i++) {
        const char *name = blo_model_name(b->classifier, i);
        blo_tensor *value = blo_model_value(b->classifier, name);
        require(b, !blo_tensor_download(value, data, blo_tensor_bytes(value)), "");
        save(b, name, BLO_FLOAT, blo_tensor_rank(value), blo_tensor_shape(value), data);
    }
    free(drawn);
    free(data);
}

/* The hypergradients of MODEL at K, for the peer's to be held against: ours_K_NAME.npy, double. */
static void save_gradients(const bench *b, blo_model *model, int k) {
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i);
        const blo_tensor *value = blo_model_value(model, name);
        int64_t count = blo_tensor_count(value);
        char file[64];
        double *values = malloc((size_t)count * sizeof *values);
        require(b, values, "no memory");
        require(b, !blo_model_get_gradient(model, name, values, count), "");
        snprintf(file, sizeof file, "ours_%d_%s", k, name);
        save(b, file, BLO_DOUBLE, blo_tensor_rank(value), blo_tensor_shape(value), values);
        free(values);
    }
}

static void round_of(bench *b) {
    const int ends[3] = {1, b->steps / 2 > 0 ? b->steps / 2 : 1, b->steps};
    double losses[MOST_STEPS], start = now();
    require(b, !blo_lower_optimize(b->solver, b->x[0], b->t[0], b->x[1], b->t[1], &b->trajectory, NULL), "");
    printf("{\"loop\": %.6f, \"backward\": {", now() - start);
    for (int i = 0; i < 3; i++) {
        require(b,
                !blo_model_zero_gradients(b->weights) && !blo_model_zero_gradients(b->classifier) &&
                    !blo_context_finish(b->context),
                "");
        start = now();
        require(b,
                !blo_iapttgm_compute_gradients(b->method, b->x[1], b->t[1], b->trajectory, &ends[i], NULL) &&
                    !blo_context_finish(b->context),
                "");
        printf("%s\"%d\": %.6f", i ? ", " : "", ends[i], now() - start);
        if (b->rounds == 0) {
            save_gradients(b, b->weights, ends[i]);
            save_gradients(b, b->classifier, ends[i]);
        }
    }
    require(b, !blo_trajectory_losses(b->trajectory, losses, b->steps), "");
    printf("}, \"losses\": [");
    for (int k = 0; k < b->steps; k++)
        printf("%s%.9g", k ? ", " : "", losses[k]);
    printf("]}\n");
    fflush(stdout);
    b->rounds++;
}

int main(int argc, char **argv) {
    bench b = {0};
    char message[512], line[64];
    blo_lower_options options;
    if (argc != 5 || (strcmp(argv[1], "lin") && strcmp(argv[1], "mlp")) || atoi(argv[2]) < 1 || atoi(argv[3]) < 1 ||
        atoi(argv[3]) > MOST_STEPS) {
        fprintf(stderr, "usage: bench_hyper_cleaning lin|mlp EXAMPLES STEPS FOLDER\n");
        return 2;
    }
    b.mlp = !strcmp(argv[1], "mlp");
    b.n = atoi(argv[2]);
    b.steps = atoi(argv[3]);
    b.folder = argv[4];
    require(&b, !blo_context_create(NULL, &b.context, message, sizeof message), message);
    blo_lower_options_default(&options);
    options.lower_loop = b.steps;
    options.optimizer.learning_rate = 0.03;
    require(&b,
            !blo_model_create(b.context, BLO_FLOAT, &b.weights) && !blo_model_add(b.weights, "weight", 1, &b.n) &&
                !blo_model_create(b.context, BLO_FLOAT, &b.classifier) &&
                !blo_model_add_linear(b.classifier, "fc1", PIXELS, b.mlp ? HIDDEN : CLASSES) &&
                (!b.mlp || !blo_model_add_linear(b.classifier, "fc2", HIDDEN, CLASSES)),
            "");
    blo_model_set_forward(b.classifier, forward, &b);
    make_data(&b);
    require(
        &b,
        !blo_lower_solver_create(lower_objective, upper_objective, &b, b.weights, b.classifier, &options, &b.solver) &&
            !blo_iapttgm_create(upper_objective, &b, b.weights, b.classifier, &b.method),
        "");
    while (fgets(line, sizeof line, stdin))
        round_of(&b);
    blo_trajectory_destroy(b.trajectory);
    blo_iapttgm_destroy(b.method);
    blo_lower_solver_destroy(b.solver);
    blo_model_destroy(b.classifier);
    blo_model_destroy(b.weights);
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(b.x[i]);
        blo_tensor_destroy(b.t[i]);
    }
    blo_context_destroy(b.context);
    return 0;
}
