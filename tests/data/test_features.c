/* What a build without libarchive, libpng or jansson says; where it has them, that it does not say so. */
#include <clbilevel/images.h>
#include <clbilevel/safetensors.h>

#include "blo_config.h"
#include "data/archive.h"
#include "data/png.h"
#include "runner.h"

#include <string.h>

static char message[300];
static const blo_report report = {message, sizeof message};

static void check(blo_status status, bool has, const char *sentence) {
    ck_assert_int_eq(status == BLO_ERROR_UNSUPPORTED, !has);
    ck_assert_msg((strstr(message, sentence) != NULL) == !has, "%s", message);
}

START_TEST(archives_need_libarchive) {
    bool has = false;
#ifdef BLO_HAVE_LIBARCHIVE
    has = true;
#endif
    blo_image_list list = {.source = "input"};
    check(blo_archive_read((const uint8_t *)"no archive", 10, &list, &report), has, "built without libarchive");
}
END_TEST

START_TEST(images_need_libpng) {
    bool has = false;
#ifdef BLO_HAVE_LIBPNG
    has = true;
#endif
    uint64_t budget = 1000;
    uint8_t pixel = 0;
    check(blo_png_decode("input", (const uint8_t *)"no image", 8, 1, 1, &budget, &pixel, &report), has,
          "built without libpng");
}
END_TEST

START_TEST(safetensors_need_jansson) {
    bool has = false;
#ifdef BLO_HAVE_JANSSON
    has = true;
#endif
    blo_safetensors *file = NULL;
    check(blo_safetensors_create(&file, message, sizeof message), has, "built without jansson");
    ck_assert_int_eq(file != NULL, has);
    blo_safetensors_destroy(file);
    check(blo_safetensors_read("/nowhere/model.safetensors", &file, message, sizeof message), has,
          "built without jansson");
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("features");
    tcase_add_test(tests, archives_need_libarchive);
    tcase_add_test(tests, images_need_libpng);
    tcase_add_test(tests, safetensors_need_jansson);
    return run_case("features", tests);
}
