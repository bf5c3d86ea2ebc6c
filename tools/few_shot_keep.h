/* The tasks of every upper iteration, kept for the run's folder, so that others can solve the same ones. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_KEEP_H
#define CLBILEVEL_TOOLS_FEW_SHOT_KEEP_H

#include "few_shot_data.h"
#include "run_folder.h"

typedef struct few_shot_keep {
    int64_t tasks;    /* kept so far */
    int64_t room;     /* for so many */
    uint8_t *rows[4]; /* of every task: support and query images, support and query labels */
} few_shot_keep;

/* Adds copies of the tasks of BATCH. Returns an exit status; complaints are printed. */
int few_shot_keep_add(few_shot_keep *keep, const few_shot_batch *batch);
/* Writes support_images.npy uint8 [I,tasks,S,H,W,C], support_labels.npy int32 [I,tasks,S], and the same of query, of
 * the ITERATIONS that were done; nothing if no task was kept. */
int few_shot_keep_save(const few_shot_keep *keep, const few_shot_batch *batch, int64_t iterations, int64_t tasks,
                       const run_folder *folder);
void few_shot_keep_free(few_shot_keep *keep);

#endif
