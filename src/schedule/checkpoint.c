/* The arithmetic of snapshots; see checkpoint.h. */
#include "checkpoint.h"

bool blo_thinning_keeps(const blo_thinning *thinning, int64_t k) {
    return k % thinning->stride == 0;
}

int64_t blo_checkpoint_distance(int64_t length, int64_t free_slots) {
    if (free_slots >= length - 1) /* all of them fit */
        return 1;
    if (free_slots <= 2) /* no room to keep one on the way: go to the last, again and again */
        return length - 1;
    int64_t distance = (length + free_slots - 1) / free_slots;
    return distance < length - 1 ? distance : length - 1;
}
