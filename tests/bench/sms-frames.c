/* The gateway's part of the benchmarks of text messages and of mail: asks a channel to send to a
 * number, or to another address as a URI, in frames on a socketpair, never more than --in-flight at
 * once. It is as little work as can be, so that the channel is measured and not this: all frames
 * are ready before the clock starts, and of an answer only its type is looked at.
 *
 * --settings is a file with the JSON object of the channel's settings, --credentials the folder of
 * its secrets. Begins when the channel is up. What is answered with `later` or `failed` ends it.
 * The result is one JSON line; CPU time and memory are those of the channel, CPU time from the
 * first request to the last `sent`. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "bench.h"
#include "cleanup.h"
#include "frame.h"
#include "time-text.h"

enum { IN_SIZE = 1 << 20 };

typedef struct Load {
        const char *channel, *settings, *credentials, *to;
        size_t count, in_flight;

        FrameBuffer out; /* all frames, one after the other */
        size_t *ends;    /* of each */
        pid_t pid;
        clockid_t clock;
        int fd;
        char *in;
        size_t in_size, started, ended;
        size_t sent; /* bytes of out */
        bool is_up;
} Load;

static void prepare_frames(Load *load) {
        load->ends = calloc(load->count, sizeof(*load->ends));
        load->in = malloc(IN_SIZE);
        bench_must(load->ends && load->in, "memory");
        for (size_t i = 0; i < load->count; i++) {
                char message[64], to[64];
                json_auto_t *frame = NULL;

                (void) snprintf(message, sizeof(message), "msg_%026zu", i);
                (void) snprintf(to,
                                sizeof(to),
                                "%s%s",
                                strchr(load->to, ':') ? "" : "sms:",
                                load->to);
                frame = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I}",
                                "type",
                                "send",
                                "id",
                                (json_int_t) i + 1,
                                "message",
                                message,
                                "kind",
                                "notice",
                                "to",
                                to,
                                "text",
                                "Hotel Adler: your key is ready. Code 1234, tag K7QM.",
                                "expires",
                                (json_int_t) time_wall() + 3600);
                bench_must(frame && frame_buffer_append(&load->out, frame) == 0, "a frame");
                load->ends[i] = load->out.end;
        }
}

static void start_channel(Load *load) {
        char where[32], credentials[4096];
        int pair[2];

        bench_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a socketpair");
        load->pid = fork();
        bench_must(load->pid >= 0, "fork");
        if (load->pid == 0) {
                (void) fcntl(pair[1], F_SETFD, 0);
                (void) snprintf(where, sizeof(where), "fd:%d", pair[1]);
                (void) snprintf(credentials,
                                sizeof(credentials),
                                "CREDENTIALS_DIRECTORY=%s",
                                load->credentials);
                (void) execle(load->channel,
                                load->channel,
                                "--gateway",
                                where,
                                NULL,
                                (char *[]){ credentials, NULL });
                _exit(127);
        }
        (void) close(pair[1]);
        load->fd = pair[0];
        bench_must(clock_getcpuclockid(load->pid, &load->clock) == 0, "its clock");
}

static double channel_seconds(const Load *load) {
        struct timespec t;

        bench_must(clock_gettime(load->clock, &t) == 0, "its clock");
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void receive(Load *load) {
        ssize_t n = recv(load->fd, load->in + load->in_size, IN_SIZE - load->in_size, 0);

        if (n <= 0)
                bench_fail("the channel went away");
        load->in_size += (size_t) n;
}

static bool begins(const uint8_t *content, size_t size, const char *text) {
        return size >= strlen(text) && memcmp(content, text, strlen(text)) == 0;
}

/* Frames begin with their type, which is what json_pack() put first. */
static void take_frame(Load *load, const uint8_t *content, size_t size) {
        if (begins(content, size, "{\"type\":\"sent\""))
                load->ended++;
        else if (begins(content, size, "{\"type\":\"status\",\"up\":true"))
                load->is_up = true;
        else if (!begins(content, size, "{\"type\":\"hello\"") &&
                        !begins(content,
                                        size,
                                        "{\"type\":\"status\",\"up\":false,\"reason\":"
                                        "\"connecting") &&
                        !begins(content, size, "{\"type\":\"delivered\""))
                bench_fail("a frame other than hoped for: %.*s", (int) size, content);
}

static void take_frames(Load *load) {
        const uint8_t *p = (const uint8_t *) load->in;
        size_t left = load->in_size;

        while (left >= FRAME_HEADER_SIZE) {
                size_t size = (size_t) p[0] << 24 | (size_t) p[1] << 16 | (size_t) p[2] << 8 | p[3];

                if (left < FRAME_HEADER_SIZE + size)
                        break;
                take_frame(load, p + FRAME_HEADER_SIZE, size);
                p += FRAME_HEADER_SIZE + size;
                left -= FRAME_HEADER_SIZE + size;
        }
        memmove(load->in, p, left);
        load->in_size = left;
}

static void greet(Load *load) {
        FrameBuffer welcome = FRAME_BUFFER_NULL;
        json_auto_t *frame = json_pack("{s:s, s:i, s:o}",
                        "type",
                        "welcome",
                        "protocol",
                        1,
                        "settings",
                        json_load_file(load->settings, 0, NULL));

        bench_must(frame && frame_buffer_append(&welcome, frame) == 0, "the settings");
        bench_must(send(load->fd,
                                   welcome.data + welcome.start,
                                   frame_buffer_size(&welcome),
                                   MSG_NOSIGNAL) == (ssize_t) frame_buffer_size(&welcome),
                        "the welcome");
        frame_buffer_done(&welcome);
        while (!load->is_up) {
                receive(load);
                take_frames(load);
        }
}

static void run(Load *load) {
        while (load->ended < load->count) {
                struct pollfd fd = { .fd = load->fd, .events = POLLIN };
                size_t end;

                load->started = load->ended + load->in_flight;
                if (load->started > load->count)
                        load->started = load->count;
                end = load->ends[load->started - 1];
                if (end > load->sent) {
                        ssize_t n = send(load->fd,
                                        load->out.data + load->sent,
                                        end - load->sent,
                                        MSG_NOSIGNAL | MSG_DONTWAIT);

                        if (n < 0 && errno != EAGAIN)
                                bench_fail("the channel went away");
                        load->sent += n > 0 ? (size_t) n : 0;
                }
                if (load->sent < end)
                        fd.events |= POLLOUT;
                if (poll(&fd, 1, 60000) <= 0)
                        bench_fail("nothing happens");
                if (fd.revents & (POLLIN | POLLHUP)) {
                        receive(load);
                        take_frames(load);
                }
        }
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "channel", BENCH_TEXT, offsetof(Load, channel) },
                { "settings", BENCH_TEXT, offsetof(Load, settings) },
                { "credentials", BENCH_TEXT, offsetof(Load, credentials) },
                { "to", BENCH_TEXT, offsetof(Load, to) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, in_flight) },
                { 0 },
        };

        if (bench_options(argc, argv, options, load) != argc || !load->channel || !load->settings ||
                        !load->credentials || !load->to || load->count == 0 || load->in_flight == 0)
                bench_fail("usage: sms-frames --channel PROGRAM --settings FILE --credentials "
                           "FOLDER --to NUMBER --count N --in-flight N");
}

int main(int argc, char **argv) {
        static Load load;
        double processor, seconds;
        uint64_t begin;
        int status;

        if (sodium_init() < 0)
                bench_fail("no randomness");
        parse_arguments(argc, argv, &load);
        prepare_frames(&load);
        start_channel(&load);
        greet(&load);
        processor = channel_seconds(&load);
        begin = time_boot();
        run(&load);
        seconds = (double) (time_boot() - begin) / 1e6;
        processor = channel_seconds(&load) - processor;
        (void) close(load.fd);
        bench_must(waitpid(load.pid, &status, 0) == load.pid && WIFEXITED(status) &&
                                        WEXITSTATUS(status) == 0,
                        "the channel");
        (void) printf("{\"requests\": %zu, \"seconds\": %.4f, \"rate\": %.1f, \"cpu_us\": %.2f}\n",
                        load.count,
                        seconds,
                        (double) load.count / seconds,
                        1e6 * processor / (double) load.count);
        return EXIT_SUCCESS;
}
