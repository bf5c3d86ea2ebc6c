/* The upper iterations of hyper-cleaning; see cleaning_run.h. */
#include "cleaning_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "profile.h"
#include "progress.h"
#include "session.h"
#include "tally.h"

typedef enum metric {
    ITERATION,
    UPPER_LOSS,
    UPPER_LOSS_T,
    LOWER_LOSS_T,
    MAX_LOSS_ITER,
    TEST_ACCURACY,
    TEST_ACCURACY_INIT,
    PRECISION,
    RECALL,
    F1,
    F1_WRONG,
    X_GRADIENT_NORM,
    Z_GRADIENT_NORM,
    SECONDS_LOOP,
    SECONDS_BACKWARD,
    N_METRICS
} metric;
static const char *const columns[N_METRICS] = {
    "iteration",     "upper_loss",         "upper_loss_T",    "lower_loss_T", "max_loss_iter",
    "test_accuracy", "test_accuracy_init", "precision",       "recall",       "f1",
    "f1_wrong",      "x_gradient_norm",    "z_gradient_norm", "seconds_loop", "seconds_backward"};

typedef struct run {
    cleaning_problem *problem;
    run_folder folder;
    bool saves;
    int done;
    double last[N_METRICS];
    tally tally;
    double *losses;   /* [T] */
    double *values;   /* room for the largest parameter */
    int32_t *batches; /* [iterations,T,B], NULL: not kept */
} run;

static int failed(const run *r) {
    return complain(EXIT_FAILED, "upper iteration %d: %s", r->done, blo_context_error(r->problem->context));
}

/* --- metrics --- */

/* 0/0 is 0. */
static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

/* Positive: a clean label, predicted where x >= 0. */
static void score(const run *r, const double *x, double *row) {
    const cleaning_split *train = &r->problem->data->splits[0];
    double kept_clean = 0, kept = 0, clean = 0, n = (double)train->count;
    for (int64_t i = 0; i < train->count; i++) {
        bool is_clean = !r->problem->data->wrong[i], keep = x[i] >= 0;
        kept += keep;
        clean += is_clean;
        kept_clean += keep && is_clean;
    }
    double dropped_wrong = n - clean - (kept - kept_clean), dropped = n - kept, wrong = n - clean;
    row[PRECISION] = ratio(kept_clean, kept);
    row[RECALL] = ratio(kept_clean, clean);
    row[F1] = ratio(2 * kept_clean, kept + clean);
    row[F1_WRONG] = ratio(2 * dropped_wrong, dropped + wrong);
}

static blo_status gradient_norm(run *r, blo_model *model, double *norm) {
    double sum = 0;
    blo_status status = BLO_OK;
    for (int i = 0; i < blo_model_count(model) && status == BLO_OK; i++) {
        const char *name = blo_model_name(model, i);
        int64_t count = blo_tensor_count(blo_model_value(model, name));
        status = blo_model_get_gradient(model, name, r->values, count);
        for (int64_t j = 0; j < count && status == BLO_OK; j++)
            sum += r->values[j] * r->values[j];
    }
    *norm = sqrt(sum);
    return status;
}

/* What stands at y_T, before the updates. */
static blo_status measure_final(run *r, double *row) {
    cleaning_problem *p = r->problem;
    cleaning_split *train = &p->data->splits[0], *test = &p->data->splits[2];
    int steps = (int)p->settings->steps;
    blo_status status = blo_trajectory_losses(p->trajectory, r->losses, steps);
    row[UPPER_LOSS_T] = r->losses[steps - 1];
    if (status == BLO_OK)
        status = blo_trajectory_evaluate(p->trajectory, steps, cleaning_lower_loss, p, train->images, train->targets,
                                         &row[LOWER_LOSS_T]);
    if (status == BLO_OK)
        status = blo_trajectory_evaluate(p->trajectory, steps, cleaning_accuracy, p, test->images, test->targets,
                                         &row[TEST_ACCURACY]);
    return status;
}

static blo_status update(run *r, double *row) {
    cleaning_problem *p = r->problem;
    cleaning_split *test = &p->data->splits[2];
    blo_status status = blo_optimizer_step(p->weights_step);
    if (status == BLO_OK && p->init_step)
        status = blo_optimizer_step(p->init_step);
    if (status == BLO_OK)
        status =
            blo_lower_evaluate(p->solver, cleaning_accuracy, p, test->images, test->targets, &row[TEST_ACCURACY_INIT]);
    if (status == BLO_OK)
        status = blo_model_get(p->weights, "weight", r->values, p->data->splits[0].count);
    if (status == BLO_OK)
        score(r, r->values, row);
    return status;
}

static blo_status backward(run *r, int max_loss_iter, double *row) {
    cleaning_problem *p = r->problem;
    cleaning_split *validation = &p->data->splits[1];
    double start = session_seconds();
    blo_status status = blo_iapttgm_compute_gradients(p->method, validation->images, validation->targets, p->trajectory,
                                                      &max_loss_iter, &row[UPPER_LOSS]);
    if (status == BLO_OK)
        status = blo_context_finish(p->context);
    row[SECONDS_BACKWARD] = session_seconds() - start;
    if (status == BLO_OK)
        status = gradient_norm(r, p->weights, &row[X_GRADIENT_NORM]);
    return status == BLO_OK ? gradient_norm(r, p->classifier, &row[Z_GRADIENT_NORM]) : status;
}

/* One upper iteration. */
static blo_status iterate(run *r, double *row) {
    cleaning_problem *p = r->problem;
    cleaning_split *train = &p->data->splits[0], *validation = &p->data->splits[1];
    blo_statistics before, after;
    int max_loss_iter = 0;
    blo_status status = blo_model_zero_gradients(p->weights);
    if (status == BLO_OK)
        status = blo_model_zero_gradients(p->classifier);
    blo_context_statistics(p->context, &before);
    double start = session_seconds();
    if (status == BLO_OK)
        status = blo_lower_optimize(p->solver, train->images, train->targets, validation->images, validation->targets,
                                    &p->trajectory, &max_loss_iter);
    row[SECONDS_LOOP] = session_seconds() - start;
    blo_context_statistics(p->context, &after);
    tally_add_waits(&r->tally, &before, &after);
    row[ITERATION] = r->done;
    row[MAX_LOSS_ITER] = max_loss_iter;
    if (status == BLO_OK)
        status = measure_final(r, row);
    if (status == BLO_OK)
        status = backward(r, max_loss_iter, row);
    if (status == BLO_OK) {
        tally_add_sweep(&r->tally, p->trajectory);
        status = update(r, row);
    }
    if (status == BLO_OK)
        r->tally.histogram[max_loss_iter]++;
    return status;
}

/* --- files --- */

static int save_start(run *r) {
    cleaning_problem *p = r->problem;
    char file[256];
    int status = cleaning_data_save(p->data, &r->folder);
    for (int i = 0; i < blo_model_count(p->classifier) && status == EXIT_DONE; i++) {
        const char *name = blo_model_name(p->classifier, i);
        blo_tensor *value = blo_model_value(p->classifier, name);
        void *host = malloc(blo_tensor_bytes(value));
        snprintf(file, sizeof file, "z_%s.npy", name);
        if (!host)
            status = complain(EXIT_FAILED, "no memory to save %s", name);
        else if (blo_tensor_download(value, host, blo_tensor_bytes(value)) != BLO_OK)
            status = failed(r);
        else
            status =
                run_folder_array(&r->folder, file, p->dtype, blo_tensor_rank(value), blo_tensor_shape(value), host);
        free(host);
    }
    return status;
}

static int save_result(run *r) {
    json_t *result = json_object();
    for (int m = 0; m < N_METRICS; m++)
        if (m != ITERATION && m != SECONDS_LOOP && m != SECONDS_BACKWARD)
            json_object_set_new(result, columns[m], isfinite(r->last[m]) ? json_real(r->last[m]) : json_null());
    json_object_set_new(result, "iterations", json_integer(r->done));
    tally_report(&r->tally, result);
    return session_result(r->problem->context, &r->folder, result);
}

static int save_end(run *r) {
    cleaning_problem *p = r->problem;
    const int64_t n = p->data->splits[0].count, shape[3] = {r->done, p->settings->steps, p->settings->batch};
    int status = run_folder_flush(&r->folder);
    if (status == EXIT_DONE)
        status = save_result(r);
    if (status == EXIT_DONE && r->batches)
        status = run_folder_array(&r->folder, "batches.npy", BLO_INT32, 3, shape, r->batches);
    if (status != EXIT_DONE || blo_model_get(p->weights, "weight", r->values, n) != BLO_OK)
        return status;
    return run_folder_array(&r->folder, "weights.npy", BLO_DOUBLE, 1, &n, r->values);
}

static void print_table(run *r) {
    static const metric shown[] = {
        UPPER_LOSS, UPPER_LOSS_T, LOWER_LOSS_T, MAX_LOSS_ITER, TEST_ACCURACY, TEST_ACCURACY_INIT,
        PRECISION,  RECALL,       F1,           F1_WRONG};
    printf("\nafter %d upper iterations on %s\n", r->done, blo_context_device_name(r->problem->context));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        printf("  %-20s %10.4f\n", columns[shown[i]], r->last[shown[i]]);
    tally_print(&r->tally, r->problem->context);
}

/* --- the run --- */

static int open_run(run *r, const json_t *config) {
    const cleaning_settings *s = r->problem->settings;
    const int64_t keep_batches = 256 << 20;
    size_t largest = (size_t)r->problem->data->splits[0].count, iterations = (size_t)s->iterations;
    for (int i = 0; i < blo_model_count(r->problem->classifier); i++) {
        int64_t count =
            blo_tensor_count(blo_model_value(r->problem->classifier, blo_model_name(r->problem->classifier, i)));
        largest = (size_t)count > largest ? (size_t)count : largest;
    }
    r->losses = calloc((size_t)s->steps, sizeof *r->losses);
    r->values = calloc(largest, sizeof *r->values);
    if (!r->losses || !r->values)
        return complain(EXIT_FAILED, "no memory for the metrics of %lld steps", (long long)s->steps);
    int status = tally_open(&r->tally, s->steps, s->iterations);
    r->saves = s->session.output != NULL;
    if (status != EXIT_DONE || !r->saves)
        return status;
    if (s->batch && (double)s->iterations * (double)s->steps * (double)s->batch * 4 <= (double)keep_batches)
        r->batches = calloc(iterations * (size_t)s->steps * (size_t)s->batch, sizeof *r->batches);
    status = run_folder_open(&r->folder, s->session.output, config, N_METRICS, columns);
    return status == EXIT_DONE ? save_start(r) : status;
}

static void keep_batch(run *r) {
    const cleaning_settings *s = r->problem->settings;
    size_t count = (size_t)(s->steps * s->batch);
    if (r->batches)
        memcpy(r->batches + (size_t)r->done * count, r->problem->drawn, count * sizeof *r->batches);
}

static int iterations(run *r) {
    const cleaning_settings *s = r->problem->settings;
    int status = EXIT_DONE;
    interrupt_catch();
    while (r->done < s->iterations && status == EXIT_DONE && !interrupt_asked()) {
        double row[N_METRICS] = {0};
        char text[160];
        status = cleaning_problem_draw(r->problem, r->done);
        if (status == EXIT_DONE && iterate(r, row) != BLO_OK)
            status = failed(r);
        if (status != EXIT_DONE)
            break;
        keep_batch(r);
        tally_add_seconds(&r->tally, row[SECONDS_LOOP], row[SECONDS_BACKWARD]);
        r->done++;
        memcpy(r->last, row, sizeof row);
        snprintf(text, sizeof text, "F %.4f at step %d  accuracy %.4f  f1 %.4f  wrong ones %.4f", row[UPPER_LOSS],
                 (int)row[MAX_LOSS_ITER], row[TEST_ACCURACY], row[F1], row[F1_WRONG]);
        progress_show(r->done, (int)s->iterations, text);
        if (r->saves)
            status = run_folder_row(&r->folder, row);
    }
    progress_end();
    return status;
}

int cleaning_run(cleaning_problem *problem, const json_t *config) {
    run r = {.problem = problem};
    int status = open_run(&r, config);
    if (status == EXIT_DONE) {
        status = iterations(&r);
        if (r.done)
            print_table(&r);
        if ((r.saves ? save_end(&r) : profile_report(problem->context, NULL)) != EXIT_DONE)
            status = EXIT_FAILED;
        if (r.saves && r.done)
            printf("files in %s\n", r.folder.path);
        if (interrupt_asked() && status == EXIT_DONE)
            status = complain(EXIT_FAILED, "interrupted after %d of %lld upper iterations", r.done,
                              (long long)problem->settings->iterations);
    }
    run_folder_close(&r.folder);
    tally_close(&r.tally);
    free(r.losses);
    free(r.values);
    free(r.batches);
    return status;
}
