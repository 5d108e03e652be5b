/* What our two HTTP servers, http-listen.h and the front's, have in common: libmicrohttpd's epoll
 * loops inside sd-event, deadlines for connections, and bodies that end somewhere. What a request
 * is, and what becomes of it, is theirs. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct MHD_Connection;
struct MHD_Daemon;

enum {
        HTTP_LOOP_DAEMONS_MAX = 8,
        HTTP_LOOP_IDLE_SECONDS = 60, /* that a connection may be silent */
        HTTP_BODY_SWALLOWED_MAX = 1024 * 1024,
};

/* A connection, at the beginning of its owner's structure. libmicrohttpd's own timeout only sees
 * silence; the deadline here is absolute, so that a client that sends a byte now and then does not
 * keep its place. */
typedef struct HttpPlace {
        struct HttpPlace *previous, *next;
        int fd;
        uint64_t deadline; /* of time_boot(), or 0: it is our turn */
} HttpPlace;

typedef struct HttpLoop HttpLoop;

typedef struct HttpLoopDaemon {
        HttpLoop *loop;
        struct MHD_Daemon *daemon;
        sd_event_source *io;
} HttpLoopDaemon;

struct HttpLoop {
        sd_event *event;
        sd_event_source *again, *tick;
        HttpLoopDaemon daemons[HTTP_LOOP_DAEMONS_MAX];
        size_t n_daemons;
        HttpPlace *places;
        bool (*late)(HttpPlace *place);
};

/* late is asked about each connection whose time is up; true: it has been seen to. Otherwise, or
 * with NULL, the connection is ended. */
int http_loop_init(HttpLoop *loop, sd_event *event, bool (*late)(HttpPlace *place));

/* Runs a daemon, which was started with MHD_USE_EPOLL, and owns it from here on, whatever comes
 * back. There is room for HTTP_LOOP_DAEMONS_MAX. */
int http_loop_add(HttpLoop *loop, struct MHD_Daemon *daemon);

/* Runs them all once more in this turn: after a connection was resumed. */
void http_loop_run_soon(HttpLoop *loop);

/* When libmicrohttpd says that a connection begins, and that it ended. */
void http_loop_enter(HttpLoop *loop,
                HttpPlace *place,
                struct MHD_Connection *connection,
                unsigned seconds);
void http_loop_leave(HttpLoop *loop, HttpPlace *place);

void http_place_give(HttpPlace *place, unsigned seconds);

/* Sends what is answered, closes all and stops them. What waits must have been resumed before,
 * because libmicrohttpd aborts otherwise. Also of a loop that is all zeros. */
void http_loop_done(HttpLoop *loop);

typedef struct HttpBody {
        uint8_t *data;
        size_t size; /* with what was swallowed: of data only if it is not more than max */
        size_t allocated;
} HttpBody;

/* Adds to it while it is not larger than max, and swallows what is behind, so that the client gets
 * to read the refusal instead of a reset. False: it is longer than HTTP_BODY_SWALLOWED_MAX, or
 * there is no memory. */
bool http_body_add(HttpBody *body, const void *data, size_t size, size_t max);

/* Wipes and frees. */
void http_body_done(HttpBody *body);
