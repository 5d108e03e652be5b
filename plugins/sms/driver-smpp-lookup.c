#include "driver-smpp-lookup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

enum { PORT_SIZE = 6 };

/* What the two threads share; the last one to go frees it. */
typedef struct Shared {
        atomic_uint owners;
        int fd; /* readable once the answer is there */
        struct addrinfo *answer;
        char port[PORT_SIZE];
        char host[];
} Shared;

struct SmppLookup {
        Shared *shared;
        sd_event_source *source;
        SmppLookupDone done;
        void *userdata;
};

static void shared_unref(Shared *shared) {
        if (atomic_fetch_sub(&shared->owners, 1) != 1)
                return;
        if (shared->answer)
                freeaddrinfo(shared->answer);
        (void) close_fd(shared->fd);
        free(shared);
}

static int resolve(Shared *shared, int flags) {
        struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_NUMERICSERV | flags,
        };
        struct addrinfo *answer;

        if (getaddrinfo(shared->host, shared->port, &hints, &answer) != 0)
                return -ENOENT;
        shared->answer = answer;
        return 0;
}

static void tell(Shared *shared) {
        (void) eventfd_write(shared->fd, 1);
}

static void *run(void *userdata) {
        Shared *shared = userdata;

        (void) resolve(shared, AI_ADDRCONFIG);
        tell(shared);
        shared_unref(shared);
        return NULL;
}

/* Signals are the loop's. */
static int start_thread(Shared *shared) {
        sigset_t all, before;
        pthread_t thread;
        int r;

        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        atomic_fetch_add(&shared->owners, 1);
        r = pthread_create(&thread, NULL, run, shared);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0) {
                shared_unref(shared);
                return -r;
        }
        (void) pthread_detach(thread);
        return 0;
}

static int on_answer(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        SmppLookup *lookup = userdata;
        struct addrinfo *answer = lookup->shared->answer;

        (void) fd;
        (void) events;
        lookup->shared->answer = NULL;
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        lookup->done(answer, lookup->userdata);
        return 0;
}

static Shared *shared_new(const char *host, uint16_t port) {
        size_t size = strlen(host) + 1;
        Shared *shared = calloc(1, sizeof(*shared) + size);

        if (!shared)
                return NULL;
        atomic_init(&shared->owners, 1);
        memcpy(shared->host, host, size);
        (void) snprintf(shared->port, sizeof(shared->port), "%u", port);
        shared->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return shared;
}

int smpp_lookup_new(SmppLookup **ret,
                sd_event *event,
                const char *host,
                uint16_t port,
                SmppLookupDone done,
                void *userdata) {
        _cleanup_(smpp_lookup_freep) SmppLookup *lookup = calloc(1, sizeof(*lookup));
        int r;

        if (!lookup)
                return -ENOMEM;
        lookup->done = done;
        lookup->userdata = userdata;
        lookup->shared = shared_new(host, port);
        if (!lookup->shared)
                return -ENOMEM;
        if (lookup->shared->fd < 0)
                return -EMFILE;
        r = sd_event_add_io(event, &lookup->source, lookup->shared->fd, EPOLLIN, on_answer, lookup);
        if (r < 0)
                return r;
        if (resolve(lookup->shared, AI_NUMERICHOST) == 0)
                tell(lookup->shared);
        else
                r = start_thread(lookup->shared);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(lookup);
        return 0;
}

SmppLookup *smpp_lookup_free(SmppLookup *lookup) {
        if (!lookup)
                return NULL;
        sd_event_source_disable_unref(lookup->source);
        if (lookup->shared)
                shared_unref(lookup->shared);
        free(lookup);
        return NULL;
}
