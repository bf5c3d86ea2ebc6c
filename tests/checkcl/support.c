/* Arrays, kernels and arguments of the kernel checks; see support.h. */
#include "support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

blo_context *context;
bool timing;
uint64_t random_state = 20260202;

static double guard_value(blo_dtype dtype) {
    return dtype == BLO_UINT8 ? 77 : -77.25;
}

void must(bool done) {
    if (timing && !done) {
        fprintf(stderr, "%s\n", blo_context_error(context));
        exit(1);
    }
    if (!timing)
        ck_assert_msg(done, "%s", blo_context_error(context));
}

uint32_t draw(uint32_t bound) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static uint64_t total_of(const array *a) {
    return a->offset + a->count + GUARD;
}

void upload(array *a) {
    uint64_t total = total_of(a), size = blo_dtype_size(a->dtype);
    unsigned char *data = malloc(total * size);
    for (uint64_t i = 0; i < total; i++)
        switch (a->dtype) {
        case BLO_DOUBLE: ((double *)(void *)data)[i] = a->host[i]; break;
        case BLO_UINT8: data[i] = (unsigned char)a->host[i]; break;
        default: ((float *)(void *)data)[i] = (float)a->host[i]; break;
        }
    MUST(blo_buffer_write(context, a->buffer, 0, total * size, data));
    free(data);
}

array make(blo_dtype dtype, uint64_t count, bool random) {
    array a = {.dtype = dtype, .count = count, .offset = GUARD + (timing ? 0 : draw(40))};
    uint64_t total = total_of(&a);
    a.host = malloc(total * sizeof *a.host);
    for (uint64_t i = 0; i < total; i++)
        a.host[i] = guard_value(dtype);
    for (uint64_t i = 0; i < count && random; i++)
        a.host[a.offset + i] = dtype == BLO_UINT8 ? (double)draw(256) : (double)(float)((double)draw(2001) / 1000 - 1);
    MUST(blo_buffer_create(context, total * blo_dtype_size(dtype), &a.buffer));
    upload(&a);
    return a;
}

void download(array *a, const char *kernel) {
    uint64_t total = total_of(a), size = blo_dtype_size(a->dtype);
    unsigned char *data = malloc(total * size);
    MUST(blo_buffer_read(context, a->buffer, 0, total * size, data));
    for (uint64_t i = 0; i < total; i++) {
        switch (a->dtype) {
        case BLO_DOUBLE: a->host[i] = ((double *)(void *)data)[i]; break;
        case BLO_UINT8: a->host[i] = data[i]; break;
        default: a->host[i] = (double)((float *)(void *)data)[i]; break;
        }
        bool guard = i < a->offset || i >= a->offset + a->count;
        ck_assert_msg(!guard || a->host[i] == guard_value(a->dtype),
                      "%s wrote beyond its array at %" PRId64 " of %" PRIu64, kernel, (int64_t)(i - a->offset),
                      a->count);
    }
    free(data);
}

void drop(array *a) {
    blo_buffer_release(a->buffer);
    free(a->host);
}

blo_kernel *build(const char *name, char *text) {
    blo_kernel *kernel = NULL;
    const blo_kernel_source source = {name, text};
    must(text != NULL);
    MUST(blo_kernels_get(context, 1, &source, &kernel));
    free(text);
    return kernel;
}

int bind_array(blo_kernel *kernel, int position, const array *a) {
    MUST(blo_kernel_set_buffer(kernel, position, a->buffer));
    MUST(blo_kernel_set_ulong(kernel, position + 1, a->offset));
    return position + 2;
}

int bind_values(blo_kernel *kernel, int position, int n, const uint64_t *values) {
    for (int i = 0; i < n; i++)
        MUST(blo_kernel_set_ulong(kernel, position++, values[i]));
    return position;
}
