/* The arithmetic of snapshots: which states a run keeps, and where a sweep stops to keep another. No storage, no
 * device. */
#ifndef BLO_SCHEDULE_CHECKPOINT_H
#define BLO_SCHEDULE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

/* A run with SLOTS slots keeps the states that are multiples of a stride, which doubles when the slots are full. */
typedef struct blo_thinning {
    int64_t stride; /* starts at 1 */
} blo_thinning;

/* State K is to be kept when the run goes on from it. */
bool blo_thinning_keeps(const blo_thinning *thinning, int64_t k);

/* A sweep over the LENGTH steps after a kept state, with FREE free slots (a step needs one to write to; going further
 * than one step needs two, to write in turn): how many steps ahead the next state to keep lies, 1 … LENGTH - 1. LENGTH
 * >= 2; FREE >= 2, or 1 when LENGTH is 2. */
int64_t blo_checkpoint_distance(int64_t length, int64_t free_slots);

#endif
