/* Where the user's cache folder is, and making it. Must not know what is kept in it. */
#include "folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char *blo_cache_folder(const char *wanted) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *middle = "/clbilevel";
    if (wanted && !*wanted)
        return NULL;
    if (wanted) {
        base = wanted;
        middle = "";
    } else if (!base || !*base) {
        base = home;
        middle = "/.cache/clbilevel";
    }
    if (!base || !*base)
        return NULL;
    char *folder = malloc(strlen(base) + strlen(middle) + 1);
    if (folder)
        sprintf(folder, "%s%s", base, middle);
    return folder;
}

void blo_make_folders(const char *folder) {
    enum { MAX_PATH = 1024 };
    char path[MAX_PATH];
    if (snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path)
        return;
    for (char *slash = path[0] ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777); /* may exist; if it cannot be made, opening the file fails */
        *slash = '/';
    }
    mkdir(path, 0777);
}
