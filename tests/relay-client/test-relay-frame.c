/* The gateway's frames: what is missing or out of form is refused before anything is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "cleanup.h"
#include "json-read.h"
#include "relay-frame.h"

#define CLAIM "5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01"
#define WHOSE                                                                 \
        "'share':'shr_01jd0000000000000000000000','generation':1,'kid':'k1'," \
        "'claim':'" CLAIM "','request':'00000000-0000-4000-8000-00000000000a'"
#define WHERE "'mailbox':'https://relay.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77'"
#define KNOWN "'known':'47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
#define ENVELOPE "'envelope':{},'box':'AAAA'"

enum { NOW = 1795262400 };

static const char *const good[_RELAY_FRAME_KIND_MAX] = {
        [RELAY_FRAME_CREATE] = "{" WHOSE "," ENVELOPE
                               ",'expiration':1795269600,'rights':'RWD','vertical':'c',"
                               "'display':{'title':'T'}}",
        [RELAY_FRAME_READ] = "{" WHOSE "," WHERE "," KNOWN ",'expect':1,'state':'AAEC'}",
        [RELAY_FRAME_UPDATE] = "{" WHOSE "," WHERE "," KNOWN "," ENVELOPE
                               ",'number':2,'message_kid':'k2'}",
        [RELAY_FRAME_DELETE] = "{" WHOSE "," WHERE "}",
        [RELAY_FRAME_ACKNOWLEDGE] = "{" WHOSE "," WHERE ",'state':'AAEC'}",
};

static json_t *object_of(const char *text) {
        _cleanup_(freep) char *copy = strdup(text);
        json_t *object;
        JsonProblem problem;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        assert_int_equal(json_read(copy, strlen(copy), 4, &object, &problem), 0);
        return object;
}

/* Takes the object over; NULL: it was accepted. */
static const char *refusal(RelayFrameKind kind, json_t *object, bool has_claims) {
        json_auto_t *owned = object;
        const char *reason = NULL;
        RelayFrame frame;
        int r;

        r = relay_frame_read(kind, owned, has_claims, NOW, &frame, &reason);
        assert_true(r >= 0);
        if (r == 0)
                relay_frame_done(&frame);
        return reason;
}

static json_t *with(RelayFrameKind kind, const char *member, json_t *value) {
        json_t *object = object_of(good[kind]);

        assert_int_equal(json_object_set_new(object, member, value), 0);
        return object;
}

static void every_kind_has_its_type(void **state) {
        static const char *const types[] = { "create", "read", "update", "delete", "acknowledge" };
        RelayFrameKind kind;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(types); i++) {
                assert_true(relay_frame_kind_from_type(types[i], &kind));
                assert_int_equal(kind, i);
        }
        assert_false(relay_frame_kind_from_type("mint", &kind));
        assert_false(relay_frame_kind_from_type("", &kind));
}

static void a_good_frame_is_read_whole(void **state) {
        json_auto_t *object = object_of(good[RELAY_FRAME_UPDATE]);
        json_auto_t *read = object_of(good[RELAY_FRAME_READ]);
        const char *reason;
        RelayFrame frame;

        (void) state;
        for (RelayFrameKind kind = 0; kind < _RELAY_FRAME_KIND_MAX; kind++)
                assert_null(refusal(kind, object_of(good[kind]), true));

        assert_int_equal(relay_frame_read(RELAY_FRAME_UPDATE, object, true, NOW, &frame, &reason),
                        0);
        assert_string_equal(frame.share, "shr_01jd0000000000000000000000");
        assert_string_equal(frame.kid, "k1");
        assert_string_equal(frame.box_kid, "k2");
        assert_int_equal(frame.generation, 1);
        assert_int_equal(frame.number, 2);
        assert_true(frame.has_known);
        assert_int_equal(frame.known[0], 0xe3);
        assert_false(frame.encrypted);
        assert_null(frame.state);
        relay_frame_done(&frame);

        assert_int_equal(relay_frame_read(RELAY_FRAME_READ, read, true, NOW, &frame, &reason), 0);
        assert_int_equal(frame.number, 1);
        assert_int_equal(frame.state_size, 3);
        assert_memory_equal(frame.state, "\0\1\2", 3);
        relay_frame_done(&frame);
}

static void a_frame_without_what_it_needs_is_refused(void **state) {
        static const char *const required[_RELAY_FRAME_KIND_MAX][13] = {
                [RELAY_FRAME_CREATE] = { "share",
                                "generation",
                                "kid",
                                "claim",
                                "request",
                                "expiration",
                                "rights",
                                "vertical",
                                "display",
                                "envelope",
                                "box" },
                [RELAY_FRAME_READ] = { "share", "kid", "claim", "mailbox" },
                [RELAY_FRAME_UPDATE] = { "share",
                                "generation",
                                "kid",
                                "claim",
                                "request",
                                "mailbox",
                                "number",
                                "known",
                                "envelope",
                                "message_kid",
                                "box" },
                [RELAY_FRAME_DELETE] = { "share", "claim", "request", "mailbox" },
                [RELAY_FRAME_ACKNOWLEDGE] = { "share", "generation", "kid", "mailbox" },
        };

        (void) state;
        for (RelayFrameKind kind = 0; kind < _RELAY_FRAME_KIND_MAX; kind++)
                for (size_t i = 0; required[kind][i]; i++) {
                        json_t *object = object_of(good[kind]);

                        print_message("# %d %s\n", (int) kind, required[kind][i]);
                        assert_int_equal(json_object_del(object, required[kind][i]), 0);
                        assert_string_equal(refusal(kind, object, true), "bad-frame");
                }
}

/* Draft R has neither claims nor ids. */
static void claims_are_needed_where_the_protocol_knows_them(void **state) {
        (void) state;
        for (RelayFrameKind kind = 0; kind < _RELAY_FRAME_KIND_MAX; kind++) {
                json_t *object = object_of(good[kind]);

                assert_int_equal(json_object_del(object, "claim"), 0);
                assert_int_equal(json_object_del(object, "request"), 0);
                (void) json_object_del(object, "known");
                assert_null(refusal(kind, object, false));
                assert_string_equal(refusal(kind,
                                                    with(kind,
                                                                    "claim",
                                                                    json_string("not-a-uuid-not-a-"
                                                                                "uuid-not-a-uuid-"
                                                                                "not")),
                                                    false),
                                "bad-frame");
        }
}

/* A mere look, and what an older gateway sends. */
static void a_look_and_a_delete_need_no_key(void **state) {
        static const char text[] = "{'share':'s','claim':'" CLAIM "'," WHERE
                                   ",'request':'00000000-0000-4000-8000-00000000000a'}";

        (void) state;
        assert_null(refusal(RELAY_FRAME_READ, object_of(text), true));
        assert_null(refusal(RELAY_FRAME_DELETE, object_of(text), true));
}

static void what_is_out_of_bounds_is_refused(void **state) {
        const struct {
                RelayFrameKind kind;
                const char *member;
                json_t *value;
                const char *reason;
        } cases[] = {
                /* clang-format off */
                { RELAY_FRAME_CREATE, "generation", json_integer(-1), "bad-frame" },
                { RELAY_FRAME_CREATE, "vertical", json_string("x"), "bad-frame" },
                { RELAY_FRAME_CREATE, "encrypted", json_integer(1), "bad-frame" },
                { RELAY_FRAME_CREATE, "rights", json_string("RX"), "bad-display" },
                { RELAY_FRAME_CREATE, "display", json_pack("{s:s}", "title", ""), "bad-display" },
                { RELAY_FRAME_CREATE, "expiration", json_integer(NOW), "bad-expiration" },
                { RELAY_FRAME_CREATE, "expiration", json_integer(NOW + RELAY_FRAME_EXPIRATION_MIN - 1), "bad-expiration" },
                { RELAY_FRAME_CREATE, "expiration", json_integer(NOW + RELAY_FRAME_EXPIRATION_MAX + 1), "bad-expiration" },
                { RELAY_FRAME_READ, "expect", json_integer(0), "bad-frame" },
                { RELAY_FRAME_READ, "expect", json_integer(65536), "bad-frame" },
                { RELAY_FRAME_READ, "known", json_string("AAAA"), "bad-frame" },
                { RELAY_FRAME_READ, "known", json_string("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!="), "bad-frame" },
                { RELAY_FRAME_READ, "state", json_string("!"), "bad-frame" },
                { RELAY_FRAME_UPDATE, "number", json_integer(0), "bad-frame" },
                { RELAY_FRAME_UPDATE, "number", json_integer(65536), "bad-frame" },
                { RELAY_FRAME_DELETE, "mailbox", json_string(""), "bad-frame" },
                /* clang-format on */
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                const char *reason;

                print_message("# %zu\n", i);
                reason = refusal(cases[i].kind,
                                with(cases[i].kind, cases[i].member, cases[i].value),
                                true);
                assert_non_null(reason);
                assert_string_equal(reason, cases[i].reason);
        }
        assert_null(refusal(RELAY_FRAME_UPDATE,
                        with(RELAY_FRAME_UPDATE, "number", json_integer(65535)),
                        true));
        assert_null(refusal(RELAY_FRAME_CREATE,
                        with(RELAY_FRAME_CREATE,
                                        "expiration",
                                        json_integer(NOW + RELAY_FRAME_EXPIRATION_MAX)),
                        true));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kind_has_its_type),
                cmocka_unit_test(a_good_frame_is_read_whole),
                cmocka_unit_test(a_frame_without_what_it_needs_is_refused),
                cmocka_unit_test(claims_are_needed_where_the_protocol_knows_them),
                cmocka_unit_test(a_look_and_a_delete_need_no_key),
                cmocka_unit_test(what_is_out_of_bounds_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
