/* Draft V behind relay.h: the same requests and outcomes as of draft-v.h, and the second try of a
 * read that was taken for a repeated one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cleanup.h"
#include "draft-v-case.h"
#include "relay.h"
#include "secret.h"

#define READ_BODY                                                                            \
        "{\"payload\":{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"AAAA\"},"                    \
        "\"displayInformation\":{\"title\":\"T\",\"description\":\"D\",\"imageURL\":\"I\"}," \
        "\"expiration\":\"2021-11-03T20:32:34Z\"}"

static const RelayTerms terms = { .hosts = hosts, .url = "https://relay.example" };

static const uint8_t secret[16] = { 0x85, 0x79, 0x6b, 0xe9 };

static RelayJobTask task_of(RelayJobOperation operation) {
        return (RelayJobTask){
                .operation = operation,
                .mailbox = operation == RELAY_JOB_CREATE ? NULL : MAILBOX,
                .claim = CLAIM,
                .request_id = REQUEST,
                .payload_type = "AEAD_AES_128_GCM",
                .payload_data = "AAAA",
                .title = "Room key",
                .description = "",
                .image_url = "",
                .access_rights = "RWD",
                .expiration = NOW + 3600,
                .vertical = 'h',
                .secret = secret,
                .secret_size = sizeof(secret),
        };
}

static RelayJob *begin(const RelayJobTask *task, HttpRequest *ret) {
        RelayJob *job;

        assert_int_equal(relay_job_begin(relay_protocol_find("draft-v"), &terms, task, &job, ret),
                        RELAY_SEND);
        return job;
}

static int
tell(RelayJob *job, int status, const char *headers, const char *body, HttpRequest *ret) {
        HttpAnswer answer = answer_of(status, headers, body, strlen(body));

        return relay_job_answer(job, &answer, NOW, ret);
}

static RelayOutcome outcome_of(RelayJobOperation operation, int status, const char *body) {
        RelayJobTask task = task_of(operation);
        HttpRequest request;
        _cleanup_(relay_job_freep) RelayJob *job = begin(&task, &request);

        http_request_done(&request);
        assert_int_equal(tell(job, status, ECHOED, body, &request), 0);
        assert_int_equal(relay_job_result(job)->reachable, status != 0);
        assert_int_equal(relay_job_result(job)->outcome == RELAY_DONE,
                        !relay_job_result(job)->reason[0]);
        return relay_job_result(job)->outcome;
}

static void protocols_are_found_by_name(void **state) {
        (void) state;
        assert_non_null(relay_protocol_find("draft-v"));
        assert_non_null(relay_protocol_find("draft-r"));
        assert_ptr_not_equal(relay_protocol_find("draft-v"), relay_protocol_find("draft-r"));
        assert_null(relay_protocol_find("draft-x"));
        assert_null(relay_protocol_find(""));
}

static void each_operation_has_its_method(void **state) {
        static const char *const methods[] = {
                [RELAY_JOB_CREATE] = "POST",
                [RELAY_JOB_LOOK] = "POST",
                [RELAY_JOB_READ] = "POST",
                [RELAY_JOB_UPDATE] = "PUT",
                [RELAY_JOB_DELETE] = "DELETE",
                [RELAY_JOB_RELINQUISH] = "PATCH",
        };

        (void) state;
        for (RelayJobOperation operation = 0; operation <= RELAY_JOB_RELINQUISH; operation++) {
                RelayJobTask task = task_of(operation);
                _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
                _cleanup_(relay_job_freep) RelayJob *job = begin(&task, &request);

                assert_non_null(job);
                assert_string_equal(request.method, methods[operation]);
                assert_string_equal(request.url,
                                operation == RELAY_JOB_CREATE ? "https://relay.example/v1/m"
                                                              : MAILBOX);
                assert_string_equal(request.headers[0], "Mailbox-Request-ID: " REQUEST);
                assert_string_equal(request.headers[1], "Mailbox-Device-Claim: " CLAIM);
        }
}

static void outcomes_are_those_of_the_draft(void **state) {
        static const struct {
                int status;
                RelayOutcome create, read, update, delete, relinquish;
        } cases[] = {
                /* clang-format off */
                { 0,   RELAY_AGAIN,        RELAY_AGAIN,   RELAY_AGAIN,        RELAY_AGAIN,        RELAY_AGAIN },
                { 400, RELAY_REFUSED,      RELAY_REFUSED, RELAY_REFUSED,      RELAY_REFUSED,      RELAY_REFUSED },
                { 401, RELAY_UNAUTHORISED, RELAY_CLAIMED, RELAY_UNAUTHORISED, RELAY_UNAUTHORISED, RELAY_UNAUTHORISED },
                { 404, RELAY_REFUSED,      RELAY_GONE,    RELAY_GONE,         RELAY_GONE,         RELAY_GONE },
                { 503, RELAY_AGAIN,        RELAY_AGAIN,   RELAY_AGAIN,        RELAY_AGAIN,        RELAY_AGAIN },
                /* clang-format on */
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                int status = cases[i].status;

                assert_int_equal(outcome_of(RELAY_JOB_CREATE, status, ""), cases[i].create);
                assert_int_equal(outcome_of(RELAY_JOB_READ, status, ""), cases[i].read);
                assert_int_equal(outcome_of(RELAY_JOB_UPDATE, status, ""), cases[i].update);
                assert_int_equal(outcome_of(RELAY_JOB_DELETE, status, ""), cases[i].delete);
                assert_int_equal(outcome_of(RELAY_JOB_RELINQUISH, status, ""), cases[i].relinquish);
        }
        assert_int_equal(outcome_of(RELAY_JOB_CREATE, 201, ""), RELAY_DUPLICATE);
        assert_int_equal(outcome_of(RELAY_JOB_READ, 200, READ_BODY), RELAY_DONE);
        assert_int_equal(outcome_of(RELAY_JOB_UPDATE, 200, "{}"), RELAY_DONE);
        assert_int_equal(outcome_of(RELAY_JOB_DELETE, 200, ""), RELAY_DONE);
        assert_int_equal(outcome_of(RELAY_JOB_RELINQUISH, 201, ""), RELAY_DONE);
}

static void create_gives_mailbox_and_link(void **state) {
        static const char body[] =
                        "{\"urlLink\":\"" MAILBOX "\",\"isPushNotificationSupported\":true}";
        static const struct {
                char vertical;
                const uint8_t *secret;
                const char *link;
        } cases[] = {
                { 'h', secret, MAILBOX "?v=h#hXlr6QAAAAAAAAAAAAAAAA==" },
                { 'c', NULL, MAILBOX "?v=c" }, /* the Secret travels apart */
                { 0, NULL, NULL },
                { 0, secret, NULL },
        };
        RelayJobTask task = task_of(RELAY_JOB_CREATE);

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(relay_job_freep) RelayJob *job = NULL;
                HttpRequest request;

                task.vertical = cases[i].vertical;
                task.secret = cases[i].secret;
                job = begin(&task, &request);
                http_request_done(&request);
                assert_int_equal(tell(job, 200, ECHOED, body, &request), 0);
                assert_int_equal(relay_job_result(job)->outcome, RELAY_DONE);
                assert_string_equal(relay_job_result(job)->mailbox, MAILBOX);
                assert_true(relay_job_result(job)->push_is_supported);
                assert_null(relay_job_result(job)->state);
                if (cases[i].link)
                        assert_string_equal(relay_job_result(job)->link, cases[i].link);
                else
                        assert_null(relay_job_result(job)->link);
        }
}

static void a_device_attests_itself_where_the_draft_says(void **state) {
        static const char line[] = "Mailbox-Device-Attestation: AAEC";
        RelayTerms attested = terms;

        (void) state;
        attested.attestation = "AAEC";
        for (RelayJobOperation operation = 0; operation <= RELAY_JOB_RELINQUISH; operation++) {
                RelayJobTask task = task_of(operation);
                _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
                _cleanup_(relay_job_freep) RelayJob *job = NULL;
                bool is_there = false;

                assert_int_equal(relay_job_begin(relay_protocol_find("draft-v"),
                                                 &attested,
                                                 &task,
                                                 &job,
                                                 &request),
                                RELAY_SEND);
                for (size_t i = 0; i < request.n_headers; i++)
                        is_there |= strcmp(request.headers[i], line) == 0;
                assert_int_equal(is_there,
                                operation == RELAY_JOB_CREATE || operation == RELAY_JOB_UPDATE);
        }
}

static void read_gives_what_lies_there(void **state) {
        RelayJobTask task = task_of(RELAY_JOB_READ);
        HttpRequest request;
        _cleanup_(relay_job_freep) RelayJob *job = begin(&task, &request);
        const RelayResult *result;

        (void) state;
        http_request_done(&request);
        assert_int_equal(tell(job, 200, "", READ_BODY, &request), 0);
        result = relay_job_result(job);
        assert_int_equal(result->outcome, RELAY_DONE);
        assert_true(result->missing_echo);
        assert_string_equal(result->payload_type, "AEAD_AES_128_GCM");
        assert_string_equal(result->payload_data, "AAAA");
        assert_string_equal(result->title, "T");
        assert_string_equal(result->description, "D");
        assert_string_equal(result->image_url, "I");
        assert_int_equal(result->expiration, 1635971554);
}

static void a_read_taken_for_a_repeated_one_is_tried_once_with_a_fresh_id(void **state) {
        RelayJobTask task = task_of(RELAY_JOB_READ);
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        _cleanup_(relay_job_freep) RelayJob *job = begin(&task, &request);
        char echo[128];

        (void) state;
        http_request_done(&request);
        assert_int_equal(tell(job, 201, ECHOED, "", &request), RELAY_SEND);
        assert_string_equal(request.method, "POST");
        assert_string_equal(request.url, MAILBOX);
        assert_string_not_equal(request.headers[0], "Mailbox-Request-ID: " REQUEST);
        assert_string_equal(request.headers[1], "Mailbox-Device-Claim: " CLAIM);

        (void) snprintf(echo, sizeof(echo), "%s\r\n", request.headers[0]);
        http_request_done(&request);
        assert_int_equal(tell(job, 201, echo, "", &request), 0);
        assert_int_equal(relay_job_result(job)->outcome, RELAY_AGAIN);
        assert_string_equal(relay_job_result(job)->reason, "repeated-read");
}

static void what_cannot_be_asked_is_refused_without_a_request(void **state) {
        RelayJobTask tasks[5];
        static const char *const reasons[] = {
                "bad-frame", "bad-frame", "bad-mailbox", "bad-display", "too-large"
        };
        _cleanup_(freep) char *large = calloc(1, 70000);

        (void) state;
        memset(large, 'A', 69999);
        for (size_t i = 0; i < N_ELEMENTS(tasks); i++)
                tasks[i] = task_of(i == 2 ? RELAY_JOB_UPDATE : RELAY_JOB_CREATE);
        tasks[0].claim = "x";
        tasks[1].request_id = "x";
        tasks[2].mailbox = "https://other.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77";
        tasks[3].access_rights = "X";
        tasks[4].payload_data = large;
        for (size_t i = 0; i < N_ELEMENTS(tasks); i++) {
                _cleanup_(relay_job_freep) RelayJob *job = NULL;
                HttpRequest request;

                assert_int_equal(relay_job_begin(relay_protocol_find("draft-v"),
                                                 &terms,
                                                 &tasks[i],
                                                 &job,
                                                 &request),
                                0);
                assert_int_equal(relay_job_result(job)->outcome, RELAY_REFUSED);
                assert_string_equal(relay_job_result(job)->reason, reasons[i]);
        }
}

static void draft_v_has_nothing_to_acknowledge(void **state) {
        RelayJobTask task = task_of(RELAY_JOB_ACKNOWLEDGE);
        _cleanup_(relay_job_freep) RelayJob *job = NULL;
        HttpRequest request;

        (void) state;
        assert_int_equal(relay_job_begin(relay_protocol_find("draft-v"),
                                         &terms,
                                         &task,
                                         &job,
                                         &request),
                        0);
        assert_int_equal(relay_job_result(job)->outcome, RELAY_DONE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(protocols_are_found_by_name),
                cmocka_unit_test(each_operation_has_its_method),
                cmocka_unit_test(outcomes_are_those_of_the_draft),
                cmocka_unit_test(create_gives_mailbox_and_link),
                cmocka_unit_test(a_device_attests_itself_where_the_draft_says),
                cmocka_unit_test(read_gives_what_lies_there),
                cmocka_unit_test(a_read_taken_for_a_repeated_one_is_tried_once_with_a_fresh_id),
                cmocka_unit_test(what_cannot_be_asked_is_refused_without_a_request),
                cmocka_unit_test(draft_v_has_nothing_to_acknowledge),
        };

        if (secret_init() < 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
