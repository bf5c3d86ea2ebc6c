/* Plans: lowering a graph, building its kernels as one program, and queueing it; see plan.h. */
#include "lower.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct blo_plan {
    blo_context *context;
    int n_inputs, n_outputs, n_arrays, n_steps;
    uint64_t *output_bytes;
    bool *uses_input;
    blo_plan_array *arrays;
    blo_plan_step *steps;
    uint64_t scratch_bytes;
    blo_store *store; /* of what depends on fixed inputs only; NULL: not prepared yet */
    uint64_t stamp;   /* of the contents of KEPT */
    bool built;       /* has its kernels, with what is bound for good */
    uint64_t serial;  /* see blo_plan_serial() */
};

/* --- what the passes share --- */

int blo_lower_array(blo_lowering *lowering, blo_array_kind kind, int index, blo_dtype dtype, int64_t count) {
    if (lowering->n_arrays == lowering->arrays_capacity) {
        int capacity = lowering->arrays_capacity ? 2 * lowering->arrays_capacity : 16;
        blo_plan_array *arrays = realloc(lowering->arrays, (size_t)capacity * sizeof *arrays);
        if (!arrays) {
            lowering->failed = true;
            return -1;
        }
        lowering->arrays = arrays;
        lowering->arrays_capacity = capacity;
    }
    lowering->arrays[lowering->n_arrays] = (blo_plan_array){
        .kind = kind, .index = index, .dtype = dtype, .bytes = (uint64_t)count * blo_dtype_size(dtype)};
    return lowering->n_arrays++;
}

int blo_lower_node_array(blo_lowering *lowering, const blo_node *node) {
    blo_node_facts *facts = &lowering->facts[node->id];
    if (facts->array >= 0)
        return facts->array;
    blo_array_kind kind = node->op == BLO_OP_INPUT ? BLO_ARRAY_INPUT : BLO_ARRAY_TEMPORARY;
    int index = node->op == BLO_OP_INPUT ? node->attr.input : 0;
    for (int j = lowering->n_outputs - 1; kind != BLO_ARRAY_INPUT && j >= 0; j--)
        if (lowering->outputs[j] == node) {
            kind = BLO_ARRAY_OUTPUT;
            index = j;
        }
    facts->array = blo_lower_array(lowering, kind, index, node->dtype, node->count);
    return facts->array;
}

blo_plan_step *blo_lower_step(blo_lowering *lowering) {
    if (lowering->n_steps == lowering->steps_capacity) {
        int capacity = lowering->steps_capacity ? 2 * lowering->steps_capacity : 8;
        blo_plan_step *steps = realloc(lowering->steps, (size_t)capacity * sizeof *steps);
        if (!steps)
            return NULL;
        lowering->steps = steps;
        lowering->steps_capacity = capacity;
    }
    blo_plan_step *step = &lowering->steps[lowering->n_steps++];
    memset(step, 0, sizeof *step);
    step->global[1] = step->global[2] = step->local[1] = step->local[2] = 1;
    return step;
}

static void free_steps(blo_plan_step *steps, int n) {
    for (int i = 0; i < n; i++) {
        blo_kernel_release(steps[i].kernel);
        free(steps[i].name);
        free(steps[i].text);
    }
    free(steps);
}

void blo_lower_free(blo_lowering *lowering) {
    for (int g = 0; g < lowering->n_groups; g++)
        free(lowering->groups[g].uses);
    free(lowering->groups);
    free(lowering->order);
    free(lowering->packed);
    free(lowering->conv_packed);
    free(lowering->facts);
    free(lowering->arrays);
    free_steps(lowering->steps, lowering->n_steps);
}

/* --- building --- */

/* A row of the profile for each launch, if there is a profile. */
static void add_rows(blo_context *context, blo_plan_step *steps, int n_steps) {
    for (int i = 0; i < n_steps; i++) {
        blo_plan_step *step = &steps[i];
        const blo_work work = {
            .part = "other", .what = step->what, .dtype = step->dtype, .flops = step->flops, .bytes = step->bytes};
        step->row = step->call.row = blo_profile_add(context, &work);
    }
}

/* Sources of the plan's kernels, malloc'ed; NULL: no memory, which is told. */
static blo_kernel_source *sources_of(const blo_plan *plan, int *n) {
    blo_kernel_source *sources = calloc((size_t)plan->n_steps + 1, sizeof *sources);
    *n = 0;
    if (!sources)
        blo_fail(plan->context, BLO_ERROR_MEMORY, "no host memory to build %d kernels", plan->n_steps);
    for (int i = 0; sources && i < plan->n_steps; i++)
        if (plan->steps[i].text)
            sources[(*n)++] = (blo_kernel_source){.name = plan->steps[i].name, .text = plan->steps[i].text};
    return sources;
}

blo_status blo_plan_want(const blo_plan *plan) {
    if (plan->built)
        return BLO_OK;
    int n;
    blo_kernel_source *sources = sources_of(plan, &n);
    blo_status status = sources ? blo_kernels_want(plan->context, n, sources) : BLO_ERROR_MEMORY;
    free(sources);
    return status;
}

static blo_status get_kernels(blo_plan *plan) {
    int n;
    blo_kernel_source *sources = sources_of(plan, &n);
    blo_kernel **kernels = calloc((size_t)n + 1, sizeof *kernels);
    blo_status status = BLO_ERROR_MEMORY;
    if (sources && !kernels)
        blo_fail(plan->context, status, "no host memory to build %d kernels", n);
    else if (sources)
        status = blo_kernels_get(plan->context, n, sources, kernels);
    n = 0;
    for (int i = 0; i < plan->n_steps && status == BLO_OK; i++)
        if (plan->steps[i].text) {
            plan->steps[i].kernel = kernels[n++];
            blo_kernel_set_row(plan->steps[i].kernel, plan->steps[i].row);
        }
    free(sources);
    free(kernels);
    return status;
}

/* Values are bound for good. */
static blo_status bind_values(const blo_plan_step *step) {
    blo_status status = BLO_OK;
    int position = 0;
    for (int i = 0; step->kernel && i < step->n_arguments && status == BLO_OK; i++) {
        if (!step->arguments[i].is_array)
            status = blo_kernel_set_ulong(step->kernel, position, step->arguments[i].value);
        position += step->arguments[i].is_array ? 2 : 1;
    }
    return status;
}

blo_status blo_plan_build(blo_plan *plan) {
    if (plan->built)
        return BLO_OK;
    bool has_kernels = false;
    for (int i = 0; i < plan->n_steps; i++)
        has_kernels = has_kernels || plan->steps[i].kernel;
    blo_status status = has_kernels ? BLO_OK : get_kernels(plan);
    for (int i = 0; i < plan->n_steps && status == BLO_OK; i++)
        status = bind_values(&plan->steps[i]);
    plan->built = status == BLO_OK;
    return status;
}

/* Input and output facts that outlive the graph. */
static blo_status describe_ends(blo_plan *plan, const blo_lowering *lowering) {
    plan->n_inputs = blo_graph_inputs(lowering->graph);
    plan->n_outputs = lowering->n_outputs;
    plan->output_bytes = calloc((size_t)plan->n_outputs + 1, sizeof *plan->output_bytes);
    plan->uses_input = calloc((size_t)plan->n_inputs + 1, sizeof *plan->uses_input);
    if (!plan->output_bytes || !plan->uses_input)
        return blo_fail(plan->context, BLO_ERROR_MEMORY, "no host memory for a plan");
    for (int i = 0; i < plan->n_outputs; i++)
        plan->output_bytes[i] = (uint64_t)lowering->outputs[i]->count * blo_dtype_size(lowering->outputs[i]->dtype);
    for (int s = 0; s < lowering->n_steps; s++)
        for (int j = 0; j < lowering->steps[s].n_arguments; j++) {
            const blo_plan_argument *argument = &lowering->steps[s].arguments[j];
            if (argument->is_array && lowering->arrays[argument->array].kind == BLO_ARRAY_INPUT)
                plan->uses_input[lowering->arrays[argument->array].index] = true;
        }
    return BLO_OK;
}

blo_status blo_lower(blo_lowering *lowering) {
    lowering->device = blo_context_facts(lowering->context);
    lowering->graph = blo_node_graph(lowering->outputs[0]);
    lowering->n_nodes = blo_graph_nodes(lowering->graph);
    lowering->facts = calloc((size_t)lowering->n_nodes + 1, sizeof *lowering->facts);
    bool *live = calloc((size_t)lowering->n_nodes + 1, sizeof *live);
    blo_status status = BLO_OK;
    if (!lowering->facts || !live)
        status = blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan %d nodes", lowering->n_nodes);
    if (status == BLO_OK) {
        blo_graph_mark_live(lowering->n_outputs, lowering->outputs, live);
        for (int id = 0; id < lowering->n_nodes; id++)
            lowering->facts[id].live = live[id];
        status = blo_lower_analyse(lowering);
    }
    free(live);
    if (status == BLO_OK)
        status = blo_lower_group(lowering);
    if (status == BLO_OK)
        status = blo_lower_ride(lowering);
    if (status == BLO_OK)
        status = blo_lower_order(lowering);
    if (status == BLO_OK)
        status = blo_lower_kernels(lowering);
    if (status == BLO_OK && lowering->failed)
        status = blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to plan %d nodes", lowering->n_nodes);
    if (status == BLO_OK && blo_context_profiles(lowering->context)) /* before sizes are rounded up */
        status = blo_lower_describe(lowering);
    return status == BLO_OK ? blo_lower_place(lowering) : status;
}

blo_status blo_lower_check(blo_context *context, int n, blo_node *const *outputs) {
    for (int i = 0; i < n; i++) {
        if (!outputs[i])
            return blo_fail(context, BLO_ERROR_ARGUMENT,
                            "output %d of the graph is NULL: an operation before it failed", i);
        if (outputs[i]->graph != outputs[0]->graph)
            return blo_fail(context, BLO_ERROR_ARGUMENT, "output %d belongs to another graph than output 0", i);
    }
    blo_graph *graph = n > 0 ? blo_node_graph(outputs[0]) : NULL;
    if (graph && blo_graph_status(graph) != BLO_OK)
        return blo_fail(context, blo_graph_status(graph), "%s", blo_graph_error(graph));
    return n > 0 ? BLO_OK : blo_fail(context, BLO_ERROR_ARGUMENT, "a plan needs at least one output");
}

blo_status blo_plan_lower(blo_context *context, int n, blo_node *const *outputs, const bool *fixed, blo_plan **result) {
    *result = NULL;
    blo_status status = blo_lower_check(context, n, outputs);
    if (status != BLO_OK)
        return status;
    double start = blo_seconds(), built = blo_context_counters(context)->seconds_build;
    blo_lowering lowering = {.context = context, .n_outputs = n, .outputs = outputs, .fixed = fixed};
    blo_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a plan");
    plan->context = context;
    plan->serial = blo_context_next_serial(context);
    status = blo_lower(&lowering);
    if (status == BLO_OK)
        status = describe_ends(plan, &lowering);
    if (status == BLO_OK)
        add_rows(context, lowering.steps, lowering.n_steps);
    if (status != BLO_OK)
        goto done;
    plan->steps = lowering.steps;
    plan->n_steps = lowering.n_steps;
    plan->arrays = lowering.arrays;
    plan->n_arrays = lowering.n_arrays;
    plan->scratch_bytes = lowering.scratch_bytes;
    lowering.steps = NULL;
    lowering.n_steps = 0;
    lowering.arrays = NULL;
    *result = plan;
    plan = NULL;
done:
    blo_lower_free(&lowering);
    blo_plan_destroy(plan);
    blo_context_counters(context)->seconds_build = built + blo_seconds() - start; /* building inside is counted once */
    return status;
}

blo_status blo_plan_create(blo_context *context, int n, blo_node *const *outputs, const bool *fixed,
                           blo_plan **result) {
    blo_plan *plan = NULL;
    *result = NULL;
    blo_status status = blo_plan_lower(context, n, outputs, fixed, &plan);
    if (status == BLO_OK)
        status = blo_plan_want(plan);
    if (status == BLO_OK)
        *result = plan;
    else
        blo_plan_destroy(plan);
    return status;
}

/* Its launches read other arrays than before, if any of those it keeps is stored, or was. */
static void renew_serial(blo_plan *plan) {
    for (int i = 0; i < plan->n_arrays; i++)
        if (plan->arrays[i].stored)
            plan->serial = blo_context_next_serial(plan->context);
}

static void release_stored(blo_plan *plan) {
    renew_serial(plan);
    for (int i = 0; plan->store && i < plan->n_arrays; i++) {
        blo_store_release(plan->store, plan->arrays[i].stored);
        plan->arrays[i].stored = NULL;
    }
    plan->store = NULL;
}

void blo_plan_destroy(blo_plan *plan) {
    if (!plan)
        return;
    free_steps(plan->steps, plan->n_steps);
    release_stored(plan);
    free(plan->arrays);
    free(plan->output_bytes);
    free(plan->uses_input);
    free(plan);
}

void blo_plan_set_part(blo_plan *plan, const char *part) {
    for (int s = 0; s < plan->n_steps; s++)
        blo_profile_set_part(plan->context, plan->steps[s].row, part);
}

int blo_plan_inputs(const blo_plan *plan) {
    return plan->n_inputs;
}

bool blo_plan_uses_input(const blo_plan *plan, int index) {
    return plan->uses_input[index];
}

int blo_plan_outputs(const blo_plan *plan) {
    return plan->n_outputs;
}

uint64_t blo_plan_output_bytes(const blo_plan *plan, int index) {
    return plan->output_bytes[index];
}

int blo_plan_launches(const blo_plan *plan) {
    return plan->n_steps;
}

bool blo_plan_calls_library(const blo_plan *plan) {
    for (int i = 0; i < plan->n_steps; i++)
        if (!plan->steps[i].text)
            return true;
    return false;
}

uint64_t blo_plan_serial(const blo_plan *plan) {
    return plan->serial;
}

uint64_t blo_plan_scratch_bytes(const blo_plan *plan) {
    return plan->scratch_bytes;
}

uint64_t blo_plan_kept_bytes(const blo_plan *plan) {
    uint64_t bytes = 0;
    for (int i = 0; i < plan->n_arrays; i++)
        bytes += plan->arrays[i].kept ? plan->arrays[i].bytes : 0;
    return bytes;
}

/* --- running --- */

static blo_status call_library(blo_plan *plan, blo_plan_step *step, const blo_place *places) {
    uint64_t size = blo_dtype_size(step->call.dtype);
    blo_gemm_call call = step->call;
    call.a = places[0].buffer;
    call.b = places[1].buffer;
    call.c = (blo_buffer *)(uintptr_t)places[2].buffer; /* an output or the scratch: written to */
    call.a_offset = places[0].offset / size;
    call.b_offset = places[1].offset / size;
    call.c_offset = places[2].offset / size;
    return blo_clblast_gemm(plan->context, &call);
}

/* Binds what differs from the last time. */
static blo_status bind(const blo_plan *plan, blo_plan_step *step, const blo_place *places) {
    blo_status status = BLO_OK;
    int position = 0;
    for (int i = 0; i < step->n_arguments && status == BLO_OK; i++) {
        if (!step->arguments[i].is_array) {
            position++;
            continue;
        }
        uint64_t size = blo_dtype_size(plan->arrays[step->arguments[i].array].dtype);
        uint64_t serial = blo_buffer_serial(places[i].buffer);
        bool same = step->bound[i].serial == serial;
        if (!same)
            status = blo_kernel_set_buffer(step->kernel, position, places[i].buffer);
        if (status == BLO_OK && (!same || step->bound[i].offset != places[i].offset))
            status = blo_kernel_set_ulong(step->kernel, position + 1, places[i].offset / size);
        step->bound[i] = status == BLO_OK ? (blo_binding){serial, places[i].offset} : (blo_binding){0};
        position += 2;
    }
    return status;
}

static blo_place place_of(const blo_plan_array *array, const blo_place *inputs, const blo_place *outputs,
                          const blo_buffer *scratch) {
    if (array->kind == BLO_ARRAY_INPUT)
        return inputs[array->index];
    if (array->kind == BLO_ARRAY_OUTPUT)
        return outputs[array->index];
    return array->stored ? (blo_place){array->stored->buffer, 0} : (blo_place){scratch, array->offset};
}

static blo_status queue_step(blo_plan *plan, blo_plan_step *step, const blo_place *inputs, const blo_place *outputs,
                             const blo_buffer *scratch) {
    blo_place places[BLO_MAX_ARGUMENTS] = {{0}};
    for (int i = 0; i < step->n_arguments; i++)
        if (step->arguments[i].is_array)
            places[i] = place_of(&plan->arrays[step->arguments[i].array], inputs, outputs, scratch);
    if (!step->text)
        return call_library(plan, step, places);
    blo_status status = bind(plan, step, places);
    return status == BLO_OK ? blo_kernel_launch(step->kernel, 3, step->global, step->local) : status;
}

/* --- what stays over many runs --- */

/* The array that a fixed step writes. */
static blo_plan_array *kept_of(const blo_plan *plan, const blo_plan_step *step) {
    for (int i = 0; i < step->n_arguments; i++)
        if (step->arguments[i].is_array && plan->arrays[step->arguments[i].array].kept)
            return &plan->arrays[step->arguments[i].array];
    return NULL;
}

/* Equal keys, equal contents: the kernel, its values, where its inputs lie, and the STAMP of what they hold. */
static void key_of(const blo_plan *plan, const blo_plan_step *step, const blo_place *inputs, uint64_t stamp,
                   blo_text *key) {
    blo_text_add(key, "%s %" PRIu64, step->name, stamp);
    for (int i = 0; i < step->n_arguments; i++) {
        const blo_plan_argument *argument = &step->arguments[i];
        const blo_plan_array *array = argument->is_array ? &plan->arrays[argument->array] : NULL;
        if (!array)
            blo_text_add(key, " %" PRIu64, argument->value);
        else if (array->kind == BLO_ARRAY_INPUT)
            blo_text_add(key, " %" PRIu64 "+%" PRIu64, blo_buffer_serial(inputs[array->index].buffer),
                         inputs[array->index].offset);
        else
            blo_text_add(key, " [%" PRIu64 "]", array->bytes);
    }
}

/* Finds what a fixed step computes in the store, or computes it into the store, if half of what the pool has left is
 * room enough: as much is for others. */
static blo_status store_step(blo_plan *plan, blo_plan_step *step, const blo_place *inputs, uint64_t stamp,
                             uint64_t budget) {
    blo_plan_array *array = kept_of(plan, step);
    blo_text key = {0};
    blo_status status = BLO_OK;
    key_of(plan, step, inputs, stamp, &key);
    if (!array || key.failed)
        goto done;
    array->stored = blo_store_find(plan->store, key.data);
    if (array->stored || blo_pool_available(plan->context, budget) / 2 < array->bytes)
        goto done;
    status = blo_store_add(plan->store, plan->context, key.data, array->bytes, &array->stored);
    if (status == BLO_OK)
        status = queue_step(plan, step, inputs, NULL, NULL);
done:
    blo_text_free(&key);
    return status;
}

blo_status blo_plan_prepare(blo_plan *plan, blo_store *store, const blo_place *inputs, uint64_t stamp,
                            uint64_t budget) {
    if (plan->store && plan->stamp == stamp)
        return BLO_OK;
    blo_status status = blo_plan_build(plan);
    if (status != BLO_OK)
        return status;
    release_stored(plan);
    plan->store = store;
    plan->stamp = stamp;
    for (int s = 0; s < plan->n_steps && status == BLO_OK; s++)
        if (plan->steps[s].fixed)
            status = store_step(plan, &plan->steps[s], inputs, stamp, budget);
    renew_serial(plan);
    if (status != BLO_OK) /* half of it is there: each run computes it */
        release_stored(plan);
    return status;
}

blo_status blo_plan_enqueue(blo_plan *plan, const blo_place *inputs, const blo_place *outputs,
                            const blo_buffer *scratch) {
    blo_status status = plan->built ? BLO_OK : blo_plan_build(plan);
    for (int s = 0; s < plan->n_steps && status == BLO_OK; s++) {
        const blo_plan_array *kept = plan->steps[s].fixed ? kept_of(plan, &plan->steps[s]) : NULL;
        if (!kept || !kept->stored)
            status = queue_step(plan, &plan->steps[s], inputs, outputs, scratch);
    }
    return status;
}
