/* One few-shot task on random drawings, timed: ConvNet-4 above, a linear head below; the lower loop with F at every
 * step, and the backward sweep from T. Writes its data as NPY to FOLDER, so that a peer can solve the same problem;
 * then does one round for each line on standard input and prints one JSON object for it. The hypergradients of the
 * first round go to FOLDER as well, under WHO. usage: bench_few_shot WAYS SHOTS QUERY STEPS FILTERS WHO FOLDER */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum { SIDE = 28, BLOCKS = 4 };

typedef struct problem {
    blo_context *context;
    int64_t ways, images[2]; /* support, query */
    int steps, rounds;       /* rounds done */
    bench_output output;
    blo_model *backbone, *head;
    blo_tensor *x[2], *t[2];
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
    double *losses; /* [T] */
    blo_statistics last;
} problem;

static blo_node *loss(const blo_state *s, void *user) { /* f and F are the same, of other images */
    (void)user;
    blo_node *features = blo_model_convnet(s->upper_model, "", s->data, BLOCKS, BLO_BLOCK_CONV_BN_RELU_POOL);
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", features), s->target, BLO_REDUCE_MEAN);
}

static void make_images(problem *p, int i, const char *x_name, const char *t_name) {
    const int64_t n = p->images[i], count = n * SIDE * SIDE, shape[4] = {n, 1, SIDE, SIDE};
    int32_t *drawn = bench_room(count, sizeof *drawn);
    float *data = bench_room(count, sizeof *data);
    blo_random_integers(count, 1 << 20, 0, (uint64_t)i, drawn);
    for (int64_t j = 0; j < count; j++)
        data[j] = (float)drawn[j] / (1 << 20);
    bench_save(&p->output, x_name, BLO_FLOAT, 4, shape, data);
    bench_require(p->context, !blo_tensor_create(p->context, BLO_FLOAT, 4, shape, data, &p->x[i]), "");
    for (int64_t j = 0; j < n; j++)
        drawn[j] = (int32_t)(j / (n / p->ways));
    bench_save(&p->output, t_name, BLO_INT32, 1, &n, drawn);
    bench_require(p->context, !blo_tensor_create(p->context, BLO_INT32, 1, &n, drawn, &p->t[i]), "");
    free(drawn);
    free(data);
}

static void open_problem(problem *p, int64_t filters) {
    char message[512];
    blo_lower_options options;
    bench_require(NULL, !blo_context_create(NULL, &p->context, message, sizeof message), message);
    blo_lower_options_default(&options);
    options.lower_loop = p->steps;
    bench_require(p->context,
                  !blo_model_create(p->context, BLO_FLOAT, &p->backbone) &&
                      !blo_model_add_convnet(p->backbone, "", 1, filters, BLOCKS) &&
                      !blo_model_create(p->context, BLO_FLOAT, &p->head) &&
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
    }
    blo_context_destroy(p->context);
    free(p->losses);
}

static void one_round(problem *p) {
    int max_loss_iter = 0;
    double start = bench_now();
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
    bench_print_counters(p->context, &p->last);
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
    for (int i = 0; i < 5 && argc == 8; i++)
        numbers[i] = atoi(argv[1 + i]);
    for (int i = 0; i < 5; i++)
        if (numbers[i] < 1) {
            fprintf(stderr, "usage: bench_few_shot WAYS SHOTS QUERY STEPS FILTERS WHO FOLDER\n");
            return 2;
        }
    p.ways = numbers[0];
    p.images[0] = p.ways * numbers[1];
    p.images[1] = p.ways * numbers[2];
    p.steps = numbers[3];
    p.output = (bench_output){.who = argv[6], .folder = argv[7]};
    open_problem(&p, numbers[4]);
    while (fgets(line, sizeof line, stdin))
        one_round(&p);
    close_problem(&p);
    return 0;
}
