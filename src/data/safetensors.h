/* The safetensors format, to and from memory. Must not know devices or models. */
#ifndef BLO_DATA_SAFETENSORS_H
#define BLO_DATA_SAFETENSORS_H

#include <clbilevel/safetensors.h>

#include "report.h"

enum { BLO_MOST_TENSORS = 1 << 16 };

typedef struct blo_named_array {
    char *name;
    blo_array array;
    uint64_t begin, end; /* where its bytes are, as the header of a file that is being read says */
} blo_named_array;

typedef struct blo_pair {
    char *key, *value;
} blo_pair;

struct blo_safetensors {
    blo_named_array *arrays;
    int count;
    blo_pair *metadata;
    int pairs;
};

/* The two below add to what is owned, copying their strings. False: no memory. */
bool blo_safetensors_push(blo_safetensors *file, const char *name, const blo_array *array, uint64_t begin,
                          uint64_t end);
bool blo_safetensors_push_metadata(blo_safetensors *file, const char *key, const char *value);

/* The set in the content BYTES[COUNT] of the file NAME. */
blo_status blo_safetensors_parse(const char *name, const uint8_t *bytes, size_t count, blo_safetensors **file,
                                 const blo_report *report);

/* What the header TEXT[COUNT] (JSON) of the file NAME lists, into the empty FILE: types, shapes, places of each array,
 * without their data. Checked: names, types, ranks, and that END - BEGIN follows from type and shape; not how the
 * places lie to each other. Errors: FILE, MEMORY, UNSUPPORTED (built without jansson). */
blo_status blo_safetensors_parse_header(const char *name, const char *text, size_t count, blo_safetensors *file,
                                        const blo_report *report);

/* The header of FILE with its arrays in the order ORDER[count], malloc'ed, without padding. Errors: ARGUMENT (a string
 * that is not UTF-8), MEMORY, UNSUPPORTED. */
blo_status blo_safetensors_make_header(const blo_safetensors *file, const int *order, char **text, size_t *count,
                                       const blo_report *report);

/* Is TEXT UTF-8 (in a build without jansson: always). */
bool blo_safetensors_is_text(const char *text);

/* BLO_OK, or UNSUPPORTED with the sentence in a build without jansson. */
blo_status blo_safetensors_supported(const blo_report *report);

#endif
