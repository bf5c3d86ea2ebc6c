/* The lower loop: programs found or traced, the loop laid out in memory, bound, queued, and read with one wait. */
#include <math.h>
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
    bool steps[BLO_MOST_LEVELS + 1], adjoints[BLO_MOST_LEVELS + 1];
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
    blo_loop_levels(trajectory->loop, steps, adjoints);
    for (int level = 0; level <= levels->n; level++) {
        if (steps[level])
            plans[n++] = levels->steps[level];
        if (adjoints[level])
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

/* --- binding --- */

static blo_source fixed(const blo_tensor *tensor) {
    return (blo_source){.kind = BLO_SOURCE_FIXED, .place = {blo_tensor_buffer(tensor), 0}};
}

static blo_source source_of(const blo_trajectory *trajectory, const blo_program *program, const blo_watched *data,
                            const blo_watched *target, blo_role role) {
    switch (role.kind) {
    case BLO_ROLE_STATE: return (blo_source){.kind = BLO_SOURCE_STATE, .index = role.index};
    case BLO_ROLE_CARRY: return (blo_source){.kind = BLO_SOURCE_CARRY, .index = role.index};
    case BLO_ROLE_KEPT: return (blo_source){.kind = BLO_SOURCE_KEPT, .index = role.index};
    case BLO_ROLE_HOISTED:
        return (blo_source){.kind = BLO_SOURCE_FIXED, .place = {program->hoist->arrays[role.index], 0}};
    case BLO_ROLE_CHOSEN: return (blo_source){.kind = BLO_SOURCE_FIXED, .place = {trajectory->chosen, 0}};
    case BLO_ROLE_COTANGENT:
    case BLO_ROLE_SAVED:
    case BLO_ROLE_CARRIED:
    case BLO_ROLE_RUNNING:
    case BLO_ROLE_TRACKED:
    case BLO_ROLE_NONE: break;
    case BLO_ROLE_UPPER_BUFFER:
    case BLO_ROLE_LOWER_BUFFER: return fixed(blo_solver_buffer(trajectory->solver, role));
    case BLO_ROLE_UPPER: return fixed(blo_model_value_at(trajectory->solver->upper, role.index));
    case BLO_ROLE_INITIAL: return (blo_source){.kind = BLO_SOURCE_FIXED, .place = trajectory->initial[role.index]};
    case BLO_ROLE_DATA: return fixed(data->tensor);
    case BLO_ROLE_TARGET: return fixed(target->tensor);
    case BLO_ROLE_STEP: return (blo_source){.kind = BLO_SOURCE_STEP};
    case BLO_ROLE_NAMED: {
        const blo_watched *named = &trajectory->named[role.index];
        blo_source source = fixed(named->tensor);
        if (named->per_step) {
            source.kind = BLO_SOURCE_PER_STEP;
            source.row_bytes = blo_tensor_bytes(named->tensor) / (uint64_t)trajectory->solver->options.lower_loop;
        }
        return source;
    }
    }
    return (blo_source){.kind = BLO_SOURCE_UNUSED};
}

/* Sources of every input of PLAN, in *SOURCES, whose memory is used again. */
static blo_status bind_plan(const blo_trajectory *trajectory, const blo_program *program, const blo_plan *plan,
                            const blo_watched *data, const blo_watched *target, blo_source **sources) {
    const int inputs = blo_plan_inputs(plan);
    blo_source *made = realloc(*sources, ((size_t)inputs + 1) * sizeof *made);
    if (!made)
        return blo_fail(trajectory->solver->context, BLO_ERROR_MEMORY, "no memory to bind a lower loop");
    *sources = made;
    for (int i = 0; i < inputs; i++) {
        made[i] = (blo_source){.kind = BLO_SOURCE_UNUSED};
        if (blo_plan_uses_input(plan, i))
            made[i] = source_of(trajectory, program, data, target, program->roles[i]);
        if (program->turns > 1)
            made[i].turn_bytes = blo_turn_bytes(trajectory->solver, program, i);
    }
    return BLO_OK;
}

/* Whether anything that a loop or its sweep computes of PROGRAM reads its input. */
static bool loop_reads(const blo_program *program, int input) {
    const blo_hoist *hoist = program->hoist;
    return blo_plan_uses_input(program->plan, input) || blo_plan_uses_input(program->adjoint, input) ||
           (hoist && blo_plan_uses_input(hoist->prologue, input));
}

static blo_status watch_buffers(blo_trajectory *trajectory) {
    const blo_lower_solver *solver = trajectory->solver;
    const blo_program *programs[] = {trajectory->step, trajectory->observe};
    const int most = 2 * (blo_model_buffer_count(solver->upper) + blo_model_buffer_count(solver->lower));
    blo_watched *buffers = realloc(trajectory->buffers, ((size_t)most + 1) * sizeof *buffers);
    if (!buffers)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a trajectory");
    trajectory->buffers = buffers;
    int n = 0;
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < blo_plan_inputs(programs[p]->plan); i++) {
            blo_tensor *buffer = blo_solver_buffer(solver, programs[p]->roles[i]);
            if (!buffer || !loop_reads(programs[p], i))
                continue;
            if (n == trajectory->n_buffers)
                buffers[trajectory->n_buffers++] = (blo_watched){0};
            blo_watch(&buffers[n++], buffer);
        }
    while (n < trajectory->n_buffers)
        blo_watch(&buffers[--trajectory->n_buffers], NULL);
    return BLO_OK;
}

/* Remembers what the loop reads, with versions. */
static blo_status watch_inputs(blo_trajectory *trajectory, const blo_loop_data *data) {
    const blo_lower_solver *solver = trajectory->solver;
    const int n_upper = solver->n_upper;
    blo_watched *upper = realloc(trajectory->upper, ((size_t)n_upper + 1) * sizeof *upper);
    if (upper)
        trajectory->upper = upper;
    blo_watched *named = realloc(trajectory->named, ((size_t)solver->n_named + 1) * sizeof *named);
    if (named)
        trajectory->named = named;
    if (!upper || !named)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a trajectory");
    for (; trajectory->n_upper < n_upper; trajectory->n_upper++)
        upper[trajectory->n_upper] = (blo_watched){0};
    for (; trajectory->n_named < solver->n_named; trajectory->n_named++)
        named[trajectory->n_named] = (blo_watched){0};
    for (int i = 0; i < n_upper; i++)
        blo_watch(&upper[i], blo_model_value_at(solver->upper, i));
    for (int i = 0; i < solver->n_named; i++) {
        blo_watch(&named[i], solver->named[i].tensor);
        named[i].per_step = solver->named[i].per_step;
        named[i].per_task = solver->named[i].per_task;
    }
    blo_watch(&trajectory->train_data, data->train_data);
    blo_watch(&trajectory->train_target, data->train_target);
    blo_watch(&trajectory->validate_data, data->validate_data);
    blo_watch(&trajectory->validate_target, data->validate_target);
    return watch_buffers(trajectory);
}

static blo_status bind_loop(blo_trajectory *trajectory, const blo_loop_data *data) {
    const blo_program *step = trajectory->step, *observe = trajectory->observe;
    const int n = step->n_lower;
    blo_status status = watch_inputs(trajectory, data);
    if (status != BLO_OK)
        return status;
    blo_place *initial = realloc(trajectory->initial, (size_t)n * sizeof *initial);
    if (!initial)
        return blo_fail(trajectory->solver->context, BLO_ERROR_MEMORY, "no memory for a trajectory");
    trajectory->initial = initial;
    for (int i = 0; i < n; i++)
        initial[i] = blo_loop_begin(trajectory->loop, i);
    const blo_watched *train[] = {&trajectory->train_data, &trajectory->train_target};
    const blo_watched *validate[] = {&trajectory->validate_data, &trajectory->validate_target};
    const blo_levels *levels = step->levels;
    for (int level = 0; level <= levels->n && status == BLO_OK; level++) {
        status =
            bind_plan(trajectory, step, levels->steps[level], train[0], train[1], &trajectory->step_sources[level]);
        if (status == BLO_OK)
            status = bind_plan(trajectory, step, levels->adjoints[level], train[0], train[1],
                               &trajectory->adjoint_sources[level]);
    }
    if (status == BLO_OK)
        status = bind_plan(trajectory, observe, observe->plan, validate[0], validate[1], &trajectory->observe_sources);
    return status;
}

/* --- running --- */

/* y_0 of lower parameter I, at PLACE: z for every task, or the last y_T of each. */
static blo_status write_initial(const blo_trajectory *trajectory, int i, blo_place place) {
    const blo_lower_solver *solver = trajectory->solver;
    const size_t bytes = (size_t)trajectory->array_bytes[i], one = bytes / (size_t)trajectory->tasks;
    if (solver->warm)
        return blo_buffer_copy(solver->context, solver->warm[i], 0, blo_place_target(place), (size_t)place.offset,
                               bytes);
    const blo_buffer *z = blo_tensor_buffer(blo_model_value_at(solver->lower, i));
    blo_status status = BLO_OK;
    for (int task = 0; task < trajectory->tasks && status == BLO_OK; task++)
        status = blo_buffer_copy(solver->context, z, 0, blo_place_target(place),
                                 (size_t)place.offset + (size_t)task * one, one);
    return status;
}

/* s_0: y_0 is z, or the last y_T of a warm start; the optimizer's arrays are zero. */
static blo_status write_start(blo_trajectory *trajectory) {
    blo_lower_solver *solver = trajectory->solver;
    const blo_program *step = trajectory->step;
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < step->n_state; i++) {
        blo_place place = blo_loop_begin(trajectory->loop, i);
        size_t bytes = (size_t)trajectory->array_bytes[i];
        status = i < step->n_lower
                     ? write_initial(trajectory, i, place)
                     : blo_buffer_zero(solver->context, blo_place_target(place), (size_t)place.offset, bytes);
    }
    return status;
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

/* Keeps y_T for the next loop of a warm-started solver. */
static blo_status keep_warm(blo_trajectory *trajectory, blo_buffer **warm) {
    blo_lower_solver *solver = trajectory->solver;
    blo_place *places = blo_solver_room(solver, BLO_ROOM_STATE, trajectory->n_state);
    if (!places)
        return BLO_ERROR_MEMORY;
    blo_status status = blo_trajectory_places(trajectory, solver->options.lower_loop, places);
    for (int i = 0; status == BLO_OK && i < trajectory->step->n_lower; i++)
        status = blo_buffer_copy(solver->context, places[i].buffer, (size_t)places[i].offset, warm[i], 0,
                                 (size_t)trajectory->array_bytes[i]);
    return status;
}

/* A loss of TASK that is not finite is an error that names its step, and the task where there are several. */
static blo_status refuse_loss(const blo_trajectory *trajectory, int task, int k) {
    blo_context *context = trajectory->solver->context;
    if (trajectory->tasks == 1)
        return blo_fail(context, BLO_ERROR_NUMERIC, "the upper loss is not finite at lower step %d", k);
    return blo_fail(context, BLO_ERROR_NUMERIC,
                    "the upper loss of task %d (of 0 ... %d) is not finite at lower step %d", task,
                    trajectory->tasks - 1, k);
}

/* The pessimistic step of every task among the losses [T][tasks]: the largest, the first of equals. MAX_LOSS_ITER
 * [tasks] is written if no task fails; it may be NULL. */
static blo_status choose(const blo_trajectory *trajectory, int *max_loss_iter) {
    const blo_lower_options *options = &trajectory->solver->options;
    const int steps = options->lower_loop, tasks = trajectory->tasks;
    const double *losses = trajectory->losses;
    for (int task = 0; task < tasks; task++)
        for (int k = options->acquire_max_loss ? 1 : steps; k <= steps; k++)
            if (!isfinite(losses[(k - 1) * tasks + task]))
                return refuse_loss(trajectory, task, k);
    for (int task = 0; task < tasks && max_loss_iter; task++) {
        int best = options->acquire_max_loss && options->truncation ? 1 : steps;
        for (int k = best + 1; k <= steps; k++)
            best = losses[(k - 1) * tasks + task] > losses[(best - 1) * tasks + task] ? k : best;
        max_loss_iter[task] = best;
    }
    return BLO_OK;
}

uint64_t blo_stamp(const blo_tensor *data, const blo_tensor *target, const blo_watched *named, int n_named) {
    const uint64_t prime = 1099511628211u;
    uint64_t stamp = (data ? blo_tensor_version(data) : 0) * prime ^ (target ? blo_tensor_version(target) : 0);
    for (int i = 0; i < n_named; i++)
        if (!named[i].per_step)
            stamp = stamp * prime ^ blo_tensor_version(named[i].tensor);
    return stamp;
}

blo_status blo_trajectory_prepare(const blo_trajectory *trajectory, blo_plan *plan, const blo_source *sources,
                                  const blo_watched *data, const blo_watched *target) {
    blo_lower_solver *solver = trajectory->solver;
    blo_place *inputs = blo_solver_room(solver, BLO_ROOM_INPUTS, blo_plan_inputs(plan));
    if (!inputs)
        return BLO_ERROR_MEMORY;
    for (int i = 0; i < blo_plan_inputs(plan); i++)
        inputs[i] = sources[i].place;
    return blo_plan_prepare(plan, &solver->store, inputs,
                            blo_stamp(data->tensor, target->tensor, trajectory->named, trajectory->n_named),
                            solver->options.memory_budget);
}

blo_status blo_trajectory_prepare_levels(const blo_trajectory *trajectory, bool adjoints) {
    bool used[BLO_MOST_LEVELS + 1];
    blo_stage stages[BLO_MOST_LEVELS + 1];
    blo_status status = BLO_OK;
    blo_trajectory_stages(trajectory, adjoints ? NULL : stages, adjoints ? stages : NULL);
    blo_loop_levels(trajectory->loop, adjoints ? NULL : used, adjoints ? used : NULL);
    for (int level = 0; level <= trajectory->n_levels && status == BLO_OK; level++)
        if (used[level])
            status = blo_trajectory_prepare(trajectory, stages[level].plan, stages[level].sources,
                                            &trajectory->train_data, &trajectory->train_target);
    return status;
}

/* WARM: where y_T will be kept, NULL: nowhere. */
static blo_status run_loop(blo_trajectory *trajectory, blo_buffer *const *warm, int *max_loss_iter) {
    blo_lower_solver *solver = trajectory->solver;
    const uint64_t before = blo_context_counters(solver->context)->launches;
    if (trajectory->small) {
        blo_status status = blo_small_run(trajectory, warm);
        trajectory->loop_launches = blo_context_counters(solver->context)->launches - before;
        return status == BLO_OK ? choose(trajectory, max_loss_iter) : status;
    }
    blo_stage steps[BLO_MOST_LEVELS + 1];
    const blo_stage observe = {
        .plan = trajectory->observe->plan, .sources = trajectory->observe_sources, .turns = trajectory->observe->turns};
    blo_trajectory_stages(trajectory, steps, NULL);
    blo_status status = write_start(trajectory);
    if (status == BLO_OK)
        status = blo_trajectory_hoist(trajectory, true);
    if (status == BLO_OK)
        status = blo_tracker_begin(trajectory);
    if (status == BLO_OK)
        status = blo_trajectory_prepare_levels(trajectory, false);
    if (status == BLO_OK)
        status = blo_trajectory_prepare(trajectory, observe.plan, observe.sources, &trajectory->validate_data,
                                        &trajectory->validate_target);
    if (status == BLO_OK)
        status = blo_loop_run(trajectory->loop, steps, &observe, solver->options.acquire_max_loss);
    trajectory->loop_launches = blo_context_counters(solver->context)->launches - before;
    if (status == BLO_OK)
        status = blo_loop_observed(trajectory->loop, trajectory->losses);
    return status == BLO_OK ? choose(trajectory, max_loss_iter) : status;
}

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
        status = bind_loop(trajectory, data);
    if (status == BLO_OK)
        status = blo_small_find(trajectory, &trajectory->small);
    return status == BLO_OK && !trajectory->small ? build_plans(trajectory) : status;
}

/* The loop on TRAJECTORY; its old contents are lost once the loop is laid out. */
static blo_status optimize(blo_trajectory *trajectory, const blo_loop_data *data, int *max_loss_iter) {
    blo_lower_solver *solver = trajectory->solver;
    blo_buffer **new_warm = NULL;
    blo_status status = blo_trajectory_lay_out(trajectory, data, &new_warm);
    blo_buffer **warm = solver->warm ? solver->warm : new_warm;
    if (status != BLO_OK)
        goto fail;
    solver->latest = trajectory;
    trajectory->sweep_launches = 0;
    status = run_loop(trajectory, warm, max_loss_iter);
    if (status != BLO_OK)
        goto fail;
    trajectory->state = BLO_TRAJECTORY_RAN;
    if (solver->options.warm_start && !trajectory->small)
        status = keep_warm(trajectory, warm);
    if (status == BLO_OK)
        status = blo_tracker_commit(trajectory);
    if (status != BLO_OK)
        goto fail;
    if (new_warm)
        solver->warm = new_warm;
    return BLO_OK;
fail:
    blo_warm_free(new_warm);
    return status;
}

blo_status blo_lower_optimize(blo_lower_solver *solver, blo_tensor *train_data, blo_tensor *train_target,
                              blo_tensor *validate_data, blo_tensor *validate_target, blo_trajectory **trajectory,
                              int *max_loss_iter) {
    if (!solver)
        return BLO_ERROR_ARGUMENT;
    if (!trajectory)
        return blo_fail(solver->context, BLO_ERROR_ARGUMENT, "lower optimize: trajectory is NULL");
    if (*trajectory && (*trajectory)->solver != solver)
        return blo_fail(solver->context, BLO_ERROR_STATE, "the trajectory was made by another lower solver");
    blo_status status = blo_solver_check(
        solver, solver->tasks, 4, (blo_tensor *const[]){train_data, train_target, validate_data, validate_target},
        (const char *const[]){"train_data", "train_target", "validate_data", "validate_target"});
    if (status == BLO_OK)
        status = blo_solver_check_inputs(solver, solver->tasks);
    if (status != BLO_OK)
        return status;
    blo_trajectory *target = *trajectory;
    if (!target)
        status = blo_trajectory_new(solver, &target);
    if (status != BLO_OK)
        return status;
    const blo_loop_data data = {train_data, train_target, validate_data, validate_target};
    status = optimize(target, &data, max_loss_iter);
    if (status == BLO_OK)
        *trajectory = target;
    else if (!*trajectory)
        blo_trajectory_destroy(target);
    return status;
}
