/* Commands about limits: what is full, whose, and until when. An address is read from standard
 * input. */
#include <stdio.h>
#include <sysexits.h>

#include "address.h"
#include "ctl.h"
#include "text.h"

/* "shares_day wrong_day" */
static void add_words(CtlTable *table, const json_t *words) {
        char text[256] = "";
        size_t i, used = 0;
        json_t *word;

        json_array_foreach(words, i, word) if (used < sizeof(text)) used +=
                        (size_t) snprintf(text + used,
                                        sizeof(text) - used,
                                        "%s%s",
                                        i ? " " : "",
                                        json_string_value(word));
        ctl_table_add(table, text);
}

/* "shares_day=3 wrong_day=9", of what there is. */
static void add_counts(CtlTable *table, json_t *counts) {
        char text[256] = "";
        const char *name;
        json_t *count;
        size_t used = 0;

        json_object_foreach(counts, name, count) if (json_integer_value(count) > 0 &&
                                                     used < sizeof(text)) used +=
                        (size_t) snprintf(text + used,
                                        sizeof(text) - used,
                                        "%s%s=%lld",
                                        used ? " " : "",
                                        name,
                                        (long long) json_integer_value(count));
        ctl_table_add(table, text);
}

static void limits_print(const json_t *limits) {
        CtlTable table;
        json_t *limit;
        size_t i;

        ctl_table_init(&table, 7, "COUNTER", "KIND", "TENANT", "ABOUT", "FULL", "UNTIL", "COUNTS");
        json_array_foreach(limits, i, limit) {
                const char *tenant = ctl_text(limit, "tenant"), *about = ctl_text(limit, "about");
                char until[40] = "";

                if (ctl_text(limit, "until"))
                        ctl_local_time(ctl_text(limit, "until"), until);
                ctl_table_add(&table, ctl_text(limit, "id"));
                ctl_table_add(&table, ctl_text(limit, "kind"));
                ctl_table_add(&table, tenant ? tenant : "(all)");
                ctl_table_add(&table, about ? about : "");
                add_words(&table, json_object_get(limit, "full"));
                ctl_table_add(&table, until);
                add_counts(&table, json_object_get(limit, "counts"));
        }
        ctl_table_print(&table);
}

static int all_pages(const CtlOptions *options, json_t *all) {
        _cleanup_(freep) char *cursor = NULL;

        do {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                char path[256] = "/v1/limits";
                int r;

                ctl_query_add(path, sizeof(path), "limit", "100");
                ctl_query_add(path, sizeof(path), "cursor", cursor);
                r = ctl_ask_firmly(options, "GET", path, NULL, &answer);
                if (r != 0)
                        return r;
                (void) json_array_extend(all, json_object_get(answer.body, "limits"));
                ctl_next_page(&answer, &cursor);
        } while (cursor);
        return 0;
}

static int ask_of_address(
                const CtlOptions *options, const char *command, const char *path, CtlAnswer *ret) {
        char address[ADDRESS_SIZE_MAX];
        json_auto_t *body = NULL;
        int r;

        r = ctl_address_read(command, address);
        if (r != 0)
                return r;
        body = json_pack("{s:s, s:s*}", "address", address, "tenant", options->tenant);
        return body ? ctl_ask_firmly(options, "POST", path, body, ret) : EX_OSERR;
}

int ctl_limits_show(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        json_auto_t *all = json_array();
        bool of_address = arguments[0] != NULL;
        int r;

        if ((of_address && strcmp(arguments[0], "-") != 0) || (!of_address && options->tenant)) {
                (void) fprintf(stderr,
                                "vestibulectl: limits show takes - for an address on standard "
                                "input, with --tenant if it is to be one tenant's, or nothing\n");
                return EX_USAGE;
        }
        r = of_address ? ask_of_address(options, "limits show", "/v1/limits/show", &answer)
                       : all_pages(options, all);
        if (r != 0)
                return r;
        if (of_address)
                (void) json_array_extend(all, json_object_get(answer.body, "limits"));
        if (options->json)
                ctl_print_json(all, false);
        else if (json_array_size(all) == 0)
                (void) puts(of_address ? "Nothing is counted of this address."
                                       : "No limit is reached.");
        else
                limits_print(all);
        return 0;
}

int ctl_limits_clear(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        const char *id = arguments[0];
        bool of_address = id && strcmp(id, "-") == 0;
        char path[128];
        uint8_t bytes[16];
        json_int_t n;
        int r;

        if (!of_address && (!id || text_from_id("cnt_", id, bytes) < 0 || options->tenant)) {
                (void) fprintf(stderr,
                                "vestibulectl: limits clear takes the id of a counter, cnt_ and 26 "
                                "symbols, or - for an address on standard input, with --tenant if "
                                "it is to be one tenant's\n");
                return EX_USAGE;
        }
        (void) snprintf(path, sizeof(path), "/v1/limits/%s/clear", id);
        r = of_address ? ask_of_address(options, "limits clear", "/v1/limits/clear", &answer)
                       : ctl_ask_firmly(options, "POST", path, NULL, &answer);
        if (r != 0)
                return r;
        n = json_integer_value(json_object_get(answer.body, "cleared"));
        if (options->json)
                ctl_print_json(answer.body, false);
        else
                (void) printf("%lld counter%s empty now.\n",
                                (long long) n,
                                n == 1 ? " is" : "s are");
        return 0;
}
