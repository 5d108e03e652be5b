/* The reference of the relay benchmark: what a bare libcurl multi loop needs for the same requests
 * to the same relay. Draft V's Create, with a body as large as the relay client's, and Read, by the
 * Initiator; TLS verified, connections kept, and nothing done with an answer but to look at its
 * status. All requests are ready before the clock starts.
 *
 * `--make FILE` with `create` writes a line "mailbox claim digest" for each, which `read` and
 * relay-frames.c read. At most --in-flight requests are under way; with --rate they start at that
 * pace, --burst at a time. The result is one JSON line; CPU time is of this process from the first
 * request to the last answer. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "cleanup.h"
#include "draft-v.h"
#include "multi-loop.h"
#include "text.h"
#include "time-text.h"

enum {
        IN_FLIGHT_MAX = 256,
        ANSWER_SIZE = 16 * 1024,
        CONTENT_SIZE = 1350, /* of the plaintext: provisioning information as the driver shares it
                              */
};

typedef struct Load Load;

typedef struct Slot {
        Load *load;
        CURL *easy;
        struct curl_slist *headers;
        size_t index; /* of its request */
        size_t size;
        char answer[ANSWER_SIZE];
} Slot;

struct Load {
        const char *relay, *ca_file, *make, *mailboxes;
        bool create;
        size_t count, in_flight, n_connections_max;
        BenchPace pace;

        HttpRequest *requests;
        char (*claims)[UUID_TEXT_SIZE];
        char digest[64];
        char **made;

        MultiLoop loop;
        Slot slots[IN_FLIGHT_MAX], *idle[IN_FLIGHT_MAX];
        size_t n_idle, started, ended;
};

/* --- the requests --- */

static void prepare_creates(Load *load) {
        uint8_t blob[12 + CONTENT_SIZE + 16], hash[crypto_hash_sha256_BYTES];
        char base[256], request_id[UUID_TEXT_SIZE];
        _cleanup_(freep) char *data = NULL, *digest = NULL;

        randombytes_buf(blob, sizeof(blob));
        data = text_base64(blob, sizeof(blob));
        (void) crypto_hash_sha256(hash, blob, sizeof(blob));
        digest = text_base64(hash, sizeof(hash));
        bench_must(data && digest, "memory");
        (void) snprintf(load->digest, sizeof(load->digest), "%s", digest);
        (void) snprintf(base, sizeof(base), "https://%s", load->relay);
        for (size_t i = 0; i < load->count; i++) {
                text_uuid4_random(load->claims[i]);
                text_uuid4_random(request_id);
                bench_must(draft_v_create(base,
                                           &(DraftVCaller){ .claim = load->claims[i],
                                                           .request_id = request_id },
                                           &(DraftVCreate){
                                                           .title = "Room key",
                                                           .description = "Hotel Adler",
                                                           .image_url = "https://hotel.example/"
                                                                        "key.png",
                                                           .payload_type = "AEAD_AES_128_GCM",
                                                           .payload_data = data,
                                                           .access_rights = "RWD",
                                                           .expiration = time_wall() + 7200,
                                           },
                                           &load->requests[i]) == 0,
                                "a request");
        }
}

static void prepare_reads(Load *load) {
        char mailbox[512], digest[64], claim[64], request_id[UUID_TEXT_SIZE];
        FILE *f = fopen(load->mailboxes, "re");

        bench_must(f, "opening the list of mailboxes");
        for (size_t i = 0; i < load->count; i++) {
                if (fscanf(f, "%511s %63s %63s", mailbox, claim, digest) != 3) {
                        rewind(f);
                        bench_must(fscanf(f, "%511s %63s %63s", mailbox, claim, digest) == 3,
                                        "reading");
                }
                text_uuid4_random(request_id);
                bench_must(draft_v_plain(DRAFT_V_READ,
                                           mailbox,
                                           &(DraftVCaller){ .claim = claim,
                                                           .request_id = request_id },
                                           &load->requests[i]) == 0,
                                "a request");
        }
        (void) fclose(f);
}

static void write_mailboxes(const Load *load) {
        FILE *f = fopen(load->make, "we");

        bench_must(f, "opening the list of mailboxes");
        for (size_t i = 0; i < load->count; i++)
                (void) fprintf(f, "%s %s %s\n", load->made[i], load->claims[i], load->digest);
        bench_must(fclose(f) == 0, "writing the list of mailboxes");
}

/* --- the loop --- */

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Slot *slot = userdata;

        if (size * n >= sizeof(slot->answer) - slot->size)
                return 0;
        memcpy(slot->answer + slot->size, data, size * n);
        slot->size += size * n;
        return size * n;
}

static void start(Load *load, Slot *slot) {
        const HttpRequest *request = &load->requests[load->started];

        slot->index = load->started++;
        slot->size = 0;
        curl_slist_free_all(slot->headers);
        slot->headers = curl_slist_append(NULL, "Accept: application/json");
        slot->headers = curl_slist_append(slot->headers, "Expect:");
        if (!request->body)
                slot->headers = curl_slist_append(slot->headers, "Content-Type:");
        for (size_t i = 0; i < request->n_headers; i++)
                slot->headers = curl_slist_append(slot->headers, request->headers[i]);
        bench_must(slot->headers, "memory");
        (void) curl_easy_setopt(slot->easy, CURLOPT_URL, request->url);
        (void) curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
        (void) curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE, (long) request->body_size);
        (void) curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        multi_loop_add(&load->loop, slot->easy);
}

static void keep_mailbox(Load *load, const Slot *slot) {
        static const char begin[] = "{\"urlLink\":\"";
        const char *end;

        bench_must(slot->size > sizeof(begin) &&
                                        memcmp(slot->answer, begin, sizeof(begin) - 1) == 0,
                        "finding the link");
        end = memchr(slot->answer + sizeof(begin) - 1, '"', slot->size - sizeof(begin) + 1);
        bench_must(end, "finding the end of the link");
        load->made[slot->index] = strndup(slot->answer + sizeof(begin) - 1,
                        (size_t) (end - slot->answer) - sizeof(begin) + 1);
        bench_must(load->made[slot->index], "memory");
}

static void drain(Load *load) {
        CURL *easy;

        while ((easy = multi_loop_take(&load->loop, 200))) {
                char *p = NULL;
                Slot *slot;

                (void) curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p);
                slot = (Slot *) (void *) p;
                if (load->make)
                        keep_mailbox(load, slot);
                load->ended++;
                load->idle[load->n_idle++] = slot;
        }
}

static void run(Load *load) {
        uint64_t begin = time_boot(), next;

        while (load->ended < load->count) {
                size_t may = bench_due(&load->pace, load->count, begin, time_boot(), &next);

                while (load->n_idle > 0 && load->started < may)
                        start(load, load->idle[--load->n_idle]);
                multi_loop_turn(&load->loop, next);
                drain(load);
        }
}

/* --- the whole --- */

static void prepare_slots(Load *load) {
        for (size_t i = 0; i < load->in_flight; i++) {
                Slot *slot = &load->slots[i];

                slot->load = load;
                slot->easy = curl_easy_init();
                bench_must(slot->easy, "memory");
                (void) curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L);
                (void) curl_easy_setopt(slot->easy, CURLOPT_POST, 1L);
                (void) curl_easy_setopt(
                                slot->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
                (void) curl_easy_setopt(slot->easy, CURLOPT_CAINFO, load->ca_file);
                /* As in http-connection.c: with Debian's folder of issuers there is no cache of
                 * them. */
                (void) curl_easy_setopt(slot->easy, CURLOPT_CAPATH, NULL);
                (void) curl_easy_setopt(slot->easy, CURLOPT_PROXY, "");
                (void) curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, on_body);
                (void) curl_easy_setopt(slot->easy, CURLOPT_WRITEDATA, slot);
                (void) curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
                load->idle[load->n_idle++] = slot;
        }
}

static void prepare(Load *load) {
        load->requests = calloc(load->count, sizeof(*load->requests));
        load->claims = calloc(load->count, sizeof(*load->claims));
        load->made = calloc(load->count, sizeof(*load->made));
        bench_must(load->requests && load->claims && load->made, "memory");
        multi_loop_init(&load->loop, IN_FLIGHT_MAX, load->n_connections_max);
        prepare_slots(load);
        if (load->create)
                prepare_creates(load);
        else
                prepare_reads(load);
}

static void parse_arguments(int argc, char **argv, Load *load) {
        static const BenchOption options[] = {
                { "relay", BENCH_TEXT, offsetof(Load, relay) },
                { "ca-file", BENCH_TEXT, offsetof(Load, ca_file) },
                { "make", BENCH_TEXT, offsetof(Load, make) },
                { "mailboxes", BENCH_TEXT, offsetof(Load, mailboxes) },
                { "count", BENCH_NUMBER, offsetof(Load, count) },
                { "in-flight", BENCH_NUMBER, offsetof(Load, in_flight) },
                { "connections", BENCH_NUMBER, offsetof(Load, n_connections_max) },
                { "rate", BENCH_REAL, offsetof(Load, pace.rate) },
                { "burst", BENCH_NUMBER, offsetof(Load, pace.burst) },
                { 0 },
        };
        int first = bench_options(argc, argv, options, load);

        load->create = first == argc - 1 && strcmp(argv[first], "create") == 0;
        if (first != argc - 1 || (!load->create && strcmp(argv[first], "read") != 0) ||
                        (!load->create && !load->mailboxes) || !load->relay || !load->ca_file ||
                        load->count == 0 || load->in_flight == 0 || load->pace.burst == 0 ||
                        load->in_flight > IN_FLIGHT_MAX)
                bench_fail("usage: relay-multi create|read --relay HOST:PORT --ca-file FILE "
                           "--count N "
                           "--in-flight N [--connections N] [--make FILE] [--mailboxes FILE] "
                           "[--rate N] [--burst N]");
}

int main(int argc, char **argv) {
        static Load load = { .pace.burst = 1 };
        BenchSpan span;

        if (sodium_init() < 0)
                bench_fail("no randomness");
        parse_arguments(argc, argv, &load);
        prepare(&load);
        bench_begin(&span, CLOCK_PROCESS_CPUTIME_ID);
        run(&load);
        bench_end(&span);
        if (load.make)
                write_mailboxes(&load);
        bench_report(&span, load.count, "connections", load.loop.n_connections);
        return EXIT_SUCCESS;
}
