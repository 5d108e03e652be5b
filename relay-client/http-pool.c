/* Which request of the HTTP client is served when, by which connection to its host: few connections
 * are kept busy, nobody waits for ever, and one host's load does not keep another's out. */
#include <errno.h>
#include <string.h>

#include "http-internal.h"
#include "time-text.h"

/* Who has waited until less than this is left is not sent at all: the answer would come too late.
 */
#define TIME_LEFT_MIN USEC_PER_SEC

/* --- hosts --- */

static void host_release(HttpHost *host) {
        free(host->authority);
        free(host->party);
        free(host);
}

int http_host_get(HttpClient *c,
                const char *authority,
                size_t size,
                const char *party,
                HttpHost **ret) {
        HttpHost *host;

        if (!party)
                party = "";
        for (host = c->hosts; host; host = host->next)
                if (strncmp(host->authority, authority, size) == 0 && host->authority[size] == 0 &&
                                streq(host->party, party)) {
                        *ret = host;
                        return 0;
                }
        host = calloc(1, sizeof(*host));
        if (!host)
                return -ENOMEM;
        host->client = c;
        host->authority = strndup(authority, size);
        host->party = strdup(party);
        if (!host->authority || !host->party) {
                host_release(host);
                return -ENOMEM;
        }
        host->next = c->hosts;
        c->hosts = host;
        *ret = host;
        return 0;
}

void http_host_free(HttpHost *host) {
        for (HttpHost **p = &host->client->hosts; *p; p = &(*p)->next)
                if (*p == host) {
                        *p = host->next;
                        break;
                }
        host_release(host);
}

/* --- who is served when --- */

static void timer_set(HttpClient *c, uint64_t due) {
        if (c->timer_due != 0 && c->timer_due <= due)
                return;
        c->timer_due = due;
        (void) sd_event_source_set_time(c->timer, due);
        (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

void http_pool_serve_later(HttpClient *c) {
        (void) sd_event_source_set_enabled(c->serve, SD_EVENT_ONESHOT);
}

/* An idle connection to another host makes room. */
static bool make_room(const HttpHost *host) {
        HttpClient *c = host->client;

        for (HttpHost *other = c->hosts; other && c->n_connections >= HTTP_CONNECTIONS_MAX;
                        other = other->next)
                if (other != host && other->idle) {
                        http_connection_close(other->idle);
                        http_pool_serve_later(c);
                }
        return c->n_connections < HTTP_CONNECTIONS_MAX;
}

static uint64_t patience_ends(const HttpTransfer *t) {
        return t->queued + HTTP_PATIENCE_MSEC * USEC_PER_MSEC;
}

/* One more at a time than there should be, lest a host that is slow because of too many gets more.
 */
static bool may_connect(const HttpHost *host, uint64_t now) {
        if (host->n_connecting >= host->waiting.n)
                return false;
        if (host->n_connections >= HTTP_CONNECTIONS_EAGER &&
                        (host->n_connecting > 0 || now < patience_ends(host->waiting.first)))
                return false;
        return make_room(host);
}

/* Who speaks before it was asked, or ends a connection that was just made, would do so again on the
 * next, so that there is none: *ret_useless says why, or is NULL. */
static HttpConnection *idle_take(HttpHost *host, uint64_t now, const char **ret_useless) {
        *ret_useless = NULL;
        while (host->idle && !*ret_useless) {
                HttpConnection *connection = host->idle;

                if (now - connection->idle_since < HTTP_IDLE_SECONDS * USEC_PER_SEC &&
                                http_connection_is_well(connection)) {
                        host->idle = connection->next_idle;
                        connection->next_idle = NULL;
                        return connection;
                }
                *ret_useless = connection->useless;
                http_connection_close(connection);
        }
        return NULL;
}

/* False: the connection takes nothing, and is for the caller to end. */
static bool exchange_start(HttpConnection *connection, HttpTransfer *t) {
        HttpClient *c = connection->host->client;

        connection->transfer = t;
        connection->reader.is_head = t->is_head;
        http_transfer_list_append(&c->running, t);
        timer_set(c, t->deadline);
        return http_connection_write(connection);
}

void http_host_serve(HttpHost *host) {
        HttpClient *c = host->client;
        uint64_t now = time_boot();
        HttpTransfer *t;

        while ((t = host->waiting.first)) {
                bool late = t->deadline <= now + TIME_LEFT_MIN;
                const char *useless = NULL;
                HttpConnection *connection = late ? NULL : idle_take(host, now, &useless);

                if (!late && !useless && !connection) {
                        if (!may_connect(host, now))
                                break;
                        if (http_connection_open(host) == 0)
                                continue;
                }
                http_transfer_list_remove(&host->waiting, t);
                t->answered = useless && streq(useless, "no-answer");
                if (!connection)
                        http_transfer_fail(t, late ? "timeout" : useless ? useless : "no-memory");
                else if (!exchange_start(connection, t))
                        http_connection_fail(connection, "cut");
        }

        if (t) {
                uint64_t patience = patience_ends(t);

                timer_set(c, patience > now ? patience : t->deadline - TIME_LEFT_MIN);
        } else if (!host->connections)
                http_host_free(host);
}

static void pool_serve(HttpClient *c) {
        for (HttpHost *host = c->hosts, *next; host; host = next) {
                next = host->next;
                http_host_serve(host);
        }
}

static HttpConnection *connection_of(const HttpTransfer *t) {
        HttpConnection *connection = t->host->connections;

        while (connection && connection->transfer != t)
                connection = connection->next;
        return connection;
}

int http_pool_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpClient *c = userdata;
        uint64_t now = time_boot();

        (void) source;
        (void) usec;
        c->timer_due = 0;
        for (HttpTransfer *t = c->running.first, *next; t; t = next) {
                next = t->next;
                if (t->deadline <= now)
                        http_connection_fail(connection_of(t), "timeout");
                else
                        timer_set(c, t->deadline);
        }
        pool_serve(c);
        return 0;
}

int http_pool_on_serve(sd_event_source *source, void *userdata) {
        (void) source;
        pool_serve(userdata);
        return 0;
}

/* At once where a connection is free, so that the other side works while the caller makes the next
 * request; but nobody is called from here. */
void http_pool_begin(HttpTransfer *t) {
        HttpHost *host = t->host;
        const char *useless;
        HttpConnection *connection =
                        host->waiting.first ? NULL : idle_take(host, t->queued, &useless);

        if (connection && exchange_start(connection, t))
                return;
        if (connection) {
                http_transfer_list_remove(&host->client->running, TAKE_PTR(connection->transfer));
                http_connection_close(connection);
                t->sent = 0;
        }
        http_transfer_list_append(&host->waiting, t);
        http_pool_serve_later(host->client);
}
