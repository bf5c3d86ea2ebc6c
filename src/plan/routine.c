/* Routines: the passes of a plan, their launches written as functions and called in order; see routine.h. */
#include "routine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"

enum { LANES = 128 }; /* items of the work-group where it is not a CPU's: there one item does it all */

struct blo_routine {
    char name[64];
    blo_text text; /* the functions */
    int n_inputs, n_outputs;
    bool *uses_input;
    blo_dtype *input_dtypes, *output_dtypes;
    uint64_t *output_bytes;
    uint64_t scratch_bytes;
    double work;
};

/* --- the work-group --- */

size_t blo_group_lanes(const blo_device_facts *facts) {
    return facts->is_cpu ? 1 : facts->max_work_group < LANES ? facts->max_work_group : LANES;
}

void blo_group_define(const blo_device_facts *facts, blo_text *text) {
    if (facts->is_cpu)
        blo_text_add(text, "#define BLO_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))\n#define BLO_LANE 0u\n"
                           "#define BLO_LANES 1u\n#define BLO_TOGETHER\n");
    else
        blo_text_add(text,
                     "#define BLO_GROUP __attribute__((reqd_work_group_size(%d, 1, 1)))\n"
                     "#define BLO_LANE ((uint)get_local_id(0))\n#define BLO_LANES %du\n"
                     "#define BLO_TOGETHER barrier(CLK_GLOBAL_MEM_FENCE)\n",
                     (int)blo_group_lanes(facts), (int)blo_group_lanes(facts));
}

/* --- what is known of a routine --- */

static blo_status no_memory(blo_context *context) {
    return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a routine");
}

static blo_status describe_ends(blo_routine *routine, const blo_lowering *lowering) {
    const int n_in = routine->n_inputs = blo_graph_inputs(lowering->graph),
              n_out = routine->n_outputs = lowering->n_outputs;
    routine->uses_input = calloc((size_t)n_in + 1, sizeof *routine->uses_input);
    routine->input_dtypes = calloc((size_t)n_in + 1, sizeof *routine->input_dtypes);
    routine->output_dtypes = calloc((size_t)n_out + 1, sizeof *routine->output_dtypes);
    routine->output_bytes = calloc((size_t)n_out + 1, sizeof *routine->output_bytes);
    if (!routine->uses_input || !routine->input_dtypes || !routine->output_dtypes || !routine->output_bytes)
        return no_memory(lowering->context);
    for (int i = 0; i < n_in; i++)
        routine->input_dtypes[i] = blo_graph_input_at(lowering->graph, i)->dtype;
    for (int i = 0; i < n_out; i++) {
        routine->output_dtypes[i] = lowering->outputs[i]->dtype;
        routine->output_bytes[i] = (uint64_t)lowering->outputs[i]->count * blo_dtype_size(routine->output_dtypes[i]);
    }
    for (int s = 0; s < lowering->n_steps; s++)
        for (int j = 0; j < lowering->steps[s].n_arguments; j++) {
            const blo_plan_argument *argument = &lowering->steps[s].arguments[j];
            if (argument->is_array && lowering->arrays[argument->array].kind == BLO_ARRAY_INPUT)
                routine->uses_input[lowering->arrays[argument->array].index] = true;
        }
    routine->scratch_bytes = lowering->scratch_bytes;
    return BLO_OK;
}

/* Operations of every root's elements. */
static double work_of(const blo_lowering *lowering) {
    double work = 0;
    for (int id = 0; id < lowering->n_nodes; id++) {
        const blo_node *node = blo_graph_node(lowering->graph, id);
        if (!lowering->facts[id].live || !lowering->facts[id].root)
            continue;
        double inner = 1;
        if (node->op == BLO_OP_MATMUL)
            inner = (double)node->in[0]->shape[node->in[0]->rank - (node->attr.matmul.transpose_a ? 2 : 1)];
        if (node->op == BLO_OP_SCATTER_ADD)
            inner = (double)node->in[1]->count;
        work += (double)node->count * inner * (double)lowering->facts[id].cost;
    }
    return work;
}

/* False where a launch is none of the generated kernels but a packed product or the like. */
static bool all_functions(const blo_lowering *lowering) {
    for (int s = 0; s < lowering->n_steps; s++)
        if (!lowering->steps[s].function)
            return false;
    return true;
}

/* --- text --- */

/* A launch as a function, defined once in a kernel however many routines contain it. */
static void define_launch(blo_text *text, const blo_plan_step *step) {
    const blo_text body = {.data = step->text, .length = strlen(step->text)};
    blo_text_add(text, "#ifndef HAS_%s\n#define HAS_%s\n", step->name, step->name);
    blo_text_append(text, &body);
    blo_text_add(text, "#endif\n");
}

static void add_array(blo_text *text, const blo_plan_array *array) {
    if (array->kind == BLO_ARRAY_INPUT)
        blo_text_add(text, "i%d", array->index);
    else if (array->kind == BLO_ARRAY_OUTPUT)
        blo_text_add(text, "q%d", array->index);
    else
        blo_text_add(text, "(__global %s *)(scratch + %" PRIu64 "ul)", blo_type_name(array->dtype), array->offset);
}

static void call_launch(blo_text *text, const blo_lowering *lowering, const blo_plan_step *step) {
    blo_text_add(text, "    %s(", step->name);
    for (int i = 0; i < step->n_arguments; i++) {
        const blo_plan_argument *argument = &step->arguments[i];
        blo_text_add(text, "%s", i ? ", " : "");
        if (argument->is_array) {
            add_array(text, &lowering->arrays[argument->array]);
            blo_text_add(text, ", 0ul");
        } else
            blo_text_add(text, "%" PRIu64 "ul", argument->value);
    }
    blo_text_add(text, ");\n    BLO_TOGETHER;\n");
}

static void define(blo_routine *routine, const blo_lowering *lowering) {
    blo_text *text = &routine->text;
    for (int s = 0; s < lowering->n_steps; s++)
        define_launch(text, &lowering->steps[s]);
    blo_text_add(text, "static void %s(", routine->name);
    for (int i = 0; i < routine->n_inputs; i++)
        if (routine->uses_input[i])
            blo_text_add(text, "__global const %s *i%d, ", blo_type_name(routine->input_dtypes[i]), i);
    for (int i = 0; i < routine->n_outputs; i++)
        blo_text_add(text, "__global %s *q%d, ", blo_type_name(routine->output_dtypes[i]), i);
    blo_text_add(text, "__global uchar *scratch) {\n");
    for (int s = 0; s < lowering->n_steps; s++)
        call_launch(text, lowering, &lowering->steps[s]);
    blo_text_add(text, "}\n");
}

void blo_routine_define(const blo_routine *routine, blo_text *text) {
    blo_text_append(text, &routine->text);
}

void blo_routine_call(const blo_routine *routine, blo_text *text, const char *const *inputs, const char *const *outputs,
                      const char *scratch) {
    blo_text_add(text, "    %s(", routine->name);
    for (int i = 0; i < routine->n_inputs; i++)
        if (routine->uses_input[i])
            blo_text_add(text, "(__global const %s *)(%s), ", blo_type_name(routine->input_dtypes[i]), inputs[i]);
    for (int i = 0; i < routine->n_outputs; i++)
        blo_text_add(text, "(__global %s *)(%s), ", blo_type_name(routine->output_dtypes[i]), outputs[i]);
    blo_text_add(text, "%s);\n", scratch);
}

/* --- life --- */

blo_status blo_routine_create(blo_context *context, const char *name, int n, blo_node *const *outputs,
                              blo_routine **result) {
    *result = NULL;
    blo_status status = blo_lower_check(context, n, outputs);
    if (status != BLO_OK)
        return status;
    blo_lowering lowering = {.context = context, .n_outputs = n, .outputs = outputs, .routine = true};
    blo_routine *routine = calloc(1, sizeof *routine);
    if (!routine)
        return no_memory(context);
    snprintf(routine->name, sizeof routine->name, "%s", name);
    status = blo_lower(&lowering);
    if (status != BLO_OK || !all_functions(&lowering))
        goto done;
    status = describe_ends(routine, &lowering);
    if (status != BLO_OK)
        goto done;
    routine->work = work_of(&lowering);
    define(routine, &lowering);
    if (routine->text.failed) {
        status = no_memory(context);
        goto done;
    }
    *result = routine;
    routine = NULL;
done:
    blo_lower_free(&lowering);
    blo_routine_destroy(routine);
    return status;
}

void blo_routine_destroy(blo_routine *routine) {
    if (!routine)
        return;
    blo_text_free(&routine->text);
    free(routine->uses_input);
    free(routine->input_dtypes);
    free(routine->output_dtypes);
    free(routine->output_bytes);
    free(routine);
}

int blo_routine_inputs(const blo_routine *routine) {
    return routine->n_inputs;
}

bool blo_routine_uses_input(const blo_routine *routine, int index) {
    return routine->uses_input[index];
}

int blo_routine_outputs(const blo_routine *routine) {
    return routine->n_outputs;
}

uint64_t blo_routine_output_bytes(const blo_routine *routine, int index) {
    return routine->output_bytes[index];
}

uint64_t blo_routine_scratch_bytes(const blo_routine *routine) {
    return routine->scratch_bytes;
}

double blo_routine_work(const blo_routine *routine) {
    return routine->work;
}
