/* Contexts: opening a device and closing it, waiting, and the counters. */
#include "opencl.h"

#include "base/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void blo_context_options_default(blo_context_options *options) {
    if (options)
        *options = (blo_context_options){.gemm = BLO_GEMM_AUTO, .replay = BLO_REPLAY_AUTO};
}

static char *copy_text(const char *text) {
    char *copy = malloc(strlen(text) + 1);
    return copy ? strcpy(copy, text) : NULL;
}

static blo_status open_device(blo_context *context, const blo_context_options *options) {
    if (options->gemm < BLO_GEMM_AUTO || options->gemm > BLO_GEMM_OWN)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "gemm is %d: want BLO_GEMM_AUTO, BLO_GEMM_CLBLAST or BLO_GEMM_OWN",
                        (int)options->gemm);
    blo_status status = blo_choose_device(context, options->device);
    if (status == BLO_OK)
        status = blo_read_facts(context, options->gemm);
    if (status == BLO_OK)
        status = blo_recordings_open(context, options->replay, options->profile);
    if (status != BLO_OK)
        return status;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS) {
        const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)context->platform, 0};
        context->context = clCreateContext(properties, 1, &context->device, NULL, NULL, &code);
    }
    status = blo_check(context, code, "clCreateContext");
    if (status != BLO_OK)
        return status;
    code = blo_fault(context);
    if (code == CL_SUCCESS)
        context->queue = clCreateCommandQueue(context->context, context->device,
                                              options->profile ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    status = blo_check(context, code, "clCreateCommandQueue");
    return status == BLO_OK && options->profile ? blo_profile_open(context) : status;
}

static blo_status take_options(blo_context *context, const blo_context_options *options) {
    context->seed = options->seed;
    context->budget = options->memory_budget ? options->memory_budget : context->facts.global_bytes / 5 * 4;
    context->limit = context->budget;
    context->cache_folder = blo_cache_folder(options->cache_folder);
    context->dump_folder = options->dump_folder ? copy_text(options->dump_folder) : NULL;
    if (options->dump_folder && !context->dump_folder)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a context");
    blo_tuning_read(context);
    blo_recordings_decide(context);
    return BLO_OK;
}

blo_status blo_context_create(const blo_context_options *options, blo_context **result, char *message,
                              size_t message_size) {
    blo_context_options defaults;
    blo_context_options_default(&defaults);
    if (!result)
        return BLO_ERROR_ARGUMENT;
    *result = NULL;
    blo_context *context = calloc(1, sizeof *context);
    if (!context) {
        if (message && message_size)
            snprintf(message, message_size, "no host memory for a context");
        return BLO_ERROR_MEMORY;
    }
    const char *faults = getenv("CLBILEVEL_FAULT");
    context->faults = faults ? strtol(faults, NULL, 10) : 0;
    context->exact = getenv("CLBILEVEL_EXACT") != NULL;
    blo_status status = open_device(context, options ? options : &defaults);
    if (status == BLO_OK)
        status = take_options(context, options ? options : &defaults);
    if (status == BLO_OK) {
        *result = context;
        return BLO_OK;
    }
    if (message && message_size)
        snprintf(message, message_size, "%s", context->error);
    blo_context_destroy(context);
    return status;
}

void blo_context_destroy(blo_context *context) {
    if (!context)
        return;
    if (context->queue)
        clFinish(context->queue);
    blo_after_wait(context, false, 0);
    blo_staging_release(context);
    blo_flag_release(context);
    blo_profile_close(context);
    blo_pool_trim(context);
    for (int i = 0; i < context->n_programs; i++) {
        clReleaseProgram(context->programs[i].program);
        free(context->programs[i].name);
    }
    free(context->programs);
    blo_wanted_release(context);
    blo_clblast_release(context);
    if (context->queue)
        clReleaseCommandQueue(context->queue);
    if (context->context)
        clReleaseContext(context->context);
    free(context->cache_folder);
    free(context->dump_folder);
    free(context);
}

blo_status blo_context_finish(blo_context *context) {
    if (!context)
        return BLO_ERROR_ARGUMENT;
    blo_flag_words flag = {0};
    blo_status status = blo_queue_flag_read(context, &flag);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clFinish(context->queue);
    else
        clFinish(context->queue); /* a queued read may still write to FLAG, queued writes read what is staged */
    context->counters.waits++;
    blo_status finished = blo_check(context, code, "clFinish");
    blo_status flagged = blo_after_wait(context, status == BLO_OK && finished == BLO_OK, &flag);
    return status != BLO_OK ? status : finished != BLO_OK ? finished : flagged;
}

double blo_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void blo_context_statistics(const blo_context *context, blo_statistics *statistics) {
    if (context && statistics)
        *statistics = context->counters;
}

const char *blo_context_device_name(const blo_context *context) {
    return context ? context->facts.name : "";
}

bool blo_context_has_double(const blo_context *context) {
    return context && context->facts.has_double;
}

uint64_t blo_context_memory_budget(const blo_context *context) {
    return context ? context->budget : 0;
}

const blo_device_facts *blo_context_facts(const blo_context *context) {
    return &context->facts;
}

uint64_t blo_context_next_serial(blo_context *context) {
    return ++context->next_serial;
}

uint64_t blo_context_next_stream(blo_context *context) {
    return context->next_stream++;
}

uint64_t blo_context_seed(const blo_context *context) {
    return context->seed;
}
