/* The built-in digits: shapes, shares, seeds, and that a simple classifier learns them. */
#include <clbilevel/data.h>

#include "runner.h"

#include <string.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };

static blo_dataset digits(int64_t count, uint64_t seed) {
    blo_dataset made;
    char message[200] = "";
    ck_assert_msg(blo_digits_generate(count, seed, &made, message, sizeof message) == BLO_OK, "%s", message);
    return made;
}

START_TEST(have_the_shapes_of_a_data_set) {
    blo_dataset made = digits(7, 1);
    ck_assert_int_eq(made.images.dtype, BLO_UINT8);
    ck_assert_int_eq(made.images.rank, 3);
    ck_assert_int_eq(made.images.shape[0], 7);
    ck_assert_int_eq(made.images.shape[1], SIDE);
    ck_assert_int_eq(made.images.shape[2], SIDE);
    ck_assert_int_eq(made.labels.dtype, BLO_INT32);
    ck_assert_int_eq(made.labels.rank, 1);
    ck_assert_int_eq(made.labels.shape[0], 7);
    ck_assert_int_eq(made.classes, CLASSES);
    ck_assert_uint_eq(blo_array_bytes(&made.images), 7 * PIXELS);
    ck_assert_int_eq(blo_array_count(&made.labels), 7);
    blo_dataset_free(&made);
    ck_assert_ptr_null(made.images.data);
}
END_TEST

START_TEST(share_the_classes_equally_in_random_order) {
    blo_dataset made = digits(1003, 5);
    const int32_t *labels = made.labels.data;
    int counts[CLASSES] = {0}, in_order = 0;
    for (int i = 0; i < 1003; i++) {
        ck_assert_int_ge(labels[i], 0);
        ck_assert_int_lt(labels[i], CLASSES);
        counts[labels[i]]++;
        in_order += labels[i] == i % CLASSES;
    }
    for (int class = 0; class < CLASSES; class ++) {
        ck_assert_int_ge(counts[class], 100);
        ck_assert_int_le(counts[class], 101);
    }
    ck_assert_int_lt(in_order, 200); /* a tenth is expected */
    blo_dataset_free(&made);
}
END_TEST

START_TEST(follow_from_the_seed_alone) {
    blo_dataset first = digits(50, 7), again = digits(50, 7), other = digits(50, 8),
                high = digits(50, 7 + (1ull << 32));
    ck_assert_mem_eq(first.images.data, again.images.data, 50 * PIXELS);
    ck_assert_mem_eq(first.labels.data, again.labels.data, 50 * sizeof(int32_t));
    ck_assert_mem_ne(first.images.data, other.images.data, 50 * PIXELS);
    ck_assert_mem_ne(first.images.data, high.images.data, 50 * PIXELS);
    blo_dataset_free(&first);
    blo_dataset_free(&again);
    blo_dataset_free(&other);
    blo_dataset_free(&high);
}
END_TEST

START_TEST(are_all_different_images_with_ink) {
    blo_dataset made = digits(200, 3);
    const uint8_t *images = made.images.data;
    for (int i = 0; i < 200; i++) {
        int inked = 0;
        for (int pixel = 0; pixel < PIXELS; pixel++) {
            inked += images[i * PIXELS + pixel] > 100;
        }
        ck_assert_int_gt(inked, 10);
        ck_assert_int_lt(inked, PIXELS / 2);
        for (int other = 0; other < i; other++) {
            ck_assert_mem_ne(images + i * PIXELS, images + other * PIXELS, PIXELS);
        }
    }
    blo_dataset_free(&made);
}
END_TEST

/* Which class's mean image is nearest to IMAGE. */
static int nearest(double means[CLASSES][PIXELS], const uint8_t *image) {
    int best = 0;
    double best_distance = 1e300;
    for (int class = 0; class < CLASSES; class ++) {
        double distance = 0;
        for (int pixel = 0; pixel < PIXELS; pixel++) {
            const double off = image[pixel] - means[class][pixel];
            distance += off * off;
        }
        if (distance < best_distance) {
            best_distance = distance;
            best = class;
        }
    }
    return best;
}

/* The nearest mean is a linear classifier, the weakest of them: well above chance (0.1), but no toy. */
START_TEST(are_told_apart_by_their_means_but_not_fully) {
    static double means[CLASSES][PIXELS];
    blo_dataset train = digits(2000, 11), held_out = digits(1000, 12);
    const uint8_t *images = train.images.data;
    int right = 0;
    for (int i = 0; i < 2000; i++) {
        for (int pixel = 0; pixel < PIXELS; pixel++) {
            means[((int32_t *)train.labels.data)[i]][pixel] += images[i * PIXELS + pixel] / 200.0;
        }
    }
    images = held_out.images.data;
    for (int i = 0; i < 1000; i++) {
        right += nearest(means, images + i * PIXELS) == ((int32_t *)held_out.labels.data)[i];
    }
    printf("nearest mean: %d of 1000 right\n", right);
    ck_assert_int_gt(right, 500);
    ck_assert_int_lt(right, 950);
    blo_dataset_free(&train);
    blo_dataset_free(&held_out);
}
END_TEST

START_TEST(need_a_possible_count) {
    blo_dataset made;
    char message[200] = "";
    const int64_t counts[] = {0, -1, (int64_t)1 << 31};
    ck_assert_int_eq(blo_digits_generate(counts[_i], 0, &made, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(message, "1 to 2147483647"));
    ck_assert_ptr_null(made.images.data);
    ck_assert_ptr_null(made.labels.data);
    ck_assert_int_eq(blo_digits_generate(counts[_i], 0, &made, NULL, 0), BLO_ERROR_ARGUMENT);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("digits");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, have_the_shapes_of_a_data_set);
    tcase_add_test(tests, share_the_classes_equally_in_random_order);
    tcase_add_test(tests, follow_from_the_seed_alone);
    tcase_add_test(tests, are_all_different_images_with_ink);
    tcase_add_test(tests, are_told_apart_by_their_means_but_not_fully);
    tcase_add_loop_test(tests, need_a_possible_count, 0, 3);
    return run_case("digits", tests);
}
