/* The upper iterations of hyper-cleaning: metrics, progress, files, and the table at the end. */
#ifndef CLBILEVEL_TOOLS_CLEANING_RUN_H
#define CLBILEVEL_TOOLS_CLEANING_RUN_H

#include <jansson.h>

#include "cleaning_problem.h"

/* CONFIG is what config.json will hold. Returns an exit status; complaints are printed. */
int cleaning_run(cleaning_problem *problem, const json_t *config);

#endif
