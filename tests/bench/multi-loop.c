/* One descriptor of libcurl's for each connection in epoll, and its one timer as epoll's timeout.
 */
#include "multi-loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench.h"
#include "cleanup.h"
#include "time-text.h"

enum { EVENTS_MAX = 64 };

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known) {
        struct epoll_event event = { .data.fd = fd };
        MultiLoop *loop = userdata;

        (void) easy;
        if (what == CURL_POLL_REMOVE)
                return epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL) < 0 ? -1 : 0;
        if (what & CURL_POLL_IN)
                event.events |= EPOLLIN;
        if (what & CURL_POLL_OUT)
                event.events |= EPOLLOUT;
        (void) curl_multi_assign(loop->multi, fd, loop);
        return epoll_ctl(loop->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0 ? -1
                                                                                             : 0;
}

static int on_timer(CURLM *multi, long milliseconds, void *userdata) {
        MultiLoop *loop = userdata;

        (void) multi;
        loop->timer = milliseconds < 0 ? 0 : time_boot() + (uint64_t) milliseconds * USEC_PER_MSEC;
        return 0;
}

void multi_loop_init(MultiLoop *loop, size_t connections, size_t to_host) {
        bench_must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl");
        *loop = (MultiLoop){ .multi = curl_multi_init(), .epoll = epoll_create1(EPOLL_CLOEXEC) };
        bench_must(loop->multi && loop->epoll >= 0, "the loop");
        (void) curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        (void) curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
        (void) curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
        (void) curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
        (void) curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, (long) connections);
        (void) curl_multi_setopt(loop->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) to_host);
}

void multi_loop_add(MultiLoop *loop, CURL *easy) {
        bench_must(curl_multi_add_handle(loop->multi, easy) == CURLM_OK, "adding a request");
}

static int action_of(uint32_t events) {
        int action = 0;

        if (events & EPOLLIN)
                action |= CURL_CSELECT_IN;
        if (events & EPOLLOUT)
                action |= CURL_CSELECT_OUT;
        if (events & (EPOLLERR | EPOLLHUP))
                action |= CURL_CSELECT_ERR;
        return action;
}

void multi_loop_turn(MultiLoop *loop, uint64_t next) {
        struct epoll_event events[EVENTS_MAX];
        uint64_t now = time_boot(), usec;
        struct timespec wait;
        int running, n;

        if (loop->timer != 0 && loop->timer < next)
                next = loop->timer;
        usec = next == UINT64_MAX ? USEC_PER_SEC : next > now ? next - now : 0;
        wait = (struct timespec){ .tv_sec = (time_t) (usec / USEC_PER_SEC),
                .tv_nsec = (long) (usec % USEC_PER_SEC * 1000) };
        n = epoll_pwait2(loop->epoll, events, N_ELEMENTS(events), &wait, NULL);
        if (n < 0 && errno != EINTR)
                bench_fail("epoll_pwait2: %s", strerror(errno));
        now = time_boot();
        for (int i = 0; i < n; i++)
                (void) curl_multi_socket_action(loop->multi,
                                events[i].data.fd,
                                action_of(events[i].events),
                                &running);
        if (loop->timer != 0 && loop->timer <= now) {
                loop->timer = 0;
                (void) curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
}

CURL *multi_loop_take(MultiLoop *loop, long status) {
        long answered = 0, n = 0;
        CURLMsg *message;
        CURL *easy;
        int left;

        message = curl_multi_info_read(loop->multi, &left);
        if (!message)
                return NULL;
        easy = message->easy_handle;
        bench_must(message->data.result == CURLE_OK, curl_easy_strerror(message->data.result));
        (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answered);
        (void) curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &n);
        if (answered != status)
                bench_fail("status %ld", answered);
        loop->n_connections += n;
        (void) curl_multi_remove_handle(loop->multi, easy);
        return easy;
}
