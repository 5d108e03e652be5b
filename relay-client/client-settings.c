#include "client-settings.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "credential.h"
#include "draft-v.h"
#include "log.h"
#include "plugin.h"
#include "share-url.h"
#include "text.h"

static const char variable[] = "{tigress_location}";

/* A setting that is a string or an array of strings. */
static size_t setting_list(const json_t *settings, const char *name, const char **ret, size_t max) {
        const json_t *value = json_object_get(settings, name);
        size_t n = 0;

        if (json_is_string(value)) {
                ret[0] = json_string_value(value);
                return 1;
        }
        for (; n < json_array_size(value) && n < max; n++) {
                ret[n] = json_string_value(json_array_get(value, n));
                if (!ret[n])
                        return 0;
        }
        return n;
}

/* A setting that is one of these words, the first of which is the default. -1: another. */
static int
setting_word(const json_t *settings, const char *name, const char *const *words, size_t n_words) {
        const char *value = plugin_setting(settings, name, words[0]);

        for (size_t i = 0; i < n_words; i++)
                if (streq(value, words[i]))
                        return (int) i;
        return -1;
}

static int set_protocol(ClientSettings *s, const json_t *settings) {
        const char *name = plugin_setting(settings, "protocol", "draft-v");

        s->protocol = relay_protocol_find(name);
        if (!s->protocol) {
                log_error("protocol must be draft-v or draft-r");
                return -EINVAL;
        }
        s->is_draft_r = streq(name, "draft-r");
        s->release_terms.has_own_encryption = s->is_draft_r;
        return 0;
}

/* The relay itself, where no others are named. */
static int set_hosts(ClientSettings *s, const json_t *settings, const char *authority) {
        const char *names[CLIENT_HOSTS_MAX];
        size_t n;

        n = setting_list(settings, "allow_host", names, CLIENT_HOSTS_MAX);
        if (n == 0)
                names[n++] = authority;
        for (size_t i = 0; i < n; i++) {
                s->hosts[i] = strdup(names[i]);
                if (!s->hosts[i])
                        return -ENOMEM;
        }
        s->terms.hosts = (const char *const *) s->hosts;
        return 0;
}

/* Draft V: the relay. */
static int set_url(ClientSettings *s, const json_t *settings) {
        char authority[SHARE_URL_AUTHORITY_SIZE];

        s->url = strdup(plugin_setting(settings, "url", ""));
        if (!s->url)
                return -ENOMEM;
        if (share_url_authority(s->url, authority) != 0) {
                log_error("the relay's url must be https://HOST or https://HOST:PORT, without a "
                          "path");
                return -EINVAL;
        }
        s->terms.url = s->url;
        return set_hosts(s, settings, authority);
}

/* Draft R: where messages lie. A link has no place for what would follow the variable. */
static int set_template(ClientSettings *s, const json_t *settings) {
        const char *template = plugin_setting(settings, "template", "");
        const size_t size = strlen(template), end = strlen(variable);
        char authority[SHARE_URL_AUTHORITY_SIZE];
        int r;

        if (draft_r_template_check(template) != 0 || size < end ||
                        !streq(template + size - end, variable)) {
                log_error("template must be an https URL that ends with its only variable, %s",
                                variable);
                return -EINVAL;
        }
        s->template = strdup(template);
        if (!s->template)
                return -ENOMEM;
        s->terms.template = s->template;
        draft_r_template_authority(template, authority);
        r = set_hosts(s, settings, authority);
        if (r < 0)
                return r;
        for (size_t i = 0; s->hosts[i]; i++)
                if (strcasecmp(s->hosts[i], authority) == 0)
                        return 0;
        log_error("template leads to a host that allow_host does not name");
        return -EINVAL;
}

static int set_algorithm(ClientSettings *s, const json_t *settings) {
        static const char *const words[] = {
                [PAYLOAD_AES_128_GCM] = "aes-128-gcm", [PAYLOAD_AES_256_GCM] = "aes-256-gcm"
        };
        int word = setting_word(settings, "algorithm", words, N_ELEMENTS(words));

        if (word < 0) {
                log_error("algorithm must be aes-128-gcm or aes-256-gcm");
                return -EINVAL;
        }
        s->release_terms.algorithm = (PayloadAlgorithm) word;
        return 0;
}

static int set_dialect(ClientSettings *s, const json_t *settings) {
        const char *legacy = plugin_setting(settings, "legacy", NULL);

        if (legacy && !draft_v_dialect_from_legacy(legacy, &s->terms.dialect)) {
                log_error("legacy must be sct04, or absent");
                return -EINVAL;
        }
        return 0;
}

static int set_attestation(ClientSettings *s) {
        int r = credential_read_line("relay-attestation", &s->attestation);

        if (r == -ENOENT || r == -ENXIO)
                return 0;
        if (r == 0)
                for (size_t i = 0; i < s->attestation.size; i++)
                        if (s->attestation.data[i] <= ' ' || s->attestation.data[i] > '~')
                                r = -EBADMSG;
        if (r < 0 || s->attestation.size == 0) {
                log_error("credential relay-attestation must be one word of visible ASCII, and "
                          "readable by its owner only");
                return r < 0 ? r : -EBADMSG;
        }
        s->terms.attestation = (const char *) s->attestation.data;
        return 0;
}

static int set_suite(ClientSettings *s, const json_t *settings) {
        static const char *const suites[] = {
                [DRAFT_R_AES_128_GCM_SHA256] = "aes-128-gcm-sha256",
                [DRAFT_R_AES_256_GCM_SHA384] = "aes-256-gcm-sha384",
                [DRAFT_R_CHACHA20_POLY1305_SHA256] = "chacha20-poly1305-sha256",
        };
        static const char *const modes[] = {
                [DRAFT_R_CONTEXT_HASH] = "hash", [DRAFT_R_CONTEXT_RAW] = "raw"
        };
        int suite = setting_word(settings, "suite", suites, N_ELEMENTS(suites));
        int mode = setting_word(settings, "context", modes, N_ELEMENTS(modes));

        if (suite < 0 || mode < 0) {
                log_error("suite must be %s, %s or %s, and context hash or raw",
                                suites[0],
                                suites[1],
                                suites[2]);
                return -EINVAL;
        }
        s->terms.suite = (DraftRSuite) suite;
        s->terms.mode = (DraftRContextMode) mode;
        return 0;
}

static int set_keys(ClientSettings *s) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        int r;

        r = credential_read("relay-key", &content);
        if (r < 0) {
                log_error("credential relay-key: %s",
                                r == -EPERM   ? "others can read it; its mode must be 0600 or 0400"
                                : r == -ENXIO ? "$CREDENTIALS_DIRECTORY is not set"
                                              : strerror(-r));
                return r;
        }
        r = relay_private_keys_read(&content, &s->keys);
        if (r < 0)
                log_error("credential relay-key is not what vestibule-relay-client --make-key "
                          "writes");
        s->release_terms.keys = s->keys;
        return r;
}

/* Optional: it takes part only where recipients answer. */
static int set_front_keys(ClientSettings *s) {
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        int r;

        r = credential_read("front-key.pub", &content);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                log_error("credential front-key.pub: %s",
                                r == -EPERM ? "others can write it; its mode must be 0600 or 0400"
                                            : strerror(-r));
                return r;
        }
        s->front_keys = calloc(1, sizeof(*s->front_keys));
        if (!s->front_keys)
                return -ENOMEM;
        r = relay_public_keys_read(content.data, content.size, s->front_keys);
        if (r < 0)
                log_error("credential front-key.pub is not what vestibule-api --make-key writes");
        s->release_terms.front_keys = s->front_keys;
        return r;
}

int client_settings_new(ClientSettings **ret, const json_t *settings) {
        _cleanup_(client_settings_freep) ClientSettings *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        r = set_protocol(s, settings);
        if (r == 0)
                r = s->is_draft_r ? set_template(s, settings) : set_url(s, settings);
        if (r == 0)
                r = set_algorithm(s, settings);
        if (r == 0)
                r = set_dialect(s, settings);
        if (r == 0)
                r = set_suite(s, settings);
        if (r == 0)
                r = set_keys(s);
        if (r == 0)
                r = set_front_keys(s);
        if (r == 0)
                r = set_attestation(s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

static bool pin_is_valid(const char *pin) {
        _cleanup_(freep) uint8_t *hash = NULL;
        size_t size;

        return strncmp(pin, "sha256//", 8) == 0 &&
               text_from_base64(pin + 8, false, &hash, &size) == 0 && size == 32;
}

static int check_file(const char *name, const char *file) {
        if (!file || access(file, R_OK) == 0)
                return 0;
        log_error("%s %s cannot be read: %s", name, file, strerror(errno));
        return -EINVAL;
}

int client_settings_http(const json_t *settings, sd_event *event, HttpClient **ret) {
        const char *pins[CLIENT_PINS_MAX], *ca_file = plugin_setting(settings, "ca_file", NULL);
        char joined[CLIENT_PINS_MAX * 64] = "";
        size_t n = setting_list(settings, "pinned_key", pins, CLIENT_PINS_MAX), used = 0;
        int r;

        for (size_t i = 0; i < n; i++) {
                if (!pin_is_valid(pins[i])) {
                        log_error("pinned_key must be sha256// and base64 of a SHA-256 hash");
                        return -EINVAL;
                }
                used += (size_t) snprintf(joined + used,
                                sizeof(joined) - used,
                                "%s%s",
                                i > 0 ? ";" : "",
                                pins[i]);
        }
        r = check_file("ca_file", ca_file);
        if (r < 0)
                return r;

        r = http_client_new(ret,
                        event,
                        &(HttpPolicy){
                                        .ca_file = ca_file,
                                        .pinned_keys = n > 0 ? joined : NULL,
                                        .user_agent = "vestibule",
                                        .answer_max = DRAFT_V_ANSWER_MAX,
                        });
        if (r < 0)
                log_error("the TLS library refuses its settings: %s", strerror(-r));
        return r;
}

int client_settings_mint(const json_t *settings,
                sd_event *event,
                const RelayPrivateKeys *keys,
                MintFetchAnswer answer,
                void *userdata,
                MintFetch **ret) {
        static const char *const words[] = { "no", "yes" };
        const char *ca_file = plugin_setting(settings, "mint_ca_file", NULL);
        int word = setting_word(settings, "mint_allow_private", words, N_ELEMENTS(words));
        int r;

        if (word < 0) {
                log_error("mint_allow_private must be yes or no");
                return -EINVAL;
        }
        r = check_file("mint_ca_file", ca_file);
        if (r < 0)
                return r;
        r = mint_fetch_new(ret,
                        event,
                        &(MintFetchOptions){
                                        .ca_file = ca_file,
                                        .allow_private = word == 1,
                                        .keys = keys,
                                        .answer = answer,
                                        .userdata = userdata,
                        });
        if (r < 0)
                log_error("the TLS library refuses the settings for minting: %s", strerror(-r));
        return r;
}

ClientSettings *client_settings_free(ClientSettings *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < CLIENT_HOSTS_MAX; i++)
                free(s->hosts[i]);
        free(s->url);
        free(s->template);
        secret_done(&s->attestation);
        (void) relay_private_keys_free(s->keys);
        free(s->front_keys);
        free(s);
        return NULL;
}
