/* What the commands that use a device share: opening it from the options, the clock, and the end of a run. */
#ifndef CLBILEVEL_TOOLS_SESSION_H
#define CLBILEVEL_TOOLS_SESSION_H

#include <clbilevel/clbilevel.h>
#include <jansson.h>

#include "options.h"
#include "run_folder.h"

/* What every run is told alike; part of a command's settings. */
typedef struct session_settings {
    const char *device, *dtype, *gemm, *replay, *output;
    int64_t memory;
    bool truncation, initialization_auxiliary, profile;
} session_settings;

/* The options that set them, and their defaults. */
extern const option_spec session_options[];
#define SESSION_DEFAULTS(element)                                                                                      \
    { .dtype = element, .gemm = "auto", .replay = "auto", .truncation = true, .initialization_auxiliary = true }

/* Opens the device; complaints are printed. The dtype is checked against the device. */
int session_open(blo_context **context, const session_settings *settings, int64_t seed);
double session_seconds(void);
/* The end of a run: writes RESULT, which it takes over, as result.json into FOLDER, with the statistics that every such
 * file holds; prints the profile, and writes that too. Returns an exit status; complaints are printed. */
int session_result(blo_context *context, const run_folder *folder, json_t *result);

/* The commands: each takes its own arguments, argv[0] being its name, and returns an exit status. */
int command_devices(int argc, char **argv);
int command_numerical(int argc, char **argv);
int command_hyper_cleaning(int argc, char **argv);
int command_few_shot(int argc, char **argv);
int command_tune(int argc, char **argv);

#endif
