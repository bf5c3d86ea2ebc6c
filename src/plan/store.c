/* The store of what stays over many runs; see store.h. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

blo_stored *blo_store_find(blo_store *store, const char *key) {
    for (blo_stored *stored = store->all; stored; stored = stored->next)
        if (!strcmp(stored->key, key)) {
            stored->references++;
            return stored;
        }
    return NULL;
}

blo_status blo_store_add(blo_store *store, blo_context *context, const char *key, size_t bytes, blo_stored **result) {
    *result = NULL;
    blo_stored *stored = calloc(1, sizeof *stored);
    char *copy = malloc(strlen(key) + 1);
    blo_status status = BLO_OK;
    if (!stored || !copy)
        status = blo_fail(context, BLO_ERROR_MEMORY, "no host memory for what plans share");
    if (status == BLO_OK)
        status = blo_buffer_create(context, bytes, &stored->buffer);
    if (status != BLO_OK) {
        free(stored);
        free(copy);
        return status;
    }
    stored->key = strcpy(copy, key);
    stored->references = 1;
    stored->next = store->all;
    *result = store->all = stored;
    return BLO_OK;
}

void blo_store_release(blo_store *store, blo_stored *stored) {
    if (!stored || --stored->references > 0)
        return;
    blo_stored **link = &store->all;
    while (*link != stored)
        link = &(*link)->next;
    *link = stored->next;
    blo_buffer_release(stored->buffer);
    free(stored->key);
    free(stored);
}
