/* What a wallet keeps between two runs: the state as a value, as a text, and as a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "receive-file.h"
#include "receive-poll.h"
#include "receive-state.h"
#include "time-text.h"

static const char *const hosts[] = { "relay.example", NULL };
static const char link_v[] = "https://relay.example/v1/m/3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77"
                             "?v=c#hXlr6aRC7KgJpOLTNZaLsw==";
static const char link_r[] = "https://relay.example/t/#R1.1301."
                             "oKGio6SlpqeoqaqrrK2ur7CxsrO0tba3uLm6u7y9vr8";

static void set_draft_v(ReceiveState *state, ReceivePhase phase) {
        _cleanup_(receive_link_done) ReceiveLink link;
        ReceiveDigest digest;

        assert_int_equal(receive_link_read(link_v, hosts, &link), 0);
        receive_state_begin(&link, state);
        state->phase = phase;
        state->number = 2;
        state->expiration = 1800000000;
        for (char i = 0; i < 3; i++) {
                receive_digest(&i, 1, &digest);
                assert_int_equal(receive_digests_add(i == 1 ? &state->written : &state->accepted,
                                                 &digest),
                                0);
        }
        if (phase != RECEIVE_READING)
                text_uuid4_random(state->request_id);
        if (phase == RECEIVE_ANSWERING) {
                state->payload_type = strdup("AEAD_AES_128_GCM");
                state->payload_data = strdup("AAAAAAAAAAAAAAAAle2qAPae4NpdeRChJ3uJWQ==");
        }
}

static void set_draft_r(ReceiveState *state, ReceivePhase phase, uint8_t root[RECEIVE_ROOT_SIZE]) {
        _cleanup_(receive_link_done) ReceiveLink link;

        assert_int_equal(receive_link_read(link_r, hosts, &link), 0);
        receive_state_begin(&link, state);
        receive_link_root(&link, state->salt, root);
        state->phase = phase;
        state->run = (uint8_t *) strdup("sealed elsewhere");
        state->run_size = 16;
        if (phase == RECEIVE_HANDLING || phase == RECEIVE_ANSWERING)
                assert_int_equal(receive_state_seal(state, root, "MARKER", 6), 0);
}

static void assert_same_digests(const ReceiveDigests *a, const ReceiveDigests *b) {
        assert_int_equal(a->n, b->n);
        if (a->n > 0)
                assert_memory_equal(a->items, b->items, a->n * sizeof(*a->items));
}

static void assert_same_text(const char *a, const char *b) {
        assert_int_equal(!a, !b);
        if (a)
                assert_string_equal(a, b);
}

/* Whatever is read writes the same again. */
static void assert_survives(const ReceiveState *state) {
        _cleanup_(freep) char *text = NULL, *again = NULL;
        _cleanup_(receive_state_done) ReceiveState back;

        assert_int_equal(receive_state_write(state, &text), 0);
        assert_int_equal(receive_state_read(text, strlen(text), &back), 0);
        assert_int_equal(receive_state_write(&back, &again), 0);
        assert_string_equal(text, again);

        assert_string_equal(back.subject, state->subject);
        assert_int_equal(back.is_draft_r, state->is_draft_r);
        assert_int_equal(back.phase, state->phase);
        assert_int_equal(back.number, state->number);
        assert_int_equal(back.expiration, state->expiration);
        assert_same_digests(&back.accepted, &state->accepted);
        assert_same_digests(&back.written, &state->written);
        assert_same_text(back.payload_type, state->payload_type);
        assert_same_text(back.payload_data, state->payload_data);
        if (state->is_draft_r) {
                assert_memory_equal(back.salt, state->salt, sizeof(back.salt));
                assert_int_equal(back.run_size, state->run_size);
                assert_memory_equal(back.run, state->run, back.run_size);
                assert_int_equal(back.content_size, state->content_size);
        } else {
                assert_string_equal(back.claim, state->claim);
                assert_string_equal(back.request_id, state->request_id);
        }
}

static void a_state_of_each_phase_survives_being_written(void **test) {
        static const ReceivePhase of_v[] = {
                RECEIVE_READING, RECEIVE_ANSWERING, RECEIVE_ENDING, RECEIVE_GIVING_UP
        };
        static const ReceivePhase of_r[] = {
                RECEIVE_READING, RECEIVE_HANDLING, RECEIVE_ANSWERING, RECEIVE_ENDING
        };

        (void) test;
        for (size_t i = 0; i < 4; i++) {
                _cleanup_(receive_state_done) ReceiveState v, r;
                uint8_t root[RECEIVE_ROOT_SIZE];

                set_draft_v(&v, of_v[i]);
                assert_survives(&v);
                set_draft_r(&r, of_r[i], root);
                assert_survives(&r);
        }
}

static void content_opens_with_the_link_and_the_state_and_with_nothing_less(void **test) {
        _cleanup_(receive_state_done) ReceiveState state;
        _cleanup_(plaintext_done) Plaintext plaintext = PLAINTEXT_NULL;
        uint8_t root[RECEIVE_ROOT_SIZE], other[RECEIVE_ROOT_SIZE];
        _cleanup_(receive_link_done) ReceiveLink link;
        _cleanup_(freep) char *text = NULL;

        (void) test;
        set_draft_r(&state, RECEIVE_HANDLING, root);
        assert_int_equal(receive_state_write(&state, &text), 0);
        assert_null(strstr(text, "MARKER"));
        assert_int_equal(receive_state_open(&state, root, &plaintext), 0);
        assert_int_equal(plaintext.size, 6);
        assert_memory_equal(plaintext.data, "MARKER", 6);
        plaintext_done(&plaintext);

        assert_int_equal(receive_link_read(link_r, hosts, &link), 0);
        state.salt[0] ^= 1;
        receive_link_root(&link, state.salt, other);
        assert_int_equal(receive_state_open(&state, other, &plaintext), RECEIVE_STATE_E_FORM);
        state.salt[0] ^= 1;
        link.text[strlen(link.text) - 2] ^= 1;
        receive_link_root(&link, state.salt, other);
        assert_int_equal(receive_state_open(&state, other, &plaintext), RECEIVE_STATE_E_FORM);
        state.content[state.content_size - 1] ^= 1;
        assert_int_equal(receive_state_open(&state, root, &plaintext), RECEIVE_STATE_E_FORM);
}

#define V(members)                                                                            \
        "{\"version\":1,\"mailbox\":\"a\",\"phase\":\"reading\",\"number\":0,\"expiration\":" \
        "0," members "}"
#define CLAIM "\"claim\":\"3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77\",\"request\":\"\","

static void other_texts_are_no_states(void **test) {
        static const char *const texts[] = {
                "",
                "{}",
                "[]",
                "3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a77 5b1f4c1e-2f57-4b0e-8d0a-6a7c1f0e9a01\n",
                V("\"x\":1"),
                V("\"draft-v\":{}"),
                V("\"draft-v\":{" CLAIM "\"accepted\":[],\"written\":[1]}"),
                V("\"draft-v\":{" CLAIM "\"accepted\":[],\"written\":[\"AAAA\"]}"),
                V("\"draft-v\":{" CLAIM "\"accepted\":[],\"written\":[],\"more\":1}"),
                V("\"draft-v\":{\"claim\":\"3f0c1a52-6f0b-4a6e-9c1d-0b1f5f1f2a7g\",\"request\":"
                  "\"\","
                  "\"accepted\":[],\"written\":[]}"),
                V("\"draft-v\":{" CLAIM "\"accepted\":[],\"written\":[]},\"draft-r\":{}"),
                V("\"draft-r\":{\"salt\":\"AAAA\"}"),
        };
        static const char good[] = V("\"draft-v\":{" CLAIM "\"accepted\":[],\"written\":[]}");
        ReceiveState state;

        (void) test;
        assert_int_equal(receive_state_read(good, strlen(good), &state), 0);
        receive_state_done(&state);
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(receive_state_read(texts[i], strlen(texts[i]), &state),
                                RECEIVE_STATE_E_FORM);
}

/* A phase without what it needs would be a crash in the next run. */
static void a_phase_that_lacks_its_values_is_no_state(void **test) {
        static const struct {
                bool is_draft_r;
                ReceivePhase phase, written_as;
        } cases[] = {
                { false, RECEIVE_READING, RECEIVE_ANSWERING },
                { false, RECEIVE_ENDING, RECEIVE_HANDLING },
                { true, RECEIVE_READING, RECEIVE_HANDLING },
                { true, RECEIVE_ENDING, RECEIVE_ANSWERING },
                { true, RECEIVE_READING, RECEIVE_GIVING_UP },
        };

        (void) test;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(receive_state_done) ReceiveState state;
                uint8_t root[RECEIVE_ROOT_SIZE];
                _cleanup_(freep) char *text = NULL;
                ReceiveState back;

                if (cases[i].is_draft_r)
                        set_draft_r(&state, cases[i].phase, root);
                else
                        set_draft_v(&state, cases[i].phase);
                state.phase = cases[i].written_as;
                assert_int_equal(receive_state_write(&state, &text), 0);
                assert_int_equal(receive_state_read(text, strlen(text), &back),
                                RECEIVE_STATE_E_FORM);
        }
}

static void digests_know_the_last_and_the_older_ones(void **test) {
        ReceiveDigests digests = { 0 };
        ReceiveDigest a, b, c;

        (void) test;
        receive_digest("a", 1, &a);
        receive_digest("b", 1, &b);
        receive_digest("c", 1, &c);
        assert_false(receive_digests_has_last(&digests, &a));
        assert_int_equal(receive_digests_add(&digests, &a), 0);
        assert_int_equal(receive_digests_add(&digests, &b), 0);
        assert_true(receive_digests_has(&digests, &a) && receive_digests_has(&digests, &b));
        assert_false(receive_digests_has(&digests, &c));
        assert_true(receive_digests_has_last(&digests, &b));
        assert_false(receive_digests_has_last(&digests, &a));
        while (digests.n < RECEIVE_MESSAGES_MAX)
                assert_int_equal(receive_digests_add(&digests, &c), 0);
        assert_int_equal(receive_digests_add(&digests, &c), -E2BIG);
        free(digests.items);
}

static void looks_become_rarer_down_to_one_a_minute(void **test) {
        static const uint64_t seconds_10[] = { 20, 30, 45, 67, 101, 151, 227, 341, 512, 600, 600 };
        static const uint32_t chances[] = { 0, UINT32_MAX / 2, UINT32_MAX };

        (void) test;
        for (size_t chance = 0; chance < N_ELEMENTS(chances); chance++) {
                ReceivePoll poll = { 0 };

                for (size_t i = 0; i < N_ELEMENTS(seconds_10); i++) {
                        const uint64_t delay = receive_poll_next(&poll, chances[chance]) / 1000;
                        const uint64_t expected = seconds_10[i] * (80 + 20 * chance);

                        assert_in_range(delay, expected - 1, expected + 120);
                }
        }
}

static char folder[] = "/tmp/test-receive.XXXXXX";

static char *path_of(const char *name) {
        static char path[64];

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        return path;
}

static void a_file_is_made_private_replaced_whole_and_deleted(void **test) {
        _cleanup_(receive_file_close) ReceiveFile file = RECEIVE_FILE_NULL;
        _cleanup_(secret_done) Secret content = SECRET_NULL, again = SECRET_NULL;
        const char *path = path_of("made");
        struct stat st;

        (void) test;
        assert_int_equal(receive_file_open(path, false, 100, &file, &content), -ENOENT);
        assert_int_equal(receive_file_open(path, true, 100, &file, &content), 0);
        assert_int_equal(content.size, 0);
        assert_int_equal(receive_file_store(&file, "one"), 0);
        assert_int_equal(receive_file_store(&file, "three"), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        receive_file_close(&file);

        assert_int_equal(receive_file_open(path, true, 100, &file, &again), 0);
        assert_int_equal(again.size, 5);
        assert_memory_equal(again.data, "three", 5);
        assert_int_equal(receive_file_remove(&file), 0);
        assert_int_equal(stat(path, &st), -1);
}

static void what_a_killed_run_left_beside_the_file_is_in_nobodys_way(void **test) {
        _cleanup_(receive_file_close) ReceiveFile file = RECEIVE_FILE_NULL;
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        struct stat st;
        int fd;

        (void) test;
        fd = open(path_of("left.new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "half", 4), 4);
        assert_int_equal(close(fd), 0);
        assert_int_equal(receive_file_open(path_of("left"), true, 100, &file, &content), 0);
        file.path = strdup(file.path);
        assert_int_equal(receive_file_store(&file, "whole"), 0);
        assert_int_equal(stat(path_of("left"), &st), 0);
        assert_int_equal(st.st_size, 5);
        assert_int_equal(stat(path_of("left.new"), &st), -1);
        assert_int_equal(receive_file_remove(&file), 0);
        free((char *) file.path);
}

static void a_file_has_one_user_at_a_time_however_often_it_was_replaced(void **test) {
        ReceiveFile file = RECEIVE_FILE_NULL, other = RECEIVE_FILE_NULL;
        _cleanup_(secret_done) Secret content = SECRET_NULL;
        _cleanup_(freep) char *path = strdup(path_of("busy"));

        (void) test;
        assert_int_equal(receive_file_open(path, true, 100, &file, &content), 0);
        assert_int_equal(receive_file_open(path, true, 100, &other, &content), RECEIVE_FILE_E_BUSY);
        assert_int_equal(receive_file_store(&file, "x"), 0);
        assert_int_equal(receive_file_store(&file, "y"), 0);
        assert_int_equal(receive_file_open(path, true, 100, &other, &content), RECEIVE_FILE_E_BUSY);
        assert_int_equal(receive_file_remove(&file), 0);
}

static void files_that_are_not_ours_alone_are_refused(void **test) {
        ReceiveFile file = RECEIVE_FILE_NULL;
        Secret content = SECRET_NULL;
        _cleanup_(freep) char *path = strdup(path_of("odd")), *link = strdup(path_of("link"));
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        (void) test;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "12345678901", 11), 11);
        assert_int_equal(receive_file_open(path, true, 10, &file, &content), RECEIVE_FILE_E_KIND);
        assert_int_equal(fchmod(fd, 0604), 0);
        assert_int_equal(receive_file_open(path, true, 100, &file, &content), RECEIVE_FILE_E_OPEN);
        assert_int_equal(symlink(path, link), 0);
        assert_int_equal(receive_file_open(link, true, 100, &file, &content), RECEIVE_FILE_E_KIND);
        assert_int_equal(
                        receive_file_open(folder, true, 100, &file, &content), RECEIVE_FILE_E_KIND);
        assert_int_equal(unlink(link), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(close(fd), 0);
}

static int remove_folder(void **test) {
        (void) test;
        return rmdir(folder);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_state_of_each_phase_survives_being_written),
                cmocka_unit_test(content_opens_with_the_link_and_the_state_and_with_nothing_less),
                cmocka_unit_test(other_texts_are_no_states),
                cmocka_unit_test(a_phase_that_lacks_its_values_is_no_state),
                cmocka_unit_test(digests_know_the_last_and_the_older_ones),
                cmocka_unit_test(looks_become_rarer_down_to_one_a_minute),
                cmocka_unit_test(a_file_is_made_private_replaced_whole_and_deleted),
                cmocka_unit_test(what_a_killed_run_left_beside_the_file_is_in_nobodys_way),
                cmocka_unit_test(a_file_has_one_user_at_a_time_however_often_it_was_replaced),
                cmocka_unit_test(files_that_are_not_ours_alone_are_refused),
        };

        if (!mkdtemp(folder))
                return 1;
        return cmocka_run_group_tests(tests, NULL, remove_folder);
}
