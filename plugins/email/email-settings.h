/* The channel's settings, checked. See email_settings_read() for what they are. */
#pragma once

#include <jansson.h>

#include "address.h"
#include "mail-submit.h"
#include "mail-token.h"
#include "mail-write.h"

enum {
        EMAIL_SETTINGS_ROUTES_MAX = 8,
        EMAIL_SETTINGS_WINDOW_MAX = 64, /* each is a thread */
};

typedef struct EmailSettings {
        MailSubmitConfig submit;
        Secret password;
        char url[512];                         /* submit's */
        char address[ADDRESS_SIZE_MAX];        /* From, as a canonical URI */
        char sender[MAIL_TOKEN_LOCAL_MAX + 1]; /* its local part */
        char sender_domain[MAIL_WRITE_DOMAIN_MAX + 1];
        char domain[MAIL_WRITE_DOMAIN_MAX + 1]; /* of reply addresses and return paths */
        const char *name;                       /* borrowed; or NULL */
        const char *authserv_id;                /* borrowed; or NULL */
        MailTokenPlace token;
        uint8_t *key;                                  /* token's, in guarded memory */
        const char *routes[EMAIL_SETTINGS_ROUTES_MAX]; /* borrowed: entries of `receive` */
        size_t n_routes;
} EmailSettings;

/* Reads the settings and credentials:
 *
 *   from         the address that people see, its local part in ASCII; required
 *   name         the name before it
 *   domain       of reply addresses and return paths; that of `from`
 *   mailbox      local part of both before the separator; that of `from`; "" where the whole domain
 *                is ours
 *   separator    "+"
 *   submit       smtp://HOST[:PORT] or smtps://HOST[:PORT]; smtp://127.0.0.1:25
 *   starttls     required, if-offered or no; required, but on loopback if-offered
 *   username     with the credential submit-password
 *   ca_file      issuers to trust instead of the system's, PEM
 *   window       mails on their way at the same time, 4; 64 at most
 *   receive      list of places, see mail-route.h
 *   authserv_id  of the border server that checks DMARC
 *
 * The credential mail-key is 32 bytes in base64. Logs what is wrong: -EINVAL, or the error of
 * credential_read_line(). Settings must outlive *ret, which does not move. */
int email_settings_read(const json_t *settings, EmailSettings *ret);

void email_settings_done(EmailSettings *settings);
