/* Copies between host and device, and what happens at every wait. Writes of moderate size are staged so that the host
 * need not wait. */
#include "opencl.h"

#include <stdlib.h>
#include <string.h>

enum { STAGED_BYTES = 4 << 20 }; /* larger writes wait instead of being copied once more */

blo_status blo_queue_flag_read(blo_context *context, cl_uint *flag) {
    if (!context->flag_used)
        return BLO_OK;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code =
            clEnqueueReadBuffer(context->queue, context->flag->memory, CL_FALSE, 0, sizeof *flag, flag, 0, NULL, NULL);
    return blo_check(context, code, "clEnqueueReadBuffer");
}

blo_status blo_after_wait(blo_context *context, bool is_read, cl_uint flag) {
    while (context->staged) {
        blo_staging *next = context->staged->next;
        free(context->staged);
        context->staged = next;
    }
    blo_profile_drain(context);
    if (!is_read)
        return BLO_OK;
    blo_status cleared = flag ? blo_buffer_zero(context, context->flag, 0, sizeof flag) : BLO_OK;
    if (cleared != BLO_OK) /* still set, so that commits are still held back: it is told at the next wait */
        return cleared;
    context->flag_used = false;
    if (!flag)
        return BLO_OK;
    return blo_fail(context, BLO_ERROR_NUMERIC,
                    "a NaN or an infinity in the backward sweep at lower step %u; the gradients are as they were",
                    (unsigned)flag);
}

/* Of the profile: a transfer that touches BYTES. */
static void note(blo_context *context, int row, size_t bytes, cl_event event) {
    if (event)
        blo_profile_charge(context, row, 0, (double)bytes);
    blo_profile_note(context, row, NULL, event);
}

blo_status blo_buffer_write(blo_context *context, blo_buffer *buffer, size_t offset, size_t bytes, const void *source) {
    if (bytes == 0)
        return BLO_OK;
    bool wait = bytes > STAGED_BYTES;
    const void *from = source;
    if (!wait) {
        blo_staging *staging = malloc(sizeof *staging + bytes);
        if (!staging)
            return blo_fail(context, BLO_ERROR_MEMORY, "no host memory to stage %zu bytes", bytes);
        memcpy(staging + 1, source, bytes);
        staging->next = context->staged;
        context->staged = staging;
        from = staging + 1;
    } else
        context->counters.waits++;
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueWriteBuffer(context->queue, buffer->memory, wait ? CL_TRUE : CL_FALSE, offset, bytes, from, 0,
                                    NULL, timed);
    note(context, BLO_PROFILE_WRITE, bytes, event);
    return blo_check(context, code, "clEnqueueWriteBuffer");
}

blo_status blo_buffer_read(blo_context *context, const blo_buffer *buffer, size_t offset, size_t bytes, void *target) {
    if (bytes == 0)
        return BLO_OK;
    cl_uint flag = 0;
    blo_status status = blo_queue_flag_read(context, &flag);
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueReadBuffer(context->queue, buffer->memory, CL_TRUE, offset, bytes, target, 0, NULL, timed);
    note(context, BLO_PROFILE_READ, bytes, event);
    if (code != CL_SUCCESS)
        clFinish(context->queue); /* a queued read may still write to FLAG, queued writes read what is staged */
    context->counters.waits++;
    blo_status read = blo_check(context, code, "clEnqueueReadBuffer");
    blo_status flagged = blo_after_wait(context, status == BLO_OK && read == BLO_OK, flag);
    return status != BLO_OK ? status : read != BLO_OK ? read : flagged;
}

blo_status blo_buffer_copy(blo_context *context, const blo_buffer *source, size_t source_offset, blo_buffer *target,
                           size_t target_offset, size_t bytes) {
    if (bytes == 0)
        return BLO_OK;
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueCopyBuffer(context->queue, source->memory, target->memory, source_offset, target_offset, bytes,
                                   0, NULL, timed);
    note(context, BLO_PROFILE_COPY, 2 * bytes, event);
    return blo_check(context, code, "clEnqueueCopyBuffer");
}

blo_status blo_buffer_zero(blo_context *context, blo_buffer *buffer, size_t offset, size_t bytes) {
    const cl_uchar zero = 0;
    if (bytes == 0)
        return BLO_OK;
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueFillBuffer(context->queue, buffer->memory, &zero, sizeof zero, offset, bytes, 0, NULL, timed);
    note(context, BLO_PROFILE_ZERO, bytes, event);
    return blo_check(context, code, "clEnqueueFillBuffer");
}
