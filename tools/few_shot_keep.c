/* The tasks of every upper iteration; see few_shot_keep.h. */
#include "few_shot_keep.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

static const blo_array *part(const few_shot_task *task, int i) {
    const blo_array *const parts[4] = {&task->drawn.support, &task->drawn.query, &task->drawn.support_labels,
                                       &task->drawn.query_labels};
    return parts[i];
}

int few_shot_keep_add(few_shot_keep *keep, const few_shot_task *task) {
    const bool full = (keep->tasks & (keep->tasks - 1)) == 0; /* at each power of two, and at first */
    for (int i = 0; i < 4; i++) {
        const size_t bytes = blo_array_bytes(part(task, i));
        if (full) {
            uint8_t *grown = realloc(keep->rows[i], (size_t)(keep->tasks ? 2 * keep->tasks : 1) * bytes);
            if (!grown)
                return complain(EXIT_FAILED, "--keep-tasks: no memory for more than %lld tasks",
                                (long long)keep->tasks);
            keep->rows[i] = grown;
        }
        memcpy(keep->rows[i] + (size_t)keep->tasks * bytes, part(task, i)->data, bytes);
    }
    keep->tasks++;
    return EXIT_DONE;
}

int few_shot_keep_save(const few_shot_keep *keep, const few_shot_task *task, int64_t iterations, int64_t tasks,
                       const run_folder *folder) {
    static const char *const names[4] = {"support_images.npy", "query_images.npy", "support_labels.npy",
                                         "query_labels.npy"};
    int status = EXIT_DONE;
    for (int i = 0; i < 4 && keep->tasks && status == EXIT_DONE; i++) {
        const blo_array *array = part(task, i);
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
