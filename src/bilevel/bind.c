/* What a lower loop reads: every input of its plans gets a source, and each tensor is remembered with its version, so
 * that a change after the loop is noticed. */
#include <stdlib.h>

#include "lay_out.h"

/* --- versions --- */

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

/* --- sources --- */

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

blo_status blo_trajectory_bind(blo_trajectory *trajectory, const blo_loop_data *data) {
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
