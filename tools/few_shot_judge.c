/* How well the models learn new tasks; see few_shot_judge.h. */
#include "few_shot_judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "options.h"
#include "progress.h"

/* The share of right answers at y_T of the task that lies in the tensors, into *ACCURACY. LOSSES: room for the steps.
 */
static blo_status judge_task(few_shot_problem *p, const few_shot_task *task, double *losses, double *accuracy) {
    blo_status status = blo_lower_optimize(p->judge, task->images[0], task->labels[0], task->images[1], task->labels[1],
                                           &p->judged, NULL);
    if (status != BLO_OK)
        return status;
    const int steps = blo_trajectory_steps(p->judged);
    status = blo_trajectory_losses(p->judged, losses, steps);
    *accuracy = losses[steps - 1];
    return status;
}

int few_shot_judge(few_shot_problem *p, blo_split split, int64_t n, double rate, bool shows,
                   few_shot_verdict *verdict) {
    const few_shot_settings *s = p->settings;
    double *losses = calloc((size_t)(s->evaluate_steps ? s->evaluate_steps : s->steps), sizeof *losses);
    double sum = 0, squares = 0, accuracy = 0;
    int status = EXIT_DONE;
    *verdict = (few_shot_verdict){0};
    if (!losses)
        return complain(EXIT_FAILED, "no memory for the steps of an evaluation");
    if (few_shot_problem_set_rate(p, true, rate) != BLO_OK)
        status = complain(EXIT_FAILED, "%s", blo_context_error(p->context));
    for (int64_t i = 0; i < n && status == EXIT_DONE && !interrupt_asked(); i++) {
        char text[64];
        status = few_shot_data_draw(p->data, p->context, split, (uint64_t)i);
        if (status == EXIT_DONE && judge_task(p, &p->data->tasks[split], losses, &accuracy) != BLO_OK)
            status = complain(EXIT_FAILED, "%s task %lld: %s", split == BLO_SPLIT_TEST ? "test" : "validation",
                              (long long)i, blo_context_error(p->context));
        if (status != EXIT_DONE)
            break;
        sum += accuracy;
        squares += accuracy * accuracy;
        const double tasks = (double)++verdict->tasks, variance = squares - sum * sum / tasks;
        verdict->accuracy = sum / tasks;
        verdict->interval = tasks > 1 && variance > 0 ? 1.96 * sqrt(variance / (tasks - 1) / tasks) : 0;
        snprintf(text, sizeof text, "accuracy %.4f +- %.4f", verdict->accuracy, verdict->interval);
        if (shows)
            progress_show((int)verdict->tasks, (int)n, text);
    }
    if (shows)
        progress_end();
    free(losses);
    return status;
}
