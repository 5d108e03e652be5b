/* plugin_main() as a process: its end, its words to the supervisor, its trace and its command line.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "../base/test.h"
#include "plugin-run.h"

static int start(Plugin *plugin, const json_t *settings, void **ret_state) {
        (void) plugin;
        (void) settings;
        *ret_state = NULL;
        return 0;
}

static int request(Plugin *plugin, void *state, const char *type, int64_t id, const json_t *frame) {
        (void) state;
        (void) frame;
        if (!streq(type, "send"))
                return PLUGIN_UNSUPPORTED;
        plugin_answer(plugin, id, json_pack("{s:s}", "type", "sent"));
        return 0;
}

static void stop(Plugin *plugin, void *state) {
        (void) plugin;
        (void) state;
}

static const PluginOps ops = {
        .program = "vestibule-test",
        .role = "channel",
        .name = "test",
        .summary = "A plugin of the tests.",
        .capabilities = (const char *const[]){ NULL },
        .start = start,
        .request = request,
        .stop = stop,
};

typedef struct Process {
        pid_t pid;
        int gateway, log;
} Process;

/* Runs plugin_main() in a child with the gateway's socket on descriptor 5. */
static Process process_start(const char *option, const char *notify) {
        int sockets[2], pipes[2];
        Process process;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
        assert_int_equal(pipe(pipes), 0);
        process.pid = fork();
        assert_true(process.pid >= 0);
        if (process.pid == 0) {
                char *arguments[] = {
                        (char *) "test", (char *) "--gateway=fd:5", (char *) option, NULL
                };

                (void) dup2(pipes[1], STDERR_FILENO);
                (void) dup2(sockets[1], 5);
                for (int fd = 6; fd < 64; fd++)
                        (void) close(fd);
                if (notify)
                        (void) setenv("NOTIFY_SOCKET", notify, 1);
                _exit(plugin_main(option ? 3 : 2, arguments, &ops));
        }
        (void) close(sockets[1]);
        (void) close(pipes[1]);
        process.gateway = sockets[0];
        process.log = pipes[0];
        return process;
}

static int process_end(Process *process, char *ret_log, size_t size) {
        size_t done = 0;
        int status;
        ssize_t n;

        while (size > 0 && (n = read(process->log, ret_log + done, size - 1 - done)) > 0)
                done += (size_t) n;
        if (size > 0)
                ret_log[done] = 0;
        assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
        (void) close(process->log);
        (void) close(process->gateway);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void process_hear(const Process *process, const char *type) {
        char content[1024];
        uint8_t header[4];
        size_t size;

        assert_int_equal(recv(process->gateway, header, 4, MSG_WAITALL), 4);
        size = (size_t) header[2] << 8 | header[3];
        assert_true(size < sizeof(content));
        assert_int_equal(recv(process->gateway, content, size, MSG_WAITALL), size);
        content[size] = 0;
        if (!strstr(content, type))
                fail_msg("heard %s", content);
}

static void process_say(const Process *process, const char *content) {
        uint8_t header[] = { 0, 0, (uint8_t) (strlen(content) >> 8), (uint8_t) strlen(content) };

        assert_int_equal(send(process->gateway, header, 4, MSG_NOSIGNAL), 4);
        assert_int_equal(send(process->gateway, content, strlen(content), MSG_NOSIGNAL),
                        strlen(content));
}

static void a_signal_ends_the_program_in_order(void **state) {
        static const int signals[] = { SIGTERM, SIGINT };

        for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
                Process process = process_start(NULL, NULL);

                process_hear(&process, "hello");
                process_say(&process, "{\"type\":\"welcome\",\"protocol\":1}");
                process_say(&process, "{\"type\":\"send\",\"id\":1}");
                process_hear(&process, "sent");
                assert_int_equal(kill(process.pid, signals[i]), 0);
                assert_int_equal(process_end(&process, NULL, 0), EX_OK);
        }
}

static void the_supervisor_hears_when_the_plugin_is_ready(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[] = "/tmp/vestibule-test-XXXXXX", message[512] = "";
        Process process;
        int fd;

        assert_non_null(mkdtemp(path));
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", path);
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);

        process = process_start(NULL, address.sun_path);
        process_hear(&process, "hello");
        assert_int_equal(recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT), -1);
        process_say(&process, "{\"type\":\"welcome\",\"protocol\":1}");
        assert_true(recv(fd, message, sizeof(message) - 1, 0) > 0);
        assert_non_null(strstr(message, "READY=1"));
        assert_non_null(strstr(message, "STATUS=channel test: "));
        assert_int_equal(kill(process.pid, SIGTERM), 0);
        memset(message, 0, sizeof(message));
        assert_true(recv(fd, message, sizeof(message) - 1, 0) > 0);
        assert_string_equal(message, "STOPPING=1");
        assert_int_equal(process_end(&process, NULL, 0), EX_OK);

        (void) close(fd);
        (void) unlink(address.sun_path);
        (void) rmdir(path);
}

static void a_trace_shows_types_ids_and_sizes_and_no_content(void **state) {
        char log[4096];
        Process process = process_start("--trace-frames", NULL);

        process_hear(&process, "hello");
        process_say(&process,
                        "{\"type\":\"welcome\",\"protocol\":1,\"settings\":{\"host\":\"MARKER-1\"}"
                        "}");
        process_say(&process, "{\"type\":\"send\",\"id\":1,\"text\":\"MARKER-2\"}");
        process_hear(&process, "sent");
        process_say(&process, "{\"type\":\"MARKER-3\\n\",\"id\":2}");
        process_hear(&process, "unsupported");
        assert_int_equal(shutdown(process.gateway, SHUT_WR), 0);
        assert_int_equal(process_end(&process, log, sizeof(log)), EX_OK);
        assert_non_null(strstr(log, "< send id=1 size=40"));
        assert_non_null(strstr(log, "> sent id=1 size=22"));
        assert_non_null(strstr(log, "< ? id=2"));
        assert_null(strstr(log, "MARKER"));
}

static int run_main(int argc, const char *first, const char *second) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                char *arguments[] = { (char *) "test", (char *) first, (char *) second, NULL };

                (void) close(STDOUT_FILENO);
                (void) close(STDERR_FILENO);
                _exit(plugin_main(argc, arguments, &ops));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void the_command_line_decides_how_to_end(void **state) {
        assert_int_equal(run_main(1, NULL, NULL), EX_USAGE);
        assert_int_equal(run_main(2, "--help", NULL), EX_OK);
        assert_int_equal(run_main(2, "--version", NULL), EX_OK);
        assert_int_equal(run_main(2, "--nonsense", NULL), EX_USAGE);
        assert_int_equal(run_main(2, "--gateway", NULL), EX_USAGE);
        assert_int_equal(run_main(3, "--gateway=fd:3", "more"), EX_USAGE);
        assert_int_equal(run_main(2, "--gateway=fd:x", NULL), EX_USAGE);
        assert_int_equal(run_main(2, "--gateway=fd:0", NULL), EX_USAGE);
        assert_int_equal(run_main(2, "--gateway=tcp:1", NULL), EX_USAGE);
        assert_int_equal(run_main(2, "--gateway=fd:999", NULL), EX_TEMPFAIL);
        assert_int_equal(run_main(2, "--gateway=unix:/nonexistent/socket", NULL), EX_TEMPFAIL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_signal_ends_the_program_in_order),
                cmocka_unit_test(the_supervisor_hears_when_the_plugin_is_ready),
                cmocka_unit_test(a_trace_shows_types_ids_and_sizes_and_no_content),
                cmocka_unit_test(the_command_line_decides_how_to_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
