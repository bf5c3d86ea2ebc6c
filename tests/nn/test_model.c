/* Models and initialisers: values in and out, queued changes, definitions of torch.nn.init, and what is refused. */
#include <math.h>

#include "../support.h"

enum { MANY = 5000 }; /* elements: more than one work-group takes */

static blo_context *context;
static blo_model *model;

static void setup(void) {
    context = open_context(7);
    MUST(context, blo_model_create(context, BLO_FLOAT, &model));
}

static void teardown(void) {
    blo_model_destroy(model);
    blo_context_destroy(context);
}

START_TEST(values_come_back_as_they_were_set) {
    const double set[6] = {1.0, -2.5, 3.25, 0.0, 1e-3, 7.0};
    double got[6];
    MUST(context, blo_model_add(model, "w", 2, (const int64_t[]){2, 3}));

    MUST(context, blo_model_set(model, "w", set, 6));
    MUST(context, blo_model_get(model, "w", got, 6));

    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(got[i], (double)(float)set[i]);
    ck_assert_int_eq(blo_model_count(model), 1);
    ck_assert_str_eq(blo_model_name(model, 0), "w");
    ck_assert_ptr_null(blo_model_name(model, 1));
}
END_TEST

START_TEST(clamp_keeps_every_value_within_its_bounds) {
    const double set[4] = {-3.0, -1.0, 0.5, 9.0}, first[4] = {-1.0, -1.0, 0.5, 2.0}, second[4] = {0.0, 0.0, 0.5, 1.0};
    double got[4];
    blo_statistics before, after;
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){4}));
    MUST(context, blo_model_set(model, "w", set, 4));

    MUST(context, blo_model_clamp(model, -1.0, 2.0));
    MUST(context, blo_model_get(model, "w", got, 4));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(got[i], first[i]);

    blo_context_statistics(context, &before);
    MUST(context, blo_model_clamp(model, 0.0, 1.0));
    blo_context_statistics(context, &after);
    MUST(context, blo_model_get(model, "w", got, 4));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(got[i], second[i]);
    ck_assert_uint_eq(after.kernels_built, before.kernels_built); /* other bounds build nothing */
    ck_assert_uint_eq(after.allocations, before.allocations);
    ck_assert_uint_eq(after.waits, before.waits);
}
END_TEST

/* Whatever their number of elements. */
START_TEST(clamp_is_of_all_parameters) {
    static double set[MANY], got[MANY];
    const int64_t counts[2] = {3, _i ? MANY : 4};
    const char *const names[2] = {"v", "w"};
    for (int i = 0; i < MANY; i++)
        set[i] = i % 7 - 3;
    for (int p = 0; p < 2; p++)
        MUST(context, blo_model_add(model, names[p], 1, &counts[p]));
    for (int turn = 0; turn < 2; turn++) {
        for (int p = 0; p < 2; p++)
            MUST(context, blo_model_set(model, names[p], set, counts[p]));
        MUST(context, blo_model_clamp(model, -1.0, 2.0));
        for (int p = 0; p < 2; p++) {
            MUST(context, blo_model_get(model, names[p], got, counts[p]));
            for (int64_t i = 0; i < counts[p]; i++)
                ck_assert_double_eq(got[i], set[i] < -1 ? -1 : set[i] > 2 ? 2 : set[i]);
        }
    }
}
END_TEST

/* All that PROFILED's device was given to do. */
static uint64_t commands(blo_context *profiled) {
    uint64_t all = 0;
    MUST(profiled, blo_context_finish(profiled));
    for (int i = 0; i < blo_context_profile_rows(profiled); i++) {
        blo_profile_row row;
        MUST(profiled, blo_context_profile_row(profiled, i, &row));
        all += row.launches;
    }
    return all;
}

START_TEST(clamp_of_few_elements_is_one_command) {
    blo_context_options options;
    blo_context *profiled = NULL;
    blo_model *few = NULL;
    blo_context_options_default(&options);
    options.profile = true;
    ck_assert_int_eq(blo_context_create(&options, &profiled, NULL, 0), BLO_OK);
    MUST(profiled, blo_model_create(profiled, BLO_FLOAT, &few));
    MUST(profiled, blo_model_add(few, "v", 0, NULL));
    MUST(profiled, blo_model_add(few, "w", 1, (const int64_t[]){4}));
    MUST(profiled, blo_model_clamp(few, -1.0, 2.0)); /* writes the bounds, which stay */
    const uint64_t before = commands(profiled);
    MUST(profiled, blo_model_clamp(few, -1.0, 2.0));
    ck_assert_uint_eq(commands(profiled) - before, 1);
    blo_model_destroy(few);
    blo_context_destroy(profiled);
}
END_TEST

START_TEST(zeroed_gradients_read_zero) {
    const float ones[3] = {1.0f, 1.0f, 1.0f};
    double got[3];
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){3}));
    MUST(context, blo_tensor_upload(blo_model_gradient(model, "w"), ones, sizeof ones));

    MUST(context, blo_model_zero_gradients(model));
    MUST(context, blo_model_get_gradient(model, "w", got, 3));

    for (int i = 0; i < 3; i++)
        ck_assert_double_eq(got[i], 0.0);
}
END_TEST

/* Least, largest, mean and standard deviation of parameter "w" [200,300]. */
static void moments(double *least, double *largest, double *mean, double *deviation) {
    enum { COUNT = 200 * 300 };
    double *values = malloc(COUNT * sizeof *values), sum = 0.0, squares = 0.0;
    MUST(context, blo_model_get(model, "w", values, COUNT));
    *least = *largest = values[0];
    for (int i = 0; i < COUNT; i++) {
        *least = fmin(*least, values[i]);
        *largest = fmax(*largest, values[i]);
        sum += values[i];
        squares += values[i] * values[i];
    }
    *mean = sum / COUNT;
    *deviation = sqrt(squares / COUNT - *mean * *mean);
    free(values);
}

/* A uniform initialiser whose bound the definition gives: within it, near it, and of its spread. */
static void check_uniform(double bound) {
    double least, largest, mean, deviation;
    moments(&least, &largest, &mean, &deviation);
    ck_assert_double_ge(least, -bound * 1.0000001);
    ck_assert_double_le(largest, bound * 1.0000001);
    ck_assert_double_lt(least, -0.99 * bound);
    ck_assert_double_gt(largest, 0.99 * bound);
    ck_assert_double_eq_tol(mean, 0.0, 0.02 * bound);
    ck_assert_double_eq_tol(deviation, bound / sqrt(3.0), 0.02 * bound);
}

static void check_normal(double wanted) {
    double least, largest, mean, deviation;
    moments(&least, &largest, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0.0, 0.02 * wanted);
    ck_assert_double_eq_tol(deviation, wanted, 0.02 * wanted);
    ck_assert_double_gt(largest, 3.0 * wanted);
    ck_assert_double_lt(least, -3.0 * wanted);
}

START_TEST(initialisers_follow_their_definitions) {
    const double fan_in = 300.0, fan_out = 200.0, a = 0.5, gain = 1.5;
    MUST(context, blo_model_add(model, "w", 2, (const int64_t[]){200, 300}));

    MUST(context, blo_init_uniform(model, "w", -0.25, 0.25));
    check_uniform(0.25);
    MUST(context, blo_init_normal(model, "w", 0.0, 2.0));
    check_normal(2.0);
    MUST(context, blo_init_kaiming_uniform(model, "w", a));
    check_uniform(sqrt(6.0 / ((1.0 + a * a) * fan_in)));
    MUST(context, blo_init_kaiming_normal(model, "w", a));
    check_normal(sqrt(2.0 / ((1.0 + a * a) * fan_in)));
    MUST(context, blo_init_xavier_uniform(model, "w", gain));
    check_uniform(gain * sqrt(6.0 / (fan_in + fan_out)));
    MUST(context, blo_init_xavier_normal(model, "w", gain));
    check_normal(gain * sqrt(2.0 / (fan_in + fan_out)));
}
END_TEST

START_TEST(a_seed_gives_the_same_values_and_each_call_a_fresh_stream) {
    double first[12], second[12], repeated[12];
    MUST(context, blo_model_add_linear(model, "layer", 3, 4));
    MUST(context, blo_model_get(model, "layer.weight", first, 12));
    MUST(context, blo_init_uniform(model, "layer.weight", -1.0, 1.0));
    MUST(context, blo_model_get(model, "layer.weight", second, 12));

    blo_context *other = open_context(7);
    blo_model *twin = NULL;
    MUST(other, blo_model_create(other, BLO_FLOAT, &twin));
    MUST(other, blo_model_add_linear(twin, "layer", 3, 4));
    MUST(other, blo_model_get(twin, "layer.weight", repeated, 12));
    blo_model_destroy(twin);
    blo_context_destroy(other);

    ck_assert_mem_eq(first, repeated, sizeof first);
    ck_assert_mem_ne(first, second, sizeof first);
    for (int i = 0; i < 12; i++)
        ck_assert_double_le(fabs(first[i]), 1.0 / sqrt(3.0) + 1e-7);
}
END_TEST

START_TEST(wrong_calls_are_refused_in_a_sentence) {
    double values[4] = {0};
    MUST(context, blo_model_add(model, "w", 1, (const int64_t[]){4}));

    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "'w' already", blo_model_add(model, "w", 1, (const int64_t[]){4}));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "name", blo_model_add(model, "", 1, (const int64_t[]){4}));
    MUST_FAIL(context, BLO_ERROR_SHAPE, "4 elements, not 3", blo_model_set(model, "w", values, 3));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "'v'", blo_model_get(model, "v", values, 4));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "lo 2", blo_model_clamp(model, 2.0, 1.0));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "lo nan", blo_model_clamp(model, (double)NAN, 1.0));
    MUST_FAIL(context, BLO_ERROR_SHAPE, "fan", blo_init_xavier_normal(model, "w", 1.0));
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "deviation", blo_init_normal(model, "w", 0.0, -1.0));
    MUST_FAIL(context, BLO_ERROR_SHAPE, "linear", blo_model_add_linear(model, "l", 0, 3));
    blo_model *wrong = NULL;
    MUST_FAIL(context, BLO_ERROR_DTYPE, "int32", blo_model_create(context, BLO_INT32, &wrong));
    ck_assert_ptr_null(wrong);

    MUST(context, blo_model_set(model, "w", values, 4)); /* still usable */
    ck_assert_int_eq(blo_model_count(model), 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("models");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, values_come_back_as_they_were_set);
    tcase_add_test(all, clamp_keeps_every_value_within_its_bounds);
    tcase_add_loop_test(all, clamp_is_of_all_parameters, 0, 2);
    tcase_add_test(all, clamp_of_few_elements_is_one_command);
    tcase_add_test(all, zeroed_gradients_read_zero);
    tcase_add_test(all, initialisers_follow_their_definitions);
    tcase_add_test(all, a_seed_gives_the_same_values_and_each_call_a_fresh_stream);
    tcase_add_test(all, wrong_calls_are_refused_in_a_sentence);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
