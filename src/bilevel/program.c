/* Programs: found by their key or traced, then planned forwards and backwards when first asked for.
 * What the objectives mean is trace.c's affair; how often plans run, the loop's. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "hoist.h"
#include "levels.h"
#include "solver.h"
#include "track.h"

/* --- keys --- */

/* Form of TENSOR (NULL: absent). */
static blo_form form_of(const blo_tensor *tensor, bool per_step, bool per_task) {
    blo_form form = {0};
    if (!tensor)
        return form;
    form.present = true;
    form.per_step = per_step;
    form.per_task = per_task;
    form.dtype = blo_tensor_dtype(tensor);
    form.rank = blo_tensor_rank(tensor);
    for (int i = 0; i < form.rank; i++)
        form.shape[i] = blo_tensor_shape(tensor)[i];
    return form;
}

static bool same_form(const blo_form *a, const blo_form *b) {
    if (a->present != b->present)
        return false;
    if (!a->present)
        return true;
    if (a->dtype != b->dtype || a->rank != b->rank || a->per_step != b->per_step || a->per_task != b->per_task)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static bool same_key(const blo_key *a, const blo_key *b) {
    bool same = a->kind == b->kind && a->objective == b->objective && a->user == b->user && a->tasks == b->tasks &&
                a->n_named == b->n_named && a->upper_form == b->upper_form && a->lower_form == b->lower_form &&
                same_form(&a->data, &b->data) && same_form(&a->target, &b->target);
    for (int i = 0; same && i < a->n_named; i++)
        same = same_form(&a->named[i], &b->named[i]);
    return same;
}

blo_status blo_key_make(blo_lower_solver *solver, blo_program_kind kind, blo_objective objective, void *user, int tasks,
                        const blo_tensor *data, const blo_tensor *target, const blo_watched *named, int n_named,
                        blo_key *key) {
    if (!named)
        n_named = solver->n_named;
    *key = (blo_key){.kind = kind,
                     .objective = objective,
                     .user = user,
                     .tasks = tasks,
                     .data = form_of(data, false, tasks > 1),
                     .target = form_of(target, false, tasks > 1),
                     .n_named = n_named,
                     .upper_form = solver->upper ? blo_model_form(solver->upper) : 0,
                     .lower_form = blo_model_form(solver->lower)};
    key->named = n_named <= BLO_FEW_NAMED ? key->few : calloc((size_t)n_named, sizeof(blo_form));
    if (!key->named)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to look up an objective");
    for (int i = 0; i < n_named; i++)
        key->named[i] = named ? form_of(named[i].tensor, named[i].per_step, named[i].per_task)
                              : form_of(solver->named[i].tensor, solver->named[i].per_step, solver->named[i].per_task);
    return BLO_OK;
}

void blo_key_free(blo_key *key) {
    if (key->named != key->few)
        free(key->named);
    key->named = NULL;
}

/* --- programs --- */

void blo_program_free(blo_program *program) {
    if (!program)
        return;
    blo_plan_destroy(program->plan);
    blo_plan_destroy(program->adjoint);
    blo_graph_destroy(program->graph);
    blo_key_free(&program->key);
    free(program->roles);
    free(program->state);
    free(program->next_state);
    free(program->upper);
    free(program->initial);
    free(program->named);
    free(program->upper_buffers);
    free(program->lower_buffers);
    free(program->upper_slot);
    free(program->initial_slot);
    free(program->adjoint_outputs);
    blo_levels_free(program->levels);
    blo_batch_free(program->batch);
    blo_hoist_free(program->hoist);
    blo_tracks_free(program->tracks);
    free(program);
}

/* A program whose graph ran out of memory when more was traced is passed over and traced again: loops that ran may use
 * its plans, so that it stays until the solver ends. */
blo_status blo_program_get(blo_lower_solver *solver, const blo_key *key, const char *what, blo_program **program) {
    *program = NULL;
    for (blo_program *p = solver->programs; p; p = p->next)
        if (same_key(&p->key, key) && blo_graph_status(p->graph) != BLO_ERROR_MEMORY) {
            *program = p;
            return BLO_OK;
        }
    blo_program *made = calloc(1, sizeof *made);
    blo_form *named = calloc((size_t)key->n_named + 1, sizeof *named);
    blo_status status = BLO_OK;
    if (!made || !named) {
        free(named);
        status = blo_fail(solver->context, BLO_ERROR_MEMORY, "%s: no memory to trace it", what);
        goto fail;
    }
    made->key = *key;
    made->key.named = named;
    memcpy(named, key->named, (size_t)key->n_named * sizeof *named);
    status = blo_program_trace(solver, made, what);
    if (status != BLO_OK)
        goto fail;
    made->next = solver->programs;
    solver->programs = made;
    *program = made;
    return BLO_OK;
fail:
    blo_program_free(made);
    return status;
}

/* How the profile calls the plan's launches. */
static const char *part_of(const blo_lower_solver *solver, const blo_program *program, bool adjoint) {
    if (program->key.kind == BLO_PROGRAM_STEP)
        return adjoint ? "sweep" : "step";
    if (program->key.objective != solver->upper_objective || program->key.user != solver->user)
        return "objective";
    return adjoint ? "F's gradient" : "F";
}

/* Data, targets and whole named inputs stay the same from loop to loop. */
blo_status blo_program_lower(const blo_lower_solver *solver, const blo_program *program, int turns, int n,
                             blo_node *const *outputs, bool adjoint, blo_plan **plan) {
    bool *fixed = calloc((size_t)program->n_roles + 1, sizeof *fixed);
    if (!fixed)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to plan an objective");
    for (int i = 0; i < program->n_roles; i++) {
        blo_role role = program->roles[i];
        fixed[i] = turns == 1 && /* else the next turn reads others */
                   (role.kind == BLO_ROLE_DATA || role.kind == BLO_ROLE_TARGET ||
                    (role.kind == BLO_ROLE_NAMED && !program->key.named[role.index].per_step));
    }
    blo_status status = blo_plan_lower(solver->context, n, outputs, fixed, plan);
    if (status == BLO_OK)
        blo_plan_set_part(*plan, part_of(solver, program, adjoint));
    free(fixed);
    return status;
}

blo_status blo_program_plan(blo_lower_solver *solver, blo_program *program) {
    if (program->plan)
        return BLO_OK;
    if (program->key.kind == BLO_PROGRAM_SCALAR)
        return blo_program_lower(solver, program, program->turns, 1, &program->value, false, &program->plan);
    return blo_program_lower(solver, program, program->turns, program->n_state, program->next_state, false,
                             &program->plan);
}

void blo_program_collect(const blo_program *program, int n, blo_node **wrt) {
    for (int i = 0; i < program->n_upper; i++)
        if (program->upper_slot[i] >= 0)
            wrt[n++] = program->upper[i];
    for (int i = 0; i < program->n_lower; i++)
        if (program->initial_slot[i] >= 0)
            wrt[n++] = program->initial[i];
    for (int i = 0; program->hoist && i < program->hoist->n; i++)
        if (program->hoist->slot[i] >= 0)
            wrt[n++] = program->hoist->inputs[i];
}

/* Carries [n_carry]: lambda of each state array, then the sums of the parameters' gradients. One adjoint step:
 * lambda' = (dPhi/ds)^T lambda, g' = g + (dPhi/dp)^T lambda. NODES [3 * n_carry] is room. */
static blo_status trace_step_adjoint(blo_program *program, blo_node **nodes) {
    const int n = program->n_carry, n_state = program->n_state;
    blo_node **wrt = nodes, **carries = nodes + n, **results = nodes + 2 * n;
    memcpy(wrt, program->state, (size_t)n_state * sizeof *wrt);
    blo_program_collect(program, n_state, wrt);
    for (int i = 0; i < n; i++)
        carries[i] =
            blo_program_input(program, BLO_ROLE_CARRY, i, "adjoint", wrt[i]->dtype, wrt[i]->rank, wrt[i]->shape);
    blo_status status = blo_vjp(n_state, program->next_state, carries, n, wrt, results);
    for (int i = n_state; status == BLO_OK && i < n; i++)
        results[i] = blo_add(carries[i], results[i]);
    return blo_graph_status(program->graph);
}

/* Outputs [n_output]: the value, its gradient in y, then in the parameters. */
static blo_status trace_scalar_adjoint(blo_program *program, blo_node **nodes) {
    const int n = program->n_output;
    blo_node **wrt = nodes, **results = nodes + 2 * n;
    memcpy(wrt, program->state, (size_t)program->n_lower * sizeof *wrt);
    blo_program_collect(program, program->n_lower, wrt);
    results[0] = program->value;
    blo_gradient(program->value, n - 1, wrt, results + 1);
    return blo_graph_status(program->graph);
}

blo_status blo_program_adjoint(blo_lower_solver *solver, blo_program *program) {
    if (program->adjoint)
        return BLO_OK;
    bool is_step = program->key.kind == BLO_PROGRAM_STEP;
    const int n = is_step ? program->n_carry : program->n_output;
    blo_node **nodes = calloc(3 * (size_t)n, sizeof *nodes);
    if (!nodes)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to differentiate an objective");
    blo_status status = program->batch ? blo_batch_adjoint(program, nodes)
                        : is_step      ? trace_step_adjoint(program, nodes)
                                       : trace_scalar_adjoint(program, nodes);
    if (status != BLO_OK)
        blo_fail(solver->context, status, "the derivative of the %s: %s", is_step ? "lower step" : "upper objective",
                 blo_graph_error(program->graph));
    else
        status = blo_program_lower(solver, program, program->turns, n, nodes + 2 * n, true, &program->adjoint);
    if (status == BLO_OK) { /* the results stay, at the front of what was room for all three */
        memmove(nodes, nodes + 2 * n, (size_t)n * sizeof *nodes);
        program->adjoint_outputs = nodes;
        nodes = NULL;
    }
    free(nodes);
    return status;
}
