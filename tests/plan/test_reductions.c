/* Long reductions as devices that are no CPUs run them, by teams of items in local memory, against plain loops: lengths
 * on both sides of every limit, results one and many, any axis, values fused into the sum; and the same bits in every
 * run. The device at hand is told that it is no CPU. */
#include <math.h>

#include "../support.h"
#include "device/opencl.h"

enum { LEAST = 1 << 19, MOST = 2 * LEAST }; /* elements from which teams work; that are made */

static blo_context *context;
static double values[MOST];

static void setup(void) {
    uint64_t seed = 12;
    context = open_context(0);
    context->facts.is_cpu = false;
    for (int i = 0; i < MOST; i++)
        values[i] = next_number(&seed);
}

static void teardown(void) {
    blo_context_destroy(context);
}

/* x [outer,length,inner] reduced along its middle: the sum of (x - 1/4)^2, then the maximum of x. */
typedef struct shape {
    int64_t outer, length, inner;
} shape;

static void run(const shape *s, double *sums, double *maxima) {
    static const int middle[1] = {1};
    const int64_t extents[3] = {s->outer, s->length, s->inner}, results[2] = {s->outer, s->inner};
    const size_t bytes = (size_t)(s->outer * s->inner) * sizeof(double);
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    blo_tensor *in = NULL, *out[2] = {NULL, NULL};
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *x = blo_graph_input(graph, "x", BLO_DOUBLE, 3, extents);
    blo_node *outputs[] = {blo_sum_axes(blo_square(blo_shift(x, -0.25)), 1, middle, false),
                           blo_max_axes(x, 1, middle, false)};
    MUST(context, blo_tensor_create(context, BLO_DOUBLE, 3, extents, values, &in));
    for (int i = 0; i < 2; i++)
        MUST(context, blo_tensor_create(context, BLO_DOUBLE, 2, results, NULL, &out[i]));
    MUST(context, blo_function_create(context, 2, outputs, &function));
    MUST(context, blo_function_call(function, 1, &in, 2, out));
    MUST(context, blo_tensor_download(out[0], sums, bytes));
    MUST(context, blo_tensor_download(out[1], maxima, bytes));
    blo_function_destroy(function);
    blo_tensor_destroy(in);
    blo_tensor_destroy(out[0]);
    blo_tensor_destroy(out[1]);
    blo_graph_destroy(graph);
}

static void check(const shape *s) {
    const int64_t count = s->outer * s->inner;
    double *sums = malloc((size_t)count * sizeof *sums), *maxima = malloc((size_t)count * sizeof *maxima);
    run(s, sums, maxima);
    for (int64_t result = 0; result < count; result++) {
        const double *first = values + result / s->inner * s->length * s->inner + result % s->inner;
        double sum = 0.0, maximum = -INFINITY;
        for (int64_t k = 0; k < s->length; k++) {
            const double x = first[k * s->inner];
            sum += (x - 0.25) * (x - 0.25);
            maximum = fmax(maximum, x);
        }
        ck_assert_msg(fabs(sums[result] - sum) <= 1e-12 * sum, "[%d,%d,%d]: sum %d is %.17g, not %.17g", (int)s->outer,
                      (int)s->length, (int)s->inner, (int)result, sums[result], sum);
        ck_assert_double_eq(maxima[result], maximum);
    }
    free(sums);
    free(maxima);
}

/* Lengths around a team, a range of a team, and where ranges become as many as there are; each with so many results, in
 * front of it, behind it and on both sides, that teams work. */
START_TEST(sums_and_maxima_are_right) {
    static const int64_t lengths[] = {129, 1024, 1025, 2500, 13000, LEAST};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const int64_t results = (LEAST + lengths[i] - 1) / lengths[i];
        check(&(shape){results, lengths[i], 1});
        check(&(shape){1, lengths[i], results});
        if (results > 1)
            check(&(shape){2, lengths[i], (results + 1) / 2});
    }
    check(&(shape){3, 128, 5}); /* too few for teams */
}
END_TEST

START_TEST(teams_may_be_small) {
    const shape s = {2, 90000, 3};
    context->facts.max_work_group = 16;
    check(&s);
}
END_TEST

START_TEST(every_run_gives_the_same_bits) {
    const shape s = {1, LEAST + 30001, 1};
    double sums[2], maximum;
    run(&s, &sums[0], &maximum);
    for (int i = 0; i < 20; i++) {
        run(&s, &sums[1], &maximum);
        ck_assert_mem_eq(&sums[0], &sums[1], sizeof sums[0]);
    }
}
END_TEST

/* On a CPU ranges of 128 are summed, then added one after the other: to the very bits of these loops, whatever the
 * compiler would rather do in the few items that are left beside full vectors. */
START_TEST(ranges_are_added_in_order) {
    enum { RANGE = 128, RANGES = 40, RESULTS = 8 };
    const shape s = {1, RANGE * RANGES, RESULTS};
    double sums[RESULTS], maxima[RESULTS];
    context->facts.is_cpu = true;
    run(&s, sums, maxima);
    for (int result = 0; result < RESULTS; result++) {
        double total = 0.0;
        for (int range = 0; range < RANGES; range++) {
            double sum = 0.0;
            for (int k = range * RANGE; k < (range + 1) * RANGE; k++) {
                const double away = values[k * RESULTS + result] - 0.25, square = away * away;
                sum += square;
            }
            total += sum;
        }
        ck_assert_mem_eq(&sums[result], &total, sizeof total);
    }
}
END_TEST

START_TEST(a_nan_is_the_maximum_wherever_it_stands) {
    const shape s = {1, LEAST, 1};
    for (int at = 0; at < LEAST; at += LEAST / 12) {
        double sum, maximum, kept = values[at];
        values[at] = (double)NAN;
        run(&s, &sum, &maximum);
        values[at] = kept;
        ck_assert(isnan(sum) && isnan(maximum));
    }
}
END_TEST

int main(void) {
    const TTest *const once[] = {sums_and_maxima_are_right, teams_may_be_small, ranges_are_added_in_order};
    const TTest *const often[] = {every_run_gives_the_same_bits, a_nan_is_the_maximum_wherever_it_stands};
    Suite *suite = suite_create("reductions");
    TCase *repeated = case_of("repeated", 300, setup, teardown, sizeof often / sizeof *often, often);
    tcase_set_tags(repeated, "repeated"); /* left out where each run takes seconds (tests/oclgrind.sh) */
    suite_add_tcase(suite, case_of("all", 300, setup, teardown, sizeof once / sizeof *once, once));
    suite_add_tcase(suite, repeated);
    return run_suite(suite);
}
