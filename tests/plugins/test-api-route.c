/* The routes, and the metrics text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api-metrics.h"
#include "api-route.h"

#define SHARE "shr_01j0000000000000000000000a"
#define MESSAGE "msg_01j0000000000000000000000a"
#define BLOCK "blk_01j0000000000000000000000a"

static void each_path_leads_to_its_question(void **state) {
        static const struct {
                const char *method, *path, *ask, *id;
        } table[] = {
                { "POST", "/v1/shares", "share.create", "" },
                { "GET", "/v1/shares", "share.list", "" },
                { "HEAD", "/v1/shares/" SHARE, "share.get", SHARE },
                { "POST", "/v1/shares/" SHARE "/cancel", "share.cancel", SHARE },
                { "POST", "/v1/shares/" SHARE "/resend", "share.resend", SHARE },
                { "POST", "/v1/shares/" SHARE "/messages", "message.add", SHARE },
                { "GET", "/v1/shares/" SHARE "/messages", "message.list", SHARE },
                { "POST", "/v1/letters/" MESSAGE "/replay", "letter.replay", MESSAGE },
                { "POST", "/v1/letters/" MESSAGE "/drop", "letter.drop", MESSAGE },
                { "POST", "/v1/shares/" SHARE "/expiry", "share.expiry", SHARE },
                { "POST", "/v1/shares/" SHARE "/reissue", "share.reissue", SHARE },
                { "POST", "/v1/shares/" SHARE "/approve", "share.approve", SHARE },
                { "POST", "/v1/shares/" SHARE "/deny", "share.deny", SHARE },
                { "GET", "/v1/blocks", "block.list", "" },
                { "POST", "/v1/blocks/lift", "block.lift_address", "" },
                { "POST", "/v1/blocks/" BLOCK "/lift", "block.lift", BLOCK },
                { "POST", "/v1/clock/accept", "clock.accept", "" },
                { "GET", "/readyz", "health", "" },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                char id[ID_TEXT_SIZE], allow[API_ALLOW_SIZE];
                const ApiRoute *route = NULL;

                assert_int_equal(api_route_find(table[i].method, table[i].path, &route, id, allow),
                                0);
                assert_string_equal(route->ask, table[i].ask);
                assert_string_equal(id, table[i].id);
        }
}

static void other_paths_and_methods_lead_nowhere(void **state) {
        static const struct {
                const char *method, *path, *allow; /* NULL: there is nothing */
        } table[] = {
                { "GET", "", NULL },
                { "GET", "/v1/shares/" MESSAGE, NULL },
                { "POST", "/v1/letters/" SHARE "/drop", NULL },
                { "POST", "/v1/blocks/" MESSAGE "/lift", NULL },
                { "GET", "/v1/blocks/lift", "POST" },
                { "GET", "/v1/shares/" SHARE "0", NULL },
                { "GET", "/v1/shares/shr_u1j0000000000000000000000a", NULL },
                { "POST", "/v1/shares/" SHARE "/cancel/", NULL },
                { "DELETE", "/v1/shares", "GET, HEAD, POST" },
                { "get", "/healthz", "GET, HEAD" },
                { "GET", "/v1/shares/" SHARE "/cancel", "POST" },
                { "PUT", "/v1/shares/" SHARE "/messages", "GET, HEAD, POST" },
                { "GET", "/v1/shares/" SHARE "/messages/1", NULL },
        };

        (void) state;
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
                char id[ID_TEXT_SIZE], allow[API_ALLOW_SIZE] = "";
                const ApiRoute *route = NULL;

                assert_int_equal(api_route_find(table[i].method, table[i].path, &route, id, allow),
                                table[i].allow ? API_ROUTE_E_METHOD : API_ROUTE_E_NOT_FOUND);
                assert_string_equal(allow, table[i].allow ? table[i].allow : "");
        }
}

static void metrics_survive_odd_names_and_missing_members(void **state) {
        json_t *health = json_pack("{s:[{s:s, s:b}, {s:i}], s:{s:i, s:i, s:s}}",
                        "parts",
                        "name",
                        "a\"b\n",
                        "up",
                        1,
                        "x",
                        1,
                        "counters",
                        "codes_wrong_total",
                        7,
                        "negative",
                        -1,
                        "text",
                        "x");
        char *text = api_metrics_text(health), *empty = api_metrics_text(NULL);

        (void) state;
        assert_non_null(strstr(text, "vestibule_part_up{part=\"a_b_\"} 1\n"));
        assert_non_null(strstr(text,
                        "# TYPE vestibule_codes_wrong counter\nvestibule_codes_wrong_total 7\n"));
        assert_null(strstr(text, "negative"));
        assert_string_equal(text + strlen(text) - 6, "# EOF\n");
        assert_non_null(strstr(empty, "vestibule_build_info{version="));
        free(text);
        free(empty);
        json_decref(health);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_path_leads_to_its_question),
                cmocka_unit_test(other_paths_and_methods_lead_nowhere),
                cmocka_unit_test(metrics_survive_odd_names_and_missing_members),
        };

        return cmocka_run_group_tests_name("api-route", tests, NULL, NULL);
}
