/* Who asks, and what they may. It is decided here and nowhere else: the front only passes on a
 * token's id and hash, or the peer credentials of a Unix connection. */
#include <sodium.h>

#include "front.h"

static bool is_root(const json_t *uid) {
        return json_is_integer(uid) && json_integer_value(uid) == 0;
}

static bool is_group(const json_t *value, gid_t group) {
        return json_is_integer(value) && json_integer_value(value) == (json_int_t) group;
}

/* Groups are those that the kernel knew of the peer, as numbers: no name service is asked here, on
 * the loop, which one that hangs would stop. */
static bool is_operator(const Config *config, const json_t *credential) {
        const json_t *groups = json_object_get(credential, "groups"), *group;
        size_t i;

        if (is_root(json_object_get(credential, "uid")))
                return true;
        if (!config->has_operator_group || !json_is_integer(json_object_get(credential, "uid")))
                return false;
        if (is_group(json_object_get(credential, "gid"), config->operator_group))
                return true;
        json_array_foreach(groups, i, group) {
                if (is_group(group, config->operator_group))
                        return true;
        }
        return false;
}

static const ConfigTenant *tenant_of(const Config *config, const json_t *credential) {
        const char *id = json_string_value(json_object_get(credential, "token"));
        const char *hash_text = json_string_value(json_object_get(credential, "hash"));
        const ConfigTenant *tenant;
        const char *entry;
        uint8_t *hash = NULL;
        size_t size = 0;
        bool matches;

        if (!id || !hash_text || text_from_base64(hash_text, false, &hash, &size) < 0)
                return NULL;
        tenant = config_tenant_by_token(config, id, &entry);
        matches = tenant && size == TOKEN_HASH_SIZE && token_entry_matches(entry, id, hash);
        sodium_memzero(hash, size);
        free(hash);
        return matches ? tenant : NULL;
}

unsigned front_identify(Ask *ask, const ConfigFront *front) {
        const json_t *credential = json_object_get(ask->frame, "credential");
        unsigned rights = FRONT_RIGHT_NOBODY;

        ask->tenant = tenant_of(ask->config, credential);
        if (ask->tenant)
                rights |= FRONT_RIGHT_TENANT;
        if (!ask->tenant && front->operators && is_operator(ask->config, credential)) {
                ask->operator= true;
                rights |= FRONT_RIGHT_OPERATOR;
        }
        return rights;
}
