#include "xmpp-inbound.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "secret.h"
#include "text.h"
#include "xmpp-guard.h"
#include "xmpp-names.h"

/* RFC 6120 section 8.3.3. What is not here is temporary: the outbox's patience decides. */
static const struct {
        const char *condition;
        bool permanent;
} conditions[] = {
        { "bad-request", false },
        { "conflict", false },
        { "feature-not-implemented", false },
        { "forbidden", true }, /* blocked, or the server's policy */
        { "gone", true },
        { "internal-server-error", false },
        { "item-not-found", true },
        { "jid-malformed", true },
        { "not-acceptable", true },
        { "not-allowed", true },
        { "not-authorized", true },
        { "payment-required", false },
        { "policy-violation", false }, /* too fast, most often */
        { "recipient-unavailable", false },
        { "redirect", true },
        { "registration-required", true },
        { "remote-server-not-found",
                        false }, /* their DNS may be down; years of mail teach patience */
        { "remote-server-timeout", false },
        { "resource-constraint", false },
        { "service-unavailable", true }, /* what servers say for an account that is not there */
        { "subscription-required", true },
        { "unexpected-request", false },
};

static xmpp_stanza_t *child_in(xmpp_stanza_t *stanza, const char *name, const char *ns) {
        return xmpp_stanza_get_child_by_name_and_ns(stanza, name, ns);
}

static const char *child_id(xmpp_stanza_t *stanza, const char *name, const char *ns) {
        xmpp_stanza_t *child = child_in(stanza, name, ns);

        return child ? xmpp_stanza_get_attribute(child, "id") : NULL;
}

/* A copy of an element's text on the heap of malloc(), or NULL when it has none. */
static int text_of(xmpp_stanza_t *element, char **ret) {
        char *text = xmpp_stanza_get_text(element);

        *ret = NULL;
        if (!text)
                return 0;
        *ret = strdup(text);
        sodium_memzero(text, strlen(text));
        xmpp_free(xmpp_stanza_get_context(element), text);
        return *ret ? 0 : -ENOMEM;
}

/* The body without xml:lang first, else the first: a message may carry one for each language. */
static xmpp_stanza_t *find_body(xmpp_stanza_t *stanza) {
        xmpp_stanza_t *first = NULL;

        for (xmpp_stanza_t *c = xmpp_stanza_get_children(stanza); c; c = xmpp_stanza_get_next(c)) {
                const char *name = xmpp_stanza_get_name(c);

                if (!name || !streq(name, "body"))
                        continue;
                if (!xmpp_stanza_get_attribute(c, "lang"))
                        return c;
                if (!first)
                        first = c;
        }
        return first;
}

static bool carries_another_sender(xmpp_stanza_t *stanza) {
        return child_in(stanza, "sent", NS_CARBONS) || child_in(stanza, "received", NS_CARBONS) ||
               child_in(stanza, "forwarded", NS_FORWARD) ||
               child_in(stanza, "result", NS_ARCHIVE_1) ||
               child_in(stanza, "result", NS_ARCHIVE_2) ||
               child_in(stanza, "event", NS_PUBSUB_EVENT) || child_in(stanza, "x", NS_ROOM_USER);
}

static bool is_encrypted(xmpp_stanza_t *stanza) {
        return child_in(stanza, "encrypted", NS_OMEMO_OLD) ||
               child_in(stanza, "encrypted", NS_OMEMO) ||
               child_in(stanza, "encryption", NS_ENCRYPTION) ||
               child_in(stanza, "openpgp", NS_OPENPGP) || child_in(stanza, "x", NS_OPENPGP_OLD);
}

/* The byte at which the nth character of well-formed UTF-8 begins, or the text's size. */
static size_t character_offset(const char *text, size_t n) {
        size_t i = 0;

        for (; text[i]; i++)
                if (((unsigned char) text[i] & 0xc0) != 0x80 && n-- == 0)
                        break;
        return i;
}

static bool read_position(xmpp_stanza_t *element, const char *name, size_t *ret) {
        const char *text = xmpp_stanza_get_attribute(element, name);

        if (!text || strspn(text, "0123456789") != strlen(text) || strlen(text) == 0 ||
                        strlen(text) > 6)
                return false;
        *ret = strtoul(text, NULL, 10);
        return true;
}

/* Takes out what the client quoted before the answer (XEP-0461 with XEP-0428): it is our own text,
 * and digits in it are not the person's. */
static void remove_quotation(xmpp_stanza_t *stanza, char *text) {
        for (xmpp_stanza_t *c = xmpp_stanza_get_children(stanza); c; c = xmpp_stanza_get_next(c)) {
                const char *name = xmpp_stanza_get_name(c), *ns = xmpp_stanza_get_ns(c), *of;
                xmpp_stanza_t *range;
                size_t start, end;

                if (!name || !ns || !streq(name, "fallback") || !streq(ns, NS_FALLBACK))
                        continue;
                of = xmpp_stanza_get_attribute(c, "for");
                range = xmpp_stanza_get_child_by_name(c, "body");
                if (!of || !streq(of, NS_REPLY) || !range ||
                                !read_position(range, "start", &start) ||
                                !read_position(range, "end", &end) || start >= end)
                        continue;
                start = character_offset(text, start);
                end = character_offset(text, end);
                memmove(text + start, text + end, strlen(text + end) + 1);
                return;
        }
}

static void cut_text(char *text) {
        size_t n = strlen(text);

        if (n <= XMPP_INBOUND_TEXT_MAX)
                return;
        n = XMPP_INBOUND_TEXT_MAX;
        while (n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80)
                n--;
        text[n] = '\0';
}

static void digest_part(crypto_generichash_state *state, const char *part) {
        crypto_generichash_update(
                        state, (const uint8_t *) (part ? part : ""), part ? strlen(part) : 0);
        crypto_generichash_update(state, (const uint8_t *) "", 1);
}

static void digest(const char *kind, const char *a, const char *b, const char *c, char *ret) {
        crypto_generichash_state state;
        uint8_t hash[16];

        crypto_generichash_init(&state, NULL, 0, sizeof(hash));
        digest_part(&state, kind);
        digest_part(&state, a);
        digest_part(&state, b);
        digest_part(&state, c);
        crypto_generichash_final(&state, hash, sizeof(hash));
        text_hex(hash, sizeof(hash), ret);
}

/* The sender's own id comes before the one that our server adds (XEP-0359), because only the
 * sender's stays the same when the message is repeated. It is hashed with the sender: ids are
 * chosen by strangers, and theirs must not meet somebody else's. */
static void identify(xmpp_stanza_t *stanza, XmppInbound *in) {
        const char *origin = child_id(stanza, "origin-id", NS_STABLE_ID);
        const char *id = xmpp_stanza_get_id(stanza);
        const char *server = child_id(stanza, "stanza-id", NS_STABLE_ID);

        if (origin && *origin)
                digest("origin", in->from, origin, NULL, in->inbound);
        else if (id && *id)
                digest("id", in->from, id, NULL, in->inbound);
        else if (server && *server)
                digest("server", in->from, server, NULL, in->inbound);
        else
                digest("text", in->from, in->text, in->thread, in->inbound);
}

static bool copy_id(const char *id, char ret[XMPP_INBOUND_ID_SIZE]) {
        if (!id || !*id || strlen(id) >= XMPP_INBOUND_ID_SIZE)
                return false;
        memcpy(ret, id, strlen(id) + 1);
        return true;
}

static void read_bounce(xmpp_stanza_t *stanza, XmppInbound *in) {
        xmpp_stanza_t *error = xmpp_stanza_get_child_by_name(stanza, "error");

        if (!copy_id(xmpp_stanza_get_id(stanza), in->message))
                return;
        in->kind = XMPP_INBOUND_BOUNCE;
        in->reason = "undefined-condition";
        for (xmpp_stanza_t *c = error ? xmpp_stanza_get_children(error) : NULL; c;
                        c = xmpp_stanza_get_next(c)) {
                const char *ns = xmpp_stanza_get_ns(c), *name = xmpp_stanza_get_name(c);

                if (!ns || !name || !streq(ns, NS_STANZA_ERRORS))
                        continue;
                for (size_t i = 0; i < N_ELEMENTS(conditions); i++)
                        if (streq(conditions[i].condition, name)) {
                                in->reason = conditions[i].condition;
                                in->permanent = conditions[i].permanent;
                                return;
                        }
        }
}

static bool read_acknowledgement(xmpp_stanza_t *stanza, XmppInbound *in) {
        const char *seen = child_id(stanza, "displayed", NS_MARKERS);
        const char *got = child_id(stanza, "received", NS_RECEIPTS);

        if (!got)
                got = child_id(stanza, "received", NS_MARKERS);
        if (copy_id(seen, in->message))
                in->kind = XMPP_INBOUND_READ;
        else if (copy_id(got, in->message))
                in->kind = XMPP_INBOUND_DELIVERED;
        return in->kind != XMPP_INBOUND_NOTHING;
}

/* An optional text or id of a reply; the gateway has no use for one longer than ours are. */
static int copy_optional(const char *text, char **ret) {
        *ret = NULL;
        if (!text || !*text || strlen(text) >= XMPP_INBOUND_ID_SIZE)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int read_reply(xmpp_stanza_t *stanza, xmpp_stanza_t *body, XmppInbound *in) {
        xmpp_stanza_t *thread = xmpp_stanza_get_child_by_name(stanza, "thread");
        _cleanup_(freep) char *thread_text = NULL;
        int r;

        r = text_of(body, &in->text);
        if (r < 0)
                return r;
        if (!in->text)
                return 0;
        remove_quotation(stanza, in->text);
        cut_text(in->text);

        if (thread) {
                r = text_of(thread, &thread_text);
                if (r < 0)
                        return r;
        }
        r = copy_optional(thread_text, &in->thread);
        if (r >= 0)
                r = copy_optional(child_id(stanza, "reply", NS_REPLY), &in->quoted);
        if (r >= 0 && child_in(stanza, "request", NS_RECEIPTS))
                r = copy_optional(xmpp_stanza_get_id(stanza), &in->receipt);
        if (r < 0)
                return r;

        identify(stanza, in);
        in->kind = XMPP_INBOUND_REPLY;
        return 0;
}

static int read_message(xmpp_stanza_t *stanza, XmppInbound *in) {
        const char *name = xmpp_stanza_get_name(stanza);
        const char *type = xmpp_stanza_get_type(stanza);
        const char *from = xmpp_stanza_get_from(stanza);
        const char *unused;
        xmpp_stanza_t *body;

        if (!name || !streq(name, "message") || carries_another_sender(stanza))
                return 0;
        if (type && streq(type, "error")) {
                read_bounce(stanza, in);
                return 0;
        }
        if (type && !streq(type, "chat") && !streq(type, "normal"))
                return 0;
        if (!from || address_from_jid(from, in->from, &unused) != 0)
                return 0;
        if (read_acknowledgement(stanza, in))
                return 0;

        body = find_body(stanza);
        if (is_encrypted(stanza)) {
                in->kind = XMPP_INBOUND_ENCRYPTED;
                return 0;
        }
        return body ? read_reply(stanza, body, in) : 0;
}

int xmpp_inbound_read(xmpp_stanza_t *stanza, XmppInbound *ret) {
        int r;

        *ret = (XmppInbound){ 0 };
        r = read_message(stanza, ret);
        if (r < 0)
                xmpp_inbound_done(ret);
        return r;
}

int xmpp_inbound_read_bytes(xmpp_ctx_t *context, const void *data, size_t size, XmppInbound *ret) {
        _cleanup_(secret_free_stringp) char *text = NULL;
        xmpp_stanza_t *stanza;
        int r;

        *ret = (XmppInbound){ 0 };
        if (memchr(data, 0, size))
                return -EBADMSG;
        text = strndup(data, size);
        if (!text)
                return -ENOMEM;
        stanza = xmpp_stanza_new_from_string(context, text);
        if (!stanza)
                return -EBADMSG;
        r = xmpp_guard_stanza_was_cut() ? -EBADMSG : xmpp_inbound_read(stanza, ret);
        xmpp_stanza_release(stanza);
        return r;
}

void xmpp_inbound_done(XmppInbound *inbound) {
        secret_free_string(inbound->text);
        free(inbound->thread);
        free(inbound->quoted);
        free(inbound->receipt);
        *inbound = (XmppInbound){ 0 };
}
