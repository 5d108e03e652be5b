/* A `send` frame becomes the values of a mail, the same ones whenever it is asked again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mail-outbound.h"

#define MESSAGE "msg_01j0000000000000000000000c"
#define FIRST "msg_01j0000000000000000000000b"

static json_t *example(void) {
        json_t *frame = json_pack("{s:s, s:s, s:s, s:s, s:s}",
                        "type",
                        "send",
                        "message",
                        MESSAGE,
                        "kind",
                        "link",
                        "to",
                        "mailto:bob@example.org",
                        "text",
                        "words");

        assert_non_null(frame);
        return frame;
}

static MailWrite fill(json_t *frame, int64_t seen) {
        MailOutbound message;
        MailWrite mail = { .domain = "hotel.test" };

        assert_int_equal(mail_outbound_read(frame, &message), 0);
        mail_outbound_fill(&message, seen, &mail);
        return mail;
}

static void a_plain_frame_is_enough(void **state) {
        json_auto_t *frame = example();
        MailWrite mail = fill(frame, 17);

        (void) state;
        assert_string_equal(mail.domain, "hotel.test");
        assert_string_equal(mail.message, MESSAGE);
        assert_string_equal(mail.to, "mailto:bob@example.org");
        assert_string_equal(mail.text, "words");
        assert_string_equal(mail.subject, "");
        assert_null(mail.thread);
        assert_null(mail.first);
        assert_null(mail.link);
        assert_null(mail.language);
        assert_int_equal(mail.time, 17);
}

static void everything_in_a_frame_is_used(void **state) {
        json_auto_t *frame = example();
        MailWrite mail;

        (void) state;
        (void) json_object_set_new(frame, "subject", json_string("s"));
        (void) json_object_set_new(frame, "thread", json_string("t"));
        (void) json_object_set_new(frame, "link", json_string("l"));
        (void) json_object_set_new(frame, "lang", json_string("de"));
        (void) json_object_set_new(frame, "first", json_string(FIRST));
        (void) json_object_set_new(frame, "made", json_integer(1795356000));
        mail = fill(frame, 17);
        assert_string_equal(mail.subject, "s");
        assert_string_equal(mail.thread, "t");
        assert_string_equal(mail.link, "l");
        assert_string_equal(mail.language, "de");
        assert_string_equal(mail.first, FIRST);
        assert_int_equal(mail.time, 1795356000); /* of its making, not of this attempt */
}

static void the_first_message_answers_none(void **state) {
        json_auto_t *frame = example();

        (void) state;
        (void) json_object_set_new(frame, "first", json_string(MESSAGE));
        assert_null(fill(frame, 17).first);
}

static void frames_without_what_a_mail_needs_are_refused(void **state) {
        static const char *const names[] = { "message", "kind", "to", "text" };
        MailOutbound message;

        (void) state;
        for (size_t i = 0; i < 4; i++) {
                json_auto_t *frame = example();

                (void) json_object_del(frame, names[i]);
                assert_int_equal(mail_outbound_read(frame, &message), MAIL_OUTBOUND_E_FRAME);
                (void) json_object_set_new(frame, names[i], json_integer(1));
                assert_int_equal(mail_outbound_read(frame, &message), MAIL_OUTBOUND_E_FRAME);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_plain_frame_is_enough),
                cmocka_unit_test(everything_in_a_frame_is_used),
                cmocka_unit_test(the_first_message_answers_none),
                cmocka_unit_test(frames_without_what_a_mail_needs_are_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
