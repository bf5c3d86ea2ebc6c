/* clbilevel devices: every OpenCL device with the facts that matter here. */
#include <stdio.h>

#include "options.h"
#include "session.h"

static const option_spec options[] = {{0}};
static const command_spec command = {.name = "devices",
                                     .summary = "Lists the OpenCL devices, by the index that --device takes.",
                                     .options = options,
                                     .settings_size = 0,
                                     .defaults = ""};

static void print_fact(int device, const char *key, const char *label, const char *unit, double divisor) {
    char text[256];
    double number;
    if (blo_device_describe(device, key, text, sizeof text) != BLO_OK)
        snprintf(text, sizeof text, "unknown");
    if (divisor > 0 && sscanf(text, "%lf", &number) == 1)
        printf("   %-12s %.1f%s\n", label, number / divisor, unit);
    else
        printf("   %-12s %s%s\n", label, text, unit);
}

int command_devices(int argc, char **argv) {
    const double gibibyte = 1024.0 * 1024 * 1024;
    json_t *config;
    bool help;
    char settings[1] = "", name[256];
    int status = options_parse(&command, argc, argv, settings, &config, &help), n = blo_device_count();
    json_decref(config);
    if (status != EXIT_DONE || help)
        return status;
    if (n == 0)
        return complain(EXIT_FAILED, "there is no OpenCL device; install an OpenCL driver, for a CPU for instance PoCL "
                                     "(Debian: pocl-opencl-icd)");
    for (int i = 0; i < n; i++) {
        if (blo_device_describe(i, "name", name, sizeof name) != BLO_OK)
            snprintf(name, sizeof name, "unknown");
        printf("%d: %s\n", i, name);
        print_fact(i, "type", "type", "", 0);
        print_fact(i, "platform", "platform", "", 0);
        print_fact(i, "version", "version", "", 0);
        print_fact(i, "driver", "driver", "", 0);
        print_fact(i, "units", "units", "", 0);
        print_fact(i, "float-vector", "vector", " floats", 0);
        print_fact(i, "memory", "memory", " GiB", gibibyte);
        print_fact(i, "max-allocation", "one buffer", " GiB", gibibyte);
        print_fact(i, "double", "double", "", 0);
    }
    return EXIT_DONE;
}
