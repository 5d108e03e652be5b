/* What the programs of the benchmarks share: giving up with a sentence, options, a pace, and the
 * measurement of time, which all of them report in the same words. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

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

/* How fast requests start, beside what a window allows. */
typedef struct BenchPace {
        double rate;  /* a second; 0: no pace */
        size_t burst; /* so many at a time */
} BenchPace;

/* How many of count requests may have started by now, and in *ret_next when it is more: boot time,
 * UINT64_MAX when all may. */
size_t
bench_due(const BenchPace *pace, size_t count, uint64_t begin, uint64_t now, uint64_t *ret_next);

/* The time that passes and the CPU time that a process uses. */
typedef struct BenchSpan {
        clockid_t clock; /* of the process */
        uint64_t begin;  /* boot time */
        double seconds, processor;
} BenchSpan;

void bench_begin(BenchSpan *span, clockid_t clock);
void bench_end(BenchSpan *span);

/* The result on standard output, one JSON line, with a number of the caller's by its name; NULL:
 * without. */
void bench_report(const BenchSpan *span, size_t count, const char *name, long number);
