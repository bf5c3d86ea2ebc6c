/* How a lower loop leaves what its two objectives track; see track.h. */
#include <stdlib.h>

#include "solver.h"
#include "track.h"

enum { STEP, OBSERVE, PROGRAMS };

/* --- life --- */

static void destroy(blo_tracker *tracker) {
    for (int i = 0; tracker->all && i < tracker->n; i++) {
        blo_buffer_release(tracker->all[i].value[0]);
        blo_buffer_release(tracker->all[i].value[1]);
    }
    blo_plan_destroy(tracker->map);
    free(tracker->all);
    free(tracker);
}

void blo_tracker_free(blo_tracker *trackers) {
    while (trackers) {
        blo_tracker *next = trackers->next;
        destroy(trackers);
        trackers = next;
    }
}

/* --- which buffers --- */

static blo_model *model_of(const blo_lower_solver *solver, bool upper) {
    return upper ? solver->upper : solver->lower;
}

static blo_tensor *tensor_of(const blo_lower_solver *solver, const blo_running *running) {
    const blo_model *model = model_of(solver, running->upper);
    return blo_model_entry(model, blo_model_count(model) + running->index);
}

/* The buffers that either program tracks; TRACKER->all has room. */
static void collect(blo_tracker *tracker) {
    for (int p = 0; p < PROGRAMS; p++) {
        const blo_tracks *tracks = tracker->programs[p]->tracks;
        for (int i = 0; tracks && i < tracks->n; i++) {
            const blo_track *track = &tracks->all[i];
            int at = 0;
            while (at < tracker->n &&
                   (tracker->all[at].upper != track->upper || tracker->all[at].index != track->index))
                at++;
            if (at == tracker->n)
                tracker->all[tracker->n++] = (blo_running){track->upper, track->index, {-1, -1}, {NULL, NULL}, 0};
            tracker->all[at].track[p] = i;
            tracker->each = tracker->each || !track->once;
        }
    }
}

static bool any_depends(int n, blo_node *const *values, blo_node *on) {
    for (int i = 0; i < n; i++)
        if (blo_graph_depends(values[i], 1, &on))
            return true;
    return false;
}

/* Whether anything that PROGRAM computes depends on that buffer. */
static bool reads(const blo_program *program, const blo_running *running) {
    blo_node *node = (running->upper ? program->upper_buffers : program->lower_buffers)[running->index];
    const bool is_step = program->key.kind == BLO_PROGRAM_STEP;
    bool found = any_depends(is_step ? program->n_state : 1, is_step ? program->next_state : &program->value, node);
    if (program->hoist)
        found = found || any_depends(program->hoist->n, program->hoist->values, node);
    for (int i = 0; program->tracks && i < program->tracks->n; i++)
        found = found || blo_graph_depends(program->tracks->all[i].adds, 1, &node);
    return found;
}

static blo_status check_reads(const blo_lower_solver *solver, const blo_tracker *tracker) {
    for (int i = 0; i < tracker->n; i++)
        for (int p = 0; p < PROGRAMS; p++)
            if (reads(tracker->programs[p], &tracker->all[i]) &&
                blo_graph_status(tracker->programs[p]->graph) == BLO_OK)
                return blo_fail(solver->context, BLO_ERROR_ARGUMENT,
                                "the %s objective reads the buffer '%s', which the lower loop tracks and updates only "
                                "when it has ended",
                                p == STEP ? "lower" : "upper",
                                blo_model_buffer_name(model_of(solver, tracker->all[i].upper), tracker->all[i].index));
    for (int p = 0; p < PROGRAMS; p++)
        if (blo_graph_status(tracker->programs[p]->graph) != BLO_OK)
            return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for running statistics");
    return BLO_OK;
}

/* --- the whole loop as one map --- */

static int tasks_of(const blo_tracker *tracker) {
    return tracker->programs[STEP]->key.tasks;
}

/* FACTORS of b, of ADDS of f and of ADDS of F: what the evaluations of a loop, one after another, come to. */
static void factors_of(const blo_lower_solver *solver, const blo_tracker *tracker, const blo_running *running,
                       double factors[1 + PROGRAMS]) {
    const int steps = solver->options.lower_loop;
    factors[0] = 1.0;
    factors[1 + STEP] = factors[1 + OBSERVE] = 0.0;
    for (int k = 0; k < steps; k++)
        for (int p = 0; p < PROGRAMS; p++) {
            const bool runs = p == STEP || solver->options.acquire_max_loss || k + 1 == steps;
            if (running->track[p] < 0 || !runs)
                continue;
            for (int i = 0; i < 1 + PROGRAMS; i++)
                factors[i] *= tracker->programs[p]->tracks->all[running->track[p]].keeps;
            factors[1 + p] += 1.0;
        }
}

/* Which inputs of the map there are, beside b: ADDS of f and of F, or, in the first's place, what was added up. */
static bool is_mapped(const blo_tracker *tracker, const blo_running *running, int p) {
    return tracker->each ? p == 0 : running->track[p] >= 0;
}

static blo_node *mapped(const blo_lower_solver *solver, const blo_tracker *tracker, const blo_running *running,
                        blo_graph *graph) {
    const blo_tensor *like = tensor_of(solver, running);
    double factors[1 + PROGRAMS];
    blo_node *sum = NULL;
    factors_of(solver, tracker, running, factors);
    if (tracker->each)
        factors[1] = 1.0;
    for (int i = 0; i < 1 + PROGRAMS; i++) {
        blo_node *input = blo_graph_input(graph, i == 0 ? "buffer" : "tracked", blo_tensor_dtype(like),
                                          blo_tensor_rank(like), blo_tensor_shape(like));
        if (i > 0 && !is_mapped(tracker, running, i - 1))
            continue;
        blo_node *term = blo_scale(input, factors[i]);
        sum = i == 0 ? term : blo_add(sum, term);
    }
    return sum;
}

static blo_status plan_map(const blo_lower_solver *solver, blo_tracker *tracker) {
    blo_graph *graph = NULL;
    blo_node **outputs = calloc((size_t)tracker->n, sizeof *outputs);
    blo_status status = outputs ? blo_graph_create(&graph) : BLO_ERROR_MEMORY;
    if (status != BLO_OK) {
        blo_fail(solver->context, status, "no memory for running statistics");
        goto fail;
    }
    for (int i = 0; i < tracker->n; i++)
        outputs[i] = mapped(solver, tracker, &tracker->all[i], graph);
    status = blo_graph_status(graph);
    if (status == BLO_OK)
        status = blo_plan_lower(solver->context, tracker->n, outputs, NULL, &tracker->map);
    else
        blo_fail(solver->context, status, "running statistics: %s", blo_graph_error(graph));
    if (status == BLO_OK)
        blo_plan_set_part(tracker->map, "running statistics");
fail:
    blo_graph_destroy(graph);
    free(outputs);
    return status;
}

/* --- making --- */

static blo_status make(blo_lower_solver *solver, blo_tracker *tracker) {
    collect(tracker);
    blo_status status = check_reads(solver, tracker);
    const int tasks = tasks_of(tracker);
    for (int i = 0; status == BLO_OK && i < tracker->n; i++) {
        blo_running *running = &tracker->all[i];
        const size_t bytes = (size_t)tasks * blo_tensor_bytes(tensor_of(solver, running));
        for (int j = 0; status == BLO_OK && j < (tracker->each ? 2 : 1); j++)
            status = blo_buffer_create(solver->context, bytes, &running->value[j]);
    }
    if (status == BLO_OK && (!tracker->each || tasks > 1))
        status = plan_map(solver, tracker);
    for (int p = 0; tracker->each && status == BLO_OK && p < PROGRAMS; p++)
        status = blo_tracks_prepare_each(solver, tracker->programs[p]);
    return status;
}

blo_status blo_tracker_find(blo_lower_solver *solver, blo_program *step, blo_program *observe, blo_tracker **result) {
    *result = NULL;
    if (!step->tracks && !observe->tracks)
        return BLO_OK;
    blo_tracker *tracker = solver->trackers;
    while (tracker && (tracker->programs[STEP] != step || tracker->programs[OBSERVE] != observe))
        tracker = tracker->next;
    if (!tracker) {
        const int most = (step->tracks ? step->tracks->n : 0) + (observe->tracks ? observe->tracks->n : 0);
        tracker = calloc(1, sizeof *tracker);
        blo_running *all = calloc((size_t)most, sizeof *all);
        if (!tracker || !all) {
            free(tracker);
            free(all);
            return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for running statistics");
        }
        *tracker = (blo_tracker){.programs = {step, observe}, .all = all};
        blo_status status = make(solver, tracker);
        if (status != BLO_OK) {
            destroy(tracker);
            return status;
        }
        tracker->next = solver->trackers;
        solver->trackers = tracker;
    }
    *result = tracker;
    return BLO_OK;
}

int blo_tracker_plans(const blo_tracker *tracker, blo_plan **plans) {
    int n = 0;
    if (tracker && tracker->map)
        plans[n++] = tracker->map;
    for (int p = 0; tracker && p < PROGRAMS; p++) {
        const blo_tracks *tracks = tracker->programs[p]->tracks;
        if (tracks && tracks->once)
            plans[n++] = tracks->once;
        if (tracks && tracker->each)
            plans[n++] = tracks->each;
    }
    return n;
}

/* --- running --- */

/* What PROGRAM P of the loop reads, after K steps. */
static blo_binding binding_of(const blo_trajectory *trajectory, int p, const blo_place *state, int k) {
    const blo_watched *data = p == STEP ? &trajectory->train_data : &trajectory->validate_data;
    const blo_watched *target = p == STEP ? &trajectory->train_target : &trajectory->validate_target;
    return (blo_binding){.state = state,
                         .initial = trajectory->initial,
                         .data = data->tensor,
                         .target = target->tensor,
                         .named = trajectory->named,
                         .steps = k};
}

/* One evaluation by PROGRAM P at STATE: the values that it tracks. */
static blo_status update(blo_trajectory *trajectory, int p, const blo_place *state, int k) {
    blo_lower_solver *solver = trajectory->solver;
    blo_tracker *tracker = trajectory->tracker;
    const blo_program *program = tracker->programs[p];
    blo_tracks *tracks = program->tracks;
    if (!tracks)
        return BLO_OK;
    blo_place *outputs = blo_solver_room(solver, BLO_ROOM_TRACKED, tracks->n);
    if (!outputs)
        return BLO_ERROR_MEMORY;
    for (int i = 0; i < tracker->n; i++) {
        blo_running *running = &tracker->all[i];
        if (running->track[p] < 0)
            continue;
        tracks->all[running->track[p]].from = (blo_place){running->value[running->now], 0};
        running->now = !running->now;
        outputs[running->track[p]] = (blo_place){running->value[running->now], 0};
    }
    const blo_binding binding = binding_of(trajectory, p, state, k);
    return blo_program_run_turns(solver, program, tracks->each, &binding, outputs);
}

/* At y_K, in the order of the loop: F, unless it is not evaluated there, then f, unless the loop ends there. */
static blo_status visit(void *user, int k, const blo_place *state) {
    blo_trajectory *trajectory = user;
    const blo_lower_options *options = &trajectory->solver->options;
    blo_status status = BLO_OK;
    if (k > 0 && (options->acquire_max_loss || k == options->lower_loop))
        status = update(trajectory, OBSERVE, state, k);
    return status == BLO_OK && k < options->lower_loop ? update(trajectory, STEP, state, k) : status;
}

/* What is the same for the whole loop, where no prologue computed it; and the values that the loop begins with. */
static blo_status start(blo_trajectory *trajectory) {
    blo_lower_solver *solver = trajectory->solver;
    blo_tracker *tracker = trajectory->tracker;
    blo_status status = BLO_OK;
    for (int p = 0; status == BLO_OK && p < PROGRAMS; p++) {
        const blo_tracks *tracks = tracker->programs[p]->tracks;
        if (!tracks || !tracks->once)
            continue;
        blo_place *outputs = blo_solver_room(solver, BLO_ROOM_TRACKED, tracks->n_once);
        if (!outputs)
            return BLO_ERROR_MEMORY;
        blo_tracks_once_places(tracks, outputs);
        const blo_binding binding = binding_of(trajectory, p, NULL, 0);
        status = blo_program_run_turns(solver, tracker->programs[p], tracks->once, &binding, outputs);
    }
    for (int i = 0; status == BLO_OK && tracker->each && i < tracker->n; i++) {
        const blo_tensor *tensor = tensor_of(solver, &tracker->all[i]);
        blo_buffer *first = tracker->all[i].value[0];
        const size_t bytes = (size_t)blo_tensor_bytes(tensor);
        tracker->all[i].now = 0;
        status = trajectory->tasks > 1
                     ? blo_buffer_zero(solver->context, first, 0, (size_t)trajectory->tasks * bytes)
                     : blo_buffer_copy(solver->context, blo_tensor_buffer(tensor), 0, first, 0, bytes);
    }
    return status;
}

blo_status blo_tracker_begin(blo_trajectory *trajectory) {
    const blo_tracker *tracker = trajectory->tracker;
    blo_loop_on_state(trajectory->loop, tracker && tracker->each ? visit : NULL, trajectory);
    return tracker ? start(trajectory) : BLO_OK;
}

/* A loop that ran whole left all its states to be visited. */
static blo_status catch_up(blo_trajectory *trajectory) {
    blo_status status = start(trajectory);
    const int steps = trajectory->solver->options.lower_loop;
    for (int k = 0; trajectory->tracker->each && status == BLO_OK && k <= steps; k++) {
        blo_place *state = blo_solver_room(trajectory->solver, BLO_ROOM_STATE, trajectory->n_state);
        status = state ? blo_trajectory_places(trajectory, k, state) : BLO_ERROR_MEMORY;
        if (status == BLO_OK)
            status = visit(trajectory, k, state);
    }
    return status;
}

/* Where the maps of several tasks, one after another, write: one of two rows, in turn. */
static blo_place mapped_place(const blo_lower_solver *solver, const blo_tracker *tracker, const blo_running *running,
                              int task) {
    const blo_buffer *buffer = running->value[tracker->each ? !running->now : 0];
    return (blo_place){buffer, (uint64_t)(task % 2) * blo_tensor_bytes(tensor_of(solver, running))};
}

/* The whole loop of TASK at once. */
static blo_status run_map(const blo_trajectory *trajectory, int task) {
    blo_lower_solver *solver = trajectory->solver;
    const blo_tracker *tracker = trajectory->tracker;
    const int n_inputs = tracker->n * (1 + PROGRAMS);
    blo_place *inputs = blo_solver_room(solver, BLO_ROOM_TRACKED, n_inputs + tracker->n);
    const blo_buffer *scratch = NULL;
    if (!inputs)
        return BLO_ERROR_MEMORY;
    blo_place *outputs = inputs + n_inputs;
    for (int i = 0; i < tracker->n; i++) {
        const blo_running *running = &tracker->all[i];
        blo_place *of = inputs + i * (1 + PROGRAMS);
        const blo_tensor *tensor = tensor_of(solver, running);
        const uint64_t row = (uint64_t)task * blo_tensor_bytes(tensor);
        of[0] = task > 0 ? mapped_place(solver, tracker, running, task - 1) : (blo_place){blo_tensor_buffer(tensor), 0};
        for (int p = 0; p < PROGRAMS; p++)
            if (is_mapped(tracker, running, p))
                of[1 + p] = (blo_place){tracker->each ? running->value[running->now]
                                                      : tracker->programs[p]->tracks->all[running->track[p]].array,
                                        row};
        outputs[i] = mapped_place(solver, tracker, running, task);
    }
    blo_status status = blo_solver_scratch(solver, blo_plan_scratch_bytes(tracker->map), &scratch);
    return status == BLO_OK ? blo_plan_enqueue(tracker->map, inputs, outputs, scratch) : status;
}

blo_status blo_tracker_commit(blo_trajectory *trajectory) {
    blo_lower_solver *solver = trajectory->solver;
    const blo_tracker *tracker = trajectory->tracker;
    blo_status status = BLO_OK;
    if (!tracker)
        return BLO_OK;
    if (trajectory->small)
        status = catch_up(trajectory);
    for (int task = 0; status == BLO_OK && tracker->map && task < trajectory->tasks; task++)
        status = run_map(trajectory, task);
    for (int i = 0; status == BLO_OK && i < tracker->n; i++) {
        const blo_running *running = &tracker->all[i];
        const blo_place from = tracker->map ? mapped_place(solver, tracker, running, trajectory->tasks - 1)
                                            : (blo_place){running->value[running->now], 0};
        blo_tensor *tensor = tensor_of(solver, running);
        status = blo_buffer_copy(solver->context, from.buffer, (size_t)from.offset, blo_tensor_buffer(tensor), 0,
                                 blo_tensor_bytes(tensor));
        blo_tensor_touch(tensor);
    }
    return status;
}
