/* Opening a device from the options; see session.h. */
#include "session.h"

#include <string.h>
#include <time.h>

#include "options.h"

int session_open(blo_context **context, const char *device, const char *gemm, const char *dtype, int64_t memory,
                 int64_t seed, bool profile) {
    char message[1024];
    blo_context_options options;
    blo_context_options_default(&options);
    options.device = device;
    options.gemm = !strcmp(gemm, "own") ? BLO_GEMM_OWN : !strcmp(gemm, "clblast") ? BLO_GEMM_CLBLAST : BLO_GEMM_AUTO;
    options.memory_budget = (uint64_t)memory;
    options.seed = (uint64_t)seed;
    options.profile = profile;
    if (blo_context_create(&options, context, message, sizeof message) != BLO_OK)
        return complain(EXIT_FAILED, "%s%s%s%s", device ? "--device " : "", device ? device : "", device ? ": " : "",
                        message);
    if (!strcmp(dtype, "double") && !blo_context_has_double(*context))
        return complain(EXIT_FAILED, "--dtype double: device \"%s\" has no double; want float",
                        blo_context_device_name(*context));
    return EXIT_DONE;
}

double session_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void session_report(json_t *result, const blo_context *context) {
    blo_statistics statistics;
    blo_context_statistics(context, &statistics);
    json_object_set_new(result, "device", json_string(blo_context_device_name(context)));
    json_object_set_new(result, "version", json_string(blo_version()));
    json_object_set_new(result, "peak_device_bytes", json_integer((json_int_t)statistics.peak_device_bytes));
    json_object_set_new(result, "launches", json_integer((json_int_t)statistics.launches));
    json_object_set_new(result, "kernels_built", json_integer((json_int_t)statistics.kernels_built));
    json_object_set_new(result, "seconds_build", json_real(statistics.seconds_build));
}
