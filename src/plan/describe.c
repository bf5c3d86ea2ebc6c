/* What each launch of a plan computes, in words, and what it costs: for the profile. Changes nothing of the plan.
 *
 * Flops: 2 m n k of a product; else, for every node that a kernel evaluates, its elements times the cost of its
 * operation (analyse.c), movement and constants for nothing. Bytes: every array a kernel reads or writes, once; of one
 * that is read through a gather or a slice only as much as these give. */
#include "lower.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAMES = 6 };

/* The expression of a group: its nodes that are no arrays, visited once. */
typedef struct survey {
    const blo_lowering *lowering;
    bool *seen;            /* [n_nodes] */
    const blo_node **todo; /* [n_nodes] */
    int n_todo;
    double flops, partial_bytes; /* PARTIAL_BYTES: what gathers and slices leave unread of arrays */
    const blo_node *largest;
    unsigned char used[BLO_OP_COUNT];
} survey;

static bool is_array(const survey *s, const blo_node *node) {
    return node->op == BLO_OP_INPUT || s->lowering->facts[node->id].root;
}

static void visit(survey *s, const blo_node *node) {
    s->flops += blo_node_flops(node);
    s->used[node->op] = 1;
    if (!s->largest || node->count > s->largest->count)
        s->largest = node;
    for (int i = 0; i < node->n_in; i++) {
        const blo_node *operand = node->in[i];
        bool partly = (node->op == BLO_OP_GATHER && i == 0) || node->op == BLO_OP_SLICE;
        if (is_array(s, operand) && partly && node->count < operand->count)
            s->partial_bytes += (double)((operand->count - node->count) * (int64_t)blo_dtype_size(operand->dtype));
        if (operand->count > s->largest->count && !is_array(s, operand))
            s->largest = operand;
        if (s->seen[operand->id] || is_array(s, operand))
            continue;
        s->seen[operand->id] = true;
        s->todo[s->n_todo++] = operand;
    }
}

static blo_status look(survey *s, const blo_lowering *lowering, const blo_group *group) {
    size_t n = (size_t)lowering->n_nodes + 1;
    *s = (survey){.lowering = lowering, .seen = calloc(n, sizeof *s->seen), .todo = calloc(n, sizeof *s->todo)};
    for (int rider = -1; s->seen && s->todo && rider < group->n_riders; rider++) {
        const blo_group *part = rider < 0 ? group : &lowering->groups[group->riders[rider]];
        for (int i = 0; i < part->n_roots; i++) {
            s->seen[part->roots[i]] = true;
            s->todo[s->n_todo++] = blo_graph_node(lowering->graph, part->roots[i]);
        }
    }
    while (s->n_todo > 0)
        visit(s, s->todo[--s->n_todo]);
    bool fits = s->seen && s->todo;
    free(s->seen);
    free(s->todo);
    return fits ? BLO_OK : blo_fail(lowering->context, BLO_ERROR_MEMORY, "no host memory to describe a plan");
}

/* --- words --- */

static void add_words(char text[BLO_STEP_WHAT], const char *format, const char *words) {
    size_t length = strlen(text);
    snprintf(text + length, BLO_STEP_WHAT - length, format, words);
}

static void add_shape(char text[BLO_STEP_WHAT], const blo_node *node) {
    char number[32];
    if (node->rank == 0)
        add_words(text, "%s", " scalar");
    for (int i = 0; i < node->rank; i++) {
        snprintf(number, sizeof number, "%s%" PRId64, i ? "x" : " ", node->shape[i]);
        add_words(text, "%s", number);
    }
}

/* Comparisons and choices say little of what a kernel is for. */
static bool is_telling(blo_op op) {
    const blo_node one = {.op = op};
    return (blo_node_computes(&one) && !(op >= BLO_OP_LT && op <= BLO_OP_SELECT)) || op == BLO_OP_GATHER ||
           op == BLO_OP_MATMUL || (op >= BLO_OP_CONV && op <= BLO_OP_POOL_PUT);
}

/* The costliest operations first: they tell a softmax from an update. */
static void add_operations(char text[BLO_STEP_WHAT], const survey *s) {
    static const int64_t costs[] = {INT64_MAX, 10, 4, 0}; /* limits of the rounds */
    int named = 0, left = 0;
    for (int round = 1; round < (int)(sizeof costs / sizeof costs[0]); round++)
        for (int op = 0; op < BLO_OP_COUNT; op++) {
            int64_t cost = blo_op_cost((blo_op)op);
            if (!s->used[op] || cost < costs[round] || cost >= costs[round - 1] || !is_telling((blo_op)op))
                continue;
            if (named < MOST_NAMES)
                add_words(text, named++ ? " %s" : "%s", blo_op_name((blo_op)op));
            else
                left++;
        }
    if (left)
        add_words(text, "%s", " ...");
    if (!named)
        add_words(text, "%s", "move");
}

static void add_product(char text[BLO_STEP_WHAT], const blo_node *node) {
    const blo_node *a = node->in[0];
    char sizes[96];
    int64_t m = node->shape[node->rank - 2], n = node->shape[node->rank - 1];
    int64_t k = a->shape[a->rank - (node->attr.matmul.transpose_a ? 2 : 1)];
    snprintf(sizes, sizeof sizes, "matmul %" PRId64 "x%" PRId64 "x%" PRId64, m, k, n);
    add_words(text, "%s", sizes);
    snprintf(sizes, sizeof sizes, ", batch of %" PRId64, m * n > 0 ? node->count / (m * n) : 0);
    if (m * n > 0 && node->count != m * n)
        add_words(text, "%s", sizes);
}

static bool starts_with(const char *name, const char *start) {
    return name && strncmp(name, start, strlen(start)) == 0;
}

/* Launches of a large product: the product itself with what rides, and what stands around it. */
static void describe_product(blo_plan_step *step, const blo_group *group, const blo_node *node, survey *s) {
    bool whole = !step->text || (starts_with(step->name, "blo_gemm_") && !starts_with(step->name, "blo_gemm_sum_"));
    const char *aside = starts_with(step->name, "blo_pack_")       ? "pack for "
                        : starts_with(step->name, "blo_gemm_sum_") ? "sum of ranges of "
                                                                   : "copy of ";
    if (!whole)
        add_words(step->what, "%s", aside);
    add_product(step->what, node);
    if (!step->text)
        add_words(step->what, "%s", " (CLBlast)");
    step->flops = whole ? blo_node_flops(node) : 0;
    if (whole && group->n_riders > 0) {
        add_words(step->what, "%s", ", then ");
        s->used[BLO_OP_MATMUL] = 0;
        add_operations(step->what, s);
        step->flops = s->flops;
    }
}

/* Launches of a large convolution. */
static void describe_convolution(blo_plan_step *step, const blo_node *node) {
    const blo_node *images = node->op == BLO_OP_CONV ? node : node->in[node->op == BLO_OP_CONV_WEIGHT];
    const blo_node *weight = node->op == BLO_OP_CONV_WEIGHT ? node : node->in[1];
    bool whole = starts_with(step->name, "blo_conv_float_") || starts_with(step->name, "blo_conv_double_") ||
                 starts_with(step->name, "blo_conv_weight_");
    const char *aside = starts_with(step->name, "blo_conv_pack_")  ? "pack for "
                        : starts_with(step->name, "blo_conv_sum_") ? "sum of ranges of "
                                                                   : "copy of ";
    if (!whole)
        add_words(step->what, "%s", aside);
    add_words(step->what, "%s", blo_op_name(node->op));
    add_shape(step->what, images);
    add_words(step->what, "%s", " by");
    add_shape(step->what, weight);
    step->flops = whole ? blo_node_flops(node) : 0;
}

static void describe_kernel(blo_plan_step *step, const blo_group *group, const blo_node *root, const survey *s,
                            bool first) {
    if (step->copies) {
        add_words(step->what, "copy of %s", blo_op_name(root->op));
        add_shape(step->what, root);
        return;
    }
    if (group->kind == BLO_GROUP_REDUCE && !first) {
        add_words(step->what, "partial results of %s", blo_op_name(root->op));
        add_shape(step->what, root);
        return;
    }
    add_operations(step->what, s);
    add_shape(step->what, group->kind == BLO_GROUP_REDUCE ? root->in[0] : s->largest);
    step->flops = s->flops;
}

static double bytes_of(const blo_lowering *lowering, const blo_plan_step *step) {
    double bytes = 0;
    for (int i = 0; i < step->n_arguments; i++)
        if (step->arguments[i].is_array)
            bytes += (double)lowering->arrays[step->arguments[i].array].bytes;
    return bytes;
}

blo_status blo_lower_describe(blo_lowering *lowering) {
    blo_status status = BLO_OK;
    for (int i = 0; i < lowering->n_steps && status == BLO_OK; i++) {
        blo_plan_step *step = &lowering->steps[i];
        const blo_group *group = &lowering->groups[step->group];
        const blo_node *root = blo_graph_node(lowering->graph, group->roots[0]);
        bool first = i == 0 || lowering->steps[i - 1].group != step->group;
        survey s;
        status = look(&s, lowering, group);
        step->dtype = root->dtype;
        step->bytes = bytes_of(lowering, step);
        if (group->kind == BLO_GROUP_PRODUCT && !blo_product_is_small(root))
            describe_product(step, group, root, &s);
        else if (group->kind == BLO_GROUP_CONVOLUTION && !blo_convolution_is_small(root))
            describe_convolution(step, root);
        else
            describe_kernel(step, group, root, &s, first);
        if (step->bytes > s.partial_bytes)
            step->bytes -= s.partial_bytes;
    }
    return status;
}
