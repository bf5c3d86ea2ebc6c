/* Optimizers over a model against the recurrences of torch.optim, written here in plain C. */
#include <math.h>

#include "../support.h"

enum { COUNT = 5, STEPS = 6, MANY = 5000 };

typedef struct reference {
    double p[COUNT], m[COUNT], v[COUNT];
} reference;

/* One step of torch.optim.SGD or Adam on R with gradient G; T: number of this step, from 1. */
static void reference_step(const blo_optimizer_options *o, reference *r, const double *gradient, int t) {
    for (int i = 0; i < COUNT; i++) {
        double g = gradient[i] + o->weight_decay * r->p[i];
        if (o->kind == BLO_SGD) {
            r->m[i] = t == 1 ? g : o->momentum * r->m[i] + g;
            double direction = g;
            if (o->momentum != 0.0)
                direction = o->nesterov ? g + o->momentum * r->m[i] : r->m[i];
            r->p[i] -= o->learning_rate * direction;
            continue;
        }
        r->m[i] = o->beta1 * r->m[i] + (1.0 - o->beta1) * g;
        r->v[i] = o->beta2 * r->v[i] + (1.0 - o->beta2) * g * g;
        double denominator = sqrt(r->v[i]) / sqrt(1.0 - pow(o->beta2, t)) + o->epsilon;
        r->p[i] -= o->learning_rate / (1.0 - pow(o->beta1, t)) * r->m[i] / denominator;
    }
}

static void upload_gradient(blo_context *context, blo_model *model, blo_dtype dtype, const double *gradient) {
    float narrow[COUNT];
    for (int i = 0; i < COUNT; i++)
        narrow[i] = (float)gradient[i];
    const void *source = dtype == BLO_DOUBLE ? (const void *)gradient : (const void *)narrow;
    MUST(context, blo_tensor_upload(blo_model_gradient(model, "w"), source, COUNT * blo_dtype_size(dtype)));
}

/* STEPS steps on random gradients, the last element's always zero; compared after each within TOLERANCE. MANY: beside a
 * parameter so large that the model is stepped by a plan. */
static void compare(const blo_optimizer_options *options, blo_dtype dtype, double tolerance, bool many) {
    uint64_t seed = 11;
    reference r = {0};
    blo_model *model = NULL;
    blo_optimizer *optimizer = NULL;
    blo_context *context = open_context(0);
    for (int i = 0; i < COUNT; i++)
        r.p[i] = (double)(float)next_number(&seed);
    MUST(context, blo_model_create(context, dtype, &model));
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){COUNT}));
    MUST(context, blo_model_set(model, "w", r.p, COUNT));
    if (many)
        MUST(context, blo_model_add(model, "many", 1, (const int64_t[]){MANY}));
    MUST(context, blo_optimizer_create(model, options, &optimizer));
    for (int t = 1; t <= STEPS; t++) {
        double gradient[COUNT] = {0}, got[COUNT];
        for (int i = 0; i < COUNT - 1; i++)
            gradient[i] = (double)(float)next_number(&seed);
        reference_step(options, &r, gradient, t);
        upload_gradient(context, model, dtype, gradient);
        MUST(context, blo_optimizer_step(optimizer));
        MUST(context, blo_model_get(model, "w", got, COUNT));
        for (int i = 0; i < COUNT; i++)
            ck_assert_double_eq_tol(got[i], r.p[i], tolerance);
    }
    blo_optimizer_destroy(optimizer);
    blo_model_destroy(model);
    blo_context_destroy(context);
}

/* Of about 1 in size, six steps, a few roundings each. */
static const double DOUBLE_TOLERANCE = 1e-13, FLOAT_TOLERANCE = 3e-6;

static void compare_both(const blo_optimizer_options *options) {
    for (int many = 0; many < 2; many++) {
        compare(options, BLO_DOUBLE, DOUBLE_TOLERANCE, many);
        compare(options, BLO_FLOAT, FLOAT_TOLERANCE, many);
    }
}

START_TEST(sgd_is_torchs) {
    blo_optimizer_options options;
    blo_optimizer_options_default(&options, BLO_SGD);
    compare_both(&options);
    options.weight_decay = 0.3;
    compare_both(&options);
}
END_TEST

START_TEST(momentum_and_nesterov_are_torchs) {
    blo_optimizer_options options;
    blo_optimizer_options_default(&options, BLO_SGD);
    options.momentum = 0.9;
    compare_both(&options);
    options.nesterov = true;
    options.weight_decay = 0.1;
    compare_both(&options);
}
END_TEST

START_TEST(adam_is_torchs) {
    blo_optimizer_options options;
    blo_optimizer_options_default(&options, BLO_ADAM);
    ck_assert_double_eq(options.learning_rate, 0.001);
    options.learning_rate = 0.1; /* large, so that an error of the bias correction shows in float */
    compare_both(&options);
    options.weight_decay = 0.2;
    options.beta1 = 0.0;
    compare_both(&options);
}
END_TEST

START_TEST(another_rate_and_another_step_build_nothing) {
    blo_context *context = open_context(0);
    blo_model *model = NULL;
    blo_optimizer *optimizer = NULL;
    blo_statistics before, after;
    const double ones[COUNT] = {1.0, 1.0, 1.0, 1.0, 1.0};
    double got[COUNT];
    MUST(context, blo_model_create(context, BLO_FLOAT, &model));
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){COUNT}));
    upload_gradient(context, model, BLO_FLOAT, ones);
    MUST(context, blo_optimizer_create(model, NULL, &optimizer));
    MUST(context, blo_optimizer_step(optimizer));
    blo_context_statistics(context, &before);

    MUST(context, blo_optimizer_set_learning_rate(optimizer, 0.5));
    MUST(context, blo_optimizer_step(optimizer));

    blo_context_statistics(context, &after);
    MUST(context, blo_model_get(model, "w", got, COUNT));
    ck_assert_double_eq_tol(got[0], -0.1 - 0.5, 1e-6);
    ck_assert_uint_eq(after.allocations, before.allocations);
    ck_assert_uint_eq(after.kernels_built, before.kernels_built);
    ck_assert_uint_eq(after.waits, before.waits);
    blo_optimizer_destroy(optimizer);
    blo_model_destroy(model);
    blo_context_destroy(context);
}
END_TEST

/* STEPS steps of Adam, bounded from the fourth on, of "w" [COUNT]: beside many elements by a plan. */
static void run_adam(bool many, double got[COUNT], uint64_t launches[STEPS]) {
    uint64_t seed = 23;
    blo_context *context = open_context(0);
    blo_model *model = NULL;
    blo_optimizer *optimizer = NULL;
    blo_optimizer_options options;
    blo_statistics before, after;
    double gradient[COUNT];
    blo_optimizer_options_default(&options, BLO_ADAM);
    options.learning_rate = 0.1;
    MUST(context, blo_model_create(context, BLO_DOUBLE, &model));
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){COUNT}));
    MUST(context, blo_model_add(model, "b", 0, NULL));
    if (many)
        MUST(context, blo_model_add(model, "many", 1, (const int64_t[]){MANY}));
    MUST(context, blo_optimizer_create(model, &options, &optimizer));
    for (int t = 0; t < STEPS; t++) {
        for (int i = 0; i < COUNT; i++)
            gradient[i] = next_number(&seed);
        upload_gradient(context, model, BLO_DOUBLE, gradient);
        if (t == STEPS / 2)
            MUST(context, blo_optimizer_set_box(optimizer, -0.25, 0.25));
        blo_context_statistics(context, &before);
        MUST(context, blo_optimizer_step(optimizer));
        blo_context_statistics(context, &after);
        launches[t] = after.launches - before.launches;
    }
    MUST(context, blo_model_get(model, "w", got, COUNT));
    blo_optimizer_destroy(optimizer);
    blo_model_destroy(model);
    blo_context_destroy(context);
}

START_TEST(few_elements_step_in_one_launch_to_the_same_bits) {
    double few[COUNT], many[COUNT];
    uint64_t few_launches[STEPS], many_launches[STEPS];
    run_adam(false, few, few_launches);
    run_adam(true, many, many_launches);
    for (int t = 0; t < STEPS; t++) {
        ck_assert_uint_eq(few_launches[t], 1);
        ck_assert_uint_gt(many_launches[t], 1);
    }
    ck_assert_mem_eq(few, many, sizeof few);
    ck_assert_double_ne(few[0], 0.0);
}
END_TEST

START_TEST(options_out_of_range_are_refused_by_name) {
    blo_context *context = open_context(0);
    blo_model *model = NULL;
    blo_optimizer *optimizer = NULL;
    blo_optimizer_options options;
    MUST(context, blo_model_create(context, BLO_FLOAT, &model));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "no parameters", blo_optimizer_create(model, NULL, &optimizer));
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){COUNT}));

    blo_optimizer_options_default(&options, BLO_SGD);
    options.learning_rate = (double)NAN;
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "learning_rate", blo_optimizer_create(model, &options, &optimizer));
    blo_optimizer_options_default(&options, BLO_SGD);
    options.nesterov = true;
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "nesterov", blo_optimizer_create(model, &options, &optimizer));
    blo_optimizer_options_default(&options, BLO_ADAM);
    options.beta2 = 1.0;
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "beta2", blo_optimizer_create(model, &options, &optimizer));
    ck_assert_ptr_null(optimizer);

    MUST(context, blo_optimizer_create(model, NULL, &optimizer));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "learning_rate", blo_optimizer_set_learning_rate(optimizer, -1.0));
    MUST(context, blo_optimizer_step(optimizer));
    MUST(context, blo_model_add(model, "v", 0, NULL));
    MUST_FAIL(context, BLO_ERROR_STATE, "2 parameters", blo_optimizer_step(optimizer));
    blo_optimizer_destroy(optimizer);
    blo_model_destroy(model);
    blo_context_destroy(context);
}
END_TEST

/* A step of 0.3 on gradients of -1, and the box after each: momentum knows nothing of the box. */
START_TEST(a_box_bounds_what_each_step_leaves) {
    const double start[COUNT] = {-2.0, -0.5, 0.0, 0.9, 3.0}, gradient[COUNT] = {-1.0, -1.0, -1.0, -1.0, -1.0};
    double wanted[COUNT], got[COUNT], direction = 0.0;
    blo_optimizer_options options;
    blo_model *model = NULL;
    blo_optimizer *optimizer = NULL;
    blo_context *context = open_context(0);
    blo_optimizer_options_default(&options, BLO_SGD);
    options.learning_rate = 0.3;
    options.momentum = 0.5;
    MUST(context, blo_model_create(context, BLO_DOUBLE, &model));
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){COUNT}));
    MUST(context, blo_model_set(model, "w", start, COUNT));
    MUST(context, blo_optimizer_create(model, &options, &optimizer));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "is not at most", blo_optimizer_set_box(optimizer, 1.0, -1.0));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "is not at most", blo_optimizer_set_box(optimizer, (double)NAN, 1.0));
    memcpy(wanted, start, sizeof wanted);
    for (int t = 0; t < 4; t++) { /* without a box, with one, with one side open, and without again */
        const double lo = t == 1 ? -1.0 : -HUGE_VAL, hi = t == 1 || t == 2 ? 1.0 : HUGE_VAL;
        if (t > 0)
            MUST(context, blo_optimizer_set_box(optimizer, lo, hi));
        upload_gradient(context, model, BLO_DOUBLE, gradient);
        MUST(context, blo_optimizer_step(optimizer));
        MUST(context, blo_model_get(model, "w", got, COUNT));
        direction = 0.5 * direction - 1.0;
        for (int i = 0; i < COUNT; i++) {
            wanted[i] = fmin(fmax(wanted[i] - 0.3 * direction, lo), hi);
            ck_assert_double_eq_tol(got[i], wanted[i], 1e-12);
        }
    }
    ck_assert_double_gt(wanted[4], 1.0);
    blo_optimizer_destroy(optimizer);
    blo_model_destroy(model);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("optimizers");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 240);
    tcase_add_test(all, sgd_is_torchs);
    tcase_add_test(all, momentum_and_nesterov_are_torchs);
    tcase_add_test(all, adam_is_torchs);
    tcase_add_test(all, another_rate_and_another_step_build_nothing);
    tcase_add_test(all, few_elements_step_in_one_launch_to_the_same_bits);
    tcase_add_test(all, options_out_of_range_are_refused_by_name);
    tcase_add_test(all, a_box_bounds_what_each_step_leaves);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
