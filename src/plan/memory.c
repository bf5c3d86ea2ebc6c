/* Where temporaries lie in the scratch: arrays whose lives do not overlap share space. Pure arithmetic. */
#include "lower.h"

#include <stdlib.h>

static void note_lives(blo_lowering *lowering) {
    for (int i = 0; i < lowering->n_arrays; i++)
        lowering->arrays[i].first = lowering->arrays[i].last = -1;
    for (int s = 0; s < lowering->n_steps; s++) {
        const blo_plan_step *step = &lowering->steps[s];
        for (int i = 0; i < step->n_arguments; i++) {
            if (!step->arguments[i].is_array)
                continue;
            blo_plan_array *array = &lowering->arrays[step->arguments[i].array];
            if (array->first < 0)
                array->first = s;
            array->last = s;
        }
    }
}

/* The lowest offset at which ARRAY meets none of those already placed (PLACED[i]) that live at the same time. */
static uint64_t lowest(const blo_lowering *lowering, const blo_plan_array *array, const bool *placed) {
    uint64_t offset = 0;
    bool moved = true;
    while (moved) {
        moved = false;
        for (int i = 0; i < lowering->n_arrays; i++) {
            const blo_plan_array *other = &lowering->arrays[i];
            bool together = placed[i] && other->first <= array->last && array->first <= other->last;
            if (together && other->offset < offset + array->bytes && offset < other->offset + other->bytes) {
                offset = other->offset + other->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

blo_status blo_lower_place(blo_lowering *lowering) {
    uint64_t alignment = lowering->device->base_alignment;
    bool *placed = calloc((size_t)lowering->n_arrays + 1, sizeof *placed);
    if (!placed)
        return blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to place %d arrays", lowering->n_arrays);
    note_lives(lowering);
    for (int i = 0; i < lowering->n_arrays; i++)
        lowering->arrays[i].bytes = (lowering->arrays[i].bytes + alignment - 1) / alignment * alignment;
    for (;;) { /* the largest first: they are the hardest to fit */
        int next = -1;
        for (int i = 0; i < lowering->n_arrays; i++) {
            const blo_plan_array *array = &lowering->arrays[i];
            bool waiting = array->kind == BLO_ARRAY_TEMPORARY && array->first >= 0 && !placed[i];
            if (waiting && (next < 0 || array->bytes > lowering->arrays[next].bytes))
                next = i;
        }
        if (next < 0)
            break;
        blo_plan_array *array = &lowering->arrays[next];
        array->offset = lowest(lowering, array, placed);
        placed[next] = true;
        if (array->offset + array->bytes > lowering->scratch_bytes)
            lowering->scratch_bytes = array->offset + array->bytes;
    }
    free(placed);
    return BLO_OK;
}
