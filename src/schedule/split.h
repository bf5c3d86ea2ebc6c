/* How a loop's memory is divided between states and what steps keep for their adjoints. Arithmetic only: no storage, no
 * device. */
#ifndef BLO_SCHEDULE_SPLIT_H
#define BLO_SCHEDULE_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct blo_split_request {
    int steps;
    bool last_stays;    /* s_T has a slot that sweeps do not get */
    uint64_t available; /* bytes */
    uint64_t state_bytes;
    int n_levels; /* arrays that can be kept, best first, as in blo_loop_layout */
    const uint64_t *keep_bytes;
    double step_cost;
    const double *adjoint_cost; /* [n_levels + 1] */
} blo_split_request;

/* Where all states fit: what is left goes to kept arrays, the first array of every step before the second of any, from
 * step 0 on, because sweeps from every K pass it; none from the first that saves
 * nothing on. Else: the states that a run keeps, and room for arrays of ROOMS steps
 * at once, which a sweep fills as it recomputes steps and empties as it passes them; as many of each as make the sweep
 * from T cheapest. */
typedef struct blo_split {
    int slots;        /* for states; 0: not even the least fits */
    bool thinned;     /* not all states fit */
    int full_levels;  /* not thinned: arrays that every step keeps */
    int more_steps;   /* not thinned: steps that keep array FULL_LEVELS too */
    int level, rooms; /* thinned: steps that are run for the last time keep so many arrays, if one of ROOMS is empty */
    int longest;      /* thinned: gaps between states that a run keeps are no longer, if possible; 0: any length */
    double cost;      /* of the sweep from T, in the unit of the costs: steps run again, and adjoints */
} blo_split;

int blo_split_least(const blo_split_request *request); /* slots */
/* False: no host memory. */
bool blo_split_budget(const blo_split_request *request, blo_split *split);

/* The cost of the sweep from T where SLOTS states fit, not all of them, and ROOMS steps keep LEVEL arrays. */
bool blo_split_cost(const blo_split_request *request, int slots, int level, int rooms, double *cost);

#endif
