/* The frame codec: every length at its boundary, every cut, every kind of content that is not a
 * frame.
 */
#include "test.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "frame.h"

static void feed(FrameBuffer *buffer, const void *data, size_t size) {
        uint8_t *room;

        assert_int_equal(frame_buffer_reserve(buffer, size, &room), 0);
        memcpy(room, data, size);
        frame_buffer_commit(buffer, size);
}

static void feed_length(FrameBuffer *buffer, uint32_t length) {
        uint8_t header[] = { (uint8_t) (length >> 24),
                (uint8_t) (length >> 16),
                (uint8_t) (length >> 8),
                (uint8_t) length };

        feed(buffer, header, sizeof(header));
}

static void feed_content(FrameBuffer *buffer, const char *content) {
        feed_length(buffer, (uint32_t) strlen(content));
        feed(buffer, content, strlen(content));
}

static int next_of(const char *content, size_t size) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        json_auto_t *frame = NULL;
        const char *reason = NULL;
        int r;

        feed_length(&buffer, (uint32_t) size);
        feed(&buffer, content, size);
        r = frame_buffer_next(&buffer, &frame, &reason);
        assert_true((r == FRAME_E_BROKEN) == (reason != NULL));
        assert_true((r == 0) == (frame != NULL));
        return r;
}

/* An object of exactly that many bytes. */
static char *object_of_size(size_t size) {
        static const char before[] = "{\"type\":\"x\",\"s\":\"", after[] = "\"}";
        char *text = malloc(size + 1);

        assert_non_null(text);
        memset(text, 'a', size);
        memcpy(text, before, sizeof(before) - 1);
        memcpy(text + size - (sizeof(after) - 1), after, sizeof(after));
        return text;
}

static void a_frame_comes_out_of_every_cut(void **state) {
        static const char content[] =
                        "{\"type\":\"send\",\"id\":7,\"text\":\"gr\xc3\xbc\xc3\x9f\"}";
        uint8_t bytes[2 * (sizeof(content) + 3)];

        for (size_t i = 0; i < 2; i++) {
                uint8_t *p = bytes + i * sizeof(bytes) / 2;

                memcpy(p, (uint8_t[]){ 0, 0, 0, sizeof(content) - 1 }, 4);
                memcpy(p + 4, content, sizeof(content) - 1);
        }
        for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
                _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
                const char *reason;
                json_t *frame;
                size_t n = 0;

                feed(&buffer, bytes, cut);
                for (; frame_buffer_next(&buffer, &frame, &reason) == 0; n++)
                        json_decref(frame);
                assert_int_equal(n, cut / (sizeof(bytes) / 2));
                feed(&buffer, bytes + cut, sizeof(bytes) - cut);
                for (; frame_buffer_next(&buffer, &frame, &reason) == 0; n++) {
                        assert_int_equal(json_integer_value(json_object_get(frame, "id")), 7);
                        json_decref(frame);
                }
                assert_int_equal(n, 2);
                assert_int_equal(frame_buffer_size(&buffer), 0);
        }
}

static void an_empty_buffer_wants_more(void **state) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        const char *reason;
        json_t *frame;

        assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), FRAME_E_MORE);
}

static void a_wrong_length_is_broken_before_any_content_came(void **state) {
        static const uint32_t lengths[] = { 0, 65537, 0x7fffffff, 0x80000000, 0xffffffff };

        for (size_t i = 0; i < N_ELEMENTS(lengths); i++) {
                _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
                const char *reason;
                json_t *frame;

                feed_length(&buffer, lengths[i]);
                assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), FRAME_E_BROKEN);
                assert_int_equal(frame_buffer_size(&buffer), FRAME_HEADER_SIZE);
        }
}

static void the_largest_frame_is_read(void **state) {
        _cleanup_(freep) char *content = object_of_size(FRAME_CONTENT_MAX);

        assert_int_equal(next_of(content, FRAME_CONTENT_MAX), 0);
}

static void content_that_is_not_an_object_with_a_type_is_broken(void **state) {
        static const char *const contents[] = { "{",
                "{}",
                "[]",
                "\"type\"",
                "1",
                "null",
                " ",
                "{\"type\":1}",
                "{\"type\":null}",
                "{\"Type\":\"x\"}",
                "{\"type\":\"x\"}x",
                "{\"type\":\"x\"}{\"type\":\"x\"}",
                "{\"type\":\"x\",\"type\":\"x\"}",
                "{\"type\":\"x\",\"a\":{\"b\":1,\"b\":2}}",
                "{\"type\":\"x\\u0000\"}",
                "{\"type\":\"\xff\"}",
                "{\"type\":\"\xed\xa0\x80\"}",
                "{\"type\":\"\xc0\xaf\"}",
                "{\"type\":\"\\ud800\"}",
                "{\"type\":\"x\",\"n\":NaN}",
                "{\"type\":\"x\",\"n\":1e999}",
                "{\"type\":\"x\",}",
                "{'type':'x'}",
                "\xef\xbb\xbf{\"type\":\"x\"}" };

        for (size_t i = 0; i < N_ELEMENTS(contents); i++)
                if (next_of(contents[i], strlen(contents[i])) != FRAME_E_BROKEN)
                        fail_msg("accepted: %s", contents[i]);
        assert_int_equal(next_of("{\"type\":\"x\"}\0", 13), FRAME_E_BROKEN);
        assert_int_equal(next_of("{\"type\":\"\0\"}", 12), FRAME_E_BROKEN);
}

static void sixteen_levels_are_read_and_seventeen_are_not(void **state) {
        char content[100];

        (void) snprintf(content,
                        sizeof(content),
                        "{\"type\":\"x\",\"a\":%.15s%.15s}",
                        "[[[[[[[[[[[[[[[",
                        "]]]]]]]]]]]]]]]");
        assert_int_equal(next_of(content, strlen(content)), 0);
        (void) snprintf(content,
                        sizeof(content),
                        "{\"type\":\"x\",\"a\":%.16s%.16s}",
                        "[[[[[[[[[[[[[[[[",
                        "]]]]]]]]]]]]]]]]");
        assert_int_equal(next_of(content, strlen(content)), FRAME_E_BROKEN);
        /* Brackets in strings are text. */
        (void) snprintf(content,
                        sizeof(content),
                        "{\"type\":\"%s\\\"%s\"}",
                        "[[[[[[[[[[[[[[[[[[",
                        "[[");
        assert_int_equal(next_of(content, strlen(content)), 0);
}

static void a_broken_frame_stays_where_it_is(void **state) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        const char *reason;
        json_t *frame;

        feed_content(&buffer, "{}");
        assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), FRAME_E_BROKEN);
        assert_int_equal(frame_buffer_size(&buffer), 6);
        assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), FRAME_E_BROKEN);
}

/* Sizes around those at which the buffer has to grow or to dump a second time. */
static void every_size_is_written_as_it_is_read(void **state) {
        static const size_t sizes[] = {
                19, 20, 1023, 1024, 1025, 4087, 4088, 4089, 4092, 4093, 8192, 65535, 65536
        };

        for (size_t first = 0; first < N_ELEMENTS(sizes); first++) {
                _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;

                for (size_t i = first; i < N_ELEMENTS(sizes); i++) {
                        _cleanup_(freep) char *content = object_of_size(sizes[i]);
                        json_auto_t *frame = json_loads(content, 0, NULL);

                        assert_non_null(frame);
                        assert_int_equal(frame_buffer_append(&buffer, frame), 0);
                }
                for (size_t i = first; i < N_ELEMENTS(sizes); i++) {
                        _cleanup_(freep) char *content = object_of_size(sizes[i]);
                        json_auto_t *frame = json_loads(content, 0, NULL), *read = NULL;
                        const char *reason;
                        size_t before = frame_buffer_size(&buffer);

                        assert_int_equal(frame_buffer_next(&buffer, &read, &reason), 0);
                        assert_int_equal(before - frame_buffer_size(&buffer),
                                        sizes[i] + FRAME_HEADER_SIZE);
                        assert_true(json_equal(frame, read));
                }
                assert_int_equal(frame_buffer_size(&buffer), 0);
        }
}

static void a_frame_that_is_too_large_is_not_written(void **state) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        _cleanup_(freep) char *content = object_of_size(FRAME_CONTENT_MAX + 1);
        json_auto_t *frame = json_loads(content, 0, NULL);

        assert_int_equal(frame_buffer_append(&buffer, frame), -EMSGSIZE);
        assert_int_equal(frame_buffer_size(&buffer), 0);
        json_object_set_new(frame, "s", json_string("short"));
        assert_int_equal(frame_buffer_append(&buffer, frame), 0);
}

static bool holds(const FrameBuffer *buffer, const char *marker) {
        return memmem(buffer->data, buffer->allocated, marker, strlen(marker)) != NULL;
}

static void nothing_of_a_frame_is_left_when_it_has_been_taken(void **state) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        const char *reason;
        uint8_t *room;
        size_t sent = 0;

        /* Until the buffer has moved its content to the front at least once. */
        for (size_t i = 0; i < 300; i++) {
                json_t *frame;

                feed_content(&buffer, "{\"type\":\"x\",\"code\":\"MARKER-123\"}");
                feed_content(&buffer, "{\"type\":\"x\",\"code\":\"MARKER-123\"}");
                assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), 0);
                json_decref(frame);
                sent++;
                if (i % 3 == 0)
                        continue;
                assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), 0);
                json_decref(frame);
                assert_int_equal(frame_buffer_reserve(&buffer, 16, &room), 0);
        }
        while (frame_buffer_size(&buffer) > 0) {
                json_t *frame;

                assert_true(holds(&buffer, "MARKER-123"));
                assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), 0);
                json_decref(frame);
        }
        assert_true(sent > 0);
        assert_false(holds(&buffer, "MARKER-123"));
}

static void a_frame_that_moves_to_the_front_leaves_no_copy_behind(void **state) {
        _cleanup_(frame_buffer_done) FrameBuffer buffer = FRAME_BUFFER_NULL;
        _cleanup_(freep) char *content = object_of_size(3000);
        const char *reason;
        json_t *frame;
        uint8_t *room;

        feed_content(&buffer, content);
        feed_content(&buffer, "{\"type\":\"x\",\"code\":\"MARKER-123\"}");
        assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), 0);
        json_decref(frame);
        assert_int_equal(frame_buffer_reserve(&buffer, 2000, &room), 0);
        assert_int_equal(buffer.start, 0);
        assert_true(holds(&buffer, "MARKER-123"));
        assert_int_equal(frame_buffer_next(&buffer, &frame, &reason), 0);
        json_decref(frame);
        assert_false(holds(&buffer, "MARKER-123"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_frame_comes_out_of_every_cut),
                cmocka_unit_test(an_empty_buffer_wants_more),
                cmocka_unit_test(a_wrong_length_is_broken_before_any_content_came),
                cmocka_unit_test(the_largest_frame_is_read),
                cmocka_unit_test(content_that_is_not_an_object_with_a_type_is_broken),
                cmocka_unit_test(sixteen_levels_are_read_and_seventeen_are_not),
                cmocka_unit_test(a_broken_frame_stays_where_it_is),
                cmocka_unit_test(every_size_is_written_as_it_is_read),
                cmocka_unit_test(a_frame_that_is_too_large_is_not_written),
                cmocka_unit_test(nothing_of_a_frame_is_left_when_it_has_been_taken),
                cmocka_unit_test(a_frame_that_moves_to_the_front_leaves_no_copy_behind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
