/* Which device: over all platforms, in the order the ICD loader gives them. */
#include "blo_config.h"
#include "opencl.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 32, MAX_DEVICES = 64 };

typedef struct listing {
    int n;
    cl_device_id devices[MAX_DEVICES];
    cl_platform_id platforms[MAX_DEVICES];
} listing;

static void list_devices(listing *all) {
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    all->n = 0;
    if (clGetPlatformIDs(MAX_PLATFORMS, platforms, &n_platforms) != CL_SUCCESS)
        return;
    for (cl_uint p = 0; p < n_platforms && p < MAX_PLATFORMS; p++) {
        cl_uint n = 0, room = (cl_uint)(MAX_DEVICES - all->n);
        if (room == 0 ||
            clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, room, all->devices + all->n, &n) != CL_SUCCESS)
            continue;
        for (cl_uint i = 0; i < n && i < room; i++)
            all->platforms[all->n++] = platforms[p];
    }
}

static cl_device_type type_of(cl_device_id device) {
    cl_device_type type = 0;
    clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    return type;
}

static void name_of(cl_device_id device, char *name, size_t size) {
    if (clGetDeviceInfo(device, CL_DEVICE_NAME, size, name, NULL) != CL_SUCCESS)
        snprintf(name, size, "unknown");
    name[size - 1] = '\0';
}

static bool contains(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < length && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

static int first_of_type(const listing *all, cl_device_type type) {
    for (int i = 0; i < all->n; i++)
        if (type_of(all->devices[i]) & type)
            return i;
    return -1;
}

/* Some implementations offer one CPU in several forms: the one with all its cores. The first of equals; -1: none. */
static int widest_cpu(const listing *all) {
    int widest = -1;
    cl_uint most = 0;
    for (int i = 0; i < all->n; i++) {
        cl_uint units = 0;
        if (!(type_of(all->devices[i]) & CL_DEVICE_TYPE_CPU))
            continue;
        clGetDeviceInfo(all->devices[i], CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
        if (widest < 0 || units > most) {
            widest = i;
            most = units;
        }
    }
    return widest;
}

/* The index that WHAT names, -1: none. */
static int find(const listing *all, const char *what) {
    char *end;
    errno = 0;
    long index = strtol(what, &end, 10);
    if (*what && !*end)
        return errno == 0 && index >= 0 && index < all->n ? (int)index : -1;
    if (!strcmp(what, "gpu"))
        return first_of_type(all, CL_DEVICE_TYPE_GPU);
    if (!strcmp(what, "cpu"))
        return widest_cpu(all);
    if (!strcmp(what, "accelerator"))
        return first_of_type(all, CL_DEVICE_TYPE_ACCELERATOR);
    for (int i = 0; i < all->n && *what; i++) {
        char name[256];
        name_of(all->devices[i], name, sizeof name);
        if (contains(name, what))
            return i;
    }
    return -1;
}

static int default_device(const listing *all) {
    int index = first_of_type(all, CL_DEVICE_TYPE_GPU);
    if (index < 0)
        index = widest_cpu(all);
    return index < 0 ? 0 : index;
}

blo_status blo_choose_device(blo_context *context, const char *what) {
    listing all;
    list_devices(&all);
    if (all.n == 0)
        return blo_fail(context, BLO_ERROR_NO_DEVICE,
                        "there is no OpenCL device; install an OpenCL driver, for a CPU for instance PoCL (Debian: "
                        "pocl-opencl-icd)");
    if (!what || !*what)
        what = getenv("CLBILEVEL_DEVICE");
    int index = what && *what ? find(&all, what) : default_device(&all);
    if (index < 0)
        return blo_fail(
            context, BLO_ERROR_NO_DEVICE,
            "no OpenCL device \"%s\": want an index below %d, part of a name, \"cpu\", \"gpu\" or \"accelerator\"",
            what, all.n);
    context->device = all.devices[index];
    context->platform = all.platforms[index];
    return BLO_OK;
}

/* --- facts --- */

/* What the library cannot do without. */
static blo_status ask(blo_context *context, cl_device_info what, const char *call, uint64_t *value) {
    *value = 0;
    cl_int code = blo_fault(context);
    if (code == CL_SUCCESS)
        code = clGetDeviceInfo(context->device, what, sizeof *value, value, NULL);
    return blo_check(context, code, call);
}

static blo_status read_sizes(blo_context *context) {
    blo_device_facts *facts = &context->facts;
    uint64_t units = 0, work_group = 0;
    blo_status status = ask(context, CL_DEVICE_MAX_COMPUTE_UNITS, "clGetDeviceInfo (compute units)", &units);
    if (status == BLO_OK)
        status = ask(context, CL_DEVICE_MAX_WORK_GROUP_SIZE, "clGetDeviceInfo (work-group size)", &work_group);
    if (status == BLO_OK)
        status = ask(context, CL_DEVICE_LOCAL_MEM_SIZE, "clGetDeviceInfo (local memory)", &facts->local_bytes);
    if (status == BLO_OK)
        status = ask(context, CL_DEVICE_GLOBAL_MEM_SIZE, "clGetDeviceInfo (memory)", &facts->global_bytes);
    if (status == BLO_OK)
        status = ask(context, CL_DEVICE_MAX_MEM_ALLOC_SIZE, "clGetDeviceInfo (largest buffer)", &facts->max_allocation);
    facts->compute_units = (int)units;
    facts->max_work_group = (size_t)work_group;
    return status;
}

/* A fact of any kind; 0 where the device does not answer. */
static uint64_t number(cl_device_id device, cl_device_info what) { /* of any width up to 64 bits, little endian */
    uint64_t value = 0;
    if (clGetDeviceInfo(device, what, sizeof value, &value, NULL) != CL_SUCCESS)
        return 0;
    return value;
}

blo_status blo_read_facts(blo_context *context, blo_gemm gemm) {
    enum { LEAST_ALIGNMENT = 128 };
    blo_device_facts *facts = &context->facts;
    cl_device_id device = context->device;
    name_of(device, facts->name, sizeof facts->name);
    facts->is_cpu = (type_of(device) & CL_DEVICE_TYPE_CPU) != 0;
    facts->has_double = number(device, CL_DEVICE_DOUBLE_FP_CONFIG) != 0;
    facts->float_vector_width = (int)number(device, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    blo_status status = read_sizes(context);
    if (status != BLO_OK)
        return status;
    facts->base_alignment = number(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
    if (facts->base_alignment < LEAST_ALIGNMENT)
        facts->base_alignment = LEAST_ALIGNMENT;
#ifdef BLO_HAVE_CLBLAST
    facts->has_clblast = true;
#endif
    facts->gemm = gemm != BLO_GEMM_AUTO ? gemm : facts->is_cpu || !facts->has_clblast ? BLO_GEMM_OWN : BLO_GEMM_CLBLAST;
    if (facts->gemm == BLO_GEMM_CLBLAST && !facts->has_clblast)
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "this build has no CLBlast: choose the library's own products");
    if (number(device, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT)
        context->build_options = "-cl-std=CL1.2 -w -cl-fp32-correctly-rounded-divide-sqrt";
    else
        context->build_options = "-cl-std=CL1.2 -w";
    return BLO_OK;
}

int blo_device_count(void) {
    listing all;
    list_devices(&all);
    return all.n;
}

static blo_status describe_text(const listing *all, int index, const char *key, char *text, size_t size) {
    cl_device_id device = all->devices[index];
    static const struct {
        const char *key;
        cl_device_info info;
    } texts[] = {{"name", CL_DEVICE_NAME},
                 {"version", CL_DEVICE_VERSION},
                 {"driver", CL_DRIVER_VERSION},
                 {"extensions", CL_DEVICE_EXTENSIONS}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(key, texts[i].key))
            continue;
        size_t need = 0;
        char *whole = clGetDeviceInfo(device, texts[i].info, 0, NULL, &need) == CL_SUCCESS ? calloc(1, need + 1) : NULL;
        if (!whole)
            return BLO_ERROR_DEVICE;
        cl_int code = clGetDeviceInfo(device, texts[i].info, need, whole, NULL);
        snprintf(text, size, "%s", whole);
        free(whole);
        return code == CL_SUCCESS ? BLO_OK : BLO_ERROR_DEVICE;
    }
    return BLO_ERROR_ARGUMENT;
}

blo_status blo_device_describe(int index, const char *key, char *text, size_t size) {
    static const struct {
        const char *key;
        cl_device_info info;
    } numbers[] = {{"units", CL_DEVICE_MAX_COMPUTE_UNITS},
                   {"memory", CL_DEVICE_GLOBAL_MEM_SIZE},
                   {"max-allocation", CL_DEVICE_MAX_MEM_ALLOC_SIZE},
                   {"float-vector", CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT}};
    if (!key || !text || size == 0)
        return BLO_ERROR_ARGUMENT;
    listing all;
    list_devices(&all);
    if (index < 0 || index >= all.n)
        return BLO_ERROR_NO_DEVICE;
    cl_device_id device = all.devices[index];
    cl_device_type type = type_of(device);
    if (!strcmp(key, "type")) {
        snprintf(text, size, "%s",
                 type & CL_DEVICE_TYPE_GPU   ? "GPU"
                 : type & CL_DEVICE_TYPE_CPU ? "CPU"
                                             : "accelerator");
        return BLO_OK;
    }
    if (!strcmp(key, "double")) {
        snprintf(text, size, "%s", number(device, CL_DEVICE_DOUBLE_FP_CONFIG) ? "yes" : "no");
        return BLO_OK;
    }
    if (!strcmp(key, "platform"))
        return clGetPlatformInfo(all.platforms[index], CL_PLATFORM_NAME, size, text, NULL) == CL_SUCCESS
                   ? BLO_OK
                   : BLO_ERROR_DEVICE;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!strcmp(key, numbers[i].key)) {
            snprintf(text, size, "%llu", (unsigned long long)number(device, numbers[i].info));
            return BLO_OK;
        }
    return describe_text(&all, index, key, text, size);
}
