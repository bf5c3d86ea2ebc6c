/* What the benchmark programs share; see bench.h. */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void bench_require(const blo_context *context, bool done, const char *sentence) {
    if (done)
        return;
    fprintf(stderr, "benchmark: %s\n", context ? blo_context_error(context) : sentence);
    exit(1);
}

void *bench_room(int64_t count, size_t size) {
    void *room = calloc((size_t)count, size);
    bench_require(NULL, room, "no memory");
    return room;
}

void bench_save(const bench_output *output, const char *name, blo_dtype dtype, int rank, const int64_t *shape,
                const void *data) {
    char path[1024], message[512] = "";
    bool fits = snprintf(path, sizeof path, "%s/%s.npy", output->folder, name) < (int)sizeof path;
    bench_require(NULL, fits, "the folder's path is too long");
    bench_require(NULL, blo_npy_write(path, dtype, rank, shape, data, message, sizeof message) == BLO_OK, message);
}

void bench_save_values(const bench_output *output, const blo_context *context, blo_model *model) {
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i);
        blo_tensor *value = blo_model_value(model, name);
        void *host = bench_room((int64_t)blo_tensor_bytes(value), 1);
        bench_require(context, !blo_tensor_download(value, host, blo_tensor_bytes(value)), "");
        bench_save(output, name, blo_tensor_dtype(value), blo_tensor_rank(value), blo_tensor_shape(value), host);
        free(host);
    }
}

void bench_save_results(const bench_output *output, const blo_context *context, blo_model *model, const char *prefix,
                        bool values, const char *but) {
    for (int i = 0; i < blo_model_count(model); i++) {
        const char *name = blo_model_name(model, i);
        const blo_tensor *value = blo_model_value(model, name);
        int64_t count = blo_tensor_count(value);
        char file[128];
        if (but && strlen(name) >= strlen(but) && !strcmp(name + strlen(name) - strlen(but), but))
            continue;
        double *host = bench_room(count, sizeof *host);
        blo_status status =
            values ? blo_model_get(model, name, host, count) : blo_model_get_gradient(model, name, host, count);
        bench_require(context, status == BLO_OK, "");
        snprintf(file, sizeof file, "%s_%s_%s", output->who, prefix, name);
        bench_save(output, file, BLO_DOUBLE, blo_tensor_rank(value), blo_tensor_shape(value), host);
        free(host);
    }
}

void bench_print_doubles(const char *key, const double *values, int count) {
    printf("\"%s\": [", key);
    for (int i = 0; i < count; i++)
        printf("%s%.17g", i ? ", " : "", values[i]);
    printf("]");
}

void bench_print_counters(const blo_context *context, blo_statistics *last) {
    blo_statistics now;
    blo_context_statistics(context, &now);
    printf("\"counters\": {\"pool_bytes\": %" PRIu64 ", \"waits\": %" PRIu64 ", \"launches\": %" PRIu64
           ", \"allocations\": %" PRIu64 ", \"traces\": %" PRIu64 ", \"kernels_built\": %" PRIu64 "}",
           now.peak_device_bytes, now.waits - last->waits, now.launches - last->launches,
           now.allocations - last->allocations, now.traces - last->traces, now.kernels_built - last->kernels_built);
    *last = now;
}
