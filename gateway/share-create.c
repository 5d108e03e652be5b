/* POST /v1/shares: from a checked request to a durable share with its invitation queued. Everything
 * a tenant may get wrong is refused here by name, and nothing is written before all of it is right.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>

#include "address.h"
#include "envelope.h"
#include "front.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"
#include "plain-url.h"
#include "share-limits.h"
#include "words.h"

typedef struct Creation {
        /* as asked for; borrowed from the frame */
        const char *policy_name, *expires_text, *reference, *kid, *box;
        const json_t *sender, *recipient, *credential, *addresses, *claims, *sealed, *fact;
        const char *mint, *fact_key, *fact_verifier;
        bool encrypted, is_tenants_box;
        const char *sender_name, *recipient_name, *locale, *zone, *title, *description, *image_url;

        /* as understood */
        const ConfigPolicy *policy;
        char canonical[SHARE_ADDRESSES_MAX][ADDRESS_SIZE_MAX];
        size_t n_addresses;
        json_t *steps;
        EnvelopeBinding binding;
        int64_t expires;
} Creation;

static_assert((int) SHARE_LIMIT_ADDRESSES == (int) SHARE_ADDRESSES_MAX,
                "the store has a column for each");

/* clang-format off */
static const JsonMember body_members[] = {
        { "policy",     JSON_KIND_STRING, offsetof(Creation, policy_name),  true,  1, SHARE_LIMIT_POLICY },
        { "sender",     JSON_KIND_OBJECT, offsetof(Creation, sender),       false, 0, 0 },
        { "recipient",  JSON_KIND_OBJECT, offsetof(Creation, recipient),    true,  0, 0 },
        { "credential", JSON_KIND_OBJECT, offsetof(Creation, credential),   true,  0, 0 },
        { "expires_at", JSON_KIND_STRING, offsetof(Creation, expires_text), false, 1, SHARE_LIMIT_EXPIRES_AT },
        { "reference",  JSON_KIND_STRING, offsetof(Creation, reference),    false, 1, SHARE_LIMIT_REFERENCE },
        { "claims",     JSON_KIND_ARRAY,  offsetof(Creation, claims),       false, 1, LIFECYCLE_GENERATIONS_MAX },
        { "fact",       JSON_KIND_OBJECT, offsetof(Creation, fact),         false, 0, 0 },
};
static const JsonMember sender_members[] = {
        { "name", JSON_KIND_STRING, offsetof(Creation, sender_name), true, 1, SHARE_LIMIT_SENDER_NAME },
};
static const JsonMember recipient_members[] = {
        { "addresses", JSON_KIND_ARRAY,  offsetof(Creation, addresses),      true,  1,                      SHARE_LIMIT_ADDRESSES },
        { "name",      JSON_KIND_STRING, offsetof(Creation, recipient_name), false, 1,                      SHARE_LIMIT_RECIPIENT_NAME },
        { "locale",    JSON_KIND_STRING, offsetof(Creation, locale),         false, SHARE_LIMIT_LOCALE_MIN, SHARE_LIMIT_LOCALE },
        { "time_zone", JSON_KIND_STRING, offsetof(Creation, zone),           false, 1,                      SHARE_LIMIT_TIME_ZONE },
};
static const JsonMember credential_members[] = {
        { "title",       JSON_KIND_STRING, offsetof(Creation, title),       true,  1,                         SHARE_LIMIT_TITLE },
        { "description", JSON_KIND_STRING, offsetof(Creation, description), false, 0,                         SHARE_LIMIT_DESCRIPTION },
        { "image_url",   JSON_KIND_STRING, offsetof(Creation, image_url),   false, SHARE_LIMIT_IMAGE_URL_MIN, SHARE_LIMIT_IMAGE_URL },
};
/* clang-format on */
static const JsonMember fact_members[] = {
        { "key",
                        JSON_KIND_STRING,
                        offsetof(Creation, fact_key),
                        true,
                        SHARE_LIMIT_FACT,
                        SHARE_LIMIT_FACT },
        { "verifier",
                        JSON_KIND_STRING,
                        offsetof(Creation, fact_verifier),
                        true,
                        SHARE_LIMIT_FACT,
                        SHARE_LIMIT_FACT },
};
/* How the content comes, as the front has understood it. */
static const JsonMember frame_members[] = {
        { "sealed", JSON_KIND_OBJECT, offsetof(Creation, sealed), false, 0, 0 },
        { "mint", JSON_KIND_STRING, offsetof(Creation, mint), false, 1, SHARE_LIMIT_MINT },
};
static const JsonMember sealed_members[] = {
        { "kid", JSON_KIND_STRING, offsetof(Creation, kid), true, 1, 64 },
        { "box", JSON_KIND_STRING, offsetof(Creation, box), true, 1, 60000 },
};

static int refuse_member(Ask *ask, const JsonProblem *problem) {
        static const char *const names[] = {
                [JSON_E_SYNTAX] = "invalid-json",
                [JSON_E_DEPTH] = "invalid-json",
                [JSON_E_UNKNOWN] = "unknown-member",
                [JSON_E_MISSING] = "missing-member",
                [JSON_E_TYPE] = "invalid-member",
                [JSON_E_RANGE] = "invalid-member",
        };

        return ask_refuse(ask,
                        422,
                        names[problem->error],
                        "The request cannot be used",
                        "%s.",
                        problem->text);
}

/* Positive: refused, and the answer is set. */
static int read_body(Ask *ask, Creation *c) {
        const json_t *body = json_object_get(ask->frame, "body");
        const struct {
                const json_t *const *object;
                const JsonMember *members;
                size_t n;
                bool strict;
        } parts[] = {
                { &body, body_members, N_ELEMENTS(body_members), true },
                { &c->sender, sender_members, N_ELEMENTS(sender_members), true },
                { &c->recipient, recipient_members, N_ELEMENTS(recipient_members), true },
                { &c->credential, credential_members, N_ELEMENTS(credential_members), true },
                { &c->fact, fact_members, N_ELEMENTS(fact_members), true },
                { &c->sealed, sealed_members, N_ELEMENTS(sealed_members), false },
        };
        JsonProblem problem;
        int r;

        c->encrypted = json_is_true(json_object_get(ask->frame, "encrypted"));
        r = json_read_members(
                        ask->frame, frame_members, N_ELEMENTS(frame_members), false, c, &problem);
        if (r != 0) {
                if (r > 0)
                        (void) refuse_member(ask, &problem);
                return r;
        }
        if (!c->sealed == !c->mint) {
                (void) ask_refuse(ask,
                                422,
                                "missing-member",
                                "The request cannot be used",
                                "`provisioning` is required.");
                return 1;
        }
        for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
                if (i > 0 && !*parts[i].object)
                        continue;
                r = json_read_members(*parts[i].object,
                                parts[i].members,
                                parts[i].n,
                                parts[i].strict,
                                c,
                                &problem);
                if (r < 0)
                        return r;
                if (r > 0) {
                        (void) refuse_member(ask, &problem);
                        return 1;
                }
        }
        return 0;
}

static int check_names(Ask *ask, Creation *c) {
        c->policy = config_policy(ask->config, c->policy_name);
        if (!c->policy || !config_tenant_may_use(ask->tenant, c->policy)) {
                (void) ask_refuse(ask,
                                422,
                                "unknown-policy",
                                "No such policy",
                                "`policy` must be one of those that GET /v1/policies lists.");
                return 1;
        }
        if (!c->sender_name)
                c->sender_name = ask->tenant->names[0];
        if (!config_tenant_has_name(ask->tenant, c->sender_name)) {
                (void) ask_refuse(ask,
                                422,
                                "unregistered-name",
                                "The sender's name is not registered",
                                "`sender.name` must be one of the names that the operator has "
                                "registered for this tenant.");
                return 1;
        }
        if (c->zone && !words_zone_is_known(c->zone)) {
                (void) ask_refuse(ask,
                                422,
                                "invalid-member",
                                "The request cannot be used",
                                "`recipient.time_zone` must be an IANA name such as "
                                "Europe/Berlin.");
                return 1;
        }
        if (c->image_url) {
                for (size_t i = 0; i < ask->tenant->n_image_prefixes; i++)
                        if (strncmp(c->image_url,
                                            ask->tenant->image_prefixes[i],
                                            strlen(ask->tenant->image_prefixes[i])) == 0)
                                return 0;
                (void) ask_refuse(ask,
                                422,
                                "invalid-member",
                                "The request cannot be used",
                                "`credential.image_url` must start with a prefix that the operator "
                                "has registered.");
                return 1;
        }
        return 0;
}

/* The recipient's addresses in their order, and the channel of each that the policy allows. */
static int check_addresses(Ask *ask, Creation *c) {
        RulesAuthentic minimum = c->policy->rules.minimum_authentic;
        bool is_reachable = false;

        c->steps = json_array();
        if (!c->steps)
                return -ENOMEM;
        for (size_t i = 0; i < json_array_size(c->addresses); i++) {
                const char *text = json_string_value(json_array_get(c->addresses, i)),
                           *reason = "it must be a string";
                const ConfigChannel *channel;
                char scheme[16];
                int r = text ? address_canonical(text, c->canonical[i], &reason) : ADDRESS_E_FORM;

                if (r < 0)
                        return r;
                for (size_t j = 0; r == 0 && j < i; j++)
                        if (streq(c->canonical[i], c->canonical[j])) {
                                r = ADDRESS_E_FORM;
                                reason = "it is repeated";
                        }
                if (r > 0) {
                        (void) ask_refuse(ask,
                                        422,
                                        "invalid-address",
                                        "An address cannot be used",
                                        "`recipient.addresses[%zu]`: %s.",
                                        i,
                                        reason);
                        return 1;
                }
                c->n_addresses++;
                address_scheme(c->canonical[i], scheme);
                if (streq(scheme, "sms") &&
                                !config_tenant_may_reach(ask->tenant, c->canonical[i])) {
                        (void) ask_refuse(ask,
                                        422,
                                        "invalid-address",
                                        "An address cannot be used",
                                        "`recipient.addresses[%zu]`: the operator has registered "
                                        "no numbers that begin like this for you.",
                                        i);
                        return 1;
                }
                channel = config_policy_channel(c->policy, scheme);
                if (channel && json_array_append_new(c->steps,
                                               json_pack("[s, s]",
                                                               c->canonical[i],
                                                               channel->name)) < 0)
                        return -ENOMEM;
                is_reachable |= channel && channel->authentic >= minimum;
        }
        if (!is_reachable) {
                (void) ask_refuse(ask,
                                422,
                                "invalid-address",
                                "No address can be reached",
                                "None of `recipient.addresses` belongs to a channel of this "
                                "policy that knows senders as well as it asks for.");
                return 1;
        }
        return 0;
}

/* Two channels of one operator are one: a factor that needs two has to have them here. */
static int check_independence(Ask *ask, const Creation *c) {
        const char *first = NULL;

        if (!factor_needs_two_channels(c->policy->rules.factors))
                return 0;
        for (size_t i = 0; i < json_array_size(c->steps); i++) {
                const char *name =
                                json_string_value(json_array_get(json_array_get(c->steps, i), 1));
                const char *class = config_channel(ask->config, name)->operator_class;

                if (first && !streq(class, first))
                        return 0;
                first = class;
        }
        (void) ask_refuse(ask,
                        422,
                        "second-channel-missing",
                        "A second channel is missing",
                        "This policy needs `recipient.addresses` on two channels of different "
                        "operators.");
        return 1;
}

static int check_factors(Ask *ask, const Creation *c) {
        uint8_t key[FACT_KEY_SIZE], verifier[FACT_VERIFIER_SIZE];
        uint32_t factors = c->policy->rules.factors;
        bool is_read = c->fact && challenge_read_fact(c->fact, key, verifier);

        sodium_memzero(key, sizeof(key));
        if (factors & FACTOR_FACT && !is_read) {
                (void) ask_refuse(ask,
                                422,
                                c->fact ? "invalid-member" : "missing-member",
                                "The request cannot be used",
                                "This policy asks for a fact: `fact` must hold `key` and "
                                "`verifier`, 32 bytes each in base64.");
                return 1;
        }
        if (c->fact && !(factors & FACTOR_FACT)) {
                (void) ask_refuse(ask,
                                422,
                                "invalid-member",
                                "The request cannot be used",
                                "`fact` is for policies that ask for one, and this one does not.");
                return 1;
        }
        if (factors & FACTOR_SPLIT && c->encrypted) {
                (void) ask_refuse(ask,
                                422,
                                "nothing-to-split",
                                "The Secret is yours, and cannot be split",
                                "This policy sends the link in two halves. Send `format` and "
                                "`content`, `sealed` or `mint`.");
                return 1;
        }
        return check_independence(ask, c);
}

static int check_times(Ask *ask, Creation *c) {
        char problem[RULES_PROBLEM_SIZE];
        int64_t now = gateway_now(ask->gateway);

        c->expires = now + c->policy->rules.challenge_ttl;
        if (c->expires_text && time_from_text(c->expires_text, &c->expires) < 0) {
                (void) ask_refuse(ask,
                                422,
                                "invalid-member",
                                "The request cannot be used",
                                "`expires_at` must be RFC 3339, such as 2026-11-24T12:00:00Z.");
                return 1;
        }
        if (rules_check_expiry(&c->policy->rules, now, c->expires, problem) != 0) {
                (void) ask_refuse(ask,
                                422,
                                "invalid-expiry",
                                "`expires_at` cannot be used",
                                "%s.",
                                problem);
                return 1;
        }
        return 0;
}

static bool is_uuid_of_their_own(const json_t *claims, size_t i) {
        const char *claim = json_string_value(json_array_get(claims, i));

        if (!claim || !text_is_uuid(claim))
                return false;
        for (size_t j = 0; j < i; j++)
                if (strcasecmp(claim, json_string_value(json_array_get(claims, j))) == 0)
                        return false;
        return strspn(claim, "0-") < strlen(claim) && strspn(claim, "fF-") < strlen(claim);
}

static int check_claims(Ask *ask, const Creation *c) {
        for (size_t i = 0; i < json_array_size(c->claims); i++)
                if (!is_uuid_of_their_own(c->claims, i)) {
                        (void) ask_refuse(ask,
                                        422,
                                        "invalid-member",
                                        "The request cannot be used",
                                        "`claims[%zu]` must be a random UUID that nothing else "
                                        "uses.",
                                        i);
                        return 1;
                }
        return 0;
}

/* Whoever holds a claim may read and write in its mailbox: two shares with one would meet there. A
 * foreign share is told from an own one by nothing. Kept for as long as this share could use it. */
static int put_claims(Ask *ask, const Creation *c) {
        int64_t end = c->expires + c->policy->rules.mailbox_ttl;
        Gateway *g = ask->gateway;

        for (size_t i = 0; i < json_array_size(c->claims); i++) {
                const char *text = json_string_value(json_array_get(c->claims, i));
                uint8_t index[VAULT_INDEX_SIZE];
                char claim[UUID_TEXT_SIZE];
                int r;

                for (size_t k = 0; k < sizeof(claim); k++) /* one spelling for one claim */
                        claim[k] = (char) (text[k] >= 'A' && text[k] <= 'F' ? text[k] | 32
                                                                            : text[k]);
                vault_index_claim(g->vault, claim, index);
                r = store_seen_add(g->store, index, end);
                if (r == STORE_E_EXISTS)
                        (void) ask_refuse(ask,
                                        409,
                                        "claim-in-use",
                                        "A claim is in use",
                                        "`claims[%zu]` belongs to a share already. Make a random "
                                        "UUID for each mailbox.",
                                        i);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Draft R derives its key from the Secret that the link carries, and ours does that. */
static int check_protocol(Ask *ask, const Creation *c) {
        if (!c->encrypted || !streq(ask->tenant->relay->protocol, "draft-r"))
                return 0;
        (void) ask_refuse(ask,
                        422,
                        "not-in-draft-r",
                        "This relay takes nothing that you encrypted",
                        "Your relay speaks Draft R, in which the Secret cannot be yours. Send "
                        "`format` and `content`, or `sealed`.");
        return 1;
}

static int check_mint(Ask *ask, const Creation *c) {
        if (plain_url_is_https(c->mint, SHARE_LIMIT_MINT) && plain_url_has_name(c->mint))
                for (size_t i = 0; i < ask->tenant->n_mint_prefixes; i++)
                        if (plain_url_is_below(c->mint, ask->tenant->mint_prefixes[i]))
                                return 0;
        (void) ask_refuse(ask,
                        422,
                        "not-registered",
                        "The address is not registered",
                        "`provisioning.mint` must start with a prefix that the operator has "
                        "registered for this tenant.");
        return 1;
}

/* What the front sealed says when it ends; about a tenant's own box only the relay client can. */
static bool is_for_this_share(const Creation *c, const EnvelopeBinding *ours) {
        return memcmp(c->binding.recipients, ours->recipients, sizeof(ours->recipients)) == 0 &&
               streq(c->binding.credential_class, ours->credential_class) &&
               c->binding.not_after >= ours->not_after;
}

/* The envelope must be for this tenant, these recipients, this class, and for long enough. */
static int check_envelope(Ask *ask, Creation *c) {
        const char *uris[SHARE_ADDRESSES_MAX];
        EnvelopeBinding ours = { .tenant = ask->tenant->id,
                .credential_class = rules_class_name(c->policy->rules.class),
                .not_after = c->expires + c->policy->rules.mailbox_ttl };
        json_auto_t *binding = NULL;
        bool is_ours;
        int r;

        for (size_t i = 0; i < c->n_addresses; i++)
                uris[i] = c->canonical[i];
        address_list_hash(uris, c->n_addresses, ours.recipients);
        randombytes_buf(ours.nonce, sizeof(ours.nonce));
        if (c->mint) {
                c->binding = ours;
                return check_mint(ask, c);
        }
        c->is_tenants_box = !json_object_get(c->sealed, "nonce");
        binding = c->is_tenants_box ? envelope_binding_write(&ours) : json_object();
        if (!binding || json_object_update(binding, (json_t *) c->sealed) < 0 ||
                        json_object_set_new(binding, "tenant", json_string(ask->tenant->id)) < 0)
                return -ENOMEM;
        r = envelope_binding_read(binding, &c->binding);
        if (r < 0)
                return r;
        is_ours = r == 0 && is_for_this_share(c, &ours);
        c->binding.tenant = ours.tenant;
        c->binding.credential_class = ours.credential_class;
        if (is_ours)
                return 0;
        (void) ask_refuse(ask,
                        409,
                        "stale-envelope",
                        "The content was sealed for something else",
                        "Repeat the request; if you sealed it yourself, fetch GET /v1/keys and GET "
                        "/v1/policies first, and seal again.");
        return 1;
}

/* A number that grows with time and says nothing about how many there are. */
static int64_t next_number(Gateway *g) {
        int64_t now = gateway_now(g) * 1000 + (int64_t) (time_boot() / 1000 % 1000);
        int64_t n = now << 20 | randombytes_uniform(1 << 20);

        return n > store_last(g->store) ? n : store_last(g->store) + 1 + randombytes_uniform(1024);
}

/* What the relay client compares the envelope with: of a tenant's own box not what only it knows.
 */
static json_t *binding_of(const Creation *c) {
        json_t *binding = envelope_binding_write(&c->binding);

        if (binding && c->is_tenants_box) {
                (void) json_object_del(binding, "nonce");
                (void) json_object_del(binding, "not_after");
        }
        return binding;
}

static json_t *details_of(const Creation *c) {
        const char *description = c->description ? c->description : "";
        json_t *display = json_pack("{s:s, s:s, s:s}",
                        "title",
                        c->title,
                        "description",
                        description,
                        "imageURL",
                        c->image_url ? c->image_url : "");
        json_t *addresses = json_array();

        for (size_t i = 0; i < c->n_addresses; i++)
                (void) json_array_append_new(addresses, json_string(c->canonical[i]));
        return json_pack("{s:o, s:O, s:s*, s:s*, s:s*, s:s, s:o, s:o, s:s*, s:O*, s:s*, "
                         "s:O*}",
                        "addresses",
                        addresses,
                        "steps",
                        c->steps,
                        "name",
                        c->recipient_name,
                        "locale",
                        c->locale,
                        "zone",
                        c->zone,
                        "sender",
                        c->sender_name,
                        "display",
                        display,
                        "envelope",
                        binding_of(c),
                        "kid",
                        c->kid,
                        "claims",
                        c->claims,
                        "mint",
                        c->mint,
                        "fact",
                        c->fact);
}

static int put_reference(ShareContext *s, const Creation *c) {
        Gateway *g = s->gateway;
        uint8_t index[VAULT_INDEX_SIZE];
        int r;

        if (!c->reference)
                return 0;
        r = vault_seal(g->vault,
                        NULL,
                        s->share.n,
                        VAULT_FIELD_REFERENCE,
                        0,
                        c->reference,
                        strlen(c->reference),
                        &s->share.reference,
                        &s->share.reference_size);
        if (r < 0)
                return r;
        vault_index_reference(g->vault, s->share.tenant, c->reference, index);
        return store_reference_put(g->store, index, s->share.n);
}

static int init_share(ShareContext *s, const Ask *ask, const Creation *c) {
        Share *share = &s->share;
        int r;

        share->n = next_number(s->gateway);
        share->tenant = strdup(ask->tenant->id);
        share->policy = strdup(c->policy->name);
        share->key = malloc(VAULT_WRAPPED_SIZE);
        if (!share->tenant || !share->policy || !share->key)
                return -ENOMEM;
        vault_key_make(s->gateway->vault, share->n, &s->key, share->key);
        s->has_key = true;
        share->state = LIFECYCLE_PENDING;
        share->goal = LIFECYCLE_STATE_MAX;
        share->cause = LIFECYCLE_CAUSE_NONE;
        share->version = 1;
        share->created = s->now;
        share->expires = c->expires;
        share->due = c->expires + 1;
        share->rules = c->policy->rules;
        r = limit_code_format(s->gateway, share->rules.code, c->steps, &share->rules.code);
        if (r < 0)
                return r;
        share->flags = (c->policy->several ? SHARE_SEVERAL : 0) |
                       (c->encrypted ? SHARE_ENCRYPTED : 0) | (c->mint ? SHARE_MINT : 0);
        attempts_init(&share->attempts, share->rules.attempts, share->rules.attempts_total);
        share_note(share, s->now, TIMELINE_CREATED, 0, 0);
        s->details = details_of(c);
        return s->details ? 0 : -ENOMEM;
}

/* Says no more than that it is too much: not of which recipient, nor whether they ever heard. */
static void refuse_by_limit(Ask *ask, LimitReason reason, int64_t wait) {
        ask->retry_after = wait > INT_MAX ? INT_MAX : (int) wait;
        switch (reason) {
        case LIMIT_REASON_NONE:
                break;
        case LIMIT_REASON_TENANT:
                (void) ask_refuse(ask,
                                429,
                                "too-many-shares",
                                "Too many shares",
                                "You have started many shares lately. Repeat the request after the "
                                "seconds of Retry-After.");
                break;
        case LIMIT_REASON_RECIPIENT:
                (void) ask_refuse(ask,
                                429,
                                "too-many-for-recipient",
                                "Too many shares for one recipient",
                                "You have started many shares for this recipient lately. Repeat "
                                "the request after the seconds of Retry-After.");
                break;
        case LIMIT_REASON_LOCKED:
                (void) ask_refuse(ask,
                                429,
                                "recipient-locked",
                                "Too many wrong answers of this recipient",
                                "Wrong codes came for your shares with this recipient. Speak to "
                                "them, and repeat the request after the seconds of Retry-After.");
                break;
        case LIMIT_REASON_SAFE_MODE:
                (void) ask_refuse(ask,
                                429,
                                "safe-mode",
                                "Too many wrong answers to your shares",
                                "So many wrong codes came for your shares within a day that only "
                                "policies of RAL-3 start new ones. Repeat the request after the "
                                "seconds of Retry-After.");
                break;
        case LIMIT_REASON_SPEND:
                (void) ask_refuse(ask,
                                429,
                                "spend-cap",
                                "Your SMS cost as much as they may",
                                "What you may spend on SMS within a day would be exceeded. Repeat "
                                "the request after the seconds of Retry-After.");
                break;
        }
}

/* Refused or counted last of all, so that what could not be made anyway counts nothing. */
static int take_from_limits(Ask *ask, Creation *c) {
        LimitReason reason;
        int64_t wait;
        int r;

        r = limit_take_share(ask->gateway,
                        ask->tenant,
                        &c->policy->rules,
                        c->steps,
                        c->canonical,
                        c->n_addresses,
                        &reason,
                        &wait);
        if (r > 0)
                refuse_by_limit(ask, reason, wait);
        return r;
}

static int put_share(Ask *ask, ShareContext *s, const Creation *c, char ret_code[CODE_SIZE]) {
        int r;

        r = init_share(s, ask, c);
        if (r == 0 && c->sealed)
                r = front_note_sealed(ask, c->sealed, c->binding.not_after);
        if (r == 0)
                r = put_claims(ask, c);
        if (r != 0)
                return r; /* STORE_E_EXISTS: this very box, or a claim, was given before */
        if (s->share.rules.factors & FACTOR_REPLY_CODE)
                r = challenge_make_code(s, FACTOR_REPLY_CODE, ret_code);
        if (r >= 0)
                r = put_reference(s, c);
        if (r >= 0)
                r = share_put_content(s, c->box);
        if (r >= 0)
                r = fallback_begin(s);
        return r < 0 ? r : 0;
}

int front_share_create(Ask *ask) {
        Gateway *g = ask->gateway;
        ShareContext s = { .gateway = g, .now = gateway_now(g) };
        Creation c = { 0 };
        char code[CODE_SIZE] = "", display[CODE_DISPLAY_SIZE];
        int r;

        r = read_body(ask, &c);
        if (r == 0)
                r = check_names(ask, &c);
        if (r == 0)
                r = check_addresses(ask, &c);
        if (r == 0)
                r = check_factors(ask, &c);
        if (r == 0)
                r = check_claims(ask, &c);
        if (r == 0)
                r = check_protocol(ask, &c);
        if (r == 0)
                r = check_times(ask, &c);
        if (r == 0)
                r = check_envelope(ask, &c);
        if (r == 0)
                r = take_from_limits(ask, &c);
        if (r == 0)
                r = put_share(ask, &s, &c, code);
        if (r == STORE_E_EXISTS) { /* nothing of this command may stay */
                r = engine_drop(g->engine);
                if (!ask->problem)
                        (void) ask_refuse(ask,
                                        409,
                                        "stale-envelope",
                                        "The content was used before",
                                        "Seal it again.");
        }
        if (r == 0 && !ask->problem) {
                ask->status = 201;
                ask->body = share_json(&s, false);
                code_display(s.share.rules.code, code, display);
                if (!ask->body || (code[0] && json_object_set_new(ask->body,
                                                              "code",
                                                              json_string(display)) < 0))
                        r = -ENOMEM;
                sodium_memzero(display, sizeof(display));
        }
        if (r == 0 && !ask->problem) {
                r = front_remember_answer(ask, &s.share);
                if (r >= 0)
                        r = store_share_insert(g->store, &s.share);
                if (r >= 0)
                        gateway_count(g, COUNTER_SHARES_CREATED);
        }
        sodium_memzero(code, sizeof(code));
        json_decref(c.steps);
        share_context_done(&s);
        return r < 0 ? r : 0;
}
