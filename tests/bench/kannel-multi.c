/* The reference of the benchmark of Kannel: what a bare libcurl multi loop needs for the same
 * sendsms requests, with the header fields and the body that the channel's driver sends,
 * connections kept, and nothing done with an answer but to look at its status. The fields of each
 * request are ready before the clock starts. The result is one JSON line; CPU time is of this
 * process from the first request to the last answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "multi-loop.h"

enum { IN_FLIGHT_MAX = 64 };

static const char text[] = "Hotel Adler: your key is ready. Code 1234, tag K7QM.";

typedef struct Load {
        const char *url, *username, *password, *callback, *from, *to;
        size_t count, in_flight;

        struct curl_slist **headers; /* of each request */
        MultiLoop loop;
        CURL *idle[IN_FLIGHT_MAX];
        size_t n_idle, started, ended;
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

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        (void) data;
        (void) userdata;
        return size * n;
}

static void start(Load *load, CURL *easy) {
        (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, load->headers[load->started++]);
        multi_loop_add(&load->loop, easy);
}

static void run(Load *load) {
        CURL *easy;

        while (load->ended < load->count) {
                while (load->n_idle > 0 && load->started < load->count)
                        start(load, load->idle[--load->n_idle]);
                multi_loop_turn(&load->loop, UINT64_MAX);
                while ((easy = multi_loop_take(&load->loop, 202))) {
                        load->idle[load->n_idle++] = easy;
                        load->ended++;
                }
        }
}

static void prepare(Load *load) {
        multi_loop_init(&load->loop, load->in_flight, 0);
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

int main(int argc, char **argv) {
        static Load load;
        BenchSpan span;

        parse_arguments(argc, argv, &load);
        prepare(&load);
        bench_begin(&span, CLOCK_PROCESS_CPUTIME_ID);
        run(&load);
        bench_end(&span);
        bench_report(&span, load.count, "connections", load.loop.n_connections);
        return EXIT_SUCCESS;
}
