/* The upper iterations of few-shot learning: metrics, progress, files, the choice of the model and its judgement. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_RUN_H
#define CLBILEVEL_TOOLS_FEW_SHOT_RUN_H

#include <jansson.h>

#include "few_shot_problem.h"

/* CONFIG is what config.json will hold. Returns an exit status; complaints are printed. */
int few_shot_run(few_shot_problem *problem, const json_t *config);

#endif
