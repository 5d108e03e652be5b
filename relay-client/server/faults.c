#include "faults.h"

#include <errno.h>
#include <stdio.h>

#include "time-text.h"

typedef struct FaultRule {
        const char *name, *help;
        FaultAction action;
        bool once; /* after N requests, the next one; otherwise every N-th */
        unsigned n;
} FaultRule;

static FaultRule rules[] = {
        { "drop-response-after",
                        "answer N, then lose the answer to the next",
                        FAULT_DROP,
                        true,
                        0 },
        { "close-before-answer-every",
                        "execute every N-th and close without an answer",
                        FAULT_DROP,
                        false,
                        0 },
        { "503-every", "refuse every N-th with 503", FAULT_REFUSE, false, 0 },
        { "wrong-echo-every",
                        "answer every N-th with another request id",
                        FAULT_WRONG_ECHO,
                        false,
                        0 },
        { "missing-echo-every",
                        "answer every N-th without the request id",
                        FAULT_MISSING_ECHO,
                        false,
                        0 },
};

static unsigned delay_msec;
static char clock_path[4096];
static RelayOperation target = RELAY_CREATE;
static unsigned n_requests;

const char *faults_help(void) {
        static char text[1024];
        size_t n = 0;

        for (size_t i = 0; i < N_ELEMENTS(rules); i++)
                n += (size_t) snprintf(text + n,
                                sizeof(text) - n,
                                "      %s=N%*s%s\n",
                                rules[i].name,
                                28 - (int) strlen(rules[i].name),
                                "",
                                rules[i].help);
        (void) snprintf(text + n,
                        sizeof(text) - n,
                        "      delay-ms=N                    wait between commit and answer\n"
                        "      operation=NAME                the operation meant; CreateMailbox at "
                        "first\n"
                        "      clock-file=PATH               a file that holds seconds to add to "
                        "the clock\n");
        return text;
}

static int parse_number(const char *text, unsigned *ret) {
        char *end;
        unsigned long n;

        errno = 0;
        n = strtoul(text, &end, 10);
        if (errno != 0 || end == text || *end || n == 0 || n > 1000000)
                return -EINVAL;
        *ret = (unsigned) n;
        return 0;
}

int faults_add(const char *text) {
        const char *value = strchr(text, '=');
        size_t length;

        if (!value)
                return -EINVAL;
        length = (size_t) (value++ - text);

        if (length == 10 && strncmp(text, "clock-file", length) == 0)
                return (size_t) snprintf(clock_path, sizeof(clock_path), "%s", value) <
                                                       sizeof(clock_path)
                                       ? 0
                                       : -EINVAL;
        if (length == 8 && strncmp(text, "delay-ms", length) == 0)
                return parse_number(value, &delay_msec);
        if (length == 9 && strncmp(text, "operation", length) == 0) {
                for (RelayOperation o = RELAY_CREATE; o < _RELAY_OPERATION_MAX; o++)
                        if (streq(relay_operation_name(o), value)) {
                                target = o;
                                return 0;
                        }
                return -EINVAL;
        }
        for (size_t i = 0; i < N_ELEMENTS(rules); i++)
                if (strlen(rules[i].name) == length && strncmp(text, rules[i].name, length) == 0)
                        return parse_number(value, &rules[i].n);
        return -EINVAL;
}

Fault faults_next(RelayOperation operation) {
        Fault fault = { FAULT_NONE, 0 };

        if (operation != target)
                return fault;
        n_requests++;
        fault.delay_usec = delay_msec * USEC_PER_MSEC;
        for (size_t i = 0; i < N_ELEMENTS(rules); i++) {
                if (rules[i].n == 0)
                        continue;
                if (rules[i].once ? n_requests == rules[i].n + 1 : n_requests % rules[i].n == 0)
                        fault.action = rules[i].action;
        }
        return fault;
}

int64_t faults_clock_offset(void) {
        long long offset = 0;
        FILE *f;

        if (!clock_path[0])
                return 0;
        f = fopen(clock_path, "re");
        if (!f)
                return 0;
        if (fscanf(f, "%lld", &offset) != 1)
                offset = 0;
        (void) fclose(f);
        return offset;
}
