/* The reader of golden values; see golden_file.h. */
#include "golden_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_array(FILE *file, golden_array *array) {
    array->count = 1;
    if (fscanf(file, "%d", &array->rank) != 1 || array->rank < 0 || array->rank > GOLDEN_RANK)
        return false;
    for (int i = 0; i < array->rank; i++) {
        if (fscanf(file, "%" SCNd64, &array->shape[i]) != 1)
            return false;
        array->count *= array->shape[i];
    }
    array->values = calloc((size_t)array->count + 1, sizeof *array->values);
    for (int64_t i = 0; array->values && i < array->count; i++)
        if (fscanf(file, "%lf", &array->values[i]) != 1)
            return false;
    return array->values != NULL;
}

bool golden_read(const char *path, golden_file *golden) {
    FILE *file = fopen(path, "r");
    golden->n = 0;
    if (!file)
        return false;
    bool good = true;
    while (good && golden->n < GOLDEN_ARRAYS) {
        golden_array *array = &golden->arrays[golden->n];
        memset(array, 0, sizeof *array);
        if (fscanf(file, "%23s", array->name) != 1)
            break;
        golden->n++;
        good = read_array(file, array);
    }
    good = good && feof(file);
    fclose(file);
    return good && golden->n > 0;
}

void golden_free(golden_file *golden) {
    for (int i = 0; i < golden->n; i++)
        free(golden->arrays[i].values);
    golden->n = 0;
}

const golden_array *golden_find(const golden_file *golden, const char *format, ...) {
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    for (int i = 0; i < golden->n; i++)
        if (!strcmp(golden->arrays[i].name, name))
            return &golden->arrays[i];
    return NULL;
}

double golden_scalar(const golden_file *golden, const char *name) {
    const golden_array *array = golden_find(golden, "%s", name);
    if (!array) {
        fprintf(stderr, "the golden file has no \"%s\"\n", name);
        abort();
    }
    return array->values[0];
}
