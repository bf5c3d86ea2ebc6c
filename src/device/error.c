/* Errors: the context's sentence, the names of OpenCL's codes, and the one place every OpenCL result passes through. */
#include "opencl.h"

#include <stdarg.h>
#include <stdio.h>

blo_status blo_fail(blo_context *context, blo_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context->error, sizeof context->error, format, arguments);
    va_end(arguments);
    return status;
}

const char *blo_context_error(const blo_context *context) {
    return context ? context->error : "no context";
}

blo_statistics *blo_context_counters(blo_context *context) {
    return &context->counters;
}

cl_int blo_fault(blo_context *context) {
    if (context->lost)
        return CL_DEVICE_NOT_AVAILABLE;
    if (context->faults > 0 && --context->faults == 0)
        return CL_OUT_OF_RESOURCES;
    return CL_SUCCESS;
}

static const char *name_of(cl_int code) {
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
        {CL_DEVICE_NOT_FOUND, "device not found"},
        {CL_DEVICE_NOT_AVAILABLE, "device not available"},
        {CL_COMPILER_NOT_AVAILABLE, "compiler not available"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, "memory object allocation failure"},
        {CL_OUT_OF_RESOURCES, "out of resources"},
        {CL_OUT_OF_HOST_MEMORY, "out of host memory"},
        {CL_PROFILING_INFO_NOT_AVAILABLE, "profiling info not available"},
        {CL_BUILD_PROGRAM_FAILURE, "build program failure"},
        {CL_INVALID_VALUE, "invalid value"},
        {CL_INVALID_DEVICE, "invalid device"},
        {CL_INVALID_CONTEXT, "invalid context"},
        {CL_INVALID_COMMAND_QUEUE, "invalid command queue"},
        {CL_INVALID_MEM_OBJECT, "invalid memory object"},
        {CL_INVALID_BINARY, "invalid binary"},
        {CL_INVALID_PROGRAM_EXECUTABLE, "invalid program executable"},
        {CL_INVALID_KERNEL_NAME, "invalid kernel name"},
        {CL_INVALID_KERNEL_ARGS, "invalid kernel arguments"},
        {CL_INVALID_WORK_GROUP_SIZE, "invalid work-group size"},
        {CL_INVALID_BUFFER_SIZE, "invalid buffer size"},
        {CL_INVALID_ARG_INDEX, "invalid argument index"},
        {CL_INVALID_ARG_VALUE, "invalid argument value"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == code)
            return names[i].name;
    return "OpenCL error";
}

blo_status blo_check(blo_context *context, cl_int code, const char *call) {
    enum { FIRST_VENDOR_ERROR = -9999 }; /* from here down drivers report a device that is gone */
    if (code == CL_SUCCESS)
        return BLO_OK;
    if (code == CL_DEVICE_NOT_AVAILABLE || code <= FIRST_VENDOR_ERROR) {
        context->lost = true;
        return blo_fail(context, BLO_ERROR_DEVICE, "the device \"%s\" is lost (%s: %s); make a new context",
                        context->facts.name, call, name_of(code));
    }
    bool memory = code == CL_OUT_OF_HOST_MEMORY || code == CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return blo_fail(context, memory ? BLO_ERROR_MEMORY : BLO_ERROR_DEVICE, "%s failed on device \"%s\": %s (%d)", call,
                    context->facts.name, name_of(code), (int)code);
}
