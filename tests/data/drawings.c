/* PNG images, archives and folders of them for the tests of readers. */
#define _XOPEN_SOURCE 700
#include "drawings.h"

#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <ftw.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void on_write(png_structp png, png_bytep bytes, size_t count) {
    drawing *made = png_get_io_ptr(png);
    ck_assert_uint_le(made->count + count, sizeof made->bytes);
    memcpy(made->bytes + made->count, bytes, count);
    made->count += count;
}

static void on_flush(png_structp png) {
    (void)png;
}

void drawing_make(int width, int height, int type, int depth, bool interlaced, const uint8_t *rows, drawing *made) {
    static const png_color palette[] = {{0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {10, 20, 30}};
    static const png_byte opacity[] = {255, 255, 255, 0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL); /* an error aborts */
    png_infop info = png_create_info_struct(png);
    made->count = 0;
    png_set_write_fn(png, made, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_PLTE(png, info, palette, 4);
        png_set_tRNS(png, info, opacity, 4, NULL);
    }
    png_write_info(png, info);
    const size_t row = png_get_rowbytes(png, info);
    png_bytep *at = malloc((size_t)height * sizeof *at);
    for (int y = 0; y < height; y++) {
        at[y] = (png_bytep)(uintptr_t)(rows + (size_t)y * row);
    }
    png_write_image(png, at);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(at);
}

void drawing_numbered(int side, int number, drawing *made) {
    uint8_t pixels[64 * 64];
    for (int i = 0; i < side * side; i++) {
        pixels[i] = (uint8_t)(7 * i + 31 * number);
    }
    drawing_make(side, side, PNG_COLOR_TYPE_GRAY, 8, false, pixels, made);
}

struct packed {
    struct archive *archive;
    uint8_t *bytes;
    size_t room, used;
};

packed *packed_begin(archive_form form) {
    enum { ROOM = 8 << 20 };
    packed *made = calloc(1, sizeof *made);
    made->archive = archive_write_new();
    made->bytes = malloc(ROOM);
    made->room = ROOM;
    if (form == FORM_ZIP) {
        archive_write_set_format_zip(made->archive);
    } else {
        archive_write_set_format_pax_restricted(made->archive);
    }
    if (form == FORM_TAR_GZ) {
        archive_write_add_filter_gzip(made->archive);
    } else if (form == FORM_TAR_XZ) {
        archive_write_add_filter_xz(made->archive);
        archive_write_set_filter_option(made->archive, "xz", "compression-level", "0");
    }
    ck_assert_int_eq(archive_write_open_memory(made->archive, made->bytes, made->room, &made->used), ARCHIVE_OK);
    return made;
}

void packed_add(packed *into, const char *name, const void *bytes, size_t count) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)count);
    ck_assert_int_eq(archive_write_header(into->archive, entry), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_data(into->archive, bytes, count), (la_ssize_t)count);
    archive_entry_free(entry);
}

void packed_link(packed *into, const char *name, const char *target) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_hardlink(entry, target);
    ck_assert_int_eq(archive_write_header(into->archive, entry), ARCHIVE_OK);
    archive_entry_free(entry);
}

uint8_t *packed_end(packed *into, size_t *count) {
    ck_assert_int_eq(archive_write_close(into->archive), ARCHIVE_OK);
    archive_write_free(into->archive);
    uint8_t *bytes = into->bytes;
    *count = into->used;
    free(into);
    return bytes;
}

void tree_add(const char *folder, const char *name, const void *bytes, size_t count) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777); /* may be there */
        *slash = '/';
    }
    FILE *file = fopen(path, "wb");
    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    ck_assert_int_eq(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info, (void)kind, (void)at;
    return remove(path);
}

void tree_remove(const char *folder) {
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
