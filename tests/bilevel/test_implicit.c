/* Implicit differentiation by conjugate gradients, on the schedule alone: no objective, no model, no trajectory. The
 * lower problem min over y of y'Ay/2 - x'y has y* = inv(A) x; the hypergradient of F = |y* - t|^2 / 2 is inv(A) (y* -
 * t). A is a diagonal plus the product u u', whose inverse is known in closed form (Sherman and Morrison). */
#include <math.h>

#include "../support.h"
#include "schedule/schedule.h"

enum { N = 8, N_STATE = 4 };

static const double TOLERANCE = 1e-9;

typedef struct quadratic {
    double diagonal[N], u[N], a[N * N];
} quadratic;

static quadratic make_quadratic(void) {
    quadratic q;
    uint64_t seed = 21;
    for (int i = 0; i < N; i++) {
        q.diagonal[i] = 2.0 + next_number(&seed);
        q.u[i] = next_number(&seed);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            q.a[i * N + j] = q.u[i] * q.u[j] + (i == j ? q.diagonal[i] : 0.0);
    return q;
}

/* SOLUTION = inv(A) B. */
static void solve_exactly(const quadratic *q, const double *b, double *solution) {
    double ub = 0.0, uu = 0.0;
    for (int i = 0; i < N; i++) {
        ub += q->u[i] * b[i] / q->diagonal[i];
        uu += q->u[i] * q->u[i] / q->diagonal[i];
    }
    for (int i = 0; i < N; i++)
        solution[i] = (b[i] - q->u[i] * ub / (1.0 + uu)) / q->diagonal[i];
}

typedef struct solver {
    blo_context *context;
    blo_plan *step, *observe;
    blo_source step_sources[N_STATE + 1], observe_sources[N_STATE + 1];
    blo_buffer *a;
    blo_loop *loop;
} solver;

/* One step of conjugate gradients: state s [N], r [N], p [N], rr []; then A [N,N]. A residual of 0 stays where it is.
 */
static void trace_step(blo_graph *graph, blo_node **next) {
    const int64_t vector[1] = {N}, matrix[2] = {N, N};
    blo_node *s = blo_graph_input(graph, "s", BLO_DOUBLE, 1, vector),
             *r = blo_graph_input(graph, "r", BLO_DOUBLE, 1, vector);
    blo_node *p = blo_graph_input(graph, "p", BLO_DOUBLE, 1, vector),
             *rr = blo_graph_input(graph, "rr", BLO_DOUBLE, 0, NULL);
    blo_node *a = blo_graph_input(graph, "a", BLO_DOUBLE, 2, matrix);
    blo_node *zero = blo_constant(graph, BLO_DOUBLE, 0.0), *one = blo_constant(graph, BLO_DOUBLE, 1.0);
    blo_node *done = blo_equal(rr, zero);
    blo_node *column = blo_reshape(p, 2, (const int64_t[]){N, 1});
    blo_node *ap = blo_reshape(blo_matmul(a, column, false, false), 1, vector);
    blo_node *alpha = blo_select(done, zero, blo_div(rr, blo_select(done, one, blo_dot(p, ap))));
    next[0] = blo_add(s, blo_mul(alpha, p));
    next[1] = blo_sub(r, blo_mul(alpha, ap));
    next[3] = blo_dot(next[1], next[1]);
    blo_node *beta = blo_select(done, zero, blo_div(next[3], blo_select(done, one, rr)));
    next[2] = blo_add(next[1], blo_mul(beta, p));
}

static void make_solver(solver *s, const quadratic *q) {
    blo_graph *graph = NULL;
    blo_node *next[N_STATE];
    const uint64_t bytes[N_STATE] = {N * sizeof(double), N * sizeof(double), N * sizeof(double), sizeof(double)};
    *s = (solver){.context = open_context(0)};
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    trace_step(graph, next);
    ck_assert_str_eq(blo_graph_error(graph), "");
    blo_node *residual = blo_graph_input_at(graph, 3);
    MUST(s->context, blo_plan_create(s->context, N_STATE, next, NULL, &s->step));
    MUST(s->context, blo_plan_create(s->context, 1, &residual, NULL, &s->observe));
    blo_graph_destroy(graph);
    MUST(s->context, blo_buffer_create(s->context, sizeof q->a, &s->a));
    MUST(s->context, blo_buffer_write(s->context, s->a, 0, sizeof q->a, q->a));
    for (int i = 0; i < N_STATE; i++)
        s->step_sources[i] = s->observe_sources[i] = (blo_source){.kind = BLO_SOURCE_STATE, .index = i};
    s->step_sources[N_STATE] = (blo_source){.kind = BLO_SOURCE_FIXED, .place = {s->a, 0}};
    s->observe_sources[N_STATE] = (blo_source){.kind = BLO_SOURCE_UNUSED};
    uint64_t scratch = blo_plan_scratch_bytes(s->step), other = blo_plan_scratch_bytes(s->observe);
    const blo_loop_layout layout = {.steps = N,
                                    .n_state = N_STATE,
                                    .state_bytes = bytes,
                                    .observed = BLO_DOUBLE,
                                    .scratch_bytes = scratch > other ? scratch : other};
    MUST(s->context, blo_loop_create(s->context, &layout, &s->loop));
}

static void destroy_solver(solver *s) {
    blo_loop_destroy(s->loop);
    blo_buffer_release(s->a);
    blo_plan_destroy(s->observe);
    blo_plan_destroy(s->step);
    blo_context_destroy(s->context);
}

static void write_state(solver *s, int i, const void *values, size_t bytes) {
    blo_place place = blo_loop_begin(s->loop, i);
    MUST(s->context, blo_buffer_write(s->context, (blo_buffer *)place.buffer, (size_t)place.offset, bytes, values));
}

/* N steps from zero: SOLUTION = inv(A) B; RESIDUALS[N]: |r|^2 after each. */
static void conjugate_gradients(solver *s, const double *b, double *solution, double *residuals) {
    const double zeros[N] = {0};
    double rr = 0.0;
    blo_place places[N_STATE];
    const blo_stage step = {.plan = s->step, .sources = s->step_sources},
                    observe = {.plan = s->observe, .sources = s->observe_sources};
    for (int i = 0; i < N; i++)
        rr += b[i] * b[i];
    write_state(s, 0, zeros, sizeof zeros);
    write_state(s, 1, b, N * sizeof *b);
    write_state(s, 2, b, N * sizeof *b);
    write_state(s, 3, &rr, sizeof rr);
    MUST(s->context, blo_loop_run(s->loop, &step, &observe, true));
    MUST(s->context, blo_loop_observed(s->loop, residuals));
    MUST(s->context, blo_loop_state(s->loop, &step, N, places));
    MUST(s->context,
         blo_buffer_read(s->context, places[0].buffer, (size_t)places[0].offset, N * sizeof *solution, solution));
}

START_TEST(the_hypergradient_of_a_quadratic) {
    const quadratic q = make_quadratic();
    double x[N], t[N], y[N], wanted_y[N], difference[N], g[N], wanted_g[N], residuals[N];
    uint64_t seed = 5;
    solver s;
    for (int i = 0; i < N; i++) {
        x[i] = next_number(&seed);
        t[i] = next_number(&seed);
    }
    make_solver(&s, &q);

    conjugate_gradients(&s, x, y, residuals);
    solve_exactly(&q, x, wanted_y);
    for (int i = 0; i < N; i++) {
        ck_assert_double_eq_tol(y[i], wanted_y[i], TOLERANCE);
        difference[i] = y[i] - t[i];
    }
    ck_assert_double_lt(residuals[N - 1], 1e-18);
    ck_assert_double_gt(residuals[0], residuals[N - 1]);

    conjugate_gradients(&s, difference, g, residuals);
    solve_exactly(&q, difference, wanted_g);
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(g[i], wanted_g[i], TOLERANCE);
    destroy_solver(&s);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("implicit differentiation on the schedule");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, the_hypergradient_of_a_quadratic);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
