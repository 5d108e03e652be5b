#include "webhook-queue.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "log.h"
#include "public-address.h"
#include "text.h"

enum {
        CONNECT_SECONDS = 5,
        TOTAL_SECONDS = 10,
        ANSWER_MAX = 8192,
        WAIT_MSEC = 60 * 1000, /* somebody always wakes the thread earlier when there is work */
};

static const char system_ca_file[] = "/etc/ssl/certs/ca-certificates.crt";

typedef struct Notice Notice;
struct Notice {
        Notice *next;
        char url[WEBHOOK_URL_MAX + 1];
        char body[96];
        size_t n_answered;
};

struct WebhookQueue {
        CURLM *multi;
        struct curl_slist *headers;
        const char *ca_file;
        bool allow_private;

        pthread_t thread;
        bool has_thread;
        pthread_mutex_t mutex; /* for all below */
        Notice *first, **last;
        unsigned n_waiting;
        WebhookCounts counts;
        bool stop;

        CURL *running[WEBHOOK_RUNNING_MAX]; /* the thread's own, as is n_running */
        size_t n_running;
        bool failing; /* the last one was not delivered, and the log says so */
};

/* Asked for each address after its name was resolved, so that a name that means one address now and
 * another one later gains nothing. */
static curl_socket_t on_open_socket(
                void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        WebhookQueue *queue = userdata;

        (void) purpose;
        if (!queue->allow_private && !public_address_is(&address->addr))
                return CURL_SOCKET_BAD;
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_answer(char *data, size_t size, size_t n, void *userdata) {
        Notice *notice = userdata;

        (void) data;
        notice->n_answered += size * n;
        return notice->n_answered > ANSWER_MAX ? 0 : size * n;
}

static CURLcode set_policy(CURL *easy, WebhookQueue *queue) {
        const struct {
                CURLoption option;
                long value;
        } numbers[] = {
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_FOLLOWLOCATION, 0 },
                { CURLOPT_PATH_AS_IS, 1 },
                { CURLOPT_NETRC, CURL_NETRC_IGNORED },
                { CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
                { CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
                { CURLOPT_SSL_VERIFYPEER, 1 },
                { CURLOPT_SSL_VERIFYHOST, 2 },
                { CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS },
                { CURLOPT_TIMEOUT, TOTAL_SECONDS },
        };
        const struct {
                CURLoption option;
                const char *value;
        } texts[] = {
                { CURLOPT_PROTOCOLS_STR, "https" },
                { CURLOPT_PROXY, "" },
                { CURLOPT_SSL_CIPHER_LIST, "ECDHE+AESGCM:ECDHE+CHACHA20" },
                { CURLOPT_CAINFO, queue->ca_file ? queue->ca_file : system_ca_file },
                { CURLOPT_CAPATH, NULL }, /* or the issuers would be read for each connection */
                { CURLOPT_USERAGENT, "vestibule-relay/" VESTIBULE_VERSION },
        };
        CURLcode code = CURLE_OK;

        for (size_t i = 0; code == CURLE_OK && i < N_ELEMENTS(numbers); i++)
                code = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
        for (size_t i = 0; code == CURLE_OK && i < N_ELEMENTS(texts); i++)
                code = curl_easy_setopt(easy, texts[i].option, texts[i].value);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, queue);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, queue->headers);
        return code;
}

static CURLcode set_notice(CURL *easy, Notice *notice) {
        CURLcode code;

        code = curl_easy_setopt(easy, CURLOPT_URL, notice->url);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, notice->body);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, notice);
        if (code == CURLE_OK)
                code = curl_easy_setopt(easy, CURLOPT_PRIVATE, notice);
        return code;
}

static void count(WebhookQueue *queue, uint64_t *counter) {
        (void) pthread_mutex_lock(&queue->mutex);
        (*counter)++;
        (void) pthread_mutex_unlock(&queue->mutex);
}

static void start(WebhookQueue *queue, Notice *notice) {
        CURL *easy = curl_easy_init();

        if (easy && set_policy(easy, queue) == CURLE_OK && set_notice(easy, notice) == CURLE_OK &&
                        curl_multi_add_handle(queue->multi, easy) == CURLM_OK) {
                queue->running[queue->n_running++] = easy;
                return;
        }
        curl_easy_cleanup(easy);
        free(notice);
        count(queue, &queue->counts.n_failed);
}

static void end(WebhookQueue *queue, CURL *easy) {
        char *notice = NULL;

        for (size_t i = 0; i < queue->n_running; i++)
                if (queue->running[i] == easy) {
                        queue->running[i] = queue->running[--queue->n_running];
                        break;
                }
        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &notice);
        (void) curl_multi_remove_handle(queue->multi, easy);
        curl_easy_cleanup(easy);
        free(notice);
}

/* At each change, not at each notice: who is told what stays out of the log. */
static void tell(WebhookQueue *queue, bool delivered, const char *why) {
        if (delivered && queue->failing)
                log_notice("notifications are delivered again");
        else if (!delivered && !queue->failing)
                log_warning("a notification was not delivered: %s", why);
        queue->failing = !delivered;
}

/* True when something ended, so that there is room for what waits. */
static bool collect(WebhookQueue *queue) {
        bool has_ended = false;
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(queue->multi, &left))) {
                CURL *easy = message->easy_handle;
                CURLcode code = message->data.result;
                bool delivered;
                long status = 0;

                if (message->msg != CURLMSG_DONE)
                        continue;
                if (code == CURLE_OK)
                        (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
                delivered = status >= 200 && status < 300;
                tell(queue,
                                delivered,
                                code == CURLE_OK ? "the receiver refuses it"
                                                 : curl_easy_strerror(code));
                count(queue, delivered ? &queue->counts.n_delivered : &queue->counts.n_failed);
                end(queue, easy);
                has_ended = true;
        }
        return has_ended;
}

/* NULL: nothing waits. *ret_stop: the queue is to end. */
static Notice *take(WebhookQueue *queue, bool *ret_stop) {
        Notice *notice = NULL;

        (void) pthread_mutex_lock(&queue->mutex);
        *ret_stop = queue->stop;
        if (!queue->stop && queue->first) {
                notice = queue->first;
                queue->first = notice->next;
                if (!queue->first)
                        queue->last = &queue->first;
                queue->n_waiting--;
        }
        (void) pthread_mutex_unlock(&queue->mutex);
        return notice;
}

static void *thread_main(void *userdata) {
        WebhookQueue *queue = userdata;
        bool stop = false;
        int running;

        while (!stop) {
                Notice *notice = NULL;

                while (queue->n_running < N_ELEMENTS(queue->running) &&
                                (notice = take(queue, &stop)))
                        start(queue, notice);
                if (queue->n_running == N_ELEMENTS(queue->running)) {
                        (void) pthread_mutex_lock(&queue->mutex);
                        stop = queue->stop;
                        (void) pthread_mutex_unlock(&queue->mutex);
                }
                (void) curl_multi_perform(queue->multi, &running);
                if (!collect(queue) && !stop)
                        (void) curl_multi_poll(queue->multi, NULL, 0, WAIT_MSEC, NULL);
        }
        while (queue->n_running > 0)
                end(queue, queue->running[0]);
        return NULL;
}

static int start_thread(WebhookQueue *queue) {
        sigset_t all, before;
        int r;

        (void) sigfillset(&all); /* signals are the loop's */
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&queue->thread, NULL, thread_main, queue);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        queue->has_thread = r == 0;
        return -r;
}

int webhook_queue_new(WebhookQueue **ret, const WebhookQueueOptions *options) {
        _cleanup_(webhook_queue_freep) WebhookQueue *queue = NULL;
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -EINVAL;
        queue = calloc(1, sizeof(*queue));
        if (!queue)
                return -ENOMEM;
        (void) pthread_mutex_init(&queue->mutex, NULL);
        queue->last = &queue->first;
        queue->ca_file = options->ca_file;
        queue->allow_private = options->allow_private;

        queue->multi = curl_multi_init();
        queue->headers = curl_slist_append(NULL, "Content-Type: application/json");
        if (!queue->multi || !queue->headers)
                return -ENOMEM;
        if (curl_multi_setopt(queue->multi,
                            CURLMOPT_MAX_TOTAL_CONNECTIONS,
                            (long) WEBHOOK_CONNECTIONS_MAX) != CURLM_OK ||
                        curl_multi_setopt(queue->multi,
                                        CURLMOPT_MAX_HOST_CONNECTIONS,
                                        (long) WEBHOOK_CONNECTIONS_PER_HOST) != CURLM_OK)
                return -EINVAL;
        r = start_thread(queue);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(queue);
        return 0;
}

WebhookQueue *webhook_queue_free(WebhookQueue *queue) {
        if (!queue)
                return NULL;
        if (queue->has_thread) {
                (void) pthread_mutex_lock(&queue->mutex);
                queue->stop = true;
                (void) pthread_mutex_unlock(&queue->mutex);
                (void) curl_multi_wakeup(queue->multi);
                (void) pthread_join(queue->thread, NULL);
        }
        for (Notice *n = queue->first, *next; n; n = next) {
                next = n->next;
                free(n);
        }
        (void) curl_multi_cleanup(queue->multi);
        curl_slist_free_all(queue->headers);
        (void) pthread_mutex_destroy(&queue->mutex);
        free(queue);
        curl_global_cleanup();
        return NULL;
}

void webhook_queue_add(WebhookQueue *queue, const char *url, const uint8_t mailbox[RELAY_ID_SIZE]) {
        char id[UUID_TEXT_SIZE];
        Notice *notice;
        bool is_full;

        if (strlen(url) > WEBHOOK_URL_MAX)
                return;
        notice = calloc(1, sizeof(*notice));
        if (!notice)
                return;
        relay_id_text(mailbox, id);
        (void) snprintf(notice->url, sizeof(notice->url), "%s", url);
        (void) snprintf(notice->body,
                        sizeof(notice->body),
                        "{\"type\":\"mailbox.updated\",\"mailbox\":\"%s\"}",
                        id);

        (void) pthread_mutex_lock(&queue->mutex); /* which the thread holds for moments only */
        is_full = queue->n_waiting >= WEBHOOK_QUEUE_MAX;
        if (is_full)
                queue->counts.n_dropped++;
        else {
                *queue->last = notice;
                queue->last = &notice->next;
                queue->n_waiting++;
        }
        (void) pthread_mutex_unlock(&queue->mutex);
        if (is_full)
                free(notice);
        else
                (void) curl_multi_wakeup(queue->multi);
}

WebhookCounts webhook_queue_counts(WebhookQueue *queue) {
        WebhookCounts counts;

        (void) pthread_mutex_lock(&queue->mutex);
        counts = queue->counts;
        (void) pthread_mutex_unlock(&queue->mutex);
        return counts;
}
