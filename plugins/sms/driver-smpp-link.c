#include "driver-smpp-link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "driver-smpp-lookup.h"
#include "driver-smpp-tls.h"
#include "frame.h"
#include "time-text.h"

enum {
        IN_SIZE = 4 * SMPP_PDU_SIZE_MAX,
        READS_PER_TURN = 4,
        QUEUE_LOW = SMPP_LINK_QUEUE_MAX / 4,
};

typedef enum LinkState {
        LINK_LOOKUP,
        LINK_CONNECTING,
        LINK_HANDSHAKE,
        LINK_OPEN,
        LINK_ENDED,
} LinkState;

struct SmppLink {
        SmppLinkConfig config;
        const SmppLinkOps *ops;
        void *userdata;
        sd_event *event;
        LinkState state;
        SmppLookup *lookup;
        struct addrinfo *addresses, *next;
        int fd;
        SSL *ssl;
        sd_event_source *io, *turn, *timer;
        uint64_t open_by;   /* CLOCK_BOOTTIME */
        bool tls_wants_out; /* what TLS does needs to write first */
        bool reading, waits_to_write;
        bool more; /* was read, or is in OpenSSL's memory, and waits for the next turn */
        const char *reason;
        FrameBuffer out; /* only as a queue of octets */
        size_t n_in;
        uint8_t in[IN_SIZE];
};

static int on_turn(sd_event_source *source, void *userdata);

/* After what is ready already, so that it leaves in the same write. A deferred source keeps the
 * place in the queue that it got when it was made. */
static void turn_later(SmppLink *l) {
        sd_event_source *turn;
        int enabled;

        if (sd_event_source_get_enabled(l->turn, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        if (sd_event_add_defer(l->event, &turn, on_turn, l) < 0) {
                (void) sd_event_source_set_enabled(l->turn, SD_EVENT_ONESHOT);
                return;
        }
        sd_event_source_disable_unref(l->turn);
        l->turn = turn;
}

void smpp_link_end(SmppLink *l, const char *reason) {
        if (l->state == LINK_ENDED)
                return;
        l->state = LINK_ENDED;
        l->reason = reason;
        turn_later(l);
}

static void watch(SmppLink *l) {
        bool wants_out = l->state == LINK_CONNECTING || l->tls_wants_out || l->waits_to_write;

        if (l->io && l->state != LINK_ENDED)
                (void) sd_event_source_set_io_events(
                                l->io, (l->reading ? EPOLLIN : 0u) | (wants_out ? EPOLLOUT : 0u));
}

/* --- Octets --- */

static ssize_t transport_write(SmppLink *l, const void *data, size_t size) {
        ssize_t n;

        if (l->ssl)
                return smpp_tls_write(l->ssl, data, size, &l->tls_wants_out);
        do
                n = send(l->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static ssize_t transport_read(SmppLink *l, void *data, size_t size) {
        ssize_t n;

        if (l->ssl)
                return smpp_tls_read(l->ssl, data, size, &l->tls_wants_out);
        do
                n = recv(l->fd, data, size, MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

static int write_queue(SmppLink *l) {
        l->waits_to_write = false;
        while (frame_buffer_size(&l->out) > 0) {
                ssize_t n = transport_write(
                                l, l->out.data + l->out.start, frame_buffer_size(&l->out));

                if (n == -EAGAIN) {
                        l->waits_to_write = !l->ssl || l->tls_wants_out;
                        break;
                }
                if (n < 0)
                        return (int) n;
                frame_buffer_consume(&l->out, (size_t) n);
        }
        if (!l->reading && frame_buffer_size(&l->out) < QUEUE_LOW) {
                l->reading = true;
                l->more = true;
                turn_later(l);
        }
        watch(l);
        return 0;
}

void smpp_link_write(SmppLink *l, const SmppOctets *pdu) {
        uint8_t *room;

        if (l->state != LINK_OPEN)
                return;
        if (frame_buffer_reserve(&l->out, pdu->size, &room) < 0) {
                smpp_link_end(l, "out-of-memory");
                return;
        }
        memcpy(room, pdu->data, pdu->size);
        frame_buffer_commit(&l->out, pdu->size);
        if (l->reading && frame_buffer_size(&l->out) > SMPP_LINK_QUEUE_MAX) {
                l->reading = false;
                watch(l);
        }
        if (!l->waits_to_write)
                turn_later(l);
}

static void hand_out(SmppLink *l) {
        size_t at = 0, length;

        while (l->state == LINK_OPEN && l->reading && l->n_in - at >= 4) {
                if (smpp_length(l->in + at, &length) != 0) {
                        smpp_link_end(l, "bad-length");
                        return;
                }
                if (l->n_in - at < length)
                        break;
                l->ops->pdu(l->in + at, length, l->userdata);
                at += length;
        }
        l->n_in -= at;
        memmove(l->in, l->in + at, l->n_in);
}

static void read_some(SmppLink *l) {
        l->more = false;
        hand_out(l);
        for (unsigned i = 0; i < READS_PER_TURN && l->state == LINK_OPEN && l->reading; i++) {
                size_t room = sizeof(l->in) - l->n_in;
                ssize_t n = transport_read(l, l->in + l->n_in, room);

                if (n == -EAGAIN)
                        return;
                if (n <= 0) {
                        smpp_link_end(l, n == 0 ? "closed" : "connection-lost");
                        return;
                }
                l->n_in += (size_t) n;
                hand_out(l);
                if (!l->ssl && (size_t) n < room)
                        return;
        }
        /* The socket would show what is left there, but not what OpenSSL has. */
        if (l->state == LINK_OPEN && l->reading && l->ssl) {
                l->more = true;
                turn_later(l);
        }
}

static int on_turn(sd_event_source *source, void *userdata) {
        SmppLink *l = userdata;
        int r;

        (void) source;
        r = l->fd >= 0 && frame_buffer_size(&l->out) > 0 ? write_queue(l) : 0;
        if (l->state == LINK_ENDED) {
                (void) sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
                (void) sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
                l->ops->end(l->reason, l->userdata);
                return 0;
        }
        if (r < 0)
                smpp_link_end(l, "connection-lost");
        else if (l->more && l->state == LINK_OPEN)
                read_some(l);
        return 0;
}

/* --- Opening --- */

static void next_address(SmppLink *l, const char *reason);

static void set_timer(SmppLink *l, uint64_t at) {
        (void) sd_event_source_set_time(l->timer, at < l->open_by ? at : l->open_by);
        (void) sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static void opened(SmppLink *l) {
        l->state = LINK_OPEN;
        l->tls_wants_out = false;
        (void) sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        freeaddrinfo(l->addresses);
        l->addresses = l->next = NULL;
        watch(l);
        l->ops->open(l->userdata);
}

static void handshake(SmppLink *l) {
        int r = smpp_tls_handshake(l->ssl, &l->tls_wants_out);

        if (r == 0)
                opened(l);
        else if (r == -EAGAIN)
                watch(l);
        else
                smpp_link_end(l, r == -EKEYREJECTED ? "certificate" : "tls-failed");
}

static void connected(SmppLink *l) {
        int error = 0, on = 1;
        socklen_t size = sizeof(error);

        if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0) {
                next_address(l, "unreachable");
                return;
        }
        /* Many small writes each way: without it every other one waits for an acknowledgement. */
        (void) setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (!l->config.tls) {
                opened(l);
                return;
        }
        if (smpp_tls_new(&l->ssl, l->config.tls, l->config.host, l->fd) < 0) {
                smpp_link_end(l, "out-of-memory");
                return;
        }
        l->state = LINK_HANDSHAKE;
        set_timer(l, l->open_by);
        handshake(l);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        SmppLink *l = userdata;
        bool is_lost;

        (void) source;
        (void) fd;
        switch (l->state) {
        case LINK_CONNECTING:
                connected(l);
                break;
        case LINK_HANDSHAKE:
                handshake(l);
                break;
        case LINK_OPEN:
                l->tls_wants_out = false;
                is_lost = frame_buffer_size(&l->out) > 0 && write_queue(l) < 0;
                if (is_lost || (!l->reading && events & (EPOLLHUP | EPOLLERR)))
                        smpp_link_end(l, "connection-lost");
                else if (l->reading)
                        read_some(l);
                watch(l);
                break;
        case LINK_LOOKUP:
        case LINK_ENDED:
                break;
        }
        return 0;
}

static int try_address(SmppLink *l, const struct addrinfo *address) {
        int r;

        l->io = sd_event_source_disable_unref(l->io);
        l->fd = close_fd(l->fd);
        l->fd = socket(address->ai_family,
                        address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        address->ai_protocol);
        if (l->fd < 0)
                return -errno;
        if (connect(l->fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
                return -errno;
        r = sd_event_add_io(l->event, &l->io, l->fd, EPOLLOUT, on_io, l);
        if (r < 0)
                return r;
        l->state = LINK_CONNECTING;
        set_timer(l, time_boot() + SMPP_LINK_TRY_SECONDS * USEC_PER_SEC);
        return 0;
}

static void next_address(SmppLink *l, const char *reason) {
        while (l->next) {
                const struct addrinfo *address = l->next;

                l->next = l->next->ai_next;
                if (try_address(l, address) == 0)
                        return;
        }
        smpp_link_end(l, reason);
}

static void on_addresses(struct addrinfo *addresses, void *userdata) {
        SmppLink *l = userdata;

        l->addresses = l->next = addresses;
        l->lookup = smpp_lookup_free(l->lookup);
        next_address(l, addresses ? "unreachable" : "name-unknown");
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        SmppLink *l = userdata;

        (void) source;
        (void) due;
        if (l->state == LINK_CONNECTING && time_boot() < l->open_by)
                next_address(l, "unreachable");
        else if (l->state == LINK_LOOKUP)
                smpp_link_end(l, "name-unknown");
        else
                smpp_link_end(l, l->state == LINK_HANDSHAKE ? "tls-failed" : "unreachable");
        return 0;
}

int smpp_link_new(SmppLink **ret,
                sd_event *event,
                const SmppLinkConfig *config,
                const SmppLinkOps *ops,
                void *userdata) {
        _cleanup_(smpp_link_freep) SmppLink *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->config = *config;
        l->ops = ops;
        l->userdata = userdata;
        l->event = sd_event_ref(event);
        l->fd = -1;
        l->reading = true;
        l->open_by = time_boot() + SMPP_LINK_OPEN_SECONDS * USEC_PER_SEC;
        r = sd_event_add_time(
                        event, &l->timer, CLOCK_BOOTTIME, l->open_by, USEC_PER_MSEC, on_timer, l);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &l->turn, on_turn, l);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(l->turn, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = smpp_lookup_new(&l->lookup, event, config->host, config->port, on_addresses, l);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

SmppLink *smpp_link_free(SmppLink *l) {
        if (!l)
                return NULL;
        if (l->state == LINK_OPEN) {
                (void) write_queue(l);
                if (l->ssl)
                        (void) SSL_shutdown(l->ssl);
        }
        SSL_free(l->ssl);
        (void) smpp_lookup_free(l->lookup);
        if (l->addresses)
                freeaddrinfo(l->addresses);
        sd_event_source_disable_unref(l->io);
        sd_event_source_disable_unref(l->turn);
        sd_event_source_disable_unref(l->timer);
        (void) close_fd(l->fd);
        frame_buffer_done(&l->out);
        explicit_bzero(l->in, sizeof(l->in));
        sd_event_unref(l->event);
        free(l);
        return NULL;
}
