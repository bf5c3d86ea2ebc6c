/* A run recorded, and replayed while it would be bound to the same: then only its bookkeeping is done, and all its
 * launches are queued with one call. What is written into the arrays in between makes no difference. */
#include "loop.h"

#include <stdlib.h>

enum { MOST_LAUNCHES = 8192 }; /* of a recording: drivers keep a kilobyte or two for each */

/* --- what a run is bound to --- */

static blo_status note(blo_loop *loop, uint64_t word) {
    if (loop->n_bindings == loop->bindings_capacity) {
        int capacity = loop->bindings_capacity ? 2 * loop->bindings_capacity : 64;
        uint64_t *bindings = realloc(loop->bindings, (size_t)capacity * sizeof *bindings);
        if (!bindings)
            return blo_fail(loop->context, BLO_ERROR_MEMORY, "no host memory for the bindings of a loop");
        for (int i = loop->bindings_capacity; i < capacity; i++)
            bindings[i] = 0;
        loop->bindings = bindings;
        loop->bindings_capacity = capacity;
    }
    loop->same = loop->same && loop->bindings[loop->n_bindings] == word;
    loop->bindings[loop->n_bindings++] = word;
    return BLO_OK;
}

static blo_status note_stage(blo_loop *loop, const blo_stage *stage) {
    blo_status status = note(loop, blo_plan_serial(stage->plan));
    if (status == BLO_OK)
        status = note(loop, (uint64_t)stage->turns);
    for (int i = 0; i < blo_plan_inputs(stage->plan); i++) {
        const blo_source *source = &stage->sources[i];
        const uint64_t words[] = {(uint64_t)source->kind,
                                  (uint64_t)source->index,
                                  source->place.buffer ? blo_buffer_serial(source->place.buffer) : 0,
                                  source->place.offset,
                                  source->row_bytes,
                                  source->turn_bytes};
        for (size_t j = 0; j < sizeof words / sizeof words[0] && status == BLO_OK; j++)
            status = note(loop, words[j]);
    }
    return status;
}

/* Whether the run is bound to what the one before was; slots are taken in the same order by each. */
static blo_status compare(blo_loop *loop, const blo_stage *steps, const bool *used, const blo_stage *observe,
                          bool every) {
    loop->n_bindings = 0;
    loop->same = true;
    blo_status status = note(loop, observe ? 1 + (uint64_t)every : 0);
    if (status == BLO_OK && observe)
        status = note_stage(loop, observe);
    for (int level = 0; level <= loop->n_levels && status == BLO_OK; level++)
        if (used[level])
            status = note_stage(loop, &steps[level]);
    return status;
}

/* --- whether it can be recorded --- */

/* Launches of STAGE; more than a recording takes where it calls a library, which queues by itself. */
static int64_t launches_of(const blo_stage *stage) {
    int64_t turns = stage->turns > 1 ? stage->turns : 1;
    return blo_plan_calls_library(stage->plan) || stage->ends ? MOST_LAUNCHES + 1
                                                              : turns * blo_plan_launches(stage->plan);
}

static bool can_record(const blo_loop *loop, const blo_stage *steps, const bool *used, const blo_stage *observe) {
    int64_t most = 0;
    for (int level = 0; level <= loop->n_levels; level++)
        if (used[level] && launches_of(&steps[level]) > most)
            most = launches_of(&steps[level]);
    if (observe)
        most += launches_of(observe);
    return !loop->visit && most * loop->steps <= MOST_LAUNCHES;
}

/* --- around a run --- */

/* A run is recorded if it is the first, or if it is like the one before: bindings that change from run to run are not
 * recorded again and again. */
blo_status blo_loop_replay_begin(blo_loop *loop, const blo_stage *steps, const blo_stage *observe, bool every) {
    loop->replays = loop->records = false;
    if (!blo_context_facts(loop->context)->replays)
        return BLO_OK;
    blo_loop_levels(loop, loop->used);
    const bool can = can_record(loop, steps, loop->used, observe), first = loop->n_bindings == 0;
    blo_status status = compare(loop, steps, loop->used, observe, every);
    if (status != BLO_OK || !can || !loop->same) { /* a recording is of the bindings last noted, or there is none */
        blo_recording_release(loop->recording);
        loop->recording = NULL;
    }
    if (status != BLO_OK || !can)
        return status;
    if (blo_recording_is_made(loop->recording)) {
        loop->replays = !blo_recording_is_pending(loop->recording);
        return BLO_OK;
    }
    if (!first && !loop->same)
        return BLO_OK;
    status = blo_recording_begin(loop->context, &loop->recording);
    loop->records = status == BLO_OK;
    return status;
}

blo_status blo_loop_replay_end(blo_loop *loop, blo_status status) {
    if (loop->records && status == BLO_OK)
        status = blo_recording_end(loop->recording);
    else if (loop->records)
        blo_recording_abandon(loop->recording);
    if ((loop->records || loop->replays) && status == BLO_OK)
        status = blo_recording_replay(loop->recording);
    loop->records = loop->replays = false;
    return status;
}
