/* Lower steps of every optimizer against numbers that carry their own derivatives: the state's part in the adjoint,
 * learning rates with x in them or per step, projections, and y_0 in the lower loss. */
#include <math.h>

#include "../support.h"
#include "dual.h"

enum { STEPS = 12 };

static const double TOLERANCE = 1e-10;
static const double PULL = 0.3; /* weight of |y - y_0|^2 in the lower loss */

/* What a case uses; the objectives read it while they are traced. */
typedef struct setting {
    blo_optimizer_options optimizer;
    bool pull, learned_rate, scheduled_rate, box, ball;
    double box_lo, box_hi, radius;
    double x, z;
} setting;

/* f = -sin(x y) [+ PULL (y - y_0)^2] */
static blo_node *lower_objective(const blo_state *s, void *user) {
    const setting *c = user;
    blo_node *x = blo_model_parameter(s->upper_model, "x"), *y = blo_model_parameter(s->lower_model, "y");
    blo_node *loss = blo_neg(blo_sin(blo_mul(x, y)));
    if (c->pull)
        loss = blo_add(loss, blo_scale(blo_square(blo_sub(y, blo_model_parameter(s->initial_model, "y"))), PULL));
    return loss;
}

/* F = x y^2 + y + y_0 x */
static blo_node *upper_objective(const blo_state *s, void *user) {
    (void)user;
    blo_node *x = blo_model_parameter(s->upper_model, "x"), *y = blo_model_parameter(s->lower_model, "y");
    blo_node *y0 = blo_model_parameter(s->initial_model, "y");
    return blo_add(blo_add(blo_mul(x, blo_square(y)), y), blo_mul(y0, x));
}

static double scheduled(int k) {
    return 0.05 / (1.0 + 0.1 * k);
}

static blo_node *learned_rate(const blo_state *s, void *user) {
    (void)user;
    return blo_scale(blo_model_parameter(s->upper_model, "x"), 0.04);
}

static blo_node *scheduled_rate(const blo_state *s, void *user) {
    (void)user;
    return blo_state_input(s, "rate");
}

/* The norm of a single number is its size. */
static dual in_ball(dual a, double radius) {
    return fabs(a.v) > radius ? constant(a.v < 0.0 ? -radius : radius) : a;
}

typedef struct moments {
    dual m, v;
} moments;

static dual reference_step(const setting *c, dual x, dual y, dual y0, moments *s, int k) {
    const blo_optimizer_options *o = &c->optimizer;
    dual g = scaled(times(x, cosine(times(x, y))), -1.0), rate = constant(o->learning_rate), direction;
    if (c->pull)
        g = plus(g, scaled(minus(y, y0), 2.0 * PULL));
    g = plus(g, scaled(y, o->weight_decay));
    if (c->learned_rate)
        rate = scaled(x, 0.04);
    if (c->scheduled_rate)
        rate = constant(scheduled(k));
    if (o->kind == BLO_SGD) {
        s->m = plus(scaled(s->m, o->momentum), g);
        direction = o->nesterov ? plus(g, scaled(s->m, o->momentum)) : s->m;
    } else {
        s->m = plus(scaled(s->m, o->beta1), scaled(g, 1.0 - o->beta1));
        s->v = plus(scaled(s->v, o->beta2), scaled(times(g, g), 1.0 - o->beta2));
        dual below = plus(scaled(root(s->v), 1.0 / sqrt(1.0 - pow(o->beta2, k + 1))), constant(o->epsilon));
        direction = scaled(over(s->m, below), 1.0 / (1.0 - pow(o->beta1, k + 1)));
    }
    y = minus(y, times(rate, direction));
    if (c->box)
        y = boxed(y, c->box_lo, c->box_hi);
    return c->ball ? in_ball(y, c->radius) : y;
}

/* F after each step, and its derivatives: LOSSES[k] for k = 1 … STEPS. */
static void reference_loop(const setting *c, dual *losses) {
    dual x = {c->x, 1.0, 0.0}, y0 = {c->z, 0.0, 1.0}, y = y0;
    moments s = {constant(0.0), constant(0.0)};
    for (int k = 0; k < STEPS; k++) {
        y = reference_step(c, x, y, y0, &s, k);
        losses[k + 1] = plus(plus(times(x, times(y, y)), y), times(y0, x));
    }
}

typedef struct world {
    blo_context *context;
    blo_model *upper, *lower;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
} world;

static void set_schedule(world *w) {
    double rates[STEPS];
    blo_tensor *tensor = NULL;
    for (int k = 0; k < STEPS; k++)
        rates[k] = scheduled(k);
    MUST(w->context, blo_tensor_create(w->context, BLO_DOUBLE, 1, (const int64_t[]){STEPS}, rates, &tensor));
    MUST(w->context, blo_lower_solver_set_input(w->solver, "rate", tensor, true));
    blo_tensor_destroy(tensor);
}

static void make(world *w, setting *c) {
    blo_lower_options options;
    *w = (world){.context = open_context(0)};
    MUST(w->context, blo_model_create(w->context, BLO_DOUBLE, &w->upper));
    MUST(w->context, blo_model_create(w->context, BLO_DOUBLE, &w->lower));
    MUST(w->context, blo_model_add(w->upper, "x", 0, NULL));
    MUST(w->context, blo_model_add(w->lower, "y", 0, NULL));
    MUST(w->context, blo_model_set(w->upper, "x", &c->x, 1));
    MUST(w->context, blo_model_set(w->lower, "y", &c->z, 1));
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.optimizer = c->optimizer;
    options.projection = c->box ? BLO_PROJECT_BOX : c->ball ? BLO_PROJECT_BALL : BLO_PROJECT_NONE;
    options.box_lo = c->box_lo;
    options.box_hi = c->box_hi;
    options.ball_radius = c->radius;
    options.learning_rate = c->learned_rate ? learned_rate : c->scheduled_rate ? scheduled_rate : NULL;
    MUST(w->context,
         blo_lower_solver_create(lower_objective, upper_objective, c, w->upper, w->lower, &options, &w->solver));
    MUST(w->context, blo_iapttgm_create(upper_objective, c, w->upper, w->lower, &w->method));
    if (c->scheduled_rate)
        set_schedule(w);
}

static void destroy(world *w) {
    blo_trajectory_destroy(w->trajectory);
    blo_iapttgm_destroy(w->method);
    blo_lower_solver_destroy(w->solver);
    blo_model_destroy(w->lower);
    blo_model_destroy(w->upper);
    blo_context_destroy(w->context);
}

static void close_to(double a, double b) {
    ck_assert_double_eq_tol(a, b, TOLERANCE * fmax(1.0, fmax(fabs(a), fabs(b))));
}

/* Losses of the loop, and hypergradients at every max_loss_iter. */
static void compare(setting *c) {
    world w;
    dual wanted[STEPS + 1];
    double losses[STEPS], g;
    int worst = 0;
    reference_loop(c, wanted);
    make(&w, c);
    MUST(w.context, blo_lower_optimize(w.solver, NULL, NULL, NULL, NULL, &w.trajectory, &worst));
    MUST(w.context, blo_trajectory_losses(w.trajectory, losses, STEPS));
    for (int k = 1; k <= STEPS; k++) {
        double loss;
        close_to(losses[k - 1], wanted[k].v);
        ck_assert_double_le(wanted[k].v, wanted[worst].v + TOLERANCE);
        MUST(w.context, blo_model_zero_gradients(w.upper));
        MUST(w.context, blo_model_zero_gradients(w.lower));
        MUST(w.context, blo_iapttgm_compute_gradients(w.method, NULL, NULL, w.trajectory, &k, &loss));
        close_to(loss, wanted[k].v);
        MUST(w.context, blo_model_get_gradient(w.upper, "x", &g, 1));
        close_to(g, wanted[k].dx);
        MUST(w.context, blo_model_get_gradient(w.lower, "y", &g, 1));
        close_to(g, wanted[k].dz);
    }
    destroy(&w);
}

static setting plain(blo_optimizer_kind kind) {
    setting c = {.x = 1.7, .z = 0.6};
    blo_optimizer_options_default(&c.optimizer, kind);
    c.optimizer.learning_rate = 0.05;
    return c;
}

START_TEST(plain_descent) {
    setting c = plain(BLO_SGD);
    compare(&c);
    c.optimizer.weight_decay = 0.2;
    c.pull = true;
    compare(&c);
}
END_TEST

START_TEST(momentum_and_nesterov) {
    setting c = plain(BLO_SGD);
    c.optimizer.momentum = 0.8;
    compare(&c);
    c.optimizer.nesterov = true;
    c.pull = true;
    compare(&c);
}
END_TEST

START_TEST(adam) {
    setting c = plain(BLO_ADAM);
    compare(&c);
    c.optimizer.weight_decay = 0.1;
    c.pull = true;
    compare(&c);
}
END_TEST

START_TEST(adam_where_the_gradient_is_zero) {
    setting c = plain(BLO_ADAM);
    c.x = 0.0; /* f' = -x cos(xy) = 0: the second moment stays zero */
    compare(&c);
}
END_TEST

START_TEST(a_learned_and_a_scheduled_rate) {
    setting c = plain(BLO_SGD);
    c.learned_rate = true;
    compare(&c);
    c = plain(BLO_SGD);
    c.scheduled_rate = true;
    c.optimizer.momentum = 0.5;
    compare(&c);
}
END_TEST

START_TEST(box_and_ball) {
    setting c = plain(BLO_SGD);
    c.box = true;
    c.box_lo = -1.0;
    c.box_hi = 0.8; /* met on the way up */
    compare(&c);
    c = plain(BLO_SGD);
    c.ball = true;
    c.radius = 0.75;
    c.optimizer.momentum = 0.5;
    compare(&c);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lower steps and their adjoints");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_test(all, plain_descent);
    tcase_add_test(all, momentum_and_nesterov);
    tcase_add_test(all, adam);
    tcase_add_test(all, adam_where_the_gradient_is_zero);
    tcase_add_test(all, a_learned_and_a_scheduled_rate);
    tcase_add_test(all, box_and_ball);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
