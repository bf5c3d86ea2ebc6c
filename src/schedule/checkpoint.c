/* The arithmetic of snapshots; see checkpoint.h. */
#include "checkpoint.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORK = 16000000 }; /* looks at a choice, when the table is made: some hundredths of a second */

static int64_t least_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* --- one gap --- */

/* C(N, K), no more than LIMIT. */
static int64_t choose(int64_t n, int64_t k, int64_t limit) {
    int64_t result = 1;
    k = least_of(k, n - k);
    for (int64_t i = 1; i <= k && result < limit; i++)
        result = result * (n - k + i) / i;
    return least_of(result, limit);
}

/* States that M free slots allow if no step is run more than T times; no more than LIMIT (below 2^31 / M). */
static int64_t reach(int64_t m, int64_t t, int64_t limit) {
    if (t < 0)
        return 0;
    if (t == 0 || m == 0)
        return 1;
    return least_of(choose(m - 1 + t, m - 1, limit) + choose(m - 2 + t, m - 1, limit), limit);
}

int64_t blo_binomial_cost(int64_t length, int64_t free_slots) {
    if (length <= 1)
        return 0;
    if (free_slots >= length - 1)
        return length - 1;
    if (free_slots <= 1)
        return BLO_NEVER;
    int64_t cost = 0, from = 1;
    for (int64_t t = 1; from < length; t++) { /* states FROM … TO-1 are run to T times */
        int64_t to = reach(free_slots, t, length);
        cost += t * (to - from);
        from = to;
    }
    return cost;
}

int64_t blo_binomial_distance(int64_t length, int64_t free_slots) {
    if (free_slots >= length - 1)
        return 1;
    int64_t t = 1;
    while (reach(free_slots, t, length) < length)
        t++;
    int64_t behind = reach(free_slots - 1, t, length); /* what can lie behind the next state, at most */
    return most_of(most_of(reach(free_slots, t - 2, length), length - behind), 1);
}

/* --- what a run keeps --- */

int blo_checkpoints_least(int steps) {
    return steps + 1 < 3 ? steps + 1 : 3;
}

/* How many states to keep one after another before gaps begin, of N to be placed among STEPS. */
static int dense_front(int steps, int n, int longest) {
    int front = 0;
    for (; front + 1 < n; front++) {
        int64_t rest = steps - front - 1, gaps = n - front - 1; /* if one more were kept in the front */
        int64_t length = (rest + gaps - 1) / gaps;
        if (length > gaps || (longest > 0 && length > longest))
            break;
    }
    return front;
}

static void place_kept(blo_checkpoints *c, int longest) {
    int n = (int)most_of(least_of(c->slots - 2, c->steps - 1), 1), front = dense_front(c->steps, n, longest);
    int gaps = n - front, rest = c->steps - front, length = rest / gaps, longer = rest % gaps;
    for (int i = 0; i < front; i++)
        c->kept[i] = i;
    for (int i = 0, k = front; i < gaps; i++) {
        c->kept[front + i] = k;
        k += length + (i >= gaps - longer);
    }
    c->n_kept = n;
    while (c->n_kept > 1 && c->kept[c->n_kept - 1] >= c->steps - 1) /* kept anyway */
        c->n_kept--;
}

/* Where K is in kept[], -1: nowhere. */
static int place_of(const blo_checkpoints *checkpoints, int k) {
    int low = 0, high = checkpoints->n_kept;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (checkpoints->kept[middle] <= k)
            low = middle;
        else
            high = middle;
    }
    return checkpoints->kept[low] == k ? low : -1;
}

bool blo_checkpoints_keeps(const blo_checkpoints *checkpoints, int k) {
    return k == checkpoints->steps - 1 || place_of(checkpoints, k) >= 0;
}

/* --- the table of a sweep's choices --- */

/* What to do when the sweep has come down to END = kept[i] + 1 + offset, kept[i] is the last state before it, and of
 * kept[0 … i] all but D are retained (which of them, the choices further down say). */
struct blo_choice {
    int64_t cost; /* steps recomputed from here on */
    int target;   /* walk from kept[i] to there; none if END is next to it */
    bool drop;    /* and give kept[i] up */
};

/* kept[i], i >= 1, with C of kept[0 … i] retained; NULL: outside the table. */
static blo_choice *choice(const blo_checkpoints *c, int i, int retained, int end) {
    int dropped = i + 1 - retained, offset = end - c->kept[i] - 1;
    if (retained < 2 || dropped < 0 || dropped > c->most_dropped || offset < 0 || offset >= c->window)
        return NULL;
    return &c->choices[((int64_t)(i - 1) * (c->most_dropped + 1) + dropped) * c->window + offset];
}

static int64_t gap_cost(const blo_checkpoints *c, int length, int free_slots) {
    if (free_slots >= c->rows) /* every state fits */
        return length - 1;
    return c->costs[(int64_t)free_slots * (c->window + 1) + length];
}

/* Steps of a sweep from END with RETAINED of kept[0 … i] retained, kept[i] among them; always possible for i = 0. */
static int64_t cost_at(const blo_checkpoints *c, int i, int retained, int end) {
    if (i == 0)
        return retained == 1 ? c->alone[end] : BLO_NEVER;
    const blo_choice *there = choice(c, i, retained, end);
    return there ? there->cost : BLO_NEVER;
}

/* The best state below kept[i] to be the last one retained, where RETAINED are, and its cost. */
static int best_below(const blo_checkpoints *c, int i, int retained, int end, int64_t *cost) {
    int best = -1;
    *cost = BLO_NEVER;
    if (retained == 1) {
        *cost = cost_at(c, 0, 1, end);
        return 0;
    }
    for (int lower = i - 1; lower + 1 >= retained; lower--) {
        int64_t here = cost_at(c, lower, retained, end);
        if (here < *cost) {
            *cost = here;
            best = lower;
        }
    }
    return best;
}

/* The cost of best_below() for the states below kept[i], i >= 1, where RETAINED of kept[0 … i] were, with kept[i]. */
static int64_t *below(const blo_checkpoints *c, int i, int retained, int end) {
    int dropped = i + 1 - retained, offset = end - c->kept[i];
    return &c->below[((int64_t)(i - 1) * (c->most_dropped + 1) + dropped) * c->window + offset];
}

static void fill_below(const blo_checkpoints *c, int i, int retained) {
    for (int offset = 0; offset < c->window && c->kept[i] + offset <= c->steps + 1; offset++) {
        int end = c->kept[i] + offset;
        int64_t cost = cost_at(c, i - 1, retained - 1, end);
        if (i > 1 && retained <= i && end - c->kept[i - 1] < c->window)
            cost = least_of(cost, *below(c, i - 1, retained, end));
        *below(c, i, retained, end) = cost;
    }
}

static void consider(blo_choice *best, int64_t cost, int target, bool drop) {
    if (cost < best->cost)
        *best = (blo_choice){cost, target, drop};
}

static blo_choice choose_walk(const blo_checkpoints *c, int i, int retained, int end) {
    blo_choice best = {BLO_NEVER, -1, false};
    int from = c->kept[i], free_slots = c->slots - retained;
    if (end == from + 1) {
        best.cost = *below(c, i, retained, from);
        return best;
    }
    for (int target = from + 1; target < end && free_slots >= 1; target++) {
        if (free_slots >= 2 || target == from + 1)
            consider(&best, target - from + gap_cost(c, end - target, free_slots - 1) + cost_at(c, i, retained, target),
                     target, false);
        consider(&best, target - from + gap_cost(c, end - target, free_slots) + *below(c, i, retained, target), target,
                 true);
    }
    return best;
}

static void fill_choices(blo_checkpoints *c) {
    for (int m = 0; m < c->rows; m++)
        for (int length = 0; length <= c->window; length++)
            c->costs[(int64_t)m * (c->window + 1) + length] = blo_binomial_cost(length, m);
    for (int end = 0; end <= c->steps + 1; end++)
        c->alone[end] = blo_binomial_cost(end, c->slots - 1);
    for (int i = 1; i < c->n_kept; i++)
        for (int retained = i + 1; retained >= 2 && i + 1 - retained <= c->most_dropped; retained--) {
            fill_below(c, i, retained);
            for (int offset = 0; offset < c->window; offset++) {
                int end = c->kept[i] + 1 + offset;
                *choice(c, i, retained, end) =
                    end <= c->steps + 1 ? choose_walk(c, i, retained, end) : (blo_choice){.cost = BLO_NEVER};
            }
        }
}

static double table_work(const blo_checkpoints *c) {
    double width = c->window;
    return (double)c->n_kept * (c->most_dropped + 1) * width * width / 2;
}

/* All choices; or, where those are too many, those that give up no more states than the longest gap has. */
static void size_table(blo_checkpoints *c) {
    int widest = 1;
    for (int i = 0; i < c->n_kept; i++)
        widest = (int)most_of(widest, (i + 1 < c->n_kept ? c->kept[i + 1] : c->steps + 1) - c->kept[i]);
    c->most_dropped = (int)most_of(c->n_kept - 2, 0);
    c->window = c->n_kept > 1 ? c->steps + 1 : 0;
    if (table_work(c) > MOST_WORK) {
        c->most_dropped = (int)least_of(c->most_dropped, widest);
        c->window = (int)least_of(c->window, 2 * (int64_t)widest + 1);
    }
    while (table_work(c) > MOST_WORK && c->most_dropped > 1)
        c->most_dropped--;
    if (table_work(c) > MOST_WORK)
        c->window = 0;
    c->rows = (int)least_of(c->slots, c->window);
}

static bool make_table(blo_checkpoints *c) {
    size_t cells = (size_t)(c->n_kept - 1) * ((size_t)c->most_dropped + 1) * (size_t)c->window;
    c->choices = calloc(cells, sizeof *c->choices);
    c->below = calloc(cells, sizeof *c->below);
    c->costs = calloc(((size_t)c->rows + 1) * ((size_t)c->window + 1), sizeof *c->costs);
    c->alone = calloc((size_t)c->steps + 2, sizeof *c->alone);
    if (!c->choices || !c->below || !c->costs || !c->alone)
        return false;
    fill_choices(c);
    return true;
}

bool blo_checkpoints_create(int steps, int slots, int longest, blo_checkpoints *c) {
    *c = (blo_checkpoints){.steps = steps, .slots = slots};
    c->kept = calloc((size_t)slots, sizeof *c->kept);
    if (!c->kept)
        return false;
    place_kept(c, longest);
    size_table(c);
    bool made = c->window == 0 || make_table(c);
    if (!made)
        blo_checkpoints_free(c);
    return made;
}

void blo_checkpoints_free(blo_checkpoints *c) {
    free(c->kept);
    free(c->choices);
    free(c->below);
    free(c->costs);
    free(c->alone);
    *c = (blo_checkpoints){0};
}

/* --- beginning a sweep --- */

/* kept[i] is the last of the run's states below END; -1: not all of them are there, or others are between them. */
static int last_of_run(const blo_checkpoints *c, const bool *live, int end) {
    int i = 0, n = 0;
    for (int k = 0; k < end; k++)
        n += live[k];
    for (; i < c->n_kept && c->kept[i] < end; i++)
        if (!live[c->kept[i]])
            return -1;
    return n == i ? i - 1 : -1;
}

/* Steps recomputed if all that is live stays until it is passed. */
static int64_t cost_of_staying(const blo_checkpoints *c, const bool *live, int end) {
    int64_t cost = 0;
    int n = 0, from = 0;
    for (int k = 1; k <= end; k++) {
        if (k < end && !live[k])
            continue;
        n++; /* FROM is one more that is kept, and K ends its gap */
        int64_t gap = n > c->slots ? BLO_NEVER : blo_binomial_cost(k - from, c->slots - n);
        cost = least_of(cost + gap, BLO_NEVER);
        from = k;
    }
    return cost;
}

/* The cheapest way through the table: how many of kept[0 … i] to retain, which is the last of them. */
static int64_t best_in_table(const blo_checkpoints *c, int i, int end, int *last, int *retained) {
    int64_t best = BLO_NEVER;
    for (int n = 1; n <= i + 1; n++) {
        int64_t cost;
        int at = best_below(c, i + 1, n, end, &cost);
        if (at >= 0 && n <= c->slots && cost < best) {
            best = cost;
            *last = at;
            *retained = n;
        }
    }
    return best;
}

/* Leaves of the run's states below END those that the table's choices use. */
static void retain(const blo_checkpoints *c, bool *live, int i, int retained, int end) {
    memset(live + 1, 0, ((size_t)end - 1) * sizeof *live);
    while (i > 0) {
        int64_t cost;
        const blo_choice *there = choice(c, i, retained, end);
        live[c->kept[i]] = true;
        bool leave = end == c->kept[i] + 1 || there->drop;
        end = end == c->kept[i] + 1 ? c->kept[i] : there->target;
        if (leave)
            i = best_below(c, i, --retained, end, &cost);
    }
}

/* States from here to END are there, and not for their own sake: they are read without a choice. */
static int first_choice(const blo_checkpoints *c, const bool *live, int end) {
    while (end > 1 && live[end - 1] && place_of(c, end - 1) < 0)
        end--;
    return end;
}

int64_t blo_sweep_begin(blo_sweep *sweep, const blo_checkpoints *c, bool *live, bool *kept, int keep_rooms, int end) {
    *sweep = (blo_sweep){.checkpoints = c, .live = live, .kept = kept, .n_free = kept ? keep_rooms : 0, .end = end};
    memset(live + end, 0, ((size_t)c->steps + 1 - (size_t)end) * sizeof *live);
    if (kept)
        memset(kept, 0, (size_t)c->steps * sizeof *kept);
    if (end == 0)
        return 0;
    int first = first_choice(c, live, end), i = c->window ? last_of_run(c, live, first) : -1, at = 0, retained = 0;
    int64_t table = i >= 0 ? best_in_table(c, i, first, &at, &retained) : BLO_NEVER,
            stay = cost_of_staying(c, live, end), alone = blo_binomial_cost(first, c->slots - 1),
            best = least_of(stay, least_of(table, alone));
    if (best < stay) {
        memset(live + 1, 0, ((size_t)first - 1) * sizeof *live);
        if (best == table) {
            sweep->n_retained = retained;
            retain(c, live, at, retained, first);
        }
    }
    for (int k = 0; k < end; k++)
        sweep->n_live += live[k];
    return best;
}

/* --- its moves --- */

/* Sets out from FROM to where the next state is to be kept. */
static void set_out(blo_sweep *sweep, int from) {
    const blo_checkpoints *c = sweep->checkpoints;
    bool of_run =
        sweep->n_retained > 1 && sweep->n_live == sweep->n_retained; /* what is made later lies behind those */
    const blo_choice *there = of_run ? choice(c, place_of(c, from), sweep->n_retained, sweep->end) : NULL;
    int ahead = (int)(there ? 0 : blo_binomial_distance(sweep->end - from, c->slots - sweep->n_live));
    sweep->at = from;
    sweep->target = there ? there->target : from + ahead;
    sweep->drop = there && there->drop;
    if (sweep->drop) {
        sweep->n_retained--;
        sweep->n_live--;
    }
}

/* One step of the walk under way. */
static blo_move walk(blo_sweep *sweep) {
    int k = sweep->at++;
    bool last = sweep->at == sweep->target;
    blo_move move = {.kind = BLO_MOVE_STEP, .k = k, .drop = !sweep->live[k] || sweep->drop};
    if (move.drop)
        sweep->live[k] = false;
    sweep->drop = false;
    if (!last)
        return move;
    sweep->live[k + 1] = true;
    sweep->n_live++;
    /* what lies behind is swept first, and has a use for so many rooms at once */
    int64_t behind = least_of(sweep->checkpoints->slots - sweep->n_live, sweep->end - sweep->target - 1);
    move.keep = sweep->n_free > behind;
    if (move.keep) {
        sweep->kept[k] = true;
        sweep->n_free--;
    }
    return move;
}

blo_move blo_sweep_next(blo_sweep *sweep) {
    if (sweep->at < sweep->target)
        return walk(sweep);
    if (sweep->end == 0)
        return (blo_move){.kind = BLO_MOVE_DONE};
    int k = sweep->end - 1;
    while (!sweep->live[k])
        k--;
    if (k + 1 < sweep->end) {
        set_out(sweep, k);
        return walk(sweep);
    }
    blo_move move = {
        .kind = BLO_MOVE_ADJOINT, .k = k, .keep = sweep->kept && k < sweep->checkpoints->steps && sweep->kept[k]};
    sweep->end = k;
    if (sweep->n_live == sweep->n_retained)
        sweep->n_retained--;
    sweep->n_live--;
    sweep->live[k] = k == 0;
    if (move.keep) {
        sweep->kept[k] = false;
        sweep->n_free++;
    }
    return move;
}
