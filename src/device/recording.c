/* Recordings, by cl_khr_command_buffer: launches kept by the device's driver, to be queued again with one call. The
 * extension's types are written out here, since not all headers have them; what is used of it has been the same from
 * its version 0.9.0 on. */
#include "opencl.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEVICE_EXTENSIONS_WITH_VERSION = 0x1060, /* of OpenCL 3.0 */
    REQUIRED_QUEUE_PROPERTIES = 0x12AA,
    FIRST_VERSION = 9 << 12, /* 0.9.0: 10 bits major, 10 minor, 12 patch */
    BEYOND_VERSION = 2 << 22
};

typedef struct versioned_name { /* cl_name_version */
    cl_uint version;
    char name[64];
} versioned_name;

struct blo_recording {
    blo_context *context;
    blo_recording *next;       /* of the context's */
    blo_command_buffer buffer; /* NULL: nothing to replay */
    int n, capacity;
    blo_kernel **kernels; /* [n] one for each launch */
    bool queued;          /* since it was made, when the host had waited so often: */
    uint64_t waits;
};

/* --- whether the device can --- */

static bool knows_version(cl_device_id device) {
    size_t bytes = 0;
    if (clGetDeviceInfo(device, DEVICE_EXTENSIONS_WITH_VERSION, 0, NULL, &bytes) != CL_SUCCESS)
        return false;
    versioned_name *all = calloc(1, bytes + 1);
    bool knows = false;
    if (all && clGetDeviceInfo(device, DEVICE_EXTENSIONS_WITH_VERSION, bytes, all, NULL) == CL_SUCCESS)
        for (size_t i = 0; i < bytes / sizeof *all; i++)
            knows = knows || (!strncmp(all[i].name, "cl_khr_command_buffer", sizeof all[i].name) &&
                              all[i].version >= FIRST_VERSION && all[i].version < BEYOND_VERSION);
    free(all);
    return knows;
}

static bool find_calls(cl_platform_id platform, blo_recording_calls *calls) {
    static const char *const names[] = {"clCreateCommandBufferKHR", "clFinalizeCommandBufferKHR",
                                        "clReleaseCommandBufferKHR", "clEnqueueCommandBufferKHR",
                                        "clCommandNDRangeKernelKHR"};
    void *found[sizeof names / sizeof names[0]];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        found[i] = clGetExtensionFunctionAddressForPlatform(platform, names[i]);
        if (!found[i])
            return false;
    }
    memcpy(&calls->create, &found[0], sizeof found[0]); /* C has no cast from a pointer to data to one to a function */
    memcpy(&calls->finalize, &found[1], sizeof found[1]);
    memcpy(&calls->release, &found[2], sizeof found[2]);
    memcpy(&calls->enqueue, &found[3], sizeof found[3]);
    memcpy(&calls->launch, &found[4], sizeof found[4]);
    return true;
}

/* The queue is in order and, here, times nothing: a device that asks for more of a queue cannot. */
static bool can_record(blo_context *context) {
    cl_bitfield required = 0;
    return knows_version(context->device) &&
           clGetDeviceInfo(context->device, REQUIRED_QUEUE_PROPERTIES, sizeof required, &required, NULL) ==
               CL_SUCCESS &&
           required == 0 && find_calls(context->platform, &context->recording_calls);
}

blo_status blo_recordings_open(blo_context *context, blo_replay replay, bool profile) {
    if (replay < BLO_REPLAY_AUTO || replay > BLO_REPLAY_OFF)
        return blo_fail(context, BLO_ERROR_ARGUMENT,
                        "replay is %d: want BLO_REPLAY_AUTO, BLO_REPLAY_ON or BLO_REPLAY_OFF", (int)replay);
    context->replay = replay;
    context->can_record = replay != BLO_REPLAY_OFF && !profile && can_record(context);
    if (replay == BLO_REPLAY_ON && !profile && !context->can_record)
        return blo_fail(context, BLO_ERROR_UNSUPPORTED,
                        "device \"%s\" cannot record launches: it has no cl_khr_command_buffer that is known here",
                        context->facts.name);
    return BLO_OK;
}

void blo_recordings_decide(blo_context *context) {
    const double clear_gain = 0.9; /* for less, a recording's memory is not worth it */
    blo_device_facts *facts = &context->facts;
    bool faster =
        facts->queued_seconds > 0 ? facts->replayed_seconds < clear_gain * facts->queued_seconds : !facts->is_cpu;
    facts->replays = context->can_record && (context->replay == BLO_REPLAY_ON || faster || getenv("CLBILEVEL_REPLAY"));
}

/* --- a recording --- */

/* Gives up what was recorded, once it is done: not every implementation (PoCL) keeps what it still runs. */
static void drop(blo_recording *recording) {
    if (blo_recording_is_pending(recording))
        clFinish(recording->context->queue);
    recording->queued = false;
    if (recording->buffer)
        recording->context->recording_calls.release(recording->buffer);
    recording->buffer = NULL;
    for (int i = 0; i < recording->n; i++)
        blo_kernel_release(recording->kernels[i]);
    recording->n = 0;
}

void blo_recordings_drop(blo_context *context) {
    for (blo_recording *recording = context->recordings; recording; recording = recording->next)
        drop(recording);
}

static blo_recording *make(blo_context *context) {
    blo_recording *recording = calloc(1, sizeof *recording);
    if (!recording) {
        blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a recording");
        return NULL;
    }
    recording->context = context;
    recording->next = context->recordings;
    context->recordings = recording;
    return recording;
}

blo_status blo_recording_begin(blo_context *context, blo_recording **result) {
    blo_recording *recording = *result ? *result : make(context);
    *result = recording;
    if (!recording)
        return BLO_ERROR_MEMORY;
    drop(recording);
    blo_status status = blo_queue_zeros(context);
    if (status != BLO_OK)
        return status;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        recording->buffer = context->recording_calls.create(1, &context->queue, NULL, &code);
    status = blo_check(context, code, "clCreateCommandBufferKHR");
    if (status == BLO_OK)
        context->recording = recording;
    return status;
}

static blo_status make_room(blo_recording *recording) {
    if (recording->n < recording->capacity)
        return BLO_OK;
    int capacity = recording->capacity ? 2 * recording->capacity : 64;
    blo_kernel **kernels = realloc(recording->kernels, (size_t)capacity * sizeof *kernels);
    if (!kernels)
        return blo_fail(recording->context, BLO_ERROR_MEMORY, "no host memory for a recording of %d launches",
                        capacity);
    recording->kernels = kernels;
    recording->capacity = capacity;
    return BLO_OK;
}

/* Each launch has a kernel object of its own: some implementations (PoCL 3.1) look at the arguments when the recording
 * is replayed, and find those bound last. */
blo_status blo_recording_launch(blo_recording *recording, const blo_kernel *kernel, int dimensions,
                                const size_t *global, const size_t *local) {
    blo_context *context = recording->context;
    blo_kernel *copy = NULL;
    blo_status status = make_room(recording);
    if (status == BLO_OK)
        status = blo_kernel_copy(kernel, &copy);
    if (status != BLO_OK)
        return status;
    recording->kernels[recording->n++] = copy;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = context->recording_calls.launch(recording->buffer, NULL, NULL, copy->kernel, (cl_uint)dimensions, NULL,
                                               global, local, 0, NULL, NULL, NULL);
    return blo_check(context, code, "clCommandNDRangeKernelKHR");
}

blo_status blo_recording_end(blo_recording *recording) {
    blo_context *context = recording->context;
    context->recording = NULL;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = context->recording_calls.finalize(recording->buffer);
    blo_status status = blo_check(context, code, "clFinalizeCommandBufferKHR");
    if (status != BLO_OK)
        drop(recording);
    return status;
}

void blo_recording_abandon(blo_recording *recording) {
    recording->context->recording = NULL;
    drop(recording);
}

bool blo_recording_is_made(const blo_recording *recording) {
    return recording && recording->buffer;
}

bool blo_recording_is_pending(const blo_recording *recording) {
    return recording->queued && recording->waits == recording->context->counters.waits;
}

blo_status blo_recording_replay(blo_recording *recording) {
    blo_context *context = recording->context;
    blo_status status = blo_queue_zeros(context);
    if (status != BLO_OK)
        return status;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = context->recording_calls.enqueue(0, NULL, recording->buffer, 0, NULL, NULL);
    status = blo_check(context, code, "clEnqueueCommandBufferKHR");
    if (status != BLO_OK)
        return status;
    recording->queued = true;
    recording->waits = context->counters.waits;
    context->counters.launches += (uint64_t)recording->n;
    context->unstarted += recording->n;
    return blo_queue_start(context);
}

void blo_recording_release(blo_recording *recording) {
    if (!recording)
        return;
    blo_context *context = recording->context;
    blo_recording **link = &context->recordings;
    while (*link != recording)
        link = &(*link)->next;
    *link = recording->next;
    if (context->recording == recording)
        context->recording = NULL;
    drop(recording);
    free(recording->kernels);
    free(recording);
}
