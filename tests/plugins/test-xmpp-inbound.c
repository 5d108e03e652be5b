/* What message stanzas mean to the gateway, and which are ignored. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "text.h"
#include "xmpp-guard.h"
#include "xmpp-inbound.h"
#include "xmpp-memory.h"

#define MESSAGE(attributes, content)                                                             \
        "<message from='bob@hotel.test/phone' to='keys@keys.hotel.test' " attributes ">" content \
        "</message>"
#define CHAT(content) MESSAGE("type='chat' id='m1'", content)

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

static XmppInbound read_stanza(const char *text) {
        XmppInbound in;

        assert_int_equal(xmpp_inbound_read_bytes(context, text, strlen(text), &in), 0);
        return in;
}

static void assert_kind(const char *text, XmppInboundKind kind) {
        XmppInbound in = read_stanza(text);

        if (in.kind != kind)
                fail_msg("kind %d instead of %d: %s", (int) in.kind, (int) kind, text);
        xmpp_inbound_done(&in);
}

static void a_chat_message_is_a_reply_with_all_its_parts(void **state) {
        XmppInbound in = read_stanza(CHAT("<body>123-456-789</body><thread>thr_1</thread>"
                                          "<reply xmlns='urn:xmpp:reply:0' id='msg_1'/>"
                                          "<request xmlns='urn:xmpp:receipts'/>"));

        (void) state;
        assert_int_equal(in.kind, XMPP_INBOUND_REPLY);
        assert_string_equal(in.from, "xmpp:bob@hotel.test");
        assert_string_equal(in.text, "123-456-789");
        assert_string_equal(in.thread, "thr_1");
        assert_string_equal(in.quoted, "msg_1");
        assert_string_equal(in.receipt, "m1");
        assert_true(strlen(in.inbound) > 0);
        xmpp_inbound_done(&in);
}

static void the_sender_is_the_canonical_bare_address(void **state) {
        XmppInbound in = read_stanza("<message from='BOB@Hotel.Test/x/y@z' to='k@k'>"
                                     "<body>YES</body></message>");

        (void) state;
        assert_string_equal(in.from, "xmpp:bob@hotel.test");
        xmpp_inbound_done(&in);
        in = read_stanza(
                        "<message from='o\\27hara@hotel.test' to='k@k'><body>YES</body></message>");
        assert_string_equal(in.from, "xmpp:o\\27hara@hotel.test");
        xmpp_inbound_done(&in);
}

static void a_message_without_a_person_as_sender_is_ignored(void **state) {
        (void) state;
        assert_kind("<message to='k@k'><body>YES</body></message>", XMPP_INBOUND_NOTHING);
        assert_kind("<message from='hotel.test' to='k@k'><body>YES</body></message>",
                        XMPP_INBOUND_NOTHING);
        assert_kind("<message from='@/x' to='k@k'><body>YES</body></message>",
                        XMPP_INBOUND_NOTHING);
        assert_kind("<message from='bob mallory@x' to='k@k'><body>YES</body></message>",
                        XMPP_INBOUND_NOTHING);
}

static void only_chat_and_normal_messages_are_replies(void **state) {
        static const char *const ignored[] = { "groupchat", "headline", "CHAT", "" };
        char text[512];

        (void) state;
        assert_kind(MESSAGE("", "<body>YES</body>"), XMPP_INBOUND_REPLY);
        assert_kind(MESSAGE("type='normal'", "<body>YES</body>"), XMPP_INBOUND_REPLY);
        for (size_t i = 0; i < N_ELEMENTS(ignored); i++) {
                (void) snprintf(text,
                                sizeof(text),
                                "<message from='b@h' type='%s'><body>YES</body></message>",
                                ignored[i]);
                assert_kind(text, XMPP_INBOUND_NOTHING);
        }
        assert_kind("<iq from='b@h' type='set'><body>YES</body></iq>", XMPP_INBOUND_NOTHING);
        assert_kind("<presence from='b@h'><body>YES</body></presence>", XMPP_INBOUND_NOTHING);
        assert_kind(CHAT("<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
                        XMPP_INBOUND_NOTHING);
}

/* CVE-2017-5589 and its kind: somebody else's address in a wrapper that anybody can write. */
static void a_sender_inside_a_carbon_or_forward_counts_for_nothing(void **state) {
#define INNER                                                                   \
        "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' " \
        "from='victim@hotel.test' type='chat'><body>YES</body></message></forwarded>"

        (void) state;
        assert_kind(CHAT("<received xmlns='urn:xmpp:carbons:2'>" INNER "</received>"),
                        XMPP_INBOUND_NOTHING);
        assert_kind(CHAT("<sent xmlns='urn:xmpp:carbons:2'>" INNER "</sent>"),
                        XMPP_INBOUND_NOTHING);
        assert_kind(CHAT("<body>YES</body><sent xmlns='urn:xmpp:carbons:2'/>"),
                        XMPP_INBOUND_NOTHING);
        assert_kind(CHAT(INNER "<body>YES</body>"), XMPP_INBOUND_NOTHING);
        assert_kind(CHAT("<body>YES</body><result xmlns='urn:xmpp:mam:2'>" INNER "</result>"),
                        XMPP_INBOUND_NOTHING);
        assert_kind(CHAT("<body>YES</body><x xmlns='http://jabber.org/protocol/muc#user'/>"),
                        XMPP_INBOUND_NOTHING);
#undef INNER
}

static void assert_same_inbound(const char *a, const char *b, bool same) {
        XmppInbound one = read_stanza(a), other = read_stanza(b);

        assert_int_equal(strcmp(one.inbound, other.inbound) == 0, same);
        xmpp_inbound_done(&one);
        xmpp_inbound_done(&other);
}

static void a_repeated_message_is_the_same_inbound(void **state) {
#define ORIGIN "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"
#define SERVER(id) "<stanza-id xmlns='urn:xmpp:sid:0' by='hotel.test' id='" id "'/>"

        (void) state;
        assert_same_inbound(CHAT("<body>1</body>"), CHAT("<body>1</body>"), true);
        /* The server's id is new for each repetition; the sender's own is not. */
        assert_same_inbound(CHAT("<body>1</body>" SERVER("a")),
                        CHAT("<body>1</body>" SERVER("b")),
                        true);
        assert_same_inbound(MESSAGE("id='x'", "<body>1</body>" ORIGIN),
                        MESSAGE("id='y'", "<body>1</body>" ORIGIN),
                        true);
        assert_same_inbound(MESSAGE("id='x'", "<body>1</body>"),
                        MESSAGE("id='y'", "<body>1</body>"),
                        false);
        assert_same_inbound(MESSAGE("", "<body>1</body>" SERVER("a")),
                        MESSAGE("", "<body>1</body>" SERVER("b")),
                        false);
        assert_same_inbound(MESSAGE("", "<body>1</body>"), MESSAGE("", "<body>1</body>"), true);
        assert_same_inbound(MESSAGE("", "<body>1</body>"), MESSAGE("", "<body>2</body>"), false);
        assert_same_inbound("<message from='a@h' id='m1'><body>1</body></message>",
                        "<message from='b@h' id='m1'><body>1</body></message>",
                        false);
}

static void receipts_and_markers_name_our_message(void **state) {
        XmppInbound in;

        (void) state;
        in = read_stanza(CHAT("<received xmlns='urn:xmpp:receipts' id='msg_1'/>"));
        assert_int_equal(in.kind, XMPP_INBOUND_DELIVERED);
        assert_string_equal(in.message, "msg_1");
        xmpp_inbound_done(&in);
        in = read_stanza(CHAT("<displayed xmlns='urn:xmpp:chat-markers:0' id='msg_1'/>"));
        assert_int_equal(in.kind, XMPP_INBOUND_READ);
        xmpp_inbound_done(&in);
        assert_kind(CHAT("<received xmlns='urn:xmpp:chat-markers:0' id='msg_1'/>"),
                        XMPP_INBOUND_DELIVERED);
        assert_kind(CHAT("<received xmlns='urn:xmpp:receipts'/>"), XMPP_INBOUND_NOTHING);
}

static void a_bounce_says_whether_the_address_will_ever_work(void **state) {
        static const struct {
                const char *condition;
                bool permanent;
        } table[] = { { "gone", true },
                { "item-not-found", true },
                { "jid-malformed", true },
                { "service-unavailable", true },
                { "recipient-unavailable", false },
                { "remote-server-timeout", false },
                { "remote-server-not-found", false },
                { "resource-constraint", false } };
        char text[512];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                XmppInbound in;

                (void) snprintf(text,
                                sizeof(text),
                                "<message from='bob@h' type='error' id='msg_1'><error "
                                "type='cancel'>"
                                "<%s "
                                "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
                                table[i].condition);
                in = read_stanza(text);
                assert_int_equal(in.kind, XMPP_INBOUND_BOUNCE);
                assert_string_equal(in.message, "msg_1");
                assert_string_equal(in.reason, table[i].condition);
                assert_int_equal(in.permanent, table[i].permanent);
                xmpp_inbound_done(&in);
        }
}

static void a_bounce_with_an_invented_condition_is_temporary_and_shows_none_of_it(void **state) {
        XmppInbound in = read_stanza("<message from='b@h' type='error' id='m'><error>"
                                     "<evil-\xc3\xa9 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                                     "</error></message>");

        (void) state;
        assert_int_equal(in.kind, XMPP_INBOUND_BOUNCE);
        assert_string_equal(in.reason, "undefined-condition");
        assert_false(in.permanent);
        xmpp_inbound_done(&in);
        assert_kind("<message from='b@h' type='error'><error/></message>", XMPP_INBOUND_NOTHING);
}

static void an_encrypted_message_is_told_apart(void **state) {
        (void) state;
        assert_kind(CHAT("<encrypted xmlns='eu.siacs.conversations.axolotl'/>"
                         "<body>I sent you an OMEMO encrypted message</body>"),
                        XMPP_INBOUND_ENCRYPTED);
        assert_kind(CHAT("<encryption xmlns='urn:xmpp:eme:0' namespace='x'/><body>x</body>"),
                        XMPP_INBOUND_ENCRYPTED);
}

static void a_quotation_before_the_answer_is_taken_out(void **state) {
        XmppInbound in = read_stanza(
                        CHAT("<body>&gt; T\xc3\xbcr 7KQ4\n123-456-789</body>"
                             "<reply xmlns='urn:xmpp:reply:0' id='msg_1'/>"
                             "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'>"
                             "<body start='0' end='11'/></fallback>"));

        (void) state;
        assert_string_equal(in.text, "123-456-789");
        xmpp_inbound_done(&in);
        in = read_stanza(CHAT("<body>123</body>"
                              "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'>"
                              "<body start='2' end='999999'/></fallback>"));
        assert_string_equal(in.text, "12");
        xmpp_inbound_done(&in);
        in = read_stanza(CHAT("<body>123</body>"
                              "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'>"
                              "<body start='3' end='1'/></fallback>"));
        assert_string_equal(in.text, "123");
        xmpp_inbound_done(&in);
}

static void a_long_text_is_cut_at_a_characters_end(void **state) {
        static char text[3 * 4096 + 256];
        XmppInbound in;
        char *p = text;

        (void) state;
        p += sprintf(p, "<message from='b@h'><body>a");
        for (size_t i = 0; i < 3000; i++)
                p += sprintf(p, "\xe2\x82\xac");
        (void) sprintf(p, "</body></message>");
        in = read_stanza(text);
        assert_int_equal(strlen(in.text), 1 + 3 * 1365);
        assert_true(text_is_utf8(in.text, strlen(in.text)));
        xmpp_inbound_done(&in);
}

static void the_body_without_a_language_comes_first(void **state) {
        XmppInbound in = read_stanza(CHAT("<body xml:lang='de'>JA</body><body>YES</body>"));

        (void) state;
        assert_string_equal(in.text, "YES");
        xmpp_inbound_done(&in);
        in = read_stanza(CHAT("<body xml:lang='de'>JA</body><body xml:lang='fr'>OUI</body>"));
        assert_string_equal(in.text, "JA");
        xmpp_inbound_done(&in);
}

static void what_is_not_a_stanza_is_an_error(void **state) {
        static const char *const texts[] = { "",
                "x",
                "<message",
                "<message></iq>",
                "<!DOCTYPE x><message/>",
                "<message>\xff</message>",
                "</stream>" };
        XmppInbound in;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(xmpp_inbound_read_bytes(context, texts[i], strlen(texts[i]), &in),
                                -EBADMSG);
        assert_int_equal(xmpp_inbound_read_bytes(context, "<message/>\0", 11, &in), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_chat_message_is_a_reply_with_all_its_parts),
                cmocka_unit_test(the_sender_is_the_canonical_bare_address),
                cmocka_unit_test(a_message_without_a_person_as_sender_is_ignored),
                cmocka_unit_test(only_chat_and_normal_messages_are_replies),
                cmocka_unit_test(a_sender_inside_a_carbon_or_forward_counts_for_nothing),
                cmocka_unit_test(a_repeated_message_is_the_same_inbound),
                cmocka_unit_test(receipts_and_markers_name_our_message),
                cmocka_unit_test(a_bounce_says_whether_the_address_will_ever_work),
                cmocka_unit_test(
                                a_bounce_with_an_invented_condition_is_temporary_and_shows_none_of_it),
                cmocka_unit_test(an_encrypted_message_is_told_apart),
                cmocka_unit_test(a_quotation_before_the_answer_is_taken_out),
                cmocka_unit_test(a_long_text_is_cut_at_a_characters_end),
                cmocka_unit_test(the_body_without_a_language_comes_first),
                cmocka_unit_test(what_is_not_a_stanza_is_an_error),
        };

        return cmocka_run_group_tests_name("xmpp-inbound", tests, setup, teardown);
}
