#include <clbilevel/clbilevel.h>
#include <stdio.h>

/* Objectives are traced once, not run: they build nodes, and what they built is compiled and replayed. */
static blo_node *lower_objective(const blo_state *state, void *user) {
    (void)user;
    blo_node *x = blo_model_parameter(state->upper_model, "x"), *y = blo_model_parameter(state->lower_model, "y");
    return blo_neg(blo_sin(blo_mul(x, y)));
}

static blo_node *upper_objective(const blo_state *state, void *user) {
    (void)user;
    blo_node *x = blo_model_parameter(state->upper_model, "x"), *y = blo_model_parameter(state->lower_model, "y");
    return blo_add(x, blo_mul(x, y));
}

/* Told after each upper iteration; false would end them there. */
static bool keep_loss(int iteration, double upper_loss, int max_loss_iter, void *user) {
    (void)iteration, (void)max_loss_iter;
    *(double *)user = upper_loss;
    return true;
}

int main(void) {
    blo_context *context = NULL;
    blo_model *upper = NULL, *lower = NULL;
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_optimizer *step_x = NULL, *step_z = NULL;
    char message[256];
    if (blo_context_create(NULL, &context, message, sizeof message) != BLO_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    double x = 1.0, z = 2.0, loss = 0.0;
    bool ok = !blo_model_create(context, BLO_DOUBLE, &upper) && !blo_model_add(upper, "x", 0, NULL) &&
              !blo_model_create(context, BLO_DOUBLE, &lower) && !blo_model_add(lower, "y", 0, NULL) &&
              !blo_model_set(upper, "x", &x, 1) && !blo_model_set(lower, "y", &z, 1);

    blo_lower_options options;
    blo_lower_options_default(&options);
    options.lower_loop = 40;
    options.optimizer.learning_rate = 0.0005;
    options.projection = BLO_PROJECT_BOX;
    options.box_lo = -2.0;
    options.box_hi = 2.0;
    blo_optimizer_options descent;
    blo_optimizer_options_default(&descent, BLO_SGD);
    descent.learning_rate = 0.1;
    ok = ok && !blo_lower_solver_create(lower_objective, upper_objective, NULL, upper, lower, &options, &solver) &&
         !blo_iapttgm_create(upper_objective, NULL, upper, lower, &method) &&
         !blo_optimizer_create(upper, &descent, &step_x) && !blo_optimizer_set_box(step_x, 1.0, 10.0) &&
         !blo_optimizer_create(lower, &descent, &step_z) && !blo_optimizer_set_box(step_z, -2.0, 2.0);

    blo_optimizer *const steps[] = {step_x, step_z};
    ok = ok && !blo_iapttgm_solve(method, solver, 2, steps, NULL, NULL, NULL, NULL, 500, keep_loss, &loss) &&
         !blo_model_get(upper, "x", &x, 1) && !blo_model_get(lower, "y", &z, 1);
    if (ok) {
        printf("x = %.4f, z = %.4f, F = %.4f\n", x, z, loss);
    } else {
        fprintf(stderr, "%s\n", blo_context_error(context));
    }
    blo_optimizer_destroy(step_z);
    blo_optimizer_destroy(step_x);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    blo_model_destroy(lower);
    blo_model_destroy(upper);
    blo_context_destroy(context);
    return ok ? 0 : 1;
}
