/* Composes the kernel: pointers, routines, the stages as functions on them, then cl/whole.cl, which holds the loops;
 * see whole_text.h. */
#include "whole_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl_sources.h"

typedef struct writer {
    const blo_whole_layout *layout;
    const blo_loop_memory *memory;
    const blo_whole_places *places;
    blo_text *text;
} writer;

/* --- memory --- */

static uint64_t aligned(const blo_device_facts *facts, uint64_t bytes) {
    return (bytes + facts->base_alignment - 1) / facts->base_alignment * facts->base_alignment;
}

static uint64_t larger(uint64_t most, const blo_routine *routine) {
    const uint64_t bytes = routine ? blo_routine_scratch_bytes(routine) : 0;
    return bytes > most ? bytes : most;
}

void blo_whole_lay_out(const blo_device_facts *facts, const blo_whole_layout *layout, blo_whole_places *places) {
    const uint64_t size = blo_dtype_size(layout->dtype);
    places->values = BLO_WHOLE_HEAD;
    places->records = (places->values + (uint64_t)layout->steps * size + 15) / 16 * 16;
    places->record_bytes = 4 * sizeof(int32_t) + 2 * size;
    places->result_bytes = places->records + (uint64_t)layout->turns * places->record_bytes;
    uint64_t at = 0;
    at = larger(at, layout->step.routine);
    at = larger(at, layout->observe.routine);
    at = larger(at, layout->seed.routine);
    at = larger(at, layout->adjoint.routine);
    for (int i = 0; i < layout->n_updates; i++)
        at = larger(at, layout->updates[i].stage.routine);
    at = aligned(facts, at);
    places->spares[layout->n_spare] = at;
    places->work_bytes = at + aligned(facts, size);
    for (int i = 0; i < layout->n_spare; i++) {
        places->spares[i] = places->work_bytes;
        places->work_bytes += aligned(facts, layout->spare_bytes[i]);
    }
}

/* --- spots --- */

enum { SPOT_TEXT = 96 };

/* SPOT as an expression of type __global uchar * inside a function on m, with "at" (the state's number), "row", "from"
 * and "to" (the sets of carries) around it. */
static void spot_text(const writer *w, const blo_spot *spot, bool written, char text[SPOT_TEXT]) {
    const blo_loop_memory *memory = w->memory;
    const uint64_t i = (uint64_t)spot->index, slot = memory->slot_bytes;
    switch (spot->kind) {
    case BLO_SPOT_NONE:
        snprintf(text, SPOT_TEXT, "m->work + %" PRIu64 "ul", w->places->spares[w->layout->n_spare]);
        break;
    case BLO_SPOT_TABLE: snprintf(text, SPOT_TEXT, "m->t%" PRIu64, i); break;
    case BLO_SPOT_ROW: snprintf(text, SPOT_TEXT, "m->t%" PRIu64 " + row * %" PRIu64 "ul", i, spot->bytes); break;
    case BLO_SPOT_STATE:
        snprintf(text, SPOT_TEXT, "m->states + (at + %dul) * %" PRIu64 "ul + %" PRIu64 "ul", written ? 1 : 0, slot,
                 memory->offsets[i]);
        break;
    case BLO_SPOT_FIRST: snprintf(text, SPOT_TEXT, "m->states + %" PRIu64 "ul", memory->offsets[i]); break;
    case BLO_SPOT_LAST:
        snprintf(text, SPOT_TEXT, "m->states + %" PRIu64 "ul", (uint64_t)w->layout->steps * slot + memory->offsets[i]);
        break;
    case BLO_SPOT_CARRY:
        snprintf(text, SPOT_TEXT, "%s + %" PRIu64 "ul", written ? "to" : "from", memory->carry_offsets[i]);
        break;
    case BLO_SPOT_STEP: snprintf(text, SPOT_TEXT, "m->numbers + at * 4ul"); break;
    case BLO_SPOT_SPARE: snprintf(text, SPOT_TEXT, "m->work + %" PRIu64 "ul", w->places->spares[i]); break;
    }
}

/* --- functions on m --- */

static const char stage_parameters[] = "const blo_memory *m, const ulong at, const ulong row, __global uchar *from, "
                                       "__global uchar *to";

/* A call of STAGE; VALUE, if not NULL, is where its first output goes. */
static void call_stage(const writer *w, const blo_whole_stage *stage, const char *value) {
    const int n_in = blo_routine_inputs(stage->routine), n_out = blo_routine_outputs(stage->routine);
    char(*texts)[SPOT_TEXT] = calloc((size_t)(n_in + n_out), sizeof *texts);
    const char **names = calloc((size_t)(n_in + n_out), sizeof *names);
    if (texts && names) {
        for (int i = 0; i < n_in + n_out; i++) {
            const bool output = i >= n_in;
            spot_text(w, output ? &stage->outputs[i - n_in] : &stage->inputs[i], output, texts[i]);
            names[i] = value && i == n_in ? value : texts[i];
        }
        blo_routine_call(stage->routine, w->text, names, names + n_in, "m->work");
    } else
        w->text->failed = true;
    free(texts);
    free(names);
}

static void define_stage(const writer *w, const char *name, const blo_whole_stage *stage, const char *value) {
    blo_text_add(w->text, "static void blo_whole_%s(%s) {\n", name, stage_parameters);
    call_stage(w, stage, value);
    blo_text_add(w->text, "}\n");
}

static void call_copy(const writer *w, const blo_whole_copy *copy, bool back) {
    char to[SPOT_TEXT], from[SPOT_TEXT];
    spot_text(w, back ? &copy->from : &copy->to, true, to);
    spot_text(w, back ? &copy->to : &copy->from, false, from);
    if (copy->from.kind == BLO_SPOT_NONE)
        blo_text_add(w->text, "    blo_group_zero(%s, %" PRIu64 "ul);\n", to, copy->bytes);
    else
        blo_text_add(w->text, "    blo_group_copy(%s, %s, %" PRIu64 "ul);\n", to, from, copy->bytes);
}

static void call_copies(const writer *w, int n, const blo_whole_copy *copies, bool back) {
    for (int i = 0; i < n; i++)
        call_copy(w, &copies[i], back);
    blo_text_add(w->text, "    BLO_TOGETHER;\n");
}

static void define_copies(const writer *w, const char *name, const char *parameters, int n,
                          const blo_whole_copy *copies, bool back) {
    blo_text_add(w->text, "static void blo_whole_%s(const blo_memory *m%s) {\n", name, parameters);
    call_copies(w, n, copies, back);
    blo_text_add(w->text, "}\n");
}

static void call_check(const writer *w, const blo_spot *spot, uint64_t bytes) {
    char text[SPOT_TEXT];
    spot_text(w, spot, true, text);
    blo_text_add(w->text, "    blo_group_check((__global const BLO_REAL *)(%s), %" PRIu64 "ul, m->head + 1, tag);\n",
                 text, bytes / blo_dtype_size(w->layout->dtype));
}

static void define_checks(const writer *w) {
    const blo_whole_layout *layout = w->layout;
    const blo_whole_stage *seed = &layout->seed;
    const char *parameters = "const blo_memory *m, const int tag, __global uchar *to";
    blo_text_add(w->text, "static void blo_whole_check_seed(%s) {\n", parameters);
    for (int i = 1; i < blo_routine_outputs(seed->routine); i++)
        call_check(w, &seed->outputs[i], blo_routine_output_bytes(seed->routine, i));
    blo_text_add(w->text, "}\nstatic void blo_whole_check(%s) {\n", parameters);
    for (int i = 0; i < layout->n_carry; i++)
        call_check(w, &(blo_spot){.kind = BLO_SPOT_CARRY, .index = i}, layout->carry_bytes[i]);
    blo_text_add(w->text, "}\n");
}

/* Moves the carries of one set to the other. */
static void define_settle(const writer *w) {
    blo_text_add(
        w->text,
        "static void blo_whole_settle(const blo_memory *m, __global uchar *to, __global const uchar *from) {\n");
    for (int i = 0; i < w->layout->n_carry; i++) {
        const blo_spot carry = {.kind = BLO_SPOT_CARRY, .index = i};
        call_copy(w, &(blo_whole_copy){carry, carry, w->layout->carry_bytes[i]}, false);
    }
    blo_text_add(w->text, "    BLO_TOGETHER;\n}\n");
}

static void define_sums(const writer *w, const char *name, int n, const blo_whole_sum *sums) {
    blo_text_add(w->text, "static void blo_whole_%s(const blo_memory *m) {\n    __global uchar *from = m->carry0;\n",
                 name);
    for (int i = 0; i < n; i++) {
        char to[SPOT_TEXT], from[SPOT_TEXT];
        spot_text(w, &sums[i].to, true, to);
        spot_text(w, &sums[i].from, false, from);
        blo_text_add(w->text,
                     "    blo_group_add((__global BLO_REAL *)(%s), (__global const BLO_REAL *)(%s), %" PRIu64 "ul);\n",
                     to, from, sums[i].count);
    }
    blo_text_add(w->text, "}\n");
}

/* Zeros for where the sums go. */
static void define_clear(const writer *w) {
    const blo_whole_layout *layout = w->layout;
    blo_text_add(w->text, "static void blo_whole_clear(const blo_memory *m) {\n");
    for (int i = 0; layout->sums_apart && i < layout->n_sums; i++)
        call_copy(
            w,
            &(blo_whole_copy){.to = layout->sums[i].to, .bytes = layout->sums[i].count * blo_dtype_size(layout->dtype)},
            false);
    blo_text_add(w->text, "    BLO_TOGETHER;\n}\n");
}

static void define_updates(const writer *w) {
    const blo_whole_layout *layout = w->layout;
    blo_text_add(w->text, "static void blo_whole_update(const blo_memory *m) {\n");
    for (int i = 0; i < layout->n_updates; i++) {
        const blo_whole_update *update = &layout->updates[i];
        char counter[SPOT_TEXT];
        call_stage(w, &update->stage, NULL);
        spot_text(w, &update->counter, true, counter);
        blo_text_add(w->text, "    if (BLO_LANE == 0u)\n        ((__global int *)(%s))[0] += 1;\n", counter);
        call_copies(w, update->n_copies, update->copies, false);
    }
    blo_text_add(w->text, "}\n");
}

/* --- the kernels --- */

static void define_macros(const blo_device_facts *facts, const writer *w) {
    const blo_whole_layout *layout = w->layout;
    blo_text_add(
        w->text,
        "#ifndef BLO_WHOLE\n#define BLO_WHOLE\n#define BLO_REAL %s\n#define BLO_STEPS %d\n#define BLO_EVERY %d\n"
        "#define BLO_LARGEST %d\n",
        blo_dtype_name(layout->dtype), layout->steps, layout->every, layout->largest);
    blo_group_define(facts, w->text);
}

static void define_memory(const writer *w) {
    blo_text_add(w->text,
                 "typedef struct blo_memory {\n    __global uchar *states, *numbers, *carry0, *carry1, *work;\n"
                 "    __global BLO_REAL *values;\n    __global int *head;\n    __global uchar *records");
    for (int i = 0; i < w->layout->n_table; i++)
        blo_text_add(w->text, ", *t%d", i);
    blo_text_add(w->text, ";\n} blo_memory;\n");
}

static void define_all(const blo_device_facts *facts, const writer *w) {
    const blo_whole_layout *layout = w->layout;
    const blo_whole_stage *const stages[] = {&layout->step, &layout->observe, &layout->seed, &layout->adjoint};
    char value[64];
    snprintf(value, sizeof value, "(__global uchar *)(m->values + row)");
    define_macros(facts, w);
    blo_text_add(w->text, "%s", blo_cl_work_group);
    define_memory(w);
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        blo_routine_define(stages[i]->routine, w->text);
    for (int i = 0; i < layout->n_updates; i++)
        blo_routine_define(layout->updates[i].stage.routine, w->text);
    define_stage(w, "step", &layout->step, NULL);
    define_stage(w, "observe", &layout->observe, value);
    define_stage(w, "seed", &layout->seed, NULL);
    define_stage(w, "adjoint", &layout->adjoint, NULL);
    define_copies(w, "start", "", layout->n_start, layout->start, false);
    define_copies(w, "end", "", layout->n_end, layout->end, false);
    define_copies(w, "zero", ", __global uchar *to, __global uchar *from", layout->n_zero, layout->zero, false);
    define_copies(w, "save", "", layout->n_saved, layout->saved, false);
    define_copies(w, "restore", "", layout->n_saved, layout->saved, true);
    define_checks(w);
    define_settle(w);
    define_sums(w, "add", layout->sums_apart ? 0 : layout->n_sums, layout->sums);
    define_sums(w, "add_apart", layout->sums_apart ? layout->n_sums : 0, layout->sums);
    define_clear(w);
    define_updates(w);
    blo_text_add(w->text, "%s#endif\n", blo_cl_whole);
}

/* "__kernel void NAME(parameters … LAST) { blo_memory memory = …;". */
static void open_kernel(const writer *w, blo_text *text, const char *name, const char *last) {
    blo_text_add(text,
                 "__kernel BLO_GROUP void %s(__global uchar *states, __global uchar *numbers, __global uchar *carry0, "
                 "__global uchar *carry1, __global uchar *work, __global uchar *results",
                 name);
    for (int i = 0; i < w->layout->n_table; i++)
        blo_text_add(text, ", __global uchar *t%d", i);
    blo_text_add(text,
                 ", %s) {\n    const blo_memory memory = {states, numbers, carry0, carry1, work, "
                 "(__global BLO_REAL *)(results + %" PRIu64 "ul), (__global int *)results, results + %" PRIu64 "ul",
                 last, w->places->values, w->places->records);
    for (int i = 0; i < w->layout->n_table; i++)
        blo_text_add(text, ", t%d", i);
    blo_text_add(text, "};\n");
}

bool blo_whole_write(const blo_device_facts *facts, const blo_whole_layout *layout, const blo_loop_memory *memory,
                     const blo_whole_places *places, blo_text *whole, char whole_name[40], blo_text *add,
                     char add_name[40]) {
    blo_text common = {0};
    const writer w = {layout, memory, places, &common};
    define_all(facts, &w);
    const uint64_t hash = blo_text_hash(common.data ? common.data : "");
    snprintf(whole_name, 40, "blo_whole_%016" PRIx64, hash);
    snprintf(add_name, 40, "blo_whole_add_%016" PRIx64, hash);
    blo_text_append(whole, &common);
    open_kernel(&w, whole, whole_name, "const ulong turns, const ulong over");
    blo_text_add(whole, "    blo_whole_turns(&memory, turns, over);\n}\n");
    blo_text_append(add, &common);
    open_kernel(&w, add, add_name, "__global const uint *flag, const ulong fresh");
    blo_text_add(add, "    if (fresh)\n        blo_whole_clear(&memory);\n"
                      "    if (flag[0] == 0u)\n        blo_whole_add_apart(&memory);\n}\n");
    blo_text_free(&common);
    return !whole->failed && !add->failed;
}
