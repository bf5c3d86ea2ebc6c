/* A small data hyper-cleaning problem for the tests of this folder: softmax regression, one weight per training
 * example. */
#ifndef BLO_TESTS_CLEANING_H
#define BLO_TESTS_CLEANING_H

#include "../support.h"

enum { EXAMPLES = 24, FEATURES = 6, CLASSES = 3, WEIGHTS = FEATURES * CLASSES };

typedef struct cleaning {
    blo_context *context;
    blo_model *upper, *lower; /* x [EXAMPLES]; layer.weight, layer.bias */
    blo_tensor *train_data, *train_target, *validate_data, *validate_target;
    blo_lower_solver *solver;
    blo_iapttgm *method;
} cleaning;

static inline blo_node *cleaning_forward(const blo_bound_model *model, blo_node *data, void *user) {
    (void)user;
    return blo_model_linear(model, "layer", data);
}

static inline blo_node *cleaning_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *losses = blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_NONE);
    return blo_mean(blo_mul(blo_sigmoid(blo_model_parameter(s->upper_model, "x")), losses));
}

static inline blo_node *cleaning_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
}

/* ROWS random examples of FEATURES and their classes, from SEED. */
static inline void cleaning_data(blo_context *context, blo_dtype dtype, int rows, uint64_t seed, blo_tensor **data,
                                 blo_tensor **target) {
    double *wide = malloc((size_t)(rows * FEATURES) * sizeof *wide);
    float *narrow = malloc((size_t)(rows * FEATURES) * sizeof *narrow);
    int32_t *classes = malloc((size_t)rows * sizeof *classes);
    for (int i = 0; i < rows; i++) {
        classes[i] = (int32_t)((next_number(&seed) + 1.0) * 0.5 * CLASSES);
        for (int j = 0; j < FEATURES; j++) {
            wide[i * FEATURES + j] = next_number(&seed) + (j == classes[i] ? 1.0 : 0.0);
            narrow[i * FEATURES + j] = (float)wide[i * FEATURES + j];
        }
    }
    const void *values = dtype == BLO_DOUBLE ? (const void *)wide : (const void *)narrow;
    MUST(context, blo_tensor_create(context, dtype, 2, (const int64_t[]){rows, FEATURES}, values, data));
    MUST(context, blo_tensor_create(context, BLO_INT32, 1, (const int64_t[]){rows}, classes, target));
    free(classes);
    free(narrow);
    free(wide);
}

static inline void cleaning_make_of(cleaning *c, blo_context *context, blo_dtype dtype,
                                    const blo_lower_options *options) {
    *c = (cleaning){.context = context};
    MUST(context, blo_model_create(context, dtype, &c->upper));
    MUST(context, blo_model_create(context, dtype, &c->lower));
    MUST(context, blo_model_add(c->upper, "x", 1, (const int64_t[]){EXAMPLES}));
    MUST(context, blo_model_add_linear(c->lower, "layer", FEATURES, CLASSES));
    blo_model_set_forward(c->lower, cleaning_forward, NULL);
    cleaning_data(context, dtype, EXAMPLES, 1, &c->train_data, &c->train_target);
    cleaning_data(context, dtype, EXAMPLES, 2, &c->validate_data, &c->validate_target);
    MUST(context,
         blo_lower_solver_create(cleaning_lower, cleaning_upper, NULL, c->upper, c->lower, options, &c->solver));
    MUST(context, blo_iapttgm_create(cleaning_upper, NULL, c->upper, c->lower, &c->method));
}

static inline void cleaning_make(cleaning *c, blo_context *context, const blo_lower_options *options) {
    cleaning_make_of(c, context, BLO_FLOAT, options);
}

static inline void cleaning_destroy(cleaning *c) {
    blo_iapttgm_destroy(c->method);
    blo_lower_solver_destroy(c->solver);
    blo_tensor_destroy(c->train_data);
    blo_tensor_destroy(c->train_target);
    blo_tensor_destroy(c->validate_data);
    blo_tensor_destroy(c->validate_target);
    blo_model_destroy(c->lower);
    blo_model_destroy(c->upper);
}

static inline blo_status cleaning_loop(cleaning *c, blo_trajectory **trajectory, int *k) {
    return blo_lower_optimize(c->solver, c->train_data, c->train_target, c->validate_data, c->validate_target,
                              trajectory, k);
}

static inline blo_status cleaning_sweep(cleaning *c, blo_trajectory *trajectory, int k, double *loss) {
    return blo_iapttgm_compute_gradients(c->method, c->validate_data, c->validate_target, trajectory, &k, loss);
}

static inline void cleaning_clear(cleaning *c) {
    MUST(c->context, blo_model_zero_gradients(c->upper));
    MUST(c->context, blo_model_zero_gradients(c->lower));
}

/* Both hypergradients, as they stand. */
typedef struct hypergradient {
    double x[EXAMPLES], weight[WEIGHTS], bias[CLASSES];
} hypergradient;

static inline void cleaning_gradients(cleaning *c, hypergradient *g) {
    MUST(c->context, blo_model_get_gradient(c->upper, "x", g->x, EXAMPLES));
    MUST(c->context, blo_model_get_gradient(c->lower, "layer.weight", g->weight, WEIGHTS));
    MUST(c->context, blo_model_get_gradient(c->lower, "layer.bias", g->bias, CLASSES));
}

/* The largest element in size: a gradient of nothing but zeros compares equal to anything that forgot to compute. */
static inline double hypergradient_size(const hypergradient *g) {
    const double *values = g->x;
    double largest = 0.0;
    for (size_t i = 0; i < EXAMPLES; i++)
        largest = values[i] > largest ? values[i] : -values[i] > largest ? -values[i] : largest;
    return largest;
}

#endif
