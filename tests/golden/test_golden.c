/* Golden values of PyTorch: trajectories, F at every step, max_loss_iter and hypergradients of every problem in this
 * folder (README.md says what each is). In double to 1e-9 of each array's largest magnitude. In float to 2e-5 of the
 * largest magnitude it has at any k: six steps of a handful of sums of about ten terms each round some hundred times at
 * 6e-8, and the sweep as often again; and what a gradient loses by cancelling (Adam's first step is all but a sign, so
 * that its derivative is what epsilon leaves) it has at other k. */
#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clbilevel/clbilevel.h>

#include "../support/suite.h"
#include "golden_file.h"

static const double double_tolerance = 1e-9, float_tolerance = 2e-5;
static blo_context *context;
static char names[64][128];
static int n_names, stride;

typedef struct problem {
    golden_file golden;
    blo_dtype dtype;
    bool through_initial_model; /* with one model: y_0 by that name, not as the upper model */
    double tolerance;
    const char *name;
    blo_model *upper, *lower;
    blo_tensor *data, *target, *validate_data, *validate_target, *rows, *rates;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
} problem;

#define MUST(call) ck_assert_msg((call) == BLO_OK, "%s: %s", p->name, blo_context_error(context))

static double option(const problem *p, const char *name) {
    return golden_scalar(&p->golden, name);
}

static bool has(const problem *p, const char *name) {
    return option(p, name) != 0;
}

/* --- the mathematics of README.md --- */

static blo_node *forward(const blo_bound_model *model, blo_node *data, void *user) {
    const problem *p = user;
    blo_node *h = has(p, "bytes") ? blo_scale(blo_cast(data, p->dtype), 1 / 255.0) : data;
    h = blo_linear(h, blo_model_parameter(model, "p0"), blo_model_parameter(model, "p1"));
    if (!has(p, "mlp"))
        return h;
    if (option(p, "activation") == 1)
        h = blo_relu(h);
    if (option(p, "activation") == 2)
        h = blo_tanh(h);
    return blo_linear(h, blo_model_parameter(model, "p2"), blo_model_parameter(model, "p3"));
}

static blo_node *squares(const problem *p, const blo_bound_model *a,
                         const blo_bound_model *b) { /* |a - b|^2 over all parameters */
    blo_node *sum = NULL;
    for (int i = 0; i < blo_model_count(p->lower); i++) {
        blo_node *d = blo_model_parameter(a, blo_model_name(p->lower, i));
        d = b ? blo_sub(d, blo_model_parameter(b, blo_model_name(p->lower, i))) : d;
        sum = sum ? blo_add(sum, blo_sum(blo_square(d))) : blo_sum(blo_square(d));
    }
    return sum;
}

/* y_0: the initial model, or the upper model where that is the lower model itself. */
static const blo_bound_model *first_of(const problem *p, const blo_state *s) {
    return has(p, "one_model") && !p->through_initial_model ? s->upper_model : s->initial_model;
}

static blo_node *lower_objective(const blo_state *s, void *user) {
    const problem *p = user;
    blo_node *data = s->data, *target = s->target,
             *w = has(p, "one_model") ? NULL : blo_model_parameter(s->upper_model, "x0");
    if (p->rows) {
        blo_node *rows = blo_state_input(s, "rows");
        data = blo_gather(data, rows);
        target = blo_gather(target, rows);
        w = blo_gather(w, rows);
    }
    blo_node *losses = blo_cross_entropy(blo_model_forward(s->lower_model, data), target, BLO_REDUCE_NONE),
             *f = blo_mean(losses);
    if (has(p, "feature_weights")) {
        blo_node *weight = blo_model_parameter(s->lower_model, "p0");
        f = blo_add(
            f, blo_scale(blo_sum(blo_mul(blo_exp(w), blo_square(weight))), 1.0 / (double)blo_node_shape(weight)[0]));
    } else if (w)
        f = blo_mean(blo_mul(blo_sigmoid(w), losses));
    if (has(p, "proximal"))
        f = blo_add(f, blo_scale(squares(p, s->lower_model, first_of(p, s)), option(p, "proximal")));
    return f;
}

static blo_node *upper_objective(const blo_state *s, void *user) {
    const problem *p = user;
    blo_node *f = blo_cross_entropy(blo_model_forward(s->lower_model, s->data), s->target, BLO_REDUCE_MEAN);
    if (!has(p, "upper_term"))
        return f;
    blo_node *term = has(p, "one_model") ? squares(p, first_of(p, s), NULL)
                                         : blo_sum(blo_square(blo_model_parameter(s->upper_model, "x0")));
    return blo_add(f, blo_scale(term, option(p, "upper_term")));
}

static blo_node *learned_rate(const blo_state *s, void *user) {
    (void)user;
    return blo_exp(blo_model_parameter(s->upper_model, "x1"));
}

static blo_node *scheduled_rate(const blo_state *s, void *user) {
    (void)user;
    return blo_state_input(s, "rates");
}

/* --- building it --- */

static void add_parameters(problem *p, blo_model *model, const char *prefix, const char *pattern) {
    const golden_array *array;
    for (int i = 0; (array = golden_find(&p->golden, pattern, i)); i++) {
        char name[16];
        snprintf(name, sizeof name, "%s%d", prefix, i);
        MUST(blo_model_add(model, name, array->rank, array->shape));
        MUST(blo_model_set(model, name, array->values, array->count));
    }
}

static blo_tensor *tensor_of(const problem *p, const char *name, blo_dtype dtype) {
    const golden_array *array = golden_find(&p->golden, "%s", name);
    blo_tensor *tensor = NULL;
    if (!array)
        return NULL;
    char *host = malloc((size_t)array->count * sizeof(double));
    for (int64_t i = 0; i < array->count; i++)
        switch (dtype) {
        case BLO_FLOAT: ((float *)(void *)host)[i] = (float)array->values[i]; break;
        case BLO_DOUBLE: ((double *)(void *)host)[i] = array->values[i]; break;
        case BLO_INT32: ((int32_t *)(void *)host)[i] = (int32_t)array->values[i]; break;
        case BLO_UINT8: ((uint8_t *)host)[i] = (uint8_t)array->values[i]; break;
        }
    MUST(blo_tensor_create(context, dtype, array->rank, array->shape, host, &tensor));
    free(host);
    return tensor;
}

static blo_lower_options options_of(const problem *p) {
    blo_lower_options o;
    blo_lower_options_default(&o);
    blo_optimizer_options_default(&o.optimizer, has(p, "optimizer") ? BLO_ADAM : BLO_SGD);
    o.lower_loop = (int)golden_find(&p->golden, "losses")->count;
    o.optimizer.learning_rate = option(p, "rate");
    o.optimizer.momentum = option(p, "momentum");
    o.optimizer.nesterov = has(p, "nesterov");
    o.optimizer.weight_decay = option(p, "weight_decay");
    o.projection = option(p, "projection") == 1   ? BLO_PROJECT_BOX
                   : option(p, "projection") == 2 ? BLO_PROJECT_BALL
                                                  : BLO_PROJECT_NONE;
    o.box_hi = o.ball_radius = option(p, "bound");
    o.box_lo = -o.box_hi;
    o.initialization_auxiliary = has(p, "auxiliary");
    o.learning_rate = option(p, "rate_mode") == 1 ? learned_rate : option(p, "rate_mode") == 2 ? scheduled_rate : NULL;
    return o;
}

static void read_problem(problem *p, const char *name, blo_dtype dtype) {
    char path[512];
    *p = (problem){.dtype = dtype, .name = name, .tolerance = dtype == BLO_DOUBLE ? double_tolerance : float_tolerance};
    snprintf(path, sizeof path, "%s/%s", getenv("GOLDEN_FOLDER"), name);
    ck_assert_msg(golden_read(path, &p->golden), "%s cannot be read", path);
}

static void build_problem(problem *p) {
    blo_dtype dtype = p->dtype, stored = has(p, "bytes") ? BLO_UINT8 : dtype;
    p->data = tensor_of(p, "data", stored);
    p->target = tensor_of(p, "target", BLO_INT32);
    p->validate_data = tensor_of(p, "validate_data", stored);
    p->validate_target = tensor_of(p, "validate_target", BLO_INT32);
    p->rows = tensor_of(p, "rows", BLO_INT32);
    p->rates = tensor_of(p, "rates", dtype);
    MUST(blo_model_create(context, dtype, &p->lower));
    add_parameters(p, p->lower, "p", "y0_%d");
    blo_model_set_forward(p->lower, forward, p);
    if (!has(p, "one_model")) {
        MUST(blo_model_create(context, dtype, &p->upper));
        add_parameters(p, p->upper, "x", "x%d");
    }
    blo_model *upper = p->upper ? p->upper : p->lower;
    blo_lower_options o = options_of(p);
    MUST(blo_lower_solver_create(lower_objective, upper_objective, p, upper, p->lower, &o, &p->solver));
    MUST(blo_iapttgm_create(upper_objective, p, upper, p->lower, &p->method));
    if (p->rows)
        MUST(blo_lower_solver_set_input(p->solver, "rows", p->rows, true));
    if (p->rates)
        MUST(blo_lower_solver_set_input(p->solver, "rates", p->rates, true));
}

static void close_problem(problem *p) {
    blo_trajectory_destroy(p->trajectory);
    blo_iapttgm_destroy(p->method);
    blo_lower_solver_destroy(p->solver);
    blo_model_destroy(p->upper);
    blo_model_destroy(p->lower);
    blo_tensor *tensors[] = {p->data, p->target, p->validate_data, p->validate_target, p->rows, p->rates};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        blo_tensor_destroy(tensors[i]);
    golden_free(&p->golden);
}

/* --- comparing --- */

static double magnitude(const golden_array *array) {
    double largest = 0;
    for (int64_t i = 0; array && i < array->count; i++)
        largest = fmax(largest, fabs(array->values[i]));
    return largest;
}

static void same(const problem *p, const char *what, int k, int index, const golden_array *wanted, const double *got) {
    double scale = magnitude(wanted);
    for (int other = 1; other < 16 && what[0] == 'g' && p->dtype == BLO_FLOAT; other++)
        scale = fmax(scale, magnitude(golden_find(&p->golden, "g%d_%c%d", other, what[2], index)));
    for (int64_t i = 0; i < wanted->count; i++)
        ck_assert_msg(fabs(got[i] - wanted->values[i]) <= p->tolerance * scale,
                      "%s: %s%d at k = %d, element %lld: %.17g, golden %.17g", p->name, what, index, k, (long long)i,
                      got[i], wanted->values[i]);
}

static void compare_trajectory(problem *p) {
    const golden_array *losses = golden_find(&p->golden, "losses"), *wanted;
    double got[256];
    int compared = 0;
    MUST(blo_trajectory_losses(p->trajectory, got, (int)losses->count));
    same(p, "F", 0, 0, losses, got);
    for (int k = 0; k <= losses->count; k++)
        for (int i = 0; (wanted = golden_find(&p->golden, "y%d_%d", k, i)); i++) {
            ck_assert_int_le(wanted->count, 256);
            MUST(blo_trajectory_get(p->trajectory, k, blo_model_name(p->lower, i), got, wanted->count));
            same(p, "y", k, i, wanted, got);
            compared++;
        }
    ck_assert_int_eq(compared, (losses->count + 1) * blo_model_count(p->lower));
}

static void compare_gradients(problem *p, int k) {
    const golden_array *wanted;
    double got[256], loss;
    if (p->upper)
        MUST(blo_model_zero_gradients(p->upper));
    MUST(blo_model_zero_gradients(p->lower));
    MUST(blo_iapttgm_compute_gradients(p->method, p->validate_data, p->validate_target, p->trajectory, &k, &loss));
    ck_assert_double_eq_tol(loss, golden_find(&p->golden, "losses")->values[k - 1], p->tolerance * 10);
    for (int i = 0; (wanted = golden_find(&p->golden, "g%d_x%d", k, i)); i++) {
        MUST(blo_model_get_gradient(p->upper, blo_model_name(p->upper, i), got, wanted->count));
        same(p, "g_x", k, i, wanted, got);
    }
    for (int i = 0; (wanted = golden_find(&p->golden, "g%d_z%d", k, i)); i++) {
        golden_array nothing = *wanted;
        double zeros[256] = {0};
        nothing.values = zeros;
        MUST(blo_model_get_gradient(p->lower, blo_model_name(p->lower, i), got, wanted->count));
        same(p, "g_z", k, i, has(p, "auxiliary") ? wanted : &nothing, got); /* without the auxiliary z gets none */
    }
}

static void solve_and_compare(problem *p) {
    int max_loss_iter = 0, compared = 0;
    build_problem(p);
    MUST(blo_lower_optimize(p->solver, p->data, p->target, p->validate_data, p->validate_target, &p->trajectory,
                            &max_loss_iter));
    ck_assert_msg(max_loss_iter == (int)option(p, "max_loss_iter"), "%s: max_loss_iter %d, golden %g", p->name,
                  max_loss_iter, option(p, "max_loss_iter"));
    compare_trajectory(p);
    for (int k = 1; k <= golden_find(&p->golden, "losses")->count; k++)
        if (golden_find(&p->golden, "g%d_z0", k)) {
            compare_gradients(p, k);
            compared++;
        }
    ck_assert_int_ge(compared, 3); /* 1, inside, T */
    close_problem(p);
}

START_TEST(double_matches_pytorch) {
    problem p;
    read_problem(&p, names[_i * stride], BLO_DOUBLE);
    solve_and_compare(&p);
}
END_TEST

START_TEST(float_matches_pytorch) {
    problem p;
    read_problem(&p, names[_i * stride], BLO_FLOAT);
    solve_and_compare(&p);
}
END_TEST

START_TEST(with_one_model_the_initial_model_is_the_upper_model) {
    int solved = 0;
    for (int i = 0; i < n_names; i++) {
        problem p;
        read_problem(&p, names[i], BLO_DOUBLE);
        p.through_initial_model = true;
        if (has(&p, "one_model")) {
            solve_and_compare(&p);
            solved++;
        } else
            golden_free(&p.golden);
    }
    ck_assert_int_gt(solved, 0);
}
END_TEST

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static void list_problems(void) {
    const char *path = getenv("GOLDEN_FOLDER");
    DIR *folder = path ? opendir(path) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder)) && n_names < 64;) {
        size_t length = strlen(entry->d_name);
        if (length > 4 && length < sizeof names[0] && !strcmp(entry->d_name + length - 4, ".txt"))
            strcpy(names[n_names++], entry->d_name);
    }
    if (folder)
        closedir(folder);
    qsort(names, (size_t)n_names, sizeof names[0], by_name); /* the folder's own order is any */
}

int main(void) {
    char message[512];
    const char *every = getenv("GOLDEN_EVERY"); /* only each so many-th problem, where building takes minutes */
    stride = every && atoi(every) > 1 ? atoi(every) : 1;
    list_problems();
    if (n_names == 0 || blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", n_names ? message : "no golden values: GOLDEN_FOLDER names no folder with them");
        return 1;
    }
    Suite *suite = suite_create("golden");
    TCase *tests = tcase_create("problems");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, double_matches_pytorch, 0, (n_names + stride - 1) / stride);
    tcase_add_loop_test(tests, float_matches_pytorch, 0, (n_names + stride - 1) / stride);
    tcase_add_test(tests, with_one_model_the_initial_model_is_the_upper_model);
    suite_add_tcase(suite, tests);
    int failed = run_suite_here(suite);
    blo_context_destroy(context);
    return failed;
}
