/* What the commands that use a device share: opening it from the options, and the clock. */
#ifndef CLBILEVEL_TOOLS_SESSION_H
#define CLBILEVEL_TOOLS_SESSION_H

#include <clbilevel/clbilevel.h>
#include <jansson.h>

/* Opens the device; complaints are printed. GEMM: "auto", "clblast" or "own"; DTYPE is checked against the device. */
int session_open(blo_context **context, const char *device, const char *gemm, const char *dtype, int64_t memory,
                 int64_t seed, bool profile);
double session_seconds(void);
/* The statistics that every result.json holds. */
void session_report(json_t *result, const blo_context *context);

/* The commands: each takes its own arguments, argv[0] being its name, and returns an exit status. */
int command_devices(int argc, char **argv);
int command_numerical(int argc, char **argv);
int command_hyper_cleaning(int argc, char **argv);
int command_few_shot(int argc, char **argv);
int command_tune(int argc, char **argv);

#endif
