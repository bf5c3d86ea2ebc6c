/* The arithmetic of snapshots, without a device. The true optimum comes from dynamic programming over everything a
 * sweep may do (below), which is itself checked against a search through all sets of states; what the schedule does is
 * counted move by move by a strict bookkeeper. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../support/suite.h"
#include "schedule/checkpoint.h"

enum { MOST_STEPS = 60, MOST_SLOTS = 12, SEARCHED_STEPS = 10, LONGEST_LOOP = 2000, FAR = 1000000 };

/* --- the optimum --- */

/* gap[m][l]: steps to sweep L states, the first kept and staying, with M slots for others. */
static int gap[MOST_SLOTS + 1][MOST_STEPS + 2];
/* rest[i][c][e]: steps to sweep states e-1 … 0 if the last of the run's states below e is the i-th and C of the run's
 * states are still there, with it. */
static int rest[MOST_SLOTS][MOST_SLOTS + 1][MOST_STEPS + 2];

static int least(int a, int b) {
    return a < b ? a : b;
}

static void fill_gaps(void) {
    for (int m = 0; m <= MOST_SLOTS; m++)
        for (int l = 0; l <= MOST_STEPS + 1; l++) {
            gap[m][l] = l <= 1 ? 0 : FAR;
            for (int j = 1; j < l && m >= (j == 1 ? 1 : 2); j++)
                gap[m][l] = least(gap[m][l], j + gap[m - 1][l - j] + gap[m][j]);
        }
}

/* The next of the run's states below the i-th that is still there is any of those that leave C. */
static int best_lower(int i, int c, int e) {
    int best = FAR;
    for (int lower = i - 1; lower >= 0 && c <= lower + 1 && c >= 1; lower--)
        best = least(best, rest[lower][c][e]);
    return best;
}

/* Moves: read state e-1 and give it up; walk on from the last of the run's states, which stays or is given up on the
 * way, and sweep all from there on; give up any other of the run's states. */
static void fill_rest(const int *kept, int n, int slots, int most_end) {
    for (int i = 0; i < n; i++)
        for (int c = 0; c <= n; c++)
            for (int e = 0; e <= most_end; e++) {
                int best = FAR, k = kept[i], free_slots = slots - c;
                if (c >= 1 && c <= i + 1 && (c == 1) <= (i == 0) && free_slots >= 0 && e > k) {
                    if (e == k + 1)
                        best = i == 0 ? 0 : best_lower(i, c - 1, k);
                    for (int j = k + 1; j < e && free_slots >= 1; j++) {
                        if (free_slots >= 2 || j == k + 1)
                            best = least(best, j - k + gap[free_slots - 1][e - j] + rest[i][c][j]);
                        if (i > 0)
                            best = least(best, j - k + gap[free_slots][e - j] + best_lower(i, c - 1, j));
                    }
                    if (c > 1)
                        best = least(best, rest[i][c - 1][e]);
                }
                rest[i][c][e] = best;
            }
}

static int optimum(const int *kept, int n, int slots, int end) {
    int below = 0, best = FAR;
    while (below < n && kept[below] < end)
        below++;
    for (int i = 0; i < below; i++)
        for (int c = 1; c <= i + 1 && c <= slots; c++)
            best = least(best, rest[i][c][end]);
    return best;
}

/* --- a search through all sets of states, for few steps --- */

static int *searched; /* [SEARCHED_STEPS + 2][1 << (SEARCHED_STEPS + 1)]: by end and by the set of states there */

static int *found(int end, int set) {
    return &searched[end * (1 << (SEARCHED_STEPS + 1)) + set];
}

static int count(int set) {
    int n = 0;
    for (; set; set &= set - 1)
        n++;
    return n;
}

/* One round of: step from any state to the next, give any state up. */
static bool improve(int end, int slots) {
    bool better = false;
    for (int set = 1; set < 1 << end; set += 2)
        for (int k = 0; k < end; k++) {
            int best = *found(end, set);
            if (set >> k & 1 && k + 1 < end && count(set) < slots)
                best = least(best, 1 + *found(end, set | 1 << (k + 1)));
            if (set >> k & 1 && k > 0)
                best = least(best, *found(end, set & ~(1 << k)));
            better |= best < *found(end, set);
            *found(end, set) = best;
        }
    return better;
}

static void search(int slots) {
    for (int set = 0; set < 2; set++)
        *found(0, set) = 0;
    for (int end = 1; end <= SEARCHED_STEPS + 1; end++) {
        for (int set = 0; set < 1 << end; set++)
            *found(end, set) = set >> (end - 1) & 1 ? *found(end - 1, end == 1 ? set : set & ~(1 << (end - 1))) : FAR;
        while (improve(end, slots))
            ;
    }
}

/* --- the bookkeeper --- */

typedef struct book {
    bool live[LONGEST_LOOP + 2], kept[LONGEST_LOOP + 2]; /* what the schedule thinks */
    bool there[LONGEST_LOOP + 2], arrays[LONGEST_LOOP + 2];
    int n_there, n_arrays, steps, cheap;
} book;

/* ck_assert() is too slow to be called millions of times. */
static void must(bool holds, const char *what, int k) {
    if (!holds)
        ck_abort_msg("%s, at state %d", what, k);
}

static void give_up(book *b, int k) {
    must(b->there[k], "a state that is not there is given up", k);
    b->there[k] = false;
    b->n_there--;
}

static void make_step(book *b, const blo_checkpoints *c, blo_move move, int rooms) {
    must(b->there[move.k], "a step from a state that is not there", move.k);
    must(!b->there[move.k + 1], "a step to a state that is there", move.k);
    must(++b->n_there <= c->slots, "more states than slots", move.k);
    b->there[move.k + 1] = true;
    if (move.drop)
        give_up(b, move.k);
    if (move.keep) {
        must(!b->arrays[move.k], "a step keeps its arrays twice", move.k);
        must(++b->n_arrays <= rooms, "more kept than there are rooms", move.k);
        b->arrays[move.k] = true;
    }
    b->steps++;
}

static void read_state(book *b, blo_move move, int wanted) {
    must(move.k == wanted, "not the next state to read", move.k);
    must(b->there[move.k], "a state that is not there is read", move.k);
    must(move.keep == b->arrays[move.k], "arrays are read that are not there, or not read", move.k);
    if (move.k > 0)
        give_up(b, move.k);
    b->arrays[move.k] = false;
    b->n_arrays -= move.keep;
    b->cheap += move.keep;
}

/* Sweeps from END, with what is THERE; returns the steps. */
static int sweep(book *b, const blo_checkpoints *c, int rooms, int end) {
    blo_sweep s;
    blo_move move;
    int next = end, made = 0;
    memcpy(b->live, b->there, sizeof b->live);
    int64_t promised = blo_sweep_begin(&s, c, b->live, rooms ? b->kept : NULL, rooms, end);
    b->steps = b->cheap = b->n_arrays = 0;
    memset(b->arrays, 0, sizeof b->arrays);
    for (int k = 0; k <= c->steps; k++)
        if (b->there[k] && !b->live[k])
            give_up(b, k);
    for (int k = 1; k < end; k++)
        made += !b->live[k];
    while ((move = blo_sweep_next(&s)).kind != BLO_MOVE_DONE) {
        if (move.kind == BLO_MOVE_STEP)
            make_step(b, c, move, rooms);
        else
            read_state(b, move, --next);
    }
    must(next == 0, "not all states were read", next);
    must(rooms < c->slots || b->cheap >= made, "a step that was run again did not keep its arrays", b->cheap);
    must(b->steps == promised, "more or fewer steps than was said", b->steps);
    return b->steps;
}

/* What a run leaves. */
static void after_run(book *b, const blo_checkpoints *c) {
    memset(b->there, 0, sizeof b->there);
    b->n_there = 0;
    for (int k = 0; k < c->steps; k++)
        if (blo_checkpoints_keeps(c, k)) {
            b->there[k] = true;
            must(++b->n_there < c->slots, "no slot for the last state", k);
        }
    must(b->there[0], "state 0 was not kept", 0);
}

static blo_checkpoints make(int steps, int slots, int longest) {
    blo_checkpoints c;
    ck_assert(blo_checkpoints_create(steps, slots, longest, &c));
    return c;
}

/* --- tests --- */

START_TEST(gaps_are_swept_at_the_least_cost) {
    fill_gaps();
    for (int m = 0; m <= MOST_SLOTS; m++)
        for (int l = 1; l <= MOST_STEPS; l++) {
            ck_assert_int_eq(blo_binomial_cost(l, m), gap[m][l] >= FAR ? BLO_NEVER : gap[m][l]);
            if (l < 2 || gap[m][l] >= FAR)
                continue;
            int ahead = (int)blo_binomial_distance(l, m);
            ck_assert_int_eq(ahead + gap[m - 1][l - ahead] + gap[m][ahead], gap[m][l]);
        }
}
END_TEST

/* Every T, every number of slots, every K: as few steps as is possible at all. */
static void check_optimal(int steps, int slots, int longest, bool by_search) {
    book b;
    blo_checkpoints c = make(steps, slots, longest);
    fill_rest(c.kept, c.n_kept, slots, steps);
    for (int end = 0; end <= steps; end++) {
        after_run(&b, &c);
        int set = 0, first = end == steps ? end - 1 : end; /* the state before the last is there */
        int wanted = first > 0 ? optimum(c.kept, c.n_kept, slots, first) : 0;
        for (int i = 0; i < c.n_kept && c.kept[i] < first; i++)
            set |= c.kept[i] < 31 ? 1 << c.kept[i] : 0;
        must(!by_search || first == 0 || *found(first, set) == wanted, "the optimum is not that of the search", end);
        must(sweep(&b, &c, 0, end) == wanted, "not the optimum", end);
        after_run(&b, &c);
        must(sweep(&b, &c, 3, end) == wanted, "not the optimum, with rooms for kept arrays", end);
        after_run(&b, &c);
        must(sweep(&b, &c, slots, end) == wanted, "not the optimum, with a room for every step", end);
    }
    blo_checkpoints_free(&c);
}

START_TEST(sweeps_recompute_as_few_steps_as_possible) {
    fill_gaps();
    for (int steps = 1; steps <= MOST_STEPS; steps++)
        for (int slots = blo_checkpoints_least(steps); slots <= MOST_SLOTS && slots <= steps + 1; slots++)
            for (int longest = 0; longest < 5; longest += 4)
                check_optimal(steps, slots, longest, false);
}
END_TEST

START_TEST(the_optimum_is_that_of_a_search_through_everything) {
    fill_gaps();
    searched = calloc((size_t)(SEARCHED_STEPS + 2) << (SEARCHED_STEPS + 1), sizeof *searched);
    ck_assert_ptr_nonnull(searched);
    for (int slots = 3; slots <= 7; slots++) {
        search(slots);
        for (int steps = slots - 1; steps <= SEARCHED_STEPS; steps++)
            for (int longest = 0; longest < 5; longest += 2)
                check_optimal(steps, slots, longest, true);
    }
    free(searched);
}
END_TEST

/* The table in checkpoint.h: means and worst of K = 1 … T, and those of a run that knew K. The latter is a bound: the
 * first of the times that each step below K is run at least is then the run itself. */
START_TEST(what_not_knowing_k_costs_is_as_documented) {
    static const struct {
        int steps, slots;
        double mean, known_mean;
        int worst, known_worst;
    } table[] = {
        {20, 3, 35.2, 26.2, 90, 81},         {20, 6, 8.3, 5.2, 17, 14},          {20, 12, 3.4, 1.8, 9, 8},
        {60, 4, 98.0, 81.8, 243, 221},       {60, 12, 25.1, 19.6, 55, 48},       {60, 30, 10.6, 7.8, 33, 30},
        {200, 10, 168.1, 144.4, 368, 336},   {200, 40, 74.0, 64.4, 170, 160},    {1000, 10, 1420.4, 1308.9, 3185, 3066},
        {1000, 100, 431.4, 405.4, 928, 900}, {1000, 300, 263.4, 245.3, 724, 700}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int steps = table[i].steps, slots = table[i].slots;
        int64_t sum = 0, known_sum = 0, worst = 0, known_worst = 0;
        bool live[1001];
        blo_checkpoints c = make(steps, slots, 0);
        for (int end = 1; end <= steps; end++) {
            blo_sweep s;
            for (int k = 0; k <= steps; k++)
                live[k] = k < steps && blo_checkpoints_keeps(&c, k);
            int64_t cost = blo_sweep_begin(&s, &c, live, NULL, 0, end),
                    known = blo_binomial_cost(end, slots - 1) - (end - 1);
            sum += cost;
            known_sum += known;
            worst = cost > worst ? cost : worst;
            known_worst = known > known_worst ? known : known_worst;
        }
        blo_checkpoints_free(&c);
        ck_assert_double_eq_tol((double)sum / steps, table[i].mean, 0.0501);
        ck_assert_double_eq_tol((double)known_sum / steps, table[i].known_mean, 0.0501);
        ck_assert_int_eq(worst, table[i].worst);
        ck_assert_int_eq(known_worst, table[i].known_worst);
    }
}
END_TEST

/* Long loops, whose tables of choices are cut short: as legal as the others, and never dearer than a sweep that uses
 * state 0 alone. */
START_TEST(long_loops_are_swept_within_their_slots) {
    static const int loops[][2] = {{300, 3}, {500, 7}, {700, 50}, {1000, 200}, {1000, 999}, {2000, 20}};
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        static book b;
        const int steps = loops[i][0], slots = loops[i][1];
        blo_checkpoints c = make(steps, slots, 0);
        for (int end = 1; end <= steps; end += 1 + steps / 7) {
            after_run(&b, &c);
            must(sweep(&b, &c, slots / 4, end) <= blo_binomial_cost(end, slots - 1), "dearer than from state 0", end);
        }
        blo_checkpoints_free(&c);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("checkpoint");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, gaps_are_swept_at_the_least_cost);
    tcase_add_test(tests, sweeps_recompute_as_few_steps_as_possible);
    tcase_add_test(tests, the_optimum_is_that_of_a_search_through_everything);
    tcase_add_test(tests, what_not_knowing_k_costs_is_as_documented);
    tcase_add_test(tests, long_loops_are_swept_within_their_slots);
    suite_add_tcase(suite, tests);
    return run_suite_here(suite);
}
