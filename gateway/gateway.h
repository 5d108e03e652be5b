/* The gateway's parts together, and how they call one another. main.c makes one of these; nothing
 * in here is known to base/, policy/ or the plugins.
 *
 *   front*.c      what tenants and operators ask     share-create.c  how a share begins
 *   reply.c       what recipients answer             share-json.c    how a share looks from outside
 *   challenge.c   what they have to show
 *   channel-run.c what channels report               message.c       what recipients are sent
 *   relay-run.c   what the relay answers             sweep.c         what time does
 *   relay-transfer.c  messages in both directions    relay-mint.c    content that is issued late
 *   block.c       who wants nothing from whom        fallback.c      which address, and when
 *   limit-share.c how many shares a tenant may start limit-answer.c  how many wrong answers count
 *   limit-send.c  which messages wait
 *
 * Those on the left, and sweep.c, load a share, choose an event, and call share_step()
 * (transition.c), the only place where a share's state changes. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "address.h"
#include "answer.h"
#include "audit-log.h"
#include "clock.h"
#include "config.h"
#include "engine.h"
#include "fact.h"
#include "limiter.h"
#include "outbox.h"
#include "plugin-set.h"
#include "store.h"
#include "template.h"
#include "time-text.h"
#include "vault.h"

typedef struct Watcher Watcher;

/* What operators may count; no identities. The names are in front-state.c. */
typedef enum GatewayCounter {
        COUNTER_SHARES_CREATED,
        COUNTER_SHARES_COMPLETED,
        COUNTER_SHARES_LOCKED,
        COUNTER_SHARES_ENDED_OTHERWISE,
        COUNTER_CODES_RIGHT,
        COUNTER_CODES_WRONG,
        COUNTER_CODES_MISTYPED,
        COUNTER_REPLIES_UNBOUND,
        COUNTER_REPLIES_DROPPED,
        COUNTER_MAILBOXES_MADE,
        COUNTER_MAILBOXES_ORPHANED,
        COUNTER_MESSAGES_SENT,
        COUNTER_MESSAGES_RECEIVED,
        COUNTER_MESSAGES_ODD,
        COUNTER_MESSAGES_POSTPONED,
        COUNTER_DEAD_LETTERS,
        _COUNTER_MAX,
} GatewayCounter;

typedef struct Gateway {
        sd_event *event;
        Config *config;
        TemplateSet *templates;
        Vault *vault;
        Store *store;
        AuditLog *audit;
        Engine *engine;
        Limiter *limiter;
        Outbox *outbox;
        PluginSet *plugins;
        Clock clock;
        char *config_path;

        sd_event_source *sweep, *tick;
        struct Ask *asks;  /* what fronts ask and is not answered yet */
        Watcher *watchers; /* of those, what waits for a share to change, or for an event */
        size_t n_watchers;
        int64_t *changed, *published; /* shares that this batch and the one before changed */
        size_t n_changed, n_changed_kept, n_published, changed_allocated, published_allocated;
        int64_t time_stored;
        uint64_t counters[_COUNTER_MAX];
} Gateway;

enum {
        GATEWAY_KEEP_ADDRESSES = 24 * 3600, /* blind indexes after the end, for late answers */
        GATEWAY_KEEP_FINISHED = 30 * 24 * 3600,
        GATEWAY_KEEP_EVENTS = 3 * 24 * 3600, /* for who follows them and was away */
        GATEWAY_KEEP_SEEN = 72 * 3600,
        GATEWAY_KEEP_ANSWERS = 24 * 3600,
        GATEWAY_KEEP_BOXES = 10 * 24 * 3600, /* that a tenant sealed, whose end is not known here */
        GATEWAY_BLOCK_SECONDS = 30 * 24 * 3600,
        GATEWAY_RESENDS_MAX = 2,
        GATEWAY_REPEATS_MAX = 5,  /* of what a broken stream may have lost */
        GATEWAY_ANSWERS_MAX = 10, /* texts back to a recipient, for each share */
        GATEWAY_SWEEP_PAGE = 500,
        GATEWAY_LAST_LOOK = 120, /* before the end of a mailbox for several messages */
};

static inline int64_t gateway_now(const Gateway *g) {
        return clock_now(&g->clock, time_boot());
}

/* --- transition.c --- */

typedef struct ShareContext {
        Gateway *gateway;
        Share share;
        VaultKey key;
        bool has_key;
        json_t *details; /* {addresses, steps: [[address, channel]], name, locale, zone, sender,
                            display, envelope, kid, claims, mint}, once share_details() has opened
                            them */
        int64_t now;
        const char *from; /* who wrote what the step is about, or NULL; borrowed */
        int error;        /* the details could not be read, which must not pass for absence */
} ShareContext;

/* Loads a share and unwraps its key, if it still has one. STORE_E_NOT_FOUND. Ends with
 * share_context_done(). */
int share_context_load(ShareContext *c, Gateway *g, int64_t n);
void share_context_done(ShareContext *c);

/* The share's details, borrowed; NULL once they are wiped. */
const json_t *share_details(ShareContext *c);

/* Takes one step and performs its effects on the store, other than SEND_INVITATION, SEND_LINK and
 * SEND_CODE, which the caller performs with message_invite(), message_link() and message_code().
 * LIFECYCLE_E_NOT_ALLOWED: nothing changed. The caller writes the share afterwards, with
 * share_save(). */
int share_step(ShareContext *c, LifecycleEvent event);
bool share_may_step(const ShareContext *c, LifecycleEvent event);

/* Sets when the sweep must look again, from the state and the times of the share as they are now.
 */
void share_set_due(ShareContext *c);

/* Seals and stores the details as they are now, and the box unless it is NULL. */
int share_put_content(ShareContext *c, const char *box);

/* Queues something to ask the share's relay. */
int share_queue_relay(ShareContext *c, OutboxKind kind, uint64_t delay_msec);

/* Writes the row, bumps the version, and tells the watchers after the commit. */
int share_save(ShareContext *c);

/* Invariant 9: the times and numbers of the share's policy, the stricter of then and now. */
Rules share_rules_now(const ShareContext *c);

/* Invariant 9: whether the share still meets its policy as it is configured now. */
bool share_meets_policy(ShareContext *c);

/* The recipient's address and channel of a fallback step; false: there is no such step. */
bool share_route(ShareContext *c,
                int step,
                const char **ret_address,
                const ConfigChannel **ret_channel);
int share_n_steps(ShareContext *c);

/* Whether an address is one that this share has written to, exactly; *ret_step says which. */
bool share_has_address(ShareContext *c, const char *channel, const char *address, int *ret_step);

/* From its first message on, an answer from an address may be about this share. The caller writes
 * the share. */
int share_know_address(ShareContext *c, const char *address);

/* Whether it is none of those, but a code of ours or the Secret's half went there: whoever reads
 * there may end the share, and can prove nothing. */
bool share_has_second_address(ShareContext *c, const char *channel, const char *address);

/* --- block.c --- */

#define BLOCK_ID_PREFIX "blk_"

typedef enum BlockReason {
        BLOCK_STOP,
        BLOCK_STOP_ALL,
        BLOCK_NOT_ME,
        BLOCK_UNPROVEN, /* STOP of somebody who did not show that they had read a message of ours */
        _BLOCK_REASON_MAX,
} BlockReason;

/* From now on, and for so many seconds at least, no invitation of the tenant, or of anybody when it
 * is "", goes to the person behind a canonical address (address_fold()). */
int block_put(Gateway *g,
                const char *tenant,
                const char *address,
                BlockReason reason,
                int64_t seconds);

/* STORE_E_EXISTS: the person wants nothing of this tenant, or of anybody. */
int block_has(Gateway *g, const char *tenant, const char *address);

/* STORE_E_NOT_FOUND: there is no such block. */
int block_lift(Gateway *g, const char *tenant, const char *address);

/* A block as an operator sees it: {id, tenant?, address, reason, since, until}; without a tenant it
 * is about all of them, and one of an older version is an id and an end. NULL: out of memory. */
json_t *block_json(Gateway *g, const StoreBlock *block);

/* --- fallback.c --- */

/* All of these are for shares in `pending` and `invited`. Negative errno. */

/* Invites at the first step, of a share that is not stored yet. */
int fallback_begin(ShareContext *c);

/* Sends the invitation of the present step, or the same once more; or waits for the morning. */
int fallback_invite(ShareContext *c);

/* Whether an invitation that is about to leave has to wait for the morning; then it has been seen
 * to. */
enum { FALLBACK_POSTPONED = 1 };
int fallback_postpone(ShareContext *c);

/* A carrier took the invitation of a step: notes it, and writes the share. */
int fallback_accepted(ShareContext *c, int step);
/* The same is known from what became of it; the caller notes and writes. */
void fallback_taken(ShareContext *c, int step);

/* A carrier says that it will not get there. The caller writes the share. */
int fallback_failed(ShareContext *c, int step);

/* Somebody who read an invitation has answered: nobody else is asked. The caller writes the share.
 */
void fallback_answered(ShareContext *c);

/* Whether answers from this address come too late, as a later one is asked. */
bool fallback_is_closed(ShareContext *c, const char *channel, const char *address);

/* Whether the time of a step has come, and what then happens; it writes the share. */
bool fallback_is_due(const ShareContext *c);
int fallback_due(ShareContext *c);
/* --- limit-share.c: what a tenant may do, by its own history alone --- */

typedef enum LimitReason {
        LIMIT_REASON_NONE,
        LIMIT_REASON_TENANT,    /* many shares of the tenant */
        LIMIT_REASON_RECIPIENT, /* many of its shares for one recipient */
        LIMIT_REASON_LOCKED,    /* wrong answers of the recipient */
        LIMIT_REASON_SAFE_MODE, /* wrong answers to all of the tenant's shares */
        LIMIT_REASON_SPEND,     /* what its SMS may cost in a day */
} LimitReason;

/* Counts a share that the tenant starts for the people behind these canonical addresses, whose
 * steps are [address, channel], and what an SMS and its link will cost. Positive: it may not for
 * *ret_wait seconds, and nothing was counted. What is refused does not depend on whether they want
 * it. */
int limit_take_share(Gateway *g,
                const ConfigTenant *tenant,
                const Rules *rules,
                const json_t *steps,
                char (*addresses)[ADDRESS_SIZE_MAX],
                size_t n_addresses,
                LimitReason *ret_reason,
                int64_t *ret_wait);

/* The attempts of a share were used up. */
int limit_note_locked(ShareContext *c);

/* --- challenge.c --- */

enum {
        CHALLENGE_CODES_MAX = 3,     /* of ours, for what the sender has not renewed */
        CHALLENGE_REISSUE_TRIES = 3, /* of what is left in all */
};

typedef enum ChallengeError {
        CHALLENGE_E_FORM = 1, /* not a number of six digits; nothing was spent */
        CHALLENGE_E_CLOCK =
                        2, /* nothing is confirmed before the operator has looked at the clock */
} ChallengeError;

/* Where an answer came from, and its text, all borrowed. */
typedef struct ChallengeFrom {
        const char *channel, *address, *text;
} ChallengeFrom;

/* What a new share's invitation asks for, and the one of a later step of the fallback. */
TemplateMessage challenge_invitation(const Share *s);

/* Makes a code for a factor, and keeps its verifier as the share's. ret is the caller's to wipe. */
int challenge_make_code(ShareContext *c, Factor factor, char ret[CODE_SIZE]);

/* A fact as POST /v1/shares takes it: {key, verifier}, 32 bytes each in base64. False: it is not.
 */
bool challenge_read_fact(const json_t *fact,
                uint8_t ret_key[FACT_KEY_SIZE],
                uint8_t ret_verifier[FACT_VERIFIER_SIZE]);

/* A bound answer in `invited`: spends, compares, asks for the next, and takes the share's step. The
 * caller saves. */
int challenge_answer(ShareContext *c, const ChallengeFrom *from, const Answer *answer);

/* An answer from where a code of ours went, and nobody was invited: it is not compared with
 * anything; who sends the code there is told where it belongs. */
int challenge_elsewhere(ShareContext *c, const ChallengeFrom *from, const Answer *answer);
/* Says what is asked for at present. */
int challenge_help(ShareContext *c, const ChallengeFrom *from);

/* The held answer is due: it is judged now. The caller saves. */
int challenge_held(ShareContext *c);
/* A code of ours counts no more, which its recipient is told with this message. */
int challenge_code_lapsed(ShareContext *c, TemplateMessage message);

/* Whether a code is typed that the share still waits for. */
bool challenge_has_codes(const Share *s);
/* Another code, asked for by the sender, with tries of those that are left. ret_code is empty where
 * the code is ours to send; else the caller's to wipe. The caller has checked that it may be. */
int challenge_reissue(ShareContext *c, char ret_code[CODE_SIZE]);

/* The sender's one try at the number, and their no (or a wrong number). ChallengeError. */
int challenge_approve(ShareContext *c, const char *text);
int challenge_not_approved(ShareContext *c, LifecycleEvent event);

/* Whether the halves of a link are on channels of different operators, as configured now. */
bool challenge_halves_are_apart(ShareContext *c);
/* --- limit-answer.c: wrong answers, and texts back --- */

enum { LIMIT_DROP = 1 };

/* LIMIT_DROP: the budget of this address, or of the tenant, is used up: what it sent is dropped
 * without being looked at, and nothing is written. Negative errno. */
int limit_check_answer(ShareContext *c, const char *from);
/* An answer was compared and was wrong. */
int limit_note_wrong(ShareContext *c, const char *channel, const char *from);
/* LIMIT_DROP: who answers has been written back to often enough. Otherwise it is counted. */
int limit_take_text(ShareContext *c, const char *address);
/* The format of a new share's code over these channels: X8 in place of D9 while too many are
 * guessing somewhere. Negative errno. */
int limit_code_format(Gateway *g, CodeFormat wanted, const json_t *steps, CodeFormat *ret);

/* --- limit-send.c: messages, by what the tenant sends and by what all of them send --- */

/* A message that is about to leave, or is said to. */
typedef struct LimitMessage {
        OutboxKind kind;
        const char *address;
        const ConfigChannel *channel;
        const char *text; /* NULL: of no consequence, nothing is sent */
        int64_t made;     /* when it was, in the gateway's time: what others cause ends 15 minutes
                             later */
        bool repeated;
} LimitMessage;

/* Counts a message. LIMIT_HOLD: it has to wait for *ret_wait seconds, and nothing was counted.
 * Negative errno. */
enum { LIMIT_HOLD = 1 };
int limit_take_message(ShareContext *c, const LimitMessage *message, int64_t *ret_wait);
/* Somebody at this address has answered: for the breakers. */
int limit_note_answered(ShareContext *c, const char *address);
/* A carrier says that a message to this address will not get there: likewise. */
int limit_note_bounced(ShareContext *c, const char *address);

/* What an SMS and its link will cost the tenant of a share with these steps, as it is reserved when
 * the share starts; in ten-thousandths. */
uint32_t limit_reserve(const Config *config, const json_t *steps);

/* --- message.c --- */

/* Queues the invitation of the present step; a resend repeats the same bytes. */
int message_invite(ShareContext *c, bool resend);
/* With FACTOR_SPLIT in two halves, the Secret's to the share's key_step. */
int message_link(ShareContext *c, const char *link, bool resend);
/* A code of ours, as it is shown, to the share's code_step. */
int message_code(ShareContext *c, const char *display);
/* The number that the recipient reads out. */
int message_approval(ShareContext *c, const char *number, const char *channel, const char *address);
/* The same once more for a carrier that may have lost it, after delay_msec. */
int message_repeat(ShareContext *c, OutboxKind kind, int step, uint64_t delay_msec);

/* Queues a notice to an address of the share; nothing after GATEWAY_ANSWERS_MAX of them. Sealed
 * with the vault's own key, as it may have to outlive the share's. */
int message_notice(
                ShareContext *c, TemplateMessage message, const char *channel, const char *address);

/* Tells who has confirmed that nothing comes of it; before the step that ends the share. */
int message_not_made(ShareContext *c);

/* Queues that the carriers are asked to take back what they took and did not deliver; before the
 * step that ends the share. Nothing depends on it. */
int message_withdraw(ShareContext *c);

/* Makes the frame for a stored message. STORE_E_NOT_FOUND. */
int message_frame(Gateway *g, const VaultKey *key, int64_t share, int part, json_t **ret);

/* --- what the plugins ask and tell --- */

int front_request(Gateway *g, PluginRequest request, const char *type, json_t *frame);
void front_event(Gateway *g, PluginLink *link, const char *type, const json_t *frame);
int reply_request(Gateway *g, PluginRequest request, json_t *frame);
int channel_event(Gateway *g, PluginLink *link, const char *type, json_t *frame);
/* What a carrier says became of a message: answered when that is durable, or of no use. -EPROTO. */
int channel_report(Gateway *g, PluginRequest request, const json_t *frame);

/* Outbox: the frame of a row, and the answer to it. */
/* item says whether the limits have counted it, and how long a message waits for them
 * (OUTBOX_VERDICT_LATER). */
int channel_claim(ShareContext *c, OutboxRow *row, OutboxItem *item, json_t **ret);
int relay_claim(ShareContext *c, OutboxRow *row, json_t **ret);

/* Inside a command: what an answer to a row means. Returns an OutboxVerdict, with *ret_retry in
 * milliseconds (0: backoff) unless it is done, or a negative errno. */
int channel_answered(ShareContext *c, OutboxRow *row, const json_t *answer, uint64_t *ret_retry);
int relay_answered(ShareContext *c,
                OutboxRow *row,
                const OutboxItem *item,
                const json_t *answer,
                uint64_t *ret_retry);

/* A relay's mailbox and claim of a share, as it is asked with. STORE_E_NOT_FOUND: it has no
 * mailbox.
 */
int relay_open_mailbox(ShareContext *c, Secret *ret);
void relay_claim_of(ShareContext *c, char ret[UUID_TEXT_SIZE]);
/* The mailbox has gone, or ran out: the share ends. As relay_answered(). */
int relay_mailbox_gone(ShareContext *c);
/* What is to be said of a share in `released` whose mailbox ran out. Negative errno. */
int relay_end_event(ShareContext *c, LifecycleEvent *ret);
/* The relay refuses us our own mailbox; type is how. As relay_answered(). */
int relay_mailbox_refused(ShareContext *c, OutboxKind kind, const char *type, uint64_t *ret_retry);
/* The relay says that our own claim holds the mailbox no more: by now, whether that is taken for
 * true. As relay_answered(); with OUTBOX_VERDICT_AGAIN it is to be asked once more at the pace. */
int relay_mailbox_claimed(ShareContext *c, const OutboxItem *item);
/* Keeps count, in the item of a look, of what its answers say. */
void relay_note_look(OutboxItem *item, const json_t *answer);
/* A look at the mailbox succeeded after one that was refused. Writes nothing. */
void relay_mailbox_seen(ShareContext *c);
/* Ten minutes since the release, by the gateway's own time, so that a restart does not begin anew.
 */
bool relay_patience_is_over(const ShareContext *c);

/* --- relay-mint.c --- */

int relay_mint_claim(ShareContext *c, json_t **ret);
int relay_mint_answered(ShareContext *c, const OutboxRow *row, const json_t *answer);

/* --- relay-transfer.c --- */

/* The mailbox was made, for several messages: the first is with the relay. */
int transfer_begin(ShareContext *c, const json_t *answer);

/* Queues a further message of the initiator, a JSON object as relay-transfer.c reads it;
 * *ret_number is its number. TRANSFER_E_NOT_YOUR_TURN, and nothing changed. */
typedef enum TransferError {
        TRANSFER_E_NOT_YOUR_TURN = 1,
} TransferError;
int transfer_add(ShareContext *c, const json_t *message, int *ret_number);

/* Who writes next. */
TransferParty transfer_turn(ShareContext *c);

/* Whether the recipient has written at least once. Negative errno. */
int transfer_was_answered(ShareContext *c);

/* Draft R: whether it is worth asking if our last message was taken. Negative errno. */
int transfer_may_be_taken(ShareContext *c);

/* A look at the mailbox. The claim reads one row; an answer without news needs none, and is settled
 * with *ret_retry without a command. */
int transfer_poll_claim(Gateway *g, const OutboxItem *item, json_t **ret);
bool transfer_poll_is_quiet(
                Gateway *g, const OutboxItem *item, const json_t *answer, uint64_t *ret_retry);
int transfer_poll_answered(
                ShareContext *c, const OutboxItem *item, const json_t *answer, uint64_t *ret_retry);

int transfer_update_claim(ShareContext *c, OutboxRow *row, json_t **ret);
int transfer_update_answered(
                ShareContext *c, OutboxRow *row, const json_t *answer, uint64_t *ret_retry);
int transfer_acknowledge_claim(ShareContext *c, json_t **ret);
int transfer_acknowledge_answered(ShareContext *c, OutboxRow *row, const json_t *answer);

/* Draft R: the state of the share's run, if there is one, as the member `state`. */
int transfer_add_state(ShareContext *c, json_t *frame);

/* The poll of a transfer as an outbox has it, and when it is to be first asked after a start. */
void transfer_poll_row(const Transfer *transfer, OutboxRow *ret);
uint64_t transfer_start_msec(const Gateway *g, const Transfer *transfer);

/* --- share-json.c --- */

/* The level that the share's recipient has reached: 0 until something is shown. */
unsigned share_assurance(const Share *s);

/* The share as its tenant sees it, or masked as an operator does. NULL: out of memory. */
json_t *share_json(ShareContext *c, bool masked);

enum { EVENT_ID_SIZE = 32 };

/* The id of an event: its number, and a tag that no other event of that number has. An event of
 * which only the number is set is one that is not kept. */
void event_id(Gateway *g, const char *tenant, const StoreEvent *event, char ret[EVENT_ID_SIZE]);

/* An event, with what an entry of its share's timeline shows. NULL: out of memory. */
json_t *event_json(Gateway *g, const char *tenant, const StoreEvent *event);

/* --- front-watch.c --- */

void watchers_publish(Gateway *g);
void watchers_drop_link(Gateway *g, PluginLink *link);
void watchers_expire(Gateway *g);
/* The configuration is another: who waits may have lost the right to. */
void watchers_reload(Gateway *g);
/* Answers the question now, if it waits. */
void watchers_forget(Gateway *g, const struct Ask *ask);

/* --- sweep.c --- */

int sweep_start(Gateway *g);
/* Something became due earlier than the sweep knows. */
void sweep_note_due(Gateway *g, int64_t due);

/* --- gateway.c --- */

int gateway_new(Gateway **ret, sd_event *event, const char *config_path);
int gateway_start(Gateway *g);
/* The operator's templates over the installed ones, which $VESTIBULE_TEMPLATES may replace. As
 * template_set_load(). */
int gateway_load_templates(const Config *config, TemplateSet **ret, char **ret_problems);
/* Reads the configuration again and applies it whole or not at all; says what it did. */
void gateway_reload(Gateway *g);
Gateway *gateway_free(Gateway *g);
DEFINE_CLEANUP(Gateway, gateway_free)

void gateway_note_changed(Gateway *g, int64_t share);
void gateway_count(Gateway *g, GatewayCounter counter);

/* Whether what a command or its commit ended with may pass, so that a plugin should hand it in
 * again. False where nothing failed. */
bool gateway_may_pass(int error);

/* Whether a plugin is connected and reaches its carrier; *ret_detail says what is wrong, or "". */
bool gateway_plugin_is_up(Gateway *g, ConfigRole role, const char *name, const char **ret_detail);
