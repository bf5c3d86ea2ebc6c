/* clbilevel hyper-cleaning: learns one weight per training example so that examples with wrong labels lose theirs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleaning_run.h"
#include "options.h"
#include "session.h"

static const cleaning_settings defaults = {.train = 2000,
                                           .validation = 2000,
                                           .test = 1000,
                                           .corruption = 0.5,
                                           .corruption_mode = "different",
                                           .model = "linear",
                                           .hidden = 300,
                                           .activation = "none",
                                           .steps = 50,
                                           .lower_rate = 0.1,
                                           .upper_rate = 0.01,
                                           .init_rate = 0.05,
                                           .iterations = 300,
                                           .session = SESSION_DEFAULTS("float")};

#define AT(field) offsetof(cleaning_settings, field)
static const option_spec options[] = {
    {"data", OPTION_TEXT, AT(data), 0, 0, NULL,
     "folder with IDX files (a train pair, a t10k pair) or images.npy and labels.npy; default: built-in digits"},
    {"train", OPTION_INTEGER, AT(train), 1, 1e8, NULL, "training examples"},
    {"validation", OPTION_INTEGER, AT(validation), 1, 1e8, NULL, "validation examples"},
    {"test", OPTION_INTEGER, AT(test), 1, 1e8, NULL, "test examples"},
    {"corruption", OPTION_REAL, AT(corruption), 0, 1, NULL, "share of the training labels made wrong"},
    {"corruption-mode", OPTION_CHOICE, AT(corruption_mode), 0, 0, "different|uniform",
     "replace by another class, or draw from all classes"},
    {"batch", OPTION_INTEGER, AT(batch), 0, 1e8, NULL, "examples of a lower step; 0: all"},
    {"model", OPTION_CHOICE, AT(model), 0, 0, "linear|mlp", "the classifier"},
    {"hidden", OPTION_INTEGER, AT(hidden), 1, 1e6, NULL, "hidden units of the mlp"},
    {"activation", OPTION_CHOICE, AT(activation), 0, 0, "none|relu|tanh", "of the hidden layer"},
    {"steps", OPTION_INTEGER, AT(steps), 1, 1e6, NULL, "lower steps T of each upper iteration"},
    {"lower-rate", OPTION_REAL, AT(lower_rate), 0, 1e6, NULL, "learning rate of the lower SGD"},
    {"upper-rate", OPTION_REAL, AT(upper_rate), 0, 1e6, NULL, "learning rate of Adam on the examples' weights"},
    {"init-rate", OPTION_REAL, AT(init_rate), 0, 1e6, NULL, "learning rate of SGD on the initialization"},
    {"iterations", OPTION_INTEGER, AT(iterations), 1, 1e9, NULL, "upper iterations"},
    {"warm-start", OPTION_ON, AT(warm_start), 0, 0, NULL,
     "every loop starts where the last ended (then the initialization is not learned)"},
    {"seed", OPTION_INTEGER, AT(seed), 0, 9e15, NULL,
     "of the split, the wrong labels, the initialization and the minibatches"},
    {0}};
#undef AT

/* The paper's code: T 100, rates 0.03, 3,000 iterations, 5,000 / 5,000 / 10,000 examples, uniform corruption. */
static bool preset(const char *name, void *target) {
    cleaning_settings *s = target;
    if (strcmp(name, "paper"))
        return false;
    s->steps = 100;
    s->lower_rate = s->init_rate = 0.03;
    s->iterations = 3000;
    s->train = s->validation = 5000;
    s->test = 10000;
    s->corruption_mode = "uniform";
    return true;
}

static const command_spec command = {
    .name = "hyper-cleaning",
    .summary =
        "Data hyper-cleaning: part of the training labels are wrong; a weight per training example is learned, so that "
        "a\n"
        "classifier trained with the weights does well on clean validation data. Wrong labels end with low weights.",
    .options = options,
    .shared = session_options,
    .shared_offset = offsetof(cleaning_settings, session),
    .settings_size = sizeof(cleaning_settings),
    .defaults = &defaults,
    .preset = preset};

static int check(const cleaning_settings *s) {
    if (s->batch > s->train)
        return complain(EXIT_USAGE, "--batch %lld is more than the --train %lld examples there are",
                        (long long)s->batch, (long long)s->train);
    return EXIT_DONE;
}

int command_hyper_cleaning(int argc, char **argv) {
    cleaning_settings s;
    cleaning_data data = {0};
    cleaning_problem problem = {0};
    blo_context *context = NULL;
    json_t *config = NULL, *resolved = NULL;
    bool help;
    int status = options_parse(&command, argc, argv, &s, &config, &help);
    if (status != EXIT_DONE || help)
        goto done;
    s.session.initialization_auxiliary = s.session.initialization_auxiliary && !s.warm_start;
    resolved = options_resolved(&command, &s);
    status = check(&s);
    if (status == EXIT_DONE)
        status = cleaning_data_load(&data, &s);
    if (status == EXIT_DONE)
        status = session_open(&context, &s.session, s.seed);
    if (status == EXIT_DONE)
        status = cleaning_data_upload(&data, context);
    if (status == EXIT_DONE)
        status = cleaning_problem_open(&problem, context, &s, &data);
    if (status == EXIT_DONE)
        status = cleaning_run(&problem, resolved);
done:
    cleaning_problem_close(&problem);
    cleaning_data_free(&data);
    blo_context_destroy(context);
    json_decref(resolved);
    json_decref(config);
    return status;
}
