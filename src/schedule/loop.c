/* The life of a loop: what it allocates, how the budget is divided, what it reports; see schedule.h. */
#include "loop.h"

#include <stdlib.h>

/* --- how much of what --- */

static uint64_t carry_layout(const blo_device_facts *facts, int n, const uint64_t *bytes, uint64_t *offsets) {
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        if (offsets)
            offsets[i] = total;
        total += (bytes[i] + facts->base_alignment - 1) / facts->base_alignment * facts->base_alignment;
    }
    return total;
}

static int observed_scalars(const blo_loop_layout *layout) {
    return layout->n_observed > 0 ? layout->n_observed : 1;
}

/* Carries that consist of parts. */
static int carries_in_parts(const blo_loop_layout *layout) {
    int rows = 0;
    for (int i = 0; layout->parts > 1 && i < layout->n_carry; i++)
        rows += layout->in_parts[i] && layout->carry_bytes[i] > 0;
    return rows;
}

static size_t parts_table_bytes(int rows) {
    return (size_t)rows * 2 * sizeof(uint64_t);
}

/* Bytes beside states and kept arrays. */
static uint64_t fixed_bytes(const blo_device_facts *facts, const blo_loop_layout *layout) {
    return 2 * carry_layout(facts, layout->n_carry, layout->carry_bytes, NULL) + layout->scratch_bytes +
           (uint64_t)layout->steps *
               ((uint64_t)observed_scalars(layout) * blo_dtype_size(layout->observed) + sizeof(int32_t)) +
           parts_table_bytes(carries_in_parts(layout)) + 8 * facts->base_alignment;
}

/* How many slots for array I that steps keep. */
static int keep_slots(const blo_split *split, int steps, int i) {
    if (split->thinned)
        return i < split->level ? split->rooms : 0;
    return i < split->full_levels ? steps : i == split->full_levels ? split->more_steps : 0;
}

static blo_status refuse(blo_context *context, const blo_loop_layout *layout, uint64_t need) {
    uint64_t held = UINT64_MAX - blo_pool_available(context, UINT64_MAX); /* without what the pool could give back */
    return blo_fail(
        context, BLO_ERROR_BUDGET,
        "the memory budget is too small: a loop of %d steps needs at least %llu bytes, %llu of them held already",
        layout->steps, (unsigned long long)(need + held), (unsigned long long)held);
}

/* Divides what the budget leaves. *NEED: bytes that the loop takes in all. */
static blo_status divide(blo_context *context, const blo_loop_layout *layout, blo_split *split, uint64_t *need) {
    const blo_device_facts *facts = blo_context_facts(context);
    uint64_t *keep_bytes = calloc((size_t)layout->n_levels + 1, sizeof *keep_bytes);
    if (!keep_bytes)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a loop");
    blo_split_request request = {.steps = layout->steps,
                                 .last_stays = layout->last_stays,
                                 .state_bytes = blo_slots_state_bytes(facts, layout->n_state, layout->state_bytes),
                                 .keep_bytes = keep_bytes,
                                 .step_cost = layout->step_cost,
                                 .adjoint_cost = layout->adjoint_cost};
    for (; request.n_levels < layout->n_levels; request.n_levels++) { /* up to the first that no buffer can hold */
        uint64_t bytes = blo_slots_state_bytes(facts, 1, &layout->keep_bytes[request.n_levels]);
        if (bytes > facts->max_allocation)
            break;
        keep_bytes[request.n_levels] = bytes;
    }
    uint64_t fixed = fixed_bytes(facts, layout), available = blo_pool_available(context, layout->budget),
             least = (uint64_t)blo_split_least(&request) * request.state_bytes;
    available = available > fixed ? available - fixed : 0;
    request.available = available > layout->spare_bytes ? available - layout->spare_bytes : 0;
    if (request.available < least) /* nothing to spare */
        request.available = available < least ? available : least;
    bool made = blo_split_budget(&request, split);
    *need = fixed + (uint64_t)split->slots * request.state_bytes;
    for (int i = 0; i < request.n_levels; i++)
        *need += (uint64_t)keep_slots(split, layout->steps, i) * keep_bytes[i];
    free(keep_bytes);
    if (!made)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a loop of %d steps", layout->steps);
    return split->slots > 0 ? BLO_OK : refuse(context, layout, fixed + least);
}

/* --- creation --- */

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

static blo_status allocate_host(blo_loop *loop, const blo_loop_layout *layout) {
    size_t states = (size_t)layout->steps + 1;
    loop->carry_offsets = calloc((size_t)layout->n_carry + 1, sizeof *loop->carry_offsets);
    loop->keeps = calloc((size_t)layout->n_levels + 1, sizeof *loop->keeps);
    loop->kept_steps = calloc((size_t)layout->n_levels + 1, sizeof *loop->kept_steps);
    loop->live = calloc(states, sizeof *loop->live);
    loop->live_steps = calloc(states, sizeof *loop->live_steps);
    loop->used = calloc((size_t)layout->n_levels + 1, sizeof *loop->used);
    bool made = loop->carry_offsets && loop->keeps && loop->kept_steps && loop->live && loop->live_steps && loop->used;
    if (made && loop->split.thinned)
        made = blo_checkpoints_create(layout->steps, loop->split.slots - layout->last_stays, loop->split.longest,
                                      &loop->checkpoints);
    return made ? BLO_OK : blo_fail(loop->context, BLO_ERROR_MEMORY, "no host memory for a loop");
}

/* The two sets of carries, all zero: what lies between arrays stays so, and one check can look at all of a set. */
static blo_status allocate_carries(blo_loop *loop, const blo_loop_layout *layout) {
    blo_context *context = loop->context;
    loop->carry_bytes =
        carry_layout(blo_context_facts(context), layout->n_carry, layout->carry_bytes, loop->carry_offsets);
    blo_status status = BLO_OK;
    for (int i = 0; i < 2 && status == BLO_OK; i++) {
        status = blo_buffer_create(context, loop->carry_bytes, &loop->carry[i]);
        if (status == BLO_OK)
            status = blo_buffer_zero(context, loop->carry[i], 0, loop->carry_bytes);
    }
    return status;
}

/* Where the parts of carries lie, for the check of them all. */
static blo_status make_parts(blo_loop *loop, const blo_loop_layout *layout) {
    const int rows = carries_in_parts(layout);
    const size_t bytes = parts_table_bytes(rows);
    if (rows == 0)
        return BLO_OK;
    uint64_t *table = malloc(bytes);
    if (!table)
        return blo_fail(loop->context, BLO_ERROR_MEMORY, "no host memory for a loop");
    for (int i = 0, row = 0; i < layout->n_carry; i++)
        if (layout->in_parts[i] && layout->carry_bytes[i] > 0) {
            table[2 * row] = loop->carry_offsets[i];
            table[2 * row++ + 1] = layout->carry_bytes[i] / (uint64_t)layout->parts;
        }
    blo_status status = blo_buffer_create(loop->context, bytes, &loop->parts_table);
    if (status == BLO_OK)
        status = blo_buffer_write(loop->context, loop->parts_table, 0, bytes, table);
    free(table);
    loop->parts =
        (blo_flag_parts){.name = layout->part_name, .n = layout->parts, .table = loop->parts_table, .rows = rows};
    return status;
}

static blo_status allocate(blo_loop *loop, const blo_loop_layout *layout) {
    blo_context *context = loop->context;
    size_t steps = (size_t)layout->steps;
    blo_status status =
        blo_slots_create(context, layout->steps, loop->split.slots, layout->n_state, layout->state_bytes, &loop->slots);
    for (int i = 0; i < loop->n_levels && status == BLO_OK; i++)
        if (keep_slots(&loop->split, loop->steps, i) > 0)
            status = blo_slots_create(context, layout->steps, keep_slots(&loop->split, loop->steps, i), 1,
                                      &layout->keep_bytes[i], &loop->keeps[i]);
    if (status == BLO_OK)
        status = allocate_carries(loop, layout);
    if (status == BLO_OK)
        status = make_parts(loop, layout);
    if (status == BLO_OK)
        status = blo_buffer_create(context, steps * (size_t)loop->n_observed * blo_dtype_size(loop->observed),
                                   &loop->values);
    if (status == BLO_OK)
        status = blo_buffer_create(context, (steps + 1) * sizeof(int32_t), &loop->numbers);
    if (status == BLO_OK)
        status = blo_buffer_create(context, layout->scratch_bytes, &loop->scratch);
    return status == BLO_OK ? fill_numbers(loop) : status;
}

static void begin_report(blo_loop *loop) {
    blo_loop_report *report = &loop->report;
    report->slots = loop->split.slots;
    report->state_bytes = loop->slots.bytes;
    report->all_state_bytes = (uint64_t)loop->split.slots * loop->slots.bytes;
    report->kept_steps = loop->kept_steps;
    for (int i = 0; i < loop->n_levels; i++) {
        report->all_keep_bytes += (uint64_t)loop->keeps[i].n * loop->keeps[i].bytes;
        if (loop->keeps[i].n > report->keep_slots)
            report->keep_slots = loop->keeps[i].n;
    }
}

blo_status blo_loop_create(blo_context *context, const blo_loop_layout *layout, blo_loop **result) {
    *result = NULL;
    uint64_t need = 0;
    blo_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a loop");
    loop->context = context;
    loop->steps = layout->steps;
    loop->n_state = layout->n_state;
    loop->n_carry = layout->n_carry;
    loop->n_levels = layout->n_levels;
    loop->observed = layout->observed;
    loop->n_observed = observed_scalars(layout);
    loop->last_stays = layout->last_stays;
    loop->recalled = loop->rewound = -1;
    blo_status status = divide(context, layout, &loop->split, &need);
    if (status == BLO_OK)
        status = allocate_host(loop, layout);
    if (status != BLO_OK)
        goto fail;
    if (blo_pool_available(context, layout->budget) / 2 < need) /* a reused buffer may be larger than was counted */
        blo_pool_trim(context);
    status = allocate(loop, layout);
    if (status != BLO_OK)
        goto fail;
    begin_report(loop);
    *result = loop;
    return BLO_OK;
fail:
    blo_loop_destroy(loop);
    return status;
}

void blo_loop_destroy(blo_loop *loop) {
    if (!loop)
        return;
    blo_recording_release(loop->recording);
    blo_slots_free(&loop->slots);
    for (int i = 0; loop->keeps && i < loop->n_levels; i++)
        blo_slots_free(&loop->keeps[i]);
    blo_buffer_release(loop->carry[0]);
    blo_buffer_release(loop->carry[1]);
    blo_buffer_release(loop->parts_table);
    blo_buffer_release(loop->values);
    blo_buffer_release(loop->numbers);
    blo_buffer_release(loop->scratch);
    blo_checkpoints_free(&loop->checkpoints);
    free(loop->keeps);
    free(loop->kept_steps);
    free(loop->carry_offsets);
    free(loop->live);
    free(loop->live_steps);
    free(loop->used);
    free(loop->bindings);
    free(loop->inputs);
    free(loop->outputs);
    free(loop);
}

/* --- what it is like --- */

const blo_buffer *blo_loop_scratch(const blo_loop *loop) {
    return loop->scratch;
}

void blo_loop_levels(const blo_loop *loop, bool *used) {
    const blo_split *split = &loop->split;
    for (int j = 0; j <= loop->n_levels; j++) {
        bool run = (j == split->full_levels && split->more_steps < loop->steps) ||
                   (j == split->full_levels + 1 && split->more_steps > 0);
        used[j] = split->thinned ? j == 0 || (split->rooms > 0 && j == split->level) : run;
    }
}

void blo_loop_describe(const blo_loop *loop, blo_loop_report *report) {
    *report = loop->report;
}
