/* Classes and splits by the folders that images lie in. Paths are labels, taken apart at their slashes, nothing more.
 * Must not know pixels or files. */
#include "image_names.h"

#include <clbilevel/images.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool blo_tidy_path(const char *path, char tidy[BLO_PATH_SIZE]) {
    size_t length = 0;
    while (*path != '\0') {
        const size_t part = strcspn(path, "/");
        const bool empty = part == 0 || (part == 1 && path[0] == '.');
        if (!empty) {
            if (length + part + 2 > BLO_PATH_SIZE) {
                return false;
            }
            if (length != 0) {
                tidy[length++] = '/';
            }
            memcpy(tidy + length, path, part);
            length += part;
        }
        path += part + (path[part] == '/');
    }
    tidy[length] = '\0';
    return length != 0;
}

bool blo_is_image_path(const char *tidy) {
    const char *slash = strrchr(tidy, '/'), *name = slash == NULL ? tidy : slash + 1;
    const size_t length = strlen(name);
    return name[0] != '.' && length > 4 && strcasecmp(name + length - 4, ".png") == 0;
}

/* How many folders PATH has. */
static int depth_of(const char *path) {
    int depth = 0;
    for (; (path = strchr(path, '/')) != NULL; path++) {
        depth++;
    }
    return depth;
}

/* Where folder K (or at K = depth the file's name) of PATH begins. */
static int folder_at(const char *path, int k) {
    const char *at = path;
    for (; k > 0; k--) {
        at = strchr(at, '/') + 1;
    }
    return (int)(at - path);
}

static bool is_part(const char *at, const char *word) {
    const size_t length = strlen(word);
    return strncmp(at, word, length) == 0 && at[length] == '/';
}

static int split_named(const char *at) {
    return is_part(at, "train")                                                      ? BLO_SPLIT_TRAIN
           : is_part(at, "val") || is_part(at, "valid") || is_part(at, "validation") ? BLO_SPLIT_VALIDATION
           : is_part(at, "test")                                                     ? BLO_SPLIT_TEST
                                                                                     : BLO_NO_SPLIT;
}

/* The level of folders at which every image has a split's name, with a class below; -1: there is none. */
static int split_level(const blo_image_name *names, int64_t count, int least_depth) {
    for (int level = 0; level + 1 < least_depth; level++) {
        int64_t named = 0;
        while (named < count && split_named(names[named].path + folder_at(names[named].path, level)) != BLO_NO_SPLIT) {
            named++;
        }
        if (named == count) {
            return level;
        }
    }
    return -1;
}

/* "characterNN", to a slash or the end. */
static bool is_character(const char *at) {
    static const char word[] = "character";
    if (strncmp(at, word, sizeof word - 1) != 0 || !isdigit((unsigned char)at[sizeof word - 1])) {
        return false;
    }
    at += sizeof word - 1;
    at += strspn(at, "0123456789");
    return *at == '/' || *at == '\0';
}

static bool all_are_characters(const blo_image_name *names, int64_t count, int least_depth) {
    for (int64_t i = 0; i < count && least_depth >= 2; i++) {
        const char *path = names[i].path;
        if (!is_character(path + folder_at(path, depth_of(path) - 1))) {
            return false;
        }
    }
    return least_depth >= 2;
}

/* How many folders, the same for all, lie above the classes. */
static int common_folders(const blo_image_name *names, int64_t count, int least_depth) {
    int common = least_depth - 1;
    for (int64_t i = 1; i < count; i++) {
        while (common > 0 && strncmp(names[0].path, names[i].path, (size_t)folder_at(names[0].path, common)) != 0) {
            common--;
        }
    }
    return common;
}

static int compare(const void *left, const void *right) {
    const blo_image_name *a = left, *b = right;
    if (a->split != b->split) {
        return a->split < b->split ? -1 : 1;
    }
    const int shorter = a->class_length < b->class_length ? a->class_length : b->class_length;
    const int order = memcmp(a->path + a->class_at, b->path + b->class_at, (size_t)shorter);
    if (order != 0 || a->class_length != b->class_length) {
        return order != 0 ? order : a->class_length < b->class_length ? -1 : 1;
    }
    return strcmp(a->path, b->path);
}

blo_status blo_classify(const char *source, blo_image_name *names, int64_t count, const blo_report *report) {
    char shown[BLO_SHOWN_SIZE];
    int least_depth = BLO_PATH_SIZE;
    for (int64_t i = 0; i < count; i++) {
        const int depth = depth_of(names[i].path);
        if (depth == 0) {
            return blo_report_fail(report, BLO_ERROR_FILE, "%s: '%s' lies in no folder of a class (CLASS/image.png)",
                                   source, blo_report_name(names[i].path, shown));
        }
        least_depth = depth < least_depth ? depth : least_depth;
    }
    const int level = split_level(names, count, least_depth);
    const bool characters = level < 0 && all_are_characters(names, count, least_depth);
    const int common = level >= 0 ? level + 1 : characters ? 0 : common_folders(names, count, least_depth);
    for (int64_t i = 0; i < count; i++) {
        const char *path = names[i].path;
        const int depth = depth_of(path);
        names[i].split = level < 0 ? BLO_NO_SPLIT : split_named(path + folder_at(path, level));
        names[i].class_at = folder_at(path, characters ? depth - 2 : common);
        names[i].class_length = folder_at(path, depth) - 1 - names[i].class_at;
    }
    qsort(names, (size_t)count, sizeof *names, compare);
    for (int64_t i = 1; i < count; i++) {
        if (strcmp(names[i].path, names[i - 1].path) == 0) {
            return blo_report_fail(report, BLO_ERROR_FILE, "%s: holds '%s' twice", source,
                                   blo_report_name(names[i].path, shown));
        }
    }
    return BLO_OK;
}

/* The split's lists; what is in neither is for training, as are Gurmukhi's characters below the first for test. */
static const char *const VALIDATION[] = {"Armenian", "Bengali", "Early_Aramaic", "Hebrew", "Mkhedruli_(Georgian)"};
static const char *const TEST[] = {
    "Kannada", "Keble",   "Malayalam",      "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)",
    "Oriya",   "Sylheti", "Syriac_(Serto)", "Tengwar",  "Tibetan",   "ULOG"};
static const char GURMUKHI[] = "Gurmukhi";
enum { GURMUKHI_FIRST_TEST = 42 };

static bool is_listed(const char *const *list, size_t count, const char *class_name) {
    for (size_t i = 0; i < count; i++) {
        if (is_part(class_name, list[i])) {
            return true;
        }
    }
    return false;
}

int blo_vinyals_split(const char *class_name) {
    const char *slash = strchr(class_name, '/');
    if (slash == NULL || !is_character(slash + 1)) {
        return BLO_NO_SPLIT;
    }
    if (is_listed(VALIDATION, sizeof VALIDATION / sizeof *VALIDATION, class_name)) {
        return BLO_SPLIT_VALIDATION;
    }
    const long number = strtol(slash + sizeof "/character" - 1, NULL, 10);
    const bool test = is_listed(TEST, sizeof TEST / sizeof *TEST, class_name) ||
                      (is_part(class_name, GURMUKHI) && number >= GURMUKHI_FIRST_TEST);
    return test ? BLO_SPLIT_TEST : BLO_SPLIT_TRAIN;
}
