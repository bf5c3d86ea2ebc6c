/* A loop, the choice of a step, the sweep back from it, and so many turns, by one work-group. The text before this one
 * defines blo_memory (pointers to everything), the stages blo_whole_* on it, and BLO_STEPS, BLO_EVERY, BLO_LARGEST,
 * BLO_REAL, BLO_LANE, BLO_TOGETHER. All control flow is the same for all items. */

/* HEAD[0]: turns done, HEAD[1]: where the sweep failed; then one record per turn. */
typedef struct blo_record {
    int chosen, wrong, failed, unused;
    BLO_REAL value, unused_value;
} blo_record;

/* The first step whose value is not finite, 0: none. */
static int blo_whole_wrong(__global const BLO_REAL *values) {
    for (int k = BLO_EVERY ? 0 : BLO_STEPS - 1; k < BLO_STEPS; k++)
        if (!isfinite(values[k]))
            return k + 1;
    return 0;
}

/* The largest value's step, the first of equals. */
static int blo_whole_choose(__global const BLO_REAL *values) {
    int best = BLO_LARGEST ? 0 : BLO_STEPS - 1;
    for (int k = best + 1; k < BLO_STEPS; k++)
        best = values[k] > values[best] ? k : best;
    return best + 1;
}

/* Back from the state after CHOSEN steps; the carries end in set 0. */
static void blo_whole_sweep(const blo_memory *m, const int chosen) {
    __global uchar *now = m->carry0, *next = m->carry1;
    blo_whole_zero(m, now, now);
    blo_whole_seed(m, chosen, chosen - 1, now, now);
    blo_whole_check_seed(m, chosen, now);
    for (int k = chosen - 1; k >= 0; k--) {
        blo_whole_adjoint(m, k, k, now, next);
        __global uchar *const swap = now;
        now = next;
        next = swap;
        blo_whole_check(m, k + 1, now);
    }
    BLO_TOGETHER;
    if (chosen & 1)
        blo_whole_settle(m, m->carry0, m->carry1);
}

/* False: the last turn. */
static int blo_whole_turn(const blo_memory *m, __global blo_record *record) {
    if (BLO_LANE == 0u)
        m->head[1] = 0;
    blo_whole_start(m);
    for (int k = 0; k < BLO_STEPS; k++) {
        blo_whole_step(m, k, k, m->carry0, m->carry0);
        if (BLO_EVERY || k + 1 == BLO_STEPS)
            blo_whole_observe(m, k + 1, k, m->carry0, m->carry0);
    }
    const int wrong = blo_whole_wrong(m->values);
    const int chosen = wrong ? 0 : blo_whole_choose(m->values);
    int failed = 0;
    if (!wrong) {
        blo_whole_end(m);
        blo_whole_sweep(m, chosen);
        failed = m->head[1];
        if (!failed)
            blo_whole_add(m);
        BLO_TOGETHER;
        blo_whole_update(m);
    }
    if (BLO_LANE == 0u) {
        record->chosen = chosen;
        record->wrong = wrong;
        record->failed = failed;
        record->value = wrong ? (BLO_REAL)0 : m->values[chosen - 1];
        m->head[0] += 1;
    }
    BLO_TOGETHER;
    return !wrong && !failed;
}

static void blo_whole_turns(const blo_memory *m, const ulong turns, const ulong over) {
    if (BLO_LANE == 0u)
        m->head[0] = 0;
    if (over)
        blo_whole_restore(m);
    else
        blo_whole_save(m);
    int more = 1;
    for (ulong turn = 0; more && turn < turns; turn++)
        more = blo_whole_turn(m, (__global blo_record *)m->records + turn);
}
