/* The seven-bit alphabet against published examples and the tables of others. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "gsm7-table.h"
#include "gsm7.h"
#include "text.h"

enum { ROOM = 1024 };

static void assert_packed(const char *text, const char *hex) {
        uint8_t septets[ROOM], packed[ROOM], back[ROOM];
        char got[2 * ROOM + 1];
        size_t n, place, size;

        assert_int_equal(gsm7_encode(text, strlen(text), septets, ROOM, &n, &place), 0);
        size = gsm7_packed_size(n, 0);
        gsm7_pack(septets, n, 0, packed);
        text_hex(packed, size, got);
        assert_string_equal(got, hex);
        assert_true(n <= gsm7_unpacked_count(size, 0));
        gsm7_unpack(packed, n, 0, back);
        assert_memory_equal(back, septets, n);
}

static void assert_decoded(const char *octets, size_t n, const char *text) {
        _cleanup_(freep) char *got = NULL;

        assert_int_equal(gsm7_decode((const uint8_t *) octets, n, GSM7_DEFAULT, GSM7_DEFAULT, &got),
                        0);
        assert_string_equal(got, text);
}

#define DECODED(octets, text) assert_decoded(octets, sizeof(octets) - 1, text)

/* Examples that many documents carry; the first is that of TS 23.040's readers everywhere. */
static void published_examples_pack_as_published(void **state) {
        (void) state;
        assert_packed("hellohello", "e8329bfd4697d9ec37");
        assert_packed("Hello", "c8329bfd06");
        assert_packed("Hello World!", "c8329bfd065ddf72363904");
        assert_packed("How are you?", "c8f71d14969741f977fd07");
        assert_packed("diafaan.com", "e474d81c0ebb5de3771b");
        assert_packed("", "");
}

static void extension_characters_cost_two_septets(void **state) {
        static const char dear[] = "^{}\\[~]|\xe2\x82\xac\f";
        uint8_t septets[ROOM];
        size_t n, place;

        (void) state;
        assert_int_equal(gsm7_encode(dear, strlen(dear), septets, ROOM, &n, &place), 0);
        assert_int_equal(n, 20);
        for (size_t i = 0; i < n; i += 2)
                assert_int_equal(septets[i], 0x1b);
        assert_int_equal(septets[17], 0x65);
}

static void the_first_character_outside_is_placed(void **state) {
        uint8_t septets[ROOM];
        size_t n, place = 99;

        (void) state;
        /* The small c with cedilla is what many tables have at 9; the standard has the capital. */
        assert_int_equal(gsm7_encode("\xc3\x87", 2, septets, ROOM, &n, &place), 0);
        assert_int_equal(septets[0], 9);
        assert_int_equal(gsm7_encode("ab\xc3\xa7", 4, septets, ROOM, &n, &place), GSM7_E_CHARACTER);
        assert_int_equal(place, 2);
        assert_int_equal(gsm7_encode("a\xf0\x9f\x94\x91z", 6, septets, ROOM, &n, &place),
                        GSM7_E_CHARACTER);
        assert_int_equal(place, 1);
        assert_int_equal(gsm7_encode("a\0b", 3, septets, ROOM, &n, &place), GSM7_E_TEXT);
        assert_int_equal(place, 1);
        assert_int_equal(gsm7_encode("a\xc3", 2, septets, ROOM, &n, &place), GSM7_E_TEXT);
        assert_int_equal(gsm7_encode("\xed\xa0\x80", 3, septets, ROOM, &n, &place), GSM7_E_TEXT);
        assert_int_equal(gsm7_encode("abc", 3, septets, 2, &n, &place), GSM7_E_ROOM);
        assert_int_equal(place, 2);
        assert_int_equal(gsm7_encode("a{", 2, septets, 2, &n, &place), GSM7_E_ROOM);
}

/* TS 23.038 section 6.2.1.1, notes 1 and 3. */
static void escapes_follow_the_standards_rules(void **state) {
        (void) state;
        DECODED("\x1b\x65", "\xe2\x82\xac");
        DECODED("a\x1b"
                "bc",
                        "abc");          /* not in the extension: the default table's */
        DECODED("a\x1b\x1b", "a ");      /* another table that does not exist yet */
        DECODED("a\x1b\x1b\x65", "a e"); /* and what follows is not escaped */
        DECODED("a\x1b", "a ");
        DECODED("\x80\xff", "\xef\xbf\xbd\xef\xbf\xbd");
        DECODED("\x1b\xff", "\xef\xbf\xbd");
        assert_decoded("\0", 1, "@");
        assert_decoded("", 0, "");
}

static void assert_national(
                const char *octets, Gsm7Language locking, Gsm7Language single, const char *text) {
        _cleanup_(freep) char *got = NULL;

        assert_int_equal(gsm7_decode((const uint8_t *) octets,
                                         strlen(octets),
                                         locking,
                                         single,
                                         &got),
                        0);
        assert_string_equal(got, text);
}

static void national_tables_are_read(void **state) {
        _cleanup_(freep) char *got = NULL;

        (void) state;
        assert_national("\x1bgG\x1bg", GSM7_DEFAULT, GSM7_TURKISH, "\xc4\x9fG\xc4\x9f"); /* ğGğ */
        assert_national("\x1bi", GSM7_DEFAULT, GSM7_TURKISH, "\xc4\xb1");                /* ı */
        assert_national("\x07\x1c\x1d", GSM7_TURKISH, GSM7_DEFAULT, "\xc4\xb1\xc5\x9e\xc5\x9f");
        assert_national("\x1b\x65\x1b\x14", GSM7_TURKISH, GSM7_DEFAULT, "\xe2\x82\xac^");
        assert_national("\x1b"
                        "a\x1bi\x1bo\x1bu",
                        GSM7_DEFAULT,
                        GSM7_SPANISH,
                        "\xc3\xa1\xc3\xad\xc3\xb3\xc3\xba");
        assert_national("\x7b\x7c", GSM7_PORTUGUESE, GSM7_PORTUGUESE, "\xc3\xa3\xc3\xb5");
        assert_national("\x03\x04", GSM7_HINDI, GSM7_HINDI, "\xe0\xa4\x85\xe0\xa4\x86"); /* अआ */
        /* A blank cell is a space; a septet that only the locking table has is its character. */
        assert_national("\x0e", GSM7_BENGALI, GSM7_DEFAULT, " ");
        assert_national("\x1b\x03", GSM7_HINDI, GSM7_DEFAULT, "\xe0\xa4\x85");
        assert_int_equal(gsm7_decode((const uint8_t *) "a",
                                         1,
                                         _GSM7_LANGUAGE_MAX,
                                         GSM7_DEFAULT,
                                         &got),
                        -EINVAL);
        assert_int_equal(gsm7_decode((const uint8_t *) "a",
                                         1,
                                         GSM7_DEFAULT,
                                         (Gsm7Language) 99,
                                         &got),
                        -EINVAL);
}

/* The standard's table A.3.7 itself has U+0CAA twice, where the order of the script wants U+0CA1.
 */
static bool is_printed_so(unsigned table, unsigned septet) {
        return table == GSM7_KANNADA && septet == 0x3d;
}

/* A slip in a table of 128 cells is mostly a character twice, or a digit out of its row. */
static void no_table_has_a_character_twice(void **state) {
        (void) state;
        for (unsigned t = 0; t < _GSM7_LANGUAGE_MAX; t++)
                for (unsigned i = 0; i < 128; i++)
                        for (unsigned j = 0; j < i; j++)
                                if (gsm7_locking[t][i] != 0 &&
                                                gsm7_locking[t][i] == gsm7_locking[t][j] &&
                                                !is_printed_so(t, i))
                                        fail_msg("table %u: %02x and %02x", t, i, j);
        for (unsigned t = 0; t < _GSM7_LANGUAGE_MAX; t++)
                for (size_t i = 1; i < gsm7_single[t].n; i++)
                        assert_true(gsm7_single[t].shifts[i - 1].septet <
                                        gsm7_single[t].shifts[i].septet);
}

static unsigned septet_of(Gsm7Language language, uint16_t character) {
        for (size_t i = 0; i < gsm7_single[language].n; i++)
                if (gsm7_single[language].shifts[i].character == character)
                        return gsm7_single[language].shifts[i].septet;
        return 0;
}

static void digits_of_each_script_stand_in_a_row(void **state) {
        static const struct {
                Gsm7Language language;
                uint16_t zero;
        } scripts[] = { { GSM7_GUJARATI, 0x0ae6 },
                { GSM7_HINDI, 0x0966 },
                { GSM7_KANNADA, 0x0ce6 },
                { GSM7_MALAYALAM, 0x0d66 },
                { GSM7_ORIYA, 0x0b66 },
                { GSM7_PUNJABI, 0x0a66 },
                { GSM7_TAMIL, 0x0be6 },
                { GSM7_TELUGU, 0x0c66 },
                { GSM7_URDU, 0x06f0 } };

        (void) state;
        for (size_t s = 0; s < N_ELEMENTS(scripts); s++)
                for (uint16_t digit = 0; digit < 10; digit++)
                        assert_int_equal(septet_of(scripts[s].language,
                                                         (uint16_t) (scripts[s].zero + digit)),
                                        0x1c + digit);
        /* Bengali begins earlier, around the escape. */
        assert_int_equal(septet_of(GSM7_BENGALI, 0x09e7), 0x1a);
        for (uint16_t digit = 2; digit < 10; digit++)
                assert_int_equal(
                                septet_of(GSM7_BENGALI, (uint16_t) (0x09e6 + digit)), 0x1a + digit);
}

static void every_septet_comes_back_through_utf8(void **state) {
        (void) state;
        for (unsigned i = 0; i < 256; i++) {
                uint8_t in[2] = { 0x1b, (uint8_t) (i & 0x7f) }, out[2];
                size_t skip = i < 128, n, place; /* the alphabet itself, then its extension */
                _cleanup_(freep) char *text = NULL;

                if ((i & 0x7f) == 0x1b)
                        continue;
                assert_int_equal(
                                gsm7_decode(in + skip, 2 - skip, GSM7_DEFAULT, GSM7_DEFAULT, &text),
                                0);
                assert_int_equal(gsm7_encode(text, strlen(text), out, 2, &n, &place), 0);
                if (n == 2 - skip)
                        assert_memory_equal(out, in + skip, n);
                else
                        assert_int_equal(out[0], in[1]); /* not in the extension */
        }
}

static void septets_behind_a_header_begin_on_a_septet(void **state) {
        static const uint8_t hi[] = { 'h', 'i' };
        uint8_t packed[8] = { 0 }, back[2];

        (void) state;
        assert_int_equal(gsm7_fill_bits(0), 0);
        assert_int_equal(gsm7_fill_bits(6), 1); /* 8-bit concatenation: 153 septets */
        assert_int_equal(gsm7_fill_bits(7), 0); /* 16-bit concatenation: 152 septets */
        assert_int_equal(gsm7_fill_bits(4), 3);
        assert_int_equal(gsm7_unpacked_count(140 - 6, 1), 153);
        assert_int_equal(gsm7_unpacked_count(140 - 7, 0), 152);
        assert_int_equal(gsm7_unpacked_count(140, 0), 160);
        for (unsigned fill = 0; fill < 7; fill++) {
                size_t size = gsm7_packed_size(2, fill);

                gsm7_pack(hi, 2, fill, packed);
                assert_true(size * 8 >= 14 + fill && size * 8 < 14 + fill + 8);
                gsm7_unpack(packed, 2, fill, back);
                assert_memory_equal(back, hi, 2);
                assert_int_equal(packed[0] & ((1 << fill) - 1), 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(published_examples_pack_as_published),
                cmocka_unit_test(extension_characters_cost_two_septets),
                cmocka_unit_test(the_first_character_outside_is_placed),
                cmocka_unit_test(escapes_follow_the_standards_rules),
                cmocka_unit_test(national_tables_are_read),
                cmocka_unit_test(no_table_has_a_character_twice),
                cmocka_unit_test(digits_of_each_script_stand_in_a_row),
                cmocka_unit_test(every_septet_comes_back_through_utf8),
                cmocka_unit_test(septets_behind_a_header_begin_on_a_septet),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
