/* The forward run: one stage bound and queued, T of them, and what was observed. The host only queues: nothing here
 * waits but blo_loop_observed(). */
#include "loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- one stage --- */

blo_status blo_loop_reserve_one(blo_loop *loop, const blo_stage *stage) {
    const blo_plan *plan = stage->plan;
    int need = blo_plan_inputs(plan) > blo_plan_outputs(plan) ? blo_plan_inputs(plan) : blo_plan_outputs(plan);
    if (need <= loop->n_places)
        return BLO_OK;
    blo_place *inputs = realloc(loop->inputs, (size_t)need * sizeof *inputs);
    if (inputs)
        loop->inputs = inputs;
    blo_place *outputs = realloc(loop->outputs, (size_t)need * sizeof *outputs);
    if (outputs)
        loop->outputs = outputs;
    if (!inputs || !outputs)
        return blo_fail(loop->context, BLO_ERROR_MEMORY, "no host memory for the inputs of a plan");
    loop->n_places = need;
    return BLO_OK;
}

blo_status blo_loop_reserve(blo_loop *loop, const blo_stage *stages) {
    const blo_split *split = &loop->split;
    /* the levels that blo_loop_levels() names */
    const int first = split->thinned ? 0 : blo_loop_run_level(loop, loop->steps - 1),
              second = split->thinned ? split->level : blo_loop_run_level(loop, 0);
    blo_status status = blo_loop_reserve_one(loop, &stages[first]);
    return status == BLO_OK ? blo_loop_reserve_one(loop, &stages[second]) : status;
}

/* Array I that step K kept, nowhere if it did not. */
static blo_place kept_place(const blo_loop *loop, int i, int k) {
    const blo_slots *slots = &loop->keeps[i];
    return slots->n > 0 && slots->slot_of[k] >= 0 ? blo_slots_place(slots, slots->slot_of[k], 0) : (blo_place){0};
}

/* The inputs of STAGE in TURN. */
static void place_inputs(blo_loop *loop, const blo_stage *stage, int slot, int number, int row, int turn) {
    for (int i = 0; i < blo_plan_inputs(stage->plan); i++) {
        const blo_source *source = &stage->sources[i];
        blo_place *place = &loop->inputs[i];
        switch (source->kind) {
        case BLO_SOURCE_UNUSED: *place = (blo_place){0}; break;
        case BLO_SOURCE_FIXED: *place = source->place; break;
        case BLO_SOURCE_STATE: *place = blo_slots_place(&loop->slots, slot, source->index); break;
        case BLO_SOURCE_CARRY: *place = blo_loop_carry(loop, source->index); break;
        case BLO_SOURCE_PER_STEP:
            *place = source->place;
            place->offset += (uint64_t)row * source->row_bytes;
            break;
        case BLO_SOURCE_STEP: *place = (blo_place){loop->numbers, (uint64_t)number * sizeof(int32_t)}; break;
        case BLO_SOURCE_KEPT: *place = kept_place(loop, source->index, row); break;
        }
        place->offset += (uint64_t)turn * source->turn_bytes;
    }
}

blo_status blo_loop_queue(blo_loop *loop, const blo_stage *stage, int slot, int number, int row) {
    blo_status status = BLO_OK;
    if (loop->replays)
        return BLO_OK;
    for (int turn = 0; status == BLO_OK && (turn == 0 || turn < stage->turns); turn++) {
        if (!stage->ends || stage->ends[turn] > row) {
            place_inputs(loop, stage, slot, number, row, turn);
            status = blo_plan_enqueue(stage->plan, loop->inputs, loop->outputs, loop->scratch);
        }
        for (int i = 0; i < blo_plan_outputs(stage->plan); i++)
            loop->outputs[i].offset += blo_plan_output_bytes(stage->plan, i);
    }
    return status;
}

blo_status blo_loop_queue_step(blo_loop *loop, const blo_stage *steps, int k, int level) {
    for (int i = 0; i < loop->n_state; i++)
        loop->outputs[i] = blo_slots_place(&loop->slots, loop->slots.slot_of[k + 1], i);
    for (int i = 0; i < level; i++) {
        blo_slots_take(&loop->keeps[i], k);
        loop->outputs[loop->n_state + i] = kept_place(loop, i, k);
        loop->kept_steps[i]++;
    }
    return blo_loop_queue(loop, &steps[level], loop->slots.slot_of[k], k, k);
}

void blo_loop_drop_kept(blo_loop *loop, int k) {
    for (int i = 0; i < loop->n_levels; i++)
        blo_slots_drop(&loop->keeps[i], k);
}

/* --- the run --- */

blo_place blo_loop_begin(blo_loop *loop, int i) {
    if (!loop->begun) {
        blo_slots_clear(&loop->slots);
        for (int j = 0; j < loop->n_levels; j++) {
            blo_slots_clear(&loop->keeps[j]);
            loop->kept_steps[j] = 0;
        }
        blo_slots_take(&loop->slots, 0); /* the lowest: slot 0 */
        loop->begun = true;
        loop->ran = false;
        loop->recalled = loop->rewound = -1;
    }
    return blo_slots_place(&loop->slots, 0, i);
}

void blo_loop_on_state(blo_loop *loop, blo_loop_visit visit, void *user) {
    loop->visit = visit;
    loop->visitor = user;
}

static blo_status visit(blo_loop *loop, int k) {
    if (!loop->visit)
        return BLO_OK;
    for (int i = 0; i < loop->n_state; i++) /* nothing is queued by the loop meanwhile */
        loop->outputs[i] = blo_slots_place(&loop->slots, loop->slots.slot_of[k], i);
    return loop->visit(loop->visitor, k, loop->outputs);
}

blo_status blo_loop_run(blo_loop *loop, const blo_stage *steps, const blo_stage *observe, bool every) {
    const blo_statistics *counters = blo_context_counters(loop->context);
    uint64_t launches = counters->launches;
    bool thinned = loop->split.thinned;
    blo_status status = blo_loop_reserve(loop, steps);
    if (status == BLO_OK && observe)
        status = blo_loop_reserve_one(loop, observe);
    blo_loop_begin(loop, 0);
    loop->begun = false;
    if (status == BLO_OK)
        status = blo_loop_replay_begin(loop, steps, observe, every);
    for (int k = 0; k < loop->steps && status == BLO_OK; k++) {
        blo_slots_take(&loop->slots, k + 1);
        status = visit(loop, k);
        if (status == BLO_OK)
            status = blo_loop_queue_step(loop, steps, k, thinned ? 0 : blo_loop_run_level(loop, k));
        if (thinned && !blo_checkpoints_keeps(&loop->checkpoints, k))
            blo_slots_drop(&loop->slots, k);
        if (status != BLO_OK || !observe || (!every && k + 1 < loop->steps))
            continue;
        loop->outputs[0] =
            (blo_place){loop->values, (uint64_t)k * (uint64_t)loop->n_observed * blo_dtype_size(loop->observed)};
        status = blo_loop_queue(loop, observe, loop->slots.slot_of[k + 1], k + 1, k);
    }
    if (status == BLO_OK)
        status = visit(loop, loop->steps);
    status = blo_loop_replay_end(loop, status);
    loop->ran = status == BLO_OK;
    loop->every = every;
    loop->any_observed = observe != NULL;
    loop->report.snapshots = loop->slots.n - loop->slots.n_free;
    loop->report.recomputed_steps = 0;
    loop->report.run_launches = counters->launches - launches;
    return status;
}

blo_status blo_loop_check_ran(const blo_loop *loop) {
    if (loop->ran)
        return BLO_OK;
    return blo_fail(loop->context, BLO_ERROR_STATE, "the loop has no states: it was not run, or its run failed");
}

blo_status blo_loop_observed(blo_loop *loop, double *values) {
    const size_t size = blo_dtype_size(loop->observed), row = (size_t)loop->n_observed, n = (size_t)loop->steps * row,
                 first = loop->every ? 0 : n - row;
    for (size_t k = 0; k < n; k++)
        values[k] = (double)NAN;
    if (!loop->ran || !loop->any_observed)
        return BLO_OK;
    /* raw values at the end of VALUES, widened in place from the front: a float never overtakes the double it becomes
     */
    char *raw = (char *)values + n * sizeof(double) - (n - first) * size;
    blo_status status = blo_buffer_read(loop->context, loop->values, first * size, (n - first) * size, raw);
    for (size_t k = first; k < n && status == BLO_OK; k++) {
        float narrow;
        double wide;
        const char *from = raw + (k - first) * size;
        if (loop->observed == BLO_FLOAT) {
            memcpy(&narrow, from, sizeof narrow);
            wide = (double)narrow;
        } else
            memcpy(&wide, from, sizeof wide);
        values[k] = wide;
    }
    return status;
}
