/* The stderr form of the log: one line a record whatever it holds, with the fields that exist. */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "log.h"

static int saved_stderr = -1, capture_fd = -1;

static int capture_start(void **state) {
        capture_fd = memfd_create("log", MFD_CLOEXEC);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
        if (capture_fd < 0 || saved_stderr < 0 || dup2(capture_fd, STDERR_FILENO) < 0)
                return -1;
        log_set_max_priority(LOG_INFO);
        return 0;
}

static int capture_stop(void **state) {
        if (dup2(saved_stderr, STDERR_FILENO) < 0)
                return -1;
        saved_stderr = close_fd(saved_stderr);
        capture_fd = close_fd(capture_fd);
        return 0;
}

static void check_logged(const char *expected) {
        char text[8192] = { 0 };
        ssize_t n = pread(capture_fd, text, sizeof(text) - 1, 0);

        assert_true(n >= 0);
        assert_string_equal(text, expected);
        assert_int_equal(ftruncate(capture_fd, 0), 0);
        assert_int_equal(lseek(capture_fd, 0, SEEK_SET), 0);
}

static void a_record_is_a_line_with_its_priority(void **state) {
        log_error("failed with %d", 5);
        check_logged("<3>test-log: failed with 5\n");
        log_warning("w");
        log_notice("n");
        log_info("i");
        check_logged("<4>test-log: w\n<5>test-log: n\n<6>test-log: i\n");
}

/* The bytes that a terminal gets of one record. */
static void check_terminal(const char *expected) {
        _cleanup_(closep) int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), side = -1;
        char text[256] = { 0 };

        assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
        side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(side >= 0 && dup2(side, STDERR_FILENO) >= 0);
        log_open("test-log");
        log_warning("w");
        assert_true(read(terminal, text, sizeof(text) - 1) > 0);
        assert_string_equal(text, expected);
}

static void a_person_sees_no_priority(void **state) {
        log_omit_priority();
        log_error("e");
        check_logged("test-log: e\n");
        check_terminal("test-log: w\r\n");

        assert_true(dup2(capture_fd, STDERR_FILENO) >= 0);
        log_open("test-log");
        log_warning("w");
        check_logged("<4>test-log: w\n");
}

static void fields_that_exist_follow_by_name(void **state) {
        log_record(LOG_INFO,
                        &(LogFields){ .share = "shr_1",
                                        .tenant = "adler",
                                        .channel = "xmpp",
                                        .state = "invited",
                                        .message = "msg_1" },
                        "sent");
        check_logged("<6>test-log: sent SHARE=shr_1 TENANT=adler CHANNEL=xmpp STATE=invited "
                     "OUTBOX_MESSAGE=msg_1\n");
        log_record(LOG_INFO, &(LogFields){ .channel = "xmpp" }, "up");
        check_logged("<6>test-log: up CHANNEL=xmpp\n");
        log_record(LOG_INFO, &(LogFields){ 0 }, "none");
        check_logged("<6>test-log: none\n");
}

static void records_above_the_limit_are_dropped(void **state) {
        log_debug("quiet");
        check_logged("");
        log_set_max_priority(LOG_DEBUG);
        log_debug("loud");
        check_logged("<7>test-log: loud\n");
        log_set_max_priority(LOG_ERR);
        log_warning("quiet");
        check_logged("");
}

static void nothing_logged_can_begin_a_line_of_its_own(void **state) {
        log_info("reason: %s", "gone\n<0>kernel: forged\r\x1b[2J\x7f");
        check_logged("<6>test-log: reason: gone?<0>kernel: forged??[2J?\n");
        log_record(LOG_INFO, &(LogFields){ .tenant = "a\nb" }, "x");
        check_logged("<6>test-log: x TENANT=a?b\n");
        log_info("%s", "Zürich");
        check_logged("<6>test-log: Zürich\n");
}

static void a_long_record_is_cut_and_stays_one_line(void **state) {
        char text[8192] = { 0 }, value[600];
        ssize_t n;

        memset(value, 'v', sizeof(value) - 1);
        value[sizeof(value) - 1] = 0;
        log_record(LOG_INFO, &(LogFields){ .share = value, .tenant = value }, "%04000d", 0);
        n = pread(capture_fd, text, sizeof(text) - 1, 0);
        assert_in_range(n, 1000, 2000);
        assert_ptr_equal(strchr(text, '\n'), text + n - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                                a_record_is_a_line_with_its_priority, capture_start, capture_stop),
                cmocka_unit_test_setup_teardown(
                                a_person_sees_no_priority, capture_start, capture_stop),
                cmocka_unit_test_setup_teardown(
                                fields_that_exist_follow_by_name, capture_start, capture_stop),
                cmocka_unit_test_setup_teardown(
                                records_above_the_limit_are_dropped, capture_start, capture_stop),
                cmocka_unit_test_setup_teardown(nothing_logged_can_begin_a_line_of_its_own,
                                capture_start,
                                capture_stop),
                cmocka_unit_test_setup_teardown(a_long_record_is_cut_and_stays_one_line,
                                capture_start,
                                capture_stop),
        };

        /* Under a service manager the tests' stderr may be the journal. */
        if (unsetenv("JOURNAL_STREAM") < 0)
                return 1;
        log_open("test-log");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
