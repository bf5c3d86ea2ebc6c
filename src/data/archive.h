/* Images out of an archive. Must not know where the archive's bytes come from. */
#ifndef BLO_DATA_ARCHIVE_H
#define BLO_DATA_ARCHIVE_H

#include "image_list.h"

/* Adds the images of the archive BYTES[COUNT] (tar, plain, gzip or xz; zip) to LIST, whose budget is lowered by what is
 * unpacked. Errors: FILE, MEMORY, UNSUPPORTED (built without libarchive). */
blo_status blo_archive_read(const uint8_t *bytes, size_t count, blo_image_list *list, const blo_report *report);

/* What an archive of COUNT bytes may sensibly become, unpacked and decoded. */
uint64_t blo_archive_budget(size_t count);

#endif
