/* Commands about blocks: who wants nothing more from whom. An address is read from standard input,
 * since arguments can be read by others and stay in the shell's history. */
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "address.h"
#include "ctl.h"
#include "text.h"

static void blocks_print(const json_t *blocks) {
        CtlTable table;
        json_t *block;
        size_t i;

        ctl_table_init(&table, 5, "BLOCK", "TENANT", "ADDRESS", "REASON", "UNTIL");
        json_array_foreach(blocks, i, block) {
                const char *address = ctl_text(block, "address"),
                           *tenant = ctl_text(block, "tenant");
                char until[40];

                ctl_local_time(ctl_text(block, "until"), until);
                ctl_table_add(&table, ctl_text(block, "id"));
                /* One of an older version says nothing about itself. */
                ctl_table_add(&table, tenant ? tenant : address ? "(all)" : "?");
                ctl_table_add(&table, address ? address : "?");
                ctl_table_add(&table, ctl_text(block, "reason"));
                ctl_table_add(&table, until);
        }
        ctl_table_print(&table);
}

/* Without --limit all pages are shown. */
int ctl_blocks_list(const CtlOptions *options, char **arguments) {
        json_auto_t *all = json_array();
        _cleanup_(freep) char *cursor = NULL;

        (void) arguments;
        do {
                _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
                char path[256] = "/v1/blocks";
                int r;

                ctl_query_add(path, sizeof(path), "limit", options->limit ? options->limit : "100");
                ctl_query_add(path, sizeof(path), "cursor", cursor);
                r = ctl_ask_firmly(options, "GET", path, NULL, &answer);
                if (r != 0)
                        return r;
                (void) json_array_extend(all, json_object_get(answer.body, "blocks"));
                ctl_next_page(&answer, &cursor);
        } while (cursor && !options->limit);

        if (options->json)
                ctl_print_json(all, false);
        else if (json_array_size(all) == 0)
                (void) puts("Nobody is blocked.");
        else
                blocks_print(all);
        return 0;
}

int ctl_address_read(const char *command, char ret[ADDRESS_SIZE_MAX]) {
        if (isatty(STDIN_FILENO))
                (void) fputs("Address, such as sms:+4915112345678: ", stderr);
        if (!fgets(ret, ADDRESS_SIZE_MAX, stdin))
                ret[0] = 0;
        ret[strcspn(ret, "\r\n")] = 0;
        if (ret[0])
                return 0;
        (void) fprintf(stderr,
                        "vestibulectl: %s needs an id, or an address on standard input\n",
                        command);
        return EX_USAGE;
}

static int lift(const CtlOptions *options, const char *path, const json_t *body) {
        _cleanup_(ctl_answer_done) CtlAnswer answer = { 0 };
        json_int_t n;
        int r;

        r = ctl_ask_firmly(options, "POST", path, body, &answer);
        if (r != 0)
                return r;
        n = json_integer_value(json_object_get(answer.body, "lifted"));
        if (options->json)
                ctl_print_json(answer.body, false);
        else
                (void) printf("%lld block%s lifted. What is under way is not sent again.\n",
                                (long long) n,
                                n == 1 ? " is" : "s are");
        return 0;
}

int ctl_blocks_lift(const CtlOptions *options, char **arguments) {
        char path[128], address[ADDRESS_SIZE_MAX];
        json_auto_t *body = NULL;
        uint8_t bytes[16];
        int r;

        if (arguments[0]) {
                if (text_from_id("blk_", arguments[0], bytes) < 0 || options->tenant) {
                        (void) fprintf(stderr,
                                        "vestibulectl: a block's id is blk_ and 26 symbols, and "
                                        "needs no --tenant; an address belongs on standard "
                                        "input\n");
                        return EX_USAGE;
                }
                (void) snprintf(path, sizeof(path), "/v1/blocks/%s/lift", arguments[0]);
                return lift(options, path, NULL);
        }
        r = ctl_address_read("blocks lift", address);
        if (r != 0)
                return r;
        body = json_pack("{s:s, s:s*}", "address", address, "tenant", options->tenant);
        return body ? lift(options, "/v1/blocks/lift", body) : EX_OSERR;
}
