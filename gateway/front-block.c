/* What operators ask about blocks: who wants nothing from whom, masked, and that a block is lifted
 * because the person says so. */
#include <errno.h>

#include "address.h"
#include "front.h"
#include "json-read.h"
#include "log.h"

enum { LIST_LIMIT_DEFAULT = 20 };

static int no_such_block(Ask *ask, const char *detail) {
        return ask_refuse(ask, 404, "not-found", "No such block", "%s", detail);
}

typedef struct ListWalk {
        Gateway *gateway;
        json_t *list;
        size_t limit;
        uint8_t last[VAULT_INDEX_SIZE];
        bool more;
} ListWalk;

static int add_block(const StoreBlock *block, void *userdata) {
        ListWalk *walk = userdata;

        if (json_array_size(walk->list) == walk->limit) {
                walk->more = true;
                return 1;
        }
        memcpy(walk->last, block->pair, sizeof(walk->last));
        return json_array_append_new(walk->list, block_json(walk->gateway, block)) < 0 ? -ENOMEM
                                                                                       : 0;
}

int front_block_list(Ask *ask) {
        const char *cursor = json_string_value(json_object_get(ask->frame, "cursor"));
        json_int_t limit = json_integer_value(json_object_get(ask->frame, "limit"));
        json_auto_t *list = json_array();
        ListWalk walk = { .gateway = ask->gateway,
                .list = list,
                .limit = limit <= 0                 ? LIST_LIMIT_DEFAULT
                         : limit > SHARE_LIMIT_LIST ? SHARE_LIMIT_LIST
                                                    : (size_t) limit };
        uint8_t after[VAULT_INDEX_SIZE];
        char next[ID_TEXT_SIZE];
        int r;

        if (cursor && text_from_id(BLOCK_ID_PREFIX, cursor, after) < 0)
                return ask_refuse(ask,
                                400,
                                "invalid-query",
                                "The query cannot be used",
                                "`cursor` must be one that a list gave.");
        if (!list)
                return -ENOMEM;
        r = store_block_each(ask->gateway->store,
                        cursor ? after : NULL,
                        gateway_now(ask->gateway),
                        (int) walk.limit + 1,
                        add_block,
                        &walk);
        if (r < 0)
                return r;
        text_id(BLOCK_ID_PREFIX, walk.last, next);
        ask->status = 200;
        ask->body = json_pack("{s:O, s:s*}", "blocks", list, "cursor", walk.more ? next : NULL);
        return ask->body ? 0 : -ENOMEM;
}

/* For the journal it is enough that it happened: whose address it is, nobody has to know there. */
static int lifted(Ask *ask, int n) {
        log_notice("An operator lifted %d block%s.", n, n == 1 ? "" : "s");
        ask->status = 200;
        ask->body = json_pack("{s:i}", "lifted", n);
        return ask->body ? 0 : -ENOMEM;
}

int front_block_lift(Ask *ask) {
        const char *id = json_string_value(json_object_get(ask->frame, "block"));
        uint8_t pair[VAULT_INDEX_SIZE];
        int r = STORE_E_NOT_FOUND;

        if (id && text_from_id(BLOCK_ID_PREFIX, id, pair) == 0)
                r = store_block_remove(ask->gateway->store, pair);
        if (r > 0)
                return no_such_block(ask, "There is no block of this id.");
        return r < 0 ? r : lifted(ask, 1);
}

/* Of one tenant, or of every tenant and of all of them together. */
static int lift_of(Ask *ask, const char *tenant, const char *address, int *ret_n) {
        const Config *config = ask->config;
        int r;

        if (tenant) {
                r = block_lift(ask->gateway, tenant, address);
                *ret_n += r == 0;
                return r < 0 ? r : 0;
        }
        r = lift_of(ask, "", address, ret_n);
        for (size_t i = 0; r >= 0 && i < config->n_tenants; i++)
                r = lift_of(ask, config->tenants[i].id, address, ret_n);
        return r;
}

int front_block_lift_address(Ask *ask) {
        const json_t *body = json_object_get(ask->frame, "body");
        const char *text = json_string_value(json_object_get(body, "address"));
        const char *tenant = json_string_value(json_object_get(body, "tenant"));
        char address[ADDRESS_SIZE_MAX];
        const char *reason = "it must be a string";
        int r, n = 0;

        r = text ? address_canonical(text, address, &reason) : ADDRESS_E_FORM;
        if (r > 0)
                return ask_refuse(ask,
                                422,
                                "invalid-address",
                                "The address cannot be used",
                                "`address`: %s.",
                                reason);
        if (r == 0 && tenant && !config_tenant(ask->config, tenant))
                return no_such_block(ask, "There is no tenant of this name.");
        if (r == 0)
                r = lift_of(ask, tenant, address, &n);
        if (r == 0 && n == 0)
                return no_such_block(ask,
                                tenant ? "This tenant may write to this address."
                                       : "Everybody may write to this address.");
        return r < 0 ? r : lifted(ask, n);
}
