/* The sentence a reader or writer leaves when it fails. Must not know files or formats. */
#ifndef BLO_DATA_REPORT_H
#define BLO_DATA_REPORT_H

#include <clbilevel/types.h>

/* Where the sentence goes: the caller's buffer, or nowhere. */
typedef struct blo_report {
    char *message; /* may be NULL */
    size_t size;
} blo_report;

/* Writes the formatted sentence (cut to fit) and returns STATUS. */
#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 3, 4)))
#endif
blo_status
blo_report_fail(const blo_report *report, blo_status status, const char *format, ...);

/* A name that a file holds, made fit for a sentence: into SHOWN, which it returns, cut, with ? for control bytes. */
enum { BLO_SHOWN_SIZE = 100 };
const char *blo_report_name(const char *name, char shown[BLO_SHOWN_SIZE]);

#endif
