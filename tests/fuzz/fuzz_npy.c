/* libFuzzer on the NPY reader. */
#include "data/npy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[200];
    const blo_report report = {message, sizeof message};
    blo_array array;
    if (blo_npy_parse("input", bytes, count, &array, &report) != BLO_OK && array.data != NULL) {
        abort(); /* a failed call leaves nothing */
    }
    blo_array_free(&array);
    return 0;
}
