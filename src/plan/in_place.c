/* Changes of few elements in place: the kernel's text, its memory, and its launches; see in_place.h. */
#include "in_place.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cl_sources.h"

/* Of outputs; beyond it a plan's launches on all of the device are faster than one work-group. */
enum { FEW_BYTES = 16 << 10 };

struct blo_in_place {
    blo_context *context;
    int n; /* inputs */
    char name[48], what[32];
    blo_text text;      /* freed once it is built */
    blo_kernel *kernel; /* NULL until the first launch */
    uint64_t *serials;  /* [n] of the buffers last bound; 0: none */
    blo_buffer *work;   /* the routine's scratch, then its outputs */
    size_t lanes;
};

bool blo_in_place_fits(const blo_routine *routine) {
    uint64_t bytes = 0;
    for (int i = 0; i < blo_routine_outputs(routine); i++)
        bytes += blo_routine_output_bytes(routine, i);
    return bytes <= FEW_BYTES && blo_routine_inputs(routine) < BLO_MOST_ARRAYS;
}

/* --- the kernel --- */

enum { NAME_TEXT = 40 };

static uint64_t aligned(const blo_device_facts *facts, uint64_t bytes) {
    return (bytes + facts->base_alignment - 1) / facts->base_alignment * facts->base_alignment;
}

/* The call of ROUTINE on a0 …, its outputs into the work memory, and the copies back. *BYTES: of that memory. */
static void write_body(const blo_device_facts *facts, const blo_routine *routine, const int *replaces, blo_text *text,
                       uint64_t *bytes) {
    const int n_in = blo_routine_inputs(routine), n_out = blo_routine_outputs(routine);
    char(*texts)[NAME_TEXT] = calloc((size_t)(n_in + n_out), sizeof *texts);
    const char **names = calloc((size_t)(n_in + n_out), sizeof *names);
    *bytes = aligned(facts, blo_routine_scratch_bytes(routine));
    text->failed = text->failed || !texts || !names;
    for (int i = 0; i < n_in + n_out && !text->failed; i++) {
        names[i] = texts[i];
        if (i < n_in)
            snprintf(texts[i], NAME_TEXT, "a%d", i);
        else {
            snprintf(texts[i], NAME_TEXT, "work + %" PRIu64 "ul", *bytes);
            *bytes += aligned(facts, blo_routine_output_bytes(routine, i - n_in));
        }
    }
    if (!text->failed)
        blo_routine_call(routine, text, names, names + n_in, "work");
    for (int i = 0; i < n_out && !text->failed; i++)
        blo_text_add(text, "    blo_group_copy(a%d, %s, %" PRIu64 "ul);\n", replaces ? replaces[i] : i, texts[n_in + i],
                     blo_routine_output_bytes(routine, i));
    free(texts);
    free(names);
}

static void write_text(blo_in_place *in_place, const blo_routine *routine, const int *replaces, int counter,
                       uint64_t *bytes) {
    const blo_device_facts *facts = blo_context_facts(in_place->context);
    blo_text body = {0}, *text = &in_place->text;
    blo_text_add(&body, "#ifndef BLO_REAL\n#define BLO_REAL float\n#endif\n"); /* no sums, no checks */
    blo_group_define(facts, &body);
    blo_text_add(&body, "%s", blo_cl_work_group);
    blo_routine_define(routine, &body);
    blo_text_add(&body, "#define BLO_PARAMETERS __global uchar *work");
    for (int i = 0; i < in_place->n; i++)
        blo_text_add(&body, ", __global uchar *a%d", i);
    blo_text_add(&body, "\nstatic void blo_change(BLO_PARAMETERS) {\n");
    write_body(facts, routine, replaces, &body, bytes);
    if (counter >= 0)
        blo_text_add(&body, "    if (BLO_LANE == 0u)\n        ((__global int *)a%d)[0] += 1;\n", counter);
    blo_text_add(&body, "}\n");
    snprintf(in_place->name, sizeof in_place->name, "blo_in_place_%016" PRIx64,
             blo_text_hash(body.data ? body.data : ""));
    blo_text_append(text, &body);
    blo_text_add(text, "__kernel BLO_GROUP void %s(BLO_PARAMETERS) {\n    blo_change(work", in_place->name);
    for (int i = 0; i < in_place->n; i++)
        blo_text_add(text, ", a%d", i);
    blo_text_add(text, ");\n}\n");
    blo_text_free(&body);
}

static blo_status build(blo_in_place *in_place) {
    if (in_place->kernel)
        return BLO_OK;
    const blo_kernel_source source = {in_place->name, in_place->text.data};
    blo_status status = blo_kernels_get(in_place->context, 1, &source, &in_place->kernel);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(in_place->kernel, 0, in_place->work);
    if (status != BLO_OK) {
        blo_kernel_release(in_place->kernel);
        in_place->kernel = NULL;
        return status;
    }
    blo_kernel_set_row(in_place->kernel,
                       blo_profile_add(in_place->context, &(blo_work){.part = "other", .what = in_place->what}));
    blo_text_free(&in_place->text);
    return BLO_OK;
}

/* --- life --- */

blo_status blo_in_place_create(blo_context *context, const blo_routine *routine, const int *replaces, int counter,
                               const char *what, blo_in_place **made) {
    *made = NULL;
    uint64_t bytes = 0;
    blo_status status = BLO_OK;
    blo_in_place *in_place = calloc(1, sizeof *in_place);
    if (in_place) {
        in_place->context = context;
        in_place->n = blo_routine_inputs(routine);
        in_place->lanes = blo_group_lanes(blo_context_facts(context));
        in_place->serials = calloc((size_t)in_place->n + 1, sizeof *in_place->serials);
        snprintf(in_place->what, sizeof in_place->what, "%s", what);
        write_text(in_place, routine, replaces, counter, &bytes);
    }
    if (!in_place || !in_place->serials || in_place->text.failed)
        status = blo_fail(context, BLO_ERROR_MEMORY, "no host memory for a kernel that changes arrays in place");
    if (status == BLO_OK)
        status = blo_buffer_create(context, (size_t)bytes, &in_place->work);
    if (status == BLO_OK)
        *made = in_place;
    else
        blo_in_place_destroy(in_place);
    return status;
}

void blo_in_place_destroy(blo_in_place *in_place) {
    if (!in_place)
        return;
    blo_kernel_release(in_place->kernel);
    blo_buffer_release(in_place->work);
    blo_text_free(&in_place->text);
    free(in_place->serials);
    free(in_place);
}

blo_status blo_in_place_run(blo_in_place *in_place, const blo_buffer *const *inputs) {
    blo_status status = build(in_place);
    for (int i = 0; i < in_place->n && status == BLO_OK; i++) {
        const uint64_t serial = blo_buffer_serial(inputs[i]);
        if (in_place->serials[i] == serial)
            continue;
        status = blo_kernel_set_buffer(in_place->kernel, 1 + i, inputs[i]);
        in_place->serials[i] = status == BLO_OK ? serial : 0;
    }
    return status == BLO_OK ? blo_kernel_launch(in_place->kernel, 1, &in_place->lanes, &in_place->lanes) : status;
}
