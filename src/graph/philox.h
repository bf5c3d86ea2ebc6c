/* Philox 4x32-10, the counter-based generator behind every random number (Salmon, Moraes, Dror, Shaw, "Parallel Random
 * Numbers: As Easy as 1, 2, 3", SC 2011). Must not know what its numbers are for. */
#ifndef BLO_GRAPH_PHILOX_H
#define BLO_GRAPH_PHILOX_H

#include <stdint.h>

/* The four words that COUNTER [4] gives under KEY [2]. The same on every machine; OUT may be COUNTER. */
void blo_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

#endif
