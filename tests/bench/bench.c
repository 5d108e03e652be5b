#include "bench.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
