/* The settings of hyper-cleaning; the table of its options is in command_hyper_cleaning.c. */
#ifndef CLBILEVEL_TOOLS_CLEANING_SETTINGS_H
#define CLBILEVEL_TOOLS_CLEANING_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cleaning_settings {
    const char *data, *corruption_mode, *model, *activation, *device, *dtype, *gemm, *output;
    int64_t train, validation, test, batch, hidden, steps, iterations, memory, seed;
    double corruption, lower_rate, upper_rate, init_rate;
    bool truncation, initialization_auxiliary, warm_start, profile;
} cleaning_settings;

#endif
