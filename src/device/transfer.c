/* Copies between host and device, and what happens at every wait. Writes of moderate size are staged so that the host
 * need not wait. */
#include "opencl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STAGED_BYTES = 64 << 20, /* as much may be staged at once; beyond it writes wait */
    SPARE_BYTES = 4 << 20,   /* of staging memory are kept for the writes to come */
    LEAST_STAGED = 1024,     /* bytes of one piece of it */
    START_EVERY = 16         /* launches */
};

blo_status blo_queue_flag_read(blo_context *context, blo_flag_words *flag) {
    if (!context->flag_used)
        return BLO_OK;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code =
            clEnqueueReadBuffer(context->queue, context->flag->memory, CL_FALSE, 0, sizeof *flag, flag, 0, NULL, NULL);
    return blo_check(context, code, "clEnqueueReadBuffer");
}

/* The sentence of a flag. */
static blo_status tell_flag(blo_context *context, const blo_flag_words *flag) {
    char which[96] = "";
    if (flag->inverted_part)
        snprintf(which, sizeof which, " of %s %u (of 0 ... %u)", context->part_name, (unsigned)~flag->inverted_part,
                 (unsigned)flag->parts - 1);
    return blo_fail(context, BLO_ERROR_NUMERIC,
                    "a NaN or an infinity in the backward sweep%s at lower step %u; the gradients are as they were",
                    which, (unsigned)flag->tag);
}

blo_status blo_after_wait(blo_context *context, bool is_read, const blo_flag_words *flag) {
    while (context->staged) {
        blo_staging *next = context->staged->next;
        if (context->spare_bytes + context->staged->bytes <= SPARE_BYTES) {
            context->staged->next = context->spare;
            context->spare = context->staged;
            context->spare_bytes += context->spare->bytes;
        } else
            free(context->staged);
        context->staged = next;
    }
    context->staged_bytes = 0;
    context->unstarted = 0;
    blo_profile_drain(context);
    if (!is_read)
        return BLO_OK;
    blo_status cleared = flag->tag ? blo_buffer_zero(context, context->flag, 0, sizeof *flag) : BLO_OK;
    if (cleared != BLO_OK) /* still set, so that commits are still held back: it is told at the next wait */
        return cleared;
    context->flag_used = false;
    return flag->tag ? tell_flag(context, flag) : BLO_OK;
}

void blo_staging_release(blo_context *context) {
    while (context->spare) {
        blo_staging *next = context->spare->next;
        free(context->spare);
        context->spare = next;
    }
}

/* A spare piece of BYTES or a little more, taken off the list; NULL: there is none. */
static blo_staging *take_spare(blo_context *context, size_t bytes) {
    for (blo_staging **link = &context->spare; *link; link = &(*link)->next) {
        blo_staging *staging = *link;
        if (staging->bytes < bytes || staging->bytes > 2 * bytes + LEAST_STAGED)
            continue;
        *link = staging->next;
        context->spare_bytes -= staging->bytes;
        return staging;
    }
    return NULL;
}

/* Host memory of BYTES that stays until the next wait; NULL: none is left. */
static void *stage(blo_context *context, size_t bytes) {
    blo_staging *staging = take_spare(context, bytes);
    if (!staging) {
        size_t room = bytes > LEAST_STAGED ? bytes : LEAST_STAGED;
        staging = malloc(sizeof *staging + room);
        if (!staging)
            return NULL;
        staging->bytes = room;
    }
    staging->next = context->staged;
    context->staged = staging;
    context->staged_bytes += staging->bytes;
    return staging + 1;
}

blo_status blo_queue_start(blo_context *context) {
    if (++context->unstarted < START_EVERY)
        return BLO_OK;
    context->unstarted = 0;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clFlush(context->queue);
    return blo_check(context, code, "clFlush");
}

/* Of the profile: a transfer that touches BYTES. */
static void note(blo_context *context, int row, size_t bytes, cl_event event) {
    if (event)
        blo_profile_charge(context, row, 0, (double)bytes);
    blo_profile_note(context, row, NULL, event);
}

/* Before BYTES at OFFSET of BUFFER are overwritten: zeros that are due are queued, unless nothing of them would stay.
 */
static blo_status settle_around(blo_buffer *buffer, size_t offset, size_t bytes) {
    return buffer->due && (offset > 0 || bytes < buffer->bytes) ? blo_buffer_settle(buffer) : BLO_OK;
}

blo_status blo_buffer_write(blo_context *context, blo_buffer *buffer, size_t offset, size_t bytes, const void *source) {
    assert(!context->recording);
    if (bytes == 0)
        return BLO_OK;
    bool wait = bytes > STAGED_BYTES || context->staged_bytes > STAGED_BYTES - bytes;
    const void *from = source;
    blo_status status = settle_around(buffer, offset, bytes);
    if (status != BLO_OK)
        return status;
    if (!wait) {
        void *staged = stage(context, bytes);
        if (!staged)
            return blo_fail(context, BLO_ERROR_MEMORY, "no host memory to stage %zu bytes", bytes);
        from = memcpy(staged, source, bytes);
    } else
        context->counters.waits++;
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueWriteBuffer(context->queue, buffer->memory, wait ? CL_TRUE : CL_FALSE, offset, bytes, from, 0,
                                    NULL, timed);
    note(context, BLO_PROFILE_WRITE, bytes, event);
    if (code == CL_SUCCESS)
        blo_buffer_is_done(buffer);
    if (wait && code == CL_SUCCESS)
        blo_after_wait(context, false, 0); /* in order: what was staged before has been read */
    return blo_check(context, code, "clEnqueueWriteBuffer");
}

blo_status blo_buffer_read(blo_context *context, const blo_buffer *buffer, size_t offset, size_t bytes, void *target) {
    assert(!context->recording);
    if (bytes == 0)
        return BLO_OK;
    blo_flag_words flag = {0};
    blo_status status = blo_buffer_settle(buffer);
    if (status != BLO_OK)
        return status;
    status = blo_queue_flag_read(context, &flag);
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueReadBuffer(context->queue, buffer->memory, CL_TRUE, offset, bytes, target, 0, NULL, timed);
    note(context, BLO_PROFILE_READ, bytes, event);
    if (code != CL_SUCCESS)
        clFinish(context->queue); /* a queued read may still write to FLAG, queued writes read what is staged */
    context->counters.waits++;
    blo_status read = blo_check(context, code, "clEnqueueReadBuffer");
    blo_status flagged = blo_after_wait(context, status == BLO_OK && read == BLO_OK, &flag);
    return status != BLO_OK ? status : read != BLO_OK ? read : flagged;
}

blo_status blo_buffer_copy(blo_context *context, const blo_buffer *source, size_t source_offset, blo_buffer *target,
                           size_t target_offset, size_t bytes) {
    assert(!context->recording);
    if (bytes == 0)
        return BLO_OK;
    blo_status status = blo_buffer_settle(source);
    if (status == BLO_OK)
        status = blo_buffer_settle(target);
    if (status != BLO_OK)
        return status;
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueCopyBuffer(context->queue, source->memory, target->memory, source_offset, target_offset, bytes,
                                   0, NULL, timed);
    note(context, BLO_PROFILE_COPY, 2 * bytes, event);
    return blo_check(context, code, "clEnqueueCopyBuffer");
}

blo_status blo_buffer_zero(blo_context *context, blo_buffer *buffer, size_t offset, size_t bytes) {
    assert(!context->recording);
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

/* --- zeros that are due --- */

blo_status blo_buffer_zero_later(blo_buffer *buffer) {
    blo_context *context = buffer->context;
    if (context->lost)
        return blo_check(context, CL_DEVICE_NOT_AVAILABLE, "zeros");
    if (buffer->due || buffer->bytes == 0)
        return BLO_OK;
    buffer->due = true;
    buffer->due_next = context->due;
    context->due = buffer;
    return BLO_OK;
}

bool blo_buffer_is_due(const blo_buffer *buffer) {
    return buffer->due;
}

/* Where the list points to BUFFER, which is due. */
static blo_buffer **find_due(const blo_buffer *buffer) {
    blo_buffer **link = &buffer->context->due;
    while (*link != buffer)
        link = &(*link)->due_next;
    return link;
}

void blo_buffer_is_done(const blo_buffer *buffer) {
    if (!buffer->due)
        return;
    blo_buffer **link = find_due(buffer);
    (*link)->due = false;
    *link = buffer->due_next;
}

blo_status blo_buffer_settle(const blo_buffer *buffer) {
    if (!buffer->due)
        return BLO_OK;
    blo_status status = blo_buffer_zero(buffer->context, *find_due(buffer), 0, buffer->bytes);
    if (status == BLO_OK)
        blo_buffer_is_done(buffer);
    return status;
}

blo_status blo_queue_zeros(blo_context *context) {
    blo_status status = BLO_OK;
    while (context->due && status == BLO_OK)
        status = blo_buffer_settle(context->due);
    return status;
}
