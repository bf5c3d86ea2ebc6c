/* A stream of bytes from a file's content in memory, plain or gzip. Must not know what the bytes mean. */
#ifndef BLO_DATA_SOURCE_H
#define BLO_DATA_SOURCE_H

#include <clbilevel/types.h>

typedef struct blo_source blo_source;

/* BYTES[COUNT] stay the caller's and must outlive the source. Gzip is told by its first bytes. *SOURCE: the caller
 * closes. Errors: MEMORY; UNSUPPORTED (gzip, in a build without zlib). */
blo_status blo_source_open(const uint8_t *bytes, size_t count, blo_source **source);
void blo_source_close(blo_source *source);

/* Up to WANT bytes into OUT; returns how many there were. Fewer than WANT: the end, or damage. */
size_t blo_source_read(blo_source *source, void *out, size_t want);

/* What is wrong with the compressed data, or NULL. Known after a read came out short. */
const char *blo_source_damage(const blo_source *source);

/* The most bytes that may still come: exact when plain; when gzip, what the best compression could hold. */
uint64_t blo_source_limit(const blo_source *source);

#endif
