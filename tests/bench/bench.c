#include "bench.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "time-text.h"

void bench_fail(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

void bench_must(bool done, const char *what) {
        if (!done)
                bench_fail("%s failed", what);
}

void bench_must_errno(int r, const char *what) {
        if (r < 0)
                bench_fail("%s: %s", what, strerror(-r));
}

static void take(const BenchOption *option, const char *value, void *target) {
        void *place = (uint8_t *) target + option->offset;

        switch (option->kind) {
        case BENCH_TEXT:
                *(const char **) place = value;
                break;
        case BENCH_NUMBER:
                *(size_t *) place = strtoul(value, NULL, 10);
                break;
        case BENCH_REAL:
                *(double *) place = strtod(value, NULL);
                break;
        case BENCH_FLAG:
                *(bool *) place = true;
                break;
        }
}

int bench_options(int argc, char **argv, const BenchOption *options, void *target) {
        struct option table[BENCH_OPTIONS_MAX + 1] = { 0 };
        int c;

        for (int i = 0; options[i].name; i++) {
                assert(i < BENCH_OPTIONS_MAX);
                table[i] = (struct option){ options[i].name,
                        options[i].kind == BENCH_FLAG ? no_argument : required_argument,
                        NULL,
                        i };
        }
        while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
                if (c == '?')
                        exit(2);
                take(&options[c], optarg, target);
        }
        return optind;
}

size_t
bench_due(const BenchPace *pace, size_t count, uint64_t begin, uint64_t now, uint64_t *ret_next) {
        size_t due = count;

        *ret_next = UINT64_MAX;
        if (pace->rate > 0) {
                due = (size_t) ((double) (now - begin) * pace->rate / 1e6);
                due += pace->burst - due % pace->burst;
                if (due < count)
                        *ret_next = begin + (uint64_t) ((double) due * 1e6 / pace->rate) + 1;
        }
        return due < count ? due : count;
}

static double processor_seconds(clockid_t clock) {
        struct timespec t;

        bench_must(clock_gettime(clock, &t) == 0, "the clock");
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

void bench_begin(BenchSpan *span, clockid_t clock) {
        span->clock = clock;
        span->processor = processor_seconds(clock);
        span->begin = time_boot();
}

void bench_end(BenchSpan *span) {
        span->seconds = (double) (time_boot() - span->begin) / 1e6;
        span->processor = processor_seconds(span->clock) - span->processor;
}

void bench_report(const BenchSpan *span, size_t count, const char *name, long number) {
        (void) printf("{\"requests\": %zu, \"seconds\": %.4f, \"rate\": %.1f, \"cpu_us\": %.2f",
                        count,
                        span->seconds,
                        (double) count / span->seconds,
                        1e6 * span->processor / (double) count);
        if (name)
                (void) printf(", \"%s\": %ld", name, number);
        (void) printf("}\n");
}
