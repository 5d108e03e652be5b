#include "email-settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "log.h"
#include "plugin.h"
#include "text.h"

enum {
        HOST_MAX = 255,
};

static int invalid(const char *name, const char *what) {
        log_error("setting %s: %s", name, what);
        return -EINVAL;
}

/* --- our addresses --- */

static int read_domain(const char *text, char ret[MAIL_WRITE_DOMAIN_MAX + 1]) {
        char uri[sizeof("mailto:x@") + MAIL_WRITE_DOMAIN_MAX], canonical[ADDRESS_SIZE_MAX];
        const char *reason, *domain = canonical + strlen("mailto:x@");
        int n = snprintf(uri, sizeof(uri), "mailto:x@%s", text);

        if (n < 0 || (size_t) n >= sizeof(uri) || address_canonical(uri, canonical, &reason) != 0 ||
                        strlen(domain) > MAIL_WRITE_DOMAIN_MAX)
                return -EINVAL;
        memcpy(ret, domain, strlen(domain) + 1);
        return 0;
}

/* In ASCII, because it stands in every mail, and most servers carry no other. */
static int read_from(const json_t *settings, EmailSettings *s) {
        const char *from = plugin_setting(settings, "from", NULL), *reason, *local, *at;
        char uri[ADDRESS_SIZE_MAX];
        int n;

        if (!from)
                return invalid("from", "it is missing");
        n = snprintf(uri, sizeof(uri), "mailto:%s", from);
        if (n < 0 || (size_t) n >= sizeof(uri) || address_canonical(uri, s->address, &reason) != 0)
                return invalid("from", "it is not one plain address");
        if (!text_is_ascii(s->address, strlen(s->address)))
                return invalid("from", "what stands before its @ is not ASCII");
        local = s->address + strlen("mailto:");
        at = strchr(local, '@');
        if (at - local > MAIL_TOKEN_LOCAL_MAX || strlen(at + 1) > MAIL_WRITE_DOMAIN_MAX)
                return invalid("from", "it is too long");
        (void) snprintf(s->sender, sizeof(s->sender), "%.*s", (int) (at - local), local);
        (void) snprintf(s->sender_domain, sizeof(s->sender_domain), "%s", at + 1);
        return 0;
}

static int read_addresses(const json_t *settings, EmailSettings *s) {
        const char *separator = plugin_setting(settings, "separator", "+");
        int r = read_from(settings, s);

        if (r < 0)
                return r;
        s->name = plugin_setting(settings, "name", NULL);
        if (s->name && !mail_write_is_line(s->name))
                return invalid("name", "it is too long, or more than one plain line");
        if (read_domain(plugin_setting(settings, "domain", s->sender_domain), s->domain) < 0)
                return invalid("domain", "it is not a domain");
        s->token.mailbox = plugin_setting(settings, "mailbox", s->sender);
        s->token.separator = separator[0];
        if ((separator[0] && separator[1]) || mail_token_check_place(&s->token) != 0)
                return invalid("mailbox",
                                "it must be at most 20 letters, digits, \".\", \"_\" and \"-\", "
                                "and separator one of + - = _");
        s->authserv_id = plugin_setting(settings, "authserv_id", NULL);
        return 0;
}

/* --- the server --- */

static bool is_loopback(const char *host) {
        struct in_addr address;

        return streq(host, "localhost") || streq(host, "[::1]") ||
               (inet_pton(AF_INET, host, &address) == 1 &&
                               ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
}

/* libcurl takes the name for EHLO from the path of the URL. */
static int read_url(const json_t *settings, EmailSettings *s, bool *ret_tls, bool *ret_loopback) {
        const char *url = plugin_setting(settings, "submit", "smtp://127.0.0.1:25");
        const char *start = strstr(url, "://"), *end;
        char host[HOST_MAX + 1];
        size_t size;

        *ret_tls = strncmp(url, "smtps://", 8) == 0;
        if ((strncmp(url, "smtp://", 7) != 0 && !*ret_tls) || strpbrk(url, "?#@ \r\n"))
                return invalid("submit", "it is neither smtp://HOST[:PORT] nor smtps://…");
        start += 3;
        size = strcspn(start, "/");
        end = start + size;
        if (end[0] && end[1])
                return invalid("submit", "it has a path");
        size = start[0] == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/");
        if (size == 0 || size > HOST_MAX)
                return invalid("submit", "it has no host");
        (void) snprintf(host, sizeof(host), "%.*s", (int) size, start);
        *ret_loopback = is_loopback(host);
        if ((size_t) snprintf(s->url,
                            sizeof(s->url),
                            "%.*s/%s",
                            (int) (end - url),
                            url,
                            s->sender_domain) >= sizeof(s->url))
                return invalid("submit", "it is too long");
        s->submit.url = s->url;
        return 0;
}

static int read_starttls(const json_t *settings, EmailSettings *s, bool tls, bool loopback) {
        const char *word =
                        plugin_setting(settings, "starttls", loopback ? "if-offered" : "required");

        if (streq(word, "required"))
                s->submit.starttls = MAIL_STARTTLS_REQUIRED;
        else if (streq(word, "if-offered"))
                s->submit.starttls = MAIL_STARTTLS_IF_OFFERED;
        else if (streq(word, "no"))
                s->submit.starttls = MAIL_STARTTLS_NO;
        else
                return invalid("starttls", "it is none of `required`, `if-offered`, `no`");
        if (tls || loopback || s->submit.starttls == MAIL_STARTTLS_REQUIRED)
                return 0;
        if (s->submit.username)
                return invalid("starttls",
                                "without it a password would go over the network in clear");
        log_warning("mail may leave this computer without encryption, and links are in it");
        return 0;
}

static int read_window(const json_t *settings, EmailSettings *s) {
        const char *text = plugin_setting(settings, "window", "4");
        char *end;
        long window = strtol(text, &end, 10);

        if (*end || end == text || window < 1)
                return invalid("window", "it is not a number from 1");
        if (window > EMAIL_SETTINGS_WINDOW_MAX) {
                window = EMAIL_SETTINGS_WINDOW_MAX;
                log_notice("setting window: %ld it is, which is the most", window);
        }
        s->submit.window = (unsigned) window;
        return 0;
}

static int read_server(const json_t *settings, EmailSettings *s) {
        bool tls, loopback;
        int r;

        s->submit.patience = mail_submit_usual_patience;
        s->submit.username = plugin_setting(settings, "username", NULL);
        s->submit.ca_file = plugin_setting(settings, "ca_file", NULL);
        if (s->submit.ca_file && access(s->submit.ca_file, R_OK) < 0)
                return invalid("ca_file", strerror(errno));
        r = read_url(settings, s, &tls, &loopback);
        if (r < 0)
                return r;
        r = read_starttls(settings, s, tls, loopback);
        return r < 0 ? r : read_window(settings, s);
}

static int read_routes(const json_t *settings, EmailSettings *s) {
        const json_t *list = json_object_get(settings, "receive"), *entry;
        size_t i;

        if (json_is_string(list)) {
                s->routes[s->n_routes++] = json_string_value(list);
                return 0;
        }
        if (json_array_size(list) > EMAIL_SETTINGS_ROUTES_MAX)
                return invalid("receive", "there are more than 8");
        json_array_foreach(list, i, entry) {
                s->routes[i] = json_string_value(entry);
                if (!s->routes[i])
                        return invalid("receive", "it is not a list of strings");
                s->n_routes++;
        }
        return 0;
}

/* --- credentials --- */

static int read_credential(const char *name, Secret *ret) {
        int r = credential_read_line(name, ret);

        if (r == -ENOENT || r == -ENXIO)
                log_error("there is no credential %s; vestibule-email(8) says where it comes from",
                                name);
        else if (r < 0)
                log_error("credential %s: %s",
                                name,
                                r == -EPERM ? "others can read it; chmod 600" : strerror(-r));
        return r;
}

static int read_key(EmailSettings *s) {
        _cleanup_(secret_done) Secret text = SECRET_NULL;
        int r = read_credential("mail-key", &text);

        if (r < 0)
                return r;
        s->key = sodium_malloc(MAIL_TOKEN_KEY_SIZE);
        if (!s->key)
                return -ENOMEM;
        r = text_from_base64_exactly((const char *) text.data, s->key, MAIL_TOKEN_KEY_SIZE);
        if (r < 0) {
                log_error("credential mail-key: it is not 32 bytes in base64");
                return r;
        }
        (void) sodium_mprotect_readonly(s->key);
        s->token.key = s->key;
        return 0;
}

int email_settings_read(const json_t *settings, EmailSettings *ret) {
        int r;

        *ret = (EmailSettings){ 0 };
        r = read_addresses(settings, ret);
        if (r == 0)
                r = read_server(settings, ret);
        if (r == 0)
                r = read_routes(settings, ret);
        if (r == 0)
                r = read_key(ret);
        if (r == 0 && ret->submit.username)
                r = read_credential("submit-password", &ret->password);
        ret->submit.password = &ret->password;
        return r;
}

void email_settings_done(EmailSettings *settings) {
        secret_done(&settings->password);
        sodium_free(settings->key);
        settings->key = NULL;
}
