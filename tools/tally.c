/* What every command reports of its loops; see tally.h. */
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

int tally_open(tally *t, int64_t steps, int64_t iterations) {
    const size_t n = (size_t)iterations + 1;
    *t = (tally){.steps = steps};
    t->histogram = calloc((size_t)steps + 1, sizeof *t->histogram);
    t->loops = calloc(n, sizeof *t->loops);
    t->backwards = calloc(n, sizeof *t->backwards);
    return t->histogram && t->loops && t->backwards
               ? EXIT_DONE
               : complain(EXIT_FAILED, "no memory for the metrics of %lld iterations", (long long)iterations);
}

void tally_close(tally *t) {
    free(t->histogram);
    free(t->loops);
    free(t->backwards);
    *t = (tally){0};
}

void tally_add_sweep(tally *t, const blo_trajectory *trajectory) {
    blo_trajectory_report report;
    blo_trajectory_describe(trajectory, &report);
    t->recomputed += report.recomputed_steps;
    t->launches_per_step = report.launches_per_step;
}

void tally_add_seconds(tally *t, double loop, double backward) {
    t->loops[t->done] = loop;
    t->backwards[t->done++] = backward;
}

void tally_add_waits(tally *t, const blo_statistics *before, const blo_statistics *after) {
    t->waits += after->waits - before->waits;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of VALUES[n]; without memory for a copy, the last. */
static double median(const double *values, int64_t n) {
    if (n == 0)
        return 0;
    double *sorted = malloc((size_t)n * sizeof *sorted), result = values[n - 1];
    if (sorted) {
        memcpy(sorted, values, (size_t)n * sizeof *sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, by_value);
        result = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    }
    free(sorted);
    return result;
}

json_t *tally_histogram(const int64_t *counts, int64_t steps) {
    json_t *histogram = json_object();
    char key[32];
    for (int64_t k = 1; k <= steps; k++)
        if (counts[k]) {
            snprintf(key, sizeof key, "%lld", (long long)k);
            json_object_set_new(histogram, key, json_integer((json_int_t)counts[k]));
        }
    return histogram;
}

void tally_report(const tally *t, json_t *result) {
    json_object_set_new(result, "max_loss_iter_histogram", tally_histogram(t->histogram, t->steps));
    json_object_set_new(result, "recomputed_steps", json_integer((json_int_t)t->recomputed));
    json_object_set_new(result, "waits", json_integer((json_int_t)t->waits));
    json_object_set_new(result, "launches_per_step", json_integer(t->launches_per_step));
    json_object_set_new(result, "seconds_loop", json_real(median(t->loops, t->done)));
    json_object_set_new(result, "seconds_backward", json_real(median(t->backwards, t->done)));
}

void tally_print(const tally *t, const blo_context *context) {
    blo_statistics statistics;
    blo_context_statistics(context, &statistics);
    printf("  %-20s %10.4f s (median)\n", "loop", median(t->loops, t->done));
    printf("  %-20s %10.4f s (median)\n", "backward", median(t->backwards, t->done));
    printf("  %-20s %10.1f MiB at most\n", "device memory", (double)statistics.peak_device_bytes / (1 << 20));
}
