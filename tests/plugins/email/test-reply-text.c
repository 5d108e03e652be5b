/* What people wrote above, below and inside quotations of the mail programs that they use. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "html-text.h"
#include "reply-text.h"
#include "text.h"

typedef struct Case {
        const char *mail, *text; /* NULL: nothing new */
} Case;

static void check(const Case *c, unsigned flags) {
        char text[REPLY_TEXT_MAX + 1];
        int r = reply_text(c->mail, strlen(c->mail), flags, text);

        if (r != (c->text ? 0 : REPLY_TEXT_E_EMPTY) || strcmp(text, c->text ? c->text : "") != 0)
                fail_msg("%d \"%s\" of \"%s\"", r, text, c->mail);
}

#define CHECK_ALL(cases, flags)                        \
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) \
        check(&(cases)[i], flags)

#define QUOTED "> Hotel Adler shares a key.\r\n> Answer YES\r\n>\r\n"

static void the_text_above_a_quotation_is_the_answer(void **state) {
        static const Case cases[] = {
                { "YES", "YES" },
                { "  YES \r\n\r\n", "YES" },
                /* Gmail */
                { "YES\r\n\r\nOn Sun, Nov 22, 2026 at 3:00 PM Hotel Adler <k@h.test> "
                  "wrote:\r\n\r\n" QUOTED,
                                "YES" },
                { "YES\r\n\r\nOn Sun, Nov 22, 2026 at 3:00 PM Hotel Adler <\r\n"
                  "keys+r01j0000000000000000000000aaaaaaaaaaaaaaaaa@hotel.test> "
                  "wrote:\r\n\r\n" QUOTED,
                                "YES" },
                { "JA\n\nAm So., 22. Nov. 2026 um 15:00 Uhr schrieb Hotel "
                  "Adler\n<k@h.test>:\n\n" QUOTED,
                                "JA" },
                { "JA\n\nHotel Adler <k@h.test> schrieb am So., 22. Nov. 2026,\n15:00:\n\n" QUOTED,
                                "JA" },
                { "OUI\n\nLe dim. 22 nov. 2026 \xc3\xa0 15:00, H\xc3\xb4tel <k@h.test> a \xc3\xa9"
                  "crit\xc2\xa0:\n\n" QUOTED,
                                "OUI" },
                { "S\xc3\x8d\n\nEl dom, 22 nov 2026 a las 15:00, Hotel (<k@h.test>) "
                  "escribi\xc3\xb3:\n\n" QUOTED,
                                "S\xc3\x8d" },
                /* Apple Mail */
                { "123-456-786\n\n> On 22. Nov 2026, at 15:00, Hotel <k@h.test> wrote:\n> "
                  "\n" QUOTED,
                                "123-456-786" },
                { "Ja\n\nVon meinem iPhone gesendet\n\n> Am 22.11.2026 um 15:00 schrieb Hotel "
                  "<k@h.test>:\n> \n"
                  "> \xef\xbb\xbfText\n",
                                "Ja" },
                /* Thunderbird */
                { "JA\n\nAm 22.11.26 um 15:00 schrieb Hotel Adler:\n" QUOTED, "JA" },
                { "YES\n\nOn 11/22/26 15:00, Hotel Adler wrote:\n" QUOTED, "YES" },
                { "Am Montag, 23. bin ich da\nAm 22.11.26 um 15:00 schrieb Hotel Adler:\n" QUOTED,
                                "Am Montag, 23. bin ich da" },
                /* a program that does not mark what it quotes */
                { "YES\nOn 22/11/2026 15:00, Hotel wrote:\nHotel Adler shares a key.\nAnswer NO\n",
                                "YES" },
                { QUOTED "\nNot\n\nreally: a poem", "Not\n\nreally: a poem" },
        };

        (void) state;
        CHECK_ALL(cases, 0);
}

static void what_outlook_copies_is_no_answer(void **state) {
        static const Case cases[] = {
                { "YES\r\n\r\n-----Original Message-----\r\nFrom: Hotel\r\nAnswer NO\r\n", "YES" },
                { "JA\n\n-----Urspr\xc3\xbcngliche Nachricht-----\nVon: Hotel\nText\n", "JA" },
                { "OUI\n\n-----Message d'origine-----\nDe : Hotel\n", "OUI" },
                { "SI\n\n-----Mensaje original-----\nDe: Hotel\n", "SI" },
                { "Fwd\n\n---------- Forwarded message ---------\nFrom: x\n", "Fwd" },
                { "YES\n\nFrom: Hotel <k@h.test>\nSent: Sunday, November 22, 2026 3:00 PM\nTo: Bob "
                  "<b@e.test>\n"
                  "Subject: Key\n\nAnswer NO\n",
                                "YES" },
                { "JA\n\n________________________________\nVon: Hotel <k@h.test>\nGesendet: "
                  "Sonntag\n"
                  "An: Bob\nBetreff: Schl\xc3\xbcssel\n\nText\n",
                                "JA" },
                { "OUI\n\nDe\xc2\xa0: H\xc3\xb4tel\nEnvoy\xc3\xa9\xc2\xa0: "
                  "dimanche\n\xc3\x80\xc2\xa0: Bob\nObjet\xc2\xa0: Cl\xc3\xa9\n\nNON\n",
                                "OUI" },
                { "S\xc3\xad\n\nDe: Hotel\nEnviado el: domingo\nPara: Bob\nAsunto: Llave\n\nNO\n",
                                "S\xc3\xad" },
                { "YES\n\n*From:* Hotel\n*Sent:* Sunday\n*To:* Bob\n\nNO\n", "YES" },
        };

        (void) state;
        CHECK_ALL(cases, 0);
}

static void signatures_are_no_answer(void **state) {
        static const Case cases[] = {
                { "YES\n-- \nBob\n+49 151 123456789\n", "YES" },
                { "YES\n\nSent from my iPhone\n", "YES" },
                { "JA\n\nGesendet von meinem Android-Mobiltelefon mit GMX Mail.\n", "JA" },
                { "JA\n\nDiese Nachricht wurde von meinem Android Mobiltelefon mit WEB.DE Mail "
                  "gesendet.",
                                "JA" },
                { "OUI\n\nEnvoy\xc3\xa9 de mon iPhone", "OUI" },
                { "S\xc3\x8d\n\nEnviado desde mi iPhone", "S\xc3\x8d" },
                { "YES\n\nGet Outlook for "
                  "iOS<https://aka.ms/o0ukef>\n________________________________\n"
                  "From: Hotel\nSent: Sunday\nTo: Bob\n\nNO",
                                "YES" },
                { "YES\n\n-- \nBob\n\nOn 1 May 2026, Hotel <k@h.test> wrote:\n" QUOTED, "YES" },
                { "I wrote 3 letters:\nA\nB\nC", "I wrote 3 letters:\nA\nB\nC" },
                { "--\nBob", NULL },
        };

        (void) state;
        CHECK_ALL(cases, 0);
}

static void answers_below_and_inside_a_quotation_are_found(void **state) {
        static const Case cases[] = {
                { QUOTED "\nYES\n", "YES" },
                { "On 1 May 2026, Hotel <k@h.test> wrote:\n" QUOTED "\nYES\n-- \nBob\n", "YES" },
                { "Dear hotel,\n\nOn 1 May 2026, Hotel <k@h.test> wrote:\n> Answer YES or "
                  "NO\n\nYES\n",
                                "Dear hotel,\nYES" },
                { "> Is it you?\nYES\n> Which code?\n123-456-786\n> Bye\n", "YES\n123-456-786" },
                /* above wins, so that a footer of a list or a company says nothing */
                { "YES\n" QUOTED "\nThis e-mail is confidential.\n", "YES" },
        };

        (void) state;
        CHECK_ALL(cases, 0);
}

static void nothing_but_a_quotation_is_said_to_be_nothing(void **state) {
        static const Case cases[] = {
                { "", NULL },
                { " \r\n\xc2\xa0\r\n", NULL },
                { QUOTED, NULL },
                { "On 1 May 2026, Hotel <k@h.test> wrote:\n" QUOTED, NULL },
                { "-----Original Message-----\nYES\n", NULL },
                { "Sent from my iPhone\n\n" QUOTED, NULL },
                { "\x01\x02", NULL },
        };

        (void) state;
        CHECK_ALL(cases, 0);
}

static void flowed_lines_are_joined(void **state) {
        static const Case cases[] = {
                { "My answer \r\nis YES\r\n> quoted \r\n> on\r\n", "My answer is YES" },
                { "a\r\n b\r\n From me", "a\nb\nFrom me" },
                { "YES\r\n-- \r\nBob", "YES" },
                { "On 1 May 2026, Hotel \r\n<k@h.test> wrote: \r\n> x\r\n", NULL },
        };
        static const Case joined[] = { { "123-4 \r\n56-786\r\n", "123-456-786" } };

        (void) state;
        CHECK_ALL(cases, REPLY_TEXT_FLOWED);
        CHECK_ALL(joined, REPLY_TEXT_FLOWED | REPLY_TEXT_DELSP);
}

static void html_answers_are_read(void **state) {
        static const Case cases[] = {
                { "<html><head><title>T</title><style>a{}</style></head><body>YES</body></html>",
                                "YES" },
                { "<div dir=\"ltr\">123-456-786<br></div><br><div class=\"gmail_quote\"><div "
                  "dir=\"ltr\" "
                  "class=\"gmail_attr\">On Sun Bob &lt;<a "
                  "href=\"mailto:k@h.test\">k@h.test</a>&gt; wrote:<br>"
                  "</div><blockquote class=\"gmail_quote\">NO<div>NO</div></blockquote></div>",
                                "123-456-786" },
                { "<p class=MsoNormal>JA, f&uuml;r mich<o:p></o:p></p><div "
                  "id=\"divRplyFwdMsg\"><b>Von:</b> x</div>"
                  "<div>NEIN</div>",
                                "JA, f\xc3\xbcr mich" },
                { "<div>JA</div><div id=appendonsend></div><hr><p>NEIN</p>", "JA" },
                { "<div>JA</div><div style='border-top:solid'><p><b>Von:</b> "
                  "Hotel<br><b>Gesendet:</b> So<br>"
                  "<b>An:</b> Bob<br><b>Betreff:</b> S</p></div><p>NEIN</p>",
                                "JA" },
                { "<div>Ja</div><div class=\"moz-cite-prefix\">Am 1.1. schrieb Hotel:<br></div>"
                  "<blockquote type=\"cite\">NEIN</blockquote>",
                                "Ja" },
                { "<blockquote type=cite>NO</blockquote><p>YES</p>", "YES" },
                { "a<br>b<div>c</div>d<p>e</p><ul><li>f<li>g</ul><table><tr><td>h<td>i</table>",
                                "a\nb\nc\nd\ne\nf\ng\nh i" },
                { "1 &lt; 2 &amp;&#38; &#x41;&eacute;&nbsp;&unknown; AT&T &#0;&#xd800;x",
                                "1 < 2 && A\xc3\xa9 &unknown; AT&T \xef\xbf\xbdx" },
                { "Y<!-- N -->E<script>if(a<b)NO</script>S<style>x</style>", "YES" },
                { "YES<div hidden>NO</div><span style=\"display:none\">N<span>O</span></span>",
                                "YES" },
                { "a < b <3 </> <!x> <?y?> c", "a < b <3 c" },
                { "YES <a title=\"a>b\" href='c>d'>l</a> <img alt=NO src=\"cid:x\">", "YES l" },
                { "YES<script>NO", "YES" },
                { "YES<a href=\"", "YES" },
                { "<blockquote><blockquote>N</blockquote></blockquote></blockquote>YES", "YES" },
                { "<div class=gmail_quote>NO</div>", NULL },
        };

        (void) state;
        CHECK_ALL(cases, REPLY_TEXT_HTML);
}

static void the_result_is_bounded_and_whole_characters(void **state) {
        static char mail[3 * REPLY_TEXT_MAX];
        char text[REPLY_TEXT_MAX + 1];

        (void) state;
        for (size_t shift = 0; shift < 4; shift++) {
                memset(mail, 'x', shift);
                for (size_t i = shift; i + 4 <= sizeof(mail); i += 4)
                        memcpy(mail + i, "\xf0\x9f\x94\x91", 4);
                assert_int_equal(reply_text(mail, sizeof(mail) - 4, 0, text), 0);
                assert_in_range(strlen(text), REPLY_TEXT_MAX - 3, REPLY_TEXT_MAX);
                assert_true(text_is_utf8(text, strlen(text)));
        }
        assert_int_equal(reply_text("\xff\xfe\0\x1b[1mJA\xc3", 10, 0, text), 0);
        assert_true(text_is_utf8(text, strlen(text)));
        assert_null(strchr(text, 0x1b));
}

/* A text that costs much at each line would take minutes here. */
static void bombs_take_linear_time(void **state) {
        static const char *const units[] = { "On 1 @ x\n",
                "From\n",
                "__________\n",
                "<div>",
                "<a ",
                "&#",
                "<!--",
                "<blockquote>",
                ">",
                "\n",
                "*",
                "a@b.c\n",
                "<script><",
                "<x y='" };
        char *mail = malloc(REPLY_TEXT_INPUT_MAX), text[REPLY_TEXT_MAX + 1];

        (void) state;
        assert_non_null(mail);
        for (size_t i = 0; i < N_ELEMENTS(units); i++) {
                size_t n = strlen(units[i]);

                for (size_t at = 0; at < REPLY_TEXT_INPUT_MAX; at++)
                        mail[at] = units[i][at % n];
                for (unsigned flags = 0; flags <= REPLY_TEXT_HTML; flags++)
                        assert_true(reply_text(mail, REPLY_TEXT_INPUT_MAX, flags, text) >= 0);
        }
        free(mail);
}

static void html_text_never_writes_beyond_its_room(void **state) {
        char text[64];

        (void) state;
        for (size_t room = 1; room < sizeof(text); room++) {
                memset(text, '#', sizeof(text));
                assert_in_range(html_text("<blockquote>\xf0\x9f\x94\x91 &auml;<p>x",
                                                26,
                                                text,
                                                room),
                                0,
                                room - 1);
                assert_int_equal(text[room], '#');
                assert_true(text_is_utf8(text, strlen(text)));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_text_above_a_quotation_is_the_answer),
                cmocka_unit_test(what_outlook_copies_is_no_answer),
                cmocka_unit_test(signatures_are_no_answer),
                cmocka_unit_test(answers_below_and_inside_a_quotation_are_found),
                cmocka_unit_test(nothing_but_a_quotation_is_said_to_be_nothing),
                cmocka_unit_test(flowed_lines_are_joined),
                cmocka_unit_test(html_answers_are_read),
                cmocka_unit_test(the_result_is_bounded_and_whole_characters),
                cmocka_unit_test(bombs_take_linear_time),
                cmocka_unit_test(html_text_never_writes_beyond_its_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
