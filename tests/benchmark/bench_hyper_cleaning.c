/* Hyper-cleaning on random images, timed: the lower loop with F at every step, and the backward sweep truncated at each
 * step of ENDS. Writes its data as NPY to FOLDER, so that a peer can solve the same problem; then does one round for
 * each line on standard input and prints one JSON object for it. The hypergradients of the first round go to FOLDER as
 * well, under WHO. HIDDEN 0: a linear classifier; MEMORY: bytes of the device, 0: as many as there are. usage:
 * bench_hyper_cleaning EXAMPLES HIDDEN STEPS ENDS(1,50,100) bytes|floats MEMORY WHO FOLDER */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { PIXELS = 784, CLASSES = 10, MOST_ENDS = 8 };

typedef struct problem {
    blo_context *context;
    int64_t n, hidden;
    int steps, n_ends, ends[MOST_ENDS], rounds; /* rounds done */
    bool bytes;                                 /* pixels as bytes, else as floats */
    bench_output output;
    blo_model *weights, *classifier;
    blo_tensor *x[2], *t[2]; /* train, validate */
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
    double *losses; /* [T] */
    blo_statistics last;
} problem;

static blo_node *forward(const blo_bound_model *model, blo_node *data, void *user) {
    const problem *p = user;
    blo_node *images = p->bytes ? blo_scale(blo_cast(data, BLO_FLOAT), 1 / 255.0) : data;
    blo_node *first = blo_model_linear(model, "fc1", images);
    return p->hidden ? blo_model_linear(model, "fc2", first) : first;
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

/* One of the two splits: pixels 0 … 255, uniform, and labels. */
static void make_split(problem *p, int split, const char *x_name, const char *t_name) {
    const int64_t shape[2] = {p->n, PIXELS}, count = p->n * PIXELS;
    int32_t *drawn = bench_room(count, sizeof *drawn);
    uint8_t *bytes = bench_room(count, sizeof *bytes);
    float *floats = bench_room(p->bytes ? 1 : count, sizeof *floats);
    blo_random_integers(count, 256, 0, (uint64_t)(2 * split), drawn);
    for (int64_t j = 0; j < count; j++)
        bytes[j] = (uint8_t)drawn[j];
    for (int64_t j = 0; j < count && !p->bytes; j++)
        floats[j] = (float)(bytes[j] / 255.0);
    bench_save(&p->output, x_name, BLO_UINT8, 2, shape, bytes);
    const void *pixels = p->bytes ? (const void *)bytes : (const void *)floats;
    bench_require(p->context,
                  !blo_tensor_create(p->context, p->bytes ? BLO_UINT8 : BLO_FLOAT, 2, shape, pixels, &p->x[split]), "");
    blo_random_integers(p->n, CLASSES, 0, (uint64_t)(2 * split + 1), drawn);
    bench_save(&p->output, t_name, BLO_INT32, 1, &p->n, drawn);
    bench_require(p->context, !blo_tensor_create(p->context, BLO_INT32, 1, &p->n, drawn, &p->t[split]), "");
    free(drawn);
    free(bytes);
    free(floats);
}

static void open_problem(problem *p, uint64_t memory) {
    char message[512];
    blo_context_options context;
    blo_lower_options options;
    blo_context_options_default(&context);
    context.memory_budget = memory;
    bench_require(NULL, !blo_context_create(&context, &p->context, message, sizeof message), message);
    blo_lower_options_default(&options);
    options.lower_loop = p->steps;
    options.optimizer.learning_rate = 0.03;
    bench_require(p->context,
                  !blo_model_create(p->context, BLO_FLOAT, &p->weights) &&
                      !blo_model_add(p->weights, "weight", 1, &p->n) &&
                      !blo_model_create(p->context, BLO_FLOAT, &p->classifier) &&
                      !blo_model_add_linear(p->classifier, "fc1", PIXELS, p->hidden ? p->hidden : CLASSES) &&
                      (!p->hidden || !blo_model_add_linear(p->classifier, "fc2", p->hidden, CLASSES)),
                  "");
    blo_model_set_forward(p->classifier, forward, p);
    bench_save_values(&p->output, p->context, p->classifier);
    make_split(p, 0, "train_x", "train_t");
    make_split(p, 1, "validate_x", "validate_t");
    bench_require(p->context,
                  !blo_lower_solver_create(lower_objective, upper_objective, p, p->weights, p->classifier, &options,
                                           &p->solver) &&
                      !blo_iapttgm_create(upper_objective, p, p->weights, p->classifier, &p->method),
                  "");
    p->losses = bench_room(p->steps, sizeof *p->losses);
}

static void close_problem(problem *p) {
    blo_trajectory_destroy(p->trajectory);
    blo_iapttgm_destroy(p->method);
    blo_lower_solver_destroy(p->solver);
    blo_model_destroy(p->classifier);
    blo_model_destroy(p->weights);
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(p->x[i]);
        blo_tensor_destroy(p->t[i]);
    }
    blo_context_destroy(p->context);
    free(p->losses);
}

/* Seconds of the sweep truncated at END. */
static double backward(problem *p, int end) {
    char prefix[32];
    bench_require(p->context,
                  !blo_model_zero_gradients(p->weights) && !blo_model_zero_gradients(p->classifier) &&
                      !blo_context_finish(p->context),
                  "");
    double start = bench_now();
    bench_require(p->context,
                  !blo_iapttgm_compute_gradients(p->method, p->x[1], p->t[1], p->trajectory, &end, NULL) &&
                      !blo_context_finish(p->context),
                  "");
    double seconds = bench_now() - start;
    snprintf(prefix, sizeof prefix, "%d", end);
    if (p->rounds == 0) {
        bench_save_results(&p->output, p->context, p->weights, prefix, false, NULL);
        bench_save_results(&p->output, p->context, p->classifier, prefix, false, NULL);
    }
    return seconds;
}

static void one_round(problem *p) {
    int max_loss_iter = 0;
    double start = bench_now();
    bench_require(p->context,
                  !blo_lower_optimize(p->solver, p->x[0], p->t[0], p->x[1], p->t[1], &p->trajectory, &max_loss_iter),
                  "");
    printf("{\"times\": {\"loop\": %.6f", bench_now() - start);
    for (int i = 0; i < p->n_ends; i++)
        printf(", \"backward at %d\": %.6f", p->ends[i], backward(p, p->ends[i]));
    bench_require(p->context, !blo_trajectory_losses(p->trajectory, p->losses, p->steps), "");
    blo_trajectory_report report;
    blo_trajectory_describe(p->trajectory, &report);
    printf("}, \"max_loss_iter\": %d, \"snapshots\": %d, \"recomputed_steps\": %llu, ", max_loss_iter, report.snapshots,
           (unsigned long long)report.recomputed_steps);
    bench_print_doubles("losses", p->losses, p->steps);
    printf(", ");
    bench_print_counters(p->context, &p->last);
    printf("}\n");
    fflush(stdout);
    p->rounds++;
}

static bool read_ends(problem *p, const char *text) {
    while (p->n_ends < MOST_ENDS) {
        char *rest;
        long end = strtol(text, &rest, 10);
        if (rest == text || end < 1 || end > p->steps)
            return false;
        p->ends[p->n_ends++] = (int)end;
        if (!*rest)
            return true;
        text = rest + 1;
    }
    return false;
}

int main(int argc, char **argv) {
    problem p = {0};
    char line[64];
    bool usable = argc == 9 && atoi(argv[1]) > 0 && atoi(argv[2]) >= 0 && atoi(argv[3]) > 0 &&
                  (!strcmp(argv[5], "bytes") || !strcmp(argv[5], "floats"));
    if (usable) {
        p = (problem){.n = atoi(argv[1]),
                      .hidden = atoi(argv[2]),
                      .steps = atoi(argv[3]),
                      .bytes = !strcmp(argv[5], "bytes"),
                      .output = {.who = argv[7], .folder = argv[8]}};
        usable = read_ends(&p, argv[4]);
    }
    if (!usable) {
        fprintf(stderr, "usage: bench_hyper_cleaning EXAMPLES HIDDEN STEPS ENDS bytes|floats MEMORY WHO FOLDER\n");
        return 2;
    }
    open_problem(&p, strtoull(argv[6], NULL, 10));
    while (fgets(line, sizeof line, stdin))
        one_round(&p);
    close_problem(&p);
    return 0;
}
