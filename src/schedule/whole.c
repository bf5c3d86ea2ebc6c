/* Kernels that run loops whole: building, binding, queueing and reading; see whole.h. What they do is cl/whole.cl's
 * affair, how it is written down whole_text.c's. */
#include "whole.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"
#include "whole_text.h"

enum { OWN_BUFFERS = 6 }; /* states, numbers, carry 0, carry 1, work, results: the first arguments */

/* A kernel and what its buffers were last bound to (serials; 0: nothing). */
typedef struct bound_kernel {
    char name[40];
    blo_text text;      /* freed once it is built */
    blo_kernel *kernel; /* NULL until the first launch of either */
    uint64_t *serials;  /* [OWN_BUFFERS + n_table]; of the sums also the flag's */
} bound_kernel;

struct blo_whole {
    blo_context *context;
    int steps, turns, n_table;
    blo_dtype dtype;
    bool every, sums_apart;
    bool *summed; /* [n_table]: SUMS go there, and these are apart */
    blo_whole_places places;
    blo_buffer *work, *results;
    bound_kernel run, add;
    size_t lanes;
    char *host; /* [result_bytes], what was read */
};

/* --- life --- */

static blo_status no_memory(blo_context *context) {
    return blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel that runs a loop whole");
}

static blo_status allocate(blo_whole *whole, const blo_whole_layout *layout) {
    blo_context *context = whole->context;
    const size_t buffers = OWN_BUFFERS + (size_t)layout->n_table;
    whole->places.spares = calloc((size_t)layout->n_spare + 1, sizeof *whole->places.spares);
    whole->run.serials = calloc(buffers, sizeof *whole->run.serials);
    whole->add.serials = calloc(buffers + 1, sizeof *whole->add.serials);
    whole->summed = calloc((size_t)layout->n_table + 1, sizeof *whole->summed);
    if (!whole->places.spares || !whole->run.serials || !whole->add.serials || !whole->summed)
        return no_memory(context);
    for (int i = 0; layout->sums_apart && i < layout->n_sums; i++)
        whole->summed[layout->sums[i].to.index] = true;
    blo_whole_lay_out(blo_context_facts(context), layout, &whole->places);
    whole->host = malloc((size_t)whole->places.result_bytes);
    if (!whole->host)
        return no_memory(context);
    blo_status status = blo_buffer_create(context, (size_t)whole->places.work_bytes, &whole->work);
    return status == BLO_OK ? blo_buffer_create(context, (size_t)whole->places.result_bytes, &whole->results) : status;
}

/* How the profile calls KERNEL, if there is a profile. */
static void name_row(const blo_whole *whole, blo_kernel *kernel, const char *what) {
    const blo_work work = {.part = "whole", .what = what, .dtype = whole->dtype};
    blo_kernel_set_row(kernel, blo_profile_add(whole->context, &work));
}

/* Builds both kernels, as one program, before the first launch. */
static blo_status build(blo_whole *whole) {
    if (whole->run.kernel)
        return BLO_OK;
    const blo_kernel_source sources[2] = {{whole->run.name, whole->run.text.data},
                                          {whole->add.name, whole->add.text.data}};
    blo_kernel *kernels[2] = {NULL, NULL};
    blo_status status = blo_kernels_get(whole->context, whole->sums_apart ? 2 : 1, sources, kernels);
    if (status != BLO_OK)
        return status;
    whole->run.kernel = kernels[0];
    whole->add.kernel = kernels[1];
    name_row(whole, kernels[0], "loop, choice and sweep");
    if (kernels[1])
        name_row(whole, kernels[1], "sums of gradients");
    blo_text_free(&whole->run.text);
    blo_text_free(&whole->add.text);
    return BLO_OK;
}

blo_status blo_whole_create(blo_context *context, const blo_whole_layout *layout, blo_whole **result) {
    *result = NULL;
    blo_loop_memory memory;
    if (!blo_loop_memory_of(layout->loop, &memory))
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "a loop of %d steps does not keep all its states in one buffer",
                        layout->steps);
    if (OWN_BUFFERS + layout->n_table > BLO_MOST_ARRAYS)
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "%d arrays are more than one kernel takes (%d)",
                        OWN_BUFFERS + layout->n_table, BLO_MOST_ARRAYS);
    blo_whole *whole = calloc(1, sizeof *whole);
    if (!whole)
        return no_memory(context);
    whole->context = context;
    whole->steps = layout->steps;
    whole->turns = layout->turns;
    whole->n_table = layout->n_table;
    whole->dtype = layout->dtype;
    whole->every = layout->every;
    whole->sums_apart = layout->sums_apart;
    whole->lanes = blo_group_lanes(blo_context_facts(context));
    blo_status status = allocate(whole, layout);
    if (status == BLO_OK && !blo_whole_write(blo_context_facts(context), layout, &memory, &whole->places,
                                             &whole->run.text, whole->run.name, &whole->add.text, whole->add.name))
        status = no_memory(context);
    if (status == BLO_OK)
        *result = whole;
    else
        blo_whole_destroy(whole);
    return status;
}

void blo_whole_destroy(blo_whole *whole) {
    if (!whole)
        return;
    blo_kernel_release(whole->run.kernel);
    blo_kernel_release(whole->add.kernel);
    blo_buffer_release(whole->work);
    blo_buffer_release(whole->results);
    blo_text_free(&whole->run.text);
    blo_text_free(&whole->add.text);
    free(whole->run.serials);
    free(whole->add.serials);
    free(whole->summed);
    free(whole->places.spares);
    free(whole->host);
    free(whole);
}

/* --- the loop's memory --- */

bool blo_loop_memory_of(const blo_loop *loop, blo_loop_memory *memory) {
    if (loop->split.thinned || loop->slots.n <= loop->steps || loop->slots.n_buffers != 1 ||
        blo_loop_run_level(loop, 0) > 0)
        return false;
    *memory = (blo_loop_memory){.states = loop->slots.buffers[0],
                                .numbers = loop->numbers,
                                .slot_bytes = loop->slots.bytes,
                                .offsets = loop->slots.offsets,
                                .carry = {loop->carry[0], loop->carry[1]},
                                .carry_offsets = loop->carry_offsets};
    return true;
}

/* The loop ran by a kernel that wrote every state and observed for itself, and left the carries in set 0. */
static void adopt(blo_loop *loop) {
    blo_loop_begin(loop, 0);
    for (int k = 1; k <= loop->steps; k++)
        blo_slots_take(&loop->slots, k);
    loop->begun = false;
    loop->ran = true;
    loop->any_observed = false;
    loop->now = 0;
    loop->report.snapshots = loop->steps + 1;
    loop->report.recomputed_steps = 0;
    loop->report.run_launches = 1;
}

/* --- running --- */

/* Binds BUFFER as argument I, if it differs from the last time. */
static blo_status bind_buffer(const bound_kernel *bound, int i, const blo_buffer *buffer) {
    const uint64_t serial = blo_buffer_serial(buffer);
    if (bound->serials[i] == serial)
        return BLO_OK;
    const blo_status status = blo_kernel_set_buffer(bound->kernel, i, buffer);
    bound->serials[i] = status == BLO_OK ? serial : 0;
    return status;
}

static blo_status bind(const blo_whole *whole, const bound_kernel *bound, const blo_loop_memory *memory,
                       const blo_buffer *const *table) {
    const blo_buffer *const own[OWN_BUFFERS] = {memory->states,   memory->numbers, memory->carry[0],
                                                memory->carry[1], whole->work,     whole->results};
    blo_status status = BLO_OK;
    for (int i = 0; i < OWN_BUFFERS + whole->n_table && status == BLO_OK; i++)
        status = bind_buffer(bound, i, i < OWN_BUFFERS ? own[i] : table[i - OWN_BUFFERS]);
    return status;
}

/* BESIDE: zeros that are due stay so. */
static blo_status launch(const blo_whole *whole, const bound_kernel *bound, bool beside) {
    return beside ? blo_kernel_launch_beside(bound->kernel, 1, &whole->lanes, &whole->lanes)
                  : blo_kernel_launch(bound->kernel, 1, &whole->lanes, &whole->lanes);
}

/* Queues the zeros of what the loop reads; where only sums go they may stay due. */
static blo_status settle(const blo_whole *whole, const blo_buffer *const *table) {
    blo_status status = BLO_OK;
    for (int i = 0; i < whole->n_table && status == BLO_OK; i++)
        if (!whole->summed[i])
            status = blo_buffer_settle(table[i]);
    return status;
}

/* Whether all that the sums go to is to be zero first. */
static bool all_due(const blo_whole *whole, const blo_buffer *const *table) {
    bool due = true;
    for (int i = 0; i < whole->n_table; i++)
        due = due && (!whole->summed[i] || blo_buffer_is_due(table[i]));
    return due;
}

blo_status blo_whole_run(blo_whole *whole, blo_loop *loop, const blo_buffer *const *table, int turns, bool over) {
    blo_loop_memory memory;
    const int next = OWN_BUFFERS + whole->n_table;
    if (!blo_loop_memory_of(loop, &memory))
        return blo_fail(whole->context, BLO_ERROR_UNSUPPORTED, "the loop does not keep all its states in one buffer");
    blo_status status = build(whole);
    if (status == BLO_OK)
        status = bind(whole, &whole->run, &memory, table);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(whole->run.kernel, next, (uint64_t)turns);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(whole->run.kernel, next + 1, over);
    if (status == BLO_OK && whole->sums_apart)
        status = settle(whole, table);
    if (status == BLO_OK)
        status = launch(whole, &whole->run, whole->sums_apart);
    if (status == BLO_OK)
        adopt(loop);
    return status;
}

blo_status blo_whole_add(blo_whole *whole, const blo_loop *loop, const blo_buffer *const *table) {
    blo_loop_memory memory;
    const blo_buffer *flag = blo_flag_buffer(whole->context);
    if (!flag)
        return BLO_ERROR_MEMORY; /* the sentence is the device room's */
    if (!blo_loop_memory_of(loop, &memory))
        return blo_fail(whole->context, BLO_ERROR_UNSUPPORTED, "the loop does not keep all its states in one buffer");
    blo_status status = build(whole);
    if (status == BLO_OK)
        status = bind(whole, &whole->add, &memory, table);
    if (status == BLO_OK)
        status = bind_buffer(&whole->add, OWN_BUFFERS + whole->n_table, flag);
    const bool fresh = all_due(whole, table);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(whole->add.kernel, OWN_BUFFERS + whole->n_table + 1, fresh);
    if (status == BLO_OK)
        status = launch(whole, &whole->add, fresh);
    for (int i = 0; i < whole->n_table && status == BLO_OK && fresh; i++)
        if (whole->summed[i])
            blo_buffer_is_done(table[i]);
    return status;
}

/* --- reading --- */

static double number(blo_dtype dtype, const char *from) {
    float narrow;
    double wide;
    if (dtype == BLO_DOUBLE) {
        memcpy(&wide, from, sizeof wide);
        return wide;
    }
    memcpy(&narrow, from, sizeof narrow);
    return (double)narrow;
}

static blo_whole_record record_at(const blo_whole *whole, const char *from) {
    int32_t words[4];
    memcpy(words, from, sizeof words);
    return (blo_whole_record){words[0], words[1], words[2], number(whole->dtype, from + sizeof words)};
}

blo_status blo_whole_read(blo_whole *whole, int turns, int *done, blo_whole_record *records, double *values) {
    const blo_whole_places *places = &whole->places;
    const size_t size = blo_dtype_size(whole->dtype);
    const uint64_t bytes = places->records + (uint64_t)turns * places->record_bytes;
    int32_t count = 0;
    blo_status status = blo_buffer_read(whole->context, whole->results, 0, (size_t)bytes, whole->host);
    if (status != BLO_OK)
        return status;
    memcpy(&count, whole->host, sizeof count);
    *done = count;
    for (int i = 0; i < count; i++)
        records[i] = record_at(whole, whole->host + places->records + (uint64_t)i * places->record_bytes);
    for (int k = 0; values && k < whole->steps; k++)
        values[k] = whole->every || k + 1 == whole->steps
                        ? number(whole->dtype, whole->host + places->values + (size_t)k * size)
                        : (double)NAN;
    return BLO_OK;
}
