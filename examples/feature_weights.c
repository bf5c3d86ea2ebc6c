/* One L2 weight learned per feature of a softmax regression, Adam below: only the first features tell the classes
 * apart, and the others end with the heavier penalty. A problem made of the library's parts alone; prints the mean
 * penalty of both kinds. */
#include <clbilevel/clbilevel.h>
#include <stdio.h>

enum { N = 100, FEATURES = 20, USEFUL = 5, CLASSES = 3, ITERATIONS = 120 };

/* cross-entropy + mean over classes of sum over features d of exp(x_d) W_cd^2 */
static blo_node *lower_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *weight = blo_model_parameter(s->lower_model, "fc.weight"),
             *penalty = blo_exp(blo_model_parameter(s->upper_model, "penalty"));
    blo_node *loss = blo_cross_entropy(blo_model_linear(s->lower_model, "fc", s->data), s->target, BLO_REDUCE_MEAN);
    return blo_add(loss, blo_scale(blo_sum(blo_mul(penalty, blo_square(weight))), 1.0 / CLASSES));
}

static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_linear(s->lower_model, "fc", s->data), s->target, BLO_REDUCE_MEAN);
}

/* Examples whose first USEFUL features lean towards their class; all features are noisy. */
static void draw(float data[N][FEATURES], int32_t target[N], uint64_t stream) {
    int32_t noise[N * FEATURES];
    blo_random_integers(N * FEATURES, 2001, 0, stream, noise);
    for (int i = 0; i < N; i++) {
        target[i] = i % CLASSES;
        for (int d = 0; d < FEATURES; d++)
            data[i][d] =
                (float)(noise[i * FEATURES + d] - 1000) / 500 + (d < USEFUL && d % CLASSES == target[i] ? 1.0f : 0.0f);
    }
}

int main(void) {
    static float data[2][N][FEATURES];
    static int32_t target[2][N];
    const int64_t shape[2] = {N, FEATURES}, n = N, features = FEATURES;
    char message[256];
    blo_context *context = NULL;
    blo_model *upper = NULL, *lower = NULL;
    blo_tensor *x[2] = {NULL}, *t[2] = {NULL};
    blo_optimizer *steps[2] = {NULL};
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_lower_options options;
    blo_optimizer_options adam;
    double penalty[FEATURES] = {0}, start[FEATURES], mean[2] = {0};
    if (blo_context_create(NULL, &context, message, sizeof message)) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        draw(data[i], target[i], (uint64_t)i);
        ok = ok && !blo_tensor_create(context, BLO_FLOAT, 2, shape, data[i], &x[i]) &&
             !blo_tensor_create(context, BLO_INT32, 1, &n, target[i], &t[i]);
    }
    for (int d = 0; d < FEATURES; d++)
        start[d] = -4;
    blo_lower_options_default(&options);
    options.lower_loop = 50;
    blo_optimizer_options_default(&options.optimizer, BLO_ADAM);
    options.optimizer.learning_rate = 0.05;
    blo_optimizer_options_default(&adam, BLO_ADAM);
    adam.learning_rate = 0.05;
    ok = ok && !blo_model_create(context, BLO_FLOAT, &upper) && !blo_model_add(upper, "penalty", 1, &features) &&
         !blo_model_set(upper, "penalty", start, FEATURES) && !blo_model_create(context, BLO_FLOAT, &lower) &&
         !blo_model_add_linear(lower, "fc", FEATURES, CLASSES) &&
         !blo_lower_solver_create(lower_objective, upper_objective, NULL, upper, lower, &options, &solver) &&
         !blo_iapttgm_create(upper_objective, NULL, upper, lower, &method) &&
         !blo_optimizer_create(upper, &adam, &steps[0]) && !blo_optimizer_create(lower, &adam, &steps[1]) &&
         !blo_iapttgm_solve(method, solver, 2, steps, x[0], t[0], x[1], t[1], ITERATIONS, NULL, NULL) &&
         !blo_model_get(upper, "penalty", penalty, FEATURES);
    for (int d = 0; d < FEATURES; d++)
        mean[d >= USEFUL] += penalty[d] / (d < USEFUL ? USEFUL : FEATURES - USEFUL);
    if (ok)
        printf("mean log-penalty of the useful features %.3f, of the others %.3f\n", mean[0], mean[1]);
    else
        fprintf(stderr, "%s\n", blo_context_error(context));
    for (int i = 0; i < 2; i++) {
        blo_optimizer_destroy(steps[i]);
        blo_tensor_destroy(x[i]);
        blo_tensor_destroy(t[i]);
    }
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    blo_model_destroy(lower);
    blo_model_destroy(upper);
    blo_context_destroy(context);
    return ok && mean[1] > mean[0] ? 0 : 1;
}
