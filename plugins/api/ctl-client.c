/* How vestibulectl asks: over HTTP to a tenant's address or an operator's socket, with a token that
 * is in a file, and again where an answer may have been lost. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

#include "credential.h"
#include "ctl.h"
#include "json-quick.h"
#include "json-raw.h"
#include "json-wipe.h"
#include "text.h"

enum {
        ANSWER_MAX = 1024 * 1024,
        ANSWER_DEPTH_MAX = 40, /* more than the content of a message has */
        TRIES_MAX = 5,
        ASK_SECONDS = 70,
        SILENT_SECONDS = 60, /* until a stream is given up, of which there is a sign every 15 */
};

void ctl_next_page(const CtlAnswer *answer, char **cursor) {
        const char *next = ctl_text(answer->body, "cursor");

        free(*cursor);
        *cursor = next && next[0] ? strdup(next) : NULL;
        if (next && next[0] && !*cursor)
                abort(); /* a list that is cut off would look whole */
}

void ctl_answer_done(CtlAnswer *answer) {
        json_decref(answer->body);
        *answer = (CtlAnswer){ 0 };
}

static int token_file_read(const char *path, Secret *ret, char *error, size_t size) {
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_(secret_done) Secret text = SECRET_NULL;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0) {
                (void) snprintf(error,
                                size,
                                "cannot read the token file %s: %s",
                                path,
                                strerror(errno));
                return errno == ENOENT ? EX_NOINPUT : EX_NOPERM;
        }
        if (S_ISREG(st.st_mode) && (st.st_mode & 0077)) {
                (void) snprintf(error, size, "others can read the token file: chmod 600 %s", path);
                return EX_NOPERM;
        }
        if (secret_new(&text, 512) < 0)
                return EX_OSERR;
        n = read(fd, text.data, text.size);
        if (n < 0)
                n = 0;
        text.data[n] = 0;
        text.data[strcspn((char *) text.data, "\r\n \t")] = 0;
        if (!text.data[0]) {
                (void) snprintf(error, size, "there is no token in %s", path);
                return EX_DATAERR;
        }
        *ret = text;
        text = SECRET_NULL;
        return 0;
}

/* From --token-file, else the credential `token`, else ~/.config/vestibule/token. Never from an
 * argument or the environment: both are readable by others. */
static int token_read(const CtlOptions *options, Secret *ret, char *error, size_t size) {
        const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
        char path[4096];

        if (options->token_file)
                return token_file_read(options->token_file, ret, error, size);
        if (credential_read_line("token", ret) == 0)
                return 0;
        if (config && config[0] == '/')
                (void) snprintf(path, sizeof(path), "%s/vestibule/token", config);
        else
                (void) snprintf(path, sizeof(path), "%s/.config/vestibule/token", home ? home : "");
        if (access(path, F_OK) < 0) {
                (void) snprintf(error,
                                size,
                                "there is no token: write it into %s (chmod 600), or name a file "
                                "with "
                                "--token-file",
                                path);
                return EX_NOINPUT;
        }
        return token_file_read(path, ret, error, size);
}

int ctl_token_check(const CtlOptions *options, char *ret, size_t size) {
        _cleanup_(secret_done) Secret token = SECRET_NULL;

        return token_read(options, &token, ret, size);
}

typedef struct Received {
        char *data;
        size_t size;
        CtlAnswer *answer;

        /* of a stream */
        CURL *curl;
        CtlPiece on_piece;
        void *userdata;
        bool ended;
} Received;

static size_t on_data(char *data, size_t one, size_t n, void *userdata) {
        Received *received = userdata;
        char *more;

        (void) one;
        if (received->on_piece) {
                long status = 0;

                (void) curl_easy_getinfo(received->curl, CURLINFO_RESPONSE_CODE, &status);
                if (status == 200) {
                        received->ended = !received->on_piece(data, n, received->userdata);
                        return received->ended ? 0 : n;
                }
        }
        if (received->size + n > ANSWER_MAX)
                return 0;
        more = realloc(received->data, received->size + n + 1);
        if (!more)
                return 0;
        memcpy(more + received->size, data, n);
        received->data = more;
        received->size += n;
        more[received->size] = 0;
        return n;
}

static size_t on_header(char *data, size_t one, size_t n, void *userdata) {
        Received *received = userdata;
        char line[128];

        (void) one;
        (void) snprintf(line, sizeof(line), "%.*s", (int) (n < 127 ? n : 127), data);
        if (strncasecmp(line, "Retry-After:", 12) == 0)
                received->answer->retry_after = strtol(line + 12, NULL, 10);
        if (strncasecmp(line, "Date:", 5) == 0) {
                time_t date = curl_getdate(line + 5, NULL);

                received->answer->date = date > 0 ? date : 0;
        }
        return n;
}

static const char *api_url(const CtlOptions *options) {
        return options->url ? options->url : CTL_URL;
}

static bool is_unix(const char *url) {
        return strncmp(url, "unix:", 5) == 0;
}

/* Whether a token may travel there in clear. The host is cut out by whom it is given to, so that
 * nothing can be put before it that looks like this machine. */
static bool is_loopback(const char *url) {
        CURLU *parts = curl_url();
        struct in_addr address;
        char *host = NULL;
        bool is = false;

        if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
                is = strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
                     (inet_pton(AF_INET, host, &address) == 1 &&
                                     ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET);
        curl_free(host);
        curl_url_cleanup(parts);
        return is;
}

static int headers_make(const CtlOptions *options,
                const char *url,
                bool has_body,
                const char *key,
                struct curl_slist **ret,
                CtlAnswer *answer) {
        _cleanup_(secret_done) Secret token = SECRET_NULL, line = SECRET_NULL;
        char text[160];
        int r;

        if (has_body)
                *ret = curl_slist_append(*ret, "Content-Type: application/json");
        if (key) {
                (void) snprintf(text, sizeof(text), "Idempotency-Key: \"%s\"", key);
                *ret = curl_slist_append(*ret, text);
        }
        if (is_unix(url) && !options->token_file)
                return 0; /* the socket says who we are; a token would make a tenant of us */
        r = token_read(options, &token, answer->error, sizeof(answer->error));
        if (r == EX_NOINPUT && !options->token_file)
                return 0; /* health needs none; the API will say so where one is needed */
        if (r != 0)
                return r;
        if (!is_unix(url) && strncasecmp(url, "https://", 8) != 0 && !is_loopback(url)) {
                (void) snprintf(answer->error,
                                sizeof(answer->error),
                                "the token would travel in clear to %s: use https",
                                url);
                return EX_USAGE;
        }
        if (secret_new(&line, token.size + 32) < 0)
                return EX_OSERR;
        (void) snprintf((char *) line.data,
                        line.size,
                        "Authorization: Bearer %s",
                        (char *) token.data);
        *ret = curl_slist_append(*ret, (char *) line.data);
        return 0;
}

static void connection_options(CURL *curl, const char *url, const char *path) {
        char full[2048];

        if (is_unix(url)) {
                (void) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, url + 5);
                (void) snprintf(full, sizeof(full), "http://localhost%s", path);
        } else {
                size_t n = strlen(url);

                (void) snprintf(full,
                                sizeof(full),
                                "%.*s%s",
                                (int) (n > 0 && url[n - 1] == '/' ? n - 1 : n),
                                url,
                                path);
        }
        (void) curl_easy_setopt(curl, CURLOPT_URL, full);
        (void) curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        (void) curl_easy_setopt(curl, CURLOPT_PROXY, "");
        (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 5L);
        (void) curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
        (void) curl_easy_setopt(curl, CURLOPT_USERAGENT, "vestibulectl/" VESTIBULE_VERSION);
}

/* The content of messages is opaque: what a recipient wrote is shown with the bytes it came with.
 */
static bool messages_keep(json_t *body, const char *text, size_t size) {
        const size_t n = json_array_size(json_object_get(body, "messages"));

        for (size_t i = 0; i < n; i++) {
                char path[64];
                JsonRaw raw;

                (void) snprintf(path, sizeof(path), "messages/%zu/provisioning/content", i);
                if (json_raw_find(text, size, path, &raw) && json_raw_keep(&body, path, &raw) < 0)
                        return false;
        }
        return true;
}

/* NULL: there is none, or it cannot be read. */
static json_t *body_read(const char *text, size_t size) {
        json_auto_t *body = NULL;
        JsonProblem problem;
        JsonRaw raw;

        if (!text || json_raw_read(text, size, ANSWER_DEPTH_MAX, "", &body, &raw, &problem) != 0 ||
                        !messages_keep(body, text, size))
                return NULL;
        return TAKE_PTR(body);
}

static int ask_prepared(
                CURL *curl, const char *url, CtlPiece on_piece, void *userdata, CtlAnswer *answer) {
        Received received = {
                .answer = answer, .curl = curl, .on_piece = on_piece, .userdata = userdata
        };
        char detail[CURL_ERROR_SIZE] = "";
        CURLcode code;

        (void) curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
        (void) curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
        (void) curl_easy_setopt(curl, CURLOPT_HEADERDATA, &received);
        (void) curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
        code = curl_easy_perform(curl);
        if (code == CURLE_WRITE_ERROR && received.ended)
                code = CURLE_OK;
        if (code == CURLE_OK) {
                (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
                answer->body = body_read(received.data, received.size);
        } else if (is_unix(url) && code == CURLE_COULDNT_CONNECT)
                (void) snprintf(answer->error,
                                sizeof(answer->error),
                                "no answer from %s; is vestibule-api@operators running, and are "
                                "you root or in group vestibule-operator?",
                                url);
        else {
                (void) snprintf(answer->reason,
                                sizeof(answer->reason),
                                "%s",
                                detail[0] ? detail : curl_easy_strerror(code));
                (void) snprintf(answer->error,
                                sizeof(answer->error),
                                "no answer from %s: %s",
                                url,
                                answer->reason);
        }
        if (received.data)
                explicit_bzero(received.data, received.size); /* it may hold a code */
        free(received.data);
        return code == CURLE_OK ? 0 : EX_UNAVAILABLE;
}

/* A request, all but its body and its patience. */
static int request_new(const CtlOptions *options,
                const char *path,
                bool has_body,
                const char *key,
                CURL **ret,
                struct curl_slist **ret_headers,
                CtlAnswer *answer) {
        const char *url = api_url(options);
        struct curl_slist *headers = NULL;
        CURL *curl;
        int r;

        *answer = (CtlAnswer){ 0 };
        r = headers_make(options, url, has_body, key, &headers, answer);
        if (r != 0) {
                curl_slist_free_all(headers);
                return r;
        }
        curl = curl_easy_init();
        if (!curl) {
                curl_slist_free_all(headers);
                return EX_OSERR;
        }
        connection_options(curl, url, path);
        (void) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        *ret = curl;
        *ret_headers = headers;
        return 0;
}

int ctl_ask(const CtlOptions *options,
                const char *method,
                const char *path,
                const json_t *body,
                const char *key,
                long seconds,
                CtlAnswer *ret) {
        _cleanup_(json_wipe_freep) char *text = json_quick_text(body);
        struct curl_slist *headers;
        CURL *curl;
        int r;

        r = request_new(options, path, text != NULL, key, &curl, &headers, ret);
        if (r != 0)
                return r;
        (void) curl_easy_setopt(curl, CURLOPT_TIMEOUT, seconds);
        if (streq(method, "POST"))
                (void) curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text ? text : "");
        r = ask_prepared(curl, api_url(options), NULL, NULL, ret);
        curl_easy_cleanup(curl);
        curl_slist_free_all(headers);
        return r;
}

int ctl_stream(const CtlOptions *options,
                const char *path,
                CtlPiece on_piece,
                void *userdata,
                CtlAnswer *ret) {
        struct curl_slist *headers;
        CURL *curl;
        int r;

        r = request_new(options, path, false, NULL, &curl, &headers, ret);
        if (r != 0)
                return r;
        (void) curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        (void) curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long) SILENT_SECONDS);
        r = ask_prepared(curl, api_url(options), on_piece, userdata, ret);
        curl_easy_cleanup(curl);
        curl_slist_free_all(headers);
        return r;
}

int ctl_refused(const CtlAnswer *answer) {
        _cleanup_(freep) char *title = ctl_plain(ctl_text(answer->body, "title"));
        _cleanup_(freep) char *detail = ctl_plain(ctl_text(answer->body, "detail"));

        (void) fprintf(stderr,
                        "vestibulectl: %s (%ld)%s%s\n",
                        title[0] ? title : "refused",
                        answer->status,
                        detail[0] ? ": " : "",
                        detail);
        switch (answer->status) {
        case 401:
        case 403:
                return EX_NOPERM;
        case 404:
                return EX_NOINPUT;
        case 429:
        case 503:
                return EX_TEMPFAIL;
        default:
                return answer->status >= 500 ? EX_SOFTWARE : EX_DATAERR;
        }
}

static void say_repeating(const CtlOptions *options, const CtlAnswer *answer, unsigned pause) {
        _cleanup_(freep) char *title = ctl_plain(ctl_text(answer->body, "title"));

        if (answer->reason[0])
                (void) fprintf(stderr,
                                "vestibulectl: no answer from %s (%s)",
                                api_url(options),
                                answer->reason);
        else if (answer->error[0])
                (void) fprintf(stderr, "vestibulectl: %s", answer->error);
        else
                (void) fprintf(stderr,
                                "vestibulectl: %s (%ld)",
                                title[0] ? title : "refused",
                                answer->status);
        (void) fprintf(stderr, "; trying again in %u s\n", pause);
}

/* Somebody who only looks is better told at once. */
static bool may_repeat(const char *method, const char *path) {
        return streq(method, "POST") || strstr(path, "wait=");
}

int ctl_ask_firmly(const CtlOptions *options,
                const char *method,
                const char *path,
                const json_t *body,
                CtlAnswer *ret) {
        char key[UUID_TEXT_SIZE] = "";
        int r = EX_SOFTWARE;

        if (streq(method, "POST"))
                text_uuid4_random(key);
        for (unsigned try = 1; try <= TRIES_MAX; try++) {
                unsigned pause = 1u << (try - 1);

                r = ctl_ask(options, method, path, body, key[0] ? key : NULL, ASK_SECONDS, ret);
                if (r == 0 && ret->status >= 200 && ret->status <= 299)
                        return 0;
                if (!may_repeat(method, path) || try == TRIES_MAX || ret->retry_after > 30 ||
                                (r == 0 ? ret->status != 503 : r != EX_UNAVAILABLE))
                        break;
                if (ret->retry_after > 0)
                        pause = (unsigned) ret->retry_after;
                say_repeating(options, ret, pause);
                ctl_answer_done(ret);
                (void) sleep(pause);
        }
        if (r == 0)
                return ctl_refused(ret);
        (void) fprintf(stderr,
                        "vestibulectl: %s%s\n",
                        ret->error,
                        ret->reason[0] ? "; `vestibulectl doctor` says what is wrong" : "");
        return r;
}
