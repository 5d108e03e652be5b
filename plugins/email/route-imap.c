/* Mail from an IMAP mailbox, by looking into it every `poll_seconds`: for hosted mailboxes, where
 * there is no other way. Always over TLS with a verified certificate.
 *
 * What was taken bears a mark at the server (imap-session.h), so there is nothing to remember here:
 * after a crash between the gateway's ack and the mark the same mail is handed in again, under the
 * same identity. Nothing is deleted, and what is too large is marked without being fetched.
 *
 * libcurl makes the connection (names, addresses, TLS) and carries octets; what they say is
 * imap-session.h's. What is known about a mail holds for its UID under one UIDVALIDITY. */
#include <assert.h>
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#include "cleanup.h"
#include "credential.h"
#include "curl-loop.h"
#include "imap-session.h"
#include "log.h"
#include "mail-read.h"
#include "mail-route.h"
#include "plugin.h"
#include "time-text.h"

/* The tests have no time to lose. */
#ifndef ROUTE_IMAP_COMMAND_SECONDS
#define ROUTE_IMAP_COMMAND_SECONDS 600 /* for a whole answer */
#endif

enum {
        CONNECT_SECONDS = 30,
        SILENCE_SECONDS = 60, /* of a server that owes an answer */
        RETRY_MIN_SECONDS = 5,
        RETRY_MAX_SECONDS = 300,
        RETRY_PASSWORD_SECONDS = 60, /* at least: servers lock out who tries often */
        AGAIN_MAX_SECONDS = 300,
        OPEN_MAX = 16, /* mails at the channel */
        HELD_MAX = 16 * 1024 * 1024,
        QUEUE_MAX = IMAP_FOUND_MAX - 1, /* mails of one search: one more says that there are more */
        KNOWN_MAX = 10000, /* mails that wait; beyond that, whoever is not known waits as well */
        READ_SIZE = 64 * 1024,
        READS_MAX = 64, /* in one turn of the loop */
};

typedef enum MailState {
        MAIL_HANDED, /* at the channel */
        MAIL_LATER,  /* to be handed in again */
        MAIL_MARK,   /* settled, and to be marked */
        MAIL_MARKED, /* the next search has to show that it is */
} MailState;

typedef struct Mail {
        uint32_t uid;            /* the key in MailRoute.mails, hence first */
        TAILQ_ENTRY(Mail) entry; /* in the order of coming */
        uint64_t token;
        MailState state;
        bool refused; /* of MARK and MARKED */
        bool strange; /* of HANDED: its UID means something else by now */
        char *data;   /* of HANDED */
        size_t size;
        uint64_t due;  /* of LATER and MARK, CLOCK_BOOTTIME */
        uint64_t poll; /* the last that found it */
        unsigned delay;
} Mail;

struct MailRoute {
        EmailChannel *channel;
        size_t number; /* among the channel's */
        sd_event *event;
        sd_event_source *timer, *work, *io;
        CurlLoop *loop;
        CURL *easy; /* the connection; NULL: there is none */
        curl_socket_t fd;
        ImapSession *session; /* NULL: not connected yet */
        char *url, *folder, *user, *ca_file;
        Secret password;
        unsigned poll_seconds;

        void *mails; /* a tree of tsearch(3) */
        TAILQ_HEAD(, Mail) order;
        size_t n_mails, n_open, held;
        uint64_t last_token;
        uint32_t validity; /* of what is known; 0: nothing is */

        uint32_t queue[QUEUE_MAX]; /* what a search found */
        size_t n_queue, queue_at;
        uint32_t cursor; /* where to search on; 0: all was searched */
        uint64_t poll;   /* counts them */
        uint64_t due;    /* the next poll, or the next try to connect */
        unsigned retry;  /* seconds */
        uint64_t command_since, last_octet;
        bool up, told;
        bool forgetful; /* that the server does not keep marks was said */
        bool running;
        char buffer[READ_SIZE];
};

static void route_run(MailRoute *route);

/* --- what is known about mails --- */

static int compare_uids(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

        return (x > y) - (x < y);
}

static Mail *mail_find(MailRoute *route, uint32_t uid) {
        void *node = tfind(&uid, &route->mails, compare_uids);

        return node ? *(Mail **) node : NULL;
}

static Mail *mail_get(MailRoute *route, uint32_t uid) {
        Mail *mail = mail_find(route, uid);

        if (mail)
                return mail;
        mail = calloc(1, sizeof(*mail));
        if (!mail)
                return NULL;
        mail->uid = uid;
        if (!tsearch(mail, &route->mails, compare_uids)) {
                free(mail);
                return NULL;
        }
        mail->token = ++route->last_token;
        mail->state = MAIL_LATER;
        mail->poll = route->poll;
        TAILQ_INSERT_TAIL(&route->order, mail, entry);
        route->n_mails++;
        return mail;
}

static void mail_drop_data(MailRoute *route, Mail *mail) {
        if (mail->data)
                route->held -= mail->size;
        free(mail->data);
        mail->data = NULL;
        mail->size = 0;
}

/* The tree holds no stranger: its UID may be somebody else's there. */
static void mail_forget_uid(MailRoute *route, Mail *mail) {
        if (!mail->strange)
                (void) tdelete(mail, &route->mails, compare_uids);
        mail->strange = true;
}

static void mail_free(MailRoute *route, Mail *mail) {
        mail_drop_data(route, mail);
        mail_forget_uid(route, mail);
        TAILQ_REMOVE(&route->order, mail, entry);
        route->n_mails--;
        free(mail);
}

static void mail_wait(const MailRoute *route, Mail *mail, MailState state) {
        mail->delay = mail->delay == 0 ? route->poll_seconds : 2 * mail->delay;
        if (mail->delay > AGAIN_MAX_SECONDS)
                mail->delay = AGAIN_MAX_SECONDS;
        mail->due = time_boot() + mail->delay * USEC_PER_SEC;
        mail->state = state;
}

static void mail_settled(Mail *mail, bool refused) {
        mail->state = MAIL_MARK;
        mail->refused = refused;
        mail->delay = 0;
        mail->due = 0;
}

/* UIDs mean other mails than before. What is at the channel comes again under its new one. */
static void forget_uids(MailRoute *route) {
        Mail *mail, *next;

        for (mail = TAILQ_FIRST(&route->order); mail; mail = next) {
                next = TAILQ_NEXT(mail, entry);
                if (mail->state == MAIL_HANDED)
                        mail_forget_uid(route, mail);
                else
                        mail_free(route, mail);
        }
}

/* A poll has seen the whole mailbox: what it did not find bears its mark, or is gone. */
static void forget_absent(MailRoute *route) {
        Mail *mail, *next;

        for (mail = TAILQ_FIRST(&route->order); mail; mail = next) {
                next = TAILQ_NEXT(mail, entry);
                if ((mail->state == MAIL_LATER || mail->state == MAIL_MARKED) &&
                                mail->poll != route->poll)
                        mail_free(route, mail);
        }
}

/* --- what is to be fetched --- */

static bool has_room(const MailRoute *route) {
        return route->n_open < OPEN_MAX && route->held < HELD_MAX &&
               !email_channel_is_busy(route->channel);
}

/* The next UID that is to be fetched; 0: none. */
static uint32_t next_in_queue(MailRoute *route) {
        uint64_t now = time_boot();

        while (route->queue_at < route->n_queue) {
                uint32_t uid = route->queue[route->queue_at];
                const Mail *mail = mail_find(route, uid);

                if (mail ? mail->state == MAIL_LATER && mail->due <= now
                         : route->n_mails < KNOWN_MAX)
                        return uid;
                route->queue_at++;
        }
        return 0;
}

/* --- the connection --- */

static void route_tell(MailRoute *route, bool up, const char *reason) {
        if (route->told && route->up == up)
                return;
        route->told = true;
        route->up = up;
        email_channel_route(route->channel, route->number, up, reason);
}

/* A server that trickles is not silent, and never done. */
static uint64_t answer_due(const MailRoute *route) {
        uint64_t silent = route->last_octet + SILENCE_SECONDS * USEC_PER_SEC;
        uint64_t slow = route->command_since + ROUTE_IMAP_COMMAND_SECONDS * USEC_PER_SEC;

        return silent < slow ? silent : slow;
}

static void set_timer(MailRoute *route) {
        uint64_t due = route->due;

        if (!route->session && route->easy) /* libcurl has a timer of its own */
                due = UINT64_MAX;
        else if (route->session && !imap_session_is_idle(route->session))
                due = answer_due(route);
        else if (route->session && next_in_queue(route) > 0) /* lest untold room is missed */
                due = time_boot() + route->poll_seconds * USEC_PER_SEC;
        (void) sd_event_source_set_time(route->timer, due);
        (void) sd_event_source_set_enabled(
                        route->timer, due == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void disconnect(MailRoute *route) {
        route->io = sd_event_source_disable_unref(route->io);
        route->session = imap_session_free(route->session);
        if (route->easy) {
                curl_loop_remove(route->loop, route->easy);
                curl_easy_cleanup(route->easy);
        }
        route->easy = NULL;
        route->n_queue = route->queue_at = 0;
        route->cursor = 0;
}

/* A connection that worked and ended is made anew at once, and nobody need know. */
static void fail(MailRoute *route, const char *reason, unsigned retry_min) {
        disconnect(route);
        if (route->up && route->retry == 0) {
                route->due = time_boot() + USEC_PER_SEC;
                route->retry = RETRY_MIN_SECONDS;
        } else {
                if (!route->told || route->up)
                        log_warning("the IMAP mailbox cannot be read: %s", reason);
                route_tell(route, false, reason);
                route->retry = route->retry < retry_min ? retry_min : route->retry;
                route->due = time_boot() + route->retry * USEC_PER_SEC;
                route->retry = 2 * route->retry > RETRY_MAX_SECONDS ? RETRY_MAX_SECONDS
                                                                    : 2 * route->retry;
        }
        set_timer(route);
}

/* False: not all of it could be written now, or the connection has failed. */
static bool flush(MailRoute *route) {
        const char *data;
        size_t size, n;

        imap_session_output(route->session, &data, &size);
        while (size > 0) {
                CURLcode code = curl_easy_send(route->easy, data, size, &n);

                if (code == CURLE_AGAIN)
                        break;
                if (code != CURLE_OK) {
                        fail(route, "connection-lost", RETRY_MIN_SECONDS);
                        return false;
                }
                imap_session_written(route->session, n);
                imap_session_output(route->session, &data, &size);
        }
        (void) sd_event_source_set_io_events(route->io, size > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return size == 0;
}

/* --- what to do next --- */

static Mail *find_to_mark(MailRoute *route) {
        uint64_t now = time_boot();
        Mail *mail;

        TAILQ_FOREACH(mail, &route->order, entry)
        if (mail->state == MAIL_MARK && mail->due <= now)
                return mail;
        return NULL;
}

static void next_search(MailRoute *route) {
        if (route->cursor > 0)
                imap_session_search(route->session, route->cursor);
        else if (route->due <= time_boot()) {
                route->poll++;
                imap_session_search(route->session, 1);
        }
}

/* Begins the next command, if there is anything to do. */
static void next_command(MailRoute *route) {
        const Mail *mail = find_to_mark(route);
        uint32_t uid = mail ? 0 : next_in_queue(route);

        if (mail)
                imap_session_mark(route->session, mail->uid, mail->refused);
        else if (uid == 0)
                next_search(route);
        else if (has_room(route)) {
                route->queue_at++;
                imap_session_fetch(route->session, uid);
        }
        if (!imap_session_is_idle(route->session))
                route->command_since = route->last_octet = time_boot();
}

/* --- what has happened --- */

static void on_ready(MailRoute *route, const ImapEvent *event) {
        if (route->validity != event->validity)
                forget_uids(route);
        route->validity = event->validity;
        route->due = 0;
        route_tell(route, true, "");
}

/* A mail that was marked is found unmarked. */
static void on_forgotten(MailRoute *route, Mail *mail) {
        if (!route->forgetful)
                log_warning("the IMAP server does not keep the mark of a mail that was taken; it "
                            "is marked again");
        route->forgetful = true;
        mail_wait(route, mail, MAIL_MARK);
}

static void on_found(MailRoute *route, const ImapEvent *event) {
        size_t n = event->n_uids > QUEUE_MAX ? QUEUE_MAX : event->n_uids;

        for (size_t i = 0; i < event->n_uids; i++) {
                Mail *mail = mail_find(route, event->uids[i]);

                if (!mail)
                        continue;
                mail->poll = route->poll;
                if (mail->state == MAIL_MARKED)
                        on_forgotten(route, mail);
        }
        if (n > 0)
                memcpy(route->queue, event->uids, n * sizeof(*route->queue));
        route->n_queue = n;
        route->queue_at = 0;
        route->cursor = n < event->n_uids ? route->queue[n - 1] + 1 : 0;
        if (route->cursor > 0)
                return;
        forget_absent(route);
        route->retry = 0;
        route->due = time_boot() + route->poll_seconds * USEC_PER_SEC;
}

static void on_mail(MailRoute *route, uint32_t uid) {
        Mail *mail = mail_get(route, uid);
        MailArrival arrival;

        if (!mail)
                return; /* no memory: the next poll finds it */
        mail->data = imap_session_take_mail(route->session, &mail->size);
        mail->state = MAIL_HANDED;
        route->held += mail->size;
        route->n_open++;
        arrival = (MailArrival){
                .route = route, .token = mail->token, .data = mail->data, .size = mail->size
        };
        email_channel_arrival(route->channel, &mail_route_imap, &arrival);
}

static void on_large(MailRoute *route, uint32_t uid) {
        Mail *mail = mail_get(route, uid);

        log_warning("a mail in the IMAP mailbox is larger than %d bytes and is refused",
                        MAIL_READ_SIZE_MAX);
        if (mail)
                mail_settled(mail, true);
}

static void on_absent(MailRoute *route, uint32_t uid) {
        Mail *mail = mail_find(route, uid);

        if (mail && mail->state != MAIL_HANDED)
                mail_free(route, mail);
}

static void on_no(MailRoute *route, uint32_t uid) {
        Mail *mail = uid > 0 ? mail_get(route, uid) : NULL;

        if (!mail) {
                fail(route, "search-refused", RETRY_MIN_SECONDS);
                return;
        }
        if (mail->delay == 0)
                log_warning("the IMAP server refused to %s a mail; it is asked again",
                                mail->state == MAIL_MARK ? "mark" : "show");
        mail_wait(route, mail, mail->state);
}

static void on_close(MailRoute *route, const ImapEvent *event) {
        bool password = strcmp(event->reason, "not-logged-in") == 0;

        if (event->uid > 0)
                on_large(route, event->uid);
        fail(route, event->reason, password ? RETRY_PASSWORD_SECONDS : RETRY_MIN_SECONDS);
}

/* --- everything --- */

/* False: nothing more can happen now. */
static bool route_step(MailRoute *route) {
        ImapEvent event;
        Mail *mail;

        if (!flush(route))
                return false;
        imap_session_next(route->session, &event);
        switch (event.kind) {
        case IMAP_EVENT_NOTHING:
                if (!imap_session_is_idle(route->session))
                        return flush(route) && false;
                next_command(route);
                return !imap_session_is_idle(route->session);
        case IMAP_EVENT_READY:
                on_ready(route, &event);
                break;
        case IMAP_EVENT_FOUND:
                on_found(route, &event);
                break;
        case IMAP_EVENT_MAIL:
                on_mail(route, event.uid);
                break;
        case IMAP_EVENT_LARGE:
                on_large(route, event.uid);
                break;
        case IMAP_EVENT_ABSENT:
                on_absent(route, event.uid);
                break;
        case IMAP_EVENT_MARKED:
                mail = mail_find(route, event.uid);
                if (mail && mail->state == MAIL_MARK)
                        mail->state = MAIL_MARKED;
                break;
        case IMAP_EVENT_NO:
                on_no(route, event.uid);
                break;
        case IMAP_EVENT_CLOSE:
                on_close(route, &event);
                break;
        case IMAP_EVENT_MAX:
                assert(false);
        }
        return route->session != NULL;
}

static void route_run(MailRoute *route) {
        if (!route->session || route->running)
                return;
        route->running = true;
        while (route->session && route_step(route))
                ;
        route->running = false;
        set_timer(route);
}

/* False: there is no more to read now. */
static bool read_some(MailRoute *route) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(route->easy, route->buffer, READ_SIZE, &n);

        if (code == CURLE_AGAIN)
                return false;
        if (code != CURLE_OK || n == 0) {
                fail(route, "connection-lost", RETRY_MIN_SECONDS);
                return false;
        }
        route->last_octet = time_boot();
        if (imap_session_push(route->session, route->buffer, n) < 0) {
                fail(route, "out-of-memory", RETRY_MIN_SECONDS);
                return false;
        }
        route_run(route);
        return route->session != NULL;
}

/* TLS may hold octets back that the socket does not show: they are read until there are none. */
static void read_all(MailRoute *route) {
        for (unsigned i = 0; i < READS_MAX; i++)
                if (!read_some(route))
                        return;
        (void) sd_event_source_set_enabled(route->work, SD_EVENT_ONESHOT);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void) source;
        (void) fd;
        (void) revents;
        read_all(userdata);
        route_run(userdata);
        return 0;
}

static int on_work(sd_event_source *source, void *userdata) {
        MailRoute *route = userdata;

        (void) source;
        if (route->session)
                read_all(route);
        route_run(route);
        return 0;
}

/* A word for operators: why there is no connection. */
static const char *reason_of(CURLcode code) {
        switch (code) {
        case CURLE_PEER_FAILED_VERIFICATION:
                return "bad-certificate";
        case CURLE_SSL_CACERT_BADFILE:
                return "no-issuers";
        case CURLE_COULDNT_RESOLVE_HOST:
                return "no-such-host";
        default:
                return "no-connection";
        }
}

static void on_connected(CURL *easy, CURLcode code, void *userdata) {
        MailRoute *route = userdata;
        ImapAccount account = { .user = route->user,
                .password = (const char *) route->password.data,
                .folder = route->folder,
                .size_max = MAIL_READ_SIZE_MAX };

        if (code != CURLE_OK) {
                fail(route, reason_of(code), RETRY_MIN_SECONDS);
                return;
        }
        if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &route->fd) != CURLE_OK ||
                        route->fd == CURL_SOCKET_BAD ||
                        sd_event_add_io(route->event,
                                        &route->io,
                                        route->fd,
                                        EPOLLIN,
                                        on_socket,
                                        route) < 0 ||
                        imap_session_new(&account, &route->session) < 0) {
                fail(route, "out-of-memory", RETRY_MIN_SECONDS);
                return;
        }
        route->command_since = route->last_octet = time_boot();
        read_all(route);
        route_run(route);
}

/* "https" is libcurl's word for TLS and nothing else: with CURLOPT_CONNECT_ONLY it says nothing. */
static int set_options(MailRoute *route, CURL *easy) {
        const struct {
                CURLoption option;
                const char *text;
        } texts[] = {
                { CURLOPT_URL, route->url },
                { CURLOPT_PROTOCOLS_STR, "https" },
                { CURLOPT_PROXY, "" },
                { CURLOPT_CAINFO, route->ca_file },
        };
        const struct {
                CURLoption option;
                long number;
        } numbers[] = {
                { CURLOPT_CONNECT_ONLY, 1 },
                { CURLOPT_NOSIGNAL, 1 },
                { CURLOPT_SSL_ENABLE_ALPN, 0 },
                { CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
                { CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS },
                { CURLOPT_TCP_KEEPALIVE, 1 },
        };

        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                if (texts[i].text &&
                                curl_easy_setopt(easy, texts[i].option, texts[i].text) != CURLE_OK)
                        return -ENOMEM;
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                if (curl_easy_setopt(easy, numbers[i].option, numbers[i].number) != CURLE_OK)
                        return -ENOTSUP;
        return 0;
}

static void connect_again(MailRoute *route) {
        route->easy = curl_easy_init();
        if (!route->easy || set_options(route, route->easy) < 0 ||
                        curl_loop_add(route->loop, route->easy, on_connected, route) < 0)
                fail(route, "out-of-memory", RETRY_MIN_SECONDS);
}

static int on_timer(sd_event_source *source, uint64_t due, void *userdata) {
        MailRoute *route = userdata;

        (void) source;
        (void) due;
        if (!route->easy)
                connect_again(route);
        else if (route->session && !imap_session_is_idle(route->session) &&
                        time_boot() >= answer_due(route))
                fail(route, "timeout", RETRY_MIN_SECONDS);
        else
                route_run(route);
        set_timer(route);
        return 0;
}

/* --- settings --- */

static char *url_part(CURLU *url, CURLUPart part, unsigned flags) {
        char *text = NULL;

        return curl_url_get(url, part, &text, flags) == CURLUE_OK ? text : NULL;
}

/* "imaps://host[:port]/FOLDER" */
static int read_url(MailRoute *route, CURLU *url, const char *place) {
        char *host, *port, *path, *user;
        int r = -EINVAL;

        if (curl_url_set(url, CURLUPART_URL, place, 0) != CURLUE_OK)
                return -EINVAL;
        host = url_part(url, CURLUPART_HOST, 0);
        port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
        path = url_part(url, CURLUPART_PATH, CURLU_URLDECODE);
        user = url_part(url, CURLUPART_USER, 0);
        if (host && port && path && path[0] == '/' && !user) {
                route->folder = strdup(path[1] ? path + 1 : "INBOX");
                r = !route->folder || asprintf(&route->url, "https://%s:%s/", host, port) < 0
                                    ? -ENOMEM
                                    : 0;
        }
        curl_free(host);
        curl_free(port);
        curl_free(path);
        curl_free(user);
        return r;
}

static int read_place(MailRoute *route, const char *place) {
        CURLU *url = curl_url();
        int r = url ? read_url(route, url, place) : -ENOMEM;

        curl_url_cleanup(url);
        if (r == -EINVAL)
                log_error("receive = `%s`: imaps://HOST[:PORT]/FOLDER is wanted, without a name of "
                          "a user",
                                place);
        return r;
}

static int read_poll(MailRoute *route, const json_t *settings) {
        const char *text = plugin_setting(settings, "poll_seconds", "20");
        char *end;
        unsigned long n = strtoul(text, &end, 10);

        if (text[0] < '0' || text[0] > '9' || *end || n < 1 || n > 86400) {
                log_error("poll_seconds is a number from 1 to 86400");
                return -EINVAL;
        }
        route->poll_seconds = (unsigned) n;
        return 0;
}

/* Whether a session would take them: once, at the start, where somebody looks. */
static int check_account(MailRoute *route) {
        _cleanup_(imap_session_freep) ImapSession *session = NULL;
        ImapAccount account = { .user = route->user,
                .password = (const char *) route->password.data,
                .folder = route->folder,
                .size_max = MAIL_READ_SIZE_MAX };
        int r = imap_session_new(&account, &session);

        if (r == -EINVAL)
                log_error("imap_username, the credential imap-password and the folder are texts of "
                          "1 to %d bytes of UTF-8",
                                IMAP_NAME_MAX);
        return r;
}

static int read_settings(MailRoute *route, const char *place, const json_t *settings) {
        const char *user = plugin_setting(settings, "imap_username", NULL);
        const char *ca_file = plugin_setting(settings, "ca_file", NULL);
        int r;

        if (!user) {
                log_error("imap_username is needed to read a mailbox by IMAP");
                return -EINVAL;
        }
        r = credential_read_line("imap-password", &route->password);
        if (r < 0) {
                log_error("the credential imap-password cannot be read: %s", strerror(-r));
                return r;
        }
        route->user = strdup(user);
        route->ca_file = ca_file ? strdup(ca_file) : NULL;
        if (!route->user || (ca_file && !route->ca_file))
                return -ENOMEM;
        r = read_poll(route, settings);
        if (r >= 0)
                r = read_place(route, place);
        return r < 0 ? r : check_account(route);
}

/* --- the table --- */

static MailRoute *route_imap_free(MailRoute *route) {
        Mail *mail;

        if (!route)
                return NULL;
        if (route->session && imap_session_is_idle(route->session)) {
                const char *data;
                size_t size, n;

                imap_session_logout(route->session);
                imap_session_output(route->session, &data, &size);
                (void) curl_easy_send(route->easy, data, size, &n);
        }
        disconnect(route);
        while ((mail = TAILQ_FIRST(&route->order)))
                mail_free(route, mail);
        route->timer = sd_event_source_disable_unref(route->timer);
        route->work = sd_event_source_disable_unref(route->work);
        route->loop = curl_loop_free(route->loop);
        (void) sd_event_unref(route->event);
        secret_done(&route->password);
        free(route->url);
        free(route->folder);
        free(route->user);
        free(route->ca_file);
        free(route);
        return NULL;
}
DEFINE_CLEANUP(MailRoute, route_imap_free)

static int add_sources(MailRoute *route) {
        int r;

        r = curl_loop_new(&route->loop, route->event);
        if (r < 0)
                return r;
        r = sd_event_add_time(route->event,
                        &route->timer,
                        CLOCK_BOOTTIME,
                        0,
                        USEC_PER_SEC / 4,
                        on_timer,
                        route);
        if (r < 0)
                return r;
        r = sd_event_add_defer(route->event, &route->work, on_work, route);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(route->work, SD_EVENT_OFF);
}

static int route_imap_new(MailRoute **ret, const MailRouteStart *start) {
        _cleanup_(route_imap_freep) MailRoute *route = calloc(1, sizeof(*route));
        int r;

        if (!route)
                return -ENOMEM;
        *route = (MailRoute){ .channel = start->channel,
                .number = start->number,
                .event = sd_event_ref(start->event) };
        TAILQ_INIT(&route->order);
        r = read_settings(route, start->place, start->settings);
        if (r < 0)
                return r;
        r = add_sources(route);
        if (r < 0)
                return r;
        email_channel_route(route->channel, route->number, false, "not-connected");
        *ret = TAKE_PTR(route);
        return 0;
}

static void route_imap_settle(MailRoute *route, uint64_t token, MailSettlement settlement) {
        Mail *mail;

        TAILQ_FOREACH(mail, &route->order, entry)
        if (mail->token == token && mail->state == MAIL_HANDED)
                break;
        assert(mail);
        route->n_open--;
        mail_drop_data(route, mail);
        if (mail->strange)
                mail_free(route, mail);
        else if (settlement == MAIL_SETTLED_LATER)
                mail_wait(route, mail, MAIL_LATER);
        else
                mail_settled(mail, settlement == MAIL_SETTLED_REFUSED);
        (void) sd_event_source_set_enabled(route->work, SD_EVENT_ONESHOT);
}

static void route_imap_ready(MailRoute *route) {
        (void) sd_event_source_set_enabled(route->work, SD_EVENT_ONESHOT);
}

const MailRouteOps mail_route_imap = {
        .scheme = "imaps",
        .new = route_imap_new,
        .settle = route_imap_settle,
        .ready = route_imap_ready,
        .free = route_imap_free,
};
