/* clbilevel numerical: the paper's numerical example, f = -sin(x y), F = x + x y, y in [-2, 2], x in [1, 10]. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "profile.h"
#include "progress.h"
#include "run_folder.h"
#include "session.h"
#include "tally.h"

typedef struct settings {
    int64_t steps, iterations, seed;
    double lower_rate, upper_rate, x0, y0;
    bool projection;
    session_settings session;
} settings;

static const settings defaults = {.steps = 40,
                                  .iterations = 500,
                                  .lower_rate = 0.0005,
                                  .upper_rate = 0.1,
                                  .x0 = 1,
                                  .y0 = 2,
                                  .projection = true,
                                  .session = SESSION_DEFAULTS("double")};

#define AT(field) offsetof(settings, field)
static const option_spec options[] = {
    {"steps", OPTION_INTEGER, AT(steps), 1, 1e6, NULL, "lower steps T of each upper iteration"},
    {"iterations", OPTION_INTEGER, AT(iterations), 1, 1e9, NULL, "upper iterations"},
    {"lower-rate", OPTION_REAL, AT(lower_rate), 0, 1e6, NULL, "step of gradient descent on y"},
    {"upper-rate", OPTION_REAL, AT(upper_rate), 0, 1e6, NULL,
     "step of gradient descent on x and on the initialization z"},
    {"x0", OPTION_REAL, AT(x0), 1, 10, NULL, "x at the start"},
    {"y0", OPTION_REAL, AT(y0), -2, 2, NULL, "z at the start"},
    {"projection", OPTION_OFF, AT(projection), 0, 0, NULL, "do not project y to [-2, 2] at every lower step"},
    {"seed", OPTION_INTEGER, AT(seed), 0, 9e15, NULL, "of random numbers (this example draws none)"},
    {0}};
#undef AT

static bool preset(const char *name, void *target) {
    (void)target; /* the defaults are the paper's already */
    return !strcmp(name, "paper");
}

static const command_spec command = {
    .name = "numerical",
    .summary =
        "The numerical example of the IAPTT-GM paper: min over x in [1, 10] of F = x + x y, y in [-2, 2] a minimum of\n"
        "f = -sin(x y). The solution is x = 11 pi / 4, y = -2.",
    .options = options,
    .shared = session_options,
    .shared_offset = offsetof(settings, session),
    .settings_size = sizeof(settings),
    .defaults = &defaults,
    .preset = preset};

static const char *const columns[] = {"iteration", "upper_loss", "upper_loss_T", "max_loss_iter", "x",
                                      "z",         "x_gradient", "z_gradient",   "seconds"};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

typedef struct problem {
    const settings *settings;
    blo_context *context;
    blo_model *upper, *lower;
    blo_optimizer *step_x, *step_z;
    blo_lower_solver *solver;
    blo_iapttgm *method;
    blo_trajectory *trajectory;
    double *losses;     /* [T] */
    int64_t *histogram; /* [T + 1] of max_loss_iter */
    double x, z, y, seconds;
    int done;
} problem;

static blo_node *lower_objective(const blo_state *state, void *user) {
    (void)user;
    return blo_neg(
        blo_sin(blo_mul(blo_model_parameter(state->upper_model, "x"), blo_model_parameter(state->lower_model, "y"))));
}

static blo_node *upper_objective(const blo_state *state, void *user) {
    blo_node *x = blo_model_parameter(state->upper_model, "x");
    (void)user;
    return blo_add(x, blo_mul(x, blo_model_parameter(state->lower_model, "y")));
}

static blo_status one_parameter(problem *p, blo_model **model, const char *name, double value) {
    blo_status status =
        blo_model_create(p->context, !strcmp(p->settings->session.dtype, "double") ? BLO_DOUBLE : BLO_FLOAT, model);
    if (status == BLO_OK)
        status = blo_model_add(*model, name, 0, NULL);
    return status == BLO_OK ? blo_model_set(*model, name, &value, 1) : status;
}

static blo_status open_problem(problem *p) {
    const settings *s = p->settings;
    blo_lower_options lower;
    blo_optimizer_options descent;
    blo_lower_options_default(&lower);
    blo_optimizer_options_default(&descent, BLO_SGD);
    lower.lower_loop = (int)s->steps;
    lower.optimizer.learning_rate = s->lower_rate;
    lower.projection = s->projection ? BLO_PROJECT_BOX : BLO_PROJECT_NONE;
    lower.box_lo = -2;
    lower.box_hi = 2;
    lower.truncation = s->session.truncation;
    lower.initialization_auxiliary = s->session.initialization_auxiliary;
    descent.learning_rate = s->upper_rate;
    p->losses = calloc((size_t)s->steps, sizeof *p->losses);
    p->histogram = calloc((size_t)s->steps + 1, sizeof *p->histogram);
    if (!p->losses || !p->histogram)
        return BLO_ERROR_MEMORY;
    blo_status status = one_parameter(p, &p->upper, "x", s->x0);
    if (status == BLO_OK)
        status = one_parameter(p, &p->lower, "y", s->y0);
    if (status == BLO_OK)
        status =
            blo_lower_solver_create(lower_objective, upper_objective, NULL, p->upper, p->lower, &lower, &p->solver);
    if (status == BLO_OK)
        status = blo_iapttgm_create(upper_objective, NULL, p->upper, p->lower, &p->method);
    if (status == BLO_OK)
        status = blo_optimizer_create(p->upper, &descent, &p->step_x);
    if (status == BLO_OK)
        status = blo_optimizer_set_box(p->step_x, 1, 10);
    if (status == BLO_OK)
        status = blo_optimizer_create(p->lower, &descent, &p->step_z);
    return status == BLO_OK ? blo_optimizer_set_box(p->step_z, -2, 2) : status;
}

static blo_status read_parameters(problem *p) {
    blo_status status = blo_model_get(p->upper, "x", &p->x, 1);
    return status == BLO_OK ? blo_model_get(p->lower, "y", &p->z, 1) : status;
}

/* --- with a row for each iteration --- */

/* One upper iteration; ROW gets its metrics. */
static blo_status iterate(problem *p, int i, double *row) {
    const settings *s = p->settings;
    double start = session_seconds(), loss = 0, gx = 0, gz = 0;
    int max_loss_iter = 0;
    blo_status status = blo_model_zero_gradients(p->upper);
    if (status == BLO_OK)
        status = blo_model_zero_gradients(p->lower);
    if (status == BLO_OK)
        status = blo_lower_optimize(p->solver, NULL, NULL, NULL, NULL, &p->trajectory, &max_loss_iter);
    if (status == BLO_OK)
        status = blo_iapttgm_compute_gradients(p->method, NULL, NULL, p->trajectory, &max_loss_iter, &loss);
    if (status == BLO_OK)
        status = blo_trajectory_losses(p->trajectory, p->losses, (int)s->steps);
    if (status == BLO_OK)
        status = blo_model_get_gradient(p->upper, "x", &gx, 1);
    if (status == BLO_OK)
        status = blo_model_get_gradient(p->lower, "y", &gz, 1);
    if (status == BLO_OK && i + 1 == s->iterations)
        status = blo_trajectory_get(p->trajectory, (int)s->steps, "y", &p->y, 1);
    if (status == BLO_OK)
        status = blo_optimizer_step(p->step_x);
    if (status == BLO_OK && s->session.initialization_auxiliary)
        status = blo_optimizer_step(p->step_z);
    if (status == BLO_OK)
        status = read_parameters(p);
    double seconds = session_seconds() - start;
    p->seconds += seconds;
    p->histogram[max_loss_iter]++;
    const double values[N_COLUMNS] = {i, loss, p->losses[s->steps - 1], max_loss_iter, p->x, p->z, gx, gz, seconds};
    memcpy(row, values, sizeof values);
    return status;
}

static int save(const problem *p, run_folder *folder, const double *row) {
    int status = run_folder_flush(folder);
    if (status != EXIT_DONE)
        return status;
    json_t *result = json_object();
    json_object_set_new(result, "iterations", json_integer(p->done));
    json_object_set_new(result, "x", json_real(p->x));
    json_object_set_new(result, "y", json_real(p->y));
    json_object_set_new(result, "z", json_real(p->z));
    json_object_set_new(result, "upper_loss", isfinite(row[1]) ? json_real(row[1]) : json_null());
    json_object_set_new(result, "max_loss_iter_histogram", tally_histogram(p->histogram, p->settings->steps));
    json_object_set_new(result, "seconds", json_real(p->seconds));
    return session_result(p->context, folder, result);
}

static int run_rows(problem *p, run_folder *folder, double *row) {
    int status = EXIT_DONE;
    while (p->done < p->settings->iterations && status == EXIT_DONE && !interrupt_asked()) {
        char text[128];
        if (iterate(p, p->done, row) != BLO_OK)
            status = complain(EXIT_FAILED, "upper iteration %d: %s", p->done, blo_context_error(p->context));
        else
            p->done++;
        snprintf(text, sizeof text, "x %.5f  z %.5f  F %.6f", p->x, p->z, row[1]);
        if (status == EXIT_DONE)
            progress_show(p->done, (int)p->settings->iterations, text);
        if (folder && status == EXIT_DONE)
            status = run_folder_row(folder, row);
    }
    return status;
}

/* --- without: many iterations at once --- */

static bool tell(int iteration, double upper_loss, int max_loss_iter, void *user) {
    problem *p = user;
    char text[64];
    (void)iteration;
    p->done++;
    snprintf(text, sizeof text, "F %.6f  max_loss_iter %d", upper_loss, max_loss_iter);
    progress_show(p->done, (int)p->settings->iterations, text);
    return !interrupt_asked();
}

/* The first iteration, which builds the kernels, is not among those that are timed, unless it is the only one. */
static int run_solved(problem *p) {
    blo_optimizer *const steps[] = {p->step_x, p->step_z};
    const int n = p->settings->session.initialization_auxiliary ? 2 : 1, iterations = (int)p->settings->iterations;
    blo_status status = BLO_OK;
    for (int part = 0; status == BLO_OK && p->done < iterations && !interrupt_asked(); part++) {
        const double start = session_seconds();
        status = blo_iapttgm_solve(p->method, p->solver, n, steps, NULL, NULL, NULL, NULL,
                                   part == 0 ? 1 : iterations - p->done, tell, p);
        p->seconds = session_seconds() - start;
    }
    if (status == BLO_OK)
        status = read_parameters(p);
    return status == BLO_OK ? EXIT_DONE
                            : complain(EXIT_FAILED, "upper iteration %d: %s", p->done, blo_context_error(p->context));
}

/* --- the run --- */

static int run(problem *p, run_folder *folder) {
    double row[N_COLUMNS] = {0};
    const double solution = 11 * acos(-1) / 4;
    const bool rows = folder || p->settings->session.profile;
    interrupt_catch();
    int status = rows ? run_rows(p, folder, row) : run_solved(p);
    progress_end();
    const int timed = rows || p->done < 2 ? p->done : p->done - 1;
    if (p->done)
        printf("x %.6f, z %.6f: distance to the solution (11 pi / 4, -2) is %.6f; %.4f ms per upper iteration\n", p->x,
               p->z, hypot(p->x - solution, p->z + 2), 1e3 * p->seconds / timed);
    if ((folder ? save(p, folder, row) : profile_report(p->context, NULL)) != EXIT_DONE)
        status = EXIT_FAILED;
    if (interrupt_asked() && status == EXIT_DONE)
        status = complain(EXIT_FAILED, "interrupted after %d of %lld upper iterations", p->done,
                          (long long)p->settings->iterations);
    return status;
}

static void close_problem(problem *p) {
    blo_trajectory_destroy(p->trajectory);
    blo_iapttgm_destroy(p->method);
    blo_lower_solver_destroy(p->solver);
    blo_optimizer_destroy(p->step_x);
    blo_optimizer_destroy(p->step_z);
    blo_model_destroy(p->upper);
    blo_model_destroy(p->lower);
    blo_context_destroy(p->context);
    free(p->losses);
    free(p->histogram);
}

int command_numerical(int argc, char **argv) {
    settings s;
    json_t *config = NULL, *resolved = NULL;
    bool help;
    run_folder folder = {0};
    problem p = {.settings = &s};
    int status = options_parse(&command, argc, argv, &s, &config, &help);
    if (status != EXIT_DONE || help)
        goto done;
    status = session_open(&p.context, &s.session, s.seed);
    if (status != EXIT_DONE)
        goto done;
    p.y = p.z = s.y0;
    p.x = s.x0;
    if (open_problem(&p) != BLO_OK) {
        status = complain(EXIT_FAILED, "%s", blo_context_error(p.context));
        goto done;
    }
    resolved = options_resolved(&command, &s);
    if (s.session.output)
        status = run_folder_open(&folder, s.session.output, resolved, N_COLUMNS, columns);
    if (status == EXIT_DONE)
        status = run(&p, s.session.output ? &folder : NULL);
done:
    run_folder_close(&folder);
    close_problem(&p);
    json_decref(resolved);
    json_decref(config);
    return status;
}
