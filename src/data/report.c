/* The sentence a reader or writer leaves when it fails. Must not know files or formats. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

blo_status blo_report_fail(const blo_report *report, blo_status status, const char *format, ...) {
    if (report->message == NULL || report->size == 0) {
        return status;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->message, report->size, format, arguments);
    va_end(arguments);
    return status;
}

const char *blo_report_name(const char *name, char shown[BLO_SHOWN_SIZE]) {
    snprintf(shown, BLO_SHOWN_SIZE, "%s", name);
    for (char *at = shown; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = '?';
        }
    }
    return shown;
}
