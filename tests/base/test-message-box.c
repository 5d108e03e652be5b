/* What a recipient wrote, on its way to the front: it opens for its share, its number and its key
 * alone, and holds one form only. */
#include "test.h"

#include <sodium.h>
#include <stdio.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "message-box.h"
#include "secret.h"
#include "text.h"

#define SHARE "shr_01jdq0x7m9c2r4t6v8y0abcdef"

static uint8_t public_key[MESSAGE_BOX_KEY_SIZE], secret_key[MESSAGE_BOX_KEY_SIZE];

static json_t *message(void) {
        return json_pack("{s:s, s:{s:s, s:[i, i]}}",
                        "format",
                        "digitalwallet.carkey.ccc",
                        "content",
                        "signingRequest",
                        "AAECAw==",
                        "list",
                        1,
                        2);
}

static char *sealed(const char *share, uint64_t number) {
        json_auto_t *content = message();
        char *box = NULL;

        assert_int_equal(message_box_seal(share, number, content, public_key, &box), 0);
        return box;
}

/* Any text, as whoever knows the public key may seal it. */
static char *sealed_text(const char *text) {
        const size_t size = strlen(text);
        _cleanup_(freep) uint8_t *box = malloc(size + crypto_box_SEALBYTES);

        assert_int_equal(crypto_box_seal(box, (const uint8_t *) text, size, public_key), 0);
        return text_base64(box, size + crypto_box_SEALBYTES);
}

static int opened(const char *box) {
        json_auto_t *content = NULL;
        int r = message_box_open(box, public_key, secret_key, SHARE, 1, &content);

        assert_true((r == 0) == (content != NULL));
        return r;
}

/* As it is written. */
static void assert_same(const json_t *a, const json_t *b) {
        _cleanup_(json_wipe_freep) char *one = json_quick_text(a), *other = json_quick_text(b);

        assert_string_equal(one, other);
}

static void what_is_sealed_is_opened_by_the_front(void **state) {
        static const uint64_t numbers[] = { 0, 1, 3, INT64_MAX };
        json_auto_t *content = message();

        for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
                _cleanup_(freep) char *box = sealed(SHARE, numbers[i]);
                json_auto_t *got = NULL;

                assert_int_equal(message_box_open(box,
                                                 public_key,
                                                 secret_key,
                                                 SHARE,
                                                 numbers[i],
                                                 &got),
                                0);
                assert_same(got, content);
        }
}

static void content_is_opened_with_the_bytes_it_was_sealed_with(void **state) {
        static const char text[] = "{ \"n\" : [1.10,1E5,-0,1e400,123456789012345678901234567890],\n"
                                   "\"s\":\"\\u0000\\/\\u00e9\" }";
        json_auto_t *given = json_pack("{s:s, s:o}",
                                    "format",
                                    "f",
                                    "content",
                                    json_quick_verbatim(text, strlen(text))),
                    *got = NULL;
        _cleanup_(freep) char *box = NULL;

        assert_int_equal(message_box_seal(SHARE, 1, given, public_key, &box), 0);
        assert_int_equal(message_box_open(box, public_key, secret_key, SHARE, 1, &got), 0);
        assert_same(got, given);
}

static void a_box_of_another_share_or_number_is_refused(void **state) {
        static const struct {
                const char *share;
                uint64_t number;
        } others[] = { { SHARE, 3 },
                { SHARE, 0 },
                { SHARE "0", 1 },
                { "shr_01jdq0x7m9c2r4t6v8y0abcdeg", 1 },
                { "SHR_01JDQ0X7M9C2R4T6V8Y0ABCDEF", 1 } };

        for (size_t i = 0; i < N_ELEMENTS(others); i++) {
                _cleanup_(freep) char *box = sealed(others[i].share, others[i].number);

                assert_int_equal(opened(box), MESSAGE_BOX_E_DIFFERS);
        }
}

static void a_changed_box_and_one_for_another_key_do_not_open(void **state) {
        _cleanup_(freep) char *box = sealed(SHARE, 1);
        uint8_t other_public[32], other_secret[32];
        json_auto_t *content = NULL;

        (void) crypto_box_keypair(other_public, other_secret);
        assert_int_equal(message_box_open(box, other_public, other_secret, SHARE, 1, &content),
                        MESSAGE_BOX_E_BOX);
        assert_int_equal(opened(box), 0);
        box[70] = box[70] == 'A' ? 'B' : 'A';
        assert_int_equal(opened(box), MESSAGE_BOX_E_BOX);
        assert_int_equal(opened(""), MESSAGE_BOX_E_BOX);
        assert_int_equal(opened("AAAA"), MESSAGE_BOX_E_BOX);
        assert_int_equal(opened("no base64"), MESSAGE_BOX_E_BOX);
}

static void only_the_form_of_the_header_is_taken(void **state) {
        static const char *const good =
                        "{\"v\":1,\"share\":\"" SHARE
                        "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{}}}";
        static const char *const bad[] = {
                "",
                "[]",
                "{}",
                "not json",
                "{\"v\":2,\"share\":\"" SHARE
                "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{}}}",
                "{\"v\":1,\"share\":\"" SHARE
                "\",\"number\":-1,\"message\":{\"format\":\"f\",\"content\":{}}}",
                "{\"v\":1,\"share\":\"" SHARE
                "\",\"number\":\"1\",\"message\":{\"format\":\"f\",\"content\":{}}}",
                "{\"v\":1,\"share\":\"\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{}}"
                "}",
                "{\"v\":1,\"number\":1,\"message\":{\"format\":\"f\",\"content\":{}}}",
                "{\"v\":1,\"share\":\"" SHARE "\",\"number\":1,\"message\":{\"format\":\"f\"}}",
                "{\"v\":1,\"share\":\"" SHARE
                "\",\"number\":1,\"message\":{\"format\":1,\"content\":{}}}",
                "{\"v\":1,\"share\":\"" SHARE
                "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":[]}}",
                "{\"v\":1,\"share\":\"" SHARE
                "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{},\"more\":1}}",
                "{\"v\":1,\"share\":\"" SHARE
                "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{}},\"only_if\":1}",
        };
        _cleanup_(freep) char *box = sealed_text(good);

        assert_int_equal(opened(box), 0);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                _cleanup_(freep) char *other = sealed_text(bad[i]);

                /* Nothing at all is not even a box. */
                assert_int_equal(opened(other), bad[i][0] ? MESSAGE_BOX_E_FORM : MESSAGE_BOX_E_BOX);
        }
}

static void what_a_format_adds_stays_behind(void **state) {
        json_auto_t *content = message(), *plain = message(), *got = NULL;
        _cleanup_(freep) char *box = NULL;

        assert_int_equal(json_object_set_new(content, "more", json_integer(1)), 0);
        assert_int_equal(message_box_seal(SHARE, 1, content, public_key, &box), 0);
        assert_int_equal(message_box_open(box, public_key, secret_key, SHARE, 1, &got), 0);
        assert_same(got, plain);
}

static json_t *message_of(size_t size) {
        char *text = malloc(size + 1);
        json_t *content;

        memset(text, 'A', size);
        text[size] = 0;
        content = json_pack("{s:s, s:{s:s}}", "format", "f", "content", "token", text);
        free(text);
        return content;
}

/* Around the text of message_of() as number 1 of SHARE. */
#define AROUND                                                                                    \
        (sizeof("{\"v\":1,\"share\":\"" SHARE                                                     \
                "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{\"token\":\"\"}}}") - \
                        1)

static void the_largest_message_fits_a_frame_and_a_larger_one_is_not_sealed(void **state) {
        json_auto_t *most = message_of(MESSAGE_BOX_CONTENT_MAX - AROUND);
        json_auto_t *more = message_of(MESSAGE_BOX_CONTENT_MAX - AROUND + 1);
        _cleanup_(freep) char *box = NULL;
        char *none = NULL;

        assert_int_equal(message_box_seal(SHARE, 1, most, public_key, &box), 0);
        assert_int_equal(opened(box), 0);
        assert_true(strlen(box) < 60000);
        assert_int_equal(message_box_seal(SHARE, 1, more, public_key, &none), -EMSGSIZE);
}

static char *nested(unsigned depth) {
        char *text = malloc(512), *p = text;

        p += sprintf(p,
                        "{\"v\":1,\"share\":\"" SHARE
                        "\",\"number\":1,\"message\":{\"format\":\"f\",\"content\":{\"a\":");
        for (unsigned i = 3; i < depth; i++)
                *p++ = '[';
        for (unsigned i = 3; i < depth; i++)
                *p++ = ']';
        (void) strcpy(p, "}}}");
        return text;
}

static void content_as_deep_as_a_mailbox_may_carry_is_opened(void **state) {
        _cleanup_(freep) char *deep = nested(33), *deeper = nested(34);
        _cleanup_(freep) char *box = sealed_text(deep), *other = sealed_text(deeper);

        assert_int_equal(opened(box), 0);
        assert_int_equal(opened(other), MESSAGE_BOX_E_FORM);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_sealed_is_opened_by_the_front),
                cmocka_unit_test(content_is_opened_with_the_bytes_it_was_sealed_with),
                cmocka_unit_test(a_box_of_another_share_or_number_is_refused),
                cmocka_unit_test(a_changed_box_and_one_for_another_key_do_not_open),
                cmocka_unit_test(only_the_form_of_the_header_is_taken),
                cmocka_unit_test(what_a_format_adds_stays_behind),
                cmocka_unit_test(the_largest_message_fits_a_frame_and_a_larger_one_is_not_sealed),
                cmocka_unit_test(content_as_deep_as_a_mailbox_may_carry_is_opened),
        };

        if (secret_init() < 0)
                return 99;
        (void) crypto_box_keypair(public_key, secret_key);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
