/* Heads of Draft R as strangers write them. */
#include "test.h"

#include "drop-request.h"

#define LOCATION "iTdFXLZM-ywgZx4sxKUeBnUHxojL9Gf4bb87GgJeBAw"

static void method_path_and_condition_name_the_operation(void **state) {
        static const struct {
                const char *method, *target, *condition;
                bool referer, repeats;
                int result;
                DropOperation operation;
        } table[] = {
                { "PUT", "/t/" LOCATION, "*", false, false, 0, DROP_PUT },
                { "GET", "/t/" LOCATION, NULL, false, false, 0, DROP_GET },
                { "HEAD", "/t/" LOCATION, NULL, false, false, 0, DROP_GET },
                { "DELETE", "/t/" LOCATION, NULL, false, false, 0, DROP_DELETE },
                { "PUT", "/t/" LOCATION, NULL, false, false, DROP_REQUEST_E_CONDITION, 0 },
                { "PUT", "/t/" LOCATION, "", false, false, RELAY_REQUEST_E_HEADER, 0 },
                { "PUT", "/t/" LOCATION, "\"x\"", false, false, RELAY_REQUEST_E_HEADER, 0 },
                { "PUT", "/t/" LOCATION, "*", false, true, RELAY_REQUEST_E_HEADER, 0 },
                { "PUT", "/t/" LOCATION, "*", true, false, RELAY_REQUEST_E_REFERER, 0 },
                { "POST", "/t/" LOCATION, NULL, false, false, RELAY_REQUEST_E_METHOD, 0 },
                { "put", "/t/" LOCATION, "*", false, false, RELAY_REQUEST_E_METHOD, 0 },
                { "GET", "/t", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/t/", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/x/" LOCATION, NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/t?" LOCATION, NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/t/" LOCATION "?x", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/t/" LOCATION "/", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/t/" LOCATION "=", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
                { "GET", "/t/" LOCATION "#x", NULL, false, false, RELAY_REQUEST_E_FRAGMENT, 0 },
                { "GET", "/t/" LOCATION "%23", NULL, false, false, RELAY_REQUEST_E_FRAGMENT, 0 },
                { "GET", "/t/xxxxxxxxxxxxxxxxxxxxx", NULL, false, false, RELAY_REQUEST_E_PATH, 0 },
        };

        for (size_t i = 0; i < N_ELEMENTS(table); i++) {
                DropRequest request = DROP_REQUEST_NULL;
                const char *reason = NULL;
                RelayHead head = {
                        .method = table[i].method,
                        .target = table[i].target,
                        .if_none_match = table[i].condition,
                        .has_referer = table[i].referer,
                        .repeats = table[i].repeats,
                };
                int r = drop_request_parse_head(&head, &request, &reason);

                if (r != table[i].result || (r != 0 && !reason) ||
                                (r == 0 && request.operation != table[i].operation))
                        fail_msg("row %zu: %d", i, r);
        }
}

static void only_paths_below_t_are_meant(void **state) {
        assert_true(drop_request_is_meant("/t"));
        assert_true(drop_request_is_meant("/t/"));
        assert_true(drop_request_is_meant("/t/x"));
        assert_true(drop_request_is_meant("/t?x"));
        assert_true(drop_request_is_meant("/t#x"));
        assert_false(drop_request_is_meant("/tx"));
        assert_false(drop_request_is_meant("/"));
        assert_false(drop_request_is_meant(""));
        assert_false(drop_request_is_meant("/v1/m"));
}

static void every_symbol_of_a_location_counts(void **state) {
        DropRequest a = DROP_REQUEST_NULL, b = DROP_REQUEST_NULL;
        const char *reason;

        assert_int_equal(drop_request_parse_head(
                                         &(RelayHead){ .method = "GET", .target = "/t/" LOCATION },
                                         &a,
                                         &reason),
                        0);
        assert_int_equal(drop_request_parse_head(&(RelayHead){ .method = "GET",
                                                                 .target = "/t/" LOCATION "w" },
                                         &b,
                                         &reason),
                        0);
        assert_memory_not_equal(a.location, b.location, DROP_LOCATION_SIZE);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(method_path_and_condition_name_the_operation),
                cmocka_unit_test(only_paths_below_t_are_meant),
                cmocka_unit_test(every_symbol_of_a_location_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
