/* Commands about the audit log: it is taken out as JSON lines, and checked without asking anybody.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "audit.h"
#include "ctl.h"

typedef int (*LineSeen)(const char *line, size_t size, void *userdata);

/* Every line of the gateway's log after a number, in the order of the chain. */
static int each_line(const CtlOptions *options, const char *after, LineSeen seen, void *userdata) {
        char cursor[32] = "0";

        if (after)
                (void) snprintf(cursor, sizeof(cursor), "%s", after);
        for (;;) {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                const json_t *lines;
                char path[128] = "/v1/audit";
                json_t *line;
                size_t i;
                int r;

                ctl_query_add(path, sizeof(path), "after", cursor);
                r = ctl_ask_firmly(options, "GET", path, NULL, &answer);
                if (r != 0)
                        return r;
                lines = json_object_get(answer.body, "lines");
                if (json_array_size(lines) == 0)
                        return 0;
                json_array_foreach(lines, i, line) {
                        char text[AUDIT_LINE_MAX];
                        size_t size = json_dumpb(
                                        line, text, sizeof(text), JSON_COMPACT | JSON_SORT_KEYS);

                        r = size <= sizeof(text) ? seen(text, size, userdata) : EX_DATAERR;
                        if (r != 0)
                                return r;
                }
                (void) snprintf(cursor,
                                sizeof(cursor),
                                "%" JSON_INTEGER_FORMAT,
                                json_integer_value(json_object_get(answer.body, "cursor")));
        }
}

static int print_line(const char *line, size_t size, void *userdata) {
        (void) userdata;
        return printf("%.*s\n", (int) size, line) < 0 ? EX_IOERR : 0;
}

int ctl_audit_export(const CtlOptions *options, char **arguments) {
        int r;

        (void) arguments;
        r = each_line(options, options->after, print_line, NULL);
        return r == 0 && fflush(stdout) != 0 ? EX_IOERR : r;
}

static int ask_keys(const CtlOptions *options, bool seed, CtlAnswer *answer) {
        return ctl_ask_firmly(options,
                        seed ? "POST" : "GET",
                        seed ? "/v1/audit/seed" : "/v1/audit/key",
                        NULL,
                        answer);
}

int ctl_audit_key(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        int r;

        (void) arguments;
        r = ask_keys(options, false, &answer);
        if (r == 0)
                (void) puts(ctl_text(answer.body, "public") ? ctl_text(answer.body, "public") : "");
        return r;
}

int ctl_audit_seed(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        int r;

        (void) arguments;
        r = ask_keys(options, true, &answer);
        if (r == 0)
                (void) printf("%" JSON_INTEGER_FORMAT ":%s\n",
                                json_integer_value(json_object_get(answer.body, "epoch")),
                                ctl_text(answer.body, "key") ? ctl_text(answer.body, "key") : "");
        return r;
}

/* --- verify ------------------------------------------------------------------------------- */

/* "NUMBER:HEX" of so many bytes. */
static bool read_pair(const char *text, int64_t *ret_number, uint8_t *ret, size_t size) {
        char *end;

        *ret_number = strtoll(text, &end, 10);
        return end > text && *end == ':' && *ret_number >= 0 && audit_from_hex(end + 1, ret, size);
}

static int usage(const char *what) {
        (void) fprintf(stderr, "vestibulectl: %s\n", what);
        return EX_USAGE;
}

static int read_seed(const char *path, AuditVerifier *v) {
        char line[2 * AUDIT_KEY_SIZE + 32] = "";
        FILE *file = fopen(path, "re");
        bool read;

        if (!file) {
                (void) fprintf(stderr, "vestibulectl: cannot read %s: %m\n", path);
                return EX_NOINPUT;
        }
        (void) setvbuf(file, NULL, _IONBF, 0);
        read = fgets(line, sizeof(line), file);
        (void) fclose(file);
        line[strcspn(line, "\r\n")] = 0;
        v->has_key = read && read_pair(line, &v->key_epoch, v->key, sizeof(v->key));
        sodium_memzero(line, sizeof(line));
        return v->has_key ? 0
                          : usage("--with-seed needs a file with what `audit seed` has printed");
}

static int read_what_is_known(const CtlOptions *options, bool from_file, AuditVerifier *v) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        const char *key = options->key;
        int r;

        if (!key && from_file)
                return usage("audit verify of a file needs --key, which `audit key` prints; who "
                             "keeps it elsewhere need not trust the gateway");
        if (!from_file) {
                r = ask_keys(options, false, &answer);
                if (r != 0)
                        return r;
                v->present_epoch = json_integer_value(json_object_get(answer.body, "epoch"));
        }
        if (!key)
                key = ctl_text(answer.body, "public");
        v->has_public = audit_from_hex(key, v->public, sizeof(v->public));
        if (!v->has_public)
                return usage("--key must be 64 hexadecimal digits");
        v->has_head = options->head;
        if (options->head &&
                        !read_pair(options->head, &v->head, v->head_hash, sizeof(v->head_hash)))
                return usage("--head must be as the journal has it: NUMBER:HASH");
        return options->with_seed ? read_seed(options->with_seed, v) : 0;
}

static int broken(const char *why) {
        (void) fprintf(stderr, "vestibulectl: the audit log is not what was written: %s.\n", why);
        return EX_DATAERR;
}

static int take_line(const char *line, size_t size, void *userdata) {
        char why[AUDIT_PROBLEM_SIZE];
        int r;

        r = audit_verifier_line(userdata, line, size, why);
        if (r < 0)
                return EX_OSERR;
        return r > 0 ? broken(why) : 0;
}

static int each_line_of_file(const char *path, LineSeen seen, void *userdata) {
        FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        char line[AUDIT_LINE_MAX + 2];
        int r = 0;

        if (!file) {
                (void) fprintf(stderr, "vestibulectl: cannot read %s: %m\n", path);
                return EX_NOINPUT;
        }
        while (r == 0 && fgets(line, sizeof(line), file))
                r = seen(line, strcspn(line, "\n"), userdata);
        if (file != stdin)
                (void) fclose(file);
        return r;
}

static void print_found(const AuditVerifier *v) {
        (void) printf("%" PRId64 " records, %" PRId64 " to %" PRId64
                      ", are as they were written.\n",
                        v->n_records,
                        v->first,
                        v->last);
        (void) printf("%" PRId64 " checkpoints are signed", v->n_checkpoints);
        if (v->signed_to < v->last)
                (void) printf("; the last %" PRId64 " records wait for the next",
                                v->last - (v->signed_to > 0 ? v->signed_to : v->first - 1));
        (void) printf(".\n");
        if (v->has_key)
                (void) printf("%" PRId64 " records were written by who had the key of their "
                              "epoch.\n",
                                v->n_macs);
        if (v->has_head)
                (void) printf("Record %" PRId64 " is the one that was kept elsewhere.\n", v->head);
        else
                (void) printf("Whether the end was cut off only --head can tell: keep a line of "
                              "the journal elsewhere.\n");
}

int ctl_audit_verify(const CtlOptions *options, char **arguments) {
        const char *path = arguments[0];
        AuditVerifier v = { 0 };
        char why[AUDIT_PROBLEM_SIZE];
        int r;

        r = read_what_is_known(options, path, &v);
        if (r == 0)
                r = path ? each_line_of_file(path, take_line, &v)
                         : each_line(options, NULL, take_line, &v);
        if (r == 0 && audit_verifier_end(&v, why) != 0)
                r = broken(why);
        if (r == 0)
                print_found(&v);
        audit_verifier_done(&v);
        return r;
}
