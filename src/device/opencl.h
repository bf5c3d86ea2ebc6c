/* Inside the device room: the context's parts, and how OpenCL's results are taken. The only folder that sees OpenCL. */
#ifndef BLO_DEVICE_OPENCL_H
#define BLO_DEVICE_OPENCL_H

#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include "device.h"

typedef struct blo_program_entry { /* one kernel that was built */
    char *name;
    cl_program program; /* counted once per entry */
} blo_program_entry;

typedef struct blo_wanted { /* a source that will be asked for */
    struct blo_wanted *next;
    char *name, *text;
} blo_wanted;

typedef struct blo_staging { /* host memory that a queued write still reads */
    struct blo_staging *next;
    size_t bytes;
} blo_staging;

typedef struct blo_profile blo_profile;

/* What is used of cl_khr_command_buffer; NULL stands for what is not. */
typedef struct blo_command_buffer_object *blo_command_buffer;
typedef struct blo_recording_calls {
    blo_command_buffer(CL_API_CALL *create)(cl_uint n_queues, const cl_command_queue *queues, const void *properties,
                                            cl_int *code);
    cl_int(CL_API_CALL *finalize)(blo_command_buffer buffer);
    cl_int(CL_API_CALL *release)(blo_command_buffer buffer);
    cl_int(CL_API_CALL *enqueue)(cl_uint n_queues, cl_command_queue *queues, blo_command_buffer buffer,
                                 cl_uint n_events, const cl_event *events, cl_event *event);
    cl_int(CL_API_CALL *launch)(blo_command_buffer buffer, cl_command_queue queue, const void *properties,
                                cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
                                const size_t *local, cl_uint n_points, const cl_uint *points, cl_uint *point,
                                void *handle);
} blo_recording_calls;

typedef struct blo_peak { /* 0: not measured yet */
    double flops_per_second, bytes_per_second;
} blo_peak;

struct blo_context {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    blo_device_facts facts;
    blo_statistics counters;
    char error[4096];
    bool lost, used_clblast;
    uint64_t seed, next_stream;
    char *cache_folder, *dump_folder; /* NULL: none */
    const char *build_options;
    long faults;            /* calls until one is made to fail, 0: never */
    bool exact;             /* buffers of just the bytes asked for, so that a checker sees what goes beyond */
    uint64_t budget, limit; /* of the pool: the context's own, and what holds now */
    uint64_t cached_bytes;  /* of buffers given back and kept for reuse */
    blo_buffer *cached;
    blo_buffer *due; /* buffers whose zeros are not queued yet */
    uint64_t next_serial;
    int n_programs, programs_capacity;
    blo_program_entry *programs;
    blo_wanted *wanted;          /* sources to be built with the next program, in the order they came */
    blo_staging *staged, *spare; /* what queued writes read, until the next wait; and what is kept for those to come */
    size_t staged_bytes, spare_bytes;
    int unstarted;                    /* launches since the device was last told to start */
    blo_buffer *flag;                 /* blo_flag_words */
    uint32_t checks;                  /* queued so far; goes round, without 0 */
    blo_flag_parts bound_parts[2];    /* what the kernels of checks are bound to, ... */
    uint64_t bound_table[2];          /* ... with this buffer's serial; 0: to nothing yet */
    const char *part_name;            /* of what the checks look at, borrowed; NULL: no check told its parts yet */
    bool flag_used;                   /* a check was queued since the flag was last known to be clear */
    blo_kernel *check[2], *commit[2]; /* float, double; built at first use */
    blo_profile *profile;             /* NULL: nothing is profiled */
    blo_peak peak[2];                 /* float, double */
    blo_replay replay;                /* as asked for */
    bool can_record;                  /* and may */
    blo_recording_calls recording_calls;
    blo_recording *recordings; /* all there are */
    blo_recording *recording;  /* launches go there; NULL: to the queue */
};

struct blo_buffer {
    blo_context *context;
    cl_mem memory;
    size_t bytes, capacity;
    int references;
    uint64_t serial;
    blo_buffer *next;     /* in the list of cached ones */
    bool due;             /* its zeros are not queued yet */
    blo_buffer *due_next; /* in the list of those */
};

typedef struct blo_argument { /* of a kernel, as bound last */
    size_t size;
    unsigned char value[sizeof(cl_ulong)];
} blo_argument;

struct blo_kernel {
    blo_context *context;
    cl_kernel kernel;
    const char *name; /* the context's */
    int row;          /* of the profile, 0: none yet */
    int n_arguments;
    blo_argument *arguments; /* [n_arguments]; where launches can be recorded */
};

/* Another kernel object with the same arguments bound; the context can record. */
blo_status blo_kernel_copy(const blo_kernel *kernel, blo_kernel **copy);

/* Ends what CLBlast keeps, if CONTEXT used it (clblast.c). */
void blo_clblast_release(const blo_context *context);

/* CL_SUCCESS, or the failure that a test asked for instead of the call about to be made. */
cl_int blo_fault(blo_context *context);
/* Takes the result of the OpenCL call CALL: OK, or the sentence with the error's name. Notes a lost device. */
blo_status blo_check(blo_context *context, cl_int code, const char *call);

/* Chooses a device by WHAT (see blo_context_options.device). The sentence goes to CONTEXT. */
blo_status blo_choose_device(blo_context *context, const char *what);
blo_status blo_read_facts(blo_context *context, blo_gemm gemm);
/* Adds to the facts what tuning found before. */
void blo_tuning_read(blo_context *context);

/* Queues all zeros that are due. */
blo_status blo_queue_zeros(blo_context *context);
/* After some launches: tells the device to start, so that it works while the host goes on queueing. */
blo_status blo_queue_start(blo_context *context);

/* What the flag holds: the tag of the first check that failed, 0: nothing is flagged; its number; ~ of the first part
 * that was bad, 0: that is not known; of so many. */
typedef struct blo_flag_words {
    cl_uint tag, check, inverted_part, parts;
} blo_flag_words;
/* After the host has waited: frees staged memory. IS_READ: FLAG is what the flag held; else that is not known, and the
 * next wait has to ask again. */
blo_status blo_after_wait(blo_context *context, bool is_read, const blo_flag_words *flag);
/* Queues the read of the flag into FLAG if a check was queued since it was last known to be clear. */
blo_status blo_queue_flag_read(blo_context *context, blo_flag_words *flag);
void blo_flag_release(blo_context *context);
void blo_staging_release(blo_context *context);
/* Forgets the sources that were wanted. */
void blo_wanted_release(blo_context *context);

/* --- recordings (recording.c) --- */

/* Whether CONTEXT can record, and may. Errors: ARGUMENT, UNSUPPORTED. */
blo_status blo_recordings_open(blo_context *context, blo_replay replay, bool profile);
/* Sets the fact that loops are replayed, by what was asked for and what tuning measured. */
void blo_recordings_decide(blo_context *context);
/* Memory is about to be given back to the device that recordings may use: they are as if never made. */
void blo_recordings_drop(blo_context *context);
blo_status blo_recording_launch(blo_recording *recording, const blo_kernel *kernel, int dimensions,
                                const size_t *global, const size_t *local);

/* --- the profile (profile.c) --- */
/* Rows that every profile has. */
enum {
    BLO_PROFILE_WRITE = 1,
    BLO_PROFILE_READ,
    BLO_PROFILE_COPY,
    BLO_PROFILE_ZERO,
    BLO_PROFILE_CHECK,
    BLO_PROFILE_COMMIT
};
blo_status blo_profile_open(blo_context *context);
void blo_profile_close(blo_context *context);
/* What to give to an enqueueing call as its event: EVENT, or NULL where nothing is profiled. *EVENT is NULL then. */
cl_event *blo_profile_event(const blo_context *context, cl_event *event);
/* A marker whose end is where what is queued next begins, for calls that queue several kernels; NULL: no profile. */
cl_event blo_profile_marker(blo_context *context);
/* Notes a launch of row NUMBER and takes the events (NULL: does nothing); what goes wrong is told when the profile is
 * read. BEFORE: NULL or a marker. */
void blo_profile_note(blo_context *context, int number, cl_event before, cl_event event);
/* After a wait: takes the times of all launches noted. */
void blo_profile_drain(blo_context *context);

/* The two kernels of cl/peak.cl, multiply-adds and reads, for vectors of WIDTH (peak.c). */
blo_status blo_peak_kernels(blo_context *context, blo_dtype dtype, int width, blo_kernel *kernels[2]);

/* Binaries on disk. KEY identifies device, driver, library and source. *BINARY is malloc'ed; false: not there or
 * damaged. */
bool blo_cache_read(const char *folder, const char *key, unsigned char **binary, size_t *size);
void blo_cache_write(const char *folder, const char *key, const unsigned char *binary, size_t size);

#endif
