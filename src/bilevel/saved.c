/* What prologues save for their pullbacks; see saved.h. What could be saved is the graph's to find, what is worth most
 * is chosen here. */
#include "saved.h"

#include <stdlib.h>
#include <string.h>

#include "solver.h"

/* What a launch is worth, in operations: so that many small values are saved as well. */
static const double launch = 20e3;

static double saves_per_byte(const blo_node *node) {
    return (blo_node_flops(node) + launch) / (double)blo_node_bytes(node);
}

static int by_saving(const void *a, const void *b) {
    const blo_node *x = *(blo_node *const *)a, *y = *(blo_node *const *)b;
    const double p = saves_per_byte(x), q = saves_per_byte(y);
    return p != q ? (p < q) - (p > q) : x->id - y->id;
}

/* Values that can be saved, best first, into FOUND[BLO_MOST_SAVED]. */
static blo_status find(const blo_program *program, blo_node **found, int *n) {
    const blo_hoist *hoist = program->hoist;
    *n = 0;
    if (!hoist || !hoist->pullback)
        return BLO_OK;
    blo_status status =
        blo_graph_shared(hoist->n, hoist->values, hoist->n_outputs, hoist->gradients, BLO_MOST_SAVED, found, n);
    qsort(found, (size_t)*n, sizeof *found, by_saving);
    return status;
}

void blo_saved_free(blo_saved *saved) {
    if (!saved)
        return;
    for (int i = 0; saved->arrays && i < saved->n; i++)
        blo_buffer_release(saved->arrays[i]);
    blo_plan_destroy(saved->prologue);
    blo_plan_destroy(saved->pullback);
    free(saved->arrays);
    free(saved->values);
    free(saved->inputs);
    free(saved);
}

static blo_status no_memory(const blo_lower_solver *solver) {
    return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory to save what a loop need not compute again");
}

/* Keeps of the N values FOUND as many as fit into ROOM bytes, best first. */
static int fit(const blo_program *program, blo_node **found, int n, uint64_t room) {
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (blo_hoist_bytes(program->hoist, found[i]) <= room) {
            room -= blo_hoist_bytes(program->hoist, found[i]);
            found[kept++] = found[i];
        }
    return kept;
}

/* Leaves of the N values FOUND those that the pullback reads when it goes on from all of them and from what is
 * hoisted: those only that are not hoisted anyway. False: no memory. */
static bool prune(const blo_program *program, blo_node **found, int *n) {
    const blo_hoist *hoist = program->hoist;
    const int n_nodes = blo_graph_nodes(program->graph);
    bool *given = calloc((size_t)n_nodes + 1, sizeof *given), *read = calloc((size_t)n_nodes + 1, sizeof *read);
    const bool made = given && read;
    int kept = 0;
    for (int i = 0; made && i < *n; i++)
        given[found[i]->id] = true;
    for (int i = 0; made && i < hoist->n; i++)
        given[hoist->values[i]->id] = true;
    for (int i = 0; made && i < hoist->n_outputs; i++)
        read[hoist->gradients[i]->id] = true;
    for (int id = n_nodes - 1; made && id >= 0; id--) {
        const blo_node *node = blo_graph_node(program->graph, id);
        for (int i = 0; read[id] && !given[id] && i < node->n_in; i++)
            read[node->in[i]->id] = true;
    }
    for (int i = 0; made && i < hoist->n; i++)
        read[hoist->values[i]->id] = false;
    for (int i = 0; made && i < *n; i++)
        if (read[found[i]->id])
            found[kept++] = found[i];
    free(given);
    free(read);
    *n = kept;
    return made;
}

/* RESULTS [n_outputs]: the pullback's gradients from inputs in the place of the N values FOUND, and of what is hoisted.
 */
static blo_status substitute(blo_program *program, blo_node **found, int n, blo_saved *saved, blo_node **results) {
    const blo_hoist *hoist = program->hoist;
    blo_node *from[BLO_MOST_SAVED + BLO_MOST_HOISTED], *to[BLO_MOST_SAVED + BLO_MOST_HOISTED];
    for (int i = 0; i < n; i++) {
        const blo_node *value = from[i] = saved->values[i] = found[i];
        to[i] = saved->inputs[i] =
            blo_program_input(program, BLO_ROLE_SAVED, i, "saved", value->dtype, value->rank, value->shape);
        if (!to[i])
            return blo_graph_status(program->graph);
        saved->n = i + 1;
    }
    memcpy(from + n, hoist->values, (size_t)hoist->n * sizeof *from);
    memcpy(to + n, hoist->own, (size_t)hoist->n * sizeof *to);
    return blo_graph_substitute(n + hoist->n, from, to, hoist->n_outputs, hoist->gradients, results);
}

/* Lowers both plans: what is saved stands after the prologue's own outputs. */
static blo_status lower(blo_lower_solver *solver, blo_program *program, blo_saved *saved, blo_node *const *results) {
    const blo_hoist *hoist = program->hoist;
    int n = 0;
    blo_node **outputs = blo_hoist_outputs(program, saved->n, &n);
    if (!outputs)
        return no_memory(solver);
    memcpy(outputs + n, saved->values, (size_t)saved->n * sizeof *outputs);
    blo_status status =
        blo_program_lower(solver, program, hoist->turns, n + saved->n, outputs, false, &saved->prologue);
    free(outputs);
    if (status == BLO_OK)
        status = blo_program_lower(solver, program, hoist->turns, hoist->n_outputs, results, true, &saved->pullback);
    if (status != BLO_OK)
        return status;
    blo_plan_set_part(saved->prologue, "prologue");
    blo_plan_set_part(saved->pullback, "prologue's gradient");
    return BLO_OK;
}

static blo_saved *make_room(int n) {
    blo_saved *saved = calloc(1, sizeof *saved);
    if (!saved)
        return NULL;
    saved->values = calloc((size_t)n, sizeof(blo_node *));
    saved->inputs = calloc((size_t)n, sizeof(blo_node *));
    saved->arrays = calloc((size_t)n, sizeof(blo_buffer *));
    if (saved->values && saved->inputs && saved->arrays)
        return saved;
    blo_saved_free(saved);
    return NULL;
}

/* The plans and arrays that save the N values FOUND. */
static blo_status make(blo_lower_solver *solver, blo_program *program, blo_node **found, int n, blo_saved **made) {
    blo_saved *saved = *made = make_room(n);
    blo_node **results = calloc((size_t)program->hoist->n_outputs + 1, sizeof *results);
    blo_status status = saved && results ? BLO_OK : no_memory(solver);
    if (status == BLO_OK && substitute(program, found, n, saved, results) != BLO_OK)
        status = blo_fail(solver->context, blo_graph_status(program->graph), "the derivative of what is hoisted: %s",
                          blo_graph_error(program->graph));
    if (status == BLO_OK)
        status = lower(solver, program, saved, results);
    for (int i = 0; i < n && status == BLO_OK; i++)
        status =
            blo_buffer_create(solver->context, (size_t)blo_hoist_bytes(program->hoist, found[i]), &saved->arrays[i]);
    free(results);
    return status;
}

/* What is saved of the values FOUND, best first, in ROOM bytes: of those that the pullback would read, as many as fit,
 * and of these again those that it then reads. False: no memory. */
static bool choose(const blo_program *program, blo_node **found, int *n, uint64_t room) {
    if (*n > 0 && !prune(program, found, n))
        return false;
    *n = fit(program, found, *n, room);
    return *n == 0 || prune(program, found, n);
}

blo_status blo_saved_make(blo_lower_solver *solver, blo_program *program, uint64_t scratch_bytes) {
    blo_node *found[BLO_MOST_SAVED];
    blo_saved *saved = NULL;
    int n;
    if (!program->hoist || program->hoist->saving_decided)
        return BLO_OK;
    const uint64_t room = blo_pool_available(solver->context, solver->options.memory_budget) / 2;
    blo_status status = find(program, found, &n);
    if (status == BLO_OK && !choose(program, found, &n, room))
        status = no_memory(solver);
    if (status == BLO_OK && n > 0)
        status = make(solver, program, found, n, &saved);
    if (status != BLO_OK) {
        blo_saved_free(saved);
        return status;
    }
    if (saved && (blo_plan_scratch_bytes(saved->prologue) > scratch_bytes ||
                  blo_plan_scratch_bytes(saved->pullback) > scratch_bytes)) {
        blo_saved_free(saved);
        saved = NULL;
    }
    program->hoist->saved = saved;
    program->hoist->saving_decided = true;
    program->hoist->is_valid = false; /* what it computed before was not saved */
    return BLO_OK;
}

bool blo_saved_give_up(blo_lower_solver *solver) {
    bool any = false;
    for (blo_program *program = solver->programs; program; program = program->next) {
        blo_hoist *hoist = program->hoist;
        if (!hoist || !hoist->saved)
            continue;
        blo_saved_free(hoist->saved);
        hoist->saved = NULL;
        hoist->saving_decided = hoist->is_valid = false;
        any = true;
    }
    return any;
}
