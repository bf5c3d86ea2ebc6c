/* Measures the tiles of the library's own products; see clbilevel/tune.h. Operands are zeros in packed form: what they
 * hold makes no difference to the time. */
#include <clbilevel/tune.h>

#include "gemm.h"

#include <math.h>
#include <stdlib.h>

enum { ROUNDS = 3, RUNS = 5, MOST_ARRAYS = 3 };

/* In vectors of 16 floats or 8 doubles; HALVES: in half of that. */
static const struct {
    int rows, vectors;
    bool halves;
} candidates[] = {{12, 2, false}, {14, 2, false}, {10, 2, false}, {8, 2, false},  {6, 2, false},
                  {8, 3, false},  {9, 3, false},  {12, 1, false}, {16, 1, false}, {8, 1, false},
                  {6, 1, false},  {5, 1, false},  {4, 1, false},  {12, 1, true},  {10, 1, true},
                  {8, 1, true},   {6, 2, true},   {5, 2, true},   {4, 3, true},   {4, 2, true}};
enum { N_CANDIDATES = sizeof candidates / sizeof candidates[0] };

/* A hidden layer, its weights' gradient, and a square: together each counts alike, since times are of one flop. */
static const int64_t shapes[][3] = {{2000, 300, 784}, {300, 784, 2000}, {768, 768, 768}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

typedef struct trial {
    blo_gemm_shape shape;
    blo_gemm_choice choice;
    blo_kernel *kernel;
    blo_buffer *arrays[MOST_ARRAYS]; /* row operand, column operand, result */
    size_t global[3], local[3];
} trial;

static void close_trial(trial *t) {
    blo_kernel_release(t->kernel);
    for (int i = 0; i < MOST_ARRAYS; i++)
        blo_buffer_release(t->arrays[i]);
}

static blo_status make_array(blo_context *context, blo_dtype dtype, uint64_t count, blo_buffer **buffer) {
    const size_t bytes = (size_t)count * blo_dtype_size(dtype);
    blo_status status = blo_buffer_create(context, bytes, buffer);
    return status == BLO_OK ? blo_buffer_zero(context, *buffer, 0, bytes) : status;
}

static blo_status make_arrays(blo_context *context, trial *t) {
    const blo_gemm_operand plain = {0};
    const blo_gemm_shape *s = &t->shape;
    blo_gemm_pack a = blo_gemm_packing(s, &t->choice, 'a', &plain), b = blo_gemm_packing(s, &t->choice, 'b', &plain);
    const uint64_t count_a = blo_gemm_packed_count(s, &a), count_b = blo_gemm_packed_count(s, &b);
    blo_status status = make_array(context, s->dtype, t->choice.swapped ? count_b : count_a, &t->arrays[0]);
    if (status == BLO_OK)
        status = make_array(context, s->dtype, t->choice.swapped ? count_a : count_b, &t->arrays[1]);
    return status == BLO_OK ? make_array(context, s->dtype, (uint64_t)(s->m * s->n), &t->arrays[2]) : status;
}

static blo_status bind(trial *t) {
    uint64_t values[BLO_GEMM_VALUES];
    const int n = blo_gemm_launch(&t->shape, &t->choice, t->global, t->local, values);
    int position = 0;
    blo_status status = BLO_OK;
    for (int i = 0; i < MOST_ARRAYS && status == BLO_OK; i++) {
        status = blo_kernel_set_buffer(t->kernel, position++, t->arrays[i]);
        if (status == BLO_OK)
            status = blo_kernel_set_ulong(t->kernel, position++, 0);
    }
    for (int i = 0; i < n && status == BLO_OK; i++)
        status = blo_kernel_set_ulong(t->kernel, position++, values[i]);
    return status;
}

static blo_status open_trial(blo_context *context, const blo_device_facts *facts, trial *t) {
    const blo_gemm_operand plain = {0};
    char name[64];
    blo_gemm_choose(facts, &t->shape, &plain, &plain, &t->choice);
    char *text = blo_gemm_source(&t->choice, t->shape.dtype, NULL, NULL, NULL, name);
    if (!text)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory to tune");
    const blo_kernel_source source = {name, text};
    blo_status status = blo_kernels_get(context, 1, &source, &t->kernel);
    free(text);
    if (status == BLO_OK)
        status = make_arrays(context, t);
    return status == BLO_OK ? bind(t) : status;
}

/* The least of some runs, after one that does not count: what else the machine does only adds to it. */
static blo_status time_trial(blo_context *context, const trial *t, double *seconds) {
    blo_status status = BLO_OK;
    *seconds = HUGE_VAL;
    for (int run = -1; run < RUNS && status == BLO_OK; run++) {
        double start = blo_seconds();
        status = blo_kernel_launch(t->kernel, 3, t->global, t->local);
        if (status == BLO_OK)
            status = blo_context_finish(context);
        if (run >= 0)
            *seconds = fmin(*seconds, blo_seconds() - start);
    }
    return status;
}

/* Of one candidate: the least seconds for each shape so far. */
typedef struct record {
    blo_tile tile;
    double seconds[N_SHAPES];
} record;

static blo_status measure(blo_context *context, blo_dtype dtype, record *r) {
    blo_device_facts facts = *blo_context_facts(context);
    double seconds_per_flop = 0;
    blo_status status = BLO_OK;
    facts.tiles[dtype] = r->tile;
    for (int i = 0; i < N_SHAPES && status == BLO_OK; i++) {
        const int64_t *s = shapes[i];
        trial t = {.shape = {.dtype = dtype, .batch = 1, .m = s[0], .n = s[1], .k = s[2]}};
        double seconds = HUGE_VAL;
        status = open_trial(context, &facts, &t);
        if (status == BLO_OK)
            status = time_trial(context, &t, &seconds);
        close_trial(&t);
        r->seconds[i] = fmin(r->seconds[i], seconds);
        seconds_per_flop += r->seconds[i] / (2.0 * (double)s[0] * (double)s[1] * (double)s[2]);
    }
    r->tile.flops_per_second = status == BLO_OK ? N_SHAPES / seconds_per_flop : 0;
    return status;
}

static void start_records(blo_dtype dtype, record records[N_CANDIDATES]) {
    const int whole = dtype == BLO_DOUBLE ? 8 : 16;
    for (int i = 0; i < N_CANDIDATES; i++) {
        records[i].tile = (blo_tile){.rows = candidates[i].rows,
                                     .vectors = candidates[i].vectors,
                                     .vector = candidates[i].halves ? whole / 2 : whole};
        for (int s = 0; s < N_SHAPES; s++)
            records[i].seconds[s] = HUGE_VAL;
    }
}

static blo_status check(blo_context *context, blo_dtype dtype) {
    const blo_device_facts *facts = blo_context_facts(context);
    if (dtype != BLO_FLOAT && dtype != BLO_DOUBLE)
        return blo_fail(context, BLO_ERROR_DTYPE, "products are of float or double, not of %s", blo_dtype_name(dtype));
    if (dtype == BLO_DOUBLE && !facts->has_double)
        return blo_fail(context, BLO_ERROR_DTYPE, "device \"%s\" has no double", facts->name);
    if (facts->gemm != BLO_GEMM_OWN)
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "device \"%s\": its products are CLBlast's, which tunes itself",
                        facts->name);
    return blo_tuning_possible(context);
}

blo_status blo_context_tune(blo_context *context, blo_dtype dtype, blo_tune_report report, void *user, blo_tile *best) {
    if (!context || !best)
        return BLO_ERROR_ARGUMENT;
    record records[N_CANDIDATES];
    blo_status status = check(context, dtype);
    *best = (blo_tile){0};
    start_records(dtype, records);
    for (int i = 0; i < ROUNDS * N_CANDIDATES && status == BLO_OK; i++) {
        const blo_tile *tile = &records[i % N_CANDIDATES].tile;
        status = measure(context, dtype, &records[i % N_CANDIDATES]);
        if (status != BLO_OK || i < (ROUNDS - 1) * N_CANDIDATES)
            continue;
        if (report)
            report(tile, user);
        if (tile->flops_per_second > best->flops_per_second)
            *best = *tile;
    }
    return status == BLO_OK ? blo_tuning_keep(context, dtype, best) : status;
}
