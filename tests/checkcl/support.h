/* What the kernel checks share: arrays with guard values around them, kernels built from sources, arguments. */
#ifndef CHECKCL_SUPPORT_H
#define CHECKCL_SUPPORT_H

#include <inttypes.h>

#include "device/device.h"

enum { GUARD = 64 };

extern blo_context *context;
extern bool timing; /* no test is running: mistakes end the program */
extern uint64_t random_state;

void must(bool done);
#define MUST(call) must((call) == BLO_OK)

uint32_t draw(uint32_t bound);

/* float, double or u8 (0 … 255); values outside [OFFSET, OFFSET + COUNT) are guards. Timed arrays are aligned. */
typedef struct array {
    blo_dtype dtype;
    uint64_t offset, count; /* elements; GUARD more on each side */
    double *host;
    blo_buffer *buffer;
} array;

array make(blo_dtype dtype, uint64_t count, bool random);
void upload(array *a);
/* Into host; fails if a guard was written over. */
void download(array *a, const char *kernel);
void drop(array *a);

blo_kernel *build(const char *name, char *text); /* takes TEXT */
/* Both return the next position. */
int bind_array(blo_kernel *kernel, int position, const array *a);
int bind_values(blo_kernel *kernel, int position, int n, const uint64_t *values);

void run_benches(bool json, const char *name);

#endif
