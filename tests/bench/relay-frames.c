/* The gateway's part of the relay benchmark: asks vestibule-relay-client for creates or reads, in
 * frames on a socketpair, never more than --in-flight at once. It is as little work as can be, so
 * that the relay client is measured and not this: all frames are ready before the clock starts, and
 * of an answer only its type is looked at. With --rate requests start at that pace, --burst at a
 * time.
 *
 * The key folder is one of `vestibule-relay-client --make-key`. `read` takes the mailboxes that
 * `relay-multi create --make FILE` left. The result is one JSON line; CPU time and memory are those
 * of the relay client, CPU time from the first request to the last answer. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "bench.h"
#include "cleanup.h"
#include "envelope.h"
#include "frame.h"
#include "text.h"
#include "time-text.h"

enum {
        CONTENT_SIZE = 1280, /* of the token that is shared */
        IN_SIZE = 1 << 20,
};

typedef struct Load {
        const char *client, *keys, *url, *ca_file, *mailboxes;
        bool create;
        size_t count, in_flight, burst;
        double rate;

        FrameBuffer out; /* all frames, one after the other */
        size_t *ends;    /* of each */
        pid_t pid;
        clockid_t clock;
        int fd;
        char *in;
        size_t in_size, started, ended;
        size_t sent; /* bytes of out */
} Load;

/* --- the frames --- */

static void append(Load *load, size_t index, json_t *frame) {
        bench_must(frame, "memory");
        bench_must(json_object_set_new(frame, "id", json_integer((json_int_t) index + 1)) == 0,
                        "memory");
        bench_must(frame_buffer_append(&load->out, frame) == 0, "a frame");
        json_decref(frame);
        load->ends[index] = load->out.end;
}

static json_t *read_public_key(const Load *load, uint8_t ret[ENVELOPE_KEY_SIZE], const char **kid) {
        _cleanup_(freep) char *path = NULL;
        _cleanup_(freep) uint8_t *bytes = NULL;
        const json_t *key;
        json_t *file;
        size_t size = 0;

        bench_must(asprintf(&path, "%s/relay-key.pub", load->keys) > 0, "memory");
        file = json_load_file(path, 0, NULL);
        key = json_array_get(json_object_get(file, "keys"), 0);
        *kid = json_string_value(json_object_get(key, "kid"));
        bench_must(*kid &&
                                        text_from_base64(json_string_value(json_object_get(
                                                                         key, "key")),
                                                        false,
                                                        &bytes,
                                                        &size) == 0 &&
                                        size == ENVELOPE_KEY_SIZE,
                        "reading the public key");
        memcpy(ret, bytes, size);
        return file;
}

static json_t *create_frame(const uint8_t key[ENVELOPE_KEY_SIZE], const char *kid) {
        EnvelopeBinding binding = {
                .tenant = "adler", .credential_class = "hotel", .not_after = time_wall() + 86400
        };
        char claim[UUID_TEXT_SIZE], request[UUID_TEXT_SIZE], share[ID_TEXT_SIZE];
        char content[CONTENT_SIZE + 1] = "";
        _cleanup_(freep) char *box = NULL;
        json_auto_t *provisioning = NULL;
        uint8_t id[16];

        randombytes_buf(id, sizeof(id));
        text_id("shr_", id, share);
        text_uuid4_random(claim);
        text_uuid4_random(request);
        randombytes_buf(binding.nonce, sizeof(binding.nonce));
        randombytes_buf(binding.recipients, sizeof(binding.recipients));
        memset(content, 'x', CONTENT_SIZE);
        provisioning = json_pack("{s:s, s:{s:s}}",
                        "format",
                        "digitalwallet.generic.authorizationToken",
                        "content",
                        "token",
                        content);
        bench_must(provisioning && envelope_seal(&binding, provisioning, key, &box) == 0,
                        "sealing");
        return json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:{s:s, s:s, s:s}, s:o, s:s, "
                         "s:s}",
                        "type",
                        "create",
                        "share",
                        share,
                        "generation",
                        0,
                        "claim",
                        claim,
                        "request",
                        request,
                        "expiration",
                        (json_int_t) time_wall() + 7200,
                        "rights",
                        "RD",
                        "vertical",
                        "a",
                        "display",
                        "title",
                        "Room key",
                        "description",
                        "Hotel Adler",
                        "imageURL",
                        "https://hotel.example/key.png",
                        "envelope",
                        envelope_binding_write(&binding),
                        "kid",
                        kid,
                        "box",
                        box);
}

/* What lies there is what we left there: the recipient has not answered. */
static json_t *read_frame(FILE *f, const char *kid) {
        char mailbox[512], digest[64], claim[64], request[UUID_TEXT_SIZE], share[ID_TEXT_SIZE];
        uint8_t id[16];

        if (fscanf(f, "%511s %63s %63s", mailbox, claim, digest) != 3) {
                rewind(f);
                bench_must(fscanf(f, "%511s %63s %63s", mailbox, claim, digest) == 3, "reading");
        }
        randombytes_buf(id, sizeof(id));
        text_id("shr_", id, share);
        text_uuid4_random(request);
        return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:s}",
                        "type",
                        "read",
                        "share",
                        share,
                        "generation",
                        0,
                        "kid",
                        kid,
                        "mailbox",
                        mailbox,
                        "claim",
                        claim,
                        "request",
                        request,
                        "expect",
                        1,
                        "known",
                        digest);
}

static void prepare_frames(Load *load) {
        uint8_t key[ENVELOPE_KEY_SIZE];
        json_auto_t *file = NULL;
        FILE *f = NULL;
        const char *kid;

        load->ends = calloc(load->count, sizeof(*load->ends));
        load->in = malloc(IN_SIZE);
        bench_must(load->ends && load->in, "memory");
        file = read_public_key(load, key, &kid);
        if (!load->create) {
                f = fopen(load->mailboxes, "re");
                bench_must(f, "opening the list of mailboxes");
        }
        for (size_t i = 0; i < load->count; i++)
                append(load, i, load->create ? create_frame(key, kid) : read_frame(f, kid));
        if (f)
                (void) fclose(f);
}

/* --- the relay client --- */

static void start_client(Load *load) {
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
                                load->keys);
                (void) execle(load->client,
                                load->client,
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

static double client_seconds(const Load *load) {
        struct timespec t;

        bench_must(clock_gettime(load->clock, &t) == 0, "its clock");
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* One of the lines of /proc/PID/status, in KiB. */
static long client_memory(const Load *load, const char *name) {
        char path[64], line[256];
        long value = 0;
        FILE *f;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", (int) load->pid);
        f = fopen(path, "re");
        bench_must(f, "reading its memory");
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, name, strlen(name)) == 0)
                        value = strtol(line + strlen(name), NULL, 10);
        (void) fclose(f);
        return value;
}

static void receive(Load *load) {
        ssize_t n = recv(load->fd, load->in + load->in_size, IN_SIZE - load->in_size, 0);

        if (n <= 0)
                bench_fail("the relay client went away");
        load->in_size += (size_t) n;
}

/* Answers begin with their type, which is what json_pack() put first. */
static void take_answers(Load *load) {
        static const char done[] = "{\"type\":\"done\"", status[] = "{\"type\":\"status\"";
        const uint8_t *p = (const uint8_t *) load->in;
        size_t left = load->in_size;

        while (left >= FRAME_HEADER_SIZE) {
                size_t size = (size_t) p[0] << 24 | (size_t) p[1] << 16 | (size_t) p[2] << 8 | p[3];

                if (left < FRAME_HEADER_SIZE + size)
                        break;
                if (size > sizeof(done) &&
                                memcmp(p + FRAME_HEADER_SIZE, done, sizeof(done) - 1) == 0)
                        load->ended++;
                else if (size < sizeof(status) ||
                                memcmp(p + FRAME_HEADER_SIZE, status, sizeof(status) - 1) != 0)
                        bench_fail("an answer other than hoped for: %.*s",
                                        (int) size,
                                        p + FRAME_HEADER_SIZE);
                p += FRAME_HEADER_SIZE + size;
                left -= FRAME_HEADER_SIZE + size;
        }
        memmove(load->in, p, left);
        load->in_size = left;
}

static void greet(Load *load) {
        FrameBuffer welcome = FRAME_BUFFER_NULL;
        json_t *frame = json_pack("{s:s, s:i, s:{s:s, s:s}}",
                        "type",
                        "welcome",
                        "protocol",
                        1,
                        "settings",
                        "url",
                        load->url,
                        "ca_file",
                        load->ca_file);

        receive(load); /* hello */
        load->in_size = 0;
        bench_must(frame && frame_buffer_append(&welcome, frame) == 0, "memory");
        bench_must(send(load->fd,
                                   welcome.data + welcome.start,
                                   frame_buffer_size(&welcome),
                                   MSG_NOSIGNAL) == (ssize_t) frame_buffer_size(&welcome),
                        "the welcome");
        receive(load); /* status */
        take_answers(load);
        frame_buffer_done(&welcome);
        json_decref(frame);
}

/* --- the load --- */

/* Until which request they may have started now, and when the next may. */
static size_t due(const Load *load, uint64_t begin, uint64_t now, uint64_t *ret_next) {
        size_t n = load->ended + load->in_flight, n_due;

        *ret_next = UINT64_MAX;
        if (n > load->count)
                n = load->count;
        if (load->rate > 0) {
                n_due = (size_t) ((double) (now - begin) * load->rate / 1e6);
                n_due -= n_due % load->burst;
                n_due += load->burst;
                if (n_due < load->count)
                        *ret_next = begin + (uint64_t) ((double) n_due * 1e6 / load->rate) + 1;
                n = n < n_due ? n : n_due;
        }
        return n > load->started ? n : load->started;
}

static void run(Load *load) {
        uint64_t begin = time_boot(), now, next;

        while (load->ended < load->count) {
                struct pollfd fd = { .fd = load->fd, .events = POLLIN };
                struct timespec wait = { .tv_sec = 1 };
                size_t end;

                now = time_boot();
                load->started = due(load, begin, now, &next);
                end = load->started > 0 ? load->ends[load->started - 1] : 0;
                if (end > load->sent) {
                        ssize_t n = send(load->fd,
                                        load->out.data + load->sent,
                                        end - load->sent,
                                        MSG_NOSIGNAL | MSG_DONTWAIT);

                        if (n < 0 && errno != EAGAIN)
                                bench_fail("the relay client went away");
                        load->sent += n > 0 ? (size_t) n : 0;
                }
                if (load->sent < end)
                        fd.events |= POLLOUT;
                if (next != UINT64_MAX)
                        wait = (struct timespec){ .tv_nsec = next > now ? (long) (next - now) * 1000
                                                                        : 0 };
                if (wait.tv_nsec >= 1000000000)
                        wait = (struct timespec){ .tv_sec = 1 };
                if (ppoll(&fd, 1, &wait, NULL) > 0 && (fd.revents & (POLLIN | POLLHUP))) {
                        receive(load);
                        take_answers(load);
                }
        }
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "client", BENCH_TEXT, offsetof(Load, client) },
                { "keys", BENCH_TEXT, offsetof(Load, keys) },
                { "url", BENCH_TEXT, offsetof(Load, url) },
                { "ca-file", BENCH_TEXT, offsetof(Load, ca_file) },
                { "mailboxes", BENCH_TEXT, offsetof(Load, mailboxes) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, in_flight) },
                { "rate", BENCH_REAL, offsetof(Load, rate) },
                { "burst", BENCH_NUMBER, offsetof(Load, burst) },
                { 0 },
        };
        int first = bench_options(argc, argv, options, load);

        load->create = first == argc - 1 && strcmp(argv[first], "create") == 0;
        if (first != argc - 1 || (!load->create && strcmp(argv[first], "read") != 0) ||
                        (!load->create && !load->mailboxes) || !load->client || !load->keys ||
                        !load->url || !load->ca_file || load->count == 0 || load->in_flight == 0 ||
                        load->burst == 0)
                bench_fail("usage: relay-frames create|read --client PROGRAM --keys FOLDER --url "
                           "URL "
                           "--ca-file FILE --count N --in-flight N [--mailboxes FILE] [--rate N] "
                           "[--burst N]");
}

int main(int argc, char **argv) {
        static Load load = { .burst = 1 };
        double processor, seconds;
        uint64_t begin;
        long memory;
        int status;

        if (sodium_init() < 0)
                bench_fail("no randomness");
        parse_arguments(argc, argv, &load);
        prepare_frames(&load);
        start_client(&load);
        greet(&load);
        processor = client_seconds(&load);
        begin = time_boot();
        run(&load);
        seconds = (double) (time_boot() - begin) / 1e6;
        processor = client_seconds(&load) - processor;
        memory = client_memory(&load, "VmHWM:");
        (void) close(load.fd);
        bench_must(waitpid(load.pid, &status, 0) == load.pid && WIFEXITED(status) &&
                                        WEXITSTATUS(status) == 0,
                        "the relay client");
        (void) printf("{\"requests\": %zu, \"seconds\": %.4f, \"rate\": %.1f, \"cpu_us\": %.2f, "
                      "\"memory_kib\": %ld}\n",
                        load.count,
                        seconds,
                        (double) load.count / seconds,
                        1e6 * processor / (double) load.count,
                        memory);
        return EXIT_SUCCESS;
}
