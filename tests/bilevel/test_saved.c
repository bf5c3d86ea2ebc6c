/* What a prologue saves for its own gradient: with room to spare or without, and when a later loop needs the room, the
 * gradients are the same to the bit. */
#include "../support.h"
#include "bilevel/saved.h"
#include "bilevel/solver.h"

enum { STEPS = 5, CLASSES = 4 };
enum { IMAGES = 24, SIDE = 16, FILTERS = 8 }; /* work enough to be hoisted */
enum { BACKBONE = FILTERS * 9 + 3 * FILTERS + FILTERS * FILTERS * 9 + 3 * FILTERS };

static blo_node *convnet(const blo_state *s, void *user) {
    (void)user;
    blo_node *hidden = blo_model_convnet(s->upper_model, "", s->data, 2, BLO_BLOCK_CONV_BN_RELU_POOL);
    return blo_cross_entropy(blo_model_linear(s->lower_model, "head", hidden), s->target, BLO_REDUCE_MEAN);
}

typedef struct images {
    blo_context *context;
    blo_model *backbone, *head;
    blo_tensor *x[2], *t;
} images;

static void make_images(images *p, blo_context *context) {
    uint64_t seed = 9;
    int32_t classes[IMAGES];
    const int64_t features = FILTERS * (SIDE / 4) * (SIDE / 4);
    *p = (images){.context = context};
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->backbone));
    MUST(context, blo_model_create(context, BLO_DOUBLE, &p->head));
    MUST(context, blo_model_add_convnet(p->backbone, "", 1, FILTERS, 2));
    MUST(context, blo_model_add_linear(p->head, "head", features, CLASSES));
    for (int set = 0; set < 2; set++) {
        double values[IMAGES * SIDE * SIDE];
        for (int i = 0; i < IMAGES * SIDE * SIDE; i++)
            values[i] = next_number(&seed);
        MUST(context,
             blo_tensor_create(context, BLO_DOUBLE, 4, (const int64_t[]){IMAGES, 1, SIDE, SIDE}, values, &p->x[set]));
    }
    for (int i = 0; i < IMAGES; i++)
        classes[i] = i % CLASSES;
    MUST(context, blo_tensor_create(context, BLO_INT32, 1, (const int64_t[]){IMAGES}, classes, &p->t));
}

static void destroy_images(images *p) {
    blo_tensor_destroy(p->x[0]);
    blo_tensor_destroy(p->x[1]);
    blo_tensor_destroy(p->t);
    blo_model_destroy(p->head);
    blo_model_destroy(p->backbone);
}

static void read_backbone(const images *p, double *gradients) {
    double *at = gradients;
    for (int i = 0; i < blo_model_count(p->backbone); i++) {
        const char *name = blo_model_name(p->backbone, i);
        const int64_t count = blo_tensor_count(blo_model_value(p->backbone, name));
        MUST(p->context, blo_model_get_gradient(p->backbone, name, at, count));
        at += count;
    }
    ck_assert_int_eq(at - gradients, BACKBONE);
}

/* How many arrays the prologues of the loop's step and of its F save. */
static int saved_by(const blo_trajectory *trajectory) {
    const blo_hoist *hoists[] = {trajectory->step->hoist, trajectory->observe->hoist};
    int n = 0;
    for (int i = 0; i < 2; i++)
        n += hoists[i] && hoists[i]->saved ? hoists[i]->saved->n : 0;
    return n;
}

/* A loop and a sweep from its end within BUDGET (0: no limit); the backbone's gradients, and how many arrays are saved.
 * On a refusal *LEAST is what would do. */
static blo_status run_images(images *p, uint64_t budget, bool hoisting, double *gradients, int *saved,
                             uint64_t *least) {
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectory = NULL;
    blo_lower_options options;
    const int k = STEPS;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.memory_budget = budget;
    options.hoisting = hoisting;
    MUST(p->context, blo_model_zero_gradients(p->backbone));
    MUST(p->context, blo_lower_solver_create(convnet, convnet, NULL, p->backbone, p->head, &options, &solver));
    MUST(p->context, blo_iapttgm_create(convnet, NULL, p->backbone, p->head, &method));
    blo_status status = blo_lower_optimize(solver, p->x[0], p->t, p->x[1], p->t, &trajectory, NULL);
    if (status == BLO_OK) {
        MUST(p->context, blo_iapttgm_compute_gradients(method, p->x[1], p->t, trajectory, &k, NULL));
        *saved = saved_by(trajectory);
        read_backbone(p, gradients);
    } else {
        const char *number = strstr(blo_context_error(p->context), "at least ");
        ck_assert_ptr_nonnull(number);
        *least = strtoull(number + strlen("at least "), NULL, 10);
    }
    blo_trajectory_destroy(trajectory);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    return status;
}

/* With room to spare the gradient of a prologue goes on from what the prologue saved, else it computes that again: to
 * the same bits, and to the same gradients as without a prologue. */
START_TEST(what_a_prologue_saves_changes_no_bit) {
    blo_context *context = open_context(0);
    images p;
    double saved[BACKBONE], again[BACKBONE], always[BACKBONE];
    int n_saved = 0, n_again = 0, n_always = 0;
    uint64_t least = 0;
    make_images(&p, context);
    ck_assert_int_eq(run_images(&p, 0, true, saved, &n_saved, NULL), BLO_OK);
    ck_assert_int_eq(run_images(&p, 1, true, again, &n_again, &least), BLO_ERROR_BUDGET);
    ck_assert_int_eq(run_images(&p, least, true, again, &n_again, NULL), BLO_OK);
    ck_assert_int_eq(run_images(&p, 0, false, always, &n_always, NULL), BLO_OK);
    ck_assert_int_gt(n_saved, n_again);
    ck_assert_int_eq(n_always, 0);
    ck_assert_mem_eq(saved, again, sizeof saved);
    const double size = largest_of(always, BACKBONE);
    ck_assert_double_gt(size, 1e-6);
    for (int i = 0; i < BACKBONE; i++)
        ck_assert_double_eq_tol(saved[i], always[i], 1e-12 * size);
    destroy_images(&p);
    blo_context_destroy(context);
}
END_TEST

/* --- a loop that needs what others saved --- */

enum { LOOPS = 2 };

typedef struct two_loops {
    double gradients[LOOPS][BACKBONE];
    int saved[LOOPS]; /* arrays that the prologues save, after each loop */
} two_loops;

/* Two loops of one solver, the second beside the first, and the sweeps of both. */
static blo_status run_two(images *p, uint64_t budget, two_loops *out) {
    blo_lower_solver *solver = NULL;
    blo_iapttgm *method = NULL;
    blo_trajectory *trajectories[LOOPS] = {NULL};
    blo_lower_options options;
    const int k = STEPS;
    blo_status status = BLO_OK;
    blo_lower_options_default(&options);
    options.lower_loop = STEPS;
    options.memory_budget = budget;
    MUST(p->context, blo_lower_solver_create(convnet, convnet, NULL, p->backbone, p->head, &options, &solver));
    MUST(p->context, blo_iapttgm_create(convnet, NULL, p->backbone, p->head, &method));
    for (int i = 0; i < LOOPS && status == BLO_OK; i++) {
        status = blo_lower_optimize(solver, p->x[i], p->t, p->x[1 - i], p->t, &trajectories[i], NULL);
        if (status == BLO_OK)
            out->saved[i] = saved_by(trajectories[i]);
    }
    for (int i = 0; i < LOOPS && status == BLO_OK; i++) {
        MUST(p->context, blo_model_zero_gradients(p->backbone));
        MUST(p->context, blo_iapttgm_compute_gradients(method, p->x[1 - i], p->t, trajectories[i], &k, NULL));
        read_backbone(p, out->gradients[i]);
    }
    for (int i = 0; i < LOOPS; i++)
        blo_trajectory_destroy(trajectories[i]);
    blo_iapttgm_destroy(method);
    blo_lower_solver_destroy(solver);
    return status;
}

/* From the first budget that has room for both loops on, whether the prologues keep what they saved, save less or give
 * up all of it. */
START_TEST(a_loop_takes_the_room_of_what_is_saved) {
    static two_loops all, some;
    blo_context *context = open_context(0);
    images p;
    bool kept = false, given_up = false;
    make_images(&p, context);
    MUST(context, run_two(&p, 0, &all));
    ck_assert_int_eq(all.saved[1], all.saved[0]);
    for (uint64_t budget = 500000; !kept; budget += budget / 24) {
        const blo_status status = run_two(&p, budget, &some);
        ck_assert(status == BLO_OK || (status == BLO_ERROR_BUDGET && !given_up));
        if (status != BLO_OK)
            continue;
        ck_assert_mem_eq(some.gradients, all.gradients, sizeof all.gradients);
        kept = some.saved[0] == all.saved[0] && some.saved[1] == all.saved[1];
        given_up = given_up || some.saved[1] < some.saved[0];
    }
    ck_assert(given_up);
    destroy_images(&p);
    blo_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("what prologues save");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 300);
    tcase_add_test(all, what_a_prologue_saves_changes_no_bit);
    tcase_add_test(all, a_loop_takes_the_room_of_what_is_saved);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
