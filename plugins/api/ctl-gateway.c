/* Commands about the gateway itself: channels, policies, dead letters, the clock, tokens. */
#include <sodium.h>
#include <stdio.h>
#include <sysexits.h>

#include "ctl.h"
#include "text.h"
#include "token.h"

/* Asks for a list and prints it: one column for each member named. in_words, which may be NULL,
 * adds to each entry what people read in place of what programs do. */
static int list_print(const CtlOptions *options,
                const char *path,
                const char *list,
                const char *nothing,
                void (*in_words)(json_t *entry),
                const char *const members[],
                size_t n_members) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        CtlTable table;
        json_t *entry;
        size_t i;
        int r;

        r = ctl_ask_firmly(options, "GET", path, NULL, &answer);
        if (r != 0)
                return r;
        if (options->json) {
                ctl_print_json(answer.body, false);
                return 0;
        }
        if (json_array_size(json_object_get(answer.body, list)) == 0) {
                (void) puts(nothing);
                return 0;
        }

        table = (CtlTable){ .n_columns = n_members };
        for (size_t k = 0; k < n_members; k++) {
                char title[32];
                size_t n = 0;

                for (; members[k][n] && n < sizeof(title) - 1; n++)
                        title[n] = (char) (members[k][n] == '_' ? ' '
                                                                : members[k][n] - ('a' - 'A'));
                title[n] = 0;
                ctl_table_add(&table, title);
        }
        json_array_foreach(json_object_get(answer.body, list), i, entry) {
                if (in_words)
                        in_words(entry);
                for (size_t k = 0; k < n_members; k++) {
                        const json_t *value = json_object_get(entry, members[k]);
                        char text[64];

                        if (json_is_integer(value)) {
                                (void) snprintf(text,
                                                sizeof(text),
                                                "%lld",
                                                (long long) json_integer_value(value));
                                ctl_table_add(&table, text);
                        } else
                                ctl_table_add(&table, json_string_value(value));
                }
        }
        ctl_table_print(&table);
        return 0;
}

int ctl_channels(const CtlOptions *options, char **arguments) {
        static const char *const members[] = { "name", "scheme", "state", "detail" };

        (void) arguments;
        return list_print(options,
                        "/v1/channels",
                        "channels",
                        "No channel is configured.",
                        NULL,
                        members,
                        N_ELEMENTS(members));
}

static void policy_in_words(json_t *policy) {
        const char *rights = ctl_text(policy, "access_rights");

        (void) json_object_set_new(policy,
                        "messages",
                        json_string(rights && streq(rights, "RWD") ? "several, in turn" : "one"));
}

int ctl_policies(const CtlOptions *options, char **arguments) {
        static const char *const members[] = {
                "name", "class", "vertical", "assurance", "lifetime", "mailbox_ttl", "messages"
        };

        (void) arguments;
        return list_print(options,
                        "/v1/policies",
                        "policies",
                        "No policy may be used with this token.",
                        policy_in_words,
                        members,
                        N_ELEMENTS(members));
}

/* Foreign text of several lines, each harmless for a terminal. */
static void lines_print(const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");
                _cleanup_(freep) char *line = strndup(text, n);
                _cleanup_(freep) char *plain = line ? ctl_plain(line) : NULL;

                (void) puts(plain ? plain : "");
                text += n + (text[n] == '\n');
        }
}

static int policy_print(const CtlOptions *options, const char *name) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        char path[256] = "/v1/policies";
        const char *text;
        int r;

        ctl_query_add(path, sizeof(path), "name", name);
        r = ctl_ask_firmly(options, "GET", path, NULL, &answer);
        if (r != 0)
                return r;
        text = ctl_text(json_array_get(json_object_get(answer.body, "policies"), 0), "text");
        if (options->json)
                ctl_print_json(answer.body, false);
        else if (text)
                lines_print(text);
        else {
                (void) fprintf(stderr,
                                "vestibulectl: the gateway is of a version that does not say "
                                "this\n");
                return EX_UNAVAILABLE;
        }
        return 0;
}

/* Each of them is asked for alone, since all together may be more than one answer holds. */
int ctl_policy_show(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        json_t *policy;
        size_t i;
        int r;

        if (arguments[0])
                return policy_print(options, arguments[0]);
        r = ctl_ask_firmly(options, "GET", "/v1/policies", NULL, &answer);
        json_array_foreach(json_object_get(answer.body, "policies"), i, policy) {
                if (r == 0)
                        r = policy_print(options, ctl_text(policy, "name"));
        }
        return r;
}

int ctl_letters_list(const CtlOptions *options, char **arguments) {
        static const char *const members[] = { "message", "share", "channel", "tries", "reason" };

        (void) arguments;
        return list_print(options,
                        "/v1/letters",
                        "letters",
                        "There are no dead letters.",
                        NULL,
                        members,
                        N_ELEMENTS(members));
}

static int act(const CtlOptions *options, const char *path, const char *done) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        int r;

        r = ctl_ask_firmly(options, "POST", path, NULL, &answer);
        if (r != 0)
                return r;
        if (options->json)
                ctl_print_json(answer.body ? answer.body : json_null(), false);
        else
                (void) puts(done);
        return 0;
}

static int
letter_act(const CtlOptions *options, const char *message, const char *verb, const char *done) {
        uint8_t bytes[16];
        char path[128];

        if (text_from_id("msg_", message, bytes) < 0) {
                (void) fprintf(stderr, "vestibulectl: a letter's id is msg_ and 26 symbols\n");
                return EX_USAGE;
        }
        (void) snprintf(path, sizeof(path), "/v1/letters/%s/%s", message, verb);
        return act(options, path, done);
}

int ctl_letters_replay(const CtlOptions *options, char **arguments) {
        return letter_act(options,
                        arguments[0],
                        "replay",
                        "The letter is due again. It runs only if its share still allows it.");
}

int ctl_letters_drop(const CtlOptions *options, char **arguments) {
        return letter_act(options, arguments[0], "drop", "The letter is gone.");
}

int ctl_clock_accept(const CtlOptions *options, char **arguments) {
        (void) arguments;
        return act(options, "/v1/clock/accept", "The gateway goes on with the clock as it is.");
}

int ctl_token(const CtlOptions *options, char **arguments) {
        const char *tenant = options->tenant ? options->tenant : "NAME";
        char token[TOKEN_TEXT_SIZE], id[TOKEN_ID_SIZE], entry[TOKEN_ENTRY_SIZE];
        uint8_t hash[TOKEN_HASH_SIZE];

        (void) arguments;
        if (tenant[strspn(tenant,
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")]) {
                (void) fprintf(stderr,
                                "vestibulectl: a tenant's name has letters, digits, - _ . only\n");
                return EX_USAGE;
        }
        token_make(token);
        if (token_parse(token, id, hash) < 0)
                return EX_SOFTWARE;
        token_entry(id, hash, entry);

        if (options->json) {
                json_auto_t *object = json_pack("{s:s, s:s}", "token", token, "entry", entry);

                ctl_print_json(object, false);
        } else
                (void) printf("The token, shown this once. Give it to the tenant over a safe "
                              "path:\n\n"
                              "    %s\n\n"
                              "The line for `tenant %s { ... }` in vestibule.conf; then: systemctl "
                              "reload "
                              "vestibuled\n\n"
                              "    token = { \"%s\" }\n",
                                token,
                                tenant,
                                entry);
        sodium_memzero(token, sizeof(token));
        return 0;
}
