/* Data of few-shot learning: images in classes, and the tasks drawn from them, as tensors an objective can take. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_DATA_H
#define CLBILEVEL_TOOLS_FEW_SHOT_DATA_H

#include <clbilevel/clbilevel.h>

#include "few_shot_settings.h"

/* Tasks that run at once: B of them, B = drawn.options.tasks. Others replace what the tensors hold. With B = 1 they
 * have no axis of tasks. */
typedef struct few_shot_batch {
    blo_tasks drawn;
    uint8_t *planes;       /* room for [B,N,C,H,W] of support or query, NULL where C is 1 */
    blo_tensor *images[2]; /* uint8 [B,N,C,H,W] of support, query */
    blo_tensor *labels[2]; /* int32 [B,N] */
} few_shot_batch;

typedef struct few_shot_data {
    const few_shot_settings *settings;
    blo_images *images;
    few_shot_batch batches[3]; /* by blo_split */
} few_shot_data;

/* How many of TASKS run at once where MOST may: as many as divide them evenly. */
int64_t few_shot_at_once(int64_t tasks, int64_t most);

/* Reads or makes the images, and room for a task of each split that is used; no device needed. Returns an exit status;
 * complaints are printed. SETTINGS outlive the data. */
int few_shot_data_load(few_shot_data *data, const few_shot_settings *settings);
/* Room and tensors for AT_ONCE tasks of SPLIT, unless they are there. */
int few_shot_data_resize(few_shot_data *data, blo_context *context, blo_split split, int64_t at_once);
/* Tasks FIRST, FIRST + 1 … of SPLIT into its tensors. */
int few_shot_data_draw(few_shot_data *data, blo_context *context, blo_split split, uint64_t first);
void few_shot_data_free(few_shot_data *data);

#endif
