/* What the programs of the benchmarks share: giving up with a sentence, and options. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Where an option's value goes in the caller's structure: the type of the member. */
typedef enum BenchKind {
        BENCH_TEXT,   /* const char *, borrowed from argv */
        BENCH_NUMBER, /* size_t */
        BENCH_REAL,   /* double */
        BENCH_FLAG,   /* bool; the option takes no value */
} BenchKind;

typedef struct BenchOption {
        const char *name;
        BenchKind kind;
        size_t offset;
} BenchOption;

enum {
        BENCH_OPTIONS_MAX = 15,
};

/* Says it on standard error and ends with 1. */
__attribute__((format(printf, 1, 2), noreturn)) void bench_fail(const char *format, ...);

/* bench_fail() unless it was done, or with the error's text if r is a negative errno. */
void bench_must(bool done, const char *what);
void bench_must_errno(int r, const char *what);

/* Fills the caller's structure by the table, which ends with an entry without a name; returns the
 * index of the first argument that is no option. Ends with 2 after an option that is not there. */
int bench_options(int argc, char **argv, const BenchOption *options, void *target);
