/* blo_function: a graph compiled by itself, called with tensors. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

typedef struct end {
    blo_dtype dtype;
    int rank;
    int64_t shape[BLO_MAX_RANK];
} end;

struct blo_function {
    blo_context *context;
    blo_plan *plan;
    blo_buffer *scratch;
    int n_inputs, n_outputs;
    end *inputs, *outputs;
    blo_place *input_places, *output_places;
};

static end end_of(const blo_node *node) {
    end e = {.dtype = node->dtype, .rank = node->rank};
    memcpy(e.shape, node->shape, sizeof e.shape);
    return e;
}

blo_status blo_function_create(blo_context *context, int n, blo_node *const *outputs, blo_function **result) {
    if (!context)
        return BLO_ERROR_ARGUMENT;
    if (!result || !outputs)
        return blo_fail(context, BLO_ERROR_ARGUMENT, "blo_function_create: outputs and function must not be NULL");
    *result = NULL;
    blo_function *function = calloc(1, sizeof *function);
    if (!function)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a function");
    function->context = context;
    blo_status status = blo_plan_create(context, n, outputs, NULL, &function->plan);
    if (status != BLO_OK)
        goto fail;
    blo_graph *graph = blo_node_graph(outputs[0]);
    function->n_inputs = blo_plan_inputs(function->plan);
    function->n_outputs = n;
    size_t n_in = (size_t)function->n_inputs + 1, n_out = (size_t)n;
    function->inputs = calloc(n_in, sizeof *function->inputs);
    function->outputs = calloc(n_out, sizeof *function->outputs);
    function->input_places = calloc(n_in, sizeof *function->input_places);
    function->output_places = calloc(n_out, sizeof *function->output_places);
    if (!function->inputs || !function->outputs || !function->input_places || !function->output_places) {
        status = blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a function");
        goto fail;
    }
    for (int i = 0; i < function->n_inputs; i++)
        function->inputs[i] = end_of(blo_graph_input_at(graph, i));
    for (int i = 0; i < n; i++)
        function->outputs[i] = end_of(outputs[i]);
    status = blo_buffer_create(context, blo_plan_scratch_bytes(function->plan), &function->scratch);
    if (status != BLO_OK)
        goto fail;
    *result = function;
    return BLO_OK;
fail:
    blo_function_destroy(function);
    return status;
}

void blo_function_destroy(blo_function *function) {
    if (!function)
        return;
    blo_plan_destroy(function->plan);
    blo_buffer_release(function->scratch);
    free(function->inputs);
    free(function->outputs);
    free(function->input_places);
    free(function->output_places);
    free(function);
}

static blo_status check_tensor(const blo_function *function, const char *what, int i, const end *wanted,
                               const blo_tensor *tensor) {
    if (!tensor)
        return blo_fail(function->context, BLO_ERROR_ARGUMENT, "blo_function_call: %s %d is NULL", what, i);
    if (blo_tensor_context(tensor) != function->context)
        return blo_fail(function->context, BLO_ERROR_ARGUMENT, "blo_function_call: %s %d belongs to another context",
                        what, i);
    if (blo_tensor_dtype(tensor) != wanted->dtype)
        return blo_fail(function->context, BLO_ERROR_DTYPE, "blo_function_call: %s %d is %s, %s is wanted", what, i,
                        blo_dtype_name(blo_tensor_dtype(tensor)), blo_dtype_name(wanted->dtype));
    if (blo_tensor_rank(tensor) != wanted->rank)
        return blo_fail(function->context, BLO_ERROR_SHAPE, "blo_function_call: %s %d has %d axes, %d are wanted", what,
                        i, blo_tensor_rank(tensor), wanted->rank);
    for (int axis = 0; axis < wanted->rank; axis++)
        if (blo_tensor_shape(tensor)[axis] != wanted->shape[axis])
            return blo_fail(function->context, BLO_ERROR_SHAPE,
                            "blo_function_call: axis %d of %s %d has extent %lld, %lld is wanted", axis, what, i,
                            (long long)blo_tensor_shape(tensor)[axis], (long long)wanted->shape[axis]);
    return BLO_OK;
}

blo_status blo_function_call(blo_function *function, int n_inputs, blo_tensor *const *inputs, int n_outputs,
                             blo_tensor *const *outputs) {
    if (!function)
        return BLO_ERROR_ARGUMENT;
    if (n_inputs != function->n_inputs || n_outputs != function->n_outputs)
        return blo_fail(function->context, BLO_ERROR_ARGUMENT,
                        "blo_function_call: %d inputs and %d outputs given, %d and %d are wanted", n_inputs, n_outputs,
                        function->n_inputs, function->n_outputs);
    blo_status status = BLO_OK;
    for (int i = 0; i < n_inputs && status == BLO_OK; i++) {
        if (!blo_plan_uses_input(function->plan, i))
            continue;
        status = check_tensor(function, "input", i, &function->inputs[i], inputs[i]);
        if (status == BLO_OK)
            function->input_places[i].buffer = blo_tensor_buffer(inputs[i]);
    }
    for (int i = 0; i < n_outputs && status == BLO_OK; i++) {
        status = check_tensor(function, "output", i, &function->outputs[i], outputs[i]);
        for (int j = 0; j < n_inputs && status == BLO_OK; j++)
            if (inputs[j] == outputs[i])
                status =
                    blo_fail(function->context, BLO_ERROR_ARGUMENT, "blo_function_call: output %d is input %d", i, j);
        if (status == BLO_OK)
            function->output_places[i].buffer = blo_tensor_buffer(outputs[i]);
    }
    if (status == BLO_OK)
        status = blo_plan_enqueue(function->plan, function->input_places, function->output_places, function->scratch);
    for (int i = 0; i < n_outputs && status == BLO_OK; i++)
        blo_tensor_touch(outputs[i]);
    return status;
}
