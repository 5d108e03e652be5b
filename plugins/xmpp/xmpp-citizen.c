#include "xmpp-citizen.h"

#include <errno.h>
#include <stdio.h>

#include "cleanup.h"
#include "text.h"
#include "xmpp-names.h"
#include "xmpp-outbound.h"

#define SOFTWARE "Vestibule"
#define CAPS_NODE "https://vestibule.invalid/caps"

/* In the order of their bytes, as XEP-0115 wants them hashed. */
static const char *const features[] = {
        NS_CAPS,
        NS_DISCO_INFO,
        NS_DISCO_ITEMS,
        NS_NICK,
        NS_VERSION,
        NS_OOB,
        NS_MARKERS,
        NS_RETRACT,
        NS_PING,
        NS_RECEIPTS,
        NS_REPLY,
        NS_STABLE_ID,
        NS_VCARD,
};

static xmpp_stanza_t *stanza_free(xmpp_stanza_t *stanza) {
        if (stanza)
                xmpp_stanza_release(stanza);
        return NULL;
}
DEFINE_CLEANUP(xmpp_stanza_t, stanza_free)

static int set_optional(xmpp_stanza_t *stanza, const char *name, const char *value) {
        return value ? xmpp_stanza_set_attribute(stanza, name, value) : XMPP_EOK;
}

/* An empty answer: addresses turned round, id and type set. xmpp_stanza_reply() would leave `from`
 * out, and ejabberd ends a component's stream for that. */
static xmpp_stanza_t *answer_new(xmpp_stanza_t *question, const char *name, const char *type) {
        _cleanup_(stanza_freep) xmpp_stanza_t *answer =
                        xmpp_stanza_new(xmpp_stanza_get_context(question));

        if (!answer || xmpp_stanza_set_name(answer, name) != XMPP_EOK ||
                        set_optional(answer, "type", type) != XMPP_EOK ||
                        set_optional(answer, "id", xmpp_stanza_get_id(question)) != XMPP_EOK ||
                        set_optional(answer, "from", xmpp_stanza_get_to(question)) != XMPP_EOK ||
                        set_optional(answer, "to", xmpp_stanza_get_from(question)) != XMPP_EOK)
                return NULL;
        return TAKE_PTR(answer);
}

xmpp_stanza_t *xmpp_citizen_error(
                xmpp_stanza_t *stanza, const char *type, const char *condition, const char *text) {
        _cleanup_(stanza_freep) xmpp_stanza_t *answer =
                        answer_new(stanza, xmpp_stanza_get_name(stanza), "error");
        xmpp_stanza_t *error;

        if (!answer)
                return NULL;
        error = xmpp_outbound_child(answer, "error", NULL, NULL);
        if (!error || xmpp_stanza_set_type(error, type) != XMPP_EOK ||
                        !xmpp_outbound_child(error, condition, NS_STANZA_ERRORS, NULL) ||
                        (text && !xmpp_outbound_child(error, "text", NS_STANZA_ERRORS, text)))
                return NULL;
        return TAKE_PTR(answer);
}

/* A field of a form of type `result` (XEP-0128). */
static xmpp_stanza_t *add_field(xmpp_stanza_t *form, const char *name, const char *type) {
        xmpp_stanza_t *field = xmpp_outbound_child(form, "field", NULL, NULL);

        if (!field || xmpp_stanza_set_attribute(field, "var", name) != XMPP_EOK ||
                        set_optional(field, "type", type) != XMPP_EOK)
                return NULL;
        return field;
}

static bool add_contact(xmpp_stanza_t *query, const char *const *contact) {
        xmpp_stanza_t *form = xmpp_outbound_child(query, "x", NS_DATA_FORMS, NULL), *field;

        if (!form || xmpp_stanza_set_type(form, "result") != XMPP_EOK)
                return false;
        field = add_field(form, "FORM_TYPE", "hidden");
        if (!field || !xmpp_outbound_child(field, "value", NULL, NS_SERVER_INFO))
                return false;
        field = add_field(form, "support-addresses", NULL);
        for (; field && *contact; contact++)
                if (!xmpp_outbound_child(field, "value", NULL, *contact))
                        return false;
        return field != NULL;
}

static bool fill_info(xmpp_stanza_t *query, const XmppCitizen *self) {
        xmpp_stanza_t *identity = xmpp_outbound_child(query, "identity", NULL, NULL);

        if (!identity || xmpp_stanza_set_attribute(identity, "category", "client") != XMPP_EOK ||
                        xmpp_stanza_set_type(identity, "bot") != XMPP_EOK ||
                        xmpp_stanza_set_attribute(identity, "name", SOFTWARE) != XMPP_EOK)
                return false;
        for (size_t i = 0; i < N_ELEMENTS(features); i++) {
                xmpp_stanza_t *feature = xmpp_outbound_child(query, "feature", NULL, NULL);

                if (!feature || xmpp_stanza_set_attribute(feature, "var", features[i]) != XMPP_EOK)
                        return false;
        }
        return !self->contact || add_contact(query, self->contact);
}

/* The verification string of XEP-0115 section 5. -ENOMEM. */
static int verification_of(xmpp_ctx_t *context,
                const XmppCitizen *self,
                char ret[XMPP_CITIZEN_VERIFICATION_SIZE]) {
        _cleanup_(freep) char *base64 = NULL;
        unsigned char digest[XMPP_SHA1_DIGEST_SIZE];
        xmpp_sha1_t *hash = xmpp_sha1_new(context);

        if (!hash)
                return -ENOMEM;
#define ADD(text) xmpp_sha1_update(hash, (const unsigned char *) (text), strlen(text))
        ADD("client/bot//" SOFTWARE "<");
        for (size_t i = 0; i < N_ELEMENTS(features); i++) {
                ADD(features[i]);
                ADD("<");
        }
        if (self->contact) {
                ADD(NS_SERVER_INFO "<support-addresses<");
                for (size_t i = 0; self->contact[i]; i++) {
                        ADD(self->contact[i]);
                        ADD("<");
                }
        }
#undef ADD
        xmpp_sha1_final(hash);
        xmpp_sha1_to_digest(hash, digest);
        xmpp_sha1_free(hash);
        base64 = text_base64(digest, sizeof(digest));
        if (!base64)
                return -ENOMEM;
        (void) snprintf(ret, XMPP_CITIZEN_VERIFICATION_SIZE, "%s", base64);
        return 0;
}

/* XEP-0030 section 3.1: the node that we announce in our presence, or none; others are not there.
 */
static bool is_our_node(xmpp_ctx_t *context, const XmppCitizen *self, const char *node) {
        char verification[XMPP_CITIZEN_VERIFICATION_SIZE], ours[128];

        if (!node)
                return true;
        if (verification_of(context, self, verification) < 0)
                return false;
        (void) snprintf(ours, sizeof(ours), "%s#%s", CAPS_NODE, verification);
        return streq(node, ours);
}

static xmpp_stanza_t *add_query(xmpp_stanza_t *answer, const char *ns, const char *node) {
        xmpp_stanza_t *query = xmpp_outbound_child(answer, "query", ns, NULL);

        return query && set_optional(query, "node", node) == XMPP_EOK ? query : NULL;
}

static bool fill_result(xmpp_stanza_t *answer, const XmppCitizen *self, xmpp_stanza_t *payload) {
        const char *ns = xmpp_stanza_get_ns(payload);
        const char *node = xmpp_stanza_get_attribute(payload, "node");
        xmpp_stanza_t *child;

        if (streq(ns, NS_PING))
                return true;
        if (streq(ns, NS_DISCO_INFO)) {
                child = add_query(answer, ns, node);
                return child && fill_info(child, self);
        }
        if (streq(ns, NS_DISCO_ITEMS))
                return add_query(answer, ns, node) != NULL;
        if (streq(ns, NS_VERSION)) {
                child = add_query(answer, ns, NULL);
                return child && xmpp_outbound_child(child, "name", NULL, SOFTWARE) &&
                       xmpp_outbound_child(child, "version", NULL, VESTIBULE_VERSION);
        }
        child = xmpp_outbound_child(answer, "vCard", NS_VCARD, NULL);
        return child && xmpp_outbound_child(child, "FN", NULL, self->nick ? self->nick : SOFTWARE);
}

static bool is_known_question(xmpp_stanza_t *payload) {
        static const struct {
                const char *name, *ns;
        } known[] = {
                { "ping", NS_PING },
                { "query", NS_DISCO_INFO },
                { "query", NS_DISCO_ITEMS },
                { "query", NS_VERSION },
                { "vCard", NS_VCARD },
        };
        const char *name = payload ? xmpp_stanza_get_name(payload) : NULL;
        const char *ns = payload ? xmpp_stanza_get_ns(payload) : NULL;

        for (size_t i = 0; name && ns && i < N_ELEMENTS(known); i++)
                if (streq(name, known[i].name) && streq(ns, known[i].ns))
                        return true;
        return false;
}

static xmpp_stanza_t *first_element(xmpp_stanza_t *stanza) {
        xmpp_stanza_t *child = xmpp_stanza_get_children(stanza);

        while (child && !xmpp_stanza_is_tag(child))
                child = xmpp_stanza_get_next(child);
        return child;
}

/* Our address, in full or without resource, or our whole domain. */
static bool is_for_us(const XmppCitizen *self, const char *to) {
        size_t size = to ? strcspn(to, "/") : 0;

        if (!to)
                return true;
        return (strncmp(self->jid, to, size) == 0 &&
                               (self->jid[size] == '\0' || self->jid[size] == '/')) ||
               (self->domain && strlen(self->domain) == size &&
                               strncmp(self->domain, to, size) == 0);
}

static xmpp_stanza_t *answer_iq(
                xmpp_ctx_t *context, const XmppCitizen *self, xmpp_stanza_t *stanza) {
        xmpp_stanza_t *payload = first_element(stanza), *answer;
        const char *node = payload ? xmpp_stanza_get_attribute(payload, "node") : NULL;
        const char *type = xmpp_stanza_get_type(stanza);

        if (!is_for_us(self, xmpp_stanza_get_to(stanza)))
                return xmpp_citizen_error(stanza, "cancel", "item-not-found", NULL);
        if (!streq(type, "get") || !is_known_question(payload))
                return xmpp_citizen_error(stanza, "cancel", "service-unavailable", NULL);
        if (streq(xmpp_stanza_get_ns(payload), NS_DISCO_INFO) && !is_our_node(context, self, node))
                return xmpp_citizen_error(stanza, "cancel", "item-not-found", NULL);

        answer = answer_new(stanza, "iq", "result");
        if (answer && !fill_result(answer, self, payload))
                answer = stanza_free(answer);
        return answer;
}

xmpp_stanza_t *xmpp_citizen_presence(xmpp_ctx_t *context, const XmppCitizen *self, const char *to) {
        _cleanup_(stanza_freep) xmpp_stanza_t *presence = xmpp_presence_new(context);
        char verification[XMPP_CITIZEN_VERIFICATION_SIZE];
        xmpp_stanza_t *caps;

        if (!presence || xmpp_stanza_set_from(presence, self->jid) != XMPP_EOK ||
                        set_optional(presence, "to", to) != XMPP_EOK ||
                        verification_of(context, self, verification) < 0)
                return NULL;
        caps = xmpp_outbound_child(presence, "c", NS_CAPS, NULL);
        if (!caps || xmpp_stanza_set_attribute(caps, "hash", "sha-1") != XMPP_EOK ||
                        xmpp_stanza_set_attribute(caps, "node", CAPS_NODE) != XMPP_EOK ||
                        xmpp_stanza_set_attribute(caps, "ver", verification) != XMPP_EOK ||
                        (self->nick && !xmpp_outbound_child(presence, "nick", NS_NICK, self->nick)))
                return NULL;
        return TAKE_PTR(presence);
}

/* Anybody may subscribe. We do not subscribe back: two such services would never stop. */
static int answer_presence(xmpp_ctx_t *context,
                const XmppCitizen *self,
                xmpp_stanza_t *stanza,
                xmpp_stanza_t *ret[XMPP_CITIZEN_ANSWERS_MAX],
                size_t *ret_n) {
        const char *type = xmpp_stanza_get_type(stanza), *from = xmpp_stanza_get_from(stanza);
        const char *answer = NULL;
        bool available;

        if (!type || !from || !is_for_us(self, xmpp_stanza_get_to(stanza)))
                return 0;
        if (streq(type, "subscribe"))
                answer = "subscribed";
        else if (streq(type, "unsubscribe"))
                answer = "unsubscribed";
        available = streq(type, "subscribe") || streq(type, "probe");

        if (answer) {
                ret[*ret_n] = answer_new(stanza, "presence", answer);
                if (!ret[*ret_n])
                        return -ENOMEM;
                (*ret_n)++;
        }
        if (available) {
                ret[*ret_n] = xmpp_citizen_presence(context, self, from);
                if (!ret[*ret_n])
                        return -ENOMEM;
                (*ret_n)++;
        }
        return 0;
}

int xmpp_citizen_answer(xmpp_ctx_t *context,
                const XmppCitizen *self,
                xmpp_stanza_t *stanza,
                xmpp_stanza_t *ret[XMPP_CITIZEN_ANSWERS_MAX],
                size_t *ret_n) {
        const char *name = xmpp_stanza_get_name(stanza), *type = xmpp_stanza_get_type(stanza);

        *ret_n = 0;
        if (name && streq(name, "presence"))
                return answer_presence(context, self, stanza, ret, ret_n);
        if (!name || !streq(name, "iq") || !type || (!streq(type, "get") && !streq(type, "set")))
                return 0;
        ret[0] = answer_iq(context, self, stanza);
        if (!ret[0])
                return -ENOMEM;
        *ret_n = 1;
        return 0;
}
