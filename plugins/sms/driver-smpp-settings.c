/* The SMPP driver's settings, checked so that a slip ends the program and is said. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "credential.h"
#include "driver-smpp.h"
#include "log.h"
#include "plugin.h"

static int wrong(const char *name, const char *why) {
        log_error("setting %s: %s", name, why);
        return -EINVAL;
}

static int read_number(const json_t *settings,
                const char *name,
                const char *fallback,
                unsigned max,
                unsigned *ret) {
        const char *text = plugin_setting(settings, name, fallback);
        char *end;
        unsigned long number;

        errno = 0;
        number = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno != 0 || number < 1 || number > max) {
                log_error("setting %s: must be a number from 1 to %u", name, max);
                return -EINVAL;
        }
        *ret = (unsigned) number;
        return 0;
}

static int read_flag(const json_t *settings, const char *name, bool *ret) {
        const char *text = plugin_setting(settings, name, "no");

        *ret = streq(text, "yes");
        return *ret || streq(text, "no") ? 0 : wrong(name, "must be yes or no");
}

static bool is_loopback(const char *host) {
        struct in_addr address;

        return streq(host, "localhost") || streq(host, "::1") ||
               (inet_pton(AF_INET, host, &address) == 1 &&
                               ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
}

/* To another machine without TLS is for tunnels, and has to be meant. */
static int read_tls(const json_t *settings, const char *host, bool *ret) {
        int r = read_flag(settings, "tls", ret);

        if (r < 0 || *ret || is_loopback(host))
                return r;
        if (!plugin_setting(settings, "tls", NULL))
                return wrong("tls",
                                "it is missing, and host is another machine: tls = yes, or tls = "
                                "no where a tunnel protects the password and the texts");
        log_warning("no TLS to another machine: the password and all texts can be read on the way");
        return 0;
}

static int read_alphabet(const json_t *settings, SmsAlphabet *ret) {
        const char *text = plugin_setting(settings, "alphabet", "gsm7");

        if (streq(text, "gsm7"))
                *ret = SMS_GSM7;
        else if (streq(text, "latin1"))
                *ret = SMS_LATIN1;
        else if (streq(text, "ascii"))
                *ret = SMS_ASCII;
        else
                return wrong("alphabet", "must be gsm7, latin1 or ascii");
        return 0;
}

static int read_text(const json_t *settings, const char *name, size_t size, const char **ret) {
        *ret = plugin_setting(settings, name, "");
        return strlen(*ret) < size ? 0 : wrong(name, "is longer than SMPP allows");
}

static int read_password(Secret *ret) {
        int r = credential_read_line_or_empty("smpp-password", ret);

        if (r < 0) {
                log_error("credential smpp-password: %s", strerror(-r));
                return -EINVAL;
        }
        if (ret->size >= SMPP_PASSWORD_SIZE) {
                log_error("credential smpp-password: SMPP allows at most %d characters",
                                SMPP_PASSWORD_SIZE - 1);
                return -EINVAL;
        }
        return 0;
}

static int read_reading(const json_t *settings, SmppReading *ret) {
        ret->country_code = plugin_setting(settings, "country_code", NULL);
        ret->unknown_is_international = true;
        if (read_alphabet(settings, &ret->default_alphabet) < 0 ||
                        read_flag(settings, "one_is_gsm7", &ret->one_is_gsm7) < 0)
                return -EINVAL;
        return read_flag(settings, "packed", &ret->packed);
}

int smpp_settings_read(const json_t *settings, SmppSettings *ret, const char **ret_ca_file) {
        unsigned port;

        ret->host = plugin_setting(settings, "host", "");
        if (!ret->host[0])
                return wrong("host", "is missing");
        if (read_number(settings, "port", "2775", UINT16_MAX, &port) < 0 ||
                        read_number(settings, "window", "10", 1000, &ret->window) < 0 ||
                        read_number(settings,
                                        "enquire_seconds",
                                        "30",
                                        3600,
                                        &ret->enquire_seconds) < 0 ||
                        read_text(settings, "system_id", SMPP_SYSTEM_SIZE, &ret->system_id) < 0 ||
                        read_text(settings,
                                        "system_type",
                                        SMPP_SYSTEM_TYPE_SIZE,
                                        &ret->system_type) < 0 ||
                        read_tls(settings, ret->host, &ret->tls) < 0 ||
                        read_reading(settings, &ret->reading) < 0)
                return -EINVAL;
        ret->port = (uint16_t) port;
        *ret_ca_file = plugin_setting(settings, "ca_file", NULL);
        return read_password(&ret->password);
}
