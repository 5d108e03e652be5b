/* One value of a text stays as it was written, and the rest is read as ever. */
#include "test.h"

#include "json-quick.h"
#include "json-raw.h"
#include "json-wipe.h"

/* Reads and writes again. */
static char *through(const char *text, const char *path) {
        JsonProblem problem;
        json_auto_t *tree = NULL;

        assert_int_equal(json_raw_read_kept(text, strlen(text), 8, path, &tree, &problem), 0);
        return json_quick_text(tree);
}

static void assert_through(const char *text, const char *path, const char *expected) {
        char *written = through(text, path);

        assert_string_equal(written, expected);
        json_wipe_free(written);
}

static int read_at(const char *text, const char *path, JsonProblem *ret_problem) {
        json_auto_t *tree = NULL;
        JsonRaw raw;

        *ret_problem = (JsonProblem){ .error = 0 };
        return json_raw_read(text, strlen(text), 8, path, &tree, &raw, ret_problem);
}

static void what_is_kept_is_written_as_it_came(void **state) {
        static const char *const contents[] = {
                "{}",
                "{\"n\":1.10}",
                "{\"n\":1E5,\"m\":-0,\"o\":-0.0}",
                "{\"n\":0.1234567890123456789}",
                "{\"n\":123456789012345678901234567890}",
                "{\"n\":[1e400,-1e400,1e-999,18446744073709551615]}",
                "{\"s\":\"a\\u0000b\",\"\\u0000\":1}",
                "{ \"b\" :\t1 ,\r\n \"a\":\n{ } }",
                "{\"\\\"1.5\":1e400,\"\\\"1.6\":0}",
                "{\"z\":\"\\u00e4\\/\xc3\xa4\\ud83d\\ude00\",\"a\":\"\\\\\\\"}\"}",
        };

        for (size_t i = 0; i < N_ELEMENTS(contents); i++) {
                char text[256], expected[256];

                (void) snprintf(text,
                                sizeof(text),
                                " { \"format\" : \"x\" , \"content\" : %s } ",
                                contents[i]);
                (void) snprintf(expected,
                                sizeof(expected),
                                "{\"format\":\"x\",\"content\":%s}",
                                contents[i]);
                assert_through(text, "content", expected);
        }
}

static void it_is_found_below_members_and_elements_and_under_escaped_names(void **state) {
        assert_through("{\"a\":[0,[{\"x\":{\"n\": 1.10}}]]}",
                        "a/1/0/x",
                        "{\"a\":[0,[{\"x\":{\"n\": 1.10}}]]}");
        assert_through("{\"cont\\u0065nt\":{\"n\": 1.10}}",
                        "content",
                        "{\"content\":{\"n\": 1.10}}");
        assert_through(" {\"n\": 1.10} ", "", "{\"n\": 1.10}");
        assert_through("{\"b\":{\"a\":1.5},\"a\":{\"b\":{\"n\":1.10}}}",
                        "a/b",
                        "{\"b\":{\"a\":1.5},\"a\":{\"b\":{\"n\":1.10}}}");
}

/* A value of another kind than an object stays for whoever checks that it is one. */
static void only_an_object_is_kept(void **state) {
        assert_through("{\"content\":[ 1 ]}", "content", "{\"content\":[1]}");
        assert_through("{\"content\":\"{}\"}", "content", "{\"content\":\"{}\"}");
        assert_through("{\"other\":{ }}", "content", "{\"other\":{}}");
        assert_through("[ {} ]", "content", "[{}]");
}

static void what_is_kept_is_an_object_for_all_who_ask(void **state) {
        static const char text[] = "{\"content\":{\"n\":1e400}}";
        json_auto_t *tree = NULL;
        JsonProblem problem;

        assert_int_equal(json_raw_read_kept(text, strlen(text), 8, "content", &tree, &problem), 0);
        assert_true(json_is_object(json_object_get(tree, "content")));
        assert_null(json_dumps(tree, JSON_COMPACT)); /* rather than something else */
}

/* Nobody can send us an object that we would take for one of our own. */
static void the_mark_of_what_is_kept_cannot_be_read(void **state) {
        static const char *const texts[] = {
                "{\"content\":{\"\xff\":\"}{\"}}",
                "{\"\xff\":\"}{\"}",
        };
        JsonProblem problem;

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(read_at(texts[i], "content", &problem), JSON_E_SYNTAX);
        assert_through("{\"content\":{\"\\u00ff\":\"}{\"}}",
                        "",
                        "{\"content\":{\"\\u00ff\":\"}{\"}}");
        assert_through("{\"\\u00ff\":\"}{\"}", "content", "{\"\xc3\xbf\":\"}{\"}");
}

static void elsewhere_the_rules_are_as_ever(void **state) {
        static const char *const texts[] = {
                "{\"a\":{\"n\":1e400},\"b\":1e400}",
                "{\"a\":{\"n\":1e400},\"b\":\"\\u0000\"}",
                "{\"b\":123456789012345678901234567890,\"a\":{}}",
                "{\"b\":{\"a\":{\"n\":1e400}}}",
        };
        JsonProblem problem;

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(read_at(texts[i], "a", &problem), JSON_E_SYNTAX);
}

static void what_is_no_json_stays_none(void **state) {
        static const char *const contents[] = {
                "{\"n\":01}",
                "{\"n\":01.5}",
                "{\"n\":1.}",
                "{\"n\":.5}",
                "{\"n\":+1}",
                "{\"n\":1e}",
                "{\"n\":-}",
                "{\"n\":1e400true}",
                "{\"n\":true1e5}",
                "{\"n\":1.1 1.1}",
                "{\"n\":NaN}",
                "{\"n\":Infinity}",
                "{\"n\":1.1.1}",
                "{\"n\":1,}",
                "{1.1:1}",
                "{\"n\":\"\\u000\"}",
                "{\"n\":\"\\u00 00\"}",
                "{\"n\":\"\x01\"}",
                "{\"n\":\"\\ud800\"}",
                "{\"n\":1]",
                "{\"n\":1.5",
        };

        for (size_t i = 0; i < N_ELEMENTS(contents); i++) {
                JsonProblem problem;
                char text[64];

                (void) snprintf(text, sizeof(text), "{\"a\":%s}", contents[i]);
                assert_int_equal(read_at(text, "a", &problem), JSON_E_SYNTAX);
                assert_int_equal(read_at(text, "", &problem), JSON_E_SYNTAX);
        }
}

static void depth_and_repeated_members_are_refused_inside_as_well(void **state) {
        JsonProblem problem;

        assert_int_equal(read_at("{\"a\":{\"n\":1e400,\"n\":1}}", "a", &problem), JSON_E_SYNTAX);
        assert_int_equal(problem.syntax, JSON_SYNTAX_REPEATED);
        assert_int_equal(read_at("{\"a\":{\"n\":1e400},\"a\":{}}", "a", &problem), JSON_E_SYNTAX);
        assert_int_equal(problem.syntax, JSON_SYNTAX_REPEATED);
        assert_int_equal(read_at("{\"a\":[[[[[[[[1e400]]]]]]]]}", "a", &problem), JSON_E_DEPTH);
}

static void a_mistake_is_where_it_is(void **state) {
        JsonProblem problem;

        assert_int_equal(read_at("{\"a\":{\"n\":1e400,\"m\":x}}", "a", &problem), JSON_E_SYNTAX);
        assert_string_equal(problem.text, "not JSON at byte 21");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_kept_is_written_as_it_came),
                cmocka_unit_test(it_is_found_below_members_and_elements_and_under_escaped_names),
                cmocka_unit_test(only_an_object_is_kept),
                cmocka_unit_test(what_is_kept_is_an_object_for_all_who_ask),
                cmocka_unit_test(the_mark_of_what_is_kept_cannot_be_read),
                cmocka_unit_test(elsewhere_the_rules_are_as_ever),
                cmocka_unit_test(what_is_no_json_stays_none),
                cmocka_unit_test(depth_and_repeated_members_are_refused_inside_as_well),
                cmocka_unit_test(a_mistake_is_where_it_is),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
