/* vestibule-relay: keeps encrypted mailboxes until they are collected or expire. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "credential.h"
#include "http-server.h"
#include "listen.h"
#include "log.h"
#include "relay-batch.h"
#include "relay-options.h"
#include "secret.h"
#include "time-text.h"

enum {
        SWEEP_ROWS = 500,
        SWEEP_USEC = 5 * 1000 * 1000,
        PEM_SIZE_MAX = 65536,
};

typedef struct Relay {
        RelayOptions options;
        RelayPolicy policy;
        char public_url[128];
        sd_event *event;
        sd_event_source *sweep;
        RelayStores stores;
        WebhookQueue *webhooks;
        RequestLog *log;
        RateLimit *rate_limit;
        HttpServer *server;
        uint64_t n_requests_at_sweep;
} Relay;

static void relay_done(Relay *relay) {
        (void) http_server_free(relay->server);
        (void) webhook_queue_free(relay->webhooks);
        (void) sd_event_source_disable_unref(relay->sweep);
        (void) rate_limit_free(relay->rate_limit);
        (void) request_log_free(relay->log);
        relay_stores_done(&relay->stores);
        (void) sd_event_unref(relay->event);
}

static int read_file(const char *path, bool is_secret, Secret *ret) {
        _cleanup_(secret_done) Secret secret = SECRET_NULL;
        _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (is_secret && (st.st_mode & 0037))
                return -EPERM;
        if (st.st_size > PEM_SIZE_MAX)
                return -E2BIG;
        r = secret_new(&secret, (size_t) st.st_size);
        if (r < 0)
                return r;
        if (read(fd, secret.data, secret.size) != (ssize_t) secret.size)
                return -EIO;
        *ret = secret;
        secret = SECRET_NULL;
        return 0;
}

static int read_pem(const char *name, bool is_secret, Secret *ret) {
        int r;

        r = strchr(name, '/') || !credential_directory() ? read_file(name, is_secret, ret)
                                                         : credential_read(name, ret);
        if (r == -EPERM)
                log_error("%s may be read or written by others: chmod 600 it", name);
        else if (r < 0)
                log_error("%s cannot be read: %s", name, strerror(-r));
        return r;
}

/* Renamed into place, so that nobody reads half a number. */
static int write_port(const char *path, uint16_t port) {
        char draft[4096];
        FILE *f;

        if ((size_t) snprintf(draft, sizeof(draft), "%s.new", path) >= sizeof(draft))
                return -ENAMETOOLONG;
        f = fopen(draft, "we");
        if (!f)
                return -errno;
        (void) fprintf(f, "%u\n", (unsigned) port);
        if (fclose(f) != 0 || rename(draft, path) < 0)
                return -errno;
        return 0;
}

static int open_listener(Relay *relay, int *ret_fd, uint16_t *ret_port) {
        char name[80];
        int fd, r;

        r = listen_inherited(&fd);
        if (r == -ENOENT && !relay->options.listen) {
                log_error("--listen is needed, or a socket from systemd");
                return -EINVAL;
        }
        if (r == -ENOENT)
                r = listen_open(relay->options.listen, &fd);
        if (r < 0) {
                log_error("cannot listen: %s", strerror(-r));
                return r;
        }
        r = listen_name(fd, name, ret_port);
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        (void) snprintf(relay->public_url, sizeof(relay->public_url), "https://%s", name);
        *ret_fd = fd;
        return 0;
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        Relay *relay = userdata;
        uint64_t n_requests = http_server_n_requests(relay->server);
        unsigned n = 0;
        int r;

        (void) usec;
        r = relay_stores_sweep(&relay->stores, relay_batch_now(), SWEEP_ROWS, &n);
        if (r < 0)
                log_warning("what expired could not be deleted: %s", strerror(-r));
        else if (n == 0 && n_requests == relay->n_requests_at_sweep)
                (void) relay_database_settle(relay->stores.database);
        relay->n_requests_at_sweep = n_requests;

        /* A crowd that expires together goes in pieces, with requests served in between. */
        (void) sd_event_source_set_time_relative(
                        source, n >= SWEEP_ROWS ? USEC_PER_MSEC : SWEEP_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int open_store(Relay *relay) {
        const char *reason;
        int r;

        r = relay_stores_open(&relay->stores, relay->options.state, &reason);
        if (r == RELAY_DATABASE_E_OTHER) {
                log_error("the state folder belongs to a newer version");
                return -EINVAL;
        }
        if (r == -EBUSY)
                log_error("another vestibule-relay uses this state folder");
        else if (r < 0)
                log_error("%s (%s)", reason, strerror(-r));
        else
                relay_database_limit_space(relay->stores.database, relay->options.space);
        return r;
}

static int open_webhooks(Relay *relay) {
        const RelayOptions *o = &relay->options;
        int r;

        if (o->webhooks.n == 0)
                return 0;
        r = webhook_queue_new(&relay->webhooks,
                        &(WebhookQueueOptions){
                                        .ca_file = o->webhook_ca,
                                        .allow_private = o->webhook_private,
                        });
        if (r < 0)
                log_error("notifications cannot be sent: %s", strerror(-r));
        return r;
}

static void log_counts(const Relay *relay) {
        WebhookCounts n;

        log_info("stopped after %llu requests, %llu of them with a Referer or a fragment",
                        (unsigned long long) http_server_n_requests(relay->server),
                        (unsigned long long) http_server_n_violations(relay->server));
        if (!relay->webhooks)
                return;
        n = webhook_queue_counts(relay->webhooks);
        log_info("notifications: %llu delivered, %llu failed, %llu dropped",
                        (unsigned long long) n.n_delivered,
                        (unsigned long long) n.n_failed,
                        (unsigned long long) n.n_dropped);
}

static int open_server(Relay *relay) {
        _cleanup_(secret_done) Secret certificate = SECRET_NULL;
        _cleanup_(secret_done) Secret key = SECRET_NULL;
        const RelayOptions *o = &relay->options;
        HttpServerOptions options = {
                .body_max = o->body_max,
                .connections_max = o->connections_max,
                .connections_per_address = o->connections_per_address,
                .idle_timeout = o->idle_timeout,
                .ttl_default = o->ttl_default,
                .ttl_max = o->ttl_max,
                .policy = &relay->policy,
                .legacy_headers = o->legacy_headers,
                .webhook_prefixes = &o->webhooks,
        };
        uint16_t port;
        int r;

        r = read_pem(o->certificate, false, &certificate);
        if (r < 0)
                return r;
        r = read_pem(o->key, true, &key);
        if (r < 0)
                return r;
        if (o->rate > 0) {
                r = rate_limit_new(&relay->rate_limit, o->rate);
                if (r < 0)
                        return r;
        }
        r = open_webhooks(relay);
        if (r < 0)
                return r;
        options.webhook_queue = relay->webhooks;
        r = open_listener(relay, &options.listen_fd, &port);
        if (r < 0)
                return r;

        relay->policy = (RelayPolicy){
                .public_url = o->public_url ? o->public_url : relay->public_url,
                .empty_created = o->empty_created,
                .forbid_with_403 = o->forbid_with_403,
        };
        options.certificate = (const char *) certificate.data;
        options.key = (const char *) key.data;
        options.rate_limit = relay->rate_limit;
        r = http_server_new(&relay->server, relay->event, &options, &relay->stores, relay->log);
        if (r < 0) {
                log_error("the server cannot start; do certificate and key belong together?");
                return r;
        }
        if (o->port_file) {
                r = write_port(o->port_file, port);
                if (r < 0)
                        log_error("%s cannot be written: %s", o->port_file, strerror(-r));
        }
        return r;
}

static int open_event(Relay *relay) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t mask;
        int r;

        r = sd_event_default(&relay->event);
        if (r < 0)
                return r;
        (void) sigemptyset(&mask);
        for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                (void) sigaddset(&mask, signals[i]);
        /* Before the store starts its thread, which inherits the mask. */
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
                r = sd_event_add_signal(relay->event, NULL, signals[i], NULL, NULL);
                if (r < 0)
                        return r;
        }
        (void) signal(SIGPIPE, SIG_IGN);
        (void) sd_event_set_watchdog(relay->event, true);
        return sd_event_add_time_relative(relay->event,
                        &relay->sweep,
                        CLOCK_MONOTONIC,
                        0,
                        USEC_PER_SEC,
                        on_sweep,
                        relay);
}

/* Each connection is a descriptor. */
static void raise_descriptor_limit(unsigned connections) {
        struct rlimit limit;
        rlim_t wanted = (rlim_t) connections + 64;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
                return;
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void) setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(Relay *relay) {
        int r;

        raise_descriptor_limit(relay->options.connections_max);
        r = open_event(relay);
        if (r < 0)
                return r;
        r = request_log_new(&relay->log, relay->options.log);
        if (r < 0) {
                log_error("%s cannot be opened: %s", relay->options.log, strerror(-r));
                return r;
        }
        r = open_store(relay);
        if (r < 0)
                return r;
        r = open_server(relay);
        if (r < 0)
                return r;

        (void) sd_notifyf(0, "READY=1\nSTATUS=serving %s", relay->policy.public_url);
        r = sd_event_loop(relay->event);
        (void) sd_notify(0, "STOPPING=1");
        log_counts(relay);
        return r;
}

int main(int argc, char *argv[]) {
        _cleanup_(relay_done) Relay relay = { 0 };
        int r;

        log_open("vestibule-relay");
        r = relay_options_parse(&relay.options, argc, argv);
        if (r != 0)
                return r < 0 ? 2 : 0;
        r = secret_init();
        if (r == 0)
                r = run(&relay);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
