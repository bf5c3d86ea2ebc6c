/* Tracing: declares the inputs of a program's graph, shows them to the objective as a blo_state, and keeps what it
 * built. Knows nothing of plans or of the device but the counters of its context and the clock. */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "hoist.h"
#include "solver.h"
#include "track.h"

/* What blo_state.inputs points to. */
typedef struct inputs_view {
    blo_graph *graph;
    int n;
    const blo_named_input *named;
    blo_node *const *nodes;
} inputs_view;

blo_node *blo_state_input(const blo_state *state, const char *name) {
    if (!state || !state->inputs)
        return NULL;
    const inputs_view *view = state->inputs;
    for (int i = 0; name && i < view->n; i++)
        if (strcmp(view->named[i].name, name) == 0)
            return view->nodes[i];
    return blo_graph_fail(view->graph, BLO_ERROR_ARGUMENT, "there is no named input '%s'", name ? name : "(null)");
}

blo_node *blo_program_input(blo_program *program, blo_role_kind kind, int index, const char *name, blo_dtype dtype,
                            int rank, const int64_t *shape) {
    blo_role *grown = realloc(program->roles, ((size_t)program->n_roles + 1) * sizeof *grown);
    if (!grown)
        return blo_graph_fail(program->graph, BLO_ERROR_MEMORY, "no memory for the input '%s'", name);
    program->roles = grown;
    blo_node *node = blo_graph_input(program->graph, name, dtype, rank, shape);
    if (node)
        program->roles[program->n_roles++] = (blo_role){kind, index};
    return node;
}

/* Like ENTRY of MODEL: a parameter or a buffer. */
static blo_node *declare_like(blo_program *program, blo_role_kind kind, int index, const char *prefix,
                              const blo_model *model, int entry) {
    char name[128] = "";
    const blo_tensor *tensor = blo_model_entry(model, entry);
    strncat(name, prefix, sizeof name - 1);
    strncat(name, blo_model_entry_name(model, entry), sizeof name - 1 - strlen(name));
    return blo_program_input(program, kind, index, name, blo_model_dtype(model), blo_tensor_rank(tensor),
                             blo_tensor_shape(tensor));
}

static blo_node *declare_form(blo_program *program, blo_role_kind kind, int index, const char *name,
                              const blo_form *form) {
    if (!form->present)
        return NULL;
    int skip = (form->per_step ? 1 : 0) + (form->per_task ? 1 : 0); /* the axes of steps and of tasks */
    return blo_program_input(program, kind, index, name, form->dtype, form->rank - skip, form->shape + skip);
}

static void declare_inputs(const blo_lower_solver *solver, blo_program *program) {
    const int n = program->n_lower, states = solver->states;
    for (int i = 0; i < n; i++)
        program->state[i] = declare_like(program, BLO_ROLE_STATE, i, "y.", solver->lower, i);
    for (int j = 0; j < n * states; j++)
        program->state[n + j] = declare_like(program, BLO_ROLE_STATE, n + j, "moment.", solver->lower, j / states);
    for (int i = 0; i < program->n_upper; i++)
        program->upper[i] = declare_like(program, BLO_ROLE_UPPER, i, "x.", solver->upper, i);
    for (int i = 0; i < n; i++)
        program->initial[i] = declare_like(program, BLO_ROLE_INITIAL, i, "y0.", solver->lower, i);
    program->data = declare_form(program, BLO_ROLE_DATA, 0, "data", &program->key.data);
    program->target = declare_form(program, BLO_ROLE_TARGET, 0, "target", &program->key.target);
    program->step = blo_program_input(program, BLO_ROLE_STEP, 0, "step", BLO_INT32, 0, NULL);
    for (int i = 0; i < program->n_named; i++)
        program->named[i] = declare_form(program, BLO_ROLE_NAMED, i, solver->named[i].name, &program->key.named[i]);
    for (int i = 0; !solver->one_model && i < blo_model_buffer_count(solver->upper); i++)
        program->upper_buffers[i] =
            declare_like(program, BLO_ROLE_UPPER_BUFFER, i, "x.", solver->upper, solver->n_upper + i);
    for (int i = 0; i < blo_model_buffer_count(solver->lower); i++)
        program->lower_buffers[i] = declare_like(program, BLO_ROLE_LOWER_BUFFER, i, "y.", solver->lower, n + i);
}

int blo_program_varying(const blo_program *program, blo_node **nodes) {
    int n = program->n_state;
    memcpy(nodes, program->state, (size_t)n * sizeof(blo_node *));
    nodes[n++] = program->step;
    for (int i = 0; i < program->n_named; i++)
        if (program->key.named[i].per_step)
            nodes[n++] = program->named[i];
    return n;
}

/* Node arrays of the program, and its slots, all of the sizes the models give. */
static bool make_room(const blo_lower_solver *solver, blo_program *program) {
    const size_t size = sizeof(blo_node *);
    program->n_lower = solver->n_lower;
    program->n_upper = solver->one_model ? 0 : solver->n_upper;
    program->n_state = program->n_lower * (1 + solver->states);
    program->n_named = program->key.n_named;
    program->state = calloc((size_t)program->n_state, size);
    program->next_state = calloc((size_t)program->n_state, size);
    program->upper = calloc((size_t)program->n_upper + 1, size);
    program->initial = calloc((size_t)program->n_lower, size);
    program->named = calloc((size_t)program->n_named + 1, size);
    program->upper_buffers = calloc((size_t)blo_model_buffer_count(solver->upper) + 1, size);
    program->lower_buffers = calloc((size_t)blo_model_buffer_count(solver->lower) + 1, size);
    program->upper_slot = calloc((size_t)program->n_upper + 1, sizeof(int));
    program->initial_slot = calloc((size_t)program->n_lower, sizeof(int));
    return program->state && program->next_state && program->upper && program->initial && program->named &&
           program->upper_buffers && program->lower_buffers && program->upper_slot && program->initial_slot;
}

/* The scalar that the objective must return; a mistake becomes the graph's error. */
static void check_loss(const blo_lower_solver *solver, blo_program *program, const blo_node *loss) {
    blo_graph *graph = program->graph;
    if (blo_graph_status(graph) != BLO_OK)
        return;
    if (!loss)
        blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "it returned NULL%s",
                       program->data && program->target ? "" : " (data or target was not given to this call)");
    else if (loss->graph != graph)
        blo_graph_fail(graph, BLO_ERROR_ARGUMENT, "it returned a node of another graph");
    else if (loss->rank != 0)
        blo_graph_fail(graph, BLO_ERROR_SHAPE, "it returned a node of rank %d, a scalar is wanted", loss->rank);
    else if (loss->dtype != blo_model_dtype(solver->lower))
        blo_graph_fail(graph, BLO_ERROR_DTYPE, "it returned a value of %s, the models are of %s",
                       blo_dtype_name(loss->dtype), blo_dtype_name(blo_model_dtype(solver->lower)));
}

/* Calls the objective with the program's inputs. Errors stick to the graph; no memory for the bound models is the only
 * other one. */
static blo_status call_objective(blo_lower_solver *solver, blo_program *program) {
    blo_tracking tracking = {0};
    blo_bound_model *lower = blo_model_bind(solver->lower, program->state, program->lower_buffers, &tracking);
    blo_bound_model *initial = blo_model_bind(solver->lower, program->initial, program->lower_buffers, &tracking);
    blo_bound_model *upper = NULL;
    if (solver->one_model)
        upper = blo_model_bind(solver->upper, program->initial, program->lower_buffers, &tracking);
    else if (solver->upper)
        upper = blo_model_bind(solver->upper, program->upper, program->upper_buffers, &tracking);
    blo_status status = BLO_OK;
    if (!lower || !initial || (solver->upper && !upper)) {
        status = BLO_ERROR_MEMORY;
        goto done;
    }
    const inputs_view view = {program->graph, program->n_named, solver->named, program->named};
    const blo_state state = {.graph = program->graph,
                             .data = program->data,
                             .target = program->target,
                             .upper_model = upper,
                             .lower_model = lower,
                             .initial_model = initial,
                             .step = program->step,
                             .inputs = &view};
    blo_context_counters(solver->context)->traces++;
    blo_node *loss = program->key.objective(&state, program->key.user);
    check_loss(solver, program, loss);
    if (blo_graph_status(program->graph) == BLO_OK && program->key.kind == BLO_PROGRAM_STEP)
        blo_trace_step(solver, program, &state, loss);
    program->value = program->key.kind == BLO_PROGRAM_SCALAR ? loss : NULL;
    if (blo_graph_status(program->graph) == BLO_OK)
        status = blo_tracks_make(solver, program, &tracking);
done:
    free(tracking.all);
    blo_bound_model_free(upper);
    blo_bound_model_free(initial);
    blo_bound_model_free(lower);
    return status;
}

static bool any_depends(const blo_program *program, blo_node *on) {
    if (program->key.kind == BLO_PROGRAM_SCALAR)
        return blo_graph_depends(program->value, 1, &on);
    for (int i = 0; i < program->n_state; i++)
        if (blo_graph_depends(program->next_state[i], 1, &on))
            return true;
    return false;
}

/* Numbers the parameters whose gradients flow: those that what was traced depends on. z that is no upper variable has
 * none. */
static void number_slots(const blo_lower_solver *solver, blo_program *program) {
    bool is_step = program->key.kind == BLO_PROGRAM_STEP;
    int next = is_step ? program->n_state : 1 + program->n_lower;
    for (int i = 0; i < program->n_upper; i++)
        program->upper_slot[i] = any_depends(program, program->upper[i]) ? next++ : -1;
    for (int i = 0; i < program->n_lower; i++) {
        bool flows = solver->options.initialization_auxiliary && any_depends(program, program->initial[i]);
        program->initial_slot[i] = flows ? next++ : -1;
    }
    for (int i = 0; program->hoist && i < program->hoist->n; i++)
        program->hoist->slot[i] = program->hoist->flows[i] ? next++ : -1;
    program->n_carry = is_step ? next : 0;
    program->n_output = is_step ? 0 : next;
}

blo_status blo_program_trace(blo_lower_solver *solver, blo_program *program, const char *what) {
    blo_context *context = solver->context;
    double start = blo_seconds();
    blo_status status = blo_graph_create(&program->graph);
    if (status != BLO_OK || !make_room(solver, program))
        return blo_fail(context, BLO_ERROR_MEMORY, "%s: no memory to trace it", what);
    declare_inputs(solver, program);
    if (blo_graph_status(program->graph) == BLO_OK)
        status = call_objective(solver, program);
    blo_context_counters(context)->seconds_build += blo_seconds() - start;
    if (status != BLO_OK)
        return blo_fail(context, status, "%s: no memory to trace it", what);
    status = blo_graph_status(program->graph);
    if (status != BLO_OK)
        return blo_fail(context, status, "%s: %s", what, blo_graph_error(program->graph));
    status = blo_hoist_split(solver, program);
    if (status == BLO_OK)
        number_slots(solver, program);
    if (status == BLO_OK && blo_graph_status(program->graph) != BLO_OK)
        status = blo_fail(context, BLO_ERROR_MEMORY, "%s: no memory to trace it", what);
    return status == BLO_OK ? blo_batch_tasks(solver, program, what) : status;
}
