/* The gateway's part of the benchmarks of text messages and of mail: asks a channel to send to a
 * number, or to another address as a URI; see frame-load.h.
 *
 * --settings is a file with the JSON object of the channel's settings, --credentials the folder of
 * its secrets. What is answered with `later` or `failed` ends it. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "frame-load.h"
#include "time-text.h"

typedef struct Load {
        const char *channel, *settings, *credentials, *to;
        FrameLoad frames;
} Load;

static void prepare_frames(Load *load) {
        char message[64], to[64];

        (void) snprintf(to, sizeof(to), "%s%s", strchr(load->to, ':') ? "" : "sms:", load->to);
        for (size_t i = 0; i < load->frames.count; i++) {
                (void) snprintf(message, sizeof(message), "msg_%026zu", i);
                frame_load_add(&load->frames,
                                json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}",
                                                "type",
                                                "send",
                                                "message",
                                                message,
                                                "kind",
                                                "notice",
                                                "to",
                                                to,
                                                "text",
                                                "Hotel Adler: your key is ready. Code 1234, tag "
                                                "K7QM.",
                                                "expires",
                                                (json_int_t) time_wall() + 3600));
        }
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "channel", BENCH_TEXT, offsetof(Load, channel) },
                { "settings", BENCH_TEXT, offsetof(Load, settings) },
                { "credentials", BENCH_TEXT, offsetof(Load, credentials) },
                { "to", BENCH_TEXT, offsetof(Load, to) },
                { "count", BENCH_NUMBER, offsetof(Load, frames.count) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, frames.in_flight) },
                { 0 },
        };

        if (bench_options(argc, argv, options, load) != argc || !load->channel || !load->settings ||
                        !load->credentials || !load->to || load->frames.count == 0 ||
                        load->frames.in_flight == 0)
                bench_fail("usage: sms-frames --channel PROGRAM --settings FILE --credentials "
                           "FOLDER --to NUMBER --count N --in-flight N");
}

int main(int argc, char **argv) {
        static Load load = { .frames.answer = "{\"type\":\"sent\"" };

        if (sodium_init() < 0)
                bench_fail("no randomness");
        parse_arguments(argc, argv, &load);
        prepare_frames(&load);
        frame_load_start(&load.frames,
                        load.channel,
                        load.credentials,
                        json_load_file(load.settings, 0, NULL));
        frame_load_measure(&load.frames);
        return EXIT_SUCCESS;
}
