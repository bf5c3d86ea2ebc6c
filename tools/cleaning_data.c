/* Data of hyper-cleaning; see cleaning_data.h. */
#include "cleaning_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* Streams of the seed: what is drawn for one purpose never depends on another. */
enum { STREAM_SPLIT = 1, STREAM_WHICH, STREAM_LABEL };

static int read_source(cleaning_data *data, const cleaning_settings *settings) {
    char message[512];
    int64_t wanted = settings->train + settings->validation + settings->test;
    blo_status status;
    data->built_in = !settings->data;
    if (data->built_in)
        status = blo_digits_generate(wanted, (uint64_t)settings->seed, &data->source, message, sizeof message);
    else if (blo_idx_pair_exists(settings->data, "train"))
        status = blo_idx_read_pair(settings->data, "train", &data->source, message, sizeof message);
    else if (blo_idx_pair_exists(settings->data, "t10k"))
        status = blo_idx_read_pair(settings->data, "t10k", &data->source, message, sizeof message);
    else
        status = blo_npy_read_dataset(settings->data, &data->source, message, sizeof message);
    if (status != BLO_OK)
        return complain(EXIT_FAILED, "--data %s: %s", settings->data ? settings->data : "(built in)", message);
    int64_t have = data->source.images.shape[0];
    if (wanted > have)
        return complain(EXIT_USAGE,
                        "--train %lld, --validation %lld and --test %lld ask for %lld examples; there are %lld",
                        (long long)settings->train, (long long)settings->validation, (long long)settings->test,
                        (long long)wanted, (long long)have);
    data->pixels = have ? blo_array_count(&data->source.images) / have : 0;
    return EXIT_DONE;
}

static int split(cleaning_data *data, const cleaning_settings *settings) {
    const int64_t counts[SPLITS] = {settings->train, settings->validation, settings->test};
    int64_t have = data->source.images.shape[0], next = 0;
    const int32_t *labels = data->source.labels.data;
    int32_t *order = malloc((size_t)have * sizeof *order);
    if (!order)
        return complain(EXIT_FAILED, "no memory to split %lld examples", (long long)have);
    blo_random_permutation(have, (uint64_t)settings->seed, STREAM_SPLIT, order);
    for (int s = 0; s < SPLITS; s++) {
        cleaning_split *part = &data->splits[s];
        part->count = counts[s];
        part->indices = malloc((size_t)counts[s] * sizeof *part->indices);
        part->labels = malloc((size_t)counts[s] * sizeof *part->labels);
        if (!part->indices || !part->labels) {
            free(order);
            return complain(EXIT_FAILED, "no memory to split %lld examples", (long long)have);
        }
        for (int64_t i = 0; i < counts[s]; i++) {
            part->indices[i] = order[next++];
            part->labels[i] = labels[part->indices[i]];
        }
    }
    free(order);
    return EXIT_DONE;
}

/* Exactly the share asked for, rounded, gets another class ("different"), or any class ("uniform"). */
static int corrupt(cleaning_data *data, const cleaning_settings *settings) {
    cleaning_split *train = &data->splits[0];
    int64_t n = train->count, share = (int64_t)llround(settings->corruption * (double)n);
    bool different = !strcmp(settings->corruption_mode, "different");
    uint32_t classes = (uint32_t)data->source.classes;
    int32_t *which = malloc((size_t)n * sizeof *which), *drawn = malloc((size_t)n * sizeof *drawn);
    data->wrong = calloc((size_t)n, sizeof *data->wrong);
    int status = EXIT_DONE;
    if (!which || !drawn || !data->wrong)
        status = complain(EXIT_FAILED, "no memory for %lld labels", (long long)n);
    else if (share > 0 && different && classes < 2)
        status = complain(EXIT_FAILED, "--corruption %g: the data have one class only, so no label can be made wrong",
                          settings->corruption);
    if (status == EXIT_DONE) {
        blo_random_permutation(n, (uint64_t)settings->seed, STREAM_WHICH, which);
        blo_random_integers(n, different && classes > 1 ? classes - 1 : classes, (uint64_t)settings->seed, STREAM_LABEL,
                            drawn);
        for (int64_t i = 0; i < share; i++) {
            int32_t *label = &train->labels[which[i]], before = *label;
            *label = different ? (before + 1 + drawn[i]) % (int32_t)classes : drawn[i];
            data->wrong[which[i]] = *label != before;
        }
    }
    free(which);
    free(drawn);
    return status;
}

int cleaning_data_load(cleaning_data *data, const cleaning_settings *settings) {
    *data = (cleaning_data){0};
    int status = read_source(data, settings);
    if (status == EXIT_DONE)
        status = split(data, settings);
    return status == EXIT_DONE ? corrupt(data, settings) : status;
}

int cleaning_data_upload(cleaning_data *data, blo_context *context) {
    const uint8_t *images = data->source.images.data;
    for (int s = 0; s < SPLITS; s++) {
        cleaning_split *part = &data->splits[s];
        size_t pixels = (size_t)data->pixels;
        uint8_t *rows = malloc((size_t)part->count * pixels);
        if (!rows)
            return complain(EXIT_FAILED, "no memory for %lld images", (long long)part->count);
        for (int64_t i = 0; i < part->count; i++)
            memcpy(rows + (size_t)i * pixels, images + (size_t)part->indices[i] * pixels, pixels);
        const int64_t shape[2] = {part->count, data->pixels};
        blo_status status = blo_tensor_create(context, BLO_UINT8, 2, shape, rows, &part->images);
        if (status == BLO_OK)
            status = blo_tensor_create(context, BLO_INT32, 1, shape, part->labels, &part->targets);
        free(rows);
        if (status != BLO_OK)
            return complain(EXIT_FAILED, "%s", blo_context_error(context));
    }
    return EXIT_DONE;
}

int cleaning_data_save(const cleaning_data *data, const run_folder *folder) {
    static const char *const names[SPLITS] = {"train_indices.npy", "validation_indices.npy", "test_indices.npy"};
    int status = EXIT_DONE;
    for (int s = 0; s < SPLITS && status == EXIT_DONE; s++)
        status = run_folder_array(folder, names[s], BLO_INT32, 1, &data->splits[s].count, data->splits[s].indices);
    if (status == EXIT_DONE)
        status = run_folder_array(folder, "train_labels_corrupted.npy", BLO_INT32, 1, &data->splits[0].count,
                                  data->splits[0].labels);
    const blo_array *images = &data->source.images, *labels = &data->source.labels;
    if (status == EXIT_DONE && data->built_in)
        status = run_folder_array(folder, "images.npy", images->dtype, images->rank, images->shape, images->data);
    if (status == EXIT_DONE && data->built_in)
        status = run_folder_array(folder, "labels.npy", labels->dtype, labels->rank, labels->shape, labels->data);
    return status;
}

void cleaning_data_free(cleaning_data *data) {
    for (int s = 0; s < SPLITS; s++) {
        free(data->splits[s].indices);
        free(data->splits[s].labels);
        blo_tensor_destroy(data->splits[s].images);
        blo_tensor_destroy(data->splits[s].targets);
    }
    free(data->wrong);
    blo_dataset_free(&data->source);
    *data = (cleaning_data){0};
}
