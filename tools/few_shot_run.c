/* The upper iterations of few-shot learning; see few_shot_run.h. */
#include "few_shot_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "few_shot_iterate.h"
#include "few_shot_judge.h"
#include "options.h"
#include "profile.h"
#include "progress.h"
#include "session.h"

static const char *const columns[FEW_SHOT_METRICS] = {
    "iteration",           "upper_loss", "upper_loss_T",    "max_loss_iter",   "train_accuracy", "validation_accuracy",
    "validation_interval", "lower_rate", "x_gradient_norm", "z_gradient_norm", "seconds_loop",   "seconds_backward"};

typedef struct run {
    few_shot_problem *problem;
    few_shot_iteration iteration;
    run_folder folder;
    bool saves;
    int64_t done, chosen; /* upper iterations; those behind the chosen model */
    double last[FEW_SHOT_METRICS];
    few_shot_verdict best, validated, test; /* validation's best and last */
    few_shot_copy models;                   /* the chosen ones */
} run;

static int failed(const run *r) {
    return complain(EXIT_FAILED, "after %lld upper iterations: %s", (long long)r->done,
                    blo_context_error(r->problem->context));
}

/* --- choosing --- */

static int choose_present(run *r) {
    r->chosen = r->done;
    if (few_shot_copy_take(&r->models, r->problem) != BLO_OK)
        return failed(r);
    return r->saves
               ? few_shot_model_save(r->problem, &r->folder, "model.safetensors", r->problem->first_iteration + r->done)
               : EXIT_DONE;
}

/* Judges the present models on validation classes, and keeps them if none before were better. */
static int validate(run *r) {
    const few_shot_settings *s = r->problem->settings;
    few_shot_verdict now;
    const double rate = few_shot_problem_rate(r->problem, r->done);
    int status = few_shot_judge(r->problem, BLO_SPLIT_VALIDATION, s->validate_tasks, rate, false, &now);
    if (status != EXIT_DONE || now.tasks < s->validate_tasks) /* interrupted: no verdict */
        return status;
    r->validated = now;
    r->last[FEW_SHOT_VALIDATION_ACCURACY] = now.accuracy;
    r->last[FEW_SHOT_VALIDATION_INTERVAL] = now.interval;
    if (r->best.tasks && now.accuracy <= r->best.accuracy)
        return EXIT_DONE;
    r->best = now;
    return choose_present(r);
}

/* The chosen models on test classes. The present ones, where others were chosen, are saved first. */
static int judge_chosen(run *r) {
    few_shot_problem *p = r->problem;
    const few_shot_settings *s = p->settings;
    int status = EXIT_DONE;
    if (!r->best.tasks)
        status = choose_present(r);
    if (status == EXIT_DONE && r->saves)
        status = few_shot_model_save(p, &r->folder, "last.safetensors", p->first_iteration + r->done);
    if (status != EXIT_DONE || interrupt_asked() || !s->evaluate_tasks)
        return status;
    if (few_shot_copy_put(&r->models, p) != BLO_OK)
        return failed(r);
    printf("the model of upper iteration %lld on test classes\n", (long long)r->chosen);
    status = few_shot_judge(p, BLO_SPLIT_TEST, s->evaluate_tasks, few_shot_problem_rate(p, r->chosen), true, &r->test);
    return status;
}

/* --- files --- */

static void set_number(json_t *object, const char *key, double value, bool known) {
    json_object_set_new(object, key, known && isfinite(value) ? json_real(value) : json_null());
}

static json_t *images_of(const run *r) {
    const blo_images *images = r->problem->data->images;
    json_t *object = json_object();
    json_object_set_new(object, "count", json_integer((json_int_t)blo_images_count(images)));
    json_object_set_new(object, "rotations", json_integer(blo_images_rotations(images)));
    json_object_set_new(object, "splits", json_string(blo_images_origin(images)));
    json_object_set_new(object, "train_classes", json_integer(blo_images_classes(images, BLO_SPLIT_TRAIN)));
    json_object_set_new(object, "validation_classes", json_integer(blo_images_classes(images, BLO_SPLIT_VALIDATION)));
    json_object_set_new(object, "test_classes", json_integer(blo_images_classes(images, BLO_SPLIT_TEST)));
    return object;
}

static int save_result(run *r) {
    json_t *result = json_object();
    set_number(result, "test_accuracy", r->test.accuracy, r->test.tasks > 0);
    set_number(result, "test_interval", r->test.interval, r->test.tasks > 0);
    json_object_set_new(result, "test_tasks", json_integer((json_int_t)r->test.tasks));
    set_number(result, "validation_accuracy", r->best.accuracy, r->best.tasks > 0);
    set_number(result, "validation_interval", r->best.interval, r->best.tasks > 0);
    json_object_set_new(result, "chosen_iteration", json_integer((json_int_t)r->chosen));
    for (int m = FEW_SHOT_UPPER_LOSS; m < FEW_SHOT_SECONDS_LOOP; m++)
        if (m != FEW_SHOT_VALIDATION_ACCURACY && m != FEW_SHOT_VALIDATION_INTERVAL)
            set_number(result, columns[m], r->last[m], r->done > 0);
    json_object_set_new(result, "iterations", json_integer((json_int_t)r->done));
    json_object_set_new(result, "iterations_before", json_integer((json_int_t)r->problem->first_iteration));
    json_object_set_new(result, "images", images_of(r));
    tally_report(&r->iteration.tally, result);
    return session_result(r->problem->context, &r->folder, result);
}

static int save_end(run *r) {
    const few_shot_problem *p = r->problem;
    int status = run_folder_flush(&r->folder);
    if (status == EXIT_DONE)
        status = save_result(r);
    return status == EXIT_DONE && r->done ? few_shot_keep_save(&r->iteration.kept, &p->data->batches[BLO_SPLIT_TRAIN],
                                                               r->done, p->settings->tasks, &r->folder)
                                          : status;
}

static void print_table(run *r) {
    static const few_shot_metric shown[] = {FEW_SHOT_UPPER_LOSS, FEW_SHOT_UPPER_LOSS_T, FEW_SHOT_MAX_LOSS_ITER};
    printf("\nafter %lld upper iterations on %s\n", (long long)r->done, blo_context_device_name(r->problem->context));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0] && r->done; i++)
        printf("  %-20s %10.4f\n", columns[shown[i]], r->last[shown[i]]);
    if (r->best.tasks)
        printf("  %-20s %10.4f +- %.4f over %lld tasks, best, after %lld iterations\n", "validation_accuracy",
               r->best.accuracy, r->best.interval, (long long)r->best.tasks, (long long)r->chosen);
    if (r->test.tasks)
        printf("  %-20s %10.4f +- %.4f over %lld tasks, of that model\n", "test_accuracy", r->test.accuracy,
               r->test.interval, (long long)r->test.tasks);
    tally_print(&r->iteration.tally, r->problem->context);
}

/* --- the run --- */

static int open_run(run *r, const json_t *config) {
    const few_shot_settings *s = r->problem->settings;
    int status = few_shot_iteration_open(&r->iteration, r->problem);
    if (status == EXIT_DONE)
        status = few_shot_copy_open(&r->models, r->problem);
    r->saves = s->session.output != NULL;
    if (status != EXIT_DONE || !r->saves)
        return status;
    status = run_folder_open(&r->folder, s->session.output, config, FEW_SHOT_METRICS, columns);
    return status == EXIT_DONE
               ? few_shot_model_save(r->problem, &r->folder, "first.safetensors", r->problem->first_iteration)
               : status;
}

static void show(const run *r) {
    char text[160];
    int length = snprintf(text, sizeof text, "F %.4f, at y_T %.4f", r->last[FEW_SHOT_UPPER_LOSS],
                          r->last[FEW_SHOT_UPPER_LOSS_T]);
    if (r->validated.tasks)
        snprintf(text + length, sizeof text - (size_t)length, "  validation accuracy %.4f +- %.4f, best %.4f",
                 r->validated.accuracy, r->validated.interval, r->best.accuracy);
    progress_show((int)r->done, (int)r->problem->settings->iterations, text);
}

static int iterations(run *r) {
    const few_shot_settings *s = r->problem->settings;
    const bool validates = s->validate_every > 0;
    int status = EXIT_DONE;
    if (validates && s->load && s->iterations > 0) /* what was loaded may stay the best */
        status = validate(r);
    while (r->done < s->iterations && status == EXIT_DONE && !interrupt_asked()) {
        const int64_t next = r->done + 1;
        const bool measures = validates && (next % s->validate_every == 0 || next == s->iterations);
        double row[FEW_SHOT_METRICS];
        status = few_shot_iterate(&r->iteration, r->done, measures, row);
        if (status != EXIT_DONE)
            break;
        tally_add_seconds(&r->iteration.tally, row[FEW_SHOT_SECONDS_LOOP], row[FEW_SHOT_SECONDS_BACKWARD]);
        r->done = next;
        memcpy(r->last, row, sizeof row);
        if (!measures)
            r->last[FEW_SHOT_TRAIN_ACCURACY] = (double)NAN;
        else
            status = validate(r);
        show(r);
        if (r->saves && run_folder_row(&r->folder, r->last) != EXIT_DONE)
            status = EXIT_FAILED;
        if (r->saves && measures && status == EXIT_DONE)
            status = run_folder_flush(&r->folder);
    }
    if (s->iterations)
        progress_end();
    return status;
}

int few_shot_run(few_shot_problem *problem, const json_t *config) {
    run r = {.problem = problem};
    int status = open_run(&r, config);
    if (status == EXIT_DONE) {
        interrupt_catch();
        status = iterations(&r);
        if (status == EXIT_DONE)
            status = judge_chosen(&r);
        else if (r.saves && r.done)
            few_shot_model_rescue(problem, &r.folder, "last.safetensors", problem->first_iteration + r.done);
        if (r.done || r.test.tasks)
            print_table(&r);
        if ((r.saves ? save_end(&r) : profile_report(problem->context, NULL)) != EXIT_DONE)
            status = EXIT_FAILED;
        if (r.saves && (r.done || r.test.tasks))
            printf("files in %s\n", r.folder.path);
        if (interrupt_asked() && status == EXIT_DONE)
            status = complain(EXIT_FAILED, "interrupted after %lld of %lld upper iterations, %lld of %lld test tasks",
                              (long long)r.done, (long long)problem->settings->iterations, (long long)r.test.tasks,
                              (long long)problem->settings->evaluate_tasks);
    }
    run_folder_close(&r.folder);
    few_shot_copy_close(&r.models);
    few_shot_iteration_close(&r.iteration);
    return status;
}
