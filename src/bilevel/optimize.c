/* The lower loop run: laid out (lay_out.h), started, queued, and read with one wait; then the pessimistic step. */
#include <math.h>

#include "lay_out.h"
#include "small.h"
#include "track.h"

/* --- start and end --- */

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

/* --- the pessimistic step --- */

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

/* --- running --- */

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
