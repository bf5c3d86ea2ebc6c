/* How memory is divided between states and kept arrays; see split.h. */
#include "split.h"

#include "checkpoint.h"

#include <stdlib.h>

int blo_split_least(const blo_split_request *request) {
    int all = request->steps + 1, least = blo_checkpoints_least(request->steps) + request->last_stays;
    return all < least ? all : least;
}

/* Arrays of all steps in turn, as far as BYTES go, up to the first that saves nothing. */
static void keep_with_all(const blo_split_request *request, uint64_t bytes, blo_split *split) {
    uint64_t steps = (uint64_t)request->steps;
    int i = 0, gaining = 0;
    while (gaining < request->n_levels && request->adjoint_cost[gaining + 1] < request->adjoint_cost[gaining])
        gaining++;
    while (i < gaining && bytes / steps >= request->keep_bytes[i])
        bytes -= steps * request->keep_bytes[i++];
    split->full_levels = i;
    if (i < gaining)
        split->more_steps = (int)(bytes / request->keep_bytes[i]);
    split->cost = (request->steps - split->more_steps) * request->adjoint_cost[i];
    if (split->more_steps > 0)
        split->cost += split->more_steps * request->adjoint_cost[i + 1];
}

/* Counts the moves of a sweep from T. */
static double count(const blo_split_request *request, const blo_checkpoints *checkpoints, bool *live, bool *kept,
                    int level, int rooms) {
    blo_sweep sweep;
    double cost = 0;
    for (int k = 0; k < request->steps; k++)
        live[k] = blo_checkpoints_keeps(checkpoints, k);
    live[request->steps] = false;
    blo_sweep_begin(&sweep, checkpoints, live, kept, rooms, request->steps);
    for (blo_move move; (move = blo_sweep_next(&sweep)).kind != BLO_MOVE_DONE;)
        cost += move.kind == BLO_MOVE_STEP ? request->step_cost : request->adjoint_cost[move.keep ? level : 0];
    return cost;
}

bool blo_split_cost(const blo_split_request *request, int slots, int level, int rooms, double *cost) {
    blo_checkpoints checkpoints;
    bool *live = calloc(2 * ((size_t)request->steps + 1), sizeof *live);
    bool made = live && blo_checkpoints_create(request->steps, slots - request->last_stays, rooms ? rooms + 1 : 0,
                                               &checkpoints);
    if (made) {
        *cost = count(request, &checkpoints, live, live + request->steps + 1, level, rooms);
        blo_checkpoints_free(&checkpoints);
    }
    free(live);
    return made;
}

/* Less than this a sweep from T cannot cost: every state that is not kept is computed once more, every adjoint can read
 * what was kept. */
static double bound(const blo_split_request *request, int slots, int level) {
    return (request->steps - slots) * request->step_cost + request->steps * request->adjoint_cost[level];
}

/* Tries LEVEL with every number of rooms; in a long loop with the first few, then each larger by an eighth, until a few
 * in a row were no better. */
static bool try_level(const blo_split_request *request, int level, uint64_t room_bytes, blo_split *best) {
    enum { LONG = 128, FEW = 5 };
    uint64_t least_bytes = (uint64_t)blo_split_least(request) * request->state_bytes,
             most = (request->available - least_bytes) / room_bytes, rooms = 1;
    bool is_long = request->steps > LONG;
    for (int worse = 0; rooms <= most && rooms < (uint64_t)request->steps && worse < FEW;) {
        int slots = (int)((request->available - rooms * room_bytes) / request->state_bytes);
        double cost;
        if (bound(request, slots, level) >= best->cost) /* and with more rooms the more so */
            break;
        if (!blo_split_cost(request, slots, level, (int)rooms, &cost))
            return false;
        worse += is_long;
        if (cost < best->cost) {
            *best = (blo_split){slots, true, 0, 0, level, (int)rooms, (int)rooms + 1, cost};
            worse = 0;
        }
        rooms += is_long ? 1 + rooms / 8 : 1;
    }
    return true;
}

bool blo_split_budget(const blo_split_request *request, blo_split *split) {
    uint64_t fit = request->available / request->state_bytes, all = (uint64_t)request->steps + 1;
    *split = (blo_split){0};
    if (fit < (uint64_t)blo_split_least(request))
        return true;
    split->slots = (int)(fit < all ? fit : all);
    split->thinned = fit < all;
    if (request->n_levels == 0)
        return true;
    if (!split->thinned) {
        keep_with_all(request, request->available - all * request->state_bytes, split);
        return true;
    }
    if (!blo_split_cost(request, split->slots, 0, 0, &split->cost))
        return false;
    uint64_t room_bytes = 0;
    bool made = true;
    for (int level = 1; level <= request->n_levels && made; level++) {
        room_bytes += request->keep_bytes[level - 1];
        made = try_level(request, level, room_bytes, split);
    }
    return made;
}
