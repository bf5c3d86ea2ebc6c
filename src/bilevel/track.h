/* Running statistics: buffers of the models that the objectives of a loop track (nn.h: blo_model_track), and how one
 * loop leaves them. Every evaluation of an objective maps a tracked buffer b to KEEPS * b + ADDS. What a loop computes
 * anew in every evaluation is added up state by state; where ADDS is the same all along, it is computed once and the
 * whole loop is one affine map. Of several tasks each has such a map of its own, and they are applied one after
 * another, as loops one after another would. Steps, losses and sweeps know nothing of it. */
#ifndef BLO_BILEVEL_TRACK_H
#define BLO_BILEVEL_TRACK_H

#include "program.h"

struct blo_lower_solver;
struct blo_binding;

/* A buffer that a program tracks. */
typedef struct blo_track {
    bool upper; /* of the upper model, else of the lower one */
    int index;  /* among the model's buffers */
    double keeps;
    blo_node *adds;
    bool once;         /* ADDS is the same for a whole loop */
    blo_buffer *array; /* then its value, of every task; NULL until prepared */
    blo_place from;    /* the buffer as EACH reads it, set for a run */
} blo_track;

/* Of a program whose objective tracks anything. */
typedef struct blo_tracks {
    int n, n_once;
    blo_track *all;
    blo_plan *once; /* what is computed once, where no prologue does it (hoist.h); NULL until prepared */
    blo_plan *each; /* all buffers -> all buffers, of every task, for one evaluation; NULL until a loop needs it */
} blo_tracks;

/* Takes over what the objective of PROGRAM, just traced, gathered in TRACKING, and finds what is the same for a whole
 * loop. PROGRAM->tracks stays NULL if nothing is tracked. */
blo_status blo_tracks_make(struct blo_lower_solver *solver, blo_program *program, const blo_tracking *tracking);
void blo_tracks_free(blo_tracks *tracks);

/* Nodes, and places, of what is computed once: [n_once]. TRACKS may be NULL: none. They return how many. */
int blo_tracks_once(const blo_tracks *tracks, blo_node **nodes);
int blo_tracks_once_places(const blo_tracks *tracks, blo_place *places);
/* What is still computed in every evaluation, with TO[m] in the place of FROM[m]. */
blo_status blo_tracks_substitute(blo_tracks *tracks, int m, blo_node *const *from, blo_node *const *to);
/* What is added for every one of TASKS tasks, with TO[m] in the place of FROM[m]; where PER_TURN what is computed once
 * stays that of one task. Errors: the graph's. */
blo_status blo_tracks_batch(blo_tracks *tracks, int m, blo_node *const *from, blo_node *const *to, int tasks,
                            bool per_turn);
/* The arrays, and the plan of what no prologue computes, if that is not done. A program without tracks: nothing. */
blo_status blo_tracks_prepare(struct blo_lower_solver *solver, blo_program *program);
/* The plan for one evaluation, likewise. */
blo_status blo_tracks_prepare_each(struct blo_lower_solver *solver, blo_program *program);

/* A buffer that a loop tracks. */
typedef struct blo_running {
    bool upper;
    int index;
    int track[2];         /* of the step's objective, of F: its place among the program's tracks; -1: none */
    blo_buffer *value[2]; /* read and written in turn; of several tasks, one row each */
    int now;              /* which holds what the loop has made of it so far: of several tasks, of nothing */
} blo_running;

/* What loops of two programs track together; kept by the solver. */
typedef struct blo_tracker {
    struct blo_tracker *next;
    blo_program *programs[2]; /* step, observe */
    int n;
    blo_running *all;
    bool each;     /* something changes from evaluation to evaluation: added up state by state */
    blo_plan *map; /* else: for each buffer b, ADDS of f, ADDS of F -> b after the loop; where states are added up for
                      several tasks: b, what its task has made of nothing -> b after that task; else NULL */
} blo_tracker;

/* Finds or makes the tracker of two programs; *TRACKER is NULL where neither tracks. Errors: ARGUMENT (an objective
 * reads what is tracked), MEMORY, BUDGET, BUILD. */
blo_status blo_tracker_find(struct blo_lower_solver *solver, blo_program *step, blo_program *observe,
                            blo_tracker **tracker);
void blo_tracker_free(blo_tracker *trackers); /* all of a list */
/* The plans that a loop runs, in PLANS[BLO_TRACKER_PLANS]; returns how many. TRACKER may be NULL: none. */
enum { BLO_TRACKER_PLANS = 5 };
int blo_tracker_plans(const blo_tracker *tracker, blo_plan **plans);

/* Before the loop of TRAJECTORY: the buffers' values, and that its states are visited as they come. */
blo_status blo_tracker_begin(blo_trajectory *trajectory);
/* After the loop has succeeded: the buffers' new values, into the models. */
blo_status blo_tracker_commit(blo_trajectory *trajectory);

#endif
