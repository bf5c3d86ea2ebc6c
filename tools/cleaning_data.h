/* Data of hyper-cleaning: images from files or built in, split at random, and training labels made wrong on purpose. */
#ifndef CLBILEVEL_TOOLS_CLEANING_DATA_H
#define CLBILEVEL_TOOLS_CLEANING_DATA_H

#include <clbilevel/clbilevel.h>

#include "cleaning_settings.h"
#include "run_folder.h"

enum { SPLITS = 3 }; /* train, validation, test */

typedef struct cleaning_split {
    int64_t count;
    int32_t *indices;    /* [count] into the source */
    int32_t *labels;     /* [count] as given; of the training split as corrupted */
    blo_tensor *images;  /* uint8 [count,pixels] */
    blo_tensor *targets; /* int32 [count] */
} cleaning_split;

typedef struct cleaning_data {
    blo_dataset source;
    int64_t pixels;
    bool built_in;
    cleaning_split splits[SPLITS];
    bool *wrong; /* [train] the label was changed */
} cleaning_data;

/* Reads, splits and corrupts; no device needed. Returns an exit status; complaints are printed. */
int cleaning_data_load(cleaning_data *data, const cleaning_settings *settings);
int cleaning_data_upload(cleaning_data *data, blo_context *context);
/* The split's indices, the labels as corrupted, and built-in images, as NPY. */
int cleaning_data_save(const cleaning_data *data, const run_folder *folder);
void cleaning_data_free(cleaning_data *data);

#endif
