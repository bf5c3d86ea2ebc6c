/* Draws few-shot tasks from a set of images. Each task has a random stream of its own, counted by its number. Must not
 * know where images come from. */
#include "array.h"
#include "images.h"
#include "random.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 1 << 24 };

void blo_tasks_options_default(blo_tasks_options *options) {
    if (options != NULL) {
        *options = (blo_tasks_options){.split = BLO_SPLIT_TRAIN, .tasks = 1, .ways = 5, .shots = 1, .query = 15};
    }
}

static const char *split_name(blo_split split) {
    return split == BLO_SPLIT_TRAIN ? "training" : split == BLO_SPLIT_VALIDATION ? "validation" : "test";
}

/* The sentence where SPLIT cannot give what is asked for. */
static blo_status check_supply(const blo_images *images, const blo_tasks_options *options, const blo_report *report) {
    const int classes = blo_images_classes(images, options->split);
    const int64_t wanted = (int64_t)options->shots + options->query;
    char shown[BLO_SHOWN_SIZE];
    if (classes < options->ways) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "%d ways need %d classes; the %s split has %d",
                               options->ways, options->ways, split_name(options->split), classes);
    }
    for (int i = 0; i < classes / images->rotations; i++) {
        const int64_t count = blo_images_class_count(images, options->split, i);
        if (count < wanted) {
            return blo_report_fail(
                report, BLO_ERROR_ARGUMENT,
                "%d shots and %d query images need %lld images of each class; '%s' of the %s split has %lld",
                options->shots, options->query, (long long)wanted,
                blo_report_name(blo_images_class_name(images, options->split, i), shown), split_name(options->split),
                (long long)count);
        }
    }
    return BLO_OK;
}

static blo_status check(const blo_images *images, const blo_tasks_options *options, const blo_report *report) {
    if ((int)options->split < 0 || (int)options->split >= BLO_SPLITS) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT, "blo_tasks_make: %d is no split", (int)options->split);
    }
    if (options->tasks < 1 || options->ways < 1 || options->shots < 1 || options->query < 0) {
        return blo_report_fail(
            report, BLO_ERROR_ARGUMENT,
            "blo_tasks_make: %d tasks of %d ways, %d shots and %d query images; wanted are at least 1, "
            "1, 1 and 0",
            options->tasks, options->ways, options->shots, options->query);
    }
    const int64_t most = MOST_ROWS, each = options->shots > options->query ? options->shots : options->query;
    if (options->ways > most || each > most / options->ways || options->tasks > most / (each * options->ways)) {
        return blo_report_fail(report, BLO_ERROR_ARGUMENT,
                               "blo_tasks_make: %d tasks of %d ways and %lld images each are more than %lld rows",
                               options->tasks, options->ways, (long long)each, (long long)most);
    }
    return check_supply(images, options, report);
}

static bool make_part(const blo_images *images, int64_t tasks, int64_t rows, blo_array *pixels, blo_array *labels,
                      blo_array *source) {
    const int64_t side = images->size;
    return blo_array_make(BLO_UINT8, 5, (int64_t[]){tasks, rows, side, side, images->channels}, pixels) &&
           blo_array_make(BLO_INT32, 2, (int64_t[]){tasks, rows}, labels) &&
           blo_array_make(BLO_INT32, 3, (int64_t[]){tasks, rows, 2}, source);
}

blo_status blo_tasks_make(const blo_images *images, const blo_tasks_options *given, blo_tasks *tasks, char *message,
                          size_t size) {
    const blo_report report = {message, size};
    if (images == NULL || tasks == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_tasks_make: %s is NULL",
                               images == NULL ? "images" : "tasks");
    }
    memset(tasks, 0, sizeof *tasks);
    blo_tasks_options options;
    blo_tasks_options_default(&options);
    options = given == NULL ? options : *given;
    const blo_status status = check(images, &options, &report);
    if (status != BLO_OK) {
        return status;
    }
    const int64_t ways = options.ways;
    if (!make_part(images, options.tasks, ways * options.shots, &tasks->support, &tasks->support_labels,
                   &tasks->support_source) ||
        !make_part(images, options.tasks, ways * options.query, &tasks->query, &tasks->query_labels,
                   &tasks->query_source)) {
        blo_tasks_free(tasks);
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_tasks_make: no memory for %d tasks", options.tasks);
    }
    tasks->options = options;
    return BLO_OK;
}

void blo_tasks_free(blo_tasks *tasks) {
    if (tasks != NULL) {
        blo_array_free(&tasks->support);
        blo_array_free(&tasks->query);
        blo_array_free(&tasks->support_labels);
        blo_array_free(&tasks->query_labels);
        blo_array_free(&tasks->support_source);
        blo_array_free(&tasks->query_source);
    }
}

static void shuffle(blo_stream *draws, int32_t *values, int count) {
    for (int i = count - 1; i > 0; i--) {
        const uint32_t other = blo_stream_below(draws, (uint32_t)i + 1);
        const int32_t kept = values[i];
        values[i] = values[other];
        values[other] = kept;
    }
}

/* COUNT different numbers below BOUND, in random order (Floyd's sampling, then a shuffle). */
static void choose(blo_stream *draws, int64_t bound, int count, int32_t *chosen) {
    for (int i = 0; i < count; i++) {
        const int64_t highest = bound - count + i;
        int32_t drawn = (int32_t)blo_stream_below(draws, (uint32_t)(highest + 1));
        for (int before = 0; before < i; before++) {
            drawn = chosen[before] == drawn ? (int32_t)highest : drawn;
        }
        chosen[i] = drawn;
    }
    shuffle(draws, chosen, count);
}

/* One part (support or query) of task NUMBER of a batch. */
typedef struct part {
    uint8_t *pixels;
    int32_t *labels, *source; /* [rows], [rows, 2] */
    int32_t *order;           /* [rows]: at which row what is drawn goes */
    int rows;
} part;

static part part_of(const blo_array *pixels, const blo_array *labels, const blo_array *source, int number,
                    int32_t *order) {
    const int64_t rows = labels->shape[1], at = number * rows;
    const int64_t image = pixels->shape[2] * pixels->shape[3] * pixels->shape[4];
    part made = {.order = order, .rows = (int)rows};
    if (rows != 0) {
        made.pixels = (uint8_t *)pixels->data + at * image;
        made.labels = (int32_t *)labels->data + at;
        made.source = (int32_t *)source->data + 2 * at;
    }
    return made;
}

/* Scratch of one draw. */
typedef struct scratch {
    int32_t *classes;       /* [ways] */
    int32_t *numbers;       /* [shots + query] */
    int32_t *support_order; /* [ways * shots] */
    int32_t *query_order;   /* [ways * query] */
} scratch;

static void order_rows(blo_stream *draws, const part *of, bool shuffled) {
    for (int i = 0; i < of->rows; i++) {
        of->order[i] = i;
    }
    if (shuffled) {
        shuffle(draws, of->order, of->rows);
    }
}

static void put(const blo_images *images, blo_split split, const part *in, int at, int label, int32_t class,
                int32_t number) {
    const size_t bytes = (size_t)images->size * (size_t)images->size * (size_t)images->channels;
    const int32_t row = in->order[at];
    in->labels[row] = label;
    in->source[2 * row] = class;
    in->source[2 * row + 1] = number;
    blo_images_copy(images, split, class, number, in->pixels + (size_t)row * bytes);
}

static void draw_task(const blo_images *images, uint64_t task, const blo_tasks_options *options, const part *support,
                      const part *query, const scratch *room) {
    static const blo_stream_use uses[] = {BLO_USE_TRAIN_TASKS, BLO_USE_VALIDATION_TASKS, BLO_USE_TEST_TASKS};
    blo_stream draws;
    blo_stream_start(&draws, options->seed, task, uses[options->split]);
    choose(&draws, blo_images_classes(images, options->split), options->ways, room->classes);
    order_rows(&draws, support, options->shuffle != BLO_CHOICE_OFF);
    order_rows(&draws, query, options->shuffle != BLO_CHOICE_OFF);
    for (int way = 0; way < options->ways; way++) {
        const int32_t class = room->classes[way];
        choose(&draws, blo_images_class_count(images, options->split, class), options->shots + options->query,
               room->numbers);
        for (int i = 0; i < options->shots; i++) {
            put(images, options->split, support, way * options->shots + i, way, class, room->numbers[i]);
        }
        for (int i = 0; i < options->query; i++) {
            put(images, options->split, query, way * options->query + i, way, class, room->numbers[options->shots + i]);
        }
    }
}

/* Is TASKS of the form that its options and IMAGES say, so that nothing is written outside of it. */
static bool fits(const blo_images *images, const blo_tasks *tasks) {
    const blo_array *support = &tasks->support, *query = &tasks->query;
    const int64_t ways = tasks->options.ways;
    return support->rank == 5 && query->rank == 5 && support->shape[2] == images->size &&
           support->shape[4] == images->channels && query->shape[2] == images->size &&
           query->shape[4] == images->channels && support->shape[0] == tasks->options.tasks &&
           support->shape[1] == ways * tasks->options.shots && query->shape[1] == ways * tasks->options.query;
}

blo_status blo_tasks_draw(const blo_images *images, uint64_t first, blo_tasks *tasks, char *message, size_t size) {
    const blo_report report = {message, size};
    if (images == NULL || tasks == NULL || !fits(images, tasks)) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT,
                               "blo_tasks_draw: tasks is not what blo_tasks_make() made for these images");
    }
    const blo_tasks_options *options = &tasks->options;
    blo_status status = check_supply(images, options, &report);
    if (status != BLO_OK) {
        return status;
    }
    const size_t ways = (size_t)options->ways, shots = (size_t)options->shots, wanted = (size_t)options->query;
    int32_t *all = malloc((ways + shots + wanted + ways * (shots + wanted)) * sizeof *all);
    if (all == NULL) {
        return blo_report_fail(&report, BLO_ERROR_MEMORY, "blo_tasks_draw: no memory to draw tasks");
    }
    const scratch room = {.classes = all,
                          .numbers = all + ways,
                          .support_order = all + ways + shots + wanted,
                          .query_order = all + ways + shots + wanted + ways * shots};
    for (int number = 0; number < options->tasks; number++) {
        const part support =
            part_of(&tasks->support, &tasks->support_labels, &tasks->support_source, number, room.support_order);
        const part query = part_of(&tasks->query, &tasks->query_labels, &tasks->query_source, number, room.query_order);
        draw_task(images, first + (uint64_t)number, options, &support, &query, &room);
    }
    free(all);
    return BLO_OK;
}
