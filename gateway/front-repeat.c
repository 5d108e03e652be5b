/* The Idempotency-Key: a POST that is made again gets the answer of the first one, which is kept
 * sealed under the key that the tenant chose, and does nothing. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "front.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"

typedef struct Idempotency {
        const char *key, *digest;
        uint8_t index[VAULT_INDEX_SIZE];
        uint8_t digest_index[32];
} Idempotency;

/* False: the request carries none. The scope is tenant, verb and share. */
static bool idempotency_of(const Ask *ask, Idempotency *ret) {
        const json_t *object = json_object_get(ask->frame, "idempotency");
        const char *share = json_string_value(json_object_get(ask->frame, "share"));
        char path[128];

        ret->key = json_string_value(json_object_get(object, "key"));
        ret->digest = json_string_value(json_object_get(object, "digest"));
        if (!ret->key || !ret->digest || !ask->tenant)
                return false;
        (void) snprintf(path, sizeof(path), "%s %.64s", ask->verb->type, share ? share : "");
        vault_index_idempotency(ask->gateway->vault, ask->tenant->id, path, ret->key, ret->index);
        vault_digest(ask->gateway->vault, ret->digest, ret->digest_index);
        return true;
}

int front_remember_answer(Ask *ask, Share *share) {
        Gateway *g = ask->gateway;
        StoreAnswer answer = { .share = share ? share->n : 0, .status = ask->status };
        _cleanup_(json_wipe_freep) char *text = NULL;
        _cleanup_(freep) uint8_t *sealed = NULL;
        Idempotency id;
        VaultKey key;
        int r;

        if (!idempotency_of(ask, &id))
                return 0;
        text = json_quick_text(ask->body);
        if (!text)
                return -ENOMEM;
        vault_key_of_answer(g->vault, id.index, id.key, &key);
        r = vault_seal(g->vault,
                        &key,
                        answer.share,
                        VAULT_FIELD_ANSWER,
                        0,
                        text,
                        strlen(text),
                        &sealed,
                        &answer.answer_size);
        vault_key_done(&key);
        if (r < 0)
                return r;
        answer.answer = sealed;
        memcpy(answer.digest, id.digest_index, sizeof(answer.digest));
        if (share && share_add_answer(share, id.index) < 0)
                return -ENOMEM;
        return store_answer_put(g->store, id.index, &answer, gateway_now(g) + GATEWAY_KEEP_ANSWERS);
}

/* Repeats a kept answer; after its share's end, the share as it is now. */
static int replay(Ask *ask, const Idempotency *id, const StoreAnswer *kept) {
        Gateway *g = ask->gateway;
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        JsonProblem problem;
        VaultKey key;
        int r;

        ask->status = kept->status;
        ask->replayed = true;
        if (!kept->answer) {
                ShareContext c;

                r = share_context_load(&c, g, kept->share);
                if (r != 0)
                        return r < 0 ? r
                                     : ask_refuse(ask,
                                                       404,
                                                       "not-found",
                                                       "No such share",
                                                       "It was removed.");
                r = front_answer_with_share(ask, &c, kept->status);
                share_context_done(&c);
                return r;
        }
        vault_key_of_answer(g->vault, id->index, id->key, &key);
        r = vault_open(g->vault,
                        &key,
                        kept->share,
                        VAULT_FIELD_ANSWER,
                        0,
                        kept->answer,
                        kept->answer_size,
                        &plain);
        vault_key_done(&key);
        if (r == 0)
                r = json_read(plain.data, plain.size, 16, &ask->body, &problem);
        return r > 0 ? -EBADMSG : r;
}

int front_try_replay(Ask *ask) {
        StoreAnswer kept = { 0 };
        Idempotency id;
        int r;

        if (!idempotency_of(ask, &id))
                return 0;
        r = store_answer_get(ask->gateway->store, id.index, gateway_now(ask->gateway), &kept);
        if (r != 0)
                return r < 0 ? r : 0;
        if (sodium_memcmp(kept.digest, id.digest_index, sizeof(kept.digest)) != 0)
                r = ask_refuse(ask,
                                422,
                                "idempotency-key-reused",
                                "The Idempotency-Key was used for another request",
                                "Use a fresh key for each request, and the same key only to repeat "
                                "it.");
        else
                r = replay(ask, &id, &kept);
        share_drop(&kept.answer, kept.answer_size);
        return r < 0 ? r : 1;
}
