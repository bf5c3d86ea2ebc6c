/* sin and cos as kernels compute them, of many elements at once and of one: within 2 ulp of the host's, in the range
 * where they are the library's own, 4 beyond it; NaN, infinities and zeros as IEEE wants; and the same bits either way.
 */
#include <math.h>

#include "../support.h"

enum { COUNT = 5003, SINGLY = 40 };
static const double half_pi = 1.5707963267948966;

typedef struct values {
    blo_dtype dtype;
    double x[COUNT], sine[COUNT], cosine[COUNT];
} values;

/* Of all sizes; near multiples of pi / 2, where most cancels; and what is special. */
static void draw(values *v) {
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1e30, -3e37, 0x1p15, 0x1p30};
    enum { SPECIALS = sizeof special / sizeof special[0] };
    const int largest = v->dtype == BLO_DOUBLE ? 34 : 18;
    uint64_t seed = 5;
    for (int i = 0; i < COUNT; i++) {
        const double number = next_number(&seed);
        v->x[i] = i % 2 ? ldexp(number, i % 64 * largest / 63) : half_pi * floor(ldexp(number, i % largest));
        if (i % 7 == 0)
            v->x[i] = ldexp(number, -i % 60);
        if (i < SPECIALS)
            v->x[i] = special[i];
        if (v->dtype == BLO_FLOAT)
            v->x[i] = (double)(float)v->x[i];
    }
}

static void run(blo_context *context, blo_dtype dtype, int count, const double *x, double *sine, double *cosine) {
    blo_graph *graph = NULL;
    blo_function *function = NULL;
    blo_tensor *in = NULL, *out[2] = {NULL, NULL};
    const int64_t shape = count;
    double *to[2] = {sine, cosine};
    const bool wide = dtype == BLO_DOUBLE;
    const size_t size = wide ? sizeof(double) : sizeof(float);
    float narrow[COUNT];
    for (int i = 0; i < count; i++)
        narrow[i] = (float)x[i];
    ck_assert_int_eq(blo_graph_create(&graph), BLO_OK);
    blo_node *a = blo_graph_input(graph, "a", dtype, 1, &shape), *outputs[2] = {blo_sin(a), blo_cos(a)};
    MUST(context, blo_function_create(context, 2, outputs, &function));
    MUST(context, blo_tensor_create(context, dtype, 1, &shape, wide ? (const void *)x : (const void *)narrow, &in));
    for (int i = 0; i < 2; i++)
        MUST(context, blo_tensor_create(context, dtype, 1, &shape, NULL, &out[i]));
    MUST(context, blo_function_call(function, 1, &in, 2, out));
    for (int i = 0; i < 2; i++) {
        MUST(context, blo_tensor_download(out[i], wide ? (void *)to[i] : (void *)narrow, (uint64_t)count * size));
        for (int j = 0; j < count && !wide; j++)
            to[i][j] = (double)narrow[j];
        blo_tensor_destroy(out[i]);
    }
    blo_tensor_destroy(in);
    blo_function_destroy(function);
    blo_graph_destroy(graph);
}

static void compare(const values *v, int i, const char *name, double got, long double want) {
    const bool wide = v->dtype == BLO_DOUBLE;
    const double size = fabs((double)want), own = wide ? 0x1p30 : 0x1p15;
    if (isnan((double)want)) {
        ck_assert_msg(isnan(got), "%s of %a is %a, not a NaN", name, v->x[i], got);
        return;
    }
    const double ulp =
        wide ? nextafter(size, HUGE_VAL) - size : (double)nextafterf((float)size, HUGE_VALF) - (double)(float)size;
    const double error = (double)fabsl((long double)got - want) / ulp;
    ck_assert_msg(error <= (fabs(v->x[i]) <= own ? 2 : 4), "%s of %s %a is %a, %.2f ulp away", name,
                  blo_dtype_name(v->dtype), v->x[i], got, error);
    ck_assert_msg(v->x[i] != 0 || signbit(got) == signbit((double)want), "%s of %a has the wrong sign", name, v->x[i]);
}

static void check(blo_context *context, blo_dtype dtype) {
    static values v;
    v.dtype = dtype;
    draw(&v);
    run(context, dtype, COUNT, v.x, v.sine, v.cosine);
    for (int i = 0; i < COUNT; i++) {
        compare(&v, i, "sin", v.sine[i], sinl((long double)v.x[i]));
        compare(&v, i, "cos", v.cosine[i], cosl((long double)v.x[i]));
    }
    for (int i = 0; i < SINGLY; i++) {
        double sine, cosine;
        run(context, dtype, 1, &v.x[i], &sine, &cosine);
        ck_assert_msg(isnan(sine) ? isnan(v.sine[i]) : sine == v.sine[i], "sin of %a alone differs", v.x[i]);
        ck_assert_msg(isnan(cosine) ? isnan(v.cosine[i]) : cosine == v.cosine[i], "cos of %a alone differs", v.x[i]);
    }
}

START_TEST(sin_and_cos_are_close) {
    blo_context *context = open_context(0);
    check(context, BLO_FLOAT);
    if (blo_context_has_double(context))
        check(context, BLO_DOUBLE);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("functions");
    TCase *cases = tcase_create("sin and cos");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, sin_and_cos_are_close);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
