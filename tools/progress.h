/* Progress: a bar that redraws on a terminal, plain lines elsewhere. Ctrl-C asks the run to end after its iteration. */
#ifndef CLBILEVEL_TOOLS_PROGRESS_H
#define CLBILEVEL_TOOLS_PROGRESS_H

#include <stdbool.h>

/* TEXT says what stands in the iteration that was done; DONE of TOTAL. */
void progress_show(int done, int total, const char *text);
void progress_end(void);

void interrupt_catch(void);
bool interrupt_asked(void);

#endif
