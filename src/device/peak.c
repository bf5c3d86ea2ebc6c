/* The device's measured peak: multiply-adds per second in registers, and bytes read per second from memory. Measured
 * once for each type of a context, when asked for. */
#include "cl_sources.h"
#include "opencl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHAINS = 12, /* as cl/peak.cl has them */
    REPEATS = 8, /* the fastest counts */
    ITEMS_PER_UNIT_CPU = 8,
    ITEMS_PER_UNIT_GPU = 4096,
    GROUP_GPU = 128,
    READ_BYTES = 256 << 20 /* far more than caches hold */
};
static const double wanted_seconds = 0.01; /* of one launch of multiply-adds */

typedef struct peak_run {
    blo_context *context;
    blo_dtype dtype;
    int width; /* elements of a vector */
    size_t items, local;
    blo_kernel *fma, *read;
    blo_buffer *in, *out;
} peak_run;

blo_status blo_peak_kernels(blo_context *context, blo_dtype dtype, int width, blo_kernel *kernels[2]) {
    const char *type = blo_dtype_name(dtype);
    char vector[32], fma_name[64], read_name[64];
    snprintf(vector, sizeof vector, width > 1 ? "%s%d" : "%s", type, width);
    snprintf(fma_name, sizeof fma_name, "blo_peak_%s_fma", vector);
    snprintf(read_name, sizeof read_name, "blo_peak_%s_read", vector);
    size_t room = strlen(blo_cl_peak) + 512;
    char *text = malloc(room);
    if (!text)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel");
    snprintf(text, room,
             "#define T %s\n#define V %s\n#define W %d\n#define NAME_fma %s\n#define NAME_read %s\n%s\n"
             "#undef T\n#undef V\n#undef W\n#undef NAME_fma\n#undef NAME_read\n",
             type, vector, width, fma_name, read_name, blo_cl_peak);
    const blo_kernel_source sources[] = {{.name = fma_name, .text = text}, {.name = read_name, .text = "\n"}};
    blo_status status = blo_kernels_get(context, 2, sources, kernels);
    free(text);
    return status;
}

/* As much as READ_BYTES, or what the pool and the device have to spare: a multiple of what the items read. */
static size_t bytes_to_read(const peak_run *run) {
    uint64_t most = blo_pool_available(run->context, 0) / 2, turn = run->items * 4 * (uint64_t)run->width;
    if (most > run->context->facts.max_allocation)
        most = run->context->facts.max_allocation;
    if (most > READ_BYTES)
        most = READ_BYTES;
    turn *= blo_dtype_size(run->dtype);
    return (size_t)(most / turn > 0 ? most / turn * turn : turn);
}

static blo_status open_run(peak_run *run) {
    const blo_device_facts *facts = &run->context->facts;
    int native = facts->is_cpu ? facts->float_vector_width : 1;
    int width = run->dtype == BLO_DOUBLE ? native / 2 : native;
    run->width = width >= 16 ? 16 : width >= 8 ? 8 : width >= 4 ? 4 : width >= 2 ? 2 : 1;
    run->items = (size_t)facts->compute_units * (facts->is_cpu ? ITEMS_PER_UNIT_CPU : ITEMS_PER_UNIT_GPU);
    run->local = facts->is_cpu ? 1 : GROUP_GPU;
    blo_kernel *kernels[2];
    blo_status status = blo_peak_kernels(run->context, run->dtype, run->width, kernels);
    run->fma = kernels[0];
    run->read = kernels[1];
    if (status == BLO_OK)
        status = blo_buffer_create(run->context, bytes_to_read(run), &run->in);
    if (status == BLO_OK)
        status = blo_buffer_create(run->context, run->items * blo_dtype_size(run->dtype), &run->out);
    return status == BLO_OK ? blo_buffer_zero(run->context, run->in, 0, blo_buffer_bytes(run->in)) : status;
}

static void close_run(peak_run *run) {
    blo_kernel_release(run->fma);
    blo_kernel_release(run->read);
    blo_buffer_release(run->in);
    blo_buffer_release(run->out);
    blo_pool_trim(run->context);
}

/* Seconds of one launch of KERNEL, the least of REPEATS. */
static blo_status fastest(const peak_run *run, blo_kernel *kernel, int repeats, double *seconds) {
    blo_status status = blo_context_finish(run->context);
    for (int i = 0; i < repeats && status == BLO_OK; i++) {
        double start = blo_seconds();
        status = blo_kernel_launch(kernel, 1, &run->items, &run->local);
        if (status == BLO_OK)
            status = blo_context_finish(run->context);
        double took = blo_seconds() - start;
        *seconds = i == 0 || took < *seconds ? took : *seconds;
    }
    return status;
}

static blo_status bind(blo_kernel *kernel, const peak_run *run, const uint64_t *values, int n) {
    blo_status status = blo_kernel_set_buffer(kernel, 0, run->in);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(kernel, 1, run->out);
    for (int i = 0; i < n && status == BLO_OK; i++)
        status = blo_kernel_set_ulong(kernel, 2 + i, values[i]);
    return status;
}

/* Rounds are doubled until a launch takes long enough for its start not to matter. */
static blo_status measure_fma(const peak_run *run, double *per_second) {
    uint64_t rounds = 1 << 10;
    double seconds = 0;
    blo_status status = bind(run->fma, run, &rounds, 1);
    while (status == BLO_OK && seconds < wanted_seconds && rounds < (uint64_t)1 << 30) {
        rounds *= 2;
        status = blo_kernel_set_ulong(run->fma, 2, rounds);
        if (status == BLO_OK)
            status = fastest(run, run->fma, 1, &seconds);
    }
    if (status == BLO_OK)
        status = fastest(run, run->fma, REPEATS, &seconds);
    *per_second = 2.0 * CHAINS * run->width * (double)run->items * (double)rounds / seconds;
    return status;
}

/* An item of a CPU reads a stretch of its own; those of a GPU read side by side. */
static blo_status measure_read(const peak_run *run, double *per_second) {
    size_t bytes = blo_buffer_bytes(run->in);
    uint64_t count = bytes / blo_dtype_size(run->dtype) / (uint64_t)run->width / run->items;
    bool is_cpu = run->context->facts.is_cpu;
    const uint64_t values[] = {count, is_cpu ? count : 1, is_cpu ? 1 : run->items};
    double seconds = 0;
    blo_status status = bind(run->read, run, values, 3);
    if (status == BLO_OK)
        status = fastest(run, run->read, REPEATS, &seconds);
    *per_second = (double)bytes / seconds;
    return status;
}

blo_status blo_context_measure_peak(blo_context *context, blo_dtype dtype, double *flops_per_second,
                                    double *bytes_per_second) {
    if (!context)
        return BLO_ERROR_ARGUMENT;
    if (dtype != BLO_FLOAT && (dtype != BLO_DOUBLE || !context->facts.has_double))
        return blo_fail(context, BLO_ERROR_DTYPE, "the peak of device \"%s\" is measured in float%s, not in %s",
                        context->facts.name, context->facts.has_double ? " or double" : "", blo_dtype_name(dtype));
    blo_peak *peak = &context->peak[dtype == BLO_DOUBLE];
    peak_run run = {.context = context, .dtype = dtype};
    blo_status status = BLO_OK;
    if (peak->flops_per_second == 0) {
        blo_peak measured = {0};
        status = open_run(&run);
        if (status == BLO_OK)
            status = measure_fma(&run, &measured.flops_per_second);
        if (status == BLO_OK)
            status = measure_read(&run, &measured.bytes_per_second);
        close_run(&run);
        if (status == BLO_OK)
            *peak = measured;
    }
    if (status == BLO_OK && flops_per_second)
        *flops_per_second = peak->flops_per_second;
    if (status == BLO_OK && bytes_per_second)
        *bytes_per_second = peak->bytes_per_second;
    return status;
}
