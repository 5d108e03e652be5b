/* A gateway that only asks: one process on a socket, a window, and a clock. */
#include "frame-load.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "time-text.h"

enum {
        IN_SIZE = 1 << 20,
        PATIENCE_SECONDS = 60,
};

void frame_load_add(FrameLoad *load, json_t *frame) {
        size_t i = load->n_prepared++;

        if (!load->ends)
                load->ends = calloc(load->count, sizeof(*load->ends));
        bench_must(load->ends && frame, "memory");
        bench_must(json_object_set_new(frame, "id", json_integer((json_int_t) i + 1)) == 0,
                        "memory");
        bench_must(frame_buffer_append(&load->out, frame) == 0, "a frame");
        load->ends[i] = load->out.end;
        json_decref(frame);
}

/* --- What the plugin says --- */

static bool begins(const uint8_t *content, size_t size, const char *text) {
        return size >= strlen(text) && memcmp(content, text, strlen(text)) == 0;
}

/* Frames begin with their type, which is what json_pack() put first. */
static void take_frame(FrameLoad *load, const uint8_t *content, size_t size) {
        if (begins(content, size, load->answer))
                load->ended++;
        else if (begins(content, size, "{\"type\":\"status\",\"up\":true"))
                load->is_up = true;
        else if (load->is_up || (!begins(content, size, "{\"type\":\"hello\"") &&
                                                !begins(content, size, "{\"type\":\"status\"")))
                bench_fail("a frame other than hoped for: %.*s", (int) size, content);
}

static void take_frames(FrameLoad *load) {
        const uint8_t *p = load->in;
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

static void receive(FrameLoad *load) {
        ssize_t n = recv(load->fd, load->in + load->in_size, IN_SIZE - load->in_size, 0);

        if (n <= 0)
                bench_fail("the program went away");
        load->in_size += (size_t) n;
        take_frames(load);
}

/* Until there is something to read, or room to write, or it is time. */
static void wait_for(FrameLoad *load, short events, uint64_t until) {
        struct pollfd fd = { .fd = load->fd, .events = events };
        uint64_t now = time_boot(), usec = PATIENCE_SECONDS * USEC_PER_SEC;
        struct timespec wait;
        int n;

        if (until != UINT64_MAX)
                usec = until > now ? until - now : 0;
        wait = (struct timespec){ .tv_sec = (time_t) (usec / USEC_PER_SEC),
                .tv_nsec = (long) (usec % USEC_PER_SEC * 1000) };
        n = ppoll(&fd, 1, &wait, NULL);
        if (n == 0 && until == UINT64_MAX)
                bench_fail("nothing happens");
        if (n > 0 && fd.revents & (POLLIN | POLLHUP))
                receive(load);
}

/* --- Its life --- */

static void execute(int fd, const char *program, const char *credentials) {
        char where[32], environment[4096];

        (void) fcntl(fd, F_SETFD, 0);
        (void) snprintf(where, sizeof(where), "fd:%d", fd);
        (void) snprintf(environment, sizeof(environment), "CREDENTIALS_DIRECTORY=%s", credentials);
        (void) execle(program, program, "--gateway", where, NULL, (char *[]){ environment, NULL });
        _exit(127);
}

static void welcome(const FrameLoad *load, json_t *settings) {
        FrameBuffer buffer = FRAME_BUFFER_NULL;
        json_auto_t *frame = json_pack(
                        "{s:s, s:i, s:o}", "type", "welcome", "protocol", 1, "settings", settings);

        bench_must(frame && frame_buffer_append(&buffer, frame) == 0, "the settings");
        bench_must(send(load->fd,
                                   buffer.data + buffer.start,
                                   frame_buffer_size(&buffer),
                                   MSG_NOSIGNAL) == (ssize_t) frame_buffer_size(&buffer),
                        "the welcome");
        frame_buffer_done(&buffer);
}

void frame_load_start(
                FrameLoad *load, const char *program, const char *credentials, json_t *settings) {
        int pair[2];

        load->in = malloc(IN_SIZE);
        bench_must(load->in, "memory");
        bench_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a socketpair");
        load->pid = fork();
        bench_must(load->pid >= 0, "fork");
        if (load->pid == 0)
                execute(pair[1], program, credentials);
        (void) close(pair[1]);
        load->fd = pair[0];
        welcome(load, settings);
        while (!load->is_up)
                wait_for(load, POLLIN, UINT64_MAX);
}

/* True when something of it did not fit. */
static bool send_until(FrameLoad *load, size_t end) {
        ssize_t n;

        if (end > load->sent) {
                n = send(load->fd,
                                load->out.data + load->sent,
                                end - load->sent,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno != EAGAIN)
                        bench_fail("the program went away");
                load->sent += n > 0 ? (size_t) n : 0;
        }
        return end > load->sent;
}

static void run(FrameLoad *load) {
        uint64_t begin = time_boot(), next;
        size_t started = 0;

        bench_must(load->n_prepared == load->count, "as many frames as requests");
        while (load->ended < load->count) {
                size_t may = bench_due(&load->pace, load->count, begin, time_boot(), &next);
                bool waits;

                if (may > load->ended + load->in_flight)
                        may = load->ended + load->in_flight;
                started = started > may ? started : may;
                waits = send_until(load, load->ends[started - 1]);
                wait_for(load, waits ? POLLIN | POLLOUT : POLLIN, next);
        }
}

/* In KiB: the most that it had. */
static long memory_of(pid_t pid) {
        static const char name[] = "VmHWM:";
        char path[64], line[256];
        long value = 0;
        FILE *f;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
        f = fopen(path, "re");
        bench_must(f, "reading its memory");
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, name, sizeof(name) - 1) == 0)
                        value = strtol(line + sizeof(name) - 1, NULL, 10);
        (void) fclose(f);
        return value;
}

void frame_load_measure(FrameLoad *load) {
        BenchSpan span;
        clockid_t clock;
        long memory;
        int status;

        bench_must(clock_getcpuclockid(load->pid, &clock) == 0, "its clock");
        bench_begin(&span, clock);
        run(load);
        bench_end(&span);
        memory = memory_of(load->pid);
        (void) close(load->fd);
        bench_must(waitpid(load->pid, &status, 0) == load->pid && WIFEXITED(status) &&
                                        WEXITSTATUS(status) == 0,
                        "the program");
        bench_report(&span, load->count, "memory_kib", memory);
}
