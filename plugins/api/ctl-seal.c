/* vestibulectl seal: seals what is shared to the relay client's key on the tenant's own machine, so
 * that neither the API nor the gateway ever sees it (SEALING.md). */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sysexits.h>

#include "address.h"
#include "ctl.h"
#include "envelope.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "relay-key.h"
#include "share-limits.h"
#include "text.h"
#include "time-text.h"

enum {
        /* Longer than any share lives, from its start to the end of its mailbox. */
        ENVELOPE_SECONDS = 67 * 3600,
};

static int say(int status, const char *text) {
        (void) fprintf(stderr, "vestibulectl: %s\n", text);
        return status;
}

static int check_options(const CtlOptions *options) {
        uint8_t bytes[16];

        if (options->share ? options->policy || options->n_to > 0
                           : !options->policy || options->n_to == 0)
                return say(EX_USAGE,
                                "seal needs --policy and --to for a new share, or --share for a "
                                "further message");
        if (options->share && text_from_id("shr_", options->share, bytes) < 0)
                return say(EX_USAGE, "a share's id is shr_ and 26 symbols");
        return 0;
}

/* A mistake here would be found only after the recipient has confirmed. */
static int check_content(const json_t *provisioning) {
        const char *format = ctl_text(provisioning, "format");
        const json_t *content = json_object_get(provisioning, "content");

        if (json_object_size(provisioning) != 2 || !format || !format[0] ||
                        strlen(format) > SHARE_LIMIT_FORMAT || !json_is_object(content))
                return say(EX_DATAERR,
                                "what is sealed must be {\"format\": TEXT, \"content\": OBJECT} "
                                "and "
                                "nothing else");
        if (json_quick_write(content, NULL, 0) > SHARE_LIMIT_CONTENT) {
                (void) fprintf(stderr,
                                "vestibulectl: `content` has more than %d bytes\n",
                                SHARE_LIMIT_CONTENT);
                return EX_DATAERR;
        }
        return 0;
}

/* The keys as the API shows them, with their times as seconds again, which is what is signed. */
static int keys_check(const json_t *body, RelayPublicKeys *ret) {
        json_auto_t *object = json_deep_copy(body);
        _cleanup_(json_wipe_freep) char *text = NULL;
        json_t *key;
        size_t i;

        json_array_foreach(json_object_get(object, "keys"), i, key) {
                const char *not_after = ctl_text(key, "not_after");
                int64_t seconds;

                if (!not_after || time_from_text(not_after, &seconds) < 0)
                        return -EBADMSG;
                if (json_object_set_new(key, "not_after", json_integer(seconds)) < 0)
                        return -ENOMEM;
        }
        text = json_quick_text(object);
        return text ? relay_public_keys_read(text, strlen(text), ret) : -ENOMEM;
}

static int check_signer(const CtlOptions *options, const RelayPublicKeys *keys) {
        _cleanup_(freep) uint8_t *pinned = NULL;
        size_t size;

        if (!options->signer)
                return 0;
        if (text_from_base64(options->signer, true, &pinned, &size) < 0 ||
                        size != sizeof(keys->signer))
                return say(EX_USAGE, "--signer is base64 of 32 octets");
        if (sodium_memcmp(pinned, keys->signer, size) != 0)
                return say(EX_DATAERR,
                                "the keys are signed by another than --signer: nothing was sealed; "
                                "ask the operator");
        return 0;
}

/* The tenant in the envelope must be the one whose token starts the share. */
static int check_tenant(const CtlOptions *options, const json_t *body) {
        const char *told = ctl_text(body, "tenant");

        if (!options->tenant && !told)
                return say(EX_USAGE, "the API does not say which tenant this is: give --tenant");
        if (options->tenant && told && !streq(options->tenant, told))
                return say(EX_DATAERR, "the token belongs to another tenant than --tenant");
        return 0;
}

static int class_find(const CtlOptions *options, CtlAnswer *answer, const char **ret) {
        json_t *policy;
        size_t i;
        int r;

        r = ctl_ask_firmly(options, "GET", "/v1/policies", NULL, answer);
        if (r != 0)
                return r;
        json_array_foreach(json_object_get(answer->body, "policies"), i, policy) {
                const char *name = ctl_text(policy, "name");

                *ret = ctl_text(policy, "class");
                if (name && *ret && streq(name, options->policy))
                        return 0;
        }
        return say(EX_DATAERR, "there is no such policy; vestibulectl policies lists them");
}

static int recipients_hash(const CtlOptions *options, uint8_t ret[ENVELOPE_RECIPIENTS_SIZE]) {
        char canonical[N_ELEMENTS(options->to)][ADDRESS_SIZE_MAX];
        const char *texts[N_ELEMENTS(options->to)] = { options->share };

        for (size_t i = 0; i < options->n_to; i++) {
                const char *reason = "out of memory";

                if (address_canonical(options->to[i], canonical[i], &reason) != 0) {
                        (void) fprintf(stderr,
                                        "vestibulectl: --to %s: %s\n",
                                        options->to[i],
                                        reason);
                        return EX_USAGE;
                }
                texts[i] = canonical[i];
        }
        address_list_hash(texts, options->share ? 1 : options->n_to, ret);
        return 0;
}

static int seal(const RelayPublicKeys *keys, EnvelopeBinding *binding, const json_t *provisioning) {
        int64_t now = time_wall();
        const RelayPublicKey *key = relay_public_keys_current(keys, now);
        _cleanup_(freep) char *box = NULL;
        json_auto_t *sealed = NULL;

        if (!key)
                return say(EX_UNAVAILABLE, "the time of every key has passed; tell the operator");
        randombytes_buf(binding->nonce, sizeof(binding->nonce));
        binding->not_after = now + ENVELOPE_SECONDS;
        if (envelope_seal(binding, provisioning, key->key, &box) < 0)
                return say(EX_SOFTWARE, "this cannot be sealed");
        sealed = json_pack("{s:{s:s, s:s}}", "sealed", "kid", key->kid, "box", box);
        ctl_print_json(sealed, true);
        return 0;
}

int ctl_seal(const CtlOptions *options, char **arguments) {
        _cleanup_(ctl_answer_done) CtlAnswer keys_answer = { 0 }, policies = { 0 };
        EnvelopeBinding binding = { .credential_class = "message" };
        json_auto_t *provisioning = NULL;
        RelayPublicKeys keys;
        int r;

        r = check_options(options);
        if (r == 0)
                r = recipients_hash(options, binding.recipients);
        if (r == 0)
                r = ctl_json_read(arguments[0] ? arguments[0] : "-",
                                "what is sealed",
                                "content",
                                &provisioning);
        if (r == 0)
                r = check_content(provisioning);
        if (r == 0)
                r = ctl_ask_firmly(options, "GET", "/v1/keys", NULL, &keys_answer);
        if (r == 0 && keys_check(keys_answer.body, &keys) < 0)
                r = say(EX_DATAERR,
                                "the keys of the API are not signed as they should be: nothing was "
                                "sealed; tell the operator");
        if (r == 0)
                r = check_signer(options, &keys);
        if (r == 0)
                r = check_tenant(options, keys_answer.body);
        if (r == 0 && !options->share)
                r = class_find(options, &policies, &binding.credential_class);
        if (r != 0)
                return r;

        binding.tenant = options->tenant ? options->tenant : ctl_text(keys_answer.body, "tenant");
        return seal(&keys, &binding, provisioning);
}
