/* Batches of tasks: what blo_graph_batch() gives is, task by task, what the graph of one task gives. Every case of
 * support/cases.c with its first and second derivatives, each operand per task or shared, taken before batching and
 * after; what is no case (indices that are out of range, whole numbers, random numbers); and that the forms are cheap.
 * All by the interpreter; the device's part is tests/plan/test_batch.c. */
#include <inttypes.h>
#include <math.h>

#include "graph/graph.h"
#include "support.h"
#include "support/cases.h"
#include "support/interpret.h"

enum { TASKS = 3, MOST_INPUTS = 3, MOST_OUTPUTS = 1 + 2 * MOST_INPUTS, MOST_BOUND = 2 * MOST_INPUTS };
static const double tolerance = 1e-12;

/* A computation of one task: its outputs and what TASKS tasks put in. */
typedef struct scene {
    blo_graph *graph;
    int n_inputs, n_outputs;
    blo_node *x[MOST_INPUTS], *outputs[MOST_OUTPUTS]; /* the value; then its gradients, then theirs */
    double *data[MOST_INPUTS];                        /* [TASKS, shape] */
    double *truth[MOST_OUTPUTS];                      /* [TASKS, shape] */
    uint64_t random;
} scene;

static double *numbers(int64_t count) {
    double *made = calloc((size_t)count + 1, sizeof *made);
    ck_assert_ptr_nonnull(made);
    return made;
}

/* In [LO,HI]; COARSE: multiples of a half, so that there are ties. */
static void draw(scene *s, double *to, int64_t count, double lo, double hi, bool coarse) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = lo + (hi - lo) * (next_number(&s->random) + 1) / 2;
        if (coarse)
            to[i] = floor(2 * to[i] + 0.5) / 2;
    }
}

/* Sum of A times weights without pattern, the same in each task where A has an axis of TASKS in front. */
static blo_node *weighted_sum(blo_node *a, bool of_all) {
    int64_t shape[BLO_MAX_RANK];
    const int first = of_all ? 1 : 0, rank = a->rank - first;
    memcpy(shape, a->shape + first, (size_t)rank * sizeof *shape);
    blo_node *w = blo_full(a->graph, BLO_DOUBLE, 0.7, rank, shape);
    for (int axis = 0; axis < rank; axis++) {
        blo_node *at = blo_iota(a->graph, BLO_DOUBLE, rank, shape, axis);
        w = blo_mul(w, blo_shift(blo_sin(blo_shift(blo_scale(at, 3), 1 + axis)), 1.5));
    }
    return blo_sum(blo_mul(a, blo_broadcast_to(w, a->rank, a->shape)));
}

/* The gradients of the weighted sum of OF[n] by X[n_x]. OF_ALL[i]: OF[i] has an axis of tasks. */
static void gradients(int n, blo_node *const *of, const bool *of_all, int n_x, blo_node *const *x, blo_node **g) {
    blo_node *sum = weighted_sum(of[0], of_all[0]);
    for (int i = 1; i < n; i++)
        sum = blo_add(sum, weighted_sum(of[i], of_all[i]));
    ck_assert_msg(blo_gradient(sum, n_x, x, g) == BLO_OK, "%s", blo_graph_error(blo_node_graph(of[0])));
}

static bool open_scene(scene *s, const blo_case *c, int variant, bool coarse) {
    static const bool none[MOST_INPUTS] = {false};
    int64_t shape[BLO_MAX_RANK];
    *s = (scene){.n_inputs = c->n, .n_outputs = 1 + 2 * c->n, .random = 20260101};
    if (blo_case_shape(c, variant, 0, shape) < 0)
        return false;
    ck_assert_int_eq(blo_graph_create(&s->graph), BLO_OK);
    for (int i = 0; i < c->n; i++) {
        int rank = blo_case_shape(c, variant, i, shape);
        s->x[i] = blo_graph_input(s->graph, "x", BLO_DOUBLE, rank, shape);
        s->data[i] = numbers(TASKS * s->x[i]->count);
        draw(s, s->data[i], TASKS * s->x[i]->count, c->lo, c->hi, coarse);
    }
    s->outputs[0] = c->build(s->x);
    gradients(1, s->outputs, none, c->n, s->x, s->outputs + 1);
    gradients(c->n, s->outputs + 1, none, c->n, s->x, s->outputs + 1 + c->n);
    for (int i = 0; i < s->n_outputs; i++)
        s->truth[i] = numbers(TASKS * s->outputs[i]->count);
    return true;
}

static void close_scene(scene *s) {
    for (int i = 0; i < s->n_inputs; i++)
        free(s->data[i]);
    for (int i = 0; i < s->n_outputs; i++)
        free(s->truth[i]);
    blo_graph_destroy(s->graph);
}

/* The truth: one task after the other; inputs that are not PER_TASK are those of task 0. */
static void run_one_by_one(scene *s, const bool *per_task) {
    for (int task = 0; task < TASKS; task++) {
        const void *in[MOST_BOUND] = {NULL};
        void *out[MOST_OUTPUTS];
        for (int i = 0; i < s->n_inputs; i++)
            in[i] = s->data[i] + (per_task[i] ? task * s->x[i]->count : 0);
        for (int i = 0; i < s->n_outputs; i++)
            out[i] = s->truth[i] + task * s->outputs[i]->count;
        ck_assert_int_eq(blo_interpret(s->n_outputs, s->outputs, in, out), 0);
    }
}

static bool near(double a, double b, double scale) {
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= tolerance * fmax(1, scale);
}

/* RESULT is the truth of output WHICH, [TASKS, shape]; SUMMED: the sum over the tasks, [shape]. */
static void check(const scene *s, blo_node *const *all, blo_node *result, int which, bool summed, const char *what) {
    const void *in[64] = {NULL};
    const int64_t count = s->outputs[which]->count, wanted = summed ? count : TASKS * count;
    double *got = numbers(wanted), most = 0;
    void *out[1] = {got};
    ck_assert_msg(result->count == wanted && result->rank == s->outputs[which]->rank + (summed ? 0 : 1),
                  "%s: output %d has %" PRId64 " elements and %d axes", what, which, result->count, result->rank);
    for (int i = 0; i < s->n_inputs; i++)
        in[s->x[i]->attr.input] = in[all[i]->attr.input] = s->data[i];
    ck_assert_int_eq(blo_interpret(1, &result, in, out), 0);
    for (int64_t i = 0; i < TASKS * count; i++)
        most = fmax(most, fabs(s->truth[which][i]));
    for (int64_t i = 0; i < wanted; i++) {
        double truth = s->truth[which][i];
        for (int task = 1; summed && task < TASKS; task++)
            truth += s->truth[which][task * count + i];
        ck_assert_msg(near(got[i], truth, most),
                      "%s: output %d element %" PRId64 " of %" PRId64 " is %.17g; one by one %.17g", what, which, i,
                      wanted, got[i], truth);
    }
    free(got);
}

/* ALL[i]: the input of all tasks in the place of input i, or the input itself where it is shared. */
static int open_inputs(const scene *s, const bool *per_task, blo_node **all, blo_node **from, blo_node **to) {
    int m = 0;
    for (int i = 0; i < s->n_inputs; i++) {
        int64_t shape[BLO_MAX_RANK + 1] = {TASKS};
        memcpy(shape + 1, s->x[i]->shape, (size_t)s->x[i]->rank * sizeof *shape);
        all[i] = per_task[i] ? blo_graph_input(s->graph, "all", s->x[i]->dtype, s->x[i]->rank + 1, shape) : s->x[i];
        if (per_task[i]) {
            from[m] = s->x[i];
            to[m++] = all[i];
        }
    }
    return m;
}

static void check_batch(scene *s, const bool *per_task, bool differentiate, const char *what) {
    blo_node *all[MOST_INPUTS], *from[MOST_INPUTS], *to[MOST_INPUTS], *results[MOST_OUTPUTS], *g[MOST_OUTPUTS];
    const bool of_all = true;
    run_one_by_one(s, per_task);
    const int m = open_inputs(s, per_task, all, from, to), n = s->n_inputs;
    ck_assert_msg(blo_graph_batch(s->n_outputs, s->outputs, m, from, to, TASKS, results) == BLO_OK, "%s: %s", what,
                  blo_graph_error(s->graph));
    for (int i = 0; i < s->n_outputs; i++)
        check(s, all, results[i], i, false, what);
    if (!differentiate)
        return;
    gradients(1, results, &of_all, n, all, g);
    gradients(n, g, per_task, n, all, g + n);
    for (int i = 0; i < 2 * n; i++)
        check(s, all, g[i], 1 + i, !per_task[i % n], what);
}

START_TEST(tasks_at_once_are_tasks_one_by_one) {
    const blo_case *c = &blo_cases[_i];
    scene s;
    for (int coarse = 0; coarse < 2; coarse++)
        for (int variant = 0; open_scene(&s, c, variant, coarse); variant++) {
            for (int which = 1; which < 1 << c->n; which++) {
                char what[160];
                const bool per_task[MOST_INPUTS] = {which & 1, which & 2, which & 4};
                snprintf(what, sizeof what, "%s variant %d%s, tasks in inputs %d", c->name, variant,
                         coarse ? ", coarse" : "", which);
                check_batch(&s, per_task, true, what);
            }
            close_scene(&s);
        }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("batch");
    TCase *cases = tcase_create("cases");
    tcase_set_timeout(cases, 300);
    tcase_add_loop_test(cases, tasks_at_once_are_tasks_one_by_one, 0, blo_n_cases);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
