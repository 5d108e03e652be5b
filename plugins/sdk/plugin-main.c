/* plugin_main(): from the command line to a connected plugin on a loop, and back to an exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#include "json-wipe.h"
#include "log.h"
#include "plugin-run.h"
#include "secret.h"

typedef struct Arguments {
        const char *gateway, *name;
        bool trace;
} Arguments;

static void print_help(const PluginOps *ops) {
        (void) printf("%s --gateway fd:N|unix:PATH [--name NAME]\n\n"
                      "%s\n\n"
                      "  --gateway fd:N|unix:PATH  the connected descriptor, or the socket to "
                      "connect to\n"
                      "  --name NAME               the section's title in the gateway's "
                      "configuration,\n"
                      "                            when it is not \"%s\"\n"
                      "  --trace-frames            print type, id and size of each frame, never "
                      "its content\n"
                      "  --help, --version\n"
                      "%s",
                        ops->program,
                        ops->summary,
                        ops->name,
                        ops->option_help ? ops->option_help : "");
}

/* Returns an exit status to end with, or -1 to go on. */
static int parse_arguments(int argc, char **argv, const PluginOps *ops, Arguments *ret) {
        static const struct option options[] = {
                { "gateway", required_argument, NULL, 'g' },
                { "name", required_argument, NULL, 'n' },
                { "trace-frames", no_argument, NULL, 't' },
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        *ret = (Arguments){ .name = ops->name };
        optind = 0; /* the plugin's own options may have been read with getopt() as well */
        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'g':
                        ret->gateway = optarg;
                        break;
                case 'n':
                        ret->name = optarg;
                        break;
                case 't':
                        ret->trace = true;
                        break;
                case 'h':
                        print_help(ops);
                        return EX_OK;
                case 'v':
                        (void) printf("%s %s\n", ops->program, VESTIBULE_VERSION);
                        return EX_OK;
                default:
                        return EX_USAGE;
                }

        if (optind < argc || !ret->gateway) {
                (void) fprintf(stderr,
                                "%s: %s; see --help\n",
                                ops->program,
                                ret->gateway ? "too many arguments" : "--gateway is needed");
                return EX_USAGE;
        }
        return -1;
}

static int gateway_inherit(const char *number, int *ret) {
        socklen_t size = sizeof(int);
        char *end;
        long fd;
        int type;

        errno = 0;
        fd = strtol(number, &end, 10);
        if (errno != 0 || end == number || *end || fd < 3 || fd > INT32_MAX)
                return -EINVAL;
        if (getsockopt((int) fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
                return -errno;
        if (type != SOCK_STREAM)
                return -EPROTOTYPE;
        if (fcntl((int) fd, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        *ret = (int) fd;
        return 0;
}

static int gateway_connect(const char *path, int *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(closep) int fd = -1;

        if (!path[0] || strlen(path) >= sizeof(address.sun_path))
                return -EINVAL;
        memcpy(address.sun_path, path, strlen(path));

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        *ret = TAKE_FD(fd);
        return 0;
}

static int gateway_open(const char *gateway, int *ret) {
        if (strncmp(gateway, "fd:", 3) == 0)
                return gateway_inherit(gateway + 3, ret);
        if (strncmp(gateway, "unix:", 5) == 0)
                return gateway_connect(gateway + 5, ret);
        return -EINVAL;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void) source;
        (void) info;
        plugin_exit(userdata, EX_OK);
        return 0;
}

static int add_signals(sd_event *event, Plugin *plugin) {
        int r;

        r = sd_event_add_signal(event, NULL, SIGTERM, on_signal, plugin);
        if (r < 0)
                return r;
        return sd_event_add_signal(event, NULL, SIGINT, on_signal, plugin);
}

static int run(int fd, const PluginOps *ops, const Arguments *arguments) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(plugin_freep) Plugin *plugin = NULL;
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = plugin_new(&plugin, event, fd, ops, arguments->name);
        if (r < 0)
                return r;
        plugin_set_trace(plugin, arguments->trace);
        r = add_signals(event, plugin);
        if (r < 0)
                return r;
        r = sd_event_set_watchdog(event, true);
        if (r < 0)
                return r;

        r = sd_event_loop(event);
        (void) sd_notify(false, "STOPPING=1");
        return r < 0 ? r : plugin_status(plugin);
}

int plugin_main(int argc, char **argv, const PluginOps *ops) {
        Arguments arguments;
        sigset_t signals;
        int fd, r;

        log_open(ops->program);
        (void) signal(SIGPIPE, SIG_IGN);
        r = secret_init();
        if (r < 0) {
                log_error("no randomness: %s", strerror(-r));
                return EX_OSERR;
        }

        json_wipe_install();

        if (ops->option) {
                r = ops->option(argc, argv);
                if (r >= 0)
                        return r;
        }
        r = parse_arguments(argc, argv, ops, &arguments);
        if (r >= 0)
                return r;

        /* sd-event takes these from a descriptor. */
        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);

        r = gateway_open(arguments.gateway, &fd);
        if (r < 0) {
                log_error("cannot reach the gateway at %s: %s", arguments.gateway, strerror(-r));
                return r == -EINVAL ? EX_USAGE : EX_TEMPFAIL;
        }
        r = run(fd, ops, &arguments);
        if (r < 0) {
                log_error("stopped: %s", strerror(-r));
                return EX_OSERR;
        }
        return r;
}
