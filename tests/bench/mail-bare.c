/* The reference of the benchmark of mail: what bare libcurl needs to hand in the same mail as
 * often, with its connections kept. Each connection has a thread with an easy handle, which is the
 * fastest that libcurl can do: it waits for the server's last word on a mail inside of its calls,
 * so that transfers of one multi handle wait for one another. The result is one JSON line; CPU time
 * is of this process from the first mail to the last answer. */
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "cleanup.h"
#include "smtp-outcome.h"

enum { THREADS_MAX = 64 };

typedef struct Load {
        const char *url, *ca_file, *username, *password, *from, *to, *envelope_id, *mail;
        size_t count, connections;

        char *data;
        size_t size;
        pthread_mutex_t mutex;
        size_t started;
        long n_connections;
} Load;

typedef struct Reader {
        const Load *load;
        size_t offset;
} Reader;

static size_t on_read(char *buffer, size_t size, size_t n, void *userdata) {
        Reader *reader = userdata;
        size_t left = reader->load->size - reader->offset, room = size * n;

        if (room > left)
                room = left;
        memcpy(buffer, reader->load->data + reader->offset, room);
        reader->offset += room;
        return room;
}

static CURL *make_handle(const Load *load, Reader *reader, struct curl_slist *recipients) {
        unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
        char from[SMTP_COMMAND_SIZE];
        CURL *easy = curl_easy_init();

        bench_must(easy, "memory");
        (void) curl_easy_setopt(easy, CURLOPT_URL, load->url);
        (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_PROXY, "");
        if (load->username) {
                (void) curl_easy_setopt(easy, CURLOPT_USE_SSL, (long) CURLUSESSL_ALL);
                (void) curl_easy_setopt(easy, CURLOPT_CAINFO, load->ca_file);
                (void) curl_easy_setopt(easy, CURLOPT_USERNAME, load->username);
                (void) curl_easy_setopt(easy, CURLOPT_PASSWORD, load->password);
        }
        (void) curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
        (void) curl_easy_setopt(easy, CURLOPT_READDATA, reader);
        (void) curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) load->size);
        smtp_write_from(version, true, load->from, load->envelope_id, from);
        (void) curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
        (void) curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients);
        return easy;
}

static bool take(Load *load) {
        bool taken;

        (void) pthread_mutex_lock(&load->mutex);
        taken = load->started < load->count;
        load->started += taken;
        (void) pthread_mutex_unlock(&load->mutex);
        return taken;
}

static void *run(void *userdata) {
        Load *load = userdata;
        Reader reader = { .load = load };
        char to[SMTP_COMMAND_SIZE];
        struct curl_slist *recipients;
        CURL *easy;

        smtp_write_recipient(curl_version_info(CURLVERSION_NOW)->version_num, true, load->to, to);
        recipients = curl_slist_append(NULL, to);
        easy = make_handle(load, &reader, recipients);
        while (take(load)) {
                long n = 0;
                CURLcode code;

                reader.offset = 0;
                code = curl_easy_perform(easy);
                bench_must(code == CURLE_OK, curl_easy_strerror(code));
                (void) curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &n);
                (void) pthread_mutex_lock(&load->mutex);
                load->n_connections += n;
                (void) pthread_mutex_unlock(&load->mutex);
        }
        curl_easy_cleanup(easy);
        curl_slist_free_all(recipients);
        return NULL;
}

static void read_mail(Load *load) {
        FILE *file = fopen(load->mail, "re");
        long size;

        bench_must(file && fseek(file, 0, SEEK_END) == 0, "the mail");
        size = ftell(file);
        bench_must(size > 0, "the mail");
        load->size = (size_t) size;
        load->data = malloc(load->size);
        bench_must(load->data && fseek(file, 0, SEEK_SET) == 0 &&
                                        fread(load->data, 1, load->size, file) == load->size,
                        "the mail");
        (void) fclose(file);
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "url", BENCH_TEXT, offsetof(Load, url) },
                { "ca-file", BENCH_TEXT, offsetof(Load, ca_file) },
                { "username", BENCH_TEXT, offsetof(Load, username) },
                { "password", BENCH_TEXT, offsetof(Load, password) },
                { "from", BENCH_TEXT, offsetof(Load, from) },
                { "to", BENCH_TEXT, offsetof(Load, to) },
                { "envelope-id", BENCH_TEXT, offsetof(Load, envelope_id) },
                { "mail", BENCH_TEXT, offsetof(Load, mail) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "connections", BENCH_NUMBER, offsetof(Load, connections) },
                { 0 },
        };

        if (bench_options(argc, argv, options, load) != argc || !load->url || !load->from ||
                        !load->to || !load->envelope_id || !load->mail || load->count == 0 ||
                        load->connections == 0 || load->connections > THREADS_MAX)
                bench_fail("usage: mail-bare --url URL [--ca-file FILE --username NAME --password "
                           "WORD] --from PATH --to PATH --envelope-id ID --mail FILE --count N "
                           "--connections N");
}

int main(int argc, char **argv) {
        static Load load = { .mutex = PTHREAD_MUTEX_INITIALIZER };
        pthread_t threads[THREADS_MAX];
        BenchSpan span;

        parse_arguments(argc, argv, &load);
        read_mail(&load);
        bench_must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl");
        bench_begin(&span, CLOCK_PROCESS_CPUTIME_ID);
        for (size_t i = 0; i < load.connections; i++)
                bench_must(pthread_create(&threads[i], NULL, run, &load) == 0, "a thread");
        for (size_t i = 0; i < load.connections; i++)
                (void) pthread_join(threads[i], NULL);
        bench_end(&span);
        bench_report(&span, load.count, "connections", load.n_connections);
        free(load.data);
        return EXIT_SUCCESS;
}
