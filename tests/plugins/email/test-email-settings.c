/* Which settings the mail channel starts with, and which it refuses. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "email-settings.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static char folder[] = "/tmp/vestibule-settings-XXXXXX";
static EmailSettings settings;

static void put(const char *name, const char *content) {
        char path[128];
        FILE *file;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        (void) unlink(path);
        if (!content)
                return;
        file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(content, file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(chmod(path, 0600), 0);
}

static int setup(void **state) {
        (void) state;
        return secret_init() == 0 && mkdtemp(folder) &&
                                               setenv("CREDENTIALS_DIRECTORY", folder, 1) == 0
                               ? 0
                               : -1;
}

static int teardown(void **state) {
        (void) state;
        put("mail-key", NULL);
        put("submit-password", NULL);
        return rmdir(folder);
}

/* Reads settings as JSON with single quotes. */
static int read_settings(const char *text) {
        json_auto_t *parsed = NULL;
        static json_t *kept; /* what the result borrows from */
        char *copy = strdup(text);
        int r;

        assert_non_null(copy);
        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        parsed = json_loads(copy, 0, NULL);
        free(copy);
        assert_non_null(parsed);
        json_decref(kept);
        kept = json_incref(parsed);
        r = email_settings_read(parsed, &settings);
        if (r != 0)
                email_settings_done(&settings);
        return r;
}

static void an_address_is_enough(void **state) {
        (void) state;
        put("mail-key", KEY "\n");
        assert_int_equal(read_settings("{'from': 'Keys@Hotel.TEST'}"), 0);
        assert_string_equal(settings.address, "mailto:Keys@hotel.test");
        assert_string_equal(settings.sender, "Keys");
        assert_string_equal(settings.domain, "hotel.test");
        assert_string_equal(settings.token.mailbox, "Keys");
        assert_int_equal(settings.token.separator, '+');
        assert_string_equal(settings.submit.url, "smtp://127.0.0.1:25/hotel.test");
        assert_int_equal(settings.submit.starttls, MAIL_STARTTLS_IF_OFFERED);
        assert_int_equal(settings.submit.window, 4);
        assert_null(settings.submit.username);
        assert_int_equal(settings.token.key[31], 31);
        assert_int_equal(settings.n_routes, 0);
        email_settings_done(&settings);
}

static void everything_can_be_said(void **state) {
        (void) state;
        put("mail-key", KEY);
        put("submit-password", "pass word\n");
        assert_int_equal(read_settings("{'from': 'keys@hotel.test', 'name': 'Hotel', 'domain': "
                                       "'r.bücher.test', 'mailbox': '', 'submit': "
                                       "'smtps://mx.test:465/', 'username': 'u', 'window': '65', "
                                       "'authserv_id': 'mx.test', 'receive': ['lmtp:/a', "
                                       "'maildir:/b']}"),
                        0);
        assert_string_equal(settings.domain, "r.xn--bcher-kva.test");
        assert_string_equal(settings.sender_domain, "hotel.test");
        assert_string_equal(settings.token.mailbox, "");
        assert_string_equal(settings.submit.url, "smtps://mx.test:465/hotel.test");
        assert_int_equal(settings.submit.starttls, MAIL_STARTTLS_REQUIRED);
        assert_string_equal((const char *) settings.submit.password->data, "pass word");
        assert_int_equal(settings.submit.window, 64);
        assert_int_equal(settings.n_routes, 2);
        assert_string_equal(settings.routes[1], "maildir:/b");
        email_settings_done(&settings);
}

static void what_cannot_work_is_refused(void **state) {
        static const char *const wrong[] = {
                "{}",
                "{'from': 'Keys <keys@hotel.test>'}",
                "{'from': 'keys'}",
                "{'from': 'schl\xc3\xbcssel@hotel.test', 'mailbox': 'keys'}",
                "{'from': 'a@b.test', 'name': 'two\\nlines'}",
                "{'from': 'a@b.test', 'name': 'two\\u0085lines'}",
                "{'from': 'a@b.test', 'name': 'two\\u2028lines'}",
                "{'from': 'a@b.test', 'name': 'turned \\u202eround'}",
                "{'from': 'a@b.test', 'name': 'a \\u001bescape'}",
                "{'from': 'a@b.test', 'domain': 'no domain'}",
                "{'from': 'a@b.test', 'mailbox': 'much-too-long-for-a-token'}",
                "{'from': 'a@b.test', 'separator': '#'}",
                "{'from': 'a@b.test', 'separator': '.'}",
                "{'from': 'a@b.test', 'separator': '++'}",
                "{'from': 'a@b.test', 'submit': 'http://mx.test'}",
                "{'from': 'a@b.test', 'submit': 'smtp://'}",
                "{'from': 'a@b.test', 'submit': 'smtp://u:p@mx.test'}",
                "{'from': 'a@b.test', 'submit': 'smtp://mx.test/path'}",
                "{'from': 'a@b.test', 'starttls': 'perhaps'}",
                "{'from': 'a@b.test', 'window': '0'}",
                "{'from': 'a@b.test', 'window': 'x'}",
                "{'from': 'a@b.test', 'ca_file': '/nowhere/at/all'}",
                "{'from': 'a@b.test', 'receive': ['a','a','a','a','a','a','a','a','a']}",
        };

        (void) state;
        put("mail-key", KEY);
        for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
                if (read_settings(wrong[i]) != -EINVAL)
                        fail_msg("taken: %s", wrong[i]);
}

static void a_password_never_goes_over_the_network_in_clear(void **state) {
        (void) state;
        put("mail-key", KEY);
        put("submit-password", "p");
        assert_int_equal(read_settings("{'from': 'a@b.test', 'submit': 'smtp://mx.test:587', "
                                       "'username': 'u', 'starttls': 'if-offered'}"),
                        -EINVAL);
        assert_int_equal(read_settings("{'from': 'a@b.test', 'submit': 'smtp://mx.test:587', "
                                       "'username': 'u', 'starttls': 'no'}"),
                        -EINVAL);
        assert_int_equal(read_settings("{'from': 'a@b.test', 'submit': 'smtp://127.0.0.1.mx.test', "
                                       "'username': 'u', 'starttls': 'no'}"),
                        -EINVAL);
        assert_int_equal(read_settings("{'from': 'a@b.test', 'submit': 'smtp://mx.test:587', "
                                       "'username': 'u'}"),
                        0);
        assert_int_equal(settings.submit.starttls, MAIL_STARTTLS_REQUIRED);
        email_settings_done(&settings);
        assert_int_equal(read_settings("{'from': 'a@b.test', 'submit': 'smtp://[::1]:25', "
                                       "'username': 'u', 'starttls': 'no'}"),
                        0);
        email_settings_done(&settings);
}

static void the_credentials_are_needed(void **state) {
        (void) state;
        put("mail-key", NULL);
        assert_int_equal(read_settings("{'from': 'a@b.test'}"), -ENOENT);
        put("mail-key", "AAEC");
        assert_int_equal(read_settings("{'from': 'a@b.test'}"), -EBADMSG);
        put("mail-key", KEY);
        put("submit-password", NULL);
        assert_int_equal(read_settings("{'from': 'a@b.test', 'username': 'u'}"), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_address_is_enough),
                cmocka_unit_test(everything_can_be_said),
                cmocka_unit_test(what_cannot_work_is_refused),
                cmocka_unit_test(a_password_never_goes_over_the_network_in_clear),
                cmocka_unit_test(the_credentials_are_needed),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
