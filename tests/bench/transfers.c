/* Makes many transfers of several messages that are under way, an hour after their last progress:
 * writes them into the store of a gateway, and their mailboxes into that of a relay, neither of
 * which runs, as both would have written them. For relay.py's measurement of what looking after
 * them costs.
 *
 * Usage: transfers GATEWAY-STATE ROOT-KEY KID RELAY-STATE RELAY-URL COUNT */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "json-quick.h"
#include "log.h"
#include "mailbox-store.h"
#include "store.h"
#include "time-text.h"
#include "vault.h"

enum {
        HOUR = 3600,
        BLOB_SIZE = 700,
        SHARES_PER_COMMIT = 1000,
};

typedef struct World {
        Vault *vault;
        Store *store;
        RelayDatabase *database;
        MailboxStore *mailboxes;
        const char *kid, *url;
        int64_t now;
        uint8_t blob[BLOB_SIZE], digest[STORE_DIGEST_SIZE];
        char *payload; /* of every mailbox; they differ in nothing that is looked at */
} World;

static void check(bool good, const char *what) {
        if (good)
                return;
        (void) fprintf(stderr, "%s failed\n", what);
        exit(1);
}

static void open_gateway(World *w, const char *state, const char *root_path) {
        _cleanup_(secret_done) Secret root = SECRET_NULL;
        uint8_t value[VAULT_CHECK_SIZE];
        FILE *file = fopen(root_path, "re");
        int64_t time;

        check(file && secret_new(&root, VAULT_ROOT_SIZE) == 0 &&
                                        fread(root.data, 1, root.size, file) == root.size,
                        "reading the root key");
        (void) fclose(file);
        check(vault_new(&w->vault, &root) == 0, "making the vault");
        vault_check_value(w->vault, value);
        check(store_open(&w->store, state, value, &time) == 0, "opening the gateway's store");
}

static void open_relay(World *w, const char *state) {
        const char *reason;

        check(relay_database_open(&w->database, state, &reason) == 0 &&
                                        mailbox_store_new(&w->mailboxes, w->database) == 0,
                        "opening the relay's store");
}

static void make_payload(World *w) {
        _cleanup_(freep) char *data = NULL;
        int n;

        randombytes_buf(w->blob, sizeof(w->blob));
        (void) crypto_hash_sha256(w->digest, w->blob, sizeof(w->blob));
        data = text_base64(w->blob, sizeof(w->blob));
        n = data ? asprintf(&w->payload, "{\"type\":\"AEAD_AES_128_GCM\",\"data\":\"%s\"}", data)
                 : -1;
        check(n > 0, "making a payload");
}

static void add_mailbox(World *w, const char *claim_text, const uint8_t id[RELAY_ID_SIZE]) {
        static const char display[] =
                        "{\"title\":\"Van 12\",\"description\":\"\",\"imageURL\":\"\"}";
        Mailbox mailbox = { .rights = RELAY_RIGHT_READ | RELAY_RIGHT_WRITE | RELAY_RIGHT_DELETE,
                .expiration = w->now + 12 * HOUR };
        uint8_t claim[RELAY_ID_SIZE];

        check(relay_id_parse(claim_text, claim) == 0, "reading a claim");
        (void) crypto_generichash(mailbox.initiator,
                        sizeof(mailbox.initiator),
                        claim,
                        sizeof(claim),
                        NULL,
                        0);
        check(mailbox_store_insert(w->mailboxes, id, &mailbox, NULL, display, w->payload) == 0,
                        "adding a mailbox");
}

static void seal(World *w,
                const VaultKey *key,
                int64_t n,
                VaultField field,
                const char *text,
                uint8_t **ret,
                size_t *ret_size) {
        check(vault_seal(w->vault, key, n, field, 0, text, strlen(text), ret, ret_size) == 0,
                        "sealing");
}

static void add_transfer(World *w, int64_t n, const char *claim, const char *mailbox) {
        Transfer transfer = { .share = n,
                .lane = "relay-main",
                .progress = w->now - HOUR,
                .count = 1,
                .polls = 1,
                .polling = true,
                .turn = TRANSFER_RECIPIENT,
                .has_known = true };
        TransferMessage first = { .share = n,
                .from = TRANSFER_INITIATOR,
                .state = TRANSFER_ACCEPTED,
                .at = w->now - HOUR,
                .has_digest = true };
        char id[ID_TEXT_SIZE];
        json_t *frame;
        char *text;

        vault_id(w->vault, VAULT_ID_SHARE, n, 0, id);
        memcpy(transfer.known, w->digest, sizeof(transfer.known));
        memcpy(first.digest, w->digest, sizeof(first.digest));
        frame = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s}",
                        "type",
                        "read",
                        "share",
                        id,
                        "generation",
                        0,
                        "kid",
                        w->kid,
                        "mailbox",
                        mailbox,
                        "claim",
                        claim);
        text = json_quick_text(frame);
        check(text != NULL, "writing a frame");
        seal(w, NULL, n, VAULT_FIELD_TRANSFER, text, &transfer.frame, &transfer.frame_size);
        check(store_transfer_put(w->store, &transfer) == 0 &&
                                        store_transfer_message_put(w->store, &first) == 0,
                        "adding a transfer");
        free(text);
        json_decref(frame);
        transfer_done(&transfer);
}

static void add_share(World *w, int64_t n, const char *mailbox) {
        Share share = { .n = n,
                .tenant = strdup("adler"),
                .policy = strdup("hotel"),
                .relay = strdup("relay-main"),
                .state = LIFECYCLE_RELEASED,
                .goal = LIFECYCLE_STATE_MAX,
                .version = 7,
                .created = w->now - HOUR - 60,
                .expires = w->now + HOUR,
                .mailbox_expires = w->now + 11 * HOUR,
                .due = w->now + 11 * HOUR,
                .messages = 3,
                .flags = SHARE_SEVERAL | SHARE_LINK_LEFT,
                .key = malloc(VAULT_WRAPPED_SIZE) };
        VaultKey key;

        rules_default(RULES_HOTEL, &share.rules);
        attempts_init(&share.attempts, share.rules.attempts, share.rules.attempts_total);
        vault_key_make(w->vault, n, &key, share.key);
        seal(w, &key, n, VAULT_FIELD_MAILBOX, mailbox, &share.mailbox, &share.mailbox_size);
        for (TimelineEvent event = TIMELINE_CREATED; event <= TIMELINE_NOT_DELIVERED; event++)
                share_note(&share, w->now - HOUR, event, 0, 0);
        check(store_share_insert(w->store, &share) == 0, "adding a share");
        vault_key_done(&key);
        share_done(&share);
}

static void add_one(World *w, int64_t n) {
        uint8_t id[RELAY_ID_SIZE];
        char claim[UUID_TEXT_SIZE], id_text[UUID_TEXT_SIZE], mailbox[256];

        randombytes_buf(id, sizeof(id));
        id[6] = (uint8_t) ((id[6] & 0x0f) | 0x40);
        id[8] = (uint8_t) ((id[8] & 0x3f) | 0x80);
        relay_id_text(id, id_text);
        (void) snprintf(mailbox, sizeof(mailbox), "%s/v1/m/%s", w->url, id_text);
        vault_claim(w->vault, n, 0, claim);
        add_mailbox(w, claim, id);
        add_share(w, n, mailbox);
        add_transfer(w, n, claim, mailbox);
}

static void add_all(World *w, long count) {
        int64_t first = (w->now - HOUR) * 1000 << 20;

        for (long i = 0; i < count;) {
                check(store_begin(w->store) == 0 && relay_database_begin(w->database) == 0,
                                "beginning");
                for (int k = 0; k < SHARES_PER_COMMIT && i < count; k++, i++)
                        add_one(w, first + i * 4096);
                check(store_commit(w->store) == 0 && relay_database_commit(w->database) == 0,
                                "committing");
        }
}

int main(int argc, char **argv) {
        World w = { .now = time_wall() };

        check(argc == 7 && sodium_init() >= 0, "reading the arguments");
        w.kid = argv[3];
        w.url = argv[5];
        open_gateway(&w, argv[1], argv[2]);
        open_relay(&w, argv[4]);
        make_payload(&w);
        add_all(&w, strtol(argv[6], NULL, 10));
        (void) store_checkpoint(w.store, true);
        store_close(w.store);
        mailbox_store_free(w.mailboxes);
        relay_database_free(w.database);
        vault_free(w.vault);
        free(w.payload);
        return 0;
}
