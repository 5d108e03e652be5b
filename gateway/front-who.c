/* Who asks, and what they may. It is decided here and nowhere else: the front only passes on a
 * token's id and hash, or the peer credentials of a Unix connection. */
#include <grp.h>
#include <pwd.h>
#include <sodium.h>

#include "front.h"

static bool is_operator(const json_t *credential) {
        const json_t *number = json_object_get(credential, "uid");
        json_int_t uid = json_integer_value(number);
        gid_t groups[256];
        int n = N_ELEMENTS(groups);
        struct passwd *user;
        struct group *group;

        if (!json_is_integer(number) || uid < 0 || uid > UINT32_MAX)
                return false;
        if (uid == 0)
                return true;
        group = getgrnam("vestibule-operator");
        if (!group)
                return false;
        if (json_integer_value(json_object_get(credential, "gid")) == (json_int_t) group->gr_gid)
                return true;
        user = getpwuid((uid_t) uid);
        if (!user || getgrouplist(user->pw_name, user->pw_gid, groups, &n) < 0)
                return false;
        for (int i = 0; i < n; i++)
                if (groups[i] == group->gr_gid)
                        return true;
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
        if (!ask->tenant && front->operators && is_operator(credential)) {
                ask->operator= true;
                rights |= FRONT_RIGHT_OPERATOR;
        }
        return rights;
}
