#include "curl-loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include "time-text.h"

typedef struct CurlJob CurlJob;
struct CurlJob {
        CURL *easy;
        CurlDone done;
        void *userdata;
        CurlJob *next, *previous;
};

struct CurlLoop {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer, *now;
        uint64_t due;   /* when libcurl wants to be called, CLOCK_MONOTONIC; UINT64_MAX: never */
        uint64_t armed; /* when the timer is set to; UINT64_MAX: it is off */
        CurlJob *jobs;
};

static CurlJob *job_of(CURL *easy) {
        char *p = NULL;

        (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p);
        return (CurlJob *) (void *) p;
}

/* What a callee adds or removes is seen: libcurl drops the messages of handles that are removed. */
static void loop_drain(CurlLoop *loop) {
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(loop->multi, &left))) {
                CURL *easy = message->easy_handle;
                CURLcode code = message->data.result;
                CurlJob *job = job_of(easy);

                if (message->msg == CURLMSG_DONE && job)
                        job->done(easy, code, job->userdata);
        }
}

static int on_socket_ready(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        CurlLoop *loop = userdata;
        int action = 0, running;

        (void) source;
        if (revents & EPOLLIN)
                action |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                action |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP))
                action |= CURL_CSELECT_ERR;
        (void) curl_multi_socket_action(loop->multi, fd, action, &running);
        loop_drain(loop);
        return 0;
}

static void loop_timeout(CurlLoop *loop) {
        int running;

        (void) curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        loop_drain(loop);
}

static uint64_t loop_time(const CurlLoop *loop) {
        uint64_t usec = 0;

        (void) sd_event_now(loop->event, CLOCK_MONOTONIC, &usec);
        return usec;
}

static int timer_arm(CurlLoop *loop, uint64_t usec) {
        int r;

        r = sd_event_source_set_time(loop->timer, usec);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(loop->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                return r;
        loop->armed = usec;
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        CurlLoop *loop = userdata;

        (void) source;
        (void) usec;
        loop->armed = UINT64_MAX;
        if (loop->due <= loop_time(loop)) {
                loop->due = UINT64_MAX;
                loop_timeout(loop);
        } else if (loop->due != UINT64_MAX)
                return timer_arm(loop, loop->due);
        return 0;
}

static int on_now(sd_event_source *source, void *userdata) {
        (void) source;
        loop_timeout(userdata);
        return 0;
}

static uint32_t events_of(int what) {
        switch (what) {
        case CURL_POLL_IN:
                return EPOLLIN;
        case CURL_POLL_OUT:
                return EPOLLOUT;
        case CURL_POLL_INOUT:
                return EPOLLIN | EPOLLOUT;
        default:
                return 0;
        }
}

static int on_socket_set(CURL *easy, curl_socket_t fd, int what, void *userdata, void *data) {
        sd_event_source *source = data;
        CurlLoop *loop = userdata;

        (void) easy;
        if (what == CURL_POLL_REMOVE) {
                (void) sd_event_source_disable_unref(source);
                (void) curl_multi_assign(loop->multi, fd, NULL);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events_of(what)) < 0 ? -1 : 0;
        if (sd_event_add_io(loop->event, &source, fd, events_of(what), on_socket_ready, loop) < 0)
                return -1;
        (void) curl_multi_assign(loop->multi, fd, source);
        return 0;
}

/* Each transfer begins with a wish for no milliseconds at all. A timer would grant it one later, as
 * late as its accuracy allows, and only after two system calls. The time after which it is to fail
 * follows, and nearly always comes to nothing: a timer that is set to an earlier one stays as it
 * is, and looks again when it rings. */
static int on_timer_set(CURLM *multi, long milliseconds, void *userdata) {
        CurlLoop *loop = userdata;

        (void) multi;
        if (sd_event_source_set_enabled(
                            loop->now, milliseconds == 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF) < 0)
                return -1;
        loop->due = milliseconds > 0 ? loop_time(loop) + (uint64_t) milliseconds * USEC_PER_MSEC
                                     : UINT64_MAX;
        return loop->due < loop->armed && timer_arm(loop, loop->due) < 0 ? -1 : 0;
}

static int loop_set_timers(CurlLoop *loop) {
        int r;

        r = sd_event_add_defer(loop->event, &loop->now, on_now, loop);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(loop->now, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time(loop->event,
                        &loop->timer,
                        CLOCK_MONOTONIC,
                        UINT64_MAX,
                        USEC_PER_MSEC,
                        on_timer,
                        loop);
        return r < 0 ? r : sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
}

static int loop_set_multi(CurlLoop *loop) {
        loop->multi = curl_multi_init();
        if (!loop->multi)
                return -ENOMEM;
        if (curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket_set) != CURLM_OK ||
                        curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop) != CURLM_OK ||
                        curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer_set) !=
                                        CURLM_OK ||
                        curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop) != CURLM_OK)
                return -EINVAL;
        return 0;
}

int curl_loop_new(CurlLoop **ret, sd_event *event) {
        _cleanup_(curl_loop_freep) CurlLoop *loop = NULL;
        int r;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        loop = calloc(1, sizeof(*loop));
        if (!loop) {
                curl_global_cleanup();
                return -ENOMEM;
        }
        loop->event = sd_event_ref(event);
        loop->due = loop->armed = UINT64_MAX;
        r = loop_set_timers(loop);
        if (r < 0)
                return r;
        r = loop_set_multi(loop);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(loop);
        return 0;
}

CURLM *curl_loop_multi(CurlLoop *loop) {
        return loop->multi;
}

static void job_insert(CurlLoop *loop, CurlJob *job) {
        job->next = loop->jobs;
        if (job->next)
                job->next->previous = job;
        loop->jobs = job;
}

static void job_free(CurlLoop *loop, CurlJob *job) {
        if (job->previous)
                job->previous->next = job->next;
        else
                loop->jobs = job->next;
        if (job->next)
                job->next->previous = job->previous;
        (void) curl_multi_remove_handle(loop->multi, job->easy);
        (void) curl_easy_setopt(job->easy, CURLOPT_PRIVATE, NULL);
        free(job);
}

int curl_loop_add(CurlLoop *loop, CURL *easy, CurlDone done, void *userdata) {
        CurlJob *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        *job = (CurlJob){ .easy = easy, .done = done, .userdata = userdata };
        job_insert(loop, job);
        (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
        /* Nothing happens in here but that the timer is set to now. */
        if (curl_multi_add_handle(loop->multi, easy) != CURLM_OK) {
                job_free(loop, job);
                return -ENOMEM;
        }
        return 0;
}

void curl_loop_remove(CurlLoop *loop, CURL *easy) {
        CurlJob *job = job_of(easy);

        if (job)
                job_free(loop, job);
}

CurlLoop *curl_loop_free(CurlLoop *loop) {
        if (!loop)
                return NULL;

        while (loop->jobs)
                job_free(loop, loop->jobs);
        /* Calls back to drop its event sources. */
        (void) curl_multi_cleanup(loop->multi);
        (void) sd_event_source_disable_unref(loop->timer);
        (void) sd_event_source_disable_unref(loop->now);
        (void) sd_event_unref(loop->event);
        free(loop);
        curl_global_cleanup();
        return NULL;
}
