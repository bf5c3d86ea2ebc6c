/* What rides on a product, its rows still in registers, against the plain-C interpreter: random work on the rows, and
 * products whose shape or whose reader makes them special. Prints its seed. */
#include "scene.h"

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

static void run_rows(uint64_t seed) {
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
    run_outputs(&s, count, outputs, seed);
}

START_TEST(random_row_work_on_a_product_matches_the_interpreter) {
    run_many(run_rows, true);
}
END_TEST

START_TEST(other_devices_kernels_match_the_interpreter) {
    run_many(run_rows, false);
}
END_TEST

/* --- corners, each of which one case of the above may miss --- */

/* What has no form with lanes beside a product that carries its rows' work: dropout of its results. */
START_TEST(dropout_of_a_narrow_product) {
    scene s = {0};
    ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
    blo_node *x = take_input(&s, "x", BLO_FLOAT, 2, (const int64_t[]){300, 64});
    blo_node *w = take_input(&s, "w", BLO_FLOAT, 2, (const int64_t[]){5, 64});
    blo_node *step = blo_constant(s.graph, BLO_INT32, 7);
    blo_node *outputs[] = {blo_dropout(blo_tanh(blo_matmul(x, w, false, true)), 0.5, step, 3)};
    run_outputs(&s, 1, outputs, 0);
}
END_TEST

/* A product of one row, with the work of that row. */
START_TEST(products_of_one_row) {
    for (int64_t n = 2; n <= 24; n++) {
        scene s = {0};
        ck_assert_int_eq(blo_graph_create(&s.graph), BLO_OK);
        blo_node *x = take_input(&s, "x", BLO_FLOAT, 2, (const int64_t[]){1, 32768 / n + 3});
        blo_node *w = take_input(&s, "w", BLO_FLOAT, 2, (const int64_t[]){n, 32768 / n + 3});
        blo_node *outputs[] = {row_softmax(blo_scale(blo_matmul(x, w, false, true), 0.01))};
        run_outputs(&s, 1, outputs, (uint64_t)n);
    }
}
END_TEST

/* A product X W [M,N] and its sum with an array Y [M,N], both stored: rows of both are turned on their way, the last of
 * them in a vector that M does not fill. Of integers, so that it is exact. */
static void run_turned_rows(int64_t n) {
    enum { M = 1003, K = 40, MOST = 16 };
    static float x[M * K], w[K * MOST], y[M * MOST], product[M * MOST], sum[M * MOST];
    const int64_t shapes[3][2] = {{M, K}, {K, n}, {M, n}};
    const float *const values[3] = {x, w, y};
    blo_graph *graph = NULL;
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
    compute(3, in, 2, outputs, out);
    ck_assert_int_eq(blo_tensor_download(out[0], product, (uint64_t)(M * n) * sizeof *product), BLO_OK);
    ck_assert_int_eq(blo_tensor_download(out[1], sum, (uint64_t)(M * n) * sizeof *sum), BLO_OK);
    for (int64_t at = 0; at < M * n; at++) {
        float want = 0.0f;
        for (int64_t k = 0; k < K; k++)
            want += x[at / n * K + k] * w[k * n + at % n];
        ck_assert_float_eq(product[at], want);
        ck_assert_float_eq(sum[at], want + y[at]);
    }
    destroy_all(3, in);
    destroy_all(2, out);
    blo_graph_destroy(graph);
}

START_TEST(rows_of_a_narrow_product) {
    static const int64_t columns[] = {3, 4, 5, 10, 16};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        run_turned_rows(columns[i]);
}
END_TEST

/* An outer product of few terms that a large product reads, and its sum over the rows: (A B)' X and 1' A B. */
START_TEST(an_outer_product_read_by_a_product) {
    enum { ROWS = 700, TERMS = 8, MIDDLE = 50, WIDE = 60 };
    static float a[ROWS * TERMS], b[TERMS * MIDDLE], x[ROWS * WIDE], outer[MIDDLE * WIDE], sum[MIDDLE];
    const int64_t shapes[3][2] = {{ROWS, TERMS}, {TERMS, MIDDLE}, {ROWS, WIDE}}, results[2] = {MIDDLE, WIDE};
    float *const values[3] = {a, b, x}, *const got[2] = {outer, sum};
    const int first[1] = {0};
    blo_graph *graph = NULL;
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
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(blo_tensor_create(context, BLO_FLOAT, 2 - i, results, NULL, &out[i]), BLO_OK);
    compute(3, given, 2, outputs, out);
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
    destroy_all(3, given);
    destroy_all(2, out);
    blo_graph_destroy(graph);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("riders");
    const TTest *const graphs[] = {random_row_work_on_a_product_matches_the_interpreter,
                                   other_devices_kernels_match_the_interpreter};
    suite_add_tcase(suite,
                    case_of("random graphs", 600, open_scenes, close_scenes, sizeof graphs / sizeof *graphs, graphs));
    const TTest *const corners[] = {dropout_of_a_narrow_product, products_of_one_row, rows_of_a_narrow_product,
                                    an_outer_product_read_by_a_product};
    suite_add_tcase(suite,
                    case_of("corners", 300, open_scenes, close_scenes, sizeof corners / sizeof *corners, corners));
    return run_suite_here(suite);
}
