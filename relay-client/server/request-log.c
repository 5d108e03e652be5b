#include "request-log.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <time.h>

#include "text.h"
#include "time-text.h"

enum {
        LINE_MAX_SIZE = 384,
        BUFFER_SIZE = 64 * 1024,
};

struct RequestLog {
        int fd;
        bool owns_fd;
        size_t used;
        time_t second; /* whose text is kept: most lines share it */
        char second_text[TIME_TEXT_SIZE];
        char buffer[BUFFER_SIZE];
};

int request_log_new(RequestLog **ret, const char *path) {
        _cleanup_(request_log_freep) RequestLog *log = calloc(1, sizeof(*log));

        if (!log)
                return -ENOMEM;
        log->fd = STDERR_FILENO;
        log->second = -1;
        if (path) {
                log->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
                if (log->fd < 0)
                        return -errno;
                log->owns_fd = true;
        }
        *ret = TAKE_PTR(log);
        return 0;
}

RequestLog *request_log_free(RequestLog *log) {
        if (!log)
                return NULL;
        if (log->fd >= 0)
                request_log_flush(log);
        if (log->owns_fd)
                (void) close(log->fd);
        free(log);
        return NULL;
}

/* A log that cannot be written must not stop the service, and there is nobody to tell. */
void request_log_flush(RequestLog *log) {
        size_t done = 0;

        while (done < log->used) {
                ssize_t n = write(log->fd, log->buffer + done, log->used - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                done += (size_t) n;
        }
        log->used = 0;
}

static void put_text(RequestLog *log, const char *text) {
        log->used = (size_t) ((char *) mempcpy(log->buffer + log->used, text, strlen(text)) -
                              log->buffer);
}

static void put_mailbox(RequestLog *log, const uint8_t id[RELAY_ID_SIZE]) {
        char text[UUID_TEXT_SIZE], hex[17];
        uint8_t hash[32];

        relay_id_text(id, text);
        (void) crypto_generichash(
                        hash, sizeof(hash), (const uint8_t *) text, strlen(text), NULL, 0);
        text_hex(hash, 8, hex);
        put_text(log, " mailbox=");
        put_text(log, hex);
}

static void put_time(RequestLog *log, uint64_t arrived_usec, uint64_t now_usec) {
        struct timespec ts;
        uint64_t wall;
        char text[96];

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        wall = (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000 -
               (now_usec - arrived_usec);
        if (log->second != (time_t) (wall / USEC_PER_SEC)) {
                log->second = (time_t) (wall / USEC_PER_SEC);
                time_text(log->second, log->second_text);
        }
        (void) snprintf(text,
                        sizeof(text),
                        "time=%.19s.%03uZ boot=%llu",
                        log->second_text,
                        (unsigned) (wall % USEC_PER_SEC / USEC_PER_MSEC),
                        (unsigned long long) arrived_usec);
        put_text(log, text);
}

void request_log_add(RequestLog *log, const RequestLogEntry *entry) {
        uint64_t now_usec = time_boot();
        char text[64];

        if (log->used + LINE_MAX_SIZE > BUFFER_SIZE)
                request_log_flush(log);

        put_time(log, entry->arrived_usec, now_usec);
        put_text(log, " op=");
        put_text(log, entry->operation);
        if (entry->status != 0) {
                (void) snprintf(text, sizeof(text), " status=%u", entry->status);
                put_text(log, text);
        }
        if (entry->request_id) {
                relay_id_text(entry->request_id, text);
                put_text(log, " request=");
                put_text(log, text);
        }
        if (entry->mailbox)
                put_mailbox(log, entry->mailbox);
        if (entry->note) {
                put_text(log, " ");
                put_text(log, entry->note);
        }
        if (entry->has_duration) {
                uint64_t usec = now_usec - entry->arrived_usec;

                (void) snprintf(text,
                                sizeof(text),
                                " ms=%llu.%03u",
                                (unsigned long long) (usec / USEC_PER_MSEC),
                                (unsigned) (usec % USEC_PER_MSEC));
                put_text(log, text);
        }
        put_text(log, "\n");
}
