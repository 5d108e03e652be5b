#include "sms-lint.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "cleanup.h"
#include "log.h"
#include "sms-segment.h"
#include "sms-settings.h"

enum {
        TEXT_MAX = 65536, /* 255 segments hold less */
        EXIT_LONG = 1,
};

static int read_all(FILE *file, char **ret, size_t *ret_size) {
        _cleanup_(freep) char *text = malloc(TEXT_MAX + 1);

        if (!text)
                return -ENOMEM;
        *ret_size = fread(text, 1, TEXT_MAX + 1, file);
        if (ferror(file))
                return -EIO;
        if (*ret_size > TEXT_MAX)
                return -EFBIG;
        /* An editor's newline at the end is not sent. */
        if (*ret_size > 0 && text[*ret_size - 1] == '\n')
                *ret_size -= 1;
        *ret = TAKE_PTR(text);
        return 0;
}

static void print_odd(const SmsOdd *odd) {
        char text[SMS_ODD_TEXT_SIZE];

        sms_odd_text(odd, text);
        if (odd->n > 0)
                (void) printf(", because of %s", text);
        if (odd->n > 1)
                (void) printf(" and %zu more", odd->n - 1);
}

static int print_text(const char *name, const char *text, size_t size, unsigned limit) {
        SmsPlan plan;
        int r = sms_plan(text, size, SMS_SEGMENTS_MAX, &plan);

        if (r == SMS_SEGMENT_E_TEXT) {
                (void) printf("%s: not UTF-8, or with a NUL\n", name);
                return EX_DATAERR;
        }
        if (r == SMS_SEGMENT_E_LONG) {
                (void) printf("%s: more than %d segments", name, SMS_SEGMENTS_MAX);
                print_odd(&plan.odd);
                (void) printf("\n");
                return EXIT_LONG;
        }
        if (r < 0)
                return EX_OSERR;
        (void) printf("%s: %s, %u %s, %u segment%s, costs %u message%s",
                        name,
                        plan.alphabet == SMS_GSM7 ? "GSM-7" : "UCS-2",
                        plan.units,
                        plan.alphabet == SMS_GSM7 ? "septets" : "units",
                        plan.n_segments,
                        plan.n_segments == 1 ? "" : "s",
                        plan.n_segments,
                        plan.n_segments == 1 ? "" : "s");
        print_odd(&plan.odd);
        (void) printf(plan.n_segments > limit ? "; the limit is %u\n" : "\n", limit);
        return plan.n_segments > limit ? EXIT_LONG : EX_OK;
}

static int lint_file(const char *path, unsigned limit) {
        FILE *file = streq(path, "-") ? stdin : fopen(path, "re");
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = file ? read_all(file, &text, &size) : -errno;
        if (file && file != stdin)
                (void) fclose(file);
        if (r < 0) {
                (void) fprintf(stderr, "vestibule-sms: %s: %s\n", path, strerror(-r));
                return EX_NOINPUT;
        }
        return print_text(path, text, size, limit);
}

static bool read_limit(const char *text, unsigned *ret) {
        char *end;
        long number = strtol(text, &end, 10);

        if (end == text || *end || number < 1 || number > SMS_SEGMENTS_MAX)
                return false;
        *ret = (unsigned) number;
        return true;
}

int sms_lint_option(int argc, char **argv) {
        static const struct option options[] = {
                { "segments", required_argument, NULL, 's' },
                { 0 },
        };
        unsigned limit = SMS_SETTINGS_SEGMENTS;
        int c, status = EX_OK;

        if (argc < 2 || !streq(argv[1], "--lint"))
                return -1;
        optind = 2;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                if (c != 's' || !read_limit(optarg, &limit)) {
                        (void) fprintf(stderr,
                                        "vestibule-sms: --segments takes a number from 1 to %d\n",
                                        SMS_SEGMENTS_MAX);
                        return EX_USAGE;
                }
        if (optind == argc)
                return lint_file("-", limit);
        for (int i = optind; i < argc; i++) {
                int result = lint_file(argv[i], limit);

                /* What could not be read at all is worse than what is too long. */
                status = result > status ? result : status;
        }
        return status;
}
