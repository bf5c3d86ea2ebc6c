/* State slots; see slots.h. */
#include "slots.h"

#include <stdlib.h>

static uint64_t aligned(const blo_device_facts *facts, uint64_t bytes) {
    return (bytes + facts->base_alignment - 1) / facts->base_alignment * facts->base_alignment;
}

uint64_t blo_slots_state_bytes(const blo_device_facts *facts, int n_arrays, const uint64_t *bytes) {
    uint64_t total = 0;
    for (int i = 0; i < n_arrays; i++)
        total += aligned(facts, bytes[i]);
    return total ? total : facts->base_alignment;
}

blo_status blo_slots_create(blo_context *context, int steps, int n, int n_arrays, const uint64_t *bytes,
                            blo_slots *slots) {
    const blo_device_facts *facts = blo_context_facts(context);
    *slots = (blo_slots){.n_arrays = n_arrays, .n = n, .steps = steps};
    slots->bytes = blo_slots_state_bytes(facts, n_arrays, bytes);
    uint64_t fit = facts->max_allocation / slots->bytes;
    if (fit == 0)
        return blo_fail(context, BLO_ERROR_BUDGET,
                        "one state takes %llu bytes: device \"%s\" allows %llu in one buffer",
                        (unsigned long long)slots->bytes, facts->name, (unsigned long long)facts->max_allocation);
    slots->per_buffer = fit < (uint64_t)n ? (int)fit : n;
    slots->n_buffers = (n + slots->per_buffer - 1) / slots->per_buffer;
    slots->offsets = calloc((size_t)n_arrays + 1, sizeof *slots->offsets);
    slots->buffers = calloc((size_t)slots->n_buffers, sizeof *slots->buffers);
    slots->slot_of = calloc((size_t)steps + 1, sizeof *slots->slot_of);
    slots->state_of = calloc((size_t)n, sizeof *slots->state_of);
    if (!slots->offsets || !slots->buffers || !slots->slot_of || !slots->state_of)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for %d state slots", n);
    for (int i = 1; i < n_arrays; i++)
        slots->offsets[i] = slots->offsets[i - 1] + aligned(facts, bytes[i - 1]);
    blo_status status = BLO_OK;
    for (int b = 0; b < slots->n_buffers && status == BLO_OK; b++) {
        int here = b + 1 < slots->n_buffers ? slots->per_buffer : n - b * slots->per_buffer;
        status = blo_buffer_create(context, (size_t)here * slots->bytes, &slots->buffers[b]);
    }
    blo_slots_clear(slots);
    return status;
}

void blo_slots_free(blo_slots *slots) {
    for (int b = 0; slots->buffers && b < slots->n_buffers; b++)
        blo_buffer_release(slots->buffers[b]);
    free(slots->buffers);
    free(slots->offsets);
    free(slots->slot_of);
    free(slots->state_of);
    *slots = (blo_slots){0};
}

void blo_slots_clear(blo_slots *slots) {
    for (int k = 0; slots->n > 0 && k <= slots->steps; k++)
        slots->slot_of[k] = -1;
    for (int i = 0; i < slots->n; i++)
        slots->state_of[i] = -1;
    slots->n_free = slots->n;
    slots->lowest = 0;
}

int blo_slots_take(blo_slots *slots, int state) {
    while (slots->lowest < slots->n && slots->state_of[slots->lowest] >= 0)
        slots->lowest++;
    if (slots->lowest == slots->n)
        return -1;
    slots->state_of[slots->lowest] = state;
    slots->slot_of[state] = slots->lowest;
    slots->n_free--;
    return slots->lowest;
}

void blo_slots_drop(blo_slots *slots, int state) {
    int slot = slots->n > 0 ? slots->slot_of[state] : -1;
    if (slot < 0)
        return;
    slots->slot_of[state] = -1;
    slots->state_of[slot] = -1;
    slots->n_free++;
    if (slot < slots->lowest)
        slots->lowest = slot;
}

blo_place blo_slots_place(const blo_slots *slots, int slot, int array) {
    blo_place place = {slots->buffers[slot / slots->per_buffer],
                       (uint64_t)(slot % slots->per_buffer) * slots->bytes + slots->offsets[array]};
    return place;
}
