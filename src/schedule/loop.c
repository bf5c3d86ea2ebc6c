/* Loops and sweeps; see schedule.h. The host only queues: nothing here waits but blo_loop_observed(). */
#include "checkpoint.h"
#include "slots.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST_SLOTS = 5
}; /* s_0, the state read, the state written (in a sweep s_T), and two to recompute any other state in */

struct blo_loop {
    blo_context *context;
    int steps, n_state, n_carry, n_levels;
    uint64_t *state_bytes, *carry_bytes;
    blo_dtype observed;
    blo_slots slots;
    blo_buffer *carry[2]; /* the two sets, read and written in turn */
    uint64_t *carry_offsets, carry_all_bytes;
    int now;                                /* the set that holds the carries */
    blo_buffer *values, *numbers, *scratch; /* o_1 … o_T; 0 … T as int32; scratch of the plans */
    bool begun, ran;                        /* s_0 may be written: only its slot is taken; a run was queued whole */
    bool every, any_observed;
    int recalled; /* a state that loop_state() recomputed into a slot, -1: none */
    int n_places;
    blo_place *inputs, *outputs;
    blo_loop_report report;
};

/* --- life --- */

static uint64_t carry_layout(const blo_device_facts *facts, int n, const uint64_t *bytes, uint64_t *offsets) {
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        if (offsets)
            offsets[i] = total;
        total += (bytes[i] + facts->base_alignment - 1) / facts->base_alignment * facts->base_alignment;
    }
    return total;
}

/* How many slots fit: all T + 1, or what the budget leaves. 0: fewer than the least. *NEED: the bytes a loop of so many
 * (of the least) takes. */
static int fit_slots(const blo_context *context, const blo_loop_layout *layout, uint64_t *need) {
    const blo_device_facts *facts = blo_context_facts(context);
    uint64_t state = blo_slots_state_bytes(facts, layout->n_state, layout->state_bytes);
    uint64_t fixed = 2 * carry_layout(facts, layout->n_carry, layout->carry_bytes, NULL) + layout->scratch_bytes +
                     (uint64_t)layout->steps * (blo_dtype_size(layout->observed) + sizeof(int32_t)) +
                     8 * facts->base_alignment;
    uint64_t available = blo_pool_available(context, layout->budget);
    int all = layout->steps + 1, least = all < LEAST_SLOTS ? all : LEAST_SLOTS;
    *need = fixed + (uint64_t)least * state;
    if (available < *need)
        return 0;
    uint64_t fit = (available - fixed) / state;
    int n = fit < (uint64_t)all ? (int)fit : all;
    *need = fixed + (uint64_t)n * state;
    return n;
}

static blo_status fill_numbers(blo_loop *loop) {
    size_t n = (size_t)loop->steps + 1;
    int32_t *numbers = malloc(n * sizeof *numbers);
    if (!numbers)
        return blo_fail(loop->context, BLO_ERROR_MEMORY, "no host memory for a loop of %d steps", loop->steps);
    for (size_t k = 0; k < n; k++)
        numbers[k] = (int32_t)k;
    blo_status status = blo_buffer_write(loop->context, loop->numbers, 0, n * sizeof *numbers, numbers);
    free(numbers);
    return status;
}

static blo_status allocate(blo_loop *loop, const blo_loop_layout *layout, int n_slots) {
    blo_context *context = loop->context;
    loop->state_bytes = calloc((size_t)layout->n_state + 1, sizeof *loop->state_bytes);
    loop->carry_bytes = calloc((size_t)layout->n_carry + 1, sizeof *loop->carry_bytes);
    loop->carry_offsets = calloc((size_t)layout->n_carry + 1, sizeof *loop->carry_offsets);
    if (!loop->state_bytes || !loop->carry_bytes || !loop->carry_offsets)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a loop");
    for (int i = 0; i < layout->n_state; i++)
        loop->state_bytes[i] = layout->state_bytes[i];
    for (int i = 0; i < layout->n_carry; i++)
        loop->carry_bytes[i] = layout->carry_bytes[i];
    loop->carry_all_bytes =
        carry_layout(blo_context_facts(context), loop->n_carry, loop->carry_bytes, loop->carry_offsets);
    blo_status status = blo_slots_create(context, loop->steps, n_slots, loop->n_state, loop->state_bytes, &loop->slots);
    for (int i = 0; i < 2 && status == BLO_OK; i++)
        status = blo_buffer_create(context, loop->carry_all_bytes, &loop->carry[i]);
    for (int i = 0; i < 2 && status == BLO_OK; i++)
        status = blo_buffer_zero(context, loop->carry[i], 0, loop->carry_all_bytes);
    if (status == BLO_OK)
        status = blo_buffer_create(context, (size_t)loop->steps * blo_dtype_size(loop->observed), &loop->values);
    if (status == BLO_OK)
        status = blo_buffer_create(context, ((size_t)loop->steps + 1) * sizeof(int32_t), &loop->numbers);
    if (status == BLO_OK)
        status = blo_buffer_create(context, layout->scratch_bytes, &loop->scratch);
    return status == BLO_OK ? fill_numbers(loop) : status;
}

blo_status blo_loop_create(blo_context *context, const blo_loop_layout *layout, blo_loop **result) {
    *result = NULL;
    uint64_t need;
    int n_slots = fit_slots(context, layout, &need);
    if (!n_slots) {
        uint64_t held =
            UINT64_MAX - blo_pool_available(context, UINT64_MAX); /* without what the pool could give back */
        return blo_fail(
            context, BLO_ERROR_BUDGET,
            "the memory budget is too small: a loop of %d steps needs at least %llu bytes, %llu of them held already",
            layout->steps, (unsigned long long)(need + held), (unsigned long long)held);
    }
    if (blo_pool_available(context, layout->budget) / 2 <
        need) /* a reused buffer may be larger than what was counted */
        blo_pool_trim(context);
    blo_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a loop");
    loop->context = context;
    loop->steps = layout->steps;
    loop->n_state = layout->n_state;
    loop->n_carry = layout->n_carry;
    loop->n_levels = layout->n_levels;
    loop->observed = layout->observed;
    loop->recalled = -1;
    blo_status status = allocate(loop, layout, n_slots);
    if (status != BLO_OK) {
        blo_loop_destroy(loop);
        return status;
    }
    loop->report.slots = n_slots;
    loop->report.state_bytes = loop->slots.bytes;
    loop->report.all_state_bytes = (uint64_t)n_slots * loop->slots.bytes;
    *result = loop;
    return BLO_OK;
}

void blo_loop_destroy(blo_loop *loop) {
    if (!loop)
        return;
    blo_slots_free(&loop->slots);
    blo_buffer_release(loop->carry[0]);
    blo_buffer_release(loop->carry[1]);
    blo_buffer_release(loop->values);
    blo_buffer_release(loop->numbers);
    blo_buffer_release(loop->scratch);
    free(loop->state_bytes);
    free(loop->carry_bytes);
    free(loop->carry_offsets);
    free(loop->inputs);
    free(loop->outputs);
    free(loop);
}

const blo_buffer *blo_loop_scratch(const blo_loop *loop) {
    return loop->scratch;
}

void blo_loop_levels(const blo_loop *loop, bool *steps, bool *adjoints) {
    for (int j = 0; j <= loop->n_levels; j++)
        steps[j] = adjoints[j] = j == 0;
}

/* --- one stage --- */

static blo_status reserve_places(blo_loop *loop, const blo_plan *plan) {
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

/* Queues STAGE with the state in SLOT, step number NUMBER and row ROW of per-step inputs; outputs are in loop->outputs.
 */
static blo_status queue_stage(blo_loop *loop, const blo_stage *stage, int slot, int number, int row) {
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
        case BLO_SOURCE_KEPT: *place = (blo_place){0}; break;
        case BLO_SOURCE_STEP: *place = (blo_place){loop->numbers, (uint64_t)number * sizeof(int32_t)}; break;
        }
    }
    return blo_plan_enqueue(stage->plan, loop->inputs, loop->outputs, loop->scratch);
}

/* s_{k+1} from s_k, each in its slot. */
static blo_status queue_step(blo_loop *loop, const blo_stage *step, int k) {
    for (int i = 0; i < loop->n_state; i++)
        loop->outputs[i] = blo_slots_place(&loop->slots, loop->slots.slot_of[k + 1], i);
    return queue_stage(loop, step, loop->slots.slot_of[k], k, k);
}

/* --- the run --- */

blo_place blo_loop_begin(blo_loop *loop, int i) {
    if (!loop->begun) {
        blo_slots_clear(&loop->slots);
        blo_slots_take(&loop->slots, 0); /* the lowest: slot 0 */
        loop->begun = true;
        loop->ran = false;
        loop->recalled = -1;
    }
    return blo_slots_place(&loop->slots, 0, i);
}

/* Makes room for one more state beside s_k: doubles the stride until something can go. SPARE slots stay free for
 * recomputing. */
static void make_room(blo_loop *loop, blo_thinning *thinning, int k, int spare) {
    while (loop->slots.n_free <= spare) {
        thinning->stride *= 2;
        for (int kept = 1; kept < k; kept++)
            if (!blo_thinning_keeps(thinning, kept))
                blo_slots_drop(&loop->slots, kept);
    }
}

blo_status blo_loop_run(blo_loop *loop, const blo_stage *step, const blo_stage *observe, bool every) {
    const blo_statistics *counters = blo_context_counters(loop->context);
    uint64_t launches = counters->launches;
    int spare = loop->slots.n < loop->steps + 1 ? 2 : 0;
    blo_thinning thinning = {.stride = 1};
    blo_status status = reserve_places(loop, step->plan);
    if (status == BLO_OK && observe)
        status = reserve_places(loop, observe->plan);
    blo_loop_begin(loop, 0);
    loop->begun = false;
    for (int k = 0; k < loop->steps && status == BLO_OK; k++) {
        make_room(loop, &thinning, k, spare);
        blo_slots_take(&loop->slots, k + 1);
        status = queue_step(loop, step, k);
        if (!blo_thinning_keeps(&thinning, k))
            blo_slots_drop(&loop->slots, k);
        if (status != BLO_OK || !observe || (!every && k + 1 < loop->steps))
            continue;
        loop->outputs[0] = (blo_place){loop->values, (uint64_t)k * blo_dtype_size(loop->observed)};
        status = queue_stage(loop, observe, loop->slots.slot_of[k + 1], k + 1, k);
    }
    loop->ran = status == BLO_OK;
    loop->every = every;
    loop->any_observed = observe != NULL;
    loop->report.snapshots = loop->slots.n - loop->slots.n_free;
    loop->report.recomputed_steps = 0;
    loop->report.run_launches = counters->launches - launches;
    return status;
}

blo_status blo_loop_observed(blo_loop *loop, double *values) {
    size_t size = blo_dtype_size(loop->observed), n = (size_t)loop->steps, first = loop->every ? 0 : n - 1;
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

/* --- states again --- */

static blo_status check_ran(const blo_loop *loop) {
    if (loop->ran)
        return BLO_OK;
    return blo_fail(loop->context, BLO_ERROR_STATE, "the loop has no states: it was not run, or its run failed");
}

static int nearest_kept(const blo_loop *loop, int k) {
    while (k > 0 && loop->slots.slot_of[k] < 0)
        k--;
    return k;
}

/* Recomputes from s_FROM (kept) to s_TO; what lies between is not kept, nor is a state whose step failed. Needs two
 * free slots, one if it is a single step. */
static blo_status advance(blo_loop *loop, const blo_stage *step, int from, int to) {
    blo_status status = BLO_OK;
    for (int k = from; k < to && status == BLO_OK; k++) {
        blo_slots_take(&loop->slots, k + 1);
        status = queue_step(loop, step, k);
        if (k > from)
            blo_slots_drop(&loop->slots, k);
        if (status != BLO_OK)
            blo_slots_drop(&loop->slots, k + 1);
        loop->report.recomputed_steps++;
    }
    return status;
}

/* Gives back the slot of a state that was recomputed for loop_state() only. */
static void forget_recalled(blo_loop *loop) {
    if (loop->recalled >= 0)
        blo_slots_drop(&loop->slots, loop->recalled);
    loop->recalled = -1;
}

blo_status blo_loop_state(blo_loop *loop, const blo_stage *step, int k, blo_place *places) {
    assert(k >= 0 && k <= loop->steps);
    blo_status status = check_ran(loop);
    if (status == BLO_OK)
        status = reserve_places(loop, step->plan);
    if (status == BLO_OK && loop->slots.slot_of[k] < 0) {
        forget_recalled(loop);
        status = advance(loop, step, nearest_kept(loop, k), k);
        loop->recalled = k;
    }
    for (int i = 0; i < loop->n_state && status == BLO_OK; i++)
        places[i] = blo_slots_place(&loop->slots, loop->slots.slot_of[k], i);
    return status;
}

blo_status blo_loop_rewind(blo_loop *loop, const blo_stage *steps, int k, blo_place *places) {
    return blo_loop_state(loop, steps, k, places);
}

/* --- the sweep --- */

blo_place blo_loop_carry(blo_loop *loop, int i) {
    return (blo_place){loop->carry[loop->now], loop->carry_offsets[i]};
}

static blo_status queue_adjoint(blo_loop *loop, const blo_stage *adjoint, int k, blo_dtype dtype) {
    for (int i = 0; i < loop->n_carry; i++)
        loop->outputs[i] = (blo_place){loop->carry[!loop->now], loop->carry_offsets[i]};
    blo_status status = queue_stage(loop, adjoint, loop->slots.slot_of[k], k, k);
    loop->now = !loop->now;
    if (status == BLO_OK) /* padding between the carries is zero: one launch looks at all of them */
        status = blo_flag_check(loop->context, dtype, loop->carry[loop->now], 0,
                                loop->carry_all_bytes / blo_dtype_size(dtype), (uint32_t)k + 1);
    return status;
}

/* Gives up s_FROM … s_{TO-1}. */
static void drop_states(blo_loop *loop, int from, int to) {
    for (int k = from; k < to; k++)
        blo_slots_drop(&loop->slots, k);
}

/* Sweeps steps TO-1 … FROM. s_FROM is kept; states between may be. Slots of states already passed are free. */
static blo_status sweep_range(blo_loop *loop, const blo_stage *step, const blo_stage *adjoint, int from, int to,
                              blo_dtype dtype) {
    blo_status status = BLO_OK;
    while (to > from && status == BLO_OK) {
        int kept = nearest_kept(loop, to - 1);
        int length = to - kept;
        if (length > 1) { /* keep another state on the way, and begin with what lies behind it */
            int distance = (int)blo_checkpoint_distance(length, loop->slots.n_free);
            status = advance(loop, step, kept, kept + distance);
            continue;
        }
        status = queue_adjoint(loop, adjoint, kept, dtype);
        if (kept > 0 && loop->slots.n < loop->steps + 1) /* thinned: its slot is wanted below */
            blo_slots_drop(&loop->slots, kept);
        to = kept;
    }
    return status;
}

blo_status blo_loop_sweep(blo_loop *loop, const blo_stage *step, const blo_stage *adjoint, int k, blo_dtype dtype) {
    assert(k >= 0 && k <= loop->steps);
    const blo_statistics *counters = blo_context_counters(loop->context);
    uint64_t launches = counters->launches;
    bool thinned = loop->slots.n < loop->steps + 1;
    blo_status status = check_ran(loop);
    if (status == BLO_OK)
        status = reserve_places(loop, step->plan);
    if (status == BLO_OK)
        status = reserve_places(loop, adjoint->plan);
    if (status != BLO_OK)
        return status;
    forget_recalled(loop);
    if (thinned) /* what the sweep does not pass is in the way, but for the last state */
        drop_states(loop, k > 0 ? k : 1, loop->steps);
    status = sweep_range(loop, step, adjoint, 0, k, dtype);
    if (status != BLO_OK && thinned) /* what it kept on its way fills slots that the next call needs */
        drop_states(loop, 1, loop->steps);
    loop->report.sweep_launches = counters->launches - launches;
    return status;
}

void blo_loop_describe(const blo_loop *loop, blo_loop_report *report) {
    *report = loop->report;
}
