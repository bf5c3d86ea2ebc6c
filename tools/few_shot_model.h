/* Models of few-shot learning in files, and as copies on the host. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_MODEL_H
#define CLBILEVEL_TOOLS_FEW_SHOT_MODEL_H

#include "few_shot_problem.h"
#include "run_folder.h"

/* Values, or gradients, of both models, parameter after parameter. */
typedef struct few_shot_copy {
    int64_t count, upper; /* elements; those of the upper model (x; z where there is no x) come first */
    double *values;       /* [count] */
} few_shot_copy;

int few_shot_copy_open(few_shot_copy *copy, few_shot_problem *problem);
void few_shot_copy_close(few_shot_copy *copy);
blo_status few_shot_copy_take(few_shot_copy *copy, few_shot_problem *problem);
blo_status few_shot_copy_put(const few_shot_copy *copy, few_shot_problem *problem);
blo_status few_shot_copy_take_gradients(few_shot_copy *copy, few_shot_problem *problem);
blo_status few_shot_copy_put_gradients(const few_shot_copy *copy, few_shot_problem *problem);

/* The models as they are now, into the run's folder as NAME, with what they were made by. ITERATIONS: upper iterations
 * behind them, earlier runs counted. Returns an exit status; complaints are printed. */
int few_shot_model_save(const few_shot_problem *problem, const run_folder *folder, const char *name,
                        int64_t iterations);
/* The same after a failure that has been told: saved if it can be. */
void few_shot_model_rescue(const few_shot_problem *problem, const run_folder *folder, const char *name,
                           int64_t iterations);
/* Both models from PATH. A model of another kind is refused; the run ends then. */
int few_shot_model_load(few_shot_problem *problem, const char *path);

#endif
