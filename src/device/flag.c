/* The flag of NaNs and infinities: checks and commits are queued kernels; the host learns of a flag at its next wait.
 */
#include "cl_sources.h"
#include "opencl.h"

#include <stdio.h>

enum { CHUNK = 1024, COMMIT_GROUP = 64 };

static blo_status make_flag(blo_context *context) {
    if (context->flag)
        return BLO_OK;
    blo_buffer *flag = NULL;
    blo_status status = blo_buffer_create(context, sizeof(blo_flag_words), &flag);
    if (status == BLO_OK)
        status = blo_buffer_zero(context, flag, 0, sizeof(blo_flag_words));
    if (status == BLO_OK)
        context->flag = flag;
    else
        blo_buffer_release(flag);
    return status;
}

/* The source of BODY (one of cl/'s) for DTYPE. */
typedef struct flag_source {
    char name[64], text[4096];
} flag_source;

static blo_status write_source(blo_context *context, const char *what, const char *body, blo_dtype dtype,
                               flag_source *source) {
    snprintf(source->name, sizeof source->name, "blo_%s_%s", what, blo_dtype_name(dtype));
    int length =
        snprintf(source->text, sizeof source->text, "#undef REAL\n#undef NAME\n#define REAL %s\n#define NAME %s\n%s\n",
                 blo_dtype_name(dtype), source->name, body);
    if (length >= (int)sizeof source->text)
        return blo_fail(context, BLO_ERROR_BUILD, "the kernel %s is longer than its room", source->name);
    return BLO_OK;
}

/* Its kernel, made once. */
static blo_status make_kernel(blo_context *context, const char *what, const char *body, blo_dtype dtype,
                              blo_kernel **kernel) {
    flag_source source;
    if (*kernel)
        return BLO_OK;
    blo_status status = write_source(context, what, body, dtype, &source);
    return status == BLO_OK
               ? blo_kernels_get(context, 1, &(blo_kernel_source){.name = source.name, .text = source.text}, kernel)
               : status;
}

blo_status blo_flag_want(blo_context *context, blo_dtype dtype) {
    flag_source check, commit;
    blo_status status = write_source(context, "check", blo_cl_check, dtype, &check);
    if (status == BLO_OK)
        status = write_source(context, "commit", blo_cl_commit, dtype, &commit);
    const blo_kernel_source sources[] = {{check.name, check.text}, {commit.name, commit.text}};
    return status == BLO_OK ? blo_kernels_want(context, 2, sources) : status;
}

blo_buffer *blo_flag_buffer(blo_context *context) {
    return make_flag(context) == BLO_OK ? context->flag : NULL;
}

void blo_flag_release(blo_context *context) {
    for (int i = 0; i < 2; i++) {
        blo_kernel_release(context->check[i]);
        blo_kernel_release(context->commit[i]);
    }
    blo_buffer_release(context->flag);
    context->flag = NULL;
}

static bool same_parts(const blo_flag_parts *a, const blo_flag_parts *b) {
    return a->n == b->n && a->first == b->first && a->each == b->each && a->rows == b->rows;
}

/* Arguments 7 … 11 of the kernel for DTYPE: most checks have those of the one before. */
static blo_status bind_parts(blo_context *context, blo_dtype dtype, const blo_flag_parts *parts) {
    static const blo_flag_parts none = {0};
    const int which = dtype == BLO_DOUBLE;
    blo_kernel *kernel = context->check[which];
    parts = parts && parts->n > 1 ? parts : &none;
    /* any buffer will do where no row of it is read */
    const blo_buffer *table = parts->table ? parts->table : context->flag;
    if (parts->name)
        context->part_name = parts->name;
    if (context->bound_table[which] == blo_buffer_serial(table) && same_parts(&context->bound_parts[which], parts))
        return BLO_OK;
    context->bound_table[which] = 0;
    blo_status status = blo_kernel_set_int(kernel, 7, parts->n);
    if (status == BLO_OK)
        status = blo_kernel_set_int(kernel, 8, parts->first);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(kernel, 9, parts->each);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(kernel, 10, table);
    if (status == BLO_OK)
        status = blo_kernel_set_int(kernel, 11, parts->rows);
    if (status != BLO_OK)
        return status;
    context->bound_parts[which] = *parts;
    context->bound_table[which] = blo_buffer_serial(table);
    return BLO_OK;
}

blo_status blo_flag_check(blo_context *context, blo_dtype dtype, const blo_buffer *buffer, uint64_t offset,
                          uint64_t count, uint32_t tag) {
    return blo_flag_check_parts(context, dtype, buffer, offset, count, tag, NULL);
}

blo_status blo_flag_check_parts(blo_context *context, blo_dtype dtype, const blo_buffer *buffer, uint64_t offset,
                                uint64_t count, uint32_t tag, const blo_flag_parts *parts) {
    if (count == 0)
        return BLO_OK;
    blo_kernel **kernel = &context->check[dtype == BLO_DOUBLE];
    blo_status status = make_flag(context);
    if (status == BLO_OK)
        status = make_kernel(context, "check", blo_cl_check, dtype, kernel);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(*kernel, 0, buffer);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(*kernel, 1, offset);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(*kernel, 2, count);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(*kernel, 3, CHUNK);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(*kernel, 4, context->flag);
    if (status == BLO_OK)
        status = blo_kernel_set_int(*kernel, 5, (int32_t)tag);
    if (status == BLO_OK)
        status = bind_parts(context, dtype, parts);
    context->checks = context->checks == UINT32_MAX ? 1 : context->checks + 1; /* never 0 */
    if (status == BLO_OK)
        status = blo_kernel_set_int(*kernel, 6, (int32_t)context->checks);
    if (status != BLO_OK)
        return status;
    blo_kernel_set_row(*kernel, BLO_PROFILE_CHECK);
    blo_profile_charge(context, BLO_PROFILE_CHECK, 0, (double)(count * blo_dtype_size(dtype)));
    const size_t global = (size_t)((count + CHUNK - 1) / CHUNK), local = 1;
    context->flag_used = true;
    return blo_kernel_launch(*kernel, 1, &global, context->facts.is_cpu ? &local : NULL);
}

blo_status blo_flag_commit(blo_context *context, blo_dtype dtype, const blo_buffer *source, uint64_t source_offset,
                           blo_buffer *target, uint64_t target_offset, uint64_t count) {
    blo_kernel **kernel = &context->commit[dtype == BLO_DOUBLE];
    blo_status status = make_flag(context);
    if (status == BLO_OK)
        status = make_kernel(context, "commit", blo_cl_commit, dtype, kernel);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(*kernel, 0, source);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(*kernel, 1, source_offset);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(*kernel, 2, target);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(*kernel, 3, target_offset);
    if (status == BLO_OK)
        status = blo_kernel_set_ulong(*kernel, 4, count);
    if (status == BLO_OK)
        status = blo_kernel_set_buffer(*kernel, 5, context->flag);
    if (status != BLO_OK)
        return status;
    blo_kernel_set_row(*kernel, BLO_PROFILE_COMMIT);
    blo_profile_charge(context, BLO_PROFILE_COMMIT, (double)count, 3.0 * (double)(count * blo_dtype_size(dtype)));
    const size_t local = COMMIT_GROUP, global = (size_t)((count + local - 1) / local) * local;
    return blo_kernel_launch(*kernel, 1, &global, &local);
}
