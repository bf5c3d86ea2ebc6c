/* PNG images and archives for the tests of readers, made in memory by libpng and libarchive, and folders of them. */
#ifndef BLO_TESTS_DRAWINGS_H
#define BLO_TESTS_DRAWINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DRAWING_MOST = 1 << 16 };

typedef struct drawing {
    uint8_t bytes[DRAWING_MOST];
    size_t count;
} drawing;

/* A PNG of TYPE (PNG_COLOR_TYPE_…) and DEPTH from ROWS, packed as PNG has them; palette images have the entries
 * (0,0,0), (255,0,0), (0,255,0), (10,20,30) of opacity 255, 255, 255, 0. */
void drawing_make(int width, int height, int type, int depth, bool interlaced, const uint8_t *rows, drawing *made);
/* An 8-bit grey one, SIDE square, whose pixel i is 7 i + 31 NUMBER (mod 256). */
void drawing_numbered(int side, int number, drawing *made);

typedef enum archive_form { FORM_TAR, FORM_TAR_GZ, FORM_TAR_XZ, FORM_ZIP, FORMS } archive_form;

typedef struct packed packed;

/* An archive being made; packed_end() gives its bytes, which the caller frees. */
packed *packed_begin(archive_form form);
void packed_add(packed *into, const char *name, const void *bytes, size_t count);
/* A hard link NAME to TARGET. */
void packed_link(packed *into, const char *name, const char *target);
uint8_t *packed_end(packed *into, size_t *count);

/* FOLDER/NAME with these bytes; makes the folders between. */
void tree_add(const char *folder, const char *name, const void *bytes, size_t count);
/* Removes FOLDER and all below it. */
void tree_remove(const char *folder);

#endif
