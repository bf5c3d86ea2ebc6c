/* What images and labels must be to make a data set, whatever files they came from. Must not know formats. */
#include "labels.h"

#include "array.h"

#include <string.h>

enum { MOST_CLASSES = 1 << 20 }; /* what is allocated per class must not follow from one wild label */

static blo_status check_images(const blo_array *images, const char *name, const blo_report *report) {
    if (images->dtype != BLO_UINT8) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: images of %s; they should be uint8", name,
                               blo_dtype_name(images->dtype));
    }
    if (images->rank != 3 && images->rank != 4) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: images with %d axes; they should have 3, [N,H,W], or 4, [N,H,W,C]", name,
                               images->rank);
    }
    if (images->rank == 4 && images->shape[3] != 1 && images->shape[3] != 3) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: images with %lld channels; there should be 1 or 3", name,
                               (long long)images->shape[3]);
    }
    if (images->shape[0] == 0 || images->shape[1] == 0 || images->shape[2] == 0) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: %lld images of %lldx%lld pixels; no extent may be 0", name,
                               (long long)images->shape[0], (long long)images->shape[1], (long long)images->shape[2]);
    }
    return BLO_OK;
}

/* The labels as int32 into COPY [N], all within 0 … MOST_CLASSES-1; *CLASSES is the largest and one. */
static blo_status copy_labels(const blo_array *labels, const char *name, blo_array *copy, int *classes,
                              const blo_report *report) {
    if (!blo_array_make(BLO_INT32, 1, labels->shape, copy)) {
        return blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory for %lld labels", name,
                               (long long)labels->shape[0]);
    }
    int32_t *out = copy->data;
    int32_t largest = 0;
    for (int64_t i = 0; i < labels->shape[0]; i++) {
        out[i] = labels->dtype == BLO_UINT8 ? ((const uint8_t *)labels->data)[i] : ((const int32_t *)labels->data)[i];
        if (out[i] < 0 || out[i] >= MOST_CLASSES) {
            const int32_t label = out[i];
            blo_array_free(copy);
            return blo_report_fail(report, BLO_ERROR_FILE, "%s: label %d at index %lld; labels should be 0 to %d", name,
                                   (int)label, (long long)i, MOST_CLASSES - 1);
        }
        largest = out[i] > largest ? out[i] : largest;
    }
    *classes = largest + 1;
    return BLO_OK;
}

/* Takes IMAGES and LABELS into DATASET. On success both arrays are empty; on failure they are as they were and DATASET
 * is empty. IMAGES_NAME and LABELS_NAME are the files, for the sentence. */
static blo_status take(blo_array *images, const char *images_name, blo_array *labels, const char *labels_name,
                       blo_dataset *dataset, const blo_report *report) {
    memset(dataset, 0, sizeof *dataset);
    blo_status status = check_images(images, images_name, report);
    if (status != BLO_OK) {
        return status;
    }
    if (labels->rank != 1) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: labels with %d axes; they should have 1, [N]", labels_name,
                               labels->rank);
    }
    if (labels->dtype != BLO_UINT8 && labels->dtype != BLO_INT32) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: labels of %s; they should be integers", labels_name,
                               blo_dtype_name(labels->dtype));
    }
    if (labels->shape[0] != images->shape[0]) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: %lld labels, but %s has %lld images; the counts should be equal", labels_name,
                               (long long)labels->shape[0], images_name, (long long)images->shape[0]);
    }
    status = copy_labels(labels, labels_name, &dataset->labels, &dataset->classes, report);
    if (status != BLO_OK) {
        return status;
    }
    dataset->images = *images;
    memset(images, 0, sizeof *images);
    blo_array_free(labels);
    return BLO_OK;
}

blo_status blo_dataset_read(blo_array_reader reader, const char *images_path, const char *labels_path,
                            blo_dataset *dataset, const blo_report *report) {
    blo_array images = {0}, labels = {0};
    blo_status status = reader(images_path, &images, report->message, report->size);
    if (status == BLO_OK) {
        status = reader(labels_path, &labels, report->message, report->size);
    }
    if (status == BLO_OK) {
        status = take(&images, images_path, &labels, labels_path, dataset, report);
    }
    blo_array_free(&images);
    blo_array_free(&labels);
    return status;
}
