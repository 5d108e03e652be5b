/* The set of links: the sockets they are reached by, start, reload and end. */
#include "plugin-set-internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "log.h"

#define STOP_USEC (1 * USEC_PER_SEC)
#define ACCEPT_PAUSE_USEC (1 * USEC_PER_SEC)
#define ACCURACY_USEC (5 * USEC_PER_MSEC)

void plugin_link_log(const PluginLink *link, int priority, const char *format, ...) {
        LogFields fields = {
                .channel = link->config->role == CONFIG_ROLE_CHANNEL ? link->config->name : NULL
        };
        char text[256];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        log_record(priority,
                        &fields,
                        "%s %s %s",
                        config_role_name(link->config->role),
                        link->config->name,
                        text);
}

int plugin_link_set_timer(sd_event *event,
                sd_event_source **timer,
                uint64_t usec,
                sd_event_time_handler_t handler,
                void *userdata) {
        int r;

        if (!*timer)
                return sd_event_add_time(event,
                                timer,
                                CLOCK_BOOTTIME,
                                usec,
                                ACCURACY_USEC,
                                handler,
                                userdata);
        r = sd_event_source_set_time(*timer, usec);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
}

/* --- sockets --- */

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(closep) int connection = -1;
        PluginLink *link = userdata;
        int r;

        (void) revents;
        connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (connection < 0) {
                if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
                        return 0;
                /* No descriptor is free: trying again at once would only burn the processor. */
                plugin_link_log(link, LOG_ERR, "cannot be let in: %s", strerror(errno));
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return plugin_link_set_timer(link->set->event,
                                &link->timer,
                                time_boot() + ACCEPT_PAUSE_USEC,
                                plugin_link_on_timer,
                                link);
        }
        r = plugin_connection_new(link, connection);
        if (r < 0)
                plugin_link_log(link, LOG_ERR, "cannot be let in: %s", strerror(-r));
        else
                (void) TAKE_FD(connection);
        return 0;
}

/* Takes the descriptor over on success only. */
static int link_listen(PluginLink *link, int fd) {
        int r, flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(link->set->event, &link->accept, fd, EPOLLIN, on_accept, link);
        if (r < 0)
                return r;
        link->listen_fd = fd;
        return 0;
}

/* Removes a socket file that nobody listens on any more. */
static int remove_stale(const struct sockaddr_un *address) {
        _cleanup_(closep) int fd = -1;
        struct stat st;

        if (lstat(address->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 ||
                        errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int link_bind(PluginLink *link) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(closep) int fd = -1;
        mode_t before;
        int r;

        if (strlen(link->config->socket) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, link->config->socket, strlen(link->config->socket) + 1);
        r = remove_stale(&address);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        before = umask(0177); /* mode 0600 from its first moment */
        r = bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
        (void) umask(before);
        if (r < 0)
                return r;
        link->bound = true;
        if (listen(fd, SOMAXCONN) < 0)
                return -errno;
        r = link_listen(link, fd);
        if (r < 0)
                return r;
        (void) TAKE_FD(fd);
        return 0;
}

static PluginLink *find_by_socket(PluginSet *set, const char *name) {
        for (size_t i = 0; i < set->n_links; i++)
                if (streq(set->links[i].config->socket_name, name))
                        return &set->links[i];
        return NULL;
}

static int take_sockets(PluginSet *set) {
        char **names = NULL;
        int n, r = 0;

        n = sd_listen_fds_with_names(1, &names);
        for (int i = 0; i < n; i++) {
                PluginLink *link = find_by_socket(set, names[i]);
                int fd = SD_LISTEN_FDS_START + i;

                if (!link || link->listen_fd >= 0 ||
                                sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
                        log_warning("a socket from systemd, FileDescriptorName=%s, is no plugin's "
                                    "and is closed",
                                        names[i]);
                        (void) close(fd);
                } else if (r >= 0) {
                        r = link_listen(link, fd);
                }
        }
        for (int i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return n < 0 ? n : r;
}

/* --- the set --- */

int plugin_set_new(PluginSet **ret,
                sd_event *event,
                const Config *config,
                const PluginSetOps *ops,
                void *userdata) {
        _cleanup_(plugin_set_freep) PluginSet *set = NULL;
        sigset_t mask;

        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;
        set->links = calloc(config->n_plugins + 1, sizeof(*set->links));
        if (!set->links)
                return -ENOMEM;
        set->event = sd_event_ref(event);
        set->ops = *ops;
        set->userdata = userdata;
        set->n_links = config->n_plugins;
        for (size_t i = 0; i < set->n_links; i++)
                set->links[i] = (PluginLink){ .set = set,
                        .config = &config->plugins[i],
                        .listen_fd = -1,
                        .delay = DELAY_MIN_USEC };
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        *ret = TAKE_PTR(set);
        return 0;
}

int plugin_set_start(PluginSet *set) {
        int r;

        r = take_sockets(set);
        if (r < 0) {
                log_error("the sockets from systemd cannot be taken: %s", strerror(-r));
                return r;
        }
        for (size_t i = 0; i < set->n_links; i++) {
                PluginLink *link = &set->links[i];

                if (link->listen_fd >= 0)
                        continue;
                if (link->config->exec) {
                        plugin_link_start(link);
                } else if (link->config->socket) {
                        r = link_bind(link);
                        if (r < 0) {
                                plugin_link_log(link,
                                                LOG_ERR,
                                                "cannot listen on %s: %s",
                                                link->config->socket,
                                                strerror(-r));
                                return r;
                        }
                } else {
                        plugin_link_log(link,
                                        LOG_WARNING,
                                        "has no way in: enable vestibule-plugin@%s.socket, or set "
                                        "exec or socket",
                                        link->config->socket_name);
                }
        }
        return 0;
}

void plugin_set_reconfigure(PluginSet *set, const Config *config) {
        assert(config->n_plugins == set->n_links);
        for (size_t i = 0; i < set->n_links; i++) {
                PluginLink *link = &set->links[i];
                const ConfigPlugin *before = link->config;

                link->config = NULL;
                for (size_t k = 0; k < config->n_plugins; k++)
                        if (config->plugins[k].role == before->role &&
                                        streq(config->plugins[k].name, before->name))
                                link->config = &config->plugins[k];
                assert(link->config);
                if (!json_equal(before->settings, link->config->settings))
                        plugin_link_close(link, "its settings have changed");
        }
}

PluginSet *plugin_set_free(PluginSet *set) {
        uint64_t until = time_boot() + STOP_USEC;

        if (!set)
                return NULL;
        for (size_t i = 0; i < set->n_links; i++) {
                PluginLink *link = &set->links[i];
                Connection *up = TAKE_PTR(link->up);

                link->accept = sd_event_source_disable_unref(link->accept);
                link->child = sd_event_source_disable_unref(link->child);
                link->timer = sd_event_source_disable_unref(link->timer);
                link->listen_fd = close_fd(link->listen_fd);
                if (link->bound)
                        (void) unlink(link->config->socket);
                if (up) {
                        (void) frame_stream_flush(up->stream);
                        up->stream = frame_stream_free(up->stream);
                        plugin_connection_fail_questions(up, -ECANCELED);
                        (void) plugin_connection_free(up);
                }
                link->coming = plugin_connection_free(link->coming);
                plugin_link_kill(link, SIGTERM);
        }
        for (size_t i = 0; i < set->n_links; i++)
                if (set->links[i].pid > 0)
                        plugin_link_reap(set->links[i].pid, until);
        free(set->links);
        sd_event_unref(set->event);
        free(set);
        return NULL;
}

size_t plugin_set_n_links(const PluginSet *set) {
        return set->n_links;
}

PluginLink *plugin_set_link(PluginSet *set, size_t i) {
        return i < set->n_links ? &set->links[i] : NULL;
}

PluginLink *plugin_set_find(PluginSet *set, ConfigRole role, const char *name) {
        for (size_t i = 0; i < set->n_links; i++)
                if (set->links[i].config->role == role && streq(set->links[i].config->name, name))
                        return &set->links[i];
        return NULL;
}

/* --- one link --- */

const ConfigPlugin *plugin_link_config(const PluginLink *link) {
        return link->config;
}

PluginLinkState plugin_link_state(const PluginLink *link) {
        if (link->up)
                return PLUGIN_LINK_UP;
        return link->failures >= PLUGIN_SET_FAILURES_DOWN ? PLUGIN_LINK_FAILED
                                                          : PLUGIN_LINK_WAITING;
}

void plugin_link_set_userdata(PluginLink *link, void *userdata) {
        link->userdata = userdata;
}

void *plugin_link_userdata(const PluginLink *link) {
        return link->userdata;
}
