/* The listener for callbacks and libcurl's transfers, against each other on one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "curl-loop.h"
#include "http-listen.h"
#include "listen-socket.h"
#include "time-text.h"

enum {
        TRANSFERS = 8,
        PATIENCE_SECONDS = 30,
        BODY_MAX = 1000,
};

static sd_event *event;
static HttpListen *listen_on;
static CurlLoop *loop;
static unsigned port;

/* What the listener's user does with a call. */
static enum { ANSWER, KEEP, ANSWER_BODY } manner;
static HttpCall *kept[TRANSFERS];
static size_t n_calls, n_kept, n_gone;
static char last_path[64], last_query[64], last_method[16], last_body[BODY_MAX + 1], last_field[64];

typedef struct Transfer {
        CURL *easy;
        struct curl_slist *headers;
        unsigned n_done;
        CURLcode code;
        long status;
        char body[256];
        size_t size;
        bool inside; /* a function of curl-loop.h is running */
        bool frees, again;
} Transfer;

static Transfer transfers[TRANSFERS];

static void on_call(HttpCall *call, const HttpCallView *view, void *userdata) {
        const char *field = http_call_header(call, "X-Field");

        assert_ptr_equal(userdata, &port);
        n_calls++;
        (void) snprintf(last_method, sizeof(last_method), "%s", view->method);
        (void) snprintf(last_path, sizeof(last_path), "%s", view->path);
        (void) snprintf(last_query, sizeof(last_query), "%s", view->query);
        (void) snprintf(last_field, sizeof(last_field), "%s", field ? field : "(none)");
        assert_true(view->body_size <= BODY_MAX);
        memcpy(last_body, view->body, view->body_size);
        last_body[view->body_size] = 0;
        if (manner == KEEP)
                kept[n_kept++] = call;
        else
                http_call_answer(call, 200, "text/plain", manner == ANSWER_BODY ? "hello" : NULL);
}

static void on_gone(HttpCall *call, void *userdata) {
        assert_ptr_equal(userdata, &port);
        for (size_t i = 0; i < n_kept; i++)
                if (kept[i] == call)
                        kept[i] = NULL;
        n_gone++;
}

static const HttpListenOps ops = { .call = on_call, .gone = on_gone };

static int setup_with(unsigned connections, unsigned request_seconds, unsigned answer_seconds) {
        const HttpListenLimits limits = { .connections = connections,
                .body_max = BODY_MAX,
                .request_seconds = request_seconds,
                .answer_seconds = answer_seconds };
        char address[32];
        int fd, r;

        memset(transfers, 0, sizeof(transfers));
        n_calls = n_kept = n_gone = 0;
        manner = ANSWER;
        if (sd_event_new(&event) < 0 || curl_loop_new(&loop, event) < 0)
                return -1;
        /* A port that is free; others take theirs from the same range, at random. */
        do {
                struct sockaddr_in name = { 0 };
                socklen_t size = sizeof(name);

                if (listen_socket_open("127.0.0.1:0", &fd) < 0 ||
                                getsockname(fd, (struct sockaddr *) &name, &size) < 0)
                        return -1;
                port = ntohs(name.sin_port);
                (void) close(fd);
                (void) snprintf(address, sizeof(address), "127.0.0.1:%u", port);
                r = http_listen_new(&listen_on, event, address, &ops, &limits, &port);
        } while (r == -EADDRINUSE);
        return r;
}

static int setup(void **state) {
        (void) state;
        return setup_with(16, 20, 20);
}

static int teardown(void **state) {
        (void) state;
        for (size_t i = 0; i < TRANSFERS; i++) {
                if (loop && transfers[i].easy)
                        curl_loop_remove(loop, transfers[i].easy);
                curl_easy_cleanup(transfers[i].easy);
                curl_slist_free_all(transfers[i].headers);
        }
        loop = curl_loop_free(loop);
        listen_on = http_listen_free(listen_on);
        event = sd_event_unref(event);
        return 0;
}

static void run_until(size_t *value, size_t wanted) {
        uint64_t limit = time_boot() + PATIENCE_SECONDS * USEC_PER_SEC;

        while (*value < wanted) {
                assert_true(time_boot() < limit);
                assert_true(sd_event_run(event, 100 * USEC_PER_MSEC) >= 0);
        }
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;

        assert_true(t->size + size * n < sizeof(t->body));
        memcpy(t->body + t->size, data, size * n);
        t->size += size * n;
        return size * n;
}

static size_t n_done;

static void begin(Transfer *t);

static void on_done(CURL *easy, CURLcode code, void *userdata) {
        Transfer *t = userdata;

        assert_ptr_equal(easy, t->easy);
        assert_false(t->inside);
        t->n_done++;
        t->code = code;
        (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &t->status);
        n_done++;
        if (t->again) {
                t->again = false;
                curl_loop_remove(loop, easy);
                begin(t);
        }
        if (t->frees) {
                curl_loop_remove(loop, easy);
                curl_easy_cleanup(easy);
                t->easy = NULL;
        }
}

static void begin(Transfer *t) {
        t->inside = true;
        assert_int_equal(curl_loop_add(loop, t->easy, on_done, t), 0);
        t->inside = false;
}

static Transfer *prepare(size_t i, const char *path) {
        Transfer *t = &transfers[i];
        char url[128];

        (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
        t->easy = curl_easy_init();
        assert_non_null(t->easy);
        (void) curl_easy_setopt(t->easy, CURLOPT_URL, url);
        (void) curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
        (void) curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
        (void) curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
        if (i == 0)
                n_done = 0;
        return t;
}

static void a_request_is_seen_as_it_came_and_answered(void **state) {
        Transfer *t = prepare(0, "/a%20b?c=%00&d");

        (void) state;
        manner = ANSWER_BODY;
        t->headers = curl_slist_append(NULL, "X-Field: value");
        (void) curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        begin(t);
        assert_int_equal(t->n_done, 0);
        run_until(&n_done, 1);
        assert_int_equal(t->code, CURLE_OK);
        assert_int_equal(t->status, 200);
        assert_int_equal(t->size, 5);
        assert_memory_equal(t->body, "hello", 5);
        assert_string_equal(last_method, "GET");
        assert_string_equal(last_path, "/a%20b");
        assert_string_equal(last_query, "c=%00&d");
        assert_string_equal(last_field, "value");
        assert_string_equal(last_body, "");
}

static void a_field_that_is_there_twice_is_not_there(void **state) {
        Transfer *t = prepare(0, "/");

        (void) state;
        t->headers = curl_slist_append(curl_slist_append(NULL, "X-Field: 1"), "x-field: 2");
        (void) curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        begin(t);
        run_until(&n_done, 1);
        assert_string_equal(last_field, "(none)");
}

static void post(Transfer *t, const char *body, long size) {
        (void) curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body);
        (void) curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, size);
        begin(t);
        run_until(&n_done, 1);
}

static void a_body_is_taken_up_to_its_bound(void **state) {
        static char body[2 * BODY_MAX];
        Transfer *t = prepare(0, "/");

        (void) state;
        memset(body, 'x', sizeof(body));
        post(t, body, BODY_MAX);
        assert_int_equal(t->status, 200);
        assert_int_equal(strlen(last_body), BODY_MAX);
        curl_loop_remove(loop, t->easy);
        n_done = 0;
        post(t, body, BODY_MAX + 1);
        assert_int_equal(t->status, 413);
        assert_int_equal(n_calls, 1);
}

static void a_body_of_no_told_length_is_taken_up_to_its_bound(void **state) {
        static char body[2 * BODY_MAX];
        Transfer *t = prepare(0, "/");

        (void) state;
        memset(body, 'x', sizeof(body));
        t->headers = curl_slist_append(NULL, "Transfer-Encoding: chunked");
        (void) curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        post(t, body, BODY_MAX);
        assert_int_equal(t->status, 200);
        curl_loop_remove(loop, t->easy);
        n_done = 0;
        post(t, body, BODY_MAX + 1);
        assert_int_equal(t->status, 413);
        assert_int_equal(n_calls, 1);
}

static void a_length_that_is_told_twice_is_refused(void **state) {
        Transfer *t = prepare(0, "/");

        (void) state;
        t->headers = curl_slist_append(NULL, "Content-Length: 1");
        t->headers = curl_slist_append(t->headers, "Transfer-Encoding: chunked");
        (void) curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        post(t, "x", 1);
        assert_int_equal(t->status, 400);
        assert_int_equal(n_calls, 0);
}

static void a_header_beyond_its_bound_is_refused(void **state) {
        static char path[HTTP_LISTEN_HEADER_MAX + 2];
        Transfer *t = prepare(0, "/");
        char *url = NULL;

        (void) state;
        memset(path, 'a', sizeof(path) - 1);
        assert_true(asprintf(&url, "http://127.0.0.1:%u/%s", port, path) > 0);
        (void) curl_easy_setopt(t->easy, CURLOPT_URL, url);
        free(url);
        begin(t);
        run_until(&n_done, 1);
        assert_true(t->code != CURLE_OK || t->status == 414 || t->status == 431);
        assert_int_equal(n_calls, 0);
}

static void answers_may_come_later_and_in_another_order(void **state) {
        (void) state;
        manner = KEEP;
        for (size_t i = 0; i < 4; i++)
                begin(prepare(i, "/"));
        run_until(&n_kept, 4);
        assert_int_equal(n_done, 0);
        for (size_t i = 4; i-- > 0;) {
                http_call_set_userdata(kept[i], &transfers[i]);
                assert_ptr_equal(http_call_userdata(kept[i]), &transfers[i]);
                http_call_answer(kept[i], 503, NULL, NULL);
        }
        run_until(&n_done, 4);
        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(transfers[i].n_done, 1);
                assert_int_equal(transfers[i].status, 503);
        }
        assert_int_equal(n_gone, 0);
}

static int setup_impatient(void **state) {
        (void) state;
        return setup_with(16, 20, 1);
}

static void what_is_not_answered_in_time_is_answered_with_503_and_gone(void **state) {
        Transfer *t = prepare(0, "/");

        (void) state;
        manner = KEEP;
        begin(t);
        run_until(&n_done, 1);
        assert_int_equal(t->status, 503);
        assert_int_equal(n_gone, 1);
        assert_null(kept[0]);
}

static int setup_hurried(void **state) {
        (void) state;
        return setup_with(16, 1, 20);
}

static int connect_plainly(void) {
        struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *) &name, sizeof(name)), 0);
        return fd;
}

/* Sends a byte every 50 ms, which is more often than any time of silence, until it is cut off. */
static void assert_cut_off(const char *request) {
        uint64_t begin = time_boot(), limit = begin + PATIENCE_SECONDS * USEC_PER_SEC;
        int fd = connect_plainly();
        bool is_open = true;
        char c;

        for (const char *p = request; is_open; p += p[1] ? 1 : 0) {
                uint64_t next = time_boot() + 50 * USEC_PER_MSEC;

                assert_true(next < limit);
                (void) send(fd, p, 1, MSG_NOSIGNAL);
                while (time_boot() < next)
                        assert_true(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
                is_open = recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
        }
        assert_true(time_boot() - begin >= USEC_PER_SEC / 2);
        (void) close(fd);
        assert_int_equal(n_calls, 0);
}

static void a_request_that_trickles_is_cut_off(void **state) {
        (void) state;
        assert_cut_off("xxxxxxxxxxxxxxxxxxxx");
        assert_cut_off("GET / HTTP/1.1\r\nHost: a\r\nX: xxxxxxxxxxxx");
        assert_cut_off("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\nx");
}

static void the_end_of_the_listener_lets_go_of_what_waits(void **state) {
        (void) state;
        manner = KEEP;
        begin(prepare(0, "/"));
        begin(prepare(1, "/"));
        run_until(&n_kept, 2);
        listen_on = http_listen_free(listen_on);
        assert_int_equal(n_gone, 2);
        run_until(&n_done, 2);
        assert_int_equal(transfers[0].status, 503);
        assert_int_equal(transfers[1].status, 503);
}

/* While nobody looks at the loop. */
static void what_arrives_at_the_end_is_answered_and_not_handed_over(void **state) {
        static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        char answer[64] = "";
        int late, waiting;

        (void) state;
        manner = KEEP;
        late = connect_plainly();
        waiting = connect_plainly();
        assert_int_equal(send(waiting, request, strlen(request), 0), (ssize_t) strlen(request));
        run_until(&n_kept, 1);
        assert_int_equal(send(late, request, strlen(request), 0), (ssize_t) strlen(request));
        listen_on = http_listen_free(listen_on);
        assert_int_equal(n_calls, 1);
        assert_int_equal(n_gone, 1);
        assert_true(recv(late, answer, sizeof(answer) - 1, 0) > 0);
        assert_memory_equal(answer, "HTTP/1.1 503 ", 13);
        (void) close(late);
        (void) close(waiting);
}

/* Sends a request with another one behind it, and reads until the connection is closed. */
static void assert_refused_and_closed(const char *head) {
        static const char inner[] = "GET /inner HTTP/1.1\r\nHost: a\r\n\r\n";
        uint64_t limit = time_boot() + PATIENCE_SECONDS * USEC_PER_SEC;
        char request[512], answers[2048] = "";
        size_t size = 0;
        ssize_t n = 1;
        int fd = connect_plainly();

        (void) snprintf(request, sizeof(request), "POST / HTTP/1.1\r\nHost: a\r\n%s", head);
        (void) strncat(request, inner, sizeof(request) - strlen(request) - 1);
        assert_true(send(fd, request, strlen(request), 0) == (ssize_t) strlen(request));
        while (n > 0 || (n < 0 && errno == EAGAIN)) {
                assert_true(time_boot() < limit);
                assert_true(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
                n = recv(fd, answers + size, sizeof(answers) - 1 - size, MSG_DONTWAIT);
                size += n > 0 ? (size_t) n : 0;
        }
        (void) close(fd);
        if (size > 0 && strncmp(answers, "HTTP/1.1 400 ", 13) != 0)
                fail_msg("%s was answered %s", head, answers);
        if (n_calls > 0)
                fail_msg("behind %s a request was read", head);
}

static void an_ambiguous_end_of_a_request_is_the_end_of_its_connection(void **state) {
        static const char *const heads[] = {
                "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
                "Content-Length: 0\r\nContent-Length: 35\r\n\r\n",
                "Content-Length: 35\r\nContent-Length: 0\r\n\r\n",
                "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
                "Transfer-Encoding: xchunked\r\n\r\n",
                "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
                "Transfer-Encoding:\vchunked\r\n\r\n",
                "Transfer-Encoding : chunked\r\n\r\n",
                "Content-Length : 35\r\n\r\n",
                "Content-Length\t: 35\r\n\r\n",
                "X Y: z\r\n\r\n",
                "Content-Length: +0\r\n\r\n",
                "Content-Length: 0x0\r\n\r\n",
                "Content-Length: 0, 0\r\n\r\n",
                "Content-Length: \r\n\r\n",
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(heads); i++)
                assert_refused_and_closed(heads[i]);
}

static int setup_narrow(void **state) {
        (void) state;
        return setup_with(2, 20, 20);
}

static void more_connections_than_allowed_wait_for_their_turn(void **state) {
        (void) state;
        manner = KEEP;
        for (size_t i = 0; i < 4; i++) {
                Transfer *t = prepare(i, "/");

                (void) curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
                begin(t);
        }
        run_until(&n_kept, 2);
        for (unsigned i = 0; i < 10; i++)
                assert_true(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(n_kept, 2);
        for (size_t i = 0; i < 4; i++) {
                run_until(&n_kept, i + 1);
                http_call_answer(kept[i], 200, NULL, NULL);
        }
        run_until(&n_done, 4);
}

static void addresses_are_literal_and_names_are_not_looked_up(void **state) {
        static const char *const bad[] = {
                "", "80", "localhost:80", "127.0.0.1", "127.0.0.1:http", "[::1", ":80"
        };
        int fd;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(listen_socket_open(bad[i], &fd), -EINVAL);
        assert_int_equal(listen_socket_open("127.0.0.1:0", &fd), 0);
        assert_true(listen_socket_is_local(fd));
        (void) close(fd);
        assert_int_equal(listen_socket_open("0.0.0.0:0", &fd), 0);
        assert_false(listen_socket_is_local(fd));
        (void) close(fd);
}

static void a_handle_may_be_added_again_or_freed_when_it_is_done(void **state) {
        Transfer *again = prepare(0, "/"), *gone = prepare(1, "/");

        (void) state;
        again->again = true;
        gone->frees = true;
        begin(again);
        begin(gone);
        run_until(&n_done, 3);
        assert_int_equal(again->n_done, 2);
        assert_int_equal(gone->n_done, 1);
        assert_int_equal(n_calls, 3);
}

static void what_was_removed_is_never_done(void **state) {
        (void) state;
        manner = KEEP;
        begin(prepare(0, "/"));
        begin(prepare(1, "/"));
        run_until(&n_kept, 2);
        curl_loop_remove(loop, transfers[0].easy);
        curl_loop_remove(loop, transfers[0].easy);
        http_call_answer(kept[0], 200, NULL, NULL);
        http_call_answer(kept[1], 200, NULL, NULL);
        run_until(&n_done, 1);
        assert_int_equal(transfers[0].n_done, 0);
        assert_int_equal(transfers[1].n_done, 1);
}

static void the_end_of_the_loop_ends_all_without_a_call(void **state) {
        (void) state;
        manner = KEEP;
        begin(prepare(0, "/"));
        run_until(&n_kept, 1);
        loop = curl_loop_free(loop);
        assert_int_equal(n_done, 0);
        http_call_answer(kept[0], 200, NULL, NULL);
}

static void nobody_there_is_told_on_the_loop(void **state) {
        Transfer *t = prepare(0, "/");

        (void) state;
        listen_on = http_listen_free(listen_on);
        begin(t);
        assert_int_equal(t->n_done, 0);
        run_until(&n_done, 1);
        assert_int_equal(t->code, CURLE_COULDNT_CONNECT);
}

static void begin_with_time(size_t i, long milliseconds) {
        Transfer *t = prepare(i, "/");

        (void) curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, milliseconds);
        begin(t);
}

/* The times of those that are done by then do not matter to those that are not. */
static void what_takes_too_long_ends_when_its_time_is_up(void **state) {
        uint64_t start;

        (void) state;
        begin_with_time(0, 300);
        run_until(&n_done, 1);
        assert_int_equal(transfers[0].code, CURLE_OK);
        manner = KEEP;
        start = time_boot();
        begin_with_time(1, 800);
        begin_with_time(2, 500);
        run_until(&n_done, 2);
        assert_int_equal(transfers[2].code, CURLE_OPERATION_TIMEDOUT);
        assert_true(time_boot() - start >= 500 * USEC_PER_MSEC);
        run_until(&n_done, 3);
        assert_int_equal(transfers[1].code, CURLE_OPERATION_TIMEDOUT);
        assert_true(time_boot() - start >= 800 * USEC_PER_MSEC);
        /* Not because the listener had enough, which is after 20 seconds. */
        assert_true(time_boot() - start < 15 * USEC_PER_SEC);
}

static void kept_connections_are_used_again(void **state) {
        long n_connects = 0;
        Transfer *t = prepare(0, "/");

        (void) state;
        for (size_t i = 1; i <= 3; i++) {
                begin(t);
                run_until(&n_done, i);
                (void) curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &n_connects);
                assert_int_equal(n_connects, i == 1 ? 1 : 0);
                curl_loop_remove(loop, t->easy);
        }
}

#define LISTEN_TEST(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                LISTEN_TEST(a_request_is_seen_as_it_came_and_answered, setup),
                LISTEN_TEST(a_field_that_is_there_twice_is_not_there, setup),
                LISTEN_TEST(a_body_is_taken_up_to_its_bound, setup),
                LISTEN_TEST(a_body_of_no_told_length_is_taken_up_to_its_bound, setup),
                LISTEN_TEST(a_length_that_is_told_twice_is_refused, setup),
                LISTEN_TEST(an_ambiguous_end_of_a_request_is_the_end_of_its_connection, setup),
                LISTEN_TEST(a_header_beyond_its_bound_is_refused, setup),
                LISTEN_TEST(answers_may_come_later_and_in_another_order, setup),
                LISTEN_TEST(what_is_not_answered_in_time_is_answered_with_503_and_gone,
                                setup_impatient),
                LISTEN_TEST(a_request_that_trickles_is_cut_off, setup_hurried),
                LISTEN_TEST(the_end_of_the_listener_lets_go_of_what_waits, setup),
                LISTEN_TEST(what_arrives_at_the_end_is_answered_and_not_handed_over, setup),
                LISTEN_TEST(more_connections_than_allowed_wait_for_their_turn, setup_narrow),
                cmocka_unit_test(addresses_are_literal_and_names_are_not_looked_up),
                LISTEN_TEST(a_handle_may_be_added_again_or_freed_when_it_is_done, setup),
                LISTEN_TEST(what_was_removed_is_never_done, setup),
                LISTEN_TEST(the_end_of_the_loop_ends_all_without_a_call, setup),
                LISTEN_TEST(nobody_there_is_told_on_the_loop, setup),
                LISTEN_TEST(what_takes_too_long_ends_when_its_time_is_up, setup),
                LISTEN_TEST(kept_connections_are_used_again, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
