/* The reference of the benchmark of Kannel: what a bare libcurl multi loop needs for the same
 * sendsms requests, with the header fields and the body that the channel's driver sends,
 * connections kept, and nothing done with an answer but to look at its status. The fields of each
 * request are ready before the clock starts. The result is one JSON line; CPU time is of this
 * process from the first request to the last answer. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "bench.h"
#include "cleanup.h"
#include "time-text.h"

enum { IN_FLIGHT_MAX = 64 };

static const char text[] = "Hotel Adler: your key is ready. Code 1234, tag K7QM.";

typedef struct Load {
        const char *url, *username, *password, *callback, *from, *to;
        size_t count, in_flight;

        struct curl_slist **headers; /* of each request */
        CURLM *multi;
        int epoll;
        uint64_t timer; /* boot time at which libcurl wants to be called, 0: never */
        CURL *idle[IN_FLIGHT_MAX];
        size_t n_idle, started, ended;
        long n_connections;
} Load;

static void add(struct curl_slist **list, const char *name, const char *value) {
        char line[640];

        (void) snprintf(line, sizeof(line), "%s: %s", name, value);
        *list = curl_slist_append(*list, line);
        bench_must(*list, "memory");
}

static void prepare_headers(Load *load) {
        load->headers = calloc(load->count, sizeof(struct curl_slist *));
        bench_must(load->headers, "memory");
        for (size_t i = 0; i < load->count; i++) {
                struct curl_slist **list = &load->headers[i];
                char report[512];

                (void) snprintf(report,
                                sizeof(report),
                                "%s/dlr?message=msg_%026zu&segment=0&type=%%d&text=%%A",
                                load->callback,
                                i);
                add(list, "X-Kannel-Username", load->username);
                add(list, "X-Kannel-Password", load->password);
                add(list, "X-Kannel-From", load->from);
                add(list, "X-Kannel-To", load->to);
                add(list, "X-Kannel-Validity", "60");
                add(list, "X-Kannel-DLR-Mask", "31");
                add(list, "X-Kannel-DLR-URL", report);
                add(list, "Content-Type", "text/plain; charset=UTF-8");
                add(list, "X-Kannel-Coding", "0");
        }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known) {
        struct epoll_event event = { .data.fd = fd };
        Load *load = userdata;

        (void) easy;
        if (what == CURL_POLL_REMOVE)
                return epoll_ctl(load->epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -1 : 0;
        if (what & CURL_POLL_IN)
                event.events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                event.events |= EPOLLOUT;
        (void) curl_multi_assign(load->multi, fd, load);
        return epoll_ctl(load->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0 ? -1
                                                                                             : 0;
}

static int on_timer(CURLM *multi, long milliseconds, void *userdata) {
        Load *load = userdata;

        (void) multi;
        load->timer = milliseconds < 0 ? 0 : time_boot() + (uint64_t) milliseconds * USEC_PER_MSEC;
        return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        (void) data;
        (void) userdata;
        return size * n;
}

static void start(Load *load, CURL *easy) {
        (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, load->headers[load->started++]);
        bench_must(curl_multi_add_handle(load->multi, easy) == CURLM_OK, "adding a handle");
}

static void drain(Load *load) {
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(load->multi, &left))) {
                CURL *easy = message->easy_handle;
                long status = 0, n = 0;

                bench_must(message->data.result == CURLE_OK,
                                curl_easy_strerror(message->data.result));
                (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
                (void) curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &n);
                if (status != 202)
                        bench_fail("status %ld", status);
                load->n_connections += n;
                (void) curl_multi_remove_handle(load->multi, easy);
                load->ended++;
                load->idle[load->n_idle++] = easy;
        }
}

static void wait_and_act(Load *load) {
        uint64_t now = time_boot();
        struct epoll_event events[IN_FLIGHT_MAX];
        int running, n, milliseconds = 1000;

        if (load->timer != 0)
                milliseconds = load->timer > now ? (int) ((load->timer - now + 999) / 1000) : 0;
        n = epoll_wait(load->epoll, events, N_ELEMENTS(events), milliseconds);
        if (n < 0 && errno != EINTR)
                bench_fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
                int action = 0;

                if (events[i].events & EPOLLIN)
                        action |= CURL_CSELECT_IN;
                if (events[i].events & EPOLLOUT)
                        action |= CURL_CSELECT_OUT;
                if (events[i].events & (EPOLLERR | EPOLLHUP))
                        action |= CURL_CSELECT_ERR;
                (void) curl_multi_socket_action(load->multi, events[i].data.fd, action, &running);
        }
        if (load->timer != 0 && load->timer <= time_boot()) {
                load->timer = 0;
                (void) curl_multi_socket_action(load->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        drain(load);
}

static void loop(Load *load) {
        while (load->ended < load->count) {
                while (load->n_idle > 0 && load->started < load->count)
                        start(load, load->idle[--load->n_idle]);
                wait_and_act(load);
        }
}

static void prepare(Load *load) {
        bench_must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl");
        load->multi = curl_multi_init();
        load->epoll = epoll_create1(EPOLL_CLOEXEC);
        bench_must(load->multi && load->epoll >= 0, "the loop");
        (void) curl_multi_setopt(load->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        (void) curl_multi_setopt(load->multi, CURLMOPT_SOCKETDATA, load);
        (void) curl_multi_setopt(load->multi, CURLMOPT_TIMERFUNCTION, on_timer);
        (void) curl_multi_setopt(load->multi, CURLMOPT_TIMERDATA, load);
        (void) curl_multi_setopt(load->multi, CURLMOPT_MAXCONNECTS, (long) load->in_flight);
        for (size_t i = 0; i < load->in_flight; i++) {
                CURL *easy = curl_easy_init();

                bench_must(easy, "memory");
                (void) curl_easy_setopt(easy, CURLOPT_URL, load->url);
                (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
                (void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
                (void) curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
                (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDS, text);
                (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) sizeof(text) - 1);
                (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
                load->idle[load->n_idle++] = easy;
        }
        prepare_headers(load);
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "url", BENCH_TEXT, offsetof(Load, url) },
                { "username", BENCH_TEXT, offsetof(Load, username) },
                { "password", BENCH_TEXT, offsetof(Load, password) },
                { "callback", BENCH_TEXT, offsetof(Load, callback) },
                { "from", BENCH_TEXT, offsetof(Load, from) },
                { "to", BENCH_TEXT, offsetof(Load, to) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, in_flight) },
                { 0 },
        };

        if (bench_options(argc, argv, options, load) != argc || !load->url || !load->username ||
                        !load->password || !load->callback || !load->from || !load->to ||
                        load->count == 0 || load->in_flight == 0 || load->in_flight > IN_FLIGHT_MAX)
                bench_fail("usage: kannel-multi --url URL --username NAME --password WORD "
                           "--callback URL --from NUMBER --to NUMBER --count N --in-flight N");
}

static double processor_seconds(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
        static Load load;
        double processor, seconds;
        uint64_t begin;

        parse_arguments(argc, argv, &load);
        prepare(&load);
        processor = processor_seconds();
        begin = time_boot();
        loop(&load);
        seconds = (double) (time_boot() - begin) / 1e6;
        processor = processor_seconds() - processor;
        (void) printf("{\"requests\": %zu, \"seconds\": %.4f, \"rate\": %.1f, \"cpu_us\": %.2f, "
                      "\"connections\": %ld}\n",
                        load.count,
                        seconds,
                        (double) load.count / seconds,
                        1e6 * processor / (double) load.count,
                        load.n_connections);
        return EXIT_SUCCESS;
}
