/* What strangers may send as JSON, and what they are told when it is refused. */
#include "test.h"

#include <stdio.h>

#include "json-read.h"

typedef struct Order {
        const char *name;
        int64_t count;
        bool urgent;
        const json_t *options, *list, *any;
} Order;

static const JsonMember order_members[] = {
        { "name", JSON_KIND_STRING, offsetof(Order, name), true, 1, 8 },
        { "count", JSON_KIND_INTEGER, offsetof(Order, count), false, -2, 5 },
        { "urgent", JSON_KIND_BOOLEAN, offsetof(Order, urgent), false, 0, 0 },
        { "options", JSON_KIND_OBJECT, offsetof(Order, options), false, 0, 1 },
        { "list", JSON_KIND_ARRAY, offsetof(Order, list), false, 1, 2 },
        { "any", JSON_KIND_ANY, offsetof(Order, any), false, 0, 0 },
};

static int parse(const void *data, size_t size, unsigned depth, JsonProblem *ret_problem) {
        json_auto_t *value = NULL;

        return json_read(data, size, depth, &value, ret_problem);
}

static int read_order(const char *text,
                bool refuse_unknown,
                Order *ret,
                json_t **ret_value,
                JsonProblem *problem) {
        assert_int_equal(json_read(text, strlen(text), 8, ret_value, problem), 0);
        return json_read_members(*ret_value,
                        order_members,
                        N_ELEMENTS(order_members),
                        refuse_unknown,
                        ret,
                        problem);
}

static void check_order(const char *text, int error, const char *member, const char *sentence) {
        json_auto_t *value = NULL;
        JsonProblem problem = { 0 };
        Order order = { 0 };

        assert_int_equal(read_order(text, true, &order, &value, &problem), error);
        assert_int_equal(problem.error, error);
        assert_string_equal(problem.member, member);
        assert_string_equal(problem.text, sentence);
}

static void one_value_and_nothing_else_is_json(void **state) {
        static const struct {
                const char *data;
                size_t size;
                int result;
        } cases[] = {
#define CASE(text, result) { text, sizeof(text) - 1, result }
                CASE("{}", 0),
                CASE("[]", 0),
                CASE(" {\"a\": [1, 2.5, true, null, \"\\u00e4\"]}\n", 0),
                CASE("{\"a\": \"\xc3\xa4\xf0\x9f\x94\x91\"}", 0),
                CASE("", JSON_E_SYNTAX),
                CASE("   ", JSON_E_SYNTAX),
                CASE("{", JSON_E_SYNTAX),
                CASE("{}{}", JSON_E_SYNTAX),
                CASE("{} x", JSON_E_SYNTAX),
                CASE("{}\0", JSON_E_SYNTAX),
                CASE("{\"a\":\0 1}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\0\"}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\\u0000\"}", JSON_E_SYNTAX),
                CASE("{\"a\\u0000b\":1}", JSON_E_SYNTAX),
                CASE("{\"a\":1,}", JSON_E_SYNTAX),
                CASE("{'a':1}", JSON_E_SYNTAX),
                CASE("{\"a\":01}", JSON_E_SYNTAX),
                CASE("{\"a\":NaN}", JSON_E_SYNTAX),
                CASE("{\"a\":1e999}", JSON_E_SYNTAX),
                CASE("{\"a\":9223372036854775808}", JSON_E_SYNTAX),
                CASE("{\"a\":1,\"a\":1}", JSON_E_SYNTAX),
                CASE("{\"b\":{\"a\":1,\"a\":2}}", JSON_E_SYNTAX),
                CASE("{\"a\":1,\"\\u0061\":2}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\xff\"}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\xc0\xaf\"}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\xed\xa0\x80\"}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\\ud800\"}", JSON_E_SYNTAX),
                CASE("{\"a\":\"\xf4\x90\x80\x80\"}", JSON_E_SYNTAX),
                CASE("\xef\xbb\xbf{}", JSON_E_SYNTAX),
                CASE("\"text\"", JSON_E_SYNTAX),
                CASE("{\"a\":\"line\nfeed\"}", JSON_E_SYNTAX),
#undef CASE
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                JsonProblem problem = { 0 };
                int r = parse(cases[i].data, cases[i].size, 4, &problem);

                if (r != cases[i].result)
                        fail_msg("case %zu `%s` gave %d", i, cases[i].data, r);
                assert_int_equal(problem.error, cases[i].result);
        }
}

static void what_is_wrong_with_a_text_is_told_apart(void **state) {
        static const struct {
                const char *text;
                JsonSyntax syntax;
        } cases[] = {
                { "", JSON_SYNTAX_OTHER },
                { "{\"a\":1,}", JSON_SYNTAX_OTHER },
                { "{\"a\":\"\\u0000\"}", JSON_SYNTAX_OTHER },
                { "{\"a\":\"\\ud800\"}", JSON_SYNTAX_OTHER },
                { "{} x", JSON_SYNTAX_OTHER },
                { "{\"a\":1,\"a\":1}", JSON_SYNTAX_REPEATED },
                { "{\"b\":{\"a\":1,\"\\u0061\":2}}", JSON_SYNTAX_REPEATED },
                { "{\"a\":\"\xff\"}", JSON_SYNTAX_UTF8 },
                { "{\"a\":\"\xc0\xaf\"}", JSON_SYNTAX_UTF8 },
                { "{\"a\":\"\xed\xa0\x80\"}", JSON_SYNTAX_UTF8 },
                { "{\"a\xc3\x28\":1}", JSON_SYNTAX_UTF8 },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                JsonProblem problem;

                assert_int_equal(parse(cases[i].text, strlen(cases[i].text), 4, &problem),
                                JSON_E_SYNTAX);
                if (problem.syntax != cases[i].syntax)
                        fail_msg("case %zu gave %d", i, (int) problem.syntax);
        }
}

/* jansson passes over it behind a number. */
static void a_nul_is_nowhere_json(void **state) {
        static const char text[] = "[1,1.5]";

        for (size_t place = 0; place < sizeof(text); place++) {
                JsonProblem problem = { .syntax = JSON_SYNTAX_REPEATED };
                char with[sizeof(text)];

                memcpy(with, text, place);
                with[place] = 0;
                memcpy(with + place + 1, text + place, sizeof(text) - 1 - place);
                assert_int_equal(parse(with, sizeof(with), 4, &problem), JSON_E_SYNTAX);
                assert_int_equal(problem.syntax, JSON_SYNTAX_OTHER);
        }
        assert_int_equal(parse(NULL, 0, 4, &(JsonProblem){ .text = "" }), JSON_E_SYNTAX);
}

static void depth_ends_where_it_is_told_to(void **state) {
        static const char two[] = "{\"a\":[1]}", brackets[] = "{\"a\":\"[[[{{\\\"[[\"}";
        JsonProblem problem = { 0 };

        assert_int_equal(parse(two, sizeof(two) - 1, 2, &problem), 0);
        assert_int_equal(parse(two, sizeof(two) - 1, 1, &problem), JSON_E_DEPTH);
        assert_string_equal(problem.text, "nested deeper than 1 levels");
        assert_int_equal(parse(brackets, sizeof(brackets) - 1, 1, &problem), 0);
        assert_int_equal(parse("[[],[],[]]", 10, 2, &problem), 0);
}

static void a_hundred_thousand_brackets_are_no_recursion(void **state) {
        enum { SIZE = 100000 };
        _cleanup_(freep) char *text = malloc(SIZE);
        JsonProblem problem = { 0 };

        assert_non_null(text);
        memset(text, '[', SIZE);
        assert_int_equal(parse(text, SIZE, 16, &problem), JSON_E_DEPTH);
}

static void a_problem_says_where_and_never_what(void **state) {
        static const char text[] = "{\"pin\": hunter2}", twice[] = "{\"hunter2\":1,\"hunter2\":2}";
        JsonProblem problem = { 0 };

        assert_int_equal(parse(text, sizeof(text) - 1, 4, &problem), JSON_E_SYNTAX);
        assert_null(strstr(problem.text, "hunter2"));
        assert_non_null(strstr(problem.text, "at byte "));
        assert_int_equal(parse(twice, sizeof(twice) - 1, 4, &problem), JSON_E_SYNTAX);
        assert_null(strstr(problem.text, "hunter2"));
        assert_non_null(strstr(problem.text, "repeated"));
}

static void members_arrive_in_their_fields(void **state) {
        json_auto_t *value = NULL;
        JsonProblem problem = { 0 };
        Order order = { 0 };

        assert_int_equal(read_order("{\"name\":\"key\",\"count\":-2,\"urgent\":true,\"options\":{"
                                    "\"x\":1},"
                                    "\"list\":[1,2],\"any\":false}",
                                         true,
                                         &order,
                                         &value,
                                         &problem),
                        0);
        assert_string_equal(order.name, "key");
        assert_int_equal(order.count, -2);
        assert_true(order.urgent);
        assert_int_equal(json_object_size(order.options), 1);
        assert_int_equal(json_array_size(order.list), 2);
        assert_true(json_is_false(order.any));
}

static void an_absent_or_null_member_leaves_its_field_alone(void **state) {
        json_auto_t *value = NULL;
        JsonProblem problem = { 0 };
        Order order = { .count = 3, .urgent = true };

        assert_int_equal(read_order("{\"name\":\"key\",\"urgent\":null,\"any\":null}",
                                         true,
                                         &order,
                                         &value,
                                         &problem),
                        0);
        assert_int_equal(order.count, 3);
        assert_true(order.urgent);
        assert_null(order.any);
}

static void every_refusal_names_its_member(void **state) {
        check_order("{}", JSON_E_MISSING, "name", "`name` is required");
        check_order("{\"name\":null}", JSON_E_MISSING, "name", "`name` is required");
        check_order("{\"name\":1}", JSON_E_TYPE, "name", "`name` must be a string");
        check_order("{\"name\":\"\"}", JSON_E_RANGE, "name", "the size of `name` must be 1 to 8");
        check_order("{\"name\":\"123456789\"}",
                        JSON_E_RANGE,
                        "name",
                        "the size of `name` must be 1 to 8");
        check_order("{\"name\":\"k\",\"count\":6}",
                        JSON_E_RANGE,
                        "count",
                        "`count` must be -2 to 5");
        check_order("{\"name\":\"k\",\"count\":-3}",
                        JSON_E_RANGE,
                        "count",
                        "`count` must be -2 to 5");
        check_order("{\"name\":\"k\",\"count\":1.0}",
                        JSON_E_TYPE,
                        "count",
                        "`count` must be an integer");
        check_order("{\"name\":\"k\",\"urgent\":1}",
                        JSON_E_TYPE,
                        "urgent",
                        "`urgent` must be true or false");
        check_order("{\"name\":\"k\",\"options\":[]}",
                        JSON_E_TYPE,
                        "options",
                        "`options` must be an object");
        check_order("{\"name\":\"k\",\"list\":{}}", JSON_E_TYPE, "list", "`list` must be an array");
        check_order("{\"name\":\"k\",\"list\":[]}",
                        JSON_E_RANGE,
                        "list",
                        "the size of `list` must be 1 to 2");
        check_order("{\"name\":\"k\",\"options\":{\"a\":1,\"b\":2}}",
                        JSON_E_RANGE,
                        "options",
                        "the size of `options` must be 0 to 1");
        check_order("{\"name\":\"k\",\"nmae\":1}",
                        JSON_E_UNKNOWN,
                        "nmae",
                        "`nmae` is not a known member");
        check_order("{\"name\":\"k\",\"x\":null}",
                        JSON_E_UNKNOWN,
                        "x",
                        "`x` is not a known member");
        check_order("{\"name\":\"k\",\"any\":null,\"x\":1}",
                        JSON_E_UNKNOWN,
                        "x",
                        "`x` is not a known member");
        check_order("[1]", JSON_E_TYPE, "", "an object is needed here");
}

static void a_stranger_s_member_name_is_shown_harmless_and_short(void **state) {
        check_order("{\"name\":\"k\",\"a\\n\\\"\xc3\xa4\x7f\":1}",
                        JSON_E_UNKNOWN,
                        "a?????",
                        "`a?????` is not a known member");

        char text[256], expected[64];

        (void) snprintf(text, sizeof(text), "{\"name\":\"k\",\"%0100d\":1}", 0);
        (void) snprintf(expected, sizeof(expected), "%063d", 0);
        json_auto_t *value = NULL;
        JsonProblem problem = { 0 };
        Order order = { 0 };
        assert_int_equal(read_order(text, true, &order, &value, &problem), JSON_E_UNKNOWN);
        assert_string_equal(problem.member, expected);
}

static void unknown_members_are_ignored_where_the_caller_says_so(void **state) {
        json_auto_t *value = NULL;
        JsonProblem problem = { 0 };
        Order order = { 0 };

        assert_int_equal(
                        read_order("{\"name\":\"k\",\"later\":1}", false, &order, &value, &problem),
                        0);
        assert_string_equal(order.name, "k");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_value_and_nothing_else_is_json),
                cmocka_unit_test(what_is_wrong_with_a_text_is_told_apart),
                cmocka_unit_test(a_nul_is_nowhere_json),
                cmocka_unit_test(depth_ends_where_it_is_told_to),
                cmocka_unit_test(a_hundred_thousand_brackets_are_no_recursion),
                cmocka_unit_test(a_problem_says_where_and_never_what),
                cmocka_unit_test(members_arrive_in_their_fields),
                cmocka_unit_test(an_absent_or_null_member_leaves_its_field_alone),
                cmocka_unit_test(every_refusal_names_its_member),
                cmocka_unit_test(a_stranger_s_member_name_is_shown_harmless_and_short),
                cmocka_unit_test(unknown_members_are_ignored_where_the_caller_says_so),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
