/* Text forms of bytes, against the RFCs' own examples and against everything that is nearly right.
 */
#include "test.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "text.h"

static void check_base64(const char *bytes, const char *text) {
        _cleanup_(freep) char *written = text_base64(bytes, strlen(bytes));
        _cleanup_(freep) uint8_t *read = NULL;
        size_t size = 99;

        assert_string_equal(written, text);
        assert_int_equal(text_from_base64(text, false, &read, &size), 0);
        assert_int_equal(size, strlen(bytes));
        assert_memory_equal(read, bytes, size + 1);
}

static void base64_is_that_of_rfc_4648(void **state) {
        check_base64("", "");
        check_base64("f", "Zg==");
        check_base64("fo", "Zm8=");
        check_base64("foo", "Zm9v");
        check_base64("foob", "Zm9vYg==");
        check_base64("fooba", "Zm9vYmE=");
        check_base64("foobar", "Zm9vYmFy");
}

static void base64_of_any_length_is_that_of_libsodium(void **state) {
        uint8_t bytes[100];
        char expected[sodium_base64_ENCODED_LEN(sizeof(bytes), sodium_base64_VARIANT_ORIGINAL)];

        for (size_t size = 0; size <= sizeof(bytes); size++)
                for (int round = 0; round < 50; round++) {
                        _cleanup_(freep) uint8_t *read = NULL;
                        _cleanup_(freep) char *written = NULL;
                        size_t n;

                        randombytes_buf(bytes, size);
                        written = text_base64(bytes, size);
                        (void) sodium_bin2base64(expected,
                                        sizeof(expected),
                                        bytes,
                                        size,
                                        sodium_base64_VARIANT_ORIGINAL);
                        assert_string_equal(written, expected);
                        assert_int_equal(text_from_base64(written, false, &read, &n), 0);
                        assert_int_equal(n, size);
                        assert_memory_equal(read, bytes, size);
                }
}

static int from_base64(const char *text, bool url_safe) {
        _cleanup_(freep) uint8_t *read = NULL;
        size_t size;

        return text_from_base64(text, url_safe, &read, &size);
}

static void base64_of_a_fixed_size_is_taken_whole_or_not_at_all(void **state) {
        static const char *const bad[] = { "", "Zm8=", "Zm9vYg==", "Zm9", "Zm-v", "no base64" };
        uint8_t three[] = { 1, 2, 3 };

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                assert_int_equal(text_from_base64_exactly(bad[i], three, 3), -EBADMSG);
                assert_memory_equal(three, "\1\2\3", 3);
        }
        assert_int_equal(text_from_base64_exactly("Zm9v", three, 3), 0);
        assert_memory_equal(three, "foo", 3);
}

static void base64_may_lack_its_padding_and_nothing_else(void **state) {
        static const char *const bad[] = {
                "Z",
                "Zg=",
                "Zg===",
                "=",
                "Zh==",
                "Zm9=",
                "Zm9v\n",
                " Zm9v",
                "Zm 9v",
                "Zm9v!",
                "Zg==Zg==",
                "Zm-_",
                "Zm9v\xc3\xa4\xc3\xa4",
                "AAA\xee\xee\xee\xee\xee",
        };

        assert_int_equal(from_base64("Zg", false), 0);
        assert_int_equal(from_base64("Zm8", false), 0);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                if (from_base64(bad[i], false) != -EBADMSG)
                        fail_msg("`%s` was taken for base64", bad[i]);
}

/* Many symbols are looked at together, so that each must be seen wherever it stands among them. */
static void each_byte_is_a_symbol_or_not_in_each_place(void **state) {
        static const char symbols[] =
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char text[45] = "";

        for (size_t place = 0; place < sizeof(text) - 1; place++)
                for (int byte = 1; byte < 0x100; byte++) {
                        if (byte == '=' && place == sizeof(text) - 2)
                                continue; /* there it is padding */
                        (void) memset(text, 'A', sizeof(text) - 1);
                        text[place] = (char) byte;
                        assert_int_equal(from_base64(text, false),
                                        strchr(symbols, byte) ? 0 : -EBADMSG);
                }
}

static void the_url_safe_alphabet_is_read_only_on_request(void **state) {
        assert_int_equal(from_base64("-_8", true), 0);
        assert_int_equal(from_base64("-_8=", true), 0);
        assert_int_equal(from_base64("+/8=", true), 0);
        assert_int_equal(from_base64("-_8", false), -EBADMSG);
        assert_int_equal(from_base64("-/8", true), -EBADMSG);
}

static void hexadecimal_has_exactly_two_digits_a_byte(void **state) {
        static const uint8_t bytes[] = { 0x00, 0x7f, 0xff };
        uint8_t read[3];
        char text[7];

        text_hex(bytes, sizeof(bytes), text);
        assert_string_equal(text, "007fff");
        assert_int_equal(text_from_hex("007FFf", read, sizeof(read)), 0);
        assert_memory_equal(read, bytes, sizeof(bytes));
        assert_int_equal(text_from_hex("007ff", read, sizeof(read)), -EBADMSG);
        assert_int_equal(text_from_hex("007fff0", read, sizeof(read)), -EBADMSG);
        assert_int_equal(text_from_hex("007ffg", read, sizeof(read)), -EBADMSG);
        assert_int_equal(text_from_hex("00:7ff", read, sizeof(read)), -EBADMSG);
        assert_int_equal(text_from_hex("", read, sizeof(read)), -EBADMSG);
}

static void a_uuid_carries_version_and_variant(void **state) {
        static const uint8_t ones[16] = { 0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff },
                             zeros[16] = { 0 };
        char text[UUID_TEXT_SIZE];

        text_uuid4(ones, text);
        assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        text_uuid4(zeros, text);
        assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
}

static void random_uuids_are_well_formed_and_differ(void **state) {
        char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE];

        text_uuid4_random(a);
        text_uuid4_random(b);
        assert_true(text_is_uuid(a));
        assert_int_equal(a[14], '4');
        assert_string_not_equal(a, b);
}

static void what_is_nearly_a_uuid_is_none(void **state) {
        static const char *const bad[] = {
                "",
                "ffffffff-ffff-4fff-bfff-fffffffffff",
                "ffffffff-ffff-4fff-bfff-fffffffffffff",
                "ffffffffffff-4fff-bfff-ffffffffffff-",
                "gfffffff-ffff-4fff-bfff-ffffffffffff",
                "ffffffff_ffff-4fff-bfff-ffffffffffff",
                "{fffffff-ffff-4fff-bfff-ffffffffffff",
                "ffffffff-ffff-4fff-bfff-fffffffffff ",
        };

        assert_true(text_is_uuid("ABCDEF01-ffff-1fff-0fff-ffffffffffff"));
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                if (text_is_uuid(bad[i]))
                        fail_msg("`%s` was taken for a UUID", bad[i]);
}

static void an_id_is_base32_of_its_bytes(void **state) {
        static const uint8_t low[16] = { [15] = 1 },
                             high[16] = { 0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff,
                                     0xff },
                             mixed[16] = { 0x01,
                                     0x8f,
                                     0xed,
                                     0xcb,
                                     0xa9,
                                     0x87,
                                     0x65,
                                     0x43,
                                     0x21,
                                     0x0f,
                                     0xed,
                                     0xcb,
                                     0xa9,
                                     0x87,
                                     0x65,
                                     0x43 };
        char text[ID_TEXT_SIZE];
        uint8_t read[16];

        text_id("shr_", low, text);
        assert_string_equal(text, "shr_00000000000000000000000001");
        text_id("msg_", high, text);
        assert_string_equal(text, "msg_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        text_id("shr_", mixed, text);
        assert_string_equal(text, "shr_01hzpwqac7cn1j23zdsemresa3");
        assert_int_equal(text_from_id("shr_", text, read), 0);
        assert_memory_equal(read, mixed, sizeof(mixed));
}

static void every_bit_of_an_id_survives(void **state) {
        for (size_t bit = 0; bit < 128; bit++) {
                uint8_t bytes[16] = { 0 }, read[16];
                char text[ID_TEXT_SIZE];

                bytes[bit / 8] = (uint8_t) (1u << bit % 8);
                text_id("shr_", bytes, text);
                assert_int_equal(strlen(text), ID_TEXT_SIZE - 1);
                assert_int_equal(text_from_id("shr_", text, read), 0);
                assert_memory_equal(read, bytes, sizeof(bytes));
        }
}

static void ids_sort_as_their_bytes_do(void **state) {
        static const uint8_t earlier[16] = { 0, 0x7f, 0xff }, later[16] = { 0, 0x80, 0 };
        char a[ID_TEXT_SIZE], b[ID_TEXT_SIZE];

        text_id("shr_", earlier, a);
        text_id("shr_", later, b);
        assert_true(strcmp(a, b) < 0);
}

static void an_id_has_one_spelling(void **state) {
        static const char *const bad[] = {
                "",
                "shr_",
                "msg_00000000000000000000000001",
                "shr_0000000000000000000000001",
                "shr_000000000000000000000000001",
                "shr_0000000000000000000000000I",
                "shr_0000000000000000000000000A",
                "shr_0000000000000000000000000u",
                "shr_80000000000000000000000000",
                "shr_0000000000000-000000000001",
        };
        uint8_t read[16];

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                if (text_from_id("shr_", bad[i], read) != -EBADMSG)
                        fail_msg("`%s` was taken for an id", bad[i]);
}

static void utf8_is_that_of_rfc_3629(void **state) {
        static const struct {
                const char *bytes;
                bool valid;
        } cases[] = {
                { "", true },
                { "plain", true },
                { "\xc2\x80", true },
                { "\xdf\xbf", true },
                { "\xe0\xa0\x80", true },
                { "\xed\x9f\xbf", true },
                { "\xee\x80\x80", true },
                { "\xef\xbf\xbf", true },
                { "\xf0\x90\x80\x80", true },
                { "\xf4\x8f\xbf\xbf", true },
                { "\x80", false },
                { "\xc0\x80", false },
                { "\xc1\xbf", false },
                { "\xe0\x9f\xbf", false },
                { "\xed\xa0\x80", false },
                { "\xed\xbf\xbf", false },
                { "\xf0\x8f\xbf\xbf", false },
                { "\xf4\x90\x80\x80", false },
                { "\xf5\x80\x80\x80", false },
                { "\xff", false },
                { "\xc3", false },
                { "\xe2\x82", false },
                { "\xf0\x9f\x94", false },
                { "\xc3(", false },
                { "\xe2\x28\xa1", false },
                { "a\xc3\xa4\xff", false },
                { "longer than eight and \xc3\xa4 within", true },
                { "eight by\xff", false },
                { "\xff and eight more", false },
                { "a \xffnd eight more", false },
                { "eight and \xc3", false },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                if (text_is_utf8(cases[i].bytes, strlen(cases[i].bytes)) != cases[i].valid)
                        fail_msg("case %zu", i);
        assert_true(text_is_utf8("\0", 1));
        assert_false(text_is_utf8("\xc3\xa4", 1)); /* what follows the end does not count */
        assert_false(text_is_utf8("\xf0\x9f\x94\x91", 3));
}

static void ascii_is_every_byte_without_its_highest_bit(void **state) {
        char text[20];

        (void) state;
        memset(text, 'x', sizeof(text));
        assert_true(text_is_ascii(text, sizeof(text)));
        assert_true(text_is_ascii("\0\x7f", 2));
        assert_true(text_is_ascii(NULL, 0));
        for (size_t i = 0; i < sizeof(text); i++) {
                text[i] = (char) 0x80;
                assert_false(text_is_ascii(text, sizeof(text)));
                assert_true(text_is_ascii(text, i));
                text[i] = 'x';
        }
}

static void one_line_is_one_line_for_every_program(void **state) {
        static const char *const lines[] = { "",
                "H\xc3\xb4tel",
                "\xf0\x9f\x94\x91",
                "\xd7\x9e\xe2\x80\x8f 7",
                "a\xc2\xa0z",
                "\xe2\x80\xa7",
                "\xe2\x80\xaf" };
        static const char *const others[] = { "a\n",
                "a\rz",
                "a\tz",
                "\x1b[1m",
                "\x7f",
                "a\xc2\x85z",
                "\xc2\x9b",
                "a\xe2\x80\xa8z",
                "a\xe2\x80\xa9z",
                "\xe2\x80\xaa",
                "\xe2\x80\xae",
                "\xe2\x81\xa6",
                "\xe2\x81\xa9",
                "\xff",
                "\xc3" };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(lines); i++)
                if (!text_is_one_line(lines[i]))
                        fail_msg("%s", lines[i]);
        for (size_t i = 0; i < N_ELEMENTS(others); i++)
                if (text_is_one_line(others[i]))
                        fail_msg("other %zu", i);
}

static void a_strangers_text_becomes_one_plain_word(void **state) {
        static const struct {
                const char *text, *word;
        } cases[] = {
                { "", "" },
                { NULL, "" },
                { "no-such-user", "no-such-user" },
                { "az09", "az09" },
                { "`{/:", "----" }, /* the neighbours of those */
                { "Not Found", "-ot--ound" },
                { "a\nPRIORITY=0", "a----------0" },
                { "\x1b[31mred\x7f", "--31mred-" },
                { "%s%n", "-s-n" },
                { "gr\xc3\xbc\xc3\x9f", "gr----" },
                { "\xff", "-" },
                { "0123456789abcdefghi", "0123456789abcde" },
                { "0123456789abcdef", "0123456789abcde" },
                { "0123456789abcde", "0123456789abcde" },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                char word[16 + 1];

                memset(word, 'x', sizeof(word));
                text_word(cases[i].text, word, 16);
                assert_string_equal(word, cases[i].word);
                assert_int_equal(word[16], 'x');
        }
}

static void a_word_may_be_made_in_place_and_in_one_byte(void **state) {
        char text[] = "A word.";

        text_word(text, text, sizeof(text));
        assert_string_equal(text, "--word-");
        text_word("word", text, 1);
        assert_string_equal(text, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(base64_is_that_of_rfc_4648),
                cmocka_unit_test(base64_of_any_length_is_that_of_libsodium),
                cmocka_unit_test(each_byte_is_a_symbol_or_not_in_each_place),
                cmocka_unit_test(base64_of_a_fixed_size_is_taken_whole_or_not_at_all),
                cmocka_unit_test(base64_may_lack_its_padding_and_nothing_else),
                cmocka_unit_test(the_url_safe_alphabet_is_read_only_on_request),
                cmocka_unit_test(hexadecimal_has_exactly_two_digits_a_byte),
                cmocka_unit_test(a_uuid_carries_version_and_variant),
                cmocka_unit_test(random_uuids_are_well_formed_and_differ),
                cmocka_unit_test(what_is_nearly_a_uuid_is_none),
                cmocka_unit_test(an_id_is_base32_of_its_bytes),
                cmocka_unit_test(every_bit_of_an_id_survives),
                cmocka_unit_test(ids_sort_as_their_bytes_do),
                cmocka_unit_test(an_id_has_one_spelling),
                cmocka_unit_test(utf8_is_that_of_rfc_3629),
                cmocka_unit_test(ascii_is_every_byte_without_its_highest_bit),
                cmocka_unit_test(one_line_is_one_line_for_every_program),
                cmocka_unit_test(a_strangers_text_becomes_one_plain_word),
                cmocka_unit_test(a_word_may_be_made_in_place_and_in_one_byte),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
