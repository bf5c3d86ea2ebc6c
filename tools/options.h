/* Options of the subcommands as tables: parsing, ranges, help and the resolved configuration all come from one place.
 */
#ifndef CLBILEVEL_TOOLS_OPTIONS_H
#define CLBILEVEL_TOOLS_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the process ends. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef enum option_kind {
    OPTION_INTEGER, /* int64_t */
    OPTION_REAL,    /* double, finite */
    OPTION_BYTES,   /* int64_t, with suffixes K, M, G of 1024 */
    OPTION_TEXT,    /* const char * or NULL */
    OPTION_CHOICE,  /* const char *, one of CHOICES */
    OPTION_ON,      /* bool; the option sets it */
    OPTION_OFF      /* bool; the option --no-NAME clears it, its configuration key is NAME */
} option_kind;

typedef struct option_spec {
    const char *name; /* without dashes in front; of OPTION_OFF without "no-" */
    option_kind kind;
    size_t offset;       /* of the value in the command's settings */
    double lo, hi;       /* of numbers, both allowed */
    const char *choices; /* "linear|mlp" */
    const char *help;    /* one line, with the unit */
} option_spec;

typedef struct command_spec {
    const char *name, *summary;
    const option_spec *options; /* ends with a NULL name */
    const option_spec *shared;  /* the same of other commands too, after OPTIONS; NULL: none */
    size_t shared_offset;       /* of the part of the settings that their offsets are in */
    size_t settings_size;
    const void *defaults;
    /* Applies the preset NAME to SETTINGS, false if there is none of that name; NULL: the command has no presets. */
    bool (*preset)(const char *name, void *settings);
} command_spec;

/* Fills SETTINGS from the defaults, a --preset, a --config file and the command line, in that order. Returns EXIT_DONE
 * to go on, or the status to exit with; *HELP is set when only the help was asked for (it has been printed). Texts
 * point into ARGV or into *CONFIG, which the caller gives back with json_decref() at the end. */
int options_parse(const command_spec *command, int argc, char **argv, void *settings, json_t **config, bool *help);

/* The settings as a JSON object, names with underscores. */
json_t *options_resolved(const command_spec *command, const void *settings);

/* One sentence on stderr: "clbilevel: …". Returns STATUS. */
int complain(int status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

#endif
