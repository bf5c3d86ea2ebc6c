/* What the device can do at most, measured: fused multiply-adds in registers, and reading of memory. One JSON object
 * for each line on standard input. The yardstick of every other rate; knows nothing of graphs or products. usage:
 * bench_peak */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "device/device.h"

enum { TURNS = 100000, ITEMS_PER_UNIT = 32, READ_MEGABYTES = 512 };

typedef struct source {
    char text[4096];
    size_t used;
} source;

static void put(source *s, const char *format, int a, int b) {
    int n = snprintf(s->text + s->used, sizeof s->text - s->used, format, a, b);
    bench_require(NULL, n >= 0 && (size_t)n < sizeof s->text - s->used, "the kernel's text is too long");
    s->used += (size_t)n;
}

/* As many independent sums as hide the latency of a fused multiply-add (4 cycles, two a cycle) and fit the registers.
 */
static int accumulators(int width) {
    return width >= 16 ? 24 : 12;
}

static void write_fma(source *s, int width) {
    int sums = accumulators(width);
    put(s,
        "__kernel void fma_peak(__global float *out, const ulong turns) {\n    float%d s = (float%d)(1.0f + "
        "1e-3f * (float)get_global_id(0)), t = s * 1e-3f;\n",
        width, width);
    for (int i = 0; i < sums; i++)
        put(s, "    float%d a%d = s;\n", width, i);
    put(s, "    for (ulong k = 0; k < turns; k++) {\n", 0, 0);
    for (int i = 0; i < sums; i++)
        put(s, "        a%d = fma(a%d, t, s);\n", i, i);
    put(s, "    }\n", 0, 0);
    for (int i = 1; i < sums; i++)
        put(s, "    a0 += a%d;\n", i, 0);
    put(s, "    vstore%d(a0, get_global_id(0), out);\n}\n", width, 0);
}

static void write_read(source *s, int width) {
    put(s,
        "__kernel void read_peak(__global const float%d *in, __global float *out, const ulong count) {\n"
        "    in += get_global_id(0) * count;\n    float%d a = 0, b = 0, c = 0, d = 0;\n",
        width, width);
    put(s,
        "    for (ulong k = 0; k < count; k += 4) {\n"
        "        a += in[k];\n        b += in[k + 1];\n        c += in[k + 2];\n        d += in[k + 3];\n    }\n",
        0, 0);
    put(s, "    vstore%d((a + b) + (c + d), get_global_id(0), out);\n}\n", width, 0);
}

/* Seconds of one launch over ITEMS work-items, one a group. */
static double seconds_of(blo_context *context, blo_kernel *kernel, size_t items) {
    const size_t local = 1;
    double start = bench_now();
    bench_require(context, !blo_kernel_launch(kernel, 1, &items, &local) && !blo_context_finish(context), "");
    return bench_now() - start;
}

typedef struct peak {
    blo_context *context;
    blo_kernel *kernels[2]; /* fma, read */
    blo_buffer *in, *out;
    size_t items;
    double flops, bytes; /* of one launch each */
} peak;

static void open_peak(peak *p) {
    char message[512];
    source fma = {.used = 0}, read = {.used = 0};
    bench_require(NULL, !blo_context_create(NULL, &p->context, message, sizeof message), message);
    const blo_device_facts *facts = blo_context_facts(p->context);
    int width = facts->float_vector_width;
    p->items = (size_t)facts->compute_units * ITEMS_PER_UNIT;
    size_t bytes = (size_t)READ_MEGABYTES << 20;
    uint64_t count = bytes / sizeof(float) / (uint64_t)width / p->items / 4 * 4; /* vectors of an item */
    write_fma(&fma, width);
    write_read(&read, width);
    const blo_kernel_source sources[2] = {{"fma_peak", fma.text}, {"read_peak", read.text}};
    bench_require(
        p->context,
        !blo_kernels_get(p->context, 2, sources, p->kernels) && !blo_buffer_create(p->context, bytes, &p->in) &&
            !blo_buffer_zero(p->context, p->in, 0, bytes) &&
            !blo_buffer_create(p->context, p->items * (size_t)width * sizeof(float), &p->out) &&
            !blo_kernel_set_buffer(p->kernels[0], 0, p->out) && !blo_kernel_set_ulong(p->kernels[0], 1, TURNS) &&
            !blo_kernel_set_buffer(p->kernels[1], 0, p->in) && !blo_kernel_set_buffer(p->kernels[1], 1, p->out) &&
            !blo_kernel_set_ulong(p->kernels[1], 2, count),
        "");
    p->flops = 2.0 * TURNS * accumulators(width) * width * (double)p->items;
    p->bytes = (double)count * (double)p->items * width * (double)sizeof(float);
}

int main(void) {
    peak p = {0};
    char line[64];
    open_peak(&p);
    while (fgets(line, sizeof line, stdin)) {
        double fma = seconds_of(p.context, p.kernels[0], p.items), read = seconds_of(p.context, p.kernels[1], p.items);
        printf("{\"times\": {\"fma\": %.9f, \"read\": %.9f}, \"flops\": %.17g, \"bytes\": %.17g}\n", fma, read, p.flops,
               p.bytes);
        fflush(stdout);
    }
    blo_kernel_release(p.kernels[0]);
    blo_kernel_release(p.kernels[1]);
    blo_buffer_release(p.in);
    blo_buffer_release(p.out);
    blo_context_destroy(p.context);
    return 0;
}
