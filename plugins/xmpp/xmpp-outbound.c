#include "xmpp-outbound.h"

#include <errno.h>
#include <stdbool.h>

#include "cleanup.h"
#include "json-read.h"
#include "secret.h"
#include "xmpp-names.h"

static xmpp_stanza_t *stanza_free(xmpp_stanza_t *stanza) {
        if (stanza)
                xmpp_stanza_release(stanza);
        return NULL;
}
DEFINE_CLEANUP(xmpp_stanza_t, stanza_free)

/* How many bytes of well-formed UTF-8 at p are a character that XML 1.0 (section 2.2) does not
 * allow: controls but tab, line feed and carriage return, and U+FFFE and U+FFFF. */
static size_t forbidden_size(const char *p) {
        const unsigned char *u = (const unsigned char *) p;

        if (u[0] < 0x20 && u[0] != '\t' && u[0] != '\n' && u[0] != '\r')
                return 1;
        if (u[0] == 0xef && u[1] == 0xbf && (u[2] == 0xbe || u[2] == 0xbf))
                return 3;
        return 0;
}

/* A copy that XML can carry, or NULL when memory ran out. */
static char *clean_text(const char *text) {
        char *clean = malloc(strlen(text) * 3 + 1), *out = clean;

        if (!clean)
                return NULL;
        while (*text) {
                size_t n = forbidden_size(text);

                if (n > 0) {
                        memcpy(out, "\xef\xbf\xbd", 3);
                        out += 3;
                        text += n;
                } else {
                        *out++ = *text++;
                }
        }
        *out = '\0';
        return clean;
}

static bool set_attribute(xmpp_stanza_t *stanza, const char *name, const char *value) {
        _cleanup_(secret_free_stringp) char *clean = clean_text(value);

        return clean && xmpp_stanza_set_attribute(stanza, name, clean) == XMPP_EOK;
}

static bool add_text(xmpp_stanza_t *parent, const char *text) {
        _cleanup_(stanza_freep) xmpp_stanza_t *node =
                        xmpp_stanza_new(xmpp_stanza_get_context(parent));
        _cleanup_(secret_free_stringp) char *clean = clean_text(text);

        return node && clean && xmpp_stanza_set_text(node, clean) == XMPP_EOK &&
               xmpp_stanza_add_child(parent, node) == XMPP_EOK;
}

xmpp_stanza_t *xmpp_outbound_child(
                xmpp_stanza_t *parent, const char *name, const char *ns, const char *text) {
        xmpp_stanza_t *child = xmpp_stanza_new(xmpp_stanza_get_context(parent));
        bool good;

        if (!child)
                return NULL;
        good = xmpp_stanza_set_name(child, name) == XMPP_EOK &&
               (!ns || xmpp_stanza_set_ns(child, ns) == XMPP_EOK) &&
               (!text || add_text(child, text)) && xmpp_stanza_add_child(parent, child) == XMPP_EOK;
        /* The parent holds its own reference now; ours would leak. */
        xmpp_stanza_release(child);
        return good ? child : NULL;
}

int xmpp_outbound_read(const json_t *frame, XmppOutbound *ret) {
        static const JsonMember members[] = {
                { "message", JSON_KIND_STRING, offsetof(XmppOutbound, message), true, 1, 256 },
                { "kind", JSON_KIND_STRING, offsetof(XmppOutbound, kind), true },
                { "to", JSON_KIND_STRING, offsetof(XmppOutbound, to), true },
                { "text", JSON_KIND_STRING, offsetof(XmppOutbound, text), true },
                { "subject", JSON_KIND_STRING, offsetof(XmppOutbound, subject) },
                { "thread", JSON_KIND_STRING, offsetof(XmppOutbound, thread) },
                { "link", JSON_KIND_STRING, offsetof(XmppOutbound, link) },
                { "lang", JSON_KIND_STRING, offsetof(XmppOutbound, language) },
                { "buttons", JSON_KIND_ARRAY, offsetof(XmppOutbound, buttons) },
                { "expires", JSON_KIND_INTEGER, offsetof(XmppOutbound, expires) },
        };
        JsonProblem problem;
        int r;

        *ret = (XmppOutbound){ 0 };
        r = json_read_members(frame, members, N_ELEMENTS(members), false, ret, &problem);
        return r > 0 ? XMPP_OUTBOUND_E_FRAME : r;
}

static bool add_id_element(
                xmpp_stanza_t *message, const char *name, const char *ns, const char *id) {
        xmpp_stanza_t *child = xmpp_outbound_child(message, name, ns, NULL);

        return child && set_attribute(child, "id", id);
}

/* XEP-0439. The same answers stand in the text: few clients show these. */
static bool add_buttons(xmpp_stanza_t *message, const json_t *buttons) {
        const json_t *button;
        size_t i;

        json_array_foreach(buttons, i, button) {
                const char *value = json_string_value(json_object_get(button, "value"));
                const char *label = json_string_value(json_object_get(button, "label"));
                xmpp_stanza_t *child;

                if (!value)
                        continue;
                child = xmpp_outbound_child(message, "response", NS_QUICK_RESPONSE, NULL);
                if (!child || !set_attribute(child, "value", value) ||
                                !set_attribute(child, "label", label ? label : value))
                        return false;
        }
        return true;
}

static bool add_link(xmpp_stanza_t *message, const char *link) {
        xmpp_stanza_t *x = xmpp_outbound_child(message, "x", NS_OOB, NULL);

        return x && xmpp_outbound_child(x, "url", NULL, link);
}

/* XEP-0334. A code is worth nothing an hour later and should lie in no archive; what may be read
 * days later should lie there, so that another device of the person finds it. */
static bool add_hint(xmpp_stanza_t *message, const char *kind) {
        bool fleeting = streq(kind, "code") || streq(kind, "key");

        return xmpp_outbound_child(message,
                               fleeting ? "no-permanent-store" : "store",
                               NS_HINTS,
                               NULL) != NULL;
}

static bool fill_message(xmpp_stanza_t *stanza, const XmppOutbound *m, const char *nick) {
        return (!m->language || set_attribute(stanza, "xml:lang", m->language)) &&
               (!m->subject || xmpp_outbound_child(stanza, "subject", NULL, m->subject)) &&
               xmpp_outbound_child(stanza, "body", NULL, m->text) &&
               (!m->thread || xmpp_outbound_child(stanza, "thread", NULL, m->thread)) &&
               add_id_element(stanza, "origin-id", NS_STABLE_ID, m->message) &&
               xmpp_outbound_child(stanza, "request", NS_RECEIPTS, NULL) &&
               xmpp_outbound_child(stanza, "markable", NS_MARKERS, NULL) &&
               (!nick || xmpp_outbound_child(stanza, "nick", NS_NICK, nick)) &&
               (!m->buttons || add_buttons(stanza, m->buttons)) &&
               (!m->link || add_link(stanza, m->link)) && add_hint(stanza, m->kind);
}

static xmpp_stanza_t *message_new(
                xmpp_ctx_t *context, const char *id, const char *from, const char *to) {
        _cleanup_(stanza_freep) xmpp_stanza_t *stanza = xmpp_stanza_new(context);

        /* `from` is never left out: ejabberd ends a component's stream for one stanza without it.
         */
        if (!stanza || xmpp_stanza_set_name(stanza, "message") != XMPP_EOK ||
                        xmpp_stanza_set_type(stanza, "chat") != XMPP_EOK ||
                        !set_attribute(stanza, "id", id) || !set_attribute(stanza, "from", from) ||
                        !set_attribute(stanza, "to", to))
                return NULL;
        return TAKE_PTR(stanza);
}

int xmpp_outbound_message(xmpp_ctx_t *context,
                const XmppOutbound *message,
                const char *from,
                const char *nick,
                xmpp_stanza_t **ret) {
        _cleanup_(stanza_freep) xmpp_stanza_t *stanza = NULL;
        char to[ADDRESS_SIZE_MAX];

        if (!address_is_canonical(message->to) || address_jid(message->to, to) < 0)
                return XMPP_OUTBOUND_E_ADDRESS;
        stanza = message_new(context, message->message, from, to);
        if (!stanza || !fill_message(stanza, message, nick))
                return -ENOMEM;
        *ret = TAKE_PTR(stanza);
        return 0;
}

int xmpp_outbound_retraction(xmpp_ctx_t *context,
                const char *message,
                const char *from,
                const char *to,
                xmpp_stanza_t **ret) {
        _cleanup_(stanza_freep) xmpp_stanza_t *stanza = NULL;
        char *id = xmpp_uuid_gen(context);

        if (!id)
                return -ENOMEM;
        stanza = message_new(context, id, from, to);
        xmpp_free(context, id);
        if (!stanza || !add_id_element(stanza, "retract", NS_RETRACT, message) ||
                        !xmpp_outbound_child(stanza, "store", NS_HINTS, NULL))
                return -ENOMEM;
        *ret = TAKE_PTR(stanza);
        return 0;
}

int xmpp_outbound_receipt(xmpp_ctx_t *context,
                const char *id,
                const char *from,
                const char *to,
                xmpp_stanza_t **ret) {
        _cleanup_(stanza_freep) xmpp_stanza_t *stanza = NULL;
        char *own = xmpp_uuid_gen(context);

        if (!own)
                return -ENOMEM;
        stanza = message_new(context, own, from, to);
        xmpp_free(context, own);
        if (!stanza || !add_id_element(stanza, "received", NS_RECEIPTS, id))
                return -ENOMEM;
        *ret = TAKE_PTR(stanza);
        return 0;
}
