/* Models to files and back: bits, other precision, both models in one file, and what does not fit. */
#include <unistd.h>

#include "../support.h"

static blo_context *context;
static blo_model *model;
static char folder[40], path[80];

static void setup(void) {
    context = open_context(7);
    MUST(context, blo_model_create(context, BLO_FLOAT, &model));
    MUST(context, blo_model_add_linear(model, "layer", 3, 4));
    MUST(context, blo_model_add(model, "scale", 0, NULL));
    MUST(context, blo_init_uniform(model, "layer.bias", -1.0, 1.0));
    strcpy(folder, "/tmp/clbilevel-save-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
}

static void teardown(void) {
    remove(path);
    rmdir(folder);
    blo_model_destroy(model);
    blo_context_destroy(context);
}

static blo_model *other_model(blo_dtype dtype, int64_t in) {
    blo_model *made = NULL;
    MUST(context, blo_model_create(context, dtype, &made));
    MUST(context, blo_model_add(made, "scale", 0, NULL));
    MUST(context, blo_model_add_linear(made, "layer", in, 4));
    return made;
}

static void check_same(blo_model *left, blo_model *right) {
    for (int i = 0; i < blo_model_count(left); i++) {
        double a[32], b[32];
        const char *name = blo_model_name(left, i);
        int64_t count = blo_tensor_count(blo_model_value(left, name));
        MUST(context, blo_model_get(left, name, a, count));
        MUST(context, blo_model_get(right, name, b, count));
        ck_assert_mem_eq(a, b, (size_t)count * sizeof *a);
    }
}

START_TEST(both_models_come_back) {
    blo_model *lower = other_model(BLO_DOUBLE, 2), *upper_back = other_model(BLO_FLOAT, 3),
              *lower_back = other_model(BLO_DOUBLE, 2);
    MUST(context, blo_models_save(path, model, lower));
    MUST(context, blo_models_load(path, upper_back, lower_back));
    check_same(model, upper_back);
    check_same(lower, lower_back);
    MUST(context, blo_model_zero_gradients(model)); /* still usable */
    MUST(context, blo_models_load(path, NULL, lower_back));
    blo_model_destroy(lower);
    blo_model_destroy(upper_back);
    blo_model_destroy(lower_back);
}
END_TEST

START_TEST(names_are_those_of_the_models) {
    char message[200];
    blo_safetensors *file = NULL;
    MUST(context, blo_models_save(path, model, NULL));
    ck_assert_int_eq(blo_safetensors_read(path, &file, message, sizeof message), BLO_OK);
    ck_assert_int_eq(blo_safetensors_count(file), 3);
    const blo_array *weight = blo_safetensors_find(file, "upper.layer.weight");
    ck_assert_ptr_nonnull(weight);
    ck_assert_int_eq(weight->dtype, BLO_FLOAT);
    ck_assert_int_eq(weight->shape[0], 4);
    ck_assert_int_eq(weight->shape[1], 3);
    ck_assert_ptr_nonnull(blo_safetensors_find(file, "upper.layer.bias"));
    ck_assert_ptr_nonnull(blo_safetensors_find(file, "upper.scale"));
    blo_safetensors_destroy(file);
}
END_TEST

START_TEST(precision_is_converted) {
    blo_model *twice = other_model(BLO_DOUBLE, 3);
    const double third = 1.0 / 3.0;
    double got = 0;
    MUST(context, blo_models_save(path, NULL, model));
    MUST(context, blo_models_load(path, NULL, twice));
    check_same(model, twice);
    MUST(context, blo_model_set(twice, "scale", &third, 1));
    MUST(context, blo_models_save(path, NULL, twice));
    MUST(context, blo_models_load(path, NULL, model));
    MUST(context, blo_model_get(model, "scale", &got, 1));
    ck_assert_double_eq(got, (double)(float)third);
    blo_model_destroy(twice);
}
END_TEST

START_TEST(a_prefix_is_the_callers) {
    char message[200];
    blo_safetensors *file = NULL;
    blo_model *back = other_model(BLO_FLOAT, 3);
    ck_assert_int_eq(blo_safetensors_create(&file, message, sizeof message), BLO_OK);
    MUST(context, blo_model_store(model, NULL, file));
    ck_assert_ptr_nonnull(blo_safetensors_find(file, "layer.bias"));
    MUST(context, blo_model_restore(back, "", file));
    check_same(model, back);
    MUST_FAIL(context, BLO_ERROR_ARGUMENT, "'layer.weight' already", blo_model_store(model, NULL, file));
    MUST(context, blo_model_store(model, "a.b", file));
    MUST(context, blo_model_restore(back, "a.b", file));
    MUST_FAIL(context, BLO_ERROR_FILE, "holds 'a.b.layer.weight', which the model lacks",
              blo_model_restore(back, NULL, file));
    blo_safetensors_destroy(file);
    blo_model_destroy(back);
}
END_TEST

START_TEST(another_model_is_refused_and_nothing_is_set) {
    blo_model *wide = other_model(BLO_FLOAT, 5), *before = other_model(BLO_FLOAT, 5), *more = other_model(BLO_FLOAT, 3),
              *less = NULL;
    MUST(context, blo_model_add(more, "extra", 1, (const int64_t[]){2}));
    MUST(context, blo_model_create(context, BLO_FLOAT, &less));
    MUST(context, blo_models_save(path, wide, NULL));
    MUST(context, blo_models_load(path, before, NULL)); /* what WIDE has */
    MUST(context, blo_models_save(path, model, NULL));
    MUST_FAIL(context, BLO_ERROR_SHAPE, "'upper.layer.weight' is [4,3] in the file and [4,5] in the model",
              blo_models_load(path, wide, NULL));
    check_same(wide, before);
    MUST_FAIL(context, BLO_ERROR_FILE, "lacks the model's parameter 'upper.extra'", blo_models_load(path, more, NULL));
    MUST_FAIL(context, BLO_ERROR_FILE, "which the model lacks", blo_models_load(path, less, NULL));
    MUST_FAIL(context, BLO_ERROR_FILE, "lacks the model's parameter 'lower.", blo_models_load(path, model, wide));
    MUST_FAIL(context, BLO_ERROR_FILE, "cannot be opened", blo_models_load(folder + 1, wide, NULL));
    MUST_FAIL(context, BLO_ERROR_FILE, "cannot be written", blo_models_save(folder, wide, NULL));
    blo_model_destroy(wide);
    blo_model_destroy(before);
    blo_model_destroy(more);
    blo_model_destroy(less);
}
END_TEST

START_TEST(integers_are_no_parameters) {
    char message[200];
    const int32_t one = 1;
    blo_safetensors *file = NULL;
    blo_model *scalar = NULL;
    MUST(context, blo_model_create(context, BLO_FLOAT, &scalar));
    MUST(context, blo_model_add(scalar, "scale", 0, NULL));
    ck_assert_int_eq(blo_safetensors_create(&file, message, sizeof message), BLO_OK);
    ck_assert_int_eq(blo_safetensors_add(file, "scale", BLO_INT32, 0, NULL, &one, message, sizeof message), BLO_OK);
    MUST_FAIL(context, BLO_ERROR_DTYPE, "'scale' is int32 in the file", blo_model_restore(scalar, NULL, file));
    blo_safetensors_destroy(file);
    blo_model_destroy(scalar);
}
END_TEST

START_TEST(buffers_are_in_the_file) {
    blo_model *resnet = NULL, *back = NULL;
    double values[5] = {1.5, -2.0, 0.25, 3.0, 4.0}, read[5];
    MUST(context, blo_model_create(context, BLO_FLOAT, &resnet));
    MUST(context, blo_model_create(context, BLO_DOUBLE, &back));
    MUST(context, blo_model_add_resnet12(resnet, "b", 1, 2));
    MUST(context, blo_model_add_running_statistics(resnet, "b", 0.1));
    ck_assert_int_eq(blo_model_buffer_count(resnet), 32);
    ck_assert_str_eq(blo_model_buffer_name(resnet, 1), "b.layer1.0.bn1.running_var");
    ck_assert_ptr_null(blo_model_buffer_name(resnet, 32));
    MUST(context, blo_model_get(resnet, "b.layer2.0.bn3.running_var", read, 5));
    ck_assert_double_eq(read[4], 1.0);
    MUST(context, blo_model_set(resnet, "b.layer2.0.bn3.running_mean", values, 5));
    MUST(context, blo_models_save(path, resnet, NULL));
    MUST(context, blo_model_add_resnet12(back, "b", 1, 2));
    MUST_FAIL(context, BLO_ERROR_FILE, "running_mean', which the model lacks", blo_models_load(path, back, NULL));
    MUST(context, blo_model_add_running_statistics(back, NULL, 0.1));
    MUST(context, blo_models_load(path, back, NULL));
    MUST(context, blo_model_get(back, "b.layer2.0.bn3.running_mean", read, 5));
    ck_assert_mem_eq(read, values, sizeof values);
    blo_model_destroy(back);
    blo_model_destroy(resnet);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("save");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, both_models_come_back);
    tcase_add_test(all, buffers_are_in_the_file);
    tcase_add_test(all, names_are_those_of_the_models);
    tcase_add_test(all, precision_is_converted);
    tcase_add_test(all, a_prefix_is_the_callers);
    tcase_add_test(all, another_model_is_refused_and_nothing_is_set);
    tcase_add_test(all, integers_are_no_parameters);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
