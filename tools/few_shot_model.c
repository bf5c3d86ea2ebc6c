/* Models of few-shot learning; see few_shot_model.h. */
#include "few_shot_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

enum { MESSAGE = 512, PATH_LENGTH = 4096 };

/* --- copies on the host --- */

static int64_t elements(blo_model *model) {
    int64_t count = 0;
    for (int i = 0; model && i < blo_model_count(model); i++)
        count += blo_tensor_count(blo_model_value(model, blo_model_name(model, i)));
    return count;
}

int few_shot_copy_open(few_shot_copy *copy, few_shot_problem *problem) {
    copy->count = elements(problem->backbone) + elements(problem->lower);
    copy->upper = problem->backbone ? elements(problem->backbone) : copy->count;
    copy->values = calloc((size_t)copy->count, sizeof *copy->values);
    return copy->values ? EXIT_DONE : complain(EXIT_FAILED, "no memory for %lld parameters", (long long)copy->count);
}

void few_shot_copy_close(few_shot_copy *copy) {
    free(copy->values);
    *copy = (few_shot_copy){0};
}

typedef blo_status (*move)(blo_model *model, const char *name, double *values, int64_t count);

static blo_status move_all(const few_shot_copy *copy, few_shot_problem *problem, move one) {
    blo_model *const models[2] = {problem->backbone, problem->lower};
    double *at = copy->values;
    blo_status status = BLO_OK;
    for (int m = 0; m < 2; m++)
        for (int i = 0; models[m] && i < blo_model_count(models[m]) && status == BLO_OK; i++) {
            const char *name = blo_model_name(models[m], i);
            const int64_t count = blo_tensor_count(blo_model_value(models[m], name));
            status = one(models[m], name, at, count);
            at += count;
        }
    return status;
}

static blo_status take(blo_model *model, const char *name, double *values, int64_t count) {
    return blo_model_get(model, name, values, count);
}

static blo_status put(blo_model *model, const char *name, double *values, int64_t count) {
    return blo_model_set(model, name, values, count);
}

static blo_status take_gradient(blo_model *model, const char *name, double *values, int64_t count) {
    return blo_model_get_gradient(model, name, values, count);
}

static blo_status put_gradient(blo_model *model, const char *name, double *values, int64_t count) {
    blo_tensor *gradient = blo_model_gradient(model, name);
    const size_t bytes = blo_tensor_bytes(gradient);
    if (blo_tensor_dtype(gradient) == BLO_DOUBLE)
        return blo_tensor_upload(gradient, values, bytes);
    float *single = malloc(bytes);
    if (!single)
        return BLO_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        single[i] = (float)values[i];
    blo_status status = blo_tensor_upload(gradient, single, bytes);
    free(single);
    return status;
}

blo_status few_shot_copy_take(few_shot_copy *copy, few_shot_problem *problem) {
    return move_all(copy, problem, take);
}

blo_status few_shot_copy_put(const few_shot_copy *copy, few_shot_problem *problem) {
    return move_all(copy, problem, put);
}

blo_status few_shot_copy_take_gradients(few_shot_copy *copy, few_shot_problem *problem) {
    return move_all(copy, problem, take_gradient);
}

blo_status few_shot_copy_put_gradients(const few_shot_copy *copy, few_shot_problem *problem) {
    return move_all(copy, problem, put_gradient);
}

/* --- files --- */

/* What a model is besides its shapes. */
static int describe(const few_shot_problem *p, int64_t iterations, blo_safetensors *file, char message[MESSAGE]) {
    char seed[32], done[32];
    snprintf(seed, sizeof seed, "%lld", (long long)p->settings->seed);
    snprintf(done, sizeof done, "%lld", (long long)iterations);
    const char *const facts[][2] = {{"format", "pt"},
                                    {"tool", "clbilevel few-shot"},
                                    {"backbone", p->settings->backbone},
                                    {"block", p->settings->block},
                                    {"lower", p->settings->lower},
                                    {"seed", seed},
                                    {"splits", blo_images_origin(p->data->images)},
                                    {"upper_iterations", done}};
    blo_status status = BLO_OK;
    for (size_t i = 0; i < sizeof facts / sizeof facts[0] && status == BLO_OK; i++)
        status = blo_safetensors_set_metadata(file, facts[i][0], facts[i][1], message, MESSAGE);
    return status == BLO_OK ? EXIT_DONE : EXIT_FAILED;
}

/* Writes the models as NAME, or says in MESSAGE why not. */
static bool write_models(const few_shot_problem *p, const run_folder *folder, const char *name, int64_t iterations,
                         char message[MESSAGE]) {
    char path[PATH_LENGTH];
    blo_safetensors *file = NULL;
    snprintf(message, MESSAGE, "the path is too long");
    if (snprintf(path, sizeof path, "%s/%s", folder->path, name) >= PATH_LENGTH ||
        blo_safetensors_create(&file, message, MESSAGE) != BLO_OK)
        return false;
    blo_status status = p->backbone ? blo_model_store(p->backbone, "upper", file) : BLO_OK;
    if (status == BLO_OK)
        status = blo_model_store(p->lower, "lower", file);
    if (status != BLO_OK)
        snprintf(message, MESSAGE, "%s", blo_context_error(p->context));
    bool done = status == BLO_OK && describe(p, iterations, file, message) == EXIT_DONE &&
                blo_safetensors_write(file, path, message, MESSAGE) == BLO_OK;
    blo_safetensors_destroy(file);
    return done;
}

int few_shot_model_save(const few_shot_problem *p, const run_folder *folder, const char *name, int64_t iterations) {
    char message[MESSAGE];
    if (write_models(p, folder, name, iterations, message))
        return EXIT_DONE;
    return complain(EXIT_FAILED, "%s/%s: %s", folder->path, name, message);
}

void few_shot_model_rescue(const few_shot_problem *p, const run_folder *folder, const char *name, int64_t iterations) {
    char message[MESSAGE];
    (void)write_models(p, folder, name, iterations, message);
}

/* Where a file says what its models are, it must be what was asked for: shapes alone do not tell. */
static int check_facts(few_shot_problem *p, const blo_safetensors *file, const char *path) {
    const few_shot_settings *s = p->settings;
    const char *const wanted[][2] = {{"backbone", s->backbone}, {"block", s->block}, {"lower", s->lower}};
    const bool blocks = strcmp(s->backbone, "resnet12") != 0;
    char seed[32];
    for (size_t i = 0; i < 3; i++) {
        const char *is = blo_safetensors_metadata(file, wanted[i][0]);
        if (is && strcmp(is, wanted[i][1]) && (i != 1 || blocks))
            return complain(EXIT_FAILED, "--load %s: a model of --%s %s, not %s", path, wanted[i][0], is, wanted[i][1]);
    }
    const char *made = blo_safetensors_metadata(file, "seed"), *splits = blo_safetensors_metadata(file, "splits");
    snprintf(seed, sizeof seed, "%lld", (long long)s->seed);
    if (made && splits && !strcmp(splits, "seed") && !strcmp(blo_images_origin(p->data->images), "seed") &&
        strcmp(made, seed))
        return complain(EXIT_FAILED,
                        "--load %s: its classes were split by --seed %s; with --seed %s it could be tested on classes "
                        "that it has learned",
                        path, made, seed);
    return EXIT_DONE;
}

static int64_t iterations_of(const blo_safetensors *file) {
    const char *text = blo_safetensors_metadata(file, "upper_iterations");
    char *end = NULL;
    errno = 0;
    const long long number = text ? strtoll(text, &end, 10) : 0;
    return text && end != text && !*end && !errno && number >= 0 && number < 1000000000000 ? number : 0;
}

static blo_status restore(few_shot_problem *p, const blo_safetensors *file) {
    blo_status status = p->backbone ? blo_model_restore(p->backbone, "upper", file) : BLO_OK;
    return status == BLO_OK ? blo_model_restore(p->lower, "lower", file) : status;
}

int few_shot_model_load(few_shot_problem *p, const char *path) {
    char message[MESSAGE];
    blo_safetensors *file = NULL;
    if (blo_safetensors_read(path, &file, message, sizeof message) != BLO_OK)
        return complain(EXIT_FAILED, "--load: %s", message); /* it names the file */
    int status = check_facts(p, file, path);
    if (status == EXIT_DONE && restore(p, file) != BLO_OK)
        status = complain(EXIT_FAILED, "--load %s: %s", path, blo_context_error(p->context));
    p->first_iteration = iterations_of(file);
    blo_safetensors_destroy(file);
    return status;
}
