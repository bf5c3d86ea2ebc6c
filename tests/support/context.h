/* What tests share that look into a context: calls that are made to fail, and whether a device can record. */
#ifndef BLO_TESTS_SUPPORT_CONTEXT_H
#define BLO_TESTS_SUPPORT_CONTEXT_H

#include <check.h>

#include "device/opencl.h"

/* Takes back the fault that CONTEXT was given before what returned STATUS. True: that made fewer calls, and succeeded;
 * false: a call failed, and it said so. */
static inline bool ended_before_fault(blo_context *context, blo_status status) {
    const bool ended = context->faults > 0;
    context->faults = 0;
    ck_assert_msg(status == (ended ? BLO_OK : BLO_ERROR_DEVICE), "a call %s: %s: %s", ended ? "was left" : "failed",
                  blo_status_string(status), blo_context_error(context));
    return ended;
}

/* Whether the default device records launches. Outside of any test: nothing is asserted, and that there is no device is
 * for the tests to say. */
static inline bool can_record(void) {
    blo_context *context = NULL;
    bool can = blo_context_create(NULL, &context, NULL, 0) != BLO_OK || context->can_record;
    blo_context_destroy(context);
    return can;
}

#endif
