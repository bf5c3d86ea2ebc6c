/* clbilevel few-shot: learns features (or an initialization) from which new classes are told apart after a few steps on
 * a few images of each. */
#include <stdio.h>
#include <string.h>

#include "few_shot_run.h"
#include "options.h"
#include "session.h"

static const few_shot_settings defaults = {.image_size = 28,
                                           .channels = 1,
                                           .rotations = true,
                                           .ways = 5,
                                           .shots = 1,
                                           .query = 15,
                                           .tasks = 4,
                                           .backbone = "conv4",
                                           .filters = 64,
                                           .block = "conv-bn-relu-pool",
                                           .lower = "head",
                                           .steps = 10,
                                           .lower_rate = 0.1,
                                           .upper_rate = 0.001,
                                           .init_optimizer = "adam",
                                           .iterations = 300,
                                           .validate_every = 50,
                                           .validate_tasks = 50,
                                           .evaluate_tasks = 1000,
                                           .session = SESSION_DEFAULTS("float")};

#define AT(field) offsetof(few_shot_settings, field)
static const option_spec options[] = {
    {"data", OPTION_TEXT, AT(data), 0, 0, NULL,
     "archive (tar, zip) or folder of PNG images, a folder for each class; default: built-in characters"},
    {"image-size", OPTION_INTEGER, AT(image_size), 16, 1024, NULL, "pixels of a side; other images are resized"},
    {"channels", OPTION_INTEGER, AT(channels), 1, 3, NULL, "1: grey, 3: colour"},
    {"rotations", OPTION_OFF, AT(rotations), 0, 0, NULL,
     "do not add each class turned by 90, 180 and 270 degrees as three more (colour: never added)"},
    {"ways", OPTION_INTEGER, AT(ways), 2, 1000, NULL, "classes of a task"},
    {"shots", OPTION_INTEGER, AT(shots), 1, 1000, NULL, "images of each class to learn from"},
    {"query", OPTION_INTEGER, AT(query), 1, 1000, NULL, "images of each class to be judged on"},
    {"tasks", OPTION_INTEGER, AT(tasks), 1, 100000, NULL, "tasks of an upper iteration; their gradients add up"},
    {"batch", OPTION_INTEGER, AT(batch), 0, 100000, NULL,
     "tasks that run at once, at most: as many as divide the tasks evenly; 0: --tasks of them with --lower head, else "
     "one"},
    {"backbone", OPTION_CHOICE, AT(backbone), 0, 0, "conv4|resnet12", "the network below the head"},
    {"filters", OPTION_INTEGER, AT(filters), 1, 4096, NULL, "of conv4; of resnet12's first block"},
    {"block", OPTION_CHOICE, AT(block), 0, 0, "conv-bn-relu-pool|conv-relu-pool-bn", "order in a block of conv4"},
    {"lower", OPTION_CHOICE, AT(lower), 0, 0, "head|all",
     "what a task learns: the head on learned features, or everything from a learned initialization"},
    {"steps", OPTION_INTEGER, AT(steps), 1, 1e6, NULL, "lower steps T of each task"},
    {"lower-rate", OPTION_REAL, AT(lower_rate), 0, 1e6, NULL, "learning rate of the lower SGD"},
    {"cosine", OPTION_ON, AT(cosine), 0, 0, NULL,
     "lower rate falls to a tenth over the upper iterations, as half a cosine"},
    {"upper-rate", OPTION_REAL, AT(upper_rate), 0, 1e6, NULL, "learning rate of Adam on the backbone"},
    {"init-optimizer", OPTION_CHOICE, AT(init_optimizer), 0, 0, "adam|sgd", "of the initialization"},
    {"init-rate", OPTION_REAL, AT(init_rate), 0, 1e6, NULL, "its learning rate; 0: --upper-rate"},
    {"clamp", OPTION_REAL, AT(clamp), 0, 1e30, NULL,
     "elements of the summed upper gradient are clamped to +-X; 0: they are not"},
    {"clamp-per-task", OPTION_REAL, AT(clamp_per_task), 0, 1e30, NULL, "the same of each task's, before they add up"},
    {"iterations", OPTION_INTEGER, AT(iterations), 0, 1e9, NULL, "upper iterations; 0: --load is evaluated only"},
    {"validate-every", OPTION_INTEGER, AT(validate_every), 0, 1e9, NULL,
     "upper iterations from one validation to the next; the best model is chosen; 0: the last one is"},
    {"validate-tasks", OPTION_INTEGER, AT(validate_tasks), 1, 1e9, NULL, "tasks of a validation"},
    {"evaluate-tasks", OPTION_INTEGER, AT(evaluate_tasks), 0, 1e9, NULL,
     "tasks of test classes that the chosen model is judged on"},
    {"evaluate-steps", OPTION_INTEGER, AT(evaluate_steps), 0, 1e6, NULL,
     "lower steps of validation and test; 0: --steps"},
    {"evaluate-rate", OPTION_REAL, AT(evaluate_rate), 0, 1e6, NULL,
     "lower rate of validation and test; 0: that of training"},
    {"load", OPTION_TEXT, AT(load), 0, 0, NULL, "start from the model.safetensors or last.safetensors of another run"},
    {"seed", OPTION_INTEGER, AT(seed), 0, 9e15, NULL,
     "of the tasks, the models, built-in characters, and the split of data that have none"},
    {"keep-tasks", OPTION_ON, AT(keep_tasks), 0, 0, NULL, "write the images of all training tasks to --output"},
    {0}};
#undef AT

/* The paper's code on Omniglot: its order in a block, the lower rate falling from 0.01, 80,000 iterations. */
static bool preset(const char *name, void *target) {
    few_shot_settings *s = target;
    if (strcmp(name, "paper"))
        return false;
    s->block = "conv-relu-pool-bn";
    s->lower_rate = 0.01;
    s->cosine = true;
    s->iterations = 80000;
    s->validate_every = 500;
    s->validate_tasks = 200;
    return true;
}

static const command_spec command = {
    .name = "few-shot",
    .summary =
        "Few-shot learning: features are learned, over many small tasks, so that a linear head trained on a few images "
        "of\nnew classes tells them apart. The model is chosen on validation classes and judged on test classes.",
    .options = options,
    .shared = session_options,
    .shared_offset = offsetof(few_shot_settings, session),
    .settings_size = sizeof(few_shot_settings),
    .defaults = &defaults,
    .preset = preset};

static int check(few_shot_settings *s) {
    if (s->channels == 2)
        return complain(EXIT_USAGE, "--channels 2: want 1 or 3");
    if (!strcmp(s->lower, "all") && !s->session.initialization_auxiliary)
        return complain(EXIT_USAGE, "--lower all with --no-initialization-auxiliary leaves nothing to learn");
    if (s->clamp_per_task > 0 && s->batch > 1)
        return complain(EXIT_USAGE, "--batch %lld with --clamp-per-task: want 1, each task's gradient by itself",
                        (long long)s->batch);
    if (s->batch == 0)
        s->batch = s->clamp_per_task > 0 || !strcmp(s->lower, "all") ? 1 : s->tasks;
    return EXIT_DONE;
}

int command_few_shot(int argc, char **argv) {
    few_shot_settings s;
    few_shot_data data = {0};
    few_shot_problem problem = {0};
    blo_context *context = NULL;
    json_t *config = NULL, *resolved = NULL;
    bool help;
    int status = options_parse(&command, argc, argv, &s, &config, &help);
    if (status != EXIT_DONE || help)
        goto done;
    status = check(&s);
    resolved = options_resolved(&command, &s);
    if (status == EXIT_DONE)
        status = few_shot_data_load(&data, &s);
    if (status == EXIT_DONE)
        status = session_open(&context, &s.session, s.seed);
    if (status == EXIT_DONE)
        status = few_shot_problem_open(&problem, context, &s, &data);
    if (status == EXIT_DONE)
        status = few_shot_run(&problem, resolved);
done:
    few_shot_problem_close(&problem);
    few_shot_data_free(&data);
    blo_context_destroy(context);
    json_decref(resolved);
    json_decref(config);
    return status;
}
