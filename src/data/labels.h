/* What images and labels must be to make a data set, whatever files they came from. Must not know formats. */
#ifndef BLO_DATA_LABELS_H
#define BLO_DATA_LABELS_H

#include <clbilevel/data.h>

#include "report.h"

/* Takes IMAGES (uint8 [N,H,W] or [N,H,W,C]) and LABELS (uint8 or int32 [N]) into DATASET, whose labels become int32 and
 * whose classes are the largest label and one. On success both arrays are empty; on failure they are as they were and
 * DATASET is empty. IMAGES_NAME and LABELS_NAME are the files, for the sentence. */
blo_status blo_dataset_take(blo_array *images, const char *images_name, blo_array *labels, const char *labels_name,
                            blo_dataset *dataset, const blo_report *report);

/* blo_idx_read or blo_npy_read. */
typedef blo_status (*blo_array_reader)(const char *path, blo_array *array, char *message, size_t size);

/* Both files through READER, then blo_dataset_take(). DATASET is empty on failure. */
blo_status blo_dataset_read(blo_array_reader reader, const char *images_path, const char *labels_path,
                            blo_dataset *dataset, const blo_report *report);

#endif
