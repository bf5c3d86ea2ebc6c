/* What images and labels must be to make a data set, whatever files they came from. Must not know formats. */
#ifndef BLO_DATA_LABELS_H
#define BLO_DATA_LABELS_H

#include <clbilevel/data.h>

#include "report.h"

/* blo_idx_read or blo_npy_read. */
typedef blo_status (*blo_array_reader)(const char *path, blo_array *array, char *message, size_t size);

/* Both files through READER: images (uint8 [N,H,W] or [N,H,W,C]), and labels (uint8 or int32 [N]), which become int32;
 * classes are the largest label and one. DATASET is empty on failure. */
blo_status blo_dataset_read(blo_array_reader reader, const char *images_path, const char *labels_path,
                            blo_dataset *dataset, const blo_report *report);

#endif
