/* Status codes, element types and the opaque types shared by every clbilevel header. */
#ifndef CLBILEVEL_TYPES_H
#define CLBILEVEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define BLO_API __attribute__((visibility("default")))
#else
#define BLO_API
#endif

/* Largest number of axes of a tensor or node. */
enum { BLO_MAX_RANK = 8 };

/* What every call that can fail returns. The sentence that says what was wrong comes from blo_context_error(). */
typedef enum blo_status {
    BLO_OK = 0,
    BLO_ERROR_ARGUMENT,   /* a value out of range, NULL, an unknown name */
    BLO_ERROR_SHAPE,      /* shapes or ranks that do not fit */
    BLO_ERROR_DTYPE,      /* element types that do not fit, or double on a device without it */
    BLO_ERROR_STATE,      /* calls in a wrong order, an object already overwritten or changed */
    BLO_ERROR_NO_DEVICE,  /* no OpenCL device, or none of that name */
    BLO_ERROR_MEMORY,     /* host or device memory is exhausted */
    BLO_ERROR_BUDGET,     /* the memory budget is too small; the sentence names the least that would do */
    BLO_ERROR_DEVICE,     /* an OpenCL call failed, or the device is lost */
    BLO_ERROR_BUILD,      /* an OpenCL program did not build; the sentence holds the log */
    BLO_ERROR_NUMERIC,    /* a NaN or an infinity; the sentence names the step, and the task if there are several */
    BLO_ERROR_FILE,       /* a file is missing, damaged, contradictory or cannot be written */
    BLO_ERROR_UNSUPPORTED /* not offered by this device or build */
} blo_status;

/* Element types. Comparisons give BLO_UINT8 (0 or 1); class indices may be BLO_INT32 or BLO_UINT8. */
typedef enum blo_dtype { BLO_FLOAT = 0, BLO_DOUBLE, BLO_INT32, BLO_UINT8 } blo_dtype;

/* How a loss over examples becomes one value. */
typedef enum blo_reduction { BLO_REDUCE_NONE = 0, BLO_REDUCE_MEAN, BLO_REDUCE_SUM } blo_reduction;

/* Which matrix product a context uses. AUTO: CLBlast on GPUs, the library's own kernels on CPU devices. */
typedef enum blo_gemm { BLO_GEMM_AUTO = 0, BLO_GEMM_CLBLAST, BLO_GEMM_OWN } blo_gemm;

/* Whether a context records a lower loop that is queued and replays it with one call, by the device's
 * cl_khr_command_buffer, while what it runs on stays the same (contents may change). No result depends on it. AUTO:
 * where replaying was measured to be clearly faster (blo_context_tune_replay()); where nothing was measured, on devices
 * other than CPUs. ON: else an error (UNSUPPORTED). A context that profiles never does. */
typedef enum blo_replay { BLO_REPLAY_AUTO = 0, BLO_REPLAY_ON, BLO_REPLAY_OFF } blo_replay;

typedef struct blo_context blo_context;           /* one device, its queue, memory pool and kernels */
typedef struct blo_tensor blo_tensor;             /* an array on the device */
typedef struct blo_graph blo_graph;               /* a traced computation */
typedef struct blo_node blo_node;                 /* a value in a graph */
typedef struct blo_function blo_function;         /* a compiled graph that can be called with tensors */
typedef struct blo_model blo_model;               /* named parameters, their gradients, a forward function */
typedef struct blo_bound_model blo_bound_model;   /* a model as an objective sees it: parameters are nodes */
typedef struct blo_optimizer blo_optimizer;       /* SGD or Adam over a model's parameters */
typedef struct blo_lower_solver blo_lower_solver; /* the lower problem and its loop */
typedef struct blo_trajectory blo_trajectory;     /* the auxiliary model: the states of one lower loop */
typedef struct blo_iapttgm blo_iapttgm;           /* the method */

/* The status as a short English phrase, for example "shape error". Never NULL. */
BLO_API const char *blo_status_string(blo_status status);

/* Bytes of one element: 4, 8, 4, 1. 0 for a value that is no dtype. */
BLO_API size_t blo_dtype_size(blo_dtype dtype);

/* "float", "double", "int32", "uint8"; "invalid" otherwise. */
BLO_API const char *blo_dtype_name(blo_dtype dtype);

/* The library's version, "MAJOR.MINOR.PATCH". */
BLO_API const char *blo_version(void);

#ifdef __cplusplus
}
#endif
#endif
