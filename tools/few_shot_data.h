/* Data of few-shot learning: images in classes, and the tasks drawn from them, as tensors an objective can take. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_DATA_H
#define CLBILEVEL_TOOLS_FEW_SHOT_DATA_H

#include <clbilevel/clbilevel.h>

#include "few_shot_settings.h"

/* A task at a time. Another task replaces what the tensors hold. */
typedef struct few_shot_task {
    blo_tasks drawn;
    uint8_t *planes;       /* room for [N,C,H,W] of support or query, NULL where C is 1 */
    blo_tensor *images[2]; /* uint8 [N,C,H,W] of support, query */
    blo_tensor *labels[2]; /* int32 [N] */
} few_shot_task;

typedef struct few_shot_data {
    blo_images *images;
    few_shot_task tasks[3]; /* by blo_split */
} few_shot_data;

/* Reads or makes the images, and room for tasks of each split that is used; no device needed. Returns an exit status;
 * complaints are printed. */
int few_shot_data_load(few_shot_data *data, const few_shot_settings *settings);
int few_shot_data_upload(few_shot_data *data, blo_context *context);
/* Task NUMBER of SPLIT into its tensors. */
int few_shot_data_draw(few_shot_data *data, blo_context *context, blo_split split, uint64_t number);
void few_shot_data_free(few_shot_data *data);

#endif
