/* Arguments of queries and forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "http-values.h"

static HttpValues values;

static int read_text(const char *text) {
        http_values_done(&values);
        return http_values_read(text, strlen(text), &values);
}

static void assert_value(size_t i, const char *name, const char *value) {
        assert_true(i < values.n);
        assert_string_equal(values.values[i].name, name);
        assert_int_equal(values.values[i].name_size, strlen(name));
        assert_string_equal(values.values[i].value, value);
        assert_int_equal(values.values[i].size, strlen(value));
}

static void names_and_values_are_decoded_in_their_order(void **state) {
        (void) state;
        assert_int_equal(read_text("a=1&b%20c=+%2B%c3%BC&d&=e&f==&&g="), 0);
        assert_int_equal(values.n, 6);
        assert_value(0, "a", "1");
        assert_value(1, "b c", " +\xc3\xbc");
        assert_value(2, "d", "");
        assert_value(3, "", "e");
        assert_value(4, "f", "=");
        assert_value(5, "g", "");
        assert_int_equal(read_text(""), 0);
        assert_int_equal(values.n, 0);
        assert_int_equal(read_text("&&&"), 0);
        assert_int_equal(values.n, 0);
}

static void a_value_may_hold_any_byte(void **state) {
        const HttpValue *value;

        (void) state;
        assert_int_equal(read_text("text=%00Y%00E&udh=%05%00%03%01%02%01&plain=x"), 0);
        value = http_values_find(&values, "text");
        assert_non_null(value);
        assert_int_equal(value->size, 4);
        assert_memory_equal(value->value, "\0Y\0E\0", 5);
        assert_null(http_values_text(&values, "text"));
        assert_string_equal(http_values_text(&values, "plain"), "x");
}

static void what_is_there_twice_is_not_there(void **state) {
        (void) state;
        assert_int_equal(read_text("a=1&b=2&a=1&aa=3"), 0);
        assert_null(http_values_find(&values, "a"));
        assert_string_equal(http_values_text(&values, "b"), "2");
        assert_string_equal(http_values_text(&values, "aa"), "3");
        assert_null(http_values_find(&values, "c"));
}

static void a_percent_sign_without_digits_is_refused(void **state) {
        static const char *const bad[] = {
                "%", "a=%", "a=%4", "a=%4&b", "a=%g1", "a=%1g", "%zz=1"
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                assert_int_equal(read_text(bad[i]), HTTP_VALUES_E_FORM);
                assert_int_equal(values.n, 0);
                assert_null(values.buffer);
        }
}

static void too_many_are_refused(void **state) {
        char text[4 * (HTTP_VALUES_MAX + 1)] = "";

        (void) state;
        for (size_t i = 0; i < HTTP_VALUES_MAX; i++)
                strcat(text, "a=&");
        assert_int_equal(read_text(text), 0);
        assert_int_equal(values.n, HTTP_VALUES_MAX);
        strcat(text, "b");
        assert_int_equal(read_text(text), HTTP_VALUES_E_MANY);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_and_values_are_decoded_in_their_order),
                cmocka_unit_test(a_value_may_hold_any_byte),
                cmocka_unit_test(what_is_there_twice_is_not_there),
                cmocka_unit_test(a_percent_sign_without_digits_is_refused),
                cmocka_unit_test(too_many_are_refused),
        };
        int failed = cmocka_run_group_tests(tests, NULL, NULL);

        http_values_done(&values);
        return failed;
}
