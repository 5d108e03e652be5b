/* What people write, and what it is understood as. */
#include "answer.h"

#include <stdio.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include "../base/test.h"

#define D9_RIGHT "123456786"
#define X8_RIGHT "7KQ4XMPF"

static AnswerKind kind_of(const char *text, const char *locale) {
        Answer answer;
        AnswerKind kind;

        assert_int_equal(answer_read(text, strlen(text), locale, &answer), 0);
        kind = answer.kind;
        answer_done(&answer);
        return kind;
}

static void words_are_understood_in_every_language_whatever_the_locale(void **state) {
        static const struct {
                const char *text;
                AnswerKind kind;
        } rows[] = {
                { "YES", ANSWER_YES },
                { "yes!", ANSWER_YES },
                { " Ja. ", ANSWER_YES },
                { "ja, bitte", ANSWER_YES },
                { "NO", ANSWER_NO },
                { "No.", ANSWER_NO },
                { "no, thank you", ANSWER_NO },
                { "Nein", ANSWER_NO },
                { "nein danke!!", ANSWER_NO },
                { "NOT ME", ANSWER_NOT_ME },
                { "NOT_ME", ANSWER_NOT_ME },
                { "not-me", ANSWER_NOT_ME },
                { "notme", ANSWER_NOT_ME },
                { "That's not me!", ANSWER_NOT_ME },
                { "That\xe2\x80\x99s not me", ANSWER_NOT_ME },
                { "It`s not me", ANSWER_NOT_ME },
                { "Wrong number", ANSWER_NOT_ME },
                { "Das bin ich nicht", ANSWER_NOT_ME },
                { "nicht ich", ANSWER_NOT_ME },
                { "Falsche Nummer!", ANSWER_NOT_ME },
                { "falscher Empf\xc3\xa4nger", ANSWER_NOT_ME },
                { "FALSCHER EMPFA\xcc\x88NGER", ANSWER_NOT_ME },
                { "STOP", ANSWER_STOP },
                { "Stop.", ANSWER_STOP },
                { "STOPALL", ANSWER_STOP_ALL },
                { "unsubscribe", ANSWER_STOP },
                { "Cancel", ANSWER_STOP },
                { "END", ANSWER_STOP },
                { "QUIT", ANSWER_STOP },
                { "REVOKE", ANSWER_STOP },
                { "OPTOUT", ANSWER_STOP },
                { "opt-out", ANSWER_STOP },
                { "STOPP", ANSWER_STOP },
                { "Abmelden", ANSWER_STOP },
                { "HELP", ANSWER_HELP },
                { "Hilfe?", ANSWER_HELP },
                { "ready", ANSWER_READY },
                { "I'm ready", ANSWER_READY },
                { "Bereit!", ANSWER_READY },
                { "done", ANSWER_DONE },
                { "Fertig \xf0\x9f\x91\x8d\xef\xb8\x8f", ANSWER_DONE },
                { "erledigt.", ANSWER_DONE },
                { "Taken!", ANSWER_TAKEN },
                { "7KQ4 already taken", ANSWER_TAKEN },
                { "VERGEBEN", ANSWER_TAKEN },
                { "\xef\xbc\xb3\xef\xbc\xb4\xef\xbc\xaf\xef\xbc\xb0",
                                ANSWER_STOP }, /* full width */
                { "\"No\"", ANSWER_NO },
                { "Oui.", ANSWER_YES },
                { "non merci", ANSWER_NO },
                { "Ce n'est pas moi !", ANSWER_NOT_ME },
                { "mauvais num\xc3\xa9ro", ANSWER_NOT_ME },
                { "ARRET", ANSWER_STOP },
                { "Arr\xc3\xaat", ANSWER_STOP },
                { "ARRE\xcc\x82T", ANSWER_STOP },
                { "7KQ4 d\xc3\xa9sabonner", ANSWER_STOP },
                { "aide", ANSWER_HELP },
                { "C\xe2\x80\x99"
                  "est fait",
                                ANSWER_DONE },
                { "d\xc3\xa9j\xc3\xa0 pris", ANSWER_TAKEN },
                { "S\xc3\xad", ANSWER_YES },
                { "no, gracias", ANSWER_NO },
                { "No soy yo", ANSWER_NOT_ME },
                { "numero equivocado", ANSWER_NOT_ME },
                { "ALTO", ANSWER_STOP },
                { "baja", ANSWER_STOP },
                { "Cancelar.", ANSWER_STOP },
                { "ayuda", ANSWER_HELP },
                { "hecho", ANSWER_DONE },
                { "\xe2\x80\x9eNein\xe2\x80\x9c", ANSWER_NO },
                { "*NO*", ANSWER_NO },
        };
        static const char *const locales[] = { "en", "de", "de-AT", "en_GB", "fr", "", NULL };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                for (size_t k = 0; k < N_ELEMENTS(locales); k++)
                        if (kind_of(rows[i].text, locales[k]) != rows[i].kind)
                                fail_msg("%s", rows[i].text);
}

static void a_word_must_be_the_whole_text(void **state) {
        static const char *const texts[] = { "don't stop",
                "please stop",
                "stop the car at the hotel",
                "I will stop by at 8",
                "stop it",
                "Bitte nicht stoppen",
                "Der Bus hat am Stopp gewartet",
                "n'arr\xc3\xaatez pas",
                "il y a un arr\xc3\xaat de bus devant l'h\xc3\xb4tel",
                "merci de ne pas me d\xc3\xa9sabonner",
                "no pare",
                "no quiero darme de baja",
                "thanks stop thanks a lot",
                "thank you for the key",
                "stop it now",
                "please do not cancel",
                "yes and no",
                "no no",
                "help is on the way",
                "not me but you",
                "I am done with you",
                "ja nein",
                "got it",
                "received",
                "stopping",
                "nein. doch!",
                "endet",
                "arret de bus",
                "no soy",
                "alto ahi no",
                "noo" };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                switch (kind_of(texts[i], "en")) {
                case ANSWER_OTHER:
                case ANSWER_CODE: /* "received" has eight symbols of X8 */
                        break;
                default:
                        fail_msg("%s", texts[i]);
                }
        assert_int_equal(kind_of("received", "en"), ANSWER_CODE);
        assert_int_equal(kind_of("it has been received", "en"), ANSWER_OTHER);
}

/* As each language spells them; what people make of them is the test's. */
static const struct {
        const char *locale, *thanks;
        struct {
                AnswerKind kind;
                const char *text;
        } words[24];
} spoken[] = {
        { "en",
                        "thank you",
                        { { ANSWER_YES, "yes" },
                                        { ANSWER_NO, "no" },
                                        { ANSWER_NOT_ME, "not me" },
                                        { ANSWER_NOT_ME, "it's not me" },
                                        { ANSWER_STOP, "stop" },
                                        { ANSWER_STOP_ALL, "stop all" },
                                        { ANSWER_STOP_ALL, "stopall" },
                                        { ANSWER_HELP, "help" },
                                        { ANSWER_READY, "ready" },
                                        { ANSWER_READY, "I'm ready" },
                                        { ANSWER_DONE, "done" },
                                        { ANSWER_TAKEN, "taken" } } },
        { "de",
                        "danke schön",
                        { { ANSWER_YES, "ja" },
                                        { ANSWER_NO, "nein" },
                                        { ANSWER_NOT_ME, "nicht ich" },
                                        { ANSWER_NOT_ME, "falscher Empfänger" },
                                        { ANSWER_STOP, "stopp" },
                                        { ANSWER_STOP_ALL, "stop alle" },
                                        { ANSWER_STOP_ALL, "stopp alle" },
                                        { ANSWER_HELP, "hilfe" },
                                        { ANSWER_READY, "bereit" },
                                        { ANSWER_DONE, "fertig" },
                                        { ANSWER_TAKEN, "vergeben" },
                                        { ANSWER_TAKEN, "schon geöffnet" } } },
        { "fr",
                        "s'il vous plaît",
                        { { ANSWER_YES, "oui" },
                                        { ANSWER_YES, "d'accord" },
                                        { ANSWER_YES, "bien sûr" },
                                        { ANSWER_NO, "non" },
                                        { ANSWER_NOT_ME, "pas moi" },
                                        { ANSWER_NOT_ME, "ce n'est pas moi" },
                                        { ANSWER_NOT_ME, "mauvais numéro" },
                                        { ANSWER_STOP, "stop" },
                                        { ANSWER_STOP, "arrêt" },
                                        { ANSWER_STOP, "désabonnez-moi" },
                                        { ANSWER_STOP_ALL, "stop tout" },
                                        { ANSWER_STOP_ALL, "arrêtez tout" },
                                        { ANSWER_HELP, "aide" },
                                        { ANSWER_HELP, "à l'aide" },
                                        { ANSWER_READY, "prêt" },
                                        { ANSWER_READY, "je suis prête" },
                                        { ANSWER_DONE, "fait" },
                                        { ANSWER_DONE, "c'est terminé" },
                                        { ANSWER_TAKEN, "déjà pris" },
                                        { ANSWER_TAKEN, "déjà utilisé" } } },
        { "es",
                        "muchas gracias",
                        { { ANSWER_YES, "sí" },
                                        { ANSWER_NO, "no" },
                                        { ANSWER_NOT_ME, "no soy yo" },
                                        { ANSWER_NOT_ME, "número equivocado" },
                                        { ANSWER_NOT_ME, "dirección equivocada" },
                                        { ANSWER_STOP, "stop" },
                                        { ANSWER_STOP, "baja" },
                                        { ANSWER_STOP_ALL, "baja todo" },
                                        { ANSWER_STOP_ALL, "stop todo" },
                                        { ANSWER_HELP, "ayuda" },
                                        { ANSWER_HELP, "ayúdame" },
                                        { ANSWER_READY, "listo" },
                                        { ANSWER_READY, "ya estoy lista" },
                                        { ANSWER_DONE, "hecho" },
                                        { ANSWER_TAKEN, "ya usado" },
                                        { ANSWER_TAKEN, "ya abierto" } } },
};

static void put(uint8_t *to, size_t *n, ucs4_t c) {
        *n += (size_t) u8_uctomb(to + *n, c, 8);
}

/* As some keyboard has it. A character that becomes 0 is left out. */
static void spell(const char *text, ucs4_t (*change)(ucs4_t c), char ret[256]) {
        const uint8_t *s = (const uint8_t *) text;
        size_t n = 0;

        while (*s) {
                ucs4_t c;

                s += u8_mbtouc(&c, s, strlen((const char *) s));
                c = change(c);
                if (c)
                        put((uint8_t *) ret, &n, c);
        }
        ret[n] = 0;
}

static ucs4_t curly(ucs4_t c) {
        return c == '\'' ? 0x2019 : c;
}

static ucs4_t full_width(ucs4_t c) {
        return c > ' ' && c < 0x7f && c != '\'' ? c + 0xfee0 : c;
}

static ucs4_t bare(ucs4_t c) {
        ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];

        return uc_canonical_decomposition(c, parts) > 0 ? parts[0] : c;
}

static ucs4_t no_apostrophe(ucs4_t c) {
        return c == '\'' ? 0 : c;
}

static void whatever_a_keyboard_makes_of_a_word_it_is_the_word(void **state) {
        static ucs4_t (*const changes[])(ucs4_t) = {
                uc_toupper, uc_tolower, curly, full_width, bare, no_apostrophe
        };
        static const char *const around[][2] = { { "", "" },
                { "  ", "\n" },
                { "", "." },
                { "", " !" },
                { "\"", "\"" },
                { "“", "”" },
                { "„", "“" },
                { "« ", " »" },
                { "‹\u202f", "\u202f›" },
                { "*", "*" },
                { "- ", " -" },
                { "7KQ4 ", "" },
                { "７ＫＱ４ ", "" },
                { "", " \U0001f44d" } };

        for (size_t i = 0; i < N_ELEMENTS(spoken); i++)
                for (size_t k = 0; k < N_ELEMENTS(spoken[i].words) && spoken[i].words[k].text; k++)
                        for (size_t m = 0; m < N_ELEMENTS(changes) * N_ELEMENTS(around); m++) {
                                const char *const *a = around[m % N_ELEMENTS(around)];
                                char word[256], text[600];

                                spell(spoken[i].words[k].text,
                                                changes[m / N_ELEMENTS(around)],
                                                word);
                                (void) snprintf(text, sizeof(text), "%s%s%s", a[0], word, a[1]);
                                if (kind_of(text, spoken[i].locale) != spoken[i].words[k].kind ||
                                                kind_of(text, "en") != spoken[i].words[k].kind)
                                        fail_msg("%s: %s", spoken[i].locale, text);
                                (void) snprintf(text,
                                                sizeof(text),
                                                "%s%s, %s%s",
                                                a[0],
                                                word,
                                                spoken[i].thanks,
                                                a[1]);
                                if (kind_of(text, spoken[i].locale) != spoken[i].words[k].kind)
                                        fail_msg("%s: %s", spoken[i].locale, text);
                        }
}

/* A word within a sentence is what the sentence says, which nobody here understands. */
static void a_word_among_others_is_no_answer(void **state) {
        static const char *const sentences[][2] = { { "please do not ", "" },
                { "", " is what she said" },
                { "Bitte nicht ", "" },
                { "merci de ne pas ", " maintenant" },
                { "por favor, nada de ", "" },
                { "either stop it or ", "?" } };

        for (size_t i = 0; i < N_ELEMENTS(spoken); i++)
                for (size_t k = 0; k < N_ELEMENTS(spoken[i].words) && spoken[i].words[k].text; k++)
                        for (size_t m = 0; m < N_ELEMENTS(sentences); m++) {
                                char text[600];

                                (void) snprintf(text,
                                                sizeof(text),
                                                "%s%s%s",
                                                sentences[m][0],
                                                spoken[i].words[k].text,
                                                sentences[m][1]);
                                if (kind_of(text, spoken[i].locale) != ANSWER_OTHER)
                                        fail_msg("%s", text);
                        }
}

static void courtesy_alone_is_no_answer(void **state) {
        static const char *const texts[] = {
                "thanks", "Danke!", "merci beaucoup", "gracias", "please, thank you", "7KQ4 merci"
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (kind_of(texts[i], "en") != ANSWER_OTHER)
                        fail_msg("%s", texts[i]);
}

static void nothing_is_empty_and_a_sign_is_not_understood(void **state) {
        assert_int_equal(kind_of("", "en"), ANSWER_EMPTY);
        assert_int_equal(kind_of(" \r\n\t", "en"), ANSWER_EMPTY);
        assert_int_equal(kind_of("...!?", "en"), ANSWER_EMPTY);
        assert_int_equal(kind_of("\xe2\x80\x8b\xef\xbb\xbf", "en"), ANSWER_EMPTY);
        assert_int_equal(kind_of("\xf0\x9f\x91\x8d", "en"), ANSWER_OTHER);
}

/* Fails unless the text holds this code, or none when code is NULL. */
static void expect_code(
                const char *text, CodeFormat format, int r, const char *code, const char *tag) {
        Answer answer;
        char found[CODE_SIZE];

        assert_int_equal(answer_read(text, strlen(text), "en", &answer), 0);
        if (answer_code(&answer, format, found) != r)
                fail_msg("%s: %d", text, answer_code(&answer, format, found));
        if (strcmp(found, code ? code : "") != 0 || strcmp(answer.tag, tag) != 0)
                fail_msg("%s: %s, tag %s", text, found, answer.tag);
        if (code)
                assert_int_equal(answer.kind, ANSWER_CODE);
        answer_done(&answer);
}

static void a_code_is_found_alone_and_in_a_sentence(void **state) {
        static const struct {
                CodeFormat format;
                const char *text, *tag;
        } rows[] = {
                { CODE_D9, "123456786", "" },
                { CODE_D9, "123-456-786", "" },
                { CODE_D9, "  123 456 786 \n", "" },
                { CODE_D9, "1 2 3 4 5 6 7 8 6", "" },
                { CODE_D9, "#123456786", "" },
                { CODE_D9, "*123-456-786*", "" },
                { CODE_D9, "the code is 123-456-786", "" },
                { CODE_D9, "Code: 123 456 786 thanks", "" },
                { CODE_D9,
                                "Der Code lautet 123\xe2\x80\x93"
                                "456\xe2\x80\x93"
                                "786, danke \xf0\x9f\x98\x80",
                                "" },
                { CODE_D9, "Here it is (123456786).", "" },
                { CODE_D9, "for room 12 123-456-786", "" },
                { CODE_D9, "123-456-786 or 123-456-789?", "" },
                { CODE_D9, "call +49 151 12345678, code 123456786", "" },
                { CODE_D9, "see 123456786, I mean 22.11.2026", "" },
                { CODE_D9,
                                "1\xef\xb8\x8f\xe2\x83\xa3"
                                "2\xef\xb8\x8f\xe2\x83\xa3"
                                "3456786",
                                "" },
                { CODE_D9, "123-456-786 merci", "" },
                { CODE_D9, "Le code est le 123 456 786, merci !", "" },
                { CODE_D9, "« 123-456-786 »", "" },
                { CODE_D9, "„123456786“, danke", "" },
                { CODE_D9, "la clave es 123.456.786, gracias", "" },
                { CODE_D9, "¿123‑456‑786?", "" }, /* dashes that do not break */
                { CODE_D9, "１２３－４５６－７８６", "" },
                { CODE_D9, "７ＫＱ４　１２３４５６７８６　どうも", "7KQ4" },
                { CODE_D9, "١٢٣٤٥٦٧٨٦", "" },
                { CODE_D9, "7KQ4 123—456—786 gracias", "7KQ4" },
                { CODE_D9, "7KQ4 123456786", "7KQ4" },
                { CODE_D9, "7kq4: 123-456-786", "7KQ4" },
                { CODE_D9, "7kq4-123-456-786", "7KQ4" },
                { CODE_D9, "[7KQ4] the code is 123 456 786!", "7KQ4" },
                { CODE_D9, "code 123456786", "" },
                { CODE_D9, "this 123456786", "" },
                { CODE_X8, "7KQ4XMPF", "" },
                { CODE_X8, "7kq4 xmpf", "" },
                { CODE_X8, "7KQ4-XMPF", "" },
                { CODE_X8, "7 k q 4 x m p f", "" },
                { CODE_X8, "the code is 7KQ4-XMPF, thanks", "" },
                { CODE_X8, "code 7KQ4-XMPF thanks", "" },
                { CODE_X8, "it is 7kq4 xmpf ok", "" },
                { CODE_X8, "7KQ4 XMPF is the code", "" },
                { CODE_X8, "9ABC 7KQ4-XMPF", "9ABC" },
                { CODE_X8, "9abc: 7kq4xmpf", "9ABC" },
                { CODE_X8, "9ABC it is 7KQ4-XMPF", "9ABC" },
                { CODE_X8, "7KQ4 7KQ4XMPF", "7KQ4" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                expect_code(rows[i].text,
                                rows[i].format,
                                0,
                                rows[i].format == CODE_D9 ? D9_RIGHT : X8_RIGHT,
                                rows[i].tag);
}

static void a_slip_is_found_as_such(void **state) {
        expect_code("123-456-789", CODE_D9, ANSWER_E_MISTYPED, "123456789", "");
        expect_code("the code is 123-456-789, thanks", CODE_D9, ANSWER_E_MISTYPED, "123456789", "");
        expect_code("7KQ4 123456789", CODE_D9, ANSWER_E_MISTYPED, "123456789", "7KQ4");
        expect_code("7KQ4-XMP9", CODE_X8, ANSWER_E_MISTYPED, "7KQ4XMP9", "");
        expect_code("it says 7KQ4-XMP9", CODE_X8, ANSWER_E_MISTYPED, "7KQ4XMP9", "");
}

static void numbers_that_are_no_code_are_left_alone(void **state) {
        static const struct {
                CodeFormat format;
                const char *text;
        } rows[] = {
                { CODE_D9, "12345678" },
                { CODE_D9, "1234567866" },
                { CODE_D9, "123-456-786-1" },
                { CODE_D9, "+123456786" },
                { CODE_D9, "call me: +123-456-786" },
                { CODE_D9, "+49 151 12345678" },
                { CODE_D9, "x123456786" },
                { CODE_D9, "https://x.example/123456786" },
                { CODE_D9, "a=123456786" },
                { CODE_D9, "22.11.2026 12:30" },
                { CODE_D9, "123456786 123456793" },     /* eighteen digits */
                { CODE_D9, "123456786, or 123456793" }, /* both right: which? */
                { CODE_D9, "123456789, or 123456798" }, /* both wrong */
                { CODE_X8, "hello everybody" },
                { CODE_X8, "received it, yes" }, /* eight symbols, but a word */
                { CODE_X8, "good keys are here" },
                { CODE_X8, "7KQ4XMPF and 0000001J" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++)
                expect_code(rows[i].text, rows[i].format, ANSWER_E_NO_CODE, NULL, "");
}

static void a_tag_goes_before_words_too(void **state) {
        static const struct {
                const char *text;
                AnswerKind kind;
                const char *tag;
        } rows[] = {
                { "7KQ4 no", ANSWER_NO, "7KQ4" },
                { "7kq4: not me!", ANSWER_NOT_ME, "7KQ4" },
                { "7KQ4 stop", ANSWER_STOP, "7KQ4" },
                { "2ol3 ja", ANSWER_OTHER, "" }, /* 2013 has no letter */
                { "a2ol ja", ANSWER_YES, "A201" },
                { "7KQ4", ANSWER_OTHER, "7KQ4" },
                { "7KQ4 what is this", ANSWER_OTHER, "7KQ4" },
                { "done no", ANSWER_OTHER, "" },
                { "1234 no", ANSWER_OTHER, "" },
                { "7KU4 no", ANSWER_OTHER, "" },
                { "no 7KQ4", ANSWER_OTHER, "" },
        };

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                Answer answer;

                assert_int_equal(answer_read(rows[i].text, strlen(rows[i].text), "de", &answer), 0);
                if (answer.kind != rows[i].kind || !streq(answer.tag, rows[i].tag))
                        fail_msg("%s: %d, tag %s", rows[i].text, answer.kind, answer.tag);
        }
}

static void other_alphabets_and_noise_are_survived(void **state) {
        static const char *const texts[] = { "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
                "\xe4\xbd\xa0\xe5\xa5\xbd",
                "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
                "\xe2\x80\xae xyz",
                "\xef\xb7\xba",
                "\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4",
                "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa z" };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(kind_of(texts[i], "en"), ANSWER_OTHER);
}

static void bytes_that_are_no_text_are_not_understood(void **state) {
        static char big[ANSWER_TEXT_MAX + 1];
        Answer answer;

        assert_int_equal(kind_of("no\xff", "en"), ANSWER_OTHER);
        assert_int_equal(kind_of("\xed\xa0\x80", "en"), ANSWER_OTHER);
        assert_int_equal(answer_read("no\0", 3, "en", &answer), 0);
        assert_int_equal(answer.kind, ANSWER_NO); /* a NUL is a control character like others */

        memset(big, ' ', sizeof(big));
        memcpy(big, "no", 2);
        assert_int_equal(answer_read(big, ANSWER_TEXT_MAX, "en", &answer), 0);
        assert_int_equal(answer.kind, ANSWER_NO);
        assert_int_equal(answer_read(big, ANSWER_TEXT_MAX + 1, "en", &answer), 0);
        assert_int_equal(answer.kind, ANSWER_OTHER);
}

static void the_longest_texts_take_bounded_room(void **state) {
        static char text[ANSWER_TEXT_MAX];
        Answer answer;

        for (size_t i = 0; i + 3 <= sizeof(text);
                        i += 3) /* each becomes 18 symbols in four words */
                memcpy(text + i, "\xef\xb7\xba", 3);
        assert_int_equal(answer_read(text, sizeof(text) / 3 * 3, "en", &answer), 0);
        assert_int_equal(answer.kind, ANSWER_OTHER);
        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = i % 2 ? ' ' : '1';
        assert_int_equal(answer_read(text, sizeof(text), "en", &answer), 0);
        assert_int_equal(answer.kind, ANSWER_OTHER);
        memset(text, '7', sizeof(text));
        assert_int_equal(answer_read(text, sizeof(text), "en", &answer), 0);
        assert_int_equal(answer.kind, ANSWER_OTHER);
}

static void an_answer_that_is_done_with_holds_nothing(void **state) {
        static const Answer zero;
        Answer answer;

        assert_int_equal(answer_read("7KQ4 123456786", 14, "en", &answer), 0);
        assert_memory_not_equal(&answer, &zero, sizeof(answer));
        answer_done(&answer);
        assert_memory_equal(&answer, &zero, sizeof(answer));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_are_understood_in_every_language_whatever_the_locale),
                cmocka_unit_test(a_word_must_be_the_whole_text),
                cmocka_unit_test(whatever_a_keyboard_makes_of_a_word_it_is_the_word),
                cmocka_unit_test(a_word_among_others_is_no_answer),
                cmocka_unit_test(courtesy_alone_is_no_answer),
                cmocka_unit_test(nothing_is_empty_and_a_sign_is_not_understood),
                cmocka_unit_test(a_code_is_found_alone_and_in_a_sentence),
                cmocka_unit_test(a_slip_is_found_as_such),
                cmocka_unit_test(numbers_that_are_no_code_are_left_alone),
                cmocka_unit_test(a_tag_goes_before_words_too),
                cmocka_unit_test(other_alphabets_and_noise_are_survived),
                cmocka_unit_test(bytes_that_are_no_text_are_not_understood),
                cmocka_unit_test(the_longest_texts_take_bounded_room),
                cmocka_unit_test(an_answer_that_is_done_with_holds_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
