/* Graphs run on the device and in the plain-C interpreter, on random values: what comes out must be the same. */
#ifndef BLO_TESTS_PLAN_SCENE_H
#define BLO_TESTS_PLAN_SCENE_H

#include <inttypes.h>

#include "../support.h"
#include "device/opencl.h"
#include "graph/graph.h"
#include "support/interpret.h"

enum { MAX_NODES = 64, MAX_OUTPUTS = 6, MAX_INPUTS = 8 };

/* --- random numbers, of a seed that is printed --- */

static uint64_t random_state;

static inline uint32_t draw(uint32_t bound) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static inline double draw_real(void) {
    return (double)draw(1u << 20) / (1u << 19) - 1;
}

/* --- graphs --- */

typedef struct scene {
    blo_graph *graph;
    int n_nodes, n_inputs;
    blo_node *nodes[MAX_NODES];
    blo_node *inputs[MAX_INPUTS];
} scene;

static inline blo_node *take_input(scene *s, const char *name, blo_dtype dtype, int rank, const int64_t *shape) {
    return s->inputs[s->n_inputs++] = blo_graph_input(s->graph, name, dtype, rank, shape);
}

static inline blo_node *pick(const scene *s, bool floating) {
    for (;;) {
        blo_node *node = s->nodes[draw((uint32_t)s->n_nodes)];
        if (!floating || blo_node_dtype(node) <= BLO_DOUBLE)
            return node;
    }
}

static inline blo_node *row_softmax(blo_node *a) {
    int last[1] = {-1};
    if (blo_node_rank(a) == 0 || blo_node_shape(a)[blo_node_rank(a) - 1] == 0)
        return a;
    blo_node *e = blo_exp(blo_sub(a, blo_max_axes(a, 1, last, true)));
    return blo_div(e, blo_sum_axes(e, 1, last, true));
}

/* --- running --- */

/* The context of a test, between these two. */
static blo_context *context;

static inline void open_scenes(void) {
    context = open_context(0);
}

static inline void close_scenes(void) {
    blo_context_destroy(context);
}

/* Computes the N OUTPUTS, once, of the tensors IN into those OUT. */
static inline void compute(int n_in, blo_tensor *const *in, int n, blo_node **outputs, blo_tensor *const *out) {
    blo_function *function = NULL;
    ck_assert_msg(blo_function_create(context, n, outputs, &function) == BLO_OK, "%s", blo_context_error(context));
    ck_assert_msg(blo_function_call(function, n_in, in, n, out) == BLO_OK, "%s", blo_context_error(context));
    blo_function_destroy(function);
}

static inline void destroy_all(int n, blo_tensor *const *tensors) {
    for (int i = 0; i < n; i++)
        blo_tensor_destroy(tensors[i]);
}

static inline void fill(void *data, blo_dtype dtype, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double value = draw_real();
        switch (dtype) {
        case BLO_FLOAT: ((float *)data)[i] = (float)value; break;
        case BLO_DOUBLE: ((double *)data)[i] = value; break;
        case BLO_INT32: ((int32_t *)data)[i] = (int32_t)(value * 5); break;
        case BLO_UINT8: ((uint8_t *)data)[i] = (uint8_t)(draw(256)); break;
        }
    }
}

static inline double element(const void *data, blo_dtype dtype, int64_t i) {
    switch (dtype) {
    case BLO_FLOAT: return (double)((const float *)data)[i];
    case BLO_DOUBLE: return ((const double *)data)[i];
    case BLO_INT32: return ((const int32_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

/* Largest allowed difference: sums in another order, and functions of another library; float values may have passed
 * anywhere. */
static inline void compare(const void *got, const void *wanted, const blo_node *node, uint64_t seed) {
    for (int64_t i = 0; i < node->count; i++) {
        double a = element(got, node->dtype, i), b = element(wanted, node->dtype, i);
        bool same = (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-4 * fmax(1, fmax(fabs(a), fabs(b)));
        ck_assert_msg(same, "seed %" PRIu64 ": %s node %d element %" PRId64 " is %.9g, the interpreter has %.9g", seed,
                      blo_op_name(node->op), node->id, i, a, b);
    }
}

/* Runs the outputs on the device and in the interpreter, and frees the scene. */
static inline void run_outputs(const scene *s, int n, blo_node **outputs, uint64_t seed) {
    blo_tensor *in[MAX_INPUTS] = {0}, *out[MAX_OUTPUTS] = {0};
    void *host_in[MAX_INPUTS] = {0}, *host_out[MAX_OUTPUTS] = {0};
    for (int i = 0; i < s->n_inputs; i++) {
        host_in[i] = malloc((size_t)s->inputs[i]->count * 8 + 8);
        fill(host_in[i], s->inputs[i]->dtype, s->inputs[i]->count);
        ck_assert_int_eq(blo_tensor_create(context, s->inputs[i]->dtype, s->inputs[i]->rank, s->inputs[i]->shape,
                                           host_in[i], &in[i]),
                         BLO_OK);
    }
    for (int i = 0; i < n; i++) {
        host_out[i] = malloc((size_t)outputs[i]->count * 8 + 8);
        ck_assert_int_eq(
            blo_tensor_create(context, outputs[i]->dtype, outputs[i]->rank, outputs[i]->shape, NULL, &out[i]), BLO_OK);
    }
    blo_function *function = NULL;
    ck_assert_msg(blo_function_create(context, n, outputs, &function) == BLO_OK, "seed %" PRIu64 ": %s", seed,
                  blo_context_error(context));
    ck_assert_msg(blo_function_call(function, s->n_inputs, in, n, out) == BLO_OK, "seed %" PRIu64 ": %s", seed,
                  blo_context_error(context));
    ck_assert_int_eq(blo_interpret(n, outputs, (const void *const *)host_in, host_out), 0);
    for (int i = 0; i < n; i++) {
        void *got = malloc(blo_tensor_bytes(out[i]) + 8);
        ck_assert_int_eq(blo_tensor_download(out[i], got, blo_tensor_bytes(out[i])), BLO_OK);
        compare(got, host_out[i], outputs[i], seed);
        free(got);
    }
    blo_function_destroy(function);
    for (int i = 0; i < MAX_INPUTS; i++) {
        blo_tensor_destroy(in[i]);
        free(host_in[i]);
    }
    for (int i = 0; i < MAX_OUTPUTS; i++) {
        blo_tensor_destroy(out[i]);
        free(host_out[i]);
    }
    blo_graph_destroy(s->graph);
}

/* AS_CPU false: with the kernels that devices get which are no CPUs. */
static inline void run_many(void (*run)(uint64_t), bool as_cpu) {
    const char *count = getenv("CLBILEVEL_TEST_GRAPHS"), *first = getenv("CLBILEVEL_TEST_SEED");
    int graphs = count ? atoi(count) : as_cpu ? 60 : 10;
    uint64_t seed = first ? strtoull(first, NULL, 10) : 1;
    context->facts.is_cpu = context->facts.is_cpu && as_cpu;
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", seed, seed + (uint64_t)graphs - 1);
    for (int i = 0; i < graphs; i++)
        run(seed + (uint64_t)i);
}

#endif
