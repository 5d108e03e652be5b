/* Programs that the gateway starts itself: what they are given, and when they are started again. */
#include "plugin-set-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "credential.h"
#include "log.h"

enum {
        CHILD_FD = 3,
        EX_CONFIG_STATUS = 78,
        EX_EXEC_STATUS = 127,
};

#define DELAY_MAX_USEC (30 * USEC_PER_SEC)
#define KILL_USEC (5 * USEC_PER_SEC)

void plugin_link_kill(PluginLink *link, int signal) {
        if (link->pid > 0)
                (void) kill(-link->pid, signal);
}

void plugin_link_expect_exit(PluginLink *link, bool orderly) {
        if (link->pid == 0)
                return;
        if (!orderly)
                plugin_link_kill(link, SIGTERM);
        (void) plugin_link_set_timer(link->set->event,
                        &link->timer,
                        time_boot() + KILL_USEC,
                        plugin_link_on_timer,
                        link);
}

void plugin_link_reap(pid_t pid, uint64_t until) {
        while (waitpid(pid, NULL, WNOHANG) == 0) {
                if (time_boot() >= until) {
                        (void) kill(-pid, SIGKILL);
                        (void) waitpid(pid, NULL, 0);
                        return;
                }
                (void) nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
        }
        (void) kill(-pid, SIGKILL);
}

/* All that is prepared before fork(), as afterwards only async-signal-safe calls are allowed. */
typedef struct Spawn {
        char **argv;
        char path[4096 + 8], credentials[4096 + 32];
        char *environment[3];
        int socket, null;
        pid_t parent;
} Spawn;

static int spawn_prepare(Spawn *s, const ConfigPlugin *config) {
        const char *path = getenv("PATH"), *credentials = credential_directory();
        size_t n = 0, e = 0;

        while (config->exec[n])
                n++;
        s->argv = calloc(n + 5, sizeof(char *));
        if (!s->argv)
                return -ENOMEM;
        memcpy(s->argv, config->exec, n * sizeof(char *));
        s->argv[n] = (char *) "--gateway";
        s->argv[n + 1] = (char *) "fd:3";
        s->argv[n + 2] = (char *) "--name";
        s->argv[n + 3] = (char *) config->name;

        if (path && strlen(path) <= 4096) {
                (void) snprintf(s->path, sizeof(s->path), "PATH=%s", path);
                s->environment[e++] = s->path;
        }
        if (credentials) {
                int size = snprintf(s->credentials,
                                sizeof(s->credentials),
                                "CREDENTIALS_DIRECTORY=%s/%s",
                                credentials,
                                config->socket_name);

                if (size < 0 || (size_t) size >= sizeof(s->credentials))
                        return -ENAMETOOLONG;
                s->environment[e++] = s->credentials;
        }
        s->parent = getpid();
        return 0;
}

__attribute__((noreturn)) static void spawn_child(const Spawn *s) {
        static const char failed[] = "<3>vestibuled: a plugin's program cannot be executed\n";
        sigset_t none;

        if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != s->parent)
                _exit(EX_EXEC_STATUS);
        for (int n = 1; n < NSIG; n++)
                (void) signal(n, SIG_DFL);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);

        if (dup2(s->null, 0) < 0 || dup2(2, 1) < 0 || dup2(s->socket, CHILD_FD) < 0)
                _exit(EX_EXEC_STATUS);
        if (close_range(CHILD_FD + 1, ~0u, 0) < 0)
                for (int fd = CHILD_FD + 1; fd < 65536; fd++)
                        (void) close(fd);
        (void) execve(s->argv[0], s->argv, (char **) s->environment);
        (void) !write(2, failed, sizeof(failed) - 1);
        _exit(EX_EXEC_STATUS);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata);

static int link_spawn(PluginLink *link) {
        _cleanup_(closep) int ours = -1, theirs = -1, moved = -1, null = -1;
        int pair[2], r;
        Spawn spawn = { 0 };
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        /* Away from 0 to 3, which the child overwrites. */
        moved = fcntl(theirs, F_DUPFD_CLOEXEC, CHILD_FD + 1);
        theirs = close_fd(theirs);
        theirs = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (moved < 0 || theirs < 0)
                return -errno;
        null = fcntl(theirs, F_DUPFD_CLOEXEC, CHILD_FD + 1);
        if (null < 0)
                return -errno;
        spawn.socket = moved;
        spawn.null = null;
        r = spawn_prepare(&spawn, link->config);
        if (r < 0) {
                free(spawn.argv);
                return r;
        }
        pid = fork();
        if (pid == 0)
                spawn_child(&spawn);
        r = pid < 0 ? -errno : 0;
        free(spawn.argv);
        if (r < 0)
                return r;
        (void) setpgid(pid, pid); /* whoever comes first; kill(-pid) must never miss */

        link->pid = pid;
        r = sd_event_add_child(link->set->event, &link->child, pid, WEXITED, on_child, link);
        if (r >= 0)
                r = plugin_connection_new(link, ours);
        if (r < 0) {
                plugin_link_kill(link, SIGKILL);
                if (!link->child) {
                        (void) waitpid(pid, NULL, 0);
                        link->pid = 0;
                        return r;
                }
                plugin_link_log(link, LOG_ERR, "cannot be connected: %s", strerror(-r));
                return 0; /* its end brings the next try */
        }
        (void) TAKE_FD(ours);
        return 0;
}

static void link_start_later(PluginLink *link) {
        int r;

        r = plugin_link_set_timer(link->set->event,
                        &link->timer,
                        time_boot() + link->delay,
                        plugin_link_on_timer,
                        link);
        if (r < 0)
                plugin_link_log(link, LOG_ERR, "cannot be started again: %s", strerror(-r));
        link->delay = link->delay * 2 > DELAY_MAX_USEC ? DELAY_MAX_USEC : link->delay * 2;
}

void plugin_link_start(PluginLink *link) {
        int r;

        r = link_spawn(link);
        if (r >= 0)
                return;
        link->failures++;
        plugin_link_log(link, LOG_ERR, "cannot be started: %s", strerror(-r));
        link_start_later(link);
}

int plugin_link_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        PluginLink *link = userdata;

        (void) source;
        (void) usec;
        if (link->accept)
                (void) sd_event_source_set_enabled(link->accept, SD_EVENT_ON);
        else if (link->pid > 0)
                plugin_link_kill(link, SIGKILL);
        else {
                /* Somebody else may still hold the old program's end. */
                if (link->coming)
                        plugin_connection_end(link->coming, -ECONNRESET, "its program has ended");
                if (link->up)
                        plugin_connection_end(link->up, -ECONNRESET, "its program has ended");
                plugin_link_start(link);
        }
        return 0;
}

static void log_exit(const PluginLink *link, const siginfo_t *info) {
        const char *more = info->si_status == EX_CONFIG_STATUS
                                           ? ": it cannot work with its settings"
                           : info->si_status == EX_EXEC_STATUS ? ": it could not be executed"
                                                               : "";

        if (info->si_code != CLD_EXITED)
                plugin_link_log(link, LOG_WARNING, "was ended by signal %d", info->si_status);
        else if (info->si_status == 0)
                plugin_link_log(link, LOG_NOTICE, "has ended");
        else
                plugin_link_log(link,
                                LOG_WARNING,
                                "has ended with status %d%s",
                                info->si_status,
                                more);
}

static int on_child(sd_event_source *source, const siginfo_t *info, void *userdata) {
        PluginLink *link = userdata;

        (void) source;
        log_exit(link, info);
        plugin_link_kill(link,
                        SIGKILL); /* what it started; it is a zombie still, so the number is its own
                                   */
        link->pid = 0;
        link->child = sd_event_source_disable_unref(link->child);
        if (link->up && time_boot() - link->up->since >= HEALTHY_USEC) {
                link->delay = DELAY_MIN_USEC;
                link->failures = 0;
        }
        link->failures++;
        if (info->si_code == CLD_EXITED && info->si_status == EX_CONFIG_STATUS)
                link->delay = DELAY_MAX_USEC;
        if (link->failures == PLUGIN_SET_FAILURES_DOWN)
                plugin_link_log(link,
                                LOG_ERR,
                                "has failed %u times and counts as down",
                                link->failures);
        link_start_later(link);
        return 0;
}
