/* Of the requests in the relay's scenarios, those that a client makes are those of our library. */
#include "conformance-case.h"

#include "payload.h"
#include "secret.h"

static DraftVOperation operation_of(const char *name) {
        static const struct {
                const char *name;
                DraftVOperation operation;
        } names[] = {
                { "CreateMailbox", DRAFT_V_CREATE },
                { "ReadSecureContentFromMailbox", DRAFT_V_READ },
                { "UpdateMailbox", DRAFT_V_UPDATE },
                { "DeleteMailbox", DRAFT_V_DELETE },
                { "RelinquishMailbox", DRAFT_V_RELINQUISH },
                { "ReadDisplayInformationFromMailbox", DRAFT_V_PREVIEW },
        };

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (streq(names[i].name, name))
                        return names[i].operation;
        fail_msg("an operation without a name: %s", name);
        return DRAFT_V_CREATE;
}

static json_t *payload_named(const char *name) {
        const json_t *vector;
        size_t i;

        json_array_foreach(json_object_get(vectors, "payload_positive"), i, vector) {
                if (streq(name, vector_text(vector, "name")))
                        return json_loads(vector_text(vector, "payload_json"), 0, NULL);
        }
        return NULL;
}

/* A step's body with its placeholders filled in: the payload vector that it names, and an
 * expiration that we know. NULL: there is none. */
static json_t *scenario_body(const json_t *step) {
        json_t *body = json_deep_copy(json_object_get(step, "json"));
        const char *name = text_at(body, "payload", "$payload");
        json_t *configuration = json_object_get(body, "mailboxConfiguration");

        if (name)
                assert_int_equal(json_object_set_new(body, "payload", payload_named(name)), 0);
        if (configuration)
                assert_int_equal(json_object_set_new(configuration,
                                                 "expiration",
                                                 json_string("2026-11-21T12:00:00Z")),
                                0);
        return body;
}

static DraftVToken token_of(const json_t *body) {
        return (DraftVToken){
                .type = text_at(body, "notificationToken", "type"),
                .data = text_at(body, "notificationToken", "tokenData"),
        };
}

static int build_step(const json_t *step, const json_t *body, HttpRequest *ret) {
        const json_t *headers = json_object_get(step, "headers");
        const char *id = vector_text(headers, "Mailbox-Request-ID");
        const DraftVOperation operation = operation_of(vector_text(step, "op"));
        const DraftVCaller caller = {
                .claim = vector_text(headers, "Mailbox-Device-Claim"),
                .request_id = id ? id : REQUEST,
        };

        if (operation == DRAFT_V_CREATE)
                return draft_v_create("https://relay.example",
                                &caller,
                                &(DraftVCreate){
                                                .title = text_at(body,
                                                                "displayInformation",
                                                                "title"),
                                                .description = text_at(body,
                                                                "displayInformation",
                                                                "description"),
                                                .image_url = text_at(body,
                                                                "displayInformation",
                                                                "imageURL"),
                                                .payload_type = text_at(body, "payload", "type"),
                                                .payload_data = text_at(body, "payload", "data"),
                                                .access_rights = text_at(body,
                                                                "mailboxConfiguration",
                                                                "accessRights"),
                                                .expiration = NOW,
                                                .token = token_of(body),
                                },
                                ret);
        if (operation == DRAFT_V_UPDATE)
                return draft_v_update(MAILBOX,
                                &caller,
                                &(DraftVUpdate){
                                                .payload_type = text_at(body, "payload", "type"),
                                                .payload_data = text_at(body, "payload", "data"),
                                                .token = token_of(body),
                                },
                                ret);
        return draft_v_plain(operation, MAILBOX, &caller, ret);
}

/* The others are there to see a relay refuse them. */
static bool step_is_ours(const json_t *step, const json_t *body) {
        const json_t *headers = json_object_get(step, "headers");

        switch (operation_of(vector_text(step, "op"))) {
        case DRAFT_V_PREVIEW:
                return true;
        case DRAFT_V_CREATE:
                return text_at(body, "displayInformation", "title") &&
                       text_at(body, "displayInformation", "imageURL") &&
                       text_at(body, "payload", "data") &&
                       text_at(body, "mailboxConfiguration", "accessRights");
        default:
                return json_object_get(headers, "Mailbox-Device-Claim") != NULL;
        }
}

static void assert_step(const json_t *step, const json_t *expected) {
        _cleanup_(http_request_done) HttpRequest request = HTTP_REQUEST_NULL;
        const char *const url = streq(vector_text(step, "path"), "/v1/m")
                                                ? "https://relay.example/v1/m"
                                                : MAILBOX;
        json_auto_t *body = NULL;
        const char *name;
        const json_t *value;

        assert_int_equal(build_step(step, expected, &request), 0);
        assert_string_equal(request.method, vector_text(step, "method"));
        assert_string_equal(request.url, url);
        json_object_foreach((json_t *) json_object_get(step, "headers"), name, value) {
                const char *ours = NULL;

                assert_int_equal(headers_of(&request, name, &ours), 1);
                assert_string_equal(ours, json_string_value(value));
        }
        assert_true((expected != NULL) == (request.body != NULL));
        if (expected) {
                body = body_of(&request);
                assert_true(json_equal(body, expected));
        }
}

static void every_request_of_the_scenarios_is_built(void **state) {
        const json_t *scenarios =
                        json_object_get(json_object_get(vectors, "relay_scenarios"), "scenarios");
        const json_t *scenario, *step;
        size_t i, j, n_built = 0, n_foreign = 0;

        (void) state;
        json_array_foreach(scenarios, i, scenario) {
                (void) vector_begin(scenario);
                json_array_foreach(json_object_get(scenario, "steps"), j, step) {
                        json_auto_t *body = scenario_body(step);

                        if (!vector_text(step, "op"))
                                continue; /* the clock moves */
                        if (step_is_ours(step, body)) {
                                assert_step(step, body);
                                n_built++;
                        } else
                                n_foreign++;
                }
        }
        assert_int_equal(n_built, 66);
        assert_int_equal(n_foreign, 3);
}

int main(int argc, char **argv) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_request_of_the_scenarios_is_built),
        };

        if (secret_init() < 0 || vectors_load(argc, argv) != 0)
                return 99;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
