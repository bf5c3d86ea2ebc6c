/* Small problems: which ones they are, their kernels, and the calls of the lower loop and of the method on them; see
 * small.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "small.h"

/* What one work-group may be given: the state, its carries and temporaries stay in the nearest caches, and a step takes
 * no longer than the launches that it saves. */
enum { SMALL_BYTES = 64 << 10, SMALL_SNAPSHOTS = 16 << 20 };
static const double small_work = 400e3; /* operations of one step and one observation; below teams.c's LEAST_WORK */

bool blo_small_fits(const blo_binder *binder) {
    const blo_whole_layout *layout = &binder->layout;
    const blo_trajectory *trajectory = binder->trajectory;
    uint64_t state = 0, bytes = 0;
    for (int i = 0; i < trajectory->n_state; i++)
        state += trajectory->array_bytes[i];
    for (int i = 0; i < binder->n_routines; i++)
        if (blo_routine_scratch_bytes(binder->routines[i]) > bytes)
            bytes = blo_routine_scratch_bytes(binder->routines[i]);
    bytes += state;
    for (int i = 0; i < layout->n_carry; i++)
        bytes += 2 * layout->carry_bytes[i];
    const double work = blo_routine_work(layout->step.routine) + blo_routine_work(layout->observe.routine);
    return bytes <= SMALL_BYTES && state * (uint64_t)(layout->steps + 1) <= SMALL_SNAPSHOTS && work <= small_work;
}

/* --- kernels of a solver --- */

void blo_small_drop_turns(blo_small_turns *turns) {
    blo_whole_destroy(turns->whole);
    free(turns->entries);
    *turns = (blo_small_turns){0};
}

void blo_small_free(blo_small *smalls) {
    while (smalls) {
        blo_small *next = smalls->next;
        blo_small_drop_turns(&smalls->turns);
        blo_whole_destroy(smalls->whole);
        free(smalls->entries);
        free(smalls->buffers);
        free(smalls);
        smalls = next;
    }
}

/* The kernel itself, if the problem is small; SMALL->whole stays NULL if it is not. */
static blo_status make_kernel(const blo_trajectory *trajectory, blo_binder *binder, blo_small *small) {
    blo_lower_solver *solver = trajectory->solver;
    const bool wanted = solver->options.whole == BLO_WHOLE_ON;
    blo_status status = blo_binder_open(binder, trajectory);
    if (status != BLO_OK)
        return status;
    if (binder->unfitting)
        return wanted ? blo_fail(solver->context, BLO_ERROR_UNSUPPORTED,
                                 "lower options: whole is on, but the objectives hold large matrix products")
                      : BLO_OK;
    if (!wanted && !blo_small_fits(binder))
        return BLO_OK;
    blo_binder_turn(binder, 1);
    status = blo_binder_status(binder);
    if (status == BLO_OK) {
        const uint64_t limit = blo_solver_enter(solver);
        status = blo_whole_create(solver->context, &binder->layout, &small->whole);
        blo_solver_leave(solver, limit);
    }
    const bool can_be_queued = status == BLO_ERROR_UNSUPPORTED || status == BLO_ERROR_BUDGET;
    return can_be_queued && !wanted ? BLO_OK : status;
}

static blo_status make_small(const blo_trajectory *trajectory, blo_small **result) {
    blo_context *context = trajectory->solver->context;
    blo_small *small = calloc(1, sizeof *small);
    blo_binder *binder = calloc(1, sizeof *binder); /* too large for a stack */
    blo_status status = BLO_OK;
    if (!small || !binder) {
        status = blo_fail(context, BLO_ERROR_MEMORY, "no memory for a small problem");
        goto fail;
    }
    small->step = trajectory->step;
    small->observe = trajectory->observe;
    status = make_kernel(trajectory, binder, small);
    if (status != BLO_OK)
        goto fail;
    small->n_entries = binder->layout.n_table;
    small->entries = malloc(sizeof binder->entries);
    small->buffers = calloc(BLO_SMALL_ENTRIES, sizeof *small->buffers);
    if (!small->entries || !small->buffers) {
        status = blo_fail(context, BLO_ERROR_MEMORY, "no memory for a small problem");
        goto fail;
    }
    memcpy(small->entries, binder->entries, sizeof binder->entries);
    *result = small;
    small = NULL;
fail:
    if (binder)
        blo_binder_free(binder);
    free(binder);
    blo_small_free(small);
    return status;
}

blo_status blo_small_find(blo_trajectory *trajectory, blo_small **result) {
    blo_lower_solver *solver = trajectory->solver;
    blo_loop_memory memory;
    *result = NULL;
    if (trajectory->tasks > 1 || solver->options.whole == BLO_WHOLE_OFF || trajectory->step->hoist ||
        trajectory->observe->hoist)
        return BLO_OK;
    if (!blo_loop_memory_of(trajectory->loop, &memory)) /* snapshots are thinned */
        return solver->options.whole == BLO_WHOLE_ON
                   ? blo_fail(solver->context, BLO_ERROR_UNSUPPORTED,
                              "lower options: whole is on, but the memory budget has no room for all %d states",
                              solver->options.lower_loop + 1)
                   : BLO_OK;
    blo_small *small = solver->smalls;
    while (small && (small->step != trajectory->step || small->observe != trajectory->observe))
        small = small->next;
    if (!small) {
        blo_status status = make_small(trajectory, &small);
        if (status != BLO_OK)
            return status;
        small->next = solver->smalls;
        solver->smalls = small;
    }
    *result = small->whole ? small : NULL;
    return BLO_OK;
}

/* --- the calls --- */

blo_status blo_small_run(blo_trajectory *trajectory, blo_buffer *const *warm) {
    blo_small *small = trajectory->small;
    blo_whole_record record;
    int done = 0;
    blo_entries_resolve(trajectory, small->n_entries, small->entries, warm, small->buffers);
    blo_status status = blo_whole_run(small->whole, trajectory->loop, small->buffers, 1, false);
    if (status == BLO_OK)
        status = blo_whole_read(small->whole, 1, &done, &record, trajectory->losses);
    if (status == BLO_OK && done == 1 && !record.wrong) {
        trajectory->swept = record.chosen;
        trajectory->sweep_failed = record.failed;
    }
    return status;
}

blo_status blo_small_raise(blo_lower_solver *solver, int step) {
    const double wide = (double)NAN;
    const float narrow = NAN;
    const blo_dtype dtype = blo_model_dtype(solver->lower);
    const bool is_double = dtype == BLO_DOUBLE;
    blo_status status = blo_buffer_write(solver->context, solver->value, 0, blo_dtype_size(dtype),
                                         is_double ? (const void *)&wide : (const void *)&narrow);
    return status == BLO_OK ? blo_flag_check(solver->context, dtype, solver->value, 0, 1, (uint32_t)step) : status;
}

blo_status blo_small_add(blo_trajectory *trajectory) {
    blo_small *small = trajectory->small;
    blo_lower_solver *solver = trajectory->solver;
    blo_status status = BLO_OK;
    if (trajectory->sweep_failed)
        status = blo_small_raise(solver, trajectory->sweep_failed);
    blo_entries_resolve(trajectory, small->n_entries, small->entries, solver->warm, small->buffers);
    if (status == BLO_OK)
        status = blo_whole_add(small->whole, trajectory->loop, small->buffers);
    for (int i = 0; i < trajectory->step->n_upper; i++)
        blo_tensor_touch(blo_model_gradient_at(solver->upper, i));
    for (int i = 0; solver->options.initialization_auxiliary && i < trajectory->step->n_lower; i++)
        blo_tensor_touch(blo_model_gradient_at(solver->lower, i));
    return status;
}
