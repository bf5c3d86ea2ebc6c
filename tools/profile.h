/* The profile of a run: a table on the terminal, and the same in result.json. */
#ifndef CLBILEVEL_TOOLS_PROFILE_H
#define CLBILEVEL_TOOLS_PROFILE_H

#include <clbilevel/clbilevel.h>
#include <jansson.h>

/* Does nothing, and returns EXIT_DONE, where the context was opened without a profile. Prints the table, and adds it to
 * RESULT if that is not NULL. Measures the device's peak; complaints are printed. */
int profile_report(blo_context *context, json_t *result);

#endif
