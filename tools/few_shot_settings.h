/* The settings of few-shot learning; the table of its options is in command_few_shot.c. */
#ifndef CLBILEVEL_TOOLS_FEW_SHOT_SETTINGS_H
#define CLBILEVEL_TOOLS_FEW_SHOT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

typedef struct few_shot_settings {
    const char *data, *backbone, *block, *lower, *init_optimizer, *load;
    int64_t image_size, channels, ways, shots, query, tasks, batch, filters, steps, iterations;
    int64_t validate_every, validate_tasks, evaluate_tasks, evaluate_steps, seed;
    double lower_rate, upper_rate, init_rate, evaluate_rate, clamp, clamp_per_task;
    bool rotations, cosine, keep_tasks;
    session_settings session;
} few_shot_settings;

#endif
