#include "mint.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-raw.h"
#include "plain-url.h"
#include "relay-http.h"
#include "relay-key.h"
#include "release.h"

/* What the signature covers, in this order. "alg" is for readers; the key alone decides. "tag"
 * keeps it from being taken for a signature that this key makes for another purpose. */
#define COVERED \
        "(\"@method\" \"@target-uri\" \"content-type\" \"content-digest\" \"idempotency-key\")"
#define PARAMETERS COVERED ";created=%lld;keyid=\"%s\";alg=\"ed25519\";tag=\"vestibule-mint\""

enum {
        PARAMETERS_SIZE = 256,
        BASE_SIZE = SHARE_LIMIT_MINT + 1024,
        DIGEST_SIZE = 44 + 1, /* base64 of SHA-256 */
};

static const char content_type[] = "application/json", idempotency_key[] = "Idempotency-Key";

typedef struct Frame {
        const char *share, *url;
        const json_t *envelope;
        int64_t expiration;
} Frame;

static const JsonMember frame_members[] = {
        { "share", JSON_KIND_STRING, offsetof(Frame, share), true, 1, ID_TEXT_SIZE - 1 },
        { "url", JSON_KIND_STRING, offsetof(Frame, url), true, 1, INT64_MAX },
        { "envelope", JSON_KIND_OBJECT, offsetof(Frame, envelope), true, 0, 0 },
        { "expiration", JSON_KIND_INTEGER, offsetof(Frame, expiration), true, 1, INT64_MAX },
};

bool mint_url_is_valid(const char *url) {
        return plain_url_is_https(url, SHARE_LIMIT_MINT) && plain_url_has_name(url) &&
               strchr(url + strlen("https://"), '/');
}

static int refuse(const char *reason, const char **ret_reason) {
        *ret_reason = reason;
        return MINT_E_REFUSED;
}

int mint_read(const json_t *object, int64_t now, Mint *ret, const char **ret_reason) {
        Frame frame = { 0 };
        Mint mint = { 0 };
        JsonProblem problem;
        uint8_t id[16];
        int r;

        if (json_read_members(object,
                            frame_members,
                            N_ELEMENTS(frame_members),
                            false,
                            &frame,
                            &problem) != 0 ||
                        text_from_id("shr_", frame.share, id) < 0)
                return refuse("bad-frame", ret_reason);
        r = envelope_binding_read(frame.envelope, &mint.binding);
        if (r != 0)
                return r < 0 ? r : refuse("bad-frame", ret_reason);
        if (!mint_url_is_valid(frame.url))
                return refuse("bad-url", ret_reason);
        /* What could not be delivered any more is not issued. */
        if (frame.expiration <= now)
                return refuse("bad-expiration", ret_reason);
        if (mint.binding.not_after < now - RELEASE_SKEW_SECONDS)
                return refuse("envelope-expired", ret_reason);

        mint.url = strdup(frame.url);
        if (!mint.url)
                return -ENOMEM;
        memcpy(mint.share, frame.share, strlen(frame.share) + 1);
        mint.envelope = json_incref((json_t *) frame.envelope);
        *ret = mint;
        return 0;
}

void mint_done(Mint *mint) {
        free(mint->url);
        json_decref(mint->envelope);
        *mint = (Mint){ 0 };
}

/* RFC 9421 section 2.5: one line for each component, each value as it is sent, and the parameters
 * last, without a line feed. */
static int signature_base(
                const Mint *mint, const char *digest, const char *parameters, char ret[BASE_SIZE]) {
        int size = snprintf(ret,
                        BASE_SIZE,
                        "\"@method\": POST\n"
                        "\"@target-uri\": %s\n"
                        "\"content-type\": %s\n"
                        "\"content-digest\": sha-256=:%s:\n"
                        "\"idempotency-key\": \"%s\"\n"
                        "\"@signature-params\": %s",
                        mint->url,
                        content_type,
                        digest,
                        mint->share,
                        parameters);

        return size < 0 || size >= BASE_SIZE ? -EMSGSIZE : size;
}

static int add_signature(const Mint *mint,
                const char *digest,
                const uint8_t seed[32],
                int64_t now,
                HttpRequest *request) {
        uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES],
                        signature[crypto_sign_BYTES];
        char parameters[PARAMETERS_SIZE], base[BASE_SIZE], keyid[RELAY_KEY_ID_SIZE];
        _cleanup_(freep) char *text = NULL;
        int size, r;

        (void) crypto_sign_seed_keypair(public, secret, seed);
        relay_key_id(public, keyid);
        (void) snprintf(parameters, sizeof(parameters), PARAMETERS, (long long) now, keyid);
        size = signature_base(mint, digest, parameters, base);
        if (size >= 0)
                (void) crypto_sign_detached(signature,
                                NULL,
                                (const uint8_t *) base,
                                (unsigned long long) size,
                                secret);
        sodium_memzero(secret, sizeof(secret));
        if (size < 0)
                return size;

        text = text_base64(signature, sizeof(signature));
        if (!text)
                return -ENOMEM;
        r = relay_http_add_header(request, "Signature-Input: vestibule=%s", parameters);
        if (r < 0)
                return r;
        return relay_http_add_header(request, "Signature: vestibule=:%s:", text);
}

static int set_body(HttpRequest *request, const Mint *mint, char ret_digest[DIGEST_SIZE]) {
        uint8_t hash[crypto_hash_sha256_BYTES];
        int size = asprintf(&request->body, "{\"share\":\"%s\"}", mint->share);

        if (size < 0) {
                request->body = NULL;
                return -ENOMEM;
        }
        request->body_size = (size_t) size;
        (void) crypto_hash_sha256(hash, (const uint8_t *) request->body, (unsigned long long) size);
        (void) sodium_bin2base64(ret_digest,
                        DIGEST_SIZE,
                        hash,
                        sizeof(hash),
                        sodium_base64_VARIANT_ORIGINAL);
        return 0;
}

int mint_request(const Mint *mint, const uint8_t seed[32], int64_t now, HttpRequest *ret) {
        _cleanup_(http_request_done) HttpRequest request = { .method = "POST" };
        char digest[DIGEST_SIZE];
        int r;

        request.url = strdup(mint->url);
        if (!request.url)
                return -ENOMEM;
        r = set_body(&request, mint, digest);
        if (r < 0)
                return r;
        r = relay_http_add_header(&request, "Content-Type: %s", content_type);
        if (r < 0)
                return r;
        r = relay_http_add_header(&request, "Content-Digest: sha-256=:%s:", digest);
        if (r < 0)
                return r;
        /* What was issued for one share must never go out with another. */
        request.echoed = idempotency_key;
        r = relay_http_add_header(&request, "%s: \"%s\"", idempotency_key, mint->share);
        if (r < 0)
                return r;
        r = add_signature(mint, digest, seed, now, &request);
        if (r < 0)
                return r;

        *ret = request;
        request = HTTP_REQUEST_NULL;
        return 0;
}

__attribute__((format(printf, 3, 4))) static void end(
                MintAnswer *answer, MintOutcome outcome, const char *format, ...) {
        va_list ap;

        answer->outcome = outcome;
        va_start(ap, format);
        (void) vsnprintf(answer->reason, sizeof(answer->reason), format, ap);
        va_end(ap);
}

/* The same object, with the same bounds, as `provisioning` of POST /v1/shares. */
static int read_provisioning(const HttpAnswer *http, MintAnswer *ret) {
        struct {
                const char *format;
                const json_t *content;
        } members = { 0 };
        const JsonMember table[] = {
                { "format",
                                JSON_KIND_STRING,
                                offsetof(__typeof__(members), format),
                                true,
                                1,
                                SHARE_LIMIT_FORMAT },
                { "content", JSON_KIND_OBJECT, offsetof(__typeof__(members), content), true, 0, 0 },
        };
        json_auto_t *object = NULL;
        JsonProblem problem;
        int r;

        r = json_raw_read_kept(
                        http->body, http->body_size, MINT_DEPTH_MAX, "content", &object, &problem);
        if (r < 0)
                return r;
        if (r != 0)
                end(ret, MINT_REFUSED, "%s", relay_http_json_reason(&problem));
        else if (!json_is_object(object) || json_read_members(object,
                                                            table,
                                                            N_ELEMENTS(table),
                                                            true,
                                                            &members,
                                                            &problem) != 0)
                end(ret, MINT_REFUSED, "answer-form");
        else
                ret->provisioning = TAKE_PTR(object);
        return 0;
}

static void read_failure(const char *failure, MintAnswer *ret) {
        /* The same answer, or the same address, would come again. */
        bool is_final = streq(failure, "answer-too-large") || streq(failure, "address-not-public");

        end(ret, is_final ? MINT_REFUSED : MINT_AGAIN, "%s", failure);
}

int mint_answer_read(const HttpAnswer *http, int64_t now, MintAnswer *ret) {
        const int status = http->status;

        *ret = (MintAnswer){ .outcome = MINT_DONE };
        if (status == 0)
                read_failure(http->failure, ret);
        else if (status == 200)
                return read_provisioning(http, ret);
        else if (status == 403 || status == 409 || status == 410)
                end(ret, MINT_REFUSED, "not-issued-%d", status);
        else if (relay_http_is_transient(status)) {
                end(ret, MINT_AGAIN, "http-%d", status);
                ret->retry_after = relay_http_retry_after(http, now);
        } else
                end(ret,
                                MINT_REFUSED,
                                status >= 300 && status < 400 ? "redirect-%d" : "http-%d",
                                status);
        return 0;
}

void mint_answer_done(MintAnswer *answer) {
        json_decref(answer->provisioning);
        *answer = (MintAnswer){ 0 };
}

int mint_seal(const Mint *mint,
                const json_t *provisioning,
                const RelayPrivateKeys *keys,
                int64_t now,
                const char **ret_kid,
                char **ret_box) {
        for (size_t i = 0; i < keys->n_keys; i++) {
                const RelayPrivateKey *key = &keys->keys[i];

                if (key->not_after < now)
                        continue;
                *ret_kid = key->kid;
                return envelope_seal(&mint->binding, provisioning, key->public, ret_box);
        }
        return -ENOKEY;
}
