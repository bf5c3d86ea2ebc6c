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

/* --- what is not among the cases of the gradient checks --- */

static blo_node *whole(blo_node *x) {
    return blo_cast(x, BLO_INT32);
}

static blo_node *b_gather(blo_node **x) { /* -2 … 5 of 3 or 4 rows */
    return blo_square(blo_gather(x[0], whole(x[1])));
}

static blo_node *b_gather_small(blo_node **x) { /* an index of a byte, of whole numbers */
    return blo_cast(blo_gather(whole(blo_scale(x[0], 3)), blo_cast(x[1], BLO_UINT8)), BLO_DOUBLE);
}

static blo_node *b_scatter(blo_node **x) {
    return blo_square(blo_scatter_add(x[0], whole(x[1]), 3));
}

static blo_node *b_one_hot(blo_node **x) {
    return blo_mul(blo_one_hot(whole(x[1]), 3, BLO_DOUBLE), x[0]);
}

static blo_node *b_compare(blo_node **x) {
    blo_node *any = blo_logical_or(blo_not_equal(x[0], x[1]), blo_equal(x[0], blo_neg(x[1])));
    blo_node *both = blo_logical_and(any, blo_logical_not(blo_less(x[0], x[1])));
    return blo_select(both, x[0], blo_cast(blo_div(whole(x[1]), whole(x[0])), BLO_DOUBLE));
}

static blo_node *b_argmax(blo_node **x) {
    return blo_mul(blo_cast(blo_argmax(x[0]), BLO_DOUBLE), x[1]);
}

static blo_node *b_pool(blo_node **x) { /* the places are of one operand, the cotangent of the other */
    return blo_mul(blo_max_pool2d(x[0], (const int64_t[]){2, 2}, NULL, NULL), blo_square(x[1]));
}

static blo_node *block(blo_node **x) { /* images, the weights of a convolution */
    const int64_t padding[2] = {1, 1}, window[2] = {2, 2};
    blo_node *y = blo_batch_norm(blo_conv2d(x[0], x[1], NULL, padding, NULL, 1), NULL, NULL, 1e-2);
    return blo_max_pool2d(blo_relu(y), window, NULL, NULL);
}

static blo_node *b_network(blo_node **x) { /* a block and the weights of the head */
    const int64_t n = x[0]->shape[0], flat[2] = {n, x[2]->shape[1]};
    blo_node *y = block(x);
    y = blo_dropout(y, 0.3, blo_constant(blo_node_graph(y), BLO_INT32, 2), 7);
    return blo_cross_entropy(blo_linear(blo_reshape(y, 2, flat), x[2], NULL),
                             blo_iota(blo_node_graph(y), BLO_INT32, 1, &n, 0), BLO_REDUCE_MEAN);
}

static blo_node *b_groups(blo_node **x) {
    const int64_t padding[2] = {1, 1};
    blo_node *y = blo_group_norm(blo_conv2d(x[0], x[1], NULL, padding, NULL, 1), 2, x[2], NULL, 1e-2);
    return blo_mean(blo_square(blo_global_avg_pool2d(blo_tanh(y))));
}

static const blo_case more_cases[] = {
    {"gather, out of range", 2, "3|7;4,2|5;3,2,2|2,3;3|;0,2|3", -2, 5, b_gather},
    {"gather whole numbers", 2, "3|7;4,2|2,3", 0, 5, b_gather_small},
    {"scatter_add, out of range", 2, "7|7;5,2|5;2,3,2|2,3;2|;0,2|0", -2, 5, b_scatter},
    {"one_hot", 2, "3|7", -2, 5, b_one_hot},
    {"comparisons", 2, "3,4|3,4;1,4|3,1", 1, 3, b_compare},
    {"argmax", 2, "3,4|3;2,2,5|2", -1, 1, b_argmax},
    {"places and values of max_pool2d", 2, "2,3,4,6|2,3,2,3", -1, 1, b_pool},
    {"a network", 3, "3,2,4,6|4,2,3,3|5,24", -1, 1, b_network},
    {"a network of groups", 3, "3,2,3,2|4,2,3,3|4", -1, 1, b_groups},
};
enum { MORE_CASES = sizeof more_cases / sizeof more_cases[0] };

START_TEST(tasks_at_once_are_tasks_one_by_one) {
    const blo_case *c = _i < blo_n_cases ? &blo_cases[_i] : &more_cases[_i - blo_n_cases];
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

/* --- what stands for what --- */

static blo_node *vector(blo_graph *graph, int64_t n) {
    return blo_graph_input(graph, "v", BLO_DOUBLE, 1, &n);
}

static blo_node *matrix(blo_graph *graph, int64_t m, int64_t n) {
    return blo_graph_input(graph, "m", BLO_DOUBLE, 2, (const int64_t[]){m, n});
}

START_TEST(a_value_inside_can_be_given) { /* the square is given, its operand is not */
    blo_graph *graph;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *x = vector(graph, 2), *square = blo_square(x), *given = matrix(graph, TASKS, 2), *result;
    blo_node *output = blo_add(square, x);
    ck_assert_int_eq(blo_graph_batch(1, &output, 1, &square, &given, TASKS, &result), BLO_OK);
    const double v[2] = {3, 4}, g[2 * TASKS] = {1, 2, 10, 20, 100, 200}, wanted[2 * TASKS] = {4, 6, 13, 24, 103, 204};
    double got[2 * TASKS];
    ck_assert_int_eq(blo_interpret(1, &result, (const void *[]){v, g}, (void *[]){got}), 0);
    ck_assert_mem_eq(got, wanted, sizeof got);
    blo_graph_destroy(graph);
}
END_TEST

START_TEST(what_is_shared_is_computed_once_and_repeated_at_the_end) {
    blo_graph *graph;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *x = vector(graph, 2), *y = vector(graph, 2), *all = matrix(graph, TASKS, 2), *result[2];
    blo_node *shared = blo_exp(x), *outputs[2] = {shared, blo_mul(shared, y)};
    ck_assert_int_eq(blo_graph_batch(2, outputs, 1, &y, &all, TASKS, result), BLO_OK);
    ck_assert(result[0]->op == BLO_OP_BROADCAST && result[0]->in[0] == shared && result[0]->shape[0] == TASKS);
    ck_assert(result[1]->op == BLO_OP_MUL && result[1]->in[0] == result[0]);
    blo_graph_destroy(graph);
}
END_TEST

/* The batch of OUTPUT with TO in the place of FROM fails with STATUS and a sentence that contains PART. */
static void must_fail(blo_node *output, blo_node *from, blo_node *to, int64_t tasks, blo_status status,
                      const char *part) {
    blo_graph *graph = blo_node_graph(output);
    blo_node *result;
    ck_assert_int_eq(blo_graph_batch(1, &output, 1, &from, &to, tasks, &result), status);
    ck_assert_msg(strstr(blo_graph_error(graph), part) != NULL, "'%s'", blo_graph_error(graph));
    blo_graph_destroy(graph);
}

START_TEST(what_does_not_stand_for_it_is_an_error) {
    static const struct {
        int64_t m, n, tasks;
        blo_status status;
        const char *part;
    } mistakes[] = {
        {2, 3, 3, BLO_ERROR_SHAPE, "a batch of 3 tasks: double [2,3] in the place of double [3]"},
        {3, 2, 3, BLO_ERROR_SHAPE, "[3,2] in the place of"},
        {3, 3, 0, BLO_ERROR_ARGUMENT, "at least 1"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        blo_graph *graph;
        ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
        blo_node *x = vector(graph, 3), *all = matrix(graph, mistakes[i].m, mistakes[i].n);
        must_fail(blo_square(x), x, all, mistakes[i].tasks, mistakes[i].status, mistakes[i].part);
    }
}
END_TEST

START_TEST(an_axis_too_many_is_an_error) {
    const int64_t wide[BLO_MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 2};
    for (int shared = 0; shared < 2; shared++) {
        blo_graph *graph;
        ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
        blo_node *x = vector(graph, 2), *all = matrix(graph, TASKS, 2);
        blo_node *other = blo_graph_input(graph, "w", BLO_DOUBLE, BLO_MAX_RANK, wide);
        must_fail(shared ? other : blo_add(other, x), x, all, TASKS, BLO_ERROR_SHAPE, "already has 8 axes");
    }
}
END_TEST

START_TEST(random_numbers_are_shared_or_refused) {
    const int64_t shape[2] = {TASKS, 2}, tasks[1] = {TASKS};
    blo_graph *graph;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *counter = blo_graph_input(graph, "k", BLO_INT32, 0, NULL), *x = vector(graph, 2), *result;
    blo_node *all = matrix(graph, TASKS, 2), *each = blo_graph_input(graph, "each", BLO_INT32, 1, tasks);
    blo_node *u = blo_random_uniform(counter, 5, BLO_DOUBLE, 1, shape + 1), *output = blo_mul(u, x);
    ck_assert_int_eq(blo_graph_batch(1, &output, 1, &x, &all, TASKS, &result), BLO_OK);
    ck_assert(result->op == BLO_OP_MUL && result->in[0]->op == BLO_OP_BROADCAST && result->in[0]->in[0] == u);
    must_fail(output, counter, each, TASKS, BLO_ERROR_UNSUPPORTED, "the counter of random numbers differs");
}
END_TEST

/* --- cheap forms --- */

/* How many of each primitive the outputs need; the largest of them. */
typedef struct census {
    int n[BLO_OP_COUNT];
    int64_t most[BLO_OP_COUNT];
} census;

static census count(int n, blo_node *const *outputs) {
    census c = {.n = {0}};
    const blo_graph *graph = blo_node_graph(outputs[0]);
    bool *live = calloc((size_t)blo_graph_nodes(graph) + 1, sizeof *live);
    ck_assert_ptr_nonnull(live);
    blo_graph_mark_live(n, outputs, live);
    for (int id = 0; id < blo_graph_nodes(graph); id++)
        if (live[id]) {
            const blo_node *node = blo_graph_node(graph, id);
            c.n[node->op]++;
            if (node->count > c.most[node->op])
                c.most[node->op] = node->count;
        }
    free(live);
    return c;
}

/* The batch and its derivatives have as many operations of each kind as one task and its derivatives, but for reshapes,
 * each at most TASKS times as large: no operand is repeated, none is moved. */
static void expect_as_many(blo_node *output, int n, blo_node *const *x, const bool *per_task, const char *what) {
    blo_node *all[MOST_INPUTS], *from[MOST_INPUTS], *to[MOST_INPUTS], *result, *single[1 + MOST_INPUTS],
        *batch[1 + MOST_INPUTS];
    scene s = {.graph = blo_node_graph(output), .n_inputs = n};
    memcpy(s.x, x, (size_t)n * sizeof(blo_node *));
    const int m = open_inputs(&s, per_task, all, from, to);
    ck_assert_int_eq(blo_graph_batch(1, &output, m, from, to, TASKS, &result), BLO_OK);
    single[0] = output;
    batch[0] = result;
    ck_assert_int_eq(blo_gradient(blo_sum(blo_square(output)), n, x, single + 1), BLO_OK);
    ck_assert_int_eq(blo_gradient(blo_sum(blo_square(result)), n, all, batch + 1), BLO_OK);
    const census one = count(1 + n, single), many = count(1 + n, batch);
    for (int op = 0; op < BLO_OP_COUNT; op++)
        if (op != BLO_OP_RESHAPE && op != BLO_OP_INPUT && op != BLO_OP_CONST && op != BLO_OP_IOTA) {
            ck_assert_msg(many.n[op] <= one.n[op], "%s: %d %s, %d of one task", what, many.n[op],
                          blo_op_name((blo_op)op), one.n[op]);
            ck_assert_msg(many.most[op] <= TASKS * one.most[op], "%s: %s of %" PRId64 " elements, %" PRId64 " of one",
                          what, blo_op_name((blo_op)op), many.most[op], one.most[op]);
        }
}

START_TEST(a_batch_takes_the_operations_of_one_task) {
    blo_graph *graph;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *images = blo_graph_input(graph, "images", BLO_DOUBLE, 4, (const int64_t[]){3, 2, 8, 8});
    blo_node *w = blo_graph_input(graph, "w", BLO_DOUBLE, 4, (const int64_t[]){4, 2, 3, 3});
    blo_node *features = matrix(graph, 6, 5), *head = matrix(graph, 4, 5);
    blo_node *flat = blo_reshape(block((blo_node *[]){images, w}), 2, (const int64_t[]){3, 64});
    expect_as_many(flat, 2, (blo_node *[]){images, w}, (const bool[]){true, false}, "images through a shared network");
    expect_as_many(blo_matmul(features, head, false, true), 2, (blo_node *[]){features, head},
                   (const bool[]){true, true}, "a head per task");
    expect_as_many(blo_matmul(features, head, false, true), 2, (blo_node *[]){features, head},
                   (const bool[]){true, false}, "a shared head");
    blo_graph_destroy(graph);
}
END_TEST

START_TEST(one_convolution_is_of_the_images_of_all_tasks) {
    blo_graph *graph;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *x = blo_graph_input(graph, "x", BLO_DOUBLE, 4, (const int64_t[]){2, 1, 6, 6}), *result;
    blo_node *w = blo_graph_input(graph, "w", BLO_DOUBLE, 4, (const int64_t[]){4, 1, 3, 3});
    blo_node *all = blo_graph_input(graph, "all", BLO_DOUBLE, 5, (const int64_t[]){TASKS, 2, 1, 6, 6});
    blo_node *output = blo_conv2d(x, w, NULL, NULL, NULL, 1);
    ck_assert_int_eq(blo_graph_batch(1, &output, 1, &x, &all, TASKS, &result), BLO_OK);
    while (result->op != BLO_OP_CONV)
        result = result->in[0];
    ck_assert_int_eq(result->shape[0], TASKS * 2);
    ck_assert_ptr_eq(result->in[1], w);
    blo_graph_destroy(graph);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("batch");
    TCase *cases = tcase_create("cases");
    tcase_set_timeout(cases, 300);
    tcase_add_loop_test(cases, tasks_at_once_are_tasks_one_by_one, 0, blo_n_cases + MORE_CASES);
    suite_add_tcase(suite, cases);
    TCase *rest = tcase_create("the pass");
    tcase_add_test(rest, a_value_inside_can_be_given);
    tcase_add_test(rest, what_is_shared_is_computed_once_and_repeated_at_the_end);
    tcase_add_test(rest, what_does_not_stand_for_it_is_an_error);
    tcase_add_test(rest, an_axis_too_many_is_an_error);
    tcase_add_test(rest, random_numbers_are_shared_or_refused);
    tcase_add_test(rest, a_batch_takes_the_operations_of_one_task);
    tcase_add_test(rest, one_convolution_is_of_the_images_of_all_tasks);
    suite_add_tcase(suite, rest);
    return run_suite(suite);
}
