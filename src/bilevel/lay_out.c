/* The lower loop laid out: its programs found or traced, and its memory fitted to the budget. Knows nothing of how the
 * loop is queued. */
#include "lay_out.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "saved.h"
#include "small.h"
#include "track.h"

/* --- programs --- */

static blo_status prepare(blo_lower_solver *solver, const blo_key *key, const char *what, blo_program **program) {
    blo_status status = blo_program_get(solver, key, what, program);
    if (status == BLO_OK)
        status = blo_program_plan(solver, *program);
    if (status == BLO_OK) /* made now, so that its scratch is known before the loop takes what is left of the budget */
        status = blo_program_adjoint(solver, *program);
    if (status == BLO_OK)
        status = blo_tracks_prepare(solver, *program);
    if (status == BLO_OK)
        status = blo_hoist_prepare(solver, *program, true);
    return status;
}

/* All kernels of a loop and its sweep, as one program where this is the first loop: those of the levels that it asks
 * for. */
static blo_status build_plans(const blo_trajectory *trajectory) {
    const blo_levels *levels = trajectory->step->levels;
    bool used[BLO_MOST_LEVELS + 1];
    const blo_hoist *hoists[] = {trajectory->step->hoist, trajectory->observe->hoist};
    blo_plan *plans[2 * (BLO_MOST_LEVELS + 1) + 6 + BLO_TRACKER_PLANS] = {trajectory->observe->plan,
                                                                          trajectory->observe->adjoint};
    int n = 2 + blo_tracker_plans(trajectory->tracker, plans + 2);
    for (int i = 0; i < 2; i++) {
        if (!hoists[i])
            continue;
        blo_hoist_plans(hoists[i], &plans[n], &plans[n + 1]);
        n += plans[n + 1] ? 2 : 1;
    }
    blo_loop_levels(trajectory->loop, used);
    for (int level = 0; level <= levels->n; level++) {
        if (!used[level])
            continue;
        plans[n++] = levels->steps[level];
        plans[n++] = levels->adjoints[level];
    }
    blo_status status = blo_flag_want(trajectory->solver->context, blo_model_dtype(trajectory->solver->lower));
    for (int i = 0; status == BLO_OK && i < n; i++)
        status = blo_plan_want(plans[i]);
    for (int i = 0; status == BLO_OK && i < n; i++)
        status = blo_plan_build(plans[i]);
    return status;
}

static blo_status prepare_both(blo_lower_solver *solver, const blo_loop_data *data, blo_program **step,
                               blo_program **observe) {
    blo_key key;
    blo_status status = blo_key_make(solver, BLO_PROGRAM_STEP, solver->lower_objective, solver->user, solver->tasks,
                                     data->train_data, data->train_target, NULL, 0, &key);
    if (status == BLO_OK)
        status = prepare(solver, &key, "lower objective", step);
    blo_key_free(&key);
    if (status == BLO_OK)
        status = blo_levels_make(solver, *step);
    if (status != BLO_OK)
        return status;
    status = blo_key_make(solver, BLO_PROGRAM_SCALAR, solver->upper_objective, solver->user, solver->tasks,
                          data->validate_data, data->validate_target, NULL, 0, &key);
    if (status == BLO_OK)
        status = prepare(solver, &key, "upper objective", observe);
    blo_key_free(&key);
    return status;
}

/* Twice what plans keep of fixed data: it is kept if half of what the pool has left has room for it, and a loop that
 * took all would have every step pack its data again. */
static uint64_t spare_for(const blo_program *step, const blo_program *observe) {
    return 2 *
           (blo_plan_kept_bytes(step->plan) + blo_plan_kept_bytes(step->adjoint) + blo_plan_kept_bytes(observe->plan));
}

static uint64_t larger(uint64_t bytes, const blo_plan *plan) {
    return blo_plan_scratch_bytes(plan) > bytes ? blo_plan_scratch_bytes(plan) : bytes;
}

static uint64_t largest_scratch(const blo_program *step, const blo_program *observe, const blo_tracker *tracker) {
    blo_plan *plans[BLO_TRACKER_PLANS];
    uint64_t largest = larger(larger(0, observe->plan), observe->adjoint);
    const blo_hoist *hoists[] = {step->hoist, observe->hoist};
    for (int i = 0; i < 2; i++) {
        if (hoists[i])
            largest = larger(largest, hoists[i]->prologue);
        if (hoists[i] && hoists[i]->pullback)
            largest = larger(largest, hoists[i]->pullback);
    }
    for (int level = 0; level <= step->levels->n; level++)
        largest = larger(larger(largest, step->levels->steps[level]), step->levels->adjoints[level]);
    for (int i = blo_tracker_plans(tracker, plans); i-- > 0;)
        largest = larger(largest, plans[i]);
    return largest;
}

/* --- the loop's memory --- */

/* Bytes of output I of PLAN, in all turns of the step. */
static uint64_t output_bytes(const blo_program *step, const blo_plan *plan, int i) {
    return (uint64_t)step->turns * blo_plan_output_bytes(plan, i);
}

/* Bytes of every state array, then of every carry: [n_state + n_carry]; NULL: no memory. */
static uint64_t *array_sizes(const blo_program *step) {
    uint64_t *bytes = calloc((size_t)(step->n_state + step->n_carry), sizeof *bytes);
    for (int i = 0; bytes && i < step->n_state; i++)
        bytes[i] = output_bytes(step, step->plan, i);
    for (int i = 0; bytes && i < step->n_carry; i++)
        bytes[step->n_state + i] = output_bytes(step, step->adjoint, i);
    return bytes;
}

/* Whether each task has a part of its own in carry I. */
static bool in_parts(const blo_program *step, int i) {
    return step->turns > 1 || (step->batch && step->batch->own[i]);
}

/* The same of all carries, [n_carry]; NULL: no memory. */
static bool *carries_in_parts(const blo_program *step) {
    bool *parts = calloc((size_t)step->n_carry + 1, sizeof *parts);
    for (int i = 0; parts && i < step->n_carry; i++)
        parts[i] = in_parts(step, i);
    return parts;
}

/* Room for what TRAJECTORY has of each task. A loop of another number of tasks is given up. */
static blo_status fit_tasks(blo_trajectory *trajectory) {
    blo_lower_solver *solver = trajectory->solver;
    const int tasks = solver->tasks;
    if (tasks == trajectory->tasks && (tasks == 1 || trajectory->chosen))
        return BLO_OK;
    double *losses = realloc(trajectory->losses, (size_t)tasks * (size_t)solver->options.lower_loop * sizeof *losses);
    if (!losses)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a trajectory of %d tasks", tasks);
    trajectory->losses = losses;
    blo_loop_destroy(trajectory->loop);
    trajectory->loop = NULL;
    blo_buffer_release(trajectory->chosen);
    trajectory->chosen = NULL;
    trajectory->tasks = tasks;
    return tasks == 1 ? BLO_OK
                      : blo_buffer_create(solver->context, (size_t)tasks * sizeof(int32_t), &trajectory->chosen);
}

/* Whether the trajectory's loop was made for just these arrays, and as much scratch. */
static bool loop_fits(const blo_trajectory *trajectory, const blo_program *step, uint64_t scratch_bytes) {
    bool fits = trajectory->loop && trajectory->n_state == step->n_state && trajectory->n_carry == step->n_carry &&
                trajectory->scratch_bytes >= scratch_bytes;
    const blo_levels *levels = step->levels;
    fits = fits && trajectory->n_levels == levels->n &&
           memcmp(levels->bytes, trajectory->keep_bytes, (size_t)levels->n * sizeof levels->bytes[0]) == 0;
    for (int i = 0; fits && i < step->n_state; i++)
        fits = trajectory->array_bytes[i] == output_bytes(step, step->plan, i);
    for (int i = 0; fits && i < step->n_carry; i++)
        fits = trajectory->array_bytes[step->n_state + i] == output_bytes(step, step->adjoint, i) &&
               trajectory->in_parts[i] == in_parts(step, i);
    return fits;
}

/* Keeps the trajectory's loop if it fits the programs, else makes one. */
static blo_status fit_loop(blo_trajectory *trajectory, const blo_program *step, uint64_t scratch_bytes) {
    blo_lower_solver *solver = trajectory->solver;
    if (loop_fits(trajectory, step, scratch_bytes))
        return BLO_OK;
    uint64_t *bytes = array_sizes(step);
    bool *parts = carries_in_parts(step);
    if (!bytes || !parts) {
        free(bytes);
        free(parts);
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a lower loop");
    }
    const blo_levels *levels = step->levels;
    const size_t keeps = (size_t)levels->n * sizeof levels->bytes[0];
    blo_loop_destroy(trajectory->loop);
    trajectory->loop = NULL;
    free(trajectory->array_bytes);
    trajectory->array_bytes = bytes;
    free(trajectory->in_parts);
    trajectory->in_parts = parts;
    trajectory->n_state = step->n_state;
    trajectory->n_carry = step->n_carry;
    trajectory->scratch_bytes = scratch_bytes;
    trajectory->n_levels = levels->n;
    memcpy(trajectory->keep_bytes, levels->bytes, keeps);
    const blo_loop_layout layout = {.steps = solver->options.lower_loop,
                                    .n_state = step->n_state,
                                    .state_bytes = bytes,
                                    .n_carry = step->n_carry,
                                    .carry_bytes = bytes + step->n_state,
                                    .observed = blo_model_dtype(solver->lower),
                                    .n_observed = trajectory->tasks,
                                    .scratch_bytes = scratch_bytes,
                                    .budget = solver->options.memory_budget,
                                    .spare_bytes = spare_for(step, trajectory->observe),
                                    .n_levels = levels->n,
                                    .keep_bytes = levels->bytes,
                                    .step_cost = levels->step_cost,
                                    .adjoint_cost = levels->adjoint_cost,
                                    .parts = trajectory->tasks,
                                    .part_name = "task",
                                    .in_parts = parts,
                                    .last_stays = true}; /* y_T can be read after x has changed */
    return blo_loop_create(solver->context, &layout, &trajectory->loop);
}

/* Buffers for the last y_T, ended by a NULL. Made before the first loop, which takes what is left of the budget. */
static blo_status make_warm(blo_lower_solver *solver, blo_buffer ***made) {
    const int n = solver->n_lower;
    blo_buffer **warm = calloc((size_t)n + 1, sizeof(blo_buffer *));
    *made = warm;
    if (!warm)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a warm start");
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < n; i++)
        status = blo_buffer_create(
            solver->context, (size_t)solver->tasks * blo_tensor_bytes(blo_model_value_at(solver->lower, i)), &warm[i]);
    return status;
}

void blo_warm_free(blo_buffer **warm) {
    for (int i = 0; warm && warm[i]; i++)
        blo_buffer_release(warm[i]);
    free(warm);
}

/* --- all of it --- */

/* The small arrays beside the loop are made first and without the solver's limit: the loop then takes what the budget
 * leaves, and where that is too little it knows the least in all. */
blo_status blo_trajectory_lay_out(blo_trajectory *trajectory, const blo_loop_data *data, blo_buffer ***new_warm) {
    blo_lower_solver *solver = trajectory->solver;
    blo_program *step = NULL, *observe = NULL;
    *new_warm = NULL;
    if (solver->tasks > 1 && solver->options.whole == BLO_WHOLE_ON)
        return blo_fail(solver->context, BLO_ERROR_UNSUPPORTED,
                        "lower options: whole is on, but %d tasks at once are queued", solver->tasks);
    blo_status status = prepare_both(solver, data, &step, &observe);
    if (status == BLO_OK)
        status = blo_solver_prepare(solver, solver->tasks);
    if (status == BLO_OK && solver->options.warm_start && !solver->warm)
        status = make_warm(solver, new_warm);
    blo_tracker *tracker = NULL;
    if (status == BLO_OK)
        status = blo_tracker_find(solver, step, observe, &tracker);
    if (status == BLO_OK)
        status = blo_trajectory_reserve(trajectory, step, observe);
    if (status == BLO_OK)
        status = blo_batch_reserve(solver, observe);
    if (status != BLO_OK)
        return status;
    if (trajectory->state != BLO_TRAJECTORY_EMPTY)
        trajectory->state = BLO_TRAJECTORY_FAILED;
    trajectory->step = step;
    trajectory->observe = observe;
    trajectory->tracker = tracker;
    trajectory->swept = 0;
    status = fit_tasks(trajectory);
    if (status == BLO_OK)
        status = fit_loop(trajectory, step, largest_scratch(step, observe, trajectory->tracker));
    if (status == BLO_ERROR_BUDGET && blo_saved_give_up(solver)) /* what is saved is for speed alone */
        status = fit_loop(trajectory, step, largest_scratch(step, observe, trajectory->tracker));
    if (status == BLO_OK)
        status = blo_saved_make(solver, step, trajectory->scratch_bytes);
    if (status == BLO_OK)
        status = blo_saved_make(solver, observe, trajectory->scratch_bytes);
    if (status == BLO_OK)
        status = blo_trajectory_bind(trajectory, data);
    if (status == BLO_OK)
        status = blo_small_find(trajectory, &trajectory->small);
    return status == BLO_OK && !trajectory->small ? build_plans(trajectory) : status;
}
