/* The prologue of a program, forwards and backwards; see hoist.h. What may be hoisted at all is the graph's to find. */
#include "hoist.h"

#include <stdlib.h>
#include <string.h>

#include "saved.h"
#include "solver.h"
#include "track.h"

/* Operations of a program from which splitting it pays, and of what is hoisted: small loops run whole. */
static const double least_program = 500e3, least_value = 2e3;

void blo_hoist_free(blo_hoist *hoist) {
    if (!hoist)
        return;
    blo_saved_free(hoist->saved);
    blo_plan_destroy(hoist->prologue);
    blo_plan_destroy(hoist->pullback);
    for (int i = 0; i < hoist->n; i++) {
        blo_buffer_release(hoist->arrays[i]);
        blo_buffer_release(hoist->cotangents[i]);
    }
    for (int i = 0; hoist->pulled && i < hoist->n_outputs; i++)
        blo_buffer_release(hoist->pulled[i]);
    free(hoist->pulled);
    free(hoist->gradients);
    free(hoist->upper_output);
    free(hoist->initial_output);
    free(hoist);
}

static blo_status no_memory(const blo_lower_solver *solver) {
    return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to hoist what a loop need not compute again");
}

/* --- splitting --- */

static bool reaches(blo_node *value, int n, blo_node *const *inputs) {
    return n > 0 && blo_graph_depends(value, n, inputs);
}

/* Keeps of the FOUND values those that can be handed over: arrays of the models' dtype, or without a derivative. */
static void choose(const blo_lower_solver *solver, const blo_program *program, blo_node *const *found, int n,
                   blo_hoist *hoist) {
    const bool learned = solver->options.initialization_auxiliary;
    for (int i = 0; i < n; i++) {
        bool flows = reaches(found[i], program->n_upper, program->upper) ||
                     (learned && reaches(found[i], program->n_lower, program->initial));
        bool floating = found[i]->dtype == BLO_FLOAT || found[i]->dtype == BLO_DOUBLE;
        if (flows && floating && found[i]->dtype != blo_model_dtype(solver->lower))
            continue;
        hoist->flows[hoist->n] = flows && floating;
        hoist->slot[hoist->n] = -1;
        hoist->values[hoist->n++] = found[i];
    }
}

static blo_status replace(blo_lower_solver *solver, blo_program *program, int n, blo_node **outputs, blo_hoist *hoist) {
    for (int i = 0; i < hoist->n; i++) {
        char name[32] = "hoisted.";
        const blo_node *value = hoist->values[i];
        strncat(name, blo_op_name(value->op), sizeof name - 1 - strlen(name));
        hoist->inputs[i] =
            blo_program_input(program, BLO_ROLE_HOISTED, i, name, value->dtype, value->rank, value->shape);
        if (!hoist->inputs[i])
            return no_memory(solver);
        hoist->own[i] = hoist->inputs[i];
    }
    hoist->turns = 1;
    if (blo_graph_substitute(hoist->n, hoist->values, hoist->inputs, n, outputs, outputs) != BLO_OK ||
        blo_tracks_substitute(program->tracks, hoist->n, hoist->values, hoist->inputs) != BLO_OK)
        return no_memory(solver); /* the values fit one another: nothing else can fail */
    return BLO_OK;
}

blo_status blo_hoist_split(blo_lower_solver *solver, blo_program *program) {
    const bool is_step = program->key.kind == BLO_PROGRAM_STEP;
    const int n = is_step ? program->n_state : 1;
    blo_node **outputs = is_step ? program->next_state : &program->value, *found[BLO_MOST_HOISTED];
    if (!solver->options.hoisting || solver->options.whole == BLO_WHOLE_ON)
        return BLO_OK;
    const double flops = blo_graph_flops(n, outputs) * program->key.tasks;
    if (blo_graph_status(program->graph) != BLO_OK)
        return no_memory(solver);
    if (flops < least_program)
        return BLO_OK;
    blo_node **varying = calloc((size_t)(program->n_state + 1 + program->n_named), sizeof *varying);
    blo_hoist *hoist = calloc(1, sizeof *hoist);
    blo_status status = BLO_OK;
    int n_found = 0;
    if (!varying || !hoist) {
        status = no_memory(solver);
        goto done;
    }
    status = blo_graph_invariants(n, outputs, blo_program_varying(program, varying), varying, least_value,
                                  BLO_MOST_HOISTED, found, &n_found);
    if (status != BLO_OK) {
        status = no_memory(solver);
        goto done;
    }
    choose(solver, program, found, n_found, hoist);
    if (hoist->n == 0)
        goto done;
    for (int i = 0; i < hoist->n; i++)
        hoist->uses_initial = hoist->uses_initial || reaches(hoist->values[i], program->n_lower, program->initial);
    status =
        blo_graph_status(program->graph) == BLO_OK ? replace(solver, program, n, outputs, hoist) : no_memory(solver);
    program->hoist = hoist;
    hoist = NULL;
done:
    free(varying);
    blo_hoist_free(hoist);
    return status;
}

/* --- the prologue --- */

uint64_t blo_hoist_bytes(const blo_hoist *hoist, const blo_node *value) {
    return (uint64_t)hoist->turns * blo_node_bytes(value);
}

/* Where TURN's part of ARRAY is. */
static blo_place place_of(const blo_hoist *hoist, const blo_buffer *array, int turn) {
    return (blo_place){array, blo_buffer_bytes(array) / (uint64_t)hoist->turns * (uint64_t)turn};
}

/* Outputs of the prologue: what is hoisted, then what running statistics add to their buffers. */
static int prologue_size(const blo_hoist *hoist, const blo_tracks *tracks) {
    return hoist->n + (tracks ? tracks->n_once : 0);
}

blo_node **blo_hoist_outputs(const blo_program *program, int room, int *n) {
    const blo_hoist *hoist = program->hoist;
    *n = prologue_size(hoist, program->tracks);
    blo_node **outputs = calloc((size_t)(*n + room), sizeof *outputs);
    if (!outputs)
        return NULL;
    memcpy(outputs, hoist->values, (size_t)hoist->n * sizeof *outputs);
    blo_tracks_once(program->tracks, outputs + hoist->n);
    return outputs;
}

static blo_status prepare_prologue(blo_lower_solver *solver, blo_program *program) {
    blo_hoist *hoist = program->hoist;
    if (hoist->prologue)
        return BLO_OK;
    blo_status status = blo_tracks_prepare(solver, program);
    for (int i = 0; i < hoist->n && status == BLO_OK; i++) {
        const size_t bytes = (size_t)blo_hoist_bytes(hoist, hoist->values[i]);
        if (!hoist->arrays[i])
            status = blo_buffer_create(solver->context, bytes, &hoist->arrays[i]);
        if (status == BLO_OK && program->key.kind == BLO_PROGRAM_SCALAR && hoist->flows[i] && !hoist->cotangents[i])
            status = blo_buffer_create(solver->context, bytes, &hoist->cotangents[i]);
    }
    int n = 0;
    blo_node **outputs = status == BLO_OK ? blo_hoist_outputs(program, 0, &n) : NULL;
    if (status == BLO_OK && !outputs)
        status = no_memory(solver);
    if (status == BLO_OK)
        status = blo_program_lower(solver, program, hoist->turns, n, outputs, false, &hoist->prologue);
    if (status == BLO_OK)
        blo_plan_set_part(hoist->prologue, "prologue");
    free(outputs);
    return status;
}

/* --- the pullback --- */

static bool any_flows(const blo_hoist *hoist) {
    for (int i = 0; i < hoist->n; i++)
        if (hoist->flows[i])
            return true;
    return false;
}

/* Outputs of the pullback: the parameters that what is hoisted depends on. WRT has room for all. */
static int number_outputs(const blo_lower_solver *solver, const blo_program *program, blo_node **wrt) {
    blo_hoist *hoist = program->hoist;
    int n = 0;
    for (int i = 0; i < program->n_upper + program->n_lower; i++) {
        const bool upper = i < program->n_upper;
        blo_node *input = upper ? program->upper[i] : program->initial[i - program->n_upper];
        bool reached = false;
        for (int j = 0; j < hoist->n; j++)
            reached = reached || (hoist->flows[j] && reaches(hoist->values[j], 1, &input));
        reached = reached && (upper || solver->options.initialization_auxiliary);
        *(upper ? &hoist->upper_output[i] : &hoist->initial_output[i - program->n_upper]) = reached ? n : -1;
        if (reached)
            wrt[n++] = input;
    }
    return n;
}

static blo_status trace_pullback(blo_lower_solver *solver, blo_program *program, blo_node **nodes) {
    blo_hoist *hoist = program->hoist;
    blo_node *values[BLO_MOST_HOISTED], *given[BLO_MOST_HOISTED];
    const int most = program->n_upper + program->n_lower;
    blo_node **wrt = nodes, **results = nodes + most;
    int flowing = 0;
    hoist->n_outputs = number_outputs(solver, program, wrt);
    for (int i = 0; i < hoist->n; i++) {
        const blo_node *value = hoist->values[i];
        if (!hoist->flows[i])
            continue;
        values[flowing] = hoist->values[i];
        given[flowing] =
            blo_program_input(program, BLO_ROLE_COTANGENT, i, "adjoint", value->dtype, value->rank, value->shape);
        if (!given[flowing++])
            return no_memory(solver);
    }
    blo_status status = blo_vjp(flowing, values, given, hoist->n_outputs, wrt, results);
    if (status != BLO_OK)
        return blo_fail(solver->context, status, "the derivative of what is hoisted: %s",
                        blo_graph_error(program->graph));
    status = blo_program_lower(solver, program, hoist->turns, hoist->n_outputs, results, true, &hoist->pullback);
    if (status != BLO_OK)
        return status;
    blo_plan_set_part(hoist->pullback, "prologue's gradient");
    memcpy(hoist->gradients, results, (size_t)hoist->n_outputs * sizeof *results);
    return BLO_OK;
}

static blo_status prepare_pullback(blo_lower_solver *solver, blo_program *program) {
    blo_hoist *hoist = program->hoist;
    const size_t most = (size_t)(program->n_upper + program->n_lower);
    if (hoist->pullback || !any_flows(hoist))
        return BLO_OK;
    if (!hoist->upper_output)
        hoist->upper_output = calloc((size_t)program->n_upper + 1, sizeof(int));
    if (!hoist->initial_output)
        hoist->initial_output = calloc((size_t)program->n_lower + 1, sizeof(int));
    if (!hoist->pulled)
        hoist->pulled = calloc(most + 1, sizeof(blo_buffer *));
    if (!hoist->gradients)
        hoist->gradients = calloc(most + 1, sizeof(blo_node *));
    blo_node **nodes = calloc(2 * most + 1, sizeof *nodes);
    blo_status status = BLO_OK;
    if (!hoist->upper_output || !hoist->initial_output || !hoist->pulled || !hoist->gradients || !nodes)
        status = no_memory(solver);
    if (status == BLO_OK)
        status = trace_pullback(solver, program, nodes);
    for (int i = 0; status == BLO_OK && i < hoist->n_outputs; i++)
        if (!hoist->pulled[i])
            status = blo_buffer_create(solver->context, (size_t)blo_hoist_bytes(hoist, hoist->gradients[i]),
                                       &hoist->pulled[i]);
    free(nodes);
    return status;
}

blo_status blo_hoist_prepare(blo_lower_solver *solver, blo_program *program, bool backward) {
    if (!program->hoist)
        return BLO_OK;
    blo_status status = prepare_prologue(solver, program);
    return status == BLO_OK && backward ? prepare_pullback(solver, program) : status;
}

/* --- running --- */

void blo_hoist_plans(const blo_hoist *hoist, blo_plan **prologue, blo_plan **pullback) {
    *prologue = hoist->saved ? hoist->saved->prologue : hoist->prologue;
    *pullback = hoist->saved ? hoist->saved->pullback : hoist->pullback;
}

/* What tells the prologue's inputs apart, but for y_0. */
static uint64_t stamp_of(const blo_lower_solver *solver, const blo_program *program, const blo_binding *binding) {
    const uint64_t prime = 1099511628211u;
    uint64_t stamp = blo_stamp(binding->data, binding->target, binding->named, program->key.n_named);
    for (int i = 0; i < program->n_upper; i++)
        stamp = stamp * prime ^ blo_tensor_version(blo_model_value_at(solver->upper, i));
    for (int i = 0; i < blo_plan_inputs(program->hoist->prologue); i++) {
        const blo_tensor *buffer = blo_solver_buffer(solver, program->roles[i]);
        if (buffer && blo_plan_uses_input(program->hoist->prologue, i))
            stamp = stamp * prime ^ blo_tensor_version(buffer);
    }
    return stamp;
}

blo_status blo_hoist_run(blo_lower_solver *solver, blo_program *program, const blo_binding *binding) {
    blo_hoist *hoist = program->hoist;
    blo_status status = blo_hoist_prepare(solver, program, false);
    if (!hoist || status != BLO_OK)
        return status;
    const uint64_t stamp = stamp_of(solver, program, binding);
    if (hoist->is_valid && hoist->stamp == stamp && !hoist->uses_initial)
        return BLO_OK;
    const int n_own = prologue_size(hoist, program->tracks), n_saved = hoist->saved ? hoist->saved->n : 0;
    blo_plan *prologue, *pullback;
    blo_place *outputs = blo_solver_room(solver, BLO_ROOM_TRACKED, n_own + n_saved);
    blo_binding one = *binding;
    if (!outputs)
        return BLO_ERROR_MEMORY;
    hoist->is_valid = false;
    blo_hoist_plans(hoist, &prologue, &pullback);
    for (one.turn = 0; one.turn < hoist->turns && status == BLO_OK; one.turn++) {
        for (int i = 0; i < hoist->n; i++)
            outputs[i] = place_of(hoist, hoist->arrays[i], one.turn);
        blo_tracks_once_places(program->tracks, outputs + hoist->n);
        for (int i = hoist->n; i < n_own; i++)
            outputs[i] = place_of(hoist, outputs[i].buffer, one.turn);
        for (int i = 0; i < n_saved; i++)
            outputs[n_own + i] = place_of(hoist, hoist->saved->arrays[i], one.turn);
        status = blo_program_run(solver, program, prologue, &one, outputs);
    }
    hoist->is_valid = status == BLO_OK;
    hoist->stamp = stamp;
    return status;
}

blo_status blo_hoist_pull(blo_lower_solver *solver, blo_program *program, const blo_binding *binding,
                          const blo_place *cotangents, int k) {
    blo_hoist *hoist = program->hoist;
    if (!hoist || !hoist->pullback)
        return BLO_OK;
    blo_binding one = *binding;
    one.cotangents = cotangents;
    blo_place *outputs = blo_solver_room(solver, BLO_ROOM_STATE, hoist->n_outputs);
    if (!outputs)
        return BLO_ERROR_MEMORY;
    blo_plan *prologue, *pullback;
    blo_status status = BLO_OK;
    blo_hoist_plans(hoist, &prologue, &pullback);
    for (one.turn = 0; one.turn < hoist->turns && status == BLO_OK; one.turn++) {
        for (int i = 0; i < hoist->n_outputs; i++)
            outputs[i] = place_of(hoist, hoist->pulled[i], one.turn);
        status = blo_program_run(solver, program, pullback, &one, outputs);
    }
    const blo_dtype dtype = blo_model_dtype(solver->lower);
    for (int i = 0; status == BLO_OK && i < hoist->n_outputs; i++) {
        const uint64_t each = blo_node_bytes(hoist->gradients[i]) / blo_dtype_size(dtype);
        const blo_flag_parts tasks = {.name = "task", .n = hoist->turns, .each = each};
        status = blo_flag_check_parts(solver->context, dtype, hoist->pulled[i], 0, (uint64_t)hoist->turns * each,
                                      (uint32_t)k, &tasks);
    }
    return status;
}
