/* Built programs on disk: one file per program, whose name is a hash of its key and which holds the key whole, the
 * binary and a checksum. A file that does not fit in every byte is ignored. Knows files only. */
#include "opencl.h"

#include "base/folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "blocl01";
enum { MAX_PATH = 1024, MAX_FILE = 64 << 20 };

typedef struct header {
    char magic[8];
    uint64_t key_bytes, binary_bytes, checksum;
} header;

static uint64_t hash(const void *data, size_t size) { /* FNV-1a */
    const unsigned char *bytes = data;
    uint64_t value = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ bytes[i]) * 1099511628211u;
    return value;
}

static bool path_of(const char *folder, const char *key, const char *suffix, char path[MAX_PATH]) {
    return snprintf(path, MAX_PATH, "%s/%016" PRIx64 ".bin%s", folder, hash(key, strlen(key)), suffix) < MAX_PATH;
}

bool blo_cache_read(const char *folder, const char *key, unsigned char **binary, size_t *size) {
    char path[MAX_PATH];
    FILE *file = path_of(folder, key, "", path) ? fopen(path, "rb") : NULL;
    header head;
    char *stored = NULL;
    bool good = false;
    *binary = NULL;
    if (!file)
        return false;
    if (fread(&head, sizeof head, 1, file) != 1 || memcmp(head.magic, magic, sizeof magic) ||
        head.key_bytes != strlen(key) || head.binary_bytes == 0 || head.binary_bytes > MAX_FILE)
        goto done;
    stored = malloc((size_t)head.key_bytes + 1);
    *binary = malloc((size_t)head.binary_bytes);
    if (!stored || !*binary || fread(stored, 1, (size_t)head.key_bytes, file) != head.key_bytes ||
        fread(*binary, 1, (size_t)head.binary_bytes, file) != head.binary_bytes || fgetc(file) != EOF)
        goto done;
    good = !memcmp(stored, key, (size_t)head.key_bytes) && hash(*binary, (size_t)head.binary_bytes) == head.checksum;
    *size = (size_t)head.binary_bytes;
done:
    fclose(file);
    free(stored);
    if (!good) {
        free(*binary);
        *binary = NULL;
    }
    return good;
}

void blo_cache_write(const char *folder, const char *key, const unsigned char *binary, size_t size) {
    char path[MAX_PATH], temporary[MAX_PATH], suffix[32];
    snprintf(suffix, sizeof suffix, ".%ld", (long)getpid());
    if (size > MAX_FILE || !path_of(folder, key, "", path) || !path_of(folder, key, suffix, temporary))
        return;
    blo_make_folders(folder);
    FILE *file = fopen(temporary, "wb");
    if (!file)
        return;
    header head = {.key_bytes = strlen(key), .binary_bytes = size, .checksum = hash(binary, size)};
    memcpy(head.magic, magic, sizeof magic);
    bool written = fwrite(&head, sizeof head, 1, file) == 1 && fwrite(key, 1, strlen(key), file) == strlen(key) &&
                   fwrite(binary, 1, size, file) == size;
    written = fclose(file) == 0 && written;
    if (!written || rename(temporary, path) != 0)
        remove(temporary);
}
