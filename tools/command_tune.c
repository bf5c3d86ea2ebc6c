/* clbilevel tune: measures the tiles of matrix products on a device, and what launches cost that are replayed, and
 * keeps it for later runs. */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "session.h"

typedef struct settings {
    const char *device, *dtype;
} settings;

static const settings defaults = {.dtype = "float"};

#define AT(field) offsetof(settings, field)
static const option_spec options[] = {
    {"device", OPTION_TEXT, AT(device), 0, 0, NULL,
     "index, part of a name, cpu or gpu; default: the first GPU, else the CPU of most cores"},
    {"dtype", OPTION_CHOICE, AT(dtype), 0, 0, "float|double|both", "element type of the products"},
    {0}};
#undef AT

static const command_spec command = {
    .name = "tune",
    .summary =
        "Measures which tile the library's own matrix products run fastest with on a device, and whether replaying a\n"
        "lower loop's launches is faster than queueing them, and keeps it in the user's cache folder (tuning.json) "
        "for\n"
        "later runs. No result depends on it.",
    .options = options,
    .settings_size = sizeof(settings),
    .defaults = &defaults};

static void print_tile(const blo_tile *tile, void *user) {
    (void)user;
    printf("  %2d rows x %d vectors of %2d   %7.1f GFLOP/s\n", tile->rows, tile->vectors, tile->vector,
           1e-9 * tile->flops_per_second);
    fflush(stdout);
}

static int tune(blo_context *context, blo_dtype dtype) {
    blo_tile best;
    printf("%s, %s\n", blo_context_device_name(context), blo_dtype_name(dtype));
    fflush(stdout);
    if (blo_context_tune(context, dtype, print_tile, NULL, &best) != BLO_OK)
        return complain(EXIT_FAILED, "%s", blo_context_error(context));
    printf("kept: %d rows x %d vectors of %d\n", best.rows, best.vectors, best.vector);
    return EXIT_DONE;
}

/* Where the device cannot replay there is nothing to say. */
static int tune_replay(blo_context *context) {
    double queued, replayed;
    blo_status status = blo_context_tune_replay(context, &queued, &replayed);
    if (status == BLO_ERROR_UNSUPPORTED)
        return EXIT_DONE;
    if (status != BLO_OK)
        return complain(EXIT_FAILED, "%s", blo_context_error(context));
    printf("%s: a launch takes %.2f us queued, %.2f us replayed\n", blo_context_device_name(context), 1e6 * queued,
           1e6 * replayed);
    return EXIT_DONE;
}

int command_tune(int argc, char **argv) {
    settings s;
    json_t *config;
    blo_context *context = NULL;
    bool help;
    int status = options_parse(&command, argc, argv, &s, &config, &help);
    if (status != EXIT_DONE || help)
        goto done;
    const session_settings session = {
        .device = s.device, .gemm = "auto", .replay = "auto", .dtype = strcmp(s.dtype, "float") ? "double" : "float"};
    status = session_open(&context, &session, 0);
    if (status == EXIT_DONE)
        status = tune_replay(context);
    if (status == EXIT_DONE && strcmp(s.dtype, "double"))
        status = tune(context, BLO_FLOAT);
    if (status == EXIT_DONE && strcmp(s.dtype, "float"))
        status = tune(context, BLO_DOUBLE);
done:
    blo_context_destroy(context);
    json_decref(config);
    return status;
}
