#include "receive-link.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#include "receive-words.h"
#include "secret.h"

static bool is_allowed(const char *authority, const char *const *hosts) {
        for (size_t i = 0; hosts[i]; i++)
                if (strcasecmp(hosts[i], authority) == 0)
                        return true;
        return false;
}

/* A host without a port stands for port 443 alone, which is easily overlooked. */
static int refuse_relay(const char *authority, const char *const *hosts) {
        const int host_size = (int) strcspn(authority, authority[0] == '[' ? "]" : ":") +
                              (authority[0] == '[' ? 1 : 0);

        for (size_t i = 0; hosts[i]; i++)
                if (strlen(hosts[i]) == (size_t) host_size &&
                                strncasecmp(hosts[i], authority, (size_t) host_size) == 0)
                        return receive_say(RECEIVE_NOT_ALLOWED,
                                        "The relay %s is not among those that are allowed: "
                                        "--allow %s means port 443; write --allow %s.",
                                        authority,
                                        hosts[i],
                                        authority);
        return receive_say(RECEIVE_NOT_ALLOWED,
                        "The relay %s is not among those that are allowed. Name it with --allow if "
                        "you trust it.",
                        authority);
}

static int refuse_scheme(void) {
        return receive_say(RECEIVE_USAGE,
                        "The link does not begin with https://, and nothing else is safe. Ask the "
                        "sender for a right one.");
}

static int read_share_url(const char *text, const char *const *hosts, ReceiveLink *ret) {
        ShareUrl *url = &ret->url;
        int r;

        r = share_url_parse(text, url);
        if (r < 0)
                return receive_say_errno(r, "The link");
        if (r == SHARE_URL_E_SCHEME)
                return refuse_scheme();
        if (r > 0)
                return receive_say(RECEIVE_USAGE,
                                "This is no share URL (%s). Copy the whole link.",
                                share_url_error_name((ShareUrlError) r));
        if (!is_allowed(url->authority, hosts))
                return refuse_relay(url->authority, hosts);
        if (!streq(url->version, "v1"))
                return receive_say(RECEIVE_USAGE,
                                "This share URL speaks version %s; only v1 is known.",
                                url->version);
        memcpy(ret->authority, url->authority, sizeof(ret->authority));
        (void) snprintf(ret->subject, sizeof(ret->subject), "%s/%s", url->authority, url->mailbox);
        return 0;
}

/* The same link always names the same run; its R has 256 bits, so that its hash tells nothing. */
static void set_draft_r_subject(ReceiveLink *link) {
        uint8_t hash[32];

        (void) crypto_generichash(hash,
                        sizeof(hash),
                        (const uint8_t *) link->text,
                        strlen(link->text),
                        NULL,
                        0);
        text_hex(hash, sizeof(hash), link->subject);
}

static int read_draft_r_link(const char *text, const char *const *hosts, ReceiveLink *ret) {
        DraftRLink link;
        int r;

        r = draft_r_link_parse(text, &link);
        if (r == DRAFT_R_E_SCHEME)
                return refuse_scheme();
        if (r != 0)
                return receive_say(RECEIVE_USAGE,
                                "This is no complete link (%s). Copy the whole link, in quotes.",
                                draft_r_error_name((DraftRError) r));
        draft_r_template_authority(link.template, ret->authority);
        sodium_memzero(&link, sizeof(link));
        if (!is_allowed(ret->authority, hosts))
                return refuse_relay(ret->authority, hosts);
        ret->text = strdup(text);
        if (!ret->text)
                return receive_say_errno(-ENOMEM, "The link");
        set_draft_r_subject(ret);
        return 0;
}

int receive_link_read(const char *text, const char *const *hosts, ReceiveLink *ret) {
        int r;

        *ret = (ReceiveLink){ .is_draft_r = strstr(text, "#R1.") != NULL };
        ret->protocol_name = ret->is_draft_r ? "draft-r" : "draft-v";
        r = ret->is_draft_r ? read_draft_r_link(text, hosts, ret)
                            : read_share_url(text, hosts, ret);
        if (r != 0)
                receive_link_done(ret);
        return r;
}

int receive_link_require_secret(const ReceiveLink *link) {
        if (link->is_draft_r || link->url.secret_size > 0)
                return 0;
        return receive_say(RECEIVE_USAGE,
                        "The link is not complete: the part after # is missing. Copy the whole "
                        "link, in quotes; if the Secret came apart from it, append it after a #.");
}

void receive_link_done(ReceiveLink *link) {
        secret_free_string(link->text);
        share_url_done(&link->url);
        sodium_memzero(link, sizeof(*link));
}

void receive_link_root(const ReceiveLink *link,
                const uint8_t salt[RECEIVE_ROOT_SIZE],
                uint8_t ret[RECEIVE_ROOT_SIZE]) {
        uint8_t key[RECEIVE_ROOT_SIZE];

        assert(link->is_draft_r);
        (void) crypto_generichash(key,
                        sizeof(key),
                        (const uint8_t *) link->text,
                        strlen(link->text),
                        (const uint8_t *) "vestibule-receive",
                        sizeof("vestibule-receive") - 1);
        (void) crypto_generichash(
                        ret, RECEIVE_ROOT_SIZE, salt, RECEIVE_ROOT_SIZE, key, sizeof(key));
        sodium_memzero(key, sizeof(key));
}
