/* How well the models learn new tasks: the share of right answers at y_T, on validation or test classes. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_JUDGE_H
#define CLBILEVEL_TOOLS_FEW_SHOT_JUDGE_H

#include "few_shot_problem.h"

typedef struct few_shot_verdict {
    int64_t tasks;
    double accuracy, interval; /* the mean over the tasks, and half of its 95 % interval */
} few_shot_verdict;

/* The first N tasks of SPLIT, the same at every call, or fewer where Ctrl-C ends it. SHOWS: with progress. Returns an
 * exit status; complaints are printed. */
int few_shot_judge(few_shot_problem *problem, blo_split split, int64_t n, double rate, bool shows,
                   few_shot_verdict *verdict);

#endif
