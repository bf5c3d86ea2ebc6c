/* Lanes and the helper functions of generated kernels; see lanes.h. */
#include "lanes.h"

#include <stdio.h>

#include "cl_sources.h"

enum { SHORTEST, SHORT, MIDDLE, LONG, WIDTHS }; /* 1, 4, 8, 16 lanes */

static int row_of(int width) {
    return width >= 16 ? LONG : width == 8 ? MIDDLE : width == 4 ? SHORT : SHORTEST;
}

const char *blo_type_name(blo_dtype dtype) {
    return blo_lanes_type(dtype, 1);
}

const char *blo_lanes_type(blo_dtype dtype, int width) {
    static const char *const names[WIDTHS][4] = {{"float", "double", "int", "uchar"},
                                                 {"float4", "double4", "int4", "uchar4"},
                                                 {"float8", "double8", "int8", "uchar8"},
                                                 {"float16", "double16", "int16", "uchar16"}};
    return names[row_of(width)][dtype];
}

const char *blo_lanes_truth(blo_dtype dtype, int width) {
    static const char *const names[WIDTHS][4] = {{"int", "long", "int", "char"},
                                                 {"int4", "long4", "int4", "char4"},
                                                 {"int8", "long8", "int8", "char8"},
                                                 {"int16", "long16", "int16", "char16"}};
    return names[row_of(width)][dtype];
}

const char *blo_lanes_index(int width) {
    static const char *const names[WIDTHS] = {"uint", "uint4", "uint8", "uint16"};
    return names[row_of(width)];
}

void blo_lanes_each(blo_text *text, blo_dtype dtype, int width, const char *function, const char *a, const char *b) {
    blo_text_add(text, "(%s)(", blo_lanes_type(dtype, width));
    for (int l = 0; l < width; l++) {
        blo_text_add(text, "%s%s(%s.s%x", l ? ", " : "", function, a, (unsigned)l);
        if (b)
            blo_text_add(text, ", %s.s%x", b, (unsigned)l);
        blo_text_add(text, ")");
    }
    blo_text_add(text, ")");
}

/* --- helpers --- */

static const char philox[] =
    "#ifndef BLO_PHILOX\n"
    "#define BLO_PHILOX\n"
    "static uint4 blo_philox(uint4 c, uint2 k) {\n"
    "    for (int round = 0; round < 10; round++) {\n"
    "        const ulong a = (ulong)c.x * 0xD2511F53u, b = (ulong)c.z * 0xCD9E8D57u;\n"
    "        c = (uint4)((uint)(b >> 32) ^ c.y ^ k.x, (uint)b, (uint)(a >> 32) ^ c.w ^ k.y, (uint)a);\n"
    "        k += (uint2)(0x9E3779B9u, 0xBB67AE85u);\n"
    "    }\n"
    "    return c;\n"
    "}\n"
    "#endif\n";

/* Division of integers never traps: by 0 it gives 0. */
static const char divide[] = "#ifndef BLO_DIVIDE\n"
                             "#define BLO_DIVIDE\n"
                             "static inline int blo_divide(const int a, const int b) {\n"
                             "    return b == 0 ? 0 : b == -1 ? -a : a / (b == -1 ? 1 : b);\n"
                             "}\n"
                             "#endif\n";

static void add_math(blo_text *text, blo_dtype dtype, int width) {
    const char *real = blo_lanes_type(dtype, width), *integer = blo_lanes_truth(dtype, width);
    blo_text_add(text,
                 "#ifndef BLO_MATH_%s\n#define BLO_MATH_%s\n#define REAL %s\n#define INT %s\n#define WIDE %d\n"
                 "#define TO_REAL as_%s\n#define TO_INT as_%s\n#define NAME_reduced blo_reduced_%s\n"
                 "#define NAME_exp blo_exp_%s\n#define NAME_log blo_log_%s\n#define NAME_tanh blo_tanh_%s\n"
                 "#define NAME_sigmoid blo_sigmoid_%s\n",
                 real, real, real, integer, dtype == BLO_DOUBLE, real, integer, real, real, real, real, real);
    blo_text_add(text,
                 "%s#undef REAL\n#undef INT\n#undef WIDE\n#undef TO_REAL\n#undef TO_INT\n#undef NAME_reduced\n"
                 "#undef NAME_exp\n#undef NAME_log\n#undef NAME_tanh\n#undef NAME_sigmoid\n#endif\n",
                 blo_cl_math);
}

static void add_circular(blo_text *text, blo_dtype dtype, int width) {
    const char *real = blo_lanes_type(dtype, width), *integer = blo_lanes_truth(dtype, width);
    static const char *const functions[] = {"sin", "cos"}, *const names[] = {"EACH_SIN", "EACH_COS"};
    blo_text_add(text,
                 "#ifndef BLO_CIRCULAR_%s\n#define BLO_CIRCULAR_%s\n#define REAL %s\n#define INT %s\n#define WIDE %d\n"
                 "#define TO_INT as_%s\n#define ANY(x) %s\n#define NAME_turned blo_turned_%s\n"
                 "#define NAME_sin blo_sin_%s\n#define NAME_cos blo_cos_%s\n",
                 real, real, real, integer, dtype == BLO_DOUBLE, integer, width > 1 ? "any(x)" : "(x)", real, real,
                 real);
    for (int i = 0; i < 2; i++) {
        blo_text_add(text, "#define %s(x) ", names[i]);
        if (width > 1)
            blo_lanes_each(text, dtype, width, functions[i], "x", NULL);
        else
            blo_text_add(text, "%s(x)", functions[i]);
        blo_text_add(text, "\n");
    }
    blo_text_add(text,
                 "%s#undef REAL\n#undef INT\n#undef WIDE\n#undef TO_INT\n#undef ANY\n#undef EACH_SIN\n"
                 "#undef EACH_COS\n#undef NAME_turned\n#undef NAME_sin\n#undef NAME_cos\n#endif\n",
                 blo_cl_circular);
}

static void add_memory(blo_text *text, blo_dtype dtype, int width) {
    const char *vector = blo_lanes_type(dtype, width);
    blo_text_add(text,
                 "#ifndef BLO_LANES_%s\n#define BLO_LANES_%s\n#define T %s\n#define V %s\n#define W %d\n"
                 "#define INDEX uint%d\n#define NEAR blo_near_%s\n#define NAME_load blo_load_%s\n"
                 "#define NAME_store blo_store_%s\n#define NAME_gather blo_gather_%s\n#define NAME_scatter "
                 "blo_scatter_%s\n",
                 vector, vector, blo_type_name(dtype), vector, width, width, vector, vector, vector, vector, vector);
    blo_text_add(text,
                 "%s#undef T\n#undef V\n#undef W\n#undef INDEX\n#undef NEAR\n#undef NAME_load\n"
                 "#undef NAME_store\n#undef NAME_gather\n#undef NAME_scatter\n#endif\n",
                 blo_cl_lanes);
}

static void add_rows(blo_text *text, blo_dtype dtype, int width) {
    const char *vector = blo_lanes_type(dtype, width);
    blo_text_add(text,
                 "#ifndef BLO_ROWS_%s\n#define BLO_ROWS_%s\n#define T %s\n#define V %s\n#define W %d\n"
                 "#define NAME_load_rows blo_load_rows_%s\n#define NAME_store_rows blo_store_rows_%s\n",
                 vector, vector, blo_type_name(dtype), vector, width, vector, vector);
    blo_text_add(text, "%s%s#undef T\n#undef V\n#undef W\n#undef NAME_load_rows\n#undef NAME_store_rows\n#endif\n",
                 blo_cl_turn, blo_cl_rows);
}

void blo_helpers_text(const blo_helpers *helpers, int width, blo_text *text) {
    if (helpers->random)
        blo_text_add(text, "%s", philox);
    if (helpers->divide)
        blo_text_add(text, "%s", divide);
    for (int dtype = BLO_FLOAT; dtype <= BLO_DOUBLE; dtype++) {
        if (helpers->math[dtype])
            add_math(text, (blo_dtype)dtype, 1);
        if (helpers->wide_math[dtype])
            add_math(text, (blo_dtype)dtype, width);
        if (helpers->circular[dtype])
            add_circular(text, (blo_dtype)dtype, 1);
        if (helpers->wide_circular[dtype])
            add_circular(text, (blo_dtype)dtype, width);
    }
    for (int dtype = BLO_FLOAT; dtype <= BLO_UINT8; dtype++)
        if (helpers->memory[dtype])
            add_memory(text, (blo_dtype)dtype, width);
    for (int dtype = BLO_FLOAT; dtype <= BLO_UINT8; dtype++)
        if (helpers->rows[dtype])
            add_rows(text, (blo_dtype)dtype, width);
}
