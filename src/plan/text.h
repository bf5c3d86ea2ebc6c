/* Text that grows: what the emitter writes kernels into. An allocation failure sticks and is asked for once, at the
 * end. */
#ifndef BLO_PLAN_TEXT_H
#define BLO_PLAN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct blo_text {
    char *data; /* zero-terminated once anything was added; NULL before */
    size_t length, capacity;
    bool failed;
} blo_text;

void blo_text_add(blo_text *text, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
void blo_text_append(blo_text *text, const blo_text *more);
void blo_text_free(blo_text *text);

/* FNV-1a, 64 bits, of a string. */
uint64_t blo_text_hash(const char *data);

#endif
