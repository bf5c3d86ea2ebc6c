/* Streams of random numbers on the host. Must not know what is drawn with them. */
#ifndef BLO_DATA_RANDOM_H
#define BLO_DATA_RANDOM_H

#include <stdint.h>

/* What a stream is for: uses of one seed and stream number must not see each other's numbers. */
typedef enum blo_stream_use {
    BLO_USE_PERMUTATION = 1,
    BLO_USE_INTEGERS,
    BLO_USE_DIGITS,
    BLO_USE_ALPHABETS,
    BLO_USE_CHARACTERS,
    BLO_USE_DRAWINGS,
    BLO_USE_SPLIT,
    BLO_USE_TRAIN_TASKS,
    BLO_USE_VALIDATION_TASKS,
    BLO_USE_TEST_TASKS
} blo_stream_use;

typedef struct blo_stream {
    uint32_t counter[4]; /* block, use, low and high word of the stream */
    uint32_t key[2];     /* low and high word of the seed */
    uint32_t words[4];
    int left; /* words not yet given out */
} blo_stream;

void blo_stream_start(blo_stream *stream, uint64_t seed, uint64_t number, blo_stream_use use);

/* 32 random bits. */
uint32_t blo_stream_next(blo_stream *stream);

/* Uniform in 0 … BOUND-1, without modulo bias. BOUND >= 1. */
uint32_t blo_stream_below(blo_stream *stream, uint32_t bound);

/* Uniform in LO … HI, both included; HI - LO < 2^32 - 1. */
int32_t blo_stream_between(blo_stream *stream, int32_t lo, int32_t hi);

#endif
