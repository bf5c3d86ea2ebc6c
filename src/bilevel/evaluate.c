/* Single runs outside the loop: a scalar objective at a state of a trajectory, or at the models' present parameters. */
#include <stdlib.h>

#include "saved.h"
#include "solver.h"
#include "track.h"

/* The latest loop's scratch if it is large enough (all queued work is in order), else one of the solver's own. */
blo_status blo_solver_scratch(blo_lower_solver *solver, uint64_t bytes, const blo_buffer **scratch) {
    const blo_trajectory *latest = solver->latest;
    if (latest && latest->loop && latest->scratch_bytes >= bytes) {
        *scratch = blo_loop_scratch(latest->loop);
        return BLO_OK;
    }
    blo_status status = BLO_OK;
    if (!solver->scratch || blo_buffer_bytes(solver->scratch) < bytes) {
        blo_buffer_release(solver->scratch);
        solver->scratch = NULL;
        status = blo_buffer_create(solver->context, (size_t)bytes, &solver->scratch);
    }
    *scratch = solver->scratch;
    return status;
}

static blo_place whole(const blo_tensor *tensor) {
    return (blo_place){blo_tensor_buffer(tensor), 0};
}

static blo_place place_of(const blo_lower_solver *solver, const blo_program *program, const blo_binding *binding,
                          blo_role role) {
    switch (role.kind) {
    case BLO_ROLE_STATE: return binding->state[role.index];
    case BLO_ROLE_UPPER: return whole(blo_model_value_at(solver->upper, role.index));
    case BLO_ROLE_INITIAL: return binding->initial[role.index];
    case BLO_ROLE_DATA: return whole(binding->data);
    case BLO_ROLE_TARGET: return whole(binding->target);
    case BLO_ROLE_STEP: return (blo_place){solver->number, 0};
    case BLO_ROLE_NAMED: {
        const blo_watched *named = &binding->named[role.index];
        const int row = program->key.kind == BLO_PROGRAM_STEP ? binding->steps : binding->steps - 1;
        blo_place place = whole(named->tensor);
        if (named->per_step && row > 0)
            place.offset = blo_tensor_bytes(named->tensor) / (uint64_t)solver->options.lower_loop * (uint64_t)row;
        return place;
    }
    case BLO_ROLE_HOISTED: return (blo_place){program->hoist->arrays[role.index], 0};
    case BLO_ROLE_COTANGENT: return binding->cotangents[role.index];
    case BLO_ROLE_CHOSEN: return (blo_place){binding->chosen, 0};
    case BLO_ROLE_CARRIED: return binding->carried[role.index];
    case BLO_ROLE_SAVED: return (blo_place){program->hoist->saved->arrays[role.index], 0};
    case BLO_ROLE_UPPER_BUFFER:
    case BLO_ROLE_LOWER_BUFFER: return whole(blo_solver_buffer(solver, role));
    case BLO_ROLE_RUNNING: return program->tracks->all[role.index].from;
    case BLO_ROLE_TRACKED: return (blo_place){program->tracks->all[role.index].array, 0};
    case BLO_ROLE_CARRY:
    case BLO_ROLE_KEPT:
    case BLO_ROLE_NONE: break;
    }
    return (blo_place){NULL, 0};
}

uint64_t blo_turn_bytes(const blo_lower_solver *solver, const blo_program *program, int i) {
    const blo_role role = program->roles[i];
    const blo_node *input = blo_graph_input_at(program->graph, i);
    const uint64_t bytes = blo_node_bytes(input);
    switch (role.kind) {
    case BLO_ROLE_NAMED: return program->key.named[role.index].per_task ? bytes : 0;
    case BLO_ROLE_INITIAL: return solver->options.warm_start ? bytes : 0;
    case BLO_ROLE_UPPER:
    case BLO_ROLE_STEP:
    case BLO_ROLE_UPPER_BUFFER:
    case BLO_ROLE_LOWER_BUFFER:
    case BLO_ROLE_CHOSEN:
    case BLO_ROLE_CARRIED:
    case BLO_ROLE_NONE: return 0;
    default: return bytes;
    }
}

/* What tells apart what a plan keeps of its fixed inputs. */
static uint64_t stamp_of(const blo_program *program, const blo_binding *binding) {
    const uint64_t prime = 1099511628211u,
                   stamp = blo_stamp(binding->data, binding->target, binding->named, program->key.n_named);
    return binding->turn > 0 ? stamp * prime ^ (uint64_t)binding->turn : stamp;
}

blo_status blo_program_run(blo_lower_solver *solver, const blo_program *program, blo_plan *plan,
                           const blo_binding *binding, const blo_place *outputs) {
    const blo_buffer *scratch = NULL;
    const int inputs = blo_plan_inputs(plan);
    blo_place *places = blo_solver_room(solver, BLO_ROOM_INPUTS, inputs);
    if (!places)
        return BLO_ERROR_MEMORY;
    blo_status status = blo_solver_scratch(solver, blo_plan_scratch_bytes(plan), &scratch);
    if (status == BLO_OK)
        status = blo_buffer_write(solver->context, solver->number, 0, sizeof binding->steps, &binding->steps);
    for (int i = 0; i < inputs; i++)
        if (blo_plan_uses_input(plan, i)) {
            places[i] = place_of(solver, program, binding, program->roles[i]);
            places[i].offset += (uint64_t)binding->turn * blo_turn_bytes(solver, program, i);
        }
    if (status == BLO_OK)
        status =
            blo_plan_prepare(plan, &solver->store, places, stamp_of(program, binding), solver->options.memory_budget);
    if (status == BLO_OK)
        status = blo_plan_enqueue(plan, places, outputs, scratch);
    return status;
}

blo_status blo_program_run_turns(blo_lower_solver *solver, const blo_program *program, blo_plan *plan,
                                 const blo_binding *binding, blo_place *outputs) {
    blo_binding one = *binding;
    blo_status status = BLO_OK;
    for (one.turn = 0; one.turn < program->turns && status == BLO_OK; one.turn++) {
        status = blo_program_run(solver, program, plan, &one, outputs);
        for (int i = 0; i < blo_plan_outputs(plan); i++)
            outputs[i].offset += blo_plan_output_bytes(plan, i);
    }
    return status;
}

/* Traces if need be, queues, waits; VALUE [tasks]. */
static blo_status evaluate(blo_lower_solver *solver, const blo_key *key, const blo_binding *binding, double *value) {
    blo_program *program = NULL;
    blo_status status = blo_program_get(solver, key, "objective", &program);
    if (status == BLO_OK)
        status = blo_program_plan(solver, program);
    if (status == BLO_OK)
        status = blo_solver_prepare(solver, key->tasks);
    if (status == BLO_OK)
        status = blo_hoist_run(solver, program, binding);
    if (status == BLO_OK)
        status = blo_program_run_turns(solver, program, program->plan, binding, &(blo_place){solver->value, 0});
    return status == BLO_OK ? blo_solver_read_values(solver, key->tasks, value) : status;
}

static blo_status check_arguments(blo_lower_solver *solver, int tasks, blo_objective objective, blo_tensor *data,
                                  blo_tensor *target, const double *value) {
    if (!objective || !value)
        return blo_fail(solver->context, BLO_ERROR_ARGUMENT, "evaluate: %s is NULL", objective ? "value" : "objective");
    return blo_solver_check(solver, tasks, 2, (blo_tensor *const[]){data, target},
                            (const char *const[]){"data", "target"});
}

blo_status blo_trajectory_evaluate(blo_trajectory *trajectory, int k, blo_objective objective, void *user,
                                   blo_tensor *data, blo_tensor *target, double *value) {
    if (!trajectory)
        return BLO_ERROR_ARGUMENT;
    blo_lower_solver *solver = trajectory->solver;
    blo_status status = check_arguments(solver, trajectory->tasks, objective, data, target, value);
    if (status != BLO_OK)
        return status;
    blo_key key = {0};
    const uint64_t limit = blo_solver_enter(solver);
    blo_place *places = blo_solver_room(solver, BLO_ROOM_STATE, solver->n_lower * (1 + solver->states));
    if (!places)
        status = BLO_ERROR_MEMORY;
    if (status == BLO_OK)
        status = blo_trajectory_places(trajectory, k, places);
    if (status == BLO_OK)
        status = blo_key_make(solver, BLO_PROGRAM_SCALAR, objective, user, trajectory->tasks, data, target,
                              trajectory->named, trajectory->n_named, &key);
    if (status == BLO_OK) {
        const blo_binding binding = {.state = places,
                                     .initial = trajectory->initial,
                                     .data = data,
                                     .target = target,
                                     .named = trajectory->named,
                                     .steps = k};
        status = evaluate(solver, &key, &binding, value);
    }
    blo_key_free(&key);
    blo_solver_leave(solver, limit);
    return status;
}

blo_status blo_lower_evaluate(blo_lower_solver *solver, blo_objective objective, void *user, blo_tensor *data,
                              blo_tensor *target, double *value) {
    if (!solver)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_arguments(solver, 1, objective, data, target, value);
    if (status == BLO_OK)
        status = blo_solver_check_inputs(solver, 1);
    if (status != BLO_OK)
        return status;
    blo_key key = {0};
    const int n = solver->n_lower;
    const uint64_t limit = blo_solver_enter(solver);
    blo_place *places = blo_solver_room(solver, BLO_ROOM_STATE, n);
    blo_watched *named = solver->n_named > 0 ? calloc((size_t)solver->n_named, sizeof *named) : NULL;
    if (!places)
        status = BLO_ERROR_MEMORY;
    else if (solver->n_named > 0 && !named)
        status = blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to evaluate an objective");
    if (status == BLO_OK)
        status = blo_key_make(solver, BLO_PROGRAM_SCALAR, objective, user, 1, data, target, NULL, 0, &key);
    if (status == BLO_OK) {
        for (int i = 0; i < n; i++)
            places[i] = whole(blo_model_value_at(solver->lower, i));
        for (int i = 0; i < solver->n_named; i++) /* borrowed for this call */
            named[i] = (blo_watched){.tensor = solver->named[i].tensor,
                                     .per_step = solver->named[i].per_step,
                                     .per_task = solver->named[i].per_task};
        const blo_binding binding = {
            .state = places, .initial = places, .data = data, .target = target, .named = named};
        status = evaluate(solver, &key, &binding, value);
    }
    blo_key_free(&key);
    free(named);
    blo_solver_leave(solver, limit);
    return status;
}
