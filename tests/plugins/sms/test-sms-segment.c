/* Texts cut into messages: what they cost, and that nothing is cut that belongs together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "sms-segment.h"
#include "sms-udh.h"

#define EURO "\xe2\x82\xac"
#define KEY "\xf0\x9f\x94\x91"                                /* U+1F511 */
#define FAMILY "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7" /* woman, joiner, girl */
#define DECOMPOSED "u\xcc\x88"                                /* u with U+0308 */

/* n times a character, followed by an end. */
static char *repeat(const char *what, size_t n, const char *end) {
        char *text = calloc(n * strlen(what) + strlen(end) + 1, 1), *p = text;

        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                p = stpcpy(p, what);
        (void) stpcpy(p, end);
        return text;
}

/* All segments put together as a phone does; checks the sizes on the way. */
static void assert_comes_back(const SmsPlan *plan, const char *text, SmsForm form) {
        uint8_t octets[SMS_SEGMENTS_MAX][SMS_SEGMENT_OCTETS_MAX];
        uint8_t septets[SMS_SEGMENTS_MAX][SMS_SEGMENT_OCTETS_MAX];
        SmsOctets parts[SMS_SEGMENTS_MAX];
        _cleanup_(freep) char *back = NULL;

        for (unsigned i = 0; i < plan->n_segments; i++) {
                size_t size = sms_segment_write(plan, text, i, 0xbeef, true, form, octets[i]);
                SmsUdh udh = { 0 };

                assert_true(size <= (plan->alphabet == SMS_GSM7 && form == SMS_UNPACKED
                                                                    ? SMS_SEGMENT_OCTETS_MAX
                                                                    : 140u));
                if (plan->n_segments > 1) {
                        assert_int_equal(sms_udh_read(octets[i], size, &udh), 0);
                        assert_int_equal(udh.concat.reference, 0xbeef);
                        assert_int_equal(udh.concat.part, i + 1);
                        assert_int_equal(udh.concat.total, plan->n_segments);
                }
                parts[i] = (SmsOctets){ .alphabet = plan->alphabet,
                        .data = octets[i] + udh.size,
                        .size = size - udh.size };
                if (plan->alphabet == SMS_GSM7 && form == SMS_PACKED) {
                        gsm7_unpack(octets[i] + udh.size,
                                        plan->segments[i].units,
                                        gsm7_fill_bits(udh.size),
                                        septets[i]);
                        parts[i].data = septets[i];
                        parts[i].size = plan->segments[i].units;
                }
                assert_int_equal(parts[i].size,
                                plan->segments[i].units * (plan->alphabet == SMS_UCS2 ? 2 : 1));
        }
        assert_int_equal(sms_text_read(parts, plan->n_segments, &back), 0);
        assert_string_equal(back, text);
}

static SmsPlan plan_of(const char *text) {
        SmsPlan plan;

        assert_int_equal(sms_plan(text, strlen(text), SMS_SEGMENTS_MAX, &plan), 0);
        assert_comes_back(&plan, text, SMS_UNPACKED);
        assert_comes_back(&plan, text, SMS_PACKED);
        return plan;
}

static void
assert_cost(const char *what, size_t n, SmsAlphabet alphabet, unsigned segments, unsigned units) {
        _cleanup_(freep) char *text = repeat(what, n, "");
        SmsPlan plan = plan_of(text);

        assert_int_equal(plan.alphabet, alphabet);
        assert_int_equal(plan.n_segments, segments);
        assert_int_equal(plan.units, units);
}

static void the_cost_is_known_at_every_border(void **state) {
        (void) state;
        assert_cost("a", 0, SMS_GSM7, 1, 0);
        assert_cost("a", 160, SMS_GSM7, 1, 160);
        assert_cost("a", 161, SMS_GSM7, 2, 161);
        assert_cost("a", 304, SMS_GSM7, 2, 304);
        assert_cost("a", 305, SMS_GSM7, 3, 305);
        assert_cost("\xc3\xa4", 160, SMS_GSM7, 1, 160); /* ä is in the default alphabet */
        assert_cost(EURO, 80, SMS_GSM7, 1, 160);
        assert_cost(EURO, 81, SMS_GSM7, 2, 162);
        assert_cost("\xd0\x94", 70, SMS_UCS2, 1, 70);
        assert_cost("\xd0\x94", 71, SMS_UCS2, 2, 71);
        assert_cost("\xd0\x94", 132, SMS_UCS2, 2, 132);
        assert_cost("\xd0\x94", 133, SMS_UCS2, 3, 133);
        assert_cost(KEY, 35, SMS_UCS2, 1, 70);
        assert_cost(KEY, 36, SMS_UCS2, 2, 72);
        assert_cost("a", 255 * 152, SMS_GSM7, 255, 255 * 152);
        assert_cost("\xd0\x94", 255 * 66, SMS_UCS2, 255, 255 * 66);
}

static void escape_pairs_are_not_cut(void **state) {
        _cleanup_(freep) char *text = repeat("a", 151, EURO "bbbbbbbbb");
        SmsPlan plan = plan_of(text);

        (void) state;
        assert_int_equal(plan.n_segments, 2);
        assert_int_equal(plan.segments[0].units, 151);
        assert_int_equal(plan.segments[1].units, 11);
}

static void surrogate_pairs_are_not_cut(void **state) {
        _cleanup_(freep) char *text = repeat("\xd0\x94", 65, KEY KEY KEY);
        SmsPlan plan = plan_of(text);

        (void) state;
        assert_int_equal(plan.n_segments, 2);
        assert_int_equal(plan.segments[0].units, 65);
        assert_int_equal(plan.segments[1].units, 6);
}

static void what_a_reader_sees_as_one_is_not_cut(void **state) {
        _cleanup_(freep) char *family = repeat("\xd0\x94", 64, FAMILY "abcd");
        _cleanup_(freep) char *mark = repeat("\xd0\x94", 65, DECOMPOSED "abcd");
        SmsPlan plan = plan_of(family);

        (void) state;
        assert_int_equal(plan.segments[0].units, 64);
        assert_int_equal(plan.segments[1].units, 9);
        plan = plan_of(mark);
        assert_int_equal(plan.segments[0].units, 65);
        assert_int_equal(plan.segments[1].units, 6);
}

/* A base with hundreds of marks is one cluster that no message holds. */
static void a_cluster_beyond_a_message_is_cut_between_characters(void **state) {
        (void) state;
        assert_cost("\xcc\x88", 200, SMS_UCS2, 4, 200);
        assert_cost("\xf0\x9d\x85\xa5", 80, SMS_UCS2, 3, 160); /* a combining mark of two units */
}

/* Not every phone reads the national tables, so that nothing is written in them. */
static void letters_of_national_tables_are_named_and_not_written_in_septets(void **state) {
        static const struct {
                const char *text;
                uint32_t character;
        } letters[] = { { "ya\xc4\x9fmur", 0x11f }, /* Turkish */
                { "\xc5\x9fimdi", 0x15f },
                { "n\xc3\xa3o", 0xe3 },        /* Portuguese */
                { "habitaci\xc3\xb3n", 0xf3 }, /* Spanish */
                { "\xe0\xa4\x95\xe0\xa5\x81\xe0\xa4\x9c\xe0\xa5\x80", 0x915 } };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(letters); i++) {
                SmsPlan plan = plan_of(letters[i].text);

                assert_int_equal(plan.alphabet, SMS_UCS2);
                assert_int_equal(plan.odd.character, letters[i].character);
        }
        assert_int_equal(plan_of("caf\xc3\xa9 \xe2\x82\xac 5 {[~]}").alphabet, SMS_GSM7);
}

static void the_character_that_costs_is_named(void **state) {
        char text[SMS_ODD_TEXT_SIZE];
        SmsPlan plan = plan_of("Hi Bob,\nyour \xe2\x80\x9ckey\xe2\x80\x9d.");

        (void) state;
        assert_int_equal(plan.odd.character, 0x201c);
        assert_int_equal(plan.odd.byte, 13);
        assert_int_equal(plan.odd.n, 2);
        sms_odd_text(&plan.odd, text);
        assert_string_equal(text, "U+201C LEFT DOUBLE QUOTATION MARK in line 2, column 6");
        plan = plan_of("plain");
        sms_odd_text(&plan.odd, text);
        assert_string_equal(text, "");
        plan = plan_of("\xee\x80\x80"); /* of private use: no name */
        sms_odd_text(&plan.odd, text);
        assert_string_equal(text, "U+E000 in line 1, column 1");
}

static void what_does_not_fit_or_is_no_text_is_refused(void **state) {
        _cleanup_(freep) char *text = repeat("a", 305, ""),
                              *endless = repeat("\xd0\x94", 500000, "");
        SmsPlan plan;

        (void) state;
        assert_int_equal(sms_plan(text, 305, 2, &plan), SMS_SEGMENT_E_LONG);
        assert_int_equal(sms_plan(text, 304, 2, &plan), 0);
        assert_int_equal(sms_plan(text, 161, 1, &plan), SMS_SEGMENT_E_LONG);
        assert_int_equal(sms_plan(endless, strlen(endless), SMS_SEGMENTS_MAX, &plan),
                        SMS_SEGMENT_E_LONG);
        assert_int_equal(sms_plan("a\0b", 3, 1, &plan), SMS_SEGMENT_E_TEXT);
        assert_int_equal(sms_plan("a\xff", 2, 1, &plan), SMS_SEGMENT_E_TEXT);
}

static void without_a_header_only_the_text_is_written(void **state) {
        _cleanup_(freep) char *text = repeat("a", 200, "");
        uint8_t octets[SMS_SEGMENT_OCTETS_MAX];
        SmsPlan plan = plan_of(text);

        (void) state;
        assert_int_equal(sms_segment_write(&plan, text, 0, 7, false, SMS_UNPACKED, octets), 152);
        assert_int_equal(octets[0], 'a');
        assert_int_equal(sms_segment_write(&plan, text, 1, 7, true, SMS_PACKED, octets), 7 + 42);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_cost_is_known_at_every_border),
                cmocka_unit_test(escape_pairs_are_not_cut),
                cmocka_unit_test(surrogate_pairs_are_not_cut),
                cmocka_unit_test(what_a_reader_sees_as_one_is_not_cut),
                cmocka_unit_test(a_cluster_beyond_a_message_is_cut_between_characters),
                cmocka_unit_test(letters_of_national_tables_are_named_and_not_written_in_septets),
                cmocka_unit_test(the_character_that_costs_is_named),
                cmocka_unit_test(what_does_not_fit_or_is_no_text_is_refused),
                cmocka_unit_test(without_a_header_only_the_text_is_written),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
