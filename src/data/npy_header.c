/* The dictionary in the head of a NumPy file, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }: read as just
 * that, never evaluated. Must not know files or elements. */
#include "npy.h"

#include <string.h>

typedef struct cursor {
    const char *at, *end;
} cursor;

enum { KEY_DESCR = 1, KEY_ORDER = 2, KEY_SHAPE = 4, KEY_ALL = 7, SHOWN = 40 };

static void skip_space(cursor *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t' || *text->at == '\n' || *text->at == '\r')) {
        text->at++;
    }
}

/* Takes WORD, after any space, if it is next. */
static bool take(cursor *text, const char *word) {
    const size_t length = strlen(word);
    skip_space(text);
    if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length) != 0) {
        return false;
    }
    text->at += length;
    return true;
}

/* A quoted string without escapes: the header has no use for others. */
static bool take_string(cursor *text, const char **start, size_t *length) {
    skip_space(text);
    if (text->at == text->end || (*text->at != '\'' && *text->at != '"')) {
        return false;
    }
    const char quote = *text->at++;
    const char *close = memchr(text->at, quote, (size_t)(text->end - text->at));
    if (close == NULL) {
        return false;
    }
    *start = text->at;
    *length = (size_t)(close - text->at);
    text->at = close + 1;
    return true;
}

static bool equals(const char *start, size_t length, const char *word) {
    return length == strlen(word) && memcmp(start, word, length) == 0;
}

/* A number of at most INT64_MAX. */
static bool take_extent(cursor *text, int64_t *extent) {
    int64_t value = 0;
    skip_space(text);
    const char *start = text->at;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9') {
        const int digit = *text->at - '0';
        if (value > (INT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        text->at++;
    }
    *extent = value;
    const bool some = text->at > start;
    if (some && text->at < text->end && *text->at == 'L') { /* Python 2's long integers */
        text->at++;
    }
    return some;
}

/* (), (3,), (3, 4) or (3, 4,): a tuple of one needs its comma, as in Python. */
static bool take_shape(cursor *text, blo_npy_header *header) {
    bool comma = true;
    header->rank = 0;
    if (!take(text, "(")) {
        return false;
    }
    while (!take(text, ")")) {
        if (!comma || header->rank == BLO_MAX_RANK || !take_extent(text, &header->shape[header->rank])) {
            return false;
        }
        header->rank++;
        comma = take(text, ",");
    }
    return header->rank != 1 || comma;
}

static bool take_descr(cursor *text, blo_npy_header *header, const char **start, size_t *length) {
    static const struct {
        const char *descr;
        blo_npy_type type;
    } known[] = {{"<f4", BLO_NPY_F4}, {"<f8", BLO_NPY_F8}, {"<i4", BLO_NPY_I4}, {"<i8", BLO_NPY_I8},
                 {"|u1", BLO_NPY_U1}, {"|b1", BLO_NPY_B1}, {"<u1", BLO_NPY_U1}, {"<b1", BLO_NPY_B1}};
    if (!take_string(text, start, length)) {
        *length = 0;
        return false;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (equals(*start, *length, known[i].descr)) {
            header->type = known[i].type;
            return true;
        }
    }
    return false;
}

static int shown(size_t length) {
    return (int)(length < SHOWN ? length : SHOWN);
}

/* One "key: value"; its bit is added to *SEEN. */
static blo_status take_entry(const char *name, cursor *text, blo_npy_header *header, int *seen,
                             const blo_report *report) {
    const char *key = "", *descr = "";
    size_t length = 0, descr_length = 0;
    if (!take_string(text, &key, &length) || !take(text, ":")) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: the NPY header is not a dictionary of quoted keys", name);
    }
    const int bit = equals(key, length, "descr")           ? KEY_DESCR
                    : equals(key, length, "fortran_order") ? KEY_ORDER
                    : equals(key, length, "shape")         ? KEY_SHAPE
                                                           : 0;
    if (bit == 0 || (*seen & bit) != 0) {
        return blo_report_fail(
            report, BLO_ERROR_FILE,
            "%s: %s key '%.*s' in the NPY header; descr, fortran_order and shape should be there once", name,
            bit == 0 ? "unknown" : "second", shown(length), key);
    }
    *seen |= bit;
    if (bit == KEY_DESCR && !take_descr(text, header, &descr, &descr_length)) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: elements of type '%.*s'; '<f4', '<f8', '<i4', '<i8', '|u1' and '|b1' are read",
                               name, shown(descr_length), descr);
    }
    if (bit == KEY_ORDER) {
        header->fortran_order = take(text, "True");
        if (!header->fortran_order && !take(text, "False")) {
            return blo_report_fail(report, BLO_ERROR_FILE,
                                   "%s: fortran_order in the NPY header should be True or False", name);
        }
    }
    if (bit == KEY_SHAPE && !take_shape(text, header)) {
        return blo_report_fail(report, BLO_ERROR_FILE,
                               "%s: shape in the NPY header should be a tuple of at most %d extents below 2^63", name,
                               BLO_MAX_RANK);
    }
    return BLO_OK;
}

blo_status blo_npy_parse_header(const char *name, const char *text, size_t count, blo_npy_header *header,
                                const blo_report *report) {
    cursor at = {text, text + count};
    bool comma = true;
    int seen = 0;
    memset(header, 0, sizeof *header);
    if (!take(&at, "{")) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: the NPY header does not start with {", name);
    }
    while (!take(&at, "}")) {
        if (!comma) {
            return blo_report_fail(report, BLO_ERROR_FILE, "%s: the NPY header lacks a comma between entries", name);
        }
        const blo_status status = take_entry(name, &at, header, &seen, report);
        if (status != BLO_OK) {
            return status;
        }
        comma = take(&at, ",");
    }
    skip_space(&at);
    if (at.at != at.end) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: the NPY header goes on after its }", name);
    }
    if (seen != KEY_ALL) {
        return blo_report_fail(report, BLO_ERROR_FILE, "%s: the NPY header lacks %s", name,
                               (seen & KEY_DESCR) == 0   ? "descr"
                               : (seen & KEY_ORDER) == 0 ? "fortran_order"
                                                         : "shape");
    }
    return BLO_OK;
}
