/* A store of what plans compute from fixed inputs only (packed operands of products): each kept once, however many
 * plans read it, for as long as one of them does. */
#ifndef BLO_PLAN_STORE_H
#define BLO_PLAN_STORE_H

#include "device/device.h"

typedef struct blo_stored {
    struct blo_stored *next;
    char *key; /* tells the kernel, its arguments and the contents of its inputs */
    blo_buffer *buffer;
    int references; /* plans */
} blo_stored;

typedef struct blo_store {
    blo_stored *all;
} blo_store;

/* What KEY stands for, with one more reference; NULL: it is not there. */
blo_stored *blo_store_find(blo_store *store, const char *key);
/* Room of BYTES for what KEY stands for, with one reference; the caller fills it. Errors: those of a buffer; MEMORY. */
blo_status blo_store_add(blo_store *store, blo_context *context, const char *key, size_t bytes, blo_stored **stored);
/* Gives back one reference; the last one frees it. NULL is allowed. */
void blo_store_release(blo_store *store, blo_stored *stored);

#endif
