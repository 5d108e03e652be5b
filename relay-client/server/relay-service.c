#include "relay-service.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "preview.h"
#include "text.h"
#include "time-text.h"

static int answer_format(RelayAnswer *answer, const char *format, ...)
                __attribute__((format(printf, 2, 3)));

static int answer_format(RelayAnswer *answer, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&answer->body, format, ap);
        va_end(ap);
        if (n < 0) {
                answer->body = NULL;
                return -ENOMEM;
        }
        answer->body_size = (size_t) n;
        return 0;
}

/* is_told: the relay will notify the caller. */
static int answer_link(RelayAnswer *answer,
                const RelayPolicy *policy,
                const uint8_t id[RELAY_ID_SIZE],
                bool is_told) {
        char text[UUID_TEXT_SIZE];

        relay_id_text(id, text);
        return answer_format(answer,
                        "{\"urlLink\":\"%s/v1/m/%s\",\"isPushNotificationSupported\":%s}",
                        policy->public_url,
                        text,
                        is_told ? "true" : "false");
}

/* What is stored is JSON text already: an answer is three pieces put together. */
static int answer_content(RelayAnswer *answer, const MailboxContent *content, int64_t expiration) {
        static const char head[] = "{\"payload\":", middle[] = ",\"displayInformation\":",
                          tail[] = ",\"expiration\":\"";
        char when[TIME_TEXT_SIZE], *p;

        time_text(expiration, when);
        answer->body_size = sizeof(head) - 1 + content->payload_size + sizeof(middle) - 1 +
                            content->display_size + sizeof(tail) - 1 + strlen(when) + 2;
        answer->body = malloc(answer->body_size + 1);
        if (!answer->body)
                return -ENOMEM;
        p = mempcpy(answer->body, head, sizeof(head) - 1);
        p = mempcpy(p, content->payload, content->payload_size);
        p = mempcpy(p, middle, sizeof(middle) - 1);
        p = mempcpy(p, content->display, content->display_size);
        p = mempcpy(p, tail, sizeof(tail) - 1);
        p = mempcpy(p, when, strlen(when));
        (void) mempcpy(p, "\"}", 3);
        return 0;
}

typedef struct Context {
        MailboxStore *store;
        const RelayPolicy *policy;
        const RelayRequest *request;
        Mailbox mailbox;
        bool knows_claim;
        MailboxClaim claim;
        MailboxParty party;
        MailboxDecision decision;
} Context;

static int load(Context *c, int64_t now, MailboxQuestion *ret) {
        const RelayRequest *request = c->request;
        int r = MAILBOX_STORE_E_NONE;

        if (request->operation != RELAY_CREATE)
                r = mailbox_store_find(c->store, request->mailbox, &c->mailbox);
        if (r < 0)
                return r;

        *ret = (MailboxQuestion){
                .state = MAILBOX_NONE,
                .party = MAILBOX_STRANGER,
                .operation = request->operation,
                .body_is_valid = request->body_is_valid,
        };
        if (r == 0 && c->mailbox.expiration > now) {
                ret->state = c->mailbox.is_bound ? MAILBOX_BOUND : MAILBOX_OPEN;
                ret->rights = c->mailbox.rights;
        }

        /* Comparing hashes: how long that takes says nothing about the claim. */
        if (request->operation == RELAY_PREVIEW || ret->state == MAILBOX_NONE)
                ret->party = MAILBOX_STRANGER;
        else if (memcmp(c->mailbox.initiator, request->claim, RELAY_CLAIM_SIZE) == 0)
                ret->party = MAILBOX_INITIATOR;
        else if (c->mailbox.is_bound &&
                        memcmp(c->mailbox.recipient, request->claim, RELAY_CLAIM_SIZE) == 0)
                ret->party = MAILBOX_RECIPIENT;
        c->party = ret->party;

        if (request->operation == RELAY_PREVIEW || request->operation == RELAY_READ)
                return 0;
        r = mailbox_store_find_claim(c->store, request->claim, &c->claim);
        if (r < 0)
                return r;
        c->knows_claim = r == 0;
        /* A row that awaits its sweep is forgotten already. */
        ret->is_duplicate = c->knows_claim && c->claim.expiration > now &&
                            memcmp(c->claim.request_id, request->request_id, RELAY_ID_SIZE) == 0;
        return 0;
}

/* A Delete of a claim that has no row needs none: its repetition finds no mailbox. */
static int remember(Context *c, const uint8_t *created, int64_t expiration) {
        MailboxClaim row = { .expiration = expiration };

        if (c->request->operation == RELAY_DELETE && !c->knows_claim)
                return 0;
        memcpy(row.request_id, c->request->request_id, RELAY_ID_SIZE);
        if (created) {
                row.has_mailbox = true;
                memcpy(row.mailbox, created, RELAY_ID_SIZE);
        }
        return mailbox_store_set_claim(
                        c->store, c->request->claim, &row, c->knows_claim ? &c->claim : NULL);
}

/* Depends on the mailbox, so that one token in two mailboxes links them neither on disk nor in a
 * log. */
static uint64_t mailbox_token(uint64_t token, const uint8_t id[RELAY_ID_SIZE]) {
        uint8_t bytes[RELAY_ID_SIZE + 8], hash[crypto_generichash_BYTES];
        uint64_t mixed = 0;

        if (token == 0)
                return 0;
        memcpy(bytes, id, RELAY_ID_SIZE);
        for (size_t i = 0; i < 8; i++)
                bytes[RELAY_ID_SIZE + i] = (uint8_t) (token >> (56 - 8 * i));
        (void) crypto_generichash(hash, sizeof(hash), bytes, sizeof(bytes), NULL, 0);
        for (size_t i = 0; i < 8; i++)
                mixed = mixed << 8 | hash[i];
        return mixed ? mixed : 1;
}

static int do_create(Context *c, RelayAnswer *answer) {
        const RelayRequest *request = c->request;
        Mailbox mailbox = { .rights = request->rights, .expiration = request->expiration };
        int r;

        randombytes_buf(answer->mailbox, RELAY_ID_SIZE);
        answer->mailbox[6] = (uint8_t) ((answer->mailbox[6] & 0x0f) | 0x40);
        answer->mailbox[8] = (uint8_t) ((answer->mailbox[8] & 0x3f) | 0x80);
        memcpy(mailbox.initiator, request->claim, RELAY_CLAIM_SIZE);
        mailbox.initiator_token = mailbox_token(request->token, answer->mailbox);

        r = mailbox_store_insert(c->store,
                        answer->mailbox,
                        &mailbox,
                        request->webhook,
                        request->display,
                        request->payload);
        if (r == MAILBOX_STORE_E_FULL) {
                memset(answer->mailbox, 0, RELAY_ID_SIZE);
                answer->status = 507;
                return 0;
        }
        if (r < 0)
                return r;
        r = remember(c, answer->mailbox, request->expiration);
        if (r < 0)
                return r;
        return answer_link(answer, c->policy, answer->mailbox, request->webhook);
}

static int tell_the_other(Context *c, bool by_initiator, RelayAnswer *answer) {
        const Mailbox *m = &c->mailbox;
        int r;

        answer->push_token = by_initiator ? m->recipient_token : m->initiator_token;
        if (answer->push_token == 0)
                return 0;
        answer->push = by_initiator ? RELAY_PUSH_RECIPIENT : RELAY_PUSH_INITIATOR;
        if (by_initiator ? !m->recipient_has_webhook : !m->initiator_has_webhook)
                return 0;
        r = mailbox_store_read_webhook(c->store, m->number, !by_initiator, &answer->webhook);
        return r > 0 ? -EIO : r; /* it was found a moment ago */
}

static int do_update(Context *c, RelayAnswer *answer) {
        bool by_initiator = c->party == MAILBOX_INITIATOR, is_told;
        int r;

        r = mailbox_store_set_payload(c->store, c->mailbox.number, c->request->payload);
        if (r == MAILBOX_STORE_E_FULL) {
                answer->status = 507;
                return 0;
        }
        if (r < 0)
                return r;
        is_told = by_initiator ? c->mailbox.initiator_has_webhook
                               : c->mailbox.recipient_has_webhook;
        if (c->request->token != 0) {
                is_told = c->request->webhook;
                r = mailbox_store_set_token(c->store,
                                c->mailbox.number,
                                by_initiator,
                                mailbox_token(c->request->token, c->request->mailbox),
                                c->request->webhook);
                if (r < 0)
                        return r;
        }
        r = remember(c, NULL, c->mailbox.expiration);
        if (r < 0)
                return r;
        r = tell_the_other(c, by_initiator, answer);
        if (r < 0)
                return r;
        return answer_format(
                        answer, "{\"isPushNotificationSupported\":%s}", is_told ? "true" : "false");
}

static int do_read(Context *c, RelayAnswer *answer) {
        MailboxContent content;
        int r;

        if (c->decision.next == MAILBOX_BOUND && !c->mailbox.is_bound) {
                r = mailbox_store_set_recipient(c->store, c->mailbox.number, c->request->claim);
                if (r < 0)
                        return r;
        }
        r = mailbox_store_read(c->store, c->mailbox.number, &content);
        if (r != 0)
                return r < 0 ? r : -EIO;
        return answer_content(answer, &content, c->mailbox.expiration);
}

static int do_preview(Context *c, RelayAnswer *answer) {
        MailboxContent content;
        int r;

        r = mailbox_store_read(c->store, c->mailbox.number, &content);
        if (r != 0)
                return r < 0 ? r : -EIO;
        answer->kind = RELAY_ANSWER_HTML;
        return preview_render(content.display,
                        content.display_size,
                        c->request->language,
                        &answer->body,
                        &answer->body_size);
}

static int do_delete(Context *c) {
        int r;

        r = mailbox_store_delete(c->store, c->mailbox.number);
        if (r < 0)
                return r;
        return remember(c, NULL, c->mailbox.expiration);
}

static int do_relinquish(Context *c) {
        int r;

        r = mailbox_store_set_recipient(c->store, c->mailbox.number, NULL);
        if (r < 0)
                return r;
        return remember(c, NULL, c->mailbox.expiration);
}

static int execute(Context *c, RelayAnswer *answer) {
        switch (c->request->operation) {
        case RELAY_CREATE:
                return do_create(c, answer);
        case RELAY_UPDATE:
                return do_update(c, answer);
        case RELAY_DELETE:
                return do_delete(c);
        case RELAY_PREVIEW:
                return do_preview(c, answer);
        case RELAY_READ:
                return do_read(c, answer);
        case RELAY_RELINQUISH:
                return do_relinquish(c);
        case _RELAY_OPERATION_MAX:
                break;
        }
        return -EINVAL;
}

static int answer_duplicate(Context *c, RelayAnswer *answer) {
        if (c->request->operation != RELAY_CREATE || !c->claim.has_mailbox)
                return 0;
        memcpy(answer->mailbox, c->claim.mailbox, RELAY_ID_SIZE);
        if (c->policy->empty_created)
                return 0;
        return answer_link(answer, c->policy, c->claim.mailbox, c->request->webhook);
}

int relay_service_apply(MailboxStore *store,
                const RelayPolicy *policy,
                const RelayRequest *request,
                int64_t now,
                RelayAnswer *ret) {
        Context c = { .store = store, .policy = policy, .request = request };
        MailboxQuestion question;
        int r;

        r = load(&c, now, &question);
        if (r < 0)
                return r;
        c.decision = mailbox_decide(&question);
        memcpy(ret->mailbox, request->mailbox, RELAY_ID_SIZE);

        switch (c.decision.outcome) {
        case MAILBOX_DONE:
                ret->status = 200;
                return execute(&c, ret);
        case MAILBOX_DUPLICATE:
                ret->status = 201;
                return answer_duplicate(&c, ret);
        case MAILBOX_BAD_BODY:
                ret->status = 400;
                return 0;
        case MAILBOX_UNAUTHORISED:
                ret->status = 401;
                return 0;
        case MAILBOX_NO_RIGHT:
                ret->status = policy->forbid_with_403 ? 403 : 401;
                return 0;
        case MAILBOX_GONE:
                ret->status = 404;
                return 0;
        }
        return -EINVAL;
}
