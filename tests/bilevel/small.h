/* Problems small enough to run whole, and a record of everything their upper iterations compute, to compare the kernel
 * that runs a loop whole with the loop that is queued. */
#ifndef BLO_TESTS_SMALL_H
#define BLO_TESTS_SMALL_H

#include <math.h>

#include "../support.h"

enum { ROWS = 37, COLUMNS = 20, KINDS = 3, STEPS = 12 }; /* odd numbers of rows: vectors do not divide them */

/* --- objectives --- */

static inline blo_node *x_of(const blo_state *s, const char *name) {
    return blo_model_parameter(s->upper_model, name);
}

static inline blo_node *y_of(const blo_state *s) {
    return blo_model_parameter(s->lower_model, "y");
}

static inline blo_node *softmax_loss(const blo_state *s, blo_node *data) {
    return blo_cross_entropy(blo_model_linear(s->lower_model, "fc", data), s->target, BLO_REDUCE_NONE);
}

/* The paper's example: f = -sin(x y), F = x + x y. */
static inline blo_node *sine_lower(const blo_state *s, void *user) {
    (void)user;
    return blo_neg(blo_sin(blo_mul(x_of(s, "x"), y_of(s))));
}
static inline blo_node *sine_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_add(x_of(s, "x"), blo_mul(x_of(s, "x"), y_of(s)));
}

/* x and z are one set; F contains y_0. */
static inline blo_node *one_lower(const blo_state *s, void *user) {
    (void)user;
    return blo_neg(blo_sin(blo_mul(x_of(s, "y"), y_of(s))));
}
static inline blo_node *one_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_add(blo_mul(x_of(s, "y"), blo_square(y_of(s))), blo_model_parameter(s->initial_model, "y"));
}

/* f stays near y_0; F contains x and y_0, which the step does not: their gradients need no carry. */
static inline blo_node *near_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *far = blo_sub(y_of(s), blo_model_parameter(s->initial_model, "y"));
    return blo_add(blo_square(blo_shift(y_of(s), -0.3)), blo_scale(blo_square(far), 0.5));
}
static inline blo_node *near_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_add(blo_mul(x_of(s, "x"), y_of(s)), blo_exp(blo_model_parameter(s->initial_model, "y")));
}

/* A weight per example. */
static inline blo_node *weights_lower(const blo_state *s, void *user) {
    (void)user;
    return blo_mean(blo_mul(blo_sigmoid(x_of(s, "weight")), softmax_loss(s, s->data)));
}
static inline blo_node *softmax_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_mean(softmax_loss(s, s->data));
}

/* A penalty per feature. */
static inline blo_node *penalty_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *squares = blo_square(blo_model_parameter(s->lower_model, "fc.weight"));
    return blo_add(blo_mean(softmax_loss(s, s->data)), blo_sum(blo_mul(blo_exp(x_of(s, "penalty")), squares)));
}

/* A scale per step and one for all; dropout counts steps. */
static inline blo_node *inputs_lower(const blo_state *s, void *user) {
    (void)user;
    blo_node *data = blo_dropout(s->data, 0.25, s->step, 7);
    blo_node *scale = blo_mul(blo_state_input(s, "each"), blo_state_input(s, "all"));
    return blo_mul(scale, blo_mean(blo_mul(blo_sigmoid(x_of(s, "weight")), softmax_loss(s, data))));
}
static inline blo_node *inputs_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_mul(blo_state_input(s, "each"), blo_mean(softmax_loss(s, s->data)));
}

static inline blo_node *learned_rate(const blo_state *s, void *user) {
    (void)user;
    return blo_exp(x_of(s, "rate"));
}

/* F grows beyond all bounds after some steps of a rate too large. */
static inline blo_node *steep_lower(const blo_state *s, void *user) {
    (void)user;
    return blo_mul(x_of(s, "x"), blo_square(blo_square(y_of(s))));
}
static inline blo_node *steep_upper(const blo_state *s, void *user) {
    (void)user;
    return blo_square(y_of(s));
}

/* F is finite, its gradient is not a number from the second upper iteration on: the root of 0 once x has moved below 0.
 */
static inline blo_node *edge_upper(const blo_state *s, void *user) {
    (void)user;
    blo_node *x = x_of(s, "x"), *zero = blo_scale(x, 0.0);
    return blo_add(blo_scale(x, 3.0), blo_sqrt(blo_maximum(blo_add(x, blo_scale(y_of(s), 0.0)), zero)));
}

/* --- cases --- */

typedef enum data_kind { DATA_NONE, DATA_CLASSES } data_kind;

typedef struct small_case {
    const char *name;
    blo_dtype dtype;
    blo_objective lower, upper;
    data_kind data;
    const char *x;   /* the upper parameter: NULL: the lower model is on both sides */
    int64_t x_count; /* 0: a scalar */
    void (*options)(blo_lower_options *options);
    bool rate, inputs;
    bool adams; /* Adam on z as well */
} small_case;

typedef struct scene {
    const small_case *kind;
    blo_context *context;
    blo_model *upper, *lower;
    blo_tensor *data[4], *each, *all;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_optimizer *optimizers[2];
    int n_optimizers;
} scene;

static inline void scene_data(scene *s) {
    double wide[ROWS * COLUMNS];
    float narrow[ROWS * COLUMNS];
    int32_t classes[ROWS];
    uint64_t seed = 5;
    for (int part = 0; part < 2; part++) {
        for (int i = 0; i < ROWS; i++) {
            classes[i] = (i * 7 + part) % KINDS;
            for (int j = 0; j < COLUMNS; j++) {
                wide[i * COLUMNS + j] = next_number(&seed) + (j % KINDS == classes[i] ? 0.7 : 0.0);
                narrow[i * COLUMNS + j] = (float)wide[i * COLUMNS + j];
            }
        }
        const void *values = s->kind->dtype == BLO_DOUBLE ? (const void *)wide : (const void *)narrow;
        const int64_t shape[2] = {ROWS, COLUMNS};
        MUST(s->context, blo_tensor_create(s->context, s->kind->dtype, 2, shape, values, &s->data[2 * part]));
        MUST(s->context, blo_tensor_create(s->context, BLO_INT32, 1, shape, classes, &s->data[2 * part + 1]));
    }
}

static inline void scene_models(scene *s) {
    const small_case *kind = s->kind;
    blo_context *context = s->context;
    MUST(context, blo_model_create(context, kind->dtype, &s->lower));
    if (kind->data == DATA_CLASSES)
        MUST(context, blo_model_add_linear(s->lower, "fc", COLUMNS, KINDS));
    else {
        const double start = 0.6;
        MUST(context, blo_model_add(s->lower, "y", 0, NULL));
        MUST(context, blo_model_set(s->lower, "y", &start, 1));
    }
    s->upper = s->lower;
    if (!kind->x)
        return;
    const double start = kind->data == DATA_NONE ? 1.25 : -1.5, rate = -2.5;
    double values[ROWS];
    const int64_t count = kind->x_count ? kind->x_count : 1;
    for (int64_t i = 0; i < count; i++)
        values[i] = start + 0.01 * (double)i;
    MUST(context, blo_model_create(context, kind->dtype, &s->upper));
    MUST(context, blo_model_add(s->upper, kind->x, kind->x_count ? 1 : 0, kind->x_count ? &kind->x_count : NULL));
    MUST(context, blo_model_set(s->upper, kind->x, values, count));
    if (kind->rate) {
        MUST(context, blo_model_add(s->upper, "rate", 0, NULL));
        MUST(context, blo_model_set(s->upper, "rate", &rate, 1));
    }
}

static inline void scene_inputs(scene *s) {
    float each[STEPS], all = 1.25f;
    const int64_t steps = STEPS;
    for (int k = 0; k < STEPS; k++)
        each[k] = 1.0f + 0.125f * (float)((k * 5) % 7);
    MUST(s->context, blo_tensor_create(s->context, BLO_FLOAT, 1, &steps, each, &s->each));
    MUST(s->context, blo_tensor_create(s->context, BLO_FLOAT, 0, NULL, &all, &s->all));
    MUST(s->context, blo_lower_solver_set_input(s->solver, "each", s->each, true));
    MUST(s->context, blo_lower_solver_set_input(s->solver, "all", s->all, false));
}

/* The same models and data each time: a context of its own, and its seed. */
static inline void scene_open(scene *s, const small_case *kind, blo_whole_mode whole) {
    blo_lower_options options;
    blo_optimizer_options adam, descent;
    *s = (scene){.kind = kind, .context = open_context(3)};
    scene_models(s);
    if (kind->data == DATA_CLASSES)
        scene_data(s);
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer.learning_rate = 0.2;
    options.learning_rate = kind->rate ? learned_rate : NULL;
    if (kind->options)
        kind->options(&options);
    options.whole = whole;
    MUST(s->context, blo_lower_solver_create(kind->lower, kind->upper, NULL, s->upper, s->lower, &options, &s->solver));
    MUST(s->context, blo_iapttgm_create(kind->upper, NULL, s->upper, s->lower, &s->method));
    if (kind->inputs)
        scene_inputs(s);
    blo_optimizer_options_default(&adam, BLO_ADAM);
    blo_optimizer_options_default(&descent, kind->adams ? BLO_ADAM : BLO_SGD);
    adam.learning_rate = 0.05;
    descent.learning_rate = kind->adams ? 0.05 : 0.1;
    descent.momentum = 0.5;
    MUST(s->context, blo_optimizer_create(s->lower, &descent, &s->optimizers[s->n_optimizers++]));
    if (s->upper != s->lower)
        MUST(s->context, blo_optimizer_create(s->upper, &adam, &s->optimizers[s->n_optimizers++]));
    MUST(s->context, blo_optimizer_set_box(s->optimizers[0], -0.9, 0.9));
}

static inline void scene_close(scene *s) {
    for (int i = 0; i < s->n_optimizers; i++)
        blo_optimizer_destroy(s->optimizers[i]);
    blo_iapttgm_destroy(s->method);
    blo_lower_solver_destroy(s->solver);
    for (int i = 0; i < 4; i++)
        blo_tensor_destroy(s->data[i]);
    blo_tensor_destroy(s->each);
    blo_tensor_destroy(s->all);
    if (s->upper != s->lower)
        blo_model_destroy(s->upper);
    blo_model_destroy(s->lower);
    blo_context_destroy(s->context);
}

/* --- records --- */

typedef struct record {
    int n;
    double values[20000];
} record;

static inline void note(record *r, double value) {
    ck_assert_int_lt(r->n, (int)(sizeof r->values / sizeof *r->values));
    r->values[r->n++] = value;
}

static inline void note_all(record *r, const double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        note(r, values[i]);
}

/* Parameters of MODEL, or their gradients. */
static inline void note_model(const scene *s, record *r, blo_model *model, bool gradients) {
    double values[ROWS * COLUMNS];
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i);
        const int64_t n = blo_tensor_count(blo_model_value(model, name));
        MUST(s->context,
             gradients ? blo_model_get_gradient(model, name, values, n) : blo_model_get(model, name, values, n));
        note_all(r, values, n);
    }
}

static inline void note_models(const scene *s, record *r, bool gradients) {
    note_model(s, r, s->lower, gradients);
    if (s->upper != s->lower)
        note_model(s, r, s->upper, gradients);
}

static inline void note_state(const scene *s, record *r, blo_trajectory *trajectory, int k) {
    double values[ROWS * COLUMNS];
    for (int i = 0; i < blo_model_count(s->lower); i++) {
        const char *name = blo_model_name(s->lower, i);
        const int64_t n = blo_tensor_count(blo_model_value(s->lower, name));
        MUST(s->context, blo_trajectory_get(trajectory, k, name, values, n));
        note_all(r, values, n);
    }
}

static inline void scene_clear(const scene *s) {
    MUST(s->context, blo_model_zero_gradients(s->lower));
    if (s->upper != s->lower)
        MUST(s->context, blo_model_zero_gradients(s->upper));
}

static inline blo_status scene_loop(const scene *s, blo_trajectory **trajectory, int *k) {
    return blo_lower_optimize(s->solver, s->data[0], s->data[1], s->data[2], s->data[3], trajectory, k);
}

static inline blo_status scene_sweep(const scene *s, blo_trajectory *trajectory, int k, double *loss) {
    return blo_iapttgm_compute_gradients(s->method, s->data[2], s->data[3], trajectory, &k, loss);
}

static inline void scene_step(const scene *s) {
    for (int i = 0; i < s->n_optimizers; i++)
        MUST(s->context, blo_optimizer_step(s->optimizers[i]));
}

/* The same bits: a NaN is one, and -0 is not 0. */
static inline void same_records(const char *name, const record *a, const record *b) {
    ck_assert_int_eq(a->n, b->n);
    for (int i = 0; i < a->n; i++)
        ck_assert_msg(memcmp(&a->values[i], &b->values[i], sizeof(double)) == 0,
                      "%s: value %d of %d is %.17g and %.17g", name, i, a->n, a->values[i], b->values[i]);
}

#endif
