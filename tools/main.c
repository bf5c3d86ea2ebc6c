/* clbilevel: the command-line tool. A thin program over the public header. */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "session.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"devices", "lists the OpenCL devices", command_devices},
    {"numerical", "the paper's numerical example", command_numerical},
    {"hyper-cleaning", "learns which training labels are wrong", command_hyper_cleaning},
    {"few-shot", "learns features for telling new classes apart", command_few_shot},
    {"tune", "measures the device's matrix products and keeps the fastest form", command_tune},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(void) {
    printf("usage: clbilevel COMMAND [options]\n\nGradient-based bilevel optimisation on any OpenCL device "
           "(IAPTT-GM).\n\nCommands:\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-16s %s\n", commands[i].name, commands[i].summary);
    printf("\nclbilevel COMMAND --help lists the command's options. --version prints the version.\n"
           "Exit status: 0 done, 1 failed while running, 2 wrong use.\n");
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name)
        return complain(
            EXIT_USAGE,
            "a command is wanted: devices, numerical, hyper-cleaning, few-shot or tune; see clbilevel --help");
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_usage();
        return EXIT_DONE;
    }
    if (!strcmp(name, "--version")) {
        printf("clbilevel %s\n", blo_version());
        return EXIT_DONE;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    return complain(EXIT_USAGE, "\"%s\" is no command; want devices, numerical, hyper-cleaning, few-shot or tune",
                    name);
}
