/* Plans on the device against the plain-C interpreter: random graphs of every primitive, shapes odd, empty and
 * one-element, each compiled and run; fusion and grouping must not change what comes out. Prints its seed. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <clbilevel/clbilevel.h>

#include "device/opencl.h"
#include "graph/graph.h"
#include "support/interpret.h"

enum { MAX_NODES = 64, MAX_OUTPUTS = 6, MAX_INPUTS = 8 };

static uint64_t random_state;

static uint32_t draw(uint32_t bound) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static double draw_real(void) {
    return (double)draw(1u << 20) / (1u << 19) - 1;
}

typedef struct scene {
    blo_graph *graph;
    int n_nodes, n_inputs;
    blo_node *nodes[MAX_NODES];
    blo_node *inputs[MAX_INPUTS];
} scene;

static blo_node *pick(const scene *s, bool floating) {
    for (;;) {
        blo_node *node = s->nodes[draw((uint32_t)s->n_nodes)];
        if (!floating || blo_node_dtype(node) <= BLO_DOUBLE)
            return node;
    }
}

static int64_t draw_extent(void) {
    static const int64_t extents[] = {1, 2, 3, 5, 10, 70, 0};
    return extents[draw(draw(12) ? 6 : 7)];
}

static void add_input(scene *s, blo_dtype dtype) {
    int64_t shape[3];
    int rank = (int)draw(4);
    for (int i = 0; i < rank; i++)
        shape[i] = draw_extent();
    char name[8];
    snprintf(name, sizeof name, "i%d", s->n_inputs);
    blo_node *node = blo_graph_input(s->graph, name, dtype, rank, shape);
    s->inputs[s->n_inputs++] = node;
    s->nodes[s->n_nodes++] = node;
}

/* Two operands that broadcast: the second is made from the first's shape. */
static blo_node *partner(const scene *s, blo_node *a) {
    blo_node *b = pick(s, true);
    if (blo_node_dtype(b) != blo_node_dtype(a))
        b = blo_cast(b, blo_node_dtype(a));
    if (blo_node_rank(a) == blo_node_rank(b) &&
        !memcmp(blo_node_shape(a), blo_node_shape(b), (size_t)blo_node_rank(a) * sizeof(int64_t)))
        return b;
    b = blo_sum(b);
    return blo_broadcast_to(b, blo_node_rank(a), blo_node_shape(a));
}

static blo_node *reduce(blo_node *a) {
    int axes[BLO_MAX_RANK], n = 0;
    for (int i = 0; i < blo_node_rank(a); i++)
        if (draw(2))
            axes[n++] = i;
    for (int i = 0; i < n; i++)
        if (blo_node_shape(a)[axes[i]] == 0)
            return blo_sum_axes(a, n, axes, draw(2));
    return draw(2) ? blo_sum_axes(a, n, axes, draw(2)) : blo_max_axes(a, n, axes, draw(2));
}

static blo_node *move(blo_node *a) {
    int rank = blo_node_rank(a), order[BLO_MAX_RANK];
    int64_t low[BLO_MAX_RANK], high[BLO_MAX_RANK], step[BLO_MAX_RANK], interior[BLO_MAX_RANK], flat[1] = {-1};
    for (int i = 0; i < rank; i++) {
        int64_t extent = blo_node_shape(a)[i];
        order[i] = (i + 1) % rank;
        low[i] = extent > 1 ? (int64_t)draw(2) : 0;
        high[i] = extent;
        step[i] = 1 + (int64_t)draw(2);
    }
    switch (draw(4)) {
    case 0: return blo_permute(a, order);
    case 1: return blo_slice(a, low, high, step);
    case 2:
        for (int i = 0; i < rank; i++) {
            low[i] = draw(2);
            high[i] = draw(2);
            interior[i] = draw(2);
        }
        return blo_pad(a, low, high, interior);
    default:
        for (int i = 0; i < rank; i++)
            if (blo_node_shape(a)[i] == 0)
                return a;
        return blo_reshape(a, 1, flat);
    }
}

static blo_node *row_softmax(blo_node *a) {
    int last[1] = {-1};
    if (blo_node_rank(a) == 0 || blo_node_shape(a)[blo_node_rank(a) - 1] == 0)
        return a;
    blo_node *e = blo_exp(blo_sub(a, blo_max_axes(a, 1, last, true)));
    return blo_div(e, blo_sum_axes(e, 1, last, true));
}

static blo_node *product(const scene *s, blo_node *a) {
    if (blo_node_rank(a) < 2)
        return a;
    bool ta = draw(2), tb = draw(2);
    int rank = blo_node_rank(a);
    int64_t k = blo_node_shape(a)[ta ? rank - 2 : rank - 1], n = 1 + draw(12), shape[2] = {tb ? n : k, tb ? k : n};
    blo_node *b = blo_sum(blo_cast(pick(s, true), blo_node_dtype(a)));
    b = blo_add(blo_broadcast_to(blo_tanh(b), 2, shape),
                blo_sin(blo_iota(s->graph, blo_node_dtype(a), 2, shape, (int)draw(2))));
    return blo_matmul(a, b, ta, tb);
}

static blo_node *gather(const scene *s, blo_node *a) {
    if (blo_node_rank(a) == 0)
        return a;
    int64_t rows = blo_node_shape(a)[0], shape[1] = {1 + draw(9)};
    blo_node *index = blo_cast(blo_scale(blo_iota(s->graph, BLO_DOUBLE, 1, shape, 0), 0.4), BLO_INT32);
    return draw(2) && rows > 0 ? blo_scatter_add(blo_gather(a, index), index, rows) : blo_gather(a, index);
}

static blo_node *grow(const scene *s) {
    blo_node *a = pick(s, true);
    switch (draw(14)) {
    case 0: return blo_add(a, partner(s, a));
    case 1: return blo_mul(a, partner(s, a));
    case 2: return blo_sub(a, partner(s, a));
    case 3: return blo_select(blo_less(a, partner(s, a)), a, partner(s, a));
    case 4: return blo_maximum(a, partner(s, a));
    case 5: return blo_tanh(a);
    case 6: return blo_sigmoid(a);
    case 7: return blo_sin(blo_scale(a, 0.7));
    case 8: return reduce(a);
    case 9: return move(a);
    case 10: return row_softmax(blo_tanh(a));
    case 11: return product(s, blo_tanh(a));
    case 12: return gather(s, a);
    default: return blo_cast(a, draw(2) ? BLO_FLOAT : BLO_DOUBLE);
    }
}

static void fill(void *data, blo_dtype dtype, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double value = draw_real();
        switch (dtype) {
        case BLO_FLOAT: ((float *)data)[i] = (float)value; break;
        case BLO_DOUBLE: ((double *)data)[i] = value; break;
        case BLO_INT32: ((int32_t *)data)[i] = (int32_t)(value * 5); break;
        case BLO_UINT8: ((uint8_t *)data)[i] = (uint8_t)(draw(256)); break;
        }
    }
}

static double element(const void *data, blo_dtype dtype, int64_t i) {
    switch (dtype) {
    case BLO_FLOAT: return (double)((const float *)data)[i];
    case BLO_DOUBLE: return ((const double *)data)[i];
    case BLO_INT32: return ((const int32_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

/* Largest allowed difference: sums in another order, and functions of another library; float values may have passed
 * anywhere. */
static void compare(const void *got, const void *wanted, const blo_node *node, uint64_t seed) {
    for (int64_t i = 0; i < node->count; i++) {
        double a = element(got, node->dtype, i), b = element(wanted, node->dtype, i);
        bool same = (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-4 * fmax(1, fmax(fabs(a), fabs(b)));
        ck_assert_msg(same, "seed %" PRIu64 ": %s node %d element %" PRId64 " is %.9g, the interpreter has %.9g", seed,
                      blo_op_name(node->op), node->id, i, a, b);
    }
}

/* Runs the outputs on the device and in the interpreter, and frees the scene. */
static void run_outputs(blo_context *context, const scene *s, int n, blo_node **outputs, uint64_t seed) {
    blo_tensor *in[MAX_INPUTS] = {0}, *out[MAX_OUTPUTS] = {0};
    void *host_in[MAX_INPUTS] = {0}, *host_out[MAX_OUTPUTS] = {0};
    for (int i = 0; i < s->n_inputs; i++) {
        host_in[i] = malloc((size_t)s->inputs[i]->count * 8 + 8);
        fill(host_in[i], s->inputs[i]->dtype, s->inputs[i]->count);
        ck_assert_int_eq(blo_tensor_create(context, s->inputs[i]->dtype, s->inputs[i]->rank, s->inputs[i]->shape,
                                           host_in[i], &in[i]),
                         BLO_OK);
    }
    for (int i = 0; i < n; i++) {
        host_out[i] = malloc((size_t)outputs[i]->count * 8 + 8);
        ck_assert_int_eq(
            blo_tensor_create(context, outputs[i]->dtype, outputs[i]->rank, outputs[i]->shape, NULL, &out[i]), BLO_OK);
    }
    blo_function *function = NULL;
    ck_assert_msg(blo_function_create(context, n, outputs, &function) == BLO_OK, "seed %" PRIu64 ": %s", seed,
                  blo_context_error(context));
    ck_assert_msg(blo_function_call(function, s->n_inputs, in, n, out) == BLO_OK, "seed %" PRIu64 ": %s", seed,
                  blo_context_error(context));
    ck_assert_int_eq(blo_interpret(n, outputs, (const void *const *)host_in, host_out), 0);
    for (int i = 0; i < n; i++) {
        void *got = malloc(blo_tensor_bytes(out[i]) + 8);
        ck_assert_int_eq(blo_tensor_download(out[i], got, blo_tensor_bytes(out[i])), BLO_OK);
        compare(got, host_out[i], outputs[i], seed);
        free(got);
    }
    blo_function_destroy(function);
    for (int i = 0; i < MAX_INPUTS; i++) {
        blo_tensor_destroy(in[i]);
        free(host_in[i]);
    }
    for (int i = 0; i < MAX_OUTPUTS; i++) {
        blo_tensor_destroy(out[i]);
        free(host_out[i]);
    }
    blo_graph_destroy(s->graph);
}

static void run_scene(blo_context *context, uint64_t seed) {
    random_state = seed;
    scene s = {0};
    ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
    for (int i = 0; i < 3; i++)
        add_input(&s, (blo_dtype)draw(2));
    add_input(&s, BLO_UINT8);
    int target = 6 + (int)draw(24);
    while (s.n_nodes < target) {
        blo_node *node = grow(&s);
        ck_assert_msg(node != NULL, "seed %" PRIu64 ": %s", seed, blo_graph_error(s.graph));
        if (node->count <= 3000 && node->rank <= 4)
            s.nodes[s.n_nodes++] = node;
    }
    int n = 1 + (int)draw(MAX_OUTPUTS - 1);
    blo_node *outputs[MAX_OUTPUTS];
    for (int i = 0; i < n; i++)
        outputs[i] = i == 0 ? s.nodes[s.n_nodes - 1] : s.nodes[draw((uint32_t)s.n_nodes)];
    run_outputs(context, &s, n, outputs, seed);
}

/* --- work on the rows of a narrow product --- */

static blo_node *take_input(scene *s, const char *name, blo_dtype dtype, int rank, const int64_t *shape) {
    return s->inputs[s->n_inputs++] = blo_graph_input(s->graph, name, dtype, rank, shape);
}

/* One more value of the rows: of X [M,N] and a row bias [N], or a reduction of a row, or a mix of rows, which cannot
 * stay in them. */
static blo_node *grow_row(const scene *s, blo_node *bias) {
    static const int last[1] = {-1};
    blo_node *x = pick(s, true);
    switch (draw(11)) {
    case 0: return blo_add(x, bias);
    case 1: return blo_mul(x, pick(s, true));
    case 2: return blo_tanh(x);
    case 3: return row_softmax(blo_tanh(x));
    case 4: return blo_broadcast_to(blo_sum_axes(x, 1, last, true), 2, s->nodes[0]->shape);
    case 5: return blo_broadcast_to(blo_max_axes(x, 1, last, true), 2, s->nodes[0]->shape);
    case 6: return blo_select(blo_less(x, bias), x, blo_sigmoid(pick(s, true)));
    case 7: return blo_reshape(blo_exp(blo_tanh(x)), 2, s->nodes[0]->shape);
    case 8: return blo_sub(x, blo_broadcast_to(blo_mean(pick(s, true)), 2, s->nodes[0]->shape));
    case 9: return blo_log(blo_shift(blo_square(x), 0.5));
    default: return blo_add(blo_scale(x, 0.5), pick(s, true));
    }
}

static void run_rows(blo_context *context, uint64_t seed) {
    static const int last[1] = {-1}, first[1] = {0};
    random_state = seed;
    scene s = {0};
    ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
    const blo_dtype dtype = (blo_dtype)draw(2);
    const int64_t m = 90 + draw(400), k = 60 + draw(90), n = 2 + draw(15);
    const bool bytes = draw(2);
    blo_node *x = take_input(&s, "x", bytes ? BLO_UINT8 : dtype, 2, (const int64_t[]){m, k});
    blo_node *w = take_input(&s, "w", dtype, 2, (const int64_t[]){n, k});
    blo_node *bias = take_input(&s, "b", dtype, 1, (const int64_t[]){n});
    blo_node *data = bytes ? blo_scale(blo_cast(x, dtype), 1.0 / 255) : x;
    s.nodes[s.n_nodes++] = blo_scale(blo_matmul(data, w, false, true), 0.2);
    if (draw(3) == 0) /* a second one, whose rows mix with the first's */
        s.nodes[s.n_nodes++] = blo_matmul(data, blo_tanh(w), false, true);
    for (int target = s.n_nodes + 2 + (int)draw(12); s.n_nodes < target;) {
        blo_node *node = grow_row(&s, bias);
        ck_assert_msg(node != NULL, "seed %" PRIu64 ": %s", seed, blo_graph_error(s.graph));
        s.nodes[s.n_nodes++] = node;
    }
    blo_node *end = s.nodes[s.n_nodes - 1];
    blo_node *all[] = {end,
                       blo_sum_axes(end, 1, last, false),
                       blo_mean(pick(&s, true)),
                       blo_sum_axes(pick(&s, true), 1, first, false),
                       blo_matmul(pick(&s, true), data, true, false),
                       pick(&s, true)};
    blo_node *outputs[MAX_OUTPUTS];
    int count = 0;
    for (int i = 0; i < MAX_OUTPUTS; i++)
        if (draw(2) || (i == MAX_OUTPUTS - 1 && count == 0))
            outputs[count++] = all[i];
    run_outputs(context, &s, count, outputs, seed);
}

/* AS_CPU false: with the kernels that devices get which are no CPUs. */
static void run_many(void (*run)(blo_context *, uint64_t), bool as_cpu) {
    const char *count = getenv("CLBILEVEL_TEST_GRAPHS"), *first = getenv("CLBILEVEL_TEST_SEED");
    int graphs = count ? atoi(count) : as_cpu ? 60 : 10;
    uint64_t seed = first ? strtoull(first, NULL, 10) : 1;
    char message[512];
    blo_context *context = NULL;
    ck_assert_msg(blo_context_create(NULL, &context, message, sizeof message) == BLO_OK, "%s", message);
    context->facts.is_cpu = context->facts.is_cpu && as_cpu;
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", seed, seed + (uint64_t)graphs - 1);
    for (int i = 0; i < graphs; i++)
        run(context, seed + (uint64_t)i);
    blo_context_destroy(context);
}

START_TEST(random_graphs_match_the_interpreter) {
    run_many(run_scene, true);
}
END_TEST

START_TEST(random_row_work_on_a_product_matches_the_interpreter) {
    run_many(run_rows, true);
}
END_TEST

START_TEST(other_devices_kernels_match_the_interpreter) {
    run_many(run_scene, false);
    run_many(run_rows, false);
}
END_TEST

/* --- corners, each of which one case of the above may miss --- */

/* What has no form with lanes beside a product that carries its rows' work: dropout of its results. */
static void run_dropout(blo_context *context) {
    scene s = {0};
    ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
    blo_node *x = take_input(&s, "x", BLO_FLOAT, 2, (const int64_t[]){300, 64});
    blo_node *w = take_input(&s, "w", BLO_FLOAT, 2, (const int64_t[]){5, 64});
    blo_node *step = blo_constant(s.graph, BLO_INT32, 7);
    blo_node *outputs[] = {blo_dropout(blo_tanh(blo_matmul(x, w, false, true)), 0.5, step, 3)};
    run_outputs(context, &s, 1, outputs, 0);
}

/* A long sum, in ranges of which the last is shorter, of what is the same in all lanes. */
static void run_same_summands(blo_context *context) {
    static const int first[1] = {0};
    for (int64_t count = 1; count <= 40; count++) {
        scene s = {0};
        ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
        blo_node *a = take_input(&s, "a", BLO_DOUBLE, 0, NULL);
        blo_node *same = blo_tanh(blo_broadcast_to(a, 2, (const int64_t[]){2001, count}));
        blo_node *outputs[] = {blo_sum_axes(same, 1, first, false)};
        run_outputs(context, &s, 1, outputs, (uint64_t)count);
    }
}

/* A product of one row, with the work of that row. */
static void run_one_row(blo_context *context) {
    for (int64_t n = 2; n <= 24; n++) {
        scene s = {0};
        ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
        blo_node *x = take_input(&s, "x", BLO_FLOAT, 2, (const int64_t[]){1, 32768 / n + 3});
        blo_node *w = take_input(&s, "w", BLO_FLOAT, 2, (const int64_t[]){n, 32768 / n + 3});
        blo_node *outputs[] = {row_softmax(blo_scale(blo_matmul(x, w, false, true), 0.01))};
        run_outputs(context, &s, 1, outputs, (uint64_t)n);
    }
}

/* Checks that all N tensors hold what the first one does, and that it holds something. */
static void check_copies(int n, blo_tensor *const *tensors) {
    float first[256], other[256];
    ck_assert_uint_le(blo_tensor_bytes(tensors[0]), sizeof first);
    ck_assert_int_eq(blo_tensor_download(tensors[0], first, blo_tensor_bytes(tensors[0])), BLO_OK);
    ck_assert_float_ne(first[0], 0);
    for (int i = 1; i < n; i++) {
        memset(other, 0, sizeof other);
        ck_assert_int_eq(blo_tensor_download(tensors[i], other, blo_tensor_bytes(tensors[i])), BLO_OK);
        ck_assert_mem_eq(first, other, blo_tensor_bytes(tensors[0]));
    }
}

/* Two nodes, both more outputs than a kernel has arguments: KIND 0 constants, 1 sums, 2 a product and its row work. */
static void run_many_outputs(blo_context *context, int kind) {
    enum { TIMES = 70 };
    static const int last[1] = {-1};
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    blo_node *outputs[2 * TIMES];
    blo_tensor *out[2 * TIMES], *in = NULL;
    float values[32 * 1100];
    for (int i = 0; i < 32 * 1100; i++)
        values[i] = 1;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *a = blo_graph_input(graph, "a", BLO_FLOAT, 2, (const int64_t[]){32, 1100});
    blo_node *narrow = blo_slice(a, (const int64_t[]){0, 0}, (const int64_t[]){5, 1100}, NULL);
    blo_node *one = kind == 0   ? blo_full_like(blo_sum_axes(a, 1, last, false), 1)
                    : kind == 1 ? blo_sum_axes(a, 1, last, false)
                                : blo_matmul(a, narrow, false, true);
    blo_node *two = blo_tanh(blo_shift(one, 1));
    for (int i = 0; i < 2 * TIMES; i++) {
        outputs[i] = i % 2 ? two : one;
        ck_assert_int_eq(
            blo_tensor_create(context, BLO_FLOAT, one->rank, one->shape, NULL, &out[i / 2 + i % 2 * TIMES]), BLO_OK);
    }
    ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2, a->shape, values, &in), BLO_OK);
    blo_tensor *in_order[2 * TIMES];
    for (int i = 0; i < 2 * TIMES; i++)
        in_order[i] = out[i / 2 + i % 2 * TIMES];
    ck_assert_msg(blo_function_create(context, 2 * TIMES, outputs, &function) == BLO_OK, "%s",
                  blo_context_error(context));
    ck_assert_msg(blo_function_call(function, 1, &in, 2 * TIMES, in_order) == BLO_OK, "%s", blo_context_error(context));
    check_copies(TIMES, out);
    check_copies(TIMES, out + TIMES);
    blo_function_destroy(function);
    for (int i = 0; i < 2 * TIMES; i++)
        blo_tensor_destroy(out[i]);
    blo_tensor_destroy(in);
    blo_graph_destroy(graph);
}

/* A product X W [M,N] and its sum with an array Y [M,N], both stored: rows of both are turned on their way, the last of
 * them in a vector that M does not fill. Of integers, so that it is exact. */
static void run_turned_rows(blo_context *context, int64_t n) {
    enum { M = 1003, K = 40, MOST = 16 };
    static float x[M * K], w[K * MOST], y[M * MOST], product[M * MOST], sum[M * MOST];
    const int64_t shapes[3][2] = {{M, K}, {K, n}, {M, n}};
    const float *const values[3] = {x, w, y};
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    blo_tensor *in[3], *out[2];
    blo_node *node[3];
    for (int i = 0; i < M * K; i++)
        x[i] = (float)(i * 7 % 11 - 5);
    for (int i = 0; i < K * n; i++)
        w[i] = (float)(i * 5 % 13 - 6);
    for (int i = 0; i < M * n; i++)
        y[i] = (float)(i % 1009);
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    for (int i = 0; i < 3; i++) {
        node[i] = blo_graph_input(graph, "input", BLO_FLOAT, 2, shapes[i]);
        ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2, shapes[i], values[i], &in[i]), BLO_OK);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2, shapes[2], NULL, &out[i]), BLO_OK);
    blo_node *outputs[2] = {blo_matmul(node[0], node[1], false, false), NULL};
    outputs[1] = blo_add(outputs[0], node[2]);
    ck_assert_msg(blo_function_create(context, 2, outputs, &function) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_msg(blo_function_call(function, 3, in, 2, out) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_int_eq(blo_tensor_download(out[0], product, (uint64_t)(M * n) * sizeof *product), BLO_OK);
    ck_assert_int_eq(blo_tensor_download(out[1], sum, (uint64_t)(M * n) * sizeof *sum), BLO_OK);
    for (int64_t at = 0; at < M * n; at++) {
        float want = 0.0f;
        for (int64_t k = 0; k < K; k++)
            want += x[at / n * K + k] * w[k * n + at % n];
        ck_assert_float_eq(product[at], want);
        ck_assert_float_eq(sum[at], want + y[at]);
    }
    blo_function_destroy(function);
    for (int i = 0; i < 3; i++)
        blo_tensor_destroy(in[i]);
    for (int i = 0; i < 2; i++)
        blo_tensor_destroy(out[i]);
    blo_graph_destroy(graph);
}

/* The least of COUNT integers of 1 and of 4 bytes, among them the ends of their ranges. */
static void run_least_integers(blo_context *context) {
    static const uint8_t bytes[2][4] = {{0, 5, 255, 9}, {7, 200, 128, 255}};
    static const int32_t words[2][4] = {{INT32_MIN, 5, INT32_MAX, 0}, {7, 3, INT32_MAX, 4}};
    static const int last[1] = {-1};
    const int64_t shape[2] = {2, 4};
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    blo_tensor *in[2] = {NULL, NULL}, *out[2] = {NULL, NULL};
    uint8_t least_bytes[2];
    int32_t least_words[2];
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *outputs[] = {
        blo_min_axes(blo_graph_input(graph, "bytes", BLO_UINT8, 2, shape), 1, last, false),
        blo_min_axes(blo_graph_input(graph, "words", BLO_INT32, 2, shape), 1, last, false),
    };
    ck_assert_int_eq(blo_tensor_create(context, BLO_UINT8, 2, shape, bytes, &in[0]), BLO_OK);
    ck_assert_int_eq(blo_tensor_create(context, BLO_INT32, 2, shape, words, &in[1]), BLO_OK);
    ck_assert_int_eq(blo_tensor_create(context, BLO_UINT8, 1, shape, NULL, &out[0]), BLO_OK);
    ck_assert_int_eq(blo_tensor_create(context, BLO_INT32, 1, shape, NULL, &out[1]), BLO_OK);
    ck_assert_msg(blo_function_create(context, 2, outputs, &function) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_msg(blo_function_call(function, 2, in, 2, out) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_int_eq(blo_tensor_download(out[0], least_bytes, sizeof least_bytes), BLO_OK);
    ck_assert_int_eq(blo_tensor_download(out[1], least_words, sizeof least_words), BLO_OK);
    ck_assert_uint_eq(least_bytes[0], 0);
    ck_assert_uint_eq(least_bytes[1], 7);
    ck_assert_int_eq(least_words[0], INT32_MIN);
    ck_assert_int_eq(least_words[1], 3);
    blo_function_destroy(function);
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(in[i]);
        blo_tensor_destroy(out[i]);
    }
    blo_graph_destroy(graph);
}

/* An outer product of few terms that a large product reads, and its sum over the rows: (A B)' X and 1' A B. */
static void run_outer_product(blo_context *context) {
    enum { ROWS = 700, TERMS = 8, MIDDLE = 50, WIDE = 60 };
    static float a[ROWS * TERMS], b[TERMS * MIDDLE], x[ROWS * WIDE], outer[MIDDLE * WIDE], sum[MIDDLE];
    const int64_t shapes[3][2] = {{ROWS, TERMS}, {TERMS, MIDDLE}, {ROWS, WIDE}}, results[2] = {MIDDLE, WIDE};
    float *const values[3] = {a, b, x}, *const got[2] = {outer, sum};
    const int first[1] = {0};
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    blo_node *in[3];
    blo_tensor *given[3], *out[2] = {NULL, NULL};
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < shapes[i][0] * shapes[i][1]; j++)
            values[i][j] = (float)draw_real();
        in[i] = blo_graph_input(graph, i == 0 ? "a" : i == 1 ? "b" : "x", BLO_FLOAT, 2, shapes[i]);
        ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2, shapes[i], values[i], &given[i]), BLO_OK);
    }
    blo_node *product = blo_matmul(in[0], in[1], false, false);
    blo_node *outputs[2] = {blo_matmul(product, in[2], true, false), blo_sum_axes(product, 1, first, false)};
    ck_assert_msg(blo_function_create(context, 2, outputs, &function) == BLO_OK, "%s", blo_context_error(context));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2 - i, results, NULL, &out[i]), BLO_OK);
    ck_assert_msg(blo_function_call(function, 3, given, 2, out) == BLO_OK, "%s", blo_context_error(context));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(blo_tensor_download(out[i], got[i], (size_t)(i ? 1 : WIDE) * MIDDLE * sizeof(float)), BLO_OK);
    for (int j = 0; j < MIDDLE; j++)
        for (int w = -1; w < WIDE; w++) { /* -1: the sum */
            double want = 0;
            for (int r = 0; r < ROWS; r++)
                for (int t = 0; t < TERMS; t++)
                    want +=
                        (double)a[r * TERMS + t] * (double)b[t * MIDDLE + j] * (w < 0 ? 1 : (double)x[r * WIDE + w]);
            ck_assert_double_eq_tol(w < 0 ? sum[j] : outer[j * WIDE + w], want, 1e-4);
        }
    blo_function_destroy(function);
    for (int i = 0; i < 3; i++)
        blo_tensor_destroy(given[i]);
    for (int i = 0; i < 2; i++)
        blo_tensor_destroy(out[i]);
    blo_graph_destroy(graph);
}

static blo_context *open_device(void) {
    char message[512];
    blo_context *context = NULL;
    ck_assert_msg(blo_context_create(NULL, &context, message, sizeof message) == BLO_OK, "%s", message);
    return context;
}

START_TEST(dropout_of_a_narrow_product) {
    blo_context *context = open_device();
    run_dropout(context);
    blo_context_destroy(context);
}
END_TEST

START_TEST(long_sums_of_equal_summands) {
    blo_context *context = open_device();
    run_same_summands(context);
    blo_context_destroy(context);
}
END_TEST

START_TEST(products_of_one_row) {
    blo_context *context = open_device();
    run_one_row(context);
    blo_context_destroy(context);
}
END_TEST

START_TEST(rows_of_a_narrow_product) {
    static const int64_t columns[] = {3, 4, 5, 10, 16};
    blo_context *context = open_device();
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        run_turned_rows(context, columns[i]);
    blo_context_destroy(context);
}
END_TEST

START_TEST(least_of_integers) {
    blo_context *context = open_device();
    run_least_integers(context);
    blo_context_destroy(context);
}
END_TEST

START_TEST(an_outer_product_read_by_a_product) {
    blo_context *context = open_device();
    run_outer_product(context);
    blo_context_destroy(context);
}
END_TEST

START_TEST(one_node_is_very_many_outputs) {
    blo_context *context = open_device();
    for (int kind = 0; kind < 3; kind++)
        run_many_outputs(context, kind);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plan");
    TCase *graphs = tcase_create("random graphs");
    tcase_set_timeout(graphs, 600);
    tcase_add_test(graphs, random_graphs_match_the_interpreter);
    tcase_add_test(graphs, random_row_work_on_a_product_matches_the_interpreter);
    tcase_add_test(graphs, other_devices_kernels_match_the_interpreter);
    suite_add_tcase(suite, graphs);
    TCase *corners = tcase_create("corners");
    tcase_set_timeout(corners, 300);
    tcase_add_test(corners, dropout_of_a_narrow_product);
    tcase_add_test(corners, long_sums_of_equal_summands);
    tcase_add_test(corners, products_of_one_row);
    tcase_add_test(corners, rows_of_a_narrow_product);
    tcase_add_test(corners, least_of_integers);
    tcase_add_test(corners, an_outer_product_read_by_a_product);
    tcase_add_test(corners, one_node_is_very_many_outputs);
    suite_add_tcase(suite, corners);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK); /* OpenCL implementations keep threads, which do not survive a fork */
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
