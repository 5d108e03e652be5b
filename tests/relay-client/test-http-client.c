/* What the HTTP client does with its connections. libcurl's are replaced by socketpairs, so that
 * the other side can stop in the middle of a request and speak when it should not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <errno.h>
#include <sys/socket.h>

#include "http-client.h"
#include "time-text.h"

enum {
        CONNECTIONS_MAX = 8,
        ANSWER_MAX = 1000,
        PATIENCE_SECONDS = 10,
};

#define ECHO_NAME "Request-Id"

typedef struct Pair {
        CURL *easy;
        int ours, theirs;
        size_t room; /* bytes of requests that still fit */
} Pair;

static Pair pairs[CONNECTIONS_MAX];
static size_t n_pairs, n_told;
static const char *greeting; /* what the other side says before it is asked, or NULL */
static bool hangs_up;        /* before it is asked */
static curl_multi_timer_callback timer_function;
static void *timer_data;

/* --- libcurl --- */

CURLMcode __wrap_curl_multi_setopt(CURLM *multi, CURLMoption option, ...);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int action, int *ret);
CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *ret);
CURLcode __real_curl_easy_getinfo(CURL *easy, CURLINFO info, ...);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...);
CURLcode __wrap_curl_easy_send(CURL *easy, const void *data, size_t size, size_t *ret);
CURLcode __wrap_curl_easy_recv(CURL *easy, void *data, size_t size, size_t *ret);

static Pair *pair_of(const CURL *easy) {
        for (size_t i = 0; i < n_pairs; i++)
                if (pairs[i].easy == easy)
                        return &pairs[i];
        fail_msg("no such connection");
        return NULL;
}

CURLMcode __wrap_curl_multi_setopt(CURLM *multi, CURLMoption option, ...) {
        va_list ap;

        (void) multi;
        va_start(ap, option);
        if (option == CURLMOPT_TIMERFUNCTION)
                timer_function = va_arg(ap, curl_multi_timer_callback);
        else if (option == CURLMOPT_TIMERDATA)
                timer_data = va_arg(ap, void *);
        va_end(ap);
        return CURLM_OK;
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy) {
        int fds[2];

        assert_true(n_pairs < CONNECTIONS_MAX);
        assert_int_equal(
                        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        pairs[n_pairs++] = (Pair){ easy, fds[0], fds[1], SIZE_MAX };
        if (greeting)
                assert_int_equal(send(fds[1], greeting, strlen(greeting), 0), strlen(greeting));
        if (hangs_up)
                pairs[n_pairs - 1].theirs = close_fd(fds[1]);
        assert_int_equal(timer_function(multi, 0, timer_data), 0);
        return CURLM_OK;
}

CURLMcode __wrap_curl_multi_remove_handle(CURLM *multi, CURL *easy) {
        Pair *pair = pair_of(easy);

        (void) multi;
        pair->ours = close_fd(pair->ours);
        pair->easy = NULL;
        return CURLM_OK;
}

CURLMcode __wrap_curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int action, int *ret) {
        (void) multi;
        (void) fd;
        (void) action;
        *ret = 0;
        return CURLM_OK;
}

CURLMsg *__wrap_curl_multi_info_read(CURLM *multi, int *ret) {
        static CURLMsg message;

        (void) multi;
        *ret = 0;
        if (n_told == n_pairs)
                return NULL;
        message.msg = CURLMSG_DONE;
        message.easy_handle = pairs[n_told++].easy;
        message.data.result = CURLE_OK;
        return &message;
}

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...) {
        va_list ap;
        void *p;

        va_start(ap, info);
        p = va_arg(ap, void *);
        va_end(ap);
        if (info != CURLINFO_ACTIVESOCKET)
                return __real_curl_easy_getinfo(easy, info, p);
        *(curl_socket_t *) p = pair_of(easy)->ours;
        return CURLE_OK;
}

CURLcode __wrap_curl_easy_send(CURL *easy, const void *data, size_t size, size_t *ret) {
        Pair *pair = pair_of(easy);
        ssize_t n;

        if (pair->room == 0)
                return CURLE_AGAIN;
        n = send(pair->ours, data, size < pair->room ? size : pair->room, MSG_NOSIGNAL);
        if (n < 0)
                return CURLE_SEND_ERROR;
        pair->room -= (size_t) n;
        *ret = (size_t) n;
        return CURLE_OK;
}

CURLcode __wrap_curl_easy_recv(CURL *easy, void *data, size_t size, size_t *ret) {
        ssize_t n = recv(pair_of(easy)->ours, data, size, 0);

        if (n < 0)
                return errno == EAGAIN ? CURLE_AGAIN : CURLE_RECV_ERROR;
        *ret = (size_t) n;
        return CURLE_OK;
}

/* --- the two sides --- */

typedef struct Told {
        int status; /* -1: nothing was told yet */
        char failure[32], body[64];
        bool answered;
} Told;

static sd_event *event;
static HttpClient *client;

static int begin(void **state) {
        (void) state;
        n_pairs = n_told = 0;
        greeting = NULL;
        hangs_up = false;
        if (sd_event_new(&event) < 0)
                return -1;
        return http_client_new(&client,
                        event,
                        &(HttpPolicy){ .user_agent = "test", .answer_max = ANSWER_MAX });
}

static int end(void **state) {
        (void) state;
        client = http_client_free(client);
        event = sd_event_unref(event);
        for (size_t i = 0; i < n_pairs; i++) {
                (void) close_fd(pairs[i].theirs);
                if (pairs[i].ours >= 0)
                        return -1;
        }
        return 0;
}

static void on_done(const HttpAnswer *answer, void *userdata) {
        Told *told = userdata;

        assert_int_equal(told->status, -1);
        told->status = answer->status;
        told->answered = answer->answered;
        if (answer->failure)
                (void) snprintf(told->failure, sizeof(told->failure), "%s", answer->failure);
        (void) snprintf(told->body,
                        sizeof(told->body),
                        "%.*s",
                        (int) answer->body_size,
                        answer->body ? answer->body : "");
}

static HttpRequest request_of(const char *id, const char *party) {
        HttpRequest request = { .method = "GET",
                .url = strdup("https://relay.example/x"),
                .n_headers = 1,
                .party = party,
                .echoed = ECHO_NAME };

        assert_non_null(request.url);
        assert_true(asprintf(&request.headers[0], ECHO_NAME ": %s", id) > 0);
        return request;
}

static void send_for(const char *id, const char *party, Told *ret) {
        HttpRequest request = request_of(id, party);

        *ret = (Told){ .status = -1 };
        assert_int_equal(http_client_send(client, &request, on_done, ret), 0);
        assert_null(request.url);
}

/* Lets our side run until a condition holds. */
#define RUN_UNTIL(condition)                                                       \
        do {                                                                       \
                uint64_t _end = time_boot() + PATIENCE_SECONDS * USEC_PER_SEC;     \
                while (!(condition)) {                                             \
                        assert_true(time_boot() < _end);                           \
                        assert_true(sd_event_run(event, 10 * USEC_PER_MSEC) >= 0); \
                }                                                                  \
        } while (0)

static bool has_come(size_t i, const char *text) {
        char data[1024];
        ssize_t n = recv(pairs[i].theirs, data, sizeof(data), MSG_PEEK);

        return n > 0 && memmem(data, (size_t) n, text, strlen(text));
}

static void say(size_t i, const char *text) {
        assert_int_equal(send(pairs[i].theirs, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Takes a request, and answers it so. */
static void answer(size_t i, const char *id, const char *headers, const char *body) {
        char text[512], data[1024];

        RUN_UNTIL(i < n_pairs && has_come(i, id) && has_come(i, "\r\n\r\n"));
        assert_true(recv(pairs[i].theirs, data, sizeof(data), 0) > 0);
        (void) snprintf(text,
                        sizeof(text),
                        "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n%s",
                        headers,
                        strlen(body),
                        body);
        say(i, text);
}

static void assert_told(const Told *told, const char *body) {
        RUN_UNTIL(told->status >= 0);
        assert_int_equal(told->status, 200);
        assert_string_equal(told->body, body);
}

static void assert_failed(const Told *told, const char *failure, bool answered) {
        RUN_UNTIL(told->status >= 0);
        assert_int_equal(told->status, 0);
        assert_string_equal(told->failure, failure);
        assert_int_equal(told->answered, answered);
}

static const char stray[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";

/* --- promises --- */

static void a_request_that_cannot_be_written_stays_the_callers(void **state) {
        static const struct {
                const char *url, *header;
        } cases[] = {
                { "https://relay.example/", "X: a\r\nMailbox-Device-Claim: b" },
                { "https://relay.example/", "X: a\nb" },
                { "https://relay.example/", "X: a\rb" },
                { "https://relay.example/a b", "X: a" },
                { "https://relay.example/\r\nX: y", "X: a" },
                { "https://relay.example\r\n/", "X: a" },
                { "https://a@relay.example/", "X: a" },
                { "https:///x", "X: a" },
                { "http://relay.example/", "X: a" },
        };
        Told told = { .status = -1 };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                HttpRequest request = { .method = "GET",
                        .url = strdup(cases[i].url),
                        .headers = { strdup(cases[i].header) },
                        .n_headers = 1 };

                assert_int_equal(http_client_send(client, &request, on_done, &told), -EINVAL);
                assert_string_equal(request.url, cases[i].url);
                assert_string_equal(request.headers[0], cases[i].header);
                http_request_done(&request);
        }
        assert_true(sd_event_run(event, 0) >= 0);
        assert_int_equal(told.status, -1);
        assert_int_equal(n_pairs, 0);
}

static void a_connection_is_kept_only_after_an_answer_that_repeats_the_id(void **state) {
        static const struct {
                const char *headers;
                bool kept;
        } cases[] = {
                { ECHO_NAME ": one\r\n", true },
                { "request-id:\t ONE \r\n", true },
                { "", false },
                { ECHO_NAME ":\r\n", false },
                { ECHO_NAME ": on\r\n", false },
                { ECHO_NAME ": ones\r\n", false },
                { ECHO_NAME ": two\r\n", false },
                { "X-" ECHO_NAME ": one\r\n", false },
                { ECHO_NAME ": one\r\n" ECHO_NAME ": two\r\n", false },
                { ECHO_NAME ": one\r\nConnection: close\r\n", false },
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Told told;

                send_for("one", NULL, &told);
                answer(0, "one", cases[i].headers, "1");
                assert_told(&told, "1");
                send_for("two", NULL, &told);
                answer(cases[i].kept ? 0 : 1, "two", "", "2");
                assert_told(&told, "2");
                assert_int_equal(n_pairs, cases[i].kept ? 1 : 2);
                assert_int_equal(end(state), 0);
                assert_int_equal(begin(state), 0);
        }
}

static void what_comes_behind_an_answer_is_nobodys(void **state) {
        char headers[] = ECHO_NAME ": one\r\n";
        Told told;

        (void) state;
        send_for("one", NULL, &told);
        RUN_UNTIL(n_pairs == 1 && has_come(0, "\r\n\r\n"));
        say(0,
                        "HTTP/1.1 200 OK\r\n" ECHO_NAME ": one\r\nContent-Length: 1\r\n\r\n"
                        "1HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray");
        assert_told(&told, "1");

        /* The same, a moment later. */
        send_for("one", NULL, &told);
        answer(1, "one", headers, "2");
        assert_told(&told, "2");
        say(1, stray);
        send_for("three", NULL, &told);
        answer(2, "three", "", "3");
        assert_told(&told, "3");
        assert_int_equal(n_pairs, 3);
}

static void an_answer_that_begins_before_its_request_has_ended_is_none(void **state) {
        Told told, later;

        (void) state;
        send_for("one", NULL, &told);
        RUN_UNTIL(n_pairs == 1); /* and nothing was written yet */
        pairs[0].room = 10;
        RUN_UNTIL(has_come(0, "GET /x HTT"));
        say(0, stray);
        assert_failed(&told, "no-answer", true);
        assert_int_equal(n_pairs, 1);

        send_for("two", NULL, &later);
        answer(1, "two", "", "2");
        assert_told(&later, "2");
}

static void on_a_kept_connection_such_a_request_is_sent_on_another(void **state) {
        Told told;

        (void) state;
        send_for("one", NULL, &told);
        answer(0, "one", ECHO_NAME ": one\r\n", "1");
        assert_told(&told, "1");

        pairs[0].room = 10;
        send_for("two", NULL, &told);
        assert_true(has_come(0, "GET /x HTT"));
        say(0, stray);
        answer(1, "two", "", "2");
        assert_told(&told, "2");
        assert_int_equal(n_pairs, 2);
}

static void who_speaks_unasked_is_not_connected_to_again_and_again(void **state) {
        Told told;

        (void) state;
        greeting = stray;
        send_for("one", NULL, &told);
        assert_failed(&told, "no-answer", true);
        assert_int_equal(n_pairs, 1);

        greeting = NULL;
        send_for("two", NULL, &told);
        answer(1, "two", "", "2");
        assert_told(&told, "2");
}

static void who_hangs_up_before_it_is_asked_is_not_connected_to_again(void **state) {
        Told told;

        (void) state;
        hangs_up = true;
        send_for("one", NULL, &told);
        assert_failed(&told, "cut", false);
        assert_int_equal(n_pairs, 1);

        hangs_up = false;
        send_for("two", NULL, &told);
        answer(1, "two", "", "2");
        assert_told(&told, "2");
}

static void a_request_whose_kept_connection_ends_is_sent_once_more(void **state) {
        Told told;

        (void) state;
        send_for("one", NULL, &told);
        answer(0, "one", ECHO_NAME ": one\r\n", "1");
        assert_told(&told, "1");
        send_for("two", NULL, &told);
        assert_true(has_come(0, "two"));
        pairs[0].theirs = close_fd(pairs[0].theirs);
        RUN_UNTIL(n_pairs == 2 && has_come(1, "two"));
        pairs[1].theirs = close_fd(pairs[1].theirs);
        assert_failed(&told, "cut", false);
        assert_int_equal(n_pairs, 2);
}

static void parties_share_no_connection(void **state) {
        static const struct {
                const char *party;
                size_t connection;
        } cases[] = { { "adler", 0 },
                { "schwan", 1 },
                { NULL, 2 },
                { "adler", 0 },
                { "schwan", 1 },
                { NULL, 2 },
                { "adle", 3 } };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Told told;

                send_for("one", cases[i].party, &told);
                answer(cases[i].connection, "one", ECHO_NAME ": one\r\n", "1");
                assert_told(&told, "1");
        }
        assert_int_equal(n_pairs, 4);
}

static void a_failure_says_whether_somebody_answered(void **state) {
        static const struct {
                const char *says, *failure;
                bool answered;
        } cases[] = {
                { "NONSENSE\r\n\r\n", "answer-not-http", true },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                                "answer-not-http",
                                true },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "answer-too-large", true },
                { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx", "cut", false },
                { "", "cut", false },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Told told;

                send_for("one", NULL, &told);
                RUN_UNTIL(n_pairs == i + 1 && has_come(i, "\r\n\r\n"));
                say(i, cases[i].says);
                (void) shutdown(pairs[i].theirs, SHUT_WR);
                assert_failed(&told, cases[i].failure, cases[i].answered);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
                TEST(a_request_that_cannot_be_written_stays_the_callers),
                TEST(a_connection_is_kept_only_after_an_answer_that_repeats_the_id),
                TEST(what_comes_behind_an_answer_is_nobodys),
                TEST(an_answer_that_begins_before_its_request_has_ended_is_none),
                TEST(on_a_kept_connection_such_a_request_is_sent_on_another),
                TEST(who_speaks_unasked_is_not_connected_to_again_and_again),
                TEST(who_hangs_up_before_it_is_asked_is_not_connected_to_again),
                TEST(a_request_whose_kept_connection_ends_is_sent_once_more),
                TEST(parties_share_no_connection),
                TEST(a_failure_says_whether_somebody_answered),
#undef TEST
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
