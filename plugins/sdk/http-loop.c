/* libmicrohttpd has descriptors and timeouts of its own; here they are sources of an sd-event loop.
 */
#include "http-loop.h"

#include <assert.h>
#include <microhttpd.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "time-text.h"

static void daemon_run(const HttpLoopDaemon *d) {
        unsigned long long timeout;

        (void) MHD_run(d->daemon);
        if (MHD_get_timeout(d->daemon, &timeout) == MHD_YES && timeout == 0)
                http_loop_run_soon(d->loop);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) source;
        (void) fd;
        (void) revents;
        daemon_run(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        HttpLoop *loop = userdata;

        (void) source;
        for (size_t i = 0; i < loop->n_daemons; i++)
                daemon_run(&loop->daemons[i]);
        return 0;
}

static void tick_set(HttpLoop *loop) {
        (void) sd_event_source_set_time_relative(loop->tick, USEC_PER_SEC);
        (void) sd_event_source_set_enabled(loop->tick, SD_EVENT_ONESHOT);
}

/* Once a second while there are connections. libmicrohttpd has no call to close one, but notices at
 * once when its socket is shut down. */
static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpLoop *loop = userdata;
        uint64_t now = time_boot();

        (void) usec;
        for (HttpPlace *place = loop->places; place; place = place->next) {
                if (place->deadline == 0 || place->deadline > now)
                        continue;
                place->deadline = 0;
                if (!loop->late || !loop->late(place))
                        (void) shutdown(place->fd, SHUT_RDWR);
        }
        (void) on_again(source, loop);
        if (loop->places)
                tick_set(loop);
        return 0;
}

int http_loop_init(HttpLoop *loop, sd_event *event, bool (*late)(HttpPlace *place)) {
        int r;

        loop->event = sd_event_ref(event);
        loop->late = late;
        r = sd_event_add_defer(event, &loop->again, on_again, loop);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(loop->again, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event,
                        &loop->tick,
                        CLOCK_BOOTTIME,
                        USEC_PER_SEC,
                        100 * USEC_PER_MSEC,
                        on_tick,
                        loop);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(loop->tick, SD_EVENT_OFF);
}

int http_loop_add(HttpLoop *loop, struct MHD_Daemon *daemon) {
        HttpLoopDaemon *d = &loop->daemons[loop->n_daemons];

        assert(loop->n_daemons < HTTP_LOOP_DAEMONS_MAX);
        *d = (HttpLoopDaemon){ .loop = loop, .daemon = daemon };
        loop->n_daemons++;
        return sd_event_add_io(loop->event,
                        &d->io,
                        MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                        EPOLLIN,
                        on_io,
                        d);
}

void http_loop_run_soon(HttpLoop *loop) {
        (void) sd_event_source_set_enabled(loop->again, SD_EVENT_ONESHOT);
}

void http_place_give(HttpPlace *place, unsigned seconds) {
        place->deadline = time_boot() + seconds * USEC_PER_SEC;
}

void http_loop_enter(HttpLoop *loop,
                HttpPlace *place,
                struct MHD_Connection *connection,
                unsigned seconds) {
        place->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
                                    ->connect_fd;
        http_place_give(place, seconds);
        place->next = loop->places;
        if (place->next)
                place->next->previous = place;
        else
                tick_set(loop);
        loop->places = place;
}

/* libmicrohttpd, which leaves its listening socket alone while it has all the connections that it
 * may have, looks at it again only when it runs once more. */
void http_loop_leave(HttpLoop *loop, HttpPlace *place) {
        http_loop_run_soon(loop);
        if (place->previous)
                place->previous->next = place->next;
        else
                loop->places = place->next;
        if (place->next)
                place->next->previous = place->previous;
}

void http_loop_done(HttpLoop *loop) {
        for (size_t i = 0; i < loop->n_daemons; i++) {
                /* Once to take the answers, once to send them. */
                (void) MHD_run(loop->daemons[i].daemon);
                (void) MHD_run(loop->daemons[i].daemon);
                (void) sd_event_source_disable_unref(loop->daemons[i].io);
                MHD_stop_daemon(loop->daemons[i].daemon);
        }
        (void) sd_event_source_disable_unref(loop->again);
        (void) sd_event_source_disable_unref(loop->tick);
        (void) sd_event_unref(loop->event);
}

/* --- Bodies --- */

static size_t room_for(size_t size, size_t max) {
        size_t room = size <= 2048 ? 2048 : size <= 16384 ? 16384 : max;

        return room < max ? room : max;
}

bool http_body_add(HttpBody *body, const void *data, size_t size, size_t max) {
        size_t before = body->size;

        body->size += size;
        if (body->size > HTTP_BODY_SWALLOWED_MAX)
                return false;
        if (body->size > max)
                return true;

        if (body->size > body->allocated) {
                size_t allocated = room_for(body->size, max);
                uint8_t *larger = malloc(allocated); /* realloc() would leave a copy behind */

                if (!larger)
                        return false;
                if (body->data) {
                        memcpy(larger, body->data, before);
                        sodium_memzero(body->data, body->allocated);
                        free(body->data);
                }
                body->data = larger;
                body->allocated = allocated;
        }
        memcpy(body->data + before, data, size);
        return true;
}

void http_body_done(HttpBody *body) {
        if (body->data)
                sodium_memzero(body->data, body->allocated);
        free(body->data);
        *body = (HttpBody){ 0 };
}
