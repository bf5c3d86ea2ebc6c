/* Measures what a launch costs, queued by itself and as one of a recording; see clbilevel/tune.h. */
#include "cl_sources.h"
#include "opencl.h"

enum { LAUNCHES = 256, ROUNDS = 9 };

typedef struct cost_run {
    blo_context *context;
    blo_kernel *tick;
    blo_buffer *at;
    blo_recording *recording;
} cost_run;

static blo_status open_run(cost_run *run) {
    const blo_kernel_source source = {.name = "blo_tick", .text = blo_cl_tick};
    blo_status status = blo_kernels_get(run->context, 1, &source, &run->tick);
    if (status == BLO_OK)
        status = blo_buffer_create(run->context, LAUNCHES * sizeof(cl_uint), &run->at);
    if (status == BLO_OK)
        status = blo_buffer_zero(run->context, run->at, 0, LAUNCHES * sizeof(cl_uint));
    return status == BLO_OK ? blo_kernel_set_buffer(run->tick, 0, run->at) : status;
}

/* As a loop does it: one argument that is not the one before. */
static blo_status launch_all(const cost_run *run) {
    const size_t one = 1;
    blo_status status = BLO_OK;
    for (uint64_t i = 0; i < LAUNCHES && status == BLO_OK; i++) {
        status = blo_kernel_set_ulong(run->tick, 1, i);
        if (status == BLO_OK)
            status = blo_kernel_launch(run->tick, 1, &one, &one);
    }
    return status;
}

static blo_status record(cost_run *run) {
    blo_status status = blo_recording_begin(run->context, &run->recording);
    if (status != BLO_OK)
        return status;
    status = launch_all(run);
    if (status == BLO_OK)
        return blo_recording_end(run->recording);
    blo_recording_abandon(run->recording);
    return status;
}

/* Seconds of all launches, with the wait for them: the least of ROUNDS, in turn, after one that does not count. */
static blo_status measure(const cost_run *run, double seconds[2]) {
    blo_status status = blo_context_finish(run->context);
    for (int i = -2; i < 2 * ROUNDS && status == BLO_OK; i++) {
        const int which = i & 1;
        const double start = blo_seconds();
        status = which ? blo_recording_replay(run->recording) : launch_all(run);
        if (status == BLO_OK)
            status = blo_context_finish(run->context);
        const double took = (blo_seconds() - start) / LAUNCHES;
        if (i < 2 || took < seconds[which])
            seconds[which] = took;
    }
    return status;
}

blo_status blo_context_tune_replay(blo_context *context, double *queued_seconds, double *replayed_seconds) {
    if (!context)
        return BLO_ERROR_ARGUMENT;
    if (!context->can_record)
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "device \"%s\": launches are not recorded in this context",
                        context->facts.name);
    cost_run run = {.context = context};
    double seconds[2] = {0};
    blo_status status = blo_tuning_possible(context);
    if (status == BLO_OK)
        status = open_run(&run);
    if (status == BLO_OK)
        status = record(&run);
    if (status == BLO_OK)
        status = measure(&run, seconds);
    blo_recording_release(run.recording);
    blo_kernel_release(run.tick);
    blo_buffer_release(run.at);
    if (status != BLO_OK)
        return status;
    if (queued_seconds)
        *queued_seconds = seconds[0];
    if (replayed_seconds)
        *replayed_seconds = seconds[1];
    return blo_tuning_keep_replay(context, seconds[0], seconds[1]);
}
