/* Data hyper-cleaning: half of the training labels are wrong; one weight per training example is learned so that a
 * linear classifier trained with the weights does well on clean validation data. Built-in images; prints how many wrong
 * labels were found. */
#include <clbilevel/clbilevel.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 500, PIXELS = 28 * 28, CLASSES = 10, ITERATIONS = 60 };

static blo_node *logits(const blo_bound_model *model, blo_node *data, void *user) {
    (void)user;
    return blo_model_linear(model, "fc",
                            blo_scale(blo_cast(data, BLO_FLOAT), 1 / 255.0)); /* bytes stay bytes in memory */
}

static blo_node *lower_objective(const blo_state *state, void *user) {
    (void)user;
    blo_node *losses =
        blo_cross_entropy(blo_model_forward(state->lower_model, state->data), state->target, BLO_REDUCE_NONE);
    return blo_mean(blo_mul(blo_sigmoid(blo_model_parameter(state->upper_model, "weight")), losses));
}

static blo_node *upper_objective(const blo_state *state, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_forward(state->lower_model, state->data), state->target, BLO_REDUCE_MEAN);
}

/* Gives half of the first N labels another class. */
static void corrupt(int32_t *labels, bool wrong[N]) {
    int32_t order[N], shift[N];
    blo_random_permutation(N, 1, 1, order);
    blo_random_integers(N, CLASSES - 1, 1, 2, shift);
    for (int i = 0; i < N / 2; i++) {
        labels[order[i]] = (labels[order[i]] + 1 + shift[i]) % CLASSES;
        wrong[order[i]] = true;
    }
}

static void report(double loss, const double x[N], const bool wrong[N]) {
    int found = 0, kept = 0;
    for (int i = 0; i < N; i++) {
        found += wrong[i] && x[i] < 0;
        kept += !wrong[i] && x[i] >= 0;
    }
    printf("F = %.4f; %d of %d wrong labels found, %d of %d right ones kept\n", loss, found, N / 2, kept, N - N / 2);
}

int main(void) {
    char message[256];
    blo_context *context = NULL;
    blo_dataset digits;
    bool wrong[N] = {false};
    if (blo_context_create(NULL, &context, message, sizeof message) ||
        blo_digits_generate(2 * N, 1, &digits, message, sizeof message)) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    int32_t *labels = digits.labels.data;
    corrupt(labels, wrong);

    blo_model *weights = NULL, *classifier = NULL;
    blo_tensor *train_x = NULL, *train_y = NULL, *validate_x = NULL, *validate_y = NULL;
    blo_optimizer *step_x = NULL, *step_z = NULL;
    blo_lower_solver *solver = NULL;
    blo_trajectory *trajectory = NULL;
    blo_iapttgm *method = NULL;
    const int64_t images[2] = {N, PIXELS}, n = N;
    const uint8_t *pixels = digits.images.data;
    blo_lower_options lower;
    blo_optimizer_options adam, sgd;
    blo_lower_options_default(&lower);
    lower.lower_loop = 30;
    blo_optimizer_options_default(&adam, BLO_ADAM);
    adam.learning_rate = 0.05;
    blo_optimizer_options_default(&sgd, BLO_SGD);
    sgd.learning_rate = 0.1;

    bool ok = !blo_tensor_create(context, BLO_UINT8, 2, images, pixels, &train_x) &&
              !blo_tensor_create(context, BLO_INT32, 1, &n, labels, &train_y) &&
              !blo_tensor_create(context, BLO_UINT8, 2, images, pixels + N * PIXELS, &validate_x) &&
              !blo_tensor_create(context, BLO_INT32, 1, &n, labels + N, &validate_y) &&
              !blo_model_create(context, BLO_FLOAT, &weights) && !blo_model_add(weights, "weight", 1, &n) &&
              !blo_model_create(context, BLO_FLOAT, &classifier) &&
              !blo_model_add_linear(classifier, "fc", PIXELS, CLASSES);
    if (ok)
        blo_model_set_forward(classifier, logits, NULL);
    ok = ok && !blo_lower_solver_create(lower_objective, upper_objective, NULL, weights, classifier, &lower, &solver) &&
         !blo_iapttgm_create(upper_objective, NULL, weights, classifier, &method) &&
         !blo_optimizer_create(weights, &adam, &step_x) && !blo_optimizer_create(classifier, &sgd, &step_z);
    double loss = 0, x[N];
    for (int i = 0, max_loss_iter; ok && i < ITERATIONS; i++)
        ok = !blo_model_zero_gradients(weights) && !blo_model_zero_gradients(classifier) &&
             !blo_lower_optimize(solver, train_x, train_y, validate_x, validate_y, &trajectory, &max_loss_iter) &&
             !blo_iapttgm_compute_gradients(method, validate_x, validate_y, trajectory, &max_loss_iter, &loss) &&
             !blo_optimizer_step(step_x) && !blo_optimizer_step(step_z);
    ok = ok && !blo_model_get(weights, "weight", x, N);
    if (ok)
        report(loss, x, wrong);
    else
        fprintf(stderr, "%s\n", blo_context_error(context));

    blo_optimizer_destroy(step_z);
    blo_optimizer_destroy(step_x);
    blo_iapttgm_destroy(method);
    blo_trajectory_destroy(trajectory);
    blo_lower_solver_destroy(solver);
    blo_model_destroy(classifier);
    blo_model_destroy(weights);
    blo_tensor_destroy(train_x);
    blo_tensor_destroy(train_y);
    blo_tensor_destroy(validate_x);
    blo_tensor_destroy(validate_y);
    blo_dataset_free(&digits);
    blo_context_destroy(context);
    return ok ? 0 : 1;
}
