/* Hyper-cleaning as a bilevel problem; see cleaning_problem.h. */
#include "cleaning_problem.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { STREAM_BATCHES = 16 }; /* of the seed; upper iteration i draws from STREAM_BATCHES + i */

/* --- objectives --- */

static blo_node *forward(const blo_bound_model *model, blo_node *data, void *user) {
    const cleaning_problem *problem = user;
    blo_node *images = blo_scale(blo_cast(data, problem->dtype), 1 / 255.0),
             *first = blo_model_linear(model, "fc1", images);
    if (strcmp(problem->settings->model, "mlp"))
        return first;
    if (!strcmp(problem->settings->activation, "relu"))
        first = blo_relu(first);
    else if (!strcmp(problem->settings->activation, "tanh"))
        first = blo_tanh(first);
    return blo_model_linear(model, "fc2", first);
}

/* mean of sigmoid(x_i) times the cross-entropy of example i */
static blo_node *weighted_loss(const blo_state *state, blo_node *data, blo_node *target, blo_node *x) {
    blo_node *losses = blo_cross_entropy(blo_model_forward(state->lower_model, data), target, BLO_REDUCE_NONE);
    return blo_mean(blo_mul(blo_sigmoid(x), losses));
}

blo_node *cleaning_lower_loss(const blo_state *state, void *user) {
    (void)user;
    return weighted_loss(state, state->data, state->target, blo_model_parameter(state->upper_model, "weight"));
}

/* f of a lower step: on the step's minibatch where there are minibatches */
static blo_node *step_loss(const blo_state *state, void *user) {
    const cleaning_problem *problem = user;
    if (!problem->settings->batch)
        return cleaning_lower_loss(state, user);
    blo_node *rows = blo_state_input(state, "batch");
    return weighted_loss(state, blo_gather(state->data, rows), blo_gather(state->target, rows),
                         blo_gather(blo_model_parameter(state->upper_model, "weight"), rows));
}

blo_node *cleaning_upper_loss(const blo_state *state, void *user) {
    (void)user;
    return blo_cross_entropy(blo_model_forward(state->lower_model, state->data), state->target, BLO_REDUCE_MEAN);
}

blo_node *cleaning_accuracy(const blo_state *state, void *user) {
    (void)user;
    return blo_accuracy(blo_model_forward(state->lower_model, state->data), state->target);
}

/* --- life --- */

static blo_status make_models(cleaning_problem *p) {
    const cleaning_settings *s = p->settings;
    bool mlp = !strcmp(s->model, "mlp");
    int64_t classes = p->data->source.classes, first = mlp ? s->hidden : classes;
    blo_status status = blo_model_create(p->context, p->dtype, &p->weights);
    if (status == BLO_OK)
        status = blo_model_add(p->weights, "weight", 1, &p->data->splits[0].count);
    if (status == BLO_OK)
        status = blo_model_create(p->context, p->dtype, &p->classifier);
    if (status == BLO_OK)
        status = blo_model_add_linear(p->classifier, "fc1", p->data->pixels, first);
    if (status == BLO_OK && mlp)
        status = blo_model_add_linear(p->classifier, "fc2", s->hidden, classes);
    if (status == BLO_OK)
        blo_model_set_forward(p->classifier, forward, p);
    return status;
}

static blo_status make_method(cleaning_problem *p) {
    const cleaning_settings *s = p->settings;
    blo_lower_options lower;
    blo_optimizer_options adam, sgd;
    blo_lower_options_default(&lower);
    blo_optimizer_options_default(&adam, BLO_ADAM);
    blo_optimizer_options_default(&sgd, BLO_SGD);
    adam.learning_rate = s->upper_rate;
    sgd.learning_rate = s->init_rate;
    lower.lower_loop = (int)s->steps;
    lower.optimizer.learning_rate = s->lower_rate;
    lower.truncation = s->session.truncation;
    lower.initialization_auxiliary = s->session.initialization_auxiliary;
    lower.warm_start = s->warm_start;
    lower.memory_budget = (uint64_t)s->session.memory;
    blo_status status =
        blo_lower_solver_create(step_loss, cleaning_upper_loss, p, p->weights, p->classifier, &lower, &p->solver);
    if (status == BLO_OK)
        status = blo_iapttgm_create(cleaning_upper_loss, p, p->weights, p->classifier, &p->method);
    if (status == BLO_OK)
        status = blo_optimizer_create(p->weights, &adam, &p->weights_step);
    if (status == BLO_OK && s->session.initialization_auxiliary)
        status = blo_optimizer_create(p->classifier, &sgd, &p->init_step);
    return status;
}

static blo_status make_batches(cleaning_problem *p) {
    const int64_t shape[2] = {p->settings->steps, p->settings->batch};
    if (!p->settings->batch)
        return BLO_OK;
    p->drawn = malloc((size_t)(shape[0] * shape[1]) * sizeof *p->drawn);
    blo_status status =
        p->drawn ? blo_tensor_create(p->context, BLO_INT32, 2, shape, NULL, &p->batch) : BLO_ERROR_MEMORY;
    return status == BLO_OK ? blo_lower_solver_set_input(p->solver, "batch", p->batch, true) : status;
}

int cleaning_problem_open(cleaning_problem *p, blo_context *context, const cleaning_settings *settings,
                          cleaning_data *data) {
    *p = (cleaning_problem){.settings = settings, .data = data, .context = context};
    p->dtype = !strcmp(settings->session.dtype, "double") ? BLO_DOUBLE : BLO_FLOAT;
    blo_status status = make_models(p);
    if (status == BLO_OK)
        status = make_method(p);
    if (status == BLO_OK)
        status = make_batches(p);
    return status == BLO_OK ? EXIT_DONE : complain(EXIT_FAILED, "%s", blo_context_error(context));
}

void cleaning_problem_close(cleaning_problem *p) {
    blo_trajectory_destroy(p->trajectory);
    blo_iapttgm_destroy(p->method);
    blo_lower_solver_destroy(p->solver);
    blo_optimizer_destroy(p->init_step);
    blo_optimizer_destroy(p->weights_step);
    blo_model_destroy(p->classifier);
    blo_model_destroy(p->weights);
    blo_tensor_destroy(p->batch);
    free(p->drawn);
    *p = (cleaning_problem){0};
}

int cleaning_problem_draw(cleaning_problem *p, int64_t i) {
    if (!p->batch)
        return EXIT_DONE;
    int64_t count = p->settings->steps * p->settings->batch;
    blo_random_integers(count, (uint32_t)p->data->splits[0].count, (uint64_t)p->settings->seed,
                        (uint64_t)(STREAM_BATCHES + i), p->drawn);
    if (blo_tensor_upload(p->batch, p->drawn, (size_t)count * sizeof *p->drawn) != BLO_OK)
        return complain(EXIT_FAILED, "%s", blo_context_error(p->context));
    return EXIT_DONE;
}
