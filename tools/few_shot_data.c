/* Data of few-shot learning; see few_shot_data.h. */
#include "few_shot_data.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

static const char *const split_names[3] = {"training", "validation", "test"};

static int read_images(few_shot_data *data, const few_shot_settings *settings) {
    char message[512];
    blo_images_options options;
    blo_images_options_default(&options);
    options.image_size = (int)settings->image_size;
    options.channels = (int)settings->channels;
    options.rotations = settings->rotations ? BLO_CHOICE_AUTO : BLO_CHOICE_OFF;
    options.seed = (uint64_t)settings->seed;
    blo_status status = settings->data
                            ? blo_images_open(settings->data, &options, &data->images, message, sizeof message)
                            : blo_images_generate(&options, &data->images, message, sizeof message);
    if (status != BLO_OK)
        return complain(EXIT_FAILED, "--data%s: %s", settings->data ? "" : " (built in)",
                        message); /* it names the file */
    return EXIT_DONE;
}

static int make_task(few_shot_data *data, const few_shot_settings *settings, blo_split split) {
    char message[512];
    blo_tasks_options options;
    few_shot_task *task = &data->tasks[split];
    blo_tasks_options_default(&options);
    options.split = split;
    options.ways = (int)settings->ways;
    options.shots = (int)settings->shots;
    options.query = (int)settings->query;
    options.seed = (uint64_t)settings->seed;
    if (blo_tasks_make(data->images, &options, &task->drawn, message, sizeof message) != BLO_OK)
        return complain(EXIT_USAGE, "%s classes: %s", split_names[split], message);
    size_t support = blo_array_bytes(&task->drawn.support), query = blo_array_bytes(&task->drawn.query);
    if (settings->channels > 1)
        task->planes = malloc(support > query ? support : query);
    return settings->channels > 1 && !task->planes ? complain(EXIT_FAILED, "no memory for the images of a task")
                                                   : EXIT_DONE;
}

int few_shot_data_load(few_shot_data *data, const few_shot_settings *settings) {
    *data = (few_shot_data){0};
    const bool used[3] = {settings->iterations > 0, settings->validate_every > 0 && settings->iterations > 0,
                          settings->evaluate_tasks > 0};
    int status = read_images(data, settings);
    for (int split = 0; split < 3 && status == EXIT_DONE; split++)
        if (used[split])
            status = make_task(data, settings, (blo_split)split);
    return status;
}

int few_shot_data_upload(few_shot_data *data, blo_context *context) {
    blo_status status = BLO_OK;
    for (int split = 0; split < 3; split++) {
        few_shot_task *task = &data->tasks[split];
        const blo_array *arrays[2] = {&task->drawn.support, &task->drawn.query};
        for (int i = 0; i < 2 && status == BLO_OK && arrays[i]->data; i++) {
            const int64_t *from = arrays[i]->shape, shape[4] = {from[1], from[4], from[2], from[3]};
            status = blo_tensor_create(context, BLO_UINT8, 4, shape, NULL, &task->images[i]);
            if (status == BLO_OK)
                status = blo_tensor_create(context, BLO_INT32, 1, shape, NULL, &task->labels[i]);
        }
    }
    return status == BLO_OK ? EXIT_DONE : complain(EXIT_FAILED, "%s", blo_context_error(context));
}

/* IMAGES [1,N,H,W,C] as [N,C,H,W], in PLANES where they differ. */
static const uint8_t *planes_of(const blo_array *images, uint8_t *planes) {
    const uint8_t *pixels = images->data;
    if (!planes)
        return pixels;
    const int64_t n = images->shape[1], plane = images->shape[2] * images->shape[3], channels = images->shape[4];
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < plane; p++)
                planes[(i * channels + c) * plane + p] = pixels[(i * plane + p) * channels + c];
    return planes;
}

int few_shot_data_draw(few_shot_data *data, blo_context *context, blo_split split, uint64_t number) {
    char message[512];
    few_shot_task *task = &data->tasks[split];
    blo_tasks *drawn = &task->drawn;
    if (blo_tasks_draw(data->images, number, drawn, message, sizeof message) != BLO_OK)
        return complain(EXIT_FAILED, "%s task %llu: %s", split_names[split], (unsigned long long)number, message);
    const blo_array *images[2] = {&drawn->support, &drawn->query},
                    *labels[2] = {&drawn->support_labels, &drawn->query_labels};
    blo_status status = BLO_OK;
    for (int i = 0; i < 2 && status == BLO_OK; i++) {
        status = blo_tensor_upload(task->images[i], planes_of(images[i], task->planes), blo_array_bytes(images[i]));
        if (status == BLO_OK)
            status = blo_tensor_upload(task->labels[i], labels[i]->data, blo_array_bytes(labels[i]));
    }
    return status == BLO_OK ? EXIT_DONE : complain(EXIT_FAILED, "%s", blo_context_error(context));
}

void few_shot_data_free(few_shot_data *data) {
    for (int split = 0; split < 3; split++) {
        few_shot_task *task = &data->tasks[split];
        for (int i = 0; i < 2; i++) {
            blo_tensor_destroy(task->images[i]);
            blo_tensor_destroy(task->labels[i]);
        }
        blo_tasks_free(&task->drawn);
        free(task->planes);
    }
    blo_images_destroy(data->images);
    *data = (few_shot_data){0};
}
