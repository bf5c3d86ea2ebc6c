/* The tasks of every upper iteration; see few_shot_keep.h. */
#include "few_shot_keep.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

static const blo_array *part(const few_shot_batch *batch, int i) {
    const blo_array *const parts[4] = {&batch->drawn.support, &batch->drawn.query, &batch->drawn.support_labels,
                                       &batch->drawn.query_labels};
    return parts[i];
}

/* Room for ROOM tasks like the TASKS of BATCH. */
static int reserve(few_shot_keep *keep, const few_shot_batch *batch, int64_t tasks, int64_t room) {
    for (int i = 0; i < 4; i++) {
        uint8_t *grown = realloc(keep->rows[i], (size_t)room * (blo_array_bytes(part(batch, i)) / (size_t)tasks));
        if (!grown)
            return complain(EXIT_FAILED, "--keep-tasks: no memory for more than %lld tasks", (long long)keep->tasks);
        keep->rows[i] = grown;
    }
    keep->room = room;
    return EXIT_DONE;
}

int few_shot_keep_add(few_shot_keep *keep, const few_shot_batch *batch) {
    const int64_t tasks = batch->drawn.options.tasks, all = keep->tasks + tasks;
    int status = all > keep->room ? reserve(keep, batch, tasks, 2 * all) : EXIT_DONE;
    for (int i = 0; i < 4 && status == EXIT_DONE; i++) {
        const size_t bytes = blo_array_bytes(part(batch, i)), one = bytes / (size_t)tasks;
        memcpy(keep->rows[i] + (size_t)keep->tasks * one, part(batch, i)->data, bytes);
    }
    keep->tasks += status == EXIT_DONE ? tasks : 0;
    return status;
}

int few_shot_keep_save(const few_shot_keep *keep, const few_shot_batch *batch, int64_t iterations, int64_t tasks,
                       const run_folder *folder) {
    static const char *const names[4] = {"support_images.npy", "query_images.npy", "support_labels.npy",
                                         "query_labels.npy"};
    int status = EXIT_DONE;
    for (int i = 0; i < 4 && keep->tasks && status == EXIT_DONE; i++) {
        const blo_array *array = part(batch, i);
        int64_t shape[BLO_MAX_RANK] = {iterations, tasks};
        memcpy(shape + 2, array->shape + 1, (size_t)(array->rank - 1) * sizeof *shape);
        status = run_folder_array(folder, names[i], array->dtype, array->rank + 1, shape, keep->rows[i]);
    }
    return status;
}

void few_shot_keep_free(few_shot_keep *keep) {
    for (int i = 0; i < 4; i++)
        free(keep->rows[i]);
    *keep = (few_shot_keep){0};
}
