/* Names and sizes of the public enumerations, and the version. */
#include <clbilevel/types.h>

#include "blo_config.h"

const char *blo_status_string(blo_status status) {
    static const char *const names[] = {
        "ok",           "argument error", "shape error", "dtype error",   "state error", "no device",  "out of memory",
        "budget error", "device error",   "build error", "numeric error", "file error",  "unsupported"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status] : "unknown status";
}

size_t blo_dtype_size(blo_dtype dtype) {
    static const size_t sizes[] = {4, 8, 4, 1};
    return (unsigned)dtype < sizeof sizes / sizeof sizes[0] ? sizes[dtype] : 0;
}

const char *blo_dtype_name(blo_dtype dtype) {
    static const char *const names[] = {"float", "double", "int32", "uint8"};
    return (unsigned)dtype < sizeof names / sizeof names[0] ? names[dtype] : "invalid";
}

const char *blo_version(void) {
    return BLO_VERSION;
}
