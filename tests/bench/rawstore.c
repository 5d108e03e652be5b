/* The yardstick of the lifecycle benchmark: the rows that a share's life writes, straight into the
 * store, with nothing around it. One thread, no sealing, no rendering, no savepoints, no plugin;
 * batches of --batch shares (64) take the same step together, each batch in one transaction that is
 * synced as vestibuled's are.
 *
 * It is the same code (store-sqlite.c), and what is written is what vestibuled writes in a
 * lifecycle of lifecycle.c, in sizes that bench.py has read from a real store. Of what vestibuled
 * reads, it reads a share's row once in each step: no step could do without. */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "store.h"
#include "time-text.h"

enum { BLOB_MAX = 256 * 1024, BATCH_MAX = 1024 };

/* Parts of a share, as vestibuled numbers them. */
enum {
        PART_INVITATION,
        PART_CREATE,
        PART_READ,
        PART_LINK,
        PART_NOTICE,
        PART_DELETE,
};

typedef struct Sizes {
        size_t details, payload, invitation, link, notice, mailbox, answer, reference;
} Sizes;

typedef struct Raw {
        Store *store;
        Sizes sizes;
        const uint8_t *blob; /* what everything is a piece of */
        int64_t now, numbers[BATCH_MAX];
} Raw;

static void must(int r, const char *what) {
        if (r == 0)
                return;
        (void) fprintf(stderr, "%s: %s\n", what, r < 0 ? strerror(-r) : "not as expected");
        exit(EXIT_FAILURE);
}

static uint8_t *piece(const Raw *raw, size_t size) {
        uint8_t *copy = malloc(size);

        if (!copy)
                must(-ENOMEM, "memory");
        memcpy(copy, raw->blob + randombytes_uniform(4096), size);
        return copy;
}

static void random_index(uint8_t ret[VAULT_INDEX_SIZE]) {
        randombytes_buf(ret, VAULT_INDEX_SIZE);
}

static void queue(Raw *raw, int64_t n, int part, OutboxKind kind, const char *lane) {
        OutboxRow row = { .share = n, .part = part, .kind = kind };

        (void) snprintf(row.lane, sizeof(row.lane), "%s", lane);
        must(store_outbox_put(raw->store, &row), "outbox");
}

/* Claiming writes as well: a copy may leave from now on. */
static void claim(Raw *raw, int64_t n, int part, OutboxKind kind, const char *lane) {
        OutboxRow row = { .share = n, .part = part, .kind = kind, .attempts = 1 };

        (void) snprintf(row.lane, sizeof(row.lane), "%s", lane);
        must(store_outbox_attempt(raw->store, &row), "claim");
}

static void message(Raw *raw, int64_t n, int part, OutboxKind kind, size_t size) {
        must(store_message_put(raw->store, n, part, kind, 0, raw->blob + n % 4096, size),
                        "message");
        queue(raw, n, part, kind, "echo");
        claim(raw, n, part, kind, "echo");
}

static void load(Raw *raw, int64_t n, Share *ret) {
        must(store_share_load(raw->store, n, ret), "load");
        ret->version++;
}

static void save(Raw *raw, Share *share) {
        must(store_share_update(raw->store, share), "save");
        share_done(share);
}

static void saw(Raw *raw) {
        uint8_t index[VAULT_INDEX_SIZE];

        random_index(index);
        must(store_seen_add(raw->store, index, raw->now + 86400), "seen");
}

/* --- the steps --- */

static void step_create(Raw *raw, int64_t n) {
        Share share = { .n = n,
                .tenant = strdup("adler"),
                .policy = strdup("hotel"),
                .state = LIFECYCLE_PENDING,
                .goal = LIFECYCLE_STATE_MAX,
                .cause = LIFECYCLE_CAUSE_NONE,
                .version = 1,
                .due = raw->now + 86400,
                .created = raw->now,
                .expires = raw->now + 86400,
                .attempts = { .left = 3, .total_left = 5, .mistyped_left = 20 },
                .key = piece(raw, VAULT_WRAPPED_SIZE),
                .code = piece(raw, VAULT_VERIFIER_SIZE),
                .idempotency = piece(raw, VAULT_INDEX_SIZE),
                .reference = piece(raw, raw->sizes.reference),
                .reference_size = raw->sizes.reference,
                .n_addresses = 1,
                .messages = 1 };
        StoreAnswer answer = { .share = n,
                .status = 201,
                .answer = piece(raw, raw->sizes.answer),
                .answer_size = raw->sizes.answer };
        uint8_t reference[VAULT_INDEX_SIZE];

        saw(raw); /* the box's nonce */
        random_index(share.addresses[0]);
        random_index(share.idempotency);
        random_index(reference);
        share_note(&share, raw->now, TIMELINE_CREATED, 0, 0);
        must(store_address_put(raw->store, share.addresses[0], n), "address");
        must(store_reference_put(raw->store, reference, n), "reference");
        must(store_content_put(raw->store,
                             n,
                             raw->blob,
                             raw->sizes.details,
                             raw->blob + n % 4096,
                             raw->sizes.payload),
                        "content");
        must(store_answer_put(raw->store, share.idempotency, &answer, raw->now + 86400), "answer");
        must(store_share_insert(raw->store, &share), "insert");
        message(raw, n, PART_INVITATION, OUTBOX_INVITATION, raw->sizes.invitation);
        free(answer.answer);
        share_done(&share);
}

static void step_invited(Raw *raw, int64_t n) {
        Share share;

        load(raw, n, &share);
        must(store_outbox_remove(raw->store, n, PART_INVITATION), "sent");
        share.state = LIFECYCLE_INVITED;
        share_note(&share, raw->now, TIMELINE_INVITATION_ACCEPTED, 0, 0);
        save(raw, &share);
}

/* The spend stands alone before the comparison; then confirmed and releasing. */
static void step_reply(Raw *raw, int64_t n) {
        Share share;

        saw(raw);
        load(raw, n, &share);
        share.attempts.left--;
        share.attempts.total_left--;
        must(store_share_update(raw->store, &share), "spend");
        share_note(&share, raw->now, TIMELINE_CONFIRMED, 0, 0);
        share_note(&share, raw->now, TIMELINE_RELEASING, 0, 0);
        share.state = LIFECYCLE_RELEASING;
        share.due = 0;
        share.mailbox_expires = raw->now + 86400;
        share.messages++;
        share_drop(&share.code, VAULT_VERIFIER_SIZE);
        must(store_answer_wipe(raw->store, share.idempotency), "wipe");
        queue(raw, n, PART_CREATE, OUTBOX_CREATE, "relay-main");
        claim(raw, n, PART_CREATE, OUTBOX_CREATE, "relay-main");
        save(raw, &share);
}

static void step_released(Raw *raw, int64_t n) {
        Share share;

        load(raw, n, &share);
        must(store_outbox_remove(raw->store, n, PART_CREATE), "made");
        must(store_payload_wipe(raw->store, n), "wipe");
        queue(raw, n, PART_READ, OUTBOX_READ, "relay-main");
        message(raw, n, PART_LINK, OUTBOX_LINK, raw->sizes.link);
        share.state = LIFECYCLE_RELEASED;
        share.due = share.mailbox_expires;
        share.messages += 2;
        share.flags |= SHARE_LINK_LEFT;
        share.mailbox = piece(raw, raw->sizes.mailbox);
        share.mailbox_size = raw->sizes.mailbox;
        share_note(&share, raw->now, TIMELINE_RELEASED, 0, 0);
        save(raw, &share);
}

static void step_link_sent(Raw *raw, int64_t n) {
        Share share;

        load(raw, n, &share);
        must(store_outbox_remove(raw->store, n, PART_LINK), "sent");
        share_note(&share, raw->now, TIMELINE_LINK_ACCEPTED, 0, 0);
        save(raw, &share);
}

static void step_acknowledged(Raw *raw, int64_t n) {
        Share share;

        saw(raw);
        load(raw, n, &share);
        message(raw, n, PART_NOTICE, OUTBOX_NOTICE, raw->sizes.notice);
        queue(raw, n, PART_DELETE, OUTBOX_DELETE, "relay-main");
        share.flags |= SHARE_ACKNOWLEDGED;
        share.messages += 2;
        share.answers++;
        share_note(&share, raw->now, TIMELINE_ACKNOWLEDGED, 0, 0);
        save(raw, &share);
}

static void step_completed(Raw *raw, int64_t n) {
        Share share;

        load(raw, n, &share);
        must(store_outbox_remove(raw->store, n, PART_NOTICE), "notice");
        must(store_message_remove(raw->store, n, PART_NOTICE), "notice");
        must(store_outbox_remove(raw->store, n, PART_DELETE), "gone");
        must(store_outbox_remove_all(raw->store, n, true), "end");
        must(store_message_remove_all(raw->store, n, true), "end");
        must(store_content_remove(raw->store, n), "end");
        must(store_address_end(raw->store, share.addresses[0], n), "end");
        share_drop(&share.key, VAULT_WRAPPED_SIZE);
        share_drop(&share.mailbox, share.mailbox_size);
        share.mailbox_size = 0;
        share.state = LIFECYCLE_COMPLETED;
        share.cause = LIFECYCLE_CAUSE_ACKNOWLEDGED;
        share.ended = raw->now;
        share.due = raw->now + 86400;
        share_note(&share, raw->now, TIMELINE_ENDED, 0, 0);
        save(raw, &share);
}

static void run_batch(Raw *raw, size_t batch) {
        static void (*const steps[])(Raw *, int64_t) = {
                step_create,
                step_invited,
                step_reply,
                step_released,
                step_link_sent,
                step_acknowledged,
                step_completed,
        };

        for (size_t step = 0; step < sizeof(steps) / sizeof(*steps); step++) {
                must(store_begin(raw->store), "begin");
                for (size_t i = 0; i < batch; i++)
                        steps[step](raw, raw->numbers[i]);
                must(store_commit(raw->store), "commit");
                if (store_needs_restart(raw->store)) /* or later, while the helper is at it */
                        (void) store_checkpoint(raw->store, false);
        }
}

static size_t number(const char *text) {
        size_t value = strtoul(text, NULL, 10);

        if (value > BLOB_MAX - 4096)
                must(-ERANGE, text);
        return value;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "details", required_argument, NULL, offsetof(Sizes, details) },
                { "payload", required_argument, NULL, offsetof(Sizes, payload) },
                { "invitation", required_argument, NULL, offsetof(Sizes, invitation) },
                { "link", required_argument, NULL, offsetof(Sizes, link) },
                { "notice", required_argument, NULL, offsetof(Sizes, notice) },
                { "mailbox", required_argument, NULL, offsetof(Sizes, mailbox) },
                { "answer", required_argument, NULL, offsetof(Sizes, answer) },
                { "reference", required_argument, NULL, offsetof(Sizes, reference) },
                { "directory", required_argument, NULL, 'd' },
                { "count", required_argument, NULL, 'n' },
                { "batch", required_argument, NULL, 'b' },
                { 0 },
        };
        static const uint8_t check[VAULT_CHECK_SIZE] = { 0 };
        const char *directory = NULL;
        size_t count = 0, batch = 64, done = 0;
        Raw raw = { 0 };
        uint8_t *blob = malloc(BLOB_MAX);
        uint64_t begin;
        int64_t time;
        double seconds;
        int c;

        if (sodium_init() < 0 || !blob)
                must(-ENOMEM, "start");
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 'd':
                        directory = optarg;
                        break;
                case 'n':
                        count = strtoul(optarg, NULL, 10);
                        break;
                case 'b':
                        batch = strtoul(optarg, NULL, 10);
                        break;
                case '?':
                        return 2;
                default:
                        *(size_t *) ((uint8_t *) &raw.sizes + c) = number(optarg);
                        break;
                }
        if (!directory || count == 0 || batch == 0 || batch > BATCH_MAX)
                must(-EINVAL, "usage: rawstore --directory DIR --count N --details BYTES …");
        randombytes_buf(blob, BLOB_MAX);
        raw.blob = blob;
        raw.now = time_wall();
        must(store_open(&raw.store, directory, check, &time), "open");

        begin = time_boot();
        for (; done < count; done += batch) {
                int64_t n = (raw.now * 1000 + (int64_t) (time_boot() / 1000 % 1000)) << 20;

                for (size_t i = 0; i < batch; i++)
                        raw.numbers[i] = (n > store_last(raw.store) ? n : store_last(raw.store)) +
                                         (int64_t) i * 1024 + 1 + randombytes_uniform(1024);
                run_batch(&raw, batch);
        }
        seconds = (double) (time_boot() - begin) / 1e6;
        (void) printf("{\"shares\": %zu, \"seconds\": %.4f, \"rate\": %.1f}\n",
                        done,
                        seconds,
                        (double) done / seconds);
        store_close(raw.store);
        free(blob);
        return EXIT_SUCCESS;
}
