/* Heads and bodies as strangers write them. */
#include "test.h"

#include <stdio.h>

#include "relay-request.h"
#include "time-text.h"

#define ID "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"
#define CLAIM "5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01"
#define PAYLOAD "\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAEC\"}"
#define DISPLAY "\"displayInformation\":{\"title\":\"a\",\"description\":\"b\",\"imageURL\":\"c\"}"

static const RelayLimits limits = { .now = 1000000, .ttl_default = 100, .ttl_max = 1000 };

static int parse(RelayHead head, RelayRequest *ret) {
        const char *reason = NULL;
        int r;

        *ret = RELAY_REQUEST_NULL;
        r = relay_request_parse_head(&head, ret, &reason);
        if (r != 0)
                assert_non_null(reason);
        return r;
}

static void method_and_path_name_the_operation(void **state) {
        static const struct {
                const char *method, *target;
                int result;
                RelayOperation operation;
        } table[] = {
                { "POST", "/v1/m", 0, RELAY_CREATE },
                { "POST", "/v1/m?x", 0, RELAY_CREATE },
                { "POST", "/v1/m/" ID, 0, RELAY_READ },
                { "GET", "/v1/m/" ID "?v=c", 0, RELAY_PREVIEW },
                { "HEAD", "/v1/m/" ID, 0, RELAY_PREVIEW },
                { "PUT", "/v1/m/3F0C1A52-6F0B-4A6E-9C1D-0B1F5F1F2A77", 0, RELAY_UPDATE },
                { "DELETE", "/v1/m/" ID, 0, RELAY_DELETE },
                { "PATCH", "/v1/m/" ID, 0, RELAY_RELINQUISH },
                { "GET", "/v1/m", RELAY_REQUEST_E_METHOD, 0 },
                { "get", "/v1/m/" ID, RELAY_REQUEST_E_METHOD, 0 },
                { "OPTIONS", "/v1/m/" ID, RELAY_REQUEST_E_METHOD, 0 },
                { "POST", "", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/mm", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v2/m", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/" ID "/", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/" ID "0", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a7", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a7g", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/3f0c1a526-f0b-4a6e-9c1d-0b1f5f1f2a77", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "http://x/v1/m", RELAY_REQUEST_E_PATH, 0 },
                { "POST", "/v1/m/" ID "#x", RELAY_REQUEST_E_FRAGMENT, 0 },
                { "POST", "/v1/m/" ID "?v=%23x", RELAY_REQUEST_E_FRAGMENT, 0 },
        };
        RelayRequest request;

        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                int r = parse((RelayHead){ .method = table[i].method,
                                              .target = table[i].target,
                                              .request_id = ID,
                                              .claim = CLAIM },
                                &request);

                if (r != table[i].result)
                        fail_msg("%s %s: %d", table[i].method, table[i].target, r);
                if (r == 0)
                        assert_int_equal(request.operation, table[i].operation);
        }
}

static void headers_are_needed_as_the_draft_lists_them(void **state) {
        static const struct {
                const char *method, *request_id, *claim, *type;
                bool referer, repeats;
                int result;
        } table[] = {
                { "PUT", ID, CLAIM, NULL, false, false, 0 },
                { "PUT", ID, CLAIM, "application/json", false, false, 0 },
                { "PUT", ID, CLAIM, "Application/JSON; charset=utf-8", false, false, 0 },
                { "PUT", ID, CLAIM, "text/plain", false, false, RELAY_REQUEST_E_HEADER },
                { "PUT", ID, CLAIM, "application/jsonx", false, false, RELAY_REQUEST_E_HEADER },
                { "PUT", NULL, CLAIM, NULL, false, false, RELAY_REQUEST_E_HEADER },
                { "PUT", "1", CLAIM, NULL, false, false, RELAY_REQUEST_E_HEADER },
                { "PUT", ID, NULL, NULL, false, false, RELAY_REQUEST_E_CLAIM },
                { "PUT", ID, "", NULL, false, false, RELAY_REQUEST_E_HEADER },
                { "PUT", ID, CLAIM, NULL, true, false, RELAY_REQUEST_E_REFERER },
                { "PUT", ID, CLAIM, NULL, false, true, RELAY_REQUEST_E_HEADER },
                { "DELETE", NULL, CLAIM, NULL, false, false, RELAY_REQUEST_E_HEADER },
                { "PATCH", NULL, CLAIM, NULL, false, false, RELAY_REQUEST_E_HEADER },
                { "POST", NULL, CLAIM, "text/plain", false, false, 0 },
                { "POST", NULL, NULL, NULL, false, false, RELAY_REQUEST_E_CLAIM },
                { "GET", NULL, NULL, NULL, false, false, 0 },
                { "GET", "1", NULL, NULL, false, false, RELAY_REQUEST_E_HEADER },
        };
        RelayRequest request;

        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                int r = parse((RelayHead){ .method = table[i].method,
                                              .target = "/v1/m/" ID,
                                              .request_id = table[i].request_id,
                                              .claim = table[i].claim,
                                              .content_type = table[i].type,
                                              .has_referer = table[i].referer,
                                              .repeats = table[i].repeats },
                                &request);

                if (r != table[i].result)
                        fail_msg("row %zu: %d", i, r);
        }
}

static void ids_survive_reading_and_writing(void **state) {
        uint8_t id[RELAY_ID_SIZE];
        char text[37];

        assert_int_equal(relay_id_parse("3F0C1A52-6F0B-4A6E-9C1D-0B1F5F1F2A77", id), 0);
        relay_id_text(id, text);
        assert_string_equal(text, ID);
        assert_true(relay_id_parse("3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a7", id) < 0);
        assert_true(relay_id_parse("3f0c1a52-6f0b-4a6e-9c1d+0b1f5f1f2a77", id) < 0);
        assert_true(relay_id_parse("", id) < 0);
}

static int parse_body(RelayOperation operation, const char *body, RelayRequest *ret) {
        char reason[160] = "";
        int r;

        *ret = RELAY_REQUEST_NULL;
        ret->operation = operation;
        r = relay_request_parse_body(ret, body, strlen(body), &limits, reason);
        assert_int_equal(ret->body_is_valid, r == 0);
        if (r > 0)
                assert_true(strlen(reason) > 0);
        return r;
}

static void a_create_without_configuration_gets_the_defaults(void **state) {
        _cleanup_(relay_request_done) RelayRequest request;

        assert_int_equal(parse_body(RELAY_CREATE, "{" PAYLOAD "," DISPLAY ",\"x\":[]}", &request),
                        0);
        assert_string_equal(request.payload, "{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAEC\"}");
        assert_string_equal(request.display,
                        "{\"title\":\"a\",\"description\":\"b\",\"imageURL\":\"c\"}");
        assert_int_equal(request.rights, RELAY_RIGHT_READ | RELAY_RIGHT_DELETE);
        assert_int_equal(request.expiration, limits.now + limits.ttl_default);
        assert_int_equal(request.token, 0);
}

static void text_is_written_as_json_again(void **state) {
        _cleanup_(relay_request_done) RelayRequest request;

        assert_int_equal(parse_body(RELAY_UPDATE,
                                         "{\"payload\":{\"type\":\"AEAD_AES_256_GCM\","
                                         "\"data\":\"\\u0001\\n\\\"\\\\\\/\\u00e4\x7f\"}}",
                                         &request),
                        0);
        assert_string_equal(request.payload,
                        "{\"type\":\"AEAD_AES_256_GCM\",\"data\":\"\\u0001\\u000a\\\"\\\\/"
                        "\xc3\xa4\x7f\"}");
}

static int parse_configuration(const char *configuration) {
        _cleanup_(relay_request_done) RelayRequest request;
        char body[512];

        (void) snprintf(body,
                        sizeof(body),
                        "{" PAYLOAD "," DISPLAY ",\"mailboxConfiguration\":{%s}}",
                        configuration);
        return parse_body(RELAY_CREATE, body, &request);
}

static void an_expiration_lies_between_now_and_the_longest_life(void **state) {
        static const struct {
                int64_t after;
                int result;
        } table[] = { { -1, RELAY_REQUEST_E_BODY },
                { 0, RELAY_REQUEST_E_BODY },
                { 1, 0 },
                { 1000, 0 },
                { 1001, RELAY_REQUEST_E_BODY } };
        char text[TIME_TEXT_SIZE], configuration[64];

        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                time_text(limits.now + table[i].after, text);
                (void) snprintf(configuration,
                                sizeof(configuration),
                                "\"expiration\":\"%s\"",
                                text);
                assert_int_equal(parse_configuration(configuration), table[i].result);
        }
        assert_int_equal(parse_configuration(""), RELAY_REQUEST_E_BODY);
        assert_int_equal(parse_configuration("\"expiration\":\"9999-12-31T23:59:59Z\""),
                        RELAY_REQUEST_E_BODY);
}

static void bad_bodies_are_named_as_such(void **state) {
        static const char *const bodies[] = {
                "",
                "{}",
                "[" PAYLOAD "]",
                "{" PAYLOAD "}x",
                "{" PAYLOAD "," PAYLOAD "}",
                "{\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"a\\u0000b\"}}",
                "{\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"\xff\"}}",
                "{\"payload\":{\"type\":\"AES128\",\"data\":\"\"}}",
                "{\"payload\":\"{}\"}",
                "{" PAYLOAD ",\"notificationToken\":{\"type\":\"a\"}}",
                "{" PAYLOAD ",\"notificationToken\":{\"type\":\"\",\"tokenData\":\"a\"}}",
                "{" PAYLOAD ",\"x\":[[[[[[[[[]]]]]]]]]}",
        };
        RelayRequest request;

        for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
                assert_int_equal(parse_body(RELAY_UPDATE, bodies[i], &request),
                                RELAY_REQUEST_E_BODY);
                relay_request_done(&request);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(method_and_path_name_the_operation),
                cmocka_unit_test(headers_are_needed_as_the_draft_lists_them),
                cmocka_unit_test(ids_survive_reading_and_writing),
                cmocka_unit_test(a_create_without_configuration_gets_the_defaults),
                cmocka_unit_test(text_is_written_as_json_again),
                cmocka_unit_test(an_expiration_lies_between_now_and_the_longest_life),
                cmocka_unit_test(bad_bodies_are_named_as_such),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
