/* One upper iteration of few-shot learning; see few_shot_iterate.h. */
#include "few_shot_iterate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "session.h"

int few_shot_iteration_open(few_shot_iteration *it, few_shot_problem *problem) {
    const size_t steps = (size_t)problem->settings->steps;
    *it = (few_shot_iteration){.problem = problem};
    it->losses = calloc(steps, sizeof *it->losses);
    if (!it->losses)
        return complain(EXIT_FAILED, "no memory for %zu lower steps", steps);
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

static blo_status loop(few_shot_iteration *it, const few_shot_task *task, int *max_loss_iter, double *row) {
    few_shot_problem *p = it->problem;
    blo_statistics before, after;
    blo_context_statistics(p->context, &before);
    const double start = session_seconds();
    blo_status status = blo_lower_optimize(p->solver, task->images[0], task->labels[0], task->images[1],
                                           task->labels[1], &p->trajectory, max_loss_iter);
    row[FEW_SHOT_SECONDS_LOOP] += session_seconds() - start;
    blo_context_statistics(p->context, &after);
    tally_add_waits(&it->tally, &before, &after);
    return status;
}

static blo_status backward(few_shot_iteration *it, const few_shot_task *task, int max_loss_iter, double *row) {
    few_shot_problem *p = it->problem;
    const double start = session_seconds();
    blo_status status =
        blo_iapttgm_compute_gradients(p->method, task->images[1], task->labels[1], p->trajectory, &max_loss_iter, NULL);
    if (status == BLO_OK)
        status = blo_context_finish(p->context);
    row[FEW_SHOT_SECONDS_BACKWARD] += session_seconds() - start;
    if (status == BLO_OK && it->sum.count)
        status = add_clamped(it);
    tally_add_sweep(&it->tally, p->trajectory);
    return status;
}

static blo_status run_task(few_shot_iteration *it, const few_shot_task *task, bool measures, double *row) {
    few_shot_problem *p = it->problem;
    const int steps = (int)p->settings->steps;
    const double share = 1 / (double)p->settings->tasks;
    int max_loss_iter = 0;
    double accuracy = (double)NAN;
    blo_status status = loop(it, task, &max_loss_iter, row);
    if (status == BLO_OK)
        status = blo_trajectory_losses(p->trajectory, it->losses, steps);
    if (status == BLO_OK && measures)
        status = blo_trajectory_evaluate(p->trajectory, steps, few_shot_accuracy, p, task->images[1], task->labels[1],
                                         &accuracy);
    if (status == BLO_OK)
        status = backward(it, task, max_loss_iter, row);
    if (status != BLO_OK)
        return status;
    row[FEW_SHOT_UPPER_LOSS] += share * it->losses[max_loss_iter - 1];
    row[FEW_SHOT_UPPER_LOSS_T] += share * it->losses[steps - 1];
    row[FEW_SHOT_MAX_LOSS_ITER] += share * max_loss_iter;
    row[FEW_SHOT_TRAIN_ACCURACY] += share * accuracy;
    it->tally.histogram[max_loss_iter]++;
    return status;
}

static int run_tasks(few_shot_iteration *it, int64_t i, bool measures, double *row) {
    few_shot_problem *p = it->problem;
    few_shot_task *task = &p->data->tasks[BLO_SPLIT_TRAIN];
    const uint64_t tasks = (uint64_t)p->settings->tasks, first = (uint64_t)(p->first_iteration + i) * tasks;
    int status = EXIT_DONE;
    for (uint64_t t = 0; t < tasks && status == EXIT_DONE; t++) {
        status = few_shot_data_draw(p->data, p->context, BLO_SPLIT_TRAIN, first + t);
        if (status == EXIT_DONE && run_task(it, task, measures, row) != BLO_OK)
            status = complain(EXIT_FAILED, "upper iteration %lld, task %llu: %s", (long long)i, (unsigned long long)t,
                              blo_context_error(p->context));
        if (status == EXIT_DONE && p->settings->keep_tasks)
            status = few_shot_keep_add(&it->kept, task);
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
