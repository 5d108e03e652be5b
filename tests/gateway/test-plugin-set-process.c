/* Programs that the gateway starts: what they see, how they end and come back. */
#include "test-plugin-set-side.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define CHILD(mode) "exec = { " TEST_PYTHON ", \"" TEST_CHILD "\", " mode " }"

/* Asks the child to look around; its answer is in s->answer. */
static void look(Side *s) {
        unsigned before = s->n_answers;

        RUN_UNTIL(s, plugin_link_is_up(s->link));
        assert_int_equal(plugin_link_ask(s->link,
                                         frame_of("look", 0),
                                         PATIENCE,
                                         side_on_answer,
                                         s,
                                         NULL),
                        0);
        RUN_UNTIL(s, s->n_answers > before);
        assert_non_null(s->answer);
}

static bool process_exists(pid_t pid) {
        return kill(pid, 0) == 0;
}

static void a_started_program_sees_nothing_of_ours(void **state) {
        Side *s;
        pid_t pid;
        int leak = open("/dev/zero", O_RDONLY); /* without close-on-exec */

        (void) state;
        assert_true(leak >= 0);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/creds", 1), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", "/run/notify", 1), 0);
        assert_int_equal(setenv("SECRET_OF_THE_GATEWAY", "x", 1), 0);
        s = side_new(CHILD("run"));
        look(s);
        assert_string_equal(json_string_value(json_object_get(s->answer, "credentials")),
                        "/run/creds/child");
        for (size_t i = 0; i < json_array_size(json_object_get(s->answer, "environment")); i++) {
                const char *name = json_string_value(
                                json_array_get(json_object_get(s->answer, "environment"), i));

                /* Python sets LC_CTYPE for itself. */
                if (strcmp(name, "PATH") != 0 && strcmp(name, "CREDENTIALS_DIRECTORY") != 0 &&
                                strcmp(name, "LC_CTYPE") != 0)
                        fail_msg("the child has %s", name);
        }
        assert_int_equal(json_array_size(json_object_get(s->answer, "descriptors")), 4);
        assert_int_equal(json_integer_value(json_array_get(
                                         json_object_get(s->answer, "descriptors"), 3)),
                        3);
        assert_string_equal(json_string_value(json_object_get(s->answer, "stdin")), "/dev/null");
        assert_int_equal(json_integer_value(json_object_get(s->answer, "blocked")), 0);
        pid = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        assert_int_equal(json_integer_value(json_object_get(s->answer, "group")), pid);
        assert_string_equal(json_string_value(json_array_get(
                                            json_object_get(s->answer, "arguments"), 1)),
                        "--gateway");
        side_free(s);
        assert_false(process_exists(pid));
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
        (void) close(leak);
}

static void a_killed_program_comes_back_and_leaves_no_zombie(void **state) {
        Side *s = side_new(CHILD("run"));
        pid_t first, second;

        (void) state;
        look(s);
        first = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        assert_int_equal(side_ask(s, 0, NULL), 0);
        assert_int_equal(kill(first, SIGKILL), 0);
        RUN_UNTIL(s, s->n_down == 1);
        assert_int_equal(s->n_resets, 1);
        look(s);
        second = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        assert_true(first != second);
        assert_false(process_exists(first));
        assert_int_equal(s->n_up, 2);
        side_free(s);
        assert_false(process_exists(second));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void a_program_whose_connection_was_cut_is_ended_and_started_again(void **state) {
        Side *s = side_new(CHILD("stay"));
        uint64_t start;
        pid_t first;

        (void) state;
        look(s);
        first = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        start = time_boot();
        plugin_link_close(s->link, "the test says so");
        RUN_UNTIL(s, s->n_up == 2);
        assert_true(time_boot() - start <
                        4 * USEC_PER_SEC); /* by SIGTERM; SIGKILL comes after five */
        assert_false(process_exists(first));
        side_free(s);
}

static void a_program_that_fails_and_fails_counts_as_down_and_is_tried_slower(void **state) {
        Side *s = side_new(CHILD("quit, 3"));
        uint64_t start = time_boot();

        (void) state;
        RUN_UNTIL(s, plugin_link_state(s->link) == PLUGIN_LINK_FAILED);
        assert_true(time_boot() - start >= 1500 * USEC_PER_MSEC); /* 0.1 + 0.2 + 0.4 + 0.8 */
        assert_int_equal(s->n_up, 0);
        side_free(s);
}

static void a_program_that_cannot_be_executed_is_no_error_of_the_start(void **state) {
        Side *s = side_new("exec = { /nonexistent/program }");

        (void) state;
        RUN_UNTIL(s, plugin_link_state(s->link) == PLUGIN_LINK_FAILED);
        side_free(s);
}

static void a_program_that_ignores_its_end_is_killed_when_the_set_goes(void **state) {
        Side *s = side_new(CHILD("deaf"));
        uint64_t start;
        pid_t pid;

        (void) state;
        look(s);
        pid = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
        start = time_boot();
        side_free(s);
        assert_true(time_boot() - start < 5 * USEC_PER_SEC);
        assert_false(process_exists(pid));
}

static void a_program_ends_with_the_gateway_however_it_ends(void **state) {
        int pair[2];
        pid_t gateway, child = 0;
        uint64_t end;

        (void) state;
        assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
        gateway = fork();
        if (gateway == 0) {
                Side *s = side_new(CHILD("stay"));

                look(s);
                child = (pid_t) json_integer_value(json_object_get(s->answer, "pid"));
                (void) rmdir(s->folder);
                _exit(write(pair[1], &child, sizeof(child)) == sizeof(child) && pause() ? 0 : 1);
        }
        (void) close(pair[1]);
        assert_int_equal(read(pair[0], &child, sizeof(child)), sizeof(child));
        (void) close(pair[0]);
        assert_true(process_exists(child));
        assert_int_equal(kill(gateway, SIGKILL), 0);
        assert_int_equal(waitpid(gateway, NULL, 0), gateway);
        for (end = time_boot() + PATIENCE; process_exists(child);) {
                char path[64], state_letter = 0;
                FILE *file;

                /* Whoever inherits it may not reap it here: a zombie has ended. */
                (void) snprintf(path, sizeof(path), "/proc/%d/stat", (int) child);
                file = fopen(path, "r");
                if (!file)
                        break;
                assert_true(fscanf(file, "%*d %*s %c", &state_letter) >= 0);
                (void) fclose(file);
                if (state_letter == 'Z')
                        break;
                assert_true(time_boot() < end);
                (void) usleep(2000);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_started_program_sees_nothing_of_ours),
                cmocka_unit_test(a_killed_program_comes_back_and_leaves_no_zombie),
                cmocka_unit_test(a_program_whose_connection_was_cut_is_ended_and_started_again),
                cmocka_unit_test(a_program_that_fails_and_fails_counts_as_down_and_is_tried_slower),
                cmocka_unit_test(a_program_that_cannot_be_executed_is_no_error_of_the_start),
                cmocka_unit_test(a_program_that_ignores_its_end_is_killed_when_the_set_goes),
                cmocka_unit_test(a_program_ends_with_the_gateway_however_it_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
