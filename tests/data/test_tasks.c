/* Few-shot tasks: what they hold, that they follow from seed and number alone, that draws are fair; and the built-in
 * characters that they are drawn from here. */
#include <clbilevel/images.h>

#include "runner.h"

#include <string.h>

enum { SIDE = 14, PIXELS = SIDE * SIDE, DRAWINGS = 20 };

static char message[400];
static blo_images *images;
static blo_tasks_options options;
static blo_tasks tasks;

static blo_images *characters(int size, int channels, uint64_t seed) {
    blo_images_options wanted;
    blo_images *made = NULL;
    blo_images_options_default(&wanted);
    wanted.image_size = size;
    wanted.channels = channels;
    wanted.seed = seed;
    ck_assert_msg(blo_images_generate(&wanted, &made, message, sizeof message) == BLO_OK, "%s", message);
    return made;
}

static void setup(void) {
    images = characters(SIDE, 1, 3);
    blo_tasks_options_default(&options);
}

static void teardown(void) {
    blo_tasks_free(&tasks);
    blo_images_destroy(images);
}

static void make(void) {
    blo_tasks_free(&tasks);
    ck_assert_msg(blo_tasks_make(images, &options, &tasks, message, sizeof message) == BLO_OK, "%s", message);
}

static void draw(uint64_t first) {
    ck_assert_msg(blo_tasks_draw(images, first, &tasks, message, sizeof message) == BLO_OK, "%s", message);
}

static void check_shape(const blo_array *array, blo_dtype dtype, int rank, const int64_t *shape) {
    ck_assert_int_eq(array->dtype, dtype);
    ck_assert_int_eq(array->rank, rank);
    ck_assert_mem_eq(array->shape, shape, (size_t)rank * sizeof *shape);
}

START_TEST(have_their_shapes) {
    options = (blo_tasks_options){.split = BLO_SPLIT_TEST, .tasks = 3, .ways = 4, .shots = 2, .query = 6};
    make();
    check_shape(&tasks.support, BLO_UINT8, 5, (const int64_t[]){3, 8, SIDE, SIDE, 1});
    check_shape(&tasks.query, BLO_UINT8, 5, (const int64_t[]){3, 24, SIDE, SIDE, 1});
    check_shape(&tasks.support_labels, BLO_INT32, 2, (const int64_t[]){3, 8});
    check_shape(&tasks.query_labels, BLO_INT32, 2, (const int64_t[]){3, 24});
    check_shape(&tasks.support_source, BLO_INT32, 3, (const int64_t[]){3, 8, 2});
    check_shape(&tasks.query_source, BLO_INT32, 3, (const int64_t[]){3, 24, 2});
}
END_TEST

/* Rows of PIXELS_OF are the images that SOURCE says; each label has PER_CLASS rows, all of one class; USED[ways][20]
 * counts images. */
static void check_rows(const uint8_t *pixels_of, const int32_t *labels, const int32_t *source, int per_class,
                       int32_t *class_of, int (*used)[DRAWINGS]) {
    int counts[64] = {0};
    for (int row = 0; row < options.ways * per_class; row++) {
        uint8_t expected[PIXELS];
        const int32_t label = labels[row], class = source[2 * row], number = source[2 * row + 1];
        ck_assert(label >= 0 && label < options.ways);
        counts[label]++;
        class_of[label] = class_of[label] < 0 ? class : class_of[label];
        ck_assert_int_eq(class_of[label], class);
        used[label][number]++;
        ck_assert_int_eq(blo_images_get(images, options.split, class, number, expected), BLO_OK);
        ck_assert_mem_eq(pixels_of + row * PIXELS, expected, PIXELS);
    }
    for (int label = 0; label < options.ways; label++) {
        ck_assert_int_eq(counts[label], per_class);
    }
}

START_TEST(hold_what_they_say_without_replacement) {
    options = (blo_tasks_options){.split = (blo_split)_i, .tasks = 5, .ways = 20, .shots = 5, .query = 15, .seed = 9};
    make();
    draw(100);
    for (int task = 0; task < options.tasks; task++) {
        int32_t class_of[20];
        int used[20][DRAWINGS] = {{0}};
        memset(class_of, 0xff, sizeof class_of);
        check_rows((uint8_t *)tasks.support.data + task * 100 * PIXELS,
                   (int32_t *)tasks.support_labels.data + task * 100, (int32_t *)tasks.support_source.data + task * 200,
                   5, class_of, used);
        check_rows((uint8_t *)tasks.query.data + task * 300 * PIXELS, (int32_t *)tasks.query_labels.data + task * 300,
                   (int32_t *)tasks.query_source.data + task * 600, 15, class_of, used);
        for (int label = 0; label < 20; label++) { /* 5 + 15 of 20: each once */
            for (int number = 0; number < DRAWINGS; number++) {
                ck_assert_int_eq(used[label][number], 1);
            }
            for (int other = 0; other < label; other++) {
                ck_assert_int_ne(class_of[label], class_of[other]);
            }
        }
    }
}
END_TEST

START_TEST(follow_from_seed_and_number) {
    int32_t first[5], second[5];
    options.tasks = 4;
    make();
    draw(10);
    uint8_t *kept = malloc(blo_array_bytes(&tasks.query));
    memcpy(kept, tasks.query.data, blo_array_bytes(&tasks.query));
    const size_t one = blo_array_bytes(&tasks.query) / 4;
    memcpy(first, tasks.support_labels.data, sizeof first);
    draw(11); /* one task further: shifted by one */
    ck_assert_mem_eq(tasks.query.data, kept + one, 3 * one);
    draw(10);
    ck_assert_mem_eq(tasks.query.data, kept, 4 * one);
    options.tasks = 1;
    make();
    draw(12);
    ck_assert_mem_eq(tasks.query.data, kept + 2 * one, one);
    draw(10);
    memcpy(second, tasks.support_labels.data, sizeof second);
    ck_assert_mem_eq(first, second, sizeof first);
    options.seed = 1;
    make();
    draw(10);
    ck_assert_mem_ne(tasks.query.data, kept, one);
    free(kept);
}
END_TEST

START_TEST(have_rows_in_order_where_wanted) {
    options = (blo_tasks_options){.tasks = 6, .ways = 7, .shots = 3, .query = 2, .shuffle = BLO_CHOICE_OFF};
    make();
    draw(0);
    const int32_t *labels = tasks.support_labels.data, *query = tasks.query_labels.data;
    for (int i = 0; i < 6 * 21; i++) {
        ck_assert_int_eq(labels[i], i % 21 / 3);
    }
    for (int i = 0; i < 6 * 14; i++) {
        ck_assert_int_eq(query[i], i % 14 / 2);
    }
    options.shuffle = BLO_CHOICE_AUTO;
    make();
    draw(0);
    int in_order = 0;
    labels = tasks.support_labels.data;
    for (int i = 0; i < 6 * 21; i++) {
        in_order += labels[i] == i % 21 / 3;
    }
    ck_assert_int_lt(in_order, 6 * 21 / 2); /* a seventh is expected */
}
END_TEST

/* Every class and every image comes as often as every other: 2000 tasks of 5 of 160 classes, 62.5 each, and of 1 of 20
 * images. Bounds are five standard deviations. */
START_TEST(are_drawn_fairly) {
    static int classes[160], numbers[DRAWINGS], first_label[160];
    options = (blo_tasks_options){.split = BLO_SPLIT_TEST, .tasks = 2000, .ways = 5, .shots = 1, .query = 0};
    make();
    draw(0);
    const int32_t *source = tasks.support_source.data, *labels = tasks.support_labels.data;
    for (int i = 0; i < 10000; i++) {
        classes[source[2 * i]]++;
        numbers[source[2 * i + 1]]++;
        first_label[source[2 * i]] += labels[i] == 0;
    }
    for (int class = 0; class < 160; class ++) {
        ck_assert_int_gt(classes[class], 62 - 5 * 8);
        ck_assert_int_lt(classes[class], 63 + 5 * 8);
        ck_assert_int_lt(first_label[class], 13 + 5 * 4);
    }
    for (int number = 0; number < DRAWINGS; number++) {
        ck_assert_int_gt(numbers[number], 500 - 5 * 22);
        ck_assert_int_lt(numbers[number], 500 + 5 * 22);
    }
}
END_TEST

static void check_refused(const char *part) {
    blo_tasks made;
    ck_assert_int_eq(blo_tasks_make(images, &options, &made, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_msg(strstr(message, part) != NULL, "'%s' lacks '%s'", message, part);
    ck_assert_ptr_null(made.support.data);
}

START_TEST(too_much_is_refused_with_numbers) {
    options.ways = 513;
    check_refused("513 ways need 513 classes; the training split has 512");
    options.ways = 5;
    options.shots = 10;
    options.query = 11;
    check_refused("10 shots and 11 query images need 21 images of each class; 'alphabet");
    check_refused("of the training split has 20");
    options.shots = 0;
    check_refused("1 tasks of 5 ways, 0 shots and 11 query images");
    options.shots = 1;
    options.tasks = 1 << 28;
    check_refused("more than 16777216 rows");
    options.split = (blo_split)3;
    check_refused("3 is no split");
}
END_TEST

START_TEST(only_the_images_they_were_made_for_fit) {
    blo_images *others = characters(7, 1, 0);
    make();
    ck_assert_int_eq(blo_tasks_draw(others, 0, &tasks, message, sizeof message), BLO_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(message, "blo_tasks_make() made"));
    blo_images_destroy(others);
    blo_tasks none;
    memset(&none, 0, sizeof none);
    ck_assert_int_eq(blo_tasks_draw(images, 0, &none, message, sizeof message), BLO_ERROR_ARGUMENT);
}
END_TEST

/* --- the built-in characters --- */

START_TEST(characters_have_their_numbers) {
    ck_assert_int_eq(blo_images_count(images), 4000);
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TRAIN), 4 * 128);
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_VALIDATION), 4 * 32);
    ck_assert_int_eq(blo_images_classes(images, BLO_SPLIT_TEST), 4 * 40);
    ck_assert_str_eq(blo_images_origin(images), "seed");
    ck_assert_int_eq(blo_images_class_count(images, BLO_SPLIT_TEST, 0), DRAWINGS);
}
END_TEST

START_TEST(characters_follow_from_the_seed) {
    blo_images *again = characters(SIDE, 1, 3), *other = characters(SIDE, 1, 4), *wide = characters(SIDE, 3, 3);
    const uint8_t *pixels = blo_images_pixels(images), *colours = blo_images_pixels(wide);
    ck_assert_mem_eq(pixels, blo_images_pixels(again), 4000 * PIXELS);
    ck_assert_mem_ne(pixels, blo_images_pixels(other), 4000 * PIXELS);
    for (int i = 0; i < 4000 * PIXELS; i++) {
        ck_assert(colours[3 * i] == pixels[i] && colours[3 * i + 1] == pixels[i] && colours[3 * i + 2] == pixels[i]);
    }
    blo_images_destroy(again);
    blo_images_destroy(other);
    blo_images_destroy(wide);
}
END_TEST

START_TEST(characters_are_ink_on_nothing_at_any_size) {
    static const int sizes[] = {14, 28, 84};
    blo_images *made = characters(sizes[_i], 1, 0);
    const int64_t pixels = (int64_t)sizes[_i] * sizes[_i];
    double ink = 0;
    for (int64_t i = 0; i < 4000; i++) {
        int64_t sum = 0;
        for (int64_t at = 0; at < pixels; at++) {
            sum += blo_images_pixels(made)[i * pixels + at];
        }
        ck_assert_int_gt(sum, pixels * 255 / 100);
        ck_assert_int_lt(sum, pixels * 255 / 2);
        ink += (double)sum / 255 / (double)pixels / 4000;
    }
    printf("%dx%d: %.3f of the paper is ink\n", sizes[_i], sizes[_i], ink);
    blo_images_destroy(made);
}
END_TEST

/* Which row of SUPPORT is nearest to IMAGE. */
static int nearest(const uint8_t *support, int rows, const uint8_t *image) {
    int best = 0;
    int64_t best_distance = INT64_MAX;
    for (int row = 0; row < rows; row++) {
        int64_t distance = 0;
        for (int i = 0; i < PIXELS; i++) {
            const int off = support[row * PIXELS + i] - image[i];
            distance += off * off;
        }
        if (distance < best_distance) {
            best_distance = distance;
            best = row;
        }
    }
    return best;
}

/* The nearest image of 5-way 1-shot tasks is well above chance (0.2), but there is much to learn. */
START_TEST(characters_can_be_told_apart_but_not_at_once) {
    int right = 0;
    options.tasks = 100;
    make();
    draw(0);
    for (int task = 0; task < 100; task++) {
        const uint8_t *support = (uint8_t *)tasks.support.data + task * 5 * PIXELS;
        for (int i = 0; i < 75; i++) {
            const int row = nearest(support, 5, (uint8_t *)tasks.query.data + (task * 75 + i) * PIXELS);
            right += ((int32_t *)tasks.support_labels.data)[task * 5 + row] ==
                     ((int32_t *)tasks.query_labels.data)[task * 75 + i];
        }
    }
    printf("nearest image: %d of 7500 right\n", right);
    ck_assert_int_gt(right, 3000);
    ck_assert_int_lt(right, 6750);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("tasks");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, have_their_shapes);
    tcase_add_loop_test(tests, hold_what_they_say_without_replacement, 0, 3);
    tcase_add_test(tests, follow_from_seed_and_number);
    tcase_add_test(tests, have_rows_in_order_where_wanted);
    tcase_add_test(tests, are_drawn_fairly);
    tcase_add_test(tests, too_much_is_refused_with_numbers);
    tcase_add_test(tests, only_the_images_they_were_made_for_fit);
    tcase_add_test(tests, characters_have_their_numbers);
    tcase_add_test(tests, characters_follow_from_the_seed);
    tcase_add_loop_test(tests, characters_are_ink_on_nothing_at_any_size, 0, 3);
    tcase_add_test(tests, characters_can_be_told_apart_but_not_at_once);
    return run_case("tasks", tests);
}
