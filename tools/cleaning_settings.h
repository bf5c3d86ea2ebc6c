/* The settings of hyper-cleaning; the table of its options is in command_hyper_cleaning.c. */
#ifndef CLBILEVEL_TOOLS_CLEANING_SETTINGS_H
#define CLBILEVEL_TOOLS_CLEANING_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

typedef struct cleaning_settings {
    const char *data, *corruption_mode, *model, *activation;
    int64_t train, validation, test, batch, hidden, steps, iterations, seed;
    double corruption, lower_rate, upper_rate, init_rate;
    bool warm_start;
    session_settings session;
} cleaning_settings;

#endif
