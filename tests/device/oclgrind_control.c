/* Makes the mistake that its argument names, in a kernel: "race" or "beyond" a buffer. The run on Oclgrind is worth
 * nothing unless it finds it. */
#include <stdio.h>
#include <string.h>

#include "device/device.h"

static const blo_kernel_source race = {
    "race", "__kernel void race(__global int *x) { x[get_global_id(0) / 2] += (int)get_global_id(0); }\n"};
static const blo_kernel_source beyond = {"beyond",
                                         "__kernel void beyond(__global int *x) { x[get_global_id(0) + 1] = 1; }\n"};

int main(int argc, char **argv) {
    enum { ITEMS = 4 };
    const size_t global = ITEMS, local = 1;
    int32_t x[ITEMS] = {0};
    char message[512] = "";
    blo_context *context = NULL;
    blo_buffer *buffer = NULL;
    blo_kernel *kernel = NULL;
    bool done =
        blo_context_create(NULL, &context, message, sizeof message) == BLO_OK &&
        blo_buffer_create(context, sizeof x, &buffer) == BLO_OK &&
        blo_buffer_write(context, buffer, 0, sizeof x, x) == BLO_OK &&
        blo_kernels_get(context, 1, argc > 1 && !strcmp(argv[1], "race") ? &race : &beyond, &kernel) == BLO_OK &&
        blo_kernel_set_buffer(kernel, 0, buffer) == BLO_OK && blo_kernel_launch(kernel, 1, &global, &local) == BLO_OK &&
        blo_buffer_read(context, buffer, 0, sizeof x, x) == BLO_OK;
    if (!done)
        fprintf(stderr, "%s\n", context ? blo_context_error(context) : message);
    blo_kernel_release(kernel);
    blo_buffer_release(buffer);
    blo_context_destroy(context);
    return 0; /* even so: only a finding may fail it */
}
