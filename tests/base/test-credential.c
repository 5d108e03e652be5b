/* Credentials come from one folder, whole, and only if nobody else could have read or written them.
 */
#include "test.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "credential.h"

static char directory[64];

static void put(const char *name, const void *data, size_t size, mode_t mode) {
        _cleanup_(closep) int fd = -1;
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
        (void) unlink(path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), (ssize_t) size);
        assert_int_equal(fchmod(fd, mode), 0);
}

static int read_line(const char *name) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;

        return credential_read_line(name, &secret);
}

static int read_whole(const char *name) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;

        return credential_read(name, &secret);
}

static void a_credential_is_read_whole(void **state) {
        static const uint8_t bytes[] = { 0, 1, '\n', 0xff, '\n' };
        _cleanup_(secret_done) Secret secret = SECRET_NULL;

        put("root.key", bytes, sizeof(bytes), 0400);
        assert_int_equal(credential_read("root.key", &secret), 0);
        assert_int_equal(secret.size, sizeof(bytes));
        assert_memory_equal(secret.data, bytes, sizeof(bytes));
}

static void a_line_loses_its_final_newline_only(void **state) {
        static const struct {
                const char *content, *line;
        } cases[] = { { "secret\n", "secret" }, { "secret", "secret" }, { " s \r\n", " s \r" } };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                _cleanup_(secret_done) Secret secret = SECRET_NULL;

                put("line", cases[i].content, strlen(cases[i].content), 0400);
                assert_int_equal(credential_read_line("line", &secret), 0);
                assert_int_equal(secret.size, strlen(cases[i].line));
                assert_string_equal((const char *) secret.data, cases[i].line);
        }
}

static void an_empty_line_is_only_for_those_who_ask_for_it(void **state) {
        static const char *const contents[] = { "", "\n" };

        for (size_t i = 0; i < N_ELEMENTS(contents); i++) {
                _cleanup_(secret_done) Secret secret = SECRET_NULL;

                put("line", contents[i], strlen(contents[i]), 0400);
                assert_int_equal(read_line("line"), -ENODATA);
                assert_int_equal(credential_read_line_or_empty("line", &secret), 0);
                assert_int_equal(secret.size, 0);
                assert_string_equal((const char *) secret.data, "");
        }
}

static void two_lines_or_a_nul_are_not_a_line(void **state) {
        put("line", "a\nb\n", 4, 0400);
        assert_int_equal(read_line("line"), -EBADMSG);
        put("line", "a\n\n", 3, 0400);
        assert_int_equal(read_line("line"), -EBADMSG);
        put("line", "a\0b", 3, 0400);
        assert_int_equal(read_line("line"), -EBADMSG);
}

static void a_credential_that_others_can_reach_is_refused(void **state) {
        static const mode_t refused[] = { 0404, 0402, 0401, 0420, 0410, 0644, 0666 },
                            taken[] = { 0400, 0600, 0440, 0640 };

        for (size_t i = 0; i < N_ELEMENTS(refused); i++) {
                put("mode", "x", 1, refused[i]);
                if (read_whole("mode") != -EPERM)
                        fail_msg("mode %o was taken", refused[i]);
        }
        for (size_t i = 0; i < N_ELEMENTS(taken); i++) {
                put("mode", "x", 1, taken[i]);
                if (read_whole("mode") != 0)
                        fail_msg("mode %o was refused", taken[i]);
        }
}

static void a_name_never_leaves_the_folder(void **state) {
        static const char *const bad[] = { "", ".", "..", "../x", "/etc/passwd", "a/b", ".hidden" };

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(read_whole(bad[i]), -EINVAL);
}

static void links_folders_and_pipes_are_not_credentials(void **state) {
        char path[128];

        put("target", "x", 1, 0400);
        (void) snprintf(path, sizeof(path), "%s/link", directory);
        assert_int_equal(symlink("target", path), 0);
        assert_int_equal(read_whole("link"), -ELOOP);
        assert_int_equal(unlink(path), 0);

        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(read_whole("link"), -EINVAL);
        assert_int_equal(rmdir(path), 0);

        assert_int_equal(mkfifo(path, 0600), 0);
        assert_int_equal(read_whole("link"), -EINVAL);
        assert_int_equal(unlink(path), 0);
}

static void what_is_absent_or_too_large_is_said_apart(void **state) {
        _cleanup_(freep) char *large = calloc(1, CREDENTIAL_SIZE_MAX + 1);

        assert_non_null(large);
        assert_int_equal(read_whole("absent"), -ENOENT);
        put("large", large, CREDENTIAL_SIZE_MAX, 0400);
        assert_int_equal(read_whole("large"), 0);
        put("large", large, CREDENTIAL_SIZE_MAX + 1, 0400);
        assert_int_equal(read_whole("large"), -E2BIG);
}

static void without_an_absolute_folder_there_are_no_credentials(void **state) {
        put("x", "x", 1, 0400);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "relative", 1), 0);
        assert_null(credential_directory());
        assert_int_equal(read_whole("x"), -ENXIO);
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_int_equal(read_whole("x"), -ENXIO);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
        assert_int_equal(read_whole("x"), 0);
}

static int make_directory(void **state) {
        (void) snprintf(directory, sizeof(directory), "/tmp/test-credential-XXXXXX");
        if (!mkdtemp(directory))
                return -1;
        return setenv("CREDENTIALS_DIRECTORY", directory, 1);
}

static int remove_directory(void **state) {
        static const char *const names[] = { "root.key", "line", "mode", "target", "large", "x" };
        char path[128];

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
                (void) unlink(path);
        }
        return rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_credential_is_read_whole),
                cmocka_unit_test(a_line_loses_its_final_newline_only),
                cmocka_unit_test(an_empty_line_is_only_for_those_who_ask_for_it),
                cmocka_unit_test(two_lines_or_a_nul_are_not_a_line),
                cmocka_unit_test(a_credential_that_others_can_reach_is_refused),
                cmocka_unit_test(a_name_never_leaves_the_folder),
                cmocka_unit_test(links_folders_and_pipes_are_not_credentials),
                cmocka_unit_test(what_is_absent_or_too_large_is_said_apart),
                cmocka_unit_test(without_an_absolute_folder_there_are_no_credentials),
        };

        if (sodium_init() < 0)
                return 1;
        return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
