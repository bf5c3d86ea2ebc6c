/* Plans on the device against the plain-C interpreter: random graphs of every primitive, shapes odd, empty and
 * one-element, each compiled and run; fusion and grouping must not change what comes out. Prints its seed. */
#include "scene.h"

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

static void run_scene(uint64_t seed) {
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
    run_outputs(&s, n, outputs, seed);
}

START_TEST(random_graphs_match_the_interpreter) {
    run_many(run_scene, true);
}
END_TEST

START_TEST(other_devices_kernels_match_the_interpreter) {
    run_many(run_scene, false);
}
END_TEST

/* --- corners, each of which one case of the above may miss --- */

/* A long sum, in ranges of which the last is shorter, of what is the same in all lanes. */
START_TEST(long_sums_of_equal_summands) {
    static const int first[1] = {0};
    for (int64_t count = 1; count <= 40; count++) {
        scene s = {0};
        ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
        blo_node *a = take_input(&s, "a", BLO_DOUBLE, 0, NULL);
        blo_node *same = blo_tanh(blo_broadcast_to(a, 2, (const int64_t[]){2001, count}));
        blo_node *outputs[] = {blo_sum_axes(same, 1, first, false)};
        run_outputs(&s, 1, outputs, (uint64_t)count);
    }
}
END_TEST

/* The least of COUNT integers of 1 and of 4 bytes, among them the ends of their ranges. */
START_TEST(least_of_integers) {
    static const uint8_t bytes[2][4] = {{0, 5, 255, 9}, {7, 200, 128, 255}};
    static const int32_t words[2][4] = {{INT32_MIN, 5, INT32_MAX, 0}, {7, 3, INT32_MAX, 4}};
    static const int last[1] = {-1};
    const int64_t shape[2] = {2, 4};
    blo_graph *graph = NULL;
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
    compute(2, in, 2, outputs, out);
    ck_assert_int_eq(blo_tensor_download(out[0], least_bytes, sizeof least_bytes), BLO_OK);
    ck_assert_int_eq(blo_tensor_download(out[1], least_words, sizeof least_words), BLO_OK);
    ck_assert_uint_eq(least_bytes[0], 0);
    ck_assert_uint_eq(least_bytes[1], 7);
    ck_assert_int_eq(least_words[0], INT32_MIN);
    ck_assert_int_eq(least_words[1], 3);
    destroy_all(2, in);
    destroy_all(2, out);
    blo_graph_destroy(graph);
}
END_TEST

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
static void run_many_outputs(int kind) {
    enum { TIMES = 70 };
    static const int last[1] = {-1};
    blo_graph *graph = NULL;
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
    compute(1, &in, 2 * TIMES, outputs, in_order);
    check_copies(TIMES, out);
    check_copies(TIMES, out + TIMES);
    destroy_all(2 * TIMES, out);
    blo_tensor_destroy(in);
    blo_graph_destroy(graph);
}

START_TEST(one_node_is_very_many_outputs) {
    for (int kind = 0; kind < 3; kind++)
        run_many_outputs(kind);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("plan");
    const TTest *const graphs[] = {random_graphs_match_the_interpreter, other_devices_kernels_match_the_interpreter};
    suite_add_tcase(suite,
                    case_of("random graphs", 600, open_scenes, close_scenes, sizeof graphs / sizeof *graphs, graphs));
    const TTest *const corners[] = {long_sums_of_equal_summands, least_of_integers, one_node_is_very_many_outputs};
    suite_add_tcase(suite,
                    case_of("corners", 300, open_scenes, close_scenes, sizeof corners / sizeof *corners, corners));
    return run_suite_here(suite);
}
