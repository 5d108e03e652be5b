/* The quick reader and writer do what jansson does, or leave it to jansson. */
#include "test.h"

#include "json-quick.h"
#include "json-wipe.h"

static json_t *quick(const char *text) {
        return json_quick_read(text, strlen(text), 4);
}

static void assert_same(const char *text) {
        json_auto_t *fast = quick(text), *slow = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        char *written, *dumped;

        assert_non_null(fast);
        assert_non_null(slow);
        assert_true(json_equal(fast, slow));
        written = json_quick_text(fast);
        dumped = json_dumps(slow, JSON_COMPACT);
        assert_string_equal(written, dumped);
        json_wipe_free(written);
        json_wipe_free(dumped);
}

static void what_is_read_and_written_is_what_jansson_reads_and_writes(void **state) {
        assert_same("{}");
        assert_same(" [ ] ");
        assert_same("{\"a\":\"\",\"b\":[0,-0,1,-1,999999999999999999,true,false,null],\"c\":{}}");
        assert_same("{\"\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"z\":\"\x7f\"}");
        assert_same("[\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf\"]");
        assert_same("[\"\\n\",[[[1]]]\n\t\r ]");
}

/* Many bytes are looked at together, so that each must be seen wherever it stands among them. */
static void each_byte_is_seen_in_each_place(void **state) {
        enum { SIZE = 40 };

        for (size_t place = 0; place < SIZE; place++)
                for (int byte = 0; byte < 0x100; byte++) {
                        json_auto_t *fast = NULL, *slow = NULL;
                        char text[SIZE + 5];
                        char *written, *dumped;

                        (void) memcpy(text, "[\"", 2);
                        (void) memset(text + 2, 'x', SIZE);
                        (void) memcpy(text + 2 + SIZE, "\"]", 3);
                        text[2 + place] = (char) byte;
                        fast = json_quick_read(text, SIZE + 4, 4);
                        slow = json_loadb(text, SIZE + 4, JSON_REJECT_DUPLICATES, NULL);
                        if (!slow) {
                                assert_null(fast);
                                continue;
                        }
                        assert_true(json_equal(fast, slow));

                        json_decref(slow);
                        slow = json_pack("[s#]", text + 2, SIZE);
                        written = json_quick_text(slow);
                        dumped = json_dumps(slow, JSON_COMPACT);
                        assert_string_equal(written, dumped);
                        json_wipe_free(written);
                        json_wipe_free(dumped);
                }
}

static void what_is_wrong_or_rare_is_left_to_jansson(void **state) {
        static const char *const texts[] = {
                "",
                "1",
                "\"a\"",
                "{\"a\":1",
                "{\"a\":1}}",
                "{\"a\":1,}",
                "{\"a\" 1}",
                "{\"a\":1,\"a\":2}",
                "{\"\\n\":1}",
                "{a:1}",
                "[1,]",
                "[1 2]",
                "[01]",
                "[-]",
                "[+1]",
                "[1.5]",
                "[1e3]",
                "[1000000000000000000]",
                "[988888880888888888888]",
                "[9223372036854775808]",
                "[truth]",
                "[tru",
                "[\"a]",
                "[\"\\u0041\"]",
                "[\"\\x\"]",
                "[\"\\",
                "[\"\n\"]",
                "[\"\x80\"]",
                "[\"\xc0\xaf\"]",
                "[\"\xe0\x80\xaf\"]",
                "[\"\xed\xa0\x80\"]",
                "[\"\xf4\x90\x80\x80\"]",
                "[\"\xc3\"]",
                "[[[[[]]]]]",
                "\xef\xbb\xbf[]",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
                json_auto_t *value = quick(texts[i]);

                if (value)
                        fail_msg("%s was read", texts[i]);
        }
        assert_null(json_quick_read("[\"\0\"]", 5, 4));
}

static void no_more_is_written_than_there_is_room(void **state) {
        json_auto_t *value = json_loads("{\"key\":[\"a\\nb\",-12345,null]}", 0, NULL);
        char *dumped = json_dumps(value, JSON_COMPACT), buffer[64];
        size_t size = strlen(dumped);

        for (size_t room = 0; room <= size; room++) {
                memset(buffer, '~', sizeof(buffer));
                assert_int_equal(json_quick_write(value, buffer, room), size);
                assert_memory_equal(buffer, dumped, room);
                assert_int_equal(buffer[room], '~');
        }
        json_wipe_free(dumped);
}

static void a_text_is_written_as_in_a_value(void **state) {
        static const char *const texts[] = { "", "plain and long enough", "\"\\\n\x01\xc3\xa4/" };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                json_auto_t *value = json_string(texts[i]);
                char expected[64], written[64];
                size_t size = json_quick_write(value, expected, sizeof(expected));

                assert_int_equal(json_quick_write_text(texts[i], NULL, 0), size);
                memset(written, '?', sizeof(written));
                assert_int_equal(json_quick_write_text(texts[i], written, size - 1), size);
                assert_memory_equal(written, expected, size - 1);
                assert_int_equal(written[size - 1], '?');
                assert_int_equal(json_quick_write_text(texts[i], written, size), size);
                assert_memory_equal(written, expected, size);
        }
}

static void what_cannot_be_written_is_none(void **state) {
        json_auto_t *real = json_pack("[f]", 1.5);
        char *text = json_quick_text(real);

        assert_string_equal(text, "[1.5]");
        json_wipe_free(text);
        assert_null(json_quick_text(NULL));
        assert_int_equal(json_quick_write(NULL, NULL, 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_read_and_written_is_what_jansson_reads_and_writes),
                cmocka_unit_test(each_byte_is_seen_in_each_place),
                cmocka_unit_test(what_is_wrong_or_rare_is_left_to_jansson),
                cmocka_unit_test(no_more_is_written_than_there_is_room),
                cmocka_unit_test(a_text_is_written_as_in_a_value),
                cmocka_unit_test(what_cannot_be_written_is_none),
        };

        json_wipe_install();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
