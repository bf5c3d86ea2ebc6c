/* The clamp of a model's parameters; see clamp.h. */
#include "clamp.h"

#include <stdlib.h>
#include <string.h>

#include "plan/in_place.h"

struct blo_clamping {
    blo_context *context;
    blo_dtype dtype;
    int n;                 /* parameters */
    blo_buffer *bounds[2]; /* lo, hi */
    double written[2];     /* what they hold, once it is KNOWN */
    bool known;
    const blo_buffer **inputs;      /* [n + 2]: values, lo, hi */
    blo_in_place *in_place;         /* of few elements */
    blo_plan *plan;                 /* of many; NULL where there is IN_PLACE */
    blo_buffer *scratch, **clamped; /* [n]: a plan never writes over its inputs */
    blo_place *places;              /* [2 n + 2], filled at each run */
};

/* --- life --- */

/* The clamped values of MODEL's parameters as OUTPUTS [n] of GRAPH. */
static void trace(const blo_model *model, blo_graph *graph, blo_node **outputs) {
    const int n = blo_model_count(model);
    const blo_dtype dtype = blo_model_dtype(model);
    for (int i = 0; i < n; i++) {
        const blo_tensor *value = blo_model_value_at(model, i);
        outputs[i] =
            blo_graph_input(graph, blo_model_name(model, i), dtype, blo_tensor_rank(value), blo_tensor_shape(value));
    }
    blo_node *lo = blo_graph_input(graph, "lo", dtype, 0, NULL), *hi = blo_graph_input(graph, "hi", dtype, 0, NULL);
    for (int i = 0; i < n; i++)
        outputs[i] = blo_minimum(blo_maximum(outputs[i], lo), hi);
}

static blo_status make_plan(blo_clamping *clamping, const blo_model *model, blo_node *const *outputs) {
    const size_t n = (size_t)clamping->n;
    blo_status status = blo_plan_create(clamping->context, clamping->n, outputs, NULL, &clamping->plan);
    if (status != BLO_OK)
        return status;
    clamping->clamped = calloc(n, sizeof *clamping->clamped);
    clamping->places = calloc(2 * n + 2, sizeof *clamping->places);
    if (!clamping->clamped || !clamping->places)
        return blo_fail(clamping->context, BLO_ERROR_MEMORY, "no memory for the clamp of a model");
    status = blo_buffer_create(clamping->context, (size_t)blo_plan_scratch_bytes(clamping->plan), &clamping->scratch);
    for (int i = 0; status == BLO_OK && i < clamping->n; i++)
        status =
            blo_buffer_create(clamping->context, blo_tensor_bytes(blo_model_value_at(model, i)), &clamping->clamped[i]);
    return status;
}

/* What clamps: in place if OUTPUTS are small enough. */
static blo_status make(blo_clamping *clamping, const blo_model *model, blo_node *const *outputs) {
    blo_context *context = clamping->context;
    blo_routine *routine = NULL;
    blo_status status = blo_routine_create(context, "blo_bound", clamping->n, outputs, &routine);
    if (status == BLO_OK && routine && blo_in_place_fits(routine))
        status = blo_in_place_create(context, routine, NULL, -1, "clamp", &clamping->in_place);
    blo_routine_destroy(routine);
    return status != BLO_OK || clamping->in_place ? status : make_plan(clamping, model, outputs);
}

blo_status blo_clamping_create(const blo_model *model, blo_clamping **result) {
    *result = NULL;
    blo_context *context = blo_model_context(model);
    const int n = blo_model_count(model);
    blo_graph *graph = NULL;
    blo_node **outputs = calloc((size_t)n, sizeof(blo_node *));
    blo_clamping *made = calloc(1, sizeof *made);
    if (made)
        made->inputs = calloc((size_t)n + 2, sizeof *made->inputs);
    blo_status status = outputs && made && made->inputs ? blo_graph_create(&graph) : BLO_ERROR_MEMORY;
    if (status != BLO_OK) {
        blo_fail(context, status, "no memory for the clamp of a model");
        goto done;
    }
    made->context = context;
    made->dtype = blo_model_dtype(model);
    made->n = n;
    trace(model, graph, outputs);
    status = blo_graph_status(graph);
    if (status != BLO_OK)
        blo_fail(context, status, "the clamp of a model: %s", blo_graph_error(graph));
    else
        status = make(made, model, outputs);
    for (int i = 0; status == BLO_OK && i < 2; i++)
        status = blo_buffer_create(context, sizeof(double), &made->bounds[i]);
    if (status == BLO_OK) {
        *result = made;
        made = NULL;
    }
done:
    blo_clamping_destroy(made);
    blo_graph_destroy(graph);
    free(outputs);
    return status;
}

void blo_clamping_destroy(blo_clamping *clamping) {
    if (!clamping)
        return;
    for (int i = 0; i < 2; i++)
        blo_buffer_release(clamping->bounds[i]);
    for (int i = 0; clamping->clamped && i < clamping->n; i++)
        blo_buffer_release(clamping->clamped[i]);
    blo_buffer_release(clamping->scratch);
    blo_in_place_destroy(clamping->in_place);
    blo_plan_destroy(clamping->plan);
    free(clamping->clamped);
    free(clamping->places);
    free(clamping->inputs);
    free(clamping);
}

/* --- running --- */

/* Queues the bounds, unless they are what was written last. */
static blo_status write_bounds(blo_clamping *clamping, const double bounds[2]) {
    if (clamping->known && !memcmp(clamping->written, bounds, sizeof clamping->written))
        return BLO_OK;
    blo_status status = BLO_OK;
    clamping->known = false;
    for (int i = 0; status == BLO_OK && i < 2; i++) {
        const float narrow = (float)bounds[i];
        const void *source = clamping->dtype == BLO_DOUBLE ? (const void *)&bounds[i] : (const void *)&narrow;
        status = blo_buffer_write(clamping->context, clamping->bounds[i], 0, blo_dtype_size(clamping->dtype), source);
    }
    memcpy(clamping->written, bounds, sizeof clamping->written);
    clamping->known = status == BLO_OK;
    return status;
}

static blo_status run_in_place(const blo_clamping *clamping, const blo_model *model) {
    blo_status status = blo_in_place_run(clamping->in_place, clamping->inputs);
    for (int i = 0; status == BLO_OK && i < clamping->n; i++)
        blo_tensor_touch(blo_model_value_at(model, i));
    return status;
}

static blo_status run_plan(const blo_clamping *clamping, const blo_model *model) {
    const int n = clamping->n;
    blo_place *inputs = clamping->places, *outputs = inputs + n + 2;
    for (int i = 0; i < n + 2; i++)
        inputs[i] = (blo_place){clamping->inputs[i], 0};
    for (int i = 0; i < n; i++)
        outputs[i] = (blo_place){clamping->clamped[i], 0};
    blo_status status = blo_plan_enqueue(clamping->plan, inputs, outputs, clamping->scratch);
    for (int i = 0; status == BLO_OK && i < n; i++) {
        blo_tensor *value = blo_model_value_at(model, i);
        status = blo_buffer_copy(clamping->context, clamping->clamped[i], 0, blo_tensor_buffer(value), 0,
                                 blo_tensor_bytes(value));
        blo_tensor_touch(value);
    }
    return status;
}

blo_status blo_clamping_run(blo_clamping *clamping, const blo_model *model, double lo, double hi) {
    const int n = clamping->n;
    blo_status status = write_bounds(clamping, (const double[2]){lo, hi});
    if (status != BLO_OK)
        return status;
    for (int i = 0; i < n + 2; i++)
        clamping->inputs[i] = i < n ? blo_tensor_buffer(blo_model_value_at(model, i)) : clamping->bounds[i - n];
    return clamping->in_place ? run_in_place(clamping, model) : run_plan(clamping, model);
}
