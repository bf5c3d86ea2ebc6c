/* The profile: how long the device took over each launch, by rows that rooms above name. Events are kept until the host
 * has waited, when their times are known. Knows nothing of what the rows compute. */
#include "opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SAMPLES = 1 << 15 }; /* of a row; when they are full, every second one goes */

typedef struct row {
    blo_profile_row sums;
    double flops, bytes; /* of one launch */
    char *what;
    double *samples;
    int n_samples, capacity;
    uint64_t stride; /* every so many launches is a sample */
} row;

typedef struct pending {    /* a launch whose times are not known yet */
    cl_event event, before; /* BEFORE: NULL, or a marker that ends where the launch begins */
    int row;
} pending;

struct blo_profile {
    row *rows;
    int n_rows, rows_capacity;
    pending *pending;
    int n_pending, pending_capacity;
    uint64_t lost; /* launches without a row, times that could not be kept or had */
};

/* --- rows --- */

static const blo_work built_in[] = {[BLO_PROFILE_WRITE] = {.part = "transfers", .what = "host to device"},
                                    [BLO_PROFILE_READ] = {.part = "transfers", .what = "device to host"},
                                    [BLO_PROFILE_COPY] = {.part = "transfers", .what = "copy"},
                                    [BLO_PROFILE_ZERO] = {.part = "transfers", .what = "zeros"},
                                    [BLO_PROFILE_CHECK] = {.part = "checks", .what = "check for NaN"},
                                    [BLO_PROFILE_COMMIT] = {.part = "checks", .what = "add to the gradients"}};

bool blo_context_profiles(const blo_context *context) {
    return context->profile != NULL;
}

int blo_profile_add(blo_context *context, const blo_work *work) {
    blo_profile *profile = context->profile;
    if (!profile)
        return 0;
    if (profile->n_rows == profile->rows_capacity) {
        int capacity = profile->rows_capacity ? 2 * profile->rows_capacity : 32;
        row *rows = realloc(profile->rows, (size_t)capacity * sizeof *rows);
        if (!rows)
            return 0;
        profile->rows = rows;
        profile->rows_capacity = capacity;
    }
    char *what = malloc(strlen(work->what) + 1);
    if (!what)
        return 0;
    profile->rows[profile->n_rows] =
        (row){.sums = {.part = work->part, .what = strcpy(what, work->what), .dtype = work->dtype},
              .flops = work->flops,
              .bytes = work->bytes,
              .what = what,
              .stride = 1};
    return ++profile->n_rows;
}

void blo_profile_set_part(blo_context *context, int number, const char *part) {
    if (number > 0)
        context->profile->rows[number - 1].sums.part = part;
}

void blo_profile_charge(blo_context *context, int number, double flops, double bytes) {
    if (!context->profile || number <= 0)
        return;
    context->profile->rows[number - 1].sums.flops += flops;
    context->profile->rows[number - 1].sums.bytes += bytes;
}

blo_status blo_profile_open(blo_context *context) {
    context->profile = calloc(1, sizeof *context->profile);
    for (size_t i = 1; context->profile && i < sizeof built_in / sizeof built_in[0]; i++)
        if (blo_profile_add(context, &built_in[i]) != (int)i)
            return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a profile");
    return context->profile ? BLO_OK : blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a profile");
}

static void release_events(const pending *launch) {
    clReleaseEvent(launch->event);
    if (launch->before)
        clReleaseEvent(launch->before);
}

void blo_profile_close(blo_context *context) {
    blo_profile *profile = context->profile;
    if (!profile)
        return;
    for (int i = 0; i < profile->n_pending; i++)
        release_events(&profile->pending[i]);
    for (int i = 0; i < profile->n_rows; i++) {
        free(profile->rows[i].what);
        free(profile->rows[i].samples);
    }
    free(profile->rows);
    free(profile->pending);
    free(profile);
    context->profile = NULL;
}

/* --- launches --- */

cl_event *blo_profile_event(const blo_context *context, cl_event *event) {
    *event = NULL;
    return context->profile ? event : NULL;
}

cl_event blo_profile_marker(blo_context *context) {
    cl_event marker = NULL;
    if (context->profile && (blo_fault(context) != CL_SUCCESS ||
                             clEnqueueMarkerWithWaitList(context->queue, 0, NULL, &marker) != CL_SUCCESS))
        context->profile->lost++;
    return marker;
}

void blo_profile_note(blo_context *context, int number, cl_event before, cl_event event) {
    blo_profile *profile = context->profile;
    const pending launch = {.event = event, .before = before, .row = number - 1};
    if (!profile || !event)
        return;
    if (profile->n_pending == profile->pending_capacity) {
        int capacity = profile->pending_capacity ? 2 * profile->pending_capacity : 1024;
        pending *longer = realloc(profile->pending, (size_t)capacity * sizeof *longer);
        if (longer) {
            profile->pending = longer;
            profile->pending_capacity = capacity;
        }
    }
    if (number <= 0 || profile->n_pending == profile->pending_capacity) {
        release_events(&launch);
        profile->lost++;
        return;
    }
    profile->pending[profile->n_pending++] = launch;
}

static bool time_of(cl_event event, cl_profiling_info what, cl_ulong *nanoseconds) {
    return clGetEventProfilingInfo(event, what, sizeof *nanoseconds, nanoseconds, NULL) == CL_SUCCESS;
}

static bool seconds_of(const pending *launch, double *seconds) {
    cl_ulong start, end;
    bool known = time_of(launch->before ? launch->before : launch->event,
                         launch->before ? CL_PROFILING_COMMAND_END : CL_PROFILING_COMMAND_START, &start) &&
                 time_of(launch->event, CL_PROFILING_COMMAND_END, &end) && end >= start;
    *seconds = known ? 1e-9 * (double)(end - start) : 0.0;
    return known;
}

/* False: no memory for it. */
static bool keep_sample(row *to, double seconds) {
    if (to->sums.launches % to->stride != 0)
        return true;
    if (to->n_samples == MOST_SAMPLES) {
        for (int i = 0; i < MOST_SAMPLES / 2; i++)
            to->samples[i] = to->samples[2 * i];
        to->n_samples /= 2;
        to->stride *= 2;
    }
    if (to->n_samples == to->capacity) {
        int capacity = to->capacity ? 2 * to->capacity : 64;
        double *samples = realloc(to->samples, (size_t)capacity * sizeof *samples);
        if (!samples)
            return false;
        to->samples = samples;
        to->capacity = capacity;
    }
    to->samples[to->n_samples++] = seconds;
    return true;
}

void blo_profile_drain(blo_context *context) {
    blo_profile *profile = context->profile;
    for (int i = 0; profile && i < profile->n_pending; i++) {
        const pending *launch = &profile->pending[i];
        row *to = &profile->rows[launch->row];
        double seconds = 0;
        bool known = blo_fault(context) == CL_SUCCESS && seconds_of(launch, &seconds) && keep_sample(to, seconds);
        profile->lost += !known;
        to->sums.launches++;
        to->sums.seconds += seconds;
        to->sums.flops += to->flops;
        to->sums.bytes += to->bytes;
        release_events(launch);
    }
    if (profile)
        profile->n_pending = 0;
}

/* --- reading --- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* SAMPLES stay in any order: the next ones are appended. */
static double median(row *of) {
    if (of->n_samples == 0)
        return 0.0;
    qsort(of->samples, (size_t)of->n_samples, sizeof *of->samples, by_value);
    return (of->samples[(of->n_samples - 1) / 2] + of->samples[of->n_samples / 2]) / 2;
}

int blo_context_profile_rows(const blo_context *context) {
    return context && context->profile ? context->profile->n_rows : 0;
}

blo_status blo_context_profile_row(blo_context *context, int index, blo_profile_row *result) {
    if (!context)
        return BLO_ERROR_ARGUMENT;
    if (!result || index < 0 || index >= blo_context_profile_rows(context))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the profile has %d rows, no row %d",
                        blo_context_profile_rows(context), index);
    uint64_t lost = context->profile->lost;
    context->profile->lost = 0;
    if (lost)
        return blo_fail(context, BLO_ERROR_DEVICE, "the times of %llu launches are not known",
                        (unsigned long long)lost);
    row *from = &context->profile->rows[index];
    from->sums.median_seconds = median(from);
    *result = from->sums;
    return BLO_OK;
}
