/* How well the models learn new tasks; see few_shot_judge.h. */
#include "few_shot_judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "progress.h"

/* The B tasks that run at once, and what they gave. */
typedef struct judged_tasks {
    int64_t b;
    double *losses; /* [T][B]: room for all that may run at once */
} judged_tasks;

/* The shares of right answers at y_T of the tasks that lie in the tensors: ACCURACIES[b] within the panel's losses. */
static blo_status judge_batch(few_shot_problem *p, const few_shot_batch *batch, judged_tasks *panel,
                              double **accuracies) {
    blo_status status = blo_lower_optimize(p->judge, batch->images[0], batch->labels[0], batch->images[1],
                                           batch->labels[1], &p->judged, NULL);
    if (status != BLO_OK)
        return status;
    const int steps = blo_trajectory_steps(p->judged);
    status = blo_trajectory_losses(p->judged, panel->losses, steps * (int)panel->b);
    *accuracies = panel->losses + (steps - 1) * panel->b;
    return status;
}

/* One task more. SUM and SQUARES of the accuracies so far. */
static void add_accuracy(few_shot_verdict *verdict, double accuracy, double *sum, double *squares) {
    *sum += accuracy;
    *squares += accuracy * accuracy;
    const double tasks = (double)++verdict->tasks, variance = *squares - *sum * *sum / tasks;
    verdict->accuracy = *sum / tasks;
    verdict->interval = tasks > 1 && variance > 0 ? 1.96 * sqrt(variance / (tasks - 1) / tasks) : 0;
}

static int judge_tasks(few_shot_problem *p, blo_split split, int64_t n, bool shows, judged_tasks *panel,
                       few_shot_verdict *verdict) {
    double sum = 0, squares = 0, *accuracies = NULL;
    int status = EXIT_DONE;
    while (verdict->tasks < n && status == EXIT_DONE && !interrupt_asked()) {
        const int64_t first = verdict->tasks;
        char text[64];
        status = few_shot_problem_batch(p, true, split, n, &panel->b);
        if (status == EXIT_DONE)
            status = few_shot_data_draw(p->data, p->context, split, (uint64_t)first);
        if (status != EXIT_DONE)
            break;
        const blo_status judged = judge_batch(p, &p->data->batches[split], panel, &accuracies);
        if (few_shot_problem_retry(p, true, panel->b, judged))
            continue;
        if (judged != BLO_OK)
            return complain(EXIT_FAILED, "%s task %lld: %s", split == BLO_SPLIT_TEST ? "test" : "validation",
                            (long long)first, blo_context_error(p->context));
        for (int64_t t = 0; t < panel->b; t++)
            add_accuracy(verdict, accuracies[t], &sum, &squares);
        snprintf(text, sizeof text, "accuracy %.4f +- %.4f", verdict->accuracy, verdict->interval);
        if (shows)
            progress_show((int)verdict->tasks, (int)n, text);
    }
    return status;
}

int few_shot_judge(few_shot_problem *p, blo_split split, int64_t n, double rate, bool shows,
                   few_shot_verdict *verdict) {
    const few_shot_settings *s = p->settings;
    const size_t steps = (size_t)(s->evaluate_steps ? s->evaluate_steps : s->steps);
    judged_tasks panel = {.losses = calloc(steps * (size_t)few_shot_at_once(n, p->most[1]), sizeof(double))};
    int status = EXIT_DONE;
    *verdict = (few_shot_verdict){0};
    if (!panel.losses)
        return complain(EXIT_FAILED, "no memory for the steps of an evaluation");
    if (few_shot_problem_set_rate(p, true, rate) != BLO_OK)
        status = complain(EXIT_FAILED, "%s", blo_context_error(p->context));
    if (status == EXIT_DONE)
        status = judge_tasks(p, split, n, shows, &panel, verdict);
    if (shows)
        progress_end();
    free(panel.losses);
    return status;
}
