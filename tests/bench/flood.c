/* Many recipients of the echo channel who answer, at a rate: the load of flood.py. What each says
 * is a line of --file, the address and the text, apart by a space. Messages to those addresses are
 * taken. It ends when every answer is acknowledged and, unless --no-texts, was written back to
 * once; an answer that the gateway puts off ends it with status 1, so the rate printed is one that
 * was taken.
 *
 * `ack` is from when an answer was due, and not from when it left: a gateway that makes others wait
 * does not make itself look faster by that. The result is one JSON line. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bench.h"
#include "stream.h"
#include "text.h"
#include "time-text.h"

enum {
        LINE_MAX_SIZE = 256,
        PREFIX_SIZE = 11, /* of "echo:flood-" */
};

typedef struct Flood {
        const char *phones, *file;
        double rate;
        size_t count;
        bool no_texts;

        sd_event *event;
        sd_event_source *timer;
        FrameStream *phone;
        char (*lines)[LINE_MAX_SIZE];
        uint64_t *due, *waited;
        size_t said, acknowledged, written_back;
        uint64_t begin, end;
        char salt[17];
} Flood;

static void say(Flood *f, json_t *frame) {
        bench_must_errno(frame_stream_send_new(f->phone, frame), "a frame did not leave");
}

static void answer(Flood *f, size_t i) {
        char inbound[64], *text = strchr(f->lines[i], ' ');

        bench_must(text != NULL, "a line without a space");
        *text++ = 0;
        (void) snprintf(inbound, sizeof(inbound), "%zu-%s", i, f->salt);
        say(f,
                        json_pack("{s:s, s:s, s:s, s:s}",
                                        "type",
                                        "reply",
                                        "inbound",
                                        inbound,
                                        "from",
                                        f->lines[i],
                                        "text",
                                        text));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Flood *f = userdata;
        BenchPace pace = { .rate = f->rate, .burst = 1 };
        uint64_t next, now = time_boot();
        size_t may = bench_due(&pace, f->count, f->begin, now, &next);

        (void) usec;
        for (; f->said < may; f->said++) {
                f->due[f->said] = f->begin + (uint64_t) ((double) f->said / f->rate * 1e6);
                answer(f, f->said);
        }
        if (f->said == f->count)
                return 0;
        bench_must_errno(sd_event_source_set_time(source, next), "timer");
        bench_must_errno(sd_event_source_set_enabled(source, SD_EVENT_ONESHOT), "timer");
        return 0;
}

static void on_ack(Flood *f, const json_t *frame) {
        size_t i = strtoul(json_string_value(json_object_get(frame, "inbound")), NULL, 10);

        bench_must(i < f->said, "an answer that was not given is acknowledged");
        f->waited[f->acknowledged++] = time_boot() - f->due[i];
        if (f->acknowledged == f->count)
                f->end = time_boot();
}

static void on_message(Flood *f, const json_t *frame) {
        const char *to = json_string_value(json_object_get(frame, "to"));

        if (!to || strncmp(to, "echo:flood-", PREFIX_SIZE) != 0)
                return; /* somebody else's */
        say(f,
                        json_pack("{s:s, s:O}",
                                        "type",
                                        "taken",
                                        "message",
                                        json_object_get(frame, "message")));
        f->written_back++;
}

static int on_frame(FrameStream *stream, json_t *frame, void *userdata) {
        const char *type = json_string_value(json_object_get(frame, "type"));
        Flood *f = userdata;

        (void) stream;
        if (streq(type, "message"))
                on_message(f, frame);
        else if (streq(type, "ack"))
                on_ack(f, frame);
        else
                bench_fail("an answer was not acknowledged: %s", type);
        if (f->acknowledged == f->count && (f->no_texts || f->written_back >= f->count))
                (void) sd_event_exit(f->event, 0);
        return 0;
}

static void on_end(FrameStream *stream, int error, const char *reason, void *userdata) {
        (void) stream;
        (void) error;
        (void) userdata;
        bench_fail("the connection was lost: %s", reason);
}

static void read_lines(Flood *f) {
        FILE *file = fopen(f->file, "re");

        bench_must(file != NULL, "the file");
        f->lines = calloc(f->count, sizeof(*f->lines));
        f->due = calloc(f->count, sizeof(*f->due));
        f->waited = calloc(f->count, sizeof(*f->waited));
        bench_must(f->lines && f->due && f->waited, "memory");
        for (size_t i = 0; i < f->count; i++) {
                bench_must(fgets(f->lines[i], LINE_MAX_SIZE, file) != NULL, "as many lines");
                f->lines[i][strcspn(f->lines[i], "\n")] = 0;
        }
        (void) fclose(file);
}

static void connect_phone(Flood *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        bench_must(strlen(f->phones) < sizeof(address.sun_path), "a shorter path");
        memcpy(address.sun_path, f->phones, strlen(f->phones));
        bench_must(fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0,
                        "the echo channel");
        bench_must_errno(frame_stream_new(&f->phone, f->event, fd, on_frame, on_end, f), "a phone");
        say(f, json_pack("{s:s, s:s}", "type", "subscribe", "address", "*"));
}

static int compare_times(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static void print_result(const Flood *f) {
        double seconds = (double) (f->end - f->begin) / 1e6;

        qsort(f->waited, f->count, sizeof(*f->waited), compare_times);
        (void) printf("{\"answers\": %zu, \"seconds\": %.3f, \"rate\": %.1f, "
                      "\"ack_p50_ms\": %.2f, \"ack_p99_ms\": %.2f}\n",
                        f->count,
                        seconds,
                        (double) f->count / seconds,
                        (double) f->waited[f->count / 2] / 1e3,
                        (double) f->waited[f->count * 99 / 100] / 1e3);
}

int main(int argc, char **argv) {
        static const BenchOption options[] = {
                { "phones", BENCH_TEXT, offsetof(Flood, phones) },
                { "file", BENCH_TEXT, offsetof(Flood, file) },
                { "rate", BENCH_REAL, offsetof(Flood, rate) },
                { "count", BENCH_NUMBER, offsetof(Flood, count) },
                { "no-texts", BENCH_FLAG, offsetof(Flood, no_texts) },
                { 0 },
        };
        Flood f = { 0 };
        uint8_t salt[8];

        if (bench_options(argc, argv, options, &f) != argc || !f.phones || !f.file || f.rate <= 0 ||
                        f.count == 0)
                bench_fail("usage: flood --phones PATH --file FILE --rate N --count N "
                           "[--no-texts]");
        bench_must(sodium_init() >= 0, "randomness");
        randombytes_buf(salt, sizeof(salt));
        (void) sodium_bin2hex(f.salt, sizeof(f.salt), salt, sizeof(salt));
        read_lines(&f);
        bench_must_errno(sd_event_new(&f.event), "the loop");
        connect_phone(&f);
        f.begin = time_boot();
        bench_must_errno(sd_event_add_time(f.event, &f.timer, CLOCK_BOOTTIME, 0, 1, on_timer, &f),
                        "timer");
        bench_must_errno(sd_event_loop(f.event), "the loop");
        print_result(&f);
        return EXIT_SUCCESS;
}
