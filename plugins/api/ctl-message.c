/* vestibulectl message: the payloads of a share in which both sides write in turn. */
#include <stdio.h>
#include <sysexits.h>

#include "ctl.h"

int ctl_message_send(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        json_auto_t *provisioning = NULL, *body = NULL;
        char path[128];
        int r;

        r = ctl_share_path(arguments[0], "/messages", path);
        if (r == 0)
                r = ctl_json_read(arguments[1] ? arguments[1] : "-",
                                "a message",
                                "content",
                                &provisioning);
        if (r != 0)
                return r;
        body = json_pack("{s:O}", "provisioning", provisioning);
        r = ctl_ask_firmly(options, "POST", path, body, &answer);
        if (r != 0)
                return r;
        if (options->json)
                ctl_print_json(answer.body, false);
        else {
                _cleanup_(freep) char *state = ctl_plain(ctl_text(answer.body, "state"));

                (void) printf("Message %lld is %s.\n",
                                (long long) json_integer_value(
                                                json_object_get(answer.body, "number")),
                                state);
        }
        return 0;
}

static const char *what_is_in(const json_t *message) {
        const json_t *provisioning = json_object_get(message, "provisioning");
        const char *reason = ctl_text(message, "reason");

        if (reason)
                return reason;
        return json_object_get(provisioning, "encrypted") ? "encrypted"
                                                          : ctl_text(provisioning, "format");
}

static void messages_print(const json_t *messages) {
        CtlTable table;
        json_t *message;
        size_t i;

        ctl_table_init(&table, 5, "NUMBER", "FROM", "STATE", "TIME", "CONTENT");
        json_array_foreach(messages, i, message) {
                char number[24], at[40];

                (void) snprintf(number,
                                sizeof(number),
                                "%lld",
                                (long long) json_integer_value(json_object_get(message, "number")));
                ctl_local_time(ctl_text(message, "at"), at);
                ctl_table_add(&table, number);
                ctl_table_add(&table, ctl_text(message, "from"));
                ctl_table_add(&table, ctl_text(message, "state"));
                ctl_table_add(&table, at);
                ctl_table_add(&table, what_is_in(message));
        }
        ctl_table_print(&table);
}

/* Without --limit all pages are shown. */
int ctl_message_list(const CtlOptions *options, char **arguments) {
        json_auto_t *all = json_array();
        char path[128], after[24] = "";
        int r;

        r = ctl_share_path(arguments[0], "/messages", path);
        if (r != 0)
                return r;
        do {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                const json_t *cursor;
                char query[512];

                (void) snprintf(query, sizeof(query), "%s", path);
                ctl_query_add(query, sizeof(query), "after", after[0] ? after : options->after);
                ctl_query_add(query, sizeof(query), "limit", options->limit);
                r = ctl_ask_firmly(options, "GET", query, NULL, &answer);
                if (r != 0)
                        return r;
                (void) json_array_extend(all, json_object_get(answer.body, "messages"));
                cursor = json_object_get(answer.body, "cursor");
                after[0] = 0;
                if (json_is_integer(cursor))
                        (void) snprintf(after,
                                        sizeof(after),
                                        "%lld",
                                        (long long) json_integer_value(cursor));
        } while (after[0] && !options->limit);

        if (options->json)
                ctl_print_json(all, false);
        else if (json_array_size(all) == 0)
                (void) printf("There are no such messages.\n");
        else {
                messages_print(all);
                (void) printf("--json shows what they say.\n");
        }
        return 0;
}
