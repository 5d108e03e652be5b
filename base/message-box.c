#include "message-box.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "cleanup.h"
#include "json-quick.h"
#include "json-read.h"
#include "secret.h"
#include "text.h"

_Static_assert(MESSAGE_BOX_KEY_SIZE == crypto_box_PUBLICKEYBYTES &&
                                MESSAGE_BOX_KEY_SIZE == crypto_box_SECRETKEYBYTES,
                "a message's key is one of crypto_box");

typedef struct BoxMembers {
        const char *share;
        int64_t version, number;
        const json_t *message;
} BoxMembers;

static const JsonMember box_members[] = {
        { "v", JSON_KIND_INTEGER, offsetof(BoxMembers, version), true, 1, 1 },
        { "share", JSON_KIND_STRING, offsetof(BoxMembers, share), true, 1, MESSAGE_BOX_SHARE_MAX },
        { "number", JSON_KIND_INTEGER, offsetof(BoxMembers, number), true, 0, INT64_MAX },
        { "message", JSON_KIND_OBJECT, offsetof(BoxMembers, message), true, 0, 0 },
};

typedef struct MessageMembers {
        const json_t *format, *content;
} MessageMembers;

static const JsonMember message_members[] = {
        { "format", JSON_KIND_ANY, offsetof(MessageMembers, format), true, 0, 0 },
        { "content", JSON_KIND_OBJECT, offsetof(MessageMembers, content), true, 0, 0 },
};

static int write_plain(const char *share, uint64_t number, const json_t *message, Secret *ret) {
        json_auto_t *object = json_pack("{s:i, s:s, s:I, s:{s:O, s:O}}",
                        "v",
                        1,
                        "share",
                        share,
                        "number",
                        (json_int_t) number,
                        "message",
                        "format",
                        json_object_get(message, "format"),
                        "content",
                        json_object_get(message, "content"));
        size_t size;
        int r;

        if (!object)
                return -ENOMEM;
        size = json_quick_write(object, NULL, 0);
        if (size == 0)
                return -EINVAL;
        if (size > MESSAGE_BOX_CONTENT_MAX)
                return -EMSGSIZE;
        r = secret_new(ret, size);
        if (r < 0)
                return r;
        (void) json_quick_write(object, ret->data, size);
        return 0;
}

int message_box_seal(const char *share,
                uint64_t number,
                const json_t *message,
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                char **ret_box) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        _cleanup_(freep) uint8_t *box = NULL;
        char *text;
        int r;

        assert(number <= INT64_MAX);
        assert(json_is_string(json_object_get(message, "format")));
        assert(json_is_object(json_object_get(message, "content")));
        r = write_plain(share, number, message, &plain);
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
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                const uint8_t secret_key[MESSAGE_BOX_KEY_SIZE],
                Secret *ret) {
        _cleanup_(freep) uint8_t *sealed = NULL;
        size_t size;
        int r;

        r = text_from_base64(box, false, &sealed, &size);
        if (r == -EBADMSG)
                return MESSAGE_BOX_E_BOX;
        if (r < 0)
                return r;
        if (size <= crypto_box_SEALBYTES || size > crypto_box_SEALBYTES + MESSAGE_BOX_CONTENT_MAX)
                return MESSAGE_BOX_E_BOX;

        r = secret_new(ret, size - crypto_box_SEALBYTES);
        if (r < 0)
                return r;
        if (crypto_box_seal_open(ret->data, sealed, size, public_key, secret_key) < 0)
                return MESSAGE_BOX_E_BOX;
        return 0;
}

/* An unknown member may be a condition that we would break: refuse. */
static int read_plain(const json_t *object, BoxMembers *ret) {
        MessageMembers message = { 0 };
        JsonProblem problem;

        if (json_read_members(object, box_members, N_ELEMENTS(box_members), true, ret, &problem) !=
                                        0 ||
                        json_read_members(ret->message,
                                        message_members,
                                        N_ELEMENTS(message_members),
                                        true,
                                        &message,
                                        &problem) != 0 ||
                        !json_is_string(message.format))
                return MESSAGE_BOX_E_FORM;
        return 0;
}

int message_box_open(const char *box,
                const uint8_t public_key[MESSAGE_BOX_KEY_SIZE],
                const uint8_t secret_key[MESSAGE_BOX_KEY_SIZE],
                const char *share,
                uint64_t number,
                json_t **ret_message) {
        _cleanup_(secret_done) Secret plain = SECRET_NULL;
        json_auto_t *object = NULL;
        BoxMembers members = { 0 };
        JsonProblem problem;
        int r;

        r = open_plain(box, public_key, secret_key, &plain);
        if (r != 0)
                return r;
        r = json_read(plain.data, plain.size, MESSAGE_BOX_DEPTH_MAX, &object, &problem);
        if (r != 0)
                return r < 0 ? r : MESSAGE_BOX_E_FORM;
        r = read_plain(object, &members);
        if (r != 0)
                return r;
        if (!streq(members.share, share) || (uint64_t) members.number != number)
                return MESSAGE_BOX_E_DIFFERS;

        *ret_message = json_incref((json_t *) members.message);
        return 0;
}
