/* Bytes of strangers as a stanza: what it means to the gateway, and what a citizen answers. A reply
 * must keep the promises that the gateway builds on: a canonical sender, a bounded text of whole
 * characters, an identity that is the same when the bytes are. */
#include <assert.h>
#include <string.h>

#include "text.h"
#include "xmpp-citizen.h"
#include "xmpp-guard.h"
#include "xmpp-inbound.h"
#include "xmpp-memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const XmppInbound *in) {
        assert(strlen(in->message) < XMPP_INBOUND_ID_SIZE);
        if (in->kind == XMPP_INBOUND_BOUNCE)
                assert(in->reason && in->message[0]);
        if (in->kind != XMPP_INBOUND_REPLY)
                return;
        assert(address_is_canonical(in->from));
        assert(in->inbound[0] && in->text && strlen(in->text) <= XMPP_INBOUND_TEXT_MAX);
        assert(text_is_utf8(in->text, strlen(in->text)));
        assert(!in->thread || text_is_utf8(in->thread, strlen(in->thread)));
}

static void answer(xmpp_ctx_t *context, const uint8_t *data, size_t size) {
        static const XmppCitizen self = { .jid = "keys@k.test", .domain = "k.test" };
        _cleanup_(freep) char *text = strndup((const char *) data, size);
        xmpp_stanza_t *stanza = text ? xmpp_stanza_new_from_string(context, text) : NULL;
        xmpp_stanza_t *answers[XMPP_CITIZEN_ANSWERS_MAX];
        size_t n = 0;

        if (!stanza)
                return;
        assert(xmpp_citizen_answer(context, &self, stanza, answers, &n) == 0);
        assert(n <= XMPP_CITIZEN_ANSWERS_MAX);
        while (n > 0)
                xmpp_stanza_release(answers[--n]);
        xmpp_stanza_release(stanza);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        xmpp_ctx_t *context = xmpp_ctx_new(xmpp_memory(), NULL);
        XmppInbound in, again;

        assert(context);
        if (xmpp_inbound_read_bytes(context, data, size, &in) == 0) {
                check(&in);
                assert(xmpp_inbound_read_bytes(context, data, size, &again) == 0);
                assert(strcmp(in.inbound, again.inbound) == 0 && in.kind == again.kind);
                xmpp_inbound_done(&again);
                xmpp_inbound_done(&in);
        }
        answer(context, data, size);
        xmpp_ctx_free(context);
        return 0;
}
