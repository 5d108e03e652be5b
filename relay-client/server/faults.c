#include "faults.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "drop-request.h"
#include "time-text.h"

enum {
        RULES_MAX = 32,
        OVERSIZE = 4 * 1024 * 1024,
};

typedef struct FaultKind {
        const char *name, *help;
        FaultAction action;
        bool once; /* after N requests, the next one; otherwise every N-th */
} FaultKind;

/* clang-format off */
static const FaultKind kinds[] = {
        { "drop-response-after",       "answer N, then lose the answer to the next", FAULT_DROP, true },
        { "close-before-answer-every", "execute, close without an answer", FAULT_DROP, false },
        { "503-every",                 "refuse with 503", FAULT_REFUSE, false },
        { "429-every",                 "refuse with 429", FAULT_LIMIT, false },
        { "redirect-every",            "answer 307 to /followed", FAULT_REDIRECT, false },
        { "duplicate-every",           "execute twice, give the second answer", FAULT_TWICE, false },
        { "expire-every",              "let the mailbox expire early", FAULT_EXPIRE, false },
        { "wrong-echo-every",          "answer with another request id", FAULT_WRONG_ECHO, false },
        { "missing-echo-every",        "answer without the request id", FAULT_MISSING_ECHO, false },
        { "truncate-every",            "end the body in the middle", FAULT_TRUNCATE, false },
        { "oversize-every",            "let the body go on for 4 MiB", FAULT_OVERSIZE, false },
        { "not-json-every",            "answer 200 with HTML", FAULT_NOT_JSON, false },
        { "payload-string-every",      "give the payload as a string", FAULT_PAYLOAD_STRING, false },
        { "stale-every",               "give an older payload of the other", FAULT_STALE, false },
        { "reflect-every",             "give the reader's own payload", FAULT_REFLECT, false },
        { "empty-201-every",           "answer 201 without a body", FAULT_EMPTY_201, false },
};
/* clang-format on */

typedef struct Rule {
        const FaultKind *kind;
        const char *operation;
        unsigned n, n_requests;
} Rule;

/* A payload that was once in a mailbox. */
typedef struct Payload Payload;
struct Payload {
        Payload *older;
        uint8_t mailbox[RELAY_ID_SIZE];
        uint8_t writer[RELAY_CLAIM_SIZE];
        char *text;
};

typedef struct Expired Expired;
struct Expired {
        Expired *next;
        uint8_t mailbox[RELAY_ID_SIZE];
};

static Rule rules[RULES_MAX];
static size_t n_rules;
static const char *operation_meant = "CreateMailbox";
static unsigned delay_msec, retry_after = 1, tls_failure_every, n_connections;
static const char *clock_path;
static FILE *record;
static Payload *newest;
static Expired *expired;

const char *faults_help(void) {
        static char text[4096];
        size_t n = 0;

        for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
                n += (size_t) snprintf(text + n,
                                sizeof(text) - n,
                                "      %s=N%*s%s\n",
                                kinds[i].name,
                                28 - (int) strlen(kinds[i].name),
                                "",
                                kinds[i].help);
        (void) snprintf(text + n,
                        sizeof(text) - n,
                        "      tls-failure-every=N           close every N-th connection before "
                        "TLS\n"
                        "      operation=NAME                what the faults named after it are "
                        "of;\n"
                        "                                    CreateMailbox at first\n"
                        "      retry-after=N                 seconds that 503 and 429 name (1)\n"
                        "      delay-ms=N                    wait between commit and answer\n"
                        "      clock-file=PATH               a file that holds seconds to add to "
                        "the clock\n"
                        "      record=PATH                   append all headers and bodies "
                        "there\n");
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

static int set_operation(const char *name) {
        for (RelayOperation o = 0; o < _RELAY_OPERATION_MAX; o++)
                if (streq(relay_operation_name(o), name)) {
                        operation_meant = relay_operation_name(o);
                        return 0;
                }
        for (DropOperation o = 0; o < _DROP_OPERATION_MAX; o++)
                if (streq(drop_operation_name(o), name)) {
                        operation_meant = drop_operation_name(o);
                        return 0;
                }
        return -EINVAL;
}

static int add_rule(const char *name, size_t length, const char *value) {
        for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
                if (strlen(kinds[i].name) != length || strncmp(name, kinds[i].name, length) != 0)
                        continue;
                if (n_rules == RULES_MAX)
                        return -EINVAL;
                rules[n_rules] = (Rule){ .kind = &kinds[i], .operation = operation_meant };
                return parse_number(value, &rules[n_rules++].n);
        }
        return -EINVAL;
}

int faults_add(const char *text) {
        const char *equals = strchr(text, '='), *value;
        size_t length;

        if (!equals)
                return -EINVAL;
        length = (size_t) (equals - text);
        value = equals + 1;
        if (strncmp(text, "operation=", length + 1) == 0)
                return set_operation(value);
        if (strncmp(text, "delay-ms=", length + 1) == 0)
                return parse_number(value, &delay_msec);
        if (strncmp(text, "retry-after=", length + 1) == 0)
                return parse_number(value, &retry_after);
        if (strncmp(text, "tls-failure-every=", length + 1) == 0)
                return parse_number(value, &tls_failure_every);
        if (strncmp(text, "clock-file=", length + 1) == 0) {
                clock_path = value;
                return 0;
        }
        if (strncmp(text, "record=", length + 1) == 0) {
                record = fopen(value, "ae");
                return record ? 0 : -EINVAL;
        }
        return add_rule(text, length, value);
}

static bool has_expired(const uint8_t mailbox[RELAY_ID_SIZE]) {
        for (const Expired *e = expired; e; e = e->next)
                if (memcmp(e->mailbox, mailbox, RELAY_ID_SIZE) == 0)
                        return true;
        return false;
}

static void expire(const uint8_t mailbox[RELAY_ID_SIZE]) {
        Expired *e = calloc(1, sizeof(*e));

        if (!e)
                return;
        memcpy(e->mailbox, mailbox, RELAY_ID_SIZE);
        e->next = expired;
        expired = e;
}

Fault faults_next(const char *operation, const uint8_t mailbox[RELAY_ID_SIZE]) {
        Fault fault = { .action = FAULT_NONE, .retry_after = retry_after };

        if (streq(operation, operation_meant))
                fault.delay_usec = delay_msec * USEC_PER_MSEC;
        for (size_t i = 0; i < n_rules; i++) {
                Rule *rule = &rules[i];

                if (!streq(rule->operation, operation))
                        continue;
                rule->n_requests++;
                if (rule->kind->once ? rule->n_requests == rule->n + 1
                                     : rule->n_requests % rule->n == 0)
                        fault.action = rule->kind->action;
        }
        if (fault.action == FAULT_EXPIRE)
                expire(mailbox);
        if (has_expired(mailbox))
                fault.clock_offset = (int64_t) 366 * 86400;
        return fault;
}

bool faults_break_connection(void) {
        n_connections++;
        return tls_failure_every > 0 && n_connections % tls_failure_every == 0;
}

void faults_record(const void *data, size_t size) {
        if (!record)
                return;
        (void) fwrite(data, 1, size, record);
        (void) fflush(record);
}

static void keep_payload(const RelayRequest *request, const RelayAnswer *answer) {
        Payload *p = calloc(1, sizeof(*p));

        if (!p)
                return;
        p->text = strdup(request->payload);
        if (!p->text) {
                free(p);
                return;
        }
        memcpy(p->mailbox, answer->mailbox, RELAY_ID_SIZE);
        memcpy(p->writer, request->claim, RELAY_CLAIM_SIZE);
        p->older = newest;
        newest = p;
}

/* The newest payload of the mailbox by the reader, or by the other party but for its newest one. */
static const char *find_payload(const RelayRequest *reader, bool own) {
        bool skip = !own;

        for (const Payload *p = newest; p; p = p->older) {
                bool by_reader = memcmp(p->writer, reader->claim, RELAY_CLAIM_SIZE) == 0;

                if (memcmp(p->mailbox, reader->mailbox, RELAY_ID_SIZE) != 0 || by_reader != own)
                        continue;
                if (!skip)
                        return p->text;
                skip = false;
        }
        return NULL;
}

static void set_body(RelayAnswer *answer, char *body) {
        if (!body)
                return;
        free(answer->body);
        answer->body = body;
        answer->body_size = strlen(body);
}

/* payload: JSON text to take the place of the answer's, or NULL: the answer's own as a string. */
static void replace_payload(RelayAnswer *answer, const char *payload) {
        json_auto_t *object = json_loadb(answer->body, answer->body_size, 0, NULL);
        char *text;
        json_t *value;

        if (!json_is_object(object))
                return;
        if (payload)
                value = json_loads(payload, 0, NULL);
        else {
                text = json_dumps(json_object_get(object, "payload"), JSON_COMPACT);
                value = json_string(text);
                free(text);
        }
        if (json_object_set_new(object, "payload", value) == 0)
                set_body(answer, json_dumps(object, JSON_COMPACT));
}

static void grow(RelayAnswer *answer) {
        char *body = realloc(answer->body, answer->body_size + OVERSIZE);

        if (!body)
                return;
        memset(body + answer->body_size, ' ', OVERSIZE);
        answer->body = body;
        answer->body_size += OVERSIZE;
}

void faults_answer(const Fault *fault, const RelayRequest *request, RelayAnswer *answer) {
        const char *payload;

        if (relay_operation_has_body(request->operation) && answer->status == 200)
                keep_payload(request, answer);
        if (answer->status >= 400)
                return;

        switch (fault->action) {
        case FAULT_OVERSIZE:
                grow(answer);
                return;
        case FAULT_NOT_JSON:
                answer->status = 200;
                set_body(answer, strdup("<!DOCTYPE html><title>Sign in</title>"));
                return;
        case FAULT_PAYLOAD_STRING:
                replace_payload(answer, NULL);
                return;
        case FAULT_STALE:
        case FAULT_REFLECT:
                payload = find_payload(request, fault->action == FAULT_REFLECT);
                if (payload)
                        replace_payload(answer, payload);
                return;
        case FAULT_EMPTY_201:
                answer->status = 201;
                free(answer->body);
                answer->body = NULL;
                answer->body_size = 0;
                return;
        case FAULT_NONE:
        case FAULT_REFUSE:
        case FAULT_LIMIT:
        case FAULT_REDIRECT:
        case FAULT_TWICE:
        case FAULT_EXPIRE:
        case FAULT_DROP:
        case FAULT_WRONG_ECHO:
        case FAULT_MISSING_ECHO:
        case FAULT_TRUNCATE:
                return; /* done elsewhere */
        }
}

int64_t faults_clock_offset(void) {
        long long offset = 0;
        FILE *f;

        if (!clock_path)
                return 0;
        f = fopen(clock_path, "re");
        if (!f)
                return 0;
        if (fscanf(f, "%lld", &offset) != 1)
                offset = 0;
        (void) fclose(f);
        return offset;
}
