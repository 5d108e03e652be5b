#include "mail-submit.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "time-text.h"

enum {
        SOCKETS_MAX = 4, /* of one connection: libcurl tries two addresses at the same time */
        SLOW_FIRST_SECONDS = 5,
        SLOW_MAX_SECONDS = 300,
        CROWDED_SECONDS = 300, /* that we make do with fewer connections */
};

const MailSubmitPatience mail_submit_usual_patience = {
        .connect = 30,
        .answer = 300,
        .retry_first = 1,
        .retry_max = 60,
        .login_retry = 300,
};

typedef struct Job {
        TAILQ_ENTRY(Job) entry;
        MailSubmitMail mail;
        void *userdata;
        bool is_look; /* no mail: whether the server would take one */
        bool dsn;     /* reports were asked for */

        /* When it has ended. */
        bool offers_dsn;
        SmtpOutcome outcome;
} Job;
TAILQ_HEAD(Jobs, Job);

/* A thread and the connection that it keeps. */
typedef struct Worker {
        TAILQ_ENTRY(Worker) entry; /* of idle */
        MailSubmit *submit;
        pthread_t thread;
        pthread_cond_t wake;

        /* Under the mutex. */
        bool is_idle;
        curl_socket_t sockets[SOCKETS_MAX];

        /* Of the thread. */
        CURL *easy;
        struct curl_slist *recipients;
        SmtpTrace trace;
        const Job *current;
        size_t offset; /* of the mail's data */
} Worker;
TAILQ_HEAD(Workers, Worker);

struct MailSubmit {
        const MailSubmitConfig *config;
        const MailSubmitOps *ops;
        void *userdata;
        sd_event_source *timer; /* for the next look */
        sd_event_source *source;
        int ended_fd;
        bool global;

        pthread_mutex_t mutex;
        struct Jobs jobs;    /* that wait for a connection */
        struct Jobs ended;   /* to be told */
        struct Workers idle; /* who has a warm connection gets work first */
        bool stop;
        bool held;     /* nothing is begun until the loop has seen what ended */
        bool dsn;      /* the server offers it */
        unsigned busy; /* connections */
        unsigned limit;

        /* Of the loop's thread. */
        Worker **workers;
        unsigned n_workers;
        bool up, looking;
        char reason[SMTP_REASON_SIZE]; /* while it is not up */
        uint64_t next_look;            /* CLOCK_BOOTTIME */
        unsigned retry;                /* seconds */
        uint64_t slow_until;
        unsigned slow;
        uint64_t limit_until;
};

/* --- The threads: one mail after another --- */

static curl_socket_t on_open_socket(
                void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        Worker *w = userdata;
        curl_socket_t fd = socket(
                        address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

        (void) purpose;
        if (fd < 0)
                return CURL_SOCKET_BAD;
        (void) pthread_mutex_lock(&w->submit->mutex);
        for (size_t i = 0; i < SOCKETS_MAX; i++)
                if (w->sockets[i] < 0) {
                        w->sockets[i] = fd;
                        break;
                }
        (void) pthread_mutex_unlock(&w->submit->mutex);
        return fd;
}

static int on_close_socket(void *userdata, curl_socket_t fd) {
        Worker *w = userdata;

        (void) pthread_mutex_lock(&w->submit->mutex);
        for (size_t i = 0; i < SOCKETS_MAX; i++)
                if (w->sockets[i] == fd)
                        w->sockets[i] = -1;
        (void) close(fd);
        (void) pthread_mutex_unlock(&w->submit->mutex);
        return 0;
}

/* Called about once a second while libcurl waits: the end of what no socket can end. */
static int on_progress(void *userdata, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
        Worker *w = userdata;
        bool stop;

        (void) a;
        (void) b;
        (void) c;
        (void) d;
        (void) pthread_mutex_lock(&w->submit->mutex);
        stop = w->submit->stop;
        (void) pthread_mutex_unlock(&w->submit->mutex);
        return stop ? 1 : 0;
}

static size_t on_reply(char *data, size_t size, size_t n, void *userdata) {
        Worker *w = userdata;

        smtp_trace_reply(&w->trace, data, size * n);
        return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        (void) data;
        (void) userdata;
        return size * n;
}

/* Before MAIL, also on a connection that was kept. */
static int on_connected(void *userdata, char *address, char *own_address, int port, int own_port) {
        Worker *w = userdata;

        (void) address;
        (void) own_address;
        (void) port;
        (void) own_port;
        return smtp_trace_connected(&w->trace) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_read(char *buffer, size_t size, size_t n, void *userdata) {
        Worker *w = userdata;
        size_t left = w->current->mail.size - w->offset, room = size * n;

        if (room > left)
                room = left;
        memcpy(buffer, w->current->mail.data + w->offset, room);
        w->offset += room;
        return room;
}

static void set_callbacks(Worker *w) {
        (void) curl_easy_setopt(w->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        (void) curl_easy_setopt(w->easy, CURLOPT_OPENSOCKETDATA, w);
        (void) curl_easy_setopt(w->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
        (void) curl_easy_setopt(w->easy, CURLOPT_CLOSESOCKETDATA, w);
        (void) curl_easy_setopt(w->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        (void) curl_easy_setopt(w->easy, CURLOPT_XFERINFODATA, w);
        (void) curl_easy_setopt(w->easy, CURLOPT_NOPROGRESS, 0L);
        (void) curl_easy_setopt(w->easy, CURLOPT_HEADERFUNCTION, on_reply);
        (void) curl_easy_setopt(w->easy, CURLOPT_HEADERDATA, w);
        (void) curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, on_body);
        (void) curl_easy_setopt(w->easy, CURLOPT_PREREQFUNCTION, on_connected);
        (void) curl_easy_setopt(w->easy, CURLOPT_PREREQDATA, w);
        (void) curl_easy_setopt(w->easy, CURLOPT_READFUNCTION, on_read);
        (void) curl_easy_setopt(w->easy, CURLOPT_READDATA, w);
}

static bool set_login(Worker *w) {
        const MailSubmitConfig *config = w->submit->config;

        return curl_easy_setopt(w->easy, CURLOPT_USERNAME, config->username) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_PASSWORD, (const char *) config->password->data) ==
                               CURLE_OK;
}

static bool set_issuers(Worker *w) {
        return curl_easy_setopt(w->easy, CURLOPT_CAINFO, w->submit->config->ca_file) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
}

/* What guards the way to the server must not fail in silence. */
static bool set_security(Worker *w) {
        static const long levels[] = {
                [MAIL_STARTTLS_REQUIRED] = CURLUSESSL_ALL,
                [MAIL_STARTTLS_IF_OFFERED] = CURLUSESSL_TRY,
                [MAIL_STARTTLS_NO] = CURLUSESSL_NONE,
        };
        const MailSubmitConfig *config = w->submit->config;

        return curl_easy_setopt(w->easy, CURLOPT_URL, config->url) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_USE_SSL, levels[config->starttls]) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2) ==
                               CURLE_OK &&
               (!config->ca_file || set_issuers(w)) && (!config->username || set_login(w));
}

static bool set_options(Worker *w) {
        const MailSubmitPatience *patience = &w->submit->config->patience;

        (void) curl_easy_setopt(w->easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(w->easy, CURLOPT_PROXY, "");
        (void) curl_easy_setopt(w->easy, CURLOPT_CONNECTTIMEOUT, (long) patience->connect);
        (void) curl_easy_setopt(w->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long) patience->answer);
        (void) curl_easy_setopt(w->easy, CURLOPT_TIMEOUT, (long) patience->answer * 2);
        (void) curl_easy_setopt(w->easy, CURLOPT_CUSTOMREQUEST, "NOOP");
        set_callbacks(w);
        return set_security(w);
}

static bool set_mail(Worker *w, const Job *job, bool dsn) {
        unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;
        char from[SMTP_COMMAND_SIZE], to[SMTP_COMMAND_SIZE];

        curl_slist_free_all(TAKE_PTR(w->recipients));
        smtp_write_from(version, dsn, job->mail.return_path, job->mail.envelope_id, from);
        smtp_write_recipient(version, dsn, job->mail.recipient, to);
        w->recipients = curl_slist_append(NULL, to);
        return w->recipients && curl_easy_setopt(w->easy, CURLOPT_NOBODY, 0L) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_UPLOAD, 1L) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_MAIL_FROM, from) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_MAIL_RCPT, w->recipients) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) job->mail.size) ==
                               CURLE_OK;
}

static bool set_look(Worker *w) {
        return curl_easy_setopt(w->easy, CURLOPT_UPLOAD, 0L) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_NOBODY, 1L) == CURLE_OK &&
               curl_easy_setopt(w->easy, CURLOPT_MAIL_RCPT, NULL) == CURLE_OK;
}

static void perform(Worker *w, const Job *job, bool dsn, bool fresh, SmtpOutcome *ret) {
        CURLcode code = CURLE_OUT_OF_MEMORY;
        long connections = 1;

        w->current = job;
        w->offset = 0;
        smtp_trace_begin(&w->trace, !job->is_look && smtp_path_needs_utf8(job->mail.recipient));
        if (!w->easy) {
                w->easy = curl_easy_init();
                if (w->easy && !set_options(w)) {
                        curl_easy_cleanup(w->easy);
                        w->easy = NULL;
                }
        }
        if (w->easy && (job->is_look ? set_look(w) : set_mail(w, job, dsn)) &&
                        curl_easy_setopt(w->easy, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L) ==
                                        CURLE_OK) {
                code = curl_easy_perform(w->easy);
                (void) curl_easy_getinfo(w->easy, CURLINFO_NUM_CONNECTS, &connections);
        }
        smtp_outcome(&w->trace, code, connections == 0, ret);
}

/* A mail that was not taken because of us, and not tried, is tried once more at once. */
static void worker_do(Worker *w, Job *job) {
        bool fresh = false;

        perform(w, job, job->dsn, fresh, &job->outcome);
        if (job->outcome.once_more) {
                fresh = true;
                perform(w, job, job->dsn, fresh, &job->outcome);
        }
        if (job->outcome.without_dsn && job->dsn) {
                job->dsn = false;
                perform(w, job, false, fresh, &job->outcome);
        }
        job->offers_dsn = w->trace.offers_dsn;
}

/* What says something about all mails is for the loop to judge, before another is begun. */
static bool concerns_all(const SmtpOutcome *outcome) {
        return outcome->down || outcome->slow;
}

static bool may_begin(const MailSubmit *s) {
        return !s->held && s->busy < s->limit && !TAILQ_EMPTY(&s->jobs);
}

/* Under the mutex. */
static bool is_connected(const Worker *w) {
        for (size_t i = 0; i < SOCKETS_MAX; i++)
                if (w->sockets[i] >= 0)
                        return true;
        return false;
}

/* Under the mutex. */
static void worker_wait(Worker *w) {
        MailSubmit *s = w->submit;

        w->is_idle = true;
        if (is_connected(w))
                TAILQ_INSERT_HEAD(&s->idle, w, entry);
        else
                TAILQ_INSERT_TAIL(&s->idle, w, entry);
        while (w->is_idle && !s->stop)
                (void) pthread_cond_wait(&w->wake, &s->mutex);
}

static void *worker_run(void *userdata) {
        Worker *w = userdata;
        MailSubmit *s = w->submit;
        Job *job;

        (void) pthread_mutex_lock(&s->mutex);
        while (!s->stop) {
                if (!may_begin(s)) {
                        worker_wait(w);
                        continue;
                }
                job = TAILQ_FIRST(&s->jobs);
                TAILQ_REMOVE(&s->jobs, job, entry);
                job->dsn = s->dsn;
                s->busy++;
                (void) pthread_mutex_unlock(&s->mutex);
                worker_do(w, job);
                (void) pthread_mutex_lock(&s->mutex);
                s->busy--;
                s->held = s->held || concerns_all(&job->outcome);
                if (TAILQ_EMPTY(&s->ended))
                        (void) eventfd_write(s->ended_fd, 1);
                TAILQ_INSERT_TAIL(&s->ended, job, entry);
        }
        (void) pthread_mutex_unlock(&s->mutex);
        return NULL;
}

static int worker_new(MailSubmit *s) {
        sigset_t all, before;
        Worker *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->submit = s;
        for (size_t i = 0; i < SOCKETS_MAX; i++)
                w->sockets[i] = -1;
        (void) pthread_cond_init(&w->wake, NULL);

        /* Signals are for the loop's thread. */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&w->thread, NULL, worker_run, w);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0) {
                (void) pthread_cond_destroy(&w->wake);
                free(w);
                return -r;
        }
        s->workers[s->n_workers++] = w;
        return 0;
}

/* A connection that is shut down ends what waits for it at once. */
static void worker_shut(Worker *w) {
        for (size_t i = 0; i < SOCKETS_MAX; i++)
                if (w->sockets[i] >= 0)
                        (void) shutdown(w->sockets[i], SHUT_RDWR);
        (void) pthread_cond_signal(&w->wake);
}

/* After its thread. */
static void worker_free(Worker *w) {
        curl_easy_cleanup(w->easy);
        curl_slist_free_all(w->recipients);
        (void) pthread_cond_destroy(&w->wake);
        free(w);
}

/* --- Giving them work --- */

/* How many more may begin now. Under the mutex. */
static unsigned count_room(const MailSubmit *s) {
        unsigned n = 0;
        const Job *job;

        if (!may_begin(s))
                return 0;
        TAILQ_FOREACH(job, &s->jobs, entry)
        if (++n == s->limit - s->busy)
                break;
        return n;
}

/* Wakes as many as there is work for; a new one begins by itself. */
static void pump(MailSubmit *s) {
        Worker *w;
        unsigned n;

        (void) pthread_mutex_lock(&s->mutex);
        if (s->limit < s->config->window && time_boot() >= s->limit_until)
                s->limit = s->config->window;
        for (n = count_room(s); n > 0 && (w = TAILQ_FIRST(&s->idle)); n--) {
                TAILQ_REMOVE(&s->idle, w, entry);
                w->is_idle = false;
                (void) pthread_cond_signal(&w->wake);
        }
        (void) pthread_mutex_unlock(&s->mutex);
        for (; n > 0 && s->n_workers < s->config->window && worker_new(s) >= 0; n--)
                ;
}

static int add_job(MailSubmit *s, const MailSubmitMail *mail, void *userdata) {
        Job *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        job->is_look = !mail;
        job->userdata = userdata;
        if (mail)
                job->mail = *mail;
        (void) pthread_mutex_lock(&s->mutex);
        TAILQ_INSERT_TAIL(&s->jobs, job, entry);
        (void) pthread_mutex_unlock(&s->mutex);
        pump(s);
        return 0;
}

/* --- Whether the server is there --- */

static void look_later(MailSubmit *s, unsigned seconds) {
        s->next_look = time_boot() + seconds * USEC_PER_SEC;
        (void) sd_event_source_set_time(s->timer, s->next_look);
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int on_look(sd_event_source *source, uint64_t due, void *userdata) {
        MailSubmit *s = userdata;

        (void) source;
        (void) due;
        if (s->up || s->looking)
                return 0;
        s->looking = add_job(s, NULL, NULL) >= 0;
        if (!s->looking)
                look_later(s, s->retry);
        return 0;
}

static void job_end(MailSubmit *s, Job *job, const SmtpOutcome *outcome) {
        if (job->is_look)
                s->looking = false;
        else
                s->ops->done(job->userdata, outcome, s->userdata);
        free(job);
}

static void carrier_up(MailSubmit *s) {
        s->retry = s->config->patience.retry_first;
        if (s->up)
                return;
        s->up = true;
        s->reason[0] = '\0';
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        s->ops->status(true, "", s->userdata);
}

/* What waits would wait in vain here; the gateway has it all. */
static void carrier_down(MailSubmit *s, const SmtpOutcome *outcome) {
        unsigned seconds = outcome->login ? s->config->patience.login_retry : s->retry;
        struct Jobs jobs = TAILQ_HEAD_INITIALIZER(jobs);
        Job *job;

        s->up = false;
        (void) snprintf(s->reason, sizeof(s->reason), "%s", outcome->reason);
        s->retry = s->retry * 2 < s->config->patience.retry_max ? s->retry * 2
                                                                : s->config->patience.retry_max;
        look_later(s, seconds);
        s->ops->status(false, s->reason, s->userdata);
        (void) pthread_mutex_lock(&s->mutex);
        TAILQ_CONCAT(&jobs, &s->jobs, entry);
        (void) pthread_mutex_unlock(&s->mutex);
        while ((job = TAILQ_FIRST(&jobs))) {
                TAILQ_REMOVE(&jobs, job, entry);
                job_end(s, job, outcome);
        }
}

static void slow_down(MailSubmit *s) {
        uint64_t now = time_boot();

        if (now < s->slow_until)
                return; /* several were on their way as it began */
        s->slow = s->slow == 0                     ? SLOW_FIRST_SECONDS
                  : s->slow * 2 < SLOW_MAX_SECONDS ? s->slow * 2
                                                   : SLOW_MAX_SECONDS;
        s->slow_until = now + s->slow * USEC_PER_SEC;
}

/* True when the mail waits for another connection instead: there are some, and no room for more. */
static bool make_do(MailSubmit *s, Job *job) {
        unsigned n = 0;

        if (!job->outcome.crowded || job->is_look)
                return false;
        (void) pthread_mutex_lock(&s->mutex);
        for (unsigned i = 0; i < s->n_workers; i++)
                n += is_connected(s->workers[i]);
        if (n > 0) {
                s->limit = n;
                s->limit_until = time_boot() + CROWDED_SECONDS * USEC_PER_SEC;
                TAILQ_INSERT_HEAD(&s->jobs, job, entry);
        }
        (void) pthread_mutex_unlock(&s->mutex);
        return n > 0;
}

static void set_dsn(MailSubmit *s, bool dsn) {
        (void) pthread_mutex_lock(&s->mutex);
        s->dsn = dsn;
        (void) pthread_mutex_unlock(&s->mutex);
}

static void job_ended(MailSubmit *s, Job *job) {
        const SmtpOutcome *outcome = &job->outcome;

        if (make_do(s, job))
                return;
        if (job->is_look)
                set_dsn(s, job->offers_dsn);
        else if (!job->dsn && outcome->verdict == SMTP_VERDICT_SENT)
                set_dsn(s, false); /* it went only without */
        if (outcome->verdict == SMTP_VERDICT_SENT) {
                if (time_boot() >= s->slow_until)
                        s->slow = 0;
                carrier_up(s);
        } else if (outcome->down && (s->up || job->is_look))
                carrier_down(s, outcome);
        else if (outcome->slow)
                slow_down(s);
        job_end(s, job, outcome);
}

/* The next that ended; once there is none, others may begin. */
static Job *next_ended(MailSubmit *s) {
        Job *job;

        (void) pthread_mutex_lock(&s->mutex);
        job = TAILQ_FIRST(&s->ended);
        if (job)
                TAILQ_REMOVE(&s->ended, job, entry);
        else
                s->held = false;
        (void) pthread_mutex_unlock(&s->mutex);
        return job;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        MailSubmit *s = userdata;
        eventfd_t unused;
        Job *job;

        (void) source;
        (void) revents;
        (void) eventfd_read(fd, &unused);
        while ((job = next_ended(s)))
                job_ended(s, job);
        pump(s);
        return 0;
}

/* --- For the channel --- */

static unsigned seconds_until(uint64_t then) {
        uint64_t now = time_boot();

        return then <= now ? 1 : (unsigned) ((then - now + USEC_PER_SEC - 1) / USEC_PER_SEC);
}

unsigned mail_submit_wait(const MailSubmit *s, const char **ret_reason) {
        const char *reason = "";
        unsigned seconds = 0;

        if (!s->up) {
                reason = s->reason;
                seconds = seconds_until(s->next_look);
        } else if (s->slow_until > time_boot()) {
                reason = "throttled";
                seconds = seconds_until(s->slow_until);
        }
        if (ret_reason)
                *ret_reason = reason;
        return seconds;
}

int mail_submit_send(MailSubmit *s, const MailSubmitMail *mail, void *mail_userdata) {
        return add_job(s, mail, mail_userdata);
}

static int submit_open(MailSubmit *s, sd_event *event) {
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        s->global = true;
        s->workers = calloc(s->config->window, sizeof(*s->workers));
        if (!s->workers)
                return -ENOMEM;
        s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->ended_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &s->source, s->ended_fd, EPOLLIN, on_ended, s);
        if (r >= 0)
                r = sd_event_add_time(event, &s->timer, CLOCK_BOOTTIME, time_boot(), 0, on_look, s);
        /* With one there is always somebody to do what was taken. */
        return r >= 0 ? worker_new(s) : r;
}

int mail_submit_new(MailSubmit **ret,
                sd_event *event,
                const MailSubmitConfig *config,
                const MailSubmitOps *ops,
                void *userdata) {
        _cleanup_(mail_submit_freep) MailSubmit *s = calloc(1, sizeof(*s));
        int r;

        assert(config->window > 0);
        if (!s)
                return -ENOMEM;
        *s = (MailSubmit){
                .config = config,
                .ops = ops,
                .userdata = userdata,
                .ended_fd = -1,
                .limit = config->window,
                .retry = config->patience.retry_first,
                .reason = "connecting",
        };
        (void) pthread_mutex_init(&s->mutex, NULL);
        TAILQ_INIT(&s->ended);
        TAILQ_INIT(&s->idle);
        TAILQ_INIT(&s->jobs);
        r = submit_open(s, event);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static void jobs_free(struct Jobs *jobs) {
        Job *job;

        while ((job = TAILQ_FIRST(jobs))) {
                TAILQ_REMOVE(jobs, job, entry);
                free(job);
        }
}

MailSubmit *mail_submit_free(MailSubmit *s) {
        if (!s)
                return NULL;

        (void) pthread_mutex_lock(&s->mutex);
        s->stop = true;
        for (unsigned i = 0; i < s->n_workers; i++)
                worker_shut(s->workers[i]);
        (void) pthread_mutex_unlock(&s->mutex);
        for (unsigned i = 0; i < s->n_workers; i++) {
                (void) pthread_join(s->workers[i]->thread, NULL);
                worker_free(s->workers[i]);
        }
        jobs_free(&s->jobs);
        jobs_free(&s->ended);
        (void) sd_event_source_disable_unref(s->timer);
        (void) sd_event_source_disable_unref(s->source);
        (void) close_fd(s->ended_fd);
        (void) pthread_mutex_destroy(&s->mutex);
        free(s->workers);
        if (s->global)
                curl_global_cleanup();
        free(s);
        return NULL;
}
