/* Where states lie: slots of one state each, spread over as many buffers as the device's largest allocation asks for.
 */
#ifndef BLO_SCHEDULE_SLOTS_H
#define BLO_SCHEDULE_SLOTS_H

#include "schedule.h"

typedef struct blo_slots {
    int n_arrays;
    uint64_t *offsets; /* [n_arrays] of each array in a slot */
    uint64_t bytes;    /* of one slot */
    int n;             /* slots */
    int per_buffer, n_buffers;
    blo_buffer **buffers;
    int steps;          /* states are 0 … steps */
    int *slot_of;       /* [steps + 1], -1: not kept */
    int *state_of;      /* [n], -1: free */
    int n_free, lowest; /* no slot below the lowest is free */
} blo_slots;

/* Bytes that one slot takes. */
uint64_t blo_slots_state_bytes(const blo_device_facts *facts, int n_arrays, const uint64_t *bytes);
blo_status blo_slots_create(blo_context *context, int steps, int n, int n_arrays, const uint64_t *bytes,
                            blo_slots *slots);
void blo_slots_free(blo_slots *slots);

void blo_slots_clear(blo_slots *slots);           /* all free; slots of none are allowed */
int blo_slots_take(blo_slots *slots, int state);  /* the lowest free slot now holds STATE; -1: none is free */
void blo_slots_drop(blo_slots *slots, int state); /* frees STATE's slot, if it has one */
blo_place blo_slots_place(const blo_slots *slots, int slot, int array);

#endif
