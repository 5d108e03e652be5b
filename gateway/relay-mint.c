/* Content that the tenant issues only once the recipient has confirmed: the relay client fetches it
 * and seals it to itself, and the box is durable before a mailbox is made. */
#include <errno.h>

#include "gateway.h"

int relay_mint_claim(ShareContext *c, json_t **ret) {
        const json_t *details = share_details(c);
        char id[ID_TEXT_SIZE];

        vault_id(c->gateway->vault, VAULT_ID_SHARE, c->share.n, 0, id);
        *ret = json_pack("{s:s, s:s, s:O, s:O, s:I}",
                        "type",
                        "mint",
                        "share",
                        id,
                        "url",
                        json_object_get(details, "mint"),
                        "envelope",
                        json_object_get(details, "envelope"),
                        "expiration",
                        (json_int_t) c->share.mailbox_expires);
        return *ret ? 0 : c->error < 0 ? c->error : -EBADMSG;
}

static int not_issued(ShareContext *c) {
        int r;

        r = message_not_made(c);
        if (r >= 0)
                r = share_step(c, LIFECYCLE_EVENT_NOT_ISSUED);
        if (r == 0)
                r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

static int issued(ShareContext *c, const OutboxRow *row, const char *kid, const char *box) {
        int r;

        if (json_object_set_new(c->details, "kid", json_string(kid)) < 0)
                return -ENOMEM;
        r = share_put_content(c, box);
        if (r >= 0)
                r = store_outbox_remove(c->gateway->store, row->share, row->part);
        if (r >= 0)
                r = share_queue_relay(c, OUTBOX_CREATE, 0);
        if (r < 0)
                return r;
        share_note(&c->share, c->now, TIMELINE_ISSUED, 0, 0);
        r = share_save(c);
        return r < 0 ? r : OUTBOX_VERDICT_DONE;
}

int relay_mint_answered(ShareContext *c, const OutboxRow *row, const json_t *answer) {
        const char *type = json_string_value(json_object_get(answer, "type"));
        const char *kid = json_string_value(json_object_get(answer, "kid"));
        const char *box = json_string_value(json_object_get(answer, "box"));

        if (streq(type, "done") && kid && box && share_details(c))
                return issued(c, row, kid, box);
        if (streq(type, "again") && !relay_patience_is_over(c))
                return OUTBOX_VERDICT_AGAIN;
        return not_issued(c);
}
