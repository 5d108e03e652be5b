/* What the tests of the client's checklist share: any operation with the same values for all, and
 * what a relay answers. */
#pragma once

#include "vectors.h"

#include "cleanup.h"
#include "draft-v-case.h"
#include "draft-v.h"
#include "relay.h"

#define OTHER_REQUEST "00000000-0000-4000-8000-00000000000b"
#define SECRET_TEXT "hXlr6aRC7KgJpOLTNZaLsw=="
#define LINK_BODY "{\"urlLink\":\"" MAILBOX "\"}"
#define PAYLOAD "\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAAA\"}"
#define READ_BODY "{" PAYLOAD "}"

static const DraftVCreate create = {
        .title = "Room key",
        .description = "",
        .image_url = "",
        .payload_type = "AEAD_AES_128_GCM",
        .payload_data = "AAAA",
        .access_rights = "RD",
        .expiration = NOW,
};

static const DraftVUpdate update = { .payload_type = "AEAD_AES_128_GCM", .payload_data = "AAAA" };

/* Any operation, with the same values for all. */
static inline int
build(DraftVOperation operation, const char *url, DraftVDialect dialect, HttpRequest *ret) {
        const DraftVCaller caller = {
                .dialect = dialect,
                .claim = CLAIM,
                .request_id = REQUEST,
                .attestation = "attested",
        };

        switch (operation) {
        case DRAFT_V_CREATE:
                return draft_v_create(url, &caller, &create, ret);
        case DRAFT_V_UPDATE:
                return draft_v_update(url, &caller, &update, ret);
        default:
                return draft_v_plain(operation, url, &caller, ret);
        }
}

static inline const char *url_of(DraftVOperation operation) {
        return operation == DRAFT_V_CREATE ? "https://relay.example" : MAILBOX;
}

/* How many headers have this name, and in *ret the value of the last. */
static inline size_t headers_of(const HttpRequest *request, const char *name, const char **ret) {
        size_t n = 0;

        for (size_t i = 0; i < request->n_headers; i++) {
                const char *colon = strchr(request->headers[i], ':');

                assert_non_null(colon);
                if ((size_t) (colon - request->headers[i]) == strlen(name) &&
                                strncasecmp(request->headers[i], name, strlen(name)) == 0) {
                        *ret = colon + 2;
                        n++;
                }
        }
        return n;
}

static inline void assert_header(DraftVOperation operation,
                DraftVDialect dialect,
                const char *name,
                const char *expected) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        const char *value = NULL;

        print_message("# operation %d, %s\n", (int) operation, name);
        assert_int_equal(build(operation, url_of(operation), dialect, &request), 0);
        assert_int_equal(headers_of(&request, name, &value), expected ? 1 : 0);
        if (expected)
                assert_string_equal(value, expected);
}

/* Everything that would go out, one after another. */
static inline char *octets_of(const HttpRequest *request) {
        char *text;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        (void) fprintf(f, "%s %s\n", request->method, request->url);
        for (size_t i = 0; i < request->n_headers; i++)
                (void) fprintf(f, "%s\n", request->headers[i]);
        if (request->body)
                (void) fwrite(request->body, 1, request->body_size, f);
        (void) fclose(f);
        return text;
}

static inline json_t *body_of(const HttpRequest *request) {
        json_t *body = json_loadb(request->body, request->body_size, 0, NULL);

        assert_non_null(body);
        return body;
}

static inline json_t *create_body(const DraftVCreate *what) {
        static const DraftVCaller caller = { .claim = CLAIM, .request_id = REQUEST };
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;

        assert_int_equal(draft_v_create("https://relay.example", &caller, what, &request), 0);
        return body_of(&request);
}

static inline const char *text_at(const json_t *body, const char *object, const char *member) {
        return json_string_value(json_object_get(json_object_get(body, object), member));
}

static inline void read_answer_of(DraftVOperation operation,
                int status,
                const char *headers,
                const char *body,
                DraftVAnswer *ret) {
        HttpAnswer answer = answer_of(status, headers, body, strlen(body));

        assert_int_equal(draft_v_read_answer(operation, REQUEST, &answer, hosts, NOW, ret), 0);
}

static inline DraftVOutcome outcome_of(
                DraftVOperation operation, int status, const char *headers, const char *body) {
        _cleanup_(draft_v_answer_done) DraftVAnswer answer;

        read_answer_of(operation, status, headers, body, &answer);
        return answer.outcome;
}

static inline const char *good_body(DraftVOperation operation) {
        return operation == DRAFT_V_CREATE ? LINK_BODY
               : operation == DRAFT_V_READ ? READ_BODY
                                           : "{}";
}
