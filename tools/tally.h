/* What every command reports of its loops: where they were cut off, what they took, what they cost. */
#ifndef CLBILEVEL_TOOLS_TALLY_H
#define CLBILEVEL_TOOLS_TALLY_H

#include <clbilevel/clbilevel.h>
#include <jansson.h>

typedef struct tally {
    int64_t steps, done;       /* T; iterations that are counted */
    int64_t *histogram;        /* [T + 1] of max_loss_iter */
    double *loops, *backwards; /* [iterations] seconds */
    uint64_t waits, recomputed;
    int launches_per_step;
} tally;

/* Room for ITERATIONS of loops of STEPS. Returns an exit status; complaints are printed. */
int tally_open(tally *tally, int64_t steps, int64_t iterations);
void tally_close(tally *tally);

/* What TRAJECTORY's last sweep took. */
void tally_add_sweep(tally *tally, const blo_trajectory *trajectory);
/* One iteration more. */
void tally_add_seconds(tally *tally, double loop, double backward);
/* Waits between two moments. */
void tally_add_waits(tally *tally, const blo_statistics *before, const blo_statistics *after);

/* The counts COUNTS[steps + 1] that are not 0, by their number: {"3": 17}. */
json_t *tally_histogram(const int64_t *counts, int64_t steps);
/* Into result.json: max_loss_iter_histogram, recomputed_steps, waits, launches_per_step, and the medians seconds_loop
 * and seconds_backward. */
void tally_report(const tally *tally, json_t *result);
/* The last lines of the table at the end. */
void tally_print(const tally *tally, const blo_context *context);

#endif
