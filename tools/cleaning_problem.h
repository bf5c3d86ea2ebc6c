/* Hyper-cleaning as a bilevel problem: one weight per training example above, a classifier below. */
#ifndef CLBILEVEL_TOOLS_CLEANING_PROBLEM_H
#define CLBILEVEL_TOOLS_CLEANING_PROBLEM_H

#include <clbilevel/clbilevel.h>

#include "cleaning_data.h"

typedef struct cleaning_problem {
    const cleaning_settings *settings;
    cleaning_data *data;
    blo_context *context;
    blo_dtype dtype;
    blo_model *weights, *classifier; /* x and z */
    blo_optimizer *weights_step, *init_step;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
    blo_tensor *batch; /* int32 [T,B] of --batch */
    int32_t *drawn;    /* its host values */
} cleaning_problem;

/* Returns an exit status; complaints are printed. */
int cleaning_problem_open(cleaning_problem *problem, blo_context *context, const cleaning_settings *settings,
                          cleaning_data *data);
void cleaning_problem_close(cleaning_problem *problem);

/* Draws the minibatches of upper iteration I, if there are any. */
int cleaning_problem_draw(cleaning_problem *problem, int64_t i);

/* Objectives: f on all examples, F, and the share of right answers. USER: the problem. */
blo_node *cleaning_lower_loss(const blo_state *state, void *user);
blo_node *cleaning_upper_loss(const blo_state *state, void *user);
blo_node *cleaning_accuracy(const blo_state *state, void *user);

#endif
