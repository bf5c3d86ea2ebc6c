/* Finds and reads the two NumPy files of a data set. Must not know the format. */
#include <clbilevel/data.h>

#include "file.h"
#include "labels.h"

#include <stdlib.h>
#include <string.h>

blo_status blo_npy_read_dataset(const char *folder, blo_dataset *dataset, char *message, size_t size) {
    const blo_report report = {message, size};
    if (dataset == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_npy_read_dataset: dataset is NULL");
    }
    memset(dataset, 0, sizeof *dataset);
    if (folder == NULL) {
        return blo_report_fail(&report, BLO_ERROR_ARGUMENT, "blo_npy_read_dataset: folder is NULL");
    }
    char *images = blo_file_join(folder, "images.npy");
    char *labels = blo_file_join(folder, "labels.npy");
    const blo_status status =
        images == NULL || labels == NULL
            ? blo_report_fail(&report, BLO_ERROR_MEMORY, "%s: no memory for its files' names", folder)
            : blo_dataset_read(blo_npy_read, images, labels, dataset, &report);
    free(images);
    free(labels);
    return status;
}
