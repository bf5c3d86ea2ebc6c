/* Matrix products of CLBlast, through its C interface. */
#include "blo_config.h"
#include "opencl.h"

#ifdef BLO_HAVE_CLBLAST
#include <assert.h>
#include <clblast_c.h>

blo_status blo_clblast_gemm(blo_context *context, const blo_gemm_call *call) {
    CLBlastTranspose ta = call->transpose_a ? CLBlastTransposeYes : CLBlastTransposeNo;
    CLBlastTranspose tb = call->transpose_b ? CLBlastTransposeYes : CLBlastTransposeNo;
    assert(!context->recording);
    size_t m = (size_t)call->m, n = (size_t)call->n, k = (size_t)call->k;
    size_t lda = call->transpose_a ? m : k, ldb = call->transpose_b ? k : n;
    cl_mem a = call->a->memory, b = call->b->memory, c = call->c->memory;
    CLBlastStatusCode code = (CLBlastStatusCode)blo_fault(context);
    cl_event before = blo_profile_marker(context), event, *timed = blo_profile_event(context, &event);
    context->counters.launches++;
    context->used_clblast = true;
    if (code == CLBlastSuccess && call->dtype == BLO_DOUBLE)
        code = CLBlastDgemmStridedBatched(CLBlastLayoutRowMajor, ta, tb, m, n, k, 1.0, a, call->a_offset, lda, m * k, b,
                                          call->b_offset, ldb, k * n, 0.0, c, call->c_offset, n, m * n,
                                          (size_t)call->batch, &context->queue, timed);
    else if (code == CLBlastSuccess)
        code = CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, ta, tb, m, n, k, 1.0f, a, call->a_offset, lda, m * k,
                                          b, call->b_offset, ldb, k * n, 0.0f, c, call->c_offset, n, m * n,
                                          (size_t)call->batch, &context->queue, timed);
    blo_profile_note(context, call->row, before, event);
    return blo_check(context, (cl_int)code, "CLBlast's GEMM");
}

/* What CLBlast keeps for every context of the process it would else release at exit, when a device may be gone. */
void blo_clblast_release(const blo_context *context) {
    if (context->used_clblast)
        CLBlastClearCache();
}
#else
void blo_clblast_release(const blo_context *context) {
    (void)context;
}

blo_status blo_clblast_gemm(blo_context *context, const blo_gemm_call *call) {
    (void)call;
    return blo_fail(context, BLO_ERROR_UNSUPPORTED, "this build has no CLBlast");
}
#endif
