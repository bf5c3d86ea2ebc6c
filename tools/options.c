/* Table-driven options; see options.h. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 64, NAME_LENGTH = 64 };

int complain(int status, const char *format, ...) {
    va_list arguments;
    fputs("clbilevel: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return status;
}

/* Option I of the command: its own, then those it shares. False: there is no such. */
static bool spec_at(const command_spec *command, int i, option_spec *spec) {
    int own = 0;
    while (own < i && command->options[own].name)
        own++;
    *spec = command->options[own];
    if (spec->name || !command->shared)
        return spec->name != NULL;
    for (int j = 0; j <= i - own; j++) {
        *spec = command->shared[j];
        if (!spec->name)
            return false;
    }
    spec->offset += command->shared_offset;
    return true;
}

/* --- values --- */

static bool in_range(const option_spec *spec, double value) {
    return value >= spec->lo && value <= spec->hi;
}

static int wrong_number(const option_spec *spec, const char *text, const char *what) {
    if (isinf(spec->hi))
        return complain(EXIT_USAGE, "--%s %s: want %s of at least %.10g", spec->name, text, what, spec->lo);
    return complain(EXIT_USAGE, "--%s %s: want %s from %.10g to %.10g", spec->name, text, what, spec->lo, spec->hi);
}

static int set_integer(const option_spec *spec, const char *text, int64_t *value) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    double scale = 1;
    if (spec->kind == OPTION_BYTES && end != text && *end) {
        scale = *end == 'K' ? 1024.0 : *end == 'M' ? 1024.0 * 1024 : *end == 'G' ? 1024.0 * 1024 * 1024 : 0;
        end++;
    }
    double scaled = (double)number * scale;
    if (end == text || *end || errno || scale == 0 || fabs(scaled) > 9e18 || !in_range(spec, scaled))
        return wrong_number(spec, text, spec->kind == OPTION_BYTES ? "bytes (suffixes K, M, G)" : "a whole number");
    *value = scale == 1 ? number : (int64_t)scaled;
    return EXIT_DONE;
}

static int set_real(const option_spec *spec, const char *text, double *value) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !isfinite(number) || !in_range(spec, number))
        return wrong_number(spec, text, "a number");
    *value = number;
    return EXIT_DONE;
}

static int set_choice(const option_spec *spec, const char *text, const char **value) {
    size_t length = strlen(text);
    for (const char *choice = spec->choices; choice; choice = strchr(choice, '|') ? strchr(choice, '|') + 1 : NULL)
        if (length && !strncmp(choice, text, length) && (choice[length] == '|' || !choice[length])) {
            *value = text;
            return EXIT_DONE;
        }
    return complain(EXIT_USAGE, "--%s %s: want one of %s", spec->name, text, spec->choices);
}

static int set_value(const option_spec *spec, const char *text, void *settings) {
    void *target = (char *)settings + spec->offset;
    switch (spec->kind) {
    case OPTION_INTEGER:
    case OPTION_BYTES: return set_integer(spec, text, target);
    case OPTION_REAL: return set_real(spec, text, target);
    case OPTION_CHOICE: return set_choice(spec, text, target);
    case OPTION_TEXT:
        if (!*text)
            return complain(EXIT_USAGE, "--%s: want a text that is not empty", spec->name);
        *(const char **)target = text;
        return EXIT_DONE;
    case OPTION_ON: *(bool *)target = true; return EXIT_DONE;
    case OPTION_OFF: *(bool *)target = false; return EXIT_DONE;
    }
    return EXIT_USAGE;
}

/* --- the configuration file --- */

static void key_of(const option_spec *spec, char key[NAME_LENGTH]) {
    snprintf(key, NAME_LENGTH, "%s", spec->name);
    for (char *c = key; *c; c++)
        *c = *c == '-' ? '_' : *c;
}

static bool find_key(const command_spec *command, const char *wanted, option_spec *spec) {
    char key[NAME_LENGTH];
    for (int i = 0; spec_at(command, i, spec); i++) {
        key_of(spec, key);
        if (!strcmp(key, wanted) || !strcmp(spec->name, wanted))
            return true;
    }
    return false;
}

static int set_from_json(const option_spec *spec, const char *path, json_t *value, void *settings) {
    char text[64];
    bool is_flag = spec->kind == OPTION_ON || spec->kind == OPTION_OFF,
         is_text = spec->kind == OPTION_TEXT || spec->kind == OPTION_CHOICE;
    if (json_is_null(value) && spec->kind == OPTION_TEXT)
        return EXIT_DONE;
    if (is_flag && json_is_boolean(value)) {
        *(bool *)((char *)settings + spec->offset) = json_is_true(value);
        return EXIT_DONE;
    }
    if (is_text && json_is_string(value))
        return set_value(spec, json_string_value(value), settings);
    if (spec->kind == OPTION_BYTES && json_is_string(value))
        return set_value(spec, json_string_value(value), settings);
    if (!is_flag && !is_text && json_is_integer(value)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
        return set_value(spec, text, settings);
    }
    if (spec->kind == OPTION_REAL && json_is_real(value)) {
        snprintf(text, sizeof text, "%.17g", json_real_value(value));
        return set_value(spec, text, settings);
    }
    return complain(EXIT_USAGE, "%s: \"%s\" has a value of the wrong kind; want %s", path, spec->name,
                    is_flag   ? "true or false"
                    : is_text ? "a text"
                              : "a number");
}

static int read_config(const command_spec *command, const char *path, void *settings, json_t **config) {
    json_error_t error;
    const char *key;
    json_t *value;
    *config = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!*config)
        return complain(EXIT_USAGE, "--config %s: %s (line %d)", path, error.text, error.line);
    if (!json_is_object(*config))
        return complain(EXIT_USAGE, "--config %s: want a JSON object of options", path);
    json_object_foreach(*config, key, value) {
        option_spec spec;
        if (!find_key(command, key, &spec))
            return complain(EXIT_USAGE, "--config %s: \"%s\" is no option of clbilevel %s", path, key, command->name);
        int status = set_from_json(&spec, path, value, settings);
        if (status != EXIT_DONE)
            return status;
    }
    return EXIT_DONE;
}

/* --- help --- */

static void print_default(const option_spec *spec, const void *settings) {
    const void *value = (const char *)settings + spec->offset;
    switch (spec->kind) {
    case OPTION_INTEGER: printf(" [%lld]", (long long)*(const int64_t *)value); break;
    case OPTION_BYTES:
        if (*(const int64_t *)value)
            printf(" [%lld]", (long long)*(const int64_t *)value);
        break;
    case OPTION_REAL: printf(" [%g]", *(const double *)value); break;
    case OPTION_TEXT:
    case OPTION_CHOICE:
        if (*(const char *const *)value)
            printf(" [%s]", *(const char *const *)value);
        break;
    default: break;
    }
}

static void print_option(const command_spec *command, const option_spec *spec) {
    static const char *const kinds[] = {" N", " X", " BYTES", " TEXT", "", "", ""};
    char left[NAME_LENGTH * 2];
    snprintf(left, sizeof left, "--%s%s%s%s%s", spec->kind == OPTION_OFF ? "no-" : "", spec->name, kinds[spec->kind],
             spec->kind == OPTION_CHOICE ? " " : "", spec->kind == OPTION_CHOICE ? spec->choices : "");
    printf("  %-34s %s", left, spec->help);
    print_default(spec, command->defaults);
    putchar('\n');
}

static void print_help(const command_spec *command) {
    option_spec spec;
    printf("usage: clbilevel %s [options]\n\n%s\n\nOptions, with their defaults in brackets:\n", command->name,
           command->summary);
    for (int i = 0; spec_at(command, i, &spec); i++)
        print_option(command, &spec);
    if (command->preset)
        printf("  %-34s %s\n", "--preset paper", "the settings of the paper's code");
    printf("  %-34s %s\n  %-34s %s\n", "--config FILE",
           "options from a JSON object, by the same names; the command line wins", "--help", "this text");
}

/* --- the command line --- */

typedef struct parse {
    const command_spec *command;
    void *settings;
    const char *config, *preset;
    bool help;
} parse;

enum { CODE_HELP = 1000, CODE_CONFIG, CODE_PRESET };

static void fill_table(const command_spec *command, struct option *table, char names[][NAME_LENGTH]) {
    int n = 0;
    option_spec spec;
    for (; n < MAX_OPTIONS - 4 && spec_at(command, n, &spec); n++) {
        bool flag = spec.kind == OPTION_ON || spec.kind == OPTION_OFF;
        snprintf(names[n], NAME_LENGTH, "%s%s", spec.kind == OPTION_OFF ? "no-" : "", spec.name);
        table[n] = (struct option){names[n], flag ? no_argument : required_argument, NULL, n};
    }
    table[n++] = (struct option){"help", no_argument, NULL, CODE_HELP};
    table[n++] = (struct option){"config", required_argument, NULL, CODE_CONFIG};
    if (command->preset)
        table[n++] = (struct option){"preset", required_argument, NULL, CODE_PRESET};
    table[n] = (struct option){0};
}

/* One pass over the command line into P. */
static int scan(parse *p, int argc, char **argv) {
    struct option table[MAX_OPTIONS];
    char names[MAX_OPTIONS][NAME_LENGTH];
    option_spec spec;
    fill_table(p->command, table, names);
    optind = 1;
    opterr = 0;
    for (;;) {
        int before = optind, code = getopt_long(argc, argv, ":", table, NULL), status = EXIT_DONE;
        const char *given = before < argc ? argv[before] : "";
        if (code == -1)
            break;
        if (code == ':')
            return complain(EXIT_USAGE, "%s wants a value", given);
        if (code == '?')
            return complain(EXIT_USAGE, "%s is no option of clbilevel %s, or an ambiguous one; see clbilevel %s --help",
                            given, p->command->name, p->command->name);
        if (code == CODE_HELP)
            p->help = true;
        else if (code == CODE_CONFIG)
            p->config = optarg;
        else if (code == CODE_PRESET)
            p->preset = optarg;
        else if (spec_at(p->command, code, &spec))
            status = set_value(&spec, optarg ? optarg : "", p->settings);
        if (status != EXIT_DONE)
            return status;
    }
    return optind < argc ? complain(EXIT_USAGE, "stray argument \"%s\": clbilevel %s takes options only", argv[optind],
                                    p->command->name)
                         : EXIT_DONE;
}

int options_parse(const command_spec *command, int argc, char **argv, void *settings, json_t **config, bool *help) {
    parse p = {.command = command, .settings = settings};
    *config = NULL;
    memcpy(settings, command->defaults, command->settings_size);
    int status = scan(&p, argc, argv); /* for the preset and the file; and every mistake shows */
    *help = p.help;
    if (p.help)
        print_help(command);
    if (status != EXIT_DONE || p.help)
        return p.help ? EXIT_DONE : status;
    memcpy(settings, command->defaults, command->settings_size);
    if (p.preset && !command->preset(p.preset, settings))
        return complain(EXIT_USAGE, "--preset %s: want paper", p.preset);
    if (p.config)
        status = read_config(command, p.config, settings, config);
    return status == EXIT_DONE ? scan(&p, argc, argv) : status;
}

static json_t *json_of(const option_spec *spec, const void *settings) {
    const void *value = (const char *)settings + spec->offset;
    switch (spec->kind) {
    case OPTION_INTEGER:
    case OPTION_BYTES: return json_integer(*(const int64_t *)value);
    case OPTION_REAL: return json_real(*(const double *)value);
    case OPTION_TEXT:
    case OPTION_CHOICE: return *(const char *const *)value ? json_string(*(const char *const *)value) : json_null();
    case OPTION_ON:
    case OPTION_OFF: break;
    }
    return json_boolean(*(const bool *)value);
}

json_t *options_resolved(const command_spec *command, const void *settings) {
    json_t *object = json_object();
    char key[NAME_LENGTH];
    option_spec spec;
    for (int i = 0; spec_at(command, i, &spec); i++) {
        key_of(&spec, key);
        json_object_set_new(object, key, json_of(&spec, settings));
    }
    return object;
}
