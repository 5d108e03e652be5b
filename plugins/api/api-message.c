#include "api-message.h"

#include <errno.h>

#include "cleanup.h"
#include "message-box.h"

/* Opens a message's box. *ret_reason is set when that cannot be done. */
static int box_open(const json_t *box,
                const char *share,
                json_int_t number,
                const RelayPrivateKeys *keys,
                json_t **ret,
                const char **ret_reason) {
        const char *kid = json_string_value(json_object_get(box, "kid"));
        const char *text = json_string_value(json_object_get(box, "box"));
        const RelayPrivateKey *key = keys && kid ? relay_private_keys_find(keys, kid) : NULL;
        int r;

        if (!kid || !text)
                return -EPROTO;
        *ret_reason = !keys ? "no-key" : "unknown-key";
        if (!key)
                return 0;

        r = message_box_open(text, key->public, key->secret, share, (uint64_t) number, ret);
        *ret_reason = r == 0 ? NULL : r == MESSAGE_BOX_E_DIFFERS ? "differs" : "damaged";
        return r < 0 ? r : 0;
}

static int message_show(const json_t *message,
                const char *share,
                const RelayPrivateKeys *keys,
                json_t **ret,
                bool *ret_differs) {
        const json_t *box = json_object_get(message, "box");
        json_t *encrypted = json_object_get(message, "encrypted");
        const char *state = json_string_value(json_object_get(message, "state")), *reason = NULL;
        json_int_t number = json_integer_value(json_object_get(message, "number"));
        json_auto_t *shown = json_copy((json_t *) message), *provisioning = NULL;
        int r;

        if (!json_is_object(message) || !state || number < 0)
                return -EPROTO;
        if (!shown)
                return -ENOMEM;
        (void) json_object_del(shown, "box");
        (void) json_object_del(shown, "encrypted");

        if (box) {
                r = box_open(box, share, number, keys, &provisioning, &reason);
                if (r < 0)
                        return r;
        } else if (encrypted) {
                provisioning = json_pack("{s:O}", "encrypted", encrypted);
                if (!provisioning)
                        return -ENOMEM;
        }
        *ret_differs = reason && streq(reason, "differs");

        if (provisioning && json_object_set(shown, "provisioning", provisioning) < 0)
                return -ENOMEM;
        if (reason && (json_object_set_new(shown, "readable", json_false()) < 0 ||
                                      json_object_set_new(shown, "reason", json_string(reason)) <
                                                      0))
                return -ENOMEM;
        *ret = TAKE_PTR(shown);
        return 0;
}

int api_messages_show(
                const json_t *body, const char *share, const RelayPrivateKeys *keys, json_t **ret) {
        const json_t *given = json_object_get(body, "messages");
        size_t n = json_array_size(given);
        json_auto_t *list = json_array(), *shown = NULL;
        int n_differs = 0;

        if (!json_is_array(given))
                return -EPROTO;
        for (size_t i = 0; i < n; i++) {
                json_t *message = NULL;
                bool differs = false;
                int r;

                r = message_show(json_array_get(given, i), share, keys, &message, &differs);
                if (r < 0)
                        return r;
                if (json_array_append_new(list, message) < 0)
                        return -ENOMEM;
                n_differs += differs;
        }
        shown = json_pack("{s:O}", "messages", list);
        if (!shown)
                return -ENOMEM;
        if (n > 0 && json_object_get(body, "cursor") &&
                        json_object_set(shown,
                                        "cursor",
                                        json_object_get(json_array_get(given, n - 1), "number")) <
                                        0)
                return -ENOMEM;
        *ret = TAKE_PTR(shown);
        return n_differs;
}
