#include "xmpp-settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "credential.h"
#include "log.h"
#include "plugin.h"

static int invalid(const char *name, const char *what) {
        log_error("setting %s: %s", name, what);
        return -EINVAL;
}

static int read_jid(const json_t *settings, XmppSettings *s) {
        const char *jid = plugin_setting(settings, "jid", NULL), *reason;
        const char *node = plugin_setting(settings, "node", "keys");
        char text[ADDRESS_SIZE_MAX];
        int n;

        if (!jid)
                return invalid("jid", "it is missing");
        if (s->stream.component && strchr(jid, '@'))
                return invalid("jid", "a component's is a domain, such as keys.example.org");
        n = s->stream.component ? snprintf(text, sizeof(text), "%s@%s", node, jid)
                                : snprintf(text, sizeof(text), "%s", jid);
        if (n < 0 || (size_t) n >= sizeof(text) || strchr(text, '/'))
                return invalid("jid", "it is too long, or has a resource");
        if (address_from_jid(text, s->address, &reason) != 0)
                return invalid("jid", reason ? reason : "out of memory");
        if (address_jid(s->address, s->jid) < 0)
                return invalid("jid", "it is no address");
        (void) snprintf(s->domain, sizeof(s->domain), "%s", strchr(s->jid, '@') + 1);
        s->stream.jid = s->stream.component ? s->domain : s->jid;
        return 0;
}

static int read_server(const json_t *settings, XmppSettings *s) {
        const char *port = plugin_setting(settings, "port", NULL);
        char *end;
        long number;

        s->stream.host = plugin_setting(settings, "host", NULL);
        if (!s->stream.host && s->stream.component)
                return invalid("host", "a component needs it");
        s->stream.port = s->stream.component ? 5347 : 5222;
        if (port) {
                number = strtol(port, &end, 10);
                if (*end || number < 1 || number > 65535)
                        return invalid("port", "it is not a number from 1 to 65535");
                s->stream.port = (uint16_t) number;
        }
        s->stream.ca_file = plugin_setting(settings, "ca_file", NULL);
        if (s->stream.ca_file && access(s->stream.ca_file, R_OK) < 0)
                return invalid("ca_file", strerror(errno));
        s->stream.resource = plugin_setting(settings, "resource", "vestibule");
        return 0;
}

static int read_contact(const json_t *settings, XmppSettings *s) {
        const json_t *list = json_object_get(settings, "contact"), *entry;
        size_t i;

        if (json_is_string(list)) {
                s->contact[0] = json_string_value(list);
                return 0;
        }
        if (json_array_size(list) > XMPP_SETTINGS_CONTACTS_MAX)
                return invalid("contact", "there are more than 8");
        json_array_foreach(list, i, entry) {
                s->contact[i] = json_string_value(entry);
                if (!s->contact[i])
                        return invalid("contact", "it is not a list of strings");
        }
        return 0;
}

static int read_password(XmppSettings *s) {
        const char *name = s->stream.component ? "xmpp-secret" : "xmpp-password";
        int r = credential_read_line(name, &s->password);

        if (r == -ENOENT || r == -ENXIO)
                log_error("there is no credential %s; the unit takes it from "
                          "/etc/credstore/vestibule.NAME.%s",
                                name,
                                s->stream.component ? "secret" : "password");
        else if (r < 0)
                log_error("credential %s: %s",
                                name,
                                r == -EPERM ? "others can read it; chmod 600" : strerror(-r));
        s->stream.password = &s->password;
        return r;
}

int xmpp_settings_read(const json_t *settings, XmppSettings *ret) {
        const char *mode = plugin_setting(settings, "mode", "component");
        int r;

        *ret = (XmppSettings){ .stream.component = streq(mode, "component") };
        if (!ret->stream.component && !streq(mode, "client"))
                return invalid("mode", "it is neither `component` nor `client`");
        ret->nick = plugin_setting(settings, "nick", NULL);
        r = read_jid(settings, ret);
        if (r == 0)
                r = read_server(settings, ret);
        if (r == 0)
                r = read_contact(settings, ret);
        return r == 0 ? read_password(ret) : r;
}

void xmpp_settings_done(XmppSettings *settings) {
        secret_done(&settings->password);
}
