/* A stream of bytes from a file's content in memory, plain or gzip (several members in a row are one stream, as gzip
 * has it). Must not know what the bytes mean. */
#include "source.h"

#include "blo_config.h"

#include <stdlib.h>
#include <string.h>
#ifdef BLO_HAVE_ZLIB
#include <limits.h>
#include <zlib.h>
#endif

enum { GZIP_ID_1 = 0x1f, GZIP_ID_2 = 0x8b };

struct blo_source {
    const uint8_t *next; /* not yet taken; of gzip: not yet handed to zlib */
    size_t left;
    bool gzip;
    bool ended; /* gzip: the last member is complete */
    const char *damage;
#ifdef BLO_HAVE_ZLIB
    z_stream stream;
#endif
};

static bool is_gzip(const uint8_t *bytes, size_t count) {
    return count >= 2 && bytes[0] == GZIP_ID_1 && bytes[1] == GZIP_ID_2;
}

static size_t plain_read(blo_source *source, void *out, size_t want) {
    const size_t take = want < source->left ? want : source->left;
    if (take != 0) {
        memcpy(out, source->next, take);
    }
    source->next += take;
    source->left -= take;
    return take;
}

#ifdef BLO_HAVE_ZLIB
enum { GZIP_ONLY = 16 + MAX_WBITS };             /* zlib's way to say: a gzip header, the largest window */
static const uint64_t DEFLATE_BEST_RATIO = 1032; /* zlib's technical note: deflate never expands by more */

static bool gzip_start(blo_source *source) {
    return inflateInit2(&source->stream, GZIP_ONLY) == Z_OK;
}

/* One inflate() into OUT; how many bytes came. Sets ended or damage. */
static size_t gzip_step(blo_source *source, void *out, size_t want) {
    z_stream *stream = &source->stream;
    const uInt chunk = source->left > UINT_MAX ? UINT_MAX : (uInt)source->left;
    const uInt room = want > UINT_MAX ? UINT_MAX : (uInt)want;
    stream->next_in = (Bytef *)(uintptr_t)source->next; /* zlib reads only, its type predates const */
    stream->avail_in = chunk;
    stream->next_out = out;
    stream->avail_out = room;
    const int result = inflate(stream, Z_NO_FLUSH);
    source->next += chunk - stream->avail_in;
    source->left -= chunk - stream->avail_in;
    if (result == Z_STREAM_END) {
        source->ended = source->left == 0;
        if (!source->ended && !is_gzip(source->next, source->left)) {
            source->damage = "bytes that are not gzip follow the compressed data";
        } else if (!source->ended && inflateReset(stream) != Z_OK) {
            source->damage = "the compressed data cannot be read further";
        }
    } else if (result == Z_MEM_ERROR) {
        source->damage = "no memory to decompress it";
    } else if (result == Z_BUF_ERROR || (result == Z_OK && source->left == 0 && stream->avail_out != 0)) {
        source->damage = "the compressed data end too early";
    } else if (result != Z_OK) {
        source->damage = "the compressed data are damaged";
    }
    return room - stream->avail_out;
}

static size_t gzip_read(blo_source *source, void *out, size_t want) {
    size_t done = 0;
    while (done < want && !source->ended && source->damage == NULL) {
        done += gzip_step(source, (uint8_t *)out + done, want - done);
    }
    return done;
}
#endif

blo_status blo_source_open(const uint8_t *bytes, size_t count, blo_source **source) {
    *source = NULL;
    blo_source *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return BLO_ERROR_MEMORY;
    }
    made->next = bytes;
    made->left = count;
    made->gzip = is_gzip(bytes, count);
#ifdef BLO_HAVE_ZLIB
    if (made->gzip && !gzip_start(made)) {
        free(made);
        return BLO_ERROR_MEMORY;
    }
#else
    if (made->gzip) {
        free(made);
        return BLO_ERROR_UNSUPPORTED;
    }
#endif
    *source = made;
    return BLO_OK;
}

void blo_source_close(blo_source *source) {
#ifdef BLO_HAVE_ZLIB
    if (source != NULL && source->gzip) {
        inflateEnd(&source->stream);
    }
#endif
    free(source);
}

size_t blo_source_read(blo_source *source, void *out, size_t want) {
#ifdef BLO_HAVE_ZLIB
    if (source->gzip) {
        return gzip_read(source, out, want);
    }
#endif
    return plain_read(source, out, want);
}

const char *blo_source_damage(const blo_source *source) {
    return source->damage;
}

uint64_t blo_source_limit(const blo_source *source) {
#ifdef BLO_HAVE_ZLIB
    if (source->gzip) {
        const uint64_t window = 1u << MAX_WBITS; /* taken in but not yet given out */
        return source->left > (UINT64_MAX - window) / DEFLATE_BEST_RATIO ? UINT64_MAX
                                                                         : source->left * DEFLATE_BEST_RATIO + window;
    }
#endif
    return source->left;
}
