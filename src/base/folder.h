/* The user's cache folder. Must not know what is kept in it. */
#ifndef BLO_BASE_FOLDER_H
#define BLO_BASE_FOLDER_H

/* The folder WANTED; NULL: the user's ($XDG_CACHE_HOME/clbilevel, or ~/.cache/clbilevel); "": none. The caller frees;
 * NULL: none, or no memory. It need not exist. */
char *blo_cache_folder(const char *wanted);

/* Makes FOLDER and those above it, as far as that can be done; what cannot be made shows when a file is opened. */
void blo_make_folders(const char *folder);

#endif
