/* What the device can do at most, as the library measures it: one JSON object for each line on standard input, with the
 * seconds that 10^9 floating-point operations and the reading of 10^9 bytes take. The yardstick of every other rate.
 * A context measures once, so each line has its own. usage: bench_peak */
#include <stdio.h>

#include "bench.h"

int main(void) {
    char message[512], line[64];
    while (fgets(line, sizeof line, stdin)) {
        blo_context *context = NULL;
        double flops = 0, bytes = 0;
        bench_require(NULL, !blo_context_create(NULL, &context, message, sizeof message), message);
        bench_require(context, !blo_context_measure_peak(context, BLO_FLOAT, &flops, &bytes), "");
        printf("{\"times\": {\"fma\": %.9g, \"read\": %.9g}, \"flops\": 1e9, \"bytes\": 1e9}\n", 1e9 / flops,
               1e9 / bytes);
        fflush(stdout);
        blo_context_destroy(context);
    }
    return 0;
}
