/* IAPTT-GM (R. Liu, Y. Liu, S. Zeng, J. Zhang, NeurIPS 2021), section 4.1: the truncated backward sweep over a lower
 * loop, and the accumulation of its hypergradients. The loop itself, and who steps the parameters, are others' affair.
 */
#include <math.h>
#include <stdlib.h>

#include "batch.h"
#include "small.h"

struct blo_iapttgm {
    blo_context *context;
    blo_objective upper_objective;
    void *user;
    blo_model *upper, *lower;
};

blo_status blo_iapttgm_create(blo_objective upper_objective, void *user, blo_model *upper_model, blo_model *lower_model,
                              blo_iapttgm **method) {
    if (!method)
        return BLO_ERROR_ARGUMENT;
    *method = NULL;
    if (!lower_model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = blo_model_context(lower_model);
    if (!upper_objective)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the method needs an upper objective");
    if (upper_model && blo_model_context(upper_model) != context)
        return blo_fail(context, BLO_ERROR_STATE, "the upper and the lower model are of two contexts");
    blo_iapttgm *made = malloc(sizeof *made);
    if (!made)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for a method");
    *made = (blo_iapttgm){context, upper_objective, user, upper_model, lower_model};
    *method = made;
    return BLO_OK;
}

void blo_iapttgm_destroy(blo_iapttgm *method) {
    free(method);
}

bool blo_iapttgm_is_of(const blo_iapttgm *method, const blo_lower_solver *solver) {
    return solver->upper_objective == method->upper_objective && solver->user == method->user &&
           solver->lower == method->lower && solver->upper == method->upper;
}

/* --- checks --- */

static blo_status check_chosen(const blo_trajectory *trajectory, const int *max_loss_iter) {
    blo_context *context = trajectory->solver->context;
    const int steps = trajectory->solver->options.lower_loop;
    for (int task = 0; task < trajectory->tasks; task++) {
        const int k = max_loss_iter[task];
        if (k >= 1 && k <= steps)
            continue;
        if (trajectory->tasks == 1)
            return blo_fail(context, BLO_ERROR_ARGUMENT, "compute gradients: max_loss_iter %d is not in 1 ... %d", k,
                            steps);
        return blo_fail(context, BLO_ERROR_ARGUMENT,
                        "compute gradients: max_loss_iter %d of task %d is not in 1 ... %d", k, task, steps);
    }
    return BLO_OK;
}

static blo_status check_call(const blo_iapttgm *method, const blo_trajectory *trajectory, const int *max_loss_iter,
                             blo_tensor *data, blo_tensor *target) {
    if (!trajectory)
        return blo_fail(method->context, BLO_ERROR_STATE,
                        "compute gradients: no lower loop has run yet (trajectory is NULL)");
    blo_lower_solver *solver = trajectory->solver;
    if (solver->lower != method->lower || solver->upper != method->upper)
        return blo_fail(method->context, BLO_ERROR_STATE, "compute gradients: the trajectory is of another %s model",
                        solver->lower != method->lower ? "lower" : "upper");
    if (!max_loss_iter)
        return blo_fail(method->context, BLO_ERROR_ARGUMENT, "compute gradients: max_loss_iter is NULL");
    blo_status status = check_chosen(trajectory, max_loss_iter);
    if (status == BLO_OK)
        status = blo_solver_check(solver, trajectory->tasks, 2, (blo_tensor *const[]){data, target},
                                  (const char *const[]){"validate_data", "validate_target"});
    return status == BLO_OK ? blo_trajectory_ready(trajectory) : status;
}

/* --- the gradient of F at y_K --- */

static uint64_t elements(const blo_trajectory *trajectory, uint64_t bytes) {
    return bytes / blo_dtype_size(blo_model_dtype(trajectory->solver->lower));
}

/* OUTPUTS [n_output] of the adjoint of F: the value, lambda, and the parameters' own gradients: into their carries, or
 * direct. */
static void place_outputs(const blo_trajectory *trajectory, const blo_program *objective, blo_place *outputs) {
    const blo_program *step = trajectory->step;
    const int n_upper = step->n_upper, n_lower = step->n_lower;
    outputs[0] = (blo_place){trajectory->solver->value, 0};
    for (int i = 0; i < n_lower; i++)
        outputs[1 + i] = blo_loop_carry(trajectory->loop, i);
    for (int i = 0; i < n_upper + n_lower; i++) {
        const int slot = i < n_upper ? objective->upper_slot[i] : objective->initial_slot[i - n_upper];
        const int carry = i < n_upper ? step->upper_slot[i] : step->initial_slot[i - n_upper];
        if (slot >= 0)
            outputs[slot] = blo_is_direct(step, objective, i) ? (blo_place){trajectory->direct[i], 0}
                                                              : blo_loop_carry(trajectory->loop, carry);
    }
    const blo_hoist *hoist = objective->hoist;
    for (int i = 0; hoist && i < hoist->n; i++)
        if (hoist->slot[i] >= 0)
            outputs[hoist->slot[i]] = (blo_place){hoist->cotangents[i], 0};
}

/* Carries that F's gradient does not write start at zero: the optimizer's arrays, and parameters that F does not
 * contain. */
static blo_status zero_carry(blo_trajectory *trajectory, int carry) {
    blo_place place = blo_loop_carry(trajectory->loop, carry);
    return blo_buffer_zero(trajectory->solver->context, blo_place_target(place), (size_t)place.offset,
                           (size_t)trajectory->array_bytes[trajectory->n_state + carry]);
}

static blo_status zero_carries(blo_trajectory *trajectory, const blo_program *objective) {
    const blo_program *step = trajectory->step;
    blo_status status = BLO_OK;
    for (int i = step->n_lower; status == BLO_OK && i < step->n_state; i++)
        status = zero_carry(trajectory, i);
    for (int i = 0; status == BLO_OK && i < step->n_upper; i++)
        if (step->upper_slot[i] >= 0 && objective->upper_slot[i] < 0)
            status = zero_carry(trajectory, step->upper_slot[i]);
    for (int i = 0; status == BLO_OK && i < step->n_lower; i++)
        if (step->initial_slot[i] >= 0 && objective->initial_slot[i] < 0)
            status = zero_carry(trajectory, step->initial_slot[i]);
    for (int i = 0; status == BLO_OK && step->hoist && i < step->hoist->n; i++)
        if (step->hoist->slot[i] >= 0)
            status = zero_carry(trajectory, step->hoist->slot[i]);
    return status;
}

/* Queues the check of the gradient of F: all carries at once, and what has no carry. */
static blo_status check_start(const blo_trajectory *trajectory, const blo_program *objective, int turn, int k) {
    const blo_program *step = trajectory->step;
    const blo_dtype dtype = blo_model_dtype(trajectory->solver->lower);
    blo_status status = blo_loop_check_carries(trajectory->loop, dtype, (uint32_t)k);
    for (int i = 0; status == BLO_OK && i < step->n_upper + step->n_lower; i++) {
        const bool upper = i < step->n_upper;
        const int slot = upper ? objective->upper_slot[i] : objective->initial_slot[i - step->n_upper];
        if (!blo_is_direct(step, objective, i))
            continue;
        const uint64_t count = elements(trajectory, blo_plan_output_bytes(objective->adjoint, slot));
        const blo_flag_parts own = {.name = "task", .n = objective->turns, .first = turn, .each = count};
        status = blo_flag_check_parts(trajectory->solver->context, dtype, trajectory->direct[i], (uint64_t)turn * count,
                                      count, (uint32_t)k, &own);
    }
    return status;
}

/* What of the gradients of F is not written at once starts at zero: of several tasks, all. */
static blo_status clear(blo_trajectory *trajectory, const blo_program *objective) {
    blo_status status =
        trajectory->tasks > 1 ? blo_loop_clear_carries(trajectory->loop) : zero_carries(trajectory, objective);
    if (!objective->batch)
        return status;
    blo_place *carried = blo_solver_room(trajectory->solver, BLO_ROOM_STATE, objective->n_output);
    if (!carried)
        return BLO_ERROR_MEMORY;
    place_outputs(trajectory, objective, carried);
    for (int i = 0; i < objective->n_output && status == BLO_OK; i++)
        status = blo_buffer_zero(trajectory->solver->context, blo_place_target(carried[i]), (size_t)carried[i].offset,
                                 (size_t)blo_plan_output_bytes(objective->adjoint, i));
    return status;
}

/* What the adjoint of F wrote for several tasks becomes what is carried. */
static blo_status carry_on(const blo_trajectory *trajectory, const blo_program *objective, const blo_place *carried) {
    blo_status status = BLO_OK;
    for (int i = 0; i < objective->n_output && status == BLO_OK; i++)
        status =
            blo_buffer_copy(trajectory->solver->context, objective->batch->joined[i], 0, blo_place_target(carried[i]),
                            (size_t)carried[i].offset, (size_t)blo_plan_output_bytes(objective->adjoint, i));
    return status;
}

/* Queues the gradient of F at y_K into the carries, and its check; of several tasks, that of those whose max_loss_iter
 * is K. */
static blo_status join(blo_trajectory *trajectory, blo_program *objective, blo_tensor *data, blo_tensor *target,
                       const int *max_loss_iter, int k) {
    blo_lower_solver *solver = trajectory->solver;
    const int n_output = objective->n_output;
    const blo_batch *batch = objective->batch;
    blo_place *state = blo_solver_room(solver, BLO_ROOM_STATE, trajectory->n_state + 2 * n_output);
    if (!state)
        return BLO_ERROR_MEMORY;
    blo_place *carried = state + trajectory->n_state, *outputs = carried + n_output;
    place_outputs(trajectory, objective, carried);
    for (int i = 0; i < n_output; i++)
        outputs[i] = batch ? (blo_place){batch->joined[i], 0} : carried[i];
    blo_binding binding = {.state = state,
                           .initial = trajectory->initial,
                           .data = data,
                           .target = target,
                           .named = trajectory->named,
                           .steps = k,
                           .chosen = trajectory->chosen,
                           .carried = carried};
    blo_stage steps[BLO_MOST_LEVELS + 1];
    blo_trajectory_stages(trajectory, steps, NULL);
    /* y_K, on whose way the sweep's states are kept */
    blo_status status = blo_loop_rewind(trajectory->loop, steps, k, state);
    if (status == BLO_OK)
        status = blo_hoist_run(solver, objective, &binding);
    for (; binding.turn < objective->turns && status == BLO_OK; binding.turn++) {
        if (objective->turns == 1 || max_loss_iter[binding.turn] == k) {
            status = blo_program_run(solver, objective, objective->adjoint, &binding, outputs);
            if (status == BLO_OK && batch)
                status = carry_on(trajectory, objective, carried);
            if (status == BLO_OK)
                status = check_start(trajectory, objective, binding.turn, k);
        }
        for (int i = 0; i < n_output; i++)
            outputs[i].offset += blo_plan_output_bytes(objective->adjoint, i);
    }
    return status;
}

/* --- the sweep --- */

/* The largest of MAX_LOSS_ITER [tasks] below END, 0 if there is none. */
static int latest_below(const blo_trajectory *trajectory, const int *max_loss_iter, int end) {
    int latest = 0;
    for (int task = 0; task < trajectory->tasks; task++)
        if (max_loss_iter[task] < end && max_loss_iter[task] > latest)
            latest = max_loss_iter[task];
    return latest;
}

/* Queues the sweep from state K down to UNTIL; in turns, of those tasks whose MAX_LOSS_ITER it has come down to. */
static blo_status sweep_piece(blo_trajectory *trajectory, const int *max_loss_iter, int k, int until) {
    blo_stage steps[BLO_MOST_LEVELS + 1], adjoints[BLO_MOST_LEVELS + 1];
    blo_trajectory_stages(trajectory, steps, adjoints);
    for (int level = 0; level <= trajectory->n_levels && trajectory->step->turns > 1; level++)
        adjoints[level].ends = max_loss_iter;
    return blo_loop_sweep_until(trajectory->loop, steps, adjoints, k, until,
                                blo_model_dtype(trajectory->solver->lower));
}

/* From the latest of MAX_LOSS_ITER down to y_0: each task joins at its own. */
static blo_status sweep_down(blo_trajectory *trajectory, blo_program *objective, blo_tensor *data, blo_tensor *target,
                             const int *max_loss_iter) {
    blo_status status = clear(trajectory, objective);
    if (status == BLO_OK)
        status = blo_trajectory_prepare_levels(trajectory, false);
    if (status == BLO_OK)
        status = blo_trajectory_prepare_levels(trajectory, true);
    if (status == BLO_OK && trajectory->tasks > 1)
        status = blo_buffer_write(trajectory->solver->context, trajectory->chosen, 0,
                                  (size_t)trajectory->tasks * sizeof *max_loss_iter, max_loss_iter);
    int k = latest_below(trajectory, max_loss_iter, trajectory->solver->options.lower_loop + 1);
    while (status == BLO_OK && k > 0) {
        const int until = latest_below(trajectory, max_loss_iter, k);
        status = join(trajectory, objective, data, target, max_loss_iter, k);
        if (status == BLO_OK)
            status = sweep_piece(trajectory, max_loss_iter, k, until);
        k = until;
    }
    return status;
}

/* --- adding up --- */

static blo_status add(const blo_trajectory *trajectory, blo_place source, blo_tensor *gradient) {
    const blo_lower_solver *solver = trajectory->solver;
    blo_status status = blo_flag_commit(solver->context, blo_model_dtype(solver->lower), source.buffer,
                                        elements(trajectory, source.offset), blo_tensor_buffer(gradient), 0,
                                        (uint64_t)blo_tensor_count(gradient));
    blo_tensor_touch(gradient);
    return status;
}

/* The same of PARTS parts, one after another. */
static blo_status add_parts(const blo_trajectory *trajectory, blo_place source, int parts, blo_tensor *gradient) {
    blo_status status = BLO_OK;
    for (int part = 0; part < parts && status == BLO_OK; part++) {
        status = add(trajectory, source, gradient);
        source.offset += blo_tensor_bytes(gradient);
    }
    return status;
}

/* Adds the own gradient of parameter I, of x, then of y_0: its carry if the step depends on it, F's direct one. */
static blo_status add_own(const blo_trajectory *trajectory, const blo_program *objective, int i, blo_tensor *gradient) {
    const blo_program *step = trajectory->step;
    const int carry = i < step->n_upper ? step->upper_slot[i] : step->initial_slot[i - step->n_upper];
    blo_status status = BLO_OK;
    if (carry >= 0)
        status = add_parts(trajectory, blo_loop_carry(trajectory->loop, carry), step->turns, gradient);
    if (status == BLO_OK && blo_is_direct(step, objective, i))
        status = add_parts(trajectory, (blo_place){trajectory->direct[i], 0}, objective->turns, gradient);
    return status;
}

/* What reached the parameters through what is hoisted, by the step's prologue and by F's. */
static blo_status pull_back(const blo_trajectory *trajectory, blo_program *objective, blo_tensor *data,
                            blo_tensor *target, int k) {
    blo_lower_solver *solver = trajectory->solver;
    blo_program *step = trajectory->step;
    blo_place cotangents[BLO_MOST_HOISTED] = {{0}};
    blo_binding binding = {.initial = trajectory->initial,
                           .data = trajectory->train_data.tensor,
                           .target = trajectory->train_target.tensor,
                           .named = trajectory->named};
    for (int i = 0; step->hoist && i < step->hoist->n; i++)
        if (step->hoist->slot[i] >= 0)
            cotangents[i] = blo_loop_carry(trajectory->loop, step->hoist->slot[i]);
    blo_status status = blo_hoist_pull(solver, step, &binding, cotangents, k);
    for (int i = 0; objective->hoist && i < objective->hoist->n; i++)
        cotangents[i] = (blo_place){objective->hoist->cotangents[i], 0};
    binding.data = data;
    binding.target = target;
    return status == BLO_OK ? blo_hoist_pull(solver, objective, &binding, cotangents, k) : status;
}

/* Adds what the prologues of the step and of F gave parameter I of x, or of z. */
static blo_status add_pulled(const blo_trajectory *trajectory, const blo_program *objective, bool upper, int i,
                             blo_tensor *gradient) {
    const blo_hoist *hoists[] = {trajectory->step->hoist, objective->hoist};
    blo_status status = BLO_OK;
    for (int j = 0; j < 2 && status == BLO_OK; j++) {
        if (!hoists[j] || !hoists[j]->pullback)
            continue;
        const int output = upper ? hoists[j]->upper_output[i] : hoists[j]->initial_output[i];
        for (int turn = 0; output >= 0 && turn < hoists[j]->turns && status == BLO_OK; turn++)
            status = add(trajectory,
                         (blo_place){hoists[j]->pulled[output], (uint64_t)turn * blo_tensor_bytes(gradient)}, gradient);
    }
    return status;
}

/* g_x into the upper model's gradients; g_z, lambda and what reached y_0 directly, into the lower model's. */
static blo_status commit(const blo_trajectory *trajectory, const blo_program *objective) {
    const blo_lower_solver *solver = trajectory->solver;
    const blo_program *step = trajectory->step;
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < step->n_upper; i++) {
        blo_tensor *gradient = blo_model_gradient_at(solver->upper, i);
        status = add_own(trajectory, objective, i, gradient);
        if (status == BLO_OK)
            status = add_pulled(trajectory, objective, true, i, gradient);
    }
    if (!solver->options.initialization_auxiliary)
        return status;
    for (int i = 0; status == BLO_OK && i < step->n_lower; i++) {
        blo_tensor *gradient = blo_model_gradient_at(solver->lower, i);
        status = add_parts(trajectory, blo_loop_carry(trajectory->loop, i), trajectory->tasks, gradient);
        if (status == BLO_OK)
            status = add_own(trajectory, objective, step->n_upper + i, gradient);
        if (status == BLO_OK)
            status = add_pulled(trajectory, objective, false, i, gradient);
    }
    return status;
}

/* --- the call --- */

/* Whether the loop computed just these values, [tasks]: same objective, same data, unchanged. */
static bool known_losses(const blo_iapttgm *method, const blo_trajectory *trajectory, const blo_tensor *data,
                         const blo_tensor *target, const int *max_loss_iter) {
    const blo_lower_solver *solver = trajectory->solver;
    const int tasks = trajectory->tasks;
    bool known = blo_iapttgm_is_of(method, solver) && blo_watched_same(&trajectory->validate_data, data) &&
                 blo_watched_same(&trajectory->validate_target, target);
    for (int task = 0; task < tasks && known; task++)
        known = !isnan(trajectory->losses[(max_loss_iter[task] - 1) * tasks + task]);
    return known;
}

/* F's program, with all that its gradient needs. */
static blo_status find_objective(const blo_iapttgm *method, blo_tensor *data, blo_tensor *target,
                                 blo_trajectory *trajectory, blo_program **objective) {
    blo_lower_solver *solver = trajectory->solver;
    blo_key key;
    blo_status status = blo_key_make(solver, BLO_PROGRAM_SCALAR, method->upper_objective, method->user,
                                     trajectory->tasks, data, target, trajectory->named, trajectory->n_named, &key);
    if (status == BLO_OK)
        status = blo_program_get(solver, &key, "upper objective", objective);
    blo_key_free(&key);
    if (status == BLO_OK)
        status = blo_program_adjoint(solver, *objective);
    if (status == BLO_OK)
        status = blo_hoist_prepare(solver, *objective, true);
    if (status == BLO_OK)
        status = blo_batch_reserve(solver, *objective);
    return status == BLO_OK ? blo_trajectory_reserve(trajectory, trajectory->step, *objective) : status;
}

static blo_status sweep(const blo_iapttgm *method, blo_tensor *data, blo_tensor *target, blo_trajectory *trajectory,
                        const int *max_loss_iter) {
    blo_lower_solver *solver = trajectory->solver;
    blo_program *objective = NULL;
    if (*max_loss_iter == trajectory->swept && known_losses(method, trajectory, data, target, max_loss_iter))
        return blo_small_add(trajectory); /* the loop's kernel has swept already */
    trajectory->swept = 0;                /* its carries are written over */
    blo_status status = find_objective(method, data, target, trajectory, &objective);
    if (status == BLO_OK)
        status = blo_solver_prepare(solver, trajectory->tasks);
    if (status == BLO_OK)
        status = blo_trajectory_hoist(trajectory, false);
    if (status == BLO_OK)
        status = sweep_down(trajectory, objective, data, target, max_loss_iter);
    if (status == BLO_OK)
        status = pull_back(trajectory, objective, data, target,
                           latest_below(trajectory, max_loss_iter, solver->options.lower_loop + 1));
    return status == BLO_OK ? commit(trajectory, objective) : status;
}

blo_status blo_iapttgm_compute_gradients(blo_iapttgm *method, blo_tensor *validate_data, blo_tensor *validate_target,
                                         blo_trajectory *trajectory, const int *max_loss_iter, double *upper_loss) {
    if (!method)
        return BLO_ERROR_ARGUMENT;
    blo_status status = check_call(method, trajectory, max_loss_iter, validate_data, validate_target);
    if (status != BLO_OK)
        return status;
    blo_lower_solver *solver = trajectory->solver;
    const int tasks = trajectory->tasks;
    const uint64_t limit = blo_solver_enter(solver);
    const uint64_t before = blo_context_counters(solver->context)->launches;
    status = sweep(method, validate_data, validate_target, trajectory, max_loss_iter);
    trajectory->sweep_launches = blo_context_counters(solver->context)->launches - before;
    const bool known = known_losses(method, trajectory, validate_data, validate_target, max_loss_iter);
    for (int task = 0; status == BLO_OK && upper_loss && known && task < tasks; task++)
        upper_loss[task] = trajectory->losses[(max_loss_iter[task] - 1) * tasks + task];
    if (status == BLO_OK && upper_loss && !known)
        status = blo_solver_read_values(solver, tasks, upper_loss);
    blo_solver_leave(solver, limit);
    return status;
}
