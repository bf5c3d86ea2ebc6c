/* What the benchmark programs share: a clock, arrays written for the peers to read, and the life of a program that does
 * one round for each line on standard input. Knows nothing of any problem. */
#ifndef BENCH_H
#define BENCH_H

#include <clbilevel/clbilevel.h>

typedef struct bench_output {
    const char *folder, *who; /* hypergradients go to FOLDER/WHO_NAME.npy, data to FOLDER/NAME.npy */
} bench_output;

/* Seconds of a clock that never goes back. */
double bench_now(void);

/* Ends the program with the context's sentence (or, without a context, SENTENCE) unless DONE. */
void bench_require(const blo_context *context, bool done, const char *sentence);

/* Memory that is there, or the program ends. */
void *bench_room(int64_t count, size_t size);

/* FOLDER/NAME.npy */
void bench_save(const bench_output *output, const char *name, blo_dtype dtype, int rank, const int64_t *shape,
                const void *data);
/* Every parameter of MODEL as FOLDER/NAME.npy, in its own type: what a peer starts from. */
void bench_save_values(const bench_output *output, const blo_context *context, blo_model *model);
/* Every gradient of MODEL (or, with VALUES, every parameter) as FOLDER/WHO_PREFIX_NAME.npy, double: what a peer's is
 * held against. Names that end with BUT (may be NULL) are left out. */
void bench_save_results(const bench_output *output, const blo_context *context, blo_model *model, const char *prefix,
                        bool values, const char *but);

/* "key": [values], for a line of JSON. */
void bench_print_doubles(const char *key, const double *values, int count);
/* The end of a round's line: what the pool held at most, and how often was waited, launched, traced and built since the
 * last such line. */
void bench_print_counters(const blo_context *context, blo_statistics *last);

#endif
