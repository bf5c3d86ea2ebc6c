/* Programs of several tasks; see batch.h. How each operation takes its axis of tasks is the graph's affair. */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "hoist.h"
#include "solver.h"
#include "track.h"

void blo_batch_free(blo_batch *batch) {
    if (!batch)
        return;
    for (int i = 0; batch->joined && batch->joined[i]; i++)
        blo_buffer_release(batch->joined[i]);
    free(batch->joined);
    free(batch->outputs);
    free(batch->own);
    free(batch->from);
    free(batch->to);
    free(batch);
}

/* SHAPE [rank] of one task, of all: [rank + 1]. */
static void shape_of_all(const blo_program *program, const blo_node *one, int64_t *shape) {
    shape[0] = program->key.tasks;
    memcpy(shape + 1, one->shape, (size_t)one->rank * sizeof *shape);
}

/* --- at once or in turns --- */

/* Bytes of the largest value that NODES[n] are computed by, whatever is merely repeated left out. */
static double largest_bytes(int n, blo_node *const *nodes) {
    const blo_graph *graph = n > 0 ? nodes[0]->graph : NULL;
    bool *live = graph ? calloc((size_t)blo_graph_nodes(graph) + 1, sizeof *live) : NULL;
    double most = 0;
    if (live)
        blo_graph_mark_live(n, nodes, live);
    for (int id = 0; live && id < blo_graph_nodes(graph); id++) {
        const blo_node *node = blo_graph_node(graph, id);
        const double bytes = (double)blo_node_bytes(node);
        if (live[id] && (blo_node_computes(node) || blo_is_convolution(node) || node->op == BLO_OP_MATMUL) &&
            bytes > most)
            most = bytes;
    }
    free(live);
    return most;
}

/* Turns in which the program's tasks best compute NODES[n], which are those of one task: on a CPU all at once only as
 * long as their arrays stay in a cache. */
static int turns_of(const blo_lower_solver *solver, const blo_program *program, int n, blo_node *const *nodes) {
    const int tasks = program->key.tasks;
    const bool cpu = blo_context_facts(solver->context)->is_cpu;
    return cpu && largest_bytes(n, nodes) * tasks > solver->cached ? tasks : 1;
}

/* --- from one task to all --- */

static bool make_room(blo_program *program) {
    const size_t most = (size_t)(program->n_state + program->n_lower + 2 + program->n_named + BLO_MOST_HOISTED);
    blo_batch *batch = program->batch = calloc(1, sizeof *batch);
    if (!batch)
        return false;
    batch->n = program->key.kind == BLO_PROGRAM_STEP ? program->n_state : 1;
    batch->outputs = calloc((size_t)batch->n, sizeof(blo_node *));
    batch->from = calloc(most, sizeof(blo_node *));
    batch->to = calloc(most, sizeof(blo_node *));
    return batch->outputs && batch->from && batch->to;
}

/* Input *INPUT of one task (NULL: none) becomes one of all tasks. */
static void add_axis(blo_program *program, blo_node **input) {
    blo_batch *batch = program->batch;
    const blo_node *one = *input;
    int64_t shape[BLO_MAX_RANK];
    if (!one || blo_graph_status(program->graph) != BLO_OK)
        return;
    const char *name = blo_graph_input_name(program->graph, one->attr.input);
    if (one->rank == BLO_MAX_RANK) {
        blo_graph_fail(program->graph, BLO_ERROR_SHAPE, "'%s' has %d axes, there is no room for one of tasks", name,
                       one->rank);
        return;
    }
    shape_of_all(program, one, shape);
    const blo_role role = program->roles[one->attr.input];
    batch->from[batch->m] = *input;
    *input = blo_program_input(program, role.kind, role.index, name, one->dtype, one->rank + 1, shape);
    batch->to[batch->m++] = *input;
}

/* y_0 differs from task to task where loops start from the last y_T: there it has no gradient. */
static void add_axes(const blo_lower_solver *solver, blo_program *program) {
    for (int i = 0; i < program->n_state; i++)
        add_axis(program, &program->state[i]);
    for (int i = 0; solver->options.warm_start && i < program->n_lower; i++)
        add_axis(program, &program->initial[i]);
    add_axis(program, &program->data);
    add_axis(program, &program->target);
    for (int i = 0; i < program->n_named; i++)
        if (program->key.named[i].per_task)
            add_axis(program, &program->named[i]);
}

/* What is hoisted of the tasks' own inputs has an axis of tasks, the rest stays shared. Where it is hoisted task by
 * task, the prologue stays that of one task. */
static void batch_hoisted(const blo_lower_solver *solver, blo_program *program) {
    blo_hoist *hoist = program->hoist;
    const blo_batch *batch = program->batch;
    const int m = batch->m;
    bool per_task[BLO_MOST_HOISTED] = {false}, all = true;
    blo_node *values[BLO_MOST_HOISTED];
    for (int i = 0; i < hoist->n; i++) {
        per_task[i] = blo_graph_depends(hoist->values[i], m, batch->from);
        all = all && per_task[i];
    }
    hoist->turns = all ? turns_of(solver, program, hoist->n, hoist->values) : 1;
    if (hoist->turns > 1) {
        for (int i = 0; i < hoist->n; i++)
            add_axis(program, &hoist->inputs[i]);
        return;
    }
    if (blo_graph_batch(hoist->n, hoist->values, m, batch->from, batch->to, program->key.tasks, values) != BLO_OK)
        return;
    for (int i = 0; i < hoist->n; i++)
        if (per_task[i]) {
            hoist->values[i] = values[i];
            add_axis(program, &hoist->inputs[i]);
            hoist->own[i] = hoist->inputs[i];
        }
}

blo_status blo_batch_tasks(blo_lower_solver *solver, blo_program *program, const char *what) {
    const int64_t tasks = program->key.tasks;
    const bool is_step = program->key.kind == BLO_PROGRAM_STEP;
    blo_node **outputs = is_step ? program->next_state : &program->value;
    program->turns = tasks == 1 ? 1 : turns_of(solver, program, is_step ? program->n_state : 1, outputs);
    if (program->hoist && program->turns > 1)
        program->hoist->turns = program->turns;
    if (tasks == 1 || program->turns > 1)
        return BLO_OK;
    if (!make_room(program))
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "%s: no memory for %d tasks", what, program->key.tasks);
    blo_graph *graph = program->graph;
    blo_batch *batch = program->batch;
    memcpy(batch->outputs, outputs, (size_t)batch->n * sizeof *outputs);
    add_axes(solver, program);
    batch->chosen = blo_program_input(program, BLO_ROLE_CHOSEN, 0, "chosen", BLO_INT32, 1, &tasks);
    if (program->hoist && blo_graph_status(graph) == BLO_OK)
        batch_hoisted(solver, program);
    if (blo_graph_status(graph) == BLO_OK)
        blo_tracks_batch(program->tracks, batch->m, batch->from, batch->to, (int)tasks,
                         program->hoist && program->hoist->turns > 1);
    if (blo_graph_status(graph) == BLO_OK)
        blo_graph_batch(batch->n, batch->outputs, batch->m, batch->from, batch->to, tasks, outputs);
    const blo_status status = blo_graph_status(graph);
    return status == BLO_OK ? BLO_OK : blo_fail(solver->context, status, "%s: %s", what, blo_graph_error(graph));
}

/* --- the adjoint --- */

/* What the adjoint is taken of and in. Where it is taken in something that tasks share, each task gets an input of its
 * own to stand in for it: a task that is not swept any more must not reach the sum, and its part may be a NaN. */
typedef struct adjoint {
    blo_program *program;
    bool is_step;
    int n, first;                     /* outputs; the first of them that is a gradient */
    blo_node **wrt, **given;          /* [n]; what the outputs were before */
    blo_node **results;               /* [n] */
    int n_shared;                     /* of those of WRT */
    blo_node **from, **to;            /* [m + n]: of the batch, then what is shared and what stands in for it */
    blo_node **outputs, **cotangents; /* [batch->n] */
} adjoint;

static bool is_shared(const blo_batch *batch, const blo_node *node) {
    for (int i = 0; i < batch->m; i++)
        if (batch->to[i] == node)
            return false;
    return true;
}

/* The nodes that the gradients are taken in, and inputs for what was there before. */
static void declare(adjoint *a) {
    blo_program *program = a->program;
    const blo_batch *batch = program->batch;
    const int n_state = a->is_step ? program->n_state : program->n_lower;
    int64_t shape[BLO_MAX_RANK];
    a->wrt[0] = program->value; /* of a SCALAR; a STEP has a state there */
    memcpy(a->wrt + a->first, program->state, (size_t)n_state * sizeof *a->wrt);
    blo_program_collect(program, a->first + n_state, a->wrt);
    memcpy(a->from, batch->from, (size_t)batch->m * sizeof *a->from);
    memcpy(a->to, batch->to, (size_t)batch->m * sizeof *a->to);
    for (int i = 0; i < a->n && blo_graph_status(program->graph) == BLO_OK; i++) {
        blo_node *node = a->wrt[i];
        a->given[i] = blo_program_input(program, a->is_step ? BLO_ROLE_CARRY : BLO_ROLE_CARRIED, i, "adjoint",
                                        node->dtype, node->rank, node->shape);
        batch->own[i] = i < a->first || !is_shared(batch, node);
        if (batch->own[i])
            continue;
        if (node->rank == BLO_MAX_RANK) {
            blo_graph_fail(program->graph, BLO_ERROR_SHAPE, "'%s' has %d axes, there is no room for one of tasks",
                           blo_graph_input_name(program->graph, node->attr.input), node->rank);
            return;
        }
        shape_of_all(program, node, shape);
        a->from[batch->m + a->n_shared] = node;
        a->wrt[i] = blo_program_input(program, BLO_ROLE_NONE, i, "own", node->dtype, node->rank + 1, shape);
        a->to[batch->m + a->n_shared++] = a->wrt[i];
    }
}

/* Each task's gradients, into RESULTS from FIRST on. */
static blo_status differentiate(adjoint *a) {
    blo_program *program = a->program;
    const blo_batch *batch = program->batch;
    blo_status status = blo_graph_batch(batch->n, batch->outputs, batch->m + a->n_shared, a->from, a->to,
                                        program->key.tasks, a->outputs);
    for (int i = 0; status == BLO_OK && i < batch->n; i++)
        a->cotangents[i] = a->is_step ? a->given[i] : blo_full_like(a->outputs[i], 1.0);
    if (status == BLO_OK)
        status =
            blo_vjp(batch->n, a->outputs, a->cotangents, a->n - a->first, a->wrt + a->first, a->results + a->first);
    if (!a->is_step)
        a->results[0] = program->value;
    return status;
}

/* MASK [tasks], for every element of NODE [tasks, …]. */
static blo_node *spread(blo_node *mask, const blo_node *node) {
    return node ? blo_node_broadcast(mask, node->rank, node->shape, (const int[]){0}) : NULL;
}

/* Output I: its gradient where MASK says so, what was given elsewhere; sums are added to. */
static blo_node *masked(const adjoint *a, blo_node *mask, int i) {
    blo_node *given = a->given[i], *result = a->results[i];
    const bool adds = a->is_step && i >= a->program->n_state;
    if (!given || !result)
        return NULL;
    if (result->rank == given->rank)
        return blo_select(spread(mask, given), adds ? blo_add(given, result) : result, given);
    blo_node *own = blo_select(spread(mask, result), result, blo_zeros_like(result));
    return own ? blo_add(given, blo_node_reduce(BLO_OP_SUM, own, 1u)) : NULL;
}

/* Puts what is shared back in the place of what stood in for it. */
static blo_status share_again(adjoint *a) {
    const int m = a->program->batch->m;
    for (int i = 0; i < a->n_shared; i++) {
        int map[BLO_MAX_RANK];
        blo_node *shared = a->from[m + i], *own = a->to[m + i];
        for (int axis = 0; axis < shared->rank; axis++)
            map[axis] = axis + 1;
        a->from[m + i] = own;
        a->to[m + i] = blo_node_broadcast(shared, own->rank, own->shape, map);
    }
    return blo_graph_substitute(a->n_shared, a->from + m, a->to + m, a->n, a->results, a->results);
}

static blo_status take_adjoint(adjoint *a) {
    blo_program *program = a->program;
    blo_graph *graph = program->graph;
    const int64_t tasks = program->key.tasks;
    declare(a);
    if (blo_graph_status(graph) != BLO_OK || differentiate(a) != BLO_OK)
        return blo_graph_status(graph);
    blo_node *chosen = program->batch->chosen, *step = blo_node_broadcast(program->step, 1, &tasks, NULL);
    blo_node *mask = a->is_step ? blo_less(step, chosen) : blo_equal(step, chosen);
    for (int i = 0; i < a->n && blo_graph_status(graph) == BLO_OK; i++)
        a->results[i] = masked(a, mask, i);
    return blo_graph_status(graph) == BLO_OK ? share_again(a) : blo_graph_status(graph);
}

blo_status blo_batch_adjoint(blo_program *program, blo_node **nodes) {
    blo_batch *batch = program->batch;
    const bool is_step = program->key.kind == BLO_PROGRAM_STEP;
    const int n = is_step ? program->n_carry : program->n_output;
    const size_t pairs = (size_t)(batch->m + n), outputs = (size_t)batch->n;
    blo_node **room = calloc(2 * pairs + 2 * outputs, sizeof *room);
    free(batch->own);
    batch->own = calloc((size_t)n + 1, sizeof *batch->own);
    if (!room || !batch->own) {
        free(room);
        return BLO_ERROR_MEMORY;
    }
    adjoint a = {.program = program,
                 .is_step = is_step,
                 .n = n,
                 .first = is_step ? 0 : 1,
                 .wrt = nodes,
                 .given = nodes + n,
                 .results = nodes + 2 * (size_t)n,
                 .from = room,
                 .to = room + pairs,
                 .outputs = room + 2 * pairs,
                 .cotangents = room + 2 * pairs + outputs};
    const blo_status status = take_adjoint(&a);
    free(room);
    return status;
}

blo_status blo_batch_reserve(blo_lower_solver *solver, blo_program *program) {
    blo_batch *batch = program->batch;
    const int n = program->n_output;
    if (!batch)
        return BLO_OK;
    if (!batch->joined)
        batch->joined = calloc((size_t)n + 1, sizeof(blo_buffer *)); /* ended by a NULL */
    if (!batch->joined)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for hypergradients");
    blo_status status = BLO_OK;
    for (int i = 0; status == BLO_OK && i < n; i++)
        if (!batch->joined[i])
            status = blo_buffer_create(solver->context, (size_t)blo_plan_output_bytes(program->adjoint, i),
                                       &batch->joined[i]);
    return status;
}
