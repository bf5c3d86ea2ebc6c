/* Whole upper iterations of IAPTT-GM: the calls a program would make itself, in their order; or, of a small problem,
 * many of them in one launch (small_solve.c). */
#include <clbilevel/clbilevel.h>

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

blo_status blo_iapttgm_solve(blo_iapttgm *method, blo_lower_solver *solver, int n, blo_optimizer *const *optimizers,
                             blo_tensor *train_data, blo_tensor *train_target, blo_tensor *validate_data,
                             blo_tensor *validate_target, int iterations, blo_progress progress, void *user) {
    if (!method || !solver)
        return BLO_ERROR_ARGUMENT;
    blo_trajectory *trajectory = NULL;
    bool more = true;
    blo_status status = check(solver, n, optimizers, iterations);
    if (status == BLO_OK && iterations > 0 && blo_iapttgm_is_of(method, solver)) {
        const blo_loop_data data = {train_data, train_target, validate_data, validate_target};
        bool solved;
        status = blo_small_solve(solver, n, optimizers, &data, iterations, progress, user, &solved);
        if (solved)
            return status;
    }
    for (int iteration = 0; status == BLO_OK && more && iteration < iterations; iteration++) {
        double upper_loss = 0.0;
        int max_loss_iter = 0;
        status = clear(solver);
        if (status == BLO_OK)
            status = blo_lower_optimize(solver, train_data, train_target, validate_data, validate_target, &trajectory,
                                        &max_loss_iter);
        if (status == BLO_OK)
            status = blo_iapttgm_compute_gradients(method, validate_data, validate_target, trajectory, &max_loss_iter,
                                                   &upper_loss);
        for (int i = 0; status == BLO_OK && i < n; i++)
            status = blo_optimizer_step(optimizers[i]);
        if (status == BLO_OK && progress)
            more = progress(iteration, upper_loss, max_loss_iter, user);
    }
    if (status == BLO_OK && iterations > 0)
        status = blo_context_finish(solver->context); /* a NaN that the last sweep flagged is told here */
    blo_trajectory_destroy(trajectory);
    return status;
}
