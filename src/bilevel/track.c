/* What a program tracks, from its trace to its plans; see track.h. What loops of two programs do with it is tracker.c's
 * affair. */
#include "track.h"

#include <stdlib.h>
#include <string.h>

#include "solver.h"

static blo_status no_memory(const blo_lower_solver *solver) {
    return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for running statistics");
}

void blo_tracks_free(blo_tracks *tracks) {
    if (!tracks)
        return;
    for (int i = 0; i < tracks->n; i++)
        blo_buffer_release(tracks->all[i].array);
    blo_plan_destroy(tracks->once);
    blo_plan_destroy(tracks->each);
    free(tracks->all);
    free(tracks);
}

/* --- tracing --- */

blo_status blo_tracks_make(blo_lower_solver *solver, blo_program *program, const blo_tracking *tracking) {
    if (tracking->n == 0)
        return BLO_OK;
    blo_node **varying = calloc((size_t)(program->n_state + 1 + program->n_named), sizeof *varying);
    blo_tracks *tracks = program->tracks = calloc(1, sizeof *tracks);
    if (tracks)
        tracks->all = calloc((size_t)tracking->n, sizeof *tracks->all);
    blo_status status = varying && tracks && tracks->all ? BLO_OK : no_memory(solver);
    const int n_varying = status == BLO_OK ? blo_program_varying(program, varying) : 0;
    for (int i = 0; status == BLO_OK && i < tracking->n; i++) {
        const blo_tracked *tracked = &tracking->all[i];
        const bool once = !blo_graph_depends(tracked->adds, n_varying, varying);
        tracks->all[tracks->n++] = (blo_track){.upper = tracked->model != solver->lower,
                                               .index = tracked->buffer,
                                               .keeps = tracked->keeps,
                                               .adds = tracked->adds,
                                               .once = once};
        tracks->n_once += once;
    }
    free(varying);
    if (status == BLO_OK && blo_graph_status(program->graph) != BLO_OK)
        status = no_memory(solver);
    return status;
}

int blo_tracks_once(const blo_tracks *tracks, blo_node **nodes) {
    int n = 0;
    for (int i = 0; tracks && i < tracks->n; i++)
        if (tracks->all[i].once)
            nodes[n++] = tracks->all[i].adds;
    return n;
}

int blo_tracks_once_places(const blo_tracks *tracks, blo_place *places) {
    int n = 0;
    for (int i = 0; tracks && i < tracks->n; i++)
        if (tracks->all[i].once)
            places[n++] = (blo_place){tracks->all[i].array, 0};
    return n;
}

blo_status blo_tracks_substitute(blo_tracks *tracks, int m, blo_node *const *from, blo_node *const *to) {
    blo_status status = BLO_OK;
    for (int i = 0; tracks && status == BLO_OK && i < tracks->n; i++)
        if (!tracks->all[i].once)
            status = blo_graph_substitute(m, from, to, 1, &tracks->all[i].adds, &tracks->all[i].adds);
    return status;
}

blo_status blo_tracks_batch(blo_tracks *tracks, int m, blo_node *const *from, blo_node *const *to, int tasks,
                            bool per_turn) {
    blo_status status = BLO_OK;
    for (int i = 0; tracks && status == BLO_OK && i < tracks->n; i++) {
        blo_track *track = &tracks->all[i];
        if (!track->once || !per_turn)
            status = blo_graph_batch(1, &track->adds, m, from, to, tasks, &track->adds);
    }
    return status;
}

/* The shape of TRACK's buffer, with an axis of TASKS where there are several; returns its rank. */
static int shape_of(const blo_program *program, const blo_track *track, int tasks, int64_t shape[BLO_MAX_RANK]) {
    const blo_node *buffer = (track->upper ? program->upper_buffers : program->lower_buffers)[track->index];
    const int axes = tasks > 1;
    shape[0] = tasks;
    memcpy(shape + axes, buffer->shape, (size_t)buffer->rank * sizeof *shape);
    return axes + buffer->rank;
}

/* --- plans --- */

blo_status blo_tracks_prepare(blo_lower_solver *solver, blo_program *program) {
    blo_tracks *tracks = program->tracks;
    blo_status status = BLO_OK;
    for (int i = 0; tracks && status == BLO_OK && i < tracks->n; i++) {
        blo_track *track = &tracks->all[i];
        int64_t shape[BLO_MAX_RANK];
        size_t bytes = blo_dtype_size(track->adds->dtype);
        for (int axis = 0, rank = shape_of(program, track, program->key.tasks, shape); axis < rank; axis++)
            bytes *= (size_t)shape[axis];
        if (track->once && !track->array)
            status = blo_buffer_create(solver->context, bytes, &track->array);
    }
    if (status != BLO_OK || !tracks || tracks->n_once == 0 || tracks->once || program->hoist)
        return status;
    blo_node **nodes = calloc((size_t)tracks->n_once, sizeof *nodes);
    if (!nodes)
        return no_memory(solver);
    blo_tracks_once(tracks, nodes);
    status = blo_program_lower(solver, program, program->turns, tracks->n_once, nodes, false, &tracks->once);
    if (status == BLO_OK)
        blo_plan_set_part(tracks->once, "running statistics");
    free(nodes);
    return status;
}

/* KEEPS * the buffer + ADDS, of track INDEX. */
static blo_node *updated(blo_program *program, int index) {
    const blo_track *track = &program->tracks->all[index];
    int64_t shape[BLO_MAX_RANK];
    const int rank = shape_of(program, track, program->turns > 1 ? 1 : program->key.tasks, shape);
    const blo_dtype dtype = track->adds->dtype;
    blo_node *value = blo_program_input(program, BLO_ROLE_RUNNING, index, "running", dtype, rank, shape);
    blo_node *adds = track->adds;
    if (track->once)
        adds = blo_program_input(program, BLO_ROLE_TRACKED, index, "tracked", dtype, rank, shape);
    return blo_add(blo_scale(value, track->keeps), adds);
}

blo_status blo_tracks_prepare_each(blo_lower_solver *solver, blo_program *program) {
    blo_tracks *tracks = program->tracks;
    if (!tracks || tracks->each)
        return BLO_OK;
    blo_node **nodes = calloc((size_t)tracks->n, sizeof *nodes);
    if (!nodes)
        return no_memory(solver);
    for (int i = 0; i < tracks->n; i++)
        nodes[i] = updated(program, i);
    blo_status status = blo_graph_status(program->graph);
    if (status != BLO_OK)
        blo_fail(solver->context, status, "running statistics: %s", blo_graph_error(program->graph));
    else
        status = blo_program_lower(solver, program, program->turns, tracks->n, nodes, false, &tracks->each);
    if (status == BLO_OK)
        blo_plan_set_part(tracks->each, "running statistics");
    free(nodes);
    return status;
}
