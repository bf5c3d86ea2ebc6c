/* Long sums of the columns of narrow arrays, on CPU devices with lanes: to the bits against the same sums in the order
 * that the reduction's own shape gives, whatever the lanes hold; and that their kernels load whole vectors. */
#include "../support.h"
#include "device/opencl.h"
#include "plan/lower.h"

enum { CHUNK = 128, MOST_COLUMNS = 33, MOST_ROWS = 5003 }; /* CHUNK: as in reductions.c */

static blo_context *context;

static void setup(void) {
    context = open_context(0);
}

static void teardown(void) {
    blo_context_destroy(context);
}

static double rounded(blo_dtype dtype, double value) {
    return dtype == BLO_FLOAT ? (double)(float)value : value;
}

/* VALUES as an array of DTYPE. */
static blo_tensor *tensor_of(blo_dtype dtype, int64_t rows, int64_t columns, const double *values) {
    const int64_t shape[2] = {rows, columns}, count = rows * columns;
    float *floats = malloc((size_t)count * sizeof *floats);
    blo_tensor *tensor = NULL;
    for (int64_t i = 0; i < count; i++)
        floats[i] = (float)values[i];
    MUST(context,
         blo_tensor_create(context, dtype, 2, shape, dtype == BLO_FLOAT ? (const void *)floats : values, &tensor));
    free(floats);
    return tensor;
}

static void check_bits(const char *what, int rows, int columns, const blo_tensor *tensor, int n,
                       const double *expected) {
    double *found = malloc((size_t)n * sizeof *found);
    const bool is_float = blo_tensor_dtype(tensor) == BLO_FLOAT;
    MUST(context, blo_tensor_download(tensor, found, (size_t)n * (is_float ? sizeof(float) : sizeof(double))));
    for (int i = 0; i < n; i++) {
        const double value = is_float ? (double)((const float *)found)[i] : found[i];
        ck_assert_msg(value == expected[i], "%s [%d,%d]: %d is %.17g, not %.17g", what, rows, columns, i, value,
                      expected[i]);
    }
    free(found);
}

/* The sums of the columns of VALUES, by ranges, and then these. */
static void sum_columns(blo_dtype dtype, int rows, int columns, const double *values, double *sums) {
    const int chunks = (rows + CHUNK - 1) / CHUNK, chunk = (rows + chunks - 1) / chunks;
    for (int j = 0; j < columns; j++) {
        for (int first = 0; first < rows; first += chunk) {
            double part = 0;
            for (int i = first; i < rows && i < first + chunk; i++)
                part = rounded(dtype, part + values[i * columns + j]);
            sums[j] = first == 0 ? part : rounded(dtype, sums[j] + part);
        }
    }
}

/* What is summed: x [rows,columns]; and (x - 1/4) w, with w [rows,1], which a kernel computes on the way. */
typedef struct summands {
    double x[MOST_ROWS * MOST_COLUMNS], w[MOST_ROWS], product[MOST_ROWS * MOST_COLUMNS];
} summands;

static summands *make_summands(blo_dtype dtype, int rows, int columns) {
    summands *s = malloc(sizeof *s);
    uint64_t seed = 5;
    for (int i = 0; i < rows * columns; i++)
        s->x[i] = rounded(dtype, next_number(&seed));
    for (int i = 0; i < rows; i++)
        s->w[i] = rounded(dtype, next_number(&seed));
    for (int i = 0; i < rows * columns; i++)
        s->product[i] = rounded(dtype, rounded(dtype, s->x[i] - 0.25) * s->w[i / columns]);
    return s;
}

/* Sums of both, the first read by another kernel; with COMPANION the product is written on the way. */
static void check(blo_dtype dtype, int rows, int columns, bool companion) {
    static const int axis[1] = {0};
    const int64_t shape[2] = {rows, columns}, weights[2] = {rows, 1}, row[2] = {1, columns};
    const int n = companion ? 3 : 2;
    summands *s = make_summands(dtype, rows, columns);
    double sums[2][MOST_COLUMNS];
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *x = blo_graph_input(graph, "x", dtype, 2, shape);
    blo_node *product = blo_mul(blo_shift(x, -0.25), blo_graph_input(graph, "w", dtype, 2, weights));
    blo_node *outputs[3] = {blo_neg(blo_sum_axes(x, 1, axis, true)), blo_sum_axes(product, 1, axis, true), product};
    blo_tensor *in[2] = {tensor_of(dtype, rows, columns, s->x), tensor_of(dtype, rows, 1, s->w)}, *out[3] = {NULL};
    for (int i = 0; i < n; i++)
        MUST(context, blo_tensor_create(context, dtype, 2, i < 2 ? row : shape, NULL, &out[i]));
    MUST(context, blo_function_create(context, n, outputs, &function));
    MUST(context, blo_function_call(function, 2, in, n, out));
    sum_columns(dtype, rows, columns, s->x, sums[0]);
    sum_columns(dtype, rows, columns, s->product, sums[1]);
    for (int j = 0; j < columns; j++)
        sums[0][j] = -sums[0][j];
    check_bits("sum of an array", rows, columns, out[0], columns, sums[0]);
    check_bits("sum of an expression", rows, columns, out[1], columns, sums[1]);
    if (companion)
        check_bits("expression", rows, columns, out[2], rows * columns, s->product);
    blo_function_destroy(function);
    for (int i = 0; i < n; i++)
        blo_tensor_destroy(out[i]);
    for (int i = 0; i < 2; i++)
        blo_tensor_destroy(in[i]);
    blo_graph_destroy(graph);
    free(s);
}

/* Columns that fill no vector, one, a bit more than one and two; ranges of equal lengths and not. */
static void check_all(blo_dtype dtype) {
    static const int rows[] = {257, 1000, MOST_ROWS};
    for (int columns = 1; columns <= MOST_COLUMNS; columns += columns == 17 ? 14 : columns == 31 ? 2 : 1)
        for (int i = 0; i < 3; i++) {
            check(dtype, rows[i], columns, false);
            if (columns == 5 || columns == 10 || columns == 17)
                check(dtype, rows[i], columns, true);
        }
}

START_TEST(sums_of_columns_in_float) {
    check_all(BLO_FLOAT);
}
END_TEST

START_TEST(sums_of_columns_in_double) {
    if (!blo_context_has_double(context))
        return;
    check_all(BLO_DOUBLE);
}
END_TEST

/* Does the text of the sum of [5000,columns] along AXIS, of the exponential of the exponential… EXPONENTIALS times, for
 * lanes of 16, call FUNCTION? */
static bool calls(const char *function, int columns, int axis, int exponentials) {
    const int64_t shape[2] = {axis == 0 ? 5000 : columns, axis == 0 ? columns : 5000};
    blo_graph *graph = NULL;
    context->facts.is_cpu = true;
    context->facts.float_vector_width = 16;
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *summand = blo_graph_input(graph, "x", BLO_FLOAT, 2, shape);
    for (int i = 0; i < exponentials; i++)
        summand = blo_exp(summand);
    blo_node *sum = blo_sum_axes(summand, 1, &axis, false);
    blo_lowering lowering = {.context = context, .n_outputs = 1, .outputs = &sum};
    MUST(context, blo_lower(&lowering));
    const char *body = strstr(lowering.steps[0].text, "__kernel"); /* its helpers are before it */
    ck_assert(lowering.n_steps == 2 && body);
    const bool found = strstr(body, function) != NULL;
    blo_lower_free(&lowering);
    blo_graph_destroy(graph);
    return found;
}

/* Lanes that are half empty, or of columns that lie apart, go on from range to range instead. */
START_TEST(neighbours_are_loaded_as_vectors) {
    for (int columns = 9; columns <= MOST_COLUMNS; columns++)
        ck_assert_msg(calls("blo_load_float16", columns, 0, 0) && !calls("blo_gather", columns, 0, 0), "%d columns",
                      columns);
    ck_assert(calls("blo_gather_float16", 7, 0, 0));
    ck_assert(calls("blo_gather_float16", 10, 1, 0));
}
END_TEST

/* What empty lanes compute in vain is weighed against gathers. */
START_TEST(neighbours_of_what_is_dear_fill_their_vectors) {
    ck_assert(calls("blo_load_float16", 9, 0, 2));
    ck_assert(calls("blo_gather_float16", 9, 0, 4));
    ck_assert(calls("blo_load_float16", 15, 0, 4));
    ck_assert(calls("blo_load_float16", 16, 0, 4));
    ck_assert(calls("blo_load_float16", 17, 0, 2));
    ck_assert(calls("blo_gather_float16", 17, 0, 4));
}
END_TEST

int main(void) {
    const TTest *const tests[] = {sums_of_columns_in_float, sums_of_columns_in_double, neighbours_are_loaded_as_vectors,
                                  neighbours_of_what_is_dear_fill_their_vectors};
    return run_tests("sums of columns", setup, teardown, sizeof tests / sizeof *tests, tests);
}
