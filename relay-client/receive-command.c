#include "receive-command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "time-text.h"

enum {
        SHELL_FAILED = 127,
        ENVIRONMENT_SIZE = 4 + 1,
};

typedef struct Run {
        const ReceiveCommand *command;
        pid_t pid;
        sigset_t mask;        /* of signals, before SIGCHLD became readable at ended */
        int ended;            /* a signalfd */
        int to, from;         /* our ends of its standard input and output; -1 once closed */
        int its_to, its_from; /* its ends */
        int life, its_life;   /* a pipe of which we hold one end for as long as it may live */
        size_t n_written;
        uint64_t deadline; /* of time_boot() */
        int error;         /* why it is being ended; 0: it is not */
        Secret output;
} Run;

/* Texts of which the first n are allocated. */
typedef struct Environment {
        char *texts[ENVIRONMENT_SIZE];
        size_t n;
} Environment;

static void environment_done(Environment *environment) {
        for (size_t i = 0; i < environment->n; i++)
                free(environment->texts[i]);
}

static int environment_add(Environment *environment, const char *name, const char *value) {
        if (!value)
                return 0;
        if (asprintf(&environment->texts[environment->n], "%s=%s", name, value) < 0) {
                environment->texts[environment->n] = NULL;
                return -ENOMEM;
        }
        environment->n++;
        return 0;
}

static int environment_make(const ReceiveCommand *command, Environment *ret) {
        static const char *const names[] = { "PATH", "LANG", "HOME" };
        char number[24];
        int r = 0;

        for (size_t i = 0; i < N_ELEMENTS(names) && r == 0; i++)
                r = environment_add(ret, names[i], getenv(names[i]));
        (void) snprintf(number, sizeof(number), "%lld", (long long) command->number);
        if (r == 0 && command->number >= 0)
                r = environment_add(ret, "VESTIBULE_MESSAGE", number);
        return r;
}

/* Ends the whole process group once nobody holds the other end of the pipe: when the command has
 * ended, or this program was killed, so that a second run never meets what the first one started.
 * It holds nothing else, the command's output least of all. */
static _Noreturn void keep_watch(const Run *run) {
        uint8_t nothing;

        (void) signal(SIGTERM, SIG_IGN);
        if (dup2(run->its_life, 0) >= 0) {
                closefrom(1);
                while (read(0, &nothing, 1) < 0 && errno == EINTR)
                        ;
        }
        (void) kill(0, SIGKILL);
        _exit(SHELL_FAILED);
}

/* In the child, where nothing may be called that is not safe after fork(). */
static _Noreturn void become(const Run *run, char *const environment[]) {
        const char *const arguments[] = { "sh", "-c", run->command->command, NULL };
        pid_t watch;

        if (setpgid(0, 0) < 0)
                _exit(SHELL_FAILED);
        watch = fork();
        if (watch == 0)
                keep_watch(run);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &run->mask, NULL);
        if (watch > 0 && dup2(run->its_to, 0) >= 0 && dup2(run->its_from, 1) >= 0) {
                closefrom(3);
                (void) execve("/bin/sh", (char *const *) arguments, environment);
        }
        _exit(SHELL_FAILED);
}

static int open_pipe(int *ret_read, int *ret_write) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *ret_read = fds[0];
        *ret_write = fds[1];
        return 0;
}

static int watch_children(Run *run) {
        sigset_t children;

        (void) sigemptyset(&children);
        (void) sigaddset(&children, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &children, &run->mask) < 0)
                return -errno;
        run->ended = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
        return run->ended < 0 ? -errno : 0;
}

static int start(Run *run) {
        _cleanup_(environment_done) Environment environment = { .n = 0 };
        int r;

        r = environment_make(run->command, &environment);
        if (r == 0)
                r = open_pipe(&run->its_to, &run->to);
        if (r == 0)
                r = open_pipe(&run->from, &run->its_from);
        if (r == 0)
                r = open_pipe(&run->its_life, &run->life);
        if (r == 0)
                r = watch_children(run);
        if (r < 0)
                return r;
        if (fcntl(run->to, F_SETFL, O_NONBLOCK) < 0 || fcntl(run->from, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        run->pid = fork();
        if (run->pid < 0)
                return -errno;
        if (run->pid == 0)
                become(run, environment.texts);
        (void) setpgid(run->pid, run->pid); /* whoever comes first */
        run->its_to = close_fd(run->its_to);
        run->its_from = close_fd(run->its_from);
        run->its_life = close_fd(run->its_life);
        return 0;
}

static void send_signal(const Run *run, int signal_number) {
        if (kill(-run->pid, signal_number) < 0)
                (void) kill(run->pid, signal_number);
}

/* Asks it to end; whoever is asked twice is not asked again. */
static void end(Run *run, int error) {
        send_signal(run, run->error ? SIGKILL : SIGTERM);
        if (!run->error)
                run->error = error;
        run->deadline = time_boot() + RECEIVE_COMMAND_GRACE * USEC_PER_SEC;
}

/* A command that does not want its input is free not to read it. */
static void write_input(Run *run) {
        const ReceiveCommand *command = run->command;
        ssize_t n = 0;

        if (run->n_written < command->input_size)
                n = write(run->to,
                                (const uint8_t *) command->input + run->n_written,
                                command->input_size - run->n_written);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0)
                run->n_written += (size_t) n;
        if (n < 0 || run->n_written == command->input_size)
                run->to = close_fd(run->to);
}

/* Reads what there is; one octet more than is allowed is enough to know. */
static void read_output(Run *run) {
        uint8_t surplus;
        bool full = run->output.size == RECEIVE_COMMAND_OUTPUT_MAX;
        ssize_t n = read(run->from,
                        full ? &surplus : run->output.data + run->output.size,
                        full ? 1 : RECEIVE_COMMAND_OUTPUT_MAX - run->output.size);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || full) {
                run->from = close_fd(run->from);
                if (n > 0)
                        end(run, RECEIVE_COMMAND_E_TOO_LARGE);
                return;
        }
        run->output.size += (size_t) n;
}

static int milliseconds_left(const Run *run) {
        uint64_t now = time_boot();

        return now >= run->deadline
                               ? 0
                               : (int) ((run->deadline - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

/* It stays a zombie, so that its number is nobody else's. */
static bool has_ended(const Run *run) {
        struct signalfd_siginfo signals;
        siginfo_t info = { 0 };

        while (read(run->ended, &signals, sizeof(signals)) > 0)
                ;
        return waitid(P_PID, (id_t) run->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == run->pid;
}

/* Until it has ended. What it wrote before that is in the pipe, and is read; who holds the pipe
 * open after it is none of ours. */
static int attend(Run *run) {
        for (;;) {
                struct pollfd fds[] = {
                        { .fd = run->ended, .events = POLLIN },
                        { .fd = run->to, .events = POLLOUT },
                        { .fd = run->from, .events = POLLIN },
                };
                int n = poll(fds, N_ELEMENTS(fds), milliseconds_left(run));

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        end(run, RECEIVE_COMMAND_E_TIMEOUT);
                if (n <= 0)
                        continue;
                if (fds[1].revents)
                        write_input(run);
                if (fds[2].revents)
                        read_output(run);
                else if (fds[0].revents && has_ended(run))
                        return 0;
        }
}

static int collect(Run *run, int *ret_status) {
        int status;

        send_signal(run, SIGKILL); /* what it has left behind */
        while (waitpid(run->pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        run->pid = 0;
        *ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        if (run->error)
                return run->error;
        return *ret_status == 0 ? 0 : RECEIVE_COMMAND_E_STATUS;
}

static void run_done(Run *run) {
        int status;

        if (run->pid > 0) {
                send_signal(run, SIGKILL);
                (void) waitpid(run->pid, &status, 0);
        }
        if (run->ended >= 0)
                (void) sigprocmask(SIG_SETMASK, &run->mask, NULL);
        (void) close_fd(run->ended);
        (void) close_fd(run->to);
        (void) close_fd(run->from);
        (void) close_fd(run->its_to);
        (void) close_fd(run->its_from);
        (void) close_fd(run->life);
        (void) close_fd(run->its_life);
        run->output.size = run->output.data ? RECEIVE_COMMAND_OUTPUT_MAX : 0;
        secret_done(&run->output);
}

int receive_command_run(const ReceiveCommand *command, Secret *ret_output, int *ret_status) {
        _cleanup_(run_done) Run run = {
                .command = command,
                .ended = -1,
                .to = -1,
                .from = -1,
                .its_to = -1,
                .its_from = -1,
                .life = -1,
                .its_life = -1,
                .deadline = time_boot() + command->timeout * USEC_PER_SEC,
        };
        int r;

        r = secret_new(&run.output, RECEIVE_COMMAND_OUTPUT_MAX);
        if (r < 0)
                return r;
        run.output.size = 0;
        r = start(&run);
        if (r == 0)
                r = attend(&run);
        if (r == 0)
                r = collect(&run, ret_status);
        if (r != 0)
                return r;
        return secret_copy(ret_output, run.output.data, run.output.size);
}
