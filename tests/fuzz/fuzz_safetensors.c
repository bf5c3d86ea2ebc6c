/* libFuzzer on the safetensors reader; what it reads is added to another and must be as large as it says. */
#include "data/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
    char message[200];
    const blo_report report = {message, sizeof message};
    blo_safetensors *file = NULL, *copy = NULL;
    const blo_status status = blo_safetensors_parse("input", bytes, count, &file, &report);
    if ((status == BLO_OK) != (file != NULL) || blo_safetensors_create(&copy, NULL, 0) != BLO_OK) {
        abort();
    }
    size_t held = 0;
    for (int i = 0; i < blo_safetensors_count(file); i++) {
        const char *name = blo_safetensors_name(file, i);
        const blo_array *array = blo_safetensors_find(file, name);
        held += blo_array_bytes(array);
        if (blo_safetensors_add(copy, name, array->dtype, array->rank, array->shape, array->data, NULL, 0) != BLO_OK) {
            abort();
        }
    }
    if (held > count) {
        abort();
    }
    blo_safetensors_destroy(copy);
    blo_safetensors_destroy(file);
    return 0;
}
