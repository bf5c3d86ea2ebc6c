/* The lower solver: options and their checks, named inputs, life. What runs its loop lies in optimize.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lay_out.h"
#include "small.h"
#include "track.h"

enum { DEFAULT_LOWER_LOOP = 100 };
static const double cached = 8e6; /* bytes; blo_lower_solver.cached of a new solver */

void blo_lower_options_default(blo_lower_options *options) {
    if (!options)
        return;
    *options = (blo_lower_options){.lower_loop = DEFAULT_LOWER_LOOP,
                                   .acquire_max_loss = true,
                                   .truncation = true,
                                   .initialization_auxiliary = true,
                                   .hoisting = true};
    blo_optimizer_options_default(&options->optimizer, BLO_SGD);
}

static blo_status check_projection(blo_context *context, const blo_lower_options *o) {
    switch (o->projection) {
    case BLO_PROJECT_NONE: return BLO_OK;
    case BLO_PROJECT_BOX:
        if (o->box_lo <= o->box_hi)
            return BLO_OK;
        return blo_fail(context, BLO_ERROR_ARGUMENT, "lower options: box_lo %g is not at most box_hi %g", o->box_lo,
                        o->box_hi);
    case BLO_PROJECT_BALL:
        if (o->ball_radius >= 0.0 && isfinite(o->ball_radius))
            return BLO_OK;
        return blo_fail(context, BLO_ERROR_ARGUMENT, "lower options: ball_radius %g is not finite and at least 0",
                        o->ball_radius);
    case BLO_PROJECT_FUNCTION:
        if (o->project)
            return BLO_OK;
        return blo_fail(context, BLO_ERROR_ARGUMENT, "lower options: projection is a function, but project is NULL");
    }
    return blo_fail(context, BLO_ERROR_ARGUMENT, "lower options: projection %d is none of none, box, ball and function",
                    (int)o->projection);
}

static blo_status check_options(blo_context *context, const blo_lower_options *o, bool one_model) {
    if (o->lower_loop < 1)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "lower options: lower_loop %d is not at least 1", o->lower_loop);
    const char *wrong = blo_step_check(&o->optimizer);
    if (wrong)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "lower options: optimizer: %s", wrong);
    if (o->warm_start && o->initialization_auxiliary)
        return blo_fail(
            context, BLO_ERROR_ARGUMENT,
            "lower options: warm_start needs initialization_auxiliary off: a loop that starts from the last y_T "
            "does not start from z");
    if (one_model && !o->initialization_auxiliary)
        return blo_fail(context, BLO_ERROR_ARGUMENT,
                        "lower options: initialization_auxiliary must be on where the upper model is the lower model");
    return check_projection(context, o);
}

static blo_status check_models(const blo_model *upper, const blo_model *lower) {
    blo_context *context = blo_model_context(lower);
    if (blo_model_count(lower) == 0)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "the lower model has no parameters");
    if (!upper)
        return BLO_OK;
    if (blo_model_context(upper) != context)
        return blo_fail(context, BLO_ERROR_STATE, "the upper and the lower model are of two contexts");
    if (blo_model_dtype(upper) != blo_model_dtype(lower))
        return blo_fail(context, BLO_ERROR_DTYPE,
                        "the upper model is of %s, the lower model of %s: both must be the same",
                        blo_dtype_name(blo_model_dtype(upper)), blo_dtype_name(blo_model_dtype(lower)));
    return BLO_OK;
}

blo_status blo_lower_solver_create(blo_objective lower_objective, blo_objective upper_objective, void *user,
                                   blo_model *upper_model, blo_model *lower_model, const blo_lower_options *options,
                                   blo_lower_solver **solver) {
    if (!solver)
        return BLO_ERROR_ARGUMENT;
    *solver = NULL;
    if (!lower_model)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = blo_model_context(lower_model);
    if (!lower_objective || !upper_objective)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "a lower solver needs %s",
                        lower_objective ? "an upper objective" : "a lower objective");
    blo_lower_options chosen;
    blo_lower_options_default(&chosen);
    if (options)
        chosen = *options;
    blo_status status = check_models(upper_model, lower_model);
    if (status == BLO_OK)
        status = check_options(context, &chosen, upper_model == lower_model);
    if (status != BLO_OK)
        return status;
    blo_lower_solver *made = calloc(1, sizeof *made);
    if (!made)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for a lower solver");
    *made = (blo_lower_solver){.references = 1,
                               .context = context,
                               .lower_objective = lower_objective,
                               .upper_objective = upper_objective,
                               .user = user,
                               .upper = upper_model,
                               .lower = lower_model,
                               .one_model = upper_model == lower_model,
                               .options = chosen,
                               .tasks = 1,
                               .cached = cached,
                               .n_upper = blo_model_count(upper_model),
                               .n_lower = blo_model_count(lower_model),
                               .states = blo_step_states(&chosen.optimizer)};
    *solver = made;
    return BLO_OK;
}

blo_place *blo_solver_room(blo_lower_solver *solver, blo_room room, int n) {
    if (!solver->rooms[room].places || n > solver->rooms[room].capacity) {
        blo_place *places = realloc(solver->rooms[room].places, ((size_t)n + 1) * sizeof *places);
        if (!places) {
            blo_fail(solver->context, BLO_ERROR_MEMORY, "no host memory for the places of %d arrays", n);
            return NULL;
        }
        solver->rooms[room].places = places;
        solver->rooms[room].capacity = n;
    }
    for (int i = 0; i < n; i++)
        solver->rooms[room].places[i] = (blo_place){0};
    return solver->rooms[room].places;
}

void blo_solver_release(blo_lower_solver *solver) {
    if (!solver || --solver->references > 0)
        return;
    blo_small_free(solver->smalls);
    blo_tracker_free(solver->trackers);
    while (solver->programs) {
        blo_program *next = solver->programs->next;
        blo_program_free(solver->programs);
        solver->programs = next;
    }
    for (int i = 0; i < solver->n_named; i++) {
        free(solver->named[i].name);
        blo_tensor_destroy(solver->named[i].tensor);
    }
    free(solver->named);
    blo_warm_free(solver->warm);
    blo_buffer_release(solver->number);
    blo_buffer_release(solver->value);
    blo_buffer_release(solver->scratch);
    for (int i = 0; i < BLO_ROOMS; i++)
        free(solver->rooms[i].places);
    free(solver);
}

void blo_lower_solver_destroy(blo_lower_solver *solver) {
    blo_solver_release(solver);
}

/* --- named inputs --- */

/* The axes before those that an objective sees: [T if PER_STEP,][tasks if PER_TASK]. */
static blo_status check_input(blo_lower_solver *solver, const char *name, const blo_tensor *tensor, bool per_step,
                              bool per_task) {
    blo_context *context = solver->context;
    if (!name || !*name)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "a named input needs a name");
    if (!tensor)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "input '%s': the tensor is NULL", name);
    if (blo_tensor_context(tensor) != context)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "input '%s': the tensor is of another context", name);
    if (per_task && blo_tensor_rank(tensor) < 1 + (int)per_step)
        return blo_fail(context, BLO_ERROR_SHAPE, "input '%s' is per task, but has no axis of tasks: it has %d axes",
                        name, blo_tensor_rank(tensor));
    if (!per_step)
        return BLO_OK;
    int64_t rows = blo_tensor_rank(tensor) > 0 ? blo_tensor_shape(tensor)[0] : -1;
    if (rows < 0)
        return blo_fail(context, BLO_ERROR_SHAPE, "input '%s' is per step, but has no axis of steps: it is a scalar",
                        name);
    if (rows != solver->options.lower_loop)
        return blo_fail(context, BLO_ERROR_SHAPE, "input '%s' is per step with %lld rows, the lower loop has %d steps",
                        name, (long long)rows, solver->options.lower_loop);
    return BLO_OK;
}

static blo_status set_input(blo_lower_solver *solver, const char *name, blo_tensor *tensor, bool per_step,
                            bool per_task) {
    blo_status status = check_input(solver, name, tensor, per_step, per_task);
    if (status != BLO_OK)
        return status;
    int at = 0;
    while (at < solver->n_named && strcmp(solver->named[at].name, name) != 0)
        at++;
    if (at == solver->n_named) {
        blo_named_input *grown = realloc(solver->named, ((size_t)at + 1) * sizeof *grown);
        if (grown)
            solver->named = grown;
        char *copy = malloc(strlen(name) + 1);
        if (!grown || !copy) {
            free(copy);
            return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for the input '%s'", name);
        }
        solver->named[at] = (blo_named_input){.name = strcpy(copy, name)};
        solver->n_named++;
    }
    blo_tensor_retain(tensor);
    blo_tensor_destroy(solver->named[at].tensor);
    solver->named[at].tensor = tensor;
    solver->named[at].per_step = per_step;
    solver->named[at].per_task = per_task;
    return BLO_OK;
}

blo_status blo_lower_solver_set_input(blo_lower_solver *solver, const char *name, blo_tensor *tensor, bool per_step) {
    return solver ? set_input(solver, name, tensor, per_step, false) : BLO_ERROR_ARGUMENT;
}

blo_status blo_lower_solver_set_task_input(blo_lower_solver *solver, const char *name, blo_tensor *tensor,
                                           bool per_step) {
    return solver ? set_input(solver, name, tensor, per_step, true) : BLO_ERROR_ARGUMENT;
}

/* --- tasks --- */

blo_status blo_lower_solver_set_tasks(blo_lower_solver *solver, int tasks) {
    if (!solver)
        return BLO_ERROR_ARGUMENT;
    if (tasks < 1)
        return blo_fail(solver->context, BLO_ERROR_ARGUMENT, "set tasks: %d is not at least 1", tasks);
    if (tasks != solver->tasks) { /* y_T of so many tasks is no start for another number */
        blo_warm_free(solver->warm);
        solver->warm = NULL;
    }
    solver->tasks = tasks;
    return BLO_OK;
}

static blo_status check_tasks(const blo_lower_solver *solver, int tasks, const blo_tensor *tensor, const char *name) {
    if (blo_tensor_rank(tensor) == 0)
        return blo_fail(solver->context, BLO_ERROR_SHAPE,
                        "%s has no axis of tasks: it is a scalar, a first axis of %d tasks is wanted", name, tasks);
    if (blo_tensor_shape(tensor)[0] != tasks)
        return blo_fail(solver->context, BLO_ERROR_SHAPE,
                        "%s has a first axis of %lld, a first axis of %d tasks is wanted", name,
                        (long long)blo_tensor_shape(tensor)[0], tasks);
    return BLO_OK;
}

blo_status blo_solver_check_inputs(blo_lower_solver *solver, int tasks) {
    for (int i = 0; i < solver->n_named; i++) {
        const blo_named_input *named = &solver->named[i];
        const int64_t given = named->per_task ? blo_tensor_shape(named->tensor)[named->per_step ? 1 : 0] : tasks;
        if (given != tasks)
            return blo_fail(solver->context, BLO_ERROR_SHAPE,
                            "input '%s' is per task with %lld tasks, the call is for %d", named->name, (long long)given,
                            tasks);
    }
    return BLO_OK;
}

/* --- what the calls on a solver share --- */

uint64_t blo_solver_enter(blo_lower_solver *solver) {
    return solver->options.memory_budget ? blo_pool_limit(solver->context, solver->options.memory_budget) : 0;
}

void blo_solver_leave(blo_lower_solver *solver, uint64_t limit) {
    if (solver->options.memory_budget)
        blo_pool_limit(solver->context, limit);
}

blo_status blo_solver_check(blo_lower_solver *solver, int tasks, int n, blo_tensor *const *tensors,
                            const char *const *names) {
    const int n_upper = blo_model_count(solver->upper), n_lower = blo_model_count(solver->lower);
    if (n_upper != solver->n_upper || n_lower != solver->n_lower)
        return blo_fail(solver->context, BLO_ERROR_STATE,
                        "the %s model has %d parameters, it had %d when the lower solver was made",
                        n_lower != solver->n_lower ? "lower" : "upper", n_lower != solver->n_lower ? n_lower : n_upper,
                        n_lower != solver->n_lower ? solver->n_lower : solver->n_upper);
    for (int i = 0; i < n; i++)
        if (tensors[i] && blo_tensor_context(tensors[i]) != solver->context)
            return blo_fail(solver->context, BLO_ERROR_ARGUMENT, "%s is a tensor of another context", names[i]);
    blo_status status = BLO_OK;
    for (int i = 0; i < n && tasks > 1 && status == BLO_OK; i++)
        if (tensors[i])
            status = check_tasks(solver, tasks, tensors[i], names[i]);
    return status;
}

blo_status blo_solver_prepare(blo_lower_solver *solver, int tasks) {
    const size_t bytes = (size_t)tasks * sizeof(double);
    blo_status status = BLO_OK;
    if (!solver->number)
        status = blo_buffer_create(solver->context, sizeof(int32_t), &solver->number);
    if (status == BLO_OK && (!solver->value || blo_buffer_bytes(solver->value) < bytes)) {
        blo_buffer_release(solver->value);
        solver->value = NULL;
        status = blo_buffer_create(solver->context, bytes, &solver->value);
    }
    if (status == BLO_OK && !blo_flag_buffer(solver->context))
        status = BLO_ERROR_MEMORY; /* the sentence is the device room's */
    return status;
}

blo_status blo_solver_read_values(blo_lower_solver *solver, int tasks, double *values) {
    double one = 0.0; /* a call that fails leaves a plain problem's value as it was */
    blo_status status = blo_read_doubles(solver->context, blo_model_dtype(solver->lower), (blo_place){solver->value, 0},
                                         tasks, tasks == 1 ? &one : values);
    if (status == BLO_OK && tasks == 1)
        *values = one;
    return status;
}

blo_tensor *blo_solver_buffer(const blo_lower_solver *solver, blo_role role) {
    if (role.kind != BLO_ROLE_UPPER_BUFFER && role.kind != BLO_ROLE_LOWER_BUFFER)
        return NULL;
    const blo_model *model = role.kind == BLO_ROLE_UPPER_BUFFER ? solver->upper : solver->lower;
    return blo_model_entry(model, blo_model_count(model) + role.index);
}
