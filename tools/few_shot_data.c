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

int64_t few_shot_at_once(int64_t tasks, int64_t most) {
    while (most > 1 && tasks % most != 0)
        most--;
    return most > 1 ? most : 1;
}

static void free_batch(few_shot_batch *batch) {
    for (int i = 0; i < 2; i++) {
        blo_tensor_destroy(batch->images[i]);
        blo_tensor_destroy(batch->labels[i]);
    }
    blo_tasks_free(&batch->drawn);
    free(batch->planes);
    *batch = (few_shot_batch){0};
}

static int make_batch(few_shot_data *data, blo_split split, int64_t at_once) {
    char message[512];
    blo_tasks_options options;
    const few_shot_settings *settings = data->settings;
    few_shot_batch *batch = &data->batches[split];
    blo_tasks_options_default(&options);
    options.split = split;
    options.tasks = (int)at_once;
    options.ways = (int)settings->ways;
    options.shots = (int)settings->shots;
    options.query = (int)settings->query;
    options.seed = (uint64_t)settings->seed;
    if (blo_tasks_make(data->images, &options, &batch->drawn, message, sizeof message) != BLO_OK)
        return complain(EXIT_USAGE, "%s classes: %s", split_names[split], message);
    size_t support = blo_array_bytes(&batch->drawn.support), query = blo_array_bytes(&batch->drawn.query);
    if (settings->channels > 1)
        batch->planes = malloc(support > query ? support : query);
    return settings->channels > 1 && !batch->planes ? complain(EXIT_FAILED, "no memory for the images of a task")
                                                    : EXIT_DONE;
}

int few_shot_data_load(few_shot_data *data, const few_shot_settings *settings) {
    *data = (few_shot_data){.settings = settings};
    const bool used[3] = {settings->iterations > 0, settings->validate_every > 0 && settings->iterations > 0,
                          settings->evaluate_tasks > 0};
    int status = read_images(data, settings);
    for (int split = 0; split < 3 && status == EXIT_DONE; split++)
        if (used[split])
            status = make_batch(data, (blo_split)split, 1);
    return status;
}

int few_shot_data_resize(few_shot_data *data, blo_context *context, blo_split split, int64_t at_once) {
    few_shot_batch *batch = &data->batches[split];
    if (batch->images[0] && batch->drawn.options.tasks == at_once)
        return EXIT_DONE;
    free_batch(batch);
    int made = make_batch(data, split, at_once);
    if (made != EXIT_DONE)
        return made;
    const blo_array *arrays[2] = {&batch->drawn.support, &batch->drawn.query};
    const int first = at_once > 1 ? 0 : 1; /* one task: no axis of tasks */
    blo_status status = BLO_OK;
    for (int i = 0; i < 2 && status == BLO_OK; i++) {
        const int64_t *from = arrays[i]->shape, shape[5] = {from[0], from[1], from[4], from[2], from[3]};
        status = blo_tensor_create(context, BLO_UINT8, 5 - first, shape + first, NULL, &batch->images[i]);
        if (status == BLO_OK)
            status = blo_tensor_create(context, BLO_INT32, 2 - first, shape + first, NULL, &batch->labels[i]);
    }
    return status == BLO_OK ? EXIT_DONE : complain(EXIT_FAILED, "%s", blo_context_error(context));
}

/* IMAGES [B,N,H,W,C] as [B,N,C,H,W], in PLANES where they differ. */
static const uint8_t *planes_of(const blo_array *images, uint8_t *planes) {
    const uint8_t *pixels = images->data;
    if (!planes)
        return pixels;
    const int64_t n = images->shape[0] * images->shape[1], plane = images->shape[2] * images->shape[3],
                  channels = images->shape[4];
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < plane; p++)
                planes[(i * channels + c) * plane + p] = pixels[(i * plane + p) * channels + c];
    return planes;
}

int few_shot_data_draw(few_shot_data *data, blo_context *context, blo_split split, uint64_t first) {
    char message[512];
    few_shot_batch *batch = &data->batches[split];
    blo_tasks *drawn = &batch->drawn;
    if (blo_tasks_draw(data->images, first, drawn, message, sizeof message) != BLO_OK)
        return complain(EXIT_FAILED, "%s task %llu: %s", split_names[split], (unsigned long long)first, message);
    const blo_array *images[2] = {&drawn->support, &drawn->query},
                    *labels[2] = {&drawn->support_labels, &drawn->query_labels};
    blo_status status = BLO_OK;
    for (int i = 0; i < 2 && status == BLO_OK; i++) {
        status = blo_tensor_upload(batch->images[i], planes_of(images[i], batch->planes), blo_array_bytes(images[i]));
        if (status == BLO_OK)
            status = blo_tensor_upload(batch->labels[i], labels[i]->data, blo_array_bytes(labels[i]));
    }
    return status == BLO_OK ? EXIT_DONE : complain(EXIT_FAILED, "%s", blo_context_error(context));
}

void few_shot_data_free(few_shot_data *data) {
    for (int split = 0; split < 3; split++)
        free_batch(&data->batches[split]);
    blo_images_destroy(data->images);
    *data = (few_shot_data){0};
}
