/* IAPTT-GM on a small cleaning problem: truncation, accumulation, budgets, repetition, other validation data, what is
 * rebuilt and what waits. */
#include <math.h>
#include <pthread.h>

#include "cleaning.h"

enum { STEPS = 16, ITERATIONS = 4 };

static blo_lower_options options_of(int steps) {
    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = steps;
    options.optimizer.learning_rate = 0.5;
    options.optimizer.momentum = 0.5;
    return options;
}

/* Hypergradients of one loop at step K (0: the pessimistic one) in a fresh context. */
static int gradients_of(const blo_lower_options *options, int k, hypergradient *g) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    int worst = 0;
    cleaning_make(&c, open_context(3), options);
    MUST(c.context, cleaning_loop(&c, &trajectory, &worst));
    MUST(c.context, cleaning_sweep(&c, trajectory, k ? k : worst, NULL));
    cleaning_gradients(&c, g);
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
    return worst;
}

START_TEST(truncation_is_a_loop_of_that_length) {
    const int lengths[] = {1, 5, STEPS};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        hypergradient truncated, whole;
        blo_lower_options long_loop = options_of(STEPS), short_loop = options_of(lengths[i]);
        short_loop.truncation = false;
        gradients_of(&long_loop, lengths[i], &truncated);
        ck_assert_int_eq(gradients_of(&short_loop, 0, &whole), lengths[i]);
        ck_assert_double_gt(hypergradient_size(&whole), 1e-6);
        ck_assert_mem_eq(&truncated, &whole, sizeof whole);
    }
}
END_TEST

/* F at y_K for the models' present parameters. */
static double loss_at(cleaning *c, blo_trajectory **trajectory, int k) {
    double losses[STEPS];
    MUST(c->context, cleaning_loop(c, trajectory, NULL));
    MUST(c->context, blo_trajectory_losses(*trajectory, losses, STEPS));
    return losses[k - 1];
}

/* The central difference of F at y_K in element I of parameter NAME of MODEL. */
static double difference(cleaning *c, blo_trajectory **trajectory, int k, blo_model *model, const char *name, int i) {
    const double h = 1e-5;
    double values[EXAMPLES + WEIGHTS], sides[2];
    int64_t count = blo_tensor_count(blo_model_value(model, name));
    MUST(c->context, blo_model_get(model, name, values, count));
    for (int side = 0; side < 2; side++) {
        const double kept = values[i];
        values[i] += side == 0 ? h : -h;
        MUST(c->context, blo_model_set(model, name, values, count));
        sides[side] = loss_at(c, trajectory, k);
        values[i] = kept;
    }
    MUST(c->context, blo_model_set(model, name, values, count));
    return (sides[0] - sides[1]) / (2.0 * h);
}

START_TEST(hypergradients_are_the_derivatives_of_the_loop) {
    const blo_optimizer_kind kinds[] = {BLO_SGD, BLO_ADAM};
    for (size_t kind = 0; kind < 2; kind++) {
        cleaning c;
        hypergradient g;
        blo_trajectory *trajectory = NULL;
        const int k = 7;
        blo_lower_options options = options_of(STEPS);
        blo_optimizer_options_default(&options.optimizer, kinds[kind]);
        options.optimizer.learning_rate = 0.1;
        cleaning_make_of(&c, open_context(3), BLO_DOUBLE, &options);
        MUST(c.context, cleaning_loop(&c, &trajectory, NULL));
        MUST(c.context, cleaning_sweep(&c, trajectory, k, NULL));
        cleaning_gradients(&c, &g);
        ck_assert_double_gt(hypergradient_size(&g), 1e-6);
        for (int i = 0; i < EXAMPLES; i += 5)
            ck_assert_double_eq_tol(g.x[i], difference(&c, &trajectory, k, c.upper, "x", i), 1e-7);
        for (int i = 0; i < WEIGHTS; i += 4)
            ck_assert_double_eq_tol(g.weight[i], difference(&c, &trajectory, k, c.lower, "layer.weight", i), 1e-7);
        for (int i = 0; i < CLASSES; i++)
            ck_assert_double_eq_tol(g.bias[i], difference(&c, &trajectory, k, c.lower, "layer.bias", i), 1e-7);
        blo_trajectory_destroy(trajectory);
        cleaning_destroy(&c);
        blo_context_destroy(c.context);
    }
}
END_TEST

START_TEST(nothing_after_the_truncation_is_touched) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    blo_trajectory_report report;
    uint64_t launches[STEPS + 1] = {0};
    blo_lower_options options = options_of(STEPS);
    options.whole = BLO_WHOLE_OFF; /* the loop's kernel sweeps as well, and so leaves less to one of these calls */
    cleaning_make(&c, open_context(3), &options);
    MUST(c.context, cleaning_loop(&c, &trajectory, NULL));
    for (int k = 1; k <= STEPS; k++) {
        MUST(c.context, cleaning_sweep(&c, trajectory, k, NULL));
        blo_trajectory_describe(trajectory, &report);
        launches[k] = report.sweep_launches;
    }
    uint64_t each = launches[2] - launches[1];
    ck_assert_uint_gt(each, 0);
    for (int k = 2; k <= STEPS; k++)
        ck_assert_uint_eq(launches[k] - launches[k - 1], each);
    ck_assert_uint_eq(report.recomputed_steps, 0);
    ck_assert_int_eq(report.snapshots, STEPS + 1);
    ck_assert_uint_ge(report.snapshot_bytes, 2 * (WEIGHTS + CLASSES) * sizeof(float)); /* arrays are aligned */
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
}
END_TEST

START_TEST(tasks_add_up) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    hypergradient first, second, both;
    blo_lower_options options = options_of(STEPS);
    cleaning_make(&c, open_context(3), &options);
    MUST(c.context, cleaning_loop(&c, &trajectory, NULL));
    MUST(c.context, cleaning_sweep(&c, trajectory, 3, NULL));
    cleaning_gradients(&c, &first);
    cleaning_clear(&c);
    MUST(c.context, cleaning_sweep(&c, trajectory, STEPS, NULL));
    cleaning_gradients(&c, &second);
    cleaning_clear(&c);

    MUST(c.context, cleaning_sweep(&c, trajectory, 3, NULL));
    MUST(c.context, cleaning_sweep(&c, trajectory, STEPS, NULL));
    cleaning_gradients(&c, &both);

    for (int i = 0; i < EXAMPLES; i++)
        ck_assert_double_eq(both.x[i], (double)((float)first.x[i] + (float)second.x[i]));
    for (int i = 0; i < WEIGHTS; i++)
        ck_assert_double_eq(both.weight[i], (double)((float)first.weight[i] + (float)second.weight[i]));
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
}
END_TEST

START_TEST(any_budget_gives_the_same_bits) {
    enum { LONG = 60 };
    hypergradient free_of_limits, tight;
    cleaning c;
    blo_trajectory *trajectory = NULL;
    blo_trajectory_report report;
    blo_statistics statistics;
    int worst = 0;
    blo_lower_options options = options_of(LONG);
    cleaning_make(&c, open_context(3), &options);
    MUST(c.context, cleaning_loop(&c, &trajectory, &worst));
    MUST(c.context, cleaning_sweep(&c, trajectory, LONG, NULL));
    cleaning_gradients(&c, &free_of_limits);
    blo_trajectory_describe(trajectory, &report);
    blo_context_statistics(c.context, &statistics);
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);

    const uint64_t whole = statistics.peak_device_bytes, state = report.snapshot_bytes;
    for (uint64_t missing = 10; missing <= 50; missing += 20) {
        options.memory_budget = whole - missing * state;
        cleaning_make(&c, open_context(3), &options);
        trajectory = NULL;
        int again = 0;
        MUST(c.context, cleaning_loop(&c, &trajectory, &again));
        MUST(c.context, cleaning_sweep(&c, trajectory, LONG, NULL));
        cleaning_gradients(&c, &tight);
        blo_trajectory_describe(trajectory, &report);
        blo_context_statistics(c.context, &statistics);
        ck_assert_int_eq(again, worst);
        ck_assert_mem_eq(&tight, &free_of_limits, sizeof tight);
        ck_assert_int_lt(report.snapshots, LONG + 1);
        ck_assert_uint_gt(report.recomputed_steps, 0);
        ck_assert_uint_le(statistics.peak_device_bytes, options.memory_budget);
        blo_trajectory_destroy(trajectory);
        cleaning_destroy(&c);
        blo_context_destroy(c.context);
    }
}
END_TEST

/* A loop and a sweep within BUDGET; the sentence of a failure goes to SENTENCE. */
static blo_status run_within(uint64_t budget, char *sentence, size_t size) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    blo_statistics statistics;
    blo_lower_options options = options_of(STEPS);
    options.memory_budget = budget;
    cleaning_make(&c, open_context(3), &options);
    blo_status status = cleaning_loop(&c, &trajectory, NULL);
    if (status == BLO_OK)
        status = cleaning_sweep(&c, trajectory, STEPS, NULL);
    snprintf(sentence, size, "%s", blo_context_error(c.context));
    blo_context_statistics(c.context, &statistics);
    if (status == BLO_OK)
        ck_assert_uint_le(statistics.peak_device_bytes, budget);
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
    return status;
}

START_TEST(a_budget_too_small_names_the_least) {
    char sentence[512];
    ck_assert_int_eq(run_within(1, sentence, sizeof sentence), BLO_ERROR_BUDGET);
    const char *number = strstr(sentence, "at least ");
    ck_assert_msg(number != NULL, "'%s' names no least budget", sentence);
    uint64_t least = strtoull(number + strlen("at least "), NULL, 10);

    ck_assert_int_eq(run_within(least - 1, sentence, sizeof sentence), BLO_ERROR_BUDGET);
    blo_status status = run_within(least, sentence, sizeof sentence);
    ck_assert_msg(status == BLO_OK, "%llu bytes, named as the least: %s", (unsigned long long)least, sentence);
}
END_TEST

/* Whole upper iterations in a context of its own; the last hypergradient. */
static void *whole_run(void *result) {
    cleaning c;
    blo_optimizer *optimizers[2] = {NULL, NULL};
    blo_optimizer_options adam;
    blo_lower_options options = options_of(STEPS);
    blo_optimizer_options_default(&adam, BLO_ADAM);
    cleaning_make(&c, open_context(5), &options);
    MUST(c.context, blo_optimizer_create(c.upper, &adam, &optimizers[0]));
    MUST(c.context, blo_optimizer_create(c.lower, NULL, &optimizers[1]));
    MUST(c.context, blo_iapttgm_solve(c.method, c.solver, 2, optimizers, c.train_data, c.train_target, c.validate_data,
                                      c.validate_target, ITERATIONS, NULL, NULL));
    cleaning_gradients(&c, result);
    blo_optimizer_destroy(optimizers[0]);
    blo_optimizer_destroy(optimizers[1]);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
    return NULL;
}

START_TEST(same_seed_same_bits_in_turn_and_in_two_threads) {
    hypergradient alone, again, threaded[2];
    pthread_t threads[2];
    whole_run(&alone);
    whole_run(&again);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, whole_run, &threaded[i]), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_double_gt(hypergradient_size(&alone), 1e-6);
    ck_assert_mem_eq(&again, &alone, sizeof alone);
    ck_assert_mem_eq(&threaded[0], &alone, sizeof alone);
    ck_assert_mem_eq(&threaded[1], &alone, sizeof alone);
}
END_TEST

START_TEST(after_the_first_iteration_nothing_is_rebuilt_and_one_thing_waits) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    blo_optimizer *step_x = NULL, *step_z = NULL;
    blo_statistics before = {0}, after;
    blo_lower_options options = options_of(STEPS);
    cleaning_make(&c, open_context(3), &options);
    MUST(c.context, blo_optimizer_create(c.upper, NULL, &step_x));
    MUST(c.context, blo_optimizer_create(c.lower, NULL, &step_z));
    for (int i = 0; i < ITERATIONS; i++) {
        int k = 0;
        double loss = NAN, losses[STEPS];
        blo_context_statistics(c.context, &before);
        cleaning_clear(&c);
        MUST(c.context, cleaning_loop(&c, &trajectory, &k));
        MUST(c.context, cleaning_sweep(&c, trajectory, k, &loss));
        MUST(c.context, blo_optimizer_step(step_x));
        MUST(c.context, blo_optimizer_step(step_z));
        blo_context_statistics(c.context, &after);
        MUST(c.context, blo_trajectory_losses(trajectory, losses, STEPS));
        ck_assert_double_eq(loss, losses[k - 1]);
        ck_assert_uint_eq(after.waits, before.waits + 1);
        if (i == 0)
            continue;
        ck_assert_uint_eq(after.traces, before.traces);
        ck_assert_uint_eq(after.kernels_built, before.kernels_built);
        ck_assert_uint_eq(after.allocations, before.allocations);
    }
    ck_assert_uint_eq(after.traces, 2); /* f and F */
    blo_optimizer_destroy(step_x);
    blo_optimizer_destroy(step_z);
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
}
END_TEST

START_TEST(other_validation_data_give_what_a_loop_with_them_gives) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    blo_tensor *data = NULL, *target = NULL;
    hypergradient swapped, looped;
    double loss = NAN, losses[STEPS], evaluated = NAN;
    const int k = 7;
    blo_lower_options options = options_of(STEPS);
    cleaning_make(&c, open_context(3), &options);
    cleaning_data(c.context, BLO_FLOAT, EXAMPLES + 5, 9, &data, &target);
    MUST(c.context, cleaning_loop(&c, &trajectory, NULL));
    MUST(c.context, blo_iapttgm_compute_gradients(c.method, data, target, trajectory, &k, &loss));
    cleaning_gradients(&c, &swapped);
    MUST(c.context, blo_trajectory_evaluate(trajectory, k, cleaning_upper, NULL, data, target, &evaluated));

    cleaning_clear(&c);
    MUST(c.context, blo_lower_optimize(c.solver, c.train_data, c.train_target, data, target, &trajectory, NULL));
    MUST(c.context, blo_iapttgm_compute_gradients(c.method, data, target, trajectory, &k, NULL));
    cleaning_gradients(&c, &looped);
    MUST(c.context, blo_trajectory_losses(trajectory, losses, STEPS));

    ck_assert_mem_eq(&swapped, &looped, sizeof looped);
    ck_assert_double_eq(loss, losses[k - 1]);
    ck_assert_double_eq(evaluated, loss);
    blo_tensor_destroy(data);
    blo_tensor_destroy(target);
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
}
END_TEST

START_TEST(a_warm_start_begins_where_the_last_loop_ended) {
    cleaning c;
    blo_trajectory *trajectory = NULL;
    double last[WEIGHTS], first[WEIGHTS], z[WEIGHTS], gradient[WEIGHTS];
    blo_lower_options options = options_of(STEPS);
    options.initialization_auxiliary = false;
    options.warm_start = true;
    cleaning_make(&c, open_context(3), &options);
    MUST(c.context, cleaning_loop(&c, &trajectory, NULL));
    MUST(c.context, blo_trajectory_get(trajectory, 0, "layer.weight", first, WEIGHTS));
    MUST(c.context, blo_model_get(c.lower, "layer.weight", z, WEIGHTS));
    ck_assert_mem_eq(first, z, sizeof z);
    MUST(c.context, blo_trajectory_get(trajectory, STEPS, "layer.weight", last, WEIGHTS));
    ck_assert_mem_ne(last, z, sizeof z);

    MUST(c.context, cleaning_loop(&c, &trajectory, NULL));
    MUST(c.context, cleaning_sweep(&c, trajectory, STEPS, NULL));

    MUST(c.context, blo_trajectory_get(trajectory, 0, "layer.weight", first, WEIGHTS));
    ck_assert_mem_eq(first, last, sizeof last);
    MUST(c.context, blo_model_get_gradient(c.lower, "layer.weight", gradient, WEIGHTS));
    for (int i = 0; i < WEIGHTS; i++)
        ck_assert_double_eq(gradient[i], 0.0); /* z is no upper variable */
    blo_trajectory_destroy(trajectory);
    cleaning_destroy(&c);
    blo_context_destroy(c.context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("IAPTT-GM");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_test(all, truncation_is_a_loop_of_that_length);
    tcase_add_test(all, hypergradients_are_the_derivatives_of_the_loop);
    tcase_add_test(all, nothing_after_the_truncation_is_touched);
    tcase_add_test(all, tasks_add_up);
    tcase_add_test(all, any_budget_gives_the_same_bits);
    tcase_add_test(all, a_budget_too_small_names_the_least);
    tcase_add_test(all, after_the_first_iteration_nothing_is_rebuilt_and_one_thing_waits);
    tcase_add_test(all, other_validation_data_give_what_a_loop_with_them_gives);
    tcase_add_test(all, a_warm_start_begins_where_the_last_loop_ended);
    suite_add_tcase(suite, all);
    TCase *threads = tcase_create("threads");
    tcase_set_timeout(threads, 120);
    tcase_set_tags(threads, "threads"); /* left out where an implementation is not safe in them (tests/oclgrind.sh) */
    tcase_add_test(threads, same_seed_same_bits_in_turn_and_in_two_threads);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}
