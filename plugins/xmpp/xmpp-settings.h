/* The channel's settings, checked. See xmpp_settings_read() for what they are. */
#pragma once

#include <jansson.h>

#include "address.h"
#include "xmpp-citizen.h"
#include "xmpp-stream.h"

enum {
        XMPP_SETTINGS_CONTACTS_MAX = 8,
};

typedef struct XmppSettings {
        XmppStreamConfig stream;
        Secret password;
        char jid[ADDRESS_SIZE_MAX];     /* what our messages come from: a bare JID */
        char domain[ADDRESS_SIZE_MAX];  /* a component's */
        char address[ADDRESS_SIZE_MAX]; /* jid as a canonical URI */
        const char *nick;               /* borrowed, as are the strings of stream; or NULL */
        const char *contact[XMPP_SETTINGS_CONTACTS_MAX + 1]; /* NULL-terminated; may be empty */
} XmppSettings;

/* Reads the settings, and the password from its credential:
 *
 *   mode      `component` (the default) or `client`
 *   jid       component: its domain, such as keys.example.org; client: the account's bare JID
 *   node      component: the local part of the address that messages come from; `keys`
 *   host      where the server listens; required for a component, by DNS for a client
 *   port      5347 or 5222
 *   ca_file   client: certificates to trust beside the system's
 *   resource  client: `vestibule`
 *   nick      the name that is shown to people
 *   contact   addresses for people who have something to complain about (XEP-0157)
 *
 * The credential is `xmpp-secret` for a component and `xmpp-password` for a client. Logs what is
 * wrong: -EINVAL, or the error of credential_read_line(). Settings must outlive *ret, which does
 * not move. */
int xmpp_settings_read(const json_t *settings, XmppSettings *ret);

void xmpp_settings_done(XmppSettings *settings);
