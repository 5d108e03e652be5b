/* vestibulectl: the parts of the command line tool. It is a client of the HTTP API and has no other
 * way into the gateway. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "cleanup.h"

#define CTL_URL "http://127.0.0.1:8480"
#define CTL_OPERATOR_URL "unix:/run/vestibule/operator.sock"

typedef struct CtlOptions {
        const char *url; /* http://…, https://… or unix:/PATH; NULL: the command's default */
        const char *token_file, *policy, *name, *locale, *title, *description, *format,
                        *content_file, *reference, *expires_in, *sender, *state, *limit, *tenant,
                        *image_url, *time_zone, *after, *share, *signer, *provisioning_file,
                        *channel, *fact_file, *key, *head, *with_seed, *folder;
        const char *to[5], *claims[3];
        size_t n_to, n_claims;
        bool json, follow;
} CtlOptions;

/* ctl-client.c: asking the API */

typedef struct CtlAnswer {
        long status;
        json_t *body;     /* or NULL */
        long retry_after; /* seconds, or 0 */
        int64_t date;     /* the server's clock, or 0 */
        char error[512];  /* when there was no answer */
        char reason[256]; /* why, when the network or its peer gave none; else empty */
} CtlAnswer;

void ctl_answer_done(CtlAnswer *answer);

/* Asks once. body may be NULL; key is an Idempotency-Key or NULL. seconds is the deadline. Returns
 * 0 when an answer came, whatever its status, else an exit status with answer->error filled. */
int ctl_ask(const CtlOptions *options,
                const char *method,
                const char *path,
                const json_t *body,
                const char *key,
                long seconds,
                CtlAnswer *ret);

/* The same, repeated while the gateway is busy, away, or does not answer; with one key a repetition
 * is safe. Returns 0 for an answer of 200 to 299; otherwise says why on stderr and returns an exit
 * status. */
int ctl_ask_firmly(const CtlOptions *options,
                const char *method,
                const char *path,
                const json_t *body,
                CtlAnswer *ret);

/* Puts where the next page begins in place of where this one did; NULL: there is none. */
void ctl_next_page(const CtlAnswer *answer, char **cursor);

/* Asks for a stream: on_piece gets each piece of an answer of 200 as it comes, and ends it with
 * false. Returns 0 when an answer came and has ended, or was ended here; a stream that is silent
 * for a minute, or breaks, is EX_UNAVAILABLE as no answer is. */
typedef bool (*CtlPiece)(const char *data, size_t size, void *userdata);
int ctl_stream(const CtlOptions *options,
                const char *path,
                CtlPiece on_piece,
                void *userdata,
                CtlAnswer *ret);

/* Says on stderr what a problem answer says; returns the exit status for it. */
int ctl_refused(const CtlAnswer *answer);

/* Finds out whether a token is there and readable. 0, or an exit status with a sentence in ret. */
int ctl_token_check(const CtlOptions *options, char *ret, size_t size);

/* ctl-file.c */

enum { CTL_CONTENT_DEPTH = 30 }; /* what an envelope takes; of what is not sealed the API takes 8 */

/* Reads JSON from a file, or from standard input for "-". The object named by content, a path of
 * json-raw.h, is written with the bytes it came with. 0, or an exit status after saying why; what
 * names it. */
int ctl_json_read(const char *path, const char *what, const char *content, json_t **ret);

/* ctl-approve.c */

/* Reads a fact from the first line of a file, and makes the member `fact` of POST /v1/shares: a key
 * and a verifier, from which nobody learns it. 0, or an exit status after saying why. */
int ctl_fact_read(const char *path, json_t **ret);

/* ctl-share.c */

/* Prints a share, without its timeline. */
void ctl_share_print(const json_t *share);

/* Asks, and prints the share that comes as an answer. Returns an exit status. */
int ctl_share_answer(const CtlOptions *options,
                const char *method,
                const char *path,
                const json_t *body);

/* The path of a share and what follows it. 0, or an exit status after saying what an id is. */
int ctl_share_path(const char *id, const char *more, char ret[128]);

/* Adds a parameter to a path, percent-encoded; nothing for NULL. */
void ctl_query_add(char *path, size_t size, const char *name, const char *value);

/* ctl-print.c: for people */

enum { CTL_COLUMNS_MAX = 8 };

/* A table in the making: rows of texts that are copied, made harmless for a terminal. */
typedef struct CtlTable {
        char **cells;
        size_t n_columns, n_cells;
} CtlTable;

void ctl_table_init(CtlTable *table, size_t n_columns, ...); /* titles, const char * */
void ctl_table_add(CtlTable *table, const char *text);       /* the next cell; NULL is empty */
void ctl_table_print(CtlTable *table);                       /* prints and empties it */

/* A copy of foreign text without anything that a terminal would act on. The caller frees. */
char *ctl_plain(const char *text);

/* RFC 3339 from the API as local time, such as "2026-11-22 13:00"; or the text itself. */
void ctl_local_time(const char *text, char ret[40]);

/* "Label:   value", unless value is NULL. */
void ctl_field(const char *label, const char *value);

void ctl_print_json(const json_t *value, bool compact);

/* The code, so that it is read without mistakes, and what to do with it. */
void ctl_print_code(const char *code);

const char *ctl_text(const json_t *object, const char *member);

/* Commands; each returns an exit status. arguments ends with NULL. */

int ctl_token(const CtlOptions *options, char **arguments);
int ctl_share_create(const CtlOptions *options, char **arguments);
int ctl_share_show(const CtlOptions *options, char **arguments);
int ctl_share_list(const CtlOptions *options, char **arguments);
int ctl_share_cancel(const CtlOptions *options, char **arguments);
int ctl_share_resend(const CtlOptions *options, char **arguments);
int ctl_share_reissue(const CtlOptions *options, char **arguments);
int ctl_share_approve(const CtlOptions *options, char **arguments);
int ctl_share_deny(const CtlOptions *options, char **arguments);
int ctl_share_expiry(const CtlOptions *options, char **arguments);
int ctl_share_watch(const CtlOptions *options, char **arguments);
int ctl_message_send(const CtlOptions *options, char **arguments);
int ctl_message_list(const CtlOptions *options, char **arguments);
int ctl_events(const CtlOptions *options, char **arguments);
int ctl_seal(const CtlOptions *options, char **arguments);
int ctl_channels(const CtlOptions *options, char **arguments);
int ctl_policies(const CtlOptions *options, char **arguments);
int ctl_policy_show(const CtlOptions *options, char **arguments);
int ctl_letters_list(const CtlOptions *options, char **arguments);
int ctl_letters_replay(const CtlOptions *options, char **arguments);
int ctl_letters_drop(const CtlOptions *options, char **arguments);
/* The first line of standard input, as an address that nobody else could read among the arguments;
 * command is named to who gave none. EX_USAGE. */
int ctl_address_read(const char *command, char ret[ADDRESS_SIZE_MAX]);
int ctl_audit_export(const CtlOptions *options, char **arguments);
int ctl_audit_verify(const CtlOptions *options, char **arguments);
int ctl_audit_key(const CtlOptions *options, char **arguments);
int ctl_audit_seed(const CtlOptions *options, char **arguments);
int ctl_blocks_list(const CtlOptions *options, char **arguments);
int ctl_blocks_lift(const CtlOptions *options, char **arguments);
int ctl_limits_show(const CtlOptions *options, char **arguments);
int ctl_limits_clear(const CtlOptions *options, char **arguments);
int ctl_template_lint(const CtlOptions *options, char **arguments);
int ctl_template_preview(const CtlOptions *options, char **arguments);
int ctl_clock_accept(const CtlOptions *options, char **arguments);
int ctl_doctor(const CtlOptions *options, char **arguments);
