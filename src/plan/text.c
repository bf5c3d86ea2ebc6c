/* Growing text; see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

static bool reserve(blo_text *text, size_t more) {
    size_t need = text->length + more + 1;
    if (text->failed)
        return false;
    if (need <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : FIRST_CAPACITY;
    while (capacity < need)
        capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void blo_text_add(blo_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !reserve(text, (size_t)length)) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(text->data + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void blo_text_append(blo_text *text, const blo_text *more) {
    text->failed = text->failed || more->failed;
    if (!more->length || !reserve(text, more->length))
        return;
    memcpy(text->data + text->length, more->data, more->length + 1);
    text->length += more->length;
}

void blo_text_free(blo_text *text) {
    free(text->data);
    *text = (blo_text){0};
}

uint64_t blo_text_hash(const char *data) {
    uint64_t hash = 14695981039346656037u;
    for (; *data; data++)
        hash = (hash ^ (uint8_t)*data) * 1099511628211u;
    return hash;
}
