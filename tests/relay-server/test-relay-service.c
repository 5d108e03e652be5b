/* Requests applied to a store in memory, with a clock moved by hand. */
#include "test.h"

#include <jansson.h>

#include "relay-service.h"
#include "relay-stores.h"

static const RelayPolicy policy = { .public_url = "https://relay.example.org" };

typedef struct Fixture {
        RelayStores stores;
        uint8_t mailbox[RELAY_ID_SIZE];
} Fixture;

static RelayAnswer
apply(Fixture *f, RelayOperation operation, uint8_t claim, uint8_t request_id, int64_t now) {
        RelayRequest request = {
                .operation = operation,
                .has_request_id = true,
                .request_id = { request_id },
                .claim = { claim },
                .body_is_valid = true,
                .display = (char *) "{\"title\":\"<a>\",\"description\":\"b\",\"imageURL\":\"\"}",
                .payload = (char *) "{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"x\"}",
                .rights = RELAY_RIGHT_READ | RELAY_RIGHT_WRITE | RELAY_RIGHT_DELETE,
                .expiration = 1000,
                .token = claim,
        };
        RelayAnswer answer = RELAY_ANSWER_NULL;

        if (operation != RELAY_CREATE)
                memcpy(request.mailbox, f->mailbox, RELAY_ID_SIZE);
        assert_int_equal(relay_database_begin(f->stores.database), 0);
        assert_int_equal(relay_service_apply(f->stores.mailboxes, &policy, &request, now, &answer),
                        0);
        assert_int_equal(relay_database_commit(f->stores.database), 0);
        return answer;
}

static unsigned
status_of(Fixture *f, RelayOperation operation, uint8_t claim, uint8_t request_id, int64_t now) {
        _cleanup_(relay_answer_done) RelayAnswer answer =
                        apply(f, operation, claim, request_id, now);

        return answer.status;
}

static int open_fixture(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        const char *reason;

        if (!f || relay_stores_open(&f->stores, NULL, &reason) != 0)
                return -1;
        {
                _cleanup_(relay_answer_done) RelayAnswer answer = apply(f, RELAY_CREATE, 1, 1, 0);

                memcpy(f->mailbox, answer.mailbox, RELAY_ID_SIZE);
                *state = f;
                return answer.status == 200 ? 0 : -1;
        }
}

static int close_fixture(void **state) {
        Fixture *f = *state;

        relay_stores_done(&f->stores);
        free(f);
        return 0;
}

static void a_mailbox_dies_at_its_expiration_for_every_operation(void **state) {
        Fixture *f = *state;

        assert_int_equal(status_of(f, RELAY_READ, 1, 2, 999), 200);
        for (RelayOperation o = RELAY_UPDATE; o < _RELAY_OPERATION_MAX; o++)
                assert_int_equal(status_of(f, o, 1, 2, 1000), 404);
}

static void a_create_is_repeated_until_the_mailbox_would_have_expired(void **state) {
        Fixture *f = *state;

        assert_int_equal(status_of(f, RELAY_CREATE, 1, 1, 999), 201);
        assert_int_equal(status_of(f, RELAY_CREATE, 1, 1, 1000), 200);
}

static void a_claim_that_deleted_is_free_to_create_again(void **state) {
        Fixture *f = *state;

        assert_int_equal(status_of(f, RELAY_DELETE, 1, 2, 5), 200);
        assert_int_equal(status_of(f, RELAY_CREATE, 1, 1, 5), 200);
}

static void an_update_would_tell_the_other_party(void **state) {
        Fixture *f = *state;
        uint64_t first;
        RelayAnswer answer;

        assert_int_equal(status_of(f, RELAY_READ, 2, 1, 5), 200);
        answer = apply(f, RELAY_UPDATE, 2, 2, 5);
        assert_int_equal(answer.push, RELAY_PUSH_INITIATOR);
        assert_int_not_equal(answer.push_token, 0);
        first = answer.push_token;
        relay_answer_done(&answer);
        answer = apply(f, RELAY_UPDATE, 1, 2, 5);
        assert_int_equal(answer.push, RELAY_PUSH_RECIPIENT);
        assert_int_not_equal(answer.push_token, 0);
        assert_int_not_equal(answer.push_token, first);
        relay_answer_done(&answer);
}

static void a_recipient_who_left_is_told_nothing_more(void **state) {
        Fixture *f = *state;
        RelayAnswer answer;

        assert_int_equal(status_of(f, RELAY_READ, 2, 1, 5), 200);
        assert_int_equal(status_of(f, RELAY_UPDATE, 2, 2, 5), 200);
        assert_int_equal(status_of(f, RELAY_RELINQUISH, 2, 3, 5), 200);
        answer = apply(f, RELAY_UPDATE, 1, 2, 5);
        assert_int_equal(answer.push, RELAY_PUSH_NONE);
        relay_answer_done(&answer);
}

static void a_read_answers_json_with_the_three_members(void **state) {
        RelayAnswer answer = apply(*state, RELAY_READ, 2, 1, 5);
        json_auto_t *body = json_loadb(answer.body, answer.body_size, JSON_REJECT_DUPLICATES, NULL);

        assert_non_null(body);
        assert_int_equal(json_object_size(body), 3);
        assert_string_equal(json_string_value(json_object_get(body, "expiration")),
                        "1970-01-01T00:16:40Z");
        assert_string_equal(json_string_value(json_object_get(
                                            json_object_get(body, "payload"), "data")),
                        "x");
        relay_answer_done(&answer);
}

static void a_preview_escapes_and_binds_nobody(void **state) {
        Fixture *f = *state;
        RelayAnswer answer = apply(f, RELAY_PREVIEW, 9, 1, 5);

        assert_true(answer.kind == RELAY_ANSWER_HTML);
        assert_non_null(strstr(answer.body, "<title>&lt;a&gt;</title>"));
        assert_null(strstr(answer.body, "<a>"));
        relay_answer_done(&answer);
        assert_int_equal(status_of(f, RELAY_READ, 2, 1, 5), 200);
}

#define SERVICE_TEST(f) cmocka_unit_test_setup_teardown(f, open_fixture, close_fixture)

int main(void) {
        static const struct CMUnitTest tests[] = {
                SERVICE_TEST(a_mailbox_dies_at_its_expiration_for_every_operation),
                SERVICE_TEST(a_create_is_repeated_until_the_mailbox_would_have_expired),
                SERVICE_TEST(a_claim_that_deleted_is_free_to_create_again),
                SERVICE_TEST(an_update_would_tell_the_other_party),
                SERVICE_TEST(a_recipient_who_left_is_told_nothing_more),
                SERVICE_TEST(a_read_answers_json_with_the_three_members),
                SERVICE_TEST(a_preview_escapes_and_binds_nobody),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
