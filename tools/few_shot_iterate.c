/* One upper iteration of few-shot learning; see few_shot_iterate.h. */
#include "few_shot_iterate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "session.h"

int few_shot_iteration_open(few_shot_iteration *it, few_shot_problem *problem) {
    const size_t steps = (size_t)problem->settings->steps, tasks = (size_t)problem->settings->tasks;
    *it = (few_shot_iteration){.problem = problem};
    it->losses = calloc(steps * tasks, sizeof *it->losses);
    it->chosen = calloc(tasks, sizeof *it->chosen);
    it->accuracies = calloc(tasks, sizeof *it->accuracies);
    if (!it->losses || !it->chosen || !it->accuracies)
        return complain(EXIT_FAILED, "no memory for %zu lower steps of %zu tasks", steps, tasks);
    int status = tally_open(&it->tally, problem->settings->steps, problem->settings->iterations);
    if (status == EXIT_DONE)
        status = few_shot_copy_open(&it->gradients, problem);
    return status == EXIT_DONE && problem->settings->clamp_per_task > 0 ? few_shot_copy_open(&it->sum, problem)
                                                                        : status;
}

void few_shot_iteration_close(few_shot_iteration *it) {
    few_shot_keep_free(&it->kept);
    few_shot_copy_close(&it->gradients);
    few_shot_copy_close(&it->sum);
    tally_close(&it->tally);
    free(it->losses);
    free(it->chosen);
    free(it->accuracies);
}

/* --- gradients --- */

static blo_status zero_gradients(few_shot_problem *p) {
    blo_status status = p->backbone ? blo_model_zero_gradients(p->backbone) : BLO_OK;
    return status == BLO_OK ? blo_model_zero_gradients(p->lower) : status;
}

/* The upper gradient of COPY: the backbone's, or the initialization's where there is no backbone above. */
static void clamp(few_shot_copy *copy, double bound) {
    for (int64_t i = 0; i < copy->upper; i++)
        copy->values[i] = copy->values[i] > bound ? bound : copy->values[i] < -bound ? -bound : copy->values[i];
}

/* Moves the gradients of one task, clamped, into the sum. */
static blo_status add_clamped(few_shot_iteration *it) {
    blo_status status = few_shot_copy_take_gradients(&it->gradients, it->problem);
    clamp(&it->gradients, it->problem->settings->clamp_per_task);
    for (int64_t i = 0; i < it->sum.count; i++)
        it->sum.values[i] += it->gradients.values[i];
    return status == BLO_OK ? zero_gradients(it->problem) : status;
}

static double norm(const double *values, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sqrt(sum);
}

/* What the tasks added up to, clamped where that is asked for, and its norms. */
static blo_status finish_gradients(few_shot_iteration *it, double *row) {
    few_shot_problem *p = it->problem;
    const few_shot_settings *s = p->settings;
    blo_status status = BLO_OK;
    if (s->clamp_per_task > 0)
        memcpy(it->gradients.values, it->sum.values, (size_t)it->sum.count * sizeof *it->sum.values);
    else
        status = few_shot_copy_take_gradients(&it->gradients, p);
    if (s->clamp > 0)
        clamp(&it->gradients, s->clamp);
    if (status == BLO_OK && (s->clamp > 0 || s->clamp_per_task > 0))
        status = few_shot_copy_put_gradients(&it->gradients, p);
    const int64_t x = p->backbone ? it->gradients.upper : 0;
    row[FEW_SHOT_X_GRADIENT_NORM] = norm(it->gradients.values, x);
    row[FEW_SHOT_Z_GRADIENT_NORM] = norm(it->gradients.values + x, it->gradients.count - x);
    return status;
}

/* --- tasks --- */

/* The batch that lies in the tensors; metrics go into ROW. */
static blo_status loop(few_shot_iteration *it, const few_shot_batch *batch, double *row) {
    few_shot_problem *p = it->problem;
    blo_statistics before, after;
    blo_context_statistics(p->context, &before);
    const double start = session_seconds();
    blo_status status = blo_lower_optimize(p->solver, batch->images[0], batch->labels[0], batch->images[1],
                                           batch->labels[1], &p->trajectory, it->chosen);
    row[FEW_SHOT_SECONDS_LOOP] += session_seconds() - start;
    blo_context_statistics(p->context, &after);
    tally_add_waits(&it->tally, &before, &after);
    return status;
}

static blo_status backward(few_shot_iteration *it, const few_shot_batch *batch, double *row) {
    few_shot_problem *p = it->problem;
    const double start = session_seconds();
    blo_status status =
        blo_iapttgm_compute_gradients(p->method, batch->images[1], batch->labels[1], p->trajectory, it->chosen, NULL);
    if (status == BLO_OK)
        status = blo_context_finish(p->context);
    row[FEW_SHOT_SECONDS_BACKWARD] += session_seconds() - start;
    if (status == BLO_OK && it->sum.count)
        status = add_clamped(it);
    tally_add_sweep(&it->tally, p->trajectory);
    return status;
}

/* What B tasks, of which task t lies at t, add to the means of the iteration. */
static void add_metrics(few_shot_iteration *it, int64_t b, bool measures, double *row) {
    const int64_t steps = it->problem->settings->steps;
    const double share = 1 / (double)it->problem->settings->tasks;
    for (int64_t t = 0; t < b; t++) {
        row[FEW_SHOT_UPPER_LOSS] += share * it->losses[(it->chosen[t] - 1) * b + t];
        row[FEW_SHOT_UPPER_LOSS_T] += share * it->losses[(steps - 1) * b + t];
        row[FEW_SHOT_MAX_LOSS_ITER] += share * it->chosen[t];
        row[FEW_SHOT_TRAIN_ACCURACY] += measures ? share * it->accuracies[t] : (double)NAN;
        it->tally.histogram[it->chosen[t]]++;
    }
}

static blo_status run_batch(few_shot_iteration *it, const few_shot_batch *batch, bool measures, double *row) {
    few_shot_problem *p = it->problem;
    const int steps = (int)p->settings->steps, b = batch->drawn.options.tasks;
    blo_status status = loop(it, batch, row);
    if (status == BLO_OK)
        status = blo_trajectory_losses(p->trajectory, it->losses, steps * b);
    if (status == BLO_OK && measures)
        status = blo_trajectory_evaluate(p->trajectory, steps, few_shot_accuracy, p, batch->images[1], batch->labels[1],
                                         it->accuracies);
    if (status == BLO_OK)
        status = backward(it, batch, row);
    if (status == BLO_OK)
        add_metrics(it, b, measures, row);
    return status;
}

static int run_tasks(few_shot_iteration *it, int64_t i, bool measures, double *row) {
    few_shot_problem *p = it->problem;
    const few_shot_batch *batch = &p->data->batches[BLO_SPLIT_TRAIN];
    const int64_t tasks = p->settings->tasks, first = (p->first_iteration + i) * tasks;
    int64_t b = 1, t = 0;
    int status = EXIT_DONE;
    while (t < tasks && status == EXIT_DONE) {
        status = few_shot_problem_batch(p, false, BLO_SPLIT_TRAIN, tasks, &b);
        if (status == EXIT_DONE)
            status = few_shot_data_draw(p->data, p->context, BLO_SPLIT_TRAIN, (uint64_t)(first + t));
        if (status != EXIT_DONE)
            break;
        const blo_status run = run_batch(it, batch, measures, row);
        if (few_shot_problem_retry(p, false, b, run))
            continue;
        if (run != BLO_OK)
            status = complain(EXIT_FAILED, "upper iteration %lld, task %lld: %s", (long long)i, (long long)t,
                              blo_context_error(p->context));
        else if (p->settings->keep_tasks)
            status = few_shot_keep_add(&it->kept, batch);
        t += b;
    }
    return status;
}

int few_shot_iterate(few_shot_iteration *it, int64_t i, bool measures, double *row) {
    few_shot_problem *p = it->problem;
    memset(row, 0, FEW_SHOT_METRICS * sizeof *row);
    row[FEW_SHOT_ITERATION] = (double)i;
    row[FEW_SHOT_VALIDATION_ACCURACY] = row[FEW_SHOT_VALIDATION_INTERVAL] = (double)NAN;
    row[FEW_SHOT_LOWER_RATE] = few_shot_problem_rate(p, i);
    if (it->sum.count)
        memset(it->sum.values, 0, (size_t)it->sum.count * sizeof *it->sum.values);
    blo_status status = zero_gradients(p);
    if (status == BLO_OK)
        status = few_shot_problem_set_rate(p, false, row[FEW_SHOT_LOWER_RATE]);
    if (status != BLO_OK)
        return complain(EXIT_FAILED, "upper iteration %lld: %s", (long long)i, blo_context_error(p->context));
    int done = run_tasks(it, i, measures, row);
    if (done != EXIT_DONE)
        return done;
    status = finish_gradients(it, row);
    if (status == BLO_OK && p->backbone_step)
        status = blo_optimizer_step(p->backbone_step);
    if (status == BLO_OK && p->init_step)
        status = blo_optimizer_step(p->init_step);
    return status == BLO_OK
               ? EXIT_DONE
               : complain(EXIT_FAILED, "upper iteration %lld: %s", (long long)i, blo_context_error(p->context));
}
