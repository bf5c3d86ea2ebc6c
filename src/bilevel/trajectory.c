/* The trajectory (the auxiliary model): what a lower loop left, how it can be read, and whether it still holds.
 * Knows nothing of how the loop was put together. */
#include <stdlib.h>
#include <string.h>

#include "solver.h"

/* --- life --- */

blo_status blo_trajectory_new(blo_lower_solver *solver, blo_trajectory **trajectory) {
    blo_trajectory *made = calloc(1, sizeof *made);
    if (made)
        made->losses = calloc((size_t)solver->options.lower_loop, sizeof *made->losses);
    if (!made || !made->losses) {
        free(made);
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a trajectory");
    }
    made->solver = solver;
    made->tasks = 1;
    solver->references++;
    *trajectory = made;
    return BLO_OK;
}

static void forget_all(blo_watched *watched, int count) {
    for (int i = 0; watched && i < count; i++)
        blo_watch(&watched[i], NULL);
    free(watched);
}

void blo_trajectory_destroy(blo_trajectory *trajectory) {
    if (!trajectory)
        return;
    if (trajectory->solver->latest == trajectory)
        trajectory->solver->latest = NULL;
    blo_loop_destroy(trajectory->loop);
    for (int i = 0; i < trajectory->n_direct; i++)
        blo_buffer_release(trajectory->direct[i]);
    free(trajectory->direct);
    blo_watch(&trajectory->train_data, NULL);
    blo_watch(&trajectory->train_target, NULL);
    blo_watch(&trajectory->validate_data, NULL);
    blo_watch(&trajectory->validate_target, NULL);
    forget_all(trajectory->upper, trajectory->n_upper);
    forget_all(trajectory->named, trajectory->n_named);
    forget_all(trajectory->buffers, trajectory->n_buffers);
    free(trajectory->array_bytes);
    free(trajectory->in_parts);
    for (int level = 0; level <= BLO_MOST_LEVELS; level++) {
        free(trajectory->step_sources[level]);
        free(trajectory->adjoint_sources[level]);
    }
    free(trajectory->observe_sources);
    free(trajectory->initial);
    blo_buffer_release(trajectory->chosen);
    free(trajectory->losses);
    blo_solver_release(trajectory->solver);
    free(trajectory);
}

static int slot_of(const blo_program *objective, int i) {
    return i < objective->n_upper ? objective->upper_slot[i] : objective->initial_slot[i - objective->n_upper];
}

/* Where one of the two runs in turns, F's gradients are not written where the step's, of all tasks or of each, are. */
bool blo_is_direct(const blo_program *step, const blo_program *objective, int i) {
    const int carry = i < step->n_upper ? step->upper_slot[i] : step->initial_slot[i - step->n_upper];
    return slot_of(objective, i) >= 0 && (carry < 0 || step->turns > 1 || objective->turns > 1);
}

blo_status blo_trajectory_reserve(blo_trajectory *trajectory, const blo_program *step, const blo_program *objective) {
    blo_context *context = trajectory->solver->context;
    const int n_upper = step->n_upper, n = n_upper + step->n_lower;
    if (!trajectory->direct) {
        trajectory->direct = calloc((size_t)n, sizeof(blo_buffer *));
        if (!trajectory->direct)
            return blo_fail(context, BLO_ERROR_MEMORY, "no memory for hypergradients");
        trajectory->n_direct = n;
    }
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < n; i++) {
        if (!blo_is_direct(step, objective, i))
            continue;
        const uint64_t bytes =
            (uint64_t)objective->turns * blo_plan_output_bytes(objective->adjoint, slot_of(objective, i));
        if (trajectory->direct[i] && blo_buffer_bytes(trajectory->direct[i]) >= bytes)
            continue;
        blo_buffer_release(trajectory->direct[i]);
        trajectory->direct[i] = NULL;
        status = blo_buffer_create(context, (size_t)bytes, &trajectory->direct[i]);
    }
    return status;
}

/* --- what a loop read, and whether it has changed --- */

void blo_watch(blo_watched *watched, blo_tensor *tensor) {
    if (tensor)
        blo_tensor_retain(tensor);
    blo_tensor_destroy(watched->tensor);
    *watched = (blo_watched){.tensor = tensor, .version = tensor ? blo_tensor_version(tensor) : 0};
}

bool blo_watched_same(const blo_watched *watched, const blo_tensor *tensor) {
    return watched->tensor == tensor && (!tensor || blo_tensor_version(tensor) == watched->version);
}

static bool unchanged(const blo_watched *watched) {
    return blo_watched_same(watched, watched->tensor);
}

static blo_status check_ran(const blo_trajectory *trajectory) {
    blo_context *context = trajectory->solver->context;
    if (trajectory->state == BLO_TRAJECTORY_EMPTY)
        return blo_fail(context, BLO_ERROR_STATE, "no lower loop has run on this trajectory yet");
    if (trajectory->state == BLO_TRAJECTORY_FAILED)
        return blo_fail(context, BLO_ERROR_STATE, "the trajectory was overwritten by a lower loop that failed");
    return BLO_OK;
}

blo_status blo_trajectory_ready(const blo_trajectory *trajectory) {
    const blo_lower_solver *solver = trajectory->solver;
    blo_status status = check_ran(trajectory);
    if (status != BLO_OK)
        return status;
    for (int i = 0; i < trajectory->n_upper; i++)
        if (!unchanged(&trajectory->upper[i]))
            return blo_fail(solver->context, BLO_ERROR_STATE,
                            "the upper model's parameter '%s' has changed since the lower loop: run the loop again",
                            blo_model_name(solver->upper, i));
    for (int i = 0; i < trajectory->n_named; i++)
        if (!unchanged(&trajectory->named[i]))
            return blo_fail(solver->context, BLO_ERROR_STATE,
                            "the input '%s' has changed since the lower loop: run the loop again",
                            solver->named[i].name);
    for (int i = 0; i < trajectory->n_buffers; i++)
        if (!unchanged(&trajectory->buffers[i]))
            return blo_fail(solver->context, BLO_ERROR_STATE,
                            "a buffer that an objective reads has changed since the lower loop: run the loop again");
    if (!unchanged(&trajectory->train_data) || !unchanged(&trajectory->train_target))
        return blo_fail(solver->context, BLO_ERROR_STATE,
                        "the training data have changed since the lower loop: run the loop again");
    return BLO_OK;
}

/* --- what its steps need to run, now or again --- */

void blo_trajectory_stages(const blo_trajectory *trajectory, blo_stage *steps, blo_stage *adjoints) {
    const blo_levels *levels = trajectory->step->levels;
    const int turns = trajectory->step->turns;
    for (int level = 0; level <= BLO_MOST_LEVELS; level++) {
        if (steps)
            steps[level] =
                (blo_stage){.plan = levels->steps[level], .sources = trajectory->step_sources[level], .turns = turns};
        if (adjoints)
            adjoints[level] = (blo_stage){
                .plan = levels->adjoints[level], .sources = trajectory->adjoint_sources[level], .turns = turns};
    }
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
    blo_loop_levels(trajectory->loop, used);
    for (int level = 0; level <= trajectory->n_levels && status == BLO_OK; level++)
        if (used[level])
            status = blo_trajectory_prepare(trajectory, stages[level].plan, stages[level].sources,
                                            &trajectory->train_data, &trajectory->train_target);
    return status;
}

blo_status blo_trajectory_hoist(blo_trajectory *trajectory, bool observe) {
    blo_lower_solver *solver = trajectory->solver;
    blo_binding binding = {.initial = trajectory->initial,
                           .data = trajectory->train_data.tensor,
                           .target = trajectory->train_target.tensor,
                           .named = trajectory->named};
    blo_status status = blo_hoist_run(solver, trajectory->step, &binding);
    binding.data = trajectory->validate_data.tensor;
    binding.target = trajectory->validate_target.tensor;
    return status == BLO_OK && observe ? blo_hoist_run(solver, trajectory->observe, &binding) : status;
}

blo_status blo_trajectory_places(blo_trajectory *trajectory, int k, blo_place *places) {
    const int steps = trajectory->solver->options.lower_loop;
    blo_status status = check_ran(trajectory);
    if (status != BLO_OK)
        return status;
    if (k < 0 || k > steps)
        return blo_fail(trajectory->solver->context, BLO_ERROR_ARGUMENT,
                        "k = %d is not in 0 ... %d, the steps of the lower loop", k, steps);
    blo_loop_report report;
    blo_loop_describe(trajectory->loop, &report);
    bool kept = k == 0 || k == steps || report.snapshots == steps + 1;
    if (!kept) /* it may have to be computed again, from what the loop read then */
        status = blo_trajectory_ready(trajectory);
    if (!kept && status == BLO_OK)
        status = blo_trajectory_hoist(trajectory, false);
    if (!kept && status == BLO_OK)
        status = blo_trajectory_prepare_levels(trajectory, false);
    blo_stage stages[BLO_MOST_LEVELS + 1];
    blo_trajectory_stages(trajectory, stages, NULL);
    return status == BLO_OK ? blo_loop_state(trajectory->loop, stages, k, places) : status;
}

/* --- reading --- */

int blo_trajectory_steps(const blo_trajectory *trajectory) {
    return trajectory ? trajectory->solver->options.lower_loop : 0;
}

blo_status blo_trajectory_losses(const blo_trajectory *trajectory, double *losses, int count) {
    if (!trajectory)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = trajectory->solver->context;
    const int n = trajectory->solver->options.lower_loop * trajectory->tasks;
    if (!losses || count != n)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the trajectory has %d losses, room for %d was given", n,
                        losses ? count : 0);
    blo_status status = check_ran(trajectory);
    if (status == BLO_OK)
        memcpy(losses, trajectory->losses, (size_t)n * sizeof *losses);
    return status;
}

blo_status blo_read_doubles(blo_context *context, blo_dtype dtype, blo_place place, int64_t count, double *values) {
    const size_t n = (size_t)count, size = blo_dtype_size(dtype);
    /* floats at the end of VALUES are widened in place from the front: none overtakes the double it becomes */
    char *raw = (char *)values + n * (sizeof *values - size);
    blo_status status = blo_buffer_read(context, place.buffer, (size_t)place.offset, n * size, raw);
    for (size_t i = 0; status == BLO_OK && dtype == BLO_FLOAT && i < n; i++) {
        float narrow;
        memcpy(&narrow, raw + i * size, size);
        values[i] = (double)narrow;
    }
    return status;
}

blo_status blo_trajectory_get(blo_trajectory *trajectory, int k, const char *name, double *values, int64_t count) {
    if (!trajectory)
        return BLO_ERROR_ARGUMENT;
    blo_lower_solver *solver = trajectory->solver;
    const int n = solver->n_lower;
    int at = 0;
    while (at < n && (!name || strcmp(blo_model_name(solver->lower, at), name) != 0))
        at++;
    if (at == n || !values)
        return blo_fail(solver->context, BLO_ERROR_ARGUMENT,
                        at == n ? "the lower model has no parameter '%s'" : "parameter '%s': values is NULL",
                        name ? name : "(null)");
    const int64_t size = trajectory->tasks * blo_tensor_count(blo_model_value_at(solver->lower, at));
    if (count != size)
        return blo_fail(solver->context, BLO_ERROR_SHAPE, "parameter '%s' has %lld elements%s, not %lld", name,
                        (long long)size, trajectory->tasks > 1 ? " in all tasks" : "", (long long)count);
    blo_place *places = blo_solver_room(solver, BLO_ROOM_STATE, n * (1 + solver->states));
    if (!places)
        return BLO_ERROR_MEMORY;
    blo_status status = blo_trajectory_places(trajectory, k, places);
    if (status == BLO_OK)
        status = blo_read_doubles(solver->context, blo_model_dtype(solver->lower), places[at], count, values);
    return status;
}

void blo_trajectory_describe(const blo_trajectory *trajectory, blo_trajectory_report *report) {
    if (!report)
        return;
    *report = (blo_trajectory_report){0};
    if (!trajectory || !trajectory->loop)
        return;
    blo_loop_report loop;
    blo_loop_describe(trajectory->loop, &loop);
    *report = (blo_trajectory_report){.snapshots = loop.snapshots,
                                      .snapshot_bytes = loop.state_bytes,
                                      .recomputed_steps = loop.recomputed_steps,
                                      .loop_launches = trajectory->loop_launches,
                                      .sweep_launches = trajectory->sweep_launches,
                                      .launches_per_step = blo_plan_launches(trajectory->step->plan),
                                      .kept_steps = trajectory->n_levels > 0 ? loop.kept_steps[0] : 0,
                                      .kept_bytes = loop.all_keep_bytes};
}

blo_buffer *blo_place_target(blo_place place) {
    return (blo_buffer *)place.buffer; /* places are read-only for plans; the loop hands these out to be written */
}
