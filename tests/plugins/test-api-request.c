/* What tenants send, as tables of bytes and outcomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "address.h"
#include "api-request.h"
#include "cleanup.h"
#include "json-quick.h"
#include "json-wipe.h"
#include "secret.h"

#define RECIPIENT "\"recipient\":{\"addresses\":[\"xmpp:bob@example.org\"]}"
#define CREDENTIAL "\"credential\":{\"title\":\"Room key\"}"
#define PROVISIONING "\"provisioning\":{\"format\":\"f\",\"content\":{\"a\":1}}"
#define REST "," RECIPIENT "," CREDENTIAL "," PROVISIONING "}"
#define WITH_RECIPIENT(text)                                                             \
        "{\"policy\":\"p\",\"recipient\":{\"addresses\":[\"xmpp:bob@example.org\"]" text \
        "}," CREDENTIAL "," PROVISIONING "}"
#define WITH_ADDRESSES(text) \
        "{\"policy\":\"p\",\"recipient\":{\"addresses\":" text "}," CREDENTIAL "," PROVISIONING "}"
#define WITH_CREDENTIAL(text) \
        "{\"policy\":\"p\"," RECIPIENT ",\"credential\":" text "," PROVISIONING "}"
#define WITH_PROVISIONING(text) \
        "{\"policy\":\"p\"," RECIPIENT "," CREDENTIAL ",\"provisioning\":" text "}"

typedef struct Refusal {
        const char *body;
        ApiProblem problem;
        const char *member;
} Refusal;

static void a_minimal_share_is_read(void **state) {
        static const char body[] = "{\"policy\":\"p\"" REST;
        const char *addresses[] = { "xmpp:bob@example.org" };
        ApiShare share = API_SHARE_NULL;
        uint8_t hash[32];
        ApiFault fault;

        (void) state;
        assert_int_equal(api_share_read(body, strlen(body), &share, &fault), 0);
        address_list_hash(addresses, 1, hash);
        assert_string_equal(share.policy, "p");
        assert_int_equal(share.expires_at, 0);
        assert_memory_equal(share.recipients, hash, sizeof(hash));
        assert_null(json_object_get(share.body, "provisioning"));
        assert_string_equal(json_string_value(json_object_get(share.provisioning.value, "format")),
                        "f");
        api_share_done(&share);
}

static void addresses_become_canonical_and_keep_their_order(void **state) {
        static const char body[] =
                        WITH_ADDRESSES("[\"sms:+4915112345678\",\"XMPP:Bob@EXAMPLE.org\","
                                       "\"mailto:ju%CC%88rg@b\xc3\xbc"
                                       "cher.example\"]");
        ApiShare share = API_SHARE_NULL;
        const json_t *addresses;
        ApiFault fault;

        (void) state;
        assert_int_equal(api_share_read(body, strlen(body), &share, &fault), 0);
        addresses = json_object_get(json_object_get(share.body, "recipient"), "addresses");
        assert_string_equal(json_string_value(json_array_get(addresses, 0)), "sms:+4915112345678");
        assert_string_equal(
                        json_string_value(json_array_get(addresses, 1)), "xmpp:bob@example.org");
        assert_string_equal(json_string_value(json_array_get(addresses, 2)),
                        "mailto:j\xc3\xbcrg@xn--bcher-kva.example");
        api_share_done(&share);
}

static void wrong_bodies_are_refused_with_the_member_concerned(void **state) {
        static const Refusal table[] = {
                { "", API_PROBLEM_INVALID_JSON, "" },
                { "null", API_PROBLEM_INVALID_JSON, "" },
                { "[1]", API_PROBLEM_INVALID_JSON, "" },
                { "{\"policy\":\"p\"" REST "{}", API_PROBLEM_INVALID_JSON, "" },
                { "{\"policy\":\"p\",\"policy\":\"p\"" REST, API_PROBLEM_INVALID_JSON, "" },
                { "{\"policy\":\"\xc0\xaf\"" REST, API_PROBLEM_INVALID_JSON, "" },
                { "{\"policy\":\"\xed\xa0\x80\"" REST, API_PROBLEM_INVALID_JSON, "" },
                { WITH_PROVISIONING("{\"format\":\"f\",\"content\":[[[[[[[1]]]]]]]}"),
                                API_PROBLEM_INVALID_JSON,
                                "" },
                { "{\"policy\":\"p\",\"Policy\":\"p\"" REST, API_PROBLEM_UNKNOWN_MEMBER, "Policy" },
                { WITH_RECIPIENT(",\"phone\":1"), API_PROBLEM_UNKNOWN_MEMBER, "recipient.phone" },
                { WITH_CREDENTIAL("{\"title\":\"t\",\"x\":1}"),
                                API_PROBLEM_UNKNOWN_MEMBER,
                                "credential.x" },
                { "{\"policy\":\"p\",\"sender\":{\"name\":\"n\",\"x\":1}" REST,
                                API_PROBLEM_UNKNOWN_MEMBER,
                                "sender.x" },
                { WITH_ADDRESSES("[\"mailto:j\xc3\xbcrg@a.example\",\"mailto:ju\xcc\x88rg@A."
                                 "example\"]"),
                                API_PROBLEM_INVALID_ADDRESS,
                                "recipient.addresses" },
                { WITH_ADDRESSES("[\"mailto:j\xc3\xbcr\xe2\x80\xa8g@a.example\"]"),
                                API_PROBLEM_INVALID_ADDRESS,
                                "recipient.addresses[0]" },
                { "{\"policy\":null" REST, API_PROBLEM_MISSING_MEMBER, "policy" },
                { "{\"policy\":\"p\"," RECIPIENT "," PROVISIONING "}",
                                API_PROBLEM_MISSING_MEMBER,
                                "credential" },
                { WITH_CREDENTIAL("{}"), API_PROBLEM_MISSING_MEMBER, "credential.title" },
                { WITH_PROVISIONING("{\"content\":{}}"),
                                API_PROBLEM_MISSING_MEMBER,
                                "provisioning.format" },
                { WITH_PROVISIONING("{\"format\":\"f\",\"content\":\"text\"}"),
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.content" },
                { "{\"policy\":1" REST, API_PROBLEM_INVALID_MEMBER, "policy" },
                { "{\"policy\":\"a b\"" REST, API_PROBLEM_INVALID_MEMBER, "policy" },
                { "{\"policy\":\"\"" REST, API_PROBLEM_INVALID_MEMBER, "policy" },
                { "{\"policy\":\"p\",\"reference\":\"a\\u0007\"" REST,
                                API_PROBLEM_INVALID_MEMBER,
                                "reference" },
                { "{\"policy\":\"p\",\"expires_at\":\"2026-02-30T00:00:00Z\"" REST,
                                API_PROBLEM_INVALID_MEMBER,
                                "expires_at" },
                { "{\"policy\":\"p\",\"expires_at\":1795262400" REST,
                                API_PROBLEM_INVALID_MEMBER,
                                "expires_at" },
                { "{\"policy\":\"p\",\"sender\":{\"name\":\"\xe2\x80\xae\"}" REST,
                                API_PROBLEM_INVALID_MEMBER,
                                "sender.name" },
                { WITH_RECIPIENT(",\"name\":\"\\u0085\""),
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.name" },
                { WITH_RECIPIENT(",\"locale\":\"d\""),
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.locale" },
                { WITH_RECIPIENT(",\"locale\":\"de-\""),
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.locale" },
                { WITH_RECIPIENT(",\"locale\":\"de_DE\""),
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.locale" },
                { WITH_RECIPIENT(",\"time_zone\":\"/etc/x\""),
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.time_zone" },
                { WITH_RECIPIENT(",\"time_zone\":\"../x\""),
                                API_PROBLEM_INVALID_MEMBER,
                                "recipient.time_zone" },
                { WITH_ADDRESSES("[]"), API_PROBLEM_INVALID_MEMBER, "recipient.addresses" },
                { WITH_ADDRESSES("{}"), API_PROBLEM_INVALID_MEMBER, "recipient.addresses" },
                { WITH_ADDRESSES("[null]"), API_PROBLEM_INVALID_ADDRESS, "recipient.addresses[0]" },
                { WITH_ADDRESSES("[\"sms:+1\"]"),
                                API_PROBLEM_INVALID_ADDRESS,
                                "recipient.addresses[0]" },
                { WITH_ADDRESSES("[\"tel:+4915112345678\"]"),
                                API_PROBLEM_INVALID_ADDRESS,
                                "recipient.addresses[0]" },
                { WITH_CREDENTIAL("{\"title\":\"t\",\"image_url\":\"https://x/a b\"}"),
                                API_PROBLEM_INVALID_MEMBER,
                                "credential.image_url" },
                { WITH_CREDENTIAL("{\"title\":\"t\",\"image_url\":\"HTTPS://x/ab\"}"),
                                API_PROBLEM_INVALID_MEMBER,
                                "credential.image_url" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                ApiShare share = API_SHARE_NULL;
                ApiFault fault = { 0 };

                assert_int_equal(api_share_read(table[i].body,
                                                 strlen(table[i].body),
                                                 &share,
                                                 &fault),
                                API_E_FAULT);
                if (fault.problem != table[i].problem || strcmp(fault.member, table[i].member) != 0)
                        fail_msg("%s: %s, %s",
                                        table[i].body,
                                        api_problem_info(fault.problem)->name,
                                        fault.member);
                assert_true(strlen(fault.detail) > 10);
                assert_null(share.body);
        }
}

/* Around content nothing is promised: it is ours to write. */
static void content_stays_as_it_was_written(void **state) {
        static const char content[] =
                        "{ \"n\" : [1.10,1E5,-0,1e400,123456789012345678901234567890],\r\n"
                        "\"s\":\"\\u0000\\/\\u00e9\" }";
        char body[1024], expected[512];
        ApiFault fault;

        (void) state;
        (void) snprintf(expected, sizeof(expected), "{\"format\":\"f\",\"content\":%s}", content);
        for (int i = 0; i < 2; i++) {
                static const char provisioning[] = "{ \"cont\\u0065nt\" : %s , \"format\":\"f\"}";
                ApiShare share = API_SHARE_NULL;
                ApiProvisioning message = API_PROVISIONING_NULL, *read = &share.provisioning;
                char text[256];
                int n, r;

                (void) snprintf(text, sizeof(text), provisioning, content);
                n = snprintf(body,
                                sizeof(body),
                                i == 0 ? WITH_PROVISIONING("%s") : "{\"provisioning\":%s}",
                                text);
                if (i == 0)
                        r = api_share_read(body, (size_t) n, &share, &fault);
                else {
                        read = &message;
                        r = api_message_read(body, (size_t) n, &message, &fault);
                }
                assert_int_equal(r, 0);
                {
                        _cleanup_(json_wipe_freep) char *written = json_quick_text(read->value);

                        assert_string_equal(written, expected);
                }
                api_provisioning_done(&message);
                api_share_done(&share);
        }
}

/* White space counts: it is carried. */
static void content_is_measured_as_it_was_written(void **state) {
        static char space[SHARE_LIMIT_CONTENT], body[API_BODY_MAX];

        (void) state;
        for (size_t n = SHARE_LIMIT_CONTENT - 2; n < SHARE_LIMIT_CONTENT; n++) {
                ApiShare share = API_SHARE_NULL;
                ApiFault fault;
                int size;

                memset(space, ' ', n);
                size = snprintf(body,
                                sizeof(body),
                                WITH_PROVISIONING("{\"format\":\"f\",\"content\":{%.*s}}"),
                                (int) n,
                                space);
                assert_int_equal(api_share_read(body, (size_t) size, &share, &fault),
                                n == SHARE_LIMIT_CONTENT - 2 ? 0 : API_E_FAULT);
                api_share_done(&share);
        }
}

static void numbers_beside_content_are_bounded_as_ever(void **state) {
        static const char *const bodies[] = {
                "{\"policy\":1e400" REST,
                WITH_PROVISIONING("{\"format\":1e400,\"content\":{}}"),
                WITH_PROVISIONING("{\"format\":\"\\u0000\",\"content\":{}}"),
                WITH_PROVISIONING("{\"format\":\"f\",\"content\":{\"n\":01}}"),
                WITH_PROVISIONING("{\"format\":\"f\",\"content\":{\"n\":1e400,\"n\":1}}"),
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                ApiShare share = API_SHARE_NULL;
                ApiFault fault;

                assert_int_equal(api_share_read(bodies[i], strlen(bodies[i]), &share, &fault),
                                API_E_FAULT);
                assert_int_equal(fault.problem, API_PROBLEM_INVALID_JSON);
        }
}

static void sizes_end_exactly_where_they_are_documented(void **state) {
        static char content[SHARE_LIMIT_CONTENT + 8], body[API_BODY_MAX + 2];
        const size_t around = strlen("{\"a\":\"\"}");
        const size_t sizes[] = { SHARE_LIMIT_CONTENT - around, SHARE_LIMIT_CONTENT - around + 1 };
        ApiFault fault;

        (void) state;
        for (size_t i = 0; i < 2; i++) {
                ApiShare share = API_SHARE_NULL;
                int n;

                memset(content, 'x', sizes[i]);
                content[sizes[i]] = 0;
                n = snprintf(body,
                                sizeof(body),
                                WITH_PROVISIONING("{\"format\":\"f\",\"content\":{\"a\":\"%s\"}}"),
                                content);
                assert_int_equal(api_share_read(body, (size_t) n, &share, &fault),
                                i == 0 ? 0 : API_E_FAULT);
                if (i == 1)
                        assert_int_equal(fault.problem, API_PROBLEM_TOO_LARGE);
                api_share_done(&share);
        }
        for (size_t size = API_BODY_MAX; size <= API_BODY_MAX + 1; size++) {
                ApiShare share = API_SHARE_NULL;
                static const char good[] = "{\"policy\":\"p\"" REST;

                memset(body, ' ', sizeof(body));
                memcpy(body, good, strlen(good));
                assert_int_equal(api_share_read(body, size, &share, &fault),
                                size == API_BODY_MAX ? 0 : API_E_FAULT);
                api_share_done(&share);
        }
}

static void texts_are_taken_up_to_their_limit_and_not_a_byte_further(void **state) {
        static const struct {
                const char *body, *start, *member;
                size_t max;
        } table[] = {
                { "{\"policy\":\"%s\"" REST, "", "policy", SHARE_LIMIT_POLICY },
                { "{\"policy\":\"p\",\"reference\":\"%s\"" REST,
                                "",
                                "reference",
                                SHARE_LIMIT_REFERENCE },
                { "{\"policy\":\"p\",\"sender\":{\"name\":\"%s\"}" REST,
                                "",
                                "sender.name",
                                SHARE_LIMIT_SENDER_NAME },
                { WITH_RECIPIENT(",\"name\":\"%s\""),
                                "",
                                "recipient.name",
                                SHARE_LIMIT_RECIPIENT_NAME },
                { WITH_RECIPIENT(",\"time_zone\":\"%s\""),
                                "",
                                "recipient.time_zone",
                                SHARE_LIMIT_TIME_ZONE },
                { WITH_CREDENTIAL("{\"title\":\"%s\"}"),
                                "",
                                "credential.title",
                                SHARE_LIMIT_TITLE },
                { WITH_CREDENTIAL("{\"title\":\"t\",\"description\":\"%s\"}"),
                                "",
                                "credential.description",
                                SHARE_LIMIT_DESCRIPTION },
                { WITH_CREDENTIAL("{\"title\":\"t\",\"image_url\":\"%s\"}"),
                                "https://",
                                "credential.image_url",
                                SHARE_LIMIT_IMAGE_URL },
                { WITH_PROVISIONING("{\"format\":\"%s\",\"content\":{}}"),
                                "",
                                "provisioning.format",
                                SHARE_LIMIT_FORMAT },
                { WITH_PROVISIONING("{\"mint\":\"%s\"}"),
                                "https://keys.example/",
                                "provisioning.mint",
                                SHARE_LIMIT_MINT },
        };

        (void) state;
        for (size_t i = 0; i < 2 * N_ELEMENTS(table); i++) {
                char text[SHARE_LIMIT_IMAGE_URL + 2], body[2 * sizeof(text)];
                size_t size = table[i / 2].max + i % 2;
                ApiShare share = API_SHARE_NULL;
                ApiFault fault;
                const char *at = strstr(table[i / 2].body, "%s");
                int n;

                memset(text, 'x', size);
                memcpy(text, table[i / 2].start, strlen(table[i / 2].start));
                text[size] = 0;
                n = snprintf(body,
                                sizeof(body),
                                "%.*s%s%s",
                                (int) (at - table[i / 2].body),
                                table[i / 2].body,
                                text,
                                at + 2);
                assert_int_equal(api_share_read(body, (size_t) n, &share, &fault),
                                i % 2 == 0 ? 0 : API_E_FAULT);
                if (i % 2 == 1)
                        assert_string_equal(fault.member, table[i / 2].member);
                api_share_done(&share);
        }
}

/* 12 octets of IV and 16 of tag, in the four ways to write base64. */
#define BLOB_TEXT "+/++AwQFBgcICQoLLi4uLi4uLi4uLi4u/////w=="

static void base64_of_every_kind_becomes_the_one_that_everybody_reads(void **state) {
        static const char *const texts[] = {
                BLOB_TEXT,
                "+/++AwQFBgcICQoLLi4uLi4uLi4uLi4u/////w",
                "-_--AwQFBgcICQoLLi4uLi4uLi4uLi4u_____w==",
                "-_--AwQFBgcICQoLLi4uLi4uLi4uLi4u_____w",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                ApiProvisioning provisioning = API_PROVISIONING_NULL;
                const json_t *encrypted;
                char body[256];
                ApiFault fault;
                int n = snprintf(body,
                                sizeof(body),
                                "{\"provisioning\":{\"encrypted\":{\"type\":\"AEAD_AES_256_GCM\","
                                "\"data\":\"%s\"}}}",
                                texts[i]);

                assert_int_equal(api_message_read(body, (size_t) n, &provisioning, &fault), 0);
                assert_int_equal(provisioning.form, API_PROVISIONING_ENCRYPTED);
                encrypted = json_object_get(provisioning.value, "encrypted");
                assert_string_equal(
                                json_string_value(json_object_get(encrypted, "data")), BLOB_TEXT);
                assert_string_equal(json_string_value(json_object_get(encrypted, "type")),
                                "AEAD_AES_256_GCM");
                api_provisioning_done(&provisioning);
        }
}

#define SEALED(kid, box) "{\"sealed\":{\"kid\":\"" kid "\",\"box\":\"" box "\"}}"
#define KID "0123456789abcdef"
#define BOX_49 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="

static void what_the_tenant_sealed_is_read_with_its_key(void **state) {
        static const char body[] = WITH_PROVISIONING(SEALED(KID, BOX_49));
        ApiShare share = API_SHARE_NULL;
        ApiFault fault;

        (void) state;
        assert_int_equal(api_share_read(body, strlen(body), &share, &fault), 0);
        assert_int_equal(share.provisioning.form, API_PROVISIONING_SEALED);
        assert_string_equal(share.provisioning.kid, KID);
        assert_string_equal(json_string_value(json_object_get(share.provisioning.value, "box")),
                        BOX_49);
        assert_null(json_object_get(share.body, "provisioning"));
        api_share_done(&share);
}

static void a_url_to_mint_at_is_read_as_it_is(void **state) {
        static const char body[] =
                        WITH_PROVISIONING("{\"mint\":\"https://keys.example/mint?a=b\"}");
        ApiShare share = API_SHARE_NULL;
        ApiFault fault;

        (void) state;
        assert_int_equal(api_share_read(body, strlen(body), &share, &fault), 0);
        assert_int_equal(share.provisioning.form, API_PROVISIONING_MINT);
        assert_string_equal(share.provisioning.url, "https://keys.example/mint?a=b");
        api_share_done(&share);
}

#define ENCRYPTED(type, data) "{\"encrypted\":{\"type\":\"" type "\",\"data\":\"" data "\"}}"

static void provisioning_is_refused_with_the_member_concerned(void **state) {
        static const Refusal table[] = {
                { "{}", API_PROBLEM_MISSING_MEMBER, "provisioning" },
                { "{\"format\":\"f\",\"content\":{},\"sealed\":{}}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning" },
                { "{\"content\":{},\"encrypted\":{}}", API_PROBLEM_INVALID_MEMBER, "provisioning" },
                { "{\"sealed\":{},\"mint\":\"https://a.example/\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning" },
                { "{\"secret\":1}", API_PROBLEM_UNKNOWN_MEMBER, "provisioning.secret" },
                { "{\"sealed\":{\"kid\":\"" KID "\"}}",
                                API_PROBLEM_MISSING_MEMBER,
                                "provisioning.sealed.box" },
                { "{\"sealed\":{\"kid\":\"" KID "\",\"box\":\"" BOX_49 "\",\"nonce\":\"\"}}",
                                API_PROBLEM_UNKNOWN_MEMBER,
                                "provisioning.sealed.nonce" },
                { SEALED("0123456789abcde", BOX_49),
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.sealed.kid" },
                { SEALED(KID, "AAAA"), API_PROBLEM_INVALID_MEMBER, "provisioning.sealed.box" },
                { SEALED(KID, "A*AA"), API_PROBLEM_INVALID_MEMBER, "provisioning.sealed.box" },
                { SEALED(KID, "\\n" BOX_49),
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.sealed.box" },
                { "{\"encrypted\":\"AAAA\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.encrypted" },
                { ENCRYPTED("AEAD_AES_192_GCM", BLOB_TEXT),
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.encrypted.type" },
                { ENCRYPTED("aead_aes_128_gcm", BLOB_TEXT),
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.encrypted.type" },
                { ENCRYPTED("AEAD_AES_128_GCM",
                                  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), /* 27 octets */
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.encrypted.data" },
                { ENCRYPTED("AEAD_AES_128_GCM", "!" BLOB_TEXT),
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.encrypted.data" },
                { "{\"mint\":\"http://keys.example/\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.mint" },
                { "{\"mint\":\"https://a@keys.example/\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.mint" },
                { "{\"mint\":\"https://keys.example/#x\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.mint" },
                { "{\"mint\":\"https://keys.example/a/../b\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.mint" },
                { "{\"mint\":\"https://127.1/\"}",
                                API_PROBLEM_INVALID_MEMBER,
                                "provisioning.mint" },
                { "{\"mint\":7}", API_PROBLEM_INVALID_MEMBER, "provisioning.mint" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                ApiShare share = API_SHARE_NULL;
                ApiFault fault = { 0 };
                char body[1024];
                int n = snprintf(body, sizeof(body), WITH_PROVISIONING("%s"), table[i].body);

                assert_int_equal(api_share_read(body, (size_t) n, &share, &fault), API_E_FAULT);
                if (fault.problem != table[i].problem || strcmp(fault.member, table[i].member) != 0)
                        fail_msg("%s: %s, %s",
                                        table[i].body,
                                        api_problem_info(fault.problem)->name,
                                        fault.member);
                assert_true(strlen(fault.detail) > 10);
                assert_null(share.provisioning.value);
        }
}

/* With zeros, so that the last symbol of base64 carries no bits of its own. */
static int message_of_size(const char *start, size_t symbols, const char *end, ApiFault *fault) {
        static char body[API_BODY_MAX + 1];
        ApiProvisioning provisioning = API_PROVISIONING_NULL;
        int n, r;

        n = snprintf(body, sizeof(body), "{\"provisioning\":{%s", start);
        memset(body + n, 'A', symbols);
        n += (int) symbols;
        n += snprintf(body + n, sizeof(body) - (size_t) n, "%s}}", end);
        r = api_message_read(body, (size_t) n, &provisioning, fault);
        api_provisioning_done(&provisioning);
        return r;
}

static void boxes_and_blobs_end_exactly_where_they_are_documented(void **state) {
        static const char box[] = "\"sealed\":{\"kid\":\"" KID "\",\"box\":\"",
                          blob[] = "\"encrypted\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"";
        ApiFault fault;

        (void) state;
        assert_int_equal(message_of_size(box, 66, "\"}", &fault), 0); /* 49 octets */
        assert_int_equal(message_of_size(box, 64, "\"}", &fault), API_E_FAULT);
        assert_int_equal(message_of_size(box, SHARE_LIMIT_BOX - 2, "==\"}", &fault), 0);
        assert_int_equal(message_of_size(box, SHARE_LIMIT_BOX, "\"}", &fault), API_E_FAULT);
        assert_string_equal(fault.member, "provisioning.sealed.box");
        assert_int_equal(message_of_size(box, SHARE_LIMIT_BOX + 4, "\"}", &fault), API_E_FAULT);

        assert_int_equal(message_of_size(blob, SHARE_LIMIT_ENCRYPTED_MIN, "\"}", &fault), 0);
        assert_int_equal(message_of_size(blob, SHARE_LIMIT_ENCRYPTED_MIN - 2, "\"}", &fault),
                        API_E_FAULT);
        assert_int_equal(message_of_size(blob, SHARE_LIMIT_ENCRYPTED, "\"}", &fault), 0);
        assert_int_equal(message_of_size(blob, SHARE_LIMIT_ENCRYPTED + 2, "\"}", &fault),
                        API_E_FAULT);
        assert_string_equal(fault.member, "provisioning.encrypted.data");
}

static void a_further_message_is_provisioning_that_is_not_minted(void **state) {
        static const char mint[] = "{\"provisioning\":{\"mint\":\"https://a.example/\"}}",
                          more[] = "{" PROVISIONING ",\"policy\":\"p\"}",
                          good[] = "{" PROVISIONING "}";
        ApiProvisioning provisioning = API_PROVISIONING_NULL;
        ApiFault fault;

        (void) state;
        assert_int_equal(api_message_read(mint, strlen(mint), &provisioning, &fault), API_E_FAULT);
        assert_string_equal(fault.member, "provisioning.mint");
        assert_int_equal(api_message_read(more, strlen(more), &provisioning, &fault), API_E_FAULT);
        assert_string_equal(fault.member, "policy");
        assert_int_equal(api_message_read("{}", 2, &provisioning, &fault), API_E_FAULT);
        assert_string_equal(fault.member, "provisioning");
        assert_int_equal(api_message_read(good, strlen(good), &provisioning, &fault), 0);
        assert_int_equal(provisioning.form, API_PROVISIONING_PLAIN);
        api_provisioning_done(&provisioning);
}

#define CLAIM(n) "\"0000000" #n "-AbCd-4000-8000-00000000000F\""

static void claims_become_one_spelling_and_none_is_there_twice(void **state) {
        static const struct {
                const char *claims, *member; /* NULL: taken */
        } table[] = {
                { "[" CLAIM(1) "," CLAIM(2) "," CLAIM(3) "]", NULL },
                { "[]", "claims" },
                { "[" CLAIM(1) "," CLAIM(2) "," CLAIM(3) "," CLAIM(4) "]", "claims" },
                { "[" CLAIM(1) "," CLAIM(1) "]", "claims" },
                { "[\"00000001-abcd-4000-8000-00000000000f\"," CLAIM(1) "]", "claims" },
                { "[1]", "claims" },
                { "[\"{00000001-abcd-4000-8000-00000000000}\"]", "claims" },
                { CLAIM(1), "claims" },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                ApiShare share = API_SHARE_NULL;
                ApiFault fault = { 0 };
                char body[1024];
                int n = snprintf(body,
                                sizeof(body),
                                "{\"policy\":\"p\",\"claims\":%s" REST,
                                table[i].claims);

                assert_int_equal(api_share_read(body, (size_t) n, &share, &fault),
                                table[i].member ? API_E_FAULT : 0);
                assert_string_equal(fault.member, table[i].member ? table[i].member : "");
                if (!table[i].member)
                        assert_string_equal(
                                        json_string_value(json_array_get(
                                                        json_object_get(share.body, "claims"), 2)),
                                        "00000003-abcd-4000-8000-00000000000f");
                api_share_done(&share);
        }
}

static void a_body_of_no_members_is_nothing_or_an_empty_object(void **state) {
        ApiFault fault;

        (void) state;
        assert_int_equal(api_nothing_read("", 0, &fault), 0);
        assert_int_equal(api_nothing_read("{}", 2, &fault), 0);
        assert_int_equal(api_nothing_read("[]", 2, &fault), API_E_FAULT);
        assert_int_equal(api_nothing_read("{\"a\":1}", 7, &fault), API_E_FAULT);
        assert_string_equal(fault.member, "a");
}

static void queries_are_decoded_and_bounded(void **state) {
        static const struct {
                const char *query;
                int result;
        } table[] = {
                { "", 0 },
                { "&&", 0 },
                { "after=0", 0 },
                { "after=9007199254740991", 0 },
                { "after=9007199254740992", API_E_FAULT },
                { "after=99999999999999999999", API_E_FAULT },
                { "after=", API_E_FAULT },
                { "after", API_E_FAULT },
                { "after=+1", API_E_FAULT },
                { "wait=60", 0 },
                { "wait=61", API_E_FAULT },
                { "reference=a%20b+c", 0 },
                { "reference=%", API_E_FAULT },
                { "reference=%4", API_E_FAULT },
                { "reference=%4g", API_E_FAULT },
                { "reference=%00", API_E_FAULT },
                { "reference=%c3%a9", 0 },
                { "reference=%c3", API_E_FAULT },
                { "reference=%E2%80%AE", API_E_FAULT },
                { "state=in%20vited", API_E_FAULT },
                { "limit=1", API_E_FAULT }, /* not allowed below */
                { "reference=a&reference=a", API_E_FAULT },
                { "=x", API_E_FAULT },
        };
        const unsigned allowed =
                        API_QUERY_AFTER | API_QUERY_WAIT | API_QUERY_REFERENCE | API_QUERY_STATE;
        ApiQuery query;
        ApiFault fault;

        (void) state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                if (api_query_read(table[i].query, allowed, &query, &fault) != table[i].result)
                        fail_msg("%s", table[i].query);
        }
        assert_int_equal(api_query_read("reference=a%20b+c&wait=7", allowed, &query, &fault), 0);
        assert_string_equal(query.reference, "a b c");
        assert_int_equal(query.wait, 7);
        assert_int_equal(query.given, API_QUERY_REFERENCE | API_QUERY_WAIT);
}

static void both_forms_of_an_idempotency_key_mean_the_same(void **state) {
        char key[API_KEY_MAX + 1];
        ApiFault fault;

        (void) state;
        assert_int_equal(api_idempotency_key_read("0123456789abcdefghijkl", key, &fault), 0);
        assert_string_equal(key, "0123456789abcdefghijkl");
        assert_int_equal(api_idempotency_key_read("\"0123456789abcdefghijkl\"", key, &fault), 0);
        assert_string_equal(key, "0123456789abcdefghijkl");
        assert_int_equal(api_idempotency_key_read("\"0123456789abcdefghijk\"", key, &fault),
                        API_E_FAULT);
        assert_int_equal(api_idempotency_key_read("\"0123456789abcdefghijkl", key, &fault),
                        API_E_FAULT);
        assert_int_equal(api_idempotency_key_read("\"0123456789abcdefghijkl\\", key, &fault),
                        API_E_FAULT);
        assert_int_equal(api_idempotency_key_read("\"0123456789abcdefghijkl\";a", key, &fault),
                        API_E_FAULT);
        assert_int_equal(api_idempotency_key_read("0123456789abc,defghijkl", key, &fault),
                        API_E_FAULT);
}

static void a_cut_or_changed_token_is_no_token(void **state) {
        char token[TOKEN_TEXT_SIZE], header[128], id[TOKEN_ID_SIZE];
        uint8_t hash[TOKEN_HASH_SIZE];
        ApiFault fault;

        (void) state;
        token_make(token);
        (void) snprintf(header, sizeof(header), "bEARER  %s", token);
        assert_int_equal(api_authorization_read(header, id, hash, &fault), 0);
        assert_memory_equal(id, token + 8, 8);
        header[strlen(header) - 1] = 0;
        assert_int_equal(api_authorization_read(header, id, hash, &fault), API_E_FAULT);
        assert_int_equal(fault.problem, API_PROBLEM_UNAUTHENTICATED);
        (void) snprintf(header, sizeof(header), "Bearer %s", token);
        header[20] = header[20] == 'a' ? 'b' : 'a';
        assert_int_equal(api_authorization_read(header, id, hash, &fault), API_E_FAULT);
}

static void only_utf8_json_is_json(void **state) {
        (void) state;
        assert_true(api_content_type_is_json("application/json"));
        assert_true(api_content_type_is_json("Application/JSON ; charset=\"UTF-8\""));
        assert_false(api_content_type_is_json("application/json; charset=utf-16"));
        assert_false(api_content_type_is_json("application/json-seq"));
        assert_false(api_content_type_is_json(""));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_minimal_share_is_read),
                cmocka_unit_test(addresses_become_canonical_and_keep_their_order),
                cmocka_unit_test(wrong_bodies_are_refused_with_the_member_concerned),
                cmocka_unit_test(content_stays_as_it_was_written),
                cmocka_unit_test(content_is_measured_as_it_was_written),
                cmocka_unit_test(numbers_beside_content_are_bounded_as_ever),
                cmocka_unit_test(sizes_end_exactly_where_they_are_documented),
                cmocka_unit_test(texts_are_taken_up_to_their_limit_and_not_a_byte_further),
                cmocka_unit_test(base64_of_every_kind_becomes_the_one_that_everybody_reads),
                cmocka_unit_test(what_the_tenant_sealed_is_read_with_its_key),
                cmocka_unit_test(a_url_to_mint_at_is_read_as_it_is),
                cmocka_unit_test(provisioning_is_refused_with_the_member_concerned),
                cmocka_unit_test(boxes_and_blobs_end_exactly_where_they_are_documented),
                cmocka_unit_test(a_further_message_is_provisioning_that_is_not_minted),
                cmocka_unit_test(claims_become_one_spelling_and_none_is_there_twice),
                cmocka_unit_test(a_body_of_no_members_is_nothing_or_an_empty_object),
                cmocka_unit_test(queries_are_decoded_and_bounded),
                cmocka_unit_test(both_forms_of_an_idempotency_key_mean_the_same),
                cmocka_unit_test(a_cut_or_changed_token_is_no_token),
                cmocka_unit_test(only_utf8_json_is_json),
        };

        if (secret_init() < 0)
                return 77;
        return cmocka_run_group_tests_name("api-request", tests, NULL, NULL);
}
