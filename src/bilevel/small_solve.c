/* Many upper iterations of a small problem in one launch, updates included; what is told of them, and where they stop,
 * is as if they had been called one by one. See small.h. */
#include <stdlib.h>
#include <string.h>

#include "lay_out.h"
#include "small.h"

enum { MOST_TURNS = 1024, FIRST_TURNS = 16, FASTER = 8 /* times as many turns at once, at most */ };
/* How long a launch should take: not much between two tellings; no longer than devices with a watchdog allow. */
static const double told_seconds = 0.02, silent_seconds = 0.1;

typedef struct run {
    blo_trajectory *trajectory;
    int n;
    blo_optimizer *const *optimizers;
    blo_small_turns *turns; /* of the trajectory's small problem */
    const blo_buffer *buffers[BLO_SMALL_ENTRIES];
    blo_whole_record records[MOST_TURNS];
    blo_progress progress;
    void *user;
    int done; /* iterations */
    bool more;
} run;

/* --- before --- */

/* Whether each optimizer is of one of the two models, which still has its parameters. */
static bool optimizers_fit(const blo_lower_solver *solver, int n, blo_optimizer *const *optimizers) {
    for (int i = 0; i < n; i++) {
        const blo_model *model = blo_optimizer_model(optimizers[i]);
        if ((model != solver->lower && model != solver->upper) ||
            blo_model_count(model) != blo_optimizer_parameters(optimizers[i]))
            return false;
    }
    return true;
}

/* A warm-started solver's first loop starts from z: y_T is kept where z is copied to now. */
static blo_status start_warm(blo_lower_solver *solver, blo_buffer ***new_warm) {
    blo_status status = BLO_OK;
    for (int i = 0; *new_warm && status == BLO_OK && i < solver->n_lower; i++) {
        const blo_tensor *z = blo_model_value_at(solver->lower, i);
        status = blo_buffer_copy(solver->context, blo_tensor_buffer(z), 0, (*new_warm)[i], 0, blo_tensor_bytes(z));
    }
    if (*new_warm && status == BLO_OK) {
        solver->warm = *new_warm;
        *new_warm = NULL;
    }
    return status;
}

/* Are they the optimizers, and their steps what these were, that the kernel was made for? */
static bool are_of(const blo_small_turns *turns, int n, blo_optimizer *const *optimizers) {
    bool same = turns->whole && turns->n_optimizers == n;
    for (int i = 0; same && i < n; i++)
        same = turns->serials[i] == blo_buffer_serial(blo_optimizer_count(optimizers[i])) &&
               turns->forms[i] == blo_optimizer_form(optimizers[i]);
    return same;
}

/* Whose the kernel is that BINDER laid out. */
static blo_status note_turns(const run *r, const blo_binder *binder) {
    blo_small_turns *turns = r->turns;
    turns->entries = malloc(sizeof binder->entries);
    if (!turns->entries)
        return blo_fail(r->trajectory->solver->context, BLO_ERROR_MEMORY, "no memory for a small problem");
    memcpy(turns->entries, binder->entries, sizeof binder->entries);
    turns->n_entries = binder->layout.n_table;
    turns->n_optimizers = r->n;
    for (int i = 0; i < r->n; i++) {
        turns->serials[i] = blo_buffer_serial(blo_optimizer_count(r->optimizers[i]));
        turns->forms[i] = blo_optimizer_form(r->optimizers[i]);
    }
    return BLO_OK;
}

/* The kernel of whole iterations; R->turns->whole stays NULL where there cannot be one. */
static blo_status make_kernel(const run *r) {
    blo_trajectory *trajectory = r->trajectory;
    blo_lower_solver *solver = trajectory->solver;
    blo_binder *binder = calloc(1, sizeof *binder);
    if (!binder)
        return blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a small problem");
    blo_small_drop_turns(r->turns);
    blo_status status = blo_binder_open(binder, trajectory);
    if (status == BLO_OK)
        blo_binder_turn(binder, MOST_TURNS);
    if (status == BLO_OK)
        status = blo_binder_update(binder, r->n, r->optimizers);
    if (status == BLO_OK && !binder->failed && !binder->unfitting) {
        const uint64_t limit = blo_solver_enter(solver);
        status = blo_whole_create(solver->context, &binder->layout, &r->turns->whole);
        blo_solver_leave(solver, limit);
        if (status == BLO_OK)
            status = note_turns(r, binder);
        else if (status == BLO_ERROR_UNSUPPORTED || status == BLO_ERROR_BUDGET)
            status = BLO_OK;
    }
    if (status != BLO_OK)
        blo_small_drop_turns(r->turns);
    blo_binder_free(binder);
    free(binder);
    return status;
}

/* The same, made at first and kept for calls that bring the same optimizers. */
static blo_status find_kernel(run *r) {
    blo_trajectory *trajectory = r->trajectory;
    r->turns = &trajectory->small->turns;
    blo_status status = are_of(r->turns, r->n, r->optimizers) ? BLO_OK : make_kernel(r);
    if (r->turns->whole)
        blo_entries_resolve(trajectory, r->turns->n_entries, r->turns->entries, trajectory->solver->warm, r->buffers);
    return status;
}

/* --- a batch --- */

/* Everything that COUNT iterations have changed. */
static void note(run *r, int count) {
    blo_lower_solver *solver = r->trajectory->solver;
    for (int i = 0; i < r->n; i++) {
        blo_model *model = blo_optimizer_model(r->optimizers[i]);
        blo_optimizer_advance(r->optimizers[i], count);
        for (int p = 0; p < blo_model_count(model); p++)
            blo_tensor_touch(blo_model_value_at(model, p));
    }
    for (int p = 0; p < solver->n_lower; p++)
        blo_tensor_touch(blo_model_gradient_at(solver->lower, p));
    for (int p = 0; p < solver->n_upper; p++)
        blo_tensor_touch(blo_model_gradient_at(solver->upper, p));
    r->done += count;
}

/* Tells of the records; returns how many iterations stand. Fails at one whose loss is not finite, as its loop would. */
static blo_status tell(run *r, int count, int *stand) {
    blo_lower_solver *solver = r->trajectory->solver;
    *stand = 0;
    for (int i = 0; i < count && r->more; i++) {
        const blo_whole_record *record = &r->records[i];
        if (record->wrong)
            return blo_fail(solver->context, BLO_ERROR_NUMERIC, "the upper loss is not finite at lower step %d",
                            record->wrong);
        *stand = i + 1;
        if (r->progress)
            r->more = r->progress(r->done + i, record->value, record->chosen, r->user);
        if (record->failed) { /* its optimizers stepped on cleared gradients, and the next wait tells */
            r->more = false;
            return blo_small_raise(solver, record->failed);
        }
    }
    return BLO_OK;
}

/* TURNS iterations at once, less where they end or are ended earlier. */
static blo_status batch(run *r, int turns) {
    blo_trajectory *trajectory = r->trajectory;
    int count = 0, stand = 0;
    blo_status status = blo_whole_run(r->turns->whole, trajectory->loop, r->buffers, turns, false);
    if (status == BLO_OK)
        status = blo_whole_read(r->turns->whole, turns, &count, r->records, NULL);
    if (status != BLO_OK)
        return status;
    status = tell(r, count, &stand);
    if (!r->more && stand < count) { /* stopped in between: the same again, up to there */
        blo_status again = blo_whole_run(r->turns->whole, trajectory->loop, r->buffers, stand, true);
        status = status == BLO_OK ? again : status;
    }
    note(r, stand);
    return status;
}

/* As many as WANTED seconds have room for where each takes SECONDS (0: not known), at most MOST. */
static int turns_within(double wanted, double seconds, int most) {
    const double fit = seconds > 0 ? wanted / seconds : most;
    return fit < 1 ? 1 : fit < most ? (int)fit : most;
}

static blo_status iterate(run *r, int iterations) {
    const double wanted = r->progress ? told_seconds : silent_seconds;
    int most = r->turns->seconds > 0 ? MOST_TURNS : FIRST_TURNS;
    blo_status status = BLO_OK;
    r->more = true;
    for (int i = 0; status == BLO_OK && i < r->n; i++)
        status = blo_optimizer_write_count(r->optimizers[i]);
    while (status == BLO_OK && r->more && r->done < iterations) {
        const double start = blo_seconds();
        const int left = iterations - r->done,
                  turns = turns_within(wanted, r->turns->seconds, most < left ? most : left);
        status = batch(r, turns);
        r->turns->seconds = (blo_seconds() - start) / turns;
        most = turns < MOST_TURNS / FASTER ? FASTER * turns : MOST_TURNS;
    }
    return status == BLO_OK ? blo_context_finish(r->trajectory->solver->context) : status;
}

/* --- the call --- */

blo_status blo_small_solve(blo_lower_solver *solver, int n, blo_optimizer *const *optimizers, const blo_loop_data *data,
                           int iterations, blo_progress progress, void *user, bool *solved) {
    blo_buffer **new_warm = NULL;
    *solved = false;
    if (solver->tasks > 1 || solver->options.whole == BLO_WHOLE_OFF || !optimizers_fit(solver, n, optimizers))
        return BLO_OK;
    blo_status status = blo_solver_check(
        solver, 1, 4,
        (blo_tensor *const[]){data->train_data, data->train_target, data->validate_data, data->validate_target},
        (const char *const[]){"train_data", "train_target", "validate_data", "validate_target"});
    if (status == BLO_OK)
        status = blo_solver_check_inputs(solver, 1);
    run *r = calloc(1, sizeof *r);
    if (status == BLO_OK && !r)
        status = blo_fail(solver->context, BLO_ERROR_MEMORY, "no memory for a small problem");
    if (status != BLO_OK)
        goto fail;
    r->n = n;
    r->optimizers = optimizers;
    r->progress = progress;
    r->user = user;
    status = blo_trajectory_new(solver, &r->trajectory);
    if (status == BLO_OK)
        status = blo_trajectory_lay_out(r->trajectory, data, &new_warm);
    if (status != BLO_OK || !r->trajectory->small || r->trajectory->tracker) /* statistics are committed loop by loop */
        goto fail;
    status = start_warm(solver, &new_warm);
    if (status == BLO_OK)
        status = find_kernel(r);
    if (status != BLO_OK || !r->turns->whole)
        goto fail;
    *solved = true;
    status = iterate(r, iterations);
fail:
    blo_warm_free(new_warm);
    if (r)
        blo_trajectory_destroy(r->trajectory);
    free(r);
    return status;
}
