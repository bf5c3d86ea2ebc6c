/* A context: one OpenCL device with its in-order queue, memory pool, kernel library and seed.
 * Contexts share nothing: two contexts in two threads are independent. One context is not to be used by two threads at
 * once. */
#ifndef CLBILEVEL_CONTEXT_H
#define CLBILEVEL_CONTEXT_H

#include <clbilevel/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct blo_context_options {
    const char *device;       /* index ("0"), part of a name, or "cpu", "gpu", "accelerator"; NULL: the environment's
                                 CLBILEVEL_DEVICE, else the first GPU, else the CPU of most cores. Small problems are many
                                 times faster where launches are not handed to other threads: on PoCL's device
                                 "basic", which the environment's POCL_DEVICES="pthread basic" offers */
    blo_gemm gemm;            /* which matrix product; default BLO_GEMM_AUTO */
    uint64_t memory_budget;   /* bytes the pool may hold at once; default 0: four fifths of the device's memory */
    uint64_t seed;            /* of the context's random generator; default 0 */
    const char *cache_folder; /* where built programs are kept; NULL: the user's cache folder; "": nowhere */
    const char *dump_folder;  /* every emitted kernel is written there as a .cl file; NULL: not */
    blo_replay replay;        /* of lower loops; default BLO_REPLAY_AUTO */
    bool profile;             /* times every launch on the device, see blo_context_profile_row(); default false */
} blo_context_options;

/* Counters since the context was made. */
typedef struct blo_statistics {
    uint64_t current_device_bytes; /* held by the pool now */
    uint64_t peak_device_bytes;    /* most the pool ever held */
    uint64_t allocations;          /* device allocations made */
    uint64_t launches;             /* kernels enqueued (a library call counts as one) */
    uint64_t bindings;             /* kernel arguments set */
    uint64_t waits;                /* times the host waited for the device */
    uint64_t kernels_built;        /* kernels compiled, or loaded from the cache */
    uint64_t traces;               /* objectives and other callbacks traced */
    double seconds_build;          /* wall seconds spent tracing, planning and building */
} blo_statistics;

/* Fills OPTIONS with the defaults named above. */
BLO_API void blo_context_options_default(blo_context_options *options);

/* Opens a device. OPTIONS may be NULL (defaults). On failure *CONTEXT is NULL and the sentence, if MESSAGE is not NULL,
 * is written to MESSAGE (at most MESSAGE_SIZE bytes with the final zero).
 * Errors: NO_DEVICE, DEVICE, MEMORY, ARGUMENT, UNSUPPORTED (CLBlast in a build without it, a device that cannot
 * replay). The caller destroys the context after everything made from it. */
BLO_API blo_status blo_context_create(const blo_context_options *options, blo_context **context, char *message,
                                      size_t message_size);
/* Waits for what is queued and gives the device back. NULL is allowed. */
BLO_API void blo_context_destroy(blo_context *context);

/* The sentence of the last failed call on this context or on anything made from it; "" when none failed. Owned
 * by the context; the next call that fails overwrites it. */
BLO_API const char *blo_context_error(const blo_context *context);

/* Waits until the device has done all queued work. Errors: DEVICE; NUMERIC if the device flagged a value since the last
 * wait. */
BLO_API blo_status blo_context_finish(blo_context *context);

/* Copies the counters. No wait. */
BLO_API void blo_context_statistics(const blo_context *context, blo_statistics *statistics);
/* The device as its driver names it; owned by the context. Whether it has double. Bytes that the pool may hold at
 * once. */
BLO_API const char *blo_context_device_name(const blo_context *context);
BLO_API bool blo_context_has_double(const blo_context *context);
BLO_API uint64_t blo_context_memory_budget(const blo_context *context);

/* What was launched for one purpose, in a context opened with profile. */
typedef struct blo_profile_row {
    const char *part;      /* "step", "F", "sweep" (of a lower loop), "F's gradient", "objective", "other"; "checks"
                              and "transfers", whose launches differ in size */
    const char *what;      /* for example "matmul 5000x784x10"; both texts live as long as the context */
    blo_dtype dtype;       /* of the arithmetic */
    uint64_t launches;     /* until the host last waited */
    double seconds;        /* on the device, of all launches */
    double median_seconds; /* of one launch */
    double flops, bytes;   /* of all launches: multiplications and additions, and array elements read and written */
} blo_profile_row;

/* Number of rows of the profile, some of which may have no launches; 0 unless the context was opened with profile. */
BLO_API int blo_context_profile_rows(const blo_context *context);

/* Row INDEX, 0 ... rows - 1. Errors: ARGUMENT; DEVICE, once, if the times of some launch could not be had: they are
 * not in the rows. */
BLO_API blo_status blo_context_profile_row(blo_context *context, int index, blo_profile_row *row);

/* What the device can do at most with DTYPE, FLOAT or DOUBLE: floating-point operations per second (a fused
 * multiply-add is two) and bytes read from its memory per second. Either may be NULL. Measured at the first call, in
 * about half a second, with as much of the pool as 256 MiB; waits. Errors: DTYPE, BUDGET, MEMORY, BUILD, DEVICE. */
BLO_API blo_status blo_context_measure_peak(blo_context *context, blo_dtype dtype, double *flops_per_second,
                                            double *bytes_per_second);

/* Number of OpenCL devices, over all platforms, in the order of their indices. */
BLO_API int blo_device_count(void);

/* One fact about device INDEX, written to TEXT (at most SIZE bytes with the final zero). KEY: "name", "platform",
 * "version", "driver", "type", "units", "memory", "max-allocation", "double", "float-vector", "extensions". Errors:
 * ARGUMENT, NO_DEVICE, DEVICE. */
BLO_API blo_status blo_device_describe(int index, const char *key, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
