/* The program library: kernels built once per context, all new ones of a request as one program, and kept on disk where
 * the implementation has no cache of its own. And kernel objects: arguments and launches. */
#include "blo_config.h"
#include "opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A program's first lines. BLO_SUM_IN_ORDER stands before the "for" of a sum by additions, whose order is part of the
 * result. Compilers may not take it apart into partial sums, but Intel's for CPUs does, in the work-items that are left
 * over when it has filled its vectors, unless it is told both. An operator, as it may stand inside a macro. */
static const char preamble[] = "#pragma OPENCL FP_CONTRACT OFF\n"
                               "#if defined(cl_khr_fp64)\n"
                               "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
                               "#endif\n"
                               "#if defined(__INTEL_LLVM_COMPILER)\n"
                               "#define BLO_SUM_IN_ORDER _Pragma(\"clang loop vectorize(disable) unroll(disable)\")\n"
                               "#else\n"
                               "#define BLO_SUM_IN_ORDER\n"
                               "#endif\n";

static const blo_program_entry *find_entry(const blo_context *context, const char *name) {
    for (int i = 0; i < context->n_programs; i++)
        if (!strcmp(context->programs[i].name, name))
            return &context->programs[i];
    return NULL;
}

/* --- building --- */

static blo_status build_failed(blo_context *context, cl_program program) {
    size_t size = 0; /* asked for first: into too small a room nothing at all is written */
    clGetProgramBuildInfo(program, context->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(1, size + 1);
    if (log)
        clGetProgramBuildInfo(program, context->device, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    blo_status status = blo_fail(context, BLO_ERROR_BUILD, "a program did not build on device \"%s\": %s",
                                 context->facts.name, log ? log : "no host memory for the log");
    free(log);
    return status;
}

static blo_status build(blo_context *context, cl_program program) {
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clBuildProgram(program, 1, &context->device, context->build_options, NULL, NULL);
    return code == CL_BUILD_PROGRAM_FAILURE ? build_failed(context, program)
                                            : blo_check(context, code, "clBuildProgram");
}

static blo_status build_source(blo_context *context, int n, const char **texts, cl_program *program) {
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        *program = clCreateProgramWithSource(context->context, (cl_uint)n, texts, NULL, &code);
    blo_status status = blo_check(context, code, "clCreateProgramWithSource");
    if (status == BLO_OK)
        status = build(context, *program);
    if (status != BLO_OK && *program) {
        clReleaseProgram(*program);
        *program = NULL;
    }
    return status;
}

/* PoCL and NVIDIA keep programs themselves. */
static bool has_own_cache(const blo_context *context) {
    char name[128] = "";
    clGetPlatformInfo(context->platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
    return strstr(name, "Portable Computing Language") || strstr(name, "NVIDIA");
}

/* What a binary depends on: device, its vectors (processors of one name differ in them, and a binary for the wider ones
 * would not run), driver, library version, options and the whole source. malloc'ed; NULL: not to be cached. */
static char *cache_key(const blo_context *context, int n, const char **texts) {
    char driver[128] = "";
    if (clGetDeviceInfo(context->device, CL_DRIVER_VERSION, sizeof driver, driver, NULL) != CL_SUCCESS)
        return NULL;    /* without it, a binary of another driver could not be told apart */
    size_t length = 32; /* of the numbers and line ends */
    for (int i = 0; i < n; i++)
        length += strlen(texts[i]);
    length += strlen(context->facts.name) + strlen(driver) + strlen(BLO_VERSION) + strlen(context->build_options);
    char *key = malloc(length);
    if (!key)
        return NULL;
    int used = snprintf(key, length, "%s\n%d\n%s\n%s\n%s\n", context->facts.name, context->facts.float_vector_width,
                        driver, BLO_VERSION, context->build_options);
    char *end = key + used;
    for (int i = 0; i < n; i++) {
        size_t part = strlen(texts[i]);
        memcpy(end, texts[i], part + 1);
        end += part;
    }
    return key;
}

static bool load_cached(blo_context *context, const char *key, cl_program *program) {
    unsigned char *binary;
    size_t size;
    if (!blo_cache_read(context->cache_folder, key, &binary, &size))
        return false;
    const unsigned char *binaries[] = {binary};
    cl_int code = CL_SUCCESS, loaded = CL_SUCCESS;
    *program = clCreateProgramWithBinary(context->context, 1, &context->device, &size, binaries, &loaded, &code);
    free(binary);
    if (code == CL_SUCCESS && loaded == CL_SUCCESS &&
        clBuildProgram(*program, 1, &context->device, context->build_options, NULL, NULL) == CL_SUCCESS)
        return true;
    if (*program)
        clReleaseProgram(*program);
    *program = NULL;
    return false;
}

static void save_cached(blo_context *context, const char *key, cl_program program) {
    size_t size = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS || size == 0)
        return;
    unsigned char *binary = malloc(size);
    unsigned char *binaries[] = {binary};
    if (binary && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binaries, binaries, NULL) == CL_SUCCESS)
        blo_cache_write(context->cache_folder, key, binary, size);
    free(binary);
}

static blo_status make_program(blo_context *context, int n, const char **texts, cl_program *program) {
    char *key = context->cache_folder && !has_own_cache(context) ? cache_key(context, n, texts) : NULL;
    blo_status status = BLO_OK;
    if (!key || !load_cached(context, key, program)) {
        status = build_source(context, n, texts, program);
        if (status == BLO_OK && key)
            save_cached(context, key, *program);
    }
    free(key);
    return status;
}

/* --- the library --- */

static void dump(const blo_context *context, const blo_wanted *source) {
    char path[1024];
    if (!context->dump_folder ||
        snprintf(path, sizeof path, "%s/%s.cl", context->dump_folder, source->name) >= (int)sizeof path)
        return;
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    fputs(source->text, file);
    fclose(file);
}

static blo_status remember(blo_context *context, const char *name, cl_program program) {
    if (context->n_programs == context->programs_capacity) {
        int capacity = context->programs_capacity ? 2 * context->programs_capacity : 32;
        blo_program_entry *programs = realloc(context->programs, (size_t)capacity * sizeof *programs);
        if (!programs)
            return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel");
        context->programs = programs;
        context->programs_capacity = capacity;
    }
    char *copy = malloc(strlen(name) + 1);
    if (!copy)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel");
    clRetainProgram(program);
    context->programs[context->n_programs++] = (blo_program_entry){strcpy(copy, name), program};
    context->counters.kernels_built++;
    return BLO_OK;
}

/* --- what will be asked for --- */

static bool is_wanted(const blo_context *context, const char *name) {
    for (const blo_wanted *wanted = context->wanted; wanted; wanted = wanted->next)
        if (!strcmp(wanted->name, name))
            return true;
    return false;
}

static void free_wanted(blo_wanted *wanted) {
    free(wanted->name);
    free(wanted->text);
    free(wanted);
}

void blo_wanted_release(blo_context *context) {
    while (context->wanted) {
        blo_wanted *next = context->wanted->next;
        free_wanted(context->wanted);
        context->wanted = next;
    }
}

/* In the order of names, not of asking: what is kept on disk is found again whoever asked first. */
static blo_status want(blo_context *context, const blo_kernel_source *source) {
    blo_wanted **place = &context->wanted, *made = calloc(1, sizeof *made);
    if (made) {
        made->name = malloc(strlen(source->name) + 1);
        made->text = malloc(strlen(source->text) + 1);
    }
    if (!made || !made->name || !made->text) {
        if (made)
            free_wanted(made);
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel's source");
    }
    strcpy(made->name, source->name);
    strcpy(made->text, source->text);
    while (*place && strcmp((*place)->name, made->name) < 0)
        place = &(*place)->next;
    made->next = *place;
    *place = made;
    return BLO_OK;
}

blo_status blo_kernels_want(blo_context *context, int n, const blo_kernel_source *sources) {
    blo_status status = BLO_OK;
    for (int i = 0; i < n && status == BLO_OK; i++)
        if (!find_entry(context, sources[i].name) && !is_wanted(context, sources[i].name))
            status = want(context, &sources[i]);
    return status;
}

/* Builds all that is wanted as one program. */
static blo_status build_wanted(blo_context *context) {
    int n = 0;
    for (const blo_wanted *wanted = context->wanted; wanted; wanted = wanted->next)
        n++;
    const char **texts = malloc(((size_t)n + 1) * sizeof *texts);
    if (!texts)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory to build %d kernels", n);
    texts[0] = preamble;
    n = 1;
    for (const blo_wanted *wanted = context->wanted; wanted; wanted = wanted->next) {
        dump(context, wanted);
        texts[n++] = wanted->text;
    }
    cl_program program = NULL;
    blo_status status = make_program(context, n, texts, &program);
    for (const blo_wanted *wanted = context->wanted; wanted && status == BLO_OK; wanted = wanted->next)
        status = remember(context, wanted->name, program);
    if (program)
        clReleaseProgram(program);
    free(texts);
    return status;
}

/* Builds what is not there yet. What others want is built with it, unless it is that which does not build; it is
 * forgotten then, and told when it is asked for. */
static blo_status build_missing(blo_context *context, int n, const blo_kernel_source *sources) {
    int missing = 0;
    for (int i = 0; i < n; i++)
        missing += !find_entry(context, sources[i].name);
    if (missing == 0)
        return BLO_OK;
    bool others = context->wanted != NULL;
    blo_status status = blo_kernels_want(context, n, sources);
    if (status == BLO_OK)
        status = build_wanted(context);
    if (status == BLO_ERROR_BUILD && others) {
        blo_wanted_release(context);
        status = blo_kernels_want(context, n, sources);
        if (status == BLO_OK)
            status = build_wanted(context);
    }
    if (status == BLO_OK || status == BLO_ERROR_BUILD)
        blo_wanted_release(context);
    return status;
}

/* Room to remember what is bound, where launches can be recorded: made now, since later nothing is to be allocated. */
static blo_status make_arguments(blo_kernel *kernel) {
    cl_uint n = 0;
    if (!kernel->context->can_record)
        return BLO_OK;
    blo_status status = blo_check(
        kernel->context, clGetKernelInfo(kernel->kernel, CL_KERNEL_NUM_ARGS, sizeof n, &n, NULL), "clGetKernelInfo");
    if (status != BLO_OK)
        return status;
    kernel->n_arguments = (int)n;
    kernel->arguments = calloc((size_t)n + 1, sizeof *kernel->arguments);
    return kernel->arguments ? BLO_OK : blo_fail(kernel->context, BLO_ERROR_MEMORY, "no host memory for a kernel");
}

static blo_status make_kernel(blo_context *context, const char *name, blo_kernel **result) {
    blo_kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel");
    kernel->context = context;
    cl_int code = blo_fault(context);
    const blo_program_entry *entry = find_entry(context, name);
    kernel->name = entry->name;
    if (code == CL_SUCCESS)
        kernel->kernel = clCreateKernel(entry->program, name, &code);
    blo_status status = blo_check(context, code, "clCreateKernel");
    if (status == BLO_OK)
        status = make_arguments(kernel);
    if (status == BLO_OK)
        *result = kernel;
    else
        blo_kernel_release(kernel);
    return status;
}

blo_status blo_kernels_get(blo_context *context, int n, const blo_kernel_source *sources, blo_kernel **kernels) {
    const double start = blo_seconds();
    for (int i = 0; i < n; i++)
        kernels[i] = NULL;
    blo_status status = build_missing(context, n, sources);
    for (int i = 0; i < n && status == BLO_OK; i++)
        status = make_kernel(context, sources[i].name, &kernels[i]);
    for (int i = 0; i < n && status != BLO_OK; i++) {
        blo_kernel_release(kernels[i]);
        kernels[i] = NULL;
    }
    context->counters.seconds_build += blo_seconds() - start;
    return status;
}

void blo_kernel_release(blo_kernel *kernel) {
    if (!kernel)
        return;
    if (kernel->kernel)
        clReleaseKernel(kernel->kernel);
    free(kernel->arguments);
    free(kernel);
}

void blo_kernel_set_row(blo_kernel *kernel, int number) {
    kernel->row = number;
}

/* A row for a kernel that nobody described, by the kernel's name. */
static int unnamed_row(const blo_kernel *kernel) {
    char name[128] = "";
    clGetKernelInfo(kernel->kernel, CL_KERNEL_FUNCTION_NAME, sizeof name - 1, name, NULL);
    return blo_profile_add(kernel->context, &(blo_work){.part = "other", .what = name});
}

/* --- arguments and launches --- */

static blo_status set_argument(blo_kernel *kernel, int index, size_t size, const void *value) {
    kernel->context->counters.bindings++;
    cl_int code = blo_fault(kernel->context);
    if (code == CL_SUCCESS)
        code = clSetKernelArg(kernel->kernel, (cl_uint)index, size, value);
    if (code == CL_SUCCESS && kernel->arguments) {
        kernel->arguments[index].size = size;
        memcpy(kernel->arguments[index].value, value, size);
    }
    return blo_check(kernel->context, code, "clSetKernelArg");
}

blo_status blo_kernel_copy(const blo_kernel *kernel, blo_kernel **result) {
    blo_kernel *copy = NULL;
    blo_status status = make_kernel(kernel->context, kernel->name, &copy);
    for (int i = 0; i < kernel->n_arguments && status == BLO_OK; i++)
        if (kernel->arguments[i].size > 0)
            status = set_argument(copy, i, kernel->arguments[i].size, kernel->arguments[i].value);
    if (status == BLO_OK)
        *result = copy;
    else
        blo_kernel_release(copy);
    return status;
}

blo_status blo_kernel_set_buffer(blo_kernel *kernel, int index, const blo_buffer *buffer) {
    return set_argument(kernel, index, sizeof buffer->memory, &buffer->memory);
}

blo_status blo_kernel_set_ulong(blo_kernel *kernel, int index, uint64_t value) {
    const cl_ulong number = value;
    return set_argument(kernel, index, sizeof number, &number);
}

blo_status blo_kernel_set_int(blo_kernel *kernel, int index, int32_t value) {
    const cl_int number = value;
    return set_argument(kernel, index, sizeof number, &number);
}

blo_status blo_kernel_launch(blo_kernel *kernel, int dimensions, const size_t *global, const size_t *local) {
    blo_status status = kernel->context->due ? blo_queue_zeros(kernel->context) : BLO_OK;
    return status == BLO_OK ? blo_kernel_launch_beside(kernel, dimensions, global, local) : status;
}

blo_status blo_kernel_launch_beside(blo_kernel *kernel, int dimensions, const size_t *global, const size_t *local) {
    for (int i = 0; i < dimensions; i++)
        if (global[i] == 0)
            return BLO_OK;
    blo_context *context = kernel->context;
    if (context->recording)
        return blo_recording_launch(context->recording, kernel, dimensions, global, local);
    context->counters.launches++;
    cl_event event, *timed = blo_profile_event(context, &event);
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clEnqueueNDRangeKernel(context->queue, kernel->kernel, (cl_uint)dimensions, NULL, global, local, 0, NULL,
                                      timed);
    if (timed && !kernel->row)
        kernel->row = unnamed_row(kernel);
    blo_profile_note(context, kernel->row, NULL, event);
    blo_status status = blo_check(context, code, "clEnqueueNDRangeKernel");
    return status == BLO_OK ? blo_queue_start(context) : status;
}
