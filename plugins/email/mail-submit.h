/* Mails on their way to the mail server, by libcurl: a window of connections that are kept, what
 * waits for one of them, and whether the server is there at all.
 *
 * Each connection has a thread, because libcurl waits for the server's last word on a mail (the
 * reply to its content, for which RFC 5321 section 4.5.3.2.6 grants ten minutes) inside the call
 * that sends the content, in its multi interface as well. The threads know libcurl and one mail;
 * everything else, and every call of this header, is of the thread of the loop.
 *
 * While the server is away, it is asked now and then whether it is back, and no mail is taken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "secret.h"
#include "smtp-outcome.h"

typedef struct MailSubmit MailSubmit;

typedef enum MailStarttls {
        MAIL_STARTTLS_REQUIRED,
        MAIL_STARTTLS_IF_OFFERED,
        MAIL_STARTTLS_NO,
} MailStarttls;

/* Seconds. */
typedef struct MailSubmitPatience {
        unsigned connect, answer;        /* for a connection with TLS, and for each reply */
        unsigned retry_first, retry_max; /* between looks whether the server is back */
        unsigned login_retry;            /* when it refuses our credentials */
} MailSubmitPatience;

extern const MailSubmitPatience mail_submit_usual_patience;

/* Borrowed; must outlive the MailSubmit. */
typedef struct MailSubmitConfig {
        const char *url; /* with the name for EHLO as its path */
        MailStarttls starttls;
        const char *username; /* NULL: no AUTH */
        const Secret *password;
        const char *ca_file; /* instead of the system's; or NULL */
        unsigned window;
        MailSubmitPatience patience;
} MailSubmitConfig;

/* Borrowed until its end is told. */
typedef struct MailSubmitMail {
        const char *return_path, *recipient, *envelope_id;
        const char *data;
        size_t size;
} MailSubmitMail;

typedef struct MailSubmitOps {
        /* A mail's end. mail is what mail_submit_send() was given. */
        void (*done)(void *mail, const SmtpOutcome *outcome, void *userdata);

        /* Whether mail can leave; at each change, first once the server was asked. */
        void (*status)(bool up, const char *reason, void *userdata);
} MailSubmitOps;

/* Begins, and asks the server whether it would take mail. Neither callback is called from inside
 * any function of this header. -ENOMEM, -EAGAIN. */
int mail_submit_new(MailSubmit **ret,
                sd_event *event,
                const MailSubmitConfig *config,
                const MailSubmitOps *ops,
                void *userdata);

/* How many seconds until it is worth asking again, at least 1; 0: mail_submit_send() takes a mail.
 * ret_reason says why, and may be NULL. */
unsigned mail_submit_wait(const MailSubmit *submit, const char **ret_reason);

/* Sends a mail, at once or when a connection is free. One whose recipient needs SMTPUTF8 is refused
 * by a server that does not offer it, before it was told anything of it. -ENOMEM: it is not taken.
 */
int mail_submit_send(MailSubmit *submit, const MailSubmitMail *mail, void *mail_userdata);

/* Ends all without a call; what is under way is cut off. Takes NULL, returns NULL. */
MailSubmit *mail_submit_free(MailSubmit *submit);
DEFINE_CLEANUP(MailSubmit, mail_submit_free)
