/* Images out of a folder. Must not know what becomes of them. */
#ifndef BLO_DATA_IMAGE_FOLDER_H
#define BLO_DATA_IMAGE_FOLDER_H

#include "image_list.h"

/* Adds the images below the folder PATH to LIST. Errors: FILE, MEMORY, UNSUPPORTED. */
blo_status blo_image_folder_read(const char *path, blo_image_list *list, const blo_report *report);

#endif
