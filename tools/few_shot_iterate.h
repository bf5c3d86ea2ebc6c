/* One upper iteration of few-shot learning: a batch of tasks whose gradients add up, and the step of the optimizers. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_ITERATE_H
#define CLBILEVEL_TOOLS_FEW_SHOT_ITERATE_H

#include "few_shot_keep.h"
#include "few_shot_model.h"
#include "tally.h"

/* Columns of the metrics: sums and means are over the tasks of the iteration. */
typedef enum few_shot_metric {
    FEW_SHOT_ITERATION,
    FEW_SHOT_UPPER_LOSS,
    FEW_SHOT_UPPER_LOSS_T,
    FEW_SHOT_MAX_LOSS_ITER,
    FEW_SHOT_TRAIN_ACCURACY, /* NaN where nothing is measured */
    FEW_SHOT_VALIDATION_ACCURACY,
    FEW_SHOT_VALIDATION_INTERVAL,
    FEW_SHOT_LOWER_RATE,
    FEW_SHOT_X_GRADIENT_NORM,
    FEW_SHOT_Z_GRADIENT_NORM,
    FEW_SHOT_SECONDS_LOOP,
    FEW_SHOT_SECONDS_BACKWARD,
    FEW_SHOT_METRICS
} few_shot_metric;

typedef struct few_shot_iteration {
    few_shot_problem *problem;
    few_shot_keep kept;
    few_shot_copy gradients, sum; /* SUM: of clamped gradients, with --clamp-per-task */
    double *losses;               /* [T][B] of the B tasks that ran last */
    int *chosen;                  /* [B] their max_loss_iter */
    double *accuracies;           /* [B] */
    tally tally;                  /* max_loss_iter of every task */
} few_shot_iteration;

int few_shot_iteration_open(few_shot_iteration *iteration, few_shot_problem *problem);
void few_shot_iteration_close(few_shot_iteration *iteration);

/* Upper iteration I of this run. MEASURES: the accuracy at y_T too. ROW[FEW_SHOT_METRICS]. Returns an exit status;
 * complaints are printed. */
int few_shot_iterate(few_shot_iteration *iteration, int64_t i, bool measures, double *row);

#endif
