/* Pairs of IDX files: their names, their agreement, and MNIST where it is at hand. */
#include <clbilevel/data.h>

#include "files.h"
#include "runner.h"

#include <stdio.h>
#include <string.h>

static const uint8_t IMAGES[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40};
static const uint8_t LABELS[] = {0, 0, 8, 1, 0, 0, 0, 2, 4, 1};

static char message[800];

START_TEST(reads_every_spelling) {
    static const char *const spelled[] = {"-images-idx3-ubyte", "-labels-idx1-ubyte", "-images.idx3-ubyte",
                                          "-labels.idx1-ubyte"};
    char images[64], labels[64];
    const int dotted = _i & 1, images_packed = _i & 2, labels_packed = _i & 4;
    blo_dataset read;
    files_clear();
    snprintf(images, sizeof images, "train%s%s", spelled[2 * dotted], images_packed ? ".gz" : "");
    snprintf(labels, sizeof labels, "train%s%s", spelled[2 * dotted + 1], labels_packed ? ".gz" : "");
    (images_packed ? files_write_gzip : files_write)(images, IMAGES, sizeof IMAGES);
    ck_assert(!blo_idx_pair_exists(files_folder(), "train"));
    (labels_packed ? files_write_gzip : files_write)(labels, LABELS, sizeof LABELS);
    ck_assert(blo_idx_pair_exists(files_folder(), "train"));
    ck_assert(!blo_idx_pair_exists(files_folder(), "t10k"));
    ck_assert_msg(blo_idx_read_pair(files_folder(), "train", &read, message, sizeof message) == BLO_OK, "%s", message);
    ck_assert_mem_eq(read.images.data, IMAGES + 16, 4);
    ck_assert_int_eq(read.labels.dtype, BLO_INT32);
    ck_assert_int_eq(((int32_t *)read.labels.data)[0], 4);
    ck_assert_int_eq(((int32_t *)read.labels.data)[1], 1);
    ck_assert_int_eq(read.classes, 5);
    blo_dataset_free(&read);
}
END_TEST

static void check_refused(const void *images, size_t images_count, const void *labels, size_t labels_count,
                          const char *expected) {
    blo_dataset read;
    memset(&read, 0xff, sizeof read);
    files_clear();
    files_write("t10k-images-idx3-ubyte", images, images_count);
    files_write("t10k-labels-idx1-ubyte", labels, labels_count);
    ck_assert_int_eq(blo_idx_read_pair(files_folder(), "t10k", &read, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_msg(strstr(message, expected) != NULL, "'%s' lacks '%s'", message, expected);
    ck_assert_ptr_null(read.images.data);
    ck_assert_ptr_null(read.labels.data);
}

START_TEST(refuses_what_does_not_agree) {
    const uint8_t three[] = {0, 0, 8, 1, 0, 0, 0, 3, 4, 1, 2};
    const uint8_t no_images[] = {0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2};
    const uint8_t no_labels[] = {0, 0, 8, 1, 0, 0, 0, 0};
    const uint8_t negative[] = {0, 0, 12, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff};
    const uint8_t wild[] = {0, 0, 12, 1, 0, 0, 0, 2, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1};
    const uint8_t integers[] = {0, 0, 12, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
    check_refused(IMAGES, sizeof IMAGES, three, sizeof three, "3 labels, but");
    check_refused(IMAGES, sizeof IMAGES, no_labels, sizeof no_labels, "0 labels, but");
    check_refused(no_images, sizeof no_images, no_labels, sizeof no_labels, "0 images of 1x2");
    check_refused(IMAGES, sizeof IMAGES, negative, sizeof negative, "label -1 at index 1");
    check_refused(IMAGES, sizeof IMAGES, wild, sizeof wild, "label 2147483647 at index 0");
    check_refused(LABELS, sizeof LABELS, IMAGES, sizeof IMAGES, "1 axes");
    check_refused(IMAGES, sizeof IMAGES, IMAGES, sizeof IMAGES, "labels with 3 axes");
    check_refused(integers, sizeof integers, LABELS, sizeof LABELS, "images of int32");
    check_refused(IMAGES, sizeof IMAGES, LABELS, sizeof LABELS - 1, "t10k-labels-idx1-ubyte");
}
END_TEST

START_TEST(names_what_it_looked_for) {
    blo_dataset read;
    files_clear();
    ck_assert_int_eq(blo_idx_read_pair(files_folder(), "t10k", &read, message, sizeof message), BLO_ERROR_FILE);
    ck_assert_ptr_nonnull(strstr(message, "t10k-images-idx3-ubyte.gz"));
    ck_assert_ptr_nonnull(strstr(message, "t10k-images.idx3-ubyte"));
    ck_assert_int_eq(blo_idx_read_pair(NULL, "t10k", &read, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert(!blo_idx_pair_exists(NULL, "t10k"));
}
END_TEST

START_TEST(reads_mnist) {
    char folder[400];
    blo_dataset read;
    int counts[10] = {0};
    static const int published[10] = {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009};
    snprintf(folder, sizeof folder, "%s/mnist", files_test_data());
    ck_assert_msg(blo_idx_read_pair(folder, "t10k", &read, message, sizeof message) == BLO_OK, "%s", message);
    ck_assert_int_eq(read.images.shape[0], 10000);
    ck_assert_int_eq(read.images.shape[1], 28);
    ck_assert_int_eq(read.images.shape[2], 28);
    ck_assert_int_eq(read.classes, 10);
    for (int i = 0; i < 10000; i++) {
        counts[((int32_t *)read.labels.data)[i]]++;
    }
    for (int class = 0; class < 10; class ++) {
        ck_assert_int_eq(counts[class], published[class]);
    }
    blo_dataset_free(&read);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("idx pair");
    files_begin();
    tcase_add_loop_test(tests, reads_every_spelling, 0, 8);
    tcase_add_test(tests, refuses_what_does_not_agree);
    tcase_add_test(tests, names_what_it_looked_for);
    char folder[400];
    snprintf(folder, sizeof folder, "%s/mnist", files_test_data() == NULL ? "" : files_test_data());
    if (blo_idx_pair_exists(folder, "t10k")) {
        tcase_add_test(tests, reads_mnist);
    } else {
        printf("SKIP reads_mnist: no MNIST in CLBILEVEL_TEST_DATA or ../shared/data\n");
    }
    const int result = run_case("idx pair", tests);
    files_end();
    return result;
}
