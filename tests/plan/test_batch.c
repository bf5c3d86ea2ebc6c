/* Plans of batches of tasks: on the device too, tasks at once are tasks one after another. Networks as few-shot
 * learning has them, in double, with their first derivatives by what is per task and by what is shared, whose sum over
 * the tasks the batch gives. */
#include <math.h>

#include "graph/graph.h"
#include "support.h"

enum { TASKS = 3, IMAGES = 4, CLASSES = 5, FILTERS = 8, MOST = 24 };

/* A network of one task and what goes in: inputs, each per task or shared; the loss and its gradients by all inputs. */
typedef struct scene {
    blo_context *context;
    blo_graph *graph;
    int n;
    blo_node *x[MOST];
    bool per_task[MOST];
    double *data[MOST]; /* [TASKS, shape]; of shared inputs the same in every task */
    uint64_t random;
} scene;

static blo_node *input(scene *s, bool per_task, double scale, int rank, const int64_t *shape) {
    blo_node *made = blo_graph_input(s->graph, "x", BLO_DOUBLE, rank, shape);
    double *data = malloc((size_t)(TASKS * made->count) * sizeof *data);
    ck_assert_ptr_nonnull(data);
    for (int64_t i = 0; i < TASKS * made->count; i++)
        data[i] = per_task || i < made->count ? scale * next_number(&s->random) : data[i - made->count];
    s->per_task[s->n] = per_task;
    s->data[s->n] = data;
    return s->x[s->n++] = made;
}

static scene open_scene(void) {
    scene s = {.context = open_context(1), .random = 20260102};
    ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
    return s;
}

static void close_scene(scene *s) {
    for (int i = 0; i < s->n; i++)
        free(s->data[i]);
    blo_graph_destroy(s->graph);
    blo_context_destroy(s->context);
}

/* OUTPUTS[n] with input i bound to its place in BOUND; results into VALUES[n]. */
static void run(const scene *s, int n, blo_node *const *outputs, blo_node *const *bound, const double *const *data,
                double **values) {
    blo_function *function;
    blo_tensor *in[4 * MOST] = {NULL}, *out[1 + MOST];
    MUST(s->context, blo_function_create(s->context, n, outputs, &function));
    for (int i = 0; i < s->n; i++)
        MUST(s->context, blo_tensor_create(s->context, BLO_DOUBLE, bound[i]->rank, bound[i]->shape, data[i],
                                           &in[bound[i]->attr.input]));
    for (int i = 0; i < n; i++)
        MUST(s->context, blo_tensor_create(s->context, BLO_DOUBLE, outputs[i]->rank, outputs[i]->shape, NULL, &out[i]));
    MUST(s->context, blo_function_call(function, blo_graph_inputs(s->graph), in, n, out));
    for (int i = 0; i < n; i++) {
        MUST(s->context, blo_tensor_download(out[i], values[i], blo_tensor_bytes(out[i])));
        blo_tensor_destroy(out[i]);
    }
    for (int i = 0; i < s->n; i++)
        blo_tensor_destroy(in[bound[i]->attr.input]);
    blo_function_destroy(function);
}

/* ONE: the loss and its gradients, task by task, [TASKS, shape]; shared inputs' summed into the first. */
static void run_one_by_one(const scene *s, blo_node *const *outputs, double **one) {
    for (int task = 0; task < TASKS; task++) {
        const double *data[MOST];
        double *values[1 + MOST];
        for (int i = 0; i < s->n; i++)
            data[i] = s->data[i] + task * s->x[i]->count;
        for (int i = 0; i <= s->n; i++)
            values[i] = one[i] + task * outputs[i]->count;
        run(s, 1 + s->n, outputs, s->x, data, values);
    }
    for (int i = 0; i < s->n; i++)
        for (int64_t j = s->x[i]->count; !s->per_task[i] && j < TASKS * s->x[i]->count; j++)
            one[1 + i][j % s->x[i]->count] += one[1 + i][j];
}

static void expect_near(const double *got, const double *wanted, int64_t count, int which) {
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(wanted[i]));
    for (int64_t i = 0; i < count; i++)
        ck_assert_msg(fabs(got[i] - wanted[i]) <= 1e-12 * fmax(1, most),
                      "output %d element %lld is %.17g at once, %.17g one by one", which, (long long)i, got[i],
                      wanted[i]);
}

/* Tasks at once give LOSS and its gradients as they are one by one. */
static void check(scene *s, blo_node *loss) {
    blo_node *outputs[1 + MOST] = {loss}, *all[MOST], *from[MOST], *to[MOST], *batch[1 + MOST];
    double *one[1 + MOST], *at_once[1 + MOST];
    const double *data[MOST];
    int m = 0;
    MUST(s->context, blo_gradient(loss, s->n, s->x, outputs + 1));
    for (int i = 0; i < s->n; i++) {
        int64_t shape[BLO_MAX_RANK + 1] = {TASKS};
        memcpy(shape + 1, s->x[i]->shape, (size_t)s->x[i]->rank * sizeof *shape);
        all[i] = s->per_task[i] ? blo_graph_input(s->graph, "all", BLO_DOUBLE, s->x[i]->rank + 1, shape) : s->x[i];
        data[i] = s->data[i];
        if (s->per_task[i]) {
            from[m] = s->x[i];
            to[m++] = all[i];
        }
    }
    MUST(s->context, blo_graph_batch(1, &loss, m, from, to, TASKS, batch));
    MUST(s->context, blo_gradient(blo_sum(batch[0]), s->n, all, batch + 1));
    for (int i = 0; i <= s->n; i++) {
        one[i] = malloc((size_t)(TASKS * outputs[i]->count) * sizeof(double));
        at_once[i] = malloc((size_t)(TASKS * outputs[i]->count) * sizeof(double));
        ck_assert(one[i] && at_once[i]);
    }
    run_one_by_one(s, outputs, one);
    run(s, 1 + s->n, batch, all, data, at_once);
    for (int i = 0; i <= s->n; i++) {
        expect_near(at_once[i], one[i], batch[i]->count, i);
        free(one[i]);
        free(at_once[i]);
    }
}

typedef enum norm { BATCH_NORM, GROUP_NORM } norm;

/* BLOCKS of convolution, normalisation, relu and pooling of images of side 2^BLOCKS, to [IMAGES,FILTERS]; the
 * parameters per task or shared. */
static blo_node *features(scene *s, blo_node *x, int blocks, norm kind, bool per_task) {
    static const int64_t padding[2] = {1, 1}, window[2] = {2, 2}, flat[2] = {IMAGES, FILTERS};
    for (int i = 0; i < blocks; i++) {
        const int64_t shape[4] = {FILTERS, x->shape[1], 3, 3};
        blo_node *w = input(s, per_task, 0.5, 4, shape), *scale = blo_shift(input(s, per_task, 0.3, 1, shape), 1),
                 *shift = input(s, per_task, 0.3, 1, shape);
        x = blo_conv2d(x, w, NULL, padding, NULL, 1);
        x = kind == BATCH_NORM ? blo_batch_norm(x, scale, shift, 1e-5) : blo_group_norm(x, 2, scale, shift, 1e-5);
        x = blo_max_pool2d(blo_relu(x), window, NULL, NULL);
    }
    return blo_reshape(x, 2, flat);
}

static void check_network(int blocks, norm kind, bool all_per_task) {
    const int64_t images[4] = {IMAGES, 1, 1 << blocks, 1 << blocks}, head[2] = {CLASSES, FILTERS}, count[1] = {IMAGES};
    scene s = open_scene();
    blo_node *x = input(&s, true, 1, 4, images), *y = features(&s, x, blocks, kind, all_per_task),
             *w = input(&s, true, 1, 2, head), *b = input(&s, true, 1, 1, head);
    blo_node *target = blo_iota(s.graph, BLO_INT32, 1, count, 0);
    check(&s, blo_cross_entropy(blo_linear(y, w, b), target, BLO_REDUCE_MEAN));
    close_scene(&s);
}

START_TEST(heads_on_a_shared_network_of_batch_norm) {
    check_network(4, BATCH_NORM, false);
}
END_TEST

START_TEST(heads_on_a_shared_network_of_group_norm) {
    check_network(2, GROUP_NORM, false);
}
END_TEST

START_TEST(a_whole_network_per_task) {
    check_network(2, BATCH_NORM, true);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plans of batches");
    TCase *networks = tcase_create("networks");
    tcase_set_timeout(networks, 300);
    tcase_add_test(networks, heads_on_a_shared_network_of_batch_norm);
    tcase_add_test(networks, heads_on_a_shared_network_of_group_norm);
    tcase_add_test(networks, a_whole_network_per_task);
    suite_add_tcase(suite, networks);
    return run_suite(suite);
}
