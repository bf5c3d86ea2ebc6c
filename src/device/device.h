/* The device room's face to the other rooms: context, pool buffers, kernels, launches. Nothing here knows of graphs.
 * Every function that can fail writes the sentence into the context. */
#ifndef BLO_DEVICE_DEVICE_H
#define BLO_DEVICE_DEVICE_H

#include <clbilevel/context.h>
#include <clbilevel/tensor.h>
#include <clbilevel/tune.h>

/* --- errors and statistics --- */

/* Keeps the sentence and returns STATUS. A lost device poisons the context: every later call fails with its sentence.
 */
blo_status blo_fail(blo_context *context, blo_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
/* The counters, to be raised by rooms above (traces, seconds_build). */
blo_statistics *blo_context_counters(blo_context *context);
/* Seconds of a clock that only goes forwards, since some moment. */
double blo_seconds(void);

/* --- facts of the device --- */
typedef struct blo_device_facts {
    bool is_cpu;
    bool has_double;
    bool has_clblast; /* built with it */
    int compute_units;
    int float_vector_width; /* native, 4, 8 or 16 */
    size_t max_work_group;
    uint64_t local_bytes;
    uint64_t global_bytes;
    uint64_t max_allocation;
    uint64_t base_alignment; /* bytes; offsets of arrays within a buffer are kept multiples of this */
    blo_gemm gemm;           /* resolved: never AUTO */
    char name[256];
    blo_tile tiles[2];                       /* float, double: as tuned; 0 rows: not */
    double queued_seconds, replayed_seconds; /* of a tiny launch, as tuned; 0: not */
    bool replays;                            /* loops are to be recorded and replayed */
} blo_device_facts;
const blo_device_facts *blo_context_facts(const blo_context *context);

/* OK, or UNSUPPORTED where what tuning finds could not be kept. Keep: on disk, and in the facts. */
blo_status blo_tuning_possible(blo_context *context);
blo_status blo_tuning_keep(blo_context *context, blo_dtype dtype, const blo_tile *tile);
blo_status blo_tuning_keep_replay(blo_context *context, double queued_seconds, double replayed_seconds);

/* A fresh random stream number: 0, 1, 2 …, for initialisers; and the context's seed. */
uint64_t blo_context_next_stream(blo_context *context);
uint64_t blo_context_seed(const blo_context *context);

/* --- buffers: reference-counted allocations of the pool --- */
typedef struct blo_buffer blo_buffer;

/* Contents undefined. BYTES 0 is allowed. Freed buffers are released to the device at once when the budget asks for it,
 * else may be reused; peak bytes count what the pool holds. Errors: BUDGET (naming bytes asked, held and allowed),
 * MEMORY, DEVICE. */
blo_status blo_buffer_create(blo_context *context, size_t bytes, blo_buffer **buffer);
void blo_buffer_release(blo_buffer *buffer); /* NULL is allowed */
size_t blo_buffer_bytes(const blo_buffer *buffer);
uint64_t
blo_buffer_serial(const blo_buffer *buffer); /* never the same for two buffers of a context, unlike their addresses */
uint64_t blo_context_next_serial(blo_context *context); /* one that no buffer has, nor anything else that asked */
/* Bytes the pool could still give within the budget BUDGET (0: the context's). */
uint64_t blo_pool_available(const blo_context *context, uint64_t budget);
/* Sets the limit of the pool for now (0: the context's own) and returns the old one. */
uint64_t blo_pool_limit(blo_context *context, uint64_t limit);
/* Gives cached free memory back to the device. */
void blo_pool_trim(blo_context *context);

/* All queued in order. Write copies SOURCE before it returns; read waits (and counts a wait) and reports a flagged NaN.
 */
blo_status blo_buffer_write(blo_context *context, blo_buffer *buffer, size_t offset, size_t bytes, const void *source);
blo_status blo_buffer_read(blo_context *context, const blo_buffer *buffer, size_t offset, size_t bytes, void *target);
blo_status blo_buffer_copy(blo_context *context, const blo_buffer *source, size_t source_offset, blo_buffer *target,
                           size_t target_offset, size_t bytes);
blo_status blo_buffer_zero(blo_context *context, blo_buffer *buffer, size_t offset, size_t bytes);

/* Zeros that are due: the whole of BUFFER is zero from here on, and what makes it so is queued before the first command
 * that touches it; every command of this room sees to that. Whoever overwrites all of it may say that it was done. */
blo_status blo_buffer_zero_later(blo_buffer *buffer); /* fails only where the device is lost */
bool blo_buffer_is_due(const blo_buffer *buffer);
blo_status blo_buffer_settle(const blo_buffer *buffer); /* queues its zeros, if they are due */
void blo_buffer_is_done(const blo_buffer *buffer);      /* they are not due any more */

/* --- the profile: where the context was opened with it, launches are timed by rows --- */

bool blo_context_profiles(const blo_context *context);
/* What a row stands for: PART of the work (a literal: "step"), WHAT is computed (copied), and the cost of one launch.
 */
typedef struct blo_work {
    const char *part, *what;
    blo_dtype dtype;
    double flops, bytes;
} blo_work;
/* A new row; its number, from 1, to be given to kernels and library calls. 0: nothing is profiled, or no memory for it.
 */
int blo_profile_add(blo_context *context, const blo_work *work);
void blo_profile_set_part(blo_context *context, int number, const char *part);
/* Adds the cost of one launch that is not the same for all. */
void blo_profile_charge(blo_context *context, int number, double flops, double bytes);

/* --- tensors: what rooms above see of them --- */
blo_context *blo_tensor_context(const blo_tensor *tensor);
blo_buffer *blo_tensor_buffer(const blo_tensor *tensor); /* offset 0 */
void blo_tensor_retain(blo_tensor *tensor);              /* blo_tensor_destroy() gives it up */
uint64_t blo_tensor_version(const blo_tensor *tensor);   /* changes whenever the contents may have changed */
void blo_tensor_touch(blo_tensor *tensor);               /* marks the contents as changed */

/* --- kernels --- */

/* Source of one kernel. NAME is unique for its text (a hash in it). TEXT is complete OpenCL C but for the preamble that
 * the library puts before every program: FP_CONTRACT off, cl_khr_fp64 enabled where the device has it, and what
 * BLO_SUM_IN_ORDER means, which stands before the "for" of each sum by additions (kernels.c). */
typedef struct blo_kernel_source {
    const char *name;
    const char *text;
} blo_kernel_source;

typedef struct blo_kernel blo_kernel; /* a kernel object with its own bound arguments */

/* Notes N sources (copied) that will be asked for: the next program that is built holds them as well, since a program
 * costs more than the kernels in it. Errors: MEMORY. */
blo_status blo_kernels_want(blo_context *context, int n, const blo_kernel_source *sources);

/* Gives a new kernel object for each of N sources. Those not built before in this context, and those that are wanted,
 * are built together as one program, from the user's cache folder where the implementation has no cache of its own.
 * Sources of equal name are built once. On failure nothing is given. Errors: BUILD (with the log), MEMORY, DEVICE. */
blo_status blo_kernels_get(blo_context *context, int n, const blo_kernel_source *sources, blo_kernel **kernels);
void blo_kernel_release(blo_kernel *kernel); /* NULL is allowed */
/* Its launches are of row NUMBER of the profile. */
void blo_kernel_set_row(blo_kernel *kernel, int number);

/* Arguments are bound until bound again. Offsets of arrays are passed as separate ulong arguments by the caller. */
blo_status blo_kernel_set_buffer(blo_kernel *kernel, int index, const blo_buffer *buffer);
blo_status blo_kernel_set_ulong(blo_kernel *kernel, int index, uint64_t value);
blo_status blo_kernel_set_int(blo_kernel *kernel, int index, int32_t value);

/* Enqueues. GLOBAL is rounded up by the caller; LOCAL NULL: the implementation's choice. Counts a launch. A GLOBAL of 0
 * does nothing. */
blo_status blo_kernel_launch(blo_kernel *kernel, int dimensions, const size_t *global, const size_t *local);
/* The same, and zeros that are due stay so: the caller knows that the kernel touches no such buffer, or overwrites it.
 */
blo_status blo_kernel_launch_beside(blo_kernel *kernel, int dimensions, const size_t *global, const size_t *local);

/* --- recordings: launches kept to be queued again with one call --- */
typedef struct blo_recording blo_recording;

/* From now until it ends, what is launched is not queued but recorded, with the arguments that are bound then. Nothing
 * else may be queued meanwhile. *RECORDING: NULL, or one to be recorded anew; on failure there may be one, not made.
 * Errors: MEMORY, DEVICE. Owner: the caller. Only where the facts say that the context replays, or tunes. */
blo_status blo_recording_begin(blo_context *context, blo_recording **recording);
/* Now it can be replayed. On failure it is as if never made. */
blo_status blo_recording_end(blo_recording *recording);
/* Ends it without a recording: something went wrong. */
void blo_recording_abandon(blo_recording *recording);
/* Whether it can be replayed: false after the pool has given memory back to the device, which it may have used. NULL is
 * allowed. What was bound must still be there and mean the same, else it is not to be replayed. */
bool blo_recording_is_made(const blo_recording *recording);
/* Whether the host has not waited since it was replayed: it cannot be replayed again before. */
bool blo_recording_is_pending(const blo_recording *recording);
/* Queues all its launches, in order, and counts them. */
blo_status blo_recording_replay(blo_recording *recording);
void blo_recording_release(blo_recording *recording); /* NULL is allowed */

/* C = op(A) op(B), row-major, batched by strides in elements, by CLBlast. Leading dimensions are those of the stored
 * matrices. Counts one launch. Errors: UNSUPPORTED (built without), DEVICE. */
typedef struct blo_gemm_call {
    blo_dtype dtype;
    bool transpose_a, transpose_b;
    int64_t batch, m, n, k;
    const blo_buffer *a, *b;
    blo_buffer *c;
    uint64_t a_offset, b_offset, c_offset; /* elements */
    int row;                               /* of the profile */
} blo_gemm_call;
blo_status blo_clblast_gemm(blo_context *context, const blo_gemm_call *call);

/* --- the flag of NaNs and infinities --- */
/* Queues a check of COUNT elements of DTYPE at OFFSET (elements): the first failed check since the last wait is kept,
 * as the TAG of that check, which is not 0. A wait that finds a flag returns NUMERIC with a sentence that tells TAG as
 * the lower step, and clears it. */
blo_status blo_flag_check(blo_context *context, blo_dtype dtype, const blo_buffer *buffer, uint64_t offset,
                          uint64_t count, uint32_t tag);
/* What elements belong to, each to one of N parts or to none; the sentence tells the first part that was bad. Element I
 * of those checked is of part FIRST + I / EACH; or, EACH is 0, a table tells: ROWS of two 64-bit numbers, bytes from
 * the first element to where N parts follow one another, and bytes of one. The table is used up once the check is
 * queued. */
typedef struct blo_flag_parts {
    const char *name; /* of one; a literal */
    int n, first;
    uint64_t each;
    const blo_buffer *table;
    int rows;
} blo_flag_parts;
/* The same check, which tells the part; not where PARTS is NULL or of one part alone. */
blo_status blo_flag_check_parts(blo_context *context, blo_dtype dtype, const blo_buffer *buffer, uint64_t offset,
                                uint64_t count, uint32_t tag, const blo_flag_parts *parts);
/* Wants the kernels of the checks and commits of DTYPE (blo_kernels_want()). */
blo_status blo_flag_want(blo_context *context, blo_dtype dtype);
/* The buffer whose first uint is 0 while nothing is flagged: kernels that commit results look at it. */
blo_buffer *blo_flag_buffer(blo_context *context);
/* TARGET[count] += SOURCE[count] unless something is flagged (queued). */
blo_status blo_flag_commit(blo_context *context, blo_dtype dtype, const blo_buffer *source, uint64_t source_offset,
                           blo_buffer *target, uint64_t target_offset, uint64_t count);

#endif
