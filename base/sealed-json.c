#include "sealed-json.h"

#include <errno.h>
#include <sodium.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-raw.h"
#include "secret.h"
#include "text.h"

_Static_assert(SEALED_JSON_KEY_SIZE == crypto_box_PUBLICKEYBYTES &&
                                SEALED_JSON_KEY_SIZE == crypto_box_SECRETKEYBYTES,
                "the keys are those of crypto_box");

static int write_plain(const json_t *object, Secret *ret) {
        size_t size = json_quick_write(object, NULL, 0);
        int r;

        if (size == 0)
                return -EINVAL;
        if (size > SEALED_JSON_MAX)
                return -EMSGSIZE;
        r = secret_new(ret, size);
        if (r < 0)
                return r;
        (void) json_quick_write(object, ret->data, size);
        return 0;
}

int sealed_json_seal(const json_t *object,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                char **ret_box) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        _cleanup_(freep) uint8_t *box = NULL;
        char *text;
        int r;

        r = write_plain(object, &plain);
        if (r < 0)
                return r;
        box = malloc(crypto_box_SEALBYTES + plain.size);
        if (!box)
                return -ENOMEM;
        if (crypto_box_seal(box, plain.data, plain.size, public_key) < 0)
                return -EINVAL;

        text = text_base64(box, crypto_box_SEALBYTES + plain.size);
        if (!text)
                return -ENOMEM;
        *ret_box = text;
        return 0;
}

static int open_plain(const char *box,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                const uint8_t secret_key[SEALED_JSON_KEY_SIZE],
                Secret *ret) {
        _cleanup_(freep) uint8_t *sealed = NULL;
        size_t size;
        int r;

        r = text_from_base64(box, false, &sealed, &size);
        if (r == -EBADMSG)
                return SEALED_JSON_E_BOX;
        if (r < 0)
                return r;
        if (size <= crypto_box_SEALBYTES || size > crypto_box_SEALBYTES + SEALED_JSON_MAX)
                return SEALED_JSON_E_BOX;

        r = secret_new(ret, size - crypto_box_SEALBYTES);
        if (r < 0)
                return r;
        if (crypto_box_seal_open(ret->data, sealed, size, public_key, secret_key) < 0)
                return SEALED_JSON_E_BOX;
        return 0;
}

int sealed_json_open(const char *box,
                const uint8_t public_key[SEALED_JSON_KEY_SIZE],
                const uint8_t secret_key[SEALED_JSON_KEY_SIZE],
                unsigned depth_max,
                const char *path,
                json_t **ret,
                json_t **ret_kept) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        json_auto_t *value = NULL, *kept = NULL;
        JsonProblem problem;
        JsonRaw raw;
        int r;

        r = open_plain(box, public_key, secret_key, &plain);
        if (r != 0)
                return r;
        r = json_raw_read(plain.data, plain.size, depth_max, path, &value, &raw, &problem);
        if (r != 0)
                return r < 0 ? r : SEALED_JSON_E_FORM;
        if (raw.size > 0 && raw.data[0] == '{') {
                kept = json_quick_verbatim(raw.data, raw.size);
                if (!kept)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(value);
        *ret_kept = TAKE_PTR(kept);
        return 0;
}
