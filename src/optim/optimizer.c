/* Optimizers over a model: one plan for all parameters, queued at each step on the model's gradients.
 * Knows nothing of bilevel problems; whose gradients they are is the caller's affair. */
#include "optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "nn/model.h"
#include "plan/in_place.h"
#include "step.h"

struct blo_optimizer {
    blo_model *model;
    blo_context *context;
    blo_optimizer_options options;
    bool boxed; /* every element to [box_lo,box_hi] after a step */
    double box_lo, box_hi;
    uint64_t form;         /* counts the changes of what is traced */
    int n, states;         /* parameters; state arrays of each */
    int32_t steps;         /* done */
    bool counted;          /* STEP holds just that number */
    int turn;              /* which of the two sets of state arrays is the present one */
    blo_buffer **state[2]; /* [n*states] each: a plan never writes over its inputs; the second only for one */
    blo_buffer **value;    /* [n]: a plan's new values, then copied into the model's tensors */
    blo_buffer *rate, *step, *scratch;
    /* inputs: values, gradients, states, rate, step; outputs: values, states */
    blo_in_place *in_place;     /* of few elements */
    blo_plan *plan;             /* of many; NULL where there is IN_PLACE */
    blo_place *places;          /* [inputs + outputs], filled at each step */
    const blo_buffer **buffers; /* [inputs] */
};

void blo_optimizer_options_default(blo_optimizer_options *options, blo_optimizer_kind kind) {
    if (!options)
        return;
    *options = (blo_optimizer_options){
        .kind = kind, .learning_rate = kind == BLO_ADAM ? 0.001 : 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
}

static int input_count(const blo_optimizer *optimizer) {
    return optimizer->n * (2 + optimizer->states) + 2;
}

static int output_count(const blo_optimizer *optimizer) {
    return optimizer->n * (1 + optimizer->states);
}

/* --- tracing and memory --- */

/* NODES [inputs + outputs]: the inputs of the step, then what it makes of them. */
static void trace(const blo_optimizer *optimizer, blo_graph *graph, blo_node **nodes) {
    const blo_model *model = optimizer->model;
    const int n = optimizer->n, states = optimizer->states;
    blo_node **values = nodes, **gradients = nodes + n, **old = nodes + 2 * n;
    blo_node **outputs = nodes + input_count(optimizer);
    for (int slot = 0; slot < 2 * n; slot++) {
        const blo_tensor *tensor = blo_model_value_at(model, slot % n);
        nodes[slot] = blo_graph_input(graph, blo_model_name(model, slot % n), blo_model_dtype(model),
                                      blo_tensor_rank(tensor), blo_tensor_shape(tensor));
    }
    for (int slot = 0; slot < n * states; slot++) {
        const blo_tensor *tensor = blo_model_value_at(model, slot / states);
        old[slot] =
            blo_graph_input(graph, "state", blo_model_dtype(model), blo_tensor_rank(tensor), blo_tensor_shape(tensor));
    }
    blo_node *rate = blo_graph_input(graph, "rate", blo_model_dtype(model), 0, NULL);
    blo_node *step = blo_graph_input(graph, "step", BLO_INT32, 0, NULL);
    for (int i = 0; i < n; i++) {
        outputs[i] = blo_step_trace(&optimizer->options, values[i], gradients[i], old + i * states, rate, step,
                                    outputs + n + i * states);
        if (optimizer->boxed)
            outputs[i] = blo_clamp(outputs[i], optimizer->box_lo, optimizer->box_hi);
    }
}

/* The step traced and lowered: to a plan, or to a routine of NAME if ROUTINE is given. */
static blo_status lower_step(const blo_optimizer *optimizer, blo_plan **plan, const char *name, blo_routine **routine) {
    blo_graph *graph = NULL;
    const int inputs = input_count(optimizer), outputs = output_count(optimizer);
    blo_node **nodes = calloc((size_t)(inputs + outputs), sizeof *nodes);
    blo_status status = nodes ? blo_graph_create(&graph) : BLO_ERROR_MEMORY;
    if (status != BLO_OK) {
        blo_fail(optimizer->context, status, "no memory for an optimizer");
        goto fail;
    }
    trace(optimizer, graph, nodes);
    status = blo_graph_status(graph);
    if (status != BLO_OK) {
        blo_fail(optimizer->context, status, "optimizer: %s", blo_graph_error(graph));
        goto fail;
    }
    status = routine ? blo_routine_create(optimizer->context, name, outputs, nodes + inputs, routine)
                     : blo_plan_lower(optimizer->context, outputs, nodes + inputs, NULL, plan);
fail:
    blo_graph_destroy(graph);
    free(nodes);
    return status;
}

/* The step of few elements as one kernel; NULL: it is to be a plan. */
static blo_status make_in_place(const blo_optimizer *optimizer, blo_in_place **in_place) {
    const int n = optimizer->n;
    blo_routine *routine = NULL;
    int *replaces = calloc((size_t)output_count(optimizer), sizeof *replaces);
    blo_status status = replaces ? lower_step(optimizer, NULL, "blo_step", &routine)
                                 : blo_fail(optimizer->context, BLO_ERROR_MEMORY, "no memory for an optimizer");
    for (int i = 0; status == BLO_OK && i < output_count(optimizer); i++)
        replaces[i] = i < n ? i : i + n;
    if (status == BLO_OK && routine && blo_in_place_fits(routine))
        status = blo_in_place_create(optimizer->context, routine, replaces, input_count(optimizer) - 1,
                                     "optimizer's step", in_place);
    blo_routine_destroy(routine);
    free(replaces);
    return status;
}

/* What steps the model, as the options are now; in a fresh copy of the optimizer. */
static blo_status make_step(blo_optimizer *optimizer) {
    optimizer->in_place = NULL;
    optimizer->plan = NULL;
    optimizer->scratch = NULL;
    blo_status status = make_in_place(optimizer, &optimizer->in_place);
    if (status != BLO_OK || optimizer->in_place)
        return status;
    status = lower_step(optimizer, &optimizer->plan, NULL, NULL);
    return status == BLO_OK ? blo_buffer_create(optimizer->context, (size_t)blo_plan_scratch_bytes(optimizer->plan),
                                                &optimizer->scratch)
                            : status;
}

static void drop_step(blo_optimizer *optimizer) {
    blo_in_place_destroy(optimizer->in_place);
    blo_plan_destroy(optimizer->plan);
    blo_buffer_release(optimizer->scratch);
}

static blo_status allocate(blo_optimizer *optimizer) {
    blo_context *context = optimizer->context;
    const int n = optimizer->n, states = optimizer->states, sets = optimizer->in_place ? 1 : 2;
    optimizer->value = calloc((size_t)n + 1, sizeof(blo_buffer *));
    optimizer->state[0] = calloc((size_t)(n * states) + 1, sizeof(blo_buffer *));
    optimizer->state[1] = calloc((size_t)(n * states) + 1, sizeof(blo_buffer *));
    optimizer->places = calloc((size_t)(input_count(optimizer) + output_count(optimizer)), sizeof(blo_place));
    optimizer->buffers = calloc((size_t)input_count(optimizer), sizeof *optimizer->buffers);
    if (!optimizer->value || !optimizer->state[0] || !optimizer->state[1] || !optimizer->places || !optimizer->buffers)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for an optimizer");
    blo_status status = blo_buffer_create(context, sizeof(double), &optimizer->rate);
    if (status == BLO_OK)
        status = blo_buffer_create(context, sizeof(int32_t), &optimizer->step);
    for (int i = 0; status == BLO_OK && !optimizer->in_place && i < n; i++)
        status =
            blo_buffer_create(context, blo_tensor_bytes(blo_model_value_at(optimizer->model, i)), &optimizer->value[i]);
    for (int i = 0; status == BLO_OK && i < sets * n * states; i++) {
        int slot = i / sets;
        size_t bytes = blo_tensor_bytes(blo_model_value_at(optimizer->model, slot / states));
        status = blo_buffer_create(context, bytes, &optimizer->state[i % sets][slot]);
        if (status == BLO_OK && i % sets == 0)
            status = blo_buffer_zero(context, optimizer->state[0][slot], 0, bytes);
    }
    return status;
}

static blo_status write_rate(blo_optimizer *optimizer) {
    double wide = optimizer->options.learning_rate;
    float narrow = (float)wide;
    bool is_double = blo_model_dtype(optimizer->model) == BLO_DOUBLE;
    return blo_buffer_write(optimizer->context, optimizer->rate, 0, is_double ? sizeof wide : sizeof narrow,
                            is_double ? (const void *)&wide : (const void *)&narrow);
}

blo_status blo_optimizer_create(blo_model *model, const blo_optimizer_options *options, blo_optimizer **optimizer) {
    if (!model || !optimizer)
        return BLO_ERROR_ARGUMENT;
    *optimizer = NULL;
    blo_context *context = blo_model_context(model);
    blo_optimizer *made = calloc(1, sizeof *made);
    if (!made)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory for an optimizer");
    if (options)
        made->options = *options;
    else
        blo_optimizer_options_default(&made->options, BLO_SGD);
    made->model = model;
    made->context = context;
    blo_status status = BLO_OK;
    const char *wrong = blo_step_check(&made->options);
    if (wrong) {
        status = blo_fail(context, BLO_ERROR_ARGUMENT, "optimizer: %s", wrong);
        goto fail;
    }
    made->n = blo_model_count(model);
    made->states = blo_step_states(&made->options);
    if (made->n == 0) {
        status = blo_fail(context, BLO_ERROR_ARGUMENT, "optimizer: the model has no parameters");
        goto fail;
    }
    status = make_step(made);
    if (status == BLO_OK)
        status = allocate(made);
    if (status == BLO_OK)
        status = write_rate(made);
    if (status != BLO_OK)
        goto fail;
    *optimizer = made;
    return BLO_OK;
fail:
    blo_optimizer_destroy(made);
    return status;
}

static void release_all(blo_buffer **buffers, int count) {
    for (int i = 0; buffers && i < count; i++)
        blo_buffer_release(buffers[i]);
    free(buffers);
}

void blo_optimizer_destroy(blo_optimizer *optimizer) {
    if (!optimizer)
        return;
    drop_step(optimizer);
    release_all(optimizer->value, optimizer->n);
    release_all(optimizer->state[0], optimizer->n * optimizer->states);
    release_all(optimizer->state[1], optimizer->n * optimizer->states);
    blo_buffer_release(optimizer->rate);
    blo_buffer_release(optimizer->step);
    free(optimizer->places);
    free(optimizer->buffers);
    free(optimizer);
}

/* --- stepping --- */

static void place_all(blo_optimizer *optimizer) {
    const int n = optimizer->n, arrays = optimizer->n * optimizer->states;
    blo_place *in = optimizer->places, *out = in + input_count(optimizer);
    for (int i = 0; i < n; i++) {
        in[i] = (blo_place){blo_tensor_buffer(blo_model_value_at(optimizer->model, i)), 0};
        in[n + i] = (blo_place){blo_tensor_buffer(blo_model_gradient_at(optimizer->model, i)), 0};
        out[i] = (blo_place){optimizer->value[i], 0};
    }
    for (int i = 0; i < arrays; i++) {
        in[2 * n + i] = (blo_place){optimizer->state[optimizer->turn][i], 0};
        out[n + i] = (blo_place){optimizer->state[1 - optimizer->turn][i], 0};
    }
    in[2 * n + arrays] = (blo_place){optimizer->rate, 0};
    in[2 * n + arrays + 1] = (blo_place){optimizer->step, 0};
}

static blo_status step_in_place(blo_optimizer *optimizer) {
    for (int i = 0; i < input_count(optimizer); i++)
        optimizer->buffers[i] = optimizer->places[i].buffer;
    blo_status status = blo_in_place_run(optimizer->in_place, optimizer->buffers);
    for (int i = 0; status == BLO_OK && i < optimizer->n; i++)
        blo_tensor_touch(blo_model_value_at(optimizer->model, i));
    optimizer->counted = status == BLO_OK; /* the kernel counts */
    return status;
}

static blo_status step_by_plan(blo_optimizer *optimizer) {
    blo_status status = blo_plan_enqueue(optimizer->plan, optimizer->places, optimizer->places + input_count(optimizer),
                                         optimizer->scratch);
    for (int i = 0; status == BLO_OK && i < optimizer->n; i++) {
        blo_tensor *value = blo_model_value_at(optimizer->model, i);
        status = blo_buffer_copy(optimizer->context, optimizer->value[i], 0, blo_tensor_buffer(value), 0,
                                 blo_tensor_bytes(value));
        blo_tensor_touch(value);
    }
    if (status == BLO_OK)
        optimizer->turn = 1 - optimizer->turn;
    return status;
}

blo_status blo_optimizer_step(blo_optimizer *optimizer) {
    if (!optimizer)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = optimizer->context;
    if (blo_model_count(optimizer->model) != optimizer->n)
        return blo_fail(context, BLO_ERROR_STATE,
                        "optimizer: the model has %d parameters, it had %d when the optimizer was made",
                        blo_model_count(optimizer->model), optimizer->n);
    place_all(optimizer);
    blo_status status = optimizer->counted ? BLO_OK : blo_optimizer_write_count(optimizer);
    if (status == BLO_OK)
        status = optimizer->in_place ? step_in_place(optimizer) : step_by_plan(optimizer);
    if (status != BLO_OK)
        return status;
    optimizer->steps++;
    return BLO_OK;
}

blo_status blo_optimizer_set_learning_rate(blo_optimizer *optimizer, double learning_rate) {
    if (!optimizer)
        return BLO_ERROR_ARGUMENT;
    if (!(learning_rate >= 0.0) || !isfinite(learning_rate))
        return blo_fail(optimizer->context, BLO_ERROR_ARGUMENT,
                        "optimizer: learning_rate %g is not finite and at least 0", learning_rate);
    double before = optimizer->options.learning_rate;
    optimizer->options.learning_rate = learning_rate;
    blo_status status = write_rate(optimizer);
    if (status != BLO_OK)
        optimizer->options.learning_rate = before;
    return status;
}

blo_status blo_optimizer_set_box(blo_optimizer *optimizer, double lo, double hi) {
    if (!optimizer)
        return BLO_ERROR_ARGUMENT;
    blo_context *context = optimizer->context;
    if (!(lo <= hi))
        return blo_fail(context, BLO_ERROR_ARGUMENT, "optimizer: lo %g is not at most hi %g", lo, hi);
    blo_optimizer changed = *optimizer;
    changed.boxed = !(isinf(lo) && lo < 0 && isinf(hi) && hi > 0);
    changed.box_lo = lo;
    changed.box_hi = hi;
    changed.form++;
    blo_status status = make_step(&changed);
    if (status != BLO_OK) {
        drop_step(&changed);
        return status;
    }
    drop_step(optimizer);
    *optimizer = changed;
    return BLO_OK;
}

/* --- as kernels that run whole upper iterations see it --- */

blo_model *blo_optimizer_model(const blo_optimizer *optimizer) {
    return optimizer->model;
}

int blo_optimizer_parameters(const blo_optimizer *optimizer) {
    return optimizer->n;
}

int blo_optimizer_arrays(const blo_optimizer *optimizer) {
    return optimizer->n * optimizer->states;
}

const blo_buffer *blo_optimizer_array(const blo_optimizer *optimizer, int i) {
    return optimizer->state[optimizer->turn][i];
}

const blo_buffer *blo_optimizer_rate(const blo_optimizer *optimizer) {
    return optimizer->rate;
}

const blo_buffer *blo_optimizer_count(const blo_optimizer *optimizer) {
    return optimizer->step;
}

uint64_t blo_optimizer_form(const blo_optimizer *optimizer) {
    return optimizer->form;
}

blo_status blo_optimizer_routine(const blo_optimizer *optimizer, const char *name, blo_routine **routine) {
    return lower_step(optimizer, NULL, name, routine);
}

blo_status blo_optimizer_write_count(blo_optimizer *optimizer) {
    optimizer->counted = false; /* who asks for it may change it */
    return blo_buffer_write(optimizer->context, optimizer->step, 0, sizeof optimizer->steps, &optimizer->steps);
}

void blo_optimizer_advance(blo_optimizer *optimizer, int steps) {
    optimizer->steps += steps;
}
