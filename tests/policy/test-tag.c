/* Share tags. */
#include "tag.h"

#include <sodium.h>

#include "../base/test.h"

static void from_system(void *ret, size_t size, void *userdata) {
        (void) userdata;
        randombytes_buf(ret, size);
}

static void zeros(void *ret, size_t size, void *userdata) {
        (void) userdata;
        memset(ret, 0, size);
}

static void a_generated_tag_reads_as_itself(void **state) {
        for (unsigned i = 0; i < 20000; i++) {
                char tag[TAG_SIZE], again[TAG_SIZE];

                assert_int_equal(tag_generate(from_system, NULL, tag), 0);
                assert_true(tag_canonical(tag, 4, again));
                assert_string_equal(tag, again);
        }
}

static void exactly_the_tags_with_a_letter_and_a_digit_from_two_exist(void **state) {
        static const char symbols[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        unsigned n = 0;

        for (unsigned i = 0; i < 32 * 32 * 32 * 32; i++) {
                char text[4], tag[TAG_SIZE];

                for (unsigned k = 0; k < 4; k++)
                        text[k] = symbols[i >> 5 * k & 31];
                n += tag_canonical(text, 4, tag);
        }
        assert_int_equal(n, 706816);
}

static void case_and_look_alikes_are_folded(void **state) {
        char tag[TAG_SIZE];

        assert_true(tag_canonical("7kq4", 4, tag));
        assert_string_equal(tag, "7KQ4");
        assert_false(tag_canonical("oIl7", 4, tag));
        assert_true(tag_canonical("oIx7", 4, tag));
        assert_string_equal(tag, "01X7");
}

static void words_and_numbers_are_no_tags(void **state) {
        static const char *const texts[] = { "code",
                "done",
                "stop",
                "help",
                "hier",
                "THIS",
                "nein",
                "1234",
                "2000",
                "O2I1",
                "7KU4",
                "7KQ",
                "7KQ4X",
                "7K-4",
                "",
                "\xc3\xa4Z7" };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                char tag[TAG_SIZE];

                memset(tag, 'x', sizeof(tag));
                if (tag_canonical(texts[i], strlen(texts[i]), tag))
                        fail_msg("%s", texts[i]);
                assert_string_equal(tag, "");
        }
        assert_false(tag_canonical("7K\0"
                                   "4",
                        4,
                        (char[TAG_SIZE]){ 0 }));
}

static void a_source_that_is_none_is_noticed(void **state) {
        char tag[TAG_SIZE];

        assert_int_equal(tag_generate(zeros, NULL, tag), -EIO);
        assert_string_equal(tag, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_generated_tag_reads_as_itself),
                cmocka_unit_test(exactly_the_tags_with_a_letter_and_a_digit_from_two_exist),
                cmocka_unit_test(case_and_look_alikes_are_folded),
                cmocka_unit_test(words_and_numbers_are_no_tags),
                cmocka_unit_test(a_source_that_is_none_is_noticed),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
