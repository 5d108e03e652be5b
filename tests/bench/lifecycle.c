/* The load of the lifecycle benchmark: a tenant, the phones of its recipients, and their wallets,
 * in one thread. Never more than --in-flight shares are unfinished; when one has ended as
 * `completed`, the next is created, until --count have been created and all of them have ended, or,
 * after --seconds, those that were created until then. With --rate instead, so many are created a
 * second, whatever becomes of the others, and each one's time runs from when it was to be created:
 * so a moment in which nothing goes on is seen by all who come in it.
 *
 * One lifecycle is: POST /v1/shares over a kept connection, 201 with the code; the phone gets the
 * invitation, takes it, and replies with the code in its thread; it gets the link and takes it; the
 * wallet reads the mailbox at the relay (TLS, kept connections), decrypts what the tenant gave, and
 * deletes it (unless --no-recipient); the phone says DONE and takes the notice that follows. The
 * gateway then asks the relay to delete the mailbox, and the share is `completed`.
 *
 * That is learnt from the counter `shares_completed` of the operators' GET /readyz, since a long
 * poll for each share would cost more than what is measured. It is asked for only while a share
 * that has had its notice is not counted yet, by one request at a time, and no sooner than
 * POLL_USEC after the last.
 *
 * Anything out of order ends the program with status 1. The result is one JSON line. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bench.h"
#include "draft-v.h"
#include "http-client.h"
#include "payload.h"
#include "share-url.h"
#include "stream.h"
#include "text.h"
#include "time-text.h"

enum {
        CONNECTIONS_MAX = 64, /* to the API; further requests wait for one of them */
        POLL_USEC = 4000,     /* between polls; with few in flight POLL_USEC_FEW */
        POLL_USEC_FEW = 500,
        FEW = 16,
        ANSWER_SIZE = 32 * 1024,
        REQUEST_SIZE = 8 * 1024,
        CONTENT_SIZE = 1280, /* of the token that is shared */
};

typedef struct Load Load;

typedef struct Share {
        Load *load;
        size_t index;
        uint64_t started, created, noticed; /* boot time */
        char code[32], thread[64];
        bool replied, said_done;

        ShareUrl url;
        char claim[UUID_TEXT_SIZE], request[UUID_TEXT_SIZE];
        DraftVOperation operation;
} Share;

/* One kept connection to the API, with at most one request under way: a share's, or the poll. */
typedef struct Connection {
        Load *load;
        Share *share;
        sd_event_source *source;
        int fd;
        bool busy;
        size_t n_in;
        char in[ANSWER_SIZE];
} Connection;

struct Load {
        /* options */
        size_t port, seconds;          /* 0 seconds: for as long as it takes */
        size_t in_flight, count, rate; /* rate 0: as many as there may be in flight */
        uint64_t limit;
        const char *token, *phones, *operators, *ca_file, *hosts[2], *policy;
        bool no_recipient;

        sd_event *event;
        FrameStream *phone;
        HttpClient *relay;
        Connection *connections[CONNECTIONS_MAX + 1]; /* the last one polls */
        size_t n_connections;
        Share *shares;
        size_t n_waiting; /* the last ones started, for which no connection was free */
        sd_event_source *poll_timer, *rate_timer;
        bool polling, has_base;
        uint64_t polled, base, n_polls;

        char salt[17], content[CONTENT_SIZE + 1];
        size_t started, noticed, completed;
        uint64_t begin, end;
};

/* --- the API --- */

static void next_steps(Load *load);
static void on_created(Share *share, json_t *answer);
static void on_health(Load *load, const char *body);

static void connection_send(Connection *c, Share *share, const char *request, size_t size) {
        c->busy = true;
        c->share = share;
        c->n_in = 0;
        if (send(c->fd, request, size, MSG_NOSIGNAL) != (ssize_t) size)
                bench_fail("a request did not leave: %s", strerror(errno));
}

static void send_create(Connection *c, Share *share) {
        char body[REQUEST_SIZE], request[2 * REQUEST_SIZE];
        int n, size;

        n = snprintf(body,
                        sizeof(body),
                        "{\"policy\":\"%s\",\"recipient\":{\"addresses\":[\"echo:%s-%zu\"],"
                        "\"name\":\"Bob\",\"locale\":\"en\",\"time_zone\":\"Europe/Berlin\"},"
                        "\"credential\":{\"title\":\"Room key\",\"description\":\"Room 12\"},"
                        "\"provisioning\":{\"format\":\"digitalwallet.generic.authorizationToken\","
                        "\"content\":{\"token\":\"%zu-%s\"}},\"reference\":\"booking-%s-%zu\"}",
                        share->load->policy,
                        share->load->salt,
                        share->index,
                        share->index,
                        share->load->content,
                        share->load->salt,
                        share->index);
        size = snprintf(request,
                        sizeof(request),
                        "POST /v1/shares HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
                        "%s\r\nIdempotency-Key: bench-%s-%zu\r\nContent-Type: application/json\r\n"
                        "Content-Length: %d\r\n\r\n%s",
                        share->load->token,
                        share->load->salt,
                        share->index,
                        n,
                        body);
        connection_send(c, share, request, (size_t) size);
}

/* Whole answers have a Content-Length; returns the body once it is there. */
static char *whole_body(Connection *c) {
        char *end, *length;
        size_t body;

        c->in[c->n_in] = 0;
        end = strstr(c->in, "\r\n\r\n");
        if (!end)
                return NULL;
        *end = 0;
        length = strcasestr(c->in, "\r\nContent-Length:");
        if (!length)
                bench_fail("an answer without a length: %s", c->in);
        body = strtoul(length + strlen("\r\nContent-Length:"), NULL, 10);
        *end = '\r';
        return c->n_in >= (size_t) (end + 4 - c->in) + body ? end + 4 : NULL;
}

static void connection_answered(Connection *c, const char *body) {
        Load *load = c->load;
        Share *share = c->share;
        json_t *answer;

        c->busy = false;
        if (!share) {
                on_health(load, body);
                return;
        }
        if (strncmp(c->in, "HTTP/1.1 201 ", 13) != 0)
                bench_fail("the share was not created: %s", c->in);
        answer = json_loads(body, 0, NULL);
        on_created(share, answer);
        json_decref(answer);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Connection *c = userdata;
        char *body;
        ssize_t n;

        (void) source;
        (void) revents;
        n = recv(fd, c->in + c->n_in, sizeof(c->in) - 1 - c->n_in, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return 0;
        if (n <= 0 || !c->busy)
                bench_fail("the API closed a connection or spoke unasked: %s",
                                n < 0 ? strerror(errno) : "end");
        c->n_in += (size_t) n;
        body = whole_body(c);
        if (body) {
                connection_answered(c, body);
                next_steps(c->load);
        }
        return 0;
}

/* Without a path, to the tenants' front on loopback; else to the operators', who may see counters.
 */
static Connection *connection_new(Load *load, const char *path) {
        struct sockaddr_in tenants = { .sin_family = AF_INET,
                .sin_port = htons((uint16_t) load->port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_un operators = { .sun_family = AF_UNIX };
        const struct sockaddr *address =
                        path ? (struct sockaddr *) &operators : (struct sockaddr *) &tenants;
        Connection *c = calloc(1, sizeof(*c));

        if (!c)
                bench_fail("out of memory");
        c->load = load;
        if (path)
                (void) snprintf(operators.sun_path, sizeof(operators.sun_path), "%s", path);
        c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, address, path ? sizeof(operators) : sizeof(tenants)) < 0)
                bench_fail("the API cannot be reached: %s", strerror(errno));
        (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        bench_must_errno(sd_event_add_io(load->event, &c->source, c->fd, EPOLLIN, on_connection, c),
                        "epoll");
        return c;
}

/* --- the phones: one connection for all of them --- */

static void say(Load *load, json_t *frame) {
        bench_must_errno(frame_stream_send_new(load->phone, frame), "a frame did not leave");
}

static void reply(Share *share, char kind, const char *text) {
        char inbound[64], from[64];

        (void) snprintf(inbound,
                        sizeof(inbound),
                        "%s-%zu-%c",
                        share->load->salt,
                        share->index,
                        kind);
        (void) snprintf(from, sizeof(from), "echo:%s-%zu", share->load->salt, share->index);
        say(share->load,
                        json_pack("{s:s, s:s, s:s, s:s, s:s}",
                                        "type",
                                        "reply",
                                        "inbound",
                                        inbound,
                                        "from",
                                        from,
                                        "thread",
                                        share->thread,
                                        "text",
                                        text));
}

/* The code comes with the 201, the thread with the invitation, in either order. */
static void reply_with_code(Share *share) {
        if (!share->code[0] || !share->thread[0] || share->replied)
                return;
        share->replied = true;
        reply(share, 'c', share->code);
}

static void say_done(Share *share) {
        share->said_done = true;
        reply(share, 'd', "DONE");
}

static void on_created(Share *share, json_t *answer) {
        const char *code = json_string_value(json_object_get(answer, "code"));

        if (!code)
                bench_fail("a 201 without a code");
        share->created = time_boot();
        (void) snprintf(share->code, sizeof(share->code), "%s", code);
        reply_with_code(share);
}

static void on_link(Share *share, const char *link);

static Share *share_of(Load *load, const char *to) {
        size_t n = strlen(load->salt);
        size_t index;

        if (!to || strncmp(to, "echo:", 5) != 0 || strncmp(to + 5, load->salt, n) != 0)
                return NULL;
        index = strtoul(to + 5 + n + 1, NULL, 10);
        return index < load->started ? &load->shares[index] : NULL;
}

static void on_message(Load *load, const json_t *frame) {
        const char *kind = json_string_value(json_object_get(frame, "kind"));
        const char *thread = json_string_value(json_object_get(frame, "thread"));
        Share *share = share_of(load, json_string_value(json_object_get(frame, "to")));

        say(load,
                        json_pack("{s:s, s:O}",
                                        "type",
                                        "taken",
                                        "message",
                                        json_object_get(frame, "message")));
        if (!share) /* of a run before this one */
                return;
        if (streq(kind, "invitation")) {
                (void) snprintf(share->thread, sizeof(share->thread), "%s", thread);
                reply_with_code(share);
        } else if (streq(kind, "link"))
                on_link(share, json_string_value(json_object_get(frame, "link")));
        else if (share->said_done && share->noticed == 0) {
                share->noticed = time_boot();
                load->noticed++;
                next_steps(load);
        } else
                bench_fail("a notice out of turn: %s",
                                json_string_value(json_object_get(frame, "text")));
}

static int on_frame(FrameStream *stream, json_t *frame, void *userdata) {
        const char *type = json_string_value(json_object_get(frame, "type"));

        (void) stream;
        if (streq(type, "message"))
                on_message(userdata, frame);
        else if (!streq(type, "ack"))
                bench_fail("a reply was not acknowledged: %s", type);
        return 0;
}

static void on_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        (void) stream;
        (void) error;
        (void) userdata;
        bench_fail("the phones lost their connection: %s", reason);
}

static void phone_connect(Load *load) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(load->phones) >= sizeof(address.sun_path))
                bench_fail("the path is too long: %s", load->phones);
        memcpy(address.sun_path, load->phones, strlen(load->phones));
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                bench_fail("the echo channel cannot be reached: %s", strerror(errno));
        bench_must_errno(frame_stream_new(&load->phone, load->event, fd, on_frame, on_end, load),
                        "the phones");
        say(load, json_pack("{s:s, s:s}", "type", "subscribe", "address", "*"));
}

/* --- the wallets --- */

static void check_content(const Share *share, const DraftVAnswer *answer) {
        _cleanup_(plaintext_done) Plaintext plain = PLAINTEXT_NULL;
        char token[CONTENT_SIZE + 32];
        json_auto_t *provisioning = NULL;
        const char *found;

        if (payload_decrypt(answer->payload_type,
                            answer->payload_data,
                            false,
                            share->url.secret,
                            share->url.secret_size,
                            &plain) != 0 ||
                        !(provisioning = json_loadb(
                                          (const char *) plain.data, plain.size, 0, NULL)))
                bench_fail("the content cannot be opened");
        (void) snprintf(token, sizeof(token), "%zu-%s", share->index, share->load->content);
        found = json_string_value(
                        json_object_get(json_object_get(provisioning, "content"), "token"));
        if (!found || !streq(found, token))
                bench_fail("the content is another one");
}

static void ask_relay(Share *share, DraftVOperation operation);

static void on_relay(const HttpAnswer *http, void *userdata) {
        _cleanup_(draft_v_answer_done) DraftVAnswer answer = { .outcome = DRAFT_V_AGAIN };
        Share *share = userdata;

        bench_must_errno(draft_v_read_answer(share->operation,
                                         share->request,
                                         http,
                                         share->load->hosts,
                                         time_wall(),
                                         &answer),
                        "the relay's answer");
        if (answer.outcome != DRAFT_V_DONE)
                bench_fail("the relay's answer is not the one hoped for: %s (%d)",
                                answer.reason,
                                (int) answer.outcome);
        if (share->operation == DRAFT_V_READ) {
                check_content(share, &answer);
                ask_relay(share, DRAFT_V_DELETE);
        } else
                say_done(share);
}

static void ask_relay(Share *share, DraftVOperation operation) {
        HttpRequest request = HTTP_REQUEST_NULL;

        share->operation = operation;
        text_uuid4_random(share->request);
        bench_must_errno(draft_v_plain(operation,
                                         share->url.api,
                                         &(DraftVCaller){ .claim = share->claim,
                                                         .request_id = share->request },
                                         &request),
                        "a request to the relay");
        bench_must_errno(http_client_send(share->load->relay, &request, on_relay, share),
                        "the relay");
}

static void on_link(Share *share, const char *link) {
        if (share->said_done)
                return;
        if (share->load->no_recipient) {
                say_done(share);
                return;
        }
        if (!link || share_url_parse(link, &share->url) != 0 ||
                        !share_url_is_allowed(&share->url, share->load->hosts))
                bench_fail("a link that is none");
        text_uuid4_random(share->claim);
        ask_relay(share, DRAFT_V_READ);
}

/* --- the whole --- */

static void on_health(Load *load, const char *body) {
        static const char name[] = "\"shares_completed\":";
        const char *found = strstr(body, name);
        uint64_t value;

        if (!found)
                bench_fail("no counter in: %s", body);
        found += strlen(name);
        value = strtoull(found, NULL, 10);
        load->polling = false;
        load->polled = time_boot();
        if (!load->has_base) {
                load->has_base = true;
                load->base = value;
                load->begin = time_boot();
        }
        load->completed = value - load->base;
        if (load->completed > load->started)
                bench_fail("more shares were completed than created");
}

static void poll_now(Load *load) {
        static const char request[] = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

        load->polling = true;
        load->n_polls++;
        connection_send(load->connections[CONNECTIONS_MAX], NULL, request, strlen(request));
}

static int on_poll_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Load *load = userdata;

        (void) source;
        (void) usec;
        if (!load->polling && load->noticed > load->completed)
                poll_now(load);
        return 0;
}

static uint64_t due_time(const Load *load, size_t index) {
        return load->begin + index * USEC_PER_SEC / load->rate;
}

static void start_share(Load *load) {
        Share *share = &load->shares[load->started];

        *share = (Share){ .load = load, .index = load->started++, .started = time_boot() };
        if (load->rate > 0)
                share->started = due_time(load, share->index);
        load->n_waiting++;
}

/* All that are to be there by now. */
static void start_shares(Load *load) {
        if (load->rate == 0) {
                while (load->started < load->count &&
                                load->started - load->completed < load->in_flight)
                        start_share(load);
                return;
        }
        while (load->started < load->count && due_time(load, load->started) <= time_boot())
                start_share(load);
        if (load->started < load->count) {
                bench_must_errno(sd_event_source_set_time(
                                                 load->rate_timer, due_time(load, load->started)),
                                "timer");
                bench_must_errno(sd_event_source_set_enabled(load->rate_timer, SD_EVENT_ONESHOT),
                                "timer");
        }
}

/* The shares that wait for a connection are the last ones started. */
static void feed_connections(Load *load) {
        for (size_t i = 0; i < load->n_connections && load->n_waiting > 0; i++)
                if (!load->connections[i]->busy)
                        send_create(load->connections[i],
                                        &load->shares[load->started - load->n_waiting--]);
}

static void next_steps(Load *load) {
        if (!load->has_base)
                return;
        if (time_boot() - load->begin > load->limit && load->count > load->started)
                load->count = load->started;
        start_shares(load);
        feed_connections(load);
        if (load->completed == load->count) {
                load->end = time_boot();
                (void) sd_event_exit(load->event, 0);
        } else if (!load->polling && load->noticed > load->completed) {
                uint64_t pause = load->rate == 0 && load->in_flight < FEW ? POLL_USEC_FEW
                                                                          : POLL_USEC;

                bench_must_errno(sd_event_source_set_time(load->poll_timer, load->polled + pause),
                                "timer");
                bench_must_errno(sd_event_source_set_enabled(load->poll_timer, SD_EVENT_ONESHOT),
                                "timer");
        }
}

static int on_rate_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        next_steps(userdata);
        return 0;
}

static int compare_times(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static void print_result(const Load *load) {
        uint64_t *create = calloc(2 * load->count, sizeof(uint64_t)), *all = create + load->count;
        double seconds = (double) (load->end - load->begin) / 1e6;

        if (!create)
                bench_fail("out of memory");
        for (size_t i = 0; i < load->count; i++) {
                create[i] = load->shares[i].created - load->shares[i].started;
                all[i] = load->shares[i].noticed - load->shares[i].started;
        }
        qsort(create, load->count, sizeof(uint64_t), compare_times);
        qsort(all, load->count, sizeof(uint64_t), compare_times);
        (void) printf("{\"shares\": %zu, \"seconds\": %.4f, \"rate\": %.1f, \"polls\": %llu, "
                      "\"create_p50_ms\": %.2f, \"create_p99_ms\": %.2f, \"notice_p50_ms\": %.2f, "
                      "\"notice_p99_ms\": %.2f}\n",
                        load->count,
                        seconds,
                        (double) load->count / seconds,
                        (unsigned long long) load->n_polls,
                        (double) create[load->count / 2] / 1e3,
                        (double) create[load->count * 99 / 100] / 1e3,
                        (double) all[load->count / 2] / 1e3,
                        (double) all[load->count * 99 / 100] / 1e3);
        free(create);
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "port", BENCH_NUMBER, offsetof(Load, port) },
                { "phones", BENCH_TEXT, offsetof(Load, phones) },
                { "operators", BENCH_TEXT, offsetof(Load, operators) },
                { "relay", BENCH_TEXT, offsetof(Load, hosts[0]) },
                { "ca-file", BENCH_TEXT, offsetof(Load, ca_file) },
                { "policy", BENCH_TEXT, offsetof(Load, policy) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, in_flight) },
                { "rate", BENCH_NUMBER, offsetof(Load, rate) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "seconds", BENCH_NUMBER, offsetof(Load, seconds) },
                { "no-recipient", BENCH_FLAG, offsetof(Load, no_recipient) },
                { 0 },
        };

        (void) bench_options(argc, argv, options, load);
        if (load->seconds > 0)
                load->limit = load->seconds * USEC_PER_SEC;
        if (load->rate > 0)
                load->in_flight = CONNECTIONS_MAX;
        load->token = getenv("BENCH_TOKEN");
        if (load->port == 0 || load->port > UINT16_MAX || !load->phones || !load->operators ||
                        !load->hosts[0] || !load->ca_file || !load->token || load->in_flight == 0 ||
                        load->count == 0)
                bench_fail("usage: BENCH_TOKEN=… lifecycle --port N --phones PATH --operators PATH "
                           "--relay HOST:PORT "
                           "--ca-file FILE (--in-flight N | --rate N) --count N [--policy NAME] "
                           "[--seconds N] "
                           "[--no-recipient]");
}

static void prepare(Load *load) {
        uint8_t salt[8];

        randombytes_buf(salt, sizeof(salt));
        (void) sodium_bin2hex(load->salt, sizeof(load->salt), salt, sizeof(salt));
        memset(load->content, 'x', CONTENT_SIZE);
        load->shares = calloc(load->count, sizeof(Share));
        if (!load->shares)
                bench_fail("out of memory");
        bench_must_errno(sd_event_new(&load->event), "the loop");
        bench_must_errno(http_client_new(&load->relay,
                                         load->event,
                                         &(HttpPolicy){ .ca_file = load->ca_file,
                                                         .user_agent = "vestibule",
                                                         .answer_max = DRAFT_V_ANSWER_MAX }),
                        "the wallets");
        load->n_connections = load->in_flight < CONNECTIONS_MAX ? load->in_flight : CONNECTIONS_MAX;
        for (size_t i = 0; i < load->n_connections; i++)
                load->connections[i] = connection_new(load, NULL);
        load->connections[CONNECTIONS_MAX] = connection_new(load, load->operators);
        bench_must_errno(sd_event_add_time(load->event,
                                         &load->poll_timer,
                                         CLOCK_BOOTTIME,
                                         UINT64_MAX,
                                         1,
                                         on_poll_timer,
                                         load),
                        "timer");
        bench_must_errno(sd_event_source_set_enabled(load->poll_timer, SD_EVENT_OFF), "timer");
        bench_must_errno(sd_event_add_time(load->event,
                                         &load->rate_timer,
                                         CLOCK_BOOTTIME,
                                         UINT64_MAX,
                                         1,
                                         on_rate_timer,
                                         load),
                        "timer");
        bench_must_errno(sd_event_source_set_enabled(load->rate_timer, SD_EVENT_OFF), "timer");
        phone_connect(load);
        poll_now(load);
}

int main(int argc, char **argv) {
        Load load = { .policy = "hotel", .limit = UINT64_MAX };

        if (sodium_init() < 0)
                bench_fail("no randomness");
        parse_arguments(argc, argv, &load);
        prepare(&load);
        bench_must_errno(sd_event_loop(load.event), "the loop");
        print_result(&load);
        return EXIT_SUCCESS;
}
