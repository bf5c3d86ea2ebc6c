/* Few-shot learning as a bilevel problem: a backbone above and a linear head below, or everything below and only the
 * initialization above. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_PROBLEM_H
#define CLBILEVEL_TOOLS_FEW_SHOT_PROBLEM_H

#include <clbilevel/clbilevel.h>

#include "few_shot_data.h"

typedef struct few_shot_problem {
    const few_shot_settings *settings;
    few_shot_data *data;
    blo_context *context;
    blo_dtype dtype;
    bool all;            /* --lower all: no x */
    blo_model *backbone; /* x; NULL with ALL */
    blo_model *lower;    /* z: the head, with ALL the backbone as well */
    blo_optimizer *backbone_step, *init_step;
    blo_lower_solver *solver; /* of training, with F at every step */
    blo_lower_solver *judge;  /* of validation and test: F is the share of right answers, at y_T only */
    blo_iapttgm *method;
    blo_trajectory *trajectory, *judged;
    blo_tensor *rate[2];     /* [] of solver and judge, with --cosine */
    int64_t most[2];         /* tasks at once of solver and judge, at most */
    int64_t refused[2];      /* so many did not fit, and that is not told yet; 0: they did */
    int64_t first_iteration; /* done by the runs that --load continues */
} few_shot_problem;

/* Returns an exit status; complaints are printed. Reads --load. */
int few_shot_problem_open(few_shot_problem *problem, blo_context *context, const few_shot_settings *settings,
                          few_shot_data *data);
void few_shot_problem_close(few_shot_problem *problem);

/* The solver of training, or the judge, and the data of SPLIT for so many of TASKS tasks at once as may be. *AT_ONCE:
 * how many. */
int few_shot_problem_batch(few_shot_problem *problem, bool judge, blo_split split, int64_t tasks, int64_t *at_once);
/* After a loop of AT_ONCE tasks that ended with STATUS: true if the budget was too small and it can be tried again:
 * with what the other solver's loop held, or else with half of the tasks at most from now on. Once they fit, a line is
 * printed. */
bool few_shot_problem_retry(few_shot_problem *problem, bool judge, int64_t at_once, blo_status status);

/* The learning rate below in upper iteration I of this run; another than the last is sent to the device. */
double few_shot_problem_rate(const few_shot_problem *problem, int64_t i);
blo_status few_shot_problem_set_rate(few_shot_problem *problem, bool judge, double rate);

/* F of the query images. USER: the problem. */
blo_node *few_shot_loss(const blo_state *state, void *user);
/* The share of query images that are recognised. */
blo_node *few_shot_accuracy(const blo_state *state, void *user);

#endif
