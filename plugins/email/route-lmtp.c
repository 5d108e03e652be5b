/* Mail by LMTP on a Unix socket: the mail server hands each mail in and hears, for each recipient,
 * whether the gateway has it. Nothing is kept here: what is not answered 250 the mail server keeps.
 *
 * The socket is systemd's where one with this path was passed (sd_listen_fds(3)), and ours
 * otherwise. Whoever may write to it may hand in mail, so it is for its owner and its group.
 *
 * What bounds it: connections, octets of mail in all of them, and time. While the channel is busy a
 * connection is read up to the end of one mail, which waits. Where there is more than may be held
 * it reads no further, and the mail servers wait, until a mail is settled; only if none is at the
 * channel the one that was begun first is read on, so that one always comes to its end. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "cleanup.h"
#include "lmtp-session.h"
#include "log.h"
#include "mail-read.h"
#include "mail-route.h"
#include "plugin.h"
#include "time-text.h"

/* The tests have no time to lose. */
#ifndef ROUTE_LMTP_IDLE_SECONDS
#define ROUTE_LMTP_IDLE_SECONDS 300 /* RFC 5321 section 4.5.3.2.7 */
#endif
#ifndef ROUTE_LMTP_MAIL_SECONDS
#define ROUTE_LMTP_MAIL_SECONDS 900 /* from one mail, or the beginning, to the next */
#endif
#ifndef ROUTE_LMTP_BUSY_SECONDS
#define ROUTE_LMTP_BUSY_SECONDS 60 /* that a mail waits for the channel before it is refused */
#endif

enum {
        CONNECTIONS_MAX = 512, /* others wait in the kernel */
        HELD_MAX = 64 * 1024 * 1024,
        READ_SIZE = 64 * 1024,
        INDEX_BITS = 8, /* of a token: which recipient, which place, which connection there */
        PLACE_BITS = 16,
};

_Static_assert(LMTP_RECIPIENTS_MAX < 1 << INDEX_BITS, "a token names each recipient");
_Static_assert(CONNECTIONS_MAX < 1 << PLACE_BITS, "a token names each place");

typedef struct Connection Connection;
struct Connection {
        MailRoute *route;
        TAILQ_ENTRY(Connection) entry; /* in the order in which their mails were begun */
        int fd;                        /* -1: the other side has gone */
        sd_event_source *io, *timer;
        LmtpSession *session;
        uint64_t serial;
        size_t place;
        uint64_t last_octet, last_mail; /* CLOCK_BOOTTIME */
        uint64_t waiting_since;         /* for the channel to have room; 0: it does not wait */
        size_t held;                    /* its part of route->held */
        size_t n_recipients, n_handed, n_settled; /* of the mail that is open */
        bool ended;                               /* the other side sends no more */
        bool closing;                             /* once its output has gone */
        bool running;
        bool run_again;
};

struct MailRoute {
        EmailChannel *channel;
        size_t number; /* among the channel's */
        sd_event *event;
        sd_event_source *listen, *pause;
        int listen_fd;
        struct sockaddr_un address;
        bool bound;
        struct stat file; /* of the socket that we bound */
        char host[256];
        TAILQ_HEAD(, Connection) connections;
        Connection *places[CONNECTIONS_MAX];
        size_t n_connections;
        uint64_t last_serial;
        size_t held;
        bool crowded;       /* only one connection may read: */
        Connection *reader; /* whose mail was begun first; or NULL */
        char buffer[READ_SIZE];
};

static void connection_run(Connection *c);

/* --- who may read --- */

static bool connection_is_held_back(const Connection *c) {
        return c->route->crowded && c != c->route->reader;
}

static void connection_watch(Connection *c) {
        const char *data;
        uint32_t events = 0;
        size_t size;

        if (c->fd < 0)
                return;
        lmtp_session_output(c->session, &data, &size);
        if (size > 0)
                events |= EPOLLOUT;
        if (!c->ended && !c->closing && c->n_recipients == 0 && lmtp_session_room(c->session) > 0 &&
                        !connection_is_held_back(c))
                events |= EPOLLIN;
        (void) sd_event_source_set_io_events(c->io, events);
}

/* The connection whose mail, still coming in, was begun first; nobody while a mail is at the
 * channel, which will be gone in a moment. */
static Connection *route_first_mail(MailRoute *route) {
        Connection *c, *first = NULL;

        TAILQ_FOREACH(c, &route->connections, entry) {
                if (c->n_recipients > 0)
                        return NULL;
                if (!first && c->held > 0 && c->fd >= 0 && !c->ended)
                        first = c;
        }
        return first;
}

/* Judges anew whether it is crowded. */
static void route_watch(MailRoute *route) {
        Connection *c;

        route->crowded = route->held > HELD_MAX;
        route->reader = route->crowded ? route_first_mail(route) : NULL;
        TAILQ_FOREACH(c, &route->connections, entry)
        connection_watch(c);
}

/* Notes what a connection holds now. Whoever begins a mail stands behind those that have begun. */
static void connection_count(Connection *c) {
        MailRoute *route = c->route;
        size_t held = lmtp_session_held(c->session);

        if (held == c->held && !route->crowded)
                return;
        if (c->held == 0 && held > 0) {
                TAILQ_REMOVE(&route->connections, c, entry);
                TAILQ_INSERT_TAIL(&route->connections, c, entry);
        }
        route->held = route->held - c->held + held;
        c->held = held;
        if (route->crowded || route->held > HELD_MAX)
                route_watch(route);
}

/* --- the end of a connection --- */

static void connection_hang_up(Connection *c) {
        c->io = sd_event_source_disable_unref(c->io);
        c->fd = close_fd(c->fd);
}

static Connection *connection_free(Connection *c) {
        MailRoute *route = c->route;

        TAILQ_REMOVE(&route->connections, c, entry);
        route->places[c->place] = NULL;
        route->n_connections--;
        route->held -= c->held;
        connection_hang_up(c);
        c->timer = sd_event_source_disable_unref(c->timer);
        c->session = lmtp_session_free(c->session);
        free(c);
        if (route->listen)
                (void) sd_event_source_set_enabled(route->listen, SD_EVENT_ON);
        if (route->crowded)
                route_watch(route);
        return NULL;
}

/* Frees it, unless what the channel has borrowed is not settled yet. */
static void connection_close(Connection *c) {
        connection_hang_up(c);
        if (c->n_handed == c->n_settled && !c->running)
                (void) connection_free(c);
}

/* --- time --- */

static uint64_t connection_deadline(const Connection *c) {
        uint64_t idle = c->last_octet + ROUTE_LMTP_IDLE_SECONDS * USEC_PER_SEC;
        uint64_t mail = c->last_mail + ROUTE_LMTP_MAIL_SECONDS * USEC_PER_SEC;

        if (c->waiting_since > 0)
                return c->waiting_since + ROUTE_LMTP_BUSY_SECONDS * USEC_PER_SEC;
        return idle < mail ? idle : mail;
}

/* The timer is not moved with each octet, but looks again when it has run out. */
static void connection_set_timer(Connection *c) {
        (void) sd_event_source_set_time(c->timer, connection_deadline(c));
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* --- what the session decides with --- */

static uint64_t token_of(const Connection *c, size_t recipient) {
        return c->serial << (INDEX_BITS + PLACE_BITS) | (uint64_t) c->place << INDEX_BITS |
               recipient;
}

static Connection *connection_of(MailRoute *route, uint64_t token, size_t *ret_recipient) {
        size_t place = (token >> INDEX_BITS) & ((1 << PLACE_BITS) - 1);
        Connection *c = place < CONNECTIONS_MAX ? route->places[place] : NULL;

        *ret_recipient = token & ((1 << INDEX_BITS) - 1);
        return c && c->serial == token >> (INDEX_BITS + PLACE_BITS) ? c : NULL;
}

/* Counts the answer first: the session forgets the mail with the last one. */
static void answer_mail(Connection *c, size_t recipient, LmtpAnswer answer) {
        c->n_settled++;
        if (c->n_settled == c->n_recipients) {
                c->n_recipients = c->n_handed = c->n_settled = 0;
                c->last_mail = c->last_octet = time_boot();
                c->waiting_since = 0;
        }
        lmtp_session_answer_mail(c->session, recipient, answer);
}

/* Hands a mail to the channel, once for each recipient, as far as it has room. */
static void hand_in(Connection *c, const LmtpEvent *event) {
        if (c->n_recipients == 0)
                c->n_recipients = event->n_recipients;
        while (c->n_handed < c->n_recipients) {
                size_t recipient = c->n_handed;
                MailArrival arrival = { .route = c->route,
                        .token = token_of(c, recipient),
                        .path = event->path,
                        .recipient = event->recipients[recipient],
                        .data = event->data,
                        .size = event->size };

                if (email_channel_is_busy(c->route->channel)) {
                        if (c->waiting_since == 0) {
                                c->waiting_since = time_boot();
                                connection_set_timer(c);
                        }
                        return;
                }
                c->n_handed++;
                c->waiting_since = 0;
                email_channel_arrival(c->route->channel, &mail_route_lmtp, &arrival);
        }
}

static LmtpAnswer answer_recipient(const Connection *c, const char *recipient) {
        return email_channel_is_ours(c->route->channel, recipient) ? LMTP_ANSWER_TAKEN
                                                                   : LMTP_ANSWER_REFUSED;
}

/* Writes what there is. False: the other side takes no more now, or has gone. */
static bool connection_write(Connection *c) {
        const char *data;
        size_t size;

        lmtp_session_output(c->session, &data, &size);
        while (size > 0 && c->fd >= 0) {
                ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return false;
                if (n < 0) {
                        connection_hang_up(c);
                        return false;
                }
                lmtp_session_written(c->session, (size_t) n);
                lmtp_session_output(c->session, &data, &size);
        }
        return c->fd >= 0;
}

/* One step. False: nothing more can happen now. */
static bool connection_step(Connection *c) {
        const char *data;
        LmtpEvent event;
        size_t size;

        if (lmtp_session_next(c->session, &event) < 0) {
                connection_hang_up(c);
                return false;
        }
        switch (event.kind) {
        case LMTP_EVENT_RECIPIENT:
                lmtp_session_answer_recipient(c->session, answer_recipient(c, event.recipient));
                return true;
        case LMTP_EVENT_MAIL:
                hand_in(c, &event);
                if (c->n_recipients == 0)
                        return true;
                (void) connection_write(c);
                return false;
        case LMTP_EVENT_CLOSE:
                c->closing = true;
                (void) connection_write(c);
                return false;
        case LMTP_EVENT_NOTHING:
                break;
        }
        /* Commands may have waited for room to be answered. */
        lmtp_session_output(c->session, &data, &size);
        return size > 0 && connection_write(c);
}

static void connection_run(Connection *c) {
        const char *data;
        size_t size;

        if (c->running) { /* settled from inside email_channel_arrival() */
                c->run_again = true;
                return;
        }
        c->running = true;
        do
                c->run_again = false;
        while ((c->fd >= 0 && connection_step(c)) || c->run_again);
        c->running = false;
        connection_count(c);

        lmtp_session_output(c->session, &data, &size);
        if (c->fd < 0 || ((c->closing || (c->ended && c->n_recipients == 0)) && size == 0))
                connection_close(c);
        else
                connection_watch(c);
}

/* --- what the socket says --- */

static void connection_read(Connection *c) {
        MailRoute *route = c->route;
        size_t room = lmtp_session_room(c->session), pushed;
        ssize_t n;

        if (room == 0)
                return;
        n = recv(c->fd, route->buffer, room < READ_SIZE ? room : READ_SIZE, MSG_DONTWAIT);
        if (n < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        connection_hang_up(c);
                return;
        }
        if (n == 0) {
                c->ended = true;
                return;
        }
        c->last_octet = time_boot();
        pushed = lmtp_session_push(c->session, route->buffer, (size_t) n);
        assert(pushed == (size_t) n);
        (void) pushed;
}

/* What it has sent is read before its going is seen, unless we would not read: then its answers are
 * for nobody. */
static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connection *c = userdata;

        (void) source;
        (void) fd;
        if (revents & EPOLLIN)
                connection_read(c);
        else if (revents & (EPOLLHUP | EPOLLERR))
                connection_hang_up(c);
        connection_run(c);
        return 0;
}

/* The channel had no room for so long that the mail server had better look after the mail. */
static void give_back(Connection *c) {
        c->waiting_since = 0;
        while (c->n_handed < c->n_recipients) {
                size_t recipient = c->n_handed++;

                answer_mail(c, recipient, LMTP_ANSWER_LATER);
        }
}

static int on_deadline(sd_event_source *source, uint64_t due, void *userdata) {
        Connection *c = userdata;
        uint64_t now = time_boot();

        (void) source;
        (void) due;
        /* Whose answer the channel owes, and whom we do not let speak, has all the time. */
        if (c->n_recipients > 0 ? c->waiting_since == 0 : connection_is_held_back(c))
                c->last_octet = c->last_mail = now;
        if (connection_deadline(c) > now) {
                connection_set_timer(c);
        } else if (c->waiting_since > 0) {
                give_back(c);
                connection_set_timer(c);
                connection_run(c);
        } else {
                lmtp_session_end(c->session);
                (void) connection_write(c);
                connection_close(c);
        }
        return 0;
}

/* --- who connects --- */

static int connection_add(MailRoute *route, int fd) {
        Connection *c = calloc(1, sizeof(*c));
        size_t place = 0;
        int r;

        if (!c)
                return -ENOMEM;
        while (route->places[place])
                place++;
        *c = (Connection){ .route = route,
                .fd = fd,
                .place = place,
                .serial = ++route->last_serial,
                .last_octet = time_boot(),
                .last_mail = time_boot() };
        route->places[place] = c;
        route->n_connections++;
        TAILQ_INSERT_TAIL(&route->connections, c, entry);

        r = lmtp_session_new(route->host, MAIL_READ_SIZE_MAX, &c->session);
        if (r >= 0)
                r = sd_event_add_io(route->event, &c->io, fd, 0, on_socket, c);
        if (r >= 0)
                r = sd_event_add_time(route->event,
                                &c->timer,
                                CLOCK_BOOTTIME,
                                connection_deadline(c),
                                USEC_PER_SEC / 4,
                                on_deadline,
                                c);
        if (r < 0) {
                (void) connection_free(c);
                return r;
        }
        connection_run(c);
        return 0;
}

static int on_pause_over(sd_event_source *source, uint64_t due, void *userdata) {
        MailRoute *route = userdata;

        (void) source;
        (void) due;
        (void) sd_event_source_set_enabled(route->listen, SD_EVENT_ON);
        return 0;
}

/* No descriptors, or no memory: whoever knocks waits a second. */
static void route_pause(MailRoute *route, int error) {
        log_warning("no connection can be taken over LMTP: %s", strerror(-error));
        (void) sd_event_source_set_enabled(route->listen, SD_EVENT_OFF);
        (void) sd_event_source_set_time(route->pause, time_boot() + USEC_PER_SEC);
        (void) sd_event_source_set_enabled(route->pause, SD_EVENT_ONESHOT);
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        MailRoute *route = userdata;
        int peer, r;

        (void) revents;
        if (route->n_connections == CONNECTIONS_MAX) {
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                        route_pause(route, -errno);
                return 0;
        }
        r = connection_add(route, peer);
        if (r < 0)
                route_pause(route, r);
        return 0;
}

/* --- the socket --- */

/* Removes a socket that nobody listens on any more, and nothing else. */
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

/* The socket of that path that systemd has passed. False: there is none. */
static bool route_inherit(MailRoute *route) {
        int n = sd_listen_fds(0);

        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++)
                if (sd_is_socket_unix(fd, SOCK_STREAM, 1, route->address.sun_path, 0) > 0) {
                        route->listen_fd = fd;
                        return fcntl(fd, F_SETFL, O_NONBLOCK) >= 0;
                }
        return false;
}

static int route_bind(MailRoute *route) {
        mode_t before;
        int r;

        r = remove_stale(&route->address);
        if (r < 0)
                return r;
        route->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (route->listen_fd < 0)
                return -errno;
        before = umask(0117); /* mode 0660 from its first moment */
        r = bind(route->listen_fd,
                            (const struct sockaddr *) &route->address,
                            sizeof(route->address)) < 0
                            ? -errno
                            : 0;
        (void) umask(before);
        if (r < 0)
                return r;
        route->bound = lstat(route->address.sun_path, &route->file) == 0;
        return listen(route->listen_fd, SOMAXCONN) < 0 ? -errno : 0;
}

static int route_open(MailRoute *route, const char *path) {
        int r;

        if (path[0] != '/' || strlen(path) >= sizeof(route->address.sun_path))
                return -EINVAL;
        memcpy(route->address.sun_path, path, strlen(path) + 1);
        r = route_inherit(route) ? 0 : route_bind(route);
        if (r < 0)
                return r;
        r = sd_event_add_io(
                        route->event, &route->listen, route->listen_fd, EPOLLIN, on_listen, route);
        if (r < 0)
                return r;
        r = sd_event_add_time(route->event,
                        &route->pause,
                        CLOCK_BOOTTIME,
                        UINT64_MAX,
                        USEC_PER_SEC / 4,
                        on_pause_over,
                        route);
        return r < 0 ? r : sd_event_source_set_enabled(route->pause, SD_EVENT_OFF);
}

/* Our name in the greeting; the mail server writes it into its log. */
static void read_host(const json_t *settings, char *ret, size_t size) {
        const char *from = plugin_setting(settings, "from", "@localhost");
        const char *at = strrchr(from, '@');

        (void) snprintf(ret, size, "%s", plugin_setting(settings, "domain", at ? at + 1 : from));
}

static MailRoute *route_lmtp_free(MailRoute *route) {
        Connection *c;
        struct stat st;

        if (!route)
                return NULL;
        route->listen = sd_event_source_disable_unref(route->listen);
        route->pause = sd_event_source_disable_unref(route->pause);
        while ((c = TAILQ_FIRST(&route->connections))) {
                lmtp_session_end(c->session);
                (void) connection_write(c);
                (void) connection_free(c);
        }
        route->listen_fd = close_fd(route->listen_fd);
        if (route->bound && lstat(route->address.sun_path, &st) == 0 &&
                        st.st_dev == route->file.st_dev && st.st_ino == route->file.st_ino)
                (void) unlink(route->address.sun_path);
        (void) sd_event_unref(route->event);
        free(route);
        return NULL;
}
DEFINE_CLEANUP(MailRoute, route_lmtp_free)

static int route_lmtp_new(MailRoute **ret, const MailRouteStart *start) {
        _cleanup_(route_lmtp_freep) MailRoute *route = calloc(1, sizeof(*route));
        const char *path = strchr(start->place, ':');
        int r;

        if (!route)
                return -ENOMEM;
        *route = (MailRoute){ .channel = start->channel,
                .number = start->number,
                .event = sd_event_ref(start->event),
                .listen_fd = -1,
                .address.sun_family = AF_UNIX };
        TAILQ_INIT(&route->connections);
        read_host(start->settings, route->host, sizeof(route->host));
        r = route_open(route, path ? path + 1 : "");
        if (r < 0) {
                log_error("cannot listen for LMTP on %s: %s", start->place, strerror(-r));
                return r;
        }
        email_channel_route(route->channel, route->number, true, "");
        *ret = TAKE_PTR(route);
        return 0;
}

static void route_lmtp_settle(MailRoute *route, uint64_t token, MailSettlement settlement) {
        static const LmtpAnswer answers[] = {
                [MAIL_SETTLED_TAKEN] = LMTP_ANSWER_TAKEN,
                [MAIL_SETTLED_LATER] = LMTP_ANSWER_LATER,
                [MAIL_SETTLED_REFUSED] = LMTP_ANSWER_REFUSED,
        };
        size_t recipient;
        Connection *c = connection_of(route, token, &recipient);

        assert(c && recipient < c->n_handed);
        answer_mail(c, recipient, answers[settlement]);
        connection_run(c);
}

static void route_lmtp_ready(MailRoute *route) {
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
                Connection *c = route->places[i];

                if (c)
                        connection_run(c);
        }
}

const MailRouteOps mail_route_lmtp = {
        .scheme = "lmtp",
        .new = route_lmtp_new,
        .settle = route_lmtp_settle,
        .ready = route_lmtp_ready,
        .free = route_lmtp_free,
};
