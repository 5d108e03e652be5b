/* The limits section: every number has a default and hard bounds, which policy/limit-rules.c knows,
 * and
 * `--check` says all of them in words. */
#include "config-internal.h"

void config_read_limits(const ConfigPlace *p, LimitRules *limits) {
        char problem[LIMITS_PROBLEM_SIZE];
        bool was_bad = p->reader->bad;

        limits_default(limits);
        p->reader->bad = false;
        for (int i = 0; i < _LIMIT_NUMBER_MAX; i++) {
                const LimitDescription *d = limits_describe((LimitNumber) i);

                limits->number[i] = config_read_number(p, d->key, d->min, d->max, d->usual);
        }
        if (!p->reader->bad && limits_check(limits, problem) != 0)
                config_problem(p, NULL, "%s", problem);
        p->reader->bad = p->reader->bad || was_bad;
}

void config_report_limits(const LimitRules *limits, FILE *file) {
        (void) fputs("limits\n", file);
        for (int i = 0; i < _LIMIT_NUMBER_MAX; i++) {
                const LimitDescription *d = limits_describe((LimitNumber) i);

                (void) fputs("  ", file);
                for (const char *p = d->words; *p; p++)
                        if (*p == '#')
                                (void) fprintf(file, "%u", limits->number[i]);
                        else
                                (void) fputc(*p, file);
                if (limits->number[i] != d->usual)
                        (void) fprintf(file, " (%s; usually %u)", d->key, d->usual);
                (void) fputc('\n', file);
        }
}
