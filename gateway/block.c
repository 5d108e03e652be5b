/* Who wants nothing more from whom. A block is found by a blind index over a tenant and the person
 * behind an address, and outlives every share; what an operator may see of it is sealed beside it.
 */
#include <errno.h>
#include <string.h>

#include "address.h"
#include "gateway.h"
#include "json-quick.h"
#include "json-read.h"
#include "json-wipe.h"

static const char *const reasons[_BLOCK_REASON_MAX] = {
        [BLOCK_STOP] = "stop",
        [BLOCK_STOP_ALL] = "stop_all",
        [BLOCK_NOT_ME] = "not_me",
        [BLOCK_UNPROVEN] = "stop_unproven",
};

static void
pair_of(Gateway *g, const char *tenant, const char *address, uint8_t ret[VAULT_INDEX_SIZE]) {
        char person[ADDRESS_SIZE_MAX];

        address_fold(address, person);
        vault_index_pair(g->vault, tenant, person, ret);
}

/* In place of a share's number in the associated data: a note opens beside its own pair only. */
static int64_t number_of(const uint8_t pair[VAULT_INDEX_SIZE]) {
        int64_t n;

        memcpy(&n, pair, sizeof(n));
        return n;
}

static int seal_note(Gateway *g,
                const char *tenant,
                const char *address,
                BlockReason reason,
                StoreBlock *block) {
        char masked[ADDRESS_SIZE_MAX];
        _cleanup_(json_wipe_freep) char *text = NULL;
        json_auto_t *note = NULL;

        address_masked(address, masked);
        note = json_pack("{s:s, s:s, s:s}",
                        "tenant",
                        tenant,
                        "address",
                        masked,
                        "reason",
                        reasons[reason]);
        text = note ? json_quick_text(note) : NULL;
        if (!text)
                return -ENOMEM;
        return vault_seal(g->vault,
                        NULL,
                        number_of(block->pair),
                        VAULT_FIELD_BLOCK,
                        0,
                        text,
                        strlen(text),
                        &block->note,
                        &block->note_size);
}

int block_put(Gateway *g,
                const char *tenant,
                const char *address,
                BlockReason reason,
                int64_t seconds) {
        StoreBlock block = { .since = gateway_now(g), .expires = gateway_now(g) + seconds };
        int r;

        pair_of(g, tenant, address, block.pair);
        r = seal_note(g, tenant, address, reason, &block);
        if (r >= 0)
                r = store_block_put(g->store, &block);
        free(block.note);
        return r;
}

int block_has(Gateway *g, const char *tenant, const char *address) {
        uint8_t pair[VAULT_INDEX_SIZE], anybody[VAULT_INDEX_SIZE];
        int r, s;

        pair_of(g, tenant, address, pair);
        pair_of(g, "", address, anybody);
        /* Both are looked for whatever the first says: what is blocked costs what is free does. */
        r = store_block_has(g->store, pair, gateway_now(g));
        s = store_block_has(g->store, anybody, gateway_now(g));
        return r < 0 ? r : s < 0 ? s : r ? r : s;
}

int block_lift(Gateway *g, const char *tenant, const char *address) {
        uint8_t pair[VAULT_INDEX_SIZE];

        pair_of(g, tenant, address, pair);
        return store_block_remove(g->store, pair);
}

json_t *block_json(Gateway *g, const StoreBlock *block) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        char id[ID_TEXT_SIZE], since[TIME_TEXT_SIZE], until[TIME_TEXT_SIZE];
        json_auto_t *note = NULL;
        const char *tenant;
        JsonProblem problem;

        if (block->note && vault_open(g->vault,
                                           NULL,
                                           number_of(block->pair),
                                           VAULT_FIELD_BLOCK,
                                           0,
                                           block->note,
                                           block->note_size,
                                           &plain) == 0)
                (void) json_read(plain.data, plain.size, 2, &note, &problem);
        text_id(BLOCK_ID_PREFIX, block->pair, id);
        time_text(block->since, since);
        time_text(block->expires, until);
        tenant = json_string_value(json_object_get(note, "tenant"));
        return json_pack("{s:s, s:s*, s:O*, s:O*, s:s*, s:s}",
                        "id",
                        id,
                        "tenant",
                        tenant && *tenant ? tenant : NULL,
                        "address",
                        json_object_get(note, "address"),
                        "reason",
                        json_object_get(note, "reason"),
                        "since",
                        block->note ? since : NULL,
                        "until",
                        until);
}
