/* Random integers and permutations on the host, the same on every machine. Must not know devices. */
#include "random.h"

#include <clbilevel/data.h>

#include "graph/philox.h"

static const uint32_t MOST_BOUND = (uint32_t)INT32_MAX + 1;

void blo_stream_start(blo_stream *stream, uint64_t seed, uint64_t number, blo_stream_use use) {
    *stream = (blo_stream){.counter = {0, (uint32_t)use, (uint32_t)number, (uint32_t)(number >> 32)},
                           .key = {(uint32_t)seed, (uint32_t)(seed >> 32)}};
}

uint32_t blo_stream_next(blo_stream *stream) {
    if (stream->left == 0) {
        blo_philox4x32(stream->counter, stream->key, stream->words);
        stream->counter[0]++;
        stream->left = 4;
    }
    return stream->words[4 - stream->left--];
}

uint32_t blo_stream_below(blo_stream *stream, uint32_t bound) {
    /* The high word of a 32x32-bit product is uniform once the low words that 2^32 mod BOUND too many draws share are
     * refused (Lemire, "Fast random integer generation in an interval", 2019). */
    const uint32_t refused = (uint32_t)(0u - bound) % bound;
    uint64_t product = 0;
    do {
        product = (uint64_t)blo_stream_next(stream) * bound;
    } while ((uint32_t)product < refused);
    return (uint32_t)(product >> 32);
}

int32_t blo_stream_between(blo_stream *stream, int32_t lo, int32_t hi) {
    return (int32_t)(lo + (int64_t)blo_stream_below(stream, (uint32_t)((int64_t)hi - lo + 1)));
}

void blo_random_permutation(int64_t count, uint64_t seed, uint64_t stream, int32_t *order) {
    blo_stream draws;
    blo_stream_start(&draws, seed, stream, BLO_USE_PERMUTATION);
    for (int64_t i = 0; i < count; i++) {
        order[i] = (int32_t)i;
    }
    for (int64_t i = count - 1; i > 0; i--) {
        const uint32_t other = blo_stream_below(&draws, (uint32_t)(i + 1));
        const int32_t kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

void blo_random_integers(int64_t count, uint32_t bound, uint64_t seed, uint64_t stream, int32_t *values) {
    blo_stream draws;
    blo_stream_start(&draws, seed, stream, BLO_USE_INTEGERS);
    const uint32_t at_most = bound > MOST_BOUND ? MOST_BOUND : bound; /* what an int32 holds */
    for (int64_t i = 0; i < count; i++) {
        values[i] = at_most == 0 ? 0 : (int32_t)blo_stream_below(&draws, at_most);
    }
}
