/* The gateway's part of the relay benchmark: asks vestibule-relay-client for creates or reads; see
 * frame-load.h. With --rate requests start at that pace, --burst at a time.
 *
 * The key folder is one of `vestibule-relay-client --make-key`. `read` takes the mailboxes that
 * `relay-multi create --make FILE` left. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "cleanup.h"
#include "envelope.h"
#include "frame-load.h"
#include "text.h"
#include "time-text.h"

enum { CONTENT_SIZE = 1280 /* of the token that is shared */ };

typedef struct Load {
        const char *client, *keys, *url, *ca_file, *mailboxes;
        bool create;
        FrameLoad frames;
} Load;

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

        file = read_public_key(load, key, &kid);
        if (!load->create) {
                f = fopen(load->mailboxes, "re");
                bench_must(f, "opening the list of mailboxes");
        }
        for (size_t i = 0; i < load->frames.count; i++)
                frame_load_add(&load->frames,
                                load->create ? create_frame(key, kid) : read_frame(f, kid));
        if (f)
                (void) fclose(f);
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "client", BENCH_TEXT, offsetof(Load, client) },
                { "keys", BENCH_TEXT, offsetof(Load, keys) },
                { "url", BENCH_TEXT, offsetof(Load, url) },
                { "ca-file", BENCH_TEXT, offsetof(Load, ca_file) },
                { "mailboxes", BENCH_TEXT, offsetof(Load, mailboxes) },
                { "count", BENCH_NUMBER, offsetof(Load, frames.count) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, frames.in_flight) },
                { "rate", BENCH_REAL, offsetof(Load, frames.pace.rate) },
                { "burst", BENCH_NUMBER, offsetof(Load, frames.pace.burst) },
                { 0 },
        };
        int first = bench_options(argc, argv, options, load);

        load->create = first == argc - 1 && strcmp(argv[first], "create") == 0;
        if (first != argc - 1 || (!load->create && strcmp(argv[first], "read") != 0) ||
                        (!load->create && !load->mailboxes) || !load->client || !load->keys ||
                        !load->url || !load->ca_file || load->frames.count == 0 ||
                        load->frames.in_flight == 0 || load->frames.pace.burst == 0)
                bench_fail("usage: relay-frames create|read --client PROGRAM --keys FOLDER --url "
                           "URL "
                           "--ca-file FILE --count N --in-flight N [--mailboxes FILE] [--rate N] "
                           "[--burst N]");
}

int main(int argc, char **argv) {
        static Load load = {
                .frames = { .answer = "{\"type\":\"done\"", .pace.burst = 1 },
        };

        if (sodium_init() < 0)
                bench_fail("no randomness");
        parse_arguments(argc, argv, &load);
        prepare_frames(&load);
        frame_load_start(&load.frames,
                        load.client,
                        load.keys,
                        json_pack("{s:s, s:s}", "url", load.url, "ca_file", load.ca_file));
        frame_load_measure(&load.frames);
        return EXIT_SUCCESS;
}
