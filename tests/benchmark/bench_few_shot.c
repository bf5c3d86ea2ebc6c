/* One few-shot task on random drawings, timed: ConvNet-4 above, a linear head below; the lower loop with F at every
 * step, and the backward sweep from T. Every round is as a task is in training: x and y have been updated since the
 * last one, and the images are new to the device (uploaded within the time). Writes its data as NPY to FOLDER, so that
 * a peer can solve the same problem; then does one round for each line on standard input and prints one JSON object for
 * it. The hypergradients of the first round go to FOLDER as well, under WHO. usage: bench_few_shot WAYS SHOTS QUERY
 * STEPS FILTERS float|double WHO FOLDER */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { SIDE = 28, BLOCKS = 4 };

typedef struct problem {
    blo_context *context;
    blo_dtype dtype;
    int64_t ways, images[2]; /* support, query */
    int steps, rounds;       /* rounds done */
    bench_output output;
    blo_model *backbone, *head;
    blo_tensor *x[2], *t[2];
    void *host_x[2], *host_t[2]; /* the values of these, uploaded anew for every round */
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
    double *losses; /* [T] */
} problem;

static blo_node *loss(const blo_state *s, void *user) { /* f and F are the same, of other images */
    (void)user;
    blo_node *features = blo_model_convnet(s->upper_model, "", s->data, BLOCKS, BLO_BLOCK_CONV_BN_RELU_POOL);
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", features), s->target, BLO_REDUCE_MEAN);
}

/* COUNT values that float holds exactly, the same numbers in either type. */
static void *draw_pixels(const problem *p, int stream, int64_t count) {
    int32_t *drawn = bench_room(count, sizeof *drawn);
    void *data = bench_room(count, blo_dtype_size(p->dtype));
    blo_random_integers(count, 1 << 20, 0, (uint64_t)stream, drawn);
    for (int64_t j = 0; j < count; j++) {
        double value = (double)drawn[j] / (1 << 20);
        if (p->dtype == BLO_DOUBLE)
            ((double *)data)[j] = value;
        else
            ((float *)data)[j] = (float)value;
    }
    free(drawn);
    return data;
}

static void make_images(problem *p, int i, const char *x_name, const char *t_name) {
    const int64_t n = p->images[i], shape[4] = {n, 1, SIDE, SIDE};
    int32_t *labels = bench_room(n, sizeof *labels);
    for (int64_t j = 0; j < n; j++)
        labels[j] = (int32_t)(j / (n / p->ways));
    p->host_x[i] = draw_pixels(p, i, n * SIDE * SIDE);
    p->host_t[i] = labels;
    bench_save(&p->output, x_name, p->dtype, 4, shape, p->host_x[i]);
    bench_save(&p->output, t_name, BLO_INT32, 1, &n, labels);
    bench_require(p->context,
                  !blo_tensor_create(p->context, p->dtype, 4, shape, p->host_x[i], &p->x[i]) &&
                      !blo_tensor_create(p->context, BLO_INT32, 1, &n, labels, &p->t[i]),
                  "");
}

static void open_problem(problem *p, int64_t filters) {
    char message[512];
    blo_lower_options options;
    bench_require(NULL, !blo_context_create(NULL, &p->context, message, sizeof message), message);
    blo_lower_options_default(&options);
    options.lower_loop = p->steps;
    bench_require(p->context,
                  !blo_model_create(p->context, p->dtype, &p->backbone) &&
                      !blo_model_add_convnet(p->backbone, "", 1, filters, BLOCKS) &&
                      !blo_model_create(p->context, p->dtype, &p->head) &&
                      !blo_model_add_linear(p->head, "head", filters, p->ways),
                  "");
    make_images(p, 0, "support_x", "support_t");
    make_images(p, 1, "query_x", "query_t");
    bench_save_values(&p->output, p->context, p->backbone);
    bench_save_values(&p->output, p->context, p->head);
    bench_require(p->context,
                  !blo_lower_solver_create(loss, loss, NULL, p->backbone, p->head, &options, &p->solver) &&
                      !blo_iapttgm_create(loss, NULL, p->backbone, p->head, &p->method),
                  "");
    p->losses = bench_room(p->steps, sizeof *p->losses);
}

static void close_problem(problem *p) {
    blo_trajectory_destroy(p->trajectory);
    blo_iapttgm_destroy(p->method);
    blo_lower_solver_destroy(p->solver);
    blo_model_destroy(p->head);
    blo_model_destroy(p->backbone);
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(p->x[i]);
        blo_tensor_destroy(p->t[i]);
        free(p->host_x[i]);
        free(p->host_t[i]);
    }
    blo_context_destroy(p->context);
    free(p->losses);
}

/* What an update leaves: the same values, which the library must take for new ones. */
static void renew(problem *p, blo_model *model) {
    for (int i = 0; i < blo_model_count(model); i++) {
        blo_tensor *value = blo_model_value(model, blo_model_name(model, i));
        void *host = bench_room((int64_t)blo_tensor_bytes(value), 1);
        bench_require(p->context,
                      !blo_tensor_download(value, host, blo_tensor_bytes(value)) &&
                          !blo_tensor_upload(value, host, blo_tensor_bytes(value)),
                      "");
        free(host);
    }
}

static void upload_images(problem *p) {
    for (int i = 0; i < 2; i++)
        bench_require(p->context,
                      !blo_tensor_upload(p->x[i], p->host_x[i], blo_tensor_bytes(p->x[i])) &&
                          !blo_tensor_upload(p->t[i], p->host_t[i], blo_tensor_bytes(p->t[i])),
                      "");
}

static void one_round(problem *p) {
    int max_loss_iter = 0;
    blo_statistics before;
    renew(p, p->backbone);
    renew(p, p->head);
    bench_require(p->context, !blo_context_finish(p->context), "");
    blo_context_statistics(p->context, &before);
    double start = bench_now();
    upload_images(p);
    bench_require(p->context,
                  !blo_lower_optimize(p->solver, p->x[0], p->t[0], p->x[1], p->t[1], &p->trajectory, &max_loss_iter),
                  "");
    double loop = bench_now() - start;
    bench_require(p->context,
                  !blo_model_zero_gradients(p->backbone) && !blo_model_zero_gradients(p->head) &&
                      !blo_context_finish(p->context),
                  "");
    start = bench_now();
    bench_require(p->context,
                  !blo_iapttgm_compute_gradients(p->method, p->x[1], p->t[1], p->trajectory, &p->steps, NULL) &&
                      !blo_context_finish(p->context),
                  "");
    double backward = bench_now() - start;
    bench_require(p->context, !blo_trajectory_losses(p->trajectory, p->losses, p->steps), "");
    printf("{\"times\": {\"task\": %.6f, \"loop\": %.6f, \"backward at T\": %.6f}, \"max_loss_iter\": %d, ",
           loop + backward, loop, backward, max_loss_iter);
    bench_print_doubles("losses", p->losses, p->steps);
    printf(", ");
    bench_print_counters(p->context, &before);
    printf("}\n");
    fflush(stdout);
    if (p->rounds++ == 0) { /* a bias before batch norm changes nothing: its hypergradient is rounding alone */
        bench_save_results(&p->output, p->context, p->backbone, "T", false, ".conv.bias");
        bench_save_results(&p->output, p->context, p->head, "T", false, NULL);
    }
}

int main(int argc, char **argv) {
    problem p = {0};
    char line[64];
    int numbers[5] = {0};
    for (int i = 0; i < 5 && argc == 9; i++)
        numbers[i] = atoi(argv[1 + i]);
    for (int i = 0; i < 5; i++)
        if (numbers[i] < 1) {
            fprintf(stderr, "usage: bench_few_shot WAYS SHOTS QUERY STEPS FILTERS float|double WHO FOLDER\n");
            return 2;
        }
    p.ways = numbers[0];
    p.images[0] = p.ways * numbers[1];
    p.images[1] = p.ways * numbers[2];
    p.steps = numbers[3];
    p.dtype = strcmp(argv[6], "double") ? BLO_FLOAT : BLO_DOUBLE;
    p.output = (bench_output){.who = argv[7], .folder = argv[8]};
    open_problem(&p, numbers[4]);
    while (fgets(line, sizeof line, stdin))
        one_round(&p);
    close_problem(&p);
    return 0;
}
