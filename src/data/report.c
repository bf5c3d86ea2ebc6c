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
