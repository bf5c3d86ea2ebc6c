/* The profile of a run; see profile.h. */
#include "profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

/* In the order of an upper iteration; what else there is comes after. */
static const char *const parts[] = {"step", "F", "F's gradient", "sweep", "checks", "objective", "other", "transfers"};
enum { N_PARTS = sizeof parts / sizeof parts[0] };

typedef struct peak {
    double flops, bytes; /* per second; 0: not needed */
} peak;

typedef struct profile {
    int n;
    blo_profile_row *rows;
    double seconds; /* of all rows */
    peak peaks[2];  /* float, double */
} profile;

static int part_number(const char *part) {
    int i = 0;
    while (i < N_PARTS && strcmp(parts[i], part))
        i++;
    return i;
}

/* By part; in a part, what takes longest comes first. */
static int by_part_and_time(const void *a, const void *b) {
    const blo_profile_row *x = a, *y = b;
    int first = part_number(x->part), second = part_number(y->part);
    if (first != second)
        return first - second;
    return x->seconds != y->seconds ? (x->seconds < y->seconds ? 1 : -1) : strcmp(x->what, y->what);
}

static blo_status collect(blo_context *context, profile *p) {
    int total = blo_context_profile_rows(context);
    bool used[2] = {false, false};
    blo_status status = BLO_OK;
    p->rows = calloc((size_t)total + 1, sizeof *p->rows);
    if (!p->rows)
        return BLO_ERROR_MEMORY;
    for (int i = 0; i < total && status == BLO_OK; i++) {
        blo_profile_row *row = &p->rows[p->n];
        status = blo_context_profile_row(context, i, row);
        if (status != BLO_OK || !row->launches)
            continue;
        p->seconds += row->seconds;
        used[row->dtype == BLO_DOUBLE] |= row->flops > 0;
        p->n++;
    }
    qsort(p->rows, (size_t)p->n, sizeof *p->rows, by_part_and_time);
    for (int i = 0; i < 2 && status == BLO_OK; i++)
        if (used[i] || (i == 0 && !used[1]))
            status =
                blo_context_measure_peak(context, i ? BLO_DOUBLE : BLO_FLOAT, &p->peaks[i].flops, &p->peaks[i].bytes);
    return status;
}

/* The peak that ROW is held against; what only moves bytes has no type of its own. */
static const peak *peak_of(const profile *p, const blo_profile_row *row) {
    const peak *own = &p->peaks[row->dtype == BLO_DOUBLE];
    return own->flops > 0 ? own : &p->peaks[row->dtype != BLO_DOUBLE];
}

/* The rate at which AMOUNT is done: by the median, which the first launch, compiled as it starts, and whatever else
 * runs on the machine do not change; by the sum where launches differ in size. */
static double per_second(double amount, const blo_profile_row *row) {
    bool differ = !strcmp(row->part, "checks") || !strcmp(row->part, "transfers");
    double seconds = differ ? row->seconds : row->median_seconds * (double)row->launches;
    return seconds > 0 ? amount / seconds : 0;
}

static void print_row(const profile *p, const blo_profile_row *row) {
    double flops = per_second(row->flops, row), bytes = per_second(row->bytes, row);
    printf("  %-52.52s %8llu %10.1f %9.4f %5.1f%% %8.1f %5.1f%% %8.2f %5.1f%%\n", row->what,
           (unsigned long long)row->launches, 1e6 * row->median_seconds, row->seconds,
           p->seconds > 0 ? 100 * row->seconds / p->seconds : 0, 1e-9 * flops, 100 * flops / peak_of(p, row)->flops,
           1e-9 * bytes, 100 * bytes / peak_of(p, row)->bytes);
}

static void print_part(const profile *p, const char *part) {
    double seconds = 0;
    for (int i = 0; i < p->n; i++)
        seconds += strcmp(p->rows[i].part, part) ? 0 : p->rows[i].seconds;
    printf("%-54s %30.4f %5.1f%%\n", part, seconds, p->seconds > 0 ? 100 * seconds / p->seconds : 0);
}

static void print_table(const profile *p) {
    printf("\n%-54s %8s %10s %9s %6s %8s %6s %8s %6s\n", "time on the device", "launches", "median us", "total s",
           "share", "GFLOP/s", "peak", "GB/s", "peak");
    for (int i = 0; i < p->n; i++) {
        if (i == 0 || strcmp(p->rows[i - 1].part, p->rows[i].part))
            print_part(p, p->rows[i].part);
        print_row(p, &p->rows[i]);
    }
    for (int i = 0; i < 2; i++)
        if (p->peaks[i].flops > 0)
            printf("measured peak: %.1f GFLOP/s in %s, %.2f GB/s read from memory (more than that: from a cache)\n",
                   1e-9 * p->peaks[i].flops, i ? "double" : "float", 1e-9 * p->peaks[i].bytes);
}

static json_t *row_object(const profile *p, const blo_profile_row *row) {
    json_t *object = json_object();
    double flops = per_second(row->flops, row), bytes = per_second(row->bytes, row);
    json_object_set_new(object, "part", json_string(row->part));
    json_object_set_new(object, "what", json_string(row->what));
    json_object_set_new(object, "dtype", json_string(blo_dtype_name(row->dtype)));
    json_object_set_new(object, "launches", json_integer((json_int_t)row->launches));
    json_object_set_new(object, "seconds", json_real(row->seconds));
    json_object_set_new(object, "median_seconds", json_real(row->median_seconds));
    json_object_set_new(object, "flops", json_real(row->flops));
    json_object_set_new(object, "bytes", json_real(row->bytes));
    json_object_set_new(object, "share", json_real(p->seconds > 0 ? row->seconds / p->seconds : 0));
    json_object_set_new(object, "share_of_peak_flops", json_real(flops / peak_of(p, row)->flops));
    json_object_set_new(object, "share_of_peak_bytes", json_real(bytes / peak_of(p, row)->bytes));
    return object;
}

static json_t *profile_object(const profile *p) {
    json_t *object = json_object(), *rows = json_array(), *peaks = json_object();
    for (int i = 0; i < p->n; i++)
        json_array_append_new(rows, row_object(p, &p->rows[i]));
    for (int i = 0; i < 2; i++) {
        json_t *one = json_object();
        json_object_set_new(one, "flops_per_second", json_real(p->peaks[i].flops));
        json_object_set_new(one, "bytes_per_second", json_real(p->peaks[i].bytes));
        if (p->peaks[i].flops > 0)
            json_object_set_new(peaks, i ? "double" : "float", one);
        else
            json_decref(one);
    }
    json_object_set_new(object, "seconds", json_real(p->seconds));
    json_object_set_new(object, "peak", peaks);
    json_object_set_new(object, "rows", rows);
    return object;
}

int profile_report(blo_context *context, json_t *result) {
    profile p = {0};
    if (blo_context_profile_rows(context) == 0)
        return EXIT_DONE;
    blo_status status = collect(context, &p);
    if (status == BLO_OK) {
        print_table(&p);
        if (result)
            json_object_set_new(result, "profile", profile_object(&p));
    }
    free(p.rows);
    return status == BLO_OK ? EXIT_DONE
                            : complain(EXIT_FAILED, "--profile: %s",
                                       status == BLO_ERROR_MEMORY ? "no memory for it" : blo_context_error(context));
}
