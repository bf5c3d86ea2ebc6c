/* Opening a device from the options, and the end of a run; see session.h. */
#include "session.h"

#include <string.h>
#include <time.h>

#include "profile.h"

#define AT(field) offsetof(session_settings, field)
const option_spec session_options[] = {
    {"truncation", OPTION_OFF, AT(truncation), 0, 0, NULL, "differentiate the whole loop, not up to max_loss_iter"},
    {"initialization-auxiliary", OPTION_OFF, AT(initialization_auxiliary), 0, 0, NULL,
     "do not learn the initialization: every loop starts from the same"},
    {"memory", OPTION_BYTES, AT(memory), 0, 1e18, NULL,
     "device memory to use, in bytes, K, M or G; 0: four fifths of the device's"},
    {"device", OPTION_TEXT, AT(device), 0, 0, NULL,
     "index, part of a name, cpu or gpu; default: the first GPU, else the CPU of most cores"},
    {"dtype", OPTION_CHOICE, AT(dtype), 0, 0, "float|double", "element type of the parameters"},
    {"gemm", OPTION_CHOICE, AT(gemm), 0, 0, "auto|clblast|own", "matrix products"},
    {"replay", OPTION_CHOICE, AT(replay), 0, 0, "auto|on|off", "record the lower loop's launches once and replay them"},
    {"profile", OPTION_ON, AT(profile), 0, 0, NULL,
     "time every kernel on the device: a table at the end, and in result.json"},
    {"output", OPTION_TEXT, AT(output), 0, 0, NULL, "folder for the run's files; default: none are written"},
    {0}};
#undef AT

int session_open(blo_context **context, const session_settings *settings, int64_t seed) {
    const char *device = settings->device, *gemm = settings->gemm, *replay = settings->replay;
    char message[1024];
    blo_context_options options;
    blo_context_options_default(&options);
    options.device = device;
    options.gemm = !strcmp(gemm, "own") ? BLO_GEMM_OWN : !strcmp(gemm, "clblast") ? BLO_GEMM_CLBLAST : BLO_GEMM_AUTO;
    options.replay = !strcmp(replay, "on") ? BLO_REPLAY_ON : !strcmp(replay, "off") ? BLO_REPLAY_OFF : BLO_REPLAY_AUTO;
    options.memory_budget = (uint64_t)settings->memory;
    options.seed = (uint64_t)seed;
    options.profile = settings->profile;
    if (blo_context_create(&options, context, message, sizeof message) != BLO_OK)
        return complain(EXIT_FAILED, "%s%s%s%s", device ? "--device " : "", device ? device : "", device ? ": " : "",
                        message);
    if (!strcmp(settings->dtype, "double") && !blo_context_has_double(*context))
        return complain(EXIT_FAILED, "--dtype double: device \"%s\" has no double; want float",
                        blo_context_device_name(*context));
    return EXIT_DONE;
}

double session_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void add_statistics(json_t *result, const blo_context *context) {
    blo_statistics statistics;
    blo_context_statistics(context, &statistics);
    json_object_set_new(result, "device", json_string(blo_context_device_name(context)));
    json_object_set_new(result, "version", json_string(blo_version()));
    json_object_set_new(result, "peak_device_bytes", json_integer((json_int_t)statistics.peak_device_bytes));
    json_object_set_new(result, "launches", json_integer((json_int_t)statistics.launches));
    json_object_set_new(result, "kernels_built", json_integer((json_int_t)statistics.kernels_built));
    json_object_set_new(result, "seconds_build", json_real(statistics.seconds_build));
}

int session_result(blo_context *context, const run_folder *folder, json_t *result) {
    add_statistics(result, context);
    int status = profile_report(context, result);
    if (status == EXIT_DONE)
        status = run_folder_json(folder, "result.json", result);
    json_decref(result);
    return status;
}
