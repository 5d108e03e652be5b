/* Within the gateway's front: one question of a tenant or operator, and how it is answered.
 *
 *   front.c         the way of a question      front-share.c   questions about shares
 *   front-who.c     who asks, and may          front-state.c   questions about the gateway
 *   front-repeat.c  the Idempotency-Key        front-watch.c   waiting for a change
 *   front-event.c   the stream of events       front-message.c  messages of a transfer
 *   front-block.c   blocks, for operators          front-limit.c   limits, likewise
 *   front-policy.c  policies, and one in full
 *   front-audit.c   the audit log, for operators */
#pragma once

#include "gateway.h"
#include "share-limits.h"

typedef enum FrontRight {
        FRONT_RIGHT_TENANT = 1 << 0,
        FRONT_RIGHT_OPERATOR = 1 << 1,
        FRONT_RIGHT_NOBODY = 1 << 2,
} FrontRight;

typedef struct Ask {
        Gateway *gateway;
        PluginRequest request;
        json_t *frame;
        Config *config;             /* kept: the tenant points into it */
        const ConfigTenant *tenant; /* NULL for an operator */
        bool operator;
        const struct FrontVerb *verb;

        /* the answer */
        int status;
        json_t *body, *problem;
        int retry_after;
        bool replayed;
        int64_t watch; /* answer when this share has changed, or after wait seconds; 0: now */
        bool follow;   /* the same, when the tenant has an event above this number */
        int64_t after;
        int64_t wait;
        bool forgotten;              /* whoever asked has gone: it must not wait */
        struct Ask *previous, *next; /* of all that are under way */
} Ask;

typedef struct FrontVerb {
        const char *type;
        unsigned rights;
        bool stored;             /* reads or writes the store: a command of a batch */
        int (*handle)(Ask *ask); /* sets the answer; negative errno: nothing was changed */
} FrontVerb;

/* Answers with a problem (RFC 9457); name is the last part of its type. Returns 0, so that a
 * handler ends with it: a refusal is an answer, and changes nothing. */
__attribute__((format(printf, 5, 6))) int ask_refuse(
                Ask *ask, int status, const char *name, const char *title, const char *detail, ...);

void ask_free(Ask *ask);

/* Gives the answer that was set, and frees the question. */
void ask_answer(Ask *ask);

/* Applies the question in the next batch and answers it; takes it over. */
int front_submit(Ask *ask);

/* --- front-who.c --- */

/* Sets who asks, and returns the rights that they have: a set of FrontRight. */
unsigned front_identify(Ask *ask, const ConfigFront *front);

/* --- front-watch.c --- */

/* Keeps the question, which has an answer, until its share changes, its tenant has an event, or its
 * time is over. False: answer it now, perhaps with the refusal that was set. */
bool front_watch(Ask *ask);

/* --- front-repeat.c --- */

/* Positive: the request was made before, and is answered. */
int front_try_replay(Ask *ask);
/* Keeps the answer under the request's Idempotency-Key, if it has one; with a share, that share's
 * end wipes it. */
int front_remember_answer(Ask *ask, Share *share);

/* --- the questions: each sets the answer. Negative errno: nothing was changed. --- */

/* share-create.c */
int front_share_create(Ask *ask);

/* front-event.c */
int front_event_follow(Ask *ask);

/* front-message.c */
int front_message_add(Ask *ask);
int front_message_list(Ask *ask);
/* Remembers a box by its nonce, or by itself, for as long as it could be used. STORE_E_EXISTS: it
 * was given before. */
int front_note_sealed(Ask *ask, const json_t *sealed, int64_t not_after);

/* front-share.c */

/* Loads the share that a request names. An id of another tenant is as unknown as one that never
 * was. Positive: refused, and the answer is set. */
int front_load_share(Ask *ask, ShareContext *ret);
int front_answer_with_share(Ask *ask, ShareContext *c, int status);
int front_share_get(Ask *ask);
int front_share_list(Ask *ask);
int front_share_cancel(Ask *ask);
int front_share_resend(Ask *ask);
int front_share_reissue(Ask *ask);
int front_share_approve(Ask *ask);
int front_share_deny(Ask *ask);
int front_share_expiry(Ask *ask);

/* front-audit.c */
int front_audit_export(Ask *ask);
int front_audit_key(Ask *ask);
int front_audit_seed(Ask *ask);

/* front-block.c */
/* front-audit.c */
int front_audit_export(Ask *ask);
int front_audit_key(Ask *ask);
int front_audit_seed(Ask *ask);

int front_block_list(Ask *ask);
int front_block_lift(Ask *ask);
int front_block_lift_address(Ask *ask);

/* front-limit.c */
int front_limit_list(Ask *ask);
int front_limit_show_address(Ask *ask);
int front_limit_clear(Ask *ask);
int front_limit_clear_address(Ask *ask);

/* front-policy.c */

/* The policies that the asker may use, or see. */
json_t *front_policies_json(const Ask *ask);
int front_policy_list(Ask *ask);

/* front-state.c */
int front_tenant_describe(Ask *ask);
int front_channel_list(Ask *ask);
int front_letter_list(Ask *ask);
int front_letter_replay(Ask *ask);
int front_letter_drop(Ask *ask);
int front_clock_accept(Ask *ask);
int front_health(Ask *ask);
