/* Commands about the texts that recipients get. They ask nobody: the texts are files, and what is
 * said of them here is what the gateway says when it starts. */
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistr.h>

#include "ctl.h"
#include "template.h"

#define OPERATORS_FOLDER "/etc/vestibule/templates"

typedef struct Channel {
        const char *name, *scheme;
} Channel;

static const Channel channels[] = { { "xmpp", "xmpp" }, { "email", "mailto" }, { "sms", "sms" } };

/* 0, or an exit status after saying what is wrong. */
static int load(const char *folder, TemplateSet **ret) {
        const char *directories[] = { folder ? folder : OPERATORS_FOLDER,
                template_installed_directory() };
        _cleanup_(freep) char *problems = NULL;
        struct stat st;
        int r;

        if (folder && (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))) {
                (void) fprintf(stderr, "vestibulectl: %s is no folder\n", folder);
                return EX_NOINPUT;
        }
        r = template_set_load(directories, N_ELEMENTS(directories), ret, &problems);
        if (r == TEMPLATE_E_INVALID) {
                for (char *line = strtok(problems, "\n"); line; line = strtok(NULL, "\n")) {
                        _cleanup_(freep) char *plain = ctl_plain(line);

                        (void) fprintf(stderr, "%s\n", plain);
                }
                return EX_DATAERR;
        }
        if (r < 0) {
                (void) fprintf(stderr, "vestibulectl: %s\n", strerror(-r));
                return EX_OSERR;
        }
        return 0;
}

int ctl_template_lint(const CtlOptions *options, char **arguments) {
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        size_t n_messages, n_variants, n_locales = 0;
        int r;

        (void) options;
        r = load(arguments[0], &set);
        if (r != 0)
                return r;
        template_set_count(set, &n_messages, &n_variants);
        (void) fputs("ok:", stdout);
        for (; template_set_locale_name(set, n_locales); n_locales++)
                (void) printf("%s %s",
                                n_locales > 0 ? "," : "",
                                template_set_locale_name(set, n_locales));
        (void) printf("; %zu languages of %zu messages, and %zu texts for one kind of address\n\n",
                        n_locales,
                        n_messages,
                        n_variants);
        template_set_hints(set, stdout);
        return 0;
}

/* A line after another, each two columns further in. */
static void print_indented(const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                (void) printf(n > 0 ? "  %.*s\n" : "%.*s\n", (int) n, text);
                text += n + (text[n] == '\n');
        }
}

static void print_sms(const char *text) {
        unsigned stranger, parts = template_sms_parts(text, &stranger);
        uint8_t letter[8] = { 0 };

        (void) u8_uctomb(letter, stranger, sizeof(letter) - 1);
        (void) printf(": %u part%s, ", parts, parts == 1 ? "" : "s");
        if (stranger)
                (void) printf("UCS-2, because U+%04X (%s) is not in the SMS alphabet",
                                stranger,
                                (const char *) letter);
        else
                (void) fputs("GSM-7", stdout);
}

static int preview(const TemplateSet *set,
                const CtlOptions *options,
                const char *locale,
                TemplateMessage message,
                const Channel *channel) {
        _cleanup_(freep) char *subject = NULL, *text = NULL;
        int r;

        r = template_preview(set,
                        locale,
                        channel->scheme,
                        message,
                        (int64_t) time(NULL),
                        options->time_zone,
                        &subject,
                        &text);
        if (r != 0) {
                (void) fprintf(stderr,
                                "vestibulectl: %s/%s cannot be shown\n",
                                locale,
                                template_message_name(message));
                return EX_SOFTWARE;
        }
        (void) printf("%s/%s on %s", locale, template_message_name(message), channel->name);
        if (streq(channel->scheme, "sms"))
                print_sms(text);
        (void) fputc('\n', stdout);
        if (subject)
                (void) printf("  Subject: %s\n\n", subject);
        print_indented(text);
        (void) fputc('\n', stdout);
        return 0;
}

static int unknown(const char *what, const char *given) {
        (void) fprintf(stderr, "vestibulectl: there is no %s %s; there are", what, given);
        if (streq(what, "channel"))
                for (size_t i = 0; i < N_ELEMENTS(channels); i++)
                        (void) fprintf(stderr, " %s", channels[i].name);
        else
                for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++)
                        (void) fprintf(stderr, " %s", template_message_name(m));
        (void) fputc('\n', stderr);
        return EX_USAGE;
}

static const Channel *channel_find(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(channels); i++)
                if (streq(channels[i].name, name))
                        return &channels[i];
        return NULL;
}

int ctl_template_preview(const CtlOptions *options, char **arguments) {
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        const Channel *only = options->channel ? channel_find(options->channel) : NULL;
        TemplateMessage first = 0, last = _TEMPLATE_MESSAGE_MAX - 1;
        const char *locale;
        int r;

        if (options->channel && !only)
                return unknown("channel", options->channel);
        if (arguments[0]) {
                first = last = template_message_from_name(arguments[0]);
                if (first == _TEMPLATE_MESSAGE_MAX)
                        return unknown("message", arguments[0]);
        }
        r = load(options->folder, &set);
        if (r != 0)
                return r;
        locale = template_locale(set, options->locale, NULL);
        if (options->locale && strncasecmp(options->locale, locale, strcspn(locale, "-")) != 0)
                (void) fprintf(stderr,
                                "There are no texts in %s; who has that language gets these, "
                                "unless the policy names another.\n",
                                options->locale);
        for (TemplateMessage m = first; r == 0 && m <= last; m++)
                for (size_t i = 0; r == 0 && i < N_ELEMENTS(channels); i++)
                        if (!only || only == &channels[i])
                                r = preview(set, options, locale, m, &channels[i]);
        return r;
}
