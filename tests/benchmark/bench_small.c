/* Two small problems, timed: the numerical example of the IAPTT-GM paper, and one penalty per feature of a
 * softmax regression with Adam below (examples/feature_weights.c). A round is ITERATIONS upper iterations in the
 * caller's hands, each with its updates, and as many by one call of blo_iapttgm_solve(); beside them as many launches
 * of next to nothing, each with its wait: what a device's driver takes for handing over. One JSON object for each line
 * on standard input; the first round's results go to FOLDER, under WHO.
 * In float rounding decides which of two steps with nearly the same F is the pessimistic one, and the sign of a
 * gradient near 0, which Adam makes a whole step of: what follows the first upper iteration is comparable in double
 * only, and only told then. usage: bench_small numerical|feature-weights float|double STEPS ITERATIONS WHO FOLDER */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { N = 100, FEATURES = 20, USEFUL = 5, CLASSES = 3 };

typedef struct problem {
    blo_context *context;
    bool numerical;
    blo_dtype dtype;
    int steps, iterations, rounds; /* rounds done */
    bench_output output;
    blo_model *upper, *lower;
    blo_model *nothing; /* one number, and its optimizer: a launch with next to nothing to do */
    blo_optimizer *launch;
    blo_tensor *x[2], *t[2];              /* train, validate; NULL where there are no data */
    blo_optimizer *step[2], *together[2]; /* of an iteration alone, of many in one call */
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
    double *losses, *ends; /* [iterations]: F at max_loss_iter, and max_loss_iter */
    blo_statistics last;
} problem;

/* --- objectives --- */

/* -sin(x y) */
static blo_node *numerical_lower(const blo_state *s, void *user) {
    (void)user;
    return blo_neg(
        blo_sin(blo_mul(blo_model_parameter(s->upper_model, "x"), blo_model_parameter(s->lower_model, "y"))));
}

/* x + x y */
static blo_node *numerical_upper(const blo_state *s, void *user) {
    (void)user;
    blo_node *x = blo_model_parameter(s->upper_model, "x");
    return blo_add(x, blo_mul(x, blo_model_parameter(s->lower_model, "y")));
}

/* cross-entropy + mean over classes of sum over features d of exp(x_d) W_cd^2 */
static blo_node *weights_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *weight = blo_model_parameter(s->lower_model, "fc.weight"),
             *penalty = blo_exp(blo_model_parameter(s->upper_model, "penalty"));
    blo_node *loss = blo_cross_entropy(blo_model_linear(s->lower_model, "fc", s->data), s->target, BLO_REDUCE_MEAN);
    return blo_add(loss, blo_scale(blo_sum(blo_mul(penalty, blo_square(weight))), 1.0 / CLASSES));
}

static blo_node *weights_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_linear(s->lower_model, "fc", s->data), s->target, BLO_REDUCE_MEAN);
}

/* --- life --- */

/* Examples whose first USEFUL features lean towards their class; all features are noisy. */
static void make_split(problem *p, int split, const char *x_name, const char *t_name) {
    const int64_t shape[2] = {N, FEATURES}, n = N;
    int32_t noise[N * FEATURES], target[N];
    float data[N * FEATURES];
    double wide[N * FEATURES];
    blo_random_integers(N * FEATURES, 2001, 0, (uint64_t)split, noise);
    for (int i = 0; i < N; i++)
        target[i] = i % CLASSES;
    for (int j = 0; j < N * FEATURES; j++) {
        int i = j / FEATURES, d = j % FEATURES;
        data[j] = (float)(noise[j] - 1000) / 500 + (d < USEFUL && d % CLASSES == target[i] ? 1.0f : 0.0f);
        wide[j] = data[j];
    }
    const void *given = p->dtype == BLO_DOUBLE ? (const void *)wide : (const void *)data;
    bench_save(&p->output, x_name, p->dtype, 2, shape, given);
    bench_save(&p->output, t_name, BLO_INT32, 1, &n, target);
    bench_require(p->context,
                  !blo_tensor_create(p->context, p->dtype, 2, shape, given, &p->x[split]) &&
                      !blo_tensor_create(p->context, BLO_INT32, 1, &n, target, &p->t[split]),
                  "");
}

static bool make_numerical(problem *p, blo_lower_options *lower, blo_optimizer_options *upper) {
    lower->optimizer.learning_rate = 0.0005;
    lower->projection = BLO_PROJECT_BOX;
    lower->box_lo = -2.0;
    lower->box_hi = 2.0;
    blo_optimizer_options_default(upper, BLO_SGD);
    upper->learning_rate = 0.1;
    return !blo_model_create(p->context, p->dtype, &p->upper) && !blo_model_add(p->upper, "x", 0, NULL) &&
           !blo_model_create(p->context, p->dtype, &p->lower) && !blo_model_add(p->lower, "y", 0, NULL);
}

static bool make_feature_weights(problem *p, blo_lower_options *lower, blo_optimizer_options *upper) {
    const int64_t features = FEATURES;
    double start[FEATURES];
    for (int d = 0; d < FEATURES; d++)
        start[d] = -4;
    blo_optimizer_options_default(&lower->optimizer, BLO_ADAM);
    blo_optimizer_options_default(upper, BLO_ADAM);
    lower->optimizer.learning_rate = upper->learning_rate = 0.05;
    make_split(p, 0, "train_x", "train_t");
    make_split(p, 1, "validate_x", "validate_t");
    bool done =
        !blo_model_create(p->context, p->dtype, &p->upper) && !blo_model_add(p->upper, "penalty", 1, &features) &&
        !blo_model_set(p->upper, "penalty", start, FEATURES) && !blo_model_create(p->context, p->dtype, &p->lower) &&
        !blo_model_add_linear(p->lower, "fc", FEATURES, CLASSES);
    if (done)
        bench_save_values(&p->output, p->context, p->lower);
    return done;
}

static void make_nothing(problem *p) {
    bench_require(p->context,
                  !blo_model_create(p->context, BLO_FLOAT, &p->nothing) && !blo_model_add(p->nothing, "x", 0, NULL) &&
                      !blo_optimizer_create(p->nothing, NULL, &p->launch) && !blo_optimizer_step(p->launch) &&
                      !blo_context_finish(p->context),
                  "");
}

static void open_problem(problem *p) {
    char message[512];
    blo_lower_options lower;
    blo_optimizer_options upper;
    bench_require(NULL, !blo_context_create(NULL, &p->context, message, sizeof message), message);
    blo_lower_options_default(&lower);
    lower.lower_loop = p->steps;
    bool made = p->numerical ? make_numerical(p, &lower, &upper) : make_feature_weights(p, &lower, &upper);
    blo_objective f = p->numerical ? numerical_lower : weights_lower,
                  F = p->numerical ? numerical_upper : weights_upper;
    bench_require(p->context,
                  made && !blo_lower_solver_create(f, F, NULL, p->upper, p->lower, &lower, &p->solver) &&
                      !blo_iapttgm_create(F, NULL, p->upper, p->lower, &p->method) &&
                      !blo_optimizer_create(p->upper, &upper, &p->step[0]) &&
                      !blo_optimizer_create(p->lower, &upper, &p->step[1]),
                  "");
    for (int i = 0; i < 2; i++)
        p->together[i] = p->step[i];
    if (p->numerical) /* the peers clamp in the one, and not in the other, where nothing needs it */
        bench_require(p->context,
                      !blo_optimizer_create(p->upper, &upper, &p->together[0]) &&
                          !blo_optimizer_create(p->lower, &upper, &p->together[1]) &&
                          !blo_optimizer_set_box(p->step[0], 1.0, 10.0) &&
                          !blo_optimizer_set_box(p->step[1], -2.0, 2.0),
                      "");
    make_nothing(p);
    p->losses = bench_room(p->iterations, sizeof *p->losses);
    p->ends = bench_room(p->iterations, sizeof *p->ends);
}

static void close_problem(problem *p) {
    blo_trajectory_destroy(p->trajectory);
    blo_iapttgm_destroy(p->method);
    blo_lower_solver_destroy(p->solver);
    for (int i = 0; i < 2; i++) {
        if (p->together[i] != p->step[i])
            blo_optimizer_destroy(p->together[i]);
        blo_optimizer_destroy(p->step[i]);
        blo_tensor_destroy(p->x[i]);
        blo_tensor_destroy(p->t[i]);
    }
    blo_optimizer_destroy(p->launch);
    blo_model_destroy(p->nothing);
    blo_model_destroy(p->lower);
    blo_model_destroy(p->upper);
    blo_context_destroy(p->context);
    free(p->losses);
    free(p->ends);
}

/* --- rounds --- */

/* The numerical example starts anew, at (X, Z); feature weights go on from where they stand. */
static void restart(problem *p, double x, double z) {
    if (p->numerical)
        bench_require(p->context, !blo_model_set(p->upper, "x", &x, 1) && !blo_model_set(p->lower, "y", &z, 1), "");
}

/* One upper iteration in the caller's hands. */
static void iterate(problem *p, int i) {
    int max_loss_iter = 0;
    bool done =
        !blo_model_zero_gradients(p->upper) && !blo_model_zero_gradients(p->lower) &&
        !blo_lower_optimize(p->solver, p->x[0], p->t[0], p->x[1], p->t[1], &p->trajectory, &max_loss_iter) &&
        !blo_iapttgm_compute_gradients(p->method, p->x[1], p->t[1], p->trajectory, &max_loss_iter, &p->losses[i]);
    bench_require(p->context, done, "");
    p->ends[i] = max_loss_iter;
    if (p->rounds == 0 && i == 0) {
        bench_save_results(&p->output, p->context, p->upper, "gradient", false, NULL);
        bench_save_results(&p->output, p->context, p->lower, "gradient", false, NULL);
    }
    bench_require(p->context, !blo_optimizer_step(p->step[0]) && !blo_optimizer_step(p->step[1]), "");
}

static void save_state(const problem *p, const char *prefix) {
    if (p->rounds > 0 || p->dtype != BLO_DOUBLE)
        return;
    bench_save_results(&p->output, p->context, p->upper, prefix, true, NULL);
    bench_save_results(&p->output, p->context, p->lower, prefix, true, NULL);
}

/* Seconds of a launch and its wait. */
static double time_launches(problem *p) {
    double start = bench_now();
    for (int i = 0; i < p->iterations; i++)
        bench_require(p->context, !blo_optimizer_step(p->launch) && !blo_context_finish(p->context), "");
    return (bench_now() - start) / p->iterations;
}

static void one_round(problem *p) {
    restart(p, 1.0, 2.0);
    bench_require(p->context, !blo_context_finish(p->context), "");
    double start = bench_now();
    for (int i = 0; i < p->iterations; i++)
        iterate(p, i);
    bench_require(p->context, !blo_context_finish(p->context), "");
    double singly = (bench_now() - start) / p->iterations;
    save_state(p, "singly");
    restart(p, 5.0, -1.5); /* from here no clamp is needed */
    bench_require(p->context, !blo_context_finish(p->context), "");
    start = bench_now();
    bench_require(p->context,
                  !blo_iapttgm_solve(p->method, p->solver, 2, p->together, p->x[0], p->t[0], p->x[1], p->t[1],
                                     p->iterations, NULL, NULL) &&
                      !blo_context_finish(p->context),
                  "");
    double together = (bench_now() - start) / p->iterations;
    save_state(p, "together");
    printf("{\"times\": {\"upper iteration\": %.9f, \"of many in one call\": %.9f, \"a launch and its wait\": %.9f}, ",
           singly, together, time_launches(p));
    bench_print_doubles("losses", p->losses, p->dtype == BLO_DOUBLE ? p->iterations : 1);
    printf(", ");
    bench_print_doubles("max_loss_iters", p->ends, p->iterations);
    printf(", ");
    bench_print_counters(p->context, &p->last);
    printf("}\n");
    fflush(stdout);
    p->rounds++;
}

int main(int argc, char **argv) {
    problem p = {0};
    char line[64];
    if (argc != 7 || (strcmp(argv[1], "numerical") && strcmp(argv[1], "feature-weights")) ||
        (strcmp(argv[2], "float") && strcmp(argv[2], "double")) || atoi(argv[3]) < 1 || atoi(argv[4]) < 1) {
        fprintf(stderr, "usage: bench_small numerical|feature-weights float|double STEPS ITERATIONS WHO FOLDER\n");
        return 2;
    }
    p.numerical = !strcmp(argv[1], "numerical");
    p.dtype = !strcmp(argv[2], "double") ? BLO_DOUBLE : BLO_FLOAT;
    p.steps = atoi(argv[3]);
    p.iterations = atoi(argv[4]);
    p.output = (bench_output){.who = argv[5], .folder = argv[6]};
    open_problem(&p);
    while (fgets(line, sizeof line, stdin))
        one_round(&p);
    close_problem(&p);
    return 0;
}
