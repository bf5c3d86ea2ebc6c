/* Whole upper iterations of IAPTT-GM: the calls a program would make itself, in their order; or, of a small problem,
 * many of them in one launch (small_solve.c). */
#include <clbilevel/clbilevel.h>

#include <stdlib.h>

#include "small.h"

static blo_status check(const blo_lower_solver *solver, int n, blo_optimizer *const *optimizers, int iterations) {
    blo_context *context = solver->context;
    if (iterations < 0)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "solve: iterations %d is not at least 0", iterations);
    if (n < 0 || (n > 0 && !optimizers))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "solve: n is %d, optimizers is %s", n,
                        optimizers ? "given" : "NULL");
    for (int i = 0; i < n; i++)
        if (!optimizers[i])
            return blo_fail(context, BLO_ERROR_ARGUMENT, "solve: optimizer %d is NULL", i);
    return BLO_OK;
}

static blo_status clear(const blo_lower_solver *solver) {
    blo_status status = blo_model_zero_gradients(solver->lower);
    if (status == BLO_OK && solver->upper && !solver->one_model)
        status = blo_model_zero_gradients(solver->upper);
    return status;
}

/* --- one iteration after another --- */

typedef struct run {
    blo_iapttgm *method;
    blo_lower_solver *solver;
    int n;
    blo_optimizer *const *optimizers;
    const blo_loop_data *data;
    blo_trajectory *trajectory;
    int tasks;
    double *upper_loss; /* [tasks] */
    int *max_loss_iter; /* [tasks] */
} run;

static blo_status iterate(run *r) {
    const blo_loop_data *data = r->data;
    if (r->solver->tasks != r->tasks)
        return blo_fail(r->solver->context, BLO_ERROR_STATE, "solve: the number of tasks was changed from %d to %d",
                        r->tasks, r->solver->tasks);
    blo_status status = clear(r->solver);
    if (status == BLO_OK)
        status = blo_lower_optimize(r->solver, data->train_data, data->train_target, data->validate_data,
                                    data->validate_target, &r->trajectory, r->max_loss_iter);
    if (status == BLO_OK)
        status = blo_iapttgm_compute_gradients(r->method, data->validate_data, data->validate_target, r->trajectory,
                                               r->max_loss_iter, r->upper_loss);
    for (int i = 0; status == BLO_OK && i < r->n; i++)
        status = blo_optimizer_step(r->optimizers[i]);
    return status;
}

/* The mean of F over the tasks, and the largest max_loss_iter. */
static bool tell(const run *r, int iteration, blo_progress progress, void *user) {
    double sum = 0.0;
    int latest = 0;
    for (int task = 0; task < r->tasks; task++) {
        sum += r->upper_loss[task];
        latest = r->max_loss_iter[task] > latest ? r->max_loss_iter[task] : latest;
    }
    return progress(iteration, sum / r->tasks, latest, user);
}

static blo_status iterate_all(run *r, int iterations, blo_progress progress, void *user) {
    blo_context *context = r->solver->context;
    blo_status status = BLO_OK;
    bool more = true;
    r->upper_loss = calloc((size_t)r->tasks, sizeof *r->upper_loss);
    r->max_loss_iter = calloc((size_t)r->tasks, sizeof *r->max_loss_iter);
    if (!r->upper_loss || !r->max_loss_iter)
        status = blo_fail(context, BLO_ERROR_MEMORY, "solve: no memory for %d tasks", r->tasks);
    for (int iteration = 0; status == BLO_OK && more && iteration < iterations; iteration++) {
        status = iterate(r);
        if (status == BLO_OK && progress)
            more = tell(r, iteration, progress, user);
    }
    if (status == BLO_OK && iterations > 0)
        status = blo_context_finish(context); /* a NaN that the last sweep flagged is told here */
    blo_trajectory_destroy(r->trajectory);
    free(r->upper_loss);
    free(r->max_loss_iter);
    return status;
}

blo_status blo_iapttgm_solve(blo_iapttgm *method, blo_lower_solver *solver, int n, blo_optimizer *const *optimizers,
                             blo_tensor *train_data, blo_tensor *train_target, blo_tensor *validate_data,
                             blo_tensor *validate_target, int iterations, blo_progress progress, void *user) {
    if (!method || !solver)
        return BLO_ERROR_ARGUMENT;
    const blo_loop_data data = {train_data, train_target, validate_data, validate_target};
    blo_status status = check(solver, n, optimizers, iterations);
    if (status == BLO_OK && iterations > 0 && blo_iapttgm_is_of(method, solver)) {
        bool solved;
        status = blo_small_solve(solver, n, optimizers, &data, iterations, progress, user, &solved);
        if (solved)
            return status;
    }
    if (status != BLO_OK)
        return status;
    run r = {
        .method = method, .solver = solver, .n = n, .optimizers = optimizers, .data = &data, .tasks = solver->tasks};
    return iterate_all(&r, iterations, progress, user);
}
