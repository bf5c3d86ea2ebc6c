/* Few-shot learning as a bilevel problem; see few_shot_problem.h. */
#include "few_shot_problem.h"

#include <math.h>
#include <string.h>

#include "few_shot_model.h"
#include "options.h"

enum { BLOCKS = 4 };

/* --- objectives --- */

static blo_node *logits(const blo_state *state, const few_shot_problem *p) {
    const few_shot_settings *s = p->settings;
    const blo_bound_model *holder = p->all ? state->lower_model : state->upper_model;
    blo_node *images = blo_scale(blo_cast(state->data, p->dtype), 1 / 255.0), *features;
    if (!strcmp(s->backbone, "resnet12"))
        features = blo_model_resnet12(holder, "", images);
    else
        features = blo_model_convnet(holder, "", images, BLOCKS,
                                     strcmp(s->block, "conv-relu-pool-bn") ? BLO_BLOCK_CONV_BN_RELU_POOL
                                                                           : BLO_BLOCK_CONV_RELU_POOL_BN);
    return blo_model_linear(state->lower_model, "head", features);
}

/* f and F are the same, of support and of query images. */
blo_node *few_shot_loss(const blo_state *state, void *user) {
    return blo_cross_entropy(logits(state, user), state->target, BLO_REDUCE_MEAN);
}

blo_node *few_shot_accuracy(const blo_state *state, void *user) {
    return blo_accuracy(logits(state, user), state->target);
}

static blo_node *annealed_rate(const blo_state *state, void *user) {
    (void)user;
    return blo_state_input(state, "rate");
}

/* --- life --- */

static blo_status add_backbone(blo_model *model, const few_shot_settings *s) {
    return strcmp(s->backbone, "resnet12") ? blo_model_add_convnet(model, "", s->channels, s->filters, BLOCKS)
                                           : blo_model_add_resnet12(model, "", s->channels, s->filters);
}

static blo_status make_models(few_shot_problem *p) {
    const few_shot_settings *s = p->settings;
    const int64_t side = s->image_size >> BLOCKS,
                  features = strcmp(s->backbone, "resnet12") ? s->filters * side * side : 10 * s->filters;
    blo_status status = blo_model_create(p->context, p->dtype, &p->lower);
    if (status == BLO_OK && !p->all)
        status = blo_model_create(p->context, p->dtype, &p->backbone);
    if (status == BLO_OK)
        status = add_backbone(p->all ? p->lower : p->backbone, s);
    return status == BLO_OK ? blo_model_add_linear(p->lower, "head", features, s->ways) : status;
}

static void options_of(const few_shot_problem *p, bool judge, blo_lower_options *options) {
    const few_shot_settings *s = p->settings;
    blo_lower_options_default(options);
    options->lower_loop = (int)(judge && s->evaluate_steps ? s->evaluate_steps : s->steps);
    options->optimizer.learning_rate = judge && s->evaluate_rate > 0 ? s->evaluate_rate : s->lower_rate;
    options->acquire_max_loss = !judge;
    options->truncation = !judge && s->session.truncation;
    options->initialization_auxiliary = s->session.initialization_auxiliary;
    options->memory_budget = (uint64_t)s->session.memory;
    if (s->cosine)
        options->learning_rate = annealed_rate;
}

/* The solver of training or the judge, unless it is there. */
static blo_status make_solver(few_shot_problem *p, bool judge) {
    blo_lower_options options;
    blo_lower_solver **solver = judge ? &p->judge : &p->solver;
    if (*solver)
        return BLO_OK;
    options_of(p, judge, &options);
    blo_status status = BLO_OK;
    if (p->settings->cosine && !p->rate[judge])
        status = blo_tensor_create(p->context, p->dtype, 0, NULL, NULL, &p->rate[judge]);
    if (status == BLO_OK)
        status = blo_lower_solver_create(few_shot_loss, judge ? few_shot_accuracy : few_shot_loss, p, p->backbone,
                                         p->lower, &options, solver);
    return status == BLO_OK && p->rate[judge] ? blo_lower_solver_set_input(*solver, "rate", p->rate[judge], false)
                                              : status;
}

static blo_status make_method(few_shot_problem *p) {
    const few_shot_settings *s = p->settings;
    blo_optimizer_options adam, init;
    blo_optimizer_options_default(&adam, BLO_ADAM);
    adam.learning_rate = s->upper_rate;
    blo_optimizer_options_default(&init, strcmp(s->init_optimizer, "sgd") ? BLO_ADAM : BLO_SGD);
    init.learning_rate = s->init_rate > 0 ? s->init_rate : s->upper_rate;
    blo_status status = blo_iapttgm_create(few_shot_loss, p, p->backbone, p->lower, &p->method);
    if (status == BLO_OK && p->backbone)
        status = blo_optimizer_create(p->backbone, &adam, &p->backbone_step);
    if (status == BLO_OK && s->session.initialization_auxiliary)
        status = blo_optimizer_create(p->lower, &init, &p->init_step);
    return status;
}

/* One number for validation and test: each is a program of its own. */
static int64_t judged_at_once(const few_shot_settings *s) {
    int64_t b = few_shot_at_once(s->validate_tasks, s->batch);
    while (s->evaluate_tasks % b != 0)
        b = few_shot_at_once(s->validate_tasks, b - 1);
    return b;
}

int few_shot_problem_open(few_shot_problem *p, blo_context *context, const few_shot_settings *settings,
                          few_shot_data *data) {
    *p = (few_shot_problem){.settings = settings, .data = data, .context = context};
    p->dtype = !strcmp(settings->session.dtype, "double") ? BLO_DOUBLE : BLO_FLOAT;
    p->all = !strcmp(settings->lower, "all");
    p->most[0] = settings->clamp_per_task > 0 ? 1 : settings->batch;
    p->most[1] = judged_at_once(settings);
    blo_status status = make_models(p);
    if (status == BLO_OK)
        status = make_solver(p, false);
    if (status == BLO_OK)
        status = make_solver(p, true);
    if (status == BLO_OK)
        status = make_method(p);
    if (status != BLO_OK)
        return complain(EXIT_FAILED, "%s", blo_context_error(context));
    return settings->load ? few_shot_model_load(p, settings->load) : EXIT_DONE;
}

/* The solver, its loop and all that was made for them: what they held is free. */
static void drop_solver(few_shot_problem *p, bool judge) {
    blo_trajectory **trajectory = judge ? &p->judged : &p->trajectory;
    blo_lower_solver **solver = judge ? &p->judge : &p->solver;
    blo_trajectory_destroy(*trajectory);
    blo_lower_solver_destroy(*solver);
    *trajectory = NULL;
    *solver = NULL;
}

void few_shot_problem_close(few_shot_problem *p) {
    drop_solver(p, true);
    drop_solver(p, false);
    blo_iapttgm_destroy(p->method);
    blo_optimizer_destroy(p->init_step);
    blo_optimizer_destroy(p->backbone_step);
    blo_model_destroy(p->lower);
    blo_model_destroy(p->backbone);
    blo_tensor_destroy(p->rate[0]);
    blo_tensor_destroy(p->rate[1]);
    *p = (few_shot_problem){0};
}

/* --- tasks at once --- */

int few_shot_problem_batch(few_shot_problem *p, bool judge, blo_split split, int64_t tasks, int64_t *at_once) {
    *at_once = few_shot_at_once(tasks, p->most[judge]);
    int status = few_shot_data_resize(p->data, p->context, split, *at_once);
    if (status != EXIT_DONE)
        return status;
    blo_status set = make_solver(p, judge);
    if (set == BLO_OK)
        set = blo_lower_solver_set_tasks(judge ? p->judge : p->solver, (int)*at_once);
    return set == BLO_OK ? EXIT_DONE : complain(EXIT_FAILED, "%s", blo_context_error(p->context));
}

bool few_shot_problem_retry(few_shot_problem *p, bool judge, int64_t at_once, blo_status status) {
    int64_t *refused = &p->refused[judge];
    if (status == BLO_ERROR_BUDGET && (judge ? p->trajectory : p->judged)) {
        drop_solver(p, !judge);
        return true;
    }
    if (status == BLO_ERROR_BUDGET && at_once > 1) {
        *refused = *refused ? *refused : at_once;
        p->most[judge] = few_shot_at_once(at_once, at_once / 2); /* a part of each batch there was */
        drop_solver(p, judge);
        return true;
    }
    if (status == BLO_OK && *refused) {
        complain(EXIT_DONE, "%lld %s tasks at once do not fit into the memory: %lld run at once", (long long)*refused,
                 judge ? "validation or test" : "training", (long long)at_once);
        *refused = 0;
    }
    return false;
}

/* --- the rate below --- */

double few_shot_problem_rate(const few_shot_problem *p, int64_t i) {
    const double pi = 3.14159265358979323846, first = p->settings->lower_rate, last = first / 10;
    if (!p->settings->cosine || p->settings->iterations == 0)
        return first;
    return last + (first - last) * (1 + cos(pi * (double)i / (double)p->settings->iterations)) / 2;
}

blo_status few_shot_problem_set_rate(few_shot_problem *p, bool judge, double rate) {
    if (!p->rate[judge])
        return BLO_OK;
    if (judge && p->settings->evaluate_rate > 0)
        rate = p->settings->evaluate_rate;
    const float single = (float)rate;
    return p->dtype == BLO_DOUBLE ? blo_tensor_upload(p->rate[judge], &rate, sizeof rate)
                                  : blo_tensor_upload(p->rate[judge], &single, sizeof single);
}
