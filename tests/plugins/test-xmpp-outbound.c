/* The stanzas that carry what the gateway says, and what a good citizen answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "cleanup.h"
#include "xmpp-citizen.h"
#include "xmpp-memory.h"
#include "xmpp-outbound.h"

static xmpp_ctx_t *context;

static int setup(void **state) {
        (void) state;
        assert_true(sodium_init() >= 0);
        xmpp_initialize();
        context = xmpp_ctx_new(xmpp_memory(), NULL);
        return context ? 0 : -1;
}

static int teardown(void **state) {
        (void) state;
        xmpp_ctx_free(context);
        xmpp_shutdown();
        return 0;
}

/* Renders a stanza and reads it again, as the other side would. Takes it over. */
static xmpp_stanza_t *over_the_wire(xmpp_stanza_t *stanza) {
        xmpp_stanza_t *read;
        char *text;
        size_t size;

        assert_non_null(stanza);
        assert_int_equal(xmpp_stanza_to_text(stanza, &text, &size), XMPP_EOK);
        xmpp_stanza_release(stanza);
        read = xmpp_stanza_new_from_string(context, text);
        assert_non_null(read);
        xmpp_free(context, text);
        return read;
}

static xmpp_stanza_t *make(const XmppOutbound *message, const char *nick) {
        xmpp_stanza_t *stanza = NULL;

        assert_int_equal(xmpp_outbound_message(context, message, "keys@k.test", nick, &stanza), 0);
        return over_the_wire(stanza);
}

static xmpp_stanza_t *child(xmpp_stanza_t *stanza, const char *name, const char *ns) {
        return xmpp_stanza_get_child_by_name_and_ns(stanza, name, ns);
}

static void assert_text(xmpp_stanza_t *stanza, const char *name, const char *expected) {
        xmpp_stanza_t *element = xmpp_stanza_get_child_by_name(stanza, name);
        char *text;

        assert_non_null(element);
        text = xmpp_stanza_get_text(element);
        assert_string_equal(text, expected);
        xmpp_free(context, text);
}

static void an_invitation_has_all_that_clients_understand(void **state) {
        json_t *buttons = json_pack("[{s:s, s:s}]", "value", "NO", "label", "No, \"thank\" you");
        const XmppOutbound message = { .message = "msg_1",
                .kind = "invitation",
                .to = "xmpp:bob@example.org",
                .text = "Hotel <Adler> & \"more\"\nsecond line",
                .subject = "A key",
                .thread = "thr_1",
                .link = "https://relay.example/v1/m/1?v=a&b#x",
                .language = "de",
                .buttons = buttons };
        xmpp_stanza_t *m = make(&message, "Adler"), *e;

        (void) state;
        assert_string_equal(xmpp_stanza_get_type(m), "chat");
        assert_string_equal(xmpp_stanza_get_id(m), "msg_1");
        assert_string_equal(xmpp_stanza_get_from(m), "keys@k.test");
        assert_string_equal(xmpp_stanza_get_to(m), "bob@example.org");
        assert_string_equal(xmpp_stanza_get_attribute(m, "lang"), "de");
        assert_text(m, "body", "Hotel <Adler> & \"more\"\nsecond line");
        assert_text(m, "subject", "A key");
        assert_text(m, "thread", "thr_1");
        assert_text(m, "nick", "Adler");
        e = child(m, "origin-id", "urn:xmpp:sid:0");
        assert_string_equal(xmpp_stanza_get_id(e), "msg_1");
        assert_non_null(child(m, "request", "urn:xmpp:receipts"));
        assert_non_null(child(m, "store", "urn:xmpp:hints"));
        e = child(m, "response", "urn:xmpp:tmp:quick-response");
        assert_string_equal(xmpp_stanza_get_attribute(e, "value"), "NO");
        assert_string_equal(xmpp_stanza_get_attribute(e, "label"), "No, \"thank\" you");
        assert_text(child(m, "x", "jabber:x:oob"), "url", "https://relay.example/v1/m/1?v=a&b#x");
        xmpp_stanza_release(m);
        json_decref(buttons);
}

static void a_code_is_not_kept_in_archives(void **state) {
        const XmppOutbound message = {
                .message = "m", .kind = "code", .to = "xmpp:bob@example.org", .text = "x"
        };
        xmpp_stanza_t *m = make(&message, NULL);

        (void) state;
        assert_non_null(child(m, "no-permanent-store", "urn:xmpp:hints"));
        assert_null(child(m, "store", "urn:xmpp:hints"));
        xmpp_stanza_release(m);
}

static void a_character_that_would_end_the_stream_is_replaced(void **state) {
        const XmppOutbound message = { .message = "m",
                .kind = "notice",
                .to = "xmpp:bob@example.org",
                .text = "a\x01\x1b\xef\xbf\xbf\tb\xc3\xa9" };
        xmpp_stanza_t *m = make(&message, NULL);

        (void) state;
        assert_text(m, "body", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\tb\xc3\xa9");
        xmpp_stanza_release(m);
}

static void an_escaped_local_part_stays_escaped(void **state) {
        const XmppOutbound message = {
                .message = "m", .kind = "notice", .to = "xmpp:o\\27hara@example.org", .text = "x"
        };
        xmpp_stanza_t *m = make(&message, NULL);

        (void) state;
        assert_string_equal(xmpp_stanza_get_to(m), "o\\27hara@example.org");
        xmpp_stanza_release(m);
}

static void only_a_canonical_xmpp_address_gets_a_stanza(void **state) {
        static const char *const addresses[] = { "",
                "xmpp:",
                "sms:+4915112345678",
                "xmpp:bob@example.org/phone",
                "xmpp:BOB@example.org",
                "xmpp:example.org",
                "xmpp:bob@example.org' from='x" };
        XmppOutbound message = { .message = "m", .kind = "notice", .text = "x" };
        xmpp_stanza_t *stanza;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(addresses); i++) {
                message.to = addresses[i];
                assert_int_equal(xmpp_outbound_message(context, &message, "a@b", NULL, &stanza),
                                XMPP_OUTBOUND_E_ADDRESS);
        }
}

static void a_frame_without_its_members_is_refused(void **state) {
        json_t *frame = json_pack(
                        "{s:s, s:s, s:s}", "type", "send", "message", "m", "to", "xmpp:a@b");
        XmppOutbound message;

        (void) state;
        assert_int_equal(xmpp_outbound_read(frame, &message), XMPP_OUTBOUND_E_FRAME);
        (void) json_object_set_new(frame, "kind", json_string("notice"));
        (void) json_object_set_new(frame, "text", json_integer(1));
        assert_int_equal(xmpp_outbound_read(frame, &message), XMPP_OUTBOUND_E_FRAME);
        (void) json_object_set_new(frame, "text", json_string("x"));
        assert_int_equal(xmpp_outbound_read(frame, &message), 0);
        assert_string_equal(message.to, "xmpp:a@b");
        assert_null(message.subject);
        json_decref(frame);
}

static void a_retraction_and_a_receipt_name_the_message(void **state) {
        xmpp_stanza_t *stanza = NULL;

        (void) state;
        assert_int_equal(xmpp_outbound_retraction(context, "msg_1", "a@b", "bob@c", &stanza), 0);
        stanza = over_the_wire(stanza);
        assert_string_equal(
                        xmpp_stanza_get_id(child(stanza, "retract", "urn:xmpp:message-retract:1")),
                        "msg_1");
        assert_string_not_equal(xmpp_stanza_get_id(stanza), "msg_1");
        xmpp_stanza_release(stanza);

        assert_int_equal(xmpp_outbound_receipt(context, "m1", "a@b", "bob@c/phone", &stanza), 0);
        stanza = over_the_wire(stanza);
        assert_string_equal(
                        xmpp_stanza_get_id(child(stanza, "received", "urn:xmpp:receipts")), "m1");
        assert_string_equal(xmpp_stanza_get_to(stanza), "bob@c/phone");
        xmpp_stanza_release(stanza);
}

/* --- The citizen --- */

static const XmppCitizen self = { .jid = "keys@k.test", .domain = "k.test", .nick = "Adler" };

static size_t ask(const char *text, xmpp_stanza_t *ret[XMPP_CITIZEN_ANSWERS_MAX]) {
        xmpp_stanza_t *question = xmpp_stanza_new_from_string(context, text);
        size_t n;

        assert_non_null(question);
        assert_int_equal(xmpp_citizen_answer(context, &self, question, ret, &n), 0);
        xmpp_stanza_release(question);
        for (size_t i = 0; i < n; i++)
                ret[i] = over_the_wire(ret[i]);
        return n;
}

static xmpp_stanza_t *ask_one(const char *text) {
        xmpp_stanza_t *answers[XMPP_CITIZEN_ANSWERS_MAX];

        assert_int_equal(ask(text, answers), 1);
        return answers[0];
}

static void assert_silence(const char *text) {
        xmpp_stanza_t *answers[XMPP_CITIZEN_ANSWERS_MAX];

        assert_int_equal(ask(text, answers), 0);
}

#define IQ(to, type, payload) \
        "<iq from='bob@h/x' to='" to "' id='q' type='" type "'>" payload "</iq>"

static void assert_error(xmpp_stanza_t *answer, const char *condition) {
        xmpp_stanza_t *error = xmpp_stanza_get_child_by_name(answer, "error");

        assert_string_equal(xmpp_stanza_get_type(answer), "error");
        assert_string_equal(xmpp_stanza_get_id(answer), "q");
        assert_non_null(error);
        assert_non_null(child(error, condition, "urn:ietf:params:xml:ns:xmpp-stanzas"));
        xmpp_stanza_release(answer);
}

static void every_answer_has_its_addresses_turned_round(void **state) {
        xmpp_stanza_t *answer = ask_one(IQ("keys@k.test", "get", "<ping xmlns='urn:xmpp:ping'/>"));

        (void) state;
        assert_string_equal(xmpp_stanza_get_type(answer), "result");
        assert_string_equal(xmpp_stanza_get_from(answer), "keys@k.test");
        assert_string_equal(xmpp_stanza_get_to(answer), "bob@h/x");
        assert_string_equal(xmpp_stanza_get_id(answer), "q");
        xmpp_stanza_release(answer);
}

static void discovery_tells_features_and_knows_its_nodes(void **state) {
        xmpp_stanza_t *answer = ask_one(IQ(
                        "k.test", "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"));
        xmpp_stanza_t *query = child(answer, "query", "http://jabber.org/protocol/disco#info");

        (void) state;
        assert_non_null(xmpp_stanza_get_child_by_name(query, "identity"));
        assert_non_null(xmpp_stanza_get_child_by_name(query, "feature"));
        xmpp_stanza_release(answer);
        assert_error(ask_one(IQ("k.test",
                                     "get",
                                     "<query xmlns='http://jabber.org/protocol/disco#info' "
                                     "node='other'/>")),
                        "item-not-found");
        answer = ask_one(IQ("k.test",
                        "get",
                        "<query xmlns='http://jabber.org/protocol/disco#items' node='other'/>"));
        assert_string_equal(xmpp_stanza_get_type(answer), "result");
        xmpp_stanza_release(answer);
}

static void every_question_that_is_not_understood_gets_an_error(void **state) {
        (void) state;
        assert_error(ask_one(IQ("keys@k.test", "get", "<x xmlns='y'/>")), "service-unavailable");
        assert_error(ask_one(IQ("keys@k.test", "set", "<x xmlns='y'/>")), "service-unavailable");
        assert_error(ask_one(IQ("keys@k.test", "set", "<ping xmlns='urn:xmpp:ping'/>")),
                        "service-unavailable");
        assert_error(ask_one(IQ("keys@k.test", "get", "")), "service-unavailable");
        assert_error(ask_one(IQ("else@k.test", "get", "<ping xmlns='urn:xmpp:ping'/>")),
                        "item-not-found");
}

static void nothing_is_answered_to_answers(void **state) {
        (void) state;
        assert_silence(IQ("keys@k.test", "result", ""));
        assert_silence(IQ("keys@k.test", "error", "<error/>"));
        assert_silence("<presence from='bob@h' to='keys@k.test'/>");
        assert_silence("<presence from='bob@h' to='keys@k.test' type='error'/>");
        assert_silence("<presence from='bob@h' to='keys@k.test' type='subscribed'/>");
        assert_silence("<presence from='bob@h' to='else@k.test' type='subscribe'/>");
}

static void a_subscription_is_granted_and_a_probe_answered(void **state) {
        xmpp_stanza_t *answers[XMPP_CITIZEN_ANSWERS_MAX];

        (void) state;
        assert_int_equal(ask("<presence from='bob@h' to='keys@k.test' type='subscribe'/>", answers),
                        2);
        assert_string_equal(xmpp_stanza_get_type(answers[0]), "subscribed");
        assert_null(xmpp_stanza_get_type(answers[1]));
        assert_non_null(child(answers[1], "c", "http://jabber.org/protocol/caps"));
        assert_string_equal(xmpp_stanza_get_from(answers[1]), "keys@k.test");
        xmpp_stanza_release(answers[0]);
        xmpp_stanza_release(answers[1]);
        assert_int_equal(ask("<presence from='bob@h' to='keys@k.test' type='probe'/>", answers), 1);
        xmpp_stanza_release(answers[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_invitation_has_all_that_clients_understand),
                cmocka_unit_test(a_code_is_not_kept_in_archives),
                cmocka_unit_test(a_character_that_would_end_the_stream_is_replaced),
                cmocka_unit_test(an_escaped_local_part_stays_escaped),
                cmocka_unit_test(only_a_canonical_xmpp_address_gets_a_stanza),
                cmocka_unit_test(a_frame_without_its_members_is_refused),
                cmocka_unit_test(a_retraction_and_a_receipt_name_the_message),
                cmocka_unit_test(every_answer_has_its_addresses_turned_round),
                cmocka_unit_test(discovery_tells_features_and_knows_its_nodes),
                cmocka_unit_test(every_question_that_is_not_understood_gets_an_error),
                cmocka_unit_test(nothing_is_answered_to_answers),
                cmocka_unit_test(a_subscription_is_granted_and_a_probe_answered),
        };

        return cmocka_run_group_tests_name("xmpp-outbound", tests, setup, teardown);
}
