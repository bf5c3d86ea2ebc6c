/* Tuning: which tile the library's own matrix products use on a device, and whether lower loops are replayed, by
 * measurement. No result depends on it, not in one bit. Untuned, a tile is chosen by the device's vectors. */
#ifndef CLBILEVEL_TUNE_H
#define CLBILEVEL_TUNE_H

#include <clbilevel/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A tile of the result, held in registers: ROWS x (VECTORS * VECTOR). */
typedef struct blo_tile {
    int rows, vectors;
    int vector;              /* elements of a vector */
    double flops_per_second; /* as measured, over all shapes */
} blo_tile;

/* Called for each tile that was measured. */
typedef void (*blo_tune_report)(const blo_tile *tile, void *user);

/* Measures every candidate on products of DTYPE (seconds to a minute), uses the fastest in this context's plans from
 * now on, and keeps it for later contexts of the same device and driver, in "tuning.json" in the cache folder. A file
 * there that is damaged or of another version is ignored, and replaced. REPORT may be NULL. Errors: UNSUPPORTED (the
 * device's products are a library's; no cache folder; built without jansson), DTYPE, FILE, MEMORY, BUILD, DEVICE. */
BLO_API blo_status blo_context_tune(blo_context *context, blo_dtype dtype, blo_tune_report report, void *user,
                                    blo_tile *best);

/* Measures the seconds that a launch takes, queued by itself and as one of a recording that is replayed (well under a
 * second), decides by it whether this context replays (blo_replay), and keeps it like the tiles. Either may be NULL.
 * Errors: UNSUPPORTED (the device cannot, or the context may not record; no cache folder; built without jansson), FILE,
 * MEMORY, BUDGET, BUILD, DEVICE. */
BLO_API blo_status blo_context_tune_replay(blo_context *context, double *queued_seconds, double *replayed_seconds);

#ifdef __cplusplus
}
#endif

#endif
