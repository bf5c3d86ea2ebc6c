/* The pool: buffers by reference count, given back ones kept for reuse while the limit allows, every byte counted. */
#include "opencl.h"

#include <stdlib.h>

static void release_memory(blo_buffer *buffer) {
    blo_recordings_drop(buffer->context);
    clReleaseMemObject(buffer->memory);
    buffer->context->counters.current_device_bytes -= buffer->capacity;
    free(buffer);
}

void blo_pool_trim(blo_context *context) {
    while (context->cached) {
        blo_buffer *buffer = context->cached;
        context->cached = buffer->next;
        context->cached_bytes -= buffer->capacity;
        release_memory(buffer);
    }
}

/* A cached buffer that fits without much waste, taken off the list. */
static blo_buffer *reuse(blo_context *context, size_t bytes) {
    enum { SLACK = 4096 };
    for (blo_buffer **link = &context->cached; *link; link = &(*link)->next) {
        blo_buffer *buffer = *link;
        if (context->exact ? buffer->bytes != bytes
                           : buffer->capacity < bytes || buffer->capacity > bytes + bytes / 4 + SLACK)
            continue;
        *link = buffer->next;
        context->cached_bytes -= buffer->capacity;
        return buffer;
    }
    return NULL;
}

/* Device memory of CAPACITY bytes. Where the device has no more, what the pool keeps for reuse is given back first. */
static blo_status create_memory(blo_context *context, size_t capacity, cl_mem *memory) {
    cl_int code;
    bool again;
    do {
        code = blo_fault(context);
        if (code == CL_SUCCESS)
            *memory = clCreateBuffer(context->context, CL_MEM_READ_WRITE, capacity, NULL, &code);
        bool exhausted = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES;
        again = exhausted && context->cached;
        if (again)
            blo_pool_trim(context);
    } while (again);
    return blo_check(context, code, "clCreateBuffer");
}

static blo_status allocate(blo_context *context, size_t bytes, blo_buffer **result) {
    size_t alignment = (size_t)context->facts.base_alignment,
           capacity = (bytes + alignment - 1) / alignment * alignment;
    uint64_t held = context->counters.current_device_bytes;
    if (capacity == 0)
        capacity = alignment;
    if (held + capacity > context->limit) {
        blo_pool_trim(context);
        held = context->counters.current_device_bytes;
    }
    if (held + capacity > context->limit)
        return blo_fail(
            context, BLO_ERROR_BUDGET,
            "%zu bytes are wanted on the device, %llu are held and the memory budget is %llu: at least %llu would do",
            capacity, (unsigned long long)held, (unsigned long long)context->limit,
            (unsigned long long)(held + capacity));
    blo_buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a buffer");
    blo_status status = create_memory(context, context->exact && bytes ? bytes : capacity, &buffer->memory);
    if (status != BLO_OK) {
        free(buffer);
        return status;
    }
    buffer->context = context;
    buffer->capacity = capacity;
    context->counters.allocations++;
    context->counters.current_device_bytes += capacity;
    if (context->counters.current_device_bytes > context->counters.peak_device_bytes)
        context->counters.peak_device_bytes = context->counters.current_device_bytes;
    *result = buffer;
    return BLO_OK;
}

blo_status blo_buffer_create(blo_context *context, size_t bytes, blo_buffer **result) {
    *result = NULL;
    blo_buffer *buffer = reuse(context, bytes);
    blo_status status = buffer ? BLO_OK : allocate(context, bytes, &buffer);
    if (status != BLO_OK)
        return status;
    buffer->bytes = bytes;
    buffer->references = 1;
    buffer->serial = blo_context_next_serial(context);
    buffer->next = NULL;
    *result = buffer;
    return BLO_OK;
}

void blo_buffer_release(blo_buffer *buffer) {
    if (!buffer || --buffer->references > 0)
        return;
    blo_context *context = buffer->context;
    if (context->counters.current_device_bytes > context->limit) {
        release_memory(buffer);
        return;
    }
    buffer->next = context->cached;
    context->cached = buffer;
    context->cached_bytes += buffer->capacity;
}

size_t blo_buffer_bytes(const blo_buffer *buffer) {
    return buffer->bytes;
}

uint64_t blo_buffer_serial(const blo_buffer *buffer) {
    return buffer->serial;
}

uint64_t blo_pool_available(const blo_context *context, uint64_t budget) {
    uint64_t used = context->counters.current_device_bytes - context->cached_bytes,
             limit = budget ? budget : context->budget;
    return limit > used ? limit - used : 0;
}

uint64_t blo_pool_limit(blo_context *context, uint64_t limit) {
    uint64_t before = context->limit;
    context->limit = limit ? limit : context->budget;
    if (context->counters.current_device_bytes > context->limit)
        blo_pool_trim(context);
    return before;
}
