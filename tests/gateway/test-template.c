/* Texts that reach a person: the ones that are installed, the lint, rendering, and small words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "code.h"
#include "rules.h"
#include "template.h"
#include "words.h"

static const char *const shipped[] = { "en", "de", "fr", "es" };

static TemplateSet *load(void) {
        const char *directories[] = { "/nonexistent/templates", TEST_TEMPLATES };
        _cleanup_(freep) char *problems = NULL;
        TemplateSet *set = NULL;

        if (template_set_load(directories, 2, &set, &problems) != 0)
                fail_msg("%s", problems ? problems : "?");
        return set;
}

static TemplateValues some_values(void) {
        return (TemplateValues){ .value = {
                                                 [TEMPLATE_VALUE_SENDER] = "Hotel Adler",
                                                 [TEMPLATE_VALUE_KIND] = "a room key",
                                                 [TEMPLATE_VALUE_TAG] = "7KQ4",
                                                 [TEMPLATE_VALUE_LEFT] = "for 23 hours",
                                                 [TEMPLATE_VALUE_CODE] = "the nine digits",
                                                 [TEMPLATE_VALUE_TRIES] = "2 tries",
                                                 [TEMPLATE_VALUE_LINK] =
                                                                 "https://relay.example/v1/m/x#k",
                                                 [TEMPLATE_VALUE_FACT] = "your booking number",
                                                 [TEMPLATE_VALUE_SECRET] = "123-456-786",
                                                 [TEMPLATE_VALUE_NUMBER] = "4711",
                                                 [TEMPLATE_VALUE_KEY] = "#thesecondhalf",
                                 } };
}

static void the_installed_texts_pass_the_lint_and_fit_the_sms_alphabet(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        _cleanup_(freep) char *hints = NULL;
        size_t size;
        FILE *file = open_memstream(&hints, &size);

        (void) state;
        assert_string_equal(template_locale(set, "en", NULL), "en");
        for (size_t i = 0; i < N_ELEMENTS(shipped); i++)
                assert_string_equal(template_locale(set, shipped[i], NULL), shipped[i]);
        template_set_hints(set, file);
        assert_int_equal(fclose(file), 0);
        assert_null(strstr(hints, "U+"));
        assert_null(strstr(hints, "4 parts"));
        assert_non_null(strstr(hints, "  de/invitation.sms: 2 parts\n"));
}

static void texts_that_need_more_parts_than_are_sent_are_named(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        _cleanup_(freep) char *over_one = NULL, *over_two = NULL, *over_three = NULL;

        (void) state;
        assert_int_equal(template_set_longer(set, 1, &over_one), 0);
        assert_non_null(strstr(over_one, "en/invitation.sms 2, "));
        assert_non_null(strstr(over_one, "de/invitation.sms 2, "));
        assert_null(strstr(over_one, "/over"));
        assert_int_equal(template_set_longer(set, 2, &over_two), 0);
        assert_string_equal(over_two,
                        "de/link.sms 3, de/link-part.sms 3, de/link-address.sms 3, en/link.sms 3, "
                        "en/link-part.sms 3, en/link-address.sms 3, es/link.sms 3, "
                        "es/link-part.sms 3, es/link-address.sms 3, fr/link.sms 3, "
                        "fr/link-part.sms 3, fr/link-address.sms 3");
        assert_int_equal(template_set_longer(set, 3, &over_three), 0);
        assert_null(over_three);
}

/* A link and a code, or the two halves of a link, in one message would be all that a thief needs.
 */
static void a_link_a_code_and_a_key_are_each_in_their_own_messages(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        TemplateValues values = some_values();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(shipped) * 2; i++)
                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        _cleanup_(freep) char *subject = NULL, *text = NULL;

                        assert_int_equal(template_render(set,
                                                         shipped[i / 2],
                                                         i % 2 ? "sms" : NULL,
                                                         m,
                                                         &values,
                                                         &subject,
                                                         &text),
                                        0);
                        assert_int_equal(strstr(text, "relay.example") != NULL,
                                        m == TEMPLATE_LINK || m == TEMPLATE_LINK_PART ||
                                                        m == TEMPLATE_LINK_ADDRESS);
                        assert_int_equal(strstr(text, "123-456-786") != NULL, m == TEMPLATE_CODE);
                        assert_int_equal(strstr(text, "#thesecondhalf") != NULL,
                                        m == TEMPLATE_LINK_KEY);
                        assert_int_equal(strstr(text, "4711") != NULL, m == TEMPLATE_APPROVAL);
                        assert_null(strchr(text, '{'));
                        assert_true(strlen(text) < 700);
                        if (!subject)
                                continue;
                        assert_null(strstr(subject, "relay.example"));
                        assert_null(strstr(subject, "123-456-786"));
                        assert_null(strstr(subject, "#thesecondhalf"));
                        assert_null(strstr(subject, "4711"));
                }
}

/* Who holds two invitations must see which one a message means. */
static void every_message_names_the_sender_or_the_reference(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        TemplateValues values = some_values();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(shipped) * 2; i++)
                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        _cleanup_(freep) char *subject = NULL, *text = NULL;

                        assert_int_equal(template_render(set,
                                                         shipped[i / 2],
                                                         i % 2 ? "sms" : NULL,
                                                         m,
                                                         &values,
                                                         &subject,
                                                         &text),
                                        0);
                        if (!strstr(text, "Hotel Adler") && !strstr(text, "7KQ4") &&
                                        m != TEMPLATE_HELP_TAG)
                                fail_msg("%s: %s", shipped[i / 2], text);
                }
}

static void an_invitation_says_who_what_how_long_and_how_to_refuse(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        TemplateValues values = some_values();

        (void) state;
        assert_int_equal(template_render(set,
                                         "en",
                                         NULL,
                                         TEMPLATE_INVITATION,
                                         &values,
                                         &subject,
                                         &text),
                        0);
        assert_string_equal(subject, "Hotel Adler shares a room key with you (7KQ4)");
        assert_non_null(strstr(text, "Hotel Adler shares a room key with you."));
        assert_non_null(strstr(text, "the nine digits"));
        assert_non_null(strstr(text, "7KQ4"));
        assert_non_null(strstr(text, "valid for 23 hours"));
        assert_non_null(strstr(text, "reply NO."));
        assert_non_null(strstr(text, "NOT ME"));
}

static void rendering_is_the_same_bytes_each_time(void **state) {
        _cleanup_(template_set_freep) TemplateSet *one = load(), *two = load();
        _cleanup_(freep) char *subject_1 = NULL, *text_1 = NULL, *subject_2 = NULL, *text_2 = NULL;
        TemplateValues values = some_values();

        (void) state;
        assert_int_equal(template_render(one,
                                         "de",
                                         NULL,
                                         TEMPLATE_LINK,
                                         &values,
                                         &subject_1,
                                         &text_1),
                        0);
        assert_int_equal(template_render(two,
                                         "de",
                                         NULL,
                                         TEMPLATE_LINK,
                                         &values,
                                         &subject_2,
                                         &text_2),
                        0);
        assert_string_equal(subject_1, subject_2);
        assert_string_equal(text_1, text_2);
}

static void a_value_cannot_break_or_turn_a_line(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        TemplateValues values = some_values();

        (void) state;
        values.value[TEMPLATE_VALUE_SENDER] = "A\r\nB\x1b\u202e\u200b\u2028C{link}\xc3";
        assert_int_equal(template_render(set,
                                         "en",
                                         NULL,
                                         TEMPLATE_DECLINED,
                                         &values,
                                         &subject,
                                         &text),
                        0);
        assert_null(subject);
        assert_non_null(strstr(text, " ABC{link}? is told"));
}

static void a_value_that_a_text_needs_and_lacks_is_told(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        TemplateValues values = some_values();

        (void) state;
        values.value[TEMPLATE_VALUE_TRIES] = NULL;
        assert_int_equal(template_render(set, "en", NULL, TEMPLATE_WRONG, &values, &subject, &text),
                        TEMPLATE_E_VALUE);
        assert_null(text);
        assert_int_equal(template_render(set,
                                         "en",
                                         NULL,
                                         TEMPLATE_HELP_TAG,
                                         &values,
                                         &subject,
                                         &text),
                        0);
}

static void the_language_falls_back_step_by_step(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();

        (void) state;
        assert_string_equal(template_locale(set, "de", NULL), "de");
        assert_string_equal(template_locale(set, "de-AT", NULL), "de");
        assert_string_equal(template_locale(set, "DE_ch-1996", "en"), "de");
        assert_string_equal(template_locale(set, "fr-CA", "de-CH"), "fr");
        assert_string_equal(template_locale(set, "es-419", NULL), "es");
        assert_string_equal(template_locale(set, "it-CH", "de-CH"), "de");
        assert_string_equal(template_locale(set, "it", "pt"), "en");
        assert_string_equal(template_locale(set, NULL, NULL), "en");
        assert_string_equal(template_locale(set, "", "-"), "en");
        assert_string_equal(template_locale(set,
                                            "dexxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                                            NULL),
                        "en");
}

static void lint(TemplateMessage message, const char *text, const char *problem) {
        _cleanup_(template_freep) Template *template = NULL;
        _cleanup_(freep) char *found = NULL;
        int r;

        r = template_parse(text, strlen(text), message, &template, &found);
        if (!problem && r != 0)
                fail_msg("refused: %s: %s", text, found);
        if (problem && (r != TEMPLATE_E_INVALID || !strstr(found, problem)))
                fail_msg("%s: wanted \"%s\", got \"%s\"",
                                text,
                                problem,
                                r == 0 ? "no problem" : found);
}

static void texts_that_break_a_rule_are_refused(void **state) {
        (void) state;
        lint(TEMPLATE_HELP_TAG, "The end.", NULL);
        lint(TEMPLATE_HELP_TAG, "Braces {{ and }}.\n", NULL);
        lint(TEMPLATE_HELP_TAG, "", "there is no text");
        lint(TEMPLATE_HELP_TAG, "\n \n", "there is no text");
        lint(TEMPLATE_HELP_TAG, "{sender}", "1: {sender} is not allowed");
        lint(TEMPLATE_HELP_TAG,
                        "a\nb {nonsense}",
                        "2: there is no value of this name in braces: {nonsense}");
        lint(TEMPLATE_HELP_TAG, "a {sender", "{ without }");
        lint(TEMPLATE_HELP_TAG, "a }", "} without {");
        lint(TEMPLATE_HELP_TAG, "see https://x.example", "web address");
        lint(TEMPLATE_HELP_TAG, "see WWW.x.example", "web address");
        lint(TEMPLATE_HELP_TAG, "bell \a", "U+0007");
        lint(TEMPLATE_HELP_TAG, "\xff", "not UTF-8");
        lint(TEMPLATE_HELP_TAG, "x\u202ey", "U+202E");
        lint(TEMPLATE_OVER, "The end ({tag}).", NULL);
        lint(TEMPLATE_DECLINED, "Declined.", "1: neither {sender} nor {tag} says");
        lint(TEMPLATE_DECLINED, "Declined ({tag}).", NULL);
        lint(TEMPLATE_OVER, "The end.", "1: {tag} is missing");
        lint(TEMPLATE_WRONG, "{tries}.", "1: neither {sender} nor {tag} says");
        lint(TEMPLATE_WRONG, "Wrong ({tag}).", "{tries} is missing");
        lint(TEMPLATE_WRONG, "{tag} {tries} {secret}", "{secret} is not allowed");
        lint(TEMPLATE_LINK, "subject: a\n\n{sender} {tag} {link} {secret}", "{secret} is not");
        lint(TEMPLATE_LINK_ADDRESS, "subject: a\n\n{sender} {tag} {link} {key}", "{key} is not");
        lint(TEMPLATE_LINK_KEY, "subject: a\n\n{sender} {tag} {link} {key}", "{link} is not");
        lint(TEMPLATE_CODE,
                        "subject: {secret}\n\n{secret} {kind} {sender} {tag} {left}",
                        "{secret} is not allowed in a subject");
        lint(TEMPLATE_WRONG, "{tag} {tries} {link}", "{link} is not allowed");
        lint(TEMPLATE_LINK, "subject: a\n\n{sender} {tag} {link}", NULL);
        lint(TEMPLATE_LINK, "{sender} {tag} {link}", "needs a `subject: ` line");
        lint(TEMPLATE_LINK,
                        "subject: {link}\n\n{sender} {tag} {link}",
                        "{link} is not allowed in a subject");
        lint(TEMPLATE_LINK, "subject: {sender}\n\n{tag} {link}", "{sender} is missing");
        lint(TEMPLATE_LINK, "subject: a\n{sender} {tag} {link}", "2: an empty line belongs");
        lint(TEMPLATE_INVITATION, "subject: a\n\n{sender} {kind} {tag} {left} {code}", NULL);
        lint(TEMPLATE_INVITATION,
                        "subject: a\n\n{sender} {kind} {tag} {left}",
                        "{code} is missing");
}

static void write_file(const char *folder, const char *name, const char *text) {
        char path[512];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void the_operator_overrides_single_files_and_a_new_language_must_be_whole(void **state) {
        char folder[] = "/tmp/test-template-XXXXXX", en[64], it[64], path[128];
        const char *directories[] = { folder, TEST_TEMPLATES };
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        _cleanup_(freep) char *subject = NULL, *text = NULL, *problems = NULL;
        TemplateValues values = some_values();

        (void) state;
        assert_non_null(mkdtemp(folder));
        (void) snprintf(en, sizeof(en), "%s/en", folder);
        (void) snprintf(it, sizeof(it), "%s/it", folder);
        assert_int_equal(mkdir(en, 0700), 0);
        write_file(en, "over", "It is over ({tag}).\n");
        assert_int_equal(template_set_load(directories, 2, &set, &problems), 0);
        assert_int_equal(template_render(set, "en", NULL, TEMPLATE_OVER, &values, &subject, &text),
                        0);
        assert_string_equal(text, "It is over (7KQ4).");

        assert_int_equal(mkdir(it, 0700), 0);
        write_file(it, "over", "Finito ({tag}) {link}.\n");
        set = template_set_free(set);
        assert_int_equal(template_set_load(directories, 2, &set, &problems), TEMPLATE_E_INVALID);
        assert_non_null(strstr(problems, "/it/over:1: {link} is not allowed"));
        assert_non_null(strstr(problems, "/it:0: `words` is missing"));
        assert_non_null(strstr(problems, "/it:0: `invitation` is missing"));

        (void) snprintf(path, sizeof(path), "%s/over", en);
        (void) unlink(path);
        (void) snprintf(path, sizeof(path), "%s/over", it);
        (void) unlink(path);
        (void) rmdir(en);
        (void) rmdir(it);
        free(TAKE_PTR(problems));
        assert_int_equal(template_set_load(directories, 1, &set, &problems), TEMPLATE_E_INVALID);
        assert_non_null(strstr(problems, "there is no folder `en`"));
        (void) rmdir(folder);
}

/* What would never be sent is told, and what an editor has left is not a text. */
static void files_and_folders_that_are_no_texts_are_named(void **state) {
        char folder[] = "/tmp/test-template-XXXXXX", en[64], other[64], path[128];
        const char *directories[] = { folder, TEST_TEMPLATES };
        static const char *const fine[] = { "over~", ".over.swp", "done.dpkg-old" };
        static const char *const wrong[] = { "invitaton", "over.fax", "over.", "words.sms" };
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        _cleanup_(freep) char *problems = NULL;

        (void) state;
        assert_non_null(mkdtemp(folder));
        (void) snprintf(en, sizeof(en), "%s/en", folder);
        (void) snprintf(other, sizeof(other), "%s/fr_CA", folder);
        assert_int_equal(mkdir(en, 0700), 0);
        for (size_t i = 0; i < N_ELEMENTS(fine); i++)
                write_file(en, fine[i], "{nonsense}\n");
        assert_int_equal(template_set_load(directories, 2, &set, &problems), 0);
        set = template_set_free(set);

        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                write_file(en, wrong[i], "x ({tag})\n");
        assert_int_equal(mkdir(other, 0700), 0);
        assert_int_equal(template_set_load(directories, 2, &set, &problems), TEMPLATE_E_INVALID);
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
                char wanted[128];

                (void) snprintf(wanted,
                                sizeof(wanted),
                                "/en:0: there is no message `%s`\n",
                                wrong[i]);
                assert_non_null(strstr(problems, wanted));
        }
        assert_non_null(strstr(problems, "the folder `fr_CA` is not named as a language"));
        for (size_t i = 0; i < N_ELEMENTS(fine) + N_ELEMENTS(wrong); i++) {
                (void) snprintf(path,
                                sizeof(path),
                                "%s/%s",
                                en,
                                i < N_ELEMENTS(fine) ? fine[i] : wrong[i - N_ELEMENTS(fine)]);
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(rmdir(en), 0);
        assert_int_equal(rmdir(other), 0);
        assert_int_equal(rmdir(folder), 0);
}

/* As somebody would get it: a code for minutes, an invitation for a day, and a subject on mails. */
static void a_preview_is_plausible(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        static const struct {
                TemplateMessage message;
                const char *locale, *scheme, *zone, *subject, *part;
        } rows[] = {
                { TEMPLATE_INVITATION, "en", "xmpp", NULL, NULL, "valid for 24 hours" },
                { TEMPLATE_CODE,
                                "en",
                                "mailto",
                                NULL,
                                "Your code for a room key from Hotel Adler (7KQ4)",
                                "valid for 10 minutes" },
                { TEMPLATE_CODE_SENT, "fr", "sms", NULL, NULL, "valable pendant 10 minutes" },
                { TEMPLATE_INVITATION_YES,
                                "es",
                                "sms",
                                "Europe/Madrid",
                                NULL,
                                "Vale hasta el 24 de noviembre a las 13:00 CET" },
                { TEMPLATE_OVER,
                                "de",
                                "mailto",
                                NULL,
                                "Re: Hotel Adler hat einen Zimmerschlüssel für Sie (7KQ4)",
                                "beendet" },
                { TEMPLATE_HELP_TAG, "de", "mailto", NULL, NULL, "mehrere Einladungen" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                _cleanup_(freep) char *subject = NULL, *text = NULL;

                assert_int_equal(template_preview(set,
                                                 rows[i].locale,
                                                 rows[i].scheme,
                                                 rows[i].message,
                                                 1795435200, /* 2026-11-23T12:00:00Z */
                                                 rows[i].zone,
                                                 &subject,
                                                 &text),
                                0);
                if (!strstr(text, rows[i].part))
                        fail_msg("%s", text);
                if (rows[i].subject)
                        assert_string_equal(subject, rows[i].subject);
                else
                        assert_null(subject);
        }
        for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++)
                assert_int_equal(template_message_from_name(template_message_name(m)), m);
        assert_int_equal(template_message_from_name("nonsense"), _TEMPLATE_MESSAGE_MAX);
        assert_null(template_message_name(_TEMPLATE_MESSAGE_MAX));
}

static void sms_parts_are_counted_as_phones_do(void **state) {
        unsigned stranger;
        char text[400];

        (void) state;
        memset(text, 'a', sizeof(text));
        text[160] = 0;
        assert_int_equal(template_sms_parts(text, &stranger), 1);
        text[160] = 'a';
        text[161] = 0;
        assert_int_equal(template_sms_parts(text, &stranger), 2);
        text[161] = 'a'; /* a part of several has 152, for the reference has 16 bits */
        text[304] = 0;
        assert_int_equal(template_sms_parts(text, &stranger), 2);
        text[304] = 'a';
        text[305] = 0;
        assert_int_equal(template_sms_parts(text, &stranger), 3);
        assert_int_equal(stranger, 0);
        assert_int_equal(template_sms_parts("äöüß ÄÖÜ é à Ω € [] {}", &stranger), 1);
        assert_int_equal(stranger, 0);
        assert_int_equal(template_sms_parts("„Hotel“", &stranger), 1);
        assert_int_equal(stranger, 0x201e);
        memset(text, '[', 81); /* two septets each */
        text[81] = 0;
        assert_int_equal(template_sms_parts(text, &stranger), 2);
}

static void durations_are_rounded_down_to_one_unit(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        static const struct {
                int64_t seconds;
                const char *en, *de;
        } cases[] = {
                { -5, "1 minute", "1 Minute" },
                { 59, "1 minute", "1 Minute" },
                { 119, "1 minute", "1 Minute" },
                { 600, "10 minutes", "10 Minuten" },
                { 3600, "60 minutes", "60 Minuten" },
                { 7199, "119 minutes", "119 Minuten" },
                { 7200, "2 hours", "2 Stunden" },
                { 86399, "23 hours", "23 Stunden" },
                { 72 * 3600 - 1, "71 hours", "71 Stunden" },
                { 72 * 3600, "3 days", "3 Tage" },
        };
        char text[WORDS_SIZE];

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                words_duration(set, "en", cases[i].seconds, text);
                assert_string_equal(text, cases[i].en);
                words_duration(set, "de", cases[i].seconds, text);
                assert_string_equal(text, cases[i].de);
        }
        words_tries(set, "en", 1, text);
        assert_string_equal(text, "1 try");
        words_tries(set, "de", 2, text);
        assert_string_equal(text, "2 Versuche");
}

static void expect_text(const TemplateSet *set,
                const char *scheme,
                TemplateMessage message,
                const char *subject,
                const char *text) {
        TemplateValues values = some_values();
        _cleanup_(freep) char *found_subject = NULL, *found = NULL;

        assert_int_equal(template_render(set,
                                         "en",
                                         scheme,
                                         message,
                                         &values,
                                         &found_subject,
                                         &found),
                        0);
        assert_string_equal(found, text);
        if (subject)
                assert_string_equal(found_subject, subject);
        else
                assert_null(found_subject);
}

static void a_kind_of_address_may_have_texts_of_its_own(void **state) {
        static const char *const others[] = { NULL, "mailto", "xmpp", "echo" };
        static const char *const files[] = { "over.sms", "link.mailto", "help.mailto", "wrong" };
        char folder[] = "/tmp/test-template-XXXXXX", en[64], path[128];
        const char *directories[] = { folder, TEST_TEMPLATES };
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        _cleanup_(freep) char *problems = NULL;

        (void) state;
        assert_non_null(mkdtemp(folder));
        (void) snprintf(en, sizeof(en), "%s/en", folder);
        assert_int_equal(mkdir(en, 0700), 0);
        write_file(en, "over.sms", "{tag} is over, {{sms}}.\n");
        write_file(en, "link.mailto", "{sender} {tag} {link}\n");
        write_file(en, "help.mailto", "subject: Help\n\n{sender} {kind} {tag} {left} {code}\n");
        assert_int_equal(template_set_load(directories, 2, &set, &problems), 0);
        expect_text(set, "sms", TEMPLATE_OVER, NULL, "7KQ4 is over, {sms}.");
        for (size_t i = 0; i < N_ELEMENTS(others); i++)
                expect_text(set,
                                others[i],
                                TEMPLATE_OVER,
                                NULL,
                                "This invitation (7KQ4) has ended. If you still expect a key, "
                                "please ask the one who wanted to send it.");
        /* Without a subject of its own it has that of all. */
        expect_text(set,
                        "mailto",
                        TEMPLATE_LINK,
                        "Hotel Adler sends you a room key (7KQ4)",
                        "Hotel Adler 7KQ4 https://relay.example/v1/m/x#k");
        expect_text(set,
                        "mailto",
                        TEMPLATE_HELP,
                        "Help",
                        "Hotel Adler a room key 7KQ4 for 23 hours the nine digits");

        /* Who writes a text of their own does not find that one channel says something else. */
        write_file(en, "wrong", "Wrong. {tries} ({tag})\n");
        set = template_set_free(set);
        assert_int_equal(template_set_load(directories, 2, &set, &problems), 0);
        expect_text(set, "sms", TEMPLATE_WRONG, NULL, "Wrong. 2 tries (7KQ4)");
        expect_text(set, NULL, TEMPLATE_WRONG, NULL, "Wrong. 2 tries (7KQ4)");

        /* The same lint. */
        write_file(en, "over.sms", "{tag} {left}");
        set = template_set_free(set);
        assert_int_equal(template_set_load(directories, 2, &set, &problems), TEMPLATE_E_INVALID);
        assert_non_null(strstr(problems, "en/over.sms:1: {left} is not allowed"));
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", en, files[i]);
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(rmdir(en), 0);
        assert_int_equal(rmdir(folder), 0);
}

static void moments_are_told_in_the_recipients_zone(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();
        char text[WORDS_SIZE];

        (void) state;
        words_moment(set, "en", 1795521600, "Europe/Berlin", text); /* 2026-11-24T12:00:00Z */
        assert_string_equal(text, "Tue 24 Nov, 13:00 CET");
        words_moment(set, "de", 1783339200, "Europe/Berlin", text); /* 2026-07-06T12:00:00Z */
        assert_string_equal(text, "Mo, 6. Juli, 14:00 Uhr CEST");
        words_moment(set, "en", 1795521600, "Asia/Kathmandu", text);
        assert_string_equal(text, "Tue 24 Nov, 17:45 UTC+0545");
        words_moment(set, "en", 1795521600, "Mars/Olympus", text);
        assert_string_equal(text, "Tue 24 Nov, 12:00 UTC");
        words_moment(set, "en", 1795521600, "../../../etc/passwd", text);
        assert_string_equal(text, "Tue 24 Nov, 12:00 UTC");
        words_left(set, "en", 1795435200, 1795521600, "Europe/Berlin", text);
        assert_string_equal(text, "until Tue 24 Nov, 13:00 CET");
        words_left(set, "fr", 1795435200, 1795521600, "Europe/Paris", text);
        assert_string_equal(text, "jusqu'au mar. 24 nov. à 13:00 CET");
        words_left(set, "es", 1795435200, 1795521600, "Europe/Madrid", text);
        assert_string_equal(text, "hasta el 24 de noviembre a las 13:00 CET");
        words_left(set, "de", 1795435200, 1795435200 + 82800, NULL, text);
        assert_string_equal(text, "noch 23 Stunden");
        assert_true(words_zone_is_known("Europe/Berlin"));
        assert_false(words_zone_is_known("Europe"));
        assert_false(words_zone_is_known("tzdata.zi"));
        assert_false(words_zone_is_known(""));
}

static void a_zone_file_of_any_bytes_is_refused_or_read_within_its_bounds(void **state) {
        uint8_t data[200] = { 'T', 'Z', 'i', 'f', '2' };
        char abbreviation[8];
        int32_t offset;

        (void) state;
        for (size_t size = 0; size < sizeof(data); size++)
                assert_int_equal(words_zone_offset(data, size, 0, &offset, abbreviation), -EBADMSG);
        for (size_t i = 5; i < sizeof(data); i++) {
                memset(data + 5, 0, sizeof(data) - 5);
                data[i] = 0xff;
                (void) words_zone_offset(data, sizeof(data), 0, &offset, abbreviation);
        }
}

static void every_class_and_code_has_its_words(void **state) {
        _cleanup_(template_set_freep) TemplateSet *set = load();

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(shipped); i++) {
                for (RulesClass class = 0; class < RULES_CLASS_MAX; class ++)
                        assert_true(strlen(words_kind(set, shipped[i], rules_class_name(class))) >
                                        3);
                for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++)
                        assert_true(strlen(words_code(set, shipped[i], code_format_name(format))) >
                                        3);
        }
        assert_string_equal(words_kind(set, "de", "hotel"), "einen Zimmerschlüssel");
        assert_string_equal(words_fact(set, "fr", "surname"), "votre nom de famille");
        assert_string_equal(words_fact(set, "en", "shoe-size"), words_fact(set, "en", "other"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_installed_texts_pass_the_lint_and_fit_the_sms_alphabet),
                cmocka_unit_test(texts_that_need_more_parts_than_are_sent_are_named),
                cmocka_unit_test(a_link_a_code_and_a_key_are_each_in_their_own_messages),
                cmocka_unit_test(every_message_names_the_sender_or_the_reference),
                cmocka_unit_test(an_invitation_says_who_what_how_long_and_how_to_refuse),
                cmocka_unit_test(rendering_is_the_same_bytes_each_time),
                cmocka_unit_test(a_value_cannot_break_or_turn_a_line),
                cmocka_unit_test(a_value_that_a_text_needs_and_lacks_is_told),
                cmocka_unit_test(the_language_falls_back_step_by_step),
                cmocka_unit_test(texts_that_break_a_rule_are_refused),
                cmocka_unit_test(a_kind_of_address_may_have_texts_of_its_own),
                cmocka_unit_test(
                                the_operator_overrides_single_files_and_a_new_language_must_be_whole),
                cmocka_unit_test(files_and_folders_that_are_no_texts_are_named),
                cmocka_unit_test(a_preview_is_plausible),
                cmocka_unit_test(sms_parts_are_counted_as_phones_do),
                cmocka_unit_test(durations_are_rounded_down_to_one_unit),
                cmocka_unit_test(moments_are_told_in_the_recipients_zone),
                cmocka_unit_test(a_zone_file_of_any_bytes_is_refused_or_read_within_its_bounds),
                cmocka_unit_test(every_class_and_code_has_its_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
