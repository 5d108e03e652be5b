/* Commands about shares, for tenants: to start, watch and steer them. */
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#include "ctl.h"
#include "text.h"
#include "time-text.h"

enum {
        WATCH_SECONDS = 50,
};

int ctl_share_path(const char *id, const char *more, char ret[128]) {
        uint8_t bytes[16];

        if (text_from_id("shr_", id, bytes) < 0) {
                (void) fprintf(stderr, "vestibulectl: a share's id is shr_ and 26 symbols\n");
                return EX_USAGE;
        }
        (void) snprintf(ret, 128, "/v1/shares/%s%s", id, more);
        return 0;
}

static void timeline_print(const json_t *timeline, size_t from) {
        CtlTable table;

        ctl_table_init(&table, 3, "TIME", "EVENT", "DETAIL");
        for (size_t i = from; i < json_array_size(timeline); i++) {
                const json_t *entry = json_array_get(timeline, i);
                char at[40];

                ctl_local_time(ctl_text(entry, "at"), at);
                ctl_table_add(&table, at);
                ctl_table_add(&table, ctl_text(entry, "event"));
                ctl_table_add(&table,
                                ctl_text(entry, "channel") ? ctl_text(entry, "channel")
                                                           : ctl_text(entry, "detail"));
        }
        ctl_table_print(&table);
}

static void delivery_print(const json_t *delivery) {
        json_t *fact;
        size_t i;

        json_array_foreach(delivery, i, fact) {
                char at[40], text[128];

                ctl_local_time(ctl_text(fact, "at"), at);
                (void) snprintf(text,
                                sizeof(text),
                                "%s by %s at %s",
                                ctl_text(fact, "fact") ? ctl_text(fact, "fact") : "?",
                                ctl_text(fact, "channel") ? ctl_text(fact, "channel") : "?",
                                at);
                ctl_field(i == 0 ? "Delivery" : "", text);
        }
}

static void time_field(const char *label, const char *text) {
        char at[40];

        if (!text)
                return;
        ctl_local_time(text, at);
        ctl_field(label, at);
}

/* What operators see of a message that has not left. */
static void waiting_print(const json_t *waiting) {
        const char *message = ctl_text(waiting, "message"), *reason = ctl_text(waiting, "reason"),
                   *channel = ctl_text(waiting, "channel");
        char text[160];

        if (!message || !reason || !channel)
                return;
        (void) snprintf(text, sizeof(text), "%s on %s: %s", message, channel, reason);
        ctl_field("Waiting", text);
}

void ctl_share_print(const json_t *share) {
        const json_t *addresses = json_object_get(json_object_get(share, "recipient"), "addresses");
        const json_t *left = json_object_get(share, "attempts_left");
        const char *cause = ctl_text(share, "cause"), *turn = ctl_text(share, "turn");
        char text[160];
        json_t *address;
        size_t i;

        ctl_field("Share", ctl_text(share, "id"));
        (void) snprintf(text,
                        sizeof(text),
                        "%s%s%s%s",
                        ctl_text(share, "state") ? ctl_text(share, "state") : "?",
                        cause ? " (" : "",
                        cause ? cause : "",
                        cause ? ")" : "");
        ctl_field("State", text);
        if (turn)
                ctl_field("Turn",
                                streq(turn, "initiator") ? "the sender's: send the next message"
                                                         : "the recipient's");
        ctl_field("Policy", ctl_text(share, "policy"));
        ctl_field("Tag", ctl_text(share, "tag"));
        ctl_field("Reference", ctl_text(share, "reference"));
        json_array_foreach(addresses, i, address)
                        ctl_field(i == 0 ? "Recipient" : "", json_string_value(address));
        time_field("Created", ctl_text(share, "created_at"));
        time_field("Expires", ctl_text(share, "expires_at"));
        time_field("Next step", ctl_text(share, "next_step_at"));
        if (json_is_integer(left)) {
                (void) snprintf(text, sizeof(text), "%d", (int) json_integer_value(left));
                ctl_field("Attempts left", text);
        }
        ctl_field("Assurance", ctl_text(share, "assurance"));
        delivery_print(json_object_get(share, "delivery"));
        if (json_is_true(json_object_get(share, "link_left")))
                ctl_field("Link", "a copy has left");
        waiting_print(json_object_get(share, "waiting"));
}

int ctl_share_answer(const CtlOptions *options,
                const char *method,
                const char *path,
                const json_t *body) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        int r;

        r = ctl_ask_firmly(options, method, path, body, &answer);
        if (r != 0)
                return r;
        if (options->json)
                ctl_print_json(answer.body, false);
        else {
                ctl_share_print(answer.body);
                if (json_array_size(json_object_get(answer.body, "timeline")) > 0) {
                        (void) putchar('\n');
                        timeline_print(json_object_get(answer.body, "timeline"), 0);
                }
        }
        return 0;
}

static int share_answer(const CtlOptions *options, const char *method, const char *path) {
        return ctl_share_answer(options, method, path, NULL);
}

int ctl_share_show(const CtlOptions *options, char **arguments) {
        char path[128];
        int r = ctl_share_path(arguments[0], "", path);

        return r != 0 ? r : share_answer(options, "GET", path);
}

int ctl_share_cancel(const CtlOptions *options, char **arguments) {
        char path[128];
        int r = ctl_share_path(arguments[0], "/cancel", path);

        return r != 0 ? r : share_answer(options, "POST", path);
}

int ctl_share_resend(const CtlOptions *options, char **arguments) {
        char path[128];
        int r = ctl_share_path(arguments[0], "/resend", path);

        return r != 0 ? r : share_answer(options, "POST", path);
}

void ctl_query_add(char *path, size_t size, const char *name, const char *value) {
        size_t n = strlen(path);

        if (!value)
                return;
        n += (size_t) snprintf(path + n, size - n, "%c%s=", strchr(path, '?') ? '&' : '?', name);
        for (; *value && n + 4 < size; value++) {
                bool plain = strchr("-._~", *value) || (*value >= '0' && *value <= '9') ||
                             ((*value | 32) >= 'a' && (*value | 32) <= 'z');

                n += (size_t) snprintf(path + n,
                                size - n,
                                plain ? "%c" : "%%%02X",
                                (unsigned char) *value);
        }
}

static void shares_print(const json_t *shares) {
        CtlTable table;
        json_t *share;
        size_t i;

        ctl_table_init(&table, 6, "SHARE", "STATE", "POLICY", "TAG", "CREATED", "REFERENCE");
        json_array_foreach(shares, i, share) {
                char at[40];

                ctl_local_time(ctl_text(share, "created_at"), at);
                ctl_table_add(&table, ctl_text(share, "id"));
                ctl_table_add(&table, ctl_text(share, "state"));
                ctl_table_add(&table, ctl_text(share, "policy"));
                ctl_table_add(&table, ctl_text(share, "tag"));
                ctl_table_add(&table, at);
                ctl_table_add(&table, ctl_text(share, "reference"));
        }
        ctl_table_print(&table);
}

/* Without --limit all pages are shown. */
int ctl_share_list(const CtlOptions *options, char **arguments) {
        json_auto_t *all = json_array();
        _cleanup_(freep) char *cursor = NULL;

        (void) arguments;
        do {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                char path[2048] = "/v1/shares";
                int r;

                ctl_query_add(path, sizeof(path), "state", options->state);
                ctl_query_add(path, sizeof(path), "reference", options->reference);
                ctl_query_add(path, sizeof(path), "limit", options->limit ? options->limit : "100");
                ctl_query_add(path, sizeof(path), "cursor", cursor);
                r = ctl_ask_firmly(options, "GET", path, NULL, &answer);
                if (r != 0)
                        return r;
                (void) json_array_extend(all, json_object_get(answer.body, "shares"));
                ctl_next_page(&answer, &cursor);
        } while (cursor && !options->limit);

        if (options->json)
                ctl_print_json(all, false);
        else if (json_array_size(all) == 0)
                (void) printf("There are no such shares.\n");
        else
                shares_print(all);
        return 0;
}

static bool is_final(const char *state) {
        static const char *const states[] = {
                "completed", "declined", "disowned", "cancelled", "expired", "locked", "failed"
        };

        for (size_t i = 0; i < N_ELEMENTS(states); i++) {
                if (state && streq(state, states[i]))
                        return true;
        }
        return false;
}

static void event_print(const json_t *entry) {
        _cleanup_(freep) char *event = ctl_plain(ctl_text(entry, "event"));
        _cleanup_(freep) char *detail = ctl_plain(ctl_text(entry, "detail"));
        char at[40];

        ctl_local_time(ctl_text(entry, "at"), at);
        (void) printf("%s  %s%s%s\n", at, event, detail[0] ? "  " : "", detail);
}

int ctl_share_watch(const CtlOptions *options, char **arguments) {
        char path[128], query[200];
        size_t shown = 0;
        int r;

        r = ctl_share_path(arguments[0], "", path);
        if (r != 0)
                return r;
        (void) snprintf(query, sizeof(query), "%s", path);
        for (;;) {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                const json_t *timeline;

                r = ctl_ask_firmly(options, "GET", query, NULL, &answer);
                if (r != 0)
                        return r;
                timeline = json_object_get(answer.body, "timeline");
                if (options->json)
                        ctl_print_json(answer.body, true);
                else
                        for (; shown < json_array_size(timeline); shown++)
                                event_print(json_array_get(timeline, shown));
                (void) fflush(stdout);
                if (is_final(ctl_text(answer.body, "state"))) {
                        if (!options->json) {
                                (void) putchar('\n');
                                ctl_share_print(answer.body);
                        }
                        return 0;
                }
                (void) snprintf(query,
                                sizeof(query),
                                "%s?after=%lld&wait=%d",
                                path,
                                (long long) json_integer_value(
                                                json_object_get(answer.body, "version")),
                                WATCH_SECONDS);
        }
}

/* share create */

/* "90", "90s", "15m", "2h", "1d" */
static int duration_read(const char *text, int64_t *ret) {
        static const char units[] = "smhd";
        static const int seconds[] = { 1, 60, 3600, 86400 };
        char *end;
        long n = strtol(text, &end, 10);
        const char *unit = *end ? strchr(units, *end) : units;

        if (text[0] < '0' || text[0] > '9' || n < 1 || n > 1000000 || !unit || (*end && end[1])) {
                (void) fprintf(stderr, "vestibulectl: write --expires-in as 90s, 15m, 2h or 1d\n");
                return EX_USAGE;
        }
        *ret = (int64_t) n * seconds[unit - units];
        return 0;
}

static void set_text(json_t *object, const char *member, const char *text) {
        if (text)
                (void) json_object_set_new(object, member, json_string(text));
}

static int provisioning_read(const CtlOptions *options, json_t **ret) {
        json_auto_t *content = NULL;
        int r;

        if (options->provisioning_file)
                return ctl_json_read(
                                options->provisioning_file, "the provisioning", "content", ret);
        r = ctl_json_read(options->content_file, "the content", "", &content);
        if (r != 0)
                return r;
        *ret = json_pack("{s:s, s:O}", "format", options->format, "content", content);
        return *ret ? 0 : EX_OSERR;
}

/* The time in so long, as the API writes it. */
static int time_in(const char *duration, char ret[TIME_TEXT_SIZE]) {
        int64_t seconds;
        int r;

        r = duration_read(duration, &seconds);
        if (r == 0)
                time_text(time_wall() + seconds, ret);
        return r;
}

static int share_body(const CtlOptions *options, json_t **ret) {
        json_auto_t *body = json_object(), *provisioning = NULL;
        json_t *recipient = json_object(), *addresses = json_array(), *credential = json_object();
        int r;

        for (size_t i = 0; i < options->n_to; i++)
                (void) json_array_append_new(addresses, json_string(options->to[i]));
        (void) json_object_set_new(recipient, "addresses", addresses);
        set_text(recipient, "name", options->name);
        set_text(recipient, "locale", options->locale);
        set_text(recipient, "time_zone", options->time_zone);
        set_text(credential, "title", options->title);
        set_text(credential, "description", options->description);
        set_text(credential, "image_url", options->image_url);
        (void) json_object_set_new(body, "recipient", recipient);
        (void) json_object_set_new(body, "credential", credential);
        set_text(body, "policy", options->policy);
        set_text(body, "reference", options->reference);
        if (options->sender)
                (void) json_object_set_new(
                                body, "sender", json_pack("{s:s}", "name", options->sender));
        if (options->expires_in) {
                char text[TIME_TEXT_SIZE];

                r = time_in(options->expires_in, text);
                if (r != 0)
                        return r;
                set_text(body, "expires_at", text);
        }
        if (options->fact_file) {
                json_t *fact;

                r = ctl_fact_read(options->fact_file, &fact);
                if (r != 0)
                        return r;
                (void) json_object_set_new(body, "fact", fact);
        }
        if (options->n_claims > 0) {
                json_t *claims = json_array();

                for (size_t i = 0; i < options->n_claims; i++)
                        (void) json_array_append_new(claims, json_string(options->claims[i]));
                (void) json_object_set_new(body, "claims", claims);
        }
        r = provisioning_read(options, &provisioning);
        if (r != 0)
                return r;
        (void) json_object_set(body, "provisioning", provisioning);
        *ret = TAKE_PTR(body);
        return 0;
}

/* Which addresses there are, and whether this is one, the gateway says; a scheme it cannot guess.
 */
static bool has_scheme(const char *address) {
        size_t n = strspn(address,
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

        return n > 0 && address[n] == ':' && strchr("0123456789+-.", address[0]) == NULL;
}

int ctl_share_create(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        json_auto_t *body = NULL;
        int r;

        (void) arguments;
        if (!options->policy || options->n_to == 0 || !options->title) {
                (void) fprintf(stderr,
                                "vestibulectl: share create needs --policy, --to and --title\n");
                return EX_USAGE;
        }
        if (options->provisioning_file ? options->format || options->content_file
                                       : !options->format || !options->content_file) {
                (void) fprintf(stderr,
                                "vestibulectl: share create needs --format and --content-file, or "
                                "--provisioning-file alone\n");
                return EX_USAGE;
        }
        for (size_t i = 0; i < options->n_to; i++)
                if (!has_scheme(options->to[i])) {
                        (void) fprintf(stderr,
                                        "vestibulectl: --to needs xmpp:, sms: or mailto: in "
                                        "front\n");
                        return EX_USAGE;
                }
        r = share_body(options, &body);
        if (r != 0)
                return r;
        r = ctl_ask_firmly(options, "POST", "/v1/shares", body, &answer);
        if (r != 0)
                return r;
        if (options->json) {
                ctl_print_json(answer.body, false);
                return 0;
        }
        ctl_share_print(answer.body);
        if (ctl_text(answer.body, "code"))
                ctl_print_code(ctl_text(answer.body, "code"));
        else
                (void) puts("\nThere is no code to tell: the recipient is asked for other proof.");
        return 0;
}

int ctl_share_expiry(const CtlOptions *options, char **arguments) {
        char path[128], text[TIME_TEXT_SIZE];
        json_auto_t *body = NULL;
        int r;

        r = ctl_share_path(arguments[0], "/expiry", path);
        if (r != 0)
                return r;
        if (!options->expires_in) {
                (void) fprintf(stderr, "vestibulectl: share expiry needs --expires-in\n");
                return EX_USAGE;
        }
        r = time_in(options->expires_in, text);
        if (r != 0)
                return r;
        body = json_pack("{s:s}", "expires_at", text);
        return body ? ctl_share_answer(options, "POST", path, body) : EX_OSERR;
}
