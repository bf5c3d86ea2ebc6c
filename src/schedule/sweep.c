/* Back through a loop: states that were thinned are recomputed, adjoints queued. In which order, checkpoint.h says;
 * what is queued here does not know whether a state was kept or recomputed. */
#include "loop.h"

#include <assert.h>
#include <string.h>

/* --- states given up --- */

/* Gives up state K, unless it stays whatever happens. */
static void give_up(blo_loop *loop, int k) {
    if (k > 0 && !(loop->last_stays && k == loop->steps))
        blo_slots_drop(&loop->slots, k);
}

static void drop_all_kept(blo_loop *loop) {
    for (int i = 0; i < loop->n_levels; i++) {
        blo_slots_clear(&loop->keeps[i]);
        loop->kept_steps[i] = 0;
    }
}

/* Ends what was recomputed for a call before this one: a state recalled, a sweep that came down to a state. */
static void forget_pending(blo_loop *loop) {
    if (loop->recalled >= 0)
        give_up(loop, loop->recalled);
    if (loop->rewound >= 0)
        give_up(loop, loop->rewound);
    loop->recalled = loop->rewound = -1;
}

/* A sweep failed on its way: what it made and did not make is no longer what its schedule thinks. */
static void abandon(blo_loop *loop) {
    for (int k = 1; k <= loop->steps; k++)
        give_up(loop, k);
    drop_all_kept(loop);
    loop->recalled = loop->rewound = -1;
}

/* --- one state again --- */

static int nearest_kept(const blo_loop *loop, int k) {
    while (k > 0 && loop->slots.slot_of[k] < 0)
        k--;
    return k;
}

/* Frees N slots, those of the latest states first, but for state BASE. */
static void make_room(blo_loop *loop, int base, int n) {
    for (int k = loop->steps; k > 0 && loop->slots.n_free < n; k--)
        if (k != base)
            give_up(loop, k);
}

/* Recomputes from s_FROM (there) to s_TO; what lies between is not kept, nor is a state whose step failed. */
static blo_status advance(blo_loop *loop, const blo_stage *steps, int from, int to) {
    blo_status status = BLO_OK;
    make_room(loop, from, to - from == 1 ? 1 : 2);
    for (int k = from; k < to && status == BLO_OK; k++) {
        blo_slots_take(&loop->slots, k + 1);
        status = blo_loop_queue_step(loop, steps, k, 0);
        if (k > from)
            blo_slots_drop(&loop->slots, k);
        if (status != BLO_OK)
            blo_slots_drop(&loop->slots, k + 1);
        loop->report.recomputed_steps++;
    }
    return status;
}

static void give_places(const blo_loop *loop, int k, blo_place *places) {
    for (int i = 0; i < loop->n_state; i++)
        places[i] = blo_slots_place(&loop->slots, loop->slots.slot_of[k], i);
}

blo_status blo_loop_state(blo_loop *loop, const blo_stage *steps, int k, blo_place *places) {
    assert(k >= 0 && k <= loop->steps);
    blo_status status = blo_loop_check_ran(loop);
    if (status == BLO_OK && loop->slots.slot_of[k] < 0) {
        forget_pending(loop);
        status = blo_loop_reserve_one(loop, &steps[0]);
        if (status == BLO_OK)
            status = advance(loop, steps, nearest_kept(loop, k), k);
        if (status == BLO_OK)
            loop->recalled = k;
    }
    if (status == BLO_OK)
        give_places(loop, k, places);
    return status;
}

/* --- the sweep --- */

blo_place blo_loop_carry(blo_loop *loop, int i) {
    return (blo_place){loop->carry[loop->now], loop->carry_offsets[i]};
}

blo_status blo_loop_clear_carries(blo_loop *loop) {
    blo_status status = blo_buffer_zero(loop->context, loop->carry[0], 0, (size_t)loop->carry_bytes);
    return status == BLO_OK ? blo_buffer_zero(loop->context, loop->carry[1], 0, (size_t)loop->carry_bytes) : status;
}

blo_status blo_loop_check_carries(blo_loop *loop, blo_dtype dtype, uint32_t tag) {
    return blo_flag_check_parts(loop->context, dtype, loop->carry[loop->now], 0,
                                loop->carry_bytes / blo_dtype_size(dtype), tag, &loop->parts);
}

static blo_status queue_adjoint(blo_loop *loop, const blo_stage *adjoint, int k, blo_dtype dtype) {
    for (int i = 0; i < loop->n_carry; i++)
        loop->outputs[i] = (blo_place){loop->carry[!loop->now], loop->carry_offsets[i]};
    blo_status status = blo_loop_queue(loop, adjoint, loop->slots.slot_of[k], k, k);
    loop->now = !loop->now;
    if (status == BLO_OK)
        status = blo_loop_check_carries(loop, dtype, (uint32_t)k + 1);
    return status;
}

/* Sets out on a sweep that reads states END-1 … 0: what it will not use is given up. */
static void begin_sweep(blo_loop *loop, int end) {
    for (int k = 0; k <= loop->steps; k++)
        loop->live[k] = k < end && loop->slots.slot_of[k] >= 0;
    drop_all_kept(loop);
    blo_sweep_begin(&loop->sweep, &loop->checkpoints, loop->live, loop->split.rooms ? loop->live_steps : NULL,
                    loop->split.rooms, end);
    for (int k = 1; k <= loop->steps; k++)
        if (!loop->live[k])
            give_up(loop, k);
}

static blo_status queue_move(blo_loop *loop, const blo_stage *steps, blo_move move) {
    blo_slots_take(&loop->slots, move.k + 1);
    loop->report.recomputed_steps++;
    blo_status status = blo_loop_queue_step(loop, steps, move.k, move.keep ? loop->split.level : 0);
    if (move.drop)
        blo_slots_drop(&loop->slots, move.k);
    return status;
}

/* Queues the sweep under way up to the adjoint that reads state UNTIL, which then keeps its slot; without ADJOINTS, up
 * to where that one would be queued. */
static blo_status go_on(blo_loop *loop, const blo_stage *steps, const blo_stage *adjoints, int until, blo_dtype dtype) {
    blo_status status = BLO_OK;
    while (status == BLO_OK) {
        blo_move move = blo_sweep_next(&loop->sweep);
        if (move.kind == BLO_MOVE_DONE)
            break;
        if (move.kind == BLO_MOVE_STEP) {
            status = queue_move(loop, steps, move);
            continue;
        }
        if (adjoints) {
            status = queue_adjoint(loop, &adjoints[move.keep ? loop->split.level : 0], move.k, dtype);
            blo_loop_drop_kept(loop, move.k);
        }
        if (move.k == until)
            break;
        give_up(loop, move.k);
    }
    if (status == BLO_OK && until > 0)
        loop->rewound = until;
    if (status != BLO_OK)
        abandon(loop);
    return status;
}

blo_status blo_loop_rewind(blo_loop *loop, const blo_stage *steps, int k, blo_place *places) {
    assert(k >= 0 && k <= loop->steps);
    blo_status status = blo_loop_check_ran(loop);
    if (status == BLO_OK && loop->slots.slot_of[k] < 0) {
        forget_pending(loop);
        status = blo_loop_reserve(loop, steps);
        if (status == BLO_OK) {
            begin_sweep(loop, k + 1);
            status = go_on(loop, steps, NULL, k, BLO_FLOAT);
        }
    }
    if (status == BLO_OK)
        give_places(loop, k, places);
    return status;
}

static blo_status sweep_thinned(blo_loop *loop, const blo_stage *steps, const blo_stage *adjoints, int k, int until,
                                blo_dtype dtype) {
    bool under_way = loop->rewound == k;
    forget_pending(loop);
    if (!under_way)
        begin_sweep(loop, k);
    return go_on(loop, steps, adjoints, until, dtype);
}

blo_status blo_loop_sweep_until(blo_loop *loop, const blo_stage *steps, const blo_stage *adjoints, int k, int until,
                                blo_dtype dtype) {
    assert(k >= 0 && k <= loop->steps && (until == 0 || (until > 0 && until < k)));
    const blo_statistics *counters = blo_context_counters(loop->context);
    uint64_t launches = counters->launches;
    blo_status status = blo_loop_check_ran(loop);
    if (status == BLO_OK)
        status = blo_loop_reserve(loop, steps);
    if (status == BLO_OK)
        status = blo_loop_reserve(loop, adjoints);
    if (status != BLO_OK)
        return status;
    if (loop->split.thinned)
        status = sweep_thinned(loop, steps, adjoints, k, until, dtype);
    else
        for (int j = k - 1; j >= until && status == BLO_OK; j--)
            status = queue_adjoint(loop, &adjoints[blo_loop_run_level(loop, j)], j, dtype);
    loop->report.sweep_launches = counters->launches - launches;
    return status;
}

blo_status blo_loop_sweep(blo_loop *loop, const blo_stage *steps, const blo_stage *adjoints, int k, blo_dtype dtype) {
    return blo_loop_sweep_until(loop, steps, adjoints, k, 0, dtype);
}
