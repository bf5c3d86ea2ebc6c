/* PNG through libpng: every form becomes 8 bits, over white, grey or RGB, of one size. The file is hostile: its extents
 * and the bytes it may become are bounded before anything is allocated. Must not know folders or archives. */
#include "png.h"

#include "area.h"
#include "blo_config.h"

#ifdef BLO_HAVE_LIBPNG
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 4096, MOST_CHUNK = 1 << 20, MOST_CHUNKS = 100, DAMAGE_SIZE = 80 };

/* All that must survive libpng's longjmp. */
typedef struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *next;
    size_t left;
    uint8_t *decoded;
    png_bytep *rows;
    int width, height, channels;
    bool no_memory;
    uint64_t budget;
    char damage[DAMAGE_SIZE];
} decoder;

static void on_error(png_structp png, png_const_charp text) {
    decoder *by = png_get_error_ptr(png);
    snprintf(by->damage, sizeof by->damage, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png, (void)text;
}

static void on_read(png_structp png, png_bytep out, size_t want) {
    decoder *by = png_get_io_ptr(png);
    if (want > by->left) {
        png_error(png, "it ends too early");
    }
    memcpy(out, by->next, want);
    by->next += want;
    by->left -= want;
}

/* Asks libpng for 8 bits and no palette. */
static void read_header(decoder *by) {
    png_set_user_limits(by->png, MOST_SIDE, MOST_SIDE);
    png_set_chunk_malloc_max(by->png, MOST_CHUNK);
    png_set_chunk_cache_max(by->png, MOST_CHUNKS);
    png_set_read_fn(by->png, by, on_read);
    png_read_info(by->png, by->info);
    png_set_expand(by->png); /* palettes, fewer than 8 bits, a transparent colour */
    png_set_scale_16(by->png);
    png_set_interlace_handling(by->png);
    png_read_update_info(by->png, by->info);
    by->width = (int)png_get_image_width(by->png, by->info);
    by->height = (int)png_get_image_height(by->png, by->info);
    by->channels = png_get_channels(by->png, by->info);
}

static void read_rows(decoder *by) {
    const size_t row = png_get_rowbytes(by->png, by->info);
    if (row != (size_t)by->width * (size_t)by->channels) {
        png_error(by->png, "a form that libpng does not turn into 8 bits");
    }
    const uint64_t bytes = (uint64_t)row * (uint64_t)by->height;
    if (bytes > by->budget) {
        png_error(by->png, "it decodes to more than is sound for a set of this size");
    }
    by->budget -= bytes;
    by->decoded = malloc((size_t)bytes);
    by->rows = malloc((size_t)by->height * sizeof *by->rows);
    if (by->decoded == NULL || by->rows == NULL) {
        by->no_memory = true;
        png_error(by->png, "no memory to decode it");
    }
    for (int y = 0; y < by->height; y++) {
        by->rows[y] = by->decoded + (size_t)y * row;
    }
    png_read_image(by->png, by->rows);
    png_read_end(by->png, NULL);
}

/* False: damage says why. Nothing here but what is in BY is used after the longjmp. */
static bool read_image(decoder *by) {
    if (setjmp(png_jmpbuf(by->png)) != 0) {
        return false;
    }
    read_header(by);
    read_rows(by);
    return true;
}

/* DECODED to CHANNELS channels, then to SIZE. */
static bool bring_to(decoder *by, int size, int channels, uint8_t *pixels) {
    const int64_t count = (int64_t)by->width * by->height;
    uint8_t *wide = by->decoded;
    if (channels > by->channels) { /* grows: not in place */
        wide = malloc((size_t)count * (size_t)channels);
        if (wide == NULL) {
            return false;
        }
    }
    if (channels != by->channels) {
        blo_convert_channels(by->decoded, count, by->channels, channels, wide);
    }
    blo_average_area(wide, by->height, by->width, channels, size, pixels);
    if (wide != by->decoded) {
        free(wide);
    }
    return true;
}

blo_status blo_png_decode(const char *name, const uint8_t *bytes, size_t count, int size, int channels,
                          uint64_t *budget, uint8_t *pixels, const blo_report *report) {
    decoder by = {.next = bytes, .left = count, .budget = *budget};
    blo_status status = BLO_OK;
    by.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &by, on_error, on_warning);
    by.info = by.png == NULL ? NULL : png_create_info_struct(by.png);
    if (by.info == NULL) {
        status = blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to decode it", name);
    } else if (!read_image(&by)) {
        status = by.no_memory
                     ? blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to decode it", name)
                     : blo_report_fail(report, BLO_ERROR_FILE, "%s: cannot be read as PNG: %s", name, by.damage);
    } else if (!bring_to(&by, size, channels, pixels)) {
        status = blo_report_fail(report, BLO_ERROR_MEMORY, "%s: no memory to convert it", name);
    }
    *budget = by.budget;
    png_destroy_read_struct(&by.png, &by.info, NULL);
    free(by.rows);
    free(by.decoded);
    return status;
}

#else

blo_status blo_png_decode(const char *name, const uint8_t *bytes, size_t count, int size, int channels,
                          uint64_t *budget, uint8_t *pixels, const blo_report *report) {
    (void)bytes, (void)count, (void)size, (void)channels, (void)budget, (void)pixels;
    return blo_report_fail(report, BLO_ERROR_UNSUPPORTED,
                           "%s: PNG cannot be read: this library is built without libpng", name);
}

#endif
